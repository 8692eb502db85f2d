/* SPDX-License-Identifier: MIT
 *
 * The folder damaged/ of a data directory: what was cut off or set aside, and the file INDEX that lists damage found, one place a line:
 *
 *   2026-11-21T12:00:00Z <tab> 0000000003.seg <tab> 4096 <tab> 120 <tab> value <tab> 0 <tab> key <tab> what became of it
 *
 * time, file, offset, bytes, kind (value, bytes, file), namespace, key; the last three are "-" where they are not known. Bytes below 33, above 126 and
 * the backslash stand as \xHH. A place is listed once. Any thread; one at a time for a directory.
 */
#ifndef STORE_DAMAGED_H
#define STORE_DAMAGED_H

#include <stdbool.h>
#include <stdint.h>
#include "base/io.h"
#include "base/slice.h"

#define DAMAGED_NAME "damaged"
#define DAMAGED_INDEX "INDEX"

struct damaged_place {
	const char *file;
	uint64_t offset, size;
	const char *kind;
	bool has_key;
	unsigned ns;
	struct slice key;
	const char *note; /* or NULL */
};

/* Opens the folder, made when missing: a directory handle or a negative errno. */
int damaged_open(struct io *io, int dir);
/* Adds a place to the list unless it is on it, and syncs: 0, 1 (it was there) or an error. */
int damaged_list(struct io *io, int folder, int64_t wall_ms, const struct damaged_place *p);

struct window;
/* Copies bytes [from, to) of a file into a file of the folder, as far as they can be read. Best effort: nothing depends on it. */
void damaged_keep(struct io *io, int folder, const char *name, struct window *w, uint64_t from, uint64_t to);

#endif
