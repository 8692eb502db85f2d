/* SPDX-License-Identifier: MIT
 *
 * The store: a durable, ordered map from (database, key) to value in one directory. This is the front door of the room:
 * transactions in, results and one number, the durable position, out. It knows nothing of clients, sockets or protocols.
 *
 * Threads: every call is made by one thread, the owner. The store has helper threads of its own (sync, fetch); they
 * only carry bytes and hand results back through store_notify_fd / store_poll.
 *
 * Errors follow base/error.h. Positions are byte offsets in the endless log: each commit has one, they only grow. A
 * commit is durable when store_durable() has reached its position.
 *
 * Time: expiry times are milliseconds of the store's own steady clock (store_now), which starts at wall time and then
 * counts elapsed time, so that a step of the wall clock neither kills nor revives a key. STORE_NO_EXPIRY means none.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/block.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/slice.h"

#define STORE_MAX_KEY 65536                 /* bytes */
#define STORE_MAX_VALUE (UINT32_C(512) << 20) /* bytes; the option max_value may lower it */
#define STORE_MAX_TRANSACTION (UINT64_C(2) << 30) /* bytes of its records */
#define STORE_MAX_DATABASES 256
#define STORE_NO_EXPIRY INT64_MAX

/* Positive conditions, the same number everywhere in this header. */
enum {
	STORE_ABSENT = 1,  /* there is no such key */
	STORE_PENDING = 2, /* the record is not in memory: abort, wait for the fetch, run again */
	STORE_CORRUPT = 3, /* the record fails its checksum; store_problem() says where */
	STORE_REFUSED = 4, /* the store takes no such write now (on a full disk deletes are still taken); store_health() says why */
};

/* How a value is stored, as records say it. lz4 and zstd where their libraries were there when kvd was built. */
enum store_codec { STORE_RAW = 0, STORE_ZLIB = 1, STORE_LZ4 = 2, STORE_ZSTD = 3 };
#define STORE_CODECS 4
/* Whether this build has it. */
bool store_has_codec(enum store_codec codec);

enum store_durability {
	STORE_ALWAYS,   /* a commit may be acknowledged when it is synced */
	STORE_INTERVAL, /* when it is written; synced every interval_ms */
	STORE_NEVER,    /* when it is written; synced only at rotation, barrier and close */
};

enum store_flag {
	STORE_CREATE = 1,    /* make the directory's store when there is none */
	STORE_READ_ONLY = 2, /* change nothing on disk, take no lock that a writer needs */
	STORE_BLOCKING = 4,  /* reads wait for the disk: never STORE_PENDING (embedding, tools) */
};

/* Told through options.event, on the owner's thread: what an administrator should know. */
enum store_event_kind {
	STORE_EVENT_CREATED,    /* a new store was made */
	STORE_EVENT_RECOVERED,  /* open is complete: records and bytes replayed */
	STORE_EVENT_TAIL_CUT,   /* an incomplete end of the log was cut: file, offset, bytes; kept under damaged/ */
	STORE_EVENT_DAMAGE,     /* a record failed its checksum: file, offset */
	STORE_EVENT_LEFTOVER,   /* a file no catalog names was removed: file */
	STORE_EVENT_ROTATED,    /* a new segment was begun: file */
	STORE_EVENT_REFUSING,   /* writes are refused from now on: text has the reason */
	STORE_EVENT_RESUMED,    /* writes are taken again */
	STORE_EVENT_CHECKPOINT,    /* a checkpoint was written: bytes, and its keys as records */
	STORE_EVENT_NO_CHECKPOINT, /* one could not be written; nothing depends on it */
	STORE_EVENT_CHECKPOINT_UNUSED, /* the one found at the start does not fit or is damaged: the whole log is read */
	STORE_EVENT_SCRUBBED,   /* everything was read back: records, bytes; the text has what is damaged */
	STORE_EVENT_SNAPSHOT,        /* a snapshot is complete: file is its name, bytes of its files */
	STORE_EVENT_SNAPSHOT_FAILED, /* a snapshot could not be made or removed: file is its name, text has the reason */
	STORE_EVENT_MERGED,     /* segments were merged: bytes before are `offset`, after are `bytes` */
	STORE_EVENT_MERGE_FAILED, /* a merge was given up, nothing is lost; with a damaged record: file, offset */
	STORE_EVENT_MERGE_WAITS,  /* one that is written waits for room to name its segments; it goes on by itself */
};

struct store_event {
	enum store_event_kind kind;
	const char *text; /* one line for people, complete in itself */
	const char *file; /* or NULL */
	uint64_t offset, bytes, records;
};

struct store_options {
	const char *path;     /* the data directory, must exist */
	unsigned flags;       /* enum store_flag */
	unsigned databases;   /* 1 to STORE_MAX_DATABASES; 0: 16 */
	uint64_t segment_size; /* bytes, 1 MiB to 16 GiB; 0: 64 MiB. A larger transaction makes a larger segment, a small disk smaller ones (reserve.h). */
	uint32_t max_value;   /* bytes; 0: STORE_MAX_VALUE */
	enum store_durability durability;
	uint32_t interval_ms; /* for STORE_INTERVAL; 0: 1000 */
	enum store_codec compression; /* of values */
	int compression_level;    /* 1 (fastest) to 9 (smallest); 0: 1 */
	uint32_t compression_min; /* bytes of the shortest value to compress; 0: 1024 */
	unsigned open_segments; /* about so many are kept open for reading, others are opened when they are read; 0: 64 */
	uint64_t cache_size;  /* bytes of values kept in memory beside the log's tail; UINT64_MAX: the default */
	struct io *io;             /* NULL: io_system */
	const struct clock *clock; /* NULL: clock_system */
	void (*event)(void *arg, const struct store_event *e); /* may be NULL */
	/* Called about ten times a second during recovery, and while store_close writes a checkpoint: how much is done and to do. May be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* A fetch begun for this token is complete (called inside store_poll). May be NULL with STORE_BLOCKING. */
	void (*fetched)(void *arg, void *token);
	/* A key was removed because its time had come (called inside store_expire_some). May be NULL. */
	void (*expired)(void *arg, unsigned db, struct slice key);
	void *arg; /* for the calls above */
};

struct store;

/*
 * Opens, and recovers what the last run left. Errors: -EBUSY (another process owns it; the text has its pid), -ENOENT (no store, no
 * STORE_CREATE), -EPROTONOSUPPORT (format of a newer release), -EUCLEAN (damage that is not a torn tail), -EACCES/-EPERM (directory
 * writable by others), -EINVAL (options), and what the disk said. *ret_error always names file and reason.
 */
int store_open(const struct store_options *options, struct store **ret, struct error *ret_error);

/*
 * Syncs, marks a clean stop, writes a checkpoint when the next start would be faster for it, closes. Accepts NULL. Returns the first error
 * of the final sync; the store is gone either way.
 */
int store_close(struct store *s);

/* ---- durable position and the owner's loop ---- */

uint64_t store_position(const struct store *s);   /* end of the last commit */
uint64_t store_durable(const struct store *s);    /* everything before it is on disk */
/* Replies whose position is at most this may leave: durable with STORE_ALWAYS, otherwise written (it survives the process, not yet the machine). */
uint64_t store_releasable(const struct store *s);

/* Readable when store_poll has something to do. Owned by the store. */
int store_notify_fd(const struct store *s);
/* Takes in what helper threads finished; calls options.fetched and options.event. */
void store_poll(struct store *s);
/* End of the owner's turn: what was committed since goes to the sync thread. Cheap when there is nothing. */
void store_submit(struct store *s);
/* Asks for a sync of everything committed so far, whatever the policy; store_durable() tells when. */
void store_barrier(struct store *s);
/* Waits for position to be durable. 0, or the error that stopped the log. For embedding and shutdown, not for a loop. */
int store_wait(struct store *s, uint64_t position);
/* Hands over what was committed and waits until store_releasable() has reached position: for the disk only when the policy says so. Errors likewise. */
int store_settle(struct store *s, uint64_t position);
/*
 * Closes the active segment by hand: what is committed from now on stands in the one whose number is *ret_segment. The file is made by the sync
 * thread; store_rotated() tells when the catalog names it, and then everything before it is complete on disk. An active segment without
 * records is left as it is. 0, -ENOMEM or STORE_REFUSED. A rollback takes the rotation back, too: see store_rollbacks().
 */
int store_rotate(struct store *s, uint64_t *ret_segment);
bool store_rotated(const struct store *s, uint64_t segment);
/* Bytes committed and not yet written; above store_backlog_limit() the owner should stop taking requests. */
uint64_t store_backlog(const struct store *s);
uint64_t store_backlog_limit(const struct store *s);

/* 0: healthy; STORE_REFUSED: writes are refused; *ret_text (may be NULL) is the reason, valid until the next call. */
int store_health(const struct store *s, const char **ret_text);
/*
 * How often commits were taken back because the disk refused them (inside store_poll, or a wait that failed). When this has changed, every position
 * above store_position() and above what was releasable before names a commit that did not happen, and positions above it will be given out again.
 */
uint64_t store_rollbacks(const struct store *s);
/* Text of the last STORE_CORRUPT, STORE_REFUSED or negative result, names file and offset. */
const char *store_problem(const struct store *s);

int64_t store_now(const struct store *s);                       /* steady milliseconds */
int64_t store_from_wall(const struct store *s, int64_t wall_ms); /* wall time -> steady, saturating */
int64_t store_to_wall(const struct store *s, int64_t steady_ms);

/* Where the blocks are from that go in and out of this store. They may be kept for longer than it is open. */
struct blocks *store_blocks(struct store *s);

/* Run-time settings. */
void store_set_durability(struct store *s, enum store_durability d, uint32_t interval_ms);
void store_set_segment_size(struct store *s, uint64_t bytes);
void store_set_max_value(struct store *s, uint32_t bytes);
/* As in the options. Values longer than 64 KiB and those that do not shrink by an eighth are stored as they are. */
void store_set_compression(struct store *s, enum store_codec codec, int level, uint32_t min);

/* Removes up to about `pages` leaf pages' worth of expired keys, one commit; returns how many keys went. Call by timer. */
unsigned store_expire_some(struct store *s, unsigned pages);
/* A sweep that no client notices: so many pages at a time, again while so many keys went, and so often at most. */
#define STORE_SWEEP_PAGES 16
#define STORE_SWEEP_KEYS 256
#define STORE_SWEEP_ROUNDS 8

/*
 * Begins to write a checkpoint, which lets the next start read the end of the log only. It goes on in store_poll, a little each time, and in a
 * thread; STORE_EVENT_CHECKPOINT or STORE_EVENT_NO_CHECKPOINT ends it. 0, also when one is being written; -ENOMEM, -EAGAIN (no thread),
 * STORE_REFUSED (read-only).
 */
int store_checkpoint(struct store *s);
/*
 * Whether another one is due, `since_ms` milliseconds after the last one was begun: the log has grown so much that it pays, and interval_ms are over, or a
 * fifteenth of them when a start would read the whole log (none was written yet, or a merge has taken away segments it lists). Call by timer.
 */
bool store_checkpoint_due(const struct store *s, uint64_t since_ms, uint64_t interval_ms);

/* ---- segments and their merging (compaction) ---- */

/*
 * Compaction merges complete segments: their live records are copied to new ones in the background, and the space of overwritten, deleted
 * and expired ones comes back. Reads and writes go on. It needs space for the copies; when there is none it stops without a trace.
 */
enum store_compact_flag {
	STORE_COMPACT_FORCE = 1, /* also segments without garbage */
};

/*
 * By hand: the active segment is sealed, then every segment with garbage is merged, oldest first. 0: it has begun, or begins after the merge that
 * is running; it is over when store_stats' compactions_done has reached *ret_ticket. -EALREADY: one is waiting or running by hand, and
 * *ret_ticket is that one's. STORE_REFUSED: the store takes no writes.
 */
int store_compact(struct store *s, unsigned flags, uint64_t *ret_ticket);
/* Lets merges stand still, and go on. */
void store_compact_pause(struct store *s, bool pause);

struct store_compaction {
	unsigned garbage_ratio; /* percent of the log that may be garbage before merges begin by themselves; 0: they do not by this */
	uint64_t min_garbage;   /* bytes of garbage below which they do not */
	uint64_t max_garbage;   /* bytes of garbage from which they do, whatever the share; 0: no such limit */
	uint64_t rate;          /* bytes read and written a second; 0: no limit */
};
void store_set_compaction(struct store *s, const struct store_compaction *c);
/* Begins a merge when there is too much garbage, the segments with most of it first. Call by timer: each call begins at most one. */
void store_compact_tick(struct store *s);

struct store_segment {
	uint64_t number, first, size, live_bytes;
	uint64_t tombstone_bytes; /* of records a merge had to keep though they are no values */
	bool active, complete, merging;
};
/* All segments in log order; *ret_list is to be freed with free(). The number of them, or -ENOMEM. */
long store_segments(struct store *s, struct store_segment **ret_list);

/* ---- transactions ---- */

/*
 * A transaction reads and states writes, then is committed (all of it, atomically) or aborted. One is open at a time; there is no
 * concurrency to conflict with, so commit fails only for reasons of memory, limits or disk. Reads see the transaction's own writes.
 */
struct txn;
struct store_fetch; /* the records one parked request waits for; see below */

/* Begins; never fails. `fetch` may be NULL. The returned object belongs to the store. */
struct txn *txn_begin(struct store *s, struct store_fetch *fetch);

struct txn_value {
	struct slice data; /* borrowed until commit or abort */
	int64_t expire_ms; /* STORE_NO_EXPIRY: none */
	struct block *block; /* what data lies in: with a reference it may be kept for longer; NULL: it may not */
};

/*
 * 0, STORE_ABSENT, STORE_PENDING, STORE_CORRUPT or a negative errno (-EIO: the read failed; -E2BIG: it would take too much memory to fetch
 * this record together with those already fetched). An expired key is absent.
 */
int txn_get(struct txn *t, unsigned db, struct slice key, struct txn_value *ret);
/*
 * The length of a value, or up to n bytes of it from `from` on (behind its end: none), as txn_get. Of a large value that is in a file the rest is not kept in
 * memory: it is read through and checked once, then a part is read alone.
 */
int txn_length(struct txn *t, unsigned db, struct slice key, size_t *ret);
int txn_get_part(struct txn *t, unsigned db, struct slice key, size_t from, size_t n, struct txn_value *ret);
/* Existence and expiry without the value, never touches the disk: 0 or STORE_ABSENT. ret_expire_ms may be NULL. */
int txn_peek(struct txn *t, unsigned db, struct slice key, int64_t *ret_expire_ms);
/*
 * *ret_version names the record in which the key's value stands: 0 or STORE_ABSENT. No two writes of a store ever have the same one (after a power
 * loss or a restore: two writes that were both shown), and it is never 0 but for a key this very transaction has written. A merge gives the
 * record another one. Never touches the disk.
 */
int txn_version(struct txn *t, unsigned db, struct slice key, uint64_t *ret_version);

/*
 * State a write. key and value are borrowed until commit. Returns 0; -EMSGSIZE (key or value above its limit);
 * -ENOMEM; STORE_REFUSED. txn_delete: STORE_ABSENT when there is nothing to delete (and nothing is written).
 */
int txn_put(struct txn *t, unsigned db, struct slice key, struct slice value, int64_t expire_ms);
int txn_delete(struct txn *t, unsigned db, struct slice key);
/* txn_put of a value that is perhaps a whole block, with its checksum: then the commit takes a reference instead of a copy. */
int txn_put_value(struct txn *t, unsigned db, struct slice key, const struct txn_value *v);
/* Gives the key another expiry: 0, STORE_ABSENT, STORE_PENDING, STORE_CORRUPT or an error, as txn_get and txn_put. */
int txn_touch(struct txn *t, unsigned db, struct slice key, int64_t expire_ms);
/* Deletes every key of a database. */
int txn_flush(struct txn *t, unsigned db);
/* Exchanges two databases. */
int txn_swap(struct txn *t, unsigned db, unsigned other);

/* Memory that lives until commit or abort; NULL: none, or more than a transaction may have. */
void *txn_alloc(struct txn *t, size_t size);

uint64_t txn_count(struct txn *t, unsigned db);    /* keys, expired ones not yet swept included */
uint64_t txn_expiring(struct txn *t, unsigned db); /* keys with an expiry, committed state only */
bool txn_has_writes(const struct txn *t);

/*
 * Ends the transaction. *ret_position: nothing that was read or written here may be shown to anybody before store_releasable()
 * reaches it (0: no wait); it counts writes of others that this transaction saw. Returns 0; -ENOMEM, -E2BIG (STORE_MAX_TRANSACTION) or
 * STORE_REFUSED: nothing was written, the transaction is aborted.
 */
int txn_commit(struct txn *t, uint64_t *ret_position);
/* The position of a transaction that is to be aborted though its reads were used for a reply: as *ret_position above. */
uint64_t txn_seen(const struct txn *t);
void txn_abort(struct txn *t);

/* The stated writes in order, for those who watch keys; valid until commit or abort ends the transaction. */
enum txn_op_kind { TXN_PUT, TXN_DELETE, TXN_FLUSH, TXN_SWAP };
struct txn_op {
	enum txn_op_kind kind;
	unsigned db, other; /* other: of TXN_SWAP */
	struct slice key, value;
	int64_t expire_ms;
	struct block *block; /* that the value is; NULL: it is none */
};
size_t txn_ops(const struct txn *t, const struct txn_op **ret);

/* ---- ordered reads inside a transaction; they see its own writes ---- */

struct txn_scan;

/*
 * Starts at `from` and ends before `to`, bytewise; empty slices are no bound. With reverse it starts at the last key before `to` and goes
 * down to `from`. Expired keys are skipped. NULL: no memory. Ends with txn_scan_end, before the transaction does.
 */
struct txn_scan *txn_scan_begin(struct txn *t, unsigned db, struct slice from, struct slice to, bool reverse);
/* 0 with the next key, valid until the next call; STORE_ABSENT at the end. ret_expire_ms may be NULL. */
int txn_scan_next(struct txn_scan *scan, struct slice *ret_key, int64_t *ret_expire_ms);
struct txn_scan *txn_scan_end(struct txn_scan *scan); /* accepts NULL, returns NULL */

/* Some key of the database, about evenly chosen: 0 or STORE_ABSENT; the slice is valid until commit or abort. */
int txn_random(struct txn *t, unsigned db, uint64_t random, struct slice *ret_key);

/* ---- views ---- */

/*
 * A view shows a range of keys as it is when the view is made, whatever is written afterwards; a key whose time comes later stays in it. Making
 * one costs nothing but its bounds. What is written while it exists costs memory: for each key of the range that is added, overwritten or
 * deleted, that key and about 20 bytes; emptying the database: the same for all keys of the range it had. The old records stay on disk until the view is
 * freed, so a merge that has replaced one of their segments waits for that with its last step. Views are freed before the store is closed.
 */
struct store_view;

/* Bounds and direction as those of txn_scan_begin. NULL: no memory. */
struct store_view *store_view_new(struct store *s, unsigned db, struct slice from, struct slice to, bool reverse);
struct store_view *store_view_free(struct store_view *v); /* accepts NULL, returns NULL */
/* The next step gives the key itself, or the nearest one behind it in the direction of the view, forwards or back. 0 or -ENOMEM. */
int store_view_seek(struct store_view *v, struct slice key);
/*
 * 0 with the next key, valid until the next call on the view; STORE_ABSENT at the end; -ENOMEM, for good: a write found no memory to keep
 * what it replaced; -ESTALE, for good: commits this view shows were taken back. ret_expire_ms may be NULL.
 */
int store_view_next(struct store_view *v, struct slice *ret_key, int64_t *ret_expire_ms);
/*
 * The value of the key that was given last, and its version (may be NULL), borrowed until the transaction ends. 0, STORE_ABSENT
 * (none was given since the view was made or sought in), or as txn_get.
 */
int store_view_read(struct store_view *v, struct txn *t, struct slice *ret_value, uint64_t *ret_version);

/* ---- cold records ---- */

/*
 * A handler that gets STORE_PENDING aborts and is run again when its records have been fetched. Before it aborts, whoever runs it may
 * name the other keys it will need, so that they are fetched together. The fetched records stay with the store_fetch as long as the
 * runs ask for them, until it is reset, so the second run cannot miss them again.
 */
struct store_fetch *store_fetch_new(struct store *s, void *token); /* NULL: no memory */
struct store_fetch *store_fetch_free(struct store_fetch *f);       /* also in flight: the result is then dropped */
void store_fetch_reset(struct store_fetch *f);                     /* the request is done: drop the records */
/* Names a key: 0 when its record can be read at once (or is absent), STORE_PENDING when it was put on the list, or an error. */
int txn_prepare(struct txn *t, unsigned db, struct slice key);
/* The same for a request that asks for a part or the length: a large value is left to that. */
int txn_prepare_part(struct txn *t, unsigned db, struct slice key);
/*
 * Begins the listed reads on the fetch threads; options.fetched(token) comes when all are done. What was read before and not asked for since the last
 * call is dropped: others have written it anew. 0, or -ENOMEM.
 */
int store_fetch_start(struct store_fetch *f);

/* ---- work on large values ---- */

/*
 * What takes long with a large value (to walk through it, to make another one from it) is done by a helper thread, while the request waits as it
 * does for a cold record: STORE_PENDING, then it is run again. The result stays with the store_fetch until it is reset. Work is known by all it
 * is made from: when a value has been written anew meanwhile, the second run asks for other work. So nothing is ever made from a
 * value that is gone, and no write of others is lost.
 */
struct store_work_input {
	struct slice data;
	struct block *block; /* data lies in it; NULL: it is copied */
	uint64_t at;         /* a number that goes with it */
};

struct store_work {
	/* Called by a helper thread; may use nothing but what is in here, and leaves its results here. 0 or a negative errno. */
	int (*run)(struct store_work *w);
	const struct store_work_input *in;
	size_t inputs;
	uint64_t number[4];
	size_t room;         /* bytes of the block it makes; 0: it makes none */
	struct blocks *home; /* for that; set by txn_work */
	struct block *made;  /* result; NULL: none */
	uint64_t result;
};

/*
 * Asks for work: 0 with *ret_done, valid until the store_fetch is reset; STORE_PENDING (listed, when there is a fetch); -E2BIG: the work of one
 * request would take too much memory; -ENOMEM; or what run() returned.
 */
int txn_work(struct txn *t, const struct store_work *asked, const struct store_work **ret_done);

/* Overlaps the memory latency of lookups to come. Advisory. */
struct store_probe {
	unsigned db;
	struct slice key;
};
#define STORE_PREFETCH_MAX 64
void store_prefetch(struct store *s, const struct store_probe *probes, size_t n);

/* ---- reading everything back ---- */

/*
 * The scrub reads back, in the background, all that is known to be on disk. What is damaged is told (STORE_EVENT_DAMAGE), counted, and listed in
 * damaged/INDEX; the key of such a record answers STORE_CORRUPT when it is read, as ever.
 */
struct store_scrub {
	bool running;
	uint64_t passes;                    /* since open */
	uint64_t segments, of;              /* of this pass, or the last one: done, to do */
	uint64_t records, bytes, damaged;   /* likewise; damaged: places */
	uint64_t segment, offset;           /* where it is */
	int64_t ended_ms;                   /* wall time of the end of the last pass; 0: none since open */
	uint64_t standing;                  /* places known to be damaged now: of the last pass and met by reads since; at least so many */
};
void store_scrub_state(const struct store *s, struct store_scrub *ret);
/* Begins a pass unless one runs. hurry: without the limit of the rate, as somebody waits. 0, -ENOMEM or -EAGAIN (no thread). */
int store_scrub_begin(struct store *s, bool hurry);
/*
 * Waits for the end of a pass like a read for its record: STORE_PENDING (a pass runs, begun when there was none; park, run again), then 0; or as
 * store_scrub_begin. f NULL: STORE_PENDING.
 */
int store_scrub_wait(struct store *s, struct store_fetch *f);
/* rate: bytes a second of passes by time, 0: no limit. interval_ms: time from the end of one to the begin of the next, 0: none by time. */
void store_set_scrub(struct store *s, uint64_t rate, uint64_t interval_ms);
/* About once a second: begins a pass whose time has come. */
void store_scrub_tick(struct store *s);
/* ---- snapshots ---- */

/*
 * A snapshot holds the state after some commit, at least all that was acknowledged when it was asked for: a directory snapshots/NAME of links to the
 * closed segments, which costs no space until the store would have removed them. It can be opened as a store of its own. One at a time is
 * made or removed, by a thread, so the owner never waits; store_poll takes the result in.
 */
#define STORE_SNAPSHOT_NAME 64 /* characters: letters, digits, '.', '_', '-', no dot in front, not ending in ".new" */

struct store_snapshot {
	char name[STORE_SNAPSHOT_NAME + 1];
	bool timed;   /* one of those that are pruned */
	bool damaged; /* its manifest cannot be read: all but the name is unknown */
	int64_t time_ms;
	uint64_t position, bytes, segments;
};

/*
 * Begins one. name NULL: named by the time, as 20261121T120000Z. keep 0: made by hand, it stays until it is deleted; otherwise a timed one, after
 * which the oldest timed ones beyond so many are deleted. ret_name (may be NULL) has room for STORE_SNAPSHOT_NAME + 1 bytes. 0; -EBUSY: another is under
 * way; -EINVAL: no such name may be given; -EEXIST; -ENOMEM; STORE_REFUSED. store_problem() has the words. How it ended: store_snapshot_state().
 */
int store_snapshot_begin(struct store *s, const char *name, unsigned keep, char *ret_name);
/* Begins to delete one: 0, -ENOENT, or as above. */
int store_snapshot_delete(struct store *s, const char *name);

struct store_snapshot_state {
	bool running, deleting;
	uint64_t ended;      /* how many were made or deleted, or failed to be, since the opening */
	int last_result;     /* of the one that ended last: 0 or a negative errno */
	const char *name, *problem; /* of that one: its name, and the words; valid until the next is begun */
	uint64_t last_us;    /* how long the last one that was made took; 0: none was */
	int64_t time_ms;     /* of the youngest snapshot there is; 0: none */
	uint64_t changes;    /* records written since the youngest one of this run, or since the opening */
};
void store_snapshot_state(const struct store *s, struct store_snapshot_state *ret);
/* Those there are, oldest first; valid until the next store_poll. */
size_t store_snapshots(const struct store *s, const struct store_snapshot **ret);

/* ---- numbers ---- */

struct store_stats {
	uint64_t keys, expiring;          /* all databases */
	uint64_t keydir_bytes;            /* memory */
	uint64_t cache_bytes, tail_bytes; /* memory */
	uint64_t block_bytes;             /* memory of large values on their way in and out */
	uint64_t cache_hits, cache_misses, fetches;
	uint64_t works;                   /* asked for with txn_work */
	uint64_t segments, log_bytes;     /* files, and bytes used in them */
	uint64_t live_bytes;              /* bytes of records that are the current version of their key */
	uint64_t active_segment, oldest_segment;
	uint64_t commits, records, bytes_appended; /* since open */
	uint64_t syncs, sync_us_total, sync_us_max, last_sync_us;
	uint64_t expired;                 /* keys removed because their time had come */
	uint64_t recovered_records, recovered_bytes, recovery_us, tail_bytes_cut;
	uint64_t compressed_records, compressed_from, compressed_to; /* since open: values compressed, their bytes before and after */
	uint64_t damaged;                 /* records found damaged since open */
	uint64_t reserve_bytes;           /* of the disk, kept for the day when it is full */
	bool recovered_from_checkpoint;
	bool checkpoint_running;
	uint64_t checkpoint_position;     /* a start replays from here; 0: there is no checkpoint */
	uint64_t checkpoint_age_ms, checkpoint_bytes, checkpoint_keys;
	uint64_t checkpoint_us;           /* how long writing it took; 0: an earlier run did */
	uint64_t checkpoints, checkpoint_failures; /* since open */
	uint64_t garbage_bytes;           /* bytes of complete segments that merging them could free */
	bool merging, compacting, compact_paused; /* a merge runs; one by hand runs or waits */
	uint64_t merges, merges_failed;   /* since open */
	uint64_t merge_bytes_read, merge_bytes_written, merge_bytes_saved; /* since open, the running one included but for saved */
	uint64_t merge_bytes_total;       /* bytes the running merge has to read; 0: none runs */
	uint64_t merge_bytes_done;        /* bytes it has read */
	uint64_t compactions_done;        /* by hand, since open */
	uint64_t compact_bytes_before, compact_bytes_after, compact_bytes_saved; /* of the last one by hand */
	int compact_result;               /* of the last one by hand: 0 or a negative errno */
};
void store_stats(const struct store *s, struct store_stats *ret);
uint64_t store_count(const struct store *s, unsigned db);
uint64_t store_expiring(const struct store *s, unsigned db);
unsigned store_databases(const struct store *s);
/* Why the last merge that failed did, or "". */
const char *store_compact_problem(const struct store *s);

#endif
