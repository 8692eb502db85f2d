# room cmd
noinst_LTLIBRARIES += libcmd.la
libcmd_la_SOURCES = \
	src/cmd/backup.c \
	src/cmd/bit.c src/cmd/bit.h src/cmd/bitfield.c \
	src/cmd/call.c \
	src/cmd/checkpoint.c \
	src/cmd/client.c \
	src/cmd/cmd.h \
	src/cmd/command.c \
	src/cmd/commands.def \
	src/cmd/compact.c \
	src/cmd/config.c \
	src/cmd/counter.c \
	src/cmd/dispatch.c \
	src/cmd/debug.c \
	src/cmd/dump.c \
	src/cmd/env.c src/cmd/env.h \
	src/cmd/event.c \
	src/cmd/expire.c \
	src/cmd/glob.c \
	src/cmd/hold.c \
	src/cmd/index.c src/cmd/index.h \
	src/cmd/info.c \
	src/cmd/key.c src/cmd/key_specs.c \
	src/cmd/large.c src/cmd/large.h \
	src/cmd/lcs.c \
	src/cmd/lzf.c src/cmd/lzf.h \
	src/cmd/monitor.c \
	src/cmd/multi.c \
	src/cmd/object.c \
	src/cmd/part.c \
	src/cmd/pause.c \
	src/cmd/pubsub.c src/cmd/pubsub.h \
	src/cmd/range.c \
	src/cmd/room.h \
	src/cmd/reopen.c \
	src/cmd/scan.c \
	src/cmd/server.c \
	src/cmd/session.c \
	src/cmd/set_options.c src/cmd/set_options.h \
	src/cmd/slowlog.c \
	src/cmd/stats.def \
	src/cmd/string.c \
	src/cmd/syntax.c src/cmd/syntax.h \
	src/cmd/table.c \
	src/cmd/timing.c src/cmd/timing.h \
	src/cmd/verify.c \
	src/cmd/watch.c

# The in-memory engine behind the store's contract: the model of the tests.
check_LTLIBRARIES += libmodel.la
libmodel_la_SOURCES = tests/model/model_store.c tests/model/model_store.h

check_PROGRAMS += tests/unit/cmd.t tests/unit/cmd_table.t tests/unit/cmd_pubsub.t
tests_unit_cmd_t_SOURCES = tests/unit/cmd.c tests/unit/cmd_fixture.h tests/tap.h
tests_unit_cmd_t_LDADD = libcmd.la libproto.la libmodel.la libbase.la
tests_unit_cmd_table_t_SOURCES = tests/unit/cmd_table.c tests/unit/cmd_fixture.h tests/tap.h
tests_unit_cmd_table_t_LDADD = libcmd.la libproto.la libmodel.la libbase.la
tests_unit_cmd_pubsub_t_SOURCES = tests/unit/cmd_pubsub.c tests/unit/cmd_fixture.h tests/tap.h
tests_unit_cmd_pubsub_t_LDADD = libcmd.la libproto.la libmodel.la libbase.la
TESTS += tests/unit/cmd.t tests/unit/cmd_table.t tests/unit/cmd_pubsub.t
