# room proto: RESP reader and writer, inline lines
noinst_LTLIBRARIES += libproto.la
libproto_la_SOURCES = \
	src/proto/resp.h \
	src/proto/resp_inline.c \
	src/proto/resp_inner.h \
	src/proto/resp_lents.c \
	src/proto/resp_reader.c \
	src/proto/resp_writer.c

check_PROGRAMS += tests/unit/resp_reader.t tests/unit/resp_stream.t tests/unit/resp_writer.t
tests_unit_resp_reader_t_SOURCES = tests/unit/resp_reader.c tests/tap.h
tests_unit_resp_reader_t_LDADD = libproto.la libbase.la
tests_unit_resp_stream_t_SOURCES = tests/unit/resp_stream.c tests/fuzz/resp_feed.h tests/tap.h
tests_unit_resp_stream_t_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=realloc -Wl,--wrap=reallocarray
tests_unit_resp_stream_t_LDADD = libproto.la libbase.la
tests_unit_resp_writer_t_SOURCES = tests/unit/resp_writer.c tests/tap.h
tests_unit_resp_writer_t_LDADD = libproto.la libbase.la
TESTS += tests/unit/resp_reader.t tests/unit/resp_stream.t tests/unit/resp_writer.t

noinst_PROGRAMS += tests/bench/resp_bench
tests_bench_resp_bench_SOURCES = tests/bench/resp_bench.c
tests_bench_resp_bench_LDADD = libproto.la libbase.la

include tests/fuzz/local.mk
