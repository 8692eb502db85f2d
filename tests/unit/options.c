/* SPDX-License-Identifier: MIT
 *
 * The configuration: every type of value, the text of its errors, and which source wins.
 */
#include "daemon/options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "daemon/alias.h"
#include "tap.h"

static char dir[] = "/tmp/kvd-options-XXXXXX";

static int set(struct options *o, const char *name, const char *value, struct error *e)
{
	return options_set(o, slice_str(name), slice_str(value), "here", NULL, e);
}

static const char *path_of(const char *name)
{
	static char path[4][200];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		bail("cannot write %s", name);
}

static void test_defaults(void)
{
	struct options o;

	is_int(options_init(&o), 0, "defaults are good values");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 16, "16 databases");
	is_int((int64_t)option_number(&o, OPTION_SEGMENT_SIZE), 64 << 20, "64M segments");
	is_int((int64_t)option_number(&o, OPTION_SOCKET_MODE), 0660, "socket mode 0660");
	is_int((int64_t)option_number(&o, OPTION_DURABILITY), 0, "durability always");
	is_int((int64_t)option_number(&o, OPTION_EXPIRE_INTERVAL), 100, "expire-interval is in milliseconds");
	is_int((int64_t)option_number(&o, OPTION_CLIENT_OUTPUT_LIMIT), 1 << 30, "1G of output");
	ok(option_number(&o, OPTION_CACHE_SIZE) == OPTION_UNSET, "cache-size is not set");
	ok(option_number(&o, OPTION_SOCKET_OWNER) == OPTION_UNSET, "socket-owner is not set");
	is_str(option_text(&o, OPTION_REQUIREPASS), "", "no password");
	options_free(&o);
}

static void test_values(void)
{
	static const struct {
		const char *name, *value;
		int64_t number; /* -1: must be refused */
	} cases[] = {
		{ "segment-size", "1M", 1 << 20 }, { "segment-size", "16G", INT64_C(16) << 30 },
		{ "segment-size", "1048575", -1 }, { "segment-size", "17G", -1 }, { "segment-size", "64X", -1 },
		{ "segment-size", "-1", -1 }, { "max-value-size", "512M", 512 << 20 }, { "max-value-size", "513M", -1 },
		{ "max-value-size", "1K", 1024 }, { "max-value-size", "1023", -1 },
		{ "durability-interval", "0", 0 }, { "durability-interval", "15min", 900000 },
		{ "durability-interval", "250ms", 250 }, { "durability-interval", "2h", -1 },
		{ "durability-interval", "soon", -1 }, { "expire-interval", "0", 0 },
		{ "compact-window", "02:00-05:00", 120 * 1440 + 300 }, { "compact-window", "23:30-00:15", 1410 * 1440 + 15 }, { "compact-window", "24:00-05:00", -1 },
		{ "compact-window", "2:00-5:00", -1 }, { "compact-window", "02:00-05:60", -1 }, { "compact-window", "02:00 05:00", -1 },
		{ "compact-garbage-ratio", "101", -1 }, { "compact-garbage-ratio", "0", 0 }, { "compact-rate", "0", 0 }, { "compact-interval", "0", 0 }, { "client-idle-timeout", "0", 0 },
		{ "client-idle-timeout", "5", 5000 }, { "client-idle-timeout", "1h", 3600000 },
		{ "databases", "1", 1 }, { "databases", "256", 256 }, { "databases", "0", -1 }, { "databases", "257", -1 },
		{ "databases", "0x10", -1 }, { "databases", "16 ", -1 }, { "durability", "interval", 1 },
		{ "durability", "NEVER", 2 }, { "durability", "nev", -1 }, { "durability", "always interval", -1 },
		{ "log-level", "debug", 4 }, { "socket-mode", "0600", 0600 }, { "socket-mode", "660", 0660 },
		{ "socket-mode", "0888", -1 }, { "socket-mode", "1777", -1 }, { "socket-owner", "root", 0 },
		{ "socket-owner", "0", 0 }, { "socket-owner", "no-such-user-here", -1 }, { "socket-group", "root", 0 },
		{ "socket-group", "12345", 12345 }, { "socket-group", "no-such-group-here", -1 },
		{ "socket", "relative/path", -1 }, { "data-dir", "./x", -1 }, { "client-output-total", "0", 0 },
		{ "client-query-limit", "0", 0 }, { "client-output-limit", "0", -1 }, { "max-clients", "0", -1 },
		{ "cache-size", "0", 0 },
	};
	struct options o;
	struct error e;

	options_init(&o);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int id = option_find(slice_str(cases[i].name));
		int r = set(&o, cases[i].name, cases[i].value, &e);
		bool good = cases[i].number < 0 ? r == -EINVAL : r == 0 && (int64_t)o.value[id].number == cases[i].number;
		ok(good, "%s = %s is %s", cases[i].name, cases[i].value, cases[i].number < 0 ? "refused" : "taken");
	}
	is_int(set(&o, "data-dir", "/srv/kvd", &e), 0, "an absolute path is taken");
	is_str(option_text(&o, OPTION_DATA_DIR), "/srv/kvd", "a path keeps its text");
	is_int(set(&o, "requirepass", "a # = b", &e), 0, "a text is taken as it is");
	is_str(option_text(&o, OPTION_REQUIREPASS), "a # = b", "with all its signs");
	is_int(set(&o, "databases", "3", &e) + set(&o, "databases", "", &e), 0, "an empty value is good");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 16, "and means the default");
	is_int(options_set(&o, SLICE("socket"), SLICE("x.sock"), "here", "/base", &e), 0, "a relative path with a base");
	is_str(option_text(&o, OPTION_SOCKET), "/base/x.sock", "starts at the base");
	options_free(&o);
}

static void test_messages(void)
{
	struct options o;
	struct error e;

	options_init(&o);
	set(&o, "databases", "many", &e);
	is_str(e.text, "here: databases: 'many' is not allowed, use an integer from 1 to 256", "an integer's bounds are named");
	set(&o, "segment-size", "1K", &e);
	is_str(e.text, "here: segment-size: '1K' is not allowed, use a size from 1M to 16G", "a size's bounds with units");
	set(&o, "durability-interval", "1d", &e);
	is_str(e.text, "here: durability-interval: '1d' is not allowed, use a duration from 0 to 1h", "a duration's too");
	set(&o, "durability", "x", &e);
	is_str(e.text, "here: durability: 'x' is not allowed, use one of always interval never", "choices are listed");
	set(&o, "socket-mode", "9", &e);
	is_str(e.text, "here: socket-mode: '9' is not allowed, use an octal mode from 0000 to 0777", "a mode is octal");
	set(&o, "colour", "red", &e);
	is_str(e.text, "here: 'colour' is not an option", "an unknown name is said");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 16, "a refused value changes nothing");
	options_free(&o);
}

static void test_file(void)
{
	struct options o;
	struct error e = { 0 };
	char expected[300];

	options_init(&o);
	write_file("a.conf", "# comment\n\n  databases=4\nmax-clients =  7 \r\nrequirepass = a b # c\n  # databases = 5\n");
	is_int(options_read_file(&o, path_of("a.conf"), true, &e), 0, "a file is read");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 4, "blanks around the sign do not matter");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 7, "nor at the ends of the line");
	is_str(option_text(&o, OPTION_REQUIREPASS), "a b # c", "a comment begins a line only");
	write_file("b.conf", "databases = 2\n\nmax-clients = x\n");
	is_int(options_read_file(&o, path_of("b.conf"), true, &e), -EINVAL, "a bad line refuses the file");
	snprintf(expected, sizeof(expected),
		"%s/b.conf:3: max-clients: 'x' is not allowed, use an integer from 1 to 1000000", dir);
	is_str(e.text, expected, "with file and line");
	write_file("c.conf", "just words\n");
	options_read_file(&o, path_of("c.conf"), true, &e);
	snprintf(expected, sizeof(expected), "%s/c.conf:1: expected 'name = value'", dir);
	is_str(e.text, expected, "a line without a sign is refused");
	is_int(options_read_file(&o, path_of("none.conf"), true, &e), -ENOENT, "a named file must be there");
	is_int(options_read_file(&o, path_of("none.conf"), false, &e), 0, "the default one need not");
	options_free(&o);
}

static void test_drop_ins(void)
{
	struct options o;
	struct error e = { 0 };
	char expected[300];

	mkdir(path_of("conf.d"), 0700);
	mkdir(path_of("kvd.conf.d"), 0700);
	write_file("kvd.conf", "databases = 1\nmax-clients = 1\nsegment-size = 1M\n");
	write_file("conf.d/20.conf", "databases = 20\n");
	write_file("conf.d/10.conf", "databases = 10\nmax-clients = 10\n");
	write_file("conf.d/30.conf~", "databases = 30\n");
	write_file("conf.d/.hidden.conf", "databases = 40\n");
	write_file("kvd.conf.d/05.conf", "max-clients = 5\n");
	options_init(&o);
	is_int(options_read_file(&o, path_of("kvd.conf"), true, &e), 0, "a file with drop-ins is read");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 20, "the last name in order wins, others are not read");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 5, "kvd.conf.d comes after conf.d");
	is_int((int64_t)option_number(&o, OPTION_SEGMENT_SIZE), 1 << 20, "what no drop-in names stays");
	write_file("conf.d/99.conf", "\n\nnonsense = 1\n");
	is_int(options_read_file(&o, path_of("kvd.conf"), true, &e), -EINVAL, "a bad drop-in refuses");
	snprintf(expected, sizeof(expected), "%s/conf.d/99.conf:3: 'nonsense' is not an option", dir);
	is_str(e.text, expected, "and is named");
	unlink(path_of("conf.d/99.conf"));
	options_free(&o);
}

static int load(int argc, char **argv, char **env, struct options *o, struct error *e)
{
	struct options_command command;
	int r = options_read_command(argc, argv, &command, e);

	return r ? r : options_load(&command, env, o, e);
}

static void test_precedence(void)
{
	struct options o;
	struct error e = { 0 };
	char config[220], *env[] = { NULL, NULL, NULL };
	snprintf(config, sizeof(config), "--config=%s", path_of("kvd.conf"));
	char *bare[] = { (char *)"kvd", config, (char *)"--data-dir=/d" };

	is_int(load(3, bare, NULL, &o, &e), 0, "file and command line");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 5, "the drop-in is over the file");
	is_str(option_text(&o, OPTION_DATA_DIR), "/d", "the command line names the data directory");
	ok(option_text(&o, OPTION_SOCKET)[0] == '/', "the socket has a default path");
	options_free(&o);

	env[0] = (char *)"KVD_MAX_CLIENTS=77";
	env[1] = (char *)"KVD_TEST_SEED=5";
	is_int(load(3, bare, env, &o, &e), 0, "other variables with our prefix do not matter");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 77, "the environment is over the drop-in");
	options_free(&o);

	char *full[] = { (char *)"kvd", config, (char *)"--data-dir", (char *)"/d", (char *)"-o", (char *)"max-clients=88",
		(char *)"--databases=3" };
	is_int(load(7, full, env, &o, &e), 0, "all ways of the command line");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 88, "the command line is over the environment");
	is_int((int64_t)option_number(&o, OPTION_DATABASES), 3, "--name=value");
	options_free(&o);

	env[0] = (char *)"KVD_DATABASES=none";
	is_int(load(3, bare, env, &o, &e), -EINVAL, "a bad variable refuses");
	is_str(e.text, "environment KVD_DATABASES: databases: 'none' is not allowed, use an integer from 1 to 256",
		"and is named");
}

static void test_command(void)
{
	static const struct {
		const char *words[3];
		int r;
		enum options_mode mode;
	} cases[] = {
		{ { "kvd", NULL, NULL }, 0, OPTIONS_RUN },
		{ { "kvd", "--check-config", NULL }, 0, OPTIONS_CHECK },
		{ { "kvd", "--check-config", "--help" }, 0, OPTIONS_HELP },
		{ { "kvd", "-V", NULL }, 0, OPTIONS_VERSION },
		{ { "kvd", "--version", NULL }, 0, OPTIONS_VERSION },
		{ { "kvd", "word", NULL }, -EINVAL, OPTIONS_RUN },
		{ { "kvd", "--", NULL }, -EINVAL, OPTIONS_RUN },
		{ { "kvd", "-o", "word" }, -EINVAL, OPTIONS_RUN },
		{ { "kvd", "--socket", NULL }, -EINVAL, OPTIONS_RUN },
	};
	struct options_command c;
	struct options o;
	struct error e;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int argc = 1 + (cases[i].words[1] != NULL) + (cases[i].words[2] != NULL);
		int r = options_read_command(argc, (char **)(uintptr_t)cases[i].words, &c, &e);
		ok(r == cases[i].r && (r || c.mode == cases[i].mode), "command line '%s %s' is understood or refused",
			cases[i].words[1] ? cases[i].words[1] : "", cases[i].words[2] ? cases[i].words[2] : "");
	}
	char *unknown[] = { (char *)"kvd", (char *)"--data-dir=/d", (char *)"--colour=red" };
	is_int(load(3, unknown, NULL, &o, &e), -EINVAL, "an unknown option is refused");
	is_str(e.text, "command line: 'colour' is not an option", "and named");
}

static void test_aliases(void)
{
	struct options o;
	struct error e;
	struct buf b = { 0 };

	options_init(&o);
	is_int(alias_set(&o, SLICE("appendfsync"), SLICE("everysec"), &e), 0, "appendfsync everysec");
	is_int((int64_t)option_number(&o, OPTION_DURABILITY), 1, "is durability interval");
	is_int((int64_t)option_number(&o, OPTION_DURABILITY_INTERVAL), 1000, "of a second");
	is_int(alias_set(&o, SLICE("appendfsync"), SLICE("often"), &e), -EINVAL, "other words are refused");
	is_int(alias_set(&o, SLICE("timeout"), SLICE("30"), &e), 0, "timeout is in seconds");
	is_int((int64_t)option_number(&o, OPTION_CLIENT_IDLE_TIMEOUT), 30000, "and ours in milliseconds");
	is_int(alias_set(&o, SLICE("timeout"), SLICE("0"), &e), 0, "timeout 0 is off");
	is_int((int64_t)option_number(&o, OPTION_CLIENT_IDLE_TIMEOUT), 0, "as ours");
	is_int(alias_set(&o, SLICE("maxclients"), SLICE("12"), &e), 0, "maxclients");
	is_int((int64_t)option_number(&o, OPTION_MAX_CLIENTS), 12, "is max-clients");
	is_int(alias_set(&o, SLICE("save"), SLICE(""), &e), 0, "save \"\" is what we do");
	is_int(alias_set(&o, SLICE("save"), SLICE("60 1"), &e), -EINVAL, "other points are refused");
	is_int(alias_set(&o, SLICE("dir"), SLICE("/x"), &e), -EPERM, "dir does not change at run time");
	is_int(alias_set(&o, SLICE("databases2"), SLICE("1"), &e), -ENOENT, "an unknown name is none");
	bool found = false;
	for (size_t i = 0; alias_get(&o, i, &b); i++) {
		buf_append_char(&b, '\0');
		const char *name = alias_get(&o, i, &b);
		found = found || (strcmp(name, "appendfsync") == 0 && strcmp(b.ptr, "everysec") == 0);
		b.len = 0;
	}
	ok(found, "appendfsync is shown in the words of Redis");
	buf_free(&b);
	options_free(&o);
}

static void test_copy_and_help(void)
{
	struct options o, copy;
	struct buf help = { 0 };
	struct error e;

	options_init(&o);
	set(&o, "databases", "9", &e);
	is_int(options_copy(&o, &copy), 0, "options are copied");
	set(&o, "databases", "8", &e);
	is_int((int64_t)option_number(&copy, OPTION_DATABASES), 9, "a copy is its own");
	options_free(&o);
	options_free(&copy);
	options_print_help(&help);
	buf_append_char(&help, '\0');
	bool all = true;
	for (size_t i = 0; option_info(i); i++)
		all = all && strstr(help.ptr, option_info(i)->name);
	ok(all, "the help names every option");
	buf_free(&help);
}

int main(void)
{
	char command[100];

	if (!mkdtemp(dir))
		bail("no directory for the test");
	test_defaults();
	test_values();
	test_messages();
	test_file();
	test_drop_ins();
	test_precedence();
	test_command();
	test_aliases();
	test_copy_and_help();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	is_int(system(command), 0, "the test cleans up");
	return done();
}
