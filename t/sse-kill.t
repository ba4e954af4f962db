# The hub is killed, or stopped and started, while streams are open: clients
# come back by themselves with the number they have, and see every event once.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;

my $rig = Rig->new->conf('sse', tick => '50ms')->start;
my $ana = $rig->user('ana');
my $job = Puppet->new($rig, owner => $ana);
my $path = '/api/v1/jobs/' . $job->id . '/stream';

# What EventSource does: connect again, with the last number, until told to
# stop by 204.
sub event_source {
	my ($client) = @_;
	for (;;) {
		my $s = eval { $rig->stream($path, as => $ana, headers =>
		    { defined $client->{last} ?
		    ('Last-Event-ID' => $client->{last}) : () }) };
		next unless $s;			# nginx has none for us now
		return if $s->{status} == 204;
		$client->{refused} = $s->{status} if $s->{status} != 200;
		while (my $e = eval { $s->next(timeout => 30) }) {
			push @{ $client->{ids} }, $e->{id};
			$client->{last} = $e->{id};
			return if $e->{json}{status} ne 'running';
		}
	}
}

# Ten of them beside the test; each writes down what it saw.
my @children;
for my $n (1 .. 10) {
	pipe my $out, my $in;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		my %client = (ids => []);
		event_source(\%client);
		print $in join(' ', $client{refused} // 'none',
		    @{ $client{ids} }), "\n";
		close $in;
		POSIX::_exit(0);
	}
	push @children, { pid => $pid, out => $out };
}
$rig->wait_for(sub { (() = $rig->log('sse') =~ /: open: /g) >= 10 }, 20,
    'ten clients follow');

my $writer = $job->events_beside(300);
for my $signal (qw(KILL TERM KILL)) {
	my $seq = ($rig->sql("SELECT seq FROM job WHERE id = x'$job->{hex}'"))
	    [0][0];
	$rig->wait_for(sub { ($rig->sql("SELECT seq FROM job WHERE id =" .
	    " x'$job->{hex}'"))[0][0] > $seq || $seq >= $job->seq }, 20,
	    'events happen');
	my $pid = $rig->kill($signal, 'sse');
	$rig->wait_for(sub { ($rig->pid('sse') // $pid) != $pid }, 20,
	    'it is started again');
	$rig->wait_for(sub { $rig->sql('SELECT 1'), (() = $rig->log('sse') =~
	    /: open: /g) >= 10 }, 20, 'clients are back');
}
waitpid $writer, 0;
is($?, 0, 'all events were written');
$job->event(state => 'completed', phase => 'completed', progress => 100);

for my $child (@children) {
	my ($refused, @ids) = split ' ', readline $child->{out};
	waitpid $child->{pid}, 0;
	is($refused, 'none', 'never refused');
	is_deeply(\@ids, [ $ids[0] .. $job->seq ],
	    'every event once, in order');
}

# A stop ends streams cleanly, and quickly.
my $open = Puppet->new($rig, owner => $ana);
my $s = $rig->stream('/api/v1/jobs/' . $open->id . '/stream', as => $ana);
ok($s->next, 'a stream');
$rig->kill('TERM', 'sse');
is($s->next(timeout => 30), undef, 'ends when the hub is told to stop');
like($rig->log('sse'), qr/closed: the hub stops, after/, 'which it logs');

done_testing;
