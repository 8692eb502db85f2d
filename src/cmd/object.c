/* SPDX-License-Identifier: MIT
 *
 * OBJECT and MEMORY: what other servers know about the inside of a value, as far as there is such a thing here.
 */
#include "cmd/room.h"

#include "base/num.h"

enum { EMBEDDED = 44, RECORD_COST = 72 }; /* of a record and its entry in the keydir, roughly */

int object_encoding(struct call *call)
{
	struct txn_value v;
	int64_t number;
	int r = txn_get(call->txn, call->client->db, call->argv[2], &v);

	if (r && r != STORE_ABSENT)
		return r;
	if (r)
		resp_null(&call->out);
	else if (num_parse_i64(v.data, &number) == 0)
		resp_bulk_str(&call->out, "int");
	else
		resp_bulk_str(&call->out, v.data.len <= EMBEDDED ? "embstr" : "raw");
	return 0;
}

static int reply_number(struct call *call, int64_t number)
{
	int r = txn_peek(call->txn, call->client->db, call->argv[2], NULL);

	if (r && r != STORE_ABSENT)
		return r;
	if (r)
		resp_null(&call->out);
	else
		resp_int(&call->out, number);
	return 0;
}

int object_refcount(struct call *call)
{
	return reply_number(call, 1);
}

int object_idletime(struct call *call)
{
	return reply_number(call, 0);
}

int object_freq(struct call *call)
{
	int r = txn_peek(call->txn, call->client->db, call->argv[2], NULL);

	if (r == 0)
		return call_error(call, "ERR An LFU maxmemory policy is not selected, access frequency not tracked.");
	if (r == STORE_ABSENT)
		resp_null(&call->out);
	return r == STORE_ABSENT ? 0 : r;
}

/* ---- MEMORY ---- */

int memory_usage(struct call *call)
{
	int64_t samples;
	size_t len;
	int r;

	if (call->argc > 3) {
		if (call->argc != 5 || !slice_is(call->argv[3], "samples"))
			return call_syntax(call);
		if (!call_int(call, call->argv[4], &samples))
			return 0;
		if (samples < 0)
			return call_syntax(call);
	}
	r = txn_length(call->txn, call->client->db, call->argv[2], &len);
	if (r && r != STORE_ABSENT)
		return r;
	if (r)
		resp_null(&call->out);
	else
		resp_int(&call->out, (int64_t)(RECORD_COST + call->argv[2].len + len));
	return 0;
}

int memory_stats(struct call *call)
{
	struct cmd_env *e = call->env;
	struct resp_writer *w = &call->out;
	struct cmd_host_stats h = { 0 };
	struct store_stats s;
	uint64_t data, total;

	e->host.stats(e->host.arg, &h);
	store_stats(e->store, &s);
	data = s.keydir_bytes + s.cache_bytes + s.tail_bytes + s.block_bytes;
	total = data + h.output_bytes;
	e->memory_peak = total > e->memory_peak ? total : e->memory_peak;
	resp_map(w, 14);
	call_field(call, "peak.allocated", e->memory_peak);
	call_field(call, "total.allocated", total);
	call_field(call, "startup.allocated", 0);
	call_field(call, "replication.backlog", 0);
	call_field(call, "clients.slaves", 0);
	call_field(call, "clients.normal", h.output_bytes);
	call_field(call, "cluster.links", 0);
	call_field(call, "aof.buffer", store_backlog(e->store));
	call_field(call, "overhead.total", total - data);
	call_field(call, "keys.count", s.keys);
	call_field(call, "keys.bytes-per-key", s.keys ? s.keydir_bytes / s.keys : 0);
	call_field(call, "dataset.bytes", data);
	resp_bulk_str(w, "dataset.percentage");
	resp_double(w, total ? (double)data / (double)total * 100 : 0);
	resp_bulk_str(w, "peak.percentage");
	resp_double(w, e->memory_peak ? (double)total / (double)e->memory_peak * 100 : 100);
	return 0;
}

int memory_doctor(struct call *call)
{
	struct cmd_host_stats h = { 0 };
	struct store_stats s;
	struct buf text = { 0 };

	call->env->host.stats(call->env->host.arg, &h);
	store_stats(call->env->store, &s);
	buf_printf(&text, "The directory of keys takes %llu bytes for %llu keys; values are on disk, %llu bytes of them are kept in memory.\n",
		(unsigned long long)s.keydir_bytes, (unsigned long long)s.keys, (unsigned long long)s.cache_bytes);
	if (h.output_bytes > 64 << 20)
		buf_printf(&text, "Clients leave %llu bytes of replies unread; CLIENT LIST tells which ones (omem).\n",
			(unsigned long long)h.output_bytes);
	resp_verbatim(&call->out, "txt", buf_slice(&text));
	buf_free(&text);
	return 0;
}
