/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <stdlib.h>
#include <time.h>

/*
 * The exact clock costs about as much as a GET, twice for each request. The coarse one costs a third of that but
 * stands still for up to 10 ms, depending on the kernel, so it serves for thresholds above that; and even that is
 * left out for what cannot take so long, small requests to read commands marked as fast.
 */
enum { COARSE_MS = 10, SMALL_WORDS = 16, SMALL_BYTES = 65536 };

/* ---- histograms ---- */

void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned octave = ns >> TIMING_FIRST ? 63 - (unsigned)__builtin_clzll(ns) : 0;
	size_t i = 0;

	if (octave > TIMING_LAST)
		i = TIMING_BUCKETS - 1;
	else if (octave)
		i = (octave - TIMING_FIRST) * TIMING_STEPS + ((ns >> (octave - 3)) & (TIMING_STEPS - 1)) + 1;
	h->bucket[i]++;
	h->count++;
}

/* The first value above those of a bucket. */
static uint64_t bucket_end(size_t i)
{
	if (i == 0)
		return UINT64_C(1) << TIMING_FIRST;
	i--;
	return (uint64_t)(TIMING_STEPS + i % TIMING_STEPS + 1) << (i / TIMING_STEPS + TIMING_FIRST - 3);
}

uint64_t histogram_percentile(const struct histogram *h, double share)
{
	double want = (double)h->count * share;
	uint64_t seen = 0;

	for (size_t i = 0; i < TIMING_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen && (double)seen >= want)
			return bucket_end(i);
	}
	return 0;
}

void timing_print(const struct cmd_env *e, struct buf *out)
{
	for (size_t i = 0; i < e->ncommands; i++) {
		const struct command *k = &e->commands[i];
		if (k->histogram && k->histogram->count)
			buf_printf(out, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n", k->info->name,
				(double)histogram_percentile(k->histogram, 0.5) / 1000,
				(double)histogram_percentile(k->histogram, 0.99) / 1000,
				(double)histogram_percentile(k->histogram, 0.999) / 1000);
	}
}

void timing_reset(struct cmd_env *e)
{
	for (size_t i = 0; i < e->ncommands; i++) {
		free(e->commands[i].histogram);
		e->commands[i].histogram = NULL;
	}
}

/*
 * The samples stand for all calls, so the counts are scaled to them. Buckets are powers of two in microseconds; each
 * counts all that is below, and those that add nothing are left out.
 */
static void reply_histogram(struct resp_writer *w, const struct command *k)
{
	const struct histogram *h = k->histogram;
	uint64_t seen = 0, limit_us = 1, told = 0;
	size_t mark, n = 0;

	resp_map(w, 2);
	resp_bulk_str(w, "calls");
	resp_int(w, (int64_t)k->calls);
	resp_bulk_str(w, "histogram_usec");
	mark = w->out->len;
	for (size_t i = 0; i < TIMING_BUCKETS; i++) {
		while (bucket_end(i) > limit_us * 1000) {
			if (seen > told) {
				resp_int(w, (int64_t)limit_us);
				resp_int(w, (int64_t)((double)seen / (double)h->count * (double)k->calls));
				told = seen;
				n++;
			}
			limit_us *= 2;
		}
		seen += h->bucket[i];
	}
	if (seen > told) {
		resp_int(w, (int64_t)limit_us);
		resp_int(w, (int64_t)k->calls);
		n++;
	}
	resp_map_end(w, mark, n);
}

/* The command itself, or those of its subcommands that were sampled. */
static bool is_meant(const struct command *k, struct slice name)
{
	return slice_is(name, k->info->name) ||
	       (k->name_len > name.len && k->info->name[name.len] == '|' && strncasecmp(k->info->name, name.ptr, name.len) == 0);
}

int latency_histogram(struct call *call)
{
	struct cmd_env *e = call->env;
	size_t mark = call->out.out->len, n = 0;

	for (size_t i = 0; i < e->ncommands; i++) {
		const struct command *k = &e->commands[i];
		bool asked = call->argc == 2;
		for (size_t j = 2; j < call->argc && !asked; j++)
			asked = is_meant(k, call->argv[j]);
		if (!asked || !k->histogram || k->histogram->count == 0)
			continue;
		resp_bulk_str(&call->out, k->info->name);
		reply_histogram(&call->out, k);
		n++;
	}
	resp_map_end(&call->out, mark, n);
	return 0;
}

/* ---- watching requests ---- */

static void choose_clock(struct timing *t)
{
	t->watch = t->slow_us >= 0 || t->threshold_ms;
	t->mark = 0; /* of the other clock */
	t->exact = (t->slow_us >= 0 && t->slow_us < COARSE_MS * 1000) || (t->threshold_ms && t->threshold_ms < COARSE_MS);
}

void cmd_set_slowlog(struct cmd_env *e, int64_t slower_than_us, size_t max_len)
{
	e->timing.slow_us = slower_than_us;
	e->timing.max_slow = max_len;
	choose_clock(&e->timing);
}

void cmd_set_latency(struct cmd_env *e, uint64_t threshold_ms)
{
	e->timing.threshold_ms = threshold_ms;
	choose_clock(&e->timing);
}

static uint64_t read_clock(const struct timing *t)
{
	struct timespec ts;

	if (t->exact)
		return clock_mono_ns(&clock_system);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void cmd_wake(struct cmd_env *e)
{
	if (e->timing.watch && !e->timing.exact)
		e->timing.mark = read_clock(&e->timing);
}

/* In a row of requests the end of one is the beginning of the next. */
uint64_t timing_begin(struct cmd_env *e)
{
	if (!e->timing.watch)
		return 0;
	return e->timing.exact ? read_clock(&e->timing) : e->timing.mark;
}

static void note_latency(struct cmd_env *e, enum latency_event event, uint64_t ms)
{
	struct latency *l = &e->timing.latency[event];
	int64_t now = clock_wall_ms(&clock_system) / 1000;
	size_t last = (l->first + l->count - 1) % LATENCY_SAMPLES;
	uint32_t capped = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;

	l->max_ms = capped > l->max_ms ? capped : l->max_ms;
	if (l->count && l->sample[last].time_s == now) {
		l->sample[last].ms = capped > l->sample[last].ms ? capped : l->sample[last].ms;
		return;
	}
	if (l->count == LATENCY_SAMPLES)
		l->first = (l->first + 1) % LATENCY_SAMPLES;
	else
		l->count++;
	last = (l->first + l->count - 1) % LATENCY_SAMPLES;
	l->sample[last].time_s = now;
	l->sample[last].ms = capped;
}

static bool is_quick(const struct call *call, size_t reply)
{
	size_t bytes = reply;

	if ((call->command->flags & (FLAG_FAST | FLAG_WRITE)) != FLAG_FAST || call->argc > SMALL_WORDS)
		return false;
	for (size_t i = 1; i < call->argc; i++)
		bytes += call->argv[i].len;
	return bytes <= SMALL_BYTES;
}

void timing_end(struct call *call, uint64_t begun, size_t reply)
{
	struct timing *t = &call->env->timing;
	uint64_t now, us;

	if (!begun || !t->watch || (!t->exact && is_quick(call, reply)))
		return;
	now = read_clock(t);
	us = now > begun ? (now - begun) / 1000 : 0;
	t->mark = now;
	if (t->slow_us >= 0 && us >= (uint64_t)t->slow_us)
		slowlog_add(call, us);
	if (t->threshold_ms && us / 1000 >= t->threshold_ms)
		note_latency(call->env, call->command->flags & FLAG_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, us / 1000);
}

void timing_tick(struct cmd_env *e)
{
	struct timing *t = &e->timing;
	struct store_stats s;

	if (!t->threshold_ms)
		return;
	store_stats(e->store, &s);
	if (s.syncs != t->syncs_seen && s.last_sync_us / 1000 >= t->threshold_ms)
		note_latency(e, LATENCY_SYNC, s.last_sync_us / 1000);
	t->syncs_seen = s.syncs;
}

/* ---- LATENCY ---- */

static const char *const event_names[LATENCY_EVENTS] = { "command", "fast-command", "aof-fsync-always" };

int latency_latest(struct call *call)
{
	const struct timing *t = &call->env->timing;
	size_t n = 0;

	for (size_t i = 0; i < LATENCY_EVENTS; i++)
		n += t->latency[i].count > 0;
	resp_array(&call->out, n);
	for (size_t i = 0; i < LATENCY_EVENTS; i++) {
		const struct latency *l = &t->latency[i];
		size_t last = (l->first + l->count - 1) % LATENCY_SAMPLES;
		if (l->count == 0)
			continue;
		resp_array(&call->out, 4);
		resp_bulk_str(&call->out, event_names[i]);
		resp_int(&call->out, l->sample[last].time_s);
		resp_int(&call->out, l->sample[last].ms);
		resp_int(&call->out, l->max_ms);
	}
	return 0;
}

int latency_history(struct call *call)
{
	const struct latency *l = NULL;

	for (size_t i = 0; i < LATENCY_EVENTS; i++)
		if (slice_is(call->argv[2], event_names[i]))
			l = &call->env->timing.latency[i];
	resp_array(&call->out, l ? l->count : 0);
	for (size_t i = 0; l && i < l->count; i++) {
		resp_array(&call->out, 2);
		resp_int(&call->out, l->sample[(l->first + i) % LATENCY_SAMPLES].time_s);
		resp_int(&call->out, l->sample[(l->first + i) % LATENCY_SAMPLES].ms);
	}
	return 0;
}

int latency_reset(struct call *call)
{
	int64_t n = 0;

	for (size_t i = 0; i < LATENCY_EVENTS; i++) {
		struct latency *l = &call->env->timing.latency[i];
		bool asked = call->argc == 2;
		for (size_t j = 2; j < call->argc; j++)
			asked |= slice_is(call->argv[j], event_names[i]);
		if (!asked || l->count == 0)
			continue;
		*l = (struct latency){ .first = 0 };
		n++;
	}
	resp_int(&call->out, n);
	return 0;
}

int latency_doctor(struct call *call)
{
	const struct timing *t = &call->env->timing;
	struct buf text = { 0 };

	if (!t->threshold_ms)
		buf_append_str(&text, "The latency monitor is off; CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n");
	for (size_t i = 0; i < LATENCY_EVENTS; i++) {
		const struct latency *l = &t->latency[i];
		uint64_t sum = 0;
		for (size_t j = 0; j < l->count; j++)
			sum += l->sample[(l->first + j) % LATENCY_SAMPLES].ms;
		if (l->count)
			buf_printf(&text, "%s: in %zu different seconds, mean of the worst %llu ms, at most %u ms.\n", event_names[i],
				l->count, (unsigned long long)(sum / l->count), l->max_ms);
	}
	if (t->latency[LATENCY_SYNC].count)
		buf_append_str(&text, "Syncs of the log take long: look at the disk, or at the other users it has.\n");
	if (t->latency[LATENCY_COMMAND].count || t->latency[LATENCY_FAST_COMMAND].count)
		buf_append_str(&text, "SLOWLOG GET tells which commands take long.\n");
	if (text.len == 0)
		buf_printf(&text, "Nothing has taken %llu ms or longer.\n", (unsigned long long)t->threshold_ms);
	resp_verbatim(&call->out, "txt", buf_slice(&text));
	buf_free(&text);
	return 0;
}
