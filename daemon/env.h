/*
 * What a stage program is told: its environment, made from nothing.
 */

#ifndef MILLRACE_ENV_H
#define MILLRACE_ENV_H

#include <stdbool.h>

#include "file.h"
#include "job.h"
#include "pipeline.h"
#include "uuid.h"

/* Strings are data of clients where they come from the job. */
struct env_facts {
	const struct job *job;
	const struct pipeline *pipeline;
	const struct stage *stage;
	const struct upload *upload;	/* NULL: the job has no input */
	const char	*params;	/* options of the job, JSON; or NULL */
	const char	*item, *args;	/* of an "each" stage, else NULL */
	unsigned int	 cores;		/* that it may use */
	const char	*dir;		/* where it works, absolute */
	const char	*store;		/* a directory it may make and fill */
	const char	*share;		/* data of the installation */
	char		**site;		/* [environment]; NULL at end */
};

/* env_new	NAME=VALUE, NULL at end. */
char	**env_new(const struct env_facts *);
void	  env_free(char **);

#endif
