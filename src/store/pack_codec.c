/* SPDX-License-Identifier: MIT
 *
 * The libraries that compress. What they need is kept from one value to the next: making it costs more than a short value.
 */
#include "store/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#ifdef HAVE_LIBLZ4
#include <lz4.h>
#include <lz4hc.h>
#endif
#ifdef HAVE_LIBZSTD
#include <zstd.h>
#endif

#define ZLIB_RATIO 1032
#define LZ4_RATIO 256
#define ZSTD_RATIO ((size_t)1 << 15) /* a block of 128 KiB takes four bytes at least */
#define LZ4_FAST 2                   /* up to this level; the others search */

struct pack_state {
	z_stream deflater, inflater;
	int deflater_level; /* 0: there is none yet */
	bool inflates;
#ifdef HAVE_LIBLZ4
	char *lz4;
#endif
#ifdef HAVE_LIBZSTD
	ZSTD_CCtx *zstd_in;
	ZSTD_DCtx *zstd_out;
#endif
};

static struct pack_state *get_state(struct pack_state **state)
{
	if (!*state)
		*state = calloc(1, sizeof(**state));
	return *state;
}

/* ---- zlib ---- */

static bool ready_deflater(struct pack_state *s, int level)
{
	if (s->deflater_level == level)
		return deflateReset(&s->deflater) == Z_OK;
	if (s->deflater_level)
		deflateEnd(&s->deflater);
	s->deflater = (z_stream){ 0 };
	s->deflater_level = deflateInit(&s->deflater, level) == Z_OK ? level : 0;
	return s->deflater_level;
}

static bool ready_inflater(struct pack_state *s)
{
	if (s->inflates)
		return inflateReset(&s->inflater) == Z_OK;
	s->inflates = inflateInit(&s->inflater) == Z_OK;
	return s->inflates;
}

static size_t zlib_pack(struct pack_state **state, int level, struct slice value, char *out, size_t room)
{
	struct pack_state *s = get_state(state);

	if (!s || !ready_deflater(s, level))
		return 0;
	s->deflater.next_in = (unsigned char *)(uintptr_t)value.ptr;
	s->deflater.avail_in = (unsigned)value.len;
	s->deflater.next_out = (unsigned char *)out;
	s->deflater.avail_out = (unsigned)room;
	return deflate(&s->deflater, Z_FINISH) == Z_STREAM_END ? room - s->deflater.avail_out : 0;
}

static int zlib_unpack(struct pack_state **state, struct slice packed, char *out, size_t len)
{
	struct pack_state *s = get_state(state);

	if (!s || !ready_inflater(s))
		return -ENOMEM;
	z_stream *z = &s->inflater;
	z->next_in = (unsigned char *)(uintptr_t)packed.ptr;
	z->avail_in = (unsigned)packed.len;
	z->next_out = (unsigned char *)out;
	z->avail_out = (unsigned)len;
	int r = inflate(z, Z_FINISH);
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_STREAM_END && z->avail_out == 0 && z->avail_in == 0 ? 0 : -EUCLEAN;
}

static void zlib_free(struct pack_state *s)
{
	if (s->deflater_level)
		deflateEnd(&s->deflater);
	if (s->inflates)
		inflateEnd(&s->inflater);
	free(s);
}

/* ---- lz4 ---- */

#ifdef HAVE_LIBLZ4
static size_t lz4_pack(struct pack_state **state, int level, struct slice value, char *out, size_t room)
{
	struct pack_state *s = get_state(state);
	int n = 0;

	if (s && !s->lz4)
		s->lz4 = malloc((size_t)(LZ4_sizeofStateHC() > LZ4_sizeofState() ? LZ4_sizeofStateHC() : LZ4_sizeofState()));
	if (!s || !s->lz4)
		return 0;
	if (level <= LZ4_FAST)
		n = LZ4_compress_fast_extState(s->lz4, value.ptr, out, (int)value.len, (int)room, 1);
	else
		n = LZ4_compress_HC_extStateHC(s->lz4, value.ptr, out, (int)value.len, (int)room, level);
	return n > 0 ? (size_t)n : 0;
}

static int lz4_unpack(struct pack_state **state, struct slice packed, char *out, size_t len)
{
	(void)state;
	if (packed.len > LZ4_MAX_INPUT_SIZE || len > LZ4_MAX_INPUT_SIZE)
		return -EUCLEAN;
	return LZ4_decompress_safe(packed.ptr, out, (int)packed.len, (int)len) == (int)len ? 0 : -EUCLEAN;
}

static void lz4_free(struct pack_state *s)
{
	free(s->lz4);
	free(s);
}
#define LZ4_CODEC .pack = lz4_pack, .unpack = lz4_unpack, .free = lz4_free,
#else
#define LZ4_CODEC
#endif

/* ---- zstd ---- */

#ifdef HAVE_LIBZSTD
static size_t zstd_pack(struct pack_state **state, int level, struct slice value, char *out, size_t room)
{
	struct pack_state *s = get_state(state);

	if (s && !s->zstd_in)
		s->zstd_in = ZSTD_createCCtx();
	if (!s || !s->zstd_in)
		return 0;
	size_t n = ZSTD_compressCCtx(s->zstd_in, out, room, value.ptr, value.len, level);
	return ZSTD_isError(n) ? 0 : n;
}

static int zstd_unpack(struct pack_state **state, struct slice packed, char *out, size_t len)
{
	struct pack_state *s = get_state(state);

	if (s && !s->zstd_out)
		s->zstd_out = ZSTD_createDCtx();
	if (!s || !s->zstd_out)
		return -ENOMEM;
	size_t n = ZSTD_decompressDCtx(s->zstd_out, out, len, packed.ptr, packed.len);
	return !ZSTD_isError(n) && n == len ? 0 : -EUCLEAN;
}

static void zstd_free(struct pack_state *s)
{
	ZSTD_freeCCtx(s->zstd_in);
	ZSTD_freeDCtx(s->zstd_out);
	free(s);
}
#define ZSTD_CODEC .pack = zstd_pack, .unpack = zstd_unpack, .free = zstd_free,
#else
#define ZSTD_CODEC
#endif

const struct pack_codec pack_codecs[STORE_CODECS] = {
	[STORE_RAW] = { .name = "none" },
	[STORE_ZLIB] = { .name = "zlib", .most_ratio = ZLIB_RATIO, .pack = zlib_pack, .unpack = zlib_unpack, .free = zlib_free },
	[STORE_LZ4] = { .name = "lz4", .most_ratio = LZ4_RATIO, LZ4_CODEC },
	[STORE_ZSTD] = { .name = "zstd", .most_ratio = ZSTD_RATIO, ZSTD_CODEC },
};
