/* SPDX-License-Identifier: MIT
 *
 * Can a store live in this directory? Asked before the store is opened, so that a directory outside the service's walls
 * or of another user is reported as that, and before anybody was told that kvd is ready.
 */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include "base/error.h"

/*
 * Creates, syncs and renames a small file there and removes it. 0; or a negative errno with a text that names directory and
 * step. A full disk is not an error: reads are served from one, and deletes make room.
 */
int probe_directory(const char *path, struct error *e);

#endif
