/* SPDX-License-Identifier: MIT
 *
 * The CRC-64 of Redis dumps: polynomial ad93d23594c935a9 (Jones), bits reversed, beginning with 0 and not inverted.
 * The tables are the caller's, made once. Continuing from an earlier value equals running over the joined bytes.
 */
#ifndef BASE_CRC64_H
#define BASE_CRC64_H

#include <stddef.h>
#include <stdint.h>

struct crc64 {
	uint64_t table[8][256]; /* by how many bytes follow in a step of eight */
};

void crc64_init(struct crc64 *c);
uint64_t crc64_update(const struct crc64 *c, uint64_t seed, const void *ptr, size_t len);

#endif
