/* SPDX-License-Identifier: MIT
 *
 * KVD.VERIFY: has everything read back from the disk.
 */
#include "cmd/room.h"

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
	call_field(call, "segments", state.segments);
	call_field(call, "records", state.records);
	call_field(call, "bytes", state.bytes);
	call_field(call, "errors", state.damaged);
	return 0;
}
