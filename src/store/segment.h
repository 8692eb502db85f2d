/* SPDX-License-Identifier: MIT
 *
 * The segment file NNNNNNNNNN.seg: a header, then records. Header, 64 bytes, little-endian:
 *
 *   offset size
 *        0    8  "KVDSEG\r\n"
 *        8    4  format version, 1
 *       12    4  header size, 64
 *       16    8  store id
 *       24    8  segment number, the one in the file's name
 *       32    8  position of the first record
 *       40    8  time of creation, Unix ms
 *       48   12  zero
 *       60    4  CRC-32 of bytes 0 .. 59
 *
 * Only the last segment of the catalog grows. It is pre-written with zeros in steps ahead of its records, so that a sync
 * finds its blocks allocated and need not wait for the file system's journal.
 */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/io.h"

#define SEGMENT_HEADER 64
#define SEGMENT_VERSION 1
#define SEGMENT_SIZE_MIN (UINT64_C(1) << 20)
#define SEGMENT_SIZE_MAX (UINT64_C(16) << 30)
#define SEGMENT_NAME_SIZE 32
#define SEGMENT_NEW_NAME_SIZE (SEGMENT_NAME_SIZE + 8)

/*
 * Records in a segment that count though no key lives in them: a segment in which nothing lives can go unread when it has none of these. A set may say too
 * much (of records that were taken back, or hidden by later ones), never too little.
 */
enum segment_mark {
	SEGMENT_TOMBSTONES = 1, /* deletions of keys, flushes of databases */
	SEGMENT_SWAPS = 2,
	SEGMENT_ALL_MARKS = 3,
};

/* What a merge does with a segment. */
enum segment_role {
	SEGMENT_IN_LOG,
	SEGMENT_INPUT,  /* being merged */
	SEGMENT_OUTPUT, /* being made by a merge: no catalog names it yet */
	SEGMENT_STRAY,  /* of a merge that failed late: in use, but no catalog will ever name it */
};

struct segment {
	uint64_t number;
	uint64_t first;      /* position of the first record; offset o holds position first - SEGMENT_HEADER + o */
	uint64_t size;       /* bytes used, header included; of the active one: as the owner sees it */
	_Atomic uint64_t live_bytes; /* of records that are the current version of their key */
	uint32_t seed;       /* record_segment_seed */
	unsigned slot;       /* index in the store's table, part of every locator */
	bool sealed;
	bool unnamed;        /* no catalog names it yet. Under the store's table lock. */
	_Atomic bool complete; /* the catalog names it with its size: it never changes again */
	_Atomic int role;    /* enum segment_role; changed under the table lock */
	bool stuck;          /* a merge failed on it: left alone until the store is opened anew */
	unsigned readers;    /* who needs the file beside the keydir (fetches, links being made): it stays while there are any. The owner's. */
	uint64_t judged;     /* the log's position when the merge began that wrote it; 0: not known, or none did. All its records are from before, and each
			      * value was the current version of its key at some moment after. */
	unsigned marks;      /* set of enum segment_mark. The owner's, but of a merge's output until it is complete. */
	bool unread;         /* input of a merge: nothing in it is needed, so it is not read */
	uint64_t kept;       /* bytes of its records that are no values: tombstones a merge had to keep */
	struct segment *previous; /* the active segment before this one; valid until this one is complete */
	uint64_t used;       /* when the owner last wanted its descriptor: slots.c */
	_Atomic int fd;      /* -1: not open. Opened by the thread that needs it, closed by the owner: slots.c */
};

/* A place in the segment's file and the same place in the log. */
static inline uint64_t segment_position(const struct segment *g, uint64_t offset)
{
	return g->first - SEGMENT_HEADER + offset;
}

static inline uint64_t segment_offset(const struct segment *g, uint64_t position)
{
	return position - g->first + SEGMENT_HEADER;
}

/* Bytes that a merge of it is expected to write. */
static inline uint64_t segment_expected(const struct segment *g)
{
	return atomic_load_explicit(&g->live_bytes, memory_order_relaxed) + g->kept;
}

/* "0000000042.seg" */
void segment_name(char out[SEGMENT_NAME_SIZE], uint64_t number);
/* The number in a segment's file name, or 0. */
uint64_t segment_name_number(const char *name);

#define SEGMENT_RESERVE ((uint64_t)64 << 10) /* allocated bytes ahead of the records, for deletes on a full disk */

#define SEGMENT_NEW_SUFFIX ".new" /* of a file that is being made */

/* The SEGMENT_HEADER bytes of a segment with number and first. */
void segment_encode_header(char *out, const struct segment *g, uint64_t store_id, int64_t now_wall_ms);

/*
 * Makes the file with its header and SEGMENT_RESERVE zeros behind it, syncs it and only then gives it its name (the directory is not
 * synced): whatever is called NNNNNNNNNN.seg was whole once. 0 or an error; *ret_fd is open for reading and writing.
 */
int segment_create(struct io *io, int dir, const struct segment *g, uint64_t store_id, int64_t now_wall_ms, int *ret_fd);

/* The checksum that stands in the header of an open segment: it differs from that of any other one, even of the same number. */
int segment_header_sum(struct io *io, int fd, uint32_t *ret);
/*
 * The same in two steps, for a file that gets its content before its name: segment_begin makes NNNNNNNNNN.seg.new with its header, not synced;
 * segment_give_name renames it.
 */
int segment_begin(struct io *io, int dir, const struct segment *g, uint64_t store_id, int64_t now_wall_ms, int *ret_fd);
int segment_give_name(struct io *io, int dir, const struct segment *g);
/* Removes the file, best effort: under its name only when it was given it, since a file of that number may be of an attempt that failed. */
void segment_remove(struct io *io, int dir, const struct segment *g, bool named);

/* Reads and checks the header against number and store id. -EUCLEAN: not that segment; -EPROTONOSUPPORT: a newer format. */
int segment_check_header(struct io *io, int fd, uint64_t store_id, uint64_t number, uint64_t *ret_first, struct error *e);

#endif
