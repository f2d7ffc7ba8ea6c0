# Guards what clients are promised of a chat in a session: the server is sent
# the history and the new messages, everything is stored once however the chat
# ends, the last frame says truly whether it was saved, and one generation at a
# time has the session.

use lib 't/lib';

use Test::Nginx::Ollama::Session line => 1, qw(:all);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Cpanel::JSON::XS ();
use JSON::PP;
use Time::HiRes qw(sleep time);

our $step;

BEGIN {
    $step = Test::Nginx::Ollama::Server->new;
    $ENV{TEST_NGINX_STEP_PORT} = $step->port;
}

our $json = Cpanel::JSON::XS->new->utf8->canonical;
# in the four forms a reply has: path, more of the body

our @forms = (
    [ 'chat', '/api/chat', {} ],
    [ 'chat in one piece', '/api/chat', { stream => JSON::PP::false } ],
    [ 'v1', '/v1/chat/completions', { stream => JSON::PP::true } ],
    [ 'v1 in one piece', '/v1/chat/completions', {} ],
);


# What the server was asked last: its body, which must be JSON.

sub asked {
    my $record = fake_requests(last => 1)->{requests}[0];
    my $body = eval { JSON::PP->new->decode($record->{body}) };

    ok($body, 'the server is sent JSON') or diag($@);
    return $body;
}

sub texts { return join '|', map { "$_->{role}:$_->{content}" } @_ }


sub refused {
    my ($reply, $what, $status, $error) = @_;

    is($reply->status, $status, "$what - status") or diag($reply->raw);

    my $said = eval { $reply->json->{error} } // '';
    $said = $said->{message} if ref $said;
    like($said, $error, "$what - error");
}


no_shuffle();
run_tests();

__DATA__

=== a conversation continues by its session id alone
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    my $id = made({ model => 'm1', system => "Be \"kind\"\n\x{e9}" });

    my $reply = http(chat($path, $id, { model => undef, %$more }, 'one'));
    is_saved($reply, $id, $what);
    is($reply->header('X-Ollama-Session-Id'), $id, "$what - header");

    my $asked = asked();
    is($asked->{model}, 'm1', "$what - the session's model");
    ok(!exists $asked->{session_id}, "$what - without our field");
    is(texts(@{ $asked->{messages} }),
       "system:Be \"kind\"\n\x{e9}|user:one", "$what - first turn");

    my $said = $path =~ /v1/ ? session($id)->{messages}[1]{content}
                             : 'w0 w1 w2 w3 w4 ';
    is($said, 'w0 w1 w2 w3 w4 ', "$what - what was said");

    $reply = http(chat($path, $id, { model => undef, %$more },
                       'two', "\x{263a}\0\""));
    is_saved($reply, $id, "$what, again");

    is(texts(@{ asked()->{messages} }), "system:Be \"kind\"\n\x{e9}|user:one"
       . "|assistant:$said|user:two|user:\x{263a}\0\"",
       "$what - second turn");

    my $session = session($id);
    my @messages = @{ $session->{messages} };

    is(join(' ', map { $_->{role} } @messages),
       'user assistant user user assistant', "$what - roles");
    is(join(' ', map { $_->{id} } @messages), '1-0 2-0 3-0 4-0 5-0',
       "$what - ids");
    is($session->{active_task}, undef, "$what - nothing runs");
    is($session->{title}, 'one', "$what - title");

    for my $n (1, 4) {
        my $m = $messages[$n];

        is($m->{status}, 'complete', "$what - status");
        is($m->{content}, 'w0 w1 w2 w3 w4 ', "$what - content");
        is($m->{model}, 'm1', "$what - model");
        is($m->{server}, '127.0.0.1:' . fake_port(), "$what - server");
        like($m->{created_at}, qr/\A\d{4}-.*Z\z/, "$what - time");
        ok(!exists $m->{$_}, "$what - no $_") for qw(thinking tool_calls);
    }

    is($messages[1]{stats}{eval_count}, 5, "$what - stats")
        if $path eq '/api/chat';
}



=== history is inserted without changing a byte of the request
--- params
client_body_buffer_size 1k;
--- test
block_begins();

my $id = made({ system => 'S' });
my $raw = '{ "role" : "user", "content" : "a\u00e9\/", "x" : [1, {}] }';

is_saved(http('POST /api/chat', '{"messages": [ ' . $raw . ' ] , "model":"m1",'
              . '"session_id":"' . $id . '","stream":false}'), $id, 'raw');
is(fake_requests(last => 1)->{requests}[0]{body},
   '{"messages": [{"role":"system","content":"S"}, ' . $raw
   . ' ] , "model":"m1","stream":false}', 'first');

is_saved(http('POST /api/chat', '{"session_id":"' . $id . '","model":"m1",'
              . '"messages":[' . $raw . ',' . $raw . ']}'), $id, 'raw');
is(fake_requests(last => 1)->{requests}[0]{body},
   '{"model":"m1","messages":[{"role":"system","content":"S"},' . $raw
   . ',{"role":"assistant","content":"w0 w1 w2 w3 w4 "},' . $raw . ',' . $raw
   . ']}', 'second');

$id = made({ model => 'm1' });
is_saved(http('POST /api/chat', ' {"messages":[' . $raw . '], "model" : null ,'
              . '"session_id":"' . $id . '" } '), $id, 'raw');
is(fake_requests(last => 1)->{requests}[0]{body},
   ' {"messages":[' . $raw . '], "model" : null ,"model":"m1"} ', 'model');



=== the order of fields in the body does not matter
--- test
block_begins();

my $m = '"messages":[{"role":"user","content":"q"}]';

for my $body ('{%s,"session_id":"%s"}', '{"session_id":"%2$s",%1$s}',
              '{"x":1,"session_id":"%2$s",%1$s,"y":[2]}',
              ' { %s , "session_id" : "%s" } ',
              '{"messages":[{"role":"user","content":"no"}],%s,'
              . '"session_id":"%s"}',
              '{"model":null,%s,"SESSION_ID":"%s"}',
              '{"model":"",%s,"SESSION_ID":"%s"}',
              '{"server_url":"","task_id":"t1",%s,"Session_Id":"%s"}')
{
    my $id = made({ model => 'm1', system => 's' });
    my $text = sprintf $body, $m, $id;

    is_saved(http('POST /api/chat', $text), $id, $text);

    my $asked = asked();
    is($asked->{model}, 'm1', "$text - model");
    is(texts(@{ $asked->{messages} }), 'system:s|user:q', "$text - messages");
    is(stored($id), 'user:q:complete|assistant:w0 w1 w2 w3 w4 :complete',
       "$text - stored");
}



=== X-Ollama-Session-Id names the session; the body's field wins
--- test
block_begins();
my $id = made({ model => 'm1' });

for my $path ('/api/chat', '/v1/chat/completions') {
    is_saved(http("POST $path", { messages => [ user('a') ] },
                  'X-Ollama-Session-Id' => $id), $id, "$path - header");
}
is_saved(http('POST /api/chat', body($id, {}, 'b'),
              'X-Ollama-Session-Id' => 'no'),
         $id, 'body');
is(@{ session($id)->{messages} }, 6, 'all');



=== thinking is stored, but not sent back
--- fake
{"model":"m1","thinking":2}
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    my $id = made();

    is_saved(http(chat($path, $id, { think => JSON::PP::true, %$more },
                                     'a')), $id, $what);

    my $m = session($id)->{messages}[1];
    like($m->{thinking} // '', qr/\A\S.*\S/, "$what - stored");
    is($m->{content}, 'w0 w1 w2 w3 w4 ', "$what - the content");

    is_saved(http(chat($path, $id, $more, 'b')), $id, "$what again");
    is_deeply(asked()->{messages}[1],
              { role => 'assistant', content => 'w0 w1 w2 w3 w4 ' },
              "$what - sent back");
}



=== tool calls, their results and images are sent back
--- fake
{"model":"m1","tool_calls":true}
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    my $id = made();

    my $picture = $path =~ /v1/
        ? { role => 'user', content => [
              { type => 'text', text => 'see' },
              { type => 'image_url', image_url => { url => 'data:x' } } ] }
        : { role => 'user', content => 'see', images => [ 'aGk=' ] };

    is_saved(http(chat($path, $id, { %$more, tools => [] }, $picture)),
             $id, $what);

    my $m = session($id)->{messages}[1];
    is(ref $m->{tool_calls}, 'ARRAY', "$what - stored");

    my $result = { role => 'tool', content => '5', tool_call_id => 'c',
                   tool_name => 'f' };
    is_saved(http(chat($path, $id, $more, $result)), $id, "$what again");

    my $sent = asked()->{messages};
    is_deeply($sent->[0], $picture, "$what - the picture");
    is_deeply($sent->[1]{tool_calls}, $m->{tool_calls}, "$what - the calls");
    ok(@{ $sent->[1]{tool_calls} // [] } > 0, "$what - there are some");
    is($sent->[1]{tool_calls}[0]{type}, 'function', "$what - in v1's form")
        if $path =~ /v1/;
    is_deeply($sent->[2], $result, "$what - the result");
}



=== without a title the first user message becomes the title
--- test
block_begins();
my $id = made({ title => 'mine' });
say($id, 'other');
is(session($id)->{title}, 'mine', 'given');

$id = made();
say($id, { role => 'system', content => 'sys' }, "\n a\nb ");
is(session($id)->{title}, 'a', 'of the first user, its first line');

$id = made();
say($id, 'x' x 100_000);
cmp_ok(length session($id)->{title}, '<', 200, 'short');



=== a session that is unknown or someone else's is refused
--- ollama
    ollama_session_owner $http_x_owner;
--- test
block_begins();
my @ann = ('X-Owner' => 'ann');
my $id = made({ model => 'm1' }, @ann);

refused(http('POST /api/chat', body('0' x 32, {}, 'a'), @ann), 'unknown', 404,
        qr/session "0+" not found/);
refused(http('POST /api/chat', body($id, {}, 'a'), 'X-Owner' => 'bob'),
        'foreign', 404, qr/not found/);
refused(http(chat('/v1/chat/completions', $id, {}, 'a'),
             'X-Owner' => 'bob'), 'foreign', 404, qr/not found/);
refused(http('POST /api/chat', body($id, {}, 'a')), 'nobody', 403,
        qr/belong to an owner/);

refused(http('POST /api/chat', body($_, {}, 'a'), @ann), "id $_", 404,
        qr/not found/)
    for 'a b', 'x' x 65, "$id}", '{x}', "\x{e9}", "a\n", '*';

is(session($id, @ann)->{messages}[0], undef, 'nothing is stored');
is_saved(http('POST /api/chat', body($id, {}, 'a'), @ann), $id, 'hers');
is_free($id, 'hers');
--- asked
POST /api/chat



=== a request without a model or messages is refused
--- test
block_begins();
my $id = made();

for my $path ('/api/chat', '/v1/chat/completions') {
    refused(http("POST $path", { messages => [ user('a') ] },
                 'X-Ollama-Session-Id' => $id),
            'no model at all', 400, qr/"model" is required/);
    is_free($id, 'no model');
    refused(http(chat($path, $id, { model => undef }, 'a')),
            'null model', 400, qr/"model" is required/);
    is_free($id, 'null model');
    refused(http("POST $path", { model => 'm1' },
                 'X-Ollama-Session-Id' => $id),
            'no messages', 400, qr/"messages" is required/);
    refused(http("POST $path", { model => 'm1', messages => undef },
                 'X-Ollama-Session-Id' => $id),
            'null messages', 400, qr/"messages" is required/);
    refused(http("POST $path", { messages => [ user('a') ] }),
            'neither', 400, qr/"model" is required/);
}

# elsewhere it is no session's
refused(http("POST /api/generate", { session_id => $id, prompt => 'a' }),
        'generate', 400, qr/"model" is required/);
is(stored($id), '', 'nothing is stored');
--- asked
nothing



=== an empty list of messages, and messages of any role
--- test
block_begins();
my $id = made({ system => 's' });

is_saved(http('POST /api/chat', body($id)), $id, 'none yet');
is(texts(@{ asked()->{messages} }), 'system:s', 'only the system');
is_saved(http('POST /api/chat', body($id)), $id, 'none new');
is(texts(@{ asked()->{messages} }), 'system:s|assistant:w0 w1 w2 w3 w4 ',
   'what there is');

$id = made();
is_saved(http('POST /api/chat', body($id)), $id, 'nothing at all');
is(texts(@{ asked()->{messages} }), '', 'nothing');

$id = made();
my @many = map { { role => "r$_", content => "$_" } } 1 .. 100;
is_saved(say($id, '', @many), $id, 'roles');
is(stored($id), join('|', 'user::complete',
                     (map { "r$_:$_:complete" } 1 .. 100),
                     'assistant:w0 w1 w2 w3 w4 :complete'), 'all');
is_saved(say($id, 'x'), $id, 'again');
is(texts(@{ asked()->{messages} }), join('|', 'user:',
   (map { "r$_:$_" } 1 .. 100), 'assistant:w0 w1 w2 w3 w4 ', 'user:x'),
   'all go');



=== large messages in a body that is in a file
--- http_config
    # on a busy machine Redis takes a while to read one of them
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- params
client_max_body_size 30m;
client_body_buffer_size 1k;
--- test
block_begins();
my $id = made();
my $text = 'x' x 5_000_000;

is_saved(say($id, 'a', $text, 'b'), $id, '5 MB');
is_saved(say($id, 'c'), $id, '5 MB, back');

my $record = fake_requests(last => 1)->{requests}[0];
cmp_ok($record->{body_bytes}, '>', 5_000_000, 'sent');

require Digest::SHA;
is($record->{body_sha256}, Digest::SHA::sha256_hex('{"messages":['
   . join(',', map { $::json->encode($_) } user('a'), user($text), user('b'))
   . ',{"role":"assistant","content":"w0 w1 w2 w3 w4 "},'
   . $::json->encode(user('c')) . '],"model":"m1"}'), 'unchanged');

is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 6, 'stored');



=== a history of 2,000 messages, and one that is too long
--- test
block_begins();
my $id = made();

my $fill = sub {
    $main::redis->cli('EVAL', 'for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do '
        . 'redis.call("XADD", KEYS[1], i .. "-0", "t", 1, "s", "complete", '
        . '"m", "{\"role\":\"user\",\"content\":\"" .. i .. "\"}") end', 1,
        "ollama:{$id}:msgs", @_);
};

$fill->(1, 2000);
is_saved(say($id, 'new'), $id, '2,000');

require Digest::SHA;
is(fake_requests(last => 1)->{requests}[0]{body_sha256},
   Digest::SHA::sha256_hex('{"messages":[' . join(',',
       (map { qq({"role":"user","content":"$_"}) } 1 .. 2000),
       $::json->encode(user('new'))) . '],"model":"m1"}'), 'all are sent');

$main::redis->cli('HDEL', "ollama:{$id}:meta", 'last');
$fill->(2003, 10001);
refused(say($id, 'new'), 'too many', 413, qr/10001 messages/);
is_free($id, 'too many');

$id = made();
is_saved(say($id, 1 .. 1024), $id, 'as many as can be, at once');
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 1025, 'stored');
refused(say($id, 1 .. 1025), 'too many at once', 413, qr/than 1024 messages/);
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 1025, 'not stored');
is_free($id, 'too many at once');
is(http('POST /api/chat', { model => 'm1', messages => [ map { user($_) }
                                                         1 .. 5000 ] })->status,
   200, 'without a session');



=== the limit of size counts history, new messages and the reply
--- http_config
    # on a busy machine Redis needs seconds for some messages of 10 MB
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- params
client_max_body_size 30m;
--- test
block_begins();

# a few megabytes at a time: Redis is silent while it does that
my $fill = sub {
    my ($from, $to, $size) = @_;
    my $id = made();
    my $step = 1 + int(4_000_000 / $size);

    for (my $i = $from; $i <= $to; $i += $step) {
        $main::redis->cli('EVAL',
            'for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do '
            . 'redis.call("XADD", KEYS[1], i .. "-0", "t", 1, "s", "complete", '
            . '"m", "{\\"role\\":\\"user\\",\\"content\\":\\"" .. '
            . 'string.rep("x", tonumber(ARGV[3])) .. "\\"}") end', 1,
            "ollama:{$id}:msgs", $i,
            $i + $step - 1 < $to ? $i + $step - 1 : $to, $size);
    }

    return $id;
};

my $length = sub { return $main::redis->cli('XLEN', "ollama:{$_[0]}:msgs") };

my $still = sub {
    my ($id, $what) = @_;
    my $path = "/api/chat/session/$id";

    is_free($id, $what);
    is(http("GET $path?limit=1")->status, 200, "$what - read");
    is(http("DELETE $path/messages?from=3-0")->status, 200, "$what - cut");
    is_saved(say($id, 'new'), $id, "$what - goes on");
    is(http("DELETE $path")->status, 204, "$what - deleted");
};

my $id = $fill->(1, 9_997, 1);
refused(say($id, 1 .. 3), '3 too many', 413,
        qr/has 9997 messages, with 3 new ones and a reply .* 10000/);
is($length->($id), 9_997, 'none is stored');
is_free($id, '3 too many');

fake_set(model => 'm1', status => 500, error => 'broken');
is(say($id, 1, 2)->status, 500, 'no reply');
is($length->($id), 9_999, 'they fit');
refused(say($id, 3), 'others do not', 413, qr/9999 messages/);
fake_set(model => 'm1', status => undef, error => undef);
is_saved(say($id, 1, 2), $id, 'the same do');
is($length->($id), 10_000, 'full');

refused(http(chat('/v1/chat/completions', $id)), 'full', 413,
        qr/has 10000 messages/);
refused(say($id, 'x'), 'full', 413, qr/has 10000 messages/);
is($length->($id), 10_000, 'as it was');
$still->($id, 'full');

# 50 MB
$id = $fill->(1, 5, 10 * 1024 * 1024 - 1000);
refused(say($id, 'x' x 5000), 'too long', 413, qr/more than 50 MB/);
is($length->($id), 5, 'not stored');
is_saved(say($id, 'x' x 3000), $id, 'it fits');
refused(say($id, 'x' x 3000), 'too long', 413, qr/more than 50 MB/);
$still->($id, 'long');



=== one generation at a time has the session
--- fake
{"model":"m1","frames":1000,"gap_ms":50}
--- test
block_begins();
my $id = made();

my $c = client();
$c->request('POST /api/chat', body($id, { task_id => 'one' }, 'a'));
$c->read_until(qr/"w0 "/);

is(session($id)->{active_task}, 'one', 'it runs');

for my $path ('/api/chat', '/v1/chat/completions') {
    my $reply = http(chat($path, $id, { task_id => 'two' }, 'b'));
    refused($reply, $path, 409, qr/\Asession "$id" is busy with task "one"\z/);

    my $json = $reply->json;
    is($path =~ /v1/ ? $json->{error}{task_id} : $json->{task_id}, 'one',
       "$path - for machines");
    is($reply->header('X-Ollama-Task-Id'), 'one', "$path - header");
}

is(stored($id), 'user:a:complete', 'only its message');

my $pttl = $main::redis->cli('PTTL', "ollama:{$id}:task");
ok($pttl > 0 && $pttl <= 10_000, "its lock ends by itself: $pttl");

is(http('POST /api/chat/cancel/one', '')->status, 200, 'stopped');
my $frame = is_saved($c->reply, $id, 'the first one');
is($frame->{done_reason}, 'cancelled', 'cancelled');

fake_set(model => 'm1', frames => 2, gap_ms => 0);
is_saved(say($id, 'b'), $id, 'at once');
like(stored($id), qr/\Auser:a:complete\|assistant:w0 .*:cancelled
                     \|user:b:complete\|assistant:w0\ w1\ :complete\z/x,
     'all');
is_free($id, 'in the end');



=== a stop by the session's id and by the task's
--- fake
{"model":"m1","frames":1000,"gap_ms":20}
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;

    for my $by ('session', 'task') {
        my $id = made();
        my $c = client();

        $c->request(chat($path, $id, { task_id => "t-$by", %$more },
                                       'a'));

        $what =~ /piece/ ? fake_requests(wait_active => 1)
                         : $c->read_until(qr/w1 /);

        my $stopped = http('POST /api/chat/cancel/'
                           . ($by eq 'task' ? 't-task' : $id), '');
        is($stopped->status, 200, "$what by $by - stopped");
        is($stopped->json->{session_id}, $id, "$what by $by - whose");
        is($stopped->json->{task_id}, "t-$by", "$what by $by - which");

        my $frame = is_saved($c->reply, $id, "$what by $by");
        is($frame->{done_reason}, 'cancelled', "$what by $by - last frame")
            if $path eq '/api/chat';

        my @messages = @{ session($id)->{messages} };
        is(@messages, 2, "$what by $by - stored");
        is($messages[1]{status}, 'cancelled', "$what by $by - status");
        is($messages[1]{role}, 'assistant', "$what by $by - role");
        like($messages[1]{content}, $what =~ /piece/ ? qr/\A\z/ : qr/\Aw0 w1 /,
             "$what by $by - the part so far");
        is_free($id, "$what by $by");
        fake_requests(wait_active => 0);
    }
}



=== a client that leaves: the partial reply is stored
--- fake
{"model":"m1","frames":1000,"gap_ms":20}
--- test
block_begins();

for my $form (@::forms[0, 2]) {
    my ($what, $path, $more) = @$form;

    for my $how ('close', 'reset') {
        my $id = made();
        my $c = client();

        $c->request(chat($path, $id, $more, 'a'));
        $c->read_until(qr/w1 /);
        $c->$how;

        is_free($id, "$what, $how");
        like(stored($id), qr/\Auser:a:complete\|assistant:w0 w1 .*:cancelled\z/,
             "$what, $how - stored");
    }
}

# before the first token
fake_set(model => 'm1', ttft_ms => 60_000);
my $id = made();
my $c = client();
$c->request('POST /api/chat', body($id, {}, 'a'));
fake_requests(wait_active => 1);
$c->close;
is_free($id, 'early');
like(stored($id), qr/\Auser:a:complete/, 'early - the question');



=== a client that leaves after the last frame: the reply is complete
--- fake
{"model":"m1","fault":"die_after_done"}
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;
--- test
block_begins();
my $id = made();

# it ends as it should, though the server's framing has no end
my $reply = say($id, 'a');
is(mark_of($reply, 'no last chunk')->{saved}, JSON::PP::true, 'saved');
is(stored($id), 'user:a:complete|assistant:w0 w1 w2 w3 w4 :complete', 'stored');

fake_set(model => 'm1', fault => undef, frames => 3, gap_ms => 100);

$id = made();
my $c = client();
$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w2 /);
$main::redis->freeze;
fake_requests(wait_ended => 2);
$c->close;
sleep 0.2;
$main::redis->thaw;
is_free($id, 'left');
is(stored($id), 'user:a:complete|assistant:w0 w1 w2 :complete', 'complete');
--- no_error_log
[alert]



=== a server breaks off: the partial reply is stored as interrupted
--- test
block_begins();

for my $fault ('die', 'reset', 'die_mid_frame', 'garbage', 'no_done') {
    for my $form (@::forms[0, 2]) {
        my ($what, $path, $more) = @$form;
        my $id = made();

        fake_set(model => 'm1', $fault eq 'no_done'
                 ? (fault => undef, no_done => JSON::PP::true)
                 : (fault => $fault, after => 2, no_done => undef));

        my $reply = http(chat($path, $id, $more, 'a'));
        is($reply->status, 200, "$what, $fault - status");
        ok(!$reply->complete, "$what, $fault - no proper end");
        like(($reply->lines)[-1] || ($reply->lines)[-2],
             qr/\A(data: )?\{"error"/, "$what, $fault - last line");
        unlike($reply->body, qr/"saved"/, "$what, $fault - no word of it");

        is_free($id, "$what, $fault");
        like(stored($id),
             qr/\Auser:a:complete\|assistant:w0 w1 .*:interrupted\z/,
             "$what, $fault - stored");
    }
}
--- error_log eval: qr/closed the connection/



=== Redis stalls at the end of a reply: it is saved later
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=400ms;
--- fake
{"model":"m1","frames":3,"gap_ms":150}
--- test
block_begins();

for my $form (@::forms[0, 2]) {
    my ($what, $path, $more) = @$form;
    my $id = made();

    # it waits until Redis has it
    my $c = client();
    $c->request(chat($path, $id, $more, 'a'));
    $c->read_until(qr/w1 /);
    $main::redis->freeze;
    $c->read_until(qr/w2 /);
    my $end = time + 0.25;
    $c->read($end) while time < $end;
    unlike($c->{raw}, qr/"saved"/, "$what - it waits");
    delete $c->{end};
    $main::redis->thaw;
    is_saved($c->reply, $id, "$what - late");
    like(stored($id), qr/w2 :complete\z/, "$what - it is there");
    is_free($id, "$what - late");

    # as long as it may take
    $c = client();
    $c->request(chat($path, $id, $more, 'b'));
    $c->read_until(qr/w1 /);
    $main::redis->freeze;
    is_saved($c->reply, $id, "$what - too late", 0);
    like($c->{raw}, qr/w0.*w1.*w2/s, "$what - intact");

    is(http('POST /api/chat', { model => 'm1', messages => [ user('x') ] },
            -timeout => 2)->status, 200, "$what - without a session");
    $main::redis->thaw;
    ok(wait_for(sub { http("GET /api/chat/session/$id")->status == 200 }, 15),
       "$what - back");
    is_free($id, "$what - too late");
    like(stored($id), qr/w2 :complete\z/, "$what - it is there after all");
}
--- error_log eval: qr/the reply was not saved in its session/



=== Redis is down: chats in sessions are answered 503, others work
--- test
block_begins();
my $id = made({ model => 'm1' });
$main::redis->kill;

ok(wait_for(sub { http("GET /api/chat/session/$id")->status == 503 }), 'down');

for my $path ('/api/chat', '/v1/chat/completions') {
    my $begun = time;

    refused(http(chat($path, $id, {}, 'a')), $path, 503,
            qr/\Asession history is unavailable\z/);
    cmp_ok(time - $begun, '<', 0.5, 'at once');
}

is(http('POST /api/chat', { model => 'm1', messages => [ user('x') ] })->status,
   200, 'without a session');
--- asked
POST /api/chat
--- error_log eval: qr/redis/



=== Redis dies during a reply: "saved" is false
--- fake
{"model":"m1","frames":5,"gap_ms":100}
--- test
block_begins();
my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w1 /);
$main::redis->kill;
is_saved($c->reply, $id, 'gone', 0);
like($c->{raw}, qr/w4 /, 'intact');
--- error_log eval: qr/the reply was not saved in its session/



=== no server is up or has the model: the session is free again
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=1s;
--- test
block_begins();
my $id = made();

wait_status(up => 1);
refused(http('POST /api/chat', body($id, { model => 'none' }, 'a')),
        'no model', 404, qr/model 'none' not found/);
is(stored($id), '', 'nothing is stored');
is_free($id, 'no model');

fake_kill();
wait_status(down => 1);
refused(http('POST /api/chat', body($id, {}, 'a')), 'no server', 503, qr/./);
is(stored($id), '', 'nothing is stored');
is_free($id, 'no server');

fake_revive();
wait_status(up => 1);
is_saved(say($id, 'a'), $id, 'up');
--- no_error_log
[alert]



=== a server's error is passed on, and the session is free again
--- test
block_begins();
my $id = made();

fake_set(model => 'm1', status => 500, error => 'broken');
is(say($id, 'a')->status, 500, 'its status');
is_free($id, 'error');
like(stored($id), qr/\Auser:a:complete\z/, 'the question');

fake_set(model => 'm1', status => undef, error => undef);
is_saved(say($id, 'b'), $id, 'again');



=== a session is free before a server's error reply has ended
--- upstream
        server 127.0.0.1:$TEST_NGINX_STEP_PORT;
--- test
block_begins();
my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
my $server = $main::step->accept;
$server->send("HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\n{}");
$c->read_until(qr/\{\}/);
is_free($id, 'early');

$server->send('    ');
my $reply = $c->reply;
is($reply->status, 500, 'its status');
is($reply->body, '{}    ', 'its body');
$server->close;
is(stored($id), 'user:a:complete', 'the question');



=== a session that is deleted during a reply stays deleted
--- fake
{"model":"m1","frames":4,"gap_ms":100}
--- test
block_begins();

for my $form (@::forms[0, 2]) {
    my ($what, $path, $more) = @$form;
    my $id = made();
    my $c = client();

    $c->request(chat($path, $id, $more, 'a'));
    $c->read_until(qr/w1 /);
    is(http("DELETE /api/chat/session/$id")->status, 204, 'deleted');
    is_saved($c->reply, $id, $what, 0);
    like($c->{raw}, qr/w3 /, "$what - intact");
    is($main::redis->cli('KEYS', 'ollama:{*'), '',
       "$what - nothing comes back");
}
--- error_log eval: qr/not saved in its session: it was deleted/



=== with proxy_buffering on a reply is saved
--- params
proxy_buffering on;
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    my $id = made();

    is_saved(http(chat($path, $id, $more, 'a')), $id, $what);
    like(stored($id), qr/w4 :complete\z/, "$what - stored");
}

fake_set(model => 'm1', frames => 1000, size => 1000);

my $id = made();
my $reply = say($id, 'a');
is_saved($reply, $id, 'large');
cmp_ok(length session($id)->{messages}[1]{content}, '>=', 1_000_000, 'all');

# with a length
fake_set(model => 'm1', length => JSON::PP::true, frames => 5, size => 0);
$id = made();
is_saved(http(chat($_->[1], $id, $_->[2], 'a')), $id, "length, $_->[0]")
    for @::forms;



=== a reply is saved however it is split
--- test
block_begins();

for my $split (1, 2, 7, 100) {
    fake_set(model => 'm1', split => $split, split_delay_us => 20,
             unicode => JSON::PP::true);

    for my $form (@::forms) {
        my ($what, $path, $more) = @$form;
        my $id = made();

        is_saved(http(chat($path, $id, $more, 'a')), $id,
                 "$what in $split");
        is(session($id)->{messages}[1]{status}, 'complete',
           "$what in $split - stored");
    }
}



=== chats in sessions by HTTP/2
--- config eval: $::h2
--- fake
{"model":"m1","frames":20,"gap_ms":5}
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    my $id = made();
    my $reply = http2(chat($path, $id, $more, 'a'));

    is_saved($reply, $id, $what);
    like(stored($id), qr/w19 :complete\z/, "$what - stored");
}

# two sessions in one connection; one is left
fake_set(model => 'm1', frames => 30, gap_ms => 20);
my ($id, $other) = (made(), made());
my $c = h2();
$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w1 /);
$c->request('POST /api/chat', body($other, {}, 'a'));
$c->read_until(qr/w1 /);
$c->back(1);
$c->rst;
is_free($id, 'left');
like(stored($id), qr/:cancelled\z/, 'left');
$c->back(3);
is_saved($c->reply, $other, 'the other one');
$c->close;



=== a worker is killed during a reply: the session is soon free
--- fake
{"model":"m1","frames":100000,"gap_ms":50}
--- test
block_begins();
my $id = made();
my $c = client();
my $key = "ollama:{$id}:task";

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w1 /);
$main::redis->cli('PEXPIRE', $key, 9_000_000);
ok(wait_for(sub { my $left = $main::redis->cli('PTTL', $key);
                  $left > 0 && $left <= 10_000 }, 5), 'it is renewed');
is(session($id)->{active_task} ne '', 1, 'it runs');

kill KILL => worker_pids();
ok(wait_for(sub { $c->read(time + 0.1); ($c->{end} // '') =~ /eof|reset/ }),
   'gone');
my $left = $main::redis->cli('PTTL', $key);
ok($left <= 10_000 && $left != -1, "its lock ends: $left");

# as if the time were over
$main::redis->cli('DEL', $key);
fake_set(model => 'm1', frames => 2, gap_ms => 0);
ok(wait_for(sub { eval { say($id, 'b')->status == 200 } }, 10), 'again');
like(stored($id), qr/\Auser:a:complete\|user:b:complete\|assistant:w0 w1 /,
     'nothing is lost but what was being said');
--- error_log
exited on signal 9
[alert]



=== a reload during a reply: the reply is saved
--- fake
{"model":"m1","frames":20,"gap_ms":50}
--- test
block_begins();
my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w1 /);
reload();
refused(say($id, 'b'), 'a new worker', 409, qr/busy/);
is_saved($c->reply, $id, 'the old worker');
like(stored($id), qr/w19 :complete\z/, 'stored');
is_saved(say($id, 'b'), $id, 'a new worker');



=== many sessions at once, with several turns on one connection
--- test
block_begins();
my @ids = map { made() } 1 .. 20;
my @clients = map { client(timeout => 30) } @ids;

for my $turn (1 .. 5) {
    $clients[$_]->request('POST /api/chat', body($ids[$_], {}, "$turn"))
        for 0 .. $#ids;
    is(mark_of($clients[$_]->reply, "turn $turn")->{saved}, JSON::PP::true)
        for 0 .. $#ids;
}

is(@{ session($_)->{messages} }, 10, 'once each') for @ids;
$_->close for @clients;



=== a chat without a session is not changed or stored
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;
    # under /v1 the body's field is the client's own
    my $id = $path =~ /v1/ ? { session_id => '0' x 32 } : {};
    my $reply = http("POST $path", { model => 'm1', %$more, %$id,
                                     messages => [ user('a') ] });

    is($reply->status, 200, $what);
    unlike($reply->body, qr/"saved"|"session_id"/, "$what - no word of it");
    is(asked()->{session_id}, $id->{session_id}, "$what - passed on");
    is($reply->header('X-Ollama-Session-Id'), undef, "$what - header");
}

is($main::redis->cli('KEYS', 'ollama:{*'), '', 'nothing is stored');



=== a message whose storing was delayed is not stored twice
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=300ms;
--- test
block_begins();
my $said = 'w0 w1 w2 w3 w4 ';

for my $form (@::forms[0, 3]) {
    my ($what, $path, $more) = @$form;
    my $id = made({ system => 's' });
    my @messages = (user('slow'), { role => 'tool', content => 'two' });

    is_saved(http(chat($path, $id, $more, 'before')), $id, $what);

    $main::line->hold('"slow"');
    refused(http(chat($path, $id, $more, @messages)),
            "$what - first", 503, qr/unavailable/);
    $main::line->mend;
    ok(wait_for(sub { $main::redis->cli('XLEN', "ollama:{$id}:msgs") == 4 }),
       "$what - stored all the same");

    # as if the time were over
    $main::redis->cli('DEL', "ollama:{$id}:task");
    my $reply;
    ok(wait_for(sub { $reply = http(chat($path, $id, $more, @messages));
                      $reply->status != 503 }, 15), "$what - back");

    is_saved($reply, $id, "$what - second");
    is(texts(@{ asked()->{messages} }),
       "system:s|user:before|assistant:$said|user:slow|tool:two",
       "$what - asked");
    is(stored($id), "user:before:complete|assistant:$said:complete|"
       . "user:slow:complete|tool:two:complete|assistant:$said:complete",
       "$what - stored once");
    is_free($id, $what);

    # it has been answered: what is said now is new
    is_saved(http(chat($path, $id, $more, @messages)), $id, $what);
    is(@{ session($id)->{messages} }, 8, "$what - again");
}
--- error_log eval: qr/is down: timed out/



=== messages that got no reply are not stored again when repeated
--- test
block_begins();

my $fails = sub {
    my ($id, @messages) = @_;
    fake_set(model => 'm1', status => 500, error => 'broken');
    is(say($id, @messages)->status, 500, 'no reply');
};

my $says = sub {
    my ($id, @messages) = @_;
    fake_set(model => 'm1', status => undef, error => undef, frames => 1);
    is_saved(say($id, @messages), $id, "@messages");
    asked();
    return stored($id) =~ s/:complete//gr;
};

my $id = made();
$fails->($id, 'a') for 1 .. 3;
is($says->($id, 'a'), 'user:a|assistant:w0 ', 'the same');

$id = made();
$fails->($id, 'a', 'b') for 1 .. 2;
is($says->($id, 'a', 'b'), 'user:a|user:b|assistant:w0 ', 'two');

for (
    [ [ 'a' ], [ 'b' ] ],
    [ [ 'a' ], [ 'a', 'a' ] ],
    [ [ 'a', 'a' ], [ 'a' ] ],
    [ [ 'a', 'b' ], [ 'b' ] ],
    [ [ 'a', 'b' ], [ 'b', 'a' ] ],
    [ [ 'a', 'b' ], [ 'a' ] ],
    [ [ 'a' ], [ 'aa' ] ],
    [ [ { role => 'system', content => 'a' } ], [ 'a' ] ],
) {
    my ($first, $second) = @$_;
    my $role = ref $first->[0] ? 'system' : 'user';
    my $all = join '|', (map { "$role:$_" }
                         map { ref ? $_->{content} : $_ } @$first),
                        (map { "user:$_" } @$second), 'assistant:w0 ';

    $id = made();
    $fails->($id, @$first);
    is($says->($id, @$second), $all, "other: $all");
}

# what was taken back is gone
$id = made();
$fails->($id, 'a', 'b');
is(http("DELETE /api/chat/session/$id/messages?from=2-0")->json->{deleted}, 1,
   'taken back');
is($says->($id, 'a'), 'user:a|user:a|assistant:w0 ', 'no more as it was');

$id = made();
$fails->($id, 'a');
is(http("DELETE /api/chat/session/$id/messages?from=1-0")->json->{deleted}, 1,
   'taken back');
is($says->($id, 'a'), 'user:a|assistant:w0 ', 'said anew');

# long ones, of more than a page
$id = made();
my @long = map { "$_ xxxxxxxx" } 1 .. 700;
$fails->($id, @long);
$says->($id, @long);
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 701, 'long');
is(@{ asked()->{messages} }, 700, 'long - each is asked once');



=== Redis can't be reached at the end of a reply: it is saved later
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- fake
{"model":"m1","frames":3,"gap_ms":100}
--- test
block_begins();

for my $form (@::forms[0, 3]) {
    my ($what, $path, $more) = @$form;
    my $id = made();
    my $c = client();

    $c->request(chat($path, $id, $more, 'a'));
    $what =~ /piece/ ? fake_requests(wait_active => 1)
                     : $c->read_until(qr/w0 /);
    $main::line->cut;
    is_saved($c->reply, $id, "$what - cut", 0);
    $main::line->mend;

    ok(wait_for(sub { stored($id) =~ /assistant/ }, 15), "$what - saved late");
    is(stored($id), 'user:a:complete|assistant:w0 w1 w2 :complete',
       "$what - once");
    is_free($id, $what);
    is_saved(http(chat($path, $id, $more, 'b')), $id, "$what - next");
    is(texts(@{ asked()->{messages} }), 'user:a|assistant:w0 w1 w2 |user:b',
       "$what - it is known");
}

# the client has gone, too, or the server
for my $how ('cancelled', 'interrupted') {
    fake_set(model => 'm1', frames => 3, gap_ms => 100,
             $how eq 'cancelled' ? (frames => 1000)
                                 : (fault => 'die', after => 2));
    my $id = made();
    my $c = client();

    $c->request('POST /api/chat', body($id, {}, 'a'));
    $c->read_until(qr/w1 /);
    $main::line->cut;
    $how eq 'cancelled' ? $c->close : $c->reply;
    fake_requests(wait_active => 0);
    $main::line->mend;

    ok(wait_for(sub { lock_of($id) eq '' }, 15), "$how - free");
    like(stored($id), qr/\Auser:a:complete\|assistant:w0 w1 .*:$how\z/,
         "$how - stored");
}
--- error_log eval
[qr/was not saved in its session yet: Redis is not available/,
 qr/closed the connection before the end of its reply/]



=== a delayed save that is repeated stores one reply
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=300ms;
--- test
block_begins();

for my $form (@::forms[0, 3]) {
    my ($what, $path, $more) = @$form;
    # it comes late, and again: either may be the first

    for my $how ('hold', 'catch') {
        my $id = made();
        my $key = "ollama:{$id}:msgs";

        $main::line->$how('w0 w1 w2 w3 w4 ');
        is_saved(http(chat($path, $id, $more, 'a')), $id, $what, 0);
        ok($main::line->held, "$what, $how - it is on its way");

        if ($how eq 'hold') {
            is($main::redis->cli('XLEN', $key), 1, "$what, $how - not yet");
            isnt(lock_of($id), '', "$what, $how - it is waited for");
            $main::line->mend;
        }

        ok(wait_for(sub { $main::redis->cli('XLEN', $key) == 2 }, 15),
           "$what, $how - saved");
        is_free($id, "$what, $how");

        $main::line->mend;
        my $reply;
        ok(wait_for(sub { $reply = http(chat($path, $id, $more, 'b'));
                          $reply->status != 503 }, 15), "$what, $how - back");
        is_saved($reply, $id, "$what, $how - next");
        is(stored($id) =~ s/:complete//gr, 'user:a|assistant:w0 w1 w2 w3 w4 |'
           . 'user:b|assistant:w0 w1 w2 w3 w4 ', "$what, $how - once");
    }
}
--- error_log eval
qr/was not saved in its session yet: Redis failed, or did not answer in time/



=== a delayed save is dropped if the session has changed meanwhile
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- fake
{"model":"m1","frames":3,"gap_ms":100}
--- test
block_begins();
my ($key, $i) = ('', 0);

for my $meanwhile (
    sub { $main::redis->cli('XADD', "$key:msgs", '2-0', 'm',
                            '{"role":"user","content":"x"}', 's', 'complete');
          $main::redis->cli('HSET', "$key:meta", 'last', 2) },
    sub { $main::redis->cli('SET', "$key:task", 'another') },
    sub { $main::redis->cli('HINCRBY', "$key:meta", 'begun', 1) },
    sub { $main::redis->cli('DEL', "$key:meta", "$key:msgs", "$key:task") },
) {
    my $id = made();
    my $c = client();
    $key = "ollama:{$id}";

    $c->request('POST /api/chat', body($id, { task_id => 'same' }, 'a'));
    $c->read_until(qr/w0 /);
    $main::line->cut;
    is_saved($c->reply, $id, 'cut', 0);

    # as others do, the third one under the same name
    $meanwhile->();
    my $stored = $main::redis->cli('XRANGE', "$key:msgs", '-', '+');
    my $holder = $main::redis->cli('GET', "$key:task");

    $main::line->mend;
    ok(wait_for(sub { error_log_has(qr/in session "$id" is lost/) }, 15),
       'tried');
    is($main::redis->cli('XRANGE', "$key:msgs", '-', '+'), $stored, 'messages');
    is(lock_of($id), $i++ =~ /[12]/ ? $holder : '', "its holder $holder");
}
--- error_log eval: qr/is lost: another task has its session, or has had it/



=== Redis refuses the reply for a while: it is saved later
--- fake
{"model":"m1","frames":3,"gap_ms":100}
--- test
block_begins();

# a snapshot has failed: there is a folder with the name of its file
my $stops = 'stop-writes-on-bgsave-error';
my $file = $main::redis->cli('CONFIG', 'GET', 'dir') =~ s/.*\n//sr
           . '/dump.rdb';

mkdir $file or die "$file: $!\n";
$main::redis->cli('CONFIG', 'SET', @$_) for [ $stops, 'no' ],
    [ 'save', '3600 1' ], [ 'lua-time-limit', 1 ];
$main::redis->cli('BGSAVE');
ok(wait_for(sub { $main::redis->cli('INFO', 'persistence')
                  =~ /rdb_last_bgsave_status:err/ }), 'a snapshot fails');

# a script that doesn't end
my $busy = IO::Socket::UNIX->new(Peer => $main::redis->path);
$busy->print("AUTH super super\r\n");

my %refuses = (
    OOM => [ sub { $main::redis->cli('CONFIG', 'SET', 'maxmemory', 1) },
             sub { $main::redis->cli('CONFIG', 'SET', 'maxmemory', 0) } ],
    READONLY => [ sub { $main::redis->cli('REPLICAOF', '127.0.0.1', 1) },
                  sub { $main::redis->cli('REPLICAOF', 'NO', 'ONE') } ],
    MISCONF => [ sub { $main::redis->cli('CONFIG', 'SET', $stops, 'yes') },
                 sub { $main::redis->cli('CONFIG', 'SET', $stops, 'no') } ],
    BUSY => [ sub { $busy->print("EVAL 'while true do end' 0\r\n") },
              sub { $main::redis->cli('SCRIPT', 'KILL') } ],
);

for my $word (sort keys %refuses) {
    my ($begins, $ends) = @{ $refuses{$word} };

    for my $form (@::forms[0, 2]) {
        my ($what, $path, $more) = @$form;
        my $title = "$what, $word";
        my $id = made();
        my $c = client();

        $c->request(chat($path, $id, $more, 'a'));
        $c->read_until(qr/w0 /);
        $begins->();
        is_saved($c->reply, $id, $title, 0);
        sleep 1.5;
        is(stored($id), 'user:a:complete', "$title - not stored")
            if $word ne 'BUSY';
        $ends->();
        is_free($id, $title, 9);
        is(stored($id), 'user:a:complete|assistant:w0 w1 w2 :complete',
           "$title - stored later");

        is_saved(http(chat($path, $id, $more, 'b')), $id, "$title - next");
    }
}

$main::redis->cli('CONFIG', 'SET', @$_)
    for [ 'save', '' ], [ 'lua-time-limit', 5000 ];
rmdir $file;
--- error_log eval
[qr/redis refused a session's command: .*OOM/,
 qr/redis refused a session's command: .*READONLY/,
 qr/redis refused a session's command: .*MISCONF/,
 qr/redis refused a session's command: .*BUSY/,
 qr/was not saved in its session yet/]



=== Redis refuses the reply for good: the session is free
--- fake
{"model":"m1","frames":3,"gap_ms":100}
--- test
block_begins();

my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w0 /);
my $key = "ollama:{$id}:msgs";
$main::redis->cli('RENAME', $key, 'aside');
$main::redis->cli('SET', $key, 'no stream');
is_saved($c->reply, $id, 'another type', 0);
is_free($id, 'another type');
$main::redis->cli('RENAME', 'aside', $key);
is(stored($id), 'user:a:complete', 'not stored');
is_saved(say($id, 'b'), $id, 'next');
--- error_log eval
[qr/redis refused a session's command: WRONGTYPE/,
 qr/is lost: Redis refused it/]



=== a delayed lock is released
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=300ms;
--- test
block_begins();

my $id = made();
$main::line->hold('"content":"a"');
refused(http('POST /api/chat', body($id, { task_id => 'slow-task' }, 'a')),
        'slow', 503, qr/unavailable/);
is(lock_of($id), '', 'not yet');
$main::line->mend;
ok(wait_for(sub { http("GET /api/chat/session/$id")->status == 200 }, 15),
   'back');
is_free($id, 'late');
is_saved(say($id, 'b'), $id, 'next');
--- error_log eval: qr/is down: timed out/



=== a client that leaves before its session is read
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=20s;
--- test
block_begins();

my $id = made();
$main::line->hold('"content":"a"');
my $c = client();
$c->request('POST /api/chat', body($id, { task_id => 'left-task' }, 'a'));
ok(wait_for(sub { $main::line->held }), 'it waits for Redis');
$c->close;
ok(access_log(qr{/api/chat 499 .*$id}), 'it left');
$main::line->mend;

# commands are done in their order
is(session($id)->{active_task}, undef, 'the session is free');
is(stored($id), 'user:a:complete', 'what it said is stored');
--- asked
nothing



=== a client that leaves before the first token
--- fake
{"model":"m1","ttft_ms":60000}
--- test
block_begins();

for my $form (@::forms) {
    my ($what, $path, $more) = @$form;

    for my $how ('close', 'reset') {
        fake_set(model => 'm1', ttft_ms => 60_000);
        my $id = made();
        my $c = client();

        $c->request(chat($path, $id, $more, 'a'));
        fake_requests(wait_active => 1);
        $c->$how;

        is_free($id, "$what, $how");
        fake_requests(wait_active => 0);
        is(stored($id), 'user:a:complete', "$what, $how - the question");

        fake_set(model => 'm1', ttft_ms => 0);
        is_saved(http(chat($path, $id, $more, 'a')), $id,
                 "$what, $how - again");
        is(stored($id),
           'user:a:complete|assistant:w0 w1 w2 w3 w4 :complete',
           "$what, $how - once");
    }
}



=== a stop before the first token or while the model is loading
--- test
block_begins();

for my $wait ('ttft_ms', 'load_ms') {
    for my $form (@::forms) {
        my ($what, $path, $more) = @$form;
        my $id = made({ model => $wait eq 'load_ms' ? 'm2' : 'm1' });
        my $model = session($id)->{model};
        my $c = client();

        fake_reset();
        fake_set(model => $model, $wait => 60_000);

        my %body = (model => undef, %$more);
        $c->request(chat($path, $id, \%body, 'a'));
        fake_requests(wait_active => 1);

        is(http("POST /api/chat/cancel/$id", '')->status, 200,
           "$wait, $what - stopped");

        # who has the last frame can go on at once
        is_saved($c->reply, $id, "$wait, $what");
        is(lock_of($id), '', "$wait, $what - free");
        is(stored($id), 'user:a:complete|assistant::cancelled',
           "$wait, $what - stored");
        fake_requests(wait_active => 0);

        fake_set(model => $model, $wait => 0);
        is_saved(http(chat($path, $id, \%body, 'b')),
                 $id, "$wait, $what - next");
        is(texts(@{ asked()->{messages} }), 'user:a|assistant:|user:b',
           "$wait, $what - as it was");
    }
}



=== a chat after a reply that broke off
--- test
block_begins();

for my $fault ([ fault => 'die', after => 2 ], [ error_line_after => 2 ]) {
    for my $form (@::forms[0, 2]) {
        my ($what, $path, $more) = @$form;
        my $id = made();

        fake_reset();
        fake_set(model => 'm1', @$fault);

        my $reply = http(chat($path, $id, $more, 'a'));
        is($reply->status, 200, "$what, @$fault - status");
        like($reply->body, qr/"error"/, "$what, @$fault - it is said");
        unlike($reply->body, qr/"saved"/, "$what, @$fault - no word of it");
        is_free($id, "$what, @$fault");
        is(stored($id), 'user:a:complete|assistant:w0 w1 :interrupted',
           "$what, @$fault - stored");

        fake_reset();
        is_saved(http(chat($path, $id, $more, 'b')), $id,
                 "$what, @$fault - next");
        is(texts(@{ asked()->{messages} }), 'user:a|assistant:w0 w1 |user:b',
           "$what, @$fault - the part is known");
    }
}
--- error_log eval: qr/closed the connection/



=== invalid messages are refused
--- test
block_begins();
my $id = made();

for (
    [ qq({"role":"user","content":"\0"}), qr/a control character/ ],
    [ qq({"role":"user","content":"a), qr/unexpected end/ ],
    [ qq({"role":"user","content":"a"), qr/byte \d+: / ],
    [ '"a"', qr/an object, not a string/ ],
    [ '{},5', qr/an object, not a number/ ],
    [ '[]', qr/an object, not an array/ ],
    [ 'null', qr/byte 74: "messages" has a null/ ],
    [ '{},null', qr/byte 77: "messages" has a null/ ],
    [ 'null,{}', qr/byte 74: "messages" has a null/ ],
) {
    my ($message, $error) = @$_;

    for my $path ('/api/chat', '/v1/chat/completions') {
        my $text = qq({"model":"m1","session_id":"$id","messages":[$message]});
        refused(http("POST $path", $text, 'X-Ollama-Session-Id' => $id),
                "$path $message", 400, $error);
    }
}

# of another list, or of what is in a message
my $nulls = '{"messages":[null,{"x":[null]}],"model":"m1","tools":[null],'
            . '"stop":[null],"session_id":"%s","messages":%s}';

refused(http('POST /api/chat', sprintf $nulls, $id, 'null'), 'none', 400,
        qr/"messages" is required/);
is(stored($id), '', 'nothing is stored');

my $other = made();
is_saved(http('POST /api/chat', sprintf $nulls, $other, '[{"content":null}]'),
         $other, 'of other lists');

is(stored($id), '', 'nothing is stored');
is(lock_of($id), '', 'free');
--- asked
POST /api/chat



=== a message of 20 MB, and special characters in ids and texts
--- http_config
    # on a busy machine Redis takes a while to read one of them
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- params
client_max_body_size 30m;
--- test
block_begins();

my $text = 'x' x 20_000_000;
my $id = made();
is_saved(say($id, $text), $id, '20 MB');
cmp_ok(fake_requests(last => 1)->{requests}[0]{body_bytes}, '>', 20_000_000,
       'sent');
is_saved(say($id, 'b'), $id, '20 MB, back');
cmp_ok(fake_requests(last => 1)->{requests}[0]{body_bytes}, '>', 20_000_000,
       'sent again');
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 4, 'stored');

$main::redis->cli('FLUSHALL');
$id = made({ title => '{x}', model => 'm1' });
my @odd = ('{', '}', '{x}:meta', "\r\n*1\r\n", '*', 'ollama:', "\0", "a\0b",
           "\$9\r\nFLUSHALL\r\n", "' .. redis.call('FLUSHALL') .. '",
           ']]', '%s %V', '-0', 'ok', 'none', 'busy', 'set', 'remove', 'm');

for my $odd (@odd) {
    is_saved(say($id, $odd, { role => $odd, content => $odd }), $id, $odd);
    my @messages = @{ session($id)->{messages} };
    is($messages[-2]{role}, $odd, "$odd - role");
    is($messages[$_]{content}, $odd, "$odd - content") for -3, -2;
}

is(session($id)->{title}, '{x}', 'its title');
is(join(' ', grep { !/gate/ } sort split /\n/, $main::redis->cli('KEYS', '*')),
   "ollama:{$id}:meta ollama:{$id}:msgs", 'keys');

for my $odd (@odd) {
    my $other = made({ model => 'm1' });
    is_saved(say($other, $odd), $other, $odd);
    unlike(session($other)->{title} // '', qr/[\0-\x1f]/, "$odd - title");
}

for my $task ('{', '}', '*', 'a b', "a.1", 'a:b') {
    refused(http('POST /api/chat', body($id, { task_id => $task }, 'a')),
            "task $task", 400, qr/task_id/);
    refused(http('POST /api/chat', body($id, {}, 'a'),
                 'X-Ollama-Task-Id' => $task),
            "task $task", 400, qr/X-Ollama-Task-Id/);
}

