/* SPDX-License-Identifier: MIT */
#include "kvctl/list.h"

#include <inttypes.h>
#include "base/num.h"
#include "kvctl/output.h"

#define PAGE_FIRST 16
#define PAGE_MOST 1000
#define PAGE_BYTES (1 << 20) /* a page's size that is aimed at */

void range_prefix_end(struct buf *prefix)
{
	while (prefix->len && (unsigned char)prefix->ptr[prefix->len - 1] == 0xff)
		prefix->len--;
	if (prefix->len)
		prefix->ptr[prefix->len - 1]++;
}

static void narrow(struct range *r, struct slice prefix)
{
	struct buf end = { 0 };

	if (slice_cmp(prefix, buf_slice(&r->from)) > 0) {
		buf_reset(&r->from, SIZE_MAX);
		buf_append_slice(&r->from, prefix);
	}
	buf_append_slice(&end, prefix);
	range_prefix_end(&end);
	if (end.len && (r->to.len == 0 || slice_cmp(buf_slice(&end), buf_slice(&r->to)) < 0)) {
		buf_reset(&r->to, SIZE_MAX);
		buf_append_slice(&r->to, buf_slice(&end));
	}
	r->to.failed |= end.failed;
	buf_free(&end);
}

static enum kvctl_exit take_prefix(struct kvctl *k, const struct args *a, bool no_argument, struct range *r)
{
	struct slice prefix = { 0 };
	bool given = args_option(a, "prefix", &prefix);

	if (!no_argument && a->n) {
		if (given)
			return refuse(k, KVCTL_USAGE, "PREFIX and --prefix exclude each other");
		prefix = a->arg[0];
	}
	narrow(r, prefix);
	return KVCTL_DONE;
}

enum kvctl_exit range_init(struct kvctl *k, const struct args *a, bool no_argument, struct range *ret)
{
	struct slice text;
	enum kvctl_exit code;

	*ret = (struct range){
		.left = UINT64_MAX, .page = PAGE_FIRST, .reverse = args_option(a, "reverse", NULL)
	};
	if (args_option(a, "limit", &text) && num_parse_u64(text, &ret->left))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no number", (int)text.len, text.ptr);
	if (args_option(a, "from", &text))
		buf_append_slice(&ret->from, text);
	if (args_option(a, "to", &text)) {
		/* On the wire an empty end is no end, but no key is before the empty one. */
		ret->end = text.len == 0;
		buf_append_slice(&ret->to, text);
	}
	code = take_prefix(k, a, no_argument, ret);
	if (ret->to.len && slice_cmp(buf_slice(&ret->from), buf_slice(&ret->to)) >= 0)
		ret->end = true;
	return code;
}

void range_free(struct range *r)
{
	buf_free(&r->from);
	buf_free(&r->to);
}

/* What is left begins behind the last key seen, or ends before it. */
static void move_on(struct range *r, struct slice last)
{
	struct buf *bound = r->reverse ? &r->to : &r->from;

	buf_reset(bound, SIZE_MAX);
	buf_append_slice(bound, last);
	if (!r->reverse)
		buf_append_char(bound, 0);
	else if (last.len == 0)
		r->end = true; /* nothing sorts before the empty key */
}

uint64_t range_next_page(uint64_t asked, uint64_t got, uint64_t bytes)
{
	uint64_t fitting = got * PAGE_BYTES / (bytes ? bytes : 1), most = 2 * asked;
	uint64_t next = fitting < most ? fitting : most;

	return next < 1 ? 1 : next > PAGE_MOST ? PAGE_MOST : next;
}

static void take_page(struct range *r, const redisReply *page, uint64_t asked)
{
	size_t step = r->values ? 2 : 1, n = page->elements / step, bytes = 1;

	for (size_t i = 0; i < page->elements; i++)
		bytes += (size_t)page->element[i]->len;
	r->left -= n < r->left ? n : r->left;
	r->end |= n < asked || r->left == 0;
	if (n)
		move_on(r, reply_slice(page->element[(n - 1) * step]));
	r->page = range_next_page(r->page, n, bytes);
}

static bool is_page(const redisReply *r, bool values)
{
	if (r->type != REDIS_REPLY_ARRAY || (values && r->elements % 2))
		return false;
	for (size_t i = 0; i < r->elements; i++)
		if (r->element[i]->type != REDIS_REPLY_STRING)
			return false;
	return true;
}

bool range_take(struct range *r, const redisReply *page, uint64_t asked)
{
	if (!is_page(page, r->values))
		return false;
	take_page(r, page, asked);
	return true;
}

size_t range_request(const struct range *r, uint64_t asked, char *digits, struct slice *argv)
{
	size_t n = 3;

	argv[0] = SLICE("KVD.RANGE");
	argv[1] = buf_slice(&r->from);
	argv[2] = buf_slice(&r->to);
	if (r->reverse)
		argv[n++] = SLICE("REV");
	argv[n++] = SLICE("LIMIT");
	argv[n++] = slice(digits, num_format_u64(digits, asked));
	if (r->values)
		argv[n++] = SLICE("WITHVALUES");
	return n;
}

/* Sends the request for a page and takes the reply, which may be an error. */
static enum kvctl_exit ask_page(struct kvctl *k, struct range *r, uint64_t asked, redisReply **ret)
{
	char digits[NUM_I64_CHARS];
	struct slice argv[RANGE_WORDS];
	size_t n = range_request(r, asked, digits, argv);
	enum kvctl_exit code = connect_send(k, argv, n);

	return code ? code : connect_reply(k, ret);
}

enum kvctl_exit range_page(struct kvctl *k, struct range *r, redisReply **ret)
{
	uint64_t asked = r->page < r->left ? r->page : r->left;
	redisReply *reply;

	if (r->from.failed || r->to.failed)
		return refuse(k, KVCTL_REFUSED, "out of memory");
	if (r->end || asked == 0) {
		*ret = NULL;
		return KVCTL_DONE;
	}
	enum kvctl_exit code = ask_page(k, r, asked, &reply);
	/* Large values make a page too large for one reply, and one damaged value spoils the page: get near
	 * it one by one. */
	if (!code && reply->type == REDIS_REPLY_ERROR && r->values && asked > 1) {
		freeReplyObject(reply);
		r->page = asked = 1;
		code = ask_page(k, r, asked, &reply);
	}
	if (code)
		return code;
	if (!range_take(r, reply, asked)) {
		code = connect_unexpected(k, reply);
		freeReplyObject(reply);
		return code;
	}
	*ret = reply;
	return KVCTL_DONE;
}

static void print_entry(struct kvctl *k, const redisReply *key, const redisReply *value, char terminator)
{
	if (k->json) {
		json_t *object = json_object();
		if (object && (json_put_bytes(object, "key", reply_slice(key)) ||
				      (value && json_put_bytes(object, "value", reply_slice(value))))) {
			json_decref(object);
			object = NULL;
		}
		output_json(k, object);
		return;
	}
	output_text(k, reply_slice(key));
	if (value) {
		output_bytes(k, slice(terminator ? "\t" : &terminator, 1));
		output_text(k, reply_slice(value));
	}
	output_bytes(k, slice(&terminator, 1));
}

int verb_list(struct kvctl *k, const struct args *a)
{
	char terminator = args_option(a, "null", NULL) ? 0 : '\n';
	struct range r;
	redisReply *page = NULL;
	enum kvctl_exit code = range_init(k, a, false, &r);

	r.values = args_option(a, "values", NULL);
	while (!code && !k->output_error && !(code = range_page(k, &r, &page)) && page) {
		for (size_t i = 0; i < page->elements; i += r.values ? 2 : 1)
			print_entry(k, page->element[i], r.values ? page->element[i + 1] : NULL, terminator);
		freeReplyObject(page);
		output_flush(k);
	}
	range_free(&r);
	return code;
}

static enum kvctl_exit count_all(struct kvctl *k, int64_t *ret)
{
	struct slice argv[1] = { SLICE("DBSIZE") };

	return connect_ask_int(k, argv, 1, ret);
}

int verb_count(struct kvctl *k, const struct args *a)
{
	int64_t n = 0;
	struct range r;
	redisReply *page;
	enum kvctl_exit code = range_init(k, a, false, &r);

	if (!code && !r.end && r.from.len == 0 && r.to.len == 0)
		code = count_all(k, &n);
	else
		while (!code && !(code = range_page(k, &r, &page)) && page) {
			n += (int64_t)page->elements;
			freeReplyObject(page);
		}
	range_free(&r);
	if (!code)
		output_printf(k, "%" PRId64 "\n", n);
	return code;
}
