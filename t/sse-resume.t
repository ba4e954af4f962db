# Who reconnects with the number of the last event gets exactly those after it,
# while more of them happen; who comes with one that is not known is told so.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;

my $rig = Rig->new->conf('sse', tick => '50ms')->start;
my $ana = $rig->user('ana');
my $job = Puppet->new($rig, owner => $ana);
my $v1 = '/api/v1/jobs/' . $job->id . '/stream';

sub ids { [ map { $_->{id} } @_ ] }

sub follow {
	my ($last, %o) = @_;
	return $rig->stream($o{path} // $v1, as => $ana, headers =>
	    { defined $last ? ('Last-Event-ID' => $last) : () });
}

# N events, or all there are until none has come for a while.
sub take {
	my ($s, $n) = @_;
	return map { $s->next(timeout => 30) } 1 .. $n;
}

$job->events(9);
is_deeply(ids(take(follow(4), 6)), [ 5 .. 10 ], 'the six after the fourth');
is_deeply(ids(take(follow(0), 10)), [ 1 .. 10 ], 'all, after none');
is_deeply(ids(take(follow(undef, path => "$v1?last_event_id=7"), 3)),
    [ 8 .. 10 ], 'the query string does as well');
is_deeply(ids(take(follow(8, path => "$v1?last_event_id=1"), 2)), [ 9, 10 ],
    'the header wins');
my $s = follow(10);
$job->event(progress => 20);
is_deeply(ids(take($s, 1)), [ 11 ], 'who has all gets no event twice');

# Events happen during every join, from any point of history.
my $writer = $job->events_beside(400);
my @streams;
for my $n (1 .. 60) {
	my $from = $n % 3 ? 11 : undef;
	push @streams, [ $from, follow($from) ];
}
waitpid $writer, 0;
is($?, 0, 'all of them were written');
$job->event(state => 'failed', phase => 'failed', message => 'torn');
my $last = $job->seq;
my $wrong = 0;
for (@streams) {
	my ($from, $stream) = @$_;
	my @got = map { $_->{id} } $stream->until_end(timeout => 30);
	my $first = $from ? $from + 1 : $got[0];
	$wrong++ if "@got" ne join ' ', $first .. $last;
}
is($wrong, 0, 'each of 60 streams has every event once, in order');

# ---- numbers that mean nothing ----------------------------------------------

my $open = Puppet->new($rig, owner => $ana);
$open->events(5);
my $path = '/api/v1/jobs/' . $open->id . '/stream';
for my $id (7, 4294967295, 4294967296, '99999999999999999999', -1, 'x', '6x',
    '1.5', '6 7', "\xe9") {
	my $e = follow($id, path => $path)->next(timeout => 30);
	is($e->{event}, 'reset', "after \"$id\": a reset");
	is($e->{id}, 6, 'with the state now');
}
is(follow('', path => $path)->next->{event}, undef, 'an empty one is none');

# The number of another job's event.
$s = follow($last, path => $path);
is($s->next->{event}, 'reset', "another job's number: a reset");
$open->event(progress => 30);
is($s->next->{id}, 7, 'and on from there');

# History that was pruned, and pruned while the stream waits.
$rig->sql("DELETE FROM event WHERE job_id = x'$open->{hex}' AND seq < 5");
is_deeply(ids(take(follow(4, path => $path), 3)), [ 5 .. 7 ],
    'what is left is enough');
my $e = follow(2, path => $path)->next(timeout => 30);
is("$e->{event} $e->{id}", 'reset 7', 'what is gone is said');
my $p = $rig->stream('/jobs/' . $open->id . '/stream', as => $ana,
    headers => { 'Last-Event-ID' => 2 });
is($p->next->{event}, 'status', 'process: a reconnect begins with the state');

# An ended job, from a number that means nothing: the end comes with it.
my @all = follow(100000)->until_end(timeout => 5);
is("$all[0]{event} $all[0]{id}", "reset $last", 'reset');
is($all[0]{json}{error_message}, 'torn', 'to how it ended');
is(scalar @all, 1, 'and that is all');

# A job that is retried goes on where its watchers were.
$s = follow($last);
is($s->{status}, 204, 'it is over');
$job->event(state => 'pending', phase => 'pending', error_message => \'NULL',
    completed_at => \'NULL');
$s = follow($last);
is($s->next->{json}{status}, 'pending', 'until somebody retries it');

# A deleted one: its streams end, and a reconnect learns why.
my $gone = Puppet->new($rig, owner => $ana);
my $gone_path = '/api/v1/jobs/' . $gone->id . '/stream';
$s = follow(undef, path => $gone_path);
ok($s->next, 'a stream of a job');
$rig->sql("DELETE FROM job WHERE id = x'$gone->{hex}'");
is($s->next(timeout => 30), undef, 'that is deleted ends');
is($rig->get($gone_path, as => $ana)->{status}, 404, 'then it is unknown');

done_testing;
