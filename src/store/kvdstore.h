/* SPDX-License-Identifier: MIT
 *
 * libkvdstore: the storage engine of kvd without the daemon, for programs that want to embed it. See kvdstore(3).
 *
 * A store is a directory. It maps keys (0 to 65536 bytes, any bytes) to values (up to 512 MiB) in numbered databases, in bytewise order of keys.
 * When a call that writes returns 0, the write is on disk (with KVDSTORE_ALWAYS). One process owns a store at a time.
 *
 * Threads: one handle is used by one thread at a time; different handles are independent.
 * Errors: 0 is good, a negative errno is a failure (kvdstore_message says more), a positive value is a condition named below.
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
#define KVDSTORE_ABSENT 1  /* there is no such key, or the end of an iteration */
#define KVDSTORE_CORRUPT 3 /* the record of this key fails its checksum; other keys are served */
#define KVDSTORE_REFUSED 4 /* no writes are taken now: opened read-only, disk full, or a write failed before */

/* Flags of kvdstore_open. */
#define KVDSTORE_CREATE 1u    /* make the store when there is none; the directory must exist */
#define KVDSTORE_READ_ONLY 2u /* change nothing, take no lock */

/* When a write is on disk. */
#define KVDSTORE_ALWAYS 0   /* before the call returns */
#define KVDSTORE_INTERVAL 1 /* within interval_ms */
#define KVDSTORE_NEVER 2    /* at kvdstore_sync and kvdstore_close */

struct kvdstore_options {
	size_t size;           /* sizeof(struct kvdstore_options): later versions may add fields */
	unsigned flags;
	unsigned databases;    /* 0: 16 */
	int durability;
	uint32_t interval_ms;  /* 0: 1000 */
	uint64_t segment_size; /* bytes; 0: 64 MiB */
	uint64_t cache_size;   /* bytes of values kept in memory; 0: none */
};

/*
 * Opens a store and recovers it. options NULL: KVDSTORE_CREATE and defaults. On failure the reason, naming the file, is written to message
 * (message_size bytes, may be 0). -EBUSY: another process owns it. -ENOENT: no store. -EUCLEAN: damaged. -EPROTONOSUPPORT: format of a newer release.
 */
int kvdstore_open(const char *path, const struct kvdstore_options *options, struct kvdstore **ret, char *message, size_t message_size);
/* Syncs and closes; accepts NULL. The handle is gone even when an error is returned. */
int kvdstore_close(struct kvdstore *s);
/* The reason of the last failure of this handle, valid until the next call. */
const char *kvdstore_message(const struct kvdstore *s);

/* *ret_value is allocated, followed by a NUL that does not count, and is the caller's to free(3). 0 or KVDSTORE_ABSENT. */
int kvdstore_get(struct kvdstore *s, unsigned db, const void *key, size_t key_len, void **ret_value, size_t *ret_len);
/* Whether the key is there: 0 or KVDSTORE_ABSENT. *ret_ttl_ms (may be NULL): milliseconds to live, -1: for ever. */
int kvdstore_exists(struct kvdstore *s, unsigned db, const void *key, size_t key_len, int64_t *ret_ttl_ms);
/* ttl_ms 0: for ever. */
int kvdstore_put(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms);
/* 0: deleted; KVDSTORE_ABSENT: there was nothing, and nothing was written. */
int kvdstore_delete(struct kvdstore *s, unsigned db, const void *key, size_t key_len);

/* Several writes, all or nothing, one sync. Keys and values are copied. NULL: no memory. commit and abort free the batch. */
struct kvdstore_batch *kvdstore_batch_new(struct kvdstore *s);
int kvdstore_batch_put(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms);
int kvdstore_batch_delete(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len);
int kvdstore_batch_commit(struct kvdstore_batch *b);
void kvdstore_batch_abort(struct kvdstore_batch *b);

/*
 * Keys with a prefix, in order (reverse != 0: downwards). The iteration survives changes: it goes on behind the key it gave last.
 * kvdstore_iter_next: 0 with the key, valid until the next call on the iterator, or KVDSTORE_ABSENT at the end.
 */
struct kvdstore_iter *kvdstore_iter_new(struct kvdstore *s, unsigned db, const void *prefix, size_t prefix_len, int reverse);
int kvdstore_iter_next(struct kvdstore_iter *i, const void **ret_key, size_t *ret_len);
void kvdstore_iter_free(struct kvdstore_iter *i);

/* Waits until everything written so far is on disk. */
int kvdstore_sync(struct kvdstore *s);

/*
 * Writes a checkpoint, which makes the next kvdstore_open fast; kvdstore_close does so by itself when it pays. Waits for the disk. -EIO: it was not
 * written, which costs time at the next opening and nothing else.
 */
int kvdstore_checkpoint(struct kvdstore *s);

/*
 * Makes a snapshot of everything written so far: a directory snapshots/name in the store's, of links to its files, that can be opened as a store
 * and copied while this one goes on. name NULL: the time. -EEXIST, -EINVAL: no such name may be given, -ENOSPC, KVDSTORE_REFUSED.
 */
int kvdstore_snapshot(struct kvdstore *s, const char *name);

/*
 * Gives back the space of what was overwritten, deleted or has expired, and waits until that is done. With `all` segments without garbage are written
 * anew, too, and keys that have expired go. Other calls on the store must not be made meanwhile. *ret_saved (may be NULL): bytes.
 */
int kvdstore_compact(struct kvdstore *s, int all, uint64_t *ret_saved);

struct kvdstore_stats {
	size_t size; /* set by the caller to sizeof(struct kvdstore_stats) */
	uint64_t keys, segments, log_bytes, live_bytes, index_bytes;
};
int kvdstore_stats(struct kvdstore *s, struct kvdstore_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
