/* SPDX-License-Identifier: MIT
 *
 * The words behind SET, GETEX and DELEX: "NX", "EX 10", "IFEQ value" and their kin. Inner door of the room.
 */
#ifndef CMD_SET_OPTIONS_H
#define CMD_SET_OPTIONS_H

#include "cmd/room.h"

enum { OPT_NX = 1, OPT_XX = 2, OPT_IFEQ = 4, OPT_IFNE = 8, OPT_GET = 16, OPT_KEEPTTL = 32, OPT_PERSIST = 64 };
enum {
	OPT_EX = 128,
	OPT_PX = 256,
	OPT_EXAT = 512,
	OPT_PXAT = 1024,
	OPT_EXPIRE = OPT_EX | OPT_PX | OPT_EXAT | OPT_PXAT
};
enum {
	OPT_CONDITIONS = OPT_NX | OPT_XX | OPT_IFEQ | OPT_IFNE,
	OPT_EXPIRIES = OPT_KEEPTTL | OPT_PERSIST | OPT_EXPIRE
};

struct set_options {
	unsigned given;
	struct slice compare; /* of IFEQ, IFNE */
	struct slice expire;
	char unit;
	bool absolute;
};

/* Reads argv from `from` on; `allowed` are the words this command knows. False: an error was replied. */
bool set_options_read(struct call *call, size_t from, unsigned allowed, struct set_options *o);
/* Leaves *ret_expire alone when none of the words was an expiry. False: an error was replied. */
bool set_options_expiry(struct call *call, const struct set_options *o, int64_t *ret_expire);
/*
 * Whether the conditions hold; old->data is only looked at for IFEQ and IFNE. 0 with *ret_allowed, or, as large values are compared by a helper
 * thread, STORE_PENDING or -ENOMEM.
 */
int set_options_allow(struct call *call, const struct set_options *o, bool exists, const struct txn_value *old, bool *ret_allowed);

#endif
