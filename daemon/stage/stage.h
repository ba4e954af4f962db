/*
 * What a stage program has in common with every other: the lines that it
 * says to the daemon, and the environment that it gets from it.
 * millrace-report(7) is the manual.
 */

#ifndef MILLRACE_STAGE_H
#define MILLRACE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* The input, as a name in the work directory. */
#define STAGE_INPUT	"input"

/*
 * stage_init	Before anything else.  Without a descriptor 3, as when a
 *		person runs the program, lines go to standard output.
 * stage_progress, stage_step, stage_item, stage_result, stage_stored
 *		Say a line; TYPE, ARGS and FMT may be NULL.
 * stage_detail	Say a fact; VALUE is given away.
 * stage_reject	The input is bad: say it, and exit.
 * stage_retry	A passing fault: ask for another run, no sooner than after
 *		SECONDS (0: as the pipeline has it), and exit.
 */
void	stage_init(const char *program);
void	stage_progress(double percent, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	stage_step(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	stage_item(const char *name, const char *args);
void	stage_detail(const char *key, struct json_object *value);
void	stage_result(const char *name, const char *path, const char *type);
void	stage_stored(const char *name, uint64_t size, const char *sha256,
	    const char *type);
void	stage_reject(const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 1, 2)));
void	stage_retry(unsigned int seconds, const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 2, 3)));

/*
 * A program that is kept, and does the items of an "each" one after the other:
 *
 *	while (stage_next(&item)) {
 *		...
 *		stage_done();
 *	}
 *
 * stage_next	Wait for the next item.  False: there are no more.  The one
 *		before has failed if it was not ended by one of the others.
 *		Programs that this one runs find /dev/null as descriptor 0.
 * stage_done	The item is done.
 * stage_failed	It has failed, and may be tried again.
 * stage_refused, stage_postponed
 *		As stage_reject and stage_retry, but the program goes on.  Those
 *		two, and fatal(), exit here as well: they are of the item too,
 *		and the next one costs another start of the program.
 */
struct stage_item {
	const char	*name, *args;	/* until the next one; ARGS may be "" */
};

bool	stage_next(struct stage_item *);
void	stage_done(void);
void	stage_failed(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));
void	stage_refused(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));
void	stage_postponed(unsigned int seconds, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/*
 * stage_env	A variable that the daemon sets; fatal without it.
 * stage_option	The job's option NAME (lower case), or OTHERWISE.
 * stage_cores	How many processes or threads are worth running, at least 1.
 */
const char	*stage_env(const char *variable);
const char	*stage_option(const char *name, const char *otherwise);
unsigned int	 stage_cores(void);

/*
 * Files of the work directory.  A step that is done is not run again, so
 * what it made has to outlive a loss of power.
 *
 * stage_write	All LEN bytes of DATA go to FD, which is open on PATH.  Ends the
 *		program when that fails: by stage_failed_write.
 * stage_sync	Bring the file PATH to the disk.  Ends the program when that
 *		fails: by stage_failed_write.
 * stage_save	Write TEXT to a new file that then replaces PATH, durably.
 * stage_failed_write
 *		PATH could not be written, as errno tells: a full disk passes,
 *		so it asks for another run; anything else is fatal.
 */
void	stage_write(int fd, const char *path, const void *data, size_t len);
void	stage_sync(const char *path);
void	stage_save(const char *path, const char *text);
void	stage_failed_write(const char *path) __attribute__((noreturn));

/* VALUE as JSON, with DIGITS behind the point and no more. */
struct json_object	*stage_number(double value, int digits);

/* "00:12", or "1:00:12" from an hour on.  One of four static buffers. */
const char	*stage_time(double seconds);

#endif
