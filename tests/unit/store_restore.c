/* SPDX-License-Identifier: MIT
 *
 * Snapshots packed and put back: the same bytes come out, damage and wrong chains are refused before anything is changed, and whatever comes
 * between leaves the old store or the new one, never half of each.
 */
#include "store/checkpoint.h"
#include "store/snapshot_tool.h"
#include "store_fixture.h"

struct reader {
	struct slice rest;
	size_t step; /* bytes at a time */
};

static int append(void *arg, const void *data, size_t len)
{
	buf_append(arg, data, len);
	return 0;
}

static ssize_t take(void *arg, void *data, size_t len)
{
	struct reader *r = arg;
	size_t n = len < r->step ? len : r->step;

	n = n < r->rest.len ? n : r->rest.len;
	if (n)
		memcpy(data, r->rest.ptr, n);
	r->rest = slice_skip(r->rest, n);
	return (ssize_t)n;
}

static int snap(struct fx *f, const char *name)
{
	struct store_snapshot_state st;
	int r = store_snapshot_begin(f->store, name, 0, NULL);

	if (r == 0 && !FX_UNTIL(f, (store_snapshot_state(f->store, &st), !st.running)))
		bail("the snapshot never ends");
	return r ? r : st.last_result;
}

static void pack(struct fx *f, const char *name, const char *since, struct buf *out)
{
	struct error e = { 0 };
	uint64_t size = 0;

	buf_reset(out, SIZE_MAX);
	if (store_snapshot_export(simdisk_io(f->disk), "sim", name, since, append, out, &e))
		bail("%s", e.text);
	if (store_snapshot_measure(simdisk_io(f->disk), "sim", name, since, &size, &e) || size != out->len)
		bail("measured %" PRIu64 " bytes, %zu were written", size, out->len);
}

/* Restores a chain of up to three archives into a directory of the disk. */
static int restore(struct simdisk *disk, const char *path, const struct buf *const *archive, size_t n, struct error *e)
{
	struct store_source from[3];
	struct reader reader[3];
	struct store_restored done;

	for (size_t i = 0; i < n; i++) {
		reader[i] = (struct reader){ buf_slice(archive[i]), 700 };
		from[i] = (struct store_source){ .read = take, .arg = &reader[i], .label = i == 0 ? "first" : i == 1 ? "second" : "third" };
	}
	*e = (struct error){ 0 };
	return store_restore(simdisk_io(disk), path, from, n, &done, e);
}

static int restore_name(struct simdisk *disk, const char *path, const char *name, struct store_restored *ret, struct error *e)
{
	struct store_source from = { .name = name, .label = name };

	*e = (struct error){ 0 };
	return store_restore(simdisk_io(disk), path, &from, 1, ret, e);
}

/* Whether the store in a directory of the disk holds this. */
static bool holds(struct fx *f, const char *path, const struct buf *expected)
{
	struct fx g = *f;
	struct error e = { 0 };

	g.options.path = path;
	g.options.event = NULL;
	if (store_open(&g.options, &g.store, &e)) {
		diag("%s", e.text);
		return false;
	}
	bool good = fx_holds(&g, expected);
	return store_close(g.store) == 0 && good;
}

static void fill(struct fx *f, unsigned keys, char letter)
{
	char key[20];

	for (unsigned i = 0; i < keys; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		fx_put_size(f, key, letter, 100 + i * 137);
	}
	fx_delete(f, "key 3");
	fx_wait(f);
}

/* A store with the snapshots one, two and three, and their archives; full[i] and since[i] (but the first) are of number i. */
struct chain {
	struct fx f;
	struct buf state[3], full[3], since[3];
};

static uint64_t chain_seed = 1; /* of the disk */

static void make_chain(struct chain *c)
{
	static const char *const names[] = { "one", "two", "three" };

	*c = (struct chain){ 0 };
	fx_init(&c->f, simdisk_new(chain_seed));
	fx_must_open(&c->f);
	for (int i = 0; i < 3; i++) {
		fill(&c->f, 5 + (unsigned)i, (char)('a' + i));
		fx_dump(&c->f, &c->state[i]);
		if (snap(&c->f, names[i]))
			bail("no snapshot");
		pack(&c->f, names[i], NULL, &c->full[i]);
		if (i)
			pack(&c->f, names[i], names[i - 1], &c->since[i]);
	}
}

static void free_chain(struct chain *c)
{
	fx_done(&c->f);
	for (int i = 0; i < 3; i++) {
		buf_free(&c->state[i]);
		buf_free(&c->full[i]);
		buf_free(&c->since[i]);
	}
}

static void test_round_trip(void)
{
	struct chain c;
	struct buf again = { 0 };
	struct error e;

	make_chain(&c);
	pack(&c.f, "two", NULL, &again);
	ok(slice_eq(buf_slice(&again), buf_slice(&c.full[1])), "the same snapshot gives the same bytes");
	ok(c.since[1].len < c.full[1].len, "an incremental archive is smaller");
	simdisk_mkdir(c.f.disk, "new");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[1] }, 1, &e), 0, "an archive is restored");
	ok(holds(&c.f, "sim/new", &c.state[1]), "with what the snapshot held");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[0], &c.since[1], &c.since[2] }, 3, &e), 0, "a chain is restored");
	ok(holds(&c.f, "sim/new", &c.state[2]), "with what the last one held");
	ok(holds(&c.f, "sim", &c.state[2]) == false, "a store that is open is not opened twice");
	buf_free(&again);
	free_chain(&c);
}

/* Whether the store in a directory starts from a checkpoint, with this in it and nothing to complain of. */
static bool starts_from_checkpoint(struct fx *f, const char *path, const struct buf *expected)
{
	struct store_stats stats = { 0 };
	struct fx g = *f;

	g.options.path = path;
	if (fx_open(&g)) {
		diag("%s", g.error.text);
		return false;
	}
	store_stats(g.store, &stats);
	bool good = fx_holds(&g, expected) && fx_count(&g, STORE_EVENT_CHECKPOINT_UNUSED, NULL) == 0;
	return fx_close(&g) == 0 && good && stats.recovered_from_checkpoint;
}

/* Snapshots with a checkpoint, the second with the same, the third with another one. */
static void test_checkpoint(void)
{
	static const char *const names[] = { "one", "two", "three" };
	struct chain c = { 0 };
	struct store_restored done;
	struct error e;
	size_t size;

	fx_init(&c.f, simdisk_new(2));
	fx_must_open(&c.f);
	for (unsigned i = 0; i < 3; i++) {
		fill(&c.f, 5 + i, (char)('a' + i));
		unsigned made = fx_count(&c.f, STORE_EVENT_CHECKPOINT, NULL);
		if (i != 1 && (store_checkpoint(c.f.store) || !FX_UNTIL(&c.f, fx_count(&c.f, STORE_EVENT_CHECKPOINT, NULL) > made)))
			bail("no checkpoint");
		fx_dump(&c.f, &c.state[i]);
		if (snap(&c.f, names[i]))
			bail("no snapshot");
		pack(&c.f, names[i], NULL, &c.full[i]);
		if (i)
			pack(&c.f, names[i], names[i - 1], &c.since[i]);
	}
	simdisk_mkdir(c.f.disk, "new");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[1] }, 1, &e), 0, "an archive with a checkpoint is restored");
	ok(starts_from_checkpoint(&c.f, "sim/new", &c.state[1]), "and starts from it");
	ok(!memmem(c.since[1].ptr, c.since[1].len, "KVDCKPT", 7) && memmem(c.since[2].ptr, c.since[2].len, "KVDCKPT", 7),
		"an incremental one has a checkpoint when it is another one");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[0], &c.since[1] }, 2, &e), 0, "a chain is restored");
	ok(starts_from_checkpoint(&c.f, "sim/new", &c.state[1]), "and starts from the checkpoint of the first");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[0], &c.since[1], &c.since[2] }, 3, &e), 0, "as a whole");
	ok(starts_from_checkpoint(&c.f, "sim/new", &c.state[2]), "it starts from that of the last");
	fx_close(&c.f);
	is_int(restore_name(c.f.disk, "sim", "one", &done, &e), 0, "a snapshot of the directory is restored");
	ok(starts_from_checkpoint(&c.f, "sim", &c.state[0]), "and starts from its checkpoint");
	simdisk_file(c.f.disk, "snapshots/three/" CHECKPOINT_NAME, &size)[70] ^= 1;
	is_int(restore_name(c.f.disk, "sim", "three", &done, &e), 0, "one with a damaged checkpoint is restored");
	ok(simdisk_file(c.f.disk, CHECKPOINT_NAME, &size) == NULL && holds(&c.f, "sim", &c.state[2]), "without it");
	simdisk_remove(c.f.disk, "snapshots/two/" CHECKPOINT_NAME);
	is_int(restore_name(c.f.disk, "sim", "two", &done, &e), 0, "and one from which it is missing");
	ok(holds(&c.f, "sim", &c.state[1]), "with all it held");
	buf_reset(&c.full[1], SIZE_MAX);
	is_int(store_snapshot_export(simdisk_io(c.f.disk), "sim", "two", NULL, append, &c.full[1], &e), 0, "that one can be packed");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[1] }, 1, &e), 0, "and put back");
	ok(holds(&c.f, "sim/new", &c.state[1]), "with the same");
	fx_must_open(&c.f);
	free_chain(&c);
}

static void test_chains(void)
{
	struct chain c;
	struct error e;

	make_chain(&c);
	simdisk_mkdir(c.f.disk, "new");
	const struct { const struct buf *a[3]; size_t n; const char *says; } bad[] = {
		{ { &c.since[1] }, 1, "first: builds on another snapshot (\"kvd-since 1 one" },
		{ { &c.full[0], &c.since[2] }, 2, "second: builds on another snapshot (\"kvd-since 1 two" },
		{ { &c.full[0], &c.full[1] }, 2, "second: is a whole snapshot" },
		{ { &c.since[1], &c.full[0] }, 2, "first: builds on another" },
		{ { &c.full[0], &c.since[1], &c.since[1] }, 3, "third: builds on another" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = restore(c.f.disk, "sim/new", bad[i].a, bad[i].n, &e);
		if (!ok(r == -EUCLEAN && strstr(e.text, bad[i].says), "a chain that is none is refused: %s", bad[i].says))
			diag("%d %s", r, e.text);
	}
	simdisk_set_free(c.f.disk, 1 << 20);
	ok(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[0] }, 1, &e) == -ENOSPC && strstr(e.text, "are free"),
		"so is what finds no room, before it is written");
	simdisk_set_free(c.f.disk, UINT64_C(1) << 40);
	ok(restore(c.f.disk, "sim", (const struct buf *[]){ &c.full[0] }, 1, &e) == -EBUSY && strstr(e.text, "in use by process"),
		"and a store that is open");
	fx_close(&c.f);
	ok(restore_name(c.f.disk, "sim", "four", &(struct store_restored){ 0 }, &e) == -ENOENT, "a snapshot that is not there");
	size_t size;
	simdisk_file(c.f.disk, "snapshots/two/0000000001.seg", &size)[100] ^= 1;
	ok(restore_name(c.f.disk, "sim", "one", &(struct store_restored){ 0 }, &e) == -EUCLEAN && strstr(e.text, "damaged at offset 64"),
		"and one that is damaged");
	simdisk_file(c.f.disk, "snapshots/two/0000000001.seg", &size)[100] ^= 1;
	fx_must_open(&c.f);
	ok(fx_holds(&c.f, &c.state[2]), "and nothing has changed");
	free_chain(&c);
}

/* Every byte of an archive changed, and cut at every block: refused, or the right data. */
static void test_damaged_archives(void)
{
	unsigned wrong = 0, taken = 0, cut_taken = 0;
	struct chain c;
	struct error e;

	make_chain(&c);
	for (size_t at = 0; at < c.full[0].len; at += at < 3 * 512 ? 1 : 61) {
		simdisk_mkdir(c.f.disk, "new");
		c.full[0].ptr[at] ^= 0x04;
		if (restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[0] }, 1, &e) == 0) {
			taken++;
			wrong += !holds(&c.f, "sim/new", &c.state[0]);
		}
		c.full[0].ptr[at] ^= 0x04;
		simdisk_remove(c.f.disk, "new");
	}
	ok(wrong == 0 && taken > 0, "a changed byte of an archive never gives wrong data (%u were in padding)", taken);
	for (size_t len = 0; len < c.full[0].len; len += 512) {
		struct buf cut = c.full[0];
		cut.len = len;
		simdisk_mkdir(c.f.disk, "new");
		/* All but the second block of zeros is there: then nothing is missing. */
		cut_taken += restore(c.f.disk, "sim/new", (const struct buf *[]){ &cut }, 1, &e) == 0 && len + 512 < c.full[0].len;
		simdisk_remove(c.f.disk, "new");
	}
	is_int(cut_taken, 0, "an archive that is cut short is refused");
	free_chain(&c);
}

/* ---- whatever comes between ---- */

static bool try_restore(bool power, uint64_t n, unsigned *bad, unsigned *old_count, unsigned *new_count)
{
	struct store_restored done = { 0 };
	struct error e;
	struct chain c;

	make_chain(&c);
	fx_close(&c.f);
	uint64_t before = simdisk_calls(c.f.disk, SIM_ANY);
	if (power)
		simdisk_die_at(c.f.disk, n);
	else
		simdisk_fail(c.f.disk, SIM_ANY, n, 0, -EIO);
	int r = restore_name(c.f.disk, "sim", "one", &done, &e);
	bool reached = simdisk_calls(c.f.disk, SIM_ANY) - before >= n;
	simdisk_fail(c.f.disk, SIM_ANY, 0, 0, 0);
	if (power)
		simdisk_power_cycle(c.f.disk);
	/* The power goes once more, somewhere in what completes the restore. */
	if (power && n % 2) {
		simdisk_die_at(c.f.disk, 1 + n % 7);
		if (fx_open(&c.f) == 0)
			fx_close(&c.f);
		simdisk_power_cycle(c.f.disk);
	}
	bool good = fx_open(&c.f) == 0, is_new = good && fx_holds(&c.f, &c.state[0]), is_old = good && fx_holds(&c.f, &c.state[2]);
	if (good)
		good = r == 0 ? is_new : is_new || is_old;
	*old_count += is_old;
	*new_count += is_new;
	fx_close(&c.f);
	/* What was there is aside, and whole. */
	for (size_t i = 0; good && is_new && simdisk_name(c.f.disk, i); i++)
		if (strncmp(simdisk_name(c.f.disk, i), "restore.", 8) == 0)
			good = false;
		else if (strncmp(simdisk_name(c.f.disk, i), "replaced-", 9) == 0) {
			char path[100];
			snprintf(path, sizeof(path), "sim/%s", simdisk_name(c.f.disk, i));
			good = holds(&c.f, path, &c.state[2]);
		}
	if (!good) {
		diag("call %" PRIu64 ": %d %s; opening: %s", n, r, e.text, c.f.error.text);
		*bad += 1;
	}
	free_chain(&c);
	return reached;
}

static void test_faults(void)
{
	for (int power = 0; power < 2; power++) {
		unsigned bad = 0, old = 0, new = 0;
		/* What a power loss leaves is the disk's choice. */
		for (chain_seed = 1; chain_seed <= (power ? 6 : 1); chain_seed++)
			for (uint64_t n = 1; try_restore(power, n, &bad, &old, &new); n++)
				;
		ok(bad == 0 && old > 5 && new > 5, "%s at every call: the old store or the new one, and the old one aside (%u, %u)",
			power ? "the power goes" : "an I/O error comes", old, new);
	}
	chain_seed = 1;
}

/* What a restored store writes next must not be taken for what the old one had there. */
static void test_go_on(void)
{
	struct store_restored done = { 0 };
	struct error e;
	struct chain c;
	struct buf now = { 0 }, inc = { 0 };

	make_chain(&c);
	fx_close(&c.f);
	is_int(restore_name(c.f.disk, "sim", "one", &done, &e), 0, "a snapshot is restored in place");
	ok(strncmp(done.aside, "replaced-", 9) == 0, "and says where the old store is");
	fx_must_open(&c.f);
	fill(&c.f, 9, 'z');
	fx_dump(&c.f, &now);
	is_int(snap(&c.f, "other"), 0, "it goes on from there");
	pack(&c.f, "other", "three", &inc);
	simdisk_mkdir(c.f.disk, "new");
	is_int(restore(c.f.disk, "sim/new", (const struct buf *[]){ &c.full[2], &inc }, 2, &e), 0,
		"an archive since a snapshot of the other history");
	ok(holds(&c.f, "sim/new", &now), "has every segment that only looks like one of that");
	fx_kill(&c.f);
	fx_must_open(&c.f);
	ok(fx_holds(&c.f, &now), "and the store is right after a crash");
	buf_free(&now);
	buf_free(&inc);
	free_chain(&c);
}

int main(void)
{
	test_round_trip();
	test_checkpoint();
	test_chains();
	test_damaged_archives();
	test_faults();
	test_go_on();
	return done();
}
