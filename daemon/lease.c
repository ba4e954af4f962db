/*
 * The lease, and the watch over those of others.
 *
 * The database's clock may be set, and a host's may be wrong.  So nobody is
 * taken for dead by a date: each daemon looks at the rows of the others all
 * the time, and one is dead when its row has not changed for as long as a
 * lease lasts, by the monotonic clock of whoever looks.  By then it has ended
 * its programs by its own.
 */

#include "lease.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blackbox.h"
#include "child.h"
#include "conf.h"
#include "daemon.h"
#include "db.h"
#include "log.h"
#include "loop.h"
#include "stats.h"

/* The schema step that this program needs; newer ones are fine. */
#define SCHEMA		2

/* What is left of a lease when it is taken for over, ms: time to kill. */
#define MARGIN_MS	1000

/* Between two renewals, where one only tells that there is room again, ms. */
#define ROOM_MS		1000

/* Other daemons, at most. */
#define DAEMONS		256

/* A row of another one, as it was when it had last changed. */
struct seen {
	uint64_t	 id;
	char		 at[DB_TIME];
	uint64_t	 since;		/* loop_now() when that was first seen */
};

struct lease {
	const struct conf *conf;
	struct db	*db;
	struct daemon	 self;		/* id 0: there is none */
	uint64_t	 before;	/* our id until it was lost; 0 */
	char		 instance[256];
	int		 locks;		/* STORAGE/run/daemons, see lock() */
	uint64_t	 until;		/* it is good, with its margin */
	uint64_t	 renew_at, renewed_at;
	struct seen	 others[DAEMONS];
	size_t		 n;
};

/* ---- who we are ---------------------------------------------------------- */

static void
describe_self(struct lease *l)
{
	struct daemon	*self = &l->self;
	char		*root;
	long		 cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (gethostname(self->host, sizeof(self->host) - 1) == -1)
		fatal("gethostname");
	if ((root = realpath(l->conf->root, NULL)) == NULL)
		fatal("%s", l->conf->root);
	if ((size_t)snprintf(l->instance, sizeof(l->instance), "%.60s:%s",
	    self->host, root) >= sizeof(l->instance))
		fatalx("%s: the path is too long", root);
	free(root);
	self->pid = (unsigned int)getpid();
	self->slots = l->conf->slots != 0 ? l->conf->slots :
	    cores < 1 ? 1 : (unsigned int)cores;
	strlcpy(self->version, MILLRACE_VERSION, sizeof(self->version));
	strlcpy(self->queues, l->conf->queues, sizeof(self->queues));
}

/* ---- locks --------------------------------------------------------------- */

/*
 * Byte ID of the file is locked by the daemon with this id for as long as it
 * lives, byte 0 by one that starts.  So a daemon that was killed is told from
 * one that lives, whatever has become of its pid.
 */
static int
lock(const struct lease *l, short type, uint64_t at)
{
	struct flock	 f = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at,
		.l_len = 1
	};

	return fcntl(l->locks, F_SETLK, &f);
}

static bool
is_locked(const struct lease *l, uint64_t at)
{
	struct flock	 f = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET,
		.l_start = (off_t)at, .l_len = 1
	};

	/* Where nobody can tell, its lease will. */
	return fcntl(l->locks, F_GETLK, &f) == -1 || f.l_type != F_UNLCK;
}

static void
open_locks(struct lease *l)
{
	char	*path;

	xasprintf(&path, "%s/run/daemons", l->conf->root);
	if ((l->locks = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640)) == -1)
		fatal("%s", path);
	free(path);
}

/* ---- our own ------------------------------------------------------------- */

/* It was granted by a statement that was sent at SENT. */
static void
trust(struct lease *l, uint64_t sent)
{
	l->until = sent + l->conf->lease_s * 1000 - MARGIN_MS;
	l->renew_at = sent + l->conf->lease_s * 1000 / 3;
	child_trust(l->until);
}

/* Jobs that nobody took since: it was not their fault. */
static void
take_back(struct lease *l)
{
	if (l->before == 0 || daemon_release(l->db, l->before) == -1)
		return;
	lock(l, F_UNLCK, l->before);
	blackbox_remove(l->conf->root, l->before);
	l->before = 0;
}

/* While byte 0 is locked, and so nobody takes our row for a dead one's. */
static int
start(struct lease *l)
{
	uint64_t	 sent = loop_now();

	if (daemon_start(l->db, &l->self, l->instance, l->conf->lease_s,
	    &l->self.id) == -1) {
		l->self.id = 0;
		return -1;
	}
	if (lock(l, F_WRLCK, l->self.id) == -1)
		fatal("%s/run/daemons", l->conf->root);
	blackbox_open(l->conf->root, l->self.id);
	trust(l, sent);
	return 0;
}

const char *
lease_join(struct lease *l)
{
	int	 rc, schema = daemon_schema(l->db);

	if (schema == -1)
		return "the database is away, or has no schema yet (millrace "
		    "db migrate)";
	if (schema < SCHEMA)
		return "the schema is older than this program (millrace db "
		    "migrate)";
	if (lock(l, F_WRLCK, 0) == -1) {
		if (errno != EAGAIN && errno != EACCES)
			fatal("%s/run/daemons", l->conf->root);
		return "";		/* another starts: after it */
	}
	rc = start(l);
	lock(l, F_UNLCK, 0);
	if (rc == -1)
		return "the database is away";
	take_back(l);
	log_info("daemon %llu: %u slots, queues %s",
	    (unsigned long long)l->self.id, l->self.slots, l->self.queues);
	return NULL;
}

/* That there are free slots again is told soon, to those who lend items. */
static bool
is_due(const struct lease *l, size_t running, uint64_t now)
{
	return now >= l->renew_at || (l->self.running >= l->self.slots &&
	    running < l->self.slots && now >= l->renewed_at + ROOM_MS);
}

const char *
lease_renew(struct lease *l, size_t running)
{
	uint64_t	 sent = loop_now();

	/* None that is over is renewed. */
	if (sent >= l->until)
		return "the lease could not be renewed";
	if (!is_due(l, running, sent))
		return NULL;
	switch (daemon_renew(l->db, l->self.id, l->conf->lease_s,
	    (unsigned int)running)) {
	case 1:
		trust(l, sent);
		l->self.running = (unsigned int)running;
		l->renewed_at = sent;
		break;
	case 0:
		return "this daemon was taken for dead";
	}
	return NULL;
}

void
lease_lost(struct lease *l)
{
	l->before = l->self.id;
	l->self.id = 0;
}

void
lease_leave(struct lease *l)
{
	if (l->self.id == 0 || daemon_release(l->db, l->self.id) == -1)
		return;
	blackbox_remove(l->conf->root, l->self.id);
	l->self.id = 0;
}

/* ---- those of others ----------------------------------------------------- */

/* Since when the row is as it is now.  BEFORE are the rows as they were. */
static uint64_t
unchanged_since(const struct seen *before, size_t n,
    const struct daemon_sign *s, uint64_t now)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		if (before[i].id == s->id &&
		    strcmp(before[i].at, s->seen_at) == 0)
			return before[i].since;
	}
	return now;
}

static void
note(struct lease *l, const struct daemon_sign *signs, size_t n, uint64_t now)
{
	struct seen	 before[DAEMONS];
	size_t		 i, nbefore = l->n;

	memcpy(before, l->others, nbefore * sizeof(before[0]));
	l->n = n;
	for (i = 0; i < n; i++) {
		l->others[i].id = signs[i].id;
		strlcpy(l->others[i].at, signs[i].seen_at,
		    sizeof(l->others[i].at));
		l->others[i].since = unchanged_since(before, nbefore,
		    &signs[i], now);
	}
}

/* Of this host, and not there any more. */
static bool
was_killed(struct lease *l, const struct daemon_sign *s)
{
	bool	 dead;

	/* While one starts, its row is there before its lock. */
	if (!s->ours || is_locked(l, s->id) || lock(l, F_WRLCK, 0) == -1)
		return false;
	dead = !is_locked(l, s->id);
	lock(l, F_UNLCK, 0);
	return dead;
}

/* How many jobs. */
static int
take_over(struct lease *l, const struct daemon_sign *s, const char *seen_at)
{
	const char	*root = l->conf->root;
	struct uuid	 job;
	bool		 named = blackbox_read(root, s->id, &job) == 0;
	char		 text[UUID_TEXT];
	int		 n;

	n = daemon_adopt(l->db, s->id, seen_at, named ? &job : NULL);
	if (n == -1)
		return 0;
	blackbox_remove(root, s->id);
	stats_add(STAT_TAKEN_OVER, (size_t)n);
	log_info("daemon %llu is gone: %d of its jobs wait again%s%s",
	    (unsigned long long)s->id, n, named ? "; it met its end in job " :
	    "", named ? uuid_text(&job, text) : "");
	return n;
}

int
lease_watch(struct lease *l)
{
	struct daemon_sign	 signs[DAEMONS], *s;
	uint64_t		 now;
	int			 i, n, sum = 0;

	n = daemon_watch(l->db, l->self.id, l->instance, signs, DAEMONS);
	if (n == -1)
		return 0;
	/* Later than any of these rows was written. */
	now = loop_now();
	note(l, signs, (size_t)n, now);
	for (i = 0; i < n; i++) {
		s = &signs[i];
		if (s->id == l->before)
			continue;
		if (s->gone || was_killed(l, s))
			sum += take_over(l, s, NULL);
		else if (now - l->others[i].since + MARGIN_MS >= s->lease_ms)
			sum += take_over(l, s, s->seen_at);
	}
	return sum;
}

bool
lease_alone(const struct lease *l)
{
	return l->n == 0;
}

/* -------------------------------------------------------------------------- */

struct lease *
lease_new(const struct conf *conf, struct db *db)
{
	struct lease	*l = xcalloc(1, sizeof(*l));

	l->conf = conf;
	l->db = db;
	describe_self(l);
	open_locks(l);
	return l;
}

void
lease_free(struct lease *l)
{
	if (l == NULL)
		return;
	close(l->locks);
	free(l);
}

uint64_t
lease_id(const struct lease *l)
{
	return l->self.id;
}

unsigned int
lease_slots(const struct lease *l)
{
	return l->self.slots;
}
