/* SPDX-License-Identifier: MIT
 *
 * Figures of the key directory: memory by key (growth of VmRSS) and time by operation.
 *
 *	keydir_bench [keys] [random|shuffled|ascending]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/hash.h"
#include "store/keydir.h"

#define BATCH 64

enum kind { RANDOM, SHUFFLED, ASCENDING };
static const char *const kinds[] = { "random", "shuffled", "ascending" };

static uint64_t rss_bytes(void)
{
	uint64_t kb = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmRSS: %" SCNu64, &kb);
	if (f)
		fclose(f);
	return kb * 1024;
}

/* Key number i; 0 <= i < n. The shuffled ones are the ascending ones in an order of their own. */
static struct slice make_key(char *out, enum kind kind, uint64_t i, uint64_t n)
{
	if (kind == RANDOM) {
		uint64_t a = hash_u64(i * 2 + 1), b = hash_u64(a ^ i);
		memcpy(out, &a, 8);
		memcpy(out + 8, &b, 8);
		return slice(out, 16);
	}
	if (kind == SHUFFLED)
		i = (i * UINT64_C(7368787) + 12345) % n; /* a prime: every number comes once */
	memcpy(out, "key:", 4);
	for (int d = 11; d >= 0; d--, i /= 10)
		out[4 + d] = (char)('0' + i % 10);
	return slice(out, 16);
}

static double since(uint64_t start, uint64_t n)
{
	return (double)(clock_mono_ns(&clock_system) - start) / (double)n;
}

static void bench_lookups(
	struct keydir *k, enum kind kind, uint64_t n, const uint64_t *order, uint64_t rounds)
{
	static char keys[BATCH][16];
	struct keydir_probe probes[BATCH];
	struct keydir_entry e = { 0, 0 };
	uint64_t misses = 0, start = clock_mono_ns(&clock_system);

	for (uint64_t i = 0; i < rounds; i++)
		misses += keydir_get(k, make_key(keys[0], kind, order[i], n), &e) != 0 || e.where != order[i];
	double alone = since(start, rounds);
	start = clock_mono_ns(&clock_system);
	for (uint64_t i = 0; i + BATCH <= rounds; i += BATCH) {
		for (unsigned j = 0; j < BATCH; j++)
			probes[j] = (struct keydir_probe){ .k = k,
				.key = make_key(keys[j], kind, order[i + j], n) };
		keydir_find(probes, BATCH);
		for (unsigned j = 0; j < BATCH; j++)
			misses += !probes[j].found || probes[j].entry.where != order[i + j];
	}
	printf("  lookup %.0f ns; %d at once %.0f ns each\n", alone, BATCH, since(start, rounds));
	if (misses)
		printf("  WRONG: %" PRIu64 " misses\n", misses);
}

static void bench_scan(const struct keydir *k)
{
	struct keydir_cursor *c = keydir_cursor_new(k);
	uint64_t n = 0, start = clock_mono_ns(&clock_system);

	for (int r = keydir_seek(c, slice(NULL, 0), 0); r == 0; r = keydir_next(c))
		n++;
	printf("  scan %.0f ns a key%s\n", since(start, n), n == keydir_count(k) ? "" : " WRONG");
	keydir_cursor_free(c);
}

/* A scan of one directory builds the next. */
static void bench_build(const struct keydir *k)
{
	struct keydir *built = keydir_new();
	struct keydir_builder *b = keydir_builder_new(built);
	struct keydir_cursor *c = keydir_cursor_new(k);
	uint64_t start = clock_mono_ns(&clock_system), n = keydir_count(k);

	for (int r = keydir_seek(c, slice(NULL, 0), 0); r == 0; r = keydir_next(c))
		keydir_builder_add(b, keydir_cursor_key(c), keydir_cursor_entry(c));
	bool good = keydir_builder_end(b) == 0 && keydir_count(built) == n;
	printf("  scan and build %.0f ns a key, %.1f bytes%s\n", since(start, n), (double)keydir_bytes(built) / (double)n,
		good ? "" : " WRONG");
	keydir_cursor_free(c);
	keydir_free(built);
}

static void bench(enum kind kind, uint64_t n)
{
	uint64_t rounds = n < 1000000 ? n : 1000000;
	uint64_t *order = malloc(rounds * sizeof(*order));
	char key[16];
	struct keydir_entry old;

	for (uint64_t i = 0; i < rounds; i++)
		order[i] = hash_u64(i + 77) % n;
	uint64_t before = rss_bytes(), start = clock_mono_ns(&clock_system);
	struct keydir *k = keydir_new();
	for (uint64_t i = 0; i < n; i++)
		keydir_put(k, make_key(key, kind, i, n), (struct keydir_entry){ i, KEYDIR_NO_EXPIRY }, &old);
	printf("%" PRIu64 " %s keys\n  insert %.0f ns\n", n, kinds[kind], since(start, n));
	printf("  memory %.1f bytes a key by VmRSS, %.1f by keydir_bytes\n",
		(double)(rss_bytes() - before) / (double)n, (double)keydir_bytes(k) / (double)n);
	bench_lookups(k, kind, n, order, rounds);
	bench_scan(k);
	bench_build(k);
	start = clock_mono_ns(&clock_system);
	for (uint64_t i = 0; i < n; i++)
		keydir_delete(k, make_key(key, kind, i, n), &old);
	printf("  delete %.0f ns\n", since(start, n));
	printf("  left %.1f MiB\n", (double)(int64_t)(rss_bytes() - before) / 1048576);
	fflush(stdout);
	keydir_free(k);
	free(order);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

	for (int i = 0; n && i < 3; i++)
		if (argc < 3 || strcmp(argv[2], kinds[i]) == 0)
			bench((enum kind)i, n);
	return 0;
}
