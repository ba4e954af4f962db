/*
 * Last stage of any pipeline: put the results where they stay.
 *
 * The daemon has written down what the stages called a result, in the file
 * "results" of the work directory.  All of it is gathered in a directory
 * beside MILLRACE_STORE, hashed, brought to the disk, and then appears under
 * that name by one rename(2): so it is there as a whole or not at all.
 *
 * Whoever said where a result lies may have been misled by its input.  So a
 * path is only followed downwards from the work directory, through no
 * symbolic link, to a regular file.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sodium.h>

#include "log.h"
#include "stage.h"

#define RESULTS		"results"

#define BUFFER		(1024 * 1024)

/* One result. */
struct item {
	char		*name, *path, *type;	/* type: or "" */
	uint64_t	 size;
	char		 sha256[2 * crypto_hash_sha256_BYTES + 1];
};

struct work {
	int		 dir;		/* the work directory */
	struct item	**items;	/* in the order they were said; */
	size_t		 n;		/* n of them */
	void		*names;		/* the same, as a tree */
	uint64_t	 total, done;	/* bytes */
	double		 said;		/* percent */
	mode_t		 mode;		/* of a file, by the umask */
};

static char	 buffer[BUFFER];

/* ---- what there is to store --------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name,
	    ((const struct item *)b)->name);
}

/*
 * NAME tab PATH tab TYPE.  A stage that ran twice may have said the same
 * twice; two files of one name are a mistake.
 */
static void
read_item(struct work *w, char *line)
{
	struct item	*item, *other;
	char		*name, *path, *type;

	name = strsep(&line, "\t");
	path = strsep(&line, "\t");
	type = strsep(&line, "\t");
	if (type == NULL || *name == '\0' || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		fatalx("%s: \"%s\": not a name, a path and a type", RESULTS,
		    name);
	item = xcalloc(1, sizeof(*item));
	item->name = xstrdup(name);
	item->path = xstrdup(path);
	item->type = xstrdup(type);

	other = *(struct item **)tsearch(item, &w->names, by_name);
	if (other == item) {
		w->items = xreallocarray(w->items, w->n + 1,
		    sizeof(*w->items));
		w->items[w->n++] = item;
	} else if (strcmp(other->path, path) != 0)
		fatalx("result %s: is both %s and %s", name, other->path,
		    path);
}

static void
read_results(struct work *w)
{
	char	*line = NULL;
	size_t	 size = 0;
	FILE	*in;

	if ((in = fopen(RESULTS, "re")) == NULL) {
		if (errno == ENOENT)
			return;
		fatal(RESULTS);
	}
	while (getline(&line, &size, in) != -1) {
		line[strcspn(line, "\n")] = '\0';
		read_item(w, line);
	}
	if (ferror(in))
		fatal(RESULTS);
	free(line);
	fclose(in);
}

/* Open PATH below DIR, wherever its parts try to lead. */
static int
open_below(int dir, const char *path, int flags)
{
	struct open_how	 how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
	};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int
open_result(const struct work *w, const struct item *item, struct stat *st)
{
	int	 fd;

	/* Without blocking, if somebody made a fifo of it. */
	fd = open_below(w->dir, item->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd == -1 && errno == ELOOP)
		fatalx("result %s: %s: a symbolic link is not followed",
		    item->name, item->path);
	if (fd == -1 && errno == EXDEV)
		fatalx("result %s: %s: leads out of the work directory",
		    item->name, item->path);
	if (fd == -1)
		fatal("result %s: %s", item->name, item->path);
	if (fstat(fd, st) == -1)
		fatal("result %s: %s", item->name, item->path);
	if (!S_ISREG(st->st_mode))
		fatalx("result %s: %s: is not a file", item->name, item->path);
	return fd;
}

/* All of them are looked at before the first is stored. */
static void
weigh(struct work *w)
{
	struct stat	 st;
	size_t		 i;

	for (i = 0; i < w->n; i++) {
		close(open_result(w, w->items[i], &st));
		w->items[i]->size = st.st_size;
		w->total += st.st_size;
	}
}

/* ---- one file ----------------------------------------------------------- */

/* "7.3 MB".  One of two static buffers. */
static const char *
size_text(uint64_t bytes)
{
	static const char	*const units[] = { "bytes", "kB", "MB", "GB",
	    "TB" };
	static char		 texts[2][32];
	static size_t		 n;
	char			*text = texts[n++ % 2];
	double			 size = bytes;
	size_t			 i;

	for (i = 0; size >= 999.5 && i < 4; i++)
		size /= 1000;
	snprintf(text, sizeof(texts[0]), "%.*f %s",
	    i > 0 && size < 99.5 ? 1 : 0, size, units[i]);
	return text;
}

static void
say_progress(struct work *w, size_t n)
{
	double	 percent;

	w->done += n;
	percent = 99.0 * w->done / w->total;
	if (percent < w->said + 1)
		return;
	w->said = percent;
	stage_progress(percent, NULL);
	stage_step("Storing: %s of %s", size_text(w->done),
	    size_text(w->total));
}

/* Hash FROM to its end, and copy it to TO unless that is -1. */
static void
digest(struct work *w, struct item *item, int from, int to)
{
	crypto_hash_sha256_state	 state;
	unsigned char			 hash[crypto_hash_sha256_BYTES];
	ssize_t				 n;

	item->size = 0;
	crypto_hash_sha256_init(&state);
	while ((n = read(from, buffer, sizeof(buffer))) > 0) {
		crypto_hash_sha256_update(&state, (unsigned char *)buffer, n);
		if (to != -1)
			stage_write(to, item->name, buffer, n);
		item->size += n;
		say_progress(w, n);
	}
	if (n == -1)
		fatal("result %s: %s", item->name, item->path);
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2hex(item->sha256, sizeof(item->sha256), hash, sizeof(hash));
}

/*
 * Give the file FD, at ITEM's path, its second name in STORE: no byte has to
 * be written again.  Not when it has a second name already, as the input has:
 * what others can reach might change.
 */
static bool
link_result(const struct work *w, const struct item *item, int fd, int store)
{
	char		*path = xstrdup(item->path);
	char		*copy = xstrdup(item->path);
	struct stat	 st, linked;
	int		 parent;
	bool		 same = false;

	if ((parent = open_below(w->dir, dirname(path), O_PATH |
	    O_DIRECTORY)) != -1 && fstat(fd, &st) == 0 && st.st_nlink == 1 &&
	    linkat(parent, basename(copy), store, item->name, 0) == 0) {
		same = fstatat(store, item->name, &linked,
		    AT_SYMLINK_NOFOLLOW) == 0 && linked.st_ino == st.st_ino &&
		    linked.st_dev == st.st_dev && fchmod(fd, w->mode) == 0;
		if (!same)
			unlinkat(store, item->name, 0);
	}
	if (parent != -1)
		close(parent);
	free(path);
	free(copy);
	return same;
}

static void
put(struct work *w, struct item *item, int store)
{
	struct stat	 st;
	int		 from = open_result(w, item, &st), to = -1;

	if (!link_result(w, item, from, store) &&
	    (to = openat(store, item->name, O_WRONLY | O_CREAT | O_EXCL |
	    O_CLOEXEC, 0666)) == -1)
		stage_failed_write(item->name);
	digest(w, item, from, to);
	if (fsync(to != -1 ? to : from) == -1)
		stage_failed_write(item->name);
	if (to != -1)
		close(to);
	close(from);
}

/* ---- the directory ------------------------------------------------------ */

/* Remove the directory PATH, in which there are only files. */
static void
remove_dir(const char *path)
{
	struct dirent	*e;
	DIR		*dir;

	if ((dir = opendir(path)) == NULL) {
		if (errno == ENOENT)
			return;
		fatal("%s", path);
	}
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 &&
		    unlinkat(dirfd(dir), e->d_name, 0) == -1)
			fatal("%s/%s", path, e->d_name);
	closedir(dir);
	if (rmdir(path) == -1)
		fatal("%s", path);
}

/*
 * Whether an earlier run of this stage got as far as the rename.  What is
 * there was whole then; it is hashed again, for the daemon may not have heard.
 */
static bool
is_stored(struct work *w, const char *store)
{
	struct stat	 st;
	size_t		 i;
	int		 dir, fd;

	if ((dir = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		return false;
	for (i = 0; i < w->n; i++) {
		fd = open_below(dir, w->items[i]->name, O_RDONLY);
		if (fd == -1 || fstat(fd, &st) == -1 ||
		    (uint64_t)st.st_size != w->items[i]->size)
			break;
		digest(w, w->items[i], fd, -1);
		close(fd);
	}
	close(dir);
	return i == w->n;
}

static void
store_all(struct work *w, const char *store)
{
	char	*part, *parent;
	size_t	 i;
	int	 dir;

	xasprintf(&part, "%s.part", store);
	remove_dir(part);
	remove_dir(store);
	if (mkdir(part, 0777) == -1)
		stage_failed_write(part);
	if ((dir = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		fatal("%s", part);
	w->done = 0;
	for (i = 0; i < w->n; i++)
		put(w, w->items[i], dir);
	if (fsync(dir) == -1 || rename(part, store) == -1)
		stage_failed_write(store);
	close(dir);
	parent = xstrdup(store);
	stage_sync(dirname(parent));
	free(parent);
	free(part);
}

int
main(void)
{
	struct work	 w = { .items = NULL };
	const char	*store;
	size_t		 i;

	stage_init("store");
	if (sodium_init() == -1)
		fatalx("libsodium does not start");
	store = stage_env("MILLRACE_STORE");
	w.mode = umask(022);
	umask(w.mode);
	w.mode = 0666 & ~w.mode;
	if ((w.dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		fatal("work directory");

	read_results(&w);
	if (w.n == 0) {
		stage_progress(100, "Nothing to store");
		return 0;
	}
	weigh(&w);
	if (!is_stored(&w, store))
		store_all(&w, store);
	for (i = 0; i < w.n; i++)
		stage_stored(w.items[i]->name, w.items[i]->size,
		    w.items[i]->sha256, *w.items[i]->type != '\0' ?
		    w.items[i]->type : NULL);
	stage_progress(100, "Stored %zu file%s, %s", w.n,
	    w.n == 1 ? "" : "s", size_text(w.total));
	return 0;
}
