/* SPDX-License-Identifier: MIT
 *
 * The line protocol: RESP2, RESP3 and inline lines (kvd-protocol(7)). A reader that is fed bytes in any
 * chunking and a writer that appends replies to a buffer. No sockets, no store: bytes in, slices out. One
 * thread per object.
 *
 * Source of the format: the published Redis serialization protocol specification, versions 2 and 3.
 */
#ifndef PROTO_RESP_H
#define PROTO_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/block.h"
#include "base/buf.h"
#include "base/slice.h"

/* ---- reader ---- */

struct resp_limits {
	size_t inline_bytes; /* longest inline line and longest header line, 64 KiB */
	size_t bulk_bytes;   /* longest argument, proto-max-bulk-len, 512 MiB */
	size_t args;         /* most arguments of one request, 1048576 */
	size_t large_bytes;  /* arguments from this length on are received elsewhere (RESP_LARGE); 0: none */
};

/* Positive conditions of resp_read. */
enum { RESP_MORE = 1, RESP_BAD = 2, RESP_LARGE = 3 };

/* An argument that was received elsewhere. */
struct resp_large {
	size_t arg;
	const char *ptr;
};

/*
 * Reader of one connection. Remembers how far it came inside an incomplete request, so that feeding n bytes
 * one at a time costs O(n). Positions are kept as offsets: the caller may move its buffer between calls. No
 * memory is taken for announced sizes; the argument table grows with arguments that have arrived, and what a
 * huge request made it grow is given back by the next call of resp_read, which may be one without data.
 */
struct resp_reader {
	const struct resp_limits *limits; /* borrowed; may change between calls */
	size_t offset;     /* bytes of the current request parsed so far */
	size_t scanned;    /* bytes of it searched for the end of a line */
	int64_t args_left; /* of a framed request; -1: between requests */
	int64_t bulk_left; /* length of the argument being waited for; -1: its header is next */
	size_t nargs, cap; /* arguments found so far */
	struct slice *argv;  /* owned; until a framed request is finished each ptr is an offset in it */
	struct resp_large *large; /* owned */
	size_t nlarge, large_cap;
	bool large_next;     /* the argument being waited for is one of those */
	bool large_end;      /* its line end is next */
	struct buf unquoted; /* bytes of quoted inline arguments */
	char error[128];     /* not empty: malformed, every further call answers RESP_BAD */
};

struct resp_request {
	const struct slice *argv; /* borrowed from the fed bytes (and the reader), until either changes */
	size_t argc;              /* 0: an empty line or an empty array, nothing to do */
	size_t size;              /* bytes it took; the next request starts there */
};

void resp_reader_init(struct resp_reader *r, const struct resp_limits *limits);
void resp_reader_free(struct resp_reader *r);

/*
 * Reads one request from data, which starts where the last finished request ended and still holds every byte
 * fed since. Returns 0 and fills *ret (ret->argv stays valid until the next call); RESP_MORE when data ends
 * before the request does; RESP_BAD when it is malformed: r->error holds the text after "-ERR " and the
 * connection is to be closed; -ENOMEM: the same call may be tried again. Chunking never changes the answer.
 *
 * RESP_LARGE: a long argument, resp_large_size() bytes, begins where the reader has come to (r->offset). The caller receives these
 * bytes elsewhere, takes what is there of them out of the data, and gives all of them with resp_large_give() before the
 * next call. So they do not count in ret->size.
 */
int resp_read(struct resp_reader *r, const char *data, size_t len, struct resp_request *ret);

/* After RESP_LARGE: its length. 0: there was none, or it has been given. */
size_t resp_large_size(const struct resp_reader *r);
/* ptr: all its bytes, which stay there until the request is done with. 0 or -ENOMEM: as if it had not been called. */
int resp_large_give(struct resp_reader *r, const char *ptr);

/*
 * After RESP_MORE, with the len of that call: how many more bytes the argument being received needs at least
 * (0: unknown). What a client announced, so no reason to allocate that much.
 */
size_t resp_wants(const struct resp_reader *r, size_t len);

/* ---- writer ---- */

/* Out of memory is sticky in *out (base/buf.h): nothing more is appended; check once at the end. */

/*
 * Large values are not copied into the buffer of replies, they are lent to it: each goes out between two of its bytes.
 * So the replies are the buffer with the lent bytes put in, and as every such value has a header and a line end
 * in the buffer, its place is always inside the reply it belongs to.
 */
struct resp_lent {
	size_t at; /* bytes of the buffer before it */
	struct slice bytes;
	struct block *block; /* a reference of our own */
};

struct resp_lents {
	struct resp_lent *lent; /* in order; lent[first] to lent[first + count - 1] */
	size_t first, count, cap;
	size_t bytes; /* of all */
};

/* Appends one, with a reference of its own: 0 or -ENOMEM. */
int resp_lents_add(struct resp_lents *l, size_t at, struct slice bytes, struct block *block);
/* Drops the first one; those whose place is behind `at`; all, with the memory. */
void resp_lents_shift(struct resp_lents *l);
void resp_lents_cut(struct resp_lents *l, size_t at);
void resp_lents_free(struct resp_lents *l);

struct resp_writer {
	struct buf *out; /* replies are appended here; borrowed */
	int proto;       /* 2 or 3 */
	struct resp_lents *lents; /* NULL: every value is copied; borrowed */
};

/* Takes back what was appended since out->len was mark. */
void resp_cut(struct resp_writer *w, size_t mark);
/* Bytes of all replies there, lent ones included. */
static inline size_t resp_total(const struct resp_writer *w)
{
	return w->out->len + (w->lents ? w->lents->bytes : 0);
}

void resp_simple(struct resp_writer *w, const char *text);       /* +text, without CR and LF */
void resp_ok(struct resp_writer *w);                             /* +OK */
/* -text: the first word is the class, "ERR ..."; CR and LF inside become blanks. */
void resp_error(struct resp_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void resp_int(struct resp_writer *w, int64_t value);             /* :value */
void resp_bulk(struct resp_writer *w, struct slice s);           /* $len */
/* The same of bytes in a block (NULL: in none): long ones are lent. */
void resp_bulk_block(struct resp_writer *w, struct slice s, struct block *block);
void resp_bulk_str(struct resp_writer *w, const char *s);
void resp_bulk_int(struct resp_writer *w, int64_t value);        /* the digits as a bulk string */
void resp_null(struct resp_writer *w);                           /* RESP2 $-1, RESP3 _ */
void resp_null_array(struct resp_writer *w);                     /* RESP2 *-1, RESP3 _ */
void resp_bool(struct resp_writer *w, bool value);               /* RESP2 :0 :1, RESP3 #f #t */
void resp_double(struct resp_writer *w, double value);           /* RESP2 bulk, RESP3 , */
/* RESP2 bulk, RESP3 =; format3 is "txt". */
void resp_verbatim(struct resp_writer *w, const char *format3, struct slice s);
void resp_array(struct resp_writer *w, size_t n);                /* *n; n elements follow */
void resp_map(struct resp_writer *w, size_t n);                  /* RESP2 *2n, RESP3 %n; n pairs follow */
void resp_set(struct resp_writer *w, size_t n);                  /* RESP2 *n, RESP3 ~n */
void resp_push(struct resp_writer *w, size_t n);                 /* RESP2 *n, RESP3 >n */

/*
 * For an array whose length is known only at its end: begin returns a mark, end puts the header for n
 * elements before what was appended since, moving that once. They may nest. To give up: resp_cut().
 */
size_t resp_array_begin(struct resp_writer *w);
void resp_array_end(struct resp_writer *w, size_t mark, size_t n);
void resp_map_end(struct resp_writer *w, size_t mark, size_t n); /* the same for n pairs of a map */

#endif
