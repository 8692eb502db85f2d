/* SPDX-License-Identifier: MIT
 *
 * Default paths by environment and user.
 */
#include "base/paths.h"

#include <errno.h>
#include <unistd.h>
#include "tap.h"

static char out[PATHS_MAX];

static void clear(void)
{
	static const char *const names[] = { "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
		"XDG_CONFIG_HOME", "KVD_SOCKET" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	setenv("HOME", "/home/someone", 1);
}

static void test_service(void)
{
	clear();
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
	is_int(paths_data_dir(out, sizeof(out)), 0, "a service has a data directory");
	is_str(out, "/var/lib/one", "the first of STATE_DIRECTORY");
	is_int(paths_socket(out, sizeof(out)), 0, "and a socket");
	is_str(out, "/run/one/kvd.sock", "in the first of RUNTIME_DIRECTORY");
	setenv("STATE_DIRECTORY", "relative", 1);
	paths_data_dir(out, sizeof(out));
	ok(strcmp(out, "relative") != 0, "a relative directory counts as unset");
}

static void test_root(void)
{
	clear();
	paths_data_dir(out, sizeof(out));
	is_str(out, KVD_LOCALSTATEDIR "/lib/kvd", "root's data");
	paths_socket_for("/elsewhere", out, sizeof(out));
	is_str(out, KVD_RUNSTATEDIR "/kvd/kvd.sock", "root's socket, wherever the data is");
	paths_config(out, sizeof(out));
	is_str(out, KVD_SYSCONFDIR "/kvd/kvd.conf", "root's configuration");
}

static void test_user(void)
{
	clear();
	paths_data_dir(out, sizeof(out));
	is_str(out, "/home/someone/.local/state/kvd", "a user's data without XDG_STATE_HOME");
	paths_socket(out, sizeof(out));
	is_str(out, "/home/someone/.local/state/kvd/kvd.sock", "a user's socket without a runtime directory");
	paths_socket_for("/elsewhere", out, sizeof(out));
	is_str(out, "/elsewhere/kvd.sock", "is beside the data");
	paths_config(out, sizeof(out));
	is_str(out, "/home/someone/.config/kvd/kvd.conf", "a user's configuration");
	setenv("XDG_STATE_HOME", "/state", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	setenv("XDG_CONFIG_HOME", "/config", 1);
	paths_data_dir(out, sizeof(out));
	is_str(out, "/state/kvd", "XDG_STATE_HOME counts");
	paths_socket_for("/elsewhere", out, sizeof(out));
	is_str(out, "/run/user/7/kvd/kvd.sock", "XDG_RUNTIME_DIR counts");
	paths_config(out, sizeof(out));
	is_str(out, "/config/kvd/kvd.conf", "XDG_CONFIG_HOME counts");
}

static void test_client(void)
{
	clear();
	setenv("KVD_SOCKET", "/some/where.sock", 1);
	paths_client_socket(out, sizeof(out));
	is_str(out, "/some/where.sock", "KVD_SOCKET is the first word for a client");
	unsetenv("KVD_SOCKET");
	setenv("RUNTIME_DIRECTORY", "/nonexistent", 1);
	paths_client_socket(out, sizeof(out));
	is_str(out, KVD_RUNSTATEDIR "/kvd/kvd.sock", "without a socket of its own a client takes the system's");
}

int main(void)
{
	char small[4] = "abc";

	test_service();
	/* Both rules are tested where the tests run as root; a user can only be itself. */
	if (geteuid() == 0) {
		test_root();
		if (seteuid(65534) == 0) {
			test_user();
			test_client();
			if (seteuid(0))
				bail("cannot be root again");
		}
	} else {
		test_user();
		test_client();
	}
	setenv("STATE_DIRECTORY", "/long", 1);
	is_int(paths_data_dir(small, sizeof(small)), -ENAMETOOLONG, "what does not fit is refused");
	is_str(small, "abc", "and the output untouched");
	return done();
}
