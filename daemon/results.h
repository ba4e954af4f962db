/*
 * What a job leaves behind: results, named by its stages, stored by one of
 * them, published by the daemon.
 *
 * A stage that stores makes the directory "store-TOKEN" below the directory of
 * its job (in results/ it could reach those of others).  Once it has ended well
 * the daemon moves that to results/JOB-TOKEN in one rename, out of the reach of
 * later stages.  TOKEN is the fence of the attempt: a daemon that was taken
 * for dead can at most publish what nobody looks for.  An attempt that
 * completes the job takes what an earlier one has published to its own.
 */

#ifndef MILLRACE_RESULTS_H
#define MILLRACE_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"
#include "uuid.h"

/* Room for the name of such a directory. */
#define RESULTS_STORE	32

struct result {
	char		*name, *path, *type;
	unsigned int	 stage;		/* that named it: position */
	bool		 stored;
	uint64_t	 size;		/* bytes; these two once it is stored */
	char		 sha256[65];	/* "": it was not that */
};

/* Of one job, at most; and bytes of their names, paths and types. */
#define RESULTS_MOST	20000
#define RESULTS_BYTES	(8 * 1024 * 1024)

/* In the order in which they were named. */
struct results {
	struct result	*list;
	size_t		 n;
	size_t		 bytes;		/* of their texts */
	uint64_t	 token;		/* that they are published under; 0 */
	uint64_t	 before;	/* or still under, when a move to that was
					   cut off; 0 */
	bool		(*trusted)(void);	/* whether the job is still ours; NULL:
					   it is */
};

/*
 * results_store Name the directory that a stage may fill.
 * results_add	A stage named one.  The same name again takes its place, and
 *		has to be stored again.  That one, for the caller to say which
 *		stage it was.
 * results_keep	Leave out what was named by stages that are not among the N
 *		of DONE: they run again, and may name others than before.
 * results_fit	Whether there is room for more, even if all of them are new.
 * results_stored A stage has stored one.  0, or -1: it was never named.
 * results_owed	The first that is named and not stored, or NULL.
 * results_save	Write the list to the files "results" (for stages: NAME tab
 *		PATH tab TYPE) and "stored" (for us: NAME tab STAGE, then, once
 *		it is stored, tab SIZE tab SHA256) of the directory DIR, if the
 *		job is still ours.  0 or -1.
 * results_forget Remove it from there.
 * results_load	Read it from there again.  What is not of that form is left
 *		out: a stage could have written it.  From now on no earlier
 *		attempt can write it, wherever its daemon was stopped.
 * results_publish Move what is stored to its place below the storage ROOT, and
 *		see that all of it is there.  What an earlier attempt published
 *		is noted in DIR before it is moved: whoever comes after a crash
 *		knows both places.  0, or -1 and *WHY is a sentence.
 * results_artifacts As rows, first the main one; to be freed.
 */
void	results_store(uint64_t token, char[RESULTS_STORE]);
struct result *results_add(struct results *, const char *name,
	    const char *path, const char *type);
void	results_keep(struct results *, const bool *done, size_t n);
bool	results_fit(const struct results *, const struct results *more);
int	results_stored(struct results *, const char *name, uint64_t size,
	    const char *sha256, const char *type);
const struct result *results_owed(const struct results *);
int	results_save(const struct results *, int dir);
void	results_forget(int dir);
void	results_load(struct results *, int dir);
int	results_publish(struct results *, int dir, const char *root,
	    const struct uuid *job, uint64_t token, char why[256]);
struct artifact *results_artifacts(const struct results *,
	    const struct uuid *job);
void	results_clear(struct results *);

#endif
