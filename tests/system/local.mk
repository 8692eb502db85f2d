# kvd in a booted system: needs root, systemd-nspawn and mmdebstrap, and is skipped without. Not part of make check.
system_tests = tests/system/boot.t tests/system/deb.t
system_checks = tests/system/run.py tests/system/guest.py tests/system/service_checks.py \
	tests/system/access_checks.py tests/system/start_checks.py tests/system/deb_checks.py
EXTRA_DIST += $(system_tests) tests/system/guest.sh $(system_checks)

check-system: all
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(system_tests)'
clean-local: clean-system
clean-system:
	rm -rf tests/system/build
.PHONY: check-system clean-system
