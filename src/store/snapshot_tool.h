/* SPDX-License-Identifier: MIT
 *
 * Snapshots as files, for tools: by the path of the data directory and without an open store. A door of the room for kvctl and for kvd --restore. Every
 * call may take long and waits for the disk. io NULL: io_system. Errors are negative, and *ret_error (may be NULL) has the words.
 */
#ifndef STORE_SNAPSHOT_TOOL_H
#define STORE_SNAPSHOT_TOOL_H

#include "store/store.h"

/* Reads the list, oldest first; *ret is to be freed by free(3). 0, -ENOMEM or what the disk said. */
int store_snapshot_list(struct io *io, const char *data_dir, struct store_snapshot **ret, size_t *ret_count, struct error *ret_error);

struct store_snapshot_check {
	uint64_t segments, records, bytes; /* that were read and are whole */
};
/* Reads every record of a snapshot. 0; -EINVAL: no such name; -ENOENT; -EUCLEAN: damaged, the text names file and offset; or what the disk said. */
int store_snapshot_verify(struct io *io, const char *data_dir, const char *name, struct store_snapshot_check *ret, struct error *ret_error);

/*
 * Writes a snapshot as a tar archive, always the same bytes. since (may be NULL): the name of an older snapshot there; then files that one has are left
 * out. write() gets the bytes in order; what it answers other than 0 ends the work and is returned. measure: how many bytes that will be.
 */
typedef int store_write(void *arg, const void *data, size_t len);
int store_snapshot_export(struct io *io, const char *data_dir, const char *name, const char *since, store_write *write, void *arg,
	struct error *ret_error);
int store_snapshot_measure(struct io *io, const char *data_dir, const char *name, const char *since, uint64_t *ret_bytes,
	struct error *ret_error);

/* Where a snapshot comes from: one of the directory, by name, or an archive, by a function that reads on: bytes, 0 at the end, or an error. */
typedef ssize_t store_read(void *arg, void *data, size_t len);
struct store_source {
	const char *name; /* NULL: an archive */
	store_read *read;
	void *arg;
	const char *label; /* for messages */
	int fd;            /* of store_source_open; -1: none */
};
/* A word of a command line: a snapshot of the directory, a file, or "-" for standard input. The struct must stay where it is, and the word. */
int store_source_open(const char *data_dir, const char *word, struct store_source *ret, struct error *ret_error);
void store_source_close(struct store_source *s);

struct store_restored {
	char name[STORE_SNAPSHOT_NAME + 1];
	char aside[STORE_SNAPSHOT_NAME + 1]; /* directory in the data directory with what was there before; empty: nothing was */
	uint64_t segments, records, bytes;
};
/*
 * Puts a snapshot in the place of the store in a data directory, which no process may have open (-EBUSY). Several sources are a chain: a whole
 * archive first, then incremental ones in order. Everything is checked before anything is changed; then it is done whatever comes between, by the
 * next opening if need be. What was there is moved aside, never deleted; snapshots stay. -EUCLEAN: damaged, or no such chain; -ENOSPC.
 */
int store_restore(struct io *io, const char *data_dir, const struct store_source *from, size_t count, struct store_restored *ret,
	struct error *ret_error);

#endif
