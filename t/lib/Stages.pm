package Stages;

# Run the stages of the video pipeline as the daemon runs them, but by hand:
# each in the directory of a job, on a file of the test's.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

our @EXPORT = qw($top $stages $meter $dir $made slurp spew work become run
    detail items succeeds transcoded refused ffmpeg ffprobe);

our $top = abs_path(dirname(__FILE__) . '/../..');
our $stages = ($ENV{MILLRACE_BUILD} // "$top/run/build") . '/daemon/stage';
our $meter = $ENV{VMAF_METER} || "$top/run/tools/ffmpeg-vmaf";
our $dir = tempdir('stages XXXXXX', TMPDIR => 1, CLEANUP => !$ENV{KEEP});
our $made = "$dir/made";
my $works = 0;
mkdir $made or die "$made: $!";

sub slurp {
	open my $f, '<', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f> // '';
}

sub spew {
	my ($path, @text) = @_;
	open my $f, '>', $path or die "$path: $!";
	print $f @text;
	close $f or die "$path: $!";
}

# The directory of a new job with FILE as its input.
sub work {
	my ($file) = @_;
	my $work = "$dir/work" . ++$works;
	make_path("$work/tmp");
	system('cp', '--', $file, "$work/input") == 0 or die 'cp'
	    if defined $file;
	return $work;
}

# Become the program STAGE in WORK; descriptor 3 is the file "said".
sub become {
	my ($work, $stage, %set) = @_;
	my %env = (PATH => '/usr/bin:/bin', LANG => 'C.UTF-8',
	    HOME => "$work/tmp", TMPDIR => "$work/tmp", MILLRACE_CORES => 2,
	    MILLRACE_STORE => "$work/store", MILLRACE_SHARE => "$top/share",
	    VMAF_METER => $meter, %set);
	%ENV = map { $_ => $env{$_} } grep { defined $env{$_} } keys %env;
	$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
	chdir $work or die $!;
	# As few descriptors as a stage has; 3 is where the shell puts it.
	exec '/bin/sh', '-c', 'ulimit -n 64; exec "$0" "$@" ' .
	    '</dev/null >log 2>&1 3>said', ref $stage ? @$stage
	    : "$stages/$stage" or die $!;
}

# Run it: { exit, signal, log, said => [lines], WORD => [rest of lines] }.
sub run {
	my ($work, $stage, %set) = @_;
	my $pid = fork // die $!;
	become($work, $stage, %set) if $pid == 0;
	waitpid $pid, 0;
	my $r = { exit => $? >> 8, signal => $? & 127, log => '', said => [] };
	$r->{log} = slurp("$work/log");
	for (split /\n/, slurp("$work/said")) {
		push @{$r->{said}}, $_;
		push @{$r->{$1}}, $2 if /^(\w+) ?(.*)/;
	}
	open my $results, '>>', "$work/results" or die $!;
	print $results map { join("\t", (split(/ /), '')[0 .. 2]) . "\n" }
	    @{$r->{result} // []};
	return $r;
}

# The detail KEY as data.
sub detail {
	my ($r, $key) = @_;
	my @said = map { /^\Q$key\E (.*)/ ? $1 : () } @{$r->{detail} // []};
	return @said ? JSON::PP->new->allow_nonref->decode($said[-1]) : undef;
}

sub succeeds {
	my ($work, $stage, $name, %set) = @_;
	my $r = run($work, $stage, %set);
	is("$r->{exit} $r->{signal}", '0 0', $name) or diag $r->{log};
	my @percent = map { /^(\S+)/ ? $1 : () } @{$r->{progress}};
	is_deeply([ sort { $a <=> $b } @percent ], \@percent,
	    "$name: never falls");
	is($percent[-1], '100.00', "$name: ends at 100");
	return $r;
}

# The items that a stage named: [name, args], in order.
sub items {
	my ($r) = @_;
	return map { [ /^(\S+) ?(.*)/ ] } @{$r->{item} // []};
}

# What intake said was R; do all items, then what joins them.  What that said.
sub transcoded {
	my ($work, $r, $name, %set) = @_;
	for (items($r)) {
		my ($item, $args) = @$_;
		succeeds($work, 'transcode', "$name: transcode $item", %set,
		    MILLRACE_ITEM => $item, MILLRACE_ITEM_ARGS => $args);
	}
	return succeeds($work, 'quality', "$name: quality", %set);
}

sub refused {
	my ($work, $stage, $why, $name, %set) = @_;
	my $r = run($work, $stage, %set);
	isnt($r->{exit}, 0, "$name: is refused");
	is(scalar @{$r->{reject} // []}, 1, "$name: for good") or
	    diag $r->{log};
	like($r->{reject}[0] // '', $why, "$name: and told why");
	return $r;
}

sub ffmpeg {
	my @command = ('ffmpeg', '-nostdin', '-v', 'error', '-y', @_);
	system(@command) == 0 or die "@command";
	return $_[-1];
}

sub ffprobe {
	my ($file, @what) = @_;
	open my $p, '-|', 'ffprobe', '-v', 'error', '-of', 'json', @what,
	    '-i', $file or die $!;
	local $/;
	return decode_json(<$p> || '{}');
}

1;
