/* SPDX-License-Identifier: MIT
 *
 * Segments closed by hand, and snapshots: what they hold, and what every fault on the way leaves behind.
 */
#include "store/checkpoint.h"
#include "store/snapshot_tool.h"
#include "store_fixture.h"

#define SEG2 "0000000002.seg"
#define SEG3 "0000000003.seg"

static bool has_file(struct fx *f, const char *name)
{
	size_t size;

	return simdisk_file(f->disk, name, &size) != NULL;
}

static bool rotate(struct fx *f, uint64_t *ret_segment)
{
	return store_rotate(f->store, ret_segment) == 0 && FX_UNTIL(f, store_rotated(f->store, *ret_segment));
}

static void test_rotate(void)
{
	struct store_stats before, after;
	struct buf data = { 0 };
	uint64_t segment = 0;
	struct fx f;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	ok(rotate(&f, &segment) && segment == 1 && !has_file(&f, SEG2), "an empty segment is not closed");
	fx_put(&f, "a", "1");
	ok(rotate(&f, &segment) && segment == 2, "a segment is closed by hand");
	ok(has_file(&f, SEG2) && store_durable(f.store) == store_position(f.store), "then what it holds is on disk, and the next is there");
	ok(rotate(&f, &segment) && segment == 2 && !has_file(&f, SEG3), "which is empty, so closing it does nothing");
	fx_put(&f, "b", "2");
	ok(rotate(&f, &segment) && segment == 3 && has_file(&f, SEG3), "written to, it is closed as well");
	fx_put(&f, "c", "3");
	fx_dump(&f, &data);
	store_stats(f.store, &before);
	fx_wait(&f);
	fx_kill(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &data), "nothing is lost, nothing is in the wrong order");
	store_stats(f.store, &after);
	ok(after.segments == 3 && after.live_bytes == before.live_bytes, "and the counts are right");
	ok(rotate(&f, &segment) && segment == 4, "a segment can be closed before anything is written");
	fx_put(&f, "d", "4");
	fx_wait(&f);
	fx_dump(&f, &data);
	fx_power(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &data), "what is written behind it survives the power");
	fx_done(&f);
	buf_free(&data);
}

/* A rotation that the disk refuses is taken back and can be had again. */
static void test_rotate_refused(void)
{
	struct buf data = { 0 };
	uint64_t segment = 0;
	struct fx f;

	for (int written = 0; written < 2; written++) {
		fx_init(&f, simdisk_new(2));
		fx_must_open(&f);
		fx_put(&f, "a", "1");
		fx_wait(&f);
		if (written == 0) { /* nothing is in the tail yet */
			fx_close(&f);
			fx_must_open(&f);
		}
		fx_dump(&f, &data);
		simdisk_fail(f.disk, SIM_ANY, 1, 1000, -ENOSPC);
		uint64_t before = store_rollbacks(f.store);
		ok(store_rotate(f.store, &segment) == 0 && FX_UNTIL(&f, store_rollbacks(f.store) != before) &&
				!store_rotated(f.store, segment),
			"a full disk takes the rotation back");
		ok(store_rotate(f.store, &segment) == STORE_REFUSED, "while it is full there is none");
		simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
		ok(FX_UNTIL(&f, store_health(f.store, NULL) == 0), "there is space again");
		ok(rotate(&f, &segment) && segment == 2 && fx_holds(&f, &data), "and the next one is done");
		fx_put(&f, "b", "2");
		fx_wait(&f);
		fx_dump(&f, &data);
		fx_power(&f);
		fx_must_open(&f);
		ok(fx_holds(&f, &data), "with all that was written");
		fx_done(&f);
	}
	buf_free(&data);
}

/* ---- snapshots ---- */

static void run_out(struct fx *f)
{
	struct store_snapshot_state st;

	if (!FX_UNTIL(f, (store_snapshot_state(f->store, &st), !st.running)))
		bail("the snapshot never ends");
}

/* Makes one and waits for its end: what it ended with. */
static int snap(struct fx *f, const char *name, unsigned keep, char *ret_name)
{
	struct store_snapshot_state st;
	int r = store_snapshot_begin(f->store, name, keep, ret_name);

	if (r)
		return r;
	run_out(f);
	store_snapshot_state(f->store, &st);
	return st.last_result;
}

static int delete(struct fx *f, const char *name)
{
	struct store_snapshot_state st;
	int r = store_snapshot_delete(f->store, name);

	if (r)
		return r;
	run_out(f);
	store_snapshot_state(f->store, &st);
	return st.last_result;
}

/* The names, oldest first, with a blank behind each; a damaged one in brackets. */
static const char *list(struct fx *f)
{
	static char text[600];
	const struct store_snapshot *s;
	size_t n = store_snapshots(f->store, &s), at = 0;

	*text = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, s[i].damaged ? "[%s] " : "%s ", s[i].name);
	return text;
}

/* Opens a snapshot as a store: whether it holds this. With write, something is stored there before it is closed. */
static bool snapshot_holds(struct fx *f, const char *name, const struct buf *expected, bool write)
{
	struct store_options o = f->options;
	struct error e = { 0 };
	char path[100];
	struct fx g = *f;

	snprintf(path, sizeof(path), "sim/snapshots/%s", name);
	o.path = path;
	o.event = NULL;
	if (!write)
		o.flags = STORE_READ_ONLY | STORE_BLOCKING;
	if (store_open(&o, &g.store, &e)) {
		diag("%s", e.text);
		return false;
	}
	bool good = fx_holds(&g, expected);
	if (write) {
		good &= fx_put(&g, "of the snapshot", "1") == 0 && fx_delete(&g, "key 1") == 0 && fx_put_size(&g, "key 2", 'z', 2 << 20) == 0;
		good &= fx_wait(&g) == 0;
	}
	return store_close(g.store) == 0 && good;
}

static bool verify(struct fx *f, const char *name, const char *part)
{
	struct store_snapshot_check check = { 0 };
	struct error e = { 0 };
	int r = store_snapshot_verify(simdisk_io(f->disk), "sim", name, &check, &e);

	if (part)
		return r && strstr(e.text, part);
	if (r)
		diag("%s", e.text);
	return r == 0;
}

static void fill(struct fx *f, unsigned keys, char letter)
{
	char key[20];

	for (unsigned i = 0; i < keys; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		fx_put_size(f, key, letter, 100 + i * 37);
	}
	fx_delete(f, "key 3");
}

static void test_snapshot(void)
{
	struct store_snapshot_state st;
	struct buf one = { 0 }, two = { 0 };
	char name[STORE_SNAPSHOT_NAME + 1];
	struct fx f;

	fx_init(&f, simdisk_new(3));
	fx_must_open(&f);
	is_str(list(&f), "", "a new store has no snapshots");
	fill(&f, 20, 'a');
	fx_dump(&f, &one);
	is_int(snap(&f, "one", 0, name), 0, "a snapshot is made");
	ok(strcmp(name, "one") == 0 && fx_count(&f, STORE_EVENT_SNAPSHOT, NULL) == 1, "under its name, and it is told");
	is_str(list(&f), "one ", "it is listed");
	fill(&f, 30, 'b');
	fx_dump(&f, &two);
	is_int(snap(&f, "two", 0, NULL), 0, "and another one");
	is_int(snap(&f, "empty", 0, NULL), 0, "and one without a change in between");
	fill(&f, 10, 'c');
	fx_wait(&f);
	store_snapshot_state(f.store, &st);
	ok(st.ended == 3 && st.time_ms == f.clock.wall && st.changes == 11, "the numbers are right");
	ok(verify(&f, "one", NULL) && verify(&f, "two", NULL) && verify(&f, "empty", NULL), "all of them are whole");
	ok(snapshot_holds(&f, "one", &one, false) && snapshot_holds(&f, "two", &two, false) && snapshot_holds(&f, "empty", &two, false),
		"each holds the state of its moment");
	is_int(snap(&f, "one", 0, NULL), -EEXIST, "a name is given once");
	ok(snapshot_holds(&f, "one", &one, true), "a snapshot can be opened for writing");
	ok(verify(&f, "one", "CATALOG"), "which shows");
	ok(verify(&f, "two", NULL) && snapshot_holds(&f, "two", &two, false), "and changes no other one");
	struct buf now = { 0 };
	fx_dump(&f, &now);
	fx_power(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &now), "nor the store");
	is_str(list(&f), "empty one two ", "the list is read at the start");
	is_int(delete(&f, "one"), 0, "one that was opened can be deleted");
	is_int(delete(&f, "one"), -ENOENT, "once");
	is_int(delete(&f, "empty"), 0, "and so can the others");
	is_str(list(&f), "two ", "then they are gone");
	ok(verify(&f, "two", NULL) && snapshot_holds(&f, "two", &two, false), "what is left is whole");
	fx_done(&f);
	buf_free(&one);
	buf_free(&two);
	buf_free(&now);
}

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", ".x", "a b", "a\n", "x.new", "\xc3\xa4",
		"12345678901234567890123456789012345678901234567890123456789012345" };
	char name[STORE_SNAPSHOT_NAME + 1];
	unsigned taken = 0;
	struct fx f;

	fx_init(&f, simdisk_new(4));
	fx_must_open(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		taken += store_snapshot_begin(f.store, bad[i], 0, NULL) != -EINVAL || store_snapshot_delete(f.store, bad[i]) != -EINVAL ||
			 store_snapshot_verify(simdisk_io(f.disk), "sim", bad[i], NULL, NULL) != -EINVAL;
	is_int(taken, 0, "bad names are refused");
	ok(strstr(store_problem(f.store), "up to 64 letters"), "and the words say what is allowed");
	is_int(snap(&f, "A.b_c-9234567890123456789012345678901234567890123456789012345678", 0, NULL), 0, "a long name of every kind is good");
	is_int(snap(&f, NULL, 0, name), 0, "without a name it is the time");
	is_str(name, "20231114T221320Z", "in UTC");
	is_int(snap(&f, NULL, 0, name), 0, "twice in a second");
	is_str(name, "20231114T221320Z-2", "a number makes the difference");
	fx_done(&f);
}

static void test_timed(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(5));
	fx_must_open(&f);
	snap(&f, "hand", 0, NULL);
	for (int i = 0; i < 5; i++) {
		f.clock.wall += 1000;
		fx_put(&f, "key", "value");
		ok(snap(&f, NULL, 2, NULL) == 0, "a timed one");
	}
	is_str(list(&f), "hand 20231114T221324Z 20231114T221325Z ", "the youngest two are kept, and those made by hand");
	simdisk_remove(f.disk, "snapshots/20231114T221324Z/MANIFEST");
	fx_close(&f);
	fx_must_open(&f);
	is_str(list(&f), "[20231114T221324Z] hand 20231114T221325Z ", "one without a manifest is damaged");
	is_int(delete(&f, "20231114T221324Z"), 0, "and can be deleted");
	fx_done(&f);
}

static void test_refused(void)
{
	const struct fx_told *told;
	struct fx f;

	fx_init(&f, simdisk_new(6));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	simdisk_set_free(f.disk, 100000);
	is_int(snap(&f, "one", 0, NULL), -ENOSPC, "without some free space none is made");
	ok(fx_count(&f, STORE_EVENT_SNAPSHOT_FAILED, &told) == 1 && strstr(told->text, "100000 bytes are free"), "and the reason is told");
	simdisk_set_free(f.disk, UINT64_C(1) << 40);
	simdisk_hold(f.disk, SIM_SYNC, true);
	is_int(store_snapshot_begin(f.store, "one", 0, NULL), 0, "one is begun");
	is_int(store_snapshot_begin(f.store, "two", 0, NULL), -EBUSY, "there is one at a time");
	simdisk_hold(f.disk, SIM_SYNC, false);
	run_out(&f);
	is_str(list(&f), "one ", "and it is made");
	fx_put(&f, "a", "2");
	store_snapshot_begin(f.store, "three", 0, NULL);
	fx_close(&f);
	fx_must_open(&f);
	ok(fx_count(&f, STORE_EVENT_LEFTOVER, NULL) == 0 && !strstr(list(&f), "new"), "closing meanwhile leaves nothing behind");
	fx_close(&f);
	f.options.flags = STORE_READ_ONLY | STORE_BLOCKING;
	fx_must_open(&f);
	ok(store_snapshot_begin(f.store, "ro", 0, NULL) == STORE_REFUSED && store_snapshot_delete(f.store, "one") == STORE_REFUSED,
		"a store that was opened read-only makes and deletes none");
	fx_done(&f);
}

/* ---- with a checkpoint ---- */

static void write_checkpoint(struct fx *f)
{
	unsigned before = fx_count(f, STORE_EVENT_CHECKPOINT, NULL);

	if (store_checkpoint(f->store) || !FX_UNTIL(f, fx_count(f, STORE_EVENT_CHECKPOINT, NULL) > before))
		bail("no checkpoint");
}

static bool has_checkpoint(struct fx *f, const char *name)
{
	char path[100];
	size_t size;

	snprintf(path, sizeof(path), "snapshots/%s/" CHECKPOINT_NAME, name);
	bool there = simdisk_file(f->disk, path, &size) != NULL;
	snprintf(path, sizeof(path), "snapshots/%s/MANIFEST", name);
	const char *manifest = (const char *)simdisk_file(f->disk, path, &size);
	/* Older ones, which do not know the line, say so by the version. */
	if (memmem(manifest, size, "file CHECKPOINT ", 16) ? !there || memcmp(manifest, "kvd-snapshot 2", 14) != 0 : there || memcmp(manifest, "kvd-snapshot 1", 14) != 0)
		diag("%s: the manifest is wrong", name);
	return there;
}

/* Opens a snapshot: whether it holds this, and whether it did so from its checkpoint. Told says whether something is wrong with that. */
static bool starts_from(struct fx *f, const char *name, const struct buf *expected, bool *ret_checkpoint, unsigned *ret_told)
{
	struct store_stats stats = { 0 };
	char path[100];
	struct fx g = *f;

	snprintf(path, sizeof(path), "sim/snapshots/%s", name);
	g.options.path = path;
	g.options.flags = STORE_READ_ONLY | STORE_BLOCKING;
	if (fx_open(&g)) {
		diag("%s", g.error.text);
		return false;
	}
	store_stats(g.store, &stats);
	*ret_checkpoint = stats.recovered_from_checkpoint;
	*ret_told = fx_count(&g, STORE_EVENT_CHECKPOINT_UNUSED, NULL);
	bool good = fx_holds(&g, expected);
	return fx_close(&g) == 0 && good;
}

static bool starts_well(struct fx *f, const char *name, const struct buf *expected, bool from_checkpoint)
{
	bool loaded = false;
	unsigned told = 0;

	return has_checkpoint(f, name) == from_checkpoint && starts_from(f, name, expected, &loaded, &told) && loaded == from_checkpoint && told == 0;
}

static void test_checkpoint(void)
{
	struct buf one = { 0 }, two = { 0 };
	uint64_t ticket;
	struct store_stats stats;
	struct fx f;

	fx_init(&f, simdisk_new(8));
	fx_must_open(&f);
	fill(&f, 20, 'a');
	fx_dump(&f, &one);
	snap(&f, "none", 0, NULL);
	ok(starts_well(&f, "none", &one, false), "without a checkpoint of the store there is none in a snapshot");
	write_checkpoint(&f);
	snap(&f, "one", 0, NULL);
	ok(verify(&f, "one", NULL) && starts_well(&f, "one", &one, true), "one that was made when nothing was written since the last rotation fits");
	fx_put(&f, "key 5", "new");
	fx_delete(&f, "key 6");
	fx_dump(&f, &two);
	snap(&f, "two", 0, NULL);
	ok(verify(&f, "two", NULL) && starts_well(&f, "two", &two, true), "it goes on to serve when there is more behind it");
	write_checkpoint(&f);
	fx_put(&f, "late", "1");
	write_checkpoint(&f);
	ok(starts_well(&f, "one", &one, true) && starts_well(&f, "two", &two, true), "younger ones of the store do not touch them");
	is_int(store_compact(f.store, STORE_COMPACT_FORCE, &ticket), 0, "a merge takes away the segments of the checkpoint");
	FX_UNTIL(&f, (store_submit(f.store), store_stats(f.store, &stats), stats.compactions_done == ticket));
	fx_dump(&f, &two);
	snap(&f, "merged", 0, NULL);
	ok(verify(&f, "merged", NULL) && starts_well(&f, "merged", &two, false), "so that it is left out of the next snapshot");
	write_checkpoint(&f);
	snap(&f, "again", 0, NULL);
	ok(verify(&f, "again", NULL) && starts_well(&f, "again", &two, true), "the next one fits again, behind the hole the merge has left");
	ok(verify(&f, "one", NULL) && starts_well(&f, "one", &one, true), "and that of an older snapshot stays");
	fx_power(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &two) && verify(&f, "again", NULL) && starts_well(&f, "again", &two, true), "after power loss, too");
	fx_done(&f);
	buf_free(&one);
	buf_free(&two);
}

/* Every byte of it changed: it is found, and the snapshot holds what it held. */
static void test_damaged_checkpoint(void)
{
	unsigned missed = 0, wrong = 0, told;
	struct buf data = { 0 };
	bool loaded;
	size_t size;
	struct fx f;

	fx_init(&f, simdisk_new(9));
	fx_must_open(&f);
	fill(&f, 6, 'a');
	write_checkpoint(&f);
	fx_put(&f, "later", "1");
	fx_dump(&f, &data);
	snap(&f, "one", 0, NULL);
	/* It is one file with the store's own. */
	unsigned char *bytes = simdisk_file(f.disk, "snapshots/one/" CHECKPOINT_NAME, &size);
	for (size_t at = 0; at < size; at++) {
		bytes[at] ^= 0x20;
		missed += !verify(&f, "one", CHECKPOINT_NAME);
		if (at % 7 == 0) {
			wrong += !starts_from(&f, "one", &data, &loaded, &told) || loaded || told != 1;
		}
		bytes[at] ^= 0x20;
	}
	ok(missed == 0, "a changed byte of the checkpoint is found (%u of %zu are not)", missed, size);
	ok(wrong == 0, "and a start reads the segments instead, and tells (%u do not)", wrong);
	simdisk_remove(f.disk, "snapshots/one/" CHECKPOINT_NAME);
	ok(verify(&f, "one", CHECKPOINT_NAME ": is missing"), "and a missing one");
	ok(starts_from(&f, "one", &data, &loaded, &told) && !loaded && told == 0, "which is no harm, either");
	fx_done(&f);
	buf_free(&data);
}

/* ---- every step ---- */

enum fault { FAULT_POWER, FAULT_KILL, FAULT_SPACE, FAULT_IO };

/*
 * A store with one snapshot; then, with the n-th call failing, a second one is made and the first deleted. Afterwards whatever is listed must be
 * whole and hold the state of its moment, and nothing unfinished may be left. False: n was past the last call.
 */
static bool try_fault(enum fault fault, uint64_t n, unsigned *bad)
{
	struct buf one = { 0 }, two = { 0 };
	struct fx f;

	fx_init(&f, simdisk_new(n));
	fx_must_open(&f);
	fill(&f, 8, 'a');
	fx_dump(&f, &one);
	snap(&f, "one", 0, NULL);
	fill(&f, 9, 'b');
	fx_wait(&f);
	if (n % 2)
		write_checkpoint(&f);
	fx_dump(&f, &two);
	uint64_t before = simdisk_calls(f.disk, SIM_ANY);
	if (fault == FAULT_POWER || fault == FAULT_KILL)
		simdisk_die_at(f.disk, n);
	else
		simdisk_fail(f.disk, SIM_ANY, n, fault == FAULT_SPACE ? 1 : 0, fault == FAULT_SPACE ? -ENOSPC : -EIO);
	bool made = snap(&f, "two", 0, NULL) == 0, deleted = delete(&f, "one") == 0;
	bool reached = simdisk_calls(f.disk, SIM_ANY) - before >= n;
	if (fault == FAULT_POWER)
		fx_power(&f);
	else if (fault == FAULT_KILL)
		fx_kill(&f);
	else
		simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
	if (fault == FAULT_POWER || fault == FAULT_KILL || n % 2) {
		fx_close(&f);
		if (fx_open(&f)) {
			diag("call %" PRIu64 ": %s", n, f.error.text);
			*bad += 1;
			fx_done(&f);
			return reached;
		}
	}
	bool good = fx_holds(&f, &two) && !(made && !strstr(list(&f), "two ")) && !(deleted && strstr(list(&f), "one")) && !strchr(list(&f), '[');
	if (strstr(list(&f), "one "))
		good &= verify(&f, "one", NULL) && snapshot_holds(&f, "one", &one, false);
	if (strstr(list(&f), "two "))
		good &= verify(&f, "two", NULL) && snapshot_holds(&f, "two", &two, false);
	if (store_health(f.store, NULL) == 0 || (fx_close(&f) + 1 && fx_open(&f) == 0)) /* a failed sync wants the store opened anew */
		good &= FX_UNTIL(&f, store_health(f.store, NULL) == 0) && snap(&f, "three", 0, NULL) == 0 && snapshot_holds(&f, "three", &two, false);
	for (const char *left = "one.new"; left; left = strcmp(left, "one.new") == 0 ? "two.new" : NULL) {
		char path[64];
		size_t size;
		snprintf(path, sizeof(path), "snapshots/%s/CATALOG", left);
		good &= simdisk_file(f.disk, path, &size) == NULL || (fault != FAULT_POWER && fault != FAULT_KILL);
	}
	if (!good) {
		diag("call %" PRIu64 ": \"%s\" is listed", n, list(&f));
		*bad += 1;
	}
	fx_done(&f);
	buf_free(&one);
	buf_free(&two);
	return reached;
}

static void test_faults(void)
{
	static const char *const names[] = { "the power goes", "the process dies", "the disk is full", "an I/O error comes" };

	for (enum fault fault = FAULT_POWER; fault <= FAULT_IO; fault++) {
		unsigned bad = 0, n = 1;
		while (try_fault(fault, n, &bad))
			n++;
		ok(bad == 0 && n > 20, "%s at every call in turn: snapshots are whole or not there, the store is as it was (%u)", names[fault], n);
	}
}

/* ---- damage ---- */

/* One file of a snapshot, with every byte changed, without its end, and gone. */
static void damage_file(const char *name, bool has_records)
{
	char path[64];
	unsigned missed = 0;
	size_t size;
	struct fx f;

	fx_init(&f, simdisk_new(7));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	rotate(&f, &(uint64_t){ 0 });
	fx_put(&f, "b", "2");
	snap(&f, "one", 0, NULL);
	snprintf(path, sizeof(path), "snapshots/one/%s", name);
	unsigned char *bytes = simdisk_file(f.disk, path, &size);
	if (!bytes)
		bail("no file %s", path);
	/* Of a sealed segment only what the catalog says belongs to it: a header and one record. */
	size_t end = has_records ? 64 + 40 : size;
	for (size_t at = 0; at < end; at++) {
		bytes[at] ^= 0x20;
		missed += !verify(&f, "one", name);
		bytes[at] ^= 0x20;
	}
	/* Bytes that only fill a record up to its size are nobody's. */
	ok(missed == (has_records ? 6 : 0), "a changed byte of %s is found", name);
	ok(verify(&f, "one", NULL), "put back it is whole");
	simdisk_resize(f.disk, path, end - 1);
	ok(verify(&f, "one", name), "a missing end is found");
	simdisk_remove(f.disk, path);
	ok(verify(&f, "one", name), "and a missing file");
	is_int(delete(&f, "one"), 0, "it can be deleted all the same");
	fx_done(&f);
}

static void test_damage(void)
{
	damage_file("MANIFEST", false);
	damage_file("CATALOG", false);
	damage_file(SEG1, true);
	damage_file(SEG2, true);
	damage_file(SEG3, false);
}

int main(void)
{
	test_rotate();
	test_rotate_refused();
	test_snapshot();
	test_names();
	test_timed();
	test_refused();
	test_checkpoint();
	test_damaged_checkpoint();
	test_faults();
	test_damage();
	return done();
}
