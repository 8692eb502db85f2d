/* SPDX-License-Identifier: MIT */
#include "kvctl/output.h"

#include <errno.h>
#include <stdarg.h>

__attribute__((format(printf, 2, 0))) static void print_complaint(
	const struct kvctl *k, const char *format, va_list ap)
{
	struct buf text = { 0 }, line = { 0 };

	buf_vprintf(&text, format, ap);
	buf_append_str(&line, "kvctl: ");
	if (k->line)
		buf_printf(&line, "line %lu: ", k->line);
	escape(&line, buf_slice(&text), "");
	buf_append_char(&line, '\n');
	/* What was printed before must not appear after the complaint about it. */
	fflush(stdout);
	if (!line.failed && !text.failed)
		fwrite(line.ptr, 1, line.len, stderr);
	else
		fputs("kvctl: out of memory\n", stderr);
	buf_free(&text);
	buf_free(&line);
}

void complain(const struct kvctl *k, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_complaint(k, format, ap);
	va_end(ap);
}

enum kvctl_exit refuse(const struct kvctl *k, enum kvctl_exit code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_complaint(k, format, ap);
	va_end(ap);
	return code;
}

enum kvctl_exit refuse_absent(const struct kvctl *k)
{
	return refuse(k, KVCTL_REFUSED, "Key not found");
}

static void note_error(struct kvctl *k, bool failed)
{
	if (failed && !k->output_error)
		k->output_error = errno ? errno : EIO;
}

void output_bytes(struct kvctl *k, struct slice s)
{
	if (s.len && !k->output_error)
		note_error(k, fwrite(s.ptr, 1, s.len, stdout) != s.len);
}

void output_printf(struct kvctl *k, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note_error(k, vprintf(format, ap) < 0);
	va_end(ap);
}

void output_text(struct kvctl *k, struct slice s)
{
	struct buf text = { 0 };

	if (!k->terminal) {
		output_bytes(k, s);
		return;
	}
	escape(&text, s, "\\");
	errno = ENOMEM;
	note_error(k, text.failed);
	output_bytes(k, buf_slice(&text));
	buf_free(&text);
}

void output_json(struct kvctl *k, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	errno = ENOMEM;
	note_error(k, !text);
	if (text) {
		output_bytes(k, slice_str(text));
		output_bytes(k, SLICE("\n"));
	}
	free(text);
	json_decref(value);
}

void output_confirm(struct kvctl *k)
{
	if (k->quiet)
		return;
	if (k->json)
		output_printf(k, "true\n");
	else if (k->terminal)
		output_printf(k, "OK\n");
}

void output_flush(struct kvctl *k)
{
	note_error(k, fflush(stdout) != 0);
}

int json_put_bytes(json_t *object, const char *name, struct slice bytes)
{
	char other[64];
	struct buf text = { 0 };
	int r;

	if (utf8_valid(bytes))
		return json_object_set_new(object, name, json_stringn(bytes.len ? bytes.ptr : "", bytes.len))
			       ? -ENOMEM
			       : 0;
	snprintf(other, sizeof(other), "%s_base64", name);
	base64_encode(&text, bytes);
	r = text.failed || json_object_set_new(object, other, json_stringn(text.ptr, text.len)) ? -ENOMEM : 0;
	buf_free(&text);
	return r;
}
