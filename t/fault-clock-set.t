# The clock of the database is set, forth and back: daemons do not take each
# other for dead, and still find one that is.  (slow)

use strict;
use warnings;

use Rig;
use Test::More;
use Time::HiRes qw(time);

my ($fake) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
plan skip_all => 'no libfaketime here' unless $fake;

my @hosts = qw(east west);
my $rig = Rig->new
    ->conf('daemon', lease => '5s', slots => 4)
    ->pipeline('hold', "stage a 50 60s quick\nstage b 50 300s gate\n")
    ->stage('quick', "#!/bin/sh\n")
    ->with_gate
    ->daemons(@hosts);
my $dir = $rig->dir;

# Its clock shall differ from ours by so many seconds.
sub set_clock {
	my ($s) = @_;
	Rig::_write("$dir/clock.part", sprintf("%+d\n", $s));
	rename "$dir/clock.part", "$dir/clock" or die "$dir/clock: $!";
}

# The server is found before the real one.
my ($mariadbd) = grep { -x } map { "$_/mariadbd" } split(/:/, $ENV{PATH}),
    qw(/usr/local/sbin /usr/sbin /sbin);
mkdir "$dir/bin" or die "$dir/bin: $!";
Rig::_write("$dir/bin/mariadbd", <<"EOT");
#!/bin/sh
export LD_PRELOAD='$fake' FAKETIME_TIMESTAMP_FILE='$dir/clock'
export FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
exec '$mariadbd' "\$@"
EOT
chmod 0755, "$dir/bin/mariadbd";
set_clock(0);
{
	local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
	$rig->start;
}
my $ana = $rig->user('ana');

# Those that are alive have renewed their leases so often.
sub wait_for_renewals {
	my ($n) = @_;
	my %times;
	$rig->wait_for(sub {
		$times{$_->[0]}{$_->[1]} = 1
		    for $rig->sql('SELECT id, seen_at FROM daemon');
		!grep { keys %{ $times{$_} } <= $n } keys %times
	}, 60, "all leases are renewed $n times");
}

sub lost {
	return scalar grep { $rig->log($_) =~ /is gone|fenced/ }
	    'millraced', @hosts;
}

sub clock { my ($row) = $rig->sql('SELECT UNIX_TIMESTAMP()'); $row->[0] }

my @jobs = map { $rig->submit('hold', as => $ana) } 1 .. 9;
$rig->wait_for(sub { -p "$dir/storage/work/$_/gate" }, 30, "job $_ runs")
    for @jobs;
my @with = $rig->sql('SELECT DISTINCT daemon_id FROM job');
cmp_ok(@with, '>=', 2, 'more than one daemon has jobs');

for my $step ([ 3600, 'an hour forth' ], [ -3600, 'two hours back' ],
    [ 86400, 'a day forth' ], [ 0, 'back to what it is' ]) {
	my ($s, $what) = @$step;
	set_clock($s);
	my $off = clock() - time;
	cmp_ok(abs($off - $s), '<', 30, "the clock is set $what");
	wait_for_renewals(3);
	is(lost(), 0, 'no daemon is taken for dead');
}
is_deeply([ $rig->sql('SELECT DISTINCT state, attempt, crashes, deaths' .
    ' FROM job') ], [ [ 'running', 1, 0, 0 ] ], 'all jobs go on as they did');

# One that is silent is found all the same, though by the database's clock its
# lease has an hour to go.
set_clock(-3600);
my ($id) = $rig->sql('SELECT j.daemon_id, d.host FROM job j JOIN daemon d' .
    ' ON d.id = j.daemon_id WHERE d.host IN (?, ?) LIMIT 1', @hosts);
my ($daemon, $host) = @$id;
my ($now) = $rig->sql('SELECT NOW(3)');
my @its = map { $_->[0] } $rig->sql('SELECT LOWER(HEX(id)) FROM job' .
    ' WHERE daemon_id = ?', $daemon);
for my $job (@jobs) {
	unlink "$dir/storage/work/$job/gate"
	    if grep { $_ eq $job =~ s/-//gr } @its;
}
$rig->kill('STOP', $host);
$rig->wait_for(sub {
	!$rig->sql('SELECT 1 FROM job WHERE daemon_id = ?', $daemon)
}, 60, 'others have its jobs');
my ($took) = $rig->sql('SELECT TIMESTAMPDIFF(MICROSECOND, ?, MAX(e.at))' .
    ' / 1000000 FROM event e WHERE e.state = ? AND e.step <> ?', $now->[0],
    'pending', '');
diag("$took->[0] s until its " . @its . ' jobs were taken over');
cmp_ok($took->[0], '<', 20, 'within 20 s');

cmp_ok($took->[0], '>', 2, 'but not before it has ended its programs');
set_clock(0);
$rig->kill('CONT', $host);
$rig->tell($_, 'end') for @jobs;
is($rig->ended($_, as => $ana)->{status}, 'completed', 'it completes')
    for @jobs;
done_testing;
