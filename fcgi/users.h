/*
 * Handlers: who somebody is.  Sign in and out, tickets for streams, API
 * tokens.  Each returns 0, or the HTTP status of a problem.
 */

#ifndef MILLRACE_USERS_H
#define MILLRACE_USERS_H

struct req;

int	users_register(struct req *);
int	users_login(struct req *);
int	users_refresh(struct req *);
int	users_logout(struct req *);
int	users_password(struct req *);
int	users_me(struct req *);
int	users_ticket(struct req *);
int	users_tokens(struct req *);
int	users_token_add(struct req *);
int	users_token_revoke(struct req *);

#endif
