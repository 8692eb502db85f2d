/* SPDX-License-Identifier: MIT
 *
 * The checkpoint: the key directory on disk, so that a start reads the end of the log only. An inner door of the store room.
 *
 * It is fuzzy. The owner writes the directory down a block at a time while commits go on, and notes the position P of its beginning. What it
 * took later than P may or may not show the commits behind P; replaying the log from P makes both right, since the last record of a key
 * counts and every key changed since P has one there. (Exchanges of databases do not stand being replayed twice: their state is that of
 * P.) It gets its name only when all it saw, up to a position E, is durable, so it never knows more than the log. A rollback gives it up.
 *
 * It is derived data (invariant I8): it may be deleted at any time, and one that is damaged, of another store, or does not fit the
 * catalog is ignored with an event, and the segments are read instead. It fits when the catalog begins with the very segments it lists.
 *
 * The file CHECKPOINT, little-endian; CHECKPOINT.new while it is being written:
 *
 *   header, 64 bytes
 *     0    8  "KVDCKPT\n"
 *     8    4  format version, 1
 *    12    4  header size, 64
 *    16    8  store id
 *    24    8  P
 *    32    8  E
 *    40    8  offset of the index, which ends the file
 *    48    8  length of the index
 *    56    4  CRC-32 of the index
 *    60    4  CRC-32 of bytes 0 .. 59
 *   blocks, each of one namespace, namespaces and keys ascending; a row of entries:
 *     varint  bytes of the key that are the same as in the entry before (in the first entry of a block: 0)
 *     varint  2 * bytes of the rest of the key, + 1 with an expiry
 *             the rest of the key
 *          8  locator (locator.h), its slot one of the index
 *          8  expiry, Unix time in ms; only when announced
 *   index
 *     0    4  number of segments
 *     4    4  number of blocks
 *     8    4  the segment to replay from, as a place in the list below
 *    12    4  CRC-32 of the log before E: the last 4096 bytes of the list's last segment, or as many as there are
 *    16    8  the offset in it: that of P
 *    24    8  keys in all blocks
 *    32    8  when it was begun, Unix time in ms
 *    40  256  namespace of each database, at P
 *         32  for each segment, in the order of the log: slot (4), marks (4), number (8), first position (8), size (8; 0: active)
 *         16  for each block, in the order of the file: bytes (4), entries (4), CRC-32 (4), namespace (2), zero (2)
 *
 * Marks: 4, and 1 more when tombstones may stand in the segment, 2 more when exchanges of databases may; 0: not known, as older checkpoints have it.
 * Varints have seven bits a byte, low ones first, the high bit set in all but the last.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/io.h"

#define CHECKPOINT_NAME "CHECKPOINT"
#define CHECKPOINT_NEW_NAME "CHECKPOINT.new"
#define CHECKPOINT_VERSION 1
#define CHECKPOINT_HEADER 64
#define CHECKPOINT_INDEX 296 /* bytes of the index before its lists */
#define CHECKPOINT_SEGMENT 32
#define CHECKPOINT_ROW 16
#define CHECKPOINT_WITNESS 4096
#define CHECKPOINT_MARKS 4 /* beside those of enum segment_mark: they are known */
#define CHECKPOINT_BLOCK ((size_t)64 << 10) /* bytes; the last entry may go beyond. Taking so much keeps the owner well below a millisecond. */

struct store;
struct catalog;
struct checkpoint_job;

/* ---- checkpoint_file.c: the file being written. One thread at a time. ---- */

struct checkpoint_block {
	struct buf data;
	uint32_t count;
	unsigned ns;
};

struct checkpoint_writer {
	struct io *io;
	int dir, fd;
	uint64_t offset, synced;
	struct buf rows;   /* of the index */
	uint32_t blocks;
	uint64_t keys;
};

/* What the header and the index say beside the rows. */
struct checkpoint_head {
	uint64_t store_id, position, end;
	uint64_t offset;       /* in the segment to replay from */
	uint32_t from;         /* its place in the list */
	uint32_t witness;      /* checkpoint_witness at E */
	uint64_t last_number, last_first; /* the segment that holds E */
	uint64_t named;          /* the one that was active then: the catalog must name it before the file is finished */
	int64_t begun_wall_ms;
	struct buf segments;   /* the list, encoded */
	uint8_t ns_of[256];
};

/* The checksum of what stands before an offset of a segment: 0, or what the disk said; -EIO when there is less. */
int checkpoint_witness(struct io *io, int dir, uint64_t number, uint64_t offset, uint32_t *ret);

/* Errors of all four: what the disk said; checkpoint_drop then removes what there is. */
int checkpoint_create(struct checkpoint_writer *w, struct io *io, int dir, uint64_t expected_size);
int checkpoint_write(struct checkpoint_writer *w, const struct checkpoint_block *block);
/* What the log holds up to E is durable: adds witness, index and header, and syncs. The file does not have its name yet. */
int checkpoint_finish(struct checkpoint_writer *w, struct checkpoint_head *head);
/* Puts it in the place of the last one. */
int checkpoint_name(struct checkpoint_writer *w);
/* Closes, removes what has no name, frees. Accepts a zeroed writer. */
void checkpoint_drop(struct checkpoint_writer *w);

/* ---- checkpoint_walk.c: the owner's part ---- */

struct checkpoint_walk {
	struct checkpoint_head head;
	unsigned ns;     /* being walked */
	bool begun;      /* `last` is the last key taken of it */
	struct buf last;
	uint64_t keys;
};

/* Begins at the store's position: 0 or -ENOMEM. */
int checkpoint_walk_begin(struct store *s, struct checkpoint_walk *w);
/* Fills the block with the next entries: 0 (no entry: that was all) or -ENOMEM. */
int checkpoint_walk_next(struct store *s, struct checkpoint_walk *w, struct checkpoint_block *out);
/* After the last block: what it has seen ends here. 0; -ENOMEM; -ESTALE: the segments are not those of the beginning. */
int checkpoint_walk_end(struct store *s, struct checkpoint_walk *w);
void checkpoint_walk_free(struct checkpoint_walk *w);

/* ---- checkpoint.c: making them. The owner's thread. ---- */

struct checkpoint {
	struct checkpoint_job *job; /* NULL: none is being made */
	bool loaded, unusable;      /* the last start used one; it could not use the one it found */
	uint64_t position;          /* P of the one in force; 0: none is */
	uint64_t bytes, keys, us;   /* of it; us 0: it was made by an earlier run */
	int64_t wall_ms;
	uint64_t made, failed;      /* since open */
};

/* A bounded part of the work; called by store_poll. */
void checkpoint_turn(struct store *s);
/* What it has seen was taken back, or a segment goes: the one being made is given up. Does not wait. */
void checkpoint_give_up(struct store *s);
/* Gives up the one being made and waits for its thread. */
void checkpoint_stop(struct store *s);
/* Makes one at once when a start would be faster for it. The log is closed and healthy. */
void checkpoint_at_close(struct store *s);

/* ---- checkpoint_read.c: the file being read. Any thread. ---- */

struct checkpoint_start {
	size_t from;     /* place in the catalog of the segment to replay from */
	uint64_t offset; /* in it */
	uint64_t end;    /* E: a log that ends before is not the one it was made of */
};

struct checkpoint_row {
	uint64_t offset;
	uint32_t len, count, crc;
	unsigned ns;
};

struct checkpoint_reader {
	struct io *io;
	int dir, fd;
	uint64_t store_id;
	const struct catalog *c;  /* borrowed */
	uint64_t size, position;  /* bytes of the file; P */
	uint32_t sum;             /* of the header, and so of all the file */
	struct checkpoint_start start;
	struct buf index;
	uint32_t segments, blocks;
	struct checkpoint_row *row;
	char why[160];            /* it cannot be used */
};

/*
 * Opens the checkpoint of a directory and checks all but its blocks: header, index, and whether it fits the catalog and the segments there. 0; -ENOENT: there is
 * none; 1: it cannot be used, and r->why has the words. checkpoint_close in any case.
 */
int checkpoint_open(struct checkpoint_reader *r, struct io *io, int dir, uint64_t store_id, const struct catalog *c);
void checkpoint_close(struct checkpoint_reader *r);
/* 0; -EUCLEAN: it fails its checksum; -ENOMEM or what the disk said. */
int checkpoint_read_block(const struct checkpoint_reader *r, uint32_t i, struct buf *ret);
/* Sets the words; returns 1. */
int checkpoint_reject(struct checkpoint_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- checkpoint_load.c ---- */

/*
 * Fills the store's empty key directories, counts live bytes, sets the databases' namespaces. The catalog's segments are in the table, in its
 * order. 0, or 1: there is none that can be used, the event (if there is anything to say) has been told, the store is as before.
 */
int checkpoint_load(struct store *s, const struct catalog *c, struct checkpoint_start *ret);
/* Undoes that, because of `why`. */
void checkpoint_unload(struct store *s, const char *why);

#endif
