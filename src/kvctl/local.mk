noinst_LTLIBRARIES += libkvctl.la
libkvctl_la_SOURCES = \
	src/kvctl/args.c \
	src/kvctl/completion.c \
	src/kvctl/connect.c \
	src/kvctl/csv.c src/kvctl/csv.h \
	src/kvctl/export.c \
	src/kvctl/format.c src/kvctl/format.h \
	src/kvctl/help.c \
	src/kvctl/import.c src/kvctl/import.h \
	src/kvctl/import_requests.c \
	src/kvctl/import_server.c \
	src/kvctl/kvctl.h \
	src/kvctl/list.c src/kvctl/list.h \
	src/kvctl/loader.c src/kvctl/loader.h \
	src/kvctl/numbers.c src/kvctl/numbers.h \
	src/kvctl/outfile.c src/kvctl/outfile.h \
	src/kvctl/output.c src/kvctl/output.h \
	src/kvctl/progress.c src/kvctl/progress.h \
	src/kvctl/record.c src/kvctl/record.h \
	src/kvctl/reload.c \
	src/kvctl/reply.c \
	src/kvctl/run.c \
	src/kvctl/shell.c \
	src/kvctl/snapshot.c \
	src/kvctl/suggest.c \
	src/kvctl/text.c \
	src/kvctl/signals.c src/kvctl/signals.h \
	src/kvctl/top.c src/kvctl/top.h src/kvctl/top_view.c \
	src/kvctl/verb.c src/kvctl/verb.h \
	src/kvctl/verbs.def \
	src/kvctl/verbs_admin.c \
	src/kvctl/verbs_data.c \
	src/kvctl/verbs_expiry.c \
	src/kvctl/verbs_offline.c \
	src/kvctl/watch.c \
	src/kvctl/words.c
libkvctl_la_CPPFLAGS = $(AM_CPPFLAGS) $(HIREDIS_CFLAGS) $(LIBEDIT_CFLAGS) $(JANSSON_CFLAGS)
libkvctl_la_LIBADD = $(HIREDIS_LIBS) $(LIBEDIT_LIBS) $(JANSSON_LIBS)

bin_PROGRAMS += kvctl
kvctl_SOURCES = src/kvctl/main.c
kvctl_CPPFLAGS = $(libkvctl_la_CPPFLAGS)
kvctl_LDADD = libkvctl.la libstore.la libbase.la

check_PROGRAMS += tests/unit/kvctl.t
tests_unit_kvctl_t_SOURCES = tests/unit/kvctl.c tests/tap.h
tests_unit_kvctl_t_CPPFLAGS = $(libkvctl_la_CPPFLAGS)
tests_unit_kvctl_t_LDADD = libkvctl.la libstore.la libbase.la
TESTS += tests/unit/kvctl.t

kvctl_tests = tests/blackbox/kvctl.t tests/blackbox/kvctl_import.t tests/blackbox/kvctl_live.t
EXTRA_DIST += $(kvctl_tests)
if HAVE_PYTHON3
TESTS += $(kvctl_tests)
endif
