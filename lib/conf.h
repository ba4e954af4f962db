/*
 * The configuration: one file in the shape of my.cnf for all programs.
 *
 * One table in conf.c names every key with its kind, range, initial value
 * and meaning; the reader, the checker, the sample file and the manual page
 * all follow from it.  Unknown keys are errors, with a suggestion.
 *
 * A value is taken from, in this order: the environment (MILLRACE_SECTION_KEY;
 * for the secret also JWT_SECRET and SECRET_KEY), the file, the initial value.
 */

#ifndef MILLRACE_CONF_H
#define MILLRACE_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The whole of it.  Strings are never NULL; "" is "not set". */
struct conf {
	/* [database] */
	char		*db_socket;	/* path; "": TCP to db_host */
	char		*db_host;
	unsigned int	 db_port;
	char		*db_name;
	char		*db_user;	/* %p stands for the program's name */
	char		*db_password;
	char		*db_password_file; /* %p likewise; its first line */
	char		*db_isolation;	/* "read-committed", "repeatable-read" */

	/* [site] */
	char		*prefix;	/* of paths, as "/jobs"; "": none */
	char		*listen;	/* ADDRESS:PORT that nginx serves */
	char		*server_name;	/* for nginx */
	char		*origins;	/* CORS: exact origins, by spaces */
	char		*trusted_proxies; /* addresses or nets, by spaces */
	bool		 anonymous;	/* process without login */
	unsigned int	 anonymous_jobs; /* unfinished ones per address */
	bool		 registration;	/* open to everybody */

	/* [auth] */
	char		*secret;	/* 64 hex digits, or 32 bytes or more */
	char		*secret_file;	/* instead of secret: its first line */
	char		*previous_secret; /* still accepted, while rotating */
	unsigned int	 access_s;	/* life of an access token */
	unsigned int	 idle_s;	/* of a login without use */
	unsigned int	 login_s;	/* of a login, at most */

	/* [storage] */
	char		*root;		/* uploads/ work/ results/ are below */
	uint64_t	 reserve;	/* bytes kept free: uploads stop here */

	/* [upload] */
	uint64_t	 max_size;	/* bytes of one file */

	/* [run] */
	char		*sockets;	/* directory of the unix sockets */
	unsigned int	 workers;	/* of status; others have more */
	char		*share;		/* where sql/ web/ nginx/ vmaf/ are;
					   initially MILLRACE_SHARE */

	/* [daemon] */
	unsigned int	 slots;		/* jobs at a time; 0: one per core */
	char		*pipelines;	/* directory of *.conf */
	char		*stages;	/* directory of stage programs */
	char		*queues;	/* served here, by spaces */
	unsigned int	 lease_s;
	unsigned int	 handover_s;
	unsigned int	 sweep_s;	/* between two retention sweeps */
	char		*sandbox;	/* "require" or "best" */

	/* [sse] */
	unsigned int	 tick_ms;	/* of the shared query */
	unsigned int	 keepalive_s;
	unsigned int	 stalled_s;	/* closed when no byte moves for this */
	unsigned int	 rotate_s;	/* streams that can renew; 0: never */
	unsigned int	 streams;	/* most; 0: by the descriptor limit */
	unsigned int	 user_streams;	/* at most per user, or address */

	/* [environment]: NAME=VALUE for stage programs, NULL at the end */
	char		**environment;
};

/*
 * conf_load	Read FILE and the environment.  Every mistake is logged as
 *		"FILE:LINE: ...".  NULL when there was one.
 * conf_secret	0 when the signing secret is there and strong (32 bytes);
 *		else says so, naming file and variable, and returns -1.
 * conf_sample	Write a commented sample file.
 * conf_mdoc	Write the keys as the list of the manual page.
 * conf_show	Write what conf_load() came to, and where each value is from;
 *		secrets are hidden.
 */
struct conf	*conf_load(const char *file);
void		 conf_free(struct conf *);
int		 conf_secret(const struct conf *, const char *file);
void		 conf_sample(FILE *);
void		 conf_mdoc(FILE *);
void		 conf_show(FILE *, const struct conf *);

/*
 * Values that other files use too (pipelines).  Each returns 0, or -1 when
 * TEXT is not one.  Durations "90", "90s", "5m", "2h", "7d"; sizes in bytes
 * "100", "64k", "2m", "32g", powers of 1024.  Booleans yes, true, on, 1 and
 * no, false, off, 0 in any case.
 */
int	 conf_number(const char *text, uint64_t most, uint64_t *);
int	 conf_duration(const char *text, unsigned int *seconds);
int	 conf_size(const char *text, uint64_t *bytes);
int	 conf_boolean(const char *text, bool *);

/* The candidate nearest to WORD, or NULL: for "did you mean". */
const char *conf_nearest(const char *word, const char *const *candidates);

#endif
