/* SPDX-License-Identifier: MIT
 *
 * Removing keys whose time has come. An expired key is absent for every reader at once; here it also gets its tombstone, so that neither a
 * restart nor a step of the wall clock can bring it back, and its memory and space can be reclaimed.
 */
#include "store/txn.h"

#include <stdlib.h>

#define MAX_KEYS 1000 /* removed in one go: bounds the stall of other clients */
#define MAX_FULL (SEGMENT_RESERVE / 8)  /* bytes of their tombstones on a full disk: more might not find room in one piece */
#define RETRY_NS UINT64_C(1000000000)   /* after the full disk has refused some: by then there may be blocks again */

struct found {
	struct buf keys;
	size_t end[MAX_KEYS]; /* of each key in `keys` */
	size_t count;
	uint64_t bytes, most; /* of their tombstones */
};

static void collect(void *arg, struct slice key, struct keydir_entry entry)
{
	struct found *f = arg;

	(void)entry;
	f->bytes += record_size(key.len, 0, false);
	if (f->count == MAX_KEYS || (f->count && f->bytes > f->most))
		return; /* the next round finds it again */
	buf_append_slice(&f->keys, key);
	if (!f->keys.failed)
		f->end[f->count++] = f->keys.len;
}

/* The database a namespace is shown as now; a dropped one is none. */
static bool find_database(const struct store *s, unsigned ns, unsigned *ret)
{
	for (unsigned db = 0; db < s->databases; db++)
		if (s->ns_of[db] == ns) {
			*ret = db;
			return true;
		}
	return false;
}

static void tell_expired(struct store *s, unsigned ns, const struct found *f)
{
	size_t start = 0;
	unsigned db;

	if (!s->options.expired || !find_database(s, ns, &db))
		return;
	for (size_t i = 0; i < f->count; i++) {
		s->options.expired(s->options.arg, db, slice(f->keys.ptr + start, f->end[i] - start));
		start = f->end[i];
	}
}

static unsigned remove_found(struct store *s, unsigned ns, const struct found *f)
{
	struct txn *t = txn_begin(s, NULL);
	uint64_t position;
	size_t start = 0;

	for (size_t i = 0; i < f->count; i++) {
		/* The empty key alone leaves the buffer without memory. */
		const char *key = f->keys.ptr ? f->keys.ptr + start : NULL;
		if (txn_add_delete(t, 0, ns, slice(key, f->end[i] - start))) {
			txn_abort(t);
			return 0;
		}
		start = f->end[i];
	}
	if (f->count == 0 || txn_commit(t, &position))
		return 0;
	tell_expired(s, ns, f);
	return (unsigned)f->count;
}

/* On a full disk deletions are taken, and these are how what has expired makes room. */
static bool may_remove(struct store *s)
{
	uint64_t now = clock_mono_ns(s->clock);

	if (!store_is_full(s))
		return store_health(s, NULL) == 0;
	if (s->rolled_back != s->expire_rollbacks)
		s->expire_after_ns = now + RETRY_NS;
	s->expire_rollbacks = s->rolled_back;
	return now >= s->expire_after_ns;
}

unsigned store_expire_some(struct store *s, unsigned pages)
{
	unsigned removed = 0;

	if (!may_remove(s))
		return 0;
	struct found *f = calloc(1, sizeof(*f));
	if (f)
		f->most = store_is_full(s) ? MAX_FULL : UINT64_MAX;
	for (unsigned i = 0; f && i < STORE_MAX_DATABASES; i++) {
		unsigned ns = (s->expire_ns + i) % STORE_MAX_DATABASES;
		if (!s->keydir[ns] || keydir_expiring(s->keydir[ns]) == 0)
			continue;
		keydir_expired(s->keydir[ns], &s->expire_from[ns], store_now(s), pages, collect, f);
		removed = remove_found(s, ns, f);
		/* One database a call; the next call goes on with the next one. */
		s->expire_ns = ns + 1;
		break;
	}
	if (f)
		buf_free(&f->keys);
	free(f);
	s->expired += removed;
	return removed;
}
