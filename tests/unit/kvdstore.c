/* SPDX-License-Identifier: MIT
 * The interface for embedding, as a program sees it: through the shared library and its header only, on a real directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "store/kvdstore.h"
#include "tap.h"

static char dir[4096];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	if (*dir)
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dir(void)
{
	const char *base = getenv("TMPDIR");

	clean_up();
	snprintf(dir, sizeof(dir), "%s/kvdstore-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir))
		bail("no temporary directory: %s", strerror(errno));
}

static struct kvdstore *open_store(const struct kvdstore_options *o)
{
	struct kvdstore *s = NULL;
	char message[300];

	if (kvdstore_open(dir, o, &s, message, sizeof(message)))
		bail("open: %s", message);
	return s;
}

static int put(struct kvdstore *s, const char *key, const char *value)
{
	return kvdstore_put(s, 0, key, strlen(key), value, strlen(value), 0);
}

static const char *get(struct kvdstore *s, unsigned db, const char *key)
{
	static char text[200];
	void *value = NULL;
	size_t len = 0;
	int r = kvdstore_get(s, db, key, strlen(key), &value, &len);

	if (r)
		snprintf(text, sizeof(text), r == KVDSTORE_ABSENT ? "(absent)" : "(%d)", r);
	else
		snprintf(text, sizeof(text), "%s", (char *)value); /* the NUL that does not count */
	free(value);
	return text;
}

static void test_opening(void)
{
	struct kvdstore *s = NULL;
	char message[300] = "";
	struct kvdstore_options o = { .size = sizeof(o) };

	make_dir();
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), -ENOENT, "without KVDSTORE_CREATE no store is made");
	ok(strstr(message, dir), "the message names the directory: %s", message);
	is_int(kvdstore_open(dir, &o, &s, NULL, 0), -ENOENT, "no room for a message is fine");
	ok(s == NULL, "the handle is untouched");
	is_int(kvdstore_open("/nonexistent/kvdstore", NULL, &s, message, sizeof(message)), -ENOENT, "a directory that is missing");
	ok(strstr(message, "/nonexistent/kvdstore"), "is named: %s", message);
	is_int(kvdstore_open(dir, NULL, &s, message, 10), 0, "no options: it is created");
	is_int(put(s, "k", "v"), 0, "a write");
	pid_t child = fork();
	if (child == 0) {
		char text[300], pid[40];
		struct kvdstore *other = NULL;
		int r = kvdstore_open(dir, NULL, &other, text, sizeof(text));
		snprintf(pid, sizeof(pid), "%ld", (long)getppid());
		_exit(r == -EBUSY && strstr(text, pid) ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "another process gets -EBUSY and the owner's number");
	is_int(kvdstore_close(s), 0, "closed");
	is_int(kvdstore_close(NULL), 0, "closing nothing is possible");

	o.flags = KVDSTORE_READ_ONLY;
	s = open_store(&o);
	is_str(get(s, 0, "k"), "v", "read-only: what is there is read");
	is_int(put(s, "k", "w"), KVDSTORE_REFUSED, "a write is refused");
	ok(strstr(kvdstore_message(s), "read-only"), "and why: %s", kvdstore_message(s));
	is_int(kvdstore_close(s), 0, "closed");

	/* A program built against a shorter, older struct. */
	struct kvdstore_options older = { .size = offsetof(struct kvdstore_options, durability), .flags = KVDSTORE_CREATE, .databases = 2, .durability = 77 };
	s = open_store(&older);
	is_int(kvdstore_put(s, 1, "k", 1, "v", 1, 0), 0, "options of an older program are taken as far as they go");
	is_int(kvdstore_put(s, 2, "k", 1, "v", 1, 0), -EINVAL, "a database above the number is refused");
	ok(strstr(kvdstore_message(s), "database"), "and why: %s", kvdstore_message(s));
	kvdstore_close(s);
	o = (struct kvdstore_options){ .size = sizeof(o), .flags = KVDSTORE_CREATE, .segment_size = 5 };
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), -EINVAL, "options out of range are refused");
	ok(strstr(message, "segment size"), "and named: %s", message);
}

static void test_values(void)
{
	struct kvdstore *s;
	char *big = malloc(65537);
	void *value;
	size_t len;
	int64_t ttl = 0;

	make_dir();
	s = open_store(NULL);
	is_int(kvdstore_put(s, 0, "", 0, "", 0, 0), 0, "an empty key and value");
	is_int(kvdstore_get(s, 0, "", 0, &value, &len), 0, "are found");
	ok(len == 0 && *(char *)value == 0, "empty, and ended by a NUL");
	free(value);
	is_int(kvdstore_put(s, 0, NULL, 0, NULL, 0, 0), 0, "no bytes need no address");
	is_int(kvdstore_put(s, 0, "a\0b", 3, "x\0y", 3, 0), 0, "any bytes");
	is_int(kvdstore_get(s, 0, "a\0b", 3, &value, &len), 0, "are found");
	is_mem(value, len, "x\0y", 3, "as they were");
	free(value);
	is_int(kvdstore_get(s, 0, "a", 1, &value, &len), KVDSTORE_ABSENT, "a shorter key is another");
	memset(big, 'b', 65537);
	is_int(kvdstore_put(s, 0, big, 65536, "v", 1, 0), 0, "the largest key");
	is_int(kvdstore_put(s, 0, big, 65537, "v", 1, 0), -EMSGSIZE, "one larger is refused");
	ok(strstr(kvdstore_message(s), "65536"), "with the limit: %s", kvdstore_message(s));
	is_int(kvdstore_delete(s, 0, "missing", 7), KVDSTORE_ABSENT, "there is nothing to delete");
	is_int(kvdstore_delete(s, 0, big, 65536), 0, "a deletion");
	is_int(kvdstore_exists(s, 0, big, 65536, NULL), KVDSTORE_ABSENT, "is seen");
	is_int(kvdstore_put(s, 3, "short", 5, "v", 1, 50), 0, "a value that lives 50 ms");
	is_int(kvdstore_put(s, 3, "long", 4, "v", 1, UINT64_C(1) << 60), 0, "one that lives very long");
	ok(kvdstore_exists(s, 3, "long", 4, &ttl) == 0 && ttl > INT64_C(1000000000000), "has that time to live");
	is_int(kvdstore_put(s, 3, "plain", 5, "v", 1, 0), 0, "one without");
	ok(kvdstore_exists(s, 3, "plain", 5, &ttl) == 0 && ttl == -1, "has -1");
	struct timespec now, begun;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (kvdstore_exists(s, 3, "short", 5, &ttl) == 0 && ttl > 0 && ttl <= 50 && now.tv_sec - begun.tv_sec < 20);
	int64_t ms = (now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000;
	ok(kvdstore_exists(s, 3, "short", 5, NULL) == KVDSTORE_ABSENT && ms < 20000, "the short-lived one goes by itself");
	is_str(get(s, 3, "short"), "(absent)", "for every call");
	kvdstore_close(s);
	s = open_store(NULL);
	is_str(get(s, 3, "plain"), "v", "all of it is there after opening anew");
	is_str(get(s, 3, "short"), "(absent)", "but what is over");
	kvdstore_close(s);
	free(big);
}

/* What a call that returned 0 has written survives the process. */
static void test_durable(void)
{
	make_dir();
	pid_t child = fork();
	if (child == 0) {
		struct kvdstore *s = open_store(NULL);
		for (int i = 0; i < 200; i++) {
			char key[32];
			snprintf(key, sizeof(key), "k%d", i);
			if (put(s, key, key))
				_exit(1);
		}
		raise(SIGKILL);
	}
	int status;
	waitpid(child, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a process ends without closing");
	struct kvdstore *s = open_store(NULL);
	bool all = true;
	for (int i = 0; i < 200; i++) {
		char key[32];
		snprintf(key, sizeof(key), "k%d", i);
		all &= strcmp(get(s, 0, key), key) == 0;
	}
	ok(all, "and every write it was told of is there");
	kvdstore_close(s);
	for (int durability = KVDSTORE_INTERVAL; durability <= KVDSTORE_NEVER; durability++) {
		struct kvdstore_options o = { .size = sizeof(o), .durability = durability, .interval_ms = 5 };
		s = open_store(&o);
		is_int(put(s, "mode", "changed"), 0, "a write in another mode");
		is_str(get(s, 0, "mode"), "changed", "is seen");
		is_int(kvdstore_sync(s), 0, "can be synced");
		is_int(kvdstore_checkpoint(s), 0, "and be given a checkpoint");
		uint64_t saved = 0;
		for (int i = 0; i < 20; i++)
			put(s, "mode", "changed");
		is_int(kvdstore_compact(s, 1, &saved), 0, "and be compacted");
		ok(saved > 0, "which saves something");
		is_str(get(s, 0, "mode"), "changed", "and nothing that counts");
		is_int(put(s, "mode", "closed"), 0, "another one");
		is_int(kvdstore_close(s), 0, "and closed");
		s = open_store(NULL);
		is_str(get(s, 0, "mode"), "closed", "it is there");
		kvdstore_close(s);
	}
}

static void test_snapshots(void)
{
	struct kvdstore *s = open_store(NULL), *copy;
	char path[sizeof(dir) + 20];

	is_int(put(s, "of the snapshot", "1"), 0, "a write");
	is_int(kvdstore_snapshot(s, "one"), 0, "a snapshot is made");
	is_int(put(s, "of the snapshot", "2"), 0, "another write");
	is_int(kvdstore_snapshot(s, "one"), -EEXIST, "a name is given once");
	ok(strstr(kvdstore_message(s), "there is one of this name"), "and the message says so");
	is_int(kvdstore_snapshot(s, "../one"), -EINVAL, "a path is no name");
	is_int(kvdstore_snapshot(s, NULL), 0, "the time is one");
	snprintf(path, sizeof(path), "%s/snapshots/one", dir);
	is_int(kvdstore_open(path, NULL, &copy, NULL, 0), 0, "a snapshot is a store");
	is_str(get(copy, 0, "of the snapshot"), "1", "of its moment");
	is_str(get(s, 0, "of the snapshot"), "2", "and the store goes on");
	kvdstore_close(copy);
	kvdstore_close(s);
}

static void test_batches(void)
{
	struct kvdstore *s;
	struct kvdstore_batch *b;
	char key[32];

	make_dir();
	s = open_store(NULL);
	put(s, "old", "v");
	b = kvdstore_batch_new(s);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		if (kvdstore_batch_put(b, 0, key, strlen(key), key, strlen(key), 0))
			bail("no batch");
	}
	memset(key, '~', sizeof(key)); /* they were copied */
	is_int(kvdstore_batch_delete(b, 0, "old", 3), 0, "a batch of puts and a deletion");
	is_int(kvdstore_batch_delete(b, 0, "missing", 7), 0, "deleting what is missing is no failure");
	is_int(kvdstore_batch_put(b, 99, "k", 1, "v", 1, 0), -EINVAL, "a wrong database is refused, the rest stays");
	is_str(get(s, 0, "k5"), "(absent)", "nothing is there before the commit");
	is_int(kvdstore_batch_commit(b), 0, "committed");
	is_str(get(s, 0, "k999"), "k999", "the last is there");
	is_str(get(s, 0, "old"), "(absent)", "the deletion, too");
	b = kvdstore_batch_new(s);
	kvdstore_batch_put(b, 0, "k1", 2, "changed", 7, 0);
	kvdstore_batch_abort(b);
	is_str(get(s, 0, "k1"), "k1", "an aborted batch changes nothing");
	kvdstore_batch_abort(NULL);
	b = kvdstore_batch_new(s);
	char *big = calloc(1, 65537);
	kvdstore_batch_put(b, 0, "k1", 2, "changed", 7, 0);
	kvdstore_batch_put(b, 0, big, 65537, "v", 1, 0);
	is_int(kvdstore_batch_commit(b), -EMSGSIZE, "a batch with a key too long is refused");
	is_str(get(s, 0, "k1"), "k1", "as a whole");
	free(big);
	b = kvdstore_batch_new(s);
	is_int(kvdstore_batch_commit(b), 0, "an empty batch is possible");
	b = kvdstore_batch_new(s);
	is_int(kvdstore_batch_put(b, 0, NULL, 0, NULL, 0, 0), 0, "so are an empty key and value");
	is_int(kvdstore_batch_commit(b), 0, "in a batch of their own");
	b = kvdstore_batch_new(s);
	kvdstore_batch_put(b, 0, "twice", 5, "1", 1, 0);
	kvdstore_batch_put(b, 0, "twice", 5, "2", 1, 0);
	kvdstore_batch_put(b, 0, "gone", 4, "1", 1, 0);
	kvdstore_batch_delete(b, 0, "gone", 4);
	is_int(kvdstore_batch_commit(b), 0, "a key written twice");
	is_str(get(s, 0, "twice"), "2", "has its last value");
	is_str(get(s, 0, "gone"), "(absent)", "put and deleted, it is absent");
	kvdstore_close(s);
}

static void list(struct kvdstore *s, const void *prefix, size_t len, int reverse, char *out)
{
	struct kvdstore_iter *i = kvdstore_iter_new(s, 0, prefix, len, reverse);
	const void *key;
	size_t n, at = 0;
	int r;

	while ((r = kvdstore_iter_next(i, &key, &n)) == 0 && at < 150) {
		memcpy(out + at, key, n);
		out[at + n] = ' ';
		at += n + 1;
	}
	out[at] = 0;
	if (r != KVDSTORE_ABSENT || kvdstore_iter_next(i, &key, &n) != KVDSTORE_ABSENT)
		strcpy(out, "(no end)");
	kvdstore_iter_free(i);
}

static void test_iteration(void)
{
	struct kvdstore *s;
	char out[400];
	const void *key;
	size_t n;

	make_dir();
	s = open_store(NULL);
	static const char *const keys[] = { "", "a", "ab", "abc", "b", "ba", "\xfe", "\xff", "\xff\xff", "\xff\xff\x01" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		put(s, keys[i], "v");
	list(s, NULL, 0, 0, out);
	is_str(out, " a ab abc b ba \xfe \xff \xff\xff \xff\xff\x01 ", "all keys in bytewise order");
	list(s, "", 0, 1, out);
	is_str(out, "\xff\xff\x01 \xff\xff \xff \xfe ba b abc ab a  ", "and downwards, the empty key last");
	list(s, "a", 1, 0, out);
	is_str(out, "a ab abc ", "keys with a prefix");
	list(s, "ab", 2, 1, out);
	is_str(out, "abc ab ", "downwards");
	list(s, "\xff", 1, 0, out);
	is_str(out, "\xff \xff\xff \xff\xff\x01 ", "a prefix that can not be counted up");
	list(s, "\xff\xff", 2, 1, out);
	is_str(out, "\xff\xff\x01 \xff\xff ", "downwards");
	list(s, "c", 1, 0, out);
	is_str(out, "", "a prefix no key has");

	/* Changes between two steps. */
	struct kvdstore_iter *i = kvdstore_iter_new(s, 0, NULL, 0, 0);
	kvdstore_iter_next(i, &key, &n);
	kvdstore_iter_next(i, &key, &n);
	is_mem(key, n, "a", 1, "an iteration stands on a key");
	kvdstore_delete(s, 0, "a", 1);
	kvdstore_delete(s, 0, "ab", 2);
	put(s, "aa", "v");
	kvdstore_iter_next(i, &key, &n);
	is_mem(key, n, "aa", 2, "it goes on behind it, whatever was removed or added");
	kvdstore_iter_free(i);
	kvdstore_iter_free(NULL);
	ok(kvdstore_iter_new(s, 99, NULL, 0, 0) == NULL, "a wrong database has no iteration");
	kvdstore_close(s);
}

static void test_stats(void)
{
	struct kvdstore *s;
	struct kvdstore_stats st = { .size = sizeof(st) }, shorter = { .size = offsetof(struct kvdstore_stats, segments), .segments = 12345 }, none = { 0 };

	make_dir();
	s = open_store(NULL);
	put(s, "k", "v");
	kvdstore_put(s, 5, "k", 1, "v", 1, 0);
	is_int(kvdstore_stats(s, &st), 0, "numbers");
	ok(st.keys == 2 && st.segments == 1 && st.log_bytes > st.live_bytes && st.live_bytes > 0 && st.index_bytes > 0, "that fit");
	ok(kvdstore_stats(s, &shorter) == 0 && shorter.keys == 2 && shorter.segments == 12345 && shorter.size == offsetof(struct kvdstore_stats, segments),
		"an older program's struct is filled as far as it goes");
	is_int(kvdstore_stats(s, &none), -EINVAL, "a size of nothing is refused");
	kvdstore_close(s);
}

/* Damage of one record: that key is corrupt, the others are served. */
static void test_damage(void)
{
	struct kvdstore *s;
	char path[4200], byte;

	make_dir();
	s = open_store(NULL);
	put(s, "bad", "value");
	put(s, "good", "value");
	kvdstore_close(s);
	s = open_store(NULL);
	snprintf(path, sizeof(path), "%s/0000000001.seg", dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &byte, 1, 64 + 36) != 1 || (byte ^= 4, pwrite(fd, &byte, 1, 64 + 36)) != 1)
		bail("%s: %s", path, strerror(errno));
	close(fd);
	void *value = NULL;
	size_t len;
	is_int(kvdstore_get(s, 0, "bad", 3, &value, &len), KVDSTORE_CORRUPT, "a damaged record is neither absent nor another value");
	ok(strstr(kvdstore_message(s), "0000000001.seg") && strstr(kvdstore_message(s), "64"), "file and offset are named: %s", kvdstore_message(s));
	is_str(get(s, 0, "good"), "value", "others are served");
	kvdstore_close(s);
	char message[300];
	is_int(kvdstore_open(dir, NULL, &s, message, sizeof(message)), -EUCLEAN, "it does not open with damage");
	ok(strstr(message, dir) && strstr(message, "0000000001.seg") && strstr(message, "64"), "and says where: %s", message);
}

int main(void)
{
	atexit(clean_up);
	test_opening();
	test_values();
	test_durable();
	test_snapshots();
	test_batches();
	test_iteration();
	test_stats();
	test_damage();
	return done();
}
