package Trees;

# The processes of stages, as /proc shows them, and how long they last.
#
#	my @all = Trees::of($rig, $job);
#	my $s = Trees::gone($rig, $job);	# seconds

use strict;
use warnings;

use Cwd ();
use File::Basename qw(dirname);
use POSIX ();
use Rig;
use Test::More ();
use Time::HiRes qw(time);

my $top = Cwd::abs_path(dirname(__FILE__) . '/../..');

# Longest step of a fair clock, s: one look at all processes of the machine.
my $STEP = 0.05;

# What belongs to a job: it was given its name, or is in its directory.  The
# keeper is among them, where we may look at it.  Without a job: of any.
sub of {
	my ($rig, $job) = @_;
	my $work = "$rig->{dir}/storage/work/" . ($job // '');
	my @all;
	for my $dir (glob '/proc/[0-9]*') {
		my $cwd = readlink "$dir/cwd" // next;
		push @all, substr $dir, 6
		    if index($cwd, $work) == 0 || is_named($dir, $work);
	}
	return @all;
}

sub is_named {
	my ($dir, $work) = @_;
	return index(Rig::_read("$dir/environ") // '', "=$work") >= 0;
}

# The keeper of a job's only program: the parent of the first that was given
# the job's name.
sub keeper {
	my ($rig, $job) = @_;
	my $work = "$rig->{dir}/storage/work/$job";
	my %named = map { $_ => 1 } grep { is_named("/proc/$_", $work) }
	    of($rig, $job);
	for my $pid (keys %named) {
		my $parent = parent($pid) // next;
		return $parent if $parent > 1 && !$named{$parent};
	}
	return;
}

sub parent {
	my ($stat) = Rig::_read("/proc/$_[0]/stat") // return;
	return $stat =~ /.*\) \S (\d+)/ ? $1 : undef;
}

# A clock for bounds of the product's on a machine that others use as well:
# where we were not let run ourselves, it stands.
sub clock {
	my $before = time;
	my $at = 0;
	return sub {
		my $now = time;
		$at += $now - $before > $STEP ? $STEP : $now - $before;
		$before = $now;
		return $at;
	};
}

# The longest that this machine does not let us run while we want to: what
# times of the product's may be longer for.  Returns FN, that ends the watch and
# gives it, s.
sub stall {
	pipe my $r, my $w or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		my ($most, $end) = (0, 0);
		$SIG{TERM} = sub { $end = 1 };
		until ($end) {
			my $before = time;
			select undef, undef, undef, 0.01;
			my $over = time - $before - 0.01;
			$most = $over if $over > $most && !$end;
		}
		syswrite $w, "$most\n";
		POSIX::_exit(0);
	}
	close $w;
	return sub {
		kill 'TERM', $pid;
		waitpid $pid, 0;
		return <$r> + 0;
	};
}

# Wait until nothing is left of a job; how long it took by a fair clock.
sub gone {
	my ($rig, $job, $what) = @_;
	my $clock = clock();
	$rig->wait_for(sub { $clock->(); !of($rig, $job) }, 30,
	    $what // 'all of it is gone');
	return $clock->();
}

# Zombies of the daemon's, and of whom it left behind.
sub zombies {
	my ($rig) = @_;
	my $daemon = $rig->pid('millraced');
	return grep { /.*\) Z (\d+)/ && $1 == $daemon }
	    map { Rig::_read("$_/stat") // () } glob '/proc/[0-9]*';
}

# A build whose daemon gets no namespaces, as on hosts that have none for it:
# the kernel refuses them below a user namespace that may have none.  Undef
# where that cannot be had.
sub without_namespaces {
	my ($dir) = @_;
	my $build = $ENV{MILLRACE_BUILD} // "$top/run/build";
	system("unshare --user --map-root-user true 2>/dev/null") == 0
	    or return;
	mkdir $dir or die "$dir: $!\n";
	for my $from (glob "'$build'/* '$build'/.libs") {
		my $name = $from =~ s{.*/}{}r;
		symlink $from, "$dir/$name" if $name ne 'millraced';
	}
	Rig::_write("$dir/millraced", <<"EOT");
#!/bin/sh
exec unshare --user --map-root-user sh -c '
	echo 0 >/proc/sys/user/max_pid_namespaces && exec "\$0" "\$@"
' '$build/millraced' "\$@"
EOT
	chmod 0755, "$dir/millraced";
	return $dir;
}

# The line that "make torture" collects.
sub torture {
	my (%facts) = @_;
	my $name = $0 =~ s{.*/|\.t$}{}gr;
	Test::More::note("torture: $name ", join ' ', map { "$_=$facts{$_}" }
	    sort keys %facts);
}

1;
