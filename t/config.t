# Guards the promise that "nginx -t" refuses what can't work and says what to do
# instead, by file and line, and that a configuration that loads works.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::Config;

our $chat = { model => 'm1',
             messages => [ { role => 'user', content => 'a' } ] };


run_tests();

__DATA__

=== an upstream that isn't there is refused
--- config
    location /api/ {
        ollama_api nope;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ names "nope"},
 'names "nope", but there is no "upstream nope { ... }" block']



=== an upstream may come after its location, its name in any case
--- bare
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location /api/ {
            ollama_api Later;
            proxy_pass http://later;
            include ollama_params;
        }
    }

    upstream later {
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
    }
--- config
--- test
is(http('POST /api/chat', $main::chat, -port => $ENV{TEST_NGINX_FREE_PORT})
   ->status, 200, 'chat');



=== a location without proxy_pass is refused
--- config
    location /api/ {
        ollama_api ollama;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ needs "proxy_pass},
 'needs "proxy_pass http://ollama" in location "/api/"']



=== proxy_pass to another upstream is refused
--- http_config
    upstream other {
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
    }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://other;
        include ollama_params;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ names upstream "ollama"},
 'names upstream "ollama", but "proxy_pass" of that location goes to "other"']



=== proxy_pass to an address is refused
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE_PORT;
        include ollama_params;
    }
--- must_die
--- error_log
[emerg]
names upstream "ollama", but "proxy_pass" of that location goes to "127.0.0.1



=== proxy_pass_request_body off is refused
--- ollama
        proxy_pass_request_body off;
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ can't work},
 'can\'t work with "proxy_pass_request_body off"']



=== an inherited proxy_pass_request_body off is refused
--- config
    proxy_pass_request_body off;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log
[emerg]
can't work with "proxy_pass_request_body off"



=== a path in proxy_pass changes nothing
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama/;
        include ollama_params;
    }
--- test
is(http('GET /api/version')->status, 200);
--- asked
GET /api/version



=== a path in proxy_pass changes nothing with a prefix
--- config
    location /llm/api/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama/api/;
        include ollama_params;
    }
--- test
is(http('GET /llm/api/ps')->status, 200);
is(http('GET /llm/api/tags')->status, 200);
--- asked
GET /api/ps
GET /api/tags



=== an invalid second parameter of ollama_api is refused
--- config
    location /api/ {
        ollama_api ollama prefix=llm;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .* expected "prefix=/path" in \S+/nginx\.conf:\d+},
 'invalid parameter "prefix=llm", expected "prefix=/path"']



=== an unknown parameter of ollama_api is refused
--- config
    location /api/ {
        ollama_api ollama policy=fast;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log
[emerg]
invalid parameter "policy=fast", expected "prefix=/path"



=== ollama_api twice is refused
--- config
    location /api/ {
        ollama_api ollama;
        ollama_api off;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log
[emerg]
"ollama_api" directive is duplicate



=== ollama_api without a name is refused
--- config
    location /api/ {
        ollama_api;
        proxy_pass http://ollama;
    }
--- must_die
--- error_log
[emerg]
invalid number of arguments in "ollama_api" directive



=== ollama_api in http is refused
--- http_config
    ollama_api ollama;
--- config
--- must_die
--- error_log
[emerg]
"ollama_api" directive is not allowed here



=== ollama_api in an if is refused
--- config
    location /api/ {
        if ($arg_a) {
            ollama_api ollama;
        }

        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log
[emerg]
"ollama_api" directive is not allowed here



=== ollama_management twice is refused
--- ollama
        ollama_management on;
        ollama_management off;
--- must_die
--- error_log
[emerg]
"ollama_management" directive is duplicate



=== ollama_management with a value other than on or off is refused
--- ollama
        ollama_management yes;
--- must_die
--- error_log
[emerg]
invalid value "yes" in "ollama_management" directive, it must be "on" or "off"



=== ollama_session_ttl twice is refused
--- ollama
        ollama_session_ttl 1d;
        ollama_session_ttl 2d;
--- must_die
--- error_log
[emerg]
"ollama_session_ttl" directive is duplicate



=== ollama_session_ttl with an invalid time is refused
--- ollama
        ollama_session_ttl never;
--- must_die
--- error_log
[emerg]
"ollama_session_ttl" directive invalid value



=== ollama_session_owner twice is refused
--- ollama
        ollama_session_owner $remote_user;
        ollama_session_owner a;
--- must_die
--- error_log
[emerg]
"ollama_session_owner" directive is duplicate



=== ollama_fair twice, or with an unknown variable, is refused
--- test
like(main::check_config('ollama_fair a; ollama_fair b;'),
     qr/\[emerg\] .*"ollama_fair" directive is duplicate/, 'twice');
like(main::check_config('ollama_fair $nobody;'),
     qr/\[emerg\] .*unknown "nobody" variable/, 'unknown');
like(main::check_config('ollama_fair;'),
     qr/\[emerg\] .*"ollama_fair"/, 'no value');
is(main::check_config("ollama_fair $_;"), '', $_)
    for qw($http_x_team all $remote_addr$http_x_team);



=== ollama_session_owner with an unknown variable is refused
--- ollama
        ollama_session_owner $nobody;
--- must_die
--- error_log
[emerg]
unknown "nobody" variable



=== ollama_pass of what is no path, or is open or closed otherwise
--- config
--- test
for my $path (qw(x / "" /v1//x /v1/./x /v1/../x /v1/x?a /v1/x%20 /v1/a*
                 /v1/** /v1/x\\\\y))
{
    like(check_config("ollama_pass /v1/x $path;"),
         qr{\[emerg\] .*invalid path ".*", expected one as "/v1/files"}, $path);
}

for my $path (qw(/api/pull /API/Pull /api/blobs /api/blobs/x /api/me/
                 /api/user/x /api/experimental/a/b))
{
    like(check_config("ollama_pass /v1/x $path;"),
         qr/\[emerg\] .*"\Q$path\E" manages models .* "ollama_management on"/,
         $path);
}

for my $path (qw(/api/chat /api/chat/ /v1/models/x /api/chat/session/*
                 /v1/audio/transcriptions /api/metrics))
{
    like(check_config("ollama_pass /v1/x $path;"),
         qr/\[emerg\] .*"\Q$path\E" is an endpoint of the gateway already/,
         $path);
}

for my $twice ('/v1/x /v1/x', '/v1/x /v1/x/', '/v1/y; ollama_pass /v1/y') {
    like(check_config("ollama_pass $twice;"),
         qr{\[emerg\] .*duplicate path "/v1/[xy]/?" .*\.conf:\d+}, $twice);
}

is(check_config('ollama_pass /v1/x /v1/x/*/y /api/z/; ollama_pass /a;'), '',
   'others are fine');
like(check_config('ollama_pass;'), qr/invalid number of arguments/, 'none');



=== ollama_forbid of a field that every request needs is refused
--- ollama
        ollama_forbid keep_alive Model;
--- must_die
--- error_log
[emerg]
field "Model" can't be forbidden: no request would work without it



=== ollama_forbid of an invalid field name is refused
--- test
my @bad = ('""', '.', '.a', 'a.', 'a..b', 'options.', 'a.b.c.d.e.f.g.h.i.j',
           'messages', 'messages.images', 'stream');

for my $field (@bad) {
    my $said = main::check_config("ollama_forbid $field;");
    like($said, qr/\[emerg\].*(expected a field|can't be forbidden)/, $field);
}

for my $field (qw(task_id Session_Id server_url background task_id.x)) {
    like(main::check_config("ollama_forbid $field;"),
         qr/\[emerg\] .*"$field" can't be forbidden: it is the gateway's own/,
         $field);
}

for my $field (qw(keep_alive options.num_ctx options Options.NUM_GPU x),
               'a "b c"')
{
    unlike(main::check_config("ollama_forbid $field;"), qr/emerg/, $field);
}



=== ollama_origins with an invalid origin is refused
--- test
for my $origin ('""', 'chat.example', 'https://', '://a', 'https://a/',
                'https://a/b', 'https://*.a.*', 'https://**', '**',
                '*.example.com',
                'ht*ps://a', '*://a', '//a')
{
    like(main::check_config("ollama_origins $origin;"),
         qr/\[emerg\].*invalid parameter "[^"]*", expected an origin as "https/,
         $origin);
}

for my $origin ('*', 'https://a', 'http://a:80', 'https://*.a.b', 'app://*',
                'http://a:*', 'HTTPS://A', 'https://a https://b')
{
    unlike(main::check_config("ollama_origins $origin;"), qr/emerg/, $origin);
}



=== an unknown directive that begins with ollama_ is refused
--- ollama
        ollama_apis ollama;
--- must_die
--- error_log
[emerg]
unknown directive "ollama_apis"



=== proxy_buffering on causes a warning, and works
--- params
proxy_buffering on;
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'chat');
--- error_log eval
[qr{\[warn\] .*"ollama_api" in \S+/nginx\.conf:\d+: "proxy_buffering" is on},
 'and will hold streams back, include ollama_params or turn it off']



=== without ollama_params: a warning, and what else is missing shows
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        proxy_set_header Host localhost;
    }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'chat');
--- error_log
"proxy_buffering" is on



=== an add_header of a CORS header causes a warning, at any level
--- http_config
    add_header Access-Control-Allow-Origin *;
    add_header X-Mine yes;
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        ollama_api ollama;
        add_header X-Mine yes;
        add_header access-control-max-age 1;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- request
GET /api/version
--- error_log eval
[qr{\[warn\] .*: "add_header Access-Control-Allow-Origin" in \S+:\d+ does not},
 qr{\[warn\] .*: "add_header access-control-max-age" in \S+:\d+ does not}]



=== an add_header of a CORS header in an if causes a warning, too
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;

        if ($arg_a) {
            add_header Access-Control-Allow-Origin *;
        }
    }
--- request
GET /api/version
--- error_log eval
qr{\[warn\] .*: "add_header Access-Control-Allow-Origin" in \S+:\d+ does not}



=== an add_header that does not come to the location causes no warning
--- http_config
    add_header Access-Control-Allow-Origin *;
--- config
    location /api/ {
        ollama_api ollama;
        add_header X-Mine yes;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /plain/ {
        add_header Access-Control-Max-Age 1;
    }
--- request
GET /api/version
--- no_error_log
[warn]



=== add_header is refused as nginx does it
--- config
    location /api/ {
        ollama_api ollama;
        add_header Access-Control-Max-Age;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log eval
qr{\[emerg\] .*invalid number of arguments in "add_header" directive}



=== with ollama_params there is no warning
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'chat');
--- no_error_log
[warn]
[error]



=== ollama_api off leaves a location as it was
--- config
    ollama_api ollama;
    proxy_set_header Host localhost;

    location /api/ {
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /raw/ {
        ollama_api off;
        proxy_pass http://ollama/;
        proxy_set_header Host localhost;
    }
--- test
is(http('POST /raw/api/pull', '{"model":"m9"}')->status, 200,
   'all goes through');
is(http('POST /api/pull', '{"model":"m9"}')->status, 403, 'beside one with it');
--- asked
POST /api/pull



=== ollama_api in a server, beside a page and other locations
--- http_config
    server {
    listen 127.0.0.1:$TEST_NGINX_FREE_PORT;
    ollama_api ollama;
    include ollama_params;
    root html;

    location / {
    }

    location = /health {
        return 200 "fine\n";
    }

    location /api/ {
        proxy_pass http://ollama;
    }

    location /v1/ {
        proxy_pass http://ollama;
    }
    }
--- config
--- user_files
>>> page.html
the page
--- test
my @at = (-port => $ENV{TEST_NGINX_FREE_PORT});

is(http('GET /page.html', undef, @at)->body, "the page\n", 'the page');
is(http('GET /health', undef, @at)->body, "fine\n", 'a location of return');
is(http('GET /nope.html', undef, @at)->status, 404, 'no page');
like(http('GET /nope.html', undef, @at)->header('Content-Type'), qr{^text/html},
     'as nginx has it');
is(http('POST /api/chat', $main::chat, @at)->status, 200, 'chat');
is(http('POST /v1/chat/completions', $main::chat, @at)->status, 200,
   'chat of /v1');
is(http('POST /api/pull', '{"model":"m1"}', @at)->status, 403, 'management');
--- error_log
No such file
--- asked
POST /api/chat
POST /v1/chat/completions



=== ollama_api in a server leaves a location with another upstream alone
--- http_config
    upstream page {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
    }
--- config
    ollama_api ollama;

    location /api/ {
        proxy_pass http://ollama;
        include ollama_params;
    }

    location / {
        proxy_pass http://page;
        include ollama_params;
    }

    location /off/ {
        ollama_api off;
        proxy_pass http://page/;
        include ollama_params;
    }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'chat');
is(http('POST /api/pull', '{"model":"m1"}')->status, 403, 'management');
is(http('GET /nope')->body, '404 page not found', 'the page');
is(http('GET /off/nope')->body, '404 page not found', 'the page, with off');
--- asked
POST /api/chat
--- asked2
GET /nope
GET /nope



=== ollama_api in a server guards a location with a mapped upstream
--- http_config
    map $ollama_model $pool {
        default ollama;
    }
--- config
    ollama_api ollama;

    location /api/ {
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'chat');
is(http('POST /api/pull', '{"model":"m1"}')->status, 403, 'management');
is(http('POST /api/chat', '{')->status, 400, 'bodies');
--- asked
POST /api/chat



=== a map chooses the upstream by the model
--- http_config
    map $ollama_model $pool {
        default ollama;
        m2 second;
    }

    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
    }
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
for my $model (qw(m1 m2 m1 m2)) {
    my $r = http('POST /api/%63hat?a=%20', { %$main::chat, model => $model });
    is($r->status, 200, $model);
    like($r->body, qr/"done":true/, "$model replies");
}

is(http('GET /api/tags')->status, 200, 'a list');
is(http('POST /api/%70ull', '{"model":"m2"}')->status, 403, 'management');
is(http('POST //API/pull', '{"model":"m2"}')->status, 403, 'management');
--- asked
POST /api/chat?a=%20
POST /api/chat?a=%20
GET /api/tags
--- asked2
POST /api/chat?a=%20
POST /api/chat?a=%20



=== a map to an unknown upstream is an error in Ollama's form
--- http_config
    map $ollama_model $pool {
        default nowhere;
    }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
my $r = http('POST /api/chat', $main::chat);
is($r->status, 502, 'status');
like($r->json->{error}, qr/./, 'JSON');
--- error_log
[error]
no resolver defined



=== ollama_api works with limit_except
--- ollama
        limit_except POST {
            deny all;
        }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'what is excepted');

my $r = http('GET /api/tags');
is($r->status, 403, 'the rest');
is($r->json->{error}, 'forbidden', 'in our form');
is(http('POST /api/pull', '{"model":"m1"}')->status, 403,
   'management stays closed');
--- error_log
access forbidden by rule
--- asked
POST /api/chat



=== ollama_api works with if
--- ollama
        if ($http_x_stop) {
            return 403;
        }

        if ($arg_tag) {
            set $tag $arg_tag;
        }

        if ($arg_slow) {
            limit_rate 100k;
        }

        if ($arg_path) {
            rewrite ^ /api/chat break;
        }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'none holds');
is(http('POST /api/chat?tag=1', $main::chat)->status, 200, 'set');
is(http('POST /api/chat?slow=1', $main::chat)->status, 200, 'another setting');

my $r = http('POST /api/chat', $main::chat, 'X-Stop' => 1);
is($r->status, 403, 'return');
is($r->json->{error}, 'forbidden', 'in our form');

is(http('POST /api/pull?tag=1', '{"model":"m1"}')->status, 403, 'management');
is(http('POST /api/pull?slow=1', '{"model":"m1"}')->status, 403,
   'management, in an if with a setting');
is(http('POST /api/nope?path=1', $main::chat)->status, 200, 'rewrite');
--- asked eval
CORE::join "\n", map { "POST /api/chat$_" } '', '?tag=1', '?slow=1', '?path=1'



=== an if with its own proxy_pass is guarded as well
--- http_config
    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
    }
--- ollama
        if ($arg_second) {
            proxy_pass http://second;
        }
--- test
is(http('POST /api/chat?second=1', $main::chat)->status, 200, 'chat');
is(http('POST /api/pull?second=1', '{"model":"m1"}')->status, 403,
   'management');
--- asked
nothing
--- asked2
POST /api/chat?second=1



=== ollama_api works in locations of any kind
--- config
    location = /api/chat {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location ^~ /v1/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location ~* ^/(one|two)/api/(tags|pull)$ {
        ollama_api ollama prefix=/one;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /in/ {
        ollama_api ollama prefix=/in;
        proxy_pass http://ollama;
        include ollama_params;

        location /in/api/ps {
            proxy_pass http://ollama;
        }

        location /in/static/ {
            return 200 "static\n";
        }
    }

    location /named {
        try_files /nothing @named;
    }

    location @named {
        ollama_api ollama prefix=/named;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('POST /api/chat', $main::chat)->status, 200, 'exact');
is(http('GET /v1/models')->status, 200, 'preferential');
is(http('GET /one/api/tags')->status, 200, 'regex');
is(http('POST /one/api/pull', '{}')->status, 403, 'regex, management');
is(http('GET /two/api/tags')->status, 404, 'regex, without the prefix');
is(http('GET /in/api/version')->status, 200, 'outer');
is(http('GET /in/static/x')->body, "static\n", 'inner, of return');
is(http('GET /named/api/version')->status, 200, 'named');
--- asked
POST /api/chat
GET /v1/models
GET /api/tags
GET /api/version
GET /api/version



=== ollama_api works with rewrite, try_files and mirror
--- http_config
    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
    }
--- config
    location /old/ {
        rewrite ^/old(/.*)$ /api$1 last;
    }

    location /api/ {
        ollama_api ollama;
        mirror /mirror;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location = /mirror {
        internal;
        proxy_pass http://second/api/chat;
        proxy_set_header Host localhost;
    }
--- test
is(http('POST /old/chat', $main::chat)->status, 200, 'chat');

my @body = map { $_->{requests}[0]{body} }
           map { fake_requests(fake => $_, wait_count => 1) } 1, 2;
is($body[0], $body[1], 'the mirror sees the same body');
--- asked
POST /api/chat
--- asked2
POST /api/chat



=== ollama_balance accepts all parameters of nginx's server
--- test
for my $lines ('zone a 1m; ollama_balance;', 'ollama_balance; zone a 1m;',
               'zone a 1m; ollama_balance; keepalive 4;',
               'zone a 1m; ollama_balance queue=100 timeout=60s;',
               'zone a 1m; ollama_balance timeout=1500ms;',
               'zone a 1m; ollama_balance queue=0;',
               'zone a 1m; ollama_balance; server 127.0.0.1:2 max_conns=4 '
               . 'weight=2 max_fails=3 fail_timeout=5s;',
               'zone a 1m; server 127.0.0.1:2 backup; ollama_balance;',
               'zone a 1m; server 127.0.0.1:2 down; ollama_balance;',
               'zone a 1m; server unix:/tmp/a; server [::1]:3; ollama_balance;',
               'zone a 1m; ollama_poll; ollama_balance;',
               'ollama_poll;', 'zone a 1m; ollama_poll;',
               'least_conn; ollama_poll;', 'keepalive 4; ollama_poll;')
{
    is(main::check_upstream($lines), '', $lines);
}



=== ollama_balance without a zone is refused, with an example
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_balance" needs a "zone".* in \S+/nginx\.conf:\d+},
 '"zone ollama ']



=== ollama_balance after keepalive is refused, with the right order
--- test
my $said = main::check_upstream('zone a 1m; keepalive 4; ollama_balance;');

if (($ENV{TEST_NGINX_VERSION_NUM} || 0) >= 1_029_007) {
    is($said, '', 'here the order is no matter');

} else {
    like($said, qr/\[emerg\] .*"ollama_balance".*before "keepalive"/s);
    like($said, qr/check\.conf:\d+/);
}



=== ollama_balance beside another balancer is refused
--- test
for my $other ('least_conn;', 'ip_hash;', 'random;', 'hash $uri;') {
    for my $lines ("zone a 1m; $other ollama_balance;",
                   "zone a 1m; ollama_balance; $other")
    {
        my $said = main::check_upstream($lines);

        like($said, qr/\[emerg\] .*"ollama_balance".*only/s, $lines);
        like($said, qr/upstream "ollama"/, 'and named');
    }
}



=== invalid parameters of ollama_balance are refused
--- test
for my $bad ('queue=', 'queue=x', 'queue=-1', 'queue=1k', 'timeout=',
             'timeout=x', 'timeout=-1s', 'timeout=0', 'on', 'Queue=1',
             'policy=fast', 'queue=10001',
             'queue=99999999999999999999999')
{
    my $said = main::check_upstream("zone a 1m; ollama_balance $bad;");

    like($said, qr/\[emerg\] .*invalid parameter "\Q$bad\E"/, $bad);
    like($said, qr/expected .*in \S+check\.conf:\d+/s, 'and what can be');
}

like(main::check_upstream('zone a 1m; ollama_balance; ollama_balance;'),
     qr/\[emerg\] .*"ollama_balance" directive is duplicate/, 'twice');
like(main::check_config('ollama_balance;'),
     qr/"ollama_balance" directive is not allowed here/, 'in a location');



=== parameters of ollama_poll are checked
--- test
for my $good ('interval=1s', 'interval=100ms timeout=100ms', 'timeout=1m',
              'interval=1h timeout=2s', 'tls', 'tls tls_name=a.example')
{
    is(main::check_upstream("ollama_poll $good;"), '', $good);
}

for my $bad ('interval=', 'interval=x', 'interval=0', 'interval=-1s',
             'interval=0ms', 'timeout=0', 'timeout=x', 'timeout=', 'tls=on',
             'tls_name=', 'tls_verify=', 'url=x', 'off', 'TLS')
{
    my $said = main::check_upstream("ollama_poll $bad;");

    like($said, qr/\[emerg\] .*invalid parameter "\Q$bad\E"/, $bad);
    like($said, qr/expected .*in \S+check\.conf:\d+/s, 'and what can be');
}

like(main::check_upstream('ollama_poll tls_verify=/nonexistent.pem;'),
     qr{\[emerg\] .*/nonexistent\.pem}, 'a file that is not there');
like(main::check_upstream('ollama_poll; ollama_poll;'),
     qr/\[emerg\] .*"ollama_poll" directive is duplicate/, 'twice');
like(main::check_config('ollama_poll;'),
     qr/"ollama_poll" directive is not allowed here/, 'in a location');



=== parameters of ollama_poll_header are checked
--- test
for my $good ('Authorization "Bearer a.b-c="', 'Host ollama.example:443',
              'host [::1]:11434', 'X-Api-Key "$x y"', 'User-Agent "a\tb"',
              'A 1; ollama_poll_header B 1', "X-A_b.c!#|~ '\"'")
{
    is(main::check_upstream("ollama_poll; ollama_poll_header $good;"), '',
       $good);
}

# in any order
is(main::check_upstream($_), '', $_)
    for 'ollama_poll_header A 1; ollama_poll;',
        'ollama_poll_header A 1; zone a 1m; ollama_balance;';

for my $bad ('""', '"A B"', '"A:"', '"A\r\nB"', '"A\tB"', "\xc3\xa9", '"A;"',
             '"{A"', '"A\\\\B"', 'A@b', 'A/b', '[A]')
{
    like(main::check_upstream("ollama_poll; ollama_poll_header $bad 1;"),
         qr/\[emerg\] .*invalid name .* expected .*in \S+check\.conf:\d+/s,
         $bad);
}

for my $bad ('""', '"a\r\nX-Evil: 1"', '"a\nb"', '"a\r"', "\"a\x01b\"",
             "\"\x7f\"")
{
    like(main::check_upstream("ollama_poll; ollama_poll_header A $bad;"),
         qr/\[emerg\] .*invalid value .*of header "A", expected .*conf:\d+/s,
         $bad);
}

like(main::check_upstream('ollama_poll; ollama_poll_header A "";'),
     qr/invalid value "" of header "A", expected one that is not empty/);

for my $bad (qw(Content-Length content-length Transfer-Encoding Connection
                TE Trailer Upgrade Expect Keep-Alive Proxy-Connection
                Accept-Encoding))
{
    like(main::check_upstream("ollama_poll; ollama_poll_header $bad 1;"),
         qr/\[emerg\] .*header "$bad" can't be set.*check\.conf:\d+/s, $bad);
}

for my $name (qw(A Host Authorization)) {
    like(main::check_upstream("ollama_poll; ollama_poll_header $name 1;"
                              . ' ollama_poll_header ' . lc($name) . ' 2;'),
         qr/\[emerg\] .*header "\L$name\E" is duplicate/, "$name twice");
}

like(main::check_upstream('ollama_poll_header A 1;'),
     qr/\[emerg\] .*"ollama_poll_header" needs .* in upstream "\w+" in \S+:\d/,
     'without probes');
like(main::check_upstream("ollama_poll; ollama_poll_header $_;"),
     qr/invalid number of arguments in "ollama_poll_header"/) for '', 'A',
                                                                  'A 1 2';
like(main::check_config('ollama_poll_header A 1;'),
     qr/"ollama_poll_header" directive is not allowed here/, 'in a location');



=== parameters of ollama_zone are checked
--- test
is(main::check_upstream('ollama_poll;', "ollama_zone $_;"), '', "size $_")
    for qw(1m 1024k 64m 1048576);
is(main::check_upstream('', 'ollama_zone 2m;'), '', 'where nothing is polled');

for my $bad (qw(1 0 x 512k -1m 1023k 1g1 ""), '99999999999999999999g') {
    like(main::check_upstream('ollama_poll;', "ollama_zone $bad;"),
         qr/\[emerg\] .*check\.conf:\d+/, "size $bad");
}

like(main::check_upstream('', 'ollama_zone 2m; ollama_zone 2m;'),
     qr/\[emerg\] .*"ollama_zone" directive is duplicate/, 'twice');
like(main::check_config('ollama_zone 2m;'),
     qr/"ollama_zone" directive is not allowed here/, 'in a location');
like(main::check_upstream('', 'ollama_zone;'),
     qr/invalid number of arguments in "ollama_zone"/);



=== a small ollama_zone works, with fewer models
--- http_config
    ollama_zone 1m;
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
        ollama_balance;
        ollama_poll interval=100ms timeout=5s;
--- test
my @models = map { { name => sprintf('model%03d', $_),
                     details => { a => 'x' x 3000 } } } 1 .. 600;

fake_set(fake => $_, server => { models => [ { name => 'm1' }, @models ] })
    for 1, 2;

# there isn't room for so much: it is said, and nothing else comes of it
my $n = fake_requests(polls => 1)->{ended};
fake_requests(polls => 1, wait_ended => $n + 18, timeout_ms => 10_000);

is(http('POST /api/chat', $main::chat)->status, 200, 'chat') for 1 .. 4;
is(ref http('GET /api/models/servers')->json->{servers}, 'ARRAY');

fake_set(fake => $_, server => { models => [ { name => 'm1' } ] }) for 1, 2;
wait_status(up => 1, 2);
ok(wait_for(sub { @{ server(1)->{models} } == 1 }, 10), 'room again');
is(http('POST /api/chat', $main::chat)->status, 200);
--- no_error_log
[alert]
[emerg]



=== upstreams without our directives take no shared memory
--- bare
--- http_config
    upstream ollama {
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
    }
--- config
    location / {
        proxy_pass http://ollama;
        proxy_set_header Host localhost;
    }
--- test
is(http('GET /api/tags')->status, 200);
is(fake_requests(polls => 1)->{count}, 0);
