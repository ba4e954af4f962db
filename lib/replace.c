/*
 * Replace a small file as a whole.
 */

#include "replace.h"

#include <stdlib.h>
#include <unistd.h>

#include "log.h"

static void
forget(struct replacement *r)
{
	free(r->path);
	free(r->part);
}

FILE *
replace_begin(struct replacement *r, const char *path)
{
	r->path = xstrdup(path);
	xasprintf(&r->part, "%s.part", path);
	if ((r->file = fopen(r->part, "we")) == NULL) {
		log_warn("%s", r->part);
		forget(r);
	}
	return r->file;
}

void
replace_end(struct replacement *r)
{
	if (fclose(r->file) == EOF || rename(r->part, r->path) == -1) {
		log_warn("%s", r->path);
		unlink(r->part);
	}
	forget(r);
}
