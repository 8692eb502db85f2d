include tests/blackbox/local.mk
include tests/lint/local.mk
include tests/upgrade/local.mk
include tests/fault/local.mk
include tests/bench/local.mk
include tests/system/local.mk

EXTRA_DIST += tests/tap.sh tests/tsan.supp

# Needs nothing built but the daemon; the long forms of the same programs.
check-long:
	KVD_TEST_LONG=1 $(MAKE) check

# The unit tests under valgrind: any error or definite leak fails the program. The random ones do less.
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
check-valgrind:
	KVD_TEST_CASES=$${KVD_TEST_CASES:-50} KVD_TEST_STRIDE=$${KVD_TEST_STRIDE:-17} $(MAKE) check TESTS='$(filter tests/unit/%.t tests/fuzz/%.t,$(check_PROGRAMS))' \
		T_LOG_COMPILER='$(SHELL) $(abs_top_builddir)/libtool --mode=execute $(VALGRIND)'
.PHONY: check-long check-valgrind
