/* SPDX-License-Identifier: MIT
 *
 * Memory for the pages of one key directory. Blocks above KEYDIR_MEM_SMALL come from slabs of 64 KiB, each
 * cut into equal blocks; the block sizes are those that leave no rest in a slab (16, 17, 18 ... to a slab),
 * so a block is at most some per cent larger than what was asked for. Smaller blocks come from malloc.
 *
 * Pages grow from size to size, all at about the same time when keys are random, and leave thin slabs behind.
 * So the owner asks keydir_mem_thin for a slab worth emptying and moves its blocks with keydir_mem_move; that
 * bounds what free blocks cost.
 */
#ifndef STORE_KEYDIR_MEM_H
#define STORE_KEYDIR_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYDIR_MEM_MAX 4088   /* bytes, the largest block */
#define KEYDIR_MEM_SMALL 1024 /* bytes, up to here malloc serves */
#define KEYDIR_MEM_FEWEST 16  /* blocks in a slab */
#define KEYDIR_MEM_MOST 63
#define KEYDIR_MEM_SHELVES 4 /* slabs of a class by how full they are */

struct keydir_slab;
struct keydir_region;

struct keydir_mem {
	struct keydir_class {
		struct keydir_slab *shelf[KEYDIR_MEM_SHELVES]; /* with room, the fullest last */
		uint32_t slabs, used;                          /* used: blocks */
	} class[KEYDIR_MEM_MOST - KEYDIR_MEM_FEWEST + 1];
	struct keydir_region *regions; /* those with room */
	size_t region_count, slabs;
	struct keydir_slab *spare; /* empty ones, kept; in none of the counts */
	size_t spares;
	size_t bytes;  /* of malloc blocks, and of slabs as far as they were ever touched */
	unsigned thin; /* blocks to a slab in the class that may have one worth emptying; 0: none */
	/* For tests: called before each allocation, true makes it fail. NULL otherwise. */
	bool (*refuse)(void *arg);
	void *refuse_arg;
};

/* A block of at least `size` bytes; *ret_size is what it holds and what free must be told. NULL: no memory.
 */
void *keydir_mem_alloc(struct keydir_mem *m, size_t size, size_t *ret_size);
void keydir_mem_free(struct keydir_mem *m, void *block, size_t size);

/* Memory of any size, for keys out of line; `size` must be given back as it was. */
void *keydir_mem_alloc_long(struct keydir_mem *m, size_t size);
void keydir_mem_free_long(struct keydir_mem *m, void *ptr, size_t size);

/*
 * A slab whose blocks all fit into the free blocks of its class, or NULL. No new block is taken from it: the
 * owner moves all its blocks, and with the last the slab is gone.
 */
struct keydir_slab *keydir_mem_thin(struct keydir_mem *m);
/* A used block of the slab; *ret_size is its size. */
void *keydir_mem_next(const struct keydir_slab *slab, size_t *ret_size);
/* Moves a block of a thin slab to another slab and returns where; cannot fail. *ret_last: the thin slab is
 * gone. */
void *keydir_mem_move(struct keydir_mem *m, void *block, size_t size, bool *ret_last);

/* Whether every block went back; for keydir_check and tests. */
bool keydir_mem_empty(const struct keydir_mem *m);

#endif
