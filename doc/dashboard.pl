# Make doc/dashboard.png anew: the page of a real video, while it is processed.
#
# usage: perl -It/lib doc/dashboard.pl, after ./check has built everything

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new->with_video->start;

Browser::run($rig, {
	ana => $rig->user('ana'),
	video => $rig->file('t/data/car-detection.mp4'),
	picture => $rig->file('doc/dashboard.png'),
});
done_testing;
