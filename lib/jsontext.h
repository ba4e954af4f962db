/*
 * Is a text JSON (RFC 8259), and nothing but JSON?
 */

#ifndef MILLRACE_JSONTEXT_H
#define MILLRACE_JSONTEXT_H

#include <stddef.h>

/*
 * jsontext_wrong	What is wrong with LEN bytes that shall be one JSON
 *			value, as a phrase; NULL: nothing.  Wrong is also the
 *			same member twice, what is no UTF-8, and nesting deeper
 *			than DEPTH.
 */
const char *jsontext_wrong(const char *, size_t len, unsigned int depth);

#endif
