# Guards nginx's handling of bodies: large ones, filters, the cache and the log
# are the same without the module, with it loaded but unused, and in a location
# that uses it.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Unchanged;

use Digest::SHA qw(sha256_hex);

our $chat = '{"model":"m1","messages":[{"role":"user","content":"hi"}]}';

our $plain = <<'END';
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_buffering off;
        }
END

our $big = CORE::join '', map { pack 'N', $_ * 2654435761 % 4294967296 }
                              1 .. 500_000;

our $json = '{"a":"' . 'text to be found, ' x 20_000 . '","done":true}';


# without the bytes

sub short {
    my ($r) = @_;
    return { %$r, body => length($r->{body}) . ' ' . sha256_hex($r->{body}) };
}


# a line of a log: which fields have what form

sub form {
    my ($log) = @_;

    return { map {
        my $v = $log->{$_};

        $v =~ s/\d+\.\d{3}/T/g if /time$/;
        $v =~ s/127\.0\.0\.1:\d+/addr/g;
        $v =~ s/id=\K\w+//g;
        ($_ => $v);
    } keys %$log };
}

run_tests();

__DATA__

=== large replies, with all kinds of buffering
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_buffering on;
            proxy_buffers 4 8k;
            proxy_max_temp_file_size 1m;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_buffering off;
        }
--- test
my $chunks = sub {
    my ($body) = @_;
    my $out = '';
    $out .= sprintf "%x\r\n%s\r\n", length, $_
        for unpack '(a30000)*', $body;
    return "${out}0\r\n\r\n";
};

for my $uri ('/api/tags', '/v1/models') {
    for my $chunked (0, 1) {
        say(sub { $chunked ? answer($chunks->($::big),
                                    'Transfer-Encoding' => 'chunked')
                           : answer($::big) });

        is(same("$uri, chunked: $chunked",
                sub { short(get("GET $uri")) })->{body},
           length($::big) . ' ' . sha256_hex($::big));
    }
}

# a client that reads slowly, so that a part of it goes to a file
say(sub { answer($::big) });

is(same('a slow client', sub {
    my $c = here(rcvbuf => 4096);
    $c->request('GET /api/tags', undef, Connection => 'close');
    play(0.2);
    return short(seen($c->reply_to_end));
})->{body}, length($::big) . ' ' . sha256_hex($::big));

# and one that is followed
for my $uri ('/api/chat', '/v1/embeddings') {
    say(sub { answer($chunks->($::json), 'Transfer-Encoding' => 'chunked') });
    is(same("POST $uri", sub { short(get("POST $uri", $::chat)) })->{body},
       length($::json) . ' ' . sha256_hex($::json));
}
--- no_error_log
[error]
[crit]



=== large uploads
--- plain
        client_max_body_size 8m;
        client_body_buffer_size 16k;

        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }

        location /idle/ {
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }
--- test
my $text = $::chat =~ s/hi/'h' x 3_000_000/er;

say(sub { answer('{"done":true}', 'Content-Type' => 'application/json') });

for my $to ([ 'POST /api/chat', $text ], [ 'GET /api/tags', $::big ],
            [ 'PUT /idle/x', $::big ], [ 'PUT /idle/x', '' ],
            [ 'GET /v1/models', $::big ])
{
    my ($line, $sent) = @$to;

    for my $how ([], [ -chunked => 50_000 ]) {
        next if @$how && !length $sent;

        my $r = same("$line @$how", sub {
            get($line, $sent, @$how);
            my ($asked) = asked();
            return [ sha256_hex($asked->{body}), $asked->{line},
                     $asked->{head} =~ s/u_\w+/u/r ];
        });

        is($r->[0], sha256_hex($sent), 'all of it');
    }
}

like(same('too large', sub {
    # before the body is there
    my $c = here();
    $c->send("POST /api/chat HTTP/1.1\r\nHost: a\r\n"
             . "Content-Length: 9000000\r\n\r\n");
    my $raw = $c->read_until(qr/\r\n\r\n/);
    $c->close;
    return $raw =~ s/\r\n.*//sr;
}), qr/ 413 /);
--- error_log
client intended to send too large body



=== limit_rate
--- plain eval: $::plain =~ s/proxy_buffering off/limit_rate 30k/r
--- test
my $body = '{"a":"' . 'x' x 75_000 . '"}';
say(sub { answer($body) });

# nginx counts by whole seconds, and the first may be nearly over: a part for
# the third one makes it at least one
my @got = @{ same('both', sub {
    my $start = Time::HiRes::time();
    my @c = map { here()->request(@$_) } [ 'GET /api/tags' ],
                                         [ 'POST /v1/embeddings', $::chat ];

    return [ map { my $r = $_->reply;
                   ($r->body, Time::HiRes::time() - $start > 0.9 ? 'slow'
                                                                 : 'fast') }
                 @c ];
}) };

is("@got[1, 3]", 'slow slow');
ok($got[0] eq $body && $got[2] eq $body);



=== gzip, sub_filter, addition and ssi in the same location
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_set_header Accept-Encoding "";
            gzip on;
            gzip_types *;
            gzip_proxied any;
            gzip_http_version 1.0;
            gzip_vary on;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
            sub_filter 'found' 'FOUND';
            sub_filter_types *;
            sub_filter_once off;
            add_after_body /after;
            addition_types *;
            charset utf-8;
        }

        location /after { return 200 "\nafter"; }

        location /api/version {
            @OLLAMA@
            proxy_pass http://u_@V@;
            ssi on;
            ssi_types *;
        }
--- test
say(sub { answer($_[0]{line} =~ /version/
                 ? 'a <!--# echo var="uri" --> b <!--# include '
                   . 'virtual="/after" -->'
                 : $::json, ETag => '"e"',
                 'Content-Type' => 'application/json') });

my $r = same('gzip', sub { short(get('GET /api/tags', undef,
                                     'Accept-Encoding' => 'gzip')) });
like($r->{head}, qr/^Content-Encoding: gzip\n/m);
like($r->{head}, qr/^Vary: Accept-Encoding\n/m);
ok($r->{body} =~ /^(\d+)/ && $1 < 10_000);

like(same('gzip of a reply that is followed', sub {
    short(get('POST /api/chat', $::chat, 'Accept-Encoding' => 'gzip'))
})->{head}, qr/^Content-Encoding: gzip\n/m);

$r = same('sub_filter and addition', sub { get('GET /v1/models') });
is($r->{body}, $::json =~ s/found/FOUND/gr . "\nafter");

is(same('of a reply that is followed', sub { get('POST /v1/embeddings',
                                                 $::chat) })->{body},
   $::json =~ s/found/FOUND/gr . "\nafter");

is(same('ssi', sub { get('GET /api/version') })->{body},
   "a /api/version b \nafter");



=== proxy_cache, mirror, auth_request
--- plain_http
    upstream u_@V@ { server 127.0.0.1:@PEER0@; }
    proxy_cache_path @DIR@/cache_@V@ keys_zone=z_@V@:1m;
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_cache z_@V@;
            proxy_cache_valid 200 1m;
            add_header X-Cache $upstream_cache_status;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
            mirror /mirror;
            auth_request /auth;
        }

        location = /mirror { internal; proxy_pass http://u_@V@/copy; }
        location = /auth {
            internal;
            proxy_pass http://u_@V@/check;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
        location /no/ { auth_request /auth; proxy_pass http://u_@V@; }
--- test
my $n;
say(sub { ++$n; answer($_[0]{line} =~ /check/ ? 'ok' : "{\"done\":$n}",
                       'X-N' => $n, ETag => '"e"')
          =~ s/200 OK/$_[0]{head} =~ m{X-No} ? '403 No' : '200 OK'/er });

my $r = same('cached', sub {
    $n = 0;
    return [ map { my $r = get(@$_);
                   # of the answer from the cache, too: no server gave it
                   $r } [ 'GET /api/tags' ], [ 'GET /api/tags' ],
                 [ 'HEAD /api/tags' ], [ 'GET /api/tags?b' ],
                 [ 'GET /api/tags', undef, 'If-None-Match' => '"e"' ],
                 [ 'GET /api/tags', undef, Range => 'bytes=1-2' ],
                 [ 'GET /api/tags', undef, 'Cache-Control' => 'no-cache' ] ];
});

like($r->[0]{head}, qr/^X-Cache: MISS/m);
like($r->[1]{head}, qr/^X-Cache: HIT/m);
like($r->[4]{head}, qr/^HTTP\/1\.1 304 /);

my $sub = same('mirror and auth_request', sub {
    $n = 0;
    my $r = get('POST /v1/embeddings', $::chat);
    play(0.1);
    $r->{head} =~ s/^(?:X-N|Content-Length|Transfer-Encoding): .*\n//mg;
    delete $r->{body};
    return [ $r, sort map { "$_->{line} $_->{body}" } asked() ];
});

# HTTP/1.0 is the default until nginx 1.29.7
s/ HTTP\/1\.[01] / / for @$sub[1 .. 3];

is($sub->[1], 'GET /check ');
is($sub->[2], "POST /copy $::chat");
is($sub->[3], "POST /v1/embeddings $::chat");

like(same('refused', sub { get('GET /no/x', undef, 'X-No' => 1) })->{head},
     qr/^HTTP\/1\.1 403 /);



=== the access log
--- plain eval: $::plain
--- test
my $one = '{"done":true}';

say(sub { answer($one) });

my $r = same('a list', sub {
    get('GET /api/tags?id=a', undef);
    my $log = form(plain_log('a'));

    if (variant() eq 'on') {
        my $added = length 'X-Ollama-Server: ' . (served())[0] . "\r\n";
        $log->{sent} -= $added;
    }

    # the name of the upstream is in what the server gets
    $log->{usent} -= length variant();
    return $log;
});

is("@$r{qw(status body time addr ustatus utime ctime htime ulen)}",
   "200 13 T addr 200 T T T 13");
ok($r->{len} > 30 && $r->{ureceived} > 50 && $r->{sent} > 100);

$r = same('a generation', sub {
    get('POST /api/chat?id=b', $::chat);
    my $log = form(plain_log('b'));
    delete @$log{qw(sent body usent)};
    return $log;
});
is("@$r{qw(status time addr ustatus utime ulen)}", '200 T addr 200 T 13');
is($r->{request}, 'POST /api/chat?id= HTTP/1.1');
is("$r->{uri} $r->{done}", '/api/chat OK');

$r = same('a client that went away', sub {
    my $c = here()->request('GET /api/tags?id=c');
    $c->close;
    play(0.1);
    my $log = form(plain_log('c'));
    return { map { $_ => $log->{$_} } qw(request uri time) };
});
