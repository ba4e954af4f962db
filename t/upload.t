# A file sent as a form is on the disk, and its job in the database, when the
# client hears 202; whatever the order of the fields and whoever wrote the form.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IPC::Open3 ();
use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('count', <<'EOF')
accept  text/plain video/*
option  depth  number 3 1 9
option  title  text
option  loud   boolean no
option  tongue choice en en de
stage   first  100 10s say
EOF
    ->pipeline('bare', "option depth number 3 1 9\nstage first 100 10s say\n")
    ->stage('say', "#!/bin/sh\necho progress 100 >&3\n")
    ->start;
my $ana = $rig->user('ana');
my $bob = $rig->user('bob');

sub form {
	my ($who, @form) = @_;
	return $rig->post('/api/v1/jobs', as => $who, form => \@form);
}

# Columns of a job and of its upload.
sub row {
	my ($id, @columns) = @_;
	$id =~ tr/-//d;
	my ($row) = $rig->sql('SELECT ' . join(', ', @columns) . ' FROM job' .
	    ' LEFT JOIN upload ON upload.id = upload_id' .
	    " WHERE job.id = UNHEX('$id')");
	return @$row;
}

sub stored {
	my ($id) = @_;
	my ($file) = row($id, 'LOWER(HEX(upload.id))');
	$file =~ s/^(.{8})(.{4})(.{4})(.{4})(.{12})$/$1-$2-$3-$4-$5/;
	return $rig->dir . '/storage/uploads/' . substr($file, -2) . "/$file";
}

sub content {
	open my $f, '<:raw', $_[0] or return "$_[0]: $!";
	local $/;
	return <$f>;
}

sub files {
	my @files = glob $rig->dir . '/storage/uploads/*/*';
	return scalar @files;
}

# ---- what comes back, and what is left --------------------------------------

my $text = "hello\r\n--\r\nworld\r\n";
my $r = form($ana, pipeline => 'count',
    file => { content => $text, filename => 'a.txt', type => 'text/plain' });
is($r->{status}, 202, 'a form is taken');
my $id = $r->json->{job_id};
like($id, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'its job has an id');
is_deeply($r->json, { job_id => $id, status => 'pending',
    pipeline => 'count' }, 'the answer');
is($r->{headers}{location}, "/api/v1/jobs/$id", 'Location');
is(content(stored($id)), $text, 'the file is in the storage, as it was');
is((stat stored($id))[2] & 0777, 0640, 'and nobody else may read it');
is_deeply([ row($id, 'pipeline', 'job.name', 'upload.name', 'type', 'size',
    'job.user_id = upload.user_id', 'params') ],
    [ 'count', 'a.txt', 'a.txt', 'text/plain', length $text, 1,
    '{"depth":3,"title":"","loud":false,"tongue":"en"}' ],
    'rows of the job and of its upload');
is($rig->ended($id, as => $ana)->{status}, 'completed', 'the job runs')
    unless $ENV{NO_DAEMON};

# ---- any order, any option --------------------------------------------------

$r = form($ana, depth => 5, file => { content => 'x', filename => 'b' },
    loud => 'yes', title => "\xc3\xa4 \"b\"\nc", pipeline => 'count',
    tongue => 'de');
is($r->{status}, 202, 'fields before and after the file');
is((row($r->json->{job_id}, 'params'))[0],
    '{"depth":5,"title":"' . "\xc3\xa4" . ' \\"b\\"\\nc","loud":true,' .
    '"tongue":"de"}', 'options have their types');

is(form($ana, pipeline => 'bare', depth => 2)->{status}, 202,
    'a pipeline without a file');
is(form($ana, pipeline => 'bare', file => { content => '', filename => '',
    type => 'application/octet-stream' })->{status}, 202,
    'a browser in which no file was chosen');

# ---- names of files ---------------------------------------------------------

for (
    # What stands in the form, what is kept of it.
    [ 'plain.txt', 'plain.txt' ],
    [ '%22quoted%22.txt', '"quoted".txt', 'quotes as browsers write them' ],
    [ '\\"quoted\\".txt', '"quoted".txt', 'quotes as curl wrote them' ],
    [ "\xe6\xbc\xa2 \xf0\x9f\x8e\xac.mp4", "\xe6\xbc\xa2 \xf0\x9f\x8e\xac.mp4",
	'UTF-8' ],
    [ '100%.txt', '100%.txt', 'a percent sign' ],
    [ 'C:\\Users\\ana\\a.txt', 'a.txt', 'a path of Windows' ],
    [ '../../../etc/passwd', 'passwd', 'a path' ],
    [ 'a%0D%0Ab', 'a__b', 'ends of lines' ],
    [ '-rf', '-rf', 'an option' ],
    [ 'a; filename=b', 'a; filename=b', 'a separator' ],
    [ 'a' x 300, 'a' x 255, 'a long name' ]) {
	my ($sent, $kept, $what) = @$_;
	my $r = form($ana, pipeline => 'count',
	    file => { content => 'x', filename => $sent });
	is((row($r->json->{job_id}, 'HEX(upload.name)'))[0],
	    uc unpack('H*', $kept), $what // $sent);
}

# ---- curl -------------------------------------------------------------------

sub curl {
	my $pid = IPC::Open3::open3(my $in, my $out, undef, 'curl', '-sS',
	    '-H', "Authorization: Bearer $ana->{token}", @_,
	    $rig->url . '/api/v1/jobs');
	close $in;
	local $/;
	my $text = <$out>;
	waitpid $pid, 0;
	my $json = eval { JSON::PP->new->decode($text) };
	return $json ? $json->{job_id} : diag($text);
}

my $video = $rig->file('t/data/car-detection.mp4');
my $sum = sha256_hex(content($video));
for ([ 'curl', [] ], [ 'chunked', [ '-H', 'Transfer-Encoding: chunked' ] ],
    [ 'curl that waits for 100', [ '-H', 'Expect: 100-continue' ] ]) {
	my ($what, $words) = @$_;
	my $id = curl('-F', "file=\@$video", '-F', 'pipeline=count', @$words);
	is(sha256_hex(content(stored($id))), $sum, "a video by $what");
	is_deeply([ row($id, 'type', 'upload.name') ],
	    [ 'video/mp4', 'car-detection.mp4' ], 'its type is seen');
}

# ---- JSON -------------------------------------------------------------------

sub json {
	my ($who, $json) = @_;
	return $rig->post('/api/v1/jobs', as => $who, json => $json);
}

$r = json($ana, { pipeline => 'bare', depth => 7 });
is($r->{status}, 202, 'JSON, for a pipeline without a file');
is((row($r->json->{job_id}, 'params'))[0], '{"depth":7}',
    'with an option as a member');
$r = json($ana, { pipeline => 'bare', options => { depth => '8' } });
is((row($r->json->{job_id}, 'params'))[0], '{"depth":8}',
    'or among the options, as text');
my ($upload) = stored($id) =~ m{([^/]+)$};
$r = json($ana, { pipeline => 'count', upload_id => $upload });
is($r->{status}, 202, 'another job for a file that is here');
is(stored($r->json->{job_id}), stored($id), 'it has the same input');
is(json($bob, { pipeline => 'count', upload_id => $upload })->{status}, 400,
    'but not if it is of somebody else');

# ---- the same again ---------------------------------------------------------

sub once {
	my ($who, $key, @form) = @_;
	return $rig->post('/api/v1/jobs', as => $who, form => [
	    pipeline => 'count', file => { content => 'once',
	    filename => 'once.txt' }, @form ],
	    headers => { 'Idempotency-Key' => $key });
}

my $first = once($ana, 'order-1');
my $before = files();
is($first->{headers}{'idempotent-replayed'}, undef, 'the first of its key');
$r = once($ana, 'order-1');
is($r->{body}, $first->{body}, 'the same answer for the same request');
is($r->{headers}{'idempotent-replayed'}, 'true', 'which says so');
is($r->{headers}{location}, $first->{headers}{location}, 'same Location');
is(once($ana, 'order-1', depth => 3)->{body}, $first->{body},
    'an option with its initial value is no difference');
is(files(), $before, 'no second file is kept');
is(once($ana, 'order-1', depth => 4)->{status}, 422, 'another option is');
for ([ 'content', content => 'ONCE', filename => 'once.txt' ],
    [ 'name', content => 'once', filename => 'twice.txt' ]) {
	my ($what, @part) = @$_;
	is($rig->post('/api/v1/jobs', as => $ana, form => [
	    pipeline => 'count', file => { @part } ], headers => {
	    'Idempotency-Key' => 'order-1' })->{status}, 422,
	    "so is a file of another $what");
}
isnt(once($bob, 'order-1')->json->{job_id}, $first->json->{job_id},
    'keys of two users do not meet');
is(once($ana, 'x' x 200)->{status}, 202, 'a key of 200 bytes');
is(once($ana, 'x' x 201)->{status}, 400, 'not of more');

# Ten at the same time.
my @pids = map {
	my $n = $_;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		my $r = eval { once($ana, 'race') };
		open my $f, '>', $rig->dir . "/race.$n" or POSIX::_exit(1);
		print $f $r->{status}, ' ', $r->json->{job_id}, "\n" if $r;
		close $f;
		POSIX::_exit(0);
	}
	$pid;
} 1 .. 10;
waitpid $_, 0 for @pids;
my %answers = map { content($rig->dir . "/race.$_") => 1 } 1 .. 10;
is(keys %answers, 1, 'ten at the same time hear of one job');
like((keys %answers)[0], qr/^202 /, 'which was made');
is(files(), ($rig->sql('SELECT COUNT(*) FROM upload'))[0][0],
    'and there are as many files as rows');

done_testing;
