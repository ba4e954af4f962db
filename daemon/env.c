/*
 * What a stage program is told: its environment, made from nothing.
 * millrace-report(7) lists it.
 */

#include "env.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "log.h"

struct env {
	char	**list;
	size_t	  n;
};

static void __attribute__((format(printf, 2, 3)))
add(struct env *env, const char *fmt, ...)
{
	va_list	 ap;

	env->list = xreallocarray(env->list, env->n + 2, sizeof(char *));
	va_start(ap, fmt);
	if (vasprintf(&env->list[env->n], fmt, ap) == -1)
		fatal("vasprintf");
	va_end(ap);
	env->list[++env->n] = NULL;
}

/* MILLRACE_OPTION_NAME: in capitals, "_" for what a shell does not take. */
static void
add_option(struct env *env, const char *name, const char *value)
{
	char	 upper[PIPELINE_NAME];
	size_t	 i;

	for (i = 0; name[i] != '\0' && i < sizeof(upper) - 1; i++)
		upper[i] = isalnum((unsigned char)name[i]) ?
		    (char)toupper((unsigned char)name[i]) : '_';
	upper[i] = '\0';
	add(env, "MILLRACE_OPTION_%s=%s", upper, value);
}

/* The options of the pipeline, as the job has them or as they are initially. */
static void
add_options(struct env *env, const struct pipeline *p, const char *params)
{
	json_object	*all, *value;
	const char	*name, *text;
	size_t		 i;

	all = params == NULL ? NULL : json_tokener_parse(params);
	for (i = 0; i < p->noptions; i++) {
		name = p->options[i].name;
		text = p->options[i].initial;
		if (json_object_is_type(all, json_type_object) &&
		    json_object_object_get_ex(all, name, &value) &&
		    value != NULL)
			text = json_object_get_string(value);
		if (text != NULL)
			add_option(env, name, text);
	}
	json_object_put(all);
}

static void
add_input(struct env *env, const struct upload *u)
{
	add(env, "MILLRACE_INPUT=input");
	add(env, "MILLRACE_INPUT_NAME=%s", u->name);
	add(env, "MILLRACE_INPUT_TYPE=%s", u->type);
	add(env, "MILLRACE_INPUT_SIZE=%llu", (unsigned long long)u->size);
}

char **
env_new(const struct env_facts *f)
{
	struct env	 env = { NULL, 0 };
	char		 id[UUID_TEXT];
	char		**site;

	add(&env, "PATH=/usr/local/bin:/usr/bin:/bin");
	add(&env, "LANG=C.UTF-8");
	add(&env, "HOME=%s/tmp", f->dir);
	add(&env, "TMPDIR=%s/tmp", f->dir);
	for (site = f->site; site != NULL && *site != NULL; site++)
		add(&env, "%s", *site);

	add(&env, "MILLRACE_JOB=%s", uuid_text(&f->job->id, id));
	add(&env, "MILLRACE_STAGE=%s", f->stage->name);
	add(&env, "MILLRACE_ATTEMPT=%u", f->job->attempt);
	add(&env, "MILLRACE_CORES=%u", f->cores);
	add(&env, "MILLRACE_STORE=%s", f->store);
	add(&env, "MILLRACE_SHARE=%s", f->share);
	if (f->item != NULL) {
		add(&env, "MILLRACE_ITEM=%s", f->item);
		add(&env, "MILLRACE_ITEM_ARGS=%s", f->args);
	}
	if (f->upload != NULL)
		add_input(&env, f->upload);
	add_options(&env, f->pipeline, f->params);
	return env.list;
}

void
env_free(char **env)
{
	size_t	 i;

	if (env == NULL)
		return;
	for (i = 0; env[i] != NULL; i++)
		free(env[i]);
	free(env);
}
