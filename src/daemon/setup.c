/* SPDX-License-Identifier: MIT
 *
 * Setting the server up, step by step, and taking it down in mirror order.
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/paths.h"
#include "daemon/journal.h"
#include "daemon/notify.h"
#include "daemon/probe.h"
#include "daemon/server.h"

#define SEGMENT_DESCRIPTORS 16 /* at least so many are for open segments; of more than usual an eighth, up to SEGMENTS_MOST */
#define SEGMENTS_MOST 128
#define STORE_DESCRIPTORS 16 /* kept free for the store: directories, checkpoints, merge, snapshots */
#define OWN_DESCRIPTORS 16   /* the loop, signals, sockets, standard streams */
#define RECOVERY_PATIENCE_MS 30000

/* ---- the process ---- */

static void raise_descriptors(struct server *s)
{
	struct rlimit limit = { 0 };
	uint64_t wanted = option_number(&s->options, OPTION_MAX_CLIENTS), spare, segments;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		struct rlimit more = { limit.rlim_max, limit.rlim_max };
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			limit = more;
	}
	segments = limit.rlim_cur / 8 < SEGMENT_DESCRIPTORS ? SEGMENT_DESCRIPTORS : limit.rlim_cur / 8 < SEGMENTS_MOST ? limit.rlim_cur / 8 : SEGMENTS_MOST;
	spare = segments + STORE_DESCRIPTORS + OWN_DESCRIPTORS;
	s->open_segments = (unsigned)segments;
	s->descriptors = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur > spare + 1 ? limit.rlim_cur - spare : 1;
	if (s->descriptors < wanted)
		log_warning("max-clients is %" PRIu64 ", the limit of open files (LimitNOFILE) allows %" PRIu64, wanted,
			s->descriptors);
}

static int make_data_dir(const char *path, bool is_default)
{
	char up[PATHS_MAX];

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || !is_default || geteuid() == 0)
		return -errno;
	/* A fresh home has no ~/.local/state yet. */
	snprintf(up, sizeof(up), "%s", path);
	for (char *p = strchr(up + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(up, 0700) == -1 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) == -1 && errno != EEXIST ? -errno : 0;
}

static bool is_default_path(const struct options *o, enum option_id id)
{
	char path[PATHS_MAX];
	int r = id == OPTION_DATA_DIR ? paths_data_dir(path, sizeof(path)) :
					paths_socket_for(option_text(o, OPTION_DATA_DIR), path, sizeof(path));

	return r == 0 && strcmp(path, option_text(o, id)) == 0;
}

/* ---- the store ---- */

static void on_store_event(void *arg, const struct store_event *event)
{
	(void)arg;
	journal_store_event(event);
}

static void on_store_progress(void *arg, uint64_t done, uint64_t total)
{
	struct server *s = arg;
	uint64_t now = clock_mono_ns(&clock_system) / 1000000;
	unsigned percent = total ? (unsigned)((double)done * 100 / (double)total) : 0;

	if (now - s->recovery_said_ms < 500)
		return;
	s->recovery_said_ms = now;
	if (s->closing)
		notify_status("stopping: writing a checkpoint (%u %%)", percent);
	else
		notify_status("recovering: %" PRIu64 " of %" PRIu64 " MiB (%u %%)", done >> 20, total >> 20, percent);
	/* Only progress buys time: a recovery (or the checkpoint of a stop) that is stuck ends at the timeout. */
	if (done > s->recovery_done)
		notify_extend(RECOVERY_PATIENCE_MS);
	s->recovery_done = done;
	if (!s->closing && now - s->recovery_logged_ms >= 5000) {
		if (s->recovery_logged_ms)
			log_notice("recovering: %" PRIu64 " of %" PRIu64 " MiB (%u %%)", done >> 20, total >> 20, percent);
		s->recovery_logged_ms = now;
	}
}

static void on_fetched(void *arg, void *token)
{
	(void)arg;
	conn_fetched(token);
}

static void on_expired(void *arg, unsigned db, struct slice key)
{
	cmd_expired(((struct server *)arg)->env, db, key);
}

static int exit_code_of(int error)
{
	switch (error) {
	case -EBUSY:
	case -EADDRINUSE:
	case -EEXIST:
		return EXIT_LOCKED;
	case -EUCLEAN:
	case -EPROTONOSUPPORT:
		return EXIT_DATA;
	case -EINVAL:
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return EXIT_CONFIG;
	default:
		return EXIT_IO;
	}
}

static void say_start_failed(const char *text, const char *advice)
{
	journal_write(JOURNAL_START_FAILED, LOG_LEVEL_ERROR, "%s%s", text, advice);
	notify_status("not started: %s%s", text, advice);
}

/* What to do about a directory that cannot be written: its unit is the usual reason, its owner the next. */
static void print_advice(char *out, size_t size, const char *dir, int error)
{
	const char *unit = getenv("KVD_UNIT"); /* our units set it */
	const struct passwd *pw;
	struct stat st;

	*out = '\0';
	if (error == -EROFS && unit)
		snprintf(out, size, "; %s writes only where its unit allows: /etc/systemd/system/%s.d/data.conf needs the lines "
				    "[Service] ReadWritePaths=%s", unit, unit, dir);
	else if (error == -EUCLEAN)
		snprintf(out, size, "; kvctl verify --offline %s lists what is damaged, kvctl repair %s sets it aside", dir, dir);
	else if ((error == -EACCES || error == -EPERM) && stat(dir, &st) == 0 && st.st_uid != geteuid() &&
		 (pw = getpwuid(geteuid())))
		snprintf(out, size, "; it has to belong to the user kvd runs as: chown -R %s: %s", pw->pw_name, dir);
}

int server_open_store(struct server *s)
{
	const struct options *o = &s->options;
	const char *dir = option_text(o, OPTION_DATA_DIR);
	struct store_options so = {
		.path = dir,
		.flags = STORE_CREATE,
		.databases = (unsigned)option_number(o, OPTION_DATABASES),
		.segment_size = option_number(o, OPTION_SEGMENT_SIZE),
		.max_value = (uint32_t)option_number(o, OPTION_MAX_VALUE_SIZE),
		.durability = (enum store_durability)option_number(o, OPTION_DURABILITY),
		.interval_ms = (uint32_t)option_number(o, OPTION_DURABILITY_INTERVAL),
		.open_segments = s->open_segments,
		.cache_size = option_number(o, OPTION_CACHE_SIZE), /* not set: UINT64_MAX, the store's default */
		.event = on_store_event,
		.progress = on_store_progress,
		.fetched = on_fetched,
		.expired = on_expired,
		.arg = s,
	};
	struct error e = { 0 };
	char advice[PATHS_MAX + 640];
	int r = make_data_dir(dir, is_default_path(o, OPTION_DATA_DIR));

	if (r)
		error_set(&e, r, "%s: the data directory cannot be made: %s", dir, strerror(-r));
	else
		r = probe_directory(dir, &e);
	if (r == 0)
		r = store_open(&so, &s->store, &e);
	if (r == 0)
		return 0;
	print_advice(advice, sizeof(advice), dir, r);
	say_start_failed(e.text, advice);
	return exit_code_of(r);
}

static int open_listener(struct server *s)
{
	const struct options *o = &s->options;
	struct listener_options lo = {
		.path = option_text(o, OPTION_SOCKET),
		.mode = (mode_t)option_number(o, OPTION_SOCKET_MODE),
		.owner = (int64_t)option_number(o, OPTION_SOCKET_OWNER),
		.group = (int64_t)option_number(o, OPTION_SOCKET_GROUP),
		.make_directory = is_default_path(o, OPTION_SOCKET),
	};
	struct error e = { 0 };
	int r = listener_open(&s->listener, &lo, &e);

	if (r == 0)
		return 0;
	say_start_failed(e.text, "");
	return exit_code_of(r);
}

/* ---- up and down ---- */

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	return base;
}

static void init_lists(struct server *s)
{
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->stalled);
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->held);
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->dead);
	TAILQ_INIT(&s->pushed);
}

/* Asked at the start: after an upgrade of the program it would be called deleted. */
static void find_executable(struct server *s)
{
	ssize_t n = readlink("/proc/self/exe", s->executable, sizeof(s->executable) - 1);

	s->executable[n > 0 ? n : 0] = '\0';
}

int server_open(struct server *s, struct options *options, const struct options_command *command)
{
	*s = (struct server){ .command = command, .options = *options, .reserve = -1 };
	*options = (struct options){ 0 };
	s->start_wall_ms = (uint64_t)clock_wall_ms(&clock_system);
	s->compact_ms = s->checkpoint_ms = s->start_ms = s->now_ms = clock_mono_ns(&clock_system) / 1000000;
	find_executable(s);
	init_lists(s);
	raise_descriptors(s);
	settings_apply(s);
	int r = server_open_store(s);
	if (r)
		return r;
	host_init(s);
	s->env = cmd_env_new(s->store, &s->host);
	settings_apply(s);
	s->scratch = malloc(SERVER_SCRATCH);
	s->base = new_base();
	if (!s->env || !s->scratch || !s->base) {
		log_error("no memory");
		return EXIT_IO;
	}
	r = open_listener(s);
	if (r)
		return r;
	r = events_start(s);
	if (r)
		return r;
	s->served = true;
	server_say_status(s);
	notify_ready();
	journal_write_started(option_text(&s->options, OPTION_DATA_DIR), s->listener.path, s->listener.passed);
	return 0;
}

int server_close(struct server *s)
{
	int r;

	if (s->base)
		events_stop(s);
	listener_close(&s->listener);
	while (!TAILQ_EMPTY(&s->conns))
		conn_free(TAILQ_FIRST(&s->conns));
	if (s->base)
		event_base_free(s->base);
	free(s->scratch);
	free(s->argv);
	cmd_env_free(s->env);
	s->closing = true;
	s->recovery_done = 0;
	r = store_close(s->store);
	if (r)
		log_error("the final sync failed: %s", strerror(-r));
	else if (s->served)
		journal_write(JOURNAL_STOPPED, LOG_LEVEL_NOTICE, "kvd stops, everything is on disk");
	if (s->reserve >= 0)
		close(s->reserve);
	options_free(&s->options);
	return r ? EXIT_IO : 0;
}
