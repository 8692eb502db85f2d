/* SPDX-License-Identifier: MIT
 *
 * What top shows: two looks at the daemon, and what happened between them.
 */
#ifndef KVCTL_TOP_H
#define KVCTL_TOP_H

#include "base/buf.h"
#include "kvctl/numbers.h"

struct top_sample {
	struct numbers numbers; /* KVD.STATS */
	redisReply *info;       /* INFO all */
	uint64_t at_ns;
};

enum kvctl_exit top_sample(struct kvctl *k, struct top_sample *ret);
void top_sample_free(struct top_sample *s);

#define TOP_COMMANDS 12 /* shown at most, the busiest first */

struct top_command {
	char name[32];
	double per_s, mean_us; /* of the time between the samples */
	double p50, p99, p999; /* microseconds since the daemon's start; below 0: it does not tell */
	uint64_t calls;
};

struct top_view {
	double seconds; /* between the samples */
	double commands_s, errors_s, in_s, out_s, writes_s, syncs_s, sync_us;
	double hit_rate; /* 0 to 1; below 0: nothing was read */
	int64_t keys, expiring, clients, blocked, log_bytes, live_bytes, dead_bytes, segments, uptime;
	int64_t rss, keydir, cache, tail;
	int64_t refusing, damaged;
	bool merging;
	double merged; /* 0 to 1; below 0: the daemon does not tell */
	char version[32], problem[200];
	struct top_command command[TOP_COMMANDS];
	size_t ncommands;
};

void top_compare(const struct top_sample *before, const struct top_sample *now, struct top_view *ret);

/* For people, in at most `height` lines of `width` columns. */
void top_format(struct kvctl *k, const struct top_view *v, size_t width, size_t height, struct buf *out);

#endif
