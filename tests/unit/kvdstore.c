/* SPDX-License-Identifier: MIT
 * The interface for embedding, as a program sees it: through the shared library and its header only, on a real directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "kvdstore_fixture.h"
#include "store/kvdstore.h"

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
	while (kvdstore_exists(s, 3, "short", 5, &ttl) == 0 && ttl > 0 && ttl <= 50 && now.tv_sec - begun.tv_sec < 120);
	ok(kvdstore_exists(s, 3, "short", 5, NULL) == KVDSTORE_ABSENT, "the short-lived one goes by itself");
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
	struct kvdstore_range range = { .prefix = prefix, .prefix_len = len };
	struct kvdstore_iter *i;
	const void *key;
	size_t n, at = 0;
	int r;

	if (kvdstore_iter_new(s, 0, &range, reverse, &i))
		bail("no iteration: %s", kvdstore_message(s));
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

	kvdstore_iter_free(NULL);
	struct kvdstore_iter *none = NULL;
	is_int(kvdstore_iter_new(s, 99, NULL, 0, &none), -EINVAL, "a wrong database has no iteration");
	ok(!none && strstr(kvdstore_message(s), "99"), "and the message has the number: %s", kvdstore_message(s));
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

/* ---- what was lent ---- */

static bool shows(struct kvdstore *s, const char *key, const void *value, size_t len)
{
	const void *got;
	size_t n;

	return kvdstore_get_view(s, 0, key, strlen(key), &got, &n, NULL) == 0 && n == len && memcmp(got, value, len) == 0;
}

static void test_loans(void)
{
	static const size_t lengths[] = { 0, 1, 100, 5000, 70000, 1000000 };
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE, .cache_size = 1 << 20 };
	struct kvdstore *s;
	char *big = malloc(1000000), key[32];
	const void *value;
	size_t len;
	bool right = true;

	make_dir();
	memset(big, 'x', 1000000);
	for (int round = 0; round < 3; round++) { /* from the log's end, then from the file, then from the cache */
		s = open_store(&o);
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			snprintf(key, sizeof(key), "v%zu", i);
			if (round == 0)
				kvdstore_put(s, 0, key, strlen(key), big, lengths[i], 0);
			right &= shows(s, key, big, lengths[i]) && shows(s, key, big, lengths[i]);
		}
		ok(right, "lent values of all lengths are right, round %d", round);
		is_int(kvdstore_get_view(s, 0, "v4", 2, &value, &len, NULL), 0, "a value is lent");
		is_int(kvdstore_put(s, 0, "copy", 4, value, len, 0), 0, "and given to the next call");
		ok(shows(s, "copy", big, 70000), "which takes it as it was");
		is_int(kvdstore_get_view(s, 0, "none", 4, &value, &len, NULL), KVDSTORE_ABSENT, "nothing is lent of what is not there");
		put(s, "pointer", "v2");
		is_int(kvdstore_get_view(s, 0, "pointer", 7, &value, &len, NULL), 0, "a value that is the name of a key");
		is_int(kvdstore_get_view(s, 0, value, len, &value, &len, NULL), 0, "can be looked up as it was lent");
		is_mem(value, len, big, 100, "and leads there");
		kvdstore_get_view(s, 0, "pointer", 7, &value, &len, NULL);
		is_int(kvdstore_exists(s, 0, value, len, NULL), 0, "likewise asked for");
		kvdstore_get_view(s, 0, "pointer", 7, &value, &len, NULL);
		struct kvdstore_batch *b = kvdstore_batch_new(s);
		kvdstore_get_view(s, 0, "v4", 2, &value, &len, NULL);
		kvdstore_batch_put(b, 0, "in a batch", 10, value, len, 0);
		is_int(kvdstore_batch_commit(b), 0, "or put in a batch");
		ok(shows(s, "in a batch", big, 70000), "as it was");
		kvdstore_close(s);
	}
	free(big);
}

/* ---- conditions ---- */

static int put_if(struct kvdstore *s, const char *key, const char *value, const struct kvdstore_if *c, uint64_t *ret_version)
{
	return kvdstore_put_if(s, 0, key, strlen(key), value, strlen(value), 0, c, ret_version);
}

static uint64_t version_of(struct kvdstore *s, const char *key)
{
	const void *value;
	size_t len;
	uint64_t version = 0;

	return kvdstore_get_view(s, 0, key, strlen(key), &value, &len, &version) ? 0 : version;
}

static void test_conditions(void)
{
	static const struct kvdstore_if absent = { .kind = KVDSTORE_IF_ABSENT }, present = { .kind = KVDSTORE_IF_PRESENT };
	struct kvdstore *s;
	uint64_t version = 0, next = 0;

	make_dir();
	s = open_store(NULL);
	is_int(put_if(s, "k", "1", &present, &version), KVDSTORE_CONDITION, "not there: put if present");
	ok(version == 0, "tells no version");
	is_int(put_if(s, "k", "1", &absent, &version), 0, "put if absent");
	ok(version != 0 && version == version_of(s, "k"), "tells the version that a read tells");
	is_int(put_if(s, "k", "2", &absent, NULL), KVDSTORE_CONDITION, "a second one does not");
	is_str(get(s, 0, "k"), "1", "and changes nothing");
	is_int(put_if(s, "k", "2", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VALUE, .value = "x", .len = 1 }, NULL), KVDSTORE_CONDITION, "another value");
	is_int(put_if(s, "k", "2", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VALUE, .value = "1", .len = 1 }, NULL), 0, "the value");
	is_int(put_if(s, "k", "3", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = version }, NULL), KVDSTORE_CONDITION, "an old version");
	version = version_of(s, "k");
	is_int(put_if(s, "k", "2", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = version }, &next), 0, "the version");
	ok(next != version && next == version_of(s, "k"), "the same value again is another version");
	is_int(put_if(s, "new", "1", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = 0 }, NULL), 0, "version 0 stands for absent");
	is_int(put_if(s, "new", "1", &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = 0 }, NULL), KVDSTORE_CONDITION, "once");
	is_int(put_if(s, "k", "4", &(struct kvdstore_if){ .kind = 9 }, NULL), -EINVAL, "a kind that is none");
	ok(strstr(kvdstore_message(s), "kind 9"), "is named: %s", kvdstore_message(s));
	is_int(kvdstore_delete_if(s, 0, "k", 1, &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = version }), KVDSTORE_CONDITION,
		"a deletion if an old version");
	is_int(kvdstore_delete_if(s, 0, "gone", 4, &absent), KVDSTORE_ABSENT, "a deletion of what is absent, if it is");
	kvdstore_close(s);
	s = open_store(NULL);
	is_int(version_of(s, "k") == next, 1, "a version lasts beyond closing");
	for (int i = 0; i < 3; i++)
		put(s, "other", "garbage");
	is_int(kvdstore_compact(s, 1, NULL), 0, "a compaction");
	ok(version_of(s, "k") != next, "gives another one");
	is_int(kvdstore_delete_if(s, 0, "k", 1, &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = version_of(s, "k") }), 0, "which holds");
	is_int(put_if(s, "k", "5", &absent, &version), 0, "the key is put anew");
	ok(version != next, "with a version it never had");
	/* The value is read for a condition even of a store that takes no writes. */
	kvdstore_close(s);
	s = open_store(&(struct kvdstore_options){ .size = sizeof(struct kvdstore_options), .flags = KVDSTORE_READ_ONLY });
	is_int(put_if(s, "k", "6", &present, NULL), KVDSTORE_REFUSED, "read-only: refused when it holds");
	is_int(put_if(s, "k", "6", &absent, NULL), KVDSTORE_CONDITION, "the condition comes first");
	kvdstore_close(s);
}

/* A merge packs records towards the old end: what was the place of an old version may be the place of a new one. */
static void test_versions_never_return(void)
{
	struct kvdstore *s;
	uint64_t seen[64];
	size_t n = 0;
	bool unique = true;

	make_dir();
	s = open_store(NULL);
	for (int i = 0; i < 16; i++) {
		put(s, "k", "value");
		seen[n++] = version_of(s, "k");
		kvdstore_compact(s, 1, NULL);
		seen[n++] = version_of(s, "k");
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			unique &= seen[i] && seen[i] != seen[j];
	ok(unique, "a key that is written and merged in turn never has a version twice");
	kvdstore_close(s);
}

static void test_batch_conditions(void)
{
	static const struct kvdstore_if absent = { .kind = KVDSTORE_IF_ABSENT }, present = { .kind = KVDSTORE_IF_PRESENT };
	struct kvdstore_if value = { .kind = KVDSTORE_IF_VALUE, .value = "1", .len = 1 };
	struct kvdstore *s;
	struct kvdstore_batch *b;

	make_dir();
	s = open_store(NULL);
	put(s, "a", "1");
	b = kvdstore_batch_new(s);
	kvdstore_batch_put(b, 0, "b", 1, "1", 1, 0);
	is_int(kvdstore_batch_check(b, 0, "b", 1, &absent), 0, "a check of a key the batch writes");
	is_int(kvdstore_batch_check(b, 0, "a", 1, &value), 0, "and of one it does not");
	is_int(kvdstore_batch_commit(b), 0, "the state before the batch counts");
	b = kvdstore_batch_new(s);
	kvdstore_batch_put(b, 0, "c", 1, "1", 1, 0);
	kvdstore_batch_delete(b, 0, "a", 1);
	kvdstore_batch_check(b, 0, "missing", 7, &present);
	is_int(kvdstore_batch_commit(b), KVDSTORE_CONDITION, "one that does not hold");
	ok(strstr(kvdstore_message(s), "step 3"), "is named: %s", kvdstore_message(s));
	is_str(get(s, 0, "c"), "(absent)", "nothing of the batch happened");
	is_str(get(s, 0, "a"), "1", "no deletion, either");
	b = kvdstore_batch_new(s);
	is_int(kvdstore_batch_check(b, 0, "a", 1, &(struct kvdstore_if){ .kind = -1 }), -EINVAL, "a kind that is none");
	is_int(kvdstore_batch_check(b, 0, "a", 1, NULL), 0, "no condition is one that holds");
	kvdstore_batch_check(b, 0, "a", 1, &(struct kvdstore_if){ .kind = KVDSTORE_IF_VERSION, .version = version_of(s, "a") });
	kvdstore_batch_put(b, 0, "a", 1, "2", 1, 0);
	is_int(kvdstore_batch_commit(b), 0, "a version in a batch");
	is_str(get(s, 0, "a"), "2", "is compared and set");
	kvdstore_close(s);
}

/* ---- times to live ---- */

static void test_expiry(void)
{
	struct kvdstore *s;
	int64_t ttl = 0;

	make_dir();
	s = open_store(NULL);
	kvdstore_put(s, 0, "k", 1, "v", 1, 1000000);
	is_int(kvdstore_expire(s, 0, "k", 1, 0), 0, "an end is taken away");
	ok(kvdstore_exists(s, 0, "k", 1, &ttl) == 0 && ttl == -1, "there is none");
	is_int(kvdstore_expire(s, 0, "k", 1, 5000000), 0, "another is given");
	ok(kvdstore_exists(s, 0, "k", 1, &ttl) == 0 && ttl > 4000000 && ttl <= 5000000, "that is it");
	is_str(get(s, 0, "k"), "v", "the value stays");
	is_int(kvdstore_put(s, 0, "k", 1, "w", 1, KVDSTORE_KEEP_TTL), 0, "a value that keeps the end");
	ok(kvdstore_exists(s, 0, "k", 1, &ttl) == 0 && ttl > 4000000, "keeps it");
	is_int(kvdstore_put(s, 0, "new", 3, "w", 1, KVDSTORE_KEEP_TTL), 0, "where there is none");
	ok(kvdstore_exists(s, 0, "new", 3, &ttl) == 0 && ttl == -1, "there is none then");
	is_int(kvdstore_expire(s, 0, "missing", 7, 5), KVDSTORE_ABSENT, "a key that is missing has no end");
	is_int(kvdstore_expire(s, 77, "k", 1, 5), -EINVAL, "nor a database");
	kvdstore_close(s);
}

/* ---- ranges ---- */

static struct kvdstore_range range_of(const char *prefix, const char *from, const char *to)
{
	return (struct kvdstore_range){ prefix, strlen(prefix), from, strlen(from), to, strlen(to) };
}

static uint64_t count(struct kvdstore *s, const char *prefix, const char *from, const char *to)
{
	struct kvdstore_range range = range_of(prefix, from, to);
	uint64_t n = UINT64_MAX;

	return kvdstore_count(s, 0, &range, &n) ? UINT64_MAX : n;
}

static void test_ranges(void)
{
	struct kvdstore *s;
	struct kvdstore_range range;
	uint64_t n = 0;
	char key[8];

	make_dir();
	s = open_store(NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%02d", i);
		kvdstore_put(s, 0, key, 3, key, 3, 0);
	}
	put(s, "", "empty");
	kvdstore_put(s, 1, "k", 1, "v", 1, 0);
	is_int(kvdstore_count(s, 0, NULL, &n), 0, "all keys are counted");
	is_int((int64_t)n, 101, "as many as there are");
	is_int((int64_t)count(s, "k1", "", ""), 10, "with a prefix");
	is_int((int64_t)count(s, "", "k20", "k25"), 5, "from one, below another");
	is_int((int64_t)count(s, "k1", "k15", "k30"), 5, "all of these together");
	is_int((int64_t)count(s, "k1", "k00", "k30"), 10, "the narrower bound counts");
	is_int((int64_t)count(s, "", "k30", "k20"), 0, "upside down there is nothing");
	is_int((int64_t)count(s, "", "k30", "k30"), 0, "nor between a key and itself");
	is_int((int64_t)count(s, "", "", "k00"), 1, "the empty key is below all");
	kvdstore_put(s, 0, "k05", 3, "v", 1, 1);
	for (int i = 0; kvdstore_exists(s, 0, "k05", 3, NULL) == 0 && i < 100000000; i++)
		;
	is_int(kvdstore_count(s, 0, NULL, &n), 0, "keys whose time has come");
	is_int((int64_t)n, 100, "are not counted");
	range = range_of("k1", "", "k18");
	is_int(kvdstore_delete_range(s, 0, &range, &n), 0, "a range is deleted");
	is_int((int64_t)n, 8, "so many keys");
	is_int((int64_t)count(s, "k1", "", ""), 2, "the others are left");
	is_int(kvdstore_delete_range(s, 0, &range, &n), 0, "once more");
	is_int((int64_t)n, 0, "there is nothing to do");
	range = range_of("", "k30", "k20");
	is_int(kvdstore_delete_range(s, 0, &range, NULL), 0, "upside down, either");
	is_int(kvdstore_delete_range(s, 99, NULL, NULL), -EINVAL, "a wrong database");
	kvdstore_close(s);
	s = open_store(NULL);
	is_int((int64_t)count(s, "k1", "", ""), 2, "it is so after opening anew");
	is_int(kvdstore_flush(s, 0), 0, "a database is emptied");
	is_int((int64_t)count(s, "", "", ""), 0, "all of it is gone");
	is_str(get(s, 1, "k"), "v", "the others are not");
	is_int(kvdstore_delete_range(s, 1, NULL, &n), 0, "all keys are a range");
	is_int((int64_t)n, 1, "of one");
	is_int(kvdstore_flush(s, 99), -EINVAL, "a wrong database is not emptied");
	kvdstore_close(s);
}

static struct kvdstore_iter *iterate(struct kvdstore *s, const char *prefix, const char *from, const char *to, int reverse)
{
	struct kvdstore_range range = range_of(prefix, from, to);
	struct kvdstore_iter *i = NULL;

	if (kvdstore_iter_new(s, 0, &range, reverse, &i))
		bail("no iteration: %s", kvdstore_message(s));
	return i;
}

/* "key=value key=value ": what is left of an iteration. */
static const char *rest(struct kvdstore_iter *i)
{
	static char out[2000];
	const void *key, *value;
	size_t key_len, len, at = 0;

	while (kvdstore_iter_next(i, &key, &key_len) == 0 && at < sizeof(out) - 300) {
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%.*s", (int)key_len, (const char *)key);
		if (kvdstore_iter_value(i, &value, &len, NULL))
			return "(no value)";
		at += (size_t)snprintf(out + at, sizeof(out) - at, "=%.*s ", (int)len, (const char *)value);
	}
	out[at] = 0;
	return out;
}

static void test_stable_view(void)
{
	struct kvdstore *s;
	struct kvdstore_iter *i, *j;
	struct kvdstore_batch *b;
	const void *key, *value;
	size_t n;

	make_dir();
	s = open_store(NULL);
	for (const char *k = "bdfhj"; *k; k++)
		kvdstore_put(s, 0, k, 1, "1", 1, 0);
	i = iterate(s, "", "", "", 0);
	j = iterate(s, "", "", "", 1);
	is_int(kvdstore_iter_value(i, &value, &n, NULL), KVDSTORE_ABSENT, "before the first step there is no value");
	kvdstore_iter_next(i, &key, &n);
	is_mem(key, n, "b", 1, "an iteration stands on a key");
	put(s, "a", "new");
	put(s, "c", "new");
	put(s, "d", "changed");
	put(s, "d", "twice");
	kvdstore_delete(s, 0, "f", 1);
	kvdstore_delete(s, 0, "j", 1);
	put(s, "j", "back");
	put(s, "z", "new");
	kvdstore_delete(s, 0, "b", 1);
	is_int(kvdstore_iter_value(i, &value, &n, NULL), 0, "the key it stands on was deleted");
	is_mem(value, n, "1", 1, "and still has its value");
	is_str(rest(i), "d=1 f=1 h=1 j=1 ", "what was there when it was made, with the values of then");
	is_str(rest(j), "j=1 h=1 f=1 d=1 b=1 ", "likewise downwards");
	is_str(rest(j), "", "the end stays the end");
	is_int(kvdstore_iter_seek(i, "e", 1), 0, "sought back");
	is_str(rest(i), "f=1 h=1 j=1 ", "it goes on from there");
	kvdstore_iter_seek(i, "", 0);
	is_str(rest(i), "b=1 d=1 f=1 h=1 j=1 ", "from the beginning");
	kvdstore_iter_seek(j, "f", 1);
	is_str(rest(j), "f=1 d=1 b=1 ", "downwards from a key, itself included");
	kvdstore_iter_seek(j, "", 0);
	is_str(rest(j), "", "below the first there is nothing");
	kvdstore_iter_seek(j, "zz", 2);
	is_str(rest(j), "j=1 h=1 f=1 d=1 b=1 ", "from above all");
	is_int(kvdstore_compact(s, 1, NULL), -EBUSY, "a compaction waits for iterations");
	ok(strstr(kvdstore_message(s), "2 iterations"), "and says so: %s", kvdstore_message(s));
	kvdstore_iter_free(i);
	i = iterate(s, "", "", "", 0);
	is_str(rest(i), "a=new c=new d=twice h=1 j=back z=new ", "a new one shows the present");
	is_int(kvdstore_flush(s, 0), 0, "all is deleted");
	put(s, "d", "after");
	put(s, "x", "after");
	kvdstore_iter_seek(i, "", 0);
	is_str(rest(i), "a=new c=new d=twice h=1 j=back z=new ", "and it shows what was");
	kvdstore_iter_seek(j, "zz", 2);
	is_str(rest(j), "j=1 h=1 f=1 d=1 b=1 ", "so does the older one");
	b = kvdstore_batch_new(s);
	kvdstore_batch_put(b, 0, "d", 1, "batch", 5, 0);
	kvdstore_batch_delete(b, 0, "x", 1);
	kvdstore_batch_commit(b);
	kvdstore_iter_free(j);
	j = iterate(s, "", "", "", 1);
	is_str(rest(j), "d=batch ", "a third sees the batch");
	kvdstore_iter_seek(j, "zz", 2);
	kvdstore_iter_next(j, &key, &n);
	is_int(kvdstore_iter_seek(j, key, n), 0, "a key it gave itself can be sought");
	is_str(rest(j), "d=batch ", "and is found");
	kvdstore_iter_free(i);
	kvdstore_iter_free(j);
	is_int(kvdstore_compact(s, 1, NULL), 0, "without iterations it goes");
	kvdstore_close(s);
}

static void test_iteration_bounds(void)
{
	struct kvdstore *s;
	struct kvdstore_iter *i;
	char *big = malloc(65536);
	const void *key;
	size_t n;

	make_dir();
	s = open_store(NULL);
	for (int k = 0; k < 10; k++)
		put(s, (char[]){ 'a', (char)('0' + k), 0 }, "1");
	put(s, "b", "1");
	i = iterate(s, "a", "a3", "a6", 0);
	is_str(rest(i), "a3=1 a4=1 a5=1 ", "prefix and bounds together");
	kvdstore_iter_seek(i, "a0", 2);
	is_str(rest(i), "a3=1 a4=1 a5=1 ", "seeking does not leave them");
	kvdstore_iter_seek(i, "b", 1);
	is_str(rest(i), "", "above them there is nothing");
	kvdstore_iter_free(i);
	i = iterate(s, "a", "a3", "a6", 1);
	kvdstore_iter_seek(i, "b", 1);
	is_str(rest(i), "a5=1 a4=1 a3=1 ", "downwards neither");
	kvdstore_iter_seek(i, "a6", 2);
	is_str(rest(i), "a5=1 a4=1 a3=1 ", "the upper bound is none of them");
	kvdstore_iter_seek(i, "a1", 2);
	is_str(rest(i), "", "below them there is nothing");
	put(s, "a35", "new");
	kvdstore_delete(s, 0, "a3", 2);
	kvdstore_iter_seek(i, "a4", 2);
	is_str(rest(i), "a4=1 a3=1 ", "changes at the bounds");
	kvdstore_iter_free(i);
	i = iterate(s, "", "x", "c", 0);
	is_str(rest(i), "", "upside down there is nothing");
	kvdstore_iter_free(i);
	i = iterate(s, "", "x", "c", 1);
	is_str(rest(i), "", "downwards, either");
	kvdstore_iter_free(i);
	memset(big, 0xff, 65536);
	kvdstore_put(s, 0, big, 65536, "1", 1, 0);
	i = iterate(s, "", "b", "", 0);
	kvdstore_iter_next(i, &key, &n);
	is_int(kvdstore_iter_next(i, &key, &n), 0, "the greatest key there can be");
	is_mem(key, n, big, 65536, "is given");
	is_int(kvdstore_iter_next(i, &key, &n), KVDSTORE_ABSENT, "and is the last");
	kvdstore_iter_seek(i, big, 65536);
	is_int(kvdstore_iter_next(i, &key, &n), 0, "it can be sought");
	kvdstore_iter_free(i);
	free(big);
	kvdstore_close(s);
}

/* A key whose time comes stays in a view, and what has come to its end before is in none. */
static void test_view_and_time(void)
{
	struct kvdstore *s;
	struct kvdstore_iter *i;

	make_dir();
	s = open_store(NULL);
	put(s, "a", "1");
	struct timespec now, begun;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	i = NULL;
	do { /* until it is seen in time, which a busy machine may not allow at first */
		kvdstore_iter_free(i);
		kvdstore_put(s, 0, "b", 1, "1", 1, 300);
		i = iterate(s, "", "", "", 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (kvdstore_exists(s, 0, "b", 1, NULL) != 0 && now.tv_sec - begun.tv_sec < 60);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (kvdstore_exists(s, 0, "b", 1, NULL) == 0 && now.tv_sec - begun.tv_sec < 120);
	is_str(rest(i), "a=1 b=1 ", "what was alive then is shown");
	kvdstore_iter_free(i);
	i = iterate(s, "", "", "", 0);
	is_str(rest(i), "a=1 ", "later it is not");
	kvdstore_iter_free(i);
	kvdstore_close(s);
}

/* ---- opening ---- */

static char listing[20000];

static int list_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t at = strlen(listing);

	(void)type;
	(void)ftw;
	/* The time of a directory tells of files that came and went. */
	snprintf(listing + at, sizeof(listing) - at, "%s %lld %lld.%09ld\n", path, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
		st->st_mtim.tv_nsec);
	return 0;
}

static const char *list_files(void)
{
	*listing = 0;
	nftw(dir, list_one, 16, FTW_PHYS);
	return listing;
}

static void test_read_only(void)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_READ_ONLY };
	struct kvdstore *s, *reader;
	struct kvdstore_verified v = { .size = sizeof(v) };
	char before[sizeof(listing)], key[32];
	uint64_t n = 0;

	make_dir();
	s = open_store(NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%02d", i);
		put(s, key, key);
	}
	kvdstore_snapshot(s, "one");
	/* Beside the owner, with an end that is not closed. */
	snprintf(before, sizeof(before), "%s", list_files());
	reader = open_store(&o);
	is_str(get(reader, 0, "k99"), "k99", "beside the owner: all that is written is read");
	is_str(list_files(), before, "and no file changes");
	put(s, "later", "v");
	is_str(get(reader, 0, "later"), "(absent)", "what comes later is not");
	kvdstore_close(reader);
	reader = open_store(&o);
	is_str(get(reader, 0, "later"), "v", "but by the next opening");
	kvdstore_close(reader);
	kvdstore_close(s);
	snprintf(before, sizeof(before), "%s", list_files());
	reader = open_store(&o);
	is_str(get(reader, 0, "k50"), "k50", "without an owner it reads, too");
	is_int(kvdstore_count(reader, 0, NULL, &n), 0, "counts");
	struct kvdstore_iter *i = iterate(reader, "k0", "", "k02", 0);
	is_str(rest(i), "k00=k00 k01=k01 ", "iterates");
	kvdstore_iter_free(i);
	is_int(kvdstore_verify(reader, &v), 0, "checks");
	is_int(kvdstore_delete(reader, 0, "k00", 3), KVDSTORE_REFUSED, "deletes nothing");
	is_int(kvdstore_expire(reader, 0, "k00", 3, 5), KVDSTORE_REFUSED, "gives no end");
	is_int(kvdstore_flush(reader, 0), KVDSTORE_REFUSED, "empties nothing");
	is_int(kvdstore_delete_range(reader, 0, NULL, NULL), KVDSTORE_REFUSED, "nor a range");
	is_int(kvdstore_compact(reader, 1, NULL), KVDSTORE_REFUSED, "is not compacted");
	is_int(kvdstore_checkpoint(reader), KVDSTORE_REFUSED, "gets no checkpoint");
	is_int(kvdstore_snapshot(reader, "two"), KVDSTORE_REFUSED, "no snapshot");
	is_int(kvdstore_snapshot_delete(reader, "one"), KVDSTORE_REFUSED, "and loses none");
	is_int(kvdstore_sync(reader), 0, "there is nothing to sync");
	kvdstore_close(reader);
	is_str(list_files(), before, "no file has changed, come or gone");
	o.flags |= KVDSTORE_REPAIR;
	is_int(kvdstore_open(dir, &o, &s, key, sizeof(key)), -EINVAL, "read-only and repair do not go together");
	o.flags = 64;
	is_int(kvdstore_open(dir, &o, &s, key, sizeof(key)), -EINVAL, "a flag that is not known is refused");
	o = (struct kvdstore_options){ .size = sizeof(o), .durability = 3 };
	is_int(kvdstore_open(dir, &o, &s, key, sizeof(key)), -EINVAL, "so is a durability");
	o = (struct kvdstore_options){ .size = sizeof(o), .compression = 4 };
	is_int(kvdstore_open(dir, &o, &s, key, sizeof(key)), -EINVAL, "and a compression");
	o = (struct kvdstore_options){ .size = sizeof(o), .compression = KVDSTORE_ZLIB, .compression_level = 10 };
	is_int(kvdstore_open(dir, &o, &s, key, sizeof(key)), -EINVAL, "and its level");
}

static void count_line(void *arg, const char *line)
{
	*(int *)arg += strstr(line, dir) != NULL;
}

static void change_byte(const char *name, off_t offset)
{
	char path[sizeof(dir) + 40], byte;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &byte, 1, offset) != 1 || (byte ^= 4, pwrite(fd, &byte, 1, offset)) != 1)
		bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void test_repair(void)
{
	int lines = 0;
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE | KVDSTORE_REPAIR, .event = count_line, .arg = &lines };
	struct kvdstore *s;
	char message[500] = "?";

	make_dir();
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), 0, "repair and create: a store is made where there is none");
	is_str(message, "", "there was nothing to mend");
	ok(lines > 0, "whoever asks for it is told what happens");
	put(s, "bad", "value");
	put(s, "good", "value");
	kvdstore_close(s);
	o.flags = KVDSTORE_REPAIR;
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), 0, "a store that is whole");
	is_str(message, "", "has nothing to mend");
	kvdstore_close(s);
	change_byte("0000000001.seg", 64 + 36);
	is_int(kvdstore_open(dir, NULL, &s, message, sizeof(message)), -EUCLEAN, "a damaged one does not open");
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), 0, "but with repair");
	ok(strstr(message, dir) && strstr(message, "1 damaged place") && strstr(message, "1 value lost"), "which says what it did: %s", message);
	is_str(get(s, 0, "good"), "value", "what is whole is there");
	is_str(get(s, 0, "bad"), "(3)", "what is lost is known to be");
	is_int(put(s, "bad", "again"), 0, "until it is written");
	kvdstore_close(s);
	s = open_store(NULL);
	is_str(get(s, 0, "bad"), "again", "it opens as ever");
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), -EBUSY, "no repair beside an owner");
	kvdstore_close(s);
	change_byte("CATALOG", 0);
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), 0, "a damaged catalog is made anew");
	is_str(get(s, 0, "good"), "value", "with all there was");
	kvdstore_close(s);
	o.flags = KVDSTORE_REPAIR;
	make_dir();
	is_int(kvdstore_open(dir, &o, &s, message, sizeof(message)), -ENOENT, "without create nothing is made");
}

/* ---- upkeep ---- */

static void test_policies(void)
{
	struct kvdstore *s;
	struct kvdstore_stats st = { .size = sizeof(st) };

	make_dir();
	s = open_store(&(struct kvdstore_options){ .size = sizeof(struct kvdstore_options), .flags = KVDSTORE_CREATE, .durability = KVDSTORE_NEVER });
	for (int i = 0; i < 200; i++)
		put(s, "k", "v");
	kvdstore_stats(s, &st);
	ok(st.syncs == 0, "with KVDSTORE_NEVER no write waits for a sync");
	ok(st.durable_position < st.position, "and they are not on disk");
	is_int(kvdstore_sync(s), 0, "a sync by hand");
	kvdstore_stats(s, &st);
	ok(st.syncs == 1 && st.durable_position == st.position, "is one");
	kvdstore_close(s);
	pid_t child = fork();
	if (child == 0) {
		s = open_store(&(struct kvdstore_options){ .size = sizeof(struct kvdstore_options), .durability = KVDSTORE_NEVER });
		put(s, "k", "written");
		raise(SIGKILL);
	}
	waitpid(child, NULL, 0);
	s = open_store(NULL);
	is_str(get(s, 0, "k"), "written", "what was written outlives the process all the same");
	kvdstore_close(s);
}

/* Of all threads but this one: how many there are, and whether they leave a signal alone. */
static unsigned look_at_threads(int signal, bool *ret_blocked)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned n = 0;

	*ret_blocked = true;
	for (struct dirent *e; tasks && (e = readdir(tasks));) {
		char path[64], line[200];
		if (*e->d_name == '.' || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", e->d_name);
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (strncmp(line, "SigBlk:", 7) == 0) {
				n++;
				*ret_blocked &= strtoull(line + 7, NULL, 16) >> (signal - 1) & 1;
			}
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return n;
}

static void test_threads(void)
{
	struct kvdstore *s;
	bool blocked;
	sigset_t mask;

	make_dir();
	s = open_store(NULL);
	put(s, "k", "v");
	unsigned threads = look_at_threads(SIGTERM, &blocked);
	ok(threads > 0 && blocked, "the library's threads take no signals of the program: %u", threads);
	look_at_threads(SIGSEGV, &blocked);
	ok(!blocked || threads == 0, "but those of faults");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	ok(!sigismember(&mask, SIGTERM), "and the program's own mask is as it was");
	kvdstore_close(s);
}

static void test_snapshot_tools(void)
{
	struct kvdstore *s;
	struct kvdstore_snapshot_info *list;
	size_t n;
	uint64_t records = 0;

	make_dir();
	s = open_store(NULL);
	is_int(kvdstore_snapshots(s, &list, &n), 0, "snapshots are listed");
	ok(n == 0 && !list, "there are none");
	put(s, "a", "1");
	put(s, "b", "1");
	kvdstore_snapshot(s, "one");
	kvdstore_snapshot(s, "two");
	is_int(kvdstore_snapshots(s, &list, &n), 0, "now");
	ok(n == 2 && strcmp(list[0].name, "one") == 0 && !list[0].damaged && list[0].bytes > 64 && list[0].segments > 0 && list[0].time_ms > 0, "there are two");
	free(list);
	is_int(kvdstore_snapshot_verify(s, "one", &records), 0, "one is read back");
	is_int((int64_t)records, 2, "with its records");
	change_byte("snapshots/one/0000000001.seg", 64 + 33);
	is_int(kvdstore_snapshot_verify(s, "one", &records), -EUCLEAN, "a byte is changed");
	ok(strstr(kvdstore_message(s), "0000000001.seg"), "and the file named: %s", kvdstore_message(s));
	change_byte("snapshots/one/0000000001.seg", 64 + 33);
	is_int(kvdstore_snapshot_verify(s, "three", NULL), -ENOENT, "one that is not there");
	is_int(kvdstore_snapshot_delete(s, "three"), -ENOENT, "cannot be deleted");
	is_int(kvdstore_snapshot_delete(s, "one"), 0, "one that is can");
	kvdstore_snapshots(s, &list, &n);
	ok(n == 1 && strcmp(list[0].name, "two") == 0, "the other is left");
	free(list);
	kvdstore_close(s);
}

static void test_verify(void)
{
	struct kvdstore *s;
	struct kvdstore_verified v = { .size = sizeof(v) }, none = { 0 };

	make_dir();
	s = open_store(NULL);
	put(s, "bad", "value");
	put(s, "good", "value");
	is_int(kvdstore_verify(s, &v), 0, "all is read back");
	ok(v.records == 2 && v.damaged == 0 && v.bytes > 0 && v.segments == 1, "and whole");
	change_byte("0000000001.seg", 64 + 36);
	is_int(kvdstore_verify(s, &v), 0, "with damage");
	is_int((int64_t)v.damaged, 1, "it is counted");
	is_int(kvdstore_verify(s, &none), -EINVAL, "a size of nothing is refused");
	kvdstore_close(s);
}

static void test_limits(void)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE, .max_value = 100, .compression = KVDSTORE_ZLIB, .compression_min = 50 };
	struct kvdstore_stats st = { .size = sizeof(st) };
	char zeros[101] = { 0 };
	struct kvdstore *s;
	void *value;
	size_t len;

	make_dir();
	s = open_store(&o);
	is_int(kvdstore_put(s, 0, "k", 1, zeros, 101, 0), -EMSGSIZE, "a value above the limit");
	ok(strstr(kvdstore_message(s), "101") && strstr(kvdstore_message(s), "100"), "with both numbers: %s", kvdstore_message(s));
	is_int(kvdstore_put(s, 0, "k", 1, zeros, 100, 0), 0, "one of its length");
	kvdstore_stats(s, &st);
	ok(st.compressed_records == 1 && st.compressed_to_bytes < st.compressed_from_bytes, "is compressed");
	is_int(kvdstore_get(s, 0, "k", 1, &value, &len), 0, "and read");
	is_mem(value, len, zeros, 100, "as it was");
	free(value);
	kvdstore_close(s);
}

/* ---- upkeep by and by ---- */

/* Calls it as it asks for until it has come to rest; false: not in time. */
static bool maintain(struct kvdstore *s)
{
	time_t end = time(NULL) + 120;
	uint32_t again = 0;

	while (kvdstore_maintain(s, &again) == 0 && again < 1000 && time(NULL) < end)
		poll(NULL, 0, (int)again);
	return again == 1000;
}

static void overwrite(struct kvdstore *s, int rounds)
{
	static char value[20000];
	char key[20];

	for (int i = 0; i < rounds * 20; i++) {
		snprintf(key, sizeof(key), "key %d", i % 20);
		memset(value, 'a' + i % 26, sizeof(value));
		if (kvdstore_put(s, 0, key, strlen(key), value, sizeof(value), 0))
			bail("no put: %s", kvdstore_message(s));
	}
}

static struct kvdstore_stats stats_of(struct kvdstore *s)
{
	struct kvdstore_stats st = { .size = sizeof(st) };

	if (kvdstore_stats(s, &st))
		bail("no numbers");
	return st;
}

static void test_maintain(void)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE, .durability = KVDSTORE_NEVER, .segment_size = 1 << 20,
		.compact_min = 1000, .checkpoint_interval_ms = 1 };
	struct kvdstore_iter *iter;
	const void *value;
	size_t len;

	make_dir();
	struct kvdstore *s = open_store(&o);
	for (int i = 0; i < 1000; i++) {
		char key[20];
		snprintf(key, sizeof(key), "ends %d", i);
		kvdstore_put(s, 1, key, strlen(key), "x", 1, 1);
	}
	overwrite(s, 10);
	uint64_t before = stats_of(s).log_bytes;
	ok(maintain(s), "the upkeep comes to rest");
	struct kvdstore_stats st = stats_of(s);
	is_int((int64_t)st.expiring_keys, 0, "keys that have expired are gone");
	ok(st.merges > 0 && st.log_bytes < before / 2, "the log was compacted: %" PRIu64 " of %" PRIu64 " bytes", st.log_bytes, before);
	ok(st.checkpoints > 0, "and there is a checkpoint");
	is_int((int64_t)st.keys, 20, "what lives is there");
	if (kvdstore_iter_new(s, 0, NULL, 0, &iter) || kvdstore_iter_next(iter, &value, &len))
		bail("no iteration");
	overwrite(s, 10);
	uint32_t again;
	for (int i = 0; i < 20; i++)
		if (kvdstore_maintain(s, &again) == 0)
			poll(NULL, 0, 1);
	ok(kvdstore_iter_value(iter, &value, &len, NULL) == 0 && len == 20000 && *(const char *)value == 'a' + 180 % 26,
		"beside an iteration it goes on, and that shows what it showed");
	kvdstore_iter_free(iter);
	ok(maintain(s) && stats_of(s).log_bytes < before / 2, "afterwards it comes to its end");
	is_int(kvdstore_maintain(s, NULL), 0, "nobody needs to know when again");
	overwrite(s, 10);
	is_int(kvdstore_maintain(s, &again), 0, "something may be under way");
	is_int(kvdstore_close(s), 0, "when the store is closed");
	s = open_store(&o);
	is_int((int64_t)stats_of(s).keys, 20, "which is as it was");
	kvdstore_close(s);
}

/* The directory is a small file system of its own from now on, which nobody else sees; false: that is not possible here. */
static bool mount_small(const char *options)
{
	make_dir();
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", dir, "tmpfs", 0, options) == 0;
}

static int put_one(struct kvdstore *s, int i)
{
	static char value[50000];
	char key[20];

	snprintf(key, sizeof(key), "key %d", i);
	return kvdstore_put(s, 0, key, strlen(key), value, sizeof(value), 0);
}

/* A program that goes on calling it gets its writes back with what it deletes. */
static void test_maintain_full(void)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE };
	time_t end = time(NULL) + 120;
	uint32_t again = 0;
	int n = 0, r = 0, deleted = 0;
	char key[20];

	if (!mount_small("size=24m,mode=0700")) {
		skip("upkeep on a full disk", "no mounts here");
		return;
	}
	struct kvdstore *s = open_store(&o);
	while (put_one(s, n) == 0)
		n++;
	ok(kvdstore_maintain(s, NULL) == KVDSTORE_REFUSED, "on a full disk the upkeep says so (%d values)", n);
	ok(strstr(kvdstore_message(s), "No space"), "and why: %s", kvdstore_message(s));
	for (int i = 0; i < n; i += 2) {
		snprintf(key, sizeof(key), "key %d", i);
		deleted += kvdstore_delete(s, 0, key, strlen(key)) == 0;
	}
	is_int(deleted, (n + 1) / 2, "deletions are taken");
	while ((r = put_one(s, n)) && time(NULL) < end) {
		kvdstore_maintain(s, &again);
		poll(NULL, 0, (int)again);
	}
	is_int(r, 0, "with it writes are taken again");
	is_int((int64_t)stats_of(s).keys, n / 2 + 1, "and nothing is lost");
	is_int(kvdstore_close(s), 0, "that store can be closed");
	umount2(dir, MNT_DETACH);
}

static void test_maintain_refused(void)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_READ_ONLY };
	struct kvdstore_options bad = { .size = sizeof(bad), .flags = KVDSTORE_CREATE, .compact_ratio = 101 };
	struct kvdstore *s = open_store(&o);
	char message[300];

	is_int(kvdstore_maintain(s, NULL), KVDSTORE_REFUSED, "a store that was opened read-only is not maintained");
	ok(strstr(kvdstore_message(s), "refused"), "and says so: %s", kvdstore_message(s));
	kvdstore_close(s);
	is_int(kvdstore_open(dir, &bad, &s, message, sizeof(message)), -EINVAL, "a share of more than all");
	ok(strstr(message, "100"), "is refused: %s", message);
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
	test_loans();
	test_conditions();
	test_versions_never_return();
	test_batch_conditions();
	test_expiry();
	test_ranges();
	test_stable_view();
	test_iteration_bounds();
	test_view_and_time();
	test_read_only();
	test_repair();
	test_policies();
	test_threads();
	test_snapshot_tools();
	test_verify();
	test_limits();
	test_maintain();
	test_maintain_refused();
	test_maintain_full();
	return done();
}
