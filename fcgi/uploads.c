/*
 * Files that come in, and the jobs that are made of them.
 *
 * The order of things is the point of this file:
 *
 *	may it come at all?	   credentials (route.c), size, disk, guests
 *	receive it		   fields and file, in any order; each is
 *				   checked as soon as that can be done
 *	was it here before?	   Idempotency-Key
 *	put it on the disk	   data, then its name
 *	commit			   upload, job and key in one transaction
 *	answer 202
 */

#include "uploads.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <json-c/json.h>
#include <magic.h>
#include <sodium.h>

#include "conf.h"
#include "db.h"
#include "file.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "multipart.h"
#include "pipeline.h"
#include "put.h"
#include "reply.h"
#include "req.h"
#include "route.h"
#include "spool.h"
#include "uniq.h"
#include "utf8.h"
#include "uuid.h"

/* Bytes of a form besides its file: fields, headers, boundaries. */
#define FORM_EXTRA	(2 * 1024 * 1024)

/* The beginning of a file, by which its type is told, bytes. */
#define HEAD_MAX	4096

/* What a client should send at least, bytes a second. */
#define PACE		(8 * 1024)

/* How far it may be late or ahead by that; late while others wait: ms. */
#define PATIENCE_MS	(60 * 1000)
#define CROWDED_MS	(1 * 1000)

/* Pause before the pace is looked at again, ms. */
#define LOOK_MS		200

/* Longest Idempotency-Key, and longest word of a client for a job; bytes. */
#define KEY_MAX		200
#define CLIENT_KEY_MAX	255

/* When to come back: a guest with too many jobs, one who found no disk; s. */
#define GUEST_WAIT_S	60
#define DISK_WAIT_S	60

/* A way for files to come in: one for each dialect that has one. */
struct form {
	const char	*file;		/* the field that is the file */
	const char	*pipeline;	/* of all jobs; NULL: a field has it */
	const char	*key;		/* the field that is the client's word
					   for the job; NULL: there is none */
	const char	*jobs;		/* path of a job, without its id */
	void		(*tell)(struct json_object *, const struct job *);
};

/* An option that was given, not yet checked while JSON is NULL. */
struct given {
	struct given	*next;
	const char	*name, *value;
	struct json_object *json;
};

/* What a request has brought so far. */
struct incoming {
	struct req		*r;
	const struct form	*form;
	const struct pipeline	*pipeline;	/* NULL: not known yet */
	struct given		*given;		/* in the order they came */
	struct job		 job;		/* that will be made of it */

	struct upload		 upload;
	bool			 has_upload;
	struct spool		*spool;		/* NULL: no file yet */
	char			 head[HEAD_MAX];
	size_t			 head_len;

	/* Of the body: how it comes. */
	int64_t			 total;		/* bytes so far */
	int64_t			 late_ms;	/* below 0: it is ahead */

	/* Idempotency-Key; "" when there is none. */
	char			 once[UNIQ_KEY_MAX + 1];
	crypto_hash_sha256_state file_hash;
	unsigned char		 request[UNIQ_REQUEST];
	bool			 replayed;	/* it was here before */

	const char		*params;	/* JSON, of the job */
	bool			 committing;	/* its outcome may be unknown */
};

/* ---- types of files ------------------------------------------------------ */

static magic_t	magic;

void
uploads_open(void)
{
	if ((magic = magic_open(MAGIC_MIME_TYPE)) == NULL)
		fatal("libmagic");
	if (magic_load(magic, NULL) == -1)
		fatalx("libmagic: %s", magic_error(magic));
}

/* What libmagic has no name for: a byte that comes again and again. */
static const struct rhythm {
	const char	*type;
	size_t		 first, period;
	unsigned char	 byte;
} rhythms[] = {
	{ "video/mp2t", 0, 188, 0x47 },		/* ISO 13818-1: .ts */
	{ "video/mp2t", 4, 192, 0x47 },		/* with times before: .m2ts */
	{ NULL }
};

/* Times that it has to come. */
#define BEATS	4

static bool
has_rhythm(const struct rhythm *b, const char *p, size_t len)
{
	size_t	 i;

	for (i = 0; i < BEATS; i++)
		if (b->first + i * b->period >= len ||
		    (unsigned char)p[b->first + i * b->period] != b->byte)
			return false;
	return true;
}

static bool
is_text(const char *p, size_t len)
{
	size_t	 i;

	for (i = 0; i < len; i++)
		if ((unsigned char)p[i] < 0x20 && memchr("\t\n\f\r", p[i],
		    4) == NULL)
			return false;
	return utf8_valid(p, len);
}

static const char *
type_of(const char *p, size_t len)
{
	static const char	 unknown[] = "application/octet-stream";
	const struct rhythm	*b;
	const char		*type = magic_buffer(magic, p, len);

	if (type != NULL && strcmp(type, unknown) != 0)
		return type;
	for (b = rhythms; b->type != NULL; b++)
		if (has_rhythm(b, p, len))
			return b->type;
	/* A few bytes of it are too few for libmagic. */
	return is_text(p, len) ? "text/plain" : unknown;
}

/* Which text it is, libmagic guesses; whatever it is, it is plain text too. */
static bool
is_accepted(const struct pipeline *p, const char *type)
{
	return pipeline_accepts(p, type) || (strncmp(type, "text/", 5) == 0 &&
	    pipeline_accepts(p, "text/plain"));
}

/* ---- is it too much? ----------------------------------------------------- */

static uint64_t
size_limit(const struct incoming *in)
{
	uint64_t	 site = in->r->site->conf->max_size;

	if (in->pipeline != NULL && in->pipeline->max_size > 0 &&
	    in->pipeline->max_size < site)
		return in->pipeline->max_size;
	return site;
}

static int
too_large(struct incoming *in)
{
	return req_fail(in->r, 413, "%s: larger than %llu bytes, the most that "
	    "%s%s takes", in->form->file, (unsigned long long)size_limit(in),
	    in->pipeline != NULL ? "pipeline " : "this site",
	    in->pipeline != NULL ? in->pipeline->name : "");
}

/* What was announced, what came of the body, what came of the file. */
static int
check_size(struct incoming *in)
{
	uint64_t	 most = size_limit(in);

	if (in->upload.size > most ||
	    (in->r->length > 0 &&
	    (uint64_t)in->r->length > most + FORM_EXTRA) ||
	    (uint64_t)in->total > most + FORM_EXTRA)
		return too_large(in);
	return 0;
}

/* The status for an errno of the spool. */
static int
no_storage(struct incoming *in)
{
	in->r->retry_s = DISK_WAIT_S;
	if (errno == ENOSPC)
		return req_fail(in->r, 507, "%s: no room for it on the disk",
		    in->form->file);
	return req_fail(in->r, 503, "the storage is away");
}

static int
check_guest(struct incoming *in)
{
	const struct conf	*conf = in->r->site->conf;
	int			 n;

	if (in->r->caller.user.id != 0)
		return 0;
	if ((n = job_unfinished(in->r->site->db, in->r->address)) == -1)
		return route_db(in->r);
	if ((unsigned int)n < conf->anonymous_jobs)
		return 0;
	in->r->retry_s = GUEST_WAIT_S;
	return req_fail(in->r, 429, "%d jobs of %s are not finished; without "
	    "credentials there may be %u", n, in->r->address,
	    conf->anonymous_jobs);
}

/* ---- what it says -------------------------------------------------------- */

static bool
takes_file(const struct pipeline *p)
{
	return p->accept != NULL && p->accept[0] != NULL;
}

/* WORDS as "a, b, c", for people. */
static const char *
list_of(struct req *r, char *const *words)
{
	const char	*list = "";

	for (; *words != NULL; words++)
		list = req_printf(r, "%s%s%s", list, *list ? ", " : "", *words);
	return list;
}

static const char *
all_pipelines(struct req *r)
{
	const struct pipelines	*all = r->site->pipelines;
	const char		*list = "";
	size_t			 i;

	for (i = 0; i < all->n; i++)
		list = req_printf(r, "%s%s%s", list, i ? ", " : "",
		    all->list[i]->name);
	return list;
}

static int
take_pipeline(struct incoming *in, const char *name)
{
	if (in->pipeline != NULL)
		return req_fail(in->r, 400, "pipeline: given twice");
	in->pipeline = pipeline_find(in->r->site->pipelines, name);
	if (in->pipeline == NULL)
		return req_fail(in->r, 400, "pipeline: there is no \"%.64s\", "
		    "only %s", name, all_pipelines(in->r));
	return 0;
}

static int
take_key(struct incoming *in, const char *text)
{
	const char	*p;

	if (in->job.key[0] != '\0')
		return req_fail(in->r, 400, "%s: given twice", in->form->key);
	if (strlen(text) > CLIENT_KEY_MAX)
		return req_fail(in->r, 400, "%s: longer than %d bytes",
		    in->form->key, CLIENT_KEY_MAX);
	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return req_fail(in->r, 400, "%s: has a control "
			    "character", in->form->key);
	strlcpy(in->job.key, text, sizeof(in->job.key));
	return 0;
}

/* Keep an option until the pipeline is known. */
static int
take_option(struct incoming *in, const char *name, const char *value)
{
	struct given	*g, **last;

	for (last = &in->given; (g = *last) != NULL; last = &g->next)
		if (strcmp(g->name, name) == 0)
			return req_fail(in->r, 400, "%.64s: given twice", name);
	*last = g = req_alloc(in->r, sizeof(*g));
	g->next = NULL;
	g->name = req_printf(in->r, "%s", name);
	g->value = req_printf(in->r, "%s", value);
	g->json = NULL;
	return 0;
}

static int
take_field(struct incoming *in, const char *name, const char *value)
{
	const struct form	*form = in->form;

	if (strcmp(name, form->file) == 0)
		return req_fail(in->r, 400, "%s: is text; send a file, with a "
		    "file name", name);
	if (form->pipeline == NULL && strcmp(name, "pipeline") == 0)
		return take_pipeline(in, value);
	if (form->key != NULL && strcmp(name, form->key) == 0)
		return take_key(in, value);
	return take_option(in, name, value);
}

static int
check_option(struct incoming *in, struct given *g)
{
	char	*json, *error;

	if (pipeline_option(in->pipeline, g->name, g->value, &json, &error) ==
	    -1) {
		req_fail(in->r, 400, "%s", error);
		free(error);
		return 400;
	}
	g->json = json_tokener_parse(json);
	free(json);
	return 0;
}

/* Whatever can be checked now and was not yet. */
static int
check(struct incoming *in)
{
	const struct pipeline	*p = in->pipeline;
	struct given		*g;
	int			 status;

	if ((status = check_size(in)) != 0 || p == NULL)
		return status;
	for (g = in->given; g != NULL; g = g->next)
		if (g->json == NULL && (status = check_option(in, g)) != 0)
			return status;
	if (in->upload.size > 0 && !takes_file(p))
		return req_fail(in->r, 400, "%s: pipeline %s takes no file",
		    in->form->file, p->name);
	if (in->upload.type[0] != '\0' && !is_accepted(p, in->upload.type))
		return req_fail(in->r, 415, "%s: is %s, and pipeline %s takes "
		    "%s", in->form->file, in->upload.type, p->name,
		    list_of(in->r, p->accept));
	return 0;
}

/* ---- the file ------------------------------------------------------------ */

static int
begin_file(struct incoming *in, const char *name, const char *filename)
{
	if (strcmp(name, in->form->file) != 0)
		return req_fail(in->r, 400, "%.64s: no file is expected there, "
		    "only as %s", name, in->form->file);
	if (in->has_upload)
		return req_fail(in->r, 400, "%s: given twice", name);
	in->has_upload = true;
	strlcpy(in->upload.name, filename, sizeof(in->upload.name));
	return 0;
}

/* Enough of the file is here to tell its type. */
static void
tell_type(struct incoming *in)
{
	if (in->upload.type[0] == '\0')
		strlcpy(in->upload.type, type_of(in->head, in->head_len),
		    sizeof(in->upload.type));
}

static int
take_data(struct incoming *in, const char *data, size_t len)
{
	const struct conf	*conf = in->r->site->conf;
	size_t			 n = sizeof(in->head) - in->head_len;

	in->upload.size += len;
	if (in->upload.size > size_limit(in))
		return too_large(in);
	n = len < n ? len : n;
	memcpy(in->head + in->head_len, data, n);
	in->head_len += n;
	if (in->head_len == sizeof(in->head))
		tell_type(in);

	if (in->spool == NULL) {
		uuid_new(&in->upload.id);
		in->spool = spool_new(conf->root, conf->reserve,
		    &in->upload.id);
	}
	if (in->spool == NULL || spool_write(in->spool, data, len) == -1)
		return no_storage(in);
	if (in->once[0] != '\0')
		crypto_hash_sha256_update(&in->file_hash,
		    (const unsigned char *)data, len);
	return 0;
}

/* A browser sends a file without name or bytes when none was chosen. */
static int
end_file(struct incoming *in)
{
	if (in->upload.size > 0) {
		tell_type(in);
		return 0;
	}
	if (in->upload.name[0] != '\0')
		return req_fail(in->r, 400, "%s: \"%s\" is empty",
		    in->form->file, in->upload.name);
	in->has_upload = false;
	return 0;
}

/* ---- a form -------------------------------------------------------------- */

/* MS were spent waiting for the client: only this counts. */
static int
keep_pace(struct incoming *in, uint64_t ms)
{
	if (ms == 0)
		return 0;
	in->late_ms += (int64_t)ms;
	if (in->late_ms < (req_others_wait() ? CROWDED_MS : PATIENCE_MS))
		return 0;
	return req_fail(in->r, 408, "body: less than %d bytes a second came",
	    PACE);
}

static void
count(struct incoming *in, ssize_t n)
{
	in->total += n;
	in->late_ms -= (int64_t)n * 1000 / PACE;
	if (in->late_ms < -PATIENCE_MS)
		in->late_ms = -PATIENCE_MS;
}

static int
await_body(struct incoming *in)
{
	uint64_t	 before;
	bool		 ready;
	int		 status;

	do {
		before = loop_now();
		ready = req_ready(in->r, LOOK_MS);
		if ((status = keep_pace(in, loop_now() - before)) != 0)
			return status;
	} while (!ready);
	return 0;
}

/* Fill the parser's window with what has come: few large writes follow. */
static int
read_body(struct incoming *in, struct multipart *m)
{
	size_t	 room;
	char	*space;
	ssize_t	 n;
	int	 status;

	do {
		space = multipart_space(m, &room);
		if (room == 0)
			return 0;
		if ((status = await_body(in)) != 0)
			return status;
		if ((n = req_read(in->r, space, room)) == -1)
			return req_fail(in->r, 400, "body: it ended too early");
		count(in, n);
		multipart_add(m, (size_t)n);
	} while (n > 0 && req_ready(in->r, 0));
	return 0;
}

static int
receive(struct incoming *in, struct multipart *m)
{
	struct multipart_item	 item;
	int			 status = 0;

	while (status == 0) {
		switch (multipart_next(m, &item)) {
		case MULTIPART_MORE:
			status = read_body(in, m);
			break;
		case MULTIPART_FIELD:
			status = take_field(in, item.name, item.data);
			break;
		case MULTIPART_FILE:
			status = begin_file(in, item.name, item.filename);
			break;
		case MULTIPART_DATA:
			status = take_data(in, item.data, item.len);
			break;
		case MULTIPART_FILE_END:
			status = end_file(in);
			break;
		case MULTIPART_END:
			return 0;
		case MULTIPART_BAD:
			return req_fail(in->r, item.status, "body: %s",
			    item.error);
		}
		if (status == 0)
			status = check(in);
	}
	return status;
}

static int
from_form(struct incoming *in)
{
	struct multipart	*m;
	char			 boundary[MULTIPART_BOUNDARY];
	int			 status;

	switch (multipart_boundary(in->r->type, boundary)) {
	case 1:
		return req_fail(in->r, 415, "Content-Type: \"%.100s\", not "
		    "multipart/form-data%s", in->r->type,
		    in->form->pipeline == NULL ? " or application/json" : "");
	case -1:
		return req_fail(in->r, 400, "Content-Type: \"%.200s\" has no "
		    "boundary of 1 to 70 characters", in->r->type);
	}
	m = multipart_new(boundary);
	status = receive(in, m);
	multipart_free(m);
	return status;
}

/* ---- JSON ---------------------------------------------------------------- */

static int
no_upload(struct req *r, const struct uuid *id)
{
	char	 text[UUID_TEXT];

	return req_fail(r, 400, "upload_id: there is no upload %s",
	    uuid_text(id, text));
}

/* Make a job of a file that is here already. */
static int
take_upload(struct incoming *in, const char *text)
{
	struct req	*r = in->r;
	struct uuid	 id;

	if (uuid_parse(&id, text) == -1)
		return req_fail(r, 400, "upload_id: \"%.64s\" is no UUID of 36 "
		    "lower-case characters", text);
	if (upload_find(r->site->db, &id, &in->upload) == -1 &&
	    db_error(r->site->db) != DB_OK)
		return route_db(r);
	if (!uuid_equal(&id, &in->upload.id) ||
	    in->upload.user_id != r->caller.user.id)
		return no_upload(r, &id);
	in->has_upload = true;
	return 0;
}

static int
take_member(struct incoming *in, const char *name, struct json_object *value)
{
	const char	*text;

	switch (json_object_get_type(value)) {
	case json_type_string:
	case json_type_int:
	case json_type_double:
	case json_type_boolean:
		break;
	default:
		return req_fail(in->r, 400, "%.64s: an option is a string, a "
		    "number, true or false", name);
	}
	text = json_object_get_string(value);
	if (json_object_is_type(value, json_type_string) &&
	    strlen(text) != (size_t)json_object_get_string_len(value))
		return req_fail(in->r, 400, "%.64s: has a NUL", name);
	return take_option(in, name, text);
}

static int
take_members(struct incoming *in, struct json_object *o)
{
	static const char *const	 ours[] = { "pipeline", "upload_id",
					    "options" };
	struct json_object_iterator	 i = json_object_iter_begin(o);
	struct json_object_iterator	 end = json_object_iter_end(o);
	const char			*name;
	size_t				 k;
	int				 status;

	for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
		name = json_object_iter_peek_name(&i);
		for (k = 0; k < 3 && strcmp(name, ours[k]) != 0; k++)
			;
		if (k == 3 && (status = take_member(in, name,
		    json_object_iter_peek_value(&i))) != 0)
			return status;
	}
	return 0;
}

static int
from_json(struct incoming *in)
{
	struct json_object	*o, *options;
	const char		*pipeline, *upload;
	int			 status;

	if ((status = reply_body(in->r, &o)) != 0)
		return status;
	if ((pipeline = reply_string(in->r, o, "pipeline", PIPELINE_NAME,
	    REPLY_REQUIRED)) == NULL || (upload = reply_string(in->r, o,
	    "upload_id", 64, REPLY_OPTIONAL)) == NULL)
		return 400;
	if ((status = take_pipeline(in, pipeline)) != 0 ||
	    (upload[0] != '\0' && (status = take_upload(in, upload)) != 0) ||
	    (status = take_members(in, o)) != 0)
		return status;
	if (json_object_object_get_ex(o, "options", &options)) {
		if (!json_object_is_type(options, json_type_object))
			return req_fail(in->r, 400, "options: not an object");
		if ((status = take_members(in, options)) != 0)
			return status;
	}
	return check(in);
}

/* ---- what is made of it -------------------------------------------------- */

/* Options in the order of the pipeline, with the initial values of others. */
static int
collect_params(struct incoming *in)
{
	const struct option_spec	*o = in->pipeline->options;
	const struct option_spec	*end = o + in->pipeline->noptions;
	struct json_object		*all = json_object_new_object();
	struct given			*g, initial;
	int				 status = 0;

	for (; o < end && status == 0; o++) {
		for (g = in->given; g != NULL; g = g->next)
			if (strcmp(g->name, o->name) == 0)
				break;
		if (g == NULL) {
			if (o->initial == NULL)
				continue;
			initial = (struct given){ .name = o->name,
			    .value = o->initial };
			status = check_option(in, g = &initial);
		}
		json_object_object_add(all, o->name, json_object_get(g->json));
		if (g == &initial)
			json_object_put(initial.json);
	}
	in->params = req_printf(in->r, "%s", json_object_to_json_string_ext(all,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	return status;
}

/* All that was needed came; the rows are complete now. */
static int
complete(struct incoming *in, const char *field)
{
	struct req	*r = in->r;
	struct job	*job = &in->job;
	int		 status;

	if (in->pipeline == NULL)
		return req_fail(r, 400, "pipeline: missing; there are %s",
		    all_pipelines(r));
	if (!in->has_upload && takes_file(in->pipeline))
		return req_fail(r, 400, "%s: missing; pipeline %s takes %s",
		    field, in->pipeline->name,
		    list_of(r, in->pipeline->accept));
	if ((status = collect_params(in)) != 0)
		return status;

	in->upload.user_id = r->caller.user.id;
	if (in->has_upload && in->upload.name[0] == '\0')
		strlcpy(in->upload.name, in->form->file,
		    sizeof(in->upload.name));
	uuid_new(&job->id);
	job->state = JOB_PENDING;
	job->user_id = r->caller.user.id;
	if (job->user_id == 0)
		strlcpy(job->address, r->address, sizeof(job->address));
	strlcpy(job->pipeline, in->pipeline->name, sizeof(job->pipeline));
	strlcpy(job->queue, in->pipeline->queue, sizeof(job->queue));
	job->upload_id = in->upload.id;
	strlcpy(job->name, in->upload.name, sizeof(job->name));
	if (in->form->key != NULL && job->key[0] == '\0')
		strlcpy(job->key, in->upload.name, sizeof(job->key));
	return 0;
}

/* ---- Idempotency-Key ----------------------------------------------------- */

/* Guests have no name; so they share theirs with nobody but their address. */
static int
take_once(struct incoming *in)
{
	const char	*key = req_param(in->r, "HTTP_IDEMPOTENCY_KEY"), *p;

	if (strlen(key) > KEY_MAX)
		return req_fail(in->r, 400, "Idempotency-Key: longer than %d "
		    "bytes", KEY_MAX);
	for (p = key; *p != '\0'; p++)
		if (*p < 0x20 || *p >= 0x7f)
			return req_fail(in->r, 400, "Idempotency-Key: only "
			    "printable ASCII characters");
	if (key[0] != '\0')
		snprintf(in->once, sizeof(in->once), "%s%s%s",
		    in->r->caller.user.id == 0 ? in->r->address : "",
		    in->r->caller.user.id == 0 ? " " : "", key);
	crypto_hash_sha256_init(&in->file_hash);
	return 0;
}

/* What makes this request another one than others: a hash of all it says. */
static void
hash_request(struct incoming *in)
{
	const char			*said[] = { in->form->jobs,
					    in->job.pipeline, in->params,
					    in->job.name, in->job.key };
	unsigned char			 file[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state	 all;
	size_t				 i;

	crypto_hash_sha256_init(&all);
	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		crypto_hash_sha256_update(&all,
		    (const unsigned char *)said[i], strlen(said[i]) + 1);
	crypto_hash_sha256_final(&in->file_hash, file);
	crypto_hash_sha256_update(&all, file, sizeof(file));
	/* The id of a file that was here already; of a new one it is new. */
	if (in->spool == NULL)
		crypto_hash_sha256_update(&all, in->upload.id.b,
		    sizeof(in->upload.id.b));
	crypto_hash_sha256_final(&all, in->request);
}

/* Was this request here before? */
static int
find_earlier(struct incoming *in)
{
	unsigned char	 request[UNIQ_REQUEST];
	struct uuid	 job;

	switch (uniq_find(in->r->site->db, in->job.user_id, in->once, request,
	    &job)) {
	case -1:
		return route_db(in->r);
	case 0:
		return 0;
	}
	if (sodium_memcmp(request, in->request, sizeof(request)) != 0)
		return req_fail(in->r, 422, "Idempotency-Key: it was used for "
		    "another request");
	in->job.id = job;
	in->replayed = true;
	return 0;
}

/* ---- commit -------------------------------------------------------------- */

static int
insert(struct db *db, void *arg)
{
	struct incoming	*in = arg;

	in->committing = false;
	if (in->once[0] != '\0' && uniq_add(db, in->job.user_id, in->once,
	    in->request, &in->job.id) == -1)
		return -1;
	if (in->spool != NULL && upload_add(db, &in->upload) == -1)
		return -1;
	/* One that was here already may be about to go. */
	if (in->spool == NULL && in->has_upload &&
	    upload_hold(db, &in->upload.id) != 1)
		return -1;
	if (job_submit(db, &in->job, in->params) == -1)
		return -1;
	in->committing = true;
	return 0;
}

/*
 * The connection was lost while it was committed.  If the job is not there, it
 * may yet come to be: so the file stays, and the sweeper decides.
 */
static int
look_again(struct incoming *in)
{
	struct job	 job;

	if (job_find(in->r->site->db, &in->job.id, &job) == 0)
		return 0;
	in->r->retry_s = 1;
	return req_fail(in->r, 503, "the database went away; whether there is "
	    "a job now is not known");
}

static int
commit(struct incoming *in)
{
	struct db	*db = in->r->site->db;
	enum db_error	 error;

	if (in->spool != NULL && spool_keep(in->spool) == -1)
		return no_storage(in);
	if (db_run(db, insert, in) == 0)
		return 0;
	error = db_error(db);
	if (error == DB_AWAY && in->committing)
		return look_again(in);
	if (in->spool != NULL)
		spool_forget(in->spool);
	if (error == DB_DUPLICATE && in->once[0] != '\0')
		return find_earlier(in);	/* it overtook this one */
	if (error == DB_OK)
		return no_upload(in->r, &in->upload.id);
	return route_db(in->r);
}

/* A datagram, so that an idle daemon looks now.  Losing it costs a moment. */
static void
wake_daemon(const struct conf *conf)
{
	static int		 fd = -1;
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };

	if (fd == -1)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/daemon.sock",
	    conf->sockets);
	sendto(fd, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&sun, sizeof(sun));
}

static int
answer(struct incoming *in)
{
	struct json_object	*o = json_object_new_object();
	char			 id[UUID_TEXT];

	if (in->replayed)
		req_header(in->r, "Idempotent-Replayed", "true");
	else
		wake_daemon(in->r->site->conf);
	req_header(in->r, "Location", "%s%s%s", in->r->site->conf->prefix,
	    in->form->jobs, uuid_text(&in->job.id, id));
	put_id(o, "job_id", &in->job.id);
	in->form->tell(o, &in->job);
	return reply_json(in->r, 202, o);
}

/* ---- all of it ----------------------------------------------------------- */

/* Before a byte of the body. */
static int
may_come(struct incoming *in)
{
	const struct conf	*conf = in->r->site->conf;
	uint64_t		 len = in->r->length > 0 ? in->r->length : 0;
	int			 status;

	if ((status = take_once(in)) != 0 || (status = check_size(in)) != 0 ||
	    (status = check_guest(in)) != 0)
		return status;
	if (spool_room(conf->root, conf->reserve, len) == -1)
		return no_storage(in);
	if (in->form->pipeline == NULL)
		return 0;
	in->pipeline = pipeline_find(in->r->site->pipelines,
	    in->form->pipeline);
	return in->pipeline != NULL ? 0 : req_fail(in->r, 404, "this site has "
	    "no pipeline %s", in->form->pipeline);
}

static int
run(struct incoming *in, int (*from)(struct incoming *), const char *field)
{
	int	 status;

	if ((status = may_come(in)) != 0 || (status = from(in)) != 0 ||
	    (status = complete(in, field)) != 0)
		return status;
	if (in->once[0] != '\0') {
		hash_request(in);
		if ((status = find_earlier(in)) != 0)
			return status;
	}
	/* Others of the same address may have been as patient. */
	if (!in->replayed && ((status = check_guest(in)) != 0 ||
	    (status = commit(in)) != 0))
		return status;
	return answer(in);
}

static int
bring(struct req *r, const struct form *form, int (*from)(struct incoming *),
    const char *field)
{
	struct incoming	 in = { .r = r, .form = form };
	struct given	*g;
	int		 status;

	status = run(&in, from, field);
	spool_free(in.spool);
	for (g = in.given; g != NULL; g = g->next)
		json_object_put(g->json);
	return status;
}

/* ---- dialects ------------------------------------------------------------ */

static void
tell_v1(struct json_object *o, const struct job *job)
{
	put_text(o, "status", job_state_name(JOB_PENDING));
	put_text(o, "pipeline", job->pipeline);
}

static void
tell_process(struct json_object *o, const struct job *job)
{
	(void)job;
	put_text(o, "message", "Video processing started");
}

static const struct form	 v1 = {
	.file = "file", .jobs = "/api/v1/jobs/", .tell = tell_v1,
};

static const struct form	 process = {
	.file = "video", .pipeline = "video", .key = "key",
	.jobs = "/jobs/", .tell = tell_process,
};

int
uploads_submit(struct req *r)
{
	if (strncasecmp(r->type, "application/json", 16) == 0)
		return bring(r, &v1, from_json, "upload_id");
	return bring(r, &v1, from_form, v1.file);
}

int
uploads_process(struct req *r)
{
	return bring(r, &process, from_form, process.file);
}
