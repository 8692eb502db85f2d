/* SPDX-License-Identifier: MIT
 *
 * The forms in which export writes records and import reads them:
 *
 *   ndjson  {"key": ..., "value": ..., "ttl_ms": ...}, a line each; see record.h
 *   csv     key,value,ttl_ms; the third may be empty or missing; see csv.h
 *   resp    SET requests of the protocol, as redis-cli --pipe takes them; import takes any requests
 */
#ifndef KVCTL_FORMAT_H
#define KVCTL_FORMAT_H

#include "base/buf.h"
#include "kvctl/verb.h"

enum format { FORMAT_NDJSON, FORMAT_CSV, FORMAT_RESP };

#define FORMAT_CSV_HEADER "key,value,ttl_ms"

/* --format, or what the FILE's name ends with (.csv, .resp), or ndjson. */
enum kvctl_exit format_choose(struct kvctl *k, const struct args *a, enum format *ret);

/* One record; ttl_ms below 0: none. Failures are the buffer's. */
void format_append(struct buf *out, enum format f, struct slice key, struct slice value, int64_t ttl_ms);

#endif
