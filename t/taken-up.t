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
[ -e go ] || exec sleep 1000
EOT
    ->stage('sum', <<'EOT')
#!/bin/sh
echo "detail tries \"$(sort tries | uniq -c | tr -s ' \n' ' ')\"" >&3
EOT
    ->start;
my $ana = $rig->user('ana');

my $of = 'job_id = UNHEX(REPLACE(?, ?, ?))';

sub step {
	my ($job, $position, $set, @values) = @_;
	$rig->sql("UPDATE step SET $set WHERE $of AND position = ?", @values,
	    $job, '-', '', $position);
}

sub steps {
	my ($job, $state) = @_;
	my ($row) = $rig->sql("SELECT COUNT(*) FROM step WHERE $of" .
	    ' AND state = ?', $job, '-', '', $state);
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
$rig->wait_for(sub { steps($job, 'running') == 2 }, 60, 'the second stage');
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

done_testing;
