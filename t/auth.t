# Somebody signs in, goes on, and signs out; what they hold says so at once.

use strict;
use warnings;

use MIME::Base64 qw(encode_base64url decode_base64url);
use POSIX ();
use Rig;
use Test::More;

my $rig = Rig->new->conf('site', registration => 'yes',
    trusted_proxies => '127.0.0.1')->start;
my $api = '/api/v1/auth';

# A client of its own network, so that what one gets wrong is not another's.
my $nets = 0;
sub from { $nets++; return ('X-Forwarded-For' => "10.1.$nets.7") }

sub login {
	my ($name, $password, %headers) = @_;
	%headers = from() unless %headers;
	return $rig->post("$api/login", headers => \%headers,
	    json => { name => $name, password => $password });
}

sub bearer { return { headers => { from(), Authorization => "Bearer $_[0]" } } }
sub me { return $rig->get("$api/me", %{ bearer($_[0]) })->{status} }

sub refresh {
	return $rig->post("$api/refresh", headers => { from() },
	    json => { refresh_token => $_[0] });
}

# Cookies of an answer: name => [ value, attributes ].
sub cookies {
	my ($r) = @_;
	my %c;
	for (grep { $_->[0] eq 'set-cookie' } @{ $r->{all} }) {
		my ($name, $value, $rest) = $_->[1] =~ /^([^=]+)=([^;]*); (.*)$/
		    or die "not a cookie: $_->[1]";
		$c{$name} = [ $value, { map { lc s/=.*//r => s/^[^=]*=?//r }
		    split /; /, $rest } ];
	}
	return \%c;
}

# A job of a user, as its row alone.
my $jobs = 0;
sub job_of {
	my ($user_id) = @_;
	my $id = sprintf '0192f0c1-7b2a-7cde-8f01-%012x', ++$jobs;
	$rig->sql('INSERT INTO job (id, user_id, pipeline, queue, state, seq,' .
	    ' changed_at, created_at) VALUES (?, ?, ?, ?, ?, 1,' .
	    ' UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))', pack('H*', $id =~ s/-//gr),
	    $user_id, 'none', 'none', 'pending');
	return $id;
}

# ---- becoming a user --------------------------------------------------------

my %ana = (name => 'ana', password => 'walnut-kettle-9');
{
	my $r = $rig->post("$api/register", json => \%ana);
	is($r->{status}, 201, 'a stranger becomes a user');
	is_deeply([ sort keys %{ $r->json } ], [qw(id name role)],
	    'and is told id, name and role');
	is($r->json->{role}, 'user', 'of which there is only one');
	$ana{id} = $r->json->{id};
	like($ana{id}, qr/^[1-9]\d*$/, 'the id is text');
	unlike(($rig->sql('SELECT password FROM user'))[0][0], qr/walnut/,
	    'the password is not kept');
}

# A name that is taken, also in other letters, and one that nobody may have.
my @refused = map {
	my $r = $rig->post("$api/register", headers => { from() },
	    json => { name => $_, password => 'walnut-kettle-9' });
	is($r->{status}, 409, "$_ cannot be had");
	my $body = $r->json;
	delete $body->{request_id};
	$body->{detail} =~ s/"\Q$_\E"/NAME/ or fail('names the name');
	$body;
} qw(ana ANA admin Root);
is_deeply($_, $refused[0], 'and nothing says why') for @refused[1 .. $#refused];

for (
	[ { name => 'bob' },				'password: missing' ],
	[ { password => 'long enough' },		'name: missing' ],
	[ { name => 'bob', password => 'short' },	'password: 5 bytes' ],
	[ { name => 'bob', password => 'x' x 1025 },	'password: 1025 bytes' ],
	[ { name => 'bob', password => 12345678 },	'password: not a string' ],
	[ { name => 'bob', password => undef },		'password: not a string' ],
	[ { name => "bob\n", password => 'long enough' }, 'name: has a control' ],
	[ { name => 'b b', password => 'long enough' },	'name: "b b"' ],
	[ { name => '-bob', password => 'long enough' }, 'name: "-bob"' ],
	[ { name => "b\x{f6}b", password => 'long enough' }, 'name: "b' ],
	[ { name => '', password => 'long enough' },	'name: ""' ],
	[ { name => 'b' x 191, password => 'long enough' }, 'name: 191 bytes' ],
	[ { name => 'bob', password => 'long enough', role => 'admin' },
	    '"role"' ],
	[ [ 'bob' ],					'body: not a JSON object' ],
) {
	my $r = $rig->post("$api/register", headers => { from() },
	    json => $_->[0]);
	is($r->{status}, 400, "refused: $_->[1]");
	like($r->json->{detail}, qr/^\Q$_->[1]\E/, 'and told so');
}

# ---- signing in -------------------------------------------------------------

my $in = login($ana{name}, $ana{password});
{
	is($in->{status}, 200, 'ana signs in');
	my $j = $in->json;
	is_deeply([ sort keys %$j ], [qw(access_token expires_in
	    refresh_token token_type user)], 'the answer has all members');
	is($j->{token_type}, 'Bearer', 'token_type');
	is($j->{expires_in}, 600, 'expires_in');
	is_deeply($j->{user}, { id => $ana{id}, name => 'ana',
	    role => 'user' }, 'user');
	is($in->{headers}{'cache-control'}, 'no-store', 'it is not to be kept');

	my @part = split /\./, $j->{access_token};
	my $claims = JSON::PP->new->utf8->decode(decode_base64url($part[1]));
	is_deeply([ sort keys %$claims ], [qw(aud exp iat iss jti nbf role sid
	    sub use ver)], 'the token has its claims');
	is($claims->{sub}, $ana{id}, 'its subject is the user');
	like(decode_base64url($part[1]), qr/"sub":"\d/, 'as a string');
	is($claims->{exp} - $claims->{iat}, 600, 'it lives ten minutes');
	is(login('ANA', $ana{password})->{status}, 200,
	    'case of a name does not count');

	my $r = $rig->get("$api/me", %{ bearer($j->{access_token}) });
	is_deeply($r->json, { id => $ana{id}, name => 'ana', role => 'user',
	    proof => 'jwt' }, 'she is who she is');
	is($r->{headers}{'cache-control'}, 'no-store', 'nor is that');
}

# An unknown name, a wrong password, and a disabled account look the same.
{
	$rig->user('dora', password => 'walnut-kettle-9');
	$rig->millrace('user', 'disable', 'dora');
	my @wrong = map { login(@$_) } [ 'ana', 'wrong password' ],
	    [ 'nobody', 'wrong password' ], [ 'dora', 'walnut-kettle-9' ],
	    [ 'no such name!', 'x' ], [ '', '' ];
	for my $r (@wrong) {
		is($r->{status}, 401, 'refused');
		my $body = $r->json;
		delete $body->{request_id};
		my @head = grep { $_->[0] !~ /^(x-request-id|date)$/ }
		    @{ $r->{all} };
		$r = [ $body, \@head ];
	}
	is_deeply($_, $wrong[0], 'with the same words') for @wrong[1 .. 4];
}

# ---- the session cookie -----------------------------------------------------

{
	my $c = cookies($in);
	is_deeply([ sort keys %$c ], [qw(millrace_device millrace_session)],
	    'on loopback over plain HTTP cookies have plain names');
	is_deeply($c->{millrace_session}[1], { httponly => '',
	    samesite => 'Strict', path => '/', 'max-age' => 30 * 86400 },
	    'and their attributes');

	for ([ 'over TLS', 'X-Forwarded-Proto' => 'https' ],
	    [ 'on another host', Host => 'jobs.example.org' ]) {
		my ($what, %more) = @$_;
		$c = cookies(login('ana', $ana{password}, from(), %more));
		is_deeply([ sort keys %$c ], [qw(__Host-millrace
		    __Host-millrace-device)], "$what they are __Host-");
		is_deeply($c->{'__Host-millrace'}[1], { httponly => '',
		    samesite => 'Strict', secure => '', path => '/',
		    'max-age' => 30 * 86400 }, "$what they are Secure");
		cmp_ok(length($_->[0]), '<', 256, 'short') for values %$c;
	}
	my $r = $rig->get("$api/me", headers => { from(),
	    Cookie => "__Host-millrace=$c->{'__Host-millrace'}[0]" });
	is($r->json->{proof}, 'cookie', 'a cookie is a proof');
	is($rig->get("$api/me", headers => { from(), Cookie =>
	    "millrace_session=$_" })->{status}, 401, 'rubbish is none')
	    for '', 'x', 'sc_' . 'A' x 43, $in->json->{refresh_token},
	    $in->json->{access_token};
}

# ---- refreshing -------------------------------------------------------------

{
	my $old = $in->json->{refresh_token};
	my $r = refresh($old);
	is($r->{status}, 200, 'a refresh token is good once');
	my $new = $r->json->{refresh_token};
	isnt($new, $old, 'it is replaced');
	isnt($r->json->{access_token}, $in->json->{access_token},
	    'there is a new access token');
	is(me($r->json->{access_token}), 200, 'which is good');
	is(me($in->json->{access_token}), 200, 'as is the one before');

	$r = refresh($old);
	is($r->{status}, 200, 'at once it is good again');
	is($r->json->{refresh_token}, $new, 'and gets the same answer');

	# Ten seconds later it was stolen.
	my $other = login('ana', $ana{password})->json;
	$rig->sql('UPDATE login SET rotated_at = rotated_at -' .
	    ' INTERVAL 11 SECOND');
	is(refresh($old)->{status}, 401, 'later it is not');
	is(refresh($new)->{status}, 401, 'and its login is over');
	is(me($r->json->{access_token}), 401, 'access tokens as well');
	is(me($other->{access_token}), 200, 'other logins are not');
	like($rig->log('auth'), qr/refresh: a token of user $ana{id} "ana" came twice/,
	    'the log has it');

	is(refresh($_)->{status}, 401, 'rubbish is refused')
	    for '', 'x', 'rt_' . 'A' x 43, $other->{access_token}, 'x' x 1024;
	is($rig->post("$api/refresh", json => {})->{status}, 400, 'nothing');

	# An older one than the last is stolen whenever it comes.
	$r = login('ana', $ana{password})->json;
	my $second = refresh($r->{refresh_token})->json;
	my $third = refresh($second->{refresh_token})->json;
	is(refresh($r->{refresh_token})->{status}, 401, 'the last but one');
	is(refresh($third->{refresh_token})->{status}, 401, 'ends it');
}

# Many at the same moment: one new token, and the login goes on.
{
	my $r = login('ana', $ana{password})->json;
	my @pipes = map {
		pipe my $read, my $write or die;
		if ((fork // die) == 0) {
			my $a = refresh($r->{refresh_token});
			print $write "$a->{status} ",
			    $a->json->{refresh_token} // '', "\n";
			close $write;
			POSIX::_exit(0);
		}
		close $write;
		$read;
	} 1 .. 16;
	my %answers;
	$answers{ readline $_ }++ for @pipes;
	wait for @pipes;
	is_deeply([ values %answers ], [16], 'sixteen at once get one answer');
	my ($next) = (keys %answers)[0] =~ /^200 (rt_\S{43})$/;
	ok($next, 'which is a token');
	is(refresh($next)->{status}, 200, 'and good');
	is(($rig->sql('SELECT COUNT(*) FROM spent s JOIN login l ON l.id =' .
	    ' s.login_id WHERE l.refresh = UNHEX(SHA2(?, 256))',
	    refresh($next)->json->{refresh_token}))[0][0], 2,
	    'it was replaced once by them, and once now');
}

# A login ends by itself.
{
	my $r = login('ana', $ana{password})->json;
	$rig->sql('UPDATE login SET expires_at = UTC_TIMESTAMP(3)');
	is(me($r->{access_token}), 401, 'a login that lived its life is over');
	is(refresh($r->{refresh_token})->{status}, 401, 'for good');
	$r = login('ana', $ana{password})->json;
	$rig->sql('UPDATE login SET used_at = used_at - INTERVAL 8 DAY');
	is(me($r->{access_token}), 401, 'one that nobody used, too');
	is(refresh($r->{refresh_token})->{status}, 401, 'for good');
	$r = login('ana', $ana{password})->json;
	$rig->sql('UPDATE login SET used_at = used_at - INTERVAL 6 DAY');
	is(me($r->{access_token}), 200, 'a week is its time');
	is(($rig->sql('SELECT COUNT(*) FROM login WHERE used_at >' .
	    ' UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE'))[0][0], 1,
	    'use is noted');
}

# ---- tickets ----------------------------------------------------------------

sub ticket {
	my ($proof, $job) = @_;
	return $rig->post("$api/tickets", %{ bearer($proof) },
	    json => { job_id => $job });
}

sub stream {
	my ($job, $ticket) = @_;
	return $rig->stream("/api/v1/jobs/$job/stream?ticket=$ticket",
	    headers => { from() })->{status};
}

my $admin = $rig->user('boss', role => 'admin');
my $bob = $rig->user('bob');
{
	my $ana = login('ana', $ana{password})->json->{access_token};
	my $job = job_of($ana{id});
	my $other = job_of(999);
	my $r = ticket($ana, $job);
	is($r->{status}, 201, 'a ticket for a job of her own');
	is($r->json->{job_id}, $job, 'says for which');
	my $t = $r->json->{ticket};
	like($t, qr/^[\w-]{112}$/, 'and needs no escapes in a URL');
	is(stream($job, $t), 200, 'the stream takes it') for 1, 2;

	is(stream($other, $t), 404, 'not for another job');
	is(stream(job_of($ana{id}), $t), 404, 'not even for one of her own');
	is(stream($job, $t =~ s/^./$& eq 'A' ? 'B' : 'A'/er), 401,
	    'not when it was changed');
	is(stream($job, ''), 401, 'nothing is no ticket');
	is(stream($job, $ana), 401, 'nor is an access token');
	is(me($t), 401, 'and a ticket is no token');
	is($rig->get("/api/v1/jobs/$job/status?ticket=$t",
	    headers => { from() })->{status}, 401, 'only streams take it');

	my @no = map { ticket($ana, $_) } $other,
	    '0192f0c1-7b2a-7cde-8f01-ffffffffffff';
	is($_->{status}, 404, 'no ticket for a job that is not hers') for @no;
	is($no[0]->json->{detail}, $no[1]->json->{detail},
	    'be there one or not');
	is(ticket($ana, $_)->{status}, 400, "\"$_\" is no id")
	    for '', 'x', uc $job, "$job ";
	is(ticket($ana, undef)->{status}, 400, 'null is no id');
	is(ticket($admin->{token}, $other)->{status}, 201,
	    'an administrator gets one for every job');
	is(ticket($ana, job_of(0))->{status}, 201,
	    'everybody does for a job of nobody');

	# It is good for ten more minutes when the job has ended.
	my $end = sub { $rig->sql('UPDATE job SET state = ?, completed_at =' .
	    " UTC_TIMESTAMP(3) - INTERVAL $_[0] MINUTE WHERE id = ?",
	    'completed', pack('H*', $job =~ s/-//gr)) };
	$end->(9);
	is(stream($job, $t), 200, 'a ticket outlives its job a little');
	$end->(11);
	is(stream($job, $t), 401, 'and no longer');
}

# ---- leaving ----------------------------------------------------------------

# What one login holds: each is a way to ask, and its status.
sub hold {
	my ($name, $password) = @_;
	my $r = login($name, $password);
	my $j = $r->json;
	my $job = job_of($j->{user}{id});
	my $ticket = ticket($j->{access_token}, $job)->json->{ticket};
	my $cookie = cookies($r)->{millrace_session}[0];
	return {
		access => $j->{access_token},
		cookie => $cookie,
		stream => $rig->stream("/api/v1/jobs/$job/stream",
		    as => $j->{access_token}, headers => { from() }),
		ask => sub { return {
			access => me($j->{access_token}),
			cookie => $rig->get("$api/me", headers => { from(),
			    Cookie => "millrace_session=$cookie" })->{status},
			ticket => stream($job, $ticket),
			refresh => refresh($j->{refresh_token})->{status},
		} },
	};
}

# Its stream ends within five seconds, too.
sub is_over {
	my ($held, $what) = @_;
	is_deeply($held->{ask}->(), { access => 401, cookie => 401,
	    ticket => 401, refresh => 401 }, "$what: nothing of it is good");
	my $began = time;
	eval { 1 while $held->{stream}->next(timeout => 6) };
	is($@, '', "$what: its stream ends");
}

my %good = (access => 200, cookie => 200, ticket => 200, refresh => 200);
{
	my $one = hold('ana', $ana{password});
	my $two = hold('ana', $ana{password});
	is_deeply($one->{ask}->(), \%good, 'all of a login is good');

	my $r = $rig->post("$api/logout", %{ bearer($one->{access}) });
	is($r->{status}, 204, 'sign out');
	is_deeply(cookies($r)->{millrace_session}[1]{'max-age'}, 0,
	    'the cookie goes');
	is_over($one, 'signed out');
	is_deeply($two->{ask}->(), \%good, 'the other login goes on');

	my $three = hold('ana', $ana{password});
	$r = $rig->post("$api/logout?everywhere=1", headers => { from(),
	    Cookie => "millrace_session=$three->{cookie}",
	    'Sec-Fetch-Site' => 'same-origin' });
	is($r->{status}, 204, 'sign out everywhere');
	is_over($two, 'signed out elsewhere');
	is_over($three, 'signed out here');
}

sub password {
	my ($proof, $old, $new) = @_;
	return $rig->post("$api/password", %{ bearer($proof) },
	    json => { password => $old, new_password => $new });
}

{
	my $one = hold('ana', $ana{password});
	my $r = password($one->{access}, 'wrong password', 'gravel-teapot-4');
	is($r->{status}, 401, 'a new password needs the old one');
	$r = password($one->{access}, $ana{password}, 'short');
	is($r->{status}, 400, 'and has to be long enough');
	like($r->json->{detail}, qr/^new_password: 5 bytes/, 'it says so');
	is(password($one->{access}, $ana{password}, 'gravel-teapot-4')
	    ->{status}, 204, 'it is changed');
	is_over($one, 'another password');
	is(login('ana', $ana{password})->{status}, 401, 'the old one is wrong');
	$ana{password} = 'gravel-teapot-4';
	is(login('ana', $ana{password})->{status}, 200, 'the new one is right');
}

# What an administrator does on the host.
for (
	[ 'another role',	'role', 'ana', 'admin' ],
	[ 'the old role',	'role', 'ana', 'user' ],
	[ 'disabled',		'disable', 'ana' ],
) {
	my ($what, @words) = @$_;
	my $one = hold('ana', $ana{password});
	is(($rig->millrace('user', @words))[0], 0, "millrace user @words");
	is_over($one, $what);
}
is(login('ana', $ana{password})->{status}, 401, 'disabled, she is nobody');
$rig->millrace('user', 'enable', 'ana');
is(login('ana', $ana{password})->{status}, 200, 'enabled, she is back');
{
	my $one = hold('ana', $ana{password});
	my ($exit, $out) = $rig->millrace('user', 'password', '--generate',
	    'ana');
	is($exit, 0, 'an administrator makes a new password');
	is_over($one, 'a new password');
	chomp($ana{password} = $out);
	is(login('ana', $ana{password})->{status}, 200, 'which is the word');
}

# ---- API tokens -------------------------------------------------------------

sub token {
	my ($proof, %body) = @_;
	return $rig->post("$api/tokens", %{ bearer($proof) }, json => \%body);
}

{
	my $ana = login('ana', $ana{password})->json->{access_token};
	my $r = token($ana, name => 'backup', scopes => ['read']);
	is($r->{status}, 201, 'a token for scripts');
	my $t = $r->json;
	is_deeply([ sort keys %$t ], [qw(created_at expires_at id name scopes
	    token used_at)], 'its members');
	is_deeply([ @$t{qw(name scopes expires_at used_at)} ],
	    [ 'backup', ['read'], undef, undef ], 'their values');
	like($t->{token}, qr/^mr_[\w-]{43}$/, 'its secret');
	is(($rig->sql('SELECT COUNT(*) FROM token WHERE hash = UNHEX(SHA2(?,' .
	    ' 256))', $t->{token}))[0][0], 1, 'is kept as a hash');

	$r = $rig->get("$api/me", %{ bearer($t->{token}) });
	is($r->json->{proof}, 'api', 'it says who she is');
	my $list = $rig->get("$api/tokens", %{ bearer($ana) })->json->{items};
	is(scalar @$list, 1, 'it is listed');
	is($list->[0]{id}, $t->{id}, 'by its number');
	ok(!exists $list->[0]{token}, 'without its secret');
	ok($list->[0]{used_at}, 'with its last use');

	is(ticket($t->{token}, job_of($ana{id}))->{status}, 403,
	    'what only reads makes nothing');
	my $job = job_of($ana{id});
	my $write = token($ana, name => 'w', scopes => [qw(read write)],
	    expires_in => 3600)->json;
	ok($write->{expires_at}, 'one that ends');
	my $ticket = ticket($write->{token}, $job)->json->{ticket};
	is(stream($job, $ticket), 200, 'a ticket by a token');

	for (
		[ 'make another',	'POST', 'tokens', { name => 'x',
		    scopes => ['read'] } ],
		[ 'revoke one',		'DELETE', "tokens/$t->{id}" ],
		[ 'change the password', 'POST', 'password', {
		    password => $ana{password},
		    new_password => 'long enough' } ],
		[ 'sign out',		'POST', 'logout' ],
	) {
		my ($what, $method, $path, $json) = @$_;
		is($rig->request($method, "$api/$path",
		    %{ bearer($write->{token}) }, $json ? (json => $json)
		    : ())->{status}, 403, "a token cannot $what");
	}

	for (
		[ 'scopes: missing',	name => 'x' ],
		[ 'scopes: none',	name => 'x', scopes => [] ],
		[ 'scopes: "all"',	name => 'x', scopes => ['all'] ],
		[ 'scopes: "1"',	name => 'x', scopes => [1] ],
		[ 'scopes: not an',	name => 'x', scopes => 'read' ],
		[ 'name: missing',	scopes => ['read'] ],
		[ 'name: empty',	name => '', scopes => ['read'] ],
		[ 'name: 65 bytes',	name => 'x' x 65, scopes => ['read'] ],
		[ 'expires_in: 59',	name => 'x', scopes => ['read'],
		    expires_in => 59 ],
		[ 'expires_in: -1',	name => 'x', scopes => ['read'],
		    expires_in => -1 ],
		[ 'expires_in: "90"',	name => 'x', scopes => ['read'],
		    expires_in => '90' ],
		[ 'expires_in: 90.5',	name => 'x', scopes => ['read'],
		    expires_in => 90.5 ],
		[ 'expires_in: 1000000', name => 'x', scopes => ['read'],
		    expires_in => 10000000000 ],
		[ '"user_id"',		name => 'x', scopes => ['read'],
		    user_id => 1 ],
	) {
		my ($detail, %body) = @$_;
		my $r = token($ana, %body);
		is($r->{status}, 400, "refused: $detail");
		like($r->json->{detail}, qr/^\Q$detail\E/, 'and told so');
	}
	is(token($ana, name => 'x', scopes => ['admin'])->{status}, 403,
	    'a user cannot make an administrator\'s token');

	$rig->sql('UPDATE token SET expires_at = UTC_TIMESTAMP(3) WHERE id = ?',
	    $write->{id});
	is(me($write->{token}), 401, 'a token ends');
	is(stream($job, $ticket), 401, 'and the tickets it made');

	my $path = "$api/tokens/$t->{id}";
	my $boss = login('boss', $admin->{password})->json->{access_token};
	is($rig->delete($path, %{ bearer($boss) })->{status}, 404,
	    'it is nobody else\'s to revoke');
	is(me($t->{token}), 200, 'it is still good');
	my $s = $rig->stream("/api/v1/jobs/$job/stream", as => $t->{token},
	    headers => { from() });
	is($s->{status}, 200, 'it follows a job');
	is($rig->delete($path, %{ bearer($ana) })->{status}, 204, 'revoked');
	is(me($t->{token}), 401, 'it is not');
	eval { 1 while $s->next(timeout => 6) };
	is($@, '', 'its stream ends');
	is($rig->delete($path, %{ bearer($ana) })->{status}, 404, 'gone');
	is($rig->delete("$api/tokens/$_", %{ bearer($ana) })->{status}, 400,
	    "$_ is no number") for qw(x -1 1x), '99999999999999999999';

	# An administrator's token has the rights of its scopes, no more.
	my $plain = token($boss, name => 'p', scopes => [qw(read write)])->json;
	is($rig->get('/api/v1/admin/users', %{ bearer($plain->{token}) })
	    ->{status}, 403, 'without the scope it is no administrator\'s');
	my $full = token($boss, name => 'f', scopes => [qw(read admin)])->json;
	is($rig->get('/api/v1/admin/users', %{ bearer($full->{token}) })
	    ->{status}, 200, 'with it, it is');
	is($rig->get('/api/v1/admin/users', %{ bearer($bob->{token}) })
	    ->{status}, 403, 'a user\'s is not');
}

# ---- those who try too often ------------------------------------------------

# The name counts wherever they come from.
{
	my @status = map { login('bob', 'wrong password')->{status} } 1 .. 7;
	is_deeply(\@status, [ (401) x 5, 429, 429 ],
	    'after five wrong passwords there is a pause');
	my $r = login('BOB', $bob->{password});
	is($r->{status}, 429, 'for the right one, too');
	cmp_ok($r->{headers}{'retry-after'}, '>', 0, 'it says how long');
	cmp_ok($r->{headers}{'retry-after'}, '<=', 30, 'half a minute');
	is(login('ana', $ana{password})->{status}, 200, 'others go on');

	$rig->sql('UPDATE throttle SET until = UTC_TIMESTAMP(3)');
	is(login('bob', 'wrong password')->{status}, 401, 'one more try');
	cmp_ok(login('bob', $bob->{password})->{headers}{'retry-after'}, '>',
	    30, 'and a longer pause');
	$rig->sql('UPDATE throttle SET until = UTC_TIMESTAMP(3) -' .
	    ' INTERVAL 16 MINUTE');
	is(login('bob', $bob->{password})->{status}, 200,
	    'in the end it is forgotten');
}

# The network counts whatever the name.
{
	my %net = ('X-Forwarded-For' => '192.0.2.17');
	my @status = map { login("guess$_", 'wrong password', %net)
	    ->{status} } 1 .. 6;
	is_deeply(\@status, [ (401) x 5, 429 ], 'five names are enough');
	is(login('ana', $ana{password}, 'X-Forwarded-For' => '192.0.2.99')
	    ->{status}, 429, 'for the whole network');
	my @six = map { login("guess$_", 'wrong password', 'X-Forwarded-For' =>
	    "2001:db8:1:2::$_")->{status} } 1 .. 6;
	is_deeply(\@six, [ (401) x 5, 429 ], 'of whichever kind');
}

# Good ones are not counted, and a device that is known is counted apart.
{
	$rig->sql('DELETE FROM throttle');
	my %net = from();
	my @good = map { login('bob', $bob->{password}, %net)->{status} }
	    1 .. 7;
	is_deeply(\@good, [ (200) x 7 ], 'who is right may be so often');
	my $known = cookies(login('bob', $bob->{password}))
	    ->{millrace_device}[0];
	# No more than it takes: nginx has a limit of its own, for a network.
	my $guesses = 0;
	1 until login('bob', 'wrong password', %net)->{status} == 429 ||
	    ++$guesses == 20;
	is(login('bob', $bob->{password}, %net)->{status}, 429,
	    'somebody guesses at bob');
	%net = (%net, Cookie => "millrace_device=$known");
	is(login('bob', $bob->{password}, %net)->{status}, 200,
	    'who still gets in where he was before');
	is(login('ana', $ana{password}, %net)->{status}, 429,
	    'nobody else does');
	my @status = map { login('bob', 'wrong password', %net)->{status} }
	    1 .. 6;
	is_deeply(\@status, [ (401) x 5, 429 ], 'nor whoever has that device');
}

# ---- words that are no secrets ----------------------------------------------

my $log = join '', map { $rig->log($_) } qw(auth status sse);
unlike($log, qr/\Q$_\E/, 'no secret is in a log') for $ana{password},
    $bob->{password}, 'wrong password', $bob->{token}, 'rt_', 'sc_', 'eyJ';
like($log, qr/login: refused: "bob" from 10\.1\./, 'who was refused, is');

done_testing;
