# A stage that forks without end is ended when it has as many processes as it
# may have, and other jobs go on meanwhile.

use strict;
use warnings;

use JSON::PP ();
use POSIX ();
use Test::More;
use Torture;
use Trees;

# Jobs that are timed, with bombs beside them and without.
my $JOBS = 15;

# What a job may take longer than twice its time beside bombs, ms: it is 15 ms
# long, and any machine stumbles.
my $SLACK = 60;

my $rounds = Torture::rounds(5, 50);
my $bound = 256 + 32 * POSIX::sysconf(84);	# _SC_NPROCESSORS_ONLN
my ($jobs, $bombs) = (0, 0);

sub rig {
	my $rig = Rig->new->conf('daemon', slots => 2);
	return $rig
	    ->pipeline('bomb', "attempts 1\nstage bomb 100 60s bomb\n")
	    ->pipeline('quick', "stage quick 100 30s quick\n")
	    ->stage('bomb', Rig::_read("$rig->{build}/t/torture/bomb"))
	    ->stage('quick', "#!/bin/sh\n")
	    ->start;
}

# Processes of bombs.
sub alive {
	return scalar grep { (Rig::_read("$_/comm") // '') eq "bomb\n" }
	    glob '/proc/[0-9]*';
}

# The most of them while FN runs.
sub most {
	my ($fn) = @_;
	pipe my $r, my $w;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		my ($most, $end) = (0, 0);
		$SIG{TERM} = sub { $end = 1 };
		until ($end) {
			my $n = alive();
			$most = $n if $n > $most;
		}
		syswrite $w, "$most\n";
		POSIX::_exit(0);
	}
	$fn->();
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return <$r> + 0;
}

# How long jobs took, from the rows of the database, ms.
sub latencies {
	my ($rig, $as) = @_;
	my @ms;
	for (1 .. $JOBS) {
		my $job = $rig->submit('quick', as => $as);
		$jobs++;
		$rig->ended($job, as => $as)->{status} eq 'completed' or die;
		push @ms, map { $_->[0] } $rig->sql('SELECT TIMESTAMPDIFF(' .
		    'MICROSECOND, created_at, completed_at) / 1000 FROM job' .
		    ' WHERE id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
	}
	return @ms;
}

# One bomb after the other, at least $rounds and until told to end, in a
# process of its own.  Returns FN, that ends it and gives what became of them.
sub bombing {
	my ($rig, $as) = @_;
	pipe my $r, my $w;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		my ($end, @all) = 0;
		$SIG{TERM} = sub { $end = 1 };
		until ($end && @all >= $rounds) {
			my $job = $rig->submit('bomb', as => $as);
			my $why = $rig->ended($job, as => $as)->{error_message};
			push @all, [ $why, Trees::gone($rig, $job) ];
		}
		print $w JSON::PP->new->encode(\@all), "\n";
		close $w;
		POSIX::_exit(0);
	}
	close $w;
	return sub {
		kill 'TERM', $pid;
		my $all = JSON::PP->new->decode(<$r>);
		waitpid $pid, 0;
		return @$all;
	};
}

sub explode {
	my ($rig) = @_;
	my $ana = $rig->user('ana');
	my @quiet = latencies($rig, $ana);
	my (@loud, @bombs);
	my $most = most(sub {
		my $stop = bombing($rig, $ana);
		@loud = latencies($rig, $ana);
		@bombs = $stop->();
	});
	$bombs += @bombs;
	my ($before, $beside) = map { Torture::quantile(0.5, @$_) } \@quiet,
	    \@loud;
	is_deeply([ grep { $_->[0] ne "bomb: ended with $bound processes and"
	    . ' threads, its limit' } @bombs ], [], @bombs .
	    ' bombs, each ended for its processes');
	# The kernel's bound; above ours, since it does not give out the first
	# 300 ids again.
	cmp_ok($most, '<', $bound + 300, "at most $most at once, of $bound");
	my $gone = Torture::largest(map { $_->[1] } @bombs);
	cmp_ok($gone, '<', 1, sprintf 'all gone within %.3f s', $gone);
	cmp_ok($beside, '<', 2 * $before + $SLACK, sprintf 'another job takes'
	    . ' %.0f ms beside them, %.0f ms without', $beside, $before);
	$rig->ledger(name => 'nothing is left or lost');
}

explode(rig());
Trees::torture(jobs => $jobs, bombs => $bombs);
done_testing;
