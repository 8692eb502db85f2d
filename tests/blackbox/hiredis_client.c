/* SPDX-License-Identifier: MIT
 *
 * A client as a C program would write one with hiredis; run by clients.t with the path of a socket. It prints TAP.
 */
#include <hiredis/hiredis.h>
#include "tap.h"

static redisReply *ask(redisContext *c, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	redisReply *r = redisvCommand(c, format, ap);
	va_end(ap);
	if (r == NULL)
		bail("connection lost: %s", c->errstr);
	return r;
}

static void test_values(redisContext *c)
{
	const char value[] = "a\0b\r\nc";
	redisReply *r = ask(c, "SET %s %b", "hiredis:k", value, sizeof(value));
	ok(r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0, "SET answers a status");
	freeReplyObject(r);
	r = ask(c, "GET hiredis:k");
	is_mem(r->str, r->len, value, sizeof(value), "GET returns the bytes");
	freeReplyObject(r);
	r = ask(c, "GET hiredis:none");
	is_int(r->type, REDIS_REPLY_NIL, "an absent key is nil");
	freeReplyObject(r);
	r = ask(c, "INCRBY hiredis:n 41");
	ok(r->type == REDIS_REPLY_INTEGER && r->integer == 41, "INCRBY answers an integer");
	freeReplyObject(r);
	r = ask(c, "MGET hiredis:k hiredis:none hiredis:n");
	ok(r->type == REDIS_REPLY_ARRAY && r->elements == 3 && r->element[1]->type == REDIS_REPLY_NIL, "MGET answers an array");
	freeReplyObject(r);
	r = ask(c, "NOSUCH");
	ok(r->type == REDIS_REPLY_ERROR && strncmp(r->str, "ERR unknown command", 19) == 0, "errors are errors");
	freeReplyObject(r);
}

static void test_pipeline(redisContext *c)
{
	enum { N = 1000 };
	int good = 0;
	for (int i = 0; i < N; i++)
		redisAppendCommand(c, "SET hiredis:p%d %d", i, i);
	for (int i = 0; i < N; i++)
		redisAppendCommand(c, "GET hiredis:p%d", i);
	for (int i = 0; i < 2 * N; i++) {
		redisReply *r;
		if (redisGetReply(c, (void **)&r) != REDIS_OK)
			bail("connection lost: %s", c->errstr);
		good += i < N ? r->type == REDIS_REPLY_STATUS : r->type == REDIS_REPLY_STRING && atoi(r->str) == i - N;
		freeReplyObject(r);
	}
	is_int(good, 2 * N, "a pipeline of 2000 requests");
}

static void test_transaction(redisContext *c)
{
	freeReplyObject(ask(c, "MULTI"));
	freeReplyObject(ask(c, "SET hiredis:t 1"));
	freeReplyObject(ask(c, "INCR hiredis:t"));
	redisReply *r = ask(c, "EXEC");
	ok(r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->integer == 2, "MULTI and EXEC");
	freeReplyObject(r);
}

/* c listens, another connection speaks. */
static void test_messages(redisContext *c, const char *path)
{
	redisContext *other = redisConnectUnix(path);
	redisReply *r = ask(c, "SUBSCRIBE hiredis:news");
	ok(r->elements == 3 && strcmp(r->element[0]->str, "subscribe") == 0, "SUBSCRIBE is confirmed");
	freeReplyObject(r);
	r = ask(other, "PUBLISH hiredis:news hello");
	is_int(r->integer, 1, "PUBLISH reaches it");
	freeReplyObject(r);
	if (redisGetReply(c, (void **)&r) != REDIS_OK)
		bail("connection lost: %s", c->errstr);
	ok(r->elements == 3 && strcmp(r->element[2]->str, "hello") == 0, "and the message comes");
	freeReplyObject(r);
	r = ask(c, "UNSUBSCRIBE");
	is_int(r->element[2]->integer, 0, "UNSUBSCRIBE");
	freeReplyObject(r);
	redisFree(other);
}

#ifdef REDIS_REPLY_MAP
static void test_resp3(redisContext *c)
{
	redisReply *r = ask(c, "HELLO 3");
	is_int(r->type, REDIS_REPLY_MAP, "HELLO 3 answers a map");
	freeReplyObject(r);
	r = ask(c, "GET hiredis:none");
	is_int(r->type, REDIS_REPLY_NIL, "RESP3 nil");
	freeReplyObject(r);
	r = ask(c, "INFO server");
	is_int(r->type, REDIS_REPLY_VERB, "INFO is verbatim text");
	freeReplyObject(r);
}
#else
static void test_resp3(redisContext *c)
{
	(void)c;
	skip("RESP3", "this hiredis is older");
}
#endif

int main(int argc, char **argv)
{
	redisContext *c = redisConnectUnix(argc > 1 ? argv[1] : "kvd.sock");
	if (c == NULL || c->err)
		bail("cannot connect: %s", c ? c->errstr : "no memory");
	test_values(c);
	test_pipeline(c);
	test_transaction(c);
	test_messages(c, argc > 1 ? argv[1] : "kvd.sock");
	test_resp3(c);
	redisFree(c);
	return done();
}
