/* A configuration is read as it was meant, or each mistake in it is named. */

#include <sys/mman.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "log.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

#define GOOD	"3f9c1e5a7b2d4f60819a2b3c4d5e6f70" \
		"8192a3b4c5d6e7f80912233445566778"

static char	 dir[] = "/tmp/millrace-conf-XXXXXX";
static char	 path[64], secret_path[64];
static char	 said[256 * 1024];
static int	 real_stderr, sink;

static void
hush(void)
{
	assert_int_equal(ftruncate(sink, 0), 0);
	lseek(sink, 0, SEEK_SET);
	dup2(sink, STDERR_FILENO);
}

static const char *
heard(void)
{
	ssize_t	 n;

	dup2(real_stderr, STDERR_FILENO);
	n = pread(sink, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = '\0';
	return said;
}

static void
write_file(const char *name, const char *text, size_t len, mode_t mode)
{
	FILE	*f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	chmod(name, mode);
}

/* What conf_load makes of TEXT; what it said is in said[]. */
static struct conf *
load(const char *text)
{
	struct conf	*c;

	write_file(path, text, strlen(text), 0600);
	hush();
	c = conf_load(path);
	heard();
	return c;
}

static void
numbers(void **state)
{
	static const struct {
		const char *text; uint64_t most; int result; uint64_t value;
	} cases[] = {
		{ "0", 10, 0, 0 },
		{ "10", 10, 0, 10 },
		{ "11", 10, -1 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -1 },
		{ "99999999999999999999999", UINT64_MAX, -1 },
		{ "", 10, -1 },
		{ "-1", 10, -1 },
		{ "+1", 10, -1 },
		{ " 1", 10, -1 },
		{ "1 ", 10, -1 },
		{ "0x1", 10, -1 },
		{ "1.5", 10, -1 },
		{ "1k", 10000, -1 },
	};
	uint64_t	 n;
	size_t		 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		assert_int_equal(conf_number(cases[i].text, cases[i].most, &n),
		    cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(n, cases[i].value);
	}
}

static void
durations(void **state)
{
	static const struct {
		const char *text; int result; unsigned int value;
	} cases[] = {
		{ "90", 0, 90 }, { "90s", 0, 90 }, { "5m", 0, 300 },
		{ "2h", 0, 7200 }, { "7d", 0, 604800 }, { "0", 0, 0 },
		{ "4294967295", 0, 4294967295 }, { "4294967296", -1 },
		{ "49711d", -1 }, { "7w", -1 }, { "1h30m", -1 }, { "h", -1 },
		{ "", -1 }, { "5 m", -1 }, { "500ms", -1 },
	};
	unsigned int	 n;
	size_t		 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		assert_int_equal(conf_duration(cases[i].text, &n),
		    cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(n, cases[i].value);
	}
}

static void
sizes(void **state)
{
	static const struct {
		const char *text; int result; uint64_t value;
	} cases[] = {
		{ "100", 0, 100 }, { "64k", 0, 65536 }, { "64K", 0, 65536 },
		{ "2m", 0, 2097152 }, { "32g", 0, UINT64_C(34359738368) },
		{ "1t", 0, UINT64_C(1099511627776) },
		{ "16777215t", 0, UINT64_C(16777215) << 40 },
		{ "16777216t", -1 }, { "1kb", -1 }, { "k", -1 }, { "", -1 },
		{ "-1k", -1 }, { "1.5g", -1 },
	};
	uint64_t	 n;
	size_t		 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		assert_int_equal(conf_size(cases[i].text, &n),
		    cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(n, cases[i].value);
	}
}

static void
nearest(void **state)
{
	static const char *const	 words[] = {
		"socket", "server_name", "registration", NULL
	};
	static const struct { const char *word, *nearest; } cases[] = {
		{ "socket", "socket" },
		{ "sokcet", "socket" },
		{ "regstration", "registration" },
		{ "Server-Name", "server_name" },
		{ "servername", "server_name" },
		{ "colour", NULL },
		{ "x", NULL },
		{ "", NULL },
	};
	size_t		 i;
	const char	*found;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		found = conf_nearest(cases[i].word, words);
		if (cases[i].nearest == NULL)
			assert_null(found);
		else {
			assert_non_null(found);
			assert_string_equal(found, cases[i].nearest);
		}
	}
}

static void
empty_file_means_initial_values(void **state)
{
	struct conf	*c = load("");

	(void)state;
	assert_non_null(c);
	assert_string_equal(said, "");
	assert_string_equal(c->db_socket, "/run/mysqld/mysqld.sock");
	assert_string_equal(c->db_user, "millrace");
	assert_string_equal(c->listen, "127.0.0.1:8080");
	assert_string_equal(c->queues, "default");
	assert_string_equal(c->root, MILLRACE_STATE);
	assert_string_equal(c->origins, "");
	assert_int_equal(c->db_port, 3306);
	assert_int_equal(c->access_s, 600);
	assert_int_equal(c->idle_s, 604800);
	assert_int_equal(c->tick_ms, 500);
	assert_int_equal(c->max_size, UINT64_C(32) << 30);
	assert_false(c->anonymous);
	assert_null(c->environment[0]);
	conf_free(c);
}

static void
reads_values(void **state)
{
	struct conf	*c;

	(void)state;
	c = load("# a comment\r\n"
	    "; another\n"
	    "  [database]  # here too\n"
	    "user = millrace_%p\n"
	    "password = 'a # b; \"c\"'\n"
	    "password-file=/etc/x # the rest\n"
	    "socket =\n"
	    "[site]\r\n"
	    "server-name = \"a.example b.example\"  ; why\r\n"
	    "origins = http://localhost:3000\thttps://[::1] app://x\n"
	    "trusted_proxies = 10.0.0.0/8 ::1 192.0.2.7 2001:db8::/32\n"
	    "anonymous = Yes\n"
	    "prefix = /jobs\n"
	    "[upload]\n"
	    "max_size = 1m\n"
	    "[sse]\n"
	    "tick=2s\n"
	    "[environment]\n"
	    "VMAF_METER = /opt/ff mpeg#1\n"
	    "EMPTY =\n"
	    "[site]\n"
	    "listen = [::1]:80");		/* no final newline */
	assert_string_equal(said, "");
	assert_non_null(c);
	assert_string_equal(c->db_user, "millrace_%p");
	assert_string_equal(c->db_password, "a # b; \"c\"");
	assert_string_equal(c->db_password_file, "/etc/x");
	assert_string_equal(c->db_socket, "");
	assert_string_equal(c->server_name, "a.example b.example");
	assert_string_equal(c->trusted_proxies,
	    "10.0.0.0/8 ::1 192.0.2.7 2001:db8::/32");
	assert_true(c->anonymous);
	assert_string_equal(c->prefix, "/jobs");
	assert_int_equal(c->max_size, 1 << 20);
	assert_int_equal(c->tick_ms, 2000);
	assert_string_equal(c->listen, "[::1]:80");
	assert_string_equal(c->environment[0], "VMAF_METER=/opt/ff mpeg#1");
	assert_string_equal(c->environment[1], "EMPTY=");
	assert_null(c->environment[2]);
	conf_free(c);
}

/* One line of text each, and what is said about it. */
static void
names_mistakes(void **state)
{
	static const struct { const char *text, *said; } cases[] = {
		{ "[sit]\n",
		    ":1: unknown section [sit]; did you mean [site]?" },
		{ "[zzzzzzz]\nkey = 1\n", ":1: unknown section [zzzzzzz]\n" },
		{ "[site\n",	":1: expected [SECTION], found" },
		{ "[site] x\n",	":1: expected [SECTION], found" },
		{ "listen = x\n",
		    ":1: listen: before the first [SECTION]" },
		{ "[site]\nlisten\n",
		    ":2: expected KEY = VALUE, found \"listen\"" },
		{ "[site]\nregstration = yes\n",
		    ":2: [site] regstration: unknown key; did you mean"
		    " \"registration\"?" },
		{ "[site]\nsecret = x\n",
		    ":2: [site] secret: unknown key; it belongs to [auth]" },
		{ "[site]\n= x\n", ":2: [site] : unknown key\n" },
		{ "[site]\n\nanonymous = maybe\n",
		    ":3: [site] anonymous: \"maybe\" is not yes or no" },
		{ "[daemon]\nlease = 4s\n",
		    ":2: [daemon] lease: 4s is below the least, 5s" },
		{ "[daemon]\nlease = 2h\n",
		    ":2: [daemon] lease: 2h is above the most, 1h" },
		{ "[daemon]\nlease = soon\n",
		    ":2: [daemon] lease: \"soon\" is not a duration" },
		{ "[daemon]\nslots = 99999999999999999999\n",
		    ":2: [daemon] slots: \"99999999999999999999\" is not" },
		{ "[upload]\nmax_size = 0\n",
		    ":2: [upload] max_size: 0 is below the least, 1" },
		{ "[site]\nlisten =\n",
		    ":2: [site] listen: must not be empty" },
		{ "[site]\nlisten = 8080\n", "is not ADDRESS:PORT" },
		{ "[site]\nlisten = 127.0.0.1:0\n", "is not ADDRESS:PORT" },
		{ "[site]\nlisten = 127.0.0.1:65536\n",
		    "is not ADDRESS:PORT" },
		{ "[site]\nlisten = ::1:80\n", "is not ADDRESS:PORT" },
		{ "[site]\nlisten = [::1:80\n", "is not ADDRESS:PORT" },
		{ "[site]\nlisten = a;b:80\n", "is not ADDRESS:PORT" },
		{ "[site]\nprefix = jobs\n", "\"jobs\" is not a path" },
		{ "[site]\nprefix = /jobs/\n", "\"/jobs/\" is not a path" },
		{ "[site]\nprefix = /\n", "\"/\" is not a path" },
		{ "[site]\nprefix = /a;b\n", "\"/a;b\" is not a path" },
		{ "[site]\norigins = http://a http://b/ *\n",
		    "\"http://b/\" is not SCHEME://HOST[:PORT]" },
		{ "[site]\norigins = http://a http://b/ *\n",
		    "\"*\" is not SCHEME://HOST[:PORT]" },
		{ "[site]\ntrusted_proxies = 10.0.0.0/33\n",
		    "\"10.0.0.0/33\" is not an address or ADDRESS/BITS" },
		{ "[site]\ntrusted_proxies = proxy\n",
		    "\"proxy\" is not an address" },
		{ "[site]\nserver_name = a;b\n", "\"a;b\" is not a host name" },
		{ "[storage]\nroot = data\n",
		    "\"data\" is not an absolute path" },
		{ "[daemon]\nsandbox = none\n",
		    "\"none\" is not best or require" },
		{ "[database]\nisolation = serializable\n",
		    ":2: [database] isolation: \"serializable\" is not "
		    "read-committed or repeatable-read" },
		{ "[daemon]\nqueues = Video\n", "\"Video\" is not a name" },
		{ "[daemon]\nslots = 1\nslots = 2\n",
		    ":3: [daemon] slots: given before, in line 2" },
		{ "[site]\nlisten = \"a:1\n", ":2: a quote without its end" },
		{ "[site]\nlisten = 'a:1' y\n",
		    ":2: text behind the quoted value: y" },
		{ "[environment]\nlower = x\n",
		    ":2: [environment] lower: not a name of A-Z" },
		{ "[environment]\nMILLRACE_JOB = x\n",
		    "are set by the daemon" },
		{ "[environment]\nA = x\nA = y\n",
		    ":3: [environment] A: given twice" },
		{ "[site]\nlisten = \001\n",
		    ":2: control byte 0x01 in column 10" },
	};
	struct conf	*c;
	size_t		 i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		c = load(cases[i].text);
		if (c != NULL || strstr(said, cases[i].said) == NULL)
			fail_msg("%s: said %s, not %s", cases[i].text, said,
			    cases[i].said);
	}
}

static void
names_all_mistakes_of_a_file(void **state)
{
	(void)state;
	assert_null(load("[nowhere]\nx = 1\n[site]\nfoo = 1\nlisten = 1\n"));
	assert_non_null(strstr(said, ".conf:1: "));
	assert_null(strstr(said, ".conf:2: "));
	assert_non_null(strstr(said, ".conf:4: "));
	assert_non_null(strstr(said, ".conf:5: "));
}

static void
survives_rubbish(void **state)
{
	static const char	 nul[] = "[site]\nlisten = abcde\0b\n";
	char			*line = malloc(200000);

	(void)state;
	write_file(path, nul, sizeof(nul) - 1, 0600);
	hush();
	assert_null(conf_load(path));
	assert_non_null(strstr(heard(), ":2: control byte 0x00 in column 15"));

	memset(line, 'x', 199999);
	line[199999] = '\0';
	assert_null(load(line));
	memcpy(line, "[auth]\nsecret=", 14);
	assert_null(load(line));
	assert_non_null(strstr(said, ":2: [auth] secret: longer than 4096"
	    " bytes"));
	free(line);

	hush();
	assert_null(conf_load("/nonexistent/millrace.conf"));
	assert_non_null(strstr(heard(), "No such file or directory"));
	hush();
	assert_null(conf_load("/"));
	assert_non_null(strstr(heard(), "Is a directory"));
}

static void
environment_comes_first(void **state)
{
	struct conf	*c;

	(void)state;
	setenv("MILLRACE_DAEMON_SLOTS", "7", 1);
	setenv("MILLRACE_SITE_ORIGINS", "", 1);
	setenv("SECRET_KEY", "third", 1);
	c = load("[daemon]\nslots = 3\n[site]\norigins = http://a\n"
	    "[auth]\nsecret = fourth\n");
	assert_int_equal(c->slots, 7);
	assert_string_equal(c->origins, "http://a");
	assert_string_equal(c->secret, "third");
	conf_free(c);
	setenv("JWT_SECRET", "second", 1);
	c = load("");
	assert_string_equal(c->secret, "second");
	conf_free(c);
	setenv("MILLRACE_AUTH_SECRET", "first", 1);
	c = load("[auth]\nsecret_file = /nonexistent\n");
	assert_string_equal(c->secret, "first");
	conf_free(c);
	setenv("MILLRACE_DAEMON_SLOTS", "x", 1);
	assert_null(load(""));
	assert_non_null(strstr(said,
	    "MILLRACE_DAEMON_SLOTS: [daemon] slots: \"x\" is not a number"));

	unsetenv("MILLRACE_DAEMON_SLOTS");
	unsetenv("MILLRACE_SITE_ORIGINS");
	unsetenv("SECRET_KEY");
	unsetenv("JWT_SECRET");
	unsetenv("MILLRACE_AUTH_SECRET");
}

static void
secret_comes_from_its_file(void **state)
{
	struct conf	*c;
	char		 text[256];

	(void)state;
	snprintf(text, sizeof(text), "[auth]\nsecret_file = %s\n", secret_path);
	write_file(secret_path, "abc\r\nrest\n", 10, 0640);
	assert_non_null(c = load(text));
	assert_string_equal(c->secret, "abc");
	conf_free(c);

	chmod(secret_path, 0644);
	assert_null(load(text));
	assert_non_null(strstr(said, "everybody may open this secret"));

	write_file(secret_path, "", 0, 0600);
	assert_null(load(text));
	assert_non_null(strstr(said, "secret: empty"));

	unlink(secret_path);
	assert_null(load(text));
	assert_non_null(strstr(said, "No such file"));

	strlcat(text, "secret = x\n", sizeof(text));
	assert_null(load(text));
	assert_non_null(strstr(said, "only one of them"));
}

static void
secret_in_a_file_for_everybody_is_refused(void **state)
{
	static const char	 text[] = "[auth]\nsecret = " GOOD "\n";

	(void)state;
	write_file(path, text, sizeof(text) - 1, 0644);
	hush();
	assert_null(conf_load(path));
	assert_non_null(strstr(heard(), ":2: [auth] secret: everybody may"));
	assert_null(strstr(said, GOOD));
}

static void
weak_secrets_are_refused(void **state)
{
	static const struct { const char *secret; int result; } cases[] = {
		{ GOOD, 0 },
		{ "sX9!kQ2@vB7#nM4$wE6^rT8&yU1*iO3(", 0 },
		{ "", -1 },
		{ "sX9!kQ2@vB7#nM4$wE6^rT8&yU1*iO3", -1 },	/* 31 */
		{ "3f9c1e5a7b2d4f60819a2b3c4d5e6f70", -1 },	/* 16, in hex */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -1 },
		{ "0123456789abcdef0123456789abcdef"
		  "0123456789abcdef0123456789abcdef", -1 },
		{ "abcdefghijklmnopqrstuvwxyz0123456789", -1 },
		{ "your-256-bit-key-goes-here-please-0k", -1 },
		{ "CHANGEME-2f8a9c3b7d1e5f4a6b8c9d0e1f2a", -1 },
	};
	struct conf	*c;
	size_t		 i;

	(void)state;
	c = load("");
	for (i = 0; i < N(cases); i++) {
		free(c->secret);
		c->secret = xstrdup(cases[i].secret);
		hush();
		if (conf_secret(c, "F") != cases[i].result)
			fail_msg("%s: %s", cases[i].secret, heard());
		heard();
		if (cases[i].result == -1)
			assert_non_null(strstr(said,
			    "F: [auth] secret, or MILLRACE_AUTH_SECRET"));
	}
	conf_free(c);
}

/* The sample is a configuration, and with each key set still is. */
static void
sample_can_be_read_back(void **state)
{
	char		*text = NULL, *s, *to;
	size_t		 len;
	FILE		*f = open_memstream(&text, &len);
	struct conf	*c;

	(void)state;
	conf_sample(f);
	fclose(f);
	assert_non_null(c = load(text));
	conf_free(c);

	for (s = to = text; *s != '\0'; s++)
		if (s[0] != '#' || s[1] == ' ')
			*to++ = *s;
	*to = '\0';
	assert_non_null(c = load(text));
	assert_string_equal(said, "");
	assert_int_equal(c->lease_s, 15);
	conf_free(c);
	free(text);
}

static void
show_hides_secrets(void **state)
{
	char		*text = NULL;
	size_t		 len;
	FILE		*f = open_memstream(&text, &len);
	struct conf	*c;

	(void)state;
	c = load("[auth]\nsecret = " GOOD "\n[upload]\nmax_size = 1024k\n");
	conf_show(f, c);
	fclose(f);
	assert_null(strstr(text, GOOD));
	assert_non_null(strstr(text, "secret = (hidden)\t# /tmp/"));
	assert_non_null(strstr(text, "max_size = 1m\t# /tmp/"));
	assert_non_null(strstr(text, "tick = 500ms\t# initial value\n"));
	free(text);
	conf_free(c);
}

static int
begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/m.conf", dir);
	snprintf(secret_path, sizeof(secret_path), "%s/secret", dir);
	real_stderr = dup(STDERR_FILENO);
	sink = memfd_create("stderr", MFD_CLOEXEC);
	unsetenv("JWT_SECRET");
	unsetenv("SECRET_KEY");
	return 0;
}

static int
end(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(nearest),
		cmocka_unit_test(empty_file_means_initial_values),
		cmocka_unit_test(reads_values),
		cmocka_unit_test(names_mistakes),
		cmocka_unit_test(names_all_mistakes_of_a_file),
		cmocka_unit_test(survives_rubbish),
		cmocka_unit_test(environment_comes_first),
		cmocka_unit_test(secret_comes_from_its_file),
		cmocka_unit_test(secret_in_a_file_for_everybody_is_refused),
		cmocka_unit_test(weak_secrets_are_refused),
		cmocka_unit_test(sample_can_be_read_back),
		cmocka_unit_test(show_hides_secrets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, begin, end);
}
