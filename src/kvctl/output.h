/* SPDX-License-Identifier: MIT
 *
 * What kvctl prints. Writes to standard output note the first failure in k->output_error and never report it
 * themselves: long listings look at it and stop, the end of the program decides.
 */
#ifndef KVCTL_OUTPUT_H
#define KVCTL_OUTPUT_H

#include <jansson.h>
#include <stdio.h>
#include "base/buf.h"
#include "kvctl/kvctl.h"

/* One line on standard error, "kvctl: ..."; bytes a terminal could act upon are escaped. */
void complain(const struct kvctl *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and the code: `return refuse(k, KVCTL_USAGE, ...)`. */
enum kvctl_exit refuse(const struct kvctl *k, enum kvctl_exit code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

enum kvctl_exit refuse_absent(const struct kvctl *k);

void output_bytes(struct kvctl *k, struct slice s);
void output_printf(struct kvctl *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Escaped on a terminal, as they are otherwise. */
void output_text(struct kvctl *k, struct slice s);
/* One compact line; takes over the reference; NULL counts as out of memory. */
void output_json(struct kvctl *k, json_t *value);
/* OK for those who watch a terminal, true for those who asked for JSON, nothing with --quiet. */
void output_confirm(struct kvctl *k);
void output_flush(struct kvctl *k);

/* ---- terminals ---- */

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_BAD };

/* What follows on standard output looks so; nothing happens where colours are not wanted (kvctl.h). */
void output_style(struct kvctl *k, enum style style);
/* Whether a stream is a terminal that obeys escape sequences: TERM is set and not "dumb". */
bool output_can_draw(int fd);
/* The same, and NO_COLOR is not set. */
bool output_can_colour(int fd);
/* Columns and lines of a terminal; 80 and 24 when it does not say. */
size_t output_width(int fd);
size_t output_height(int fd);

/* ---- text ---- */

/*
 * Appends s with control characters and bytes that are not UTF-8 as \n, \t, \xHH. The letters in `also` get a
 * backslash too ("\\" keeps the result unambiguous).
 */
void escape(struct buf *out, struct slice s, const char *also);

/* Length of the UTF-8 character at the front of s, or 0 when there is none. */
size_t utf8_length(struct slice s);
bool utf8_valid(struct slice s);

void base64_encode(struct buf *out, struct slice s);
/* 0 or -EINVAL (not base64 with its padding, as the encoder writes it). */
int base64_decode(struct buf *out, struct slice s);

/* Puts bytes into an object: as NAME when they are UTF-8, else as NAME_base64. 0 or -ENOMEM. */
int json_put_bytes(json_t *object, const char *name, struct slice bytes);

/* ---- replies ---- */

/* As redis-cli shows them on a terminal: (integer) 1, 1) "a", nested. */
void reply_format(struct buf *out, const redisReply *r);
/* Bytes that are not UTF-8 become {"base64": ...}, errors {"error": ...}. NULL: no memory. */
json_t *reply_json(const redisReply *r);

#endif
