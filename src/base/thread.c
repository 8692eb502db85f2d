/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1 /* one thread of it */
#define IOPRIO_IDLE (3 << 13)

int thread_start(pthread_t *ret, void *(*run)(void *), void *arg)
{
	/* A fault in a thread that blocks its signal ends the process without the handler that would tell where. */
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t all, before;

	sigfillset(&all);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	/* A thread inherits the mask of the one that makes it. */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int r = -pthread_create(ret, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

void thread_to_background(int nice)
{
	pid_t self = (pid_t)syscall(SYS_gettid);

	(void)setpriority(PRIO_PROCESS, (id_t)self, nice);
#ifdef SYS_ioprio_set
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, self, IOPRIO_IDLE);
#endif
}
