/* SPDX-License-Identifier: MIT
 *
 * A disk in memory behind the io table, with the freedoms a real one takes: what was not synced may be lost, torn, reordered or left as zeros or
 * garbage when the power goes, or be there as it was before it was overwritten; names are durable only once their own directory is synced; any call may be made to fail.
 * One instance is one machine; it outlives the stores opened on it. Calls may come from several threads.
 */
#ifndef TESTS_SIM_SIMDISK_H
#define TESTS_SIM_SIMDISK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/io.h"

struct simdisk;

enum simdisk_call { SIM_ANY, SIM_WRITE, SIM_SYNC, SIM_READ, SIM_META };

struct simdisk *simdisk_new(uint64_t seed);
void simdisk_free(struct simdisk *d);
struct io *simdisk_io(struct simdisk *d);

/* Calls so far of a kind (SIM_ANY: all that change or sync something). */
uint64_t simdisk_calls(struct simdisk *d, enum simdisk_call kind);

/* The n-th coming call of that kind (1 is the next) fails with error, and the `more` ones after it. A failed sync loses what it should have
 * synced, though it can still be read until the power goes. A failed write may have written a part. n 0: no more failures. */
void simdisk_fail(struct simdisk *d, enum simdisk_call kind, uint64_t n, uint64_t more, int error);

/* From the n-th coming changing call on the machine is dead: every call fails and changes nothing. */
void simdisk_die_at(struct simdisk *d, uint64_t n);
/* It is dead from now on; calls being held return, too. */
void simdisk_die(struct simdisk *d);
bool simdisk_is_dead(struct simdisk *d);

/* The power goes and comes back: every unsynced thing is decided, all handles and locks are gone. */
void simdisk_power_cycle(struct simdisk *d);

/* All processes die, the machine does not: handles and locks are gone, nothing is lost. */
void simdisk_kill(struct simdisk *d);

/* Holds calls of a kind (SIM_SYNC; SIM_READ: those without IO_NOWAIT) until they are let go again: a disk that takes its time. */
void simdisk_hold(struct simdisk *d, enum simdisk_call kind, bool hold);
unsigned simdisk_waiting(struct simdisk *d, enum simdisk_call kind); /* calls being held now */

/* Handles open now: 0 when everything was closed. */
unsigned simdisk_open_handles(struct simdisk *d);

/* One in `n` reads with IO_NOWAIT answers -EAGAIN; 0: none. */
void simdisk_cold(struct simdisk *d, unsigned n);

/* Bytes that free_space() answers from now on; nothing is counted. */
void simdisk_set_free(struct simdisk *d, uint64_t bytes);
/* The disk has so many bytes from now on, of which files take whole blocks; what does not fit is refused with -ENOSPC. 0: no limit, as at first. */
void simdisk_set_capacity(struct simdisk *d, uint64_t bytes);
/* With a capacity: what is written over other bytes needs free blocks as well, as on a file system that copies on write. */
void simdisk_set_copies(struct simdisk *d);
/* Bytes of the disk that are taken now. */
uint64_t simdisk_used(struct simdisk *d);

/*
 * Direct access for tests that write damage by hand: NULL when there is no such file. Truncation and growth by simdisk_resize. A name may be
 * a path below the root: "snapshots/one/CATALOG". Files that have several links are one file, but in a copy.
 */
unsigned char *simdisk_file(struct simdisk *d, const char *name, size_t *ret_size);
void simdisk_resize(struct simdisk *d, const char *name, size_t size);
void simdisk_remove(struct simdisk *d, const char *name);
/* Makes or replaces a file, durable at once. */
void simdisk_write(struct simdisk *d, const char *name, const void *data, size_t len);
/* Another machine with the same files, all of them durable. */
struct simdisk *simdisk_copy(struct simdisk *d, uint64_t seed);
/* A directory, durable at once, unless it is there. */
void simdisk_mkdir(struct simdisk *d, const char *name);
/* The n-th name in the root, NULL past the last. It lives as long as the file: for a disk on which no thread is at work. */
const char *simdisk_name(struct simdisk *d, size_t n);
/* Names in the root that contain part; at any time. */
unsigned simdisk_count(struct simdisk *d, const char *part);

/* True while the disk asks for memory of its own: tests that let allocations fail must spare it. */
extern _Thread_local volatile bool simdisk_allocates;

/* A reproducible random number. */
uint64_t sim_random(uint64_t *state);

#endif
