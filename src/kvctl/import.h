/* SPDX-License-Identifier: MIT
 *
 * The sources of import beside lines of text, each a file of its own.
 */
#ifndef KVCTL_IMPORT_H
#define KVCTL_IMPORT_H

#include <stdio.h>
#include "kvctl/loader.h"
#include "kvctl/verb.h"

/*
 * Sends requests of the protocol as they stand in a file, from number `start` (the first is 1) on, and counts
 * the replies. They may be any, also inline; one reply each is expected. The connection is closed behind
 * them, since nobody knows what they made of it.
 */
enum kvctl_exit import_requests(struct loader *l, FILE *file, uint64_t start);

/* Copies the strings of another server of the protocol: Redis, or another kvd. Keys of other types are
 * counted and named. */
enum kvctl_exit import_from_server(struct kvctl *k, const struct args *a, struct slice address);

#endif
