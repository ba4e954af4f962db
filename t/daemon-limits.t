# A stage has bounds: time, silence, memory, processes, the size of a file.

use strict;
use warnings;

use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new
    ->conf('daemon', slots => 2)
    ->pipeline('late', "attempts 1\nstage sleep 100 2s sleep-on\n")
    ->pipeline('silent', "attempts 1\nsilence 1s\n" .
	"stage sleep 100 60s sleep-on\n")
    ->pipeline('talks', "silence 2s\nstage talk 100 60s talk\n")
    ->pipeline('memory', "attempts 1\nmemory 128m\nstage eat 100 30s eat\n")
    ->pipeline('file', "attempts 1\nwritten 1m\nstage fill 100 30s fill\n")
    ->pipeline('bomb', "attempts 1\nstage bomb 100 6s bomb\n")
    ->pipeline('quick', "stage quick 100 30s quick\n")
    ->stage('sleep-on', "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
    ->stage('talk', "#!/bin/sh\nfor i in 1 2 3 4 5 6; do\n" .
	"echo progress \$i >&3; sleep 0.5; done\n")
    ->stage('eat', <<'EOT')
#!/usr/bin/perl
my @all;
push @all, 'x' x 10_000_000 while 1;
EOT
    ->stage('fill', "#!/bin/sh\nexec head -c 2000000 /dev/zero >big\n")
    ->stage('bomb', "#!/usr/bin/perl\n\$0 = 'bomb';\n" .
	"while (1) { fork // select undef, undef, undef, 0.05 }\n")
    ->stage('quick', "#!/bin/sh\n")
    ->start;
my $ana = $rig->user('ana');

sub run {
	my ($pipeline) = @_;
	my $id = $rig->submit($pipeline, as => $ana);
	return $rig->ended($id, as => $ana);
}

sub span {
	my ($pipeline) = @_;
	my ($row) = $rig->sql('SELECT TIMESTAMPDIFF(MICROSECOND, started_at,' .
	    ' completed_at) / 1e6 FROM job WHERE pipeline = ?', $pipeline);
	return $row->[0];
}

my $end = run('late');
is($end->{status}, 'failed', 'over its time, a stage fails');
is($end->{error_message}, 'sleep: ended after 2 s, its limit', 'and why');
cmp_ok(span('late'), '>=', 2, 'not before');
cmp_ok(span('late'), '<', 5.5, 'nor, though it hears no TERM, much later');

$end = run('silent');
is($end->{error_message}, 'sleep: ended after 1 s without a word',
    'a stage that hangs is found by its silence');
is(run('talks')->{status}, 'completed', 'one that talks is not');

SKIP: {
	skip 'a sanitizer takes all address space', 2
	    if qx(nm -D '$rig->{build}/millraced') =~ /__asan_init/;
	$end = run('memory');
	is($end->{status}, 'failed', 'memory has an end');
	like($end->{error_message}, qr/^eat: .*Out of memory/, 'and it is said');
}

$end = run('file');
is($end->{status}, 'failed', 'a file has an end');
like($end->{error_message}, qr/^fill: ended by signal 25 \(File size limit/,
    'and it is said');
is_deeply([ $rig->sql('SELECT attempt, crashes FROM job WHERE pipeline = ?',
    'file') ], [ [ 1, 0 ] ], 'it would be too large again: no other try');

# While a bomb goes off, others work.
my $bomb = $rig->submit('bomb', as => $ana);
my $most = 0;
sub bombs { return scalar(() = qx(ps -eo comm=) =~ /^bomb$/mg) }
$rig->wait_for(sub { bombs() > 20 }, 10, 'it goes off');
my $before = time;
my $quick = run('quick');
is($quick->{status}, 'completed', 'another job runs meanwhile');
my $took = time - $before;
diag(sprintf 'beside the bomb: %.2f s', $took);
cmp_ok($took, '<', 3, 'soon');
my $n = bombs();
$most = $n > $most ? $n : $most;
cmp_ok($most, '<', 256 + 32 * 64 + 300, 'processes have an end');
is($rig->ended($bomb, as => $ana)->{status}, 'failed', 'the bomb fails');
is(bombs(), 0, 'and nothing of it is left');

done_testing;
