/* SPDX-License-Identifier: MIT
 *
 * CRC-32 (IEEE 802.3, as in zlib), the checksum of every record and file header. Continuing from an
 * earlier value equals running over the joined bytes; starting from a seed binds the bytes to that seed.
 */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc_update(uint32_t seed, const void *ptr, size_t len);

/* What crc_update(seed, bytes) is, when sum is crc_update(0, bytes) and they are len bytes. */
uint32_t crc_join(uint32_t seed, uint32_t sum, size_t len);

#endif
