# What the hub asks of the database does not depend on how many follow: two
# ticks a second, and nothing at all when nobody does.

use strict;
use warnings;

use Puppet;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $rig = Rig->new->conf('site', anonymous => 'yes')
    ->conf('sse', user_streams => 1000)->start;
my @jobs = map { Puppet->new($rig) } 1 .. 30;

# Statements of the hub in so many seconds, prepared ones counted once.
sub asked_in {
	my ($seconds) = @_;
	$rig->sql("SET GLOBAL general_log = 0;
	    TRUNCATE mysql.general_log; SET GLOBAL log_output = 'TABLE';
	    SET GLOBAL general_log = 1");
	my $end = time + $seconds;
	$rig->wait_for(sub { time > $end }, $seconds + 5, 'time goes by');
	return ($rig->sql("SET GLOBAL general_log = 0;
	    SELECT COUNT(*) FROM mysql.general_log
	    WHERE user_host LIKE 'millrace_sse%'
	    AND command_type IN ('Query', 'Execute')"))[0][0];
}

sub follow { $rig->stream('/jobs/' . $_[0]->id . '/stream') }

is(asked_in(2), 0, 'nobody watches: nothing is asked');
my $first = follow($jobs[0]);
is($first->next->{event}, 'status', 'one stream');
# Six ticks, and perhaps the sweep.
my $n = asked_in(3);
cmp_ok($n, '>=', 5, 'about two questions a second');
cmp_ok($n, '<=', 8, 'and no more');
my @streams = map { follow($jobs[$_ % @jobs]) } 1 .. 300;
is($_->next->{event}, 'status', '300 streams') for @streams[0, -1];
$n = asked_in(3);
cmp_ok($n, '>=', 5, 'are as many questions');
cmp_ok($n, '<=', 8, 'as one');

# What did change is asked for in few more, whatever the number of jobs.
$rig->sql(join '', 'START TRANSACTION;', (map { $_->change(progress => 50) }
    @jobs), 'COMMIT;');
$n = asked_in(2);
cmp_ok($n, '<=', 10, '30 changed jobs are few questions more');
is($_->next->{event}, 'progress', 'all know of it')
    for @streams[0, -1];

$_->close for $first, @streams;
$rig->wait_for(sub { $rig->get('/metrics')->{body} =~
    /^millrace_sse_connections\{kind="process"\} 0$/m }, 10,
    'all have left');
is(asked_in(2), 0, 'nobody watches: nothing is asked again');

done_testing;
