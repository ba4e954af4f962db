# A file goes in through the page and is followed live: over one stream, after
# the hub was killed, while it is away, and while streams are refused.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Rig;
use Test::More;

my $rig = Rig->new
    ->with_gate
    # A tenth of a second each: slow enough to be watched.
    ->stage('steady', <<'EOS')
#!/bin/sh
for i in $(seq 1 "$MILLRACE_OPTION_STEPS"); do
	echo "progress $((100 * i / MILLRACE_OPTION_STEPS)) line $i" >&3
	sleep 0.1
done
EOS
    ->pipeline('steady', <<'EOP')
# Takes its time.
title	Steady work
accept	text/plain
option	steps number 30 1 100000
stage	reading 60 5h steady
stage	writing 40 5h steady
EOP
    ->pipeline('stepwise', <<'EOP')
# Is led by hand.
title	Work step by step
accept	text/plain
option	steps number 30 1 100000
stage	reading 60 5m gate
stage	writing 40 5m steady
EOP
    ->start;

my $ana = $rig->user('ana');

Browser::run($rig, { ana => $ana },
    submit => sub {
	my ($steps) = @_;
	return $rig->submit('steady', as => $ana, content => "some text\n",
	    filename => 'text.txt', options => { steps => $steps });
    },
    cancel => sub {
	my ($id) = @_;
	return $rig->post("/api/v1/jobs/$id/cancel", as => $ana)->{status};
    },
    tell => sub {
	my ($id, $line) = @_;
	$rig->tell($id, $line);
	return 1;
    },
    # All of them, however long it took.
    events => sub {
	my ($id) = @_;
	my @all;
	while (1) {
		my $after = @all ? $all[-1]{seq} : 0;
		my $page = $rig->get("/api/v1/jobs/$id/events?limit=1000" .
		    "&after=$after", as => $ana)->json->{items};
		return \@all unless @$page;
		push @all, @$page;
	}
    });
done_testing;
