# make install puts everything where an installed system looks for it, and
# nothing of the tree is forgotten.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{MILLRACE_BUILD} // "$top/run/build";
my $dest = tempdir(CLEANUP => 1);

my $said = `make -s -C '$build' install DESTDIR='$dest' 2>&1`;
is($?, 0, 'make install') or die $said;

# Where things go, as configure was told; without configure's word, as here.
my %dir = (prefix => '/usr/local');
open my $f, '<', "$build/Makefile" or die $!;
while (<$f>) {
	$dir{$1} = $2 if /^(\w+dir|prefix|exec_prefix|PACKAGE_TARNAME) = (\S+)$/;
}
close $f;
sub where {
	my ($text) = @_;
	1 while $text =~ s/\$[({](\w+)[)}]/$dir{$1} \/\/ "?$1"/e;
	return $dest . $text;
}

for (['bindir', 'millrace'], ['sbindir', 'millraced'],
    ['fcgidir', qw(auth upload status sse)],
    ['stagedir', qw(intake transcode quality package store)],
    ['systemddir', qw(millraced.service millrace@.service millrace@.socket
	millrace.target)],
    ['sysusersdir', 'millrace.conf'], ['tmpfilesdir', 'millrace.conf'],
    ['vmafdir', 'LICENSE']) {
	my ($dir, @files) = @$_;
	ok(-f where($dir{$dir}) . "/$_", "$dir/$_") for @files;
}

# Every file of these is installed, and no other.
sub below {
	my ($dir) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub {
		push @files, substr $_, length($dir) + 1 if -f;
	} }, $dir);
	return [ sort @files ];
}
my %from = (sqldir => 'sql', nginxdir => 'nginx', wwwdir => 'web',
    pipelinedir => 'daemon/pipelines', examplesdir => 'doc/examples',
    vmafdir => 'share/vmaf');
for my $dir (sort keys %from) {
	is_deeply(below(where($dir{$dir})), below("$top/$from{$dir}"),
	    "$dir has all of $from{$dir}");
}

my @pages = map { basename($_) }
    glob "'$top'/{lib,fcgi,daemon,cli}/*.[1-8] '$build/lib/'*.[1-8]";
for my $page (@pages) {
	my ($section) = $page =~ /\.(\d)$/;
	ok(-f where("\$(mandir)/man$section/$page"), "the manual $page");
}

# Units name the programs where they are.
open $f, '<', where($dir{systemddir}) . '/millraced.service' or die $!;
my ($program) = map { /^ExecStart=(\S+)/ } <$f>;
close $f;
is($dest . $program, where($dir{sbindir}) . '/millraced',
    'the unit starts the daemon that was installed');
my $version = where($dir{bindir}) . '/millrace';
like(`'$version' -V`, qr/^millrace \d/, 'and what was installed runs');

done_testing;
