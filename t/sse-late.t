# Changes that become visible out of order, or long after their time, are not
# lost: jobs whose transactions commit late, in any order.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;

my $rig = Rig->new->conf('sse', tick => '50ms')->start;
my $ana = $rig->user('ana');

# A connection of its own, whose transaction stays open as long as we like.
package Writer {
	sub new {
		my ($class, $rig) = @_;
		my $pid = open(my $to, '|-', 'mariadb', '--no-defaults',
		    '--user=root', '--socket=' . $rig->socket('mariadb'),
		    '--unbuffered', 'millrace') // die "mariadb: $!\n";
		$to->autoflush(1);
		return bless { to => $to, rig => $rig, pid => $pid }, $class;
	}
	sub say { my $self = shift; print { $self->{to} } @_, "\n" }
	# Everything said so far was done.
	sub sync {
		my ($self) = @_;
		my $n = ++$self->{n};
		$self->say("SELECT GET_LOCK('writer-$self->{pid}-$n', 0)" .
		    " INTO \@x;");
		$self->{rig}->wait_for(sub { ($self->{rig}->sql(
		    "SELECT IS_USED_LOCK('writer-$self->{pid}-$n')"))[0][0] },
		    20, 'the writer has done what it was told');
	}
}

my @jobs = map { Puppet->new($rig, owner => $ana) } 1 .. 3;
my @streams = map { $rig->stream('/api/v1/jobs/' . $_->id . '/stream',
    as => $ana) } @jobs;
$_->next for @streams;

# Two writers, a third in between; the first to write commits last.
my @writers = map { Writer->new($rig) } 1 .. 2;
for my $round (1 .. 5) {
	for my $i (0, 1) {
		$writers[$i]->say('START TRANSACTION;' .
		    $jobs[$i]->change(message => "round $round"));
		$writers[$i]->sync;
	}
	$jobs[2]->event(message => "round $round");
	is($streams[2]->next->{id}, $jobs[2]->seq, 'one goes by');
	$writers[1]->say('COMMIT;');
	is($streams[1]->next->{id}, $jobs[1]->seq,
	    'the second to write is seen first');
	$writers[0]->say('COMMIT;');
	is($streams[0]->next->{id}, $jobs[0]->seq, 'the first is seen, too');
}

# So late that no tick looks back that far: found by id.
$writers[0]->say('START TRANSACTION;' . $jobs[0]->change(message => 'late'));
$writers[0]->sync;
$jobs[1]->event(message => 'on time');
is($streams[1]->next->{id}, $jobs[1]->seq, 'others go by');
$writers[0]->say("DO SLEEP(7); COMMIT;");
is($streams[0]->next(timeout => 30)->{id}, $jobs[0]->seq,
    'seven seconds late, and seen');

# Some more events than one look fetches, at once.
$jobs[0]->events(150);
my @got = map { $streams[0]->next->{id} } 1 .. 150;
is_deeply(\@got, [ $jobs[0]->seq - 149 .. $jobs[0]->seq ],
    '150 events between two ticks, in order');

done_testing;
