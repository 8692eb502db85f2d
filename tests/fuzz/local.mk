# Fuzz targets: always as programs that replay their corpus, with --enable-fuzzing (clang) for libFuzzer, too. The code
# under test sees coverage when it is configured --with-sanitizer=fuzzer-no-link,address,undefined.
# A run: tests/fuzz/resp_fuzz -max_total_time=120 NEW $(top_srcdir)/tests/fuzz/corpus/resp, where NEW is an empty folder.
FUZZ_REPLAY = tests/fuzz/fuzz_replay.c tests/fuzz/fuzz_replay.h tests/tap.h

check_PROGRAMS += tests/fuzz/resp_fuzz.t
tests_fuzz_resp_fuzz_t_SOURCES = tests/fuzz/resp_fuzz.c tests/fuzz/resp_feed.h $(FUZZ_REPLAY)
tests_fuzz_resp_fuzz_t_LDADD = libproto.la libbase.la
TESTS += tests/fuzz/resp_fuzz.t
EXTRA_DIST += tests/fuzz/corpus/resp

if FUZZING
noinst_PROGRAMS += tests/fuzz/resp_fuzz
tests_fuzz_resp_fuzz_SOURCES = tests/fuzz/resp_fuzz.c tests/fuzz/resp_feed.h tests/fuzz/fuzz_replay.h
tests_fuzz_resp_fuzz_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer-no-link
tests_fuzz_resp_fuzz_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_resp_fuzz_LDADD = libproto.la libbase.la
endif

# A run: tests/fuzz/record_fuzz -malloc_limit_mb=32 -max_len=4096 -max_total_time=300 NEW $(top_srcdir)/tests/fuzz/corpus/record
check_PROGRAMS += tests/fuzz/record_fuzz.t
tests_fuzz_record_fuzz_t_SOURCES = tests/fuzz/record_fuzz.c tests/unit/store_fixture.h $(FUZZ_REPLAY)
tests_fuzz_record_fuzz_t_LDADD = libsim.la libstore.la libbase.la
TESTS += tests/fuzz/record_fuzz.t
EXTRA_DIST += tests/fuzz/corpus/record

if FUZZING
noinst_PROGRAMS += tests/fuzz/record_fuzz
tests_fuzz_record_fuzz_SOURCES = tests/fuzz/record_fuzz.c tests/unit/store_fixture.h tests/fuzz/fuzz_replay.h
tests_fuzz_record_fuzz_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer-no-link
tests_fuzz_record_fuzz_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_record_fuzz_LDADD = libsim.la libstore.la libbase.la
endif
