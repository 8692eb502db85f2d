/* SPDX-License-Identifier: MIT */
#include "kvctl/record.h"

#include <errno.h>
#include "kvctl/output.h"

json_t *record_to_json(struct slice key, struct slice value, int64_t ttl_ms)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	if (json_put_bytes(object, "key", key) || json_put_bytes(object, "value", value) ||
		(ttl_ms >= 0 && json_object_set_new(object, "ttl_ms", json_integer(ttl_ms)))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

__attribute__((format(printf, 2, 3))) static int refuse_record(struct buf *error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(error, format, ap);
	va_end(ap);
	return -EINVAL;
}

/* Exactly one of NAME and NAME_base64 must be there and be a string. */
static int take_bytes(const json_t *object, const char *name, struct buf *ret, struct buf *error)
{
	char other[64];
	const json_t *plain, *coded;

	snprintf(other, sizeof(other), "%s_base64", name);
	plain = json_object_get(object, name);
	coded = json_object_get(object, other);
	if (plain && coded)
		return refuse_record(error, "\"%s\" is given twice, plain and in base64", name);
	if (!plain && !coded)
		return refuse_record(error, "\"%s\" is missing", name);
	const json_t *text = plain ? plain : coded;
	if (!json_is_string(text))
		return refuse_record(error, "\"%s\" is not a string", plain ? name : other);
	struct slice bytes = slice(json_string_value(text), json_string_length(text));
	buf_reset(ret, SIZE_MAX);
	if (plain)
		buf_append_slice(ret, bytes);
	else if (base64_decode(ret, bytes) == -EINVAL)
		return refuse_record(error, "\"%s\" is not base64", other);
	return ret->failed ? -ENOMEM : 0;
}

static int take_ttl(const json_t *object, int64_t *ret, struct buf *error)
{
	const json_t *ttl = json_object_get(object, "ttl_ms");

	*ret = -1;
	if (!ttl || json_is_null(ttl))
		return 0;
	if (!json_is_integer(ttl) || json_integer_value(ttl) <= 0)
		return refuse_record(error, "\"ttl_ms\" is not a positive integer");
	*ret = json_integer_value(ttl);
	return 0;
}

/* A misspelt name must not lose an expiry without a word. */
static int check_names(json_t *object, struct buf *error)
{
	static const char *const known[] = { "key", "key_base64", "value", "value_base64", "ttl_ms" };
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		size_t i = 0;
		while (i < sizeof(known) / sizeof(known[0]) && strcmp(name, known[i]) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return refuse_record(error, "unknown member \"%s\"", name);
	}
	return 0;
}

int record_parse(struct slice line, struct record *ret, struct buf *error)
{
	json_error_t why;
	json_t *object =
		json_loadb(line.len ? line.ptr : "", line.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!object)
		return refuse_record(error, "not JSON: %s", why.text);
	r = json_is_object(object) ? check_names(object, error) : refuse_record(error, "not a JSON object");
	if (!r)
		r = take_bytes(object, "key", &ret->key, error);
	if (!r)
		r = take_bytes(object, "value", &ret->value, error);
	if (!r)
		r = take_ttl(object, &ret->ttl_ms, error);
	json_decref(object);
	return r;
}

void record_free(struct record *r)
{
	buf_free(&r->key);
	buf_free(&r->value);
}
