/* SPDX-License-Identifier: MIT
 *
 * Threads that are nobody's business: they take no signals that are sent to the process, so that handlers run in the threads of the program that
 * has asked for them, also when it has us as a library.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* As pthread_create, all signals blocked but those of faults. 0 or a negative errno. */
int thread_start(pthread_t *ret, void *(*run)(void *), void *arg);

/*
 * Lowers the calling thread to a nice value (0 to 19) and to the idle class of the I/O scheduler. Both are a courtesy to what
 * clients wait for: a system that refuses them is served all the same.
 */
void thread_to_background(int nice);

#endif
