# A job whose row somebody keeps locked, or whose changes the database refuses,
# holds up no other job and not the lease; and goes on once it can be written.

use strict;
use warnings;

use IPC::Open2;
use Rig;
use Test::More;
use Time::HiRes qw(time);

# How long a row is locked, s: four leases.
my $LOCKED = 20;

my $rig = Rig->new
    ->conf('daemon', lease => '5s', slots => 6)
    ->pipeline('short', "stage one 100 30s short\n")
    ->pipeline('gate', "stage a 50 120s quick\nstage b 50 120s gate\n")
    ->stage('quick', "#!/bin/sh\n")
    ->stage('short', "#!/bin/sh\necho progress 50 half >&3\n")
    ->with_gate
    ->start;
my $ana = $rig->user('ana');
my $storage = $rig->dir . '/storage';

sub hex_of { $_[0] =~ s/-//gr }

sub row {
	my ($job, $columns) = @_;
	my ($row) = $rig->sql("SELECT $columns FROM job WHERE id = x'" .
	    hex_of($job) . "'");
	return $row;
}

sub gate {
	my ($job) = @_;
	$rig->wait_for(sub { -p "$storage/work/$job/gate" }, 30, "$job runs");
}

sub open_gate {
	my $job = $rig->submit('gate', as => $ana);
	gate($job);
	# Its first stage is noted before anything is done to its row.
	$rig->wait_for(sub { row($job, 'stage')->[0] eq 'b' }, 20, 'stage b');
	return $job;
}

# The numbers of events, and how many of them are ends.
sub clean {
	my ($job, $what) = @_;
	my @rows = $rig->sql("SELECT seq, state FROM event WHERE job_id = x'" .
	    hex_of($job) . "' ORDER BY seq");
	is_deeply([ map { $_->[0] } @rows ], [ 1 .. @rows ],
	    "$what: events without a gap");
	is_deeply([ map { $_->[0] } grep { $_->[1] =~
	    /^(completed|failed|cancelled)$/ } @rows ], [ $rows[-1][0] ],
	    "$what: one end, and it is last");
	is(row($job, 'seq')->[0], scalar @rows, "$what: and the row's");
}

# Another session, as an administrator has one open.
sub session {
	my $pid = open2(my $out, my $in, 'mariadb', '--no-defaults', '--batch',
	    '--unbuffered', '--skip-column-names', '--user=root',
	    '--socket=' . $rig->socket('mariadb'), 'millrace');
	return { pid => $pid, out => $out, in => $in };
}

sub ask {
	my ($s, $sql) = @_;
	print { $s->{in} } "$sql;\n";
	$s->{in}->flush;
	return readline $s->{out};
}

sub leave {
	my ($s) = @_;
	close $s->{in};
	close $s->{out};
	waitpid $s->{pid}, 0;
}

# ---- a row is locked --------------------------------------------------------

my ($locked, $other) = (open_gate(), open_gate());
my $daemon = row($locked, 'daemon_id')->[0];
my $admin = session();
is(ask($admin, "BEGIN; SELECT 'locked' FROM job WHERE id = x'" .
    hex_of($locked) . "' FOR UPDATE"), "locked\n", 'a row is locked');
my $since = time;
$rig->tell($locked, 'progress 20 one');
$rig->tell($other, 'progress 20 one');
$rig->wait_for(sub { row($other, 'stage_progress')->[0] == 20 }, 10,
    'the progress of another job is written');
$rig->tell($locked, 'progress 40 two');

my (@short, %became);
do {
	my $job = $rig->submit('short', as => $ana);
	$became{$rig->ended($job, as => $ana)->{status}}++;
	push @short, $job;
	$rig->tell($locked, 'end') if @short == 3;
} while (time - $since < $LOCKED);
is_deeply(\%became, { completed => scalar @short },
    'others complete meanwhile');
$rig->tell($other, 'end');
is($rig->ended($other, as => $ana)->{status}, 'completed',
    'one that ran before as well');
is_deeply(row($locked, 'state, stage_progress'), [ 'running', '0.00' ],
    'the locked one shows nothing of what it has done');

my ($took) = $rig->sql('SELECT MAX(TIMESTAMPDIFF(MICROSECOND, started_at,' .
    ' completed_at)) / 1e6, COUNT(*) FROM job WHERE pipeline = ?', 'short');
diag(sprintf '%d jobs beside it, the slowest in %.2f s', $took->[1],
    $took->[0]);
cmp_ok($took->[0], '<', 2, 'and nobody waited for the lock');
is_deeply([ $rig->sql('SELECT id FROM daemon WHERE lease_until > NOW(3)') ],
    [ [ $daemon ] ], 'the daemon has kept its lease');
unlike($rig->log('millraced'), qr/fenced/, 'all the time');
like($rig->log('millraced'), qr/$locked: its news cannot be written now/,
    'the log tells which job waits');

is(ask($admin, "COMMIT; SELECT 'free'"), "free\n", 'the row is free again');
leave($admin);
is($rig->ended($locked, as => $ana)->{status}, 'completed',
    'and the job is completed');
is_deeply(row($locked, 'attempt, crashes, progress'), [ 1, 0, '100.00' ],
    'in its first attempt');
clean($locked, 'locked');
clean($_, 'short') for @short[0, -1];

# ---- an end is refused ------------------------------------------------------

sub refuse {
	my ($job, $when) = @_;
	$rig->sql("DELIMITER //\nCREATE TRIGGER refuse BEFORE UPDATE ON job" .
	    " FOR EACH ROW BEGIN IF NEW.id = x'" . hex_of($job) . "' AND" .
	    " $when THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused';" .
	    " END IF; END//\n");
}

sub allow { $rig->sql('DROP TRIGGER refuse') }

my $poor = open_gate();
refuse($poor, "NEW.state IN ('completed', 'failed')");
for my $n (1 .. 3) {
	$rig->tell($poor, 'end') if $n == 1;
	$rig->wait_for(sub {
		$rig->sql('UPDATE later SET due = NOW(3)');	# now is fine
		row($poor, 'crashes')->[0] >= $n
	}, 60, "an end that is refused is counted: $n");
}
is($rig->ended($rig->submit('short', as => $ana), as => $ana)->{status},
    'completed', 'others go on');
allow();
my $end = $rig->wait_for(sub {
	$rig->sql('UPDATE later SET due = NOW(3)');
	my $j = $rig->job($poor, as => $ana);
	$j->{status} eq 'failed' && $j
}, 60, 'it is set aside as soon as that can be written');
like($end->{error_message}, qr/^Set aside: /, 'it was set aside');
clean($poor, 'refused');

# ---- everything is refused --------------------------------------------------

my $stuck = open_gate();
refuse($stuck, '1');
$rig->tell($stuck, 'progress 50 half');
$rig->tell($stuck, 'end');
$rig->wait_for(sub { 3 <= (() = $rig->log('millraced') =~
    /$stuck: the database does not take its end/g) }, 30,
    'every kind of end is refused');
is($rig->ended($rig->submit('short', as => $ana), as => $ana)->{status},
    'completed', 'others go on');
is(row($stuck, 'state')->[0], 'running', 'the job is still the daemon\'s');
allow();
$rig->wait_for(sub { row($stuck, 'crashes')->[0] == 1 }, 30,
    'it is put back when that can be written');
unlink "$storage/work/$stuck/gate";
$rig->sql('UPDATE later SET due = NOW(3)');
gate($stuck);
$rig->tell($stuck, 'end');
is($rig->ended($stuck, as => $ana)->{status}, 'completed', 'and completes');
clean($stuck, 'stuck');
unlike($rig->log('millraced'), qr/fenced/, 'the lease was never lost');

done_testing;
