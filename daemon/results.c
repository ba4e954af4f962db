/*
 * What a job leaves behind.
 *
 * The two lists lie in the directory of the job, where its stages could write
 * to them: what is read is bounded and checked as if a stage had said it, and
 * concerns nobody but this job.
 */

#include "results.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "log.h"

/* Longest list that is read, bytes: with sizes, hashes and all between them. */
#define LIST_MAX	(RESULTS_BYTES + 100 * RESULTS_MOST)

/* ---- the list ------------------------------------------------------------ */

static struct result *
find(const struct results *r, const char *name)
{
	size_t	 i;

	for (i = 0; i < r->n; i++) {
		if (strcmp(r->list[i].name, name) == 0)
			return &r->list[i];
	}
	return NULL;
}

static void
set(struct results *r, char **text, const char *value)
{
	char	*copy = xstrdup(value);

	r->bytes += strlen(copy) - (*text == NULL ? 0 : strlen(*text));
	free(*text);
	*text = copy;
}

void
results_store(uint64_t token, char name[RESULTS_STORE])
{
	snprintf(name, RESULTS_STORE, "store-%llu", (unsigned long long)token);
}

struct result *
results_add(struct results *r, const char *name, const char *path,
    const char *type)
{
	struct result	*one = find(r, name);

	if (one == NULL) {
		r->list = xreallocarray(r->list, r->n + 1, sizeof(*r->list));
		one = &r->list[r->n++];
		memset(one, 0, sizeof(*one));
		set(r, &one->name, name);
	}
	set(r, &one->path, path);
	set(r, &one->type, type);
	one->stored = false;
	return one;
}

bool
results_fit(const struct results *r, const struct results *more)
{
	return r->n + more->n <= RESULTS_MOST &&
	    r->bytes + more->bytes <= RESULTS_BYTES;
}

int
results_stored(struct results *r, const char *name, uint64_t size,
    const char *sha256, const char *type)
{
	struct result	*one = find(r, name);

	if (one == NULL)
		return -1;
	one->stored = true;
	one->size = size;
	strlcpy(one->sha256, sha256, sizeof(one->sha256));
	if (*type != '\0')
		set(r, &one->type, type);
	return 0;
}

const struct result *
results_owed(const struct results *r)
{
	size_t	 i;

	for (i = 0; i < r->n; i++) {
		if (!r->list[i].stored)
			return &r->list[i];
	}
	return NULL;
}

static void
drop(struct results *r, struct result *one)
{
	r->bytes -= strlen(one->name) + strlen(one->path) + strlen(one->type);
	free(one->name);
	free(one->path);
	free(one->type);
}

void
results_keep(struct results *r, const bool *done, size_t n)
{
	size_t	 i, kept = 0;

	for (i = 0; i < r->n; i++) {
		if (r->list[i].stage < n && done[r->list[i].stage])
			r->list[kept++] = r->list[i];
		else
			drop(r, &r->list[i]);
	}
	r->n = kept;
}

void
results_clear(struct results *r)
{
	size_t	 i;

	for (i = 0; i < r->n; i++)
		drop(r, &r->list[i]);
	free(r->list);
	memset(r, 0, sizeof(*r));
}

struct artifact *
results_artifacts(const struct results *r, const struct uuid *job)
{
	struct artifact	*list = xcalloc(r->n + 1, sizeof(*list));
	char		 dir[FILE_PATH];
	size_t		 i;

	file_results_path(job, r->token, dir);
	for (i = 0; i < r->n; i++) {
		strlcpy(list[i].name, r->list[i].name, sizeof(list[i].name));
		snprintf(list[i].path, sizeof(list[i].path), "%.200s/%s", dir,
		    list[i].name);
		strlcpy(list[i].type, r->list[i].type, sizeof(list[i].type));
		list[i].size = r->list[i].size;
		strlcpy(list[i].sha256, r->list[i].sha256,
		    sizeof(list[i].sha256));
	}
	return list;
}

/* ---- the files of the list ----------------------------------------------- */

/* What a list is called until it is whole, and has the name of its place. */
#define PART	".list-"

/*
 * Write one that then replaces NAME; nobody finds half of it.  0 or -1.
 *
 * The daemon may be stopped at any point, and go on when the job is another's.
 * If that is before it asks whether it is trusted, it gives up; if after, the
 * part was there in time for the next owner to have removed it.
 */
static int
save(const struct results *r, int dir, const char *name,
    void (*write_it)(FILE *, const struct results *))
{
	char	 part[32];
	FILE	*f;
	int	 fd, rc;

	snprintf(part, sizeof(part), PART "%08x%08x", arc4random(),
	    arc4random());
	if ((fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600)) == -1)
		return -1;
	if ((f = fdopen(fd, "w")) == NULL) {
		close(fd);
		return -1;
	}
	write_it(f, r);
	rc = fflush(f) == 0 && fdatasync(fd) == 0 ? 0 : -1;
	if (fclose(f) != 0 || rc == -1 ||
	    (r->trusted != NULL && !r->trusted()) ||
	    renameat(dir, part, dir, name) == -1) {
		unlinkat(dir, part, 0);
		return -1;
	}
	return 0;
}

/* Lists that earlier attempts began to write. */
static void
forget_parts(int dir)
{
	int		 fd = openat(dir, ".", O_RDONLY | O_DIRECTORY |
			    O_CLOEXEC);
	DIR		*d;
	struct dirent	*e;

	if (fd == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, PART, strlen(PART)) == 0)
			unlinkat(dir, e->d_name, 0);
	}
	closedir(d);
}

static void
write_named(FILE *f, const struct results *r)
{
	size_t	 i;

	for (i = 0; i < r->n; i++)
		fprintf(f, "%s\t%s\t%s\n", r->list[i].name, r->list[i].path,
		    r->list[i].type);
}

static void
write_stored(FILE *f, const struct results *r)
{
	size_t	 i;

	fprintf(f, "%llu %llu\n", (unsigned long long)r->token,
	    (unsigned long long)r->before);
	for (i = 0; i < r->n; i++) {
		fprintf(f, "%s\t%u", r->list[i].name, r->list[i].stage);
		if (r->list[i].stored)
			fprintf(f, "\t%llu\t%s",
			    (unsigned long long)r->list[i].size,
			    r->list[i].sha256);
		fputc('\n', f);
	}
}

int
results_save(const struct results *r, int dir)
{
	if (r->n == 0)
		return 0;
	return save(r, dir, "results", write_named) == 0 &&
	    save(r, dir, "stored", write_stored) == 0 ? 0 : -1;
}

/* A text file of DIR, or NULL; to be freed. */
static char *
read_text(int dir, const char *name)
{
	struct stat	 st;
	char		*text = NULL;
	ssize_t		 n;
	int		 fd;

	if ((fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC)) == -1)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size < LIST_MAX) {
		text = xmalloc((size_t)st.st_size + 1);
		n = read(fd, text, (size_t)st.st_size);
		text[n < 0 ? 0 : n] = '\0';
	}
	close(fd);
	return text;
}

static bool
is_name(const char *s)
{
	size_t	 len = strlen(s);

	return len > 0 && len < sizeof(((struct artifact *)0)->name) &&
	    strchr(s, '/') == NULL && strcmp(s, ".") != 0 &&
	    strcmp(s, "..") != 0;
}

static void
load_named(struct results *r, char *line)
{
	char	*name = strsep(&line, "\t"), *path = strsep(&line, "\t");

	if (line != NULL && path != NULL && is_name(name))
		results_add(r, name, path, line);
}

static void
load_stored(struct results *r, char *line)
{
	char		*name = strsep(&line, "\t");
	char		*stage = strsep(&line, "\t");
	char		*size = strsep(&line, "\t");
	struct result	*one = find(r, name);

	if (stage == NULL) {
		r->token = strtoull(name, &name, 10);
		r->before = strtoull(name, NULL, 10);
		return;
	}
	if (one == NULL)
		return;
	one->stage = (unsigned int)strtoul(stage, NULL, 10);
	if (line != NULL && strlen(line) == 64)
		results_stored(r, name, strtoull(size, NULL, 10), line, "");
}

void
results_load(struct results *r, int dir)
{
	static const struct {
		const char	*name;
		void		(*load)(struct results *, char *);
	} files[] = {
		{ "results", load_named },
		{ "stored",  load_stored },
	};
	char	*text, *rest, *line;
	size_t	 i;

	forget_parts(dir);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		rest = text = read_text(dir, files[i].name);
		while ((line = strsep(&rest, "\n")) != NULL) {
			if (*line != '\0')
				files[i].load(r, line);
		}
		free(text);
	}
}

void
results_forget(int dir)
{
	forget_parts(dir);
	unlinkat(dir, "results", 0);
	unlinkat(dir, "stored", 0);
}

/* ---- publishing ---------------------------------------------------------- */

/*
 * Whether each stored result is a file of its size in STORE, and no link; and
 * has a hash: it lost that if it is another one (verify.h).
 */
static int
look(const struct results *r, int store, char why[256])
{
	struct open_how	 how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
	};
	struct stat	 st;
	size_t		 i;
	int		 fd, rc;

	for (i = 0; i < r->n; i++) {
		if (!r->list[i].stored)
			continue;
		fd = (int)syscall(SYS_openat2, store, r->list[i].name, &how,
		    sizeof(how));
		rc = fd == -1 ? -1 : fstat(fd, &st);
		if (fd != -1)
			close(fd);
		if (rc == -1 || !S_ISREG(st.st_mode) ||
		    r->list[i].sha256[0] == '\0' ||
		    (uint64_t)st.st_size != r->list[i].size) {
			snprintf(why, 256, "Result %.100s was not stored as "
			    "it was said to be", r->list[i].name);
			return -1;
		}
	}
	return 0;
}

/* Bring FROM below the directory fd DIR to TO, durably.  0 or -1. */
static int
move(int dir, const char *from, const char *to)
{
	char	*parent, *end;
	int	 fd, rc;

	/*
	 * A run of the same attempt that was let go may have been here: what
	 * it left then goes with the directory of the job.
	 */
	if (renameat(dir, from, AT_FDCWD, to) == -1 && (errno != ENOTEMPTY ||
	    renameat2(dir, from, AT_FDCWD, to, RENAME_EXCHANGE) == -1))
		return -1;
	parent = xstrdup(to);
	if ((end = strrchr(parent, '/')) != NULL)
		*end = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	rc = fd == -1 ? -1 : fsync(fd);
	if (fd != -1)
		close(fd);
	return rc;
}

/* The place of TOKEN; to be freed. */
static char *
place(const char *root, const struct uuid *job, uint64_t token)
{
	char	 path[FILE_PATH], *whole;

	file_results_path(job, token, path);
	xasprintf(&whole, "%s/%s", root, path);
	return whole;
}

/*
 * Bring what an earlier attempt published to TO, the place of TOKEN, once that
 * is noted.  That attempt may itself be moving it, from the one place to the
 * other: once, so it is found at the third look.  0 or -1.
 */
static int
move_published(struct results *r, int dir, const char *root,
    const struct uuid *job, uint64_t token, const char *to)
{
	char	*at[2] = {
		place(root, job, r->token), place(root, job, r->before)
	};
	int	 i, first = r->before != 0 && access(at[0], F_OK) == -1, rc;

	if (first == 0)
		r->before = r->token;
	r->token = token;
	if ((rc = results_save(r, dir)) == 0) {
		rc = -1;
		for (i = first; rc == -1 && i < first + 3; i++)
			rc = move(dir, at[i % 2], to);
	}
	free(at[0]);
	free(at[1]);
	return rc;
}

/* What the attempt TOKEN has stored, or one before it has published, goes TO
   its place; it may be there already.  0 or -1. */
static int
bring(struct results *r, int dir, const char *root, const struct uuid *job,
    uint64_t token, const char *to)
{
	char	 store[RESULTS_STORE];

	results_store(token, store);
	if (faccessat(dir, store, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return move(dir, store, to);
	if (r->token == 0 || r->token == token)
		return 0;
	return move_published(r, dir, root, job, token, to);
}

int
results_publish(struct results *r, int dir, const char *root,
    const struct uuid *job, uint64_t token, char why[256])
{
	char	*to = place(root, job, token);
	int	 fd, rc = -1;

	if (bring(r, dir, root, job, token, to) == -1) {
		snprintf(why, 256, "Results cannot be published: %s",
		    strerror(errno));
		log_warn("%s", to);
	} else if ((fd = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1)
		snprintf(why, 256, "The store is empty");
	else {
		rc = look(r, fd, why);
		close(fd);
		r->token = token;
	}
	free(to);
	return rc;
}
