# Guards the promise that the files in conf/ work as their comments say:
# nginx.conf by itself, and each of snippets/ in a server block that is there
# already, with TLS, authentication and limits.

use Test::Nginx::Ollama;

use File::Temp ();

our $chat = { model => 'm1',
             messages => [ { role => 'user', content => 'a' } ] };
our $conf = $ENV{TEST_NGINX_CONF_DIR};


# The snippets as an administrator puts them beside nginx.conf, with other
# addresses in them.

sub install_snippets {
    for my $file (glob "$conf/snippets/*.conf") {
        my $text = Test::Nginx::Ollama::read_file($file);

        $text =~ s/127\.0\.0\.1:11434/127.0.0.1:$ENV{TEST_NGINX_FAKE_PORT}/g;
        $text =~ s/127\.0\.0\.1:9000/127.0.0.1:$ENV{TEST_NGINX_FREE_PORT}/g;

        my ($name) = $file =~ m{([^/]+)$};
        Test::Nginx::Ollama::write_file(conf_dir() . "/$name", $text);
    }

    # htpasswd -B, for the user "ann" with the password "secret"
    Test::Nginx::Ollama::write_file(conf_dir() . '/ollama.htpasswd',
        'ann:' . crypt('secret', '$2y$05$abcdefghijklmnopqrstuu') . "\n");
}

add_block_preprocessor(sub {
    $_[0]->set_value('post_setup_server_root', 'main::install_snippets();');
});


# A request by TLS, as HTTP/2 and as HTTP/1.1.

sub tls {
    my ($line, $body, @rest) = @_;
    return http2($line, $body, @rest, -tls => 1);
}


# How many of so many requests at once had each status.

sub burst {
    my ($n, @request) = @_;

    my %n;
    my @clients = map { client(port => $ENV{TEST_NGINX_SERVER_PORT}) } 1 .. $n;

    $_->request(@request, Connection => 'close') for @clients;
    $n{$_->reply->status}++ for @clients;
    $_->close for @clients;

    return \%n;
}

our @ann = (Authorization => 'Basic YW5uOnNlY3JldA==');

run_tests();

__DATA__

=== conf/nginx.conf runs unchanged but for addresses and paths
--- config
--- test
my $dir = File::Temp->newdir;
my $port = $ENV{TEST_NGINX_FREE_PORT};
my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $text = Test::Nginx::Ollama::read_file("$main::conf/nginx.conf");

mkdir "$dir/$_" for qw(conf logs modules);
symlink $ENV{OLLAMA_MODULE}, "$dir/modules/ngx_http_ollama_module.so";
Test::Nginx::Ollama::write_file("$dir/conf/ollama_params",
    Test::Nginx::Ollama::read_file("$main::conf/ollama_params"));

is($text =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g, 1,
   'one address to listen on');
is($text =~ s/127\.0\.0\.1:11434/127.0.0.1:$ENV{TEST_NGINX_FAKE_PORT}/g, 1,
   'one server');
is($text =~ s{/var/log/nginx/ollama\.log}{logs/ollama.log}g, 1, 'one log');

# those that nginx was built with may be for root only
my $temp = join '', map { "    ${_}_temp_path temp_$_;\n" }
                    qw(client_body proxy fastcgi uwsgi scgi);

$text =~ s/^http \{\n/http {\n$temp/m;

Test::Nginx::Ollama::write_file("$dir/conf/nginx.conf", $text);

my $user = $> == 0 ? ' user root;' : '';
my @nginx = ($nginx, '-p', "$dir/", '-c', 'conf/nginx.conf',
             '-e', 'logs/error.log',
             '-g', "pid logs/nginx.pid; error_log logs/error.log info;$user");

is(system(@nginx, '-t', '-q'), 0, 'nginx -t');
is(system(@nginx), 0, 'it starts');

my @at = (-port => $port);

# lists are passed on until the server has been looked at
ok(wait_for(sub {
    my $said = http('GET /api/models/servers', undef, @at)->json;
    return $said->{servers}[0]{status} eq 'up';
}), 'its server is up');

my $r = http('POST /api/chat', $main::chat, @at);
is($r->status, 200, 'chat');
like($r->body, qr/"done":true/, 'chat has an end');
is(http('POST /v1/chat/completions', $main::chat, @at)->status, 200, '/v1');
is(http('GET /api/tags', undef, @at)->status, 200, 'models');
is(http('GET /', undef, @at)->body, 'Ollama is running', 'root');
is(http('GET /nope', undef, @at)->status, 404, 'other paths');
is(http('POST /api/pull', '{"model":"m1"}', @at)->status, 403, 'management');

my ($pid) = Test::Nginx::Ollama::read_file("$dir/logs/nginx.pid") =~ /(\d+)/;
kill QUIT => $pid;
ok(wait_for(sub { !Test::Nginx::Ollama::is_alive($pid) }), 'it ends');

my $log = Test::Nginx::Ollama::read_file("$dir/logs/ollama.log");
like($log, qr{"POST /api/chat HTTP/1\.1" 200 \d+ model="m1" outcome=ok },
     'the log');
like($log, qr{ time=[\d.]+ ttft=[\d.]+ queue=[\d.]+ prompt=\d+ generated=\d},
     'its numbers');

my $errors = Test::Nginx::Ollama::read_file("$dir/logs/error.log");

# valgrind doesn't let a process set that limit
$errors =~ s/^.*setrlimit\(RLIMIT_NOFILE.*\n//mg if $ENV{OLLAMA_VALGRIND};

unlike($errors, qr/\[(warn|error|crit|alert|emerg)\]/,
       'nothing to complain of');
--- asked
POST /api/chat
POST /v1/chat/completions



=== every file in conf/snippets is tested here
--- config
--- test
my @there = sort map { m{([^/]+)$} } glob "$main::conf/snippets/*";
is_deeply(\@there, [qw(ollama_auth_request.conf ollama_http.conf
                       ollama_keys.conf ollama_open.conf ollama_password.conf
                       ollama_with_key.conf)],
          'those that are there');



=== ollama_open.conf behind TLS, beside what the server had
--- bare
--- http_config
    include ollama_http.conf;
    access_log logs/ollama.log ollama;
--- config
    $TEST_NGINX_TLS_LISTEN

    location / {
        return 200 "what was there\n";
    }

    include ollama_open.conf;
--- test
my $r = main::tls('POST /api/chat', $main::chat);
is($r->status, 200, 'chat by TLS');
like($r->body, qr/"done":true/, 'chat has an end');
is($r->end, 'complete', 'the stream is closed well');
is(main::tls('POST /v1/chat/completions', $main::chat)->status, 200, '/v1');
is(main::tls('GET /api/nope')->json->{error}, '404 page not found', 'errors');
is(main::tls('POST /api/pull', '{"model":"m1"}')->status, 403, 'management');
is(main::tls('GET /page')->body, "what was there\n", 'the rest');

my $url = "https://127.0.0.1:$ENV{TEST_NGINX_TLS_PORT}/api/chat";
my ($status, $raw) = curl('-k', '--http1.1', $url, '-d',
                          '{"model":"m1","messages":[{"role":"user"}]}');
is($status, 0, 'HTTP/1.1 by TLS');
like($raw, qr/"done":true/, 'HTTP/1.1 by TLS has an end');

like(access_log(qr{/api/chat}),
     qr/ 200 \d+ model="m1" outcome=ok .* generated=\d/, 'the log');
--- asked
POST /api/chat
POST /v1/chat/completions
POST /api/chat



=== ollama_open.conf limits requests and streams
--- bare
--- http_config
    include ollama_http.conf;
--- config
    include ollama_open.conf;
--- fake
{"model":"*","fault":"stall"}
--- test
my @streams = map { client()->request('POST /api/chat', $main::chat) } 1 .. 8;
$_->read_until(qr/"done":false/) for @streams;

my $r = http('POST /api/chat', $main::chat);
is($r->status, 429, 'the ninth stream of an address');
like($r->json->{error}, qr/^too many requests/, 'is told so');

$_->close for @streams;
fake_requests(wait_active => 0);

my $n = main::burst(40, 'GET /api/version');
ok($n->{200} >= 5 && $n->{429} >= 19 && $n->{200} + $n->{429} == 40,
   "a burst is bounded: " . join ', ', map { "$_ x $n->{$_}" } sort keys %$n);
--- error_log
limiting connections
limiting requests



=== ollama_password.conf behind TLS
--- bare
--- http_config
    include ollama_http.conf;
--- config
    $TEST_NGINX_TLS_LISTEN
    include ollama_password.conf;
--- test
my $r = main::tls('POST /api/chat', $main::chat);
is($r->status, 401, 'without a password');
is($r->header('WWW-Authenticate'), 'Basic realm="Ollama"', 'is asked for one');
is($r->json->{error}, 'authorization required', 'in our form');

$r = main::tls('POST /api/chat', $main::chat,
               Authorization => 'Basic YW5uOng=');
is($r->status, 401, 'with a wrong one');

$r = main::tls('POST /api/chat', $main::chat, @main::ann);
is($r->status, 200, 'with the right one');
like($r->body, qr/"done":true/, 'chat has an end');

my $headers = fake_requests()->{requests}[0]{headers};
ok(!(grep { lc eq 'authorization' } keys %$headers),
   'the password stays at the gateway');

$r = main::tls('OPTIONS /api/chat', undef, Origin => 'http://localhost:3000',
               'Access-Control-Request-Method' => 'POST');
is($r->status, 204, 'a preflight needs none');
is($r->header('Access-Control-Allow-Origin'), 'http://localhost:3000',
   'and is allowed');

$r = main::tls('OPTIONS /api/chat', undef, Origin => 'http://evil.example',
               'Access-Control-Request-Method' => 'POST');
is($r->status, 403, 'of a foreign page it is refused');

$r = main::tls('OPTIONS /api/chat');
isnt($r->status, 200, 'OPTIONS of nobody leads nowhere');
--- error_log
password mismatch
--- asked
POST /api/chat



=== ollama_password.conf limits guesses
--- bare
--- http_config
    include ollama_http.conf;
--- config
    include ollama_password.conf;
--- test
my $n = main::burst(40, 'GET /api/version', undef,
                    Authorization => 'Basic YW5uOng=');
ok($n->{401} >= 5 && $n->{429} >= 15 && $n->{401} + $n->{429} == 40,
   "guesses: " . join ', ', map { "$_ x $n->{$_}" } sort keys %$n);
--- error_log
limiting requests
--- asked
nothing



=== ollama_auth_request.conf behind TLS
--- bare
--- http_config
    include ollama_http.conf;

    log_format asked '$request_method $request_uri $http_x_original_method '
                     '$http_x_original_uri $content_length';

    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;
        access_log logs/asked.log asked;

        location /auth {
            if ($http_cookie = "id=ann") {
                return 200;
            }

            if ($http_cookie = "id=bob") {
                return 403;
            }

            return 401;
        }
    }
--- config
    $TEST_NGINX_TLS_LISTEN
    client_body_buffer_size 1k;
    include ollama_auth_request.conf;
--- test
my $r = main::tls('POST /api/chat', $main::chat);
is($r->status, 401, 'nobody');
is($r->json->{error}, 'authorization required', 'in our form');

$r = main::tls('POST /v1/chat/completions', $main::chat, Cookie => 'id=bob');
is($r->status, 403, 'somebody who may not');
is($r->json->{error}{message}, 'forbidden', 'in the form of /v1');

for my $size (1, 500_000) {
    my $body = JSON::PP->new->canonical->encode(
        { %$main::chat, messages => [ { content => 'a' x $size } ] });

    $r = main::tls('POST /api/chat', $body, Cookie => 'id=ann');
    is($r->status, 200, "somebody who may, $size bytes");
    like($r->body, qr/"done":true/, 'chat has an end');

    my $asked = fake_requests(last => 1)->{requests}[0];
    is($asked->{body_bytes}, length $body, 'the whole body goes on');
    ok(!(grep { lc eq 'cookie' } keys %{ $asked->{headers} }),
       'the cookie stays at the gateway');
}

$r = main::tls('OPTIONS /api/chat', undef, Origin => 'http://localhost:3000',
               'Access-Control-Request-Method' => 'POST');
is($r->status, 204, 'a preflight');

is(http('GET /ollama-auth')->status, 404, 'the service is not for clients');

my @asked = split /\n/, Test::Nginx::Ollama::read_file(
                            "$ENV{TEST_NGINX_SERVER_ROOT}/logs/asked.log");
is($asked[0], 'GET /auth POST /api/chat -', 'what the service is told');
is(scalar @asked, 4, 'and how often');
--- asked
POST /api/chat
POST /api/chat



=== ollama_with_key.conf and ollama_keys.conf behind TLS
--- bare
--- http_config
    include ollama_http.conf;
    include ollama_keys.conf;
    log_format key '$uri $ollama_key_name';
--- config
    $TEST_NGINX_TLS_LISTEN
    access_log logs/key.log key;
    include ollama_with_key.conf;
--- test
my $ann = 'sk-ann-replace-this-key';

for ([ Authorization => "Bearer $ann" ], [ Authorization => "bearer  $ann" ],
     [ 'X-Api-Key' => $ann ], [ 'Api-Key' => $ann ],
     [ Authorization => 'Basic eDp5', 'X-Api-Key' => $ann ],
     [ 'x-api-key' => 'sk-bob-replace-this-key' ])
{
    my $r = main::tls('POST /api/chat', $main::chat, @$_);

    is($r->status, 200, "@$_");
    like($r->body, qr/"done":true/, 'chat has an end');

    my $got = fake_requests(last => 1)->{requests}[0]{headers};
    is(join(' ', grep { $got->{$_} =~ /sk-/ } keys %$got), '',
       'the key stays at the gateway');
}

for ([], [ Authorization => 'Bearer x' ], [ Authorization => $ann ],
     [ Authorization => "Basic $ann" ], [ Authorization => 'Bearer ' ],
     [ 'X-Api-Key' => uc $ann ], [ 'X-Api-Key' => "$ann." ],
     [ 'X-Api-Key' => '' ], [ 'Api-Key' => 'ann' ],
     [ Authorization => 'Bearer x', 'X-Api-Key' => $ann ])
{
    my $r = main::tls('POST /api/chat', $main::chat, @$_);

    is($r->status, 401, "@$_");
    is($r->header('Content-Type'), 'application/json; charset=utf-8', 'JSON');
    is($r->json->{error}, 'authorization required', 'in our form');
}

my $r = main::tls('POST /v1/chat/completions', $main::chat);
is($r->status, 401, '/v1');
is($r->json->{error}{message}, 'authorization required', 'in its form');

is(main::tls('GET /v1/models')->status, 401, 'lists, too');
is(main::tls('GET /api/nope')->status, 401, 'and other paths');
is(main::tls('GET /ollama-key', undef, 'X-Api-Key' => $ann)->status, 404,
   'the check is not for clients');

$r = main::tls('OPTIONS /api/chat', undef, Origin => 'http://localhost:3000',
               'Access-Control-Request-Method' => 'POST');
is($r->status, 204, 'a preflight needs none');

my $log = Test::Nginx::Ollama::read_file(conf_dir() . '/../logs/key.log');
like($log, qr{^/api/chat ann$}m, 'names in the log');
like($log, qr{^/api/chat bob$}m, 'of both');
--- asked
POST /api/chat
POST /api/chat
POST /api/chat
POST /api/chat
POST /api/chat
POST /api/chat



=== ollama_with_key.conf limits guesses
--- bare
--- http_config
    include ollama_http.conf;
    include ollama_keys.conf;
--- config
    include ollama_with_key.conf;
--- test
my $n = main::burst(40, 'GET /api/version', undef, 'X-Api-Key' => 'x');
ok($n->{401} >= 5 && $n->{429} >= 15 && $n->{401} + $n->{429} == 40,
   "guesses: " . join ', ', map { "$_ x $n->{$_}" } sort keys %$n);
--- error_log
limiting requests
--- asked
nothing



=== auth_request to a service that is down
--- bare
--- http_config
    include ollama_http.conf;
--- config
    include ollama_auth_request.conf;
--- test
my $r = http('POST /api/chat', $main::chat, Cookie => 'id=ann');
is($r->status, 500, 'status');
is($r->json->{error}, 'the gateway failed to handle the request',
   'in our form');
--- error_log
connect() failed
--- asked
nothing



=== auth_basic, auth_request and limits together, with TLS only
--- bare
--- http_config
    include ollama_http.conf;

    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location / {
            return 204;
        }
    }
--- config
    $TEST_NGINX_TLS_LISTEN
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:1m;
    add_header Strict-Transport-Security "max-age=600" always;
    auth_basic Ollama;
    auth_basic_user_file ollama.htpasswd;
    satisfy all;
    include ollama_auth_request.conf;
--- test
is(main::tls('POST /api/chat', $main::chat)->status, 401, 'without a password');

my $r = main::tls('POST /api/chat', $main::chat, @main::ann);
is($r->status, 200, 'with it');
is($r->header('Strict-Transport-Security'), 'max-age=600',
   "the server's own header");
is(main::tls('OPTIONS /api/chat', undef, Origin => 'http://localhost')->status,
   204, 'a preflight');
--- asked
POST /api/chat
