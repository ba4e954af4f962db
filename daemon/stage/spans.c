/*
 * Choose where to cut.
 */

#include "spans.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "media.h"
#include "stage.h"

/* The plan, in the work directory: a line for each span. */
#define PLAN		"spans"

/*
 * What is lost when an item is killed, at most: as many pixels as take a core
 * of a small server some eight seconds to decode, scale and encode.  A pixel
 * of the source, which is only decoded, is a fraction of one that is made.
 */
#define WORK_PIXELS	500e6
#define SOURCE_PIXEL	0.25

/* However small the picture, so that there is something to share. */
#define LENGTH_MOST	30	/* seconds */

/* More of them than this would be a burden; they get longer then. */
#define SPANS_MOST	10000

/*
 * A decoder begins so much before a cut, to have the pictures to each side
 * that filters look at; seconds, and pictures.
 */
#define AHEAD_S		0.5
#define AHEAD_PICTURES	4

/*
 * What a cut costs, in seconds of video that could have been made instead: to
 * start programs, a small part of the length that is usual, and to decode in
 * vain, which takes a tenth of the work.  No more than so many lengths are,
 * which is half as much again at the worst.
 */
#define START_COST	(1 / 80.0)
#define VAIN_COST	0.1
#define VAIN_MOST	4

/* The last span may be longer by this, rather than a few pictures be one. */
#define REST_MOST	1.25

/* Keyframes that are closer are as good as one. */
#define KEYS_APART	0.1

/* ---- the source's pictures ---------------------------------------------- */

static void
add_key(struct pictures *p, double at)
{
	if (p->n > 0 && at < p->keys[p->n - 1])
		p->doubtful = true;
	if (p->n > 0 && at < p->keys[p->n - 1] + KEYS_APART)
		return;
	if (p->n % 1024 == 0)
		p->keys = xreallocarray(p->keys, p->n + 1024,
		    sizeof(*p->keys));
	p->keys[p->n++] = at;
}

/*
 *	#tb 0: 1/30000
 *	0,      -2002,          0,     1001,      746, 0x2e5cfe99
 *	0,      -1001,       3003,     1001,       43, 0xb49e142a, F=0x0
 *
 * These are stream, decoding time, time, duration, size and checksum; and
 * flags, unless it is a keyframe and nothing else.
 */
void
pictures_line(struct pictures *p, const char *line)
{
	unsigned int	 num, den;
	const char	*flags;
	int64_t		 at;

	if (sscanf(line, "#tb 0: %9u/%9u", &num, &den) == 2 && den != 0)
		p->tick = (double)num / den;
	if (line[0] == '#')
		return;
	if (sscanf(line, "%*d, %*d, %" SCNd64, &at) != 1 || at == INT64_MIN ||
	    p->tick == 0) {
		p->doubtful = true;
		return;
	}
	p->last = fmax(p->last, at * p->tick);
	flags = strstr(line, ", F=0x");
	if (flags == NULL || (strtoul(flags + 6, NULL, 16) & 1) != 0)
		add_key(p, at * p->tick);
}

void
pictures_free(struct pictures *p)
{
	free(p->keys);
	p->keys = NULL;
	p->n = 0;
}

/* ---- cuts --------------------------------------------------------------- */

static double
fps(const struct media *m)
{
	return (double)m->fps_num / m->fps_den;
}

static unsigned int
keyframes(double seconds)
{
	return SPANS_KEYFRAME_S * lround(seconds / SPANS_KEYFRAME_S);
}

unsigned int
spans_length(const struct media *m)
{
	double		 pixels = SOURCE_PIXEL * m->width * m->height;
	unsigned int	 least, s;
	size_t		 i;

	for (i = 0; i < m->n; i++)
		pixels += (double)m->renditions[i].width *
		    m->renditions[i].height;
	s = keyframes(fmin(WORK_PIXELS / (pixels * fps(m)), LENGTH_MOST));
	least = keyframes(m->seconds / SPANS_MOST + SPANS_KEYFRAME_S / 2.0);
	return s > least ? s : least;
}

/* The first picture at or behind a time that is SECONDS, a whole number. */
static unsigned long
picture_at(const struct media *m, unsigned long seconds)
{
	return ((uint64_t)seconds * m->fps_num + m->fps_den - 1) / m->fps_den;
}

/* The last keyframe not behind AT; one at least is needed. */
static bool
key_before(const struct pictures *p, double at, double *key)
{
	size_t	 low = 0, high = p->n, i;

	while (low < high) {
		i = low + (high - low) / 2;
		if (p->keys[i] <= at)
			low = i + 1;
		else
			high = i;
	}
	if (low > 0)
		*key = p->keys[low - 1];
	return low > 0;
}

/* Where to begin, to have picture FIRST right. */
static double
begin_for(const struct media *m, unsigned long first)
{
	return first / fps(m) - fmax(AHEAD_S, AHEAD_PICTURES / fps(m));
}

/*
 * The cut between FROM and TO seconds that costs least for what it gains
 * since the last one, AT; 0 when there is none.
 */
static unsigned long
best_cut(const struct media *m, const struct pictures *p, unsigned long at,
    unsigned long from, unsigned long to, unsigned int length)
{
	unsigned long	 best = 0, s;
	double		 begin, key, cost, least = HUGE_VAL;

	for (s = from; s <= to; s += SPANS_KEYFRAME_S) {
		begin = begin_for(m, picture_at(m, s));
		if (begin <= 0 || !key_before(p, begin, &key) ||
		    begin - key > (double)VAIN_MOST * length)
			continue;
		cost = (START_COST * length + VAIN_COST * (begin - key)) /
		    (s - at);
		if (cost <= least) {
			best = s;
			least = cost;
		}
	}
	return best;
}

/* Where to cut next, seconds, when the last cut was AT; 0: nowhere. */
static unsigned long
next_cut(const struct media *m, const struct pictures *p, unsigned long at,
    unsigned int length)
{
	unsigned int	 least = keyframes(length / 2.0);
	unsigned long	 cut, from, to = at + length;

	if (least < SPANS_KEYFRAME_S)
		least = SPANS_KEYFRAME_S;
	for (from = at + least; from < p->last; from = to + SPANS_KEYFRAME_S,
	    to += length)
		if ((cut = best_cut(m, p, at, from, to, length)) != 0)
			return cut;
	return 0;
}

/* LENGTH, or somewhat less for the last cores to have something to do. */
static unsigned int
even_length(const struct pictures *p, unsigned int length, unsigned int cores)
{
	unsigned int	 n = ceil(p->last / length);

	if (p->last <= REST_MOST * length || n > 8 * cores)
		return length;
	n = (n + cores - 1) / cores * cores;
	n = SPANS_KEYFRAME_S * ceil(p->last / n / SPANS_KEYFRAME_S);
	return n < length ? n : length;
}

size_t
spans_plan(const struct media *m, const struct pictures *p,
    unsigned int length, unsigned int cores, struct span **spans)
{
	unsigned long	 at = 0, first, end = lround(p->last * fps(m)) + 1;
	struct span	*s = xcalloc(1, sizeof(*s));
	size_t		 n = 1;

	length = even_length(p, length, cores);
	while (!p->doubtful && at + REST_MOST * length < p->last &&
	    (at = next_cut(m, p, at, length)) != 0) {
		first = picture_at(m, at);
		/* Neither two cuts in a picture, nor one with none behind. */
		if (first <= s[n - 1].first || first + 1 >= end)
			continue;
		s = xreallocarray(s, n + 1, sizeof(*s));
		s[n - 1].end = first;
		s[n] = (struct span){ .first = first,
			.seek = begin_for(m, first) };
		n++;
	}
	s[n - 1].end = end;
	s[n - 1].last = true;
	*spans = s;
	return n;
}

void
spans_join(struct span *s, size_t *n, size_t i)
{
	s[i - 1].end = s[i].end;
	s[i - 1].last = s[i].last;
	memmove(s + i, s + i + 1, (*n - i - 1) * sizeof(*s));
	(*n)--;
}

/* ---- the plan ----------------------------------------------------------- */

void
spans_save(const struct span *spans, size_t n)
{
	char	*text;
	size_t	 i, len;
	FILE	*out;

	if ((out = open_memstream(&text, &len)) == NULL)
		fatal(PLAN);
	for (i = 0; i < n; i++)
		fprintf(out, "%s\n", span_args(&spans[i]));
	if (fclose(out) == EOF)
		fatal(PLAN);
	stage_save(PLAN, text);
	free(text);
}

size_t
spans_load(struct span **spans)
{
	FILE	*in = fopen(PLAN, "re");
	char	*line = NULL;
	size_t	 n = 0, size = 0;

	*spans = NULL;
	if (in == NULL && errno == ENOENT)
		return 0;
	if (in == NULL)
		fatal(PLAN);
	while (getline(&line, &size, in) != -1) {
		*spans = xreallocarray(*spans, n + 1, sizeof(**spans));
		if (span_parse(line, &(*spans)[n++]) == -1)
			fatalx("%s: not a span: %s", PLAN, line);
	}
	free(line);
	fclose(in);
	return n;
}

/* ---- words -------------------------------------------------------------- */

const char *
span_name(const struct media *m, const struct span *s)
{
	static char	 name[64];
	unsigned long	 a = s->first / fps(m), b = s->end / fps(m);

	snprintf(name, sizeof(name), "%02lu:%02lu:%02lu-%02lu:%02lu:%02lu",
	    a / 3600, a / 60 % 60, a % 60, b / 3600, b / 60 % 60, b % 60);
	return name;
}

const char *
span_text(const struct media *m, const struct span *s)
{
	static char	 text[64];

	snprintf(text, sizeof(text), "%s to %s", stage_time(s->first / fps(m)),
	    stage_time(s->end / fps(m)));
	return text;
}

const char *
span_args(const struct span *s)
{
	static char	 args[80];

	snprintf(args, sizeof(args), "%lu %lu %.3f%s", s->first, s->end,
	    s->seek, s->last ? " last" : "");
	return args;
}

int
span_parse(const char *args, struct span *s)
{
	char	 more[6];
	int	 n;

	*s = (struct span){ 0 };
	n = sscanf(args, "%lu %lu %lf %5s", &s->first, &s->end, &s->seek,
	    more);
	s->last = n == 4 && strcmp(more, "last") == 0;
	if (n < 3 || (n == 4 && !s->last) || s->end <= s->first ||
	    !(s->seek >= 0))
		return -1;
	return 0;
}
