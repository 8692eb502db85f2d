/* SPDX-License-Identifier: MIT
 *
 * How long commands take: a histogram for each command, of the calls that are sampled; the slow log, which keeps
 * the slowest requests word for word; and the latency monitor, which keeps the worst of each second. Inner door of
 * the room.
 */
#ifndef CMD_TIMING_H
#define CMD_TIMING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "base/slice.h"

struct call;
struct cmd_env;
struct command;
struct buf;
struct resp_writer;

/* Eight steps to each doubling, from 64 ns to more than a minute. */
enum { TIMING_STEPS = 8, TIMING_FIRST = 6, TIMING_LAST = 36 };
enum { TIMING_BUCKETS = (TIMING_LAST - TIMING_FIRST + 1) * TIMING_STEPS + 1 };

struct histogram {
	uint64_t count;
	uint32_t bucket[TIMING_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
/* The upper end of the step that a share of all samples lies below, in nanoseconds. */
uint64_t histogram_percentile(const struct histogram *h, double share);

struct slow_entry {
	TAILQ_ENTRY(slow_entry) link;
	uint64_t id, us;
	int64_t time_s;
	char *addr, *name;
	size_t argc;
	struct slice argv[]; /* the bytes behind them */
};

enum latency_event { LATENCY_COMMAND, LATENCY_FAST_COMMAND, LATENCY_SYNC, LATENCY_EVENTS };
enum { LATENCY_SAMPLES = 160 };

struct latency {
	struct {
		int64_t time_s;
		uint32_t ms;
	} sample[LATENCY_SAMPLES];
	size_t first, count;
	uint32_t max_ms;
};

struct timing {
	int64_t slow_us;       /* of the slow log; negative: off */
	uint64_t threshold_ms; /* of the latency monitor; 0: off */
	bool watch, exact;     /* whether requests are timed, and by the clock that costs more */
	uint64_t mark;         /* by the coarse clock: the end of the last timed request, or when cmd_wake was called */
	TAILQ_HEAD(slow_list, slow_entry) slow; /* latest first */
	size_t nslow, max_slow;
	uint64_t next_slow;
	struct latency latency[LATENCY_EVENTS];
	uint64_t syncs_seen;
};

void timing_init(struct timing *t);
void timing_free(struct timing *t);

/* Around one command. What begin returned is for end; 0: it is not timed. reply: bytes it has appended. */
uint64_t timing_begin(struct cmd_env *e);
void timing_end(struct call *call, uint64_t begun, size_t reply);
/* Once a second: the syncs. */
void timing_tick(struct cmd_env *e);
void timing_reset(struct cmd_env *e); /* the histograms, for CONFIG RESETSTAT */
void timing_print(const struct cmd_env *e, struct buf *out); /* INFO latencystats */

#endif
