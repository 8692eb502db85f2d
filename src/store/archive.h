/* SPDX-License-Identifier: MIT
 *
 * A snapshot as a stream: a tar archive (base/tar.h) that any tool can list and unpack into a data directory.
 *
 *   NAME/            the directory
 *   NAME/MANIFEST    first, so that a reader knows early what is to come
 *   NAME/SINCE       only when it builds on an older snapshot: "kvd-since 1 OLD 89abcdef", with the crc32 of that one's manifest
 *   NAME/CATALOG
 *   NAME/NNNNNNNNNN.seg ...   in the order of the log; with SINCE only those that the older one lacks
 *
 * The same snapshot always gives the same bytes. Inner door of the room; any thread.
 */
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include "store/manifest.h"
#include "store/snapshot_tool.h"

#define SINCE_NAME "SINCE"
#define SINCE_VERSION 1

/* Bytes of the whole archive. since NULL: a full one. */
uint64_t archive_size(const struct manifest *m, const struct manifest *since);
/* Writes it out of the snapshot's directory. 0, what write answered, or what is wrong with a file, which *e names. */
int archive_write(struct io *io, int dir, const struct manifest *m, const struct manifest *since, store_write *write, void *arg,
	struct error *e);

/*
 * Unpacks one into a directory, in which there may be the files of the snapshot it builds on; that one's manifest is `base`, or NULL.
 * Takes no file but those above, whatever the archive calls them. What is unpacked is synced, but not yet checked against the manifest, and the
 * directory is not synced. -EUCLEAN: no such archive, cut short, or not one that builds on base; -ENOSPC before it comes to that.
 */
int archive_read(struct io *io, int dir, const struct manifest *base, store_read *read, void *arg, struct error *e);

#endif
