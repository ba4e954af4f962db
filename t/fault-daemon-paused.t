# Daemons are stopped for longer than their lease, five at a time, and go on:
# what they had is done by another one, and they write and publish nothing of
# it any more.  (slow)

use strict;
use warnings;

use Test::More;
use Torture;

my @hosts = qw(east west north south middle);
my $turns = int(Torture::rounds(10, 100) / @hosts + 0.5) || 1;
my $rig = Torture::rig()->conf('daemon', slots => 6, lease => '6s')
    ->daemons(@hosts)->start;
my $t = Torture->new($rig);

sub fenced { scalar(() = $rig->log($_[0]) =~ /: fenced: /g) }

# Whether it has taken a job since it was fenced.
sub works_again { $rig->log($_[0]) =~ /.*: fenced: .*: taken, attempt/s }

sub rows_of {
	my ($host) = @_;
	my ($row) = $rig->sql('SELECT COUNT(j.id), COUNT(DISTINCT d.id) FROM'
	    . ' daemon d LEFT JOIN job j ON j.daemon_id = d.id'
	    . ' WHERE d.host = ?', $host);
	return @$row;
}

my $held = 0;
for my $turn (1 .. $turns) {
	my %before = map { $_ => fenced($_) } @hosts;
	$t->top_up(60, follow => 25);
	$rig->wait_for(sub {
		$t->top_up(60);
		!grep { !(rows_of($_))[0] } @hosts
	}, 60, 'each has jobs');
	for my $host (@hosts) {
		$t->pause(0.05);
		$rig->kill('STOP', $host);
		$held += (rows_of($host))[0];
	}
	for my $host (@hosts) {
		$rig->wait_for(sub {
			$t->top_up(10);
			(rows_of($host))[1] == 0
		}, 60, "$host is taken for dead");
	}
	for my $host (@hosts) {
		$t->pause(0.05);
		$rig->kill('CONT', $host);
	}
	for my $host (@hosts) {
		$rig->wait_for(sub { fenced($host) > $before{$host} }, 60,
		    "$host finds that it is fenced");
		$rig->wait_for(sub {
			$t->top_up(60);
			works_again($host)
		}, 60, "$host goes on with other work");
	}
	pass("turn $turn: five daemons are fenced, and work again");
}

my $pauses = $turns * @hosts;
my $sum = $rig->ledger(timeout => Torture::patience(), faults => $pauses,
    name => "$pauses pauses: nothing is lost or doubled");
$t->effects('paused');
is($sum->{completed}, $sum->{jobs}, 'all jobs are completed');
cmp_ok($held, '>=', $pauses, "the stopped ones had $held jobs in their hands");
cmp_ok(fenced($_), '>=', $turns, "$_ was fenced each time") for @hosts;
diag(sprintf '%d jobs; from STOP until a job runs again: most %.2f s',
    $sum->{jobs}, $sum->{takeover});
cmp_ok($sum->{takeover}, '<', 20, 'no job waits longer than 20 s');

done_testing;
