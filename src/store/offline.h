/* SPDX-License-Identifier: MIT
 *
 * The files of a store that nobody has open: checking, listing and repairing them. The second front door of the room, for tools; it opens no
 * store and starts no thread. Paths may be a data directory or a snapshot in it. Errors follow base/error.h, *e names file and reason.
 */
#ifndef STORE_OFFLINE_H
#define STORE_OFFLINE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/io.h"
#include "base/slice.h"

enum offline_kind {
	OFFLINE_RECORD, /* a whole record */
	OFFLINE_VALUE,  /* the header and the key of a record are right, its value is damaged */
	OFFLINE_BYTES,  /* damaged bytes of which nothing is known */
	OFFLINE_FILE,   /* a whole file: missing, short, or its header is damaged; text says which */
	OFFLINE_TAIL,   /* what a crash left of an unfinished write; the next start cuts it off */
};

struct offline_item {
	enum offline_kind kind;
	const char *file;      /* name in the directory */
	uint64_t offset, size; /* in the file, bytes */
	const char *text;      /* what is wrong; NULL with OFFLINE_RECORD */
	/* Of a record and a damaged value: */
	const char *type;      /* "put", "delete", "flush", "swap", "lost", "gap" */
	uint64_t position;
	unsigned ns, codec;
	bool commit;
	struct slice key;      /* borrowed until the call returns */
	uint64_t value_len;    /* bytes as stored */
	int64_t expire_wall_ms; /* INT64_MAX: none */
};

struct offline_report {
	uint64_t segments, records, bytes; /* walked */
	uint64_t lost, gaps;               /* records in the place of what an earlier repair could not read */
	uint64_t damaged, damaged_bytes;   /* items of the kinds VALUE, BYTES and FILE */
	uint64_t tail_bytes;               /* of OFFLINE_TAIL */
};

typedef void offline_each(void *arg, const struct offline_item *item);

/*
 * Reads every record of the directory's segments and calls each() for whatever is not whole. 0 with the report, also when there is damage. -EBUSY: a
 * process has the directory open (ask that one); -ENOENT: there is no store. Changes nothing.
 */
int offline_verify(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e);

/* Calls each() for every record of one segment file, and for what is damaged between them. */
int offline_dump(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e);

/*
 * Makes a damaged store openable again, deleting nothing: damaged bytes and files are copied into damaged/, listed there in the file INDEX, and replaced in
 * a new copy of their segment by records that say so. each() is called for each such place. A key whose value is lost answers STORE_CORRUPT until it is
 * written or deleted. Bytes whose keys are not known are replaced by a gap: what they changed is gone, and a key they wrote may show the value it
 * had before (ret->gaps says how many there are). A damaged, missing or old catalog is made anew from the segments. -EBUSY as above; what cannot be
 * repaired is refused with -EUCLEAN before anything has been changed. A store without damage is left as it is.
 */
int offline_repair(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e);

#endif
