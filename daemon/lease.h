/*
 * The lease: while this daemon has one, the jobs that it took are its own.
 *
 * Its row in table daemon says so to the others, who watch it; a lock on a byte
 * of STORAGE/run/daemons says to those of its host that it is there.  When the
 * row cannot be renewed, the programs of its jobs are gone before the lease is
 * over, by the monotonic clock; then others may have the jobs.
 */

#ifndef MILLRACE_LEASE_H
#define MILLRACE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct db;
struct lease;

/*
 * lease_new	Fatal when the file of locks cannot be opened.
 * lease_id	Of this daemon in the database; 0: there is no lease.
 * lease_join	Try to get one.  NULL: it is there; else why not, "" when it
 *		will be there soon.
 * lease_renew	When it is time to, saying that so many slots are RUNNING.
 *		NULL, or why there is no lease any more: see lease_lost.
 * lease_lost	Others may have our jobs from now on.  The next lease_join
 *		takes back, counted as nothing, what nobody took meanwhile.
 * lease_watch	Look at all other daemons.  How many jobs of dead ones are
 *		pending again.
 * lease_alone	Whether there was no other daemon when it looked last.
 * lease_leave	At the end; with all jobs that are still ours.
 */
struct lease	*lease_new(const struct conf *, struct db *);
void		 lease_free(struct lease *);
uint64_t	 lease_id(const struct lease *);
unsigned int	 lease_slots(const struct lease *);
const char	*lease_join(struct lease *);
const char	*lease_renew(struct lease *, size_t running);
void		 lease_lost(struct lease *);
int		 lease_watch(struct lease *);
bool		 lease_alone(const struct lease *);
void		 lease_leave(struct lease *);

#endif
