include tests/blackbox/local.mk
include tests/lint/local.mk
include tests/bench/local.mk
include tests/system/local.mk

EXTRA_DIST += tests/tap.sh

# Needs nothing built but the daemon; the long forms of the same programs.
check-long:
	KVD_TEST_LONG=1 $(MAKE) check
.PHONY: check-long
