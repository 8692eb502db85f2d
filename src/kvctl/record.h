/* SPDX-License-Identifier: MIT
 *
 * One line of export and import: {"key": ..., "value": ..., "ttl_ms": ...}. Bytes that are not UTF-8 stand in
 * "key_base64" and "value_base64"; without "ttl_ms" the key does not expire.
 */
#ifndef KVCTL_RECORD_H
#define KVCTL_RECORD_H

#include <jansson.h>
#include "base/buf.h"

struct record {
	struct buf key, value;
	int64_t ttl_ms; /* -1: none */
};

/* One line with its end; ttl_ms below 0: none. */
void record_append(struct buf *out, struct slice key, struct slice value, int64_t ttl_ms);

/* 0, or -EINVAL with the reason in error, or -ENOMEM. *ret (zeroed before its first use) is overwritten, its
 * memory reused. */
int record_parse(struct slice line, struct record *ret, struct buf *error);
void record_free(struct record *r);

#endif
