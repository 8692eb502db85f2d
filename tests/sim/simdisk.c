/* SPDX-License-Identifier: MIT */
#include "sim/simdisk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define BLOCK 4096
#define MAX_HANDLES 512
#define BIG_FILE ((size_t)1 << 20)

struct inode;

struct name {
	char *text;
	struct inode *inode;
};

struct names {
	struct name *list;
	size_t count;
};

struct inode {
	struct inode *all_next;
	unsigned char *now, *disk; /* as processes see it; as it is on the medium */
	size_t now_size, disk_size;
	unsigned char *dirty;      /* one flag per block of now */
	size_t dirty_blocks;
	size_t allocated;          /* bytes with blocks, whatever the size is */
	bool size_dirty;
	bool is_dir;
	struct names names, disk_names; /* of a directory */
	bool reached;
	int locked_by; /* handle + 1 */
};

/* A change of names that its directory's sync has not carried yet. */
struct op {
	enum { OP_LINK, OP_UNLINK, OP_RENAME } kind;
	struct inode *from_dir, *to_dir; /* the same one but for a move */
	char *from, *to;
	struct inode *inode;
};

struct simdisk {
	struct io io;
	pthread_mutex_t lock;
	uint64_t random;
	struct inode *all;
	struct inode *root;
	struct op *ops;
	size_t op_count;
	struct {
		struct inode *inode;
		bool used;
	} handle[MAX_HANDLES];
	pthread_cond_t let_go;
	bool held[5];
	unsigned waiting[5];
	uint64_t calls[5];
	uint64_t fail_at, fail_more, die_at;
	enum simdisk_call fail_kind;
	int fail_error;
	bool dead;
	unsigned cold;
	uint64_t free_space;
	uint64_t capacity; /* 0: nothing is counted */
	bool copies;       /* whatever is written needs free blocks */
};

_Thread_local volatile bool simdisk_allocates;

/* The disk's own memory is never the one that runs out. The mark is volatile: compilers know that realloc looks at no variable of ours. */
static void *get_memory(void *p, size_t size)
{
	simdisk_allocates = true;
	p = realloc(p, size);
	simdisk_allocates = false;
	if (!p)
		abort();
	return p;
}

static void *get_zeroed(size_t n, size_t size)
{
	return memset(get_memory(NULL, n * size), 0, n * size);
}

static char *copy_text(const char *text)
{
	return strcpy(get_memory(NULL, strlen(text) + 1), text);
}

uint64_t sim_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static struct simdisk *disk_of(struct io *io)
{
	return (struct simdisk *)(void *)io;
}

static uint64_t pick(struct simdisk *d, uint64_t n)
{
	return n ? sim_random(&d->random) % n : 0;
}

/* Counts a call; the error it must fail with, or 0. Under lock. */
static int admit(struct simdisk *d, enum simdisk_call kind)
{
	bool changes = kind != SIM_READ;

	if (d->dead)
		return -EIO;
	d->calls[kind]++;
	d->calls[SIM_ANY] += changes;
	if (d->die_at && changes && d->calls[SIM_ANY] >= d->die_at) {
		d->dead = true;
		pthread_cond_broadcast(&d->let_go);
		return -EIO;
	}
	if (d->fail_at && (d->fail_kind == kind || (d->fail_kind == SIM_ANY && changes)) &&
		d->calls[d->fail_kind] >= d->fail_at && d->calls[d->fail_kind] <= d->fail_at + d->fail_more)
		return d->fail_error;
	return 0;
}

static struct name *find_name(struct names *n, const char *text)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->list[i].text, text) == 0)
			return &n->list[i];
	return NULL;
}

static void remove_name(struct names *n, const char *text)
{
	struct name *at = find_name(n, text);

	if (!at)
		return;
	free(at->text);
	*at = n->list[--n->count];
}

static void set_name(struct names *n, const char *text, struct inode *inode)
{
	struct name *at = find_name(n, text);

	if (!at) {
		n->list = get_memory(n->list, (n->count + 1) * sizeof(*n->list));
		at = &n->list[n->count++];
		at->text = copy_text(text);
	}
	at->inode = inode;
}

static struct names *side(struct inode *dir, bool on_disk)
{
	return on_disk ? &dir->disk_names : &dir->names;
}

static void apply_name_op(const struct op *o, bool on_disk)
{
	if (o->kind != OP_LINK)
		remove_name(side(o->from_dir, on_disk), o->from);
	if (o->kind != OP_UNLINK)
		set_name(side(o->to_dir, on_disk), o->to, o->inode);
}

static void do_name_op(struct simdisk *d, struct op o)
{
	o.from = o.from ? copy_text(o.from) : NULL;
	o.to = o.to ? copy_text(o.to) : NULL;
	apply_name_op(&o, false);
	d->ops = get_memory(d->ops, (d->op_count + 1) * sizeof(*d->ops));
	d->ops[d->op_count++] = o;
}

static void drop_ops(struct simdisk *d)
{
	for (size_t i = 0; i < d->op_count; i++) {
		free(d->ops[i].from);
		free(d->ops[i].to);
	}
	d->op_count = 0;
}

/* A directory's sync carries what concerns it; a move between two goes with either, as a whole. */
static void sync_names(struct simdisk *d, const struct inode *dir)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->op_count; i++) {
		struct op *o = &d->ops[i];
		if (o->from_dir != dir && o->to_dir != dir) {
			d->ops[kept++] = *o;
			continue;
		}
		apply_name_op(o, true);
		free(o->from);
		free(o->to);
	}
	d->op_count = kept;
}

static struct inode *new_inode(struct simdisk *d, bool is_dir)
{
	struct inode *n = get_zeroed(1, sizeof(*n));

	n->is_dir = is_dir;
	n->all_next = d->all;
	d->all = n;
	return n;
}

static int new_handle(struct simdisk *d, struct inode *inode)
{
	for (int i = 0; i < MAX_HANDLES; i++)
		if (!d->handle[i].used) {
			d->handle[i].inode = inode;
			d->handle[i].used = true;
			return i;
		}
	return -EMFILE;
}

static void resize_now(struct inode *n, size_t size)
{
	size_t blocks = (size + BLOCK - 1) / BLOCK;

	n->now = get_memory(n->now, size + 1);
	if (size > n->now_size)
		memset(n->now + n->now_size, 0, size - n->now_size);
	if (blocks > n->dirty_blocks) {
		n->dirty = get_memory(n->dirty, blocks);
		memset(n->dirty + n->dirty_blocks, 0, blocks - n->dirty_blocks);
		n->dirty_blocks = blocks;
	}
	/* What is cut off does not come back from the medium when the file grows again. */
	if (size < n->now_size)
		memset(n->dirty + size / BLOCK, 1, n->dirty_blocks - size / BLOCK);
	n->now_size = size;
}

static void write_now(struct inode *n, const void *data, size_t len, size_t offset)
{
	if (offset + len > n->now_size) {
		resize_now(n, offset + len);
		n->size_dirty = true;
	}
	memcpy(n->now + offset, data, len);
	for (size_t b = offset / BLOCK; len && b <= (offset + len - 1) / BLOCK; b++)
		n->dirty[b] = 1;
}

static void make_durable(struct inode *n)
{
	n->disk = get_memory(n->disk, n->now_size + 1);
	if (n->now_size)
		memcpy(n->disk, n->now, n->now_size);
	n->disk_size = n->now_size;
	if (n->dirty_blocks)
		memset(n->dirty, 0, n->dirty_blocks);
	n->size_dirty = false;
}

/* ---- space ---- */

static void mark_reached(struct inode *n)
{
	if (n->reached)
		return;
	n->reached = true;
	for (size_t i = 0; i < n->names.count; i++)
		mark_reached(n->names.list[i].inode);
}

static uint64_t whole_blocks(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static uint64_t used_by(const struct inode *n)
{
	return whole_blocks(n->now_size > n->allocated ? n->now_size : n->allocated);
}

/* Files that have a name or are open take up space. */
static uint64_t count_room(struct simdisk *d)
{
	uint64_t used = 0;

	for (struct inode *n = d->all; n; n = n->all_next)
		n->reached = false;
	mark_reached(d->root);
	for (int i = 0; i < MAX_HANDLES; i++)
		if (d->handle[i].used)
			d->handle[i].inode->reached = true;
	for (struct inode *n = d->all; n; n = n->all_next)
		used += n->reached ? used_by(n) : 0;
	return used < d->capacity ? d->capacity - used : 0;
}

/* How far the file may grow now. */
static uint64_t size_limit(struct simdisk *d, const struct inode *n)
{
	return d->capacity ? used_by(n) + count_room(d) : UINT64_MAX;
}

/* Waits while calls of this kind are held. Under lock, which is let go of meanwhile. */
static void pause_held(struct simdisk *d, enum simdisk_call kind)
{
	d->waiting[kind]++;
	while (d->held[kind] && !d->dead)
		pthread_cond_wait(&d->let_go, &d->lock);
	d->waiting[kind]--;
}

/* A sync carries the dirty blocks only: what an earlier one failed to carry is clean, and stays lost. */
static void sync_blocks(struct inode *n)
{
	n->disk = get_memory(n->disk, n->now_size + 1);
	if (n->now_size > n->disk_size)
		memset(n->disk + n->disk_size, 0, n->now_size - n->disk_size);
	n->disk_size = n->now_size;
	for (size_t at = 0, b = 0; at < n->now_size; at += BLOCK, b++)
		if (n->dirty[b])
			memcpy(n->disk + at, n->now + at, n->now_size - at < BLOCK ? n->now_size - at : BLOCK);
	if (n->dirty_blocks)
		memset(n->dirty, 0, n->dirty_blocks);
	n->size_dirty = false;
}

/* Decides, sector by sector of each dirty block, what reaches the medium without a sync. */
static unsigned char *draw_medium(struct simdisk *d, const struct inode *n, size_t *ret_size)
{
	size_t size = n->disk_size;

	if (n->size_dirty) /* the new length may be there without its data, or the data without all of it */
		size = n->now_size > n->disk_size ? n->disk_size + pick(d, n->now_size - n->disk_size + 1) :
		       pick(d, 2)                 ? n->now_size :
						    n->disk_size;
	if (n->size_dirty && pick(d, 3) == 0)
		size = n->now_size;
	unsigned char *data = get_zeroed(1, size + 1);
	size_t keep = size < n->disk_size ? size : n->disk_size;
	if (keep)
		memcpy(data, n->disk, keep);
	bool garbage = pick(d, 8) == 0; /* blocks allocated but never written may show anything */
	for (size_t b = 0; b < n->dirty_blocks && b * BLOCK < size; b++) {
		unsigned fate = (unsigned)pick(d, 4);
		for (size_t at = b * BLOCK; at < (b + 1) * BLOCK && at < size; at += SECTOR) {
			size_t end = at + SECTOR < size ? at + SECTOR : size;
			bool written = n->dirty[b] && (fate == 0 || (fate == 1 && pick(d, 2)));
			if (written && end > n->now_size)
				end = n->now_size > at ? n->now_size : at;
			if (written)
				memcpy(data + at, n->now + at, end - at);
			else if (garbage && n->dirty[b])
				for (size_t i = at > n->disk_size ? at : n->disk_size; i < end; i++)
					data[i] = (unsigned char)sim_random(&d->random);
		}
	}
	*ret_size = size;
	return data;
}

/* The power went. */
static void settle_inode(struct simdisk *d, struct inode *n)
{
	size_t size;
	unsigned char *data = draw_medium(d, n, &size);

	free(n->now);
	n->now = data;
	n->now_size = size;
	n->dirty_blocks = (size + BLOCK - 1) / BLOCK;
	n->dirty = get_memory(n->dirty, n->dirty_blocks + 1);
	make_durable(n);
}

/* A kernel writes dirty pages whenever it likes: what is overwritten later, and never synced, may be what the medium has in the end. */
static void write_back_sometimes(struct simdisk *d, struct inode *n)
{
	if (pick(d, n->now_size > BIG_FILE ? 64 : 8))
		return;
	unsigned char *data = draw_medium(d, n, &n->disk_size);
	free(n->disk);
	n->disk = data;
}

/* ---- the table ---- */

#define ENTER(io, kind)                                                                                      \
	struct simdisk *d = disk_of(io);                                                                     \
	pthread_mutex_lock(&d->lock);                                                                        \
	int error_ = admit(d, kind)

#define LEAVE(value)                                                                                         \
	do {                                                                                                 \
		long leave_ = (long)(value);                                                                 \
		pthread_mutex_unlock(&d->lock);                                                              \
		return (int)leave_;                                                                          \
	} while (0)

/* What a path names, seen from the root. */
static struct inode *walk(struct simdisk *d, const char *path)
{
	struct inode *at = d->root;
	char part[256];

	while (at && *path) {
		size_t len = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		struct name *n = at->is_dir && len ? find_name(&at->names, part) : NULL;
		if (len)
			at = n ? n->inode : NULL;
		path += len + (path[len] == '/');
	}
	return at;
}

/* Paths begin with the name of the machine's one store, "sim"; more below it is a directory of that store. */
static int sim_open_dir(struct io *io, const char *path)
{
	ENTER(io, SIM_READ);
	const char *below = strchr(path, '/');
	struct inode *n = below ? walk(d, below + 1) : d->root;
	if (!error_ && (!n || !n->is_dir))
		error_ = n ? -ENOTDIR : -ENOENT;
	LEAVE(error_ ? error_ : new_handle(d, n));
}

static int sim_open(struct io *io, int dir, const char *name, int flags, mode_t mode)
{
	ENTER(io, flags & O_CREAT ? SIM_META : SIM_READ);
	(void)mode;
	if (error_)
		LEAVE(error_);
	struct inode *in = d->handle[dir].inode;
	struct name *n = find_name(&in->names, name);
	struct inode *inode = n ? n->inode : NULL;
	if (inode && flags & O_CREAT && flags & O_EXCL)
		LEAVE(-EEXIST);
	if (!inode && !(flags & O_CREAT))
		LEAVE(-ENOENT);
	if (inode && inode->is_dir ? (flags & O_ACCMODE) != O_RDONLY : flags & O_DIRECTORY)
		LEAVE(inode && inode->is_dir ? -EISDIR : -ENOTDIR);
	if (!inode) {
		inode = new_inode(d, false);
		resize_now(inode, 0); /* there, and empty */
		do_name_op(d, (struct op){ OP_LINK, in, in, NULL, (char *)(uintptr_t)name, inode });
	} else if (flags & O_TRUNC) {
		resize_now(inode, 0);
		inode->size_dirty = true;
	}
	LEAVE(new_handle(d, inode));
}

static int sim_close(struct io *io, int fd)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	if (d->handle[fd].inode && d->handle[fd].inode->locked_by == fd + 1)
		d->handle[fd].inode->locked_by = 0;
	d->handle[fd].used = false;
	LEAVE(0);
}

static ssize_t sim_pread(struct io *io, int fd, void *data, size_t len, uint64_t offset, int flags)
{
	ENTER(io, SIM_READ);
	if (error_)
		LEAVE(error_);
	if (flags & IO_NOWAIT && d->cold && pick(d, d->cold) == 0)
		LEAVE(-EAGAIN);
	if (!(flags & IO_NOWAIT))
		pause_held(d, SIM_READ);
	const struct inode *n = d->handle[fd].inode;
	if (offset >= n->now_size)
		LEAVE(0);
	if (len > n->now_size - offset)
		len = n->now_size - offset;
	memcpy(data, n->now + offset, len);
	pthread_mutex_unlock(&d->lock);
	return (ssize_t)len;
}

static ssize_t sim_pwritev(struct io *io, int fd, const struct iovec *iov, int iovcnt, uint64_t offset)
{
	ENTER(io, SIM_WRITE);
	size_t total = 0, allowed = SIZE_MAX;

	for (int i = 0; i < iovcnt; i++)
		total += iov[i].iov_len;
	if (error_)
		allowed = d->dead ? 0 : pick(d, total + 1);
	size_t done = 0;
	uint64_t limit = size_limit(d, d->handle[fd].inode);
	if (!error_ && offset + total > limit) {
		allowed = limit > offset ? limit - offset : 0;
		error_ = -ENOSPC;
	}
	if (!error_ && d->copies && d->capacity && whole_blocks(total) > count_room(d)) {
		allowed = 0;
		error_ = -ENOSPC;
	}
	if (!d->dead)
		write_back_sometimes(d, d->handle[fd].inode);
	for (int i = 0; i < iovcnt && done < allowed; i++) {
		size_t n = iov[i].iov_len < allowed - done ? iov[i].iov_len : allowed - done;
		write_now(d->handle[fd].inode, iov[i].iov_base, n, offset + done);
		done += n;
	}
	pthread_mutex_unlock(&d->lock);
	return error_ ? error_ : (ssize_t)total;
}

static int sim_sync(struct io *io, int fd)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	pause_held(d, SIM_SYNC);
	int error_ = admit(d, SIM_SYNC);
	struct inode *n = d->handle[fd].inode;
	if (error_) {
		/* The kernel marks the pages clean: readable until the power goes, then gone, and no later sync brings them back. */
		if (n->dirty_blocks)
			memset(n->dirty, 0, n->dirty_blocks);
		LEAVE(error_);
	}
	if (n->is_dir)
		sync_names(d, n);
	else
		sync_blocks(n);
	LEAVE(0);
}

static int sim_ftruncate(struct io *io, int fd, uint64_t size)
{
	ENTER(io, SIM_META);
	struct inode *n = d->handle[fd].inode;
	if (!error_ && size > size_limit(d, n))
		error_ = -ENOSPC;
	if (!error_) {
		write_back_sometimes(d, n);
		resize_now(n, size);
		n->size_dirty = true;
		n->allocated = 0;
	}
	LEAVE(error_);
}

static int sim_allocate(struct io *io, int fd, uint64_t size)
{
	ENTER(io, SIM_META);
	struct inode *n = d->handle[fd].inode;
	if (!error_ && size > size_limit(d, n))
		error_ = -ENOSPC;
	if (!error_ && size > n->allocated)
		n->allocated = size;
	LEAVE(error_);
}

static int sim_fstat(struct io *io, int fd, struct stat *ret)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	const struct inode *n = d->handle[fd].inode;
	*ret = (struct stat){ .st_mode = n->is_dir ? S_IFDIR | 0700 : S_IFREG | 0600, .st_size = (off_t)n->now_size,
		.st_blocks = (blkcnt_t)(used_by(n) / 512) };
	LEAVE(0);
}

static int move_name(struct simdisk *d, int from_dir, const char *from, int to_dir, const char *to)
{
	struct inode *source = d->handle[from_dir].inode, *target = d->handle[to_dir].inode;
	struct name *n = find_name(&source->names, from), *old = find_name(&target->names, to);

	if (!n)
		return -ENOENT;
	if (old && old->inode->is_dir && old->inode->names.count)
		return -ENOTEMPTY;
	do_name_op(d, (struct op){ OP_RENAME, source, target, (char *)(uintptr_t)from, (char *)(uintptr_t)to, n->inode });
	return 0;
}

static int sim_rename(struct io *io, int dir, const char *from, const char *to)
{
	ENTER(io, SIM_META);
	LEAVE(error_ ? error_ : move_name(d, dir, from, dir, to));
}

static int sim_move(struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
	ENTER(io, SIM_META);
	LEAVE(error_ ? error_ : move_name(d, from_dir, from, to_dir, to));
}

static int remove_entry(struct simdisk *d, int dir, const char *name, bool is_dir)
{
	struct inode *in = d->handle[dir].inode;
	struct name *n = find_name(&in->names, name);

	if (!n)
		return d->dead ? -EIO : -ENOENT; /* looking for leftovers changes nothing: not a call that can matter */
	if (n->inode->is_dir != is_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	if (is_dir && n->inode->names.count)
		return -ENOTEMPTY;
	int error = admit(d, SIM_META);
	if (!error)
		do_name_op(d, (struct op){ OP_UNLINK, in, in, (char *)(uintptr_t)name, NULL, NULL });
	return error;
}

static int sim_unlink(struct io *io, int dir, const char *name)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	LEAVE(remove_entry(d, dir, name, false));
}

static int sim_rmdir(struct io *io, int dir, const char *name)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	LEAVE(remove_entry(d, dir, name, true));
}

static int sim_link(struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
	ENTER(io, SIM_META);
	struct name *n = find_name(&d->handle[from_dir].inode->names, from);
	struct inode *target = d->handle[to_dir].inode;
	if (!error_ && !n)
		error_ = -ENOENT;
	if (!error_ && find_name(&target->names, to))
		error_ = -EEXIST;
	if (!error_)
		do_name_op(d, (struct op){ OP_LINK, target, target, NULL, (char *)(uintptr_t)to, n->inode });
	LEAVE(error_);
}

static int sim_mkdir(struct io *io, int dir, const char *name, mode_t mode)
{
	ENTER(io, SIM_META);
	struct inode *in = d->handle[dir].inode;
	(void)mode;
	if (!error_ && find_name(&in->names, name))
		LEAVE(-EEXIST);
	if (!error_)
		do_name_op(d, (struct op){ OP_LINK, in, in, NULL, (char *)(uintptr_t)name, new_inode(d, true) });
	LEAVE(error_);
}

static int sim_list(struct io *io, int dir, int (*each)(void *arg, const char *name), void *arg)
{
	struct simdisk *d = disk_of(io);
	int r = 0;

	/* Copies first: each() calls back into the table. */
	pthread_mutex_lock(&d->lock);
	const struct names *names = &d->handle[dir].inode->names;
	size_t count = names->count;
	char **copy = get_zeroed(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = copy_text(names->list[i].text);
	pthread_mutex_unlock(&d->lock);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = each(arg, copy[i]);
		free(copy[i]);
	}
	free(copy);
	return r;
}

static int sim_lock(struct io *io, int fd)
{
	struct simdisk *d = disk_of(io);

	pthread_mutex_lock(&d->lock);
	struct inode *n = d->handle[fd].inode;
	if (n->locked_by && n->locked_by != fd + 1)
		LEAVE(-EWOULDBLOCK);
	n->locked_by = fd + 1;
	LEAVE(0);
}

static int sim_free_space(struct io *io, int dir, uint64_t *ret)
{
	struct simdisk *d = disk_of(io);

	(void)dir;
	pthread_mutex_lock(&d->lock);
	*ret = d->capacity ? count_room(d) : d->free_space;
	LEAVE(0);
}

/* ---- the machine ---- */

struct simdisk *simdisk_new(uint64_t seed)
{
	struct simdisk *d = get_zeroed(1, sizeof(*d));

	d->io = (struct io){ sim_open_dir, sim_open, sim_close, sim_pread, sim_pwritev, sim_sync, sim_sync, sim_ftruncate, sim_fstat,
		sim_rename, sim_unlink, sim_link, sim_mkdir, sim_list, sim_lock, sim_free_space, sim_move, sim_rmdir, sim_allocate };
	d->random = seed;
	d->free_space = UINT64_C(1) << 40;
	d->root = new_inode(d, true);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->let_go, NULL);
	return d;
}

static void free_names(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->list[i].text);
	free(n->list);
	*n = (struct names){ 0 };
}

static void free_inode(struct inode *n)
{
	free(n->now);
	free(n->disk);
	free(n->dirty);
	free_names(&n->names);
	free_names(&n->disk_names);
	free(n);
}

void simdisk_free(struct simdisk *d)
{
	while (d->all) {
		struct inode *n = d->all;
		d->all = n->all_next;
		free_inode(n);
	}
	drop_ops(d);
	free(d->ops);
	pthread_cond_destroy(&d->let_go);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

struct io *simdisk_io(struct simdisk *d)
{
	return &d->io;
}

uint64_t simdisk_calls(struct simdisk *d, enum simdisk_call kind)
{
	pthread_mutex_lock(&d->lock);
	uint64_t n = d->calls[kind];
	pthread_mutex_unlock(&d->lock);
	return n;
}

void simdisk_fail(struct simdisk *d, enum simdisk_call kind, uint64_t n, uint64_t more, int error)
{
	pthread_mutex_lock(&d->lock);
	d->fail_kind = kind;
	d->fail_at = n ? d->calls[kind] + n : 0;
	d->fail_more = more;
	d->fail_error = error;
	pthread_mutex_unlock(&d->lock);
}

void simdisk_die_at(struct simdisk *d, uint64_t n)
{
	pthread_mutex_lock(&d->lock);
	d->die_at = n ? d->calls[SIM_ANY] + n : 0;
	pthread_mutex_unlock(&d->lock);
}

void simdisk_die(struct simdisk *d)
{
	pthread_mutex_lock(&d->lock);
	d->dead = true;
	pthread_cond_broadcast(&d->let_go);
	pthread_mutex_unlock(&d->lock);
}

bool simdisk_is_dead(struct simdisk *d)
{
	pthread_mutex_lock(&d->lock);
	bool dead = d->dead;
	pthread_mutex_unlock(&d->lock);
	return dead;
}

void simdisk_hold(struct simdisk *d, enum simdisk_call kind, bool hold)
{
	pthread_mutex_lock(&d->lock);
	d->held[kind] = hold;
	pthread_cond_broadcast(&d->let_go);
	pthread_mutex_unlock(&d->lock);
}

unsigned simdisk_waiting(struct simdisk *d, enum simdisk_call kind)
{
	pthread_mutex_lock(&d->lock);
	unsigned n = d->waiting[kind];
	pthread_mutex_unlock(&d->lock);
	return n;
}

unsigned simdisk_open_handles(struct simdisk *d)
{
	unsigned n = 0;

	pthread_mutex_lock(&d->lock);
	for (int i = 0; i < MAX_HANDLES; i++)
		n += d->handle[i].used;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void simdisk_cold(struct simdisk *d, unsigned n)
{
	d->cold = n;
}

void simdisk_kill(struct simdisk *d)
{
	for (int i = 0; i < MAX_HANDLES; i++)
		d->handle[i].used = false;
	for (struct inode *n = d->all; n; n = n->all_next)
		n->locked_by = 0;
	d->dead = false;
	d->die_at = d->fail_at = 0;
	memset(d->held, 0, sizeof(d->held));
}

void simdisk_power_cycle(struct simdisk *d)
{
	/* Journals keep the order of names; nothing promises that they do. */
	bool ordered = pick(d, 2);
	size_t survive = pick(d, d->op_count + 1);

	for (struct inode *n = d->all; n; n = n->all_next)
		if (!n->is_dir)
			settle_inode(d, n);
	for (size_t i = 0; i < d->op_count; i++)
		if (ordered ? i < survive : pick(d, 2))
			apply_name_op(&d->ops[i], true);
	drop_ops(d);
	for (struct inode *n = d->all; n; n = n->all_next) {
		n->reached = false;
		free_names(&n->names);
		for (size_t i = 0; i < n->disk_names.count; i++)
			set_name(&n->names, n->disk_names.list[i].text, n->disk_names.list[i].inode);
	}
	simdisk_kill(d);
	mark_reached(d->root);
	/* Files without a name are gone. */
	for (struct inode **at = &d->all; *at;) {
		struct inode *n = *at;
		if (n->reached) {
			at = &n->all_next;
			continue;
		}
		*at = n->all_next;
		free_inode(n);
	}
}

/* Names and content at once durable, as tests set them. */
static void name_durably(struct inode *dir, const char *name, struct inode *inode)
{
	set_name(&dir->names, name, inode);
	set_name(&dir->disk_names, name, inode);
}

static struct inode *find_dir(struct simdisk *d, const char *path, const char **ret_base)
{
	char up[512];
	const char *slash = strrchr(path, '/');

	*ret_base = slash ? slash + 1 : path;
	snprintf(up, sizeof(up), "%.*s", slash ? (int)(slash - path) : 0, path);
	return walk(d, up);
}

void simdisk_mkdir(struct simdisk *d, const char *name)
{
	const char *base;
	struct inode *dir = find_dir(d, name, &base);

	if (!find_name(&dir->names, base))
		name_durably(dir, base, new_inode(d, true));
}

void simdisk_set_free(struct simdisk *d, uint64_t bytes)
{
	d->free_space = bytes;
}

uint64_t simdisk_used(struct simdisk *d)
{
	pthread_mutex_lock(&d->lock);
	uint64_t capacity = d->capacity;
	d->capacity = UINT64_MAX;
	uint64_t used = d->capacity - count_room(d);
	d->capacity = capacity;
	pthread_mutex_unlock(&d->lock);
	return used;
}

void simdisk_set_capacity(struct simdisk *d, uint64_t bytes)
{
	pthread_mutex_lock(&d->lock);
	d->capacity = bytes;
	pthread_mutex_unlock(&d->lock);
}

void simdisk_set_copies(struct simdisk *d)
{
	d->copies = true;
}

unsigned char *simdisk_file(struct simdisk *d, const char *name, size_t *ret_size)
{
	unsigned char *data = NULL;

	pthread_mutex_lock(&d->lock);
	struct inode *n = walk(d, name);
	if (n && !n->is_dir) {
		*ret_size = n->now_size;
		data = n->now;
	}
	pthread_mutex_unlock(&d->lock);
	return data;
}

void simdisk_resize(struct simdisk *d, const char *name, size_t size)
{
	struct inode *n = walk(d, name);

	if (n) {
		resize_now(n, size);
		make_durable(n);
	}
}

void simdisk_write(struct simdisk *d, const char *name, const void *data, size_t len)
{
	const char *base;
	struct inode *dir = find_dir(d, name, &base);
	struct name *n = find_name(&dir->names, base);
	struct inode *inode = n ? n->inode : new_inode(d, false);

	name_durably(dir, base, inode);
	resize_now(inode, len);
	if (len)
		memcpy(inode->now, data, len);
	make_durable(inode);
}

static void copy_dir(struct simdisk *copy, const struct inode *dir, const char *prefix)
{
	char path[512];

	for (size_t i = 0; i < dir->names.count; i++) {
		const struct inode *n = dir->names.list[i].inode;
		snprintf(path, sizeof(path), "%s%s", prefix, dir->names.list[i].text);
		if (!n->is_dir) {
			simdisk_write(copy, path, n->now, n->now_size);
			continue;
		}
		simdisk_mkdir(copy, path);
		strcat(path, "/");
		copy_dir(copy, n, path);
	}
}

struct simdisk *simdisk_copy(struct simdisk *d, uint64_t seed)
{
	struct simdisk *copy = simdisk_new(seed);

	copy_dir(copy, d->root, "");
	return copy;
}

void simdisk_remove(struct simdisk *d, const char *name)
{
	const char *base;
	struct inode *dir = find_dir(d, name, &base);

	remove_name(&dir->names, base);
	remove_name(&dir->disk_names, base);
}

const char *simdisk_name(struct simdisk *d, size_t n)
{
	pthread_mutex_lock(&d->lock);
	const char *text = n < d->root->names.count ? d->root->names.list[n].text : NULL;
	pthread_mutex_unlock(&d->lock);
	return text;
}

unsigned simdisk_count(struct simdisk *d, const char *part)
{
	unsigned n = 0;

	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->root->names.count; i++)
		n += strstr(d->root->names.list[i].text, part) != NULL;
	pthread_mutex_unlock(&d->lock);
	return n;
}
