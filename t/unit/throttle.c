/* Clients are counted by what one of them can easily choose from. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "throttle.h"

static void
a_client_is_its_network(void **state)
{
	static const struct { const char *address, *net; } cases[] = {
		{ "192.0.2.17",			"192.0.2.0" },
		{ "255.255.255.255",		"255.255.255.0" },
		{ "::1",			"::" },
		{ "2001:db8:1:2:3:4:5:6",	"2001:db8:1:2::" },
		{ "2001:db8:1:2::",		"2001:db8:1:2::" },
		{ "2001:0DB8:0001:0002::7",	"2001:db8:1:2::" },
		{ "::ffff:192.0.2.17",		"192.0.2.0" },
		{ "unix:",			"unix:" },
		{ "",				"" },
		{ "a name of which there is no end, and then some more of it",
		  "a name of which there is no end, and then som" },
	};
	char	 net[THROTTLE_NET];
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		throttle_net(cases[i].address, net);
		assert_string_equal(net, cases[i].net);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_client_is_its_network),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
