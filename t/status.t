# Every route of the status program answers as the manual says, for whoever
# asks: the owner, somebody else, an administrator, nobody.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('count', <<'EOT')
# Counts to a hundred.
title	Count
accept	text/plain
option	speed	choice	slow	slow fast
stage	first	50	10s	say 0 50 100
stage	second	50	10s	say 0 100
EOT
    ->pipeline('break', "accept text/plain\nstage only 100 10s break\n")
    ->pipeline('wait', "accept text/plain\nstage only 100 60s gate\n")
    ->stage('say', <<'EOT')
#!/bin/sh
echo "said $*"
for n; do echo "progress $n counted to $n" >&3; done
EOT
    ->stage('break', <<'EOT')
#!/bin/sh
echo "reject the input is a mess" >&3
exit 1
EOT
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $bob = $rig->user('bob');
my $eve = $rig->user('eve', role => 'admin');
my $nobody = '0192f0c1-7b2a-7cde-8f01-23456789abcd';

my $job = $rig->submit('count', as => $ana, content => "one\n",
    filename => 'one.txt');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'a job is done');

# ---- who may see what -------------------------------------------------------

my @reads = ('', qw(/status /events /steps /logs /artifacts));
for my $part (@reads) {
	my $path = "/api/v1/jobs/$job$part";
	is($rig->get($path, as => $ana)->{status}, 200, "$path: its owner");
	is($rig->get($path, as => $eve)->{status}, 200, 'an administrator');
	my $other = $rig->get($path, as => $bob);
	my $unknown = $rig->get("/api/v1/jobs/$nobody$part", as => $bob);
	is($other->{status}, 404, 'somebody else: 404');
	for ($other, $unknown) {
		$_->{body} =~ s/"request_id":"[^"]*"//;
	}
	is($other->{body}, $unknown->{body}, 'byte for byte as an unknown one');
	my $none = $rig->get($path);
	is($none->{status}, 401, 'nobody: 401');
	is($none->{headers}{'www-authenticate'}, 'Bearer', 'and what to send');
	is($rig->get("/api/v1/jobs/XYZ$part")->{status}, 401,
	    '401 comes before 400');
	my $bad = $rig->get("/api/v1/jobs/XYZ$part", as => $ana);
	is($bad->{status}, 400, 'a malformed id: 400');
	like($bad->json->{detail}, qr/XYZ/, 'which says the offending value');
	is($bad->{headers}{'content-type'}, 'application/problem+json',
	    'as a problem document');
}

# ---- what is shown ----------------------------------------------------------

my $status = $rig->get("/api/v1/jobs/$job/status", as => $ana);
is_deeply([ sort keys %{$status->json} ], [ sort qw(job_id pipeline status
    phase progress_percentage current_step eta_seconds created_at started_at
    completed_at error_message output_file timestamp) ], 'every field is there');
is($status->json->{progress_percentage}, 100, 'all of it is done');
like($status->{headers}{etag}, qr/^"[0-9a-f]+"$/, 'with a strong tag');
is($rig->get("/api/v1/jobs/$job/status", as => $ana, headers =>
    { 'If-None-Match' => $status->{headers}{etag} })->{status}, 304,
    'which saves the second time');
is($rig->get("/api/v1/jobs/$job/status", as => $ana, headers =>
    { 'If-None-Match' => '"other", W/"x"' })->{status}, 200,
    'and another does not');

my $show = $rig->get("/api/v1/jobs/$job", as => $ana)->json;
is($show->{name}, 'one.txt', 'details know the name of the file');
is($show->{size}, 4, 'its size');
is($show->{user}, 'ana', 'its owner');
is($show->{options}{speed}, 'slow', 'options that were not given');
is($show->{links}{stream}, "/api/v1/jobs/$job/stream", 'where more is');

my $events = $rig->get("/api/v1/jobs/$job/events", as => $ana)->json->{items};
is_deeply([ map { $_->{seq} } @$events ], [ 1 .. @$events ],
    'events are numbered without a gap');
is($events->[0]{status}, 'pending', 'the first: it waits');
is($events->[-1]{status}, 'completed', 'the last: it is done');
my $page = $rig->get("/api/v1/jobs/$job/events?limit=2&after=1", as => $ana)
    ->json;
is_deeply([ map { $_->{seq} } @{$page->{items}} ], [ 2, 3 ], 'in pages');
is($page->{next_after}, 3, 'that say where the next one begins');

my $steps = $rig->get("/api/v1/jobs/$job/steps", as => $ana)->json->{items};
is_deeply([ map { "$_->{stage} $_->{state} $_->{percent}" } @$steps ],
    [ 'first done 100', 'second done 100' ], 'steps, in order');
like($rig->get("/api/v1/jobs/$job/logs", as => $ana)->{body},
    qr/== first.*said 0 50 100.*== second.*said 0 100/s,
    'logs have what each stage wrote');

# ---- lists ------------------------------------------------------------------

my @jobs = ($job);
push @jobs, $rig->submit('count', as => $ana, content => "$_\n",
    filename => "file-$_.txt") for 1 .. 5;
my $bobs = $rig->submit('count', as => $bob, content => "b\n");
$rig->ended($_, as => $eve) for @jobs, $bobs;

sub ids {
	return [ map { $_->{job_id} } @{$_[0]->json->{items}} ];
}

my $list = $rig->get('/api/v1/jobs', as => $ana);
is_deeply(ids($list), [ reverse @jobs ], 'own jobs, newest first');
is($rig->get('/api/v1/jobs', as => $ana, headers =>
    { 'If-None-Match' => $list->{headers}{etag} })->{status}, 304,
    'unchanged: 304');
is(scalar @{ids($rig->get('/api/v1/jobs', as => $eve))}, @jobs + 1,
    'an administrator sees all');
is_deeply(ids($rig->get('/api/v1/jobs?user=bob', as => $eve)), [ $bobs ],
    'or one user\'s');
is($rig->get('/api/v1/jobs?user=bob', as => $ana)->{status}, 403,
    'a user does not');
is_deeply(ids($rig->get('/api/v1/jobs?q=file-3', as => $ana)), [ $jobs[3] ],
    'found by name');
is_deeply(ids($rig->get('/api/v1/jobs?q=%25', as => $ana)), [],
    'a per cent sign is just that');
is_deeply(ids($rig->get('/api/v1/jobs?status=failed', as => $ana)), [],
    'by state');
is(@{ids($rig->get('/api/v1/jobs?pipeline=count&status=completed',
    as => $ana))}, 6, 'by pipeline and state');
is_deeply(ids($rig->get('/api/v1/jobs?since=2099-01-01T00:00:00Z',
    as => $ana)), [], 'by time');

my (@seen, $cursor);
for (my $path = '/api/v1/jobs?limit=4&pipeline=count'; $path; ) {
	my $r = $rig->get($path, as => $ana);
	push @seen, @{ids($r)};
	($path) = ($r->{headers}{link} // '') =~ /<([^>]+)>; rel="next"/;
	is(!!$path, !!$r->json->{next_cursor}, 'Link and next_cursor agree');
}
is_deeply(\@seen, [ reverse @jobs ], 'pages hold each job once');

for (['limit=0', 'limit'], ['limit=x', 'limit'], ['limit=201', 'limit'],
    ['status=done', 'status'], ['pipeline=nope', 'pipeline'],
    ['since=yesterday', 'since'], ['since=2026-13-01T00:00:00Z', 'since'],
    ['cursor=1', 'cursor'], ['q=' . 'x' x 300, 'q'],
    ['limit=1&limit=2', 'query'], ['q=%ff', 'query'], ['q=%zz', 'query'],
    ['q=%00', 'query']) {
	my $r = $rig->get("/api/v1/jobs?$_->[0]", as => $ana);
	is($r->{status}, 400, substr("$_->[0]: 400", 0, 60));
	like($r->json->{detail}, qr/^\Q$_->[1]\E/, 'naming it');
}

# ---- wishes -----------------------------------------------------------------

my $waiting = $rig->submit('wait', as => $ana, content => "w\n");
$rig->wait_for(sub { $rig->job($waiting, as => $ana)->{status} eq 'running' },
    20, 'it runs');
is($rig->delete("/api/v1/jobs/$waiting", as => $ana)->{status}, 409,
    'a running job is not deleted');
is($rig->post("/api/v1/jobs/$waiting/retry", as => $ana)->{status}, 409,
    'nor run again');
is($rig->post("/api/v1/jobs/$waiting/cancel", as => $bob)->{status}, 404,
    'nor cancelled by somebody else');
is($rig->post("/api/v1/jobs/$waiting/cancel", as => $ana)->{status}, 202,
    'its owner cancels it');
is($rig->ended($waiting, as => $ana)->{status}, 'cancelled', 'and it is');
my $again = $rig->post("/api/v1/jobs/$waiting/cancel", as => $ana);
is($again->{status}, 409, 'not twice');
like($again->json->{detail}, qr/cancelled/, 'and says the state');
is($rig->delete("/api/v1/jobs/$waiting", as => $ana)->{status}, 204,
    'then it may be deleted');
is($rig->get("/api/v1/jobs/$waiting", as => $ana)->{status}, 404, 'and is gone');

my $broken = $rig->submit('break', as => $ana, content => "b\n");
my $end = $rig->ended($broken, as => $ana);
is($end->{status}, 'failed', 'a job fails');
is($end->{error_message}, 'the input is a mess', 'and says why');
is($rig->post("/api/v1/jobs/$broken/retry", as => $ana, json =>
    { from => 'nowhere' })->{status}, 400, 'from a stage that is none');
is($rig->post("/api/v1/jobs/$broken/retry", as => $ana, body => '{"from":1}',
    type => 'application/json')->{status}, 400, 'from what is no text');
is($rig->post("/api/v1/jobs/$broken/retry", as => $ana, body => 'x',
    type => 'text/plain')->{status}, 415, 'from what is no JSON');
is($rig->post("/api/v1/jobs/$broken/retry", as => $ana)->{status}, 202,
    'it is run again');
$rig->wait_for(sub { ($rig->sql('SELECT MAX(attempt) FROM job WHERE pipeline' .
    ' = ?', 'break'))[0][0] == 1 && $rig->job($broken, as => $ana)->{status}
    eq 'failed' }, 20, 'it fails again');

# What a job leaves behind follows with a sweep; for others it is gone at once.
is($rig->delete("/api/v1/jobs/$broken", as => $ana)->{status}, 204,
    'a job is deleted');
is($rig->$_("/api/v1/jobs/$broken" . ($_ eq 'post' ? '/retry' : ''),
    as => $ana)->{status}, 404, "and nowhere: $_") for qw(get post delete);

# ---- the rest ---------------------------------------------------------------

my $pipelines = $rig->get('/api/v1/pipelines', as => $ana)->json->{items};
is_deeply([ map { $_->{name} } @$pipelines ], [ qw(break count wait) ],
    'pipelines by name');
my $count = $rig->get('/api/v1/pipelines/count', as => $ana)->json;
is($count->{title}, 'Count', 'with a title');
is($count->{about}, 'Counts to a hundred.', 'and what it does');
is_deeply($count->{options}, [ { name => 'speed', type => 'choice',
    default => 'slow', choices => [ 'slow', 'fast' ] } ], 'and options');
is_deeply([ map { "$_->{name} $_->{share}" } @{$count->{stages}} ],
    [ 'first 50', 'second 50' ], 'and stages');
is($rig->get('/api/v1/pipelines/nope', as => $ana)->{status}, 404, 'or not');

my $health = $rig->get('/health');
is($health->{status}, 200, 'all is well');
is($health->json->{status}, 'healthy', 'and says so');
is($health->json->{service}, 'millrace', 'who it is');
like($health->json->{uptime_seconds}, qr/^\d+$/, 'and since when');
my $metrics = $rig->get('/metrics');
is($metrics->{status}, 200, 'metrics, from this host');
is($rig->get('/metrics', headers => { 'X-Forwarded-For' => '192.0.2.1' })
    ->{status}, 401, 'not by a proxy for somebody');
like($metrics->{body},
    qr/^millrace_jobs_total\{pipeline="count",state="completed"\} 7$/m,
    'count what was done');
like($metrics->{body}, qr/^millrace_workers 1$/m, 'and who works');
$metrics = $rig->wait_for(sub {
	my $m = $rig->get('/metrics')->{body};
	$m =~ /^millrace_daemon_runs_total\{end="completed"\} 7$/m &&
	    $m =~ /^millrace_daemon_runs_total\{end="failed"\} 2$/m && $m
}, 30, 'what the daemon has counted');
like($metrics, qr/^millrace_daemon_$_$/m, $_) for
    'claimed_total 10', 'runs_total\{end="cancelled"\} 1',
    'steps_total\{end="rejected"\} 2', 'steps_total\{end="done"\} 14',
    'conflicts_total\{reason="deadlock"\} 0', 'set_aside_total 0',
    'lent_total 0', 'fenced_total 0', 'taken_over_total 0';
my %told;
is_deeply([ grep { $told{$_}++ } $metrics =~ /^# TYPE (\S+)/mg ], [],
    'each number is described once');

my $stats = $rig->get('/api/v1/admin/stats', as => $eve)->json->{jobs};
is($stats->{completed}, 7, 'seven are done');
is($stats->{failed}, 0, 'none is failed any more');
is($rig->get('/api/v1/admin/daemons', as => $eve)->json->{items}[0]{state},
    'up', 'the daemon is up');
is_deeply([ sort map { $_->{name} }
    @{$rig->get('/api/v1/admin/users', as => $eve)->json->{items}} ],
    [ qw(ana bob eve) ], 'users');
for my $path (qw(stats daemons users)) {
	is($rig->get("/api/v1/admin/$path", as => $ana)->{status}, 403,
	    "$path: for administrators");
	is($rig->get("/api/v1/admin/$path")->{status}, 401, 'nobody: 401');
}

# ---- methods, and what there is not -----------------------------------------

for (['PATCH', '/api/v1/jobs', qr/GET, HEAD/], ['POST', '/health', qr/GET/],
    ['PUT', "/api/v1/jobs/$job", qr/DELETE/], ['GET',
    "/api/v1/jobs/$job/cancel", qr/^POST/], ['DELETE', "/jobs/$job", qr/GET/]) {
	my $r = $rig->request($_->[0], $_->[1], as => $ana);
	is($r->{status}, 405, "$_->[0] $_->[1]: 405");
	like($r->{headers}{allow}, $_->[2], 'and what is allowed');
}
for ('/api/v1/nothing', '/api/v2/jobs', "/api/v1/jobs/$job/what", '/api/v1/') {
	is($rig->get($_, as => $ana)->{status}, 404, "$_: 404");
}
is($rig->head("/api/v1/jobs/$job", as => $ana)->{status}, 200, 'HEAD as GET');
is($rig->get('/health', headers => { 'X-Request-Id' => 'my.id-1' })
    ->{headers}{'x-request-id'}, 'my.id-1', 'a request keeps its own id');
isnt($rig->get('/health', headers => { 'X-Request-Id' => 'bad id"' })
    ->{headers}{'x-request-id'}, 'bad id"', 'when it is a sane one');

done_testing;
