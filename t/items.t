# The items of one job are done by all daemons: each item once, whoever is
# stopped or killed, and what goes wrong with one does not reach the others.

use strict;
use warnings;

use Rig;
use Test::More;
use Time::HiRes qw(time);
use Torture;

my @hosts = qw(east west);
my $rig = Rig->new
    ->conf('daemon', slots => 2, lease => '5s', sweep => '2s')
    ->daemons(@hosts)
    ->with_stages
    ->pipeline('many', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	work 0.02
stage	join	5	60s	join
EOT
    ->pipeline('slow', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	work 0.2
stage	join	5	60s	join
EOT
    ->pipeline('kept', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	kept=yes work-on 0.003
stage	join	5	60s	join
EOT
    ->pipeline('named', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	80	60s	name
stage	store	15	60s	store
EOT
    ->stage('split', <<'EOT')
#!/bin/sh
# Names as many items as the job wants.
mkdir -p out lock
i=1
while [ "$i" -le "$MILLRACE_OPTION_ITEMS" ]; do
	echo "item n$i about n$i" >&3
	i=$((i + 1))
done
EOT
    ->stage('work', <<'EOT')
#!/bin/sh
# Does an item: tells who did it, and whether somebody else is just at it.
exec 9> "lock/$MILLRACE_ITEM"
flock -n 9 || echo "$MILLRACE_ITEM" >> overlaps
echo "$MILLRACE_ITEM $(uname -n)" >> tries
sleep "$1"
echo "$MILLRACE_ITEM_ARGS" > "out/$MILLRACE_ITEM.part"
mv "out/$MILLRACE_ITEM.part" "out/$MILLRACE_ITEM"
EOT
    ->stage('work-on', <<'EOT')
#!/usr/bin/perl
# The same, for one item after the other.
use strict;
use warnings;
use Fcntl qw(:flock);
use POSIX qw(uname);
my $host = (uname)[1];
open my $report, '>&=', 3 or die;
sub add { open my $f, '>>', $_[0] or die; syswrite $f, "$_[1]\n" }
while (my $line = <STDIN>) {
	my ($item, $args) = $line =~ /^(\S+) (.*)/ or die;
	open my $lock, '>', "lock/$item" or die;
	flock $lock, LOCK_EX | LOCK_NB or add('overlaps', $item);
	add('tries', "$item $host");
	select undef, undef, undef, $ARGV[0];
	unlink "out/$item.part";
	add("out/$item.part", $args);
	rename "out/$item.part", "out/$item" or die;
	close $lock;
	syswrite $report, "done\n";
}
EOT
    ->stage('join', <<'EOT')
#!/bin/sh
# Tells what the items came to.
set -- out/*
made=$#
right=0
for file; do
	read -r line < "$file"
	[ "$line" = "about ${file#out/}" ] && right=$((right + 1))
done
sort tries > sorted && hosts=$(cut -d' ' -f2 sorted | sort | uniq -c) || exit 1
twice=0
while read -r item rest; do
	[ "$item" = "$last" ] && twice=$((twice + 1))
	last=$item
done < sorted
overlaps=0
[ ! -e overlaps ] || while read -r item; do
	overlaps=$((overlaps + 1))
done < overlaps
echo "detail made $made" >&3
echo "detail right $right" >&3
echo "detail twice $twice" >&3
echo "detail overlaps $overlaps" >&3
echo "detail hosts {$(echo "$hosts" | while read -r n host; do
	printf '%s"%s":%s' "$comma" "$host" "$n"
	comma=,
done)}" >&3
EOT
    ->stage('name', <<'EOT')
#!/bin/sh
# Leaves a result and a fact, and says who did.
sleep 0.1
echo "step doing $MILLRACE_ITEM" >&3
echo "of $MILLRACE_ITEM, by $(uname -n)" > "out/$MILLRACE_ITEM"
echo "result $MILLRACE_ITEM.txt out/$MILLRACE_ITEM text/plain" >&3
[ "${MILLRACE_ITEM#n1}" = "$MILLRACE_ITEM" ] ||
	echo "detail $MILLRACE_ITEM \"$(uname -n)\"" >&3
EOT
    ->start;
my $ana = $rig->user('ana');

# ---- helpers ----------------------------------------------------------------

my $of = 'job_id = UNHEX(REPLACE(?, ?, ?))';

sub submit {
	my ($pipeline, $items) = @_;
	return $rig->submit($pipeline, as => $ana,
	    options => { items => $items });
}

sub ended {
	my ($job, $timeout) = @_;
	return $rig->wait_for(sub {
		my $j = eval { $rig->job($job, as => $ana) };
		$j && $j->{status} =~ /^(completed|failed|cancelled)$/ && $j
	}, $timeout // 120, "job $job ends");
}

sub details {
	my ($job) = @_;
	my ($row) = $rig->sql('SELECT COALESCE(details, ?) FROM job WHERE ' .
	    'id = UNHEX(REPLACE(?, ?, ?))', '{}', $job, '-', '');
	return JSON::PP->new->decode($row->[0]);
}

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
		    " AND state = 'running' AND helper IS NOT NULL",
		    $job, '-', '');
		@h && $h[0]
	}, 60, 'another daemon helps');
	return map {
		my $host = $host{$_->[0]} // '';
		(grep { $_ eq $host } @hosts) ? $host : 'millraced'
	} $lender, $helper;
}

# ---- all have their part ----------------------------------------------------

my $job = submit('many', 2000);
my $most = 0;
$rig->wait_for(sub {
	my $j = $rig->job($job, as => $ana);
	$most = $j->{progress_percentage}
	    if $j->{progress_percentage} > $most;
	held($job) > 0
}, 60, 'others help');
is(ended($job)->{status}, 'completed', '2,000 items on three daemons');
my $d = details($job);
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

# ---- programs that are kept ----------------------------------------------------

$job = submit('kept', 10_000);
is(ended($job)->{status}, 'completed', '10,000 items, by kept programs');
$d = details($job);
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

$job = submit('named', 60);
is(ended($job)->{status}, 'completed', 'items that name results');
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
$d = details($job);
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
	!grep { $rig->log($_) !~ /reload: 8 pipelines/ } 'millraced', @hosts
}, 20, 'all have read the pipelines');
$rig->wait_for(sub { eval { submit('fail-20', 1) } }, 20, 'and are asked');

for (
	[ 'fail-finish', 'failed',    180 ],
	[ 'fail-5',	 'failed',    180 ],
	[ 'fail-20',	 'completed', 180 ],
) {
	my ($pipeline, $status, $done) = @$_;
	$rig->wait_for(sub { rested() }, 20, 'the others have room');
	my $job = submit($pipeline, 200);
	$rig->wait_for(sub { held($job) > 0 }, 60, "$pipeline: others help");
	is(ended($job)->{status}, $status, "$pipeline: $status");
	is(items($job, 'state = ?', 'done'), $done,
	    "$pipeline: its neighbours are done");
	is(items($job, 'state = ?', 'failed'), 200 - $done,
	    "$pipeline: the bad ones have failed");
}
$job = submit('fail-stop', 400);
is(ended($job)->{status}, 'failed', 'fail-stop: failed');
cmp_ok(items($job, 'state = ?', 'done'), '<', 360,
    'fail-stop: the others are left');
is(held($job), 0, 'fail-stop: nowhere is one done any more');

# ---- cancel -----------------------------------------------------------------

$job = submit('slow', 400);
$rig->wait_for(sub { held($job) > 1 }, 60, 'others help');
my $before = time;
is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 202,
    'cancel is taken');
$rig->wait_for(sub { !programs($job) }, 20, 'its programs end');
my $took = time - $before;
diag(sprintf 'cancelled: %.2f s until no program was left', $took);
cmp_ok($took, '<', 5, 'on all hosts');
is(ended($job)->{status}, 'cancelled', 'and it is cancelled');

# ---- a helper is told to end ------------------------------------------------

$job = submit('slow', 150);
my ($lender, $helper) = names_of($job);
$rig->stop($helper);
is(items($job, 'helper IS NOT NULL AND helper NOT IN' .
    ' (SELECT id FROM daemon) AND state = ?', 'running'), 0,
    'a helper that ends leaves nothing');
is(ended($job)->{status}, 'completed', 'the job goes on');
is(items($job, 'failures + crashes > 0'), 0, 'and nothing is counted');
is(details($job)->{overlaps}, 0, 'none was done by two at a time');
$rig->start_program($helper);
$rig->wait_for(sub { 3 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are three again');

# ---- a helper is stopped ----------------------------------------------------

$job = submit('slow', 200);
($lender, $helper) = names_of($job);
my $paused = $rig->kill('STOP', $helper);
is(ended($job)->{status}, 'completed', 'a helper that is stopped is done without');
kill 'CONT', $paused;
$d = details($job);
is($d->{made}, 200, 'each item is done');
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
	$job = submit('slow', 150);
	($lender, $helper) = names_of($job);
	$rig->wait_for(sub { items($job, 'state = ?', 'done') > 20 }, 60,
	    'some are done');
	if ($how eq 'TERM') {
		$rig->stop($lender);
		$rig->start_program($lender);
	} else {
		$rig->kill($how, $lender);
	}
	is(ended($job)->{status}, 'completed', "$how: another goes on");
	$d = details($job);
	is($d->{made}, 150, "$how: each item is done");
	is($d->{overlaps}, 0, "$how: none by two at a time");
	cmp_ok($d->{twice}, '<=', 8, "$how: what was done stays done");
	$rig->wait_for(sub { 3 == $rig->sql('SELECT id FROM daemon') }, 20,
	    'there are three again');
}

# ---- kills ------------------------------------------------------------------

my $rounds = Torture::rounds(20, 200);
my (@jobs, $kills);
for (1 .. $rounds) {
	my $open = grep { $rig->job($_, as => $ana)->{status} !~
	    /^(completed|failed)$/ } @jobs;
	push @jobs, submit(@jobs % 2 ? 'kept' : 'many', 150)
	    for $open + 1 .. 3;
	select undef, undef, undef, 0.2 + rand 1;
	my $name = ('millraced', @hosts)[rand 3];
	$rig->kill('KILL', $name) if $rig->pid($name);
	$kills++;
	$rig->wait_for(sub { $rig->pid($name) }, 20, "$name is back");
}
my %seen;
for (@jobs) {
	$seen{ended($_)->{status}}++;
	my $d = details($_);
	$seen{made}++ if ($d->{made} // 0) == 150;
	$seen{overlaps} += $d->{overlaps} // 0;
	$seen{twice} += $d->{twice} // 0;
}
diag("$kills kills, " . @jobs . " jobs, $seen{twice} items done again");
is($seen{completed}, @jobs, "$kills kills: all jobs are completed");
is($seen{made}, @jobs, 'with all of their items');
is($seen{overlaps}, 0, 'none was done by two at a time');

$rig->ledger(faults => $kills, timeout => Torture::patience());
done_testing;
