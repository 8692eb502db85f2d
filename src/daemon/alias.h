/* SPDX-License-Identifier: MIT
 *
 * The names Redis gives to settings that kvd has under its own, so that CONFIG GET and SET of client libraries and tools
 * work: `appendfsync` is `durability`, and so on. Some have one value only and are there to be asked for.
 */
#ifndef DAEMON_ALIAS_H
#define DAEMON_ALIAS_H

#include "base/buf.h"
#include "daemon/options.h"

/* The name of alias i, its value as Redis writes it appended to ret; NULL past the last. */
const char *alias_get(const struct options *o, size_t i, struct buf *ret);

/*
 * Sets an alias: 0; -ENOENT (no such alias); -EPERM (not at run time); -EINVAL with the reason in e; -ENOMEM.
 */
int alias_set(struct options *o, struct slice name, struct slice value, struct error *e);

#endif
