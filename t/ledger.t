# The ledger finds what is lost, doubled or left behind: each of its invariants
# is broken by hand, and seen.  (slow)

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use Test::More;
use Torture;

# The sweep would take away what is to be found.
my $rig = Torture::rig()
    ->conf('daemon', sweep => '1h')
    ->pipeline('words', "accept text/*\nstage look 100 20s look\n")
    ->stage('look', "#!/bin/sh\necho 'progress 40 looks' >&3\ncat input\n")
    ->start;
my $dir = $rig->dir;
my $t = Torture->new($rig);
my $ana = $t->{user};

$t->top_up(3, follow => 1);
my $job = $t->{jobs}[0];
my $words = $rig->submit('words', as => $ana, content => "some words\n",
    headers => { 'Idempotency-Key' => 'one' });
$rig->ledger(name => 'a stack that is well is found to be');

my $hex = "x'" . $job =~ s/-//gr . "'";
my ($row) = $rig->sql("SELECT path FROM artifact WHERE job_id = $hex");
my $result = "$dir/storage/$row->[0]";
my ($recording) = glob "'$dir'/streams/$job-*";
my ($upload) = glob "'$dir'/storage/uploads/??/*";

sub ledger {
	my @o = @_;
	my ($exit, $out, $err) = Rig::_run({}, $^X, $rig->file('t/ledger'),
	    '--stack', $dir, @o);
	return ($exit, $out . $err);
}

# Break something, see that INVARIANT finds it and says what PATTERN is like,
# and mend it again.
sub broken {
	my ($invariant, $what, $pattern, $break, $mend) = @_;
	$break->();
	my ($exit, $out) = ledger();
	my @lines = grep { /^$invariant / } split /\n/, $out;
	ok($exit == 1 && grep({ /$pattern/ } @lines), "$invariant: $what")
	    or diag "exit $exit\n$out";
	$mend->();
}

sub by_sql {
	my ($invariant, $what, $pattern, $break, $mend) = @_;
	broken($invariant, $what, $pattern, sub { $rig->sql($break) },
	    sub { $rig->sql($mend) });
}

# A file of the test or the storage gets other content for a while.
sub by_file {
	my ($invariant, $what, $pattern, $path, $change) = @_;
	my $was = Rig::_read($path);
	broken($invariant, $what, $pattern,
	    sub { Rig::_write($path, $change->($was // '')) },
	    sub { defined $was ? Rig::_write($path, $was) : unlink $path });
}

# ---- I1 ---------------------------------------------------------------------

my $nobody = '0192f0c1-7b2a-7cde-8f01-23456789abcd';
by_file('I1', 'a job that was accepted is not there', "job $nobody: was acc",
    "$dir/submitted", sub { "$_[0]$nobody 202 1\n" });
by_file('I1', 'a job that nobody was told of', "1 jobs that nobody.*$job",
    "$dir/submitted", sub { $_[0] =~ s/^$job .*\n//mr });
by_file('I1', 'one key made two jobs', 'key ana/6f6e65: made jobs .* ',
    "$dir/submitted", sub { "$_[0]$nobody 202 1 ana/6f6e65\n" });
by_file('I1', 'a job that was deleted is there', "job $job: was deleted",
    "$dir/submitted", sub { "$_[0]$job deleted 1\n" });
by_sql('I1', 'a job that nobody will claim', "job $job: is pending, and noth",
    "UPDATE job SET state = 'pending' WHERE id = $hex",
    "UPDATE job SET state = 'completed' WHERE id = $hex");
broken('I1', 'a job whose daemon is stopped',
    'is running, of daemon \d+, which', sub {
	$rig->pipeline('long', "stage wait 100 20s wait\n")
	    ->stage('wait', "#!/bin/sh\nexec sleep 0.3\n");
	$rig->kill('HUP', $_) for qw(millraced upload);
	my $id;
	$rig->wait_for(sub {
		$id = eval { $rig->submit('long', as => $ana) }
	}, 20, 'the new pipeline is known');
	$rig->wait_for(sub { $rig->job($id, as => $ana)->{status} eq 'running'
	    && $rig->kill('STOP', 'millraced') }, 20, 'it runs');
    }, sub { $rig->kill('CONT', 'millraced') });
$rig->ledger(name => 'which is well again', timeout => 60);

# ---- I2 ---------------------------------------------------------------------

by_sql('I2', 'a second terminal event', "job $job: 2 terminal events",
    "UPDATE event SET state = 'completed' WHERE job_id = $hex AND seq = 3",
    "UPDATE event SET state = 'running' WHERE job_id = $hex AND seq = 3");
by_sql('I2', 'it is not the last', "job $job: event \\d+ leads from completed",
    "UPDATE event SET state = 'completed' WHERE job_id = $hex AND seq = 3",
    "UPDATE event SET state = 'running' WHERE job_id = $hex AND seq = 3");
by_sql('I2', 'none', "job $job: 0 terminal events",
    "UPDATE event SET state = 'running' WHERE job_id = $hex"
    . " AND state = 'completed'",
    "UPDATE event e JOIN job j ON j.id = e.job_id AND j.seq = e.seq"
    . " SET e.state = 'completed' WHERE job_id = $hex");
by_sql('I2', 'the row says something else', "job $job: its row says phase",
    "UPDATE job SET phase = 'packaging' WHERE id = $hex",
    "UPDATE job SET phase = 'completed' WHERE id = $hex");
by_sql('I2', 'no time of its end', "job $job: .* no time of its end",
    "UPDATE job SET completed_at = NULL WHERE id = $hex",
    "UPDATE job SET completed_at = changed_at WHERE id = $hex");
by_sql('I2', 'it is to run later', "job $job: has ended, and is due later",
    "INSERT INTO later VALUES ($hex, '2037-01-01')", 'DELETE FROM later');
by_sql('I2', 'a step of it still runs', "job $job: .* step work",
    "UPDATE step SET state = 'running' WHERE job_id = $hex AND position = 0",
    "UPDATE step SET state = 'done' WHERE job_id = $hex AND position = 0");

# ---- I3 ---------------------------------------------------------------------

by_sql('I3', 'an event is gone', "job $job: event 4 comes after 2",
    "CREATE TABLE kept AS SELECT * FROM event WHERE job_id = $hex"
    . " AND seq = 3; DELETE FROM event WHERE job_id = $hex AND seq = 3",
    'INSERT INTO event SELECT * FROM kept; DROP TABLE kept');
by_sql('I3', 'the last one is gone', "job $job: its row counts",
    "UPDATE job SET seq = seq + 1 WHERE id = $hex",
    "UPDATE job SET seq = seq - 1 WHERE id = $hex");
by_sql('I3', 'a percentage falls', "job $job: falls from 99.00 to",
    "CREATE TABLE kept AS SELECT seq, progress FROM event WHERE"
    . " job_id = $hex; UPDATE event SET progress = 99 WHERE job_id = $hex"
    . " AND seq = 2",
    "UPDATE event e JOIN kept k ON k.seq = e.seq SET e.progress = k.progress"
    . " WHERE job_id = $hex");
by_sql('I3', 'success comes early', "job $job: event 2 is running at 100",
    "UPDATE event SET progress = 100 WHERE job_id = $hex AND seq = 2",
    "UPDATE event e JOIN kept k ON k.seq = e.seq SET e.progress = k.progress"
    . " WHERE job_id = $hex; DROP TABLE kept");
by_sql('I3', 'more than all', "job $job: event 2 has stage 101",
    "UPDATE event SET stage_progress = 101 WHERE job_id = $hex AND seq = 2",
    "UPDATE event SET stage_progress = 0 WHERE job_id = $hex AND seq = 2");

# ---- I4 ---------------------------------------------------------------------

my $taken = "millraced[1]: job $job: short: taken, attempt 1\n";
by_file('I4', 'a claim is run twice',
    "job $job: was claimed 1 times, and run 3", "$dir/log/another",
    sub { $taken x 2 });
by_sql('I4', 'more attempts than claims', "job $job: is at attempt 7",
    "UPDATE job SET attempt = 7 WHERE id = $hex",
    "UPDATE job SET attempt = 1 WHERE id = $hex");
by_file('I4', 'an attempt is missing', "job $job: attempts 1 are missing",
    "$dir/log/millraced", sub { $_[0] =~ s/(job $job: .*attempt) 1$/$1 2/mr });
by_sql('I4', 'a result of another attempt', "job $job: result .* not of token",
    "UPDATE job SET token = token + 1 WHERE id = $hex",
    "UPDATE job SET token = token - 1 WHERE id = $hex");

# ---- I5 ---------------------------------------------------------------------

by_file('I5', 'a byte of a result is another', "job $job: .* has SHA-256",
    $result, sub { $_[0] =~ s/attempt/attempT/r });
by_file('I5', 'a result is too long', "job $job: .* has \\d+ bytes, not",
    $result, sub { "$_[0]x" });
broken('I5', 'a result is gone', "job $job: .*No such file",
    sub { rename $result, "$dir/kept" or die },
    sub { rename "$dir/kept", $result or die });
by_file('I5', 'a file without a row', 'a file without a row',
    $result =~ s/journal$/more/r, sub { 'x' });
by_file('I5', 'a file that is half-way', 'journal.part: left half-way',
    "$result.part", sub { 'x' });
by_sql('I5', 'the number of a result',
    "job $job: has result 5, where 0 was due",
    "UPDATE artifact SET position = 5 WHERE job_id = $hex",
    "UPDATE artifact SET position = 0 WHERE job_id = $hex");
for ([ "work/$job", "work/$job: is left, and the job is completed" ],
    [ "results/$job-1", 'the token of the job is' ],
    [ "results/$nobody-1", 'the job is gone' ]) {
	my ($path, $pattern) = @$_;
	broken('I5', "a directory is left: $pattern", $pattern,
	    sub { make_path("$dir/storage/$path") },
	    sub { remove_tree("$dir/storage/$path") });
}
by_file('I5', 'an upload is cut', 'uploads/.*: has 4 bytes, not 11', $upload,
    sub { substr $_[0], 0, 4 });
by_file('I5', 'an upload without a row', 'a file without a row',
    substr($upload, 0, -36) . $nobody, sub { 'x' });

# ---- I6, I7 -----------------------------------------------------------------

# A process that lasts for one look.
sub process {
	my ($begin) = @_;
	pipe my $r, my $w;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$begin->();
		close $w;
		close STDOUT;
		no warnings 'exec';
		exec 'sleep', 60;
		POSIX::_exit(1);
	}
	close $w;
	readline $r;			# it is ready
	return $pid;
}

my $work = "$dir/storage/work/$nobody";
my $pid;
my $no_more = sub {
	kill 'KILL', $pid;
	waitpid $pid, 0;
	remove_tree($work);
};
sub left {
	my ($what, $pattern, $begin) = @_;
	broken('I6', $what, $pattern, sub {
		make_path($work);
		$pid = process($begin);
	}, $no_more);
}
left('a process works in a job', "$nobody",
    sub { chdir $work or die });
left('a process has a file of it open', 'its fd/\d+ is', sub {
	$^F = 10;
	open our $left, '>', "$work/x" or die;
});
left('a process knows its directory', 'its environment names',
    sub { $ENV{TMPDIR} = "$work/tmp" });
left('a zombie', 'a zombie of process', sub {
	my $it = $$;
	(fork // die) || POSIX::_exit(0);
	Rig::_write("$dir/pid/some", "$it\n");
});
unlink "$dir/pid/some";
SKIP: {
	skip 'mounts are for root', 1 if $> != 0;
	my ($exit, $out) = Rig::_run({}, 'unshare', '-m', 'sh', '-c',
	    'mkdir -p "$1" && mount -t tmpfs none "$1" && shift && exec "$@"',
	    'sh', $work, $^X, $rig->file('t/ledger'), '--stack', $dir);
	like($out, qr/^I6 .*$nobody: is mounted/m, 'I6: a mount');
	remove_tree($work);
}
by_file('I7', 'more files are open', 'sse: has \d+ files open, 1 at rest',
    "$dir/idle", sub { $_[0] =~ s/^(sse \d+) \d+/$1 1/mr });
by_file('I7', 'more memory is used', 'millraced: has \d+ kB of memory, 9 at',
    "$dir/idle", sub { $_[0] =~ s/^(millraced \d+ \d+) \d+/$1 9/mr })
    unless Rig::_read('/proc/' . $rig->pid('millraced') . '/maps')
	=~ /libasan/;

# ---- I8 ---------------------------------------------------------------------

by_file('I8', 'a client misses an event', "job $job: a client got event \\d+,"
    . ' where \d+ was due', $recording,
    sub { my @l = split /^/, $_[0]; splice @l, 1, 1; join '', @l });
by_file('I8', 'a client gets one twice', "job $job: a client got event \\d+,"
    . ' where \d+ was due', $recording, sub { $_[0] =~ s/^(.*\n)/$1$1/r });
by_file('I8', 'a client gets another one', "job $job: .* as completed 101",
    $recording, sub { $_[0] =~ s/ 100$/ 101/mr });
by_file('I8', 'a client does not get the end', "got no more than event",
    $recording, sub { $_[0] =~ s/.*\n\z//r });
by_file('I8', 'a client gets what is not there', 'event 99, that is not there',
    $recording, sub { "$job 99 running 5\n" });

# ---- I9 ---------------------------------------------------------------------

my $old = 'SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX WHERE'
    . ' trx_started < NOW() - INTERVAL 3 SECOND';
broken('I9', 'a transaction does not end', 'a transaction of \d+ s', sub {
	$pid = fork // die "fork: $!";
	if ($pid == 0) {
		eval { $rig->sql("BEGIN; SELECT 1 FROM job WHERE id = $hex FOR"
		    . ' UPDATE; SELECT SLEEP(60)') };
		POSIX::_exit(0);
	}
	# The server looks anew only for who has not asked for 0.1 s.
	$rig->wait_for(sub {
		select undef, undef, undef, 0.3;
		$rig->sql($old)
	}, 30, 'it is three seconds old');
}, sub {
	$rig->sql("KILL $_->[0]") for $rig->sql($old);
	waitpid $pid, 0;
});

# ---- I10 --------------------------------------------------------------------

broken('I10', 'a program dies', 'status died of signal 11', sub {
	my $was = $rig->pid('status');
	kill 'SEGV', $was;
	$rig->wait_for(sub { ($rig->pid('status') // $was) != $was }, 20,
	    'it runs again');
}, sub { $rig->fault('SEGV', 'status') });
for ([ 'status', "status[1]: worker 7: Segmentation fault\n" ],
    [ 'sse', "==7==ERROR: AddressSanitizer: heap-use-after-free\n" ],
    [ 'sse', "x.c:7:1: runtime error: signed integer overflow\n" ]) {
	my ($log, $line) = @$_;
	by_file('I10', "in a log: $line", quotemeta($line =~ s/\n//r),
	    "$dir/log/$log", sub { $_[0] . $line });
}
by_file('I10', 'a program ends', 'sse exited with status 1',
    "$dir/launch.log",
    sub { "$_[0]launch[1]: sse: exited with status 1\n" });
by_file('I10', 'a core file', 'a core file', "$dir/core", sub { 'x' });

# ---- I11, and the rest ------------------------------------------------------

by_sql('I11', 'a counter is wrong', 'short: 3 jobs are completed, and 4 are',
    "UPDATE tally SET n = n + 1 WHERE pipeline = 'short' AND"
    . " state = 'completed' LIMIT 1",
    "UPDATE tally SET n = n - 1 WHERE pipeline = 'short' AND"
    . " state = 'completed' LIMIT 1");

my $sum = $rig->ledger(name => 'all is mended');
is($sum->{jobs}, 5, 'and counted');
my ($exit, $out) = ledger('--socket', "$dir/none");
is($exit, 2, 'without a database nothing can be told');
($exit, $out) = ledger('--nonsense');
is($exit, 2, 'an unknown option');
($exit, $out) = ledger('--help');
is($exit, 0, '--help');
like($out, qr/^I$_ /m, "which tells of I$_") for 1 .. 11;

done_testing;
