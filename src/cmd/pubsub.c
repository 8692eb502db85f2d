/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/hash.h"

enum { MAX_SUBSCRIPTIONS = 65536, MAX_NAMES = 64 << 20, MAX_COLLECTED = 1 << 30 };

/* ---- topics ---- */

static struct topic *find_topic(const struct pubsub *p, enum topic_kind kind, struct slice name)
{
	struct index_link *link = index_first(&p->topics, hash_bytes(kind, name));

	for (; link; link = index_next(link)) {
		struct topic *t = (struct topic *)link;
		if (t->kind == kind && slice_eq(slice(t->name, t->len), name))
			return t;
	}
	return NULL;
}

static struct topic *make_topic(struct pubsub *p, enum topic_kind kind, struct slice name)
{
	struct topic *t = find_topic(p, kind, name);

	if (t || !(t = malloc(sizeof(*t) + name.len)))
		return t;
	*t = (struct topic){ .link.hash = hash_bytes(kind, name), .kind = kind, .len = name.len };
	if (name.len)
		memcpy(t->name, name.ptr, name.len);
	if (index_add(&p->topics, &t->link)) {
		free(t);
		return NULL;
	}
	if (kind == TOPIC_PATTERN)
		LIST_INSERT_HEAD(&p->patterns, t, patterns);
	p->count[kind]++;
	return t;
}

static void drop_unused(struct pubsub *p, struct topic *t)
{
	if (t->nsubscribers)
		return;
	index_remove(&p->topics, &t->link);
	if (t->kind == TOPIC_PATTERN)
		LIST_REMOVE(t, patterns);
	p->count[t->kind]--;
	free(t);
}

/* ---- who listens ---- */

static uint64_t hash_pair(const struct topic *t, const struct cmd_client *c)
{
	return hash_mix(t->link.hash, hash_u64(c->id));
}

static struct subscription *find_subscription(const struct pubsub *p, const struct topic *t, const struct cmd_client *c)
{
	struct index_link *link = index_first(&p->subscriptions, hash_pair(t, c));

	for (; link; link = index_next(link)) {
		struct subscription *s = (struct subscription *)link;
		if (s->topic == t && s->client == c)
			return s;
	}
	return NULL;
}

static int subscribe(struct cmd_client *c, enum topic_kind kind, struct slice name)
{
	struct pubsub *p = &c->env->pubsub;
	struct topic *t = make_topic(p, kind, name);
	struct subscription *s;

	if (!t)
		return -ENOMEM;
	if (find_subscription(p, t, c))
		return 0;
	s = malloc(sizeof(*s));
	if (s)
		*s = (struct subscription){ .link.hash = hash_pair(t, c), .topic = t, .client = c };
	if (!s || index_add(&p->subscriptions, &s->link)) {
		free(s);
		drop_unused(p, t);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(&t->subscribers, s, of_topic);
	LIST_INSERT_HEAD(&c->listens[kind], s, of_client);
	t->nsubscribers++;
	c->nlistens[kind]++;
	c->listens_bytes += name.len;
	return 0;
}

static void end_subscription(struct subscription *s)
{
	struct pubsub *p = &s->client->env->pubsub;
	struct topic *t = s->topic;

	index_remove(&p->subscriptions, &s->link);
	LIST_REMOVE(s, of_topic);
	LIST_REMOVE(s, of_client);
	s->client->nlistens[t->kind]--;
	s->client->listens_bytes -= t->len;
	t->nsubscribers--;
	free(s);
	drop_unused(p, t);
}

void pubsub_leave(struct cmd_client *c)
{
	struct pubsub *p = &c->env->pubsub;

	for (enum topic_kind kind = 0; kind < TOPIC_KINDS; kind++)
		while (!LIST_EMPTY(&c->listens[kind]))
			end_subscription(LIST_FIRST(&c->listens[kind]));
	for (size_t i = 0; i < p->nmessages; i++)
		if (p->message[i].to == c)
			p->message[i].to = NULL;
}

/* ---- messages ---- */

static int add_message(struct pubsub *p, struct message m)
{
	if (p->nmessages == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;
		struct message *message = realloc(p->message, cap * sizeof(*message));
		if (!message)
			return -ENOMEM;
		p->message = message;
		p->cap = cap;
	}
	p->message[p->nmessages++] = m;
	return 0;
}

/* What stands before channel and payload differs from topic to topic and between the protocol versions. */
static struct message write_head(struct pubsub *p, const struct topic *t, int proto)
{
	struct resp_writer w = { .out = &p->bytes, .proto = proto };
	struct message m = { .head = p->bytes.len };

	resp_push(&w, t->kind == TOPIC_PATTERN ? 4 : 3);
	resp_bulk_str(&w, t->kind == TOPIC_PATTERN ? "pmessage" : "message");
	if (t->kind == TOPIC_PATTERN)
		resp_bulk(&w, slice(t->name, t->len));
	m.head_len = p->bytes.len - m.head;
	return m;
}

static int send_to_topic(struct pubsub *p, const struct topic *t, size_t body, size_t body_len)
{
	struct message head[2] = { { .body_len = 0 } }; /* of RESP2 and RESP3, written when the first one asks */
	const struct subscription *s;

	LIST_FOREACH(s, &t->subscribers, of_topic) {
		struct message *m = &head[s->client->proto == 3];
		if (m->body_len == 0)
			*m = write_head(p, t, s->client->proto);
		m->to = s->client;
		m->body = body;
		m->body_len = body_len;
		if (add_message(p, *m))
			return -ENOMEM;
	}
	return 0;
}

static int send_to_patterns(struct pubsub *p, struct slice channel, size_t body, size_t body_len)
{
	const struct topic *t;

	LIST_FOREACH(t, &p->patterns, patterns)
		if (glob_match(slice(t->name, t->len), channel, false) && send_to_topic(p, t, body, body_len))
			return -ENOMEM;
	return 0;
}

int64_t pubsub_publish(struct cmd_env *e, struct slice channel, struct slice payload)
{
	struct pubsub *p = &e->pubsub;
	const struct topic *t = find_topic(p, TOPIC_CHANNEL, channel);
	size_t body = p->bytes.len, before = p->nmessages, len;
	struct resp_writer w = { .out = &p->bytes, .proto = 2 };
	int r = 0;

	if (!t && LIST_EMPTY(&p->patterns))
		return 0;
	resp_bulk(&w, channel);
	resp_bulk(&w, payload);
	len = p->bytes.len - body;
	if (t)
		r = send_to_topic(p, t, body, len);
	if (r == 0)
		r = send_to_patterns(p, channel, body, len);
	if (r == 0 && p->bytes.failed)
		r = -ENOMEM;
	if (r == 0 && p->bytes.len > MAX_COLLECTED)
		r = -E2BIG;
	if (r || p->nmessages == before) {
		p->nmessages = before;
		p->bytes.len = body;
	}
	return r ? r : (int64_t)(p->nmessages - before);
}

void pubsub_forget(struct cmd_env *e)
{
	struct pubsub *p = &e->pubsub;

	p->nmessages = 0;
	buf_reset(&p->bytes, 65536);
	if (p->cap > 4096) {
		free(p->message);
		p->message = NULL;
		p->cap = 0;
	}
}

void pubsub_deliver(struct cmd_env *e)
{
	struct pubsub *p = &e->pubsub;

	for (size_t i = 0; i < p->nmessages; i++) {
		const struct message *m = &p->message[i];
		if (!m->to)
			continue;
		e->host.push(e->host.arg, m->to, slice(p->bytes.ptr + m->head, m->head_len));
		e->host.push(e->host.arg, m->to, slice(p->bytes.ptr + m->body, m->body_len));
		p->sent++;
	}
	pubsub_forget(e);
}

void pubsub_free(struct cmd_env *e)
{
	struct pubsub *p = &e->pubsub;

	pubsub_forget(e);
	buf_free(&p->bytes);
	free(p->message);
	index_free(&p->topics);
	index_free(&p->subscriptions);
}

/* ---- the commands ---- */

static void confirm(struct call *call, const char *word, const struct slice *name)
{
	const struct cmd_client *c = call->client;

	resp_push(&call->out, 3);
	resp_bulk_str(&call->out, word);
	if (name)
		resp_bulk(&call->out, *name);
	else
		resp_null(&call->out);
	resp_int(&call->out, (int64_t)(c->nlistens[TOPIC_CHANNEL] + c->nlistens[TOPIC_PATTERN]));
}

static int subscribe_all(struct call *call, enum topic_kind kind)
{
	struct cmd_client *c = call->client;
	size_t bytes = c->listens_bytes;

	for (size_t i = 1; i < call->argc; i++)
		bytes += call->argv[i].len;
	if (c->nlistens[TOPIC_CHANNEL] + c->nlistens[TOPIC_PATTERN] + call->argc - 1 > MAX_SUBSCRIPTIONS)
		return call_error(call, "ERR a connection subscribes to at most %d channels and patterns", MAX_SUBSCRIPTIONS);
	if (bytes > MAX_NAMES)
		return call_error(call, "ERR the names a connection subscribes to are at most %d bytes together", MAX_NAMES);
	call->unmuted = true;
	for (size_t i = 1; i < call->argc; i++) {
		int r = subscribe(c, kind, call->argv[i]);
		if (r)
			return r;
		confirm(call, call->command->info->name, &call->argv[i]);
	}
	return 0;
}

static int unsubscribe_all(struct call *call, enum topic_kind kind)
{
	struct cmd_client *c = call->client;
	const char *word = call->command->info->name;

	call->unmuted = true;
	for (size_t i = 1; i < call->argc; i++) {
		const struct topic *t = find_topic(&c->env->pubsub, kind, call->argv[i]);
		struct subscription *s = t ? find_subscription(&c->env->pubsub, t, c) : NULL;
		if (s)
			end_subscription(s);
		confirm(call, word, &call->argv[i]);
	}
	if (call->argc == 1 && LIST_EMPTY(&c->listens[kind]))
		confirm(call, word, NULL);
	while (call->argc == 1 && !LIST_EMPTY(&c->listens[kind])) {
		struct subscription *s = LIST_FIRST(&c->listens[kind]);
		struct slice name = slice(s->topic->name, s->topic->len);
		char *copy = malloc(name.len + 1); /* the name may go with its last subscriber */
		if (!copy)
			return -ENOMEM;
		if (name.len)
			memcpy(copy, name.ptr, name.len);
		end_subscription(s);
		name.ptr = copy;
		confirm(call, word, &name);
		free(copy);
	}
	return 0;
}

int pubsub_subscribe(struct call *call)
{
	return subscribe_all(call, TOPIC_CHANNEL);
}

int pubsub_psubscribe(struct call *call)
{
	return subscribe_all(call, TOPIC_PATTERN);
}

int pubsub_unsubscribe(struct call *call)
{
	return unsubscribe_all(call, TOPIC_CHANNEL);
}

int pubsub_punsubscribe(struct call *call)
{
	return unsubscribe_all(call, TOPIC_PATTERN);
}

int pubsub_send(struct call *call)
{
	int64_t n = pubsub_publish(call->env, call->argv[1], call->argv[2]);

	if (n < 0)
		return (int)n;
	resp_int(&call->out, n);
	return 0;
}

/* ---- PUBSUB ---- */

int pubsub_channels(struct call *call)
{
	const struct index *topics = &call->env->pubsub.topics;
	size_t mark = resp_array_begin(&call->out), n = 0;

	if (call->argc > 3)
		return call_sub_syntax(call);
	for (size_t i = 0; i < topics->size; i++)
		for (const struct index_link *link = topics->chain[i]; link; link = link->next) {
			const struct topic *t = (const struct topic *)link;
			struct slice name = slice(t->name, t->len);
			if (t->kind != TOPIC_CHANNEL || (call->argc == 3 && !glob_match(call->argv[2], name, false)))
				continue;
			resp_bulk(&call->out, name);
			n++;
		}
	resp_array_end(&call->out, mark, n);
	return 0;
}

int pubsub_numsub(struct call *call)
{
	resp_array(&call->out, 2 * (call->argc - 2));
	for (size_t i = 2; i < call->argc; i++) {
		const struct topic *t = find_topic(&call->env->pubsub, TOPIC_CHANNEL, call->argv[i]);
		resp_bulk(&call->out, call->argv[i]);
		resp_int(&call->out, t ? (int64_t)t->nsubscribers : 0);
	}
	return 0;
}

int pubsub_numpat(struct call *call)
{
	resp_int(&call->out, (int64_t)call->env->pubsub.count[TOPIC_PATTERN]);
	return 0;
}
