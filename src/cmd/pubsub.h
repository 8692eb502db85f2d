/* SPDX-License-Identifier: MIT
 *
 * Publish and subscribe: who listens to which channel or pattern, and the messages on their way to them. A message
 * is collected while a request runs and given to the host only when the request has succeeded, its transaction
 * committed; what a request that failed, or is to be run again, has said is forgotten. Inner door of the room.
 */
#ifndef CMD_PUBSUB_H
#define CMD_PUBSUB_H

#include <sys/queue.h>
#include "base/buf.h"
#include "cmd/index.h"

struct cmd_client;
struct cmd_env;

enum topic_kind { TOPIC_CHANNEL, TOPIC_PATTERN, TOPIC_KINDS };

struct topic {
	struct index_link link; /* first: by kind and name */
	LIST_ENTRY(topic) patterns;
	enum topic_kind kind;
	LIST_HEAD(, subscription) subscribers;
	size_t nsubscribers;
	size_t len;
	char name[];
};

struct subscription {
	struct index_link link; /* first: by topic and client */
	LIST_ENTRY(subscription) of_topic, of_client;
	struct topic *topic;
	struct cmd_client *client;
};

LIST_HEAD(subscription_list, subscription);

struct message {
	struct cmd_client *to; /* NULL: has gone meanwhile */
	size_t head, head_len, body, body_len; /* in pubsub.bytes */
};

struct pubsub {
	struct index topics, subscriptions;
	LIST_HEAD(, topic) patterns;
	size_t count[TOPIC_KINDS]; /* topics */
	struct buf bytes;
	struct message *message;
	size_t nmessages, cap;
	uint64_t sent; /* messages, one for each who got it */
};

/*
 * Collects a message for all who listen. Returns how many they are, -ENOMEM, or -E2BIG (the request says more than
 * is possible at once).
 */
int64_t pubsub_publish(struct cmd_env *e, struct slice channel, struct slice payload);
/* Gives what was collected to the host, or forgets it. */
void pubsub_deliver(struct cmd_env *e);
void pubsub_forget(struct cmd_env *e);
static inline bool pubsub_has_messages(const struct pubsub *p)
{
	return p->nmessages > 0;
}

/* Somebody listens to something. */
static inline bool pubsub_is_used(const struct pubsub *p)
{
	return p->topics.count > 0;
}

/* The client listens to nothing any more, and gets nothing that is under way. */
void pubsub_leave(struct cmd_client *c);
void pubsub_free(struct cmd_env *e);

#endif
