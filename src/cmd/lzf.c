/* SPDX-License-Identifier: MIT */
#include "cmd/lzf.h"

bool lzf_unpack(struct slice packed, char *out, size_t len)
{
	const unsigned char *p = (const unsigned char *)packed.ptr, *end = p + packed.len;
	size_t done = 0;

	while (p < end) {
		size_t n = *p >> 5, back = (size_t)(*p & 31) << 8;
		if (n == 0) {
			n = (size_t)*p++ + 1;
			if ((size_t)(end - p) < n || len - done < n)
				return false;
			memcpy(out + done, p, n);
			p += n;
			done += n;
			continue;
		}
		p++;
		if (n == 7 && p < end)
			n += *p++;
		if (p == end)
			return false;
		back += (size_t)*p++ + 1;
		n += 2;
		if (back > done || len - done < n)
			return false;
		for (; n; n--, done++) /* the two may overlap, so byte by byte */
			out[done] = out[done - back];
	}
	return done == len;
}
