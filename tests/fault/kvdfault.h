/* SPDX-License-Identifier: MIT
 *
 * Stands between a program and the disk: loaded by LD_PRELOAD into the real kvd or kvctl, it keeps a journal of what they do with one
 * directory, and lets chosen calls fail or be the last. tests/blackbox/faulty.py is the other side, and knows the layouts here.
 *
 *   KVD_FAULT_DIR      the data directory as the program names it; nothing else is looked at, but the replies on sockets
 *   KVD_FAULT_CONTROL  a file of sizeof(struct fault_control), shared with the test: which call fails, and counts of calls
 *   KVD_FAULT_JOURNAL  a file to which the journal is appended; without it none is kept
 *
 * Order: everything but reads and syncs happens under one lock together with its entry, so entries have the order of the calls. A sync has two
 * entries, before and after; only what stands before the first is sure to be covered by it. A reply stands where it was sent.
 */
#ifndef TESTS_FAULT_KVDFAULT_H
#define TESTS_FAULT_KVDFAULT_H

#include <stdint.h>

enum fault_kind {
	FAULT_START,  /* the program began: all descriptors of the one before are gone */
	FAULT_OPEN,   /* of what is there; the name "" is the directory itself */
	FAULT_CREATE, /* open with O_CREAT */
	FAULT_CLOSE,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC, /* fsync and fdatasync, before it; of directories as well */
	FAULT_SYNCED,
	FAULT_TRUNCATE,
	FAULT_RENAME,
	FAULT_LINK,
	FAULT_UNLINK,
	FAULT_MKDIR,
	FAULT_RMDIR,
	FAULT_ACCEPT,
	FAULT_SEND,
	FAULT_ALLOCATE, /* of blocks behind the end of a file: not in the journal, as it shows in nothing */
	FAULT_KINDS
};

enum fault_action {
	FAULT_NONE,
	FAULT_KILL,  /* SIGKILL before the call */
	FAULT_ERROR, /* the call does nothing and fails with `error` */
	FAULT_SHORT, /* a write writes half and says so */
	FAULT_TORN,  /* a write writes half, then SIGKILL */
};

/* Calls number first to last of the kinds in the mask (bit 1 << kind) are acted upon; the counting begins when `action` is set. */
struct fault_control {
	uint32_t action, mask, error, unused;
	uint64_t first, last, count;
	uint64_t hits;
	uint64_t seen[FAULT_KINDS]; /* all calls since the file was made */
};

/* One entry of the journal; two names and the data follow. Numbers in the byte order of the machine. */
struct fault_entry {
	uint32_t kind;
	int32_t fd;      /* of the file; of the directory when there is a name */
	int32_t result;  /* a descriptor, 0, or -errno; -1 where a short write is one */
	uint32_t extra;  /* open, mkdir: the mode; rename, link: the other directory; SYNC, SYNCED: a number they share */
	uint64_t offset; /* TRUNCATE: the size */
	uint64_t len;    /* WRITE: bytes written, of which those behind `stored` are zeros; open: 1 when it empties the file */
	uint32_t stored;
	uint16_t name_len, other_len;
};

#endif
