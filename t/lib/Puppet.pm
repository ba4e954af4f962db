package Puppet;

# A job that does what the test says, and nothing else: its row and its events
# are written to the database by the test itself, as a daemon would.
#
#	my $job = Puppet->new($rig, owner => $ana);
#	$job->event(progress => 20, message => 'a fifth');
#	$job->events(100);			# quickly, one after the other
#	$job->event(state => 'completed', progress => 100);

use strict;
use warnings;

my $made = 0;

# {owner}: a user; without one the job is anonymous.  Its first event, number
# 1, is there.
sub new {
	my ($class, $rig, %o) = @_;
	my $hex = sprintf '%012x7%03x8%015x', time * 1000, ++$made % 4096,
	    int rand 2**48;
	(my $id = $hex) =~ s/^(.{8})(.{4})(.{4})(.{4})/$1-$2-$3-$4-/;
	my $self = bless { rig => $rig, hex => $hex, id => $id, seq => 1 },
	    $class;
	my $user = $o{owner} ? "(SELECT id FROM user WHERE name =" .
	    " '$o{owner}{name}')" : '0';
	$rig->sql("INSERT IGNORE INTO daemon (id, instance, host, pid, version,
	    queues, slots, started_at, seen_at, lease_until) VALUES (4000000000,
	    'puppet', 'puppet', 0, '', '', 0, NOW(3), NOW(3),
	    NOW(3) + INTERVAL 1 DAY);
	    INSERT INTO job (id, user_id, pipeline, queue, state, phase, stage,
	    seq, changed_at, created_at, started_at, name, daemon_id)
	    VALUES (x'$hex', $user, 'puppet', 'puppet', 'running',
	    'transcoding', 'transcoding', 1, NOW(3), NOW(3), NOW(3), 'x',
	    4000000000);" . $self->record);
	return $self;
}

sub id { $_[0]{id} }
sub seq { $_[0]{seq} }

# The statement that copies the row as it is into table event.
sub record {
	my ($self) = @_;
	my $columns = 'state, phase, stage, stage_progress, progress, eta_s,' .
	    ' items_done, items_total, step, message, details, started_at';
	return "INSERT INTO event (job_id, seq, at, $columns) SELECT id, seq," .
	    " changed_at, $columns FROM job WHERE id = x'$self->{hex}';";
}

# The statements of one event, without the transaction around them.
sub change {
	my ($self, %set) = @_;
	$self->{seq}++;
	$set{completed_at} = \'NOW(3)'
	    if ($set{state} // '') =~ /^(completed|failed|cancelled)$/;
	my $set = join '', map {
		my $v = $set{$_};
		", $_ = " . (ref $v ? $$v : "'$v'")
	} sort keys %set;
	return "UPDATE job SET seq = seq + 1, changed_at = NOW(3)$set" .
	    " WHERE id = x'$self->{hex}';" . $self->record;
}

sub event {
	my ($self, %set) = @_;
	$self->{rig}->sql('START TRANSACTION;' . $self->change(%set) .
	    'COMMIT;');
	return $self->{seq};
}

# N of them, in transactions of their own.
sub events {
	my ($self, $n) = @_;
	$self->{rig}->sql(join '', map { 'START TRANSACTION;' .
	    $self->change(message => "number $_") . 'COMMIT;' } 1 .. $n);
	return $self->{seq};
}

# The same by a child, while the test goes on; wait for it by its number.
sub events_beside {
	my ($self, $n) = @_;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		$self->events($n);
		require POSIX;
		POSIX::_exit(0);
	}
	$self->{seq} += $n;
	return $pid;
}

1;
