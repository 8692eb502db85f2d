/* SPDX-License-Identifier: MIT */
#include "cmd/set_options.h"
#include "cmd/large.h"

static const struct option_word {
	const char *word;
	unsigned flag, excludes;
	char unit;
	bool absolute;
} option_words[] = {
	{ "nx", OPT_NX, OPT_CONDITIONS, 0, false },
	{ "xx", OPT_XX, OPT_CONDITIONS, 0, false },
	{ "get", OPT_GET, 0, 0, false },
	{ "ifeq", OPT_IFEQ, OPT_CONDITIONS, 0, false },
	{ "ifne", OPT_IFNE, OPT_CONDITIONS, 0, false },
	{ "keepttl", OPT_KEEPTTL, OPT_PERSIST | OPT_EXPIRE, 0, false },
	{ "persist", OPT_PERSIST, OPT_KEEPTTL | OPT_EXPIRE, 0, false },
	{ "ex", OPT_EX, OPT_EXPIRIES, 's', false },
	{ "px", OPT_PX, OPT_EXPIRIES, 'm', false },
	{ "exat", OPT_EXAT, OPT_EXPIRIES, 's', true },
	{ "pxat", OPT_PXAT, OPT_EXPIRIES, 'm', true },
};

static bool read_option(struct set_options *o, unsigned allowed, const struct slice *argv, size_t argc, size_t *i)
{
	const struct option_word *w = NULL;

	for (size_t j = 0; j < sizeof(option_words) / sizeof(option_words[0]) && !w; j++)
		if (slice_is(argv[*i], option_words[j].word))
			w = &option_words[j];
	/* The same word twice is allowed, but not a second comparison. */
	if (!w || !(w->flag & allowed) || (o->given & w->excludes & ~(w->flag & ~(OPT_IFEQ | OPT_IFNE))))
		return false;
	o->given |= w->flag;
	if (!(w->flag & (OPT_EXPIRE | OPT_IFEQ | OPT_IFNE)))
		return true;
	if (++*i >= argc)
		return false;
	if (!(w->flag & OPT_EXPIRE)) {
		o->compare = argv[*i];
		return true;
	}
	o->expire = argv[*i];
	o->unit = w->unit;
	o->absolute = w->absolute;
	return true;
}

bool set_options_read(struct call *call, size_t from, unsigned allowed, struct set_options *o)
{
	*o = (struct set_options){ 0 };
	for (size_t i = from; i < call->argc; i++)
		if (!read_option(o, allowed, call->argv, call->argc, &i)) {
			call_syntax(call);
			return false;
		}
	return true;
}

bool set_options_expiry(struct call *call, const struct set_options *o, int64_t *ret_expire)
{
	return !(o->given & OPT_EXPIRE) || expire_parse(call, o->expire, o->unit, o->absolute, ret_expire);
}

int set_options_allow(struct call *call, const struct set_options *o, bool exists, const struct txn_value *old, bool *ret_allowed)
{
	bool same = false;
	int r = exists && (o->given & (OPT_IFEQ | OPT_IFNE)) ? large_compare(call, old, o->compare, &same) : 0;

	if (r)
		return r;
	switch (o->given & OPT_CONDITIONS) {
	case OPT_NX:
		*ret_allowed = !exists;
		break;
	case OPT_XX:
		*ret_allowed = exists;
		break;
	case OPT_IFEQ:
		*ret_allowed = same;
		break;
	case OPT_IFNE:
		*ret_allowed = !same;
		break;
	default:
		*ret_allowed = true;
	}
	return 0;
}
