/* SPDX-License-Identifier: MIT
 *
 * RESERVE: a file of blocks with nothing in them, kept for a full disk. A store that only appends needs space to give space back: a merge copies what lives before it
 * removes what does not, and even a catalog that names less is first written beside the one it replaces. So on a full disk the file is removed, and its blocks
 * are what a merge, a catalog, a new segment or a deletion is written to. It is made anew before other writes are taken again.
 *
 * It holds a part of the log (RESERVE_PART), RESERVE_LEAST bytes at least and not more than a segment: with that a merge of any one segment fits. It grows in
 * steps with the log. The file's size is 0, the blocks lie behind its end, so that whoever copies the directory copies nothing. Where the file system cannot
 * allocate (EOPNOTSUPP) there is no reserve; nothing here ever fails a store.
 */
#ifndef STORE_RESERVE_H
#define STORE_RESERVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESERVE_NAME "RESERVE"
#define RESERVE_LEAST ((uint64_t)256 << 10)
#define RESERVE_PART 16 /* of the bytes of the log */
#define RESERVE_SHORT_NS UINT64_C(60000000000) /* since the disk was last full: what a merge brings is wanted, however little */
#define RESERVE_CAUTION_MAX 4

struct store;

struct reserve {
	pthread_mutex_t lock;       /* held while the file is changed */
	_Atomic uint64_t size;      /* bytes it holds */
	_Atomic bool given;         /* since somebody looked whether it should be filled */
	_Atomic uint64_t log_bytes; /* of the complete segments; the owner's to set */
	size_t segments;            /* of the log; the owner's */
	_Atomic uint64_t room;      /* bytes that were free when somebody last looked, those of the file included; UINT64_MAX: it cannot be known */
	_Atomic uint64_t segment_most; /* bytes of a segment on a disk of this size: reserve_segment_size */
	_Atomic uint64_t asked, answered; /* how often the owner has asked for a look, and what it asked last has been done: sync_ask_for_look */
	_Atomic uint64_t lent;      /* bytes that a merge on the full disk may still need: not space that has come back. The owner's to set. */
	unsigned caution;           /* merges on a full disk that found less room than they were told of: half as much is believed for each. The owner's. */
};

/* Takes what an earlier run left, or makes the file: when a store is opened for writing. */
void reserve_open(struct store *s);
/* The owner, when the log has got another segment or lost some. */
void reserve_count(struct store *s);

/*
 * Bytes of a segment: as in the options, but on a small disk so few that a log that fills it has more segments than the reserve is a part of it, and so any
 * one of them can be merged from it. Any thread.
 */
uint64_t reserve_segment_size(const struct store *s);

/* ---- the owner's, for merges ---- */

/* The disk is full, was a moment ago, or would be found so by the next write. */
bool reserve_is_short(const struct store *s);
/* Bytes of records that can be copied beside the reserve, or, with `use`, into it as well. */
uint64_t reserve_room(const struct store *s, bool use);
/*
 * So many bytes are about to be copied; with `use` the reserve may be needed for them. Then the disk counts as full, so that others do not write to what was kept, and
 * until it is taken back nothing else counts as space that has come back.
 */
void reserve_lend(struct store *s, uint64_t bytes, bool use);
void reserve_take_back(struct store *s);

/* Whether what the owner asked for last has been done. */
static inline bool reserve_looked(const struct reserve *r)
{
	return atomic_load(&r->answered) == atomic_load(&r->asked);
}

/* ---- the rest is for any thread but the owner's, as it may wait for the disk. active_size: bytes of the active segment's file ---- */

/* Whether the log has changed so much that the reserve should be filled, or cut. */
bool reserve_is_due(const struct store *s, uint64_t active_size);
/* Makes it as large as it should be, or as there is space. -ENOSPC: it should have `least` bytes and has not; 0: anything else. */
int reserve_fill(struct store *s, uint64_t active_size, uint64_t least);
/* Removes the file: true when there was one, so that trying again is worth it. */
bool reserve_give(struct store *s);
/* Notes `room` and `segment_most`. False: beside what is lent, there is not enough of it for a reserve and so many bytes ahead. */
bool reserve_look(struct store *s, uint64_t active_size, uint64_t ahead);

#endif
