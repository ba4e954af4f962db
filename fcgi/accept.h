/*
 * Look at a FastCGI request before libfcgi reads it; and take one off a
 * connection without ever waiting for it, and without keeping anything of
 * libfcgi.
 */

#ifndef MILLRACE_ACCEPT_H
#define MILLRACE_ACCEPT_H

#include <stddef.h>

/*
 * Longest parameters of one request, headers of records included, bytes: those
 * of nginx are one record of at most 65535.
 */
#define ACCEPT_MAX	(66 * 1024)

enum accept_state {
	ACCEPT_NOTHING,		/* has arrived */
	ACCEPT_MORE,		/* must still arrive */
	ACCEPT_READY,		/* a whole request, which libfcgi can read */
	ACCEPT_BAD,		/* not one that we serve; close */
	ACCEPT_GONE		/* the peer closed; close */
};

/*
 * accept_start	Once per process, before signals are caught: libfcgi
 *		installs handlers of its own.
 * accept_judge	What the first LEN bytes of a connection are; *WHY says what is
 *		wrong with them.
 * accept_peek	The same for what has arrived on descriptor FD, without taking
 *		it off.
 * accept_take	Read the request that accept_peek found ready, and nothing of
 *		its body.  Returns its parameters, "NAME=VALUE" and a NULL at
 *		the end, to be freed as one piece.  NULL: libfcgi did not like
 *		them.
 * accept_drain	Throw away what else has arrived, so that closing FD does not
 *		reset the connection.  -1 once the peer has closed.
 */
void		  accept_start(void);
enum accept_state accept_judge(const unsigned char *, size_t, const char **why);
enum accept_state accept_peek(int fd, const char **why);
char		**accept_take(int fd);
int		  accept_drain(int fd);

#endif
