/*
 * Handler: numbers for Prometheus, in its text format 0.0.4.
 */

#ifndef MILLRACE_METRICS_H
#define MILLRACE_METRICS_H

struct req;

/* For administrators, and for whoever asks from this host itself. */
int	metrics_show(struct req *);	/* GET /metrics */

#endif
