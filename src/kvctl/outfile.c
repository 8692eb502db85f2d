/* SPDX-License-Identifier: MIT */
#include "kvctl/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvctl/output.h"

/* ---- signals ---- */

static const int ends[OUTFILE_SIGNALS] = { SIGINT, SIGTERM, SIGHUP };
static const struct outfile *unfinished; /* for the handler; changed only while it is not set */

/* Only what a handler may call. */
static void remove_and_pass(int number)
{
	int error = errno;

	unlink(unfinished->temporary);
	for (size_t i = 0; i < OUTFILE_SIGNALS; i++)
		if (ends[i] == number)
			sigaction(number, &unfinished->before[i], NULL);
	raise(number);
	errno = error;
}

static sigset_t hold_signals(void)
{
	sigset_t held, before;

	sigemptyset(&held);
	for (size_t i = 0; i < OUTFILE_SIGNALS; i++)
		sigaddset(&held, ends[i]);
	sigprocmask(SIG_BLOCK, &held, &before);
	return before;
}

static void watch_signals(struct outfile *o)
{
	struct sigaction action = { .sa_handler = remove_and_pass };

	unfinished = o;
	for (size_t i = 0; i < OUTFILE_SIGNALS; i++) {
		sigaction(ends[i], NULL, &o->before[i]);
		if (o->before[i].sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	}
}

static void unwatch_signals(const struct outfile *o)
{
	for (size_t i = 0; i < OUTFILE_SIGNALS; i++)
		sigaction(ends[i], &o->before[i], NULL);
	unfinished = NULL;
}

/* ---- the file ---- */

static enum kvctl_exit fail(struct kvctl *k, const struct outfile *o, int error)
{
	return refuse(k, KVCTL_REFUSED, "cannot write %s: %s", o->name, strerror(error));
}

static int open_in_place(struct outfile *o)
{
	return open(o->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* The file is to look like the one it replaces; whose it is only root can keep. */
static int copy_owner(int fd, const struct stat *old)
{
	if (fchown(fd, old->st_uid, old->st_gid) != 0 && errno != EPERM)
		return -1;
	return fchmod(fd, old->st_mode & 0777);
}

/* A signal that comes before it is watched for waits. */
static int make_temporary(struct outfile *o)
{
	sigset_t before = hold_signals();
	snprintf(o->temporary, sizeof(o->temporary), "%s.XXXXXX", o->target);
	int fd = mkostemp(o->temporary, O_CLOEXEC), error = errno;

	if (fd >= 0)
		watch_signals(o);
	else
		*o->temporary = 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return fd;
}

/* old: what has the name now; NULL: nothing. */
static int open_beside(struct outfile *o, const struct stat *old)
{
	if (!old)
		memcpy(o->target, o->name, sizeof(o->target));
	else if (!realpath(o->name, o->target))
		return -1;
	int fd = make_temporary(o);
	/* Where one can be written, but none can be made. */
	if (fd < 0 && old && (errno == EACCES || errno == EPERM))
		return open_in_place(o);
	if (fd >= 0 && old && copy_owner(fd, old) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_any(struct outfile *o)
{
	struct stat old;

	if (stat(o->name, &old) != 0)
		return errno == ENOENT && o->name[strlen(o->name) - 1] != '/' ? open_beside(o, NULL) : open_in_place(o);
	return S_ISREG(old.st_mode) && access(o->name, W_OK) == 0 ? open_beside(o, &old) : open_in_place(o);
}

enum kvctl_exit outfile_open(struct kvctl *k, struct outfile *o, struct slice name)
{
	if (name.len >= sizeof(o->name) || memchr(name.ptr, 0, name.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name of a file", (int)name.len, name.ptr);
	memcpy(o->name, name.ptr, name.len);
	o->name[name.len] = 0;
	*o->temporary = 0;
	int fd = open_any(o);
	if (fd < 0)
		return outfile_close(k, o, fail(k, o, errno));
	o->file = fdopen(fd, "w");
	if (o->file)
		return KVCTL_DONE;
	close(fd);
	return outfile_close(k, o, fail(k, o, ENOMEM));
}

enum kvctl_exit outfile_write(struct kvctl *k, struct outfile *o, struct slice s)
{
	return s.len && fwrite(s.ptr, 1, s.len, o->file) != s.len ? fail(k, o, errno) : KVCTL_DONE;
}

static int finish(struct outfile *o)
{
	int r = fflush(o->file);

	/* A pipe or a terminal cannot be synced, which is no fault of theirs. */
	if (r == 0 && fsync(fileno(o->file)) != 0 && errno != EINVAL && errno != EROFS)
		r = -1;
	return r;
}

enum kvctl_exit outfile_close(struct kvctl *k, struct outfile *o, enum kvctl_exit code)
{
	if (o->file && finish(o) != 0 && !code)
		code = fail(k, o, errno);
	if (o->file && fclose(o->file) != 0 && !code)
		code = fail(k, o, errno);
	o->file = NULL;
	if (!*o->temporary)
		return code;
	if (!code && rename(o->temporary, o->target) != 0)
		code = fail(k, o, errno);
	unwatch_signals(o);
	if (code)
		unlink(o->temporary);
	*o->temporary = 0;
	return code;
}
