/* SPDX-License-Identifier: MIT
 *
 * SIGINT and SIGTERM, for work that leaves something to be given back or said: they are noted, interrupt what waits, and take effect
 * when all that is done.
 */
#ifndef KVCTL_SIGNALS_H
#define KVCTL_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct kvctl;

struct signals {
	struct sigaction interrupt, terminate, alarm; /* as they were */
};

/* One that is ignored, as in the background of a shell, stays so. once: a second one ends the program at once. */
void signals_hold(struct signals *ret, bool once);
void signals_release(const struct signals *s);
int signals_came(void); /* the one that came since they were held last, 0: none */
/* What came takes effect, after what was printed has gone out. Release them before. */
void signals_obey(struct kvctl *k);

#endif
