/* SPDX-License-Identifier: MIT
 *
 * Opening: directory, lock, catalog, what a crash may have left lying about; then the replay, or a new store.
 */
#include "store/restore.h"
#include "store/inner.h"
#include "store/window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/num.h"

/* ---- files no catalog names ---- */

struct listing {
	struct store *s;
	const struct catalog *c; /* NULL: there is none */
	struct error *e;
	char remove[64][SEGMENT_NAME_SIZE + 8]; /* found in this pass; the rest goes at the next start */
	unsigned removes;
};

static bool is_listed(const struct catalog *c, uint64_t number)
{
	for (size_t i = 0; c && i < c->count; i++)
		if (c->segment[i].number == number)
			return true;
	return false;
}

static void note_leftover(struct listing *l, const char *name)
{
	if (l->removes < sizeof(l->remove) / sizeof(l->remove[0]))
		snprintf(l->remove[l->removes++], sizeof(l->remove[0]), "%s", name);
}

static int look_at_file(void *arg, const char *name)
{
	struct listing *l = arg;
	struct store *s = l->s;
	uint64_t number = segment_name_number(name);
	char base[SEGMENT_NAME_SIZE];
	size_t len = strlen(name), suffix = strlen(SEGMENT_NEW_SUFFIX);

	if (len > suffix && len - suffix < sizeof(base) && strcmp(name + len - suffix, SEGMENT_NEW_SUFFIX) == 0) {
		snprintf(base, sizeof(base), "%.*s", (int)(len - suffix), name);
		if (segment_name_number(base))
			note_leftover(l, name);
		return 0;
	}
	if (number == 0 || is_listed(l->c, number))
		return 0;
	if (!l->c || number >= l->c->next) {
		int r = window_has_content(s->io, s->dir, name);
		if (r < 0)
			return error_set(l->e, r, "%s/%s: %s", s->options.path, name, strerror(-r));
		if (r && !l->c)
			return error_set(l->e, -EUCLEAN, "%s: %s is not empty but " CATALOG_NAME " is missing", s->options.path, name);
		if (r)
			return error_set(l->e, -EUCLEAN, "%s: %s is younger than " CATALOG_NAME ", which must be an old copy",
				s->options.path, name);
	}
	note_leftover(l, name);
	return 0;
}

/* Nothing is changed yet: whoever is refused finds his files as they were. */
static int look_for_leftovers(struct listing *l)
{
	struct store *s = l->s;
	int r = s->io->list(s->io, s->dir, look_at_file, l);

	return r == 0 || l->e->code ? r : error_set(l->e, r, "%s: cannot list: %s", s->options.path, strerror(-r));
}

static void remove_leftovers(const struct listing *l)
{
	struct store *s = l->s;

	if (s->options.flags & STORE_READ_ONLY)
		return;
	for (unsigned i = 0; i < l->removes; i++)
		if (s->io->unlink(s->io, s->dir, l->remove[i]) == 0)
			store_tell(s, (struct store_event){ .kind = STORE_EVENT_LEFTOVER, .file = l->remove[i] },
				"%s: no catalog names it; removed", l->remove[i]);
	s->io->unlink(s->io, s->dir, CATALOG_NEW_NAME); /* usually there is none */
	s->io->unlink(s->io, s->dir, CHECKPOINT_NEW_NAME);
}

/* ---- opening ---- */

static int check_directory(struct store *s, struct error *e)
{
	struct stat st;
	int r = s->io->fstat(s->io, s->dir, &st);

	if (r)
		return error_set(e, r, "%s: %s", s->options.path, strerror(-r));
	if (st.st_mode & 022)
		return error_set(e, -EPERM, "%s: others can write here (mode %04o); chmod go-w it", s->options.path,
			(unsigned)(st.st_mode & 07777));
	return 0;
}

static int lock_file(struct io *io, int fd, const char *path, struct error *e)
{
	char text[32] = { 0 };
	int r = io->lock(io, fd);

	if (r == -EWOULDBLOCK) {
		ssize_t n = io->pread(io, fd, text, sizeof(text) - 1, 0, 0);
		text[n > 0 ? strcspn(text, "\n") : 0] = 0;
		return error_set(e, -EBUSY, "%s: in use by process %s", path, *text ? text : "(unknown)");
	}
	if (r)
		return error_set(e, r, "%s/LOCK: cannot lock: %s", path, strerror(-r));
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	struct iovec v = { text, (size_t)len };
	/* The pid is a courtesy to the next one who tries: the lock is what counts. */
	if (io->ftruncate(io, fd, 0) == 0)
		(void)io->pwritev(io, fd, &v, 1, 0);
	return 0;
}

int recover_lock(struct io *io, int dir, const char *path, int *ret_fd, struct error *e)
{
	int fd = io->open(io, dir, "LOCK", O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return error_set(e, fd, "%s/LOCK: cannot open: %s", path, strerror(-fd));
	int r = lock_file(io, fd, path, e);
	if (r)
		io->close(io, fd);
	else
		*ret_fd = fd;
	return r;
}

/* A restore that was interrupted is completed before anything is read. */
static int finish_restore(struct store *s, bool writable, struct error *e)
{
	struct error inner = { 0 };

	if (!writable)
		return restore_is_due(s->io, s->dir) ?
			error_set(e, -EUCLEAN, "%s: a restore was interrupted; it is completed when the store is opened for writing",
				s->options.path) : 0;
	int r = restore_finish(s->io, s->dir, &inner);
	if (r < 0)
		return error_set(e, r, "%s: a restore was interrupted and cannot be completed: %.300s", s->options.path, inner.text);
	if (r > 0)
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_SNAPSHOT },
			"%s: a restore that was interrupted has been completed", s->options.path);
	return 0;
}

static int create_store(struct store *s, struct error *e)
{
	int fd = -1;

	if (!(s->options.flags & STORE_CREATE) || s->options.flags & STORE_READ_ONLY)
		return error_set(e, -ENOENT, "%s: there is no store here", s->options.path);
	if (getrandom(&s->id, sizeof(s->id), 0) != sizeof(s->id))
		return error_set(e, -EIO, "no random numbers for the store's id");
	s->active = store_add_segment(s, 1, SEGMENT_HEADER);
	if (!s->active)
		return error_set(e, -ENOMEM, "out of memory");
	s->position = s->active->first;
	int r = segment_create(s->io, s->dir, s->active, s->id, clock_wall_ms(s->clock), &fd);
	if (r == 0)
		r = s->io->fsync(s->io, s->dir);
	if (r) {
		if (fd >= 0)
			s->io->close(s->io, fd);
		return error_set(e, r, "%s: cannot make the first segment: %s", s->options.path, strerror(-r));
	}
	atomic_store(&s->active->fd, fd);
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_CREATED }, "%s: a new store was made", s->options.path);
	return 0;
}

static int open_existing(struct store *s, struct listing *l, struct error *e)
{
	s->id = l->c->store_id;
	s->next_number = s->reserved = l->c->next;
	int r = look_for_leftovers(l);
	return r ? r : replay_all(s, l->c, e);
}

int recover_open(struct store *s, struct error *e)
{
	bool writable = !(s->options.flags & STORE_READ_ONLY);
	struct catalog c = { 0 };
	struct listing l = { .s = s, .c = &c, .e = e };

	int r = check_directory(s, e);
	if (r == 0 && writable)
		r = recover_lock(s->io, s->dir, s->options.path, &s->lock_fd, e);
	if (r == 0)
		r = finish_restore(s, writable, e);
	if (r)
		return r;
	r = catalog_read(s->io, s->dir, &c, e);
	if (r == -ENOENT) {
		l.c = NULL;
		e->code = 0;
		r = look_for_leftovers(&l);
		if (r == 0 && s->options.flags & STORE_CREATE)
			remove_leftovers(&l);
		if (r == 0)
			r = create_store(s, e);
	} else if (r == 0) {
		r = open_existing(s, &l, e);
	} else {
		char text[sizeof(e->text)];
		snprintf(text, sizeof(text), "%s", e->text);
		error_set(e, r, "%.200s/%s", s->options.path, text);
	}
	if (r == 0 && writable) {
		/* From now on the log grows: the mark of the clean stop goes. It also shows that this directory can be written, before ready. */
		/* What cannot be used now must not be found by a later start, when the log has grown over what does not fit. */
		if (s->checkpoint.unusable)
			s->io->unlink(s->io, s->dir, CHECKPOINT_NAME);
		r = slots_name_active(s, s->active, false);
		if (r)
			error_set(e, r, "%s/" CATALOG_NAME ": cannot write: %s", s->options.path, strerror(-r));
	}
	/* Not before: what was read may be a catalog whose name was never synced, and the one on the disk may name them. */
	if (r == 0 && l.c)
		remove_leftovers(&l);
	catalog_free(&c);
	if (r == 0)
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_RECOVERED, .records = s->recovered_records, .bytes = s->recovered_bytes },
			"%s: %" PRIu64 " record%s of %" PRIu64 " bytes replayed in %" PRIu64 " ms%s", s->options.path, s->recovered_records,
			num_plural(s->recovered_records), s->recovered_bytes, s->recovery_us / 1000,
			s->checkpoint.loaded ? ", from a checkpoint on" : s->recovered_bytes ? ", without a checkpoint" : "");
	return r;
}
