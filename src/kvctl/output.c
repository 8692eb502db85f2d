/* SPDX-License-Identifier: MIT */
#include "kvctl/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "kvctl/progress.h"

static const char *const styles[] = {
	[STYLE_PLAIN] = "\033[0m",
	[STYLE_BOLD] = "\033[1m",
	[STYLE_DIM] = "\033[2m",
	[STYLE_GOOD] = "\033[32m",
	[STYLE_BAD] = "\033[31m",
};

__attribute__((format(printf, 2, 0))) static void print_complaint(
	const struct kvctl *k, const char *format, va_list ap)
{
	struct buf text = { 0 }, line = { 0 };

	bool colour = output_can_colour(STDERR_FILENO);

	buf_vprintf(&text, format, ap);
	buf_printf(&line, "%skvctl:%s ", colour ? styles[STYLE_BOLD] : "", colour ? styles[STYLE_PLAIN] : "");
	if (k->line)
		buf_printf(&line, "line %lu: ", k->line);
	escape(&line, buf_slice(&text), "");
	buf_append_char(&line, '\n');
	/* What was printed before must not appear after the complaint about it. */
	fflush(stdout);
	screen_close(k->screen);
	progress_hide(k->progress);
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
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;

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

void output_style(struct kvctl *k, enum style style)
{
	if (k->colour)
		output_bytes(k, slice_str(styles[style]));
}

bool output_can_draw(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

bool output_can_colour(int fd)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && output_can_draw(fd);
}

size_t output_width(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

size_t output_height(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : 24;
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
