# An upload may be slow, be cut, or lose the program or the database under it:
# either there is a job with its whole file, or there is nothing.

use strict;
use warnings;

use IO::Socket::INET;
use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('count', "accept text/plain\nstage first 100 10s say\n")
    ->stage('say', "#!/bin/sh\necho progress 100 >&3\n")
    ->start;
my $ana = $rig->user('ana');

my $head = "--b\r\nContent-Disposition: form-data; name=pipeline\r\n\r\ncount" .
    "\r\n--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n";
my $tail = "\r\n--b--\r\n";

# A request whose body is sent by hand.
sub begin {
	my ($length) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $rig->{port}, Timeout => 10) or die "connect: $@\n";
	$s->autoflush(1);
	print $s "POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\n" .
	    "Authorization: Bearer $ana->{token}\r\nConnection: close\r\n" .
	    "Content-Type: multipart/form-data; boundary=b\r\n" .
	    "Content-Length: $length\r\n\r\n";
	return $s;
}

# The whole answer, and its status.
sub answer {
	my ($s) = @_;
	local $SIG{ALRM} = sub { die "no answer\n" };
	alarm 20;
	local $/;
	my $text = <$s> // '';
	alarm 0;
	return $text =~ m{^HTTP/1\.1 (\d+)} ? $1 : $text;
}

sub files {
	my @files = glob $rig->dir . '/storage/uploads/*/*';
	return scalar @files;
}

sub jobs { ($rig->sql('SELECT COUNT(*) FROM job'))[0][0] }

# Bytes of files without a name that a worker holds open.
sub spooled {
	my $sum = 0;
	for my $fd (glob '/proc/[0-9]*/fd/*') {
		my $path = readlink $fd // next;
		next unless $path =~ m{/storage/uploads/.* \(deleted\)$} &&
		    index($path, $rig->dir) == 0;
		$sum += -s $fd // 0;
	}
	return $sum;
}

# ---- slow -------------------------------------------------------------------

my $body = $head . "one by\r\n--b one" . $tail;
my $s = begin(length $body);
for my $byte (split //, $body) {
	print $s $byte;
	select undef, undef, undef, 0.002;
}
is(answer($s), 202, 'a byte at a time');
is(files(), 1, 'a file');
is(jobs(), 1, 'a job');

# While these stand still, others are served.
my @idle = map {
	my $s = begin(length $body);
	print $s substr $body, 0, 100;
	$s
} 1 .. 8;
is($rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'count',
    file => { content => 'x', filename => 'a' } ])->{status}, 202,
    'past eight that stand still');
for my $s (@idle) {
	print $s substr $body, 100;
	is(answer($s), 202, 'which come to their end');
}
is(files(), 10, 'ten files');
is(jobs(), 10, 'ten jobs');

# ---- cut --------------------------------------------------------------------

my $half = $head . 'x' x 1_000_000;
for (1 .. 3) {
	my $s = begin(2_000_000);
	print $s $half;
	$rig->wait_for(sub { spooled() > 500_000 }, 10, 'half of it is here');
	close $s;
	$rig->wait_for(sub { spooled() == 0 }, 10, 'it is gone');
}
is(files(), 10, 'a client that goes away leaves no file');
is(jobs(), 10, 'and no job');

# One that says less than it announced, and waits.
$s = begin(length($body) + 10);
print $s $body;
is(answer($s), 202, 'what follows the last boundary is not waited for');

# ---- killed -----------------------------------------------------------------

sub workers {
	my $parent = $rig->pid('upload') or return;
	open my $f, '<', "/proc/$parent/task/$parent/children" or return;
	return split ' ', <$f> // '';
}

sub worker_of_upload {
	for my $pid (workers()) {
		for my $fd (glob "/proc/$pid/fd/*") {
			return $pid if (readlink $fd // '') =~
			    m{/storage/uploads/.* \(deleted\)$};
		}
	}
	return;
}

$s = begin(2_000_000);
print $s $half;
my $worker;
$rig->wait_for(sub { $worker = worker_of_upload() }, 10, 'a worker has it');
kill 'KILL', $worker;
is(answer($s), 503, 'its worker is killed');
is(files(), 11, 'no file is left');
is(jobs(), 11, 'and no job');
is($rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'count',
    file => { content => 'x', filename => 'a' } ])->{status}, 202,
    'the next one is served');

# ---- without the database ---------------------------------------------------

$s = begin(length $body);
print $s substr $body, 0, -10;
$rig->wait_for(sub { worker_of_upload() }, 10, 'the file is coming');
my ($files, $jobs) = (files(), jobs());
$rig->stop('mariadb');
print $s substr $body, -10;
is(answer($s), 503, 'the database goes away before the end');
is(files(), $files, 'no file is left');
my $r = $rig->post('/api/v1/jobs', as => $ana, form => [ pipeline => 'count',
    file => { content => 'x', filename => 'a' } ]);
is($r->{status}, 503, 'nobody can be asked who asks');
ok($r->{headers}{'retry-after'} > 0, 'so it is for later');
$rig->start_program('mariadb');
$rig->wait_for(sub {
	$r = $rig->post('/api/v1/jobs', as => $ana, form => [
	    pipeline => 'count', file => { content => 'x', filename => 'a' } ]);
	$r->{status} == 202;
}, 30, 'and comes back by itself');
is(jobs(), $jobs + 1, 'one job of all these');
is(files(), $files + 1, 'and its file');

# ---- flat memory ------------------------------------------------------------

# A file whose pipeline is named after it.
sub send_large {
	my ($mib) = @_;
	my $bytes = 'x' x 1048576;
	my $first = "--b\r\nContent-Disposition: form-data; name=file;" .
	    " filename=a\r\n\r\n";
	my $last = "\r\n--b\r\nContent-Disposition: form-data;" .
	    " name=pipeline\r\n\r\ncount\r\n--b--\r\n";
	my $s = begin(length($first) + $mib * length($bytes) + length $last);
	print $s $first;
	print $s $bytes for 1 .. $mib;
	print $s $last;
	return answer($s);
}

# Most memory that a worker had, kB.
sub most_memory {
	my ($most) = sort { $b <=> $a } map {
		open my $f, '<', "/proc/$_/status";
		join('', <$f>) =~ /^VmHWM:\s+(\d+)/m ? $1 : 0;
	} workers();
	return $most;
}

is(send_large(8), 202, 'a file of 8 MiB');
my $small = most_memory();
is(send_large(256), 202, 'one of 256 MiB');
cmp_ok(most_memory() - $small, '<', 1024, 'takes no more memory')
    or diag(most_memory(), " kB, $small kB");

done_testing;
