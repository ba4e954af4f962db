# Live progress: what a client that follows a job over SSE may rely on.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('count', <<'EOT')
phase	reading
stage	first	30	30s	say 0 25 50 75 100
phase	writing
stage	second	70	30s	say 10 90
EOT
    ->pipeline('break', "stage ok 50 10s say 100\nstage bad 50 10s break\n")
    ->pipeline('gate', "stage hold 100 60s gate\n")
    ->pipeline('rush', "stage many 100 30s rush\n")
    ->stage('say', <<'EOT')
#!/bin/sh
for n; do echo "progress $n at $n" >&3; done
EOT
    ->stage('break', "#!/bin/sh\necho 'reject sheet 7 is torn' >&3\nexit 1\n")
    ->with_gate
    ->stage('rush', <<'EOT')
#!/bin/sh
i=0
while [ $i -lt 1000 ]; do
	i=$((i + 1)); echo "progress $((i / 10)) $i" >&3
done
EOT
    ->start;
my $ana = $rig->user('ana');

# 1. connects and streams
my $job = $rig->submit('gate', as => $ana);
my $s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
is($s->{status}, 200, 'a stream opens');
is($s->{headers}{'content-type'}, 'text/event-stream', 'of events');
is($s->{headers}{'cache-control'}, 'no-store', 'that nobody keeps');
my $first = $s->next(timeout => 30);
is($first->{json}{job_id}, $job, 'the first event is the state now');
cmp_ok($s->{retry}, '>=', 2000, 'a pause before reconnecting is said');
cmp_ok($s->{retry}, '<=', 8000, 'and it is no long one');

# 8. every field present
is_deeply([ sort keys %{$first->{json}} ], [ sort qw(job_id pipeline status
    phase progress_percentage current_step eta_seconds created_at started_at
    completed_at error_message output_file timestamp) ], 'with every field');

# 2. percentage changes, 5. polling gives the same object
for my $n (10, 20, 30) {
	$rig->tell($job, "progress $n at $n");
	my $e;
	do { $e = $s->next(timeout => 30) }
	    until $e->{json}{progress_percentage} == $n;
	pass('a step is seen: ' . $e->{json}{current_step});
	is_deeply($rig->job($job, as => $ana), $e->{json},
	    'polling gives the same object as the stream');
}
is($rig->get("/api/v1/jobs/$job/steps", as => $ana)->json->{items}[0]{percent},
    30, 'its step is as far');
$rig->tell($job, 'end');
my @rest = $s->until_end(timeout => 30);
is($rest[-1]{json}{status}, 'completed', 'the last event is the end');
is($rest[-1]{json}{progress_percentage}, 100, 'at a hundred');
is_deeply($rig->job($job, as => $ana), $rest[-1]{json}, 'as polling says');

# A reconnect that has seen the end is told to stop.
is($rig->stream("/api/v1/jobs/$job/stream", as => $ana, headers =>
    { 'Last-Event-ID' => $rest[-1]{id} })->{status}, 204, 'nothing follows');
my @whole = $rig->stream("/api/v1/jobs/$job/stream", as => $ana)
    ->until_end(timeout => 10);
is(@whole, 1, 'without an id: the state now, and the end');

# 3. phase changes
$job = $rig->submit('count', as => $ana);
my @all = $rig->stream("/api/v1/jobs/$job/stream", as => $ana)
    ->until_end(timeout => 30);
my %seen;
my @phases = grep { !$seen{$_}++ } map { $_->{json}{phase} } @all;
is($phases[-1], 'completed', 'phases end with completed');
my @events = @{$rig->get("/api/v1/jobs/$job/events", as => $ana)->json->{items}};
%seen = ();
is_deeply([ grep { !$seen{$_}++ } map { $_->{phase} } @events ],
    [ qw(pending reading writing completed) ], 'each phase is an event');
my @up = map { $_->{progress_percentage} } @events;
is_deeply([ sort { $a <=> $b } @up ], \@up, 'percentages never fall');

# 4. failure carries its message
$job = $rig->submit('break', as => $ana);
@all = $rig->stream("/api/v1/jobs/$job/stream", as => $ana)
    ->until_end(timeout => 30);
is($all[-1]{json}{status}, 'failed', 'a failure is told');
is($all[-1]{json}{error_message}, 'sheet 7 is torn', 'with its message');
is($all[-1]{json}{phase}, 'failed', 'as the phase too');

# 6. unknown job 404; malformed 400
is($rig->stream('/api/v1/jobs/0192f0c1-7b2a-7cde-8f01-23456789abcd/stream',
    as => $ana)->{status}, 404, 'an unknown job: 404');
is($rig->stream('/api/v1/jobs/nonsense/stream', as => $ana)->{status}, 400,
    'a malformed id: 400');

# 7. rapid updates lose nothing
$job = $rig->submit('rush', as => $ana);
@all = $rig->stream("/api/v1/jobs/$job/stream", as => $ana)
    ->until_end(timeout => 30);
@events = @{$rig->get("/api/v1/jobs/$job/events?limit=1000", as => $ana)
    ->json->{items}};
is_deeply([ map { $_->{seq} } @events ], [ 1 .. @events ],
    'a thousand updates: events without a gap');
my @ids = map { $_->{id} } @all;
is_deeply(\@ids, [ $ids[0] .. $events[-1]{seq} ],
    'the stream has each from the first it showed');
is($all[-1]{json}{status}, 'completed', 'and the end');

# Reconnecting with an id: each event once, in order, over many connections.
my $last = 0;
my @got;
while (1) {
	my $again = $rig->stream("/api/v1/jobs/$job/stream", as => $ana,
	    headers => { 'Last-Event-ID' => $last });
	last if $again->{status} == 204;
	my $e = $again->next(timeout => 30) or last;
	push @got, $last = $e->{id};
	$again->close;
}
is_deeply(\@got, [ 1 .. $events[-1]{seq} ],
    'one event a connection: every event once');
my $query = $rig->stream("/api/v1/jobs/$job/stream?last_event_id=3",
    as => $ana);
is($query->next(timeout => 30)->{id}, 4, 'the id may be a parameter');

# 9. authentication required
is($rig->stream("/api/v1/jobs/$job/stream")->{status}, 401,
    'nobody: 401');
is($rig->stream("/api/v1/jobs/$job/stream", headers => { Authorization =>
    'Bearer mr_' . 'x' x 43 })->{status}, 401, 'a wrong token: 401');
is($rig->stream("/api/v1/jobs/$job/stream", as => $rig->user('bob'))
    ->{status}, 404, 'somebody else: 404');
my $ticket = $rig->post('/api/v1/auth/tickets', as => $ana, json =>
    { job_id => $job })->json->{ticket};
is($rig->stream("/api/v1/jobs/$job/stream?ticket=$ticket")->{status}, 200,
    'a ticket opens it');
is($rig->stream("/api/v1/jobs/$job/stream?ticket=$ticket")->{status}, 200,
    'again, as EventSource does by itself');
my $other = $rig->submit('count', as => $ana);
is($rig->stream("/api/v1/jobs/$other/stream?ticket=$ticket")->{status}, 404,
    'and no other one');

done_testing;
