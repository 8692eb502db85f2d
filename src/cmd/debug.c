/* SPDX-License-Identifier: MIT
 *
 * DEBUG, for tests of clients and of kvd itself; only where the configuration allows it.
 */
#include "cmd/room.h"

#include <time.h>
#include "base/num.h"

void cmd_set_debug(struct cmd_env *e, bool allowed)
{
	e->debug = allowed;
}

bool cmd_may_expire(struct cmd_env *e)
{
	return !e->no_expiry && !cmd_is_paused(e);
}

bool debug_is_allowed(struct call *call)
{
	if (!call->env->debug)
		call_error(call, "ERR DEBUG command not allowed: enable-debug-command = yes in the configuration allows it at the next start");
	return call->env->debug;
}

int debug_sleep(struct call *call)
{
	struct timespec ts;
	long double seconds;

	if (!debug_is_allowed(call))
		return 0;
	if (num_parse_float(call->argv[2], &seconds) || seconds < 0 || seconds > 3600)
		return call_error(call, "ERR DEBUG SLEEP takes 0 to 3600 seconds");
	ts.tv_sec = (time_t)seconds;
	ts.tv_nsec = (long)((seconds - (long double)ts.tv_sec) * 1000000000);
	nanosleep(&ts, NULL); /* everybody waits: that is what it is for */
	resp_ok(&call->out);
	return 0;
}

int debug_set_active_expire(struct call *call)
{
	int64_t on;

	if (!debug_is_allowed(call) || !call_int(call, call->argv[2], &on))
		return 0;
	call->env->no_expiry = on == 0;
	resp_ok(&call->out);
	return 0;
}

int debug_jmap(struct call *call)
{
	if (debug_is_allowed(call))
		resp_ok(&call->out);
	return 0;
}
