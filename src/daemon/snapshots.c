/* SPDX-License-Identifier: MIT
 *
 * Timed snapshots. They are due at the multiples of snapshot-interval in UTC (1h: on the hour, 1d: at midnight), and one whose time passed while
 * nobody was there is made up for at the next start.
 */
#include "base/log.h"
#include "daemon/server.h"

#define RETRY_MS 60000 /* after one that was begun, whatever became of it */

/* When the youngest timed one was made; 0: there is none. One from the future tells of a wrong clock, not of a snapshot. */
static int64_t find_last(const struct server *s, int64_t now_ms)
{
	const struct store_snapshot *list;
	size_t n = store_snapshots(s->store, &list);
	int64_t last = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].timed && list[i].time_ms <= now_ms && list[i].time_ms > last)
			last = list[i].time_ms;
	return last;
}

void snapshots_tick(struct server *s)
{
	int64_t interval = (int64_t)option_number(&s->options, OPTION_SNAPSHOT_INTERVAL), now = clock_wall_ms(&clock_system);
	struct store_snapshot_state st;

	if (interval == 0 || s->stopping || s->now_ms < s->snapshot_ms || find_last(s, now) / interval >= now / interval)
		return;
	store_snapshot_state(s->store, &st);
	if (st.running)
		return;
	s->snapshot_ms = s->now_ms + RETRY_MS;
	if (store_snapshot_begin(s->store, NULL, (unsigned)option_number(&s->options, OPTION_SNAPSHOT_KEEP), NULL))
		log_warning("%s", store_problem(s->store));
}
