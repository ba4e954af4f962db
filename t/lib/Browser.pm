package Browser;

# Run t/browser/NAME.mjs for t/browser/NAME.t.
#
# Node drives Chromium, and says what it finds in lines of JSON:
#
#	{"ok": true, "name": "..."}		a test
#	{"note": "..."}				a diagnosis
#	{"call": "kill", "args": [...]}		something for us to do
#
# The answer to a call is a line of JSON on its standard input.  What can be
# called are the methods of the rig that are named below, and what the test
# adds.
#
# BROWSER_LAG=ms in the environment makes a slow machine of a quick one; see
# t/browser/browser.mjs.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/../..');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
binmode Test::More->builder->$_, ':utf8'
    for qw(output failure_output todo_output);

my @methods = qw(job kill restart start_program stage stop submit);

# RIG may be missing.  GIVEN is what the script gets; CALLS are subs by name.
sub run {
	my ($rig, $given, %calls) = @_;
	my ($script) = abs_path($0) =~ /^(.*)\.\w+$/;
	for my $name (@methods) {
		$calls{$name} //= sub { scalar $rig->$name(@_) };
	}
	local $ENV{NODE_NO_WARNINGS} = 1;
	local $ENV{BROWSER_TOOLS} = "$top/run/tools";
	local $ENV{BROWSER_GIVEN} = $json->encode({
		top => $top,
		$rig ? (url => $rig->url . $rig->{prefix}, dir => $rig->dir) :
		    (),
		%$given,
	});
	my $pid = open2(my $from, my $to, 'node', "$script.mjs");
	while (my $line = <$from>) {
		hear($json->decode($line), $to, \%calls);
	}
	waitpid $pid, 0;
	is($?, 0, 'the script came to its end');
}

sub hear {
	my ($said, $to, $calls) = @_;
	if (exists $said->{ok}) {
		ok($said->{ok}, $said->{name}) || diag($said->{why} // '');
	} elsif (exists $said->{note}) {
		diag($said->{note});
	} else {
		my $call = $calls->{$said->{call}}
		    or die "no call \"$said->{call}\"\n";
		my $answer = $call->(@{ $said->{args} });
		print $to $json->encode($answer), "\n";
		$to->flush;
	}
}

1;
