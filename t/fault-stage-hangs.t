# A stage that hangs in silence is ended at the limit of silence, and one that
# talks without end at its limit of time; neither much later.

use strict;
use warnings;

use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(10, 100);
my $rig = Rig->new
    ->conf('daemon', slots => 10)
    ->pipeline('silent', "attempts 1\nsilence 1s\nstage hang 100 60s hang\n")
    ->pipeline('loud', "attempts 1\nsilence 1s\nstage talk 100 2s talk\n")
    ->pipeline('slow', "attempts 1\nsilence 2s\nstage slow 100 60s slow\n")
    ->stage('hang', "#!/usr/bin/perl\n\$SIG{TERM} = 'IGNORE';\n" .
	"sleep 1 while 1;\n")
    ->stage('talk', <<'EOT')
#!/usr/bin/perl
$SIG{TERM} = 'IGNORE';
open my $daemon, '>&=', 3 or die;
$| = 1;
while (1) {
	syswrite $daemon, 'progress ' . $i++ % 100 . " talks\n";
	print "talks\n";
}
EOT
    ->stage('slow', "#!/bin/sh\nfor i in 1 2 3 4 5 6; do\n" .
	"echo progress \$i >&3; sleep 0.5; done\n")
    ->start;
my $ana = $rig->user('ana');

sub hangs {
	my ($pipeline, $limit, $why) = @_;
	my $stall = Trees::stall();
	my @jobs = map { $rig->submit($pipeline, as => $ana) } 1 .. $rounds;
	my @ends = map { $rig->ended($_, as => $ana, timeout => 60 + $rounds) }
	    @jobs;
	my $over = $stall->();
	is_deeply([ grep { $_->{status} ne 'failed' ||
	    $_->{error_message} ne $why } @ends ], [], "$pipeline: $why");
	# From the rows that the daemon wrote: start and end of the stage.
	my @took = map { $_->[0] } $rig->sql('SELECT TIMESTAMPDIFF(' .
	    'MICROSECOND, s.started_at, s.ended_at) / 1e6 FROM step s JOIN' .
	    ' job j ON j.id = s.job_id WHERE j.pipeline = ?', $pipeline);
	my $most = Torture::largest(@took);
	is(@took, $rounds, 'each of them');
	is_deeply([ grep { $_ < $limit - 0.05 } @took ], [], 'none before');
	cmp_ok($most, '<', $limit + 1 + $over,
	    sprintf 'all within a second: %.3f s', $most - $limit);
	return $most - $limit;
}

my $slow = $rig->submit('slow', as => $ana);
my $silent = hangs('silent', 1, 'hang: ended after 1 s without a word');
my $loud = hangs('loud', 2, 'talk: ended after 2 s, its limit');
is($rig->ended($slow, as => $ana)->{status}, 'completed',
    'one that speaks now and then is not taken for one that hangs');
$rig->ledger(name => 'nothing is left or lost');
Trees::torture(jobs => 2 * $rounds + 1,
    late_ms => int 1000 * Torture::largest($silent, $loud));
done_testing;
