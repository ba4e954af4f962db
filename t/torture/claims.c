/*
 * Claim and finish jobs at full speed, from several processes, by the very
 * statements of the daemon.
 *
 *	claims -c FILE [-n JOBS] [-p PROCESSES]
 *
 * The jobs are of a queue that no daemon serves.  One in eight is given back,
 * and one in eight is to be tried again, so that it is claimed once more.
 * What the database says of a claim is held against a table in shared memory:
 * a job that is claimed while somebody has it was claimed twice.
 *
 * Says in one line of JSON what came of it; exits with 1 if a job was lost or
 * doubled.
 */

#include <sys/mman.h>
#include <sys/wait.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "db.h"
#include "job.h"
#include "log.h"
#include "loop.h"

#define QUEUE		"torture"
#define AT_ONCE		10	/* jobs that are claimed together */
#define SUBMITTED	100	/* in one transaction */
#define LEASE_S		3600
#define IDLE_US		1000
#define STUCK_MS	60000	/* nothing was done for so long: give up */

/* One job, seen from outside of the database. */
struct mark {
	struct uuid	 id;
	atomic_int	 held;		/* by how many */
	atomic_uint	 claims, done;
};

struct table {
	size_t		 n;
	atomic_size_t	 finished;
	atomic_uint	 doubled;
	atomic_ulong	 deadlocks, timeouts, stale;
	struct mark	 marks[];	/* in the order of their ids */
};

/* Jobs that one process has, and what becomes of each. */
enum fate { FATE_DONE, FATE_BACK, FATE_AGAIN };
struct hand {
	struct job	 jobs[AT_ONCE];
	enum fate	 fate[AT_ONCE];
	size_t		 n;
};

static struct table	*table;

/* ---- the jobs ------------------------------------------------------------ */

struct portion {
	size_t		 from, n;
};

static int
submit(struct db *db, void *arg)
{
	struct portion	*p = arg;
	struct job	 job;
	size_t		 i;

	for (i = p->from; i < p->from + p->n; i++) {
		memset(&job, 0, sizeof(job));
		job.id = table->marks[i].id;
		job.state = JOB_PENDING;
		strlcpy(job.pipeline, "torture", sizeof(job.pipeline));
		strlcpy(job.queue, QUEUE, sizeof(job.queue));
		if (job_submit(db, &job, "{}") == -1)
			return -1;
	}
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void
submit_all(struct db *db)
{
	struct portion	 p = { 0 };
	size_t		 i;

	for (i = 0; i < table->n; i++)
		uuid_new(&table->marks[i].id);
	qsort(table->marks, table->n, sizeof(table->marks[0]), by_id);
	for (; p.from < table->n; p.from += p.n) {
		p.n = table->n - p.from;
		if (p.n > SUBMITTED)
			p.n = SUBMITTED;
		if (db_run(db, submit, &p) == -1)
			fatalx("jobs cannot be made");
	}
}

static struct mark *
mark_of(const struct uuid *id)
{
	struct mark	*m = bsearch(id, table->marks, table->n,
			    sizeof(table->marks[0]), by_id);

	if (m == NULL)
		fatalx("a job that nobody made");
	return m;
}

/* ---- one claimer --------------------------------------------------------- */

static void
news_of(const struct job *job, double percent, struct job_news *news)
{
	memset(news, 0, sizeof(*news));
	news->id = job->id;
	news->token = job->token;
	strlcpy(news->phase, "work", sizeof(news->phase));
	strlcpy(news->stage, "work", sizeof(news->stage));
	news->stage_progress = news->progress = percent;
	news->eta_s = -1;
}

/* As the batch of the daemon does: all rows are locked, then written. */
static int
hold(struct db *db, const struct hand *h)
{
	struct uuid	 ids[AT_ONCE];
	size_t		 i;

	for (i = 0; i < h->n; i++)
		ids[i] = h->jobs[i].id;
	return job_hold(db, ids, h->n);
}

static int
progress(struct db *db, void *arg)
{
	const struct hand	*h = arg;
	struct job_news		 news;
	size_t			 i;

	if (hold(db, h) == -1)
		return -1;
	for (i = 0; i < h->n; i++) {
		news_of(&h->jobs[i], 50, &news);
		if (job_progress(db, &news) != 1)
			return -1;
	}
	return 0;
}

static int
end_one(struct db *db, const struct job *job, enum fate fate)
{
	struct job_news	 news;

	news_of(job, 50, &news);
	switch (fate) {
	case FATE_BACK:
		return job_give_back(db, &news);
	case FATE_AGAIN:
		return job_again(db, &news, "chosen by lot", 0);
	case FATE_DONE:
		break;
	}
	return job_done(db, &news, "{}", "");
}

static int
end(struct db *db, void *arg)
{
	const struct hand	*h = arg;
	size_t			 i;

	if (hold(db, h) == -1)
		return -1;
	for (i = 0; i < h->n; i++) {
		if (end_one(db, &h->jobs[i], h->fate[i]) != 1)
			return -1;
	}
	return 0;
}

static void
take_up(struct hand *h)
{
	struct mark	*m;
	uint32_t	 lot;
	size_t		 i;

	for (i = 0; i < h->n; i++) {
		m = mark_of(&h->jobs[i].id);
		if (atomic_fetch_add(&m->held, 1) != 0)
			atomic_fetch_add(&table->doubled, 1);
		atomic_fetch_add(&m->claims, 1);
		lot = arc4random_uniform(8);
		h->fate[i] = lot == 0 ? FATE_BACK :
		    lot == 1 ? FATE_AGAIN : FATE_DONE;
	}
}

/* Another one may have them from the moment of the commit, so before it. */
static void
put_down(const struct hand *h, int n)
{
	size_t	 i;

	for (i = 0; i < h->n; i++)
		atomic_fetch_add(&mark_of(&h->jobs[i].id)->held, n);
}

static void
count_ends(const struct hand *h)
{
	size_t	 i;

	for (i = 0; i < h->n; i++) {
		if (h->fate[i] != FATE_DONE)
			continue;
		atomic_fetch_add(&mark_of(&h->jobs[i].id)->done, 1);
		atomic_fetch_add(&table->finished, 1);
	}
}

/* What others have in the way is done again, as the daemon does it. */
static void
insist(struct db *db, int (*fn)(struct db *, void *), struct hand *h)
{
	while (db_run(db, fn, h) == -1) {
		if (db_error(db) == DB_WRONG || db_error(db) == DB_OK)
			fatalx("the fence refused what is ours");
		usleep(IDLE_US);
	}
}

static void
work(struct db *db, uint64_t self)
{
	struct job_queue	 queue = { .name = QUEUE };
	struct hand		 h;
	uint64_t		 stuck = loop_now() + STUCK_MS;
	int			 n;

	while (atomic_load(&table->finished) < table->n) {
		n = job_claim(db, &queue, "", self, h.jobs, AT_ONCE);
		if (n <= 0) {
			if (loop_now() > stuck)
				fatalx("nothing more can be claimed");
			job_due(db);
			usleep(IDLE_US);
			continue;
		}
		stuck = loop_now() + STUCK_MS;
		h.n = (size_t)n;
		take_up(&h);
		insist(db, progress, &h);
		put_down(&h, -1);
		insist(db, end, &h);
		count_ends(&h);
	}
}

static int
claimer(const struct conf *conf, unsigned int number)
{
	struct db		*db = db_open(conf, "millraced");
	struct daemon		 self = { .pid = (unsigned int)getpid(),
				    .slots = AT_ONCE };
	struct db_conflicts	 c;
	char			 instance[32];
	uint64_t		 id;

	snprintf(self.host, sizeof(self.host), "claims-%u", number);
	snprintf(instance, sizeof(instance), "%.16s:/", self.host);
	strlcpy(self.queues, QUEUE, sizeof(self.queues));
	if (daemon_start(db, &self, instance, LEASE_S, &id) == -1)
		fatalx("no row in table daemon");
	work(db, id);
	daemon_release(db, id);
	db_conflicts(db, &c);
	atomic_fetch_add(&table->deadlocks, c.deadlocks);
	atomic_fetch_add(&table->timeouts, c.timeouts);
	atomic_fetch_add(&table->stale, c.stale);
	db_close(db);
	return 0;
}

/* ---- all of it ----------------------------------------------------------- */

/* They have ended well, all of them? */
static int
run_all(const struct conf *conf, unsigned int processes)
{
	unsigned int	 i;
	int		 status, bad = 0;

	for (i = 0; i < processes; i++) {
		switch (fork()) {
		case -1:
			fatal("fork");
		case 0:
			exit(claimer(conf, i));
		}
	}
	for (i = 0; i < processes; i++) {
		if (wait(&status) == -1 || status != 0)
			bad = 1;
	}
	return bad;
}

static int
report(double seconds, int bad)
{
	size_t		 i, lost = 0, doubled = atomic_load(&table->doubled);
	unsigned long	 claims = 0;
	unsigned int	 done;

	for (i = 0; i < table->n; i++) {
		done = atomic_load(&table->marks[i].done);
		claims += atomic_load(&table->marks[i].claims);
		if (done == 0)
			lost++;
		else if (done > 1)
			doubled++;
	}
	printf("{\"jobs\": %zu, \"claims\": %lu, \"lost\": %zu, \"doubled\": %zu,"
	    " \"deadlocks\": %lu, \"timeouts\": %lu, \"stale\": %lu,"
	    " \"seconds\": %.1f}\n", table->n, claims, lost, doubled,
	    atomic_load(&table->deadlocks), atomic_load(&table->timeouts),
	    atomic_load(&table->stale), seconds);
	return bad || lost > 0 || doubled > 0;
}

int
main(int argc, char **argv)
{
	struct conf	*conf;
	struct db	*db;
	const char	*file = MILLRACE_CONF;
	uint64_t	 jobs = 10000, processes = 4, began;
	size_t		 size;
	int		 c, bad;

	log_init("claims");
	while ((c = getopt(argc, argv, "c:n:p:")) != -1) {
		if (c == 'c')
			file = optarg;
		else if (c == '?' || conf_number(optarg, 10000000,
		    c == 'n' ? &jobs : &processes) == -1)
			fatalx("usage: claims -c FILE [-n JOBS] [-p PROCESSES]");
	}
	if ((conf = conf_load(file)) == NULL)
		return 1;
	size = sizeof(*table) + jobs * sizeof(table->marks[0]);
	if ((table = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED)
		fatal("mmap");
	table->n = jobs;
	/* It makes jobs, which the daemon may not. */
	db = db_open(conf, "admin");
	submit_all(db);
	db_close(db);
	began = loop_now();
	bad = run_all(conf, (unsigned int)processes);
	bad = report((double)(loop_now() - began) / 1000, bad);
	conf_free(conf);
	return bad;
}
