# What a stage may write has a bound: one file, many of them, sparse ones and
# those that have no name any more.

use strict;
use warnings;

use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(5, 50);
my $all = 'fill: ended with 16 MB of files, its limit';
my $one = 'fill: ended by signal 25 (File size limit exceeded)';
my %fills = (
	one => [ 'exec head -c 100000000 /dev/zero >big', $one ],
	sparse => [ 'exec truncate -s 1T big', $one ],
	many => [ 'i=0; while :; do mkdir -p d/$i; ' .
	    'head -c 1000000 /dev/zero >d/$i/x; i=$((i + 1)); done', $all ],
	deleted => [ 'i=0; while :; do exec 9>x; rm x; ' .
	    'head -c 1000000 /dev/zero >&9; sleep 60 & i=$((i + 1)); done',
	    $all ],
);

my $rig = Rig->new->conf('daemon', slots => 3)
    ->pipeline('other', "stage other 100 60s gate\n")
    ->pipeline('less', "written 16m\nstage fill 100 60s less\n")
    ->stage('less', "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do\n" .
	"head -c 1000000 /dev/zero >\$i; sleep 0.1; done\n" .
	"for i in 1 2 3 4 5 6 7 8 9 10; do\n" .
	"head -c 1000000 /dev/zero >1; sleep 0.1; done\n")
    ->with_gate;
for my $name (keys %fills) {
	$rig->pipeline($name, "attempts 1\nwritten 16m\n" .
	    "stage fill 100 60s $name\n")
	    ->stage($name, "#!/bin/sh\n$fills{$name}[0]\n");
}
$rig->start;
my $ana = $rig->user('ana');

sub used {
	my ($job) = @_;
	my ($kb) = qx(du -sk '$rig->{dir}/storage/work/$job') =~ /^(\d+)/;
	return $kb / 1024;
}

my $other = $rig->submit('other', as => $ana);
$rig->tell($other, 'step waits');
my $less = $rig->submit('less', as => $ana);
my $most = 0;
for my $name (sort keys %fills) {
	for my $round (1 .. $rounds) {
		my $job = $rig->submit($name, as => $ana);
		my $end = $rig->ended($job, as => $ana);
		is("$end->{status}: $end->{error_message}",
		    "failed: $fills{$name}[1]", "$name: is ended, and why");
		my $used = used($job);
		$most = $used if $used > $most;
	}
}
diag(sprintf 'at most %.0f MB were written, of 16', $most);
is($rig->ended($less, as => $ana)->{status}, 'completed',
    'one that writes less, or the same again, is not');
$rig->tell($other, 'end');
is($rig->ended($other, as => $ana)->{status}, 'completed',
    'a job beside them goes on');
$rig->ledger(name => 'nothing is left or lost');
Trees::torture(jobs => $rounds * keys(%fills) + 2,
    most_mb => int $most);
done_testing;
