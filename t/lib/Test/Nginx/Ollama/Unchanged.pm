package Test::Nginx::Ollama::Unchanged;

# The same configuration three times, side by side, for tests that compare
# them; and the servers behind it, which the test itself plays.
#
#     none    an nginx without the module
#     idle    an nginx with the module; nothing here uses it
#     on      the same nginx, with ollama_api
#
# Sections of a block:
#
#     plain        what is inside "server { ... }"
#     plain_http   what goes before it: upstreams and the like
#
# Both are there once a variant, with @V@ (its name), @OLLAMA@ (ollama_api, or
# nothing), @PEER0@ ... @PEER3@ (ports of the servers), @NOBODY@ (a port where
# nobody listens) and @DIR@ (a folder).  Where there is no plain_http it is an
# "upstream u_@V@" of one server.
#
# Functions:
#
#     same("title", sub { ...; return ... }, [only => "idle"])
#                       runs it for each variant: what comes back must be the
#                       same; returns that
#     get("GET /api/tags", $body, ...)   http(), as a list that can be compared:
#                       the header, the body, how it ended
#     seen($reply)      the same of a reply
#     say(sub { ... })  what the servers say: gets the request, returns bytes,
#                       and \"close", \"reset", \"tunnel" (bytes come back)
#     answer("body", name => "value", ...)    a reply of 200
#     asked()           the requests since this variant began: { peer, conn,
#                       nth, line, head, body }
#     served()          the values of X-Ollama-Server, taken out of replies,
#                       as is X-Ollama-Task-Id
#     speak($request, ...)   says more on its connection
#     play(seconds)     nothing but that, for a time; reset_peers() closes all
#     plain_log("id")   waits for the line of the request with "?id=id" in the
#                       variant's log, gives its fields
#     here(options)     client() of the variant; h2_here() the same of HTTP/2;
#                       streams() one that tells its streams apart
#     variant()         its name
#
# The servers are played whenever a client here waits for something.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More ();
use Time::HiRes qw(sleep time);

use Test::Nginx::Util ();
use Test::Nginx::Ollama ();
use Test::Nginx::Ollama::Client ();
use Test::Nginx::Ollama::HTTP2 ();

our @EXPORT = qw(same get seen say answer asked served speak play plain_log here
                 h2_here variant peer_port port streams reset_peers);

my $owner = $$;
my $dir = tempdir('ollama-plain-XXXXXX', TMPDIR => 1);
my %port;
my $variant = 'none';

my (@listeners, @connections, @asked, @served, @pids, $config);
my ($said, $conn_count);

my $log_format = <<'END';
    log_format plain 'id=$arg_id|status=$status|sent=$bytes_sent|'
                     'body=$body_bytes_sent|len=$request_length|'
                     'time=$request_time|addr=$upstream_addr|'
                     'ustatus=$upstream_status|utime=$upstream_response_time|'
                     'ctime=$upstream_connect_time|'
                     'htime=$upstream_header_time|'
                     'ulen=$upstream_response_length|'
                     'ureceived=$upstream_bytes_received|'
                     'usent=$upstream_bytes_sent|cache=$upstream_cache_status|'
                     'request=$request|conn=$connection_requests|'
                     'done=$request_completion|uri=$uri';
END

my $one = "    upstream u_\@V\@ { server 127.0.0.1:\@PEER0\@; }\n";

chmod 0755, $dir;


for my $i (0 .. 3) {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64,
                                       ReuseAddr => 1)
        or die "can't listen: $!\n";
    $socket->blocking(0);
    push @listeners, $socket;
}

{
    # taken, but nobody listens
    my $nobody = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp',
                                       LocalPort => 0) or die "no port: $!\n";
    $port{nobody} = $nobody;

    my $at = $ENV{TEST_NGINX_SERVER_PORT} + 4;
    $port{$_} = $at++ for qw(none idle on none_h2 idle_h2 on_h2);
}


sub variant { return $variant }
sub port { return $port{$_[0] // $variant} }
sub peer_port { return $listeners[$_[0]]->sockport }


# The configurations

sub prepare_block {
    my ($block) = @_;

    defined $block->plain or return;

    my $http = $block->plain_http;
    my $text = (defined $http ? $http : $one) . <<'END' . $block->plain . "}\n";
    server {
        listen 127.0.0.1:@PORT@;
        @H2@
        server_name localhost;
        access_log @DIR@/@V@.log plain;
        default_type text/plain;
        keepalive_timeout 60;
END

    unlink glob "$dir/*.log";

    stop();
    reset_peers();

    $block->set_value('config', '');
    $block->set_value('http_config', $log_format
                      . join '', map { instance($_, $text) } qw(idle on));

    # a block that is skipped needs it not, and it may not know a directive
    $config = $log_format . instance('none', $text);
}


sub instance {
    my ($v, $text) = @_;

    my %value = (V => $v, OLLAMA => $v eq 'on' ? 'ollama_api u_on;' : '',
                 PORT => $port{$v}, H2 => $ENV{TEST_NGINX_H2_LISTEN},
                 DIR => $dir, NOBODY => $port{nobody}->sockport,
                 map { ("PEER$_" => peer_port($_)) } 0 .. $#listeners);

    my $h2 = $port{"${v}_h2"};
    $value{H2} =~ s/127\.0\.0\.1:\d+/127.0.0.1:$h2/;

    $text =~ s/\@(\w+)\@/$value{$1} \/\/ die "\@$1\@?\n"/ge;

    return $text;
}


# The nginx without the module

sub start {
    my ($http) = @_;

    my $user = $> == 0 ? 'user root;' : '';

    open my $to, '>', "$dir/nginx.conf" or die "$dir: $!\n";
    print $to <<END;
daemon off;
$user
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log info;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
$http
}
END
    close $to;

    my $binary = $ENV{TEST_NGINX_BINARY} || 'nginx';
    unlink "$dir/nginx.pid";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/out";
        open STDERR, '>&', \*STDOUT;
        exec $binary, '-p', "$dir/", '-e', "$dir/error.log",
             '-c', "$dir/nginx.conf" or POSIX::_exit(127);
    }

    @pids = ($pid);

    # it writes this file when it has all of its ports
    Test::Nginx::Ollama::wait_for(sub { -s "$dir/nginx.pid" }, 20)
        or die "the nginx without the module does not start:\n"
               . Test::Nginx::Ollama::read_file("$dir/out");
}


sub stop {
    for my $pid (@pids) {
        kill TERM => $pid;
        waitpid $pid, 0;
    }

    @pids = ();
}


END {
    if ($$ == $owner) {
        my $status = $?;

        stop();
        File::Path::remove_tree($dir);
        $? = $status;
    }
}


# The servers

sub say { $said = $_[0]; return }
sub asked { play_until(sub { 0 }, time + 0.02); return @asked }
sub served { return @served }


sub reset_peers {
    @connections = ();
    begin();
}


sub begin {
    @asked = @served = ();
    $conn_count = 0;
}


sub answer {
    my ($body, @headers) = @_;

    my $text = "HTTP/1.1 200 OK\r\n";
    my %have = map { lc $headers[$_ * 2] => 1 } 0 .. @headers / 2 - 1;

    unshift @headers, 'Content-Type', 'text/plain' if !$have{'content-type'};
    push @headers, 'Content-Length', length $body
        if !$have{'content-length'} && !$have{'transfer-encoding'};

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return "$text\r\n$body";
}


sub speak {
    my ($request, @what) = @_;
    my $c = $request->{connection};

    for my $what (@what) {
        if (!ref $what) {
            $c->{out} .= $what;

        } else {
            $c->{$$what} = 1;
        }
    }
}


sub play {
    my ($seconds) = @_;
    play_until(sub { 0 }, time + ($seconds || 0.02));
}


# Plays the servers until the condition, asked after each event, or the time;
# or until one of these sockets can be read or written

sub play_until {
    my ($condition, $until, $reader, $writer) = @_;

    while (1) {
        my $left = $until - time;
        return 0 if $left <= 0;

        my ($read, $write) = ('', '');

        for (@listeners, (map { $_->{socket} } grep { !$_->{closing} }
                               @connections), $reader || ())
        {
            vec($read, fileno $_, 1) = 1;
        }

        for ((map { $_->{socket} } grep { length $_->{out} } @connections),
             $writer || ())
        {
            vec($write, fileno $_, 1) = 1;
        }

        my $n = select $read, $write, undef, $left > 0.1 ? 0.1 : $left;

        if ($n > 0) {
            for my $c (@connections) {
                my $fd = fileno $c->{socket};

                push_out($c) if vec $write, $fd, 1;
                take_in($c) if $c->{socket} && vec $read, $fd, 1;
            }

            for my $i (0 .. $#listeners) {
                accept_from($i) if vec $read, fileno $listeners[$i], 1;
            }

            for my $c (grep { $_->{socket} } @connections) {
                end_if_told($c);
            }

            @connections = grep { $_->{socket} } @connections;

            return 1 if $reader && vec $read, fileno $reader, 1;
            return 1 if $writer && vec $write, fileno $writer, 1;
        }

        return 1 if $condition->();
    }
}


sub accept_from {
    my ($i) = @_;

    while (my $socket = $listeners[$i]->accept) {
        $socket->blocking(0);
        push @connections, { socket => $socket, peer => $i, in => '',
                             out => '', n => 0, id => $conn_count++ };
    }
}


sub push_out {
    my ($c) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $n = syswrite $c->{socket}, $c->{out}, 1 << 18;

    if (defined $n) {
        substr $c->{out}, 0, $n, '';

    } elsif ($! != EAGAIN && $! != EINTR) {
        drop($c);
    }
}


sub end_if_told {
    my ($c) = @_;

    if (!length $c->{out}) {

        if ($c->{reset}) {
            setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
            drop($c);

        } elsif ($c->{close}) {
            drop($c);
        }
    }
}


sub drop {
    my ($c) = @_;
    close $c->{socket};
    delete $c->{socket};
}


sub take_in {
    my ($c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, 1 << 18, length $c->{in};

    if (!defined $n) {
        drop($c) if $! != EAGAIN && $! != EINTR;
        return;
    }

    if ($n == 0) {
        drop($c);
        return;
    }

    while (length $c->{in}) {

        if ($c->{tunnel}) {
            $c->{out} .= "<$c->{in}>";
            $c->{in} = '';
            return;
        }

        my $request = request_of($c) or return;

        push @asked, $request;
        speak($request, $said->($request));
    }
}


# A whole request, or nothing.

sub request_of {
    my ($c) = @_;

    my $end = index $c->{in}, "\r\n\r\n";
    return if $end < 0;

    my $head = substr $c->{in}, 0, $end + 2;
    my $at = $end + 4;
    my $body = '';

    if ($head =~ /^transfer-encoding: chunked\r$/mi) {

        while (1) {
            pos($c->{in}) = $at;
            $c->{in} =~ /\G([0-9a-f]+)\r\n/gi or return;

            my ($size, $from) = (hex $1, pos $c->{in});

            length $c->{in} >= $from + $size + 2 or return;
            $body .= substr $c->{in}, $from, $size;
            $at = $from + $size + 2;
            last if $size == 0;
        }

    } elsif ($head =~ /^content-length: (\d+)\r$/mi) {
        length $c->{in} >= $at + $1 or return;
        $body = substr $c->{in}, $at, $1;
        $at += $1;
    }

    substr $c->{in}, 0, $at, '';

    $head =~ s/^(.*)\r\n//;

    return { line => $1, head => $head, body => $body, peer => $c->{peer},
             conn => $c->{id}, nth => $c->{n}++, connection => $c };
}


# Clients that wait play the servers.

{
    no warnings 'redefine';

    my $read = \&Test::Nginx::Ollama::Client::read;

    *Test::Nginx::Ollama::Client::read = sub {
        my ($self, $until) = @_;
        play_until(sub { 0 }, $until, $self->{socket});
        return $read->($self, $until);
    };

    *Test::Nginx::Ollama::Client::send = sub {
        my ($self, $bytes) = @_;

        local $SIG{PIPE} = 'IGNORE';
        $self->{socket}->blocking(0);

        for (my $at = 0; $at < length $bytes; ) {
            my $n = syswrite $self->{socket}, $bytes, 65536, $at;

            if (defined $n) {
                $at += $n;
                next;
            }

            $! == EAGAIN or $! == EINTR or return 0;

            # what it says before it has all, too
            play_until(sub { 0 }, time + 5, undef, $self->{socket})
                or return 0;
        }

        return 1;
    };
}


# The comparison

sub same {
    my ($title, $code, %option) = @_;
    my (%got, @variants);

    start($config) if !@pids;

    @variants = $option{only} && $option{only} eq 'idle' ? qw(none idle)
                                                         : qw(none idle on);

    for my $v (@variants) {
        $variant = $v;
        begin();
        $got{$v} = eval { $code->() };
        Test::More::fail("$title: $v: $@") if $@;
    }

    for my $v (@variants[1 .. $#variants]) {
        Test::More::is_deeply($got{$v}, $got{none}, "$title: $v")
            or Test::More::diag(substr join('', Test::More::explain(\%got)),
                                0, 4000);
    }

    $variant = 'none';

    return $got{none};
}


sub get {
    my ($line, $body, @rest) = @_;

    return seen(Test::Nginx::Ollama::Client::http(
        $line, $body, -port => $port{$variant}, @rest));
}


sub here {
    return Test::Nginx::Ollama::Client->new(port => $port{$variant}, @_);
}

sub h2_here {
    return Test::Nginx::Ollama::HTTP2->new(port => $port{"${variant}_h2"}, @_);
}

sub streams {
    return Test::Nginx::Ollama::Unchanged::Streams->new(
        port => $port{"${variant}_h2"}, @_);
}


sub seen {
    my ($r) = @_;

    my $head = $r->head;

    if (!defined $head) {
        $head = join '', map { "$_->[0]: $_->[1]\r\n" } @{ $r->{list} };

    } elsif ((my $at = index $r->raw, $head) > 0) {
        # 1xx
        $head = substr($r->raw, 0, $at) . $head;
    }

    for ($head) {
        s/\r//g;
        s/^date: \K.*/now/mi;
        s/u_$variant\b/u/g;
        s/:$port{$variant}\b/:port/g;
        s/:$port{"${variant}_h2"}\b/:port/g;

        if ($variant eq 'on' && s/^x-ollama-server: (.*)\n//mi) {
            push @served, $1;
        }

        # a generation's name
        s/^x-ollama-task-id: [0-9a-f]{32}\n//mi if $variant eq 'on';
    }

    return { head => $head, body => $r->body, end => $r->end,
             complete => $r->complete };
}


# The line with this id: its fields

sub plain_log {
    my ($id) = @_;

    my $line = Test::Nginx::Ollama::wait_for(sub {
        my ($found) = grep { /^id=\Q$id\E\|/ }
            split /\n/, Test::Nginx::Ollama::read_file("$dir/$variant.log");
        return $found;
    }) or die "no log line of $id\n";

    return { map { split /=/, $_, 2 } split /\|/, $line };
}


Test::Nginx::Util::add_block_preprocessor(sub { prepare_block($_[0]) });


# Several streams of one connection

package Test::Nginx::Ollama::Unchanged::Streams;

use parent -norequire, 'Test::Nginx::Ollama::HTTP2';


# streams in the order of their frames: [ stream, type, bytes, last ]

sub frames { return @{ $_[0]{frames} || [] } }
sub stream { return $_[0]{streams}{$_[1]} ||= { body => '', list => [] } }


sub take {
    my ($self) = @_;

    if (length $self->{raw} >= 9) {
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN',
                                                          $self->{raw};
        my $n = ($high << 16) + $low;

        if (length $self->{raw} >= 9 + $n && $stream) {
            my $payload = substr $self->{raw}, 9, $n;
            my $s = $self->stream($stream);

            push @{ $self->{frames} }, [ $stream, $type, $n, $flags & 1 ];

            $s->{body} .= $payload if $type == 0;
            $s->{list} = [ Test::Nginx::Ollama::HPACK::headers_of($payload) ]
                if $type == 1;
            $s->{reset} = unpack 'N', $payload if $type == 3;
            $s->{done} = 1 if $flags & 1 && $type < 2 || $type == 3;
        }
    }

    # "end" is for the last stream only
    delete $self->{end};
    return $self->SUPER::take;
}


sub wait_done {
    my ($self, @ids) = @_;

    my $until = Time::HiRes::time + $self->{timeout};

    while (grep { !$self->stream($_)->{done} } @ids) {
        $self->take || $self->read($until) or return 0;
    }

    return 1;
}


sub wait_body {
    my ($self, $id, $n) = @_;

    my $until = Time::HiRes::time + $self->{timeout};

    while (length $self->stream($id)->{body} < $n) {
        $self->take || $self->read($until) or return 0;
    }

    return 1;
}


# all that comes in this time

sub wait_time {
    my ($self, $seconds) = @_;

    my $until = Time::HiRes::time + $seconds;

    1 while $self->take || $self->read($until);
    delete $self->{end};
}


sub grant_stream {
    my ($self, $id, $n) = @_;
    return $self->send(Test::Nginx::Ollama::HTTP2::frame(8, 0, $id,
                                                         pack 'N', $n));
}


1;
