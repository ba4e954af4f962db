# A real video, dropped on the page, is made playable while one watches, and
# then plays: by the browser itself, and with the library.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new->with_video->start;

Browser::run($rig, {
	ana => $rig->user('ana'),
	video => $rig->file('t/data/rabbit320.webm'),
	broken => $rig->file('t/data/text.mp4'),
});
done_testing;
