#!/usr/bin/perl
# The code of others in web/vendor is what its manifest says, and no more.

use strict;
use warnings;
use Test::More;
use Digest::SHA;
use FindBin qw($Bin);

my $dir = "$Bin/../web/vendor";
my %listed;

open(my $manifest, '<', "$dir/MANIFEST") or die "MANIFEST: $!";
while (<$manifest>) {
	next if /^#/;
	my ($sum, $file) = split;
	$listed{$file} = 1;
	is(eval { Digest::SHA->new(256)->addfile("$dir/$file", 'b')->hexdigest },
	    $sum, "$file is the one that was listed");
}

opendir(my $d, $dir) or die "$dir: $!";
my @others = grep { !/^\./ && $_ ne 'MANIFEST' && !$listed{$_} } readdir($d);
is_deeply(\@others, [], 'nothing else lies there');

done_testing;
