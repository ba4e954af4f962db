# A video that is transcoded in parts is, once they are joined, what it would
# be in one: the same pictures at the same times, with the same sound.  Parts
# can be done in any order, at the same time, again, and after a kill.

use strict;
use warnings;

use File::Path qw(remove_tree);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib 't/lib';
use Stages;

# ---- videos in which every picture shows its number -------------------------

# Sixteen bars, dark or bright: the bits of the number.
sub numbered {
	my ($seconds, $rate) = @_;
	return ('-f', 'lavfi', '-i', "color=s=256x144:r=$rate:d=$seconds," .
	    "format=gray,geq=lum='if(mod(floor(N/pow(2\\,floor(X/16)))\\,2)" .
	    "\\,235\\,16)'");
}

sub numbers {
	my ($file) = @_;
	my $raw = qx(ffmpeg -nostdin -v error -i '$file' -map 0:v -vsync \\
	    passthrough -vf scale=16:1:flags=area,format=gray -f rawvideo -);
	return map {
		my $n = 0;
		my @bits = unpack 'C*', $_;
		$n |= ($bits[$_] > 125) << $_ for 0 .. 15;
		$n;
	} unpack '(a16)*', $raw;
}

# Times of the packets, in units of the file, by kind of stream.
sub timing {
	my ($file) = @_;
	my %times;
	push @{$times{$_->{codec_type}}}, $_->{pts} . ($_->{flags} =~ /K/ &&
	    $_->{codec_type} eq 'video' ? ' key' : '')
	    for @{ffprobe($file, '-show_entries',
	    'packet=codec_type,pts,flags')->{packets}};
	my %sorted = map { my $kind = $_; $kind => [ sort { no warnings;
	    $a <=> $b } @{$times{$kind}} ] } keys %times;
	return \%sorted;
}

my @h264 = ('-c:v', 'libx264', '-preset', 'ultrafast', '-qp', 18, '-bf', 2,
    '-pix_fmt', 'yuv420p');
my @sine = ('-f', 'lavfi', '-i', 'sine=d=9');
my $plain = ffmpeg(numbered(9, '30000/1001'), @sine, @h264, '-g', 70,
    "$made/plain.mp4");

# ---- joined, and in one -----------------------------------------------------

# Take FILE in, to be cut into LENGTH seconds.
sub taken_in {
	my ($file, $length, $name) = @_;
	my $work = work($file);
	my $r = succeeds($work, [ "$stages/intake", '-l', $length ],
	    "$name: intake");
	return ($work, $r);
}

sub rendition { (glob "'$_[0]/renditions/'*.mp4")[0] }

sub compare {
	my ($name, $file, $parts, $pictures) = @_;
	my ($many, $r) = taken_in($file, 2, "$name, in parts");
	my @spans = grep { $_->[1] ne 'sound' } items($r);
	ok($parts->(scalar @spans), "$name: @{[scalar @spans]} parts");

	# The plan for one part, without reading the file again.
	my $one = work($file);
	my $all = '0 ' . (split / /, $spans[-1][1])[1] . ' 0 last';
	spew("$one/probe.json", slurp("$many/probe.json"));
	spew("$one/spans", "$all\n");
	transcoded($one, { item => [ "all $all" ] }, "$name, in one",
	    VMAF_METER => undef);

	$r->{item} = [ reverse @{$r->{item}} ];
	$r = transcoded($many, $r, "$name, in parts", VMAF_METER => undef);
	is(detail($r, 'decode_errors'), undef, "$name: no errors");

	my @numbers = numbers(rendition($many));
	is(scalar @numbers, $pictures, "$name: $pictures pictures");
	is("@numbers", join(' ', numbers(rendition($one))),
	    "$name: the same, in the same order");
	is_deeply(timing(rendition($many)), timing(rendition($one)),
	    "$name: at the same times, with the same sound");
	return $many;
}

my $many = sub { $_[0] >= 3 && $_[0] <= 5 };
my $single = sub { $_[0] == 1 };
compare('plain', $plain, $many, 270);
compare('any number of pictures', ffmpeg('-i', $plain, '-vf',
    "select='not(mod(n*7,5))+lt(mod(n,97),30)'", '-vsync', 'vfr', @h264,
    '-g', 80, "$made/vfr.mkv"), $many, 266);
compare('a gap', ffmpeg('-i', $plain, '-vf',
    "select='lt(n,60)+gt(n,200)'", '-vsync', 'vfr', '-c:a', 'copy', @h264,
    '-g', 30, "$made/gap.mp4"), sub { $_[0] >= 2 }, 129);
compare('later than the sound', ffmpeg('-itsoffset', 2.5, '-i', $plain, '-i',
    $plain, '-map', '0:v', '-map', '1:a', '-t', 9, '-c', 'copy',
    "$made/late.mp4"), sub { $_[0] >= 3 }, 273);
compare('as a browser records', ffmpeg('-i', $plain, '-an', '-c:v', 'libvpx',
    '-deadline', 'realtime', '-b:v', '2M', '-g', 60, '-f', 'webm', '-live', 1,
    "$made/live.webm"), $many, 270);

# Those in which nothing finds its place are cut in a copy.  Here are groups of
# pictures that refer to others, two fields in a picture, and clocks that do
# not begin at 0.
my @open = ('-c:v', 'libx264', '-preset', 'ultrafast', '-qp', 18, '-bf', 2,
    '-g', 40, '-x264opts', 'open_gop=1');
my @mpeg2 = ('-c:v', 'mpeg2video', '-q:v', 3, '-bf', 2, '-g', 15,
    '-flags', '+ilme+ildct');
my $stream = ffmpeg('-itsoffset', 1.5, '-i', $plain, '-i', $plain, '-map',
    '0:v', '-map', '1:a', '-t', 9, @open, '-c:a', 'mp2', '-output_ts_offset',
    3000, "$made/stream.ts");
my $cut = compare('a transport stream', $stream, $many, 270);
ok(!-e "$cut/copy.nut", 'and the copy is gone');
compare('a program stream', ffmpeg('-i', $plain, '-vf', 'setfield=tff', @mpeg2,
    '-c:a', 'mp2', '-f', 'vob', "$made/mpeg2.mpg"), $many, 270);
compare('Ogg', ffmpeg('-i', $plain, '-c:v', 'libtheora', '-q:v', 8, '-g', 30,
    '-c:a', 'libvorbis', "$made/theora.ogv"), $many, 270);
compare('DV', ffmpeg('-i', $plain, '-target', 'pal-dv', '-t', 6,
    "$made/tape.dv"), sub { $_[0] == 3 }, 150);

# There is none where a clock jumps or a time is missing.
spew("$made/jump.ts", slurp(ffmpeg('-i', $plain, @open, '-c:a', 'mp2',
    "$made/first.ts")), slurp($stream));
ffmpeg('-i', $plain, '-an', @open, '-f', 'vob', "$made/h264.mpg");
for my $file (qw(jump.ts h264.mpg)) {
	my ($whole, $r) = taken_in("$made/$file", 2, $file);
	is(scalar(() = items($r)), 1, "$file: one part");
	is_deeply([ glob "'$whole/copy'*" ], [], "$file: no copy");
}

compare('one keyframe', ffmpeg('-i', $plain, '-an', @h264, '-g', 10000,
    '-x264opts', 'keyint=infinite', "$made/one.mp4"), sub { $_[0] <= 5 }, 270);
compare('a single picture', ffmpeg(numbered(1, 25), '-frames:v', 1, @h264,
    "$made/single.mp4"), $single, 1);

# ---- items that are done again ----------------------------------------------

sub segments {
	my ($work) = @_;
	opendir my $d, "$work/segments" or return;
	my @names = sort { ($a =~ /^(\d*)/)[0] <=> ($b =~ /^(\d*)/)[0] }
	    grep { /^\d/ } readdir $d;
	return @names;
}

sub env_of { (MILLRACE_ITEM => $_[0][0], MILLRACE_ITEM_ARGS => $_[0][1]) }

my ($work, $taken) = taken_in($plain, 2, 'again');
my @items = items($taken);
is($items[0][0], 'sound', 'the sound is an item');
like($items[1][0], qr/^00:00:00-00:00:0\d$/, 'others are named by their time');
my $r = succeeds($work, 'transcode', 'an item', env_of($items[1]));
is((segments($work))[0], join('-', (split / /, $items[1][1])[0, 1]),
    'it leaves a segment');
my $inode = (stat "$work/segments/@{[segments($work)]}/144p.mp4")[1];
succeeds($work, 'transcode', 'the same, when it is there', env_of($items[1]),
    PATH => '/nowhere');
is((stat "$work/segments/@{[segments($work)]}/144p.mp4")[1], $inode,
    'leaves it as it is');

# Two at the same time, as when one host takes another for dead.
my @pids = map {
	my $mine = "$work/at$_";
	my $pid = fork // die $!;
	if ($pid == 0) {
		mkdir $mine;
		symlink "../$_", "$mine/$_" for qw(input probe.json segments);
		become($mine, 'transcode', env_of($items[2]));
	}
	$pid;
} 1, 2;
is(join(' ', map { waitpid $_, 0; $? } @pids), '0 0',
    'an item that is done twice at once is done');
is(scalar segments($work), 2, 'and leaves one segment');
is_deeply([ grep { -d } glob "'$work/segments/'.part*" ], [],
    'and nothing else');

# One that is killed in the middle of it.
my $stopped = "$made/stopped";
mkdir $stopped;
spew("$stopped/ffmpeg", "#!/bin/sh\n" .
    "for last; do :; done; echo half > \"\$last\"\n" .
    "echo frame=1 >&3\nexec tail -f /dev/null\n");
chmod 0755, "$stopped/ffmpeg";
my $pid = fork // die $!;
become($work, 'transcode', env_of($items[3]),
    PATH => "$stopped:/usr/bin:/bin") if $pid == 0;
my $until = time + 60;
until (glob("'$work/segments/'.part*/*") || time > $until) {
	select undef, undef, undef, 0.02;
}
kill 'KILL', $pid;
waitpid $pid, 0;
is(scalar segments($work), 2, 'an item that is killed leaves no segment');
ok(glob("'$work/segments/'.part*/*"), 'but what it had of one');

# ---- joining ----------------------------------------------------------------

$r = run($work, 'quality');
isnt($r->{exit}, 0, 'a segment that is missing is seen');
like($r->{log}, qr/segment \d+-\d+ is not there/, 'and named');
succeeds($work, 'transcode', 'the rest', env_of($_)) for items($taken);
my $saved = "$made/saved";
system('cp', '-r', "$work/segments", $saved);
succeeds($work, 'quality', 'joined', VMAF_METER => undef);
is(join(' ', numbers(rendition($work))), join(' ', 0 .. 269),
    'is right after all of that');
ok(-s "$work/poster.jpg", 'with a still picture');
ok(!-e "$work/segments", 'and the segments are gone');

# ---- joining again ----------------------------------------------------------

# Killed behind any step of it, or begun again by a person.
my $first = slurp(rendition($work));
my %left = (
	nothing => sub { },
	'all segments' => sub { system('cp', '-r', $saved,
	    "$work/segments") },
	'some segments' => sub { system('mkdir', "$work/segments");
	    system('cp', '-r', "$saved/sound", "$work/segments") },
	'segments that were being removed' => sub { system('cp', '-r', $saved,
	    "$work/segments.gone") },
);
for my $what (sort keys %left) {
	$left{$what}->();
	$r = succeeds($work, 'quality', "with $what left",
	    VMAF_METER => undef);
	ok(slurp(rendition($work)) eq $first, "with $what left: the same");
	is(scalar @{detail($r, 'renditions')}, 1,
	    "with $what left: all is told again");
	is_deeply([ glob "'$work/segments'*" ], [],
	    "with $what left: nothing stays");
}
succeeds($work, 'transcode', 'made anew', env_of($_)) for items($taken);
unlink rendition($work);
succeeds($work, 'quality', 'made anew: joined', VMAF_METER => undef);
ok(slurp(rendition($work)) eq $first, 'made anew: the same');

# The copy that it was cut in is made again as well.
($work, $taken) = taken_in($stream, 2, 'copy');
@items = items($taken);
succeeds($work, 'transcode', 'from the copy', env_of($items[2]));
my ($part) = map { "$work/segments/$_/144p.mp4" } segments($work);
$first = slurp($part);
remove_tree("$work/segments");
unlink "$work/copy.nut" or die "copy.nut: $!";
$r = succeeds($work, 'transcode', 'the copy is gone', env_of($items[2]));
ok(slurp($part) eq $first, 'the copy is gone: the same');
ok(-s "$work/copy.nut", 'the copy is gone: there is another');

# ---- segments that do not fit -----------------------------------------------

($work, $taken) = taken_in($plain, 2, 'unfit');
system('cp', '-r', $saved, "$work/segments");
# A segment that another encoder made cannot stand beside the others.
my $third = "$work/segments/" . (segments($work))[2] . '/144p.mp4';
my $kept = slurp($third);
ffmpeg('-i', $third, '-c:v', 'libx264', '-bf', 0, '-movflags',
    '+empty_moov+frag_keyframe', "$made/other.mp4");
system('cp', "$made/other.mp4", $third);
$r = run($work, 'quality');
like($r->{log}, qr/another version of ffmpeg/, 'and is refused');
isnt($r->{exit}, 0, 'for the job to fail');
is_deeply($r->{reject}, undef, 'not the video');
spew($third, substr $kept, 0, 400);
like(run($work, 'quality')->{log}, qr/has no fragments/, 'so is half of one');

# ---- seeks that lead astray, and pictures that are broken -------------------

# The plan says to begin behind the first picture of the span.
($work, $taken) = taken_in($plain, 2, 'astray');
$taken->{item}[2] =~ s/ (\d+) (\d+) \S+$/" $1 $2 " . $2 * 1001 \/ 30000/e;
$r = run($work, 'transcode', env_of((items($taken))[2]));
like($r->{log}, qr/decoding again from the beginning/,
    'pictures that are missing are noticed');
$r = transcoded($work, $taken, 'astray', VMAF_METER => undef);
is(join(' ', numbers(rendition($work))), join(' ', 0 .. 269),
    'and are there in the end');

# As many errors as in one run, though some parts are decoded twice.
my $bad = slurp($plain);
my ($mdat) = $bad =~ /mdat/g ? pos $bad : die;
substr($bad, $mdat + int((length($bad) - $mdat - 200) * $_ / 9), 60) =
    "\xa5" x 60 for 1 .. 8;
spew("$made/bad.mp4", $bad);
my %errors;
for my $length (2, 1000) {
	my ($broken, $in) = taken_in("$made/bad.mp4", $length, 'broken');
	$r = transcoded($broken, $in, 'broken', VMAF_METER => undef);
	$errors{$length} = detail($r, 'decode_errors') // 0;
	is(scalar numbers(rendition($broken)), 270, 'broken: every picture');
}
cmp_ok($errors{1000}, '>', 0, "broken: $errors{1000} errors are counted");
cmp_ok($errors{2}, '>', 0, "broken: $errors{2} in parts");
cmp_ok($errors{2}, '<=', 2 * $errors{1000}, 'broken: about as many');

chdir '/';
done_testing;
