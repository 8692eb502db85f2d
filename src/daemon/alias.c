/* SPDX-License-Identifier: MIT */
#include "daemon/alias.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/num.h"

enum alias_kind {
	ALIAS_FIXED,   /* one value only */
	ALIAS_NUMBER,  /* the option's number as it is */
	ALIAS_SECONDS, /* an option in milliseconds */
	ALIAS_FSYNC,   /* always, everysec, no */
	ALIAS_TEXT,    /* the option's text */
};

static const struct alias {
	const char *name;
	enum alias_kind kind;
	enum option_id id; /* but for ALIAS_FIXED */
	const char *fixed;
} aliases[] = {
	{ "appendfsync", ALIAS_FSYNC, OPTION_DURABILITY, NULL },
	{ "appendonly", ALIAS_FIXED, 0, "yes" },
	{ "client-query-buffer-limit", ALIAS_NUMBER, OPTION_CLIENT_QUERY_LIMIT, NULL },
	{ "dir", ALIAS_TEXT, OPTION_DATA_DIR, NULL },
	{ "maxclients", ALIAS_NUMBER, OPTION_MAX_CLIENTS, NULL },
	{ "maxmemory", ALIAS_FIXED, 0, "0" },
	{ "maxmemory-policy", ALIAS_FIXED, 0, "noeviction" },
	{ "port", ALIAS_FIXED, 0, "0" },
	{ "proto-max-bulk-len", ALIAS_NUMBER, OPTION_MAX_VALUE_SIZE, NULL },
	{ "save", ALIAS_FIXED, 0, "" },
	{ "timeout", ALIAS_SECONDS, OPTION_CLIENT_IDLE_TIMEOUT, NULL },
	{ "unixsocket", ALIAS_TEXT, OPTION_SOCKET, NULL },
	{ "unixsocketperm", ALIAS_TEXT, OPTION_SOCKET_MODE, NULL },
};

static const char *const fsync_words[] = { "always", "everysec", "no" }; /* in the order of durability's choices */

const char *alias_get(const struct options *o, size_t i, struct buf *ret)
{
	if (i >= sizeof(aliases) / sizeof(aliases[0]))
		return NULL;
	const struct alias *a = &aliases[i];
	switch (a->kind) {
	case ALIAS_FIXED:
		buf_append_str(ret, a->fixed);
		break;
	case ALIAS_NUMBER:
		buf_printf(ret, "%" PRIu64, option_number(o, a->id));
		break;
	case ALIAS_SECONDS:
		buf_printf(ret, "%" PRIu64, (option_number(o, a->id) + 999) / 1000);
		break;
	case ALIAS_FSYNC:
		buf_append_str(ret, fsync_words[option_number(o, a->id)]);
		break;
	case ALIAS_TEXT:
		buf_append_str(ret, option_text(o, a->id));
		break;
	}
	return a->name;
}

static int set_fsync(struct options *o, struct slice value, struct error *e)
{
	for (size_t i = 0; i < 3; i++) {
		static const char *const words[] = { "always", "interval", "never" };
		if (!slice_is(value, fsync_words[i]))
			continue;
		int r = i == 1 ? options_set(o, SLICE("durability-interval"), SLICE("1s"), NULL, NULL, e) : 0;
		return r ? r : options_set(o, SLICE("durability"), slice_str(words[i]), NULL, NULL, e);
	}
	return error_set(e, -EINVAL, "'%.*s' is not allowed, use one of always everysec no", (int)(value.len < 64 ? value.len : 64), value.ptr);
}

static int set_number(struct options *o, const struct alias *a, struct slice value, struct error *e)
{
	char text[32];
	uint64_t number;
	int r = a->kind == ALIAS_SECONDS ? num_parse_u64(value, &number) : num_parse_size(value, &number);

	if (r)
		return error_set(e, -EINVAL, "'%.*s' is not a number", (int)(value.len < 64 ? value.len : 64), value.ptr);
	int n = snprintf(text, sizeof(text), "%" PRIu64 "%s", number, a->kind == ALIAS_SECONDS && number ? "s" : "");
	return options_set(o, slice_str(option_info(a->id)->name), slice(text, (size_t)n), NULL, NULL, e);
}

int alias_set(struct options *o, struct slice name, struct slice value, struct error *e)
{
	const struct alias *a = NULL;

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]) && !a; i++)
		a = slice_is(name, aliases[i].name) ? &aliases[i] : NULL;
	if (!a)
		return -ENOENT;
	if (a->kind == ALIAS_FIXED)
		return slice_is(value, a->fixed) ? 0 : error_set(e, -EINVAL, "only '%s' is possible", a->fixed);
	if (!option_info(a->id)->reloadable)
		return -EPERM;
	return a->kind == ALIAS_FSYNC ? set_fsync(o, value, e) : set_number(o, a, value, e);
}
