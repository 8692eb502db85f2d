/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static int64_t read_wall(const struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t read_mono(const struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_BOOTTIME, &t); /* time asleep counts, too: a key of an hour does not live through a night */
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

const struct clock clock_system = { .wall_ms = read_wall, .mono_ns = read_mono };
