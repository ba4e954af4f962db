/*
 * Replace a small file as a whole: who reads it finds what it was before, or
 * all of what it is now.
 */

#ifndef MILLRACE_REPLACE_H
#define MILLRACE_REPLACE_H

#include <stdio.h>

struct replacement {
	FILE	*file;
	char	*path, *part;
};

/*
 * replace_begin Where to write the new content of PATH; NULL (said).
 * replace_end	That was all of it.  What went wrong is said, and the file is
 *		as it was.
 */
FILE	*replace_begin(struct replacement *, const char *path);
void	 replace_end(struct replacement *);

#endif
