# Whatever a body holds, where JSON or a form belongs: it is refused or taken,
# with the reason, and names and texts of it are data ever after.

use strict;
use warnings;

use Hostile;
use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('site', registration => 'yes')
    ->conf('upload', max_size => '1m')
    ->pipeline('say', <<'EOT')
accept	*/*
option	text	text
stage	say	100	10s	parrot
EOT
    ->pipeline('bare', <<'EOT')
option	text	text
option	depth	number	3 1 9
option	fast	boolean	no
option	kind	choice	a	a b
stage	only	100	10s	nothing
EOT
    ->stage('parrot', "#!/bin/sh\ncat input >&3\n")
    ->stage('nothing', "#!/bin/sh\nexit 0\n")
    ->start;
my $ana = $rig->user('ana');
my $h = Hostile->new($rig, as => $ana);
my $nobody = '0192f0c1-7b2a-7cde-8f01-23456789abcd';

my $job = $rig->submit('say', as => $ana, content => "reject no\n");
is($rig->ended($job, as => $ana)->{status}, 'failed', 'a job to ask for');
$h->secret($ana->{token}, $ana->{password}, 'walnut-kettle-9');

# ---- text that is no JSON ---------------------------------------------------

# Where it is taken: members that would do, but for something else.
my %takes = (
	'/api/v1/auth/register' => { name => 'ana',
	    password => 'walnut-kettle-9' },
	'/api/v1/auth/login' => { name => 'ana', password => 'wrong' },
	'/api/v1/auth/refresh' => { refresh_token => 'x' },
	'/api/v1/auth/tickets' => { job_id => $nobody },
	"/api/v1/jobs/$job/retry" => { from => 'none' },
	'/api/v1/jobs' => { pipeline => 'none', upload_id => $nobody },
);

sub send_json {
	my ($what, $want, $path, $text) = @_;
	my $r = $h->ask("$path: $what", $want, 'POST', $path, body => $text,
	    type => 'application/json');
	# Nobody is locked out meanwhile.
	$rig->sql('DELETE FROM throttle') if $r && $r->{status} == 429;
	return $r;
}

my @no_json = (
	[ 'blanks', " \n\t" ], [ 'a NUL', "\0" ],
	[ 'a BOM', "\xef\xbb\xbf{}" ], [ 'UTF-16', "\xff\xfe{\0}\0" ],
	map({ [ $_, $_ ] } '{', '}', '[', ']', '"', '{}x', '{}{}', '{},', '[]',
	    'null', 'true', '1', '"x"', '{"a"}', '{"a":}', '{"a":1,}', '{,}',
	    '{"a":1 "b":2}', '{a:1}', "{'a':1}", '{"a":01}', '{"a":+1}',
	    '{"a":1.}', '{"a":.5}', '{"a":1e}', '{"a":0x1}', '{"a":NaN}',
	    '{"a":Infinity}', '{"a":-}', '{"a":--1}', '{"a":tru}', '{"a":nul}',
	    '{"a":TRUE}', '{"a":"\x"}', '{"a":"\u12"}', '{"a":"\u12G4"}',
	    "{\"a\":\"\n\"}", "{\"a\":\"\t\"}", "{\"a\":\"\0\"}",
	    "{\"a\":\"\x01\"}", '{"a":"b', '{"a":"b\\', '{"a":"\\"}',
	    "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\x80\"}", "{\"\xff\":1}",
	    "{\"a\":\"\xed\xa0\x80\"}", '{"a":1,"a":2}', '{"a":[1,]}',
	    '{"a":[1}', '{"a":{]}', '{}//x', '/**/{}', '{"a":1}#', "{}\0",
	    '<?xml?>', '{"a":"\uD800\u"}', "{\"a\":1\x0c}", '{"a":undefined}',
	    '{"a":1_0}', "\x1f\x8b\x08", 'a=b&c=d'),
	[ 'depth of arrays', '[' x 60000 ],
	[ 'depth of objects', '{"a":' x 12000 ],
	[ 'depth, closed', '{"a":' . '[' x 17 . ']' x 17 . '}' ],
	[ 'many members', '{' . join(',', map { "\"m$_\":1" } 1 .. 5000) .
	    '}' ],
	[ 'a long member twice', '{' .
	    join(',', ('"' . 'k' x 30000 . '":1') x 2) . '}' ],
);
for my $path (sort keys %takes) {
	send_json($_->[0], '400', $path, $_->[1]) for @no_json;
	send_json('nothing', '202|40[09]', $path, '');
	send_json('a long number', '4..', $path, '{"a":' . '9' x 60000 . '}');
	send_json('a large number', '4..', $path, '{"a":1e' . '9' x 60000 .
	    '}');
	send_json('a long string', '4..', $path, '{"a":"' . 'x' x 60000 .
	    '"}');
	send_json('300 kB', '413', $path, '{"a":"' . 'x' x 300000 . '"}');
	$h->ask("$path as $_", '415', 'POST', $path, body => '{}', type => $_)
	    for 'text/plain', 'application/jsonx', 'application', "\xff",
	    'application/x-www-form-urlencoded', 'multipart/mixed', 'x' x 3000;
}

# ---- members that are something else ----------------------------------------

my %no_text = (
	'a number' => '1', 'null' => 'null', 'an array' => '["x"]',
	'true' => 'true', 'an object' => '{"a":"b"}', 'a fraction' => '-0.5',
	'a huge number' => '1e400', 'a deep array' => '[[[[[[["x"]]]]]]]',
	'a long integer' => '123456789012345678901234567890',
);
my %odd_text = (
	'empty' => '', 'a NUL' => 'a\u0000b', 'half of a pair' => '\ud800',
	'a pair turned round' => '\udc00\ud800', 'wide' => '\uff41na',
	'control bytes' => '\u0001\u001b[31m', 'a blank more' => 'ana ',
	'line ends' => 'a\r\nX-Evil: 1', 'backwards' => '\u202eabc\u2066',
	'four bytes' => '\ud83d\ude00', 'a noncharacter' => '\uffff\ufffe',
	'SQL' => "' OR 1=1 -- ", 'backslashes' => '\\\\\'', 'accents' =>
	'\u00e4n\u00e4', 'a format' => '%s%n%n%s%99999d', '8 kB' => 'x' x 8192,
	'a path' => '../../../../etc/passwd', '30 kB' => '\u4e2d' x 10000,
);
for my $path (sort keys %takes) {
	my %good = map { $_ => "\"$takes{$path}{$_}\"" } keys %{$takes{$path}};
	my $with = sub {
		my (%all) = (%good, @_);
		return '{' . join(',', map { "\"$_\":$all{$_}" }
		    sort keys %all) . '}';
	};
	for my $member (sort keys %good) {
		for my $how (sort keys %no_text) {
			my $r = send_json("$member is $how", '400', $path,
			    $with->($member => $no_text{$how}));
			like($r->json->{detail}, qr/^$member: /, 'and says so');
		}
		send_json("$member is $_", '202|4..', $path,
		    $with->($member => "\"$odd_text{$_}\""))
		    for sort keys %odd_text;
	}
	send_json('none of its members', '4..', $path, '{}');
	send_json("with $_", '4..', $path, $with->($_ => '"admin"'))
	    for qw(role admin id user_id __proto__ constructor), '', ' ',
	    'a' x 5000, '\ud83d\ude00', 'a\u0000b', '\n', '\"', '\ud800';
}

# Options are texts, or what would be one in a form; or they are refused.
for my $how (sort keys %no_text) {
	for my $option (qw(text depth fast kind none)) {
		for my $body ("\"$option\":$no_text{$how}",
		    "\"options\":{\"$option\":$no_text{$how}}") {
			send_json("$option is $how", '202|400',
			    '/api/v1/jobs', "{\"pipeline\":\"bare\",$body}");
		}
	}
	send_json("options are $how", '400', '/api/v1/jobs',
	    "{\"pipeline\":\"bare\",\"options\":$no_text{$how}}");
}
for my $how (sort keys %odd_text) {
	my $r = send_json("a text is $how", '202|400', '/api/v1/jobs',
	    "{\"pipeline\":\"bare\",\"text\":\"$odd_text{$how}\"}");
	next unless $r && $r->{status} == 202;
	$r = $h->ask('which it shows', '200', 'GET', '/api/v1/jobs/' .
	    $r->json->{job_id});
	is(ref $r->json->{options}, 'HASH', 'as it was');
}

# ---- forms ------------------------------------------------------------------

sub form {
	my ($what, $want, $body, $type) = @_;
	return $h->ask("form: $what", $want, 'POST', '/api/v1/jobs',
	    body => $body, type => $type // 'multipart/form-data; boundary=b');
}

my $part = "--b\r\nContent-Disposition: form-data; name=";
my $say = "${part}pipeline\r\n\r\nsay\r\n";
my $end = "--b--\r\n";
form("of type $_", '4..', $say . $end, $_) for 'multipart/form-data',
    'multipart/', map({ "multipart/form-data; $_" } '', 'boundary',
	'boundary=', 'boundary=""', 'boundary="b', 'boundary=c', 'boundary==b',
	'boundary=' . 'b' x 71, 'boundary=' . 'b' x 5000,
	'boundary=b; boundary=c', "boundary=\xff", 'boundary=b\r\nX-Evil: 1'),
    'multipart/form-data boundary=b', 'multipart/mixed; boundary=b';
form(@$_) for
    [ 'nothing', '400', '' ], [ 'rubbish', '400', 'x' x 5000 ],
    [ 'line ends', '400', "\r\n" x 5000 ], [ 'only its end', '400', $end ],
    [ 'hyphens', '400', '-' x 100000 ],
    [ 'nearly boundaries', '400', "\r\n--" x 30000 ],
    [ 'nearly the boundary', '400', $say . "\r\n--a" x 5000 ],
    [ 'no end', '400', $say ], [ 'cut in a header', '400', $part ],
    [ 'cut in a boundary', '400', "$say--" ],
    [ 'no headers', '400', "--b\r\n\r\nx\r\n$end" ],
    [ 'LF alone', '400', $say =~ s/\r//gr . "--b--\n" ],
    [ 'a NUL in a name', '400', "${part}\"a\0b\"\r\n\r\nx\r\n$end" ],
    [ 'a NUL in a field', '400', "${part}pipeline\r\n\r\nsa\0y\r\n$end" ],
    [ 'a folded header', '400', "${part}text;\r\n x=y\r\n\r\nsay\r\n$end" ],
    [ 'a long header', '4..', "--b\r\nX: " . 'x' x 100000 .
	"\r\n\r\nx\r\n$end" ],
    [ 'many headers', '4..', "--b\r\n" . "X: y\r\n" x 1000 .
	"\r\nx\r\n$end" ],
    [ 'many parts', '4..', "${part}text\r\n\r\n\r\n" x 1500 . $end ],
    [ 'another form in it', '4..', "${part}text\r\nContent-Type: " .
	"multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n$end" ],
    [ 'base64', '400', "${part}text\r\nContent-Transfer-Encoding: base64" .
	"\r\n\r\neA==\r\n$end" ],
    [ 'a name without end', '4..', "${part}\"" . 'n' x 200000 ],
    [ 'an escape without end', '400', "${part}\"a\\\r\n\r\nx\r\n$end" ],
    [ 'a long field', '413', "${part}text\r\n\r\n" . 'x' x 70000 .
	"\r\n$end" ],
    [ 'a long option', '400', "$say${part}text\r\n\r\n" . 'x' x 5000 .
	"\r\n$end" ],
    [ 'a file alone', '400', "${part}file; filename=x\r\n\r\nx\r\n$end" ],
    [ 'more after its end', '400', $say . $end . 'x' x 100000 ];

# ---- names of files ---------------------------------------------------------

# They are shown as they came, but for directories and control bytes.
my $grin = "\x{1f600}";
my %shown = (
	'../../../etc/passwd' => 'passwd', '/etc/shadow' => 'shadow',
	'C:\\\\boot.ini' => 'boot.ini', "a\tb" => 'a_b', 'a%22b' => 'a"b',
	'a%0d%0aX-Evil: 1' => 'a__X-Evil: 1',
	"\xe2\x80\xaegpj.exe" => "\x{202e}gpj.exe", 'a' x 600 => 'a' x 255,
	"\xf0\x9f\x98\x80" => $grin, "\xf0\x9f\x98\x80" x 100 => $grin x 63,
	"\xe4\xb8\xad" x 300 => "\x{4e2d}" x 85,
	map({ $_ => $_ } '..', '.', '.htaccess', 'a;b', "a'b", '%00', ' ',
	    '<script>alert(1)<', '$(id)`id`', 'con', '-rf', '%s%n',
	    'a|b&c', 'NULL', "'; DROP TABLE job; --", '*', '~', '?x#y'),
);
for my $name (sort keys %shown) {
	my $r = form("a file called $name", '202', $say .
	    "${part}file; filename=\"$name\"\r\n\r\nstep x\r\n$end");
	next unless $r && $r->{status} == 202;
	my $id = $r->json->{job_id};
	$r = $h->ask('one job', '200', 'GET', "/api/v1/jobs/$id");
	is($r->json->{name}, $shown{$name}, 'has that name');
	$h->ask('in a list', '200', 'GET', '/api/v1/jobs?limit=1');
	$h->ask('for others', '200', 'GET', "/jobs/$id");
}
form("a file called $_", '400',
    "$say${part}file; filename=\"$_\"\r\n\r\nx\r\n$end")
    for "\xff", "a\0b", "\xc3(", "\xed\xa0\x80", 'a"b';
opendir my $storage, $rig->dir . '/storage' or die $!;
is_deeply([ grep { !/^(\.|\.\.|uploads|work|results|run)$/ }
    readdir $storage ], [], 'nothing is where it does not belong');

# ---- Idempotency-Key --------------------------------------------------------

$h->ask('Idempotency-Key: ' . $_->[0], $_->[1], 'POST', '/api/v1/jobs',
    json => { pipeline => 'bare' }, headers => { 'Idempotency-Key' => $_->[0] })
    for [ '', '202' ], [ ' ', '202' ], [ 'a' x 200, '202' ],
    [ 'a' x 201, '400' ], [ 'a' x 7000, '400' ], [ "\xff", '400' ],
    [ "a\tb", '400' ], [ "a\x01b", '400' ], [ "a\x7f", '400' ],
    [ "' OR 1=1", '202' ], [ '%0d%0aX-Evil: 1', '202' ], [ '"', '202' ],
    [ '../..', '202' ];

$h->nothing_broke;
is_deeply([ $rig->sql('SELECT name FROM user') ], [ [ 'ana' ] ],
    'nobody has come to be');
done_testing;
