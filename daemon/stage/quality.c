/*
 * Third stage for a video: join what was made, and see how much was lost.
 *
 * Every rendition is scaled up to the size of the largest one and compared,
 * picture by picture, with the source at that size.  Three children work on
 * each, and as many renditions at a time as there are cores:
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
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "join.h"
#include "log.h"
#include "media.h"
#include "source.h"
#include "stage.h"

#define REPORT		"quality.json"
#define DIR		"quality"	/* logs of the meters */
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

/* PSNR of two equal pictures is infinite, which no mean survives. */
#define PSNR_MOST	100.0

enum verdict { PASS, WARN, FAIL };
static const char *const verdicts[] = {
	[PASS] = "pass", [WARN] = "warn", [FAIL] = "fail"
};

/* One rendition, and what came of comparing it. */
struct comparison {
	const struct rendition	*r;
	struct ffmpeg		*made, *source, *meter;
	unsigned int		 running;	/* of these three */
	bool			 started, ended;
	double			*scores;	/* of pictures; n of them */
	size_t			 n;
	double			 mean, p5, min;
	double			 psnr;		/* mean; 0: not measured */
	enum verdict		 verdict;
};

struct work {
	struct media		 media;
	const struct metric	*metric;
	char			*program;	/* the meter */
	unsigned int		 every;		/* so many-th picture */
	unsigned int		 blocks;	/* and so many-th block */
	double			 frames;	/* that each meter gets */
	char			 tool[64];	/* as it names itself */
	char			*warning;	/* or NULL */
	double			 base;		/* percent when it began */
	double			 said;		/* pictures, to the daemon */
	struct comparison	 all[MEDIA_RENDITIONS];
};

/* Something that can be measured, and how. */
struct metric {
	const char	*name;		/* in the report */
	const char	*title;		/* for people */
	int		 digits;	/* that mean something */
	void		(*add)(const struct work *, struct comparison *);
	int		(*read)(struct work *, struct comparison *);
	double		 pass, warn;	/* least mean of the largest one */
	double		 less_pass, less_warn;	/* of smaller ones, which lose
						   detail by design */
};

/* ---- VMAF --------------------------------------------------------------- */

static void
vmaf_add(const struct work *w, struct comparison *c)
{
	ffmpeg_addf(c->meter, "[0:v][1:v]libvmaf=model_path=%s/%s.pkl:"
	    "log_path=%s/%s.json:log_fmt=json:n_subsample=%u:n_threads=1:"
	    "shortest=1", DIR, MODEL, DIR, c->r->name, w->every);
}

static int
vmaf_take(struct json_object *log, struct work *w, struct comparison *c)
{
	struct json_object	*frames, *metrics, *score, *version;
	size_t			 i, len;

	if (!json_object_object_get_ex(log, "frames", &frames) ||
	    !json_object_is_type(frames, json_type_array))
		return -1;
	len = json_object_array_length(frames);
	c->scores = xcalloc(len + 1, sizeof(*c->scores));
	for (i = 0; i < len; i++)
		if (json_object_object_get_ex(json_object_array_get_idx(frames,
		    i), "metrics", &metrics) &&
		    json_object_object_get_ex(metrics, "vmaf", &score))
			c->scores[c->n++] = json_object_get_double(score);
	if (json_object_object_get_ex(log, "version", &version))
		snprintf(w->tool, sizeof(w->tool), "libvmaf %s",
		    json_object_get_string(version));
	return 0;
}

static int
vmaf_read(struct work *w, struct comparison *c)
{
	struct json_object	*log;
	char			*path;
	int			 result;

	xasprintf(&path, "%s/%s.json", DIR, c->r->name);
	log = json_object_from_file(path);
	result = vmaf_take(log, w, c);
	json_object_put(log);
	free(path);
	return result;
}

/* ---- SSIM and PSNR ------------------------------------------------------ */

static void
ssim_add(const struct work *w, struct comparison *c)
{
	(void)w;
	ffmpeg_addf(c->meter, "[1:v]split[a][b];"
	    "[0:v][a]ssim=stats_file=%s/%s.ssim:shortest=1[c];"
	    "[c][b]psnr=stats_file=%s/%s.psnr:shortest=1",
	    DIR, c->r->name, DIR, c->r->name);
}

/*
 * Hand the number behind KEY in each line of DIR/NAME.SUFFIX to FN.  How many
 * there were, or -1.
 */
static int
each_number(struct comparison *c, const char *suffix, const char *key,
    void (*fn)(struct comparison *, double))
{
	char		*path, line[512];
	const char	*found;
	FILE		*in;
	int		 n = 0;

	xasprintf(&path, "%s/%s.%s", DIR, c->r->name, suffix);
	in = fopen(path, "re");
	free(path);
	if (in == NULL)
		return -1;
	while (fgets(line, sizeof(line), in) != NULL)
		if ((found = strstr(line, key)) != NULL) {
			fn(c, strtod(found + strlen(key), NULL));
			n++;
		}
	fclose(in);
	return n;
}

static void
add_score(struct comparison *c, double score)
{
	if (c->n % 1024 == 0)
		c->scores = xreallocarray(c->scores, c->n + 1024,
		    sizeof(*c->scores));
	c->scores[c->n++] = score;
}

static void
add_psnr(struct comparison *c, double decibel)
{
	c->psnr += fmin(decibel, PSNR_MOST);
}

static int
ssim_read(struct work *w, struct comparison *c)
{
	int	 n;

	if (each_number(c, "ssim", " All:", add_score) == -1 ||
	    (n = each_number(c, "psnr", " psnr_avg:", add_psnr)) < 1)
		return -1;
	c->psnr /= n;
	strlcpy(w->tool, "ffmpeg", sizeof(w->tool));
	return 0;
}

static const struct metric vmaf = {
	"vmaf", "VMAF", 1, vmaf_add, vmaf_read, 80, 60, 50, 25
};
static const struct metric ssim = {
	"ssim", "SSIM", 3, ssim_add, ssim_read, 0.95, 0.90, 0.85, 0.70
};

/* ---- one comparison ----------------------------------------------------- */

/* A pipe for raw pictures, from the standard output of FROM to TO. */
static void
connect_them(struct ffmpeg *from, struct ffmpeg *to)
{
	int	 fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	ffmpeg_output(from, fds[1]);
	ffmpeg_pipe(to, fds[0]);
}

/* The end of a command that decodes: into raw pictures of the common size. */
static void
add_pictures(struct ffmpeg *f, const char *graph, const struct work *w)
{
	const struct rendition	*largest = &w->media.renditions[0];

	ffmpeg_add(f, "-filter_complex", NULL);
	ffmpeg_addf(f, "%sselect='lt(mod(n,%u),%u)',"
	    "scale=%u:%u:flags=bicubic,format=yuv420p[v]", graph,
	    w->blocks * BLOCK, BLOCK, largest->width, largest->height);
	ffmpeg_add(f, "-map", "[v]", "-vsync", "passthrough", "-f", "rawvideo",
	    "-", NULL);
}

static struct ffmpeg *
decode_source(const struct work *w)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");
	char		*common = media_filter(&w->media), *graph;

	xasprintf(&graph, "[0:%u]%s,", w->media.video, common);
	source_open(f, &w->media);
	add_pictures(f, graph, w);
	source_clock(f, &w->media, w->media.audio, 0);
	free(common);
	free(graph);
	return f;
}

static struct ffmpeg *
decode_made(const struct work *w, const struct rendition *r)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");

	ffmpeg_add(f, "-i", media_file(r), NULL);
	add_pictures(f, "[0:v]", w);
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

	c->made = decode_made(w, c->r);
	c->source = decode_source(w);
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
	connect_them(c->made, c->meter);
	connect_them(c->source, c->meter);
	start(c->meter, c);
	start(c->made, c);
	start(c->source, c);
	c->started = true;
}

static int
by_size(const void *a, const void *b)
{
	double	 x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static enum verdict
judge(const struct work *w, const struct comparison *c)
{
	const struct metric	*k = w->metric;
	bool			 largest = c->r == &w->media.renditions[0];

	if (c->mean >= (largest ? k->pass : k->less_pass))
		return PASS;
	return c->mean >= (largest ? k->warn : k->less_warn) ? WARN : FAIL;
}

/* All three have ended: 0, or -1 when there is no result. */
static int
finish(struct work *w, struct comparison *c)
{
	size_t	 i;

	c->ended = true;
	if (!ffmpeg_ok(c->meter) || w->metric->read(w, c) == -1 || c->n == 0)
		return -1;
	qsort(c->scores, c->n, sizeof(*c->scores), by_size);
	for (i = 0; i < c->n; i++)
		c->mean += c->scores[i] / c->n;
	c->min = c->scores[0];
	c->p5 = c->scores[c->n / 20];
	c->verdict = judge(w, c);
	return 0;
}

/*
 * Who is to blame when there is no result.  When a decoder breaks the meter
 * complains as well, and when the meter breaks both decoders say "Broken
 * pipe"; so it is a decoder that says something else, or the meter.
 */
static const struct ffmpeg *
culprit(const struct comparison *c)
{
	const char	*epipe = strerror(EPIPE);

	if (!ffmpeg_ok(c->source) && strstr(c->source->reason, epipe) == NULL)
		return c->source;
	if (!ffmpeg_ok(c->made) && strstr(c->made->reason, epipe) == NULL)
		return c->made;
	return c->meter;
}

static void
forget(struct comparison *c)
{
	ffmpeg_free(c->made);
	ffmpeg_free(c->source);
	ffmpeg_free(c->meter);
	free(c->scores);
	*c = (struct comparison){ .r = c->r };
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
	double	 all = w->frames * w->media.n, done = 0;
	size_t	 i;

	for (i = 0; i < w->media.n; i++)
		if (w->all[i].ended)
			done += w->frames;
		else if (w->all[i].started)
			done += fmin(w->all[i].meter->progress.frames,
			    w->frames);
	if (done <= w->said)
		return;
	w->said = done;
	stage_progress(w->base + (99 - w->base) * done / all, NULL);
	stage_step("Measuring %s: %.0f of %.0f pictures", w->metric->title,
	    done, all);
}

/* Compare all renditions.  NULL, or the first that could not be. */
static struct comparison *
compare(struct work *w)
{
	struct comparison	*c, *broken = NULL;
	struct ffmpeg		*f;
	size_t			 begun = 0, running = 0, most = at_a_time();

	for (;;) {
		while (running < most && begun < w->media.n &&
		    broken == NULL) {
			begin(w, &w->all[begun++]);
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
		if (finish(w, c) == -1 && broken == NULL)
			broken = c;
	}
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
	size_t			 i, ended = 0;

	warn(w, ffmpeg_ok(f) ? "the meter's log cannot be read" :
	    ffmpeg_why(f));
	for (i = 0; i < w->media.n; i++) {
		ended += w->all[i].ended;
		forget(&w->all[i]);
	}
	w->base = JOINED + 64.0 * ended / w->media.n;
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
rendition_json(const struct work *w, const struct comparison *c)
{
	struct json_object	*o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(c->r->name));
	json_object_object_add(o, "mean", score(w, c->mean));
	json_object_object_add(o, "p5", score(w, c->p5));
	json_object_object_add(o, "min", score(w, c->min));
	if (c->psnr > 0)
		json_object_object_add(o, "psnr", stage_number(c->psnr, 2));
	json_object_object_add(o, "compared", json_object_new_int64(c->n));
	json_object_object_add(o, "verdict",
	    json_object_new_string(verdicts[c->verdict]));
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
		json_object_array_add(list, rendition_json(w, &w->all[i]));
		if (w->all[i].verdict > worst)
			worst = w->all[i].verdict;
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
		    w->all[i].mean, w->all[i].r->name);
	stage_progress(100, "%s %s", w->metric->title, text);
}

static void
prepare(struct work *w)
{
	size_t	 i;

	media_load(&w->media);
	for (i = 0; i < w->media.n; i++)
		w->all[i].r = &w->media.renditions[i];
	w->frames = media_frames(&w->media);
	w->every = w->frames < FEW ? 1 : EVERY;
	w->blocks = ceil(w->frames / MANY);
	w->frames /= w->blocks;
	if (mkdir(DIR, 0750) == -1 && errno != EEXIST)
		stage_failed_write(DIR);
}

int
main(int argc, char *argv[])
{
	struct work		 w = { .metric = NULL };
	struct comparison	*broken;
	struct json_object	*o;

	stage_init("quality");
	prepare(&w);
	join_segments(&w.media);
	w.base = JOINED;
	choose_meter(&w, argc > 0 ? dirname(argv[0]) : ".");
	stage_progress(JOINED, "Measuring the quality (%s)", w.metric->title);
	if ((broken = compare(&w)) != NULL && w.metric == &vmaf) {
		fall_back(&w, broken);
		broken = compare(&w);
	}
	if (broken != NULL) {
		ffmpeg_check(culprit(broken), "Measuring the quality");
		fatalx("%s: the meter left no numbers", broken->r->name);
	}

	o = report(&w);
	stage_save(REPORT, json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	stage_detail("quality", o);
	say_scores(&w);
	return 0;
}
