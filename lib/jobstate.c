/*
 * The states of a job, and what leads from one to another.
 */

#include "jobstate.h"

#include <stdio.h>
#include <string.h>

#define TO(state)	(1U << (state))

static const unsigned int leads_to[] = {
	[JOB_PENDING]	= TO(JOB_RUNNING) | TO(JOB_CANCELLED),
	[JOB_RUNNING]	= TO(JOB_COMPLETED) | TO(JOB_FAILED) |
			  TO(JOB_CANCELLED) | TO(JOB_PENDING),
	[JOB_COMPLETED]	= 0,
	[JOB_FAILED]	= TO(JOB_PENDING),
	[JOB_CANCELLED]	= TO(JOB_PENDING),
	[JOB_WAITING]	= TO(JOB_PENDING) | TO(JOB_CANCELLED),
};

static const char *const names[] = {
	[JOB_PENDING]	= "pending",
	[JOB_RUNNING]	= "running",
	[JOB_COMPLETED]	= "completed",
	[JOB_FAILED]	= "failed",
	[JOB_CANCELLED]	= "cancelled",
	[JOB_WAITING]	= "waiting",
};

const char *
job_state_name(enum job_state state)
{
	return names[state];
}

int
job_state_parse(const char *text)
{
	int	 i;

	for (i = 0; i < JOB_STATES; i++) {
		if (strcmp(text, names[i]) == 0)
			return i;
	}
	return -1;
}

bool
job_leads(enum job_state from, enum job_state to)
{
	return (leads_to[from] & TO(to)) != 0;
}

bool
job_ended(enum job_state state)
{
	return state == JOB_COMPLETED || state == JOB_FAILED ||
	    state == JOB_CANCELLED;
}

bool
job_aside(unsigned int crashes, unsigned int deaths)
{
	return crashes >= JOB_CRASHES || deaths >= JOB_DEATHS;
}

void
job_aside_why(unsigned int crashes, unsigned int deaths, char *buf,
    size_t size)
{
	if (crashes >= JOB_CRASHES)
		snprintf(buf, size, "Set aside: it brought its daemon down %u "
		    "times", crashes);
	else
		snprintf(buf, size, "Set aside: its daemon died %u times "
		    "before any of it was done", deaths);
}

enum job_state
job_orphaned(unsigned int *crashes, unsigned int *deaths, enum job_blame blame)
{
	bool	 aside = job_aside(*crashes, *deaths);

	*(blame == JOB_BLAMED ? crashes : deaths) += 1;
	return aside ? JOB_FAILED : JOB_PENDING;
}
