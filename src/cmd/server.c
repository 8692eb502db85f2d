/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <sys/time.h>
#include "base/num.h"

int server_time(struct call *call)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	resp_array(&call->out, 2);
	resp_bulk_int(&call->out, now.tv_sec);
	resp_bulk_int(&call->out, now.tv_usec);
	return 0;
}

int server_shutdown(struct call *call)
{
	bool save = false, nosave = false, now = false, abort = false;

	for (size_t i = 1; i < call->argc; i++) {
		bool s = slice_is(call->argv[i], "save"), n = slice_is(call->argv[i], "nosave"),
		     a = slice_is(call->argv[i], "abort");
		if (!s && !n && !a && !slice_is(call->argv[i], "now") && !slice_is(call->argv[i], "force"))
			return call_syntax(call);
		save |= s;
		nosave |= n;
		abort |= a;
		now |= !s && !n && !a;
	}
	if ((abort && (save || nosave || now)) || (save && nosave))
		return call_syntax(call);
	if (abort)
		return call_error(call, "ERR No shutdown in progress.");
	call->env->host.shutdown(call->env->host.arg);
	call->silent = true; /* the closed connection is the answer */
	call->close = true;
	return 0;
}

int server_role(struct call *call)
{
	resp_array(&call->out, 3);
	resp_bulk_str(&call->out, "master");
	resp_int(&call->out, 0);
	resp_array(&call->out, 0);
	return 0;
}

int server_lolwut(struct call *call)
{
	resp_verbatim(&call->out, "txt", SLICE("kvd " PACKAGE_VERSION ", Redis ver. " CMD_REDIS_VERSION "\n"));
	return 0;
}

/* ---- barriers ---- */

static bool read_count(struct call *call, struct slice s, int64_t *ret)
{
	if (!call_int(call, s, ret))
		return false;
	if (*ret >= 0)
		return true;
	call_error(call, "ERR value is out of range, must be positive");
	return false;
}

static bool read_timeout(struct call *call, struct slice s, int64_t *ret)
{
	if (num_parse_i64(s, ret)) {
		call_error(call, "ERR timeout is not an integer or out of range");
		return false;
	}
	if (*ret < 0)
		call_error(call, "ERR timeout is negative");
	return *ret >= 0;
}

int server_wait(struct call *call)
{
	int64_t replicas, timeout;

	if (!call_int(call, call->argv[1], &replicas) || !read_timeout(call, call->argv[2], &timeout))
		return 0;
	resp_int(&call->out, 0);
	return 0;
}

int server_waitaof(struct call *call)
{
	struct store *s = call->env->store;
	int64_t local, replicas, timeout;
	bool durable;

	if (!call_int(call, call->argv[1], &local))
		return 0;
	if (local < 0 || local > 1)
		return call_error(call, "ERR value is out of range, value must between 0 and 1");
	if (!read_count(call, call->argv[2], &replicas) || !read_timeout(call, call->argv[3], &timeout))
		return 0;
	durable = store_durable(s) >= call->client->last_write;
	if (call->in_exec || (replicas == 0 && (durable || local == 0))) {
		resp_array(&call->out, 2);
		resp_int(&call->out, durable);
		resp_int(&call->out, 0);
		return 0;
	}
	if (!durable)
		store_barrier(s);
	call->wait = true;
	call->wait_ms = timeout;
	/* There will never be a replica: only the timeout ends that wait. */
	call->wait_position = replicas ? UINT64_MAX : call->client->last_write;
	return 0;
}
