/* SPDX-License-Identifier: MIT
 *
 * Long work, shown to somebody who watches: one line on standard error that is drawn over and over and wiped
 * at the end. On anything but a terminal, with --quiet, and where TERM is dumb or unset, nothing is drawn and
 * all calls are cheap. Complaints wipe the line first and it is drawn anew below them.
 *
 *   importing  45% [#########-----------] 450000 keys, 310000/s, 2 s left
 *
 * One at a time: from progress_begin to progress_end k->progress is this one.
 */
#ifndef KVCTL_PROGRESS_H
#define KVCTL_PROGRESS_H

#include "base/buf.h"
#include "kvctl/kvctl.h"

/* How far the work is. Items are what the reader counts in; done and total measure how much of it that is, in
 * any unit (bytes of a file, say). total 0: nobody knows. */
struct progress_view {
	uint64_t items, done, total;
	bool over;
};

struct progress {
	struct kvctl *k;
	const char *what, *unit; /* "importing", "keys" */
	bool shown;              /* somebody watches */
	bool drawn;              /* a line of ours is on the terminal */
	uint64_t began_ns, drawn_ns;
};

/* what and unit stay borrowed. */
void progress_begin(struct progress *p, struct kvctl *k, const char *what, const char *unit);
/* Draws when the last drawing is a tenth of a second old. */
void progress_show(struct progress *p, const struct progress_view *view);
/* Wipes the line; p may be NULL or not begun. */
void progress_hide(struct progress *p);
void progress_end(struct progress *p);

/* Nanoseconds since progress_begin, at least 1. */
uint64_t progress_age(const struct progress *p);

/* The text of the line, at most width columns; for progress.c and its test. age_ns must not be 0. */
void progress_format(struct buf *out, const struct progress *p, const struct progress_view *view,
	uint64_t age_ns, size_t width);

#endif
