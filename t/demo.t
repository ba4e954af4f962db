# slow: ./demo from a fresh copy of the tree, in a long directory with a blank
# in its name, as an ordinary user, to a playable result; again after all of
# it was killed; and then it leaves the tree as it was.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Handle;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $top = abs_path(dirname(__FILE__) . '/..');
my $base = tempdir('millrace-demo-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $base;
my $copy = "$base/a directory";
$copy .= '/' . 'long' x 5 while length $copy < 150;
make_path($copy);
chdir $top or die $!;
system("git ls-files -z | tar c --null -T - | tar x -C '$copy'") == 0
    or die "copy of the tree\n";
# The meter is large, and the registry not always near.
if (-d 'run/tools') {
	make_path("$copy/run");
	system('cp', '-a', 'run/tools', "$copy/run/tools") == 0 or die;
}

# Root looks as if it were nobody.
my @as;
if ($> == 0) {
	@as = qw(setpriv --reuid=nobody --regid=nogroup --clear-groups --);
	system('chown', '-R', 'nobody:nogroup', $base) == 0 or die;
}
$ENV{HOME} = $base;
delete @ENV{qw(XDG_RUNTIME_DIR MILLRACE_BUILD)};

sub demo {
	my @command = (@as, "$copy/demo", @_);
	open my $out, '-|', @command or die "@command: $!\n";
	local $/;
	my $text = <$out> // '';
	close $out;
	return ($? >> 8, $text);
}

# Whatever works below the directory.
sub left {
	return grep { (readlink("/proc/$_/cwd") // '') =~ /^\Q$base\E/ }
	    map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
}

END { my $s = $?; kill 'KILL', left() if $base; $? = $s }

sub get {
	my ($url) = @_;
	return scalar `curl -s -H 'Authorization: Bearer $_[1]' '$url'`;
}

# Not a terminal: plain lines.
my $began = time;
my ($exit, $text) = demo('--no-install', '--detach');
is($exit, 0, 'exit status 0') or diag $text;
cmp_ok(time - $began, '<', 400, 'within minutes, build included');
like($text, qr/^   $_ +✓ [\d.]+ s$/m, "$_ has a line")
    for qw(uploading transcoding validation packaging storage);
unlike($text, qr/\e/, 'in plain text');
my ($url, $id) = $text =~
    m{Play it: (http://127\.0\.0\.1:\d+)/#/jobs/([0-9a-f-]{36})$}m;
ok($id, 'and where to play the result');
is((stat "$copy/run/token")[2] & 0777, 0600, 'a token for its owner alone');
open my $f, '<', "$copy/run/token" or die $!;
chomp(my $token = <$f>);
my $job = decode_json(get("$url/api/v1/jobs/$id/status", $token));
is($job->{progress_percentage}, 100, 'the API says so, too');
like(get("$url/api/v1/jobs/$id/artifacts/$job->{output_file}", $token),
    qr/^#EXTM3U/, 'the result is a playlist');

# ---- idempotent -------------------------------------------------------------

($exit, $text) = demo('--no-install');
is($exit, 0, 'a second start');
like($text, qr{already running, process \d+: \Q$url\E/}, 'says that it runs');
my $it = decode_json((demo('--json'))[1]);
is($it->{url}, $url, 'where, for programs');
is($it->{token_file}, "$copy/run/token", 'and with which token');
($exit, $text) = demo('status');
is($exit, 0, 'status');
like($text, qr/^millraced \d+$/m, 'with the programs');

# ---- after all of it was killed, on a terminal ------------------------------

kill 'KILL', left();
my $screen = "$base/screen";
# Ctrl-C is for the demo alone: no shell between it and the terminal that could
# end first, nor one before us that had it ignored.
$SIG{INT} = 'DEFAULT';
open my $keys, '|-', 'sh', '-c', 'exec "$@" >/dev/null', 'sh',
    'script', '-qefc',
    join(' ', 'exec', map { "'$_'" } @as, "$copy/demo", '--no-install'),
    $screen
    or die "script: $!\n";
$keys->autoflush;
my $end = time + 400;
until (screen() =~ /Ctrl-C ends all of it/ || time > $end) {
	select undef, undef, undef, 0.1;
}
like(screen(), qr/ready in [\d.]+ s/, 'it heals');
cmp_ok(screen() =~ /ready in ([\d.]+) s/ ? $1 : 999, '<', 60, 'soon');
like(screen(), qr/transcoding +▶ +\d+ % █/, 'a bar moves');
print $keys "\cC";
close $keys;
is($? >> 8, 0, 'Ctrl-C: exit status 0, since the sample was done')
    or diag screen();
is_deeply([ left() ], [], 'and nothing is left');
is((demo('status'))[0], 1, 'status says that nothing runs');

sub screen {
	open my $f, '<', $screen or return '';
	local $/;
	return <$f> // '';
}

# ---- and away ---------------------------------------------------------------

is((demo('clean'))[0], 0, 'clean');
my @files = map { s/^\.\///r } split /\0/,
    `cd '$copy' && find . -type f -print0`;
chdir $top;
my %there = map { $_ => 1 } split /\0/, `git ls-files -z`;
is_deeply([ grep { !$there{$_} } @files ], [], 'the tree is as it was');

is((demo('--port', 'x'))[0], 1, 'a bad port');
is((demo('--what'))[0], 2, 'an unknown option');

done_testing;
