# Loaded into the daemon by tests/blackbox: a module, hence the rpath. Sanitizers are for the program it is loaded into.
check_LTLIBRARIES += tests/fault/libkvdfault.la
tests_fault_libkvdfault_la_SOURCES = tests/fault/kvdfault.c tests/fault/kvdfault.h
tests_fault_libkvdfault_la_CFLAGS = -std=gnu17 $(WARN_CFLAGS)
tests_fault_libkvdfault_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_fault_libkvdfault_la_LIBADD = -ldl
