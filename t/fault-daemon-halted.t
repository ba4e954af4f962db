# A daemon is stopped at the worst points, and goes on when others have its
# job: nothing that it was about to write takes effect.  (slow)

use strict;
use warnings;

use Digest::SHA ();
use POSIX ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

# What it is about to do when it is stopped, as t/torture/halt.c calls it, and
# what it has done before.
my @points = (
	[ 'claims a job', 'sql UPDATE job FORCE INDEX (PRIMARY) SET state' ],
	[ 'begins to write', 'sql START TRANSACTION' ],
	[ 'writes a step', 'sql UPDATE step SET' ],
	[ 'commits', 'sql COMMIT' ],
	[ 'writes the list of results', 'rename .list-' ],
	[ 'publishes results', 'rename store-' ],
	[ 'writes the rows of results', 'sql DELETE FROM artifact' ],
	[ 'begins to write the end', 'sql START TRANSACTION',
	    'rename store-' ],
	[ 'completes the job', "phase = 'completed'" ],
	[ 'renews its lease', 'sql UPDATE daemon SET seen_at' ],
);

my $rig = Rig->new
    ->conf('daemon', lease => '5s', slots => 16, sweep => '2s',
	queues => join(' ', map { "q$_" } 0 .. $#points))
    ->with_stages
    ->stage('make', <<'EOT')
#!/bin/sh
# Waits the first time only.
if [ ! -e gate ]; then
	mkfifo gate.part && exec 5<>gate.part && mv gate.part gate || exit 1
	read -r word <&5
fi
echo "one $MILLRACE_STORE" >one
echo 'result one.txt one text/plain' >&3
EOT
    ->stage('more', <<'EOT')
#!/bin/sh
echo "two $MILLRACE_STORE" >two
echo 'result two.txt two text/plain' >&3
EOT
    ;
$rig->pipeline("p$_", <<"EOT") for 0 .. $#points;
queue	q$_
stage	make	40	60s	make
stage	more	40	60s	more
stage	store	20	60s	store
EOT
$rig->start;
my $ana = $rig->user('ana');
my $dir = $rig->dir;
my $storage = "$dir/storage";
my $base = Rig::_read("$dir/millrace.conf");
my $sockets = readlink("$dir/sock") // "$dir/sock";
my %pids;
END { local $?; kill 'KILL', keys %pids if %pids }

sub hexed { "x'" . ($_[0] =~ s/-//gr) . "'" }

# One of its own for each point, that has no other queue.
sub start_halting {
	my ($i) = @_;
	my $conf = $base;
	$conf =~ s{^queues = .*}{queues = q$i}m or die;
	$conf =~ s{^sockets = .*}{sockets = $sockets/h$i}m or die;
	Rig::_write("$dir/h$i.conf", $conf);
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		@ENV{qw(LD_PRELOAD MILLRACE_HALT)} =
		    ("$rig->{build}/t/torture/halt.so", "$dir/halt$i");
		$ENV{MILLRACE_HALT_AFTER} = $points[$i][2]
		    if defined $points[$i][2];
		open STDERR, '>>', "$dir/log/h$i";
		no warnings 'exec';
		exec { "$rig->{build}/millraced" } 'millraced', '-c',
		    "$dir/h$i.conf";
		POSIX::_exit(127);
	}
	$pids{$pid} = 1;
	return $pid;
}

sub arm { Rig::_write("$dir/halt$_[0]", "stop $points[$_[0]][1]\n") }

sub is_stopped {
	my ($pid) = @_;
	return (Rig::_read("/proc/$pid/stat") // '') =~ /\) [Tt] /;
}

# ---- they are stopped -------------------------------------------------------

$rig->stop('millraced');
my @pids = map { start_halting($_) } 0 .. $#points;
$rig->wait_for(sub { @points == $rig->sql('SELECT id FROM daemon') }, 30,
    'all daemons are there');
arm(0);
my @jobs = map { $rig->submit("p$_", as => $ana) } 0 .. $#points;
for my $i (0 .. $#points) {
	$rig->tell($jobs[$i], 'end') if $i && do {
		$rig->wait_for(sub { -p "$storage/work/$jobs[$i]/gate" }, 30,
		    "job $i runs");
		arm($i);
		1
	};
	$rig->wait_for(sub { is_stopped($pids[$i]) }, 30,
	    "one is stopped as it $points[$i][0]");
}
my @stopped = map { $_->[0] }
    $rig->sql('SELECT id FROM daemon ORDER BY id');
is(@stopped, @points, 'all of them are stopped');

# ---- another goes on --------------------------------------------------------

my $before = time;
$rig->start_program('millraced');
$rig->tell($jobs[0], 'end');		# it never ran
$rig->wait_for(sub {
	my ($row) = $rig->sql('SELECT COUNT(*) FROM job WHERE state = ?',
	    'completed');
	$row->[0] == @points
}, 60, 'another daemon completes their jobs');
diag(sprintf '%.1f s until all were completed elsewhere', time - $before);
my %was = map { $_->[0] => join ' ', @$_[1 .. $#$_] } $rig->sql(
    'SELECT HEX(id), token, seq, progress, attempt, result FROM job');

# ---- and they too -----------------------------------------------------------

kill 'CONT', $_ for @pids;
for my $i (0 .. $#points) {
	$rig->wait_for(sub {
		(Rig::_read("$dir/log/h$i") // '')
		    =~ /fenced: .*daemon \d+: \d+ slots/s
	}, 30, "the one that $points[$i][0] finds out, and begins anew");
}
$rig->wait_for(sub {
	my %now = map { $_ => 1 } map { s{.*/}{}r } glob "$storage/results/*";
	keys %now == @points
}, 30, 'results that nobody looks for are removed');

for my $i (0 .. $#points) {
	my ($job, $what) = ($jobs[$i], "stopped as it $points[$i][0]");
	my $id = hexed($job);
	my ($row) = $rig->sql('SELECT HEX(id), token, seq, progress, attempt,' .
	    " result FROM job WHERE id = $id");
	my ($hex, @now) = @$row;
	is("@now", $was{$hex}, "$what: the job stays as it was");
	my @events = $rig->sql("SELECT seq, state FROM event WHERE job_id = $id"
	    . ' ORDER BY seq');
	is_deeply([ map { $_->[0] } @events ], [ 1 .. $now[1] ],
	    "$what: events without a gap");
	is(scalar(grep { $_->[1] eq 'completed' } @events), 1,
	    "$what: one end");
	my @files = $rig->sql('SELECT name, path, sha256 FROM artifact' .
	    " WHERE job_id = $id ORDER BY position");
	is_deeply([ map { $_->[0] } @files ], [ 'one.txt', 'two.txt' ],
	    "$what: both results");
	for (@files) {
		my ($name, $path, $sum) = @$_;
		like($path, qr{^results/\Q$job-$now[0]/$name\E$},
		    "$what: $name is of the attempt that completed it");
		my $text = Rig::_read("$storage/$path");
		is(Digest::SHA::sha256_hex($text), $sum,
		    "$what: it is the file that was stored");
	}
	is_deeply([ $rig->sql('SELECT DISTINCT state FROM step' .
	    " WHERE job_id = $id") ], [ [ 'done' ] ], "$what: steps are done");
}

# ---- and work ---------------------------------------------------------------

my $new = $rig->submit('p1', as => $ana);
$rig->tell($new, 'end');
is($rig->ended($new, as => $ana)->{status}, 'completed', 'all goes on');
kill 'TERM', $_ for @pids;
for (@pids) {
	waitpid $_, 0;
	is($?, 0, 'it ends as told');
	delete $pids{$_};
}

done_testing;
