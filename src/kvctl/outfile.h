/* SPDX-License-Identifier: MIT
 *
 * A file that is written whole or not at all: what had its name before stays until everything is on disk. One at a time.
 */
#ifndef KVCTL_OUTFILE_H
#define KVCTL_OUTFILE_H

#include <signal.h>
#include <stdio.h>
#include "kvctl/kvctl.h"

#define OUTFILE_SIGNALS 3

struct outfile {
	FILE *file;                          /* NULL: none is open */
	char name[PATHS_MAX];                /* as it was given */
	char target[PATHS_MAX];              /* the file itself, behind links */
	char temporary[PATHS_MAX + 8];       /* "": it is written in place */
	struct sigaction before[OUTFILE_SIGNALS];
};

/*
 * Mode 0600, or that of the file which is replaced. A pipe, a device, or a file in a directory that takes no new ones is written in place. SIGINT, SIGTERM
 * and SIGHUP remove what has been written, and then do what they did before. Failures are said.
 */
enum kvctl_exit outfile_open(struct kvctl *k, struct outfile *o, struct slice name);
/* Writes all of s, and says so if that cannot be. */
enum kvctl_exit outfile_write(struct kvctl *k, struct outfile *o, struct slice s);
/* Syncs it and gives it its name, unless code tells of a failure: then it is removed. Gives code, or the failure. */
enum kvctl_exit outfile_close(struct kvctl *k, struct outfile *o, enum kvctl_exit code);

#endif
