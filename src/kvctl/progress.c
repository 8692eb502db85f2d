/* SPDX-License-Identifier: MIT */
#include "kvctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "kvctl/output.h"

#define REDRAW_NS 100000000
#define BAR_WIDTH 20

void progress_begin(struct progress *p, struct kvctl *k, const char *what, const char *unit)
{
	*p = (struct progress){
		.k = k, .what = what, .unit = unit, .began_ns = clock_mono_ns(&clock_system)
	};
	p->shown = !k->quiet && output_can_draw(STDERR_FILENO);
	k->progress = p;
}

uint64_t progress_age(const struct progress *p)
{
	uint64_t age = clock_mono_ns(&clock_system) - p->began_ns;

	return age ? age : 1;
}

static void format_duration(struct buf *out, uint64_t seconds)
{
	if (seconds < 120)
		buf_printf(out, "%" PRIu64 " s", seconds);
	else if (seconds < 7200)
		buf_printf(out, "%" PRIu64 " min", seconds / 60);
	else
		buf_printf(out, "%" PRIu64 " h", seconds / 3600);
}

static void format_bar(struct buf *out, const struct progress_view *v)
{
	uint64_t done = v->done < v->total ? v->done : v->total;
	unsigned percent = (unsigned)(100.0 * (double)done / (double)v->total);
	unsigned filled = percent * BAR_WIDTH / 100;

	buf_printf(out, " %3u%% [", percent);
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		buf_append_char(out, i < filled ? '#' : '-');
	buf_append_char(out, ']');
}

void progress_format(struct buf *out, const struct progress *p, const struct progress_view *view,
	uint64_t age_ns, size_t width)
{
	double seconds = (double)age_ns / 1e9;
	size_t start = out->len;

	buf_append_str(out, p->what);
	if (view->total)
		format_bar(out, view);
	buf_printf(out, " %" PRIu64 " %s, %.0f/s", view->items, p->unit, (double)view->items / seconds);
	if (view->total && view->done && view->done < view->total) {
		buf_append_str(out, ", ");
		format_duration(
			out, (uint64_t)(seconds * (double)(view->total - view->done) / (double)view->done));
		buf_append_str(out, " left");
	}
	if (out->len - start > width)
		out->len = start + width;
}

void progress_show(struct progress *p, const struct progress_view *view)
{
	struct buf line = { 0 };
	uint64_t now;

	if (!p->shown)
		return;
	now = clock_mono_ns(&clock_system);
	/* Work that is done within the first tenth of a second needs no line. */
	if (now - (p->drawn_ns ? p->drawn_ns : p->began_ns) < REDRAW_NS)
		return;
	p->drawn_ns = now;
	buf_append_char(&line, '\r');
	/* The last column stays free: a full line would wrap on some terminals. */
	progress_format(&line, p, view, progress_age(p), output_width(STDERR_FILENO) - 1);
	buf_append_str(&line, "\033[K");
	if (!line.failed)
		fwrite(line.ptr, 1, line.len, stderr);
	buf_free(&line);
	fflush(stderr);
	p->drawn = true;
}

void progress_hide(struct progress *p)
{
	if (!p || !p->drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->drawn = false;
}

void progress_end(struct progress *p)
{
	progress_hide(p);
	if (p->k)
		p->k->progress = NULL;
}
