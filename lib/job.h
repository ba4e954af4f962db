/*
 * Table job: one row per job, its states, and the events it leaves behind.
 *
 * The row holds all that clients are shown.  Every change of it is made here,
 * in one transaction: the row is updated with its number seq one higher, and
 * then copied into table event.  So events are numbered 1..n per job, in the
 * order of their commits, and the newest event always equals the row.
 */

#ifndef MILLRACE_JOB_H
#define MILLRACE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "jobstate.h"
#include "uuid.h"

/* Priority while ready: smaller is sooner. */
#define JOB_PRIORITY	128

/* A row of table job.  Plain values: a copy is an assignment. */
struct job {
	struct uuid	id;
	uint64_t	user_id;	/* 0: anonymous */
	char		address[46];	/* of an anonymous client, else "" */
	char		pipeline[32];
	char		queue[32];
	enum job_state	state;
	char		phase[32];	/* what clients are shown */
	char		stage[32];	/* runs now, or ran last; never an
					   "always" one; or "" */
	double		stage_progress;	/* 0..100 */
	double		progress;	/* of the whole job, 0..100 */
	int		eta_s;		/* left; -1: cannot be said */
	unsigned int	items_done, items_total;	/* of an "each" stage */
	char		step[256];	/* what is being done, in words */
	char		message[1024];	/* of the last event; why it failed */
	unsigned int	attempt;	/* 1 the first time it runs; bounds
					   nothing: steps count their tries */
	unsigned int	crashes;	/* daemons that it brought down, and */
	unsigned int	deaths;		/* others that died while they had it,
					   since its last step was done */
	uint64_t	daemon_id;	/* that runs it; 0: none */
	uint64_t	token;		/* fence: who has it may write */
	bool		cancel;		/* asked for while it runs */
	uint32_t	seq;		/* of its last event */
	char		changed_at[DB_TIME];
	char		created_at[DB_TIME];
	char		started_at[DB_TIME];	/* "": not yet */
	char		completed_at[DB_TIME];	/* "": not yet */
	char		error_message[1024];
	struct uuid	upload_id;	/* its input; all zero: none */
	char		name[256];	/* of the input, as the client said */
	char		key[256];	/* process: what the client calls it */
	char		output_file[256];	/* name of the main result */
};

/*
 * job_submit	Insert a job, with its first event, inside the caller's
 *		transaction.  Of *JOB are read: id (all zero: made here),
 *		user_id, address, pipeline, queue, state (pending or waiting),
 *		upload_id, name, key.  PARAMS is a JSON object.
 * job_find	0; -1 when there is none (DB_OK) or on error.
 * job_find_all	Those of N jobs that are there, in no order.  How many, or -1.
 * job_params	The options and the result as JSON text; to be freed.
 *		NULL: none, or an error.
 */
int	 job_submit(struct db *, struct job *, const char *params);
int	 job_find(struct db *, const struct uuid *, struct job *);
int	 job_find_all(struct db *, const struct uuid *, size_t n,
	    struct job *);
char	*job_params(struct db *, const struct uuid *);
char	*job_result(struct db *, const struct uuid *);
char	*job_details(struct db *, const struct uuid *);

/* Which jobs a list shows.  "" and 0 mean: any. */
struct job_filter {
	uint64_t	 user_id;
	int		 state;		/* enum job_state, or -1 */
	char		 pipeline[32];
	char		 text[256];	/* is in the id or the name */
	char		 since[DB_TIME];	/* created at or after */
	struct uuid	 before;	/* older than this job; zero: newest */
	unsigned int	 limit;		/* rows */
};

/* job_list	Newest first, into ROWS[limit].  Rows written, or -1. */
int	 job_list(struct db *, const struct job_filter *, struct job *rows);

/*
 * A queue as one claimer sees it.  Ids up to the low-water mark were claimed
 * already; the mark spares the server walking over their index entries while
 * an old snapshot (a dump) keeps them from being purged.
 */
struct job_queue {
	char		name[32];
	struct uuid	low;
	uint64_t	low_until;	/* loop_now(); then it starts anew,
					   for ids that came late */
};

/*
 * The daemon's side.
 *
 * job_claim	Take up to N ready jobs of a queue for DAEMON_ID, with a new
 *		token, in a transaction of its own; an event "running" is
 *		recorded for each.  Jobs of the pipelines in WITHOUT stay:
 *		names with commas between them, or "".  Jobs taken, or -1; after -1 with DB_AWAY
 *		the outcome is unknown, and job_taken tells.
 * job_taken	Jobs that DAEMON_ID has (state running), oldest first.
 */
int	 job_claim(struct db *, struct job_queue *, const char *without,
	    uint64_t daemon_id, struct job *, size_t n);
int	 job_taken(struct db *, uint64_t daemon_id, struct job *, size_t n);

/*
 * Inside the caller's transaction.
 *
 * job_hold	Lock the rows of N jobs, and wait for nobody: -1 with DB_AGAIN
 *		when somebody else has one of them locked.  Else 0.
 * job_owned	1: the job runs, under this token, and is locked; 0; -1.
 */
int	 job_hold(struct db *, const struct uuid *, size_t n);
int	 job_owned(struct db *, const struct uuid *, uint64_t token);

/* What a running job has to tell.  Fenced by id and token. */
struct job_news {
	struct uuid	 id;
	uint64_t	 token;
	char		 phase[32], stage[32];
	double		 stage_progress, progress;
	int		 eta_s;
	unsigned int	 items_done, items_total;
	char		 step[256], message[1024];
	const char	*details;	/* JSON, or NULL */
};

/*
 * All of these run inside the caller's transaction and record an event.
 * They return 1 when it was done, 0 when the fence refused it (the job is
 * another's by now, was cancelled, or is gone), -1 on error.
 *
 * job_progress	Percentages never fall here: the row keeps the greater.
 * job_done	RESULT is JSON; OUTPUT names the main result or is "".
 * job_failed	For good.
 * job_again	Back to pending, to be claimed after DELAY_S; counted as an
 *		attempt.
 * job_crashed	The same, counted as a crash.
 * job_lost	The daemon of the job died: it may be claimed again at once, or
 *		has failed, as job_orphaned decides.  Of deaths that are none
 *		of its doing one counts in ten seconds.
 * job_recovered The job got past where it crashed: its crashes are forgotten.
 *		The one of these without an event.
 * job_give_back Back to pending at once, counted as nothing.
 *		These four cancel the job when somebody has asked for that.
 * job_stopped	A running job was cancelled and its processes are gone.
 */
int	 job_progress(struct db *, const struct job_news *);
int	 job_done(struct db *, const struct job_news *, const char *result,
	    const char *output);
int	 job_failed(struct db *, const struct job_news *, const char *why);
int	 job_again(struct db *, const struct job_news *, const char *why,
	    unsigned int delay_s);
int	 job_crashed(struct db *, const struct job_news *, const char *why,
	    unsigned int delay_s);
int	 job_lost(struct db *, const struct job_news *, enum job_blame);
int	 job_recovered(struct db *, const struct uuid *, uint64_t token);
int	 job_give_back(struct db *, const struct job_news *);
int	 job_stopped(struct db *, const struct job_news *);

/*
 * job_due	Move jobs whose time has come from table later to ready.
 *		Jobs moved, or -1.
 * job_cancels	Ids of running jobs of DAEMON_ID that somebody wants to be
 *		cancelled.  How many, or -1.
 */
int	 job_due(struct db *);
int	 job_cancels(struct db *, uint64_t daemon_id, struct uuid *, size_t n);

/*
 * A person's side.  Each 1: done; 0: the state forbids it (*NOW is it); -1.
 * They run in a transaction of their own and record an event.
 *
 * job_cancel	A pending job is cancelled at once, a running one is asked.
 * job_retry	A failed or cancelled job is pending again, at PROGRESS.
 *		MORE(DB, ARG) runs inside the transaction, to reset the steps
 *		that are to run again (step_reset); 0 or -1.
 * job_delete	At once, as all others see it; not while it runs.  Its events,
 *		steps, results and files are the sweeper's: retain.h.
 */
int	 job_cancel(struct db *, const struct uuid *, enum job_state *now);
int	 job_retry(struct db *, const struct uuid *, double progress,
	    int (*more)(struct db *, void *), void *, enum job_state *now);
int	 job_delete(struct db *, const struct uuid *, enum job_state *now);

/* job_unfinished How many unfinished jobs an anonymous ADDRESS has, or -1. */
int	 job_unfinished(struct db *, const char *address);

/* A way through the ended jobs of one pipeline, oldest first. */
struct job_expiry {
	char		pipeline[32];
	unsigned int	retain_s;	/* they are kept so long */
	char		at[DB_TIME];	/* of the last one seen; at first any
					   early time */
	struct uuid	id;		/* of that one; at first all zero */
};

/* What of a job's files is wanted. */
struct job_trace {
	struct uuid	id;
	uint64_t	token;		/* of its last attempt */
	bool		tidy;		/* completed or cancelled: it wants no
					   work, nor results of others */
};

/*
 * Retention.  What has not ended stays: that is looked at again when the row
 * is locked, since a person may want a job back at any time.
 *
 * job_next_pipeline The next name of a pipeline that jobs have, behind NAME
 *		("" to begin), which is replaced.  1; 0: none; -1.
 * job_expired	Jobs whose time is over, the next N.  How many, or -1.
 * job_expire	Remove those of N jobs that ended longer than RETAIN_S ago, as
 *		job_delete does.  How many, or -1.
 * job_traces	Those of N jobs that are there, in no order.  How many, or -1.
 */
int	 job_next_pipeline(struct db *, char name[32]);
int	 job_expired(struct db *, struct job_expiry *, struct uuid *, size_t n);
int	 job_expire(struct db *, unsigned int retain_s, const struct uuid *,
	    size_t n);
int	 job_traces(struct db *, const struct uuid *, size_t n,
	    struct job_trace *);

/* Jobs of one pipeline in one state, from maintained counters. */
struct job_count {
	char		pipeline[32];
	enum job_state	state;
	uint64_t	now;		/* there now */
	uint64_t	total;		/* that ever came to this state */
};

/* job_counts	All there are, by pipeline.  How many, or -1. */
int	 job_counts(struct db *, struct job_count *, size_t n);

/* A job that changed, for the hub's one query. */
struct job_change {
	struct uuid	id;
	uint32_t	seq;
	char		changed_at[DB_TIME];
};

/*
 * job_changed	Jobs that changed at SINCE or later, or up to LATE_S before it:
 *		a change is seen when its transaction commits, but bears the
 *		time of its statement.  In order of time and id; at most N
 *		rows.  How many, or -1; N means: ask again, from the last one's
 *		time, 0 s before it, AFTER its id (all zero: from the first).
 *		NOW is set to the database's clock, a SINCE for the next time.
 * job_changes_of Those of N jobs that are there, whenever they changed; in no
 *		order.  How many, or -1.
 * job_now	The database's clock.  0 or -1.
 */
int	 job_changed(struct db *, const char *since, unsigned int late_s,
	    const struct uuid *after, struct job_change *, size_t n,
	    char now[DB_TIME]);
int	 job_changes_of(struct db *, const struct uuid *, size_t n,
	    struct job_change *);
int	 job_now(struct db *, char[DB_TIME]);

#endif
