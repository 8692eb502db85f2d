/* SPDX-License-Identifier: MIT */
#include "kvctl/top.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/num.h"
#include "kvctl/output.h"

enum kvctl_exit top_sample(struct kvctl *k, struct top_sample *ret)
{
	*ret = (struct top_sample){ 0 };
	enum kvctl_exit code = numbers_fetch(k, &ret->numbers);

	if (!code)
		code = info_fetch(k, "all", &ret->info);
	ret->at_ns = clock_mono_ns(&clock_system);
	if (code)
		top_sample_free(ret);
	return code;
}

void top_sample_free(struct top_sample *s)
{
	numbers_free(&s->numbers);
	freeReplyObject(s->info);
	s->info = NULL;
}

/* ---- commands ---- */

/* The number behind "name=" in a line of INFO, "calls=1,usec=2"; below 0: there is none. */
static double find_field(struct slice line, const char *name)
{
	size_t len = strlen(name);
	char digits[32];

	for (size_t i = 0; i + len < line.len; i++) {
		if ((i && line.ptr[i - 1] != ',') || memcmp(line.ptr + i, name, len) != 0 ||
			line.ptr[i + len] != '=')
			continue;
		snprintf(digits, sizeof(digits), "%.*s", (int)(line.len - i - len - 1),
			line.ptr + i + len + 1);
		return strtod(digits, NULL);
	}
	return -1;
}

static void take_latency(struct top_command *c, struct slice info)
{
	char name[80];
	struct slice line;

	c->p50 = c->p99 = c->p999 = -1;
	snprintf(name, sizeof(name), "latency_percentiles_usec_%s", c->name);
	if (!info_find(info, name, &line))
		return;
	c->p50 = find_field(line, "p50");
	c->p99 = find_field(line, "p99");
	c->p999 = find_field(line, "p99.9");
}

/* A row of INFO commandstats, "cmdstat_get:calls=1,usec=2,..."; false: it was not called between the samples.
 */
static bool take_command(struct slice line, struct slice before, double seconds, struct top_command *ret)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	char name[80];
	struct slice old = { 0 };
	double calls, usec, old_calls = 0, old_usec = 0;

	*ret = (struct top_command){ 0 };
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(colon - line.ptr - 8), line.ptr + 8);
	calls = find_field(slice_skip(line, (size_t)(colon - line.ptr) + 1), "calls");
	usec = find_field(slice_skip(line, (size_t)(colon - line.ptr) + 1), "usec");
	snprintf(name, sizeof(name), "cmdstat_%s", ret->name);
	if (info_find(before, name, &old)) {
		old_calls = find_field(old, "calls");
		old_usec = find_field(old, "usec");
	}
	/* CONFIG RESETSTAT begins anew. */
	if (calls < old_calls)
		old_calls = old_usec = 0;
	if (calls <= old_calls)
		return false;
	ret->calls = (uint64_t)calls;
	ret->per_s = (calls - old_calls) / seconds;
	ret->mean_us = usec > old_usec ? (usec - old_usec) / (calls - old_calls) : 0;
	return true;
}

/* Keeps the busiest, in order. */
static void add_command(struct top_view *v, const struct top_command *c)
{
	size_t i = v->ncommands < TOP_COMMANDS ? v->ncommands++ : TOP_COMMANDS;

	for (; i > 0 && v->command[i - 1].per_s < c->per_s; i--)
		if (i < TOP_COMMANDS)
			v->command[i] = v->command[i - 1];
	if (i < TOP_COMMANDS)
		v->command[i] = *c;
}

static void compare_commands(struct slice before, struct slice now, struct top_view *ret)
{
	struct slice text = now, line;

	while (info_next_line(&text, &line)) {
		struct top_command c;
		if (!slice_has_prefix(line, SLICE("cmdstat_")) || !memchr(line.ptr, ':', line.len) ||
			!take_command(line, before, ret->seconds, &c))
			continue;
		take_latency(&c, now);
		add_command(ret, &c);
	}
}

/* ---- all of it ---- */

static double rate(
	const struct top_sample *before, const struct top_sample *now, const char *name, double seconds)
{
	int64_t grown = numbers_get(&now->numbers, name) - numbers_get(&before->numbers, name);

	return grown > 0 ? (double)grown / seconds : 0;
}

static int64_t find_number(struct slice info, const char *name)
{
	struct slice text;
	int64_t n = 0;

	if (info_find(info, name, &text))
		num_parse_i64(text, &n);
	return n;
}

static void copy_text(struct slice info, const char *name, char *ret, size_t size)
{
	struct slice text = { "", 0 };

	info_find(info, name, &text);
	snprintf(ret, size, "%.*s", (int)text.len, text.ptr);
}

static void take_gauges(const struct numbers *n, struct slice info, struct top_view *ret)
{
	ret->keys = numbers_get(n, "keys");
	ret->expiring = numbers_get(n, "expiring_keys");
	ret->clients = numbers_get(n, "connected_clients");
	ret->blocked = numbers_get(n, "blocked_clients");
	ret->log_bytes = numbers_get(n, "log_bytes");
	ret->live_bytes = numbers_get(n, "live_bytes");
	ret->dead_bytes = numbers_get(n, "dead_bytes");
	ret->segments = numbers_get(n, "segments");
	ret->uptime = numbers_get(n, "uptime_seconds");
	ret->keydir = numbers_get(n, "keydir_bytes");
	ret->cache = numbers_get(n, "cache_bytes");
	ret->tail = numbers_get(n, "tail_bytes");
	ret->refusing = numbers_get(n, "refusing_writes");
	ret->damaged = numbers_get(n, "damaged");
	ret->rss = find_number(info, "used_memory_rss");
	copy_text(info, "kvd_version", ret->version, sizeof(ret->version));
	copy_text(info, "kvd_problem", ret->problem, sizeof(ret->problem));
}

static void take_merge(const struct numbers *n, struct top_view *ret)
{
	int64_t running = 0, done, total;

	ret->merged = -1;
	ret->merging = numbers_find(n, "merging", &running) && running;
	if (ret->merging && numbers_find(n, "merge_bytes_done", &done) &&
		numbers_find(n, "merge_bytes_total", &total) && total > 0)
		ret->merged = (double)done / (double)total;
}

void top_compare(const struct top_sample *before, const struct top_sample *now, struct top_view *ret)
{
	struct slice old = reply_slice(before->info), new = reply_slice(now->info);
	double s, hits, misses, syncs;

	*ret = (struct top_view){ .seconds = (double)(now->at_ns - before->at_ns) / 1e9 };
	if (ret->seconds <= 0)
		ret->seconds = 1e-9;
	s = ret->seconds;
	ret->commands_s = rate(before, now, "commands", s);
	ret->errors_s = rate(before, now, "command_errors", s);
	ret->in_s = rate(before, now, "input_bytes", s);
	ret->out_s = rate(before, now, "output_bytes", s);
	ret->writes_s = rate(before, now, "records", s);
	ret->syncs_s = syncs = rate(before, now, "syncs", s);
	ret->sync_us = syncs > 0 ? rate(before, now, "sync_us_total", s) / syncs : 0;
	hits = rate(before, now, "keyspace_hits", s);
	misses = rate(before, now, "keyspace_misses", s);
	ret->hit_rate = hits + misses > 0 ? hits / (hits + misses) : -1;
	take_gauges(&now->numbers, new, ret);
	take_merge(&now->numbers, ret);
	compare_commands(old, new, ret);
}

/* ---- for people ---- */

static void format_size(struct buf *out, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t u = 0;

	for (; bytes >= 1024 && u < 4; u++)
		bytes /= 1024;
	buf_printf(out, u && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

static void format_label(struct kvctl *k, struct buf *out, const char *label)
{
	buf_printf(out, k->colour ? "\033[2m%-10s\033[0m" : "%-10s", label);
}

/* A problem that is not a refusal tells of the damage itself. */
static void format_trouble(const struct kvctl *k, const struct top_view *v, struct buf *out)
{
	bool counted = v->damaged && (v->refusing || !*v->problem);

	if (!v->refusing && !v->damaged && !*v->problem)
		return;
	buf_printf(out, "%s%s%s%s", k->colour ? "\033[31m" : "", v->refusing ? "refuses writes" : "",
		v->refusing && *v->problem ? ": " : "", v->problem);
	if (counted)
		buf_printf(out, "%s%" PRId64 " damaged record%s", v->refusing ? "; " : "", v->damaged, num_plural(v->damaged));
	buf_printf(out, "%s\n", k->colour ? "\033[0m" : "");
}

static void format_head(struct kvctl *k, const struct top_view *v, struct buf *out)
{
	buf_printf(out, "kvd %s at %s, up ", v->version, k->socket);
	if (v->uptime < 7200)
		buf_printf(out, "%" PRId64 " min\n", v->uptime / 60);
	else
		buf_printf(out, "%" PRId64 " h\n", v->uptime / 3600);
	format_trouble(k, v, out);
}

static void format_work(struct kvctl *k, const struct top_view *v, struct buf *out)
{
	format_label(k, out, "commands");
	buf_printf(out, "%.0f/s, %.0f errors/s, hit rate ", v->commands_s, v->errors_s);
	if (v->hit_rate < 0)
		buf_append_str(out, "-");
	else
		buf_printf(out, "%.1f %%", v->hit_rate * 100);
	buf_append_char(out, '\n');
	format_label(k, out, "clients");
	buf_printf(out, "%" PRId64 ", %" PRId64 " waiting; in ", v->clients, v->blocked);
	format_size(out, v->in_s);
	buf_append_str(out, "/s, out ");
	format_size(out, v->out_s);
	buf_append_str(out, "/s\n");
	format_label(k, out, "log");
	buf_printf(
		out, "%.0f records/s, %.0f syncs/s of %.2f ms\n", v->writes_s, v->syncs_s, v->sync_us / 1000);
}

static void format_sizes(struct kvctl *k, const struct top_view *v, struct buf *out)
{
	format_label(k, out, "keys");
	buf_printf(out, "%" PRId64 ", %" PRId64 " of them expire\n", v->keys, v->expiring);
	format_label(k, out, "memory");
	format_size(out, (double)v->rss);
	buf_append_str(out, ": keys ");
	format_size(out, (double)v->keydir);
	buf_append_str(out, ", values ");
	format_size(out, (double)v->cache);
	buf_append_str(out, ", end of log ");
	format_size(out, (double)v->tail);
	buf_append_char(out, '\n');
	format_label(k, out, "disk");
	format_size(out, (double)v->log_bytes);
	buf_printf(out, " in %" PRId64 " segment%s: live ", v->segments, num_plural(v->segments));
	format_size(out, (double)v->live_bytes);
	buf_append_str(out, ", garbage ");
	format_size(out, (double)v->dead_bytes);
	buf_printf(out, " (%.0f %%)\n",
		v->log_bytes > 0 ? 100.0 * (double)v->dead_bytes / (double)v->log_bytes : 0.0);
	if (!v->merging)
		return;
	format_label(k, out, "merge");
	if (v->merged >= 0)
		buf_printf(out, "%.0f %% done\n", v->merged * 100);
	else
		buf_append_str(out, "running\n");
}

static void format_percentile(struct buf *out, double us)
{
	if (us < 0)
		buf_printf(out, "%10s", "-");
	else
		buf_printf(out, "%10.1f", us);
}

static void format_commands(struct kvctl *k, const struct top_view *v, size_t lines, struct buf *out)
{
	if (!v->ncommands || lines < 2)
		return;
	buf_printf(out, "%s%-20s%12s%10s%10s%10s%10s%s\n", k->colour ? "\033[1m" : "", "COMMAND", "CALLS/S",
		"MEAN us", "P50 us", "P99 us", "P99.9 us", k->colour ? "\033[0m" : "");
	for (size_t i = 0; i < v->ncommands && i + 1 < lines; i++) {
		const struct top_command *c = &v->command[i];
		buf_printf(out, "%-20s%12.0f%10.1f", c->name, c->per_s, c->mean_us);
		format_percentile(out, c->p50);
		format_percentile(out, c->p99);
		format_percentile(out, c->p999);
		buf_append_char(out, '\n');
	}
}

/* Escape sequences take no columns and are kept, also behind the cut: one of them ends the colour. */
static void cut_line(struct slice line, size_t width, struct buf *out)
{
	size_t columns = 0;

	for (size_t i = 0; i < line.len; i++) {
		const char *end = line.ptr[i] == '\033' ? memchr(line.ptr + i, 'm', line.len - i) : NULL;
		if (end) {
			buf_append(out, line.ptr + i, (size_t)(end + 1 - line.ptr) - i);
			i = (size_t)(end - line.ptr);
			continue;
		}
		columns += ((unsigned char)line.ptr[i] & 0xc0) != 0x80; /* the first byte of a character */
		if (columns <= width)
			buf_append_char(out, line.ptr[i]);
	}
	buf_append_char(out, '\n');
}

void top_format(struct kvctl *k, const struct top_view *v, size_t width, size_t height, struct buf *out)
{
	struct buf text = { 0 };
	struct slice rest, line;
	size_t lines = 1;

	format_head(k, v, &text);
	format_work(k, v, &text);
	format_sizes(k, v, &text);
	for (size_t i = 0; i < text.len; i++)
		lines += text.ptr[i] == '\n';
	if (height > lines + 1) {
		buf_append_char(&text, '\n');
		format_commands(k, v, height - lines - 1, &text);
	}
	rest = buf_slice(&text);
	for (size_t i = 0; i < height && info_next_line(&rest, &line); i++)
		cut_line(line, width, out);
	buf_free(&text);
}
