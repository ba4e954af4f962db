# One pass over all programs, from signing in to a finished video.  It runs
# with the sanitizers as well: then the logs must not hold what they found.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new->with_video
    ->pipeline('count', "option\tto number 1 1 1000\n" .
	"stage\tcount\t60 30s count-to\n" .
	"each\tcheck\t30 30s check-item\nalways\ttidy\t10 30s tidy\n")
    ->stage('count-to', <<'EOT')->stage('check-item', <<'EOT')
#!/bin/sh
i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	echo "progress $((i * 5)) counted to $i" >&3
done
echo "step almost there" >&3
echo "item one a" >&3
echo "item two b" >&3
echo "detail numbers {\"n\": 20}" >&3
echo "this is no word" >&3
EOT
#!/bin/sh
echo "progress 100 $MILLRACE_ITEM" >&3
EOT
    ->stage('tidy', "#!/bin/sh\nexit 0\n")
    ->stage('wait', "#!/bin/sh\nexec tail -f /dev/null\n")
    ->stage('fail', "#!/bin/sh\necho 'reject it is blue' >&3\nexit 1\n")
    ->pipeline('wait', "stage\twait\t100 60s wait\n")
    ->pipeline('fail', "stage\tfail\t100 60s fail\n")
    ->conf('site', registration => 'yes')
    ->start;
my ($ana, $admin) = ($rig->user('ana'), $rig->user('adm', role => 'admin'));

# ---- people -----------------------------------------------------------------

my $auth = '/api/v1/auth';
my %bob = (name => 'bob', password => 'correct horse battery');
my $r = $rig->post("$auth/register", json => \%bob);
is($r->{status}, 201, 'register') or diag $r->{body};
$r = $rig->post("$auth/login", json => \%bob);
is($r->{status}, 200, 'login') or diag $r->{body};
my $login = $r->json;
my $jwt = $login->{access_token};
is($rig->get("$auth/me", as => $jwt)->{status}, 200, 'me');
is($rig->post("$auth/login", json => { %bob, password => 'wrong' })->{status},
    401, 'a wrong password');
$r = $rig->post("$auth/refresh",
    json => { refresh_token => $login->{refresh_token} });
is($r->{status}, 200, 'refresh') or diag $r->{body};
is($rig->get("$auth/tokens", as => $ana)->{status}, 200, 'API tokens');

# ---- jobs -------------------------------------------------------------------

my $job = $rig->submit('count', as => $ana, options => { to => 3 });
my @events = $rig->stream("/api/v1/jobs/$job/stream", as => $ana)
    ->until_end(timeout => 60);
is($events[-1]{json}{status}, 'completed', 'a job, followed to its end');
is($rig->stream("/api/v1/jobs/$job/stream", as => $ana,
    headers => { 'Last-Event-ID' => $events[-1]{id} })->{status}, 204,
    'who has seen the end need not come again');
@events = $rig->stream("/api/v1/jobs/$job/stream", as => $ana,
    headers => { 'Last-Event-ID' => 1 })->until_end;
is($events[0]{id}, 2, 'who has seen the first event gets the second');

my $bad = $rig->submit('fail', as => $ana);
is($rig->ended($bad, as => $ana)->{status}, 'failed', 'one that is rejected');
my $long = $rig->submit('wait', as => $ana);
$rig->wait_for(sub { $rig->job($long, as => $ana)->{status} eq 'running' }, 20,
    'it runs');
is($rig->post("/api/v1/jobs/$long/cancel", as => $ana)->{status}, 202,
    'cancel');
is($rig->ended($long, as => $ana)->{status}, 'cancelled', 'it was cancelled');
is($rig->post("/api/v1/jobs/$bad/retry", as => $ana)->{status}, 202, 'retry');
is($rig->ended($bad, as => $ana)->{status}, 'failed', 'and failed again');
is($rig->delete("/api/v1/jobs/$bad", as => $ana)->{status}, 204, 'delete');

for my $path ('/api/v1/jobs', '/api/v1/jobs?limit=1', "/api/v1/jobs/$job",
    (map { "/api/v1/jobs/$job/$_" } qw(status events steps logs artifacts)),
    '/api/v1/pipelines', '/api/v1/pipelines/count', "/jobs/$job", '/health') {
	$r = $rig->get($path, as => $ana);
	is($r->{status}, 200, $path) or diag $r->{body};
}
for my $path ('/metrics', '/api/v1/admin/users', '/api/v1/admin/daemons',
    '/api/v1/admin/stats') {
	is($rig->get($path, as => $admin)->{status}, 200, $path);
}

# ---- what is wrong ----------------------------------------------------------

for (['GET', '/api/v1/jobs/x', 400], ['GET', '/api/v1/jobs?limit=x', 400],
    ['POST', "/api/v1/jobs/$job/cancel", 409],
    ['GET', '/api/v1/jobs/0192f0c1-0000-7000-8000-000000000000', 404],
    ['GET', '/api/v1/jobs/0192f0c1-0000-7000-8000-000000000000/stream', 404],
    ['GET', '/api/v1/admin/users', 403], ['PUT', '/api/v1/jobs', 405]) {
	my ($method, $path, $status) = @$_;
	is($rig->request($method, $path, as => $ana)->{status}, $status,
	    "$method $path: $status");
}
is($rig->get('/api/v1/jobs')->{status}, 401, 'without credentials');
is($rig->post('/api/v1/jobs', as => $ana, type => 'multipart/form-data',
    body => 'x')->{status}, 400, 'a body that is none');
is($rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'none' ])
    ->{status}, 400, 'an unknown pipeline');
is($rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'video',
    file => { content => "just text\n", filename => 'x.mp4' } ])
    ->{status}, 415, 'text is no video');

# ---- a video ----------------------------------------------------------------

my $video = $rig->submit('video', as => $ana,
    file => $rig->file('t/data/portrait-270x480.mp4'));
my $done = $rig->ended($video, as => $ana, timeout => 240);
is($done->{status}, 'completed', 'a video')
    or diag $done->{error_message}, $rig->log('millraced');
$r = $rig->get("/api/v1/jobs/$video/artifacts/$done->{output_file}",
    as => $ana, headers => { Range => 'bytes=0-9' });
is($r->{status}, 206, 'its result, a part of it');
is(length $r->{body}, 10, 'ten bytes');

# ---- the end ----------------------------------------------------------------

my @programs = qw(auth upload status sse millraced);
$rig->stop($_) for reverse @programs;
for my $name (@programs) {
	my $log = $rig->log($name);
	unlike($log, qr/AddressSanitizer|LeakSanitizer|runtime error:/,
	    "$name: the sanitizers found nothing");
}

done_testing;
