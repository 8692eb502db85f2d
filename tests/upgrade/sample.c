/* SPDX-License-Identifier: MIT
 *
 * The sample store that a release leaves to those after it: writes one, lists one, and uses one.
 *
 *   sample make DIR            writes a store with all there can be in one into an empty directory
 *   sample list DIR            prints what a store holds, a key a line: database, key in hex, end (Unix ms, or -), length and CRC-32 of the
 *                              value; or "corrupt"
 *   sample use DIR             writes to it, merges all of it, opens it anew, and leaves it with the keys it had
 *
 * How a release adds its sample: README, Releasing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc.h"
#include "store/offline.h"
#include "store/store.h"

#define DATABASES 16
#define FAR_AWAY INT64_C(4102444800000) /* the year 2100, Unix ms */

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "sample: %s: %s\n", what, why);
	exit(1);
}

static void check(int r, const struct store *s, const char *what)
{
	if (r)
		fail(what, s && *store_problem(s) ? store_problem(s) : strerror(r < 0 ? -r : EIO));
}

static struct store *open_store(const char *dir, unsigned flags)
{
	struct store_options o = { .path = dir, .flags = flags | STORE_BLOCKING, .databases = DATABASES, .segment_size = 1 << 20 };
	struct store *s;
	struct error e = { 0 };

	if (store_open(&o, &s, &e))
		fail(dir, e.text);
	return s;
}

static void close_store(struct store *s)
{
	check(store_close(s), NULL, "close");
}

static void wait_for(struct store *s)
{
	struct pollfd p = { store_notify_fd(s), POLLIN, 0 };

	store_submit(s);
	poll(&p, 1, 1000);
	store_poll(s);
}

static void commit(struct store *s, struct txn *t)
{
	uint64_t position;

	check(txn_commit(t, &position), s, "commit");
	check(store_wait(s, position), s, "sync");
	store_poll(s);
}

static void put_bytes(struct store *s, unsigned db, const char *key, struct slice value, int64_t expire_wall_ms)
{
	struct txn *t = txn_begin(s, NULL);
	int64_t expire = expire_wall_ms ? store_from_wall(s, expire_wall_ms) : STORE_NO_EXPIRY;

	check(txn_put(t, db, slice_str(key), value, expire), s, key);
	commit(s, t);
}

static void put(struct store *s, unsigned db, const char *key, const char *value)
{
	put_bytes(s, db, key, slice_str(value), 0);
}

/* A value no codec can shorten. */
static void put_noise(struct store *s, unsigned db, const char *key, size_t len)
{
	char *value = malloc(len + 1);
	uint64_t x = len * 2654435761u + 1;

	if (!value)
		fail(key, "out of memory");
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		value[i] = (char)x;
	}
	put_bytes(s, db, key, slice(value, len), 0);
	free(value);
}

static void delete(struct store *s, unsigned db, const char *key)
{
	struct txn *t = txn_begin(s, NULL);

	check(txn_delete(t, db, slice_str(key)), s, key);
	commit(s, t);
}

static void rotate(struct store *s)
{
	uint64_t number;

	check(store_rotate(s, &number), s, "rotate");
	while (!store_rotated(s, number))
		wait_for(s);
}

static void compact(struct store *s)
{
	struct store_stats st;
	uint64_t ticket;

	check(store_compact(s, STORE_COMPACT_FORCE, &ticket), s, "compact");
	while (store_stats(s, &st), st.compactions_done < ticket)
		wait_for(s);
	check(st.compact_result, NULL, "compact");
}

/* ---- make ---- */

/* Sizes of records: in steps of 8 bytes below 8 KiB, above in 32 steps an octave. */
static void write_sizes(struct store *s)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 9, 100, 1000, 4000, 8130, 8140, 8144, 8160, 9000, 12345, 20000, 33000 };
	char key[400];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(key, sizeof(key), "size:%zu", sizes[i]);
		put_noise(s, 0, key, sizes[i]);
	}
	put(s, 0, "", "the empty key");
	memset(key, 'k', 300);
	key[300] = 0;
	put(s, 0, key, "a long key");
	put(s, 0, "\xff\xfe\x01", "bytes that are no text");
}

static void write_compressed(struct store *s)
{
	char text[20000];

	store_set_compression(s, STORE_ZLIB, 6, 64);
	memset(text, 'z', sizeof(text));
	put_bytes(s, 1, "compressed:20000", slice(text, sizeof(text)), 0);
	put_bytes(s, 1, "compressed:100", slice(text, 100), 0);
	put_bytes(s, 1, "compressed, with an end", slice(text, 5000), FAR_AWAY);
	store_set_compression(s, STORE_RAW, 0, 0);
}

static void write_databases(struct store *s)
{
	put(s, 2, "exchanged", "was in 2");
	put(s, 3, "exchanged", "was in 3");
	put(s, 4, "flushed", "nobody sees this");
	put(s, 15, "last", "database");
	struct txn *t = txn_begin(s, NULL);
	check(txn_swap(t, 2, 3), s, "swap");
	check(txn_flush(t, 4), s, "flush");
	check(txn_put(t, 4, slice_str("after"), slice_str("the flush"), STORE_NO_EXPIRY), s, "put");
	commit(s, t);
}

static void write_ends(struct store *s)
{
	put_bytes(s, 0, "end:far", slice_str("alive"), FAR_AWAY);
	put_bytes(s, 0, "end:past", slice_str("dead"), 1000);
	put_bytes(s, 0, "end:taken away", slice_str("x"), FAR_AWAY);
	put(s, 0, "end:taken away", "alive");
}

/* Finds a key in a file of the log and changes one byte, so many behind its first. */
static void damage(const char *dir, const char *file, const char *key, int offset)
{
	char path[4096], data[65536];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, data, sizeof(data), 0);
	char *at = n > 0 ? memmem(data, (size_t)n, key, strlen(key)) : NULL;
	if (!at)
		fail(path, "the key to be damaged is not there");
	at[offset] ^= 4;
	if (pwrite(fd, at + offset, 1, at + offset - data) != 1 || fsync(fd))
		fail(path, strerror(errno));
	close(fd);
}

static void ignore(void *arg, const struct offline_item *item)
{
	(void)arg;
	(void)item;
}

/* A value whose bytes are lost, and a record of which nothing is known. */
static void repair(const char *dir, const char *file)
{
	struct offline_report report;
	struct error e = { 0 };

	damage(dir, file, "lost value", 12);
	damage(dir, file, "gap", -20);
	if (offline_repair(&io_system, dir, ignore, NULL, &report, &e))
		fail(dir, e.text);
	if (report.lost != 1 || report.gaps != 1)
		fail(dir, "the repair did not leave what it should");
}

static void make_snapshot(struct store *s, const char *name)
{
	struct store_snapshot_state st;

	check(store_snapshot_begin(s, name, 0, NULL), s, "snapshot");
	while (store_snapshot_state(s, &st), st.running)
		wait_for(s);
	check(st.last_result, NULL, st.problem);
}

static void make_checkpoint(struct store *s)
{
	struct store_stats st;

	check(store_checkpoint(s), s, "checkpoint");
	while (store_stats(s, &st), st.checkpoint_running)
		wait_for(s);
	if (st.checkpoints == 0)
		fail("checkpoint", "it was not written");
}

static void make(const char *dir)
{
	struct store *s = open_store(dir, STORE_CREATE);
	struct store_stats st;
	char name[32];

	/* What a merge has written. */
	write_sizes(s);
	write_databases(s);
	write_ends(s);
	put(s, 0, "deleted before the merge", "x");
	delete(s, 0, "deleted before the merge");
	put(s, 0, "gap", "what it shows after the repair");
	compact(s);
	/* What it has not, in several segments. */
	write_compressed(s);
	put(s, 0, "deleted", "x");
	put(s, 0, "overwritten", "old");
	rotate(s);
	delete(s, 0, "deleted");
	delete(s, 0, "size:9");
	put(s, 0, "overwritten", "new");
	store_stats(s, &st);
	snprintf(name, sizeof(name), "%010" PRIu64 ".seg", st.active_segment);
	put(s, 0, "lost value", "this cannot be read");
	put(s, 0, "gap", "this is not known to have been here");
	put_bytes(s, 5, "exchanged again", slice_str("was in 5"), FAR_AWAY);
	struct txn *t = txn_begin(s, NULL);
	check(txn_swap(t, 5, 6), s, "swap");
	check(txn_flush(t, 7), s, "flush");
	commit(s, t);
	rotate(s);
	close_store(s);
	repair(dir, name);
	s = open_store(dir, 0);
	put(s, 0, "before the snapshot", "1");
	make_snapshot(s, "sample");
	put(s, 0, "behind the snapshot", "1");
	make_checkpoint(s);
	put(s, 0, "behind the checkpoint", "1");
	make_snapshot(s, "indexed"); /* has the checkpoint in it */
	delete(s, 0, "size:7");
	close_store(s);
}

/* ---- list ---- */

static void print_key(struct store *s, struct txn *t, unsigned db, struct slice key, int64_t expire_ms)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	printf("%u ", db);
	for (size_t i = 0; i < key.len; i++)
		printf("%02x", (unsigned char)key.ptr[i]);
	if (r == STORE_CORRUPT) {
		printf(" corrupt\n");
		return;
	}
	check(r, s, "get");
	if (expire_ms == STORE_NO_EXPIRY)
		printf(" -");
	else /* the two clocks of the machine tremble */
		printf(" %" PRId64, (store_to_wall(s, expire_ms) + 500) / 1000 * 1000);
	printf(" %zu %08" PRIx32 "\n", v.data.len, crc_update(0, v.data.ptr, v.data.len));
}

static void list(const char *dir)
{
	struct store *s = open_store(dir, STORE_READ_ONLY);

	for (unsigned db = 0; db < DATABASES; db++) {
		struct txn *t = txn_begin(s, NULL);
		struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), false);
		struct slice key;
		int64_t expire_ms;
		while (scan && txn_scan_next(scan, &key, &expire_ms) == 0)
			print_key(s, t, db, key, expire_ms);
		txn_scan_end(scan);
		txn_abort(t);
	}
	close_store(s);
}

/* ---- use ---- */

static void use(const char *dir)
{
	struct store *s = open_store(dir, 0);

	put(s, 0, "of the younger release", "1");
	put(s, 7, "of the younger release", "1");
	rotate(s);
	compact(s);
	close_store(s);
	s = open_store(dir, 0);
	delete(s, 0, "of the younger release");
	delete(s, 7, "of the younger release");
	compact(s);
	make_checkpoint(s);
	close_store(s);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "make") == 0)
		make(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "list") == 0)
		list(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "use") == 0)
		use(argv[2]);
	else
		fail("usage", "sample make|list|use DIR");
	return 0;
}
