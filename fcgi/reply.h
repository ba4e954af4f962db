/*
 * What goes back: JSON, problem+json, entity tags, files by nginx.
 */

#ifndef MILLRACE_REPLY_H
#define MILLRACE_REPLY_H

#include <stddef.h>

struct json_object;
struct req;

/*
 * reply_json	Send STATUS and a JSON text; takes the object.  Returns 0, so
 *		that a handler can end with it.
 * reply_cached	The same with a strong ETag; 304 when the client has it.
 * reply_empty	Send STATUS without a body.  Returns 0.
 * reply_file	Let nginx send PATH (below the storage root), with ranges.
 *		NAME is what a browser shall call it.  Returns 0.
 * reply_path	A path with what may not stand in a URL percent-encoded
 *		(RFC 3986); lives as long as the request.
 * reply_problem Send an application/problem+json; route.c calls it.
 */
int	reply_json(struct req *, int status, struct json_object *);
int	reply_cached(struct req *, struct json_object *);
int	reply_empty(struct req *, int status);
int	reply_file(struct req *, const char *path, const char *name,
	    const char *type);
char	*reply_path(struct req *, const char *);
void	reply_problem(struct req *, int status, const char *detail);

/*
 * Lists that are given in pages.
 * reply_number	A parameter of the query string from LEAST to MOST, INITIAL
 *		when absent.  0, or the status.
 * reply_next	Link to the same query with another cursor (RFC 8288); the
 *		address, which lives as long as the request.
 */
int	reply_number(struct req *, const char *name, unsigned int least,
	    unsigned int most, unsigned int initial, unsigned int *value);
const char *reply_next(struct req *, const char *cursor);

/*
 * Read a JSON body strictly: an object, UTF-8, no duplicate keys, depth 16.
 * reply_body	0 and *OBJECT (lives as long as the request); or the status.
 * reply_string	A member that must be text of at most MOST bytes without
 *		control bytes; "" when absent and not needed.  NULL: it was
 *		wrong, and the detail is set.
 */
enum reply_need { REPLY_OPTIONAL, REPLY_REQUIRED };
int	reply_body(struct req *, struct json_object **);
const char *reply_string(struct req *, struct json_object *, const char *key,
	    size_t most, enum reply_need);

#endif
