/* SPDX-License-Identifier: MIT
 *
 * What every handler uses: errors, arguments, the keys of a request, reads that are counted.
 */
#include "cmd/room.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/num.h"

/* ---- errors ---- */

static void count_error(struct cmd_env *e, const char *text)
{
	size_t n = strcspn(text, " ");

	e->counters.errors++;
	for (size_t i = 0; i < ERROR_CLASSES; i++) {
		struct error_class *k = &e->errors[i];
		if (k->count == 0 && n < sizeof(k->name)) {
			memcpy(k->name, text, n);
			k->name[n] = 0;
		}
		if (strlen(k->name) == n && memcmp(k->name, text, n) == 0) {
			k->count++;
			return;
		}
	}
}

int call_error(struct call *call, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!call->rehearsed)
		count_error(call->env, text);
	call->failed = true;
	resp_error(&call->out, "%s", text);
	return 0;
}

int call_syntax(struct call *call)
{
	return call_error(call, "ERR syntax error");
}

int call_sub_syntax(struct call *call)
{
	const char *name = call->command->info->name;
	size_t len = strcspn(name, "|");
	char upper[32] = "";

	for (size_t i = 0; i < len && i < sizeof(upper) - 1; i++)
		upper[i] = (char)(name[i] & ~0x20);
	return call_error(call, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
		call->argv[1].len < 128 ? (int)call->argv[1].len : 128, call->argv[1].ptr, upper);
}

bool call_int(struct call *call, struct slice s, int64_t *ret)
{
	if (num_parse_i64(s, ret) == 0)
		return true;
	call_error(call, "ERR value is not an integer or out of range");
	return false;
}

bool call_db_number(struct call *call, struct slice s, const char *bad, int *ret)
{
	int64_t db;

	if (num_parse_i64(s, &db)) {
		call_error(call, "ERR %s", bad ? bad : "value is not an integer or out of range");
		return false;
	}
	if (db < INT_MIN || db > INT_MAX) {
		if (bad)
			call_error(call, "ERR %s", bad);
		else
			call_error(call, "ERR value is out of range, value must between %d and %d", INT_MIN, INT_MAX);
		return false;
	}
	*ret = (int)db;
	return true;
}

bool call_db_exists(struct call *call, int db)
{
	if (db >= 0 && (unsigned)db < store_databases(call->env->store))
		return true;
	call_error(call, "ERR DB index is out of range");
	return false;
}

bool call_db(struct call *call, struct slice s, unsigned *ret)
{
	int db;

	if (!call_db_number(call, s, NULL, &db) || !call_db_exists(call, db))
		return false;
	*ret = (unsigned)db;
	return true;
}

void call_wait(struct call *call, bool (*over)(struct cmd_client *c), void (*reply)(struct call *call, bool reached))
{
	struct cmd_client *c = call->client;

	c->wait_over = over;
	c->wait_reply = reply;
	call->wait = true;
	call->wait_ms = 0;
	call->wait_position = UINT64_MAX;
}

/* ---- keys ---- */

size_t call_keys(const struct command *command, size_t argc, size_t *ret_first, size_t *ret_step)
{
	const struct cmd_info *info = command->info;
	size_t end;

	*ret_first = (size_t)info->first;
	*ret_step = (size_t)info->step;
	if (info->first == 0)
		return 0;
	end = info->last < 0 ? argc - (size_t)(-info->last - 1) : (size_t)info->last + 1;
	return end < argc ? end : argc;
}

int call_prepare(struct call *call, unsigned db)
{
	size_t first, step, end = call_keys(call->command, call->argc, &first, &step);
	int result = 0;

	for (size_t i = first; first && i < end; i += step) {
		int r = call->command->how & PART ? txn_prepare_part(call->txn, db, call->argv[i]) : txn_prepare(call->txn, db, call->argv[i]);
		if (r == STORE_PENDING)
			result = r;
	}
	return result;
}

static void count_lookup(struct call *call, int r, struct slice key)
{
	call->hits += r == 0;
	call->misses += r == STORE_ABSENT;
	if (r == STORE_ABSENT)
		call_event(call, EVENT_MISS, "keymiss", key);
}

int call_get(struct call *call, struct slice key, struct txn_value *ret)
{
	int r = txn_get(call->txn, call->client->db, key, ret);

	count_lookup(call, r, key);
	return r;
}

int call_length(struct call *call, struct slice key, size_t *ret)
{
	int r = txn_length(call->txn, call->client->db, key, ret);

	count_lookup(call, r, key);
	return r;
}

int call_part(struct call *call, struct slice key, size_t from, size_t n, struct txn_value *ret)
{
	int r = txn_get_part(call->txn, call->client->db, key, from, n, ret);

	count_lookup(call, r, key);
	return r;
}

int call_peek(struct call *call, struct slice key, int64_t *ret_expire_ms)
{
	int r = txn_peek(call->txn, call->client->db, key, ret_expire_ms);

	count_lookup(call, r, key);
	return r;
}

void call_value(struct call *call, const struct txn_value *v, struct slice part)
{
	resp_bulk_block(&call->out, part, v->block);
}

void call_field(struct call *call, const char *name, uint64_t value)
{
	resp_bulk_str(&call->out, name);
	resp_int(&call->out, (int64_t)value);
}

struct block *call_block(const struct call *call, struct slice argument)
{
	for (size_t i = 0; i < call->blocks; i++)
		if (call->block[i]->value.ptr == argument.ptr && call->block[i]->value.len == argument.len)
			return call->block[i];
	return NULL;
}

int call_put(struct call *call, struct slice key, struct slice value, int64_t expire_ms, const char *what)
{
	struct txn_value v = { value, expire_ms, call_block(call, value) };

	return call_put_value(call, key, &v, what);
}

int call_put_value(struct call *call, struct slice key, const struct txn_value *v, const char *what)
{
	unsigned db = call->client->db;
	int r;

	if ((call->env->events & EVENT_NEW) && txn_peek(call->txn, db, key, NULL) == STORE_ABSENT)
		event_say(call->env, "new", db, key);
	r = txn_put_value(call->txn, db, key, v);
	if (r == 0)
		call_event(call, EVENT_STRING, what, key);
	return r;
}

int call_delete(struct call *call, struct slice key)
{
	int r = txn_delete(call->txn, call->client->db, key);

	if (r == 0)
		call_event(call, EVENT_GENERIC, "del", key);
	return r;
}

/* ---- what the store answered ---- */

static uint64_t read_bulk_limit(const struct cmd_env *e)
{
	uint64_t limit = STORE_MAX_VALUE;
	struct buf value = { 0 };

	if (config_find(e, SLICE("proto-max-bulk-len"), &value))
		num_parse_size(buf_slice(&value), &limit);
	buf_free(&value);
	return limit < STORE_MAX_VALUE ? limit : STORE_MAX_VALUE;
}

void call_condition(struct call *call, int r)
{
	struct store *s = call->env->store;
	const char *why;

	switch (r) {
	case STORE_CORRUPT:
		call_error(call, "CORRUPT %s", store_problem(s));
		break;
	case STORE_REFUSED:
		if (store_health(s, &why) != STORE_REFUSED)
			why = store_problem(s);
		call_error(call, "MISCONF writes are refused: %s", why);
		break;
	case -EMSGSIZE:
		call_error(call, "ERR string exceeds maximum allowed size (proto-max-bulk-len, %llu bytes)",
			(unsigned long long)read_bulk_limit(call->env));
		break;
	case -E2BIG:
		call_error(call, "ERR the request reads, writes or answers more than is possible at once, ask in pieces");
		break;
	case -ENOMEM:
		call_error(call, "OOM not enough memory to run the command");
		break;
	default:
		call_error(call, "IOERR %s", store_problem(s));
	}
}
