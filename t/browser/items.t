# A stage with many items is shown in little room, and those that failed are
# found.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('pages', <<'EOT')
stage	name	10	60s	name
each	page	80	60s	failures=all page
stage	sum	10	60s	sum
EOT
    ->stage('name', <<'EOT')
#!/bin/sh
i=0
while [ $i -lt 300 ]; do i=$((i + 1)); echo "item page-$i $i" >&3; done
EOT
    ->stage('page', <<'EOT')
#!/bin/sh
[ "$MILLRACE_ITEM" = page-44 ] && { echo 'reject is torn' >&3; exit 1; }
exit 0
EOT
    ->stage('sum', "#!/bin/sh\n")->start;
my $ana = $rig->user('ana');
my $job = $rig->submit('pages', as => $ana);
$rig->ended($job, as => $ana, timeout => 120);

# Another one has more than are read at a time.
my $large = $rig->submit('pages', as => $ana);
$rig->ended($large, as => $ana, timeout => 120);
$rig->sql("INSERT INTO step (job_id, position, item, stage, state, attempt,"
    . " started_at, ended_at) SELECT UNHEX(REPLACE(?, '-', '')), 1,"
    . " CONCAT('leaf-', seq), 'page', 'done', 1, NOW(3), NOW(3)"
    . ' FROM seq_1_to_2700', $large);

Browser::run($rig, { ana => $ana, job => $job, large => $large });
done_testing;
