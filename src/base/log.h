/* SPDX-License-Identifier: MIT
 *
 * The logging front: one line to standard error, with a "<N>" priority when the journal reads it, with a time stamp
 * otherwise. Only the program logs, once, where it decides; library rooms report and stay silent. A line is
 * one write(2), so lines of several threads do not mix. The level is the only mutable global of kvd.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

/* The numbers are syslog's. */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* The journal reads our standard error: $JOURNAL_STREAM names the very stream that it is, not one of who started us. */
bool log_to_journal(void);

extern enum log_level log_level; /* lines above it are dropped; LOG_LEVEL_NOTICE at first */

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) (log_level >= LOG_LEVEL_DEBUG ? log_line(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)

#endif
