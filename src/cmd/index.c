/* SPDX-License-Identifier: MIT */
#include "cmd/index.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_SIZE = 16 };

static struct index_link **find_chain(const struct index *x, uint64_t hash)
{
	return &x->chain[hash & (x->size - 1)];
}

/* Longer chains are better than no table, so only the first array is a must. */
static int grow(struct index *x)
{
	size_t size = x->size ? x->size * 2 : FIRST_SIZE;
	struct index old = *x;

	if (x->count < x->size)
		return 0;
	x->chain = calloc(size, sizeof(struct index_link *));
	if (!x->chain) {
		*x = old;
		return old.chain ? 0 : -ENOMEM;
	}
	x->size = size;
	for (size_t i = 0; i < old.size; i++)
		while (old.chain[i]) {
			struct index_link *link = old.chain[i], **to = find_chain(x, link->hash);
			old.chain[i] = link->next;
			link->next = *to;
			*to = link;
		}
	free(old.chain);
	return 0;
}

int index_add(struct index *x, struct index_link *link)
{
	struct index_link **to;

	if (grow(x))
		return -ENOMEM;
	to = find_chain(x, link->hash);
	link->next = *to;
	*to = link;
	x->count++;
	return 0;
}

void index_remove(struct index *x, struct index_link *link)
{
	struct index_link **p = find_chain(x, link->hash);

	while (*p != link)
		p = &(*p)->next;
	*p = link->next;
	if (--x->count == 0)
		index_free(x);
}

static struct index_link *find_hash(struct index_link *link, uint64_t hash)
{
	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct index_link *index_first(const struct index *x, uint64_t hash)
{
	return x->count ? find_hash(*find_chain(x, hash), hash) : NULL;
}

struct index_link *index_next(const struct index_link *link)
{
	return find_hash(link->next, link->hash);
}

void index_free(struct index *x)
{
	free(x->chain);
	*x = (struct index){ 0 };
}
