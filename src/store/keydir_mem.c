/* SPDX-License-Identifier: MIT
 *
 * Region: 2 MiB of address space (the first few are smaller) from mmap, cut into slabs. Slab: 64 KiB, aligned
 * to its size so that a block finds its slab, a header of 64 bytes and then equal blocks. A few empty slabs are kept
 * for the next class that needs one, as all pages grow at about the same time; the others give their memory
 * back at once, an empty region its addresses.
 */
#include "store/keydir_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEYDIR_MEM_MALLOC 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KEYDIR_MEM_MALLOC 1
#endif
#ifndef KEYDIR_MEM_MALLOC
#define KEYDIR_MEM_MALLOC 0 /* 1: every block by malloc, so that the sanitizer sees its bounds */
#endif

#define SLAB_SIZE ((size_t)65536)
#define SLAB_HEADER ((size_t)64)
#define REGION_SMALL 4 /* slabs in the first regions, so that a small directory stays small */
#define REGION_LARGE 32
#define SMALL_REGIONS 8
#define FEW_SLABS 96
#define SOME_SLABS 384
#define MALLOC_COST 8 /* bytes a malloc block costs beside its content */
#define THIN 16       /* one free block for so many used ones is enough */
#define SPARE 64      /* one empty slab for so many is kept */

struct keydir_region {
	struct keydir_region *next, *prev;
	char *base;
	uint32_t free;  /* bit per slab */
	uint32_t slabs; /* how many it has */
};

struct keydir_slab {
	struct keydir_slab *next, *prev; /* on its shelf */
	struct keydir_region *region;
	uint64_t map; /* bit per block, set when used */
	uint16_t used;
	uint8_t class;   /* blocks it has */
	uint8_t touched; /* blocks that were ever in use: the memory behind is not there yet */
	int8_t shelf;    /* -1: on none (full, or being emptied) */
	bool leaving;    /* being emptied: takes no new block */
};

static_assert(sizeof(struct keydir_slab) <= SLAB_HEADER, "the header fits before the blocks");

static size_t block_size(unsigned class)
{
	return (SLAB_SIZE - SLAB_HEADER) / class & ~(size_t)7;
}

/*
 * Each class in use may have a slab that is not full, so while there is little memory only some of the
 * classes are used: what the larger steps cost is then less than what the slabs would.
 */
static unsigned class_of(const struct keydir_mem *m, size_t size)
{
	unsigned class = (unsigned)((SLAB_SIZE - SLAB_HEADER) / size);

	while (block_size(class) < size)
		class --;
	if (m->slabs < FEW_SLABS)
		return class & ~3u;
	return m->slabs < SOME_SLABS ? class & ~1u : class;
}

/* A class is named by the number of its blocks in a slab. */
static struct keydir_class *class_in(struct keydir_mem *m, unsigned class)
{
	return &m->class[class - KEYDIR_MEM_FEWEST];
}

static struct keydir_slab *slab_of(const void *block)
{
	return (struct keydir_slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
}

static char *block_at(const struct keydir_slab *s, unsigned i)
{
	return (char *)(uintptr_t)s + SLAB_HEADER + i * block_size(s->class);
}

/* Address space of `size`, aligned to it. */
static char *map_aligned(size_t size)
{
	char *raw = mmap(
		NULL, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (raw == MAP_FAILED)
		return NULL;
	size_t skip = (size - ((uintptr_t)raw & (size - 1))) & (size - 1);
	if (skip)
		munmap(raw, skip);
	if (size - skip)
		munmap(raw + skip + size, size - skip);
	return raw + skip;
}

static void link_region(struct keydir_mem *m, struct keydir_region *r)
{
	r->prev = NULL;
	r->next = m->regions;
	if (r->next)
		r->next->prev = r;
	m->regions = r;
}

static void unlink_region(struct keydir_mem *m, struct keydir_region *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		m->regions = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static struct keydir_region *add_region(struct keydir_mem *m)
{
	unsigned slabs = m->region_count < SMALL_REGIONS ? REGION_SMALL : REGION_LARGE;
	struct keydir_region *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct keydir_region){ .base = map_aligned(slabs * SLAB_SIZE), .slabs = slabs };
	if (!r->base) {
		free(r);
		return NULL;
	}
	if (slabs == REGION_LARGE)
		madvise(r->base, slabs * SLAB_SIZE, MADV_HUGEPAGE);
	r->free = (uint32_t)((UINT64_C(1) << slabs) - 1);
	link_region(m, r);
	m->region_count++;
	return r;
}

static struct keydir_slab *begin_slab(struct keydir_mem *m, struct keydir_slab *s, struct keydir_region *r, unsigned class)
{
	*s = (struct keydir_slab){ .region = r, .class = (uint8_t) class, .shelf = -1 };
	class_in(m, class)->slabs++;
	m->slabs++;
	m->bytes += SLAB_HEADER;
	return s;
}

static struct keydir_slab *add_slab(struct keydir_mem *m, unsigned class)
{
	struct keydir_region *r = m->regions;
	struct keydir_slab *spare = m->spare;

	if (spare) {
		m->spare = spare->next;
		m->spares--;
		return begin_slab(m, spare, spare->region, class);
	}
	/* Regions without room are on no list; their slabs know them. */
	if (!r)
		r = add_region(m);
	if (!r)
		return NULL;
	unsigned i = (unsigned)__builtin_ctz(r->free);
	r->free &= r->free - 1;
	if (!r->free)
		unlink_region(m, r);
	return begin_slab(m, (struct keydir_slab *)(void *)(r->base + i * SLAB_SIZE), r, class);
}

static void give_back(struct keydir_mem *m, struct keydir_slab *s)
{
	struct keydir_region *r = s->region;
	unsigned i = (unsigned)(((char *)s - r->base) / (ptrdiff_t)SLAB_SIZE);

	madvise(s, SLAB_SIZE, MADV_DONTNEED);
	if (!r->free)
		link_region(m, r);
	r->free |= UINT32_C(1) << i;
	if (r->free == (uint32_t)((UINT64_C(1) << r->slabs) - 1)) {
		unlink_region(m, r);
		munmap(r->base, r->slabs * SLAB_SIZE);
		free(r);
		m->region_count--;
	}
}

static void drop_slab(struct keydir_mem *m, struct keydir_slab *s)
{
	class_in(m, s->class)->slabs--;
	m->slabs--;
	m->bytes -= SLAB_HEADER + s->touched * block_size(s->class);
	s->next = m->spare;
	m->spare = s;
	m->spares++;
	while (m->spares > m->slabs / SPARE) {
		s = m->spare;
		m->spare = s->next;
		m->spares--;
		give_back(m, s);
	}
}

static void unshelve(struct keydir_mem *m, struct keydir_slab *s)
{
	if (s->shelf < 0)
		return;
	if (s->prev)
		s->prev->next = s->next;
	else
		class_in(m, s->class)->shelf[s->shelf] = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->shelf = -1;
}

/* Puts the slab where its fullness says. */
static void shelve(struct keydir_mem *m, struct keydir_slab *s)
{
	int shelf = s->used == s->class || s->leaving ? -1 : s->used * KEYDIR_MEM_SHELVES / s->class;

	if (shelf == s->shelf)
		return;
	unshelve(m, s);
	if (shelf < 0)
		return;
	struct keydir_slab **head = &class_in(m, s->class)->shelf[shelf];
	s->shelf = (int8_t)shelf;
	s->prev = NULL;
	s->next = *head;
	if (*head)
		(*head)->prev = s;
	*head = s;
}

/* A slab with room, the fuller the better: the thin ones shall become empty. */
static struct keydir_slab *pick_slab(struct keydir_mem *m, unsigned class)
{
	for (int i = KEYDIR_MEM_SHELVES - 1; i >= 0; i--)
		if (class_in(m, class)->shelf[i])
			return class_in(m, class)->shelf[i];
	return NULL;
}

static void *take_block(struct keydir_mem *m, struct keydir_slab *s)
{
	unsigned i = (unsigned)__builtin_ctzll(~s->map);

	s->map |= UINT64_C(1) << i;
	s->used++;
	if (i >= s->touched) {
		m->bytes += block_size(s->class);
		s->touched++;
	}
	class_in(m, s->class)->used++;
	shelve(m, s);
	return block_at(s, i);
}

static size_t free_blocks(struct keydir_mem *m, unsigned class)
{
	return (size_t)class_in(m, class)->slabs * class - class_in(m, class)->used;
}

static void give_block(struct keydir_mem *m, void *block)
{
	struct keydir_slab *s = slab_of(block);
	unsigned class = s->class;
	unsigned i = (unsigned)((size_t)((char *)block - (char *)s - SLAB_HEADER) / block_size(class));

	assert(s->map & UINT64_C(1) << i);
	s->map &= ~(UINT64_C(1) << i);
	s->used--;
	class_in(m, class)->used--;
	if (s->used) {
		shelve(m, s);
	} else {
		unshelve(m, s);
		drop_slab(m, s);
	}
	if (free_blocks(m, class) > class + class_in(m, class)->used / THIN)
		m->thin = class;
}

static bool refused(const struct keydir_mem *m)
{
	return m->refuse && m->refuse(m->refuse_arg);
}

static size_t small_size(size_t size)
{
	size_t step = size < 256 ? 24 : size / 8;

	size = (size + step) & ~(size_t)15;
	return size < KEYDIR_MEM_SMALL ? size - 8 : KEYDIR_MEM_SMALL; /* malloc rounds up to 16 n + 8 */
}

void *keydir_mem_alloc(struct keydir_mem *m, size_t size, size_t *ret_size)
{
	void *block;

	assert(size > 0 && size <= KEYDIR_MEM_MAX);
	if (refused(m))
		return NULL;
	if (size <= KEYDIR_MEM_SMALL || KEYDIR_MEM_MALLOC) {
		size = size <= KEYDIR_MEM_SMALL ? small_size(size) : block_size(class_of(m, size));
		block = malloc(size);
		if (block)
			m->bytes += size + MALLOC_COST;
	} else {
		unsigned class = class_of(m, size);
		struct keydir_slab *s = pick_slab(m, class);
		if (!s)
			s = add_slab(m, class);
		block = s ? take_block(m, s) : NULL;
		size = block_size(class);
	}
	if (block)
		*ret_size = size;
	return block;
}

void keydir_mem_free(struct keydir_mem *m, void *block, size_t size)
{
	if (size > KEYDIR_MEM_SMALL && !KEYDIR_MEM_MALLOC) {
		give_block(m, block);
		return;
	}
	free(block);
	m->bytes -= size + MALLOC_COST;
}

void *keydir_mem_alloc_long(struct keydir_mem *m, size_t size)
{
	void *ptr = refused(m) ? NULL : malloc(size);

	if (ptr)
		m->bytes += size + MALLOC_COST;
	return ptr;
}

void keydir_mem_free_long(struct keydir_mem *m, void *ptr, size_t size)
{
	free(ptr);
	m->bytes -= size + MALLOC_COST;
}

struct keydir_slab *keydir_mem_thin(struct keydir_mem *m)
{
	unsigned class = m->thin;

	m->thin = 0;
	if (!class)
		return NULL;
	for (unsigned i = 0; i < KEYDIR_MEM_SHELVES; i++) {
		struct keydir_slab *s = class_in(m, class)->shelf[i];
		if (!s)
			continue;
		/* Its own free blocks do not count as room for what it holds. */
		if (free_blocks(m, class) < class)
			return NULL;
		s->leaving = true;
		unshelve(m, s);
		return s;
	}
	return NULL;
}

void *keydir_mem_next(const struct keydir_slab *s, size_t *ret_size)
{
	*ret_size = block_size(s->class);
	return block_at(s, (unsigned)__builtin_ctzll(s->map));
}

void *keydir_mem_move(struct keydir_mem *m, void *block, size_t size, bool *ret_last)
{
	struct keydir_slab *from = slab_of(block);
	void *copy = take_block(m, pick_slab(m, from->class));

	memcpy(copy, block, size);
	*ret_last = from->used == 1;
	give_block(m, block);
	return copy;
}

bool keydir_mem_empty(const struct keydir_mem *m)
{
	return m->bytes == 0 && m->regions == NULL && m->region_count == 0;
}
