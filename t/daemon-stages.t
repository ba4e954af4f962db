# What a stage program is told, what it may say, and what becomes of it.
# This is slow: it waits for limits to pass.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('environment', METER => '/usr/bin/true')
    ->pipeline('told', <<'EOT')
accept	text/*
option	language choice en en de
option	dpi number 300 72 600
stage	look	60	30s	look at this
each	part	20	30s	part
always	tidy	20	30s	tidy
EOT
    ->pipeline('keep', <<'EOT')
accept	text/*
stage	make	50	30s	make
stage	storing	50	30s	store
EOT
    ->pipeline('promise', "stage make 100 30s make\n")
    ->pipeline('refuse', "accept text/*\nstage look 50 9s refuse\n" .
	"stage more 50 9s part\nalways tidy 0 9s tidy\n")
    ->pipeline('again', "attempts 3\nstage try 100 9s try-thrice\n")
    ->pipeline('never', "attempts 2\nstage try 100 9s never\n")
    ->pipeline('mumble', "stage try 100 9s mumble\n")
    ->pipeline('exit', "attempts 1\nstage fall 100 9s fall\n")
    ->pipeline('absent', "attempts 1\nstage a 100 9s part\nstage b 0 9s gone\n")
    ->pipeline('rubbish', "stage talk 100 30s talk\n")
    ->pipeline('chatter', "stage log 100 60s chatter\n")
    ->stage('look', <<'EOT')
#!/bin/sh
env | sort >&2
ls -l /dev/fd/ 2>/dev/null
echo "argv $*" >&2
pwd >&2
cat input >&2
for i in 1 2 3; do echo "item part-$i the $i. one" >&3; done
echo "item part-2 again" >&3
echo 'detail colours ["red","green"]' >&3
echo 'detail colours ["blue"]' >&3
echo "step Looking closely" >&3
echo "progress 100" >&3
EOT
    ->stage('part', "#!/bin/sh\necho \"\$MILLRACE_ITEM=\$MILLRACE_ITEM_ARGS\" >&2\n")
    ->stage('tidy', "#!/bin/sh\necho tidied >&2\n")
    ->stage('make', <<'EOT')
#!/bin/sh
echo main >a.txt; mkdir -p sub; echo second >sub/b.json
echo "result movie.txt a.txt text/plain" >&3
echo "result report.json sub/b.json application/json" >&3
EOT
    ->stage('refuse', "#!/bin/sh\necho 'reject page 3 is upside down' >&3\n")
    ->stage('try-thrice', <<'EOT')
#!/bin/sh
[ "$MILLRACE_ATTEMPT" = 3 ] && exit 0
echo "progress 60 almost" >&3
echo "retry 1 the scanner is busy" >&3
exit 1
EOT
    ->stage('never', "#!/bin/sh\necho 'retry 1 still busy' >&3\n")
    ->stage('mumble', <<'EOT')
#!/bin/sh
[ "$MILLRACE_ATTEMPT" = 2 ] && exit 0
echo "retry 1 $(printf '\303\274%.0s' $(seq 300))" >&3
EOT
    ->stage('fall', "#!/bin/sh\necho 'oil on the floor' >&2\nexit 7\n")
    ->stage('gone', "#!/bin/sh\n")
    ->stage('talk', <<'EOT')
#!/usr/bin/perl
open my $f, '>&=', 3; binmode $f; $| = 1; select $f;
print "progress 50 half\n";
print "progress 20 back\n", "progress 400\n", "progress -3\n", "progress x\n";
print "progress 4294967297\n", "\n", "\0\0\0\n", "item\n", "detail k {\n";
print "detail k ", '[' x 2000, "\n", "result ../x a\n", "result a ../../x\n";
print "stored a 1 zz\n", "blah blah\n", "progress 60 \xff\xfe<b>\x1b[31m\n";
print 'x' x 3_000_000, "\n";
print "progress $_\n" for map { $_ % 97 } 1 .. 30_000;
print "progress 99 at the end\n";
EOT
    ->stage('chatter', <<'EOT')
#!/usr/bin/perl
$| = 1;
print "line $_ " . 'y' x 90 . "\n" for 1 .. 30_000;
print STDERR "the last line\n";
EOT
    ->with_stages
    ->start;
my $ana = $rig->user('ana');

sub run {
	my ($pipeline, %o) = @_;
	my $id = $rig->submit($pipeline, as => $ana, %o);
	return ($rig->ended($id, as => $ana), $id);
}

sub step {
	my ($job, $stage, $column) = @_;
	return map { $_->[0] } $rig->sql("SELECT $column FROM step" .
	    ' WHERE job_id = UNHEX(REPLACE(?, ?, ?)) AND stage = ?' .
	    ' ORDER BY item', $job, '-', '', $stage);
}

sub row {
	my ($job, $column) = @_;
	my ($row) = $rig->sql("SELECT $column FROM job" .
	    ' WHERE id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	return $row->[0];
}

# ---- what it is told --------------------------------------------------------

my ($end, $job) = run('told', content => "hello input\n",
    filename => 'my $(file) `x`.txt', options => { language => 'de' });
is($end->{status}, 'completed', 'a job goes through its stages');
my ($log) = step($job, 'look', 'output');
my $work = $rig->dir . "/storage/work/$job";
my %env = $log =~ /^([A-Z_]+)=(.*)$/mg;
delete @env{qw(PWD SHLVL _ OLDPWD VMAF_METER)};
is_deeply(\%env, {
	PATH => '/usr/local/bin:/usr/bin:/bin', LANG => 'C.UTF-8',
	HOME => "$work/tmp", TMPDIR => "$work/tmp", METER => '/usr/bin/true',
	MILLRACE_JOB => $job, MILLRACE_STAGE => 'look', MILLRACE_ATTEMPT => 1,
	MILLRACE_CORES => $env{MILLRACE_CORES},
	MILLRACE_STORE => $env{MILLRACE_STORE},
	MILLRACE_SHARE => $env{MILLRACE_SHARE},
	MILLRACE_INPUT => 'input', MILLRACE_INPUT_NAME => 'my $(file) `x`.txt',
	MILLRACE_INPUT_TYPE => 'text/plain', MILLRACE_INPUT_SIZE => 12,
	MILLRACE_OPTION_LANGUAGE => 'de', MILLRACE_OPTION_DPI => 300,
    }, 'the environment is this, and nothing else');
like($env{MILLRACE_CORES}, qr/^[1-9]\d*$/, 'a number of cores');
like($log, qr/^argv at this$/m, 'the arguments of the pipeline');
like($log, qr/^\Q$work\E$/m, 'it works in the directory of its job');
like($log, qr/^hello input$/m, 'where its input is');
is_deeply([ step($job, 'part', 'item') ], [ qw(part-1 part-2 part-3) ],
    'each item that was named is a step, once');
is_deeply([ step($job, 'part', 'output') ], [ "part-1=the 1. one\n",
    "part-2=the 2. one\n", "part-3=the 3. one\n" ], 'and is told its words');
is_deeply([ step($job, 'tidy', 'output') ], [ "tidied\n" ],
    'an "always" stage runs');
is_deeply(JSON::PP::decode_json(row($job, 'result')),
    { colours => [ 'blue' ] }, 'the last word on a detail is the result');
is(row($job, 'stage'), 'part', 'the stage is the last that is not "always"');
$rig->wait_for(sub { ! -e $work }, 10, 'the directory goes with the job');

# ---- results ----------------------------------------------------------------

($end, $job) = run('keep', content => "some words\n");
is($end->{status}, 'completed', 'results that are stored complete a job');
is($end->{output_file}, 'movie.txt', 'the first one is the main result');
my ($token) = row($job, 'token');
is_deeply([ map { $_->[0] } $rig->sql('SELECT path FROM artifact' .
    ' ORDER BY position') ], [ "results/$job-$token/movie.txt",
    "results/$job-$token/report.json" ], 'under the token of the attempt');
my $r = $rig->get("/api/v1/jobs/$job/artifacts/movie.txt", as => $ana);
is($r->{body}, "main\n", 'and can be fetched');

($end, $job) = run('promise');
is($end->{status}, 'failed', 'results that nobody stored fail the job');
like($end->{error_message}, qr/^Result movie\.txt was named, but not stored/,
    'and that is said');

# ---- ends -------------------------------------------------------------------

($end, $job) = run('refuse', content => "some words\n");
is($end->{status}, 'failed', 'a refused input fails the job');
is($end->{error_message}, 'page 3 is upside down', 'in the words of the stage');
is(row($job, 'attempt'), 1, 'at once');
is_deeply([ step($job, 'more', 'state') ], [ 'waiting' ], 'nothing follows');
is_deeply([ step($job, 'tidy', 'state') ], [ 'done' ], 'but for "always"');
ok(-d $rig->dir . "/storage/work/$job",
    'what it made is kept for another try by a person');

my $s;
$job = $rig->submit('again', as => $ana);
$s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
my @events = $s->until_end(timeout => 30);
is($events[-1]{json}{status}, 'completed', 'a passing fault passes');
is(row($job, 'attempt'), 3, 'after three attempts');
ok((grep { $_->{json}{status} eq 'pending' &&
    $_->{json}{current_step} =~ /the scanner is busy/ } @events),
    'waiting is told, with the reason');
my @percent = map { $_->{json}{progress_percentage} } @events;
is_deeply([ sort { $a <=> $b } @percent ], \@percent,
    'percentages do not fall');

($end, $job) = run('never');
is($end->{status}, 'failed', 'attempts end');
is($end->{error_message}, 'Given up after 2 attempts: still busy',
    'with the reason');

($end, $job) = run('mumble');
is($end->{status}, 'completed', 'a reason is cut between two characters');

($end, $job) = run('exit');
is($end->{error_message}, 'fall: exit 7: oil on the floor',
    'an exit that is not 0 fails, with the last line of its log');
is(row($job, 'attempt'), 1, 'with one attempt it is not tried again');

unlink $rig->dir . '/stages/gone';
($end) = run('absent');
like($end->{error_message}, qr/^b: gone could not be started: exec: No such/,
    'a program that is missing is named');

# ---- rubbish ----------------------------------------------------------------

$job = $rig->submit('rubbish', as => $ana);
$s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
@events = $s->until_end(timeout => 60);
is($events[-1]{json}{status}, 'completed', 'rubbish harms nothing');
@percent = map { $_->{json}{progress_percentage} } @events;
is_deeply([ sort { $a <=> $b } @percent ], \@percent,
    'percentages never fall, whatever a stage says');
is((grep { $_ < 0 || $_ > 100 } @percent), 0, 'nor leave 0 to 100');
like($rig->log('millraced'), qr/job $job: talk: \d+ lines on descriptor 3/,
    'it is counted and logged');
my ($n) = $rig->sql('SELECT COUNT(*), TIMESTAMPDIFF(SECOND, MIN(at), MAX(at))' .
    ' FROM event WHERE job_id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
cmp_ok($n->[0], '<=', 4 * ($n->[1] + 1) + 4,
    'thirty thousand updates are at most four events a second');

($end, $job) = run('chatter');
is($end->{status}, 'completed', 'so does a log without end');
is((step($job, 'log', 'RIGHT(output, 14)'))[0], "the last line\n",
    'its last lines are kept with the step');

# The daemon is the one that was started.
unlike($rig->log('launch'), qr/millraced: died/, 'the daemon never died');

done_testing;
