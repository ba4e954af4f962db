# Cancelling ends a running job, in whatever it is; how soon, and with all that
# it has started, is the matter of t/fault-stage-cancel.t.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('stubborn', <<'EOT')
stage	first	50	60s	stubborn
stage	second	50	60s	stubborn
always	tidy	0	60s	tidy
EOT
    ->pipeline('items', "stage name 10 9s name\neach one 90 60s stubborn\n")
    ->stage('stubborn', <<'EOT')
#!/bin/sh
# Hears nothing.
trap '' TERM INT HUP
echo "progress 10 stands" >&3
while :; do sleep 0.05; done
EOT
    ->stage('tidy', "#!/bin/sh\necho tidied >&2\n")
    ->stage('name', "#!/bin/sh\nfor i in 1 2 3 4; do echo item \$i >&3; done\n")
    ->start;
my $ana = $rig->user('ana');

sub programs {
	my ($job) = @_;
	return scalar grep { (readlink("$_/cwd") // '') =~ m{/work/$job} }
	    glob '/proc/[0-9]*';
}

my $job;
for my $pipeline (qw(stubborn items)) {
	$job = $rig->submit($pipeline, as => $ana);
	my $s = $rig->stream("/api/v1/jobs/$job/stream", as => $ana);
	my $e;
	do { $e = $s->next(timeout => 60) }
	    until $e->{json}{current_step} eq 'stands';
	my $r = $rig->post("/api/v1/jobs/$job/cancel", as => $ana);
	is($r->{status}, 202, "$pipeline: cancel is taken");
	$rig->wait_for(sub { !programs($job) }, 10, 'all of it is gone');
	my @events = $s->until_end(timeout => 20);
	is($events[-1]{json}{status}, 'cancelled', 'the stream ends with it');
	is($events[-1]{json}{error_message}, 'cancelled', 'and says so');
	is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 409,
	    'once is enough');
	$rig->wait_for(sub { ! -e $rig->dir . "/storage/work/$job" }, 10,
	    'its directory goes');
}
is_deeply([ $rig->sql('SELECT state, output FROM step WHERE stage = ?',
    'tidy') ], [ [ 'done', "tidied\n" ] ], '"always" stages have run');
is_deeply([ $rig->sql('SELECT state FROM step WHERE stage = ?', 'second') ],
    [ [ 'waiting' ] ], 'and no other');

# Cancelled, its files are gone: retried by a person, it starts anew.
$rig->stage('stubborn', "#!/bin/sh\nexit 0\n");
is($rig->post("/api/v1/jobs/$job/retry", as => $ana)->{status}, 202,
    'a person may want it after all');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'and gets it');

done_testing;
