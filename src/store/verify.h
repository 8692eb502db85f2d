/* SPDX-License-Identifier: MIT
 *
 * Walking the records of a segment file, whole or damaged: what the scrub, the offline tools and the check of a snapshot have in common. The
 * walk reads the file by itself, through a window of its own, and needs no open store. Any thread; one thread a walk.
 */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "store/inner.h"
#include "store/window.h"

enum verify_kind {
	VERIFY_RECORD, /* a whole record */
	VERIFY_VALUE,  /* header and key are right by the head check, what follows is damaged */
	VERIFY_BYTES,  /* bytes of which nothing is known */
};

struct verify_item {
	enum verify_kind kind;
	uint64_t offset, size;
	struct record record; /* of VERIFY_RECORD and VERIFY_VALUE; borrowed until the next step */
};

struct verify_walk {
	struct window w;       /* w.limit: the end of what is to be walked */
	const struct segment *g; /* number, first and seed count */
	uint64_t offset;         /* of the next item */
	uint64_t good;           /* of the next whole record, when that is above `offset` */
};

#define VERIFY_END 1

/*
 * Begins a walk over offsets SEGMENT_HEADER to limit of an open file; `g` is borrowed. verify_done ends it; the file stays open.
 */
void verify_begin(struct verify_walk *v, struct io *io, int fd, const struct segment *g, uint64_t limit);
void verify_done(struct verify_walk *v);

/*
 * The next item: 0, VERIFY_END, or what reading said; a sector that cannot be read is damage like any other. Damaged bytes reach up to the next
 * place where a record or its head is valid, or to the limit.
 */
int verify_next(struct verify_walk *v, struct verify_item *ret);

/*
 * The next place from `from` and before `to` at which a valid record stands: 0, VERIFY_END, or what reading said. Bytes made to look like records can
 * make this expensive: when VERIFY_EFFORT times the bytes searched have been summed up in vain it gives up with VERIFY_GIVEN_UP.
 */
#define VERIFY_EFFORT 16
#define VERIFY_GIVEN_UP 2
int verify_find(struct verify_walk *v, uint64_t from, uint64_t to, uint64_t *ret_offset, struct record *ret);

/*
 * Looks behind `bad` for a record which says that the log was on disk beyond that place: 0 there is one, else as verify_find.
 */
int verify_find_claim(struct verify_walk *v, uint64_t bad);

/* The highest offset of this file that a record says was on disk, at most the limit; SEGMENT_HEADER when none does. Reads all of it. */
int verify_proven(struct verify_walk *v, uint64_t *ret_offset);

/* The end of what is not zero in [from, limit): `from` when all is. 0 or what reading said. */
int verify_used(struct verify_walk *v, uint64_t from, uint64_t *ret_end);

#endif
