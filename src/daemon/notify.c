/* SPDX-License-Identifier: MIT */
#include "daemon/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include "base/clock.h"

int notify_passed_sockets(int *ret_fd, int max)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(true, &names), found = 0;
	bool named = false;

	for (int i = 0; i < n; i++)
		named = named || strcmp(names[i], "kvd") == 0;
	for (int i = 0; i < n; i++) {
		if ((!named || strcmp(names[i], "kvd") == 0) && found < max)
			ret_fd[found++] = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return n < 0 ? n : found;
}

bool notify_is_listening_unix(int fd)
{
	return sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;
}

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns(&clock_system) / 1000);
}

/*
 * The library waits for a service manager that does not read. For what must arrive that is right; what is said again
 * and again from the loop is rather lost than waited for.
 */
static bool send_now(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	if (len == 0)
		return true;
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(addr.sun_path))
		return sd_notify(0, text) > 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	memcpy(addr.sun_path, path, len + 1);
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* an abstract address is as long as its name, the other ends with NUL */
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
	bool sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, size) >= 0;
	close(fd);
	return sent;
}

bool notify_status(const char *format, ...)
{
	char text[1024] = "STATUS=";
	size_t head = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + head, sizeof(text) - head, format, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return send_now(text);
}

void notify_extend(uint64_t ms)
{
	char text[64];

	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64, ms * 1000);
	send_now(text);
}

uint64_t notify_watchdog_interval(void)
{
	uint64_t us = 0;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return 0;
	return us / 3000 ? us / 3000 : 1;
}

void notify_watchdog(void)
{
	send_now("WATCHDOG=1");
}
