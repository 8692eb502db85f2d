/* SPDX-License-Identifier: MIT
 *
 * The file MANIFEST of a snapshot: what the snapshot is and which files make it up. Text, one fact a line:
 *
 *   kvd-snapshot 1
 *   name 20261121T120000Z
 *   kind hand
 *   time 1795262400000
 *   store 0123456789abcdef
 *   position 67112960
 *   file CATALOG size 151 crc32 89abcdef
 *   file 0000000006.seg size 67108864 crc32 01234567
 *   file 0000000007.seg size 64 crc32 76543210
 *   file CHECKPOINT size 4567 crc32 12345678
 *   crc32 89abcdef
 *
 * The version is 2 when CHECKPOINT is there, which version 1 does not know. kind is hand or timed; time is Unix ms. The segments stand in the order of the log. crc32 of a segment covers its header alone, which has its
 * time of creation: that tells two segments of one number apart. What follows is covered by the checksum of each record, bound to its
 * place, so a second sum over all bytes would cost a reading of the whole store and say nothing more. That of CHECKPOINT, too, is the one in its header, which
 * covers the sums of all that follows. The last line covers everything before it, and
 * also names this very snapshot when a later one builds on it.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/io.h"
#include "base/slice.h"
#include "store/segment.h"
#include "store/store.h"

#define MANIFEST_NAME "MANIFEST"
#define MANIFEST_VERSION 2

struct manifest_file {
	char name[SEGMENT_NAME_SIZE];
	uint64_t size;
	uint32_t sum;
};

struct manifest {
	char name[STORE_SNAPSHOT_NAME + 1];
	bool timed;
	int64_t time_ms;
	uint64_t store_id, position;
	size_t count;
	struct manifest_file *file; /* owned */
	uint32_t sum;               /* of the text; this and its length are set by reading and writing */
	size_t length;
};

/* 0; -ENOENT; -EUCLEAN: damaged; -EPROTONOSUPPORT: a newer format; or what the disk said. *e names the line. */
int manifest_read(struct io *io, int dir, struct manifest *ret, struct error *e);
/* Writes and syncs the file, in a directory that nobody looks into yet. */
int manifest_write(struct io *io, int dir, struct manifest *m);
void manifest_free(struct manifest *m);

/* 0 or -ENOMEM. */
int manifest_add(struct manifest *m, const char *name, uint64_t size, uint32_t sum);
const struct manifest_file *manifest_find(const struct manifest *m, const char *name); /* NULL: there is none */
size_t manifest_segments(const struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m); /* of all files */

#endif
