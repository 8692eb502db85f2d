/* SPDX-License-Identifier: MIT
 *
 * Records on their way into the daemon: many SETs under way at a time, so that neither side waits for the
 * other, and the replies counted. What import does, whatever it reads from.
 */
#ifndef KVCTL_LOADER_H
#define KVCTL_LOADER_H

#include "kvctl/progress.h"
#include "kvctl/signals.h"

#define LOADER_REQUESTS 16384   /* under way at most */
#define LOADER_BYTES (16 << 20) /* of keys and values, about */

struct loader {
	struct kvctl *k;
	const char *source, *unit; /* for messages: a file's name; what its records are numbered by, "line" */
	const char *noun;          /* what is stored, "key" */
	bool skip_bad, if_absent;  /* set by the caller */
	struct {
		uint64_t number; /* of the record, in its source */
		size_t bytes;
	} under_way[LOADER_REQUESTS]; /* a ring */
	size_t first, n, bytes, unsent;
	uint64_t stored, kept, bad;
	uint64_t failed; /* number of the first record that is not known to be stored; 0: none */
	struct signals signals;
	struct progress progress;
	struct progress_view view; /* done and total are the caller's */
};

/* NULL: no memory, which has been said. The texts stay borrowed. Signals are held until loader_free. */
struct loader *loader_new(struct kvctl *k, const char *source, const char *unit, const char *noun);
void loader_free(struct loader *l);

/* ttl_ms below 0: the key does not expire. Key and value are copied. A failure, also one of an earlier
 * record, means that nothing more should be sent. */
enum kvctl_exit loader_put(
	struct loader *l, uint64_t number, struct slice key, struct slice value, int64_t ttl_ms);

/* Reports a record that cannot be sent. KVCTL_DONE when such are to be skipped. */
enum kvctl_exit loader_bad(struct loader *l, uint64_t number, struct slice why);

/* A signal asks to end: `next`, the first record that is not sent, is where to go on. */
bool loader_interrupted(struct loader *l, uint64_t next);

/* Takes every reply due, also after a failure: what was sent has happened and is to be counted. code is what
 * the work ended with so far; returns what it ends with. */
enum kvctl_exit loader_finish(struct loader *l, enum kvctl_exit code);

/* "imported 5 keys, left 2 as found", and where to go on after a failure; on standard output with --json,
 * else on standard error; nothing with --quiet. again: the option that goes on where this ended, or NULL. */
void loader_summarize(struct loader *l, const char *again);

#endif
