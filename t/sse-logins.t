# A stream lives as long as the login or the token that opened it: one that is
# revoked is off within five seconds, and all others stay.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new->conf('sse', tick => '50ms')->start;
my $ana = $rig->user('ana');
my $job = Puppet->new($rig, owner => $ana);
my $path = '/api/v1/jobs/' . $job->id . '/stream';

sub login {
	my $r = $rig->post('/api/v1/auth/login', json =>
	    { name => 'ana', password => $ana->{password} });
	die "login: $r->{status} $r->{body}\n" if $r->{status} != 200;
	my ($cookie) = map { $_->[1] =~ /^(millrace_session=[^;]+)/ } grep {
	    $_->[0] eq 'set-cookie' } @{ $r->{all} };
	return { %{ $r->json }, cookie => $cookie };
}

# By every way there is; the name tells which.
sub open_all {
	my ($login, $token) = @_;
	my $ticket = $rig->post('/api/v1/auth/tickets',
	    as => $login->{access_token}, json => { job_id => $job->id })
	    ->json->{ticket};
	my %s = (
		'access token' => $rig->stream($path,
		    as => $login->{access_token}),
		cookie => $rig->stream($path,
		    headers => { Cookie => $login->{cookie} }),
		ticket => $rig->stream("$path?ticket=$ticket"),
		'API token' => $rig->stream($path, as => $token),
	);
	is($s{$_}->next->{json}{status}, 'running', "a stream by $_")
	    for sort keys %s;
	return %s;
}

sub new_token {
	my ($name) = @_;
	my ($exit, $out) = $rig->millrace('token', 'create', '--name', $name,
	    'ana');
	return $out =~ /(mr_\S+)/ ? $1 : die "no token: $out\n";
}

my $second = new_token('second');
my $one = login();
my $two = login();
my %one = open_all($one, $ana->{token});
my %two = open_all($two, $second);

# Those of NAMES end, in time; the others get the next event.
sub only_these_end {
	my ($what, $ending, $staying) = @_;
	my $end = time + 5;
	for (@$ending) {
		my $left = $end - time;
		is(eval { $_->next(timeout => $left > 0.1 ? $left : 0.1) },
		    undef, "$what: ends");
		is($@, '', 'in time');
	}
	my $seq = $job->event(message => $what);
	is($_->next->{id}, $seq, "$what: another one stays") for @$staying;
}

my ($exit, $list) = $rig->millrace('token', 'list', 'ana');
my ($number) = $list =~ /^\s*(\d+)\b.*\bsecond\b/m;
($exit) = $rig->millrace('token', 'revoke', 'ana', $number);
is($exit, 0, 'a token is revoked');
only_these_end('a token revoked', [ delete $two{'API token'} ],
    [ values %one, values %two ]);

is($rig->post('/api/v1/auth/logout', as => $two->{access_token})->{status},
    204, 'somebody signs out');
only_these_end('signed out', [ values %two ], [ values %one ]);
is($rig->get($path, as => $two->{access_token})->{status}, 401,
    'a reconnect learns why');

($exit) = $rig->millrace('user', 'disable', 'ana');
is($exit, 0, 'a user is disabled');
only_these_end('disabled', [ values %one ], []);
like($rig->log('sse'), qr/closed: the login is not valid any more/,
    'the log says why');
unlike($rig->log('sse'), qr/mr_|ticket=|\Q$one->{access_token}\E/,
    'and tells no secrets');

done_testing;
