# Guards the promise that a directive means the same at every level where it may
# stand: each endpoint answers in a location that inherits "ollama_api", and in
# an "if" or "limit_except" there, as in a location that has it itself; none
# answers outside such locations, past their access rules; and none crashes.

use lib 't/lib';

use Test::Nginx::Ollama::Redis;

our $redis;

BEGIN {
    $redis = Test::Nginx::Ollama::Redis->start;
    $ENV{TEST_NGINX_REDIS_PATH} = $redis->path;
}

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Config;

our $chat = { model => 'm1',
              messages => [ { role => 'user', content => 'a' } ] };
our $text = { model => 'm1', prompt => 'a', input => 'a' };
our $conversation = { models => ['m1', 'm1'], initial_message => 'a',
                      max_turns => 2 };

# every endpoint, and its status in a location that has ollama_api itself
our @endpoints = (
    [ 'POST /api/chat', $chat, 200 ],
    [ 'POST /api/generate', $text, 200 ],
    [ 'POST /api/embed', $text, 200 ],
    [ 'POST /api/embeddings', $text, 200 ],
    [ 'POST /api/show', $text, 200 ],
    [ 'POST /v1/chat/completions', $chat, 200 ],
    [ 'POST /v1/completions', $text, 200 ],
    [ 'POST /v1/embeddings', $text, 200 ],
    [ 'POST /v1/responses', $text, 200 ],
    [ 'POST /v1/messages', { %$chat, max_tokens => 9 }, 200 ],
    [ 'POST /api/chat/cancel/none', undef, 404 ],
    [ 'GET /api/models/servers', undef, 200 ],
    [ 'GET /api/models/server/models', undef, 400 ],
    [ 'GET /api/models/server/check', undef, 400 ],
    [ 'GET /api/tags', undef, 200 ],
    [ 'GET /api/ps', undef, 200 ],
    [ 'GET /api/version', undef, 200 ],
    [ 'GET /api/status', undef, 200 ],
    [ 'GET /v1/models', undef, 200 ],
    [ 'GET /v1/models/m1', undef, 200 ],
    [ 'GET /', undef, 200 ],
    [ 'POST /api/chat/session', {}, 201 ],
    [ 'GET /api/chat/session/none', undef, 404 ],
    [ 'PATCH /api/chat/session/none', {}, 404 ],
    [ 'DELETE /api/chat/session/none', undef, 404 ],
    [ 'DELETE /api/chat/session/none/messages?from=1-0', undef, 404 ],
    [ 'GET /api/chat/sessions?id=none', undef, 200 ],
    [ 'POST /api/chat/multi-model', $conversation, 200 ],
    [ 'GET /api/metrics', undef, 501 ],
    [ 'POST /api/pull', $text, 403 ],
    [ 'POST /api/push', $text, 403 ],
    [ 'POST /api/create', $text, 403 ],
    [ 'POST /api/copy', $text, 403 ],
    [ 'DELETE /api/delete', $text, 403 ],
    [ 'HEAD /api/blobs/sha256:0a', undef, 403 ],
    [ 'POST /api/me', undef, 403 ],
    [ 'POST /api/signout', undef, 403 ],
    [ 'DELETE /api/user/keys/k1', undef, 403 ],
    [ 'GET /api/experimental/x', undef, 403 ],
    [ 'GET /api/nope', undef, 404 ],
    [ 'GET /v1/nope', undef, 404 ],
);


# Asks for every endpoint, or for those that are given, with $query behind it,
# and tells which had another status than in the table, or, if that is given,
# than $status->(path); and which refusals of ours weren't JSON.  "" if all is
# well.

sub wrong {
    my ($query, $status, @of) = @_;

    my @wrong;

    for (@of ? @of : @main::endpoints) {
        my ($line, $body, $expected) = @$_;
        my ($method, $path) = split / /, $line;

        $expected = $status->($path) if $status;
        $path .= ($path =~ /\?/ ? '&' : '?') . $query if length $query;

        my $r = http("$method $path", $body);
        my $got = $r->status // 'no reply';

        push @wrong, "$line: $got" if $got ne $expected;
        push @wrong, "$line: no JSON"
            if !$status && $got >= 400 && $method ne 'HEAD'
               && $r->header('Content-Type') !~ m{^application/json};
        push @wrong, "$line: cut"
            if $line =~ /multi-model/ && $got == 200
               && $r->body !~ /"done_reason":"max_turns"/;
    }

    return join "\n", @wrong;
}


add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('http_config', <<'END' . ($block->http_config // ''));
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
    map $uri $pool { default ollama; }
END
    $block->set_value('upstream', <<'END') if !defined $block->upstream;
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        ollama_balance;
        keepalive 4;
END
});

run_tests();

__DATA__

=== ollama_api of a location: every endpoint answers
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');



=== conditional and partial requests are answered as any others
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        proxy_force_ranges on;
        include ollama_params;
    }
--- test
wait_status(up => 1);

my $date = 'Thu, 01 Jan 1970 00:00:02 GMT';
my $c = client();

for my $header ([ 'If-None-Match' => '*' ], [ 'If-None-Match' => '"a"' ],
                [ 'If-Match' => '"a"' ], [ 'If-Match' => '*' ],
                [ 'If-Modified-Since' => $date ],
                [ 'If-Unmodified-Since' => $date ],
                [ 'If-None-Match' => '*', 'If-Modified-Since' => $date ],
                [ 'Range' => 'bytes=0-1' ],
                [ 'Range' => 'bytes=0-1', 'If-Range' => '"a"' ])
{
    my ($name, $value) = @$header;
    my @wrong;

    for (@main::endpoints) {
        my ($line, $body, $expected) = @$_;

        # of those with an ETag the answer is known
        if ($line =~ m{^GET\ /(?:api/(?:tags|ps|version|models/servers)
                                |v1/models)}x)
        {
            $expected = 304 if $name eq 'If-None-Match' && $value eq '*';
            $expected = 412 if $name eq 'If-Match' && $value ne '*';
        }

        # what a server answers to a GET passes as through any nginx
        next if $line eq 'GET /api/status' && $name eq 'Range';

        my $r = $c->request($line, $body, @$header)->reply;

        # as nginx does after this one
        $c = client() if $r->status == 412;

        push @wrong, "$line: " . $r->status . ' ' . $r->end
            if $r->status ne $expected || $r->end ne 'complete';
        push @wrong, "$line: " . $r->header('Content-Range')
            if $r->header('Content-Range');
    }

    is(join("\n", @wrong), '', "@$header");
}



=== ollama_api of a location with an empty name
--- config
    location "" {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');



=== ollama_api of a server, in a location with proxy_pass
--- config
    ollama_api ollama;

    location / {
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');



=== ollama_api of a server, where all proxy_pass have variables
--- config
    ollama_api ollama;

    location / {
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');



=== ollama_api of a server, in an if and a limit_except of a location
--- config
    ollama_api ollama;

    location / {
        if ($arg_if) {
            set $x 1;
        }

        if ($arg_setting) {
            add_header X-If 1;
        }

        limit_except GET {
            allow all;
        }

        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'no if');
is(wrong('if=1'), '', 'if');
is(wrong('setting=1'), '', 'if with a setting');



=== ollama_api of a location, in an if and a limit_except of it
--- config
    location / {
        ollama_api ollama;

        if ($arg_if) {
            set $x 1;
        }

        if ($arg_setting) {
            add_header X-If 1;
        }

        limit_except POST {
            allow all;
        }

        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'no if');
is(wrong('if=1'), '', 'if');
is(wrong('setting=1'), '', 'if with a setting');



=== a proxy_pass with variables, in an if and a limit_except of its location
--- config
    location / {
        ollama_api ollama;

        if ($arg_setting) {
            add_header X-If 1;
        }

        limit_except POST {
            allow all;
        }

        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'no if');
is(wrong('setting=1'), '', 'if with a setting');



=== an if with the same proxy_pass of its own, and one with variables
--- config
    location / {
        ollama_api ollama;

        if ($arg_own) {
            proxy_pass http://ollama;
        }

        if ($arg_variable) {
            proxy_pass http://$pool;
        }

        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong('own=1'), '', 'the same');
is(wrong('variable=1'), '', 'with variables');



=== ollama_api of an outer location, in a location inside it
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;

        location /api/ {
            if ($arg_setting) {
                add_header X-If 1;
            }

            proxy_pass http://ollama;
            include ollama_params;
        }
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');
is(wrong('setting=1'), '', 'if with a setting');



=== ollama_api of a server, in a location that is reached inside nginx
--- config
    ollama_api ollama;

    location / {
        error_page 418 = @ollama;
        return 418;
    }

    location @ollama {
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);
is(wrong(''), '', 'statuses');



=== ollama_api of a server answers nothing outside its locations
--- config
    ollama_api ollama;
    root html;

    location /ollama/ {
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
for (@main::endpoints) {
    my ($line, $body) = @$_;
    my $r = http($line, $body);

    is($r->status, $line eq 'GET /' ? 200 : $line =~ /^(PATCH|DELETE)/ ? 405
                    : 404,
       $line);
    like($r->header('Content-Type'), qr{^text/html}, "$line is nginx's page");
}
--- error_log
No such file
--- asked
nothing



=== ollama_api of a server answers nothing in a server without locations
--- config
    ollama_api ollama;
    root html;

    if ($arg_setting) {
        set $x 1;
    }
--- test
for my $query ('', 'setting=1') {
    is(wrong($query, sub { $_[0] eq '/' ? 200 : 404 },
             grep { $_->[0] =~ /^(GET|HEAD)/ } @main::endpoints), '',
       "statuses $query");
}
--- error_log
No such file
--- asked
nothing



=== ollama_api of a server answers nothing past "deny" of its locations
--- config
    ollama_api ollama;

    location / {
        deny all;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(wrong('', sub { 403 }), '', 'statuses');
--- error_log
access forbidden by rule
--- asked
nothing



=== ollama_api of a server answers nothing past "auth_basic" of its locations
--- config
    ollama_api ollama;

    location / {
        auth_basic Ollama;
        auth_basic_user_file none;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /v1/ {
        limit_except GET {
            deny all;
        }

        auth_basic Ollama;
        auth_basic_user_file none;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(wrong('', sub { 401 }, grep { $_->[0] !~ m{POST /v1/} } @main::endpoints),
   '', 'statuses');
is(wrong('', sub { 403 }, grep { $_->[0] =~ m{POST /v1/} } @main::endpoints),
   '', 'statuses of what limit_except denies');
--- error_log
access forbidden by rule
--- asked
nothing



=== ollama_api of a server leaves locations with other handlers as they are
--- config
    ollama_api ollama;

    location /api/ {
        proxy_pass http://$pool;
        include ollama_params;
    }

    location /v1/models {
        stub_status;
    }

    location /page/ {
        return 200 "page\n";
    }

    location /off/ {
        ollama_api off;
        proxy_pass http://ollama/;
        include ollama_params;
    }
--- test
like(http('GET /v1/models')->body, qr/^Active connections/, 'stub_status');
is(http('GET /page/')->body, "page\n", 'return');
is(http('GET /off/nope')->status, 404, 'off');
is(http('GET /api/nope')->json->{error}, '404 page not found', 'proxy_pass');
--- asked
GET /nope



=== ollama_api of a location with another handler than proxy_pass is refused
--- config
    location /api/ {
        ollama_api ollama;
        stub_status;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ needs "proxy_pass},
 'needs "proxy_pass http://ollama" in location "/api/"']



=== ollama_api of a server names an upstream that exists
--- config
    ollama_api olama;

    location / {
        proxy_pass http://ollama;
        include ollama_params;
    }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"ollama_api" in \S+/nginx\.conf:\d+ names "olama"},
 'names "olama", but there is no "upstream olama { ... }" block']



=== no directive of ours is taken in an if or a limit_except
--- test
for my $line ('ollama_api ollama', 'ollama_management on',
              'ollama_forbid keep_alive', 'ollama_origins *',
              'ollama_session_ttl 1d', 'ollama_session_owner $remote_user',
              'ollama_fair $remote_user')
{
    my ($name) = split / /, $line;

    for my $block ('if ($arg_a)', 'limit_except GET') {
        like(check_config("$block { $line; }"),
             qr/\[emerg\] .*"$name" directive is not allowed here/,
             "$name in $block");
    }
}



=== what a server or http sets holds in an if and a limit_except of a location
--- http_config
    ollama_management on;
    ollama_forbid keep_alive;
    ollama_origins https://a.example;
    ollama_session_owner $arg_owner;
--- config
    ollama_api ollama;

    location /api/ {
        if ($arg_setting) {
            add_header X-If 1;
        }

        limit_except GET {
            allow all;
        }

        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
wait_status(up => 1);

for my $query ('?a=1', '?setting=1') {
    is(http("POST /api/pull$query", '{"model":"m1"}')->status, 200,
       "ollama_management $query");
    is(http("POST /api/chat$query", { %$main::chat, keep_alive => 1 })
       ->header('X-Ollama-Removed'), 'keep_alive', "ollama_forbid $query");
    is(http("POST /api/chat$query", $main::chat, Origin => 'https://a.example')
       ->status, 200, "ollama_origins $query");
    is(http("POST /api/chat$query", $main::chat, Origin => 'https://b.example')
       ->status, 403, "another origin $query");
    is(http("POST /api/chat/session$query", {})->status, 403,
       "ollama_session_owner $query");
    is(http("POST /api/chat/session$query&owner=ann", {})->status, 201,
       "an owner $query");
}
