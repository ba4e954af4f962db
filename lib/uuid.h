/*
 * Identifiers: UUIDs of version 7 (RFC 9562), so that they sort by the time
 * they were made.
 */

#ifndef MILLRACE_UUID_H
#define MILLRACE_UUID_H

#include <stdbool.h>

/* Length of an id in text, the terminating NUL included. */
#define UUID_TEXT	37

struct uuid {
	unsigned char	b[16];		/* as on the wire and in the database */
};

/*
 * uuid_new	Make a new id.  Later ones of one process sort after earlier.
 * uuid_parse	Read the 36 lower-case characters of TEXT.  Returns 0, or -1
 *		when it is anything else.
 * uuid_text	Write an id into BUF and return BUF.
 * uuid_is_set	Whether it is an id at all: not all zero.
 */
void	 uuid_new(struct uuid *);
int	 uuid_parse(struct uuid *, const char *);
char	*uuid_text(const struct uuid *, char[UUID_TEXT]);
bool	 uuid_equal(const struct uuid *, const struct uuid *);
bool	 uuid_is_set(const struct uuid *);

#endif
