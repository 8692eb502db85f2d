/* SPDX-License-Identifier: MIT
 *
 * The connection to the daemon. It is made when the first verb needs it and made anew after it was lost; a
 * request is never sent twice, for nobody knows whether the first one took effect.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/num.h"
#include "kvctl/output.h"

struct timeval connect_limit(const struct kvctl *k)
{
	return (struct timeval){ .tv_sec = (time_t)(k->timeout_ms / 1000), .tv_usec = (suseconds_t)(k->timeout_ms % 1000 * 1000) };
}

/* The socket, or the innermost directory on the way to it that can be seen: that is the door that is shut. */
static bool find_door(const char *socket, struct stat *ret)
{
	char path[PATHS_MAX];

	snprintf(path, sizeof(path), "%s", socket);
	while (stat(path, ret) != 0) {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return false;
		*slash = 0;
	}
	return true;
}

/* Nobody is told to join a group that would not get in either, or that of root. */
static const char *find_group(const char *socket)
{
	struct stat st;
	const struct group *g;

	if (!find_door(socket, &st))
		return "kvd";
	if (st.st_gid == 0 || !(st.st_mode & (S_ISDIR(st.st_mode) ? S_IXGRP : S_IWGRP)))
		return NULL;
	g = getgrgid(st.st_gid);
	return g ? g->gr_name : NULL;
}

static enum kvctl_exit refuse_permission(const struct kvctl *k)
{
	const struct passwd *pw = getpwuid(geteuid());
	const char *group = find_group(k->socket);

	if (!group)
		return refuse(k, KVCTL_NO_CONNECTION, "no permission to use %s; only its owner and root may",
			k->socket);
	return refuse(k, KVCTL_NO_CONNECTION,
		"no permission to use %s; it is for the group \"%s\": adduser %s %s, then log in again",
		k->socket, group, pw ? pw->pw_name : "USER", group);
}

static enum kvctl_exit refuse_connection(const struct kvctl *k, int error)
{
	struct stat st;

	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return refuse(k, KVCTL_NO_CONNECTION,
			"there is no socket %s; is kvd running? Try: systemctl start kvd, or name another "
			"with --socket",
			k->socket);
	case ECONNREFUSED:
		if (stat(k->socket, &st) == 0 && !S_ISSOCK(st.st_mode))
			return refuse(k, KVCTL_NO_CONNECTION, "%s is no socket; name one with --socket", k->socket);
		return refuse(k, KVCTL_NO_CONNECTION,
			"nobody listens on %s; kvd is not running. Try: systemctl start kvd", k->socket);
	case EACCES:
	case EPERM:
		return refuse_permission(k);
	case EAGAIN:
	case EINPROGRESS:
		return refuse(
			k, KVCTL_NO_CONNECTION, "kvd did not accept the connection on %s in time", k->socket);
	default:
		return refuse(k, KVCTL_NO_CONNECTION, "cannot connect to %s: %s", k->socket, strerror(error));
	}
}

/* Returns a descriptor, or a negative errno. The library's own connect cuts long paths and gives up when the
 * queue is full. */
static int open_socket(const struct kvctl *k)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = connect_limit(k);
	int fd, r;

	if (strlen(k->socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, k->socket, strlen(k->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (k->timeout_ms)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do
		r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	while (r && errno == EINTR);
	if (r == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static enum kvctl_exit set_up_session(struct kvctl *k)
{
	const char *password = getenv("KVD_PASSWORD");
	char digits[NUM_I64_CHARS];
	struct slice auth[2] = { SLICE("AUTH"), slice_str(password ? password : "") };
	struct slice select[2] = { SLICE("SELECT"), slice(digits, num_format_i64(digits, k->database)) };
	redisReply *r = NULL;
	enum kvctl_exit code = KVCTL_DONE;

	if (password && *password) {
		code = connect_ask(k, auth, 2, &r);
		if (!code)
			freeReplyObject(r);
	}
	if (!code && k->database) {
		code = connect_ask(k, select, 2, &r);
		if (!code)
			freeReplyObject(r);
	}
	if (code)
		connect_close(k);
	return code;
}

enum kvctl_exit connect_open(struct kvctl *k)
{
	int fd;

	if (k->redis)
		return KVCTL_DONE;
	if (!*k->socket && paths_client_socket(k->socket, sizeof(k->socket)))
		return refuse(
			k, KVCTL_NO_CONNECTION, "no place for a socket is known; name one with --socket");
	fd = open_socket(k);
	if (fd < 0)
		return refuse_connection(k, -fd);
	k->redis = redisConnectFd(fd);
	if (!k->redis || k->redis->err) {
		connect_close(k);
		return refuse(k, KVCTL_NO_CONNECTION, "out of memory");
	}
	if (k->timeout_ms)
		redisSetTimeout(k->redis, connect_limit(k));
	return set_up_session(k);
}

void connect_close(struct kvctl *k)
{
	if (k->redis)
		redisFree(k->redis);
	k->redis = NULL;
}

/* errno must still be that of the failed call. */
static enum kvctl_exit refuse_lost(struct kvctl *k)
{
	int error = errno;

	if (k->redis->err == REDIS_ERR_EOF ||
		(k->redis->err == REDIS_ERR_IO && (error == EPIPE || error == ECONNRESET)))
		complain(k, "kvd closed the connection; whether the request took effect is not known");
	else if (k->redis->err == REDIS_ERR_IO && error == EAGAIN)
		complain(k, CONNECT_TOO_LATE "; whether the request took effect is not known");
	else
		complain(k, "the connection failed: %s", k->redis->errstr);
	connect_close(k);
	return KVCTL_NO_CONNECTION;
}

/* Requests with few words, of which there may be millions, are made without allocating. */
#define FEW_WORDS 8

enum kvctl_exit connect_send(struct kvctl *k, const struct slice *argv, size_t argc)
{
	const char *few_texts[FEW_WORDS], **text = few_texts;
	size_t few_lengths[FEW_WORDS], *len = few_lengths;
	enum kvctl_exit code = connect_open(k);

	if (code)
		return code;
	if (argc > FEW_WORDS) {
		text = calloc(argc, sizeof(*text));
		len = calloc(argc, sizeof(*len));
	}
	for (size_t i = 0; text && len && i < argc; i++) {
		text[i] = argv[i].ptr ? argv[i].ptr : "";
		len[i] = argv[i].len;
	}
	if (!text || !len || redisAppendCommandArgv(k->redis, (int)argc, text, len) != REDIS_OK)
		code = refuse(k, KVCTL_REFUSED, "out of memory");
	if (argc > FEW_WORDS) {
		free(text);
		free(len);
	}
	return code;
}

enum kvctl_exit connect_flush(struct kvctl *k)
{
	int done = 0;

	errno = 0;
	while (!done)
		if (redisBufferWrite(k->redis, &done) != REDIS_OK)
			return refuse_lost(k);
	return KVCTL_DONE;
}

enum kvctl_exit connect_reply(struct kvctl *k, redisReply **ret)
{
	void *reply = NULL;

	errno = 0;
	if (redisGetReply(k->redis, &reply) != REDIS_OK || !reply)
		return refuse_lost(k);
	*ret = reply;
	return KVCTL_DONE;
}

enum kvctl_exit connect_ask(struct kvctl *k, const struct slice *argv, size_t argc, redisReply **ret)
{
	redisReply *r = NULL;
	enum kvctl_exit code = connect_send(k, argv, argc);

	if (!code)
		code = connect_reply(k, &r);
	if (code)
		return code;
	if (r->type != REDIS_REPLY_ERROR) {
		*ret = r;
		return KVCTL_DONE;
	}
	code = connect_unexpected(k, r);
	freeReplyObject(r);
	return code;
}

enum kvctl_exit connect_ask_int(struct kvctl *k, const struct slice *argv, size_t argc, int64_t *ret)
{
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, argc, &r);

	if (code)
		return code;
	if (r->type == REDIS_REPLY_INTEGER)
		*ret = r->integer;
	else
		code = connect_unexpected(k, r);
	freeReplyObject(r);
	return code;
}

enum kvctl_exit connect_unexpected(struct kvctl *k, const redisReply *r)
{
	if (r->type == REDIS_REPLY_STATUS && slice_eq(reply_slice(r), SLICE("QUEUED")))
		return refuse(k, KVCTL_REFUSED,
			"queued for EXEC; inside MULTI use the commands of the protocol, in upper case");
	if (r->type == REDIS_REPLY_ERROR)
		return refuse(k, KVCTL_REFUSED, "%.*s", (int)r->len, r->str);
	return refuse(k, KVCTL_REFUSED, "unexpected reply from the daemon");
}
