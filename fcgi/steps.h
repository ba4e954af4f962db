/*
 * Handlers: the stages of a job, their items, and what those wrote.
 */

#ifndef MILLRACE_STEPS_H
#define MILLRACE_STEPS_H

struct req;

int	steps_list(struct req *);	/* GET /api/v1/jobs/:id/steps */
int	steps_logs(struct req *);	/* GET .../:id/logs */

#endif
