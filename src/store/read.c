/* SPDX-License-Identifier: MIT
 *
 * Checking records that were read, and the positions behind them.
 */
#include "store/inner.h"

#include <errno.h>
#include <inttypes.h>

uint64_t read_position(const struct store *s, uint64_t where)
{
	const struct segment *g = s->slot[locator_slot(where)];

	return segment_position(g, locator_offset(where) + locator_size(where));
}

uint64_t read_version(const struct store *s, uint64_t where)
{
	/* Numbers of segments are never given out again, so place and number name a write for ever. The offset takes 31 bits (SEGMENT_SIZE_MAX and a
	 * transaction of the largest size), the number, of four billion files, the rest. */
	return s->slot[locator_slot(where)]->number << 32 | (locator_offset(where) / RECORD_ALIGN & UINT32_MAX);
}

static int report_damage(struct store *s, uint64_t where, const char *what)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	s->damaged++;
	store_set_problem(s, "the record at offset %" PRIu64 " of %s %s", locator_offset(where), name, what);
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_DAMAGE, .file = name, .offset = locator_offset(where), .bytes = locator_size(where) },
		"%s", s->problem);
	return STORE_CORRUPT;
}

static int report_lost(struct store *s, uint64_t where)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	store_set_problem(s, "the value was lost to damage at offset %" PRIu64 " of %s; write or delete the key to end this", locator_offset(where), name);
	return STORE_CORRUPT;
}

static int report_codec(struct store *s, uint64_t where, unsigned codec)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	store_set_problem(s, "the value at offset %" PRIu64 " of %s is compressed with %s, which this kvd was built without", locator_offset(where), name,
		pack_name(codec));
	return -ENOTSUP;
}

int read_record(struct store *s, uint64_t where, const struct record *r, struct slice key, struct slice *ret_value)
{
	if (!r || !slice_eq(r->key, key))
		return report_damage(s, where, "fails its checksum");
	if (r->type == RECORD_LOST)
		return report_lost(s, where);
	return r->type == RECORD_PUT ? read_unpack(s, where, r->codec, r->value, ret_value) : report_damage(s, where, "is not that of its key");
}

int read_check(struct store *s, uint64_t where, struct slice bytes, struct slice key, struct slice *ret_value)
{
	const struct segment *g = s->slot[locator_slot(where)];
	struct record r = { 0 }; /* the compiler may look at a field before it looks whether there is one */
	uint64_t size;
	bool good = record_decode(bytes.ptr, bytes.len, record_bind(g->seed, locator_offset(where)), &r, &size) == 0;

	return read_record(s, where, good ? &r : NULL, key, ret_value);
}

int read_unpack(struct store *s, uint64_t where, unsigned codec, struct slice stored, struct slice *ret_value)
{
	size_t len;

	*ret_value = stored;
	if (codec == STORE_RAW)
		return 0;
	int r = unpack_length(codec, stored, &len);
	if (r == -ENOTSUP)
		return report_codec(s, where, codec);
	if (r)
		return report_damage(s, where, "holds a value that is not compressed as it says");
	char *out = txn_alloc(s->txn, len);
	r = out ? unpack_value(&s->pack, codec, stored, out, len) : -ENOMEM;
	*ret_value = slice(out, len);
	return r == -EUCLEAN ? report_damage(s, where, "holds a value that cannot be decompressed") : r ? read_failed(s, where, r) : 0;
}

void read_list(struct store *s, uint64_t where, unsigned ns, struct slice key)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	scrub_note(s, &(struct damaged_place){ .file = name, .offset = locator_offset(where), .size = locator_size(where), .kind = "value",
		.has_key = true, .ns = ns, .key = key });
}

int read_failed(struct store *s, uint64_t where, int error)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	store_set_problem(s, "reading the record at offset %" PRIu64 " of %s failed: %s", locator_offset(where), name, strerror(-error));
	return error;
}
