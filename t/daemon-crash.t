# A daemon that is killed loses nothing: the next one goes on at the first
# step that is not done, and nothing of the dead one is left.

use strict;
use warnings;

use POSIX ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', slots => 4)
    ->pipeline('loud', "stage shout 100 60s shout\n")
    ->stage('shout', <<'EOT')
#!/bin/sh
rm -f gate.part
mkfifo gate.part && exec 5<>gate.part && mv gate.part gate || exit 1
read -r word <&5
echo boom
exec sleep 60
EOT
    ->pipeline('three', <<'EOT')
stage	first	30	60s	mark-and-gate
stage	second	30	60s	mark-and-gate
stage	third	40	60s	mark-and-gate
EOT
    ->pipeline('sheets', <<'EOT')
stage	name	10	60s	name-items
each	sheet	80	60s	sheet
stage	sum	10	60s	sum
EOT
    ->pipeline('quick', "stage go 100 10s go\n")
    ->stage('go', "#!/bin/sh\n")
    ->pipeline('poison', "stage bite 100 60s bite\n")
    ->stage('bite', "#!/bin/sh\necho 'progress 1 biting' >&3\nkill -SEGV \$\$\n")
    ->stage('mark-and-gate', <<'EOT')
#!/bin/sh
# Forks what wants to stay, and waits to be let on.
(setsid sh -c 'while :; do sleep 0.05; done' &)
rm -f gate.part
mkfifo gate.part && exec 5<>gate.part && mv gate.part gate || exit 1
while read -r word rest <&5; do
	[ "$word" = end ] && { rm gate; exit 0; }
	echo "$word $rest" >&3
done
EOT
    ->stage('name-items', <<'EOT')
#!/bin/sh
for i in 1 2 3 4 5 6; do echo "item sheet-$i number $i" >&3; done
EOT
    ->stage('sheet', <<'EOT')
#!/bin/sh
echo "$MILLRACE_ITEM $MILLRACE_ITEM_ARGS" >>"ran-$MILLRACE_ITEM"
[ "$MILLRACE_ITEM" = sheet-4 ] && [ ! -e let ] && sleep 60
exit 0
EOT
    ->stage('sum', <<'EOT')
#!/bin/sh
echo "detail ran $(cat ran-* | wc -l)" >&3
EOT
    ->start;
my $ana = $rig->user('ana');

# Processes that work in the directory of a job.
sub programs {
	my ($job) = @_;
	return scalar grep { (readlink("$_/cwd") // '') =~ m{/work/$job} }
	    glob '/proc/[0-9]*';
}

my $job = $rig->submit('three', as => $ana);
# When the present attempt of a stage began, "" before it has.
sub began {
	my ($job, $stage) = @_;
	my ($row) = $rig->sql('SELECT started_at FROM step WHERE stage = ?' .
	    ' AND job_id = UNHEX(REPLACE(?, ?, ?))', $stage, $job, '-', '');
	return $row && $row->[0] ? $row->[0] : '';
}

my $s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
my $work = $rig->dir . "/storage/work/$job";

for my $stage (qw(first second third)) {
	$rig->wait_for(sub { -p "$work/gate" }, 20, "$stage runs");
	for my $times (1 .. 2) {
		cmp_ok(programs($job), '>=', 2, "$stage runs, with a child");
		unlink "$work/gate";
		my $first = began($job, $stage);
		my $before = time;
		$rig->kill('KILL', 'millraced');
		$rig->wait_for(sub { -p "$work/gate" }, 20,
		    "$stage runs again");
		my $took = time - $before;
		diag(sprintf '%s: %.2f s from kill -9 until it runs again',
		    $stage, $took);
		cmp_ok($took, '<', 15, "$stage is taken up again soon");
		ok($rig->wait_for(sub { began($job, $stage) gt $first }, 20,
		    "$stage began anew"), "and is said to have begun then");
	}
	$rig->tell($job, 'progress 50 half');
	$rig->tell($job, 'end');
	# A kill before the checkpoint is written would cost a stage.
	$rig->wait_for(sub {
		$rig->sql('SELECT 1 FROM step WHERE state = ? AND stage = ?',
		    'done', $stage)
	}, 20, "$stage is done");
}
is($rig->ended($job, as => $ana)->{status}, 'completed', 'the job completes');

my @percent = map { $_->{json}{progress_percentage} }
    $s->until_end(timeout => 20);
is_deeply([ sort { $a <=> $b } @percent ], \@percent,
    'percentages never fall, over six kills');
is($percent[-1], 100, 'and end at a hundred');
my @seq = map { $_->[0] } $rig->sql('SELECT seq FROM event ORDER BY seq');
is_deeply(\@seq, [ 1 .. @seq ], 'events are numbered without a gap');
is_deeply([ $rig->sql('SELECT attempt, crashes FROM job') ], [ [ 1, 0 ] ],
    'six kills are no second attempt, and forgotten where it got on');
is_deeply([ map { $_->[0] } $rig->sql('SELECT attempt FROM step' .
    ' ORDER BY position') ], [ 3, 3, 3 ], 'no stage ran more than it had to');
is(programs($job), 0, 'nothing of a stage is left');
$rig->wait_for(sub { ! -e $work }, 20, 'its directory is removed');

# Items that were done are not done again.
my $sheets = $rig->submit('sheets', as => $ana);
$work = $rig->dir . "/storage/work/$sheets";
$rig->wait_for(sub {
	my ($n) = $rig->sql('SELECT COUNT(*) FROM step WHERE state = ?' .
	    ' AND item <> ?', 'done', '');
	$n->[0] == 5
}, 20, 'all items but one are done');
cmp_ok($rig->job($sheets, as => $ana)->{progress_percentage}, '>', 70,
    'and count');
open my $let, '>', "$work/let" or die "$work/let: $!";
close $let;
$rig->kill('KILL', 'millraced');
is($rig->ended($sheets, as => $ana)->{status}, 'completed',
    'the rest is done after a kill');
my ($result) = $rig->sql('SELECT JSON_VALUE(result, ?) FROM job' .
    ' WHERE pipeline = ?', '$.ran', 'sheets');
is($result->[0], 7, 'only the item that was cut off ran twice');

# A claim that is committed when its daemon was given up already belongs to a
# daemon that has no row.
$rig->stop('millraced');
my $lost = $rig->submit('quick', as => $ana);
$rig->sql('UPDATE job SET state = ?, ready = NULL, daemon_id = 4711,' .
    ' token = 1, attempt = 1 WHERE id = UNHEX(REPLACE(?, ?, ?))', 'running',
    $lost, '-', '');
$rig->start_program('millraced');
is($rig->ended($lost, as => $ana)->{status}, 'completed',
    'a job whose daemon has no row is not lost');

# Somebody wants a job to end whose daemon dies before it hears of that.
my $unwanted = $rig->submit('three', as => $ana);
$rig->wait_for(sub { -p $rig->dir . "/storage/work/$unwanted/gate" }, 20,
    'it runs');
$rig->kill('STOP', 'millraced');
is($rig->post("/api/v1/jobs/$unwanted/cancel", as => $ana)->{status}, 202,
    'cancel is taken');
$rig->kill('KILL', 'millraced');
is($rig->ended($unwanted, as => $ana)->{status}, 'cancelled',
    'the next daemon knows');

# What takes its stage down again and again is set aside.
my $poison = $rig->submit('poison', as => $ana);
my $end = $rig->ended($poison, as => $ana);
is($end->{status}, 'failed', 'a stage that crashes again and again fails');
like($end->{error_message}, qr/^Set aside after 3 crashes: bite: .*signal 11/,
    'with the reason');

# ---- who is to blame --------------------------------------------------------

sub counts {
	my ($job) = @_;
	my ($row) = $rig->sql('SELECT crashes, deaths FROM job' .
	    ' WHERE id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	return $row;
}

# It runs, and the database knows.
sub stands {
	for my $job (@_) {
		$rig->wait_for(sub {
			-p $rig->dir . "/storage/work/$job/gate"
			    && $rig->sql('SELECT 1 FROM step WHERE state = ?' .
			    ' AND job_id = UNHEX(REPLACE(?, ?, ?))', 'running',
			    $job, '-', '')
		}, 30, "job $job runs");
	}
}

# A daemon that is killed while it has many jobs: none of them.
my @two = map { $rig->submit('three', as => $ana) } 1 .. 2;
stands(@two);
unlink $rig->dir . "/storage/work/$_/gate" for @two;
$rig->kill('KILL', 'millraced');
stands(@two);
is_deeply(counts($_), [ 0, 1 ], 'one of two jobs of a daemon that died: ' .
    'a death, and no crash') for @two;

# One that meets a defect in what a job says: that job, and no other.
my $loud = $rig->submit('loud', as => $ana);
stands($loud);
$rig->stop('millraced');
unlink $rig->dir . "/storage/work/$_/gate" for $loud, @two;
open my $halt, '>', $rig->dir . '/halt' or die "halt: $!";
print $halt "segv write boom\n";
close $halt;

# With a library that has it die of SIGSEGV as it handles the word "boom".
sub start_with_defect {
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	@ENV{qw(LD_PRELOAD MILLRACE_HALT)} =
	    ("$rig->{build}/t/torture/halt.so", $rig->dir . '/halt');
	open STDERR, '>>', $rig->dir . '/log/defect';
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c',
	    $rig->dir . '/millrace.conf';
	POSIX::_exit(127);
}

for my $n (1 .. 3) {
	my $pid = start_with_defect();
	stands(@two, $loud);
	unlink $rig->dir . "/storage/work/$_/gate" for @two;
	$rig->tell($loud, 'on');
	waitpid $pid, 0;
	is($? & 127, 11, 'the daemon dies of a signal');
	unlink $rig->dir . "/storage/work/$loud/gate";
}
$rig->start_program('millraced');
$end = $rig->ended($loud, as => $ana);
is($end->{error_message}, 'Set aside: it brought its daemon down 3 times',
    'the job that did it is set aside');
like($rig->log('millraced') . Rig::_read($rig->dir . '/log/defect'),
    qr/it met its end in job \Q$loud\E/, 'and was named');
is(counts($_)->[0], 0, 'no other job is blamed') for @two;
for my $stage (qw(first second third)) {
	for my $job (@two) {
		$rig->tell($job, 'end');
		$rig->wait_for(sub {
			$rig->sql('SELECT 1 FROM step WHERE state = ?' .
			    ' AND stage = ? AND job_id = UNHEX(REPLACE(?, ?, ?))',
			    'done', $stage, $job, '-', '')
		}, 30, "$stage is done");
	}
	is_deeply(counts($_), [ 0, 0 ], 'a step that is done is a new start')
	    for @two;
}
is($rig->ended($_, as => $ana)->{status}, 'completed', 'they complete')
    for @two;

# One that had nothing else.
my $only = $rig->submit('three', as => $ana);
for (1 .. 3) {
	stands($only);
	unlink $rig->dir . "/storage/work/$only/gate";
	$rig->kill('KILL', 'millraced');
}
is($rig->ended($only, as => $ana)->{error_message},
    'Set aside: it brought its daemon down 3 times',
    'the only job of a daemon that dies three times is set aside');

done_testing;
