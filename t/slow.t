# Who is slow, or stops, keeps nobody else waiting: neither with requests that
# do not come, nor with answers that are not read.

use strict;
use warnings;

use IO::Select;
use Rig;
use Socket;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->pipeline('take', "accept */*\nstage only 100 10s nothing\n")
    ->pipeline('bare', "stage only 100 10s nothing\n")
    ->stage('nothing', "#!/bin/sh\nexit 0\n")
    ->start;
my $ana = $rig->user('ana');
my $bob = $rig->user('bob');
my $job = $rig->submit('bare', as => $ana);
$rig->ended($job, as => $ana);

# Seconds that somebody else may have to wait.
my $soon = 15;

# A connection that has said this, and takes its time from then on.
sub attach {
	my ($bytes) = @_;
	socket my $s, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
	setsockopt $s, SOL_SOCKET, SO_RCVBUF, pack 'i', 2048;
	connect $s, sockaddr_in($rig->{port}, INADDR_LOOPBACK)
	    or die "connect: $!";
	syswrite $s, $bytes;
	return $s;
}

sub begin {
	my ($method, $path, @more) = @_;
	return join("\r\n", "$method $path HTTP/1.1", 'Host: x',
	    "Authorization: Bearer $ana->{token}", @more) . "\r\n\r\n";
}

my %ask = (
	'an upload' => sub { $rig->post('/api/v1/jobs', as => $bob,
	    timeout => 90, form => [ pipeline => 'take',
	    file => { content => "x\n", filename => 'x' } ]) },
	'a job without file' => sub { $rig->post('/api/v1/jobs', as => $bob,
	    timeout => 90, json => { pipeline => 'bare' }) },
	'a list' => sub { $rig->get('/api/v1/jobs', as => $bob,
	    timeout => 90) },
	'a person' => sub { $rig->get('/api/v1/auth/me', as => $bob,
	    timeout => 90) },
);

sub others_are_served {
	my ($what) = @_;
	for my $name (sort keys %ask) {
		my $began = time;
		my $r = eval { $ask{$name}->() };
		my $took = time - $began;
		ok($r && $r->{status} < 300 && $took < $soon,
		    "$what: $name") or
		    diag($r ? "$r->{status} $r->{body}" : $@, " $took s");
	}
}

# The status that one of these connections is told first; '' if none is.
sub told {
	my $select = IO::Select->new(@_);
	my ($ready) = $select->can_read(30) or return '';
	sysread $ready, my $text, 65536;
	return ($text // '') =~ m{^HTTP/1\.1 (\d+)} ? $1 : '';
}

# ---- requests ---------------------------------------------------------------

my @form = ('Content-Type: multipart/form-data; boundary=b',
    'Content-Length: 1000000');
my $first = "--b\r\nContent-Disposition: form-data; name=";

for (
	[ 'half of a request line', 'GET /api/v1/jo', undef ],
	[ 'half of the headers', "GET /api/v1/jobs HTTP/1.1\r\nHost:", undef ],
	[ 'no body at all', begin('POST', '/api/v1/jobs', @form), undef ],
	[ 'a file that stops', begin('POST', '/api/v1/jobs', @form) .
	    "${first}file; filename=x\r\n\r\n" . 'x' x 5000, 408 ],
	[ 'chunks that stop', begin('POST', '/api/v1/jobs',
	    'Transfer-Encoding: chunked', $form[0]) . "5\r\n--b\r\n\r\n", 408 ],
	[ 'JSON that stops', begin('POST', '/api/v1/jobs',
	    'Content-Type: application/json', 'Content-Length: 100') . '{"p',
	    408 ],
	[ 'a password that stops', begin('POST', '/api/v1/auth/login',
	    'Content-Type: application/json', 'Content-Length: 100') . '{"n',
	    undef ],
) {
	my ($what, $bytes, $status) = @$_;
	my @slow = map { attach($bytes) } 1 .. 64;
	others_are_served("64 times $what");
	is(told(@slow), $status, 'the slow ones are told why') if $status;
}

# ---- answers ----------------------------------------------------------------

# Twelve megabytes of what stages wrote.
$rig->sql('INSERT INTO step (job_id, position, item, stage, state,' .
    ' started_at, output) SELECT ?, 9, seq, ?, ?, NOW(3), REPEAT(?, 4000)' .
    ' FROM seq_1_to_3000', pack('H*', $job =~ s/-//gr), 'only', 'done', 'o');
{
	my @slow = map { attach(begin('GET', "/api/v1/jobs/$job/logs")) }
	    1 .. 24;
	is(told(@slow), 200, 'a long answer begins');
	others_are_served('24 that do not read it');
}

done_testing;
