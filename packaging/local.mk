# What an installation needs beside the programs: units, user, journal catalog, a sample configuration.
unit_sources = \
	packaging/systemd/kvd.service.in packaging/systemd/kvd.socket.in \
	packaging/systemd/kvd@.service.in packaging/systemd/kvd@.socket.in \
	packaging/systemd/kvd-snapshot.service.in packaging/systemd/kvd-snapshot.timer.in \
	packaging/systemd/user/kvd.service.in packaging/systemd/user/kvd.socket.in
EXTRA_DIST += $(unit_sources) packaging/kvd.conf packaging/systemd/kvd.sysusers packaging/systemd/kvd.catalog \
	packaging/setup-deps packaging/try-kvd packaging/run-tests

EXTRA_DIST += packaging/build-deb packaging/debian/changelog packaging/debian/control packaging/debian/copyright \
	packaging/debian/kvd.README.Debian packaging/debian/kvd.docs packaging/debian/kvd.install packaging/debian/kvd.postrm \
	packaging/debian/libkvdstore-dev.examples packaging/debian/libkvdstore-dev.install packaging/debian/libkvdstore0.install \
	packaging/debian/libkvdstore0.symbols packaging/debian/rules packaging/debian/source/format packaging/debian/tests/control \
	packaging/debian/tests/crash packaging/debian/tests/library packaging/debian/tests/moved packaging/debian/tests/restart \
	packaging/debian/tests/smoke

substitute_paths = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) \
	-e 's|@bindir[@]|$(bindir)|g' -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@libdir[@]|$(libdir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
	-e 's|@localstatedir[@]|$(localstatedir)|g' -e 's|@runstatedir[@]|$(runstatedir)|g' $< > $@.tmp && mv $@.tmp $@

if SYSTEMD_UNITS
systemduserunitdir = $(prefix)/lib/systemd/user
sysusersdir = $(prefix)/lib/sysusers.d
catalogdir = $(prefix)/lib/systemd/catalog
nodist_systemdsystemunit_DATA = \
	packaging/systemd/kvd.service packaging/systemd/kvd.socket \
	packaging/systemd/kvd@.service packaging/systemd/kvd@.socket \
	packaging/systemd/kvd-snapshot.service packaging/systemd/kvd-snapshot.timer
nodist_systemduserunit_DATA = packaging/systemd/user/kvd.service packaging/systemd/user/kvd.socket
nodist_sysusers_DATA = packaging/systemd/sysusers/kvd.conf
catalog_DATA = packaging/systemd/kvd.catalog
CLEANFILES += $(nodist_systemdsystemunit_DATA) $(nodist_systemduserunit_DATA) $(nodist_sysusers_DATA)
endif

packaging/systemd/kvd.service: packaging/systemd/kvd.service.in Makefile
	$(substitute_paths)
packaging/systemd/kvd.socket: packaging/systemd/kvd.socket.in Makefile
	$(substitute_paths)
packaging/systemd/kvd@.service: packaging/systemd/kvd@.service.in Makefile
	$(substitute_paths)
packaging/systemd/kvd@.socket: packaging/systemd/kvd@.socket.in Makefile
	$(substitute_paths)
packaging/systemd/kvd-snapshot.service: packaging/systemd/kvd-snapshot.service.in Makefile
	$(substitute_paths)
packaging/systemd/kvd-snapshot.timer: packaging/systemd/kvd-snapshot.timer.in Makefile
	$(substitute_paths)
packaging/systemd/user/kvd.service: packaging/systemd/user/kvd.service.in Makefile
	$(substitute_paths)
packaging/systemd/user/kvd.socket: packaging/systemd/user/kvd.socket.in Makefile
	$(substitute_paths)
packaging/systemd/sysusers/kvd.conf: packaging/systemd/kvd.sysusers Makefile
	$(substitute_paths)

# Completion, written by kvctl from its own table of verbs. Where shells look for it.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
nodist_bashcompletion_DATA = packaging/completion/kvctl
nodist_zshcompletion_DATA = packaging/completion/_kvctl
nodist_fishcompletion_DATA = packaging/completion/kvctl.fish
CLEANFILES += $(nodist_bashcompletion_DATA) $(nodist_zshcompletion_DATA) $(nodist_fishcompletion_DATA)
write_completion = $(AM_V_GEN)$(MKDIR_P) $(@D) && ./kvctl$(EXEEXT) completion

packaging/completion/kvctl: kvctl$(EXEEXT)
	$(write_completion) bash > $@.tmp && mv $@.tmp $@
packaging/completion/_kvctl: kvctl$(EXEEXT)
	$(write_completion) zsh > $@.tmp && mv $@.tmp $@
packaging/completion/kvctl.fish: kvctl$(EXEEXT)
	$(write_completion) fish > $@.tmp && mv $@.tmp $@

# An administrator's file is never written over; the sample goes only where there is none.
install-data-local: install-sample-conf
uninstall-local: uninstall-sample-conf
install-sample-conf:
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf.d'
	test -e '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf' || \
		$(INSTALL_DATA) '$(srcdir)/packaging/kvd.conf' '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf'
uninstall-sample-conf:
	cmp -s '$(srcdir)/packaging/kvd.conf' '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf' && \
		rm -f '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf' || true
	rmdir '$(DESTDIR)$(sysconfdir)/kvd/kvd.conf.d' '$(DESTDIR)$(sysconfdir)/kvd' 2>/dev/null || true
.PHONY: install-sample-conf uninstall-sample-conf
