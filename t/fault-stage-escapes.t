# Nothing of a stage outlives it, whatever it forks, ignores and holds open,
# and whoever ends: the program, its keeper, or the daemon.

use strict;
use warnings;

use File::Path qw(remove_tree);
use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(20, 200);
my $dir = ($ENV{TMPDIR} // '/tmp') . "/millrace-escapes-$$";
my %longest;
my $jobs = 0;
my $test = $$;
END { remove_tree($dir) if $$ == $test && -d $dir }

sub rig {
	my (@build) = @_;
	return Rig->new(@build)
	    ->conf('daemon', slots => 4)
	    ->pipeline('tree', "stage tree 100 60s tree\n")
	    ->stage('tree', <<'EOT')->start;
#!/usr/bin/perl
# Grows a tree of processes that hear nothing, in sessions of their own, with
# all pipes open.  Some of them are never the same for long.  When it is run
# again it has nothing to do.
use POSIX ();
exit 0 if -e 'been';
open my $been, '>', 'been';
$SIG{$_} = 'IGNORE' for qw(TERM INT HUP);
sub away { fork and return 0; POSIX::setsid(); fork and exit; 1 }
sub nap { select undef, undef, undef, 0.02 }
for (1 .. 3) { if (away()) { sleep 1 while 1 } }
for (1 .. 2) { if (away()) { while (1) { nap(); fork and exit;
	POSIX::setsid() } } }
system 'echo "step stands" >&3';
nap() until -e 'leave';
EOT
}

sub program {
	my ($rig, $job) = @_;
	my $keeper = Trees::keeper($rig, $job);
	my ($program) = grep { (Trees::parent($_) // 0) == $keeper &&
	    (Rig::_read("/proc/$_/cmdline") // '') =~ m{/tree} }
	    Trees::of($rig, $job);
	return $program;
}

my @blows = (
	[ leaves => sub {
		my ($rig, $job) = @_;
		Rig::_write("$rig->{dir}/storage/work/$job/leave", '');
	} ],
	[ 'is killed' => sub { kill 'KILL', program(@_) or die } ],
	[ 'loses its keeper' => sub {
		kill 'KILL', Trees::keeper(@_) or die
	} ],
	[ 'loses its daemon' => sub { $_[0]->kill('KILL', 'millraced') } ],
);

sub strike {
	my ($rig, $as, $what, $blow) = @_;
	my $job = $rig->submit('tree', as => $as);
	$jobs++;
	$rig->wait_for(sub { $rig->job($job, as => $as)->{current_step} eq
	    'stands' && Trees::of($rig, $job) >= 6 }, 30, 'a tree stands');
	$blow->($rig, $job);
	my $took = Trees::gone($rig, $job, "a program $what: all is gone");
	$longest{$what} = $took if $took > ($longest{$what} // 0);
}

sub strikes {
	my ($rig, $where) = @_;
	my $ana = $rig->user('ana');
	%longest = ();
	strike($rig, $ana, @{ $blows[$_ % @blows] }) for 1 .. $rounds;
	for my $blow (@blows) {
		my ($what) = @$blow;
		cmp_ok($longest{$what}, '<', 1, sprintf '%s, a program %s: '
		    . 'all is gone within %.3f s', $where, $what,
		    $longest{$what});
	}
	my $sum = $rig->ledger(name => "$where: nothing is left or lost");
	is($sum->{completed}, $rounds, 'each job got its end');
}

strikes(rig(), 'as the host is');
SKIP: {
	skip 'no user namespaces: no way to have fewer', 7
	    unless Trees::without_namespaces($dir);
	my $rig = rig(build => $dir);
	like($rig->log('millraced'), qr/NO pid namespace/,
	    'there are no namespaces');
	strikes($rig, 'without namespaces');
}
Trees::torture(jobs => $jobs, kills => $jobs);
done_testing;
