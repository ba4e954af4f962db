# What went wrong is tried again: by itself, after pauses that grow, until its
# tries are used up; then by a person, from where that person says.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('grows', "stage only 100 30s attempts=4 pause=2s,1m fall\n")
    ->pipeline('asks', "attempts 2\npause 5m\nstage only 100 30s busy\n")
    ->pipeline('refuses', "attempts 9\nstage only 100 30s refuse\n")
    ->pipeline('each', <<'EOT')
pause	1
stage	first	40	30s	attempts=2 once-not 1
stage	second	40	30s	attempts=3 once-not 2
stage	third	20	30s	attempts=1 bite-once
EOT
    ->pipeline('items', <<'EOT')
pause	1
stage	split	20	30s	split
each	part	60	30s	attempts=2 part
stage	join	20	30s	join
EOT
    ->pipeline('some', <<'EOT')
stage	split	20	30s	split
each	part	60	30s	attempts=1 failures=50% part
stage	join	20	30s	join
EOT
    ->pipeline('stops', <<'EOT')
stage	split	20	30s	split
each	part	60	30s	attempts=1 failures=stop slow-part
stage	join	20	30s	join
EOT
    ->pipeline('chain', <<'EOT')
attempts 2
pause	1
stage	split	20	30s	split
stage	look	20	30s	look
each	part	40	30s	part
stage	join	10	30s	join
stage	last	10	30s	last
EOT
    ->pipeline('held', "accept text/*\nstage split 50 30s split\n" .
	"stage hold 50 60s gate\n")
    ->stage('fall', "#!/bin/sh\necho 'oil on the floor' >&2\nexit 7\n")
    ->stage('busy', "#!/bin/sh\necho 'retry 4 all seats are taken' >&3\n")
    ->stage('refuse', "#!/bin/sh\necho 'reject this is no fish' >&3\n")
    ->stage('once-not', <<'EOT')
#!/bin/sh
# Fails N times, at 60 percent.
echo "progress 60 some" >&3
echo x >>"fell.$1"
[ "$(wc -l <"fell.$1")" -gt "$1" ]
EOT
    ->stage('bite-once', <<'EOT')
#!/bin/sh
[ -e bitten ] && exit 0
: >bitten
kill -SEGV $$
EOT
    ->stage('split', <<'EOT')
#!/bin/sh
for i in 1 2 3 4; do echo "item n$i" >&3; done
echo 'detail parts 4' >&3
EOT
    ->stage('look', "#!/bin/sh\n")
    ->stage('part', <<'EOT')
#!/bin/sh
# Item n2 fails, until the program is repaired; n3 crashes, once.
echo "$MILLRACE_ITEM" >>did
echo "progress 50" >&3
[ "$MILLRACE_ITEM" = n3 ] && [ ! -e bitten ] && : >bitten && kill -SEGV $$
[ "$MILLRACE_ITEM" != n2 ] || [ -e "${0%/*}/repaired" ] || {
	echo "n2 is stuck" >&2; exit 1; }
EOT
    ->stage('slow-part', <<'EOT')
#!/bin/sh
[ "$MILLRACE_ITEM" = n1 ] && { echo "reject n1 is torn" >&3; exit; }
exec sleep 100
EOT
    ->stage('join', "#!/bin/sh\nsort did >joined\ncat joined >&2\n")
    ->stage('last', "#!/bin/sh\n[ -e \"\${0%/*}/last-repaired\" ]\n")
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $repaired = $rig->dir . '/stages/repaired';

sub repair { open my $f, '>', $_[0] // $repaired or die "$!" }
sub damage { unlink $_[0] // $repaired }

sub id_of { "UNHEX('" . $_[0] =~ s/-//gr . "')" }

sub run {
	my ($pipeline) = @_;
	my $job = $rig->submit($pipeline, as => $ana);
	return ($rig->ended($job, as => $ana), $job);
}

# { "STAGE ITEM" => COLUMN }
sub steps {
	my ($job, $column) = @_;
	return { map { ("$_->[0] $_->[1]" =~ s/ $//r) => $_->[2] }
	    $rig->sql("SELECT stage, item, $column FROM step WHERE job_id = " .
	    id_of($job)) };
}

# Pauses: [ said, waited ], in seconds, from the events.
sub pauses {
	my ($job) = @_;
	my (@pauses, $since, $said);
	for ($rig->sql('SELECT state, step, UNIX_TIMESTAMP(at) FROM event' .
	    ' WHERE job_id = ' . id_of($job) . ' ORDER BY seq')) {
		my ($state, $step, $at) = @$_;
		if ($state eq 'pending' && $step =~ /^Again in (\d+) s: /) {
			($since, $said) = ($at, $1);
		} elsif ($state eq 'running' && defined $since) {
			push @pauses, [ $said, $at - $since ];
			undef $since;
		}
	}
	return @pauses;
}

# Percentages that fell between two events: [ from, to, state ].
sub falls {
	my ($job) = @_;
	my (@falls, $before);
	for ($rig->sql('SELECT progress, state FROM event WHERE job_id = ' .
	    id_of($job) . ' ORDER BY seq')) {
		push @falls, [ $before, @$_ ]
		    if defined $before && $_->[0] < $before;
		$before = $_->[0];
	}
	return @falls;
}

sub retry {
	my ($job, %from) = @_;
	my $r = $rig->post("/api/v1/jobs/$job/retry", as => $ana,
	    %from ? (json => { %from }) : ());
	is($r->{status}, 202, "a person: again, from " .
	    ($from{from} // 'where it failed'));
	return $rig->ended($job, as => $ana);
}

# ---- by itself --------------------------------------------------------------

my ($end, $job) = run('grows');
is($end->{status}, 'failed', 'what fails each time has failed');
is($end->{error_message},
    'Given up after 4 attempts: only: exit 7: oil on the floor', 'says why');
is_deeply(steps($job, 'failures'), { only => 4 }, 'after the tries it has');
my @pauses = pauses($job);
is(scalar @pauses, 3, 'with a pause between each two');
for my $n (0 .. 2) {
	my ($said, $waited) = @{ $pauses[$n] // [ 0, 0 ] };
	my $most = 2 << $n;
	cmp_ok($said, '>=', $most / 2, "pause $n is half of $most s at least");
	cmp_ok($said, '<=', $most, 'and all of it at most');
	cmp_ok($waited, '>=', $said, 'it is waited for');
	cmp_ok($waited, '<', $said + 15, 'and not for much longer');
}

($end, $job) = run('asks');
is($end->{error_message}, 'Given up after 2 attempts: all seats are taken',
    'one that asks for time has tries as well');
@pauses = pauses($job);
is($pauses[0][0], 4, 'the time that it asked for');
cmp_ok($pauses[0][1], '>=', 4, 'is what it gets');

($end, $job) = run('refuses');
is_deeply([ @$end{qw(status error_message)} ],
    [ 'failed', 'this is no fish' ], 'what is refused has failed at once');
is_deeply(steps($job, 'attempt'), { only => 1 }, 'with tries left');

($end, $job) = run('each');
is($end->{status}, 'completed', 'each stage has tries of its own')
    or diag $end->{error_message};
is_deeply(steps($job, 'failures'), { first => 1, second => 2, third => 0 },
    'which are counted for it');
is_deeply(steps($job, 'crashes'), { first => 0, second => 0, third => 1 },
    'and crashes apart');
is_deeply([ falls($job) ], [], 'no percentage falls');
my ($back) = $rig->sql('SELECT COUNT(*) FROM event e JOIN event f ON' .
    ' f.job_id = e.job_id AND f.seq = e.seq + 1 AND f.stage = e.stage' .
    ' AND f.stage_progress < e.stage_progress WHERE e.job_id = ' .
    id_of($job));
is($back->[0], 0, 'nor that of a stage that is tried again');

# ---- items ------------------------------------------------------------------

($end, $job) = run('items');
is($end->{error_message},
    'Given up after 2 attempts: part: exit 1: n2 is stuck',
    'an item that fails makes its job fail');
is_deeply(steps($job, 'state'), { split => 'done', 'part n1' => 'done',
    'part n2' => 'failed', 'part n3' => 'done', 'part n4' => 'done',
    join => 'waiting' }, 'once its neighbours are done');
is_deeply(steps($job, 'attempt'), { split => 1, 'part n1' => 1,
    'part n2' => 2, 'part n3' => 2, 'part n4' => 1, join => 0 },
    'only what went wrong was tried again');
my ($details) = map { JSON::PP->new->decode($_->[0]) }
    $rig->sql('SELECT details FROM job WHERE id = ' . id_of($job));
is_deeply($details->{failed}, [ { stage => 'part', item => 'n2', reason =>
    'Given up after 2 attempts: part: exit 1: n2 is stuck' } ],
    'the details tell which item, and why');
is($details->{items_failed}, 1, 'and how many');

repair();
is(retry($job)->{status}, 'completed', 'it is, when all is well');
is_deeply(steps($job, 'attempt'), { split => 1, 'part n1' => 1,
    'part n2' => 3, 'part n3' => 2, 'part n4' => 1, join => 1 },
    'what was done stayed done');
is_deeply(steps($job, 'failures'), { split => 0, 'part n1' => 0,
    'part n2' => 0, 'part n3' => 0, 'part n4' => 0, join => 0 },
    'what was not began anew');
my ($result) = map { JSON::PP->new->decode($_->[0]) }
    $rig->sql('SELECT result FROM job WHERE id = ' . id_of($job));
is_deeply($result, { parts => 4 }, 'nothing has failed any more');
damage();

($end, $job) = run('some');
is($end->{status}, 'completed', 'half of the items may fail');
is_deeply(steps($job, 'state'), { split => 'done', 'part n1' => 'done',
    'part n2' => 'failed', 'part n3' => 'done', 'part n4' => 'done',
    join => 'done' }, 'and one does');
($result) = map { JSON::PP->new->decode($_->[0]) }
    $rig->sql('SELECT result FROM job WHERE id = ' . id_of($job));
is($result->{items_failed}, 1, 'the result tells');

($end, $job) = run('stops');
is_deeply([ @$end{qw(status error_message)} ], [ 'failed', 'n1 is torn' ],
    'or the first one that fails stops the others');
my $ended = steps($job, 'ended_at');
is_deeply([ grep { /^part/ && defined $ended->{$_} } sort keys %$ended ],
    [ 'part n1' ], 'none of which was done');

# ---- by a person ------------------------------------------------------------

sub chain {
	my (%tries) = (split => 1, look => 1, part => 1, join => 1, last => 1,
	    @_);
	return { (map { $_ => $tries{$_} } qw(split look join last)),
	    map { ("part n$_" => $tries{part} + ($_ == 3)) } 1 .. 4 };
}

my $last = $rig->dir . '/stages/last-repaired';
repair();

# Progress at which a person's retry begins, and the falls besides that one.
sub falls_at_retry {
	my ($id) = @_;
	my @falls = falls($id);
	my @at_retry = grep { $_->[2] eq 'pending' } @falls;
	is(scalar @falls, scalar @at_retry,
	    'percentages fall by a person only');
	return @at_retry ? $at_retry[-1][1] : undef;
}

sub broken_chain {
	damage($last);
	my ($end, $id) = run('chain');
	is($end->{status}, 'failed', 'the last stage fails');
	is_deeply(steps($id, 'attempt'), chain(last => 2), 'after its tries');
	return $id;
}

$job = broken_chain();
is(retry($job)->{status}, 'failed', 'and again');
is_deeply(steps($job, 'attempt'), chain(last => 4), 'with tries anew');
repair($last);
is(retry($job)->{status}, 'completed', 'and not any more');
is_deeply(steps($job, 'attempt'), chain(last => 5), 'only that stage');
is(falls_at_retry($job), undef, 'and the percentage does not fall');
is($rig->post("/api/v1/jobs/$job/retry", as => $ana)->{status}, 409,
    'what is completed is not run again');

$job = broken_chain();
repair($last);
is(retry($job, from => 'look')->{status}, 'completed', 'from a stage');
is_deeply(steps($job, 'attempt'), { split => 1, look => 2, 'part n1' => 2,
    'part n2' => 2, 'part n3' => 3, 'part n4' => 2, join => 2, last => 3 },
    'all of it and what follows; items that an earlier one named are there');
is(falls_at_retry($job), '20.00', 'it begins with the share that stays done');

$job = broken_chain();
repair($last);
is(retry($job, from => 'part')->{status}, 'completed', 'from the items on');
is_deeply(steps($job, 'attempt'), { split => 1, look => 1, 'part n1' => 2,
    'part n2' => 2, 'part n3' => 3, 'part n4' => 2, join => 2, last => 3 },
    'all of them again');
is(falls_at_retry($job), '40.00', 'at its percentage');

$job = broken_chain();
$rig->sql('UPDATE step SET token = 5, open = 1, helper = 9, said = "{}"' .
    " WHERE stage = 'last' AND job_id = " . id_of($job));
repair($last);
is(retry($job, from => 'start')->{status}, 'completed', 'from the start');
is_deeply(steps($job, 'attempt'), { split => 2, look => 2, join => 2,
    last => 3, map { ("part n$_" => 1) } 1 .. 4 }, 'all of it, named anew');
is(falls_at_retry($job), '0.00', 'from nothing');
is_deeply([ $rig->sql('SELECT COUNT(*) FROM step WHERE token IS NOT NULL') ],
    [ [ 0 ] ], 'nothing is lent to anybody any more');

# What was cancelled has lost its files.
$job = $rig->submit('held', as => $ana, content => "x\n");
$rig->wait_for(sub { (steps($job, 'state')->{hold} // '') eq 'running' }, 60,
    'a job is in its second stage');
is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 202,
    'somebody cancels it');
is($rig->ended($job, as => $ana)->{status}, 'cancelled', 'so it is');
is($rig->post("/api/v1/jobs/$job/retry", as => $ana)->{status}, 202,
    'and wants it after all');
$rig->wait_for(sub { (steps($job, 'state')->{hold} // '') eq 'running' }, 60,
    'it runs again');
is(steps($job, 'attempt')->{split}, 2, 'from its start');
$rig->tell($job, 'end');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'to its end');

done_testing;
