/*
 * Numbers are written with as many digits as tell them apart: what is read
 * again is what was measured.
 */

#include "quality_piece.h"

#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "log.h"
#include "spans.h"
#include "stage.h"

/* Scores are allocated so many at a time. */
#define SOME	1024

/* ---- where -------------------------------------------------------------- */

/*
 * The first multiple of STEP behind each cut is where a piece may begin.  The
 * last cut before it is the one to decode from.
 */
size_t
pieces_plan(const struct span *spans, size_t n, unsigned long frames,
    unsigned int step, unsigned long length, struct piece **pieces)
{
	struct piece	*p = xcalloc(n + 1, sizeof(*p));
	unsigned long	 at;
	size_t		 i, k = 0;

	for (i = 1; i < n; i++) {
		at = (spans[i].first + step - 1) / step * step;
		if (at + length / 2 >= frames)
			break;
		if (at == p[k].first)
			p[k].seek = spans[i].seek;
		if (at - p[k].first < length - length / 4 || at == 0)
			continue;
		p[k].end = at;
		p[++k] = (struct piece){ .first = at, .seek = spans[i].seek };
	}
	p[k].end = frames;
	p[k].last = true;
	*pieces = p;
	return k + 1;
}

/* ---- what --------------------------------------------------------------- */

void
scores_add(struct scores *s, double score)
{
	if (s->n % SOME == 0)
		s->of = xreallocarray(s->of, s->n + SOME, sizeof(*s->of));
	s->of[s->n++] = score;
}

void
scores_join(struct scores *s, const struct scores *more)
{
	size_t	 i;

	for (i = 0; i < more->n; i++)
		scores_add(s, more->of[i]);
	s->psnr += more->psnr;
	strlcpy(s->tool, more->tool, sizeof(s->tool));
}

void
scores_free(struct scores *s)
{
	free(s->of);
	*s = (struct scores){ .n = 0 };
}

void
scores_save(const struct scores *s, const char *path, const char *of)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*list = json_object_new_array();
	size_t			 i;

	for (i = 0; i < s->n; i++)
		json_object_array_add(list, json_object_new_double(s->of[i]));
	json_object_object_add(o, "of", json_object_new_string(of));
	json_object_object_add(o, "tool", json_object_new_string(s->tool));
	json_object_object_add(o, "psnr", json_object_new_double(s->psnr));
	json_object_object_add(o, "scores", list);
	stage_save(path, json_object_to_json_string(o));
	json_object_put(o);
}

static int
take(struct scores *s, struct json_object *o, const char *of)
{
	struct json_object	*what, *tool, *psnr, *list;
	size_t			 i;

	if (!json_object_object_get_ex(o, "of", &what) ||
	    strcmp(json_object_get_string(what), of) != 0 ||
	    !json_object_object_get_ex(o, "tool", &tool) ||
	    !json_object_object_get_ex(o, "psnr", &psnr) ||
	    !json_object_object_get_ex(o, "scores", &list) ||
	    !json_object_is_type(list, json_type_array))
		return -1;
	for (i = 0; i < json_object_array_length(list); i++)
		scores_add(s, json_object_get_double(
		    json_object_array_get_idx(list, i)));
	s->psnr = json_object_get_double(psnr);
	strlcpy(s->tool, json_object_get_string(tool), sizeof(s->tool));
	return 0;
}

int
scores_load(struct scores *s, const char *path, const char *of)
{
	struct json_object	*o = json_object_from_file(path);
	int			 result = take(s, o, of);

	json_object_put(o);
	return result;
}
