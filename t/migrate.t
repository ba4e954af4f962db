# A schema is brought up to date while jobs run: an older daemon goes on as if
# nothing was, a newer one waits for it and then begins.

use strict;
use warnings;

use POSIX ();
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->pipeline('short', "stage one 100 30s short\n")
    ->stage('short', "#!/bin/sh\necho progress 50 half >&3\n")
    ->start;
my $dir = $rig->dir;
my ($daemon, $writer);
END { local $?; for ($daemon, $writer) { kill 'KILL', $_ if $_ } }

# Another database of the same server, with the first step alone.
$rig->sql('CREATE DATABASE older');
mkdir "$dir/$_" or die "$dir/$_: $!" for qw(older older/sql);
symlink $rig->file('sql/001-core.sql'), "$dir/older/sql/001-core.sql";
my $sockets = $rig->socket('older') =~ s/\.sock$//r;
my $conf = Rig::_read("$dir/millrace.conf");
my %change = (name => 'older', user => 'root', password_file => '',
    share => "$dir/older", root => "$dir/older/storage",
    sockets => $sockets);
for my $key (keys %change) {
	$conf =~ s/^\Q$key\E = .*\n//m;
	next unless length $change{$key};
	my ($section) = grep { $_->[1] =~ /\b$key\b/ }
	    [ database => 'name user' ], [ run => 'share sockets' ],
	    [ storage => 'root' ];
	$conf =~ s/^(\[$section->[0]\]\n)/$1$key = $change{$key}\n/m or
	    die "no section $section->[0]";
}
Rig::_write("$dir/older.conf", $conf);

sub migrate {
	my @command = ("$rig->{build}/millrace", '-c', "$dir/older.conf",
	    qw(db migrate));
	return Rig::_run({}, @command);
}

sub older { $rig->sql("USE older;\n$_[0]", @_[1 .. $#_]) }

my ($exit, $out, $err) = migrate();
is($exit, 0, 'the first step is applied') or diag $err;
is_deeply([ older('SELECT MAX(number) FROM schema_step') ], [ [ 1 ] ],
    'and no other');

# ---- what is there ----------------------------------------------------------

my ($running, $pending) = ('11' x 16, '22' x 16);
older("INSERT INTO daemon (id, instance, host, pid, version, queues, slots," .
    " started_at, seen_at, lease_until) VALUES (1, 'old', 'old', 1, '0.1'," .
    " 'default', 1, NOW(3), NOW(3), NOW(3) + INTERVAL 1 HOUR)");
older("INSERT INTO job (id, pipeline, queue, state, ready, attempt," .
    " daemon_id, token, seq, changed_at, created_at, params) VALUES" .
    " (x'$running', 'short', 'default', 'running', NULL, 1, 1, 7, 1, NOW(3)," .
    " NOW(3), '{}'), (x'$pending', 'short', 'default', 'pending', 128, 0, 0," .
    " 0, 1, NOW(3), NOW(3), '{}')");
older("INSERT INTO event (job_id, seq, at, state, phase, stage," .
    ' stage_progress, progress, items_done, items_total, step, message)' .
    ' SELECT id, seq, changed_at, state, phase, stage, 0, 0, 0, 0, step,' .
    ' message FROM job');
older("INSERT INTO step (job_id, position, stage, state) VALUES" .
    " (x'$running', 0, 'one', 'running')");

# What an older daemon has to tell of its job, all the time.  Like any program
# it does once more what the server rolled back to resolve a deadlock.
older(<<"EOT");
DELIMITER //
CREATE PROCEDURE turn()
BEGIN
DECLARE done INT DEFAULT 0;
WHILE NOT done DO BEGIN
DECLARE EXIT HANDLER FOR 1205, 1213 ROLLBACK;
START TRANSACTION;
SELECT 1 FROM job WHERE id = x'$running' FOR UPDATE;
UPDATE job SET seq = seq + 1, changed_at = NOW(3), phase = 'one',
    stage = 'one', progress = GREATEST(progress, 1), step = 'on', message = 'on'
    WHERE id = x'$running' AND token = 7 AND state = 'running';
INSERT INTO event (job_id, seq, at, state, phase, stage, stage_progress,
    progress, eta_s, items_done, items_total, step, message, details,
    started_at) SELECT id, seq, changed_at, state, phase, stage,
    stage_progress, progress, eta_s, items_done, items_total, step, message,
    details, started_at FROM job WHERE id = x'$running';
INSERT IGNORE INTO step (job_id, position, item, stage, args)
    VALUES (x'$running', 0, '', 'one', '');
UPDATE step SET state = 'running', percent = 1, attempt = 1
    WHERE job_id = x'$running' AND position = 0 AND item = '';
COMMIT;
SET done = 1;
END; END WHILE;
UPDATE daemon SET seen_at = NOW(3), lease_until = NOW(3) + INTERVAL 1 HOUR
    WHERE id = 1;
END //
EOT
pipe my $from, my $to or die "pipe: $!";
$writer = fork // die "fork: $!";
if ($writer == 0) {
	close $to;
	open STDIN, '<&', $from;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$dir/log/writer";
	no warnings 'exec';
	exec 'mariadb', '--no-defaults', '--batch', '--user=root',
	    '--socket=' . $rig->socket('mariadb'), 'older';
	POSIX::_exit(127);
}
close $from;
$to->autoflush(1);
my $turns = 0;
sub turns {
	my ($n) = @_;
	for (1 .. $n) {
		print $to "CALL turn();\n";
		$turns++;
		select undef, undef, undef, 0.005;
	}
}

$daemon = fork // die "fork: $!";
if ($daemon == 0) {
	open STDERR, '>', "$dir/log/newer";
	no warnings 'exec';
	exec { "$rig->{build}/millraced" } 'millraced', '-c',
	    "$dir/older.conf";
	POSIX::_exit(127);
}
$rig->wait_for(sub {
	turns(1);
	Rig::_read("$dir/log/newer") =~ /waits: the schema is older/
}, 20, 'a newer daemon waits');

# ---- the step ---------------------------------------------------------------

turns(20);
for (glob($rig->file('sql') . '/00[2-9]*.sql')) {
	symlink $_, "$dir/older/sql/" . s{.*/}{}r or die "$_: $!";
}
my $migration = fork // die "fork: $!";
if ($migration == 0) {
	my ($exit, undef, $err) = migrate();
	print STDERR $err;
	POSIX::_exit($exit);
}
my $before = time;
turns(1) until waitpid $migration, POSIX::WNOHANG();
is($?, 0, 'the schema is brought up to date');
diag(sprintf '%.2f s, and %d transactions so far', time - $before, $turns);
cmp_ok((older('SELECT MAX(number) FROM schema_step'))[0][0], '>=', 2,
    'all steps are there');
$rig->wait_for(sub {
	turns(1);
	my ($row) = older("SELECT state FROM job WHERE id = x'$pending'");
	$row->[0] eq 'completed'
}, 30, 'the newer one begins, and completes what waited');
turns(20);
close $to;
waitpid $writer, 0;
is($?, 0, 'the older one noticed nothing') or
    diag Rig::_read("$dir/log/writer");
undef $writer;
is_deeply([ older('SELECT state, daemon_id, token, seq FROM job' .
    " WHERE id = x'$running'") ], [ [ 'running', 1, 7, $turns + 1 ] ],
    'its job is its own, and all is written');
is_deeply([ map { $_->[0] } older('SELECT seq FROM event' .
    " WHERE job_id = x'$running' ORDER BY seq") ], [ 1 .. $turns + 1 ],
    'events without a gap');
unlike(Rig::_read("$dir/log/newer"), qr/is gone/, 'nor was it taken for dead');

kill 'TERM', $daemon;
waitpid $daemon, 0;
is($?, 0, 'all ends');
undef $daemon;
done_testing;
