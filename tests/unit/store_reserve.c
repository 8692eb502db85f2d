/* SPDX-License-Identifier: MIT
 * A full disk: deletions and merges go on from the reserve, writes come back by themselves with what they free, and nothing is lost meanwhile.
 */
#include "store/inner.h"
#include "store_fixture.h"

#define VALUE 50000

/* What the daemon does each second. */
static bool tick(struct fx *f)
{
	f->clock.mono += 10;
	store_compact_tick(f->store);
	return is_idle(f);
}

static void init(struct fx *f, uint64_t seed, uint64_t capacity)
{
	fx_init(f, simdisk_new(seed));
	simdisk_set_capacity(f->disk, capacity);
	fx_must_open(f);
	store_set_compaction(f->store, &(struct store_compaction){ .garbage_ratio = 100 });
}

static void name_key(char out[20], unsigned i)
{
	snprintf(out, 20, "key%04u", i);
}

/* One write, waited for. */
static int put(struct fx *f, unsigned i)
{
	char key[20];

	name_key(key, i);
	int r = fx_put_size(f, key, (char)('a' + i % 26), VALUE);
	if (r == 0)
		r = fx_wait(f);
	store_poll(f->store);
	return r;
}

static int delete(struct fx *f, unsigned i)
{
	char key[20];

	name_key(key, i);
	int r = fx_delete(f, key);
	if (r == 0)
		r = fx_wait(f);
	store_poll(f->store);
	return r;
}

/* Keys until the disk is full: how many. */
static unsigned fill(struct fx *f)
{
	unsigned n = 0;

	while (put(f, n) == 0)
		n++;
	return n;
}

static bool has_key(struct fx *f, unsigned i)
{
	char key[20];

	name_key(key, i);
	const char *value = fx_get(f, key);
	return value[0] == 'a' + (int)(i % 26) && strlen(value) == 300;
}

/* Keys of from, from + step, ... below n that are there. */
static unsigned count_keys(struct fx *f, unsigned from, unsigned step, unsigned n)
{
	unsigned there = 0;

	for (unsigned i = from; i < n; i += step)
		there += has_key(f, i);
	return there;
}

static uint64_t reserve_of(struct fx *f)
{
	return stats_of(f).reserve_bytes;
}

static bool has_reserve(struct fx *f)
{
	return simdisk_count(f->disk, RESERVE_NAME) == 1;
}

static void test_size(void)
{
	struct fx f;
	char key[20];

	init(&f, 1, 0);
	is_int(reserve_of(&f), RESERVE_LEAST, "a new store has a small reserve");
	ok(has_reserve(&f), "in a file");
	for (unsigned i = 0; i < 200; i++)
		put(&f, i);
	uint64_t log = stats_of(&f).log_bytes;
	ok(FX_UNTIL(&f, (put(&f, 0), reserve_of(&f) >= log / RESERVE_PART * 3 / 4)) && reserve_of(&f) <= 2 * log / RESERVE_PART,
		"which grows with the log (%" PRIu64 " of %" PRIu64 ")", reserve_of(&f), log);
	uint64_t before = reserve_of(&f);
	fx_close(&f);
	fx_must_open(&f);
	ok(reserve_of(&f) >= before, "the next run has it");
	for (unsigned i = 200; i < 600; i++)
		put(&f, i);
	ok(FX_UNTIL(&f, (put(&f, 0), reserve_of(&f) >= f.options.segment_size * 3 / 4)), "it gets as large as a segment");
	ok(reserve_of(&f) <= f.options.segment_size, "and not larger");
	struct txn *t = txn_begin(f.store, NULL);
	uint64_t position, ticket;
	txn_flush(t, 0);
	txn_commit(t, &position);
	fx_wait(&f);
	store_compact(f.store, 0, &ticket);
	ok(FX_UNTIL(&f, is_idle(&f)), "without its data");
	for (unsigned i = 0; i < 30; i++)
		put(&f, i);
	ok(FX_UNTIL(&f, (put(&f, 0), reserve_of(&f) == RESERVE_LEAST)), "it is small again");
	fx_close(&f);
	name_key(key, 3);
	f.options.flags = STORE_BLOCKING | STORE_READ_ONLY;
	simdisk_remove(f.disk, RESERVE_NAME);
	fx_must_open(&f);
	ok(has_key(&f, 3) && !has_reserve(&f) && reserve_of(&f) == 0, "who only reads makes none");
	fx_done(&f);
}

static int cannot_allocate(struct io *io, int fd, uint64_t size)
{
	(void)io;
	(void)fd;
	(void)size;
	return -EOPNOTSUPP;
}

static void test_unsupported(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(2));
	simdisk_io(f.disk)->allocate = cannot_allocate;
	fx_must_open(&f);
	ok(reserve_of(&f) == 0 && !has_reserve(&f), "where blocks cannot be allocated there is no reserve");
	simdisk_set_capacity(f.disk, 8 << 20);
	ok(fill(&f) > 100 && store_is_full(f.store), "nor on a full disk");
	simdisk_set_capacity(f.disk, 0);
	ok(FX_UNTIL(&f, put(&f, 0) == 0), "whose space comes back all the same");
	fx_done(&f);
}

static int (*sim_allocate)(struct io *io, int fd, uint64_t size);

static int allocate_little(struct io *io, int fd, uint64_t size)
{
	return size > RESERVE_LEAST ? -EDQUOT : sim_allocate(io, fd, size);
}

/* A quota is not seen in what is free: trying tells. */
static void test_quota(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(9));
	sim_allocate = simdisk_io(f.disk)->allocate;
	simdisk_io(f.disk)->allocate = allocate_little;
	fx_must_open(&f);
	for (unsigned i = 0; i < 600; i++)
		put(&f, i);
	fx_close(&f);
	fx_must_open(&f);
	ok(reserve_is_due(f.store, f.store->active->size), "a reserve that should grow");
	ok(reserve_of(&f) == RESERVE_LEAST && has_reserve(&f), "and may not stays as it is (%" PRIu64 ")", reserve_of(&f));
	fx_done(&f);
}

/* Every second key goes, and that is enough. by_hand: merging does not begin by itself. */
static void test_deletes_make_room(bool by_hand)
{
	struct fx f;
	unsigned deleted = 0, there;

	init(&f, 3, 24 << 20);
	if (by_hand)
		store_set_compaction(f.store, &(struct store_compaction){ 0 });
	unsigned n = fill(&f);
	ok(n > 300 && store_is_full(f.store), "%s: the disk is full after %u values", by_hand ? "by hand" : "by itself", n);
	for (unsigned i = 0; i < n; i += 2)
		deleted += delete(&f, i) == 0;
	is_int(deleted, (n + 1) / 2, "deletions go on");
	ok(put(&f, n) != 0, "writes do not");
	if (by_hand) {
		uint64_t ticket;
		f.clock.mono += 100000;
		store_compact_tick(f.store);
		ok(!stats_of(&f).merging, "nothing begins by itself when that is off");
		is_int(store_compact(f.store, 0, &ticket), 0, "a compaction is taken");
		ok(FX_UNTIL(&f, is_idle(&f)), "and ends");
		if (!is_int(stats_of(&f).compact_result, 0, "well"))
			diag("%s", store_compact_problem(f.store));
		ok(FX_UNTIL(&f, !store_is_full(f.store)), "writes are taken again");
	} else {
		ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "writes are taken again, with no help");
	}
	ok(FX_UNTIL(&f, put(&f, n) == 0), "indeed");
	is_int(there = count_keys(&f, 1, 2, n), n / 2, "nothing is lost");
	is_int(count_keys(&f, 0, 2, n), 0, "and what was deleted stays so");
	ok(FX_UNTIL(&f, (tick(&f), reserve_of(&f) >= RESERVE_LEAST)), "there is a reserve again");
	unsigned again = 0;
	for (unsigned i = 0; i < n / 2; i += 2)
		again += FX_UNTIL(&f, put(&f, i) == 0 || (tick(&f), false)) && has_key(&f, i);
	is_int(again, (n / 2 + 1) / 2, "half of what was deleted can be written again");
	simdisk_set_capacity(f.disk, 0); /* this disk may give back names whose blocks it has given away */
	fx_power(&f);
	fx_must_open(&f);
	is_int(count_keys(&f, 1, 2, n), n / 2, "and all is there after a power loss");
	fx_done(&f);
}

static void test_flush(void)
{
	struct fx f;
	uint64_t position;

	init(&f, 4, 12 << 20);
	unsigned n = fill(&f);
	struct txn *t = txn_begin(f.store, NULL);
	ok(txn_flush(t, 0) == 0 && txn_commit(t, &position) == 0 && fx_wait(&f) == 0, "a full disk takes a flush (%u values)", n);
	ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "whose space comes back");
	is_int(put(&f, 0), 0, "a write is taken");
	fx_done(&f);
}

/* What has expired is deleted on a full disk, too, in pieces the blocks ahead of the log have room for. */
static void test_expiry(void)
{
	static char value[4000];
	struct fx f;
	char key[20];
	unsigned n = 0;

	init(&f, 9, 12 << 20);
	do {
		name_key(key, n++);
		fx_put_in(&f, 0, slice_str(key), slice(value, sizeof(value)), store_now(f.store) + 60000);
	} while (fx_wait(&f) == 0);
	store_poll(f.store);
	ok(n > 2000 && store_is_full(f.store), "the disk is full of %u keys that expire", n);
	is_int(store_expire_some(f.store, 16), 0, "none yet");
	f.clock.mono += 61000;
	ok(FX_UNTIL(&f, (store_expire_some(f.store, 16), tick(&f)) && !store_is_full(f.store)), "once they have, their space comes back");
	is_int(put(&f, 0), 0, "a write is taken");
	ok(FX_UNTIL(&f, (store_expire_some(f.store, 16), tick(&f)) && stats_of(&f).keys == 1), "and they all go");
	fx_done(&f);
}

/* What was refused was answered so: there is nothing left to complain of at the end. */
static void test_stop(void)
{
	struct fx f;

	init(&f, 10, 8 << 20);
	unsigned n = fill(&f);
	ok(n > 100 && store_is_full(f.store), "the disk is full after %u values", n);
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	is_int(fx_close(&f), 0, "a stop then is a clean one");
	fx_must_open(&f);
	is_int(count_keys(&f, 0, 1, n), n, "after which all is there");
	is_int(fx_count(&f, STORE_EVENT_TAIL_CUT, NULL), 0, "and nothing is cut");
	fx_done(&f);
}

/* Where even zeros over what was refused, and what a start writes again, need blocks. */
static void test_copy_on_write(void)
{
	unsigned deleted = 0;
	struct fx f;

	init(&f, 11, 16 << 20);
	simdisk_set_copies(f.disk);
	unsigned n = fill(&f);
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	fx_kill(&f);
	if (!ok(fx_open(&f) == 0, "copy on write: a store opens without a free block (%u values)", n))
		bail("%s", f.error.text);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 100 });
	ok(put(&f, n) != 0 && FX_UNTIL(&f, store_is_full(f.store)), "it takes no writes");
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	for (unsigned i = 0; i < n; i++)
		deleted += i % 4 && FX_UNTIL(&f, (tick(&f), delete(&f, i) == 0));
	is_int(deleted, n - (n + 3) / 4, "deletions go on");
	ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "and make room");
	is_int(count_keys(&f, 0, 4, n), (n + 3) / 4, "nothing is lost");
	fx_done(&f);
}

/* Others have taken all there is: the catalog itself finds no block. */
static void test_no_block(void)
{
	struct fx f;
	size_t size;

	init(&f, 5, 8 << 20);
	for (unsigned i = 0; i < 60; i++)
		put(&f, i);
	fx_kill(&f);
	/* From here on not one block is free. */
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	is_int(fx_open(&f), 0, "a store opens on a disk without a free block");
	ok(count_keys(&f, 0, 1, 60) == 60, "and shows what it has");
	ok(put(&f, 60) != 0 && FX_UNTIL(&f, store_is_full(f.store)), "but takes no writes");
	ok(simdisk_file(f.disk, CATALOG_NAME, &size) && size > 0, "its catalog is there");
	simdisk_set_capacity(f.disk, 16 << 20);
	ok(FX_UNTIL(&f, put(&f, 60) == 0), "until there is space");
	fx_done(&f);
}

static bool has_looked(const struct fx *f)
{
	for (struct timespec begun = fx_now(); !reserve_looked(&f->store->reserve) && fx_now().tv_sec - begun.tv_sec < FX_DEADLINE_S;)
		sched_yield(); /* without a poll, which would go on */
	return reserve_looked(&f->store->reserve);
}

/* A merge that has no room is not begun, and says why. */
static void test_no_room(void)
{
	const struct fx_told *told = NULL;
	uint64_t ticket;
	struct fx f;

	init(&f, 6, 0);
	for (unsigned i = 0; i < 15; i++)
		put(&f, i);
	delete(&f, 0);
	simdisk_set_free(f.disk, 1 << 20);
	is_int(store_compact(f.store, 0, &ticket), 0, "a compaction begins while there is space for it");
	ok(FX_UNTIL(&f, is_idle(&f)), "and ends");
	is_int(stats_of(&f).compact_result, -ENOSPC, "as there is not");
	ok(strstr(store_compact_problem(f.store), "bytes have to be copied, and there is room for 0"), "which it says (%s)", store_compact_problem(f.store));
	ok(fx_count(&f, STORE_EVENT_MERGE_FAILED, &told) == 1 && strstr(told->text, "have to be copied"), "and tells");
	is_int(stats_of(&f).merge_bytes_written, 0, "nothing is written");
	fx_done(&f);

	init(&f, 18, 0);
	for (unsigned i = 0; i < 30; i++)
		put(&f, i);
	delete(&f, 0);
	store_seal(f.store, &ticket);
	fx_wait(&f);
	is_int(store_compact(f.store, 0, &ticket), 0, "a compaction is to begin");
	ok(has_looked(&f), "the room for it is known");
	simdisk_set_free(f.disk, 1 << 20);
	ok(FX_UNTIL(&f, is_idle(&f)), "and others take it");
	is_int(stats_of(&f).compact_result, -ENOSPC, "it ends");
	is_int(stats_of(&f).merge_bytes_written, 0, "nothing is written");
	fx_done(&f);

	/* On a full disk, with a segment that lives as a whole but for a little. */
	unsigned n = 0;
	fx_init(&f, simdisk_new(7));
	f.options.segment_size = 4 << 20;
	fx_must_open(&f);
	while (n < 200)
		n += put(&f, n) == 0;
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	while (put(&f, n) == 0)
		n++;
	ok(FX_UNTIL(&f, delete(&f, 0) == 0), "nothing is free, and a deletion is taken");
	is_int(store_compact(f.store, 0, &ticket), 0, "a full disk takes a compaction");
	ok(FX_UNTIL(&f, is_idle(&f)), "which ends");
	is_int(stats_of(&f).compact_result, -ENOSPC, "without room");
	ok(strstr(store_compact_problem(f.store), "bytes have to be copied, and there is room for"), "which it says (%s)", store_compact_problem(f.store));
	ok(store_is_full(f.store) && count_keys(&f, 1, 1, n) == n - 1, "all is as it was");
	fx_done(&f);
}

/* When the log grows and finds no block for a segment or its name, the disk is full: the reserve is not for that. */
static void test_growth(void)
{
	unsigned full = 0, least = 0;

	for (unsigned k = 0; k < 64; k++) {
		struct fx f;
		unsigned n = 0;
		init(&f, 15 + k, 0);
		for (; stats_of(&f).segments < 6; n++)
			put(&f, n);
		while (f.store->active->size + VALUE + 200 < f.options.segment_size)
			put(&f, n++);
		uint64_t before = reserve_of(&f);
		simdisk_set_capacity(f.disk, simdisk_used(f.disk) + k * 4096);
		while (put(&f, n) == 0)
			n++;
		full += store_is_full(f.store);
		least += reserve_of(&f) >= before;
		fx_done(&f);
	}
	is_int(full, 64, "a log that grows meets the end of its disk at each block around a new segment");
	is_int(least, 64, "and never takes the reserve");
}

static int (*true_free_space)(struct io *io, int dir, uint64_t *ret);
static _Atomic uint64_t boasted;
static _Atomic unsigned looks;

static int look_and_boast(struct io *io, int dir, uint64_t *ret)
{
	int r = true_free_space(io, dir, ret);

	atomic_fetch_add(&looks, 1);
	*ret += atomic_load(&boasted);
	return r;
}

/* A store whose looks at the free space are counted, and may be told of more than there is. */
static void init_watched(struct fx *f, uint64_t seed, uint64_t capacity, unsigned ratio)
{
	fx_init(f, simdisk_new(seed));
	simdisk_set_capacity(f->disk, capacity);
	true_free_space = simdisk_io(f->disk)->free_space;
	simdisk_io(f->disk)->free_space = look_and_boast;
	fx_must_open(f);
	store_set_compaction(f->store, &(struct store_compaction){ .garbage_ratio = ratio });
}

/* The file system tells of more space than it gives: a quota, or blocks it needs itself. */
static void test_inexact(void)
{
	struct fx f;

	init_watched(&f, 16, 24 << 20, 100);
	unsigned n = fill(&f);
	atomic_store(&boasted, 300000);
	for (unsigned i = 0; i < n; i += 2)
		delete(&f, i);
	ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "where less is free than the file system says merges get smaller until one fits");
	is_int(count_keys(&f, 1, 2, n), n / 2, "nothing is lost");
	fx_done(&f);
	atomic_store(&boasted, 0);
}

/* A disk that is small for the segments: they are, too, so that any one fits into the reserve. */
static void test_small_disk(void)
{
	struct store_segment *list;
	struct fx f;

	fx_init(&f, simdisk_new(14));
	simdisk_set_capacity(f.disk, 48 << 20);
	f.options.segment_size = 64 << 20;
	fx_must_open(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 100 });
	unsigned n = fill(&f);
	long segments = store_segments(f.store, &list);
	ok(segments >= RESERVE_PART, "a log that fills a small disk has %ld segments, of which any fits into the reserve", segments);
	free(list);
	for (unsigned i = 0; i < n; i += 2)
		delete(&f, i);
	ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "half of it deleted makes room");
	is_int(put(&f, n), 0, "a write is taken");
	is_int(count_keys(&f, 1, 2, n), n / 2, "nothing is lost");
	fx_done(&f);
}

/* A start on a full disk: nothing has been refused yet, and a compaction finds the reserve all the same. */
static void test_by_hand_first(void)
{
	uint64_t ticket;
	struct fx f;

	init(&f, 12, 24 << 20);
	unsigned n = fill(&f);
	for (unsigned i = 0; i < n; i += 2)
		delete(&f, i);
	fx_close(&f);
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	fx_must_open(&f);
	ok(!store_is_full(f.store), "a start on a full disk: nobody has tried to write yet (%u values)", n);
	is_int(store_compact(f.store, 0, &ticket), 0, "a compaction is taken");
	ok(FX_UNTIL(&f, is_idle(&f)), "and ends");
	if (!is_int(stats_of(&f).compact_result, 0, "well"))
		diag("%s", store_compact_problem(f.store));
	ok(stats_of(&f).compact_bytes_after < stats_of(&f).compact_bytes_before * 6 / 10, "and has brought what was deleted");
	ok(FX_UNTIL(&f, put(&f, n) == 0), "writes are taken");
	is_int(count_keys(&f, 1, 2, n), n / 2, "nothing is lost");
	fx_done(&f);
}

/* There is garbage, but not where a compaction can reach it: it must not say that all is well. */
static void test_by_hand_unsealed(void)
{
	uint64_t ticket;
	struct fx f;

	fx_init(&f, simdisk_new(13));
	f.options.segment_size = 64 << 20;
	fx_must_open(&f);
	for (unsigned i = 0; i < 100; i++)
		put(&f, i);
	simdisk_set_capacity(f.disk, simdisk_used(f.disk));
	fill(&f);
	for (unsigned i = 0; i < 50; i++)
		delete(&f, i);
	is_int(store_compact(f.store, 0, &ticket), 0, "a full disk takes a compaction of one large segment");
	ok(FX_UNTIL(&f, is_idle(&f)), "which ends");
	is_int(stats_of(&f).compact_result, -ENOSPC, "without room");
	ok(strstr(store_compact_problem(f.store), "have to be copied"), "which it says (%s)", store_compact_problem(f.store));
	fx_done(&f);
}

/* Space that comes back while a merge may need the reserve is not for others. */
static void test_lent(void)
{
	struct fx f;

	init_watched(&f, 17, 8 << 20, 0);
	fill(&f);
	ok(store_is_full(f.store), "the disk is full");
	reserve_lend(f.store, 4 << 20, true);
	simdisk_set_capacity(f.disk, 11 << 20);
	atomic_store(&looks, 0);
	ok(FX_UNTIL(&f, atomic_load(&looks) > 1) && store_is_full(f.store), "3 MiB of which 4 are lent are none");
	reserve_take_back(f.store);
	ok(FX_UNTIL(&f, !store_is_full(f.store)), "until they are taken back");
	fx_done(&f);
}

/* Tombstones are as long as their keys. */
static void name_long_key(char out[241], unsigned i)
{
	snprintf(out, 241, "%0240u", i);
}

/* More deletions than the blocks ahead of the records take. */
static void test_many_deletes(void)
{
	struct fx f;
	unsigned n, deleted = 0, refused = 0;
	char key[241];

	init(&f, 8, 16 << 20);
	store_set_compaction(f.store, &(struct store_compaction){ 0 });
	for (n = 0; n < 8000; n++) {
		name_long_key(key, n);
		if (fx_put_size(&f, key, 's', 500))
			break;
	}
	fx_wait(&f);
	for (unsigned i = n; put(&f, i) == 0; i++)
		;
	ok(store_is_full(f.store), "the disk is full");
	simdisk_set_capacity(f.disk, simdisk_used(f.disk)); /* not one block is free */
	uint64_t before = reserve_of(&f);
	for (unsigned i = 0; i < n && refused < 3; i++) {
		name_long_key(key, i);
		bool taken = fx_delete(&f, key) == 0 && fx_wait(&f) == 0;
		deleted += taken;
		refused += !taken;
		store_poll(f.store);
	}
	ok(before > 2 * RESERVE_LEAST && deleted * UINT64_C(240) + RESERVE_LEAST > before, "deletions go on from the reserve (%u, which had %" PRIu64 " bytes)",
		deleted, before);
	ok(FX_UNTIL(&f, reserve_of(&f) >= RESERVE_LEAST / 2), "and enough of the reserve stays for merges (%" PRIu64 ")", reserve_of(&f));
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 100 });
	ok(FX_UNTIL(&f, tick(&f) && !store_is_full(f.store)), "and these bring it back");
	fx_done(&f);
}

int main(void)
{
	test_size();
	test_unsupported();
	test_quota();
	test_deletes_make_room(false);
	test_deletes_make_room(true);
	test_flush();
	test_expiry();
	test_stop();
	test_copy_on_write();
	test_no_block();
	test_no_room();
	test_growth();
	test_inexact();
	test_small_disk();
	test_by_hand_first();
	test_by_hand_unsealed();
	test_lent();
	test_many_deletes();
	return done();
}
