/* SPDX-License-Identifier: MIT
 *
 * The arguments column of commands.def, told to clients as COMMAND DOCS tells arguments: an array of maps
 * with name, type, token, flags and, for groups and choices, arguments.
 */
#ifndef CMD_SYNTAX_H
#define CMD_SYNTAX_H

#include "cmd/room.h"

/* The text comes from the table, so it is well formed; SYNTAX_MAX arguments at most. */
enum { SYNTAX_MAX = 48 };
void syntax_reply(struct resp_writer *w, const struct command *k);

#endif
