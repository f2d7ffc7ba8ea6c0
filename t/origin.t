# Guards the promise that only pages that ollama_origins allows may call, on
# every endpoint and before all else, even if a foreign page's own name leads
# here (DNS rebinding).  The server itself must not see the page, as it would
# refuse it.

use Test::Nginx::Ollama;


# The statuses of a request with each of these origins.

sub statuses {
    my ($path, $host, @origins) = @_;

    return { map { $_ => http("GET $path", undef, Host => $host,
                              Origin => $_)->status } @origins };
}

sub all_are {
    my ($status, @origins) = @_;
    return { map { $_ => $status } @origins };
}

run_tests();

__DATA__

=== requests without an Origin are not checked
--- server_name: chat.example
--- test
my $r = http('GET /api/tags');
is($r->status, 200, 'a client that is no browser');
is($r->header('Access-Control-Allow-Origin'), undef, 'nothing for browsers');
is($r->header('Vary'), undef, 'nothing for caches');
is(http('GET /api/tags', undef, Origin => '')->status, 200,
   'an empty line says no page, too');
--- asked
GET /api/tags
GET /api/tags



=== pages of local apps and of this machine are allowed, as by Ollama
--- test
my @origins = qw(http://localhost https://localhost http://localhost:1
                 https://localhost:65535 http://127.0.0.1 http://127.0.0.1:3000
                 https://127.0.0.1:3000 http://0.0.0.0 http://0.0.0.0:8080
                 https://0.0.0.0:1 HTTP://LOCALHOST:3000
                 app://x app://obsidian.md file:// file:///tmp/a.html
                 tauri://localhost vscode-webview://1ab-2c vscode-file://app);

is_deeply(main::statuses('/api/tags', 'localhost', @origins),
          main::all_are(200, @origins), 'statuses');



=== foreign pages are 403, and no server is asked
--- test
my @origins = qw(http://evil.example https://evil.example null
                 http://localhost.evil.example http://localhost@evil.example
                 http://127.0.0.1.evil.example http://127.0.0.1@evil.example
                 http://evil.example:80 http://evil.example/localhost
                 http://evil.example/http://localhost
                 http://localhosts http://xlocalhost http://127.0.0.10
                 http://127.0.0.1:80/ http://localhost:80@evil.example
                 http://10.0.0.1 http:// https:// http localhost localhost:80
                 //localhost xapp://y https://app://x http://file://
                 chrome-extension://abc data:text/html blob:http://localhost
                 * http://* http://*.localhost);

push @origins, 'http://localhost http://evil.example',
     'http://evil.example,http://localhost', 'http://evil.example#localhost';

is_deeply(main::statuses('/api/tags', 'localhost', @origins),
          main::all_are(403, @origins), 'statuses');
--- asked
nothing



=== the refusal names the page and the directive, without CORS headers
--- test
my $r = http('POST /api/chat', '{"model":"m1"}',
             Origin => 'http://evil.example');
is($r->status, 403, 'status');
is($r->header('Content-Type'), 'application/json; charset=utf-8', 'JSON');
is($r->json->{error},
   'origin "http://evil.example" is not allowed to call this server '
   . '(ollama_origins)', 'what it says');
is($r->header($_), undef, $_)
    for qw(Access-Control-Allow-Origin Access-Control-Expose-Headers);

$r = http('POST /v1/completions', '{}', Origin => "http://a\"b\\\xff\x80");
is($r->status, 403, 'an origin that is no text');
like($r->body, qr/^\{"error":\{"message":"origin .*"type":"api_error"/,
     'in the form of /v1');
--- asked
nothing



=== two Origin lines are 403, even if each would be allowed
--- test
for (['http://localhost', 'http://evil.example'],
     ['http://evil.example', 'http://localhost'],
     ['http://localhost', 'http://localhost'])
{
    is(http('GET /api/tags', undef, Origin => $_)->status, 403, "@$_");
}
--- asked
nothing



=== every endpoint is guarded, also those of later versions and unknown ones
--- ollama
        ollama_management on;
--- test
for (qw(/api/tags /api/ps /api/version /v1/models /v1/models/m1
        /api/chat/session/s1 /api/chat/sessions /api/models/servers
        /api/metrics /api/nope /v1/nope /api/chat))
{
    is(http("GET $_", undef, Origin => 'http://evil.example')->status, 403, $_);
}

for (qw(/api/chat /api/generate /api/embed /v1/chat/completions /v1/messages
        /api/chat/cancel/t1 /api/chat/session /api/pull /api/blobs/a))
{
    is(http("POST $_", '{"model":"m1"}', Origin => 'http://evil.example')
       ->status, 403, $_);
}

is(http('DELETE /api/delete', '{"model":"m1"}', Origin => 'null')->status, 403,
   'DELETE');
--- asked
nothing



=== a page of this server itself is allowed where server_name names it
--- server_name: chat.example
--- test
for (['chat.example', 'http://chat.example'],
     ['chat.example', 'https://chat.example'],
     ['chat.example:8080', 'http://chat.example:8080'],
     ['Chat.Example:8080', 'http://chat.example:8080'],
     ['chat.example', 'HTTPS://CHAT.example'],
     ['10.1.2.3:8080', 'http://10.1.2.3:8080'],
     ['[fd00::1]:8080', 'http://[fd00::1]:8080'],
     ['nas.local', 'http://nas.local'],
     ['gateway.internal:81', 'http://gateway.internal:81'])
{
    my $r = http('GET /api/tags', undef, Host => $_->[0], Origin => $_->[1]);
    is($r->status, 200, "$_->[0], $_->[1]");
    is($r->header('Access-Control-Allow-Origin'), undef,
       'a browser needs no permission for its own server');
}

for (['chat.example', 'http://chat.example:8080'],
     ['chat.example:8080', 'http://chat.example'],
     ['chat.example:8080', 'http://chat.example:80800'],
     ['chat.example', 'ftp://chat.example'],
     ['chat.example', 'http://chat.example.evil.example'],
     ['chat.example', 'http://evil.example'],
     ['chat.example', 'http://xchat.example'],
     ['chat.example', 'http://chat.example/'])
{
    is(http('GET /api/tags', undef, Host => $_->[0], Origin => $_->[1])->status,
       403, "$_->[0], $_->[1]");
}



=== a page under a name that is not server_name is 403 (DNS rebinding)
--- server_name: chat.example
--- test
for ('evil.example', 'evil.example:8080', 'chat.example.evil.example',
     'xchat.example', 'localhost.evil.example', 'evil.local.example')
{
    is(http('POST /api/chat', '{"model":"m1"}', Host => $_,
            Origin => "http://$_")->status, 403, $_);
}
--- asked
nothing



=== a request without an Origin comes from no page, whatever its Host
--- server_name: chat.example
--- test
for ('other.example', 'other.example:8080') {
    is(http('GET /api/tags', undef, Host => $_)->status, 200, $_);
}
--- asked
GET /api/tags
GET /api/tags



=== a server without a name, or named _, accepts pages of any name
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;
        server_name _;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            include ollama_params;
        }
    }
--- server_name eval: ''
--- test
for my $port ($ENV{TEST_NGINX_SERVER_PORT}, $ENV{TEST_NGINX_FREE_PORT}) {
    is(http('GET /api/tags', undef, -port => $port, Host => 'chat.example',
            Origin => 'http://chat.example')->status, 200, 'its own page');
    is(http('GET /api/tags', undef, -port => $port, Host => 'chat.example',
            Origin => 'http://evil.example')->status, 403, 'a foreign page');
}



=== wildcards and regexes of server_name count as names
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;
        server_name *.example.org .example.net www.chat.* ~^gw\d+\.test$;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            include ollama_params;
        }
    }
--- test
my %is = (
    'a.example.org' => 200, 'a.b.example.org' => 200, 'example.org' => 403,
    'aexample.org' => 403, 'a.example.org.evil.example' => 403,
    'example.net' => 200, 'a.example.net' => 200, 'aexample.net' => 403,
    'www.chat.example' => 200, 'xwww.chat.example' => 403,
    'gw1.test' => 200, 'gw.test' => 403, 'gw1.test.evil.example' => 403,
);

for (sort keys %is) {
    is(http('GET /api/tags', undef, -port => $ENV{TEST_NGINX_FREE_PORT},
            Host => $_, Origin => "http://$_")->status, $is{$_}, $_);
}



=== ollama_origins allows more pages
--- config
    ollama_origins https://one.example http://app.test:3000;

    location /api/ {
        ollama_api ollama;
        ollama_origins https://*.example.com chrome-extension://*;
        ollama_origins https://one.example http://app.test:3000
                       http://dev.test:*;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my @good = qw(https://one.example https://ONE.example http://app.test:3000
              https://a.example.com https://A.Example.COM
              https://a.b-c.example.com https://x_1.example.com
              chrome-extension://abcdefgh http://dev.test:1
              http://dev.test:65535 http://localhost);

my @bad = qw(https://evil.com/.example.com https://aexample.com
             https://example.com https://.example.com
             https://a.example.com.evil.com https://a.example.com:443
             https://evil.com:443.example.com
             https://evil.com?.example.com https://evil.com\\.example.com
             https://evil.com@.example.com https://evil.com%00.example.com
             https://evil.com%2f.example.com https://evil.com;.example.com
             https://a.example.com/ https://a.example.com/b
             http://a.example.com xhttps://a.example.com
             http://one.example https://one.example:443 https://one.example.
             https://one.example.evil.com https://xone.example
             http://app.test http://app.test:300 http://app.test:30000
             https://app.test:3000 http://app.test:3000/ http://app.test:
             http://dev.test http://dev.test: http://dev.test.evil.com:1
             http://dev.test:1@evil.com http://dev.test:1/evil.com null *
             https://*.example.com);

push @bad, 'https://evil.com#.example.com',
     'https://evil.com,https://a.example.com', 'https://evil.com .example.com',
     "https://evil.com\t.example.com",
     "https://evil.com\xe2\x80\xa4.example.com";

is_deeply(main::statuses('/api/tags', 'localhost', @good),
          main::all_are(200, @good), 'allowed');
is_deeply(main::statuses('/api/tags', 'localhost', @bad),
          main::all_are(403, @bad), 'refused');



=== ollama_origins * allows all pages
--- ollama
        ollama_origins *;
--- test
for ('https://any.example', 'http://any.example:1', 'null', 'x') {
    my $r = http('GET /api/tags', undef, Origin => $_);
    is($r->status, 200, $_);
    is($r->header('Access-Control-Allow-Origin'), $_, "$_ may read");
    is($r->header('Vary'), 'Origin', 'for this origin');
}

is(http('GET /api/tags', undef, Origin => ['http://a', 'http://a'])->status,
   403, 'but not two at once');



=== an allowed page may read the reply and the X- headers
--- config
    ollama_origins https://one.example;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my $r = http('POST /api/chat', { model => 'm1', messages => [] },
             Origin => 'https://one.example');
is($r->status, 200, 'status');
is_deeply([$r->headers('Access-Control-Allow-Origin')], ['https://one.example'],
          'who may read');
is($r->header('Access-Control-Allow-Credentials'), undef, 'no credentials');
is($r->header('Vary'), 'Origin', 'caches are told');
like($r->header('Access-Control-Expose-Headers'), qr/\b\Q$_\E\b/, "$_ is shown")
    for qw(X-Ollama-Task-Id X-Ollama-Session-Id X-Ollama-Server
           X-Ollama-Model X-Ollama-Removed Retry-After);



=== an allowed page may read errors, the gateway's and a server's
--- config
    ollama_origins https://one.example;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /closed/api/ {
        ollama_api ollama prefix=/closed;
        auth_basic Ollama;
        auth_basic_user_file ../html/users;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /denied/api/ {
        ollama_api ollama prefix=/denied;
        deny all;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- params
client_max_body_size 100;
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
--- user_files
>>> users
a:{PLAIN}b
--- test
for (['POST /api/chat', '{', 400], ['GET /api/nope', undef, 404],
     ['POST /api/pull', '{}', 403], ['GET /api/chat', undef, 405],
     ['POST /api/chat/session', '{}', 503],
     ['POST /api/chat', 'x' x 200, 413],
     ['POST /api/chat', '{"model":"nope"}', 404],
     ['GET /closed/api/tags', undef, 401], ['GET /denied/api/tags', undef, 403])
{
    my $r = http($_->[0], $_->[1], Origin => 'https://one.example');
    is($r->status, $_->[2], "$_->[2] for $_->[0]");
    is_deeply([$r->headers('Access-Control-Allow-Origin')],
              ['https://one.example'], "$_->[2] may be read");
}

fake_set(server => { listen => JSON::PP::false });
my $r = http('GET /api/tags', undef, Origin => 'https://one.example');
is($r->status, 502, 'no server');
is($r->header('Access-Control-Allow-Origin'), 'https://one.example',
   '502 may be read');
--- error_log eval
[qr/\[error\].*access forbidden by rule/, qr/\[error\].*connect\(\) failed/]



=== a preflight is answered by the gateway
--- config
    ollama_origins https://one.example;

    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
for my $path ('/api/chat', '/v1/chat/completions', '/api/tags',
              '/api/chat/session/s1', '/api/nope', '/')
{
    my $r = http("OPTIONS $path", undef, Origin => 'https://one.example',
                 'Access-Control-Request-Method' => 'POST',
                 'Access-Control-Request-Headers' => 'content-type,x-foo');

    is($r->status, 204, $path);
    is($r->body, '', "$path has no body");
    is_deeply([$r->headers('Access-Control-Allow-Origin')],
              ['https://one.example'], "$path may be called");
    is($r->header('Access-Control-Allow-Headers'), 'content-type,x-foo',
       'with these header lines');
    like($r->header('Access-Control-Allow-Methods'), qr/\b$_\b/, "by $_")
        for qw(GET POST PATCH DELETE);
    like($r->header('Access-Control-Max-Age'), qr/^\d+$/, 'for some time');
    like($r->header('Vary'), qr/Origin/, 'caches are told');
}

is(http('OPTIONS /api/chat', undef, Origin => 'http://localhost:3000')
   ->header('Access-Control-Allow-Headers'), undef,
   'no header lines if none were asked for');
--- asked
nothing



=== a preflight of a foreign page is 403
--- test
my $r = http('OPTIONS /api/chat', undef, Origin => 'https://evil.example',
             'Access-Control-Request-Method' => 'POST');
is($r->status, 403, 'status');
is($r->header($_), undef, $_)
    for map { "Access-Control-$_" } qw(Allow-Origin Allow-Methods
                                       Allow-Headers Max-Age);
--- asked
nothing



=== a preflight needs no password and counts for no limit
--- http_config
    limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
--- config
    ollama_origins https://one.example;

    location /api/ {
        ollama_api ollama;
        auth_basic Ollama;
        auth_basic_user_file ../html/users;
        limit_req zone=one;
        limit_req_status 429;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- user_files
>>> users
a:{PLAIN}b
--- test
my @password = (Authorization => 'Basic YTpi');

for (1 .. 3) {
    is(http('OPTIONS /api/chat', undef, Origin => 'https://one.example')
       ->status, 204, 'preflight');
    is(http('GET /api/tags', undef, Origin => 'https://evil.example')->status,
       403, 'a foreign page');
    is(http('GET /api/tags', undef, Origin => 'https://evil.example', @password)
       ->status, 403, 'a foreign page with the right password');
}

my @page = (Origin => 'https://one.example');
my $r = http('GET /api/tags', undef, @page, @password);
is($r->status, 200, 'the limit was not touched');
$r = http('GET /api/tags', undef, @page, @password);
is($r->status, 429, 'now it is');
is($r->header('Access-Control-Allow-Origin'), 'https://one.example',
   '429 may be read');
--- error_log eval
qr/\[error\].*limiting requests/
--- asked
GET /api/tags



=== origins are inherited, and replaced as a whole
--- http_config
    ollama_origins https://http.example;

    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            include ollama_params;
        }
    }
--- config
    ollama_origins https://server.example;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /own/api/ {
        ollama_api ollama prefix=/own;
        ollama_origins https://location.example;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my @all = map { "https://$_.example" } qw(http server location);

is_deeply(main::statuses('/api/tags', 'localhost', @all),
          { $all[0] => 403, $all[1] => 200, $all[2] => 403 }, 'of the server');
is_deeply(main::statuses('/own/api/tags', 'localhost', @all),
          { $all[0] => 403, $all[1] => 403, $all[2] => 200 },
          'of the location');
is(http('GET /api/tags', undef, -port => $ENV{TEST_NGINX_FREE_PORT},
        Origin => $all[0])->status, 200, 'of http');
is(main::statuses('/own/api/tags', 'localhost', 'http://localhost:3000')
   ->{'http://localhost:3000'}, 200, 'local apps stay allowed');



=== a server sees no Origin and the Host of a local client
--- config
    ollama_origins https://one.example;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
for my $origin (undef, 'https://one.example', 'app://x') {
    my $r = http('GET /api/tags', undef, Host => 'chat.example:8080',
                 Origin => $origin, Referer => 'https://one.example/page');
    my $headers = fake_requests(last => 1)->{requests}[0]{headers};

    is($r->status, 200, $origin // 'no origin');
    is($headers->{Host} // $headers->{host}, 'localhost',
       'the server sees localhost');
    ok(!(grep { /^(origin|referer)$/i } keys %$headers), 'and no page');
}



=== a server's own CORS headers are removed
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
--- tcp_listen: $TEST_NGINX_FREE_PORT
--- tcp_reply eval
CORE::join "\r\n", 'HTTP/1.1 200 OK', 'Content-Type: application/json',
     'Access-Control-Allow-Origin: *', 'Access-Control-Allow-Credentials: true',
     'Access-Control-Expose-Headers: *', 'Content-Length: 2', '', '{}'
--- config
    ollama_origins https://one.example;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my $r = http('GET /api/version', undef, Origin => 'https://one.example');

is($r->status, 200, 'status');
is($r->header('Access-Control-Allow-Origin'), 'https://one.example',
   'who may read');
is($r->header('Access-Control-Allow-Credentials'), undef, 'no credentials');
unlike($r->header('Access-Control-Expose-Headers'), qr/[*]/,
       'not all header lines');



=== an administrator's own CORS headers do not come twice
--- http_config
    add_header Access-Control-Allow-Origin * always;
    add_header Access-Control-Expose-Headers X-Mine always;
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        add_header access-control-allow-origin https://a.example always;
        add_header Access-Control-Allow-Methods PUT always;
        add_header Access-Control-Allow-Headers X-Mine always;
        add_header Access-Control-Max-Age 1 always;
        add_header Access-Control-Expose-Headers X-Mine always;
        add_header Access-Control-Expose-Headers X-Too always;
        add_header Access-Control-Allow-Credentials true always;
        add_header X-Mine yes always;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /plain {
        return 200 plain;
    }
--- test
my $page = 'http://localhost:3000';
my $our = 'X-Ollama-Task-Id, X-Ollama-Session-Id, X-Ollama-Server, '
          . 'X-Ollama-Model, X-Ollama-Removed, Retry-After';
my $header = sub { [ $_[0]->headers("Access-Control-$_[1]") ] };

for ([ 'POST /api/chat', { model => 'm1', messages => [] }, 200 ],
     [ 'GET /api/nope', undef, 404 ], [ 'GET /v1/models', undef, 200 ],
     [ 'GET /v1/nope', undef, 404 ], [ 'POST /v1/completions', '{', 400 ])
{
    my ($line, $body, $status) = @$_;
    my $r = http($line, $body, Origin => $page);

    is($r->status, $status, "$line: status");
    is_deeply($header->($r, 'Allow-Origin'), [ $page ], "$line: once");
    is_deeply($header->($r, 'Expose-Headers'),
              [ "$our, X-Mine" . ($line =~ /v1/ ? ', X-Too' : '') ],
              "$line: both lists");
    is_deeply($header->($r, 'Allow-Credentials'),
              $line =~ /v1/ ? [ 'true' ] : [], "$line: credentials");

    $r = http($line, $body, Origin => 'http://evil.example');
    is($r->status, 403, "$line: another page");
    is_deeply($header->($r, 'Allow-Origin'), [], "$line: is told nothing");

    $r = http($line, $body);
    is_deeply($header->($r, 'Allow-Origin'),
              [ $line =~ /v1/ ? 'https://a.example' : '*' ], "$line: no page");
}

my $r = http('OPTIONS /v1/models', undef, Origin => $page,
             'Access-Control-Request-Method' => 'POST',
             'Access-Control-Request-Headers' => 'X-A');
is($r->status, 204, 'a preflight');
is_deeply($header->($r, 'Allow-Origin'), [ $page ], 'its origin');
is_deeply($header->($r, 'Allow-Methods'),
          [ 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' ], 'its methods');
is_deeply($header->($r, 'Allow-Headers'), [ 'X-A' ], 'its headers');
is_deeply($header->($r, 'Max-Age'), [ 43200 ], 'its time');
is($r->header('X-Mine'), 'yes', 'other headers stay');

$r = http('GET /plain', undef, Origin => $page);
is_deeply($header->($r, 'Allow-Origin'), [ '*' ], 'elsewhere nothing changes');
--- error_log eval: qr/"add_header Access-Control-Allow-Origin" in .* does not/
