/* SPDX-License-Identifier: MIT
 *
 * Checking records that were read, and the positions behind them.
 */
#include "store/inner.h"

#include <inttypes.h>

uint64_t read_position(const struct store *s, uint64_t where)
{
	const struct segment *g = s->slot[locator_slot(where)];

	return g->first - SEGMENT_HEADER + locator_offset(where) + locator_size(where);
}

int read_check(struct store *s, uint64_t where, struct slice bytes, struct slice key, struct slice *ret_value)
{
	const struct segment *g = s->slot[locator_slot(where)];
	uint64_t offset = locator_offset(where), size;
	char name[SEGMENT_NAME_SIZE];
	struct record r = { 0 }; /* the compiler may look at a field before it looks whether there is one */

	bool whole = record_decode(bytes.ptr, bytes.len, record_bind(g->seed, offset), &r, &size) == 0 && slice_eq(r.key, key);
	if (whole && r.type == RECORD_PUT && r.codec == 0) {
		*ret_value = r.value;
		return 0;
	}
	bool is_lost = whole && r.type == RECORD_LOST;
	segment_name(name, g->number);
	if (is_lost) {
		store_set_problem(s, "the value was lost to damage at offset %" PRIu64 " of %s; write or delete the key to end this", offset, name);
		return STORE_CORRUPT;
	}
	s->damaged++;
	store_set_problem(s, "the record at offset %" PRIu64 " of %s fails its checksum", offset, name);
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_DAMAGE, .file = name, .offset = offset, .bytes = locator_size(where) },
		"%s", s->problem);
	return STORE_CORRUPT;
}

int read_failed(struct store *s, uint64_t where, int error)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, s->slot[locator_slot(where)]->number);
	store_set_problem(s, "reading the record at offset %" PRIu64 " of %s failed: %s", locator_offset(where), name, strerror(-error));
	return error;
}
