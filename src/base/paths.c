/* SPDX-License-Identifier: MIT */
#include "base/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_DATA KVD_LOCALSTATEDIR "/lib/kvd"
#define SYSTEM_SOCKET KVD_RUNSTATEDIR "/kvd/kvd.sock"
#define SYSTEM_CONFIG KVD_SYSCONFDIR "/kvd/kvd.conf"

__attribute__((format(printf, 3, 4))) static int print_path(char *out, size_t size, const char *format, ...)
{
	char path[PATHS_MAX];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path) || (size_t)n >= size)
		return -ENAMETOOLONG;
	memcpy(out, path, (size_t)n + 1);
	return 0;
}

static const char *find_variable(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] == '/' ? value : NULL;
}

static int first_length(const char *list)
{
	return (int)strcspn(list, ":");
}

/* ${VARIABLE:-~/fallback}/rest */
static int print_user_path(char *out, size_t size, const char *variable, const char *fallback, const char *rest)
{
	const char *base = find_variable(variable);

	if (base)
		return print_path(out, size, "%s/%s", base, rest);
	const char *home = find_variable("HOME");
	if (!home) {
		const struct passwd *pw = getpwuid(geteuid());
		home = pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
	}
	return home ? print_path(out, size, "%s/%s/%s", home, fallback, rest) : -ENOENT;
}

int paths_data_dir(char *out, size_t size)
{
	const char *given = find_variable("STATE_DIRECTORY");

	if (given)
		return print_path(out, size, "%.*s", first_length(given), given);
	if (geteuid() == 0)
		return print_path(out, size, "%s", SYSTEM_DATA);
	return print_user_path(out, size, "XDG_STATE_HOME", ".local/state", "kvd");
}

int paths_config(char *out, size_t size)
{
	/* A service that runs as its own user is told its file by its unit. */
	if (geteuid() == 0)
		return print_path(out, size, "%s", SYSTEM_CONFIG);
	return print_user_path(out, size, "XDG_CONFIG_HOME", ".config", "kvd/kvd.conf");
}

/* The rule without its last resort, the data directory: -ENOENT then. */
static int print_runtime_socket(char *out, size_t size)
{
	const char *given = find_variable("RUNTIME_DIRECTORY");

	if (given)
		return print_path(out, size, "%.*s/kvd.sock", first_length(given), given);
	if (geteuid() == 0)
		return print_path(out, size, "%s", SYSTEM_SOCKET);
	given = find_variable("XDG_RUNTIME_DIR");
	return given ? print_path(out, size, "%s/kvd/kvd.sock", given) : -ENOENT;
}

int paths_socket_for(const char *data_dir, char *out, size_t size)
{
	int r = print_runtime_socket(out, size);

	return r == -ENOENT ? print_path(out, size, "%s/kvd.sock", data_dir) : r;
}

int paths_socket(char *out, size_t size)
{
	char data[PATHS_MAX];
	int r = print_runtime_socket(out, size);

	if (r != -ENOENT)
		return r;
	r = paths_data_dir(data, sizeof(data));
	return r ? r : print_path(out, size, "%s/kvd.sock", data);
}

int paths_client_socket(char *out, size_t size)
{
	const char *given = getenv("KVD_SOCKET");
	char own[PATHS_MAX];

	if (given && *given)
		return print_path(out, size, "%s", given);
	/* access(2) may say EACCES for a socket that is there; only a missing one makes way for the system's. */
	if (paths_socket(own, sizeof(own)) == 0 && (access(own, F_OK) == 0 || errno != ENOENT))
		return print_path(out, size, "%s", own);
	return print_path(out, size, "%s", SYSTEM_SOCKET);
}
