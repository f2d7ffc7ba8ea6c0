# Guards what a task does to a session in Redis: one task at a time has it, a
# repeated command stores a message once, and a delayed one changes nothing that
# was stored since.
#
# t/probe has a module that runs these commands on a session.

use lib 't/lib';

use Test::Nginx::Ollama::Probe 'store';
use Test::Nginx::Ollama::Session qw(empty_redis);
use Test::Nginx::Ollama;
use JSON::PP;
use Time::HiRes qw(sleep);


sub user { return qq({"role":"user","content":"$_[0]"}) }
sub said { return qq({"role":"assistant","content":"$_[0]"}) }

# An operation; what came of it, and with "whole" all that was found.

sub does {
    my $body = http('POST /store', join("\n", @_))->body;
    return $body =~ /\A(\w+)\n/ ? $1 : $body;
}

sub whole { return http('POST /store', join("\n", @_))->body }

sub save {
    my ($id, $task, $n, $last, $text, $status) = @_;

    return does('save', $id, $task, $n, $last, said($text),
               $status // 'complete', ('') x 5);
}


# A new session of that owner, where one is needed.

sub made {
    my ($fields, $owner) = @_;

    empty_redis();

    return decode_json(http('POST /api/chat/session', $fields // {},
                            'X-Owner' => $owner // 'ann')->body)->{session_id};
}

# Makes the lock of a session expire.

sub expire_lock {
    my ($id) = @_;
    my $key = "ollama:{$id}:task";

    $main::redis->cli('PEXPIRE', $key, 1);
    wait_for(sub { $main::redis->cli('EXISTS', $key) eq '0' })
        or die "$key does not expire\n";
}


sub session {
    my ($id) = @_;
    return decode_json(http("GET /api/chat/session/$id", undef,
                            'X-Owner' => 'ann')->body);
}

sub contents {
    return join ' ', map { $_->{content} } @{ session($_[0])->{messages} };
}


add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', <<'END') if !defined $block->config;
    client_body_buffer_size 1m;
    location = /store { store_probe; }
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
    }
END
});

run_tests();

__DATA__

=== begin, add and save make a turn
--- test
my $id = made({ model => 'm1', system => 'be kind' });

is(whole('begin', $id, 'ann', 't1', 5000),
   "ok\ntask= title= model=m1 system=be kind last=0 total=0 unanswered=0 "
   . "begun=1 more=0\n", 'begun');
is(session($id)->{active_task}, 't1', 'it runs');

is(does('add', $id, 't1', 1, user('Hello!'), user('There?')), 'ok', 'added');
is(session($id)->{title}, 'Hello!', 'title');

is(does('save', $id, 't1', 3, 1, said('Yes'), 'cancelled', 'm1',
       'http://a:1', 'hm', '{"eval_count":3}', 'Bob'), 'ok', 'saved');

my $session = session($id);
my $m = $session->{messages};

is($session->{active_task}, undef, 'the lock is free');
is(join(' ', map { $_->{id} } @$m), '1-0 2-0 3-0', 'ids');
is(join(' ', map { $_->{status} } @$m), 'complete complete cancelled',
   'status');
is_deeply([ @{ $m->[2] }{qw(content model server thinking participant)} ],
          [ 'Yes', 'm1', 'http://a:1', 'hm', 'Bob' ], 'reply');
is_deeply($m->[2]{stats}, { eval_count => 3 }, 'statistics');

for my $key ("ollama:{$id}:meta", "ollama:{$id}:msgs", 'ollama:owner:ann') {
    cmp_ok($main::redis->cli('PTTL', $key), '>', 95_000, "$key lives on");
}

like(whole('begin', $id, 'ann', 't2', 5000),
     qr/^ok\ntask= title=Hello! .* last=3 total=3 /, 'the next one');



=== one task at a time has the session
--- test
my $id = made();

is(does('begin', $id, 'ann', 't1', 5000), 'ok', 'first');
like(whole('begin', $id, 'ann', 't2', 5000), qr/^busy\ntask=t1 /, 'second');
like(whole('begin', $id, 'ann', 't1', 5000), qr/^busy\ntask=t1 /, 'same');

is(does('add', $id, 't2', 1, user('a')), 'lost', 'not its own');
is(does('renew', $id, 't2', 5000), 'lost', 'not its own');
is(does('release', $id, 't2'), 'lost', 'not its own');
is(save($id, 't2', 1, 1, 'a'), 'lost', 'not its own');

is(does('renew', $id, 't1', 90000), 'ok', 'renewed');
cmp_ok($main::redis->cli('PTTL', "ollama:{$id}:task"), '>', 80000, 'longer');
is(does('release', $id, 't1'), 'ok', 'released');
is(does('begin', $id, 'ann', 't2', 60_000), 'ok', 'second');

expire_lock($id);
is(session($id)->{active_task}, undef, 'its time is over');
is(does('begin', $id, 'ann', 't3', 5000), 'ok', 'third');
is(does('renew', $id, 't2', 5000), 'lost', 'too late');
is(contents($id), '', 'nothing was written');



=== a session that is unknown, deleted or someone else's
--- test
my $id = made();

is(does('begin', $id, 'bob', 't1', 5000), 'none', 'somebody else\'s');
is(does('begin', $id, '', 't1', 5000), 'none', 'nobody\'s');
is(does('begin', 'a' x 32, 'ann', 't1', 5000), 'none', 'unknown');

is(does('begin', $id, 'ann', 't1', 5000), 'ok', 'begun');
http("DELETE /api/chat/session/$id", undef, 'X-Owner' => 'ann');

is(does('add', $id, 't1', 1, user('a')), 'none', 'deleted meanwhile');
is(save($id, 't1', 1, 0, 'a'), 'none', 'deleted meanwhile');
is(does('renew', $id, 't1', 5000), 'none', 'deleted meanwhile');
is(does('release', $id, 't1'), 'lost', 'deleted meanwhile');
is(does('page', $id, 0, 10, 1000), 'none', 'deleted meanwhile');
is($main::redis->cli('DBSIZE'), 0, 'and stays so');



=== a repeated command stores each message once
--- test
my $id = made();
does('begin', $id, 'ann', 't1', 5000);

is(does('add', $id, 't1', 1, user('a'), user('b')), 'ok', 'added') for 1 .. 3;
is(save($id, 't1', 3, 0, 'c'), 'ok', 'saved') for 1 .. 3;
is(save($id, 't1', 4, 1, 'd'), 'ok', 'the last one') for 1 .. 3;
is(does('add', $id, 't1', 1, user('a'), user('b')), 'ok', 'even now');

is(contents($id), 'a b c d', 'once');

is(does('begin', $id, 'ann', 't2', 5000), 'ok', 'another');
is(save($id, 't2', 4, 0, 'x'), 'lost', 'a place that is taken');
is(does('add', $id, 't2', 4, user('x')), 'lost', 'a place that is taken');
is(does('add', $id, 't2', 3, user('x'), user('y')), 'lost', 'two of them');
is(save($id, 't2', 6, 0, 'x'), 'lost', 'a place too far');
is(save($id, 't1', 4, 1, 'd'), 'ok', 'of the first, too');
is(session($id)->{active_task}, 't2', 'which frees nothing of the other');
is(contents($id), 'a b c d', 'nothing has changed');

# the task is not at its end while a message in front of its last one may come
is(save($id, 't2', 6, 1, 'f'), 'lost', 'the last one, but a gap');
is(session($id)->{active_task}, 't2', 'the lock stays');
is(save($id, 't2', 5, 0, 'e'), 'ok', 'what was missing');
is(save($id, 't2', 6, 1, 'f'), 'ok', 'the last one, once more');
is(session($id)->{active_task}, undef, 'the lock is released');



=== after its lock has expired a task may save if no other has begun
--- test
my $id = made();
does('begin', $id, 'ann', 't1', 60_000);
does('add', $id, 't1', 1, user('a'));
expire_lock($id);

is(save($id, 't1', 2, 0, 'b'), 'ok', 'nobody came');
is(does('add', $id, 't1', 3, user('x')), 'lost', 'but nothing is begun');
is(does('renew', $id, 't1', 60_000), 'ok', 'taken anew');
expire_lock($id);

is(does('begin', $id, 'ann', 't2', 5000), 'ok', 'somebody came');
is(save($id, 't1', 3, 1, 'c'), 'lost', 'too late');
is(does('add', $id, 't2', 3, user('d')), 'ok', 'the other one');
is(does('release', $id, 't2'), 'ok', 'has gone');
is(save($id, 't1', 3, 1, 'c'), 'lost', 'its place is taken');
is(contents($id), 'a b d', 'messages');



=== a message's number is never used again
--- test
my $id = made();
does('begin', $id, 'ann', 't1', 5000);
does('add', $id, 't1', 1, user('a'), user('b'), user('c'));
does('release', $id, 't1');

my $reply = http("DELETE /api/chat/session/$id/messages?from=2-0", undef,
                 'X-Owner' => 'ann');
is(decode_json($reply->body)->{deleted}, 2, 'taken back');

like(whole('begin', $id, 'ann', 't2', 5000), qr/ last=4 total=1 /, 'last');
is(does('add', $id, 't2', 2, user('x')), 'lost', 'one that was there');
is(does('add', $id, 't2', 4, user('x')), 'lost',
   'one that somebody was late with');
is(does('add', $id, 't2', 5, user('d')), 'ok', 'the next one');
is(contents($id), 'a d', 'messages');



=== two tasks of the same name are told apart
--- test
my $id = made();
my $begun = sub {
    my ($n) = whole('begin', $id, 'ann', 't1', $_[0]) =~ / begun=(\d+) /;
    return "t1.$n";
};

my $first = $begun->(60_000);
is(does('add', $id, $first, 1, user('a')), 'ok', 'the first');
expire_lock($id);
my $second = $begun->(5000);
isnt($first, $second, 'two');
is(session($id)->{active_task}, 't1', 'its name');
like(whole('begin', $id, 'ann', 't2', 50), qr/^busy\ntask=t1 /, 'its name');

is(save($id, $first, 2, 1, 'b'), 'lost', 'the first');
is(does('add', $id, $first, 2, user('b')), 'lost', 'the first');
is(does('renew', $id, $first, 5000), 'lost', 'the first');
is(does('release', $id, $first), 'lost', 'the first');

is(does('renew', $id, $second, 5000), 'ok', 'the second');
is(does('add', $id, $second, 2, user('c')), 'ok', 'the second');
is(does('add', $id, $second, 2, user('c')), 'ok', 'again');
is(save($id, $second, 3, 0, 'd'), 'ok', 'the second');
is(save($id, $first, 3, 0, 'd'), 'lost', 'the first');
is(session($id)->{active_task}, 't1', 'its name');
is(does('release', $id, $second), 'ok', 'the second');
is(does('renew', $id, $second, 5000), 'lost', 'not after its release');
is(session($id)->{active_task}, undef, 'and it is free');
is(contents($id), 'a c d', 'messages');

# no task has the lock now, but a later one had
is(save($id, $first, 4, 0, 'e'), 'lost', 'the first');
is(does('renew', $id, $first, 5000), 'lost', 'the first');



=== a renewal that arrives after the release does not lock the session
--- test
my $id = made();
my ($n) = whole('begin', $id, 'ann', 't1', 60_000) =~ / begun=(\d+) /;

# the lock has expired before it is released
expire_lock($id);
is(does('release', $id, "t1.$n"), 'lost', 'released');
is(does('renew', $id, "t1.$n", 5000), 'lost', 'renewed');
is(session($id)->{active_task}, undef, 'it is free');

($n) = whole('begin', $id, 'ann', 't1', 5000) =~ / begun=(\d+) /;
is(does('renew', $id, "t1.$n", 5000), 'ok', 'the next one of that name');

# the last reply of a conversation, whose renewals know no number
is(save($id, "t1.$n", 1, 0, 'a'), 'ok', 'one reply');
is(does('renew', $id, "t1.$n", 5000), 'ok', 'between two');
is(save($id, "t1.$n", 2, 1, 'b'), 'ok', 'the last one');
is(does('renew', $id, "t1.$n", 5000), 'lost', 'after it');
is(session($id)->{active_task}, undef, 'it is free again');



=== a delayed save is refused after its messages were deleted
--- test
my $id = made();
does('begin', $id, 'ann', 't1', 60_000);
does('add', $id, 't1', 1, user('a'), user('b'));
expire_lock($id);

http("DELETE /api/chat/session/$id/messages?from=2-0", undef,
     'X-Owner' => 'ann');
is(save($id, 't1', 3, 1, 'c'), 'lost', 'too late');
is(contents($id), 'a', 'messages');



=== begin returns the number of messages without a reply
--- test
my $id = made();
my $unanswered = sub {
    my ($got) = whole('begin', $id, 'ann', $_[0], 5000)
                =~ / unanswered=(\d+) /;
    return $got;
};

is($unanswered->('t1'), 0, 'nothing');
does('add', $id, 't1', 1, user('a'), user('b'));
does('release', $id, 't1');
is($unanswered->('t2'), 2, 'both');
does('release', $id, 't2');
is($unanswered->('t3'), 2, 'still');
does('add', $id, 't3', 3, user('c'));
does('release', $id, 't3');
is($unanswered->('t4'), 1, 'the last one');
save($id, 't4', 4, 1, 'd');
is($unanswered->('t5'), 0, 'a reply came');
does('add', $id, 't5', 5, user('e'), user('f'));
does('release', $id, 't5');
http("DELETE /api/chat/session/$id/messages?from=6-0", undef,
     'X-Owner' => 'ann');
is($unanswered->('t6'), 0, 'one is gone');



=== the history is read by pages
--- test
my $id = made();
does('begin', $id, 'ann', 't1', 5000);
does('add', $id, 't1', 1, map { user($_) } 1 .. 5);

is(whole('page', $id, 0, 2, 1000000),
   "ok\ntask= title= model= system= last=2 total=0 "
   . "unanswered=0 begun=0 more=1\n"
   . user(1) . "\n" . user(2) . "\n", 'first');
like(whole('page', $id, 2, 2, 1000000), qr/ last=4 .* more=1\n.*3.*\n.*4/,
     'second');
like(whole('page', $id, 4, 2, 1000000), qr/ last=5 .* more=0\n.*5"}\n\z/,
     'third');
like(whole('page', $id, 5, 2, 1000000), qr/ last=5 .* more=0\n\z/, 'none');
like(whole('page', $id, 0, 5, 1), qr/ last=1 .* more=1\n.*1"}\n\z/, 'bytes');



=== a title is made of the first user message
--- test
for (
    [ user('one\ntwo'), 'one' ],
    [ user('  \n \t x  y \r\n z'), 'x  y' ],
    [ user('x' x 100), 'x' x 80 ],
    [ user("\xe2\x98\xba" x 100), "\x{263a}" x 80 ],
    [ user('\ud83d\ude00' x 100), "\x{1f600}" x 80 ],
    [ user('a\u0007b\u202ec'), 'abc' ],
    [ user('"; redis.call(\'FLUSHALL\')' =~ s/"/\\"/r),
      '"; redis.call(\'FLUSHALL\')' ],
    [ '{"role":"user","content":[{"type":"image_url","image_url":{"text":1}},'
      . '{"type":"text","text":"what is it?"}]}', 'what is it?' ],
    [ '{"role":"user","content":null}', undef ],
    [ '{"role":"user"}', undef ],
    [ '{"role":"user","content":[]}', undef ],
    [ said('a'), undef ],
    [ user(''), undef ],
    [ user('\n\n'), undef ],
) {
    my ($message, $title) = @$_;
    my $id = made();

    does('begin', $id, 'ann', 't1', 5000);
    is(does('add', $id, 't1', 1, '{"role":"system","content":"s"}', $message),
       'ok', 'added');
    is(session($id)->{title}, $title, 'title');
}

my $id = made({ title => 'given' });
does('begin', $id, 'ann', 't1', 5000);
does('add', $id, 't1', 1, user('a'));
is(session($id)->{title}, 'given', 'a title that was given');
