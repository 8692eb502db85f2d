/* SPDX-License-Identifier: MIT
 *
 * What the parts of a replay share. Threads read segments, check the records and sort what whole transactions did to keys; the owner's
 * thread takes these batches in the order of the log and changes the key directories. Sorted, neighbours in a batch are neighbours in the
 * directory, so that its pages are found in the cache; the first batch of an empty directory is built without any search.
 *
 * Memory: a batch takes up to BATCH_BYTES (one transaction may make it larger), and a thread has at most three of them, the room to sort one, and a
 * window.
 */
#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

#include "store/inner.h"
#include "store/window.h"

#define BATCH_BYTES ((size_t)24 << 20) /* keys of 16 bytes: all those of a segment */
#define REPLAY_THREADS 4

/* ---- replay_batch.c ---- */

/* What a record does to a key, or to a namespace. */
struct batch_op {
	uint64_t where;
	int64_t expire_wall_ms;
	uint32_t key, key_len; /* in `keys` */
	uint8_t type, ns;
};

struct batch_place {
	uint64_t head; /* of the key, behind what all keys of the batch begin with */
	uint32_t op, ns;
};

struct batch {
	struct batch *next;
	struct batch_op *op;
	size_t count, cap;
	size_t whole;             /* of them belong to whole transactions */
	struct buf keys;
	bool in_order;            /* it has a flush or an exchange: it is applied as it stands */
	size_t common;            /* bytes all keys begin with */
};

/* What sorting takes beside the batch; it is kept from one to the next. */
struct sorter {
	struct batch_place *place, *other; /* other: of the pass before */
	size_t place_cap; /* of both */
	struct batch_op *op;
	size_t op_cap;
	struct buf keys;
};

struct batch *batch_free(struct batch *b); /* accepts NULL, returns NULL */
void batch_clear(struct batch *b);
/* Appends what a record does: 0 or -ENOMEM. */
int batch_add(struct batch *b, const struct record *r, uint64_t where);
bool batch_is_full(const struct batch *b);
/* Moves what belongs to no whole transaction yet to an empty batch: 0 or -ENOMEM. */
int batch_split(struct batch *b, struct batch *rest);
/* Sorts it, if it may be, by namespace and key, and drops all but the last op of a key: 0 or -ENOMEM. Any thread, like those above. */
int batch_sort(struct batch *b, struct sorter *w);
void sorter_free(struct sorter *w);
/* Changes directories, live bytes and the databases' namespaces: 0 or -ENOMEM. The owner's. */
int batch_apply(struct store *s, const struct batch *b);

/* ---- replay_read.c ---- */

/* A segment to be read, and what came of it. */
struct feed {
	struct segment *g;
	uint64_t from, limit; /* offsets */
	int error;            /* -ENOMEM or what the disk said; then nothing below counts */
	uint64_t end;         /* the limit, or where the first thing stands that is no record */
	uint64_t begun;       /* end of the last whole transaction */
	uint64_t proven;      /* highest position that a record says was durable; 0: none does */
	uint64_t records, gaps;
	unsigned marks;       /* enum segment_mark */
	/* Under the crew's lock: */
	struct batch *first; /* made, and not yet taken */
	bool done;
};

struct crew {
	struct store *s;
	struct feed *feed;
	size_t feeds;
	pthread_t thread[REPLAY_THREADS];
	unsigned threads;  /* 0: the owner reads by itself */
	pthread_mutex_t lock;
	pthread_cond_t given, taken;
	size_t next, at;   /* under lock: the feed to be begun next; the one the owner is at */
	struct batch *spare; /* under lock */
	_Atomic bool stop;
	_Atomic uint64_t read; /* bytes so far */
	uint64_t total, told_ns;
};

/* Begins to read the feeds, which are borrowed until crew_end. */
void crew_begin(struct crew *c, struct store *s, struct feed *feeds, size_t count);
/* Applies the whole transactions of feed i, the next one in order. 0, or its error. */
int crew_apply(struct crew *c, size_t i);
void crew_end(struct crew *c);

#endif
