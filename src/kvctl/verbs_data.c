/* SPDX-License-Identifier: MIT
 *
 * Verbs on single keys.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/crc.h"
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

#define READ_STEP 65536
#define VALUE_MAX (512 << 20)
#define TAG_CHARS 9 /* eight digits and the NUL */

/* -EFBIG: more than any daemon takes, which a file says before it is read. */
static int read_all(int fd, struct buf *ret)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > VALUE_MAX)
		return -EFBIG;
	for (;;) {
		if (ret->len > VALUE_MAX)
			return -EFBIG;
		if (buf_reserve(ret, READ_STEP))
			return -ENOMEM;
		ssize_t n = read(fd, ret->ptr + ret->len, READ_STEP);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		ret->len += n > 0 ? (size_t)n : 0;
	}
}

static enum kvctl_exit refuse_reading(struct kvctl *k, const char *name, int r)
{
	if (r == -EFBIG)
		return refuse(k, KVCTL_REFUSED, "%s: more than %d bytes, the largest value there is", name, VALUE_MAX);
	return refuse(k, KVCTL_REFUSED, "cannot read %s: %s", name, strerror(-r));
}

static enum kvctl_exit read_file(struct kvctl *k, struct slice path, struct buf *ret)
{
	char name[PATHS_MAX];
	int fd, r;

	if (path.len >= sizeof(name) || memchr(path.ptr, 0, path.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name of a file", (int)path.len, path.ptr);
	memcpy(name, path.ptr, path.len);
	name[path.len] = 0;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : read_all(fd, ret);
	if (fd >= 0)
		close(fd);
	return r ? refuse_reading(k, name, r) : KVCTL_DONE;
}

static enum kvctl_exit read_input(struct kvctl *k, bool asked_for, struct buf *ret)
{
	if (k->shell)
		return refuse(k, KVCTL_USAGE,
			"a value is missing; in the shell it stands on the line, or in a --file");
	if (!asked_for && isatty(STDIN_FILENO))
		return refuse(k, KVCTL_USAGE, "a value is missing: give VALUE, --file FILE, or - to type it");
	int r = read_all(STDIN_FILENO, ret);
	return r ? refuse_reading(k, "standard input", r) : KVCTL_DONE;
}

/* From the argument (borrowed), a file or standard input (read into `store`). */
static enum kvctl_exit find_value(struct kvctl *k, const struct args *a, struct buf *store, struct slice *ret)
{
	struct slice path;
	bool dash = a->n == 2 && slice_eq(a->arg[1], SLICE("-"));
	enum kvctl_exit code;

	if (args_option(a, "file", &path)) {
		if (a->n == 2)
			return refuse(k, KVCTL_USAGE, "VALUE and --file exclude each other");
		code = read_file(k, path, store);
	} else if (a->n == 2 && !dash) {
		*ret = a->arg[1];
		return KVCTL_DONE;
	} else {
		code = read_input(k, dash, store);
	}
	*ret = buf_slice(store);
	return code;
}

/* ---- tags: what a value is known by when it is read, for those who write only if it is still the same ----
 */

static void make_tag(struct slice value, char *ret)
{
	snprintf(ret, TAG_CHARS, "%08" PRIx32, crc_update(0, value.ptr, value.len));
}

/* Sends a word and takes the reply away. */
static enum kvctl_exit run_word(struct kvctl *k, struct slice word)
{
	redisReply *r = NULL;
	enum kvctl_exit code = connect_ask(k, &word, 1, &r);

	freeReplyObject(r);
	return code;
}

/* Watches the key and compares its value. */
static enum kvctl_exit check_tag(struct kvctl *k, struct slice key, struct slice tag)
{
	struct slice watch[2] = { SLICE("WATCH"), key }, get[2] = { SLICE("GET"), key };
	char found[TAG_CHARS];
	redisReply *r = NULL;
	enum kvctl_exit code = connect_ask(k, watch, 2, &r);

	freeReplyObject(r);
	r = NULL;
	if (!code)
		code = connect_ask(k, get, 2, &r);
	if (code)
		return code;
	if (r->type == REDIS_REPLY_NIL) {
		code = refuse(k, KVCTL_REFUSED, "not set: Key not found");
	} else {
		make_tag(reply_slice(r), found);
		if (!slice_is(tag, found))
			code = refuse(k, KVCTL_REFUSED, "not set: the tag of the value is %s", found);
	}
	freeReplyObject(r);
	return code;
}

/* The SET in a transaction, which is not run if the key has been changed since it was watched. */
static enum kvctl_exit ask_watched(struct kvctl *k, const struct slice *argv, size_t n, redisReply **ret)
{
	struct slice multi = SLICE("MULTI"), exec = SLICE("EXEC");
	redisReply *r = NULL;
	enum kvctl_exit code = run_word(k, multi);

	if (!code)
		code = connect_ask(k, argv, n, &r);
	freeReplyObject(r);
	r = NULL;
	if (!code)
		code = connect_ask(k, &exec, 1, &r);
	if (code)
		return code;
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 1) {
		*ret = r->element[0];
		r->element[0] = NULL;
	} else if (r->type == REDIS_REPLY_NIL) {
		code = refuse(k, KVCTL_REFUSED, "not set: the value has just been changed");
	} else {
		code = connect_unexpected(k, r);
	}
	freeReplyObject(r);
	return code;
}

/* ---- set ---- */

static enum kvctl_exit take_set_reply(struct kvctl *k, const struct args *a, const redisReply *r)
{
	if (r->type == REDIS_REPLY_NIL)
		return refuse(k, KVCTL_REFUSED, "not set: %s",
			args_option(a, "if-absent", NULL)  ? "the key is there already"
			: args_option(a, "if-equal", NULL) ? "the value is another one, or there is none"
							   : "Key not found");
	if (r->type != REDIS_REPLY_STATUS || !slice_eq(reply_slice(r), SLICE("OK")))
		return connect_unexpected(k, r);
	output_confirm(k);
	return KVCTL_DONE;
}

/* The conditions exclude each other, and so do the two words on expiry. */
static enum kvctl_exit check_set_options(struct kvctl *k, const struct args *a)
{
	static const char *const conditions[] = { "if-absent", "if-present", "if-equal", "if-etag" };
	const char *first = NULL;

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		if (!args_option(a, conditions[i], NULL))
			continue;
		if (first)
			return refuse(
				k, KVCTL_USAGE, "--%s and --%s exclude each other", first, conditions[i]);
		first = conditions[i];
	}
	if (args_option(a, "ttl", NULL) && args_option(a, "keep-ttl", NULL))
		return refuse(k, KVCTL_USAGE, "--ttl and --keep-ttl exclude each other");
	return KVCTL_DONE;
}

static enum kvctl_exit send_set(struct kvctl *k, const struct args *a, struct slice value)
{
	struct slice argv[8] = { SLICE("SET"), a->arg[0], value }, text;
	char digits[NUM_I64_CHARS];
	bool tagged = args_option(a, "if-etag", &text);
	size_t n = 3;
	redisReply *r = NULL;
	enum kvctl_exit code = tagged ? check_tag(k, a->arg[0], text) : KVCTL_DONE;

	if (args_option(a, "if-absent", NULL))
		argv[n++] = SLICE("NX");
	if (args_option(a, "if-present", NULL))
		argv[n++] = SLICE("XX");
	if (args_option(a, "if-equal", &text)) {
		argv[n++] = SLICE("IFEQ");
		argv[n++] = text;
	}
	if (args_option(a, "keep-ttl", NULL))
		argv[n++] = SLICE("KEEPTTL");
	if (!code && args_option(a, "ttl", &text)) {
		argv[n++] = SLICE("PX");
		code = args_duration(k, text, digits, &argv[n++]);
	}
	if (!code)
		code = tagged ? ask_watched(k, argv, n, &r) : connect_ask(k, argv, n, &r);
	else if (tagged && k->redis)
		run_word(k, SLICE("UNWATCH"));
	if (code)
		return code;
	code = take_set_reply(k, a, r);
	freeReplyObject(r);
	return code;
}

int verb_set(struct kvctl *k, const struct args *a)
{
	struct buf store = { 0 };
	struct slice value = { 0 };
	enum kvctl_exit code;

	code = check_set_options(k, a);
	if (!code)
		code = find_value(k, a, &store, &value);
	if (!code)
		code = send_set(k, a, value);
	buf_free(&store);
	return code;
}

static void print_value(struct kvctl *k, const struct args *a, struct slice value)
{
	json_t *object;
	char tag[TAG_CHARS];

	if (args_option(a, "etag", NULL)) {
		make_tag(value, tag);
		output_printf(k, k->json ? "\"%s\"\n" : "%s\n", tag);
		return;
	}
	if (!k->json) {
		output_bytes(k, value);
		if ((k->terminal || k->shell) && !args_option(a, "raw", NULL))
			output_bytes(k, SLICE("\n"));
		return;
	}
	object = json_object();
	if (object && (json_put_bytes(object, "key", a->arg[0]) || json_put_bytes(object, "value", value))) {
		json_decref(object);
		object = NULL;
	}
	output_json(k, object);
}

int verb_get(struct kvctl *k, const struct args *a)
{
	struct slice argv[2] = { SLICE("GET"), a->arg[0] };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 2, &r);

	if (code)
		return code;
	if (r->type == REDIS_REPLY_NIL)
		code = refuse_absent(k);
	else if (r->type != REDIS_REPLY_STRING)
		code = connect_unexpected(k, r);
	else
		print_value(k, a, reply_slice(r));
	freeReplyObject(r);
	return code;
}

static void print_deleted(struct kvctl *k, const struct args *a, struct slice key, bool deleted)
{
	if (k->json) {
		json_t *object = json_object();
		if (object && (json_put_bytes(object, "key", key) ||
				      json_object_set_new(object, "deleted", json_boolean(deleted)))) {
			json_decref(object);
			object = NULL;
		}
		output_json(k, object);
		return;
	}
	output_printf(k, "%s", deleted ? "Deleted" : "Key not found");
	if (a->n > 1) {
		output_printf(k, ": ");
		output_text(k, key);
	}
	output_printf(k, "\n");
}

static enum kvctl_exit delete_key(struct kvctl *k, const struct args *a, struct slice key, bool strict)
{
	struct slice argv[2] = { SLICE("DEL"), key };
	int64_t deleted;
	enum kvctl_exit code = connect_ask_int(k, argv, 2, &deleted);

	if (code)
		return code;
	if (strict && !deleted)
		return refuse(k, KVCTL_REFUSED, "Key not found: %.*s", (int)key.len, key.ptr);
	if (!strict && !k->quiet)
		print_deleted(k, a, key, deleted);
	return deleted ? KVCTL_DONE : KVCTL_REFUSED;
}

int verb_delete(struct kvctl *k, const struct args *a)
{
	bool strict = args_option(a, "strict", NULL);
	enum kvctl_exit worst = KVCTL_DONE;

	for (size_t i = 0; i < a->n; i++) {
		enum kvctl_exit code = delete_key(k, a, a->arg[i], strict);
		if (code > worst)
			worst = code;
		if (code == KVCTL_NO_CONNECTION || (code && strict))
			break;
	}
	return worst;
}

int verb_exists(struct kvctl *k, const struct args *a)
{
	struct slice *argv = calloc(a->n + 1, sizeof(*argv));
	int64_t found = 0;
	enum kvctl_exit code;

	if (!argv)
		return refuse(k, KVCTL_REFUSED, "out of memory");
	argv[0] = SLICE("EXISTS");
	memcpy(argv + 1, a->arg, a->n * sizeof(*argv));
	code = connect_ask_int(k, argv, a->n + 1, &found);
	free(argv);
	if (code)
		return code;
	if (!k->quiet)
		output_printf(k, "%" PRId64 "\n", found);
	return (size_t)found == a->n ? KVCTL_DONE : KVCTL_REFUSED;
}

static enum kvctl_exit add_integer(struct kvctl *k, const struct args *a, const char *command)
{
	struct slice argv[3] = { slice_str(command), a->arg[0], a->n == 2 ? a->arg[1] : SLICE("1") };
	int64_t sum;
	enum kvctl_exit code = connect_ask_int(k, argv, 3, &sum);

	if (!code)
		output_printf(k, "%" PRId64 "\n", sum);
	return code;
}

static enum kvctl_exit add_float(struct kvctl *k, const struct args *a, struct slice by)
{
	struct slice argv[3] = { SLICE("INCRBYFLOAT"), a->arg[0], by };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 3, &r);

	if (code)
		return code;
	if (r->type != REDIS_REPLY_STRING)
		code = connect_unexpected(k, r);
	else
		output_printf(k, "%s\n", r->str);
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit add(struct kvctl *k, const struct args *a, bool subtract)
{
	long double number;
	int64_t integer;
	struct buf negated = { 0 };
	struct slice by = args_at(a, 1);
	enum kvctl_exit code;

	if (a->n == 1 || num_parse_i64(by, &integer) == 0)
		return add_integer(k, a, subtract ? "DECRBY" : "INCRBY");
	if (num_parse_float(by, &number))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no number", (int)by.len, by.ptr);
	/* The text is negated, not the number, which would be rounded on the way. */
	if (subtract && by.ptr[0] == '-')
		buf_append_slice(&negated, slice_skip(by, 1));
	else if (subtract)
		buf_printf(&negated, "-%.*s", (int)by.len, by.ptr);
	code = add_float(k, a, subtract ? buf_slice(&negated) : by);
	buf_free(&negated);
	return code;
}

int verb_incr(struct kvctl *k, const struct args *a)
{
	return add(k, a, false);
}

int verb_decr(struct kvctl *k, const struct args *a)
{
	return add(k, a, true);
}
