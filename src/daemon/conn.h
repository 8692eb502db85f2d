/* SPDX-License-Identifier: MIT
 *
 * One client's connection: bytes in, requests run in order, replies out when they may be seen. Own buffers, and none
 * while the client is idle. The states a connection can be in beside "reading":
 *
 *   ready     it has work that does not need the socket (more requests than one turn takes, a fetch has come): next turn
 *   stalled   ready, but the store is behind: it has its turn when that is over
 *   parked    the request at the head of the input waits for records from the disk
 *   paused    likewise until CLIENT PAUSE is over, or another request with its keys (parked as well)
 *   waiting   the last request waits for the durable position (WAITAOF)
 *   closing   no request is taken any more; it ends when the last reply has left
 *   dead      it ends with this turn; nothing may touch its socket
 *
 * A connection never stops reading because its replies are not read: a client may send all before it reads. What it
 * leaves unread is bounded by client-output-limit. Inner door of the room; one thread.
 */
#ifndef DAEMON_CONN_H
#define DAEMON_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include "base/block.h"
#include "base/buf.h"
#include "cmd/cmd.h"
#include "daemon/outq.h"
#include "proto/resp.h"

struct server;

struct conn {
	TAILQ_ENTRY(conn) all, ready_link, dirty_link, held_link, wait_link, push_link, dead_link;
	struct server *server;
	struct cmd_client *client;
	int fd;
	uint64_t id;
	struct ucred peer;
	struct event read_event, write_event, wait_timer;

	struct resp_reader reader;
	struct buf in;     /* what was read and not yet run */
	size_t in_at;      /* bytes at the front of `in` that are done with */
	struct block **large; /* long arguments that are not in `in`, of requests not yet run, in order; the last may be incomplete */
	size_t nlarge, large_cap;
	size_t large_given;   /* of these, to the reader since it began at the front of `in` */
	size_t large_want;    /* bytes the last one will have; 0: it is complete */
	size_t large_bytes;   /* of all of them */
	struct outq out;
	size_t counted;    /* our part of server->output_bytes */
	struct buf pushed; /* pushes that came while our own command ran */

	bool reading, writing;                      /* armed events */
	bool ready, dirty, held;                    /* on which lists */
	bool stalled;                               /* ready, but only when the store has caught up */
	bool parked, paused, waiting, eof, closing, dead;
	bool heavy;                                 /* its last request was: request.c */
	bool last_request;                          /* it closes after the one that is complete next */
	size_t may_read;                            /* bytes, once the server stops */
	bool pushed_to;                             /* on server->pushed, from push_start on */
	size_t push_start;
	uint64_t wait_position, wait_end_ns;
	uint64_t since_ms, active_ms;               /* monotonic */
	uint64_t soft_since_ms;                     /* subscriber above the soft limit since; 0: it is not */
	uint64_t total_in, total_out;
};

TAILQ_HEAD(conn_list, conn);

/* Takes over the descriptor in any case. NULL: no memory. */
struct conn *conn_new(struct server *s, int fd, uint64_t id);
/* Frees at once; never call it while the connection may be on the stack, use conn_kill. */
struct conn *conn_free(struct conn *c);

void conn_kill(struct conn *c);               /* ends with this turn, unsent replies are lost */
void conn_close_after_replies(struct conn *c);
void conn_work(struct conn *c);               /* a ready one: runs what has been read */
void conn_read(struct conn *c);               /* takes what the socket has and runs it */
/* How many of `room` bytes may be read; 0: none any more. */
size_t conn_may_read(const struct conn *c, size_t room);
/* The long argument the reader asks for, when it has come: 0, RESP_LARGE (it has not) or -ENOMEM. */
int conn_give_large(struct conn *c);
/* The first n long arguments are done with. */
void conn_drop_large(struct conn *c, size_t n);
/* Bytes of long arguments number `first` and the n - 1 behind it. */
size_t conn_count_large(const struct conn *c, size_t first, size_t n);
void conn_fetched(struct conn *c);            /* parked -> ready */
void conn_push(struct conn *c, struct slice bytes);
void conn_flush(struct conn *c);              /* sends what may leave now */
void conn_check_held(struct conn *c);         /* after the releasable position moved */
void conn_refuse_held(struct conn *c, struct slice error);
/* Brings events, lists and the end of the connection in line with its state; the last step of whatever changed it. */
void conn_settle(struct conn *c);
/* It takes requests: nothing stands in the way of the next one. */
static inline bool conn_can_run(const struct conn *c)
{
	return !c->dead && !c->closing && !c->parked && !c->waiting;
}
/* True when nothing is under way: no request, no reply. */
bool conn_is_quiet(const struct conn *c);

#endif
