/*
 * Who follows: how many streams each has, and whether they still may.
 * A viewer is a login or an API token, be it behind a ticket; all viewers of
 * one user, or of one address without a user, share an owner, whose streams
 * are counted.
 */

#ifndef MILLRACE_VIEWERS_H
#define MILLRACE_VIEWERS_H

#include <stddef.h>
#include <stdint.h>

struct caller;
struct db;
struct viewers;

/*
 * viewers_add	One more stream.  The number of its viewer, never 0.
 * viewers_remove One less.
 * viewers_owned Streams that the owner of a caller has.
 * viewers_n	Viewers there are.
 * viewers_check Ask the database about those whose turn it is; call it once a
 *		second, and each is asked about within three.  0, or -1 when
 *		it cannot say.  *REVOKED, until the next call: the *N that were
 *		found to be no longer good, in ascending order; they are not
 *		asked about again.
 */
struct viewers	*viewers_new(void);
void		 viewers_free(struct viewers *);
uint32_t	 viewers_add(struct viewers *, const struct caller *,
		    const char *address);
void		 viewers_remove(struct viewers *, uint32_t);
unsigned int	 viewers_owned(struct viewers *, const struct caller *,
		    const char *address);
size_t		 viewers_n(const struct viewers *);
int		 viewers_check(struct viewers *, struct db *,
		    const uint32_t **revoked, size_t *n);

#endif
