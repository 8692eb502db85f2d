/* SPDX-License-Identifier: MIT
 *
 * Glob patterns as KEYS, SCAN and CONFIG GET take them: ? * [abc] [^a-z] and backslash before a byte meant
 * literally. An unfinished class runs to the end of the pattern. Bytes, not characters; no slash is special.
 */
#include "cmd/room.h"

#include <ctype.h>

static unsigned char fold(char c, bool any_case)
{
	return (unsigned char)(any_case ? tolower((unsigned char)c) : c);
}

/* One class, p just behind its '['. Moves *p behind the ']' (or to the end). */
static bool match_class(const char **p, const char *end, unsigned char c, bool any_case)
{
	const char *q = *p;
	bool negated = q < end && *q == '^', found = false;

	for (q += negated; q < end && *q != ']'; q++) {
		if (*q == '\\' && end - q >= 2) {
			found |= fold(*++q, any_case) == c;
		} else if (end - q >= 3 && q[1] == '-') {
			unsigned char low = fold(q[0], any_case), high = fold(q[2], any_case);
			if (low > high) {
				unsigned char t = low;
				low = high;
				high = t;
			}
			found |= c >= low && c <= high;
			q += 2;
		} else {
			found |= fold(*q, any_case) == c;
		}
	}
	*p = q < end ? q + 1 : q;
	return found != negated;
}

/* One element of the pattern other than '*' against one byte. Moves *p behind the element. */
static bool match_one(const char **p, const char *end, char byte, bool any_case)
{
	unsigned char c = fold(byte, any_case);

	switch (**p) {
	case '?':
		(*p)++;
		return true;
	case '[':
		(*p)++;
		return match_class(p, end, c, any_case);
	case '\\':
		if (end - *p >= 2)
			(*p)++;
		__attribute__((fallthrough));
	default:
		return fold(*(*p)++, any_case) == c;
	}
}

/*
 * Only the last '*' is ever tried again: what an earlier one could gain by taking more, the later one gains
 * as well. So the cost is bounded by the product of the lengths, whatever the pattern.
 */
bool glob_match(struct slice pattern, struct slice s, bool any_case)
{
	const char *p = pattern.ptr, *pend = p + pattern.len, *t = s.ptr, *tend = t + s.len;
	const char *star = NULL, *from = NULL;

	while (t < tend) {
		if (p < pend && *p == '*') {
			star = ++p;
			from = t;
			continue;
		}
		if (p < pend && match_one(&p, pend, *t, any_case)) {
			t++;
			continue;
		}
		if (!star)
			return false;
		p = star;
		t = ++from;
	}
	while (p < pend && *p == '*')
		p++;
	return p == pend;
}

size_t glob_literal(struct slice pattern)
{
	size_t n = 0;

	while (n < pattern.len && !memchr("*?[\\", pattern.ptr[n], 4))
		n++;
	return n;
}
