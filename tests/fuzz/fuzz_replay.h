/* SPDX-License-Identifier: MIT
 *
 * What every fuzz target shares. A target tests/fuzz/NAME_fuzz.c defines both names below and aborts when an
 * input makes it find a fault. Built twice at most: with fuzz_replay.c as the TAP program NAME_fuzz.t, which
 * runs the files of its corpus (or those named on the command line) in `make check`; with --enable-fuzzing
 * also as the libFuzzer program NAME_fuzz.
 */
#ifndef TESTS_FUZZ_REPLAY_H
#define TESTS_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

extern const char fuzz_corpus[]; /* name of the folder below tests/fuzz/corpus */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
