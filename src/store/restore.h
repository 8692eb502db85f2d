/* SPDX-License-Identifier: MIT
 *
 * Putting a snapshot in the place of a store. Everything happens in the data directory, since nothing above it need be writable:
 *
 *   restore.new      the snapshot is put together and checked here; may be removed at any time
 *   restore.ready    the same, complete: from this renaming on the restore will be done, whatever comes between
 *                    -> the files of the present store are moved to replaced-TIME
 *   restore.switch   they are out of the way
 *                    -> the files in it are moved to the data directory, the catalog last
 *
 * Every step can be done again, so a start that finds one of the directories goes on where the restore was interrupted. Nothing of the
 * present store is deleted. Inner door of the room; the caller holds the store's lock.
 */
#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H

#include "store/snapshot.h"

/* Puts the sources in force: as store_restore, on an open and locked data directory. */
int restore_run(struct io *io, int dir, const struct store_source *from, size_t count, const struct clock *clock, struct store_restored *ret,
	struct error *e);

/* Completes what was interrupted and removes what was not yet complete. 0: there was nothing; 1: a restore was completed; or an error. */
int restore_finish(struct io *io, int dir, struct error *e);
/* Whether there is something to complete. */
bool restore_is_due(struct io *io, int dir);

#endif
