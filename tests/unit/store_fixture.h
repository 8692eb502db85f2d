/* SPDX-License-Identifier: MIT
 *
 * What the tests of the store share: a store on a simulated disk with a clock that only moves when told, a record of the events it tells,
 * short forms of the usual calls, and a dump of everything it holds, so that "the right data" is one comparison.
 */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <errno.h>
#include <sched.h>
#include <time.h>
#include "base/buf.h"
#include "sim/simdisk.h"
#include "store/store.h"
#include "tap.h"

#define SEG1 "0000000001.seg"
#define FX_DEADLINE_S 120 /* ends only what would never end: the machine may be busy with other things */

struct fake_clock {
	struct clock clock;
	_Atomic int64_t wall; /* ms */
	_Atomic uint64_t mono; /* ms */
};

struct fx_told {
	enum store_event_kind kind;
	char file[64], text[300];
	uint64_t offset, bytes, records;
};

struct fx {
	struct simdisk *disk;
	struct fake_clock clock;
	struct store_options options;
	struct store *store;
	struct error error;
	struct fx_told told[256];
	unsigned tells;
	void *token[1024]; /* in the order they came back */
	unsigned tokens;
};

static int64_t fx_wall(const struct clock *c)
{
	return ((const struct fake_clock *)(const void *)c)->wall;
}

static uint64_t fx_mono(const struct clock *c)
{
	return ((const struct fake_clock *)(const void *)c)->mono * 1000000;
}

static inline void fx_event(void *arg, const struct store_event *e)
{
	struct fx *f = arg;
	struct fx_told *t = &f->told[f->tells < 255 ? f->tells++ : 255];

	*t = (struct fx_told){ .kind = e->kind, .offset = e->offset, .bytes = e->bytes, .records = e->records };
	snprintf(t->file, sizeof(t->file), "%s", e->file ? e->file : "");
	snprintf(t->text, sizeof(t->text), "%s", e->text);
}

static inline void fx_fetched(void *arg, void *token)
{
	struct fx *f = arg;

	if (f->tokens < 1024)
		f->token[f->tokens++] = token;
}

/* Events of a kind since the last open; *ret_last (may be NULL) is the last of them. */
static inline unsigned fx_count(const struct fx *f, enum store_event_kind kind, const struct fx_told **ret_last)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->tells; i++)
		if (f->told[i].kind == kind) {
			n++;
			if (ret_last)
				*ret_last = &f->told[i];
		}
	return n;
}

/* Takes the disk over: fx_done frees it. */
static inline void fx_init(struct fx *f, struct simdisk *disk)
{
	*f = (struct fx){ .disk = disk };
	f->clock.clock = (struct clock){ fx_wall, fx_mono };
	f->clock.wall = 1700000000000;
	f->clock.mono = 5000;
	f->options = (struct store_options){
		.path = "sim",
		.flags = STORE_CREATE | STORE_BLOCKING,
		.databases = 4,
		.segment_size = UINT64_C(1) << 20,
		.io = simdisk_io(disk),
		.event = fx_event,
		.fetched = fx_fetched,
	};
}

static inline int fx_open(struct fx *f)
{
	f->options.arg = f;
	f->options.clock = &f->clock.clock;
	f->tells = f->tokens = 0;
	f->store = NULL;
	f->error = (struct error){ 0 };
	return store_open(&f->options, &f->store, &f->error);
}

static inline void fx_must_open(struct fx *f)
{
	if (fx_open(f))
		bail("the store does not open: %s", f->error.text);
}

static inline int fx_close(struct fx *f)
{
	int r = store_close(f->store);

	f->store = NULL;
	return r;
}

/* kill -9: what was written is there, nothing more is ever written. */
static inline void fx_kill(struct fx *f)
{
	simdisk_die(f->disk);
	fx_close(f);
	simdisk_kill(f->disk);
}

/* The power goes: what was not synced is as the disk likes it. */
static inline void fx_power(struct fx *f)
{
	simdisk_die(f->disk);
	fx_close(f);
	simdisk_power_cycle(f->disk);
}

static inline void fx_done(struct fx *f)
{
	simdisk_hold(f->disk, SIM_SYNC, false);
	simdisk_hold(f->disk, SIM_READ, false);
	fx_close(f);
	simdisk_free(f->disk);
}

static inline struct timespec fx_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

/* Polls the store until the condition holds; false when it never does. */
#define FX_UNTIL(f, condition)                                                                                         \
	({                                                                                                             \
		struct timespec begun_ = fx_now();                                                                     \
		bool good_;                                                                                            \
		while (!(good_ = (condition)) && fx_now().tv_sec - begun_.tv_sec < FX_DEADLINE_S) {                    \
			if ((f)->store)                                                                                \
				store_poll((f)->store);                                                                \
			sched_yield();                                                                                 \
		}                                                                                                      \
		good_;                                                                                                 \
	})

static inline int fx_wait(struct fx *f)
{
	return store_wait(f->store, store_position(f->store));
}

/* ---- one write each, committed but not waited for ---- */

static inline int fx_put_in(struct fx *f, unsigned db, struct slice key, struct slice value, int64_t expire_ms)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t position;
	int r = txn_put(t, db, key, value, expire_ms);

	if (r == 0)
		return txn_commit(t, &position);
	txn_abort(t);
	return r;
}

static inline int fx_put(struct fx *f, const char *key, const char *value)
{
	return fx_put_in(f, 0, slice_str(key), slice_str(value), STORE_NO_EXPIRY);
}

/* A value of a size, made of one letter. */
static inline int fx_put_size(struct fx *f, const char *key, char letter, size_t len)
{
	char *value = malloc(len + 1);

	if (!value)
		bail("out of memory");
	memset(value, letter, len);
	int r = fx_put_in(f, 0, slice_str(key), slice(value, len), STORE_NO_EXPIRY);
	free(value);
	return r;
}

static inline int fx_delete(struct fx *f, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t position;
	int r = txn_delete(t, 0, slice_str(key));

	if (r == 0)
		return txn_commit(t, &position);
	txn_abort(t);
	return r;
}

/* The value as text in a buffer of its own, "(absent)", or what went wrong. Valid until the next call. */
static inline const char *fx_get_in(struct fx *f, unsigned db, const char *key)
{
	static char text[400];
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v;
	int r = txn_get(t, db, slice_str(key), &v);

	if (r == 0)
		snprintf(text, sizeof(text), "%.*s", (int)(v.data.len < 300 ? v.data.len : 300), v.data.ptr);
	else
		snprintf(text, sizeof(text), r == STORE_ABSENT ? "(absent)" : "(%d)", r);
	txn_abort(t);
	return text;
}

static inline const char *fx_get(struct fx *f, const char *key)
{
	return fx_get_in(f, 0, key);
}

static inline struct store_stats stats_of(struct fx *f)
{
	struct store_stats s;

	store_stats(f->store, &s);
	return s;
}

/* Whether no segments are being merged; hands over what was committed, which a merge may wait for. */
static inline bool is_idle(struct fx *f)
{
	struct store_stats s = stats_of(f);

	store_submit(f->store);
	return !s.merging && !s.compacting;
}

/* ---- everything the store holds, as bytes to compare ---- */

static inline void fx_dump_key(struct fx *f, struct txn *t, unsigned db, struct slice key, int64_t expire_ms, struct buf *out)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	buf_printf(out, "%u %zu:", db, key.len);
	buf_append_slice(out, key);
	if (expire_ms != STORE_NO_EXPIRY)
		buf_printf(out, " until %" PRId64, store_to_wall(f->store, expire_ms));
	if (r) {
		buf_printf(out, " gives %d\n", r);
		return;
	}
	buf_printf(out, " = %zu:", v.data.len);
	buf_append_slice(out, v.data);
	buf_append_char(out, '\n');
}

static inline void fx_dump(struct fx *f, struct buf *out)
{
	buf_reset(out, SIZE_MAX);
	for (unsigned db = 0; db < store_databases(f->store); db++) {
		struct txn *t = txn_begin(f->store, NULL);
		struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), false);
		struct slice key;
		int64_t expire_ms;
		while (txn_scan_next(scan, &key, &expire_ms) == 0)
			fx_dump_key(f, t, db, key, expire_ms, out);
		txn_scan_end(scan);
		txn_abort(t);
	}
	if (out->failed)
		bail("out of memory");
}

static inline bool fx_holds(struct fx *f, const struct buf *expected)
{
	struct buf now = { 0 };

	fx_dump(f, &now);
	bool same = slice_eq(buf_slice(&now), buf_slice(expected));
	buf_free(&now);
	return same;
}

#endif
