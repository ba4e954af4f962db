# Three daemons do items of the same jobs while one or the other is killed: each
# item is in the result once, and none is done by two at a time.  (slow)

use strict;
use warnings;

use Items;
use Test::More;
use Torture;

my $rounds = Torture::rounds(20, 300);
my @daemons = ('millraced', @Items::hosts);
my $rig = Items::rig()->start;
my $ana = Items::user();
my (@jobs, @open);

for (1 .. $rounds) {
	@open = grep {
		$rig->job($_, as => $ana)->{status} !~ /^(completed|failed)$/
	} @open;
	while (@open < 3) {
		push @open, Items::submit(@jobs % 2 ? 'kept' : 'many', 150);
		push @jobs, $open[-1];
	}
	select undef, undef, undef, 0.2 + rand 1;
	my $name = $daemons[rand @daemons];
	$rig->kill('KILL', $name) if $rig->pid($name);
	$rig->wait_for(sub { $rig->pid($name) }, 20, "$name is back");
}

my %sum = map { $_ => 0 } qw(completed made overlaps twice);
for my $job (@jobs) {
	$sum{Items::ended($job)->{status}}++;
	my $d = Items::details($job);
	$sum{made}++ if ($d->{made} // 0) == 150;
	$sum{$_} += $d->{$_} // 0 for qw(overlaps twice);
}
diag("$rounds kills, " . @jobs . " jobs of 150 items, $sum{twice} items done" .
    ' again');
is($sum{completed}, @jobs, "$rounds kills: all jobs are completed");
is($sum{made}, @jobs, 'with all of their items');
is($sum{overlaps}, 0, 'none was done by two at a time');
my $sum = $rig->ledger(faults => $rounds, timeout => Torture::patience());
diag("$sum->{lock_deadlocks} deadlocks");
done_testing;
