package Torture;

# What tests have in common that strike a stack again and again, at times
# that nobody chose: see t/fault-*.t.
#
#	use Torture;
#	my $rounds = Torture::rounds(100, 3000);
#	my $rig = Torture::rig()->conf('daemon', slots => 40)->start;
#	my $t = Torture->new($rig);
#	$t->top_up(40);
#	$t->pause(0.4);
#
# A round takes a moment, so that ./check has some of them and "make torture"
# (MILLRACE_REPEAT=nightly) has many.  What is random follows from one seed,
# which is printed, and can be given as MILLRACE_SEED.  MILLRACE_ISOLATION is
# for database.isolation.

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Rig;
use Socket qw(MSG_DONTWAIT MSG_PEEK);
use Test::More ();
use Time::HiRes qw(time);

my $seed = $ENV{MILLRACE_SEED} // int(rand 2**31);
srand $seed;
Test::More::diag("MILLRACE_SEED=$seed");

# How often: for ./check, and for "make torture".  MILLRACE_REPEAT may be a
# number as well.
sub rounds {
	my ($few, $many) = @_;
	my $repeat = $ENV{MILLRACE_REPEAT} // '';
	return $repeat =~ /^[1-9]\d*$/ ? $repeat :
	    $repeat eq 'nightly' ? $many : $few;
}

# Seconds for all of it to end, after so many rounds.
sub patience { 120 + rounds(0, 600) }

# A rig with a pipeline "short": 50 to 200 ms, 20 lines of progress, a result
# that tells by whom and how often it was made.  The sweep comes often, for
# what a daemon had no time to remove; not so where it has much to look at.
sub rig {
	my $rig = Rig->new;
	$rig->{journal} = journal("$rig->{dir}/journal");
	my $short = Rig::_read("$rig->{build}/t/torture/short")
	    // die "$rig->{build}/t/torture/short: $!\n";
	$rig->conf('database', isolation => $ENV{MILLRACE_ISOLATION})
	    if $ENV{MILLRACE_ISOLATION};
	return $rig->with_stages
	    ->stage('short', $short)
	    ->conf('daemon', sweep => rounds(0, 1) ? '30s' : '2s')
	    ->pipeline('short', <<"EOT");
network
stage	work	90	30s	short $rig->{journal} 50 200
network	-
stage	store	10	30s	store
EOT
}

sub new {
	my ($class, $rig) = @_;
	return bless { rig => $rig, user => $rig->user('ana'), jobs => [] },
	    $class;
}

# ---- the journal ------------------------------------------------------------

# Outside of any job and any database: a process that is told by each run of a
# stage that it begins, and by its connection's end that it is gone.  So two
# runs of a job at the same time cannot be missed.  Returns its port.
sub journal {
	my ($path) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Listen => 256) or die "journal: $@\n";
	my $test = $$;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		open my $out, '>', $path or POSIX::_exit(1);
		$out->autoflush(1);
		write_journal($listen, $out, $test);
		POSIX::_exit(0);
	}
	return $listen->sockport;
}

sub write_journal {
	my ($listen, $out, $test) = @_;
	my $wait = IO::Select->new($listen);
	my (%text, %run);		# of each connection
	while (getppid == $test) {
		for my $s ($wait->can_read(1)) {
			if ($s == $listen) {
				my $c = $listen->accept;
				$wait->add($c) if $c;
				next;
			}
			my $n = sysread $s, $text{$s}, 4096,
			    length($text{$s} // '');
			while ($text{$s} =~ s/^(\S+) (.*)\n//) {
				say_run($out, \%run, $s, $1, $2);
			}
			next if $n;
			run_gone($out, \%run, $s);
			delete $text{$s};
			$wait->remove($s);
			close $s;
		}
	}
}

# A line of a run.  Of those that ended before it began, the end may not have
# been read yet.
sub say_run {
	my ($out, $run, $s, $job, $what) = @_;
	my $byte;
	for my $other (values %$run) {
		next if $other->{job} ne $job || $other->{s} == $s;
		run_gone($out, $run, $other->{s})
		    if defined recv($other->{s}, $byte, 1,
			MSG_PEEK | MSG_DONTWAIT) && !length $byte;
	}
	$run->{$s} = { job => $job, s => $s };
	print $out "$job $what\n";
}

sub run_gone {
	my ($out, $run, $s) = @_;
	my $it = delete $run->{$s} // return;
	print $out "$it->{job} gone\n";
}

# Runs that began while another one of the same job was not gone; and how many
# there were of each, {job => runs}.
sub runs {
	my ($self) = @_;
	my (%here, %runs, @twice);
	open my $f, '<', "$self->{rig}{dir}/journal" or die "journal: $!\n";
	while (<$f>) {
		my ($job, $what) = split ' ';
		if ($what eq 'begin') {
			$runs{$job}++;
			push @twice, $job if $here{$job}++;
		} elsif ($what eq 'gone') {
			$here{$job}--;
		}
	}
	return (\%runs, \@twice);
}

# ---- jobs -------------------------------------------------------------------

# Send jobs in until so many are not finished.  Every so many {follow} of them
# has somebody who follows it, with one connection after the other.
sub top_up {
	my ($self, $want, %o) = @_;
	my ($row) = $self->{rig}->sql('SELECT COUNT(*) FROM job WHERE state IN'
	    . ' (?, ?)', 'pending', 'running');
	for (1 .. $want - $row->[0]) {
		my $job = $self->{rig}->submit('short', as => $self->{user});
		push @{ $self->{jobs} }, $job;
		$self->{rig}->follow($job, as => $self->{user}, cut => 0.4,
		    timeout => patience() + 60)
		    if $o{follow} && @{ $self->{jobs} } % $o{follow} == 0;
	}
}

# At random, up to so many seconds.
sub pause { select undef, undef, undef, rand $_[1] }

# What the ledger does not know of: runs do not overlap, and each result tells
# of each run of its job once.
sub effects {
	my ($self, $name) = @_;
	my ($runs, $twice) = $self->runs;
	my @wrong = map { "$_: ran while it ran" } @$twice;
	my $results = 0;
	for ($self->{rig}->sql('SELECT LOWER(HEX(job_id)), path FROM artifact')) {
		my ($id, $path) = @$_;
		$id =~ s/^(.{8})(.{4})(.{4})(.{4})/$1-$2-$3-$4-/;
		my @lines = split /\n/,
		    Rig::_read("$self->{rig}{dir}/storage/$path") // '';
		my %seen;
		$seen{$_}++ for @lines;
		push @wrong, "$id: its result tells of " . @lines .
		    ' runs, the journal of ' . ($runs->{$id} // 0) .
		    ', and ' . keys(%seen) . ' are distinct'
		    if !@lines || @lines > ($runs->{$id} // 0) ||
			keys %seen != @lines;
		$results++;
	}
	Test::More::ok(!@wrong && $results,
	    "$name: $results results tell of each run once, none overlap")
	    or Test::More::diag(join "\n", @wrong);
}

# The largest, and one that so much of them are not above.
sub largest { my @all = sort { $a <=> $b } @_; return $all[-1] // 0 }
sub quantile {
	my ($q, @all) = @_;
	@all = sort { $a <=> $b } @all;
	return $all[int($q * $#all + 0.5)] // 0;
}

1;
