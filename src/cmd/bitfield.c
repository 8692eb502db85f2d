/* SPDX-License-Identifier: MIT
 *
 * BITFIELD: integers of 1 to 64 bits anywhere in a value. All words are checked before the first is done; then they
 * are done in order on copies of the bytes they are in, which are written over the value when any may have changed.
 */
#include "cmd/bit.h"
#include "cmd/large.h"

#include <errno.h>
#include <stdlib.h>
#include "base/num.h"

/* Where nothing is written only what is needed is read: in parts of this size (or of one window), unless they are many. */
enum { PART_SIZE = 1 << 20, MAX_PARTS = 16 };

enum action { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field {
	enum action action;
	enum overflow overflow;
	bool is_signed;
	unsigned bits;
	uint64_t offset;
	int64_t number; /* of SET and INCRBY */
};

struct fields {
	struct field *field;
	size_t n;
	uint64_t written; /* bits: the end of the last field that is to be written; 0: none */
	struct window *window;
	size_t windows;
};

/* Bytes of the value that fields are in, copied; in order and not side by side. */
struct window {
	uint64_t first, end;
	char *bytes;
};

/* ---- the request ---- */

static bool read_type(struct call *call, struct slice s, struct field *f)
{
	int64_t bits;

	f->is_signed = s.len && s.ptr[0] == 'i';
	if (s.len > 1 && (f->is_signed || s.ptr[0] == 'u') && num_parse_i64(slice_skip(s, 1), &bits) == 0 && bits >= 1 &&
		bits <= (f->is_signed ? 64 : 63)) {
		f->bits = (unsigned)bits;
		return true;
	}
	call_error(call, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
	return false;
}

static bool read_overflow(struct call *call, struct slice s, enum overflow *ret)
{
	static const char *const words[] = { "wrap", "sat", "fail" };

	for (int i = 0; i < 3; i++)
		if (slice_is(s, words[i])) {
			*ret = (enum overflow)i;
			return true;
		}
	call_error(call, "ERR Invalid OVERFLOW type specified");
	return false;
}

static bool read_field(struct call *call, size_t i, struct field *f)
{
	return read_type(call, call->argv[i + 1], f) && bit_offset(call, call->argv[i + 2], f->bits, &f->offset) &&
	       (f->action == FIELD_GET || call_int(call, call->argv[i + 3], &f->number));
}

/* False: an error was replied. */
static bool read_fields(struct call *call, struct fields *ret)
{
	static const char *const words[] = { "get", "set", "incrby" };
	enum overflow overflow = OVERFLOW_WRAP;

	for (size_t i = 2; i < call->argc;) {
		struct field *f = &ret->field[ret->n];
		size_t left = call->argc - i - 1;
		int action = 0;
		if (left >= 1 && slice_is(call->argv[i], "overflow")) {
			if (!read_overflow(call, call->argv[i + 1], &overflow))
				return false;
			i += 2;
			continue;
		}
		while (action < 3 && !slice_is(call->argv[i], words[action]))
			action++;
		if (action == 3 || left < (action == FIELD_GET ? 2 : 3)) {
			call_syntax(call);
			return false;
		}
		*f = (struct field){ .action = (enum action)action, .overflow = overflow };
		if (!read_field(call, i, f))
			return false;
		if (action != FIELD_GET && f->offset + f->bits > ret->written)
			ret->written = f->offset + f->bits;
		i += action == FIELD_GET ? 3 : 4;
		ret->n++;
	}
	return true;
}

/* ---- the bytes they are in ---- */

static int compare_windows(const void *a, const void *b)
{
	const struct window *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Joins those that touch, in order; returns the bytes of all. */
static size_t join_windows(struct fields *fields)
{
	struct window *w = fields->window;
	size_t n = 0, size = 0;

	qsort(w, fields->n, sizeof(*w), compare_windows);
	for (size_t i = 0; i < fields->n; i++)
		if (n && w[i].first <= w[n - 1].end)
			w[n - 1].end = w[i].end > w[n - 1].end ? w[i].end : w[n - 1].end;
		else
			w[n++] = w[i];
	for (size_t i = 0; i < n; i++)
		size += (size_t)(w[i].end - w[i].first);
	fields->windows = n;
	return size;
}

/* Windows of zeros. */
static int make_windows(struct call *call, struct fields *fields)
{
	size_t size;
	char *at;

	fields->window = txn_alloc(call->txn, (fields->n + 1) * sizeof(*fields->window));
	if (!fields->window)
		return -ENOMEM;
	for (size_t i = 0; i < fields->n; i++) {
		const struct field *f = &fields->field[i];
		fields->window[i] = (struct window){ .first = f->offset >> 3, .end = (f->offset + f->bits + 7) >> 3 };
	}
	size = join_windows(fields);
	at = txn_alloc(call->txn, size ? size : 1);
	if (!at)
		return -ENOMEM;
	memset(at, 0, size);
	for (size_t i = 0; i < fields->windows; i++) {
		fields->window[i].bytes = at;
		at += fields->window[i].end - fields->window[i].first;
	}
	return 0;
}

/* Fills windows from..to-1 with what there is of the value, or of a part of it that begins at `first`. */
static void fill_windows(struct fields *fields, size_t from, size_t to, struct slice part, uint64_t first)
{
	for (size_t i = from; i < to; i++) {
		const struct window *w = &fields->window[i];
		uint64_t at = w->first - first, end = w->end - first;
		if (at < part.len)
			memcpy(w->bytes, part.ptr + at, (end < part.len ? end : part.len) - at);
	}
}

/* The windows from number i on that are read together: one past the last. */
static size_t find_part_end(const struct fields *fields, size_t i)
{
	uint64_t first = fields->window[i].first;

	do
		i++;
	while (i < fields->windows && fields->window[i].end - first <= PART_SIZE);
	return i;
}

static size_t count_parts(const struct fields *fields)
{
	size_t n = 0;

	for (size_t i = 0; i < fields->windows; i = find_part_end(fields, i))
		n++;
	return n;
}

/* All parts are asked for, before the request waits for those that are not at hand. */
static int read_parts(struct call *call, struct fields *fields)
{
	int result = 0;

	for (size_t i = 0, end; i < fields->windows; i = end) {
		struct txn_value v;
		uint64_t first = fields->window[i].first;
		end = find_part_end(fields, i);
		int r = txn_get_part(call->txn, call->client->db, call->argv[1], (size_t)first,
			(size_t)(fields->window[end - 1].end - first), &v);
		if (r == 0)
			fill_windows(fields, i, end, v.data, first);
		else if (r != STORE_PENDING)
			return r;
		result = r ? r : result;
	}
	return result;
}

static const struct window *find_window(const struct fields *fields, const struct field *f)
{
	size_t low = 0, high = fields->windows;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (fields->window[middle].first <= f->offset >> 3)
			low = middle;
		else
			high = middle;
	}
	return &fields->window[low];
}

/* ---- one field ---- */

static uint64_t read_bits(const char *value, uint64_t offset, unsigned bits)
{
	uint64_t v = 0;

	for (uint64_t i = offset; i < offset + bits; i++)
		v = v << 1 | ((unsigned char)value[i >> 3] >> (7 - (i & 7)) & 1);
	return v;
}

static void write_bits(char *value, uint64_t offset, unsigned bits, uint64_t v)
{
	for (uint64_t i = offset + bits; i-- > offset; v >>= 1) {
		int mask = 1 << (7 - (i & 7));
		value[i >> 3] = (char)(v & 1 ? value[i >> 3] | mask : value[i >> 3] & ~mask);
	}
}

/* The bits as the number they mean. */
static int64_t extend(const struct field *f, uint64_t v)
{
	if (!f->is_signed || f->bits == 64 || !(v >> (f->bits - 1)))
		return (int64_t)v;
	return (int64_t)(v | UINT64_MAX << f->bits);
}

/* Makes a number fit; false: it does not, and the field is to stay as it is. */
static bool fit(const struct field *f, __int128 number, int64_t *ret)
{
	unsigned value_bits = f->bits - f->is_signed;
	__int128 max = ((__int128)1 << value_bits) - 1, min = f->is_signed ? -max - 1 : 0;

	if (number >= min && number <= max) {
		*ret = (int64_t)number;
		return true;
	}
	if (f->overflow == OVERFLOW_SAT)
		*ret = (int64_t)(number > max ? max : min);
	else if (f->overflow == OVERFLOW_WRAP)
		*ret = extend(f, (uint64_t)number & (UINT64_MAX >> (64 - f->bits)));
	return f->overflow != OVERFLOW_FAIL;
}

/* Does one field and replies; returns whether it was written. */
static bool run_field(struct call *call, const struct field *f, const struct window *w)
{
	uint64_t offset = f->offset - w->first * 8;
	int64_t old = extend(f, read_bits(w->bytes, offset, f->bits)), new = old;
	/* A negative number put into an unsigned field is a very large one. */
	__int128 set = f->is_signed ? (__int128)f->number : (__int128)(uint64_t)f->number;

	if (f->action == FIELD_GET) {
		resp_int(&call->out, old);
		return false;
	}
	if (!fit(f, f->action == FIELD_SET ? set : (__int128)old + f->number, &new)) {
		resp_null(&call->out);
		return false;
	}
	write_bits(w->bytes, offset, f->bits, (uint64_t)new);
	resp_int(&call->out, f->action == FIELD_SET ? old : new);
	return true;
}

/* ---- the commands ---- */

/* The value with the windows written over it; those that were only read may be behind its end. */
static int put_windows(struct call *call, const struct fields *fields, const struct txn_value *old, size_t len, bool changed)
{
	struct store_work_input *in = txn_alloc(call->txn, (1 + fields->windows) * sizeof(*in));
	struct txn_value value = { .expire_ms = old->expire_ms };
	size_t n = 0;

	if (!in)
		return -ENOMEM;
	in[n++] = (struct store_work_input){ .data = old->data, .block = old->block };
	for (size_t i = 0; i < fields->windows && fields->window[i].first < len; i++) {
		const struct window *w = &fields->window[i];
		uint64_t end = w->end < len ? w->end : len;
		in[n++] = (struct store_work_input){ .data = slice(w->bytes, (size_t)(end - w->first)), .at = w->first };
	}
	int r = large_splice(call, in, n, len, &value);
	if (r)
		return r;
	/* As in Redis a value grows to the last field that was to be written, though none was; nobody is told. */
	return changed ? call_put_value(call, call->argv[1], &value, "setbit")
		       : txn_put_value(call->txn, call->client->db, call->argv[1], &value);
}

static bool reply_fields(struct call *call, const struct fields *fields)
{
	bool changed = false;

	resp_array(&call->out, fields->n);
	for (size_t i = 0; i < fields->n; i++)
		changed |= run_field(call, &fields->field[i], find_window(fields, &fields->field[i]));
	return changed;
}

static int write_fields(struct call *call, struct fields *fields)
{
	struct txn_value old = { .data = { "", 0 }, .expire_ms = STORE_NO_EXPIRY };
	int found = txn_get(call->txn, call->client->db, call->argv[1], &old);
	size_t need = (size_t)((fields->written + 7) / 8), len = old.data.len > need ? old.data.len : need;

	if (found && found != STORE_ABSENT)
		return found;
	if (len > STORE_MAX_VALUE)
		return -EMSGSIZE;
	fill_windows(fields, 0, fields->windows, old.data, 0);
	bool changed = reply_fields(call, fields);
	return changed || found == STORE_ABSENT || len > old.data.len ? put_windows(call, fields, &old, len, changed) : 0;
}

static int show_fields(struct call *call, struct fields *fields)
{
	struct txn_value v = { .data = { "", 0 } };
	int r = call_peek(call, call->argv[1], NULL);

	if (r == 0 && count_parts(fields) <= MAX_PARTS) {
		r = read_parts(call, fields);
	} else if (r == 0) {
		r = txn_get(call->txn, call->client->db, call->argv[1], &v);
		fill_windows(fields, 0, fields->windows, v.data, 0);
	}
	if (r && r != STORE_ABSENT)
		return r;
	reply_fields(call, fields);
	return 0;
}

static int run(struct call *call, bool read_only)
{
	struct fields fields = { 0 };
	int r;

	fields.field = txn_alloc(call->txn, (call->argc / 2 + 1) * sizeof(struct field));
	if (!fields.field)
		return -ENOMEM;
	if (!read_fields(call, &fields))
		return 0;
	if (read_only && fields.written)
		return call_error(call, "ERR BITFIELD_RO only supports the GET subcommand");
	r = make_windows(call, &fields);
	if (r)
		return r;
	return fields.written ? write_fields(call, &fields) : show_fields(call, &fields);
}

int bitfield_bitfield(struct call *call)
{
	return run(call, false);
}

int bitfield_read(struct call *call)
{
	return run(call, true);
}
