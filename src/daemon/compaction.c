/* SPDX-License-Identifier: MIT
 *
 * When segments are merged without being asked: by the share of garbage, by time, and only in the hours that are set for it.
 */
#include <time.h>
#include "daemon/server.h"

#define DAY_MINUTES 1440

/* The window is two minutes of the day, in local time; one that ends before it begins goes over midnight. */
bool compaction_is_in_window(uint64_t window, unsigned minute)
{
	unsigned from = (unsigned)(window / DAY_MINUTES), to = (unsigned)(window % DAY_MINUTES);

	if (window == OPTION_UNSET)
		return true;
	return from <= to ? minute >= from && minute < to : minute >= from || minute < to;
}

void compaction_tick(struct server *s)
{
	uint64_t interval = option_number(&s->options, OPTION_COMPACT_INTERVAL), ticket;
	time_t now = time(NULL);
	struct tm tm;

	/* On a full disk merges are what brings writes back: they do not wait for an hour. */
	if (store_health(s->store, NULL) == 0 && (!localtime_r(&now, &tm) ||
		!compaction_is_in_window(option_number(&s->options, OPTION_COMPACT_WINDOW), (unsigned)(tm.tm_hour * 60 + tm.tm_min))))
		return;
	if (interval && s->now_ms - s->compact_ms >= interval) {
		s->compact_ms = s->now_ms;
		(void)store_compact(s->store, 0, &ticket); /* one that runs already will do */
	}
	store_compact_tick(s->store);
}

void compaction_apply(struct server *s)
{
	const struct options *o = &s->options;

	store_set_compaction(s->store, &(struct store_compaction){
		.garbage_ratio = (unsigned)option_number(o, OPTION_COMPACT_GARBAGE_RATIO),
		.min_garbage = option_number(o, OPTION_COMPACT_MIN_GARBAGE),
		.max_garbage = option_number(o, OPTION_COMPACT_MAX_GARBAGE),
		.rate = option_number(o, OPTION_COMPACT_RATE),
	});
}
