/* SPDX-License-Identifier: MIT
 *
 * Snapshots for tools: by the path of the data directory, without an open store.
 */
#include "store/snapshot.h"

#include <errno.h>
#include <string.h>

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
	io->close(io, dir);
	manifest_free(&m);
	return r ? error_set(ret_error, r, SNAPSHOTS_NAME "/%s/%.400s", name, inner.text) : 0;
}
