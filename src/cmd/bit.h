/* SPDX-License-Identifier: MIT
 *
 * What the bit commands share. Inner door of the room.
 */
#ifndef CMD_BIT_H
#define CMD_BIT_H

#include "cmd/room.h"

#define BIT_LIMIT ((uint64_t)STORE_MAX_VALUE * 8) /* offsets are below */

/* An offset; with a unit, "#n" is n times that. False: an error was replied. */
bool bit_offset(struct call *call, struct slice s, unsigned unit, uint64_t *ret);

#endif
