/* SPDX-License-Identifier: MIT
 *
 * kvd --restore: puts a snapshot in the place of the data, instead of serving it.
 */
#ifndef DAEMON_RESTORE_H
#define DAEMON_RESTORE_H

#include "daemon/options.h"

/* Restores what command->restore names into data-dir. The exit code; the reason is logged. */
int restore_main(const struct options *o, const struct options_command *command);

#endif
