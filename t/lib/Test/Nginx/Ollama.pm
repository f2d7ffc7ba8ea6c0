package Test::Nginx::Ollama;

# What all t/*.t share, on top of Test::Nginx::Socket: stand-in servers, a
# configuration with the module, clients, and checks after every block.
#
#     use Test::Nginx::Ollama;     # or: fakes => 2, or: fakes => [{}, { address
#                                  # => '::1' }, { unix => 'name' }]
#     run_tests();
#     __DATA__
#     === a model's reply comes through
#     --- request
#     POST /api/chat
#     {"model":"m1","messages":[{"role":"user","content":"hello"}]}
#     --- response_body_like: "done":true
#     --- asked
#     POST /api/chat
#
# Sections, besides those of Test::Nginx::Socket:
#
#     upstream    what is inside "upstream ollama { ... }"; by default the first
#                 fake server
#     config      as ever; by default the locations /api/ and /v1/
#     ollama      lines for these default locations
#     params      directives that replace those of the same name in the
#                 ollama_params of this block
#     fake, fake2 ...
#                 what to set in these servers before, a JSON object a line
#     test        Perl that runs instead of "request", with the functions below
#     after       Perl that runs after "request"
#     asked, asked2 ...
#                 what the server must have been asked in the end, a line each,
#                 as "POST /api/chat"; "nothing" (or no line) for nothing
#     bare        no default http_config
#
# http_config comes after the default one, which has "upstream ollama" and a
# second access log, read by access_log().  A block without error_log and
# no_error_log must have no [error] in its log.
#
# In configurations: $TEST_NGINX_FAKE_PORT, $TEST_NGINX_FAKE2_PORT ...,
# $TEST_NGINX_FAKE_PATH ... (of unix sockets),
# $TEST_NGINX_SERVER_PORT, $TEST_NGINX_H2_PORT and $TEST_NGINX_H2_LISTEN (a
# "listen" of HTTP/2 for the default server), $TEST_NGINX_TLS_PORT and
# $TEST_NGINX_TLS_LISTEN (the same of TLS, with a certificate),
# $TEST_NGINX_FREE_PORT (nobody listens there), $TEST_NGINX_CONF_DIR (the
# project's conf/).  "include ollama_params;" works as in an installed nginx.
# For "config": $locations, the default ones, and $h2 and $tls, which have a
# "listen" of HTTP/2 or TLS before these.
#
# Functions:
#
#     fake_set(model => "m1", ...)    what t/fake takes in /fake/set
#     fake_requests(wait_count => 1)  its record, when the conditions are true;
#                                     dies if they don't come true
#     fake_asked()                    the record's requests as a list of
#                                     "METHOD uri"
#     prompt_of(request)              the messages of one in the record, as
#                                     "user:hi|assistant:hello"
#     fake_reset()                    (done before every block)
#     fake_freeze(), fake_thaw(), fake_kill(), fake_revive()
#                                     see Test::Nginx::Ollama::Fake
#         all of these for another server with (fake => 2, ...)
#     http(), http2(), raw(), client()    see Test::Nginx::Ollama::Client
#     access_log([pattern])           lines of the log with our variables; with
#                                     a pattern waits for a line that matches
#     error_log_has(pattern)          waits for a line of the error log
#     wait_for(sub, [seconds])        until it is true, 10 seconds at most if
#                                     no others are said; what it returned
#     at_once(n, line, body, ...)     as http(), so many at once: the replies
#     servers_of(reply ...)           which server each came from, as "1 2 1"
#     servers()                       what /api/models/servers says: a list
#     server(n)                       what it says of that stand-in
#     wait_status(up => 1, 2)         until these stand-ins are that; dies if
#                                     they don't become so
#     reload()                        nginx, by HUP: until there are new
#                                     workers; their ids
#     nginx_pid(), worker_pids()
#
# After every block: nginx ends when asked to; its log has no alert, crash or
# sanitizer report; no server has a request going on, or a connection open, and
# nginx counts none.
# One test a block says so.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

my ($root, $out, $servroot);


# Test::Nginx reads its environment when it is loaded.

BEGIN {
    $root = abs_path(dirname(__FILE__) . '/../../../..');
    $out = $ENV{BUILD_DIR} || "$root/build/" . ($ENV{BUILD} || 'release');

    $ENV{OLLAMA_MODULE} ||= "$out/ngx_http_ollama_module.so";
    $ENV{OLLAMA_FAKE} ||= "$out/fake/fake";
    $ENV{PATH} .= ':/usr/sbin:/usr/local/sbin:/sbin';

    if (!$ENV{TEST_NGINX_BINARY} && -x "$out/nginx-sanitized") {
        $ENV{TEST_NGINX_BINARY} = "$out/nginx-sanitized";
    }

    for ($ENV{OLLAMA_MODULE}, $ENV{OLLAMA_FAKE}) {
        -f or die "there is no $_, \"make test\" builds it\n";
    }

    $servroot = "$out/t/" . basename($0, '.t') . ".$$";
    make_path(dirname($servroot));

    $ENV{TEST_NGINX_SERVROOT} = $servroot;
    $ENV{TEST_NGINX_CONF_DIR} = "$root/conf";
    $ENV{TEST_NGINX_LOG_LEVEL} ||= 'info';
    $ENV{TEST_NGINX_LOAD_MODULES} = join ' ', grep { $_ } $ENV{OLLAMA_MODULE},
                                    $ENV{TEST_NGINX_LOAD_MODULES};

    delete @ENV{grep /_proxy$/i, keys %ENV};
}

use Test::More ();
use Test::Nginx::Util ();
use Test::Nginx::Socket ();
use Test::Nginx::Ollama::Client;
use Test::Nginx::Ollama::Fake;
use Test::Nginx::Ollama::Process qw(is_alive kill_all);


our @EXPORT = qw(fake_set fake_requests fake_asked prompt_of fake_reset
                 fake_port
                 fake_freeze fake_thaw fake_kill fake_revive
                 at_once servers_of servers server wait_status reload
                 nginx_pid worker_pids
                 http http2 raw client curl
                 access_log error_log_has wait_for conf_dir);

our $locations = join '', map { location($_) } '/api/', '/v1/';
our $h2 = "\$TEST_NGINX_H2_LISTEN $locations";
our $tls = "\$TEST_NGINX_TLS_LISTEN $locations";

my $default_log = <<'END';
    log_format ollama '$request_method $uri $status model=$ollama_model '
                      'task=$ollama_task_id session=$ollama_session_id '
                      'outcome=$ollama_outcome ttft=$ollama_ttft '
                      'queue=$ollama_queue_time prompt=$ollama_prompt_tokens '
                      'generated=$ollama_generated_tokens '
                      'upstream=$upstream_addr upstream_status='
                      '$upstream_status bytes=$body_bytes_sent';
END

my $default_upstream = <<'END';
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        keepalive 4;
END

# quality.md: what no log may have, but what a block's error_log expects
my @bad = (qr/\[alert\]/, qr/\[crit\]/, qr/\[emerg\]/, qr/exited on signal/,
           qr/ERROR: \w+Sanitizer/, qr/runtime error:/);

# seconds to wait for what comes at once, if the machine is not very busy
my $patience = 10;

my @fakes;
my $run_socket_test = $Test::Nginx::Util::RunTestHelper;


sub import {
    my ($class, %args) = @_;
    my $caller = caller;

    start_fakes($args{fakes} || 1);

    eval "package $caller; use Test::Nginx::Socket 'no_plan'; 1" or die $@;

    no strict 'refs';
    no warnings 'redefine';
    *{"${caller}::$_"} = \&$_ for @EXPORT;
    *{"${caller}::$_"} = \$$_ for qw(locations h2 tls);
}


sub start_fakes {
    my ($n) = @_;

    my @options = ref $n ? @$n : map { {} } 1 .. $n;

    for my $i (1 .. @options) {
        my %option = %{ $options[$i - 1] };
        my $name = 'TEST_NGINX_FAKE' . ($i > 1 ? $i : '');

        if ($option{unix}) {
            $option{unix} = tempdir('ollama-XXXXXX', TMPDIR => 1, CLEANUP => 1)
                            . "/$option{unix}";
            chmod 0755, dirname($option{unix});
            $ENV{"${name}_PATH"} = $option{unix};
        }

        push @fakes, Test::Nginx::Ollama::Fake->start($i, %option);
        chmod 0777, $option{unix} if $option{unix};

        $ENV{"${name}_PORT"} = $fakes[-1]->port;
    }
}


# Free ports, in a row: of the server, of HTTP/2, of TLS, of nobody, and those
# of Test::Nginx::Ollama::Unchanged.  No other test gets them while this one
# runs.  They are below those that connections go out from.

sub choose_ports {
    my ($port, $version);

    do {
        $port = Test::Nginx::Util::gen_rand_port(1000, {}, 10);
        $port or die "no free port\n";
    } while $port > 32_000;

    Test::Nginx::Util::server_port($port);
    Test::Nginx::Util::server_port_for_client($port);

    $ENV{TEST_NGINX_SERVER_PORT} = $port;
    $ENV{TEST_NGINX_H2_PORT} = $port + 1;
    $ENV{TEST_NGINX_TLS_PORT} = $port + 2;
    $ENV{TEST_NGINX_FREE_PORT} = $port + 3;

    $version = $ENV{TEST_NGINX_VERSION_NUM} || 0;

    $ENV{TEST_NGINX_H2_LISTEN} = "listen 127.0.0.1:" . ($port + 1)
        . ($version >= 1_025_001 ? "; http2 on;" : " http2;");
    $ENV{TEST_NGINX_TLS_LISTEN} = "listen 127.0.0.1:" . ($port + 2) . " ssl"
        . ($version >= 1_025_001 ? "; http2 on;" : " http2;")
        . " ssl_certificate test.crt; ssl_certificate_key test.key;";
}


# The server

sub prepare_block {
    my ($block) = @_;

    my $config = $block->config;
    my $http = $block->http_config;
    my $setup = $block->post_setup_server_root;
    my $upstream = $block->upstream;

    if (!defined $config) {
        $config = join '', map { location($_, $block->ollama) } '/api/', '/v1/';
        $block->set_value('config', $config);
    }

    $upstream = $default_upstream if !defined $upstream;

    $block->set_value('http_config',
                      $default_log
                      . "    access_log $servroot/logs/ollama.log ollama;\n"
                      . "    upstream ollama {\n$upstream    }\n"
                      . (defined $http ? $http : ''))
        if !defined $block->bare;

    # evaluated by Test::Nginx when there is a new folder
    $block->set_value('post_setup_server_root',
                      'Test::Nginx::Ollama::write_files($block);'
                      . (defined $setup ? $setup : ''));

    $block->set_value('suppress_stderr', 1) if !defined $block->loud;

    # Test::Nginx wants one
    if (defined $block->test && !defined $block->request) {
        $block->set_value('request', 'GET /');
    }

    for my $fake (@fakes) {
        $fake->revive;
        $fake->reset;

        my $name = 'fake' . ($fake->n > 1 ? $fake->n : '');
        my $set = $block->$name;
        defined $set or next;
        $fake->set($_) for grep { /\S/ } split /\n/, $set;
    }
}


sub location {
    my ($path, $lines) = @_;

    return "    location $path {\n"
           . "        ollama_api ollama;\n"
           . "        proxy_pass http://ollama;\n"
           . "        include ollama_params;\n"
           . (defined $lines ? $lines : '') . "    }\n";
}


sub conf_dir { return "$servroot/conf" }


# the block that has run last: one that is skipped gets no folder
my $ran;

sub write_files {
    my ($block) = @_;

    $ran = $block;

    my $params = read_file("$root/conf/ollama_params");

    # a directive of the block replaces the one of the same name and, of those
    # that are there more than once, of the same first argument
    for my $line (grep { /\S/ } split /\n/, $block->params // '') {
        $line =~ /^\s*(\S+)\s+(\S+)/ or die "params: \"$line\"?\n";

        my $name = $1 eq 'proxy_set_header' || $1 eq 'proxy_hide_header'
                   ? qr/\Q$1\E\s+\Q$2\E/i : qr/\Q$1\E/;

        $params =~ s/^$name\s[^;]*;//m;
        $params .= "$line\n";
    }

    write_file(conf_dir() . '/ollama_params', $params);

    if ($block->config =~ /TLS_LISTEN|test\.crt/
        || $block->http_config =~ /TLS_LISTEN|test\.crt/)
    {
        certificate();
    }
}


# Self-signed, made once a file of tests.

my ($crt, $key);

sub certificate {
    my $dir = conf_dir();

    if (!$crt) {
        run('openssl', 'req', '-x509', '-batch', '-nodes', '-days', '2',
            '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
            '-subj', '/CN=localhost',
            '-keyout', "$dir/test.key", '-out', "$dir/test.crt");

        $crt = read_file("$dir/test.crt");
        $key = read_file("$dir/test.key");
    }

    write_file("$dir/test.crt", $crt);
    write_file("$dir/test.key", $key);
}


# Dies with what the program said, if it fails.

sub run {
    my @command = @_;

    my $pid = open my $pipe, '-|';
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    my $said = do { local $/; <$pipe> };

    close $pipe or die "\"@command\" failed:\n$said";
    return $said;
}


# A block's run

sub run_block {
    my ($block, $dry_run, $i) = @_;

    my $name = $block->name;

    if (defined $block->test) {
        run_code($block, 'test');
        $Test::Nginx::Util::CheckErrorLog->($block, undef, $dry_run, $i, 0);

    } else {
        $run_socket_test->($block, $dry_run, $i);
    }

    run_code($block, 'after') if defined $block->after;

    for my $fake (@fakes) {
        my $section = 'asked' . ($fake->n > 1 ? $fake->n : '');
        my $asked = $block->$section;
        defined $asked or next;

        my @asked = grep { /\S/ } split /\n/, $asked;
        @asked = () if @asked == 1 && $asked[0] =~ /^\s*nothing\s*$/;

        $fake->requests(wait_count => scalar @asked, soft => 1) if @asked;

        Test::More::is(join("\n", $fake->asked), join("\n", @asked),
                       "$name - what server " . $fake->n . " was asked");
    }
}


sub run_code {
    my ($block, $section) = @_;

    my $name = $block->name;
    my $code = $block->$section;

    my $done = eval "package main; use strict; use warnings;\n"
                    . "#line 1 \"$section of $name\"\n$code\n;1";

    Test::More::fail("$name - $section: $@") if !$done;
}


# After a block: all must have come to an end.

sub end_block {
    my ($block) = @_;

    # in the folder are another block's logs
    return if !defined $ran || $ran != $block;

    my @wrong;

    $_->revive for @fakes;

    if (!defined $block->must_die) {
        push @wrong, slots_taken($block);

        for my $fake (@fakes) {
            my $record = $fake->requests(wait_active => 0, soft => 1);

            push @wrong, "$record->{active} requests still go on at server "
                         . $fake->n if $record->{active};
        }

        quit_nginx() or push @wrong, "nginx did not end when asked to";

        for my $fake (@fakes) {
            my $record = $fake->requests(wait_open => 0, soft => 1);

            push @wrong, "$record->{open} connections are left at server "
                         . $fake->n if $record->{open};
        }
    }

    my @expected = map { ref $_ eq 'ARRAY' ? @$_ : $_ }
                   grep { defined } $block->error_log;

    my @unwanted = grep { !is_expected("$_", \@expected) } @bad;

    push @unwanted, qr/\[error\]/
        if !@expected && !defined $block->no_error_log;

    for my $line (error_lines()) {
        push @wrong, "error log: $line" if grep { $line =~ $_ } @unwanted;
    }

    Test::More::is(join("\n", @wrong), '',
                   $block->name . " - all came to a good end");
}


# A balancer counts the requests at each server, and those that wait: in the end
# there are none.

sub slots_taken {
    my ($block) = @_;

    return if ($block->http_config // '') !~ /^\s*ollama_balance/m;

    my @busy;

    wait_for(sub {
        my $r = eval { http('GET /api/models/servers', undef, -timeout => 2) };
        my $said = $r && $r->status == 200 && eval { $r->json };

        @busy = $said ? map { "nginx counts $_->{in_flight} requests at "
                              . $_->{url} }
                        grep { $_->{in_flight} } @{ $said->{servers} } : ();

        push @busy, "$said->{queued} requests wait"
            if $said && $said->{queued};

        return !@busy;
    }, 5);

    return @busy;
}


# Blocks that expect an alert name its level in error_log, those that kill a
# worker, that it "exited on signal".

sub is_expected {
    my ($bad, $expected) = @_;

    return scalar grep { /exited on signal/ } @$expected if $bad =~ /signal/;
    return 0 if $bad !~ /alert|crit|emerg/;

    my ($level) = $bad =~ /(alert|crit|emerg)/;
    return scalar grep { /\[\Q$level\E\\?\]/ } @$expected;
}


sub quit_nginx {
    my $file = "$servroot/logs/nginx.pid";

    -f $file or return 1;

    my ($pid) = read_file($file) =~ /(\d+)/ or return 1;

    kill QUIT => $pid;
    return 1 if wait_for(sub { !is_alive($pid) }, 3);

    kill TERM => $pid;
    wait_for(sub { !is_alive($pid) }, 2) or kill_all($pid);

    return 0;
}


sub error_lines {
    open my $in, '<', "$servroot/logs/error.log" or return ();
    return <$in>;
}


# Functions of tests

sub fake_of {
    my ($args) = @_;

    my $n = delete $args->{fake} || 1;

    return $fakes[$n - 1] || die "there is no fake server $n\n";
}

sub fake_set {
    return $fakes[0]->set($_[0]) if @_ == 1;

    my %args = @_;
    return fake_of(\%args)->set(\%args);
}

sub fake_requests {
    my %args = @_;
    return fake_of(\%args)->requests(%args);
}

sub fake_asked {
    my %args = @_;
    return fake_of(\%args)->asked(%args);
}

sub prompt_of {
    my ($request) = @_;

    return join '|', map { "$_->{role}:$_->{content}" }
                     @{ JSON::PP->new->decode($request->{body})
                        ->{messages} };
}

sub fake_reset {
    my %args = @_;
    return fake_of(\%args)->reset;
}

sub fake_port { return $fakes[($_[0] || 1) - 1]->port }
sub fake_count { return scalar @fakes }

sub fake_freeze { return fake_of({ @_ })->freeze }
sub fake_thaw   { return fake_of({ @_ })->thaw }
sub fake_kill   { return fake_of({ @_ })->kill }
sub fake_revive { return fake_of({ @_ })->revive }


sub at_once {
    my ($n, @request) = @_;

    my @clients = map { client(timeout => 30)->request(@request) } 1 .. $n;
    my @replies = map { $_->reply } @clients;

    $_->close for @clients;

    return @replies;
}


sub servers_of {
    my %name = map { $_->port => $_->n } @fakes;

    return join ' ', map {
        my $at = $_->header('X-Ollama-Server') // 'nobody';
        $at =~ /:(\d+)\z/ && $name{$1} || $at;
    } @_;
}


sub servers {
    my $r = http('GET /api/models/servers', undef, @_);

    $r->status == 200 or die "/api/models/servers: ", $r->status, "\n";

    return @{ $r->json->{servers} };
}


sub server {
    my ($n) = @_;

    my $port = fake_port($n);
    my ($server) = grep { $_->{url} =~ /:$port\z/ } servers();

    return $server || die "/api/models/servers has no port $port\n";
}


sub wait_status {
    my ($status, @n) = @_;

    wait_for(sub { !grep { server($_)->{status} ne $status } @n }, 20)
        or die "not all of @n became $status: ",
               join(', ', map { join ' ', $_->{url}, $_->{status},
                                          $_->{error} // () } servers()), "\n";

    return 1;
}


sub nginx_pid {
    my ($pid) = read_file("$servroot/logs/nginx.pid") =~ /(\d+)/;
    return $pid;
}


# those that are to stay, or with a true argument all

sub worker_pids {
    my ($all) = @_;

    my $master = nginx_pid();

    return grep {
        my $stat = eval { read_file("/proc/$_/stat") } // '';
        my $name = eval { read_file("/proc/$_/cmdline") } // '';

        $stat =~ /\) [^Z] $master /
        && ($all ? $name =~ /worker/ : $name =~ /worker process\s*\0*\z/)
    } map { m{(\d+)$} } glob '/proc/[0-9]*';
}


sub reload {
    my %old = map { $_ => 1 } worker_pids(1);
    my @now;

    kill HUP => nginx_pid();

    wait_for(sub {
        @now = grep { !$old{$_} } worker_pids();
        return @now >= Test::Nginx::Util::workers();
    }, 20) or die "no new workers after HUP\n";

    # the old ones are told a moment later
    wait_for(sub { !grep { $old{$_} } worker_pids() }, 20)
        or die "the old workers stay after HUP\n";

    return @now;
}


sub access_log {
    my ($pattern) = @_;

    # a line that is being written has no end yet
    my $lines = sub {
        open my $in, '<', "$servroot/logs/ollama.log" or return ();
        chomp(my @lines = grep { /\n\z/ } <$in>);
        return @lines;
    };

    return $lines->() if !defined $pattern;

    my $line = wait_for(sub { (grep { /$pattern/ } $lines->())[0] });

    defined $line or die "no line of the access log matches $pattern:\n"
                         . join("\n", $lines->()) . "\n";
    return $line;
}


sub error_log_has {
    my ($pattern) = @_;

    return wait_for(sub { (grep { /$pattern/ } error_lines())[0] });
}


sub wait_for {
    my ($condition, $seconds) = @_;

    my $end = time + ($seconds || $patience);

    while (1) {
        my $value = $condition->();
        return $value if $value || time > $end;
        sleep 0.005;
    }
}


sub read_file {
    my ($path) = @_;

    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}


sub write_file {
    my ($path, $text) = @_;

    open my $to, '>:raw', $path or die "$path: $!\n";
    print $to $text;
    close $to or die "$path: $!\n";
}


# Earlier runs of this file left their folder if they failed, and their nginx
# if they were killed.

sub clean_up {
    for my $dir (glob dirname($servroot) . '/' . basename($0, '.t') . '.*') {
        my ($owner) = $dir =~ /\.(\d+)$/ or next;
        next if $dir eq $servroot || is_alive($owner);

        if (-f "$dir/logs/nginx.pid"
            && (my ($pid) = read_file("$dir/logs/nginx.pid") =~ /(\d+)/))
        {
            kill TERM => $pid
                if -r "/proc/$pid/cmdline"
                   && index(read_file("/proc/$pid/cmdline"), $dir) >= 0;
        }

        remove_tree($dir);
    }
}


clean_up();
choose_ports();

$Test::Nginx::Util::RunTestHelper = \&run_block;

# A configuration that doesn't load fails its block at once, and no other one:
# Test::Nginx tries for half a minute, and gives all tests up.
{
    no warnings qw(redefine prototype);

    my $run_test = \&Test::Nginx::Util::run_test;
    my $can_run = \&Test::Nginx::Util::can_run;
    my $block;

    *Test::Nginx::Util::run_test = sub ($) {
        $block = $_[0];

        eval { $run_test->($block); 1 }
            or Test::More::fail($block->name . " - $@");
    };

    # it is called when the configuration is written
    *Test::Nginx::Util::can_run = sub {
        my ($binary) = @_;

        run($binary, '-t', '-q', '-p', "$servroot/", '-e', 'stderr', '-c',
            "$servroot/conf/nginx.conf") if !defined $block->must_die;

        return $can_run->(@_);
    };

    *Test::Nginx::Util::bail_out = sub (@) { die "@_\n" };
}

Test::Nginx::Util::add_block_preprocessor(sub { prepare_block($_[0]) });
Test::Nginx::Util::add_test_cleanup_handler(\&end_block);
Test::Nginx::Util::master_on();
Test::Nginx::Util::no_root_location();
Test::Nginx::Util::no_long_string();
Test::Nginx::Util::worker_connections(512);
Test::Nginx::Util::timeout(10);

# so that END blocks run, and nginx and the servers end with the test
$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);


END {
    my $status = $?;

    quit_nginx_at_end();
    $_->stop for @fakes;

    # of a failure there is something to look at
    if ($status == 0 && Test::More->builder->is_passing) {
        remove_tree($servroot);
    }

    $? = $status;
}


sub quit_nginx_at_end {
    my $file = "$servroot/logs/nginx.pid";

    if (-f $file && (my ($pid) = read_file($file) =~ /(\d+)/)) {
        kill TERM => $pid;
        wait_for(sub { !is_alive($pid) }, 3) or kill_all($pid);
        unlink $file;
    }
}

1;
