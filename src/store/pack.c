/* SPDX-License-Identifier: MIT */
#include "store/pack.h"

#include <errno.h>

#include "base/bytes.h"

void pack_free(struct pack *p)
{
	for (unsigned i = 0; i < STORE_CODECS; i++)
		if (p->state[i])
			pack_codecs[i].free(p->state[i]);
	*p = (struct pack){ 0 };
}

const char *pack_name(unsigned codec)
{
	return codec < STORE_CODECS ? pack_codecs[codec].name : "an unknown codec";
}

bool pack_has(unsigned codec)
{
	return codec < STORE_CODECS && pack_codecs[codec].pack;
}

bool pack_tries(const struct pack *p, size_t len)
{
	return p->codec != STORE_RAW && len >= p->min && len > 4 * PACK_HEAD && len <= PACK_MAX;
}

size_t pack_value(struct pack *p, struct slice value, char *out)
{
	size_t room = pack_room(value.len) - PACK_HEAD;
	size_t len = pack_codecs[p->codec].pack(&p->state[p->codec], p->level, value, out + PACK_HEAD, room);

	if (len == 0)
		return 0;
	put_le32(out, (uint32_t)value.len);
	p->records++;
	p->given += value.len;
	p->stored += PACK_HEAD + len;
	return PACK_HEAD + len;
}

int unpack_length(unsigned codec, struct slice stored, size_t *ret)
{
	if (codec == STORE_RAW || codec >= STORE_CODECS || stored.len < PACK_HEAD)
		return -EUCLEAN;
	if (!pack_has(codec))
		return -ENOTSUP;
	uint32_t len = get_le32(stored.ptr);
	/* Nobody is given memory for a length that cannot be true. */
	if (len > STORE_MAX_VALUE || len / pack_codecs[codec].most_ratio > stored.len)
		return -EUCLEAN;
	*ret = len;
	return 0;
}

int unpack_value(struct pack *p, unsigned codec, struct slice stored, char *out, size_t len)
{
	char none;

	return pack_codecs[codec].unpack(&p->state[codec], slice_skip(stored, PACK_HEAD), len ? out : &none, len);
}
