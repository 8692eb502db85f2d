/* SPDX-License-Identifier: MIT
 *
 * Segments closed by hand.
 */
#include "cmd/room.h"

/* ---- KVD.ROTATE ---- */

/* wait_for: the segment begun; wait_seen: rollbacks before, as one of them may take the rotation back. */
static bool rotate_over(struct cmd_client *c)
{
	const struct store *s = c->env->store;

	return store_rotated(s, c->wait_for) || store_rollbacks(s) != c->wait_seen || store_health(s, NULL);
}

static void rotate_reply(struct call *call, bool reached)
{
	const struct cmd_client *c = call->client;

	(void)reached;
	if (store_rotated(call->env->store, c->wait_for))
		resp_ok(&call->out);
	else if (store_health(call->env->store, NULL))
		call_condition(call, STORE_REFUSED);
	else
		call_error(call, "ERR the rotation was not completed");
}

int backup_rotate(struct call *call)
{
	struct store *s = call->env->store;
	struct cmd_client *c = call->client;
	int r = store_rotate(s, &c->wait_for);

	if (r)
		return r;
	c->wait_seen = store_rollbacks(s);
	if (store_rotated(s, c->wait_for))
		resp_ok(&call->out);
	else
		call_wait(call, rotate_over, rotate_reply);
	return 0;
}
