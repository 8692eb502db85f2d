/* SPDX-License-Identifier: MIT
 *
 * The merge: live records of a run of neighbouring complete segments are written anew, tight, and the new segments take the place of the old
 * ones in the log. Garbage goes, the order of the log stays. Why nothing is lost and nothing comes back: doc/durability.md.
 *
 * One merge at a time. A thread of its own reads, writes and syncs; the keydir is the owner's, so what needs it is asked of the owner, in batches, and
 * answered in store_poll, a piece in each turn. While the owner looks at one batch, the thread reads the next one or writes the one before.
 * The steps:
 *
 *   copy     read the inputs; ask which records are still current; write those to outputs named NNNNNNNNNN.seg.new, sync them
 *   settle   wait until all commits that made records obsolete are durable. Had one of them been taken back, the merge is given up.
 *   name     reserve the numbers in the catalog, rename the outputs, sync the directory
 *   move     read the outputs back, checking them; ask the owner to point each key to its new place, if it still lives at the old one
 *   settle   wait until what was committed meanwhile is durable, and no key and nothing that can be taken back refers to the inputs
 *   switch   the catalog names the outputs in the place of the inputs
 *   remove   when no fetch needs them any more, the inputs are closed and unlinked
 *
 * A crash before the switch leaves outputs no catalog names, one after it inputs no catalog names: the start removes both.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/buf.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/store.h"
#include "store/window.h"

#define MERGE_SPARE ((uint64_t)1 << 20) /* bytes of the disk that a merge leaves to others */
#define MERGE_PIECE 64 /* records the owner looks at in one turn */

struct merge_item {
	struct record r;
	uint64_t where;  /* its place */
	uint64_t from;   /* in a move: its place in the input */
	uint64_t size;
	bool keep;       /* the owner's answer */
	bool expired;
};

/* Records read together: the thread's, but while the owner is asked about them. */
struct merge_batch {
	struct window window; /* their bytes */
	struct merge_item *item;
	size_t items, cap;
	size_t answered;      /* the owner has looked at so many */
};

enum merge_ask {
	MERGE_NOTHING,
	MERGE_JUDGE,  /* which items of m->about to keep */
	MERGE_OUTPUT, /* another output segment, which begins at next_first */
	MERGE_SETTLE, /* what was judged is durable */
	MERGE_MOVE,   /* the items of m->about live at their new places */
	MERGE_MOVED,  /* all of that is durable, and nothing refers to the inputs. MERGE_AGAIN: move once more */
	MERGE_RETIRE, /* nobody reads the inputs; takes them out of the table */
	MERGE_DONE,
};

enum { MERGE_AGAIN = 1, MERGE_NOT_YET = 2 };

struct merge {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum merge_ask ask;  /* under lock; MERGE_NOTHING: answered */
	struct merge_batch *about; /* under lock */
	int answer;          /* under lock */
	bool stop;           /* under lock */
	_Atomic bool paused;
	_Atomic int waits;           /* why the new catalog could not be written, and is tried again; 0: it could */
	bool told_waits;             /* the owner's */
	_Atomic uint64_t rate;       /* bytes read and written a second; 0: as fast as it goes */
	_Atomic uint64_t bytes_read, bytes_written, bytes_total; /* total: to read */

	/* The owner's while the thread waits for an answer, the thread's otherwise. */
	struct segment **input, **output;
	size_t inputs, outputs, outputs_cap;
	uint64_t next_first;
	uint64_t expected;      /* bytes of what lives in the inputs, and of tombstones that had to be kept before: about what the outputs will have */
	bool on_reserve;        /* the disk is full: the reserve is there for it */
	uint64_t clean_before;  /* no segment older than the run has obsolete records from before this position */
	uint64_t begun_at;      /* the store's position at the beginning */
	uint64_t settle_at;     /* the position after the last answer */
	uint64_t rollbacks;     /* as they were when the step began */
	bool retired;           /* the inputs are out of the table */

	/* The thread's. */
	struct merge_batch batch[2];
	struct buf out;         /* bytes of the current output not yet written */
	int in_fd, out_fd;      /* -1: none is open */
	uint64_t unsynced;
	uint64_t *from;         /* places in the inputs of the values in the outputs, in their order */
	size_t froms, froms_cap;
	uint8_t database[STORE_MAX_DATABASES]; /* what the SWAP records of the run come to */
	uint64_t paid_ns;       /* by the rate, the bytes so far take until then */
	bool naming;            /* the outputs may have their names */
	bool moving;            /* keys may live in the outputs already */
	bool switched;          /* the catalog names the outputs */
	int result;
	char problem[300];      /* what stopped it */
	uint64_t problem_offset;
	struct segment *problem_segment; /* a damaged one, or NULL */
};

/* A record a key may live in, be it that its value is lost. */
static inline bool merge_is_value(const struct record *r)
{
	return r->type == RECORD_PUT || r->type == RECORD_LOST;
}

/* ---- merge.c: the owner's side ---- */

/* Begins with the run input[0 .. n), whose memory becomes the merge's, also on failure. 0 or an error. */
int merge_start(struct store *s, struct segment **input, size_t n, uint64_t clean_before);
/* Answers the thread. True: the merge is over, m->result says how; merge_free ends it. */
bool merge_poll(struct merge *m);
/* Also while the thread rests because of the rate before. */
void merge_set_rate(struct merge *m, uint64_t rate);
struct merge *merge_free(struct merge *m);
/* The store is being closed: gives up what is running. */
void merge_stop(struct store *s);

/* Why a merge is not begun. */
void merge_say_room(char *out, size_t size, uint64_t expected, uint64_t room);

/* ---- merge_copy.c: the thread ---- */

void *merge_run(void *arg);

/* ---- compact.c: when to merge what ---- */

struct compact {
	struct merge *merge;        /* or NULL */
	struct store_compaction settings;
	bool closed, paused, wanted, by_hand;
	unsigned flags, wanted_flags;
	struct segment *sealing;    /* was active when a compaction by hand began, and is not yet complete */
	uint64_t at, until;         /* positions: what a compaction by hand has still to look at */
	uint64_t begun, done;       /* compactions by hand so far */
	uint64_t bytes_before, bytes_after, saved; /* of the last one */
	int result;                 /* of the last one */
	char problem[300];
	uint64_t merges, merges_failed, merged_bytes_read, merged_bytes_written, merged_bytes_saved;
	uint64_t retry_ns;          /* no merge by itself before: the last one failed */
	uint64_t sweep_ns;          /* no compaction for the sake of tombstones before, where there is little space */
	bool unsealed;              /* by hand: it has yet to be seen whether the active segment is to be sealed */
	bool told_failed;
};

void compact_poll(struct store *s);
void compact_stats(const struct store *s, struct store_stats *ret);

#endif
