# Guards the promise that whatever goes wrong before a reply begins reaches the
# client with its true status, as JSON in the form of its path; that an
# administrator's error_page wins; and that a server's own errors stay as they
# are.

use Test::Nginx::Ollama;

our $chat = { model => 'm1',
             messages => [ { role => 'user', content => 'a' } ] };

our %type = (400 => 'invalid_request_error', 404 => 'not_found_error');


# Checks a reply in one of the two forms.

sub is_error {
    my ($r, $status, $form, $text, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($r->status, $status, "$name: status");
    is_deeply([$r->headers('Content-Type')],
              ['application/json; charset=utf-8'], "$name: type");
    is($r->header('Content-Length'), length $r->body, "$name: length");

    my $json = eval { $r->json } || $r->body;
    my $error = ref $json ? $json->{error} : undef;

    if ($form eq 'v1') {
        is_deeply($json, { error => {
            message => ref $error ? $error->{message} : undef,
            type => $type{$status} || 'api_error', param => undef,
            code => undef } }, "$name: OpenAI's form");
        $error = ref $error ? $error->{message} : undef;

    } else {
        is_deeply($json, { error => $error }, "$name: Ollama's form");
    }

    like($error, $text, "$name: text");
}


# Checks a refusal of Anthropic's interface.

our %claude = (400 => 'invalid_request_error', 401 => 'authentication_error',
               403 => 'permission_error', 404 => 'not_found_error',
               413 => 'request_too_large', 429 => 'rate_limit_error',
               503 => 'overloaded_error', 504 => 'timeout_error',
               529 => 'overloaded_error');

sub is_claude {
    my ($r, $status, $text, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($r->status, $status, "$name: status");
    is_deeply([$r->headers('Content-Type')],
              ['application/json; charset=utf-8'], "$name: type");
    is($r->header('Content-Length'), length $r->body, "$name: length");

    my $json = eval { $r->json } || {};
    my $error = ref $json->{error} ? $json->{error} : {};
    my $id = delete $json->{request_id};

    like($id, qr/\Areq_[0-9a-f]{32}\z/, "$name: an id");
    is_deeply($json, { type => 'error', error => {
        type => $claude{$status} || 'api_error',
        message => $error->{message} } }, "$name: Anthropic's form");
    like($error->{message}, $text, "$name: text");

    return $id;
}


# The same of /api and of /v1, and of Anthropic's part of that.

sub both {
    my ($status, $text, $body, @rest) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_error(http('POST /api/chat', $body, @rest), $status, 'api', $text,
             '/api');
    is_error(http('POST /v1/chat/completions', $body, @rest), $status, 'v1',
             $text, '/v1');
    $body = { %$body, max_tokens => 9 } if ref $body;
    is_claude(http('POST /v1/messages', $body, @rest), $status, $text,
              'messages');
}

run_tests();

__DATA__

=== 413 by the Content-Length
--- params
client_max_body_size 1k;
--- test
main::both(413, qr/^the request body is larger than this gateway allows$/,
           'x' x 1025);
main::both(413, qr/larger/, 'x' x 3_000_000);
main::both(413, qr/larger/, 'x' x 1025, Expect => '100-continue');
--- error_log
[error]
client intended to send too large body
--- asked
nothing



=== 413 when a chunked body gets too large
--- params
client_max_body_size 1k;
--- test
main::both(413, qr/larger/, 'x' x 1025, -chunked => 100);
main::both(413, qr/larger/, 'x' x 500_000, -chunked => 5000);
--- error_log
[error]
client intended to send too large chunked body
--- asked
nothing



=== 502, when the server can't be reached
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- test
main::both(502, qr/^no server could be reached/, $main::chat);
main::is_error(http('GET /api/tags'), 502, 'api', qr/no server/, 'GET');
--- error_log
[error]
connect() failed



=== 502, when the server closes without an answer
--- fake
{"model":"*","fault":"die_before_header"}
--- test
main::both(502, qr/broke off its answer/, $main::chat);
--- error_log
[error]
upstream prematurely closed connection



=== 502, when the server's reply is not HTTP
--- fake
{"model":"*","fault":"bad_header"}
--- test
# nginx alone takes it for a reply of HTTP/0.9, and passes it on as it is
main::both(502, qr/broke off its answer/, $main::chat);
--- error_log
[error]



=== 502, when the server answers 101
--- fake
{"model":"*","status":101,"body":""}
--- test
main::both(502, qr/broke off its answer/, $main::chat);



=== 504, when the server doesn't answer in time
--- params
proxy_read_timeout 150ms;
--- fake
{"model":"*","fault":"hang"}
--- test
main::both(504, qr/^the server did not answer in time$/, $main::chat);
--- error_log
[error]
upstream timed out



=== 403, by deny
--- ollama
        deny all;
--- test
main::both(403, qr/^forbidden$/, $main::chat);
--- error_log
[error]
access forbidden by rule
--- asked
nothing



=== 401 by auth_basic, with WWW-Authenticate
--- ollama
        auth_basic "Our models";
        auth_basic_user_file ../html/users;
--- user_files
>>> users
a:{PLAIN}b
--- test
main::both(401, qr/^authorization required$/, $main::chat);
is(http('POST /api/chat', $main::chat)->header('WWW-Authenticate'),
   'Basic realm="Our models"', 'the question');

main::both(401, qr/^authorization required$/, $main::chat,
           Authorization => 'Basic YTpj');
is(http('POST /api/chat', $main::chat, Authorization => 'Basic YTpi')->status,
   200, 'the right one');
--- error_log
[error]
password mismatch
--- asked
POST /api/chat



=== 429 by limit_req, and 503, its default status
--- http_config
    limit_req_zone $uri zone=one:1m rate=1r/m;
    limit_req_zone $uri zone=two:1m rate=1r/m;
--- config
    location /api/ {
        ollama_api ollama;
        limit_req zone=one;
        limit_req_status 429;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        limit_req zone=two;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http("POST $_", $main::chat)->status, 200, $_)
    for '/api/chat', '/v1/chat/completions';

main::is_error(http('POST /api/chat', $main::chat), 429, 'api',
               qr/^too many requests, please try again later$/, '/api');
main::is_error(http('POST /v1/chat/completions', $main::chat), 503, 'v1',
               qr/^busy, please try again later$/, '/v1');
--- error_log
[error]
limiting requests



=== Anthropic's form has its types by status, and an id that is logged
--- config
    location /v1/ {
        ollama_api ollama;
        add_header X-Request $request_id always;
        proxy_pass http://ollama;
        include ollama_params;

        if ($http_x_status = 401) { return 401; }
        if ($http_x_status = 403) { return 403; }
        if ($http_x_status = 409) { return 409; }
        if ($http_x_status = 413) { return 413; }
        if ($http_x_status = 422) { return 422; }
        if ($http_x_status = 429) { return 429; }
        if ($http_x_status = 500) { return 500; }
        if ($http_x_status = 501) { return 501; }
        if ($http_x_status = 502) { return 502; }
        if ($http_x_status = 503) { return 503; }
        if ($http_x_status = 504) { return 504; }
        if ($http_x_status = 529) { return 529; }
    }

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /llm/v1/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
--- test
wait_status(up => 1);

for my $status (401, 403, 409, 413, 422, 429, 500 .. 504, 529) {
    my $r = http('POST /v1/messages', $main::chat, 'X-Status' => $status);

    is('req_' . $r->header('X-Request'),
       main::is_claude($r, $status, qr/./, $status), "$status: the id");
}

main::is_claude(http('POST /v1/messages', '{'), 400, qr/invalid request body/,
                'no JSON');
main::is_claude(http('POST /v1/messages', { %$main::chat, model => 'nope' }),
                404, qr/^model 'nope' not found$/, 'no such model');
main::is_claude(http('POST /v1/messages', $main::chat,
                     'X-Ollama-Server-Url' => 'http://nowhere'), 404,
                qr/"http:\/\/nowhere"/, 'no such server');
main::is_claude(http('POST /v1/messages', $main::chat,
                     'X-Ollama-Task-Id' => '?'), 400, qr/X-Ollama-Task-Id/,
                'not a name');
main::is_claude(http('POST /v1/messages', $main::chat,
                     Origin => 'http://evil.example'), 403, qr/^origin "/,
                'an origin');
main::is_claude(http('GET /v1/messages'), 405, qr/^method GET/, 'GET');
main::is_claude(http('POST /v1/messages/count_tokens', $main::chat), 404,
                qr/^404 page not found$/, 'below it');
main::is_claude(http('POST /llm/v1/messages', '{'), 400, qr/invalid/,
                'with a prefix');
main::is_error(http('POST /v1/messagesx', '{'), 404, 'v1', qr/not found/,
               'another path');



=== 400 by the module, and the connection stays
--- test
main::both(400, qr/^invalid request body at byte \d+: /, '{');
main::both(400, qr/^invalid request body at byte \d+: /, '{}');
main::both(400, qr/^invalid request body at byte 0: /, '');

my $c = client();

for my $body ('{', '[]', 'x' x 200_000, $main::chat) {
    my $r = $c->request('POST /api/chat', $body)->reply;
    is($r->status, ref $body ? 200 : 400, 'status');
    is($r->end, 'complete', 'all of it');
    is($r->header('Connection'), 'keep-alive', 'the connection stays');
}

$c->close;
--- asked
POST /api/chat



=== 400 by nginx, within the body
--- test
for my $path ('/api/chat', '/v1/chat/completions') {
    my $r = raw("POST $path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
                . "\r\n\r\nzz\r\n");
    main::is_error($r, 400, $path =~ /v1/ ? 'v1' : 'api', qr/^bad request$/,
                   $path);
}
--- error_log
client sent invalid chunked body
--- asked
nothing



=== 408, when the client does not send its body
--- params
client_body_timeout 150ms;
--- test
for my $path ('/api/chat', '/v1/chat/completions') {
    my $r = raw("POST $path HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");

    # nginx closes without a word
    is($r->end, 'eof', $path);
    is($r->raw, '', "$path, no answer");
    like(access_log(qr/ \Q$path\E /), qr/ 408 .* outcome=rejected /,
         "$path, the log");
}
--- asked
nothing



=== 415 for a compressed body
--- test
for my $encoding (qw(deflate br compress x), 'identity,gzip') {
    main::both(415, qr/"\Q$encoding\E"/, 'x' x 10,
               'Content-Encoding' => $encoding);
}

is(http('POST /api/chat', $main::chat, 'Content-Encoding' => $_)->status, 200,
   $_) for qw(identity Identity);
--- asked
POST /api/chat
POST /api/chat



=== an error is valid JSON whatever the client sent
--- test
for my $path ('/api/chat/cancel/%22%5c%0a%0d%09%01%1f%7f',
              '/api/chat/cancel/%ff',
              '/api/chat/cancel/%c3%28', '/api/chat/cancel/%ed%a0%80',
              '/api/chat/cancel/%d0%bf%d1%80', '/api/chat/cancel/<b>\'&',
              '/api/chat/cancel/' . 'a' x 3000,
              '/api/chat/cancel/' . '%22' x 1500,
              '/api/chat/cancel/a' . '%d0%b0' x 1300,
              '/api/chat/cancel/' . '%d0%b0' x 1300)
{
    main::is_error(http("POST $path"), 400, 'api', qr/must be 1 to 64/,
                   substr $path, 0, 40);
}

for my $origin ("http://\"\\", "http://\xff", "http://a\tb", 'x' x 4000) {
    main::is_error(http('GET /v1/models', undef, Origin => $origin), 403, 'v1',
                   qr/^origin "/, 'origin');
}
--- asked
nothing



=== an error to HEAD has the same header and no body
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /denied/ {
        ollama_api ollama;
        deny all;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- test
my %is = ('/api/nope' => 404, '/v1/nope' => 404, '/api/pull' => 403,
          '/api/chat/sessions' => 503, '/api/tags' => 502, '/denied/x' => 403);

for my $path (sort keys %is) {
    my $head = http("HEAD $path");
    my $get = http("GET $path");

    is($head->status, $is{$path}, $path);
    is($head->body, '', "$path has no body");
    is($head->header($_), $get->header($_), "$path, $_")
        for qw(Content-Type Content-Length);
}
--- error_log
[error]



=== errors to an HTTP/1.0 client
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- test
for (['POST /api/chat', '{', 400], ['POST /api/nope', '', 404],
     ['POST /api/chat', $main::chat, 502])
{
    my $r = http($_->[0], $_->[1], -version => '1.0', Connection => undef);
    main::is_error($r, $_->[2], 'api', qr/./, "$_->[2]");
    is($r->end, 'eof', "$_->[2] ends the connection");
    is($r->header('Transfer-Encoding'), undef, "$_->[2] has no chunks");
}
--- error_log
[error]



=== errors to an HTTP/2 client
--- config
    $TEST_NGINX_H2_LISTEN

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- params
client_max_body_size 1k;
proxy_read_timeout 150ms;
--- fake
{"model":"*","fault":"hang"}
--- test
for (['POST /api/chat', '{', 400, 'api'],
     ['POST /v1/completions', '{', 400, 'v1'],
     ['GET /api/nope', undef, 404, 'api'], ['GET /v1/nope', undef, 404, 'v1'],
     ['GET /api/chat', undef, 405, 'api'], ['POST /api/pull', '{}', 403, 'api'],
     ['POST /api/chat', 'x' x 1025, 413, 'api'],
     ['POST /v1/completions', 'x' x 1025, 413, 'v1'],
     ['POST /api/chat', $main::chat, 504, 'api'])
{
    my $r = http2($_->[0], $_->[1]);
    main::is_error($r, $_->[2], $_->[3], qr/./, "$_->[2] for $_->[0]");
    is($r->end, 'complete', "$_->[2] for $_->[0]: the stream is closed well");
}

my $r = http2('HEAD /api/nope');
is($r->status, 404, 'HEAD');
is($r->body, '', 'HEAD has no body');
--- error_log
[error]



=== an administrator's error_page wins over nginx's errors
--- config
    error_page 403 413 502 504 /oops.html;

    location = /oops.html {
        internal;
    }

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        deny all;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- user_files
>>> oops.html
<p>oops</p>
--- params
client_max_body_size 1k;
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- test
for (['/api/chat', $main::chat, 502], ['/api/chat', 'x' x 1025, 413],
     ['/v1/chat/completions', $main::chat, 403])
{
    my $r = http("POST $_->[0]", $_->[1]);
    is($r->status, $_->[2], "$_->[2]: status");
    is($r->body, "<p>oops</p>\n", "$_->[2]: page");
    unlike($r->header('Content-Type'), qr/json/, "$_->[2]: type");
}
--- error_log
[error]



=== an administrator's error_page wins over the module's errors
--- config
    error_page 400 401 403 404 405 415 501 /oops.html;

    location = /oops.html {
        internal;
    }

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        error_page 404 =410 @gone;
        error_page 400 = /status;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location @gone {
        default_type text/plain;
        return 410 "gone\n";
    }

    location = /status {
        internal;
        default_type text/plain;
        return 299 "bad\n";
    }
--- user_files
>>> oops.html
<p>oops</p>
--- test
for (['POST /api/chat', '{', 400], ['GET /api/nope', undef, 404],
     ['POST /api/pull', '{}', 403], ['GET /api/chat', undef, 405],
     ['GET /api/metrics', undef, 501])
{
    my $r = http($_->[0], $_->[1]);
    is($r->status, $_->[2], "$_->[2]: status");
    is($r->body, "<p>oops</p>\n", "$_->[2]: page");
    unlike($r->header('Content-Type'), qr/json/, "$_->[2]: type");
}

is(http('POST /api/chat', '{}', 'Content-Encoding' => 'br')->body,
   "<p>oops</p>\n", 'of a compressed body');
is(http('GET /api/tags', undef, Origin => 'http://evil.example')->body,
   "<p>oops</p>\n", '403 of an origin');
is(http('GET /api/chat')->header('Allow'), 'POST', '405 keeps Allow');

my $r = http('GET /v1/nope');
is($r->status, 410, 'another status');
is($r->body, "gone\n", 'by a named location');

$r = http('POST /v1/completions', '{');
is($r->status, 299, 'the status of where it goes');
is($r->body, "bad\n", 'and its body');
--- asked
nothing



=== error_page with a second location tries another upstream
--- http_config
    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
    }
--- config
    location /api/ {
        ollama_api ollama;
        error_page 502 = @second;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location @second {
        ollama_api second;
        proxy_pass http://second;
        include ollama_params;
    }
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- test
my $body = JSON::PP->new->canonical->encode($main::chat);
my $r = http('POST /api/chat', $body);

is($r->status, 200, 'status');
like($r->body, qr/"done":true/, 'the reply');
is(fake_requests()->{requests}[0]{body}, $body, 'the body came along');
--- error_log
connect() failed
--- asked
POST /api/chat



=== a server's own errors come through as they are
--- test
my %body = (api => '{"error":"model \'x\' not found"}',
            v1 => '{"error":{"message":"x","type":"t","param":null,"code":7}}',
            html => '<h1>no</h1>', empty => '');

for my $status (400, 404, 429, 499, 500, 501, 502, 503, 504) {
    for my $kind (sort keys %body) {
        my $type = $kind eq 'html' ? 'text/html' : 'application/json';

        fake_set(model => '*', status => $status, body => $body{$kind},
                 content_type => $type);

        my $path = $kind eq 'v1' ? '/v1/chat/completions' : '/api/chat';
        my $r = http("POST $path", $main::chat);

        is($r->status, $status, "$status, $kind: status");
        is($r->body, $body{$kind}, "$status, $kind: body");
        is($r->header('Content-Type'), $type, "$status, $kind: type");
    }
}



=== a server's errors have the words of a real Ollama
--- test
my $r = http('POST /api/chat', { model => 'nope', messages => [] });
is($r->status, 404, 'unknown model');
like($r->body, qr/^\{"error":"model 'nope' not found"\}$/, 'its words');

my $busy = 'server busy, please try again.  maximum pending requests exceeded';

fake_set(model => '*', status => 503, error => $busy);
$r = http('POST /api/chat', $main::chat);
is($r->status, 503, 'busy');
is($r->json->{error}, $busy, 'its words');



=== a location without ollama_api has nginx's pages
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /plain {
        return 403;
    }

    location /off/ {
        ollama_api off;
        return 404;
    }
--- test
for ('/plain', '/off/') {
    like(http("GET $_")->header('Content-Type'), qr{^text/html}, "$_: type");
    like(http("GET $_")->body, qr/<html>/, "$_: body");
}



=== charset and add_header apply to errors
--- config
    charset koi8-r;
    charset_types application/json text/plain;
    add_header X-Mine yes always;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my $r = http('GET /api/nope');
main::is_error($r, 404, 'api', qr/^404 page not found$/, 'error');
is($r->header('X-Mine'), 'yes', 'add_header');
