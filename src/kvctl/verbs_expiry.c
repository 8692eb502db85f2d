/* SPDX-License-Identifier: MIT
 *
 * Verbs on the time a key has left.
 */
#include <inttypes.h>
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

int verb_expire(struct kvctl *k, const struct args *a)
{
	char digits[NUM_I64_CHARS];
	struct slice argv[3] = { SLICE("PEXPIRE"), a->arg[0] };
	int64_t done;
	enum kvctl_exit code = args_duration(k, a->arg[1], digits, &argv[2]);

	if (!code)
		code = connect_ask_int(k, argv, 3, &done);
	if (code)
		return code;
	if (!done)
		return refuse_absent(k);
	output_confirm(k);
	return KVCTL_DONE;
}

/* A key that has no expiry is as the caller wants it. */
int verb_persist(struct kvctl *k, const struct args *a)
{
	struct slice persist[2] = { SLICE("PERSIST"), a->arg[0] }, exists[2] = { SLICE("EXISTS"), a->arg[0] };
	int64_t done = 0;
	enum kvctl_exit code = connect_ask_int(k, persist, 2, &done);

	if (!code && !done)
		code = connect_ask_int(k, exists, 2, &done);
	if (code)
		return code;
	if (!done)
		return refuse_absent(k);
	output_confirm(k);
	return KVCTL_DONE;
}

static void print_ttl(struct kvctl *k, int64_t ms, bool in_ms)
{
	if (k->json)
		output_json(k,
			ms < 0 ? json_pack("{s:n}", "ttl_ms") : json_pack("{s:I}", "ttl_ms", (json_int_t)ms));
	else if (ms < 0)
		output_printf(k, "none\n");
	else
		output_printf(k, "%" PRId64 "\n", in_ms ? ms : ms / 1000 + (ms % 1000 >= 500));
}

int verb_ttl(struct kvctl *k, const struct args *a)
{
	struct slice argv[2] = { SLICE("PTTL"), a->arg[0] };
	int64_t ms;
	enum kvctl_exit code = connect_ask_int(k, argv, 2, &ms);

	if (code)
		return code;
	if (ms == -2)
		return refuse_absent(k);
	print_ttl(k, ms, args_option(a, "ms", NULL));
	return KVCTL_DONE;
}
