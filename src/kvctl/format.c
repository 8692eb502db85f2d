/* SPDX-License-Identifier: MIT */
#include "kvctl/format.h"

#include <inttypes.h>
#include "base/num.h"
#include "kvctl/csv.h"
#include "kvctl/output.h"
#include "kvctl/record.h"

static const char *const names[] = {
	[FORMAT_NDJSON] = "ndjson", [FORMAT_CSV] = "csv", [FORMAT_RESP] = "resp"
};

static bool has_ending(struct slice name, const char *ending)
{
	size_t n = strlen(ending);

	return name.len > n + 1 && name.ptr[name.len - n - 1] == '.' &&
	       slice_is(slice_skip(name, name.len - n), ending);
}

enum kvctl_exit format_choose(struct kvctl *k, const struct args *a, enum format *ret)
{
	struct slice wanted;
	bool given = args_option(a, "format", &wanted);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (given ? slice_eq(wanted, slice_str(names[i])) : has_ending(args_at(a, 0), names[i])) {
			*ret = (enum format)i;
			return KVCTL_DONE;
		}
	if (given)
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no format; there are ndjson, csv and resp",
			(int)wanted.len, wanted.ptr);
	*ret = FORMAT_NDJSON;
	return KVCTL_DONE;
}

static void append_csv(struct buf *out, struct slice key, struct slice value, int64_t ttl_ms)
{
	csv_append(out, key);
	buf_append_char(out, ',');
	csv_append(out, value);
	buf_append_char(out, ',');
	if (ttl_ms >= 0)
		buf_printf(out, "%" PRId64, ttl_ms);
	buf_append_char(out, '\n');
}

static void append_word(struct buf *out, struct slice word)
{
	char head[NUM_I64_CHARS + 3] = "$";
	size_t n = 1 + num_format_u64(head + 1, word.len);

	memcpy(head + n, "\r\n", 2);
	buf_append(out, head, n + 2);
	buf_append_slice(out, word);
	buf_append(out, "\r\n", 2);
}

static void append_resp(struct buf *out, struct slice key, struct slice value, int64_t ttl_ms)
{
	char digits[NUM_I64_CHARS];

	buf_append_str(out, ttl_ms >= 0 ? "*5\r\n" : "*3\r\n");
	append_word(out, SLICE("SET"));
	append_word(out, key);
	append_word(out, value);
	if (ttl_ms >= 0) {
		append_word(out, SLICE("PX"));
		append_word(out, slice(digits, num_format_i64(digits, ttl_ms)));
	}
}

void format_append(struct buf *out, enum format f, struct slice key, struct slice value, int64_t ttl_ms)
{
	switch (f) {
	case FORMAT_NDJSON:
		record_append(out, key, value, ttl_ms);
		break;
	case FORMAT_CSV:
		append_csv(out, key, value, ttl_ms);
		break;
	case FORMAT_RESP:
		append_resp(out, key, value, ttl_ms);
		break;
	}
}
