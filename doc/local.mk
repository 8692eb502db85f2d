# Manual pages and what else there is to read. The pages with reference sections are filled from the tables of the
# source; a tarball brings them along, so the generator is not run there unless a table has changed.
filled_pages = doc/kvd.conf.5 doc/kvd-protocol.7
dist_man_MANS += doc/kvctl.1 doc/kvd.8 doc/kvd-format.5 doc/kvdstore.3 $(filled_pages)
EXTRA_DIST += doc/kvd.conf.5.in doc/kvd-protocol.7.in doc/tour.md doc/durability.md doc/decisions.md
MAINTAINERCLEANFILES = $(filled_pages)

noinst_PROGRAMS += doc/mdoc_tables
doc_mdoc_tables_SOURCES = doc/mdoc_tables.c

fill_page = $(AM_V_GEN)$(MKDIR_P) $(@D) && doc/mdoc_tables$(EXEEXT) < $< > $@.tmp && mv $@.tmp $@

doc/kvd.conf.5: doc/kvd.conf.5.in doc/mdoc_tables.c src/daemon/options.def | doc/mdoc_tables$(EXEEXT)
	$(fill_page)
doc/kvd-protocol.7: doc/kvd-protocol.7.in doc/mdoc_tables.c src/cmd/commands.def src/cmd/stats.def | doc/mdoc_tables$(EXEEXT)
	$(fill_page)
