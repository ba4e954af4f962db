package Rig;

# A whole stack for one test: MariaDB, nginx, the programs and the daemon,
# in a directory of its own, on ports and sockets of its own.
#
#	my $rig = Rig->new
#	    ->conf('upload', max_size => '1m')
#	    ->pipeline('count', "stage  first  100  10s  say 0 50 100\n")
#	    ->stage('say', "#!/bin/sh\n...")
#	    ->start;
#	my $ana = $rig->user('ana');
#	my $id = $rig->submit('count', as => $ana, content => 'x');
#	my $s = $rig->stream("/api/v1/jobs/$id/stream", as => $ana);
#	while (my $e = $s->next) { ... $e->{json}{phase} ... }
#	$rig->kill('KILL', 'millraced');
#	$rig->ledger;		# nothing lost, nothing doubled: one line of TAP
#
# What the ledger needs to know is written down on the way, in DIR/submitted,
# DIR/faults, DIR/streams and DIR/idle; see t/ledger.
#
# How the stack is laid out and started is known to ./demo alone, which is
# asked for a bare one.  It ends with the test, however that ends.  The
# directory is removed then, unless the test failed or KEEP is set.

use strict;
use warnings;

use Cwd ();
use Errno ();
use Fcntl ();
use File::Basename qw(basename dirname);
use File::Copy ();
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More ();
use Time::HiRes qw(time);

my $top = Cwd::abs_path(dirname(__FILE__) . '/../..');
my @rigs;

# A test that is interrupted goes through END like any other.
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

sub new {
	my ($class, %o) = @_;
	my $name = basename($0);
	$name =~ s/\.t$//;
	my $self = bless {
		dir => "$top/run/t/$name-$$" . (@rigs ? '-' . @rigs : ''),
		build => $ENV{MILLRACE_BUILD} // "$top/run/build",
		conf => [],
		daemons => [],
		followers => {},
		prefix => '',
		owner => $$,
		%o,
	}, $class;
	-x "$self->{build}/cli/launch"
	    or die "$self->{build} has no programs: run ./check, or make in" .
		" a directory that MILLRACE_BUILD names\n";
	remove_tree($self->{dir});
	make_path(map { "$self->{dir}/$_" } qw(pipelines stages));
	push @rigs, $self;
	return $self;
}

sub dir { $_[0]{dir} }
sub file { "$top/$_[1]" }
sub url { "http://127.0.0.1:$_[0]{port}" }

# ---- before the start -------------------------------------------------------

sub conf {
	my ($self, $section, %values) = @_;
	push @{ $self->{conf} }, "$section.$_=$values{$_}"
	    for sort keys %values;
	$self->{prefix} = $values{prefix}
	    if $section eq 'site' && defined $values{prefix};
	return $self;
}

sub pipeline {
	my ($self, $name, $text) = @_;
	_write("$self->{dir}/pipelines/$name.conf", $text);
	return $self;
}

# A stage program.  Renamed into place, so that a running one is not cut.
sub stage {
	my ($self, $name, $text) = @_;
	my $path = "$self->{dir}/stages/$name";
	_write("$path.part", $text);
	chmod 0755, "$path.part";
	rename "$path.part", $path or die "$path: $!\n";
	return $self;
}

# A stage "gate" that a test leads by hand, with tell().
sub with_gate {
	my ($self) = @_;
	return $self->stage('gate', <<'EOT');
#!/bin/sh
mkfifo gate.part && exec 5<>gate.part && mv gate.part gate || exit 1
while read -r word rest <&5; do
	[ "$word" = end ] && exit 0
	echo "$word $rest" >&3
done
EOT
}

# Let the gate of a running job say a line of the stage protocol, or "end".
sub tell {
	my ($self, $job, $line) = @_;
	my $gate = "$self->{dir}/storage/work/$job/gate";
	$self->wait_for(sub { -p $gate }, 30, "the gate of job $job stands");
	open my $f, '>', $gate or die "$gate: $!\n";
	print $f "$line\n";
	close $f or die "$gate: $!\n";
	return $self;
}

# The real stage programs, without a pipeline: for those of a test.
sub with_stages {
	my ($self) = @_;
	for my $from (glob("'$self->{build}/daemon/stage/'*"),
	    glob("'$top/daemon/stage/'*")) {
		next unless -f $from && -x _;
		my $to = "$self->{dir}/stages/" . basename($from);
		next if -e $to;
		link($from, $to) or File::Copy::cp($from, $to)
		    or die "$to: $!\n";
	}
	return $self;
}

sub with_video {
	my ($self) = @_;
	$self->with_stages;
	return $self->pipeline('video',
	    _read("$top/daemon/pipelines/video.conf"));
}

# More daemons, each on a host of its own, as far as it can tell: NAME is the
# host's.  They are stopped, killed and started by that name.
sub daemons {
	my ($self, @names) = @_;
	push @{ $self->{daemons} }, @names;
	return $self;
}

# Returns when /health says that all of it works.
sub start {
	my ($self) = @_;
	my @command = ("$top/demo", '--bare', '--dir', $self->{dir},
	    '--build', $self->{build}, '--template', "$top/run/t/template",
	    '--pipelines', "$self->{dir}/pipelines",
	    '--stages', "$self->{dir}/stages",
	    map { ('--set', $_) } @{ $self->{conf} });
	$self->{launch} = _background("$self->{dir}/launch.log", @command);
	$self->wait_for(sub {
		$self->_launch_lives;
		$self->{port} //= _read_line("$self->{dir}/port") || undef;
		$self->{port} && $self->is_healthy
	}, 60, 'the stack answers /health with 200');
	$self->_start_daemons if @{ $self->{daemons} };
	$self->_note_idle;
	return $self;
}

sub _background {
	my ($log, @command) = @_;
	my $pid = fork // die "fork: $!\n";
	return $pid if $pid;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>', $log;
	open STDERR, '>&', \*STDOUT;
	no warnings 'exec';
	exec { $command[0] } @command;
	POSIX::_exit(127);
}

# A stack of daemons alone.  What tells hosts apart is their name; a socket for
# pokes each has by itself, and so is not told of jobs by others.
sub _start_daemons {
	my ($self) = @_;
	my $dir = "$self->{dir}/daemons";
	my $sockets = readlink("$self->{dir}/sock") // "$self->{dir}/sock";
	my $as = $> == 0 ? '' : ' --map-root-user';
	my $stack = '';
	make_path($dir);
	for my $name (@{ $self->{daemons} }) {
		my $conf = _read("$self->{dir}/millrace.conf");
		$conf =~ s{^sockets = .*}{sockets = $sockets/$name}m or die;
		_write("$dir/$name.conf", $conf);
		$stack .= "$name - unshare$as --uts -- sh -c \"hostname $name" .
		    " && exec '$self->{build}/millraced' -c $name.conf\"\n";
	}
	_write("$dir/stack", $stack);
	$self->{more} = _background("$dir/launch.log",
	    "$self->{build}/cli/launch", '-f', "$dir/stack");
	$self->wait_for(sub {
		@{ $self->{daemons} } < $self->sql('SELECT id FROM daemon')
	}, 60, 'all daemons are there');
}

# What daemons and hub have open, and how large they are, at rest.
sub _note_idle {
	my ($self) = @_;
	my $text = '';
	for my $name (qw(millraced sse), @{ $self->{daemons} }) {
		my $pid = $self->pid($name) or next;
		my $files = () = glob "/proc/$pid/fd/*";
		my ($kb) = (_read("/proc/$pid/status") // '')
		    =~ /^VmRSS:\s+(\d+)/m or next;
		$text .= "$name $pid $files $kb\n";
	}
	_write("$self->{dir}/idle", $text);
}

sub is_healthy {
	my ($self) = @_;
	my $r = eval { $self->get("$self->{prefix}/health", timeout => 5) };
	return $r && $r->{status} == 200;
}

sub _launch_lives {
	my ($self) = @_;
	my $log = _read("$self->{dir}/launch.log") // '';
	if ($log =~ /(?:.* (\w+): exited with status \d+\n.*){5}/s) {
		$self->diagnose;
		die "$1 does not stay up\n";
	}
	return unless waitpid($self->{launch}, POSIX::WNOHANG()) > 0;
	delete $self->{launch};
	die "the stack did not start:\n" . _tail("$self->{dir}/launch.log");
}

# ---- people and jobs --------------------------------------------------------

# A user with an API token: {name}, {password}, {token}.
sub user {
	my ($self, $name, %o) = @_;
	my $password = $o{password} // "secret-of-$name";
	$self->_must({ stdin => "$password\n" }, 'user', 'add', '--role',
	    $o{role} // 'user', '--password-stdin', $name);
	my $token = $self->_must({}, 'token', 'create', '--name', 'rig',
	    $name);
	$token =~ /(mr_\S+)/ or die "no token in: $token\n";
	return { name => $name, password => $password, token => $1 };
}

# Send a job in, as curl -F would: {content} or {file}, {filename}, {type},
# {options}.  The id of the job; anything but 202 ends the test.
sub submit {
	my ($self, $pipeline, %o) = @_;
	my @form = (pipeline => $pipeline,
	    map { $_ => $o{options}{$_} } sort keys %{ $o{options} // {} });
	if (defined $o{file} || defined $o{content}) {
		my %part = (filename => $o{filename} //
		    (defined $o{file} ? basename($o{file}) : 'input.txt'));
		$part{$_} = $o{$_}
		    for grep { defined $o{$_} } qw(file content type);
		push @form, file => \%part;
	}
	my $r = $self->post("$self->{prefix}/api/v1/jobs", as => $o{as},
	    headers => $o{headers}, form => \@form);
	$r->{status} == 202
	    or die "submit $pipeline: $r->{status} $r->{body}\n";
	return $r->json->{job_id};
}

# The status object of a job.
sub job {
	my ($self, $id, %o) = @_;
	my $r = $self->get("$self->{prefix}/api/v1/jobs/$id/status",
	    %o);
	$r->{status} == 200 or die "job $id: $r->{status} $r->{body}\n";
	return $r->json;
}

# The same, once the job has ended.
sub ended {
	my ($self, $id, %o) = @_;
	my $timeout = delete $o{timeout} // 60;
	return $self->wait_for(sub {
		my $job = $self->job($id, %o);
		$job->{status} =~ /^(completed|failed|cancelled)$/ && $job;
	}, $timeout, "job $id ends");
}

# ---- HTTP -------------------------------------------------------------------

sub get	    { my ($self, @o) = @_; $self->request('GET', @o) }
sub head    { my ($self, @o) = @_; $self->request('HEAD', @o) }
sub post    { my ($self, @o) = @_; $self->request('POST', @o) }
sub put	    { my ($self, @o) = @_; $self->request('PUT', @o) }
sub patch   { my ($self, @o) = @_; $self->request('PATCH', @o) }
sub delete  { my ($self, @o) = @_; $self->request('DELETE', @o) }
sub options { my ($self, @o) = @_; $self->request('OPTIONS', @o) }

# {as}: a user, or a token.  {headers}.  A body is one of {json}, {form} (names
# and values in order; a value may be {file or content, filename, type}) or
# {body} with {type}.  {timeout}: seconds, 30 when not said.
sub request {
	my ($self, $method, $path, %o) = @_;
	my ($head, $body) = _head($self, $method, $path, \%o);
	my $began = time;
	my $r = eval {
		my $c = Rig::Connection->new($self->{port}, $o{timeout} // 30);
		$c->send($head . $body);
		Rig::Response->read($c, $method)
	};
	my $error = $@;
	$self->_note_request($method, $path, $began, $r, \%o);
	die $error unless $r;
	return $r;
}

# What was answered to those who sent jobs in, or had them removed.
sub _note_request {
	my ($self, $method, $path, $time, $r, $o) = @_;
	my $status = $r ? $r->{status} : 0;
	my ($id) = $path =~ m{/api/v1/jobs/([0-9a-f-]{36})$};
	if ($method eq 'DELETE' && $id && $status =~ /^2/) {
		$self->note_submitted($id, 'deleted', $time);
	} elsif ($method eq 'POST' && $path =~ m{/(api/v1/jobs|process)$}) {
		my %h = %{ $o->{headers} // {} };
		my ($key) = map { $h{$_} }
		    grep { lc $_ eq 'idempotency-key' } keys %h;
		my $as = ref $o->{as} ? $o->{as}{name} : $o->{as} // '';
		$key = "$as/" . unpack 'H*', $key if defined $key;
		($id) = ($r ? $r->{body} : '')
		    =~ /"job_id"\s*:\s*"([0-9a-f-]{36})"/;
		$self->note_submitted($id // '-', $status, $time, $key // ());
	}
}

# For jobs that come in by another way: ID, status, time, key.
sub note_submitted { _append("$_[0]{dir}/submitted", @_[1 .. $#_]) }

# Open a stream: {status}, {headers}, and next() for the events.
sub stream {
	my ($self, $path, %o) = @_;
	$o{headers} = { Accept => 'text/event-stream', %{ $o{headers} // {} } };
	my ($head) = _head($self, 'GET', $path, \%o);
	my $c = Rig::Connection->new($self->{port}, $o{timeout} // 30);
	$c->send($head);
	return Rig::Stream->open($c);
}

# Bytes as they are, for what no client would send: the whole answer, as text.
sub raw {
	my ($self, $bytes, %o) = @_;
	my $c = Rig::Connection->new($self->{port}, $o{timeout} // 30);
	$c->send($bytes);
	return $c->rest;
}

sub _head {
	my ($self, $method, $path, $o) = @_;
	my %h = (Host => "127.0.0.1:$self->{port}", Connection => 'close');
	my ($body, $type) = _body($o);
	if (my $as = $o->{as}) {
		$h{Authorization} = 'Bearer ' .
		    (ref $as ? $as->{token} : $as);
	}
	$h{'Content-Length'} = length($body // '')
	    if defined $body || $method =~ /^(POST|PUT|PATCH)$/;
	$h{'Content-Type'} = $type if defined $type;
	my %given = %{ $o->{headers} // {} };
	for my $name (keys %given) {
		delete $h{$_} for grep { lc $_ eq lc $name } keys %h;
		$h{$name} = $given{$name} if defined $given{$name};
	}
	return ("$method $path HTTP/1.1\r\n" .
	    join('', map {
		my $name = $_;
		map { "$name: $_\r\n" } ref $h{$name} ? @{ $h{$name} }
		    : $h{$name}
	    } sort keys %h) . "\r\n", $body // '');
}

sub _body {
	my ($o) = @_;
	return (JSON::PP->new->utf8->canonical->encode($o->{json}),
	    'application/json') if exists $o->{json};
	return _multipart($o->{form}) if exists $o->{form};
	return ($o->{body}, $o->{type});
}

sub _multipart {
	my @form = @{ $_[0] };
	my $boundary = 'rig' . join '', map { int rand 10 } 1 .. 24;
	my $body = '';
	while (my ($name, $value) = splice @form, 0, 2) {
		$value = { content => $value } unless ref $value;
		my $content = $value->{content} // _read($value->{file});
		$body .= "--$boundary\r\nContent-Disposition: form-data;" .
		    " name=\"$name\"";
		$body .= "; filename=\"$value->{filename}\""
		    if defined $value->{filename};
		$body .= "\r\nContent-Type: $value->{type}"
		    if defined $value->{type};
		$body .= "\r\n\r\n$content\r\n";
	}
	return ("$body--$boundary--\r\n",
	    "multipart/form-data; boundary=$boundary");
}

# ---- the parts of the stack -------------------------------------------------

# Names: mariadb nginx auth upload status sse millraced.
sub pid { _read_line($_[0]->_home($_[1]) . "/pid/$_[1]") || undef }

# The directory of the stack that a program belongs to.
sub _home {
	my ($self, $name) = @_;
	return $self->{dir} . (grep({ $_ eq $name } @{ $self->{daemons} }) ?
	    '/daemons' : '');
}

# A blow that the ledger has to know of: what ends by it ends for a reason.
sub fault {
	my ($self, $signal, $name, $pid) = @_;
	_append("$self->{dir}/faults", sprintf('%.3f', time), $signal, $name,
	    $pid // 0);
}

# Send a signal.  After KILL the process is gone when this returns; it is
# being started again.
sub kill {
	my ($self, $signal, $name) = @_;
	my $pid = $self->pid($name) or die "$name does not run\n";
	$self->fault($signal, $name, $pid);
	CORE::kill($signal, $pid) or die "kill $name: $!\n";
	$self->wait_for(sub { ($self->pid($name) // 0) != $pid }, 10,
	    "$name is gone") if $signal eq 'KILL';
	return $pid;
}

sub stop { $_[0]->_launch('stop', $_[1]) }

sub restart {
	my ($self, $name) = @_;
	$self->_launch('stop', $name);
	$self->_launch('start', $name);
}

sub start_program {
	my ($self, $name) = @_;
	$self->fault('START', $name);
	$self->_launch('start', $name);
}

sub _launch {
	my ($self, @words) = @_;
	my ($exit, $out, $err) = _run({}, "$self->{build}/cli/launch",
	    $self->_home($words[-1]) . '/stack', @words);
	$exit == 0 or die "launch @words: $err\n";
	return $out;
}

# The path of a socket, which is short however long the directory's is.
sub socket {
	my ($self, $name) = @_;
	my $dir = "$self->{dir}/sock";
	return (readlink($dir) // $dir) . "/$name.sock";
}

sub log { _read($_[0]->_home($_[1]) . "/log/$_[1]") // '' }

# As the database's root, whatever the locale.  A "?" is a value of @bind.
sub sql {
	my ($self, $sql, @bind) = @_;
	$sql =~ s/\?/_literal(shift @bind)/ge;
	my ($exit, $out, $err) = _run({ stdin => $sql }, 'mariadb',
	    '--no-defaults', '--batch', '--skip-column-names', '--user=root',
	    '--default-character-set=utf8mb4',
	    '--socket=' . $self->socket('mariadb'), 'millrace');
	$exit == 0 or die "sql: $err";
	return map { [ map { _value($_) } split /\t/, $_, -1 ] }
	    split /\n/, $out;
}

sub _literal {
	my ($v) = @_;
	return defined $v ? "x'" . unpack('H*', $v) . "'" : 'NULL';
}

sub _value {
	my ($v) = @_;
	my %plain = (n => "\n", t => "\t", 0 => "\0", '\\' => '\\');
	return undef if $v eq 'NULL';
	$v =~ s/\\([nt0\\])/$plain{$1}/g;
	return $v;
}

# The command line with this stack's configuration: exit status, output,
# errors.  A hash as the first argument may hold {stdin}.
sub millrace {
	my ($self, @words) = @_;
	my $o = ref $words[0] ? shift @words : {};
	return _run($o, "$self->{build}/millrace", '-c',
	    "$self->{dir}/millrace.conf", @words);
}

sub _must {
	my ($self, $o, @words) = @_;
	my ($exit, $out, $err) = $self->millrace($o, @words);
	$exit == 0 or die "millrace @words: $err\n";
	return $out;
}

# ---- the ledger -------------------------------------------------------------

# Somebody who follows a job to its end, and writes down what comes.  With
# {cut}, the connection is given up again and again, after so many seconds or
# less, and taken up where it was.
sub follow {
	my ($self, $job, %o) = @_;
	my $n = ++$self->{followed};
	my $seed = int rand 2**31;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		srand $seed;
		my $done = eval {
			$self->_follow($job, $n, %o);
			1
		};
		print STDERR "follow $job: $@" unless $done;
		POSIX::_exit($done ? 0 : 1);
	}
	$self->{followers}{$pid} = $job;
	return $self;
}

sub _follow {
	my ($self, $job, $n, %o) = @_;
	my ($last, $end) = (undef, time + ($o{timeout} // 300));
	make_path("$self->{dir}/streams");
	open my $f, '>', "$self->{dir}/streams/$job-$n" or die "$job-$n: $!\n";
	$f->autoflush(1);
	while (time < $end) {
		my $s = eval {
			$self->stream("$self->{prefix}/api/v1/jobs/$job/stream",
			    as => $o{as}, headers => { defined $last ?
			    ('Last-Event-ID' => $last) : () })
		};
		return if $s && $s->{status} == 204;
		if (!$s || $s->{status} != 200) {
			select undef, undef, undef, 0.1;
			next;
		}
		my $until = time + ($o{cut} ? rand $o{cut} : 60);
		while (my $e = eval { $s->next(timeout => $until - time) }) {
			next unless defined $e->{id} && $e->{json}{job_id};
			$last = $e->{id};
			print $f join(' ', $job, $last, @{ $e->{json} }{
			    qw(status progress_percentage) }), "\n";
			return if $e->{json}{status}
			    =~ /^(completed|failed|cancelled)$/;
		}
		$s->close;
	}
	die "no end of it within $o{timeout} s\n";
}

# Once all jobs have ended, nothing may be lost, doubled or left behind; see
# t/ledger.  {name} of the test, {timeout} for the jobs, {without} a list of
# invariants.  Returns what was counted; {faults}, {takeover} and the like
# take the place of what the ledger can tell by itself.
sub ledger {
	my ($self, %o) = @_;
	my $timeout = $o{timeout} // 120;
	my ($exit, $out, $err) = _run({}, $^X, "$top/t/ledger", '--stack',
	    $self->{dir}, '--wait', $timeout, '--summary',
	    "$self->{dir}/summary", '--without',
	    join(',', @{ $o{without} // [] }));
	my $lost = $self->_followers_end;
	Test::More::ok($exit == 0 && !$lost, $o{name} //
	    'the ledger: nothing is lost, doubled or left behind')
	    or Test::More::diag($out, $err);
	my $sum = $exit == 2 ? {} :
	    JSON::PP->new->decode(_read("$self->{dir}/summary"));
	$sum->{broken} = () = $out =~ /\n/g;
	for (qw(faults takeover lost doubled)) {
		$sum->{$_} = $o{$_} if defined $o{$_};
	}
	$self->_note_row($sum);
	return $sum;
}

# They have nothing to wait for any more: how many did not see the end.
sub _followers_end {
	my ($self) = @_;
	my ($lost, $end) = (0, time + 30);
	for my $pid (keys %{ $self->{followers} }) {
		while (waitpid($pid, POSIX::WNOHANG()) == 0) {
			CORE::kill('KILL', $pid) if time > $end;
			select undef, undef, undef, 0.02;
		}
		if ($?) {
			Test::More::diag('a client of job ' .
			    "$self->{followers}{$pid} did not see its end");
			$lost++;
		}
		delete $self->{followers}{$pid};
	}
	return $lost;
}

# The row of this test in the table of "make torture".
sub _note_row {
	my ($self, $sum) = @_;
	my $dir = $ENV{MILLRACE_TORTURE} // return;
	my $name = basename($0);
	$name =~ s/\.t$//;
	_write("$dir/$name.json", JSON::PP->new->canonical->encode($sum));
}

# ---- waiting ----------------------------------------------------------------

# Ask until WHAT is true; that value.  Else the test ends, with the logs.
# Whatever the test allows, a busy host has a minute: what must happen soon is
# measured, not waited for.
sub wait_for {
	my ($self, $is, $timeout, $what) = @_;
	$timeout = 60 if ($timeout // 0) < 60;
	my $end = time + $timeout;
	for (;;) {
		my $value = $is->();
		return $value if $value;
		last if time > $end;
		select undef, undef, undef, 0.02;
	}
	$self->diagnose;
	die "not within $timeout s: " . ($what // 'the condition') . "\n";
}

sub diagnose {
	my ($self) = @_;
	for my $file ("$self->{dir}/launch.log", map { glob "'$_'/log/*" }
	    $self->{dir}, "$self->{dir}/daemons") {
		next if $file =~ m{/(access|mariadb)$};
		my $tail = _tail($file);
		Test::More::diag(basename($file), ":\n", $tail)
		    if length $tail;
	}
}

# ---- the end ----------------------------------------------------------------

sub end {
	my ($self) = @_;
	return if $self->{owner} != $$ || $self->{ended}++;
	CORE::kill('KILL', $_) for keys %{ $self->{followers} };
	for my $pid (grep { defined } delete @$self{qw(more launch)}) {
		local ($?, $!);
		CORE::kill('TERM', $pid);
		my $end = time + 20;
		while (waitpid($pid, POSIX::WNOHANG()) == 0) {
			CORE::kill('KILL', $pid) if time > $end;
			select undef, undef, undef, 0.01;
		}
	}
	my $sockets = readlink "$self->{dir}/sock";
	remove_tree($sockets) if defined $sockets && $sockets =~ m{/millrace\.};
	if ($ENV{KEEP} || !Test::More->builder->is_passing) {
		Test::More::diag("kept: $self->{dir}");
	} else {
		remove_tree($self->{dir});
	}
}

sub DESTROY { $_[0]->end }

END {
	my $status = $?;
	# A test that died has not failed yet in the eyes of Test::More.
	Test::More->builder->is_passing(0) if $status != 0;
	$_->end for grep { defined } @rigs;
	$? = $status;
}

# ---- files and commands -----------------------------------------------------

sub _read {
	my ($path) = @_;
	open my $f, '<:raw', $path or return undef;
	local $/;
	return <$f>;
}

sub _read_line {
	my $text = _read($_[0]) // '';
	return $text =~ /^(.*)$/m ? $1 : '';
}

sub _write {
	my ($path, $text) = @_;
	open my $f, '>:raw', $path or die "$path: $!\n";
	print $f $text;
	close $f or die "$path: $!\n";
}

# A line, whoever else writes to it.
sub _append {
	my ($path, @words) = @_;
	open my $f, '>>', $path or die "$path: $!\n";
	syswrite $f, "@words\n" or die "$path: $!\n";
}

sub _tail {
	my @lines = split /^/, _read($_[0]) // '';
	return join '', @lines > 20 ? @lines[-20 .. -1] : @lines;
}

# Exit status (or minus the signal), output, errors.
sub _run {
	my ($o, @command) = @_;
	pipe my $in_r, my $in_w;
	open my $out, '+>', undef or die "temporary file: $!\n";
	open my $err, '+>', undef or die "temporary file: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		$SIG{PIPE} = 'DEFAULT';
		close $in_w;
		open STDIN, '<&', $in_r;
		open STDOUT, '>&', $out;
		open STDERR, '>&', $err;
		no warnings 'exec';
		exec { $command[0] } @command;
		print STDERR "$command[0]: $!\n";
		POSIX::_exit(127);
	}
	close $in_r;
	print $in_w $o->{stdin} if defined $o->{stdin};
	close $in_w;
	local $?;
	waitpid $pid, 0;
	my $status = $? & 127 ? -($? & 127) : $? >> 8;
	local $/;
	seek $_, 0, 0 for $out, $err;
	return ($status, scalar(<$out>) // '', scalar(<$err>) // '');
}

# ---- a connection with a deadline for everything ----------------------------

package Rig::Connection;

use Time::HiRes qw(time);

sub new {
	my ($class, $port, $timeout) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $port, Timeout => $timeout)
	    or die "connect to port $port: $@\n";
	$socket->blocking(0);
	return bless { socket => $socket, buffer => '', timeout => $timeout },
	    $class;
}

# An answer that comes before all was sent is the answer.
sub send {
	my ($self, $bytes) = @_;
	my ($s, $at, $end) = ($self->{socket}, 0, time + $self->{timeout});
	while ($at < length $bytes) {
		my ($r, $w) = ('', '');
		vec($r, fileno $s, 1) = vec($w, fileno $s, 1) = 1;
		select $r, $w, undef, 1;
		return if vec($r, fileno $s, 1);
		die "the server does not read\n" if time > $end;
		next unless vec($w, fileno $s, 1);
		my $n = syswrite $s, $bytes, 65536, $at;
		return unless defined $n || $!{EAGAIN};
		$at += $n // 0;
	}
}

# More bytes into the buffer; false at the end.
sub fill {
	my ($self, $timeout) = @_;
	my ($s, $end) = ($self->{socket}, time + ($timeout // $self->{timeout}));
	return 0 if $self->{eof};
	for (;;) {
		my $n = sysread $s, $self->{buffer}, 65536,
		    length $self->{buffer};
		return $n if $n;
		return !($self->{eof} = 1) if defined $n || !$!{EAGAIN};
		my $left = $end - time;
		die "nothing came in time\n" if $left <= 0;
		my $r = '';
		vec($r, fileno $s, 1) = 1;
		select $r, undef, undef, $left;
	}
}

sub line {
	my ($self, $timeout) = @_;
	for (;;) {
		return $1 if $self->{buffer} =~ s/^(.*?)\r?\n//s;
		$self->fill($timeout) or return undef;
	}
}

sub bytes {
	my ($self, $n) = @_;
	while (length $self->{buffer} < $n) {
		$self->fill or die "the answer was cut\n";
	}
	return substr $self->{buffer}, 0, $n, '';
}

sub rest {
	my ($self) = @_;
	1 while $self->fill;
	return delete $self->{buffer};
}

# Status and headers of an answer.  Those that come twice are joined by ", ";
# {all} has each of them, to see that none does.
sub head {
	my ($self) = @_;
	my ($line, %head) = $self->line // die "no answer\n";
	$line =~ m{^HTTP/1\.[01] (\d{3})} or die "not HTTP: $line\n";
	%head = (status => $1, headers => {}, all => []);
	while (defined($line = $self->line) && length $line) {
		my ($name, $value) = $line =~ /^([^:]+):\s*(.*?)\s*$/
		    or die "not a header: $line\n";
		push @{ $head{all} }, [ lc $name, $value ];
		$head{headers}{lc $name} = defined $head{headers}{lc $name}
		    ? "$head{headers}{lc $name}, $value" : $value;
	}
	return $head{status} =~ /^1/ ? $self->head : \%head;
}

package Rig::Response;

sub read {
	my ($class, $c, $method) = @_;
	my $self = bless $c->head, $class;
	$self->{body} = $self->_body($c, $method);
	return $self;
}

sub _body {
	my ($self, $c, $method) = @_;
	my ($h, $body) = ($self->{headers}, '');
	return '' if $method eq 'HEAD' || $self->{status} =~ /^(204|304)$/;
	return $c->bytes($h->{'content-length'})
	    if defined $h->{'content-length'};
	return $c->rest if ($h->{'transfer-encoding'} // '') ne 'chunked';
	while (my $n = hex($c->line // die "the answer was cut\n")) {
		$body .= $c->bytes($n);
		$c->line;
	}
	return $body;
}

sub json {
	my ($self) = @_;
	return JSON::PP->new->utf8->decode($self->{body});
}

# How often a header came.
sub count {
	my ($self, $name) = @_;
	return scalar grep { $_->[0] eq lc $name } @{ $self->{all} };
}

package Rig::Stream;

use Time::HiRes qw(time);

# {retry}: the last one that was said.  {comments}: all so far.
sub open {
	my ($class, $c) = @_;
	my $self = bless { %{ $c->head }, c => $c, text => '', comments => [] },
	    $class;
	$self->{body} = Rig::Response::_body($self, $c, 'GET')
	    if $self->{status} != 200;
	return $self;
}

# The next event: {id}, {event}, {data}, and {json} when the data is that;
# undef at the end of the stream; dies when none comes in time.  With
# {any}, blocks without data as well: {comment}, {retry}.
sub next {
	my ($self, %o) = @_;
	my $end = time + ($o{timeout} // 30);
	for (;;) {
		while ($self->{text} =~ s/^(.*?)\n\n//s) {
			my $e = $self->_block($1);
			return $e if $o{any} || defined $e->{data};
		}
		my $left = $end - time;
		die "no event in time\n" if $left <= 0;
		$self->_more($left) or return undef;
	}
}

# The next comment, as keep-alives are.
sub comment {
	my ($self, %o) = @_;
	while (my $e = $self->next(%o, any => 1)) {
		return $e->{comment} if defined $e->{comment};
	}
	return undef;
}

sub until_end {
	my ($self, %o) = @_;
	my ($end, @all) = (time + ($o{timeout} // 60));
	while (my $e = $self->next(timeout => $end - time)) {
		push @all, $e;
	}
	return @all;
}

sub close { close delete $_[0]{c}{socket} }

sub _block {
	my ($self, $text) = @_;
	my (%e, @data);
	for my $line (split /\n/, $text) {
		if ($line =~ /^:\s?(.*)/) {
			$e{comment} = $1;
			push @{ $self->{comments} }, $1;
		} elsif ($line =~ /^data:\s?(.*)/) {
			push @data, $1;
		} elsif ($line =~ /^(id|event|retry):\s?(.*)/) {
			$e{$1} = $2;
		}
	}
	$self->{retry} = $e{retry} if defined $e{retry};
	$e{data} = join "\n", @data if @data;
	$e{json} = eval { JSON::PP->new->utf8->decode($e{data}) } if @data;
	return \%e;
}

# More text of the stream, out of its chunks; false at the end.
sub _more {
	my ($self, $timeout) = @_;
	my $c = $self->{c};
	if (($self->{headers}{'transfer-encoding'} // '') ne 'chunked') {
		$c->fill($timeout) or return 0;
		$self->{text} .= $c->{buffer};
		$c->{buffer} = '';
	} else {
		return 0 if $self->{last};
		my $size = $c->line($timeout) // return 0;
		my $n = hex $size;
		$self->{last} = 1, return 0 if $n == 0;
		$self->{text} .= $c->bytes($n);
		$c->line;
	}
	$self->{text} =~ s/\r\n?/\n/g;
	return 1;
}

1;
