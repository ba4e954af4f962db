/*
 * Handlers: what an administrator asks for, and the state of the whole.
 */

#ifndef MILLRACE_ADMIN_H
#define MILLRACE_ADMIN_H

struct req;

int	admin_users(struct req *);	/* GET /api/v1/admin/users */
int	admin_daemons(struct req *);	/* GET /api/v1/admin/daemons */
int	admin_stats(struct req *);	/* GET /api/v1/admin/stats */
int	admin_health(struct req *);	/* GET /health */

#endif
