/*
 * Answer the requests that open a stream.
 *
 * EventSource gives up for good on any status but 200 and 204.  So only what
 * will not change by itself is refused with a status: credentials, rights,
 * malformed ids, unknown jobs.  For everything else (the database is away, too
 * many streams) there is a second table with the same routes, which tells the
 * client with a 200 and a long "retry:" to come back.
 */

#include "follow.h"

#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "db.h"
#include "dialect.h"
#include "frame.h"
#include "job.h"
#include "log.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "viewers.h"

/* What a client waits before it connects again, ms: from, and up to more. */
#define RETRY_MS	2000
#define RETRY_MORE_MS	6000

#define EVENT_STREAM	"text/event-stream"

const struct follow_kind	follow_kinds[FOLLOW_KINDS] = {
	{ &dialect_v1,		true },
	{ &dialect_process,	false },
};
enum { V1, PROCESS };			/* their places there */

/* Handlers get at it by r->site. */
struct follow {
	struct site		 site;		/* first */
	struct viewers		*viewers;
	struct job		*jobs;		/* by follow_fetch */
	size_t			 njobs;
	enum follow_later	 later;		/* of the request in hand */
	uint32_t		 serial;	/* likewise */
	struct followed		*result;	/* likewise */
};

struct follow *
follow_new(const struct conf *conf, struct token_keys *keys,
    struct viewers *viewers)
{
	struct follow	*f = xcalloc(1, sizeof(*f));

	f->site.program = "sse";
	f->site.conf = conf;
	f->site.db = db_open(conf, f->site.program);
	f->site.keys = keys;
	f->viewers = viewers;
	f->jobs = xcalloc(FOLLOW_BATCH, sizeof(*f->jobs));
	return f;
}

void
follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	db_close(f->site.db);
	free(f->jobs);
	free(f);
}

struct db *
follow_db(struct follow *f)
{
	return f->site.db;
}

/* ---- jobs ---------------------------------------------------------------- */

/* The part of a path that is an id, if there is one. */
static bool
id_in(const char *path, struct uuid *id)
{
	char	 text[UUID_TEXT];
	size_t	 len;

	for (; *path != '\0'; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		strlcpy(text, path, sizeof(text));
		if (len == sizeof(text) - 1 && uuid_parse(id, text) == 0)
			return true;
	}
	return false;
}

static bool
id_of(char **env, struct uuid *id)
{
	static const char	 name[] = "DOCUMENT_URI=";
	const size_t		 len = sizeof(name) - 1;

	while (*env != NULL && strncmp(*env, name, len) != 0)
		env++;
	return *env != NULL && id_in(*env + len, id);
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

int
follow_fetch(struct follow *f, char **const *envs, size_t n)
{
	struct uuid	 ids[FOLLOW_BATCH];
	size_t		 i, found = 0, unique = 0;
	int		 rows;

	f->njobs = 0;
	for (i = 0; i < n; i++)
		found += id_of(envs[i], &ids[found]);
	if (found == 0)
		return 0;
	qsort(ids, found, sizeof(ids[0]), by_id);
	for (i = 0; i < found; i++) {
		if (i == 0 || !uuid_equal(&ids[i], &ids[unique - 1]))
			ids[unique++] = ids[i];
	}
	if ((rows = job_find_all(f->site.db, ids, unique, f->jobs)) == -1)
		return -1;
	f->njobs = (size_t)rows;
	return 0;
}

static const struct job *
find_job(const struct follow *f, const struct uuid *id)
{
	size_t	 i;

	for (i = 0; i < f->njobs; i++) {
		if (uuid_equal(&f->jobs[i].id, id))
			return &f->jobs[i];
	}
	return NULL;
}

/* ---- handlers ------------------------------------------------------------ */

/* Where a stream is to begin. */
enum from {
	FROM_NOW,		/* with the state now */
	FROM_EVENT,		/* after an event */
	FROM_LOST		/* after one that we do not know */
};

static enum from
begin_at(struct req *r, const struct job *job, uint32_t *after)
{
	const char	*id = req_param(r, "HTTP_LAST_EVENT_ID");
	uint64_t	 n;

	*after = job->seq;
	if (id[0] == '\0')
		id = req_query(r, "last_event_id");
	if (id == NULL || id[0] == '\0')
		return FROM_NOW;
	if (conf_number(id, job->seq, &n) == -1)
		return FROM_LOST;
	*after = (uint32_t)n;
	return FROM_EVENT;
}

static void
begin(struct req *r, const struct text *t)
{
	req_header(r, "Cache-Control", "no-store");
	req_header(r, "X-Accel-Buffering", "no");
	req_reply(r, 200, EVENT_STREAM, t->p, t->len);
}

/* Tell a client to come back. */
static int
come_later(struct req *r, enum follow_later later)
{
	static const struct {
		unsigned int	 retry_ms;
		const char	*why;
	} words[] = {
		[FOLLOW_FULL] = { 30000, "no more streams can be served now" },
		[FOLLOW_MANY] = { 30000, "too many streams of yours are open" },
		[FOLLOW_AWAY] = { 10000, "the database is away" },
	};
	struct follow	*f = (struct follow *)r->site;
	struct text	 t = { 0 };
	unsigned int	 ms = words[later].retry_ms;

	text_printf(&t, "retry: %u\n: %s\n\n",
	    ms + arc4random_uniform(ms / 4), words[later].why);
	begin(r, &t);
	free(t.p);
	f->result->later = later;
	log_info("stream %u: refused: %s, from %s", f->serial,
	    words[later].why, r->address);
	return 0;
}

static int
later(struct req *r)
{
	return come_later(r, ((struct follow *)r->site)->later);
}

static void
log_open(struct req *r, const struct job *job, const struct followed *d,
    enum from from)
{
	static const char *const words[] = {
		[FROM_NOW] = "now", [FROM_EVENT] = "event",
		[FROM_LOST] = "an event that is not known; reset to",
	};
	char	 id[UUID_TEXT];

	log_info("stream %u: open: job %s, %s, user %llu, from %s, after %s %u",
	    ((struct follow *)r->site)->serial, uuid_text(&job->id, id),
	    follow_kinds[d->join.kind].dialect->name,
	    (unsigned long long)r->caller.user.id, r->address,
	    words[from], d->join.seq);
}

/* What clients that can renew themselves get: RATE, a fifth more or less. */
static unsigned int
rotation(unsigned int rate_s)
{
	if (rate_s == 0)
		return 0;
	return rate_s - rate_s / 5 + arc4random_uniform(rate_s / 5 * 2 + 1);
}

static void
note(struct req *r, const struct job *job, unsigned int kind, uint32_t after,
    struct followed *d)
{
	d->stream = true;
	d->join.job = job->id;
	d->join.kind = kind;
	d->join.seq = after;
	d->join.latest = job->seq;
	d->caller = r->caller;
	strlcpy(d->address, r->address, sizeof(d->address));
	if (follow_kinds[kind].rotates && r->caller.proof != PROOF_NONE)
		d->join.rotate_s = rotation(r->site->conf->rotate_s);
}

/* The first bytes of a stream. */
static void
greet(struct text *t, const struct dialect *dialect, const struct job *job,
    enum from from)
{
	text_printf(t, "retry: %u\n\n",
	    RETRY_MS + arc4random_uniform(RETRY_MORE_MS + 1));
	if (from == FROM_NOW)
		dialect->snapshot(t, job);
	else if (from == FROM_LOST)
		dialect->reset(t, job);
	else if (dialect->resumed != NULL)
		dialect->resumed(t, job);
}

static int
open_stream(struct req *r, const struct job *job, unsigned int kind)
{
	struct follow	*f = (struct follow *)r->site;
	bool		 ended = job_ended(job->state);
	struct text	 t = { 0 };
	uint32_t	 after;
	enum from	 from = begin_at(r, job, &after);

	if (from == FROM_EVENT && ended && after == job->seq) {
		req_header(r, "Cache-Control", "no-store");
		return reply_empty(r, 204);
	}
	if (viewers_owned(f->viewers, &r->caller, r->address) >=
	    r->site->conf->user_streams)
		return come_later(r, FOLLOW_MANY);
	if (strcmp(r->method, "HEAD") != 0) {
		greet(&t, follow_kinds[kind].dialect, job, from);
		if (!ended || after < job->seq) {
			note(r, job, kind, after, f->result);
			log_open(r, job, f->result, from);
		}
	}
	begin(r, &t);
	free(t.p);
	return 0;
}

static int
open_kind(struct req *r, unsigned int kind)
{
	const struct job	*job;
	struct uuid		 id;
	int			 status;

	if ((status = route_uuid(r, r->args[0], &id)) != 0)
		return status;
	job = find_job((struct follow *)r->site, &id);
	if (job == NULL || !route_shows(&r->caller, job))
		return req_fail(r, 404, "no such job");
	return open_stream(r, job, kind);
}

static int
open_v1(struct req *r)
{
	return open_kind(r, V1);
}

static int
open_process(struct req *r)
{
	return open_kind(r, PROCESS);
}

#define PATH_V1		"/api/v1/jobs/:id/stream"
#define PATH_PROCESS	"/jobs/:id/stream"

static const struct route routes[] = {
	{ "GET", PATH_V1,	ROUTE_USER,	open_v1, ROUTE_STREAM },
	{ "GET", PATH_PROCESS,	ROUTE_GUEST,	open_process, ROUTE_STREAM },
	{ NULL }
};

static const struct route later_routes[] = {
	{ "GET", PATH_V1,	ROUTE_ANYBODY,	later },
	{ "GET", PATH_PROCESS,	ROUTE_ANYBODY,	later },
	{ NULL }
};

/* ---- answering ----------------------------------------------------------- */

/* The status of a reply in CGI text, which begins "Status: 200". */
static int
status_of(const char *output)
{
	return atoi(output + sizeof("Status: ") - 1);
}

/* Run one table over a request; the reply goes to *D.  Its status. */
static int
answer(struct follow *f, char **env, const struct route *table,
    struct followed *d)
{
	struct req	*r = req_from(&f->site, env);
	const char	*output;
	size_t		 len;
	int		 status;

	memset(d, 0, sizeof(*d));
	f->result = d;
	log_subject("request %s: ", r->id);
	route_run(r, table);
	log_subject(NULL);
	output = req_output(r, &len);
	status = status_of(output);
	d->frame = frame_new(output, len, d->stream ? FRAME_MORE : FRAME_LAST);
	req_free(r);
	return status;
}

void
follow_answer(struct follow *f, char **env, enum follow_later when,
    uint32_t serial, struct followed *d)
{
	f->serial = serial;
	f->later = when;
	if (when == FOLLOW_NOW && answer(f, env, routes, d) < 500)
		return;
	if (when == FOLLOW_NOW) {
		frame_unref(d->frame);
		f->later = FOLLOW_AWAY;
	}
	answer(f, env, later_routes, d);
}
