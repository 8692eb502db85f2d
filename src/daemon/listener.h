/* SPDX-License-Identifier: MIT
 *
 * The listening sockets: those the service manager passed, or one of our own. Passed ones are used as they are and
 * never unlinked. Our own is made under a lock file (PATH.lock), takes the place of a dead socket only, never of a live
 * one nor of anything that is not a socket, and has its mode and owner before it listens.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"

#define LISTENER_MAX 8
#define LISTENER_BACKLOG 4096

struct listener_options {
	const char *path;
	mode_t mode;
	int64_t owner, group;  /* -1: as they come */
	bool make_directory;   /* make a missing parent directory (0755): for default paths */
};

struct listener {
	int fd[LISTENER_MAX]; /* listening, not blocking, closed on exec */
	int n;
	bool passed; /* by the service manager */
	char path[112];
	int lock;
	dev_t dev;
	ino_t ino;
};

/*
 * 0; -EADDRINUSE (a live daemon has the path, or its lock is held); -EEXIST (something that is not a socket is there);
 * -EINVAL (path too long, or a passed descriptor is not a listening Unix stream socket); or what the system said.
 */
int listener_open(struct listener *l, const struct listener_options *options, struct error *e);

/* Closes; unlinks the socket when it is still the one we made. Works on a zeroed struct too. */
void listener_close(struct listener *l);

#endif
