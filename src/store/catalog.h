/* SPDX-License-Identifier: MIT
 *
 * The file CATALOG: which segments live, in log order, and how the last run ended. Text, one fact a line:
 *
 *   kvd-catalog 1
 *   store 0123456789abcdef
 *   next 8
 *   segment 6 first 64 size 67108864
 *   segment 7 first 67108864
 *   clean 4096
 *   crc32 89abcdef
 *
 * A segment line with a size is sealed: exactly that many bytes. The last one, without a size, is active. `clean N` is written by a clean stop
 * and says that the active segment ends at N; any other end may have left a torn tail. `next` is above every number ever used: a segment
 * file with that number or a higher one that holds records proves that the catalog is an old copy. crc32 covers everything before its line.
 *
 * It is replaced atomically: write CATALOG.new, sync, rename, sync the directory.
 */
#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/io.h"

#define CATALOG_NAME "CATALOG"
#define CATALOG_NEW_NAME "CATALOG.new"
#define CATALOG_VERSION 1

struct catalog_segment {
	uint64_t number, first;
	uint64_t size; /* 0 for the active one */
};

struct catalog {
	uint64_t store_id, next;
	bool clean;
	uint64_t clean_size;
	size_t count;
	struct catalog_segment *segment; /* owned */
};

/* 0; -ENOENT: there is none; -EUCLEAN: damaged; -EPROTONOSUPPORT: a newer format; or what the disk said. *e names the line. */
int catalog_read(struct io *io, int dir, struct catalog *ret, struct error *e);
/* Replaces the file; durable on return. After -EIO either version may be in force, after other errors the old one is, and it may be tried again. */
int catalog_write(struct io *io, int dir, const struct catalog *c);
/* Syncs a directory: 0 or -EIO, whatever the disk said, since a failed sync must not be taken for something to try again. */
int catalog_sync_dir(struct io *io, int dir);
void catalog_free(struct catalog *c);

#endif
