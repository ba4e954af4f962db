# A stage that was taken over by its input finds nothing to take.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('online', "network\nstage probe 100 60s online\n")
    ->stage('online', <<'EOT')
#!/usr/bin/perl
use Socket;
print socket(my $s, AF_INET, SOCK_STREAM, 0) ? "inet\n" : "none\n";
print socket(my $u, AF_UNIX, SOCK_STREAM, 0) ? "unix\n" : "none\n";
EOT
    ->stage('encode', <<'EOT')
#!/bin/sh
# A real tool, and a playlist that leads out.
ffmpeg -nostdin -v error -y -i input -t 1 -vf scale=64:36 -an out.mp4 &&
	test -s out.mp4 && echo "detail encoded true" >&3
printf 'ffconcat version 1.0\nfile %s\n' "$1" >list.ffconcat
ffmpeg -nostdin -v error -y -safe 0 -i list.ffconcat -c copy stolen.mkv
test -s stolen.mkv && echo "detail stolen true" >&3
exit 0
EOT
    ->pipeline('shell', "stage x 100 60s pipes\n")
    ->stage('pipes', <<'EOT')
#!/bin/sh
# Programs that end while another one is started.
n=0
while [ $n -lt 500 ] && [ "$(true | true | echo yes)" = yes ]; do
	n=$((n + 1))
done
echo "detail pipes $n" >&3
EOT
    ->stage('probe', <<'EOT');
#!/usr/bin/perl
# Tries to get out; each line of its log is a way that is open.
use strict;
use warnings;
use Fcntl;
use POSIX ();
use Socket;

my ($storage) = $ENV{HOME} =~ m{^(.*)/work/};
my $dir = $storage;
$dir =~ s{/storage$}{};

sub open_way { print "OPEN $_[0]\n" }
sub try_read { open_way("read $_[0]") if open my $f, '<', $_[0] }
sub try_list { open_way("list $_[0]") if opendir my $d, $_[0] }
sub try_write { open_way("write $_[0]") if open my $f, '>>', $_[0] }

# files
try_read($_) for '/etc/shadow', "$dir/millrace.conf", "$dir/secret",
    '/proc/1/environ', '/proc/self/environ', '/proc/kcore', '/dev/mem',
    glob("$storage/uploads/*/*"), $ARGV[0];
try_list($_) for '/root', '/home', '/tmp', '/proc', $storage,
    "$storage/work", "$storage/results", "$storage/uploads", $dir,
    "$dir/log", '/var/lib', '/run';
try_write($_) for '/tmp/out', "$storage/out", "$storage/results/out",
    "$dir/stages/probe", '/usr/bin/out', '/etc/passwd';
open_way('chmod') if chmod 0777, "$dir/millrace.conf";
open_way('chown') if chown 1, 1, "$dir/millrace.conf";
open_way('unlink') if unlink "$dir/millrace.conf";
open_way('rename') if rename "$storage/results", "$storage/mine";
open_way('mkdir') if mkdir "$storage/results/mine";
open_way('link') if link "$dir/millrace.conf", 'conf';
symlink "$dir/millrace.conf", 'soft';
try_read('soft');
my $null = 'null';
open_way('device') if syscall(133, $null, 0020666, 259) == 0;

# descriptors: 0 to 3, and nothing else
for my $fd (4 .. 63) {
	next if $fd == fileno(DATA);
	open_way("descriptor $fd") if POSIX::dup2($fd, 100) // 0;
}

# the network, and other programs' sockets
my %families = (unix => 1, inet => 2, inet6 => 10, netlink => 16,
    packet => 17, vsock => 40);
for (sort keys %families) {
	open_way("socket $_")
	    if socket my $s, $families{$_}, $_ eq 'netlink' ? SOCK_RAW :
		SOCK_STREAM, 0;
}

open_way('datagrams to any socket')
    if socketpair my $one, my $two, $families{unix}, SOCK_DGRAM, 0;

# calls, by their numbers on x86_64
my %calls = (ptrace => [ 101, 16, 1, 0, 0 ], unshare => [ 272, 0x10000000 ],
    'unshare mount' => [ 272, 0x20000 ], io_uring => [ 425, 1, 0 ],
    bpf => [ 321, 0, 0, 0 ], userfaultfd => [ 323, 1 ],
    memfd => [ 319, 'x', 0 ], keyctl => [ 250, 0, -3, 0 ],
    perf => [ 298, 0, 0, -1, -1, 0 ], chroot => [ 161, '/' ],
    personality => [ 135, 0xffffffff ]);
if (-e '/lib64/ld-linux-x86-64.so.2') {
	for (sort keys %calls) {
		my ($nr, @args) = map { /^-?\d+$/ ? $_ + 0 : "$_" }
		    @{ $calls{$_} };
		open_way("call $_") if syscall($nr, @args) != -1;
	}
}

# who we are, and whom we can reach
open_way('setuid') if POSIX::setuid(12345) // 0;
open_way("signal $_") for grep { kill 0, $_ } getppid() > 1 ? getppid() : (),
    3 .. 400;
open_way('core') if `sh -c 'ulimit -c'` !~ /^0$/;
mkdir 'bin';
system 'cp /bin/true bin/true 2>/dev/null';
open_way('run what it wrote') if system('./bin/true') == 0;
print "probed\n";
__DATA__
EOT
my $canary = $rig->dir . '/canary.mp4';
link($rig->file('t/data/rabbit320.webm'), $canary) or die "$canary: $!";
$rig->pipeline('probe', "accept text/*\nstage probe 100 60s probe $canary\n")
    ->pipeline('tools', "accept video/*\nstage x 100 60s encode $canary\n")
    ->start;
my $ana = $rig->user('ana');

# Another job's files and upload are there to be found.
my $job = $rig->submit('probe', as => $ana, content => "some words\n");
my $end = $rig->ended($job, as => $ana);
is($end->{status}, 'completed', 'the probe ran') or diag explain $end;
my ($row) = $rig->sql('SELECT output FROM step WHERE stage = ?', 'probe');
my @open = $row->[0] =~ /^OPEN (.*)$/mg;
like($row->[0], qr/^probed$/m, 'to its end');
is_deeply(\@open, [], 'and found no way out') or diag $row->[0];

$job = $rig->submit('online', as => $ana);
$rig->ended($job, as => $ana);
($row) = $rig->sql('SELECT s.output FROM step s JOIN job j ON j.id = s.job_id' .
    ' WHERE j.pipeline = ?', 'online');
is($row->[0], "inet\nnone\n", '"network" opens the internet, and no more');

$job = $rig->submit('tools', as => $ana,
    file => $rig->file('t/data/rabbit320.webm'), type => 'video/webm');
$end = $rig->ended($job, as => $ana);
is($end->{status}, 'completed', 'a real tool runs');
($row) = $rig->sql('SELECT result FROM job WHERE pipeline = ?', 'tools');
is($row->[0], '{ "encoded": true }', 'and is not led out by a playlist');

$job = $rig->submit('shell', as => $ana);
$rig->ended($job, as => $ana);
($row) = $rig->sql('SELECT result FROM job WHERE pipeline = ?', 'shell');
is($row->[0], '{ "pipes": 500 }', 'whatever a shell starts, it starts');

like($rig->log('millraced'), qr/stages run behind: .*Landlock.*seccomp/,
    'the log tells which walls there are');

done_testing;
