# The stages of a job and their items are told in pages, however many there
# are, and what all of a stage come to on each of them.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('pages', <<'EOP')
stage	name	10	60s	name
each	page	80	60s	failures=all page
stage	sum	10	60s	sum
EOP
    ->stage('name', <<'EOP')
#!/bin/sh
for i in 1 2 3 4 "5&%_ü"; do echo "item page-$i" >&3; done
EOP
    ->stage('page', <<'EOP')
#!/bin/sh
echo "this is $MILLRACE_ITEM"
[ "$MILLRACE_ITEM" = page-2 ] && { echo 'reject is torn' >&3; exit 1; }
exit 0
EOP
    ->stage('sum', "#!/bin/sh\n")->start;
my $ana = $rig->user('ana');
my $job = $rig->submit('pages', as => $ana);
$rig->ended($job, as => $ana);

sub answer {
	my ($query, $part) = @_;
	my $r = $rig->get("/api/v1/jobs/$job/" . ($part // 'steps') . $query,
	    as => $ana);
	is($r->{status}, 200, "\"$query\" is answered");
	return $r;
}

sub names { map { $_->{item} // $_->{stage} } @{$_[0]->json->{items}} }

my @all = ('name', 'page-1', 'page-2', 'page-3', 'page-4', 'page-5&%_ü',
    'sum');
utf8::decode($all[5]);

# ---- pages ------------------------------------------------------------------

my $r = answer('');
is_deeply([ names($r) ], \@all, 'all of them, in order');
is($r->json->{next_cursor}, undef, 'and no more');
is($r->{headers}{link}, undef, 'nor a link to it');

my ($path, @seen, $pages) = ("/api/v1/jobs/$job/steps?limit=2");
while (defined $path && ++$pages < 9) {
	$r = $rig->get($path, as => $ana);
	push @seen, names($r);
	($path) = ($r->{headers}{link} // '') =~ /^<(.*)>; rel="next"$/;
	is(!defined $path, !defined $r->json->{next_cursor},
	    'a cursor and a link to more go together');
}
is_deeply(\@seen, \@all, 'each is on one of the pages');
is($pages, 4, 'of two');

is_deeply([ names(answer('?state=failed')) ], [ 'page-2' ], 'by state');
is_deeply([ names(answer('?stage=sum')) ], [ 'sum' ], 'by stage');
is_deeply([ names(answer('?stage=page&state=done&limit=1')) ], [ 'page-1' ],
    'by both');
my ($torn) = @{answer('?state=failed')->json->{items}};
is_deeply([ @$torn{qw(attempt failures crashes output)} ],
    [ 1, 3, 0, "this is page-2\n" ],
    'of each it is told how often it was tried, and what it wrote');

# ---- stages -----------------------------------------------------------------

my ($page) = grep { $_->{stage} eq 'page' }
    @{answer('?limit=1')->json->{stages}};
is_deeply([ @$page{qw(phase waiting running done failed attempt)} ],
    [ 'page', 0, 0, 4, 1, 1 ], 'a stage is what its items come to');
like($page->{$_}, qr/^20\d\d-\d\d-\d\dT[\d:.]+Z$/, $_)
    for qw(started_at ended_at);

# ---- logs -------------------------------------------------------------------

$r = answer('?limit=2&stage=page', 'logs');
like($r->{body}, qr/^== page page-1, done since .*\nthis is page-1\n/,
    'what they wrote');
my ($more) = $r->{body} =~ m{^== more: (/.*)$}m;
is($r->{headers}{link}, "<$more>; rel=\"next\"", 'has a last line with a link');
my $next = $rig->get($more, as => $ana)->{body};
like($next, qr/^== page page-3, .*this is page-4\n/s, 'to more of it');
like($rig->get(($next =~ m{^== more: (/.*)$}m)[0], as => $ana)->{body},
    qr/this is page-5&%_/, 'whatever they are called');

# ---- what cannot be ---------------------------------------------------------

for my $bad ('limit=0', 'limit=1001', 'limit=x', 'state=torn', 'cursor=page',
    'cursor=-1.a', 'cursor=70000.a', 'cursor=1') {
	for my $part (qw(steps logs)) {
		my $r = $rig->get("/api/v1/jobs/$job/$part?$bad", as => $ana);
		my ($name, $value) = split /=/, $bad;
		is($r->{status}, 400, "$part: $bad is refused");
		like($r->json->{detail}, qr/^$name: "\Q$value\E"/, 'by name');
	}
}

# ---- thousands --------------------------------------------------------------

my $id = "UNHEX('" . $job =~ s/-//gr . "')";
$rig->sql("INSERT INTO step (job_id, position, item, stage, state, attempt,"
    . " started_at, ended_at, output) SELECT $id, 1, CONCAT('row-', seq),"
    . " 'page', 'done', 1, NOW(3), NOW(3), REPEAT('x', 4000)"
    . ' FROM seq_1_to_10000');

sub peak {
	my ($most) = sort { $b <=> $a } map {
		open my $f, '<', "/proc/$_/status" or next;
		local $/;
		<$f> =~ /^VmHWM:\s+(\d+)/m ? $1 : 0
	} $rig->pid('status'), split ' ', `cat /proc/@{[$rig->pid('status')
	    ]}/task/*/children`;
	return $most / 1024;
}

is(scalar(names(answer(''))), 200, 'a page of ten thousand is a page');
answer('', 'logs');
cmp_ok(peak(), '<', 64, sprintf 'which takes no room: %.0f MB', peak());
($page) = grep { $_->{stage} eq 'page' }
    @{answer('?limit=1')->json->{stages}};
is($page->{done}, 10004, 'but all are counted');

done_testing;
