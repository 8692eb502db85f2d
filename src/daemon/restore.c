/* SPDX-License-Identifier: MIT */
#include "daemon/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/log.h"
#include "base/num.h"
#include "base/owner.h"
#include "daemon/server.h"
#include "store/snapshot_tool.h"

static int exit_code_of(int error)
{
	switch (error) {
	case 0:
		return 0;
	case -EBUSY:
		return EXIT_LOCKED;
	case -EUCLEAN:
	case -EPROTONOSUPPORT:
		return EXIT_DATA;
	case -EINVAL:
	case -ENOENT:
	case -EACCES:
	case -EPERM:
		return EXIT_CONFIG;
	default:
		return EXIT_IO;
	}
}

static int restore(const char *dir, const struct options_command *c, struct store_restored *ret, struct error *e)
{
	struct store_source from[OPTIONS_RESTORES];
	size_t count = 0;
	int r = 0;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(e, -errno, "%s: cannot be made: %s", dir, strerror(errno));
	/* Opened as who we are: an archive need not be readable for the owner of the data. */
	for (; r == 0 && count < c->restores; count++)
		r = store_source_open(dir, c->restore[count], &from[count], e);
	if (r == 0) {
		r = owner_become(dir);
		if (r)
			error_set(e, r, "%s: cannot act as its owner: %s", dir, strerror(-r));
	}
	if (r == 0)
		r = store_restore(NULL, dir, from, count, ret, e);
	while (count > 0)
		store_source_close(&from[--count]);
	return r;
}

int restore_main(const struct options *o, const struct options_command *command)
{
	const char *dir = option_text(o, OPTION_DATA_DIR);
	struct store_restored done = { 0 };
	struct error e = { 0 };
	int r = restore(dir, command, &done, &e);

	if (r) {
		log_error("not restored: %s", e.text);
		return exit_code_of(r);
	}
	printf("snapshot %s is restored in %s: %" PRIu64 " record%s of %" PRIu64 " bytes\n", done.name, dir, done.records,
		num_plural(done.records), done.bytes);
	if (*done.aside)
		printf("what was there before is in %s/%s\n", dir, done.aside);
	return 0;
}
