# The daemon from outside: every program here knows the contract only, never the sources.
blackbox_tests = \
	tests/blackbox/persistence.t \
	tests/blackbox/checkpoint.t \
	tests/blackbox/compact.t \
	tests/blackbox/crash.t \
	tests/blackbox/powercut.t \
	tests/blackbox/faults.t \
	tests/blackbox/tail.t \
	tests/blackbox/damage.t \
	tests/blackbox/files.t \
	tests/blackbox/format.t \
	tests/blackbox/protocol.t \
	tests/blackbox/abuse.t \
	tests/blackbox/durable.t \
	tests/blackbox/large.t \
	tests/blackbox/large_commands.t \
	tests/blackbox/service.t \
	tests/blackbox/config.t \
	tests/blackbox/sockets.t \
	tests/blackbox/clients.t \
	tests/blackbox/conformance.t \
	tests/blackbox/compat.t \
	tests/blackbox/ordering.t \
	tests/blackbox/pubsub.t \
	tests/blackbox/expire.t \
	tests/blackbox/snapshot.t \
	tests/blackbox/transactions.t \
	tests/blackbox/admin.t \
	tests/blackbox/reload.t \
	tests/blackbox/apt_index.t

EXTRA_DIST += $(blackbox_tests) \
	tests/blackbox/conformance.py \
	tests/blackbox/conformance.txt \
	tests/blackbox/faulty.py \
	tests/blackbox/kvctltest.py \
	tests/blackbox/kvdtest.py \
	tests/blackbox/powerloss.py \
	tests/blackbox/resp.py \
	tests/blackbox/straced.py \
	tests/blackbox/tap.py \
	tests/blackbox/with_django.py \
	tests/blackbox/with_node.js \
	tests/blackbox/with_php.php \
	tests/blackbox/with_redis_py.py

check_PROGRAMS += tests/blackbox/hiredis_client
tests_blackbox_hiredis_client_SOURCES = tests/blackbox/hiredis_client.c
tests_blackbox_hiredis_client_CPPFLAGS = $(AM_CPPFLAGS) $(HIREDIS_CFLAGS)
tests_blackbox_hiredis_client_LDADD = $(HIREDIS_LIBS)

if HAVE_PYTHON3
TESTS += $(blackbox_tests)
endif
