/*
 * A file on its way into the storage.  It has no name until it is whole and on
 * the disk, so whatever goes wrong leaves no litter.
 *
 * Errors are left in errno: ENOSPC stands for every kind of "full", the
 * configured reserve included; anything else was logged.
 */

#ifndef MILLRACE_SPOOL_H
#define MILLRACE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct spool;
struct uuid;

/*
 * spool_room	0 when LEN more bytes leave RESERVE bytes free under ROOT; else
 *		-1.
 * spool_new	Begin the file of upload ID under ROOT; NULL on error.
 * spool_write	Append.  0 or -1.
 * spool_keep	It is whole: put it on the disk and give it its name.  0; -1,
 *		and there is none.
 * spool_forget	It is not to be kept after all: spool_free removes it.
 * spool_free	Close it.  What was not kept is gone.  NULL is fine.
 */
int		 spool_room(const char *root, uint64_t reserve, uint64_t len);
struct spool	*spool_new(const char *root, uint64_t reserve,
		    const struct uuid *id);
int		 spool_write(struct spool *, const void *, size_t);
int		 spool_keep(struct spool *);
void		 spool_forget(struct spool *);
void		 spool_free(struct spool *);

#endif
