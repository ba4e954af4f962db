# What cannot become a job is refused with a sentence that names the field and
# the value, before the rest of the file is sent, and leaves nothing.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('upload', max_size => '2m')
    ->pipeline('count', <<'EOF')
accept  text/plain video/*
option  depth number 3 1 9
stage   first 100 10s say
EOF
    ->pipeline('small', <<'EOF')
accept  text/plain
size    1000
stage   first 100 10s say
EOF
    ->pipeline('bare', "stage first 100 10s say\n")
    ->stage('say', "#!/bin/sh\necho progress 100 >&3\n")
    ->start;
my $ana = $rig->user('ana');

sub is_problem {
	my ($r, $status, $detail, $what) = @_;
	is($r->{status}, $status, $what);
	is($r->{headers}{'content-type'}, 'application/problem+json',
	    "$what: a problem");
	like($r->json->{detail}, $detail, "$what: it says why");
}

sub nothing_is_left {
	my ($what) = @_;
	is_deeply([ glob $rig->dir . '/storage/uploads/*/*' ], [],
	    "$what: no file");
	is_deeply([ map { @$_ } $rig->sql('SELECT COUNT(*) FROM job UNION ALL' .
	    ' SELECT COUNT(*) FROM upload UNION ALL' .
	    ' SELECT COUNT(*) FROM uniq') ], [ 0, 0, 0 ], "$what: no row");
}

sub post {
	my ($type, $body, %headers) = @_;
	return $rig->post('/api/v1/jobs', as => $ana, body => $body,
	    type => $type, headers => \%headers);
}

# ---- fields -----------------------------------------------------------------

my $file = { content => 'some text', filename => 'a.txt' };
my @pipeline = (pipeline => 'count');
for (
    [ 400, qr/^pipeline: missing; there are bare, count, small$/, 'no pipeline',
	file => $file ],
    [ 400, qr/^pipeline: there is no "cuont", only bare, count, small$/,
	'an unknown pipeline', pipeline => 'cuont', file => $file ],
    [ 400, qr/^pipeline: given twice/, 'two', @pipeline, @pipeline ],
    [ 400, qr{^file: missing; .*text/plain, video/\*$}, 'no file', @pipeline ],
    [ 400, qr/^file: is text/, 'text instead of a file', @pipeline,
	file => 'text' ],
    [ 400, qr/^file: given twice/, 'two files', @pipeline, file => $file,
	file => $file ],
    [ 400, qr/^video: no file is expected/, 'a file in another field',
	@pipeline, video => $file ],
    [ 400, qr/^file: "a.txt" is empty$/, 'an empty file', @pipeline,
	file => { content => '', filename => 'a.txt' } ],
    [ 400, qr/^file: missing/, 'no file was chosen', @pipeline,
	file => { content => '', filename => '' } ],
    [ 400, qr/^file: pipeline bare takes no file/, 'a file too many',
	pipeline => 'bare', file => $file ],
    [ 400, qr/no option "depht"; did you mean "depth"/, 'an unknown option',
	@pipeline, depht => 1, file => $file ],
    [ 400, qr/^option depth: "deep" is not a number/, 'not a number',
	@pipeline, depth => 'deep', file => $file ],
    [ 400, qr/depth: 10 is above/, 'an option, before the pipeline is known',
	depth => 10, file => $file, @pipeline ],
    [ 400, qr/^depth: given twice/, 'an option twice', depth => 1, depth => 2,
	@pipeline, file => $file ],
    [ 400, qr/"depth" is not text in UTF-8/, 'an option in Latin 1',
	depth => "\xe4", @pipeline, file => $file ],
    [ 400, qr/file name is not UTF-8/, 'a file name in Latin 1', @pipeline,
	file => { content => 'x', filename => "\xe4" } ],
    [ 413, qr/"depth" is longer than 65536/, 'a long field', @pipeline,
	depth => '1' x 65537, file => $file ],
    [ 413, qr/^body: part 1000: more than 1000 parts/, 'many fields',
	map { ("a$_" => '') } 1 .. 1001 ],
    ) {
	my ($status, $detail, $what, @form) = @$_;
	is_problem($rig->post('/api/v1/jobs', as => $ana, form => \@form),
	    $status, $detail, $what);
}

# ---- types ------------------------------------------------------------------

my $png = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\2\0\0\0";
for ([ 'an image', $png, 'image/png' ],
    [ 'rubbish', "\x01\x02\x03\xff" x 100, 'application/octet-stream' ]) {
	my ($what, $content, $type) = @$_;
	my $file = { content => $content, filename => 'a.mp4',
	    type => 'video/mp4' };
	my $detail = qr/^file: is \Q$type\E, .*takes text\/plain, video\/\*$/;
	is_problem($rig->post('/api/v1/jobs', as => $ana, form =>
	    [ file => $file, @pipeline ]), 415, $detail, "$what, and what for");
	is_problem($rig->post('/api/v1/jobs', as => $ana, form =>
	    [ @pipeline, file => $file ]), 415, $detail, "for this, $what");
}

# ---- sizes ------------------------------------------------------------------

my $large = { content => 'x' x (2 * 1024 * 1024 + 1), filename => 'large' };
my $just = { content => 'x' x (2 * 1024 * 1024), filename => 'just' };
my $limit = qr/^file: larger than 2097152 bytes, the most that/;
is_problem($rig->post('/api/v1/jobs', as => $ana, form =>
    [ file => $large, @pipeline ]), 413, $limit, 'a large file');
is_problem($rig->post('/api/v1/jobs', as => $ana, form =>
    [ pipeline => 'small', file => { content => 'x' x 1001,
    filename => 'a' } ]), 413,
    qr/^file: larger than 1000 bytes, the most that pipeline small takes$/,
    'large for its pipeline');
is_problem($rig->post('/api/v1/jobs', as => $ana, form =>
    [ file => { content => 'x' x 1001, filename => 'a' },
    pipeline => 'small' ]), 413, qr/larger than 1000 bytes/,
    'the same, found out late');
is_problem(post('multipart/form-data; boundary=b', '',
    'Content-Length' => 5 * 1024 * 1024), 413, $limit,
    'announced, not even begun');
is_problem(post('multipart/form-data; boundary=b', '',
    'Content-Length' => '9' x 18), 413, $limit, 'more than there is disk');

# ---- bodies -----------------------------------------------------------------

for (
    [ 415, qr/^Content-Type: "text\/plain", not multipart/, 'text/plain', 'x' ],
    [ 415, qr/^Content-Type: "", not/, '', 'x' ],
    [ 400, qr/no boundary/, 'multipart/form-data', 'x' ],
    [ 400, qr/no boundary/, 'multipart/form-data; boundary=' . 'b' x 71, 'x' ],
    [ 400, qr/no line with the boundary/, 'multipart/form-data; boundary=b',
	"--c\r\n" ],
    [ 400, qr/LF alone/, 'multipart/form-data; boundary=b',
	"--b\nContent-Disposition: form-data; name=a\n\n1\n--b--\n" ],
    [ 400, qr/^body: part 1: folded header/, 'multipart/form-data; boundary=b',
	"--b\r\nContent-Disposition: form-data; name=a;\r\n x=b\r\n\r\n" ],
    [ 400, qr/ends before the last boundary/, 'multipart/form-data; boundary=b',
	"--b\r\nContent-Disposition: form-data; name=pipeline\r\n\r\ncount" ],
    [ 400, qr/ends before/, 'multipart/form-data; boundary=b',
	"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" .
	'x' x 300000 ],
    [ 400, qr/not JSON/, 'application/json', '{' ],
    [ 400, qr/^pipeline: missing/, 'application/json', '{}' ],
    [ 400, qr/^pipeline: not a string/, 'application/json', '{"pipeline":1}' ],
    [ 400, qr/^upload_id: missing/, 'application/json',
	'{"pipeline":"count"}' ],
    [ 400, qr/^upload_id: "x" is no UUID/, 'application/json',
	'{"pipeline":"count","upload_id":"x"}' ],
    [ 400, qr/^upload_id: there is no upload 0192f0c1-/, 'application/json',
	'{"pipeline":"count","upload_id":' .
	'"0192f0c1-0000-7000-8000-000000000000"}' ],
    [ 400, qr/^options: not an object/, 'application/json',
	'{"pipeline":"bare","options":[]}' ],
    [ 400, qr/^depth: an option is a string/, 'application/json',
	'{"pipeline":"bare","depth":null}' ],
    [ 400, qr/^depth: given twice/, 'application/json',
	'{"pipeline":"bare","depth":1,"options":{"depth":2}}' ],
    ) {
	my ($status, $detail, $type, $body) = @$_;
	is_problem(post($type, $body), $status, $detail,
	    "$type: " . substr($body, 0, 40) =~ s/[\r\n]+/ /gr);
}
is_problem($rig->post('/process', as => $ana, json => {}), 404,
    qr/no pipeline video/, 'a dialect without its pipeline');

# ---- who may ----------------------------------------------------------------

is_problem($rig->post('/api/v1/jobs', form => [ @pipeline, file => $large ]),
    401, qr/credentials/, 'without credentials');
my ($token) = ($rig->millrace('token', 'create', 'ana', '--name', 'reading',
    '--scope', 'read'))[1] =~ /(mr_\S+)/;
is_problem($rig->post('/api/v1/jobs', as => $token,
    form => [ @pipeline, file => $file ]), 403, qr/scope "write"/,
    'with a token to read');
is_problem(post('multipart/form-data; boundary=b', "--b--",
    'Idempotency-Key' => "\xc3\xa4"), 400, qr/^Idempotency-Key: only/,
    'a key that is not ASCII');

nothing_is_left('after all of that');

is($rig->post('/api/v1/jobs', as => $ana, form => [ @pipeline,
    file => $just ])->{status}, 202, 'a file just as large as may be');

# ---- a full disk ------------------------------------------------------------

# The reserve is more than any disk has.
my $conf = $rig->dir . '/millrace.conf';
open my $in, '<', $conf or die "$conf: $!\n";
my $text = join '', <$in>;
$text =~ s/^reserve = .*/reserve = 1000000g/m;
open my $out, '>', $conf or die "$conf: $!\n";
print $out $text;
close $out;
$rig->restart('upload');
my $r;
$rig->wait_for(sub {
	$r = $rig->post('/api/v1/jobs', as => $ana, form => [ @pipeline,
	    file => $file ]);
	$r->{status} != 503
}, 10, 'upload is back');
is_problem($r, 507, qr/^file: no room for it on the disk/, 'a full disk');
is($r->{headers}{'retry-after'}, 60, 'it may be tried again');

done_testing;
