/* SPDX-License-Identifier: MIT
 *
 * From options to the server and its store: at the start, by CONFIG SET, by a reload. A new set is taken as a whole
 * or not at all.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "daemon/journal.h"
#include "daemon/notify.h"
#include "daemon/server.h"

void settings_apply(struct server *s)
{
	const struct options *o = &s->options;
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO,
		LOG_LEVEL_DEBUG };
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t max_value = option_number(o, OPTION_MAX_VALUE_SIZE), n;

	log_level = levels[option_number(o, OPTION_LOG_LEVEL)];
	s->limits = (struct resp_limits){ .inline_bytes = 65536, .bulk_bytes = max_value, .args = 1048576, .large_bytes = BLOCK_LEAST };
	n = option_number(o, OPTION_CLIENT_QUERY_LIMIT);
	s->query_limit = n ? n : max_value + ((size_t)64 << 20);
	s->output_limit = option_number(o, OPTION_CLIENT_OUTPUT_LIMIT);
	n = option_number(o, OPTION_CLIENT_OUTPUT_TOTAL);
	s->output_total = n ? n : memory / 4;
	n = option_number(o, OPTION_MAX_CLIENTS);
	s->max_clients = n < s->descriptors ? n : s->descriptors;
	if (!s->store)
		return;
	/* An interval of 0 is "off": nobody syncs by time, which is the policy never. */
	enum store_durability d = (enum store_durability)option_number(o, OPTION_DURABILITY);
	uint32_t interval = (uint32_t)option_number(o, OPTION_DURABILITY_INTERVAL);
	store_set_durability(s->store, d == STORE_INTERVAL && interval == 0 ? STORE_NEVER : d, interval);
	store_set_segment_size(s->store, option_number(o, OPTION_SEGMENT_SIZE));
	store_set_max_value(s->store, (uint32_t)max_value);
	store_set_scrub(s->store, option_number(o, OPTION_SCRUB_RATE), option_number(o, OPTION_SCRUB_INTERVAL));
	store_set_compression(s->store, (enum store_codec)option_number(o, OPTION_COMPRESSION), (int)option_number(o, OPTION_COMPRESSION_LEVEL),
		(uint32_t)option_number(o, OPTION_COMPRESSION_MIN));
	compaction_apply(s);
	if (!s->env)
		return;
	cmd_set_events(s->env, option_text(o, OPTION_NOTIFY_KEYSPACE_EVENTS));
	n = option_number(o, OPTION_SLOWLOG_LOG_SLOWER_THAN);
	cmd_set_slowlog(s->env, n == OPTION_UNSET ? -1 : (int64_t)n, option_number(o, OPTION_SLOWLOG_MAX_LEN));
	cmd_set_debug(s->env, option_number(o, OPTION_ENABLE_DEBUG_COMMAND));
	cmd_set_latency(s->env, option_number(o, OPTION_LATENCY_MONITOR_THRESHOLD));
}

static void warn_unchangeable(const struct options *old, const struct options *new)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if (!option_info((size_t)i)->reloadable && strcmp(old->value[i].text, new->value[i].text) != 0)
			log_warning("%s is changed only at the next start", option_info((size_t)i)->name);
}

/* What cannot change now keeps the value that is in force. */
static void keep_unchangeable(struct options *old, struct options *new)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if (!option_info((size_t)i)->reloadable) {
			struct option_value v = new->value[i];
			new->value[i] = old->value[i];
			old->value[i] = v;
		}
}

void settings_set(struct server *s, struct options *new)
{
	keep_unchangeable(&s->options, new);
	options_free(&s->options);
	s->options = *new;
	*new = (struct options){ 0 };
	settings_apply(s);
	events_arm_expire(s);
}

void settings_reload(struct server *s)
{
	struct options new;
	struct error e = { 0 };

	if (s->stopping)
		return;
	notify_reloading();
	if (options_load(s->command, environ, &new, &e)) {
		journal_write(JOURNAL_RELOAD_FAILED, LOG_LEVEL_ERROR, "the old configuration stays in force: %s", e.text);
		snprintf(s->reload_problem, sizeof(s->reload_problem), "%s", e.text);
	} else {
		warn_unchangeable(&s->options, &new);
		settings_set(s, &new);
		journal_write(JOURNAL_RELOADED, LOG_LEVEL_NOTICE, "the configuration was read anew");
		s->reload_problem[0] = '\0';
	}
	server_say_status(s);
	notify_ready();
}
