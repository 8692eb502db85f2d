/* SPDX-License-Identifier: MIT */
#include "store/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/bytes.h"
#include "store/store.h"

#define MOST_RATIO 1032 /* no zlib stream grows more than that */

void pack_free(struct pack *p)
{
	if (p->deflater)
		deflateEnd(p->deflater);
	if (p->inflater)
		inflateEnd(p->inflater);
	free(p->deflater);
	free(p->inflater);
	*p = (struct pack){ 0 };
}

bool pack_tries(const struct pack *p, size_t len)
{
	return p->level && len >= p->min && len > 4 * PACK_HEAD && len <= PACK_MAX;
}

/* A stream keeps its tables from one value to the next: making them costs more than a short value. */
static bool ready_deflater(struct pack *p)
{
	if (p->deflater && p->deflater_level == p->level)
		return deflateReset(p->deflater) == Z_OK;
	if (p->deflater) {
		deflateEnd(p->deflater);
		free(p->deflater);
	}
	p->deflater_level = p->level;
	p->deflater = calloc(1, sizeof(*p->deflater));
	if (p->deflater && deflateInit(p->deflater, p->level) == Z_OK)
		return true;
	free(p->deflater);
	p->deflater = NULL;
	return false;
}

static bool ready_inflater(struct pack *p)
{
	if (p->inflater)
		return inflateReset(p->inflater) == Z_OK;
	p->inflater = calloc(1, sizeof(*p->inflater));
	if (p->inflater && inflateInit(p->inflater) == Z_OK)
		return true;
	free(p->inflater);
	p->inflater = NULL;
	return false;
}

size_t pack_value(struct pack *p, struct slice value, char *out)
{
	if (!ready_deflater(p))
		return 0;
	z_stream *z = p->deflater;
	z->next_in = (unsigned char *)(uintptr_t)value.ptr;
	z->avail_in = (unsigned)value.len;
	z->next_out = (unsigned char *)out + PACK_HEAD;
	z->avail_out = (unsigned)(pack_room(value.len) - PACK_HEAD);
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return 0;
	size_t len = pack_room(value.len) - z->avail_out;
	put_le32(out, (uint32_t)value.len);
	p->records++;
	p->given += value.len;
	p->stored += len;
	return len;
}

int unpack_length(unsigned codec, struct slice stored, size_t *ret)
{
	if (codec != CODEC_ZLIB || stored.len < PACK_HEAD)
		return -EUCLEAN;
	uint32_t len = get_le32(stored.ptr);
	/* Nobody is given memory for a length that cannot be true. */
	if (len > STORE_MAX_VALUE || len / MOST_RATIO > stored.len)
		return -EUCLEAN;
	*ret = len;
	return 0;
}

int unpack_value(struct pack *p, struct slice stored, char *out, size_t len)
{
	if (!ready_inflater(p))
		return -ENOMEM;
	z_stream *z = p->inflater;
	char none;
	z->next_in = (unsigned char *)(uintptr_t)stored.ptr + PACK_HEAD;
	z->avail_in = (unsigned)(stored.len - PACK_HEAD);
	z->next_out = (unsigned char *)(len ? out : &none);
	z->avail_out = (unsigned)len;
	int r = inflate(z, Z_FINISH);
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_STREAM_END && z->avail_out == 0 && z->avail_in == 0 ? 0 : -EUCLEAN;
}
