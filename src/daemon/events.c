/* SPDX-License-Identifier: MIT
 *
 * The timers and signals a server lives by.
 */
#include <errno.h>
#include <signal.h>
#include "base/log.h"
#include "daemon/notify.h"
#include "daemon/request.h"
#include "daemon/server.h"

static void on_store_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	((struct server *)arg)->store_ready = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd, (void)what;
	server_tick(s);
	if (!s->stopping)
		server_say_status(s);
}

/*
 * The end of the turn answers: then all that a turn does has been done once more. The store's threads are left out
 * with intent. What they wait for is the disk, and no time tells a slow disk from a dead one; killing kvd for it
 * would help neither, as the next start needs the disk even more, while this process still serves what is in memory.
 * A thread that stops with a lock it shares with the loop stops the loop, too.
 */
static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	((struct server *)arg)->watchdog_asks = true;
}

static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	/* The end of the turn looks at who is left. */
	(void)fd, (void)what, (void)arg;
}

void events_arm_expire(struct server *s)
{
	uint64_t ms = option_number(&s->options, OPTION_EXPIRE_INTERVAL);
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_del(&s->expire_timer);
	if (ms)
		evtimer_add(&s->expire_timer, &tv);
}

static void on_expire(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd, (void)what;
	request_begin_pushes(s);
	/* A sweep that finds much goes on, but never so long that clients notice. */
	for (unsigned i = 0; i < STORE_SWEEP_ROUNDS && !server_is_behind(s) && cmd_may_expire(s->env); i++)
		if (store_expire_some(s->store, STORE_SWEEP_PAGES) < STORE_SWEEP_KEYS)
			break;
	request_end_pushes(s, store_position(s->store));
	events_arm_expire(s);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd, (void)what;
	/* The timer counts from the loop's own clock, which stands still while requests run, and may be early. */
	if (cmd_is_paused(s->env))
		events_arm_pause(s, 0);
	else
		server_end_pause(s);
}

void events_arm_pause(struct server *s, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 + 1000 };

	evtimer_add(&s->pause_timer, &tv);
}

static void on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig, (void)what;
	server_ask_stop(arg);
}

static void on_reload_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig, (void)what;
	settings_reload(arg);
}

static int start_timer(struct event *event, struct event_base *base, uint64_t ms, event_callback_fn callback, void *arg)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	return event_assign(event, base, -1, EV_PERSIST, callback, arg) || (ms && event_add(event, &tv)) ? -ENOMEM : 0;
}

void events_leave_store(struct server *s)
{
	event_del(&s->store_event);
}

int events_watch_store(struct server *s)
{
	s->store_ready = true;
	if (event_assign(&s->store_event, s->base, store_notify_fd(s->store), EV_READ | EV_PERSIST, on_store_ready, s) == 0 &&
		event_add(&s->store_event, NULL) == 0)
		return 0;
	log_error("the store's event cannot be set up");
	return EXIT_IO;
}

int events_start(struct server *s)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		r = evsignal_assign(&s->signal_event[i], s->base, signals[i], signals[i] == SIGHUP ? on_reload_signal : on_stop_signal, s) ||
		    event_add(&s->signal_event[i], NULL);
	r = r || events_watch_store(s);
	r = r || start_timer(&s->tick_timer, s->base, 1000, on_tick, s);
	r = r || start_timer(&s->stop_timer, s->base, 0, on_stop_timer, s);
	r = r || start_timer(&s->watchdog_timer, s->base, notify_watchdog_interval(), on_watchdog, s);
	r = r || evtimer_assign(&s->pause_timer, s->base, on_pause_over, s);
	r = r || evtimer_assign(&s->expire_timer, s->base, on_expire, s);
	r = r || accept_start(s);
	if (r) {
		log_error("the events cannot be set up");
		return EXIT_IO;
	}
	events_arm_expire(s);
	return 0;
}

/*
 * Who asks again while the last sync runs has been heard. Without its event a signal would end us at once, as before the events: none may come
 * until it is ignored, which also discards one that waits. The other threads block all of them anyway.
 */
static void stop_signals(struct server *s)
{
	sigset_t stops, before;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stops, &before);
	for (int i = 2; i >= 0; i--)
		if (event_initialized(&s->signal_event[i]))
			event_del(&s->signal_event[i]);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void events_stop(struct server *s)
{
	struct event *events[] = { &s->pause_timer, &s->expire_timer, &s->watchdog_timer, &s->stop_timer, &s->tick_timer, &s->store_event };

	accept_stop(s);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (event_initialized(events[i]))
			event_del(events[i]);
	stop_signals(s);
}
