package Hostile;

# Requests that nobody should send, and what holds for the answer to each:
# it comes in time, it is no fault of ours, an error says what is wrong, and
# nothing of the request has become a header.
#
#	my $h = Hostile->new($rig, as => $ana);
#	my $r = $h->ask('of no length', '4..', 'POST', $path, body => '');
#	$h->ask_raw('a NUL', '400', "GET /\0 HTTP/1.1\r\nWHO\r\n");
#	$h->nothing_broke;
#
# The status is a regular expression; 5xx never fits.

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

# Seconds that an answer may take, and to wait for one.
my $IN_TIME = 3;
my $PATIENCE = 10;

# All headers that we ever send.
my %ours = map { $_ => 1 } qw(access-control-allow-credentials
    access-control-allow-headers access-control-allow-methods
    access-control-allow-origin access-control-expose-headers
    access-control-max-age accept-ranges allow cache-control connection
    content-disposition content-length content-range content-security-policy
    content-type cross-origin-opener-policy cross-origin-resource-policy date
    etag idempotent-replayed last-modified link location permissions-policy
    referrer-policy retry-after server set-cookie transfer-encoding vary
    www-authenticate x-accel-buffering x-content-type-options x-request-id);

# {as}: who asks, when a request does not say.
sub new {
	my ($class, $rig, %o) = @_;
	return bless { rig => $rig, secrets => [],
	    tables => [ $rig->sql('SHOW TABLES') ], %o }, $class;
}

# What must never be seen in a log or among the arguments of a program.
sub secret {
	my ($self, @secrets) = @_;
	push @{ $self->{secrets} }, @secrets;
}

# How a text is named in a test, however odd it is.
sub shown {
	my ($text) = @_;
	$text =~ s/([^ -~])/sprintf '<%02x>', ord $1/ge;
	return length $text > 70 ? substr($text, 0, 67) . '...' : $text;
}

# A request that a client of ours can make.  {as}: undef is nobody.
sub ask {
	my ($self, $what, $want, $method, $path, %o) = @_;
	$o{as} = $self->{as} unless exists $o{as};
	return $self->judge("$method $what", $want, sub {
		$self->{rig}->request($method, $path, timeout => $PATIENCE, %o)
	});
}

# One that it cannot: bytes, in which WHO stands for the headers that say who
# asks.
sub ask_raw {
	my ($self, $what, $want, $bytes) = @_;
	my $who = join "\r\n", 'Host: x', 'Connection: close',
	    "Authorization: Bearer $self->{as}{token}";
	$bytes =~ s/\bWHO\b/$who/;
	return $self->judge($what, $want, sub {
		my $c = Rig::Connection->new($self->{rig}{port}, $PATIENCE);
		$c->send($bytes);
		Rig::Response->read($c, 'GET');
	});
}

sub judge {
	my ($self, $what, $want, $ask) = @_;
	my $began = time;
	my $r = eval { $ask->() };
	my @wrong = !$r ? "no answer: $@" : (
	    time - $began > $IN_TIME ? 'late' : (),
	    $r->{status} !~ /^(?:$want)$/ || $r->{status} >= 500
		? "status $r->{status}, not $want" : (),
	    _wrong_headers($r), _wrong_problem($r));
	ok(!@wrong, shown($what)) or diag(join('; ', @wrong), "\n",
	    $r ? shown($r->{body}) : '');
	return $r;
}

sub _wrong_headers {
	my ($r) = @_;
	return map { shown("header $_->[0]: $_->[1]") }
	    grep { !$ours{$_->[0]} || $_->[1] =~ /[\x00-\x08\x0a-\x1f\x7f]/ }
	    @{ $r->{all} };
}

# An error is a problem of RFC 9457.  (HEAD has no body.)
sub _wrong_problem {
	my ($r) = @_;
	return if $r->{status} < 400 || $r->{body} eq '';
	my $h = $r->{headers};
	my $j = eval { $r->json };
	return 'not a JSON object' unless ref $j eq 'HASH';
	return (
	    ($h->{'content-type'} // '') =~ m{^application/problem\+json\b}
		? () : 'not a problem',
	    $r->{status} == ($j->{status} // 0) ? () : 'another status',
	    length($j->{title} // '') ? () : 'no title',
	    length($j->{detail} // '') ? () : 'no detail',
	    ($j->{request_id} // '') eq ($h->{'x-request-id'} // ' ')
		? () : 'another request id');
}

# ---- in the end -------------------------------------------------------------

sub nothing_broke {
	my ($self) = @_;
	my $rig = $self->{rig};
	is($rig->get('/health')->{status}, 200, 'all is well');
	is_deeply([ $rig->sql('SHOW TABLES') ], $self->{tables},
	    'no table is gone or new');
	for my $name (qw(auth upload status sse millraced)) {
		my $log = $rig->log($name);
		unlike($log, qr/worker \d+: |Sanitizer|runtime error/,
		    "$name: nobody died");
		is_deeply([ grep { !/^$name\[\d+\]: [^\x00-\x1f\x7f]+$/ }
		    split /\n/, $log ], [], "$name: a record is a line");
	}
	is_deeply([ grep { !eval { JSON::PP->new->decode($_) } }
	    split /\n/, $rig->log('access') ], [],
	    'access: a record is a line');
	$self->_secrets_are_kept;
}

sub _read {
	my ($path) = @_;
	open my $f, '<:raw', $path or return undef;
	local $/;
	return <$f>;
}

sub _secrets_are_kept {
	my ($self) = @_;
	my $secret = join '|', map { quotemeta } @{ $self->{secrets} };
	my @tell = grep { (_read($_) // '') =~ /$secret/ }
	    glob("'$self->{rig}{dir}/log/'*"), glob('/proc/[0-9]*/cmdline'),
	    "$self->{rig}{dir}/launch.log";
	is_deeply(\@tell, [], 'no secret is in a log or a command line');
}

1;
