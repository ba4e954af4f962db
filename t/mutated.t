# A good session, each request of it broken at random, a few thousand times:
# whatever comes of it, it is no fault of ours, it is answered in time, and
# everything works afterwards.
#
# SEED names another one of these, REQUESTS how many are sent.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{SEED} // 1;
my $requests = $ENV{REQUESTS} // 4000;
my $at_once = 12;

# Seconds that an answer may take, and that more of a request is waited for.
my ($in_time, $moment) = (3, 0.05);

my $rig = Rig->new
    ->conf('site', registration => 'yes', anonymous => 'yes',
	origins => 'https://app.example')
    ->conf('upload', max_size => '1m')
    ->pipeline('say', <<'EOT')
accept	*/*
option	text	text
option	depth	number	3 1 9
stage	say	100	10s	parrot
EOT
    ->stage('parrot', "#!/bin/sh\ncat input >&3\n")
    ->with_video
    ->start;
my $ana = $rig->user('ana');
my $job = $rig->submit('say', as => $ana, content => "progress 50 half\n");
$rig->ended($job, as => $ana);

# ---- the session ------------------------------------------------------------

my @session;

sub record {
	my ($method, $path, %o) = @_;
	my ($head, $body) = Rig::_head($rig, $method, $path, \%o);
	push @session, $head . $body;
}

my $login = $rig->post('/api/v1/auth/login', json =>
    { name => 'ana', password => $ana->{password} });
my ($cookie) = $login->{headers}{'set-cookie'} =~ /(millrace_session=[^;]+)/;
my $ticket = $rig->post('/api/v1/auth/tickets', as => $ana,
    json => { job_id => $job })->json->{ticket};
my $access = $login->json->{access_token};

record('POST', '/api/v1/auth/register',
    json => { name => 'bob', password => 'walnut-kettle-9' });
record('POST', '/api/v1/auth/login',
    json => { name => 'ana', password => $ana->{password} });
record('POST', '/api/v1/auth/refresh',
    json => { refresh_token => $login->json->{refresh_token} });
record('GET', '/api/v1/auth/me', as => $access);
record('GET', '/api/v1/auth/me', headers => { Cookie => $cookie });
record('POST', '/api/v1/auth/tickets', as => $access,
    json => { job_id => $job });
record('POST', '/api/v1/auth/tokens', as => $access,
    json => { name => 'ci', scopes => ['read'], expires_in => 3600 });
record('GET', '/api/v1/auth/tokens', as => $access);
record('DELETE', '/api/v1/auth/tokens/77', as => $access);
record('POST', '/api/v1/jobs', as => $ana,
    headers => { 'Idempotency-Key' => 'once-1' }, form => [
	pipeline => 'say', depth => 5, file => { content => "step x\n",
	filename => 'x.txt', type => 'text/plain' } ]);
record('POST', '/api/v1/jobs', as => $ana, json =>
    { pipeline => 'say', options => { text => 'x', depth => 4 } });
record('POST', '/process', form => [ key => 'a/b.mp4', video => {
    filename => 'b.mp4', type => 'video/mp4', content => 'x' x 300 } ]);
record('GET', "/api/v1/jobs?limit=5&status=completed&pipeline=say&q=x" .
    '&since=2026-01-01T00:00:00Z', as => $ana);
record('GET', "/api/v1/jobs/$job$_", as => $ana)
    for '', '/status', '/events?after=1&limit=5', '/steps', '/logs',
    '/artifacts', '/artifacts/result.bin';
record('GET', "/api/v1/jobs/$job/status", as => $ana,
    headers => { 'If-None-Match' => '"0123456789abcdef"' });
record('GET', "/api/v1/jobs/$job/stream", as => $ana,
    headers => { 'Last-Event-ID' => 2, Accept => 'text/event-stream' });
record('GET', "/api/v1/jobs/$job/stream?ticket=$ticket&last_event_id=1");
record('GET', "/jobs/$job", as => $ana);
record('GET', "/jobs/$job/stream", as => $ana);
record('POST', "/api/v1/jobs/$job/retry", as => $ana,
    json => { from => 'say' });
record('POST', "/api/v1/jobs/$job/cancel", as => $ana);
record('OPTIONS', '/api/v1/jobs', headers => {
    Origin => 'https://app.example',
    'Access-Control-Request-Method' => 'POST' });
record('GET', '/live.js', headers => { Range => 'bytes=10-20' });
record('GET', '/health');

# ---- breaking it ------------------------------------------------------------

srand $seed;

my @odd = ("\0", "\r\n", "\r\n\r\n", '%00', '%0d%0a', '../', '"', "'", '\\',
    "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\x98\x80", '{', '[', ']',
    '}', 'null', '1e999', '-1', '18446744073709551616', '%s%n', ':', ';', ',',
    '&', '=', '?', '#', '--', 'a' x 300, 'a' x 9000, "\t", ' ', "\x7f", '0x',
    'chunked', '\u0000', '\ud800');

sub at { int rand(1 + length $_[0]) }
sub odd { $odd[rand @odd] }

my @ways = (
	sub { substr $_[0], at($_[0]), 1, chr rand 256 },
	sub { substr $_[0], at($_[0]), 0, odd() },
	sub { substr $_[0], at($_[0]), 1 + rand 4, odd() },
	sub { substr $_[0], at($_[0]), 1 + rand 30, '' },
	sub { $_[0] = substr $_[0], 0, at($_[0]) },
	sub { my $p = at($_[0]); substr($_[0], $p, 1) =~ tr/a-zA-Z/A-Za-z/ },
	# Some of it twice.
	sub { my $p = at($_[0]);
	    substr $_[0], $p, 0, substr $_[0], $p, rand 60 },
	# A number.
	sub { my @n = ($_[0] =~ /\d+/g, ''); my $n = $n[rand @n];
	    $_[0] =~ s/\Q$n\E/odd()/e },
	# A line: away, or several times.
	sub { my @l = (split(/(?<=\n)/, $_[0]), ''); my $i = rand @l;
	    splice @l, $i, 1, ($l[$i]) x int rand 4; $_[0] = join '', @l },
	# The rest of another one.
	sub { my $o = $session[rand @session];
	    $_[0] = substr($_[0], 0, at($_[0])) . substr $o, at($o) },
);

# At least one change.  That of a body, with its length mended, gets past
# nginx, and so does one of a path or query.
sub broken {
	my ($text) = @_;
	my ($head, $body) = split /(?<=\r\n\r\n)/, $text, 2;
	my $what = rand;
	for (0 .. rand 3) {
		my $way = $ways[rand @ways];
		if (defined $body && $what < 0.6) {
			$way->($body);
		} elsif ($what < 0.8) {
			my ($method, $path, $rest) = split / /, $head, 3;
			$way->($path);
			$path =~ s/\s/%20/g;
			$head = "$method $path $rest";
		} else {
			$way->($head);
		}
	}
	my $n = length($body // '');
	$head =~ s/^(Content-Length: )\d+/$1$n/mi if $what < 0.9;
	return $head . ($body // '');
}

# Whether nothing more of it has to come, as far as that can be seen.
sub is_whole {
	my ($text) = @_;
	my ($head, $body) = $text =~ /\A(.+?)\r?\n\r?\n(.*)\z/s or return 0;
	return 0 if $head =~ /^(Transfer-Encoding|Expect)/mi;
	my ($n) = $head =~ /^Content-Length[ \t]*:[ \t]*(\d+)/mi;
	return length $body >= ($n // 0);
}

# ---- sending it -------------------------------------------------------------

my (%statuses, @faults, @late);

# What came back, or that nothing did, for one of those under way.
sub finish {
	my ($c) = @_;
	my @said = $c->{answer} =~ m{^HTTP/1\.1 (\d{3})}mg;
	$statuses{$_ // 'none'}++ for @said ? @said : undef;
	push @faults, $c if grep { $_ >= 500 } @said;
	push @late, $c if !length $c->{answer} && !$c->{eof} &&
	    is_whole($c->{text});
	close $c->{socket};
}

my $select = IO::Select->new;
my ($sent, %under_way) = 0;
while ($sent < $requests || %under_way) {
	while ($sent < $requests && keys %under_way < $at_once) {
		my $s = IO::Socket::INET->new(PeerPort => $rig->{port},
		    PeerAddr => '127.0.0.1') or die "connect: $@";
		my %c = (socket => $s, answer => '', began => time,
		    text => broken($session[$sent++ % @session]));
		$s->blocking(0);
		syswrite $s, $c{text};
		$under_way{fileno $s} = \%c;
		$select->add($s);
	}
	for my $s ($select->can_read($moment)) {
		my $c = $under_way{fileno $s};
		my $n = sysread $s, $c->{answer}, 65536, length $c->{answer};
		$c->{eof} = 1 if defined $n ? $n == 0 : !$!{EAGAIN};
	}
	for my $c (values %under_way) {
		my $age = time - $c->{began};
		next unless $c->{eof} || $age > $in_time ||
		    ($age > $moment && (length $c->{answer} ||
			!is_whole($c->{text})));
		$select->remove($c->{socket});
		delete $under_way{fileno $c->{socket}};
		finish($c);
	}
}

sub shown { $_[0] =~ s/([^ -~])/sprintf '<%02x>', ord $1/ger }

diag("seed $seed: ", join ', ', map { "$_: $statuses{$_}" }
    sort keys %statuses);
is(scalar @faults, 0, 'no fault of ours') or
    diag(map { shown($_->{text}), "\n", shown($_->{answer}), "\n\n" }
	@faults);
is(scalar @late, 0, 'all answered in time') or
    diag(map { shown($_->{text}), "\n\n" } @late);
cmp_ok($statuses{200} // 0, '>', $requests / 20, 'much of it was good enough');
cmp_ok($statuses{400} // 0, '>', $requests / 20, 'and much was not');

# ---- and nothing broke ------------------------------------------------------

is($rig->get('/health')->{status}, 200, 'all is well');
is($rig->get('/api/v1/jobs?limit=200', as => $ana)->{status}, 200,
    'all that was made can be shown');
for my $name (qw(auth upload status sse millraced)) {
	unlike($rig->log($name), qr/worker \d+: |Sanitizer|runtime error/,
	    "$name: nobody died");
}

done_testing;
