noinst_LTLIBRARIES += libdaemon.la
libdaemon_la_SOURCES = \
	src/daemon/accept.c \
	src/daemon/alias.c src/daemon/alias.h \
	src/daemon/compaction.c \
	src/daemon/config.c \
	src/daemon/conn.c src/daemon/conn.h \
	src/daemon/daemon.c src/daemon/daemon.h \
	src/daemon/events.c \
	src/daemon/host.c \
	src/daemon/input.c \
	src/daemon/journal.c src/daemon/journal.h \
	src/daemon/listener.c src/daemon/listener.h \
	src/daemon/notify.c src/daemon/notify.h \
	src/daemon/options.c src/daemon/options.def src/daemon/options.h \
	src/daemon/outq.c src/daemon/outq.h \
	src/daemon/probe.c src/daemon/probe.h \
	src/daemon/reopen.c \
	src/daemon/request.c src/daemon/request.h \
	src/daemon/restore.c src/daemon/restore.h \
	src/daemon/server.c src/daemon/server.h \
	src/daemon/settings.c \
	src/daemon/setup.c \
	src/daemon/snapshots.c \
	src/daemon/stop.c
libdaemon_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBEVENT_CFLAGS) $(LIBSYSTEMD_CFLAGS)
libdaemon_la_LIBADD = $(LIBEVENT_LIBS) $(LIBSYSTEMD_LIBS)

sbin_PROGRAMS += kvd
kvd_SOURCES = src/daemon/main.c
kvd_LDADD = libdaemon.la libcmd.la libproto.la libstore.la libbase.la

check_PROGRAMS += tests/unit/large.t
tests_unit_large_t_SOURCES = tests/unit/large.c tests/tap.h
tests_unit_large_t_LDADD = libdaemon.la libproto.la libbase.la
TESTS += tests/unit/large.t
check_PROGRAMS += tests/unit/options.t tests/unit/outq.t tests/unit/paths.t
tests_unit_options_t_SOURCES = tests/unit/options.c tests/tap.h
tests_unit_options_t_LDADD = libdaemon.la libstore.la libbase.la
tests_unit_outq_t_SOURCES = tests/unit/outq.c tests/tap.h
tests_unit_outq_t_LDADD = libdaemon.la libproto.la libbase.la
tests_unit_paths_t_SOURCES = tests/unit/paths.c tests/tap.h
tests_unit_paths_t_LDADD = libbase.la
TESTS += tests/unit/options.t tests/unit/outq.t tests/unit/paths.t
