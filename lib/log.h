/*
 * Say what happened: one line a record on stderr, subject first.
 *
 * A line is "program[pid]: text".  To the journal it is "<N>text": it knows
 * the program and the process, and reads the priority N off (sd-daemon(3)).
 * Control bytes in the text are written as \xNN, so that a record is always
 * one line.
 */

#ifndef MILLRACE_LOG_H
#define MILLRACE_LOG_H

#include <stddef.h>

/*
 * log_init	Name the program in every line; debug lines are only written
 *		after log_verbose().
 * log_bare	Write the text alone, for a stderr whose reader knows who
 *		speaks: the daemon's, of a stage.
 * log_subject	Put this before every text until called again with NULL, as
 *		"request 7f3a: ".  It is copied, and is the thread's own.
 * log_warn	Append ": " and the text of errno; log_warnx does not.
 * fatal	Say it and exit 1; fatal appends errno, fatalx does not.  For
 *		start-up, when nothing is in progress that could be lost.
 */
void	log_init(const char *program);
void	log_bare(void);
void	log_verbose(void);
void	log_subject(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	fatal(const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 1, 2)));
void	fatalx(const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 1, 2)));

/*
 * Memory that cannot be had is fatal everywhere: the supervisor starts the
 * program anew, and the lease gives its jobs back.
 */
void	*xmalloc(size_t) __attribute__((malloc));
void	*xcalloc(size_t, size_t) __attribute__((malloc));
void	*xreallocarray(void *, size_t, size_t);
char	*xstrdup(const char *) __attribute__((malloc));
int	 xasprintf(char **, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
