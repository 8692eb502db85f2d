# The storage engine under every kind of damage and failure. Whether these tests would notice a bug: tests/store-mutants.
STORE_MORE_TESTS = tests/unit/store_merge.t tests/unit/store_checkpoint.t tests/unit/store_recovery.t tests/unit/store_txn.t tests/unit/store_faults.t tests/unit/store_snapshot.t tests/unit/store_restore.t \
	tests/unit/store_offline.t tests/unit/store_pack.t tests/unit/store_scrub.t tests/unit/store_view.t tests/unit/store_large.t tests/unit/store_meet.t tests/unit/store_reserve.t
check_PROGRAMS += $(STORE_MORE_TESTS)
TESTS += $(STORE_MORE_TESTS)
STORE_WRAP = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
tests_unit_store_recovery_t_SOURCES = tests/unit/store_recovery.c tests/unit/store_fixture.h
tests_unit_store_recovery_t_LDFLAGS = $(AM_LDFLAGS) $(STORE_WRAP)
tests_unit_store_recovery_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_checkpoint_t_SOURCES = tests/unit/store_checkpoint.c tests/unit/store_fixture.h
tests_unit_store_checkpoint_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_merge_t_SOURCES = tests/unit/store_merge.c tests/unit/store_fixture.h
tests_unit_store_merge_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_large_t_SOURCES = tests/unit/store_large.c tests/unit/store_fixture.h
tests_unit_store_large_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_txn_t_SOURCES = tests/unit/store_txn.c tests/unit/store_fixture.h
tests_unit_store_txn_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_snapshot_t_SOURCES = tests/unit/store_snapshot.c tests/unit/store_fixture.h
tests_unit_store_snapshot_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_pack_t_SOURCES = tests/unit/store_pack.c tests/unit/store_fixture.h
tests_unit_store_pack_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_meet_t_SOURCES = tests/unit/store_meet.c tests/unit/store_fixture.h
tests_unit_store_meet_t_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_mutex_lock
tests_unit_store_meet_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_reserve_t_SOURCES = tests/unit/store_reserve.c tests/unit/store_fixture.h
tests_unit_store_reserve_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_view_t_SOURCES = tests/unit/store_view.c tests/unit/store_fixture.h
tests_unit_store_view_t_LDFLAGS = $(AM_LDFLAGS) $(STORE_WRAP)
tests_unit_store_view_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_scrub_t_SOURCES = tests/unit/store_scrub.c tests/unit/store_fixture.h
tests_unit_store_scrub_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_offline_t_SOURCES = tests/unit/store_offline.c tests/unit/store_fixture.h
tests_unit_store_offline_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_restore_t_SOURCES = tests/unit/store_restore.c tests/unit/store_fixture.h
tests_unit_store_restore_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_faults_t_SOURCES = tests/unit/store_faults.c tests/unit/store_fixture.h
tests_unit_store_faults_t_LDFLAGS = $(AM_LDFLAGS) $(STORE_WRAP) -Wl,--wrap=free
tests_unit_store_faults_t_LDADD = libsim.la libstore.la libbase.la

# The interface for embedding, seen through the shared library alone.
check_PROGRAMS += tests/unit/kvdstore.t tests/unit/kvdstore_model.t
TESTS += tests/unit/kvdstore.t tests/unit/kvdstore_model.t
tests_unit_kvdstore_t_SOURCES = tests/unit/kvdstore.c tests/unit/kvdstore_fixture.h
tests_unit_kvdstore_t_LDADD = libkvdstore.la
tests_unit_kvdstore_model_t_SOURCES = tests/unit/kvdstore_model.c tests/unit/kvdstore_fixture.h
tests_unit_kvdstore_model_t_LDADD = libkvdstore.la

EXAMPLES = doc/examples/basic doc/examples/batch doc/examples/iterate doc/examples/large doc/examples/persistence \
	doc/examples/compaction doc/examples/upkeep
check_PROGRAMS += $(EXAMPLES)
TESTS += tests/unit/examples.t
EXTRA_DIST += tests/unit/examples.t tests/store-mutants
EXAMPLE_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/store
doc_examples_basic_SOURCES = doc/examples/basic.c
doc_examples_basic_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_basic_LDADD = libkvdstore.la
doc_examples_batch_SOURCES = doc/examples/batch.c
doc_examples_batch_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_batch_LDADD = libkvdstore.la
doc_examples_iterate_SOURCES = doc/examples/iterate.c
doc_examples_iterate_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_iterate_LDADD = libkvdstore.la
doc_examples_large_SOURCES = doc/examples/large.c
doc_examples_large_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_large_LDADD = libkvdstore.la
doc_examples_persistence_SOURCES = doc/examples/persistence.c
doc_examples_persistence_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_persistence_LDADD = libkvdstore.la
doc_examples_compaction_SOURCES = doc/examples/compaction.c
doc_examples_compaction_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_compaction_LDADD = libkvdstore.la
doc_examples_upkeep_SOURCES = doc/examples/upkeep.c
doc_examples_upkeep_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
doc_examples_upkeep_LDADD = libkvdstore.la

# What is installed is enough to build a program, by pkg-config alone.
installcheck-local:
	rm -rf installcheck.tmp && $(MKDIR_P) -m 700 installcheck.tmp
	PKG_CONFIG_PATH='$(DESTDIR)$(pkgconfigdir)' PKG_CONFIG_SYSROOT_DIR='$(DESTDIR)' $(SHELL) -c \
		'$(CC) $(SANITIZER_CFLAGS) -o installcheck.tmp/basic $(srcdir)/doc/examples/basic.c `$(PKG_CONFIG) --cflags --libs kvdstore`'
	LD_LIBRARY_PATH='$(DESTDIR)$(libdir)' installcheck.tmp/basic installcheck.tmp | grep 'greeting: hello'
	rm -rf installcheck.tmp
.PHONY: installcheck-local
