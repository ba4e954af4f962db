/* Names, roles and scopes are read strictly. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
names_are_plain(void **state)
{
	static const struct { const char *name; bool good; } cases[] = {
		{ "ana", true },
		{ "A", true },
		{ "9", true },
		{ "ana.b_c-d+e@example.org", true },
		{ "", false },
		{ "ana ", false },
		{ " ana", false },
		{ "a na", false },
		{ "ana\n", false },
		{ "-ana", false },
		{ ".ana", false },
		{ "@", false },
		{ "a/b", false },
		{ "a'b", false },
		{ "a%b", false },
		{ "\xc3\xa1na", false },
		{ "an\xc3\xa1", false },
	};
	char	 text[USER_NAME_MAX + 2];
	size_t	 i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++)
		if (user_name_good(cases[i].name) != cases[i].good)
			fail_msg("\"%s\"", cases[i].name);
	memset(text, 'a', sizeof(text));
	text[USER_NAME_MAX + 1] = '\0';
	assert_false(user_name_good(text));
	text[USER_NAME_MAX] = '\0';
	assert_true(user_name_good(text));
}

static void
roles_are_two_words(void **state)
{
	static const char *const wrong[] = {
		"", "Admin", "admin ", "root", "user,admin",
	};
	size_t	 i;

	(void)state;
	assert_int_equal(user_role_parse("user"), USER_USER);
	assert_int_equal(user_role_parse("admin"), USER_ADMIN);
	assert_string_equal(user_role_name(USER_ADMIN), "admin");
	for (i = 0; i < COUNT(wrong); i++)
		assert_int_equal(user_role_parse(wrong[i]), -1);
}

static void
scopes_are_a_list_of_words(void **state)
{
	static const struct { const char *text; int scopes; } cases[] = {
		{ "read", SCOPE_READ },
		{ "read,write", SCOPE_READ | SCOPE_WRITE },
		{ "write read", SCOPE_READ | SCOPE_WRITE },
		{ " read, write,admin ",
		    SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN },
		{ "read,read", SCOPE_READ },
		{ "", -1 },
		{ ",", -1 },
		{ "Read", -1 },
		{ "rea", -1 },
		{ "reads", -1 },
		{ "read,all", -1 },
		{ "read\nwrite", -1 },
		{ "7", -1 },
	};
	char	 text[24];
	size_t	 i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++)
		if (user_scope_parse(cases[i].text) != cases[i].scopes)
			fail_msg("\"%s\"", cases[i].text);
	assert_string_equal(user_scope_text(7, text), "read,write,admin");
	assert_string_equal(user_scope_text(SCOPE_WRITE, text), "write");
	assert_string_equal(user_scope_text(0, text), "");
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(names_are_plain),
		cmocka_unit_test(roles_are_two_words),
		cmocka_unit_test(scopes_are_a_list_of_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
