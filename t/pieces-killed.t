# A kill of the daemon while the quality of a video is measured costs the pieces
# at hand; those that were measured stay, and the report is that of a run
# without a kill.

use strict;
use warnings;

use Rig;
use Test::More;

# The pipeline as it is, but for short pieces of a small video.
my $rig = Rig->new->with_video;
my $text = do {
	open my $f, '<', $rig->file('daemon/pipelines/video.conf') or die $!;
	local $/;
	<$f>;
};
$text =~ s/\bintake$/intake -l 4/m or die 'no intake';
$text =~ s/\bquality$/quality -l 50/m or die 'no quality';
$rig->pipeline('video', $text)->start;
my $ana = $rig->user('ana');

sub send_in {
	return $rig->post('/api/v1/jobs', as => $ana, form => [ pipeline =>
	    'video', file => { file => $rig->file('t/data/car-detection.mp4'),
	    filename => 'car.mp4' } ])->json->{job_id};
}

# name => inode and time of what was measured.
sub pieces {
	my ($id) = @_;
	return map {
		my @stat = stat $_;
		@stat ? (m{([^/]+)$} => "@stat[1, 9]") : ();
	} glob $rig->dir . "/storage/work/$id/quality/*.json";
}

sub report {
	my ($id, $name) = @_;
	my $end = $rig->ended($id, as => $ana, timeout => 300);
	is($end->{status}, 'completed', "$name: it is done")
	    or diag($end->{error_message});
	return $rig->get("/api/v1/jobs/$id/artifacts/quality.json",
	    as => $ana)->json;
}

my $whole = report(send_in(), 'without a kill');

my $id = send_in();
my %before;
$rig->wait_for(sub { %before = pieces($id); keys %before >= 3 }, 240,
    'three pieces are measured');
$rig->kill('KILL', 'millraced');

# They go with the job, so they are watched until then: every time that one is
# written it is another file.
my %seen;
$rig->wait_for(sub {
	my %now = pieces($id);
	$seen{$_}{$now{$_}} = 1 for keys %now;
	$rig->job($id, as => $ana)->{status} eq 'completed';
}, 300, 'it is done');
is_deeply({ map { $_ => [ keys %{$seen{$_}} ] } keys %before },
    { map { $_ => [ $before{$_} ] } keys %before },
    keys(%before) . ' pieces were done, and are not done again');
cmp_ok(scalar keys %seen, '>', keys %before, 'the others were done then');
is_deeply(report($id, 'with a kill'), $whole, 'and the report is the same');

my @percent = map { $_->{progress_percentage} } @{$rig->get(
    "/api/v1/jobs/$id/events?limit=1000", as => $ana)->json->{items}};
is_deeply([ sort { $a <=> $b } @percent ], \@percent,
    'the percentage never fell');
my ($tries) = map { $_->[0] } $rig->sql('SELECT attempt FROM step WHERE' .
    ' stage = ? AND job_id = UNHEX(REPLACE(?, ?, ?))', 'validation', $id, '-',
    '');
cmp_ok($tries, '>=', 2, "validation was begun $tries times");

done_testing;
