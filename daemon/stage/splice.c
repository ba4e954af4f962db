/*
 * In the file of a part each frame is a fragment: a box "moof", which tells
 * its time, and a box "mdat", which is the frame.  So frames can be looked at,
 * and any run of them be copied as it is.
 */

#include "splice.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ffmpeg.h"
#include "log.h"
#include "media.h"
#include "segment.h"
#include "sound.h"
#include "stage.h"

#define SILENCE_S	120

/* The frames of all parts, before they get an index. */
#define FRAMES		SEGMENT_DIR "/" SEGMENT_SOUND ".mp4"

/* The time of frame 0. */
#define ZERO		((uint64_t)SEGMENT_LEAD_S * SOUND_RATE - SOUND_FRAME)

/* Where a frame lies in the file: "moof" and "mdat". */
struct frame {
	size_t	 at, end;	/* all of it */
	size_t	 data;		/* the frame itself, up to END */
};

/* The file of a part. */
struct part {
	char			*path;
	const unsigned char	*map;
	size_t			 size;
	size_t			 header;	/* its length */
	unsigned long		 first;		/* the number of frames[0] */
	struct frame		*frames;
	unsigned int		 samples;	/* in the last */
	size_t			 n;
};

/* What was joined. */
struct joined {
	unsigned long	 frames;
	unsigned int	 samples;	/* in the last */
};

/* ---- boxes -------------------------------------------------------------- */

static uint32_t
number(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* The length of the box at AT, which ends before END; or 0. */
static size_t
box(const struct part *p, size_t at, size_t end)
{
	size_t	 size;

	if (end - at < 8)
		return 0;
	size = number(p->map + at);
	return size >= 8 && size <= end - at ? size : 0;
}

static bool
is_called(const struct part *p, size_t at, const char *name)
{
	return memcmp(p->map + at + 4, name, 4) == 0;
}

/* Where the box NAME lies between AT and END, or 0. */
static size_t
find(const struct part *p, size_t at, size_t end, const char *name)
{
	size_t	 size;

	for (; (size = box(p, at, end)) != 0; at += size)
		if (is_called(p, at, name))
			return at;
	return 0;
}

/* The number of the frame that the "moof" at AT is about; -1: it has none. */
static long
frame_number(struct part *p, size_t at, size_t end)
{
	size_t		 traf, tfdt = 0, tfhd = 0;
	uint64_t	 time = 0;

	if ((traf = find(p, at + 8, end, "traf")) != 0) {
		end = traf + box(p, traf, end);
		tfdt = find(p, traf + 8, end, "tfdt");
		tfhd = find(p, traf + 8, end, "tfhd");
	}
	/* Length, name, flags of which this is one, track, and duration. */
	if (tfhd != 0 && box(p, tfhd, end) >= 20 &&
	    (number(p->map + tfhd + 8) & 0x3b) == 0x38)
		p->samples = number(p->map + tfhd + 16);
	/* Length, name, version 1 with its flags, and the time. */
	if (tfdt != 0 && box(p, tfdt, end) >= 20 && p->map[tfdt + 8] == 1)
		time = (uint64_t)number(p->map + tfdt + 12) << 32 |
		    number(p->map + tfdt + 16);
	if (time < ZERO || (time - ZERO) % SOUND_FRAME != 0)
		return -1;
	return (time - ZERO) / SOUND_FRAME;
}

/* Take note of the frame at AT.  Returns its end. */
static size_t
add_frame(struct part *p, size_t at)
{
	size_t		 moof = box(p, at, p->size), mdat = 0;
	long		 i;

	if (moof != 0 && is_called(p, at, "moof"))
		mdat = box(p, at + moof, p->size);
	if (mdat == 0 || !is_called(p, at + moof, "mdat"))
		fatalx("%s: ends within a frame", p->path);
	i = frame_number(p, at, at + moof);
	if (i != (long)(p->first + p->n))
		fatalx("%s: frame %lu is out of its place", p->path,
		    p->first + p->n);
	if (p->n % 1024 == 0)
		p->frames = xreallocarray(p->frames, p->n + 1024,
		    sizeof(*p->frames));
	p->frames[p->n++] = (struct frame){ .at = at,
		.data = at + moof + 8, .end = at + moof + mdat };
	return at + moof + mdat;
}

/* Where the frames begin; at the end, if there are none. */
static size_t
header_of(const struct part *p)
{
	size_t	 at, size;

	for (at = 0; at < p->size; at += size) {
		if ((size = box(p, at, p->size)) == 0)
			fatalx("%s: ends within its header", p->path);
		if (is_called(p, at, "moof"))
			break;
	}
	return at;
}

/* Part I, which may have no frames: where the sound is at its end before. */
static void
open_part(struct part *p, const struct media *m, unsigned int i)
{
	struct stat	 st;
	size_t		 at;
	int		 fd;

	*p = (struct part){ .path = segment_path(sound_name(m, i),
	    SEGMENT_SOUND ".mp4"), .first = sound_part(m, i).begin };
	if ((fd = open(p->path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1)
		fatal("%s", p->path);
	if (st.st_size == 0)
		fatalx("%s: is empty", p->path);
	p->size = st.st_size;
	p->map = mmap(NULL, p->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p->map == MAP_FAILED)
		fatal("%s", p->path);
	close(fd);
	p->header = header_of(p);
	for (at = p->header; at < p->size; )
		at = add_frame(p, at);
}

static void
close_part(struct part *p)
{
	munmap((void *)p->map, p->size);
	free(p->frames);
	free(p->path);
}

/* The frame behind its last. */
static unsigned long
end_of(const struct part *p)
{
	return p->first + p->n;
}

/* ---- to join ------------------------------------------------------------ */

/*
 * The frame is an element: 3 bits that tell its kind, of which 1 is a pair of
 * channels, 4 bits for its number, and one that is set when a window for both
 * follows: a bit that is reserved, two for its sequence, and one for its
 * shape.
 */
int
splice_window(const unsigned char *frame, size_t len)
{
	if (len < 2 || frame[0] >> 5 != 1 || (frame[0] & 1) == 0)
		return -1;
	return frame[1] >> 4 & 7;
}

static int
window(const struct part *p, unsigned long i)
{
	const struct frame	*f = &p->frames[i - p->first];

	return splice_window(p->map + f->data, f->end - f->data);
}

/*
 * The frame from which on B, as PLAN has it, goes on for A: the last that can
 * be, for which B has run longest.  0: there is none.
 */
static unsigned long
change(const struct part *a, const struct part *b,
    const struct sound_part *plan)
{
	unsigned long	 least = plan->begin, i;

	/* From the beginning of the sound on, both are as one. */
	least += plan->begin > 0 ? SOUND_SETTLED : 1;
	for (i = plan->first; i >= least && i > a->first; i--)
		if (i <= end_of(a) && i < end_of(b) && window(a, i - 1) != -1 &&
		    window(a, i - 1) == window(b, i - 1))
			return i;
	return 0;
}

/* Frames FROM to TO of P. */
static void
append_frames(int fd, const struct part *p, unsigned long from,
    unsigned long to)
{
	size_t	 at = p->frames[from - p->first].at;

	stage_write(fd, FRAMES, p->map + at,
	    p->frames[to - 1 - p->first].end - at);
}

static void
check_header(const struct part *first, const struct part *p)
{
	if (p->header != first->header ||
	    memcmp(p->map, first->map, p->header) != 0)
		fatalx("%s: was made by another version of ffmpeg than those "
		    "before it", p->path);
}

/*
 * Write the frames of all parts.  One that ends no later than the one before
 * has nothing to add: there the sound is at its end, and the one before has
 * all of it.
 */
static bool
write_frames(const struct media *m, int fd, struct joined *j)
{
	struct part		 a, b;
	struct sound_part	 plan;
	unsigned long		 from = 0, next;
	unsigned int		 i;
	bool			 ok;

	open_part(&a, m, 0);
	stage_write(fd, FRAMES, a.map, a.header);
	ok = a.n > 0;
	for (i = 1; ok && i < m->sound_parts; i++) {
		open_part(&b, m, i);
		if (b.n == 0 || end_of(&b) <= end_of(&a)) {
			close_part(&b);
			continue;
		}
		check_header(&a, &b);
		plan = sound_part(m, i);
		next = change(&a, &b, &plan);
		if ((ok = next > from)) {
			log_info("%s: joined at frame %lu", b.path, next);
			append_frames(fd, &a, from, next);
			from = next;
		}
		close_part(&a);
		a = b;
	}
	if (ok)
		append_frames(fd, &a, from, end_of(&a));
	else
		log_info("%s: cannot be joined", a.path);
	*j = (struct joined){ .frames = end_of(&a), .samples = a.samples };
	close_part(&a);
	return ok;
}

/* Make a usual file of FRAMES, in the directory DIR. */
static void
add_index(const char *dir, const struct joined *j)
{
	struct ffmpeg	*f = ffmpeg_new("ffmpeg");

	ffmpeg_add(f, "-copyts", "-itsoffset", NULL);
	ffmpeg_addf(f, "-%u", SEGMENT_LEAD_S);
	ffmpeg_add(f, "-f", "mov", "-i", FRAMES, "-c", "copy", "-bsf:a", NULL);
	/* ffmpeg takes the last frame in fragments for a full one. */
	ffmpeg_addf(f, "setts=duration=if(eq(N\\,%lu)\\,%u\\,%u)",
	    j->frames - 1, j->samples, SOUND_FRAME);
	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1", "-f",
	    "mp4", NULL);
	ffmpeg_addf(f, "%s/" SEGMENT_SOUND ".mp4", dir);
	f->silence_s = SILENCE_S;
	ffmpeg_run(f);
	ffmpeg_check_own(f, FRAMES);
	ffmpeg_free(f);
}

/* What is heard of it: all but the frame to begin with. */
static double
seconds(const struct joined *j)
{
	return ((j->frames - 2.0) * SOUND_FRAME + j->samples) / SOUND_RATE;
}

bool
splice_sound(const struct media *m)
{
	struct segment	 s;
	struct joined	 j;
	char		*dir;
	bool		 ok;
	int		 fd;

	fd = open(FRAMES, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd == -1)
		stage_failed_write(FRAMES);
	ok = write_frames(m, fd, &j);
	close(fd);
	if (ok) {
		/* Each decodes all before it; so the last saw all errors. */
		segment_load(sound_name(m, m->sound_parts - 1), &s);
		dir = segment_begin();
		s.seconds = seconds(&j);
		add_index(dir, &j);
		segment_keep(dir, SEGMENT_SOUND, &s);
		free(dir);
	}
	if (unlink(FRAMES) == -1)
		log_warn("%s", FRAMES);
	return ok;
}
