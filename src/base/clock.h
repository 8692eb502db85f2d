/* SPDX-License-Identifier: MIT
 *
 * Time as an argument, so that tests can move it. wall is Unix time and may step; mono never steps, runs on
 * while the machine sleeps, and its zero is arbitrary. Safe from any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*wall_ms)(const struct clock *c);  /* milliseconds since 1970 */
	uint64_t (*mono_ns)(const struct clock *c); /* nanoseconds */
};

/* The machine's own clocks (CLOCK_REALTIME, CLOCK_BOOTTIME). */
extern const struct clock clock_system;

static inline int64_t clock_wall_ms(const struct clock *c)
{
	return c->wall_ms(c);
}

static inline uint64_t clock_mono_ns(const struct clock *c)
{
	return c->mono_ns(c);
}

#endif
