/* SPDX-License-Identifier: MIT
 *
 * Many writes quickly: batches share a sync among their writes, and with KVDSTORE_NEVER nothing waits for the disk until kvdstore_sync.
 * Then what the store says of itself.
 *
 *   cc -o large large.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/large && ./large /tmp/large 100000
 */
#include <kvdstore.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 1000

static int write_batch(struct kvdstore *store, unsigned first, unsigned end)
{
	struct kvdstore_batch *batch = kvdstore_batch_new(store);
	char key[32], value[64];

	if (!batch)
		return -1;
	for (unsigned i = first; i < end; i++) {
		int key_length = snprintf(key, sizeof(key), "sensor:%08u", i);
		int length = snprintf(value, sizeof(value), "reading number %u", i);
		if (kvdstore_batch_put(batch, 0, key, (size_t)key_length, value, (size_t)length, 0)) {
			kvdstore_batch_abort(batch);
			return -1;
		}
	}
	return kvdstore_batch_commit(batch);
}

int main(int argc, char **argv)
{
	struct kvdstore_options options = {
		.size = sizeof(options), /* so that a later library knows which fields this program has */
		.flags = KVDSTORE_CREATE,
		.durability = KVDSTORE_NEVER,
		.segment_size = 16 << 20,
		.cache_size = 8 << 20,
	};
	struct kvdstore_stats stats = { .size = sizeof(stats) };
	struct kvdstore *store;
	char message[256];

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY [NUMBER]\n", argv[0]);
		return 2;
	}
	unsigned total = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;
	if (kvdstore_open(argv[1], &options, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}
	int result = 0;
	for (unsigned i = 0; i < total && result == 0; i += BATCH)
		result = write_batch(store, i, i + BATCH < total ? i + BATCH : total);
	/* From here on all of it is on disk. */
	if (result == 0)
		result = kvdstore_sync(store);
	if (result != 0)
		fprintf(stderr, "%s\n", kvdstore_message(store));
	if (kvdstore_stats(store, &stats) == 0)
		printf("%" PRIu64 " keys, %" PRIu64 " of %" PRIu64 " bytes in use, %" PRIu64 " bytes of memory for the index\n", stats.keys,
			stats.live_bytes, stats.log_bytes, stats.index_bytes);
	return kvdstore_close(store) == 0 && result == 0 ? 0 : 1;
}
