/* SPDX-License-Identifier: MIT
 *
 * Damage and health: tools for the files of a store that no daemon has open, and the same asked of a daemon.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include "base/num.h"
#include "kvctl/numbers.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"
#include "store/offline.h"

struct offline_job {
	struct kvctl *k;
	struct slice prefix; /* of the keys to show; empty: all */
	char path[PATHS_MAX];
	struct offline_report report;
	struct error e;
};

static const char *const codecs[] = { "raw", "zlib", "lz4", "zstd" };

static const char *codec_name(unsigned codec)
{
	return codec < sizeof(codecs) / sizeof(codecs[0]) ? codecs[codec] : "unknown";
}

static const char *kind_name(enum offline_kind kind)
{
	static const char *const names[] = { [OFFLINE_RECORD] = "record", [OFFLINE_VALUE] = "value", [OFFLINE_BYTES] = "bytes",
		[OFFLINE_FILE] = "file", [OFFLINE_TAIL] = "tail" };

	return names[kind];
}

static void print_time(struct kvctl *k, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[32];

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		output_printf(k, "  until %s.%03dZ", text, (int)(wall_ms % 1000));
}

static void print_record(struct kvctl *k, const struct offline_item *item)
{
	struct buf key = { 0 };

	escape(&key, item->key, "\\\"");
	output_printf(k, "%12" PRIu64 "  %-6s  ns %u  \"", item->offset, item->type, item->ns);
	output_bytes(k, buf_slice(&key));
	output_printf(k, "\"  %" PRIu64 " bytes  %s", item->value_len, codec_name(item->codec));
	if (item->expire_wall_ms != INT64_MAX)
		print_time(k, item->expire_wall_ms);
	output_printf(k, "%s  %s\n", item->commit ? "  commit" : "", item->kind == OFFLINE_RECORD ? "good" : "DAMAGED VALUE");
	buf_free(&key);
}

static void print_damage(struct kvctl *k, const struct offline_item *item)
{
	struct buf key = { 0 };

	output_printf(k, "%s: offset %" PRIu64 ", %" PRIu64 " bytes: %s", item->file, item->offset, item->size, item->text);
	if (item->kind == OFFLINE_VALUE) {
		escape(&key, item->key, "\\\"");
		output_printf(k, ": key \"");
		output_bytes(k, buf_slice(&key));
		output_printf(k, "\", namespace %u", item->ns);
		buf_free(&key);
	}
	output_printf(k, "\n");
}

static void print_json(struct kvctl *k, const struct offline_item *item)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "file", item->file, "kind", kind_name(item->kind), "offset", (json_int_t)item->offset,
		"size", (json_int_t)item->size);

	if (o && item->type) {
		json_object_set_new(o, "type", json_string(item->type));
		json_object_set_new(o, "namespace", json_integer(item->ns));
		json_put_bytes(o, "key", item->key);
		json_object_set_new(o, "value_bytes", json_integer((json_int_t)item->value_len));
		json_object_set_new(o, "codec", json_string(codec_name(item->codec)));
		json_object_set_new(o, "position", json_integer((json_int_t)item->position));
		json_object_set_new(o, "commit", json_boolean(item->commit));
		if (item->expire_wall_ms != INT64_MAX)
			json_object_set_new(o, "expires_ms", json_integer((json_int_t)item->expire_wall_ms));
	}
	if (o)
		json_object_set_new(o, "good", json_boolean(item->kind == OFFLINE_RECORD));
	if (o && item->text)
		json_object_set_new(o, "problem", json_string(item->text));
	output_json(k, o);
}

static void show(void *arg, const struct offline_item *item)
{
	struct offline_job *j = arg;

	if (j->k->output_error)
		return;
	if (j->k->json)
		print_json(j->k, item);
	else
		print_damage(j->k, item);
}

static void show_all(void *arg, const struct offline_item *item)
{
	struct offline_job *j = arg;

	if (j->k->output_error || !slice_has_prefix(item->key, j->prefix))
		return;
	if (j->k->json)
		print_json(j->k, item);
	else if (item->type)
		print_record(j->k, item);
	else
		print_damage(j->k, item);
}

static enum kvctl_exit begin(struct kvctl *k, struct slice path, struct offline_job *ret)
{
	*ret = (struct offline_job){ .k = k };
	if (path.len == 0 || path.len >= sizeof(ret->path) || memchr(path.ptr, 0, path.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no path", (int)path.len, path.ptr);
	memcpy(ret->path, path.ptr, path.len);
	return KVCTL_DONE;
}

static void print_summary(struct kvctl *k, const struct offline_report *r)
{
	if (k->json) {
		output_json(k, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "segments", (json_int_t)r->segments, "records",
			(json_int_t)r->records, "bytes", (json_int_t)r->bytes, "damaged", (json_int_t)r->damaged, "damaged_bytes",
			(json_int_t)r->damaged_bytes, "lost", (json_int_t)r->lost, "gaps", (json_int_t)r->gaps, "tail_bytes", (json_int_t)r->tail_bytes));
		return;
	}
	if (k->quiet)
		return;
	output_printf(k, "%" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64 " byte%s: ", r->segments, num_plural(r->segments), r->records,
		num_plural(r->records), r->bytes, num_plural(r->bytes));
	if (r->damaged)
		output_printf(k, "%" PRIu64 " damaged place%s", r->damaged, num_plural(r->damaged));
	else
		output_printf(k, "no damage");
	if (r->lost || r->gaps)
		output_printf(k, "; repaired: %" PRIu64 " value%s lost, %" PRIu64 " gap%s", r->lost, num_plural(r->lost), r->gaps, num_plural(r->gaps));
	output_printf(k, "\n");
}

static enum kvctl_exit verify_offline(struct kvctl *k, struct slice dir)
{
	struct offline_job j;
	enum kvctl_exit code = begin(k, dir, &j);

	if (code)
		return code;
	if (offline_verify(&io_system, j.path, show, &j, &j.report, &j.e))
		return refuse(k, KVCTL_REFUSED, "%s", j.e.text);
	print_summary(k, &j.report);
	return j.report.damaged ? KVCTL_REFUSED : KVCTL_DONE;
}

int verb_dump(struct kvctl *k, const struct args *a)
{
	struct offline_job j;
	enum kvctl_exit code = begin(k, args_at(a, 0), &j);

	if (code)
		return code;
	args_option(a, "prefix", &j.prefix);
	if (offline_dump(&io_system, j.path, show_all, &j, &j.report, &j.e))
		return refuse(k, KVCTL_REFUSED, "%s", j.e.text);
	return j.report.damaged ? KVCTL_REFUSED : KVCTL_DONE;
}

static void warn_gaps(struct kvctl *k, const struct offline_report *r)
{
	if (r->gaps)
		complain(k, "it could not be told whose some of the damaged bytes were: a key they wrote shows the value it had before, or none");
}

int verb_repair(struct kvctl *k, const struct args *a)
{
	struct offline_job j;
	enum kvctl_exit code = begin(k, args_at(a, 0), &j);

	if (code)
		return code;
	if (offline_repair(&io_system, j.path, show, &j, &j.report, &j.e))
		return refuse(k, KVCTL_REFUSED, "%s", j.e.text);
	print_summary(k, &j.report);
	warn_gaps(k, &j.report);
	return KVCTL_DONE;
}

/* ---- through the daemon ---- */

static enum kvctl_exit verify_online(struct kvctl *k)
{
	struct slice argv[2] = { SLICE("KVD.VERIFY"), SLICE("SYNC") };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 2, &r);

	if (code)
		return code;
	if (r->type != REDIS_REPLY_ARRAY) {
		code = connect_unexpected(k, r);
	} else {
		struct offline_report report = { .segments = (uint64_t)reply_int(r, "segments"),
			.records = (uint64_t)reply_int(r, "records"), .bytes = (uint64_t)reply_int(r, "bytes"),
			.damaged = (uint64_t)reply_int(r, "errors") };
		print_summary(k, &report);
		code = report.damaged ? KVCTL_REFUSED : KVCTL_DONE;
		if (report.damaged)
			complain(k, "the places are listed in damaged/INDEX of the data directory, and in the journal");
	}
	freeReplyObject(r);
	return code;
}

int verb_verify(struct kvctl *k, const struct args *a)
{
	struct slice dir;

	return args_option(a, "offline", &dir) ? verify_offline(k, dir) : verify_online(k);
}

static void print_health(struct kvctl *k, struct slice problem)
{
	bool healthy = problem.len == 0;

	if (k->json) {
		json_t *o = json_object();
		if (o) {
			json_object_set_new(o, "healthy", json_boolean(healthy));
			json_put_bytes(o, "problem", problem);
		}
		output_json(k, o);
	} else if (!k->quiet) {
		output_printf(k, healthy ? "healthy\n" : "not healthy: ");
		output_text(k, problem);
		output_printf(k, healthy ? "" : "\n");
	}
}

int verb_health(struct kvctl *k, const struct args *a)
{
	struct slice problem = { "", 0 };
	redisReply *r;
	enum kvctl_exit code = info_fetch(k, "kvd", &r);

	(void)a;
	if (code)
		return code;
	info_find(reply_slice(r), "kvd_problem", &problem);
	print_health(k, problem);
	freeReplyObject(r);
	return problem.len ? KVCTL_REFUSED : KVCTL_DONE;
}
