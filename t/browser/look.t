# Every page in every state, light and dark, from 320 pixels on: nothing in the
# way of those who see little, nothing wider than the window, and the keyboard
# alone is enough.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->stage('wait', "#!/bin/sh\necho 'progress 40 Half of it' >&3\n" .
	"exec sleep 600\n")
    ->stage('fail', "#!/bin/sh\necho 'reject It makes no sense.' >&3\n" .
	"exit 1\n")
    ->stage('good', "#!/bin/sh\nexit 0\n")
    ->pipeline('long', <<'EOP')
# Takes its time.
title	Long work
accept	text/plain
option	language choice en en de fr
option	steps number 3 1 20
option	careful boolean yes
option	remark text none
stage	reading 10 1m good
stage	waiting 90 1h wait
EOP
    ->pipeline('fragile', "title\tFragile work\naccept\ttext/plain\n" .
	"stage\tparsing 100 1m fail\n")
    ->pipeline('quick', "title\tQuick work\naccept\ttext/plain\n" .
	"stage\treading 100 1m good\n")
    ->start;

my $root = $rig->user('root', role => 'admin');

Browser::run($rig, { root => $root },
    submit => sub {
	my ($pipeline, $name) = @_;
	utf8::encode($name);
	return $rig->submit($pipeline, as => $root, content => "text\n",
	    filename => $name);
    });
done_testing;
