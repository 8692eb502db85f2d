/* SPDX-License-Identifier: MIT
 * The main of a fuzz target without a fuzzer: each file of the corpus is an input, and a regression test.
 */
#include "fuzz/fuzz_replay.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "tap.h"

static int read_whole(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		return -errno;
	while (buf_reserve(ret, 65536) == 0) {
		size_t n = fread(ret->ptr + ret->len, 1, 65536, f);
		if (n == 0)
			break;
		ret->len += n;
	}
	int error = ferror(f) ? -EIO : ret->failed ? -ENOMEM : 0;
	fclose(f);
	return error;
}

/* Memory of exactly the input's size, so that a sanitizer sees the first byte read too far. */
static void replay_bytes(struct slice input)
{
	uint8_t *copy = malloc(input.len ? input.len : 1);

	if (!copy)
		bail("out of memory");
	if (input.len)
		memcpy(copy, input.ptr, input.len);
	LLVMFuzzerTestOneInput(copy, input.len);
	free(copy);
}

static void replay_file(const char *path, const char *name)
{
	struct buf input = { 0 };

	int error = read_whole(path, &input);
	if (error) {
		ok(false, "%s can be read", name);
		diag("%s: %s", path, strerror(-error));
	} else {
		diag("%s", name); /* the last line when the input makes the target abort */
		replay_bytes(buf_slice(&input));
		ok(true, "%s finds nothing", name);
	}
	buf_free(&input);
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void replay_corpus(const char *folder)
{
	struct dirent **entries;

	int n = scandir(folder, &entries, is_visible, alphasort);
	if (n < 0)
		bail("%s: %s", folder, strerror(errno));
	ok(n > 0, "the corpus %s is not empty", fuzz_corpus);
	for (int i = 0; i < n; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		replay_file(path, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	char folder[2048];

	for (int i = 1; i < argc; i++)
		replay_file(argv[i], argv[i]);
	if (argc == 1) {
		snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", top ? top : ".", fuzz_corpus);
		replay_corpus(folder);
	}
	return done();
}
