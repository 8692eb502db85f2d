/* SPDX-License-Identifier: MIT */
#include "store/piece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "store/record.h"
#include "store/store.h"

#define HEAD_MOST (RECORD_HEADER + 8 + STORE_MAX_KEY)

static size_t piece_len(size_t len, size_t i)
{
	size_t left = len - i * PIECE_SIZE;

	return left < PIECE_SIZE ? left : PIECE_SIZE;
}

static int read_all(struct io *io, int fd, char *to, size_t n, uint64_t offset)
{
	ssize_t got = io->pread(io, fd, to, n, offset, 0);

	return got < 0 ? (int)got : (size_t)got == n ? 0 : -EUCLEAN;
}

/* Goes through the value, and checks the record by it. */
static int learn_sums(struct io *io, int fd, uint64_t offset, char *room, uint32_t sum, uint32_t whole, struct pieces *p)
{
	for (size_t i = 0; i < pieces_count(p->len); i++) {
		size_t n = piece_len(p->len, i);
		int r = read_all(io, fd, room, n, offset + p->at + i * PIECE_SIZE);
		if (r)
			return r;
		p->sum[i] = crc_update(0, room, n);
		sum = crc_join(sum, p->sum[i], n);
	}
	return sum == whole ? 0 : -EUCLEAN;
}

int pieces_learn(struct io *io, int fd, uint64_t offset, uint32_t bind, struct slice key, uint64_t where, struct pieces **ret)
{
	char *room = malloc(PIECE_SIZE);
	struct record record;
	size_t at, len;
	uint32_t sum, whole;

	_Static_assert(HEAD_MOST <= PIECE_SIZE, "a head fits into a piece");
	if (!room)
		return -ENOMEM;
	ssize_t n = io->pread(io, fd, room, HEAD_MOST, offset, 0);
	int r = n < 0 ? (int)n : record_decode_start(room, (size_t)n, bind, &record, &at, &len, &sum, &whole);
	if (r > 0 || (r == 0 && (record.type != RECORD_PUT || record.codec != STORE_RAW || !slice_eq(record.key, key))))
		r = -EUCLEAN;
	struct pieces *p = r ? NULL : malloc(sizeof(*p) + pieces_count(len) * sizeof(p->sum[0]));
	if (p) {
		*p = (struct pieces){ .where = where, .at = at, .len = len };
		r = learn_sums(io, fd, offset, room, sum, whole, p);
	} else if (r == 0) {
		r = -ENOMEM;
	}
	free(room);
	if (r)
		free(p);
	else
		*ret = p;
	return r;
}

int pieces_read(struct io *io, int fd, uint64_t offset, const struct pieces *p, size_t from, size_t n, struct blocks *home, struct block **ret)
{
	size_t first = from / PIECE_SIZE, last = (from + n - 1) / PIECE_SIZE, start = first * PIECE_SIZE;
	size_t size = last * PIECE_SIZE + piece_len(p->len, last) - start;
	struct block *b = block_new(home, size, size);
	int r = b ? read_all(io, fd, b->memory, size, offset + p->at + start) : -ENOMEM;

	for (size_t i = first; r == 0 && i <= last; i++)
		if (crc_update(0, b->memory + (i - first) * PIECE_SIZE, piece_len(p->len, i)) != p->sum[i])
			r = -EUCLEAN;
	if (b)
		b->value = slice(b->memory + (from - start), n);
	*ret = b; /* also of a failure: references are the owner's to drop */
	return r;
}

struct pieces *pieces_copy(const struct pieces *p)
{
	size_t size = sizeof(*p) + pieces_count(p->len) * sizeof(p->sum[0]);
	struct pieces *copy = malloc(size);

	if (copy)
		memcpy(copy, p, size);
	return copy;
}

const struct pieces *pieces_find(struct pieces **list, uint64_t where)
{
	for (struct pieces **link = list; *link; link = &(*link)->next) {
		struct pieces *p = *link;
		if (p->where != where)
			continue;
		*link = p->next;
		p->next = *list;
		*list = p;
		return p;
	}
	return NULL;
}

void pieces_remember(struct pieces **list, struct pieces *p)
{
	struct pieces **link = list;

	for (int i = 0; *link && i < PIECES_MOST - 1; i++)
		link = &(*link)->next;
	pieces_forget(link);
	p->next = *list;
	*list = p;
}

void pieces_forget(struct pieces **list)
{
	struct pieces *p;

	while ((p = *list)) {
		*list = p->next;
		free(p);
	}
}
