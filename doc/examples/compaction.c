/* SPDX-License-Identifier: MIT
 *
 * A store only appends, so what is overwritten or deleted takes space until it is compacted: fills one, changes most of it, and gives the
 * space back. A program that writes much does this now and then, for example when garbage_bytes is half of log_bytes.
 *
 *   cc -o compaction compaction.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/compaction && ./compaction /tmp/compaction
 */
#include <kvdstore.h>
#include <stdio.h>
#include <string.h>

#define KEYS 2000

/* All keys once, in one batch: one wait for the disk. */
static int write_all(struct kvdstore *store, char letter)
{
	struct kvdstore_batch *batch = kvdstore_batch_new(store);
	char key[32], value[500];
	int result = batch ? 0 : -1;

	memset(value, letter, sizeof(value));
	for (int i = 0; i < KEYS && result == 0; i++) {
		int n = snprintf(key, sizeof(key), "key:%05d", i);
		result = kvdstore_batch_put(batch, 0, key, (size_t)n, value, sizeof(value), 0);
	}
	if (result != 0) {
		kvdstore_batch_abort(batch);
		return result;
	}
	return kvdstore_batch_commit(batch);
}

static unsigned long long log_bytes(struct kvdstore *store)
{
	struct kvdstore_stats stats = { .size = sizeof(stats) };

	return kvdstore_stats(store, &stats) == 0 ? (unsigned long long)stats.log_bytes : 0;
}

int main(int argc, char **argv)
{
	struct kvdstore_range most = { .from = "key:00500", .from_len = 9 };
	struct kvdstore *store;
	char message[256];
	uint64_t deleted, saved, left;
	int result = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	if (kvdstore_open(argv[1], NULL, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}
	for (char letter = 'a'; letter < 'e' && result == 0; letter++)
		result = write_all(store, letter);
	if (result == 0)
		result = kvdstore_delete_range(store, 0, &most, &deleted);
	unsigned long long before = log_bytes(store);
	/* Waits until it is done. Everything can be read as before; what it needs is space for the copies. */
	if (result == 0)
		result = kvdstore_compact(store, 0, &saved);
	if (result == 0)
		result = kvdstore_count(store, 0, NULL, &left);
	if (result != 0)
		fprintf(stderr, "%s\n", kvdstore_message(store));
	else
		printf("%d keys were written 4 times and %llu deleted: %llu are left, and a compaction makes the log %llu times smaller\n", KEYS,
			(unsigned long long)deleted, (unsigned long long)left, before / log_bytes(store));
	return kvdstore_close(store) == 0 && result == 0 ? 0 : 1;
}
