# Real videos become what a player can play; what is no whole video is refused
# in clear words, without another try.  This is slow: it makes videos.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new->conf('site', anonymous => 'yes')->with_video->start;
my $ana = $rig->user('ana');

sub data { $rig->file("t/data/$_[0]") }

sub send_in {
	return $rig->post('/api/v1/jobs', as => $ana, form => [ pipeline =>
	    'video', file => { file => data($_[0]), filename => $_[0] } ]);
}

# Width and height of the pictures in a result.
sub size_of {
	my ($id, $name) = @_;
	my ($path) = map { $_->[0] } $rig->sql('SELECT path FROM artifact' .
	    ' WHERE job_id = UNHEX(?) AND name = ?', $id =~ s/-//gr, $name);
	my $out = qx(ffprobe -v error -select_streams v:0 -show_entries \\
	    stream=width,height -of csv=p=0 '@{[$rig->dir]}/storage/$path');
	return $out =~ /^(\d+),(\d+)/ ? "$1x$2" : "none: $out";
}

# ---- what goes through ------------------------------------------------------

my %good = (			# file => largest picture, has sound
	'car-detection.mp4'		=> [ '768x432', 1 ],
	'bottle-detection-noaudio.mp4'	=> [ '640x360', 0 ],
	'asl-book.mkv'			=> [ '640x480', 0 ],
	'rabbit320.webm'		=> [ '320x240', 1 ],
	'portrait-270x480.mp4'		=> [ '270x480', 0 ],
	'rotated-90-displaymatrix.mp4'	=> [ '640x480', 0 ],
);
my %job = map { $_ => send_in($_)->json->{job_id} } sort keys %good;
for my $file (sort keys %good) {
	my $id = $job{$file};
	my ($size, $sound) = @{$good{$file}};
	my $end = $rig->ended($id, as => $ana, timeout => 240);
	is($end->{status}, 'completed', "$file is done")
	    or diag($end->{error_message});
	is($end->{output_file}, 'master.m3u8', 'its main result is for players');
	my $list = $rig->get("/api/v1/jobs/$id/artifacts", as => $ana)->json;
	my %type = map { $_->{name} => $_->{type} } @{$list->{items}};
	is($type{'master.m3u8'}, 'application/vnd.apple.mpegurl', 'HLS');
	is($type{'manifest.mpd'}, 'application/dash+xml', 'DASH');
	is($type{'poster.jpg'}, 'image/jpeg', 'a picture to begin with');
	is($type{'quality.json'}, 'application/json', 'and a report');
	my ($best) = sort { ($b =~ /(\d+)p\.mp4/)[0] <=> ($a =~ /(\d+)p\.mp4/)[0] }
	    grep { /^\d+p\.mp4$/ } keys %type;
	is(size_of($id, $best), $size, "no larger than it was: $best");
	my $report = $rig->get("/api/v1/jobs/$id/artifacts/quality.json",
	    as => $ana)->json;
	is($report->{metric}, 'vmaf', 'measured by VMAF');
	my $master = $rig->get("/api/v1/jobs/$id/artifacts/master.m3u8",
	    as => $ana)->{body};
	is($master =~ /TYPE=AUDIO|mp4a/ ? 1 : 0, $sound, 'sound, if it had any');
	for ($master =~ /^([^#\s].*)$/mg) {
		is($rig->get("/api/v1/jobs/$id/artifacts/$_", as => $ana)
		    ->{status}, 200, "$_ is there");
	}
	my @events = @{$rig->get("/api/v1/jobs/$id/events?limit=1000",
	    as => $ana)->json->{items}};
	my %seen;
	is_deeply([ grep { !$seen{$_}++ } map { $_->{phase} } @events ],
	    [ qw(pending uploading transcoding validation packaging storage
	    completed) ], 'through every phase');
	my @percent = map { $_->{progress_percentage} } @events;
	is_deeply([ sort { $a <=> $b } @percent ], \@percent,
	    'and the percentage never fell');
}

# Results come by nginx itself: ranges, types, nobody else's.
my $id = $job{'car-detection.mp4'};
my ($mp4) = grep { $_->{name} =~ /p\.mp4$/ }
    @{$rig->get("/api/v1/jobs/$id/artifacts", as => $ana)->json->{items}};
my $part = $rig->get($mp4->{url}, as => $ana, headers =>
    { Range => 'bytes=0-99' });
is($part->{status}, 206, 'a part of a result');
is(length $part->{body}, 100, 'is as long as was asked');
is($rig->get($mp4->{url}, as => $ana, headers => { Range =>
    "bytes=$mp4->{size}-" })->{status}, 416, 'but not from behind its end');
is($rig->get($mp4->{url}, as => $rig->user('bob'))->{status}, 404,
    'a result is not somebody else\'s');
is($rig->get("/api/v1/jobs/$id/artifacts/no/such.mp4", as => $ana)->{status},
    404, 'there are no others');
my $urls = $rig->get("/jobs/$id", as => $ana)->json->{result}{storage_urls};
is($rig->get($urls->{$_}, as => $ana)->{status}, 200, "$_ is where the" .
    ' dialect "process" says') for qw(master.m3u8 manifest.mpd poster.jpg);
is_deeply([ grep { /\.m4s$/ } keys %$urls ], [], 'which names no segments');
is($rig->get('/.storage/uploads', as => $ana)->{status}, 404,
    'nor to the storage itself');
is($rig->get($_->{url}, as => $ana)->{headers}{'content-length'}, $_->{size},
    "$_->{name}: its size") for
    @{$rig->get("/api/v1/jobs/$id/artifacts", as => $ana)->json->{items}};

# ---- what does not ----------------------------------------------------------

for my $file ('text.mp4', 'zero-byte.mp4', 'headless.mp4') {
	my $r = send_in($file);
	my ($text, $tries) = ($r->{body}, 1);
	if ($r->{status} == 202) {
		my $bad = $r->json->{job_id};
		my $end = $rig->ended($bad, as => $ana, timeout => 60);
		is($end->{status}, 'failed', "$file fails");
		$text = $end->{error_message};
		$tries = $rig->get("/api/v1/jobs/$bad", as => $ana)
		    ->json->{attempt};
	} else {
		like($r->{status}, qr/^4\d\d$/, "$file is refused");
	}
	like($text, qr/\w+ \w+/, "in words: $text");
	is($tries, 1, 'and is not tried again');
}
my $half = $rig->ended(send_in('truncated.mp4')->json->{job_id}, as => $ana,
    timeout => 120);
is($half->{status}, 'failed', 'half a video is no video');
like($half->{error_message}, qr/\d+(\.\d+)? s/, "says how much there is: " .
    $half->{error_message});

done_testing;
