/* SPDX-License-Identifier: MIT
 *
 * Nanoseconds per request of the reader and per reply of the writer; best of several rounds, since the
 * machine has other work, too. Not a test: it prints and always succeeds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "proto/resp.h"

enum { BUFFER = 16384, ROUNDS = 40, ROUND_NS = 5000000 };

static const struct resp_limits limits = { .inline_bytes = 65536, .bulk_bytes = 512 << 20, .args = 1 << 20 };

struct workload {
	const char *name;
	size_t (*run)(struct buf *b); /* once through the buffer; returns the requests or replies */
	struct buf buffer;
};

static void fill(struct buf *b, const char *request)
{
	struct slice s = slice_str(request);

	while (b->len + s.len <= BUFFER)
		buf_append_slice(b, s);
	if (b->failed)
		abort();
}

static size_t read_all(struct buf *b)
{
	static struct resp_reader r; /* as warm as that of a connection */
	struct resp_request q;
	size_t used = 0, n = 0;

	if (!r.limits)
		resp_reader_init(&r, &limits);
	while (resp_read(&r, b->ptr + used, b->len - used, &q) == 0) {
		used += q.size;
		n++;
	}
	if (used != b->len)
		abort();
	return n;
}

static size_t read_bytewise(struct buf *b)
{
	struct resp_reader r;
	struct resp_request q;
	size_t used = 0, n = 0;

	resp_reader_init(&r, &limits);
	for (size_t fed = 1; fed <= b->len; fed++)
		if (resp_read(&r, b->ptr + used, fed - used, &q) == 0) {
			used += q.size;
			n++;
		}
	resp_reader_free(&r);
	return n;
}

static size_t write_bulks(struct buf *b)
{
	static const char value[100];
	struct resp_writer w = { .out = b, .proto = 2 };

	b->len = 0;
	for (size_t i = 0; i < 128; i++)
		resp_bulk(&w, slice(value, sizeof(value)));
	return 128;
}

static size_t write_ints(struct buf *b)
{
	struct resp_writer w = { .out = b, .proto = 2 };

	b->len = 0;
	for (int64_t i = 0; i < 1024; i++)
		resp_int(&w, i * 77);
	return 1024;
}

static double measure(struct workload *l)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = clock_mono_ns(&clock_system), now;
		size_t n = 0;
		do {
			n += l->run(&l->buffer);
			now = clock_mono_ns(&clock_system);
		} while (now - start < ROUND_NS);
		double ns = (double)(now - start) / (double)n;
		best = ns < best ? ns : best;
	}
	return best;
}

#define VALUE20 "vvvvvvvvvvvvvvvvvvvv"

int main(void)
{
	struct workload loads[] = {
		{ "read framed GET, 16-byte key", read_all, { 0 } },
		{ "read framed SET, 100-byte value", read_all, { 0 } },
		{ "read framed MGET of 16 keys", read_all, { 0 } },
		{ "read inline GET, 16-byte key", read_all, { 0 } },
		{ "read framed GET a byte at a time", read_bytewise, { 0 } },
		{ "write bulk of 100 bytes", write_bulks, { 0 } },
		{ "write integer", write_ints, { 0 } },
	};
	size_t n = sizeof(loads) / sizeof(loads[0]);

#define KEY "$16\r\nkey:000000000001\r\n"
#define KEYS4 KEY KEY KEY KEY
	fill(&loads[0].buffer, "*2\r\n$3\r\nGET\r\n" KEY);
	fill(&loads[1].buffer,
		"*3\r\n$3\r\nSET\r\n" KEY "$100\r\n" VALUE20 VALUE20 VALUE20 VALUE20 VALUE20 "\r\n");
	fill(&loads[2].buffer, "*17\r\n$4\r\nMGET\r\n" KEYS4 KEYS4 KEYS4 KEYS4);
	fill(&loads[3].buffer, "GET key:000000000001\r\n");
	fill(&loads[4].buffer, "*2\r\n$3\r\nGET\r\n" KEY);
	for (size_t i = 0; i < n; i++) {
		printf("%-36s %8.1f ns\n", loads[i].name, measure(&loads[i]));
		buf_free(&loads[i].buffer);
	}
	return 0;
}
