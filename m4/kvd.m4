# KVD_WARNINGS: sets WARN_CFLAGS to the warnings this compiler knows; --enable-werror makes them errors.
AC_DEFUN([KVD_WARNINGS], [
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])], [], [enable_werror=no])
WARN_CFLAGS=
kvd_saved_cflags=$CFLAGS
for kvd_flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wwrite-strings -Wvla -Wformat=2 -Wimplicit-fallthrough -Wundef; do
	AC_MSG_CHECKING([whether $CC accepts $kvd_flag])
	CFLAGS="$kvd_saved_cflags -Werror $kvd_flag"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes]); WARN_CFLAGS="$WARN_CFLAGS $kvd_flag"], [AC_MSG_RESULT([no])])
done
CFLAGS=$kvd_saved_cflags
AS_IF([test "$enable_werror" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])
])

# KVD_SANITIZER: --with-sanitizer=LIST goes to the compiler and the linker as -fsanitize=LIST.
AC_DEFUN([KVD_SANITIZER], [
AC_ARG_WITH([sanitizer],
	[AS_HELP_STRING([--with-sanitizer=LIST], [build with -fsanitize=LIST: address,undefined or thread])],
	[], [with_sanitizer=no])
SANITIZER_CFLAGS=
AS_CASE([$with_sanitizer], [no], [with_sanitizer=no], [yes], [AC_MSG_ERROR([--with-sanitizer needs a list])], [
	SANITIZER_CFLAGS="-fsanitize=$with_sanitizer -fno-omit-frame-pointer -fno-sanitize-recover=all"
	kvd_saved_cflags=$CFLAGS
	CFLAGS="$CFLAGS $SANITIZER_CFLAGS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [], [AC_MSG_ERROR([$CC cannot build with -fsanitize=$with_sanitizer])])
	CFLAGS=$kvd_saved_cflags
])
AC_SUBST([SANITIZER_CFLAGS])
])
