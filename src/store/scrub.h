/* SPDX-License-Identifier: MIT
 *
 * The scrub: a thread of the lowest priority that reads back everything the log is known to have on disk, by time and slowly, or when asked and then as
 * fast as idle time allows. It walks the files by itself (verify.h) and never touches the data; what it finds damaged it lists in damaged/INDEX and
 * hands to the owner, who knows whether a key lives there. Damage that a read meets is listed by it, too, since the owner must not wait for the disk.
 *
 * scrub_* are calls of the owner.
 */
#ifndef STORE_SCRUB_H
#define STORE_SCRUB_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "store/damaged.h"
#include "store/store.h"

struct scrub_segment;
struct scrub_note;

struct scrub {
	pthread_t thread;
	bool running;              /* the thread exists */
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool stop, begin;          /* under lock: leave; there is a list to walk */
	struct scrub_note *to_list; /* under lock: damage that is to be listed */
	struct scrub_note *found;  /* under lock: for the owner */
	unsigned listing;          /* under lock: length of to_list */
	bool ended;                /* under lock: the pass is over, `counts` are final */
	struct store_scrub counts; /* under lock: of the pass that runs, or of the last one */
	_Atomic uint64_t rate;     /* bytes a second; 0: no limit */
	_Atomic bool quit, hurry;  /* as stop, looked at between records; somebody waits for this pass */
	struct scrub_segment *list; /* handed over with `begin` */
	size_t count;
	/* The owner's. */
	bool active;               /* a pass runs */
	uint64_t interval_ms;      /* 0: none by time */
	int64_t due_ms;            /* wall clock */
	uint64_t standing;         /* damaged places known to stand in the log: since the last pass that found none */
};

void scrub_init(struct store *s);
void scrub_stop(struct store *s);
/* Takes in what the thread found; part of store_poll. */
void scrub_poll(struct store *s);
/* Has a place listed that a read found damaged. */
void scrub_note(struct store *s, const struct damaged_place *place);

#endif
