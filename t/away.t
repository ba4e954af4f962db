# The database goes away and comes back: requests are told to wait, streams
# stay open, jobs run on, and nothing is lost.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('gate', "accept text/plain\nstage hold 100 120s gate\n")
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $job = $rig->submit('gate', as => $ana, content => "x\n");

my $s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
is($s->next(timeout => 30)->{json}{job_id}, $job, 'a stream is open');
$rig->tell($job, 'progress 10 one');
my ($e, @ids);
do { $e = $s->next(timeout => 30); push @ids, $e->{id} }
    until $e->{json}{progress_percentage} == 10;

$rig->stop('mariadb');
my $r;
$rig->wait_for(sub { ($r = $rig->get('/api/v1/jobs', as => $ana))->{status} ==
    503 }, 20, 'the database is away');
is($r->{status}, 503, 'requests are refused with 503');
like($r->{headers}{'retry-after'}, qr/^\d+$/, 'and told when to come back');
is($r->{headers}{'content-type'}, 'application/problem+json',
    'as a problem document');
is($rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'gate', file =>
    { content => 'x', filename => 'x' } ])->{status}, 503,
    'uploads are refused as well');
my $health = $rig->get('/health');
is($health->{status}, 503, '/health says so');
ok($health->json->{failed}{database}, 'and names the database');
my $late = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
is($late->{status}, 200, 'a new stream is not refused: EventSource comes back');
is($late->next(timeout => 30), undef, 'but ends at once');
like($s->comment(timeout => 30), qr/database/, 'the open one says what is up');

$rig->tell($job, 'progress 20 two');	# while nobody can write it down
$rig->start_program('mariadb');
$rig->wait_for(sub { $rig->is_healthy }, 60, 'it is back');
do { $e = $s->next(timeout => 30); push @ids, $e->{id} }
    until $e->{json}{progress_percentage} == 20;
pass('the same stream shows what happened meanwhile');
$rig->tell($job, 'end');
push @ids, map { $_->{id} } $s->until_end(timeout => 30);
is_deeply(\@ids, [ $ids[0] .. $ids[-1] ], 'no event was lost, none came twice');
is($rig->job($job, as => $ana)->{status}, 'completed', 'the job is done');
is(($rig->sql('SELECT attempt FROM job'))[0][0], 1, 'in its first attempt');

done_testing;
