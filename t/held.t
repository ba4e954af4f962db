# When a daemon is killed, nobody gets the directory of a job before all that
# ran in it is gone: also what takes its time to go.

use strict;
use warnings;

use Fcntl qw(LOCK_EX LOCK_NB O_DIRECTORY O_RDONLY);
use POSIX ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $ROUNDS = 5;

# Memory that was touched has to be given back first, and the lock goes with
# the process.
my $rig = Rig->new->pipeline('large', "memory 2g\nstage hold 100 1h hold\n")
    ->stage('hold', <<'EOT')->start;
#!/usr/bin/perl
open my $f, '>', 'mine' or die;
flock $f, 2 or die;
my $much = 'x' x 300_000_000;
open my $say, '>&=', 3 or die;
syswrite $say, "progress 50 ready\n";
pipe my $never, my $held or die;
readline $never;
EOT
my $ana = $rig->user('ana');

# Kill the daemon.  Whether "mine" is nobody's once somebody else has DIR, who
# asks for it without a pause.
sub free_when_held {
	my ($dir) = @_;
	my $pid = fork // die "fork: $!\n";
	POSIX::_exit(eval { watch($dir) } ? 0 : 1) if $pid == 0;
	$rig->kill('KILL', 'millraced');
	waitpid $pid, 0;
	return $? == 0;
}

sub watch {
	my ($dir) = @_;
	my $until = time + 60;
	sysopen my $d, $dir, O_RDONLY | O_DIRECTORY or die "$dir: $!\n";
	open my $f, '<', "$dir/mine" or die "$dir/mine: $!\n";
	until (flock $d, LOCK_EX | LOCK_NB) {
		return 0 if time > $until;
	}
	return flock $f, LOCK_EX | LOCK_NB;
}

for my $round (1 .. $ROUNDS) {
	my $job = $rig->submit('large', as => $ana);
	$rig->wait_for(sub { $rig->job($job, as => $ana)->{current_step}
	    eq 'ready' }, 60, 'it runs');
	ok(free_when_held($rig->dir . "/storage/work/$job"),
	    "round $round: all of it is gone when another one may begin");
	$rig->start_program('millraced');
	is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 202,
	    'it is cancelled');
	is($rig->ended($job, as => $ana)->{status}, 'cancelled', 'and ends');
}

done_testing;
