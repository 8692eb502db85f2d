/* SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "daemon/journal.h"
#include "daemon/notify.h"
#include "daemon/restore.h"
#include "daemon/server.h"

#define LARGE_BUFFER (4 << 20)

static int print_help(void)
{
	struct buf text = { 0 };

	options_print_help(&text);
	bool good = !text.failed && fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
	buf_free(&text);
	return good ? 0 : EXIT_IO;
}

/* Nobody but our own user needs what we write; a broken socket is an error code, not a signal. */
static void prepare_process(void)
{
	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	/* A reload that comes before we are ready has nothing to reload. */
	signal(SIGHUP, SIG_IGN);
}

/*
 * A large buffer goes back to the system when it is freed. By itself the allocator learns from the first of them to keep all up to 32 MiB, in an
 * arena for each thread: what a recovery with large values had read stayed in memory for good.
 */
static void prepare_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
	mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BUFFER);
#endif
}

static int serve(struct options *options, const struct options_command *command)
{
	struct server *s = malloc(sizeof(*s));

	if (!s) {
		options_free(options);
		return EXIT_IO;
	}
	prepare_process();
	prepare_memory();
	int code = server_open(s, options, command);
	if (code == 0)
		code = server_run(s);
	int last = server_close(s);
	free(s);
	return code ? code : last;
}

static int restore(struct options *options, const struct options_command *command)
{
	umask(0077);
	int code = restore_main(options, command);
	options_free(options);
	return code;
}

int daemon_main(int argc, char **argv)
{
	struct options_command command;
	struct options options;
	struct error e = { 0 };
	bool check = false;

	if (options_read_command(argc, argv, &command, &e) == 0) {
		check = command.mode == OPTIONS_CHECK;
		if (command.mode == OPTIONS_HELP)
			return print_help();
		if (command.mode == OPTIONS_VERSION) {
			puts("kvd " PACKAGE_VERSION);
			return 0;
		}
		if (options_load(&command, environ, &options, &e) == 0) {
			if (command.mode == OPTIONS_RUN)
				return serve(&options, &command);
			if (command.mode == OPTIONS_RESTORE)
				return restore(&options, &command);
			puts("the configuration is good");
			options_free(&options);
			return 0;
		}
	}
	/* Who only checks is answered, and is not the service. */
	if (check) {
		log_error("%s", e.text);
	} else {
		journal_write(JOURNAL_START_FAILED, LOG_LEVEL_ERROR, "%s", e.text);
		notify_status("not started: %s", e.text);
	}
	return EXIT_CONFIG;
}
