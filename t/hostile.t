# Whatever is asked for, in whatever way: there is an answer in time, and it is
# never a fault of ours.

use strict;
use warnings;

use Hostile;
use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('site', origins => 'https://app.example', anonymous => 'yes')
    ->pipeline('say', <<'EOT')
accept	*/*
stage	say	100	10s	parrot
EOT
    ->pipeline('wait', "stage only 100 1h gate\n")
    ->stage('parrot', "#!/bin/sh\ncat input >&3\n")
    ->with_gate
    ->with_video
    ->start;
my $ana = $rig->user('ana');
my $boss = $rig->user('boss', role => 'admin');
my $h = Hostile->new($rig, as => $ana);
my $nobody = '0192f0c1-7b2a-7cde-8f01-23456789abcd';

my $job = $rig->submit('say', as => $ana, content => "progress 50 half\n");
is($rig->ended($job, as => $ana)->{status}, 'completed', 'a job to ask for');

my $in = $rig->post('/api/v1/auth/login',
    json => { name => 'ana', password => $ana->{password} });
my ($cookie) = $in->{headers}{'set-cookie'} =~ /millrace_session=([^;]+)/;
my $ticket = $rig->post('/api/v1/auth/tickets', as => $ana,
    json => { job_id => $job })->json->{ticket};
$h->secret($ana->{token}, $ana->{password}, $boss->{token}, $boss->{password},
    $in->json->{access_token}, $in->json->{refresh_token}, $cookie, $ticket);

# ---- methods ----------------------------------------------------------------

for (
	map({ [ 'POST', "/api/v1/auth/$_" ] } qw(register login refresh logout
	    password tickets)),
	map({ [ 'GET', "/api/v1/auth/$_" ] } qw(me tokens)),
	[ 'DELETE', '/api/v1/auth/tokens/999' ],
	map({ [ 'GET', "/api/v1/jobs$_" ] } '', map { "/$job$_" } '', '/status',
	    '/events', '/steps', '/logs', '/artifacts', '/artifacts/none',
	    '/stream'),
	map({ [ 'POST', "/api/v1/jobs/$job/$_" ] } qw(cancel retry)),
	map({ [ 'GET', "/api/v1/pipelines$_" ] } '', '/say'),
	map({ [ 'GET', "/api/v1/admin/$_" ] } qw(users daemons stats)),
	[ 'POST', '/process' ],
	map({ [ 'GET', $_ ] } "/jobs/$job", "/jobs/$job/stream", '/health',
	    '/metrics'),
) {
	my ($method, $path) = @$_;
	$h->ask($path, '40[05]', $_, $path)
	    for qw(TRACE CONNECTED PROPFIND X-Y get M-SEARCH);
	$h->ask($path, '204', 'OPTIONS', $path, as => undef);
	my $r = $h->ask($path, '405', $method eq 'GET' ? 'PATCH' : 'GET',
	    $path);
	like($r->{headers}{allow} // '', qr/\b$method\b/, 'what there is');
}
$h->ask('too long', '40[05]', 'A' x 5000, '/api/v1/jobs');
$h->ask('*', '400', 'OPTIONS', '*');

# ---- paths ------------------------------------------------------------------

my @parts = ('/', '//', '/..', '/%2e%2e/', '/..;/', '/%00', '/%0a',
    '/%0d%0aX-Evil:1', '/%ff', '/%c0%ae%c0%ae/', '/' . 'a' x 3000,
    '/' . '%41' x 2000, '/' . '../' x 300, '/%', '/%2', '/%zz', '/\\..\\',
    '/?' . '/' x 50, '/%252e%252e/', '/a/b/c/d/e/f', '/%u002e', '/*',
    "/'OR'1'='1", '/null', '/%22%3Cscript%3E', '/-1', '/0',
    '/' . join '', map { sprintf '%%%02x', $_ } 1 .. 255);
for my $path ('/api/v1/nothing', "/api/v1/jobs/$job/artifacts",
    "/api/v1/jobs/$job/nothing", '/jobs/x/y') {
	$h->ask("$path$_", '40[0-9]|414', 'GET', "$path$_") for @parts;
}

my @ids = ('x', uc $nobody, "$nobody ", "{$nobody}", $nobody =~ s/-//gr,
    "$nobody%00", "$nobody%0a", "$nobody%0d%0aX-Evil:%201", '%0a', '%20',
    '..%2f..%2fsay', "%2e%2e%2f$nobody", 'a' x 2000, '%f0%9f%98%80' x 100,
    "1'%20OR%20'1'='1", '%ff%fe', '%25s%25n%25n', '${jndi:ldap:x}');
for my $id (@ids) {
	$h->ask($_, '40[0-9]', 'GET', $_) for "/api/v1/jobs/$id",
	    "/api/v1/jobs/$id/status", "/jobs/$id", "/api/v1/jobs/$id/stream",
	    "/jobs/$id/stream", "/api/v1/pipelines/$id";
}

$h->ask($_, '40[0-9]|414', 'GET', $_) for map { ("/$_", "/$_/../etc/passwd") }
    '..', '../..', '%2e%2e', '..%2f', '.%2e/', 'x/../../../..',
    'vendor/../../conf', '.git/config', '.htaccess', '.storage/secret',
    '.storage//secret', '%2estorage/secret', './.storage/results/x', 'admin/x',
    'web/index.html', 'index.php', 'cgi-bin/x', '%5c..%5c', 'a' x 9000;
$h->ask($_, '[2-4]..', 'GET', $_) for '//', '/./', '/api/v1/./jobs',
    '/api//v1//jobs', '/api/v1/../v1/jobs', '/admin', '/admin/../',
    "/api/v1/jobs/./$job", "/x/../api/v1/jobs/$job", '/%61pi/v1/jobs',
    '/api/v1/jobs#x', '/api%2fv1%2fjobs', '/?' . 'x' x 2000;

for my $path ('/api/v1/admin/../admin/users', '/api/v1/jobs/../admin/users',
    '/api/v1/auth/../admin/users', '/%61pi/v1/%61dmin/users',
    '/api/v1//admin/users', '/health/../api/v1/admin/users',
    '/jobs/../api/v1/admin/users', '/process/../api/v1/admin/users') {
	$h->ask("$path: no way around", '403', 'GET', $path);
	$h->ask("$path: nor for strangers", '401', 'GET', $path, as => undef);
}

# ---- queries ----------------------------------------------------------------

my @queries = (
	map({ "limit=$_" } '', '-1', '0', '1e2', '+5', '0x10',
	    '18446744073709551617', '9' x 400, '%31%00', '1;DROP', '%d9%a1',
	    'NaN', '1&limit=2', '1&%6cimit=2'),
	map({ "after=$_" } '', '-1', 'x', '1&after=1', '4294967296',
	    '99999999999999999999'),
	map({ "status=$_" } '', 'none', 'COMPLETED', "'", '%00'),
	map({ "pipeline=$_" } '', '..', "say'--"),
	map({ "user=$_" } '', 'nobody', "'", '%f0%9f%98%80', 'x' x 2000),
	map({ "q=$_" } '', '%25', "'%20OR%201=1--", '%5c', '%25' x 255,
	    '_' x 255, 'x' x 256, '%f0%9f%98%80', '%e2%80%ae', '%c3%28',
	    '%ed%a0%80', '%ff', '%', '%4', '%zz', '%00', '%0d%0aX-Evil:%201'),
	map({ "since=$_" } '', 'now', '0000-00-00T00:00:00Z',
	    '9999-12-31T23:59:59Z', '2026-02-31T00:00:00Z',
	    '0000-01-01T00:00:00Z', '2026-01-01T24:00:00Z',
	    '2026-01-01T00:00:60Z', '2026-01-01T00:00:00%2b02:00'),
	map({ "cursor=$_" } '', 'x', "$nobody'",
	    '00000000-0000-0000-0000-000000000000',
	    'ffffffff-ffff-ffff-ffff-ffffffffffff'),
	map({ "ticket=$_" } '', 'x', 'A' x 6000, '%0d%0a', 'x&ticket=y'),
	'limit[]=1', '=', '==', '&', '&&&', '%', '%=%', '=x', "\x7f", '?',
	'<>"', '%3c%3e=%22', join('&', map { "a$_=$_" } 1 .. 65), '&' x 3000,
	'a' x 6000, 'x=' x 2000, 'everywhere', 'last_event_id=-1', 'token=x',
);
for my $path ('/api/v1/jobs', "/api/v1/jobs/$job/events",
    '/api/v1/admin/users', "/api/v1/jobs/$job", "/jobs/$job", '/metrics',
    '/health') {
	$h->ask("$path?$_", '[24]..', 'GET', "$path?$_", as => $boss)
	    for @queries;
}

# ---- headers ----------------------------------------------------------------

for (
	[ 'of 9000 bytes', '431', "WHO\r\nX-Long: " . 'a' x 9000 ],
	[ 'fields, 40 kB of them', '431', join "\r\n", 'WHO', map { "X-$_: " .
	    'a' x 1000 } 1 .. 40 ],
	[ 'fields, 900 of them', '200', "WHO" . "\r\nX-A: b" x 900 ],
	[ 'fields, 8000 of them', '431', "WHO" . "\r\nX:" x 8000 ],
	[ 'with a NUL', '400', "WHO\r\nX-Nul: a\0b" ],
	[ 'with a bare CR', '[24]..', "WHO\r\nX-Cr: a\rX-Evil: 1" ],
	[ 'with a bare LF', '200', "WHO\r\nX-Lf: a\nX-Other: 1" ],
	[ 'with control bytes', '[24]..', "WHO\r\nX-C: \x01\x1b[31m\x7f" ],
	[ 'without a name', '[24]..', "WHO\r\n: x" ],
	[ 'without a colon', '[24]..', "WHO\r\nX" ],
	[ 'that is folded', '[24]..', "WHO\r\nX-A: b\r\n c" ],
	[ 'with a blank too many', '[24]..', "WHO\r\nX-A : b" ],
	[ 'in Latin 1', '200', "WHO\r\nX-\xe4: \xe4" ],
	[ 'Authorization twice', '400', "WHO\r\nAuthorization: Bearer x" ],
	[ 'Host twice', '400', "WHO\r\nHost: y" ],
	[ 'Expect', '[24]..', "WHO\r\nExpect: the-unexpected" ],
	[ 'Upgrade', '200', "WHO\r\nUpgrade: h2c, websocket" ],
	[ 'Accept-Encoding', '200', "WHO\r\nAccept-Encoding: " .
	    'gzip;q=0,' x 300 ],
	map({ [ "Host: $_", '[24]..', "Host: $_\r\nConnection: close" ] }
	    '', 'x/..', '"><x', 'a' x 4000, 'a:b:c', '[::1', '..', "\xff"),
) {
	my ($what, $want, $lines) = @$_;
	$h->ask_raw("header $what", $want,
	    "GET /api/v1/jobs HTTP/1.1\r\n$lines\r\n\r\n");
}

# All that a stream is told of, each as long as it may be.
for my $n (7000, 8000, 8150) {
	my $long = 'a' x $n;
	$h->ask("three headers of $n bytes", '401|431|414', 'GET',
	    "/jobs/$job/stream?x=" . substr($long, 200), as => undef,
	    headers => { Cookie => $long, Authorization => "Bearer $long" });
	$h->ask("four headers of $n bytes", '401|431|414', 'GET',
	    "/jobs/$job/stream?x=" . substr($long, 200), as => undef,
	    headers => { Cookie => $long, Origin => $long,
		Authorization => "Bearer $long" });
}

for my $value ('', ' ', 'Bearer', 'Bearer ', 'Bearer  ', "Bearer \t",
    'bearer x', 'Basic YW5hOng=', 'Bearer ' . 'A' x 7000,
    "Bearer $ana->{token} x", "Bearer $ana->{token},$ana->{token}",
    'Bearer mr_', 'Bearer mr_%00', "Bearer mr_\xff\xfe", "Bearer mr_' OR 1=1",
    'Bearer ..', 'Bearer a.b.c', 'Digest username="ana"',
    'Bearer ' . 'a.' x 3000, 'Bearer {"alg":"none"}') {
	$h->ask("as $value", '401', 'GET', '/api/v1/jobs', as => undef,
	    headers => { Authorization => $value });
}
for my $value ('', ';', '=', ';;;=;', 'millrace_session', 'millrace_session=',
    'millrace_session="x"', 'millrace_session=' . 'x' x 6000,
    '__Host-millrace=x; millrace_session=y', "millrace_session=\xff\x80",
    'millrace_session=a; millrace_session=b', 'millrace_session=%00%0a',
    'a=b; ' x 1000, 'millrace_device=x; millrace_device=..',
    '$Version=1; x', " millrace_session = $cookie",
    "millrace_session=$cookie x", "xmillrace_session=$cookie") {
	$h->ask("Cookie: $value", '401', 'GET', '/api/v1/jobs', as => undef,
	    headers => { Cookie => $value });
	$h->ask("Cookie: $value", '400', 'POST', '/api/v1/auth/login',
	    as => undef, headers => { Cookie => $value },
	    json => { name => 'x' });
}
for my $id ('', 'a b', "a\tb", 'a' x 65, 'a' x 8000, '../../x', '<script>',
    "\xff", '%0d%0aX-Evil: 1', '"', "a\x01") {
	my $r = $h->ask("X-Request-Id: $id", '200|400', 'GET', '/api/v1/jobs',
	    headers => { 'X-Request-Id' => $id });
	like($r->{headers}{'x-request-id'} // '', qr/^[0-9a-f]{32}$/,
	    'is replaced');
}
for my $origin ('null', '*', 'https://app.example, https://evil.example',
    'https://app.example/', "https://app.example\x01", 'x' x 3000,
    'HTTPS://APP.EXAMPLE', 'https://app.example%0d%0aX-Evil: 1') {
	my $r = $h->ask("Origin: $origin", '200|400', 'GET', '/api/v1/jobs',
	    headers => { Origin => $origin });
	is($r->{headers}{'access-control-allow-origin'}, undef,
	    'is not let in');
}
$h->ask("If-None-Match: $_", '200|400|304', 'GET', "/api/v1/jobs/$job/status",
    headers => { 'If-None-Match' => $_ }) for '', '*', '"', '"""', 'W/"', '"a',
    'a"', '"x",' x 1500, "\"\xff\"", '"' x 4000;
$h->ask("with $_", '403', 'GET', '/api/v1/admin/users',
    headers => { $_ => '/.storage/secret' }) for qw(Proxy X-Original-URL
    X-Rewrite-URL X-HTTP-Method-Override X-Method-Override X-Accel-Redirect
    X-Sendfile X-Forwarded-Host X-Forwarded-Prefix Content-Disposition Status
    X-Accel-Expires X-Accel-Limit-Rate Document-Uri Remote-Addr);

# ---- where a client is from -------------------------------------------------

# Who is no proxy that is trusted cannot say so.
{
	my %said = ('X-Forwarded-For' => '198.51.100.1',
	    'X-Real-IP' => '198.51.100.2', Forwarded => 'for=198.51.100.3',
	    'True-Client-IP' => '198.51.100.4', 'X-Forwarded-Proto' => 'https',
	    'CF-Connecting-IP' => '198.51.100.5', 'Client-IP' => '198.51.100.6',
	    'Remote-Addr' => '198.51.100.7', 'X-Remote-Addr' => '198.51.100.8');
	$h->ask('as if from elsewhere', '401', 'POST', '/api/v1/auth/login',
	    as => undef, headers => \%said,
	    json => { name => 'nobody', password => 'x' });
	my $r = $h->ask('as if from elsewhere', '202', 'POST', '/process',
	    as => undef, headers => \%said, form => [ video => {
		content => "\0\0\0\x18ftypmp42\0\0\0\0mp42isom" . "\0" x 500,
		filename => 'x.mp4' } ]);
	is_deeply([ $rig->sql('SELECT DISTINCT address FROM job' .
	    ' WHERE user_id = 0') ], [ [ '127.0.0.1' ] ],
	    'a guest is where the connection is from');
	my $s = $rig->stream('/jobs/' . $r->json->{job_id} . '/stream',
	    headers => \%said);
	is($s->{status}, 200, 'its stream');
	$s->close;
	like($rig->log('auth'), qr/refused: "nobody" from 127\.0\.0\.1\n/,
	    'and so the log says');
	unlike($rig->log($_), qr/198\.51\.100/, "$_: nobody is elsewhere")
	    for qw(access auth upload status sse);
}
$h->ask("X-Forwarded-For: $_", '200', 'GET', '/api/v1/jobs',
    headers => { 'X-Forwarded-For' => $_ }) for '', ',', 'x', '1.2.3.4' x 500,
    '::1', "1.2.3.4\xff", '127.0.0.1, 127.0.0.1', '"; DROP', ',,,,';

# ---- how long a body is -----------------------------------------------------

my $json = '{"name":"x","password":"y"}';
my $chunks = "1b\r\n$json\r\n0\r\n\r\n";
my $as_chunks = 'Transfer-Encoding: chunked';
for my $path ('/api/v1/auth/login', '/api/v1/jobs', "/api/v1/jobs/$job/retry") {
	for (
		map({ [ "Content-Length: $_", '4..', "Content-Length: $_",
		    $json ] } '', 'x', '-1', '+27', '0x1b', '27, 27', '0', '5',
		    '18446744073709551617', '9223372036854775807',
		    "27\r\nContent-Length: 28", "27\r\nContent-Length: 27"),
		[ 'no length', '4..', 'X: y', $json ],
		[ 'chunks', '4..', $as_chunks, $chunks ],
		[ 'chunks with more', '4..', $as_chunks,
		    "1b;a=\"b\"\r\n$json\r\n0\r\nX: y\r\n\r\n" ],
		map({ [ "a chunk of $_", '4..', $as_chunks,
		    "$_\r\n$json\r\n0\r\n\r\n" ] } 'xyz', '-1', '',
		    'ffffffffffffffffff', '8000000000000000', '0x1b'),
		[ 'chunks and a length', '400',
		    "$as_chunks\r\nContent-Length: 4", $chunks ],
		[ 'chunks twice', '4..', "$as_chunks\r\n$as_chunks", $chunks ],
		map({ [ "coding $_", '4..', "Transfer-Encoding: $_",
		    $chunks ] } 'gzip, chunked', 'identity', "\tchunked",
		    'x', 'chunked;q=1'),
	) {
		my ($what, $want, $header, $body) = @$_;
		$h->ask_raw("$path: $what", $want, "POST $path HTTP/1.1\r\n" .
		    "WHO\r\nContent-Type: application/json\r\n$header\r\n\r\n" .
		    $body);
	}
}
$h->ask("a body at $_->[1]", $_->[0], 'GET', $_->[1], body => '{' x 50000,
    headers => { 'Content-Length' => 50000 })
    for [ '200', '/api/v1/jobs' ], [ '200', '/health' ], [ '200', '/' ],
    [ '200', '/api/v1/auth/me' ], [ '405', '/process' ];
$h->ask("a large body at $_", '4..', 'POST', $_, body => "\0" x 3_000_000,
    type => 'application/json') for '/', '/api/v1/auth/login', '/api/v1/jobs',
    '/process', "/api/v1/jobs/$job/retry", "/jobs/$job/stream", '/health';

# More requests on one connection than answers are waited for.
{
	my $c = Rig::Connection->new($rig->{port}, 10);
	my $me = "GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\n" .
	    "Authorization: Bearer $ana->{token}\r\n";
	$c->send("$me\r\n" x 50 . "${me}Connection: close\r\n\r\n");
	is_deeply([ map { Rig::Response->read($c, 'GET')->json->{name} }
	    0 .. 50 ], [ ('ana') x 51 ], 'fifty requests ahead');
}

# ---- streams ----------------------------------------------------------------

my $waiting = $rig->submit('wait', as => $ana);
for my $path (map { ("/api/v1/jobs/$_/stream", "/jobs/$_/stream") }
    $job, $waiting) {
	for my $id ('', ' ', '-1', '0', '1', '00', '0x1', '1.0', '1e9', '+1',
	    '4294967295', '4294967296', '18446744073709551615',
	    '18446744073709551616', '9' x 7000, 'x', "1\x01", "\xff\xfe",
	    '1, 2', "' OR 1", '%31', '1 ', '1%0d%0aX-Evil: 1', 'NaN', '[1]',
	    '-9223372036854775808') {
		my $s = eval { $rig->stream($path, as => $ana, timeout => 3,
		    headers => { 'Last-Event-ID' => $id }) };
		ok($s && $s->{status} =~ /^(200|204|400)$/,
		    Hostile::shown("$path after $id"))
		    or diag($s ? $s->{status} : $@);
		$s->close if $s;
	}
	$h->ask("$path with $_", '4..', 'GET', "$path?$_", as => undef)
	    for 'ticket=x', 'ticket=', "ticket=$ana->{token}", "token=$ticket",
	    'ticket=' . 'A' x 5000, "ticket=$ticket&ticket=$ticket",
	    'ticket=%00', 'ticket=%ff', "ticket=${ticket}x", "Ticket=$ticket",
	    'ticket=' . reverse $ticket;
	$h->ask($path, '200|204', 'HEAD', $path);
	$h->ask('a body', '413', 'GET', $path, body => 'x' x 5000,
	    headers => { 'Content-Length' => 5000 });
}
$h->ask("a ticket for $_", '401', 'GET', "$_?ticket=$ticket", as => undef)
    for "/api/v1/jobs/$job", "/api/v1/jobs/$job/status", '/api/v1/auth/me',
    "/api/v1/jobs/$job/logs", '/api/v1/jobs';

# ---- ranges -----------------------------------------------------------------

$h->ask("Range: $_", '200|206|416', 'GET', '/live.js', as => undef,
    headers => { Range => $_ }) for '', 'x', 'bytes', 'bytes=', 'bytes=-',
    'bytes=-0', 'bytes=0-0', 'bytes=5-1', 'bytes=-1', 'bytes=a-b',
    'bytes=18446744073709551615-', 'bytes=0-18446744073709551616',
    'bytes=' . join(',', ('0-') x 1000), 'bytes=0-1,0-1,0-1', 'lines=1-2',
    'bytes=' . join(',', map { "$_-$_" } 1 .. 1000), "bytes=\xff",
    'bytes=0-0,-1', 'bytes=1e1-';

$h->nothing_broke;
done_testing;
