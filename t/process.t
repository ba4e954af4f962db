# The dialect "process" speaks as its clients expect, opened to everybody and
# not.

use strict;
use warnings;

use Rig;
use Test::More;

# The same stages and phases as the video pipeline has, without a video.
my $pipeline = <<'EOT';
accept	text/plain
stage	uploading	10	10s	say 0 100
stage	transcoding	40	10s	say 0 50 100
stage	validation	30	10s	say 50
stage	packaging	10	10s	say 50 100
stage	storage		10	10s	say 100
EOT
my $say = "#!/bin/sh\nfor n; do echo \"progress \$n at \$n\" >&3; done\n";
my $open = Rig->new->conf('site', anonymous => 'yes', anonymous_jobs => 3)
    ->pipeline('video', $pipeline)->stage('say', $say)->start;
my $eve = $open->user('eve', role => 'admin');
my $ana = $open->user('ana');

sub post {
	my ($rig, @rest) = @_;
	$rig->post('/process', form => [ video => { content => "moving\n",
	    filename => 'my film.txt', type => 'video/mp4' } ], @rest);
}

# ---- open to everybody ------------------------------------------------------

my $r = $open->post('/process', form => [ video => { content => "moving\n",
    filename => 'a.txt' }, key => 'my-video.mp4' ]);
is($r->{status}, 202, 'a video is taken');
is($r->json->{message}, 'Video processing started', 'in these words');
my $id = $r->json->{job_id};
like($id, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'with an id');

my @all = $open->stream("/jobs/$id/stream")->until_end(timeout => 30);
is($all[0]{event}, 'status', 'a stream begins with the status');
is($all[0]{id}, undef, 'which has no id');
is_deeply([ sort keys %{$all[0]{json}} ], [ qw(job_id progress stage status) ],
    'and these fields');
is($all[-1]{event}, 'done', 'it ends with done');
is($all[-1]{data}, '{}', 'which says nothing');
like($all[-1]{id}, qr/^\d+$/, 'but has the id of the end');
is($all[-2]{event}, 'progress', 'before it the last progress');
is($all[-2]{json}{stage}, 'completed', 'completed');
is($all[-2]{json}{progress}, 100, 'at a hundred');
is($all[-2]{id}, undef, 'without an id');
my @progress = map { $_->{json}{progress} } @all[0 .. $#all - 1];
is_deeply([ sort { $a <=> $b } @progress ], \@progress,
    'the percentage never falls');

# Replay from the start shows every stage at its fixed percentages.
@all = $open->stream("/jobs/$id/stream", headers => { 'Last-Event-ID' => 1 })
    ->until_end(timeout => 10);
is($all[0]{event}, 'status', 'a reconnect begins with the status too');
my %at;
push @{$at{$_->{json}{stage}}}, $_->{json}{progress}
    for grep { ($_->{event} // '') eq 'progress' } @all;
is($at{uploading}[-1], 10, 'uploading ends at 10');
is($at{transcoding}[-1], 50, 'transcoding at 50');
is($at{validation}[-1], 60, 'validation is at 60');
is($at{packaging}[-1], 85, 'packaging ends at 85');
is($at{storage}[-1], 95, 'storage at 95');
is($open->stream("/jobs/$id/stream", headers => { 'Last-Event-ID' =>
    $all[-1]{id} })->{status}, 204, 'who has seen done is told to stop');
isnt($open->stream("/jobs/$id/stream", headers => { 'Last-Event-ID' =>
    $all[-1]{id} - 1 })->{status}, 204, 'who has not is not');

my $job = $open->get("/jobs/$id")->json;
is($job->{id}, $id, 'a snapshot has the id');
is($job->{key}, 'my-video.mp4', 'the key');
is($job->{bucket}, 'input', 'the bucket');
is($job->{status}, 'completed', 'the status');
is($job->{stage}, 'completed', 'the stage');
is($job->{progress}, 100, 'the percentage');
like($job->{workflow_id}, qr/^video-processing-my-video\.mp4-\d{10}$/,
    'a workflow id');
like($job->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, $_)
    for qw(created_at updated_at completed_at);
is(ref $job->{latest_events}, 'ARRAY', 'and the latest events');
cmp_ok(scalar @{$job->{latest_events}}, '<=', 20, 'twenty at most');
is_deeply([ sort keys %{$job->{latest_events}[0]} ],
    [ qw(created_at message progress stage) ], 'with these fields');
is($open->get('/jobs/0192f0c1-7b2a-7cde-8f01-23456789abcd')->{status}, 404,
    'an unknown id: 404');
is($open->get('/jobs/x')->{status}, 400, 'a malformed one: 400');

is(post($open)->json->{message}, 'Video processing started',
    'the key may be left out');
my $named = $open->get('/jobs/' . post($open)->json->{job_id})->json;
is($named->{key}, 'my film.txt', 'and is the name of the file then');

# Anonymous jobs are nobody's.
is_deeply($open->get('/api/v1/jobs', as => $ana)->json->{items}, [],
    'anonymous jobs are in nobody\'s list');
is($open->post("/api/v1/jobs/$id/cancel", as => $ana)->{status}, 403,
    'nor anybody\'s to cancel');
is($open->get("/api/v1/jobs/$id/status", as => $ana)->{status}, 200,
    'whoever has the id may look');
is($open->get("/api/v1/jobs/$id/status")->{status}, 401,
    'v1 stays closed to nobody');
is($open->get("/jobs/$id", headers => { Authorization => 'Bearer no' })
    ->{status}, 401, 'credentials that are wrong are no guest\'s');

# What goes wrong.
for ([ [ key => 'x' ], 'video' ], [ [ video => 'text' ], 'video' ],
    [ [ video => { content => "moving\n", filename => 'x' }, colour => 'red' ],
    'colour' ]) {
	my $bad = $open->post('/process', form => $_->[0]);
	is($bad->{status}, 400, "without what is needed: 400");
	like($bad->json->{detail}, qr/$_->[1]/, "naming $_->[1]");
}
is($open->get('/process')->{status}, 405, 'GET: 405');

# ---- closed -----------------------------------------------------------------

my $closed = Rig->new->pipeline('video', $pipeline)->stage('say', $say)->start;
my $bob = $closed->user('bob');
is(post($closed)->{status}, 401, 'closed: nobody is let in');
my $own = post($closed, as => $bob);
is($own->{status}, 202, 'but who is somebody');
$id = $own->json->{job_id};
is($closed->get("/jobs/$id", as => $bob)->{status}, 200, 'sees it');
is($closed->get("/jobs/$id")->{status}, 401, 'nobody does not');
is($closed->get("/jobs/$id", as => $closed->user('carl'))->{status}, 404,
    'nor somebody else');
is($closed->stream("/jobs/$id/stream")->{status}, 401, 'no stream either');
is(($closed->stream("/jobs/$id/stream", as => $bob)
    ->until_end(timeout => 30))[-1]{event}, 'done', 'only its owner\'s');

done_testing;
