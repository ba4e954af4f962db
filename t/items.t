# The items of one job are done by all daemons: each item once, whoever is
# stopped or killed, and what goes wrong with one does not reach the others.
# (slow)

use strict;
use warnings;

use Items;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my @hosts = @Items::hosts;
my $rig = Items::rig()->start;
my $ana = Items::user();

# ---- helpers ----------------------------------------------------------------

my $of = 'job_id = UNHEX(REPLACE(?, ?, ?))';

# How many of the job's items are as CONDITION says.
sub items {
	my ($job, $condition, @values) = @_;
	my ($row) = $rig->sql("SELECT COUNT(*) FROM step WHERE $of" .
	    " AND item <> '' AND $condition", $job, '-', '', @values);
	return $row->[0];
}

# Those that other daemons have, by the database.
sub held {
	my ($job) = @_;
	return items($job, 'helper IS NOT NULL AND state = ?', 'running');
}

sub programs {
	my ($job) = @_;
	return scalar grep { (readlink("$_/cwd") // '') =~ m{/work/$job} }
	    glob '/proc/[0-9]*';
}

# Whether the others know that all daemons have room.
sub rested { !$rig->sql('SELECT 1 FROM daemon WHERE running > 0') }

# The daemon that has the job, and one that helps with it.
sub names_of {
	my ($job) = @_;
	my %host = map { @$_ } $rig->sql('SELECT id, host FROM daemon');
	my ($lender) = $rig->sql('SELECT daemon_id FROM job WHERE ' .
	    'id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	my ($helper) = $rig->wait_for(sub {
		my @h = $rig->sql("SELECT DISTINCT helper FROM step WHERE $of" .
		    " AND state = 'running' AND helper IS NOT NULL" .
		    ' AND started_at IS NOT NULL',
		    $job, '-', '');
		@h && $h[0]
	}, 60, 'another daemon helps');
	return map {
		my $host = $host{$_->[0]} // '';
		(grep { $_ eq $host } @hosts) ? $host : 'millraced'
	} $lender, $helper;
}

# ---- all have their part ----------------------------------------------------

my $job = Items::submit('many', 2000);
my $most = 0;
$rig->wait_for(sub {
	my $j = $rig->job($job, as => $ana);
	$most = $j->{progress_percentage}
	    if $j->{progress_percentage} > $most;
	held($job) > 0
}, 60, 'others help');
is(Items::ended($job)->{status}, 'completed', '2,000 items on three daemons');
my $d = Items::details($job);
is($d->{made}, 2000, 'each is done');
is($d->{right}, 2000, 'with its arguments');
is($d->{twice}, 0, 'and none twice');
is($d->{overlaps}, 0, 'nor by two at a time');
my @part = values %{ $d->{hosts} };
diag("parts: @part");
is(@part, 3, 'all daemons had a part');
cmp_ok($_, '>=', 100, 'a fair one') for @part;
is(items($job, 'state = ? AND attempt = 1 AND failures + crashes = 0' .
    ' AND token IS NULL AND helper IS NULL AND open IS NULL AND said IS NULL',
    'done'), 2000, 'and none is lent any more');
my ($last) = $rig->sql("SELECT items_done, items_total FROM event WHERE $of" .
    ' AND items_total > 0 ORDER BY seq DESC LIMIT 1', $job, '-', '');
is_deeply($last, [ 2000, 2000 ], 'clients saw all of them done');

# ---- programs that are kept -------------------------------------------------

$job = Items::submit('kept', 10_000);
is(Items::ended($job)->{status}, 'completed', '10,000 items, by kept programs');
$d = Items::details($job);
is($d->{made}, 10_000, 'each is done');
is($d->{right}, 10_000, 'with its arguments');
is($d->{twice}, 0, 'and none twice');
@part = values %{ $d->{hosts} };
my ($took_s) = map { $_->[0] } $rig->sql('SELECT TIMESTAMPDIFF(MICROSECOND,' .
    " MIN(at), MAX(at)) / 1e6 FROM event WHERE $of AND stage = ?",
    $job, '-', '', 'work');
diag(sprintf '10,000 items: %.1f s, parts: %s', $took_s, "@part");
is(@part, 3, 'all daemons had a part');
cmp_ok($_, '>=', 500, 'a fair one') for @part;

# ---- what items leave behind ------------------------------------------------

$job = Items::submit('named', 60);
is(Items::ended($job)->{status}, 'completed', 'items that name results');
my @artifacts = map { $_->[0] } $rig->sql("SELECT name FROM artifact WHERE $of",
    $job, '-', '');
is_deeply([ sort @artifacts ], [ sort map { "n$_.txt" } 1 .. 60 ],
    'all of them are results of the job');
my %by;
for my $name (@artifacts) {
	my $r = $rig->get("/api/v1/jobs/$job/artifacts/$name", as => $ana);
	$by{$2}++ if $r->{body} =~ /^of (\w+), by (\S+)$/ &&
	    "$1.txt" eq $name;
}
cmp_ok(scalar keys %by, '>', 1, 'made on more than one host');
$d = Items::details($job);
is(scalar(grep { /^n1/ } keys %$d), 11, 'their facts are there');

# ---- failures ---------------------------------------------------------------

$rig->stage('fail', <<'EOT');
#!/bin/sh
# Fails every item whose name ends in 7, after a while.
sleep 0.05
echo "$MILLRACE_ITEM" >> tries
case $MILLRACE_ITEM in
*7)	echo "reject no good" >&3 ;;
esac
EOT
for (qw(finish stop 5% 20%)) {
	(my $name = "fail-$_") =~ s/%//;
	$rig->pipeline($name, <<"EOT");
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	failures=$_ fail
stage	last	5	60s	true
EOT
}
$rig->stage('true', "#!/bin/sh\n");
$rig->kill('HUP', $_) for qw(millraced upload status), @hosts;
$rig->wait_for(sub {
	!grep { $rig->log($_) !~ /reload: 9 pipelines/ } 'millraced', @hosts
}, 20, 'all have read the pipelines');
$rig->wait_for(sub { eval { Items::submit('fail-20', 1) } }, 20,
    'and clients may ask for them');

for (
	[ 'fail-finish', 'failed',    180 ],
	[ 'fail-5',	 'failed',    180 ],
	[ 'fail-20',	 'completed', 180 ],
) {
	my ($pipeline, $status, $done) = @$_;
	$rig->wait_for(sub { rested() }, 20, 'the others have room');
	my $job = Items::submit($pipeline, 200);
	$rig->wait_for(sub { held($job) > 0 }, 60, "$pipeline: others help");
	is(Items::ended($job)->{status}, $status, "$pipeline: $status");
	is(items($job, 'state = ?', 'done'), $done,
	    "$pipeline: its neighbours are done");
	is(items($job, 'state = ?', 'failed'), 200 - $done,
	    "$pipeline: the bad ones have failed");
}
$job = Items::submit('fail-stop', 400);
is(Items::ended($job)->{status}, 'failed', 'fail-stop: failed');
cmp_ok(items($job, 'state = ?', 'done'), '<', 360,
    'fail-stop: the others are left');
is(held($job), 0, 'fail-stop: nowhere is one done any more');

# ---- cancel -----------------------------------------------------------------

$job = Items::submit('slow', 400);
$rig->wait_for(sub { held($job) > 1 }, 60, 'others help');
my $before = time;
is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 202,
    'cancel is taken');
$rig->wait_for(sub { !programs($job) }, 20, 'its programs end');
my $took = time - $before;
diag(sprintf 'cancelled: %.2f s until no program was left', $took);
cmp_ok($took, '<', 5, 'on all hosts');
is(Items::ended($job)->{status}, 'cancelled', 'and it is cancelled');

# ---- a daemon without the storage -------------------------------------------

# It sees the offers, and has pipelines and room, but not the files.
my $far = $rig->dir . '/far';
mkdir $_ or die "$_: $!\n" for $far, "$far/sock";
my $conf = Rig::_read($rig->dir . '/millrace.conf');
$conf =~ s{^root = .*}{root = $far/storage}m or die;
$conf =~ s{^sockets = .*}{sockets = $far/sock}m or die;
Rig::_write("$far/conf", $conf);
$job = Items::submit('slow', 60);
$rig->wait_for(sub { held($job) > 0 }, 60, 'others help');
my $pid = fork // die "fork: $!\n";
if ($pid == 0) {
	open STDERR, '>', "$far/log";
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c', "$far/conf";
	POSIX::_exit(127);
}
my $refused = $rig->wait_for(sub {
	(Rig::_read("$far/log") // '') =~ /no help: its directory is not here/
	    || Items::over($job)
}, 60, 'a daemon elsewhere looks at the job');
is($refused, 1, 'a daemon that has not the files does not help');
is(Items::ended($job)->{status}, 'completed', 'and the job completes');
is(Items::details($job)->{made}, 60, 'each item is done');
kill 'TERM', $pid;
waitpid $pid, 0;
is($?, 0, 'that daemon ends by itself');

# ---- a helper is told to end ------------------------------------------------

$job = Items::submit('slow', 150);
my ($lender, $helper) = names_of($job);
$rig->stop($helper);
is(items($job, 'helper IS NOT NULL AND helper NOT IN' .
    ' (SELECT id FROM daemon) AND state = ?', 'running'), 0,
    'a helper that ends leaves nothing');
is(Items::ended($job)->{status}, 'completed', 'the job goes on');
is(items($job, 'failures + crashes > 0'), 0, 'and nothing is counted');
is(Items::details($job)->{overlaps}, 0, 'none was done by two at a time');
$rig->start_program($helper);
$rig->wait_for(sub { 3 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are three again');

# ---- a helper is stopped ----------------------------------------------------

$job = Items::submit('slower', 24);
($lender, $helper) = names_of($job);
my $paused = $rig->kill('STOP', $helper);
is(Items::ended($job)->{status}, 'completed',
    'a helper that is stopped is done without');
kill 'CONT', $paused;
$d = Items::details($job);
is($d->{made}, 24, 'each item is done');
is($d->{overlaps}, 0, 'none by two at a time');
my $crashed = items($job, 'crashes > 0');
cmp_ok($crashed, '>=', 1, 'those that it had are counted as crashes');
cmp_ok($crashed, '<=', 4, 'and no others');
$rig->wait_for(sub { $rig->log($helper) =~ /fenced: / }, 20,
    'it finds that it was taken for dead');
$rig->wait_for(sub { 3 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are three again');

# ---- the lender is told to end, and killed ----------------------------------

for my $how (qw(TERM KILL)) {
	$job = Items::submit('slow', 150);
	($lender, $helper) = names_of($job);
	$rig->wait_for(sub { items($job, 'state = ?', 'done') > 20 }, 60,
	    'some are done');
	if ($how eq 'TERM') {
		$rig->stop($lender);
		$rig->start_program($lender);
	} else {
		$rig->kill($how, $lender);
	}
	is(Items::ended($job)->{status}, 'completed', "$how: another goes on");
	$d = Items::details($job);
	is($d->{made}, 150, "$how: each item is done");
	is($d->{overlaps}, 0, "$how: none by two at a time");
	cmp_ok($d->{twice}, '<=', 8, "$how: what was done stays done");
	$rig->wait_for(sub { 3 == $rig->sql('SELECT id FROM daemon') }, 20,
	    'there are three again');
}

$rig->ledger;
done_testing;
