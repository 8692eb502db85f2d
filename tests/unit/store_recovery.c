/* SPDX-License-Identifier: MIT
 * Bad ends and damage, made by hand on a simulated disk: what an incomplete end may look like is cut, everything else is refused with file and
 * offset, and in no case is a wrong value shown. What the administrator is told is part of it.
 *
 * KVD_TEST_STRIDE=N tries only every Nth place and bit, for tools that slow a program down.
 */
#include "store_fixture.h"

#include <unistd.h>
#include "base/bytes.h"
#include "base/crc.h"
#include "store/catalog.h"
#include "store/record.h"
#include "store/segment.h"

#define COMMITS 6

/* A store of a few commits, each durable before the next, with what it held after each of them. */
struct small {
	struct simdisk *disk;
	struct buf dump[COMMITS + 1];
	uint64_t end[COMMITS + 1]; /* in the file: its first segment begins at position 64, so offset and position are the same */
};

/* The largest piece of memory asked for since it was last set to 0. */
static _Atomic size_t largest;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static void note_size(size_t size)
{
	if (size > largest)
		largest = size;
}

void *__wrap_malloc(size_t size)
{
	note_size(size);
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	note_size(n * size);
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	note_size(size);
	return __real_realloc(p, size);
}

static void small_commit(struct fx *f, unsigned i)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t position;

	switch (i) {
	case 1:
		txn_put(t, 0, SLICE("alpha"), SLICE("one"), STORE_NO_EXPIRY);
		break;
	case 2:
		txn_put(t, 0, SLICE("beta"), SLICE("two"), STORE_NO_EXPIRY);
		txn_put(t, 0, SLICE("gamma"), SLICE("three"), store_now(f->store) + 1000000);
		txn_delete(t, 0, SLICE("alpha"));
		break;
	case 3:
		txn_put(t, 1, SLICE(""), SLICE("the empty key"), STORE_NO_EXPIRY);
		txn_swap(t, 0, 2);
		break;
	case 4:
		txn_put(t, 0, SLICE("delta"), SLICE("a value of more than forty bytes, to fill it"), STORE_NO_EXPIRY);
		break;
	case 5:
		txn_put(t, 2, SLICE("beta"), SLICE("two again"), STORE_NO_EXPIRY);
		txn_flush(t, 1);
		break;
	case 6:
		txn_put(t, 0, SLICE("alpha"), SLICE("last"), STORE_NO_EXPIRY);
		txn_put(t, 0, SLICE("omega"), SLICE(""), STORE_NO_EXPIRY);
		break;
	}
	if (txn_commit(t, &position) || fx_wait(f))
		bail("commit %u is not taken", i);
}

static void small_make(struct small *m, bool clean)
{
	struct fx f;

	*m = (struct small){ .disk = simdisk_new(7) };
	fx_init(&f, m->disk);
	fx_must_open(&f);
	fx_dump(&f, &m->dump[0]);
	m->end[0] = store_position(f.store);
	for (unsigned i = 1; i <= COMMITS; i++) {
		small_commit(&f, i);
		fx_dump(&f, &m->dump[i]);
		m->end[i] = store_position(f.store);
	}
	if (clean) {
		if (fx_close(&f))
			bail("no clean stop");
		simdisk_kill(m->disk);
	} else {
		fx_kill(&f);
		/* Some of the zeros written ahead are enough, a megabyte only takes time. */
		simdisk_resize(m->disk, SEG1, m->end[COMMITS] + 256);
	}
}

static void small_free(struct small *m)
{
	for (unsigned i = 0; i <= COMMITS; i++)
		buf_free(&m->dump[i]);
	simdisk_free(m->disk);
}

static unsigned char *bytes_of(struct fx *f, const char *name)
{
	size_t size;
	unsigned char *p = simdisk_file(f->disk, name, &size);

	if (!p)
		bail("there is no file %s", name);
	return p;
}

static size_t size_of(struct fx *f, const char *name)
{
	size_t size;

	return simdisk_file(f->disk, name, &size) ? size : 0;
}

/* The commits that are whole in the first len bytes. */
static unsigned whole_commits(const struct small *m, uint64_t len)
{
	unsigned k = 0;

	while (k < COMMITS && m->end[k + 1] <= len)
		k++;
	return k;
}

static bool names(const struct fx *f, const char *file)
{
	return strstr(f->error.text, file) != NULL;
}

/* It opens as after commit k, and says what it cut when there was anything to cut; it does so once only. */
static bool recovers_to(struct fx *f, const struct small *m, unsigned k, bool cut, const char *what, uint64_t at)
{
	const struct fx_told *told = NULL;
	char why[600] = "";

	int r = fx_open(f);
	if (r) {
		snprintf(why, sizeof(why), "it does not open: %s", f->error.text);
	} else {
		unsigned cuts = fx_count(f, STORE_EVENT_TAIL_CUT, &told);
		if (!fx_holds(f, &m->dump[k]))
			snprintf(why, sizeof(why), "it is not as after commit %u", k);
		else if (cuts != cut)
			snprintf(why, sizeof(why), "%u ends were cut", cuts);
		else if (cut && (told->offset != m->end[k] || strcmp(told->file, SEG1) != 0 || told->bytes == 0))
			snprintf(why, sizeof(why), "cut: %s", told->text);
		else if (size_of(f, SEG1) != m->end[k])
			snprintf(why, sizeof(why), "the file has %zu bytes", size_of(f, SEG1));
		fx_kill(f);
	}
	if (!*why && fx_open(f) == 0) {
		if (!fx_holds(f, &m->dump[k]) || fx_count(f, STORE_EVENT_TAIL_CUT, NULL))
			snprintf(why, sizeof(why), "the second opening finds something else");
		else if (fx_put(f, "new", "value") || fx_wait(f) || strcmp(fx_get(f, "new"), "value") != 0)
			snprintf(why, sizeof(why), "it takes no writes");
	}
	if (*why)
		diag("%s at %" PRIu64 ": %s", what, at, why);
	return !*why;
}

/* ---- the end of the log ---- */

enum end_kind { END_CUT, END_ZEROS, END_GARBAGE, END_LONGER, END_KINDS };

static void make_end(struct fx *f, enum end_kind kind, uint64_t at, uint64_t *random)
{
	size_t size = size_of(f, SEG1);

	if (kind == END_CUT || kind == END_LONGER)
		simdisk_resize(f->disk, SEG1, at);
	if (kind == END_LONGER)
		simdisk_resize(f->disk, SEG1, at + 300000);
	for (size_t i = at; kind == END_ZEROS && i < size; i++)
		bytes_of(f, SEG1)[i] = 0;
	for (size_t i = at; kind == END_GARBAGE && i < size; i++)
		bytes_of(f, SEG1)[i] = (unsigned char)(sim_random(random) | 1);
}

static void test_ends(void)
{
	static const char *const what[] = { "the file cut", "zeros", "garbage", "cut, then zeros beyond a window" };
	uint64_t random = 42;
	struct small m;

	small_make(&m, false);
	for (enum end_kind kind = END_CUT; kind < END_KINDS; kind++) {
		unsigned bad = 0;
		for (uint64_t at = m.end[0]; at <= m.end[COMMITS]; at += tap_stride()) {
			unsigned k = whole_commits(&m, at);
			struct fx f;
			bool rest = false; /* anything but zeros left behind the last whole commit */

			fx_init(&f, simdisk_copy(m.disk, at));
			make_end(&f, kind, at, &random);
			for (size_t i = m.end[k]; i < size_of(&f, SEG1); i++)
				rest |= bytes_of(&f, SEG1)[i] != 0;
			/* Padding is not part of a record's checksum: when the rest begins there, the record is whole. */
			if (kind != END_CUT && k < COMMITS && at > m.end[k + 1] - RECORD_ALIGN) {
				fx_done(&f);
				continue;
			}
			bad += !recovers_to(&f, &m, k, rest, what[kind], at);
			fx_done(&f);
		}
		ok(bad == 0, "%s at every place of the log is cut to the last whole transaction, told, and cut once", what[kind]);
	}
	small_free(&m);
}

/* What the power leaves of three commits that were one unsynced group. */
static void test_group(void)
{
	struct fx f, g;
	struct buf first = { 0 }, second = { 0 }, all = { 0 };
	uint64_t end[5];

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	fx_put(&f, "a", "durable");
	fx_wait(&f);
	fx_dump(&f, &first);
	end[1] = store_position(f.store);
	simdisk_hold(f.disk, SIM_SYNC, true);
	for (unsigned i = 2; i <= 4; i++) {
		fx_put(&f, i == 2 ? "b" : i == 3 ? "c" : "d", "of the group");
		if (i == 2)
			fx_dump(&f, &second);
		end[i] = store_position(f.store);
	}
	fx_dump(&f, &all);
	store_submit(f.store);
	ok(FX_UNTIL(&f, store_backlog(f.store) == 0 && simdisk_waiting(f.disk, SIM_SYNC)), "a group is written and not yet synced");
	fx_kill(&f);

	fx_init(&g, simdisk_copy(f.disk, 1));
	fx_must_open(&g);
	ok(fx_holds(&g, &all) && !fx_count(&g, STORE_EVENT_TAIL_CUT, NULL), "killed then, all of it is there");
	fx_done(&g);

	fx_init(&g, simdisk_copy(f.disk, 1));
	memset(bytes_of(&g, SEG1) + end[1], 0, end[2] - end[1]);
	fx_must_open(&g);
	ok(fx_holds(&g, &first) && fx_count(&g, STORE_EVENT_TAIL_CUT, NULL) == 1,
		"the first page of the group lost, later ones there: cut before it");
	/* Now write until the next record would begin exactly where one of the lost group still could. */
	fx_put(&g, "B", "of the group");
	fx_wait(&g);
	is_int((int64_t)store_position(g.store), (int64_t)end[2], "a new commit ends where an old one began");
	struct buf now = { 0 };
	fx_dump(&g, &now);
	fx_kill(&g);
	fx_must_open(&g);
	ok(fx_holds(&g, &now), "and what stood behind it does not come back");
	fx_close(&g);
	simdisk_power_cycle(g.disk);
	fx_must_open(&g);
	ok(fx_holds(&g, &now), "not after a power loss either");
	buf_free(&now);
	fx_done(&g);

	fx_init(&g, simdisk_copy(f.disk, 1));
	memset(bytes_of(&g, SEG1) + end[2], 0xa5, end[3] - end[2]);
	fx_must_open(&g);
	ok(fx_holds(&g, &second) && fx_count(&g, STORE_EVENT_TAIL_CUT, NULL) == 1, "its middle lost: cut there, the record behind is not applied");
	fx_done(&g);

	fx_init(&g, simdisk_copy(f.disk, 1));
	bytes_of(&g, SEG1)[64 + 33] ^= 1;
	is_int(fx_open(&g), -EUCLEAN, "a bad record before the group is damage: the group's records say that it was durable");
	ok(names(&g, SEG1) && names(&g, "offset 64"), "and the message has file and offset");
	fx_done(&g);

	buf_free(&first);
	buf_free(&second);
	buf_free(&all);
	fx_done(&f);
}

static void test_open_batch(void)
{
	struct small m;
	struct fx f;

	/* Every record of the last transaction but the one with its commit mark. */
	small_make(&m, false);
	fx_init(&f, simdisk_copy(m.disk, 1));
	uint64_t first = record_size(5, 4, false);
	memset(bytes_of(&f, SEG1) + m.end[COMMITS - 1] + first, 0, m.end[COMMITS] - m.end[COMMITS - 1] - first);
	ok(recovers_to(&f, &m, COMMITS - 1, true, "an open batch", 0), "a batch without its commit mark is not applied");
	fx_done(&f);
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_resize(f.disk, SEG1, m.end[COMMITS - 1] + first);
	ok(recovers_to(&f, &m, COMMITS - 1, true, "an open batch", 0), "nor when the file ends with it");
	fx_done(&f);
	small_free(&m);

	/* After a clean stop nothing may be open. */
	small_make(&m, true);
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_resize(f.disk, SEG1, m.end[COMMITS] - 8);
	is_int(fx_open(&f), -EUCLEAN, "truncated after a clean stop is damage");
	ok(strstr(f.error.text, "shorter than the clean stop left it"), "and told as what it is: %s", f.error.text);
	ok(names(&f, SEG1) && names(&f, "offset"), "with file and offset");
	is_int((int64_t)size_of(&f, SEG1), (int64_t)m.end[COMMITS] - 8, "and nothing is cut");
	fx_done(&f);
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_resize(f.disk, SEG1, m.end[COMMITS] + 5000);
	ok(recovers_to(&f, &m, COMMITS, false, "zeros behind", 0), "zeros behind a clean stop are nothing");
	fx_done(&f);
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_resize(f.disk, SEG1, m.end[COMMITS] + 5000);
	memset(bytes_of(&f, SEG1) + m.end[COMMITS] + 100, 'x', 1000);
	ok(recovers_to(&f, &m, COMMITS, true, "garbage behind", 0), "other bytes behind a clean stop are cut and told");
	fx_done(&f);
	small_free(&m);
}

/* ---- flipped bits ---- */

static bool same_files(struct simdisk *a, struct simdisk *b)
{
	const char *name;

	for (size_t i = 0; (name = simdisk_name(a, i)); i++) {
		size_t n, k;
		const unsigned char *x = simdisk_file(a, name, &n), *y = simdisk_file(b, name, &k);
		if (strcmp(name, "LOCK") != 0 && (!y || n != k || memcmp(x, y, n) != 0))
			return false;
	}
	for (size_t i = 0; (name = simdisk_name(b, i)); i++) {
		size_t n;
		if (!simdisk_file(a, name, &n))
			return false;
	}
	return true;
}

/* What must hold after any one flipped bit in a file. NULL: good. */
static const char *judge_flip(struct fx *f, const struct small *m, const char *file, size_t at, bool clean, int r)
{
	bool segment = strcmp(file, SEG1) == 0;
	unsigned lowest = segment && !clean && at >= m->end[COMMITS - 1] && at < m->end[COMMITS] ? COMMITS - 1 : COMMITS;

	if (r) {
		if (r != -EUCLEAN && r != -EPROTONOSUPPORT)
			return "refused with another error";
		if (!names(f, file) || !(names(f, "offset") || names(f, "version") || !segment))
			return "the message has no file or offset";
		if (strcmp(file, "LOCK") == 0 || (segment && at >= m->end[COMMITS]) || lowest < COMMITS)
			return "refused for nothing";
		return NULL;
	}
	if (strcmp(file, "CATALOG") == 0)
		return "a damaged catalog is believed";
	if (fx_holds(f, &m->dump[COMMITS]))
		return segment && at >= m->end[COMMITS] && !fx_count(f, STORE_EVENT_TAIL_CUT, NULL) ? "nothing told" : NULL;
	if (lowest == COMMITS || !fx_holds(f, &m->dump[lowest]))
		return "wrong data";
	return fx_count(f, STORE_EVENT_TAIL_CUT, NULL) == 1 ? NULL : "cut in silence";
}

static unsigned flip_file(struct small *m, const char *file, bool clean)
{
	unsigned bad = 0;
	size_t size;

	simdisk_file(m->disk, file, &size);
	for (size_t bit = 0; bit < size * 8 && bad < 5; bit += tap_stride()) {
		struct simdisk *damaged = simdisk_copy(m->disk, 1);
		struct fx f;
		simdisk_file(damaged, file, &size)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		fx_init(&f, simdisk_copy(damaged, 1));
		int r = fx_open(&f);
		const char *why = judge_flip(&f, m, file, bit / 8, clean, r);
		if (!why && r && !same_files(f.disk, damaged))
			why = "files were changed though it did not open";
		if (why) {
			diag("bit %zu of byte %zu of %s: %s (%s)", bit % 8, bit / 8, file, why, f.error.text);
			bad++;
		}
		fx_done(&f);
		simdisk_free(damaged);
	}
	return bad;
}

static void test_flips(void)
{
	struct small m;

	for (int clean = 0; clean <= 1; clean++) {
		const char *name;
		small_make(&m, clean);
		for (size_t i = 0; (name = simdisk_name(m.disk, i)); i++)
			ok(flip_file(&m, name, clean) == 0, "every bit flipped in %s after a %s: right data, or refused with file and offset, unchanged",
				name, clean ? "clean stop" : "kill");
		small_free(&m);
	}
}

/* ---- lengths that lie ---- */

static void test_lengths(void)
{
	static const struct {
		uint32_t key, value;
	} lie[] = { { 4, 500u << 20 }, { 4, UINT32_MAX }, { 65536, 16 }, { UINT32_MAX, 0 }, { 0, 0 }, { 4, 1 << 20 }, { 65535, 900000 } };
	struct small m;
	unsigned bad = 0;

	small_make(&m, false);
	simdisk_resize(m.disk, SEG1, 1 << 20);
	for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		struct fx f;
		fx_init(&f, simdisk_copy(m.disk, i));
		put_le32(bytes_of(&f, SEG1) + m.end[COMMITS - 1] + 8, lie[i].key);
		put_le32(bytes_of(&f, SEG1) + m.end[COMMITS - 1] + 12, lie[i].value);
		largest = 0;
		int r = fx_open(&f);
		if (r || largest > (9 << 20) || !fx_holds(&f, &m.dump[COMMITS - 1])) {
			diag("lengths %u and %u: %d, %zu bytes asked for (%s)", lie[i].key, lie[i].value, r, largest, f.error.text);
			bad++;
		}
		fx_done(&f);
	}
	ok(bad == 0, "a length is believed only as far as there is file: no large piece of memory is asked for");
	small_free(&m);
}

/* ---- several segments ---- */

#define SEG(n) (n == 1 ? "0000000001.seg" : n == 2 ? "0000000002.seg" : n == 3 ? "0000000003.seg" : "0000000004.seg")

static void fill_segments(struct fx *f)
{
	char key[32];

	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		fx_put_size(f, key, (char)('a' + i), 300000);
		fx_wait(f);
	}
	fx_put(f, "last", "word");
	fx_wait(f);
}

static struct simdisk *make_segments(struct buf *ret_dump, bool clean)
{
	struct fx f;

	fx_init(&f, simdisk_new(9));
	fx_must_open(&f);
	fill_segments(&f);
	const struct fx_told *told = NULL;
	ok(fx_count(&f, STORE_EVENT_ROTATED, &told) == 3 && strcmp(told->file, "0000000004.seg") == 0, "segments rotate at their size, and it is told");
	fx_dump(&f, ret_dump);
	if (clean) {
		is_int(fx_close(&f), 0, "a clean stop");
		simdisk_kill(f.disk);
		simdisk_remove(f.disk, "CHECKPOINT"); /* with it most of this would not be read: store_checkpoint.c */
	} else {
		fx_kill(&f);
	}
	return f.disk;
}

static void refuses(struct fx *f, int error, const char *file, const char *what)
{
	struct simdisk *before = simdisk_copy(f->disk, 1);
	int r = fx_open(f);

	ok(r == error && names(f, file) && same_files(before, f->disk), "%s: refused with the file's name, nothing changed", what);
	diag("%d %s", r, f->error.text);
	simdisk_free(before);
	fx_done(f);
}

static void swap_files(struct simdisk *d, const char *a, const char *b)
{
	size_t n, k;
	unsigned char *x = simdisk_file(d, a, &n), *copy = malloc(n ? n : 1);

	memcpy(copy, x, n);
	const unsigned char *y = simdisk_file(d, b, &k);
	simdisk_write(d, a, y, k);
	simdisk_write(d, b, copy, n);
	free(copy);
}

/* Sets a field of a segment's header and makes its checksum right again. */
static void set_header(struct fx *f, const char *name, size_t at, uint32_t value)
{
	unsigned char *p = bytes_of(f, name);

	put_le32(p + at, value);
	put_le32(p + 60, crc_update(0, (char *)p, 60));
}

static void test_segments(void)
{
	struct buf dump = { 0 };
	struct fx f;

	for (int clean = 0; clean <= 1; clean++) {
		struct simdisk *base = make_segments(&dump, clean);
		fx_init(&f, simdisk_copy(base, 1));
		fx_must_open(&f);
		ok(fx_holds(&f, &dump) && fx_count(&f, STORE_EVENT_TAIL_CUT, NULL) == 0, "all of it is there after a %s", clean ? "clean stop" : "kill");
		fx_done(&f);
		for (int i = 1; i <= 4; i++) {
			fx_init(&f, simdisk_copy(base, 1));
			simdisk_remove(f.disk, SEG(i));
			refuses(&f, -EUCLEAN, SEG(i), "a missing segment");
			fx_init(&f, simdisk_copy(base, 1));
			simdisk_resize(f.disk, SEG(i), 0);
			refuses(&f, -EUCLEAN, SEG(i), "an emptied segment");
			if (i < 4 || clean) {
				fx_init(&f, simdisk_copy(base, 1));
				simdisk_resize(f.disk, SEG(i), i < 4 ? 300100 : 64);
				refuses(&f, -EUCLEAN, SEG(i), "a shortened segment");
				fx_init(&f, simdisk_copy(base, 1));
				bytes_of(&f, SEG(i))[200] ^= 4;
				refuses(&f, -EUCLEAN, SEG(i), "a flipped bit");
			}
			fx_init(&f, simdisk_copy(base, 1));
			set_header(&f, SEG(i), 8, 2);
			refuses(&f, -EPROTONOSUPPORT, SEG(i), "a newer format");
			fx_init(&f, simdisk_copy(base, 1));
			set_header(&f, SEG(i), 16, 1);
			refuses(&f, -EUCLEAN, SEG(i), "a segment of another store");
			fx_init(&f, simdisk_copy(base, 1));
			set_header(&f, SEG(i), 24, 77);
			refuses(&f, -EUCLEAN, SEG(i), "a segment with another number inside");
			fx_init(&f, simdisk_copy(base, 1));
			set_header(&f, SEG(i), 32, 4096);
			refuses(&f, -EUCLEAN, SEG(i), "a segment with another first position");
		}
		fx_init(&f, simdisk_copy(base, 1));
		swap_files(f.disk, SEG(2), SEG(3));
		refuses(&f, -EUCLEAN, SEG(2), "two swapped segments");
		/* Zeros behind a sealed segment are what a power loss may leave of a truncation: nothing. */
		fx_init(&f, simdisk_copy(base, 1));
		simdisk_resize(f.disk, SEG(2), (1 << 20) + 4096);
		fx_must_open(&f);
		ok(fx_holds(&f, &dump), "a sealed segment longer than it was is read as far as the catalog says");
		fx_done(&f);
		simdisk_free(base);
	}
	buf_free(&dump);
}

/* The active segment as it was two clean stops ago. */
static void test_older_segment(void)
{
	struct fx f;
	size_t size;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	fx_put(&f, "k", "old");
	fx_close(&f);
	struct simdisk *before = simdisk_copy(f.disk, 1);
	fx_must_open(&f);
	fx_put(&f, "k", "new");
	fx_close(&f);
	const unsigned char *p = simdisk_file(before, SEG1, &size);
	simdisk_write(f.disk, SEG1, p, size);
	refuses(&f, -EUCLEAN, SEG1, "an older copy of the active segment");
	simdisk_free(before);
}

/* ---- the catalog ---- */

static void put_catalog(struct simdisk *to, struct simdisk *from)
{
	size_t size;
	const unsigned char *p = simdisk_file(from, "CATALOG", &size);

	simdisk_write(to, "CATALOG", p, size);
}

static void test_catalog(void)
{
	struct fx f;
	struct small m;

	small_make(&m, true);
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_remove(f.disk, "CATALOG");
	refuses(&f, -EUCLEAN, SEG1, "a missing catalog");
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_resize(f.disk, "CATALOG", 0);
	refuses(&f, -EUCLEAN, "CATALOG", "an empty catalog");
	fx_init(&f, simdisk_copy(m.disk, 1));
	simdisk_remove(f.disk, "CATALOG");
	bytes_of(&f, SEG1)[64 + 35] ^= 1;
	refuses(&f, -EUCLEAN, SEG1, "a missing catalog and a damaged first record");
	small_free(&m);

	/* The catalog of before three rotations. */
	fx_init(&f, simdisk_new(3));
	fx_must_open(&f);
	fx_put(&f, "k", "v");
	fx_wait(&f);
	struct simdisk *before = simdisk_copy(f.disk, 1);
	fill_segments(&f);
	fx_close(&f);
	put_catalog(f.disk, before);
	refuses(&f, -EUCLEAN, "CATALOG", "the catalog of before a rotation");
	simdisk_free(before);
}

/* The catalog of the clean stop before the last: the segment goes on behind the end it names. */
static void test_catalog_of_earlier_stop(void)
{
	for (int more = 1; more <= 3; more++) {
		struct fx f;
		fx_init(&f, simdisk_new(3));
		fx_must_open(&f);
		fx_put(&f, "k", "v");
		fx_close(&f);
		struct simdisk *before = simdisk_copy(f.disk, 1);
		fx_must_open(&f);
		for (int i = 0; i < more; i++) {
			fx_put(&f, "k", i ? "w" : "x");
			fx_wait(&f);
		}
		fx_close(&f);
		put_catalog(f.disk, before);
		refuses(&f, -EUCLEAN, SEG1, more == 1 ? "the catalog of a clean stop one commit ago" : "the catalog of a clean stop some commits ago");
		simdisk_free(before);
	}
}

/* A catalog that is whole and wrong: a sealed segment ends one record later than the next one begins. (Holes are what merges leave.) */
static void test_catalog_with_overlap(void)
{
	struct buf dump = { 0 };
	struct catalog c;
	struct error e;
	struct fx f;

	fx_init(&f, make_segments(&dump, true));
	struct io *io = simdisk_io(f.disk);
	int dir = io->open_dir(io, "sim");
	if (catalog_read(io, dir, &c, &e))
		bail("no catalog");
	c.segment[1].first -= record_size(4, 300000, false);
	if (catalog_write(io, dir, &c))
		bail("no catalog written");
	catalog_free(&c);
	io->close(io, dir);
	refuses(&f, -EUCLEAN, "CATALOG", "a catalog with two segments that overlap");
	buf_free(&dump);
}

/* ---- who may open, and what is cleared away ---- */

static void test_owner(void)
{
	struct fx f, g;
	char pid[32];

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	fx_put(&f, "k", "v");
	fx_wait(&f);
	fx_init(&g, f.disk);
	is_int(fx_open(&g), -EBUSY, "a second opener is refused");
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	ok(strstr(g.error.text, pid) && names(&g, "sim"), "and told directory and process");
	g.options.flags = STORE_READ_ONLY | STORE_BLOCKING;
	is_int(fx_open(&g), 0, "reading only is possible beside the owner");
	is_str(fx_get(&g, "k"), "v", "and shows what is there");
	fx_close(&g);
	is_int(fx_put(&f, "k", "w"), 0, "the owner goes on");
	fx_kill(&f);
	is_int(fx_open(&f), 0, "a killed owner leaves no lock behind");
	fx_done(&f);

	fx_init(&f, simdisk_new(1));
	f.options.flags = STORE_BLOCKING;
	is_int(fx_open(&f), -ENOENT, "no store is made unasked");
	f.options.flags = STORE_BLOCKING | STORE_CREATE;
	fx_must_open(&f);
	is_int(fx_count(&f, STORE_EVENT_CREATED, NULL), 1, "a new store is told");
	is_int(fx_count(&f, STORE_EVENT_RECOVERED, NULL), 1, "and that it is open");
	fx_close(&f);
	fx_must_open(&f);
	is_int(fx_count(&f, STORE_EVENT_CREATED, NULL), 0, "an old one is not new");
	fx_done(&f);
}

static void read_only_changes_nothing(struct simdisk *disk, const char *what)
{
	struct simdisk *before = simdisk_copy(disk, 1);
	struct fx f;

	fx_init(&f, disk);
	f.options.flags = STORE_BLOCKING | STORE_READ_ONLY;
	uint64_t calls = simdisk_calls(disk, SIM_ANY);
	int r = fx_open(&f);
	if (r == 0) {
		fx_get(&f, "alpha");
		is_int(fx_put(&f, "k", "v"), STORE_REFUSED, "a write is refused");
		ok(strstr(store_problem(f.store), "read-only"), "and the reason given");
		is_int(store_expire_some(f.store, 10), 0, "expired keys stay");
	}
	fx_close(&f);
	ok(simdisk_calls(disk, SIM_ANY) == calls && same_files(before, disk), "read-only changes nothing: %s (%d)", what, r);
	simdisk_free(before);
}

static void test_read_only(void)
{
	struct small m;
	struct fx f;

	small_make(&m, true);
	read_only_changes_nothing(m.disk, "a clean store");
	small_free(&m);
	small_make(&m, false);
	simdisk_resize(m.disk, SEG1, m.end[COMMITS] - 8);
	simdisk_write(m.disk, "0000000009.seg", "leftover", 8);
	simdisk_write(m.disk, "CATALOG.new", "half", 4);
	read_only_changes_nothing(m.disk, "a torn end and leftovers");
	fx_init(&f, m.disk);
	f.options.flags = STORE_BLOCKING | STORE_READ_ONLY;
	fx_must_open(&f);
	ok(fx_holds(&f, &m.dump[COMMITS - 1]), "and shows the whole transactions");
	fx_close(&f);
	small_free(&m);
	struct simdisk *empty = simdisk_new(1);
	fx_init(&f, empty);
	f.options.flags = STORE_BLOCKING | STORE_READ_ONLY | STORE_CREATE;
	is_int(fx_open(&f), -ENOENT, "read-only makes no store, though asked to");
	ok(!simdisk_name(empty, 0), "and leaves the directory empty");
	fx_done(&f);
}

static void test_leftovers(void)
{
	struct small m;
	struct fx f;
	size_t size;
	const struct fx_told *told = NULL;

	small_make(&m, true);
	/* A segment that was made and not yet named when the power went: a header, no records. */
	unsigned char *head = simdisk_file(m.disk, SEG1, &size);
	simdisk_write(m.disk, "0000000002.seg", head, 64);
	simdisk_write(m.disk, "0000000003.seg", "", 0);
	simdisk_write(m.disk, "CATALOG.new", "kvd-cat", 7);
	simdisk_write(m.disk, "notes.txt", "mine", 4);
	simdisk_write(m.disk, "0000000002.seg~", "mine", 4);
	fx_init(&f, m.disk);
	fx_must_open(&f);
	is_int(fx_count(&f, STORE_EVENT_LEFTOVER, &told), 2, "segments no catalog names are removed and told");
	ok(!simdisk_file(f.disk, "0000000002.seg", &size) && !simdisk_file(f.disk, "0000000003.seg", &size), "they are gone");
	ok(!simdisk_file(f.disk, "CATALOG.new", &size), "so is a catalog half written");
	ok(simdisk_file(f.disk, "notes.txt", &size) && simdisk_file(f.disk, "0000000002.seg~", &size), "other people's files stay");
	ok(fx_holds(&f, &m.dump[COMMITS]), "nothing else is lost");
	fx_close(&f);
	small_free(&m);
}

/* ---- sessions ---- */

static unsigned count_segments(struct simdisk *d)
{
	const char *name;
	unsigned n = 0;

	for (size_t i = 0; (name = simdisk_name(d, i)); i++)
		n += segment_name_number(name) != 0;
	return n;
}

static void test_sessions(void)
{
	struct fx f;
	char key[32], value[32];
	bool right = true, first = true;

	fx_init(&f, simdisk_new(1));
	for (int i = 0; i < 10; i++) {
		fx_must_open(&f);
		if (i % 2)
			fx_close(&f);
		else
			fx_kill(&f);
	}
	is_int(count_segments(f.disk), 1, "ten openings leave no empty segments");
	/* Twelve sessions, each of which begins a new segment: numbers of more than one digit. */
	for (int i = 1; i <= 12; i++) {
		fx_must_open(&f);
		snprintf(value, sizeof(value), "v%d", i);
		snprintf(key, sizeof(key), "of session %d", i);
		fx_put(&f, key, value);
		first &= strcmp(fx_get(&f, key), value) == 0;
		if (i > 1) {
			snprintf(key, sizeof(key), "of session %d", i - 1);
			snprintf(value, sizeof(value), "v%d", i - 1);
			first &= strcmp(fx_get(&f, key), value) == 0;
		}
		snprintf(value, sizeof(value), "v%d", i);
		fx_put(&f, "same", value);
		fx_put_size(&f, "big", 'x', 700000);
		fx_wait(&f);
		if (i % 3)
			fx_close(&f);
		else
			fx_kill(&f);
		fx_must_open(&f);
		right &= strcmp(fx_get(&f, "same"), value) == 0;
		fx_close(&f);
	}
	ok(first, "the first write after opening is found, and changes no other key");
	ok(right, "the last write wins after each of twelve sessions");
	ok(count_segments(f.disk) == 12, "segments go on being numbered");
	fx_must_open(&f);
	is_str(fx_get(&f, "same"), "v12", "the last of all");
	for (int i = 1; i <= 12; i++) {
		snprintf(key, sizeof(key), "of session %d", i);
		snprintf(value, sizeof(value), "v%d", i);
		right &= strcmp(fx_get(&f, key), value) == 0;
	}
	ok(right, "and every session's own key is there");
	fx_done(&f);
}

/* ---- numbers ---- */

/* Bytes of records that are current, counted from what the store shows. */
static uint64_t recount_live(struct fx *f)
{
	uint64_t sum = 0;

	for (unsigned db = 0; db < store_databases(f->store); db++) {
		struct txn *t = txn_begin(f->store, NULL);
		struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), false);
		struct slice key;
		int64_t expire_ms;
		struct txn_value v;
		while (txn_scan_next(scan, &key, &expire_ms) == 0)
			if (txn_get(t, db, key, &v) == 0)
				sum += record_size(key.len, v.data.len, expire_ms != STORE_NO_EXPIRY);
		txn_scan_end(scan);
		txn_abort(t);
	}
	return sum;
}

static uint64_t live_bytes(struct fx *f)
{
	struct store_stats st;

	store_stats(f->store, &st);
	return st.live_bytes;
}

static void random_writes(struct fx *f, uint64_t *random, unsigned n)
{
	char key[32], value[500] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		struct txn *t = txn_begin(f->store, NULL);
		uint64_t position;
		for (uint64_t k = 1 + sim_random(random) % 5; k > 0; k--) {
			unsigned db = (unsigned)(sim_random(random) % 4), kind = (unsigned)(sim_random(random) % 100);
			int len = snprintf(key, sizeof(key), "k%u", (unsigned)(sim_random(random) % 2000));
			char *copy = txn_alloc(t, (size_t)len);
			memcpy(copy, key, (size_t)len);
			if (kind < 70)
				txn_put(t, db, slice(copy, (size_t)len), slice(value, sim_random(random) % sizeof(value)),
					kind < 10 ? store_now(f->store) + 1000000000 : STORE_NO_EXPIRY);
			else if (kind < 98)
				txn_delete(t, db, slice(copy, (size_t)len));
			else if (kind == 98)
				txn_swap(t, db, (unsigned)(sim_random(random) % 4));
			else if (sim_random(random) % 8 == 0)
				txn_flush(t, db);
		}
		if (txn_commit(t, &position))
			bail("a commit is not taken");
	}
}

static void test_live_bytes(void)
{
	const char *seed = getenv("KVD_TEST_SEED");
	uint64_t random = seed ? strtoull(seed, NULL, 10) : 2024;
	struct fx f;
	unsigned bad = 0;

	diag("seed %" PRIu64, random);
	fx_init(&f, simdisk_new(1));
	for (int i = 0; i < 10 && bad == 0; i++) {
		fx_must_open(&f);
		/* A large flushed database is counted off by another thread. */
		bool opened = FX_UNTIL(&f, live_bytes(&f) == recount_live(&f));
		if (!opened)
			diag("opened: %" PRIu64 " live, %" PRIu64 " counted", live_bytes(&f), recount_live(&f));
		bad += !opened;
		random_writes(&f, &random, 1500);
		fx_wait(&f);
		/* What a commit replaced may be kept until the next one finds it durable. */
		fx_put(&f, "last", "word");
		fx_wait(&f);
		bool same = FX_UNTIL(&f, live_bytes(&f) == recount_live(&f));
		if (!same)
			diag("%" PRIu64 " live, %" PRIu64 " counted", live_bytes(&f), recount_live(&f));
		bad += !same;
		struct store_stats st;
		store_stats(f.store, &st);
		bad += st.live_bytes > st.log_bytes;
		if (i % 2)
			fx_close(&f);
		else
			fx_kill(&f);
	}
	ok(bad == 0, "live bytes are exactly the current records' after random writes and openings");
	fx_done(&f);
}

static void test_recovered_numbers(void)
{
	struct small m;
	struct fx f;
	struct store_stats st;
	const struct fx_told *told = NULL;

	small_make(&m, true);
	fx_init(&f, m.disk);
	fx_must_open(&f);
	store_stats(f.store, &st);
	is_int((int64_t)st.recovered_records, 1 + 3 + 2 + 1 + 2 + 2, "the records replayed are counted");
	is_int((int64_t)st.recovered_bytes, (int64_t)m.end[COMMITS], "and their bytes");
	ok(fx_count(&f, STORE_EVENT_RECOVERED, &told) == 1 && told->records == st.recovered_records && told->bytes == st.recovered_bytes,
		"and told");
	is_int((int64_t)st.tail_bytes_cut, 0, "nothing was cut");
	is_int((int64_t)store_durable(f.store), (int64_t)store_position(f.store), "what was recovered is durable");
	fx_close(&f);
	small_free(&m);
}

/* The names of a new store: whichever of them power loss leaves, there is a store or there is none. */
static void test_creation(void)
{
	unsigned bad = 0, n = 0;
	bool died = true;

	for (unsigned i = 0; died && bad < 3; i++) {
		struct fx f;
		n = i / 12 + 1;
		fx_init(&f, simdisk_new(i));
		simdisk_die_at(f.disk, n);
		int r = fx_open(&f);
		died = simdisk_is_dead(f.disk);
		if (r == 0)
			fx_kill(&f);
		simdisk_power_cycle(f.disk);
		if (fx_open(&f))
			bad++, diag("power loss at call %u of the first opening: %s", n, f.error.text);
		fx_done(&f);
	}
	ok(bad == 0 && n > 8, "power loss at each of %u calls of the first opening: the next one succeeds", n - 1);
}

int main(void)
{
	test_creation();
	test_ends();
	test_group();
	test_open_batch();
	test_flips();
	test_lengths();
	test_segments();
	test_older_segment();
	test_catalog();
	test_catalog_of_earlier_stop();
	test_catalog_with_overlap();
	test_owner();
	test_read_only();
	test_leftovers();
	test_sessions();
	test_live_bytes();
	test_recovered_numbers();
	return done();
}
