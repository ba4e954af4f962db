# A pipeline changes while jobs of it wait, or is not the same on all hosts:
# nothing of the old one is delivered, and no host fails what another can do.

use strict;
use warnings;

use Rig;
use Test::More;

my $store = "stage store 20 60s store\n";
my $rig = Rig->new
    ->conf('daemon', slots => 3, lease => '5s', sweep => '1s')
    ->with_stages
    ->with_gate
    ->daemons('east')
    ->pipeline('changes', "stage old 60 60s make old\n" .
	"stage fall 20 60s attempts=2 pause=4s fall\n$store")
    ->pipeline('mends', "stage only 60 60s mend\nstage fall 20 60s" .
	" attempts=1 late\n$store")
    ->pipeline('middle', "stage one 30 60s make kept\n" .
	"stage two 30 60s mend\nstage fall 20 60s attempts=1 late\n$store")
    ->pipeline('owes', "stage only 100 60s make it\n")
    ->pipeline('flood', "stage many 10 60s many\neach part 90 60s nothing\n")
    ->pipeline('wait', "stage only 100 60s gate\n")
    ->pipeline('here', "stage only 100 60s nothing\n")
    ->stage('make', <<'EOT')
#!/bin/sh
ls > found
echo "$1" > "$1.txt"
echo "detail $1 true" >&3
echo "result $1.txt $1.txt text/plain" >&3
EOT
    ->stage('mend', "#!/bin/sh\nexec \"\${0%/*}/make\" wrong\n")
    ->stage('late', "#!/bin/sh\n[ -e right.txt ]\n")
    ->stage('fall', "#!/bin/sh\nexit 3\n")
    ->stage('nothing', "#!/bin/sh\n")
    ->stage('many', "#!/bin/sh\nseq -f 'item n%.0f' 20001 >&3\n")
    ->start;
my $ana = $rig->user('ana');
my $dir = $rig->dir;

# ---- nothing of the old one is delivered ------------------------------------

my $job = $rig->submit('changes', as => $ana);
my $log = sub { $rig->log('millraced') . $rig->log('east') };
$rig->wait_for(sub { $log->() =~ /$job: to be tried again/ }, 30,
    'the job waits for its next try');
$rig->pipeline('changes', "stage new 80 60s make new\n$store");
kill 'HUP', $rig->pid($_) for qw(millraced east status upload);
my $end = $rig->ended($job, as => $ana);
is($end->{status}, 'completed', 'a pipeline changes while its job waits');
my @names = map { $_->{name} } @{ $rig->get(
    "/api/v1/jobs/$job/artifacts", as => $ana)->json->{items} };
is("@names", 'new.txt', 'of the old one is no result');
my ($row) = $rig->sql('SELECT details, result FROM job WHERE ' .
    'id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
is($row->[$_], '{ "new": true }', 'nor a fact') for 0, 1;
$rig->wait_for(sub { !glob "$dir/storage/work/$job*" }, 30,
    'nor a file is left');

# ---- run again from its start -----------------------------------------------

$job = $rig->submit('mends', as => $ana);
is($rig->ended($job, as => $ana)->{status}, 'failed', 'a program is wrong');
$rig->stage('mend', "#!/bin/sh\nexec \"\${0%/*}/make\" right\n");
is($rig->post("/api/v1/jobs/$job/retry", as => $ana,
    json => { from => 'start' })->{status}, 202, 'mended, it is run again');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'from the start');
@names = map { $_->{name} } @{ $rig->get(
    "/api/v1/jobs/$job/artifacts", as => $ana)->json->{items} };
is("@names", 'right.txt', 'and of the try before is no result');

# ---- run again from its middle ----------------------------------------------

$rig->stage('mend', "#!/bin/sh\nexec \"\${0%/*}/make\" wrong\n");
$job = $rig->submit('middle', as => $ana);
is($rig->ended($job, as => $ana)->{status}, 'failed', 'wrong in the middle');
$rig->stage('mend', "#!/bin/sh\nexec \"\${0%/*}/make\" right\n");
is($rig->post("/api/v1/jobs/$job/retry", as => $ana,
    json => { from => 'two' })->{status}, 202, 'mended, it is run again');
is($rig->ended($job, as => $ana)->{status}, 'completed', 'from there');
@names = map { $_->{name} } @{ $rig->get(
    "/api/v1/jobs/$job/artifacts", as => $ana)->json->{items} };
is("@names", 'kept.txt right.txt',
    'what was named before that stays, what that named before does not');

# ---- its end alone has failed -----------------------------------------------

$job = $rig->submit('owes', as => $ana);
is($rig->ended($job, as => $ana)->{status}, 'failed', 'a result is owed');
is($rig->post("/api/v1/jobs/$job/retry", as => $ana)->{status}, 202,
    'that is tried again');
is($rig->ended($job, as => $ana)->{status}, 'failed', 'in vain');
($row) = $rig->sql('SELECT MAX(progress) FROM event WHERE ' .
    'job_id = UNHEX(REPLACE(?, ?, ?))', $job, '-', '');
cmp_ok($row->[0], '<', 100, 'and is never at 100 percent');

# ---- more items than there may be -------------------------------------------

$end = $rig->ended($rig->submit('flood', as => $ana), as => $ana);
is("$end->{status}: $end->{error_message}", 'failed: More than 20000 items',
    'too many items fail their stage, rather than be left out');

# ---- a pipeline that is on one host -----------------------------------------

mkdir "$dir/none" or die "$dir/none: $!\n";
Rig::_write("$dir/none/other.conf", "stage only 100 60s nothing\n");
my $conf = Rig::_read("$dir/daemons/east.conf");
$conf =~ s/^pipelines = .*/pipelines = $dir\/none/m or die;
Rig::_write("$dir/daemons/east.conf", $conf);
$rig->fault('TERM', 'east');
$rig->stop('east');
my @busy = map { $rig->submit('wait', as => $ana) } 1 .. 3;
$rig->wait_for(sub { -p "$dir/storage/work/$_/gate" }, 30, 'the host is busy')
    for @busy;
$rig->start_program('east');
my $began = time;
my @jobs = map { $rig->submit('here', as => $ana) } 1 .. 30;
my $given = '';
$rig->wait_for(sub {
	($given = $rig->log('east')) =~ /A host that has pipeline "here" is/
}, 30, 'one that does not have the pipeline takes a job of it');
$rig->tell($_, 'end') for @busy;
$end = join ' ', map { $rig->ended($_, as => $ana)->{status} } @jobs;
is($end, join(' ', ('completed') x 30),
    'what another host knows is left to that');
my %given;
$given = $rig->log('east');
$given{$1}++ while $given =~ /job (\S+): to be .*"here" is wanted/g;
my ($most) = sort { $b <=> $a } values %given;
cmp_ok($most, '<=', 1 + (time - $began) / 60,
    'by one that does not: for a minute it leaves them alone');

unlink "$dir/pipelines/here.conf" or die "here.conf: $!\n";
kill 'HUP', $rig->pid('millraced');
$rig->fault('TERM', 'east');
$rig->stop('east');
$rig->wait_for(sub { $rig->sql('SELECT id FROM daemon') == 1 }, 30,
    'one daemon is left');
is($rig->ended($rig->submit('here', as => $ana), as => $ana)->{error_message},
    'There is no pipeline "here" here', 'what nobody knows fails');
$rig->ledger;

done_testing;
