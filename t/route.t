# Guards the promise that a client reaches exactly the endpoints of docs/api.md.
# All else is refused before a server is asked, managing models above all,
# however the path is spelled; and a server sees the endpoint that was checked,
# in one spelling, with the query string and body as they came.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Server qw($server $steps);

use Digest::SHA qw(sha256_hex);

our $chat = { model => 'm1',
             messages => [ { role => 'user', content => 'a' } ] };
our $text = { model => 'm1', prompt => 'a', input => 'a' };

our %model = (
    '/api/chat' => $chat,
    '/api/generate' => $text,
    '/api/embed' => $text,
    '/api/embeddings' => $text,
    '/api/show' => $text,
    '/v1/chat/completions' => $chat,
    '/v1/completions' => $text,
    '/v1/embeddings' => $text,
    '/v1/responses' => $text,
    '/v1/messages' => { %$chat, max_tokens => 9 },
);

our %lists = (
    '/api/tags' => 'GET, HEAD',
    '/api/ps' => 'GET',
    '/api/version' => 'GET, HEAD',
    '/v1/models' => 'GET',
    '/v1/models/m1' => 'GET',
);

# of later versions
our %later = (
    '/api/metrics' => 'GET, HEAD',
);

# answered by the gateway itself
our %own = (
    '/api/chat/cancel/t1' => 'POST',
    '/api/chat/multi-model' => 'POST',
    '/api/chat/session' => 'POST',
    '/api/chat/session/s1' => 'GET, HEAD, PATCH, DELETE',
    '/api/chat/session/s1/messages' => 'DELETE',
    '/api/chat/sessions' => 'GET, HEAD',
    '/api/models/servers' => 'GET, HEAD',
    '/api/models/server/models' => 'GET, HEAD',
    '/api/models/server/check' => 'GET, HEAD',
);

our %management = (
    '/api/pull' => 'POST',
    '/api/push' => 'POST',
    '/api/create' => 'POST',
    '/api/copy' => 'POST',
    '/api/delete' => 'DELETE',
    '/api/blobs/sha256:0a' => 'HEAD, POST',
    '/api/me' => 'POST',
    '/api/signout' => 'POST',
    '/api/user/keys/k1' => 'DELETE',
    '/api/experimental/x' => 'GET, POST, DELETE',
);

our @methods = qw(GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND FOO);


# A form with this boundary: fields, and files named "file".

sub form {
    my ($boundary, @fields) = @_;

    my $form = '';

    while (my ($name, $value) = splice @fields, 0, 2) {
        my $file = $name eq 'file' ? '; filename="a.wav"' : '';
        $form .= "--$boundary\r\nContent-Disposition: form-data; "
                 . "name=\"$name\"$file\r\n\r\n$value\r\n";
    }

    return "$form--$boundary--\r\n";
}


# Ways to write a path that a server, or one of the parts between, might take
# for the plain one.

sub spellings {
    my ($path) = @_;

    my ($dir, $name) = $path =~ m{^(.*)/([^/]+)$};
    my $all = $path =~ s/(.)/sprintf '%%%02x', ord $1/ger;
    my $letters = $path =~ s/([a-z])/sprintf '%%%02X', ord $1/ger;
    my $slashes = $path =~ s/(.)\//$1%2f/gr;
    my $first = $path
                =~ s/([a-z])([a-z0-9:]*)$/sprintf '%%%02x%s', ord $1, $2/er;
    my $last = sprintf '%s%%%02x', substr($path, 0, -1), ord substr $path, -1;

    return (
        $path, uc $path, ucfirst $path, "$dir/" . ucfirst $name,
        "$dir/" . uc $name, uc($dir) . "/$name",
        "/$path", "$dir//$name", "$dir///$name", "//$dir//$name",
        "$path/", "$path//", "$path/.", "$path/..//$name", "$path/x",
        "$path/chat",
        "$dir/./$name", "$dir/x/../$name", "$dir/chat/../$name",
        "/v1/..$path", "/v1/../$dir/$name", "/..$path", "/../..$path",
        "$dir/%2e/$name", "$dir/%2E%2E$path", "$dir/x/%2e%2e/$name",
        "$dir/x%2f..%2f$name", "$dir/..%2f..$slashes",
        $all, $letters, $slashes, $first, $last, "$dir%2F$name", "%2f$path",
        $last . '/', "$dir/%2f$name", "$dir%2f%2f$name", uc $first,
        $path =~ s/([a-z])$/sprintf '%%25%02x', ord $1/er,
        "$dir\\$name", "$dir/\\$name", "\\$dir\\$name", "$dir%5c$name",
        "$dir/%5C$name", "$dir/x\\..\\$name", "$dir/..\\$dir\\$name",
        "$path;", "$path;a=b", "$dir;/$name", "$dir/;$name", "$dir/;/$name",
        "/v1/..;$path", "$dir/chat;/../$name", "$path%3b", "$path%3Ba",
        "$path?", "$path?a=b", "$path?model=m1", "$path%3f", "$path%3Fa=b",
        "$path#", "$path#a", "$path%23",
        "http://localhost$path", "HTTP://LOCALHOST$path",
        "https://localhost$path",
        "http://localhost/$path", "http://a:b\@localhost$path",
        "http://other.example$path",
        "$path%00", "$path%00.txt", "$dir%00/$name", "%00$path",
        "$dir/%00$name", "$path\0", "$dir/\0$name",
        "$path%20", "$path%09", "$path%0a", "$path%0d%0a", "$dir/%20$name",
        "$path+", "$path.", "$path..", "$path...", "$path~", "$path*", "$path:",
        "$path%c0%ae", "$dir%c0%af$name", "$dir%e2%81%84$name", "$path%ff",
        "$path%u002f", "$path%", "$path%2", "$path%zz",
        $path =~ s/s/%c5%bf/r, $path =~ s/([a-z])$/chr(0xef) . chr(0xbd)
                                              . chr(0x80 + ord($1) - 96)/er,
    );
}


our @some = ('/api/pull', '/api/blobs/sha256:0a', '/api/user/keys/k1');


# Sends all spellings of paths with all methods, and tells which were not
# refused.

sub let_through {
    my ($prefix, $refused, @paths) = @_;

    my @through;
    my $body = '{"model":"m1","name":"m1"}';

    for my $path (@paths) {
        for my $spelling (spellings("$prefix$path")) {
            for my $method (split(/, /, $main::management{$path}), 'GET') {
                my $r = raw("$method $spelling HTTP/1.1\r\nHost: localhost\r\n"
                            . "Content-Length: " . length($body)
                            . "\r\nConnection: close\r\n\r\n$body",
                            head => $method eq 'HEAD');

                push @through, "$method $spelling: " . $r->status
                    if $r->status !~ $refused;
            }
        }
    }

    return join "\n", @through;
}

run_tests();

__DATA__

=== every endpoint that names a model goes to a server
--- test
for my $path (sort keys %main::model) {
    my $r = http("POST $path", $main::model{$path});
    is($r->status, 200, "POST $path");
    ok($r->complete, "POST $path is complete");
}

is_deeply([fake_asked()], [map { "POST $_" } sort keys %main::model],
          'what the server was asked');



=== lists of models go to a server
--- test
for my $path (sort keys %main::lists) {
    my $r = http("GET $path");
    is($r->status, 200, "GET $path");
    like($r->body, qr/^\{.*\}\n?$/s, "GET $path has an object");
}

is_deeply([fake_asked()], [map { "GET $_" } sort keys %main::lists],
          'what the server was asked');



=== HEAD works where it is allowed, and has no body
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
for my $path ('/', '/api/tags', '/api/version') {
    my $r = http("HEAD $path");
    is($r->status, 200, "HEAD $path");
    is($r->body, '', "HEAD $path has no body");
    is($r->header('Content-Length'), length http("GET $path")->body,
       "HEAD $path tells the length of GET");
}
--- asked
HEAD /api/tags
GET /api/tags
HEAD /api/version
GET /api/version



=== endpoints of later versions are 501, and no server is asked
--- test
for my $path (sort keys %main::later) {
    for my $method (split /, /, $main::later{$path}) {
        my $r = http("$method $path", $method eq 'POST' ? $main::chat : undef);
        is($r->status, 501, "$method $path");
        is($r->header('Content-Type'), 'application/json; charset=utf-8',
           "$method $path is JSON");
        next if $method eq 'HEAD';
        like($r->json->{error}, qr/"\Q$path\E" is not available/,
             "$method $path says what is missing");
    }
}
--- asked
nothing



=== a refusal keeps the client's connection
--- test
my $c = client();

for ([ 'POST /api/chat/session', 503, '{}' ], [ 'GET /api/nope', 404 ],
     [ 'POST /api/pull', 403, '{"model":"m1"}' ], [ 'GET /api/chat', 405 ],
     [ 'POST /api/chat', 400, '{' ], [ 'GET /api/tags', 200 ])
{
    my $r = $c->request($_->[0], $_->[2])->reply;
    is($r->status, $_->[1], $_->[0]);
    is($r->end, 'complete', "$_->[0] ends by its length");
    is($r->header('Connection'), 'keep-alive', "$_->[0] keeps the connection");
}

$c->close;
--- asked
GET /api/tags



=== a slash at the end of a path is the same as none
--- ollama
        ollama_management on;
--- test
my @asked;

for my $path (sort keys %main::model) {
    is(http("POST $path/", $main::model{$path})->status, 200, "POST $path/");
    push @asked, "POST $path";
}

for my $path (sort keys %main::lists) {
    is(http("GET $path/")->status, 200, "GET $path/");
    push @asked, "GET $path";
}

for my $path (sort keys %main::management) {
    my ($method) = $main::management{$path} =~ /(\w+)$/;
    isnt(http("$method $path/", '{"model":"m1"}')->status, 405,
         "$method $path/");
    push @asked, "$method $path";
}

is(http('GET /api/tags/?a=b/')->status, 200, 'with arguments');
is(http('GET /api//tags///')->status, 200, 'slashes are merged before');
is_deeply([fake_asked()], [@asked, 'GET /api/tags?a=b/', 'GET /api/tags'],
          'what the server was asked');

for my $path (sort keys %main::own) {
    for my $method (split /, /, $main::own{$path}) {
        my $body = $method eq 'HEAD' ? undef : '{}';
        is(http("$method $path/", $body)->status,
           http("$method $path", $body)->status, "$method $path/");
    }

    my $r = http("FOO $path/");
    is($r->status, 405, "FOO $path/");
    is($r->header('Allow'), $main::own{$path}, "FOO $path/");
}
--- no_error_log
[crit]



=== a slash at the end behind a prefix, and where nginx merges none
--- config
    merge_slashes off;

    location /llm/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('GET /llm/api/tags/')->status, 200, 'behind a prefix');
is(http('GET /llm/')->body, 'Ollama is running', 'the root behind a prefix');
is(http('GET /v1/models/m1/')->status, 200, 'a name');

for my $path ('//', '/api/tags//', '/api//tags/', '/llm//', '//api/tags') {
    is(http("GET $path")->status, 404, $path);
}
--- asked
GET /api/tags
GET /v1/models/m1



=== other paths below /api are 404 in Ollama's form
--- test
for my $path (qw(/api/ /api/nope /api/chats /api/cha /api/chat/x
                 /api/Chat /api/versions /api/chats/ /api/chat/x/
                 /api/blob /api/pulls /api/mex /api/v1/models /api/chat;x
                 /api/chat%20 /api/chat%00 /api/generate/chat
                 /api/models /api/models/server /api/chat/session/a/b
                 /api/chat/session/a/messages/b))
{
    for my $method (qw(GET POST)) {
        my $r = http("$method $path", $main::chat);

        if ($path =~ /%00/) {
            # nginx's own refusal, before there is a location
            is($r->status, 400, "$method $path");
            next;
        }

        is($r->status, 404, "$method $path");
        is($r->body, '{"error":"404 page not found"}', "$method $path");
    }
}
--- asked
nothing



=== other paths below /v1 are 404 in OpenAI's form
--- test
for my $path (qw(/v1/ /v1/nope /v1/nope/ /v1/chat /v1/chat/ /v1/Models
                 /v1/api/tags /v1/files /v1/images))
{
    my $r = http("GET $path");
    is($r->status, 404, $path);
    is_deeply($r->json,
              { error => { message => '404 page not found',
                           type => 'not_found_error', param => undef,
                           code => undef } }, "$path has OpenAI's error");
}
--- asked
nothing



=== endpoints that take files go to a server by the field "model" of a form
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
--- fake
{"server":{"models":[{"name":"m1"},{"name":"a b"}]}}
--- test
wait_status(up => 1);

my $n = 0;

for my $path (qw(/v1/images/edits /v1/audio/transcriptions)) {
    for my $form ([ 'boundary=xx', form('xx', model => 'm1') ],
                  [ 'boundary="x x"', form('x x', model => 'm1') ],
                  [ 'charset=utf-8; Boundary=xx',
                    form('xx', file => "\r\n--x\r\n" x 100_000,
                         model => 'm1') ])
    {
        my ($type, $body) = @$form;
        my $r = http("POST $path", $body,
                     'Content-Type' => "multipart/form-data; $type");

        # the stand-in has none of these
        is($r->body, '404 page not found', "$path, $type");

        my $asked = fake_requests(last => 1)->{requests}[0];
        is($asked->{body_sha256}, sha256_hex($body), 'the whole form goes on');
        is($asked->{headers}{'content-type'}, "multipart/form-data; $type",
           'with its type');

        # a line is written after the reply was sent
        $n++;
        ok(wait_for(sub { $n <= grep { / model=m1 / } access_log() }),
           'and its model is known');
    }

    my $type = 'multipart/form-data; boundary=xx';

    for ([ 400, '"model" is required', form('xx', file => 'a') ],
         [ 400, '"model" is required', form('xx', model => '') ],
         [ 400, 'unexpected end of the form', '{"model":"m1"}' ],
         [ 400, 'unexpected end of the form', '' ],
         [ 400, '"model" is longer', form('xx', model => 'm' x 1025) ],
         [ 404, "model 'm3' not found", form('xx', model => 'm3') ])
    {
        my ($status, $text, $body) = @$_;
        my $r = http("POST $path", $body, 'Content-Type' => $type);

        is($r->status, $status, "$path: $text");
        like($r->json->{error}{message}, qr/\Q$text\E/, 'the text');
    }

    my $r = http("POST $path", 'x', 'Content-Type' => 'multipart/form-data');
    is($r->status, 400, 'no boundary');
    like($r->json->{error}{message}, qr/boundary/, 'says so');

    # Go reads arguments first
    $r = http("POST $path?x=1&m%6fdel=m3&model=m1", form('xx', model => 'm1'),
              'Content-Type' => $type);
    like($r->json->{error}{message}, qr/'m3' not found/, 'an argument wins');

    is(http("POST $path?model=a+b", form('xx', model => 'm3'),
            'Content-Type' => $type)->body, '404 page not found', 'a blank');

    is(http("POST $path", '{"model":"m1"}')->body, '404 page not found',
       'JSON is fine, too');
    is(http("POST $path", '{"model":1}')->status, 400, 'if it is right');
}

for my $path (qw(/v1/images/generations /v1/responses/compact)) {
    is(http("POST $path", '{"model":"m1"}')->body, '404 page not found', $path);
    is(http("POST $path", '{"model":"m3"}')->json->{error}{message},
       "model 'm3' not found", "$path without a server");
    is(http("POST $path", '{}')->status, 400, "$path without a model");
    is(http("GET $path")->status, 405, "GET $path");
}

is(http('GET /api/status')->status, 200, 'GET /api/status');
is(http('POST /api/status')->status, 405, 'POST /api/status');



=== replies of endpoints that take files pass as they are
--- upstream eval: $::steps
--- test
my $form = form('xx', model => 'm1');
my @type = ('Content-Type' => 'multipart/form-data; boundary=xx');

for ([ 'application/json', '{"text":"hello"}' ], [ 'text/plain', "hello\n" ],
     [ 'application/json', '{"created":1,"data":[{"b64_json":"'
                           . 'abcd' x 100_000 . '"}]}' ],
     [ 'text/event-stream', "event: a\ndata: {\"type\":\"a\"}\n\n" ],
     [ 'text/vtt', "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n" ],
     [ 'image/png', "\x89PNG\r\n\0" ])
{
    my ($type, $body) = @$_;
    my $c = client()->request('POST /v1/audio/transcriptions', $form, @type);
    my $s = $main::server->accept;

    is($s->{body}, $form, "$type: the form");
    $s->header($type)->chunk($body)->last;

    my $r = $c->reply;
    is($r->status, 200, 'status');
    is($r->body, $body, 'body');
    is($r->end, 'complete', 'end');
    is($r->header('Content-Type'), $type, 'type');
    $c->close;
}

# one that is cut never looks complete

for my $type ('application/json', 'text/event-stream') {
    my $c = client()->request('POST /v1/images/generations', '{"model":"m1"}');
    my $s = $main::server->accept;

    $s->header($type)->chunk('{"created":1');
    $s->close;

    isnt($c->reply_to_end->end, 'complete', "$type, cut");
    $c->close;
}
--- error_log
prematurely closed



=== ollama_pass lets further paths through
--- http_config
    ollama_pass /v1/outer;
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
--- ollama
        ollama_pass /v1/files /v1/files/*/content;
        ollama_pass /api/new/;
--- test
wait_status(up => 1);

my @asked;

for my $path (qw(/v1/files /v1/files/a/content /api/new)) {
    for my $method (qw(GET HEAD POST PUT PATCH DELETE)) {
        my $body = $method =~ /P/ ? '{"model":"m1"}' : undef;
        my $r = http("$method $path?a=b&c=%20", $body);

        is($r->status, 404, "$method $path");
        is($r->body, $method eq 'HEAD' ? '' : '404 page not found',
           'the answer of the server') if $method ne 'HEAD';
        push @asked, "$method $path?a=b&c=%20";
    }

    my $r = http("FOO $path", '{}');
    is($r->status, 405, "FOO $path");
    is($r->header('Allow'), 'GET, HEAD, POST, PUT, PATCH, DELETE', 'others');
}

is_deeply([fake_asked()], \@asked, 'what the server was asked');

for my $body ('', 'hello', '{', '[]', '{}', '{"model":1}', '{"model":""}',
              '{"model":null,"x":"'. 'x' x 300_000 . '"}', "\0\xff",
              '{"model":"m1","server_url":2}', '{"model":"' . 'x' x 2000 . '"}')
{
    is(http('POST /api/new', $body)->body, '404 page not found',
       substr $body, 0, 40);
    is(fake_requests(last => 1)->{requests}[0]{body_sha256}, sha256_hex($body),
       'as it is');
}

my $type = 'multipart/form-data';

for ([ "$type; boundary=xx", form('xx', a => 'b') ],
     [ "$type; boundary=xx", form('xx', model => 'm1') ],
     [ "$type; boundary=xx", 'none' ], [ $type, form('xx', model => 'm9') ],
     [ 'text/plain', form('xx', model => 'm9') ])
{
    my ($type, $body) = @$_;
    is(http('POST /v1/files', $body, 'Content-Type' => $type)->body,
       '404 page not found', $type);
    is(fake_requests(last => 1)->{requests}[0]{body}, $body, 'as it is');
}

is(http('POST /v1/files/', '{"model":"m9"}')->json->{error}{message},
   "model 'm9' not found", 'by the model, where there is one');
is(http('POST /v1/files', form('xx', model => 'm9'),
        'Content-Type' => "$type; boundary=xx")->json->{error}{message},
   "model 'm9' not found", 'of a form, too');
is(http('POST /v1/files', '{"model":"m1"}',
        'X-Ollama-Server-Url' => 'http://nowhere:1')->status, 404,
   'at a server that is named');

my $n = fake_requests()->{count};

for my $path (qw(/v1/outer /v1/files/a /v1/files/a/b/content /v1/Files
                 /v1/files//content /api/new/x))
{
    is(http("GET $path")->json->{error}{message} // '', '404 page not found',
       $path) if $path =~ /v1/;
    is(http("GET $path")->status, 404, $path);
}

is(fake_requests()->{count}, $n, 'nobody was asked for others');



=== further paths: aliases, ollama_forbid, the fields of the gateway
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
--- ollama
        ollama_pass /api/new /v1/files;
        ollama_alias mine m1;
        ollama_forbid keep_alive options.num_ctx;
--- test
wait_status(up => 1);

my $url = 'http://127.0.0.1:' . fake_port();

for (['{"keep_alive":5,"model":"m1"}', '{"model":"m1"}', 'keep_alive'],
     ['{"model":"mine"}', '{"model":"m1"}'],
     ['{"x":1,"options":{"num_ctx":1},"model":" m1 "}',
      '{"x":1,"options":{},"model":"m1"}', 'options.num_ctx'],
     ['{"keep_alive":5', '{"keep_alive":5'], ['[]', '[]'],
     ['"keep_alive"', '"keep_alive"'])
{
    my ($body, $sent, $removed) = @$_;

    for my $path (qw(/api/new /v1/files)) {
        my $r = http("POST $path", $body);
        is($r->body, '404 page not found', "$path $body");
        is($r->header('X-Ollama-Removed'), $removed, 'removed');
        is(fake_requests(last => 1)->{requests}[0]{body}, $sent, 'sent');
    }
}

my $own = qq({"server_url":"$url","a":1,"session_id":"x","task_id":"y"});
is(http('POST /api/new', $own)->body, '404 page not found');
is(fake_requests(last => 1)->{requests}[0]{body}, '{"a":1}', 'under /api');
is(http('POST /v1/files', $own)->body, '404 page not found');
is(fake_requests(last => 1)->{requests}[0]{body}, $own, 'under /v1');
is(http('POST /api/new', '{"server_url":"http://127.0.0.1:1"}')->status, 404);

my $n = fake_requests()->{count};
is(http('POST /api/new', $_)->status, 400, $_)
    for '{"keep_alive":5,"model":1}', '{"keep_alive":5,"task_id":"a b"}';
is(fake_requests()->{count}, $n, 'nobody was asked');



=== ollama_pass of an outer level, and with a prefix
--- http_config
    ollama_pass /api/new;
--- config
    location /llm/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('GET /llm/api/new/?a')->body, '404 page not found', 'passed');
is(http('GET /llm/api/old')->json->{error}, '404 page not found', 'refused');
is(http('OPTIONS /llm/api/new')->status, 405, 'OPTIONS');
--- asked
GET /api/new?a



=== ollama_pass opens no way to manage models
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_management on;
        ollama_pass /*/*/* /*/*;
    }
--- test
for my $path (qw(/API/pull /api/Pull /api/pull/x /api/Blobs/x /api/me/x)) {
    is(http("POST $path", '{}')->json->{error}, '404 page not found', $path);
}

is(http('POST /api/blobs/sha256:0a/x', '{}')->status, 404, 'a blob');
--- asked
nothing



=== replies to further paths pass as they are
--- upstream eval: $::steps
--- ollama
        ollama_pass /api/new;
--- test
for my $type ('application/json', 'application/x-ndjson', 'text/event-stream',
              'text/html')
{
    my $c = client()->request('POST /api/new', '{"model":"m1"}');
    my $s = $main::server->accept;

    $s->header($type)->chunk("{\"a\":1}\nb\n")->last;
    is($c->reply->body, "{\"a\":1}\nb\n", $type);
    is($c->reply->end, 'complete', 'end');
    $c->close;
}



=== other methods are 405, and Allow names the right ones
--- test
my %allowed = (%main::lists, %main::own, %main::later,
               map { $_ => 'POST' } keys %main::model);

for my $path (sort keys %allowed) {
    my %is = map { $_ => 1 } split /, /, $allowed{$path};

    for my $method (grep { !$is{$_} } @main::methods) {
        my $r = http("$method $path", $method eq 'HEAD' ? undef : $main::chat);
        is($r->status, 405, "$method $path");
        is_deeply([$r->headers('Allow')], [$allowed{$path}],
                  "$method $path is told what is allowed");
        is($r->header('Content-Type'), 'application/json; charset=utf-8',
           "$method $path is JSON");

        if ($method eq 'HEAD') {
            is($r->body, '', "$method $path has no body");
            next;
        }

        my $error = $r->json->{error};
        $error = $error->{message} if $path =~ m{^/v1};
        like($error, qr/$method.*\Q$path\E.*\Q$allowed{$path}\E/,
             "$method $path says why");
    }
}
--- asked
nothing



=== the root answers without a server
--- config
    location = / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
my $r = http('GET /');
is($r->status, 200, 'GET');
is($r->body, 'Ollama is running', 'GET has the words that clients look for');
is($r->header('Content-Type'), 'text/plain; charset=utf-8', 'GET is text');

$r = http('POST /', $main::chat);
is($r->status, 405, 'POST');
is($r->header('Allow'), 'GET, HEAD', 'POST is told what is allowed');
--- asked
nothing



=== managing models is 403 with every method
--- test
for my $path (sort keys %main::management) {
    for my $method (grep { $_ ne 'OPTIONS' } @main::methods) {
        my $r = http("$method $path", $method eq 'HEAD' ? undef : $main::chat);
        is($r->status, 403, "$method $path");
        next if $method eq 'HEAD';
        like($r->json->{error}, qr/ollama_management/,
             "$method $path names the directive");
    }
}
--- asked
nothing



=== no spelling of management gets through two plain locations
--- config
    log_not_found off;

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
--- test
is(main::let_through('', qr/^4/, @main::some), '', 'let through');
--- asked
nothing



=== no spelling of management gets through one location for all
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(main::let_through('', qr/^40[034]$/, sort keys %main::management), '',
   'let through');
--- asked
nothing



=== no spelling of management gets through where nginx merges no slashes
--- config
    merge_slashes off;

    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(main::let_through('', qr/^40[034]$/, @main::some), '', 'let through');
--- asked
nothing



=== no spelling of management gets through a regex location
--- config
    location ~* (api|v1) {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(main::let_through('', qr/^4/, @main::some), '', 'let through');
--- asked
nothing



=== no spelling of management gets through a prefix
--- config
    merge_slashes off;

    location / {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(main::let_through('/llm', qr/^40[034]$/, @main::some), '', 'let through');
is(main::let_through('/llm/llm', qr/^40[034]$/, @main::some), '',
   'let through twice');
is(main::let_through('', qr/^40[034]$/, @main::some), '',
   'let through without it');
--- asked
nothing



=== no spelling of management gets through HTTP/2
--- config
    $TEST_NGINX_H2_LISTEN

    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
for my $path ('/api/pull', '/API/pull', '//api//pull', '/api/%70ull',
              '/api%2fpull', '/api/x/../pull', '/api/pull/', '/api\\pull')
{
    my $r = http2("POST $path", '{"model":"m1"}');
    like($r->status, qr/^40[034]$/, "$path, " . $r->end);
}
--- asked
nothing



=== management is let through where that is allowed, with its methods only
--- ollama
        ollama_management on;
--- test
my @asked;

for my $path (sort keys %main::management) {
    my %is = map { $_ => 1 } split /, /, $main::management{$path};

    for my $method (@main::methods) {
        my $body = $is{$method} && $method eq 'POST' ? '{"model":"m1"}' : undef;
        my $r = http("$method $path", $body);

        if ($is{$method}) {
            push @asked, "$method $path";
            isnt($r->status, 405, "$method $path is not refused");

        } else {
            is($r->status, 405, "$method $path");
            is($r->header('Allow'), $main::management{$path}, "$method $path");
        }
    }
}

is_deeply([fake_asked()], \@asked, 'what the server was asked');
--- no_error_log
[crit]



=== management lets no other paths through
--- ollama
        ollama_management on;
--- test
for my $path (qw(/api/pull/x /api/pull/x/ /api/Pull /api/blobs /api/blobs/
                 /api/blobs/a/b /api/user /api/user/keys /api/experimental
                 /api/delete/m1 /api/pull;x))
{
    is(http("POST $path", '{"model":"m1"}')->status, 404, $path);
}
--- asked
nothing



=== an uploaded blob arrives byte for byte
--- ollama
        ollama_management on;
--- test
require Digest::SHA;

for my $size (0, 1, 4096, 300_000, 2_000_003) {
    my $blob = join '', map { chr($_ * 7 % 256) } 0 .. 250;
    $blob = substr $blob x ($size / length($blob) + 1), 0, $size;

    my $sum = Digest::SHA::sha256_hex($blob);
    my $r = http("POST /api/blobs/sha256:$sum", $blob,
                 'Content-Type' => 'application/octet-stream');
    my $asked = fake_requests(last => 1)->{requests}[0];

    like($r->status, qr/^20/, "$size bytes");
    is($asked->{body_bytes}, $size, "$size bytes arrive");
    is($asked->{body_sha256} // $sum, $sum, "$size bytes arrive unchanged");

    $r = http("POST /api/blobs/sha256:$sum", $blob, -chunked => 10_000);
    is(fake_requests(last => 1)->{requests}[0]{body_bytes}, $size,
       "$size bytes in chunks arrive") if $size;

    is(http("HEAD /api/blobs/sha256:$sum")->body, '', "$size bytes by HEAD");
    is(fake_requests(last => 1)->{requests}[0]{method}, 'HEAD',
       'HEAD stays HEAD');
}



=== ollama_management is inherited, and can be switched off in a location
--- config
    ollama_management on;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /closed/api/ {
        ollama_api ollama prefix=/closed;
        ollama_management off;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('POST /api/pull', '{"model":"m3"}')->status, 200, 'inherited');
is(http('POST /closed/api/pull', '{"model":"m3"}')->status, 403, 'taken back');
--- asked
POST /api/pull



=== a prefix is taken off before the endpoint is looked up
--- config
    location /llm/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /a/b/api/ {
        ollama_api ollama prefix=/a/b/;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('POST /llm/api/chat', $main::chat)->status, 200, 'chat');
is(http('GET /llm/api/tags?x=1')->status, 200, 'tags');
is(http('GET /llm/')->body, 'Ollama is running', 'root');
is(http('GET /llm/llm/api/tags')->status, 404, 'twice');
is(http('GET /llm/nope')->body, '{"error":"404 page not found"}', 'unknown');
is(http('GET /llm/v1/nope')->json->{error}{type}, 'not_found_error',
   'errors below /v1 have its form');
is(http('POST /llm/api/pull', '{"model":"m1"}')->status, 403, 'management');
is(http('GET /a/b/api/version')->status, 200, 'a prefix with two parts');
--- asked
POST /api/chat
GET /api/tags?x=1
GET /api/version



=== a server gets one spelling of the path
--- test
my %sent = (
    '/api/./chat' => '/api/chat',
    '/api/x/../chat' => '/api/chat',
    '//api//chat' => '/api/chat',
    '/api/%63hat' => '/api/chat',
    '/%61%70%69%2f%63%68%61%74' => '/api/chat',
    'http://localhost/api/chat' => '/api/chat',
    '/v1/../api/chat' => '/api/chat',
    '/api/chat?' => '/api/chat',
    '/api/chat?a=%2F&b=+&&c=../x//' => '/api/chat?a=%2F&b=+&&c=../x//',
    '/api/%63hat?%63' => '/api/chat?%63',
);

for my $path (sort keys %sent) {
    my $r = http("POST $path", $main::chat);
    my $uri = fake_requests(last => 1)->{requests}[0]{uri};

    is($r->status, 200, $path);
    like($uri, qr/^\Q$sent{$path}\E\??$/, "$path is sent as $sent{$path}");
}



=== a model's name in the path may have slashes and is escaped again
--- test
my %sent = (
    'm1' => 'm1',
    'hf.co/user/m:tag' => 'hf.co/user/m:tag',
    'hf.co%2Fuser%2Fm:tag' => 'hf.co/user/m:tag',
    'a%20b' => 'a%20b',
    'a%25b' => 'a%25b',
    'a%2570ull' => 'a%2570ull',
    'a%3Fb' => 'a%3Fb',
    'a%23b' => 'a%23b',
    'a%0d%0aX-Evil:%201' => 'a%0D%0AX-Evil:%201',
    'a%20HTTP/1.1%0d%0aX-Evil:1%0d%0a%0d%0aGET%20/api/pull' =>
        'a%20HTTP/1.1%0D%0AX-Evil:1%0D%0A%0D%0AGET%20/api/pull',
    '%d0%bc?q=%d0%bc' => '%D0%BC?q=%d0%bc',
);

my $n;

for my $id (sort keys %sent) {
    http("GET /v1/models/$id");

    my $record = fake_requests();
    my $asked = $record->{requests}[-1];

    is($record->{count}, ++$n, "$id is one request");
    is(lc $asked->{uri}, lc "/v1/models/$sent{$id}", "$id as it is sent");
    ok(!exists $asked->{headers}{'X-Evil'}, "$id makes no header line");
}



=== a redirect inside nginx keeps the endpoint
--- config
    location /chat {
        rewrite ^ /api/chat last;
    }

    location /pull {
        rewrite ^ /api/pull last;
    }

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
is(http('POST /chat', $main::chat)->status, 200, 'chat');
is(http('POST /pull', $main::chat)->status, 403, 'management');
--- asked
POST /api/chat



=== the credentials of a client stay at the gateway
--- ollama
        ollama_management on;
--- test
my @names = qw(Authorization Cookie Proxy-Authorization x-api-key api-key
               X-Goog-Api-Key X-Auth-Token);

for ([ 'POST /api/chat', $main::chat ], [ 'POST /v1/messages', $main::chat ],
     [ 'GET /api/tags' ], [ 'POST /api/pull', '{"model":"m1"}' ])
{
    my ($line, $body) = @$_;

    http($line, $body, (map { $_ => 'secret' } @names),
         'OpenAI-Organization' => 'org', 'anthropic-version' => '2023-06-01');

    my $got = fake_requests(last => 1)->{requests}[0]{headers};

    is(join(' ', grep { $got->{$_} =~ /secret/ } keys %$got), '', $line);
    is($got->{'openai-organization'}, 'org', "$line: what is none, passes");
    is($got->{'anthropic-version'}, '2023-06-01', "$line: and so does this");
}
