# launch starts programs in order, keeps them running, and leaves none behind,
# whatever is killed.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time);

my $top = abs_path(dirname(__FILE__) . '/..');
my $launch = ($ENV{MILLRACE_BUILD} // "$top/run/build") . '/cli/launch';
my $dir = tempdir('a dir XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub table {
	open my $f, '>', "$dir/stack" or die $!;
	print $f @_;
	close $f;
}

sub run {
	my @flags = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	# Not the pipe to who reads our results: it would wait for us.
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$dir/said";
	exec $launch, @flags, "$dir/stack" or die $!;
}

sub ask { scalar `'$launch' '$dir/stack' @_ 2>&1` }

sub pid_of {
	open my $f, '<', "$dir/pid/$_[0]" or return 0;
	return <$f> + 0;
}

sub wait_for {
	my ($is, $what) = @_;
	my $end = time + 60;
	until ($is->()) {
		if (time > $end) {
			fail($what);
			# What follows would send signals to nobody knows whom.
			die join ' ', 'said:', slurp("$dir/said"), 'left:',
			    left(), "\n";
		}
		select undef, undef, undef, 0.03;
	}
	return pass($what);
}

# Everything that works below the directory.
sub left {
	return grep { (readlink("/proc/$_/cwd") // '') =~ /^\Q$dir\E/ }
	    map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
}

sub none_left { wait_for(sub { !left() }, $_[0]) }

# Two processes that end when they are told to.
my $both = 'tail -f /dev/null & exec tail -f /dev/null';
my $idle = "sh -c \"$both\"";

# ---- order ------------------------------------------------------------------

table("# comment\n\nfirst - sh -c \"echo here; $both\"\n",
    "once ! sh -c \"test -f log/first && echo made > made\"\n",
    "last \"$dir/last.sock\" sh -c \"test -f made && $both\"\n");
my $pid = run();
wait_for(sub { ask('status') =~ /^last \d+$/m }, 'all of them run');
is(ask('status') =~ s/ \d+$/ N/gmr, "first N\nonce done\nlast N\n",
    'a "!" runs to its end before what is below it');
is(ask('status') =~ /^last (\d+)$/m && $1, pid_of('last'),
    'pid/NAME has the process');
like(run_and_wait(), qr/already running/, 'a second one is refused');
is((stat "$dir/last.sock")[2] & 0777, 0660, 'a socket for owner and group');

# ---- one program ------------------------------------------------------------

my $before = pid_of('last');
kill 'KILL', $before;
wait_for(sub { pid_of('last') && pid_of('last') != $before },
    'what was killed runs again');
ok(IO::Socket::UNIX->new(Peer => "$dir/last.sock"), 'its socket is open');
is(ask('stop last'), '', 'one is stopped');
like(ask('status'), qr/^last stopped$/m, 'and stays so');
ok(IO::Socket::UNIX->new(Peer => "$dir/last.sock"),
    'its socket is open even then');
is(ask('start last'), '', 'and started');
like(ask('status'), qr/^last \d+$/m, 'and runs');
like(ask('stop nobody'), qr/no program has that name/, 'unknown names');

# ---- the end ----------------------------------------------------------------

my $began = time;
is(ask('stop'), '', 'all are stopped');
waitpid $pid, 0;
is($?, 0, 'exit status 0');
cmp_ok(time - $began, '<', 20, 'at once');
none_left('nothing is left');
like(ask('status'), qr/not running/, 'nobody answers');

table("deaf - sh -c \"trap '' TERM; while :; do tail -f /dev/null; done\"\n",
    "orphan - sh -c \"setsid $both\"\n");
$pid = run();
wait_for(sub { pid_of('orphan') && left() >= 4 }, 'those who do not obey');
kill 'TERM', $pid;
waitpid $pid, 0;
none_left('are ended too, and what left the family');

table("idle - $idle\n");
$pid = run();
wait_for(sub { left() == 3 }, 'with a grandchild');
kill 'KILL', $pid;
waitpid $pid, 0;
wait_for(sub { !grep { $_ == pid_of('idle') } left() },
    'when it is killed, its programs end');
$pid = run();
wait_for(sub { pid_of('launch') == $pid && left() == 3 },
    'the next start ends what escaped');
kill 'KILL', left();
waitpid $pid, 0;
$pid = run();
wait_for(sub { pid_of('launch') == $pid && left() == 3 },
    'and starts after all was killed');
kill 'TERM', $pid;
waitpid $pid, 0;

# ---- with its parent --------------------------------------------------------

my $parent = fork // die $!;
if ($parent == 0) {
	run('-f');
	sleep;
}
wait_for(sub { left() == 3 + 1 || pid_of('idle') }, 'started by somebody');
kill 'KILL', $parent;
waitpid $parent, 0;
none_left('-f: it ends with who started it');

# ---- what cannot be started -------------------------------------------------

table("idle - $idle\n", "bad ! sh -c \"echo why; exit 3\"\n", "never - true\n");
$pid = run();
waitpid $pid, 0;
is($? >> 8, 1, 'a "!" that fails ends the start');
none_left('of all');
for (["x\n", qr/x has no socket/], ["x -\n", qr/x has no command/],
    ["x - \"a\n", qr/quote is not closed/], ["\n", qr/nothing to start/]) {
	table($_->[0]);
	like(run_and_wait(), $_->[1], "$_->[1]");
}

sub run_and_wait {
	my $pid = run();
	waitpid $pid, 0;
	return slurp("$dir/said");
}

sub slurp {
	open my $f, '<', $_[0] or return '';
	local $/;
	return <$f> // '';
}

END { my $s = $?; kill 'KILL', left() if $dir; $? = $s }

done_testing;
