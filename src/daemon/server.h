/* SPDX-License-Identifier: MIT
 *
 * The server owns everything of a running daemon and turns the loop. A turn: events are handled (reads, requests), then
 * end_turn takes in what the store finished, lets replies go, hands commits to the sync thread, and writes.
 * Inner door of the room; one thread.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <event2/event.h>
#include "base/paths.h"
#include "daemon/conn.h"
#include "daemon/listener.h"
#include "daemon/options.h"

#define SERVER_SCRATCH ((size_t)64 << 10) /* bytes of one read */
#define SERVER_BATCH 64                   /* requests parsed ahead, for prefetching */
#define SERVER_SMALL ((size_t)64 << 10)   /* bytes of a request that runs though the store is behind */

struct server_request {
	size_t argv, argc; /* argv: index into server->argv */
	size_t at, size;   /* place in the input */
	size_t large;      /* its long arguments, which are elsewhere */
	size_t bytes;      /* with them */
};

struct server {
	struct options options;
	const struct options_command *command; /* for reload */
	struct event_base *base;
	struct listener listener;
	struct store *store;
	struct cmd_env *env;
	struct cmd_host host;

	struct event accept_event[LISTENER_MAX], accept_timer;
	struct event store_event, tick_timer, expire_timer, watchdog_timer, stop_timer, pause_timer;
	struct event signal_event[3];
	int reserve;  /* a descriptor kept for telling the last client that there are none */
	bool accepting;

	struct conn_list conns, ready, stalled, dirty, held, waiting, dead;
	struct conn_list pushed; /* those who were pushed to while `pushing` */
	bool pushing;            /* pushes are collected, to be held together */
	struct conn *running;    /* whose command runs */
	size_t nconns;
	uint64_t next_id;

	char *scratch;
	struct slice *argv;
	size_t argv_cap;
	struct server_request batch[SERVER_BATCH];
	struct store_probe probes[STORE_PREFETCH_MAX];
	struct resp_limits limits;

	uint64_t now_ms; /* monotonic, of this turn */
	uint64_t turn;
	uint64_t snapshot_ms;       /* monotonic: no timed snapshot before */
	uint64_t released;          /* releasable position already acted on */
	uint64_t rollbacks_seen;    /* store_rollbacks() when held replies were last looked at for it */
	bool served; /* clients were told that we are there */
	bool store_ready;
	bool watchdog_asks;   /* it is answered when this turn is done */
	bool heavy_done;      /* a heavy request was run in this turn */
	bool behind;          /* too much waits for the disk */
	uint64_t small_until; /* position up to which small requests run all the same */
	bool stop_asked, stopping, done;
	uint64_t stop_ms;
	int exit_code;

	size_t output_bytes;
	size_t query_limit, output_limit, output_total, max_clients; /* from the options */
	uint64_t descriptors;                                        /* how many connections may have */
	unsigned open_segments;                                      /* and files of segments */
	uint64_t start_wall_ms, start_ms;
	char executable[PATHS_MAX]; /* "": not known */
	uint64_t received, rejected, net_in, net_out;
	uint64_t recovery_done, recovery_total, recovery_said_ms, recovery_logged_ms;
	uint64_t compact_ms;    /* when the last compaction by time was begun */
	uint64_t checkpoint_ms; /* when the last checkpoint was begun */
	bool closing;           /* the store is being closed */
	bool reopen_asked;      /* DEBUG RELOAD */
	char status[768];
	char reload_problem[512]; /* why the last reload changed nothing; empty: it was good */
};

/* Exit codes (sysexits). */
enum { EXIT_DATA = 65, EXIT_LOCKED = 73, EXIT_IO = 74, EXIT_CONFIG = 78 };

/* Takes the options over. 0, or an exit code with the reason logged. */
int server_open(struct server *s, struct options *options, const struct options_command *command);
/* Serves until a signal or SHUTDOWN. Returns the exit code. */
int server_run(struct server *s);
/* Opens the store by the options. 0, or an exit code with the reason logged. */
int server_open_store(struct server *s);
/* Frees everything; the final sync is here. Returns 0 or EXIT_IO. Works on a half-opened server. */
int server_close(struct server *s);

void server_queue_ready(struct server *s, struct conn *c);
/* Has its turn when the store has caught up. */
void server_stall(struct server *s, struct conn *c);
/* True while the store has more to write than it should; then server_takes_small() says whether small requests may run. */
bool server_is_behind(struct server *s);
bool server_takes_small(const struct server *s);
void server_queue_dirty(struct server *s, struct conn *c);
/* Brings the sum of unread replies up to date and closes who is beyond a limit. */
void server_account(struct server *s, struct conn *c);
void server_ask_stop(struct server *s);
/* Replies and waits whose time has come leave. */
void server_release(struct server *s);
/* CLIENT PAUSE is over: the requests it left lying are run. */
void server_end_pause(struct server *s);
/* Once a second: idle clients, rates. */
void server_tick(struct server *s);

/* Tells the service manager how we are, when that has changed. */
void server_say_status(struct server *s);

/* events.c: timers and signals. 0 or an exit code, the reason logged. */
int events_start(struct server *s);
void events_stop(struct server *s);
/* The store's own event: taken away before the store is closed, made for another one. */
void events_leave_store(struct server *s);
int events_watch_store(struct server *s);
void events_arm_expire(struct server *s); /* anew, by the options */
void events_arm_pause(struct server *s, int64_t ms);

/* settings.c: reads limits and store settings anew from the options. */
void settings_apply(struct server *s);
/* compaction.c: when merges begin by themselves. window: the number of compact-window; minute: of the day. */
void compaction_tick(struct server *s);
void compaction_apply(struct server *s);
bool compaction_is_in_window(uint64_t window, unsigned minute);
/* Puts new options in force, which are taken over; those that cannot change at run time stay. */
void settings_set(struct server *s, struct options *options);
/* From the same sources as at the start; a bad one changes nothing and is reported. */
void settings_reload(struct server *s);

/* accept.c: arms the listening sockets, takes connections. */
int accept_start(struct server *s);
void accept_stop(struct server *s);

/* stop.c: sets the mark up to which clients are read; at the end of each turn after that: ends who is done. */
void stop_begin(struct server *s);
void stop_drain(struct server *s);

/* snapshots.c: begins a timed snapshot when one is due. Once a second. */
void snapshots_tick(struct server *s);

/* reopen.c: DEBUG RELOAD. False: there is no store any more, and the daemon ends. */
bool reopen_store(struct server *s);

/* host.c: fills s->host. */
void host_init(struct server *s);

#endif
