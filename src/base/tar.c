/* SPDX-License-Identifier: MIT */
#include "base/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/num.h"

/* Places in a block. */
enum {
	NAME = 0,
	MODE = 100,
	UID = 108,
	GID = 116,
	SIZE = 124,
	MTIME = 136,
	CHECKSUM = 148,
	TYPE = 156,
	MAGIC = 257,
	PREFIX = 345,
	PREFIX_LEN = 155,
};

#define OCTAL_MAX UINT64_C(077777777777) /* what eleven digits hold */

static void put_octal(char *out, size_t digits, uint64_t value)
{
	out[digits] = '\0';
	while (digits-- > 0) {
		out[digits] = (char)('0' + (value & 7));
		value >>= 3;
	}
}

static uint64_t sum_block(const char *block)
{
	uint64_t sum = 0;

	for (int i = 0; i < TAR_BLOCK; i++)
		sum += i >= CHECKSUM && i < TYPE ? ' ' : (unsigned char)block[i];
	return sum;
}

static void encode_block(char *out, const char *name, char type, uint64_t size, const struct tar_entry *e)
{
	memset(out, 0, TAR_BLOCK);
	memcpy(out + NAME, name, strnlen(name, TAR_NAME_MAX));
	put_octal(out + MODE, 7, e->mode);
	put_octal(out + UID, 7, 0);
	put_octal(out + GID, 7, 0);
	put_octal(out + SIZE, 11, size);
	put_octal(out + MTIME, 11, (uint64_t)e->mtime);
	out[TYPE] = type;
	memcpy(out + MAGIC, "ustar\00000", 8);
	put_octal(out + CHECKSUM, 6, sum_block(out));
	out[TYPE - 1] = ' ';
}

/* "27 size=17179869184\n": the length counts itself. */
static size_t print_pax_size(char *out, size_t room, uint64_t size)
{
	int digits = snprintf(NULL, 0, " size=%llu\n", (unsigned long long)size);

	return (size_t)snprintf(out, room, "%d size=%llu\n", digits + 2, (unsigned long long)size);
}

size_t tar_encode(char out[TAR_HEAD_MAX], const struct tar_entry *e)
{
	char type = e->type == TAR_DIRECTORY ? '5' : '0';

	if (e->size <= OCTAL_MAX) {
		encode_block(out, e->name, type, e->size, e);
		return TAR_BLOCK;
	}
	char *content = out + TAR_BLOCK;
	memset(content, 0, TAR_BLOCK);
	encode_block(out, "pax", 'x', print_pax_size(content, TAR_BLOCK, e->size), e);
	/* Readers that know nothing of pax see a file without content and stumble at once, rather than late. */
	encode_block(out + 2 * TAR_BLOCK, e->name, type, 0, e);
	return TAR_HEAD_MAX;
}

/* Octal digits up to a blank or NUL, or the binary form that others write for large numbers. */
static bool read_number(const char *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	if ((unsigned char)p[0] == 0x80) {
		for (i = 1; i < len; i++) {
			if (v >> 56)
				return false;
			v = v << 8 | (unsigned char)p[i];
		}
		*ret = v;
		return true;
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] && p[i] != ' '; i++) {
		if (p[i] < '0' || p[i] > '7')
			return false;
		v = v * 8 + (uint64_t)(p[i] - '0');
	}
	*ret = v;
	return true;
}

static enum tar_type type_of(char c)
{
	switch (c) {
	case '0':
	case '\0':
	case '7':
		return TAR_FILE;
	case '5':
		return TAR_DIRECTORY;
	case 'x':
		return TAR_PAX;
	case 'g':
		return TAR_PAX_GLOBAL;
	default:
		return TAR_OTHER;
	}
}

int tar_decode(const char block[TAR_BLOCK], struct tar_entry *ret)
{
	static const char zeros[TAR_BLOCK];
	struct tar_entry e = { .type = type_of(block[TYPE]) };
	uint64_t sum, mode, mtime;

	if (memcmp(block, zeros, TAR_BLOCK) == 0)
		return TAR_END;
	if (memcmp(block + MAGIC, "ustar", 5) != 0 || !read_number(block + CHECKSUM, 8, &sum) || sum != sum_block(block) ||
		!read_number(block + SIZE, 12, &e.size) || !read_number(block + MODE, 8, &mode) || !read_number(block + MTIME, 12, &mtime))
		return -EUCLEAN;
	e.mode = (unsigned)(mode & 07777);
	e.mtime = (int64_t)mtime;
	/* GNU archives keep other things where POSIX has the prefix; their magic is "ustar  ". */
	int prefix = block[MAGIC + 5] == '\0' ? (int)strnlen(block + PREFIX, PREFIX_LEN) : 0;
	snprintf(e.name, sizeof(e.name), "%.*s%s%.*s", prefix, block + PREFIX, prefix ? "/" : "", (int)strnlen(block, TAR_NAME_MAX), block);
	*ret = e;
	return 0;
}

int tar_apply_pax(struct slice content, struct tar_entry *e)
{
	while (content.len) {
		const char *blank = memchr(content.ptr, ' ', content.len), *equals;
		uint64_t len;
		if (!blank || num_parse_u64(slice(content.ptr, (size_t)(blank - content.ptr)), &len) || len > content.len)
			return -EUCLEAN;
		struct slice line = slice(blank + 1, 0);
		if (len < (size_t)(blank - content.ptr) + 2 || content.ptr[len - 1] != '\n')
			return -EUCLEAN;
		line.len = (size_t)(content.ptr + len - 1 - line.ptr);
		equals = memchr(line.ptr, '=', line.len);
		if (!equals)
			return -EUCLEAN;
		struct slice key = slice(line.ptr, (size_t)(equals - line.ptr)), value = slice_skip(line, key.len + 1);
		if (slice_eq(key, SLICE("size")) && num_parse_u64(value, &e->size))
			return -EUCLEAN;
		if (slice_eq(key, SLICE("path"))) {
			if (value.len >= sizeof(e->name))
				return -EUCLEAN;
			memcpy(e->name, value.ptr, value.len);
			e->name[value.len] = '\0';
		}
		content = slice_skip(content, (size_t)len);
	}
	return 0;
}
