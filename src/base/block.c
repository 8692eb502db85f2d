/* SPDX-License-Identifier: MIT */
#include "base/block.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/crc.h"

#define PAGES ((size_t)64 << 10)
#define AT_ONCE ((size_t)4 << 20) /* bytes that are given back without delay */

/* Pages of their own come when they are touched, and go back to the system at once. */
static bool is_mapped(size_t most)
{
	return most >= BLOCK_LEAST;
}

/* Whole pages, whatever their size is here. */
static size_t round_up(size_t bytes)
{
	return (bytes + PAGES - 1) & ~(PAGES - 1);
}

/* Reserved pages that cannot be used count for no limit of memory. */
static char *map_pages(size_t cap, size_t most)
{
	char *p = mmap(NULL, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p, cap, PROT_READ | PROT_WRITE) == 0)
		return p;
	munmap(p, most);
	return NULL;
}

struct blocks *blocks_new(bool later)
{
	struct blocks *home = calloc(1, sizeof(*home));

	if (home)
		home->later = later;
	return home;
}

static void drop_block(struct block *b)
{
	struct blocks *home = b->home;

	free(b);
	if (atomic_fetch_sub_explicit(&home->count, 1, memory_order_relaxed) == 1 && home->left)
		free(home);
}

struct block *block_new(struct blocks *home, size_t cap, size_t most)
{
	struct block *b = malloc(sizeof(*b));
	bool mapped = is_mapped(most);

	cap = mapped ? round_up(cap) : most;
	most = mapped ? round_up(most) : most;
	char *memory = !b ? NULL : mapped ? map_pages(cap, most) : malloc(most ? most : 1);
	if (!memory) {
		free(b);
		return NULL;
	}
	*b = (struct block){ .home = home, .refs = 1, .cap = cap, .most = most, .memory = memory, .value = slice(memory, 0) };
	atomic_fetch_add_explicit(&home->bytes, cap, memory_order_relaxed);
	atomic_fetch_add_explicit(&home->count, 1, memory_order_relaxed);
	return b;
}

int block_grow(struct block *b, size_t cap)
{
	assert(cap <= b->most);
	if (cap <= b->cap)
		return 0;
	cap = round_up(cap);
	if (mprotect(b->memory + b->cap, cap - b->cap, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	atomic_fetch_add_explicit(&b->home->bytes, cap - b->cap, memory_order_relaxed);
	b->cap = cap;
	return 0;
}

void block_take(struct block *b, size_t n)
{
	b->sum = crc_update(b->sum, b->value.ptr + b->value.len, n);
	b->value.len += n;
}

/* The last n bytes of its memory; with all of it the block is gone. */
static void give_back(struct block *b, size_t n)
{
	atomic_fetch_sub_explicit(&b->home->bytes, n, memory_order_relaxed);
	if (is_mapped(b->most))
		munmap(b->memory + (b->cap - n), n);
	else
		free(b->memory);
	b->cap -= n;
	if (b->cap == 0)
		drop_block(b);
}

struct block *block_unref(struct block *b)
{
	if (!b || --b->refs)
		return NULL;
	if (b->most > b->cap)
		munmap(b->memory + b->cap, b->most - b->cap);
	if (b->home->later && b->cap > AT_ONCE) {
		b->next = b->home->waiting;
		b->home->waiting = b;
	} else {
		give_back(b, b->cap);
	}
	return NULL;
}

bool blocks_sweep(struct blocks *home, size_t most)
{
	size_t left = most;

	while (home->waiting && left >= AT_ONCE) {
		struct block *b = home->waiting;
		size_t rest = b->cap % AT_ONCE, n = rest ? rest : AT_ONCE; /* whole pieces remain, so pages are never cut */
		left -= n < left ? n : left;
		if (n == b->cap)
			home->waiting = b->next;
		give_back(b, n);
	}
	return home->waiting;
}

void blocks_leave(struct blocks *home)
{
	if (!home)
		return;
	home->later = false;
	while (blocks_sweep(home, SIZE_MAX))
		;
	home->left = true;
	if (atomic_load_explicit(&home->count, memory_order_relaxed) == 0)
		free(home);
}
