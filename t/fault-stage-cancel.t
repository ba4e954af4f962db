# Cancelling reaches all that a job has started, on whichever host it runs,
# within a second: the event that ends it is written when all of it is gone.

use strict;
use warnings;

use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(50, 500);

# Jobs at a time, over both hosts.
my $ATONCE = 8;

my $rig = Rig->new
    ->conf('daemon', slots => 4)
    ->daemons('second')
    ->pipeline('stubborn', "stage grow 100 60s grow\n")
    ->stage('grow', <<'EOT')->start;
#!/usr/bin/perl
# Hears nothing; its children are in sessions of their own, and one of them is
# never the same for long.
use POSIX ();
$SIG{$_} = 'IGNORE' for qw(TERM INT HUP);
sub away { fork and return 0; POSIX::setsid(); fork and exit; 1 }
sub nap { select undef, undef, undef, 0.05 }
for (1 .. 2) { if (away()) { sleep 1 while 1 } }
if (away()) { while (1) { nap(); fork and exit; POSIX::setsid() } }
system 'echo "step stands" >&3';
sleep 1 while 1;
EOT
my $ana = $rig->user('ana');

# Whether anything that was there when its end could be read is there still.
my $left = 0;
sub cancel_all {
	my (@jobs) = @_;
	my %here = map { $_ => 1 } @jobs;
	for my $job (@jobs) {
		$rig->wait_for(sub { $rig->job($job, as => $ana)->{current_step}
		    eq 'stands' && Trees::of($rig, $job) >= 4 }, 30,
		    'its tree stands');
	}
	$rig->post("/api/v1/jobs/$_/cancel", as => $ana)->{status} == 202 or die
	    for @jobs;
	for my $job (@jobs) {
		is($rig->ended($job, as => $ana)->{status}, 'cancelled',
		    'a cancelled job ends');
		$left += Trees::of($rig, $job);
	}
}

my $stall = Trees::stall();
for (my $n = $rounds; $n > 0; $n -= $ATONCE) {
	cancel_all(map { $rig->submit('stubborn', as => $ana) }
	    1 .. ($n < $ATONCE ? $n : $ATONCE));
}
my $over = $stall->();

is($left, 0, 'where a job has ended, none of its processes is left');
my @took = map { $_->[0] } $rig->sql('SELECT TIMESTAMPDIFF(MICROSECOND,' .
    ' c.at, e.at) / 1e6 FROM event c JOIN event e ON e.job_id = c.job_id' .
    ' WHERE c.step = ? AND e.state = ?', 'Cancelling', 'cancelled');
my $most = Torture::largest(@took);
is(@took, $rounds, 'each was asked for once, and done once');
cmp_ok($most, '<', 1 + $over, sprintf 'within a second: median %.3f s, most'
    . ' %.3f s', Torture::quantile(0.5, @took), $most);
my $there = () = $rig->log('second') =~ /: taken,/g;
cmp_ok($there, '>', 0, "$there of them on another host") if $rounds > 4;
$rig->ledger(name => 'nothing is left or lost');
Trees::torture(jobs => $rounds, cancels => $rounds,
    cancel_ms => int 1000 * $most);
done_testing;
