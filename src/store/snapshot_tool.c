/* SPDX-License-Identifier: MIT
 *
 * Snapshots for tools: by the path of the data directory, without an open store.
 */
#include "store/snapshot_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/archive.h"
#include "store/inner.h"
#include "store/restore.h"

static int open_data_dir(struct io *io, const char *path, struct error *e)
{
	int dir = io->open_dir(io, path);

	return dir < 0 ? error_set(e, dir, "%s: %s", path, strerror(-dir)) : dir;
}

int store_snapshot_list(struct io *io, const char *data_dir, struct store_snapshot **ret, size_t *ret_count, struct error *ret_error)
{
	struct snapshot_list l = { 0 };

	io = io ? io : &io_system;
	int dir = open_data_dir(io, data_dir, ret_error);
	if (dir < 0)
		return dir;
	int r = snapshot_list_read(io, dir, false, &l);
	io->close(io, dir);
	if (r)
		return error_set(ret_error, r, "%s/" SNAPSHOTS_NAME ": %s", data_dir, strerror(-r));
	*ret = l.item;
	*ret_count = l.count;
	return 0;
}

int store_snapshot_verify(struct io *io, const char *data_dir, const char *name, struct store_snapshot_check *ret, struct error *ret_error)
{
	struct error inner = { 0 };
	struct manifest m = { 0 };

	io = io ? io : &io_system;
	int data = open_data_dir(io, data_dir, ret_error);
	if (data < 0)
		return data;
	int dir = snapshot_open(io, data, name, &m, ret_error);
	io->close(io, data);
	if (dir < 0)
		return dir;
	int r = snapshot_check(io, dir, &m, ret, &inner);
	if (r == 0)
		r = snapshot_check_checkpoint(io, dir, &m, &inner);
	io->close(io, dir);
	manifest_free(&m);
	return r ? error_set(ret_error, r, SNAPSHOTS_NAME "/%s/%.400s", name, inner.text) : 0;
}

/* ---- archives ---- */

/* Opens a snapshot, and the manifest of the one it is to build on. The handle of its directory, or an error. */
static int open_pair(struct io *io, const char *data_dir, const char *name, const char *since, struct manifest ret[2], struct error *e)
{
	int data = open_data_dir(io, data_dir, e), dir, older;

	if (data < 0)
		return data;
	dir = snapshot_open(io, data, name, &ret[0], e);
	if (dir >= 0 && since) {
		older = snapshot_open(io, data, since, &ret[1], e);
		io->close(io, older < 0 ? dir : older);
		dir = older < 0 ? older : dir;
	}
	if (dir < 0)
		manifest_free(&ret[0]);
	io->close(io, data);
	return dir;
}

int store_snapshot_measure(struct io *io, const char *data_dir, const char *name, const char *since, uint64_t *ret_bytes,
	struct error *ret_error)
{
	struct manifest m[2] = { 0 };

	io = io ? io : &io_system;
	int dir = open_pair(io, data_dir, name, since, m, ret_error);
	if (dir < 0)
		return dir;
	*ret_bytes = archive_size(&m[0], since ? &m[1] : NULL);
	io->close(io, dir);
	manifest_free(&m[0]);
	manifest_free(&m[1]);
	return 0;
}

int store_snapshot_export(struct io *io, const char *data_dir, const char *name, const char *since, store_write *write, void *arg,
	struct error *ret_error)
{
	struct manifest m[2] = { 0 };
	struct error inner = { 0 };

	io = io ? io : &io_system;
	int dir = open_pair(io, data_dir, name, since, m, ret_error);
	if (dir < 0)
		return dir;
	int r = archive_write(io, dir, &m[0], since ? &m[1] : NULL, write, arg, &inner);
	io->close(io, dir);
	manifest_free(&m[0]);
	manifest_free(&m[1]);
	return r ? error_set(ret_error, r, SNAPSHOTS_NAME "/%s/%.380s", name, inner.text) : 0;
}

int store_restore(struct io *io, const char *data_dir, const struct store_source *from, size_t count, struct store_restored *ret,
	struct error *ret_error)
{
	struct error inner = { 0 };
	int lock = -1;

	io = io ? io : &io_system;
	int dir = open_data_dir(io, data_dir, ret_error);
	if (dir < 0)
		return dir;
	int r = recover_lock(io, dir, data_dir, &lock, ret_error);
	if (r == 0) {
		r = restore_run(io, dir, from, count, &clock_system, ret, &inner);
		if (r)
			error_set(ret_error, r, "%.440s", inner.text);
		io->close(io, lock);
	}
	io->close(io, dir);
	return r;
}

/* ---- what a restore takes ---- */

static ssize_t read_fd(void *arg, void *data, size_t len)
{
	ssize_t n;

	do
		n = read(((const struct store_source *)arg)->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* A word without a slash that names a snapshot of the directory is that, be it damaged or of a newer kvd; everything else is a file. */
static bool names_snapshot(const char *data_dir, const char *word)
{
	struct manifest m = { 0 };
	int data = io_system.open_dir(&io_system, data_dir);
	int dir = data < 0 || !snapshot_name_ok(word) ? -ENOENT : snapshot_open(&io_system, data, word, &m, NULL);

	manifest_free(&m);
	if (dir >= 0)
		io_system.close(&io_system, dir);
	if (data >= 0)
		io_system.close(&io_system, data);
	return dir >= 0 || dir == -EUCLEAN || dir == -EPROTONOSUPPORT;
}

int store_source_open(const char *data_dir, const char *word, struct store_source *ret, struct error *ret_error)
{
	*ret = (struct store_source){ .label = word, .read = read_fd, .arg = ret, .fd = -1 };
	if (names_snapshot(data_dir, word)) {
		ret->name = word;
		return 0;
	}
	if (strcmp(word, "-") == 0) {
		ret->fd = STDIN_FILENO;
		ret->label = "standard input";
		return 0;
	}
	ret->fd = open(word, O_RDONLY | O_CLOEXEC);
	if (ret->fd >= 0)
		return 0;
	if (errno == ENOENT && !strchr(word, '/'))
		return error_set(ret_error, -ENOENT, "%s: neither a snapshot of %s nor a file", word, data_dir);
	return error_set(ret_error, -errno, "%s: %s", word, strerror(errno));
}

void store_source_close(struct store_source *s)
{
	if (s->fd > STDIN_FILENO)
		close(s->fd);
	s->fd = -1;
}
