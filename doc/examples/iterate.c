/* SPDX-License-Identifier: MIT
 *
 * Keys are kept in order, so names that begin alike stand together: all keys of one host, upwards and downwards, and their removal
 * while the iteration goes on.
 *
 *   cc -o iterate iterate.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/hosts && ./iterate /tmp/hosts
 */
#include <kvdstore.h>
#include <stdio.h>
#include <string.h>

static void print_all(struct kvdstore *store, const char *prefix, int downwards)
{
	struct kvdstore_range range = { .prefix = prefix, .prefix_len = strlen(prefix) };
	struct kvdstore_iter *iter;
	const void *key;
	size_t length;

	if (kvdstore_iter_new(store, 0, &range, downwards, &iter) != 0)
		return;
	printf("%s%s:", *prefix ? prefix : "(all)", downwards ? ", downwards" : "");
	/* The key is the iterator's own, valid until its next step. */
	while (kvdstore_iter_next(iter, &key, &length) == 0)
		printf(" %.*s", (int)length, (const char *)key);
	printf("\n");
	kvdstore_iter_free(iter);
}

static void remove_all(struct kvdstore *store, const char *prefix)
{
	struct kvdstore_range range = { .prefix = prefix, .prefix_len = strlen(prefix) };
	struct kvdstore_iter *iter;
	const void *key;
	size_t length;

	if (kvdstore_iter_new(store, 0, &range, 0, &iter) != 0)
		return;
	/* An iteration shows the keys as they were when it was made, whatever is written meanwhile. (kvdstore_delete_range does all of this at once.) */
	while (kvdstore_iter_next(iter, &key, &length) == 0)
		kvdstore_delete(store, 0, key, length);
	kvdstore_iter_free(iter);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "host:web:port", "host:db:port", "host:web:addr", "user:anna", "host:db:addr" };
	struct kvdstore *store;
	char message[256];

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	if (kvdstore_open(argv[1], NULL, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		kvdstore_put(store, 0, names[i], strlen(names[i]), "x", 1, 0);
	print_all(store, "", 0);
	print_all(store, "host:web:", 0);
	print_all(store, "host:", 1);
	remove_all(store, "host:");
	print_all(store, "", 0);
	return kvdstore_close(store) == 0 ? 0 : 1;
}
