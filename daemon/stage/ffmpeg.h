/*
 * Run ffmpeg, ffprobe or another build of them, and know how far it is.
 *
 * Several can run side by side.  A program starts them and then asks for
 * news until all have ended:
 *
 *	f = ffmpeg_new("ffmpeg");
 *	ffmpeg_add(f, "-i", "a.mp4", ..., NULL);
 *	ffmpeg_start(f);
 *	while (ffmpeg_wait() != f)
 *		say how far f->progress is;
 *
 * A child reads /dev/null, writes its log to ours, and dies with this
 * program, which ends its children before it ends on SIGTERM.  This is the
 * only file of the stages that forks.
 */

#ifndef MILLRACE_FFMPEG_H
#define MILLRACE_FFMPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "report.h"

/* What -progress has said so far. */
struct ffmpeg_progress {
	uint64_t	frames;		/* of the first video that is made */
	double		seconds;	/* of the output; never falls */
	bool		end;		/* it said that all is written */
};

/*
 * ffmpeg_progress_line	Take one line "key=value" of -progress; what is not
 *			known, or not yet ("N/A"), changes nothing.  True when
 *			it showed that the work goes on.
 */
bool	ffmpeg_progress_line(struct ffmpeg_progress *, const char *line);

/* In the child, the descriptors that ffmpeg_pipe gave it. */
#define FFMPEG_PIPE(n)	(4 + (n))
#define FFMPEG_PIPES	2

/* Longest line of a child's log that is kept as the reason of its failure. */
#define FFMPEG_REASON	256

/* A child.  The first few may be set before ffmpeg_start. */
struct ffmpeg {
	unsigned int	 silence_s;	/* killed when it stands still for so
					   long; 0: never */
	double		 length_s;	/* of the output: when that is written
					   the rest shows no progress, and is
					   given longer; 0: not known */
	bool		 keep_output;	/* collect its standard output */
	void		(*line)(void *, char *);	/* or hand on lines, */
	void		*arg;		/* with this: the caller's own */

	struct ffmpeg_progress progress;
	unsigned int	 errors;	/* lines of its log that tell one */
	char		 first[FFMPEG_REASON];	/* of them; or "" */
	char		 reason[FFMPEG_REASON];	/* the last of them, or "" */
	bool		 disk_full;	/* one of them said so */
	bool		 stood_still;	/* and was killed for it */
	char		*output;	/* with a NUL; goes with this */
	int		 status;	/* as of wait(2), once it has ended */

	/* The rest is ffmpeg.c's own. */
	struct ffmpeg	*next;
	char		**argv;
	size_t		 argc;
	int		 pipes[FFMPEG_PIPES], output_to;	/* or -1 */
	pid_t		 pid;
	int		 pidfd, log_fd, progress_fd, output_fd;	/* or -1 */
	struct report_lines log_lines, progress_lines, output_lines;
	size_t		 log_bytes;	/* handed on so far */
	size_t		 output_len;
	uint64_t	 moved_ms;	/* monotonic: when it last did */
};

/*
 * ffmpeg_new	A command: PROGRAM, looked for in PATH, and the arguments that
 *		each run gets.
 * ffprobe_new	The same for ffprobe, which has JSON to say.
 * ffmpeg_free	Of one that has ended, or never began; or NULL.
 * ffmpeg_add	More arguments, NULL after the last.
 * ffmpeg_addf	One argument.
 * ffmpeg_input	The arguments that open the job's input, which is not to be
 *		trusted: by DEMUXER alone (NULL: by those that are known for
 *		video), no other file opened, the size of a picture bounded.
 * ffmpeg_pipe	The child gets FD as the next FFMPEG_PIPE; ffmpeg_start closes
 *		it here.
 * ffmpeg_connect
 *		What FROM says on its standard output is the next FFMPEG_PIPE
 *		of TO.  FROM complains of a "Broken pipe" when TO breaks.
 */
struct ffmpeg	*ffmpeg_new(const char *program);
struct ffmpeg	*ffprobe_new(void);
void		 ffmpeg_free(struct ffmpeg *);
void		 ffmpeg_add(struct ffmpeg *, ...) __attribute__((sentinel));
void		 ffmpeg_addf(struct ffmpeg *, const char *fmt, ...)
		    __attribute__((format(printf, 2, 3)));
void		 ffmpeg_input(struct ffmpeg *, const char *demuxer);
void		 ffmpeg_pipe(struct ffmpeg *, int fd);
void		 ffmpeg_connect(struct ffmpeg *from, struct ffmpeg *to);

/*
 * ffmpeg_start	A program that cannot be run ends with exit status 127.
 * ffmpeg_wait	Wait for news of those that run: the one that has ended, or
 *		NULL when there may be progress, at least twice a second.
 * ffmpeg_run	Start it, alone, and wait until it has ended.  As ffmpeg_ok.
 * ffmpeg_kill	End it at once; ffmpeg_wait still returns it.
 * ffmpeg_ended	Whether it has ended, of one that was started.
 * ffmpeg_ok	Whether it has ended well.
 * ffmpeg_broke	Whether it has not, for a reason of its own: not because of the
 *		one that it is connected to.
 * ffmpeg_why	How it has ended otherwise: "ffmpeg: was killed by signal 9".
 *		One static buffer.
 */
void		 ffmpeg_start(struct ffmpeg *);
struct ffmpeg	*ffmpeg_wait(void);
bool		 ffmpeg_run(struct ffmpeg *);
void		 ffmpeg_kill(struct ffmpeg *);
bool		 ffmpeg_ended(const struct ffmpeg *);
bool		 ffmpeg_ok(const struct ffmpeg *);
bool		 ffmpeg_broke(const struct ffmpeg *);
const char	*ffmpeg_why(const struct ffmpeg *);

/*
 * ffmpeg_check	Unless it has ended well, end this program with the line that
 *		tells the daemon what to do.  Another run may help when the
 *		disk was full, when it stood still, or when a signal killed it
 *		(as it does when memory runs out).  Else the same input would
 *		fail again: it is rejected, as WHAT says.
 * ffmpeg_check_own
 *		The same, of one that only reads what we have made: then it is
 *		nothing to reject the input for, and a fatal error instead.
 */
void		 ffmpeg_check(const struct ffmpeg *, const char *what);
void		 ffmpeg_check_own(const struct ffmpeg *, const char *what);

#endif
