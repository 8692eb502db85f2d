/* SPDX-License-Identifier: MIT
 *
 * What the tests of libkvdstore share: a directory of their own for one store, on a real disk.
 */
#ifndef TESTS_UNIT_KVDSTORE_FIXTURE_H
#define TESTS_UNIT_KVDSTORE_FIXTURE_H

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tap.h"

static char dir[4096];

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void clean_up(void)
{
	if (*dir)
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*dir = 0;
}

/* An empty one; that of before is removed. */
static inline void make_dir(void)
{
	const char *base = getenv("TMPDIR");

	clean_up();
	snprintf(dir, sizeof(dir), "%s/kvdstore-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir))
		bail("no temporary directory: %s", strerror(errno));
}

#endif
