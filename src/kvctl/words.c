/* SPDX-License-Identifier: MIT
 *
 * Lines of the shell, cut by the rules of inline requests: blanks separate; double quotes know \n \r \t \b \a
 * \xHH and take any other character after a backslash as it is; single quotes know \' alone; a closing quote
 * ends the word.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include "base/buf.h"
#include "kvctl/kvctl.h"

struct cursor {
	const char *at, *end;
	char *out; /* never overtakes `at`: every form is at least as long as what it stands for */
};

static bool is_blank(char c)
{
	return isspace((unsigned char)c);
}

static int hex_digit(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* After the backslash inside double quotes. */
static char read_escape(struct cursor *c)
{
	static const char letters[] = "nrtba", bytes[] = "\n\r\t\b\a";
	const char *found;

	if (c->end - c->at >= 3 && c->at[0] == 'x' && hex_digit(c->at[1]) >= 0 && hex_digit(c->at[2]) >= 0) {
		c->at += 3;
		return (char)(hex_digit(c->at[-2]) * 16 + hex_digit(c->at[-1]));
	}
	found = *c->at ? strchr(letters, *c->at) : NULL;
	c->at++;
	return found ? bytes[found - letters] : c->at[-1];
}

/* From behind the opening quote to behind the closing one, which a blank or the end must follow. */
static int read_quoted(struct cursor *c, char quote)
{
	while (c->at < c->end && *c->at != quote) {
		if (*c->at == '\\' && c->end - c->at >= 2 && (quote == '"' || c->at[1] == '\'')) {
			c->at++;
			*c->out++ = quote == '"' ? read_escape(c) : *c->at++;
		} else {
			*c->out++ = *c->at++;
		}
	}
	if (c->at == c->end || (c->at + 1 < c->end && !is_blank(c->at[1])))
		return -EINVAL;
	c->at++;
	return 0;
}

static int read_word(struct cursor *c, struct slice *ret)
{
	char *start = c->out;

	while (c->at < c->end && !is_blank(*c->at)) {
		if (*c->at == '"' || *c->at == '\'') {
			char quote = *c->at++;
			int r = read_quoted(c, quote);
			if (r)
				return r;
			break;
		}
		*c->out++ = *c->at++;
	}
	*ret = slice(start, (size_t)(c->out - start));
	return 0;
}

int words_split(char *line, size_t len, struct slice **ret)
{
	struct cursor c = { line, line + len, line };
	struct buf words = { 0 };
	int r = 0, n = 0;

	for (;;) {
		struct slice word;
		while (c.at < c.end && is_blank(*c.at))
			c.at++;
		if (c.at == c.end)
			break;
		r = read_word(&c, &word);
		if (r)
			break;
		buf_append(&words, &word, sizeof(word));
		n++;
	}
	if (!r && words.failed)
		r = -ENOMEM;
	if (r) {
		buf_free(&words);
		return r;
	}
	*ret = (struct slice *)(void *)words.ptr;
	return n;
}
