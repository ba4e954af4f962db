/*
 * Why a stage ended as it did, in words for clients.
 */

#include "reason.h"

#include <sys/wait.h>

#include <stdio.h>
#include <string.h>

#include "said.h"
#include "utf8.h"

/* A stage that used three quarters of its memory probably wanted more. */
static void
about_memory(uint64_t most, uint64_t peak, char *buf, size_t size)
{
	buf[0] = '\0';
	if (most != 0 && peak > most / 4 * 3)
		snprintf(buf, size, ", after it used %llu of its %llu MB of "
		    "memory", (unsigned long long)peak >> 20,
		    (unsigned long long)most >> 20);
}

/* "90 s", "5 min", "4 h": as it stands in the pipeline. */
static void
duration(unsigned int s, char *buf, size_t size)
{
	if (s % 3600 == 0 && s > 0)
		snprintf(buf, size, "%u h", s / 3600);
	else if (s % 60 == 0 && s > 0)
		snprintf(buf, size, "%u min", s / 60);
	else
		snprintf(buf, size, "%u s", s);
}

void
reason_of(const struct pipeline *p, const struct stage *s,
    const struct child_end *end, enum engine_event event,
    const struct said *said, char *buf, size_t size)
{
	char	 last[200], memory[80], time[32];

	about_memory(p->memory, end->peak, memory, sizeof(memory));
	said_last(said, last, sizeof(last));
	duration(end->why == CHILD_SILENT ? p->silence_s : s->limit_s, time,
	    sizeof(time));
	if (event == STEP_LOST)
		snprintf(buf, size, "%s: the daemon that ran it was lost",
		    s->name);
	else if (event == STEP_REJECTED || event == STEP_AGAIN ||
	    (said->fails && said->why[0] != '\0'))
		snprintf(buf, size, "%s", said->why);
	else if (end->why == CHILD_UNSTARTED)
		snprintf(buf, size, "%s: %s could not be started: %s: %s",
		    s->name, s->argv[0], end->what, strerror(end->error));
	else if (end->why == CHILD_LATE)
		snprintf(buf, size, "%s: ended after %s, its limit", s->name,
		    time);
	else if (end->why == CHILD_SILENT)
		snprintf(buf, size, "%s: ended after %s without a word",
		    s->name, time);
	else if (end->why == CHILD_OVER)
		snprintf(buf, size, "%s: ended with %s", s->name, end->what);
	else if (end->why == CHILD_CUT)
		snprintf(buf, size, "%s: exit 0 within a line on descriptor 3: "
		    "%s", s->name, end->what);
	else if (end->why == CHILD_EARLY)
		snprintf(buf, size, "%s: exit 0 before the item was done%s%s",
		    s->name, last[0] != '\0' ? ": " : "", last);
	else if (WIFSIGNALED(end->status))
		snprintf(buf, size, "%s: ended by signal %d (%s)%s", s->name,
		    WTERMSIG(end->status), strsignal(WTERMSIG(end->status)),
		    memory);
	else
		snprintf(buf, size, "%s: exit %d%s%s%s", s->name,
		    WEXITSTATUS(end->status), memory,
		    last[0] != '\0' ? ": " : "", last);
	utf8_clean(buf);
}

void
reason_final(enum engine_event event, unsigned int n, char *buf, size_t size)
{
	char	 before[1024];

	strlcpy(before, buf, sizeof(before));
	if (event == STEP_AGAIN || event == STEP_BROKEN || event == STEP_LATE)
		snprintf(buf, size, "Given up after %u attempts: %s", n,
		    before);
	else if (event == STEP_CRASHED || event == STEP_LOST)
		snprintf(buf, size, "Set aside after %u crashes: %s", n,
		    before);
	utf8_clean(buf);
}
