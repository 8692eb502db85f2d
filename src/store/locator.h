/* SPDX-License-Identifier: MIT
 *
 * A locator says where a record lives: what the keydir keeps for a key. 64 bits:
 *
 *   bits 43..62  slot of the segment in the store's table
 *   bits 11..42  offset in the file, in units of 8 bytes (so a segment is at most 32 GiB)
 *   bits  0..10  size class of the record (record_class), so that one read fetches it whole
 *
 * Never 0, since no record starts at offset 0.
 */
#ifndef STORE_LOCATOR_H
#define STORE_LOCATOR_H

#include <stdint.h>
#include "store/record.h"

#define LOCATOR_SLOTS (1u << 20)
#define LOCATOR_MAX_OFFSET (UINT64_C(1) << 35)

static inline uint64_t locator_make(unsigned slot, uint64_t offset, uint64_t size)
{
	return (uint64_t)slot << 43 | offset / RECORD_ALIGN << 11 | record_class(size);
}

static inline unsigned locator_slot(uint64_t where)
{
	return (unsigned)(where >> 43);
}

static inline uint64_t locator_offset(uint64_t where)
{
	return (where >> 11 & UINT32_MAX) * RECORD_ALIGN;
}

static inline uint64_t locator_size(uint64_t where)
{
	return record_class_size(where & 2047);
}

#endif
