noinst_LTLIBRARIES += libstore.la
libstore_la_SOURCES = \
	src/store/archive.c src/store/archive.h \
	src/store/cache.c src/store/cache.h \
	src/store/catalog.c src/store/catalog.h \
	src/store/checkpoint.c src/store/checkpoint.h \
	src/store/checkpoint_file.c \
	src/store/checkpoint_load.c \
	src/store/checkpoint_read.c \
	src/store/checkpoint_walk.c \
	src/store/commit.c \
	src/store/compact.c \
	src/store/damaged.c src/store/damaged.h \
	src/store/expire.c \
	src/store/fetch.c \
	src/store/inner.h \
	src/store/keydir.c src/store/keydir.h \
	src/store/keydir_build.c \
	src/store/keydir_cell.h \
	src/store/keydir_check.c \
	src/store/keydir_cursor.c \
	src/store/keydir_edit.c \
	src/store/keydir_mem.c src/store/keydir_mem.h \
	src/store/keydir_page.c src/store/keydir_page.h \
	src/store/keydir_shape.c \
	src/store/keydir_tree.h \
	src/store/locator.h \
	src/store/manifest.c src/store/manifest.h \
	src/store/offline.c src/store/offline.h \
	src/store/pack.c src/store/pack.h src/store/pack_codec.c \
	src/store/merge.c src/store/merge.h \
	src/store/merge_copy.c \
	src/store/piece.c src/store/piece.h \
	src/store/read.c \
	src/store/recent.c src/store/recent.h \
	src/store/record.c src/store/record.h \
	src/store/recover.c \
	src/store/repair.c \
	src/store/replay.c src/store/replay.h \
	src/store/replay_batch.c \
	src/store/replay_read.c \
	src/store/reserve.c src/store/reserve.h \
	src/store/restore.c src/store/restore.h \
	src/store/scan.c \
	src/store/rollback.c \
	src/store/scrub.c src/store/scrub.h \
	src/store/segment.c src/store/segment.h \
	src/store/sorted.c \
	src/store/snapshot.c src/store/snapshot.h \
	src/store/snapshot_check.c \
	src/store/snapshot_job.c \
	src/store/snapshot_tool.c src/store/snapshot_tool.h \
	src/store/status.c \
	src/store/store.c src/store/store.h \
	src/store/survey.c src/store/survey.h \
	src/store/sync.c \
	src/store/slots.c \
	src/store/tail.c src/store/tail.h \
	src/store/txn.c src/store/txn.h \
	src/store/verify.c src/store/verify.h \
	src/store/view.c \
	src/store/whole.c src/store/whole.h \
	src/store/window.c src/store/window.h \
	src/store/work.c src/store/work.h
libstore_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBLZ4_CFLAGS) $(LIBZSTD_CFLAGS)
libstore_la_LIBADD = $(LIBLZ4_LIBS) $(LIBZSTD_LIBS) -lpthread

# The same engine for embedding: only the calls of kvdstore.h leave it. Interface numbers: current:revision:age.
lib_LTLIBRARIES += libkvdstore.la
libkvdstore_la_SOURCES = src/store/kvdstore.c src/store/kvdstore.h src/store/kvdstore_inner.h \
	src/store/kvdstore_admin.c src/store/kvdstore_batch.c src/store/kvdstore_range.c
libkvdstore_la_LIBADD = libstore.la libbase.la
libkvdstore_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0 -export-symbols-regex '^kvdstore_'
include_HEADERS += src/store/kvdstore.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = src/store/kvdstore.pc

check_LTLIBRARIES += libsim.la
libsim_la_SOURCES = tests/sim/simdisk.c tests/sim/simdisk.h

STORE_TESTS = tests/unit/keydir.t tests/unit/store_corners.t tests/unit/record.t tests/unit/store_parts.t tests/unit/store_model.t
check_PROGRAMS += $(STORE_TESTS)
TESTS += $(STORE_TESTS)
tests_unit_record_t_SOURCES = tests/unit/record.c
tests_unit_record_t_LDADD = libstore.la libbase.la
tests_unit_store_parts_t_SOURCES = tests/unit/store_parts.c
tests_unit_store_parts_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_store_model_t_SOURCES = tests/unit/store_model.c
tests_unit_store_model_t_LDADD = libsim.la libstore.la libbase.la
tests_unit_keydir_t_SOURCES = tests/unit/keydir.c
tests_unit_keydir_t_LDADD = libstore.la libbase.la

noinst_PROGRAMS += tests/bench/keydir_bench
tests_bench_keydir_bench_SOURCES = tests/bench/keydir_bench.c
tests_bench_keydir_bench_LDADD = libstore.la libbase.la

include tests/unit/store_tests.mk
tests_unit_store_corners_t_SOURCES = tests/unit/store_corners.c
tests_unit_store_corners_t_LDADD = libsim.la libstore.la libbase.la
