# The daemon is told to end, again and again, while forty jobs are in its
# hands: it ends soon, and no job is the worse for it.  (slow)

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);
use Torture;

my $rounds = Torture::rounds(20, 300);
my $rig = Torture::rig()->conf('daemon', slots => 40, handover => '0s')
    ->start;
my $t = Torture->new($rig);
my @took;

# What runs is cut off at first, and then has time to end by itself.
sub be_patient {
	my $conf = $rig->dir . '/millrace.conf';
	my $text = Rig::_read($conf);
	$text =~ s/^handover = 0s$/handover = 3s/m or die "no handover\n";
	Rig::_write($conf, $text);
}

for my $round (1 .. $rounds) {
	be_patient() if $round == int($rounds / 2) + 1;
	$t->top_up(40, follow => 25);
	$t->pause(0.4);
	my $began = time;
	$rig->stop('millraced');
	push @took, time - $began;
	$rig->start_program('millraced');
}

my $sum = $rig->ledger(timeout => Torture::patience(), faults => $rounds,
    name => "$rounds ends: nothing is lost or doubled");
$t->effects('told');
is($sum->{completed}, $sum->{jobs}, 'all jobs are completed');
is_deeply([ $rig->sql('SELECT DISTINCT attempt, crashes FROM job') ],
    [ [ 1, 0 ] ], 'in one attempt, and without a crash');
my $given_back = $sum->{claims} - $sum->{jobs};
cmp_ok($given_back, '>', $rounds / 2, "$given_back times one was given back");
my $ends = () = $rig->log('millraced') =~ /millraced\[\d+\]: ends$/mg;
is($ends, $rounds, 'the daemon ended by itself each time');
unlike($rig->log('millraced'), qr/could not be given back/,
    'with all jobs given back');
diag(sprintf '%d jobs; from TERM to the end: median %.2f s, most %.2f s',
    $sum->{jobs}, Torture::quantile(0.5, @took), Torture::largest(@took));
cmp_ok(Torture::quantile(0.9, @took), '<', 5, 'within five seconds');

done_testing;
