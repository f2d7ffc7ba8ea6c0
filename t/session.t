# Guards what clients are promised of sessions: every request of the table in
# docs/api.md, owners, that no text in an id, an owner or a title reaches other
# keys in Redis, expiry, and an answer at once when Redis is down.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(empty_redis block_begins made);
use Test::Nginx::Ollama;
use JSON::PP;
use Time::HiRes qw(sleep time);


our $time = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;


# A request; its reply's status and JSON, in a list.

sub ask {
    my ($line, $body, @headers) = @_;

    $body = encode_json($body) if ref $body;

    my $reply = http($line, $body, @headers);
    my $text = $reply->body;

    return ($reply->status, length $text ? decode_json($text) : undef, $reply);
}


sub path { return '/api/chat/session/' . join '/', @_ }


sub refused {
    my ($what, $status, $error, @request) = @_;

    my ($got, $json) = ask(@request);

    is($got, $status, "$what - status");
    ref $error ? like($json->{error}, $error, "$what - error")
               : is($json->{error}, $error, "$what - error");
}


# Messages in Redis, as they are stored; n is the first one's.

sub store {
    my ($id, $n, @messages) = @_;

    for my $message (@messages) {
        my %m = (t => 1700000000000 + $n, s => 'complete', %$message);
        $m{m} = encode_json($m{m}) if ref $m{m};

        my $said = $main::redis->cli('XADD', "ollama:{$id}:msgs", $n . '-0',
                                     %m);
        is($said, $n . '-0', 'stored');
        $n++;
    }
}


sub user { return { m => { role => 'user', content => $_[0] } } }

sub keys_left {
    return join ' ', sort split /\n/, $main::redis->cli('KEYS', '*');
}


no_shuffle();
run_tests();

__DATA__

=== POST makes a session and returns its fields
--- test
block_begins();
my ($status, $json, $reply) = ask('POST /api/chat/session',
    { title => "Caf\x{e9}", model => 'm1', system => "Be\nkind" });

is($status, 201, 'status');
like($json->{session_id}, qr/\A[0-9a-f]{32}\z/, 'id');
is($json->{title}, "Caf\x{e9}", 'title');
is($json->{model}, 'm1', 'model');
is($json->{system}, "Be\nkind", 'system');
like($json->{created_at}, $main::time, 'created');
is($json->{updated_at}, $json->{created_at}, 'updated');
is(join(' ', sort keys %$json),
   'created_at model session_id system title updated_at', 'members');
like($reply->header('Content-Type'), qr{^application/json}, 'type');
is($reply->header('Cache-Control'), 'no-store', 'may not be kept');

($status, my $again) = ask('GET ' . path($json->{session_id}));
is($status, 200, 'read');
is_deeply($again, { %$json, active_task => undef, messages => [],
                    next => undef }, 'the same');

($status, $json) = ask('POST /api/chat/session', '');
is($status, 201, 'an empty body');
is_deeply([ @$json{qw(title model system)} ], [ (undef) x 3 ], 'nothing');



=== an invalid body is refused
--- test
block_begins();
my $id = made();

for (
    [ '[]', qr/is no JSON object/ ],
    [ '"a"', qr/is no JSON object/ ],
    [ '5', qr/is no JSON object/ ],
    [ 'null', qr/is no JSON object/ ],
    [ ' ', qr/is no JSON: .* at byte 1$/ ],
    [ '{"title":', qr/is no JSON: .* at byte 9$/ ],
    [ '{"title":5}', qr/"title" must be a string or null, at byte 10$/ ],
    [ '{"title":["a"]}', qr/"title" must be a string or null/ ],
    [ '{"Model":{}}', qr/"model" must be a string or null/ ],
    [ '{"system":true}', qr/"system" must be a string or null/ ],
    [ "{\"title\":\"a\nb\"}", qr/is no JSON/ ],
    [ '{"title":"a\\nb"}', qr/"title" has a control character, at byte 9$/ ],
    [ '{"title":"a\\u0000"}', qr/"title" has a control character/ ],
    [ '{"title":"\\u009b"}', qr/"title" has a control character/ ],
    [ '{"model":"\\u007f"}', qr/"model" has a control character/ ],
    [ '{"title":"\\ud800"}', qr/"title" has half of a surrogate pair/ ],
    [ "{\"title\":\"" . "\xff" x 342 . '"}', qr/"title" is longer than 1024/ ],
    [ '{"title":"' . 'x' x 1025 . '"}', qr/"title" is longer than 1024/ ],
    [ '{"model":"' . 'x' x 1025 . '"}', qr/"model" is longer than 1024/ ],
    [ '{"system":"' . 'x' x 32769 . '"}', qr/"system" is longer than 32768/ ],
    [ '{"x":1}', qr/the body has a member that is not known, at byte 1$/ ],
    [ '{"title":"a","x":[[{}]]}', qr/is not known, at byte 13$/ ],
    [ '{"title":"a","session_id":"b"}', qr/is not known, at byte 13$/ ],
) {
    my ($body, $error) = @$_;
    my $what = substr $body, 0, 30;

    refused("POST $what", 400, $error, 'POST /api/chat/session', $body);
    refused("PATCH $what", 400, $error, 'PATCH ' . path($id), $body);
}

refused('PATCH of nothing', 400, qr/is no JSON/, 'PATCH ' . path($id), '');

my ($status, $json) = ask('POST /api/chat/session',
                          { title => 'x' x 1024, model => 'y' x 1024,
                            system => "\x{e9}" x 16384 });
is($status, 201, 'the longest');
is(length $json->{system}, 16384, 'whole');



=== bodies are read as Go reads them
--- test
my $made = http('POST /api/chat/session', "{\"title\":\"caf\xe9\"}\0{")->json;
is($made->{title}, "caf\x{fffd}", 'each byte that is no UTF-8 is U+FFFD');

my $id = $made->{session_id};
is(http('PATCH ' . path($id), '{"title":"a"} "title"')->json->{title}, 'a',
   'what is behind the object is ignored');

is(http('POST /api/chat', "{\"model\":\"m1\",\"session_id\":\"$id\","
        . '"messages":[{"role":"user","content":"'
        . "caf\xe9 \xe2\x82\xac \xe2\x82\"}]}x")->status, 200, 'a chat');
is(http('GET ' . path($id))->json->{messages}[0]{content},
   "caf\x{fffd} \x{20ac} \x{fffd}\x{fffd}", 'what is stored is UTF-8');



=== a body over 64 KB is refused
--- params
client_max_body_size 30m;
client_body_buffer_size 1k;
--- test
block_begins();
my $id = made();

for my $size (65537, 20_000_000) {
    my $body = '{"title":"x"' . ' ' x ($size - 13) . '}';

    refused("POST $size", 413, qr/is larger/, 'POST /api/chat/session', $body);
    refused("PATCH $size", 413, qr/is larger/, 'PATCH ' . path($id), $body);
    refused("chunked $size", 413, qr/is larger/, 'POST /api/chat/session',
            $body, -chunked => [ 60_000, $size - 60_000 ]);
}

my $body = '{"title":"t"' . ' ' x (65536 - 13) . '}';
my ($status, $json) = ask('POST /api/chat/session', $body);
is($status, 201, 'in a file');
is($json->{title}, 't', 'read');

is((ask('GET ' . path($id), 'x' x 100_000))[0], 200, 'not wanted');
is((ask('DELETE ' . path($id), 'x' x 100_000))[0], 204, 'not wanted');



=== PATCH changes title, model and system
--- test
block_begins();
my $id = made({ title => 'a', model => 'b', system => 'c' });
my (undef, $old) = ask('GET ' . path($id));
sleep 0.01;

my ($status, $json) = ask('PATCH ' . path($id), { title => 'A' });
is($status, 200, 'status');
is_deeply([ @$json{qw(title model system)} ], [ 'A', 'b', 'c' ], 'title');
is($json->{created_at}, $old->{created_at}, 'created');
cmp_ok($json->{updated_at}, 'gt', $old->{updated_at}, 'updated');

(undef, $json) = ask('PATCH ' . path($id), { model => undef, system => '' });
is_deeply([ @$json{qw(title model system)} ], [ 'A', undef, undef ], 'none');

(undef, $json) = ask('PATCH ' . path($id),
                     '{"title":"x","TITLE":null,"title":"set remove"}');
is($json->{title}, 'set remove', 'the last one counts');

(undef, $json) = ask('PATCH ' . path($id), '{}');
is($json->{title}, 'set remove', 'nothing');

(undef, my $read) = ask('GET ' . path($id));
delete @$read{qw(active_task messages next)};
is_deeply($read, $json, 'as told');



=== special characters in fields are stored as they are
--- test
block_begins();
my $id = made();

for my $text ('{', '}', '{x}:meta', '*', 'ollama:', "' .. redis.call('KEYS')",
              '$5', 'set', 'remove', '%s', "\x{202e}x", ' ', "\x{1f600}",
              '\\r\\n', ']]')
{
    my %fields = (title => $text, model => $text, system => $text);

    my (undef, $json) = ask('POST /api/chat/session', \%fields);
    is_deeply({ map { $_ => $json->{$_} } keys %fields }, \%fields, 'made');
    (undef, $json) = ask('PATCH ' . path($id), \%fields);
    is_deeply({ map { $_ => $json->{$_} } keys %fields }, \%fields, 'changed');
    (undef, $json) = ask('GET ' . path($id));
    is_deeply({ map { $_ => $json->{$_} } keys %fields }, \%fields, 'read');
}

for my $text ("a\r\nb", "\0", "a\0b", "\r\n*1\r\n\$8\r\nFLUSHALL\r\n") {
    refused('title', 400, qr/"title" has a control character/,
            'PATCH ' . path($id), { title => $text });
    my (undef, $json) = ask('PATCH ' . path($id), { system => $text });
    is($json->{system}, $text, 'system');
}

is((grep { !/\Aollama:\{[0-9a-f]{32}\}:meta\z/ } split / /, keys_left()), 0,
   'keys');



=== DELETE removes the session and all of its keys
--- test
block_begins();
my $id = made({ title => 'a' });
store($id, 1, user('hello'));
$main::redis->cli('SET', "ollama:{$id}:task", 'x');

my ($status, undef, $reply) = ask('DELETE ' . path($id));
is($status, 204, 'status');
is($reply->body, '', 'no body');
is(keys_left(), '', 'nothing is left');

refused('again', 404, 'session not found', 'DELETE ' . path($id));



=== an unknown or invalid id is answered 404
--- test
block_begins();

for my $id ('0' x 32, 'a', 'A-Z_z', 'x' x 64, 'x' x 65, '%7Bx%7D', 'a%0a',
            'a%20b', '*', '..%2e', 'a:meta', 'x' x 3000)
{
    my $what = substr $id, 0, 20;

    refused("GET $what", 404, 'session not found', 'GET ' . path($id));
    refused("PATCH $what", 404, 'session not found', 'PATCH ' . path($id),
            '{}');
    refused("DELETE $what", 404, 'session not found', 'DELETE ' . path($id));
    refused("messages $what", 404, 'session not found',
            'DELETE ' . path($id, 'messages') . '?from=1-0');
}

is(keys_left(), '', 'nothing was made');

refused('a path more', 404, '404 page not found', 'GET ' . path('a', 'b'));
refused('none', 405, qr/only POST/, 'GET /api/chat/session/');



=== other methods are answered 405
--- test
block_begins();

for (
    [ 'POST', '/api/chat/session', 'POST' ],
    [ 'GET HEAD PATCH DELETE', path('a'), 'GET, HEAD, PATCH, DELETE' ],
    [ 'DELETE', path('a', 'messages'), 'DELETE' ],
    [ 'GET HEAD', '/api/chat/sessions', 'GET, HEAD' ],
) {
    my ($good, $path, $allow) = @$_;

    for my $method (qw(GET POST PUT PATCH DELETE)) {
        next if $good =~ /\b$method\b/;

        my $reply = http("$method $path", '');
        is($reply->status, 405, "$method $path");
        is($reply->header('Allow'), $allow, "$method $path - Allow");
    }
}

my $id = made();
my $reply = http('HEAD ' . path($id));
is($reply->status, 200, 'HEAD');
is($reply->body, '', 'HEAD - no body');
cmp_ok($reply->header('Content-Length'), '>', 100, 'HEAD - length');



=== messages are returned as they were stored
--- test
block_begins();
my $id = made();

store($id, 1, user("one \"\x{263a}\""),
  { m => '{"role": "assistant" , "content":"two","thinking":"not shown",'
         . '"tool_calls":[{"function":{"name":"f","arguments":{"a":"]}"}}}]}',
    model => 'm1', server => 'http://a:1', k => "why\nnot", s => 'cancelled',
    st => '{"eval_count":5}', p => 'Ann' },
  { m => '{"Role":"tool","content":[{"type":"text","text":"x"}],'
         . '"tool_name":"f","images":["aGk="]}', s => 'interrupted' },
  { m => '{"role":"assistant","tool_calls":[]}' });

$main::redis->cli('SET', "ollama:{$id}:task", 'task-1');

my ($status, $json) = ask('GET ' . path($id));

is($status, 200, 'status');
is($json->{active_task}, 'task-1', 'what runs');
is_deeply($json->{messages}, [
    { id => '1-0', role => 'user', content => "one \"\x{263a}\"",
      created_at => '2023-11-14T22:13:20.001Z', status => 'complete' },
    { id => '2-0', role => 'assistant', content => 'two', model => 'm1',
      created_at => '2023-11-14T22:13:20.002Z', status => 'cancelled',
      server => 'http://a:1', thinking => "why\nnot", participant => 'Ann',
      stats => { eval_count => 5 },
      tool_calls => [ { function => { name => 'f',
                                      arguments => { a => ']}' } } } ] },
    { id => '3-0', role => 'tool', tool_name => 'f', images => [ 'aGk=' ],
      created_at => '2023-11-14T22:13:20.003Z', status => 'interrupted',
      content => [ { type => 'text', text => 'x' } ] },
    { id => '4-0', role => 'assistant', content => '', tool_calls => [],
      created_at => '2023-11-14T22:13:20.004Z', status => 'complete' },
], 'messages');



=== messages are returned by pages
--- test
block_begins();
my $id = made();
my $key = "ollama:{$id}:msgs";

$main::redis->cli('EVAL', 'for i = 1, 1200 do redis.call("XADD", KEYS[1], '
    . 'i .. "-0", "m", cjson.encode({role="user",content="x" .. i}), '
    . '"s", "complete", "t", i) end', 1, $key);

my ($after, $got) = ('', '');

for my $page (1 .. 12) {
    my (undef, $json) = ask('GET ' . path($id) . $after);

    $got .= join '', map { "$_->{content} " } @{ $json->{messages} };
    is($json->{next}, $page < 12 ? $page . '00-0' : undef, "next $page");
    $after = "?after=$json->{next}" if $json->{next};
}

is($got, join('', map { "x$_ " } 1 .. 1200), 'all, once');

my $n = sub {
    my (undef, $json) = ask('GET ' . path($id) . "?$_[0]");
    return join ' ', scalar @{ $json->{messages} }, $json->{next} // 'end';
};

is($n->('limit=1'), '1 1-0', 'one');
is($n->('limit=1000'), '1000 1000-0', 'thousand');
is($n->('limit=99999'), '1000 1000-0', 'no more');
is($n->('after=1199'), '1 end', 'last');
is($n->('after=1199-0&limit=1'), '1 end', 'last');
is($n->('after=1200-0'), '0 end', 'none');
is($n->('after=0'), '100 100-0', 'from the first one on');
refused($_, 404, qr/^message not found: /, 'GET ' . path($id) . "?after=$_")
    for '1201-0', '999999999999999';

$main::redis->cli('XDEL', $key, map { "$_-0" } 2 .. 1199);
is($n->('limit=1'), '1 1-0', 'over a gap');
is($n->('after=1-0'), '1 end', 'over a gap');
refused('one in the gap', 404, qr/^message not found: /,
        'GET ' . path($id) . '?after=700-0');

for ('limit=0', 'limit=-1', 'limit=x', 'limit=99999999999999999999',
     'after=x', 'after=-1', 'after=1-1', 'after=0x1', 'after=1-0-0',
     'after=9999999999999999', 'after=%00')
{
    refused($_, 400, qr/^the argument (?:limit|after) must be /,
            'GET ' . path($id) . "?$_");
}



=== messages are returned backwards by pages
--- test
block_begins();
my $id = made({ title => 'T' });

my $back = sub {
    my (undef, $json) = ask('GET ' . path($id) . "?$_[0]");
    return join ' ', (map { $_->{content} } @{ $json->{messages} }),
                     'prev=' . ($json->{prev} // 'null');
};

is($back->('before=end'), 'prev=null', 'there is none');

store($id, 1, map { user("x$_") } 1 .. 7);
$main::redis->cli('SET', "ollama:{$id}:task", 'task-7');

is($back->('before=end&limit=3'), 'x5 x6 x7 prev=5-0', 'the last three');
is($back->('before=5-0&limit=3'), 'x2 x3 x4 prev=2-0', 'three before them');
is($back->('before=2-0&limit=3'), 'x1 prev=null', 'the first one');
is($back->('before=1-0'), 'prev=null', 'before that');
is($back->('before=4'), 'x1 x2 x3 prev=null', 'without a limit');
is($back->('before=end&limit=7'), 'x1 x2 x3 x4 x5 x6 x7 prev=null',
   'just all');

my (undef, $json) = ask('GET ' . path($id) . '?before=end&limit=1');
is($json->{title}, 'T', 'the session');
is($json->{active_task}, 'task-7', 'its task');
ok(exists $json->{prev} && !exists $json->{next}, 'prev, and no next');
(undef, $json) = ask('GET ' . path($id) . '?limit=1');
ok(exists $json->{next} && !exists $json->{prev}, 'next, and no prev');

$main::redis->cli('XDEL', "ollama:{$id}:msgs", '6-0');
is($back->('before=7-0&limit=2'), 'x4 x5 prev=4-0', 'over a gap');

refused("before=$_", 404, qr/^message not found: /,
        'GET ' . path($id) . "?before=$_") for '6-0', '8-0', '0', '0-0';

refused($_, 400, qr/^the argument before must be the id of a message/,
        'GET ' . path($id) . "?$_")
    for 'before=x', 'before=End', 'before=1-1', 'before=-1';

refused('both', 400, qr/both arguments/,
        'GET ' . path($id) . '?after=1-0&before=end');

is(http('GET ' . path('a' x 22) . '?before=end')->status, 404, 'no session');



=== a page of large messages is limited in size
--- http_config
    # on a busy machine Redis takes a while to read one of them
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- test
block_begins();
my $id = made();

$main::redis->cli('EVAL', 'for i = 1, 12 do redis.call("XADD", KEYS[1], '
    . 'i .. "-0", "m", cjson.encode({role="user",content="x",'
    . 'images={string.rep("A", 3000000)}}), "s", "complete", "t", i) end', 1,
    "ollama:{$id}:msgs");

my ($after, $got) = ('', '');

for (1 .. 12) {
    my $body = http('GET ' . path($id) . "?limit=1000$after")->body;

    $got .= (() = grep { length == 3_000_000 }
                     $body =~ /"images":\["(A+)"\]/g) . ' ';
    $after = $body =~ /"next":"(\d+-0)"\}\z/ ? "&after=$1" : '';
}

is($got, '1 ' x 12, 'each is more than a page');
is($after, '', 'the last one');

# of small ones a page has no more than 1 MB
$id = made();

$main::redis->cli('EVAL', 'for i = 1, 30 do redis.call("XADD", KEYS[1], '
    . 'i .. "-0", "m", cjson.encode({role="user",content="x",'
    . 'images={string.rep("A", 100000)}}), "s", "complete", "t", i) end', 1,
    "ollama:{$id}:msgs");

for my $query ('limit=1000', 'limit=1000&before=end') {
    my (undef, $json) = ask('GET ' . path($id) . "?$query");

    is(@{ $json->{messages} }, 10, "$query - as many as fit");
    is($json->{next} // $json->{prev},
       $query =~ /before/ ? '21-0' : '10-0', "$query - the next page");
}



=== DELETE messages?from= removes that message and all that follow
--- test
block_begins();
my $id = made();
my $from = 'DELETE ' . path($id, 'messages') . '?from=';

refused('there is none', 404, qr/^message not found: /, "${from}1-0");

store($id, 1, map { user("x$_") } 1 .. 5);

is((ask("${from}4-0"))[1]{deleted}, 2, 'two');

for ('4-0', '5-0', '99', '0', '0-0') {
    refused("from $_", 404, qr/^message not found: /, "$from$_");
}

my (undef, $json) = ask('GET ' . path($id));
is(join(' ', map { $_->{id} } @{ $json->{messages} }), '1-0 2-0 3-0', 'left');

is((ask("${from}1-0"))[1]{deleted}, 3, 'all');
(undef, $json) = ask('GET ' . path($id));
is(@{ $json->{messages} }, 0, 'none is left');

refused('without from', 400, 'the argument from is missing',
        'DELETE ' . path($id, 'messages'));
refused('from nowhere', 400, qr/^the argument from must be the id of a me/,
        "${from}x");

$main::redis->cli('SET', "ollama:{$id}:task", 'task-7');

my $reply = http("${from}1-0");
is($reply->status, 409, 'while it runs');
is($reply->header('X-Ollama-Task-Id'), 'task-7', 'which');
is_deeply(decode_json($reply->body),
          { error => "session \"$id\" is busy with task \"task-7\"",
            task_id => 'task-7' }, 'which');

# what nobody of us has written is told to nobody
$main::redis->cli('SET', "ollama:{$id}:task", "a\"\r\nX: y");
$reply = http("${from}1-0");
is($reply->status, 409, 'no task');
is($reply->header('X'), undef, 'no header');
is_deeply(decode_json($reply->body),
          { error => "session \"$id\" is busy with task \"a\"??X: y\"" },
          'no name');



=== many messages are removed at once
--- test
block_begins();
my $id = made();

$main::redis->cli('EVAL', 'for i = 1, 10000 do redis.call("XADD", KEYS[1], '
    . 'i .. "-0", "m", "{}", "t", i) end', 1, "ollama:{$id}:msgs");

is((ask('DELETE ' . path($id, 'messages') . '?from=2-0'))[1]{deleted}, 9999,
   'deleted');
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 1, 'one is left');



=== a session is visible to its owner only
--- ollama
    ollama_session_owner $http_x_owner;
--- test
block_begins();
my @ann = ('X-Owner' => 'ann');
my @bob = ('X-Owner' => 'bob');

my $id = made({ title => 'mine' }, @ann);
is((ask('GET ' . path($id), undef, @ann))[0], 200, 'hers');

for my $owner ('bob', 'Ann', 'an', 'ann ', 'ann:', '*') {
    my @other = ('X-Owner' => $owner eq 'ann ' ? 'ann,' : $owner);

    refused("GET $owner", 404, 'session not found', 'GET ' . path($id), undef,
            @other);
    refused("PATCH $owner", 404, 'session not found', 'PATCH ' . path($id),
            { title => 'x' }, @other);
    refused("DELETE $owner", 404, 'session not found', 'DELETE ' . path($id),
            undef, @other);
    refused("messages $owner", 404, 'session not found',
            'DELETE ' . path($id, 'messages') . '?from=1', undef, @other);
    is_deeply((ask("GET /api/chat/sessions?id=$id", undef, @other))[1],
              { sessions => [], next => undef }, "id $owner");
}

for my $request ('POST /api/chat/session', 'GET ' . path($id),
                 'PATCH ' . path($id), 'DELETE ' . path($id),
                 'DELETE ' . path($id, 'messages') . '?from=1',
                 'GET /api/chat/sessions', "GET /api/chat/sessions?id=$id")
{
    refused("$request without", 403, qr/belong to an owner/, $request, '{}');
    refused("$request empty", 403, qr/belong to an owner/, $request, '{}',
            'X-Owner' => '');
}

my (undef, $json) = ask('GET ' . path($id), undef, @ann);
is($json->{title}, 'mine', 'untouched');

is((ask('DELETE ' . path($id), undef, @ann))[0], 204, 'deleted');
is(keys_left(), '', 'nothing is left');



=== sessions with and without an owner are not visible to each other
--- config
    location /a/ {
        ollama_api ollama prefix=/a;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
    }
    location /b/ {
        ollama_api ollama prefix=/b;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
empty_redis();
my (undef, $hers) = ask('POST /a/api/chat/session', '{}', 'X-Owner' => 'ann');
my (undef, $free) = ask('POST /b/api/chat/session', '{}', 'X-Owner' => 'ann');

my $see = sub {
    return (ask("GET /$_[0]" . path($_[1]{session_id}), undef,
                'X-Owner' => 'ann'))[0];
};

is($see->('a', $hers), 200, 'hers');
is($see->('b', $free), 200, 'nobody\'s');
is($see->('b', $hers), 404, 'hers, to nobody');
is($see->('a', $free), 404, 'nobody\'s, to her');



=== special characters in an owner's name reach no other keys
--- ollama
    ollama_session_owner $http_x_owner;
--- test
block_begins();

my @owners = ('a', 'a}:meta', '{x}', "a' .. redis.call('FLUSHALL')", 'a"',
              'a:b', "\xff\xfe", '*', '$1', 'a b', 'ollama:', 'x' x 2000,
              '1', '0', 'set', 'remove');

my %id = map { $_ => made({},
                          'X-Owner' => $_) } @owners;

for my $owner (@owners) {
    my (undef, $json) = ask('GET /api/chat/sessions', undef,
                            'X-Owner' => $owner);

    is(join(' ', map { $_->{session_id} } @{ $json->{sessions} }),
       $id{$owner}, substr "list of $owner", 0, 60);
}

is($main::redis->cli('DBSIZE'), 2 * @owners, 'keys');



=== the list of an owner's sessions, newest first
--- ollama
    ollama_session_owner $http_x_owner;
--- test
block_begins();
my @ann = ('X-Owner' => 'ann');

is_deeply((ask('GET /api/chat/sessions', undef, @ann))[1],
          { sessions => [], next => undef }, 'none');

my @ids = map { made({ title => "t$_" }, @ann) } 1 .. 7;
made({}, 'X-Owner' => 'bob');

my $list = sub {
    my (undef, $json) = ask("GET /api/chat/sessions?$_[0]", undef, @ann);
    return (join(' ', map { $_->{title} } @{ $json->{sessions} }),
            $json->{next});
};

sleep 0.01;
ask('PATCH ' . path($ids[2]), { system => 'x' }, @ann);

my ($titles, $next) = $list->('');
is($next, undef, 'all');
like($titles, qr/\At3 /, 'the last one that was written to');
is(join(' ', sort split / /, $titles), 't1 t2 t3 t4 t5 t6 t7', 'titles');

my ($paged, $cursor) = ('', '');

for (1 .. 4) {
    my ($some, $next) = $list->("limit=2&cursor=$cursor");
    $paged .= ($paged ? ' ' : '') . $some;
    $cursor = $next;
}

is($paged, $titles, 'in pages');
is($cursor, undef, 'to the end');

my (undef, $json) = ask('GET /api/chat/sessions?limit=1', undef, @ann);
is(join(' ', sort keys %{ $json->{sessions}[0] }),
   'created_at model session_id system title updated_at', 'members');

for ('x', '1', '1.', '.a', '1.a%20b', '1.a%0a', '1234567890123456.a', '-1.a',
     '1.' . 'a' x 65)
{
    refused("cursor $_", 400, qr/^the argument cursor must be /,
            "GET /api/chat/sessions?cursor=$_", undef, @ann);
}

refused('limit', 400, qr/^the argument limit must be a number from 1 to 100/,
        'GET /api/chat/sessions?limit=0', undef, @ann);



=== a long list of sessions of equal times, some of them expired
--- ollama
    ollama_session_owner $http_x_owner;
--- test
block_begins();
my @ann = ('X-Owner' => 'ann');

$main::redis->cli('EVAL', 'for i = 1, 1500 do '
    . 'local id = string.format("s%04d", i) '
    . 'if i % 3 > 0 then redis.call("HSET", "ollama:{" .. id .. "}:meta", '
    . '"created", 5, "updated", 1000, "owner", "ann", "title", id) end '
    . 'redis.call("ZADD", "ollama:owner:ann", 1000, id) end', 0);

my ($n, $pages, $cursor, %seen) = (0, 0, '');

while (defined $cursor) {
    my (undef, $json) = ask("GET /api/chat/sessions?limit=100&cursor=$cursor",
                            undef, @ann);

    $seen{$_->{session_id}}++ for @{ $json->{sessions} };
    $n += @{ $json->{sessions} };
    $cursor = $json->{next};
    last if ++$pages > 50;
}

is($n, 1000, 'all');
is(keys %seen, 1000, 'once');
is($main::redis->cli('ZCARD', 'ollama:owner:ann'), 1000, 'those are out');

$main::redis->cli('EVAL', 'for i = 1, 1500 do '
    . 'local id = string.format("s%04d", i) '
    . 'redis.call("DEL", "ollama:{" .. id .. "}:meta") end', 0);
ask('GET /api/chat/sessions', undef, @ann);
is($main::redis->cli('ZCARD', 'ollama:owner:ann'), 0, 'all are out');



=== the list of an owner who never lists does not grow
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner ann;
    }
--- test
empty_redis();
wait_for(sub { http('GET /api/chat/session/0')->status != 503 }, 15);

$main::redis->cli('EVAL', 'for i = 1, 100 do redis.call("ZADD", KEYS[1], i, '
    . '"expired" .. i) end', 1, 'ollama:owner:ann');
made() for 1 .. 100;
cmp_ok($main::redis->cli('ZCOUNT', 'ollama:owner:ann', 0, 100), '<', 50,
       'those that have expired go');
cmp_ok($main::redis->cli('ZCARD', 'ollama:owner:ann'), '>=', 100,
       'the others stay');



=== sessions can be listed by their ids
--- test
block_begins();
my @ids = map { made({ title => "t$_" }) } 1 .. 3;

my $named = sub {
    my ($status, $json) = ask('GET /api/chat/sessions?'
                              . join '&', map { "id=$_" } @_);
    is($status, 200, 'status');
    is($json->{next}, undef, 'next');
    return join ' ', map { $_->{title} } @{ $json->{sessions} };
};

is($named->(@ids), 't1 t2 t3', 'all');
is($named->($ids[2], 'a' x 32, 'x:y', '', '%7B', $ids[0]), 't3 t1', 'some');
is($named->('x%20y'), '', 'none');
is($named->(('a') x 99, $ids[1]), 't2', 'hundred');
refused('more', 400, 'more than 100 arguments id',
        'GET /api/chat/sessions?' . 'id=a&' x 101);
refused('list', 403, qr/have no owner here/, 'GET /api/chat/sessions');
refused('list', 403, qr/have no owner here/, 'GET /api/chat/sessions?idx=a');



=== writing extends a session's life, reading does not
--- ollama
    ollama_session_ttl 100s;
    ollama_session_owner $http_x_owner;
--- test
block_begins();
my @ann = ('X-Owner' => 'ann');
my $id = made({}, @ann);
my @keys = ("ollama:{$id}:meta", "ollama:{$id}:msgs", 'ollama:owner:ann');

store($id, 1, user('a'), user('b'));

my $left = sub { return map { $main::redis->cli('PTTL', $_) } @keys };
my $shorten = sub { $main::redis->cli('PEXPIRE', $_, 5000) for @keys };

is(($left->())[1], -1, 'our own');
$shorten->();

ask('GET ' . path($id), undef, @ann);
ask('GET /api/chat/sessions', undef, @ann);
ask("GET /api/chat/sessions?id=$id", undef, @ann);
cmp_ok($_, '<=', 5000, 'reading') for $left->();

ask('PATCH ' . path($id), '{}', @ann);
cmp_ok($_, '>', 95_000, 'changing') for $left->();
cmp_ok($_, '<=', 100_000, 'changing') for $left->();

$shorten->();
ask('DELETE ' . path($id, 'messages') . '?from=2', undef, @ann);
cmp_ok($_, '>', 95_000, 'taking back') for $left->();

$main::redis->cli('PEXPIRE', 'ollama:owner:ann', 500_000);
ask('PATCH ' . path($id), '{}', @ann);
cmp_ok(($left->())[2], '>', 495_000, 'the list lives for the longest one');

$main::redis->cli('PEXPIRE', $keys[0], 1);
sleep 0.02;
refused('expired', 404, 'session not found', 'GET ' . path($id), undef, @ann);
is_deeply((ask('GET /api/chat/sessions', undef, @ann))[1]{sessions}, [],
          'not listed');



=== a session lives 30 days by default, 0 means for ever
--- config
    location /a/ {
        ollama_api ollama prefix=/a;
        proxy_pass http://ollama;
        include ollama_params;
    }
    location /b/ {
        ollama_api ollama prefix=/b;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_ttl 0;
    }
--- test
empty_redis();
my (undef, $json) = ask('POST /a/api/chat/session', '{}');
my $key = "ollama:{$json->{session_id}}:meta";

cmp_ok($main::redis->cli('PTTL', $key), '>', 30 * 86400_000 - 5000, '30 days');
cmp_ok($main::redis->cli('PTTL', $key), '<=', 30 * 86400_000, '30 days');

ask('PATCH /b' . path($json->{session_id}), '{}');
is($main::redis->cli('PTTL', $key), -1, 'for ever');

(undef, $json) = ask('POST /b/api/chat/session', '{}');
is($main::redis->cli('PTTL', "ollama:{$json->{session_id}}:meta"), -1,
   'for ever');



=== a session under another key prefix is not found
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH prefix=x-y:;
--- test
block_begins();
my $id = made();
is(keys_left(), "x-y:{$id}:meta", 'keys');
is((ask('GET ' . path($id)))[0], 200, 'read');



=== without ollama_redis: 503
--- http_config
--- test
for ('POST /api/chat/session', 'GET ' . path('a'), 'DELETE ' . path('a'),
     'GET ' . path('x' x 65), 'GET /api/chat/sessions',
     'DELETE ' . path('a', 'messages') . '?from=1',
     'GET /api/chat/sessions?id=a')
{
    refused($_, 503, 'session history is unavailable', $_, '{}');
}

refused('PATCH', 503, 'session history is unavailable', 'PATCH ' . path('a'),
        '{}');



=== Redis dies and returns: 503 at once, then sessions work again
--- test
block_begins();
my $id = made();
$main::redis->kill;

my $began = time;

for (1 .. 5) {
    refused('POST', 503, 'session history is unavailable',
            'POST /api/chat/session', '{}');
    refused('GET', 503, 'session history is unavailable', 'GET ' . path($id));
}

cmp_ok(time - $began, '<', 1, 'at once');

my ($status) = ask('POST /api/chat', { model => 'm1', messages => [] });
is($status, 200, 'a chat goes on');

$main::redis->revive;
ok(wait_for(sub { (ask('POST /api/chat/session', '{}'))[0] == 201 }, 15),
   'back');
--- error_log eval
qr/redis .* is down/



=== Redis stalls: 503 within the timeout
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=400ms;
--- test
block_begins();
my $id = made();
$main::redis->freeze;

my $began = time;
refused('GET', 503, 'session history is unavailable', 'GET ' . path($id));
refused('POST', 503, 'session history is unavailable',
        'POST /api/chat/session', '{}');
cmp_ok(time - $began, '<', 1.2, 'within the time limit');

$main::redis->thaw;
ok(wait_for(sub { (ask('GET ' . path($id)))[0] == 200 }, 15), 'back');
--- error_log eval
qr/redis .* is down: timed out/



=== clients that leave while Redis is waited for
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;
--- test
block_begins();
my $id = made();
$main::redis->freeze;

for my $request ('GET ' . path($id), 'DELETE ' . path($id),
                 'GET /api/chat/sessions?id=a')
{
    my $client = client()->request($request);
    sleep 0.1;
    $client->close;
}

my $client = client()->request('POST /api/chat/session', '{}');
sleep 0.1;
$client->close;

ok(wait_for(sub { access_log(qr{/api/chat/sessions? 499 }) }), 'they left');
$main::redis->thaw;
ok(wait_for(sub { $main::redis->cli('DBSIZE') == 1 }), 'done all the same');
is((ask('GET ' . path($id)))[0], 404, 'deleted');



=== an error of Redis is answered 503
--- test
block_begins();
my $id = made();

$main::redis->cli('SET', "ollama:{$id}:msgs", 'not a stream');
refused('WRONGTYPE', 503, 'session history is unavailable',
        'GET ' . path($id));
is((ask('DELETE ' . path($id)))[0], 204, 'deleted');

$main::redis->cli('CONFIG', 'SET', 'maxmemory', 1);
refused('OOM', 503, 'session history is unavailable',
        'POST /api/chat/session', '{}');
$main::redis->cli('CONFIG', 'SET', 'maxmemory', 0);
is(keys_left(), '', 'nothing is half done');
--- error_log eval
[qr/redis refused a session's command: WRONGTYPE/, qr/refused .*OOM/]



=== invalid messages in Redis do not break the session's JSON
--- test
block_begins();
my $id = made();

for my $m ('', '[]', '5', 'x', '{', '{"role"', '{"role":', '{"role":"a',
           '{"content":"\\"', '{"a":{"content":"x"}}', '"', "\0", '{}}',
           '{"role":"user","content":}')
{
    $main::redis->cli('XADD', "ollama:{$id}:msgs", '*', 'm', $m);
}

$main::redis->cli('XADD', "ollama:{$id}:msgs", '*', 'x', 'y');

my ($status, $json) = ask('GET ' . path($id));
is($status, 200, 'status');
is(@{ $json->{messages} }, 15, 'each is told of');
is($json->{messages}[9]{content}, '', 'not from within');



=== sessions by HTTP/2
--- config
    $TEST_NGINX_H2_LISTEN
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- test
block_begins();
my $reply = http2('POST /api/chat/session', '{"title":"h2"}');
is($reply->status, 201, 'made');
my $id = decode_json($reply->body)->{session_id};
is(decode_json(http2('GET ' . path($id))->body)->{title}, 'h2', 'read');
is(http2('DELETE ' . path($id))->status, 204, 'deleted');

my $frozen = path($id);
$main::redis->freeze;
$reply = http2("GET $frozen", undef, -timeout => 0.3);
is($reply->status, 0, 'a client that leaves');
$main::redis->thaw;
is(http2("GET $frozen")->status, 404, 'all goes on');



=== error_page and limits apply to sessions
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        error_page 404 = /nothing;
    }
    location = /nothing { return 200 "nothing\n"; }
--- test
block_begins();
is(http('GET ' . path('a'))->body, "nothing\n", 'error_page');



=== error_page leads no request of an endpoint here to a server
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        error_page 400 404 503 = /api/pull;
    }
--- test
block_begins();
my $n = fake_requests()->{count};

for ([ 'POST /api/chat/session', '{"x":1}', 400 ],
     [ 'POST /api/chat/session', '{"copy_of":"none"}', 404 ],
     [ 'POST /api/chat/session', { copy_of => 'a' x 32 }, 404 ],
     [ 'PATCH ' . path('a' x 32), '{"x":1}', 400 ],
     [ 'PATCH ' . path('a' x 32), '{"title":"a"}', 404 ],
     [ 'PATCH ' . path('x%20y'), '{"title":"a"}', 404 ],
     [ 'POST /api/chat/cancel/a', '{"x":1}', 403 ],
     [ 'DELETE ' . path('a' x 32, 'messages'), '{"x":1}', 403 ],
     [ 'DELETE ' . path('a' x 32), '{"x":1}', 403 ])
{
    my ($request, $body, $status) = @$_;

    is(http($request, $body)->status, $status, "$request - status");
}

is(fake_requests()->{count}, $n, 'no server was asked');



=== several requests for sessions on one connection
--- test
block_begins();
my $c = client();
my $id = decode_json($c->request('POST /api/chat/session', '{}')
                       ->reply->body)->{session_id};

for ([ 'GET ' . path($id), 200 ], [ 'GET ' . path('x'), 404 ],
     [ 'POST /api/chat/session', 400, '[' ],
     [ 'PATCH ' . path($id), 200, '{"title":"a"}' ],
     [ 'DELETE ' . path($id, 'messages'), 400 ],
     [ 'GET /api/chat/sessions', 403 ], [ 'DELETE ' . path($id), 204 ],
     [ 'DELETE ' . path($id), 404 ])
{
    my $reply = $c->request($_->[0], $_->[2])->reply;
    is($reply->status, $_->[1], $_->[0]);
    is($reply->header('Connection'), 'keep-alive', "$_->[0] - kept");
}

$c->close;
