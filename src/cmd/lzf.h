/* SPDX-License-Identifier: MIT
 *
 * Unpacking of LZF, the compression in the dumps of Redis. Packed bytes are a row of
 *
 *   000nnnnn            n + 1 bytes follow as they are
 *   nnnooooo o          n + 2 bytes are repeated from o + 1 bytes back; n is 1 to 6
 *   111ooooo n o        likewise, n + 9 bytes
 *
 * o has 13 bits, the high ones first. Inner door of the room.
 */
#ifndef CMD_LZF_H
#define CMD_LZF_H

#include <stdbool.h>
#include "base/slice.h"

enum { LZF_MOST = 88 }; /* one byte never becomes more: 3 bytes make at most 264 */

/* Exactly len bytes to out, or false: this is not what was packed. Reads and writes nothing beyond, whatever it is given. */
bool lzf_unpack(struct slice packed, char *out, size_t len);

#endif
