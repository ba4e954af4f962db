package Kept;

# Stage programs in C, with the helper that ours have: for t/kept.t and
# bench/items.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);

my $top = abs_path(dirname(__FILE__) . '/../..');

# Put a stage NAME there, before or after the start of RIG: what SOURCE does,
# and what daemon/stage/stage.h and the library have.
sub program {
	my ($rig, $name, $source) = @_;
	my $path = $rig->dir . "/stages/$name";
	my $flags = `pkg-config --cflags --libs libbsd-overlay json-c`;
	chomp $flags;
	# The library may have been built with the sanitizers.
	open my $m, '<', "$rig->{build}/Makefile" or die "Makefile: $!\n";
	$flags .= " -fsanitize=address,undefined '$top/t/sanitize.c'"
	    if grep { /^HARDENING = .*-fsanitize/ } <$m>;
	close $m;
	open my $f, '>', "$path.c" or die "$path.c: $!\n";
	print $f $source;
	close $f or die "$path.c: $!\n";
	my $said = `cc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror \\
	    -I'$top/lib' -I'$top/daemon/stage' -o '$path' '$path.c' \\
	    '$top/daemon/stage/stage.c' '$rig->{build}/libmillrace.a' \\
	    $flags 2>&1`;
	$? == 0 or die "cc $path.c: $said\n";
	return $rig;
}

1;
