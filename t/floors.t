# A file includes from its own floor or one below, and what only one module
# may know is known by that one alone.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use Test::More;

chdir dirname(abs_path(__FILE__)) . '/..' or die $!;

# Which directories a directory may include from.
my %below = (
	'lib' => [ 'lib' ],
	'fcgi' => [ 'fcgi', 'lib' ],
	'daemon' => [ 'daemon', 'lib' ],
	'daemon/stage' => [ 'daemon/stage', 'lib' ],
	'cli' => [ 'cli', 'lib' ],
);

# What may stand in these files alone.
my @alone = (
	[ qr/#include <mysql\.h>/, qw(lib/db.c) ],
	[ qr/#include <jwt\.h>/, qw(lib/token.c) ],
	[ qr/#include <fcgiapp\.h>/, qw(fcgi/accept.c) ],
	[ qr/\bfork\(\)/, qw(fcgi/pool.c daemon/child.c cli/launch.c
	    daemon/stage/ffmpeg.c) ],
	[ qr/\bepoll_create/, qw(lib/loop.c) ],
);

# The floor of "no SQL" below the floor of tables.
my %plain = map { $_ => 1 } qw(conf log loop pipeline report token utf8 uuid);
my %tables = map { $_ => 1 } qw(db user file job step event daemon);

my (%text, %where, %uses);
for my $dir (sort keys %below) {
	for my $file (sort glob "$dir/*.[ch]") {
		open my $f, '<', $file or die "$file: $!";
		local $/;
		# Comments may name what they like.
		($text{$file} = <$f>) =~ s{/\*.*?\*/}{}gs;
		push @{ $where{basename($file)} }, $dir;
	}
}
cmp_ok(scalar keys %text, '>', 40, 'the source is there');

sub module { my $name = shift; $name =~ s/\.[ch]$//; $name }

my @wrong;
for my $file (sort keys %text) {
	my $dir = dirname($file);
	for ($text{$file} =~ /^#include "([^"]+)"/gm) {
		my ($home) = grep { -f "$_/$1" } @{ $below{$dir} };
		if (!$home) {
			push @wrong, "$file includes $1, which is not below";
			next;
		}
		push @wrong, "$file: $1 knows SQL" if $dir eq 'lib' &&
		    $plain{module(basename $file)} && $tables{module($1)};
		$uses{module($file)}{module("$home/$1")} = 1
		    if module($file) ne module("$home/$1");
	}
}
is_deeply(\@wrong, [], 'nothing is included from above');

# A module is NAME.c and NAME.h together.  No chain of includes comes back.
my (%seen, @circle);
sub visit {
	my ($module, @path) = @_;
	return if @circle || ($seen{$module} // '') eq 'done';
	if (grep { $_ eq $module } @path) {
		@circle = (@path, $module);
		return;
	}
	visit($_, @path, $module) for sort keys %{ $uses{$module} // {} };
	$seen{$module} = 'done';
}
visit($_) for sort keys %uses;
is_deeply(\@circle, [], 'no module includes itself through others');

for my $rule (@alone) {
	my ($what, @files) = @$rule;
	my %may = map { $_ => 1 } @files;
	my @others = grep { $text{$_} =~ $what && !$may{$_} } sort keys %text;
	is_deeply(\@others, [], "$what only in @files");
}

@wrong = grep {
	my $h = basename(s/\.c$/.h/r);
	-f s/\.c$/.h/r && $text{$_} !~ /\A\s*#include "\Q$h\E"/
} grep { /\.c$/ } sort keys %text;
is_deeply(\@wrong, [], 'a file includes its own header first');

my $flags = join ' ', map { chomp; $_ } `pkg-config --cflags libbsd-overlay`;
@wrong = grep {
	my $dir = dirname($_);
	system("gcc -std=gnu11 -D_GNU_SOURCE $flags -Ilib -I$dir" .
	    " -fsyntax-only -x c $_ 2>&1") != 0
} grep { /\.h$/ } sort keys %text;
is_deeply(\@wrong, [], 'each header compiles by itself');

is_deeply([ grep { -e } qw(config.h millrace.h lib/millrace.h common.h) ], [],
    'no header for everything');

done_testing;
