/* SPDX-License-Identifier: MIT
 *
 * From bytes to replies: cuts the input of a connection into requests, tells the store the keys of a whole batch ahead,
 * runs the requests in order, and holds each reply until it may be seen. Inner door of the room.
 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include "daemon/conn.h"

/*
 * Runs what data has; returns how many bytes are done with. The rest is an incomplete request, or what comes after a
 * request that parked or waits, or more than one turn may take (the connection is then on the ready list).
 */
size_t request_run(struct conn *c, const char *data, size_t len);

/*
 * What is pushed to clients between these two, outside of any request (the events of expired keys), may be seen when
 * position is.
 */
void request_begin_pushes(struct server *s);
void request_end_pushes(struct server *s, uint64_t position);

/* Ends the wait of a waiting connection; `reached` says whether its position is durable. */
void request_wait_done(struct conn *c, bool reached);
/* Its timer went off: ends the wait, or goes on with it when the timer was early. */
void request_wait_timeout(struct conn *c);

/* The reader forgets a half-read request: the next call begins at the start of one. Gives back its memory. */
void request_reset_reader(struct conn *c);

#endif
