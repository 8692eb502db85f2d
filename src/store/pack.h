/* SPDX-License-Identifier: MIT
 *
 * Values compressed one by one. What a record with a codec holds as its value:
 *
 *   offset size
 *        0    4  length of the value as it was given, little-endian
 *        4    -  1: a zlib stream; 2: an LZ4 block; 3: a Zstandard frame
 *
 * Only values of a middling size are compressed: small ones gain nothing, and a large one would keep the owner's thread from serving others for
 * longer than it may. The owner's thread only.
 */
#ifndef STORE_PACK_H
#define STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"
#include "store/store.h"

#define PACK_HEAD 4
#define PACK_MAX ((size_t)64 << 10) /* bytes; a longer value is kept as it is */

struct pack {
	enum store_codec codec; /* STORE_RAW: nothing is compressed */
	int level;              /* 1 to 9 */
	uint32_t min;           /* bytes of the shortest value that is tried */
	struct pack_state *state[STORE_CODECS]; /* what a codec keeps from one value to the next, made when first needed */
	uint64_t records, given, stored; /* compressed since the store was opened: records, bytes before and after */
};

void pack_free(struct pack *p);

/* The name of a codec, also of one that this build has not, or "an unknown codec". */
const char *pack_name(unsigned codec);
bool pack_has(unsigned codec);

/* Whether a value of this length is to be tried, and the room that trying needs: it must become shorter by an eighth to be worth it. */
bool pack_tries(const struct pack *p, size_t len);
static inline size_t pack_room(size_t len)
{
	return len - len / 8;
}
/* Compresses into out, pack_room(value.len) bytes: the length, or 0 when it does not fit or there is no memory. */
size_t pack_value(struct pack *p, struct slice value, char *out);

/*
 * The length of the value behind a stored one: 0, -ENOTSUP when this build has not the codec, or -EUCLEAN when no value is stored so or it is
 * beyond STORE_MAX_VALUE or what these bytes can hold.
 */
int unpack_length(unsigned codec, struct slice stored, size_t *ret);
/* The value into out, unpack_length bytes: 0, -EUCLEAN or -ENOMEM. */
int unpack_value(struct pack *p, unsigned codec, struct slice stored, char *out, size_t len);

/* ---- pack_codec.c: one way of compressing ---- */

struct pack_codec {
	const char *name;
	size_t most_ratio; /* no packed bytes unpack to more than so many times their number */
	/* The packed length, or 0. */
	size_t (*pack)(struct pack_state **state, int level, struct slice value, char *out, size_t room);
	/* 0, -EUCLEAN or -ENOMEM; exactly len bytes. NULL, like pack: not in this build. */
	int (*unpack)(struct pack_state **state, struct slice packed, char *out, size_t len);
	void (*free)(struct pack_state *state);
};

extern const struct pack_codec pack_codecs[STORE_CODECS];

#endif
