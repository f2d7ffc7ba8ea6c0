# Guards what gateways that share a Redis promise: a generation can be stopped
# from any of them, by its task or its session, even if the message about the
# stop was lost; the reply to a stop is true; and a session continues at any of
# them.

use lib 't/lib';

use Test::Nginx::Ollama::Session balanced => 1, qw(empty_redis);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Gateway;
use Test::Nginx::Ollama::Stop;
use Digest::SHA qw(sha1_hex);
use JSON::PP;
use Time::HiRes qw(sleep time);

our $other;
our $json = JSON::PP->new->utf8;


# The other gateway, and the Redis of both, which nginx may have come before.

sub begin {
    my (%args) = @_;

    empty_redis();

    $main::other = Test::Nginx::Ollama::Gateway->start(
        redis => 'unix:' . $main::redis->path, %args);

    wait_both();
}

sub subscribers {
    return scalar grep { /sub=2/ }
                  split /\n/, $main::redis->cli('CLIENT', 'LIST');
}

sub wait_both {
    wait_for(sub {
        http('GET /api/chat/session/0')->status != 503
        && http('GET /api/chat/session/0', undef,
                -port => $main::other->port)->status != 503
        && subscribers() == @{[ worker_pids(), $main::other->worker_pids ]}
    }, 15) or die "the gateways do not find Redis\n";
}

sub end {
    is(join('', $main::other->quit), '', 'the other gateway ended well');
    undef $main::other;
}


sub elsewhere { return (-port => $main::other->port) }


sub body {
    my (%more) = @_;

    return { model => 'm1', messages => [ { role => 'user',
                                            content => 'hi' } ], %more };
}


# A generation that has begun and goes on until it is stopped.

sub running {
    my ($more, @options) = @_;

    fake_set(model => '*', fault => 'stall', after => 2);

    my $c = client(timeout => 20, @options);
    $c->request('POST /api/chat', body(%$more));
    $c->read_until(qr/"w1 "/) or die "nothing came: $c->{raw}\n";

    fake_set(model => '*', fault => undef);

    return $c;
}

sub is_stopped {
    my ($c, $title) = @_;

    my $reply = ref $c eq 'Test::Nginx::Ollama::Client' ? $c->reply : $c;
    my @lines = $reply->lines;
    my $last = eval { $main::json->decode($lines[-1]) } // {};

    ok($reply->complete, "$title: a proper end");
    ok($last->{done}, "$title: a last frame") or diag($reply->raw);
    is($last->{done_reason}, 'cancelled', "$title: it says so");
}

sub owner_of {
    my ($task) = @_;

    return $main::redis->cli('HGET', "ollama:task:{$task}", 'owner')
           =~ s/\s//gr;
}

sub keys_of { return join ' ', sort split /\n/, $main::redis->cli('KEYS', '*') }


# A user who may do no more than README says.

sub allow_there {
    $main::redis->revive;
    $main::redis->cli(qw(ACL SETUSER there reset on >there ~ollama:* &ollama:*
                         -@all +ping +select +eval +evalsha +publish
                         +subscribe +get +set +del +unlink +exists +pexpire
                         +persist +pttl +hget +hset +hsetnx +hmget +hdel
                         +hincrby +xadd +xdel +xlen +xrange +xrevrange +zadd
                         +zrem +zrandmember +zrevrangebyscore));
}

run_tests();

__DATA__

=== a stop from another gateway, by task and by session
--- test
main::begin(workers => 2);

for my $n (1 .. 10) {
    for my $way ('there', 'here') {
        my @run = $way eq 'there' ? (port => $main::other->port) : ();
        my @stop = $way eq 'there' ? () : main::elsewhere();
        my $title = "$way, $n";

        my $c = main::running({ task_id => "t$n" }, @run);
        main::is_cancelled(main::cancel("t$n", @stop), $title, "t$n", undef);
        main::is_stopped($c, $title);
        main::is_unknown(main::cancel("t$n", @stop), "$title, again", "t$n");
    }
}

my $id = http('POST /api/chat/session', { model => 'm1' })->json->{session_id};

for my $by ('session', 'task') {
    my $c = main::running({ session_id => $id, task_id => "by-$by" },
                          port => $main::other->port);

    main::is_cancelled(main::cancel($by eq 'task' ? 'by-task' : $id),
                       "a session by $by", "by-$by", $id);
    main::is_stopped($c, "a session by $by");
    main::is_unknown(main::cancel($id), "a session by $by, again", $id);
}

# and it goes on here

my $r = http('POST /api/chat', main::body(session_id => $id));
like($r->body, qr/"saved":true/, 'it goes on at the first gateway');

my @messages = map { "$_->{role} $_->{status}" }
               @{ http("GET /api/chat/session/$id", undef,
                       main::elsewhere())->json->{messages} };

is(join(', ', @messages), 'user complete, assistant cancelled, '
   . 'user complete, assistant cancelled, user complete, assistant complete');

main::is_unknown(main::cancel('nobody'), 'unknown', 'nobody');
main::is_unknown(main::cancel('nobody', main::elsewhere()), 'unknown there',
                 'nobody');

# nothing is left, but for the sign of life

wait_for(sub { main::keys_of() !~ /task|cancel/ });
is(main::keys_of() =~ s/ollama:gate:\S+ //gr,
   "ollama:{$id}:meta ollama:{$id}:msgs", 'nothing is left');
main::end();



=== a stop before the first byte, and of a reply that is not a stream
--- test
main::begin();

for my $more ({}, { stream => JSON::PP::false }) {
    fake_reset();
    fake_set(model => '*', ttft_ms => 60_000);

    my $c = client(port => $main::other->port);
    $c->request('POST /api/chat', main::body(task_id => 'slow', %$more));
    fake_requests(wait_count => 1);

    wait_for(sub { main::keys_of() =~ /task/ });
    main::is_cancelled(main::cancel('slow'), 'slow', 'slow', undef);
    main::is_stopped($c, 'slow');
}

fake_reset();
main::end();



=== only the owner may stop, from any gateway
--- ollama
ollama_session_owner $http_x_owner;
--- test
main::begin(location => 'ollama_session_owner $http_x_owner;');

for my $way ('here', 'there') {
    my @port = $way eq 'here' ? () : (port => $main::other->port);
    my @anns = ('X-Owner' => 'ann');

    fake_set(model => '*', fault => 'stall', after => 2);
    my $c = client(timeout => 20, @port);
    $c->request('POST /api/chat', main::body(task_id => 'hers'), @anns);
    $c->read_until(qr/"w1 "/);
    fake_set(model => '*', fault => undef);

    for my $from ([], [ main::elsewhere() ]) {
        main::is_unknown(main::cancel('hers', @$_, @$from), $way, 'hers')
            for [], [ 'X-Owner' => 'bob' ], [ 'X-Owner' => '' ];
    }

    main::is_cancelled(main::cancel('hers', @anns), $way, 'hers', undef);
    main::is_stopped($c, $way);
}

my $c = main::running({ task_id => 'anybodys' }, port => $main::other->port);
main::is_unknown(main::cancel('anybodys', 'X-Owner' => 'ann'),
                 'of nobody', 'anybodys');
main::is_cancelled(main::cancel('anybodys'), 'of nobody', 'anybodys', undef);
main::is_stopped($c, 'of nobody');

main::end();



=== a lost message from Redis delays a stop, but does not prevent it
--- test
main::allow_there();
main::begin(redis => 'unix:' . $main::redis->path
                     . ' user=there password=there');

my $c = main::running({ task_id => 'one' }, port => $main::other->port);
my $late = main::running({ task_id => 'two' }, port => $main::other->port);

# it hears of nothing

$main::redis->cli(qw(ACL SETUSER there resetchannels));
wait_for(sub { main::subscribers() == 1 });

main::is_cancelled(main::cancel('one'), 'deaf', 'one', undef);
main::is_unknown(main::cancel('one'), 'deaf, again', 'one');

is($main::redis->cli('EXISTS', 'ollama:cancel:{one}'), 1, 'the flag is there');
unlike($c->parsed->body, qr/"done":true/, 'it goes on');

$main::redis->cli(qw(ACL SETUSER there &ollama:*));
main::is_stopped($c, 'when it hears again');

wait_for(sub { main::keys_of() !~ /\{one\}/ });
unlike(main::keys_of(), qr/\{one\}/, 'nothing is left of it');

# and all that Redis knew is gone

$main::redis->kill;
main::allow_there();
main::wait_both();

ok(wait_for(sub { main::keys_of() =~ /task:\{two\}/ }), 'it is told again');
main::is_cancelled(main::cancel('two'), 'a new Redis', 'two', undef);
main::is_stopped($late, 'a new Redis');

like(join('', $main::other->error_lines), qr/is down: SUBSCRIBE/);

# what README lets it do is enough

my @there = main::elsewhere();
my $r = http('POST /api/chat/session', { title => 'x' }, @there);
is($r->status, 201, 'made');

my $id = $r->json->{session_id};

is(http("PATCH /api/chat/session/$id", { model => 'm1' }, @there)->status,
   200, 'changed');
like(http('POST /api/chat', main::body(session_id => $id), @there)->body,
     qr/"saved":true/, 'saved');
is(scalar @{ http("GET /api/chat/session/$id", undef, @there)->json
             ->{messages} }, 2, 'read');
is(http("DELETE /api/chat/session/$id/messages?from=2-0", undef,
        @there)->json->{deleted}, 1, 'truncated');
is(http("GET /api/chat/sessions?id=$id", undef, @there)->status, 200, 'listed');
is(http("DELETE /api/chat/session/$id", undef, @there)->status, 204, 'deleted');

main::end();
--- error_log
is down



=== an id that is in use at the other gateway is refused
--- test
main::begin();

my $id = http('POST /api/chat/session', { model => 'm1' })->json->{session_id};

my %as = (
    'a chat' => [ 'POST /api/chat', main::body() ],
    'a chat in a session' => [ 'POST /api/chat',
                               main::body(session_id => $id) ],
    completions => [ 'POST /v1/chat/completions', main::body() ],
    'a conversation' => [ 'POST /api/chat/multi-model',
                          { models => [ 'm1', 'm1' ], max_turns => 1,
                            initial_message => 'hi' } ],
    'a conversation in a session' => [ 'POST /api/chat/multi-model',
                          { models => [ 'm1', 'm1' ], max_turns => 1,
                            initial_message => 'hi', session_id => $id } ],
);

for my $what (sort keys %as) {
    my ($path, $body) = @{ $as{$what} };
    my @task = ('X-Ollama-Task-Id' => 'mine');

    my $c = main::running({ task_id => 'mine' });

    my $r = http($path, $body, @task, main::elsewhere());
    is($r->status, 409, "$what - refused");
    like($r->body, qr/task_id \\"mine\\" is in use/, "$what - why");

    # which was for nobody to see

    is(http("GET /api/chat/session/$id")->json->{active_task}, undef,
       "$what - no lock is left");
    main::is_cancelled(main::cancel('mine', main::elsewhere()), $what, 'mine',
                       undef);
    main::is_stopped($c, $what);

    # and the id is free at once

    $r = http($path, $body, @task, main::elsewhere());
    is($r->status, 200, "$what - free") or diag($r->raw);
    ok($r->complete, "$what - complete");

    is(http($path, $body, @task)->status, 200, "$what - and here");
}

ok(wait_for(sub { main::keys_of() !~ /task|cancel/ }), 'nothing is left');
main::end();



=== an id is the owner's: another one neither takes nor stops it
--- ollama
ollama_session_owner $http_x_owner;
--- test
main::begin(location => 'ollama_session_owner $http_x_owner;');

my %who = (ann => [ 'X-Owner' => 'ann' ],
           bob => [ 'X-Owner' => 'bob', main::elsewhere() ]);

sub begun {
    my ($who) = @_;

    fake_set(model => '*', fault => 'stall', after => 2);
    my $c = client(timeout => 30,
                   $who eq 'bob' ? (port => $main::other->port) : ());
    $c->request('POST /api/chat', main::body(task_id => 'x'),
                'X-Owner' => $who);
    $c->read_until(qr/"w1 "/) or die "$who: $c->{raw}\n";
    fake_set(model => '*', fault => undef);

    return $c;
}

my $c = begun('ann');

is(http('POST /api/chat', main::body(task_id => 'x'), @{ $who{bob} })->status,
   409, 'it is in use');
main::is_unknown(main::cancel('x', @{ $who{bob} }), 'bob has none', 'x');
unlike($c->parsed->body, qr/"done":true/, "ann's goes on");
main::is_cancelled(main::cancel('x', 'X-Owner' => 'ann', main::elsewhere()),
                   'ann', 'x', undef);
main::is_stopped($c, 'ann');

# while Redis is away nobody can know

$main::redis->kill;
wait_for(sub { http('GET /api/chat/session/0', undef, @{ $who{$_} })->status
               == 503 }) for sort keys %who;

my %run = map { $_ => begun($_) } sort keys %who;

$main::redis->revive;
main::wait_both();
wait_for(sub { main::keys_of() =~ /task:\{x\}/ });

# the one that Redis knows is stopped from the other gateway, and that alone

my $known = main::owner_of('x') eq sha1_hex('ann') ? 'ann' : 'bob';
my ($other) = grep { $_ ne $known } sort keys %who;

main::is_cancelled(main::cancel('x', 'X-Owner' => $known,
                                $known eq 'ann' ? main::elsewhere() : ()),
                   'known', 'x', undef);
main::is_stopped($run{$known}, 'known');
unlike($run{$other}->parsed->body, qr/"done":true/, "the other's goes on");

main::is_cancelled(main::cancel('x', @{ $who{$other} }), 'other', 'x', undef);
main::is_stopped($run{$other}, 'other');

main::end();
--- error_log
is down



=== an id is free when its generation ended while Redis was not there
--- test
main::allow_there();
main::begin(redis => 'unix:' . $main::redis->path
                     . ' user=there password=there');

my $c = main::running({ task_id => 'one' }, port => $main::other->port);
my $more = main::running({ task_id => 'two' }, port => $main::other->port);

wait_for(sub { main::keys_of() =~ /\{one\}.*\{two\}/ });
is(http('POST /api/chat', main::body(task_id => 'one'))->status, 409, 'in use');

$main::redis->cli(qw(ACL SETUSER there off));
$main::redis->cli(qw(CLIENT KILL USER there));
wait_for(sub { http('GET /api/chat/session/0', undef,
                    main::elsewhere())->status == 503 });

main::is_cancelled(main::cancel('one', main::elsewhere()), 'there', 'one',
                   undef);
main::is_stopped($c, 'there');

$main::redis->cli(qw(ACL SETUSER there on));
main::wait_both();

is(http('POST /api/chat', main::body(task_id => 'one'))->status, 200, 'free');

# the one that still runs is known again

ok(wait_for(sub { http('POST /api/chat', main::body(task_id => 'two'))->status
                  == 409 }), 'in use');
main::is_cancelled(main::cancel('two'), 'from here', 'two', undef);
main::is_stopped($more, 'from here');
like(join('', $main::other->error_lines), qr/is down/);
main::end();



=== without Redis an id is in use at its own gateway only
--- test
main::begin();
$main::redis->kill;
wait_for(sub { http('GET /api/chat/session/0', undef, @$_)->status == 503 })
    for [], [ main::elsewhere() ];

my $c = main::running({ task_id => 'x' });

is(http('POST /api/chat', main::body(task_id => 'x'))->status, 409, 'here');
is(http('POST /api/chat', main::body(task_id => 'x'),
        main::elsewhere())->status, 200, 'there');

main::is_cancelled(main::cancel('x'), 'here', 'x', undef);
main::is_stopped($c, 'here');

$main::redis->revive;
main::wait_both();
main::end();
--- error_log
is down



=== without Redis each gateway stops its own generations
--- test
main::begin();

my $here = main::running({ task_id => 'here' });
my $there = main::running({ task_id => 'there' }, port => $main::other->port);

$main::redis->kill;
wait_for(sub { http('GET /api/chat/session/0')->status == 503 });

main::is_unknown(main::cancel('there'), 'no Redis', 'there');
main::is_cancelled(main::cancel('here'), 'no Redis', 'here', undef);
main::is_stopped($here, 'no Redis');
main::is_cancelled(main::cancel('there', main::elsewhere()), 'no Redis',
                   'there', undef);
main::is_stopped($there, 'no Redis');

my $r = http('POST /api/chat', main::body());
like($r->body, qr/"done":true/, 'and chats go on');

main::end();
$main::redis->revive;
--- error_log
is down



=== a killed gateway's generations are forgotten
--- test
main::begin();

my $c = main::running({ task_id => 'dead' }, port => $main::other->port);
wait_for(sub { main::keys_of() =~ /task:\{dead\}/ });
like(main::keys_of(), qr/task:\{dead\}/, 'it is known');

$main::other->kill;
undef $main::other;

my $r;
ok(wait_for(sub { $r = http('POST /api/chat', main::body(task_id => 'dead'));
                  $r->status != 409 }, 1), 'its id is free at once');
is($r->status, 200, 'and another generation has it') or diag($r->raw);
main::is_unknown(main::cancel('dead'), 'dead', 'dead');



=== the ids of killed workers, and of an nginx that was stopped, are free
--- test
main::begin(workers => 2);

for my $n (1 .. 3) {
    my $c = main::running({ task_id => "k$n" }, port => $main::other->port);
    wait_for(sub { main::keys_of() =~ /task:\{k$n\}/ });
    is(http('POST /api/chat', main::body(task_id => "k$n"))->status, 409,
       'in use');

    kill KILL => $main::other->worker_pids;

    my $r;
    ok(wait_for(sub { $r = http('POST /api/chat',
                                main::body(task_id => "k$n"));
                      $r->status != 409 }, 1), "free, $n");
    is($r->status, 200, "taken, $n") or diag($r->raw);
    main::wait_both();
}

my $c = main::running({ task_id => 'term' }, port => $main::other->port);
wait_for(sub { main::keys_of() =~ /task:\{term\}/ });
kill TERM => $main::other->pid;
wait_for(sub { !$main::other->worker_pids });
is(http('POST /api/chat', main::body(task_id => 'term'))->status, 200,
   'free after a stop');
undef $main::other;



=== an end or a beginning that Redis refuses is told later
--- test
main::begin();

my @here = main::running({ task_id => 'stays' });
my $c = main::running({ task_id => 'ends' });
wait_for(sub { main::keys_of() =~ /\{ends\}.*\{stays\}/ });

$main::redis->cli(qw(CONFIG SET min-replicas-to-write 1));

main::is_cancelled(main::cancel('ends'), 'ends', 'ends', undef);
main::is_stopped($c, 'ends');
push @here, main::running({ task_id => 'begins' });
sleep 2.5;

$main::redis->cli(qw(CONFIG SET min-replicas-to-write 0));

my $r;
ok(wait_for(sub { $r = http('POST /api/chat', main::body(task_id => 'ends'),
                            main::elsewhere());
                  $r->status == 200 }, 2), 'its id is free') or diag($r->raw);
ok(wait_for(sub { main::keys_of() =~ /task:\{begins\}/ }, 3), 'it is known');

for my $id ('stays', 'begins') {
    is(http('POST /api/chat', main::body(task_id => $id),
            main::elsewhere())->status, 409, "$id: in use");
    main::is_cancelled(main::cancel($id, main::elsewhere()), $id, $id, undef);
    main::is_stopped(shift @here, $id);
}

main::end();



=== an old stop does not stop a later task of the same name
--- test
main::begin();

my $c = main::running({ task_id => 'name' }, port => $main::other->port);
wait_for(sub { main::keys_of() =~ /task:\{name\}/ });
main::is_cancelled(main::cancel('name'), 'once', 'name', undef);
main::is_stopped($c, 'once');

$main::redis->cli('SET', 'ollama:cancel:{name}', 1);

my $r = http('POST /api/chat', main::body(task_id => 'name'),
             main::elsewhere());
like($r->body, qr/"done_reason":"stop"/, 'a stop that was left over');

ok(wait_for(sub { main::keys_of() !~ /\{name\}/ }), 'it is cleared away');
main::end();



=== forty generations, each stopped from the other gateway
--- test
main::begin(workers => 2);

fake_set(model => '*', fault => 'stall', after => 2);

my @held = map {
    my $c = client(timeout => 20, $_ % 2 ? () : (port => $main::other->port));
    $c->request('POST /api/chat', main::body(task_id => "many$_"));
    $c;
} 1 .. 40;

$_->read_until(qr/"w1 "/) for @held;
wait_for(sub { (() = main::keys_of() =~ /task:/g) == 40 });

for my $n (1 .. 40) {
    my $r = main::cancel("many$n", $n % 2 ? main::elsewhere() : ());
    is($r->status, 200, "many$n") or diag($r->raw);
}

main::is_stopped($held[$_ - 1], "many$_") for 1 .. 40;
fake_set(model => '*', fault => undef);

ok(wait_for(sub { main::keys_of() !~ /task|cancel/ }), 'nothing is left');
main::end();



=== a conversation of models is stopped from another gateway
--- test
main::begin();

fake_set(model => '*', fault => 'stall', after => 2);

my $id = http('POST /api/chat/session', {}, main::elsewhere())
         ->json->{session_id};

for my $by ('talk', $id) {
    my $c = client(timeout => 20, port => $main::other->port);

    $c->request('POST /api/chat/multi-model',
                { models => [ 'm1', 'm2' ], initial_message => 'hi',
                  task_id => 'talk', session_id => $id });
    $c->read_until(qr/"w1 "/);

    main::is_cancelled(main::cancel($by), "by $by", 'talk', $id);
    main::is_stopped($c, "by $by");
    main::is_unknown(main::cancel($by), "by $by, again", $by);
}

fake_set(model => '*', fault => undef);

# and it goes on here

my $r = http('POST /api/chat/multi-model',
             { models => [ 'm1', 'm2' ], initial_message => 'on',
               session_id => $id, max_turns => 2, stream => JSON::PP::false });
is($r->json->{done_reason}, 'max_turns', 'it goes on');
is(join(' ', map { $_->{status} }
             @{ http("GET /api/chat/session/$id")->json->{messages} }),
   'complete cancelled complete cancelled complete complete complete',
   'all of it is there');
main::end();
