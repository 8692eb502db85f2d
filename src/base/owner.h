/* SPDX-License-Identifier: MIT
 *
 * Whose work is done: what root puts into somebody's directory must belong to him.
 */
#ifndef BASE_OWNER_H
#define BASE_OWNER_H

/* Run by root on a directory of another user: becomes that user, for good. 0 (also when there is nothing to do), or a negative errno. */
int owner_become(const char *directory);

#endif
