# Rules of the tree that no compiler checks.
lint_tests = tests/lint/layering.t tests/lint/manual.t tests/lint/mutants.t tests/lint/symbols.t tests/lint/tables.t
EXTRA_DIST += $(lint_tests)

if HAVE_PYTHON3
TESTS += $(lint_tests)
endif
