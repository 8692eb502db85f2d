/* SPDX-License-Identifier: MIT */
#include "kvctl/record.h"

#include <errno.h>
#include <inttypes.h>
#include "base/num.h"
#include "kvctl/output.h"

static void append_escape(struct buf *out, unsigned char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *found = c ? strchr(plain, c) : NULL;

	if (found)
		buf_append(out, (char[]){ '\\', letters[found - plain] }, 2);
	else
		buf_printf(out, "\\u%04x", c);
}

static void append_string(struct buf *out, struct slice s)
{
	size_t start = 0;

	buf_append_char(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_append(out, s.ptr + start, i - start);
		append_escape(out, c);
		start = i + 1;
	}
	buf_append(out, s.ptr + start, s.len - start);
	buf_append_char(out, '"');
}

static void append_member(struct buf *out, const char *name, struct slice bytes)
{
	bool text = utf8_valid(bytes);

	buf_append_char(out, '"');
	buf_append_str(out, name);
	buf_append_str(out, text ? "\":" : "_base64\":\"");
	if (text) {
		append_string(out, bytes);
	} else {
		base64_encode(out, bytes);
		buf_append_char(out, '"');
	}
}

/* By hand: a million lines are written in half the time a library of JSON values takes. */
void record_append(struct buf *out, struct slice key, struct slice value, int64_t ttl_ms)
{
	buf_append_char(out, '{');
	append_member(out, "key", key);
	buf_append_char(out, ',');
	append_member(out, "value", value);
	if (ttl_ms >= 0)
		buf_printf(out, ",\"ttl_ms\":%" PRId64, ttl_ms);
	buf_append_str(out, "}\n");
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

/* ---- lines as record_append writes them for text without escapes, which most are ---- */

static bool skip_literal(struct slice *s, const char *text)
{
	if (!slice_has_prefix(*s, slice_str(text)))
		return false;
	*s = slice_skip(*s, strlen(text));
	return true;
}

/* Up to the closing quote. */
static bool take_plain_string(struct slice *s, struct slice *ret)
{
	const char *end = s->len ? memchr(s->ptr, '"', s->len) : NULL;

	if (!end)
		return false;
	*ret = slice(s->ptr, (size_t)(end - s->ptr));
	for (size_t i = 0; i < ret->len; i++)
		if (ret->ptr[i] == '\\' || (unsigned char)ret->ptr[i] < 0x20)
			return false;
	*s = slice_skip(*s, ret->len + 1);
	return utf8_valid(*ret);
}

static bool take_plain_ttl(struct slice *s, int64_t *ret)
{
	size_t n = 0;

	*ret = -1;
	if (!skip_literal(s, ",\"ttl_ms\":"))
		return true;
	while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9')
		n++;
	if (num_parse_i64(slice(s->ptr, n), ret) || *ret <= 0)
		return false;
	*s = slice_skip(*s, n);
	return true;
}

/* False, and nothing is lost: the line is not as plain as that. */
static bool parse_plain(struct slice line, struct record *ret)
{
	struct slice key, value;
	int64_t ttl;

	if (!skip_literal(&line, "{\"key\":\"") || !take_plain_string(&line, &key) ||
		!skip_literal(&line, ",\"value\":\"") || !take_plain_string(&line, &value) ||
		!take_plain_ttl(&line, &ttl) || !slice_eq(line, SLICE("}\n")))
		return false;
	buf_reset(&ret->key, SIZE_MAX);
	buf_append_slice(&ret->key, key);
	buf_reset(&ret->value, SIZE_MAX);
	buf_append_slice(&ret->value, value);
	ret->ttl_ms = ttl;
	return !ret->key.failed && !ret->value.failed;
}

int record_parse(struct slice line, struct record *ret, struct buf *error)
{
	json_error_t why;
	json_t *object;
	int r;

	if (parse_plain(line, ret))
		return 0;
	object =
		json_loadb(line.len ? line.ptr : "", line.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
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
