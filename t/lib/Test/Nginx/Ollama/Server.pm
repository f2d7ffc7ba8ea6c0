package Test::Nginx::Ollama::Server;

# A server that is told what to do step by step, for what the stand-in in
# t/fake can't know: that a client has read a frame before the next is sent.
#
#     my $s = Test::Nginx::Ollama::Server->new;     # listens at $s->port
#
#     my $r = $s->accept;                 # a connection, its request read
#     is($r->{body}, '...');
#     $r->header('application/x-ndjson')->chunk("{...}\n");
#     ...
#     $r->chunk("{...}\n")->last;
#     $r->next_request;                   # on the same connection
#     ok($r->gone);                       # the gateway has closed it
#
# Nothing here waits for longer than $limit seconds, but dies then.
#
#     use Test::Nginx::Ollama::Server qw($server $steps);
#
# makes one, at $TEST_NGINX_STEPS_PORT in configurations; $steps are the lines
# for "upstream".

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;


my $limit = 10;

our $server;
our $steps = 'server 127.0.0.1:$TEST_NGINX_STEPS_PORT max_fails=0;'
             . ' keepalive 4;';


sub import {
    my ($class, @names) = @_;

    @names or return;

    $server ||= $class->new;
    $ENV{TEST_NGINX_STEPS_PORT} = $server->port;

    my $caller = caller;

    no strict 'refs';
    *{"${caller}::$_"} = \$$_ for map { s/\A\$//r } @names;
}


sub new {
    my ($class, %option) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $option{port} // 0,
                                       ReuseAddr => 1, Listen => 16)
        or die "can't listen: $!\n";

    return bless { socket => $socket }, $class;
}


sub port { $_[0]{socket}->sockport }


# accept(): the next connection, with its first request
# accept_half(bytes): with so many bytes of it

sub accept { return $_[0]->connection->next_request }


sub accept_half {
    my ($self, $n) = @_;

    my $connection = $self->connection;
    $connection->take while length $connection->{in} < $n;

    return $connection;
}


sub connection {
    my ($self) = @_;

    IO::Select->new($self->{socket})->can_read($limit)
        or die "no connection came\n";

    my $socket = $self->{socket}->accept or die "accept: $!\n";
    $socket->autoflush(1);

    return bless { socket => $socket, in => '' }, ref $self;
}


# asked(): whether a connection waits to be accepted

sub asked {
    my ($self) = @_;

    return scalar IO::Select->new($self->{socket})->can_read(0);
}


# next_request(): reads one: line, headers by small name, body

sub next_request {
    my ($self) = @_;

    $self->take while $self->{in} !~ /\r\n\r\n/;
    $self->{in} =~ s/\A(.*?)\r\n\r\n//s;

    my ($line, @headers) = split /\r\n/, $1;

    @$self{qw(line headers body)} = ($line, {}, '');

    for (@headers) {
        my ($name, $value) = split /: /, $_, 2;
        $self->{headers}{lc $name} = $value;
    }

    my $n = $self->{headers}{'content-length'} // 0;

    $self->take while length $self->{in} < $n;
    $self->{body} = substr $self->{in}, 0, $n, '';

    return $self;
}


sub take {
    my ($self) = @_;

    IO::Select->new($self->{socket})->can_read($limit)
        or die "the gateway sent no request\n";
    sysread $self->{socket}, $self->{in}, 1 << 16, length $self->{in}
        or die "the gateway closed the connection\n";
}


# send(bytes), header(type, name => value...), chunk(bytes), last()

sub send {
    my ($self, $bytes) = @_;
    my $at = 0;

    local $SIG{PIPE} = 'IGNORE';

    while ($at < length $bytes) {
        IO::Select->new($self->{socket})->can_write($limit)
            or die "the gateway reads nothing\n";
        $at += syswrite($self->{socket}, $bytes, 1 << 20, $at)
               // die "write: $!\n";
    }

    return $self;
}


sub header {
    my ($self, $type, @headers) = @_;
    my $text = "HTTP/1.1 200 OK\r\nContent-Type: $type\r\n";

    push @headers, 'Transfer-Encoding' => 'chunked'
        if !grep { /\A(?:content-length|connection)\z/i } @headers;

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return $self->send("$text\r\n");
}


sub chunk { $_[0]->send(sprintf "%x\r\n%s\r\n", length $_[1], $_[1]) }
sub last { $_[0]->send("0\r\n\r\n") }


# gone(): waits until the gateway closes the connection; false: it sent more

sub gone {
    my ($self) = @_;

    IO::Select->new($self->{socket})->can_read($limit)
        or die "the gateway keeps the connection\n";

    return !sysread $self->{socket}, my $more, 1;
}


sub close { CORE::close(delete $_[0]{socket}) }


1;
