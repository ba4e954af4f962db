/*
 * Pipelines that were loaded together.  They stay as long as somebody goes by
 * them: what runs ends as it began, whatever is loaded meanwhile.
 */

#ifndef MILLRACE_SET_H
#define MILLRACE_SET_H

#include "pipeline.h"

struct set {
	struct pipelines *pipelines;
	size_t		 used;
};

/*
 * set_new	Used once; the pipelines are owned.
 * set_use	Once more.
 * set_leave	No longer; the last one frees it.  NULL does nothing.
 */
struct set	*set_new(struct pipelines *);
struct set	*set_use(struct set *);
void		 set_leave(struct set *);

#endif
