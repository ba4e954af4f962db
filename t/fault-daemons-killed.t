# Two, three and four daemons share a thousand jobs each time, while one or the
# other is killed: a claim is one daemon's, and all have their part.  (slow)

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);
use Torture;

my $rounds = Torture::rounds(3, 100);
my $jobs = $ENV{MILLRACE_JOBS} // 1000;
my @all = qw(millraced east west north);
my $rig = Torture::rig()->conf('daemon', slots => 6)
    ->daemons(@all[1 .. 3])->start;
my $t = Torture->new($rig);
my ($kills, $widest) = (0, 0);

sub taken { scalar(() = $rig->log($_[0]) =~ /: taken, attempt/g) }

sub unfinished {
	my ($row) = $rig->sql('SELECT COUNT(*) FROM job WHERE state IN (?, ?)',
	    'pending', 'running');
	return $row->[0];
}

# One of these is killed at some moment of the next second, until all is done.
sub kill_until_done {
	my (@daemons) = @_;
	my $end = time + 300;
	while (unfinished()) {
		die unfinished() . " jobs are not done after 300 s\n"
		    if time > $end;
		$t->pause(1);
		my $name = $daemons[rand @daemons];
		$rig->kill('KILL', $name);
		$rig->start_program($name);
		$kills++;
	}
}

for my $round (1 .. $rounds) {
	my $n = 2 + ($round - 1) % 3;
	my @run = @all[0 .. $n - 1];
	$rig->pid($_) && $rig->stop($_) for @all;
	$t->top_up($jobs, follow => int($jobs / 4));
	my %before = map { $_ => taken($_) } @run;
	$rig->start_program($_) for @run;
	kill_until_done(@run);
	my @part = sort { $a <=> $b } map { taken($_) - $before{$_} } @run;
	my $spread = $part[0] ? $part[-1] / $part[0] : 'inf';
	$widest = $spread if $spread > $widest;
	cmp_ok($spread, '<=', 2, "round $round: $n daemons share: @part");
}

my $sum = $rig->ledger(timeout => Torture::patience(), faults => $kills,
    name => "$kills kills: nothing is lost or doubled");
$t->effects('killed');
is($sum->{jobs}, $rounds * $jobs, 'all jobs are known');
is($sum->{completed} + $sum->{set_aside}, $sum->{jobs},
    'each is completed, or set aside for its crashes');
diag(sprintf '%d jobs, %d claims, %d taken over, %d set aside, widest spread'
    . ' %.2f, %d deadlocks; from a kill until a job runs again: most %.2f s',
    @$sum{qw(jobs claims taken_over set_aside)}, $widest,
    @$sum{qw(lock_deadlocks takeover)});
is($sum->{lock_deadlocks}, 0, 'the database saw no deadlock');
cmp_ok($sum->{takeover}, '<', 20, 'no job waits longer than 20 s');

done_testing;
