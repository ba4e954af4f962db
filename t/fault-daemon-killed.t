# The daemon is killed again and again, while forty jobs are in its hands:
# every job ends, once, and what it leaves is whole.  (slow)

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);
use Torture;

my $rounds = Torture::rounds(100, 3000);
my $rig = Torture::rig()->conf('daemon', slots => 40)->start;
my $t = Torture->new($rig);

sub ended {
	my ($row) = $rig->sql('SELECT COALESCE(SUM(n), 0) FROM tally WHERE'
	    . ' state IN (?, ?)', 'completed', 'failed');
	return $row->[0];
}

# Every other time some are let go through first: without that, on a busy host
# no step would ever be done, and all would be set aside in the end.
for my $round (1 .. $rounds) {
	# Of forty; where submitting is slow, some end meanwhile.
	my $enough = ended() + 10;
	$t->top_up(40, follow => 25);
	if ($round % 2 == 0) {
		$rig->wait_for(sub { ended() >= $enough }, 120, 'ten end');
	}
	$t->pause(0.4);
	$rig->kill('KILL', 'millraced');
	$rig->start_program('millraced');
}

my $sum = $rig->ledger(timeout => Torture::patience(),
    name => "$rounds kills: nothing is lost or doubled");
$t->effects('killed');
is($sum->{accepted}, @{ $t->{jobs} }, 'all jobs that were sent in are known');
is($sum->{completed} + $sum->{set_aside}, $sum->{jobs},
    'each is completed, or set aside for its crashes');
cmp_ok($sum->{completed}, '>', $sum->{jobs} / 2, 'as most are');
is_deeply([ $rig->sql('SELECT HEX(j.id), COUNT(*) FROM job j JOIN event e'
    . ' ON e.job_id = j.id AND e.state = ? WHERE j.error_message LIKE ?'
    . ' GROUP BY j.id HAVING COUNT(*) < 4', 'pending', 'Set aside%') ], [],
    'and who is set aside was taken up three times and more');

my @first = @{ $sum->{first_claims} };
diag(sprintf '%d jobs, %d events, %d claims, %d taken over, %d set aside',
    @$sum{qw(jobs events claims taken_over set_aside)});
diag(sprintf 'from a start to the first claim: median %.2f s, 95 %% %.2f s,'
    . ' most %.2f s; from a kill until a job runs again: most %.2f s',
    Torture::quantile(0.5, @first), Torture::quantile(0.95, @first),
    Torture::largest(@first), $sum->{takeover});
cmp_ok(Torture::quantile(0.5, @first), '<', 1,
    'a daemon that starts has its first job within a second');
cmp_ok($sum->{takeover}, '<', 20, 'no job waits longer than 20 s');

done_testing;
