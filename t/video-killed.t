# A kill in the middle of a video costs the parts that were being transcoded,
# and nothing else: what was done stays, and the result is whole.

use strict;
use warnings;

use Rig;
use Test::More;

# The pipeline as it is, but for shorter parts of a small video and its sound.
my $rig = Rig->new->with_video;
my $text = do {
	open my $f, '<', $rig->file('daemon/pipelines/video.conf') or die $!;
	local $/;
	<$f>;
};
$text =~ s/\bintake$/intake -l 2 -a 3/m or die 'no intake';
# One part, begun behind some others, waits for the test: until then the job is
# in the middle.
my $waits = 'sound-5';
$text =~ s/\btranscode$/waits/m or die 'no transcode';
$rig->stage('waits', <<"EOT");
#!/bin/sh
[ "\$MILLRACE_ITEM" != $waits ] || until [ -e go ]; do sleep 0.1; done
exec @{[$rig->dir]}/stages/transcode
EOT
$rig->pipeline('video', $text)->start;
my $ana = $rig->user('ana');
my $video = $rig->dir . '/car.mp4';
system('ffmpeg', '-nostdin', '-v', 'error', '-i',
    $rig->file('t/data/car-detection.mp4'), '-t', 16, '-c', 'copy',
    $video) == 0 or die 'ffmpeg';

sub send_in {
	return $rig->post('/api/v1/jobs', as => $ana, form => [ pipeline =>
	    'video', file => { file => $video, filename => 'car.mp4' } ])
	    ->json->{job_id};
}

# Its parts: item => [ state, when it began, how often it did ].
sub parts {
	my ($id) = @_;
	return map { $_->[0] => [ @$_[1 .. 3] ] } $rig->sql('SELECT item,' .
	    ' state, started_at, attempt FROM step WHERE stage = ?' .
	    ' AND job_id = UNHEX(REPLACE(?, ?, ?))', 'transcoding', $id, '-',
	    '');
}

sub done { my %part = @_; grep { $part{$_}[0] eq 'done' } keys %part }

# The parts of job ID, when some are done and others are not.
sub in_the_middle {
	my ($id) = @_;
	my %part;
	$rig->wait_for(sub { %part = parts($id); done(%part) >= 3 &&
	    $part{$waits}[0] eq 'running' }, 240, 'three parts are done');
	return %part;
}

# Let the part go on that waits.
sub go {
	my ($id) = @_;
	my $path = $rig->dir . "/storage/work/$id/go";
	open my $f, '>', $path or die "$path: $!";
}

# How many pictures a rendition of the result has, and how long it is; and its
# sound.
sub length_of {
	my ($id) = @_;
	my ($row) = $rig->sql('SELECT path FROM artifact WHERE name = ?' .
	    ' AND job_id = UNHEX(REPLACE(?, ?, ?))', '240p.mp4', $id, '-', '');
	return join ' ', split /\n/, qx(ffprobe -v error -show_entries \\
	    stream=nb_frames,duration -of csv=p=0 \\
	    '@{[$rig->dir]}/storage/$row->[0]');
}

sub is_whole {
	my ($id, $name) = @_;
	go($id);
	my $end = $rig->ended($id, as => $ana, timeout => 300);
	is($end->{status}, 'completed', "$name: it is done")
	    or diag($end->{error_message});
	# A frame of sound has 1024 samples, and there is one to begin with.
	is(length_of($id), '16.000000,200 16.000000,751',
	    "$name: every picture is there, and all of the sound");
	my %part = parts($id);
	is(scalar(done(%part)), scalar(keys %part), "$name: all parts are");
	return %part;
}

# ---- the daemon -------------------------------------------------------------

my $id = send_in();
my %before = in_the_middle($id);
$rig->kill('KILL', 'millraced');
my %after = is_whole($id, 'daemon');
cmp_ok(scalar(grep { /^sound-\d+$/ } keys %after), '>', 4,
    'daemon: the sound is in parts');
is_deeply({ map { $_ => $after{$_} } done(%before) },
    { map { $_ => $before{$_} } done(%before) },
    'daemon: what was done is not done again');
is_deeply([ grep { $after{$_}[2] > 2 } keys %after ], [],
    'daemon: nothing is done three times');
my @again = grep { $after{$_}[2] == 2 } keys %after;
my $cores = qx(nproc);
# Those that ran, and those of which the database had not heard.
cmp_ok(scalar @again, '<=', 2 * $cores + 1, "daemon: @{[scalar @again]} of " .
    keys(%after) . ' parts are done twice');

# ---- one of its programs ----------------------------------------------------

sub cmdline {
	open my $f, '<', "/proc/$_[0]/cmdline" or return '';
	return <$f> // '';
}

$id = send_in();
in_the_middle($id);
my $pid = $rig->wait_for(sub {
	(grep { (readlink("/proc/$_/cwd") // '') =~ m{/work/$id$} &&
	    cmdline($_) =~ m{/waits\0} } map { m{/(\d+)$} } glob
	    '/proc/[0-9]*')[0];
}, 60, 'the part that waits');
kill 'KILL', $pid;
my %part = is_whole($id, 'a part');
is_deeply([ grep { $part{$_}[2] > 1 } keys %part ], [ $waits ],
    'a part: that one and no other is done twice');

# ---- all that is in its way -------------------------------------------------

my @events = @{$rig->get("/api/v1/jobs/$id/events?limit=1000", as => $ana)
    ->json->{items}};
my %seen;
is_deeply([ grep { !$seen{$_}++ } map { $_->{phase} } @events ],
    [ qw(pending uploading transcoding validation packaging storage
    completed) ], 'through every phase');
my @percent = map { $_->{progress_percentage} } @events;
is_deeply([ sort { $a <=> $b } @percent ], \@percent,
    'and the percentage never fell');

done_testing;
