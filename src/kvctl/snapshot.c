/* SPDX-License-Identifier: MIT
 *
 * snapshot: create and delete ask the daemon. What reads a snapshot (verify, export) or replaces the store (restore) works on the files, so
 * it needs their owner's rights and no daemon; list does either.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/io.h"
#include "base/num.h"
#include "base/owner.h"
#include "kvctl/output.h"
#include "kvctl/progress.h"
#include "kvctl/verb.h"
#include "store/snapshot_tool.h"

#define MAX_SOURCES 32

/* ---- words ---- */

static enum kvctl_exit copy_word(struct kvctl *k, struct slice word, char *out, size_t size)
{
	if (word.len == 0 || word.len >= size || memchr(word.ptr, 0, word.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name", (int)(word.len < 100 ? word.len : 100), word.ptr);
	memcpy(out, word.ptr, word.len);
	out[word.len] = '\0';
	return KVCTL_DONE;
}

/* The data directory: as given, or the daemon's. */
static enum kvctl_exit find_data_dir(struct kvctl *k, const struct args *a, char out[PATHS_MAX])
{
	struct slice argv[3] = { SLICE("CONFIG"), SLICE("GET"), SLICE("data-dir") }, given;
	enum kvctl_exit code;
	redisReply *r;

	if (args_option(a, "data-dir", &given))
		return copy_word(k, given, out, PATHS_MAX);
	code = connect_ask(k, argv, 3, &r);
	if (code == KVCTL_NO_CONNECTION)
		complain(k, "--data-dir says where the data is while no daemon runs");
	if (code)
		return code;
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->type == REDIS_REPLY_STRING)
		code = copy_word(k, reply_slice(r->element[1]), out, PATHS_MAX);
	else
		code = connect_unexpected(k, r);
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit fail(struct kvctl *k, const struct error *e)
{
	bool rights = e->code == -EACCES || e->code == -EPERM;

	return refuse(k, KVCTL_REFUSED, "%s%s", e->text, rights ? "; this needs the rights of the user the daemon runs as, or root's" : "");
}

/* ---- create, delete ---- */

static enum kvctl_exit create_timed(struct kvctl *k, const struct args *a)
{
	struct slice argv[1] = { SLICE("SAVE") };
	redisReply *r;

	if (a->n > 1)
		return refuse(k, KVCTL_USAGE, "a timed snapshot is named by the time");
	enum kvctl_exit code = connect_ask(k, argv, 1, &r);
	if (code)
		return code;
	freeReplyObject(r);
	output_confirm(k);
	return KVCTL_DONE;
}

static enum kvctl_exit create(struct kvctl *k, const struct args *a)
{
	struct slice argv[3] = { SLICE("KVD.BACKUP"), a->n > 1 ? a->arg[1] : SLICE("*"), SLICE("SYNC") };
	redisReply *r;

	if (args_option(a, "timed", NULL))
		return create_timed(k, a);
	enum kvctl_exit code = connect_ask(k, argv, 3, &r);
	if (code)
		return code;
	if (r->type != REDIS_REPLY_STATUS)
		code = connect_unexpected(k, r);
	else if (!k->quiet || a->n < 2) /* a name the daemon has chosen is no confirmation but the answer */
		output_printf(k, k->json ? "{\"name\":\"%s\"}\n" : "%s\n", r->str);
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit delete_all(struct kvctl *k, const struct args *a)
{
	struct slice argv[3] = { SLICE("KVD.BACKUPDEL"), { 0 }, SLICE("SYNC") };
	enum kvctl_exit code = KVCTL_DONE;

	for (size_t i = 1; !code && i < a->n; i++) {
		redisReply *r;
		argv[1] = a->arg[i];
		code = connect_ask(k, argv, 3, &r);
		if (!code)
			freeReplyObject(r);
	}
	if (!code)
		output_confirm(k);
	return code;
}

/* ---- list ---- */

struct row {
	const char *name, *kind;
	int64_t time_s;
	uint64_t bytes, segments, position;
};

static void print_row(struct kvctl *k, const struct row *row, json_t *all)
{
	char when[40] = "-";
	time_t seconds = (time_t)row->time_s;
	struct tm tm;

	if (all) {
		json_array_append_new(all,
			json_pack("{ss ss sI sI sI sI}", "name", row->name, "kind", row->kind, "time", (json_int_t)row->time_s, "bytes",
				(json_int_t)row->bytes, "segments", (json_int_t)row->segments, "position", (json_int_t)row->position));
		return;
	}
	if (row->time_s && gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	output_printf(k, "%-28s  %-7s  %-20s  %10.2f MB\n", row->name, row->kind, when, (double)row->bytes / (1 << 20));
}

static const char *kind_of(const struct store_snapshot *s)
{
	return s->damaged ? "damaged" : s->timed ? "timed" : "hand";
}

static enum kvctl_exit list_files(struct kvctl *k, const char *dir, json_t *all)
{
	struct store_snapshot *list;
	struct error e = { 0 };
	size_t n;

	if (store_snapshot_list(NULL, dir, &list, &n, &e))
		return fail(k, &e);
	for (size_t i = 0; i < n; i++) {
		const struct store_snapshot *s = &list[i];
		print_row(k, &(struct row){ s->name, kind_of(s), s->time_ms / 1000, s->bytes, s->segments, s->position }, all);
	}
	free(list);
	return KVCTL_DONE;
}

static const char *find_text(const redisReply *map, const char *name)
{
	const redisReply *r = reply_find(map, name, REDIS_REPLY_STRING);

	return r ? r->str : "?";
}

static enum kvctl_exit list_daemon(struct kvctl *k, json_t *all)
{
	struct slice argv[1] = { SLICE("KVD.BACKUPS") };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 1, &r);

	if (code)
		return code;
	if (r->type != REDIS_REPLY_ARRAY)
		code = connect_unexpected(k, r);
	for (size_t i = 0; !code && i < r->elements; i++) {
		const redisReply *m = r->element[i];
		print_row(k,
			&(struct row){ find_text(m, "name"), find_text(m, "kind"), reply_int(m, "time"), (uint64_t)reply_int(m, "bytes"),
				(uint64_t)reply_int(m, "segments"), (uint64_t)reply_int(m, "position") },
			all);
	}
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit list(struct kvctl *k, const struct args *a)
{
	json_t *all = k->json ? json_array() : NULL;
	char dir[PATHS_MAX];
	enum kvctl_exit code;

	if (!args_option(a, "data-dir", NULL))
		code = list_daemon(k, all);
	else if (!(code = find_data_dir(k, a, dir)))
		code = list_files(k, dir, all);
	if (k->json && !code)
		output_json(k, all);
	else
		json_decref(all);
	return code;
}

/* ---- verify ---- */

static enum kvctl_exit verify_one(struct kvctl *k, const char *dir, const char *name)
{
	struct store_snapshot_check c = { 0 };
	struct error e = { 0 };

	if (store_snapshot_verify(NULL, dir, name, &c, &e))
		return fail(k, &e);
	if (k->json)
		output_json(k, json_pack("{ss sI sI sI}", "name", name, "segments", (json_int_t)c.segments, "records", (json_int_t)c.records,
				       "bytes", (json_int_t)c.bytes));
	else if (!k->quiet)
		output_printf(k, "%s: whole, %" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64 " bytes\n", name, c.segments,
			num_plural(c.segments), c.records, num_plural(c.records), c.bytes);
	return KVCTL_DONE;
}

static enum kvctl_exit verify(struct kvctl *k, const struct args *a)
{
	char dir[PATHS_MAX], name[PATHS_MAX];
	enum kvctl_exit code = find_data_dir(k, a, dir), worst = code;

	for (size_t i = 1; !code && i < a->n; i++) {
		enum kvctl_exit one = copy_word(k, a->arg[i], name, sizeof(name));
		if (!one)
			one = verify_one(k, dir, name);
		worst = one > worst ? one : worst;
	}
	return worst;
}

/* ---- export ---- */

struct stream {
	struct kvctl *k;
	struct progress progress;
	uint64_t done, total;
};

static int write_out(void *arg, const void *data, size_t len)
{
	struct stream *s = arg;

	for (size_t at = 0; at < len;) {
		ssize_t n = write(STDOUT_FILENO, (const char *)data + at, len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			s->k->output_error = errno;
			return -errno;
		}
		at += (size_t)n;
	}
	s->done += len;
	progress_show(&s->progress, &(struct progress_view){ .items = s->done >> 20, .done = s->done, .total = s->total });
	return 0;
}

/* Into a file: is there room for it? Elsewhere nobody can say. */
static enum kvctl_exit check_room(struct kvctl *k, uint64_t need)
{
	uint64_t free_bytes;
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || io_system.free_space(&io_system, STDOUT_FILENO, &free_bytes) < 0 ||
		free_bytes >= need)
		return KVCTL_DONE;
	return refuse(k, KVCTL_REFUSED, "the archive has %" PRIu64 " bytes, %" PRIu64 " are free where it is to go", need, free_bytes);
}

static enum kvctl_exit run_export(struct kvctl *k, const char *dir, const char *name, const char *since)
{
	struct stream s = { .k = k };
	struct error e = { 0 };
	struct stat st;

	if (store_snapshot_measure(NULL, dir, name, since, &s.total, &e))
		return fail(k, &e);
	enum kvctl_exit code = check_room(k, s.total);
	if (code)
		return code;
	progress_begin(&s.progress, k, "exporting", "MiB");
	int r = store_snapshot_export(NULL, dir, name, since, write_out, &s, &e);
	progress_end(&s.progress);
	if (r && k->output_error)
		return KVCTL_REFUSED; /* the end of the program says why */
	if (r)
		return fail(k, &e);
	/* A backup that is reported as done must not sit in the page cache alone. */
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && fsync(STDOUT_FILENO) < 0)
		return refuse(k, KVCTL_REFUSED, "the archive cannot be synced: %s", strerror(errno));
	if (!k->quiet)
		complain(k, "exported snapshot %s%s%s, %" PRIu64 " bytes", name, since ? " since " : "", since ? since : "", s.done);
	return KVCTL_DONE;
}

static enum kvctl_exit export(struct kvctl *k, const struct args *a)
{
	char dir[PATHS_MAX], name[PATHS_MAX], since[PATHS_MAX];
	struct slice older;
	bool incremental = args_option(a, "since", &older);

	if (k->terminal)
		return refuse(k, KVCTL_USAGE, "an archive is nothing for a terminal: redirect standard output to a file or a program");
	enum kvctl_exit code = copy_word(k, a->arg[1], name, sizeof(name));
	if (!code && incremental)
		code = copy_word(k, older, since, sizeof(since));
	if (!code)
		code = find_data_dir(k, a, dir);
	return code ? code : run_export(k, dir, name, incremental ? since : NULL);
}

/* ---- restore ---- */

static enum kvctl_exit run_restore(struct kvctl *k, const char *dir, const struct store_source *from, size_t n)
{
	struct store_restored done;
	struct error e = { 0 };
	int r = owner_become(dir);

	if (r)
		return refuse(k, KVCTL_REFUSED, "%s: cannot act as its owner: %s", dir, strerror(-r));
	if (store_restore(NULL, dir, from, n, &done, &e))
		return fail(k, &e);
	if (k->json)
		output_json(k, json_pack("{ss ss sI sI}", "name", done.name, "aside", done.aside, "records", (json_int_t)done.records, "bytes",
				       (json_int_t)done.bytes));
	else if (!k->quiet)
		output_printf(k, "snapshot %s is restored in %s: %" PRIu64 " record%s of %" PRIu64 " bytes\n", done.name, dir, done.records,
			num_plural(done.records), done.bytes);
	if (!k->json && !k->quiet && *done.aside)
		output_printf(k, "what was there before is in %s/%s\n", dir, done.aside);
	return KVCTL_DONE;
}

static enum kvctl_exit restore(struct kvctl *k, const struct args *a)
{
	struct store_source from[MAX_SOURCES];
	char dir[PATHS_MAX], word[MAX_SOURCES][PATHS_MAX];
	struct error e = { 0 };
	size_t n = 0;

	if (!args_option(a, "data-dir", NULL))
		return refuse(k, KVCTL_USAGE, "--data-dir says where to restore; the daemon there must be stopped");
	if (a->n - 1 > MAX_SOURCES)
		return refuse(k, KVCTL_USAGE, "a chain has at most %d archives", MAX_SOURCES);
	enum kvctl_exit code = find_data_dir(k, a, dir);
	if (!code && mkdir(dir, 0700) < 0 && errno != EEXIST)
		code = refuse(k, KVCTL_REFUSED, "%s: cannot be made: %s", dir, strerror(errno));
	for (; !code && n + 1 < a->n; n++) {
		code = copy_word(k, a->arg[n + 1], word[n], PATHS_MAX);
		if (code)
			break;
		if (store_source_open(dir, word[n], &from[n], &e))
			code = fail(k, &e);
	}
	if (!code)
		code = run_restore(k, dir, from, n);
	while (n > 0)
		store_source_close(&from[--n]);
	return code;
}

/* ---- the verb ---- */

static const struct {
	const char *word;
	enum kvctl_exit (*run)(struct kvctl *k, const struct args *a);
	size_t min, max; /* names behind it */
	const char *syntax;
} subverbs[] = {
	{ "create", create, 0, 1, "create [--timed | NAME]" },
	{ "list", list, 0, 0, "list [--data-dir DIR]" },
	{ "verify", verify, 1, SIZE_MAX, "verify [--data-dir DIR] NAME..." },
	{ "export", export, 1, 1, "export [--since NAME] [--data-dir DIR] NAME" },
	{ "restore", restore, 1, SIZE_MAX, "restore --data-dir DIR NAME | FILE..." },
	{ "delete", delete_all, 1, SIZE_MAX, "delete NAME..." },
};

int verb_snapshot(struct kvctl *k, const struct args *a)
{
	for (size_t i = 0; i < sizeof(subverbs) / sizeof(subverbs[0]); i++) {
		if (!slice_eq(a->arg[0], slice_str(subverbs[i].word)))
			continue;
		if (a->n - 1 < subverbs[i].min || a->n - 1 > subverbs[i].max)
			return refuse(k, KVCTL_USAGE, "usage: kvctl snapshot %s", subverbs[i].syntax);
		return subverbs[i].run(k, a);
	}
	return refuse(k, KVCTL_USAGE, "snapshot knows create, list, verify, export, restore and delete");
}
