# The tree speaks of itself alone, and its tests wait for conditions.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/..');
chdir $top or die $!;

# As git has it; in an unpacked archive, all that is no build.
my @files = -e '.git' ? split(/\0/, `git ls-files -z`)
    : grep { chomp; s{^\./}{}; !m{^run/} } `find . -type f`;
cmp_ok(scalar @files, '>', 50, 'the tree is there');

# Files that contain WHAT; brackets keep the words below from finding
# themselves.
sub containing {
	my ($what, @in) = @_;
	my @found;
	for my $file (@in) {
		next unless -f $file && -T _;
		open my $f, '<', $file or next;
		while (my $line = <$f>) {
			push @found, "$file:$." if $line =~ $what;
		}
	}
	return \@found;
}

my @ours = grep { !m{(^|/)vendor/|^t/data/|^share/vmaf/} } @files;
is_deeply(containing(qr{\.\./sh[a]red\b|(^|[\s'"`(=])/w[o]rk/|\bf[a]rm\b},
    @ours), [],
    'nothing outside of the tree is named');
is_deeply(containing(qr{\bT[O]DO\b|\bF[I]XME\b|\bX[X]X\b}, @ours), [],
    'nothing is left for later');
# Stages of tests may be slow, in their shell; a test may not.
is_deeply(containing(qr{^\s*sl[e]ep\s*\(?\s*[0-9.]+\s*\)?\s*(if .*)?;\s*$},
    grep { m{^t/.*\.(t|pm|pl|mjs|js)$} } @ours), [],
    'no test waits for a time');

done_testing;
