/* SPDX-License-Identifier: MIT */
#include "base/crc.h"

#include <zlib.h>

uint32_t crc_update(uint32_t seed, const void *ptr, size_t len)
{
	return (uint32_t)crc32_z(seed, ptr, len);
}
