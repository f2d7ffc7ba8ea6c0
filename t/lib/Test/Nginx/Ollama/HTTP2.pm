package Test::Nginx::Ollama::HTTP2;

# A client of HTTP/2 that goes step by step, where curl can't: reads up to a
# point, resets a stream, lets a window run full.  One stream after another; of
# one that others were begun after, back($id) goes on.
#
#     $c = h2(port => ..., window => 1000);    # of each stream; else no limit
#     $c->request("POST /api/chat", $body, name => "value")
#     $c->open("POST /api/chat", name => "value")
#     $c->data($bytes), $c->data($bytes, 1)    # 1: the last ones
#     $c->read_until(qr/.../)                  # of the body
#     $c->grant($bytes)                        # opens the window so far
#     $c->rst                                  # cancels the stream
#     $id = $c->id, $c->back($id)              # on with an earlier stream
#     $r = $c->reply                           # status, headers, body, ...
#
# "end" is "complete", "stream reset", "timeout", or "eof".

use strict;
use warnings;

use Cpanel::JSON::XS ();
use Exporter qw(import);
use Time::HiRes qw(time);

use parent -norequire, 'Test::Nginx::Ollama::Client';
use Test::Nginx::Ollama::Client ();
use Test::Nginx::Ollama::HPACK qw(headers_of);

our @EXPORT = qw(h2);

use constant {
    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
    GOAWAY => 7, WINDOW_UPDATE => 8,
    END_STREAM => 1, END_HEADERS => 4, ACK => 1,
    CANCEL => 8
};


# of a stream
my @state = qw(may status body end list);


sub h2 { return Test::Nginx::Ollama::HTTP2->new(@_) }


sub new {
    my ($class, %args) = @_;

    my $self = $class->SUPER::new(port => $ENV{TEST_NGINX_H2_PORT}, %args,
                                  id => -1, last => -1, initial => 65535,
                                  all => 65535);

    # no header table; the streams' window, and that of the connection
    $self->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                . frame(SETTINGS, 0, 0,
                        pack 'nN nN', 1, 0, 4, $args{window} || 0x7fffffff)
                . frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x7fff0000));

    return $self;
}


sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}


# A header of undef is left out: "content-length" is there otherwise.

sub request {
    my ($self, $line, $body, @headers) = @_;

    $body = Cpanel::JSON::XS->new->utf8->canonical->encode($body) if ref $body;

    if (!defined $body) {
        return $self->open($line, @headers, -last => 1);
    }

    unshift @headers, 'content-length', length $body
        if !grep { defined && lc eq 'content-length' } @headers;

    return $self->open($line, @headers)->data($body, 1);
}


sub open {
    my ($self, $line, @headers) = @_;

    my ($method, $path) = split / /, $line;
    my ($block, $flags) = ('', END_HEADERS);

    $self->{earlier}{$self->{id}} = { map { $_ => $self->{$_} } @state }
        if $self->{last} > 0;

    $self->{id} = $self->{last} += 2;
    $self->{may} = $self->{initial};
    @$self{qw(status body)} = (0, '');
    delete @$self{qw(end list)};

    unshift @headers, ':method', $method, ':path', $path, ':scheme', 'http',
                      ':authority', 'localhost';

    while (my ($name, $value) = splice @headers, 0, 2) {

        if ($name eq '-last') {
            $flags |= END_STREAM;

        } elsif (defined $value) {
            $block .= "\0" . counted(lc $name) . counted($value);
        }
    }

    $self->send(frame(HEADERS, $flags, $self->{id}, $block));

    return $self;
}


# A string of HPACK, as it is.

sub counted {
    my ($text) = @_;

    my $n = length $text;
    return chr($n) . $text if $n < 127;

    my $head = chr 127;

    for ($n -= 127; $n >= 128; $n >>= 7) {
        $head .= chr($n & 127 | 128);
    }

    return $head . chr($n) . $text;
}


sub data {
    my ($self, $bytes, $last) = @_;

    my $at = 0;

    while (1) {
        my $n = length($bytes) - $at;

        for my $limit (16384, $self->{may}, $self->{all}) {
            $n = $limit if $n > $limit;
        }

        if ($n == 0 && $at < length $bytes) {
            # until the window opens, or all is over
            $self->step(time + $self->{timeout}) or return $self;
            next;
        }

        $self->send(frame(DATA,
                          $last && $at + $n == length $bytes ? END_STREAM : 0,
                          $self->{id}, substr $bytes, $at, $n));

        $at += $n;
        $self->{may} -= $n;
        $self->{all} -= $n;

        return $self if $at == length $bytes;
    }
}


sub rst {
    my ($self) = @_;
    return $self->send(frame(RST_STREAM, 0, $self->{id}, pack 'N', CANCEL));
}

sub grant {
    my ($self, $n) = @_;
    return $self->send(frame(WINDOW_UPDATE, 0, $self->{id}, pack 'N', $n));
}


sub id { return $_[0]{id} }

sub back {
    my ($self, $id) = @_;

    $self->{earlier}{$self->{id}} = { map { $_ => $self->{$_} } @state };

    my $old = delete $self->{earlier}{$id} or die "no stream $id\n";

    @$self{'id', @state} = ($id, @$old{@state});

    return $self;
}


sub read_until {
    my ($self, $pattern, $timeout) = @_;

    my $until = time + ($timeout || $self->{timeout});

    while ($self->{body} !~ $pattern) {
        $self->step($until) or return undef;
    }

    return $self->{body};
}


sub reply {
    my ($self, $timeout) = @_;

    my $until = time + ($timeout || $self->{timeout});

    1 while $self->step($until);

    return bless { %$self{qw(status body end reads)},
                   list => $self->{list} || [],
                   complete => $self->{end} eq 'complete' ? 1 : 0 },
                 'Test::Nginx::Ollama::Reply';
}


# A frame, or another arrival.  False: the stream has ended.

sub step {
    my ($self, $until) = @_;

    return 0 if defined $self->{end};
    return 1 if $self->take;
    return $self->read($until);
}


sub take {
    my ($self) = @_;

    length $self->{raw} >= 9 or return 0;

    my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $self->{raw};
    my $n = ($high << 16) + $low;

    length $self->{raw} >= 9 + $n or return 0;

    my $payload = substr $self->{raw}, 9, $n;
    substr $self->{raw}, 0, 9 + $n, '';

    if ($type == SETTINGS && !($flags & ACK)) {
        $self->settings($payload);
        $self->send(frame(SETTINGS, ACK, 0, ''));

    } elsif ($type == PING && !($flags & ACK)) {
        $self->send(frame(PING, ACK, 0, $payload));

    } elsif ($type == WINDOW_UPDATE) {
        $self->{$stream ? 'may' : 'all'} += unpack 'N', $payload;

    } elsif ($type == GOAWAY && (my $code = unpack 'x4N', $payload)) {
        die "GOAWAY with code $code\n";
    }

    my $to = $stream == 0 ? undef
             : $stream == $self->{id} ? $self : $self->{earlier}{$stream};

    return 1 if !$to;

    if ($type == DATA) {
        $to->{body} .= $payload;

    } elsif ($type == HEADERS) {
        $to->{list} = [ headers_of($payload) ];
        $to->{status} = $to->{list}[0][1];

    } elsif ($type == RST_STREAM) {
        # NO_ERROR after a whole reply only stops the request's body
        $to->{end} ||= 'stream reset';
    }

    if (($type == DATA || $type == HEADERS) && $flags & END_STREAM) {
        $to->{end} = 'complete';
    }

    return 1;
}


sub settings {
    my ($self, $payload) = @_;

    while ($payload =~ /\G(..)(....)/gs) {
        next if unpack('n', $1) != 4;

        my $initial = unpack 'N', $2;

        $self->{may} += $initial - $self->{initial};
        $self->{initial} = $initial;
    }
}

1;
