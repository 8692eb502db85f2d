/* SPDX-License-Identifier: MIT
 *
 * libkvdstore: upkeep and numbers. What runs in the background of a daemon is waited for here, but for kvdstore_maintain.
 */
#include "store/kvdstore_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/snapshot_tool.h"

#define BUSY_MS 10      /* time between calls while threads are at work, */
#define EXPIRING_MS 100 /* while keys may expire, */
#define IDLE_MS 1000    /* and otherwise */

/* True: there are more. */
static bool expire_some(struct kvdstore *s)
{
	unsigned n = STORE_SWEEP_KEYS;

	for (unsigned i = 0; i < STORE_SWEEP_ROUNDS && n >= STORE_SWEEP_KEYS; i++)
		n = store_expire_some(s->store, STORE_SWEEP_PAGES);
	return n >= STORE_SWEEP_KEYS;
}

static void begin_checkpoint(struct kvdstore *s)
{
	uint64_t now = clock_mono_ns(&clock_system);

	if (!store_checkpoint_due(s->store, (now - s->checkpoint_ns) / 1000000, s->checkpoint_interval_ms))
		return;
	s->checkpoint_ns = now;
	(void)store_checkpoint(s->store); /* without one only the next opening takes longer */
}

int kvdstore_maintain(struct kvdstore *s, uint32_t *ret_again_ms)
{
	struct store_stats st;
	const char *why;

	handle_end_loan(s);
	store_poll(s->store);
	bool refused = store_health(s->store, &why) != 0, more = expire_some(s);
	/* On a full disk, too: that is what makes room. */
	store_compact_tick(s->store);
	store_submit(s->store);
	store_poll(s->store);
	begin_checkpoint(s); /* a merge that has just ended was in its way */
	store_stats(s->store, &st);
	if (ret_again_ms)
		*ret_again_ms = more ? 0 : st.merging || st.checkpoint_running ? BUSY_MS : st.expiring ? EXPIRING_MS : IDLE_MS;
	if (refused && store_health(s->store, &why))
		return handle_refuse(s, KVDSTORE_REFUSED, "writes are refused: %s", why);
	return 0;
}

int kvdstore_sync(struct kvdstore *s)
{
	handle_end_loan(s);
	int r = store_wait(s->store, store_position(s->store));
	store_poll(s->store);
	return handle_finish(s, r);
}

int kvdstore_checkpoint(struct kvdstore *s)
{
	struct store_stats st;

	handle_end_loan(s);
	store_stats(s->store, &st);
	uint64_t made = st.checkpoints;
	store_submit(s->store);
	int r = store_checkpoint(s->store);
	if (r)
		return handle_finish(s, r);
	while (store_stats(s->store, &st), st.checkpoint_running)
		handle_wait(s);
	return st.checkpoints > made ? 0 : handle_refuse(s, -EIO, "the checkpoint was not written");
}

int kvdstore_compact(struct kvdstore *s, int all, uint64_t *ret_saved)
{
	struct store_stats st;
	uint64_t ticket;

	handle_end_loan(s);
	if (s->iters)
		return handle_refuse(s, -EBUSY, "compaction must wait until %u iterations have been freed", s->iters);
	int r = store_compact(s->store, all ? STORE_COMPACT_FORCE : 0, &ticket);
	if (r && r != -EALREADY)
		return handle_finish(s, r);
	while (store_stats(s->store, &st), st.compactions_done < ticket)
		handle_wait(s);
	if (st.compact_result) {
		const char *why = store_compact_problem(s->store);
		return handle_refuse(s, st.compact_result, "%s", *why ? why : "the compaction was given up");
	}
	if (ret_saved)
		*ret_saved = st.compact_bytes_saved;
	return 0;
}

/* What a struct of an older or newer program has room for. */
static int give(struct kvdstore *s, void *ret, size_t ret_size, void *all, size_t all_size)
{
	if (ret_size == 0)
		return handle_refuse(s, -EINVAL, "the field size of the struct is not set");
	memcpy(all, &ret_size, sizeof(ret_size)); /* `size` is the first field of each of them */
	memcpy(ret, all, ret_size < all_size ? ret_size : all_size);
	return 0;
}

int kvdstore_verify(struct kvdstore *s, struct kvdstore_verified *ret)
{
	struct store_scrub c;

	handle_end_loan(s);
	int r = store_scrub_begin(s->store, true);
	if (r)
		return handle_finish(s, r);
	while (store_scrub_state(s->store, &c), c.running)
		handle_wait(s);
	struct kvdstore_verified all = { .segments = c.segments, .records = c.records, .bytes = c.bytes, .damaged = c.damaged };
	return give(s, ret, ret->size, &all, sizeof(all));
}

/* ---- snapshots ---- */

static int finish_snapshot(struct kvdstore *s, int r)
{
	struct store_snapshot_state st;

	if (r)
		return handle_finish(s, r);
	while (store_snapshot_state(s->store, &st), st.running)
		handle_wait(s);
	return st.last_result ? handle_refuse(s, st.last_result, "%s", st.problem) : 0;
}

int kvdstore_snapshot(struct kvdstore *s, const char *name)
{
	handle_end_loan(s);
	return finish_snapshot(s, store_snapshot_begin(s->store, name, 0, NULL));
}

int kvdstore_snapshot_delete(struct kvdstore *s, const char *name)
{
	handle_end_loan(s);
	return finish_snapshot(s, store_snapshot_delete(s->store, name));
}

int kvdstore_snapshot_verify(struct kvdstore *s, const char *name, uint64_t *ret_records)
{
	struct store_snapshot_check check;
	struct error e = { 0 };

	handle_end_loan(s);
	int r = store_snapshot_verify(NULL, s->path, name, &check, &e);
	if (r)
		return handle_refuse(s, r, "%s", e.text);
	if (ret_records)
		*ret_records = check.records;
	return 0;
}

int kvdstore_snapshots(struct kvdstore *s, struct kvdstore_snapshot_info **ret, size_t *ret_count)
{
	const struct store_snapshot *all;
	size_t n = store_snapshots(s->store, &all);
	struct kvdstore_snapshot_info *list = n ? calloc(n, sizeof(*list)) : NULL;

	handle_end_loan(s);
	if (n && !list)
		return handle_refuse(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		list[i] = (struct kvdstore_snapshot_info){ .damaged = all[i].damaged, .time_ms = all[i].time_ms, .bytes = all[i].bytes,
			.segments = all[i].segments };
		memcpy(list[i].name, all[i].name, sizeof(list[i].name));
	}
	*ret = list;
	*ret_count = n;
	return 0;
}

/* ---- numbers ---- */

int kvdstore_stats(struct kvdstore *s, struct kvdstore_stats *ret)
{
	const struct store_snapshot *snapshots;
	struct store_stats st;

	store_stats(s->store, &st);
	struct kvdstore_stats all = {
		.keys = st.keys,
		.segments = st.segments,
		.log_bytes = st.log_bytes,
		.live_bytes = st.live_bytes,
		.index_bytes = st.keydir_bytes,
		.expiring_keys = st.expiring,
		.garbage_bytes = st.garbage_bytes,
		.cache_bytes = st.cache_bytes,
		.tail_bytes = st.tail_bytes,
		.cache_hits = st.cache_hits,
		.cache_misses = st.cache_misses,
		.commits = st.commits,
		.records = st.records,
		.appended_bytes = st.bytes_appended,
		.syncs = st.syncs,
		.sync_us_total = st.sync_us_total,
		.sync_us_max = st.sync_us_max,
		.position = store_position(s->store),
		.durable_position = store_durable(s->store),
		.merges = st.merges,
		.merges_failed = st.merges_failed,
		.merge_read_bytes = st.merge_bytes_read,
		.merge_written_bytes = st.merge_bytes_written,
		.merge_saved_bytes = st.merge_bytes_saved,
		.checkpoint_position = st.checkpoint_position,
		.checkpoint_bytes = st.checkpoint_bytes,
		.checkpoint_keys = st.checkpoint_keys,
		.checkpoints = st.checkpoints,
		.checkpoint_failures = st.checkpoint_failures,
		.damaged_records = st.damaged,
		.recovered_records = st.recovered_records,
		.recovered_bytes = st.recovered_bytes,
		.recovery_us = st.recovery_us,
		.tail_bytes_cut = st.tail_bytes_cut,
		.compressed_records = st.compressed_records,
		.compressed_from_bytes = st.compressed_from,
		.compressed_to_bytes = st.compressed_to,
		.snapshots = store_snapshots(s->store, &snapshots),
	};
	handle_end_loan(s);
	return give(s, ret, ret->size, &all, sizeof(all));
}
