# A program that is kept does the items of a stage one after the other, each
# once; what becomes of it in or between them is counted where it belongs.

use strict;
use warnings;

use JSON::PP;
use Kept;
use Rig;
use Test::More;
use Time::HiRes qw(time);

my $many = 10_000;
my $few = 200;

my $rig = Rig->new
    ->conf('daemon', lease => '60s')
    ->pipeline('many', <<'EOT')
option	items	number 10 1 20000
stage	name	1	60s	name-many
each	item	98	60s	kept=yes work
stage	sum	1	60s	sum
EOT
    ->pipeline('few', <<'EOT')
option	items	number 10 1 20000
stage	name	1	60s	name-many
each	item	98	60s	work-once
EOT
    ->pipeline('odd', <<'EOT')
accept	*/*
pause	0
stage	name	1	60s	name
each	item	98	2s	kept=yes attempts=2 odd
always	tell	1	60s	tell
EOT
    ->pipeline('slow', <<'EOT')
accept	*/*
stage	name	1	60s	name
each	item	98	60s	kept=yes slow
always	tell	1	60s	tell
EOT
    ->pipeline('deaf', <<'EOT')
accept	*/*
stage	name	1	60s	name
each	item	99	1s	kept=yes attempts=1 deaf
EOT
    ->pipeline('helper', <<'EOT')
accept	*/*
stage	name	1	60s	name
each	item	99	60s	kept=yes attempts=1 helper
EOT
    ->stage('name-many', <<'EOT')
#!/bin/sh
seq 1 "$MILLRACE_OPTION_ITEMS" | sed 's/.*/item i& about  i&/' >&3
EOT
    ->stage('name', "#!/bin/sh\nsed 's/^/item /' input >&3\n")
    ->stage('sum', <<'EOT')
#!/bin/sh
# What the items have left behind.
echo "detail lines $(wc -l <ran)" >&3
echo "detail names $(cut -d' ' -f1 ran | sort -u | wc -l)" >&3
echo "detail wrong $(grep -cvE '^(i[0-9]+) about  \1 - [0-9a-f]+$' ran)" >&3
echo "detail programs $(sed 's/.* //' ran | sort -u | wc -l)" >&3
EOT
    ->stage('work-once', "#!/bin/sh\necho \"\$MILLRACE_ITEM\" >>ran\n")
    ->stage('slow', <<'EOT')
#!/bin/sh
# Forks what hears nothing, and takes its time.
trap '' TERM
while read -r name; do
	echo "$name" >>ran
	sleep 0.05 </dev/null
	echo "done" >&3
done
EOT
    ->stage('deaf', "#!/bin/sh\nwhile :; do echo done >&3; done\n")
    ->stage('after', "#!/bin/sh\n")
    ->stage('tell', <<'EOT')
#!/bin/sh
# Which items were begun, in that order.
echo "detail ran \"$(tr '\n' ' ' <ran)\"" >&3
EOT
    ->stage('split', <<'EOT')
#!/bin/sh
mkdir pages
for i in 1 2 3 4 5 6 7 8 9; do
	seq 1 "$i" >"pages/$i"
	echo "item page-$i pages/$i" >&3
done
echo "item page-0 pages/0" >&3
EOT
    ->stage('look', <<'EOT')
#!/bin/sh
echo "detail words \"$(cat words/* | tr '\n' ' ')\"" >&3
EOT
    ->stage('odd', <<'EOT');
#!/bin/sh
# Does what is behind the name of an item.
first=yes
while read -r name do rest; do
	echo "$name" >>ran
	echo "log of $name" >&2
	case $do in
	fail)	echo "failed $rest" >&3; continue ;;
	reject)	echo "reject $rest" >&3; continue ;;
	again)	[ -e "again-$name" ] ||
		    { : >"again-$name"; echo "retry 0 $rest" >&3; continue; } ;;
	crash)	[ -e "crash-$name" ] ||
		    { : >"crash-$name"; kill -SEGV $$; } ;;
	exit)	exit "$rest" ;;
	hang)	sleep 600 </dev/null ;;
	rest)	echo "done" >&3; exit 7 ;;
	first)	[ "$first" ] && exit 3 ;;
	talk)	printf 'done\ndone\nprogress 77 nothing\nresult x x\n' >&3
		continue ;;
	twice)	echo "done $name" >&3; echo "done $name" >&3; continue ;;
	env)	env | grep -c '^MILLRACE_ITEM' >env ;;
	esac
	first=
	echo "done" >&3
done
echo end >>ran
EOT
Kept::program($rig, 'work', <<'EOT');
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "stage.h"

/* Notes each item, and which program did it. */
int
main(void)
{
	const char		*env = getenv("MILLRACE_ITEM");
	struct stage_item	 item;
	unsigned int		 self = arc4random();
	int			 fd;

	stage_init("work");
	fd = open("ran", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	while (stage_next(&item)) {
		dprintf(fd, "%s %s %s %08x\n", item.name, item.args,
		    env != NULL ? env : "-", self);
		stage_done();
	}
	return 0;
}
EOT
Kept::program($rig, 'helper', <<'EOT');
#include <string.h>
#include "stage.h"

/* All that stage.h has for items. */
int
main(void)
{
	struct stage_item	 item;

	stage_init("helper");
	while (stage_next(&item)) {
		if (strcmp(item.args, "failed") == 0)
			stage_failed("no %s", item.name);
		else if (strcmp(item.args, "refused") == 0)
			stage_refused("not %s", item.name);
		else if (strcmp(item.args, "postponed") == 0)
			stage_postponed(1, "not yet %s", item.name);
		else if (strcmp(item.args, "reject") == 0)
			stage_reject("never %s", item.name);
		else if (strcmp(item.args, "forgotten") != 0)
			stage_done();
	}
	return 0;
}
EOT
my @kinds = qw(sh php c);
for my $kind (@kinds) {
	$rig->pipeline("count-$kind", "accept */*\nstage split 1 60s split\n"
	    . "each page 98 60s kept=yes failures=1 count-$kind\n"
	    . "stage look 1 60s look\n")
	    ->stage("count-$kind",
		example($rig->file("doc/examples/count-words.$kind")));
}
system('cc', '-Wall', '-Werror', '-o', $rig->dir . '/stages/count-c',
    $rig->file('doc/examples/count-words.c')) == 0 or die 'count-words.c';
my @failures = qw(finish stop 0 5% all);
for my $failures (@failures) {
	$rig->pipeline('part-' . $failures =~ s/%/p/r, "accept */*\n"
	    . "stage name 1 60s name\n"
	    . "each item 98 60s kept=yes failures=$failures odd\n"
	    . "stage after 1 60s after\n");
}
$rig->start;
my $ana = $rig->user('ana');

# ---- helpers ----------------------------------------------------------------

my $of = 'job_id = UNHEX(REPLACE(?, ?, ?))';

# The bytes of a file.
sub example {
	my ($path) = @_;
	open my $f, '<', $path or die "$path: $!";
	local $/;
	return <$f>;
}

sub details {
	my ($job) = @_;
	my ($row) = $rig->sql('SELECT COALESCE(details, ?) FROM job WHERE'
	    . ' id = UNHEX(REPLACE(?, ?, ?))', '{}', $job, '-', '');
	return JSON::PP->new->decode($row->[0]);
}

# Why each item has failed that has.
sub reasons {
	my ($job) = @_;
	return { map { $_->{item} => $_->{reason} }
	    @{ details($job)->{failed} // [] } };
}

# The items that were begun, in that order.
sub ran { split ' ', details($_[0])->{ran} }

sub work { $rig->dir . "/storage/work/$_[0]" }

# Processes that work in the directory of a job.
sub programs {
	my ($job) = @_;
	return scalar grep { (readlink("$_/cwd") // '') =~ m{/work/$job} }
	    glob '/proc/[0-9]*';
}

sub lines {
	my ($path) = @_;
	open my $f, '<', $path or return;
	chomp(my @lines = <$f>);
	return @lines;
}

# More than N of its items were begun.
sub wait_for_work {
	my ($job, $n) = @_;
	$rig->wait_for(sub {
		my @ran = lines(work($job) . '/ran');
		return @ran > $n;
	}, 60, 'it is at work');
}

# By name, a list of what the database has of each item.
sub items {
	my ($job, @columns) = @_;
	return { map { my ($name, @rest) = @$_; ($name => "@rest") }
	    $rig->sql('SELECT item, ' . join(', ', map { "COALESCE($_, '')" }
	    @columns) . " FROM step WHERE item <> '' AND $of", $job, '-', '') };
}

# A pipeline of one kept stage, with SETTINGS, whose items are LINES.
sub run {
	my ($pipeline, @lines) = @_;
	my $job = $rig->submit($pipeline, as => $ana,
	    content => join('', map { "$_\n" } @lines));
	return ($rig->ended($job, as => $ana, timeout => 120), $job);
}

# ---- many -------------------------------------------------------------------

my %seconds;
for (['many', $many], ['few', $few]) {
	my ($pipeline, $n) = @$_;
	my $job = $rig->submit($pipeline, as => $ana,
	    options => { items => $n });
	my $end = $rig->ended($job, as => $ana, timeout => 300);
	is($end->{status}, 'completed', "$n items: done")
	    or diag $end->{error_message};
	($seconds{$pipeline}) = map { $_->[0] } $rig->sql('SELECT'
	    . ' TIMESTAMPDIFF(MICROSECOND, MIN(started_at), MAX(ended_at))'
	    . " / 1000000 FROM step WHERE item <> '' AND $of", $job, '-', '');
	diag sprintf '%s: %d items in %.2f s, %.0f a second', $pipeline, $n,
	    $seconds{$pipeline}, $n / $seconds{$pipeline};
	is_deeply([ $rig->sql("SELECT state, attempt, failures, crashes,"
	    . " COUNT(*) FROM step WHERE item <> '' AND $of GROUP BY 1, 2, 3,"
	    . ' 4', $job, '-', '') ], [ [ 'done', 1, 0, 0, $n ] ],
	    'each at the first try, as the database has it');
	next if $pipeline eq 'few';
	my $details = details($job);
	is($details->{lines}, $n, 'their program has seen so many');
	is($details->{names}, $n, 'each once');
	is($details->{wrong}, 0, 'with its arguments, in its environment');
	cmp_ok($details->{programs}, '<=', 64, 'all by a few processes')
	    or diag $details->{programs};
}

# ---- what an item may come to -----------------------------------------------

my ($end, $job) = run('odd', 'a ok', 'b fail too dark', 'c ok',
    'e again the ink is wet', 'f ok', 'g env');
is($end->{status}, 'failed', 'a job has failed when an item has');
is_deeply(items($job, 'state', 'failures', 'crashes'), {
	a => 'done 0 0', b => 'failed 2 0', c => 'done 0 0',
	e => 'done 1 0', f => 'done 0 0', g => 'done 0 0'
}, 'done, failed, and tried again');
like(reasons($job)->{b}, qr/too dark$/, 'with its reason');
is(details($job)->{items_failed}, 1, 'and how many');
is_deeply(items($job, 'output')->{c}, "log of c\n",
    'the log is that of the item');
is((lines(work($job) . '/env'))[0], 0, 'there is no item in the environment');
is((ran($job))[-1], 'end',
    'at the end of its input the program is let to its own end');

# ---- what a program may come to ---------------------------------------------

($end, $job) = run('odd', 'a ok', 'b crash', 'c ok');
is($end->{status}, 'completed', 'a crash takes its item along');
is_deeply(items($job, 'state', 'failures', 'crashes'),
    { a => 'done 0 0', b => 'done 0 1', c => 'done 0 0' }, 'and no other');

($end, $job) = run('odd', 'a ok', 'b exit 0', 'c exit 3', 'd ok');
is_deeply(items($job, 'state', 'failures', 'crashes'), { a => 'done 0 0',
	b => 'failed 2 0', c => 'failed 2 0', d => 'done 0 0' },
    'an end in an item is a failure of that item');
like(reasons($job)->{b}, qr/item: exit 0 before the item was done/,
    'with status 0');
like(reasons($job)->{c}, qr/item: exit 3: log of c/,
    'with another, and its last words');

($end, $job) = run('odd', map { "i$_ rest" } 1 .. 40);
is($end->{status}, 'completed', 'an end between two items is none of theirs');
is_deeply([ sort { $a cmp $b } values %{ items($job, 'state', 'failures',
    'crashes') } ], [ ('done 0 0') x 40 ], 'they count nothing');

($end, $job) = run('odd', map { "i$_ first" } 1 .. 4);
is($end->{status}, 'failed', 'one that does nothing but end ends');
is_deeply([ values %{ items($job, 'state', 'failures') } ],
    [ ('failed 2') x 4 ], 'after the tries that it has');

# ---- limits -----------------------------------------------------------------

($end, $job) = run('odd', 'a ok', 'b hang', 'c ok');
is_deeply(items($job, 'state', 'failures'),
    { a => 'done 0', b => 'failed 2', c => 'done 0' },
    'one that never answers is ended');
like(reasons($job)->{b}, qr/ended after 2 s, its limit/, 'at its limit');

# The daemon does not look: it stands still.
$job = $rig->submit('odd', as => $ana, content => "a ok\nb hang\n");
$rig->wait_for(sub { grep { $_ eq 'b' } lines(work($job) . '/ran') }, 60,
    'the item hangs');
kill 'STOP', $rig->pid('millraced');
$rig->wait_for(sub { !programs($job) }, 40, 'the keeper ends it');
kill 'CONT', $rig->pid('millraced');
$rig->ended($job, as => $ana);
like(reasons($job)->{b}, qr/ended after 2 s, its limit/,
    'at the limit, whatever the daemon does meanwhile');

# ---- out of turn ------------------------------------------------------------

($end, $job) = run('odd', map { "i$_ talk" } 1 .. 50);
is($end->{status}, 'completed', 'words between two items do no harm');
is_deeply([ sort grep { $_ ne 'end' } ran($job) ],
    [ sort map { "i$_" } 1 .. 50 ], 'nor do they end an item');
like($rig->log('millraced'), qr/job\ $job:\ item:\ \d+\ lines\ on\ descriptor
    \ 3\ were\ said\ outside\ of\ an\ item/x, 'they are counted and logged');

my @two = map { ("i$_ twice", "j$_ ok") } 1 .. 50;
($end, $job) = run('odd', @two);
is($end->{status}, 'completed', 'nor does "done", said twice with a name');
is_deeply([ sort grep { $_ ne 'end' } ran($job) ],
    [ sort map { s/ .*//r } @two ], 'and each item was read');

($end, $job) = run('deaf', 'a', 'b', 'c');
is_deeply([ values %{ items($job, 'state') } ], [ ('failed') x 3 ],
    'a program that does not read has done nothing');

# ---- cancel, and the end of a daemon ----------------------------------------

$job = $rig->submit('slow', as => $ana,
    content => join('', map { "i$_\n" } 1 .. 500));
wait_for_work($job, 10);
my $at = time;
is($rig->post("/api/v1/jobs/$job/cancel", as => $ana)->{status}, 202,
    'it is cancelled');
$rig->wait_for(sub { !programs($job) }, 20, 'no program is left');
diag sprintf 'cancelled: %.2f s until no program was left', time - $at;
is($rig->ended($job, as => $ana)->{status}, 'cancelled', 'nor the job');

$job = $rig->submit('slow', as => $ana,
    content => join('', map { "i$_\n" } 1 .. 200));
sub done {
	return map { $_->[0] } $rig->sql('SELECT item FROM step WHERE'
	    . " state = 'done' AND item <> '' AND $of", $job, '-', '');
}
$rig->wait_for(sub { done() > 20 }, 60, 'some are done');
$rig->kill('STOP', 'millraced');
# What it had sent the database may take effect yet.
my ($before, @done) = (-1);
$rig->wait_for(sub {
	@done = done();
	my $same = @done == $before;
	$before = @done;
	return $same;
}, 20, 'nothing more is written');
$rig->kill('KILL', 'millraced');
$end = $rig->ended($job, as => $ana, timeout => 120);
is($end->{status}, 'completed', 'a daemon that is killed is no harm');
my %times;
$times{$_}++ for ran($job);
is_deeply([ grep { $times{$_} != 1 } @done ], [],
    'of the items that were done none was fed again');
is(scalar keys %times, 200, 'and of the others none was left out');
diag sprintf '%d done, %d fed again', scalar @done,
    scalar grep { $_ > 1 } values %times;

# ---- failures ---------------------------------------------------------------

my @hundred = ((map { "i$_ ok" } 1 .. 99), 'last reject no picture');
my %end = (
	finish => [ 'failed', 99, 'the others are done' ],
	stop => [ 'failed', undef, 'the others are not waited for' ],
	'5%' => [ 'completed', 99, 'the job goes on' ],
	'0' => [ 'failed', 99, 'one is more than none' ],
	all => [ 'completed', 99, 'the job goes on' ],
);
for my $failures (@failures) {
	my ($status, $done, $what) = @{ $end{$failures} };
	($end, $job) = run('part-' . $failures =~ s/%/p/r, @hundred);
	is($end->{status}, $status, "failures=$failures: $what");
	is(details($job)->{items_failed}, 1, 'one has failed');
	is(reasons($job)->{last}, 'no picture', 'as it said');
	my $n = grep { $_ eq 'done' } values %{ items($job, 'state') };
	is($n, $done, "$done are done") if defined $done;
	cmp_ok($n, '<=', 99, 'and not that one');
}

# ---- the helper in C --------------------------------------------------------

($end, $job) = run('helper', 'a', 'b failed', 'c refused', 'd postponed',
    'e reject', 'f forgotten', 'g');
is_deeply(items($job, 'state'), { a => 'done', b => 'failed', c => 'failed',
	d => 'failed', e => 'failed', f => 'failed', g => 'done' },
    'the helper says what became of an item');
is_deeply(reasons($job), { b => 'no b', c => 'not c', d => 'not yet d',
	e => 'never e', f => 'Its program did not say how it ended' },
    'and why');

# ---- the examples -----------------------------------------------------------

my $manual = `mandoc -T utf8 -O width=200 '@{[
    $rig->file('lib/millrace-report.7') ]}'`;
$manual =~ s/.\x08//g;
$manual =~ s/\s+/ /g;		# it has its own indents
for my $kind (@kinds) {
	my $text = example($rig->file("doc/examples/count-words.$kind"));
	$text =~ s/\s+/ /g;
	ok(index($manual, $text) >= 0, "the manual has count-words.$kind");
	($end, $job) = run("count-$kind", 'x');
	is($end->{status}, 'completed', "count-words.$kind runs")
	    or diag $end->{error_message};
	is(details($job)->{words}, '1 2 3 4 5 6 7 8 9 ', 'and counts');
	is(reasons($job)->{'page-0'},
	    'page-0: there is no file "pages/0"', 'and refuses');
}

$rig->ledger(name => 'nothing is left or lost');
done_testing;
