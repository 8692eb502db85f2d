/* SPDX-License-Identifier: MIT
 *
 * What an administrator should know, said once: as a structured journal entry with a message id and KVD_ fields when
 * the journal is our standard error, as a log line otherwise. The ids are explained in the journal catalog (kvd.catalog).
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "base/log.h"
#include "store/store.h"

enum journal_kind {
	JOURNAL_STARTED,
	JOURNAL_STOPPED,
	JOURNAL_RECOVERED,
	JOURNAL_TAIL_CUT,
	JOURNAL_DAMAGE,
	JOURNAL_REFUSING,
	JOURNAL_RESUMED,
	JOURNAL_RELOAD_FAILED,
	JOURNAL_CLIENT_CLOSED,
	JOURNAL_START_FAILED,
	JOURNAL_RELOADED,
	JOURNAL_SNAPSHOT,
	JOURNAL_SNAPSHOT_FAILED,
	JOURNAL_KINDS
};

void journal_write(enum journal_kind kind, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* JOURNAL_STARTED with its fields. */
void journal_write_started(const char *data_dir, const char *socket, bool passed);

/* An event of the store with its file, offset and numbers as fields. */
void journal_store_event(const struct store_event *event);

#endif
