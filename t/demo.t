# slow: ./demo from a fresh copy of the tree, in a long directory with a blank
# in its name, as an ordinary user, to a playable result; again after all of
# it was killed; and then it leaves the tree as it was.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
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

my $began = time;
my ($exit, $text) = demo('--no-install', '--detach', '--json');
is($exit, 0, 'exit status 0') or diag $text;
cmp_ok(time - $began, '<', 150, 'within two minutes and a half, build included');
my $it = eval { decode_json($text) } // {};
is($it->{job_status}, 'completed', 'the sample went through');
like($it->{url} // '', qr{^http://127\.0\.0\.1:\d+$}, 'a URL');
ok(length($it->{password} // ''), 'a password');
is((stat "$copy/run/token")[2] & 0777, 0600, 'a token for its owner alone');
open my $f, '<', "$copy/run/token" or die $!;
chomp(my $token = <$f>);
my $job = decode_json(get("$it->{url}/api/v1/jobs/$it->{job_id}/status",
    $token));
is($job->{progress_percentage}, 100, 'the API says so, too');
like(get("$it->{url}/api/v1/jobs/$it->{job_id}/artifacts/$job->{output_file}",
    $token), qr/^#EXTM3U/, 'the result is a playlist');

# ---- idempotent -------------------------------------------------------------

($exit, $text) = demo('--no-install');
is($exit, 0, 'a second start');
like($text, qr{already running, process \d+: \Q$it->{url}\E/},
    'says that it runs');
($exit, $text) = demo('status');
is($exit, 0, 'status');
like($text, qr/^millraced \d+$/m, 'with the programs');

# ---- after all of it was killed ---------------------------------------------

kill 'KILL', left();
$began = time;
($exit, $text) = demo('--no-install');
is($exit, 0, 'it heals, and without a terminal ends after the job')
    or diag $text;
like($text, qr/^ ready in (\d+)\.\d s$/m, 'ready');
cmp_ok($text =~ /^ ready in ([\d.]+) s$/m ? $1 : 99, '<', 15, 'soon');
like($text, qr/^   uploading +✓ [\d.]+ s$/m, 'each phase has a line');
unlike($text, qr/\e/, 'in plain text');
is_deeply([ left() ], [], 'nothing is left of it');
($exit, $text) = demo('status');
is($exit, 1, 'status says that nothing runs');

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
