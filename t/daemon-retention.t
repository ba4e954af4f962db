# Ended jobs go when their time has come, with everything that was theirs, and
# nothing else does.

use strict;
use warnings;

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
$rig->wait_for(sub { !-e "$storage/$_" }, 30, "$_ is removed")
    for "work/$gone", "results/$gone-17", "results/$short-1";
pass('what nobody owns is removed');
ok(-e "$storage/work/not-ours", 'what is none of ours is left alone');
is(scalar files('results'), 1, 'and results that are somebody\'s');
is(scalar ids(), 4, 'all jobs are there');

age($_, '2 HOUR') for $short, $bad, $long, $hold;
$rig->wait_for(sub { ids() == 2 }, 30, 'two of them go');
is_deeply([ ids() ], [ qw(long hold) ], 'those whose time has come');
for my $table (qw(event step artifact)) {
	is_deeply([ $rig->sql("SELECT COUNT(*) FROM $table t LEFT JOIN job j" .
	    ' ON j.id = t.job_id WHERE j.id IS NULL') ], [ [ 0 ] ],
	    "no row of theirs is left in $table");
}
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

# Sign-ins and keys that are over.
$rig->sql('INSERT INTO uniq (user_id, name, request, job_id, created_at)' .
    ' VALUES (1, ?, ?, ?, NOW() - INTERVAL 2 DAY), (1, ?, ?, ?, NOW())',
    'old', 'x' x 32, 'y' x 16, 'new', 'x' x 32, 'z' x 16);
$rig->wait_for(sub { 1 == $rig->sql('SELECT name FROM uniq') }, 30,
    'an old key is forgotten');
is_deeply([ $rig->sql('SELECT name FROM uniq') ], [ [ 'new' ] ],
    'and a new one kept');

done_testing;
