/* SPDX-License-Identifier: MIT
 *
 * Upkeep beside a program's own work: a loop that writes the same keys over and over, and lets the library tidy up whenever that has something to
 * do. So the store stays small, keys that have expired go, and the next opening is fast, without a call that waits.
 *
 *   cc -o upkeep upkeep.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/upkeep && ./upkeep /tmp/upkeep
 */
#include <kvdstore.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEYS 1000
#define ROUNDS 40

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* The program's own work: all keys once. */
static int write_all(struct kvdstore *store, int round)
{
	struct kvdstore_batch *batch = kvdstore_batch_new(store);
	char key[32], value[500];
	int result = batch ? 0 : -1;

	memset(value, 'a' + round % 26, sizeof(value));
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

int main(int argc, char **argv)
{
	struct kvdstore_options options = { .size = sizeof(options), .flags = KVDSTORE_CREATE, .segment_size = 1 << 20, .compact_min = 1 << 20 };
	struct kvdstore_stats stats = { .size = sizeof(stats) };
	struct kvdstore *store;
	char message[256];
	uint32_t again = 0;
	long long due = 0;
	int result = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	if (kvdstore_open(argv[1], &options, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}
	/* A loop with work to do now and then; a timer or the timeout of poll() serves as well. */
	for (int round = 0; result == 0 && round < ROUNDS; round++) {
		result = write_all(store, round);
		if (result != 0 || now_ms() < due)
			continue;
		result = kvdstore_maintain(store, &again);
		due = now_ms() + again;
	}
	/* Nothing to do but upkeep, until that has come to rest. */
	for (again = 0; result == 0 && again < 1000;) {
		result = kvdstore_maintain(store, &again);
		if (again < 1000)
			poll(NULL, 0, (int)again);
	}
	if (result == 0)
		result = kvdstore_stats(store, &stats);
	if (result != 0)
		fprintf(stderr, "%s\n", kvdstore_message(store));
	else
		printf("%d MB were written, and the log is %s a fifth of that\n", ROUNDS * KEYS * 500 / 1000000,
			stats.log_bytes < (uint64_t)ROUNDS * KEYS * 100 ? "less than" : "more than");
	return kvdstore_close(store) == 0 && result == 0 ? 0 : 1;
}
