/* SPDX-License-Identifier: MIT
 *
 * Replies held until they are durable: order, release, refusal; and a random run against a plain model.
 */
#include "daemon/outq.h"

#include <time.h>
#include "tap.h"

#define ERROR_TEXT "-E\r\n"

static void put(struct outq *q, const char *text, uint64_t position, unsigned replies, uint64_t turn)
{
	size_t start = q->buf.len;

	buf_append_str(&q->buf, text);
	if (position && outq_hold(q, start, position, replies, turn))
		bail("no memory");
}

static void expect(const struct outq *q, const char *text, const char *name)
{
	struct slice s = outq_ready(q);

	is_mem(s.ptr, s.len, text, strlen(text), name);
}

static void test_order(void)
{
	struct outq q = { 0 };

	put(&q, "+a", 0, 1, 1);
	put(&q, "+b", 10, 1, 1);
	put(&q, "+c", 0, 1, 1);
	put(&q, "+d", 20, 1, 1);
	expect(&q, "+a", "what stands before a held reply may leave");
	ok(!outq_release(&q, 9), "an earlier position lets nothing go");
	ok(outq_release(&q, 10), "its position lets it go");
	expect(&q, "+a+b+c", "with what waited behind it, up to the next");
	outq_sent(&q, 3, 0);
	expect(&q, "b+c", "what was sent is gone");
	is_int((int64_t)outq_size(&q), 5, "size counts what has not left");
	ok(outq_held(&q) && outq_release(&q, 99) && !outq_held(&q), "a later position lets all go");
	expect(&q, "b+c+d", "in order");
	outq_sent(&q, 5, 0);
	ok(q.buf.cap == 0 && outq_size(&q) == 0, "an empty queue holds no memory");
	outq_free(&q);
}

static void test_merge(void)
{
	struct outq q = { 0 };

	put(&q, "+a", 10, 1, 1);
	put(&q, "+b", 20, 1, 1);
	is_int((int64_t)q.nholds, 1, "holds of one turn are one");
	put(&q, "+c", 30, 1, 2);
	is_int((int64_t)q.nholds, 2, "the next turn has its own");
	outq_release(&q, 10);
	expect(&q, "", "the highest position of a turn counts");
	outq_release(&q, 20);
	expect(&q, "+a+b", "then both go");
	outq_free(&q);
}

static void test_refuse(void)
{
	struct outq q = { 0 };

	put(&q, "+a", 0, 1, 1);
	put(&q, "+secret", 10, 1, 1);
	put(&q, "+two", 20, 1, 1);
	put(&q, "+c", 0, 1, 1);
	put(&q, "push", 30, 0, 1);
	outq_sent(&q, 1, 0);
	is_int(outq_refuse(&q, SLICE(ERROR_TEXT)), 0, "held replies are refused");
	expect(&q, "a" ERROR_TEXT ERROR_TEXT "+c", "one error for each, others as they were, a push is dropped");
	ok(!outq_held(&q), "nothing is held any more");
	outq_free(&q);
}

/* The model: one entry per reply, looked at afresh every time. */
struct entry {
	char text[8];
	uint64_t position;
};
static struct entry model[100000];
static size_t nmodel, model_sent; /* bytes */

static size_t model_ready(uint64_t releasable)
{
	size_t bytes = 0;

	for (size_t i = 0; i < nmodel && model[i].position <= releasable; i++)
		bytes += strlen(model[i].text);
	return bytes - model_sent;
}

static void test_random(void)
{
	uint64_t position = 0, released = 0, turn = 1;
	struct outq q = { 0 };
	bool good = true, order = true;
	size_t at = 0, within = 0;

	tap_random_begin(tap_seed());
	for (int i = 0; i < 20000 && good && order; i++) {
		uint64_t what = tap_random(10);
		if (what < 6 && nmodel < 2000) {
			struct entry *e = &model[nmodel++];
			snprintf(e->text, sizeof(e->text), "%u,", (unsigned)tap_random(100000));
			e->position = tap_random(3) ? ++position : 0;
			if (e->position && e->position <= released)
				bail("positions grow");
			put(&q, e->text, e->position, 1, turn);
		} else if (what < 8) {
			/* Turns end before positions are released: holds merged within a turn go together. */
			turn++;
			released = position - (position ? tap_random(position - released + 1) : 0);
			outq_release(&q, released);
		} else {
			struct slice s = outq_ready(&q);
			size_t n = s.len ? tap_random(s.len) + 1 : 0;
			good = s.len <= model_ready(released);
			for (size_t k = 0; k < n && order; k++) {
				order = s.ptr[k] == model[at].text[within];
				if (model[at].text[++within] == '\0') {
					at++;
					within = 0;
				}
			}
			model_sent += n;
			outq_sent(&q, n, 0);
		}
		if (at == nmodel && within == 0)
			at = nmodel = model_sent = 0;
	}
	ok(good, "nothing may leave before its position");
	ok(order, "bytes leave in order and unchanged");
	outq_release(&q, position);
	is_int((int64_t)outq_ready(&q).len, (int64_t)model_ready(position), "in the end all may leave");
	outq_free(&q);
}

static void test_compact(void)
{
	struct outq q = { 0 };
	char *big = calloc(1, (size_t)3 << 20);

	if (!big)
		bail("no memory");
	buf_append(&q.buf, big, (size_t)3 << 20);
	put(&q, "+held", 10, 1, 1);
	outq_sent(&q, (size_t)2 << 20, 0);
	is_int((int64_t)q.sent, 0, "a long sent part is given up");
	is_int((int64_t)outq_ready(&q).len, 1 << 20, "the rest is ready");
	outq_sent(&q, (size_t)1 << 20, 0);
	outq_release(&q, 10);
	expect(&q, "+held", "marks moved along");
	outq_free(&q);
	free(big);
}

int main(void)
{
	test_order();
	test_merge();
	test_refuse();
	test_random();
	test_compact();
	return done();
}
