/* SPDX-License-Identifier: MIT
 *
 * libkvdstore: the storage engine of kvd without the daemon, for programs that want to embed it. See kvdstore(3).
 *
 * A store is a directory. It maps keys (0 to 65536 bytes, any bytes) to values (up to 512 MiB) in numbered databases, in bytewise order of keys.
 * When a call that writes returns 0, the write is on disk (with KVDSTORE_ALWAYS). One process owns a store at a time.
 *
 * Threads: one handle, with its batches and iterations, is used by one thread at a time; different handles are independent.
 * Errors: 0 is good, a negative errno is a failure (kvdstore_message says more), a positive value is a condition named below.
 * Outputs (ret_) are untouched unless 0 is returned.
 */
#ifndef STORE_KVDSTORE_H
#define STORE_KVDSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kvdstore;
struct kvdstore_batch;
struct kvdstore_iter;

/* Conditions. */
#define KVDSTORE_ABSENT 1    /* there is no such key, or the end of an iteration */
#define KVDSTORE_CONDITION 2 /* what the write was to depend on is not so: nothing was changed */
#define KVDSTORE_CORRUPT 3   /* the record of this key fails its checksum; other keys are served */
#define KVDSTORE_REFUSED 4   /* no writes are taken now: opened read-only, disk full, or a write failed before */

/* ---- opening ---- */

/* Flags of kvdstore_open. */
#define KVDSTORE_CREATE 1u    /* make the store when there is none; the directory must exist */
#define KVDSTORE_READ_ONLY 2u /* change nothing, take no lock */
#define KVDSTORE_REPAIR 4u    /* first mend what is damaged, as `kvctl repair` does; reads all of the store */

/* When a write is on disk. */
#define KVDSTORE_ALWAYS 0   /* before the call returns */
#define KVDSTORE_INTERVAL 1 /* in the file before the call returns, on disk within interval_ms */
#define KVDSTORE_NEVER 2    /* in the file before the call returns, on disk at kvdstore_sync and kvdstore_close */

/* How values are compressed. */
#define KVDSTORE_ZLIB 1
#define KVDSTORE_LZ4 2  /* this and the next only when the library was built with them */
#define KVDSTORE_ZSTD 3

struct kvdstore_options {
	size_t size;           /* sizeof(struct kvdstore_options): later versions may add fields */
	unsigned flags;
	unsigned databases;    /* 1 to 256; 0: 16 */
	int durability;
	uint32_t interval_ms;  /* 0: 1000 */
	uint64_t segment_size; /* bytes, 1 MiB to 16 GiB; 0: 64 MiB */
	uint64_t cache_size;   /* bytes of values kept in memory; 0: none */
	uint32_t max_value;    /* bytes of the longest value taken; 0: 512 MiB */
	int compression;       /* of values, one of those above; 0: none */
	int compression_level; /* 1 (fastest) to 9 (smallest); 0: 1 */
	uint32_t compression_min; /* bytes of the shortest value to compress; 0: 1024 */
	/* Told what an administrator should know, one line each: an unfinished end was cut, a record is damaged, writes are refused. NULL: not told. */
	void (*event)(void *arg, const char *line);
	void *arg;
	/* When kvdstore_maintain begins something. */
	unsigned compact_ratio; /* percent of the log that is garbage, 1 to 100; 0: 50 */
	uint64_t compact_min;   /* and bytes of garbage; 0: 16 MiB */
	uint64_t compact_rate;  /* bytes a second it may read and write then; 0: no limit */
	uint32_t checkpoint_interval_ms; /* time from one checkpoint to the next; 0: 15 minutes */
};

/*
 * Opens a store and recovers it. options NULL: KVDSTORE_CREATE and defaults. On failure the reason, naming the file, is written to message
 * (message_size bytes, may be 0); with KVDSTORE_REPAIR also, on success, what was mended, or "". -EBUSY: another process owns it. -ENOENT: no
 * store. -EUCLEAN: damaged. -EPROTONOSUPPORT: format of a newer release. -EPERM: others may write to the directory. -EINVAL: an option.
 */
int kvdstore_open(const char *path, const struct kvdstore_options *options, struct kvdstore **ret, char *message, size_t message_size);
/* Syncs and closes; accepts NULL. Batches and iterations end before. The handle is gone even when an error is returned. */
int kvdstore_close(struct kvdstore *s);
/* The reason of the last failure of this handle, valid until the next call. */
const char *kvdstore_message(const struct kvdstore *s);

/* ---- reading ---- */

/* *ret_value is allocated, followed by a NUL that does not count, and is the caller's to free(3). 0 or KVDSTORE_ABSENT. */
int kvdstore_get(struct kvdstore *s, unsigned db, const void *key, size_t key_len, void **ret_value, size_t *ret_len);
/*
 * The same, lent: *ret_value is valid until the next call on the handle, its batches or iterations, and not followed by a NUL. It is not copied
 * when it is in memory already. *ret_version (may be NULL): see KVDSTORE_IF_VERSION.
 */
int kvdstore_get_view(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void **ret_value, size_t *ret_len,
	uint64_t *ret_version);
/* Whether the key is there, without reading its value: 0 or KVDSTORE_ABSENT. *ret_ttl_ms (may be NULL): milliseconds to live, -1: for ever. */
int kvdstore_exists(struct kvdstore *s, unsigned db, const void *key, size_t key_len, int64_t *ret_ttl_ms);

/* ---- writing ---- */

#define KVDSTORE_KEEP_TTL UINT64_MAX /* as ttl_ms: the key keeps the end it has */

/* ttl_ms 0: for ever. -EMSGSIZE: key or value too long. */
int kvdstore_put(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms);
/* 0: deleted; KVDSTORE_ABSENT: there was nothing, and nothing was written. */
int kvdstore_delete(struct kvdstore *s, unsigned db, const void *key, size_t key_len);
/* Gives a key another end, ttl_ms from now; 0: none. 0 or KVDSTORE_ABSENT. */
int kvdstore_expire(struct kvdstore *s, unsigned db, const void *key, size_t key_len, uint64_t ttl_ms);
/* Deletes all keys of a database. */
int kvdstore_flush(struct kvdstore *s, unsigned db);

/* What a write may depend on. */
#define KVDSTORE_IF_ABSENT 1
#define KVDSTORE_IF_PRESENT 2
#define KVDSTORE_IF_VALUE 3   /* the key is there with this value */
#define KVDSTORE_IF_VERSION 4 /* nobody has written the key since this version was told; 0: it is absent */

/*
 * A version stands for one write of one key, whatever its value; a new one comes with each write, and with a compaction, which
 * so may fail a condition that held. It lasts beyond closing, but not beyond the restore of a snapshot, nor (without
 * KVDSTORE_ALWAYS) a power loss.
 */
struct kvdstore_if {
	int kind;
	uint64_t version;
	const void *value;
	size_t len;
};

/* As put and delete, when the condition (NULL: none) holds; else KVDSTORE_CONDITION. *ret_version (may be NULL): of what was put. */
int kvdstore_put_if(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms,
	const struct kvdstore_if *condition, uint64_t *ret_version);
int kvdstore_delete_if(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const struct kvdstore_if *condition);

/*
 * Several writes, all or nothing, one sync; up to 2 GiB (-E2BIG). Keys and values are copied. NULL: no memory. commit and abort free the batch,
 * whatever commit returns. A check is a condition on the state before the batch: when one does not hold, commit returns
 * KVDSTORE_CONDITION. A deletion of what is not there is none.
 */
struct kvdstore_batch *kvdstore_batch_new(struct kvdstore *s);
int kvdstore_batch_put(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms);
int kvdstore_batch_delete(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len);
int kvdstore_batch_check(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const struct kvdstore_if *condition);
int kvdstore_batch_commit(struct kvdstore_batch *b);
void kvdstore_batch_abort(struct kvdstore_batch *b);

/* ---- ranges of keys ---- */

/* The keys that begin with prefix, are not below `from` and below `to`, bytewise. An empty one is no bound; a NULL range has all keys. */
struct kvdstore_range {
	const void *prefix;
	size_t prefix_len;
	const void *from;
	size_t from_len;
	const void *to;
	size_t to_len;
};

/* How many keys there are. */
int kvdstore_count(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, uint64_t *ret);
/* Deletes them, all or nothing, with about 100 bytes of memory each. *ret_deleted (may be NULL): how many. -E2BIG: too many for one write. */
int kvdstore_delete_range(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, uint64_t *ret_deleted);

/*
 * An iteration shows the range as it was when the iteration was made, in order (reverse != 0: downwards), whatever is written meanwhile: also a
 * key that is deleted, overwritten or whose time comes. It costs nothing to make; each key of the range that is written while it exists
 * costs that key and about 20 bytes until it is freed. kvdstore_compact must wait for that (-EBUSY).
 */
int kvdstore_iter_new(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, int reverse, struct kvdstore_iter **ret);
/* 0 with the next key, valid until the next call on the iteration, or KVDSTORE_ABSENT at the end. */
int kvdstore_iter_next(struct kvdstore_iter *i, const void **ret_key, size_t *ret_len);
/* The value of that key, lent as by kvdstore_get_view. KVDSTORE_ABSENT: no key has been given yet. */
int kvdstore_iter_value(struct kvdstore_iter *i, const void **ret_value, size_t *ret_len, uint64_t *ret_version);
/* The next key is this one or the nearest behind it, in the direction of the iteration; forwards or back. */
int kvdstore_iter_seek(struct kvdstore_iter *i, const void *key, size_t key_len);
void kvdstore_iter_free(struct kvdstore_iter *i); /* accepts NULL */

/* ---- upkeep ---- */

/*
 * Does a part of the upkeep that is due: keys that have expired are removed, a compaction is begun when there is much garbage, a checkpoint when
 * the next opening would be slow without. Takes some milliseconds and never waits for the disk: what it begins goes on in threads of the library
 * and in later calls on the handle. Call it from time to time by the thread that uses the handle, as from the timer of its loop: *ret_again_ms
 * (may be NULL) is after how many milliseconds it has something to do, or may have, 0 to 1000. KVDSTORE_REFUSED: no writes are taken now; on
 * a full disk call it all the same, the store looks for space.
 */
int kvdstore_maintain(struct kvdstore *s, uint32_t *ret_again_ms);

/* Each of the following waits for the disk. */

/* Until everything written so far is on disk. */
int kvdstore_sync(struct kvdstore *s);

/*
 * Writes a checkpoint, which makes the next kvdstore_open fast; kvdstore_close does so by itself when it pays. -EIO: it was not
 * written, which costs time at the next opening and nothing else.
 */
int kvdstore_checkpoint(struct kvdstore *s);

/*
 * Gives back the space of what was overwritten, deleted or has expired. With `all` segments without garbage are written
 * anew, too, and keys that have expired go. *ret_saved (may be NULL): bytes. -EBUSY: there is an iteration.
 */
int kvdstore_compact(struct kvdstore *s, int all, uint64_t *ret_saved);

struct kvdstore_verified {
	size_t size; /* set by the caller to sizeof(struct kvdstore_verified) */
	uint64_t segments, records, bytes;
	uint64_t damaged; /* places; they are listed in the file damaged/INDEX of the store */
};
/* Reads back everything that is on disk and checks it. 0 also with damage. */
int kvdstore_verify(struct kvdstore *s, struct kvdstore_verified *ret);

/*
 * Makes a snapshot of everything written so far: a directory snapshots/name in the store's, of links to its files, that can be opened as a store
 * and copied while this one goes on. name NULL: the time. -EEXIST, -EINVAL: no such name may be given, -ENOSPC, KVDSTORE_REFUSED.
 */
int kvdstore_snapshot(struct kvdstore *s, const char *name);
/* -ENOENT: there is none of this name. */
int kvdstore_snapshot_delete(struct kvdstore *s, const char *name);
/* Reads every record of one. -EUCLEAN: it is damaged, the message has file and offset. *ret_records may be NULL. */
int kvdstore_snapshot_verify(struct kvdstore *s, const char *name, uint64_t *ret_records);

struct kvdstore_snapshot_info {
	char name[65];
	int damaged; /* nothing but the name is known */
	int64_t time_ms; /* Unix time */
	uint64_t bytes, segments;
};
/* Those there are, oldest first. *ret is the caller's to free(3); NULL when there are none. */
int kvdstore_snapshots(struct kvdstore *s, struct kvdstore_snapshot_info **ret, size_t *ret_count);

struct kvdstore_stats {
	size_t size; /* set by the caller to sizeof(struct kvdstore_stats) */
	uint64_t keys, segments, log_bytes, live_bytes, index_bytes; /* index: memory of the keys */
	uint64_t expiring_keys;
	uint64_t garbage_bytes;                /* what kvdstore_compact would give back now, about */
	uint64_t cache_bytes, tail_bytes;      /* memory: values kept, the young end of the log */
	uint64_t cache_hits, cache_misses;     /* from here on, unless said otherwise: since opening */
	uint64_t commits, records, appended_bytes;
	uint64_t syncs, sync_us_total, sync_us_max;
	uint64_t position, durable_position;   /* bytes written to the log, ever, and how many of them are on disk */
	uint64_t merges, merges_failed, merge_read_bytes, merge_written_bytes, merge_saved_bytes;
	uint64_t checkpoint_position;          /* the next opening replays the log from here; 0: there is none */
	uint64_t checkpoint_bytes, checkpoint_keys, checkpoints, checkpoint_failures;
	uint64_t damaged_records;              /* found */
	uint64_t recovered_records, recovered_bytes, recovery_us, tail_bytes_cut; /* by the opening */
	uint64_t compressed_records, compressed_from_bytes, compressed_to_bytes;
	uint64_t snapshots;                    /* now */
};
int kvdstore_stats(struct kvdstore *s, struct kvdstore_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
