# A job whose time comes in the very moment in which the daemon looks is not
# forgotten.

use strict;
use warnings;

use Rig;
use Test::More;

my $JOBS = 100;

my $rig = Rig->new
    ->conf('daemon', slots => 4)
    ->pipeline('again', "stage only 100 60s again\n")
    ->stage('again', <<'EOT')
#!/bin/sh
[ -e asked ] && exit 0
: >asked
echo 'retry 3600 later' >&3
EOT
    ->start;
my $ana = $rig->user('ana');
my @jobs = map { $rig->submit('again', as => $ana) } 1 .. $JOBS;

sub count {
	my ($row) = $rig->sql("SELECT COUNT(*) FROM $_[0]");
	return $row->[0];
}

$rig->wait_for(sub { count('later') == $JOBS }, 120, 'all of them wait');
$rig->sql('UPDATE step SET due = NOW(3)');

# Over and over, their time is within the next two milliseconds.
my $soon = 'UPDATE later SET due = NOW(3) + INTERVAL 2000 * RAND() MICROSECOND';
$rig->wait_for(sub {
	$rig->sql("DELIMITER //\nBEGIN NOT ATOMIC DECLARE n INT DEFAULT 0;" .
	    " REPEAT $soon; DO SLEEP(0.001); SET n = n + 1;" .
	    " UNTIL n = 200 END REPEAT; END//\n");
	count("job WHERE state = 'pending' AND ready IS NULL") == 0
}, 120, 'all of them are ready');
is(count("job WHERE state NOT IN ('pending', 'running', 'completed')"), 0,
    'none is lost');
my %became;
$became{$rig->ended($_, as => $ana)->{status}}++ for @jobs;
is_deeply(\%became, { completed => $JOBS }, 'and each is done');
is(count('later'), 0, 'nothing is put off any more');
$rig->ledger;

done_testing;
