/* SPDX-License-Identifier: MIT
 *
 * Taking connections in: who is too many is told so, and no room for another descriptor is no reason to spin.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "daemon/server.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 100

static void refuse(struct server *s, int fd)
{
	static const char text[] = "-ERR max number of clients reached\r\n";

	s->rejected++;
	ssize_t n = send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)n; /* it will notice the end anyway */
	close(fd);
}

static void set_accepting(struct server *s, bool on)
{
	s->accepting = on;
	for (int i = 0; i < s->listener.n; i++)
		if (on)
			event_add(&s->accept_event[i], NULL);
		else
			event_del(&s->accept_event[i]);
}

/* No descriptor left: the spare one tells one client, the others wait in the backlog for the end of the pause. */
static void pause_accepting(struct server *s, int listening, int reason)
{
	struct timeval tv = { 0, PAUSE_MS * 1000 };

	if (s->reserve >= 0) {
		close(s->reserve);
		int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			refuse(s, fd);
	}
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_debug("accepting pauses: %s", strerror(reason));
	set_accepting(s, false);
	evtimer_add(&s->accept_timer, &tv);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd, (void)what;
	if (!s->stopping)
		set_accepting(s, true);
}

static void on_connection(evutil_socket_t listening, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN && s->accepting; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd == -1 && errno == EAGAIN)
			return;
		if (fd == -1) {
			pause_accepting(s, listening, errno);
			return;
		}
		s->received++;
		if (s->nconns >= s->max_clients)
			refuse(s, fd);
		else if (!conn_new(s, fd, ++s->next_id))
			log_warning("no memory for another client");
	}
}

int accept_start(struct server *s)
{
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	evtimer_assign(&s->accept_timer, s->base, on_pause_over, s);
	for (int i = 0; i < s->listener.n; i++)
		if (event_assign(&s->accept_event[i], s->base, s->listener.fd[i], EV_READ | EV_PERSIST, on_connection, s))
			return -ENOMEM;
	set_accepting(s, true);
	return 0;
}

void accept_stop(struct server *s)
{
	if (!s->accepting && !event_initialized(&s->accept_timer))
		return;
	set_accepting(s, false);
	event_del(&s->accept_timer);
}
