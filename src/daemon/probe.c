/* SPDX-License-Identifier: MIT */
#include "daemon/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Always the same names: what a killed start leaves behind, the next one removes. */
struct names {
	const char *first, *second;
};

static const char *try_file(int dir, const struct names *n)
{
	int fd = openat(dir, n->first, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	const char *failed = NULL;

	if (fd == -1)
		return "create a file";
	if (write(fd, "kvd\n", 4) != 4)
		failed = "write";
	else if (fsync(fd))
		failed = "sync a file";
	else if (renameat(dir, n->first, dir, n->second))
		failed = "rename a file";
	else if (fsync(dir))
		failed = "sync the directory";
	int error = errno;
	close(fd);
	errno = error;
	return failed;
}

int probe_directory(const char *path, struct error *e)
{
	static const struct names n = { ".probe.new", ".probe" };
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	const char *failed = try_file(dir, &n);
	int error = failed ? errno : 0;
	unlinkat(dir, n.first, 0);
	unlinkat(dir, n.second, 0);
	close(dir);
	if (!failed || error == ENOSPC || error == EDQUOT)
		return 0;
	return error_set(e, -error, "%s: cannot %s here: %s", path, failed, strerror(error));
}
