# Whatever a stage says, or calls its results: nobody is shown anything that
# is not what it said, and no event, header or record of a log comes of it.

use strict;
use warnings;

use Hostile;
use JSON::PP ();
use Rig;
use Test::More;

my $rig = Rig->new
    ->pipeline('say', "accept */*\nstage say 100 10s parrot\n")
    ->pipeline('keep', <<'EOT')
accept	*/*
stage	say	50	10s	parrot
stage	store	50	10s	store
EOT
    ->stage('parrot', "#!/bin/sh\ncat input >&3\ncat input\n")
    ->with_stages
    ->start;
my $ana = $rig->user('ana');
my $h = Hostile->new($rig, as => $ana);
$h->secret($ana->{token}, $ana->{password});

# ---- events -----------------------------------------------------------------

# The events of a stream as a browser reads them, and the lines that are of no
# field that we send.  (HTML, 9.2.6, to the letter.)
sub browser {
	my ($text) = @_;
	my (@events, @odd, %e, @data);
	for my $line (split /\r\n|\n|\r/, $text, -1) {
		if ($line eq '') {
			push @events, { %e, data => join "\n", @data } if @data;
			%e = @data = ();
		} elsif ($line =~ /^data:? ?(.*)$/s) {
			push @data, $1;
		} elsif ($line =~ /^(id|event): ?(.*)$/s) {
			$e{$1} = $2;
		} elsif ($line !~ /^(:|retry: [0-9]+$)/) {
			push @odd, $line;
		}
	}
	return (\@events, \@odd);
}

sub whole_stream {
	my ($path) = @_;
	my $c = Rig::Connection->new($rig->{port}, 20);
	$c->send("GET $path HTTP/1.0\r\nHost: x\r\n" .
	    "Authorization: Bearer $ana->{token}\r\n\r\n");
	my ($head, $body) = split /\r\n\r\n/, $c->rest, 2;
	return $body;
}

sub is_ours {
	my ($e) = @_;
	return eval { JSON::PP->new->utf8->decode($e->{data}) } &&
	    ($e->{id} // 0) =~ /^[0-9]+$/ &&
	    ($e->{event} // 'done') =~ /^(progress|status|done)$/;
}

# What is shown of a text: control bytes and what is no UTF-8 as "?".
my %shown = (
	"a\rdata: {}\r\rb" => 'a?data: {}??b', "\x1b[2J\x1b]0;x\x07" =>
	'?[2J?]0;x?', "a\0b\0" => 'a?b?',
	"\x0b\x0c\x1c\x1d\x1e" => '?????',
	"\xc2\x85\xc2\x9b31m" => "\x{85}\x{9b}31m",
	"\xe2\x80\xa8\xe2\x80\xa9" => "\x{2028}\x{2029}",
	"\xef\xbb\xbfdata: x" => "\x{feff}data: x",
	"\xe2\x80\xae\xe2\x81\xa6" => "\x{202e}\x{2066}",
	map({ $_ => $_ } 'id: 9999', 'event: done', 'data: x', 'retry: 0',
	    ': x', "\\n\\nevent: done\\ndata: {}\\n\\n", '\\', '\\u0000',
	    '</script><script>alert(1)</script>', '"},{"status":"completed"',
	    '%s%n%99999d', "'; DROP TABLE event; --", 'NULL', '${x}$(id)`id`'),
	"\t\t" => undef, "\xff\xfe\xc0\x80\xed\xa0\x80" => undef,
	'x' x 5000 => undef, "\xf0\x9f\x98\x80" x 1000 => undef,
);
for my $text (sort keys %shown) {
	my $id = $rig->submit('say', as => $ana, content => join '', map {
	    "$_\n" } "step $text", "progress 50 $text", "item $text $text",
	    "detail k $text", "detail $text {\"a\":1}", "stored $text",
	    "result $text $text $text", $text, "reject $text");
	my $job = $rig->ended($id, as => $ana);
	my $what = Hostile::shown($text);
	is($job->{status}, 'failed', "a stage says $what");
	is($job->{error_message}, $shown{$text}, 'and so it is shown')
	    if defined $shown{$text};
	for my $path ("/api/v1/jobs/$id/stream", "/jobs/$id/stream") {
		my ($events, $odd) = browser(whole_stream(
		    "$path?last_event_id=0"));
		is_deeply([ @$odd, grep { !is_ours($_) } @$events ], [],
		    'no event but ours');
		my @ids = map { $_->{id} // () } @$events;
		is_deeply(\@ids, [ 1 .. @ids ], 'each of them once, in order');
	}
	for my $part ('', qw(/status /events /steps /artifacts)) {
		my $r = $h->ask("$what$part", '200', 'GET',
		    "/api/v1/jobs/$id$part");
		ok(eval { $r->json }, 'is JSON');
	}
	$h->ask($what, '200', 'GET', $_) for "/api/v1/jobs/$id/logs",
	    "/jobs/$id", '/api/v1/jobs?limit=2';
}

# ---- results ----------------------------------------------------------------

my @names = ('plain.txt', 'a%2e%2e', '%2e%2e%2fx', '?x=1', '#x', 'a"b', "a'b",
    'a\\b', 'a;b', 'a&b=c', '..x', '...', '%00', '%', '%zz', 'a:b', '~', '-rf',
    '<script>', 'index.html', '.htaccess', 'a+b', '$(id)', '{}', '|', 'x' x 255,
    "\xe2\x80\xaegpj", "\xf0\x9f\x98\x80", "\xe4\xb8\xad" x 85, "\xc2\x85x",
    "\xe2\x80\xa8");
my @types = ('text/html', '', 'a/b"c', 'text/html;charset=utf-7', '<x>',
    'image/svg+xml', 'x/y,z', 'multipart/form-data;boundary=x');
my $content = join '', map { "result $names[$_] input $types[$_ % @types]\n" }
    0 .. $#names;
my $id = $rig->submit('keep', as => $ana, content => $content);
is($rig->ended($id, as => $ana)->{status}, 'completed', 'results are kept');
my $items = $rig->get("/api/v1/jobs/$id/artifacts", as => $ana)->json->{items};
is(@$items, @names, 'all of them');
for my $item (@$items) {
	my $name = $item->{name};
	utf8::encode($name);
	my $r = $h->ask("result $name", '200', 'GET', $item->{url});
	is($r->{body}, $content, 'is there');
	my ($said) = $r->{headers}{'content-disposition'} =~
	    /^inline; filename\*=UTF-8''([!-~]+)\z/ or fail('not one name');
	is($said =~ s/%(..)/chr hex $1/ger, $name, 'under its name');
	like($r->{headers}{'content-security-policy'}, qr/sandbox/,
	    'where it cannot do a thing');
}

# Those that lead elsewhere are none.
for my $line ("x ../../../millrace.conf", "x /etc/passwd", "../x input",
    "x/y input", ". input", ".. input", "x .", "x input/..", "x", "",
    "x input a b", "x tmp", "x nothing") {
	my $id = $rig->submit('keep', as => $ana, content => "result $line\n");
	my $job = $rig->ended($id, as => $ana);
	my $items = $rig->get("/api/v1/jobs/$id/artifacts", as => $ana)
	    ->json->{items};
	is(@$items, 0, "no result: $line");
}

$h->nothing_broke;
done_testing;
