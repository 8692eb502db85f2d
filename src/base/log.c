/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum log_level log_level = LOG_LEVEL_NOTICE;

bool log_to_journal(void)
{
	const char *named = getenv("JOURNAL_STREAM");
	char ours[48];
	struct stat st;

	if (!named || fstat(STDERR_FILENO, &st))
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(named, ours) == 0;
}

static size_t print_head(char *line, size_t size, enum log_level level)
{
	/* sd-daemon(3): the journal takes the priority from the prefix and has its own time stamps. */
	if (log_to_journal())
		return (size_t)snprintf(line, size, "<%d>", (int)level);
	static const char *const names[] = { "", "", "", "error", "warning", "notice", "info", "debug" };
	time_t now = time(NULL);
	struct tm tm;
	localtime_r(&now, &tm);
	size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S%z ", &tm);
	return n + (size_t)snprintf(line + n, size - n, "%s: ", names[level]);
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[2048];

	if (level > log_level)
		return;
	size_t n = print_head(line, sizeof(line), level);
	va_list ap;
	va_start(ap, format);
	int m = vsnprintf(line + n, sizeof(line) - n, format, ap);
	va_end(ap);
	n += m < 0 ? 0 : (size_t)m;
	if (n > sizeof(line) - 1)
		n = sizeof(line) - 1;
	/* A line break in the text would start a line without a priority. */
	for (char *p = line; p < line + n; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	line[n++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, n);
	(void)written; /* nobody is left to tell */
}
