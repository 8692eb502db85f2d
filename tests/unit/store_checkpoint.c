/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: a start from one shows what a start without it shows, live bytes included; whatever is wrong with one, the data is right.
 */
#include "base/bytes.h"
#include "base/crc.h"
#include "store/inner.h"
#include "store/offline.h"
#include "store/replay.h"
#include "store_fixture.h"

static bool has_file(struct fx *f, const char *name)
{
	size_t size;

	return simdisk_file(f->disk, name, &size) != NULL;
}

static void put_many(struct fx *f, unsigned db, const char *prefix, unsigned from, unsigned to, size_t len)
{
	char key[64], value[2000];

	for (unsigned i = from; i < to; i++) {
		int n = snprintf(key, sizeof(key), "%s%u", prefix, i);
		memset(value, 'a' + (int)(i % 26), sizeof(value));
		if (fx_put_in(f, db, slice(key, (size_t)n), slice(value, len), i % 7 ? STORE_NO_EXPIRY : store_now(f->store) + 100000 + i))
			bail("a put fails");
	}
}

/* Several databases, an exchange, a flush, deletions, long keys: what a checkpoint has to show. */
static void fill(struct fx *f)
{
	static char key[3000];
	uint64_t position;

	put_many(f, 0, "user:", 0, 3000, 40);
	put_many(f, 1, "", 0, 500, 1000);
	put_many(f, 2, "gone:", 0, 1500, 10);
	struct txn *t = txn_begin(f->store, NULL);
	if (txn_flush(t, 2) || txn_swap(t, 0, 3) || txn_commit(t, &position))
		bail("flush and exchange fail");
	memset(key, 'k', sizeof(key));
	for (size_t len = 0; len < sizeof(key); len += 97)
		fx_put_in(f, 2, slice(key, len), SLICE("long"), STORE_NO_EXPIRY);
	for (unsigned i = 0; i < 300; i += 3) {
		char name[32];
		snprintf(name, sizeof(name), "user:%u", i);
		t = txn_begin(f->store, NULL);
		if (txn_delete(t, 3, slice_str(name)) || txn_commit(t, &position))
			bail("a deletion fails");
	}
	put_many(f, 0, "again:", 0, 100, 100);
	if (fx_wait(f))
		bail("the disk of the test fails");
}

static bool make_checkpoint(struct fx *f)
{
	struct store_stats before, now;

	store_stats(f->store, &before);
	if (store_checkpoint(f->store))
		return false;
	return FX_UNTIL(f, (store_stats(f->store, &now), !now.checkpoint_running)) && now.checkpoints == before.checkpoints + 1;
}

/* Another machine with the same files; the clock goes on where this one is. */
static void copy_of(struct fx *to, struct fx *from)
{
	fx_init(to, simdisk_copy(from->disk, 7));
	to->clock.wall = from->clock.wall;
}

struct summary {
	struct buf dump;
	uint64_t live[64];
	unsigned slots;
	uint64_t keys, expiring, position;
};

static void sum_up(struct fx *f, struct summary *out)
{
	struct store_stats st;

	fx_dump(f, &out->dump);
	store_stats(f->store, &st);
	out->keys = st.keys;
	out->expiring = st.expiring;
	out->position = store_position(f->store);
	out->slots = f->store->slots;
	for (unsigned i = 0; i < out->slots && i < 64; i++)
		out->live[i] = f->store->slot[i]->live_bytes;
}

static bool same_summary(const struct summary *a, const struct summary *b)
{
	bool good = slice_eq(buf_slice(&a->dump), buf_slice(&b->dump)) && a->slots == b->slots && a->keys == b->keys &&
		    a->expiring == b->expiring && a->position == b->position && memcmp(a->live, b->live, sizeof(a->live)) == 0;

	if (!good)
		diag("%" PRIu64 " keys for %" PRIu64 ", %u segments for %u, position %" PRIu64 " for %" PRIu64 ", live %" PRIu64 " for %" PRIu64,
			a->keys, b->keys, a->slots, b->slots, a->position, b->position, a->live[0], b->live[0]);
	return good;
}

/* A start from what is on the disk now, with its checkpoint and without: the same in everything. *ret_used: the checkpoint was used. */
static bool starts_alike(struct fx *f, bool *ret_used, uint64_t *ret_records)
{
	struct summary with = { 0 }, without = { 0 };
	struct fx a, b;

	copy_of(&a, f);
	copy_of(&b, f);
	simdisk_remove(b.disk, CHECKPOINT_NAME);
	fx_must_open(&a);
	fx_must_open(&b);
	sum_up(&a, &with);
	sum_up(&b, &without);
	bool good = same_summary(&with, &without);
	if (ret_used)
		*ret_used = a.store->checkpoint.loaded;
	if (ret_records)
		*ret_records = a.store->recovered_records;
	buf_free(&with.dump);
	buf_free(&without.dump);
	fx_done(&a);
	fx_done(&b);
	return good;
}

/* ---- a start from one ---- */

static void test_clean_stop(void)
{
	struct fx f;
	struct buf all = { 0 };
	struct store_stats st;
	const struct fx_told *told = NULL;
	bool used = false;
	uint64_t records = 1;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	fill(&f);
	fx_dump(&f, &all);
	is_int(fx_close(&f), 0, "a store is closed");
	ok(has_file(&f, CHECKPOINT_NAME) && !has_file(&f, CHECKPOINT_NEW_NAME), "and leaves a checkpoint");
	ok(fx_count(&f, STORE_EVENT_CHECKPOINT, &told) == 1 && told->records == 3531, "which is told, with its keys");
	ok(starts_alike(&f, &used, &records) && used && records == 0, "a start from it replays nothing and shows the same");
	fx_must_open(&f);
	store_stats(f.store, &st);
	ok(fx_holds(&f, &all) && st.recovered_from_checkpoint && st.checkpoint_keys == 3531 && st.checkpoint_position == store_position(f.store),
		"the numbers say so");
	ok(!store_checkpoint_due(f.store, 0, 0), "another one would not pay");
	fx_put(&f, "one", "more");
	fx_close(&f);
	fx_must_open(&f);
	store_stats(f.store, &st);
	ok(st.recovered_from_checkpoint && st.recovered_records == 1, "after little more the old one stays, and the tail is replayed");
	is_str(fx_get(&f, "one"), "more", "with what it holds");
	put_many(&f, 1, "more", 0, 400, 1500);
	ok(store_checkpoint_due(f.store, 0, 0), "after much more another one is due");
	buf_free(&all);
	fx_done(&f);
}

static void test_no_store_is_too_small(void)
{
	struct fx f;
	bool used = false;

	fx_init(&f, simdisk_new(2));
	fx_must_open(&f);
	ok(make_checkpoint(&f), "an empty store has a checkpoint when asked for one");
	fx_kill(&f);
	ok(starts_alike(&f, &used, NULL) && used, "and starts from it");
	fx_must_open(&f);
	fx_put(&f, "k", "v");
	fx_wait(&f);
	fx_close(&f);
	ok(fx_count(&f, STORE_EVENT_CHECKPOINT, NULL) == 0, "a small one is not given one when it is closed");
	fx_done(&f);
}

/* Commits, an exchange and a flush in the middle of the walk; then kill -9. */
static void test_in_the_background(void)
{
	struct fx f;
	struct buf all = { 0 };
	bool used = false;
	uint64_t position, records = 0, rounds = 0;

	fx_init(&f, simdisk_new(3));
	fx_must_open(&f);
	fill(&f);
	put_many(&f, 1, "wide:", 0, 9000, 3);
	fx_wait(&f);
	is_int(store_checkpoint(f.store), 0, "a checkpoint is begun");
	is_int(store_checkpoint(f.store), 0, "beginning again changes nothing");
	while (f.store->checkpoint.job && rounds < 2000) {
		store_poll(f.store);
		if (rounds++ % 4)
			continue;
		put_many(&f, (unsigned)(rounds / 4 % 4), "while:", (unsigned)rounds, (unsigned)rounds + 3, 50);
		if (rounds % 5 == 0) {
			struct txn *t = txn_begin(f.store, NULL);
			if (txn_swap(t, 1, 2) || (rounds % 3 == 0 && txn_flush(t, 0)) || txn_commit(t, &position))
				bail("flush and exchange fail");
		}
		store_submit(f.store);
		sched_yield();
	}
	ok(FX_UNTIL(&f, !f.store->checkpoint.job) && f.store->checkpoint.made == 1, "it ends while commits go on");
	put_many(&f, 0, "behind:", 0, 10, 5);
	fx_wait(&f);
	fx_dump(&f, &all);
	fx_kill(&f);
	ok(starts_alike(&f, &used, &records) && used && records >= 10, "a start from it shows what a start without it shows");
	fx_must_open(&f);
	ok(fx_holds(&f, &all), "and that is everything");
	buf_free(&all);
	fx_done(&f);
}

/* ---- a start without one ---- */

static struct slice op_key(const struct batch *b, size_t i)
{
	return slice(b->keys.ptr + b->op[i].key, b->op[i].key_len);
}

static bool same_op_key(const struct batch *a, size_t i, const struct batch *b, size_t j)
{
	return a->op[i].ns == b->op[j].ns && slice_eq(op_key(a, i), op_key(b, j));
}

/* Random writes of few keys: sorted, and of each key the youngest is left. */
static void test_batch(void)
{
	struct batch *b = calloc(1, sizeof(*b)), *rest = calloc(1, sizeof(*rest)), *all = calloc(1, sizeof(*all));
	struct sorter sorter = { 0 };
	char key[16] = "same prefix ";
	uint64_t seed = 5;
	size_t youngest = 0;
	bool good = true;

	is_int(batch_sort(b, &sorter), 0, "an empty batch can be sorted");
	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t k = sim_random(&seed) % 600;
		memset(key + 12, (int)k, 4);
		struct record r = { .type = RECORD_PUT, .ns = k % 2, .expire_wall_ms = RECORD_NEVER, .key = slice(key, 12 + k % 5) };
		good &= batch_add(b, &r, i + 1) == 0;
		good &= i > 1899 || batch_add(all, &r, i + 1) == 0;
		if (i == 1899)
			b->whole = b->count;
	}
	ok(good && batch_split(b, rest) == 0 && b->count == 1900 && rest->count == 100 && rest->whole == 0 && rest->op[0].where == 1901,
		"what is not whole goes to another one");
	is_int(batch_sort(b, &sorter), 0, "the whole is sorted");
	for (size_t i = 1; i < b->count; i++)
		good &= b->op[i - 1].ns < b->op[i].ns || (b->op[i - 1].ns == b->op[i].ns && slice_cmp(op_key(b, i - 1), op_key(b, i)) < 0);
	for (size_t i = 0, j; i < all->count; i++) {
		for (j = i + 1; j < all->count && !same_op_key(all, i, all, j); j++)
			;
		if (j < all->count)
			continue;
		youngest++;
		for (j = 0; j < b->count && !same_op_key(all, i, b, j); j++)
			;
		good &= j < b->count && b->op[j].where == all->op[i].where;
	}
	ok(good && b->count == youngest && youngest > 300, "by namespace and key, with the youngest write of each (%zu)", youngest);
	sorter_free(&sorter);
	batch_free(b);
	batch_free(rest);
	batch_free(all);
}

/* Every key with its place, and whether the live bytes are those of the places. */
static uint64_t hash_keydirs(const struct store *s, bool *ret_live)
{
	uint64_t hash = 0, *live = calloc(s->slots, sizeof(*live));

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		struct keydir_cursor *c = s->keydir[i] ? keydir_cursor_new(s->keydir[i]) : NULL;
		for (int r = c ? keydir_seek(c, slice(NULL, 0), 0) : 1; r == 0; r = keydir_next(c)) {
			uint64_t where = keydir_cursor_entry(c).where;
			live[locator_slot(where)] += locator_size(where);
			hash = hash_bytes(hash ^ where ^ i, keydir_cursor_key(c));
		}
		keydir_cursor_free(c);
	}
	*ret_live = true;
	for (unsigned i = 0; i < s->slots; i++)
		*ret_live &= live[i] == s->slot[i]->live_bytes;
	free(live);
	return hash;
}

/* More than one batch in a segment, more segments than threads, a flush, an end in the middle of a transaction. */
static void test_long_replay(void)
{
	enum { WRITES = 900, KEYS = 900 };
	struct fx f;
	char (*key)[16] = malloc(KEYS * sizeof(*key));
	uint64_t position, records;
	bool live;

	fx_init(&f, simdisk_new(6));
	f.options.segment_size = (uint64_t)64 << 20;
	fx_must_open(&f);
	for (unsigned n = 0, i = 0; n < WRITES; n++) {
		struct txn *t = txn_begin(f.store, NULL);
		if (n == WRITES - 150)
			store_set_segment_size(f.store, 1 << 20);
		for (unsigned j = 0; j < KEYS; j++, i++) {
			struct slice k = slice(key[j], (size_t)snprintf(key[j], sizeof(key[j]), "%u", i * 7919 % 300007));
			if (i % 5 ? txn_put(t, n % 3, k, SLICE("v"), STORE_NO_EXPIRY) : txn_delete(t, n % 3, k) < 0)
				bail("a write fails");
		}
		if ((n == 300 && txn_flush(t, 1)) || txn_commit(t, &position))
			bail("a commit fails");
		if (n % 16 == 0)
			store_wait(f.store, position);
		store_poll(f.store);
	}
	fx_wait(&f);
	uint64_t before = hash_keydirs(f.store, &live), keys = store_count(f.store, 0);
	records = f.store->records;
	fx_kill(&f);
	fx_must_open(&f);
	ok(hash_keydirs(f.store, &live) == before && live && store_count(f.store, 0) == keys, "a long log is replayed to the same directories and live bytes");
	ok(f.store->recovered_records == records && records > 500000 && f.store->slots > 3, "every record was read (%" PRIu64 ", %u segments)", records,
		f.store->slots);
	free(key);
	fx_done(&f);
}

/* ---- damage ---- */

/* Opens a copy, after whatever was done to its checkpoint. */
static bool opens_right(struct fx *f, const struct buf *all, bool *ret_used)
{
	bool good = fx_open(f) == 0;

	if (!good)
		diag("it does not open: %s", f->error.text);
	good = good && fx_holds(f, all);
	*ret_used = good && f->store->checkpoint.loaded;
	if (good && !*ret_used && has_file(f, CHECKPOINT_NAME)) {
		diag("what cannot be used is still there");
		good = false;
	}
	if (good && !*ret_used && fx_count(f, STORE_EVENT_CHECKPOINT_UNUSED, NULL) != 1) {
		diag("nothing was said");
		good = false;
	}
	return good;
}

static void small_store(struct fx *f, struct buf *all)
{
	fx_init(f, simdisk_new(4));
	fx_must_open(f);
	put_many(f, 0, "a", 0, 20, 10);
	put_many(f, 2, "b", 0, 5, 10);
	fx_delete(f, "a3");
	fx_wait(f);
	if (!make_checkpoint(f))
		bail("no checkpoint");
	put_many(f, 0, "a", 15, 30, 12);
	fx_delete(f, "a4");
	fx_wait(f);
	fx_dump(f, all);
	fx_kill(f);
}

static void test_every_byte(void)
{
	struct fx f;
	struct buf all = { 0 };
	size_t size, bad = 0, used_ones = 0;
	bool used;

	small_store(&f, &all);
	simdisk_file(f.disk, CHECKPOINT_NAME, &size);
	for (size_t i = 0; i < size; i++) {
		struct fx c;
		copy_of(&c, &f);
		simdisk_file(c.disk, CHECKPOINT_NAME, &size)[i] ^= (unsigned char)(1 << i % 8);
		bad += !opens_right(&c, &all, &used);
		used_ones += used;
		fx_done(&c);
	}
	ok(bad == 0 && used_ones == 0 && size > 700, "a checkpoint with any of its %zu bytes changed is not used, and the data is right", size);
	bad = used_ones = 0;
	for (size_t len = 0; len < size + 20; len += len < size - 2 ? 13 : 1) {
		struct fx c;
		if (len == size)
			continue;
		copy_of(&c, &f);
		simdisk_resize(c.disk, CHECKPOINT_NAME, len);
		bad += !opens_right(&c, &all, &used);
		used_ones += used;
		fx_done(&c);
	}
	ok(bad == 0 && used_ones == 0, "nor is one that is too short or too long");
	buf_free(&all);
	fx_done(&f);
}

/* A byte of the index or a block changed by somebody who knows how the checksums go. */
static void fix_sums(unsigned char *file)
{
	uint64_t at = get_le64(file + 40), len = get_le64(file + 48);
	unsigned char *index = file + at, *row;
	uint64_t segments = get_le32(index), blocks = get_le32(index + 4), offset = CHECKPOINT_HEADER;

	row = index + CHECKPOINT_INDEX + segments * CHECKPOINT_SEGMENT;
	if (segments < 100 && blocks < 100 && row + blocks * CHECKPOINT_ROW == index + len)
		for (uint64_t i = 0; i < blocks; i++, row += CHECKPOINT_ROW) {
			if (offset + get_le32(row) > at)
				break;
			put_le32(row + 8, crc_update(0, file + offset, get_le32(row)));
			offset += get_le32(row);
		}
	put_le32(file + 56, crc_update(0, index, len));
	put_le32(file + 60, crc_update(0, file, 60));
}

static void test_nonsense(void)
{
	struct fx f;
	struct buf all = { 0 };
	size_t size, refused = 0, crashes = 0;

	small_store(&f, &all);
	simdisk_file(f.disk, CHECKPOINT_NAME, &size);
	for (size_t i = 24; i < size; i++) {
		if (i >= 40 && i < CHECKPOINT_HEADER)
			continue;
		struct fx c;
		copy_of(&c, &f);
		unsigned char *file = simdisk_file(c.disk, CHECKPOINT_NAME, &size);
		file[i] ^= (unsigned char)(i % 3 ? 0xff : 1 << i % 8);
		fix_sums(file);
		/* It cannot be told from a right one everywhere: what must hold is that nothing breaks and no wrong value is shown. */
		crashes += fx_open(&c) != 0;
		refused += c.store && !c.store->checkpoint.loaded;
		fx_done(&c);
	}
	ok(crashes == 0 && refused > 100, "one that is wrong in itself does no harm (%zu refused)", refused);
	buf_free(&all);
	fx_done(&f);
}

static void test_of_another_store(void)
{
	struct fx f, g;
	struct buf all = { 0 }, other = { 0 };
	size_t size;
	bool used;

	small_store(&f, &all);
	small_store(&g, &other);
	const unsigned char *file = simdisk_file(g.disk, CHECKPOINT_NAME, &size);
	simdisk_write(f.disk, CHECKPOINT_NAME, file, size);
	ok(opens_right(&f, &all, &used) && !used, "that of another store is not used");
	buf_free(&all);
	buf_free(&other);
	fx_done(&f);
	fx_done(&g);
}

/* An old one is as good as it ever was, and a young one is no good for a log that was set back. */
static void test_old_and_young(void)
{
	struct fx f, old;
	struct buf then = { 0 }, now = { 0 };
	size_t size;
	bool used;

	small_store(&f, &then);
	copy_of(&old, &f);
	fx_must_open(&f);
	put_many(&f, 0, "a", 0, 10, 900);
	put_many(&f, 1, "new", 0, 3000, 700);
	fx_delete(&f, "a5");
	fx_wait(&f);
	if (!make_checkpoint(&f))
		bail("no checkpoint");
	fx_dump(&f, &now);
	fx_kill(&f);

	struct fx c, d;
	copy_of(&c, &f);
	const unsigned char *file = simdisk_file(old.disk, CHECKPOINT_NAME, &size);
	simdisk_write(c.disk, CHECKPOINT_NAME, file, size);
	ok(opens_right(&c, &now, &used) && used, "an old checkpoint put back: the log from there on makes it right");
	copy_of(&d, &old);
	file = simdisk_file(f.disk, CHECKPOINT_NAME, &size);
	simdisk_write(d.disk, CHECKPOINT_NAME, file, size);
	ok(opens_right(&d, &then, &used) && !used, "a checkpoint younger than the log is not used");
	fx_done(&c);
	fx_done(&d);

	/* The log goes on another way, beyond where the checkpoint was made. */
	fx_must_open(&old);
	put_many(&old, 1, "other", 0, 4000, 700);
	fx_wait(&old);
	fx_dump(&old, &then);
	fx_kill(&old);
	simdisk_write(old.disk, CHECKPOINT_NAME, file, size);
	ok(opens_right(&old, &then, &used) && !used, "nor when the log has gone on another way since");
	buf_free(&then);
	buf_free(&now);
	fx_done(&f);
	fx_done(&old);
}

/* Two logs that went apart, of the same lengths: only the witness tells whose checkpoint it is. */
static void test_of_a_twin(void)
{
	struct fx f, twin;
	struct buf then = { 0 };
	size_t size;
	bool used;

	small_store(&f, &then);
	copy_of(&twin, &f);
	fx_must_open(&f);
	put_many(&f, 0, "a", 0, 3000, 700);
	fx_put(&f, "whose", "mine");
	fx_close(&f);
	fx_must_open(&twin);
	put_many(&twin, 0, "b", 0, 3000, 700);
	fx_put(&twin, "whose", "his.");
	fx_wait(&twin);
	fx_dump(&twin, &then);
	fx_close(&twin);
	const unsigned char *file = simdisk_file(f.disk, CHECKPOINT_NAME, &size);
	simdisk_write(twin.disk, CHECKPOINT_NAME, file, size);
	simdisk_kill(twin.disk);
	ok(opens_right(&twin, &then, &used) && !used, "nor one of a log of the same length that went another way");
	buf_free(&then);
	fx_done(&f);
	fx_done(&twin);
}

/* What is not read at the start is looked at all the same, and damage in it is found by the read. */
static void drop_item(void *arg, const struct offline_item *item)
{
	(void)arg, (void)item;
}

/* A repair may leave less than a checkpoint knows: the log counts. */
static void test_repair(struct fx *f)
{
	struct fx c;
	struct offline_report report;
	struct error e = { 0 };
	size_t size;

	copy_of(&c, f);
	simdisk_file(c.disk, SEG1, &size)[64 + 8] ^= 1;
	ok(offline_repair(c.options.io, "sim", drop_item, NULL, &report, &e) == 0 && report.gaps > 0, "a damaged segment is repaired with a gap");
	ok(!has_file(&c, CHECKPOINT_NAME), "which takes the checkpoint away");
	fx_must_open(&c);
	is_str(fx_get(&c, "a"), "(absent)", "the log shows what is left");
	fx_done(&c);
}

static void test_segments(void)
{
	struct fx f;
	struct buf all = { 0 };
	unsigned refused = 0, named = 0;

	fx_init(&f, simdisk_new(5));
	fx_must_open(&f);
	for (char i = 'a'; i < 'k'; i++)
		fx_put_size(&f, (char[]){ i, 0 }, i, 300000);
	fx_wait(&f);
	fx_dump(&f, &all);
	fx_close(&f);
	for (int seg = 1; seg <= 3; seg++)
		for (int what = 0; what < 5; what++) {
			struct fx c;
			char name[32];
			size_t size;
			copy_of(&c, &f);
			snprintf(name, sizeof(name), "%010d.seg", seg);
			if (what == 0)
				simdisk_remove(c.disk, name);
			else if (what < 3)
				simdisk_resize(c.disk, name, what == 1 ? 0 : 300100);
			else if (what == 3)
				simdisk_file(c.disk, name, &size)[33] ^= 1;
			else {
				const unsigned char *other = simdisk_file(c.disk, seg == 3 ? SEG1 : "0000000003.seg", &size);
				unsigned char *copy = malloc(size);
				memcpy(copy, other, size);
				simdisk_write(c.disk, name, copy, size);
				free(copy);
			}
			refused += fx_open(&c) == -EUCLEAN;
			named += strstr(c.error.text, name) != NULL;
			fx_done(&c);
		}
	ok(refused == 15 && named == 15, "a segment missing, emptied, cut, changed in its header or swapped is refused by its name (%u, %u)", refused, named);
	test_repair(&f);
	size_t size;
	simdisk_file(f.disk, SEG1, &size)[100000] ^= 1;
	fx_must_open(&f);
	ok(f.store->checkpoint.loaded, "damage inside a sealed one is not seen by the start");
	is_str(fx_get(&f, "a"), "(3)", "its key answers that it is damaged");
	fx_put(&f, "a", "new");
	is_str(fx_get(&f, "a"), "new", "until it is written anew");
	ok(fx_get(&f, "b")[0] == 'b', "the others are served");
	buf_free(&all);
	fx_done(&f);
}

static void test_read_only(void)
{
	struct fx f;
	struct buf all = { 0 };
	size_t size;

	small_store(&f, &all);
	f.options.flags = STORE_READ_ONLY | STORE_BLOCKING;
	fx_must_open(&f);
	ok(fx_holds(&f, &all) && f.store->checkpoint.loaded, "a read-only store starts from a checkpoint");
	is_int(store_checkpoint(f.store), STORE_REFUSED, "and makes none");
	fx_close(&f);
	simdisk_file(f.disk, CHECKPOINT_NAME, &size)[100] ^= 1;
	fx_must_open(&f);
	ok(fx_holds(&f, &all) && !f.store->checkpoint.loaded && has_file(&f, CHECKPOINT_NAME), "a damaged one stays where it is");
	buf_free(&all);
	fx_done(&f);
}

/* ---- faults while it is being made ---- */

static void test_failing_calls(void)
{
	static const enum simdisk_call kinds[] = { SIM_WRITE, SIM_SYNC, SIM_META };
	static const int errors[] = { -EIO, -ENOSPC };
	unsigned bad = 0, failures = 0;

	for (unsigned kind = 0; kind < 3; kind++)
		for (unsigned n = 1; n < 12; n++) {
			struct fx f;
			struct buf all = { 0 };
			struct store_stats st;
			bool used;
			small_store(&f, &all);
			fx_must_open(&f);
			simdisk_fail(f.disk, kinds[kind], n, 0, errors[n % 2]);
			store_checkpoint(f.store);
			bad += !FX_UNTIL(&f, (store_stats(f.store, &st), !st.checkpoint_running));
			simdisk_fail(f.disk, kinds[kind], 0, 0, 0);
			failures += st.checkpoint_failures != 0;
			bad += st.checkpoint_failures != fx_count(&f, STORE_EVENT_NO_CHECKPOINT, NULL);
			bad += store_health(f.store, NULL) != 0 || !fx_holds(&f, &all);
			put_many(&f, 1, "on", 0, 3, 3);
			bad += fx_wait(&f) != 0;
			bad += !make_checkpoint(&f);
			fx_kill(&f);
			bad += !starts_alike(&f, &used, NULL) || !used;
			buf_free(&all);
			fx_done(&f);
		}
	ok(bad == 0 && failures >= 6, "whichever call fails while one is written, the store goes on, and the next one is good (%u)", failures);
}

/* The power goes at any call: there is the old one or the new one, or none, and the data is right. */
static void test_power(void)
{
	unsigned bad = 0, n = 1;

	for (bool died = true; died; n++) {
		struct fx f;
		struct buf all = { 0 };
		bool used;
		small_store(&f, &all);
		fx_must_open(&f);
		simdisk_die_at(f.disk, n);
		store_checkpoint(f.store);
		bad += !FX_UNTIL(&f, !f.store->checkpoint.job);
		died = simdisk_is_dead(f.disk);
		simdisk_die(f.disk);
		fx_close(&f);
		simdisk_power_cycle(f.disk);
		bad += !starts_alike(&f, &used, NULL) || !used;
		fx_must_open(&f);
		bad += !fx_holds(&f, &all) || has_file(&f, CHECKPOINT_NEW_NAME);
		buf_free(&all);
		fx_done(&f);
	}
	ok(bad == 0 && n > 6, "the power may go at any of the calls that make one (%u)", n);
}

/* What it has seen is taken back: it must not come to life. */
static void test_rollback(void)
{
	struct fx f;
	struct buf all = { 0 };
	bool used;

	small_store(&f, &all);
	fx_must_open(&f);
	simdisk_hold(f.disk, SIM_SYNC, true);
	put_many(&f, 1, "never", 0, 10, 30);
	store_submit(f.store);
	ok(FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) == 1), "commits wait for the disk");
	is_int(store_checkpoint(f.store), 0, "a checkpoint is begun, which sees them");
	for (int i = 0; i < 1000; i++) {
		store_poll(f.store);
		sched_yield();
	}
	ok(f.store->checkpoint.job && f.store->checkpoint.made == 0, "it is not finished while they are not durable");
	simdisk_fail(f.disk, SIM_SYNC, 1, 1000000, -EIO);
	simdisk_hold(f.disk, SIM_SYNC, false);
	ok(FX_UNTIL(&f, !f.store->checkpoint.job) && f.store->checkpoint.made == 0, "when they are taken back it is given up");
	ok(fx_holds(&f, &all), "they are gone");
	fx_power(&f);
	simdisk_fail(f.disk, SIM_SYNC, 0, 0, 0);
	ok(starts_alike(&f, &used, NULL) && used, "a start from the one before it is right");
	buf_free(&all);
	fx_done(&f);
}

/* On a full disk the log goes on at the same positions with something else: what it has seen must not be taken for that. */
static void test_full_disk(void)
{
	struct fx f;
	bool used;

	fx_init(&f, simdisk_new(8));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	fx_wait(&f);
	simdisk_hold(f.disk, SIM_SYNC, true);
	fx_put(&f, "b", "2");
	store_submit(f.store);
	ok(FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC) == 1), "a commit waits for the disk");
	fx_put(&f, "never", "3");
	store_submit(f.store);
	store_checkpoint(f.store);
	for (int i = 0; i < 1000; i++) {
		store_poll(f.store);
		sched_yield();
	}
	simdisk_fail(f.disk, SIM_WRITE, 1, 1000000, -ENOSPC);
	simdisk_hold(f.disk, SIM_SYNC, false);
	ok(FX_UNTIL(&f, store_rollbacks(f.store) == 1), "the next one is taken back");
	simdisk_fail(f.disk, SIM_WRITE, 0, 0, 0);
	ok(FX_UNTIL(&f, store_health(f.store, NULL) == 0), "there is space again");
	fx_put(&f, "other", "4");
	fx_wait(&f);
	ok(FX_UNTIL(&f, !f.store->checkpoint.job) && f.store->checkpoint.made == 0, "the checkpoint that saw it is given up");
	fx_kill(&f);
	ok(starts_alike(&f, &used, NULL) && !used, "and leaves nothing");
	fx_done(&f);
}

/* An end in the middle of one. */
static void test_close_while_writing(void)
{
	unsigned bad = 0;

	for (unsigned turns = 0; turns < 30; turns++) {
		struct fx f;
		struct buf all = { 0 };
		small_store(&f, &all);
		fx_must_open(&f);
		store_checkpoint(f.store);
		for (unsigned i = 0; i < turns; i++) {
			store_poll(f.store);
			sched_yield();
		}
		bad += fx_close(&f) != 0;
		bad += simdisk_open_handles(f.disk) != 0 || has_file(&f, CHECKPOINT_NEW_NAME);
		fx_must_open(&f);
		bad += !fx_holds(&f, &all) || !f.store->checkpoint.loaded;
		buf_free(&all);
		fx_done(&f);
	}
	is_int(bad, 0, "a store may be closed at any moment of one");
}

int main(void)
{
	test_clean_stop();
	test_no_store_is_too_small();
	test_in_the_background();
	test_batch();
	test_long_replay();
	test_every_byte();
	test_nonsense();
	test_of_another_store();
	test_old_and_young();
	test_of_a_twin();
	test_segments();
	test_read_only();
	test_failing_calls();
	test_power();
	test_rollback();
	test_full_disk();
	test_close_while_writing();
	return done();
}
