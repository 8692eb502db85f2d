/* SPDX-License-Identifier: MIT
 *
 * Heads of archives: what is written is read back, what others write is read, what is no head is refused.
 */
#include <errno.h>
#include "base/tar.h"
#include "tap.h"

static void test_small(void)
{
	struct tar_entry in = { .name = "one/0000000001.seg", .type = TAR_FILE, .size = 12345, .mode = 0600, .mtime = 1700000000 }, out;
	char head[TAR_HEAD_MAX], again[TAR_HEAD_MAX];

	is_int((int64_t)tar_encode(head, &in), TAR_BLOCK, "a file has a head of one block");
	tar_encode(again, &in);
	ok(memcmp(head, again, TAR_BLOCK) == 0, "always the same");
	is_int(tar_decode(head, &out), 0, "it is read back");
	ok(strcmp(out.name, in.name) == 0 && out.type == TAR_FILE && out.size == in.size && out.mode == in.mode && out.mtime == in.mtime,
		"as it was");
	is_int((int64_t)tar_padding(12345), 455, "content is filled up to whole blocks");
	is_int((int64_t)tar_padding(1024), 0, "unless it is whole");
	unsigned missed = 0;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		head[i] ^= 1;
		missed += tar_decode(head, &out) == 0;
		head[i] ^= 1;
	}
	/* The sum ends in a NUL and a blank that nobody reads. */
	ok(missed <= 2, "a changed byte is found (%u are not)", missed);
	memset(head, 0, sizeof(head));
	is_int(tar_decode(head, &out), TAR_END, "zeros are the end");
	memset(head, 'x', sizeof(head));
	is_int(tar_decode(head, &out), -EUCLEAN, "other bytes are no head");
}

static void test_large(void)
{
	struct tar_entry in = { .name = "one/1.seg", .type = TAR_FILE, .size = UINT64_C(1) << 34, .mode = 0600 }, pax, out;
	char head[TAR_HEAD_MAX];

	is_int((int64_t)tar_encode(head, &in), TAR_HEAD_MAX, "a file of 16 GiB has a pax head");
	ok(tar_decode(head, &pax) == 0 && pax.type == TAR_PAX && pax.size < TAR_BLOCK, "which comes first");
	ok(tar_decode(head + 2 * TAR_BLOCK, &out) == 0 && out.type == TAR_FILE, "then its own");
	is_int(tar_apply_pax(slice(head + TAR_BLOCK, (size_t)pax.size), &out), 0, "one applied to the other");
	ok(out.size == in.size && strcmp(out.name, in.name) == 0, "gives the size");
	in.size = UINT64_C(077777777777);
	is_int((int64_t)tar_encode(head, &in), TAR_BLOCK, "a byte less than 8 GiB needs none");
}

static void test_foreign(void)
{
	static const char *const bad[] = { "9", "9 ", "99 size=1\n", "5 size\n", "0 a=b\n", "10 size=x12", "11 size=x12\n", "-1 a=b\n" };
	struct tar_entry e = { .size = 5 };
	unsigned taken = 0;

	is_int(tar_apply_pax(SLICE("20 atime=1234567890\n12 path=a/b\n9 size=7\n"), &e), 0, "other tools say more");
	ok(e.size == 7 && strcmp(e.name, "a/b") == 0, "and what matters is taken");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		taken += tar_apply_pax(slice_str(bad[i]), &e) == 0;
	is_int(taken, 0, "nonsense is refused");
}

int main(void)
{
	test_small();
	test_large();
	test_foreign();
	return done();
}
