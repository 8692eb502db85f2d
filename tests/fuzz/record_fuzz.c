/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a crash or a bad disk left: behind a valid segment header, or as the catalog. The store opens or says why not; it does not
 * crash, hang or take memory the bytes only claim to need (run with -malloc_limit_mb=32). What the first opening leaves, the second finds
 * alike, and a write goes on from there. A refusal changes no file.
 *
 * The first byte chooses: 1: the rest is the catalog; 2: checksums (and positions) are made right first, so that what is behind them is
 * reached; 4: the catalog has the mark of a clean stop.
 */
#include "fuzz/fuzz_replay.h"

#include "../unit/store_fixture.h"
#include "base/bytes.h"
#include "base/crc.h"
#include "store/catalog.h"
#include "store/record.h"
#include "store/segment.h"

const char fuzz_corpus[] = "record";

#define STORE_ID UINT64_C(0x0123456789abcdef)
#define MAX_INPUT 65536

enum { MODE_CATALOG = 1, MODE_REPAIR = 2, MODE_CLEAN = 4 };

static void fault(const struct fx *f, const char *what)
{
	fprintf(stderr, "%s (%s)\n", what, f->error.text);
	abort();
}

/* Makes a run of valid records of the bytes, as far as their types are not 0. */
static void repair_records(char *data, size_t len)
{
	uint32_t seed = record_segment_seed(STORE_ID, 1);

	for (size_t at = 0; len - at >= RECORD_HEADER + 8 && data[at + 4];) {
		char *p = data + at;
		bool expires = p[5] & RECORD_EXPIRES;
		size_t head = RECORD_HEADER + (expires ? 8 : 0), room = len - at - head;
		uint32_t key = get_le32(p + 8) % 64, value = get_le32(p + 12) % 4096;
		key = key <= room ? key : (uint32_t)room;
		value = value <= room - key ? value : (uint32_t)(room - key);
		put_le32(p + 8, key);
		put_le32(p + 12, value);
		put_le64(p + 16, SEGMENT_HEADER + at);
		put_le32(p, crc_update(record_bind(seed, SEGMENT_HEADER + at), p + 4, head + key + value - 4));
		uint64_t size = record_size(key, value, expires);
		if (size > len - at)
			break;
		at += size;
	}
}

static void make_segment(struct simdisk *d, unsigned mode, const uint8_t *data, size_t size)
{
	struct segment g = { .number = 1, .first = SEGMENT_HEADER };
	struct catalog_segment in = { .number = 1, .first = SEGMENT_HEADER };
	struct catalog c = { .store_id = STORE_ID, .next = 2, .clean = mode & MODE_CLEAN, .clean_size = SEGMENT_HEADER + size, .count = 1, .segment = &in };
	struct io *io = simdisk_io(d);
	char *all = malloc(SEGMENT_HEADER + size);
	size_t head;
	int fd, dir = io->open_dir(io, "sim");

	if (segment_create(io, dir, &g, STORE_ID, 0, &fd) || io->close(io, fd) || catalog_write(io, dir, &c))
		abort();
	memcpy(all, simdisk_file(d, SEG1, &head), SEGMENT_HEADER);
	if (size)
		memcpy(all + SEGMENT_HEADER, data, size);
	if (mode & MODE_REPAIR)
		repair_records(all + SEGMENT_HEADER, size);
	simdisk_write(d, SEG1, all, SEGMENT_HEADER + size);
	free(all);
	io->close(io, dir);
}

static void make_catalog(struct simdisk *d, unsigned mode, const uint8_t *data, size_t size)
{
	static const char line[] = "crc32 ";
	char *text = malloc(size + 32);

	/* Some records for it to name. */
	static const uint8_t put[48] = { [4] = RECORD_PUT, [5] = RECORD_COMMIT, [8] = 4, [12] = 4, [32] = 'n', 'a', 'm', 'e', 'd', 'a', 't', 'a' };
	make_segment(d, MODE_REPAIR, put, sizeof(put));
	memcpy(text, data, size);
	if (mode & MODE_REPAIR) {
		char *at = memmem(text, size, line, strlen(line));
		size_t covered = at ? (size_t)(at - text) : size;
		size = covered + (size_t)sprintf(text + covered, "crc32 %08x\n", crc_update(0, text, covered));
	}
	simdisk_write(d, CATALOG_NAME, text, size);
	free(text);
}

static bool same_file(struct simdisk *a, struct simdisk *b, const char *name)
{
	size_t n = 0, k = 0;
	const unsigned char *x = simdisk_file(a, name, &n), *y = simdisk_file(b, name, &k);

	return !x == !y && n == k && (n == 0 || memcmp(x, y, n) == 0);
}

/* Refused: the reason is there, it is the same again, and the files are as they were. */
static void check_refusal(struct fx *f, struct simdisk *before, int r)
{
	if ((r != -EUCLEAN && r != -EPROTONOSUPPORT) ||
		!(strstr(f->error.text, ".seg") || strstr(f->error.text, CATALOG_NAME)))
		fault(f, "a refusal without a file, or for no good reason");
	if (fx_open(f) != r)
		fault(f, "the second opening answers differently");
	if (!same_file(f->disk, before, SEG1) || !same_file(f->disk, before, CATALOG_NAME))
		fault(f, "a refusal changed a file");
}

static void check_opened(struct fx *f)
{
	struct buf first = { 0 };

	fx_dump(f, &first);
	fx_kill(f);
	if (fx_open(f))
		fault(f, "the second opening fails");
	if (!fx_holds(f, &first))
		fault(f, "the second opening finds something else");
	if (fx_count(f, STORE_EVENT_TAIL_CUT, NULL))
		fault(f, "the second opening cuts again");
	if (fx_put_in(f, 3, SLICE("new"), SLICE("word"), STORE_NO_EXPIRY) || fx_wait(f))
		fault(f, "no write is taken");
	fx_dump(f, &first);
	if (fx_close(f) || fx_open(f) || !fx_holds(f, &first))
		fault(f, "the write does not go on from what was left");
	if (strcmp(fx_get_in(f, 3, "new"), "word") != 0)
		fault(f, "the write is lost");
	buf_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > MAX_INPUT)
		return 0;
	struct simdisk *d = simdisk_new(1);
	struct fx f;

	if (data[0] & MODE_CATALOG)
		make_catalog(d, data[0], data + 1, size - 1);
	else
		make_segment(d, data[0], data + 1, size - 1);
	struct simdisk *before = simdisk_copy(d, 1);
	fx_init(&f, d);
	int r = fx_open(&f);
	if (r)
		check_refusal(&f, before, r);
	else
		check_opened(&f);
	fx_done(&f);
	simdisk_free(before);
	return 0;
}
