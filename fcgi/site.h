/*
 * Start one of the programs behind nginx: options, configuration, socket,
 * workers.
 */

#ifndef MILLRACE_SITE_H
#define MILLRACE_SITE_H

struct route;
struct site;

/*
 * site_open	Take the options that all of them have (-c -n -s -v -V -h) and
 *		read the configuration; mistakes are fatal.  With -n it says
 *		whether all is well and exits.  Descriptor 0 is the listening
 *		socket then.
 * site_attach	What one process needs for itself: the database and the keys
 *		of *SITE.  Called in the process that serves.
 * site_serve	Answer requests by ROUTES in WORKERS processes, which share
 *		the pipelines; SIGHUP reads these anew.  Returns the exit
 *		status.
 */
struct site	*site_open(int argc, char **argv, const char *program);
void		 site_attach(struct site *);
int		 site_serve(struct site *, const struct route *routes,
		    unsigned int workers);

#endif
