/* SPDX-License-Identifier: MIT */
#include "kvctl/numbers.h"

#include "kvctl/output.h"

enum kvctl_exit numbers_fetch(struct kvctl *k, struct numbers *ret)
{
	struct slice argv[1] = { SLICE("KVD.STATS") };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 1, &r);

	if (code)
		return code;
	if (r->type != REDIS_REPLY_ARRAY) {
		code = connect_unexpected(k, r);
		freeReplyObject(r);
		return code;
	}
	ret->reply = r;
	return KVCTL_DONE;
}

void numbers_free(struct numbers *n)
{
	freeReplyObject(n->reply);
	n->reply = NULL;
}

bool numbers_find(const struct numbers *n, const char *name, int64_t *ret)
{
	const redisReply *r = reply_find(n->reply, name, REDIS_REPLY_INTEGER);

	if (r)
		*ret = r->integer;
	return r;
}

int64_t numbers_get(const struct numbers *n, const char *name)
{
	return reply_int(n->reply, name);
}

enum kvctl_exit info_fetch(struct kvctl *k, const char *section, redisReply **ret)
{
	struct slice argv[2] = { SLICE("INFO"), slice_str(section) };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 2, &r);

	if (code)
		return code;
	if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS) {
		code = connect_unexpected(k, r);
		freeReplyObject(r);
		return code;
	}
	*ret = r;
	return KVCTL_DONE;
}

bool info_next_line(struct slice *text, struct slice *ret)
{
	const char *end;

	if (text->len == 0)
		return false;
	end = memchr(text->ptr, '\n', text->len);
	*ret = slice(text->ptr, end ? (size_t)(end - text->ptr) : text->len);
	*text = slice_skip(*text, ret->len + (end ? 1 : 0));
	if (ret->len && ret->ptr[ret->len - 1] == '\r')
		ret->len--;
	return true;
}

bool info_find(struct slice text, const char *name, struct slice *ret)
{
	struct slice line;
	size_t len = strlen(name);

	while (info_next_line(&text, &line))
		if (line.len > len && line.ptr[len] == ':' && memcmp(line.ptr, name, len) == 0) {
			*ret = slice_skip(line, len + 1);
			return true;
		}
	return false;
}
