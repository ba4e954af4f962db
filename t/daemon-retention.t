# Ended jobs go when their time has come, with everything that was theirs, and
# nothing else does.

use strict;
use warnings;

use IPC::Open2;
use POSIX ();
use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('daemon', sweep => '1s')
    ->pipeline('short', <<'EOT')
accept	text/*
retain	1h
stage	make	50	30s	make
stage	storing	50	30s	store
EOT
    ->pipeline('bad', "accept text/*\nretain 1h\nattempts 1\n" .
	"stage fall 100 30s fall\n")
    ->pipeline('long', "retain 7d\nstage nothing 100 30s quick\n")
    ->pipeline('hold', "accept text/*\nretain 1h\nstage hold 100 60s gate\n")
    ->stage('make', <<'EOT')
#!/usr/bin/perl
# A result, and what is not easily removed.
open my $f, '>', 'a.txt'; print $f "main\n"; close $f;
open my $r, '>&=', 3; print $r "result a.txt a.txt text/plain\n"; close $r;
for (1 .. 300) { mkdir 'd'; chdir 'd' }
mkdir 'locked', 0; symlink '/etc/passwd', 'link';
EOT
    ->stage('fall', "#!/bin/sh\necho made >made\nexit 1\n")
    ->stage('quick', "#!/bin/sh\n")
    ->with_gate
    ->with_stages
    ->start;
my $ana = $rig->user('ana');
my $storage = $rig->dir . '/storage';
my %file = (as => $ana, content => "some words\n");

sub ids { map { $_->[0] } $rig->sql('SELECT pipeline FROM job ORDER BY id') }

sub files {
	my ($dir) = @_;
	opendir my $d, "$storage/$dir" or return;
	return grep { !/^\./ } readdir $d;
}

sub age {
	my ($job, $interval) = @_;
	$rig->sql("UPDATE job SET completed_at = completed_at - INTERVAL" .
	    " $interval WHERE id = UNHEX(REPLACE(?, ?, ?))", $job, '-', '');
}

# No row is left that belonged to a job which is gone.
sub cleared {
	my ($what) = @_;
	for my $table (qw(event step artifact)) {
		$rig->wait_for(sub { !$rig->sql("SELECT 1 FROM $table t LEFT" .
		    ' JOIN job j ON j.id = t.job_id WHERE j.id IS NULL' .
		    ' LIMIT 1') }, 60, "$what: no row is left in $table");
	}
	$rig->wait_for(sub { !$rig->sql('SELECT 1 FROM gone') }, 60,
	    "$what: nothing is left to do");
	pass("$what: no row is left");
}

# Counters are right, without counting.
sub counted {
	my ($what) = @_;
	is_deeply([ $rig->sql('SELECT pipeline, state, SUM(n) FROM tally' .
	    " WHERE pipeline = 'bad' GROUP BY pipeline, state" .
	    ' HAVING SUM(n) <> 0 ORDER BY 1, 2') ],
	    [ $rig->sql('SELECT pipeline, state, COUNT(*) FROM job' .
	    " WHERE pipeline = 'bad' GROUP BY pipeline, state" .
	    ' ORDER BY 1, 2') ], "$what: the counters are right");
}

# N ended jobs of PIPELINE, each with EVENTS events and ITEMS items.
my $made = 0;
sub make_jobs {
	my ($n, $pipeline, $state, $age, $events, $items) = @_;
	my $from = $made + 1;
	my $id = "UNHEX(CONCAT('019B', LPAD(HEX(j.seq), 28, '0')))";
	$made += $n;
	$rig->sql(join '', map { "$_;\n" }
	    "INSERT INTO job (id, user_id, pipeline, queue, state, seq," .
	    ' changed_at, created_at, completed_at, stage)' .
	    " SELECT $id, (SELECT id FROM user WHERE name = 'ana')," .
	    " '$pipeline', 'default', '$state', $events, NOW(3), NOW(3)," .
	    " NOW(3) - INTERVAL $age, 'fall' FROM seq_${from}_to_$made j",
	    'INSERT INTO event (job_id, seq, at, state, phase, stage,' .
	    ' stage_progress, progress, items_done, items_total, step,' .
	    " message) SELECT $id, e.seq, NOW(3), '$state', '', '', 0, 0, 0," .
	    " 0, '', '' FROM seq_${from}_to_$made j, seq_1_to_$events e",
	    "INSERT INTO step (job_id, position, item, stage) SELECT $id, 0," .
	    " i.seq, 'fall' FROM seq_${from}_to_$made j, seq_1_to_$items i",
	    'INSERT INTO tally (pipeline, state, n, slot) VALUES' .
	    " ('$pipeline', '$state', $n, 0)" .
	    " ON DUPLICATE KEY UPDATE n = n + $n");
	return map { sprintf '019b0000-0000-0000-0000-%012x', $_ }
	    $from .. $made;
}

sub hex_of { $_[0] =~ s/-//gr }
sub is_there { scalar $rig->sql("SELECT 1 FROM job WHERE id = x'" .
    hex_of($_[0]) . "'") }

my $short = $rig->submit('short', %file);
my $bad = $rig->submit('bad', %file);
my $long = $rig->submit('long', as => $ana);
my $hold = $rig->submit('hold', %file);
is($rig->ended($short, as => $ana)->{status}, 'completed', 'one is completed');
is($rig->ended($bad, as => $ana)->{status}, 'failed', 'one has failed');
$rig->ended($long, as => $ana);
$rig->wait_for(sub { -p "$storage/work/$hold/gate" }, 20, 'one runs');
$rig->wait_for(sub { !-e "$storage/work/$short" }, 20,
    'what a completed job worked with goes at once, however deep');
ok(-e "$storage/work/$bad/made", 'that of a failed one is kept');
is(scalar files('results'), 1, 'results are kept');

# What is left behind: a work directory, results of another attempt and of a
# job that is gone.
my $gone = '019a0000-0000-7000-8000-000000000000';
mkdir "$storage/work/$gone";
mkdir "$storage/results/$gone-17";
mkdir "$storage/results/$short-1";
mkdir "$storage/work/not-ours";
mkdir "$storage/results/$bad-1";
$rig->wait_for(sub { !-e "$storage/$_" }, 30, "$_ is removed")
    for "work/$gone", "results/$gone-17", "results/$short-1";
pass('what nobody owns is removed');
ok(-e "$storage/work/not-ours", 'what is none of ours is left alone');
is(scalar files('results'), 2, 'and results that are somebody\'s');
ok(-e "$storage/results/$bad-1",
    'of a failed job any attempt\'s: another may go on from there');
is(scalar ids(), 4, 'all jobs are there');

age($_, '2 HOUR') for $short, $bad, $long, $hold;
$rig->wait_for(sub { ids() == 2 }, 30, 'two of them go');
is_deeply([ ids() ], [ qw(long hold) ], 'those whose time has come');
cleared('what they had');
$rig->wait_for(sub { !files('results') && !-e "$storage/work/$bad" }, 30,
    'their files go');
my @left = glob "$storage/uploads/*/*";
is(scalar @left, 1, 'and their uploads');
is_deeply([ $rig->sql('SELECT COUNT(*) FROM upload') ], [ [ 1 ] ],
    'as rows too');
is($rig->job($hold, as => $ana)->{status}, 'running', 'one that runs stays');
$rig->tell($hold, 'end');
is($rig->ended($hold, as => $ana)->{status}, 'completed', 'to its end');

# An upload stays for as long as a job uses it.
my ($upload) = $rig->sql('SELECT HEX(upload_id) FROM job WHERE pipeline = ?',
    'hold');
$rig->sql('INSERT INTO job (id, pipeline, queue, state, changed_at,' .
    ' created_at, completed_at, upload_id) SELECT UNHEX(?), pipeline, queue,' .
    ' state, changed_at, created_at, completed_at, upload_id FROM job' .
    ' WHERE pipeline = ?', '019A0000000070008000000000000001', 'hold');
age($hold, '2 HOUR');
$rig->wait_for(sub { ids() == 2 }, 30, 'the first of two jobs goes');
is(scalar(() = glob "$storage/uploads/*/*"), 1, 'the upload stays');
age('019a0000-0000-7000-8000-000000000001', '2 HOUR');
$rig->wait_for(sub { ids() == 1 }, 30, 'the second goes');
$rig->wait_for(sub { !(() = glob "$storage/uploads/*/*") }, 30,
    'and the upload with it');

# ---- a person wants a job back while it goes ---------------------------------

# Many events and items: more than one statement removes.
my @big = make_jobs(2, 'bad', 'failed', '3 HOUR', 12000, 10000);
for my $job (@big) {
	$rig->wait_for(sub { !is_there($job) }, 60, 'a big one goes');
	is($rig->post("/api/v1/jobs/$job/retry", as => $ana)->{status}, 404,
	    'what is gone does not come back, whatever is left of it');
}

# The sweep begins with those that ended first, the person with the last ones.
my %answer;
for my $round (1 .. 20) {
	my @want = make_jobs(300, 'bad', 'failed', '2 HOUR', 3, 2);
	$rig->wait_for(sub { !is_there($want[0]) }, 30, 'the first one goes');
	for my $job (reverse @want) {
		my $status = $rig->post("/api/v1/jobs/$job/retry",
		    as => $ana)->{status};
		push @{ $answer{$status} }, $job;
		last if $status != 202;
	}
	last if keys %answer > 1;
}
is_deeply([ sort keys %answer ], [ 202, 404 ],
    'a job that is about to go is had back, or is not there');
diag(scalar @{ $answer{202} } . ' came back');
my $back = join ', ', map { "x'" . hex_of($_) . "'" } @{ $answer{202} };
$rig->wait_for(sub { !$rig->sql('SELECT 1 FROM job WHERE completed_at IS NULL' .
    " AND pipeline = 'bad'") }, 120, 'what came back runs');
is_deeply([ $rig->sql('SELECT COUNT(*),' .
    " SUM(state = 'failed' AND attempt = 1)," .
    ' SUM(seq = (SELECT COUNT(*) FROM event e WHERE e.job_id = j.id))' .
    " FROM job j WHERE id IN ($back)") ],
    [ [ (scalar @{ $answer{202} }) x 3 ] ], 'and has all of its events');
cleared('big ones');
counted('had back');
$rig->sql("UPDATE job SET completed_at = NOW(3) - INTERVAL 1 DAY" .
    " WHERE pipeline = 'bad'");
$rig->wait_for(sub { !$rig->sql("SELECT 1 FROM job WHERE pipeline = 'bad'") },
    60, 'in the end they go');

# ---- what is kept, and for how long ------------------------------------------

my ($old) = make_jobs(1, 'nobodys', 'failed', '8 DAY', 1, 1);
my ($young) = make_jobs(1, 'nobodys', 'failed', '6 DAY', 1, 1);
$rig->sql('INSERT INTO retention VALUES (?, 2592000, NOW())', 'others');
my ($others) = make_jobs(1, 'others', 'completed', '8 DAY', 1, 1);
$rig->sql("ALTER TABLE job MODIFY state ENUM('pending', 'running'," .
    " 'completed', 'failed', 'cancelled', 'waiting', 'frozen') NOT NULL");
my ($frozen) = make_jobs(1, 'bad', 'failed', '1 SECOND', 1, 1);
$rig->sql("UPDATE job SET state = 'frozen', completed_at = completed_at -" .
    " INTERVAL 8 DAY WHERE id = x'" . hex_of($frozen) . "'");
my ($last) = make_jobs(1, 'bad', 'cancelled', '8 DAY', 1, 1);
$rig->wait_for(sub { !is_there($_) }, 30, "$_ goes") for $old, $last;
pass('of a pipeline that nobody has known jobs are kept for a week');
ok(is_there($young), 'and no shorter');
ok(is_there($others), 'of one that another daemon knows as long as that says');
ok(is_there($frozen), 'in a state that is not known here for ever');
is_deeply([ $rig->sql('SELECT retain_s FROM retention WHERE pipeline = ?',
    'long') ], [ [ 7 * 86400 ] ], 'what it knows a daemon tells the others');
$rig->sql("UPDATE job SET state = 'failed' WHERE state = 'frozen'");
$rig->wait_for(sub { !is_there($frozen) }, 30, 'it goes once it is known');


# ---- the clock of the database jumps ----------------------------------------

$rig->sql("SET GLOBAL init_connect ='SET timestamp = UNIX_TIMESTAMP() +" .
    " 1000000'");
$rig->wait_for(sub { $rig->log('millraced') =~
    /nothing is removed: the clock of the database is 1000\d{3} s ahead/ },
    30, 'a clock that is wrong is seen');
ok(is_there($young), 'and nothing is removed by it');
$rig->sql("SET GLOBAL init_connect = ''");

# ---- a row is locked, and two sweep ------------------------------------------

sub session {
	my $pid = open2(my $out, my $in, 'mariadb', '--no-defaults', '--batch',
	    '--unbuffered', '--skip-column-names', '--user=root',
	    '--socket=' . $rig->socket('mariadb'), 'millrace');
	return { pid => $pid, out => $out, in => $in };
}

my $second = fork // die "fork: $!";
if ($second == 0) {
	open STDERR, '>>', $rig->dir . '/log/second';
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c',
	    $rig->dir . '/millrace.conf';
	POSIX::_exit(127);
}
END { local $?; if ($second) { kill 'KILL', $second; waitpid $second, 0 } }
$rig->wait_for(sub { 2 == $rig->sql('SELECT id FROM daemon') }, 20,
    'there are two daemons');

# The sweep may be faster than we: again, then.
my $admin = session();
my ($held, $answer);
do {
	($held) = make_jobs(1, 'bad', 'failed', '3 HOUR', 1, 1);
	print { $admin->{in} } "ROLLBACK; BEGIN; SELECT IFNULL((SELECT" .
	    " 'locked' FROM job WHERE id = x'" . hex_of($held) .
	    "' FOR UPDATE), 'gone');\n";
	$admin->{in}->flush;
	$answer = readline $admin->{out};
} while ($answer eq "gone\n");
is($answer, "locked\n", 'a row is locked');
my @many = make_jobs(3000, 'bad', 'failed', '2 HOUR', 5, 2);
$rig->wait_for(sub { 1 == $rig->sql('SELECT 1 FROM job WHERE pipeline = ?',
    'bad') }, 400, 'three thousand others go meanwhile');
ok(is_there($held), 'all but the locked one');
close $admin->{in};
close $admin->{out};
waitpid $admin->{pid}, 0;
$rig->wait_for(sub { !is_there($held) }, 60, 'which goes once it is free');
cleared('many');
counted('many');
is_deeply([ grep { /database: / && !/given up|\(1205\)$/ } split /\n/,
    $rig->log($_) ], [], "no errors in the log of $_ but of the lock")
    for qw(millraced second);
kill 'TERM', $second;
waitpid $second, 0;
undef $second;

# ---- sign-ins and keys -------------------------------------------------------

# Sign-ins and keys that are over.
$rig->sql('INSERT INTO uniq (user_id, name, request, job_id, created_at)' .
    ' VALUES (1, ?, ?, ?, NOW() - INTERVAL 2 DAY), (1, ?, ?, ?, NOW())',
    'old', 'x' x 32, 'y' x 16, 'new', 'x' x 32, 'z' x 16);
$rig->wait_for(sub { 1 == $rig->sql('SELECT name FROM uniq') }, 30,
    'an old key is forgotten');
is_deeply([ $rig->sql('SELECT name FROM uniq') ], [ [ 'new' ] ],
    'and a new one kept');

done_testing;
