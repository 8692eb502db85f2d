/* SPDX-License-Identifier: MIT
 *
 * A 64-bit hash for tables in memory: multiply and fold, eight bytes a step. It is never written to disk, so
 * it may change at any time. Not meant to resist a chosen-key attack; tables using it are bounded.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>
#include "base/bytes.h"
#include "base/slice.h"

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_u64(uint64_t v)
{
	return hash_mix(v ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93));
}

static inline uint64_t hash_bytes(uint64_t seed, struct slice s)
{
	uint64_t h = seed ^ hash_u64(s.len);

	for (; s.len >= 8; s = slice_skip(s, 8))
		h = hash_mix(h ^ get_le64(s.ptr), UINT64_C(0x9fb21c651e98df25));
	if (s.len) {
		uint64_t tail = 0;
		memcpy(&tail, s.ptr, s.len);
		h = hash_mix(h ^ tail, UINT64_C(0xa0761d6478bd642f));
	}
	return hash_u64(h);
}

#endif
