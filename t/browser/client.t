# The live client, against streams and answers that are made up: every state,
# every way a connection can go wrong, without waiting for real time.

use strict;
use warnings;
use lib 't/lib';
use Browser;
use Test::More;

Browser::run(undef, {});
done_testing;
