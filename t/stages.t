# The stages of the video pipeline, each run as the daemon runs it, on real
# files and on hostile ones.  This is slow: it makes and measures videos.

use strict;
use warnings;

use Digest::SHA;
use File::Path qw(make_path remove_tree);
use JSON::PP;
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(time);

use lib 't/lib';
use Stages;

my @picture = ('-f', 'lavfi', '-i');
my @h264 = ('-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p');

ok(-x $meter, "a meter for VMAF: $meter") or
    BAIL_OUT('get it by ./check, or set VMAF_METER');

# ---- real videos, from end to end -------------------------------------------

# The order of the top boxes of an MP4 file.
sub boxes {
	my ($file) = @_;
	my $data = slurp($file);
	my @types;
	for (my $at = 0; $at + 8 <= length $data; ) {
		my ($size, $type) = unpack 'Na4', substr $data, $at, 8;
		push @types, $type;
		$at += $size || last;
	}
	return "@types";
}

sub check_rendition {
	my ($name, $file, $size, $audio, $seconds) = @_;
	my $p = ffprobe($file, '-show_streams', '-show_format',
	    '-show_entries', 'packet=pts_time,flags,codec_type');
	my ($v) = grep { $_->{codec_type} eq 'video' } @{$p->{streams}};
	my ($a) = grep { $_->{codec_type} eq 'audio' } @{$p->{streams}};
	is("$v->{width}x$v->{height} $v->{codec_name} $v->{pix_fmt} " .
	    ($a ? $a->{codec_name} : 'silent'),
	    "$size h264 yuv420p " . ($audio ? 'aac' : 'silent'),
	    "$name: $size");
	ok(!grep({ exists $_->{rotation} } @{$v->{side_data_list} // []}),
	    "$name: is upright by itself");
	cmp_ok(abs($p->{format}{duration} - $seconds), '<', 0.5,
	    "$name: as long as the source");
	like(boxes($file), qr/^ftyp moov/, "$name: plays while it loads");
	my @key = map { $_->{pts_time} } grep { $_->{codec_type} eq 'video' &&
	    $_->{flags} =~ /K/ } @{$p->{packets}};
	return join ' ', map { sprintf '%.2f', $_ } @key;
}

# All that a playlist names, by a reader that knows nothing of the writer.
sub named_by {
	my ($text) = @_;
	my @named;
	for (split /\n/, $text) {
		push @named, /URI="([^"]*)"/g;
		push @named, $_ if /^[^#\s]/;
	}
	return @named;
}

sub check_playlists {
	my ($name, $store, $sizes, $audio, $seconds) = @_;
	my $master = slurp("$store/master.m3u8");
	my @rates = $master =~ /:BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+),/g;
	is(scalar @rates, 2 * @$sizes, "$name: HLS has the rates");
	while (my ($peak, $mean) = splice @rates, 0, 2) {
		cmp_ok($peak, '>=', $mean, "$name: a peak is above the mean");
	}
	my @lists = named_by($master);
	is(scalar @lists, @$sizes + !!$audio, "$name: HLS has all tracks");
	my (%seen, @lasts);
	for my $list (@lists) {
		like($list, qr/^[\w.]+$/, "$name: $list is a flat name");
		my $text = slurp("$store/$list");
		like($text, qr/#EXT-X-ENDLIST/, "$name: $list ends");
		my $lasts = 0;
		$lasts += $1 while $text =~ /#EXTINF:([\d.]+)/g;
		push @lasts, $lasts;
		$seen{$_}++ for named_by($text);
	}
	my @lost = grep { !-s "$store/$_" } keys %seen;
	is_deeply(\@lost, [], "$name: all segments are there");
	cmp_ok(abs($_ - $seconds), '<', 0.6, "$name: a track of $_ s")
	    for @lasts;

	for my $list ('master.m3u8', 'manifest.mpd') {
		my $p = ffprobe("$store/$list", '-show_streams');
		my %tracks;
		for (@{$p->{streams}}) {
			my $size = $_->{width} ? "$_->{width}x$_->{height}"
			    : $_->{codec_name};
			$tracks{$size} = 1;
		}
		is_deeply([ sort keys %tracks ],
		    [ sort @$sizes, $audio ? 'aac' : () ],
		    "$name: $list can be opened");
		my $said = `ffmpeg -nostdin -v error -i '$store/$list' \\
		    -map 0 -f null - 2>&1`;
		is($said, '', "$name: $list decodes without an error");
	}
}

sub check_store {
	my ($name, $work, $r) = @_;
	my $wrong = 0;
	my @types;
	for (@{$r->{stored}}) {
		my ($file, $size, $sha256, $type) = split / /;
		push @types, $type;
		$wrong++ if -s "$work/store/$file" != $size ||
		    Digest::SHA->new(256)->addfile("$work/store/$file")
		    ->hexdigest ne $sha256;
	}
	is($wrong, 0, "$name: sizes and hashes are right");
	is((split / /, $r->{stored}[0])[0], 'master.m3u8',
	    "$name: the main result comes first");
	my %types = map { $_ => 1 } @types;
	is_deeply([ sort keys %types ], [ 'application/dash+xml',
	    'application/json', 'application/vnd.apple.mpegurl', 'image/jpeg',
	    'video/iso.segment', 'video/mp4' ], "$name: media types");
	opendir my $d, "$work/store" or die $!;
	is(scalar(grep { !/^\./ } readdir $d), scalar @{$r->{stored}},
	    "$name: and nothing else is in the store");
}

my $bottle = ffmpeg('-i', "$top/t/data/bottle-detection-noaudio.mp4", '-t', 5,
    '-c', 'copy', "$made/bottle.mp4");
for (
	[ "$top/t/data/rabbit320.webm", 'WebM', 7.8, 1, '320x240' ],
	[ "$top/t/data/portrait-270x480.mp4", 'portrait', 3.63, 0,
	    '270x480', '240x426' ],
	[ "$top/t/data/rotated-90-displaymatrix.mp4", 'turned', 3.63, 0,
	    '640x480', '480x360', '320x240' ],
	[ $bottle, 'silent', 5, 0, '640x360', '426x240' ],
) {
	my ($file, $name, $seconds, $audio, @sizes) = @$_;
	my $work = work($file);
	my $r = succeeds($work, 'intake', "$name: intake");
	my $v = detail($r, 'video');
	is("$v->{width}x$v->{height}", $sizes[0], "$name: as displayed");
	cmp_ok(abs($v->{seconds} - $seconds), '<', 0.2, "$name: its length");

	is_deeply([ map { $_->[1] =~ /^0 \d+ 0\.000 last$/ ? 'all' : $_->[1] }
	    items($r) ], [ 'all' ], "$name: so short that it is not cut");
	$r = transcoded($work, $r, $name);
	my @files = map { "$work/renditions/$_->{name}.mp4" }
	    @{detail($r, 'renditions')};
	is(scalar @files, scalar @sizes, "$name: all renditions");
	my %keys;
	$keys{check_rendition($name, $files[$_], $sizes[$_], $audio,
	    $seconds)}++ for 0 .. $#sizes;
	is(scalar keys %keys, 1, "$name: keyframes at the same times");
	like((keys %keys)[0], qr/^0\.00 [12]\.\d\d/, "$name: two s apart");
	my $p = ffprobe("$work/poster.jpg", '-show_streams')->{streams}[0];
	is("$p->{width}x$p->{height}", $sizes[0], "$name: a still picture");

	my $q = detail($r, 'quality');
	is("$q->{metric} $q->{tool} $q->{model}",
	    'vmaf libvmaf 1.3.7 vmaf_v0.6.1', "$name: is measured by VMAF");
	is($q->{warning}, undef, "$name: without a warning");
	cmp_ok($q->{renditions}[0]{mean}, '>', 85, "$name: and is good");
	is($q->{verdict}, 'pass', "$name: it passes");
	is_deeply(decode_json(slurp("$work/quality.json")), $q,
	    "$name: the report says the same");

	succeeds($work, 'package', "$name: package");
	$r = succeeds($work, 'store', "$name: store");
	check_store($name, $work, $r);
	check_playlists($name, "$work/store", \@sizes, $audio, $seconds);
}

# ---- what is no video -------------------------------------------------------

sub data { work("$top/t/data/$_[0]") }
sub from { my ($name, @text) = @_; spew("$made/$name", @text);
	work("$made/$name") }

refused(data('zero-byte.mp4'), 'intake', qr/the file is empty/, 'zero bytes');
refused(data('text.mp4'), 'intake', qr/no known video format/, 'text');
refused(data('headless.mp4'), 'intake', qr/no known video format/, 'headless');
refused(data('truncated.mp4'), 'intake',
    qr/not whole: the file ends after 3\.5 s of 30\.2 s/, 'half a video');

my $whole = slurp("$top/t/data/portrait-270x480.mp4");
my $moov = index $whole, 'moov';
refused(from('nomoov.mp4', substr($whole, 0, $moov - 4),
    pack('Na4', length($whole) - $moov + 4, 'free'), "\0" x 1000), 'intake',
    qr/no index \(moov atom\)|no known video format/, 'without an index');

my @sine = ('-f', 'lavfi', '-i', 'sine=d=1');
refused(work(ffmpeg(@sine, "$made/a.mp4")), 'intake',
    qr/sound but no picture/, 'sound alone');
my $cover = ffmpeg(@picture, 'testsrc=s=64x64', '-frames:v', 1,
    "$made/cover.png");
refused(work(ffmpeg(@sine, '-i', $cover, '-map', 0, '-map', 1, '-c:v', 'mjpeg',
    '-disposition:v', 'attached_pic', "$made/cover.m4a")), 'intake',
    qr/sound but no picture/, 'a song with a cover');
refused(work(ffmpeg(@sine, '-f', 'mp3', "$made/a.mp3")), 'intake',
    qr/a format that is no video/, 'another format');
refused(work(ffmpeg(@picture, 'color=s=8200x16:d=0.2', @h264,
    "$made/wide.mp4")), 'intake', qr/8200x16 pixels is larger/, 'too wide');
refused(work(ffmpeg(@picture, 'color=s=8x8:d=0.2', '-c:v', 'mpeg4',
    "$made/tiny.mp4")), 'intake', qr/8x8 pixels is smaller/, 'too small');

# A playlist that calls itself a video must not lead to other files.
my $secret = ffmpeg(@picture, 'testsrc=s=64x64:d=1', @h264, '-f', 'mpegts',
    "$made/secret.ts");
for (
	[ 'm3u8', "#EXTM3U\n#EXTINF:1,\nfile:$secret\n#EXT-X-ENDLIST\n" ],
	[ 'ffconcat', "ffconcat version 1.0\nfile $secret\n" ],
	[ 'sdp', "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n" .
	    "t=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n" ],
	[ 'mpd', '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:' .
	    '2011" type="static"><Period><AdaptationSet><Representation ' .
	    "id=\"0\"><BaseURL>file://$secret</BaseURL></Representation>" .
	    '</AdaptationSet></Period></MPD>' ],
) {
	my ($kind, $text) = @$_;
	my $work = from("x.$kind", $text);
	system('cp', $secret, "$work/secret.ts");
	refused($work, 'intake', qr/This is not a video/, "a $kind");
}

# ---- videos that are odd ----------------------------------------------------

for (
	[ 'odd sizes', '340x190', qr/^340x190$/,
	    @picture, 'testsrc=s=341x191:d=2', '-c:v', 'libx264',
	    '-pix_fmt', 'yuv444p', "$made/odd.mp4" ],
	[ 'wide pixels', '1024x576', qr/^1024x576 854x480 /,
	    @picture, 'testsrc=s=720x576:d=1', '-vf', 'setsar=64/45', @h264,
	    "$made/sar.mp4" ],
	[ 'two fields', '720x576', qr/^720x576 600x480 /,
	    @picture, 'testsrc=s=720x576:d=1:r=50', '-vf',
	    'interlace,fieldorder=tff', '-c:v', 'mpeg2video', '-flags',
	    '+ilme+ildct', '-f', 'mpegts', "$made/fields.ts" ],
	[ 'without a length', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=3', '-c:v', 'libvpx', '-deadline',
	    'realtime', '-f', 'webm', '-live', 1, "$made/live.webm" ],
	[ 'many pictures a second', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=2:r=240', @h264, "$made/fast.mp4" ],
	[ 'few pictures a second', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=20:r=1/2', @h264,
	    "$made/few.mp4" ],
	[ 'a single picture', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=1', '-frames:v', 1, @h264,
	    "$made/one.mp4" ],
	[ 'sound that is longer', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=1', '-f', 'lavfi', '-i',
	    'sine=d=4:r=8000', '-ac', 1, @h264, "$made/sound.mkv" ],
	[ 'sound that never comes', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=2', @sine, '-af', 'aselect=0',
	    '-c:a', 'pcm_s16le', @h264, "$made/mute.mkv" ],
	[ 'several streams', '176x144', qr/^176x144$/,
	    @picture, 'testsrc=s=176x144:d=2', @picture,
	    'testsrc=s=320x240:d=2', @sine, '-map', 0, '-map', 1, '-map', 2,
	    '-map', 2, @h264, "$made/several.mkv" ],
) {
	my ($name, $displayed, $sizes, @make) = @$_;
	my $work = work(ffmpeg(@make));
	my $r = succeeds($work, 'intake', "$name: intake");
	my $v = detail($r, 'video');
	$r = transcoded($work, $r, $name, VMAF_METER => undef);
	my $made = detail($r, 'renditions');
	like(join(' ', map { "$_->{width}x$_->{height}" } @$made), $sizes,
	    "$name: renditions");
	is(detail($r, 'decode_errors'), undef, "$name: no errors");
	succeeds($work, 'package', "$name: package");
	next unless $name eq 'sound that is longer';
	my ($sound) = grep { $_->{codec_type} eq 'audio' }
	    @{ffprobe("$work/renditions/144p.mp4", '-show_streams')
	    ->{streams}};
	cmp_ok(abs($sound->{duration} - 4), '<', 0.2, "$name: is kept");
}

# An option makes it smaller.
my $work = work($bottle);
my $r = succeeds($work, 'intake', 'smaller: intake',
    MILLRACE_OPTION_MAX_HEIGHT => 240);
is_deeply([ map { $_->{name} } @{decode_json(slurp("$work/probe.json"))
    ->{renditions}} ], [ '240p' ], 'max_height is the largest size');

# ---- videos that are broken -------------------------------------------------

# What the headers promise is compared once more with what came out.
my @all = (MILLRACE_ITEM => 'all', MILLRACE_ITEM_ARGS => '0 100 0.000 last');
my $plan = '{"demuxer":"mov","video":0,"audio":-1,"video_codec":"h264",' .
    '"audio_codec":"","width":%d,"height":%d,"fps":"25/2","interlaced":false,' .
    '"seconds":%s,"renditions":[%s]}';
my $small = '{"name":"240p","width":426,"height":240,"kbit":400}';
$work = data('truncated.mp4');
spew("$work/probe.json", sprintf $plan, 768, 432, 30.2, $small);
spew("$work/spans", "0 100 0.000 last\n");
$r = succeeds($work, 'transcode', 'half a video: transcode', @all);
like($r->{log}, qr/partial file/, 'what ffmpeg says is in the log');
$r = refused($work, 'quality', qr/file ends after 3\.\d s of 30\.2 s/,
    'half a video, to join');

# Bits that are wrong: a picture here and there is, and that is said.
my $bad = slurp("$top/t/data/vmaf-ref.mp4");
my ($mdat) = $bad =~ /mdat/g ? pos $bad : die;
substr($bad, $mdat + 40_000 + 11_003 * $_, 40) = "\xa5" x 40 for 0 .. 30;
$work = from('bits.mp4', $bad);
$r = transcoded($work, succeeds($work, 'intake', 'wrong bits: intake'),
    'wrong bits', VMAF_METER => undef);
cmp_ok(detail($r, 'decode_errors') // 0, '>', 0, 'wrong bits: are counted');

$work = from('noise.mp4', substr($bad, 0, $mdat) .
    "\0" x (length($bad) - $mdat));
run($work, 'intake');
refused($work, 'transcode', qr/^(No picture|Decoding a first picture)/,
    'nothing but zeros', @all) if -e "$work/probe.json";

# ---- genuine VMAF, and what stands in for it --------------------------------

# A job whose renditions are the two encodings of which the score is known.
sub known {
	my $known = data('vmaf-ref.mp4');
	spew("$known/probe.json", sprintf $plan, 768, 432, 4,
	    '{"name":"432p","width":768,"height":432,"kbit":1400},' . $small);
	mkdir "$known/renditions";
	system('cp', "$top/t/data/vmaf-dist-$_.mp4",
	    "$known/renditions/$_.mp4") for '432p', '240p';
	return $known;
}

$work = known();
$r = succeeds($work, 'quality', 'VMAF');
my $q = detail($r, 'quality');
cmp_ok(abs($q->{renditions}[0]{mean} - 95.3), '<', 0.5, 'VMAF: 432p is 95.3');
cmp_ok(abs($q->{renditions}[1]{mean} - 77.9), '<', 0.5, 'VMAF: 240p is 77.9');
for (@{$q->{renditions}}) {
	ok($_->{min} <= $_->{p5} && $_->{p5} <= $_->{mean},
	    "VMAF: $_->{name}: min, p5 and mean are in order");
	ok(!exists $_->{psnr}, "VMAF: $_->{name}: and nothing else");
}
like($r->{progress}[-1], qr/VMAF 95\.\d at 432p, 7[78]\.\d at 240p/,
    'VMAF: is told to people');

spew("$made/false", "#!/bin/sh\nexit 1\n");
spew("$made/dies", "#!/bin/sh\nkill -SEGV \$\$\n");
spew("$made/empty", "#!/bin/sh\n" .
    "cat <&4 >/dev/null & cat <&5 >/dev/null; wait\n");
spew("$made/plain", 'not a program');
chmod 0755, map { "$made/$_" } qw(false dies empty);
for (
	[ 'without a meter', undef, undef ],
	[ 'a meter that is not there', "$made/nowhere", qr/No such file/ ],
	[ 'a meter that cannot run', "$made/plain", qr/Permission denied/ ],
	[ 'a meter that fails', "$made/false", qr/false: exit status 1/ ],
	[ 'a meter that dies', "$made/dies", qr/dies: was killed by signal/ ],
	[ 'a meter that says nothing', "$made/empty", qr/log cannot be read/ ],
	[ 'a meter without VMAF', '/usr/bin/ffmpeg', qr/No such filter/ ],
) {
	my ($name, $program, $warning) = @$_;
	$work = known();
	$r = succeeds($work, 'quality', $name, VMAF_METER => $program);
	$q = detail($r, 'quality');
	is("$q->{metric} $q->{tool}", 'ssim ffmpeg', "$name: SSIM is measured");
	is($q->{model}, undef, "$name: there is no model to it");
	my ($best, $worst) = @{$q->{renditions}};
	ok($best->{mean} > 0.97 && $best->{mean} < 1 &&
	    $worst->{mean} < $best->{mean}, "$name: it tells good from bad");
	cmp_ok($best->{psnr}, '>', 30, "$name: and PSNR");
	like($r->{progress}[-1], qr/SSIM 0\.\d+ at 432p/,
	    "$name: named for what it is");
	if (defined $warning) {
		like($q->{warning}, $warning, "$name: the report warns");
		like($r->{log}, qr/VMAF could not be measured/,
		    "$name: so does the log");
	} else {
		is($q->{warning}, undef, "$name: which is no fault");
	}
}

$work = known();
$r = succeeds($work, 'quality', 'no model', MILLRACE_SHARE => $made);
like(detail($r, 'quality')->{warning}, qr/model is missing/, 'no model: said');

# Equal pictures: as good as it gets, in numbers that JSON can hold.
$work = known();
system('cp', "$top/t/data/vmaf-ref.mp4", "$work/renditions/432p.mp4");
$r = succeeds($work, 'quality', 'equal', VMAF_METER => undef);
is(detail($r, 'quality')->{renditions}[0]{psnr}, 100, 'equal: PSNR is bounded');

# A rendition that is no video is no fault of the meter.
$work = known();
spew("$work/renditions/240p.mp4", 'no video');
refused($work, 'quality', qr/renditions\/240p\.mp4: Invalid data/,
    'a broken rendition');

# ---- a stage that is stopped, and one that stands still ---------------------

sub below { grep { (readlink("/proc/$_/cwd") // '') eq $_[0] }
	map { m{/(\d+)$} } glob '/proc/[0-9]*' }

sub wait_until {
	my ($is, $what) = @_;
	my $end = time + 60;
	until ($is->()) {
		return fail($what) if time > $end;
		select undef, undef, undef, 0.02;
	}
	return pass($what);
}

for (
	[ TERM => 'transcode', 2 ], [ KILL => 'transcode', 2 ],
	[ TERM => 'quality', 4 ], [ KILL => 'quality', 4 ],
) {
	my ($signal, $stage, $processes) = @$_;
	$work = data('car-detection.mp4');
	spew("$work/probe.json", sprintf $plan, 768, 432, 30.16, $small);
	spew("$work/spans", "0 100 0.000 last\n");
	run($work, 'transcode', @all) if $stage eq 'quality';
	my $pid = fork // die $!;
	become($work, $stage, @all) if $pid == 0;
	wait_until(sub { below($work) >= $processes },
	    "$stage: has children");
	kill $signal, $pid;
	waitpid $pid, 0;
	is($? & 127, { TERM => 15, KILL => 9 }->{$signal},
	    "$stage: ends by SIG$signal");
	wait_until(sub { !below($work) }, "$stage: and so do its children");
}

mkdir "$made/bin";
spew("$made/bin/ffmpeg", "#!/bin/sh\n" .
    "echo frame=1 >&3\nexec tail -f /dev/null\n");
chmod 0755, "$made/bin/ffmpeg";
$work = work($bottle);
spew("$work/probe.json", sprintf $plan, 640, 360, 5, $small);
$r = run($work, [ "$stages/transcode", '-s', 1 ], @all,
    PATH => "$made/bin:/usr/bin:/bin");
isnt($r->{exit}, 0, 'standing still is a failure');
like($r->{retry}[0], qr/stood still for 1 s/, 'that may pass');

spew("$made/bin/ffmpeg", "#!/bin/sh\n" .
    "echo '[error] x.mp4: No space left on device' >&2\nexit 1\n");
$r = run($work, 'transcode', @all, PATH => "$made/bin:/usr/bin:/bin");
like($r->{retry}[0], qr/^60 .*No space left/, 'a full disk may pass');

$r = run($work, 'transcode', @all, PATH => '/nowhere');
isnt($r->{exit}, 0, 'no ffmpeg is a failure');
is_deeply([ $r->{reject}, $r->{retry} ], [ undef, undef ],
    'of the site, not of the video');

# ---- the store --------------------------------------------------------------

# Store what RESULTS say, in a directory with some files.
sub store {
	my ($results, %set) = @_;
	my $s = work();
	make_path("$s/sub", "$made/outside");
	spew("$s/a.txt", 'first');
	spew("$s/sub/b.bin", "second\n" x 300_000);
	spew("$s/empty", '');
	spew("$made/outside/secret", 'secret');
	symlink "$made/outside/secret", "$s/link";
	symlink "$made/outside", "$s/out";
	symlink 'a.txt', "$s/near";
	mkfifo("$s/fifo", 0600);
	spew("$s/results", $results);
	return ($s, run($s, 'store', %set));
}

my ($s, $got) = store("A name\ta.txt\ttext/plain\nb\tsub/b.bin\t\n" .
    "empty\tempty\t\nb\tsub/b.bin\t\n");
is($got->{exit}, 0, 'store: three results') or diag $got->{log};
is_deeply($got->{stored}, [
	'A name 5 ' . Digest::SHA::sha256_hex('first') . ' text/plain',
	'b 2100000 ' . Digest::SHA::sha256_hex("second\n" x 300_000),
	'empty 0 ' . Digest::SHA::sha256_hex(''),
], 'store: says name, size, hash and type, each once');
is(slurp("$s/store/b"), "second\n" x 300_000, 'store: with their contents');
ok(!-e "$s/store.part", 'store: nothing half is left');

my $again = run($s, 'store');
is_deeply($again->{stored}, $got->{stored}, 'store: so does a second run');

unlink "$s/store/b";
$again = run($s, 'store');
is_deeply($again->{stored}, $got->{stored}, 'store: what is lost is made');
ok(-s "$s/store/b", 'store: and is there');

# As it is left by a run that was killed.
remove_tree("$s/store");
mkdir "$s/store.part";
spew("$s/store.part/old", 'old');
spew("$s/store.part/b", 'half');
$again = run($s, 'store');
is_deeply($again->{stored}, $got->{stored}, 'store: after a kill');
ok(!-e "$s/store/old", 'store: nothing of the old run is in it');

# What others can reach by another name is copied.
($s, $got) = store("a\ta.txt\t\n");
is((stat "$s/store/a")[1], (stat "$s/a.txt")[1], 'store: links its own');
$s = work();
spew("$s/input", 'input');
link "$s/input", "$s/upload";
spew("$s/results", "input\tinput\t\n");
$got = run($s, 'store');
isnt((stat "$s/store/input")[1], (stat "$s/input")[1], 'store: copies others');

($s, $got) = store('');
is($got->{exit}, 0, 'store: nothing to store is no failure');
ok(!-e "$s/store", 'store: and makes nothing');

for (
	[ 'a symbolic link', "x\tlink\t\n", qr/symbolic link is not followed/ ],
	[ 'a near one', "x\tnear\t\n", qr/symbolic link is not followed/ ],
	[ 'below one', "x\tout/secret\t\n", qr/symbolic link is not followed/ ],
	[ 'upwards', "x\t../results\t\n", qr/leads out of the work directory/ ],
	[ 'an absolute path', "x\t$made/outside/secret\t\n",
	    qr/leads out of the work directory/ ],
	[ 'up and down', "x\tsub/../../../etc/passwd\t\n", qr/leads out/ ],
	[ 'what is not there', "x\tnowhere\t\n", qr/No such file/ ],
	[ 'a directory', "x\tsub\t\n", qr/is not a file/ ],
	[ 'a fifo', "x\tfifo\t\n", qr/is not a file/ ],
	[ 'a name that leads upwards', "..\ta.txt\t\n", qr/not a name/ ],
	[ 'a name with a slash', "a/b\ta.txt\t\n", qr/not a name/ ],
	[ 'no name', "\ta.txt\t\n", qr/not a name/ ],
	[ 'two of one name', "x\ta.txt\t\nx\tempty\t\n",
	    qr/is both a\.txt and empty/ ],
) {
	my ($name, $results, $why) = @$_;
	my ($in, $out) = store("good\ta.txt\t\n$results");
	isnt($out->{exit}, 0, "store: $name is refused");
	like($out->{log}, $why, "store: $name: and told why");
	is_deeply($out->{stored} // [], [], "store: $name: nothing is said");
	ok(!-e "$in/store", "store: $name: and nothing is there");
}

# ---- the examples of the manual work ----------------------------------------

# Text of the example that holds MARK, as mandoc gives it.
sub example {
	my ($mark) = @_;
	my $page = `mandoc -T utf8 -O width=200 '$top/lib/millrace-report.7'`;
	$page =~ s/.\x08//g;
	my ($examples) = $page =~ /^EXAMPLES\n(.*?)^\S/ms;
	for (split /\n(?=     \S)/, $examples) {
		s/^     \S.*?\n(?=\n)//s;
		next unless /\Q$mark\E/;
		s/^ {11}//mg;
		s/^\n+//;
		return $_;
	}
	die "no example with $mark";
}

$work = work();
spew("$work/input", "one two\nthree\n\nfour five six\nseven\n");
spew("$work/count.c", example('Count the words'));
is(system("cc -D_GNU_SOURCE -Wall -Werror -o '$work/count' '$work/count.c'"),
    0, 'the example in C can be compiled');
$r = run($work, [ "$work/count" ], MILLRACE_ITEM => 'x',
    MILLRACE_ITEM_ARGS => '2 4');
is($r->{exit}, 0, 'and run');
is_deeply($r->{detail}, [ 'words-2 4' ], 'and counts');
$r = run($work, [ "$work/count" ], MILLRACE_ITEM => 'x');
is_deeply($r->{reject}, [ 'item x: not two numbers' ], 'and refuses');

SKIP: {
	grep { -x "$_/php" } split /:/, $ENV{PATH} or
	    skip 'there is no php to run the example in PHP', 4;
	$work = work();
	spew("$work/input", "a, b\n\"c\"  ,d\n");
	spew("$work/check.php", example('php://fd/3'));
	$r = run($work, [ '/usr/bin/env', 'php', "$work/check.php" ],
	    MILLRACE_INPUT => 'input', MILLRACE_INPUT_SIZE => 13,
	    MILLRACE_OPTION_COLUMNS => 2);
	is($r->{exit}, 0, 'the example in PHP runs') or diag $r->{log};
	is_deeply([ $r->{detail}, $r->{result} ], [ [ 'rows 2' ],
	    [ 'tidy.csv tidy.csv text/csv' ] ], 'and keeps');
	is(slurp("$work/tidy.csv"), "a,b\nc,d\n", 'what it tidied up');
	$r = run($work, [ '/usr/bin/env', 'php', "$work/check.php" ],
	    MILLRACE_INPUT => 'input', MILLRACE_INPUT_SIZE => 13,
	    MILLRACE_OPTION_COLUMNS => 3);
	is_deeply($r->{reject}, [ 'row 1 has 2 columns, not 3' ],
	    'and refuses');
}

chdir '/';
done_testing;
