/*
 * Directories that appear as a whole.
 */

#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ffmpeg.h"
#include "log.h"
#include "spans.h"
#include "stage.h"

#define NOTE	"note.json"

/* What SEGMENT_DIR is called while it is removed. */
#define GONE	SEGMENT_DIR ".gone"

const char *
segment_name(const struct span *s)
{
	static char	 name[64];

	snprintf(name, sizeof(name), "%lu-%lu", s->first, s->end);
	return name;
}

char *
segment_path(const char *name, const char *file)
{
	char	*path;

	xasprintf(&path, SEGMENT_DIR "/%s/%s", name, file);
	return path;
}

void
segment_format(struct ffmpeg *f, const char *mode)
{
	ffmpeg_add(f, "-map_metadata", "-1", "-map_chapters", "-1", "-fflags",
	    "+bitexact", "-f", "mp4", "-movflags", NULL);
	ffmpeg_addf(f, "+empty_moov+%s+default_base_moof+frag_discont"
	    "+skip_trailer", mode);
	/* Without an index to hold them, no time may be negative. */
	ffmpeg_add(f, "-use_editlist", "0", "-avoid_negative_ts", "disabled",
	    "-output_ts_offset", NULL);
	ffmpeg_addf(f, "%u", SEGMENT_LEAD_S);
}

/* Other items, on other hosts, do the same at the same time. */
char *
segment_begin(void)
{
	char	*dir;

	xasprintf(&dir, SEGMENT_DIR "/.part-%08x%08x", arc4random(),
	    arc4random());
	if (mkdir(SEGMENT_DIR, 0750) == -1 && errno != EEXIST)
		stage_failed_write(SEGMENT_DIR);
	if (mkdir(dir, 0750) == -1)
		stage_failed_write(dir);
	return dir;
}

static void
write_note(const char *dir, const struct segment *s)
{
	struct json_object	*o = json_object_new_object();
	char			*path;

	json_object_object_add(o, "frames", json_object_new_int64(s->frames));
	json_object_object_add(o, "seconds", stage_number(s->seconds, 3));
	json_object_object_add(o, "errors", json_object_new_int64(s->errors));
	xasprintf(&path, "%s/" NOTE, dir);
	stage_save(path, json_object_to_json_string(o));
	json_object_put(o);
	free(path);
}

/* Hand the path of each file in DIR to FN. */
static void
each_file(const char *dir, void (*fn)(const char *))
{
	struct dirent	*e;
	char		*path;
	DIR		*d;

	if ((d = opendir(dir)) == NULL)
		fatal("%s", dir);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		xasprintf(&path, "%s/%s", dir, e->d_name);
		fn(path);
		free(path);
	}
	closedir(d);
}

static void
remove_file(const char *path)
{
	if (unlink(path) == -1)
		log_warn("%s", path);
}

void
segment_keep(const char *dir, const char *name, const struct segment *s)
{
	char	*path;

	xasprintf(&path, SEGMENT_DIR "/%s", name);
	write_note(dir, s);
	each_file(dir, stage_sync);
	stage_sync(dir);
	if (rename(dir, path) == -1) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			stage_failed_write(path);
		/* Done by somebody else by now, as well as this. */
		each_file(dir, remove_file);
		rmdir(dir);
	}
	stage_sync(SEGMENT_DIR);
	stage_sync(".");
	free(path);
}

int
segment_load(const char *name, struct segment *s)
{
	char			*path = segment_path(name, NOTE);
	struct json_object	*o, *value;

	*s = (struct segment){ 0 };
	o = json_object_from_file(path);
	if (o == NULL && access(path, F_OK) == 0)
		fatalx("%s: %s", path, json_util_get_last_err());
	free(path);
	if (o == NULL)
		return -1;
	if (json_object_object_get_ex(o, "frames", &value))
		s->frames = json_object_get_int64(value);
	if (json_object_object_get_ex(o, "seconds", &value))
		s->seconds = json_object_get_double(value);
	if (json_object_object_get_ex(o, "errors", &value))
		s->errors = json_object_get_int64(value);
	json_object_put(o);
	return 0;
}

/* For nftw(3), which comes to a directory behind all that is in it. */
static int
remove_any(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path) == -1)
		log_warn("%s", path);
	return 0;
}

static void
remove_gone(void)
{
	if (nftw(GONE, remove_any, 8, FTW_DEPTH | FTW_PHYS) == -1 &&
	    errno != ENOENT)
		log_warn("%s", GONE);
}

void
segment_forget(void)
{
	remove_gone();
	if (rename(SEGMENT_DIR, GONE) == -1) {
		if (errno != ENOENT)
			log_warn("%s", SEGMENT_DIR);
		return;
	}
	stage_sync(".");
	remove_gone();
}
