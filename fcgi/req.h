/*
 * One request: what came, what goes back.
 *
 * A handler fills the reply and returns; req.c and route.c do the rest: they
 * drain what is left of a body, so that it can never be read as records of
 * another request, and close.
 */

#ifndef MILLRACE_REQ_H
#define MILLRACE_REQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user.h"

struct conf;
struct pipelines;
struct req_io;

/* Most ":name" parts of one route. */
#define REQ_ARGS	3

/* What a program has at hand for every request; made once by its main(). */
struct site {
	const char		*program;
	const char		*conf_file;
	const struct conf	*conf;
	struct db		*db;
	struct token_keys	*keys;
	const struct pipelines	*pipelines;	/* NULL where not needed */
	int64_t			 started;	/* seconds since 1970 */
};

struct req {
	struct req_io	*io;
	struct site	*site;
	char		 id[65];	/* X-Request-Id */
	const char	*method;
	const char	*path;		/* decoded, without the site's prefix */
	const char	*query;		/* raw; "" */
	const char	*address;	/* of the client, as nginx knows it */
	const char	*type;		/* Content-Type; "" */
	int64_t		 length;	/* Content-Length; -1: not said */
	const char	*args[REQ_ARGS];	/* ":name" parts of the route */
	struct caller	 caller;
	char		 detail[512];	/* what is wrong, for the client */
	unsigned int	 retry_s;	/* Retry-After of an error; 0: none */
};

/*
 * req_param	A CGI parameter, as "HTTP_RANGE"; "" when there is none.
 * req_query	A decoded parameter of the query string; NULL when absent.
 *		Lives as long as the request.
 * req_query_bad What is wrong with the query string (a second parameter of the
 *		same name, a NUL, bad UTF-8, bad escapes), or NULL.
 * req_cookie	By name; NULL when absent.
 * req_read	Of the body: bytes, as soon as there are some; 0 at its clean
 *		end; -1 when the client went away or said less than it promised.
 * req_ready	Whether req_read would not have to wait, or not longer than MS.
 * req_others_wait Whether for half a second there have been connections that no
 *		worker takes; as far as can be seen from looking often.
 * req_body	The whole body, when it is no longer than MOST and comes soon;
 *		NUL-terminated, lives as long as the request.  Returns 0, or
 *		the status that ends the request (400, 408, 413).
 */
const char	*req_param(struct req *, const char *);
const char	*req_query(struct req *, const char *);
const char	*req_query_bad(struct req *);
const char	*req_cookie(struct req *, const char *);
ssize_t		 req_read(struct req *, void *, size_t);
bool		 req_ready(const struct req *, int ms);
bool		 req_others_wait(void);
int		 req_body(struct req *, size_t most, const char **, size_t *);

/*
 * req_header	Add a header to the reply.  VALUE may hold anything: control
 *		bytes in it are dropped.
 * req_reply	Send status, headers and body.  Once per request.  The body of
 *		a text/event-stream goes on after it, so its length is not said.
 * req_replied	Whether that was done.
 * req_reason	The words for a status, as "Not Found".
 * req_fail	Set the detail of an error and return STATUS, for
 *		"return req_fail(r, 400, ...)".
 */
void	req_header(struct req *, const char *name, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
const char *req_reason(int status);
void	req_reply(struct req *, int status, const char *type, const void *body,
	    size_t len);
bool	req_replied(const struct req *);
int	req_fail(struct req *, int status, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/*
 * req_serve	Accept requests on descriptor 0 and give each to HANDLE, until
 *		a signal says to stop (the request in hand is finished).
 *		Memory that the request asked for is freed after it.
 *		A peer has 2 s to send it, but for the body; afterwards one that
 *		is silent for 60 s loses its connection.
 * req_from	A request without a body, made from NAME=VALUE parameters, for
 *		who does the FastCGI part itself (the hub).  ENVP must live as
 *		long as it.  What would be sent is kept:
 * req_output	the whole answer so far, as CGI text (Status, headers, body).
 * req_alloc	Memory that lives as long as the request.
 * req_own	Call DROP(P) when the request is freed.
 */
void	 req_serve(struct site *, void (*handle)(struct req *, void *), void *);
struct req *req_from(struct site *, char *const *envp);
const char *req_output(const struct req *, size_t *len);
void	 req_free(struct req *);
void	*req_alloc(struct req *, size_t);
void	 req_own(struct req *, void *p, void (*drop)(void *));
char	*req_printf(struct req *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
