# Guards what clients are promised of a conversation between models in a
# session: it is stored turn by turn however it ends, the closing line says
# truly whether all was saved, and a later conversation continues from there.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(block_begins made session stored lock_of
                                    is_free);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Stop;
use Cpanel::JSON::XS ();
use JSON::PP;
use Time::HiRes qw(sleep time);

our $json = Cpanel::JSON::XS->new->utf8->canonical;
our $path = 'POST /api/chat/multi-model';
our $w = 'w0 w1 w2 w3 w4 ';

sub body {
    my ($id, @more) = @_;

    return { models => [ 'm1', 'm2' ], initial_message => 'hi',
             max_turns => 2, session_id => $id, @more };
}

sub talk { return http($path, body(@_)) }


sub closing {
    my ($r, $what, $id, $reason, $turns, $saved) = @_;

    is($r->status, 200, "$what - status") or diag($r->raw);
    ok($r->complete, "$what - a proper end");
    is($r->header('X-Ollama-Session-Id'), $id, "$what - header");

    my $last = eval { $json->decode(($r->lines)[-1]) } // {};

    is($last->{type}, 'conversation', "$what - a closing line");
    is($last->{done_reason}, $reason, "$what - done_reason");
    is($last->{turns}, $turns, "$what - turns");
    is($last->{session_id}, $id, "$what - session");
    is($last->{saved}, $saved // 1 ? JSON::PP::true : JSON::PP::false,
       "$what - saved: " . ($saved // 1));

    return $last;
}


no_shuffle();
run_tests();

__DATA__

=== each turn is stored with the name of who said it
--- config eval: $::h2
--- test
block_begins();

for my $http (\&http, \&http2) {
    for my $stream (JSON::PP::true, JSON::PP::false) {
        my $id = made();
        my $what = $stream ? 'stream' : 'no stream';

        my $r = $http->($::path, body($id, stream => $stream, max_turns => 3,
                                models => [ 'm1', { model => 'm2',
                                                    name => 'Bob' } ]));
        closing($r, $what, $id, 'max_turns', 3);

        my $session = session($id);
        my @messages = @{ $session->{messages} };

        is(stored($id), "user:hi:complete|m1:$::w:complete"
                        . "|Bob:$::w:complete|m1:$::w:complete",
           "$what - all of it, in order");
        is(join(' ', map { $_->{id} } @messages), '1-0 2-0 3-0 4-0', 'ids');
        is(join(' ', map { $_->{role} } @messages),
           'user assistant assistant assistant', "$what - roles");
        is(join(' ', map { $_->{model} } @messages[1 .. 3]), 'm1 m2 m1',
           "$what - models");
        is($_->{server}, '127.0.0.1:' . fake_port(), "$what - server")
            for @messages[1 .. 3];
        is($_->{stats}{eval_count}, 5, "$what - stats") for @messages[1 .. 3];
        is($session->{active_task}, undef, "$what - nothing runs");
        is($session->{title}, 'hi', "$what - title");
        is_free($id, $what);
    }
}



=== a conversation continues with the same or other models, or as a chat
--- test
block_begins();
my $id = made();

closing(talk($id), 'first', $id, 'max_turns', 2);
fake_reset();
closing(talk($id, initial_message => "go\n\x{263a} \"on\""), 'second', $id,
        'max_turns', 2);

my @asked = @{ fake_requests()->{requests} };

is(prompt_of($asked[0]),
   "user:hi|assistant:$::w|user:$::w|user:go\n\x{263a} \"on\"",
   'the first one knows what it has said');
is(prompt_of($asked[1]), "user:hi|user:$::w|assistant:$::w"
                    . "|user:go\n\x{263a} \"on\"|user:$::w",
   'and so does the second');

is(stored($id), join('|', "user:hi:complete", "m1:$::w:complete",
                     "m2:$::w:complete", "user:go\n\x{263a} \"on\":complete",
                     "m1:$::w:complete", "m2:$::w:complete"), 'stored');

# a chat goes on, too, and is heard by others
is(http('POST /api/chat', { model => 'm2', session_id => $id, messages =>
        [ { role => 'user', content => 'ask' } ] })->status, 200, 'a chat');

fake_reset();
closing(talk($id, models => [ { model => 'm1', name => 'x' }, 'm1', 'm2' ],
             max_turns => 1), 'others', $id, 'max_turns', 1);

is(prompt_of((@{ fake_requests()->{requests} })[0]),
   join("\n", "user:hi", "m1: $::w", "m2: $::w", "go", "\x{263a} \"on\"",
        "m1: $::w", "m2: $::w", 'ask', "m2: $::w", 'hi'),
   'what others have said has their names');



=== the session's instructions are for models without their own
--- test
block_begins();
my $id = made({ system => 'S' });

closing(talk($id, system_prompts => { m2 => 'T' }), 'talk', $id, 'max_turns',
        2);

my @asked = @{ fake_requests()->{requests} };
is(prompt_of($asked[0]), 'system:S|user:hi', 'the first');
is(prompt_of($asked[1]), "system:T|user:hi|user:$::w", 'the second');



=== a long history is sent to both models, one over the limit is refused
--- params
proxy_read_timeout 30s;
--- test
block_begins();
my $id = made();

for my $n (1 .. 3) {
    is(http('POST /api/chat', { model => 'm1', session_id => $id, messages => [
            map { { role => 'user', content => "$_ " . 'x' x 900 } }
            1 .. 1000 ] })->status, 200, 'said');
}

fake_reset();
closing(talk($id), 'talk', $id, 'max_turns', 2);
my $asked = fake_requests()->{requests};
cmp_ok($asked->[0]{body_bytes}, '>', 2_700_000, 'all of it is heard');
cmp_ok($asked->[1]{body_bytes}, '>', $asked->[0]{body_bytes}, 'and by all');
is(scalar @{ session($id)->{messages} }, 1000, 'a page');

# 3,006 so far
for my $n (1 .. 7) {
    is(http('POST /api/chat', { model => 'm1', session_id => $id, messages => [
            map { { role => 'user', content => '' } }
            1 .. 995 ] })->status, 200, 'said');
}

my $r = talk($id, max_turns => 100);
is($r->status, 413, 'it would become too long');
like($r->json->{error}, qr/has 9978 messages/);
is_free($id, 'refused');
closing(talk($id), 'a short one', $id, 'max_turns', 2);



=== an opening message that got no reply is stored once when sent again
--- test
block_begins();
my $id = made();

fake_set(model => 'm1', status => 500, error => 'x');
closing(talk($id), 'failed', $id, 'error', 0);
is(stored($id), 'user:hi:complete', 'nothing was said');

fake_reset();
closing(talk($id), 'again', $id, 'max_turns', 2);
is(stored($id), "user:hi:complete|m1:$::w:complete|m2:$::w:complete", 'once');
is(prompt_of((@{ fake_requests()->{requests} })[0]), 'user:hi',
   'and heard once');

closing(talk($id, max_turns => 1), 'once more', $id, 'max_turns', 1);
is(stored($id), "user:hi:complete|m1:$::w:complete|m2:$::w:complete"
                . "|user:hi:complete|m1:$::w:complete", 'it was answered');



=== a session that is unknown or someone else's is refused
--- ollama
ollama_session_owner $http_x_user;
--- test
block_begins();
my $id = made({}, 'X-User' => 'ann');

for ([ 'an unknown one', 404, body('none'), 'X-User' => 'ann' ],
     [ 'no id', 404, body('a b'), 'X-User' => 'ann' ],
     [ 'another one\'s', 404, body($id), 'X-User' => 'bob' ],
     [ 'nobody\'s', 403, body($id) ])
{
    my ($what, $status, $body, @headers) = @$_;
    my $r = http($::path, $body, @headers);

    is($r->status, $status, $what) or diag($r->raw);
    my $unknown = qr/session "\Q$body->{session_id}\E" not found/;
    like($r->json->{error}, $status == 404 ? $unknown
                                           : qr/owner/, $what);
}

is_free($id, 'refused');

closing(http($::path, body($id), 'X-User' => 'ann'), 'hers', $id, 'max_turns',
        2);
closing(http($::path, { %{ body('x') }, session_id => '' }, 'X-User' => 'ann',
             'X-Ollama-Session-Id' => $id), 'by header', $id, 'max_turns', 2);
is(scalar(() = stored($id, 'X-User' => 'ann') =~ /complete/g), 6, 'stored');



=== one generation at a time has the session
--- fake
{"model":"m1","frames":1000,"gap_ms":50}
--- test
block_begins();
my $id = made();

my $c = client()->request($::path, body($id, task_id => 'one'));
$c->read_until(qr/"w0 "/);

is(session($id)->{active_task}, 'one', 'it runs');

my $r = talk($id);
is($r->status, 409, 'busy');
like($r->json->{error}, qr/busy with task "one"/, 'with whom');
is(stored($id), 'user:hi:complete', 'the first message is stored');

# the lock is renewed
$main::redis->cli('PEXPIRE', "ollama:{$id}:task", 9_000_000);
ok(wait_for(sub { $main::redis->cli('PTTL', "ollama:{$id}:task") <= 10_000 },
            5), 'renewed');

$r = cancel($id);
is($r->status, 200, 'stopped by the session\'s id');
is($r->json->{session_id}, $id);
is($r->json->{task_id}, 'one');

closing($c->reply, 'talk', $id, 'cancelled', 0);
like(stored($id), qr/\Auser:hi:complete\|m1:w0 .*:cancelled\z/, 'stored');
is_free($id, 'stopped');
is(cancel($id)->status, 404, 'a second time');



=== a stop in a later turn, and before the first token
--- test
block_begins();

fake_set(model => 'm2', frames => 1000, gap_ms => 20);

my $id = made();
my $c = client()->request($::path, body($id, task_id => 'one'));
$c->read_until(qr/"turn":2,.*w1 /s);
is(cancel('one')->status, 200, 'stopped');
closing($c->reply, 'streaming', $id, 'cancelled', 1);
like(stored($id), qr/\Auser:hi:complete\|m1:\Q$::w\E:complete
                     \|m2:w0\ w1\ .*:cancelled\z/x, 'stored');
is_free($id, 'streaming');

fake_set(model => 'm2', ttft_ms => 60_000);
$id = made();
$c = client()->request($::path, body($id, task_id => 'one'));
$c->read_until(qr/"turn":1,.*"done":true/s);
fake_requests(wait_active => 1);
is(cancel('one')->status, 200, 'stopped');
closing($c->reply, 'waiting', $id, 'cancelled', 1);
is(stored($id), "user:hi:complete|m1:$::w:complete|m2::cancelled", 'stored');
is_free($id, 'waiting');



=== a stop while the gateway waits for Redis
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;
--- test
block_begins();
my $id = made();

# at the beginning
$main::redis->freeze;
my $c = client()->request($::path, body($id, task_id => 'one'));
my $stop = client();
ok(wait_for(sub { $stop->request('POST /api/chat/cancel/one', '');
                  $stop->reply->status == 200 }), 'stopped');
$main::redis->thaw;
closing($c->reply, 'at the beginning', $id, 'cancelled', 0);
is(stored($id), 'user:hi:complete', 'the first message is stored');
is_free($id, 'at the beginning');
is(fake_requests()->{count}, 0, 'no server was asked');

# between turns
$id = made();
fake_set(model => 'm1', frames => 3, gap_ms => 100);
$c = client()->request($::path, body($id, task_id => 'one'));
$c->read_until(qr/w1 /);
$main::redis->freeze;
$c->read_until(qr/"done":true/);
is(cancel('one')->status, 200, 'stopped');
$main::redis->thaw;
closing($c->reply, 'between turns', $id, 'cancelled', 1);
is(stored($id), 'user:hi:complete|m1:w0 w1 w2 :complete', 'stored');
is_free($id, 'between turns');
is(fake_requests()->{count}, 1, 'no other was asked');

# a session that isn't there: who has stopped it was told that it ends so
$main::redis->freeze;
$c = client()->request($::path, body('none', task_id => 'one'));
ok(wait_for(sub { cancel('one')->status == 200 }), 'stopped');
$main::redis->thaw;
closing($c->reply, 'unknown', 'none', 'cancelled', 0, 0);



=== a client that leaves: what was said is stored
--- test
block_begins();

for my $how ('close', 'reset') {
    my $id = made();

    fake_set(model => 'm2', frames => 1000, gap_ms => 20);
    my $c = client()->request($::path, body($id));
    $c->read_until(qr/"turn":2,.*w1 /s);
    $c->$how;

    is_free($id, $how);
    like(stored($id), qr/\Auser:hi:complete\|m1:\Q$::w\E:complete
                         \|m2:w0\ w1\ .*:cancelled\z/x, "$how - stored");
}

# before the first token: nothing was said
fake_set(model => 'm1', ttft_ms => 60_000);
my $id = made();
my $c = client()->request($::path, body($id));
fake_requests(wait_active => 1);
$c->close;
is_free($id, 'early');
is(stored($id), 'user:hi:complete', 'early');

# while Redis is waited for
$id = made();
$main::redis->freeze;
$c = client()->request($::path, body($id));
sleep 0.1;
$c->close;
sleep 0.1;
$main::redis->thaw;
is_free($id, 'at once');



=== a turn that fails: what was said is stored
--- test
block_begins();

for (['die', { fault => 'die' }, '|m2:w0 :interrupted', 1],
     ['404', { status => 404, error => 'gone' }, '', 1],
     ['error', { error_line_after => 2, error => 'x' },
      '|m2:w0 w1 :interrupted', 1])
{
    my ($what, $set, $more, $turns) = @$_;
    my $id = made();

    fake_reset();
    fake_set(model => 'm2', %$set);

    closing(talk($id), $what, $id, 'error', $turns);
    is(stored($id), "user:hi:complete|m1:$::w:complete$more",
       "$what - what was said is kept");
    is_free($id, $what);
}
--- no_error_log
[alert]



=== an initial message that a server refuses does not stay
--- test
block_begins();

for my $stream (JSON::PP::true, JSON::PP::false) {
    my $id = made();

    for my $try (1, 2) {
        fake_set(model => '*', status => $try == 1 ? 503 : 400, error => 'no');
        my $r = talk($id, stream => $stream);
        like($r->body, qr/"done_reason":"error"/, "$try - refused")
            or diag($r->raw);
        fake_set(model => '*', status => undef, error => undef);
        is_free($id, "$try - refused");
        is(stored($id), $try == 1 ? 'user:hi:complete' : '',
           $try == 1 ? 'for now: it stays' : 'for good: it is taken back');
    }

    closing(talk($id, stream => $stream), 'the next one', $id, 'max_turns', 2);

    # what was said stays
    fake_set(model => 'm2', status => 400, error => 'no');
    talk($id, stream => $stream, initial_message => 'more');
    fake_set(model => 'm2', status => undef, error => undef);
    is_free($id, 'the second turn is refused');
    like(stored($id), qr/\|user:more:complete\|m1:\Q$::w\E:complete\z/,
         'the first one stays');
}



=== Redis is down at the start: 503 with a session, works without one
--- test
block_begins();
my $id = made();
$main::redis->kill;

ok(wait_for(sub { http("GET /api/chat/session/$id")->status == 503 }), 'down');
my $r = talk($id);
is($r->status, 503, 'refused');
is($r->json->{error}, 'session history is unavailable', 'at once');
is(fake_requests()->{count}, 0, 'no server was asked');

$r = http($::path, { %{ body('x') }, session_id => '' });
is($r->status, 200, 'without a session');
like($r->body, qr/"done_reason":"max_turns".*"session_id":null\}\n\z/,
     'it goes on');
--- error_log eval: qr/redis/



=== Redis stalls: what could not be saved is saved later
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=300ms;
--- fake
{"model":"*","frames":3,"gap_ms":150}
--- test
block_begins();
my $id = made();

my $c = client()->request($::path, body($id, max_turns => 4));
$c->read_until(qr/"turn":1,.*w1 /s);
$main::redis->freeze;
$c->read_until(qr/"turn":2,/s);
$main::redis->thaw;

closing($c->reply, 'late', $id, 'max_turns', 4);

my $said = 'w0 w1 w2 :complete';
is(stored($id), "user:hi:complete|m1:$said|m2:$said|m1:$said|m2:$said",
   'all of it, in order, and once');
is_free($id, 'late');
--- error_log eval: qr/a reply was not saved in its session/



=== Redis dies: the conversation goes on, with "saved": false
--- fake
{"model":"*","frames":3,"gap_ms":50}
--- test
block_begins();
my $id = made();

my $c = client()->request($::path, body($id, max_turns => 4));
$c->read_until(qr/"turn":1,.*w1 /s);
$main::redis->kill;

closing($c->reply, 'gone', $id, 'max_turns', 4, 0);
--- error_log eval: qr/a reply was not saved in its session/



=== a session that is deleted meanwhile stays deleted
--- fake
{"model":"*","frames":3,"gap_ms":50}
--- test
block_begins();
my $id = made();

my $c = client()->request($::path, body($id, max_turns => 3));
$c->read_until(qr/"turn":1,.*w1 /s);
is(http("DELETE /api/chat/session/$id")->status, 204, 'deleted');

closing($c->reply, 'deleted', $id, 'max_turns', 3, 0);
is(http("GET /api/chat/session/$id")->status, 404, 'it stays so');
--- error_log eval: qr/a reply was not saved in its session/



=== a reload in the middle loses no turn
--- fake
{"model":"*","frames":5,"gap_ms":50}
--- test
block_begins();
my $id = made();

my $c = client()->request($::path, body($id, max_turns => 4));
$c->read_until(qr/"turn":2,/s);
reload();

closing($c->reply, 'talk', $id, 'max_turns', 4);
is(scalar(() = stored($id) =~ /complete/g), 5, 'all of it is stored');
is_free($id, 'talk');
