noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	src/base/block.c src/base/block.h \
	src/base/buf.c src/base/buf.h \
	src/base/bytes.h \
	src/base/clock.c src/base/clock.h \
	src/base/crc.c src/base/crc.h \
	src/base/crc64.c src/base/crc64.h \
	src/base/error.c src/base/error.h \
	src/base/hash.h \
	src/base/io.c src/base/io.h \
	src/base/log.c src/base/log.h \
	src/base/num.c src/base/num.h \
	src/base/owner.c src/base/owner.h \
	src/base/paths.c src/base/paths.h \
	src/base/slice.h \
	src/base/tar.c src/base/tar.h \
	src/base/thread.c src/base/thread.h
libbase_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS) $(LIBDEFLATE_CFLAGS)
libbase_la_LIBADD = $(ZLIB_LIBS) $(LIBDEFLATE_LIBS) -lm

check_PROGRAMS += tests/unit/base.t tests/unit/tar.t
tests_unit_base_t_SOURCES = tests/unit/base.c tests/tap.h
tests_unit_base_t_LDADD = libbase.la
tests_unit_tar_t_SOURCES = tests/unit/tar.c tests/tap.h
tests_unit_tar_t_LDADD = libbase.la
TESTS += tests/unit/base.t tests/unit/tar.t
