# Guards nginx's proxy: headers both ways, ranges, error pages and access are
# the same without the module, with it loaded but unused, and in a location that
# uses it, except for X-Ollama-Server and a length that is not known before the
# end.

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

our $body = join '', map { chr 97 + $_ % 26 } 0 .. 99;

run_tests();

__DATA__

=== the header of a reply: which lines, in which order, how often
--- plain eval: $::plain
--- test
say(sub {
    answer('abc', Zebra => 1, 'Set-Cookie' => 'a=1', 'X-A' => 'one',
           'set-cookie' => 'b=2', 'X-a' => 'two', Link => '<a>', Vary => 'x',
           'Cache-Control' => 'no-store', Link => '<b>', Vary => 'Accept',
           'X-Empty' => '', 'X-Powered-By' => '  Go  ', Server => 'theirs',
           Date => 'Thu, 01 Jan 1970 00:00:00 GMT', 'X-Pad' => 'p',
           'X-Accel-Expires' => '1', 'Cache-Control' => 'private',
           'Content-Type' => 'application/json; charset=utf-8',
           Expires => 'Thu, 01 Jan 1970 00:00:01 GMT',
           'Last-Modified' => 'Thu, 01 Jan 1970 00:00:02 GMT',
           ETag => 'W/"e"', 'X-Underscore_y' => 'u', 'X-Last' => 'z');
});

my $r = same('GET', sub { get('GET /api/tags') });

is($r->{body}, 'abc');
is($r->{head} =~ s/^Server: \K\S+/nginx/mr, <<END);
HTTP/1.1 200 OK
Server: nginx
Date: now
Content-Type: application/json; charset=utf-8
Content-Length: 3
Connection: close
Zebra: 1
Set-Cookie: a=1
X-A: one
set-cookie: b=2
X-a: two
Link: <a>
Vary: x
Cache-Control: no-store
Link: <b>
Vary: Accept
X-Empty:@{[' ']}
X-Powered-By: Go
Cache-Control: private
Expires: Thu, 01 Jan 1970 00:00:01 GMT
Last-Modified: Thu, 01 Jan 1970 00:00:02 GMT
ETag: W/"e"
X-Underscore_y: u
X-Last: z
END

is(join(' ', served()), '127.0.0.1:' . peer_port(0), 'who answered');

same('HTTP/1.0', sub { get('GET /api/tags', undef, -version => '1.0') });
same('kept', sub {
    my $c = here(); my @r;
    push @r, seen($c->request('GET /api/tags')->reply) for 1 .. 3;
    return \@r;
});
like(same('with an Origin', sub {
    get('GET /api/tags', undef, Referer => 'http://localhost/')
})->{head}, qr/200/);



=== directives about the header of a reply
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_hide_header X-Hide;
            proxy_pass_header Server;
            proxy_pass_header Date;
            proxy_redirect http://there/ /here/;
            proxy_cookie_domain there here;
            proxy_cookie_path / /p/;
            proxy_ignore_headers X-Accel-Buffering;
            add_header X-Added "$upstream_http_x_hide;$sent_http_x_b" always;
            expires 1h;
        }
--- test
say(sub {
    answer('abc', 'X-Hide' => 1, 'X-B' => 'b', Server => 'theirs',
           Location => 'http://there/x', 'X-hide' => '2',
           'Set-Cookie' => 'a=1; domain=there; path=/')
    =~ s/200 OK/201 Well Made/r;
});

my $r = same('hidden, passed and rewritten', sub { get('GET /api/tags') });

like($r->{head}, qr/^HTTP\/1\.1 201 Well Made\n/);
like($r->{head}, qr/^Server: theirs\n/m);
unlike($r->{head}, qr/^X-Hide/mi);
like($r->{head}, qr{^Location: (?:http://localhost:port)?/here/x\n}m);
like($r->{head}, qr/^Set-Cookie: a=1; domain=here; path=\/p\/\n/m);
like($r->{head}, qr/^X-Added: 1.*;b\n/m);
like($r->{head}, qr/^Cache-Control: max-age=3600\n/m);



=== the header of a request
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
        }

        location /api/ps {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.0;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Nothing "";
            proxy_set_header User-Agent "";
            proxy_set_header X-Up "$args|$http_x_multi|$request_uri";
        }
--- test
my $asked = sub {
    my ($line, $body, @rest) = @_;

    get($line, $body, @rest);
    return [ map { [ $_->{line}, $_->{head} =~ s/u_\w+/u/r, $_->{body},
                     $_->{peer} ] } asked() ];
};

my @headers = ('User-Agent' => 'test', 'X-Multi' => [ 'a', 'b' ],
               Cookie => [ 'a=1', 'b=2' ], Authorization => 'Basic eDp5',
               'X-multi' => 'c', TE => 'trailers', Upgrade => 'h2c',
               Accept => '*/*', 'Accept-Encoding' => 'gzip',
               'X-Forwarded-For' => '1.2.3.4', Expect => '',
               'Keep-Alive' => 'timeout=5', 'X-Empty' => '');

say(sub { answer($_[0]{body} ? '{"done":true}' : '{}',
                 'Content-Type' => 'application/json') });

my $got = same('defaults', sub { $asked->('GET /api/tags?a=%20b&c', undef,
                                          @headers) })->[0];

# with nginx 1.29.7 keepalive became the default
my ($version, $close) = $ENV{TEST_NGINX_VERSION_NUM} >= 1_029_007
                        ? ('1.1', '') : ('1.0', "Connection: close\n");

is($got->[0], "GET /api/tags?a=%20b&c HTTP/$version");
is($got->[1] =~ s/\r//gr, <<END);
Host: u
${close}User-Agent: test
X-Multi: a
X-Multi: b
Cookie: a=1
Cookie: b=2
Authorization: Basic eDp5
X-multi: c
Accept: */*
Accept-Encoding: gzip
X-Forwarded-For: 1.2.3.4
X-Empty:@{[" "]}
END
is(same('by HTTP/1.0', sub { $asked->('GET /api/ps', undef, @headers) })
   ->[0][0], 'GET /api/ps HTTP/1.0');
same('set', sub { $asked->('GET /v1/models?a=1', undef, @headers) });
same('with a body', sub { $asked->('POST /api/chat', $::chat, @headers) });
same('and in chunks', sub { $asked->('POST /api/chat', $::chat, @headers,
                                     -chunked => 7) });
same('set, with a body',
     sub { $asked->('POST /v1/embeddings', $::chat, @headers) });
same('HEAD', sub { $asked->('HEAD /api/tags', undef, @headers) });
same('a GET with a body', sub { $asked->('GET /api/tags', 'some') });
same('HTTP/1.0', sub { $asked->('GET /api/tags', undef, -version => '1.0') });



=== with ollama_api a length may become chunks, nothing else changes
--- plain eval: $::plain
--- test
my $reply = '{"model":"m1","done":true}';
my @headers = ('Content-Type' => 'application/json', 'X-A' => 1, 'X-a' => 2,
               'Set-Cookie' => 'a', ETag => '"e"');

for my $status ('200 OK', '201 Created', '404 Not Found', '500 Oops',
                '418 I am a teapot', '503 Busy')
{
    say(sub { answer($reply, @headers) =~ s/200 OK/$status/r });

    my $r = same("status $status", sub {
        my $r = get('POST /api/chat', $::chat);

        if (variant() eq 'on' && $status =~ /^200/) {
            # the one place where it differs
            $r->{head} =~ s/^Transfer-Encoding: chunked\n//m
                or die "not chunked: $r->{head}";
            $r->{head} =~ s/^Connection/Content-Length: 26\nConnection/m;
        }

        return $r;
    });

    like($r->{head}, qr/^HTTP\/1\.1 $status\n/);
    is($r->{body}, $reply);
}

say(sub { answer("5\r\n{\"don\r\n8\r\ne\":true}\r\n0\r\n\r\n", @headers,
                 'Transfer-Encoding' => 'chunked') });
is(same('chunks', sub { get('POST /api/chat', $::chat) })->{body},
   '{"done":true}');

say(sub { answer("{\"done\":true}\n", 'Transfer-Encoding' => 'identity')
          =~ s/Transfer-Enc.*\r\n//r, \'close' });
is(same('until the end', sub { get('POST /api/chat', $::chat) })->{body},
   "{\"done\":true}\n");

say(sub { answer('not followed', 'Content-Encoding' => 'x') });
is(same('encoded', sub { get('POST /api/chat', $::chat) })->{body},
   'not followed');

say(sub { "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n" });
is(same('204', sub { get('POST /api/chat', $::chat) })->{body}, '');



=== HEAD, empty bodies, 304, and a wrong Content-Length
--- plain eval: $::plain
--- test
say(sub { answer('', 'Content-Length' => 1234, ETag => '"e"') });

my $r = same('HEAD', sub { get('HEAD /api/tags') });

is($r->{body}, '');
like($r->{head}, qr/^Content-Length: 1234\n/m);

same('HEAD, kept', sub {
    my $c = here();
    return [ map { seen($c->request('HEAD /api/version')->reply) } 1 .. 3 ];
});

say(sub { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" });
same('HEAD of a reply in chunks', sub { get('HEAD /api/tags') });

say(sub { answer('') });
is(same('no body', sub { get('GET /api/tags') })->{body}, '');

say(sub { "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nX-A: 1\r\n\r\n" });
like(same('304', sub { get('GET /api/tags', undef,
                           'If-None-Match' => '"e"') })->{head},
     qr/^HTTP\/1\.1 304 Not Modified\n(?:.*\n)*ETag: "e"\n/);

say(sub { "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n" });
same('204', sub { get('GET /api/tags') });

say(sub { answer($::body), 'more than that' });
is(same('too much', sub { get('GET /api/tags') })->{body}, $::body);

say(sub { answer($::body, 'Content-Length' => 200), \'close' });
my $short = same('too little', sub { get('GET /api/tags') });
is("$short->{body} $short->{complete}", "$::body 0");
--- error_log
upstream prematurely closed connection



=== ranges and conditions, the server's and nginx's own
--- plain
        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_force_ranges on;
        }

        location /v1/ {
            @OLLAMA@
            proxy_pass http://u_@V@;
        }
--- test
my @tags = (ETag => '"e"', 'Last-Modified' => 'Thu, 01 Jan 1970 00:00:02 GMT');

say(sub { answer($::body, @tags) });

for my $uri ('/api/tags', '/v1/models') {
    for my $h ([ Range => 'bytes=10-19' ], [ Range => 'bytes=-5' ],
               [ Range => 'bytes=95-' ], [ Range => 'bytes=200-' ],
               [ Range => 'bytes=x' ], [ Range => 'bytes=0-1', 'If-Range',
                                         '"e"' ],
               [ Range => 'bytes=0-1', 'If-Range' => '"f"' ],
               [ 'If-None-Match' => '"e"' ], [ 'If-None-Match' => '"f"' ],
               [ 'If-Modified-Since' => 'Thu, 01 Jan 1970 00:00:02 GMT' ])
    {
        my $r = same("$uri @$h", sub {
            my $r = get("GET $uri", undef, @$h);

            # nginx's own page, which is JSON where ollama_api is on
            if ($r->{head} =~ / 416 /) {
                $r->{head} =~ s/^Content-(?:Type|Length): .*\n//mg;
                delete $r->{body};
            }

            return $r;
        });

        is($r->{body}, substr $::body, 10, 10) if $h->[1] eq 'bytes=10-19'
                                                  && $uri eq '/api/tags';
        is($r->{body}, $::body) if $h->[1] eq '"f"' || $uri eq '/v1/models';
    }
}

same('several ranges', sub {
    my $r = get('GET /api/tags', undef, Range => 'bytes=0-1,5-7');
    $r->{head} =~ s/boundary=\K\d+//;
    $r->{body} =~ s/^--\d+/--/mg;
    return $r;
});

say(sub { answer('ghi', 'Content-Range' => 'bytes 6-8/100')
          =~ s/200 OK/206 Partial Content/r });
like(same('206 from the server', sub { get('GET /v1/models', undef,
                                           Range => 'bytes=6-8') })->{head},
     qr/^HTTP\/1\.1 206 .*^Content-Range: bytes 6-8\/100\n/ms);

say(sub { answer('', 'Content-Range' => 'bytes */100')
          =~ s/200 OK/416 Range Not Satisfiable/r });
same('416 from the server', sub { get('GET /v1/models', undef,
                                      Range => 'bytes=600-') });



=== error pages and internal redirects
--- plain
        error_page 502 /sorry;
        location = /sorry { return 200 "sorry $request_uri"; }

        location / {
            @OLLAMA@
            proxy_pass http://u_@V@;
            proxy_intercept_errors on;
            error_page 404 =410 /gone;
            error_page 503 @other;
            error_page 418 https://elsewhere/;
        }

        location = /gone { internal; return 200 "gone $uri $args"; }
        location @other { proxy_pass http://u_@V@; }
        location /idle/ { proxy_pass http://u_@V@; }
        location /inside/ { internal; return 200 "inside $uri"; }
        location /dead/ { proxy_pass http://127.0.0.1:@NOBODY@; }
--- test
my %status = ('/api/tags' => '404 No', '/api/ps' => '503 No',
              '/api/version' => '418 No', '/v1/models' => '500 No');

say(sub {
    my ($path) = $_[0]{line} =~ / (\S+?)[? ]/;
    my $status = delete $status{$path} // '200 OK';

    return answer('theirs', $path eq '/idle/x' ? ('X-Accel-Redirect',
                                                  '/inside/y?a=b') : ())
           =~ s/200 OK/$status/r;
});

my %saved = %status;
my %want = ('/api/tags' => 'gone /gone ', '/api/ps' => 'theirs',
            '/api/version' => undef, '/v1/models' => 'theirs');

for my $uri (sort keys %saved) {
    my $r = same($uri, sub { %status = %saved;
                             my $r = get("GET $uri?a=1");
                             $r->{asked} = [ map { $_->{line} } asked() ];
                             return $r });

    is($r->{body}, $want{$uri}) if defined $want{$uri};
}

is(same('X-Accel-Redirect', sub { get('GET /idle/x') })->{body},
   'inside /inside/y');
like(same('internal', sub { get('GET /inside/x') }, only => 'idle')->{head},
     qr/^HTTP\/1\.1 (404|200) /);
like(same('a dead server', sub { get('GET /dead/x') })->{body}, qr/sorry/);
--- error_log
connect() failed (111: Connection refused)



=== access, methods and limits of other locations
--- plain
        satisfy any;
        auth_basic "here";
        auth_basic_user_file /dev/null;
        allow 127.0.0.2;
        deny all;

        location / {
            allow 127.0.0.1;
            @OLLAMA@
            proxy_pass http://u_@V@;
        }
        location /idle/all { satisfy all; proxy_pass http://u_@V@; }
        location /idle/any { proxy_pass http://u_@V@; }
        location /idle/get { allow all; limit_except GET { deny all; }
                             proxy_pass http://u_@V@; }
        location /idle/small { allow all; client_max_body_size 3;
                               proxy_pass http://u_@V@; }
        location /idle/return { return 404; }
        location /idle/not { allow all; proxy_pass http://u_@V@;
                             proxy_method PUT; }
--- test
say(sub { answer('in') });

my %want = ('GET /api/tags' => 200, 'GET /idle/all' => 403,
            'GET /idle/any' => 401, 'GET /idle/get' => 200,
            'POST /idle/small' => 413, 'GET /idle/return' => 404,
            'GET /idle/not' => 200, 'DELETE /idle/not' => 200,
            'OPTIONS /idle/not' => 200, 'TRACE /idle/not' => 405,
            'GET /idle/%' => 400);

for my $line (sort keys %want) {
    like(same($line, sub { get($line, $line =~ /POST/ ? '12345' : undef,
                               Origin => $line =~ /idle/ ? 'http://evil'
                                                         : undef) })
           ->{head}, qr/^HTTP\/1\.1 $want{$line} /);
}
--- error_log
access forbidden by rule
