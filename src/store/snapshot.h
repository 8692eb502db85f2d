/* SPDX-License-Identifier: MIT
 *
 * Snapshots on disk. Inner door of the room; store.h has what others may ask for. Any thread, one at a time for one data directory.
 *
 * A snapshot is a directory snapshots/NAME in the data directory:
 *
 *   MANIFEST         what it is made of (manifest.h)
 *   CATALOG          its own: clean, and with an active segment of its own
 *   NNNNNNNNNN.seg   links to the sealed segments; the last one is a file of its own, with a header and nothing more
 *   CHECKPOINT       a link to the store's, when there is one that fits
 *
 * So it is a data directory, and can be opened as one. Sealed segments are never written, and what a store opened there writes goes to the last one.
 *
 * It is made as NAME.new, synced, and then renamed; it is removed by renaming it back first. A name that ends so is never listed
 * and goes at the next start.
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <stdatomic.h>
#include "base/clock.h"
#include "store/manifest.h"
#include "store/snapshot_tool.h"

#define SNAPSHOTS_NAME "snapshots"
#define SNAPSHOT_NEW_SUFFIX ".new"
#define SNAPSHOT_RESERVE ((uint64_t)4 << 20) /* bytes that must be free: for directories, links, catalog and manifest */

/* Whether a name may be given: letters, digits, '.', '_' and '-', no dot in front, not the suffix of unfinished ones. */
bool snapshot_name_ok(const char *name);
/* "20261121T120000Z" */
void snapshot_time_name(char out[STORE_SNAPSHOT_NAME + 1], int64_t wall_ms);

struct snapshot_list {
	struct store_snapshot *item; /* oldest first */
	size_t count;
};

/*
 * Reads what is there, and removes what is unfinished if told to. A directory whose manifest cannot be read is listed as damaged. 0, -ENOMEM or what
 * the disk said.
 */
int snapshot_list_read(struct io *io, int dir, bool remove_unfinished, struct snapshot_list *ret);
void snapshot_list_free(struct snapshot_list *l);
const struct store_snapshot *snapshot_list_find(const struct snapshot_list *l, const char *name);

struct snapshot_order {
	struct io *io;
	const struct clock *clock;
	int dir;                   /* the data directory */
	const _Atomic bool *cancel; /* looked at between files */
	char name[STORE_SNAPSHOT_NAME + 1];
	bool timed;
};

/*
 * Makes a snapshot of all sealed segments that the catalog names. 0, -EEXIST, -ENOSPC, -ECANCELED or what the disk said; then nothing
 * is left of it.
 */
int snapshot_make(const struct snapshot_order *o, struct store_snapshot *ret, struct error *e);
int snapshot_remove(struct io *io, int dir, const char *name, struct error *e);

/*
 * Checks a directory against its manifest: every file but the checkpoint, and every record. The checkpoint has a call of its own: whoever serves the snapshot can
 * do without it. 0, -EUCLEAN with the words, or what the disk said; without a checkpoint in the manifest 0.
 */
int snapshot_check_checkpoint(struct io *io, int dir, const struct manifest *m, struct error *e);
int snapshot_check(struct io *io, int dir, const struct manifest *m, struct store_snapshot_check *ret, struct error *e);

/* Opens snapshots/NAME and reads its manifest. The handle, or an error; on success manifest_free(ret). */
int snapshot_open(struct io *io, int data_dir, const char *name, struct manifest *ret, struct error *e);

/* ---- snapshot_job.c: the owner's side; struct snapshot_job is in inner.h ---- */

struct store;
/* At the opening: what is there. */
int snapshot_start(struct store *s);
/* In store_poll. */
void snapshot_poll(struct store *s);
/* Ends what runs, without finishing it, and frees everything. */
void snapshot_stop(struct store *s);

#endif
