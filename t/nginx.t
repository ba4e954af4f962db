# What nginx does by itself: pages, limits, errors of its own, and what it
# tells the programs.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Rig;
use Test::More;

my $rig = Rig->new->with_stages
    ->stage('give', <<'EOT')
#!/bin/sh
printf '<script>alert(1)</script>' >page.html
printf 0123456789 >digits
echo 'result page.html page.html text/html' >&3
echo 'result 0%2f9?&+.bin digits' >&3
EOT
    ->pipeline('give', "stage give 50 30s give\nstage store 50 30s store\n")
    ->conf('site', origins => 'https://app.example http://b.example:81',
	trusted_proxies => '127.0.0.1')
    ->conf('upload', max_size => '1m')
    ->start;

sub is_problem {
	my ($r, $status, $what) = @_;
	is($r->{status}, $status, "$what: $status");
	is($r->{headers}{'content-type'}, 'application/problem+json',
	    "$what: problem+json");
	my $json = eval { $r->json } // {};
	is($json->{status}, $status, "$what: the body has the status");
	ok($json->{title}, "$what: and a title");
	is($json->{request_id}, $r->{headers}{'x-request-id'},
	    "$what: and the request's id");
	no_doubles($r, $what);
}

sub no_doubles {
	my ($r, $what) = @_;
	is_deeply([ grep { $r->count($_) > 1 } qw(x-request-id content-type
	    x-content-type-options cache-control access-control-allow-origin
	    retry-after allow content-security-policy) ], [],
	    "$what: no header comes twice");
}

# ---- the name of a request --------------------------------------------------

for my $path ('/', '/none', '/health', '/api/v1/jobs', '/api/v1/auth/me',
    '/jobs/x/stream', '/process') {
	my $r = $rig->get($path, headers => { 'X-Request-Id' => 'a-B_9.z' });
	is($r->{headers}{'x-request-id'}, 'a-B_9.z', "$path: the client's id");
	no_doubles($r, $path);
	$r = $rig->get($path, headers => { 'X-Request-Id' => 'a b"' });
	like($r->{headers}{'x-request-id'}, qr/^[A-Za-z0-9._-]{16,64}$/,
	    "$path: one of its own for what is none");
}

# ---- pages ------------------------------------------------------------------

my $r = $rig->get('/');
is($r->{status}, 200, 'the first page');
like($r->{headers}{'content-type'}, qr{^text/html; charset=utf-8$}i, 'HTML');
like($r->{headers}{'content-security-policy'}, qr/^default-src 'none'; /,
    'a strict policy');
is($r->{headers}{'x-content-type-options'}, 'nosniff', 'no guessing');
is($r->{headers}{'referrer-policy'}, 'no-referrer', 'no referrer');
is($r->{headers}{'cache-control'}, 'no-cache', 'asked for each time');
is($rig->get('/', headers => { 'If-None-Match' => $r->{headers}{etag} })
    ->{status}, 304, 'and 304 when it is the same');
is($rig->head('/')->{status}, 200, 'HEAD');
is($rig->get('/live.js')->{headers}{'content-type'},
    'text/javascript; charset=utf-8', 'scripts');
unlike($rig->get('/')->{headers}{server}, qr/\d/, 'no version is told');
$r = $rig->post('/', body => 'x', type => 'text/plain');
is_problem($r, 405, 'POST to a page');
is($r->{headers}{allow}, 'GET, HEAD', 'with what is allowed');

# ---- errors of nginx's own --------------------------------------------------

is_problem($rig->get('/none'), 404, 'an unknown page');
is_problem($rig->get("/.storage/$_"), 404, "/.storage/$_ from outside")
    for 'results/x', 'secret', 'results/../../secret/signing';
is_problem($rig->get('/.problem'), 404, 'the error page itself');
$r = $rig->get('/live.js', headers => { Range => 'bytes=9999999-' });
is($r->json->{status}, 416, 'a range outside of a file: 416');
no_doubles($r, 'which is found late');
is_problem($rig->get('/%2e%2e/%2e%2e/etc/passwd'), 400, 'above the root');
is_problem($rig->get('/' . 'a' x 9000), 414, 'a long URI');
is_problem($rig->get('/', headers => { 'X-Long' => 'a' x 9000 }), 431,
    'a long header');
is_problem($rig->request('POST', '/api/v1/auth/login', body => 'a' x 70000,
    type => 'application/json'), 413, 'a long body');

# What no client of ours can say: the answer as text.
for (['no HTTP', "GARBAGE\r\n\r\n"],
    ['no Host', "GET / HTTP/1.1\r\n\r\n"],
    ['two Hosts', "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    ['a NUL', "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['length and chunks', "POST /process HTTP/1.1\r\nHost: a\r\n" .
	"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ['two lengths', "POST /process HTTP/1.1\r\nHost: a\r\n" .
	"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ['an unknown coding', "POST /process HTTP/1.1\r\nHost: a\r\n" .
	"Transfer-Encoding: foo\r\n\r\n"],
    ['an unknown version', "GET / HTTP/3.1\r\nHost: a\r\n\r\n"]) {
	my ($what, $bytes) = @$_;
	my $answer = $rig->raw($bytes =~ s/Host: a\r\n\r\n/Host: a\r\nConnection: close\r\n\r\n/r);
	like($answer, qr{^HTTP/1\.1 400 .*^Content-Type: application/problem\+json\r.*"status":400,.*"request_id":"[0-9a-f]{32}"}sm,
	    "$what: a problem, 400");
}
like($rig->raw("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    qr{^HTTP/1\.1 405 .*problem\+json}s, 'TRACE: 405');

# ---- who answers ------------------------------------------------------------

# Unknown methods go to the program that owns the path, which says what it
# knows.
for (['/api/v1/jobs', 'PUT', qr/GET.*POST|POST.*GET/],
    ['/api/v1/auth/login', 'GET', qr/POST/],
    ['/process', 'GET', qr/POST/],
    ['/jobs/0192f0c1-0000-7000-8000-000000000000', 'POST', qr/GET/],
    ['/jobs/0192f0c1-0000-7000-8000-000000000000/stream', 'POST', qr/GET/],
    ['/api/v1/jobs/0192f0c1-0000-7000-8000-000000000000/stream', 'PUT',
	qr/GET/],
    ['/health', 'DELETE', qr/GET/], ['/metrics', 'POST', qr/GET/],
    ['/api/v1/pipelines', 'POST', qr/GET/]) {
	my ($path, $method, $allow) = @$_;
	$r = $rig->request($method, $path);
	is_problem($r, 405, "$method $path");
	like($r->{headers}{allow} // '', $allow, "$method $path: Allow");
}
is_problem($rig->get('/api/v2/x'), 404, 'another version of the API');

# ---- origins ----------------------------------------------------------------

for my $path ('/none', '/health', '/live.js', '/process') {
	$r = $rig->get($path, headers => { Origin => 'https://app.example' });
	is($r->{headers}{'access-control-allow-origin'}, 'https://app.example',
	    "$path: may be read by a page that is allowed to");
	is($r->count('access-control-allow-origin'), 1, "$path: once");
	for my $origin ('https://app.example.evil.test', 'null',
	    'https://appxexample', 'http://b.example') {
		$r = $rig->get($path, headers => { Origin => $origin });
		is($r->{headers}{'access-control-allow-origin'}, undef,
		    "$path: not by $origin");
	}
}
$r = $rig->options('/api/v1/jobs', headers => {
	Origin => 'https://app.example',
	'Access-Control-Request-Method' => 'POST',
	'Access-Control-Request-Headers' => 'authorization',
});
is($r->{status}, 204, 'a preflight is answered');
like($r->{headers}{'access-control-allow-headers'} // '', qr/Authorization/,
    'with what may be sent');

# ---- programs that are away -------------------------------------------------

my $id = '0192f0c1-0000-7000-8000-000000000000';
for my $name (qw(status sse)) {
	my $path = $rig->socket($name);
	rename $path, "$path.away" or die "$path: $!";
}
$r = $rig->get('/health');
is_problem($r, 503, 'no program');
is($r->{headers}{'retry-after'}, 2, 'with Retry-After');
for my $path ("/api/v1/jobs/$id/stream?ticket=so-secret", "/jobs/$id/stream") {
	$r = $rig->get($path);
	is($r->{status}, 200, "$path: 200, or EventSource would give up");
	is($r->{headers}{'content-type'}, 'text/event-stream', 'a stream');
	is($r->{body}, "retry: 3000\n\n", 'that says when to come again');
	no_doubles($r, $path);
}
for my $name (qw(status sse)) {
	my $path = $rig->socket($name);
	rename "$path.away", $path or die "$path: $!";
}
is($rig->get('/health')->{status}, 200, 'and when they are back, they answer');
unlike($rig->log('nginx') . $rig->log('access'), qr/so-secret/,
    'a ticket is in no log');
unlike($rig->log('access'), qr/\?/, 'and no query is');

# While a program is started again, its socket keeps who comes.
$rig->stop('status');
my $child = fork // die $!;
if ($child == 0) {
	require POSIX;
	POSIX::_exit($rig->get('/health')->{status} == 200 ? 0 : 1);
}
$rig->start_program('status');
waitpid $child, 0;
is($?, 0, 'nobody is refused while a program is started again');

# ---- behind a proxy ---------------------------------------------------------

$rig->get('/none', headers => { 'X-Forwarded-For' => '1.2.3.4, 203.0.113.7',
	'X-Request-Id' => 'behind-a-proxy' });
# The line is written when the answer has gone.
my $line = $rig->wait_for(sub {
	$rig->log('access') =~ /^(.*"behind-a-proxy".*)$/m && $1
}, 10, 'a line in the log');
like($line, qr{"address":"203\.0\.113\.7","method":"GET","path":"/none","status":404},
    'the address is the one that the trusted proxy saw');

my %seen;
for (1 .. 700) {
	$r = $rig->get('/none', headers => { 'X-Forwarded-For' => '203.0.113.9' });
	last if $seen{$r->{status}}++ && $r->{status} == 429;
}
is_problem($r, 429, 'too many requests');
is($r->{headers}{'retry-after'}, 5, 'with Retry-After');
# Each 10 ms one more is let through, to the hub, which wants credentials.
for (1 .. 700) {
	$r = $rig->get("/jobs/$id/stream",
	    headers => { 'X-Forwarded-For' => '203.0.113.9' });
	last if $r->{status} != 401;
}
is($r->{body}, "retry: 30000\n\n", 'a stream is told to come later');
is($r->{status}, 200, 'by a status that EventSource survives');
is($rig->get('/health')->{status}, 200, 'others are not concerned');

# ---- large bodies -----------------------------------------------------------

my $huge = 8 * 1024 * 1024;
for my $path ('/process', '/api/v1/jobs') {
	my $c = $rig->raw("POST $path HTTP/1.1\r\nHost: a\r\n" .
	    "Content-Type: multipart/form-data; boundary=x\r\n" .
	    "Expect: 100-continue\r\nConnection: close\r\n" .
	    "Content-Length: $huge\r\n\r\n");
	$c =~ s/^HTTP\/1\.1 100 .*?\r\n\r\n//s;
	like($c, qr{^HTTP/1\.1 (413|401) .*problem\+json}s,
	    "$path: refused before the body is sent");
}

# ---- results ----------------------------------------------------------------

my ($ana, $bob) = ($rig->user('ana'), $rig->user('bob'));
my $job = $rig->submit('give', as => $ana);
is($rig->ended($job, as => $ana)->{status}, 'completed', 'a job has results')
    or diag $rig->job($job, as => $ana)->{error_message};
my $page = "/api/v1/jobs/$job/artifacts/page.html";
my $digits = "/api/v1/jobs/$job/artifacts/0%252f9%3F&%2B.bin";
$r = $rig->get($page, as => $ana, headers => { 'X-Request-Id' => 'page' });
is($r->{body}, '<script>alert(1)</script>', 'a result');
is($r->{headers}{'x-request-id'}, 'page', 'with the name of the request');
is($r->{headers}{'content-security-policy'}, "default-src 'none'; sandbox",
    'that is no page of this site');
is($r->{headers}{'x-content-type-options'}, 'nosniff', 'nor guessed at');
no_doubles($r, 'a result');
is($rig->get($page, as => $ana,
    headers => { 'If-None-Match' => $r->{headers}{etag} })->{status}, 304,
    'not sent again when it is there');
$r = $rig->get($digits, as => $ana, headers => { Range => 'bytes=2-4' });
is("$r->{status} $r->{body}", '206 234', 'a part of one');
is($r->{headers}{'content-range'}, 'bytes 2-4/10', 'of the whole');
$r = $rig->get($digits, as => $ana, headers => { Range => 'bytes=20-' });
is_problem($r, 416, 'a part that is not there');
is($r->{headers}{'content-range'}, 'bytes */10', 'with what is');
is_problem($rig->get($page, as => $bob), 404, 'of somebody else');
is_problem($rig->get($page), 401, 'of nobody');
is_problem($rig->get("/api/v1/jobs/$job/artifacts/..%2f..%2fpage.html",
    as => $ana), 400, 'of another directory');

# ---- the scheme that a proxy saw --------------------------------------------

sub cookie {
	my (%headers) = @_;
	return $rig->post('/api/v1/auth/login', headers => \%headers,
	    json => { name => 'ana', password => $ana->{password} })
	    ->{headers}{'set-cookie'} // '';
}
like(cookie('X-Forwarded-Proto' => 'https'), qr/__Host-millrace=.*Secure/,
    'https, says the trusted proxy');
unlike(cookie('X-Forwarded-Proto' => 'gopher'), qr/__Host-/,
    'a scheme that is none');

# ---- below a path -----------------------------------------------------------

undef $rig;
$rig = Rig->new->conf('site', prefix => '/tools/mill.race')->start;
my $p = '/tools/mill.race';
is($rig->get("$p/")->{status}, 200, 'pages below a path');
is($rig->get($p)->{headers}{location}, "$p/", 'with a slash');
is($rig->get("$p/health")->{status}, 200, 'the programs, too');
is($rig->get("$p/jobs/x/stream")->{status}, 401, 'and streams');
$ana = $rig->user('ana');
unlike($rig->post("$p/api/v1/auth/login", json => { name => 'ana',
    password => $ana->{password} },
    headers => { 'X-Forwarded-Proto' => 'https' })->{headers}{'set-cookie'},
    qr/__Host-/, 'a proxy that nobody trusts is not believed');
is_problem($rig->get($_), 404, "$_ is not ours") for '/', '/health',
    '/api/v1/jobs', "/jobs/$id", '/tools/millxrace/health';

# ---- for an installed system ------------------------------------------------

my $dir = tempdir(CLEANUP => 1);
my ($exit, $out, $err) = $rig->millrace('nginx');
is($exit, 0, 'a file for conf.d');
$out =~ s{/var/log/nginx}{$dir}g;
open my $f, '>', "$dir/site.conf" or die $!;
print $f $out;
close $f;
open $f, '>', "$dir/nginx.conf" or die $!;
print $f "pid $dir/pid; events {} http { access_log off;\n",
    "include $dir/site.conf; }\n";
close $f;
like(`PATH="\$PATH:/usr/sbin" nginx -e stderr -t -c $dir/nginx.conf 2>&1`,
    qr/test is successful/, 'that nginx takes');

done_testing;
