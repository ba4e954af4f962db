# What comes straight to the sockets of the programs, past nginx, from somebody
# who may open them: it gets no answer that it should not, and others are
# served again within moments.

use strict;
use warnings;

use IO::Socket::UNIX;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->pipeline('bare', "stage only 100 10s nothing\n")
    ->stage('nothing', "#!/bin/sh\nexit 0\n")->start;
my $ana = $rig->user('ana');

# ---- records (FastCGI 1.0, section 3.3) -------------------------------------

my %types = (begin => 1, abort => 2, params => 4, stdin => 5, stdout => 6,
    data => 8, get_values => 9);

sub record {
	my ($type, $content, %o) = @_;
	return pack('CCnnCx', $o{version} // 1, $types{$type} // $type,
	    $o{id} // 1, $o{length} // length $content, $o{padding} // 0) .
	    $content . "\0" x ($o{padding} // 0);
}

sub size { $_[0] < 128 ? chr $_[0] : pack 'N', $_[0] | 0x80000000 }

sub pairs {
	my (%pairs) = @_;
	return join '', map { size(length) . size(length $pairs{$_}) . $_ .
	    $pairs{$_} } sort keys %pairs;
}

# For a role, and perhaps more than one request.
sub beginning {
	my ($role, $keep, %o) = @_;
	return record(begin => pack('nCx5', $role, $keep), %o);
}

my $begin = beginning(1, 0);
my $begin_kept = beginning(1, 1);

sub request {
	my (%params) = @_;
	return $begin . record(params => pairs(REQUEST_METHOD => 'GET',
	    DOCUMENT_URI => '/health', QUERY_STRING => '',
	    REMOTE_ADDR => '192.0.2.1', %params)) . record(params => '');
}

sub attach {
	my ($name) = @_;
	my $s = IO::Socket::UNIX->new(Peer => $rig->socket($name))
	    or die "$name: $!";
	$s->blocking(0);
	return $s;
}

# All that comes back, or undef when the end does not come in time.
sub answer {
	my ($s, $timeout) = @_;
	my ($all, $end) = ('', time + ($timeout // 5));
	for (;;) {
		my $n = sysread $s, $all, 65536, length $all;
		return $all if defined $n ? $n == 0 : !$!{EAGAIN};
		return undef if time > $end;
		select undef, undef, undef, 0.01 unless $n;
	}
}

sub say_to {
	my ($name, $bytes) = @_;
	my $s = attach($name);
	syswrite $s, $bytes;
	return $s;
}

# ---- who is served, and how soon --------------------------------------------

my %ask = (
	auth => sub { $rig->get('/api/v1/auth/me', @_) },
	status => sub { $rig->get('/api/v1/jobs', @_) },
	upload => sub { $rig->post('/api/v1/jobs', @_,
	    json => { pipeline => 'bare' }) },
	sse => sub { $rig->get('/jobs/x/stream', @_) },
);
my %good = (auth => 200, status => 200, upload => 202, sse => 400);
my @programs = sort keys %ask;

sub is_served {
	my ($name, $what) = @_;
	my $began = time;
	my $r = eval { $ask{$name}->(as => $ana, timeout => 9) };
	my $took = time - $began;
	ok($r && $r->{status} == $good{$name} && $took < 4, "$name: $what") or
	    diag($r ? "$r->{status} $r->{body}" : $@, " after $took s");
}

for my $name (@programs) {
	is_served($name, 'somebody is served');
	like(answer(say_to($name, request())) // '',
	    qr/^\x01\x06\x00\x01.*Status: /s,
	    "$name: who speaks properly is answered");
}

# ---- what is no request -----------------------------------------------------

my $params = record(params => pairs(REQUEST_METHOD => 'GET',
    DOCUMENT_URI => '/health')) . record(params => '');
my $huge = pack 'N', 0xfffffffe;
my %no_request = (
	'HTTP' => "GET /health HTTP/1.1\r\n\r\n",
	'rubbish' => join('', map { chr rand 256 } 1 .. 5000),
	'zeros' => "\0" x 5000,
	'version 2' => beginning(1, 0, version => 2) . $params,
	'version 0' => beginning(1, 0, version => 0) . $params,
	'no beginning' => $params,
	'a body first' => record(stdin => 'x') . $begin . $params,
	'two beginnings' => $begin . $begin . $params,
	'a beginning of 2 bytes' => record(begin => "\0\1") . $params,
	'a beginning without length' => record(begin => '') . $params,
	'a filter' => beginning(3, 0) . $params,
	'an authorizer' => beginning(2, 0) . $params,
	'role 0' => beginning(0, 0) . $params,
	'id 0' => beginning(1, 0, id => 0) . $params,
	'id 2 and id 1' => beginning(1, 0, id => 2) . $params,
	'an unknown type' => record(99 => 'x') . $begin . $params,
	'an abort' => record(abort => '') . $begin . $params,
	'an abort within' => $begin . record(abort => '') . $params,
	'four values' => record(get_values => pairs(map { $_ => '' }
	    qw(FCGI_MAX_CONNS FCGI_MAX_REQS FCGI_MPXS_CONNS X)), id => 0),
	'a value forty times' => record(get_values =>
	    pairs(FCGI_MAX_CONNS => '') x 40, id => 0),
	'values within' => $begin . record(get_values =>
	    pairs(FCGI_MAX_CONNS => '') x 40, id => 0) . $params,
	'values of 64 kB' => record(get_values =>
	    "\x0e\x00FCGI_MPXS_CONNS" x 3800, id => 0),
	'lengths of 0x7ffffffe' => $begin . record(params => "$huge${huge}AB") .
	    record(params => ''),
	'lengths that wrap' => $begin . record(params =>
	    pack('NN', 0xc0000000, 0xc0000000) . 'AB') . record(params => ''),
	'a length beyond the end' => $begin . record(params => "\x01\x7fAB") .
	    record(params => ''),
	'a length cut off' => $begin . record(params => "\x80\0\0") .
	    record(params => ''),
	'a name with =' => $begin . record(params => pairs('A=B' => 'x')) .
	    record(params => ''),
	'a NUL in a value' => $begin . record(params =>
	    pairs(REQUEST_METHOD => "GET\0")) . record(params => ''),
	'500 kB of parameters' => $begin .
	    record(params => pairs(A => 'x' x 60000)) x 8 .
	    record(params => ''),
	'records within' => $begin . record(stdin => 'x') . $params,
);
for my $name (@programs) {
	for my $what (sort keys %no_request) {
		my $s = say_to($name, $no_request{$what});
		my $answer = answer($s, 3);
		ok(defined $answer && $answer !~ /Status: /,
		    "$name: $what: no answer")
		    or diag($answer // 'the connection stays open');
	}
	is_served($name, 'others are served');
}

# ---- those who say nothing, or not all --------------------------------------

my %half = (
	'nothing' => '', 'three bytes' => substr($begin, 0, 3),
	'a beginning' => $begin,
	'half of the parameters' => $begin . substr($params, 0, 30),
	'all but the end of the parameters' => $begin . substr($params, 0, -8),
	'a length without content' => $begin .
	    record(params => '', length => 50),
);
for my $name (@programs) {
	for my $what (sort keys %half) {
		my @silent = map { say_to($name, $half{$what}) } 1 .. 16;
		is_served($name, "sixteen that say $what");
	}
}

# ---- bodies that look like requests -----------------------------------------

# A request that came from there would be in a log.
my $elsewhere = '198.51.100.77';
my $forged = $begin_kept . record(params => pairs(REQUEST_METHOD => 'POST',
    DOCUMENT_URI => '/api/v1/auth/login', CONTENT_TYPE => 'application/json',
    CONTENT_LENGTH => 28, REMOTE_ADDR => $elsewhere, QUERY_STRING => '')) .
    record(params => '') .
    record(stdin => '{"name":"x","password":"abc"}') . record(stdin => '');

# It may begin wherever the rest of a body is taken up.
my $sled = join("", map { "\0" x $_ . $forged } (0) x 100, 1 .. 300) x 4;

for my $name (qw(auth status upload)) {
	for my $first ($begin, $begin_kept) {
		my $all = $first . record(params => pairs(
		    REQUEST_METHOD => 'POST', DOCUMENT_URI => '/none',
		    CONTENT_LENGTH => 1000)) . record(params => '');
		my $answer = answer(say_to($name, $all .
		    record(stdin => 'x') . $forged x 3));
		my @answers = ($answer // '') =~ /Status: /g;
		is(scalar @answers, 1, "$name: one connection, one answer");
	}
}

# Those that are answered before their body was read, through nginx.
for (
	[ 'POST', '/api/v1/auth/login', 415, type => 'text/plain' ],
	[ 'POST', '/api/v1/auth/none', 404 ],
	[ 'PUT', '/api/v1/auth/login', 405 ],
	[ 'POST', '/api/v1/auth/tokens', 401 ],
	[ 'POST', '/api/v1/auth/tokens', 403, as => $ana,
	    type => 'application/json' ],
	[ 'POST', '/api/v1/jobs', 401 ],
	[ 'POST', '/api/v1/jobs', 415, as => $ana, type => 'text/plain' ],
	[ 'POST', '/api/v1/jobs', 400, as => $ana,
	    type => 'multipart/form-data' ],
	[ 'POST', '/api/v1/jobs', 400, as => $ana,
	    type => 'multipart/form-data; boundary=b' ],
	[ 'POST', '/api/v1/jobs', 413, as => $ana,
	    type => 'application/json' ],
	[ 'POST', '/api/v1/jobs', 400, as => $ana,
	    type => 'multipart/form-data; boundary=b',
	    headers => { 'Idempotency-Key' => 'x' x 300 } ],
	[ 'POST', '/process', 401 ],
	[ 'GET', '/process', 405 ],
	[ 'PATCH', '/api/v1/jobs', 405, as => $ana ],
	[ 'POST', '/api/v1/jobs/x/retry', 400, as => $ana,
	    type => 'application/json' ],
	[ 'GET', '/api/v1/jobs', 200, as => $ana ],
	[ 'DELETE', '/health', 405 ],
) {
	my ($method, $path, $status, %o) = @$_;
	my %length = ('Content-Length' => length $sled);
	my $body = $sled;
	if ($path =~ /auth/) {			# not more than 64 kB there
		$body = substr $sled, 0, 60000;
		%length = ('Content-Length' => 60000);
	}
	for my $chunked (0, 1) {
		%length = ('Content-Length' => undef,
		    'Transfer-Encoding' => 'chunked') if $chunked;
		my $r = eval { $rig->request($method, $path, %o,
		    headers => { %length, %{ $o{headers} // {} } },
		    body => $chunked ? sprintf("%x\r\n", length $body) .
			"$body\r\n0\r\n\r\n" : $body) };
		is($r ? $r->{status} : $@, $status, "$method $path: $status" .
		    ($chunked ? ' to chunks' : ' before its body'));
	}
}
for my $name (qw(auth status upload sse access)) {
	unlike($rig->log($name), qr/\Q$elsewhere\E/,
	    "$name: nothing came from where nobody is");
}

# ---- datagrams --------------------------------------------------------------

{
	my $d = IO::Socket::UNIX->new(Type => IO::Socket::SOCK_DGRAM(),
	    Peer => $rig->socket('daemon')) or die "daemon: $!";
	$d->blocking(0);
	for my $size (0, 1, 2, 17, 4096, 60000) {
		$d->send(join '', map { chr rand 256 } 1 .. $size)
		    for 1 .. 200;
	}
	my $id = $rig->submit('bare', as => $ana);
	is($rig->ended($id, as => $ana, timeout => 10)->{status}, 'completed',
	    'rubbish wakes the daemon, and that is all');
}

# ---- and nobody died --------------------------------------------------------

for my $name (@programs) {
	unlike($rig->log($name), qr/worker \d+: |Sanitizer|runtime error/,
	    "$name: nobody died");
}

done_testing;
