/* SPDX-License-Identifier: MIT
 *
 * A load generator that costs little itself, so that on a machine of two cores the server is what is measured: one thread, requests made in
 * advance, replies only counted (and checked for errors). Usage:
 *
 *   load SOCKET set|get|fill CLIENTS PIPELINE REQUESTS KEYS VALUE_BYTES
 *
 * fill sets each of the KEYS once, in order, whatever REQUESTS says.
 * Keys are those of redis-benchmark (key:000000001234), random among KEYS. Prints requests/s, and the p50, p99, p99.9 and worst time in ms from sending a
 * batch of PIPELINE requests to its last reply.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "sim/simdisk.h"

#define BATCHES 65536 /* different ones are made in advance, as far as they fit into */
#define MEMORY (256u << 20)

struct client {
	int fd;
	size_t waiting;   /* replies of the batch */
	size_t skip;      /* bytes of the current reply's body still to come */
	char head[32];    /* a reply's first line so far */
	size_t head_len;
	double sent;
};

struct batch {
	char *data;
	size_t len;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
	exit(1);
}

static void make_batch(struct batch *b, int set, uint64_t *next, size_t pipeline, uint64_t keys, size_t value, uint64_t *random)
{
	if (!b->data)
		b->data = malloc(pipeline * (value + 96) + 1);
	b->len = 0;
	for (size_t i = 0; i < pipeline; i++) {
		unsigned long long k = next ? (*next)++ % keys : sim_random(random) % keys;
		b->len += (size_t)sprintf(b->data + b->len, set ? "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%zu\r\n" :
								  "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012llu\r\n",
			k, value);
		if (!set)
			continue;
		for (size_t j = 0; j < value; j++)
			b->data[b->len++] = (char)('a' + sim_random(random) % 26);
		b->len += (size_t)sprintf(b->data + b->len, "\r\n");
	}
}

static void send_batch(struct client *c, const struct batch *b, size_t pipeline)
{
	c->waiting = pipeline;
	c->sent = now();
	for (size_t done = 0; done < b->len;) {
		ssize_t n = send(c->fd, b->data + done, b->len - done, MSG_NOSIGNAL);
		if (n < 0)
			die("send");
		done += (size_t)n;
	}
}

/* Counts the replies in what came; returns how many ended. */
static size_t count_replies(struct client *c, const char *p, size_t len)
{
	size_t ended = 0;

	while (len) {
		if (c->skip) {
			size_t n = c->skip < len ? c->skip : len;
			c->skip -= n;
			p += n;
			len -= n;
			ended += c->skip == 0;
			continue;
		}
		const char *end = memchr(p, '\n', len);
		size_t n = end ? (size_t)(end - p) + 1 : len;
		if (c->head_len + n >= sizeof(c->head))
			die("a reply");
		memcpy(c->head + c->head_len, p, n);
		c->head_len += n;
		p += n;
		len -= n;
		if (!end)
			break;
		c->head[c->head_len] = 0;
		c->head_len = 0;
		if (c->head[0] == '-')
			die(c->head);
		if (c->head[0] == '$' && c->head[1] != '-')
			c->skip = strtoul(c->head + 1, NULL, 10) + 2;
		else
			ended++;
	}
	return ended;
}

static void send_next(struct client *c, struct batch *batch, size_t batches, uint64_t *next, size_t pipeline, uint64_t keys, size_t value,
	uint64_t *random)
{
	struct batch *b = next ? batch : &batch[sim_random(random) % batches];

	if (next)
		make_batch(b, 1, next, pipeline, keys, value, random);
	send_batch(c, b, pipeline);
}

static int open_client(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 1 << 20;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 8) {
		fputs("usage: load SOCKET set|get CLIENTS PIPELINE REQUESTS KEYS VALUE_BYTES\n", stderr);
		return 2;
	}
	int fill = strcmp(argv[2], "fill") == 0, set = fill || strcmp(argv[2], "set") == 0;
	size_t clients = strtoul(argv[3], NULL, 10), pipeline = strtoul(argv[4], NULL, 10), value = strtoul(argv[7], NULL, 10);
	uint64_t requests = strtoull(argv[5], NULL, 10), keys = strtoull(argv[6], NULL, 10), random = 1;
	uint64_t next = 0;

	if (fill)
		requests = (keys + pipeline - 1) / pipeline * pipeline;
	size_t batches = MEMORY / (pipeline * (set ? value + 96 : 64));
	batches = batches > BATCHES ? BATCHES : batches < 64 ? 64 : batches;
	struct batch *batch = calloc(batches, sizeof(*batch));
	struct client *client = calloc(clients, sizeof(*client));
	uint64_t to_send = requests / pipeline, sent = 0, done = 0;
	double *took = calloc(to_send + clients + 1, sizeof(*took));
	static char input[1 << 18];

	for (size_t i = 0; i < batches && !fill; i++)
		make_batch(&batch[i], set, NULL, pipeline, keys, value, &random);
	int poll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < clients; i++) {
		client[i].fd = open_client(argv[1]);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &client[i] };
		epoll_ctl(poll, EPOLL_CTL_ADD, client[i].fd, &e);
	}
	double began = now();
	for (size_t i = 0; i < clients && sent < to_send; i++)
		send_next(&client[i], batch, batches, fill ? &next : NULL, pipeline, keys, value, &random), sent++;
	while (done < sent) {
		struct epoll_event e[256];
		int n = epoll_wait(poll, e, 256, 30000);
		if (n == 0)
			die("no reply for 30 s");
		for (int i = 0; i < n; i++) {
			struct client *c = e[i].data.ptr;
			ssize_t len = recv(c->fd, input, sizeof(input), MSG_DONTWAIT);
			if (len <= 0 && errno != EAGAIN)
				die("receive");
			size_t ended = len > 0 ? count_replies(c, input, (size_t)len) : 0;
			c->waiting -= ended;
			if (c->waiting || !ended)
				continue;
			took[done++] = now() - c->sent;
			if (sent < to_send) {
				send_next(c, batch, batches, fill ? &next : NULL, pipeline, keys, value, &random);
				sent++;
			}
		}
	}
	double seconds = now() - began;
	qsort(took, done, sizeof(*took), compare);
	printf("%.0f %.3f %.3f %.3f %.3f\n", (double)(done * pipeline) / seconds, took[done / 2] * 1e3, took[done - 1 - done / 100] * 1e3,
		took[done - 1 - done / 1000] * 1e3, took[done - 1] * 1e3);
	return 0;
}
