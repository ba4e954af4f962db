# The administrator's page: filters that stand in the URL, rows that stay under
# the pointer, cancel and run again, and polling that costs next to nothing.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->stage('wait', "#!/bin/sh\necho 'step Waits for the end' >&3\n" .
	"exec sleep 600\n")
    ->stage('fail', "#!/bin/sh\necho 'line 3: no such word'\n" .
	"echo 'reject The text makes no sense.' >&3\nexit 1\n")
    ->stage('good', "#!/bin/sh\nexit 0\n")
    ->pipeline('long', <<'EOP')
title	Long work
accept	text/plain
stage	waiting 100 1h wait
EOP
    ->pipeline('fragile', <<'EOP')
title	Fragile work
accept	text/plain
stage	reading 50 1m good
stage	parsing 50 1m fail
EOP
    ->start;

my %user = (ana => $rig->user('ana'), root => $rig->user('root',
    role => 'admin'));

Browser::run($rig, \%user,
    submit => sub {
	my ($pipeline, $name) = @_;
	return $rig->submit($pipeline, as => $user{ana}, content => "text\n",
	    filename => $name);
    },
    # From now on the text makes sense.
    mend => sub {
	$rig->stage('fail', "#!/bin/sh\nexit 0\n");
	return 1;
    });
done_testing;
