# The quality of a rendition is measured in pieces.  Joined, their scores are
# those of measuring it in one, whatever is killed in between; and what was
# measured is not measured again.

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

use lib 't/lib';
use Stages;

ok(-x $meter, "a meter for VMAF: $meter") or
    BAIL_OUT('get it by ./check, or set VMAF_METER');

# A video whose renditions are there.  What quality needs is kept aside.
sub transcoded_only {
	my ($file, $name) = @_;
	my $work = work($file);
	my $r = succeeds($work, [ "$stages/intake", '-l', 4 ], "$name: intake");
	succeeds($work, 'transcode', "$name: $_->[0]", MILLRACE_ITEM => $_->[0],
	    MILLRACE_ITEM_ARGS => $_->[1]) for items($r);
	return $work;
}

sub measured {
	my ($work, $length, $name, %set) = @_;
	return detail(succeeds($work, [ "$stages/quality", '-l', $length ],
	    $name, %set), 'quality');
}

# name => [ inode, time ] of each.
sub pieces {
	my ($work) = @_;
	return map { my $name = $_; $name => join ' ', (stat $_)[1, 9] }
	    glob "'$work'/quality/*.json";
}

# Every number, as measured: for each rendition in order of its pictures.
sub scores {
	my ($work, $metric) = @_;
	my %of;
	for my $file (sort { ($a =~ /p-(\d+)/)[0] <=> ($b =~ /p-(\d+)/)[0] }
	    glob "'$work'/quality/*.$metric.json") {
		my ($name) = $file =~ m{/(\d+p)-} or die $file;
		push @{$of{$name}}, @{JSON::PP::decode_json(slurp($file))
		    ->{scores}};
	}
	return \%of;
}

# Small pictures: this is about where they are.
my $car = ffmpeg('-i', "$top/t/data/car-detection.mp4", '-vf', 'scale=256:144',
    '-c:v', 'libx264', '-preset', 'ultrafast', '-g', 20, "$made/car.mp4");

# ---- the same numbers -------------------------------------------------------

for (
	[ 'MP4', $car ],
	[ 'a transport stream', ffmpeg('-i', $car, '-t', 16, '-c:v', 'libx264',
	    '-preset', 'ultrafast', '-g', 20, '-bf', 2, "$made/stream.ts") ],
	# more than 3000 pictures, of which only some blocks are compared
	[ 'a long one', ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=160x90:r=50' .
	    ':d=70', '-vf', "rotate='t/20'", '-c:v',
	    'libx264', '-preset', 'ultrafast', '-g', 50, '-pix_fmt', 'yuv420p',
	    "$made/long.mp4") ],
) {
	my ($name, $file) = @$_;
	my $work = transcoded_only($file, $name);
	for my $meter ($meter, undef) {
		my $metric = defined $meter ? 'vmaf' : 'ssim';
		my $what = "$name, $metric";
		system('rm', '-rf', "$work/quality");
		my $one = measured($work, 1000000, "$what: in one",
		    VMAF_METER => $meter);
		my $scores = scores($work, $metric);
		is(scalar(() = glob "'$work'/quality/*.$metric.json"),
		    scalar @{$one->{renditions}}, "$what: is one piece");

		system('rm', '-rf', "$work/quality");
		my $many = measured($work, 50, "$what: in pieces",
		    VMAF_METER => $meter);
		cmp_ok(scalar(() = glob "'$work'/quality/*.$metric.json"), '>=',
		    3 * @{$one->{renditions}}, "$what: is several");
		is_deeply($many, $one, "$what: the report is the same");
		is_deeply(scores($work, $metric), $scores,
		    "$what: so is the score of every picture");
		is_deeply([ glob "'$work/copy'*" ], [], "$what: no copy stays");
		unlike(slurp("$work/log"), qr/decoding again/,
		    "$what: nothing is decoded again");
	}
}

# ---- after a kill -----------------------------------------------------------

my $work = transcoded_only($car, 'killed');
my $whole = measured($work, 1000000, 'whole');
system('rm', '-rf', "$work/quality");

my $pid = fork // die $!;
become($work, [ "$stages/quality", '-l', 50 ]) if $pid == 0;
my $until = time + 120;
my %before;
until ((%before = pieces($work)) >= 3 || time > $until) {
	select undef, undef, undef, 0.02;
}
kill 'KILL', $pid;
waitpid $pid, 0;
%before = pieces($work);
cmp_ok(scalar keys %before, '>=', 2, keys(%before) . ' pieces are done');
is_deeply(measured($work, 50, 'killed'), $whole,
    'the report is that of a run without a kill');
my %after = pieces($work);
cmp_ok(scalar keys %after, '>', keys %before, 'the others have come');
is_deeply({ map { $_ => $after{$_} } keys %before }, \%before,
    'those that were done are as they were');
like(slurp("$work/log"), qr/@{[scalar keys %before]} of \d+ pieces were /,
    'and the log says so');

# All of them: no meter is started.
is_deeply(measured($work, 50, 'again', PATH => "$made/nowhere:/usr/bin:/bin"),
    $whole, 'again: the same');
is_deeply({ pieces($work) }, \%after, 'again: none is measured');

# ---- pieces of something else -----------------------------------------------

my ($some) = sort keys %after;
spew($some, substr slurp($some), 0, 40);
is_deeply(measured($work, 50, 'half'), $whole, 'half of one is none');
isnt({ pieces($work) }->{$some}, $after{$some}, 'and is measured again');

my ($largest) = sort { -s $b <=> -s $a } glob "'$work'/renditions/*.mp4";
my $text = slurp($largest);
unlink $largest;
spew($largest, $text);
my ($name) = $largest =~ m{(\d+p)\.mp4$};
my %old = pieces($work);
is_deeply(measured($work, 50, 'made anew'), $whole, 'made anew: the same');
my %new = pieces($work);
is_deeply([ grep { $new{$_} eq $old{$_} } grep { m{/$name-} } keys %new ], [],
    'a rendition that is made anew is measured anew');
is_deeply([ grep { $new{$_} ne $old{$_} } grep { !m{/$name-} } keys %new ], [],
    'the others are not');

# A place in the source that is wrong.
system('rm', '-rf', "$work/quality");
my @spans = map { [ split ] } split /\n/, slurp("$work/spans");
$spans[$_][2] = sprintf '%.3f', $spans[$_][0] * 2 / 25 + 2 for 1 .. $#spans;
spew("$work/spans", map { "@$_\n" } @spans);
is_deeply(measured($work, 50, 'astray'), $whole, 'astray: the same');
like(slurp("$work/log"), qr/decoding again from the beginning/,
    'astray: as it was noticed');

chdir '/';
done_testing;
