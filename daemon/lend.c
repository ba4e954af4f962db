/*
 * Lend items to other daemons.
 *
 *	         offered       somebody took it      it ended there
 *	[part] ----------> OPEN ---------------> HELD --------------> [part]
 *	   ^                |                      |
 *	   '---------------'----------------------'
 *	       it was taken back, or given back
 *
 * Here an item is lent from the moment when it may be: before the offer is
 * sent.  It is the run's again when the database says so, and not before.
 * What comes back waits in a list until the loop has its next turn, so that
 * the run is told of it from nowhere but there.
 */

#include "lend.h"

#include <sys/queue.h>
#include <sys/tree.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "db.h"
#include "log.h"
#include "loop.h"
#include "plan.h"

/* Between two looks at what became of lent items, ms. */
#define LOOK_MS		250

/* Between two questions whether others have room, ms; there was none. */
#define ROOM_MS		1000
#define NO_ROOM_MS	2000

/* Open offers of one job, at most. */
#define WINDOW		LENT_MOST

/* One that is lent. */
struct lent {
	RB_ENTRY(lent)	 entry;
	STAILQ_ENTRY(lent) next;	/* once it is back */
	struct part	*part;
	unsigned int	 position;	/* of its stage */
	uint64_t	 token;		/* under which it is lent */
	bool		 held;		/* else it is open, or may be */
	bool		 seen;		/* by the look at hand */
	bool		 ended;		/* these once it is back: */
	unsigned int	 attempt;
	char		*output, *said;
};
RB_HEAD(lents, lent);

struct loan {
	TAILQ_ENTRY(loan) entry;
	struct lender	*all;
	struct lent_job	 job;
	char		 queue[32];
	uint64_t	 self;
	struct loan_owner owner;
	struct lents	 lents;
	size_t		 n, nopen;	/* of them */
	STAILQ_HEAD(, lent) back;
	unsigned int	 position;	/* of the stage that lends */
	bool		 begun;		/* the run may be told */
	bool		 asks;		/* items wait that could be lent */
	bool		 closed, recalled;
	size_t		 offered;	/* by the last offer that was made */
	size_t		 window;	/* open ones that are wanted */
	unsigned int	 room;		/* slots that others have free */
	uint64_t	 room_at;	/* ask again then */
};

struct lender {
	struct loop	*loop;
	struct db	*db;
	void		(*turn)(void *);
	void		*arg;
	TAILQ_HEAD(, loan) loans;
	struct loop_timer *look;	/* or NULL */
	struct loop_timer *deliver;	/* or NULL */
	struct loan	*at;		/* whose run is being told */
};

static void	look(void *);

/* What an attempt before has lent may be of several stages. */
static int
by_item(const struct lent *a, const struct lent *b)
{
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return strcmp(a->part->item, b->part->item);
}

RB_GENERATE_INTERNAL(lents, lent, entry, by_item,
    __attribute__((unused)) static)

/* ---- what is back -------------------------------------------------------- */

static void
lent_free(struct lent *l)
{
	free(l->output);
	free(l->said);
	free(l);
}

static void
tell(struct loan *loan, struct lent *l)
{
	struct loan_end	 end = {
		.attempt = l->attempt, .output = l->output, .said = l->said
	};

	if (l->ended)
		loan->owner.end(loan->owner.arg, l->part, &end);
	else
		loan->owner.back(loan->owner.arg, l->part);
	lent_free(l);
}

/* The run may free the loan while it is told. */
static void
deliver(void *arg)
{
	struct lender	*all = arg;
	struct loan	*loan, *next;
	struct lent	*l;

	all->deliver = NULL;
	for (loan = TAILQ_FIRST(&all->loans); loan != NULL; loan = next) {
		next = TAILQ_NEXT(loan, entry);
		all->at = loan;
		while (loan->begun && all->at != NULL &&
		    (l = STAILQ_FIRST(&loan->back)) != NULL) {
			STAILQ_REMOVE_HEAD(&loan->back, next);
			tell(loan, l);
		}
	}
	all->at = NULL;
	all->turn(all->arg);
}

static void
deliver_soon(struct lender *all)
{
	if (all->deliver == NULL)
		all->deliver = loop_after(all->loop, 0, deliver, all);
}

static void
come_back(struct loan *loan, struct lent *l)
{
	RB_REMOVE(lents, &loan->lents, l);
	loan->n--;
	loan->nopen -= !l->held;
	STAILQ_INSERT_TAIL(&loan->back, l, next);
	deliver_soon(loan->all);
}

static void
lend(struct loan *loan, struct part *part, unsigned int position,
    uint64_t token)
{
	struct lent	*l = xcalloc(1, sizeof(*l));

	l->part = part;
	l->position = position;
	l->token = token;
	RB_INSERT(lents, &loan->lents, l);
	loan->n++;
	loan->nopen++;
}

/* ---- taking back --------------------------------------------------------- */

/* Up to MOST of those that CHOSEN says are the run's again, as far as the
   database agrees. */
static void
regain(struct loan *loan, bool (*chosen)(const struct lent *), size_t most)
{
	struct lent	*list[WINDOW], *l;
	char		*items[WINDOW];
	bool		 mine[WINDOW];
	size_t		 n = 0, i;

	RB_FOREACH(l, lents, &loan->lents) {
		if (n == most || n == WINDOW)
			break;
		if (!chosen(l))
			continue;
		list[n] = l;
		items[n++] = l->part->item;
	}
	if (n == 0 || lent_take_back(loan->all->db, &loan->job, loan->position,
	    items, n, mine) == -1)
		return;			/* another look comes */
	for (i = 0; i < n; i++) {
		if (mine[i])
			come_back(loan, list[i]);
		else if (!list[i]->held) {
			list[i]->held = true;
			loan->nopen--;
		}
	}
}

static bool
is_open(const struct lent *l)
{
	return !l->held;
}

/* Not among what the job has lent: nobody has it, but perhaps just now. */
static bool
is_missing(const struct lent *l)
{
	return !l->seen;
}

/* ---- what became of them ------------------------------------------------- */

static void
take_news(void *arg, const struct lent_news *news)
{
	struct loan	*loan = arg;
	struct part	 part = { .item = (char *)(uintptr_t)news->item };
	struct lent	 key = { .part = &part, .position = news->position };
	struct lent	*l;

	if ((l = RB_FIND(lents, &loan->lents, &key)) == NULL)
		return;
	l->seen = true;
	if (!news->open && !l->held) {
		l->held = true;
		loan->nopen--;
	}
	if (news->open)
		return;
	if (news->held) {
		loan->owner.percent(loan->owner.arg, l->part, news->percent);
		return;
	}
	l->ended = news->ended;
	l->attempt = news->attempt;
	l->output = xstrdup(news->output);
	l->said = news->said == NULL ? NULL : xstrdup(news->said);
	come_back(loan, l);
}

/* 0, or -1 while the database is away. */
static int
read_loan(struct loan *loan)
{
	struct lent	*l;

	RB_FOREACH(l, lents, &loan->lents)
		l->seen = false;
	if (loan->n == 0)
		return 0;
	if (lent_read(loan->all->db, &loan->job, 1, take_news, loan) == -1)
		return -1;
	regain(loan, is_missing, WINDOW);
	if (loan->closed)
		regain(loan, is_open, WINDOW);
	if (loan->recalled && loan->n > 0)
		lent_want_back(loan->all->db, &loan->job);
	return 0;
}

/* ---- offers -------------------------------------------------------------- */

static void
ask_for_room(struct loan *loan)
{
	uint64_t	 now = loop_now();
	int		 room;

	if (now < loan->room_at)
		return;
	room = daemon_room(loan->all->db, loan->self, loan->queue);
	loan->room = room == -1 ? 0 : (unsigned int)room;
	loan->room_at = now + (loan->room == 0 && loan->n == 0 ? NO_ROOM_MS :
	    ROOM_MS);
}

/* How many open ones there should be. */
static void
set_window(struct loan *loan)
{
	size_t	 least = 2 * (loan->room + loan->n - loan->nopen);

	/* All were taken since the last look: more could have been. */
	if (loan->offered > 0 && loan->nopen == 0)
		loan->window *= 2;
	else if (loan->nopen > loan->window / 2)
		loan->window -= loan->window / 4;
	if (loan->window < least || least == 0)
		loan->window = least;
	if (loan->window > WINDOW)
		loan->window = WINDOW;
}

static void
offer(struct loan *loan)
{
	struct part	*parts[WINDOW];
	char		*items[WINDOW];
	size_t		 i, n = 0;

	loan->offered = 0;
	if (loan->window > loan->nopen)
		n = loan->owner.choose(loan->owner.arg, parts,
		    loan->window - loan->nopen, &loan->position);
	for (i = 0; i < n; i++) {
		lend(loan, parts[i], loan->position, loan->job.token);
		items[i] = parts[i]->item;
	}
	if (n == 0)
		return;
	loan->offered = n;
	/* Refused or in doubt: the next look tells. */
	lent_offer(loan->all->db, &loan->job, loan->position, items, n);
}

static void
look_at(struct loan *loan)
{
	bool	 asks = loan->asks && !loan->closed;

	if (!loan->begun || (loan->n == 0 && !asks) || read_loan(loan) == -1)
		return;
	if (!asks)
		return;
	ask_for_room(loan);
	set_window(loan);
	if (loan->window > 0)
		offer(loan);
	loan->asks = false;
}

static bool
has_work(const struct loan *loan)
{
	return loan->n > 0 || (loan->asks && !loan->closed);
}

static void
look_soon(struct lender *all)
{
	if (all->look == NULL)
		all->look = loop_after(all->loop, LOOK_MS, look, all);
}

static void
look(void *arg)
{
	struct lender	*all = arg;
	struct loan	*loan;

	all->look = NULL;
	TAILQ_FOREACH(loan, &all->loans, entry) {
		look_at(loan);
		if (has_work(loan))
			look_soon(all);
	}
}

/* ---- the run's side ------------------------------------------------------ */

void
loan_inherit(struct loan *loan, struct part *p, unsigned int position,
    uint64_t token)
{
	lend(loan, p, position, token);
}

/* Under several tokens, if attempts have followed each other fast. */
int
loan_read_inherited(struct loan *loan)
{
	struct lent_job	 job = loan->job;
	struct lent	*l;
	size_t		 before;

	while ((l = RB_MIN(lents, &loan->lents)) != NULL) {
		before = loan->n;
		job.token = l->token;
		if (lent_read(loan->all->db, &job, 1, take_news, loan) == -1)
			return -1;
		if (loan->n == before)
			come_back(loan, l);
	}
	return 0;
}

void
loan_begin(struct loan *loan)
{
	loan->begun = true;
	deliver_soon(loan->all);
}

void
loan_ask(struct loan *loan)
{
	if (loan->asks || loan->closed)
		return;
	loan->asks = true;
	look_soon(loan->all);
}

void
loan_take_back(struct loan *loan)
{
	/* Half of them: each such turn costs a question to the database. */
	if (loan->nopen == 0 || loan->closed)
		return;
	regain(loan, is_open, (loan->nopen + 1) / 2);
	loan->window = loan->nopen;
}

void
loan_close(struct loan *loan)
{
	if (loan->closed)
		return;
	loan->closed = true;
	regain(loan, is_open, WINDOW);
}

void
loan_recall(struct loan *loan)
{
	loan_close(loan);
	if (loan->recalled)
		return;
	loan->recalled = true;
	if (loan->n > 0)
		lent_want_back(loan->all->db, &loan->job);
}

void
loan_forget(struct loan *loan)
{
	struct lent	*l, *next;

	loan->closed = true;
	RB_FOREACH_SAFE(l, lents, &loan->lents, next)
		come_back(loan, l);
}

struct loan *
loan_new(struct lender *all, const struct lent_job *job, const char *queue,
    uint64_t self, const struct loan_owner *owner)
{
	struct loan	*loan = xcalloc(1, sizeof(*loan));

	loan->all = all;
	loan->job = *job;
	strlcpy(loan->queue, queue, sizeof(loan->queue));
	loan->self = self;
	loan->owner = *owner;
	RB_INIT(&loan->lents);
	STAILQ_INIT(&loan->back);
	TAILQ_INSERT_TAIL(&all->loans, loan, entry);
	return loan;
}

void
loan_free(struct loan *loan)
{
	struct lent	*l, *next;

	if (loan == NULL)
		return;
	if (loan->all->at == loan)
		loan->all->at = NULL;
	TAILQ_REMOVE(&loan->all->loans, loan, entry);
	RB_FOREACH_SAFE(l, lents, &loan->lents, next) {
		RB_REMOVE(lents, &loan->lents, l);
		lent_free(l);
	}
	while ((l = STAILQ_FIRST(&loan->back)) != NULL) {
		STAILQ_REMOVE_HEAD(&loan->back, next);
		lent_free(l);
	}
	free(loan);
}

struct lender *
lender_new(struct loop *loop, struct db *db, void (*turn)(void *), void *arg)
{
	struct lender	*all = xcalloc(1, sizeof(*all));

	all->loop = loop;
	all->db = db;
	all->turn = turn;
	all->arg = arg;
	TAILQ_INIT(&all->loans);
	return all;
}

void
lender_free(struct lender *all)
{
	if (all == NULL)
		return;
	if (all->look != NULL)
		loop_cancel(all->loop, all->look);
	if (all->deliver != NULL)
		loop_cancel(all->loop, all->deliver);
	free(all);
}
