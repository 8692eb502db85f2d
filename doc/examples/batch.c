/* SPDX-License-Identifier: MIT
 *
 * Several writes as one, on a condition: moves an amount between two accounts. Whatever happens meanwhile, no money appears or disappears, and
 * an account that somebody has closed is not paid into.
 *
 *   cc -o batch batch.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/bank && ./batch /tmp/bank
 */
#include <kvdstore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An account that was never written has nothing. -1: it could not be read. */
static long read_account(struct kvdstore *store, const char *name)
{
	void *value;
	size_t length;
	int result = kvdstore_get(store, 0, name, strlen(name), &value, &length);

	if (result == KVDSTORE_ABSENT)
		return 0;
	if (result != 0) {
		fprintf(stderr, "%s: %s\n", name, kvdstore_message(store));
		return -1;
	}
	long amount = strtol(value, NULL, 10); /* a NUL follows every value */
	free(value);
	return amount;
}

static int add_account(struct kvdstore_batch *batch, const char *name, long amount)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld", amount);

	/* Key and value are copied; text may go. */
	return kvdstore_batch_put(batch, 0, name, strlen(name), text, (size_t)length, 0);
}

static int transfer(struct kvdstore *store, const char *from, const char *to, long amount)
{
	long has = read_account(store, from), other = read_account(store, to);

	if (has < 0 || other < 0)
		return -1;
	struct kvdstore_batch *batch = kvdstore_batch_new(store);
	if (!batch)
		return -1;
	struct kvdstore_if there = { .kind = KVDSTORE_IF_PRESENT };
	if (add_account(batch, from, has - amount) || add_account(batch, to, other + amount) ||
		kvdstore_batch_check(batch, 0, to, strlen(to), &there)) {
		kvdstore_batch_abort(batch); /* nothing was written */
		return -1;
	}
	/* Both writes or none, with one sync; none when the account is not there. The batch is gone after this, whatever it returns. */
	return kvdstore_batch_commit(batch);
}

int main(int argc, char **argv)
{
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
	kvdstore_put(store, 0, "alice", 5, "100", 3, 0);
	kvdstore_put(store, 0, "bob", 3, "20", 2, 0);
	int result = transfer(store, "alice", "bob", 30);
	if (result != 0)
		fprintf(stderr, "transfer: %s\n", kvdstore_message(store));
	if (transfer(store, "alice", "carol", 10) == KVDSTORE_CONDITION)
		printf("there is no carol\n");
	printf("alice %ld, bob %ld\n", read_account(store, "alice"), read_account(store, "bob"));
	return kvdstore_close(store) == 0 && result == 0 ? 0 : 1;
}
