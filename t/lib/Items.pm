package Items;

# A site of three daemons, whose jobs have items that tell who did them, and
# whether somebody else was just at it.
#
#	use Items;
#	my $rig = Items::rig()->start;
#	my $job = Items::submit('many', 2000);
#	my $made = Items::details($job)->{made};

use strict;
use warnings;

use JSON::PP ();
use Rig;

our @hosts = qw(east west);
my ($rig, $user);

sub rig {
	return $rig = Rig->new
    ->conf('daemon', slots => 2, lease => '5s', sweep => '2s')
    ->daemons(@hosts)
    ->with_stages
    ->pipeline('many', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	work 0.02
stage	join	5	60s	join
EOT
    ->pipeline('slow', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	work 0.2
stage	join	5	60s	join
EOT
    ->pipeline('slower', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	work 1.5
stage	join	5	60s	join
EOT
    ->pipeline('kept', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	90	60s	kept=yes work-on 0.003
stage	join	5	60s	join
EOT
    ->pipeline('named', <<'EOT')
option	items	number 10 1 20000
stage	split	5	60s	split
each	work	80	60s	name
stage	store	15	60s	store
EOT
    ->stage('split', <<'EOT')
#!/bin/sh
# Names as many items as the job wants.
mkdir -p out lock
i=1
while [ "$i" -le "$MILLRACE_OPTION_ITEMS" ]; do
	echo "item n$i about n$i" >&3
	i=$((i + 1))
done
EOT
    ->stage('work', <<'EOT')
#!/bin/sh
# Does an item: tells who did it, and whether somebody else is just at it.
exec 9> "lock/$MILLRACE_ITEM"
flock -n 9 || echo "$MILLRACE_ITEM" >> overlaps
echo "$MILLRACE_ITEM $(uname -n)" >> tries
sleep "$1"
echo "$MILLRACE_ITEM_ARGS" > "out/$MILLRACE_ITEM.part"
mv "out/$MILLRACE_ITEM.part" "out/$MILLRACE_ITEM"
EOT
    ->stage('work-on', <<'EOT')
#!/usr/bin/perl
# The same, for one item after the other.
use strict;
use warnings;
use Fcntl qw(:flock);
use POSIX qw(uname);
my $host = (uname)[1];
open my $report, '>&=', 3 or die;
sub add { open my $f, '>>', $_[0] or die; syswrite $f, "$_[1]\n" }
while (my $line = <STDIN>) {
	my ($item, $args) = $line =~ /^(\S+) (.*)/ or die;
	open my $lock, '>', "lock/$item" or die;
	flock $lock, LOCK_EX | LOCK_NB or add('overlaps', $item);
	add('tries', "$item $host");
	select undef, undef, undef, $ARGV[0];
	unlink "out/$item.part";
	add("out/$item.part", $args);
	rename "out/$item.part", "out/$item" or die;
	close $lock;
	syswrite $report, "done\n";
}
EOT
    ->stage('join', <<'EOT')
#!/bin/sh
# Tells what the items came to.
set -- out/*
made=$#
right=0
for file; do
	read -r line < "$file"
	[ "$line" = "about ${file#out/}" ] && right=$((right + 1))
done
sort tries > sorted && hosts=$(cut -d' ' -f2 sorted | sort | uniq -c) || exit 1
twice=0
while read -r item rest; do
	[ "$item" = "$last" ] && twice=$((twice + 1))
	last=$item
done < sorted
overlaps=0
[ ! -e overlaps ] || while read -r item; do
	overlaps=$((overlaps + 1))
done < overlaps
echo "detail made $made" >&3
echo "detail right $right" >&3
echo "detail twice $twice" >&3
echo "detail overlaps $overlaps" >&3
echo "detail hosts {$(echo "$hosts" | while read -r n host; do
	printf '%s"%s":%s' "$comma" "$host" "$n"
	comma=,
done)}" >&3
EOT
    ->stage('name', <<'EOT')
#!/bin/sh
# Leaves a result and a fact, and says who did.
sleep 0.1
echo "step doing $MILLRACE_ITEM" >&3
echo "of $MILLRACE_ITEM, by $(uname -n)" > "out/$MILLRACE_ITEM"
echo "result $MILLRACE_ITEM.txt out/$MILLRACE_ITEM text/plain" >&3
[ "${MILLRACE_ITEM#n1}" = "$MILLRACE_ITEM" ] ||
	echo "detail $MILLRACE_ITEM \"$(uname -n)\"" >&3
EOT
}

sub user { $user //= $rig->user('ana') }

sub submit {
	my ($pipeline, $items) = @_;
	return $rig->submit($pipeline, as => user(),
	    options => { items => $items });
}

sub ended {
	my ($job, $timeout) = @_;
	return $rig->wait_for(sub {
		my $j = eval { $rig->job($job, as => user()) };
		$j && $j->{status} =~ /^(completed|failed|cancelled)$/ && $j
	}, $timeout // 120, "job $job ends");
}

# Whether it has ended: 2, or nothing.
sub over {
	my ($job) = @_;
	my $j = eval { $rig->job($job, as => user()) };
	return $j && $j->{status} =~ /^(completed|failed|cancelled)$/ ? 2 : ();
}

# What its last stage told: {made}, {right}, {twice}, {overlaps}, {hosts}.
sub details {
	my ($job) = @_;
	my ($row) = $rig->sql('SELECT COALESCE(details, ?) FROM job WHERE ' .
	    'id = UNHEX(REPLACE(?, ?, ?))', '{}', $job, '-', '');
	return JSON::PP->new->decode($row->[0]);
}

1;
