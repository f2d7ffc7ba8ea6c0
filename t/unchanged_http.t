# Guards nginx's HTTP/2, interim responses, trailers and upgraded connections:
# they are the same without the module, with it loaded but unused, and in a
# location that uses it.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Unchanged;

our $chat = '{"model":"m1","messages":[{"role":"user","content":"hi"}]}';

our $plain = <<'END';
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_buffering off;
        }
END

run_tests();

__DATA__

=== HTTP/2: the header, HEAD, ranges, errors
--- plain eval: $::plain
--- test
say(sub { answer('0123456789', 'X-Upper' => 'A', 'Set-Cookie' => 'a=1',
                 'X-UPPER' => 'B', 'Set-Cookie' => 'b=2',
                 'Keep-Alive' => 'timeout=5', ETag => '"e"') });

my $r = same('GET', sub {
    my $c = h2_here();
    my $r = seen($c->request('GET /api/tags', undef, 'x-multi', 'a',
                             'x-multi', 'b', cookie => 'a=1',
                             cookie => 'b=2')->reply);
    $c->close;
    return [ $r, map { $_->{head} =~ s/u_\w+/u/r } asked() ];
});

is($r->[0]{body}, '0123456789');
is(join(' ', $r->[0]{head} =~ /^([^:]+|:status): /mg),
   ':status server date content-type content-length x-upper set-cookie '
   . 'x-upper set-cookie etag');
like($r->[1], qr/^cookie: a=1; b=2\r\n/mi);

for my $request ([ 'HEAD /api/tags' ], [ 'GET /v1/models', undef, range =>
                                         'bytes=1-2' ],
                 [ 'GET /api/tags', undef, 'if-none-match' => '"e"' ])
{
    same("@{[ map { $_ // '-' } @$request ]}", sub {
        my $c = h2_here();
        my $r = seen($c->request(@$request)->reply);
        $c->close;
        return $r;
    });
}

my $body = $::chat =~ s/hi/'h' x 300_000/er;

say(sub { answer('{"done":true}', 'X-A' => 1, 'X-a' => 2) });

is(same('POST', sub {
    my $c = h2_here();
    $c->request('POST /v1/embeddings', $body);
    my $r = seen($c->reply);
    $r->{head} =~ s/^content-length: .*\n//m;
    $c->close;
    return [ $r, map { $_->{body} eq $body ? 'all' : 'less' } asked() ];
})->[1], 'all');

say(sub { answer('short', 'Content-Length' => 100), \'close' });

same('cut', sub {
    my $c = h2_here(timeout => 3);
    my $r = seen($c->request('GET /api/tags')->reply);
    $c->close;
    return $r;
});
--- error_log
upstream prematurely closed connection



=== HTTP/2: interleaved streams of one connection
--- plain eval: $::plain
--- test
my %held;

say(sub {
    my ($name) = $_[0]{line} =~ /\?(\w+)/;
    $held{$name} = $_[0];
    return answer('x' x 1000, 'Content-Length' => 3000);
});

my $r = same('in turns', sub {
    %held = ();
    my $c = streams();

    $c->open("GET /api/tags?$_", -last => 1) for qw(a b c);
    $c->wait_body($_, 1000) or die "nothing of stream $_" for 1, 3, 5;

    for my $turn ([ c => 5, 2000 ], [ a => 1, 2000 ], [ b => 3, 2000 ],
                  [ a => 1, 3000 ], [ c => 5, 3000 ], [ b => 3, 3000 ])
    {
        my ($name, $id, $n) = @$turn;
        speak($held{$name}, $name x 1000);
        $c->wait_body($id, $n) or die "stream $id has no $n";
    }

    $c->wait_done(1, 3, 5) or die 'no end';

    my @order = map { "$_->[0]:$_->[2]" }
                    grep { $_->[1] == 0 && $_->[2] } $c->frames;
    my @bodies = map { $c->stream($_)->{body} } 1, 3, 5;
    $c->close;
    return [ [ @order[3 .. $#order] ], \@bodies ];
});

is("@{ $r->[0] }", '5:1000 1:1000 3:1000 1:1000 5:1000 3:1000');
is($r->[1][1], 'x' x 1000 . 'b' x 2000);

say(sub { answer('{"done":true}') });

is(join(' ', @{ same('many', sub {
    my $c = streams();
    my @id = map { 1 + 2 * $_ } 0 .. 39;

    for (@id) {
        $_ % 4 == 1 ? $c->open('GET /api/tags', -last => 1)
                    : $c->request('POST /api/chat', $::chat);
    }
    $c->wait_done(@id) or die 'no end';
    my @r = map { "$c->{streams}{$_}{list}[0][1]$c->{streams}{$_}{body}" } @id;
    $c->close;
    return \@r;
}) }), join ' ', ('200{"done":true}') x 40);



=== HTTP/2: flow control windows, and streams that are reset
--- plain eval: $::plain
--- test
say(sub { answer('y' x 5000) });

is(same('a window', sub {
    my $c = streams(window => 1000);
    my @got;

    $c->open('GET /api/tags', -last => 1);
    $c->wait_body(1, 1000) or die 'nothing';
    $c->open('GET /v1/models', -last => 1);
    $c->wait_body(3, 1000) or die 'nothing';
    $c->wait_time(0.1);
    push @got, map { length $c->stream($_)->{body} } 1, 3;

    $c->grant_stream(3, 4000);
    $c->wait_done(3) or die 'no end';
    push @got, map { length $c->stream($_)->{body} } 1, 3;

    $c->grant_stream(1, 500);
    $c->wait_body(1, 1500) or die 'no more';
    $c->wait_time(0.1);
    push @got, length $c->stream(1)->{body};

    $c->grant_stream(1, 5000);
    $c->wait_done(1) or die 'no end';
    push @got, length $c->stream(1)->{body};

    $c->close;
    return "@got";
}), '1000 1000 1000 5000 1500 5000');

my $held;

is(same('a reset', sub {
    say(sub { $held = $_[0]; answer('y', 'Content-Length' => 9) });
    my $c = streams();

    $c->open('GET /api/tags', -last => 1);
    $c->wait_body(1, 1) or die 'nothing';
    $c->rst;
    my $left = $held;
    wait_for(sub { play(0.01); !$left->{connection}{socket} })
        or return 'kept';

    say(sub { answer('next') });
    $c->open('GET /api/tags', -last => 1);
    $c->wait_done(3) or return 'no more';
    my $body = $c->stream(3)->{body};
    $c->close;
    return $body;
}), 'next');



=== interim responses
--- plain eval: $::plain
--- test
my $end = answer('{"done":true}', 'Content-Type' => 'application/json');

for my $interim ("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n",
                 "HTTP/1.1 100 Continue\r\n\r\n",
                 "HTTP/1.1 102 Processing\r\n\r\n")
{
    my ($status) = $interim =~ / (\d+)/;

    say(sub { "$interim$end" });

    # an nginx that takes it for the reply sends no other one
    # (with ollama_api that is a 502: t/error.t)
    same("$status before the reply", sub { get('GET /api/tags', undef,
                                               -timeout => 0.4) },
         only => 'idle');
}

say(sub { $end });

like(same('100-continue', sub {
    my $c = here();

    $c->send("POST /api/chat HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
             . 'Content-Length: ' . length($::chat)
             . "\r\nConnection: close\r\n\r\n");
    my $first = $c->read_until(qr/\r\n\r\n/);
    $c->send($::chat);

    my $r = seen($c->reply_to_end);

    $r->{head} =~ s/^(Content-Length|Transfer-Encoding): .*\n//mg;
    return { %$r, first => $first,
             asked => [ map { $_->{head} =~ s/u_\w+/u/r } asked() ] };
})->{first}, qr/\AHTTP\/1\.1 100 Continue\r\n\r\n\z/);



=== trailers, in an nginx that doesn't pass them on
--- skip_nginx: 12: > 1.27.1
--- plain eval: $::plain
--- test
say(sub { answer("3\r\nabc\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
                 'Transfer-Encoding' => 'chunked', Trailer => 'X-T') });

my $r = same('GET', sub { get('GET /api/tags', undef, TE => 'trailers',
                              Connection => 'close, TE') });
is($r->{body}, 'abc');



=== trailers, in an nginx that passes them on
--- skip_nginx: 12: < 1.27.2
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_pass_trailers on;
            proxy_set_header Connection "te";
            proxy_set_header TE "trailers";
        }
--- test
say(sub { answer("e\r\n{\"done\":true}\n\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
                 'Transfer-Encoding' => 'chunked', Trailer => 'X-T') });

for my $line ('GET /api/tags', 'POST /api/chat') {
    my $r = same($line, sub {
        my $r = http($line, $line =~ /POST/ ? $::chat : undef, -port => port(),
                     TE => 'trailers');
        return { %{ seen($r) }, rest => $r->raw =~ s/.*\r\n0\r\n//sr };
    });

    is($r->{rest}, "X-T: 1\r\nX-U: 2\r\n\r\n");
}



=== an upgraded connection
--- plain
        location / {
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
        location /v1/ { @OLLAMA@ proxy_pass http://u_@V@; }
--- test
say(sub { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
          . "Connection: Upgrade\r\nX-A: 1\r\n\r\nfirst", \'tunnel' });

my $r = same('bytes both ways', sub {
    my $c = here();

    $c->request('GET /ws', undef, Upgrade => 'websocket',
                Connection => 'Upgrade');
    ok($c->read_until(qr/first/), 'it is open');

    for my $bytes ("\x81\x05hello", 'x' x 1000, "\0") {
        $c->send($bytes);
        ok($c->read_until(qr/<\Q$bytes\E>\z/), 'and back');
    }

    my $raw = $c->{raw} =~ s/^Date: .*//mr;
    $c->close;
    return $raw;
});

like($r, qr/\AHTTP\/1\.1 101 .*\r\n\r\nfirst<\x81\x05hello>/s);

say(sub { answer('no') });

like(same('refused', sub {
    seen(here()->request('GET /ws', undef, Upgrade => 'websocket',
                         Connection => 'Upgrade')->reply);
})->{head}, qr/^HTTP\/1\.1 200 OK\n/);
