# Run tests in parallel and count what passed, for ./check.
#
# usage: harness.pl JOBS TIMES ERRORS TEST...
#
# TEST is t/NAME.t, or t/unit/NAME.c for the program that was made of it.
# "sanitized/" before it takes the programs of that build.  The environment
# names the builds: BUILD and SANITIZED.  TIMES is a file that keeps how long
# each took: the slowest begin, so that a short one ends.  ERRORS is a directory
# for what each says on standard error; of those that fail it is shown after
# all of them, where it is found.

use strict;
use warnings;

use TAP::Harness;

# A test that takes longer than this, s, hangs.
my $LIMIT = 900;

# So many lines of it are shown.
my $LINES = 60;

my ($jobs, $times, $errors, @tests) = @ARGV;

sub error_file {
	my ($test) = @_;
	return "$errors/" . $test =~ tr{/}{.}r;
}

sub command {
	my ($harness, $test) = @_;
	return [ 'sh', '-c', 'exec "$@" 2>"$0"', error_file($test),
	    words($test) ];
}

sub words {
	my ($test) = @_;
	my $build = $test =~ s{^sanitized/}{} ? $ENV{SANITIZED} : $ENV{BUILD};
	my @limit = ('timeout', '--foreground', '-k', 30, $LIMIT);
	return (@limit, "$build/t/unit/$1.t")
	    if $test =~ m{^t/unit/(.*)\.c$};
	return ('env', "MILLRACE_BUILD=$build", @limit, 'perl', '-It/lib',
	    $test);
}

sub show_errors {
	my ($test) = @_;
	open my $f, '<', error_file($test) or return;
	my @lines = <$f>;
	splice @lines, 0, @lines - $LINES if @lines > $LINES;
	print STDERR "\n---- $test\n", @lines;
}

my %took;
if (open my $f, '<', $times) {
	/^(\S+) (.*)$/ and $took{$2} = $1 while <$f>;
}
@tests = sort { ($took{$b} // 60) <=> ($took{$a} // 60) } @tests;

# Its progress goes to standard error: standard output is for the count.
my $harness = TAP::Harness->new({ jobs => $jobs, exec => \&command,
	stdout => \*STDERR, timer => 1 });
my $all = $harness->runtests(@tests);

my ($passed, $failed, $skipped) = (0, 0, 0);
for my $test ($all->descriptions) {
	my ($p) = $all->parsers($test);
	$took{$test} = sprintf '%.1f', $p->end_time - $p->start_time;
	$passed += $p->passed;
	$skipped += $p->skipped;
	# One that died, or promised more than it ran, failed as well.
	my $bad = $p->failed ||
	    ($p->parse_errors || $p->exit || $p->wait ? 1 : 0);
	$failed += $bad;
	show_errors($test) if $bad;
}
if (open my $f, '>', $times) {
	print $f "$took{$_} $_\n" for sort keys %took;
}
printf "%d passed, %d failed%s\n", $passed, $failed,
    $skipped ? ", $skipped skipped" : '';
exit($failed || !$passed ? 1 : 0);
