/* SPDX-License-Identifier: MIT
 *
 * "Did you mean": the nearest verb by number of edits. Verbs are of small letters, and a large one is no edit.
 */
#include "kvctl/verb.h"

#include <ctype.h>

#define SUGGEST_MAX 32 /* longer words are nobody's slip of a verb */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned suggest_distance(struct slice a, struct slice b)
{
	unsigned row[3][SUGGEST_MAX + 1];
	unsigned *before = row[0], *last = row[1], *now = row[2];

	if (a.len > SUGGEST_MAX || b.len > SUGGEST_MAX)
		return SUGGEST_MAX;
	for (size_t j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			now[j] = least(
				least(last[j], now[j - 1]) + 1, last[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]));
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		unsigned *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[b.len];
}

const char *suggest_verb(struct slice word)
{
	const char *name, *best = NULL;
	unsigned least_edits = word.len < 5 ? 2 : 3; /* one more than is allowed */
	char small[SUGGEST_MAX];

	if (word.len > sizeof(small))
		return NULL;
	for (size_t i = 0; i < word.len; i++)
		small[i] = (char)tolower((unsigned char)word.ptr[i]);
	word.ptr = small;
	for (size_t i = 0; (name = verb_name(i, NULL)); i++) {
		unsigned edits = suggest_distance(word, slice_str(name));
		/* With every letter changed nothing of the word is left. */
		if (edits < least_edits && edits < word.len) {
			least_edits = edits;
			best = name;
		}
	}
	/* Otherwise a verb of which this is the beginning: "pers". */
	for (size_t i = 0; !best && word.len > 1 && (name = verb_name(i, NULL)); i++)
		if (slice_has_prefix(slice_str(name), word))
			best = name;
	return best;
}
