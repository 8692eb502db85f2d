/* SPDX-License-Identifier: MIT */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "daemon/notify.h"

/* ---- passed sockets ---- */

static int take_passed(struct listener *l, int fd, struct error *e)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);

	if (l->n == LISTENER_MAX)
		return error_set(e, -EINVAL, "more than %d sockets were passed", LISTENER_MAX);
	if (!notify_is_listening_unix(fd))
		return error_set(e, -EINVAL, "passed descriptor %d is not a listening Unix stream socket", fd);
	/* Who passes sockets may leave them blocking; an accept that waits would stop the loop. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return error_set(e, -errno, "passed descriptor %d: %s", fd, strerror(errno));
	if (l->n == 0 && getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
		snprintf(l->path, sizeof(l->path), "%.107s", addr.sun_path);
	l->fd[l->n++] = fd;
	return 0;
}

/* ---- our own socket ---- */

static int make_parent(const char *path, struct error *e)
{
	char dir[sizeof(((struct listener *)0)->path)];
	const char *slash = strrchr(path, '/');

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (!*dir || mkdir(dir, 0755) == -1)
		return *dir && errno != EEXIST ? error_set(e, -errno, "%s: %s", dir, strerror(errno)) : 0;
	/* The umask keeps everybody out; others must get through to a socket that may be theirs. */
	return chmod(dir, 0755) ? error_set(e, -errno, "%s: %s", dir, strerror(errno)) : 0;
}

static int take_lock(struct listener *l, struct error *e)
{
	char path[sizeof(l->path) + 8];

	snprintf(path, sizeof(path), "%s.lock", l->path);
	l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock == -1)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (flock(l->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(e, -EADDRINUSE, "%s: another kvd holds this socket (lock %s)", l->path, path);
	return error_set(e, -errno, "%s: %s", path, strerror(errno));
}

static void fill_address(const struct listener *l, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(addr->sun_path, l->path, strlen(l->path) + 1);
}

/* Only a refused connection proves that nobody is behind the socket; a full backlog says EAGAIN. */
static bool is_dead(const struct listener *l)
{
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	fill_address(l, &addr);
	bool dead = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 && errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return dead;
}

static int clear_path(const struct listener *l, struct error *e)
{
	struct stat st;

	if (lstat(l->path, &st) == -1)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", l->path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(e, -EEXIST, "%s: exists and is not a socket, it is left alone", l->path);
	if (!is_dead(l))
		return error_set(e, -EADDRINUSE, "%s: another program serves this socket", l->path);
	if (unlink(l->path) == -1 && errno != ENOENT)
		return error_set(e, -errno, "%s: %s", l->path, strerror(errno));
	return 0;
}

static int bind_quietly(struct listener *l, int fd)
{
	struct sockaddr_un addr;
	mode_t before = umask(0177);

	fill_address(l, &addr);
	int r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	umask(before);
	return r;
}

/* Nobody can connect before listen(): mode and owner are right from the first moment. */
static int open_own(struct listener *l, const struct listener_options *o, struct error *e)
{
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return error_set(e, -errno, "socket: %s", strerror(errno));
	l->fd[l->n++] = fd;
	int r = bind_quietly(l, fd);
	if (r)
		return error_set(e, r, "%s: %s", l->path, strerror(-r));
	if (lstat(l->path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	if (((o->owner >= 0 || o->group >= 0) && lchown(l->path, (uid_t)o->owner, (gid_t)o->group)) ||
		chmod(l->path, o->mode) || listen(fd, LISTENER_BACKLOG))
		return error_set(e, -errno, "%s: %s", l->path, strerror(errno));
	return 0;
}

int listener_open(struct listener *l, const struct listener_options *o, struct error *e)
{
	*l = (struct listener){ .lock = -1 };
	int fds[LISTENER_MAX + 1], r = 0;
	int passed = notify_passed_sockets(fds, LISTENER_MAX + 1);

	if (passed < 0)
		return error_set(e, passed, "passed sockets: %s", strerror(-passed));
	l->passed = passed > 0;
	for (int i = 0; r == 0 && i < passed; i++)
		r = take_passed(l, fds[i], e);
	if (l->passed) {
		if (r)
			listener_close(l);
		return r;
	}
	if (strlen(o->path) > sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
		return error_set(e, -EINVAL, "%s: a socket path has at most %zu bytes", o->path,
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	snprintf(l->path, sizeof(l->path), "%s", o->path);
	if (o->make_directory)
		r = make_parent(l->path, e);
	r = r ? r : take_lock(l, e);
	r = r ? r : clear_path(l, e);
	r = r ? r : open_own(l, o, e);
	if (r)
		listener_close(l);
	return r;
}

void listener_close(struct listener *l)
{
	struct stat st;

	if (l->ino && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	while (l->n)
		close(l->fd[--l->n]);
	if (l->lock > 0)
		close(l->lock);
	*l = (struct listener){ .lock = -1 };
}
