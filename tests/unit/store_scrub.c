/* SPDX-License-Identifier: MIT
 *
 * Reading everything back while the store is open: what is found and told, who waits for it and is woken, and that it neither holds up the owner nor the end.
 */
#include "store_fixture.h"

static void fill(struct fx *f)
{
	fx_init(f, simdisk_new(1));
	f->options.flags = STORE_CREATE;
	f->options.cache_size = 0;
	fx_must_open(f);
	char key[16];
	for (unsigned i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "key%02u", i % 50);
		if (fx_put_size(f, key, (char)('a' + i % 26), 50000) || fx_wait(f))
			bail("a write is not taken");
	}
}

/* Changes a bit in the value of the n-th record of a key in the first segment. */
static void damage(struct fx *f, const char *key, unsigned nth)
{
	size_t size;
	unsigned char *p = simdisk_file(f->disk, SEG1, &size), *at = p;

	for (unsigned i = 0; i <= nth; i++)
		if (!(at = memmem(at + 1, size - (size_t)(at + 1 - p), key, strlen(key))))
			bail("%s is not there", key);
	at[strlen(key) + 100] ^= 1;
}

static struct store_scrub state(struct fx *f)
{
	struct store_scrub s;

	store_scrub_state(f->store, &s);
	return s;
}

static void pass(struct fx *f)
{
	uint64_t passes = state(f).passes;

	if (store_scrub_begin(f->store, true) || !FX_UNTIL(f, state(f).passes > passes))
		bail("no pass");
}

static void test_pass(void)
{
	const struct fx_told *told = NULL;
	struct fx f;

	fill(&f);
	pass(&f);
	struct store_scrub s = state(&f);
	ok(s.records == 60 && s.damaged == 0 && s.standing == 0 && !s.running && s.ended_ms == f.clock.wall && s.segments == s.of,
		"a pass reads all there is");
	ok(fx_count(&f, STORE_EVENT_SCRUBBED, &told) == 1 && told->records == 60, "and tells its end");
	damage(&f, "key05", 0);
	pass(&f);
	s = state(&f);
	ok(s.records == 59 && s.damaged == 1 && s.standing == 1, "damage is counted");
	ok(fx_count(&f, STORE_EVENT_DAMAGE, &told) == 1 && strcmp(told->file, SEG1) == 0 && strstr(told->text, "an older value of key \"key05\""),
		"and told, with file and key: %s", told->text);
	damage(&f, "key11", 0);
	pass(&f);
	ok(fx_count(&f, STORE_EVENT_DAMAGE, &told) == 3 && strstr(told->text, "key"), "what lives is told apart from garbage");
	unsigned live = 0;
	for (unsigned i = 0; i < f.tells; i++)
		live += strstr(f.told[i].text, "the current value of key \"key11\"") != NULL;
	ok(live == 1, "by the directory of keys");
	damage(&f, "key11", 0);
	damage(&f, "key05", 0);
	pass(&f);
	ok(state(&f).standing == 0, "a pass that finds nothing ends the trouble");
	fx_done(&f);
}

static void test_unreadable(void)
{
	struct fx f;

	fill(&f);
	simdisk_fail(f.disk, SIM_READ, 1, 1000000, -EIO);
	pass(&f);
	ok(state(&f).damaged > 0, "what cannot be read is damage");
	simdisk_fail(f.disk, SIM_READ, 0, 0, 0);
	pass(&f);
	ok(state(&f).damaged == 0, "until it can be read again");
	fx_done(&f);
}

static void test_wait(void)
{
	struct fx f;
	int token;

	fill(&f);
	struct store_fetch *w = store_fetch_new(f.store, &token);
	is_int(store_scrub_wait(f.store, NULL), STORE_PENDING, "without a place to wait it says that one is needed");
	is_int(store_scrub_wait(f.store, w), STORE_PENDING, "who waits begins a pass");
	is_int(store_fetch_start(w), 0, "and is parked");
	ok(FX_UNTIL(&f, f.tokens == 1) && f.token[0] == &token, "its end wakes it");
	is_int(store_scrub_wait(f.store, w), 0, "then it has what it waited for");
	ok(state(&f).passes == 1, "and no second pass was begun");
	store_fetch_reset(w);
	store_fetch_free(w);

	simdisk_hold(f.disk, SIM_READ, true);
	struct store_fetch *gone = store_fetch_new(f.store, &token);
	is_int(store_scrub_wait(f.store, gone), STORE_PENDING, "another waits");
	store_fetch_free(gone);
	is_str(fx_get(&f, "none"), "(absent)", "the owner goes on while the disk does not answer");
	is_int(fx_put(&f, "new", "value"), 0, "and takes writes");
	simdisk_hold(f.disk, SIM_READ, false);
	ok(FX_UNTIL(&f, state(&f).passes == 2) && f.tokens == 1, "who has left is not called");
	fx_done(&f);
}

static void test_end(void)
{
	struct fx f;

	fill(&f);
	store_set_scrub(f.store, 1, 0);
	is_int(store_scrub_begin(f.store, false), 0, "a pass of one byte a second begins");
	is_int(store_scrub_begin(f.store, false), 0, "a second one joins it");
	ok(state(&f).running, "it runs");
	is_int(fx_close(&f), 0, "the store closes without waiting for it");
	fx_done(&f);
}

static void test_time(void)
{
	struct fx f;

	fill(&f);
	store_set_scrub(f.store, 0, 86400000);
	store_scrub_tick(f.store);
	ok(!state(&f).running, "a store that never had a pass is left alone at first");
	f.clock.wall += 3600000;
	store_scrub_tick(f.store);
	ok(FX_UNTIL(&f, state(&f).passes == 1), "for an hour");
	store_scrub_tick(f.store);
	ok(!state(&f).running, "the next one waits for its time");
	fx_close(&f);
	fx_must_open(&f);
	store_set_scrub(f.store, 0, 86400000);
	f.clock.wall += 86400000 - 1;
	store_scrub_tick(f.store);
	ok(!state(&f).running, "which is kept over a restart");
	f.clock.wall += 1;
	store_scrub_tick(f.store);
	ok(FX_UNTIL(&f, state(&f).passes == 1), "and comes");
	f.clock.wall -= UINT64_C(1000) * 86400000;
	fx_close(&f);
	fx_must_open(&f);
	store_set_scrub(f.store, 0, 86400000);
	f.clock.wall += 86400000;
	store_scrub_tick(f.store);
	ok(FX_UNTIL(&f, state(&f).passes == 1), "a clock set back does not put it off");
	fx_done(&f);
}

int main(void)
{
	test_pass();
	test_unreadable();
	test_wait();
	test_end();
	test_time();
	return done();
}
