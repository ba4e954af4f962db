# A site that lives below a path of another one.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->conf('site', prefix => '/media/jobs')
    ->with_stages
    ->stage('copy', <<'EOS')
#!/bin/sh
cp input copy.txt
echo 'result copy.txt copy.txt text/plain' >&3
EOS
    ->pipeline('copy', "title\tCopy\naccept\ttext/plain\n" .
	"stage\tcopying 50 1m copy\nstage\tstorage 50 1m store\n")
    ->start;

Browser::run($rig, { root => $rig->user('root', role => 'admin') });
done_testing;
