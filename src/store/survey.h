/* SPDX-License-Identifier: MIT
 *
 * What a closed data directory is made of, by its catalog, or by the segments themselves when the catalog cannot be read. The ground on which verify and
 * repair stand.
 */
#ifndef STORE_SURVEY_H
#define STORE_SURVEY_H

#include "store/catalog.h"
#include "store/offline.h"
#include "store/verify.h"

struct survey {
	struct io *io;
	int dir, lock_fd;
	const char *path;
	struct catalog catalog;  /* as read, or as made up from the segments */
	bool rebuilt;            /* made up: there is none that reads back, or it is older than the segments */
	char problem[480];       /* why */
};

/* One segment of it. */
struct survey_segment {
	struct segment g;     /* number, first, seed */
	char name[SEGMENT_NAME_SIZE];
	int fd;               /* -1: no such file */
	bool active;
	const char *fault;    /* the header is not as it should be, or the file is missing; NULL: it is fine */
	uint64_t file_size;
	uint64_t must;        /* bytes that were on disk for certain: what lies before is damage when it does not read back */
	bool undecided;       /* repair: whether what lies behind is damage takes too long to tell */
	uint64_t limit;       /* bytes to look at: to the end of the file, or what the catalog says */
};

/* Opens directory and lock, reads the catalog. With `write` the lock is made when it is missing. survey_close ends it, also after an error. */
int survey_open(struct survey *y, struct io *io, const char *path, bool write, struct error *e);
void survey_close(struct survey *y);

/* Segment i of the catalog: 0 also when it is damaged, `fault` tells. survey_release ends it. */
int survey_segment(struct survey *y, size_t i, struct survey_segment *ret, struct error *e);
void survey_release(struct survey *y, struct survey_segment *g);

/* -EUCLEAN when the file is whole, but not the segment of that number of the store: its right name is all it needs. Else 0. */
int survey_check_name(struct survey *y, int fd, const char *name, uint64_t number, uint64_t store_id, struct error *e);

/* ---- offline.c ---- */

struct offline_item offline_item_of(const char *file, const struct verify_item *in);
/* Adds to the report; `record` counts with OFFLINE_RECORD only. */
void offline_count(struct offline_report *r, const struct offline_item *item, const struct record *record);

#endif
