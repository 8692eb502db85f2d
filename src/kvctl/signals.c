/* SPDX-License-Identifier: MIT */
#include "kvctl/signals.h"

#include <unistd.h>
#include "kvctl/output.h"

static volatile sig_atomic_t came;

/* It may come between the look at `came` and the call that waits: that one is interrupted by the next alarm. */
static void note_signal(int number)
{
	came = number;
	alarm(1);
}

static void keep_alarm(int number)
{
	(void)number;
	alarm(1);
}

static void hold(int number, int flags, struct sigaction *ret_before)
{
	struct sigaction action = { .sa_handler = note_signal, .sa_flags = flags };

	sigaction(number, NULL, ret_before);
	if (ret_before->sa_handler != SIG_IGN)
		sigaction(number, &action, NULL);
}

void signals_hold(struct signals *ret, bool once)
{
	int flags = once ? (int)SA_RESETHAND : 0;

	came = 0;
	sigaction(SIGALRM, &(const struct sigaction){ .sa_handler = keep_alarm }, &ret->alarm);
	hold(SIGINT, flags, &ret->interrupt);
	hold(SIGTERM, flags, &ret->terminate);
}

void signals_release(const struct signals *s)
{
	sigaction(SIGINT, &s->interrupt, NULL);
	sigaction(SIGTERM, &s->terminate, NULL);
	alarm(0);
	sigaction(SIGALRM, &s->alarm, NULL);
}

int signals_came(void)
{
	return came;
}

void signals_obey(struct kvctl *k)
{
	int number = came;

	if (!number)
		return;
	came = 0;
	output_flush(k);
	raise(number);
}
