/*
 * What the address sanitizer does in a stage program.
 *
 * It would look for leaks by ptrace, and for its options in /proc: the sandbox
 * of a stage has neither.
 */

const char	*__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
