# Guards the promises on managing models: a request goes to the first server
# that is up, or to the one it names, so that what an upload has left is where
# the next request looks for it; and weights of any size are uploaded, without a
# copy on the gateway's disk.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;

use Digest::SHA ();
use JSON::PP ();

our $on = "        ollama_management on;\n";

our %requests = (
    'POST /api/pull' => { model => 'm9' },
    'POST /api/push' => { model => 'm1' },
    'POST /api/create' => { model => 'm8', from => 'm1' },
    'POST /api/copy' => { source => 'm1', destination => 'm7' },
    'DELETE /api/delete' => { model => 'm9' },
);

our %without = (
    'POST /api/me' => undef,
    'POST /api/signout' => undef,
    'HEAD /api/blobs/sha256:0a' => undef,
    'POST /api/blobs/sha256:0a' => 'weights',
    'DELETE /api/user/keys/k1' => undef,
    'GET /api/experimental/x' => undef,
);

sub url { return 'http://127.0.0.1:' . fake_port($_[0]) }

# the request that uploads this

sub upload {
    my ($blob) = @_;
    return 'POST /api/blobs/sha256:' . Digest::SHA::sha256_hex($blob);
}


sub asked {
    return join ' ', map { fake_requests(fake => $_)->{count} } 1 .. 3;
}


# all of them, as "server server ..."

sub where {
    my ($more, @headers) = @_;

    return servers_of(
        map({ http($_, { %{ $requests{$_} }, %$more }, @headers) }
            sort keys %requests),
        map({ http($_, $without{$_}, @headers) } sort keys %without));
}

run_tests();

__DATA__

=== managing requests go to the first server that is up
--- upstream eval: main::servers_with($::often, '', 'weight=9', '')
--- ollama eval: $::on
--- fake
{"model":"m1","ttft_ms":0}
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2, 3);

is(main::where({}), join(' ', (1) x 11), 'the first');
is(main::where({}), join(' ', (1) x 11), 'always');

# however busy it is
my @held = hold(3, 'm1');
fake_set(fake => 1, model => 'm1', fault => 'stall', after => 1);
push @held, map {
    my $c = client(timeout => 20);
    $c->request('POST /api/chat', { model => 'm1', @say,
                                    server_url => main::url(1) });
    $c->read_until(qr/"w0 "/);
    $c
} 1 .. 3;
is(main::where({}), join(' ', (1) x 11), 'the busiest, too');
$_->close for @held;

fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);
is(main::where({}), join(' ', (2) x 11), 'the next one');

fake_set(fake => 2, server => { listen => JSON::PP::false });
wait_status(down => 2);
is(main::where({}), join(' ', (3) x 11), 'and the next');

fake_set(fake => 3, server => { listen => JSON::PP::false });
wait_status(down => 3);
my $r = http('POST /api/pull', { model => 'm9' });
is($r->status, 503, 'none is up');
like($r->body, qr/no server is up/);
ok($r->header('Retry-After'));



=== a server that can't be reached is followed by the next one
--- upstream eval: main::servers_with($::once, '', '', '')
--- ollama eval: $::on
--- test
wait_status(up => 1, 2, 3);

fake_set(fake => 1, server => { listen => JSON::PP::false });
is(servers_of(http('POST /api/pull', { model => 'm9' })), 2);
is(servers_of(http('POST /api/blobs/sha256:0a', 'weights')), 2);
--- error_log
Connection refused



=== what the first server answers is the answer
--- upstream eval: main::servers_with($::once, '', '', '')
--- ollama eval: $::on
--- fake
{"model":"*","status":503}
--- test
wait_status(up => 1, 2, 3);

# to show a model is no management; that is sent to another one
is(http('DELETE /api/delete', { model => 'none' })->status, 404);
is(http('POST /api/copy', { source => 'none', destination => 'x' })->status,
   404);
is(main::asked(), '2 0 0', 'no other is asked');



=== a full server is not passed over
--- upstream eval: main::servers_with($::once, 'max_conns=1', '', '')
--- ollama eval: $::on
--- fake2
{"server":{"models":[]}}
--- fake3
{"server":{"models":[]}}
--- test
wait_status(up => 1, 2, 3);

my ($held) = hold(1, 'm1');
my $r = http('POST /api/pull', { model => 'm9' });
is($r->status, 503);
like($r->body, qr/server busy/);
is(main::asked(), '1 0 0');
$held->close;



=== backup servers are the last ones
--- upstream eval: main::servers_with($::often, 'backup', '', '')
--- ollama eval: $::on
--- test
wait_status(up => 1, 2, 3);

is(main::where({}), join(' ', (2) x 11));
fake_set(fake => $_, server => { listen => JSON::PP::false }) for 2, 3;
wait_status(down => 2, 3);
is(main::where({}), join(' ', (1) x 11));



=== a managing request goes to the server that it names
--- upstream eval: main::servers_with($::often, '', '', '')
--- ollama eval: $::on
--- test
wait_status(up => 1, 2, 3);

for my $n (2, 3) {
    is(servers_of(map { http($_, { %{ $main::requests{$_} },
                                   server_url => main::url($n) . '/v1' }) }
                  sort keys %main::requests), join(' ', ($n) x 5),
       'in the body');
    is(main::where({}, 'X-Ollama-Server-Url' => main::url($n)),
       join(' ', ($n) x 11), 'as a header');
}

is(servers_of(http('POST /api/pull', { model => 'm9',
                                       server_url => main::url(3) },
                   'X-Ollama-Server-Url' => main::url(2))), 3,
   'the body takes precedence');

unlike(join('', map { $_->{body} // '' }
                @{ fake_requests(fake => 3)->{requests} }),
       qr/server_url/, 'it is taken out');

for my $request (sort keys %main::requests) {
    my $r = http($request, { %{ $main::requests{$request} },
                             server_url => 'http://127.0.0.1:1' });
    is($r->status, 404, $request);
    like($r->body, qr/is not a configured server/);
}

is(http('POST /api/blobs/sha256:0a', 'x',
        'X-Ollama-Server-Url' => 'http://127.0.0.1:1')->status, 404);

fake_set(fake => 2, server => { listen => JSON::PP::false });
wait_status(down => 2);
my $r = http('POST /api/pull', { model => 'm9', server_url => main::url(2) });
is($r->status, 503, 'it is down');
is(main::asked() =~ s/ .*//r, 0, 'the first is never asked');



=== a managing request that is no JSON is refused, one without a body passed on
--- ollama eval: $::on
--- test
my $r = http('POST /api/pull', '{"model":');
is($r->status, 400);
like($r->body, qr/invalid request body/);

is(http('POST /api/pull', '{}')->status, 400, "the server's answer");
is(http('POST /api/pull')->status, 400, "the server's answer");
is(scalar fake_asked(), 2);



=== fields that are forbidden in chats are left in managing requests
--- ollama
        ollama_management on;
        ollama_forbid system options.num_ctx;
--- test
my $r = http('POST /api/create', '{"model":"m8","from":"m1","system":"You"}');
is($r->status, 200);
is($r->header('X-Ollama-Removed'), undef);
like(fake_requests()->{requests}[0]{body}, qr/"system":"You"/);



=== weights of any size are uploaded, other bodies are limited
--- ollama eval: $::on
--- params
client_max_body_size 100k;
client_body_buffer_size 16k;
--- test
my $blob = join('', map { chr($_ * 7 % 256) } 0 .. 250) x 20_000;
my $sum = Digest::SHA::sha256_hex($blob);
my $uri = main::upload($blob);

for my $how ([], [-chunked => 50_000], ['Expect' => '100-continue']) {
    my $r = http($uri, $blob, @$how);
    my $asked = fake_requests(wait_ended => 1, last => 1)->{requests}[0];

    like($r->status, qr/^20/, "@$how");
    is($asked->{body_bytes}, length $blob, 'all of it');
    is($asked->{body_sha256}, $sum, 'unchanged');
}

my $c = client();
like($c->request($uri, $blob)->reply->status, qr/^20/);
like($c->request($uri, $blob)->reply->status, qr/^20/, 'the connection stays');
is($c->request('POST /api/pull', { model => 'm9' })->reply->status, 200);

my $count = scalar fake_asked();

for my $how ([], [-chunked => 50_000]) {
    is(http('POST /api/chat', $blob, @$how)->status, 413, "a chat, @$how");
    is(http('POST /api/pull', $blob, @$how)->status, 413, "pull, @$how");
}

is(http('POST /api/show/blobs/x', $blob)->status, 413, 'another path');
is(http('POST /v1/blobs/x', $blob)->status, 413);
is(http('POST /api/blobs/', $blob)->status, 404);
is(http('PUT /api/blobs/x', $blob)->status, 413);
is(scalar fake_asked(), $count, 'no server is asked');
--- error_log
client intended to send too large
--- no_error_log eval: qr/buffered to a temporary file.* "POST .api.blobs/



=== an upload arrives while it is sent
--- ollama eval: $::on
--- test
my $c = client();

$c->send(main::upload('a' x 300_000) . " HTTP/1.1\r\nHost: localhost\r\n"
         . "Content-Length: 300000\r\n\r\n" . 'a' x 200_000);
fake_requests(wait_count => 1);
$c->send('a' x 100_000);
like($c->reply->status, qr/^20/, 'with a length');

$c = client();
$c->send(main::upload('a' x 200_000) . " HTTP/1.1\r\nHost: localhost\r\n"
         . "Transfer-Encoding: chunked\r\n\r\n30d40\r\n" . 'a' x 200_000);
fake_requests(wait_count => 2);
$c->send("\r\n0\r\n\r\n");
like($c->reply->status, qr/^20/, 'in chunks');

is(fake_requests(wait_ended => 2)->{requests}[1]{body_bytes}, 200_000);



=== an upload by HTTP/2
--- config eval: "ollama_management on; $::h2"
--- params
client_max_body_size 100k;
--- test
my $blob = 'abc' x 200_000;
like(http2(main::upload($blob), $blob)->status, qr/^20/);
is(fake_requests(wait_ended => 1)->{requests}[0]{body_bytes}, 600_000);
is(http2('POST /api/pull', $blob)->status, 413);
--- error_log
client intended to send too large



=== an upload below a prefix, and after a rewrite
--- config
    location /llm/ {
        client_max_body_size 1k;
        ollama_api ollama prefix=/llm;
        ollama_management on;
        proxy_pass http://ollama;
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_set_header Host localhost;
    }

    location /x/ {
        client_max_body_size 1k;
        rewrite ^/x/(.*)$ /llm/$1 last;
    }
--- test
my $blob = 'abc' x 100_000;
like(http(main::upload($blob) =~ s{ /}{ /llm/}r, $blob)->status, qr/^20/);
is(http('POST /x/api/blobs/sha256:0a', $blob)->status, 413,
   'the limit of the location that it comes through');
is(http('POST /llm/api/pull', $blob)->status, 413);
is(scalar fake_asked(), 1);
--- error_log
client intended to send too large



=== a rewrite to another path gets around no limit
--- config
    location /api/ {
        client_max_body_size 1k;
        rewrite ^/api/blobs/(.*)$ /api/$1 break;
        ollama_api ollama;
        ollama_management on;
        proxy_pass http://ollama;
        proxy_buffering off;
    }
--- test
for my $path (qw(chat me)) {
    is(http("POST /api/blobs/$path", 'x' x 10_000)->status, 413, $path);
}

is(scalar fake_asked(), 0);
--- error_log
client intended to send too large



=== where managing is off, and elsewhere, the limit is as ever
--- config
    location /api/ {
        client_max_body_size 1k;
        ollama_api ollama;
        proxy_pass http://ollama;
        proxy_buffering off;
    }

    location ~ ^/(none/)?blobs/ {
        client_max_body_size 1k;
        proxy_pass http://ollama;
    }

    location = /in/blobs/x {
        internal;
    }

    location /big/blobs/ {
        proxy_pass http://ollama;
        client_max_body_size 0;
    }
--- test
my $body = "GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n" x 50;

for my $path (qw(/api/blobs/sha256:0a /blobs/x /none/blobs/x)) {
    my $c = client();
    is($c->request("POST $path", $body)->reply->status, 413, $path);

    $c = client();
    isnt($c->request("POST $path", 'x' x 1000)->reply->status, 413);
}

# what ends before the limit is known must not leave the body as a request

for my $path (qw(/in/blobs/x /big/blobs)) {
    my $c = client(timeout => 2);
    $c->request("POST $path", $body);
    my $r = $c->reply;
    like($r->status, qr/^(?:404|301)$/, $path);
    1 while $c->read(time + 2);
    unlike($c->{raw}, qr/version/, 'no other reply');
}

is(scalar grep({ /version/ } fake_asked()), 0);
--- error_log
client intended to send too large



=== a client that leaves during an upload
--- ollama eval: $::on
--- test
my $c = client();
$c->send("POST /api/blobs/sha256:0a HTTP/1.1\r\nHost: localhost\r\n"
         . "Content-Length: 300000\r\n\r\n" . 'a' x 1000);
fake_requests(wait_count => 1);
$c->close;
fake_requests(wait_active => 0);

like(http(main::upload('weights'), 'weights')->status, qr/^20/);
