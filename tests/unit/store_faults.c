/* SPDX-License-Identifier: MIT
 * Every call to the disk and every allocation made to fail in turn, during a fixed piece of work that creates, recovers, rotates and closes a
 * store. Whatever fails: no acknowledged write is lost, no read is wrong, the reason names a file, nothing leaks, and the store opens anew.
 *
 * KVD_TEST_STRIDE=N tries only every Nth call, for tools that slow a program down.
 */
#include "store_fixture.h"

#include "base/bytes.h"

static uint64_t stride = 1;

/* ---- allocations ---- */

static _Atomic int64_t balance;              /* pieces of memory in use */
static _Atomic uint64_t asked, fail_from, fail_to; /* allocations asked for while armed; those that fail */
static _Atomic bool armed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static bool must_fail(void)
{
	if (!armed || simdisk_allocates)
		return false;
	uint64_t n = ++asked;
	return n >= fail_from && n <= fail_to;
}

static void *counted(void *p)
{
	balance += p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	if (must_fail())
		return NULL;
	return p ? __real_realloc(p, size) : counted(__real_realloc(p, size));
}

void __wrap_free(void *p)
{
	balance -= p != NULL;
	__real_free(p);
}

/* ---- the work, and a model of it ---- */

#define DATABASES 2
#define KEYS 16
#define STEPS 24
#define BIG 300000

struct state {
	uint32_t value[DATABASES][KEYS]; /* names the bytes; 0: absent */
};

struct work {
	struct fx f;
	struct state history[STEPS + 1]; /* states after each commit; [0] is where it began */
	uint64_t position[STEPS + 1];
	size_t count, acknowledged;
	size_t possible; /* states behind `count` that were refused after all, and may still stand on a disk that fails */
	bool reads_fail; /* a read may answer -EIO, but nothing wrong */
	char why[300];
};

static char big_value[BIG];

static struct slice make_value(uint32_t v, char *small)
{
	if (v % 4 == 0) {
		put_le32(big_value, v);
		return slice(big_value, BIG);
	}
	memset(small, 'a' + (int)(v % 26), v % 40);
	return slice(small, v % 40);
}

static bool is_value(uint32_t v, struct slice data)
{
	char small[40];

	if (v % 4 == 0)
		return data.len == BIG && get_le32(data.ptr) == v;
	return slice_eq(data, make_value(v, small));
}

static const char *const key_names[KEYS] = { "", "a", "b", "key 3", "key 4", "key 5", "key 6", "k7", "k8", "k9", "k10", "k11", "k12", "k13",
	"a rather long key that shares nothing with the others", "zz" };

/* 0: the store shows this state; 1: another one; a negative errno: a read failed, and nothing that was read was wrong. */
static int compare(struct work *w, const struct state *s)
{
	struct txn *t = txn_begin(w->f.store, NULL);
	int failed = 0, wrong = 0;

	for (unsigned db = 0; db < DATABASES; db++)
		for (unsigned k = 0; k < KEYS; k++) {
			struct txn_value v;
			int r = txn_get(t, db, slice_str(key_names[k]), &v);
			if (r < 0)
				failed = r;
			else
				wrong |= s->value[db][k] ? r != 0 || !is_value(s->value[db][k], v.data) : r != STORE_ABSENT;
		}
	txn_abort(t);
	return wrong ? 1 : failed;
}

static struct blocks lenders;
static struct block *lent; /* of the open transaction */

/* A big value of database 0 in a block, as the daemon has it: 0 or -ENOMEM. */
static int lend(struct txn_value *v)
{
	lent = block_new(&lenders, v->data.len, v->data.len);
	if (!lent)
		return -ENOMEM;
	memcpy(lent->memory, v->data.ptr, v->data.len);
	block_take(lent, v->data.len);
	*v = (struct txn_value){ lent->value, v->expire_ms, lent };
	return 0;
}

static int put(struct txn *t, struct state *s, unsigned db, unsigned k, uint32_t v, char *small, int64_t expire_ms)
{
	struct txn_value value = { make_value(v, small), expire_ms, NULL };
	int r = value.data.len == BIG && db == 0 ? lend(&value) : 0;

	if (r == 0)
		r = txn_put_value(t, db, slice_str(key_names[k]), &value);

	if (r == 0)
		s->value[db][k] = v;
	return r;
}

static int state_writes(struct work *w, struct txn *t, struct state *s, unsigned i, char (*small)[40])
{
	uint32_t v = 100 + i * 20;
	int r = 0;

	switch (i % 6) {
	case 0:
		return put(t, s, 0, i % KEYS, v, small[0], STORE_NO_EXPIRY); /* 100 + 120 n: big */
	case 1:
		for (unsigned k = 0; k < KEYS && r == 0; k++)
			r = put(t, s, k % 2, (k + i) % KEYS, v + 1 + k / 4 * 4 + k % 2, small[k], STORE_NO_EXPIRY);
		return r;
	case 2:
		for (unsigned k = 0; k < 5 && r >= 0; k++) {
			r = txn_delete(t, 0, slice_str(key_names[(i + k) % KEYS]));
			if (r == 0)
				s->value[0][(i + k) % KEYS] = 0;
		}
		return r > 0 && r != STORE_REFUSED ? 0 : r;
	case 3:
		r = txn_flush(t, 1);
		if (r == 0)
			memset(s->value[1], 0, sizeof(s->value[1]));
		return r ? r : put(t, s, 1, i % KEYS, v + 2, small[0], store_now(w->f.store) + 100000000);
	case 4:
		r = txn_swap(t, 0, 1);
		if (r == 0) {
			struct state old = *s;
			memcpy(s->value[0], old.value[1], sizeof(s->value[0]));
			memcpy(s->value[1], old.value[0], sizeof(s->value[1]));
		}
		return r;
	default:
		return put(t, s, 1, i % KEYS, v, small[0], STORE_NO_EXPIRY); /* big */
	}
}

static void set_why(struct work *w, const char *what, int r)
{
	if (!*w->why)
		snprintf(w->why, sizeof(w->why), "%s: %d (%.150s)", what, r, w->f.store ? store_problem(w->f.store) : w->f.error.text);
}

/* Commits the disk refused may have been taken back. */
static void look_back(struct work *w)
{
	store_poll(w->f.store);
	while (w->count > 1 && w->position[w->count - 1] > store_position(w->f.store))
		w->count--;
	while (w->acknowledged + 1 < w->count && w->position[w->acknowledged + 1] <= store_durable(w->f.store))
		w->acknowledged++;
	if (w->acknowledged >= w->count)
		set_why(w, "an acknowledged commit was taken back", 0);
}

static void do_step(struct work *w, unsigned i)
{
	char small[KEYS][40];
	struct state next = w->history[w->count - 1];
	struct txn *t = txn_begin(w->f.store, NULL);
	uint64_t position;
	int r = state_writes(w, t, &next, i, small);

	if (r) {
		txn_abort(t);
	} else {
		bool writes = txn_has_writes(t);
		r = txn_commit(t, &position);
		if (r == 0 && writes) {
			w->history[w->count] = next;
			w->position[w->count++] = position;
			w->possible = w->count;
		}
	}
	lent = block_unref(lent);
	if (r && r != STORE_REFUSED && r != -ENOMEM && !(r == -EIO && w->reads_fail))
		set_why(w, "a write answers", r);
	/* Not store_health(): space may be back by now, and the refusal keeps its reason. */
	const char *text = store_problem(w->f.store);
	if (r == STORE_REFUSED && !strstr(text, ".seg") && !strstr(text, "CATALOG"))
		set_why(w, "a refusal does not name the file", r);
	store_submit(w->f.store);
	if (i % 3)
		store_wait(w->f.store, store_position(w->f.store));
	look_back(w);
	/* Reads go on, and show the last state that was taken. */
	if (i % 4 == 0) {
		r = compare(w, &w->history[w->count - 1]);
		if (r == 1 || (r < 0 && !w->reads_fail && r != -ENOMEM))
			set_why(w, "a read is wrong", r);
	}
}

static void read_along(struct work *w)
{
	struct txn *t = txn_begin(w->f.store, NULL);
	struct txn_scan *scan = txn_scan_begin(t, 0, SLICE("a"), slice(NULL, 0), true);
	struct slice key;

	while (scan && txn_scan_next(scan, &key, NULL) == 0)
		if (key.len == 0)
			set_why(w, "a scan leaves its bounds", 0);
	txn_scan_end(scan);
	txn_count(t, 0);
	int r = txn_random(t, 0, 7, &key);
	if (r != 0 && r != STORE_ABSENT && r != -ENOMEM)
		set_why(w, "a random key", r);
	txn_abort(t);
	store_expire_some(w->f.store, 10);
}

/* The store must open and show the last acknowledged state or a later one. */
static void check_after(struct work *w, bool exact)
{
	int r = fx_open(&w->f);

	if (r) {
		set_why(w, "it does not open afterwards", r);
		return;
	}
	size_t from = exact ? w->count - 1 : w->acknowledged, to = exact ? w->count : w->possible;
	for (size_t i = to; i-- > from;)
		if (compare(w, &w->history[i]) == 0)
			return;
	set_why(w, exact ? "after a stop without an error something is lost" : "an acknowledged write is lost", (int)w->count);
}

static void run_work(struct work *w)
{
	int r = fx_open(&w->f);

	if (r) {
		if (!strstr(w->f.error.text, "sim") && !strstr(w->f.error.text, ".seg") && !strstr(w->f.error.text, "CATALOG") && r != -ENOMEM)
			set_why(w, "the error names no file", r);
		return;
	}
	for (unsigned i = 0; i < STEPS && !*w->why; i++)
		do_step(w, i);
	read_along(w);
}

static bool finish_work(struct work *w)
{
	bool exact = false;

	if (w->f.store && !*w->why) {
		look_back(w);
		exact = fx_close(&w->f) == 0;
	} else {
		fx_close(&w->f);
	}
	if (simdisk_open_handles(w->f.disk))
		set_why(w, "handles stay open", (int)simdisk_open_handles(w->f.disk));
	armed = false;
	simdisk_fail(w->f.disk, SIM_ANY, 0, 0, 0);
	simdisk_power_cycle(w->f.disk);
	if (!*w->why)
		check_after(w, exact);
	return !*w->why;
}

/* ---- where it begins ---- */

/* An empty disk; or a store of two segments with an unsynced batch at its end, leftovers, and a torn record behind. */
static struct simdisk *make_start(struct work *w, bool old)
{
	struct simdisk *d = simdisk_new(11);
	size_t size;

	if (!old)
		return d;
	fx_init(&w->f, d);
	w->f.options.databases = DATABASES;
	fx_must_open(&w->f);
	for (unsigned i = 0; i < 8; i++)
		do_step(w, i);
	if (fx_wait(&w->f))
		bail("no sync");
	look_back(w);
	uint64_t end = 0;
	struct store_stats st;
	store_stats(w->f.store, &st);
	end = st.log_bytes;
	fx_kill(&w->f);
	const char *active = NULL, *name;
	for (size_t i = 0; (name = simdisk_name(d, i)); i++)
		if (strstr(name, ".seg") && (!active || strcmp(name, active) > 0))
			active = name;
	unsigned char *p = simdisk_file(d, active, &size);
	if (end == 0 || size < 1000)
		bail("no store to begin with");
	memset(p + size - 500, 'x', 400);
	simdisk_write(d, "CATALOG.new", "kvd", 3);
	simdisk_write(d, "0000000099.seg", "", 0);
	w->history[0] = w->history[w->count - 1];
	w->count = 1;
	w->acknowledged = 0;
	return d;
}

static void begin(struct work *w, struct simdisk *base, const struct work *from, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	fx_init(&w->f, simdisk_copy(base, seed));
	w->f.options.databases = DATABASES;
	w->f.options.cache_size = 1 << 20;
	w->history[0] = from->history[0];
	w->count = w->possible = 1;
}

/* ---- the disk ---- */

static const char *const kind_names[] = { "change", "write", "sync", "read", "change of a name or size" };

static void fail_calls(struct simdisk *base, const struct work *from, enum simdisk_call kind, int error, bool for_ever)
{
	static struct work w;
	unsigned bad = 0;
	uint64_t n = 0, total;

	begin(&w, base, from, 3);
	run_work(&w);
	if (!finish_work(&w))
		bail("without any failure: %s", w.why);
	/* The opening that checks counts too, so that its calls fail in turn at the end. */
	total = simdisk_calls(w.f.disk, kind);
	fx_done(&w.f);
	for (n = 1; n <= total && bad < 3; n += stride) {
		begin(&w, base, from, 3);
		w.reads_fail = kind == SIM_READ;
		simdisk_fail(w.f.disk, kind, n, for_ever ? UINT32_MAX : 0, -error);
		run_work(&w);
		if (!finish_work(&w)) {
			diag("%s %" PRIu64 " of %" PRIu64 " fails with %s%s: %s", kind_names[kind], n, total, strerror(error),
				for_ever ? " for ever" : "", w.why);
			bad++;
		}
		fx_done(&w.f);
	}
	ok(bad == 0 && total > 3, "every %s in turn fails with \"%s\"%s, %s: nothing acknowledged is lost, reads go on, it opens again (%" PRIu64 ")",
		kind_names[kind], strerror(error), for_ever ? " for ever" : "", simdisk_name(base, 0) ? "an old store" : "a new store", total);
}

static void test_disk(void)
{
	static const struct {
		enum simdisk_call kind;
		int error;
	} cases[] = { { SIM_WRITE, EIO }, { SIM_WRITE, ENOSPC }, { SIM_SYNC, EIO }, { SIM_SYNC, ENOSPC }, { SIM_META, EIO }, { SIM_META, ENOSPC },
		{ SIM_META, EMFILE }, { SIM_READ, EIO } };
	static struct work start;

	for (int old = 0; old < 2; old++) {
		memset(&start, 0, sizeof(start));
		start.count = 1;
		struct simdisk *base = make_start(&start, old);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			for (int for_ever = 0; for_ever < 2; for_ever++)
				fail_calls(base, &start, cases[i].kind, cases[i].error, for_ever);
		simdisk_free(base);
	}
}

/* The power goes at every call in turn, and the disk settles in several ways. */
static void test_power(void)
{
	static struct work start, w;

	for (int old = 0; old < 2; old++) {
		unsigned bad = 0;
		memset(&start, 0, sizeof(start));
		start.count = 1;
		struct simdisk *base = make_start(&start, old);
		begin(&w, base, &start, 1);
		run_work(&w);
		uint64_t total = simdisk_calls(w.f.disk, SIM_ANY) + 10; /* some of the stop */
		fx_done(&w.f);
		for (uint64_t n = 1; n <= total && bad < 3; n += stride)
			for (uint64_t seed = 1; seed <= 6 && bad < 3; seed++) {
				begin(&w, base, &start, seed);
				w.reads_fail = true;
				simdisk_die_at(w.f.disk, n);
				run_work(&w);
				/* What a dying machine answers counts for nothing; what it called durable does. */
				*w.why = 0;
				if (!finish_work(&w)) {
					diag("the power goes at call %" PRIu64 " of %" PRIu64 ", seed %" PRIu64 ": %s", n, total, seed, w.why);
					bad++;
				}
				fx_done(&w.f);
			}
		ok(bad == 0, "the power goes at every call in turn, %s: it opens, nothing acknowledged is lost", old ? "an old store" : "a new store");
		simdisk_free(base);
	}
}

/* A disk that is full for a while: refused meanwhile, taken again by itself. */
static void test_full(void)
{
	struct fx f;
	const struct fx_told *told = NULL;

	fx_init(&f, simdisk_new(5));
	fx_must_open(&f);
	fx_put(&f, "before", "v");
	fx_wait(&f);
	simdisk_fail(f.disk, SIM_WRITE, 1, UINT32_MAX, -ENOSPC);
	fx_put_size(&f, "big", 'x', 2000000);
	ok(fx_wait(&f) != 0, "a write to a full disk is not acknowledged");
	store_poll(f.store);
	is_int(fx_count(&f, STORE_EVENT_REFUSING, &told), 1, "that writes are refused is told");
	ok(strstr(told->text, ".seg") && strstr(told->text, "space"), "with file and reason: %s", told->text);
	is_int(fx_put_size(&f, "another", 'x', 2000000), STORE_REFUSED, "the next is refused");
	is_str(fx_get(&f, "before"), "v", "reads go on");
	simdisk_fail(f.disk, SIM_WRITE, 0, 0, 0);
	ok(FX_UNTIL(&f, fx_count(&f, STORE_EVENT_RESUMED, NULL)), "when there is space again, that is told, too");
	ok(FX_UNTIL(&f, fx_put(&f, "after", "v") == 0), "and writes are taken");
	is_int(fx_wait(&f), 0, "and durable");
	fx_power(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "after"), "v", "the later write is there");
	is_str(fx_get(&f, "before"), "v", "and the earlier one");
	fx_done(&f);
}

/* The refused writes have reached the file in part. Once the store is healthy again no power loss brings them back. */
static void test_refused_is_gone(void)
{
	unsigned back = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct fx f;
		fx_init(&f, simdisk_new(seed));
		fx_must_open(&f);
		fx_put(&f, "key", "acknowledged");
		fx_wait(&f);
		simdisk_fail(f.disk, SIM_WRITE, 1, 0, -ENOSPC);
		fx_put(&f, "key", "refused");
		fx_put(&f, "another", "refused");
		if (fx_wait(&f) == 0 || !FX_UNTIL(&f, store_health(f.store, NULL) == 0))
			bail("not refused, or never healthy again");
		fx_power(&f);
		fx_must_open(&f);
		back += strcmp(fx_get(&f, "key"), "acknowledged") != 0 || strcmp(fx_get(&f, "another"), "(absent)") != 0;
		fx_done(&f);
	}
	is_int(back, 0, "refused writes that reached the disk in part do not come back");
}

/* A sync that failed once: what it should have synced must not be called durable by a later one. */
static void test_sync_fails_once(void)
{
	struct fx f;
	const struct fx_told *told = NULL;

	fx_init(&f, simdisk_new(5));
	fx_must_open(&f);
	fx_put(&f, "before", "v");
	fx_wait(&f);
	uint64_t durable = store_durable(f.store);
	simdisk_fail(f.disk, SIM_SYNC, 1, 0, -EIO);
	fx_put(&f, "lost", "v");
	is_int(fx_wait(&f), -EIO, "a commit whose sync fails is not acknowledged");
	store_poll(f.store);
	ok(fx_count(&f, STORE_EVENT_REFUSING, &told) == 1 && strstr(told->text, SEG1), "writes are refused, the file named");
	is_int(fx_put(&f, "more", "v"), STORE_REFUSED, "for good");
	store_barrier(f.store);
	store_wait(f.store, store_position(f.store));
	is_int((int64_t)store_durable(f.store), (int64_t)durable, "nothing becomes durable any more");
	is_str(fx_get(&f, "before"), "v", "reads go on");
	ok(fx_close(&f) != 0, "the stop is not called clean");
	simdisk_power_cycle(f.disk);
	fx_must_open(&f);
	is_str(fx_get(&f, "before"), "v", "after the power cycle what was acknowledged is there");
	is_str(fx_get(&f, "more"), "(absent)", "and what was refused is not");
	fx_done(&f);
}

/* ---- memory ---- */

static bool run_without(struct simdisk *base, const struct work *from, uint64_t n, bool for_ever, uint64_t *ret_asked)
{
	static struct work w;
	int64_t before = balance;

	begin(&w, base, from, 3);
	asked = 0;
	fail_from = n;
	fail_to = for_ever ? UINT64_MAX : n;
	armed = true;
	run_work(&w);
	if (!w.f.store && !*w.why && w.f.error.code != -ENOMEM)
		set_why(&w, "opening without memory", w.f.error.code);
	armed = false;
	/* A commit that could not be taken back for want of memory: the store is read-only and answers errors, until it is opened anew. */
	const char *text = "";
	bool blind = w.f.store && store_health(w.f.store, &text) == STORE_REFUSED && strstr(text, "taking back");
	int r = w.f.store && !blind && !*w.why ? compare(&w, &w.history[w.count - 1]) : 0;
	if (r)
		set_why(&w, "with memory again it shows another state", r);
	armed = true;
	bool good = finish_work(&w);
	*ret_asked = asked;
	fx_done(&w.f);
	if (good && balance != before) {
		diag("allocation %" PRIu64 " fails: %" PRId64 " pieces of memory are lost", n, balance - before);
		good = false;
	}
	if (*w.why)
		diag("allocation %" PRIu64 "%s fails: %s", n, for_ever ? " and all later ones" : "", w.why);
	return good;
}

static void test_memory(void)
{
	static struct work start;
	uint64_t total, ignored;

	for (int old = 0; old < 2; old++) {
		memset(&start, 0, sizeof(start));
		start.count = 1;
		struct simdisk *base = make_start(&start, old);
		run_without(base, &start, UINT64_MAX, false, &total);
		for (int for_ever = 0; for_ever < 2; for_ever++) {
			unsigned bad = 0;
			for (uint64_t n = 1; n <= total && bad < 3; n += stride)
				bad += !run_without(base, &start, n, for_ever, &ignored);
			ok(bad == 0 && total > 20, "every allocation in turn fails%s, %s: out of memory or success, nothing lost, wrong or leaked (%" PRIu64 ")",
				for_ever ? " with all later ones" : "", old ? "an old store" : "a new store", total);
		}
		simdisk_free(base);
	}
}

/* A large transaction on a keydir of many pages, so that taking back a part of it needs memory of its own. */
static void test_undo(void)
{
	struct fx f;
	struct buf before = { 0 };
	unsigned bad = 0, refused = 0;
	char key[4000][16];

	fx_init(&f, simdisk_new(4));
	fx_must_open(&f);
	struct txn *t = txn_begin(f.store, NULL);
	uint64_t position;
	for (int i = 0; i < 4000; i++) {
		snprintf(key[i], sizeof(key[i]), "%08d", i * 7919 % 100000);
		if (i % 2 == 0)
			txn_put(t, 0, slice_str(key[i]), SLICE("v"), STORE_NO_EXPIRY);
	}
	if (txn_commit(t, &position) || fx_wait(&f))
		bail("no start");
	fx_dump(&f, &before);
	for (int for_ever = 0; for_ever < 2; for_ever++)
		for (uint64_t n = 1; n < 400 && bad < 3; n += stride + n / 40) {
			t = txn_begin(f.store, NULL);
			for (int i = 0; i < 4000; i += 2)
				txn_delete(t, 0, slice_str(key[i]));
			for (int i = 1; i < 4000; i += 2)
				txn_put(t, 0, slice_str(key[i]), SLICE("w"), store_now(f.store) + 1000);
			asked = 0;
			fail_from = n;
			fail_to = for_ever ? UINT64_MAX : n;
			armed = true;
			int r = txn_commit(t, &position);
			armed = false;
			if (r == 0) { /* it needed less than that: put it back */
				t = txn_begin(f.store, NULL);
				txn_flush(t, 0);
				for (int i = 0; i < 4000; i += 2)
					txn_put(t, 0, slice_str(key[i]), SLICE("v"), STORE_NO_EXPIRY);
				if (txn_commit(t, &position) || fx_wait(&f))
					bail("no way back");
				continue;
			}
			refused++;
			/* Without any memory the commit cannot even be taken back: then the store says so and takes no more writes. */
			if (for_ever && r == -ENOMEM && store_health(f.store, NULL) == STORE_REFUSED) {
				fx_close(&f);
				fx_must_open(&f);
			}
			if (r != -ENOMEM || !fx_holds(&f, &before)) {
				diag("allocation %" PRIu64 "%s of a commit fails: %d, and something of it stays", n, for_ever ? " and all later ones" : "", r);
				bad++;
			}
		}
	ok(bad == 0 && refused > 5, "a commit that runs out of memory midway leaves nothing behind (%u times)", refused);
	fx_close(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &before), "nor on disk");
	fx_done(&f);
	buf_free(&before);
}

int main(void)
{
	stride = tap_stride();
	test_full();
	test_refused_is_gone();
	test_sync_fails_once();
	test_disk();
	test_power();
	test_memory();
	test_undo();
	return done();
}
