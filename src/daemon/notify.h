/* SPDX-License-Identifier: MIT
 *
 * The wall around libsystemd's sd_notify and socket activation; no other file knows them. Every call is harmless when no
 * service manager listens.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Sockets passed to us, all or those named "kvd" when any has that name; the environment forgets them. Number or error. */
int notify_passed_sockets(int *ret_fd, int max);
bool notify_is_listening_unix(int fd);

void notify_ready(void);
void notify_stopping(void);
/* A reload begins, with the time stamp systemd 253 wants; notify_ready ends it. */
void notify_reloading(void);
/* False: it was not taken now; status, extend and watchdog never wait for a service manager that does not read. */
bool notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Progress was made: the service manager gives `ms` more before it loses patience. */
void notify_extend(uint64_t ms);

/* How often the watchdog wants to hear of us, in ms (a third of its patience); 0: there is none. */
uint64_t notify_watchdog_interval(void);
void notify_watchdog(void);

#endif
