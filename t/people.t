# An administrator adds users and tokens on the host, before anything else
# runs; what is secret is printed once, and is never a word of a command.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new->start;
my $api = '/api/v1/auth';

# The command line: exit status, output, errors.
sub user { return $rig->millrace(ref $_[0] ? shift : (), 'user', @_) }
sub token { return $rig->millrace('token', @_) }

sub login {
	return $rig->post("$api/login", json => { name => $_[0],
	    password => $_[1] })->{status};
}

sub role_of {
	return $rig->get("$api/me", as => $_[0])->json->{role};
}

# ---- users ------------------------------------------------------------------

my ($exit, $out, $err) = user('add', 'ana', '--generate');
is($exit, 0, 'a user is added');
like($out, qr/^[a-z2-9]{5}(-[a-z2-9]{5}){3}\n\z/, 'with a password of ours');
is($err, '', 'and nothing else is said');
chomp(my $password = $out);
is(login('ana', $password), 200, 'it opens the door');
isnt((user('add', 'other', '--generate'))[1], $out, 'no two are alike');

($exit, $out, $err) = user({ stdin => "a word of mine\n" }, 'add',
    '--password-stdin', '--role', 'admin', 'Bob');
is("$exit$out$err", '0', 'another one, with a password from a pipe');
is(login('bob', 'a word of mine'), 200, 'is the whole line');
($exit) = user({ stdin => "last line" }, 'add', '--password-stdin', 'eve');
is(login('eve', 'last line'), 200, 'also when it does not end');

for (
	[ 1, 'there is one', '', 'add', '--generate', 'ANA' ],
	[ 1, '7 bytes, not 8', "seven77\n", 'add', '--password-stdin', 'x' ],
	[ 1, '1025 bytes', 'x' x 1025, 'add', '--password-stdin', 'x' ],
	[ 1, 'nothing on', '', 'add', '--password-stdin', 'x' ],
	[ 1, 'not UTF-8', "\xff" x 10, 'add', '--password-stdin', 'x' ],
	[ 1, 'not UTF-8', "tab\there and", 'add', '--password-stdin', 'x' ],
	[ 2, '"a b"', '', 'add', '--generate', 'a b' ],
	[ 2, '"/etc"', '', 'add', '--generate', '/etc' ],
	[ 2, '"root"', '', 'add', '--role', 'root', '--generate', 'x' ],
	[ 2, 'usage: .* user add', '', 'add', '--generate',
	    '--password-stdin', 'x' ],
	[ 2, 'usage: .* user add', '', 'add', '--generate', 'x', 'secret' ],
	[ 2, 'usage: .* user add', '', 'add', '--generate' ],
	[ 2, 'usage: .* user list', '', 'list', '--generate' ],
	[ 2, 'usage:', '', 'add', '--password', 'secret', 'x' ],
	[ 2, 'mean "disable"', '', 'disabl', 'ana' ],
	[ 2, 'usage:', '' ],
	[ 6, '"nobody"', '', 'role', 'nobody', 'admin' ],
	[ 6, '"nobody"', '', 'disable', 'nobody' ],
	[ 6, '"nobody"', '', 'password', '--generate', 'nobody' ],
	[ 2, '"boss"', '', 'role', 'ana', 'boss' ],
) {
	my ($status, $why, $stdin, @words) = @$_;
	my ($exit, $out, $err) = user({ stdin => $stdin }, @words);
	is($exit, $status, "user @words: refused" =~ s/[^ -~]/?/gr);
	like($err, qr/$why/, 'and told why');
	is($out, '', 'nothing else is printed');
}

($exit, $out) = user('list');
is($exit, 0, 'they are listed');
is(() = $out =~ /^/mg, 4, 'each on a line');
like($out, qr/^\d+ +user +- +\S+Z  ana$/m, 'ana');
like($out, qr/^\d+ +admin +- +\S+Z  Bob$/m, 'Bob');
unlike($out, qr/argon/, 'no hash among them');

# ---- tokens -----------------------------------------------------------------

($exit, $out, $err) = token('create', 'ana');
is($exit, 0, 'a token is made');
like($out, qr/^mr_[\w-]{43}\n\z/, 'printed alone');
is($err, '', 'and nothing is said');
chomp(my $ana = $out);
is(role_of($ana), 'user', 'it is hers');
chomp(my $bob = (token('create', 'bob', '--name', 'b', '--scope', 'read',
    '--scope', 'admin', '--expires', '90d'))[1]);
is(role_of($bob), 'admin', 'an administrator\'s');
is($rig->get('/api/v1/admin/users', as => $bob)->{status}, 200,
    'with the scope');

($exit, $out) = token('list', 'ana');
like($out, qr/^(\d+) +read,write +made \S+Z  used \S+Z +until - +cli$/,
    'it is listed');
my ($number) = $out =~ /^(\d+)/;
unlike($out, qr/mr_/, 'without its secret');
like((token('list', 'bob'))[1], qr/read,admin .* until \S+Z +b$/,
    'each to his own');

for (
	[ 6, '"nobody"', 'create', 'nobody' ],
	[ 6, '"nobody"', 'list', 'nobody' ],
	[ 6, "has no $number", 'revoke', 'bob', $number ],
	[ 2, '"one"', 'revoke', 'bob', 'one' ],
	[ 2, '"all"', 'create', 'ana', '--scope', 'all' ],
	[ 2, '"soon"', 'create', 'ana', '--expires', 'soon' ],
	[ 2, '"0"', 'create', 'ana', '--expires', '0' ],
	[ 2, '64 bytes', 'create', 'ana', '--name', 'x' x 65 ],
	[ 2, '64 bytes', 'create', 'ana', '--name', '' ],
	[ 2, 'usage: .* token create', 'create' ],
	[ 2, 'usage: .* token create', 'create', 'ana', '--role', 'admin' ],
) {
	my ($status, $why, @words) = @$_;
	my ($exit, $out, $err) = token(@words);
	is($exit, $status, "token @words: refused");
	like($err, qr/$why/, 'and told why');
	is($out, '', 'nothing is printed');
}
is((token('revoke', 'ana', $number))[0], 0, 'it is revoked');
is($rig->get("$api/me", as => $ana)->{status}, 401, 'and not good any more');

# ---- what is secret, and what is away ---------------------------------------

unlike(join("\n", map { join '|', @$_ } $rig->sql('SELECT password FROM user'),
    $rig->sql('SELECT HEX(hash) FROM token')), qr/\Q$password\E|\Q$ana\E/,
    'neither is kept as it is');

is(system("'$rig->{build}/millrace' -c '" . $rig->dir . "/millrace.conf'" .
    ' user list >/dev/full 2>&1') >> 8, 1, 'what cannot be printed is an error');

$rig->stop('mariadb');
is((user('list'))[0], 69, 'without a database it says so');
is((user('add', '--generate', 'late'))[1], '',
    'and prints no password that is nobody\'s');
$rig->start_program('mariadb');
$rig->wait_for(sub { (user('list'))[0] == 0 }, 20, 'the database is back');
unlike((user('list'))[1], qr/late/, 'nobody was added');

done_testing;
