# A daemon that is told to end, or to read its pipelines anew, costs no job
# anything.

use strict;
use warnings;

use IO::Socket::UNIX;
use POSIX ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', slots => 40)
    ->pipeline('steps', "stage a 40 60s quick\nstage b 60 60s gate\n")
    ->pipeline('hold', "stage one 100 60s gate\n")
    ->pipeline('save', "stage count 100 60s count\n")
    ->pipeline('soon', "stage a 50 60s soon\nstage b 50 60s gate\n")
    ->stage('quick', "#!/bin/sh\n")
    ->stage('soon', <<'EOT')
#!/bin/sh
# Ends by itself, a second after it was let.
mkfifo gate.part && exec 5<>gate.part && mv gate.part gate || exit 1
read -r word <&5
sleep 1
rm gate
EOT
    ->stage('count', <<'EOT')
#!/bin/sh
# Saves how far it is when it is told to end, and goes on from there.
n=$(cat saved 2>/dev/null || echo 0)
trap 'echo $n >saved; exit 0' TERM
[ $n -gt 0 ] && echo "detail went_on_at $n" >&3
while [ $n -lt 10 ] || [ ! -e saved ]; do
	n=$((n + 1))
	echo "progress $n" >&3
	sleep 0.02
done
EOT
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $storage = $rig->dir . '/storage';

sub row {
	my ($job, $columns) = @_;
	my ($row) = $rig->sql("SELECT $columns FROM job" .
	    ' WHERE id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	return $row;
}

sub rounds {
	my @all = $rig->log('millraced') =~ /millraced\[(\d+)\]: ends/g;
	return scalar @all;
}

sub end_all {
	$rig->tell($_, 'end') for @_;
	is($rig->ended($_, as => $ana)->{status}, 'completed',
	    'the next daemon ends it') for @_;
}

# ---- TERM -------------------------------------------------------------------

my @jobs = map { $rig->submit('steps', as => $ana) } 1 .. 38;
my $save = $rig->submit('save', as => $ana);
my $soon = $rig->submit('soon', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$_/gate" }, 60, "job $_ runs")
    for @jobs, $soon;
$rig->wait_for(sub { $rig->job($save, as => $ana)->{progress_percentage} > 10 },
    30, 'one counts');
$rig->tell($soon, 'on');
unlink "$storage/work/$_/gate" for @jobs;
my $before = time;
$rig->stop('millraced');
my $took = time - $before;
diag(sprintf '%.2f s from TERM to the end, with 40 jobs', $took);
my @log = $rig->log('millraced') =~ /Terminated: gives (\d+) jobs back/g;
is_deeply(\@log, [ 40 ], 'a daemon that has forty jobs is told to end');
is(rounds(), 1, 'and ends by itself');
cmp_ok($took, '<', 7, 'in five seconds, on a machine that has time');
is_deeply([ $rig->sql('SELECT DISTINCT state, attempt, crashes, deaths,' .
    ' daemon_id FROM job') ], [ [ 'pending', 0, 0, 0, 0 ] ],
    'all jobs are given back, and no attempt is counted');
is_deeply([ $rig->sql('SELECT COUNT(*) FROM step WHERE state = ?',
    'running') ], [ [ 0 ] ], 'no step is said to run');
is_deeply([ $rig->sql('SELECT s.state FROM step s JOIN job j ON' .
    ' j.id = s.job_id WHERE j.pipeline = ? ORDER BY position', 'soon') ],
    [ [ 'done' ], [ 'waiting' ] ], 'what was nearly done is done');
is_deeply([ $rig->sql('SELECT COUNT(*) FROM daemon') ], [ [ 0 ] ],
    'its row is gone');

$rig->start_program('millraced');
end_all(@jobs, $soon);
is_deeply([ $rig->sql('SELECT DISTINCT attempt FROM step WHERE stage = ?',
    'a') ], [ [ 1 ] ], 'what was done before is not done again');
is($rig->ended($save, as => $ana)->{status}, 'completed',
    'one that saved how far it was is completed');
my ($went_on) = $rig->sql('SELECT JSON_VALUE(result, ?) FROM job' .
    ' WHERE pipeline = ?', '$.went_on_at', 'save');
cmp_ok($went_on->[0] // 0, '>', 10, 'and went on from there');

# ---- an old one and a new one, side by side ---------------------------------

# A second daemon of this host, with changes to the configuration.
sub start_second {
	my (%change) = @_;
	my $text = Rig::_read($rig->dir . '/millrace.conf');
	$text =~ s/^(\[daemon\]\n)/$1 . join '',
	    map { "$_ = $change{$_}\n" } sort keys %change/em or die;
	Rig::_write($rig->dir . '/second.conf', $text);
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDERR, '>>', $rig->dir . '/log/second';
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c',
	    $rig->dir . '/second.conf';
	POSIX::_exit(127);
}

my $old = start_second(handover => '50s');
$rig->wait_for(sub { 2 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are two daemons');
$rig->stop('millraced');
@jobs = map { $rig->submit('soon', as => $ana) } 1 .. 4;
$rig->wait_for(sub { -p "$storage/work/$_/gate" }, 30, "job $_ runs")
    for @jobs;
$rig->start_program('millraced');
$rig->wait_for(sub { 2 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are two again');
kill 'TERM', $old;
$rig->wait_for(sub {
	Rig::_read($rig->dir . '/log/second') =~ /gives 4 jobs back/
}, 20, 'the old one is told to end');
$rig->tell($_, 'on') for @jobs[0 .. 2];
my ($new_id) = $rig->sql('SELECT MAX(id) FROM daemon');
$rig->wait_for(sub {
	3 == $rig->sql('SELECT id FROM job WHERE daemon_id = ?', $new_id->[0])
}, 30, 'the new one has three of them');
is_deeply([ $rig->sql('SELECT daemon_id, COUNT(*) FROM job WHERE state = ?' .
    ' GROUP BY daemon_id ORDER BY daemon_id DESC', 'running') ],
    [ [ $new_id->[0], 3 ], [ $new_id->[0] - 1, 1 ] ],
    'jobs change hands at their checkpoints, while others run on');
unlink "$storage/work/$jobs[3]/gate";
$before = time;
kill 'TERM', $old;
waitpid $old, 0;
is($?, 0, 'told twice, it ends at once');
cmp_ok(time - $before, '<', 10, 'not in fifty seconds');
$rig->tell($jobs[3], 'on');
$rig->wait_for(sub {
	4 == $rig->sql('SELECT 1 FROM step WHERE state = ? AND stage = ?',
	    'running', 'b')
}, 30, 'all are at their second stage');
end_all(@jobs);
is_deeply([ $rig->sql('SELECT DISTINCT attempt, crashes, deaths FROM job') ],
    [ [ 1, 0, 0 ] ], 'nothing was counted');
is_deeply([ $rig->sql('SELECT s.attempt, COUNT(*) FROM step s JOIN job j' .
    ' ON j.id = s.job_id WHERE j.pipeline = ? AND s.stage = ?' .
    ' GROUP BY s.attempt ORDER BY s.attempt', 'soon', 'a') ],
    [ [ 1, 4 ], [ 2, 1 ] ], 'and only what was cut off ran twice');

# ---- HUP --------------------------------------------------------------------

my $job = $rig->submit('hold', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'it runs');
$rig->pipeline('hold', "stage one 50 60s gate\nstage two 50 60s quick\n")
    ->pipeline('new', "stage only 100 60s quick\n");
$rig->kill('HUP', $_) for qw(millraced upload);
$rig->wait_for(sub { $rig->log('millraced') =~ /reload: 5 pipelines/ }, 20,
    'the daemon has read its pipelines');
my $new = $rig->wait_for(sub {
	eval { $rig->submit('new', as => $ana) }
}, 20, 'a new pipeline is taken');
is($rig->ended($new, as => $ana)->{status}, 'completed', 'a new one works');
$rig->tell($job, 'end');
is($rig->ended($job, as => $ana)->{status}, 'completed',
    'a job that runs goes on as it began');
is_deeply([ $rig->sql('SELECT COUNT(*) FROM step WHERE stage = ?', 'two') ],
    [ [ 0 ] ], 'with the stages of then');

# A pipeline that is wrong changes nothing.
my $count = () = $rig->log('millraced') =~ /reload:/g;
$rig->pipeline('new', "stage only 100 60s no-such-program\nstege\n");
for my $program (qw(millraced upload status)) {
	$rig->kill('HUP', $program);
	$rig->wait_for(sub {
		$rig->log($program) =~ /reload: the pipelines stay as they were/
	}, 20, "it is refused by $program");
}
like($rig->log('millraced'), qr/new\.conf:2: /, 'with file and line');
is($rig->ended($rig->submit('new', as => $ana), as => $ana)->{status},
    'completed', 'and the old one goes on');

# ---- -n ---------------------------------------------------------------------

sub millraced {
	my $out = qx('$rig->{build}/millraced' @_ 2>&1);
	return ($? >> 8, $out);
}

my $conf = $rig->dir . '/millrace.conf';
my ($exit, $out) = millraced('-n', '-c', $conf);
is($exit, 1, '-n finds the mistake');
like($out, qr/new\.conf:2: /, 'and names it');
unlink $rig->dir . '/pipelines/new.conf';
($exit, $out) = millraced('-n', '-c', $conf);
is($exit, 0, '-n of what is right') or diag $out;
($exit, $out) = millraced('-c', '/nonexistent.conf');
is($exit, 1, 'no configuration, no daemon');
($exit, $out) = millraced('-V');
like($out, qr/^millraced \d/, '-V');
($exit, $out) = millraced('-h');
is($exit, 0, '-h');
like($out, qr/^usage: millraced .*^  -n /ms, 'tells the options');
($exit) = millraced('-x');
is($exit, 2, 'an unknown option');

# ---- a supervisor is told ---------------------------------------------------

my $path = $rig->socket('notify');
my $notify = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path)
    or die "$path: $!";
my $pid = fork // die "fork: $!";
if ($pid == 0) {
	@ENV{qw(NOTIFY_SOCKET WATCHDOG_USEC)} = ($path, 300_000);
	open STDERR, '>>', $rig->dir . '/log/second';
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c', $conf;
	die;
}
my %told;
sub hear {
	my ($what) = @_;
	local $SIG{ALRM} = sub { die "not told: $what\n" };
	alarm 20;
	until ($told{$what}) {
		$notify->recv(my $text, 4096);
		$told{$_} = 1 for split /\n/, $text;
	}
	alarm 0;
	return 1;
}
ok(hear('READY=1'), 'that it is ready');
ok(hear('WATCHDOG=1'), 'that it is alive');
kill 'TERM', $pid;
ok(hear('STOPPING=1'), 'that it ends');
waitpid $pid, 0;
is($?, 0, 'with status 0');

done_testing;
