/*
 * Pipelines: which stages a file goes through, read from NAME.conf;
 * millrace-pipeline(5) is the manual.
 *
 *	# Counts words.
 *	title	Word count
 *	accept	text/plain text/markdown
 *	retain	7d
 *	option	language choice en en de fr
 *	phase	counting
 *	#	name	share	limit	program
 *	stage	count	90	5m	count-words --all
 *	each	page	10	1m	failures=5% check-page
 *	always	tidy	0	1m	remove-scratch
 *
 * The programs never compare the name of a pipeline, a stage or a phase.
 */

#ifndef MILLRACE_PIPELINE_H
#define MILLRACE_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest name of a pipeline, stage, phase, queue or option, with its NUL. */
#define PIPELINE_NAME	32

enum stage_kind { STAGE_ONCE, STAGE_EACH, STAGE_ALWAYS };

/* What becomes of a job when an item of an "each" stage has failed. */
enum stage_failures {
	FAILURES_FINISH,	/* the other items are done; then it fails */
	FAILURES_STOP,		/* they are stopped, and it fails */
	FAILURES_ALLOW		/* it goes on, as long as there are not more
				   than allowed; else as FINISH */
};

struct stage {
	char		  name[PIPELINE_NAME];
	char		  phase[PIPELINE_NAME];	/* the stage's own name, or of
						   the phase line above it */
	enum stage_kind	  kind;
	double		  share;	/* of the whole job, 0..100 after
					   scaling: those of a pipeline sum
					   to 100 */
	unsigned int	  limit_s;	/* wall clock */
	bool		  network;	/* below a "network" line */
	unsigned int	  attempts;	/* tries of it, or of an item, before
					   it has failed; from 1 */
	unsigned int	  pause_s;	/* before the second try, doubled each
					   time... */
	unsigned int	  pause_most_s;	/* ...up to this */
	enum stage_failures failures;	/* "each" */
	double		  allowed;	/* FAILURES_ALLOW: so many items... */
	bool		  allowed_percent;	/* ...or percent of them */
	bool		  kept;		/* "each": one program does items one
					   after the other, as they are fed */
	char		**argv;		/* program and arguments, NULL at end */
};

enum option_type { OPTION_TEXT, OPTION_NUMBER, OPTION_BOOLEAN, OPTION_CHOICE };

struct option_spec {
	char		  name[PIPELINE_NAME];
	enum option_type  type;
	char		 *initial;
	double		  least, most;	/* number */
	char		**choices;	/* choice: NULL at end */
};

struct pipeline {
	char		   name[PIPELINE_NAME];	/* of its file */
	char		  *title;
	char		  *about;		/* its first comment lines */
	char		 **accept;	/* media types, one or all of a kind;
					   NULL at end; none: takes no file */
	char		   queue[PIPELINE_NAME];
	unsigned int	   retain_s;
	unsigned int	   attempts;	/* of each stage, unless it says */
	unsigned int	   pause_s, pause_most_s;	/* likewise */
	uint64_t	   max_size;	/* bytes of input; 0: the site's */
	uint64_t	   memory;	/* bytes of address space per process */
	uint64_t	   written;	/* bytes of one file that a stage
					   writes; 0: as the disk lets */
	unsigned int	   silence_s;	/* no word for so long, and a stage
					   is stuck; 0: not watched */
	struct option_spec *options;
	size_t		   noptions;
	struct stage	  *stages;
	size_t		   nstages;
};

struct pipelines {
	struct pipeline	**list;		/* by name */
	size_t		  n;
};

/*
 * pipeline_load	All *.conf in DIR.  Mistakes are logged as FILE:LINE and
 *			make it NULL.  STAGES is the directory in which each
 *			program must be found (or it is an absolute path);
 *			NULL: not checked, for who only wants to know names.
 * pipeline_find	By name, or NULL.
 * pipeline_accepts	Whether a file of media type TYPE may go in.
 * pipeline_option	0 when VALUE fits the option NAME, and *JSON then is the
 *			value as JSON text (to be freed); else -1 and *ERROR
 *			is a sentence with the offending value (to be freed).
 */
struct pipelines *pipeline_load(const char *dir, const char *stages);
void		  pipeline_free(struct pipelines *);
const struct pipeline *pipeline_find(const struct pipelines *, const char *);
bool		  pipeline_accepts(const struct pipeline *, const char *type);
int		  pipeline_option(const struct pipeline *, const char *name,
		      const char *value, char **json, char **error);

#endif
