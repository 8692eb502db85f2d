/* SPDX-License-Identifier: MIT */
#include "base/crc.h"

#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#define crc32_of libdeflate_crc32 /* the same sum, by the processor's carry-less multiplication */
#else
#define crc32_of (uint32_t)crc32_z
#endif

/* Both libraries take a null pointer for "begin anew". */
uint32_t crc_update(uint32_t seed, const void *ptr, size_t len)
{
	return len ? crc32_of(seed, ptr, len) : seed;
}

uint32_t crc_join(uint32_t seed, uint32_t sum, size_t len)
{
	return (uint32_t)crc32_combine(seed, sum, (z_off_t)len);
}
