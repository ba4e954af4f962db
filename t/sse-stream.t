# A stream begins with the state now, brings each event once and in order, and
# ends by itself; who has seen the end is told to stop.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;
use Time::HiRes qw(time);

# No tick during the test: what comes at once does not come by one.
my $rig = Rig->new->conf('site', anonymous => 'yes')
    ->conf('sse', tick => '20s')->start;
my $ana = $rig->user('ana');
my $job = Puppet->new($rig, owner => $ana);
my $v1 = '/api/v1/jobs/' . $job->id . '/stream';
my $process = '/jobs/' . $job->id . '/stream';

$job->event(progress => 12.5, step => 'a "quoted" <step>');
my $began = time;
my $s = $rig->stream($v1, as => $ana);
my $e = $s->next;
cmp_ok(time - $began, '<', 10, 'the state now comes at once');
is($s->{status}, 200, 'status');
is($s->{headers}{'content-type'}, 'text/event-stream', 'content type');
is($s->{headers}{'cache-control'}, 'no-store', 'it is not kept');
is($s->{headers}{'content-length'}, undef, 'no length is said');
like($s->{headers}{'x-request-id'}, qr/^[\w.-]+$/, 'it has a request id');
is($e->{id}, 2, 'with the number of the last event');
is($e->{event}, undef, 'as an unnamed event');
is($e->{json}{progress_percentage}, 12.5, 'and its content');
is($e->{json}{current_step}, 'a "quoted" <step>', 'whatever is in it');

my %retry;
for (1 .. 10) {
	my $other = $rig->stream($v1, as => $ana);
	$other->next;
	$retry{$other->{retry}} = 1;
	$other->close;
}
cmp_ok((sort { $a <=> $b } keys %retry)[0], '>=', 2000, 'retry is not short');
cmp_ok((sort { $a <=> $b } keys %retry)[-1], '<=', 8000, 'nor long');
cmp_ok(scalar keys %retry, '>', 1, 'and differs from stream to stream');

# ---- refusals ---------------------------------------------------------------

my $bob = $rig->user('bob');
my $unknown = '01234567-89ab-7cde-8f01-23456789abcd';
for ([ 'no credentials', $v1, undef, 401 ],
    [ 'bad credentials', $v1, 'mr_nonsense', 401 ],
    [ 'bad credentials to the other dialect', $process, 'mr_nonsense', 401 ],
    [ 'a malformed id', '/api/v1/jobs/7/stream', $ana, 400 ],
    [ 'an id in upper case', uc($unknown) =~ s/^/\/api\/v1\/jobs\//r .
	'/stream', $ana, 400 ],
    [ 'an unknown job', "/api/v1/jobs/$unknown/stream", $ana, 404 ],
    [ 'the same without credentials', "/jobs/$unknown/stream", undef, 404 ],
    [ "somebody else's job", $v1, $bob, 404 ],
    [ "somebody's job without credentials", $process, undef, 404 ],
    [ 'a query that is no text', "$v1?x=%ff", $ana, 400 ]) {
	my ($what, $path, $as, $status) = @$_;
	my $r = $rig->get($path, as => $as);
	is($r->{status}, $status, "$what: $status");
	is($r->{headers}{'content-type'}, 'application/problem+json',
	    'as a problem document');
	is($r->json->{status}, $status, 'that says so');
}
my ($theirs, $none) = map { my $r = $rig->get("/api/v1/jobs/$_/stream",
    as => $bob); delete $r->{headers}{$_} for qw(date x-request-id);
    $r->{body} =~ s/"request_id":"[^"]*"//; $r } $job->id, $unknown;
is_deeply([ @$theirs{qw(status headers body)} ],
    [ @$none{qw(status headers body)} ],
    "somebody else's job is told from an unknown one by nothing");
my $r = $rig->post($v1, as => $ana, body => '');
is($r->{status}, 405, 'POST: 405');
like($r->{headers}{allow}, qr/\bGET\b/, 'with what is allowed');
is($rig->head($v1, as => $ana)->{status}, 200, 'HEAD is answered');

# ---- the end ----------------------------------------------------------------

$job->event(progress => 50);
$job->event(state => 'completed', phase => 'completed', progress => 100,
    output_file => 'x.mp4');
for ([ 'v1', $v1 ], [ 'process', $process ]) {
	my ($name, $path) = @$_;
	my @all = $rig->stream($path, as => $ana)->until_end(timeout => 5);
	is($all[-1]{id}, 4, "$name: an ended job: its last event, and the end");
	is($rig->get($path, as => $ana, headers => { 'Last-Event-ID' => 4 })
	    ->{status}, 204, "$name: who has seen it is told to stop");
	is($rig->get("$path?last_event_id=4", as => $ana)->{status}, 204,
	    "$name: also by the query string");
	@all = $rig->stream($path, as => $ana, headers =>
	    { 'Last-Event-ID' => 3 })->until_end(timeout => 5);
	is($all[-1]{id}, 4, "$name: who has not gets it");
}
my @all = $rig->stream($process, as => $ana)->until_end(timeout => 5);
is_deeply([ map { "$_->{event} " . ($_->{id} // '-') } @all ],
    [ 'status -', 'progress -', 'done 4' ], 'process: state, last, done');
is($all[1]{json}{stage}, 'completed', 'the last one says it');
is($all[2]{data}, '{}', 'done says nothing');
@all = $rig->stream($process, as => $ana, headers => { 'Last-Event-ID' => 2 })
    ->until_end(timeout => 5);
is_deeply([ map { "$_->{event} " . ($_->{id} // '-') } @all ],
    [ 'status -', 'progress 3', 'progress -', 'done 4' ],
    'process: a reconnect has the state, and what it missed');
$s->close;

done_testing;
