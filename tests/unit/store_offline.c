/* SPDX-License-Identifier: MIT
 *
 * verify, dump and repair of closed stores: every byte of every file changed, files cut, emptied, taken away and exchanged. After a repair the store opens, and each
 * key has its value, or answers CORRUPT; only where the repair says that it left a gap may it have an older one.
 */
#include "store_fixture.h"
#include "base/bytes.h"
#include "store/offline.h"
#include "store/record.h"

#define COMMITS 7

struct sample {
	struct simdisk *disk;
	struct buf last;  /* the dump of what it holds */
	struct buf all;   /* the dumps after each commit */
};

static void commit(struct fx *f, unsigned i)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t position;
	char key[16];

	snprintf(key, sizeof(key), "key%u", i);
	txn_put(t, 0, slice_str(key), SLICE("a value that is long enough to be hit by itself"), STORE_NO_EXPIRY);
	txn_put(t, 0, SLICE("shared"), slice_str(key), i % 2 ? STORE_NO_EXPIRY : store_now(f->store) + 1000000);
	if (i == 3)
		txn_delete(t, 0, SLICE("key1"));
	if (i == 5)
		txn_put(t, 1, SLICE(""), SLICE("the empty key"), STORE_NO_EXPIRY);
	if (txn_commit(t, &position) || fx_wait(f))
		bail("commit %u is not taken", i);
}

static void make(struct sample *m, bool clean)
{
	struct fx f;
	struct buf now = { 0 };

	*m = (struct sample){ .disk = simdisk_new(3) };
	fx_init(&f, m->disk);
	fx_must_open(&f);
	for (unsigned i = 1; i <= COMMITS; i++) {
		commit(&f, i);
		fx_dump(&f, &now);
		buf_append_slice(&m->all, buf_slice(&now));
	}
	fx_dump(&f, &m->last);
	uint64_t end = store_position(f.store);
	if (clean && fx_close(&f))
		bail("no clean stop");
	if (!clean) {
		fx_kill(&f);
		simdisk_resize(m->disk, SEG1, end + 256);
	}
	simdisk_kill(m->disk);
	buf_free(&now);
}

static void sample_free(struct sample *m)
{
	buf_free(&m->last);
	buf_free(&m->all);
	simdisk_free(m->disk);
}

struct seen {
	unsigned n, values;
	struct offline_item last;
	char key[64];
};

static void see(void *arg, const struct offline_item *item)
{
	struct seen *s = arg;

	s->n++;
	s->values += item->kind == OFFLINE_VALUE;
	s->last = *item;
	snprintf(s->key, sizeof(s->key), "%.*s", (int)item->key.len, item->key.len ? item->key.ptr : "");
}

static bool has(const struct buf *in, struct slice part)
{
	return part.len == 0 || memmem(in->ptr, in->len, part.ptr, part.len);
}

/* Each line of the dump is the last one of its key, or CORRUPT; with gaps, one it had some time. */
static const char *judge_dump(struct fx *f, const struct sample *m, const struct offline_report *report)
{
	struct buf now = { 0 };
	const char *why = NULL;
	size_t lines = 0, expected = 0;

	fx_dump(f, &now);
	for (size_t i = 0; i < m->last.len; i++)
		expected += m->last.ptr[i] == '\n';
	for (struct slice rest = buf_slice(&now); rest.len && !why; lines++) {
		size_t n = (size_t)((const char *)memchr(rest.ptr, '\n', rest.len) + 1 - rest.ptr);
		struct slice line = slice(rest.ptr, n);
		rest = slice_skip(rest, n);
		bool corrupt = n > 9 && memcmp(line.ptr + n - 9, " gives 3\n", 9) == 0;
		if (!corrupt && !has(report->gaps ? &m->all : &m->last, line))
			why = "a value is wrong";
		if (corrupt && !report->lost)
			why = "a key is corrupt that was not given up";
	}
	if (!why && !report->gaps && lines < expected)
		why = "keys are missing";
	buf_free(&now);
	return why;
}

static const char *judge_repaired(struct simdisk *disk, const struct sample *m, struct offline_report *ret)
{
	struct offline_report again;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct fx f;
	const char *why;

	int r = offline_repair(simdisk_io(disk), "sim", see, &seen, ret, &e);
	if (r == -EPROTONOSUPPORT && strstr(e.text, "newer")) /* nothing that could be told from a newer kvd's */
		return NULL;
	if (r) {
		diag("%s", e.text);
		return "not repaired";
	}
	simdisk_kill(disk);
	if (offline_verify(simdisk_io(disk), "sim", see, &seen, &again, &e) || again.damaged)
		return "still damaged";
	fx_init(&f, disk);
	f.options.flags = STORE_BLOCKING;
	if (fx_open(&f)) {
		diag("%s", f.error.text);
		return "does not open";
	}
	why = judge_dump(&f, m, ret);
	fx_close(&f);
	return why;
}

static unsigned change_bytes(const struct sample *m, const char *file, bool clean, unsigned *ret_known, unsigned *ret_unknown)
{
	unsigned bad = 0;
	size_t size;

	simdisk_file(m->disk, file, &size);
	for (size_t at = 0; at < size && bad < 5; at++) {
		struct simdisk *damaged = simdisk_copy(m->disk, 1);
		struct offline_report report = { 0 };
		simdisk_file(damaged, file, &size)[at] ^= (unsigned char)(1 << at % 8);
		const char *why = judge_repaired(damaged, m, &report);
		/* A crash leaves the last commit to the mercy of what was written: recovery may take it back. */
		if (why && !clean && at >= size - 256 - 200)
			why = NULL;
		*ret_known += report.lost > 0 && !report.gaps;
		*ret_unknown += report.gaps > 0;
		if (why) {
			diag("byte %zu of %s: %s", at, file, why);
			bad++;
		}
		simdisk_free(damaged);
	}
	return bad;
}

static void test_bytes(void)
{
	for (int clean = 0; clean <= 1; clean++) {
		unsigned known = 0, unknown = 0;
		struct sample m;
		const char *name;
		make(&m, clean);
		for (size_t i = 0; (name = simdisk_name(m.disk, i)); i++)
			ok(change_bytes(&m, name, clean, &known, &unknown) == 0, "every byte changed in %s after a %s: repaired, no wrong value", name,
				clean ? "clean stop" : "kill");
		ok(known > COMMITS * 40 && unknown > COMMITS * 32, "damage of values names its key, damage of headers leaves a gap (%u, %u)", known, unknown);
		sample_free(&m);
	}
}

/* The offset of a text in the segment. */
static size_t find_text(struct simdisk *d, const char *text)
{
	size_t size;
	const unsigned char *p = simdisk_file(d, SEG1, &size), *at = memmem(p, size, text, strlen(text));

	if (!at)
		bail("%s is not in the segment", text);
	return (size_t)(at - p);
}

static void damage_value(struct simdisk *d, const char *key)
{
	size_t size, at = find_text(d, key);

	simdisk_file(d, SEG1, &size)[at + strlen(key) + 3] ^= 0x20;
}

static void test_lost_value(void)
{
	struct offline_report report;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct sample m;
	struct fx f;

	make(&m, true);
	damage_value(m.disk, "key4");
	is_int(offline_verify(simdisk_io(m.disk), "sim", see, &seen, &report, &e), 0, "a damaged store is read through");
	ok(report.damaged == 1 && seen.n == 1 && seen.last.kind == OFFLINE_VALUE && strcmp(seen.key, "key4") == 0, "the damage is told with its key");
	fx_init(&f, m.disk);
	is_int(fx_open(&f), -EUCLEAN, "it does not open");
	is_int(offline_repair(simdisk_io(m.disk), "sim", see, &seen, &report, &e), 0, "it is repaired");
	ok(report.lost == 1 && report.gaps == 0, "one value is given up, and nothing else");
	simdisk_kill(m.disk);
	fx_must_open(&f);
	is_str(fx_get(&f, "key4"), "(3)", "its key answers CORRUPT");
	ok(strstr(store_problem(f.store), "damage") && strstr(store_problem(f.store), SEG1), "and says where the damage was");
	is_str(fx_get(&f, "shared"), "key7", "others have their values");
	fx_close(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "key4"), "(3)", "it stays so over a restart");
	is_int(fx_put(&f, "key4", "anew"), 0, "the key can be written");
	is_str(fx_get(&f, "key4"), "anew", "and is well again");
	fx_close(&f);
	is_int(offline_verify(simdisk_io(m.disk), "sim", see, &seen, &report, &e), 0, "the repaired store is read through");
	ok(report.damaged == 0 && report.lost == 1, "and has no damage");
	sample_free(&m);
	fx_close(&f);
}

static void test_deleted_lost(void)
{
	struct offline_report report;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct sample m;
	struct fx f;

	make(&m, true);
	damage_value(m.disk, "key4");
	offline_repair(simdisk_io(m.disk), "sim", see, &seen, &report, &e);
	simdisk_kill(m.disk);
	fx_init(&f, m.disk);
	fx_must_open(&f);
	is_int(fx_delete(&f, "key4"), 0, "a key whose value is lost can be deleted");
	is_str(fx_get(&f, "key4"), "(absent)", "and is gone");
	fx_close(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "key4"), "(absent)", "also after a restart");
	fx_close(&f);
	sample_free(&m);
}

static void test_whole(void)
{
	struct offline_report report;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct sample m;
	struct fx f;

	make(&m, true);
	struct simdisk *before = simdisk_copy(m.disk, 1);
	is_int(offline_repair(simdisk_io(m.disk), "sim", see, &seen, &report, &e), 0, "a store without damage is repaired, too");
	size_t n, k;
	const unsigned char *x = simdisk_file(before, SEG1, &n), *y = simdisk_file(m.disk, SEG1, &k);
	ok(n == k && memcmp(x, y, n) == 0 && seen.n == 0, "which leaves it as it is");
	simdisk_free(before);
	simdisk_kill(m.disk);
	is_int(offline_dump(simdisk_io(m.disk), "sim/" SEG1, see, &seen, &report, &e), 0, "its segment is listed");
	ok(seen.n == report.records && report.records == 16 && report.damaged == 0, "record by record");
	fx_init(&f, m.disk);
	fx_must_open(&f);
	is_int(offline_verify(simdisk_io(m.disk), "sim", see, &seen, &report, &e), -EBUSY, "a directory in use is refused");
	is_int(offline_repair(simdisk_io(m.disk), "sim", see, &seen, &report, &e), -EBUSY, "twice so for a repair");
	fx_close(&f);
	sample_free(&m);
	struct simdisk *none = simdisk_new(1);
	is_int(offline_verify(simdisk_io(none), "sim", see, &seen, &report, &e), -ENOENT, "an empty directory has no store");
	simdisk_free(none);
}

/* ---- whole files ---- */

static struct simdisk *three_segments(struct sample *m)
{
	struct fx f;
	char key[16];

	*m = (struct sample){ .disk = simdisk_new(5) };
	fx_init(&f, m->disk);
	fx_must_open(&f);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "key%02u", i % 40);
		if (fx_put_size(&f, key, (char)('a' + i % 26), 50000) || fx_wait(&f))
			bail("a write is not taken");
		struct buf now = { 0 };
		fx_dump(&f, &now);
		buf_append_slice(&m->all, buf_slice(&now));
		buf_free(&now);
	}
	fx_dump(&f, &m->last);
	fx_close(&f);
	simdisk_kill(m->disk);
	return m->disk;
}

static void repairs(const struct sample *m, struct simdisk *damaged, bool gaps, const char *what)
{
	struct offline_report report = { 0 };
	const char *why = judge_repaired(damaged, m, &report);

	ok(!why && (report.gaps > 0) == gaps, "%s: repaired%s%s", what, gaps ? ", with gaps" : "", why ? why : "");
	simdisk_free(damaged);
}

static void test_files(void)
{
	struct sample m;
	struct simdisk *d;
	size_t size;

	three_segments(&m);
	d = simdisk_copy(m.disk, 1);
	simdisk_remove(d, "CATALOG");
	repairs(&m, d, false, "no catalog");
	d = simdisk_copy(m.disk, 1);
	simdisk_resize(d, "CATALOG", 0);
	repairs(&m, d, false, "an empty catalog");
	d = simdisk_copy(m.disk, 1);
	simdisk_remove(d, "0000000002.seg");
	repairs(&m, d, true, "a missing segment");
	d = simdisk_copy(m.disk, 1);
	simdisk_resize(d, "0000000002.seg", 70001);
	repairs(&m, d, true, "a segment cut short");
	d = simdisk_copy(m.disk, 1);
	simdisk_resize(d, "0000000002.seg", 0);
	repairs(&m, d, true, "an emptied segment");
	d = simdisk_copy(m.disk, 1);
	simdisk_file(d, "0000000003.seg", &size);
	simdisk_resize(d, "0000000003.seg", size - 1000);
	repairs(&m, d, true, "the active segment cut short after a clean stop");
	d = simdisk_copy(m.disk, 1);
	memset(simdisk_file(d, "0000000001.seg", &size), 0, 64);
	repairs(&m, d, false, "a segment without its header");
	d = simdisk_copy(m.disk, 1);
	memset(simdisk_file(d, "0000000001.seg", &size) + 100000, 0xa5, 200000);
	repairs(&m, d, true, "a damaged stretch over several records");
	sample_free(&m);
}

/* An old copy of the catalog says nothing of what came later, and a start refuses it. */
static void test_old_catalog(void)
{
	struct offline_report report = { 0 };
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct sample m;
	struct fx f;
	size_t size, n;

	three_segments(&m);
	unsigned char *old = malloc(4096);
	const unsigned char *p = simdisk_file(m.disk, "CATALOG", &size);
	memcpy(old, p, size);
	fx_init(&f, m.disk);
	fx_must_open(&f);
	fx_put(&f, "key01", "one more");
	fx_wait(&f);
	fx_dump(&f, &m.last);
	fx_close(&f);
	simdisk_kill(m.disk);
	struct simdisk *d = simdisk_copy(m.disk, 1);
	simdisk_write(d, "CATALOG", old, size);
	is_int(offline_verify(simdisk_io(d), "sim", see, &seen, &report, &e), 0, "a store with the catalog of the stop before is looked at");
	ok(report.damaged == 1 && strcmp(seen.last.file, "CATALOG") == 0, "and verify says so");
	repairs(&m, d, false, "the catalog of the stop before");
	fx_must_open(&f);
	for (unsigned i = 0; i < 30; i++)
		fx_put_size(&f, "large", 'l', 60000);
	fx_wait(&f);
	fx_dump(&f, &m.last);
	fx_close(&f);
	simdisk_kill(m.disk);
	d = simdisk_copy(m.disk, 1);
	simdisk_write(d, "CATALOG", old, size);
	repairs(&m, d, false, "a catalog from before the last segment");
	d = simdisk_copy(m.disk, 1);
	p = simdisk_file(d, "0000000002.seg", &n);
	unsigned char *copy = malloc(n);
	memcpy(copy, p, n);
	simdisk_write(d, "0000000009.seg", copy, n);
	is_int(offline_repair(simdisk_io(d), "sim", see, &seen, &report, &e), -EUCLEAN, "a copy of a segment under a new number is not taken for one");
	ok(strstr(e.text, "0000000009.seg: is segment 2 ") && strstr(e.text, "take it away"), "and told: %s", e.text);
	simdisk_free(d);
	free(copy);
	free(old);
	sample_free(&m);
}

static void test_refused(void)
{
	struct offline_report report;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct sample m;
	size_t n;

	three_segments(&m);
	const unsigned char *p = simdisk_file(m.disk, "0000000001.seg", &n);
	unsigned char *copy = malloc(n);
	memcpy(copy, p, n);
	simdisk_write(m.disk, "0000000002.seg", copy, n);
	is_int(offline_repair(simdisk_io(m.disk), "sim", see, &seen, &report, &e), -EUCLEAN, "a segment under another's name is not given up");
	ok(strstr(e.text, "0000000002.seg") && strstr(e.text, "is segment 1 "), "and told: %s", e.text);
	free(copy);
	sample_free(&m);
}

/* A value made of headers, each at its own place and claiming all that is behind it: to believe each until it is summed up would take for ever. */
static void test_hostile_value(void)
{
	struct offline_report report;
	struct error e = { 0 };
	struct seen seen = { 0 };
	struct fx f;
	size_t size, len = (size_t)2 << 20;
	char *value = calloc(1, len);

	fx_init(&f, simdisk_new(1));
	f.options.segment_size = (uint64_t)8 << 20;
	fx_must_open(&f);
	fx_put(&f, "good", "one");
	fx_wait(&f);
	uint64_t begin = store_position(f.store) + RECORD_HEADER + 8; /* of the value, behind a key of eight bytes */
	for (size_t at = 0; at + 32 <= len; at += 32) {
		struct record r = { .type = RECORD_PUT, .position = begin + at, .expire_wall_ms = RECORD_NEVER };
		char head[RECORD_HEADER];
		record_encode(head, &r, 0);
		memcpy(value + at, head, sizeof(head));
		put_le32(value + at + 12, (uint32_t)(len - at) / 2);
	}
	if (fx_put_in(&f, 0, SLICE("hostile!"), slice(value, len), STORE_NO_EXPIRY))
		bail("not taken");
	fx_wait(&f);
	fx_kill(&f);
	unsigned char *p = simdisk_file(f.disk, SEG1, &size);
	p[begin + len - 1] ^= 1;
	is_int(fx_open(&f), -EUCLEAN, "a torn value full of headers is refused, soon");
	ok(strstr(f.error.text, "looks like records") != NULL, "with the reason: %s", f.error.text);
	is_int(offline_repair(simdisk_io(f.disk), "sim", see, &seen, &report, &e), 0, "a repair cuts it off");
	ok(seen.n == 1 && seen.last.offset == begin - RECORD_HEADER - 8, "and says so");
	simdisk_kill(f.disk);
	fx_must_open(&f);
	is_str(fx_get(&f, "good"), "one", "what was before it is there");
	is_str(fx_get(&f, "hostile!"), "(absent)", "and it is not");
	free(value);
	fx_done(&f);
}

int main(void)
{
	test_hostile_value();
	test_whole();
	test_lost_value();
	test_deleted_lost();
	test_bytes();
	test_files();
	test_old_catalog();
	test_refused();
	return done();
}
