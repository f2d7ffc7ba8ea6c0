package Test::Nginx::Ollama::Client;

# HTTP clients that hide nothing: what came, when, and how it ended.
#
#     $r = http("POST /api/chat", { model => "m1", ... }, Origin => "http://a");
#     $r = http("GET /api/tags", undef, -version => "1.0");
#     $r = raw("GET / HTTP/1.1\r\n...");
#     $r = http2("POST /api/chat", { ... });
#     ($status, $output) = curl("-k", "https://...");
#
# A body is sent as it is, or as JSON if it is a reference.  Then come header
# lines, and options: -port, -timeout (seconds in all), -version, -keepalive,
# -chunked (the sizes of the body's chunks), -head (a reply without a body).
# The Host is "localhost" and the connection closed, unless told otherwise.
#
# A reply $r:
#
#     status, reason      404, "Not Found"; status 0: no reply
#     header("Name")      its value, of several joined by ", "; undef: none
#     headers("Name")     a list of the values
#     head                the header as it came
#     body                without the transfer coding
#     json                the body, decoded
#     lines               the body's lines
#     complete            whether the body ended as its framing says
#     end                 how reading ended: "complete", "eof", "reset",
#                         "timeout"; of http2() also "stream reset"
#     reads               the arrivals: [ seconds since the request, bytes ]
#     raw                 all as it came
#
#     $c = client(port => 8080);      a connection
#     $c->send("..."), $c->read_until(qr/.../), $c->request("GET /api/tags"),
#     $c->reply, $c->half_close, $c->reset, $c->close

use strict;
use warnings;

use Cpanel::JSON::XS ();
use Errno qw(ECONNRESET EINTR EPIPE);
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(http http2 raw client curl);

my $json = Cpanel::JSON::XS->new->utf8->canonical;


sub client { return Test::Nginx::Ollama::Client->new(@_) }


# port, host, timeout (10 s), rcvbuf (a small one makes a slow client)

sub new {
    my ($class, %args) = @_;

    my $self = bless { timeout => 10, reads => [], raw => '', head => 0,
                       start => time, %args }, $class;

    my $port = $args{port} || $ENV{TEST_NGINX_SERVER_PORT};

    $self->{socket} = IO::Socket::INET->new(
        PeerAddr => $args{host} || '127.0.0.1', PeerPort => $port,
        Proto => 'tcp',
        $args{rcvbuf} ? (Sockopts => [[SO_RCVBUF, $args{rcvbuf}]]) : ())
        or die "can't connect to port $port: $!\n";

    return $self;
}


# dies not if the other side has closed: the reply tells

sub send {
    my ($self, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $at = 0;

    while ($at < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, 65536, $at;

        if (!defined $n) {
            next if $! == EINTR;
            return 0;
        }

        $at += $n;
    }

    return 1;
}


# Begins a request on this connection; what came before it is forgotten.

sub request {
    my ($self, $line, $body, @rest) = @_;

    my ($bytes, $opt) = compose($line, $body, -keepalive => 1, @rest);

    $self->{head} = $opt->{head};
    $self->{raw} = '';
    $self->{reads} = [];
    $self->{start} = time;
    delete $self->{end};

    $self->send($bytes);

    return $self;
}


# One arrival.  False: there is no more.

sub read {
    my ($self, $until) = @_;

    my $left = $until - time;

    if ($left <= 0
        || !IO::Select->new($self->{socket})->can_read($left))
    {
        $self->{end} = 'timeout';
        return 0;
    }

    my $n = sysread $self->{socket}, my $bytes, 65536;

    if (!defined $n) {
        return 1 if $! == EINTR;
        $self->{end} = $! == ECONNRESET ? 'reset' : "$!";
        return 0;
    }

    if ($n == 0) {
        $self->{end} = 'eof';
        return 0;
    }

    push @{ $self->{reads} }, [ time - $self->{start}, $bytes ];
    $self->{raw} .= $bytes;

    return 1;
}


# Until all that came matches; what that is, or undef.

sub read_until {
    my ($self, $pattern, $timeout) = @_;

    my $until = time + ($timeout || $self->{timeout});

    while ($self->{raw} !~ $pattern) {
        $self->read($until) or return undef;
    }

    return $self->{raw};
}


# Reads to the end of a reply that says its length, or of the connection.

sub reply {
    my ($self, $timeout) = @_;

    my $until = time + ($timeout || $self->{timeout});
    my $reply = $self->parsed;

    while (!$reply->{complete}) {
        my $at = length $self->{raw};
        my $more = $self->read($until);

        # all is parsed anew, which takes long where much has come: not before
        # the last chunk is there
        next if $more && $reply->chunked
                && index($self->{raw}, "0\r\n\r\n", $at > 4 ? $at - 4 : 0) < 0;

        $reply = $self->parsed;

        if (!$more) {
            # without a length the end of the connection is that of the body
            $reply->{complete} = 1
                if $self->{end} eq 'eof' && $reply->{status}
                   && !$reply->chunked
                   && !defined $reply->header('Content-Length');
            last;
        }
    }

    $reply->{end} = $reply->{complete} && !$self->{end} ? 'complete'
                                                        : $self->{end};
    return $reply;
}


# Reads until the connection ends, also past the end of a reply.

sub reply_to_end {
    my ($self, $timeout) = @_;

    my $until = time + ($timeout || $self->{timeout});

    1 while $self->read($until);

    return $self->reply;
}


sub parsed {
    my ($self) = @_;

    return Test::Nginx::Ollama::Reply->new($self->{raw}, $self->{head},
                                           $self->{reads});
}


sub half_close { shutdown $_[0]{socket}, 1 }

sub close {
    my ($self) = @_;
    close $self->{socket} if $self->{socket};
    delete $self->{socket};
}

# by RST

sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->close;
}


sub http {
    my ($line, $body, @rest) = @_;

    my ($bytes, $opt) = compose($line, $body, @rest);

    return exchange($bytes, $opt);
}


# raw($bytes, port => ..., timeout => ..., head => 1)

sub raw {
    my ($bytes, %opt) = @_;
    return exchange($bytes, \%opt);
}


sub exchange {
    my ($bytes, $opt) = @_;

    my $c = client(map { $_ => $opt->{$_} } grep { defined $opt->{$_} }
                   qw(port timeout rcvbuf));

    $c->{head} = $opt->{head};
    $c->send($bytes);

    my $reply = $c->reply_to_end;
    $c->close;

    return $reply;
}


# The bytes of a request, and the options.

sub compose {
    my ($line, $body, @rest) = @_;

    my (%opt, @headers, %have);

    while (@rest) {
        my ($name, $value) = splice @rest, 0, 2;

        if ($name =~ /^-(.*)/) {
            $opt{$1} = $value;
            next;
        }

        $have{lc $name} = 1;
        push @headers, [ $name, $_ ] for ref $value ? @$value : $value;
    }

    my ($method) = split / /, $line;
    $opt{head} //= $method eq 'HEAD';

    $body = $json->encode($body) if ref $body;

    unshift @headers, [ 'Host', 'localhost' ] if !$have{host};

    if (!$have{connection}) {
        push @headers, [ 'Connection', 'close' ] if !$opt{keepalive};
    }

    if ($opt{chunked}) {
        push @headers, [ 'Transfer-Encoding', 'chunked' ];
        $body = chunked($body, $opt{chunked});

    } elsif (defined $body && !$have{'content-length'}) {
        push @headers, [ 'Content-Length', length $body ];
    }

    my $bytes = "$line HTTP/" . ($opt{version} || '1.1') . "\r\n"
                . join('', map { "$_->[0]: $_->[1]\r\n" }
                           grep { defined $_->[1] } @headers)
                . "\r\n" . ($body // '');

    return ($bytes, \%opt);
}


# $sizes: of all chunks, or a list; the last one is used again

sub chunked {
    my ($body, $sizes) = @_;

    my @sizes = ref $sizes ? @$sizes : $sizes;
    my $chunks = '';

    while (length $body) {
        my $chunk = substr $body, 0, @sizes > 1 ? shift @sizes : $sizes[0], '';
        $chunks .= sprintf "%x\r\n%s\r\n", length $chunk, $chunk;
    }

    return "${chunks}0\r\n\r\n";
}


# The same by HTTP/2, on a connection of its own: step by step it is
# Test::Nginx::Ollama::HTTP2.  With -tls by curl, on that port.

sub http2 {
    my ($line, $body, @rest) = @_;

    my (%opt, @headers);

    while (@rest) {
        my ($name, $value) = splice @rest, 0, 2;

        if ($name =~ /^-(.*)/) {
            $opt{$1} = $value;

        } else {
            push @headers, $name => $_ for ref $value ? @$value : $value;
        }
    }

    return http2_tls($line, $body, \%opt, @headers) if $opt{tls};

    require Test::Nginx::Ollama::HTTP2;

    my $c = Test::Nginx::Ollama::HTTP2->new(
        map { $_ => $opt{$_} } grep { $opt{$_} } qw(port timeout));

    my $reply = $c->request($line, $body, @headers)->reply;
    $c->close;

    return $reply;
}


sub http2_tls {
    my ($line, $body, $opt, @headers) = @_;

    my ($method, $path) = split / /, $line, 2;
    my $port = $opt->{port} || $ENV{TEST_NGINX_TLS_PORT};
    my @args = ('-i', '-k', '--http2', '--path-as-is', '-X', $method,
                '-m', $opt->{timeout} || 10);

    push @args, '-I' if $method eq 'HEAD';
    push @args, '-H', "$headers[0]: $headers[1]" and splice @headers, 0, 2
        while @headers;

    $body = $json->encode($body) if ref $body;
    push @args, '-H', 'Content-Type:', '--data-binary', '@-' if defined $body;

    my ($status, $raw, $reads, $said)
        = run_curl($body, @args, "https://127.0.0.1:$port$path");

    my $reply = Test::Nginx::Ollama::Reply->new($raw, $method eq 'HEAD',
                                                $reads);

    # 92: the stream was reset
    $reply->{complete} = $status == 0 ? 1 : 0;
    $reply->{end} = $status == 0 ? 'complete'
                    : $status == 92 ? 'stream reset'
                    : $status == 28 ? 'timeout' : "curl $status: $said";

    return $reply;
}


# curl(arguments) gives its exit status and output.

sub curl {
    my @args = @_;

    my ($status, $raw) = run_curl(undef, @args);
    return ($status, $raw);
}


sub run_curl {
    my ($body, @args) = @_;

    my ($from, $to, $said);

    pipe $from, $to or die "pipe: $!";
    open my $errors, '+>', undef or die "a temporary file: $!";
    open my $input, '+>:raw', undef or die "a temporary file: $!";

    print $input $body // '';
    $input->flush;
    seek $input, 0, 0;
    sysseek $input, 0, 0;

    my $start = time;
    my $pid = fork;
    defined $pid or die "fork: $!";

    if ($pid == 0) {
        open STDIN, '<&', $input;
        open STDOUT, '>&', $to;
        open STDERR, '>&', $errors;
        exec 'curl', '-q', '-sS', '-N', '--noproxy', '*', @args
            or POSIX::_exit(127);
    }

    CORE::close $to;

    my ($raw, @reads) = ('');

    while (1) {
        my $n = sysread $from, my $bytes, 65536;
        last if !$n;
        push @reads, [ time - $start, $bytes ];
        $raw .= $bytes;
    }

    waitpid $pid, 0;
    my $status = $? >> 8;

    seek $errors, 0, 0;
    { local $/; $said = <$errors> // ''; }

    return ($status, $raw, \@reads, $said);
}


package Test::Nginx::Ollama::Reply;

sub new {
    my ($class, $raw, $is_head, $reads) = @_;

    my $self = bless { raw => $raw, head => '', body => '', status => 0,
                       reason => '', list => [], complete => 0, end => '',
                       reads => $reads || [] }, $class;

    # 100 and 103 come before the reply
    my $start = qr{HTTP/[\d.]+ (\d+) ?([^\r\n]*)\r\n};

    while ($raw =~ /\A($start((?:[^\r\n]+\r\n)*))\r\n/) {
        my ($head, $status, $reason, $lines) = ($1, $2, $3, $4);
        my $rest = substr $raw, $+[0];

        $raw = $rest;

        next if $status < 200;

        $self->{head} = $head;
        $self->{status} = $status;
        $self->{reason} = $reason;
        $self->{list} = [ map { [ /^([^:]*):\s*(.*)$/ ] }
                          split /\r\n/, $lines ];

        $self->read_body($rest, $is_head);
        last;
    }

    return $self;
}


sub read_body {
    my ($self, $rest, $is_head) = @_;

    $self->{rest} = $rest;

    if ($is_head || $self->{status} == 204 || $self->{status} == 304) {
        $self->{body} = $rest;
        $self->{complete} = 1;
        return;
    }

    if ($self->chunked) {
        while ($rest =~ /\G([0-9A-Fa-f]+)\r\n/g) {
            my $size = hex $1;
            my $at = pos $rest;

            if ($size == 0) {
                $self->{complete} = substr($rest, $at, 2) eq "\r\n" ? 1 : 0;
                $self->{after} = substr $rest, $at + 2
                    if length $rest > $at + 2;
                return;
            }

            $self->{body} .= substr $rest, $at, $size;
            length $rest >= $at + $size + 2 or return;
            pos($rest) = $at + $size + 2;
        }

        return;
    }

    my $length = $self->header('Content-Length');

    if (defined $length && length $rest > $length) {
        $self->{after} = substr $rest, $length;
        $rest = substr $rest, 0, $length;
    }

    $self->{body} = $rest;
    $self->{complete} = defined $length && length $rest == $length ? 1 : 0;
}


sub status   { return $_[0]{status} }
sub reason   { return $_[0]{reason} }
sub head     { return $_[0]{head} }
sub body     { return $_[0]{body} }
sub raw      { return $_[0]{raw} }
sub reads    { return $_[0]{reads} }
sub complete { return $_[0]{complete} }
sub end      { return $_[0]{end} }
sub after    { return $_[0]{after} // '' }      # bytes after the reply
sub lines    { return split /\n/, $_[0]{body} }
sub json     { return $json->decode($_[0]{body}) }

sub headers {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{list} };
}

sub header {
    my ($self, $name) = @_;
    my @values = $self->headers($name);
    return @values ? join ', ', @values : undef;
}

sub chunked {
    my ($self) = @_;
    return lc($self->header('Transfer-Encoding') // '') eq 'chunked';
}

1;
