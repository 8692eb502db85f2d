/* SPDX-License-Identifier: MIT */
#include "base/crc64.h"

#include "base/bytes.h"

#define POLYNOMIAL_REVERSED UINT64_C(0x95ac9329ac4bc9b5)

void crc64_init(struct crc64 *c)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t v = i;
		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ POLYNOMIAL_REVERSED : v >> 1;
		c->table[0][i] = v;
	}
	for (int k = 1; k < 8; k++)
		for (unsigned i = 0; i < 256; i++)
			c->table[k][i] = c->table[0][c->table[k - 1][i] & 0xff] ^ c->table[k - 1][i] >> 8;
}

uint64_t crc64_update(const struct crc64 *c, uint64_t seed, const void *ptr, size_t len)
{
	const unsigned char *p = ptr;
	uint64_t v = seed;

	for (; len >= 8; p += 8, len -= 8) {
		v ^= get_le64(p);
		v = c->table[7][v & 0xff] ^ c->table[6][v >> 8 & 0xff] ^ c->table[5][v >> 16 & 0xff] ^
		    c->table[4][v >> 24 & 0xff] ^ c->table[3][v >> 32 & 0xff] ^ c->table[2][v >> 40 & 0xff] ^
		    c->table[1][v >> 48 & 0xff] ^ c->table[0][v >> 56];
	}
	for (; len; p++, len--)
		v = c->table[0][(v ^ *p) & 0xff] ^ v >> 8;
	return v;
}
