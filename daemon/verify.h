/*
 * Whether what a stage stored is what it said it is: by reading all of it.
 */

#ifndef MILLRACE_VERIFY_H
#define MILLRACE_VERIFY_H

struct results;
struct verify;

/*
 * verify_start	Hash each of STORED, in the directory STORE, in a process of
 *		its own.  DONE comes when that has ended: what is not known to
 *		be so then has the empty hash.  NULL when it could not be
 *		started (said).
 * verify_stop	Be done soon.
 */
struct verify	*verify_start(struct results *stored, const char *store,
		    void (*done)(void *), void *);
void		 verify_stop(struct verify *);

#endif
