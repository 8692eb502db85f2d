/* SPDX-License-Identifier: MIT
 *
 * The first steps with libkvdstore: open a store, write a key, read it, delete it, close.
 *
 *   cc -o basic basic.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/mystore && ./basic /tmp/mystore
 */
#include <kvdstore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct kvdstore *store;
	char message[256];
	void *value;
	size_t length;
	int64_t ttl_ms;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	/* NULL: the usual options, and a new store when the directory has none. */
	if (kvdstore_open(argv[1], NULL, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}

	/* When this returns 0, the value is on disk: neither a crash nor a power cut takes it back. */
	if (kvdstore_put(store, 0, "greeting", 8, "hello", 5, 0) != 0) {
		fprintf(stderr, "put: %s\n", kvdstore_message(store));
		kvdstore_close(store);
		return 1;
	}

	/* Three outcomes: there it is, there is none, or something is wrong. */
	int result = kvdstore_get(store, 0, "greeting", 8, &value, &length);
	if (result == 0) {
		printf("greeting: %.*s (%zu bytes)\n", (int)length, (char *)value, length);
		free(value); /* the value is ours */
	} else if (result == KVDSTORE_ABSENT) {
		printf("there is no greeting\n");
	} else {
		fprintf(stderr, "get: %s\n", kvdstore_message(store));
	}

	/* A key that goes by itself after an hour. */
	kvdstore_put(store, 0, "session", 7, "abc", 3, 3600 * 1000);
	if (kvdstore_exists(store, 0, "session", 7, &ttl_ms) == 0)
		printf("session: less than an hour to live: %s\n", ttl_ms > 0 && ttl_ms <= 3600 * 1000 ? "yes" : "no");

	if (kvdstore_delete(store, 0, "greeting", 8) == 0)
		printf("greeting: deleted\n");
	if (kvdstore_delete(store, 0, "greeting", 8) == KVDSTORE_ABSENT)
		printf("greeting: there was nothing left to delete\n");

	if (kvdstore_close(store) != 0) {
		fprintf(stderr, "the last writes could not be synced\n");
		return 1;
	}
	return 0;
}
