# A stage that crashes, fails, or says that it is done and is not, does not
# complete its job: the job fails, and says why.

use strict;
use warnings;

use Test::More;
use Torture;
use Trees;

my $rounds = Torture::rounds(20, 200);

# What the stage does, that is owed a result "out" of five bytes; and how the
# job ends.
my $sum = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03';
my $put = 'mkdir "$MILLRACE_STORE" && echo hello >"$MILLRACE_STORE/out";';
my %other = (
	crash => [ 'kill -SEGV $$',
	    qr/^Set aside after 3 crashes: end: ended by signal 11 / ],
	fail => [ 'echo no scissors >&2; exit 1',
	    qr/^end: exit 1: no scissors$/ ],
	nothing => [ 'exit 0', qr/^Result out was named, but not stored$/ ],
	half => [ 'printf "item 12" >&3; exit 0',
	    qr/^end: exit 0 within a line on descriptor 3: item 12$/ ],
	'half stored' => [ "$put printf 'stored out 6 58' >&3; exit 0",
	    qr/^end: exit 0 within a line on descriptor 3: stored out 6 58$/ ],
	size => [ "$put echo stored out 5 $sum >&3",
	    qr/^end: Result out was not stored as it was said to be$/ ],
	hash => [ "$put echo stored out 6 ${\ ($sum =~ tr{5}{6}r)} >&3",
	    qr/^end: Result out was not stored as it was said to be$/ ],
	empty => [ "echo stored out 6 $sum >&3",
	    qr/^end: The store is empty$/ ],
	missing => [ 'rm out.txt; exec "${0%/*}/store"',
	    qr/^end: exit 1: result out: out.txt: No such file or directory$/ ],
);
my $true = [ "$put echo stored out 6 $sum >&3" ];

my $rig = Rig->new->conf('daemon', slots => 16)->with_stages
    ->stage('make', "#!/bin/sh\necho hello >out.txt\n" .
	"echo result out out.txt text/plain >&3\n");
for my $name (keys %other, 'true') {
	my ($does) = @{ $other{$name} // $true };
	my $file = $name =~ tr/ /-/r;
	$rig->pipeline($file, "attempts 1\npause 1s 1s\n" .
	    "stage make 50 30s make\nstage end 50 30s $file\n")
	    ->stage($file, "#!/bin/sh\n$does\n");
}
$rig->start;
my $ana = $rig->user('ana');

my %jobs;
for my $round (1 .. $rounds) {
	for my $name (keys %other, 'true') {
		push @{ $jobs{$name} }, $rig->submit($name =~ tr/ /-/r,
		    as => $ana);
	}
}
for my $name (sort keys %other) {
	my @ends = map { $rig->ended($_, as => $ana, timeout => 60 + $rounds) }
	    @{ $jobs{$name} };
	is_deeply([ map { "$_->{status}: $_->{error_message}" } grep {
	    $_->{status} ne 'failed' || $_->{error_message} !~ $other{$name}[1]
	    } @ends ], [], "$name: all fail, and say why");
}
is_deeply([ grep { $rig->ended($_, as => $ana)->{status} ne 'completed' }
    @{ $jobs{true} } ], [], 'what is true completes');
is_deeply([ $rig->sql('SELECT DISTINCT j.pipeline FROM job j JOIN artifact a' .
    ' ON a.job_id = j.id') ], [ [ 'true' ] ], 'nothing else has results');
$rig->ledger(name => 'nothing is left or lost');
Trees::torture(jobs => $rounds * keys %jobs);
done_testing;
