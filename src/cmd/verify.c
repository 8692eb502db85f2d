/* SPDX-License-Identifier: MIT
 *
 * KVD.VERIFY: has everything read back from the disk.
 */
#include "cmd/room.h"

static void reply_number(struct resp_writer *w, const char *name, uint64_t value)
{
	resp_bulk_str(w, name);
	resp_int(w, (int64_t)value);
}

int verify_verify(struct call *call)
{
	struct store *s = call->env->store;
	struct store_scrub state;
	bool wait = call->argc == 2 && slice_is(call->argv[1], "sync");

	if (call->argc > 2 || (call->argc == 2 && !wait))
		return call_syntax(call);
	int r = wait ? store_scrub_wait(s, call->client->fetch) : store_scrub_begin(s, true);
	if (r)
		return r;
	if (!wait) {
		resp_ok(&call->out);
		return 0;
	}
	store_scrub_state(s, &state);
	resp_map(&call->out, 4);
	reply_number(&call->out, "segments", state.segments);
	reply_number(&call->out, "records", state.records);
	reply_number(&call->out, "bytes", state.bytes);
	reply_number(&call->out, "errors", state.damaged);
	return 0;
}
