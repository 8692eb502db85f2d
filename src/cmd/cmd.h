/* SPDX-License-Identifier: MIT
 *
 * The verbs: one descriptor and one handler each, dispatched through a table made from commands.def. A handler is an
 * ordinary synchronous function that reads and states writes in a transaction and appends its reply. It knows
 * neither sockets nor threads; what it needs of the daemon it asks of struct cmd_host.
 *
 * One thread, the owner of the store.
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "proto/resp.h"
#include "store/store.h"

#define CMD_REDIS_VERSION "7.2.4" /* whose behaviour is matched; HELLO and INFO say so (kvd-protocol(7)) */

struct cmd_client;
struct cmd_env;

/* What a client's connection looks like from outside; filled by the daemon for CLIENT LIST and INFO. */
struct cmd_client_facts {
	int fd;
	char addr[128]; /* "path:0" */
	uid_t uid;
	pid_t pid;
	uint64_t age_s, idle_s;
	size_t query_bytes, query_free, output_bytes; /* buffers */
	uint64_t total_in, total_out;
};

/* The daemon's numbers that INFO and KVD.STATS show. */
struct cmd_host_stats {
	const char *executable, *config_file; /* absolute paths, "": none; valid until the request is done */
	uint64_t start_wall_ms, uptime_s;
	uint64_t connections_received, connections_rejected, connected_clients, blocked_clients, max_clients;
	uint64_t net_input_bytes, net_output_bytes;
	uint64_t recent_max_input, recent_max_output; /* largest buffers now */
	uint64_t output_bytes;                        /* all clients' unsent replies */
};

/*
 * What commands ask of the daemon. All calls are made on the owner's thread, inside cmd_run. `arg` is passed back as first argument.
 */
struct cmd_host {
	void *arg;
	void (*stats)(void *arg, struct cmd_host_stats *ret);
	/* Ends the daemon cleanly once the current turn is over. */
	void (*shutdown)(void *arg);
	/* Calls each() for every connected client in order of id; stops when it returns false. */
	void (*each_client)(void *arg, bool (*each)(void *each_arg, struct cmd_client *c), void *each_arg);
	void (*client_facts)(void *arg, struct cmd_client *c, struct cmd_client_facts *ret);
	/* Closes that client's connection (after its pending replies when it is the caller itself). */
	void (*kill_client)(void *arg, struct cmd_client *c);
	/* Option number i as name and text of its value; false past the last one. */
	bool (*config_get)(void *arg, size_t i, const char **ret_name, struct buf *ret_value);
	/* Sets several options, all or nothing. 0, or a negative errno (-EPERM: not at run time), *ret_bad being the one at fault, with the reason in error. */
	int (*config_set)(void *arg, const struct slice *name, const struct slice *value, size_t n, size_t *ret_bad, struct buf *error);
	/* True when the password is right; also true when none is set. *ret_required: one is set. */
	bool (*auth)(void *arg, struct slice user, struct slice password, bool *ret_required);
	/* Requests answer CMD_PAUSED from now on, for at most so many milliseconds; 0: those that have are to be run again. */
	void (*pause)(void *arg, int64_t ms);
	/* Closes the store and opens it again before the current turn ends; cmd_store_reopened() says when that is over. */
	void (*reopen)(void *arg);
	/*
	 * Sends out-of-band bytes (a push, whole or one of its parts in order) to a client, be it the caller: they go behind its own
	 * reply. They must not be seen before result.position of the request that runs.
	 */
	void (*push)(void *arg, struct cmd_client *to, struct slice bytes);
};

/* One environment per daemon: the store, the host, the counters, watched keys and scan cursors. */
struct cmd_env *cmd_env_new(struct store *s, const struct cmd_host *host); /* NULL: no memory */
struct cmd_env *cmd_env_free(struct cmd_env *e);

/* ---- clients ---- */

/* Protocol state of one connection: database, protocol version, names, MULTI queue, watched keys. `token` is the daemon's own. */
struct cmd_client *cmd_client_new(struct cmd_env *e, uint64_t id, void *token); /* NULL: no memory */
struct cmd_client *cmd_client_free(struct cmd_client *c);
void *cmd_client_token(const struct cmd_client *c);
uint64_t cmd_client_id(const struct cmd_client *c);
int cmd_client_proto(const struct cmd_client *c);          /* 2 or 3 */
/* It gets messages it has not asked for one by one: from channels, or because it watches all commands. */
bool cmd_client_listens(const struct cmd_client *c);
const char *cmd_client_last(const struct cmd_client *c);   /* name of its last command, "NULL" before the first */

/* ---- running ---- */

enum cmd_status {
	CMD_DONE,    /* the reply is appended */
	CMD_CLOSE,   /* the reply is appended; close once it is sent */
	CMD_PENDING, /* nothing was appended or changed; run the same request again after the store's `fetched` call for this client's token */
	CMD_PAUSED,  /* nothing was done; run the same request again when the host has been told that the pause is over */
	CMD_WAIT,    /* nothing was appended; take no further request of this client, and call cmd_wait_done when
	              * store_durable() reaches result.position, cmd_wait_over() says so or wait_ms have passed */
};

struct cmd_result {
	uint64_t position; /* CMD_DONE, CMD_CLOSE: the reply must not leave before store_releasable() reaches it (0: at once) */
	int64_t wait_ms;   /* CMD_WAIT: the longest wait, 0: for ever */
	unsigned replies;  /* whole replies appended, usually 1; 0 after CLIENT REPLY OFF */
};

/* The values of a request that need no copy: see base/block.h. */
struct cmd_large {
	struct block *const *in; /* arguments that are whole blocks; borrowed until return */
	size_t count;
	struct resp_lents *out;  /* takes large values of the reply */
};

/* Requests are about to be run after something else: what took long until now was not one of them. */
void cmd_wake(struct cmd_env *e);

/*
 * Runs one request (argc >= 1). The reply goes to out in the client's protocol version. argv is borrowed until return. `large` may be
 * NULL: then all is copied.
 */
enum cmd_status cmd_run(struct cmd_client *c, const struct slice *argv, size_t argc, const struct cmd_large *large, struct buf *out,
	struct cmd_result *ret);

/* Whether what a request that answered CMD_WAIT waits for, beside a position, has come. Cheap; asked after each store_poll. */
bool cmd_wait_over(struct cmd_client *c);

/* Appends the reply of a request that answered CMD_WAIT. */
void cmd_wait_done(struct cmd_client *c, bool reached, struct buf *out);

/* Lists the keys of a request for store_prefetch; at most max; returns how many. Cheap, wrong requests give 0. */
size_t cmd_probe(struct cmd_client *c, const struct slice *argv, size_t argc, struct store_probe *ret, size_t max);

/* Which keyspace events are told, as notify-keyspace-events has it; letters of events that never happen are let pass. */
void cmd_set_events(struct cmd_env *e, const char *letters);
/* The same letters as CONFIG GET shows them: each once, in the order of Redis, A for all that it stands for. */
void cmd_print_events(const char *letters, struct buf *out);
/* What the slow log keeps: requests that take so many microseconds (negative: none), and how many of them. */
void cmd_set_slowlog(struct cmd_env *e, int64_t slower_than_us, size_t max_len);
/* From how many milliseconds on something is noted by the latency monitor; 0: never. */
void cmd_set_latency(struct cmd_env *e, uint64_t threshold_ms);
/* CLIENT PAUSE is in force. Ends it. */
bool cmd_is_paused(struct cmd_env *e);
void cmd_unpause(struct cmd_env *e);
/* Whether DEBUG is more than an error. */
void cmd_set_debug(struct cmd_env *e, bool allowed);
/* Expired keys may be removed now: nobody has asked for a pause or turned it off. */
bool cmd_may_expire(struct cmd_env *e);
/* The store has removed a key whose time had come: tells who listens, through the host's push. */
void cmd_expired(struct cmd_env *e, unsigned db, struct slice key);

/*
 * The store is closed and opened again: cmd_leave_store while the old one is there and all of it durable (no request may run from then on, and
 * those that were parked are to be run again), cmd_join_store with the new one, and cmd_store_reopened in any case: "" or why nothing was done.
 */
void cmd_leave_store(struct cmd_env *e);
void cmd_join_store(struct cmd_env *e, struct store *s);
void cmd_store_reopened(struct cmd_env *e, const char *problem);
/* What this client waits for (CMD_WAIT) is work of the store that ends when it is closed. */
bool cmd_waits_for_store(const struct cmd_client *c);

/* Once a second or so: rates for INFO. */
void cmd_tick(struct cmd_env *e, int64_t steady_ms);

/* ---- the table, for help, completion and manual pages ---- */

struct cmd_info {
	const char *name;    /* lower case; "client|list" for a subcommand */
	int arity;           /* as COMMAND: n exactly, -n at least, the name counted */
	const char *flags;   /* blank-separated, as COMMAND shows them */
	int first, last, step; /* key positions, 0: none */
	const char *group;   /* "string", "generic", ..., "kvd" */
	const char *since;
	const char *syntax;  /* arguments for people: "key value [EX seconds | ...]" */
	const char *summary; /* one sentence */
};
size_t cmd_count(void);
const struct cmd_info *cmd_info(size_t i); /* NULL past the last */

#endif
