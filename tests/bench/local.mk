# make bench: kvd beside redis-server on this machine; not part of make check.
EXTRA_DIST += tests/bench/bench.py tests/bench/bench_large.py tests/bench/bench_scan.py tests/bench/bench_store.py tests/bench/benchlib.py

bench: all tests/bench/load
	top_builddir='$(abs_top_builddir)' $(PYTHON3) $(top_srcdir)/tests/bench/bench.py $(BENCH_ARGS)
.PHONY: bench

noinst_PROGRAMS += tests/bench/load
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD = libsim.la
