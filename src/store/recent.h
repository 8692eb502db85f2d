/* SPDX-License-Identifier: MIT
 *
 * Absences that a power loss could take back: keys deleted by commits not yet durable. A read that finds nothing asks here how long its
 * answer must be held (invariant I2). Two generations of a hash table: a generation is dropped whole when its last
 * commit is durable. Keys are known by a 64-bit hash; a collision only holds an answer a little longer. The owner's thread only.
 */
#ifndef STORE_RECENT_H
#define STORE_RECENT_H

#include <stddef.h>
#include <stdint.h>

struct recent_table {
	struct recent_slot *slot;
	size_t cap, count;
	uint64_t last; /* highest position in it */
};

struct recent {
	struct recent_table now, before;
};

/* Makes sure `more` keys can be added and lets go of what is durable: 0 or -ENOMEM. */
int recent_reserve(struct recent *r, size_t more, uint64_t durable);
void recent_add(struct recent *r, uint64_t hash, uint64_t position);
/* The position of a deletion of this key above durable, or 0. */
uint64_t recent_find(const struct recent *r, uint64_t hash, uint64_t durable);
/* Forgets everything. */
void recent_clear(struct recent *r);
void recent_free(struct recent *r);

#endif
