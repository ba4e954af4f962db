# Streams are kept alive, counted, bounded and renewed; a reader that reads
# slowly loses nothing, one that does not read is closed.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new->conf('site', anonymous => 'yes')
    ->conf('sse', tick => '50ms', keepalive => '2s',
    stalled => '8s', rotate => '4s', user_streams => 5, streams => 12)->start;
my ($ana, $bob, $eve) = map { $rig->user($_) } qw(ana bob eve);
my %job = map { $_->{name} => Puppet->new($rig, owner => $_) }
    $ana, $bob, $eve;
my $anyones = Puppet->new($rig);

sub v1 { '/api/v1/jobs/' . $_[0]->id . '/stream' }
sub process { '/jobs/' . $_[0]->id . '/stream' }

# A refusal that EventSource survives.
sub told_to_wait {
	my ($s, $ms, $what) = @_;
	is($s->{status}, 200, "$what: no error");
	is($s->next, undef, 'but an end at once');
	cmp_ok($s->{retry}, '>=', $ms, 'and a long pause');
}

# ---- how many ---------------------------------------------------------------

my @of_ana = map { $rig->stream(v1($job{ana}), as => $ana) } 1 .. 5;
$_->next for @of_ana;
told_to_wait($rig->stream(v1($job{ana}), as => $ana), 30000, 'a sixth stream');
my @of_bob = map { $rig->stream(v1($job{bob}), as => $bob) } 1 .. 5;
ok($_->next, "another user's is not counted") for $of_bob[4];
(pop @of_ana)->close;
my $again;
$rig->wait_for(sub { ($again = $rig->stream(v1($job{ana}), as => $ana))->next },
    10, 'one that ended makes room');
push @of_ana, $again;

# Of clients without credentials, those of one address.
my @of_none = map { $rig->stream(process($anyones)) } 1, 2;
ok($_->next, 'without credentials') for @of_none;
told_to_wait($rig->stream(v1($job{eve}), as => $eve), 30000, 'a full hub');
(shift @of_none)->close;
$rig->wait_for(sub { $rig->stream(v1($job{eve}), as => $eve)->next }, 10,
    'there is room again');

# What the hub wrote of itself, which it does every two seconds.
sub counted {
	my ($series) = @_;
	$rig->wait_for(sub { $rig->get('/metrics')->{body} =~
	    /^\Q$series\E [1-9]/m }, 5, "$series is counted");
	pass("counted: $series");
}
counted($_) for 'millrace_sse_connections{kind="v1"}',
    'millrace_sse_opened_total{kind="process"}',
    'millrace_sse_refused_total{reason="many"}',
    'millrace_sse_refused_total{reason="full"}';
$_->close for @of_ana, @of_bob, @of_none;

# ---- how long ---------------------------------------------------------------

my $s = $rig->stream(v1($job{ana}), as => $ana);
my $p = $rig->stream(process($job{ana}), as => $ana);
my $n = $rig->stream(process($anyones));
$_->next for $s, $p, $n;
my $began = time;
is($s->comment(timeout => 5), '', 'silence is broken by a comment');
cmp_ok(time - $began, '<', 8, 'in time');
is($s->next(timeout => 30), undef, 'a stream that can be renewed ends');
cmp_ok(time - $began, '>', 3, 'not before its time');
cmp_ok(time - $began, '<', 15, 'nor much after it');
$job{ana}->event(progress => 10);
$anyones->event(progress => 10);
is($p->next->{json}{progress}, 30, 'process: never');
is($n->next->{json}{progress}, 30, 'nor without credentials');
for ('old enough to connect anew', 'the client left') {
	my $text = $_;
	$rig->wait_for(sub { $rig->log('sse') =~
	    /closed: $text, after [\d.]+ s, \d+ events/ }, 5,
	    "the log says: $text");
	pass("the log says: $text");
}
$_->close for $p, $n;

# ---- how slow ---------------------------------------------------------------

# N long events at once, more than fits into all buffers on the way: nginx's
# end of a connection may take four megabytes.
my $n_long = 6000;
sub long_events {
	$rig->sql('START TRANSACTION;' . join('', map { $anyones->change(
	    message => "$_ " . 'y' x 1000) } 1 .. $n_long) . 'COMMIT;');
}

# The numbers of the events up to LAST, without a look at what they say.
sub ids_up_to {
	my ($s, $last) = @_;
	my @ids;
	until (@ids && $ids[-1] >= $last) {
		$s->_more(30) or die "the stream ended\n";
		push @ids, $1
		    while $s->{text} =~ s/\A.*?^id: (\d+)\n.*?\n\n//ms;
	}
	return \@ids;
}

my $slow = $rig->stream(process($anyones));
my $quick = $rig->stream(process($anyones));
is($_->next->{event}, 'status', 'two readers, of which one sleeps')
    for $slow, $quick;
long_events();
my @all = ($anyones->seq - $n_long + 1 .. $anyones->seq);
is_deeply(ids_up_to($quick, $anyones->seq), \@all,
    'the other one has all events');
counted('millrace_sse_behind_total{kind="process"}');
is_deeply(ids_up_to($slow, $anyones->seq), \@all,
    'when it wakes up, the sleeper has them, too');

# One that never reads again.
my $dead = $rig->stream(process($anyones));
$dead->next;
long_events();
$rig->wait_for(sub { $rig->log('sse') =~ /closed: the client takes no bytes/ },
    30, 'one that takes nothing is closed');
pass('one that takes nothing is closed');
$_->close for $slow, $dead, $quick;

# ---- descriptors ------------------------------------------------------------

my $pid = $rig->pid('sse');
my $open = () = glob "/proc/$pid/fd/*";
system('prlimit', "--pid=$pid", '--nofile=' . ($open + 4) . ':20000') == 0
    or die 'prlimit';
my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
    PeerPort => $rig->{port}) } 1 .. 10;
print $_ 'GET ', process($anyones), " HTTP/1.1\r\nHost: x\r\n\r\n"
    for @sockets;
$rig->wait_for(sub { $rig->log('sse') =~ /accept: Too many open files/ }, 10,
    'no descriptor is left');
is($rig->pid('sse'), $pid, 'without descriptors it goes on');
system('prlimit', "--pid=$pid", '--nofile=20000:20000');
for my $socket (@sockets) {
	my $got = '';
	$got .= $socket->getline // '' until $got =~ /retry:/ || $socket->eof;
	like($got, qr/^HTTP\/1.1 200/, 'and serves who had to wait');
}

done_testing;
