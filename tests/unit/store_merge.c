/* SPDX-License-Identifier: MIT
 *
 * Merging segments: what goes, what must stay, and that no crash, failure or meeting with other work at any step changes what the store holds.
 */
#include "base/bytes.h"
#include "base/crc.h"
#include "store/checkpoint.h"
#include "store_fixture.h"

/* A compaction by hand from beginning to end: its result. */
static int compact(struct fx *f, unsigned flags)
{
	uint64_t ticket;
	int r = store_compact(f->store, flags, &ticket);

	if (r)
		return r;
	if (!FX_UNTIL(f, is_idle(f)))
		bail("the compaction does not end");
	return stats_of(f).compact_result;
}

static bool is_sealed(struct fx *f)
{
	struct store_segment *list;
	bool all = true;
	long n = store_segments(f->store, &list);

	for (long i = 0; i < n; i++)
		all &= list[i].active || list[i].complete;
	free(list);
	return all;
}

static void rotate(struct fx *f)
{
	uint64_t number;

	if (store_rotate(f->store, &number) || !FX_UNTIL(f, is_sealed(f)))
		bail("no new segment");
}

static bool has_file(struct fx *f, const char *name)
{
	size_t size;

	return simdisk_file(f->disk, name, &size) != NULL;
}

static unsigned count_files(struct fx *f)
{
	return simdisk_count(f->disk, ".seg");
}

static void reopen(struct fx *f, bool power)
{
	if (power)
		fx_power(f);
	else if (fx_close(f))
		bail("close failed");
	fx_must_open(f);
}

static void test_rewrites_shrink(void)
{
	struct buf before = { 0 };
	struct fx f;
	char key[16];

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key%u", i % 20);
		fx_put_size(&f, key, (char)('a' + i % 26), 3000 + i);
	}
	fx_put(&f, "gone", "x");
	fx_delete(&f, "gone");
	fx_wait(&f);
	fx_dump(&f, &before);
	uint64_t size = stats_of(&f).log_bytes;
	ok(size > 3000000 && stats_of(&f).segments > 3, "a thousand rewrites of twenty keys fill some segments");
	is_int(compact(&f, 0), 0, "a compaction by hand succeeds");
	struct store_stats s = stats_of(&f);
	ok(s.log_bytes * 10 < size, "it leaves less than a tenth: %" PRIu64 " of %" PRIu64, s.log_bytes, size);
	ok(s.compact_bytes_before == size && s.compact_bytes_after == s.log_bytes && s.compact_bytes_saved == size - s.log_bytes,
		"and says what was before, what is after, and what was saved");
	ok(s.garbage_bytes == 0 && s.live_bytes + s.segments * 64 == s.log_bytes, "no garbage is left: the counts are exact");
	ok(fx_holds(&f, &before), "every value is as it was");
	ok(count_files(&f) == s.segments, "the files of the old segments are gone");
	reopen(&f, false);
	ok(fx_holds(&f, &before), "and after a clean stop");
	reopen(&f, true);
	ok(fx_holds(&f, &before) && stats_of(&f).segments == s.segments, "and after power loss");
	fx_put(&f, "key0", "first write after");
	is_str(fx_get(&f, "key0"), "first write after", "the first write after opening is at its right place");
	buf_free(&before);
	fx_done(&f);
}

/* Outputs that are one batch each: while the owner still has that of one, the next is read. */
static void test_many_outputs(void)
{
	struct buf before = { 0 };
	struct fx f;
	char key[16];

	fx_init(&f, simdisk_new(4));
	fx_must_open(&f);
	for (unsigned i = 0; i < 120; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		fx_put_size(&f, key, (char)('a' + i % 26), 50000);
	}
	fx_wait(&f);
	fx_dump(&f, &before);
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "a merge of several segments to several ends");
	ok(stats_of(&f).segments > 5 && fx_holds(&f, &before), "every key is where it says");
	reopen(&f, false);
	ok(fx_holds(&f, &before), "and after a start");
	buf_free(&before);
	fx_done(&f);
}

/* Old versions of "k" in the first segment, its deletion in the second: the second is the one with the most garbage. */
static void begin_tombstone(struct fx *f)
{
	fx_init(f, simdisk_new(2));
	fx_must_open(f);
	fx_put(f, "k", "old");
	fx_put_size(f, "large", 'l', 50000);
	rotate(f);
	fx_put_size(f, "junk", 'j', 20000);
	fx_delete(f, "k");
	fx_delete(f, "junk");
	rotate(f);
	fx_put(f, "other", "o");
	fx_wait(f);
	store_set_compaction(f->store, &(struct store_compaction){ .garbage_ratio = 20, .min_garbage = 1 });
}

static uint64_t count_tombstone_bytes(struct fx *f)
{
	struct store_segment *list;
	uint64_t bytes = 0;
	long n = store_segments(f->store, &list);

	for (long i = 0; i < n; i++)
		bytes += list[i].tombstone_bytes;
	free(list);
	return bytes;
}

/* Tombstones that a merge had to keep are no reason to merge their segment once more; when there are many the log is gone over from its old end. */
static void test_tombstones_by_themselves(void)
{
	struct fx f;

	begin_tombstone(&f);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && count_tombstone_bytes(&f) == 2 * 40, "a merge keeps two tombstones");
	store_set_compaction(f.store, &(struct store_compaction){ .max_garbage = 2 * 40 + 1 });
	store_compact_tick(f.store);
	ok(is_idle(&f), "they are fewer than there may be");
	store_set_compaction(f.store, &(struct store_compaction){ .max_garbage = 2 * 40 });
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && count_tombstone_bytes(&f) == 0 && stats_of(&f).garbage_bytes == 0, "when they are as many, they go");
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "(absent)", "and the deleted key does not come back");
	fx_done(&f);
}

static void test_tombstones(void)
{
	struct fx f;
	struct store_segment *list;

	begin_tombstone(&f);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1, "the segment with the most garbage is merged by itself");
	long n = store_segments(f.store, &list);
	ok(n == 3 && list[0].number == 1 && list[1].tombstone_bytes == 2 * 40, "the older one stays, and so do the tombstones");
	free(list);
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "(absent)", "a deleted key does not come back while an older segment has it");
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "everything is merged");
	n = store_segments(f.store, &list);
	bool none = true;
	for (long i = 0; i < n; i++)
		none &= list[i].tombstone_bytes == 0;
	free(list);
	ok(none && stats_of(&f).garbage_bytes == 0, "then the tombstones are gone, too");
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "(absent)", "and the key does not come back");
	is_str(fx_get(&f, "other"), "o", "the rest is there");
	fx_done(&f);
}

/* A tombstone is not needed once its key has a younger version, though an older segment holds an old one. */
static void test_tombstone_below_younger(void)
{
	struct fx f;
	struct store_segment *list;

	begin_tombstone(&f);
	fx_put(&f, "k", "new");
	fx_wait(&f);
	store_compact_tick(f.store);
	FX_UNTIL(&f, is_idle(&f));
	store_segments(f.store, &list);
	is_int((int)list[1].tombstone_bytes, 40, "only the tombstone of the key that is still deleted is kept");
	free(list);
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "new", "the younger version counts");
	fx_done(&f);
}

/*
 * A merge moves a tombstone to a lower position, below that at which an older segment was written anew. It is younger than that segment all the same, and the
 * next merge must keep it, too.
 */
static void test_tombstone_merged_twice(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(17));
	fx_must_open(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 20, .min_garbage = 1 });
	fx_put(&f, "k", "old");
	fx_put_size(&f, "large", 'l', 50000);
	fx_put_size(&f, "rest", 'r', 40000);
	rotate(&f);
	fx_put_size(&f, "rest", 'r', 40000);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1 && !has_file(&f, SEG1), "a segment with a version of the key is written anew");
	fx_delete(&f, "k");
	fx_put_size(&f, "late", 'a', 40000);
	fx_delete(&f, "rest");
	rotate(&f);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 2, "then the one with its deletion, which moves");
	fx_put_size(&f, "late", 'b', 60000);
	rotate(&f);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 3, "and once more");
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "(absent)", "the deleted key does not come back");
	fx_done(&f);
}

static void test_flush_and_swap(void)
{
	struct buf before = { 0 };
	struct fx f;
	uint64_t position;

	fx_init(&f, simdisk_new(3));
	fx_must_open(&f);
	for (int round = 0; round < 5; round++) {
		fx_put_in(&f, 0, slice_str("a"), slice_str("zero"), STORE_NO_EXPIRY);
		fx_put_in(&f, 1, slice_str("a"), slice_str("one"), STORE_NO_EXPIRY);
		fx_put_in(&f, 2, slice_str("a"), slice_str("two"), STORE_NO_EXPIRY);
		struct txn *t = txn_begin(f.store, NULL);
		txn_swap(t, 0, (unsigned)round % 3 + 1);
		txn_swap(t, 2, 3);
		txn_flush(t, (unsigned)round % 2);
		txn_commit(t, &position);
		fx_put_in(&f, 3, slice_str("b"), slice_str("three"), STORE_NO_EXPIRY);
		rotate(&f);
		if (round == 2)
			is_int(compact(&f, 0), 0, "flushed and exchanged databases are merged");
	}
	fx_dump(&f, &before);
	compact(&f, STORE_COMPACT_FORCE);
	ok(fx_holds(&f, &before), "the data is the same");
	reopen(&f, true);
	ok(fx_holds(&f, &before), "and after power loss");
	struct store_stats s = stats_of(&f);
	ok(s.log_bytes < 500, "one exchange is left of each that counts: %" PRIu64 " bytes", s.log_bytes);
	buf_free(&before);
	fx_done(&f);
}

static void test_expired(void)
{
	struct fx f;
	char key[16];

	fx_init(&f, simdisk_new(4));
	fx_must_open(&f);
	for (unsigned i = 0; i < 100; i++) {
		char value[1000] = { 0 };
		snprintf(key, sizeof(key), "e%u", i);
		fx_put_in(&f, 0, slice_str(key), slice(value, sizeof(value)), store_now(f.store) + 1000);
	}
	fx_put(&f, "stays", "s");
	fx_wait(&f);
	f.clock.mono += 2000;
	f.clock.wall += 2000;
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "keys that have expired and were not swept are merged");
	ok(stats_of(&f).keys == 1 && stats_of(&f).expired == 100, "they are deleted on the way");
	ok(stats_of(&f).log_bytes < 20000, "their values do not come along: %" PRIu64 " bytes are left", stats_of(&f).log_bytes);
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "and their tombstones the next time");
	ok(stats_of(&f).log_bytes < 400, "their space is back: %" PRIu64 " bytes are left", stats_of(&f).log_bytes);
	f.clock.wall -= 1000000;
	reopen(&f, true);
	is_str(fx_get(&f, "e5"), "(absent)", "a clock set back does not revive them");
	is_str(fx_get(&f, "stays"), "s", "the other one stays");
	fx_done(&f);
}

/* The young end of the log in memory knows records by position, and outputs have positions of records that were merged away. */
static void test_tail_in_memory(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(5));
	fx_must_open(&f);
	fx_put(&f, "a", "first a");
	fx_put(&f, "b", "value b");
	fx_put(&f, "a", "other a");
	fx_wait(&f);
	is_int(compact(&f, 0), 0, "records that are still in the log's memory are merged");
	is_str(fx_get(&f, "b"), "value b", "a value that moved to where another one was");
	is_str(fx_get(&f, "a"), "other a", "and the one behind it");
	fx_done(&f);
}

/* ---- segments that are not read ---- */

/* Reads of the disk that a compaction by hand makes. */
static uint64_t reads_of_compaction(struct fx *f)
{
	uint64_t before = simdisk_calls(f->disk, SIM_READ);

	if (compact(f, 0))
		bail("the compaction fails");
	return simdisk_calls(f->disk, SIM_READ) - before;
}

/* A segment of values, and one with a younger version of each: nothing in the first is needed. */
static void begin_dead(struct fx *f)
{
	fx_init(f, simdisk_new(14));
	fx_must_open(f);
	for (int round = 0; round < 2; round++) {
		fx_put(f, "a", round ? "new a" : "old a");
		fx_put_in(f, 1, slice_str("b"), slice_str(round ? "new b" : "old b"), STORE_NO_EXPIRY);
		if (round == 0)
			rotate(f);
	}
}

static void end_dead(struct fx *f, const struct buf *dump, const char *what)
{
	ok(fx_holds(f, dump) && !has_file(f, SEG1), "%s: the values are right and the segment is gone", what);
	reopen(f, true);
	ok(fx_holds(f, dump), "also after power loss");
	fx_done(f);
}

enum how { AT_ONCE, AFTER_REPLAY, AFTER_CHECKPOINT, AFTER_OLD_CHECKPOINT };

/* Older checkpoints have zeros for the marks of segments. */
static void forget_marks(struct fx *f)
{
	size_t size;
	char *file = (char *)simdisk_file(f->disk, CHECKPOINT_NAME, &size);
	size_t at = get_le64(file + 40), len = get_le64(file + 48);

	for (uint32_t i = 0; i < get_le32(file + at); i++)
		put_le32(file + at + CHECKPOINT_INDEX + i * (size_t)CHECKPOINT_SEGMENT + 4, 0);
	put_le32(file + 56, crc_update(0, file + at, len));
	put_le32(file + 60, crc_update(0, file, 60));
}

static void come_back(struct fx *f, enum how how)
{
	if (how == AT_ONCE)
		return;
	if (how != AFTER_REPLAY && (store_checkpoint(f->store) || !FX_UNTIL(f, fx_count(f, STORE_EVENT_CHECKPOINT, NULL) == 1)))
		bail("no checkpoint");
	fx_wait(f);
	fx_close(f);
	if (how == AFTER_OLD_CHECKPOINT)
		forget_marks(f);
	fx_must_open(f);
	if (stats_of(f).recovered_from_checkpoint != (how != AFTER_REPLAY))
		bail("a start of another kind");
}

static void test_unread(void)
{
	static const char *const names[] = { "a segment of overwritten values", "after a replay", "after a start from a checkpoint",
		"after one from an older checkpoint, which does not say what it holds" };
	struct buf dump = { 0 };
	struct fx f;

	for (enum how how = AT_ONCE; how <= AFTER_OLD_CHECKPOINT; how++) {
		begin_dead(&f);
		fx_dump(&f, &dump);
		come_back(&f, how);
		uint64_t reads = reads_of_compaction(&f);
		ok(how == AFTER_OLD_CHECKPOINT ? reads > 0 : reads == 0, "%s goes with %" PRIu64 " reads", names[how], reads);
		ok(stats_of(&f).merge_bytes_written == 0 && stats_of(&f).garbage_bytes == 0, "and without a byte written");
		end_dead(&f, &dump, names[how]);
	}
	buf_free(&dump);
}

/* What has to be kept of a segment in which nothing lives is read. */
static void test_unread_but_needed(void)
{
	struct buf dump = { 0 };
	uint64_t position;
	struct fx f;

	for (enum how how = AT_ONCE; how <= AFTER_CHECKPOINT; how++) {
		begin_dead(&f);
		struct txn *t = txn_begin(f.store, NULL);
		txn_swap(t, 0, 1);
		txn_commit(t, &position);
		fx_put(&f, "more", "1");
		rotate(&f);
		for (unsigned db = 0; db < 2; db++) {
			fx_put_in(&f, db, slice_str("a"), slice_str("newest a"), STORE_NO_EXPIRY);
			fx_put_in(&f, db, slice_str("b"), slice_str("newest b"), STORE_NO_EXPIRY);
		}
		fx_put(&f, "more", "2");
		fx_dump(&f, &dump);
		come_back(&f, how);
		ok(reads_of_compaction(&f) > 0, "one that holds an exchange of databases is read");
		end_dead(&f, &dump, "an exchange");

		fx_init(&f, simdisk_new(15));
		fx_must_open(&f);
		fx_put(&f, "gone", "x");
		fx_delete(&f, "gone");
		rotate(&f);
		fx_put(&f, "stays", "s");
		fx_dump(&f, &dump);
		come_back(&f, how);
		ok(reads_of_compaction(&f) == 0, "one with a deletion is not when no segment is older");
		end_dead(&f, &dump, "a deletion at the beginning");
	}
	begin_tombstone(&f);
	fx_dump(&f, &dump);
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merge_bytes_read > 0, "it is read while an older one may hold the key");
	reopen(&f, true);
	ok(fx_holds(&f, &dump), "so that the key stays deleted");
	fx_done(&f);
	buf_free(&dump);
}

/* The output of a merge holds tombstones alone, and the older segment cannot be merged. */
static void test_output_of_tombstones(void)
{
	struct buf dump = { 0 };
	struct fx f;
	size_t size;

	begin_tombstone(&f);
	fx_dump(&f, &dump);
	store_compact_tick(f.store);
	FX_UNTIL(&f, is_idle(&f));
	simdisk_file(f.disk, SEG1, &size)[64 + 33] ^= 1;
	is_int(compact(&f, STORE_COMPACT_FORCE), -EUCLEAN, "the oldest segment is damaged");
	uint64_t reads = reads_of_compaction(&f);
	ok(reads > 0 && has_file(&f, SEG1), "the tombstones behind it are read in each compaction");
	simdisk_file(f.disk, SEG1, &size)[64 + 33] ^= 1;
	reopen(&f, true);
	ok(fx_holds(&f, &dump), "so that no deleted key comes back");
	fx_done(&f);
	buf_free(&dump);
}

/* A segment nobody reads goes only when what made it garbage cannot be taken back. */
static void test_unread_waits(void)
{
	struct buf dump = { 0 };
	struct fx f;

	fx_init(&f, simdisk_new(16));
	fx_must_open(&f);
	fx_put(&f, "k", "old");
	rotate(&f);
	fx_dump(&f, &dump);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	simdisk_fail(f.disk, SIM_WRITE, 1, UINT32_MAX, -ENOSPC);
	fx_put(&f, "k", "new");
	store_compact_tick(f.store);
	ok(stats_of(&f).merging, "a merge begins because of a commit that is not on disk");
	store_submit(f.store);
	ok(FX_UNTIL(&f, is_idle(&f) && store_rollbacks(f.store) == 1) && stats_of(&f).merges == 0, "when the disk refuses that, it is given up");
	ok(fx_holds(&f, &dump) && has_file(&f, SEG1), "and the segment is there, in which the key lives again");
	simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
	FX_UNTIL(&f, store_health(f.store, NULL) == 0);
	simdisk_hold(f.disk, SIM_SYNC, true);
	fx_put(&f, "k", "new");
	f.clock.mono += 20000;
	store_compact_tick(f.store);
	FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) > 0);
	ok(stats_of(&f).merging, "another one waits for the sync");
	simdisk_die(f.disk);
	fx_power(&f);
	fx_must_open(&f);
	const char *now = fx_get(&f, "k");
	ok(strcmp(now, "old") == 0 || strcmp(now, "new") == 0, "and after power loss one of the two values is there: %s", now);
	fx_done(&f);
	buf_free(&dump);
}

/* ---- every crash and every failure ---- */

static struct simdisk *make_garbage(struct buf *dump)
{
	struct fx f;
	char key[16];

	fx_init(&f, simdisk_new(6));
	fx_must_open(&f);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 8; i++) {
			snprintf(key, sizeof(key), "key%u", i);
			fx_put_size(&f, key, (char)('a' + round), 100 + 200 * i);
		}
		fx_delete(&f, round % 2 ? "key3" : "key4");
		fx_put_in(&f, round, slice_str("own"), slice_str("value"), STORE_NO_EXPIRY);
		rotate(&f);
	}
	fx_put_size(&f, "key0", 'z', 5000);
	fx_wait(&f);
	fx_dump(&f, dump);
	if (fx_close(&f))
		bail("close failed");
	return f.disk;
}

static bool is_over(struct fx *f)
{
	return is_idle(f) || simdisk_is_dead(f->disk);
}

static void test_every_crash(bool power)
{
	struct buf dump = { 0 };
	struct simdisk *base = make_garbage(&dump);
	/* Which names are there after power loss is chance: some attempts for each call. */
	unsigned bad = 0, n = 0, attempts = power ? 8 : 1;
	uint64_t ticket;
	bool died = true;

	for (unsigned i = 0; died && bad < 3; i++) {
		struct fx f;
		n = i / attempts + 1;
		fx_init(&f, simdisk_copy(base, i));
		fx_must_open(&f);
		simdisk_die_at(f.disk, n);
		if (store_compact(f.store, STORE_COMPACT_FORCE, &ticket) || !FX_UNTIL(&f, is_over(&f)))
			bail("the compaction does not end");
		died = simdisk_is_dead(f.disk);
		simdisk_die(f.disk);
		fx_close(&f);
		if (power)
			simdisk_power_cycle(f.disk);
		else
			simdisk_kill(f.disk);
		int r = fx_open(&f);
		if (r || !fx_holds(&f, &dump)) {
			diag("a crash at call %u: %s", n, r ? f.error.text : "other data");
			bad++;
		}
		/* Whichever set of segments is in force, the other one is gone. */
		if (r == 0 && count_files(&f) != stats_of(&f).segments) {
			diag("a crash at call %u: %u files, %" PRIu64 " segments", n, count_files(&f), stats_of(&f).segments);
			bad++;
		}
		fx_done(&f);
	}
	ok(bad == 0 && n > 20, "%s at each of %u calls of a compaction: the data is the same, no file is left over", power ? "power loss" : "a kill", n - 1);
	simdisk_free(base);
	buf_free(&dump);
}

/* A kill at some call of a compaction, and power loss at some call of the start after it. */
static void test_crash_in_the_start(void)
{
	struct buf dump = { 0 };
	struct simdisk *base = make_garbage(&dump);
	unsigned bad = 0, cases = 0;
	uint64_t ticket;
	bool died = true;

	for (unsigned n = 10; died && bad < 3; n++)
		for (unsigned i = 0; died && i < 24; i++, cases++) {
			struct fx f;
			fx_init(&f, simdisk_copy(base, n * 100 + i));
			fx_must_open(&f);
			simdisk_die_at(f.disk, n);
			if (store_compact(f.store, STORE_COMPACT_FORCE, &ticket) || !FX_UNTIL(&f, is_over(&f)))
				bail("the compaction does not end");
			died = simdisk_is_dead(f.disk);
			fx_kill(&f);
			simdisk_die_at(f.disk, 1 + i % 8);
			if (fx_open(&f) == 0)
				fx_kill(&f);
			simdisk_power_cycle(f.disk);
			int r = fx_open(&f);
			if (r || !fx_holds(&f, &dump))
				bad++, diag("a kill at call %u, power loss at call %u of the start: %s", n, 1 + i % 8, r ? f.error.text : "other data");
			fx_done(&f);
		}
	ok(bad == 0 && cases > 400, "a kill in a compaction and power loss in the start after it, %u times: the data is the same", cases);
	simdisk_free(base);
	buf_free(&dump);
}

/* One call, and the `more` ones after it. */
static void test_every_failure(enum simdisk_call kind, int error, const char *what, uint64_t more)
{
	struct buf dump = { 0 };
	struct simdisk *base = make_garbage(&dump);
	unsigned bad = 0, n, failures = 1;

	for (n = 1; failures && bad < 3; n++) {
		struct fx f;
		fx_init(&f, simdisk_copy(base, n));
		fx_must_open(&f);
		uint64_t before = simdisk_calls(f.disk, kind);
		simdisk_fail(f.disk, kind, n, more, -error);
		int r = compact(&f, STORE_COMPACT_FORCE);
		failures = simdisk_calls(f.disk, kind) - before >= n;
		simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
		bool same = fx_holds(&f, &dump);
		fx_put(&f, "after", "x");
		fx_delete(&f, "after");
		fx_wait(&f);
		fx_close(&f);
		if (simdisk_open_handles(f.disk))
			bad++, diag("%s %u: handles stay open", what, n);
		simdisk_power_cycle(f.disk);
		int again = fx_open(&f);
		if (!same || again || !fx_holds(&f, &dump))
			bad++, diag("%s %u (compaction says %d): %s", what, n, r, again ? f.error.text : same ? "other data after it" : "other data");
		fx_done(&f);
	}
	ok(bad == 0 && n > 4, "%s: each of %u in turn: the data is the same, then and after power loss", what, n - 2);
	simdisk_free(base);
	buf_free(&dump);
}

/* ---- meetings ---- */

static void test_overwritten_meanwhile(void)
{
	struct fx f;
	uint64_t ticket;

	fx_init(&f, simdisk_new(7));
	fx_must_open(&f);
	fx_put(&f, "k", "old");
	fx_put(&f, "l", "old");
	rotate(&f);
	simdisk_hold(f.disk, SIM_SYNC, true);
	store_compact(f.store, STORE_COMPACT_FORCE, &ticket);
	FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) > 0); /* the output is written and not yet synced: all has been judged */
	fx_put(&f, "k", "new");
	fx_delete(&f, "l");
	simdisk_hold(f.disk, SIM_SYNC, false);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1, "a merge whose records are overwritten meanwhile ends");
	is_str(fx_get(&f, "k"), "new", "the younger value counts");
	is_str(fx_get(&f, "l"), "(absent)", "and the deletion");
	fx_wait(&f);
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "new", "also after power loss");
	is_str(fx_get(&f, "l"), "(absent)", "both of them");
	fx_done(&f);
}

/* The old version is obsolete only when the new one is on disk: here the power goes while the merge waits. */
static void test_power_loss_meanwhile(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(8));
	fx_must_open(&f);
	fx_put(&f, "k", "old");
	fx_put(&f, "l", "old");
	rotate(&f);
	simdisk_hold(f.disk, SIM_SYNC, true);
	fx_put(&f, "k", "new");
	store_submit(f.store);
	FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) == 1);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) == 2), "a merge has judged by a commit that is not on disk");
	simdisk_die(f.disk);
	FX_UNTIL(&f, is_idle(&f));
	fx_close(&f);
	simdisk_power_cycle(f.disk);
	fx_must_open(&f);
	const char *now = fx_get(&f, "k");
	ok(strcmp(now, "old") == 0 || strcmp(now, "new") == 0, "one of the two is there after power loss: %s", now);
	is_str(fx_get(&f, "l"), "old", "and its neighbour");
	fx_done(&f);
}

/* The commit that made a record obsolete is taken back by a full disk, and the merge goes on living. */
static void test_refused_meanwhile(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(9));
	fx_must_open(&f);
	fx_put(&f, "k", "old");
	fx_put(&f, "l", "old");
	fx_put(&f, "l", "newer");
	rotate(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	simdisk_fail(f.disk, SIM_WRITE, 1, UINT32_MAX, -ENOSPC);
	fx_put(&f, "k", "new");
	store_compact_tick(f.store);
	store_submit(f.store);
	ok(FX_UNTIL(&f, is_idle(&f) && store_rollbacks(f.store) == 1), "a full disk takes a commit back during a merge");
	is_str(fx_get(&f, "k"), "old", "the old value is there again");
	simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
	ok(FX_UNTIL(&f, store_health(f.store, NULL) == 0), "space comes back");
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "and a merge succeeds");
	is_str(fx_get(&f, "k"), "old", "the value is still there");
	reopen(&f, true);
	is_str(fx_get(&f, "k"), "old", "also after power loss");
	is_str(fx_get(&f, "l"), "newer", "and the other");
	fx_done(&f);
}

/* Number of the oldest segment of the log. */
static uint64_t first_number(struct fx *f)
{
	struct store_segment *list;
	uint64_t number = store_segments(f->store, &list) > 0 ? list[0].number : 0;

	free(list);
	return number;
}

static void test_fetch_meanwhile(void)
{
	struct fx f;
	struct txn_value v;

	fx_init(&f, simdisk_new(10));
	fx_must_open(&f);
	fx_put(&f, "k", "cold");
	fx_put(&f, "junk", "j");
	fx_put(&f, "junk", "k");
	rotate(&f);
	f.options.flags &= ~(unsigned)STORE_BLOCKING;
	f.options.cache_size = 0;
	reopen(&f, false);
	simdisk_cold(f.disk, 1);
	struct store_fetch *fetch = store_fetch_new(f.store, &f);
	struct txn *t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, slice_str("k"), &v), STORE_PENDING, "a record is not in memory");
	txn_abort(t);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, stats_of(&f).merge_bytes_written > 0 && has_file(&f, "0000000003.seg")), "its segment is merged before it is fetched");
	store_fetch_start(fetch);
	ok(FX_UNTIL(&f, f.tokens == 1), "the fetch finds the old file");
	ok(FX_UNTIL(&f, first_number(&f) != 1), "the log goes on without it");
	for (int i = 0; i < 1000 && has_file(&f, SEG1); i++) {
		store_submit(f.store);
		store_poll(f.store);
		sched_yield();
	}
	ok(has_file(&f, SEG1) && stats_of(&f).merging, "but it stays as long as the fetch does");
	simdisk_cold(f.disk, 0);
	t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, slice_str("k"), &v), 0, "the request is run again");
	ok(slice_eq(v.data, slice_str("cold")), "and has the value");
	txn_abort(t);
	store_fetch_reset(fetch);
	ok(FX_UNTIL(&f, is_idle(&f)) && !has_file(&f, SEG1), "then the old file goes");
	store_fetch_free(fetch);
	fx_done(&f);
}

static void test_damage(void)
{
	const struct fx_told *told = NULL;
	struct fx f;
	size_t size;

	fx_init(&f, simdisk_new(11));
	fx_must_open(&f);
	fx_put(&f, "a", "one");
	fx_put(&f, "junk", "1");
	fx_put(&f, "junk", "2");
	rotate(&f);
	fx_put(&f, "b", "two");
	fx_put(&f, "b", "three");
	fx_wait(&f);
	simdisk_file(f.disk, SEG1, &size)[64 + 33] ^= 1;
	is_int(compact(&f, 0), -EUCLEAN, "a compaction that meets a damaged record says so");
	is_int((int)fx_count(&f, STORE_EVENT_MERGE_FAILED, &told), 1, "an event tells");
	ok(told && strcmp(told->file, SEG1) == 0 && told->offset == 64, "of file and offset");
	ok(has_file(&f, SEG1), "and the segment stays");
	is_str(fx_get(&f, "junk"), "2", "its other records are served");
	is_str(fx_get(&f, "b"), "three", "and those of other segments");
	fx_done(&f);
}

/* The catalog that would name the outputs finds no room, more than once: that is told once, and the merge ends when there is some. */
static void test_waits_for_catalog(void)
{
	const struct fx_told *told = NULL;
	struct fx f;

	fx_init(&f, simdisk_new(19));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	rotate(&f);
	fx_put(&f, "a", "2");
	fx_wait(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	simdisk_fail(f.disk, SIM_WRITE, 1, 1, -ENOSPC); /* nothing is read or copied: the first write is that of the catalog */
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1 && !has_file(&f, SEG1), "a merge that waits for room for the catalog ends");
	is_int((int)fx_count(&f, STORE_EVENT_MERGE_WAITS, &told), 1, "that it waits is told once");
	ok(told && strstr(told->text, "CATALOG: cannot be written: No space left on device; the merge waits"), "with the reason");
	is_int((int)fx_count(&f, STORE_EVENT_MERGE_FAILED, NULL), 0, "and it has not failed");
	fx_done(&f);
}

static void test_pause(void)
{
	struct fx f;
	uint64_t ticket, other;

	fx_init(&f, simdisk_new(12));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	fx_put(&f, "a", "2");
	fx_wait(&f);
	store_compact_pause(f.store, true);
	is_int(store_compact(f.store, 0, &ticket), 0, "a compaction begins while merging is paused");
	ok(FX_UNTIL(&f, stats_of(&f).merging) && stats_of(&f).compact_paused, "and stands still");
	is_int(store_compact(f.store, 0, &other), -EALREADY, "a second one is told of the first");
	ok(other == ticket && stats_of(&f).compactions_done < ticket, "which is not over");
	store_compact_pause(f.store, false);
	ok(FX_UNTIL(&f, stats_of(&f).compactions_done == ticket), "it goes on when it may");
	store_compact_pause(f.store, true);
	fx_put(&f, "a", "3");
	fx_wait(&f);
	store_compact(f.store, 0, &ticket);
	FX_UNTIL(&f, stats_of(&f).merging);
	is_int(fx_close(&f), 0, "a store with a paused merge is closed at once");
	fx_must_open(&f);
	is_str(fx_get(&f, "a"), "3", "and opens");
	fx_done(&f);
}

static void test_rate(void)
{
	struct fx f;
	uint64_t ticket;

	fx_init(&f, simdisk_new(14));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	fx_put(&f, "a", "2");
	fx_wait(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .rate = 1 });
	uint64_t reads = simdisk_calls(f.disk, SIM_READ);
	is_int(store_compact(f.store, STORE_COMPACT_FORCE, &ticket), 0, "a compaction begins at a byte a second");
	ok(FX_UNTIL(&f, simdisk_calls(f.disk, SIM_READ) > reads) && stats_of(&f).merging, "and rests after what it has read");
	store_set_compaction(f.store, &(struct store_compaction){ .rate = 0 });
	ok(FX_UNTIL(&f, stats_of(&f).compactions_done == ticket), "without a limit it goes on at once");
	store_set_compaction(f.store, &(struct store_compaction){ .rate = 1 });
	store_compact(f.store, STORE_COMPACT_FORCE, &ticket);
	FX_UNTIL(&f, stats_of(&f).merging);
	is_int(fx_close(&f), 0, "a store with a resting merge is closed at once");
	fx_done(&f);
}

static void test_off(void)
{
	struct fx f;
	uint64_t ticket;

	fx_init(&f, simdisk_new(13));
	fx_must_open(&f);
	is_int(compact(&f, STORE_COMPACT_FORCE), 0, "an empty store is compacted");
	fx_put(&f, "a", "1");
	fx_put(&f, "a", "2");
	rotate(&f);
	store_compact_tick(f.store);
	ok(is_idle(&f), "with a ratio of 0 nothing begins by itself");
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 10, .min_garbage = 1 << 20 });
	store_compact_tick(f.store);
	ok(is_idle(&f), "nor below the least garbage");
	store_set_compaction(f.store, &(struct store_compaction){ .max_garbage = 41 });
	store_compact_tick(f.store);
	ok(is_idle(&f), "nor below the most that is allowed");
	store_set_compaction(f.store, &(struct store_compaction){ .max_garbage = 40 });
	store_compact_tick(f.store);
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1 && stats_of(&f).garbage_bytes == 0, "but from there on, whatever the share");
	fx_close(&f);
	f.options.flags |= STORE_READ_ONLY;
	fx_must_open(&f);
	is_int(store_compact(f.store, 0, &ticket), STORE_REFUSED, "a store opened for reading is not compacted");
	fx_done(&f);
}

int main(void)
{
	test_rewrites_shrink();
	test_many_outputs();
	test_tombstones();
	test_tombstones_by_themselves();
	test_tombstone_below_younger();
	test_tombstone_merged_twice();
	test_flush_and_swap();
	test_expired();
	test_tail_in_memory();
	test_unread();
	test_unread_but_needed();
	test_output_of_tombstones();
	test_unread_waits();
	test_every_crash(true);
	test_every_crash(false);
	test_crash_in_the_start();
	test_every_failure(SIM_WRITE, ENOSPC, "a full disk", 0);
	test_every_failure(SIM_WRITE, EIO, "a write that fails", 0);
	test_every_failure(SIM_SYNC, EIO, "a sync that fails", 0);
	test_every_failure(SIM_META, EIO, "a change of a name that fails", 0);
	test_every_failure(SIM_META, EROFS, "from a call on all names cannot be changed", UINT32_MAX);
	test_every_failure(SIM_READ, EIO, "a read that fails", 0);
	test_overwritten_meanwhile();
	test_power_loss_meanwhile();
	test_refused_meanwhile();
	test_fetch_meanwhile();
	test_damage();
	test_waits_for_catalog();
	test_pause();
	test_rate();
	test_off();
	return done();
}
