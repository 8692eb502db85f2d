/* SPDX-License-Identifier: MIT */
#include "fault/kvdfault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define JOURNAL_FD 1000 /* out of the way of those the program gets */
#define VECTORS 256

/* The call of the C library behind ours. */
#define REAL(name)                                                                                           \
	({                                                                                                   \
		static __typeof__(&name) real_;                                                              \
		if (!real_)                                                                                  \
			real_ = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name);                       \
		real_;                                                                                       \
	})

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault_control *control;
static const char *root;
static int journal = -1;
static uint32_t sync_number;
/* Descriptors of files in the directory, and of connections. */
static bool ours[DESCRIPTORS], connection[DESCRIPTORS];

static bool is_ours(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS && ours[fd];
}

static void put_entry(struct fault_entry e, const char *name, const char *other, const struct iovec *data, int count)
{
	struct iovec v[VECTORS + 3] = { { &e, sizeof(e) } };
	size_t left = e.stored;
	int n = 3;

	if (journal < 0)
		return;
	e.name_len = name ? (uint16_t)strlen(name) : 0;
	e.other_len = other ? (uint16_t)strlen(other) : 0;
	v[1] = (struct iovec){ (void *)(uintptr_t)name, e.name_len };
	v[2] = (struct iovec){ (void *)(uintptr_t)other, e.other_len };
	for (int i = 0; i < count && left; i++) {
		v[n] = data[i];
		if (v[n].iov_len > left)
			v[n].iov_len = left;
		left -= v[n++].iov_len;
	}
	if (left || REAL(writev)(journal, v, n) < 0)
		abort(); /* a journal with a hole proves nothing */
}

static int result_of(long r)
{
	return r < 0 ? -errno : (int)r;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("KVD_FAULT_JOURNAL"), *shared = getenv("KVD_FAULT_CONTROL");

	root = getenv("KVD_FAULT_DIR");
	if (shared) {
		int fd = REAL(open)(shared, O_RDWR | O_CLOEXEC);
		control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (control == MAP_FAILED)
			abort();
		REAL(close)(fd);
	}
	if (path) {
		int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		journal = fcntl(fd, F_DUPFD_CLOEXEC, JOURNAL_FD);
		if (journal < 0)
			abort();
		REAL(close)(fd);
	}
	put_entry((struct fault_entry){ .kind = FAULT_START }, NULL, NULL, NULL, 0);
}

/* What is to happen to this call. Kills by itself; else FAULT_NONE, _ERROR (errno is set), _SHORT or _TORN. The lock is held. */
static enum fault_action decide(enum fault_kind kind)
{
	if (!control)
		return FAULT_NONE;
	control->seen[kind]++;
	if (control->action == FAULT_NONE || !(control->mask & 1u << kind))
		return FAULT_NONE;
	uint64_t n = ++control->count;
	if (n < control->first || n > control->last)
		return FAULT_NONE;
	control->hits++;
	if (control->action == FAULT_KILL)
		kill(getpid(), SIGKILL);
	errno = (int)control->error;
	return control->action;
}

static void note_open(int r, enum fault_kind kind, int dir, const char *name, int flags, mode_t mode, bool mine)
{
	if (r >= 0 && r < DESCRIPTORS) {
		ours[r] = mine;
		connection[r] = false;
	}
	if (mine)
		put_entry((struct fault_entry){ .kind = kind, .fd = dir, .result = result_of(r), .extra = mode, .len = flags & O_TRUNC ? 1 : 0 },
			name, NULL, NULL, 0);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	pthread_mutex_lock(&lock);
	bool mine = root && strcmp(path, root) == 0;
	int r = mine && decide(FAULT_OPEN) == FAULT_ERROR ? -1 : REAL(open)(path, flags, mode);
	note_open(r, FAULT_OPEN, -1, "", flags, mode, mine);
	pthread_mutex_unlock(&lock);
	return r;
}

int openat(int dir, const char *name, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	pthread_mutex_lock(&lock);
	enum fault_kind kind = flags & O_CREAT ? FAULT_CREATE : FAULT_OPEN;
	/* Of "." only the names are read, and closedir() is not seen. */
	bool mine = is_ours(dir) && strcmp(name, ".") != 0;
	int r = mine && decide(kind) == FAULT_ERROR ? -1 : REAL(openat)(dir, name, flags, mode);
	note_open(r, kind, dir, name, flags, mode, mine);
	pthread_mutex_unlock(&lock);
	return r;
}

int close(int fd)
{
	pthread_mutex_lock(&lock);
	if (is_ours(fd) || (fd >= 0 && fd < DESCRIPTORS && connection[fd])) {
		decide(FAULT_CLOSE); /* an error here would only lose the descriptor */
		ours[fd] = connection[fd] = false;
		put_entry((struct fault_entry){ .kind = FAULT_CLOSE, .fd = fd }, NULL, NULL, NULL, 0);
	}
	int r = REAL(close)(fd);
	pthread_mutex_unlock(&lock);
	return r;
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	enum fault_action action = FAULT_NONE;

	if (is_ours(fd)) {
		pthread_mutex_lock(&lock);
		action = decide(FAULT_READ);
		pthread_mutex_unlock(&lock);
	}
	return action == FAULT_ERROR ? -1 : REAL(preadv2)(fd, iov, count, offset, flags);
}

/* How much of the vectors is left when the zeros at their end are taken off. */
static size_t count_stored(const struct iovec *iov, int count, size_t len)
{
	size_t end = 0, stored = 0;

	for (int i = 0; i < count && end < len; i++) {
		const char *data = iov[i].iov_base;
		size_t n = iov[i].iov_len < len - end ? iov[i].iov_len : len - end, used = n;
		while (used && !data[used - 1])
			used--;
		if (used)
			stored = end + used;
		end += n;
	}
	return stored;
}

static ssize_t write_half(int fd, const struct iovec *iov, int count, off_t offset)
{
	size_t len = 0, done = 0;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	size_t want = len < 2 ? len : len / 2;
	for (int i = 0; i < count && done < want; i++) {
		size_t n = iov[i].iov_len < want - done ? iov[i].iov_len : want - done;
		ssize_t r = REAL(pwrite)(fd, iov[i].iov_base, n, offset + (off_t)done);
		if (r < 0)
			return done ? (ssize_t)done : -1;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (!is_ours(fd) || count > VECTORS)
		return REAL(pwritev)(fd, iov, count, offset);
	pthread_mutex_lock(&lock);
	enum fault_action action = decide(FAULT_WRITE);
	ssize_t r = -1;
	if (action == FAULT_SHORT || action == FAULT_TORN)
		r = write_half(fd, iov, count, offset);
	else if (action != FAULT_ERROR)
		r = REAL(pwritev)(fd, iov, count, offset);
	struct fault_entry e = { .kind = FAULT_WRITE, .fd = fd, .result = r < 0 ? -errno : 0, .offset = (uint64_t)offset };
	e.len = r < 0 ? 0 : (uint64_t)r;
	e.stored = (uint32_t)count_stored(iov, count, e.len);
	put_entry(e, NULL, NULL, iov, count);
	if (action == FAULT_TORN)
		kill(getpid(), SIGKILL);
	pthread_mutex_unlock(&lock);
	return r;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	struct iovec v = { (void *)(uintptr_t)data, len };

	return is_ours(fd) ? pwritev(fd, &v, 1, offset) : REAL(pwrite)(fd, data, len, offset);
}

static int sync_with(int fd, int (*call)(int fd))
{
	if (!is_ours(fd))
		return call(fd);
	pthread_mutex_lock(&lock);
	enum fault_action action = decide(FAULT_SYNC);
	struct fault_entry e = { .kind = FAULT_SYNC, .fd = fd, .extra = ++sync_number };
	int error = errno;
	put_entry(e, NULL, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	int r = action == FAULT_ERROR ? -1 : call(fd);
	e.kind = FAULT_SYNCED;
	e.result = result_of(r);
	pthread_mutex_lock(&lock);
	put_entry(e, NULL, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int fsync(int fd)
{
	return sync_with(fd, REAL(fsync));
}

int fdatasync(int fd)
{
	return sync_with(fd, REAL(fdatasync));
}

int ftruncate(int fd, off_t size)
{
	if (!is_ours(fd))
		return REAL(ftruncate)(fd, size);
	pthread_mutex_lock(&lock);
	int r = decide(FAULT_TRUNCATE) == FAULT_ERROR ? -1 : REAL(ftruncate)(fd, size);
	put_entry((struct fault_entry){ .kind = FAULT_TRUNCATE, .fd = fd, .result = result_of(r), .offset = (uint64_t)size }, NULL, NULL,
		NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (!is_ours(fd))
		return REAL(fallocate)(fd, mode, offset, len);
	pthread_mutex_lock(&lock);
	int r = decide(FAULT_ALLOCATE) == FAULT_ERROR ? -1 : REAL(fallocate)(fd, mode, offset, len);
	pthread_mutex_unlock(&lock);
	return r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (!is_ours(from_dir))
		return REAL(renameat)(from_dir, from, to_dir, to);
	pthread_mutex_lock(&lock);
	int r = decide(FAULT_RENAME) == FAULT_ERROR ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
	put_entry((struct fault_entry){ .kind = FAULT_RENAME, .fd = from_dir, .extra = (uint32_t)to_dir, .result = result_of(r) }, from, to,
		NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	if (!is_ours(from_dir))
		return REAL(linkat)(from_dir, from, to_dir, to, flags);
	pthread_mutex_lock(&lock);
	int r = decide(FAULT_LINK) == FAULT_ERROR ? -1 : REAL(linkat)(from_dir, from, to_dir, to, flags);
	put_entry((struct fault_entry){ .kind = FAULT_LINK, .fd = from_dir, .extra = (uint32_t)to_dir, .result = result_of(r) }, from, to,
		NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int unlinkat(int dir, const char *name, int flags)
{
	if (!is_ours(dir))
		return REAL(unlinkat)(dir, name, flags);
	pthread_mutex_lock(&lock);
	enum fault_kind kind = flags & AT_REMOVEDIR ? FAULT_RMDIR : FAULT_UNLINK;
	int r = decide(kind) == FAULT_ERROR ? -1 : REAL(unlinkat)(dir, name, flags);
	put_entry((struct fault_entry){ .kind = kind, .fd = dir, .result = result_of(r) }, name, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	if (!is_ours(dir))
		return REAL(mkdirat)(dir, name, mode);
	pthread_mutex_lock(&lock);
	int r = decide(FAULT_MKDIR) == FAULT_ERROR ? -1 : REAL(mkdirat)(dir, name, mode);
	put_entry((struct fault_entry){ .kind = FAULT_MKDIR, .fd = dir, .extra = mode, .result = result_of(r) }, name, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *size, int flags)
{
	pthread_mutex_lock(&lock);
	int r = REAL(accept4)(fd, addr, size, flags);
	if (r >= 0 && r < DESCRIPTORS) {
		ours[r] = false;
		connection[r] = true;
		put_entry((struct fault_entry){ .kind = FAULT_ACCEPT, .fd = fd, .result = r }, NULL, NULL, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	pthread_mutex_lock(&lock);
	ssize_t r = REAL(send)(fd, data, len, flags);
	if (r > 0 && fd < DESCRIPTORS && connection[fd]) {
		struct iovec v = { (void *)(uintptr_t)data, (size_t)r };
		put_entry((struct fault_entry){ .kind = FAULT_SEND, .fd = fd, .len = (uint64_t)r, .stored = (uint32_t)r }, NULL, NULL, &v, 1);
	}
	pthread_mutex_unlock(&lock);
	return r;
}
