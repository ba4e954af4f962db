/*
 * Dialects: one job, told in the words of different clients.  A dialect is a
 * formatter here and rows in the programs' tables of routes; it has no state
 * and no logic of its own.
 */

#ifndef MILLRACE_DIALECT_H
#define MILLRACE_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct job;
struct json_object;

/* Growing text, for frames. */
struct text {
	char	*p;
	size_t	 len, size;
};
void	text_add(struct text *, const char *, size_t);
void	text_printf(struct text *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

/*
 * How one dialect speaks on a stream.  Each appends whole frames (fields and
 * the empty line) to *T.
 *
 * snapshot	The state now, first on a connection without Last-Event-ID.
 * resumed	First on one with it; NULL: nothing.
 * event	One event.  The terminal one brings what ends the stream.
 * reset	History that was asked for is gone: the state now.
 *
 * JOB gives what never changes (id, pipeline, created_at, name); of an ended
 * job also completed_at, error_message and output_file.
 */
struct dialect {
	const char	*name;
	void	(*snapshot)(struct text *, const struct job *);
	void	(*resumed)(struct text *, const struct job *);
	void	(*event)(struct text *, const struct job *,
		    const struct event *);
	void	(*reset)(struct text *, const struct job *);
};
extern const struct dialect dialect_v1, dialect_process;

/*
 * The same objects for snapshots.  event_of is the newest event that a job's
 * row stands for.  dialect_is_last tells whether an event ended the job for
 * good: JOB, as it is now, has none after it.  dialect_process_job takes URLS
 * over: where the results are, or NULL.
 */
struct json_object *dialect_v1_job(const struct job *);
struct json_object *dialect_v1_event(const struct job *, const struct event *);
struct json_object *dialect_process_job(const struct job *,
	    const struct event *latest, size_t n, const char *result,
	    struct json_object *urls);
bool	dialect_is_last(const struct job *, const struct event *);
void	dialect_event_of(const struct job *, struct event *);

#endif
