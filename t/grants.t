# Each program can do in the database what it needs, and nothing else.

use strict;
use warnings;

use Rig;
use Test::More;

my $rig = Rig->new->start;
my $ana = $rig->user('ana');

# The account of a program, as its configuration says.
my ($user, $file) = ('', '');
{
	local @ARGV = $rig->dir . '/millrace.conf';
	while (<>) {
		$user = $1 if /^\s*user\s*=\s*(\S+)/;
		$file = $1 if /^\s*password_file\s*=\s*(\S+)/;
	}
}
like($user, qr/%p/, 'each program has an account of its own');

# Run statements as PROGRAM, all of them whatever becomes of each.  Those that
# a right was missing for; other errors do not count.
sub refused {
	my ($program, @statements) = @_;
	open my $f, '<', $file =~ s/%p/$program/r or die "$file: $!";
	chomp(my $password = <$f>);
	local $ENV{MYSQL_PWD} = $password;
	my (undef, undef, $err) = Rig::_run({ stdin => join('',
	    map { "$_;\n" } @statements) }, 'mariadb', '--no-defaults',
	    '--force', '--user=' . $user =~ s/%p/$program/r,
	    '--socket=' . $rig->socket('mariadb'), 'millrace');
	return [ map { $statements[$_ - 1] } $err =~
	    /^ERROR (?:1044|1045|1142|1143|1227|1290|1370) .*at line (\d+)/mg ];
}

my @tables = map { $_->[0] } $rig->sql('SHOW TABLES');
cmp_ok(scalar @tables, '>=', 14, 'there are tables');
my %columns = map { my $t = $_; $t => [ map { $_->[0] }
    $rig->sql("SHOW COLUMNS FROM `$t`") ] } @tables;

# Rights to read, insert, update and delete; a list of columns where it is not
# all of them.
my $who = [qw(id name role version disabled created_at)];
my $login = [qw(id user_id version cookie used_at idle_s expires_at ended_at)];
my $token = [qw(id user_id hash scopes used_at expires_at)];
my %asking = (
	user	=> { read => $who },
	login	=> { read => $login, update => ['used_at'] },
	token	=> { read => $token, update => ['used_at'] },
);
my %rights = (
	auth => {
		user	=> { read => 1, insert => [qw(name password role)],
			     update => [qw(password version)] },
		login	=> { read => 1, insert => 1, update => 1 },
		spent	=> { read => 1, insert => 1 },
		token	=> { read => 1, insert => 1, update => ['used_at'],
			     delete => 1 },
		throttle => { read => 1, insert => 1, update => 1 },
		job	=> { read => [qw(id user_id completed_at)] },
	},
	upload => {
		%asking,
		upload	=> { read => 1, insert => 1 },
		job	=> { read => 1, insert => 1 },
		event	=> { insert => 1 },
		tally	=> { read => 1, insert => 1, update => 1 },
		uniq	=> { read => 1, insert => 1 },
	},
	status => {
		%asking,
		job	=> { read => 1, update => 1, delete => 1 },
		gone	=> { insert => 1 },
		event	=> { read => 1, insert => 1 },
		step	=> { read => 1, update => 1, delete => 1 },
		artifact => { read => 1 },
		upload	=> { read => 1 },
		later	=> { read => 1, delete => 1 },
		tally	=> { read => 1, insert => 1, update => 1 },
		daemon	=> { read => 1 },
		schema_step => { read => 1 },
	},
	sse => {
		%asking,
		job	=> { read => 1 },
		event	=> { read => 1 },
	},
	millraced => {
		job	=> { read => 1, update => 1, delete => 1 },
		gone	=> { read => 1, insert => 1, delete => 1 },
		retention => { read => 1, insert => 1, update => 1 },
		event	=> { read => 1, insert => 1, delete => 1 },
		step	=> { read => 1, insert => 1, update => 1, delete => 1 },
		artifact => { read => 1, insert => 1, update => 1,
			     delete => 1 },
		upload	=> { read => 1, delete => 1 },
		later	=> { read => 1, insert => 1, update => 1, delete => 1 },
		daemon	=> { read => 1, insert => 1, update => 1, delete => 1 },
		tally	=> { read => 1, insert => 1, update => 1 },
		login	=> { read => ['expires_at'], delete => 1 },
		throttle => { read => ['until'], delete => 1 },
		uniq	=> { read => ['created_at'], delete => 1 },
		schema_step => { read => 1 },
	},
);

# One statement for each right and column.  No row is touched, since a right
# is looked at first.
sub statements {
	my ($table) = @_;
	my %s;
	for my $c (@{ $columns{$table} }) {
		$s{read}{$c} = "SELECT `$c` FROM `$table` LIMIT 0";
		$s{update}{$c} = "UPDATE `$table` SET `$c` = NULL WHERE FALSE";
		$s{insert}{$c} = "INSERT INTO `$table` (`$c`)" .
		    ' SELECT NULL FROM DUAL WHERE FALSE';
	}
	$s{delete}{''} = "DELETE FROM `$table` WHERE FALSE";
	return \%s;
}

my $n = 0;
for my $program (sort keys %rights) {
	my (@may, @may_not);
	for my $table (@tables) {
		my $s = statements($table);
		for my $right (qw(read insert update delete)) {
			my $have = $rights{$program}{$table}{$right} // [];
			for my $c (sort keys %{ $s->{$right} }) {
				my $may = !ref $have ||
				    grep { $_ eq $c } @$have;
				push @{ $may ? \@may : \@may_not },
				    $s->{$right}{$c};
			}
		}
	}
	is_deeply(refused($program, @may), [],
	    "$program may do what it needs: " . @may . ' statements');
	is_deeply(refused($program, @may_not), \@may_not,
	    "$program may not do the rest: " . @may_not . ' statements');
	$n += @may_not;
}
cmp_ok($n, '>', 500, "$n statements were refused");

# And nothing beyond rows.
my @beyond = (
	'SELECT * FROM mysql.user',
	'SELECT authentication_string FROM mysql.global_priv',
	'CREATE TABLE more (id INT)',
	'CREATE TEMPORARY TABLE more (id INT)',
	'CREATE VIEW more AS SELECT 1',
	'ALTER TABLE job ADD more INT',
	'DROP TABLE event',
	'TRUNCATE TABLE event',
	'RENAME TABLE event TO more',
	'CREATE INDEX more ON job (step)',
	'LOCK TABLES job WRITE',
	'CREATE PROCEDURE more() SELECT 1',
	'CREATE TRIGGER more BEFORE INSERT ON job FOR EACH ROW SET @x = 1',
	'CREATE USER more',
	'GRANT SELECT ON millrace.user TO CURRENT_USER()',
	'SET GLOBAL max_connections = 10',
	'CREATE DATABASE more',
	'DROP DATABASE millrace',
	'SELECT 1 INTO OUTFILE "/tmp/more"',
	'SHUTDOWN',
);
is_deeply(refused($_, @beyond), \@beyond, "$_ does nothing but to rows")
    for sort keys %rights;
is_deeply(refused($_, 'SELECT * FROM user', 'SELECT refresh FROM login'),
    [ 'SELECT * FROM user', 'SELECT refresh FROM login' ],
    "$_ sees no password and no refresh token")
    for grep { $_ ne 'auth' } sort keys %rights;

is_deeply(refused('admin', 'CREATE TABLE more (id INT)', 'DROP TABLE more'),
    [], 'the account of the command line makes tables');
is($rig->get('/api/v1/auth/me', as => $ana)->{status}, 200, 'all is well');

done_testing;
