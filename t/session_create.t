# Guards what POST /api/chat/session makes besides an empty session: a copy of
# another one, with the messages in front of one, and a session with messages
# that the client has.  It is made whole or not at all.

use lib 't/lib';

use Test::Nginx::Ollama::Session line => 1, args => 'timeout=5s', qw(:all);
use Test::Nginx::Ollama;
use Cpanel::JSON::XS ();
use JSON::PP;
use Time::HiRes qw(sleep time);

our $json = Cpanel::JSON::XS->new->utf8->canonical;


sub create { return http('POST /api/chat/session', @_) }

sub copy_of {
    my ($id, %more) = @_;
    return create({ copy_of => $id, %more });
}

sub refused {
    my ($title, $reply, $status, $error) = @_;

    is($reply->status, $status, "$title - status") or diag($reply->raw);
    like(eval { $reply->json->{error} } // '', $error, "$title - error");
}

# Keys of sessions that nobody can find.

sub left_over {
    return join ' ', grep { !$main::redis->cli('EXISTS', s/\}:.*/}:meta/r) }
           grep { /:msgs/ } split /\n/, $main::redis->cli('KEYS', '*');
}

# The session has n messages of so many bytes.

sub fill {
    my ($id, $n, $size) = @_;

    $main::redis->cli('EVAL', 'for i = 1, tonumber(ARGV[1]) do '
        . 'redis.call("XADD", KEYS[1], i .. "-0", "m", cjson.encode({'
        . 'role="user",content=i .. string.rep("x", tonumber(ARGV[2]))}), '
        . '"s", "complete", "t", i, "g", "t1.1") end '
        . 'redis.call("HSET", KEYS[2], "last", ARGV[1], "big", '
        . 'ARGV[2] + 100)', 2, "ollama:{$id}:msgs", "ollama:{$id}:meta",
        $n, $size);
}

no_shuffle();
run_tests();

__DATA__

=== a copy has the messages, with ids of its own
--- test
block_begins();
my $id = made({ title => 'T', model => 'm1', system => 'be kind' });

is_saved(say($id, 'a'), $id, 'first');
is_saved(say($id, 'b'), $id, 'second');

my $before = session($id);
my $reply = copy_of($id);
is($reply->status, 201, 'made') or diag($reply->raw);

my $made = $reply->json;
like($made->{session_id}, qr/\A[0-9a-f]{32}\z/, 'an id');
isnt($made->{session_id}, $id, 'its own');
is(join(' ', sort keys %$made),
   'created_at model session_id system title updated_at', 'members');
is_deeply([ @$made{qw(title model system)} ], [ 'T', 'm1', 'be kind' ],
          'as the other one');

my $copy = session($made->{session_id});
is_deeply([ map { my %m = %$_; delete $m{id}; \%m } @{ $copy->{messages} } ],
          [ map { my %m = %$_; delete $m{id}; \%m }
            @{ $before->{messages} } ],
          'messages, with their times, models, statistics');
is_deeply(session($id), $before, 'the other one has not changed');

my %ids = map { $_->{id} => 1 } @{ $before->{messages} };
is(scalar(grep { $ids{ $_->{id} } } @{ $copy->{messages} }), 0,
   'no id is known from there');

# each goes on by itself
$id = $made->{session_id};
is_saved(say($id, 'c'), $id, 'it goes on');
is(stored($id) =~ s/w\d[^:]*//gr, join('|', map { "user:$_:complete|"
   . 'assistant::complete' } qw(a b c)), 'with what was said');
is(@{ session($before->{session_id})->{messages} }, 4, 'the other one not');
is(http("DELETE /api/chat/session/$id/messages?from="
        . session($id)->{messages}[1]{id})->json->{deleted}, 5, 'deleted');
is(@{ session($before->{session_id})->{messages} }, 4,
   'the other one has all');



=== a copy ends in front of a message
--- test
block_begins();
my $id = made({ title => 'T' });
say($id, 'a');
say($id, 'b');

for my $n (1, 3, 4) {
    my $before = $n == 4 ? '4' : "$n-0";
    my $reply = copy_of($id, before => $before, title => "up to $before");

    is($reply->status, 201, "$before - made") or diag($reply->raw);
    is($reply->json->{title}, "up to $before", "$before - title");

    my @messages = @{ session($reply->json->{session_id})->{messages} };
    is(scalar @messages, $n - 1, "$before - how many");
}

my $reply = copy_of($id, title => '');
is($reply->json->{title}, undef, 'no title');

# what is deleted names nothing
http("DELETE /api/chat/session/$id/messages?from=3-0");
refused("before=$_", copy_of($id, before => $_), 404, qr/^message not found/)
    for '3-0', '4-0', '5-0', '99', '0', '0-0', 'x', 'end', '';
is(left_over(), '', 'nothing is left');

# nor is a number used again
my ($copy) = copy_of($id)->json->{session_id};
my %was = map { $_ => 1 } qw(1-0 2-0 3-0 4-0);
is(scalar(grep { $was{ $_->{id} } } @{ session($copy)->{messages} }), 0,
   'ids');



=== what can't be copied is refused
--- test
block_begins();
my $id = made();

refused('unknown', copy_of('a' x 32), 404, qr/^session not found/);
refused($_, copy_of($_), 404, qr/^session not found/) for 'x y', '';
refused('not a string', create({ copy_of => 5 }), 400,
        qr/"copy_of" must be a string or null, at byte/);
refused('before is no string', copy_of($id, before => 3), 400,
        qr/"before" must be a string or null, at byte/);
refused('before alone', create({ before => '1-0' }), 400,
        qr/"before" needs "copy_of"/);
refused("with $_", copy_of($id, $_ => $_ eq 'messages' ? [] : 'm'), 400,
        qr/"copy_of"/) for qw(model system messages);
refused('unknown members', copy_of($id, x => 1), 400,
        qr/a member that is not known, at byte \d+/);
is($main::redis->cli('DBSIZE'), 1, 'nothing was made');



=== a session is copied by its owner only
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
        ollama_session_ttl 100s;
    }
--- test
empty_redis();
my @ann = ('X-Owner' => 'ann');
my $id = made({ title => 'T' }, @ann);
fill($id, 3, 10);

refused('another owner', create({ copy_of => $id }, 'X-Owner' => 'bob'), 404,
        qr/^session not found/);
is(create({ copy_of => $id })->status, 403, 'no owner');

my $reply = create({ copy_of => $id }, @ann);
is($reply->status, 201, 'the owner');
my $copy = $reply->json->{session_id};
is(@{ session($copy, @ann)->{messages} }, 3, 'messages');
is(http("GET /api/chat/session/$copy", undef, 'X-Owner' => 'bob')->status,
   404, 'it is not of others');

my $list = http('GET /api/chat/sessions', undef, @ann)->json;
is($list->{sessions}[0]{session_id}, $copy, 'it is in the list');

for my $key ("ollama:{$copy}:meta", "ollama:{$copy}:msgs") {
    cmp_ok($main::redis->cli('PTTL', $key), '>', 95_000, "$key lives on");
}



=== a session is copied while a generation runs in it
--- fake
{"model":"m1","frames":5,"gap_ms":200}
--- test
block_begins();
my $id = made({ model => 'm1' });
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w0 /);

my $reply = copy_of($id);
is($reply->status, 201, 'made');
my $copy = $reply->json->{session_id};
is(stored($copy), 'user:a:complete', 'what is stored so far');
is(session($copy)->{active_task}, undef, 'nothing runs in it');
is_saved(say($copy, 'b'), $copy, 'it goes on');
is_saved($c->reply, $id, 'the other one');
is(@{ session($id)->{messages} }, 2, 'has its reply');
is(@{ session($copy)->{messages} }, 3, 'which the copy has not');



=== a large session is copied in steps
--- test
block_begins();
my $id = made({ title => 'T' });
fill($id, 10_000, 500);

my $reply = copy_of($id);
is($reply->status, 201, 'made') or diag($reply->raw);
my $copy = $reply->json->{session_id};
my @texts = map { ($main::redis->cli('EVAL', 'local all = {} for _, one in '
    . 'ipairs(redis.call("XRANGE", KEYS[1], "-", "+")) do all[#all + 1] = '
    . 'one[2][2] end return redis.sha1hex(table.concat(all, " "))', 1,
    "ollama:{$_}:msgs")) } $id, $copy;
is($texts[1], $texts[0], 'all is the same');
is($main::redis->cli('XLEN', "ollama:{$copy}:msgs"), 10_000, 'all of it');
is($main::redis->cli('PTTL', "ollama:{$copy}:msgs") > 86_400_000, 1,
   'it lives on');

# in the middle messages are deleted: the copy begins anew
for my $case ([ 'deleted to the end', 201,
                sub { http("DELETE /api/chat/session/$_[0]/messages"
                           . '?from=5001-0') } ],
              [ 'the session is deleted', 404,
                sub { http("DELETE /api/chat/session/$_[0]") } ])
{
    my ($title, $status, $meanwhile) = @$case;

    $main::redis->cli('CONFIG', 'RESETSTAT');
    my $c = client()->request('POST /api/chat/session', { copy_of => $id });
    wait_for(sub { $main::redis->cli('INFO', 'commandstats')
                   =~ /cmdstat_xadd:calls=\d{3,}/ });
    $meanwhile->($id);

    my $reply = $c->reply;
    like($reply->status, qr/\A(?:201|$status)\z/, "$title - an answer");

    if ($reply->status == 201) {
        my $n = $main::redis->cli('XLEN', 'ollama:{'
                                  . $reply->json->{session_id} . '}:msgs');
        like($n, qr/\A(?:10000|5000)\z/, "$title - as it was or as it is");
    }

    is(left_over(), '', "$title - nothing is left");
}



=== a copy of which Redis has dropped a part begins anew
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=5s;
--- test
block_begins();
my $id = made({ title => 'T' });
fill($id, 4000, 500);

# each step takes a while, as its reply does
$main::line->trickle(2000, 0.05);
my $c = client()->request('POST /api/chat/session', { copy_of => $id });
wait_for(sub { left_over() });
$main::redis->cli('DEL', left_over());
sleep 0.2;
$main::line->mend;

my $reply = $c->reply;
is($reply->status, 201, 'made') or diag($reply->raw);
my $copy = $reply->json->{session_id};
is($main::redis->cli('XLEN', "ollama:{$copy}:msgs"), 4000, 'all of it');



=== a client that leaves, or a Redis that dies, leaves no half a copy
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=2s;
--- test
block_begins();
my $id = made({ title => 'T' });
fill($id, 4000, 500);

$main::line->trickle(2000, 0.05);
my $c = client()->request('POST /api/chat/session', { copy_of => $id });
wait_for(sub { left_over() });
$c->close;
sleep 0.3;
$main::line->mend;
sleep 0.3;

my $left = left_over();
isnt($left, '', 'a part was copied');
is($main::redis->cli('KEYS', '*:meta'), "ollama:{$id}:meta",
   'nobody can find it');
my $ttl = $main::redis->cli('PTTL', $left);
ok($ttl > 0 && $ttl <= 60_000, 'and it expires') or diag($ttl);



=== a session is made of messages
--- test
block_begins();
my @messages = (
    { role => 'system', content => 'be kind' },
    { id => '77-0', role => 'user', content => "What is\nthat?",
      images => [ 'aGk=' ], created_at => '2024-02-03T04:05:06.789Z' },
    { role => 'assistant', content => '', thinking => "h\x{e9}m \"\n\x{1f600}",
      tool_calls => [ { function => { name => 'f', arguments => {} } } ],
      model => 'm1', server => 'a:1', status => 'cancelled',
      participant => 'Bob', stats => { eval_count => 3 },
      created_at => '2024-02-03T04:05:07Z' },
    { role => 'tool', content => '42', tool_name => 'f' },
    { role => 'user', content => [ { type => 'text', text => 'parts' } ] },
);

my $reply = create({ model => 'm1', messages => \@messages });
is($reply->status, 201, 'made') or diag($reply->raw);
my $id = $reply->json->{session_id};
is($reply->json->{title}, 'What is', 'a title is made');
is($reply->json->{model}, 'm1', 'model');

my $got = session($id)->{messages};
is(join(' ', map { $_->{id} } @$got), '1-0 2-0 3-0 4-0 5-0', 'ids are made');
is($got->[1]{created_at}, '2024-02-03T04:05:06.789Z', 'a time');
is($got->[2]{created_at}, '2024-02-03T04:05:07.000Z', 'a time');
like($got->[0]{created_at}, qr/^20\d\d-/, 'a time is made');
is($got->[0]{status}, 'complete', 'a status is made');

for my $i (0 .. 4) {
    my %want = %{ $messages[$i] };
    delete @want{qw(id created_at)};
    my %m = %{ $got->[$i] };
    delete @m{qw(id created_at)};
    is_deeply(\%m, { status => 'complete', %want }, "message $i");
}

# what is shown can be imported
my $again = create({ title => 'again', messages => $got });
is($again->status, 201, 'what is shown can be imported');
is_deeply(session($again->json->{session_id})->{messages}, $got, 'the same');
is($again->json->{title}, 'again', 'a title that is given');

# and goes on
is_saved(say($id, 'next'), $id, 'it goes on');
my $asked = fake_requests(last => 1)->{requests}[0];
is_deeply($main::json->decode($asked->{body})->{messages},
          [ (map { my %m = %$_; delete @m{qw(id created_at thinking model
                   server status participant stats)}; \%m } @messages),
            user('next') ], 'the server is sent all');

for my $none ([], undef) {
    my $reply = create({ messages => $none });
    is($reply->status, 201, 'without messages');
    is(@{ session($reply->json->{session_id})->{messages} }, 0, 'empty');
}



=== invalid messages are refused, and nothing is made
--- test
block_begins();
my $all = sub { return '{"messages":[{"role":"user","content":"a"},'
                       . "$_[0]]}" };

for (
    [ '{"messages":{}}', qr/"messages" must be a list or null, at byte 13$/ ],
    [ '{"messages":"a"}', qr/"messages" must be a list or null, at byte 12$/ ],
    [ '{"messages":5}', qr/"messages" must be a list or null, at byte 13$/ ],
    [ '{"messages":["a"]}', qr/message 1 must be an object, at byte 13$/ ],
    [ $all->('5'), qr/message 2 must be an object, at byte 43$/ ],
    [ $all->('null'), qr/message 2 must be an object/ ],
    [ $all->('[]'), qr/message 2 must be an object/ ],
    [ $all->('{}'), qr/message 2: "role" is required, at byte 44$/ ],
    [ $all->('{"content":"x"}'), qr/message 2: "role" is required/ ],
    [ $all->('{"role":""}'), qr/message 2: "role" is required/ ],
    [ $all->('{"role":null}'), qr/message 2: "role" is required/ ],
    [ $all->('{"role":5}'), qr/2: "role" must be a string, at byte 51$/ ],
    [ $all->('{"role":"user","content":{}}'),
      qr/2: "content" must be a string or a list/ ],
    [ $all->('{"role":"user","content":5}'), qr/2: "content" must be/ ],
    [ $all->('{"role":"user","images":"x"}'), qr/2: "images" must be/ ],
    [ $all->('{"role":"user","images":[5]}'),
      qr/2: "images" must be a list of strings/ ],
    [ $all->('{"role":"user","tool_calls":["x"]}'),
      qr/2: "tool_calls" must be a list of objects/ ],
    [ $all->('{"role":"user","tool_name":[]}'), qr/2: "tool_name" must/ ],
    [ $all->('{"role":"user","thinking":{}}'), qr/2: "thinking" must/ ],
    [ $all->('{"role":"user","stats":"x"}'), qr/2: "stats" must be an obj/ ],
    [ $all->('{"role":"user","status":"done"}'),
      qr/2: "status" must be complete, cancelled or interrupted, at byte/ ],
    [ $all->('{"role":"user","created_at":"yesterday"}'),
      qr/2: "created_at" must be a time/ ],
    [ $all->('{"role":"user","created_at":5}'),
      qr/2: "created_at" must be a string/ ],
    [ $all->('{"role":"user","model":"' . 'x' x 1025 . '"}'),
      qr/2: "model" is longer than 1024 bytes/ ],
    (map { my $name = $_;
           map { [ $all->(qq({"role":"user","$name":"a${_}b"})),
                   qr/2: "$name" has a control character, at byte \d+$/ ] }
               '\n', '\u007f', '\u0085', "\x7f", "\xc2\x9f" }
         qw(model server participant)),
    [ $all->('{"role":"user","x":1}'),
      qr/2 has a member that is not known, at byte \d+$/ ],
    [ $all->('{"role":"user"'), qr/is no JSON/ ],
    [ '{"messages":[]', qr/is no JSON/ ],
) {
    my ($body, $error) = @$_;
    refused(substr($body, 0, 80), create($body), 400, $error);
}

refused('1,025 messages',
        create({ messages => [ map { user($_) } 1 .. 1025 ] }), 413,
        qr/message 1025 is one too many/);
is(create({ messages => [ map { user($_) } 1 .. 1024 ] })->status, 201,
   '1,024 messages');
$main::redis->cli('FLUSHALL');
is(left_over(), '', 'nothing is left');

# a string that is not UTF-8: the byte, also that behind half a character
for ([ "\xff", 40 ], [ "a\xc3", 42 ], [ "\xe2\x82", 42 ], [ "\xc3\xff", 41 ]) {
    my ($text, $at) = @$_;
    my $start = '{"title":"t","messages":[{"content":"';
    $at += length($start) - 40;
    refused(sprintf('%vd', $text),
            create($start . $text . '","role":"user"}],"model":"m"}'), 400,
            qr/^"messages" has a string that is not UTF-8, at byte $at$/);
}

# elsewhere it is mended, as in a chat
for (qq("title":"a\xff","messages":[{"role":"user"}]),
     qq("messages":[{"role":"user"}],"title":"a\xff"))
{
    my $reply = create("{$_}");
    is($reply->status, 201, 'mended') or diag($reply->raw);
    is($reply->json->{title}, "a\x{fffd}", 'mended - title');
}
refused('both', create("{\"title\":\"a\xff\",\"messages\":[{\"role\":"
                       . "\"user\",\"content\":\"\xff\"}]}"), 400,
        qr/^"messages" has a string that is not UTF-8, at byte 52$/);
$main::redis->cli('FLUSHALL');

# for PATCH these are unknown
my $id = made();
refused("PATCH $_->[0]", http("PATCH /api/chat/session/$id", { @$_ }), 400,
        qr/a member that is not known, at byte 1$/)
    for [ messages => [] ], [ copy_of => $id ], [ before => '1-0' ], [ x => 1 ];
refused('POST', create({ x => 1 }), 400, qr/not known, at byte 1$/);



=== large messages are imported, also from a body in a file
--- params
client_max_body_size 128m;
client_body_buffer_size 16k;
--- test
block_begins();
my @messages = map { { role => 'user', content => "$_ " . 'x' x 300_000,
                       thinking => "t$_ \n" . 'y' x 300_000 } } 1 .. 20;

my $reply = create({ messages => \@messages });
is($reply->status, 201, 'made') or diag($reply->raw);
my $id = $reply->json->{session_id};
is($main::redis->cli('XLEN', "ollama:{$id}:msgs"), 20, 'all of them');
my ($first) = @{ http("GET /api/chat/session/$id?limit=1")->json->{messages} };
ok($first->{content} eq $messages[0]{content}, 'the text');
ok($first->{thinking} eq $messages[0]{thinking}, 'the thoughts');
is(http("GET /api/chat/session/$id?before=end")->json->{messages}[-1]{content}
   =~ /^20 x/, 1, 'the last one');

refused('51 MB', create({ messages => [ map { user('x' x 3_000_000) }
                                        1 .. 18 ] }), 413, qr/50 MB/);
is($main::redis->cli('KEYS', '*:msgs'), "ollama:{$id}:msgs",
   'nothing else is there');



=== Redis is away: 503, and nothing is made
--- test
block_begins();
my $id = made();
$main::redis->kill;

refused('a copy', copy_of($id), 503, qr/session history is unavailable/);
refused('messages', create({ messages => [ user('a') ] }), 503,
        qr/session history is unavailable/);
--- error_log eval
qr/redis .* is down/
