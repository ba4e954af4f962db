# A daemon that is told to end, or to read its pipelines anew, costs no job
# anything.

use strict;
use warnings;

use IO::Socket::UNIX;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', slots => 3)
    ->pipeline('steps', "stage a 40 60s quick\nstage b 60 60s gate\n")
    ->pipeline('hold', "stage one 100 60s gate\n")
    ->stage('quick', "#!/bin/sh\n")
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

# ---- TERM -------------------------------------------------------------------

my @jobs = map { $rig->submit('steps', as => $ana) } 1 .. 3;
$rig->wait_for(sub { -p "$storage/work/$_/gate" }, 20, "job $_ runs")
    for @jobs;
unlink "$storage/work/$_/gate" for @jobs;
my $before = time;
$rig->stop('millraced');
my $took = time - $before;
diag(sprintf '%.2f s from TERM to the end', $took);
cmp_ok($took, '<', 5, 'the daemon ends within five seconds');
is(rounds(), 1, 'by itself');
is_deeply(row($_, 'state, attempt, crashes, daemon_id'),
    [ 'pending', 0, 0, 0 ], 'a job is given back, and no attempt counted')
    for @jobs;
is_deeply([ $rig->sql('SELECT COUNT(*) FROM daemon') ], [ [ 0 ] ],
    'its row is gone');

$rig->start_program('millraced');
$rig->tell($_, 'end') for @jobs;
is($rig->ended($_, as => $ana)->{status}, 'completed',
    'the next daemon ends it') for @jobs;
is_deeply([ $rig->sql('SELECT DISTINCT attempt FROM step WHERE stage = ?',
    'a') ], [ [ 1 ] ], 'what was done before is not done again');

# ---- HUP --------------------------------------------------------------------

my $job = $rig->submit('hold', as => $ana);
$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 20, 'it runs');
$rig->pipeline('hold', "stage one 50 60s gate\nstage two 50 60s quick\n")
    ->pipeline('new', "stage only 100 60s quick\n");
$rig->kill('HUP', $_) for qw(millraced upload);
$rig->wait_for(sub { $rig->log('millraced') =~ /reload: 3 pipelines/ }, 20,
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
