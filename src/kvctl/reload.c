/* SPDX-License-Identifier: MIT
 *
 * reload: the service manager is asked, as it alone can tell whether the daemon took the new configuration.
 * Which unit the daemon runs in is in its control group.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/num.h"
#include "kvctl/numbers.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

extern char **environ;

static enum kvctl_exit find_pid(struct kvctl *k, int64_t *ret)
{
	redisReply *r = NULL;
	struct slice text;
	enum kvctl_exit code = info_fetch(k, "server", &r);

	if (code)
		return code;
	if (!info_find(reply_slice(r), "process_id", &text) || num_parse_i64(text, ret) || *ret <= 0)
		code = refuse(k, KVCTL_REFUSED, "the daemon does not tell its process_id");
	freeReplyObject(r);
	return code;
}

/* From the lines of /proc/PID/cgroup: the innermost *.service of the line of systemd ("0::" or
 * "name=systemd"). */
bool reload_find_unit(struct slice text, struct slice *ret_unit, bool *ret_user)
{
	struct slice line;

	while (info_next_line(&text, &line)) {
		struct slice user = SLICE("/user@");
		const char *end;
		if (!slice_has_prefix(line, SLICE("0::")) &&
			!memmem(line.ptr, line.len, ":name=systemd:", 14))
			continue;
		/* A service may have groups of its own below that of its unit. */
		for (; line.len && !(line.len > 8 && memcmp(line.ptr + line.len - 8, ".service", 8) == 0);
			line.len = (size_t)(end - line.ptr)) {
			end = memrchr(line.ptr, '/', line.len);
			if (!end)
				break;
		}
		end = line.len ? memrchr(line.ptr, '/', line.len) : NULL;
		if (!end || line.len < 9 || memcmp(line.ptr + line.len - 8, ".service", 8) != 0)
			continue;
		*ret_unit = slice_skip(line, (size_t)(end - line.ptr) + 1);
		*ret_user = memmem(line.ptr, (size_t)(end - line.ptr), user.ptr, user.len) != NULL;
		return true;
	}
	return false;
}

static bool read_cgroup(int64_t pid, char *out, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/cgroup", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(out, 1, size - 1, f);
	out[n] = 0;
	fclose(f);
	return true;
}

static enum kvctl_exit run_systemctl(struct kvctl *k, char *unit, bool user)
{
	char name[] = "systemctl", scope[16], verb[] = "reload";
	char *argv[] = { name, scope, verb, unit, NULL };
	posix_spawnattr_t attr;
	sigset_t pipe_signal;
	pid_t child;
	int r, status = 0;

	snprintf(scope, sizeof(scope), "--%s", user ? "user" : "system");
	output_flush(k);
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	r = posix_spawnattr_init(&attr);
	if (!r) {
		posix_spawnattr_setsigdefault(&attr, &pipe_signal);
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
		r = posix_spawnp(&child, argv[0], NULL, &attr, argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	if (r)
		return refuse(k, KVCTL_REFUSED, "cannot run systemctl: %s", strerror(r));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return refuse(k, KVCTL_REFUSED, "%s was not reloaded; \"systemctl %sstatus %s\" says why",
			unit, user ? "--user " : "", unit);
	output_confirm(k);
	return KVCTL_DONE;
}

int verb_reload(struct kvctl *k, const struct args *a)
{
	char cgroup[4096], unit[256];
	struct slice name;
	int64_t pid;
	bool user;
	enum kvctl_exit code = find_pid(k, &pid);

	(void)a;
	if (code)
		return code;
	if (access("/run/systemd/system", F_OK) != 0 || !read_cgroup(pid, cgroup, sizeof(cgroup)) ||
		!reload_find_unit(slice_str(cgroup), &name, &user) || name.len >= sizeof(unit))
		return refuse(k, KVCTL_REFUSED,
			"this kvd is no service of systemd; \"kill -HUP %" PRId64
			"\" makes it read its configuration anew, and its log tells "
			"whether all was well",
			pid);
	snprintf(unit, sizeof(unit), "%.*s", (int)name.len, name.ptr);
	return run_systemctl(k, unit, user);
}
