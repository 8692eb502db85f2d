/* SPDX-License-Identifier: MIT
 *
 * What stays when a program ends: the store is closed and opened anew, and a process that is killed in the middle of its work has lost
 * nothing it was told to be written.
 *
 *   cc -o persistence persistence.c $(pkg-config --cflags --libs kvdstore)
 *   mkdir /tmp/runs && ./persistence /tmp/runs
 */
#include <kvdstore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kvdstore *open_store(const char *directory)
{
	struct kvdstore *store;
	char message[256];

	if (kvdstore_open(directory, NULL, &store, message, sizeof(message)) < 0) {
		fprintf(stderr, "%s\n", message);
		exit(1);
	}
	return store;
}

/* How often this program has been run on the store. */
static void count_run(struct kvdstore *store)
{
	void *value;
	size_t length;
	char text[32];
	long runs = 0;

	if (kvdstore_get(store, 0, "runs", 4, &value, &length) == 0) {
		runs = strtol(value, NULL, 10); /* a NUL follows the value */
		free(value);
	}
	int n = snprintf(text, sizeof(text), "%ld", runs + 1);
	kvdstore_put(store, 0, "runs", 4, text, (size_t)n, 0);
	printf("run %ld of this store\n", runs + 1);
}

/* A process that writes until it is killed, and tells the other one after each write. */
static void write_until_killed(const char *directory, int tell)
{
	struct kvdstore *store = open_store(directory);
	char key[32];

	for (unsigned i = 0; i < 100; i++) {
		int n = snprintf(key, sizeof(key), "entry:%03u", i);
		if (kvdstore_put(store, 0, key, (size_t)n, "written", 7, 0) != 0 || write(tell, "w", 1) != 1)
			_exit(1);
	}
	raise(SIGKILL); /* no kvdstore_close, no warning */
}

int main(int argc, char **argv)
{
	struct kvdstore_range entries = { .prefix = "entry:", .prefix_len = 6 };
	uint64_t found = 0;
	int tell[2];
	char told[200];

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	struct kvdstore *store = open_store(argv[1]);
	count_run(store);
	if (kvdstore_close(store) != 0)
		return 1;

	/* One process at a time owns a store, so the other one opens it when this one has closed it. */
	if (pipe(tell) < 0)
		return 1;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		write_until_killed(argv[1], tell[1]);
	close(tell[1]);
	size_t written = 0;
	for (ssize_t n; (n = read(tell[0], told, sizeof(told))) > 0;)
		written += (size_t)n;
	waitpid(child, NULL, 0);

	store = open_store(argv[1]);
	if (kvdstore_count(store, 0, &entries, &found) != 0)
		return 1;
	printf("a process was told of %zu writes and killed: %llu are there\n", written, (unsigned long long)found);
	return kvdstore_close(store) == 0 && found == written ? 0 : 1;
}
