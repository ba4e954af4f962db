/*
 * The body of a FastCGI request: the FCGI_STDIN records that follow its
 * parameters (FastCGI 1.0, section 5.3), read off the connection as they come.
 *
 * libfcgi reads them as well, but ahead of what it is asked for, so that nobody
 * could wait for a client with a limit; and other records among them would end
 * the process.
 */

#ifndef MILLRACE_BODY_H
#define MILLRACE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct body {
	int	 fd;		/* of the connection */
	size_t	 left;		/* content of the record at hand, bytes */
	size_t	 padding;	/* that follows it */
	bool	 over;		/* its end was read */
};

/*
 * body_read	As read(2): bytes, as soon as there are some; 0 at the end; -1
 *		when the peer went away, was silent for too long, or sent what
 *		is no body.
 * body_ready	Whether body_read would not have to wait, or not longer than MS.
 */
ssize_t	body_read(struct body *, void *, size_t);
bool	body_ready(const struct body *, int ms);

#endif
