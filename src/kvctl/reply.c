/* SPDX-License-Identifier: MIT
 *
 * Replies of any shape for people and as JSON, and what one of names and values holds.
 */
#include "kvctl/output.h"

const redisReply *reply_find(const redisReply *r, const char *name, int type)
{
	for (size_t i = 0; r && i + 1 < r->elements; i += 2)
		if (r->element[i]->type == REDIS_REPLY_STRING && slice_eq(reply_slice(r->element[i]), slice_str(name)))
			return r->element[i + 1]->type == type ? r->element[i + 1] : NULL;
	return NULL;
}

int64_t reply_int(const redisReply *r, const char *name)
{
	const redisReply *n = reply_find(r, name, REDIS_REPLY_INTEGER);

	return n ? n->integer : 0;
}

static void format_string(struct buf *out, struct slice s)
{
	buf_append_char(out, '"');
	escape(out, s, "\\\"");
	buf_append_str(out, "\"\n");
}

static void format_at(struct buf *out, const redisReply *r, unsigned indent);

/* Numbers are right-aligned and elements of inner arrays stand under the first one, as redis-cli has them. */
static void format_array(struct buf *out, const redisReply *r, unsigned indent)
{
	int digits = snprintf(NULL, 0, "%zu", r->elements);

	if (r->elements == 0)
		buf_append_str(out, "(empty array)\n");
	for (size_t i = 0; i < r->elements; i++) {
		if (i)
			buf_printf(out, "%*s", (int)indent, "");
		buf_printf(out, "%*zu) ", digits, i + 1);
		format_at(out, r->element[i], indent + (unsigned)digits + 2);
	}
}

static void format_at(struct buf *out, const redisReply *r, unsigned indent)
{
	switch (r->type) {
	case REDIS_REPLY_INTEGER:
		buf_printf(out, "(integer) %lld\n", r->integer);
		break;
	case REDIS_REPLY_NIL:
		buf_append_str(out, "(nil)\n");
		break;
	case REDIS_REPLY_ARRAY:
		format_array(out, r, indent);
		break;
	case REDIS_REPLY_ERROR:
		buf_append_str(out, "(error) ");
		__attribute__((fallthrough));
	case REDIS_REPLY_STATUS:
		escape(out, reply_slice(r), "");
		buf_append_char(out, '\n');
		break;
	default:
		format_string(out, reply_slice(r));
	}
}

void reply_format(struct buf *out, const redisReply *r)
{
	format_at(out, r, 0);
}

static json_t *string_json(struct slice s)
{
	struct buf text = { 0 };
	json_t *j;

	if (utf8_valid(s))
		return json_stringn(s.len ? s.ptr : "", s.len);
	base64_encode(&text, s);
	j = text.failed ? NULL : json_pack("{s:s%}", "base64", text.ptr, text.len);
	buf_free(&text);
	return j;
}

static json_t *array_json(const redisReply *r)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < r->elements; i++) {
		json_t *element = reply_json(r->element[i]);
		if (!element || json_array_append_new(array, element)) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

json_t *reply_json(const redisReply *r)
{
	switch (r->type) {
	case REDIS_REPLY_INTEGER:
		return json_integer(r->integer);
	case REDIS_REPLY_NIL:
		return json_null();
	case REDIS_REPLY_ARRAY:
		return array_json(r);
	case REDIS_REPLY_ERROR: {
		json_t *text = string_json(reply_slice(r));
		return text ? json_pack("{s:o}", "error", text) : NULL;
	}
	default:
		return string_json(reply_slice(r));
	}
}
