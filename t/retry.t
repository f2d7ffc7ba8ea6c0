# Guards retries: another server is asked only before the first byte of a reply,
# and gets the whole body; and a body is rewritten once, however often a request
# is redirected to other locations.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server);

use Digest::SHA qw(sha256_hex);

our $chat = '{"model":"m1","messages":[{"role":"user","content":"hi"}]}';


# the first server is always asked first

our $both = <<'END';
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT max_fails=0 backup;
        keepalive 4;
END


# the server that is told each step, and then the first stand-in

our $steps = <<'END';
        server 127.0.0.1:$TEST_NGINX_STEPS_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0 backup;
END


# bodies of about n bytes with fields to cut, and what is left of them

sub bodies {
    my ($n) = @_;

    my $text = join '', map { chr 97 + $_ % 26 } 1 .. $n / 3;
    my $a = '"messages":[{"role":"user","content":"' . $text . '"}]';
    my $b = '"x":"' . reverse($text) . '"';
    my $c = '"options":{"seed":1},"y":["' . $text . '"]';

    my $left = "{\"model\":\"m1\",$a,$b,$c}";

    return ([ $left, $left ],
            [ "{\"task_id\":\"t\",\"model\":\"m1\",\"keep_alive\":1,$a,"
              . "\"session_id\":\"\",$b,\"keep_alive\":{\"a\":1},"
              . '"options":{"num_ctx":1,"seed":1,"num_ctx":2},"y":["' . $text
              . '"],"task_id":"u"}', $left ]);
}


sub last_of {
    my ($fake, $n) = @_;

    return fake_requests(fake => $fake, wait_ended => $n, last => 1)
           ->{requests}[0];
}


sub is_sent {
    my ($got, $left, $title) = @_;

    is("$got->{body_sha256} $got->{headers}{'content-length'}",
       sha256_hex($left) . ' ' . length $left, $title);
}


run_tests();

__DATA__

=== a server is busy, lacks the model or dies: the next one is asked
--- upstream eval: $::both
--- config eval: $::h2
--- test
my $n = 0;

for my $set ({ status => 502 }, { status => 503 }, { status => 504 },
             { status => 404 }, { fault => 'die_before_header',
                                  status => undef })
{
    fake_set(model => 'm1', %$set);

    for my $c (client(), h2()) {
        is($c->request('POST /api/chat', $::chat)->reply->status, 200);
        is_sent(last_of(2, ++$n), $::chat, 'the other one has it all');
        $c->close;
    }
}

is(fake_requests()->{requests}[0]{body}, $::chat);
is(scalar(grep { !/outcome=ok/ } access_log()), 0);
--- error_log
upstream prematurely closed connection



=== a server that can't be connected to: the next one is asked
--- upstream eval: $::both
--- fake
{"model":"m1","fault":"refuse"}
--- asked2
POST /api/chat
POST /v1/chat/completions
--- test
is(http('POST /api/chat', $::chat)->status, 200);
is(http('POST /v1/chat/completions', $::chat)->status, 200);
like(access_log(qr{/api/chat}), qr/ upstream_status=502, 200 /);
--- error_log
connect() failed (111: Connection refused)



=== an error about the request itself goes to the client, not to a retry
--- upstream eval: $::both
--- asked2
nothing
--- test
for my $status (400, 429, 500) {
    fake_set(model => 'm1', status => $status, error => "fake $status");

    my $r = http('POST /api/chat', $::chat);

    is($r->status, $status);
    is($r->body, "{\"error\":\"fake $status\"}");
}



=== no other server is asked after the first byte
--- upstream eval: $::both
--- params
proxy_read_timeout 200ms;
--- asked2
nothing
--- test
for my $fault (qw(die reset die_mid_frame garbage bad_chunk stall)) {
    for my $after (0, 1) {
        next if $after == 0 && $fault eq 'bad_chunk';

        fake_set(model => 'm1', fault => $fault, after => $after);

        my $r = http('POST /api/chat', $::chat);

        is($r->status, 200, "$fault after $after");
        ok(!$r->complete);
        like($r->body, qr/\{"error":"server [^\n]*"\}\n\z/);
    }
}
--- error_log
ollama server



=== a body in memory or in a file is sent again whole
--- upstream eval: $::both
--- params
client_body_buffer_size 64k;
proxy_read_timeout 20s;
--- ollama
        ollama_forbid keep_alive options.num_ctx;
--- test
my ($n, $c) = (0, client(timeout => 20));

for my $set ({ status => 503 },
             { status => undef, fault => 'die_before_header' })
{
    fake_set(model => 'm1', %$set);

    for my $size (100, 5000, 60_000, 70_000, 1_000_000, 6_000_000) {
        for my $body (bodies($size)) {
            my ($sent, $left) = @$body;

            is($c->request('POST /api/chat', $sent)->reply->status, 200);
            ++$n;
            is_sent(last_of(1, $n), $left, "$size: to the first one")
                if $set->{status};
            is_sent(last_of(2, $n), $left, "$size: to the other one");
        }
    }
}
--- error_log
upstream prematurely closed connection



=== a body is sent again whole, by any framing and HTTP version
--- upstream eval: $::both
--- config eval
'$TEST_NGINX_H2_LISTEN '
. Test::Nginx::Ollama::location('/api/', 'ollama_forbid keep_alive '
                                         . "options.num_ctx;\n")
--- params
client_body_buffer_size 16k;
--- fake
{"model":"m1","status":503}
--- test
my $n = 0;

for my $size (300, 20_000, 300_000) {
    for my $body (bodies($size)) {
        my ($sent, $left) = @$body;

        my $c = client();
        is($c->request('POST /api/chat', $sent, -chunked => [7, 3000, 65_536])
             ->reply->status, 200);
        is_sent(last_of(1, ++$n), $left, "$size, chunks");
        is_sent(last_of(2, $n), $left, 'again');
        $c->close;

        for my $length (length $sent, undef) {
            $c = h2();
            is($c->request('POST /api/chat', $sent,
                           'content-length' => $length)->reply->status, 200);
            is_sent(last_of(1, ++$n), $left, "$size, HTTP/2");
            is_sent(last_of(2, $n), $left, 'again');
            $c->close;
        }
    }
}



=== a server dies with half of the body: the next one gets all of it
--- upstream eval: $::steps
--- ollama
        ollama_forbid keep_alive options.num_ctx;
--- params
client_body_buffer_size 64k;
--- test
my $n = 0;

for my $size (50_000, 3_000_000) {
    for my $body (bodies($size)) {
        my ($sent, $left) = @$body;

        my $c = client();
        $c->request('POST /api/chat', $sent);

        $::server->accept_half(20_000)->close;

        is($c->reply->status, 200);
        is_sent(last_of(1, ++$n), $left, "$size: from its start");
        $c->close;
    }
}
--- error_log eval
qr/\[error\] .*(?:prematurely closed|reset by peer|Broken pipe)/



=== the number of tries is limited
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT max_fails=0 backup;
--- fake
{"model":"m1","status":503}
--- asked
POST /api/chat
POST /api/chat
POST /api/chat
--- asked2
nothing
--- test
my $r = http('POST /api/chat', $::chat);

is($r->status, 503);
is($r->body, '{"error":"server busy, please try again.  maximum pending '
             . 'requests exceeded"}');
like(access_log(qr/chat/),
     qr/ outcome=error .* upstream_status=503, 503, 503 /);



=== all servers fail: 502
--- upstream eval: $::both
--- fake
{"model":"m1","fault":"die_before_header"}
--- fake2
{"model":"m1","fault":"refuse"}
--- test
my $r = http('POST /api/chat', $::chat);

is($r->status, 502);
like($r->body, qr/\A\{"error":"[^"]+"\}\z/);
ok(access_log(qr/ outcome=error /));
--- error_log
upstream prematurely closed connection
connect() failed



=== a request whose client has left is not retried
--- upstream eval: $::both
--- fake
{"model":"m1","fault":"hang"}
--- asked2
nothing
--- test
my $c = client();
$c->request('POST /api/chat', $::chat);
fake_requests(wait_count => 1);
$c->close;
fake_requests(wait_ended => 1, wait_open => 0);
ok(access_log(qr/outcome=client_closed/));



=== try_files to a named location: the body is rewritten once
--- params
client_body_buffer_size 16k;
--- config
    location / {
        include ollama_params;
        ollama_forbid keep_alive options.num_ctx;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            try_files /nothing @there;
        }

        location /v1/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            try_files /nothing @there;
        }
    }

    location @there {
        include ollama_params;
        ollama_api ollama;
        ollama_forbid keep_alive options.num_ctx;
        proxy_pass http://ollama;
    }
--- test
my ($n, $c) = (0, client());

for my $size (300, 500_000) {
    for my $body (bodies($size)) {
        my ($sent, $left) = @$body;

        for my $uri (qw(/api/chat /v1/chat/completions)) {
            my $r = $c->request("POST $uri", $sent)->reply;

            is($r->status, 200);
            is($r->end, 'complete');
            is($r->header('X-Ollama-Removed'),
               $sent eq $left ? undef : 'keep_alive, options.num_ctx');

            # fields of ours are the client's own under /v1
            my $expected = $sent eq $left || $uri !~ /v1/
                           ? $left
                           : $left =~ s/\{/{"task_id":"t",/r
                                   =~ s/("x":)/"session_id":"",$1/r
                                   =~ s/\}\z/,"task_id":"u"}/r;

            my $got = last_of(1, ++$n);
            is_sent($got, $expected, "$uri, $size");
            is($got->{uri}, $uri);
        }
    }
}

is(scalar(grep { !/ model=m1 .* outcome=ok / } access_log()), 0);



=== try_files to another prefix: the body is rewritten once
--- params
client_body_buffer_size 16k;
--- config
    location / {
        include ollama_params;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            try_files /nothing /again$uri;
        }

        location /again/ {
            internal;
            ollama_api ollama prefix=/again;
            proxy_pass http://ollama;
        }
    }
--- test
my ($n, $c) = (0, client());

for my $pad (10, 50_000) {
    my $left = '{"model":"m1","x":"' . 'x' x $pad . '"}';
    (my $sent = $left) =~ s/\{/{"task_id":"a",/;

    is($c->request('POST /api/chat', $sent)->reply->status, 200);

    my $got = last_of(1, ++$n);
    is_sent($got, $left, "$pad bytes");
    is($got->{uri}, '/api/chat');
}



=== error_page to another upstream: the body is sent whole
--- params
client_body_buffer_size 16k;
--- http_config
    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT max_fails=0;
    }
--- config
    location / {
        include ollama_params;
        ollama_forbid keep_alive options.num_ctx;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            proxy_intercept_errors on;
            error_page 502 503 = @second;
        }
    }

    location @second {
        include ollama_params;
        ollama_api second;
        ollama_forbid keep_alive options.num_ctx;
        proxy_pass http://second;
    }
--- test
my ($n, $c) = (0, client());

for my $set ({ status => 503 },
             { status => undef, fault => 'die_before_header' })
{
    fake_set(model => 'm1', %$set);

    for my $size (300, 500_000) {
        for my $body (bodies($size)) {
            my ($sent, $left) = @$body;

            my $r = $c->request('POST /api/chat', $sent)->reply;

            is($r->status, 200);
            is($r->end, 'complete');
            like($r->body, qr/"done":true/);
            is_sent(last_of(2, ++$n), $left, "$size: to the second");
            is($r->header('X-Ollama-Server'),
               '127.0.0.1:' . fake_port(2));
        }
    }
}

# and what is cut there is told, too
fake_set(fake => 2, model => 'm1', fault => 'die', after => 2);

my $r = http('POST /api/chat', $::chat);

ok(!$r->complete);
like($r->body, qr/"w1 "[^\n]*\n\{"error":"server [^\n]*"\}\n\z/);
ok(access_log(qr/outcome=interrupted .* generated=~2 /));
--- error_log
upstream prematurely closed connection



=== a mirror gets the body that the server gets
--- params
client_body_buffer_size 16k;
--- config
    location / {
        include ollama_params;
        ollama_forbid keep_alive options.num_ctx;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            mirror /mirror;
        }

        location = /mirror {
            internal;
            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE2_PORT$request_uri;
        }
    }
--- test
my $n = 0;

for my $size (300, 500_000) {
    for my $body (bodies($size)) {
        my ($sent, $left) = @$body;

        my $r = http('POST /api/chat', $sent);

        is($r->status, 200);
        ok($r->complete);
        like($r->body, qr/"done":true/);
        is_sent(last_of(1, ++$n), $left, "$size: the server");
        is_sent(last_of(2, $n), $left, "$size: the mirror");
    }
}



=== auth_request in front: the body is sent whole
--- config
    location / {
        include ollama_params;

        location /api/ {
            auth_request /auth;
            ollama_api ollama;
            proxy_pass http://ollama;
        }

        location /v1/ {
            auth_request /auth;
            ollama_api ollama;
            proxy_pass http://ollama;
        }

        location = /auth {
            internal;
            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE2_PORT/api/version;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Host $http_x_host;
        }
    }
--- test
my $c = client();

# the stand-in answers 403 to a host that isn't local
my $r = $c->request('POST /api/chat', $::chat, 'X-Host' => 'evil.example')
          ->reply;
is($r->status, 403);
like($r->body, qr/\A\{"error":"[^"]+"\}\z/);

$r = $c->request('POST /v1/chat/completions', $::chat,
                 'X-Host' => 'evil.example')->reply;
is($r->status, 403);
like($r->body, qr/\A\{"error":\{"message":"[^"]+",/);
is(fake_requests()->{count}, 0);

my $n = 0;

for my $body (bodies(300), bodies(300_000)) {
    my ($sent) = @$body;
    (my $left = $sent) =~ s/"task_id":"t",|,"task_id":"u"//g;
    $left =~ s/"session_id":"",//;

    is($c->request('POST /api/chat', $sent, 'X-Host' => 'localhost')
         ->reply->status, 200);
    is_sent(last_of(1, ++$n), $left, 'let through');
}



=== limit_req in front: refused requests reach no server
--- http_config
    limit_req_zone $http_x_user zone=users:1m rate=1r/m;
--- ollama
        limit_req zone=users;
        limit_req_status 429;
--- asked
POST /api/chat
POST /api/chat
--- test
my $c = client();

is($c->request('POST /api/chat', $::chat, 'X-User' => 'a')->reply->status,
   200);

my $r = $c->request('POST /api/chat', $::chat, 'X-User' => 'a')->reply;

is($r->status, 429);
is($r->header('Content-Type'), 'application/json; charset=utf-8');
like($r->body, qr/\A\{"error":"[^"]+"\}\z/);
is($r->end, 'complete');

$r = $c->request('POST /v1/chat/completions', $::chat, 'X-User' => 'a')->reply;
is($r->status, 429);
like($r->body, qr/\A\{"error":\{"message":"[^"]+","type":/);

is($c->request('POST /api/chat', $::chat, 'X-User' => 'b')->reply->status,
   200);
ok(access_log(qr/ 429 .* outcome=rejected /));
--- error_log
limiting requests
