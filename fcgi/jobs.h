/*
 * Handlers: what is known of jobs, and what a person may do with one.
 * Each answers a request and returns 0, or the HTTP status of the error.
 */

#ifndef MILLRACE_JOBS_H
#define MILLRACE_JOBS_H

struct req;

int	jobs_list(struct req *);	/* GET /api/v1/jobs */
int	jobs_show(struct req *);	/* GET .../:id */
int	jobs_status(struct req *);	/* GET .../:id/status */
int	jobs_events(struct req *);	/* GET .../:id/events */
int	jobs_artifacts(struct req *);	/* GET .../:id/artifacts */
int	jobs_artifact(struct req *);	/* GET .../:id/artifacts/NAME */
int	jobs_cancel(struct req *);	/* POST .../:id/cancel */
int	jobs_retry(struct req *);	/* POST .../:id/retry */
int	jobs_delete(struct req *);	/* DELETE .../:id */
int	jobs_process(struct req *);	/* GET /jobs/:id */
int	jobs_pipelines(struct req *);	/* GET /api/v1/pipelines */
int	jobs_pipeline(struct req *);	/* GET /api/v1/pipelines/:name */

#endif
