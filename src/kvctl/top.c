/* SPDX-License-Identifier: MIT
 *
 * top: a look at the daemon every other second, redrawn in place on a terminal, one after the other
 * elsewhere.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/signals.h"
#include "kvctl/top.h"
#include "kvctl/verb.h"

#define INTERVAL_MS 2000
#define ONCE_MS 1000
#define INTERVAL_LEAST_MS 10

struct screen {
	bool live; /* drawn in place, keys are heard */
	struct termios before;
	struct signals signals; /* the terminal must be given back first */
};

static void open_screen(struct kvctl *k, struct screen *s)
{
	struct termios mode;

	if (!s->live || tcgetattr(STDIN_FILENO, &s->before)) {
		s->live = false;
		return;
	}
	k->screen = s;
	signals_hold(&s->signals, false);
	mode = s->before;
	mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &mode);
	/* A screen of its own, without a cursor; what was there comes back behind it. */
	fputs("\033[?1049h\033[?25l", stdout);
}

void screen_close(struct screen *s)
{
	if (!s || !s->live)
		return;
	s->live = false;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	signals_release(&s->signals);
}

/* False: the reader wants no more. */
static bool pause_for(const struct screen *s, uint64_t ms)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec time = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	char c;

	if (!s->live) {
		nanosleep(&time, NULL);
		return true;
	}
	if (signals_came())
		return false;
	if (poll(&keys, 1, ms > INT32_MAX ? -1 : (int)ms) <= 0)
		return !signals_came();
	/* Any other key: a new look at once. */
	return read(STDIN_FILENO, &c, 1) == 1 && c != 'q' && c != 'Q' && c != 3 && c != 4;
}

/* ---- JSON ---- */

static json_t *commands_json(const struct top_view *v)
{
	json_t *all = json_object();

	for (size_t i = 0; all && i < v->ncommands; i++) {
		const struct top_command *c = &v->command[i];
		json_t *one = json_pack("{s:f, s:f}", "per_s", c->per_s, "mean_us", c->mean_us);
		if (one && c->p50 >= 0)
			json_object_set_new(one, "p50_us", json_real(c->p50));
		if (one && c->p99 >= 0)
			json_object_set_new(one, "p99_us", json_real(c->p99));
		if (one && c->p999 >= 0)
			json_object_set_new(one, "p99_9_us", json_real(c->p999));
		json_object_set_new(all, c->name, one);
	}
	return all;
}

static void print_json(struct kvctl *k, const struct top_view *v)
{
	json_t *object = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "seconds", v->seconds,
		"commands_per_s", v->commands_s, "errors_per_s", v->errors_s, "input_bytes_per_s", v->in_s,
		"output_bytes_per_s", v->out_s, "records_per_s", v->writes_s, "syncs_per_s", v->syncs_s,
		"sync_us", v->sync_us);
	const struct {
		const char *name;
		int64_t value;
	} gauges[] = { { "keys", v->keys }, { "expiring_keys", v->expiring },
		{ "connected_clients", v->clients }, { "blocked_clients", v->blocked },
		{ "rss_bytes", v->rss }, { "keydir_bytes", v->keydir }, { "cache_bytes", v->cache },
		{ "tail_bytes", v->tail }, { "log_bytes", v->log_bytes }, { "live_bytes", v->live_bytes },
		{ "dead_bytes", v->dead_bytes }, { "segments", v->segments }, { "uptime_seconds", v->uptime },
		{ "refusing_writes", v->refusing }, { "damaged", v->damaged } };

	if (object) {
		json_object_set_new(
			object, "hit_rate", v->hit_rate < 0 ? json_null() : json_real(v->hit_rate));
		for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
			json_object_set_new(object, gauges[i].name, json_integer(gauges[i].value));
		json_object_set_new(object, "merging", json_boolean(v->merging));
		json_object_set_new(object, "commands", commands_json(v));
	}
	output_json(k, object);
}

/* ---- looks ---- */

/* Each line is wiped behind its end. */
static void draw(struct kvctl *k, struct slice text)
{
	struct slice line;

	output_bytes(k, SLICE("\033[H"));
	while (info_next_line(&text, &line)) {
		output_bytes(k, line);
		output_bytes(k, SLICE("\033[K\n"));
	}
	output_bytes(k, SLICE("\033[J"));
}

static void show(struct kvctl *k, const struct screen *s, const struct top_view *v)
{
	struct buf text = { 0 };

	if (k->json) {
		print_json(k, v);
	} else {
		top_format(k, v, s->live ? output_width(STDOUT_FILENO) : SIZE_MAX, s->live ? output_height(STDOUT_FILENO) - 1 : SIZE_MAX, &text);
		if (s->live)
			draw(k, buf_slice(&text));
		else
			output_bytes(k, buf_slice(&text));
	}
	buf_free(&text);
	output_flush(k);
}

static enum kvctl_exit look(struct kvctl *k, const struct screen *s, uint64_t ms, uint64_t count)
{
	struct top_sample before, now;
	struct top_view view;
	enum kvctl_exit code = top_sample(k, &before);

	if (code)
		return code;
	/* The first look does not keep anybody waiting for a whole interval. */
	for (uint64_t i = 0; !code && i < count && !k->output_error; i++) {
		if (!pause_for(s, s->live && i == 0 && ms > 200 ? 200 : ms))
			break;
		code = top_sample(k, &now);
		if (code)
			break;
		top_compare(&before, &now, &view);
		show(k, s, &view);
		top_sample_free(&before);
		before = now;
	}
	top_sample_free(&before);
	return code;
}

int verb_top(struct kvctl *k, const struct args *a)
{
	bool once = args_option(a, "once", NULL);
	uint64_t ms = once ? ONCE_MS : INTERVAL_MS, count = once ? 1 : UINT64_MAX;
	struct slice text;
	struct screen s = { 0 };
	enum kvctl_exit code;

	if (args_option(a, "interval", &text) &&
		(num_parse_duration(text, &ms) || ms < INTERVAL_LEAST_MS || ms > INT32_MAX))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no interval; from 10ms on, examples: 1, 500ms",
			(int)text.len, text.ptr);
	if (args_option(a, "count", &text) && num_parse_u64(text, &count))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no number", (int)text.len, text.ptr);
	code = connect_open(k);
	if (code)
		return code;
	s.live = !once && !k->json && k->terminal && output_can_draw(STDOUT_FILENO) && isatty(STDIN_FILENO);
	open_screen(k, &s);
	code = look(k, &s, ms, count);
	screen_close(&s);
	k->screen = NULL;
	signals_obey(k);
	return code;
}
