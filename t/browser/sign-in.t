# Signing in, with and without an account; tokens, passwords, leaving; and
# what a page does when its session ends.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('site', registration => 'yes')
    ->stage('count', "#!/bin/sh\nwc -w <input\n")
    ->pipeline('words', <<'EOP')
title	Word count
accept	text/plain
stage	counting 100 1m count
EOP
    ->start;

Browser::run($rig, { ana => $rig->user('ana') },
    status_of => sub {
	my ($token) = @_;
	return $rig->get('/api/v1/jobs', as => $token)->{status} + 0;
    });
done_testing;
