/* SPDX-License-Identifier: MIT
 *
 * The inner door of the room: what handlers share. A handler gets a struct call, reads and writes through
 * call->txn in database call->client->db, appends one reply to call->out, and returns 0; an error reply is a
 * reply too (call_error). Any other return is what the store answered, passed up unchanged: the dispatcher
 * drops the half reply and answers for it (or parks the request, for STORE_PENDING). A handler checks
 * everything before its first write, because inside EXEC nothing undoes the writes of a command that then
 * answers with an error.
 */
#ifndef CMD_ROOM_H
#define CMD_ROOM_H

#include "cmd/env.h"

/* Bytes of one reply. Who asks for the same large value a thousand times over must not take the memory of all. */
enum { MAX_REPLY = 1 << 30 };

struct call {
	struct cmd_env *env;
	struct cmd_client *client;
	struct command *command;
	const struct slice *argv;
	size_t argc;
	struct block *const *block; /* arguments that are whole blocks */
	size_t blocks;
	struct txn *txn; /* NULL unless command->store */
	struct resp_writer out;
	uint64_t hits, misses;
	bool failed; /* an error was replied */
	bool in_exec;
	bool rehearsed; /* run to find out what it waits for: nothing of it is told or counted */
	bool end_multi; /* the transaction state is to be dropped once the commit is over */
	bool silent;    /* no reply, by intention */
	bool unmuted;   /* goes out even after CLIENT REPLY OFF */
	bool close;
	bool wait;
	int64_t wait_ms;
	uint64_t wait_position;
};

/* call.c, and call_run of dispatch.c */
int call_error(struct call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* returns 0 */
int call_syntax(struct call *call);            /* ERR syntax error */
int call_sub_syntax(struct call *call);        /* the same of a subcommand, with a hint at its help */
int call_run(struct call *call); /* checks keys, runs the handler, counts; returns what the handler did */
void call_condition(struct call *call, int r); /* the error reply for what the store answered */
int call_prepare(struct call *call,
	unsigned db); /* names all keys of the request; STORE_PENDING when one must be fetched */
/* The request's own reads, counting hits and misses: as txn_get, txn_peek, txn_length, txn_get_part. */
int call_get(struct call *call, struct slice key, struct txn_value *ret);
int call_length(struct call *call, struct slice key, size_t *ret);
int call_part(struct call *call, struct slice key, size_t from, size_t n, struct txn_value *ret);
/* Appends a value that was read, or a part of it. */
void call_value(struct call *call, const struct txn_value *v, struct slice part);
/* Appends a name and a number. */
void call_field(struct call *call, const char *name, uint64_t value);
int call_peek(struct call *call, struct slice key, int64_t *ret_expire_ms);
/*
 * Ends the handler without a reply: the client waits, and reply() appends it when over() has come true, or with reached false when the daemon
 * stops before. Both may use client->wait_for and wait_seen. Not inside EXEC: give the row the flag no_multi.
 */
void call_wait(struct call *call, bool (*over)(struct cmd_client *c), void (*reply)(struct call *call, bool reached));
/* The block that an argument is; NULL: it is none. */
struct block *call_block(const struct call *call, struct slice argument);
/* As txn_put and txn_delete in the client's database, with the keyspace events; `what` is that of the command. */
int call_put(struct call *call, struct slice key, struct slice value, int64_t expire_ms, const char *what);
int call_put_value(struct call *call, struct slice key, const struct txn_value *v, const char *what);
int call_delete(struct call *call, struct slice key);
/* Integers as Redis asks for them; false: an error was replied. */
bool call_int(struct call *call, struct slice s, int64_t *ret);
/* The number of a database, in two steps: one that is a number (bad: text for what is none, NULL: the usual one), one there is. */
bool call_db_number(struct call *call, struct slice s, const char *bad, int *ret);
bool call_db_exists(struct call *call, int db);
bool call_db(struct call *call, struct slice s, unsigned *ret); /* both */
/* Key positions of a request: first, step, and one past the last; 0 first: none. */
size_t call_keys(const struct command *command, size_t argc, size_t *ret_first, size_t *ret_step);

/* table.c */
int table_init(struct cmd_env *e);
void table_free(struct cmd_env *e);
struct command *table_find(const struct cmd_env *e, struct slice name); /* also "client|list" */
struct command *table_find_sub(const struct cmd_env *e, const struct command *container, struct slice sub);
bool table_has_word(const char *words, const char *word); /* blank-separated */

/* command.c: blank-separated words as a set of status lines. */
void command_words(struct resp_writer *w, const char *words);

/* key_specs.c: what a command does with its keys, the kinds of them there are. */
void key_specs_reply(struct resp_writer *w, const struct command *k);
size_t key_specs_count(const struct command *k);

/* expire.c: reads "EX 10" and its kin at argv[i]; unit 's' or 'm', absolute: from the wall clock. False:
 * replied. */
bool expire_parse(struct call *call, struct slice s, char unit, bool absolute, int64_t *ret_expire_ms);

static inline bool pubsub_is_subscribed(const struct cmd_client *c)
{
	return c->nlistens[TOPIC_CHANNEL] || c->nlistens[TOPIC_PATTERN];
}

/* event.c: tells those who listen that `what` happened to a key. Costs next to nothing when nobody wants to know. */
void event_say(struct cmd_env *e, const char *what, unsigned db, struct slice key);
static inline void call_event_in(struct call *call, enum event_kind kind, const char *what, unsigned db, struct slice key)
{
	if (call->env->events & kind)
		event_say(call->env, what, db, key);
}
static inline void call_event(struct call *call, enum event_kind kind, const char *what, struct slice key)
{
	call_event_in(call, kind, what, call->client->db, key);
}

/* slowlog.c */
void slowlog_add(struct call *call, uint64_t us);

/* monitor.c: tells those who watch of a command that was run. */
void monitor_tell(const struct call *call);
void monitor_leave(struct cmd_client *c);
bool call_is_secret(const struct call *call, size_t i); /* a word that no log may show */

/* pause.c: whether the request has to wait until the pause is over. */
bool pause_applies(const struct call *call);

/* hold.c: a request has to wait; it is done, or its client goes; whether one has to wait until another is done. */
void hold_wait(struct call *call);
void hold_end(struct cmd_client *c);
bool hold_applies(const struct call *call);

/* debug.c: false: an error was replied. */
bool debug_is_allowed(struct call *call);

/* glob.c */
bool glob_match(struct slice pattern, struct slice s, bool any_case);
size_t glob_literal(struct slice pattern); /* bytes at its start that match only themselves */

/* multi.c */
int multi_queue(struct call *call);
void multi_reset(struct cmd_client *c); /* drops queue, watched keys and all marks */

/* watch.c */
void watch_look(struct cmd_env *e, struct txn *t);  /* before the commit: finds the clients it concerns */
void watch_mark(struct cmd_env *e, bool committed); /* after it */
bool watch_expired(struct cmd_client *c, struct txn *t); /* a watched key that was there has gone */
void watch_clear(struct cmd_client *c);

/* config.c: the text of an option, appended; false: there is none of this name. */
bool config_find(const struct cmd_env *e, struct slice asked, struct buf *ret_value);

/* scan.c */
struct cursors *cursors_free(struct cursors *cs);
size_t cursors_count(const struct cursors *cs);
void cursors_leave(struct cmd_client *client); /* they count for nobody any more */
struct slice scan_after_prefix(
	struct txn *t, struct slice prefix); /* first key beyond all with the prefix; empty: none */

/* client.c */
bool client_set_text(char **text, struct slice s); /* false: no memory */
bool client_check_name(struct call *call, struct slice name); /* false: an error was replied */

/* session.c */
void session_reset_state(struct cmd_client *c);

/* the handlers */
#define ROW(name, arity, flags, how, first, last, step, group, since, handler, syntax, summary)              \
	call_handler handler;
#include "cmd/commands.def"
#undef ROW

#endif
