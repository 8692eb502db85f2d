/* SPDX-License-Identifier: MIT
 *
 * Segments closed by hand, and snapshots: what they hold, and what every fault on the way leaves behind.
 */
#include "store_fixture.h"

#define SEG2 "0000000002.seg"
#define SEG3 "0000000003.seg"

static bool has_file(struct fx *f, const char *name)
{
	size_t size;

	return simdisk_file(f->disk, name, &size) != NULL;
}

static bool rotate(struct fx *f, uint64_t *ret_segment)
{
	return store_rotate(f->store, ret_segment) == 0 && FX_UNTIL(f, store_rotated(f->store, *ret_segment));
}

static void test_rotate(void)
{
	struct store_stats before, after;
	struct buf data = { 0 };
	uint64_t segment = 0;
	struct fx f;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	ok(rotate(&f, &segment) && segment == 1 && !has_file(&f, SEG2), "an empty segment is not closed");
	fx_put(&f, "a", "1");
	ok(rotate(&f, &segment) && segment == 2, "a segment is closed by hand");
	ok(has_file(&f, SEG2) && store_durable(f.store) == store_position(f.store), "then what it holds is on disk, and the next is there");
	ok(rotate(&f, &segment) && segment == 2 && !has_file(&f, SEG3), "which is empty, so closing it does nothing");
	fx_put(&f, "b", "2");
	ok(rotate(&f, &segment) && segment == 3 && has_file(&f, SEG3), "written to, it is closed as well");
	fx_put(&f, "c", "3");
	fx_dump(&f, &data);
	store_stats(f.store, &before);
	fx_wait(&f);
	fx_kill(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &data), "nothing is lost, nothing is in the wrong order");
	store_stats(f.store, &after);
	ok(after.segments == 3 && after.live_bytes == before.live_bytes, "and the counts are right");
	ok(rotate(&f, &segment) && segment == 4, "a segment can be closed before anything is written");
	fx_put(&f, "d", "4");
	fx_wait(&f);
	fx_dump(&f, &data);
	fx_power(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &data), "what is written behind it survives the power");
	fx_done(&f);
	buf_free(&data);
}

/* A rotation that the disk refuses is taken back and can be had again. */
static void test_rotate_refused(void)
{
	struct buf data = { 0 };
	uint64_t segment = 0;
	struct fx f;

	for (int written = 0; written < 2; written++) {
		fx_init(&f, simdisk_new(2));
		fx_must_open(&f);
		fx_put(&f, "a", "1");
		fx_wait(&f);
		if (written == 0) { /* nothing is in the tail yet */
			fx_close(&f);
			fx_must_open(&f);
		}
		fx_dump(&f, &data);
		simdisk_fail(f.disk, SIM_ANY, 1, 1000, -ENOSPC);
		uint64_t before = store_rollbacks(f.store);
		ok(store_rotate(f.store, &segment) == 0 && FX_UNTIL(&f, store_rollbacks(f.store) != before) &&
				!store_rotated(f.store, segment),
			"a full disk takes the rotation back");
		ok(store_rotate(f.store, &segment) == STORE_REFUSED, "while it is full there is none");
		simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
		ok(FX_UNTIL(&f, store_health(f.store, NULL) == 0), "there is space again");
		ok(rotate(&f, &segment) && segment == 2 && fx_holds(&f, &data), "and the next one is done");
		fx_put(&f, "b", "2");
		fx_wait(&f);
		fx_dump(&f, &data);
		fx_power(&f);
		fx_must_open(&f);
		ok(fx_holds(&f, &data), "with all that was written");
		fx_done(&f);
	}
	buf_free(&data);
}

int main(void)
{
	test_rotate();
	test_rotate_refused();
	return done();
}
