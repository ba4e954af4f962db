# The manuals name everything there is: each option, command, configuration
# key, route and word of a protocol.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{MILLRACE_BUILD} // "$top/run/build";
chdir $top or die $!;

sub slurp {
	open my $f, '<', $_[0] or die "$_[0]: $!";
	local $/;
	return <$f>;
}

my %pages = map { basename($_) => $_ } glob('{lib,fcgi,daemon,cli}/*.[1-8]'),
    "$build/lib/millrace.conf.5";
cmp_ok(scalar keys %pages, '>=', 7, 'the manuals are there');

# As it is read, in lines that do not break.
sub text {
	my ($page) = @_;
	my $path = $pages{$page} or return '';
	my $text = `mandoc -T ascii -O width=1000 '$path'`;
	$text =~ s/.\x08//g;
	return $text;
}

# ---- well-formed, installed, and none refers to nothing ---------------------

# The words of the lists "man_MANS" and "dist_man_MANS".
my %installed;
(my $makefile = slurp('Makefile.am')) =~ s/\\\n//g;
while ($makefile =~ /^(?:dist_)?man_MANS \+?= (.*)/mg) {
	$installed{basename($_)} = 1 for split ' ', $1;
}
for my $page (sort keys %pages) {
	is(`mandoc -Tlint -W warning '$pages{$page}' 2>&1`, '',
	    "$page: mandoc has nothing to say");
	ok($installed{$page}, "$page is installed");
	my %lost;
	for (split /\n/, slurp($pages{$page})) {
		$lost{"$1.$2"} = 1 if /^\.Xr (millrace\S*) (\d)/ &&
		    !$pages{"$1.$2"};
	}
	is_deeply([ sort keys %lost ], [],
	    "$page refers to pages that there are");
}

# ---- options and commands ---------------------------------------------------

# What a usage text has of options: -v, --verbose, and each of [-hnVv].
sub options_in {
	my ($usage) = @_;
	my %found;
	for ($usage =~ /(?<![\w-])(--?[A-Za-z][\w-]*)/g) {
		my @all = /^-(\w+)$/ ? map { "-$_" } split //, $1 : $_;
		@found{@all} = ();
	}
	return sort keys %found;
}

sub unnamed {
	my ($page, @words) = @_;
	my $text = text($page);
	return [ grep { $text !~ /(?<![\w-])\Q$_\E(?![\w-])/ } @words ];
}

for my $program ([ 'fcgi/auth', 'millrace-fcgi.8' ],
    [ 'fcgi/upload', 'millrace-fcgi.8' ],
    [ 'fcgi/status', 'millrace-fcgi.8' ],
    [ 'fcgi/sse', 'millrace-fcgi.8' ],
    [ 'millraced', 'millraced.8' ], [ 'millrace', 'millrace.1' ]) {
	my ($path, $page) = @$program;
	my $usage = `'$build/$path' -h 2>&1`;
	my @options = options_in($usage);
	cmp_ok(scalar @options, '>=', 4, "$path -h tells its options");
	is_deeply(unnamed($page, @options), [], "$page has each option of $path");
}

my $overview = `'$build/millrace' -h`;
my @commands = $overview =~ /^  ([a-z]+) {2,}\S/mg;
cmp_ok(scalar @commands, '>=', 4, 'millrace -h lists the commands');
for my $command (@commands) {
	my $usage = `'$build/millrace' -c /nowhere $command --help`;
	is($?, 0, "millrace $command --help needs nothing");
	# "usage: millrace [-c file] user add NAME [...]"
	my @verbs = $usage =~
	    /^(?:usage:| {6}) millrace (?:\[[^]]*\] )*$command ([a-z]+)/mg;
	is_deeply(unnamed('millrace.1', (map { "$command $_" } @verbs),
	    @verbs ? () : $command, options_in($usage)), [],
	    "millrace.1 has all of millrace $command");
}

# ---- configuration keys -----------------------------------------------------

my $keys = text('millrace.conf.5');
my ($section, %lacks);
for (split /\n/, `'$build/millrace' config mdoc`) {
	$section = $1 if /^\.Ss (\[\w+\])/;
	next unless /^\.It Ic (\w+) /;
	my $name = $1;
	$lacks{"$section $name"} = 1
	    if $keys !~ /^\s+\Q$section\E\n(?:(?!\s+\[).*\n)*?\s+$name = /m;
}
ok($section, 'millrace config mdoc tells the keys');
is_deeply([ sort keys %lacks ], [], 'millrace.conf.5 has each key');

# ---- routes -----------------------------------------------------------------

# The rows of all tables of routes, with what stands for a path in them.
my %routes;
for my $file (glob 'fcgi/*.c') {
	my $source = slurp($file);
	my %defined = $source =~ /^#define\s+(\w+)\s+("\/[^"]*")/mg;
	while ($source =~ /\{\s*"([A-Z]+)",\s*(\w+|"\/[^"]*"),\s*ROUTE_\w+,/g) {
		my ($method, $path) = ($1, $defined{$2} // $2);
		$path =~ s/"//g;
		$path =~ s{/[:*](\w+)}{/$1}g;
		$routes{"$method $path"} = $file;
	}
}
cmp_ok(scalar keys %routes, '>=', 25, 'there are routes');
my $api = text('millrace-api.7');
is_deeply([ grep { $api !~ /^\s+\Q$_\E$/m } sort keys %routes ], [],
    'millrace-api.7 has each route');

# And none that there is not.
my @said = $api =~ /^\s+((?:GET|POST|PUT|PATCH|DELETE) \/\S*)$/mg;
is_deeply([ grep { !$routes{$_} } @said ], [], 'and no other');

# ---- the words of stages ----------------------------------------------------

my ($table) = slurp('lib/report.c') =~ /\}\s*words\[\] = \{(.*?)^\};/ms;
my @words = $table =~ /\{\s*"(\w+)"/g;
cmp_ok(scalar @words, '>=', 8, 'there are words for stages');
my $report = -e ($pages{'millrace-report.7'} // '')
    ? slurp($pages{'millrace-report.7'}) : '';
is_deeply([ grep { $report !~ /^\.It Ic $_\b/m } @words ], [],
    'millrace-report.7 has each word');

done_testing;
