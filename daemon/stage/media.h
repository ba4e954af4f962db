/*
 * What is known of the video that a job is about, and which renditions of it
 * are made.  Intake finds it out and writes it to probe.json in the work
 * directory; the stages after it read it there.
 */

#ifndef MILLRACE_MEDIA_H
#define MILLRACE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

/* Containers that may come in, by the names of ffmpeg's demuxers. */
#define MEDIA_DEMUXERS \
	"mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,dv"

/*
 * Limits: 8K television and little more.  A picture of 36 megapixels takes
 * 54 MB, and a decoder holds many.
 */
#define MEDIA_SIDE_LEAST	16		/* pixels */
#define MEDIA_SIDE_MOST		8192
#define MEDIA_PIXELS_MOST	36000000
#define MEDIA_SECONDS_MOST	(24 * 3600)
#define MEDIA_STREAMS_MOST	32

/* Where renditions lie, as NAME.mp4, and how many there are at most. */
#define MEDIA_DIR		"renditions"
#define MEDIA_RENDITIONS	8

struct rendition {
	char		name[16];	/* "720p", by the shorter side */
	unsigned int	width, height;	/* even; square pixels */
	unsigned int	kbit;		/* per second, at most */
};

struct media {
	char		 demuxer[16];	/* the only one that may open it */
	unsigned int	 video;		/* number of the stream */
	int		 audio;		/* the same; -1: has no sound */
	char		 video_codec[32];
	char		 audio_codec[32];	/* or "" */
	unsigned int	 width, height;	/* as displayed: turned upright, with
					   square pixels */
	unsigned int	 fps_num, fps_den;	/* of the renditions */
	bool		 interlaced;
	double		 seconds;	/* 0: the file does not say */
	bool		 copied;	/* parts are read from source.h's copy */
	unsigned int	 sound_parts;	/* as of sound.h; 0 is as good as 1 */
	unsigned long	 sound_frames;	/* in each of them */
	double		 start;		/* what its clock shows at the
					   beginning; not kept */
	struct rendition renditions[MEDIA_RENDITIONS];	/* largest first */
	size_t		 n;
};

/*
 * media_parse	Take JSON, what ffprobe says with -show_format -show_streams,
 *		and choose the streams.  NULL when it is a video within the
 *		limits; else why it is not, in a static buffer.
 * media_ladder	Choose the renditions: none larger than the source, none
 *		higher (by the shorter side) than HIGHEST, the first as close
 *		to both as even sizes allow.
 * media_slack	By how many seconds a whole video may be shorter than it says.
 * media_frames	How many pictures a rendition has.
 */
const char	*media_parse(const char *json, struct media *);
void		 media_ladder(struct media *, unsigned int highest);
double		 media_slack(const struct media *);
double		 media_frames(const struct media *);

/*
 * media_filter	The filters that bring the input into the form which all
 *		renditions share, before it is scaled: the first picture is
 *		shown at 0.  The same chain makes the reference that they are
 *		compared with.  To be freed.
 * media_filter_within
 *		The same where decoding begins within the video: a picture
 *		keeps its time.
 * media_file	"renditions/720p.mp4".  One static buffer.
 */
char		*media_filter(const struct media *);
char		*media_filter_within(const struct media *);
const char	*media_file(const struct rendition *);

/*
 * media_save	Write probe.json.
 * media_load	Read it; fatal when that cannot be done.
 */
void		 media_save(const struct media *);
void		 media_load(struct media *);

#endif
