/* Each dialect tells a job exactly in its own words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "dialect.h"
#include "event.h"
#include "job.h"
#include "uuid.h"

#define ID	"0192f0c1-7b2a-7cde-8f01-23456789abcd"

static struct job
running_job(void)
{
	struct job	 job = {
		.state = JOB_RUNNING, .pipeline = "video",
		.phase = "transcoding", .stage = "transcoding",
		.stage_progress = 50, .progress = 37.5, .eta_s = 84, .seq = 7,
		.step = "Transcoding 00:15 of 00:30", .attempt = 1,
		.name = "a.mp4",
		.created_at = "2026-11-22 10:30:00.000",
		.started_at = "2026-11-22 10:30:01.123",
		.changed_at = "2026-11-22 10:31:07.250",
	};

	uuid_parse(&job.id, ID);
	return job;
}

static struct job
ended_job(enum job_state state, const char *message)
{
	struct job	 job = running_job();

	job.state = state;
	strcpy(job.phase, job_state_name(state));
	strcpy(job.message, message);
	strcpy(job.error_message, message);
	strcpy(job.completed_at, job.changed_at);
	strcpy(job.output_file, "master.m3u8");
	job.step[0] = '\0';
	job.eta_s = -1;
	return job;
}

static void
says(struct json_object *o, const char *expected)
{
	assert_string_equal(json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
	    expected);
	json_object_put(o);
}

static void
v1_has_every_field(void **state)
{
	struct job	 job = running_job();

	(void)state;
	says(dialect_v1_job(&job), "{\"job_id\":\"" ID "\",\"pipeline\":"
	    "\"video\",\"status\":\"running\",\"phase\":\"transcoding\","
	    "\"progress_percentage\":37.5,\"current_step\":"
	    "\"Transcoding 00:15 of 00:30\",\"eta_seconds\":84,\"created_at\":"
	    "\"2026-11-22T10:30:00Z\",\"started_at\":\"2026-11-22T10:30:01Z\","
	    "\"completed_at\":null,\"error_message\":null,\"output_file\":null,"
	    "\"timestamp\":\"2026-11-22T10:31:07.250Z\"}");
}

static void
v1_tells_the_ends_apart(void **state)
{
	struct job	 job = ended_job(JOB_COMPLETED, "");

	(void)state;
	job.progress = 100;
	says(dialect_v1_job(&job), "{\"job_id\":\"" ID "\",\"pipeline\":"
	    "\"video\",\"status\":\"completed\",\"phase\":\"completed\","
	    "\"progress_percentage\":100,\"current_step\":\"\","
	    "\"eta_seconds\":null,\"created_at\":\"2026-11-22T10:30:00Z\","
	    "\"started_at\":\"2026-11-22T10:30:01Z\",\"completed_at\":"
	    "\"2026-11-22T10:31:07Z\",\"error_message\":null,\"output_file\":"
	    "\"master.m3u8\",\"timestamp\":\"2026-11-22T10:31:07.250Z\"}");
	job = ended_job(JOB_FAILED, "it broke");
	says(dialect_v1_job(&job), "{\"job_id\":\"" ID "\",\"pipeline\":"
	    "\"video\",\"status\":\"failed\",\"phase\":\"failed\","
	    "\"progress_percentage\":37.5,\"current_step\":\"it broke\","
	    "\"eta_seconds\":null,\"created_at\":\"2026-11-22T10:30:00Z\","
	    "\"started_at\":\"2026-11-22T10:30:01Z\",\"completed_at\":"
	    "\"2026-11-22T10:31:07Z\",\"error_message\":\"it broke\","
	    "\"output_file\":null,"
	    "\"timestamp\":\"2026-11-22T10:31:07.250Z\"}");
}

static void
percentages_have_no_idle_digits(void **state)
{
	static const struct { double percent; const char *text; } cases[] = {
		{ 0, "0" }, { 100, "100" }, { 37.5, "37.5" },
		{ 33.33, "33.33" },
		{ 30.1, "30.1" }, { 10, "10" }, { 99.99, "99.99" }, { 0.05,
		"0.05" },
	};
	struct job		 job = running_job();
	struct json_object	*o, *percent;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		job.progress = cases[i].percent;
		o = dialect_v1_job(&job);
		json_object_object_get_ex(o, "progress_percentage", &percent);
		assert_string_equal(json_object_to_json_string(percent),
		    cases[i].text);
		json_object_put(o);
	}
}

static void
streams(void (*fn)(struct text *, const struct job *), const struct job *job,
    const char *expected)
{
	struct text	 t = { 0 };

	fn(&t, job);
	assert_string_equal(t.p, expected);
	free(t.p);
}

static void
process_streams_status_progress_done(void **state)
{
	struct job	 job = running_job();
	struct event	 e;
	struct text	 t = { 0 };

	(void)state;
	streams(dialect_process.snapshot, &job, "event: status\n"
	    "data: {\"job_id\":\"" ID "\",\"status\":\"processing\",\"stage\":"
	    "\"transcoding\",\"progress\":40}\n\n");
	dialect_event_of(&job, &e);
	strcpy(e.message, "Transcoded 2 resolutions");
	e.stage_progress = 100;
	dialect_process.event(&t, &job, &e);
	assert_string_equal(t.p, "event: progress\nid: 7\n"
	    "data: {\"job_id\":\"" ID "\",\"stage\":\"transcoding\","
	    "\"progress\":50,\"message\":\"Transcoded 2 resolutions\","
	    "\"timestamp\":\"2026-11-22T10:31:07Z\"}\n\n");
	free(t.p);
	job = ended_job(JOB_FAILED, "it broke");
	job.stage_progress = 0;
	streams(dialect_process.snapshot, &job, "event: status\n"
	    "data: {\"job_id\":\"" ID "\",\"status\":\"failed\",\"stage\":"
	    "\"transcoding\",\"progress\":30}\n\n"
	    "event: progress\ndata: {\"job_id\":\"" ID "\",\"stage\":"
	    "\"transcoding\",\"progress\":30,\"message\":\"it broke\","
	    "\"timestamp\":\"2026-11-22T10:31:07Z\",\"error_message\":"
	    "\"it broke\"}\n\nevent: done\nid: 7\ndata: {}\n\n");
}

/* The percentages that the dialect fixes, whatever the pipeline's shares. */
static void
process_has_fixed_spans(void **state)
{
	static const struct {
		const char	*stage;
		double		 percent;
		int		 progress;
	} cases[] = {
		{ "", 0, 0 },
		{ "uploading", 0, 5 },		{ "uploading", 100, 10 },
		{ "transcoding", 0, 30 },	{ "transcoding", 50, 40 },
		{ "transcoding", 100, 50 },	{ "validation", 0, 60 },
		{ "validation", 100, 60 },	{ "packaging", 50, 80 },
		{ "storage", 0, 90 },		{ "storage", 100, 95 },
	};
	struct job		 job = running_job();
	struct json_object	*o, *progress;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(job.stage, cases[i].stage);
		job.stage_progress = cases[i].percent;
		o = dialect_process_job(&job, NULL, 0, NULL, NULL);
		json_object_object_get_ex(o, "progress", &progress);
		assert_int_equal(json_object_get_int(progress),
		    cases[i].progress);
		json_object_put(o);
	}
}

static void
process_job_reads_as_documented(void **state)
{
	struct job	 job = running_job();
	struct event	 e;

	(void)state;
	dialect_event_of(&job, &e);
	says(dialect_process_job(&job, &e, 1, "{\"renditions\":[]}",
	    json_tokener_parse("{\"a.mp4\":\"/a.mp4\"}")),
	    "{\"id\":\"" ID "\",\"key\":\"a.mp4\",\"bucket\":\"input\","
	    "\"status\":\"processing\",\"stage\":\"transcoding\","
	    "\"progress\":40,\"workflow_id\":"
	    "\"video-processing-a.mp4-1795343400\","
	    "\"created_at\":\"2026-11-22T10:30:00Z\","
	    "\"updated_at\":\"2026-11-22T10:31:07Z\",\"latest_events\":["
	    "{\"stage\":\"transcoding\",\"progress\":40,\"message\":"
	    "\"Transcoding 00:15 of 00:30\","
	    "\"created_at\":\"2026-11-22T10:31:07Z\"}],"
	    "\"result\":{\"renditions\":[],"
	    "\"storage_urls\":{\"a.mp4\":\"/a.mp4\"}}}");
}

/* A job that was retried is not over where it failed the first time. */
static void
only_the_last_event_ends_a_stream(void **state)
{
	struct job	 job = running_job();
	struct event	 e;
	struct text	 t = { 0 };

	(void)state;
	dialect_event_of(&job, &e);
	e.state = JOB_FAILED;
	e.seq = job.seq - 1;
	dialect_process.event(&t, &job, &e);
	assert_null(strstr(t.p, "done"));
	free(t.p);
}

/* Whatever a stage says, a frame has the lines that it should have. */
static void
no_message_breaks_a_frame(void **state)
{
	static const char *const	 messages[] = {
		"two\n\nlines", "cr\rlf\r\n", "data: x\nid: 9\nretry: 0\n",
		"\xe2\x80\xa8\xe2\x80\xa9", "\"quotes\" \\ and </script>",
		"\x01\x1b[0m",
	};
	struct job			 job = running_job();
	struct text			 t;
	size_t				 i, n;
	char				*p;

	(void)state;
	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		memset(&t, 0, sizeof(t));
		strcpy(job.step, messages[i]);
		strcpy(job.message, messages[i]);
		dialect_v1.snapshot(&t, &job);
		assert_null(memchr(t.p, '\r', t.len));
		for (n = 0, p = t.p; (p = strchr(p, '\n')) != NULL; p++)
			n++;
		assert_int_equal(n, 3);		/* id, data, the empty one */
		assert_int_equal(strncmp(t.p, "id: 7\ndata: {", 13), 0);
		assert_string_equal(t.p + t.len - 3, "}\n\n");
		free(t.p);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(v1_has_every_field),
		cmocka_unit_test(v1_tells_the_ends_apart),
		cmocka_unit_test(percentages_have_no_idle_digits),
		cmocka_unit_test(process_streams_status_progress_done),
		cmocka_unit_test(process_has_fixed_spans),
		cmocka_unit_test(process_job_reads_as_documented),
		cmocka_unit_test(only_the_last_event_ends_a_stream),
		cmocka_unit_test(no_message_breaks_a_frame),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
