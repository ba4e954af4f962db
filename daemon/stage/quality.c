/*
 * Third stage for a video: join what was made, and see how much was lost.
 *
 * Every rendition is scaled up to the size of the largest one and compared,
 * picture by picture, with the source at that size.  That is done in pieces,
 * each of which is kept when it is measured: another run, after a kill, does
 * those that are missing.  Three children work on each, and as many pieces at
 * a time as there are cores:
 *
 *	ffmpeg: decode and scale the rendition --.
 *	                                          >--> meter: compare
 *	ffmpeg: decode and scale the source -----'
 *
 * The meter is an ffmpeg with libvmaf, which may be old; so it is only given
 * raw pictures, through pipes, and never a byte of what a stranger sent.
 * Where there is none, or it breaks, the ffmpeg at hand measures SSIM and PSNR
 * instead.  The report names what was measured: one is not the other.
 */

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "join.h"
#include "log.h"
#include "media.h"
#include "quality_piece.h"
#include "source.h"
#include "spans.h"
#include "stage.h"

#define REPORT		"quality.json"
#define DIR		"quality"	/* logs of the meters, and pieces */
#define MODEL		"vmaf_v0.6.1"
#define METER		"vmaf-meter"	/* beside this program */

/* The stage is done to so much, in percent, when the renditions are there. */
#define JOINED		2

/* Children are killed when they stand still for so long. */
#define SILENCE_S	300

/* Descriptors that a comparison takes in this process, and all the rest. */
#define FDS_EACH	9
#define FDS_OTHER	16

/*
 * VMAF is slow, slower than making the renditions.  It looks at one picture in
 * five, which changes a score by 0.2 or less; at all of a very short video.
 * Of a long one only blocks of some pictures in a row are compared, evenly
 * spread (in a row, because VMAF judges motion as well).
 */
#define EVERY		5
#define FEW		60
#define MANY		3000
#define BLOCK		10

/*
 * VMAF judges a picture by those beside it.  The first one of a piece is shown
 * to it three times more, so that the every fifth that it looks at is the third
 * and the eighth of each block, whose neighbours are in the same block; and
 * what it says of the very first is left out.  So a score does not depend on
 * where pieces begin.
 */
#define LEAD		3

/*
 * A piece is this much work.  What a core of a small server takes for a million
 * pixels of one picture, in seconds: to compare them, and to decode and scale.
 */
#define PIECE_S		10
#define COMPARE_S	0.030
#define DECODE_S	0.005

/* So many pictures a decoder may still hold back at the end of a source. */
#define HELD_BACK	5

/* PSNR of two equal pictures is infinite, which no mean survives. */
#define PSNR_MOST	100.0

enum verdict { PASS, WARN, FAIL };
static const char *const verdicts[] = {
	[PASS] = "pass", [WARN] = "warn", [FAIL] = "fail"
};

/* One piece of a rendition, and what came of comparing it. */
struct comparison {
	const struct rendition	*r;
	struct piece		 piece;
	unsigned long		 frames;	/* of it, that are compared */
	struct ffmpeg		*made, *source, *meter;
	unsigned int		 running;	/* of these three */
	bool			 started, ended;
	struct scores		 scores;
};

/* What came of all of a rendition. */
struct rating {
	double			 mean, p5, min;
	double			 psnr;		/* mean; 0: not measured */
	size_t			 n;		/* pictures */
	enum verdict		 verdict;
};

struct work {
	struct media		 media;
	const struct metric	*metric;
	char			*program;	/* the meter */
	unsigned long		 length;	/* of a piece, pictures */
	unsigned int		 every;		/* so many-th picture */
	unsigned int		 lead;		/* LEAD, or 0 if every one */
	unsigned int		 blocks;	/* and so many-th block */
	double			 frames;	/* of a rendition, compared */
	char			 tool[64];	/* as it names itself */
	char			*warning;	/* or NULL */
	double			 base;		/* percent when it began */
	double			 said;		/* pictures, to the daemon */
	struct comparison	*all;		/* pieces of all renditions */
	size_t			 n, each;	/* and of each one */
	struct rating		 ratings[MEDIA_RENDITIONS];
};

/* Something that can be measured, and how. */
struct metric {
	const char	*name;		/* in the report */
	const char	*title;		/* for people */
	int		 digits;	/* that mean something */
	void		(*add)(const struct work *, struct comparison *);
	int		(*read)(const struct work *, struct comparison *);
	double		 pass, warn;	/* least mean of the largest one */
	double		 less_pass, less_warn;	/* of smaller ones, which lose
						   detail by design */
};

/* ---- VMAF --------------------------------------------------------------- */

/* A file of the meter, for this piece.  One static buffer. */
static const char *
log_path(const struct comparison *c, const char *suffix)
{
	static char	 path[96];

	snprintf(path, sizeof(path), "%s/%s-%lu.%s", DIR, c->r->name,
	    c->piece.first, suffix);
	return path;
}

static void
vmaf_add(const struct work *w, struct comparison *c)
{
	ffmpeg_addf(c->meter, "[0:v][1:v]libvmaf=model_path=%s/%s.pkl:"
	    "log_path=%s:log_fmt=json:n_subsample=%u:n_threads=1:"
	    "shortest=1", DIR, MODEL, log_path(c, "log"), w->every);
}

/* Frames of the log say which they are: those of the lead do not count. */
static int
vmaf_take(struct json_object *log, const struct work *w, struct scores *s)
{
	struct json_object	*frames, *f, *number, *metrics, *score;
	struct json_object	*version;
	size_t			 i;

	if (!json_object_object_get_ex(log, "frames", &frames) ||
	    !json_object_is_type(frames, json_type_array))
		return -1;
	for (i = 0; i < json_object_array_length(frames); i++) {
		f = json_object_array_get_idx(frames, i);
		if (json_object_object_get_ex(f, "frameNum", &number) &&
		    json_object_get_int64(number) >= w->lead &&
		    json_object_object_get_ex(f, "metrics", &metrics) &&
		    json_object_object_get_ex(metrics, "vmaf", &score))
			scores_add(s, json_object_get_double(score));
	}
	if (json_object_object_get_ex(log, "version", &version))
		snprintf(s->tool, sizeof(s->tool), "libvmaf %s",
		    json_object_get_string(version));
	return 0;
}

static int
vmaf_read(const struct work *w, struct comparison *c)
{
	struct json_object	*log;
	int			 result;

	log = json_object_from_file(log_path(c, "log"));
	result = vmaf_take(log, w, &c->scores);
	json_object_put(log);
	unlink(log_path(c, "log"));
	return result;
}

/* ---- SSIM and PSNR ------------------------------------------------------ */

static void
ssim_add(const struct work *w, struct comparison *c)
{
	char	*path = xstrdup(log_path(c, "ssim"));

	(void)w;
	ffmpeg_addf(c->meter, "[1:v]split[a][b];"
	    "[0:v][a]ssim=stats_file=%s:shortest=1[c];"
	    "[c][b]psnr=stats_file=%s:shortest=1", path,
	    log_path(c, "psnr"));
	free(path);
}

/*
 * Hand the number behind KEY in each line of the file to FN, but for those of
 * the lead.  How many there were, or -1.
 */
static int
each_number(const struct work *w, struct comparison *c, const char *suffix,
    const char *key, void (*fn)(struct scores *, double))
{
	char		 line[512];
	const char	*found;
	FILE		*in;
	unsigned int	 n = 0;

	if ((in = fopen(log_path(c, suffix), "re")) == NULL)
		return -1;
	while (fgets(line, sizeof(line), in) != NULL)
		if ((found = strstr(line, key)) != NULL && n++ >= w->lead)
			fn(&c->scores, strtod(found + strlen(key), NULL));
	fclose(in);
	unlink(log_path(c, suffix));
	return n;
}

static void
add_psnr(struct scores *s, double decibel)
{
	s->psnr += fmin(decibel, PSNR_MOST);
}

static int
ssim_read(const struct work *w, struct comparison *c)
{
	if (each_number(w, c, "ssim", " All:", scores_add) == -1 ||
	    each_number(w, c, "psnr", " psnr_avg:", add_psnr) < 1)
		return -1;
	strlcpy(c->scores.tool, "ffmpeg", sizeof(c->scores.tool));
	return 0;
}

static const struct metric vmaf = {
	"vmaf", "VMAF", 1, vmaf_add, vmaf_read, 80, 60, 50, 25
};
static const struct metric ssim = {
	"ssim", "SSIM", 3, ssim_add, ssim_read, 0.95, 0.90, 0.85, 0.70
};

/* ---- one comparison ----------------------------------------------------- */

/*
 * The end of a command that decodes: into raw pictures of the common size.
 * Behind GRAPH the time of a picture is its number.
 */
static void
add_pictures(struct ffmpeg *f, const char *graph, const struct work *w,
    const struct comparison *c)
{
	const struct rendition	*largest = &w->media.renditions[0];
	const struct piece	*p = &c->piece;
	char			*end = NULL;

	if (!p->last)
		xasprintf(&end, ":end_pts=%lu", p->end);
	ffmpeg_add(f, "-filter_complex", NULL);
	ffmpeg_addf(f, "%strim=start_pts=%lu%s,select='lt(mod(n,%u),%u)',"
	    "scale=%u:%u:flags=bicubic,format=yuv420p,"
	    "tpad=start=%u:start_mode=clone[v]", graph, p->first,
	    end != NULL ? end : "", w->blocks * BLOCK, BLOCK, largest->width,
	    largest->height, w->lead);
	ffmpeg_add(f, "-map", "[v]", "-vsync", "passthrough", "-f", "rawvideo",
	    "-", NULL);
	free(end);
}

static struct ffmpeg *
decode_source(const struct work *w, const struct comparison *c)
{
	const struct media	*m = &w->media;
	struct ffmpeg		*f = ffmpeg_new("ffmpeg");
	bool			 within = c->piece.seek > 0;
	char			*common, *graph;

	common = within ? media_filter_within(m) : media_filter(m);
	xasprintf(&graph, "[0:%u]%s,", within ? source_part_video(m) :
	    m->video, common);
	if (within)
		source_seek(f, m, c->piece.seek);
	else
		source_open(f, m);
	add_pictures(f, graph, w, c);
	if (!within)
		source_clock(f, m, m->audio, 0);
	free(common);
	free(graph);
	return f;
}

/*
 * A rendition is our own: it has a keyframe every two seconds, and an index.
 * ffmpeg begins with the one before, and half a picture early.
 */
static struct ffmpeg *
decode_made(const struct work *w, const struct comparison *c)
{
	const struct media	*m = &w->media;
	struct ffmpeg		*f = ffmpeg_new("ffmpeg");
	char			*graph;

	if (c->piece.first > 0) {
		ffmpeg_add(f, "-copyts", "-ss", NULL);
		ffmpeg_addf(f, "%.6f", (c->piece.first - 0.5) * m->fps_den /
		    m->fps_num);
	}
	ffmpeg_add(f, "-i", media_file(c->r), NULL);
	xasprintf(&graph, "[0:v]settb=%u/%u,", m->fps_den, m->fps_num);
	add_pictures(f, graph, w, c);
	free(graph);
	return f;
}

static void
start(struct ffmpeg *f, struct comparison *c)
{
	f->arg = c;
	f->silence_s = SILENCE_S;
	ffmpeg_start(f);
	c->running++;
}

static void
begin(const struct work *w, struct comparison *c)
{
	size_t	 i;

	c->made = decode_made(w, c);
	c->source = decode_source(w, c);
	c->meter = ffmpeg_new(w->program);
	/* Without times, pictures pair up by their number. */
	for (i = 0; i < FFMPEG_PIPES; i++) {
		ffmpeg_add(c->meter, "-f", "rawvideo", "-pixel_format",
		    "yuv420p", "-framerate", "25", "-video_size", NULL);
		ffmpeg_addf(c->meter, "%ux%u", w->media.renditions[0].width,
		    w->media.renditions[0].height);
		ffmpeg_add(c->meter, "-i", NULL);
		ffmpeg_addf(c->meter, "pipe:%zu", FFMPEG_PIPE(i));
	}
	ffmpeg_add(c->meter, "-filter_complex", NULL);
	w->metric->add(w, c);
	ffmpeg_add(c->meter, "-vsync", "passthrough", "-f", "null", "-", NULL);
	ffmpeg_connect(c->made, c->meter);
	ffmpeg_connect(c->source, c->meter);
	start(c->meter, c);
	start(c->made, c);
	start(c->source, c);
	c->started = true;
}

/*
 * Who is to blame when there is no result.  When a decoder breaks the meter
 * complains as well, and when the meter breaks both decoders say "Broken
 * pipe"; so it is a decoder that says something else, or the meter.
 */
static const struct ffmpeg *
culprit(const struct comparison *c)
{
	if (ffmpeg_broke(c->source))
		return c->source;
	if (ffmpeg_broke(c->made))
		return c->made;
	return c->meter;
}

static void
forget(struct comparison *c)
{
	ffmpeg_free(c->made);
	ffmpeg_free(c->source);
	ffmpeg_free(c->meter);
	scores_free(&c->scores);
	c->made = c->source = c->meter = NULL;
	c->started = c->ended = false;
}

/*
 * Whether the source has not shown all pictures of the piece, because it was
 * begun within; ffmpeg does not find each place in each file.
 */
static bool
is_astray(const struct work *w, const struct comparison *c)
{
	const struct ffmpeg	*f = c->source;
	unsigned long		 n = w->lead + c->frames;

	if (c->piece.seek == 0 || WIFSIGNALED(f->status))
		return false;
	if (!ffmpeg_ok(f))
		return culprit(c) == f;
	return c->piece.last ? f->progress.frames + HELD_BACK < n :
	    f->progress.frames != n;
}

/* ---- pieces ------------------------------------------------------------- */

/* What is compared here: a rendition that is made anew has other scores. */
static char *
what_is(const struct work *w, const struct comparison *c)
{
	const struct rendition	*largest = &w->media.renditions[0];
	struct stat		 st;
	char			*text;

	if (stat(media_file(c->r), &st) == -1)
		fatal("%s", media_file(c->r));
	xasprintf(&text, "%s of %s, %llu bytes of %lld.%09ld, at %ux%u, every "
	    "%u of block %u", w->metric->name, media_file(c->r),
	    (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec, largest->width, largest->height, w->every,
	    w->blocks);
	return text;
}

/* Where it is kept.  To be freed. */
static char *
place_of(const struct work *w, const struct comparison *c)
{
	char	*path;

	xasprintf(&path, "%s/%s-%lu-%lu.%s.json", DIR, c->r->name,
	    c->piece.first, c->piece.end, w->metric->name);
	return path;
}

static void
keep(const struct work *w, const struct comparison *c)
{
	char	*path = place_of(w, c), *what = what_is(w, c);

	scores_save(&c->scores, path, what);
	free(path);
	free(what);
}

/* Take what an earlier run has kept.  How many are missing. */
static size_t
take_kept(struct work *w)
{
	struct comparison	*c;
	char			*path, *what;
	size_t			 missing = 0;

	for (c = w->all; c < w->all + w->n; c++) {
		path = place_of(w, c);
		what = what_is(w, c);
		c->ended = scores_load(&c->scores, path, what) == 0;
		missing += !c->ended;
		free(path);
		free(what);
	}
	if (missing < w->n)
		log_info("%zu of %zu pieces were measured before",
		    w->n - missing, w->n);
	return missing;
}

/* All three have ended: 0, or -1 when there is no result. */
static int
finish(const struct work *w, struct comparison *c)
{
	c->ended = true;
	if (!ffmpeg_ok(c->meter) || w->metric->read(w, c) == -1 ||
	    c->scores.n == 0)
		return -1;
	keep(w, c);
	return 0;
}

/* ---- all of them -------------------------------------------------------- */

static size_t
at_a_time(void)
{
	struct rlimit	 rl;
	size_t		 n = stage_cores(), most;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	most = rl.rlim_cur < FDS_OTHER + FDS_EACH ? 1 :
	    (rl.rlim_cur - FDS_OTHER) / FDS_EACH;
	return n < most ? n : most;
}

static void
say_progress(struct work *w)
{
	double				 all = w->frames * w->media.n, done = 0;
	const struct comparison		*c;

	for (c = w->all; c < w->all + w->n; c++)
		if (c->ended)
			done += c->frames;
		else if (c->started)
			done += fmin(c->meter->progress.frames, c->frames);
	if (done <= w->said)
		return;
	w->said = done;
	stage_progress(w->base + (99 - w->base) * done / all, NULL);
	stage_step("Measuring %s: %.0f of %.0f pictures", w->metric->title,
	    done, all);
}

/* The next that has not begun, or NULL. */
static struct comparison *
next(struct work *w)
{
	struct comparison	*c;

	for (c = w->all; c < w->all + w->n; c++)
		if (!c->started && !c->ended)
			return c;
	return NULL;
}

/* Compare what is missing.  NULL, or the first that could not be. */
static struct comparison *
compare(struct work *w)
{
	struct comparison	*c, *broken = NULL;
	struct ffmpeg		*f;
	size_t			 running = 0, most = at_a_time();

	for (;;) {
		while (running < most && broken == NULL &&
		    (c = next(w)) != NULL) {
			begin(w, c);
			running++;
		}
		if (running == 0)
			return broken;
		if ((f = ffmpeg_wait()) == NULL) {
			say_progress(w);
			continue;
		}
		c = f->arg;
		if (--c->running > 0)
			continue;
		running--;
		if (is_astray(w, c)) {
			log_warnx("%lu of %lu pictures from %.3f s on; "
			    "decoding again from the beginning",
			    (unsigned long)c->source->progress.frames,
			    w->lead + c->frames, c->piece.seek);
			forget(c);
			c->piece.seek = 0;
		} else if (finish(w, c) == -1 && broken == NULL)
			broken = c;
	}
}

/* ---- all of a rendition ------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	double	 x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static enum verdict
judge(const struct work *w, const struct rating *t)
{
	const struct metric	*k = w->metric;
	bool			 largest = t == &w->ratings[0];

	if (t->mean >= (largest ? k->pass : k->less_pass))
		return PASS;
	return t->mean >= (largest ? k->warn : k->less_warn) ? WARN : FAIL;
}

/* Sorted first: a sum depends on its order, which pieces shall not show in. */
static void
rate(struct work *w, struct rating *t, const struct comparison *pieces)
{
	struct scores	 s = { .n = 0 };
	size_t		 i;

	for (i = 0; i < w->each; i++)
		scores_join(&s, &pieces[i].scores);
	qsort(s.of, s.n, sizeof(*s.of), by_size);
	for (i = 0; i < s.n; i++)
		t->mean += s.of[i] / s.n;
	t->n = s.n;
	t->min = s.of[0];
	t->p5 = s.of[s.n / 20];
	t->psnr = s.psnr / s.n;
	t->verdict = judge(w, t);
	strlcpy(w->tool, s.tool, sizeof(w->tool));
	scores_free(&s);
}

/* ---- the meter ---------------------------------------------------------- */

/*
 * Give the model a path that needs no quoting inside a filter.  0, or -1 when
 * there is none.
 */
static int
link_model(const char *share)
{
	static const char *const suffixes[] = { ".pkl", ".pkl.model" };
	char			*from, *to;
	size_t			 i;
	int			 result = 0;

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		xasprintf(&from, "%s/vmaf/%s%s", share, MODEL, suffixes[i]);
		xasprintf(&to, "%s/%s%s", DIR, MODEL, suffixes[i]);
		if (access(from, R_OK) == -1)
			result = -1;
		else if ((unlink(to) == -1 && errno != ENOENT) ||
		    symlink(from, to) == -1)
			stage_failed_write(to);
		free(from);
		free(to);
	}
	return result;
}

static void
use_ssim(struct work *w)
{
	w->metric = &ssim;
	free(w->program);
	w->program = xstrdup("ffmpeg");
}

static void
warn(struct work *w, const char *why)
{
	xasprintf(&w->warning, "VMAF could not be measured (%s); SSIM and "
	    "PSNR were measured instead", why);
	log_warnx("%s", w->warning);
}

/* The site's meter; else one in DIR, where this program is; else SSIM. */
static void
choose_meter(struct work *w, const char *dir)
{
	const char	*share = getenv("MILLRACE_SHARE");
	const char	*meter = getenv("VMAF_METER");

	if (share == NULL)
		share = MILLRACE_SHARE;
	if (meter != NULL && *meter != '\0')
		w->program = xstrdup(meter);
	else
		xasprintf(&w->program, "%s/" METER, dir);

	if (link_model(share) == -1)
		warn(w, "its model is missing");
	else if (access(w->program, X_OK) == 0)
		w->metric = &vmaf;
	else if (meter != NULL && *meter != '\0')
		warn(w, strerror(errno));
	else
		log_info("no meter for VMAF is set up");
	if (w->metric == NULL)
		use_ssim(w);
}

/* The same again with what is always there. */
static void
fall_back(struct work *w, const struct comparison *broken)
{
	const struct ffmpeg	*f = culprit(broken);
	struct comparison	*c;

	warn(w, ffmpeg_ok(f) ? "the meter's log cannot be read" :
	    ffmpeg_why(f));
	for (c = w->all; c < w->all + w->n; c++)
		forget(c);
	w->base += (99 - w->base) * w->said / (w->frames * w->media.n);
	w->said = 0;
	use_ssim(w);
}

/* ---- the report --------------------------------------------------------- */

static struct json_object *
score(const struct work *w, double value)
{
	return stage_number(value, w->metric->digits + 1);
}

static struct json_object *
rendition_json(const struct work *w, size_t i)
{
	const struct rating	*t = &w->ratings[i];
	struct json_object	*o = json_object_new_object();

	json_object_object_add(o, "name",
	    json_object_new_string(w->media.renditions[i].name));
	json_object_object_add(o, "mean", score(w, t->mean));
	json_object_object_add(o, "p5", score(w, t->p5));
	json_object_object_add(o, "min", score(w, t->min));
	if (t->psnr > 0)
		json_object_object_add(o, "psnr", stage_number(t->psnr, 2));
	json_object_object_add(o, "compared", json_object_new_int64(t->n));
	json_object_object_add(o, "verdict",
	    json_object_new_string(verdicts[t->verdict]));
	return o;
}

static struct json_object *
report(const struct work *w)
{
	struct json_object	*o = json_object_new_object();
	struct json_object	*list = json_object_new_array();
	enum verdict		 worst = PASS;
	size_t			 i;

	for (i = 0; i < w->media.n; i++) {
		json_object_array_add(list, rendition_json(w, i));
		if (w->ratings[i].verdict > worst)
			worst = w->ratings[i].verdict;
	}
	json_object_object_add(o, "metric",
	    json_object_new_string(w->metric->name));
	json_object_object_add(o, "tool", json_object_new_string(w->tool));
	json_object_object_add(o, "model", w->metric == &vmaf ?
	    json_object_new_string(MODEL) : NULL);
	json_object_object_add(o, "width",
	    json_object_new_int(w->media.renditions[0].width));
	json_object_object_add(o, "height",
	    json_object_new_int(w->media.renditions[0].height));
	json_object_object_add(o, "pictures",
	    json_object_new_int64(llround(media_frames(&w->media))));
	json_object_object_add(o, "verdict",
	    json_object_new_string(verdicts[worst]));
	json_object_object_add(o, "warning", w->warning != NULL ?
	    json_object_new_string(w->warning) : NULL);
	json_object_object_add(o, "renditions", list);
	return o;
}

/* "VMAF 95.3 at 720p, 88.1 at 480p" */
static void
say_scores(const struct work *w)
{
	char	 text[MEDIA_RENDITIONS * 32];
	size_t	 i, len = 0;

	for (i = 0; i < w->media.n; i++)
		len += snprintf(text + len, sizeof(text) - len,
		    "%s%.*f at %s", i > 0 ? ", " : "", w->metric->digits,
		    w->ratings[i].mean, w->media.renditions[i].name);
	stage_progress(100, "%s %s", w->metric->title, text);
}

/* ---- what there is to do ------------------------------------------------ */

/* How many pictures a rendition really has; 0: nobody knows. */
static unsigned long
count_pictures(const struct media *m)
{
	struct ffmpeg	*f = ffprobe_new();
	const char	*key = "\"nb_frames\": \"", *found = NULL;
	unsigned long	 n;

	ffmpeg_add(f, "-select_streams", "v:0", "-show_entries",
	    "stream=nb_frames", media_file(&m->renditions[0]), NULL);
	f->silence_s = SILENCE_S;
	if (ffmpeg_run(f) && f->output != NULL)
		found = strstr(f->output, key);
	n = found != NULL ? strtoul(found + strlen(key), NULL, 10) : 0;
	ffmpeg_free(f);
	return n;
}

/* How many pictures are PIECE_S of work for one core. */
static unsigned long
piece_length(const struct work *w)
{
	const struct media	*m = &w->media;
	const struct rendition	*largest = &m->renditions[0];
	double			 common, source, each;

	common = largest->width * largest->height / 1e6;
	source = m->width * m->height / 1e6;
	each = common * COMPARE_S / w->blocks +
	    (source + common) * DECODE_S;
	return ceil(PIECE_S / each);
}

/* How many pictures of a piece are compared. */
static unsigned long
compared(const struct work *w, const struct piece *p)
{
	unsigned long	 n = p->end - p->first, step = w->blocks * BLOCK;
	unsigned long	 rest = n % step;

	return n / step * BLOCK + (rest < BLOCK ? rest : BLOCK);
}

static void
plan(struct work *w, unsigned long frames)
{
	struct span		*spans;
	struct piece		*pieces;
	struct comparison	*c;
	size_t			 n = spans_load(&spans), i, k;

	w->each = pieces_plan(spans, n, frames, w->blocks * BLOCK, w->length,
	    &pieces);
	w->n = w->each * w->media.n;
	w->all = c = xcalloc(w->n, sizeof(*w->all));
	for (i = 0; i < w->media.n; i++)
		for (k = 0; k < w->each; k++, c++) {
			c->r = &w->media.renditions[i];
			c->piece = pieces[k];
			c->frames = compared(w, &pieces[k]);
			w->frames += (double)c->frames / w->media.n;
		}
	free(pieces);
	free(spans);
}

static void
prepare(struct work *w)
{
	unsigned long	 frames = count_pictures(&w->media);

	if (frames == 0)
		frames = ceil(media_frames(&w->media));
	w->every = frames < FEW ? 1 : EVERY;
	w->lead = w->every == 1 ? 0 : LEAD;
	w->blocks = (frames + MANY - 1) / MANY;
	if (w->length == 0)
		w->length = piece_length(w);
	plan(w, frames);
	if (mkdir(DIR, 0750) == -1 && errno != EEXIST)
		stage_failed_write(DIR);
}

/*
 * The copy that parts are decoded from has gone with the parts.  Without one
 * all pieces begin at the beginning of the file.
 */
static void
copy_source(struct work *w)
{
	struct pictures		 pictures = { .n = 0 };
	struct comparison	*c;

	if (!w->media.copied || w->each == 1 || source_has_copy() ||
	    source_copy(&w->media, &pictures)) {
		pictures_free(&pictures);
		return;
	}
	for (c = w->all; c < w->all + w->n; c++)
		c->piece.seek = 0;
}

/* All of it, but for what was kept.  As compare. */
static struct comparison *
measure(struct work *w)
{
	if (take_kept(w) == 0)
		return NULL;
	copy_source(w);
	return compare(w);
}

static void
usage(void)
{
	fprintf(stderr, "usage: quality [-l pictures]\n");
	exit(1);
}

int
main(int argc, char *argv[])
{
	struct work		 w = { .base = JOINED };
	struct comparison	*broken;
	struct json_object	*o;
	size_t			 i;
	int			 c;

	while ((c = getopt(argc, argv, "l:")) != -1)
		if (c != 'l' || (w.length = strtoul(optarg, NULL, 10)) == 0)
			usage();

	stage_init("quality");
	media_load(&w.media);
	join_segments(&w.media);
	prepare(&w);
	choose_meter(&w, argc > 0 ? dirname(argv[0]) : ".");
	stage_progress(JOINED, "Measuring the quality (%s)", w.metric->title);
	if ((broken = measure(&w)) != NULL && w.metric == &vmaf) {
		fall_back(&w, broken);
		broken = measure(&w);
	}
	if (broken != NULL) {
		ffmpeg_check(culprit(broken), "Measuring the quality");
		fatalx("%s: the meter left no numbers", broken->r->name);
	}
	source_forget();
	for (i = 0; i < w.media.n; i++)
		rate(&w, &w.ratings[i], &w.all[i * w.each]);

	o = report(&w);
	stage_save(REPORT, json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	stage_detail("quality", o);
	say_scores(&w);
	return 0;
}
