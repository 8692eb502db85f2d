/* SPDX-License-Identifier: MIT
 *
 * Values compressed one by one. What a record with codec 1 (zlib) holds as its value:
 *
 *   offset size
 *        0    4  length of the value as it was given, little-endian
 *        4    -  the value as a zlib stream
 *
 * Codecs 2 (lz4) and 3 (zstd) are reserved. Only values of a middling size are compressed: small ones gain nothing, and a large one would keep the owner's thread
 * from serving others for longer than it may. The owner's thread only.
 */
#ifndef STORE_PACK_H
#define STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

enum codec { CODEC_RAW = 0, CODEC_ZLIB = 1 };

#define PACK_HEAD 4
#define PACK_MAX ((size_t)64 << 10) /* bytes; a longer value is kept as it is */

struct pack {
	int level;    /* of zlib, 1 to 9; 0: nothing is compressed */
	uint32_t min; /* bytes of the shortest value that is tried */
	struct z_stream_s *deflater, *inflater; /* made when first needed */
	int deflater_level;
	uint64_t records, given, stored; /* compressed since the store was opened: records, bytes before and after */
};

void pack_free(struct pack *p);

/* Whether a value of this length is to be tried, and the room that trying needs: it must become shorter by an eighth to be worth it. */
bool pack_tries(const struct pack *p, size_t len);
static inline size_t pack_room(size_t len)
{
	return len - len / 8;
}
/* Compresses into out, pack_room(value.len) bytes: the length, or 0 when it does not fit or there is no memory. */
size_t pack_value(struct pack *p, struct slice value, char *out);

/* The length of the value behind a stored one: 0, or -EUCLEAN when no value is stored so or it is beyond STORE_MAX_VALUE or what these bytes can hold. */
int unpack_length(unsigned codec, struct slice stored, size_t *ret);
/* The value into out, unpack_length bytes: 0, -EUCLEAN or -ENOMEM. */
int unpack_value(struct pack *p, struct slice stored, char *out, size_t len);

#endif
