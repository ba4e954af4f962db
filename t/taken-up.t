# What a daemon finds of a job that another one had before it.

use strict;
use warnings;

use JSON::PP ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', slots => 2, handover => '1s')
    ->pipeline('twice', <<'EOT')
stage	split	5	60s	split
each	first	45	60s	first
each	second	45	600s	second
stage	sum	5	60s	sum
EOT
    ->stage('split', <<'EOT')
#!/bin/sh
printf 'item %s\n' a b >&3
EOT
    ->stage('first', <<'EOT')
#!/bin/sh
echo "first $MILLRACE_ITEM" >> tries
echo "item $MILLRACE_ITEM" >&3
EOT
    ->stage('second', <<'EOT')
#!/bin/sh
echo "second $MILLRACE_ITEM" >> tries
until [ -e go ]; do sleep 0.1; done
EOT
    ->stage('sum', <<'EOT')
#!/bin/sh
echo "detail tries \"$(sort tries | uniq -c | tr -s ' \n' ' ')\"" >&3
EOT
    ->pipeline('paused', <<'EOT')
stage	split	5	60s	split
each	item	90	600s	item
stage	sum	5	60s	sum
EOT
    ->stage('item', <<'EOT')
#!/bin/sh
# One asks for a pause, the other one waits to be let go.
echo "$MILLRACE_ITEM" >> tries
[ "$MILLRACE_ITEM" = b ] || [ -e asked ] || {
	touch asked
	echo 'retry 3000 not yet' >&3
	exit 0
}
[ "$MILLRACE_ITEM" = a ] || until [ -e go ]; do sleep 0.1; done
EOT
    ->pipeline('homeless', <<'EOT')
stage	sum	100	60s	attempts=2 pause=1s sum
EOT
    ->start;
my $ana = $rig->user('ana');

my $of = 'job_id = UNHEX(REPLACE(?, ?, ?))';

sub step {
	my ($job, $position, $set, @values) = @_;
	$rig->sql("UPDATE step SET $set WHERE $of AND position = ?", @values,
	    $job, '-', '', $position);
}

# How many of them run.
sub running {
	my ($job, $position) = @_;
	my ($row) = $rig->sql("SELECT COUNT(*) FROM step WHERE $of" .
	    " AND position = ? AND state = 'running'", $job, '-', '',
	    $position);
	return $row->[0];
}

sub ended {
	my ($job) = @_;
	return $rig->wait_for(sub {
		my $j = $rig->job($job, as => $ana);
		$j->{status} =~ /^(completed|failed|cancelled)$/ && $j
	}, 60, 'the job ends');
}

# ---- items of two stages, that were lent ------------------------------------

# As if the daemon had been killed when it had lent items of the second stage,
# and what became of those of the first one was not noted yet.
my $job = $rig->submit('twice', as => $ana);
$rig->wait_for(sub { running($job, 2) == 2 }, 60, 'the second stage');
$rig->stop('millraced');
my $said = '{"event": "ok", "why": "exited"}';
my ($row) = $rig->sql('SELECT token FROM job WHERE id ='
    . ' UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
step($job, 1, 'token = ?, helper = 4000000000, said = ?', $row->[0], $said);
step($job, 2, "token = ?, open = 1, state = 'waiting'", $row->[0]);
$rig->sql("UPDATE step SET open = NULL, helper = 4000000000, state = 'done',"
    . " attempt = 1, said = ? WHERE $of AND position = 2 AND item = 'a'",
    $said, $job, '-', '');
open my $go, '>', $rig->dir . "/storage/work/$job/go" or die;
close $go;
$rig->start_program('millraced');
is(ended($job)->{status}, 'completed', 'items of two stages are taken up');
my ($details) = $rig->sql('SELECT details FROM job WHERE id ='
    . ' UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
is(JSON::PP::decode_json($details->[0])->{tries},
    ' 1 first a 1 first b 1 second a 2 second b ',
    'and what a helper has done is not done again');

# ---- a pause ----------------------------------------------------------------

# For how many seconds the job is put off.
sub waits {
	my ($job) = @_;
	my $j = $rig->job($job, as => $ana);
	return $j->{status} eq 'pending' &&
	    $j->{current_step} =~ /^Again in (\d+) s/ ? $1 : 0;
}

sub tries {
	my ($job) = @_;
	my ($row) = $rig->sql('SELECT details FROM job WHERE id ='
	    . ' UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	return JSON::PP::decode_json($row->[0])->{tries};
}

for my $end (
	[ 'leaves', sub { $rig->stop('millraced') },
	  sub { $rig->start_program('millraced') } ],
	[ 'is killed', sub { $rig->kill('KILL', 'millraced') }, sub { } ],
) {
	my ($what, $stop, $start) = @$end;
	my $job = $rig->submit('paused', as => $ana);
	$rig->wait_for(sub {
		my ($row) = $rig->sql("SELECT COUNT(*) FROM step WHERE $of"
		    . ' AND due IS NOT NULL', $job, '-', '');
		$row->[0] == 1 && running($job, 1) == 1
	}, 60, 'one item waits, the other one runs');
	$stop->();
	open my $go, '>', $rig->dir . "/storage/work/$job/go" or die;
	close $go;
	$start->();
	my $left = $rig->wait_for(sub { waits($job) }, 60, 'the other one ends');
	cmp_ok($left, '>', 2000, "an item's pause stays when its daemon $what");
	step($job, 1, 'due = NOW(3)');
	$rig->sql('UPDATE later SET due = NOW(3)');
	is(ended($job)->{status}, 'completed', 'and when it is over');
	like(tries($job), qr/^ 2 a [23] b $/, 'it is tried again');
}

# ---- no place to work in ----------------------------------------------------

$rig->stop('millraced');
$job = $rig->submit('homeless', as => $ana);
my $place = $rig->dir . "/storage/work/$job";
open my $file, '>', $place or die;
close $file;
$rig->start_program('millraced');
is(ended($job)->{status}, 'failed', 'a directory that cannot be made');
is_deeply([ $rig->sql("SELECT attempt, state, failures FROM step WHERE $of",
    $job, '-', '') ], [ [ 0, 'failed', 2 ] ], 'is tried as often as a stage');
unlink $place or die;
$rig->post("/api/v1/jobs/$job/retry", as => $ana);
is(ended($job)->{status}, 'completed', 'and again when somebody says so');

# ---- what nobody took -------------------------------------------------------

# Its daemon was lost with items that others could take, and somebody has
# cancelled it: nobody has the job again.
$rig->stop('millraced');
$job = $rig->submit('twice', as => $ana);
$rig->sql("UPDATE job SET state = 'running', ready = NULL, cancel = 1,"
    . ' daemon_id = 4000000001, token = 77 WHERE id ='
    . ' UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
$rig->sql('INSERT INTO step (job_id, position, item, stage, token, open)'
    . " VALUES (UNHEX(REPLACE(?, ?, ?)), 1, 'a', 'first', 77, 1)", $job, '-',
    '');
$rig->start_program('millraced');
is(ended($job)->{status}, 'cancelled', 'a job whose daemon was lost');
is_deeply([ $rig->sql("SELECT item FROM step WHERE $of AND open = 1", $job,
    '-', '') ], [], 'has nothing to lend');

done_testing;
