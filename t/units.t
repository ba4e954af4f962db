# The units are what systemd understands, and leave little in reach.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/..');
my $dir = tempdir(CLEANUP => 1);

# With programs that exist, since systemd looks for them.
for my $unit (glob "'$top/systemd/'*.{service.in,socket,target}") {
	open my $from, '<', $unit or die "$unit: $!";
	(my $name = basename($unit)) =~ s/\.in$//;
	open my $to, '>', "$dir/$name" or die "$name: $!";
	while (<$from>) {
		s{\@\w+dir\@/\S+}{/bin/true};
		print $to $_;
	}
}

for my $unit ('millraced.service', 'millrace@sse.service',
    'millrace@sse.socket', 'millrace.target') {
	(my $file = $unit) =~ s/@\w+/@/;
	ok(-f "$dir/$file", "$unit is there");
	my $said = `systemd-analyze verify --man=no '$dir/$unit' 2>&1`;
	is($said, '', "$unit: nothing to say about it");
}

# The figure is of a scale to 10; what is over the threshold, of 100, fails.
# The daemon makes the sandbox of its stages, which takes more.
for (['millraced.service', 20], ['millrace@sse.service', 15]) {
	my ($unit, $most) = @$_;
	my $said = `systemd-analyze --offline=true --threshold=$most \\
	    security '$dir/$unit' 2>&1`;
	my ($figure) = $said =~ /exposure level for \S+: ([0-9.]+)/;
	is($?, 0, "$unit: exposure " . ($figure // 'unknown') . ' of 10');
}

# What the daemon needs is not taken away: namespaces for its stages, and
# openat2, which RestrictSUIDSGID answers with ENOSYS.
open my $f, '<', "$dir/millraced.service" or die $!;
my %is = map { /^(\w+)=(.*)$/ ? ($1, $2) : () } <$f>;
close $f;
is($is{RestrictNamespaces}, 'user pid net ipc',
    'stages may have namespaces of their own');
ok(!exists $is{RestrictSUIDSGID}, 'results may be opened with openat2');

done_testing;
