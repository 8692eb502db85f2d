/* SPDX-License-Identifier: MIT
 *
 * The record, format version 1 (kvd-format(5)). All integers are little-endian.
 *
 *   offset size
 *        0    4  checksum: CRC-32 of bytes 4 .. end of value with bytes 30 and 31 as zero, started from the record's binding (record_bind)
 *        4    1  type (enum record_type)
 *        5    1  flags (enum record_flag)
 *        6    1  codec of the value: 0 raw, 1 zlib, 2 lz4, 3 zstd (pack.h)
 *        7    1  zero
 *        8    4  key length, at most 65536
 *       12    4  value length as stored, at most 512 MiB
 *       16    8  position: where in the endless log the record was first written
 *       24    4  synced distance: position minus the position known to be durable when this was written; all ones: no claim
 *       28    2  namespace (the physical database)
 *       30    2  head check: the same CRC-32 as far as the end of the key, its halves combined by xor, 1 for 0; 0: not there
 *       32    8  expiry, Unix time in ms; present only with RECORD_EXPIRES
 *            key, value, then zeros up to record_size()
 *
 * A record is valid only at its own place: the binding is made of store id, segment number and offset, so that neither
 * a recycled block nor a swapped file can pass for it. Bits and bytes not named are zero; a reader refuses others.
 * A transaction is a run of records in one segment, the last of which carries RECORD_COMMIT.
 *
 * The head check adds nothing to a whole record. When the checksum fails it tells whether the damage is behind the key, and so whose value
 * is lost. Two types are written by a repair alone, in the place of what could not be read: RECORD_LOST says so of the value of a
 * key, RECORD_GAP of bytes whose key is not known.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdint.h>
#include "base/block.h"
#include "base/slice.h"

enum record_type { RECORD_PUT = 1, RECORD_DELETE = 2, RECORD_FLUSH = 3, RECORD_SWAP = 4, RECORD_LOST = 5, RECORD_GAP = 6 };
enum record_flag { RECORD_COMMIT = 1, RECORD_EXPIRES = 2 };

#define RECORD_HEADER 32
#define RECORD_ALIGN 8
#define RECORD_LARGE BLOCK_LEAST /* values of so many bytes are kept in blocks */
#define RECORD_NO_CLAIM UINT32_MAX
#define RECORD_NEVER INT64_MAX /* no expiry */

struct record {
	enum record_type type;
	unsigned flags;
	unsigned codec;
	unsigned ns;
	uint64_t position;
	uint32_t distance;
	int64_t expire_wall_ms; /* RECORD_NEVER: none */
	struct slice key, value;
	uint32_t value_sum; /* crc_update(0) of the value, of RECORD_LARGE bytes and more only */
};

/* Bytes a record takes on disk. From 8 KiB on it is rounded up to 32 steps an octave, so that eleven bits name it exactly. */
uint64_t record_size(size_t key_len, size_t value_len, bool expires);

/* The size as an 11-bit class and back; exact for every result of record_size. */
unsigned record_class(uint64_t size);
uint64_t record_class_size(unsigned class);

/* The seed of a segment, and the checksum's start value of a record at an offset in it. */
uint32_t record_segment_seed(uint64_t store_id, uint64_t segment);
uint32_t record_bind(uint32_t segment_seed, uint64_t offset);

/* Writes the whole record, padding included: record_size() bytes. */
void record_encode(char *out, const struct record *r, uint32_t bind);

/* Writes all that comes before a large value, with the checksum that value_sum makes of it. Returns its bytes. */
size_t record_encode_head(char *out, const struct record *r, uint32_t bind);

/* Positive conditions of record_decode. */
enum { RECORD_SHORT = 1, RECORD_BAD = 2 };

/*
 * Reads the record at data, of which `len` bytes are there. 0: *ret borrows from data, *ret_size is its size on disk. RECORD_SHORT: the
 * header is plausible but *ret_size bytes are needed. RECORD_BAD: no record here.
 */
int record_decode(const char *data, size_t len, uint32_t bind, struct record *ret, uint64_t *ret_size);

/*
 * The same of a record that record_decode calls bad, by the head check alone: 0 when header and key are as they were written (one damage of a
 * key in 65536 passes for none). ret->value is where the value was, cut to what is there; *ret_size may be more than len.
 */
int record_decode_head(const char *data, size_t len, uint32_t bind, struct record *ret, uint64_t *ret_size);

/*
 * For a value that is read piece by piece: the record of which only header, expiry and key are at data. 0: *ret_value_at is where its value begins,
 * *ret_value_len its length, and the record is whole when crc_join(*ret_sum, sum of the value, its length) is *ret_whole. RECORD_SHORT, RECORD_BAD.
 */
int record_decode_start(const char *data, size_t len, uint32_t bind, struct record *ret, size_t *ret_value_at, size_t *ret_value_len,
	uint32_t *ret_sum, uint32_t *ret_whole);

#endif
