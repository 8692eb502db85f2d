/* SPDX-License-Identifier: MIT
 *
 * The inner door of the store room: struct store and what its files share. Nobody outside src/store includes it.
 *
 * Who touches what: fields belong to the owner's thread unless said otherwise. `sync` is shared with the sync thread, `pool` with the fetch
 * threads, each under its own lock or atomics. The segment table grows under `table_lock`; segments never move.
 */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "base/hash.h"
#include "base/thread.h"
#include "store/cache.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/keydir.h"
#include "store/locator.h"
#include "store/pack.h"
#include "store/piece.h"
#include "store/merge.h"
#include "store/recent.h"
#include "store/record.h"
#include "store/reserve.h"
#include "store/scrub.h"
#include "store/segment.h"
#include "store/snapshot.h"
#include "store/store.h"
#include "store/tail.h"

/* ---- sync.c: writes the tail out, syncs, publishes the durable position ---- */

enum sync_state {
	SYNC_RUNNING,
	SYNC_FULL,   /* no space: puts are refused, deletes go to the allocated blocks ahead; space is looked for each second */
	SYNC_FAILED, /* a write or sync failed: read-only until the store is opened anew (invariant I5) */
};

struct sync {
	pthread_t thread;
	bool started, running;   /* set up; the thread exists (from the first record on) */
	pthread_mutex_t lock;
	pthread_cond_t work;     /* something was submitted, or stop, or the rollback is done */
	pthread_cond_t progress; /* durable has moved, or the state changed */
	_Atomic uint64_t submitted, written, durable, barrier;
	_Atomic uint64_t kept;   /* released while the policy was weaker than it is now: not taken back, never cut off */
	_Atomic bool sleeping;   /* the thread waits for `work` */
	_Atomic bool refused;    /* commits behind `written` can never be written: the owner must roll them back; the thread waits for that */
	_Atomic int state;       /* enum sync_state */
	_Atomic int durability;  /* enum store_durability */
	_Atomic uint32_t interval_ms;
	_Atomic uint64_t segment_size; /* as in the options, which are the owner's */
	_Atomic(struct segment *) wanted; /* a rotation by hand: go over to it though nothing is to be written there yet; NULL: none */
	_Atomic uint64_t named; /* number of the last segment the catalog names: the ones before are complete on disk */
	_Atomic uint64_t no_space_ns; /* when the disk last said that there is no space; 0: it never did */
	bool stop;               /* under lock */
	int error;               /* under lock: what made it fail */
	char problem[480];       /* under lock: the reason in words */
	/* The sync thread's own; the owner sets them while the thread waits in `refused`. */
	struct chunk *chunk;     /* the place in the tail */
	struct segment *segment; /* the one being written */
	int fd;
	uint64_t allocated;      /* bytes of that file which need no new blocks */
	uint64_t reserve_before; /* size of the reserve when the disk got full: as much must be there before it is not */
	uint64_t tended_at;      /* position up to which blocks were allocated when the reserve was last looked after */
	uint64_t garbage_end;    /* bytes of a refused group may stand from the end of what is written up to here; 0: none */
	uint64_t last_sync_ns;
	uint64_t gap_ns;         /* how long the last wait for work was */
	_Atomic uint64_t syncs, sync_us_total, sync_us_max, sync_us_last;
};

int sync_start(struct store *s);
/* Stops the thread after a last write and sync of everything. Returns the error that stopped it, or 0. */
int sync_stop(struct store *s);
void sync_wake(struct store *s);
/* Puts are refused, as on a full disk, until space is found again: the reserve is about to be used. Any thread; the owner wakes the sync thread then. */
void sync_keep_full(struct store *s);
/* Has reserve.room found anew. The owner is notified when that is done, or was tried: reserve_looked. */
void sync_ask_for_look(struct store *s);
/* Makes the store read-only for a reason that is not the sync thread's. */
void sync_fail(struct store *s, int error, const char *what);
/* Errors that are shortages, and may pass: nothing is wrong with the disk. */
bool sync_may_pass(int error);
/* The one that the reserve is for. */
bool sync_needs_space(int error);

/* ---- rollback.c: takes back commits that the disk refused ---- */

/* What one write replaced; the rest (type, namespace, key) stands in its record, which is in the tail as long as this is needed. */
struct undo {
	uint64_t position;      /* of the record */
	struct keydir_entry old; /* old.where 0: the key was new or absent */
	struct keydir *flushed; /* of a flush: what the namespace held */
};

struct rollback {
	struct undo *ring;
	size_t head, count, cap;
};

/* Room for `more` entries: 0 or -ENOMEM. Lets go of entries that can no longer be refused. */
int rollback_reserve(struct store *s, size_t more);
void rollback_add(struct store *s, struct undo u);
/* Lets go of entries that can no longer be refused. */
void rollback_forget(struct store *s);
/* Undoes every commit behind what has been released and gives the sync thread its new end. While `refused` is set. */
void rollback_run(struct store *s);
void rollback_free(struct store *s);

/* ---- view.c: ranges as they were ---- */

/* A key gets another record, or none: `old` is the one it had; where 0: none. After the change of the keydir. */
void view_keep(struct store *s, unsigned ns, struct slice key, struct keydir_entry old);
/* The same for all keys of a namespace that was emptied. */
void view_keep_all(struct store *s, unsigned ns, const struct keydir *flushed);
/* Commits behind this position are taken back; the segments they stand in are still there. */
void view_roll_back(struct store *s, uint64_t end);

/* ---- fetch.c: reads that would wait for the disk, and work on large values, done by a small pool ---- */

struct fetch_item;

#define POOL_THREADS 3
#define POOL_LONG 2 /* so many threads may be busy with what takes long: small reads always find one */

struct pool {
	pthread_t thread[POOL_THREADS];
	unsigned threads;
	pthread_mutex_t lock;
	pthread_cond_t work;
	unsigned busy_long;                    /* under lock */
	struct fetch_item *queue, **queue_end; /* under lock */
	struct fetch_item *finished;           /* under lock */
	struct fetch_item *joined;             /* the owner's: waiting for the scrub */
	bool stop;                             /* under lock */
	struct store_fetch *fetches;           /* the owner's: those not freed yet */
};

int pool_start(struct store *s);
void pool_stop(struct store *s);
/* Takes in finished reads; calls options.fetched for each store_fetch that is complete. */
void pool_poll(struct store *s);
/* Frees a keydir; the records it led to are nobody's current version any more. Any thread. */
void store_free_keydir(struct store *s, struct keydir *k);
/* The same away from the owner's thread; frees it here when there is no memory to ask. */
void pool_free_keydir(struct store *s, struct keydir *k);
/* A record as a fetch thread has read and checked it. */
struct fetched {
	struct block *block; /* all its bytes; block->value is that of the record, as stored */
	struct record record;
	bool good;           /* its checksum fits; otherwise there is nothing in `record` */
	bool young;          /* from the tail: there is a block only, and nothing to check */
};
/* The finished record of this locator, when the fetch has it: 0, STORE_PENDING, STORE_ABSENT (not on its list) or an error. */
int fetch_find(struct store_fetch *f, uint64_t where, const struct fetched **ret);
int fetch_add(struct store_fetch *f, uint64_t where);
/* The second run of the request finds this large value of the tail again, be it the same block. Without memory it may not. */
void fetch_keep(struct store_fetch *f, uint64_t where, struct block *block);
/*
 * What pieces_learn finds of a large record, and what pieces_read finds of n bytes: 0, STORE_PENDING (now on the list), STORE_ABSENT (neither: the record is
 * to be read whole) or -ENOMEM.
 */
int fetch_learn(struct store_fetch *f, uint64_t where, struct slice key, const struct pieces **ret);
int fetch_part(struct store_fetch *f, const struct pieces *p, size_t from, size_t n, struct block **ret);
/* As txn_work. */
int fetch_work(struct store_fetch *f, const struct store_work *asked, const struct store_work **ret_done);
/* Has a fetch wait for the end of the scrub's pass as for a record: 0 or -ENOMEM. fetch_release ends the wait of all of them. */
int fetch_join(struct store_fetch *f);
void fetch_release(struct store *s);
/* 0: it waited, and that is over; STORE_PENDING: it waits; STORE_ABSENT: it never did. */
int fetch_joined(const struct store_fetch *f);

/* ---- snapshot_job.c: snapshots seen by the owner; snapshot.h has what the thread does ---- */

struct snapshot_job {
	enum { SNAPSHOT_IDLE, SNAPSHOT_ROTATING, SNAPSHOT_WORKING } step;
	bool deleting;
	unsigned keep;
	uint64_t segment, rollbacks; /* while rotating: what is waited for, and whether it was taken back */
	uint64_t begun_ns, begun_records;
	pthread_t thread;
	_Atomic bool cancel, finished;
	struct snapshot_order order;
	/* The thread's until it has finished. */
	int result;
	struct error error;
	struct store_snapshot made;
	struct snapshot_list fresh; /* as read afterwards */
	/* The owner's. */
	struct snapshot_list list;
	uint64_t ended, last_us, records;
	int last_result;
	char problem[480];
};

/* ---- slots.c: the slots of segments, and the catalog as their list on disk ---- */

struct slot_list {
	unsigned *slot;
	size_t count, cap;
};

/* A free slot: 0 or -ENOMEM. A slot is used again only after the value cache has forgotten what it knew of it. */
int slots_take(struct store *s, unsigned *ret);
/* Takes a segment nobody refers to any more out of the table; the caller frees it. */
void slots_remove(struct store *s, struct segment *g);
/* After recovery: all that is there is named, and all but the active segment complete. */
void slots_opened(struct store *s);
void slots_free(struct store *s);
/* The segments of the log in its order, which is that of their positions; free() the list. NULL: no memory. The owner's. */
struct segment **slots_list(struct store *s, size_t *ret_count);
/* Whether keys live in segments that the catalog does not name: in the outputs of a merge that is not over. */
bool slots_hold_unnamed(const struct store *s);
void slots_stats(const struct store *s, struct store_stats *ret);
/*
 * The owner is about to read a segment, itself or by a fetch thread. Before too many are open this closes those that were not wanted for the longest
 * time. A descriptor may be used by other threads while its segment is active, or has readers; then it is left alone.
 */
void slots_want(struct store *s, struct segment *g);
/* Closes all that nobody uses: there are no descriptors left. */
void slots_close_idle(struct store *s);
/* One reader less (segment.h). */
void slots_unpin(struct store *s, struct segment *g);

/* Syncs the directory: 0 or -EIO. When one sync has failed all later ones do: it may have lost names that another thread was about to sync. */
int slots_sync_dir(struct store *s);

/* Each replaces the catalog and is durable on return; errors as catalog_write. Any thread. */
int slots_name_active(struct store *s, struct segment *active, bool clean);
int slots_name_merged(struct store *s);                   /* outputs take the place of inputs, in it and in the table */
int slots_reserve_numbers(struct store *s, uint64_t next); /* files with numbers below may come into being */

/* ---- the store ---- */

struct store {
	struct store_options options;
	struct io *io;
	const struct clock *clock;
	int dir, lock_fd, notify_fd;
	uint64_t id;
	int64_t wall_offset; /* wall minus steady time: store.c */
	int64_t wall_base; /* steady time = wall_base + mono - mono_base */
	uint64_t mono_base;

	pthread_mutex_t table_lock;
	struct segment **slot; /* by locator slot, NULL: free; LOCATOR_SLOTS at most */
	unsigned slots;        /* slots ever used */
	struct slot_list freed, reusable;
	unsigned slots_before_reuse; /* so many freed slots are worth emptying the value cache */
	uint64_t uses;         /* of descriptors of segments, counted: segment.used */
	unsigned opens;        /* descriptors that may have been opened since some were closed */
	struct segment *active;
	uint64_t next_number;
	pthread_mutex_t catalog_lock;  /* held while the catalog is replaced; taken before table_lock */
	struct segment *named_active;  /* under catalog_lock: the one the catalog has without a size */
	bool dir_failed;               /* under catalog_lock: a sync of the directory failed, and with it names may be lost: none can be made durable any more */
	uint64_t reserved;             /* under catalog_lock: the catalog's `next`, above every number that may have a file */
	struct compact compact;

	unsigned databases;
	struct keydir *keydir[STORE_MAX_DATABASES]; /* by namespace */
	uint8_t ns_of[STORE_MAX_DATABASES];         /* database -> namespace */
	uint64_t flushed_at[STORE_MAX_DATABASES];   /* namespace: position of its last flush */
	uint64_t swapped_at[STORE_MAX_DATABASES];   /* database: position of its last exchange */
	bool incomplete;                            /* a rollback found no memory: the keydir is not right, reads answer -ENOMEM */
	struct buf expire_from[STORE_MAX_DATABASES];
	unsigned expire_ns;
	uint64_t expire_rollbacks, expire_after_ns; /* rollbacks seen; on a full disk nothing is tried before */

	uint64_t position;
	struct tail tail;
	struct blocks *blocks;
	struct cache cache;
	struct pieces *pieces; /* of large records, those asked for last */
	struct recent recent;
	struct rollback rollback;
	struct txn *txn;
	struct store_view *views; /* all there are */
	struct pack pack;
	struct sync sync;
	struct reserve reserve;
	struct pool pool;
	struct checkpoint checkpoint;
	bool closing;
	struct scrub scrub;
	struct snapshot_job snapshot;
	int told_state;      /* the sync state last told through options.event */
	uint64_t rolled_back, told_rolled_back;

	uint64_t commits, records, bytes_appended, expired, fetches, works, damaged;
	uint64_t gaps; /* RECORD_GAP records replayed: a repair could not tell whose they were */
	uint64_t recovered_records, recovered_bytes, recovery_us, tail_bytes_cut;
	char problem[480];
};

/* Tells options.event; the format gives the text. */
void store_tell(struct store *s, struct store_event e, const char *format, ...) __attribute__((format(printf, 3, 4)));
void store_set_problem(struct store *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Wakes whoever watches store_notify_fd. Any thread. */
void store_notify(struct store *s);

/* The disk is full: transactions made of deletions only may still try the blocks ahead. */
bool store_is_full(const struct store *s);
/* store_rotate, also on a full disk. */
int store_seal(struct store *s, uint64_t *ret_segment);

/* There was no memory to take a write back: the store takes and tells nothing more until it is opened anew. */
void store_lose_sight(struct store *s);

/* Adds a segment of the catalog to the table: NULL when there is no memory or no slot. */
struct segment *store_add_segment(struct store *s, uint64_t number, uint64_t first);
/* The same for what a merge makes: with a number of its own, and not named by any catalog yet. */
struct segment *store_add_output(struct store *s, uint64_t first);
/* The descriptor for reading a segment, opened on first use; a negative errno. Any thread. */
int store_segment_fd(struct store *s, struct segment *g);
/* Takes the youngest segment out of the table again; it has no file yet. */
void store_drop_segment(struct store *s);
/* Makes a new active segment that begins at the store's position (in memory; the sync thread makes the file). */
struct segment *store_begin_segment(struct store *s);

/* Counts a record as the current version of its key, or no longer. */
void store_count_live(struct store *s, uint64_t where);
void store_count_dead(struct store *s, uint64_t where);

/* What a record adds to the marks of its segment. */
static inline unsigned record_marks(enum record_type type)
{
	return type == RECORD_DELETE || type == RECORD_FLUSH ? SEGMENT_TOMBSTONES : type == RECORD_SWAP ? SEGMENT_SWAPS : 0;
}

/* ---- read.c ---- */

/* Checks the bytes of a record read from disk against locator and key. 0 and the value, or STORE_CORRUPT with the problem set. */
int read_check(struct store *s, uint64_t where, struct slice bytes, struct slice key, struct slice *ret_value);
/* The same of a record that was decoded; NULL: that failed. */
int read_record(struct store *s, uint64_t where, const struct record *r, struct slice key, struct slice *ret_value);
/* The value behind a stored one, in memory of the open transaction when it was compressed: 0, STORE_CORRUPT or an error, with the problem set. */
int read_unpack(struct store *s, uint64_t where, unsigned codec, struct slice stored, struct slice *ret_value);
/* Has the damaged record of a key listed in damaged/INDEX. */
void read_list(struct store *s, uint64_t where, unsigned ns, struct slice key);
/* Sets the problem of a read that failed with error, and returns that. */
int read_failed(struct store *s, uint64_t where, int error);
/* A number that names the record among all that ever were: txn_version. */
uint64_t read_version(const struct store *s, uint64_t where);
/* The position behind the record, for invariant I2. */
uint64_t read_position(const struct store *s, uint64_t where);

/* ---- recover.c ---- */

int recover_open(struct store *s, struct error *e);
/* Takes the lock of a data directory and writes the pid into it: 0 and the handle, -EBUSY with the other's pid, or what the disk said. */
int recover_lock(struct io *io, int dir, const char *path, int *ret_fd, struct error *e);

/* ---- replay.c ---- */

/* Builds the keydir from the catalog's segments, cuts a torn tail, sets active segment and position. */
int replay_all(struct store *s, const struct catalog *c, struct error *e);

/* ---- txn.c ---- */

struct txn *txn_new(struct store *s);
struct txn *txn_free(struct txn *t);

#endif
