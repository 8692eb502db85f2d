/* SPDX-License-Identifier: MIT
 *
 * From main's arguments to an exit code.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "kvctl/output.h"
#include "kvctl/verb.h"

/* A reader that has seen enough is no error: leave as any filter does, by the signal. */
static void leave_by_signal(void)
{
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

static int finish_output(struct kvctl *k, int code)
{
	output_flush(k);
	if (!k->output_error)
		return code;
	if (k->output_error == EPIPE)
		leave_by_signal();
	else
		complain(k, "cannot write to standard output: %s", strerror(k->output_error));
	return code ? code : KVCTL_REFUSED;
}

/*
 * A closed standard stream would be given to the connection, and what is printed would go to the daemon as
 * commands. Each is opened the wrong way round, so that its use still fails.
 */
static void hold_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			_exit(KVCTL_REFUSED);
}

int kvctl_main(int argc, char **argv)
{
	struct kvctl k = { .terminal = isatty(STDOUT_FILENO) };
	size_t n = argc > 1 ? (size_t)argc - 1 : 0;
	struct slice *words = calloc(n + 1, sizeof(*words));
	int code;

	hold_streams();
	setlocale(LC_CTYPE, "");
	k.colour = output_can_colour(STDOUT_FILENO);
	signal(SIGPIPE, SIG_IGN);
	if (!words)
		return refuse(&k, KVCTL_REFUSED, "out of memory");
	for (size_t i = 0; i < n; i++)
		words[i] = slice_str(argv[i + 1]);
	code = verb_run_words(&k, words, n);
	connect_close(&k);
	free(words);
	return finish_output(&k, code);
}
