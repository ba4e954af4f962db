/*
 * Pipelines that were loaded together.  They stay as long as somebody goes by
 * them: what runs ends as it began, whatever is loaded meanwhile.
 */

#ifndef MILLRACE_SET_H
#define MILLRACE_SET_H

#include <stdint.h>

#include "pipeline.h"

struct set {
	struct pipelines *pipelines;
	size_t		 used;
	char		 lacks[512];	/* names, with commas between them */
	uint64_t	 lacks_until;	/* loop_now() */
};

/*
 * set_new	Used once; the pipelines are owned.
 * set_use	Once more.
 * set_leave	No longer; the last one frees it.  NULL does nothing.
 * set_lack	A job came whose pipeline is not among them: leave such jobs to
 *		other hosts for a minute.  No more than that, since somebody
 *		must find out when no host has it.
 * set_lacks	The names of those, with commas between them; or "".
 */
struct set	*set_new(struct pipelines *);
struct set	*set_use(struct set *);
void		 set_leave(struct set *);
void		 set_lack(struct set *, const char *name);
const char	*set_lacks(const struct set *);

#endif
