#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs of doc/examples, which a reader starts from, do what their comments say.
. "${top_srcdir:-.}/tests/tap.sh"
programs=${top_builddir:-.}/doc/examples

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' INT TERM

for name in basic batch iterate large; do
	mkdir "$work/$name"
done

out=$("$programs/basic" "$work/basic" 2>&1)
ok $? "basic runs"
is "$out" "greeting: hello (5 bytes)
session: less than an hour to live: yes
greeting: deleted
greeting: there was nothing left to delete" "basic writes, reads and deletes"
"$programs/basic" "$work/basic" >/dev/null 2>&1
ok $? "and again on the same store"

is "$("$programs/batch" "$work/batch" 2>&1)" "alice 70, bob 50" "batch moves an amount"
is "$("$programs/iterate" "$work/iterate" 2>&1)" "(all): host:db:addr host:db:port host:web:addr host:web:port user:anna
host:web:: host:web:addr host:web:port
host:, downwards: host:web:port host:web:addr host:db:port host:db:addr
(all): user:anna" "iterate lists in order, both ways, and removes"

out=$("$programs/large" "$work/large" 12345 2>&1)
ok $? "large runs"
is "${out%% keys*}" 12345 "large writes all its keys"

for name in basic batch iterate large; do
	out=$("$programs/$name" "$work/missing" 2>&1)
	[ $? -eq 1 ]
	ok $? "$name fails when there is no directory"
	case $out in
	*"$work/missing"*) ok 0 "and names it" ;;
	*) ok 1 "and names it" ;;
	esac
done
done_testing
