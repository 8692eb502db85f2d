# Stores that earlier releases have left behind: this one must be able to go on with each of them.
upgrade_samples = tests/upgrade/0.1.0.tar.gz tests/upgrade/0.1.0.list tests/upgrade/0.1.0.snapshot.list tests/upgrade/0.1.0.indexed.list
EXTRA_DIST += $(upgrade_samples) tests/upgrade/upgrade.t
check_PROGRAMS += tests/upgrade/sample
tests_upgrade_sample_SOURCES = tests/upgrade/sample.c
tests_upgrade_sample_LDADD = libstore.la libbase.la
if HAVE_PYTHON3
TESTS += tests/upgrade/upgrade.t
endif

# By hand, once for each release: the sample of this version, to be added to the list above.
upgrade-sample: tests/upgrade/sample$(EXEEXT)
	rm -rf sample.tmp && $(MKDIR_P) -m 700 sample.tmp
	tests/upgrade/sample make sample.tmp
	tests/upgrade/sample list sample.tmp > $(srcdir)/tests/upgrade/$(VERSION).list
	tests/upgrade/sample list sample.tmp/snapshots/sample > $(srcdir)/tests/upgrade/$(VERSION).snapshot.list
	tests/upgrade/sample list sample.tmp/snapshots/indexed > $(srcdir)/tests/upgrade/$(VERSION).indexed.list
	tar --format=ustar --sort=name --owner=0 --group=0 -C sample.tmp -cf - . | gzip -9n > $(srcdir)/tests/upgrade/$(VERSION).tar.gz
	rm -rf sample.tmp
.PHONY: upgrade-sample
