/* SPDX-License-Identifier: MIT */
#include "daemon/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

static const char *const ids[JOURNAL_KINDS] = {
	[JOURNAL_STARTED] = "dd24d2c785af43bab856617d7baed261",
	[JOURNAL_STOPPED] = "5fbe69c7383e4a3f9e4a6af7847799c2",
	[JOURNAL_RECOVERED] = "8fbad44ba7094d9e90ec8f14604e8b64",
	[JOURNAL_TAIL_CUT] = "37fa423c3b8d4a3bac32c9648ab868c5",
	[JOURNAL_DAMAGE] = "7a6ca3f766a244198d6820fb596b6040",
	[JOURNAL_REFUSING] = "5e361ffde56c40c3add00dc6e50dc314",
	[JOURNAL_RESUMED] = "95aba12df76141ffb4d7ca17b364e72d",
	[JOURNAL_RELOAD_FAILED] = "4b2f2017efbc42e086ea887779fdcf8e",
	[JOURNAL_CLIENT_CLOSED] = "e9cf10ebd05a465e983c0eacc21ae490",
	[JOURNAL_START_FAILED] = "aec198ef9be541faa652db41745a3751",
	[JOURNAL_RELOADED] = "5e9a2ae018fe43e992b5b454821619ec",
	[JOURNAL_SNAPSHOT] = "91b3e820c5ae4b20ba5059b4cbe21e3b",
	[JOURNAL_SNAPSHOT_FAILED] = "bbd595a398cc47b384183c82c9381c75",
};

/*
 * The library drops entries silently where no journal takes them, and a file that somebody called the journal's stream is
 * not it: then our line is the better way.
 */
static bool takes_entries(void)
{
	struct stat st;

	return log_to_journal() && fstat(STDERR_FILENO, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       access("/run/systemd/journal/socket", W_OK) == 0;
}

void journal_write(enum journal_kind kind, enum log_level level, const char *format, ...)
{
	char text[1024];
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!takes_entries() || sd_journal_send("MESSAGE=%s", text, "MESSAGE_ID=%s", ids[kind], "PRIORITY=%d", (int)level, NULL) < 0)
		log_line(level, "%s", text);
}

void journal_write_started(const char *data_dir, const char *socket, bool passed)
{
	const char *how = passed ? " (passed)" : "";

	if (LOG_LEVEL_NOTICE > log_level)
		return;
	if (!takes_entries() ||
		sd_journal_send("MESSAGE=kvd " PACKAGE_VERSION " serves %s at %s%s", data_dir, socket, how,
			"MESSAGE_ID=%s", ids[JOURNAL_STARTED], "PRIORITY=%d", LOG_LEVEL_NOTICE,
			"KVD_VERSION=" PACKAGE_VERSION, "KVD_DATA_DIR=%s", data_dir, "KVD_SOCKET=%s", socket, NULL) < 0)
		log_line(LOG_LEVEL_NOTICE, "kvd " PACKAGE_VERSION " serves %s at %s%s", data_dir, socket, how);
}

static const struct {
	enum log_level level;
	int kind; /* -1: without an id */
} event_kinds[] = {
	[STORE_EVENT_CREATED] = { LOG_LEVEL_NOTICE, -1 },
	[STORE_EVENT_RECOVERED] = { LOG_LEVEL_NOTICE, JOURNAL_RECOVERED },
	[STORE_EVENT_TAIL_CUT] = { LOG_LEVEL_WARNING, JOURNAL_TAIL_CUT },
	[STORE_EVENT_DAMAGE] = { LOG_LEVEL_ERROR, JOURNAL_DAMAGE },
	[STORE_EVENT_LEFTOVER] = { LOG_LEVEL_INFO, -1 },
	[STORE_EVENT_ROTATED] = { LOG_LEVEL_INFO, -1 },
	[STORE_EVENT_REFUSING] = { LOG_LEVEL_ERROR, JOURNAL_REFUSING },
	[STORE_EVENT_RESUMED] = { LOG_LEVEL_NOTICE, JOURNAL_RESUMED },
	[STORE_EVENT_MERGED] = { LOG_LEVEL_INFO, -1 },
	[STORE_EVENT_MERGE_FAILED] = { LOG_LEVEL_WARNING, -1 },
	[STORE_EVENT_MERGE_WAITS] = { LOG_LEVEL_WARNING, -1 },
	[STORE_EVENT_CHECKPOINT] = { LOG_LEVEL_INFO, -1 },
	[STORE_EVENT_NO_CHECKPOINT] = { LOG_LEVEL_WARNING, -1 },
	[STORE_EVENT_CHECKPOINT_UNUSED] = { LOG_LEVEL_WARNING, -1 },
	[STORE_EVENT_SCRUBBED] = { LOG_LEVEL_NOTICE, -1 },
	[STORE_EVENT_SNAPSHOT] = { LOG_LEVEL_NOTICE, JOURNAL_SNAPSHOT },
	[STORE_EVENT_SNAPSHOT_FAILED] = { LOG_LEVEL_ERROR, JOURNAL_SNAPSHOT_FAILED },
};

void journal_store_event(const struct store_event *event)
{
	enum log_level level = LOG_LEVEL_NOTICE;
	int kind = -1;

	if ((size_t)event->kind < sizeof(event_kinds) / sizeof(event_kinds[0])) {
		level = event_kinds[event->kind].level;
		kind = event_kinds[event->kind].kind;
	}
	if (level > log_level)
		return;
	if (kind < 0 || !takes_entries() ||
		sd_journal_send("MESSAGE=%s", event->text, "MESSAGE_ID=%s", ids[kind], "PRIORITY=%d", (int)level,
			"KVD_FILE=%s", event->file ? event->file : "", "KVD_OFFSET=%" PRIu64, event->offset,
			"KVD_BYTES=%" PRIu64, event->bytes, "KVD_RECORDS=%" PRIu64, event->records, NULL) < 0)
		log_line(level, "%s", event->text);
}
