# Whatever is sent instead of a good credential is refused, and nothing breaks.
#
# Tokens are signed here with the site's own key, by a second implementation:
# all that is wrong with most of them is what they say.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex hmac_sha384);
use MIME::Base64 qw(encode_base64url decode_base64url);
use Rig;
use Test::More;
use Time::HiRes ();

my $rig = Rig->new->conf('site', trusted_proxies => '127.0.0.1',
    origins => 'https://app.example.org')->start;
my $api = '/api/v1/auth';
my $ana = $rig->user('ana');
my $boss = $rig->user('boss', role => 'admin');

# A client of its own network, so that what one gets wrong is not another's.
my $nets = 0;
sub from {
	$nets++;
	return ('X-Forwarded-For' =>
	    sprintf '10.%d.%d.7', 2 + $nets / 250, $nets % 250);
}

# Every status that came, to see in the end that none was a fault of ours.
my %seen;
sub ask {
	my ($method, $path, %o) = @_;
	$o{headers} = { from(), %{ $o{headers} // {} } };
	my $r = $rig->request($method, $path, %o);
	$seen{$r->{status}} //= "$method $path";
	return $r;
}

sub login {
	my ($name, $password, %headers) = @_;
	return ask('POST', "$api/login", headers => \%headers,
	    json => { name => $name, password => $password });
}

# ---- a start without a good secret ------------------------------------------

# "auth -n" with a configuration: exit status and what it said.
sub start_with {
	my ($text, $mode) = @_;
	my $path = $rig->dir . '/conf.test';
	open my $f, '>', $path or die "$path: $!";
	print $f "[database]\nsocket = /nowhere\n$text";
	close $f;
	chmod $mode // 0600, $path;
	my $said = `'$rig->{build}/fcgi/auth' -n -c '$path' 2>&1 </dev/null`;
	return ($? >> 8, $said);
}

my $good = join '', map { sprintf '%02x', rand 256 } 1 .. 32;
delete @ENV{qw(JWT_SECRET SECRET_KEY)};
for (
	[ 'none',		'' ],
	[ 'an empty one',	"[auth]\nsecret =\n" ],
	[ '31 bytes',		"[auth]\nsecret = " . substr($good, 0, 31) .
	    "\n" ],
	[ 'one letter',		"[auth]\nsecret = " . 'a' x 64 . "\n" ],
	[ 'an example',		"[auth]\nsecret = changeme-changeme-" .
	    "changeme-changeme\n" ],
	[ 'one that all may read', "[auth]\nsecret = $good\n", 0644 ],
	[ 'a weak previous one', "[auth]\nsecret = $good\n" .
	    "previous_secret = x\n" ],
) {
	my ($what, @conf) = @$_;
	my ($exit, $said) = start_with(@conf);
	is($exit, 1, "no start with this secret: $what");
	like($said, qr/conf\.test.*secret/, 'it says where');
	unlike($said, qr/\Q$good\E/, 'and not which');
}
is((start_with("[auth]\nsecret = $good\n"))[0], 0, 'it starts with a good one');

# ---- signing as the site does -----------------------------------------------

my $secret;
{
	local @ARGV = $rig->dir . '/millrace.conf';
	while (<>) {
		$secret = $1 if /^\s*secret\s*=\s*(\S+)/;
		next unless /^\s*secret_file\s*=\s*(\S+)/;
		open my $f, '<', $1 or die "$1: $!";
		chomp($secret = <$f>);
	}
}
my $prk = hmac_sha256($secret, 'millrace');
my $key = hmac_sha256("access\x01", $prk);
my $kid = substr hmac_sha256_hex("kid\x01", $prk), 0, 8;

sub sign {
	my ($head, $claims, $with) = @_;
	my $text = encode_base64url($head) . '.' . encode_base64url($claims);
	return "$text." . encode_base64url(hmac_sha256($text, $with // $key));
}

sub head { return qq({"alg":"$_[0]","kid":"$kid","typ":"JWT"}) }

# What a token says, in JSON; each of %other instead of what it should be,
# undef: left out.
my $token = login('ana', $ana->{password})->json->{access_token};
my ($real_head, $real_claims, $real_sign) = split /\./, $token;
my %real = decode_base64url($real_claims) =~ /"(\w+)":("[^"]*"|\d+)/g;
sub claims {
	my (%other) = @_;
	my %all = (%real, %other);
	return '{' . join(',', map { qq("$_":$all{$_}) }
	    grep { defined $all{$_} } sort keys %all) . '}';
}

sub status { return ask('GET', '/api/v1/jobs?limit=1',
    headers => { Authorization => "Bearer $_[0]" })->{status} }

is(status($token), 200, 'a token of the site is good');
is(status(sign(head('HS256'), claims())), 200,
    'and so is one that was made by the same rules');
is(status(sign(head('HS256'), claims(more => '"ignored"'))), 200,
    'what is not known of it is left alone');

# ---- tokens that are wrong, with a good signature ---------------------------

my $now = time;
my %wrong = (
	aud => [ '"other"', '["millrace"]', '""' ],
	iss => [ '"other"', '"MILLRACE"', '""' ],
	use => [ '"ticket"', '"refresh"', '"ACCESS"' ],
	sub => [ 1, '"0"', '"-1"', '"1e3"', '"01"', '" 1"', '"1 "', '"999999"',
		 '"18446744073709551617"' ],
	role => [ '"admin"', '"root"', '"User"', '"user "', '["user"]' ],
	ver => [ '"1"', 0, 2, -1, '1.0', '1e0', 4294967297, '99999999999999999' ],
	sid => [ '"01920000-0000-7000-8000-000000000000"', '"x"', 1 ],
	jti => [ 1, '""' ],
	iat => [ $now + 90, -1, '"1"', $now . '.5', $now - 3600 ],
	nbf => [ $now + 90, -1, '"1"', 0 ],
	exp => [ $now - 90, 0, -1, $now + 86400, '"9999999999"', 9999999999,
		 '99999999999999999999', '1e99' ],
);
my %types = map { $_ => 1 } qw(null true false [] {} NaN), '[1]', '{"a":1}';

for my $name (sort keys %wrong) {
	my @bad = grep { status(sign(head('HS256'), claims($name => $_)))
	    != 401 } undef, @{ $wrong{$name} }, sort keys %types;
	is_deeply(\@bad, [], "$name: " . (3 + @{ $wrong{$name} }) .
	    ' wrong ways and more');
}

# Two wrong at a time, so that one mistake does not heal another.
{
	my @names = sort keys %wrong;
	my @bad;
	for my $i (0 .. $#names) {
		for my $j ($i + 1 .. $#names) {
			for my $pair ([ undef, undef ], [ 'null', 'true' ],
			    [ $wrong{$names[$i]}[0], $wrong{$names[$j]}[0] ]) {
				my %two = ($names[$i] => $pair->[0],
				    $names[$j] => $pair->[1]);
				push @bad, "@names[$i, $j]" if status(
				    sign(head('HS256'), claims(%two))) != 401;
			}
		}
	}
	is_deeply(\@bad, [], 'any two of them wrong');
}

my $plain = claims();
for (
	[ 'no object',		'[]' ],
	[ 'an empty one',	'{}' ],
	[ 'an array of it',	"[$plain]" ],
	[ 'two of it',		$plain . $plain ],
	[ 'a string of it',	'"{}"' ],
	[ 'a claim twice',	'{"sub":"1",' . substr $plain, 1 ],
	[ 'twice in disguise',	'{"s\u0075b":"1",' . substr $plain, 1 ],
	[ 'an end too early',	substr $plain, 0, -1 ],
	[ 'a comment',		"/**/$plain" ],
	[ 'a comma too many',	substr($plain, 0, -1) . ',}' ],
	[ 'a byte order mark',	"\xef\xbb\xbf$plain" ],
	[ 'a NUL at its end',	"$plain\0" ],
	[ 'nothing',		'' ],
) {
	my ($what, $claims) = @$_;
	is(status(sign(head('HS256'), $claims)), 401, "claims are $what");
}

for (
	[ 'alg none',		head('none') ],
	[ 'alg None',		head('None') ],
	[ 'alg hs256',		head('hs256') ],
	[ 'alg HS384',		head('HS384') ],
	[ 'alg HS512',		head('HS512') ],
	[ 'alg RS256',		head('RS256') ],
	[ 'alg ES256',		head('ES256') ],
	[ 'no alg',		qq({"kid":"$kid","typ":"JWT"}) ],
	[ 'alg twice',		qq({"alg":"none","alg":"HS256","kid":"$kid"}) ],
	[ 'no kid',		'{"alg":"HS256","typ":"JWT"}' ],
	[ 'kid of nobody',	'{"alg":"HS256","kid":"00000000","typ":"JWT"}' ],
	[ 'kid a path',		'{"alg":"HS256","kid":"../../dev/null","typ":"JWT"}' ],
	[ 'kid SQL',		q({"alg":"HS256","kid":"' OR 1=1","typ":"JWT"}) ],
	[ 'kid a number',	'{"alg":"HS256","kid":0,"typ":"JWT"}' ],
	[ 'crit',		qq({"alg":"HS256","crit":["exp"],"kid":"$kid"}) ],
	[ 'jku',		qq({"alg":"HS256","jku":"http://127.0.0.1/","kid":"$kid"}) ],
	[ 'jwk',		qq({"alg":"HS256","jwk":{"k":"AA","kty":"oct"},"kid":"$kid"}) ],
	[ 'typ at+jwt',		qq({"alg":"HS256","kid":"$kid","typ":"at+jwt"}) ],
	[ 'no typ',		qq({"alg":"HS256","kid":"$kid"}) ],
	[ 'no object',		'[]' ],
	[ 'nothing',		'' ],
) {
	my ($what, $head) = @$_;
	is(status(sign($head, $plain)), 401, "header with $what");
}
{
	my $text = encode_base64url(head('HS384')) . ".$real_claims";
	is(status("$text." . encode_base64url(hmac_sha384($text, $key))), 401,
	    'HS384, signed so');
	$text = encode_base64url('{"alg":"none"}') . ".$real_claims";
	is(status("$text.$_"), 401, 'alg none, signed not at all')
	    for '', 'A', $real_sign;
}

# ---- keys that others have --------------------------------------------------

for (
	[ 'the secret itself',	$secret ],
	[ 'the key of tickets',	hmac_sha256("ticket\x01", $prk) ],
	[ 'the key of devices',	hmac_sha256("device\x01", $prk) ],
	[ 'the key of refresh tokens', hmac_sha256("refresh\x01", $prk) ],
	[ 'an empty key',	'' ],
	[ 'zeros',		"\0" x 32 ],
	[ 'the name of the key', $kid ],
) {
	my ($what, $with) = @$_;
	is(status(sign(head('HS256'), $plain, $with)), 401, "signed with $what");
}

# ---- not one character of it can be changed ---------------------------------

{
	my @letters = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_');
	my @bad;
	for my $i (0 .. length($real_sign) - 1) {
		my $at = (grep { $letters[$_] eq substr $real_sign, $i, 1 }
		    0 .. 63)[0];
		for my $other ($letters[$at ^ 1], $letters[63 - $at]) {
			my $sign = $real_sign;
			substr $sign, $i, 1, $other;
			push @bad, "$i: $other"
			    if status("$real_head.$real_claims.$sign") != 401;
		}
	}
	is_deeply(\@bad, [], 'the signature, each character twice');
	my $admin = $real_claims;
	$admin = encode_base64url(decode_base64url($admin) =~ s/"user"/"admin"/r);
	is(status("$real_head.$admin.$real_sign"), 401, 'a better role');
}

# ---- shapes -----------------------------------------------------------------

for (
	[ 'nothing',		'' ],
	[ 'dots',		'..' ],
	[ 'no signature',	"$real_head.$real_claims." ],
	[ 'no signature, no dot', "$real_head.$real_claims" ],
	[ 'no claims',		"$real_head..$real_sign" ],
	[ 'no header',		".$real_claims.$real_sign" ],
	[ 'four parts',		"$token.x" ],
	[ 'padding',		"$token=" ],
	[ 'half of it',		substr $token, 0, length($token) / 2 ],
	[ 'other base64',	$token =~ tr{-_}{+/}r . '+' ],
	[ '5,000 bytes',	'A' x 5000 ],
	[ '5,000 bytes, signed', sign(head('HS256'), claims(more =>
	    '"' . 'x' x 3500 . '"')) ],
	[ 'escapes',		$token =~ s/\./%2e/r ],
	[ 'bytes',		"\x80\xff.\xfe.\x01" ],
	[ 'a token of nobody',	'mr_' . 'A' x 43 ],
	[ 'half a token',	substr $ana->{token}, 0, 40 ],
	[ 'a token and more',	"$ana->{token}A" ],
	[ 'one in other case',	lc $ana->{token} ],
	[ 'SQL',		"mr_' OR '1'='1" ],
	[ 'two of them',	"$token, $token" ],
) {
	my ($what, $text) = @$_;
	is(status($text), 401, "instead of a token: $what");
}
for my $value ($token, "Basic $token", "Bearer$token", 'Bearer', "Token $token",
    'Basic ' . MIME::Base64::encode_base64("ana:$ana->{password}", '')) {
	is(ask('GET', "$api/me", headers => { Authorization => $value })
	    ->{status}, 401, 'Authorization: ' . substr($value, 0, 12) . '...');
}
is(ask('GET', "$api/me", headers => { Authorization => "bearer $token" })
    ->{status}, 200, 'the case of "Bearer" does not count');
like($rig->raw("GET $api/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" .
    "Authorization: Bearer $token\r\nAuthorization: Bearer $token\r\n\r\n"),
    qr{^HTTP/1.1 400 }, 'two headers are none');

# A token is a token in its header, and nowhere else.
is(ask('GET', "$api/me?$_=$token")->{status}, 401, "not in ?$_=")
    for qw(token access_token ticket jwt);
is(ask('GET', "$api/me", headers => { Cookie => "$_=$token" })->{status}, 401,
    "not in cookie $_") for qw(token millrace_session __Host-millrace);

# ---- becoming more than one is ----------------------------------------------

for my $header (qw(X-Role X-User X-User-Id X-Admin X-Remote-User Remote-User
    X-Original-User X-Forwarded-User)) {
	is(ask('GET', '/api/v1/admin/users', as => $ana,
	    headers => { $header => 'admin' })->{status}, 403, "by $header");
}
is(ask('GET', "/api/v1/admin/users?$_")->{status}, 401, "by ?$_")
    for 'role=admin', 'admin=1', 'user=boss';
is(ask('GET', '/api/v1/admin/users', as => $ana)->{status}, 403,
    'a user is no administrator');
is(ask('GET', '/api/v1/admin/users', as => $boss)->{status}, 200,
    'who is, is');
for my $more ({ role => 'admin' }, { admin => \1 }, { id => 1 },
    { scopes => ['admin'] }) {
	my ($key) = keys %$more;
	is(ask('POST', "$api/login", json => { name => 'ana',
	    password => $ana->{password}, %$more })->{status}, 400,
	    "a sign-in has no \"$key\"");
}
is(ask('POST', "$api/register", json => { name => 'eve',
    password => 'long enough' })->{status}, 403,
    'where registration is closed, nobody registers');
is(($rig->sql('SELECT COUNT(*) FROM user'))[0][0], 2, 'nobody did');

# ---- text that is more than text --------------------------------------------

for my $text ("' OR 1=1 -- ", '" OR ""="', "ana'/*", 'ana\\', "\x{2019} OR 1",
    'ana%', '${jndi:x}', '<script>', 'ana@' . 'x' x 180) {
	is(login($text, "' OR 1=1 -- ")->{status}, 401,
	    'a name like ' . substr($text, 0, 12) =~ s/[^ -~]/?/gr);
}
for (
	[ 'a NUL',		'{"name":"ana\u0000","password":"x"}' ],
	[ 'a name twice',	'{"name":"ana","name":"bob","password":"x"}' ],
	[ 'a comma more',	'{"name":"ana","password":"x",}' ],
	[ 'single quotes',	"{'name':'ana','password':'x'}" ],
	[ 'NaN',		'{"name":NaN,"password":"x"}' ],
	[ 'no UTF-8',		"{\"name\":\"\xff\",\"password\":\"x\"}" ],
	[ 'two values',		'{"name":"ana","password":"x"}{}' ],
	[ 'an array',		'["ana","x"]' ],
	[ 'depth',		'[' x 10000 ],
	[ 'nothing',		'' ],
) {
	my ($what, $body) = @$_;
	is(ask('POST', "$api/login", body => $body, type => 'application/json')
	    ->{status}, 400, "JSON with $what");
}
is(ask('POST', "$api/login", body => '{"name":"' . 'x' x 2000000 . '"}',
    type => 'application/json')->{status}, 413, 'two megabytes of a name');

# ---- pages of other sites ---------------------------------------------------

my $cookie = 'millrace_session=' . (login('ana', $ana->{password})
    ->{headers}{'set-cookie'} =~ /millrace_session=([^;]+)/)[0];
for (
	[ 'says nothing' ],
	[ 'of another site',	'Sec-Fetch-Site' => 'cross-site' ],
	[ 'of a neighbour',	'Sec-Fetch-Site' => 'same-site' ],
	[ 'without a page',	'Sec-Fetch-Site' => 'none' ],
	[ 'by its origin',	Origin => 'https://evil.example' ],
	[ 'an origin of null',	Origin => 'null' ],
	[ 'an empty origin',	Origin => '' ],
	[ 'an origin we share with', Origin => 'https://app.example.org' ],
	[ 'our name and more',	Origin => $rig->url . '.evil.example' ],
	[ 'our name, cut',	Origin => $rig->url =~ s/.$//r ],
	[ 'our name over TLS',	Origin => $rig->url =~ s/^http/https/r ],
	[ 'our name as a user',	Origin => $rig->url . '@evil.example' ],
	[ 'ours, from elsewhere', Origin => $rig->url,
	    'Sec-Fetch-Site' => 'cross-site' ],
) {
	my ($what, %headers) = @$_;
	for (
		[ "$api/logout" ],
		[ "$api/tokens", { name => 'x', scopes => ['read'] } ],
		[ "$api/password", { password => $ana->{password},
		    new_password => 'stolen-by-evil' } ],
	) {
		my ($path, $json) = @$_;
		is(ask('POST', $path, headers => { Cookie => $cookie,
		    %headers }, $json ? (json => $json) : ())->{status}, 403,
		    "with her cookie, $what: $path");
	}
}
is(ask('GET', "$api/me", headers => { Cookie => $cookie })->{status}, 200,
    'she is still signed in');
for my $type ('text/plain', 'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x', 'application/jsonp', '', undef) {
	is(ask('POST', "$api/login", body => '{"name":"ana","password":' .
	    "\"$ana->{password}\"}", type => $type)->{status}, 415,
	    'a form cannot sign her in: ' . ($type // 'no type'));
}
is(ask('POST', "$api/logout", headers => { Cookie => $cookie,
    Origin => $rig->url })->{status}, 204, 'our own page can sign her out');

for my $origin ('https://app.example.org.evil.example', 'null',
    'http://app.example.org', 'https://app.example.org:8443',
    'https://evilapp.example.org', 'https://app.example.or', 'https://',
    'https://APP.example.org', '*') {
	my $r = ask('GET', "$api/me", as => $ana,
	    headers => { Origin => $origin });
	ok(!exists $r->{headers}{'access-control-allow-origin'},
	    "nothing is shared with $origin");
	$r = ask('OPTIONS', "$api/me", headers => { Origin => $origin,
	    'Access-Control-Request-Method' => 'GET' });
	ok(!exists $r->{headers}{$_}, "nor is it told $_")
	    for qw(access-control-allow-origin access-control-allow-methods);
}
{
	my $r = ask('GET', "$api/me", as => $ana,
	    headers => { Origin => 'https://app.example.org' });
	is($r->{headers}{'access-control-allow-origin'},
	    'https://app.example.org', 'its own origin, and no other');
	like($r->{headers}{vary}, qr/\bOrigin\b/, 'caches are told');
}

# ---- the time that a refusal takes ------------------------------------------

# Known names, unknown ones and disabled accounts, in turn.  What else runs on
# the machine only adds to a time, so the shortest of each kind are compared,
# and they come closer the more there are.
{
	$rig->user('dora');
	$rig->millrace('user', 'disable', 'dora');
	my (%best, $apart);
	for my $i (1 .. 300) {
		for ([ 'known', 'ana' ], [ 'unknown', "nobody$i" ],
		    [ 'disabled', 'dora' ]) {
			my ($kind, $name) = @$_;
			$rig->sql('DELETE FROM throttle');
			my $began = Time::HiRes::time;
			my $r = login($name, 'wrong password');
			my $took = Time::HiRes::time - $began;
			is($r->{status}, 401, "$kind, refused") if $i == 1;
			$best{$kind} = $took
			    if $took < ($best{$kind} // 1e9);
		}
		my @t = sort { $a <=> $b } values %best;
		$apart = $t[2] / $t[0];
		last if $i >= 12 && $apart < ($i < 40 ? 1.05 : 1.2);
	}
	diag(join ', ', map { sprintf '%s %.1f ms', $_, 1000 * $best{$_} }
	    sort keys %best);
	cmp_ok($apart, '<', 1.25, 'they take the same time');
}

# ---- another secret ---------------------------------------------------------

# Give the site this secret, and one that is still accepted, or none.
sub change_secret {
	my ($present, $previous) = @_;
	my $path = $rig->dir . '/millrace.conf';
	open my $f, '<', $path or die "$path: $!";
	my $text = join '', grep { !/^\s*(secret|secret_file|previous_secret)\b/ }
	    <$f>;
	my $lines = "secret = $present\n";
	$lines .= "previous_secret = $previous\n" if defined $previous;
	$text =~ s/^(\[auth\]\n)/$1$lines/m or $text .= "[auth]\n$lines";
	open $f, '>', $path or die "$path: $!";
	print $f $text;
	close $f or die "$path: $!";
	$rig->restart($_) for qw(auth status);
	$rig->wait_for(sub { $rig->is_healthy }, 20, 'status is back');
}

{
	my $in = login('ana', $ana->{password})->json;
	change_secret($good, $secret);
	is(status($in->{access_token}), 200,
	    'while a secret is changed, old tokens are good');
	my $new = login('ana', $ana->{password})->json->{access_token};
	isnt((split /\./, $new)[0], $real_head, 'new ones have another key');
	is(status($new), 200, 'and are good as well');
	change_secret($good);
	is(status($in->{access_token}), 401, 'then the old ones are not');
	is(status($new), 200, 'the new ones are');
	is(ask('POST', "$api/refresh", json => { refresh_token =>
	    $in->{refresh_token} })->{status}, 200, 'and nobody was signed out');
	$token = $new;
}

# ---- and nothing broke ------------------------------------------------------

is_deeply([ map { "$_: $seen{$_}" } grep { $_ >= 500 } sort keys %seen ], [],
    'nothing was answered with 5xx');
is(status($token), 200, 'and the good token is still good');

done_testing;
