/* SPDX-License-Identifier: MIT
 *
 * Errors in kvd: 0 is good; a negative errno is fatal for the operation and is passed up unchanged; a
 * positive value is a condition named in the header of the call that returns it. Where a person must
 * learn what happened and where, a call also fills a struct error.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
	int code;       /* the negative errno that was returned */
	char text[480]; /* one line, names the file (and offset) it is about, no final dot */
};

/* Fills *e (which may be NULL) and returns code, so that `return error_set(...)` reads well. */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
