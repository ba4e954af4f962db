/*
 * Text of others: is it UTF-8 (RFC 3629), and how to make it so.
 */

#ifndef MILLRACE_UTF8_H
#define MILLRACE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * utf8_valid	Whether LEN bytes are well-formed: no overlong forms, no
 *		surrogates, nothing above U+10FFFF.
 * utf8_clean	Replace, in place, what is not, and control characters, by
 *		"?".  A character that was cut at the end goes.
 */
bool	utf8_valid(const char *, size_t len);
void	utf8_clean(char *);

#endif
