/* SPDX-License-Identifier: MIT
 *
 * Values as rows of bits, the highest of each byte first; behind the end all are zero.
 */
#include "cmd/bit.h"
#include "cmd/large.h"

#include <errno.h>
#include "base/num.h"

bool bit_offset(struct call *call, struct slice s, unsigned unit, uint64_t *ret)
{
	bool scaled = unit && s.len && s.ptr[0] == '#';
	uint64_t n;

	if (scaled)
		s = slice_skip(s, 1);
	if (num_parse_u64(s, &n) == 0 && n < BIT_LIMIT && (!scaled || n * unit < BIT_LIMIT)) {
		*ret = scaled ? n * unit : n;
		return true;
	}
	call_error(call, "ERR bit offset is not an integer or out of range");
	return false;
}

static unsigned get_bit(struct slice s, uint64_t offset)
{
	return offset >> 3 < s.len ? (unsigned char)s.ptr[offset >> 3] >> (7 - (offset & 7)) & 1 : 0;
}

static int set_bit(struct call *call, const struct txn_value *old, size_t len, uint64_t offset, bool on)
{
	size_t at = (size_t)(offset >> 3), bit = 7 - (offset & 7);
	char byte = (char)((at < old->data.len ? old->data.ptr[at] & ~(1 << bit) : 0) | on << bit);
	const struct store_work_input in[] = { { old->data, old->block, 0 }, { slice(&byte, 1), NULL, at } };
	struct txn_value value = { .expire_ms = old->expire_ms };
	int r = large_splice(call, in, 2, len, &value);

	return r ? r : call_put_value(call, call->argv[1], &value, "setbit");
}

int bit_setbit(struct call *call)
{
	struct txn_value old = { .data = { "", 0 }, .expire_ms = STORE_NO_EXPIRY };
	uint64_t offset;
	int64_t on;
	size_t len;
	int r;

	if (!bit_offset(call, call->argv[2], 0, &offset))
		return 0;
	if (num_parse_i64(call->argv[3], &on) || (on & ~INT64_C(1)))
		return call_error(call, "ERR bit is not an integer or out of range");
	r = txn_get(call->txn, call->client->db, call->argv[1], &old);
	if (r && r != STORE_ABSENT)
		return r;
	unsigned before = get_bit(old.data, offset);
	len = old.data.len > offset >> 3 ? old.data.len : (size_t)(offset >> 3) + 1;
	if (r == STORE_ABSENT || len > old.data.len || before != on) {
		r = set_bit(call, &old, len, offset, on);
		if (r)
			return r;
	}
	resp_int(&call->out, before);
	return 0;
}

int bit_getbit(struct call *call)
{
	struct txn_value v = { .data = { "", 0 } };
	uint64_t offset;
	int r;

	if (!bit_offset(call, call->argv[2], 0, &offset))
		return 0;
	r = call_part(call, call->argv[1], (size_t)(offset >> 3), 1, &v);
	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, r ? 0 : get_bit(v.data, offset & 7));
	return 0;
}

/* ---- ranges ---- */

/* start, end and unit as BITCOUNT and BITPOS take them, from argv[i] on. */
struct bit_range {
	int64_t start, end;
	bool has_end, bits;
};

static bool read_unit(struct call *call, struct slice s, struct bit_range *ret)
{
	ret->bits = slice_is(s, "bit");
	if (ret->bits || slice_is(s, "byte"))
		return true;
	call_syntax(call);
	return false;
}

/* unit_first: which of two errors is told. False: one was replied. */
static bool read_range(struct call *call, size_t i, bool unit_first, struct bit_range *ret)
{
	bool unit = call->argc == i + 3;

	*ret = (struct bit_range){ .end = -1, .has_end = call->argc > i + 1 };
	if (call->argc > i + 3) {
		call_syntax(call);
		return false;
	}
	if (call->argc > i && !call_int(call, call->argv[i], &ret->start))
		return false;
	if (unit && unit_first && !read_unit(call, call->argv[i + 2], ret))
		return false;
	if (ret->has_end && !call_int(call, call->argv[i + 1], &ret->end))
		return false;
	return !unit || unit_first || read_unit(call, call->argv[i + 2], ret);
}

static int64_t from_end(int64_t i, int64_t total)
{
	return i >= 0 ? i : i + total < 0 ? 0 : i + total;
}

/* Turns it into bit positions of a value, first and one past the last. False: it is empty. */
static bool resolve(const struct bit_range *range, size_t len, uint64_t *ret_first, uint64_t *ret_end)
{
	int64_t total = (int64_t)(range->bits ? len * 8 : len), unit = range->bits ? 1 : 8;
	int64_t start = from_end(range->start, total), end = from_end(range->end, total);

	if (end >= total)
		end = total - 1;
	if (start > end)
		return false;
	*ret_first = (uint64_t)(start * unit);
	*ret_end = (uint64_t)((end + 1) * unit);
	return true;
}

static uint64_t count_bytes(const char *p, size_t n)
{
	uint64_t count = 0, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		count += (uint64_t)__builtin_popcountll(word);
	}
	for (; n; p++, n--)
		count += (uint64_t)__builtin_popcount((unsigned char)*p);
	return count;
}

static uint64_t count_bits(struct slice s, uint64_t first, uint64_t end)
{
	uint64_t count = 0;

	for (; first < end && (first & 7); first++)
		count += get_bit(s, first);
	for (; first < end && (end & 7); end--)
		count += get_bit(s, end - 1);
	return first < end ? count + count_bytes(s.ptr + first / 8, (size_t)(end - first) / 8) : count;
}

/* Walks through a value, number[0] to number[1] in bits: here when that is short. */
static int walk(struct call *call, struct store_work *w, const struct txn_value *v, uint64_t *ret)
{
	const struct store_work_input in = { v->data, v->block, 0 };
	const struct store_work *done = w;
	int r;

	w->in = &in;
	w->inputs = 1;
	r = (w->number[1] - w->number[0]) / 8 < BLOCK_LEAST ? w->run(w) : txn_work(call->txn, w, &done);
	if (r == 0)
		*ret = done->result;
	return r;
}

static int run_count(struct store_work *w)
{
	w->result = count_bits(w->in[0].data, w->number[0], w->number[1]);
	return 0;
}

int bit_bitcount(struct call *call)
{
	struct txn_value v;
	struct bit_range range;
	struct store_work w = { .run = run_count };
	uint64_t count = 0;
	int r;

	if (call->argc == 3)
		return call_syntax(call);
	if (!read_range(call, 2, false, &range))
		return 0;
	r = call_get(call, call->argv[1], &v);
	if (r && r != STORE_ABSENT)
		return r;
	bool empty = r || (range.start < 0 && range.end < 0 && range.start > range.end) ||
		     !resolve(&range, v.data.len, &w.number[0], &w.number[1]);
	r = empty ? 0 : walk(call, &w, &v, &count);
	if (r == 0)
		resp_int(&call->out, (int64_t)count);
	return r;
}

/* The first such bit, or end. */
static uint64_t find_bit(struct slice s, unsigned bit, uint64_t first, uint64_t end)
{
	const char none = bit ? 0 : (char)0xff; /* a byte without such a bit */

	while (first < end && (first & 7)) {
		if (get_bit(s, first) == bit)
			return first;
		first++;
	}
	while (first + 8 <= end && s.ptr[first / 8] == none)
		first += 8;
	while (first < end && get_bit(s, first) != bit)
		first++;
	return first;
}

static int run_find(struct store_work *w)
{
	w->result = find_bit(w->in[0].data, (unsigned)w->number[2], w->number[0], w->number[1]);
	return 0;
}

int bit_bitpos(struct call *call)
{
	struct txn_value v;
	struct bit_range range;
	struct store_work w = { .run = run_find };
	uint64_t at;
	int64_t bit;
	int r;

	if (!call_int(call, call->argv[2], &bit))
		return 0;
	if (bit & ~INT64_C(1))
		return call_error(call, "ERR The bit argument must be 1 or 0.");
	if (!read_range(call, 3, true, &range))
		return 0;
	r = call_get(call, call->argv[1], &v);
	if (r && r != STORE_ABSENT)
		return r;
	if (r || !resolve(&range, v.data.len, &w.number[0], &w.number[1])) {
		resp_int(&call->out, r && !bit ? 0 : -1);
		return 0;
	}
	w.number[2] = (uint64_t)bit;
	r = walk(call, &w, &v, &at);
	if (r)
		return r;
	/* A zero is found behind the end of a value, unless the range says where to stop. */
	resp_int(&call->out, at < w.number[1] || (!bit && !range.has_end) ? (int64_t)at : -1);
	return 0;
}

/* ---- BITOP ---- */

enum operation { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT };

static void combine(enum operation op, char *to, size_t n, struct slice from)
{
	size_t common = from.len < n ? from.len : n;

	switch (op) {
	case BIT_AND:
		for (size_t i = 0; i < common; i++)
			to[i] &= from.ptr[i];
		memset(to + common, 0, n - common);
		break;
	case BIT_OR:
		for (size_t i = 0; i < common; i++)
			to[i] |= from.ptr[i];
		break;
	case BIT_XOR:
		for (size_t i = 0; i < common; i++)
			to[i] ^= from.ptr[i];
		break;
	case BIT_NOT:
		for (size_t i = 0; i < n; i++)
			to[i] = (char)~to[i];
		break;
	}
}

static struct slice rest_of(struct slice s, size_t at)
{
	return slice_skip(s, at < s.len ? at : s.len);
}

static void fill_combined(const struct store_work *w, char *to, size_t at, size_t n)
{
	struct slice first = rest_of(w->in[0].data, at);
	enum operation op = (enum operation)w->number[0];

	if (first.len)
		memcpy(to, first.ptr, first.len < n ? first.len : n);
	for (size_t i = 1; i < w->inputs; i++)
		combine(op, to, n, rest_of(w->in[i].data, at));
	if (op == BIT_NOT)
		combine(op, to, n, slice("", 0));
}

static int run_combine(struct store_work *w)
{
	return large_make(w, fill_combined);
}

/* Reads the sources; absent ones are empty. */
static int read_sources(struct call *call, struct store_work_input *source, size_t *ret_len)
{
	struct txn_value v;

	for (size_t i = 3; i < call->argc; i++) {
		int r = call_get(call, call->argv[i], &v);
		if (r && r != STORE_ABSENT)
			return r;
		source[i - 3] = (struct store_work_input){ .data = r ? slice("", 0) : v.data, .block = r ? NULL : v.block };
		*ret_len = source[i - 3].data.len > *ret_len ? source[i - 3].data.len : *ret_len;
	}
	return 0;
}

static int store_result(struct call *call, const struct txn_value *v)
{
	int r = v->data.len ? call_put_value(call, call->argv[2], v, "set") : call_delete(call, call->argv[2]);

	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, (int64_t)v->data.len);
	return 0;
}

int bit_bitop(struct call *call)
{
	static const char *const words[] = { "and", "or", "xor", "not" };
	size_t op = 0, n = call->argc - 3;
	struct store_work w = { .run = run_combine, .inputs = n };
	struct store_work_input *source;
	struct txn_value value = { .expire_ms = STORE_NO_EXPIRY };
	int r;

	while (op < 4 && !slice_is(call->argv[1], words[op]))
		op++;
	if (op == 4)
		return call_syntax(call);
	if (op == BIT_NOT && n != 1)
		return call_error(call, "ERR BITOP NOT must be called with a single source key.");
	source = txn_alloc(call->txn, n * sizeof(*source));
	if (!source)
		return -ENOMEM;
	r = read_sources(call, source, &w.room);
	if (r)
		return r;
	w.in = source;
	w.number[0] = op;
	r = large_value(call, &w, fill_combined, &value);
	return r ? r : store_result(call, &value);
}
