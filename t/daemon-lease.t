# Two daemons share a database: no job is done twice, whoever is stopped,
# killed or cut off from it.

use strict;
use warnings;

use Rig;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', lease => '5s', slots => 4)
    ->pipeline('short', "stage one 100 30s short\n")
    ->pipeline('hold', "stage a 50 60s quick\nstage b 50 60s gate\n")
    ->stage('quick', "#!/bin/sh\n")
    ->stage('short', "#!/bin/sh\nsleep 0.1\necho progress 100 >&3\n")
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $storage = $rig->dir . '/storage';
my $second;

# Another daemon of the same site.
sub start_second {
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDERR, '>>', $rig->dir . '/log/second';
		no warnings 'exec';
		exec { "$rig->{build}/millraced" } 'millraced', '-c',
		    $rig->dir . '/millrace.conf';
		POSIX::_exit(127);
	}
	$second = $pid;
	$rig->wait_for(sub { 2 == $rig->sql('SELECT id FROM daemon') }, 20,
	    'there are two daemons');
}

sub end_second {
	my ($signal) = @_;
	return unless $second;
	kill $signal, $second;
	waitpid $second, 0;
	undef $second;
}
END { local $?; kill 'KILL', $second if $second }

sub row {
	my ($job, $columns) = @_;
	my ($row) = $rig->sql("SELECT $columns FROM job" .
	    ' WHERE id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	return $row;
}

sub clean {
	my ($job, $what) = @_;
	my @seq = map { $_->[0] } $rig->sql('SELECT seq FROM event WHERE' .
	    ' job_id = UNHEX(REPLACE(?, ?, ?)) ORDER BY seq', $job, '-', '');
	is_deeply(\@seq, [ 1 .. @seq ], "$what: events without a gap");
	my @ends = $rig->sql('SELECT seq FROM event WHERE' .
	    ' job_id = UNHEX(REPLACE(?, ?, ?)) AND state IN (?, ?, ?)',
	    $job, '-', '', qw(completed failed cancelled));
	is_deeply(\@ends, [ [ $seq[-1] ] ], "$what: one end, and it is last");
}

# Seconds from a time until the job was taken from the daemon that had it, by
# the database's clock.
sub taken_over {
	my ($job, $since) = @_;
	my ($row) = $rig->sql('SELECT TIMESTAMPDIFF(MICROSECOND, ?, MAX(at))' .
	    ' / 1000000 FROM event WHERE state = ? AND' .
	    ' job_id = UNHEX(REPLACE(?, ?, ?))', $since, 'pending',
	    $job, '-', '');
	return $row->[0];
}

sub checkpoints {
	my ($job) = @_;
	return scalar $rig->sql('SELECT 1 FROM step WHERE state = ? AND' .
	    ' job_id = UNHEX(REPLACE(?, ?, ?))', 'done', $job, '-', '');
}

# The same as $rig->ended, of programs that lost their connections.
sub ended {
	my ($job) = @_;
	return $rig->wait_for(sub {
		my $j = eval { $rig->job($job, as => $ana) };
		$j && $j->{status} =~ /^(completed|failed|cancelled)$/ && $j
	}, 60, "job $job ends");
}

sub programs {
	my ($job) = @_;
	return scalar grep { (readlink("$_/cwd") // '') =~ m{/work/$job} }
	    glob '/proc/[0-9]*';
}

# ---- both work --------------------------------------------------------------

start_second();
my @jobs = map { $rig->submit('short', as => $ana) } 1 .. 40;
$rig->wait_for(sub { 40 == $rig->sql('SELECT id FROM job WHERE state = ?',
    'completed') }, 60, 'all jobs are done');
is_deeply([ $rig->sql('SELECT DISTINCT attempt, crashes FROM job') ],
    [ [ 1, 0 ] ], 'each of them once') or
    diag explain [ $rig->sql('SELECT attempt, crashes, seq FROM job') ];
my $taken = () = $rig->log('second') =~ /: taken,/g;
cmp_ok($taken, '>=', 5, "the second daemon took its part: $taken");
cmp_ok($taken, '<=', 35, 'and no more');
is((() = ($rig->log('second') . $rig->log('millraced')) =~ /: taken,/g), 40,
    'none was taken twice');

# ---- one is stopped ---------------------------------------------------------

end_second('TERM');
my $job = $rig->submit('hold', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'a job runs');
$rig->wait_for(sub { checkpoints($job) == 1 }, 20, 'its first stage is noted');
start_second();
my $paused = $rig->kill('STOP', 'millraced');
my ($seen) = $rig->sql('SELECT seen_at FROM daemon WHERE pid = ?', $paused);
my $before = time;
$rig->wait_for(sub { !programs($job) }, 20, 'its programs end');
diag(sprintf 'stopped: %.2f s until its programs were gone', time - $before);
unlink "$storage/work/$job/gate";
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 30,
    'the other goes on with it');
my ($took) = taken_over($job, $seen->[0]);
diag(sprintf '%.2f s from its last sign until another took over', $took);
cmp_ok($took, '>=', 4, 'not before it was fenced');
cmp_ok($took, '<', 10, 'and five seconds after its lease at the latest');
is(row($job, 'crashes')->[0], 1, 'counted as a crash');
kill 'CONT', $paused;
$rig->wait_for(sub { $rig->log('millraced') =~ /fenced: / }, 20,
    'the stopped one finds that it was taken for dead');
$rig->tell($job, 'end');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'the job completes');
clean($job, 'stopped');
is_deeply([ $rig->sql('SELECT s.attempt FROM step s JOIN job j ON' .
    ' j.id = s.job_id WHERE j.pipeline = ? ORDER BY position', 'hold') ],
    [ [ 1 ], [ 2 ] ], 'and only what was cut off ran again');
end_second('TERM');
my $again = $rig->submit('short', as => $ana);
is($rig->ended($again, as => $ana)->{status}, 'completed',
    'the stopped one works again');

# ---- one is killed ----------------------------------------------------------

start_second();
$rig->stop('millraced');
$job = $rig->submit('hold', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'a job runs');
$rig->start_program('millraced');
$rig->wait_for(sub { 2 == $rig->sql('SELECT id FROM daemon') }, 20,
    'two daemons again');
unlink "$storage/work/$job/gate";
my ($now) = $rig->sql('SELECT NOW(3)');
end_second('KILL');
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 30, 'it is taken over');
$took = taken_over($job, $now->[0]);
diag(sprintf '%.2f s from kill -9 until another daemon took over', $took);
cmp_ok($took, '<', 5, 'one of the same host does not wait for the lease');
$rig->tell($job, 'end');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'the job completes');
clean($job, 'killed');

# ---- the database goes away -------------------------------------------------

$job = $rig->submit('hold', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'a job runs');
$rig->restart('mariadb');
$rig->tell($job, 'progress 50 half');
$rig->tell($job, 'end');
$rig->wait_for(sub { $rig->is_healthy }, 30, 'the database is back');
is(ended($job)->{status}, 'completed',
    'a restart of the database costs a job nothing');
is_deeply(row($job, 'attempt, crashes'), [ 1, 0 ], 'no attempt');
clean($job, 'restart');

$job = $rig->wait_for(sub {
	eval { $rig->submit('hold', as => $ana) }
}, 20, 'another is taken');
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'a job runs');
unlink "$storage/work/$job/gate";
$rig->stop('mariadb');
$before = time;
$rig->wait_for(sub { !programs($job) }, 20, 'its programs end');
cmp_ok(time - $before, '<', 10, 'without a database, when the lease does');
$rig->start_program('mariadb');
$rig->wait_for(sub { $rig->is_healthy }, 30, 'the database is back');
$rig->tell($job, 'end');
is(ended($job)->{status}, 'completed', 'the job completes');
is_deeply(row($job, 'attempt, crashes'), [ 1, 0 ],
    'and it is not counted against it');
clean($job, 'away');

done_testing;
