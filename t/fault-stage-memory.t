# A stage that wants more memory than its pipeline gives it ends alone, and
# its job says that it was memory.

use strict;
use warnings;

use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(5, 50);
my $rig = Rig->new
    ->conf('daemon', slots => 3)
    ->pipeline('eat', "attempts 1\nmemory 512m\nstage eat 100 60s eat\n")
    ->pipeline('sort', "attempts 1\nmemory 512m\nstage sort 100 60s tail\n")
    ->pipeline('other', "stage other 100 60s gate\n")
    ->stage('eat', <<'EOT')
#!/usr/bin/perl
# Four gibibytes, each page touched.
push @all, 'x' x (32 << 20) for 1 .. 128;
EOT
    ->stage('tail', "#!/bin/sh\nhead -c 4294967296 /dev/zero | tail -c +1 |" .
	" tail -n 1\n")
    ->with_gate
    ->start;
plan skip_all => 'a sanitizer takes all address space'
    if qx(nm -D '$rig->{build}/millraced') =~ /__asan_init/;
my $ana = $rig->user('ana');
my $daemon = $rig->pid('millraced');

# Three quarters of it, at least.
my $used = qr/after it used (3[89]\d|4\d\d|5[01]\d) of its 512 MB of memory: /;

my $other = $rig->submit('other', as => $ana);
$rig->tell($other, 'step waits');
for my $pipeline (qw(eat sort)) {
	for my $round (1 .. $rounds) {
		my $job = $rig->submit($pipeline, as => $ana);
		my $end = $rig->ended($job, as => $ana);
		is($end->{status}, 'failed', "$pipeline: memory has an end");
		like($end->{error_message}, qr/^$pipeline: exit 1, $used/,
		    'and it is said');
	}
}
$rig->tell($other, 'end');
is($rig->ended($other, as => $ana)->{status}, 'completed',
    'a job beside them goes on');
is($rig->pid('millraced'), $daemon, 'as does the daemon');
$rig->ledger(name => 'nothing is left or lost, and the daemon has not grown');
Trees::torture(jobs => 2 * $rounds + 1);
done_testing;
