/* SPDX-License-Identifier: MIT
 *
 * libkvdstore: batches. What is to be done is copied and listed; the commit makes one transaction of it.
 */
#include "store/kvdstore_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum step_kind { STEP_PUT, STEP_DELETE, STEP_CHECK };

struct step {
	enum step_kind kind;
	unsigned db;
	size_t key, key_len, value, value_len; /* places in `bytes` */
	uint64_t ttl_ms;
	struct kvdstore_if condition; /* its value is that of the step */
};

struct kvdstore_batch {
	struct kvdstore *s;
	struct buf bytes, steps;
};

struct kvdstore_batch *kvdstore_batch_new(struct kvdstore *s)
{
	struct kvdstore_batch *b = calloc(1, sizeof(*b));

	handle_end_loan(s);
	if (b)
		b->s = s;
	return b;
}

static int add_step(struct kvdstore_batch *b, struct step step, const void *key, const void *value)
{
	int r = handle_check_db(b->s, step.db);

	if (r == 0) {
		step.key = b->bytes.len;
		buf_append(&b->bytes, key, step.key_len);
		step.value = b->bytes.len;
		buf_append(&b->bytes, value, step.value_len);
		buf_append(&b->steps, &step, sizeof(step));
		if (b->bytes.failed || b->steps.failed)
			r = handle_refuse(b->s, -ENOMEM, "out of memory");
	}
	handle_end_loan(b->s);
	return r;
}

int kvdstore_batch_put(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms)
{
	struct step step = { .kind = STEP_PUT, .db = db, .key_len = key_len, .value_len = len, .ttl_ms = ttl_ms };

	return add_step(b, step, key, value);
}

int kvdstore_batch_delete(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len)
{
	return add_step(b, (struct step){ .kind = STEP_DELETE, .db = db, .key_len = key_len }, key, "");
}

int kvdstore_batch_check(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const struct kvdstore_if *condition)
{
	struct step step = { .kind = STEP_CHECK, .db = db, .key_len = key_len };
	int r = handle_check_kind(b->s, condition);

	if (r || !condition)
		return r;
	step.condition = *condition;
	step.value_len = condition->kind == KVDSTORE_IF_VALUE ? condition->len : 0;
	return add_step(b, step, key, condition->value);
}

static void read_step(const struct kvdstore_batch *b, size_t i, struct step *ret, struct slice *ret_key, struct slice *ret_value)
{
	memcpy(ret, b->steps.ptr + i * sizeof(*ret), sizeof(*ret));
	/* Empty keys and values alone leave the buffer without memory. */
	*ret_key = slice(b->bytes.ptr ? b->bytes.ptr + ret->key : "", ret->key_len);
	*ret_value = slice(b->bytes.ptr ? b->bytes.ptr + ret->value : "", ret->value_len);
}

static int run_checks(struct kvdstore_batch *b, struct txn *t)
{
	struct slice key, value;
	struct step step;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->steps.len / sizeof(step); i++) {
		read_step(b, i, &step, &key, &value);
		if (step.kind != STEP_CHECK)
			continue;
		step.condition.value = value.ptr;
		step.condition.len = value.len;
		r = handle_check(t, step.db, key, &step.condition);
		if (r == KVDSTORE_CONDITION)
			handle_refuse(b->s, r, "the condition in step %zu of the batch does not hold", i + 1);
	}
	return r;
}

static int run_writes(struct kvdstore_batch *b, struct txn *t)
{
	struct slice key, value;
	struct step step;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->steps.len / sizeof(step); i++) {
		read_step(b, i, &step, &key, &value);
		if (step.kind == STEP_PUT)
			r = handle_put(b->s, t, step.db, key, value, step.ttl_ms);
		else if (step.kind == STEP_DELETE)
			r = txn_delete(t, step.db, key);
		if (step.kind == STEP_DELETE && r == STORE_ABSENT)
			r = 0;
	}
	return r;
}

int kvdstore_batch_commit(struct kvdstore_batch *b)
{
	struct kvdstore *s = b->s;
	struct txn *t;
	int r = handle_begin(s, 0, &t); /* there is one database at least */

	if (r == 0) {
		/* All conditions speak of the state before the batch. */
		r = b->bytes.failed || b->steps.failed ? -ENOMEM : run_checks(b, t);
		r = handle_commit(s, t, r ? r : run_writes(b, t));
	}
	kvdstore_batch_abort(b);
	return r;
}

void kvdstore_batch_abort(struct kvdstore_batch *b)
{
	if (!b)
		return;
	handle_end_loan(b->s);
	buf_free(&b->bytes);
	buf_free(&b->steps);
	free(b);
}
