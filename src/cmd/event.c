/* SPDX-License-Identifier: MIT
 *
 * Keyspace events: what happens to keys, told as messages on the channels __keyspace@N__:KEY (the message is what
 * happened) and __keyevent@N__:WHAT (the message is the key), as far as notify-keyspace-events asks for it.
 */
#include "cmd/room.h"

static const struct {
	char letter;
	unsigned mask;
} letters[] = {
	{ 'K', EVENT_KEYSPACE },
	{ 'E', EVENT_KEYEVENT },
	{ 'g', EVENT_GENERIC },
	{ '$', EVENT_STRING },
	{ 'x', EVENT_EXPIRED },
	{ 'n', EVENT_NEW },
	{ 'm', EVENT_MISS },
	{ 'A', EVENT_GENERIC | EVENT_STRING | EVENT_EXPIRED },
};

void cmd_set_events(struct cmd_env *e, const char *text)
{
	e->events = 0;
	for (; *text; text++)
		for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
			if (letters[i].letter == *text)
				e->events |= letters[i].mask;
	/* Without a kind of channel nothing is ever said. */
	if (!(e->events & (EVENT_KEYSPACE | EVENT_KEYEVENT)))
		e->events = 0;
}

void cmd_print_events(const char *text, struct buf *out)
{
	static const char kinds[] = "g$lshzxetd", others[] = "nKEm";
	size_t given = 0;

	for (const char *c = kinds; *c; c++)
		given += strchr(text, *c) != NULL;
	if (strchr(text, 'A') || given == sizeof(kinds) - 1)
		buf_append_char(out, 'A');
	else
		for (const char *c = kinds; *c; c++)
			if (strchr(text, *c))
				buf_append_char(out, *c);
	for (const char *c = others; *c; c++)
		if (strchr(text, *c))
			buf_append_char(out, *c);
}

void event_say(struct cmd_env *e, const char *what, unsigned db, struct slice key)
{
	struct buf channel = { 0 };

	if (!pubsub_is_used(&e->pubsub))
		return;
	if (e->events & EVENT_KEYSPACE) {
		buf_printf(&channel, "__keyspace@%u__:", db);
		buf_append_slice(&channel, key);
		if (!channel.failed)
			pubsub_publish(e, buf_slice(&channel), slice_str(what));
	}
	if (e->events & EVENT_KEYEVENT) {
		channel.len = 0;
		buf_printf(&channel, "__keyevent@%u__:%s", db, what);
		if (!channel.failed)
			pubsub_publish(e, buf_slice(&channel), key);
	}
	buf_free(&channel);
}

void cmd_expired(struct cmd_env *e, unsigned db, struct slice key)
{
	if (!(e->events & EVENT_EXPIRED))
		return;
	event_say(e, "expired", db, key);
	pubsub_deliver(e);
}
