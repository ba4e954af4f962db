# Four claimers take a queue apart at full speed, at either level of isolation:
# no claim is doubled, and no transaction is killed for another one.

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use Torture;

my $jobs = Torture::rounds(2000, 100_000);
my $rig = Rig->new->start;
$rig->stop('millraced');

sub deadlocks {
	my ($row) = $rig->sql('SELECT count FROM information_schema.'
	    . 'INNODB_METRICS WHERE name = ?', 'lock_deadlocks');
	return $row->[0];
}

my %sum;
for my $isolation ('read-committed', 'repeatable-read') {
	local $ENV{MILLRACE_DATABASE_ISOLATION} = $isolation;
	my $before = deadlocks();
	my ($exit, $out, $err) = Rig::_run({}, "$rig->{build}/t/torture/claims",
	    '-c', $rig->dir . '/millrace.conf', '-n', $jobs, '-p', 4);
	is($exit, 0, "$isolation: $jobs jobs are claimed and done")
	    or diag $out, $err;
	my $it = JSON::PP->new->decode($out || '{}');
	my $killed = deadlocks() - $before;
	is($it->{lost}, 0, "$isolation: none is lost");
	is($it->{doubled}, 0, "$isolation: none is doubled");
	is($killed, 0, "$isolation: no deadlock") or diag $err;
	diag(sprintf '%s: %d jobs, %d claims, %d waited for in vain, %.0f/s',
	    $isolation, @$it{qw(jobs claims timeouts)},
	    $it->{jobs} / ($it->{seconds} || 0.1));
	$sum{$_} += $it->{$_} // 0 for qw(lost doubled claims);
}

my $ledger = $rig->ledger(faults => 0, lost => $sum{lost},
    doubled => $sum{doubled}, name => 'all of it is as the database has it');
is($ledger->{completed}, 2 * $jobs, 'and nothing else is there');
is($ledger->{claims}, $sum{claims}, 'with each claim that was made');

done_testing;
