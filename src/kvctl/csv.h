/* SPDX-License-Identifier: MIT
 *
 * CSV as RFC 4180 has it, for any bytes. A record is fields with commas between them and ends with LF or CR
 * LF. A field is its bytes as they are, in whatever encoding; one that holds a comma, a quote, CR or LF, or
 * begins or ends with a blank, is put in double quotes, and a quote inside is doubled. Nothing else stands
 * for anything else: NUL, control characters and bytes that are not UTF-8 are written raw, and so come back.
 */
#ifndef KVCTL_CSV_H
#define KVCTL_CSV_H

#include "base/buf.h"

void csv_append(struct buf *out, struct slice field);

/* Where a reader of lines stands inside a record; zeroed at its start. */
struct csv_state {
	bool begun, inside, closing;
};

/* Takes the next line, with its end. True: the record goes on in the line after it, a quote being open. */
bool csv_goes_on(struct csv_state *s, struct slice line);

/*
 * Cuts a record (without or with its line end) into fields, in place. Returns their number, which may be more
 * than most (only so many are written), or -EINVAL with the reason in error.
 */
int csv_split(char *text, size_t len, struct slice *fields, size_t most, struct buf *error);

#endif
