#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs of doc/examples, which a reader starts from, do what their comments say.
. "${top_srcdir:-.}/tests/tap.sh"
programs=${top_builddir:-.}/doc/examples

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' INT TERM

for name in basic batch iterate large persistence compaction; do
	mkdir -m 700 "$work/$name"
done

out=$("$programs/basic" "$work/basic" 2>&1)
ok $? "basic runs"
is "$out" "greeting: hello (5 bytes)
session: less than an hour to live: yes
greeting: deleted
greeting: there was nothing left to delete" "basic writes, reads and deletes"
"$programs/basic" "$work/basic" >/dev/null 2>&1
ok $? "and again on the same store"

is "$("$programs/batch" "$work/batch" 2>&1)" "there is no carol
alice 70, bob 50" "batch moves an amount"
is "$("$programs/iterate" "$work/iterate" 2>&1)" "(all): host:db:addr host:db:port host:web:addr host:web:port user:anna
host:web:: host:web:addr host:web:port
host:, downwards: host:web:port host:web:addr host:db:port host:db:addr
(all): user:anna" "iterate lists in order, both ways, and removes"

out=$("$programs/large" "$work/large" 12345 2>&1)
ok $? "large runs"
is "${out%% keys*}" 12345 "large writes all its keys"

for run in 1 2; do
	is "$("$programs/persistence" "$work/persistence" 2>&1)" "run $run of this store
a process was told of 100 writes and killed: 100 are there" "persistence finds what an earlier process wrote, run $run"
done
is "$("$programs/compaction" "$work/compaction" 2>&1)" \
	"2000 keys were written 4 times and 1500 deleted: 500 are left, and a compaction makes the log 16 times smaller" "compaction gives space back"

mkdir -m 700 "$work/upkeep"
is "$("$programs/upkeep" "$work/upkeep" 2>&1)" "20 MB were written, and the log is less than a fifth of that" "upkeep keeps the store small"

# A C++ program can include the header, and one is built from what is installed by pkg-config alone.
cxx=$(command -v c++ || command -v g++ || command -v clang++)
if [ -n "$cxx" ]; then
	printf '#include <kvdstore.h>\nint main() { kvdstore_range r = kvdstore_range(); kvdstore_if c = kvdstore_if(); return r.prefix_len + c.len; }\n' >"$work/x.cc"
	out=$("$cxx" -Wall -Wextra -Werror -pedantic -fsyntax-only -I"$top_srcdir/src/store" "$work/x.cc" 2>&1)
	ok $? "a C++ compiler takes the header"
	[ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/# /'
fi

for name in basic batch iterate large persistence compaction upkeep; do
	out=$("$programs/$name" "$work/missing" 2>&1)
	[ $? -eq 1 ]
	ok $? "$name fails when there is no directory"
	case $out in
	*"$work/missing"*) ok 0 "and names it" ;;
	*) ok 1 "and names it" ;;
	esac
done
done_testing
