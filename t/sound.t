# A long sound is encoded in parts.  Joined, they are what it would be in one:
# as long, and as close to the source, also where they were joined.

use strict;
use warnings;

use File::Path qw(remove_tree);
use List::Util qw(max min sum);
use Test::More;

use lib 't/lib';
use Stages;

# ---- what there is to compare -----------------------------------------------

sub rendition { (glob "'$_[0]/renditions/'*.mp4")[0] }

# Times of its packets.
sub times_of {
	my ($file) = @_;
	return [ map { "$_->{pts} $_->{duration}" } @{ffprobe($file,
	    '-select_streams', 'a', '-show_packets')->{packets}} ];
}

# A pipe with the samples of the left channel, with the clock of all streams.
sub samples {
	my ($file) = @_;
	open my $p, '-|', 'ffmpeg', '-nostdin', '-v', 'error', '-i', $file,
	    '-map', '0:a', '-af', 'aresample=async=1:first_pts=0,aformat=' .
	    'sample_rates=48000:channel_layouts=stereo,pan=mono|c0=c0', '-f',
	    'f32le', 'pipe:1', '-map', '0:v', '-c', 'copy', '-f', 'null', '-'
	    or die $!;
	binmode $p;
	return $p;
}

# How far one is from the other: the energy of each 1024 samples.
sub differences {
	my ($p, $q) = map { samples($_) } @_;
	my @energy;
	while (1) {
		my $n = read $p, my $x, 4096;
		my $m = read $q, my $y, 4096;
		last unless $n && $m;
		my @x = unpack 'f<*', $x;
		my @y = unpack 'f<*', $y;
		my $e = 0;
		for (0 .. ($#x < $#y ? $#x : $#y)) {
			my $d = $x[$_] - $y[$_];
			$e += $d * $d;
		}
		push @energy, $e;
	}
	return @energy;
}

# ---- in parts, and in one ---------------------------------------------------

sub env_of { (MILLRACE_ITEM => $_[0][0], MILLRACE_ITEM_ARGS => $_[0][1]) }

# Take FILE in, with sound in parts of 13 seconds, and do all items; and, with
# the same pictures, in one.
sub both {
	my ($name, $file) = @_;
	my ($many, $one) = (work($file), work($file));
	my $r = succeeds($many, [ "$stages/intake", '-l', 12, '-a', 13 ],
	    "$name: intake");
	my $probe = slurp("$many/probe.json");
	$probe =~ s/"sound_parts":\s*\K\d+/1/ or die $probe;
	spew("$one/probe.json", $probe);
	spew("$one/spans", slurp("$many/spans"));
	my @sound = grep { $_->[0] =~ /^sound-\d+$/ } items($r);
	my @pictures = grep { $_->[0] =~ /:/ } items($r);
	succeeds($one, 'transcode', "$name: $_->[0]", env_of($_))
	    for @pictures, [ 'sound', 'sound' ];
	system('mkdir', "$many/segments");
	system('cp', '-r', (grep { !/sound/ } glob "'$one/segments/'*"),
	    "$many/segments");
	succeeds($many, 'transcode', "$name: $_->[0]", env_of($_))
	    for reverse @sound;
	return ($many, $one, scalar @sound);
}

sub joined {
	my ($name, $many, $one) = @_;
	succeeds($one, 'quality', "$name: in one", VMAF_METER => undef);
	my $r = succeeds($many, 'quality', "$name: joined",
	    VMAF_METER => undef);
	ok(!glob("'$many/segments'*"), "$name: nothing is left of the parts");
	is_deeply(times_of(rendition($many)), times_of(rendition($one)),
	    "$name: as many frames, at the same times");
	return $r;
}

sub compare {
	my ($name, $file, $cut, $joins) = @_;
	my ($many, $one, $parts) = both($name, $file);
	is($parts, $cut, "$name: in $cut parts");
	my $r = joined($name, $many, $one);
	my @frames = $r->{log} =~ /joined at frame (\d+)/g;
	is(scalar @frames, $joins, "$name: joined $joins times");
	near($name, \@frames, [ differences($file, rendition($many)) ],
	    [ differences($file, rendition($one)) ]);
}

# How much farther MANY is from the source than ONE is, usually, in a block of
# those FROM to TO.
sub farther {
	my ($many, $one, $from, $to) = @_;
	my @ratios = map { log($many->[$_] / $one->[$_]) }
	    grep { $many->[$_] > 1e-7 && $one->[$_] > 1e-7 } $from .. $to;
	return @ratios ? exp(sum(@ratios) / @ratios) : 1;
}

# Around the frames JOINS, MANY is as close to the source as ONE is: where it is
# joined, were something to be heard, and for 10 seconds to each side, were an
# encoder not to have settled.
sub near {
	my ($name, $joins, $many, $one) = @_;
	is(scalar @$many, scalar @$one, "$name: of the same length");
	my $usual = sum(@$one) / @$one;
	for my $frame (@$joins) {
		# A frame is heard from the block before on.
		my $at = $frame - 1;
		my @at = grep { $_ <= $#$one } $at - 2 .. $at + 1;
		cmp_ok(sum(@$many[@at]), '<=', 2 * max(sum(@$one[@at]),
		    @at * $usual), "$name: no click at $at");
		cmp_ok(farther($many, $one, max($at - 469, 0), $at), '<=',
		    1.15, "$name: close to the source before $at");
		cmp_ok(farther($many, $one, $at, min($at + 469, $#$one)),
		    '<=', 1.15, "$name: and behind it");
	}
}

my $length = 23;			# of most, seconds: two parts
sub pictures { ('-f', 'lavfi', '-i', "testsrc=s=64x64:r=2:d=$_[0]") }
my @small = pictures($length);
my @h264 = ('-c:v', 'libx264', '-preset', 'ultrafast', '-g', 4);

# Tones that come and go, and noise; in one channel, of another rate.
sub music { ('-f', 'lavfi', '-i', "aevalsrc='0.3*sin(2*PI*(200+90*floor(4*t))" .
    "*t)*exp(-3*mod(t,0.25)/0.25)+0.05*random(0)+0.2*sin(2*PI*1000*t)*" .
    "gt(mod(t,3),1.4)':s=44100:d=$_[0]") }
# In two: a tone that rises, and clicks in the middle of silence.
sub source { ('-f', 'lavfi', '-i', "aevalsrc=$_[0]:s=48000:d=" .
    ($_[1] // $length)) }
my $sweep = '0.4*sin(40*t*t*PI)|0.4*cos(40*t*t*PI)';
my $clicks = '0.9*lt(mod(t\,0.21)\,0.0005)|0.9*lt(mod(t\,0.21)\,0.0005)';

my $long = ffmpeg(pictures(36), music(36), @h264, '-c:a', 'aac', '-b:a',
    '160k', "$made/long.mp4");
my $song = ffmpeg('-i', $long, '-t', $length, '-c', 'copy',
    "$made/song.mp4");
compare('AAC', $long, 3, 2);
compare('a sweep', ffmpeg(@small, source($sweep), @h264, '-c:a', 'flac',
    "$made/sweep.mkv"), 2, 1);
compare('clicks', ffmpeg(@small, source($clicks), @h264, '-c:a', 'flac',
    "$made/clicks.mkv"), 2, 1);
compare('a stream', ffmpeg('-i', $song, '-c:v', 'copy', '-c:a', 'mp2',
    '-output_ts_offset', 3000, "$made/song.ts"), 2, 1);
compare('later than the pictures', ffmpeg('-i', $song, '-itsoffset', 7.3,
    '-i', $song, '-map', '0:v', '-map', '1:a', '-c', 'copy', '-t', $length,
    "$made/later.mkv"), 2, 1);
compare('a hole', ffmpeg('-i', $song, '-c:v', 'copy', '-af',
    "aselect='lt(t,2)+gt(t,9.3)'", '-c:a', 'pcm_s16le', "$made/hole.mkv"), 2,
    1);
compare('longer than the pictures', ffmpeg(pictures(19), music(22.99), @h264,
    "$made/longer.mp4"), 2, 1);
# Which end with a part, and behind it.
my %short = (11.52 => 0, 11.53 => 1);
compare("sound of $_ s", ffmpeg(@small, source($sweep, $_), @h264,
    '-c:a', 'flac', "$made/short$_.mkv"), 2, $short{$_}) for sort keys %short;

# ---- what cannot be joined --------------------------------------------------

# No frame has the same window in both channels.
my ($many, $one) = both('apart', ffmpeg(@small, source(
    '0.9*lt(mod(t\,0.01)\,0.0002)|0.3*sin(2000*t)'), @h264, '-c:a', 'flac',
    "$made/apart.mkv"));
my $r = joined('apart', $many, $one);
like($r->{log}, qr/sound-1\/sound\.mp4: cannot be joined/,
    'apart: cannot be joined');
ok(grep({ /^Encoding the sound/ } @{$r->{step}}),
    'apart: it is encoded again');
ok(slurp(rendition($many)) eq slurp(rendition($one)), 'apart: as in one');

# ---- where the number of channels changes -----------------------------------

# All samples of the left channel of FILE, one after the other.
sub sound_of {
	my ($file) = @_;
	return unpack 's<*', qx(ffmpeg -nostdin -v error -i '$file' -map 0:a \\
	    -af 'aformat=channel_layouts=stereo,pan=mono|c0=c0' -f s16le -);
}

# How often it passes through 0 in the second from AT on.
sub pitch {
	my ($x, $at) = @_;
	return scalar grep { $x->[$_ - 1] < 0 && $x->[$_] >= 0 }
	    48000 * $at + 1 .. min(48000 * ($at + 1), $#$x);
}

# Television, which changes from two to six and back; each is another tone.
my @change = ([ 2, 400 ], [ 6, 600 ], [ 2, 800 ]);
spew("$made/change.ts", map { slurp(ffmpeg('-f', 'lavfi', '-i',
    'testsrc=s=64x64:r=2:d=6', '-f', 'lavfi', '-i', "sine=$change[$_][1]:d=6",
    @h264, '-c:a', 'ac3', '-ac', $change[$_][0], '-output_ts_offset', 6 * $_,
    "$made/change$_.ts")) } 0 .. $#change);
($many, $one) = both('a change', ffmpeg('-i', "$made/change.ts", '-c', 'copy',
    "$made/change.mkv"));
$r = joined('a change', $many, $one);
like($r->{log}, qr/sound-1\/sound\.mp4: joined/, 'a change: can be joined');
for my $work ($many, $one) {
	my $name = $work eq $one ? 'a change, in one' : 'a change, in parts';
	my @sound = sound_of(rendition($work));
	cmp_ok(abs(@sound / 48000 - 18), '<', 0.1, "$name: of its length");
	cmp_ok(abs(pitch(\@sound, 6 * $_ + 3) - $change[$_][1]), '<=', 1,
	    "$name: $change[$_][1] Hz at its time") for 0 .. $#change;
}

# ---- joining again ----------------------------------------------------------

# A part that is missing is named; nothing else is done again.
($many, $one) = both('again', $song);
my $saved = "$made/saved";
system('cp', '-r', "$many/segments", $saved);
rename "$many/segments/sound-1", "$many/away" or die $!;
$r = run($many, 'quality');
isnt($r->{exit}, 0, 'again: a part that is missing is seen');
like($r->{log}, qr/segment sound-1 is not there/, 'again: and named');
rename "$many/away", "$many/segments/sound-1" or die $!;
joined('again', $many, $one);
my $first = slurp(rendition($many));

# Killed when the sound was whole, and with half of a file.
system('cp', '-r', $saved, "$many/segments");
spew("$many/segments/sound.mp4", 'half');
unlink rendition($many);
succeeds($many, 'quality', 'again: with half of it', VMAF_METER => undef);
ok(slurp(rendition($many)) eq $first, 'again: the same');

# A part that ends within a frame or lacks one, and one of another encoder.
sub spoilt {
	my ($why, $spoil) = @_;
	remove_tree("$many/segments");
	system('cp', '-r', $saved, "$many/segments");
	my $part = "$many/segments/sound-1/sound.mp4";
	spew($part, $spoil->(slurp($part)));
	$r = run($many, 'quality');
	isnt($r->{exit}, 0, "again: $why");
	is($r->{reject}, undef, 'again: is not the fault of the video');
	like($r->{log}, qr/sound-1\/sound\.mp4: .*$why/, 'again: and told');
}
spoilt('ends within a frame', sub { substr $_[0], 0, -3 });
spoilt('frame \d+ is out of its place', sub { $_[0] =~
    s/.{4}moof.*?(?=.{4}moof)//sr });
spoilt('another version of ffmpeg', sub { $_[0] =~ s/Sound/sound/r });

done_testing;
