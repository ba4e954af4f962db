# A stack starts, comes back whatever of it is killed, and leaves nothing.

use strict;
use warnings;

use Rig;
use Test::More;
use Time::HiRes qw(time);

my @names = qw(mariadb auth upload status sse millraced nginx);

my $rig = Rig->new->pipeline('count', "stage first 100 10s say 50 100\n")
    ->stage('say', <<'EOT');
#!/bin/sh
for n; do echo "progress $n counting" >&3; done
EOT
my $began = time;
$rig->start;
cmp_ok(time - $began, '<', 60, 'it starts within a minute');

ok($rig->pid($_), "$_ runs") for @names;
my $ana = $rig->user('ana');
is($rig->ended($rig->submit('count', as => $ana), as => $ana)->{status},
    'completed', 'a job goes through');

# A second one beside it has a port and a database of its own.
my $other = Rig->new->start;
isnt($other->url, $rig->url, 'two stacks at the same time');
is(($other->sql('SELECT COUNT(*) FROM job'))[0][0], 0, 'each its own jobs');

for my $name (@names) {
	my $pid = $rig->kill('KILL', $name);
	my $new;
	$rig->wait_for(sub { ($new = $rig->pid($name)) && $new != $pid }, 20,
	    "$name runs again");
	$rig->wait_for(sub { $rig->is_healthy }, 30,
	    "all is well after $name was killed");
	pass("$name was killed, and is back");
}
is($rig->ended($rig->submit('count', as => $ana), as => $ana)->{status},
    'completed', 'and a job goes through');

is(join(',', map { @$_ } $rig->sql('SELECT ?, NULL IS NULL', "a\tb\n'")),
    "a\tb\n',1", 'sql takes values and gives them back');
my ($exit, $out, $err) = $rig->millrace('user', 'list');
is($exit, 0, 'the command line works');
like($out, qr/\bana\b/, 'and knows who there is');

# Stopped is not killed: it stays so.
$rig->stop('sse');
ok(!$rig->pid('sse'), 'one program can be stopped');
$rig->start_program('sse');
ok($rig->pid('sse'), 'and started');

for my $it ($rig, $other) {
	my $dir = $it->dir;
	$it->end;
	is_deeply([ grep { (readlink("$_/cwd") // '') =~ m{^\Q$dir\E(/|$)} }
	    glob '/proc/[0-9]*' ], [], 'nothing runs after the end');
	ok(!-e $dir, 'and nothing lies about') unless $ENV{KEEP};
}

done_testing;
