/* SPDX-License-Identifier: MIT
 *
 * What lasts longer than one request: the environment with its commands and counters, and the clients. Inner door
 * of the room, included by room.h.
 */
#ifndef CMD_ENV_H
#define CMD_ENV_H

#include "cmd/cmd.h"
#include "cmd/pubsub.h"
#include "cmd/timing.h"

struct call;
typedef int call_handler(struct call *call);

/* How the dispatcher treats a row, beside the words COMMAND shows. */
enum row_how {
	VALUE = 1,      /* reads records, not only the keydir: worth fetching before EXEC runs */
	TXN = 2,        /* needs a transaction though it is neither readonly nor write */
	NOW = 4,        /* is run, not queued, inside MULTI */
	CONTAINER = 8,  /* the second word names the subcommand */
	ALONE = 16,     /* a container that is also a command by itself */
	DANGEROUS = 32, /* category only */
	KEYSPACE = 64,  /* category only: about keys, though of another group */
	LISTENER = 128, /* allowed to a RESP2 client that has subscribed */
	LONG = 256,     /* may ask for work on large values */
	PART = 512,     /* beside VALUE: reads parts, so a large value is not fetched for it */
	COMPARES = 1024, /* as LONG, but only when an argument is large as well */
};

/* The words of COMMAND that somebody here asks about. */
enum row_flag {
	FLAG_WRITE = 1,
	FLAG_READONLY = 2,
	FLAG_FAST = 4,
	FLAG_NO_AUTH = 8,
	FLAG_NO_MULTI = 16,
	FLAG_ADMIN = 32,
	FLAG_PUBSUB = 64
};

/* A row with what an environment knows about it. */
struct command {
	const struct cmd_info *info;
	call_handler *run;
	size_t name_len;
	unsigned flags, how;
	bool store; /* runs inside a transaction */
	uint64_t calls, rejected, failed;
	uint64_t sampled_ns;         /* of one call in CALL_SAMPLE */
	struct histogram *histogram; /* of the same calls; NULL: none yet */
};

/* Reading the clock twice costs as much as a GET, so one call in this many is timed and stands for the
 * others. */
enum { CALL_SAMPLE = 64 };

struct counters {
	uint64_t commands, errors, hits, misses, parked;
};

enum { ERROR_CLASSES = 32 };
struct error_class {
	char name[24];
	uint64_t count;
};

/* Which keyspace events are wanted: the letters of notify-keyspace-events. */
enum event_kind {
	EVENT_KEYSPACE = 1, /* K */
	EVENT_KEYEVENT = 2, /* E */
	EVENT_GENERIC = 4,  /* g */
	EVENT_STRING = 8,   /* $ */
	EVENT_EXPIRED = 16, /* x */
	EVENT_NEW = 32,     /* n */
	EVENT_MISS = 64     /* m */
};

/* Keys that a request holds which was overtaken too often: hold.c. */
enum { HOLD_BITS = 4096 };
struct hold {
	struct cmd_client *client; /* NULL: none does */
	uint64_t keys[HOLD_BITS / 64]; /* by their hashes */
};

struct crc64;
struct watch;
struct cursors;

struct cmd_env {
	struct store *store;
	struct cmd_host host;
	struct command *commands;
	size_t ncommands;
	uint16_t *slots; /* hash of a name -> index in commands + 1 */
	struct counters counters;
	struct error_class errors[ERROR_CLASSES];
	struct cmd_host_stats host_base; /* what CONFIG RESETSTAT takes off */
	uint64_t expired_base;
	unsigned sample;
	struct { /* of the last tick */
		int64_t at_ms;
		uint64_t commands, in, out;
		uint64_t commands_s, in_s, out_s;
	} rate;
	uint64_t memory_peak;
	uint64_t random;
	char run_id[41];
	struct watch **watches; /* hash table, made at the first WATCH */
	size_t nwatches;
	struct cmd_client *touched; /* clients whose watched keys the open transaction changes */
	struct cursors *cursors;    /* made at the first SCAN */
	struct pubsub pubsub;
	unsigned events; /* enum event_kind */
	struct crc64 *crc64; /* made at the first DUMP or RESTORE */
	struct timing timing;
	LIST_HEAD(, cmd_client) monitors;
	bool debug;      /* DEBUG is allowed */
	bool no_expiry;  /* DEBUG SET-ACTIVE-EXPIRE 0 */
	uint64_t reopened; /* DEBUG RELOAD: how often it ended, and why the last one came to nothing */
	char reopen_problem[256];
	int64_t pause_end_ms; /* CLIENT PAUSE: store_now() of its end, 0: there is none */
	bool pause_all;
	struct hold hold;
};

struct queued {
	struct command *command;
	struct slice *argv; /* one piece of memory with the bytes and the list of blocks */
	size_t argc;
	struct block **block; /* the arguments that are whole blocks, with references */
	size_t blocks;
};

struct cmd_client {
	struct cmd_env *env;
	uint64_t id;
	void *token;
	int proto;
	unsigned db;
	bool authenticated;
	bool reply_off, reply_skip, reply_skip_next, wait_silent;
	char *name, *lib_name, *lib_ver; /* NULL: none */
	struct command *last;            /* run last */
	struct command *seen;            /* looked up last, the first guess of the next lookup */
	uint64_t last_write;             /* position of its last commit */
	struct store_fetch *fetch;       /* made when first needed */
	size_t waits;                    /* how often its request has been parked */
	/* What CMD_WAIT waits for when it is more than a position, and the reply then; NULL: nothing. */
	bool (*wait_over)(struct cmd_client *c);
	void (*wait_reply)(struct call *call, bool reached);
	uint64_t wait_for, wait_seen; /* the waiting command's own */
	/* MULTI */
	bool multi, multi_broken;
	struct queued *queue;
	size_t queued, queue_cap, queue_bytes;
	/* WATCH */
	struct watch *watch;
	size_t nwatch;
	bool dirty; /* a watched key has changed */
	bool touched;
	struct cmd_client *touched_next;
	/* SUBSCRIBE */
	struct subscription_list listens[TOPIC_KINDS];
	size_t nlistens[TOPIC_KINDS], listens_bytes;
	/* SCAN */
	TAILQ_HEAD(cursor_list, cursor) cursors; /* that count for it, oldest first */
	size_t ncursors, cursor_bytes;
	/* MONITOR */
	bool monitors;
	LIST_ENTRY(cmd_client) monitor_link;
};

#endif
