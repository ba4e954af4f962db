/*
 * What runs have to tell the database, written together: one connection, one
 * transaction for all of them, each 100 ms or 200 rows; a change of stage and
 * the end of a job at once, as far as the database keeps up.
 *
 * Each run has an outbox.  News of a job replace the ones that still wait, so
 * that at most four a second go out; a change of stage is always kept.  Steps
 * go with them, in the same transaction and behind the same fence; very many go
 * before them, in pieces.  Nothing is forgotten while the database is away, and
 * a job whose row somebody else keeps locked holds up no other.
 */

#ifndef MILLRACE_BATCH_H
#define MILLRACE_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"
#include "file.h"
#include "job.h"
#include "step.h"

struct batch;
struct db;
struct loop;
struct outbox;

/* What became of an outbox. */
enum outbox_fate {
	OUTBOX_LOST,		/* the fence refused it: the job is another's;
				   or the database its end, and it was told to
				   fail, or to be taken again */
	OUTBOX_ENDED		/* its end is in the database */
};

/* How a job ends.  Copied. */
struct outbox_end {
	enum engine_verdict verdict;
	const char	*why;		/* failed, again, crashed */
	unsigned int	 delay_s;	/* again, crashed */
	const char	*result;	/* done: JSON */
	const struct artifact *artifacts;	/* done: first the main one */
	size_t		 nartifacts;
};

/*
 * batch_new	All of it goes through DB, which the caller may use too.
 * outbox_new	For a run of JOB.  FATE(ARG) is told from the loop, once; the
 *		outbox may be freed then.
 * outbox_first	Before any of it is written, what FN(ARG) does has to be: 0, or
 *		-1, and it is asked again, later and later.
 * outbox_free	What still waits in it is forgotten.
 * outbox_news	The latest of the job.  Of another stage or phase than the
 *		ones before: both are written.  DETAILS is copied.
 * outbox_forget	The job starts from the beginning: the steps that the
 *		database has go.
 * outbox_plan	A new step, that waits.  Each only once.
 * outbox_step	A step as it is now.
 * outbox_waits	Whether there is something about a step that waits to be
 *		written.
 * outbox_recovered The job got past where it crashed before.  These four go out
 *		with the next news.
 * outbox_end	The last word, with the last news.
 */
struct batch	*batch_new(struct loop *, struct db *);
void		 batch_free(struct batch *);
struct outbox	*outbox_new(struct batch *, const struct job *,
		    void (*fate)(void *, enum outbox_fate), void *);
void		 outbox_first(struct outbox *, int (*fn)(void *), void *);
void		 outbox_free(struct outbox *);
void		 outbox_news(struct outbox *, const struct job_news *);
void		 outbox_forget(struct outbox *);
void		 outbox_plan(struct outbox *, const struct step *);
void		 outbox_step(struct outbox *, const struct step *);
bool		 outbox_waits(const struct outbox *, unsigned int position,
		    const char *item);
void		 outbox_recovered(struct outbox *);
void		 outbox_end(struct outbox *, const struct outbox_end *);

#endif
