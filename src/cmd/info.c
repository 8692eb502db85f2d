/* SPDX-License-Identifier: MIT
 *
 * INFO and KVD.STATS. Field names that tools of other servers read keep their meaning as far as kvd has such
 * a thing: rdb_* speaks of snapshots, aof_* of the log.
 */
#include "cmd/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

struct info_numbers {
	struct store_stats store;
	struct store_scrub scrub;
	struct cmd_host_stats host;
	const struct counters *counters;
	struct store_snapshot_state snapshot;
	uint64_t position, durable, backlog, refusing, cursors, watched, snapshots, channels, patterns, messages;
};

typedef unsigned long long ull; /* for printf alone */

static void gather(struct cmd_env *e, struct info_numbers *ret)
{
	*ret = (struct info_numbers){ .counters = &e->counters };
	store_stats(e->store, &ret->store);
	store_scrub_state(e->store, &ret->scrub);
	e->host.stats(e->host.arg, &ret->host);
	ret->host.connections_received -= e->host_base.connections_received;
	ret->host.connections_rejected -= e->host_base.connections_rejected;
	ret->host.net_input_bytes -= e->host_base.net_input_bytes;
	ret->host.net_output_bytes -= e->host_base.net_output_bytes;
	ret->store.expired -= e->expired_base;
	ret->position = store_position(e->store);
	ret->durable = store_durable(e->store);
	ret->backlog = store_backlog(e->store);
	ret->refusing = store_health(e->store, NULL) != 0;
	ret->cursors = cursors_count(e->cursors);
	ret->watched = e->nwatches;
	ret->channels = e->pubsub.count[TOPIC_CHANNEL];
	ret->patterns = e->pubsub.count[TOPIC_PATTERN];
	ret->messages = e->pubsub.sent;
	store_snapshot_state(e->store, &ret->snapshot);
	ret->snapshots = store_snapshots(e->store, &(const struct store_snapshot *){ NULL });
}

/* ---- the list of our own numbers ---- */

typedef void stat_each(void *arg, const char *name, uint64_t value);

static void each_stat(const struct info_numbers *n, stat_each *each, void *arg)
{
#define STAT(name, kind, unit, value, help) each(arg, #name, (uint64_t)(value));
#include "cmd/stats.def"
#undef STAT
}

static size_t count_stats(void)
{
	static const char *const names[] = {
#define STAT(name, kind, unit, value, help) #name,
#include "cmd/stats.def"
#undef STAT
	};
	return sizeof(names) / sizeof(names[0]);
}

static void reply_stat(void *arg, const char *name, uint64_t value)
{
	resp_bulk_str(arg, name);
	resp_int(arg, (int64_t)value);
}

static void print_stat(void *arg, const char *name, uint64_t value)
{
	buf_printf(arg, "kvd_%s:%llu\r\n", name, (ull)value);
}

int info_stats(struct call *call)
{
	struct info_numbers n;

	gather(call->env, &n);
	resp_map(&call->out, count_stats());
	each_stat(&n, reply_stat, &call->out);
	return 0;
}

/* ---- the sections ---- */

struct page {
	struct call *call;
	struct buf *out;
	const struct info_numbers *n;
};

static void print_kvd(struct page *p)
{
	const char *why = "";
	char text[100];

	store_health(p->call->env->store, &why);
	if (!*why && p->n->scrub.standing) {
		snprintf(text, sizeof(text), "at least %llu damaged records; damaged/INDEX lists them", (ull)p->n->scrub.standing);
		why = text;
	}
	buf_printf(p->out, "kvd_problem:%s\r\n", why);
	each_stat(p->n, print_stat, p->out);
}

static void print_server(struct page *p)
{
	const struct cmd_host_stats *h = &p->n->host;
	struct utsname u = { 0 };

	uname(&u);
	buf_printf(p->out,
		"redis_version:%s\r\nserver_name:kvd\r\nkvd_version:%s\r\nredis_git_sha1:00000000\r\nredis_"
		"git_dirty:0\r\nredis_build_id:0\r\n",
		CMD_REDIS_VERSION, PACKAGE_VERSION);
	buf_printf(p->out,
		"redis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\nmonotonic_clock:POSIX "
		"clock_gettime\r\nmultiplexing_api:libevent\r\n",
		u.sysname, u.release, u.machine, sizeof(void *) * 8);
	buf_printf(p->out,
		"gcc_version:%s\r\nprocess_id:%ld\r\nrun_id:%s\r\ntcp_port:0\r\nserver_time_usec:%llu\r\n",
		__VERSION__, (long)getpid(), p->call->env->run_id, (ull)clock_wall_ms(&clock_system) * 1000);
	buf_printf(p->out,
		"uptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\nhz:10\r\nconfigured_hz:10\r\nexecutable:%s\r\nconfig_file:%s\r\n",
		(ull)h->uptime_s, (ull)h->uptime_s / 86400, h->executable, h->config_file);
}

static void print_clients(struct page *p)
{
	const struct cmd_host_stats *h = &p->n->host;

	buf_printf(p->out,
		"connected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%llu\r\nclient_recent_max_"
		"input_buffer:%llu\r\n",
		(ull)h->connected_clients, (ull)h->max_clients, (ull)h->recent_max_input);
	buf_printf(p->out,
		"client_recent_max_output_buffer:%llu\r\nblocked_clients:%llu\r\ntracking_clients:"
		"0\r\nclients_in_timeout_table:0\r\n",
		(ull)h->recent_max_output, (ull)h->blocked_clients);
}

static uint64_t read_resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	ull pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void print_size(struct buf *out, const char *name, uint64_t bytes)
{
	static const char units[] = "BKMGT";
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1024 && u < 4; u++)
		v /= 1024;
	buf_printf(out, "%s:%llu\r\n%s_human:", name, (ull)bytes, name);
	buf_printf(out, u ? "%.2f%c\r\n" : "%.0f%c\r\n", v, units[u]);
}

static void print_memory(struct page *p)
{
	const struct store_stats *s = &p->n->store;
	uint64_t data = s->keydir_bytes + s->cache_bytes + s->tail_bytes + s->block_bytes, rss = read_resident();
	uint64_t used = data + p->n->host.output_bytes;
	struct cmd_env *e = p->call->env;
	struct sysinfo si = { 0 };

	if (used > e->memory_peak)
		e->memory_peak = used;
	sysinfo(&si);
	print_size(p->out, "used_memory", used);
	print_size(p->out, "used_memory_rss", rss);
	print_size(p->out, "used_memory_peak", e->memory_peak);
	buf_printf(p->out,
		"used_memory_overhead:%llu\r\nused_memory_startup:0\r\nused_memory_dataset:%llu\r\n",
		(ull)(used - data), (ull)data);
	print_size(p->out, "total_system_memory", (uint64_t)si.totalram * si.mem_unit);
	buf_printf(p->out, "used_memory_lua:0\r\nused_memory_scripts:0\r\nmaxmemory:0\r\nmaxmemory_human:"
			   "0B\r\nmaxmemory_policy:noeviction\r\n");
	buf_printf(p->out,
		"mem_fragmentation_ratio:%.2f\r\nmem_not_counted_for_evict:0\r\nmem_clients_normal:%"
		"llu\r\nmem_aof_buffer:%llu\r\nmem_allocator:libc\r\n",
		used ? (double)rss / (double)used : 1.0, (ull)p->n->host.output_bytes, (ull)p->n->backlog);
}

static void print_persistence(struct page *p)
{
	const struct store_stats *s = &p->n->store;
	const char *state = p->n->refusing ? "err" : "ok";

	const struct store_snapshot_state *snap = &p->n->snapshot;

	buf_printf(p->out,
		"loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:"
		"%d\r\nrdb_last_save_time:%llu\r\n",
		(ull)snap->changes, snap->running && !snap->deleting,
		snap->time_ms ? (ull)snap->time_ms / 1000 : (ull)p->n->host.start_wall_ms / 1000);
	buf_printf(p->out,
		"rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\nrdb_current_bgsave_time_sec:%d\r\n",
		snap->last_result ? "err" : "ok", snap->last_us ? (long long)(snap->last_us / 1000000) : -1,
		snap->running ? 0 : -1);
	buf_printf(p->out, "aof_enabled:1\r\naof_rewrite_in_progress:%d\r\n", s->merging);
	buf_printf(p->out, "aof_rewrite_scheduled:%d\r\naof_last_rewrite_time_sec:-1\r\naof_current_rewrite_"
			   "time_sec:-1\r\naof_last_bgrewrite_status:%s\r\n",
		s->compacting && !s->merging, s->compact_result ? "err" : "ok");
	buf_printf(p->out,
		"aof_last_write_status:%s\r\naof_current_size:%llu\r\naof_base_size:%llu\r\naof_pending_"
		"rewrite:0\r\naof_buffer_length:%llu\r\n",
		state, (ull)s->log_bytes, (ull)s->live_bytes, (ull)p->n->backlog);
	buf_printf(p->out, "aof_pending_bio_fsync:%d\r\naof_delayed_fsync:0\r\n",
		p->n->position > p->n->durable);
}

static void print_stats(struct page *p)
{
	const struct cmd_host_stats *h = &p->n->host;
	const struct cmd_env *e = p->call->env;

	buf_printf(p->out,
		"total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\ninstantaneous_ops_per_"
		"sec:%llu\r\n",
		(ull)h->connections_received, (ull)e->counters.commands, (ull)e->rate.commands_s);
	buf_printf(p->out,
		"total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\ninstantaneous_input_kbps:%."
		"2f\r\ninstantaneous_output_kbps:%.2f\r\n",
		(ull)h->net_input_bytes, (ull)h->net_output_bytes, (double)e->rate.in_s / 1024,
		(double)e->rate.out_s / 1024);
	buf_printf(p->out,
		"rejected_connections:%llu\r\nsync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:"
		"0\r\nexpired_keys:%llu\r\nevicted_keys:0\r\n",
		(ull)h->connections_rejected, (ull)p->n->store.expired);
	buf_printf(p->out,
		"keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\npubsub_channels:%zu\r\npubsub_"
		"patterns:%zu\r\nlatest_fork_usec:0\r\ntotal_forks:0\r\n",
		(ull)e->counters.hits, (ull)e->counters.misses, e->pubsub.count[TOPIC_CHANNEL],
		e->pubsub.count[TOPIC_PATTERN]);
	buf_printf(p->out, "total_error_replies:%llu\r\nunexpected_error_replies:0\r\n",
		(ull)e->counters.errors);
}

static void print_replication(struct page *p)
{
	buf_printf(p->out,
		"role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:%"
		"s\r\nmaster_repl_offset:%llu\r\n",
		p->call->env->run_id, (ull)p->n->position);
	buf_printf(p->out, "second_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\nrepl_"
			   "backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n");
}

static void print_usage(struct buf *out, int who, const char *suffix)
{
	struct rusage u = { 0 };

	getrusage(who, &u);
	buf_printf(out, "used_cpu_sys%s:%ld.%06ld\r\nused_cpu_user%s:%ld.%06ld\r\n", suffix,
		(long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, suffix, (long)u.ru_utime.tv_sec,
		(long)u.ru_utime.tv_usec);
}

static void print_cpu(struct page *p)
{
	print_usage(p->out, RUSAGE_SELF, "");
	print_usage(p->out, RUSAGE_CHILDREN, "_children");
}

static void print_commandstats(struct page *p)
{
	const struct cmd_env *e = p->call->env;

	for (size_t i = 0; i < e->ncommands; i++) {
		const struct command *k = &e->commands[i];
		double usec = (double)k->sampled_ns * CALL_SAMPLE / 1000;
		if (k->calls || k->rejected)
			buf_printf(p->out,
				"cmdstat_%s:calls=%llu,usec=%.0f,usec_per_call=%.2f,rejected_calls=%llu,"
				"failed_calls=%llu\r\n",
				k->info->name, (ull)k->calls, usec, k->calls ? usec / (double)k->calls : 0.0,
				(ull)k->rejected, (ull)k->failed);
	}
}

static void print_errorstats(struct page *p)
{
	const struct cmd_env *e = p->call->env;

	for (size_t i = 0; i < ERROR_CLASSES && e->errors[i].count; i++)
		buf_printf(p->out, "errorstat_%s:count=%llu\r\n", e->errors[i].name, (ull)e->errors[i].count);
}

static void print_latencystats(struct page *p)
{
	timing_print(p->call->env, p->out);
}

static void print_keyspace(struct page *p)
{
	struct cmd_env *e = p->call->env;

	for (unsigned db = 0; db < store_databases(e->store); db++) {
		uint64_t keys = txn_count(p->call->txn, db);
		if (keys)
			buf_printf(p->out, "db%u:keys=%llu,expires=%llu,avg_ttl=0\r\n", db, (ull)keys,
				(ull)txn_expiring(p->call->txn, db));
	}
}

static const struct section {
	const char *name, *title;
	bool normal; /* shown when nothing is asked for */
	void (*print)(struct page *p);
} sections[] = {
	{ "server", "Server", true, print_server },
	{ "clients", "Clients", true, print_clients },
	{ "memory", "Memory", true, print_memory },
	{ "persistence", "Persistence", true, print_persistence },
	{ "stats", "Stats", true, print_stats },
	{ "replication", "Replication", true, print_replication },
	{ "cpu", "CPU", true, print_cpu },
	{ "commandstats", "Commandstats", false, print_commandstats },
	{ "errorstats", "Errorstats", true, print_errorstats },
	{ "latencystats", "Latencystats", false, print_latencystats },
	{ "keyspace", "Keyspace", true, print_keyspace },
	{ "kvd", "Kvd", true, print_kvd },
};

static bool is_asked(const struct call *call, const struct section *s)
{
	if (call->argc == 1)
		return s->normal;
	for (size_t i = 1; i < call->argc; i++)
		if (slice_is(call->argv[i], s->name) || slice_is(call->argv[i], "all") ||
			slice_is(call->argv[i], "everything") ||
			(s->normal && slice_is(call->argv[i], "default")))
			return true;
	return false;
}

int info_info(struct call *call)
{
	struct info_numbers n;
	struct buf text = { 0 };
	struct page page = { call, &text, &n };

	gather(call->env, &n);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!is_asked(call, &sections[i]))
			continue;
		buf_printf(&text, "%s# %s\r\n", text.len ? "\r\n" : "", sections[i].title);
		sections[i].print(&page);
	}
	resp_verbatim(&call->out, "txt", buf_slice(&text));
	buf_free(&text);
	return 0;
}
