# Clients without credentials may send videos where the site lets them: so many
# jobs at a time for each address.

use strict;
use warnings;

use Rig;
use Test::More;

# Jobs that stay unfinished.
my @pipeline = ('video', <<'EOF');
accept  video/*
option  max_height number 1080 144 2160
stage   uploading 100 60s wait
EOF
my @stage = ('wait', "#!/bin/sh\nexec sleep 60\n");

my $rig = Rig->new->conf('site', anonymous => 'yes', anonymous_jobs => 3)
    ->pipeline(@pipeline)->stage(@stage)->start;
my $video = { file => $rig->file('t/data/bottle-detection-noaudio.mp4'),
    filename => 'my video.mp4', type => 'video/mp4' };

sub job {
	my ($id) = @_;
	$id =~ tr/-//d;
	my ($row) = $rig->sql('SELECT pipeline, user_id, address, name,' .
	    " client_key, params FROM job WHERE id = UNHEX('$id')");
	return $row;
}

my $r = $rig->post('/process', form => [ video => $video,
    key => 'my-video.mp4' ]);
is($r->{status}, 202, 'a video without credentials');
my $id = $r->json->{job_id};
is_deeply($r->json, { job_id => $id, message => 'Video processing started' },
    'the answer');
is($r->{headers}{location}, "/jobs/$id", 'Location');
is_deeply(job($id), [ 'video', 0, '127.0.0.1', 'my video.mp4', 'my-video.mp4',
    '{"max_height":1080}' ], 'its job');

$r = $rig->post('/process', form => [ max_height => 720, video => $video ]);
is_deeply(job($r->json->{job_id}), [ 'video', 0, '127.0.0.1', 'my video.mp4',
    'my video.mp4', '{"max_height":720}' ],
    'without a key it is the name; options are taken, too');

for ([ 400, qr/^video: missing/, 'no video', key => 'a' ],
    [ 400, qr/^file: no file is expected there, only as video/,
	'another field', file => $video ],
    [ 400, qr/^key: longer than 255/, 'a long key', key => 'k' x 256,
	video => $video ],
    [ 400, qr/^key: has a control/, 'a key of two lines', key => "a\nb",
	video => $video ],
    [ 400, qr/no option "pipeline"/, 'it is always video', pipeline => 'x',
	video => $video ],
    [ 415, qr/^video: is text\/plain/, 'text', video => {
	content => 'no video', filename => 'a.mp4' } ]) {
	my ($status, $detail, $what, @form) = @$_;
	$r = $rig->post('/process', form => \@form);
	is($r->{status}, $status, $what);
	like($r->json->{detail}, $detail, "$what: it says why");
}
is($rig->post('/process', as => 'mr_wrong', form => [ video => $video ])
    ->{status}, 401, 'bad credentials are worse than none');

# The same address and key is the same request.
my @once = (form => [ video => $video ],
    headers => { 'Idempotency-Key' => 'k' });
$r = $rig->post('/process', @once);
is($r->{status}, 202, 'a third job');
is($rig->post('/process', @once)->{status}, 429, 'a fourth is too many');
$r = $rig->post('/process', form => [ video => $video ]);
is($r->{status}, 429, 'whatever it says');
like($r->json->{detail}, qr/^3 jobs of 127\.0\.0\.1 are not finished/, 'why');
ok($r->{headers}{'retry-after'} > 0, 'and when to come back');
my $ana = $rig->user('ana');
is($rig->post('/process', as => $ana, form => [ video => $video ])->{status},
    202, 'with credentials it is another matter');
is(($rig->sql('SELECT COUNT(*) FROM upload WHERE user_id = 0'))[0][0], 3,
    'three files of guests');

# A site that did not open it.
undef $rig;
$rig = Rig->new->conf('site', anonymous => 'no')->pipeline(@pipeline)
    ->stage(@stage)->start;
$ana = $rig->user('ana');
is($rig->post('/process', form => [ video => $video ])->{status}, 401,
    'closed to guests');
is($rig->post('/process', as => $ana, form => [ video => $video ])->{status},
    202, 'open to users');

done_testing;
