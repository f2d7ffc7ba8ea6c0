# Guards nginx's own balancing: which server is asked, when another one is, and
# on which connection is the same without the module, with it loaded but unused,
# and in a location that uses it.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Unchanged;

our $chat = '{"model":"m1","messages":[{"role":"user","content":"hi"}]}';
our $done = '{"done":true}';

our $plain = <<'END';
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 1s;
            proxy_read_timeout 200ms;
        }
END

our $three = <<'END';
    upstream u_@V@ {
        server 127.0.0.1:@PEER0@ max_fails=0;
        server 127.0.0.1:@PEER1@ max_fails=0;
        server 127.0.0.1:@PEER2@ max_fails=0;
        PLUS
    }
END

sub three { return $::three =~ s/PLUS/$_[0]/r }

sub location {
    return $::plain =~ s/(proxy_read)/$_[0] $1/r;
}


# who was asked: "0 1 2"

sub peers { return join ' ', map { $_->{peer} } asked() }


# so many requests: who answered each

sub round {
    my ($n, $line, $body, @rest) = @_;

    for my $i (1 .. $n) {
        my $l = $line =~ s/#/$i/r;
        my $r = get($l, $body, @rest);
        $r->{head} =~ /^HTTP\/1\.1 200 / or return "$l: $r->{head}";
    }

    return peers();
}

run_tests();

__DATA__

=== weights, in nginx's order, over 30 requests
--- plain_http
    upstream u_@V@ {
        server 127.0.0.1:@PEER0@ weight=5;
        server 127.0.0.1:@PEER1@ weight=2;
        server 127.0.0.1:@PEER2@;
        server 127.0.0.1:@PEER3@ backup;
    }
--- plain eval: $::plain
--- test
say(sub { answer($::done) });

my $who = same('lists', sub { round(30, 'GET /api/tags') });

my %n;
$n{$_}++ for split / /, $who;
ok($n{0} >= 18 && $n{0} <= 19 && !$n{3}, "by weight: $who");

is(join(' ', map { "127.0.0.1:" . peer_port($_) } split / /, $who),
   join(' ', served()), 'X-Ollama-Server says it');

same('generations', sub { round(15, 'POST /api/chat', $::chat) });



=== hash, ip_hash, least_conn
--- plain_http eval
CORE::join '', map {
    my ($name, $how) = @$_;
    main::three($how) =~ s/u_\@V\@/${name}u_\@V\@/r;
} [ '', 'hash $arg_k;' ], [ 'c', 'hash $uri$arg_k consistent;' ],
  [ 'i', 'ip_hash;' ], [ 'l', 'least_conn;' ]
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
        }

        location /c/ { proxy_pass http://cu_@V@/; }
        location /i/ { proxy_pass http://iu_@V@/; }
        location /l/ { proxy_pass http://lu_@V@/; }
--- test
say(sub { answer($::done) });

my $hash = same('hash', sub { round(12, 'GET /api/tags?k=#') });
like($hash, qr/0/); like($hash, qr/1/); like($hash, qr/2/);
is(same('again', sub { round(12, 'GET /api/tags?k=#') }), $hash);
is(same('of a generation', sub { round(12, 'POST /api/chat?k=#', $::chat) }),
   $hash);

for my $path (qw(c i l)) {
    my $who = same($path, sub { round(9, "GET /$path/x?k=#") });

    like($who, qr/\A(\d)(?: \1)*\z/, 'one') if $path eq 'i';
    is($who, '0 1 2 0 1 2 0 1 2') if $path eq 'l';
}



=== least_conn and hash in a location with ollama_api
--- plain_http eval: main::three('least_conn;')
--- plain eval: $::plain =~ s/200ms/9s/r
--- test
# two are busy
my @held;

say(sub {
    return answer($::done) if @held >= 2;
    push @held, $_[0];
    return;
});

is(same('least_conn', sub {
    @held = ();
    my @busy = map { here()->request('POST /api/chat', $::chat) } 1 .. 2;
    play(0.1);

    my $who = round(6, 'POST /api/chat', $::chat);
    speak($_, answer($::done)) for @held;
    return [ $who, map { $_->reply->body } @busy ];
})->[0] =~ s/^\d \d //r, '2 2 2 2 2 2');



=== max_fails and fail_timeout
--- plain_http
    upstream u_@V@ {
        server 127.0.0.1:@PEER0@ max_fails=2 fail_timeout=60s;
        server 127.0.0.1:@PEER1@ max_fails=1 fail_timeout=60s;
        server 127.0.0.1:@PEER2@ max_fails=0;
    }
--- plain eval: main::location('proxy_next_upstream error http_503;')
--- test
say(sub {
    return \'close' if $_[0]{peer} == 1;
    return answer('no') =~ s/200 OK/503 Busy/r if $_[0]{peer} == 0;
    return answer($::done);
});

my $who = same('failed ones are left alone',
               sub { round(8, 'GET /api/tags') });

is((() = $who =~ /0/g), 2, $who);
is((() = $who =~ /1/g), 1);
--- error_log
upstream prematurely closed connection



=== the end of fail_timeout; servers marked backup and down
--- plain_http
    upstream u_@V@ {
        server 127.0.0.1:@PEER0@ max_fails=1 fail_timeout=1s;
        server 127.0.0.1:@PEER1@ down;
        server 127.0.0.1:@PEER2@ backup;
    }
--- plain eval: $::plain
--- test
my $dead = 1;
say(sub { $dead && $_[0]{peer} == 0 ? \'close' : answer($::done) });

is(same('back again', sub {
    $dead = 1;
    my $first = round(3, 'GET /api/tags');

    $dead = 0;
    wait_for(sub { get('GET /api/tags'); peers() =~ /0\z/ }, 4);

    return $first;
}), '0 2 2 2');
--- error_log
upstream prematurely closed connection



=== which failures lead to the next server
--- plain_http eval: main::three('')
--- plain eval
main::location('proxy_next_upstream error timeout invalid_header http_500 '
               . 'http_404 http_429;')
--- test
my %fault = (die => sub { \'close' }, reset => sub { \'reset' },
             silent => sub { () }, header => sub { "garbage\r\n\r\n" },
             half => sub { "HTTP/1.1 200 OK\r\nX-A", \'close' },
             map { my $status = $_;
                   ($status => sub { answer("$status")
                                     =~ s/200 OK/$status No/r }) }
                 404, 429, 500, 502, 503, 403);

for my $what (sort keys %fault) {
    next if $what eq 'header';      # HTTP/0.9, see truncated.t

    my $bad = -1;

    say(sub { $_[0]{peer} == $bad ? $fault{$what}->() : answer($::done) });

    my $r = same($what, sub {
        $bad = 0;
        return [ (map { get('GET /api/tags') } 1 .. 4), peers() ];
    });

    my $who = pop @$r;
    my $asked = $who =~ tr/0-9//;
    my @bad = grep { $_->{head} !~ /^HTTP\/1\.1 200 / } @$r;

    if ($what =~ /502|503|403/) {
        is($asked, 4, "$what: $who");
        like($bad[0]{head}, qr/^HTTP\/1\.1 $what /);

    } else {
        ok($asked > 4, "$what: $who");
        is(scalar @bad, 0);
    }
}
--- error_log eval
qr/upstream prematurely closed|Connection reset|timed out/



=== a POST is not sent to a second server
--- plain_http eval: main::three('')
--- plain eval
main::location('proxy_next_upstream error timeout http_503;')
--- test
say(sub { answer('no') =~ s/200 OK/503 Busy/r });

is(same('POST', sub { [ get('POST /api/chat', $::chat), peers() ] })->[1],
   '0', 'one');
is(same('GET', sub { [ get('GET /api/tags'), peers() ] })->[1], '1 2 0',
   'all');

say(sub { \'close' });

is(same('POST to a server that dies', sub {
    my $r = get('POST /api/chat', $::chat);
    return [ $r->{head} =~ s/\n.*//sr, peers() ];
})->[1] =~ tr/0-9//, 1, 'one');
--- error_log
upstream prematurely closed connection



=== a POST is sent again with non_idempotent, within the limit of tries
--- plain_http eval: main::three('server 127.0.0.1:@PEER3@ backup;')
--- plain eval
main::location('proxy_next_upstream error http_503 non_idempotent; '
               . 'set $tries 1;')
. '     location /v1/ { @OLLAMA@ proxy_pass http://u_@V@;
                        proxy_next_upstream error http_503 non_idempotent;
                        proxy_next_upstream_tries 2; }
        location /v1/models { @OLLAMA@ proxy_pass http://u_@V@;
                        proxy_next_upstream off; }'
--- test
say(sub { answer('no') =~ s/200 OK/503 Busy/r });

my $body = $::chat =~ s/hi/'x' x 200_000/er;

for my $sent ($::chat, $body) {
    my $r = same('all, with the whole body', sub {
        [ get('POST /api/chat', $sent), peers(),
          [ map { $_->{body} eq $sent ? 1 : 0 } asked() ],
          [ map { $_->{head} =~ s/u_\w+/u/r } asked() ] ];
    });

    is($r->[2] && "@{ $r->[2] }", '1 1 1 1', "asked: $r->[1]");
    like($r->[1], qr/3\z/);
}

is(same('tries', sub { get('POST /v1/embeddings', $::chat); peers() })
   =~ tr/0-9//, 2);
is(same('off', sub { get('GET /v1/models'); peers() }) =~ tr/0-9//, 1);



=== a server that can't be connected to, backup, variables in proxy_pass
--- plain_http
    upstream u_@V@ {
        server 127.0.0.1:@NOBODY@ max_fails=0;
        server 127.0.0.1:@PEER0@ max_fails=0;
        server 127.0.0.1:@PEER1@ backup;
    }
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
        }
        location /var/ { set $u u_@V@; proxy_pass http://$u; }
        location /uri/ { proxy_pass http://u_@V@/a/b?c=d; }
--- test
say(sub { answer($::done) });

my $lines = sub { round(4, $_[0], $_[1]);
                  return [ map { "$_->{line} $_->{peer}" } asked() ] };

same($_, sub { $lines->("GET $_") })
    for '/api/tags', '/var/x', '/uri/y%20z', '/var/%41?%20';
same('POST', sub { $lines->('POST /api/chat', $::chat) });
like(same('log', sub {
    my @id = map { variant() . $_ } 1 .. 2;

    get("GET /api/tags?id=$_") for @id;
    return join ' ', sort map { "$_->{addr}: $_->{ustatus}" }
                          map { plain_log($_) } @id;
}), qr/127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+: 502, 200/);
--- error_log
connect() failed (111: Connection refused)



=== connections to a server are reused
--- plain_http eval: main::three('keepalive 3; keepalive_requests 4;')
--- plain eval: $::plain
--- test
my @how = ([ 'with a length', sub { answer($::done) } ],
           [ 'in chunks', sub { answer("d\r\n$::done\r\n0\r\n\r\n",
                                       'Transfer-Encoding' => 'chunked') } ],
           [ 'closed by the server', sub { answer($::done,
                                                  Connection => 'close'),
                                           \'close' } ],
           [ 'more than its length', sub { answer($::done), 'x' } ],
           [ 'an error', sub { answer('no') =~ s/200 OK/404 No/r } ],
           [ '204', sub { "HTTP/1.1 204 No\r\n\r\n" } ]);

for (@how) {
    my ($title, $say) = @$_;

    say($say);

    for my $line ('GET /api/tags', 'POST /api/chat', 'HEAD /api/version') {
        next if $title =~ /more/ && $line !~ /GET/;
        next if $title =~ /chunks/ && $line =~ /HEAD/;

        my $got = same("$title: $line", sub {
            reset_peers();
            play(0.01);
            get($line, $line =~ /POST/ ? $::chat : undef) for 1 .. 15;
            return [ map { "$_->{peer}/$_->{conn}/$_->{nth}" } asked() ];
        });

        my $again = grep { !/\/0\z/ } @$got;

        if ($title =~ /closed|more/) { is($again, 0, "@$got") }
        else { ok($again > 1, "@$got") }
    }
}



=== a client that leaves closes the server's connection
--- plain eval: $::plain =~ s/200ms/9s/r
--- test
my $request;

say(sub { $request = $_[0]; return });

for my $line ('GET /api/tags', 'POST /api/chat') {
    is(same($line, sub {
        undef $request;
        my $c = here()->request($line, $line =~ /POST/ ? $::chat : undef);
        wait_for(sub { play(0.01); $request });
        $c->close;
        return wait_for(sub { play(0.01); !$request->{connection}{socket} })
               ? 'gone' : 'kept';
    }), 'gone');
}

is(same('and its line of the log', sub {
    my $c = here()->request('GET /api/tags?id=away');
    play(0.05);
    $c->close;
    return plain_log('away')->{status};
}), 499);
