# Guards the lock of a session: whatever happens to the one who has it, or to
# the one who asks for it, nobody else waits for it longer than he lives; and
# what happens to a chat while it waits for Redis: a stop, a client that leaves,
# a worker that is killed.

use lib 't/lib';

use Test::Nginx::Ollama::Line;
use Test::Nginx::Ollama::Redis;

our ($redis, $line);

BEGIN {
    $redis = Test::Nginx::Ollama::Redis->start;
    $ENV{TEST_NGINX_REDIS_PATH} = $redis->path;

    $line = Test::Nginx::Ollama::Line->start($redis);
    $ENV{TEST_NGINX_LINE_PATH} = $line->path;
}

use Test::Nginx::Ollama;
use JSON::PP;
use Time::HiRes qw(sleep time);


# nginx may have come before Redis

sub begin {
    $main::redis->revive;
    $main::redis->cli('FLUSHALL');

    wait_for(sub { http('GET /api/chat/session/0')->status == 404 }, 15)
        or die "nginx does not find Redis\n";
}

sub made {
    return http('POST /api/chat/session', { model => 'm1' })->json
           ->{session_id};
}

sub body {
    my ($id, %more) = @_;

    return { session_id => $id, %more,
             messages => [ { role => 'user',
                             content => $more{messages} // 'hi' } ] };
}

sub say { return http('POST /api/chat', body(@_)) }

sub stored {
    my ($id) = @_;

    return join '|', map { "$_->{role}:$_->{status}" }
           @{ http("GET /api/chat/session/$id")->json->{messages} };
}

sub cancel { return http("POST /api/chat/cancel/$_[0]", '') }

sub lock_of { return $main::redis->cli('GET', "ollama:{$_[0]}:task") }


# nginx has one worker: what was said to it before this, it has heard.

sub heard { is(http('GET /api/models/servers')->status, 200, 'nginx is awake') }


# The next chat has it: whoever had it isn't waited for.

sub is_free {
    my ($id, $title) = @_;

    my $r;
    wait_for(sub { $r = say($id); $r->status != 409 });
    like($r->body, qr/"saved":true/, "$title: the session is free")
        or diag($r->raw);
}

add_block_preprocessor(sub {
    my ($block) = @_;

    if (!defined $block->http_config) {
        $block->set_value('http_config',
            '    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;')
    }

    if (!defined $block->upstream) {
        $block->set_value('upstream', "zone ollama 1m;\n"
            . 'server 127.0.0.1:$TEST_NGINX_FAKE_PORT;' . "\n"
            . "ollama_balance;\nkeepalive 4;\n");
    }
});

run_tests();

__DATA__

=== TEST 1: a stop while the history is waited for
--- test
main::begin();

for my $by ('task', 'session') {
    for my $more ({}, { stream => JSON::PP::false }) {
        my $id = main::made();
        my $title = "by $by" . (%$more ? ', one piece' : '');

        main::say($id);
        $main::redis->freeze;

        my $c = client();
        $c->request('POST /api/chat',
                    main::body($id, task_id => 'one', %$more));

        main::heard();

        my $r = main::cancel($by eq 'task' ? 'one' : $id);
        is($r->status, 200, "$title: it is stopped");
        is($r->json->{task_id}, 'one', "$title: its name");

        $r = $c->reply;
        is($r->status, 200, "$title: the reply");
        ok($r->complete, "$title: a proper end");
        like($r->body, qr/"done":true,"done_reason":"cancelled"/,
             "$title: it says so");

        $main::redis->thaw;

        main::is_free($id, $title);
        is(main::stored($id), 'user:complete|assistant:complete|'
           . 'user:complete|assistant:complete', "$title: it left nothing");
    }
}

is(scalar(grep { m{POST /api/chat} } fake_asked()), 8,
   'no server was asked for what was stopped');



=== TEST 2: a client leaves while the lock is asked for
--- test
main::begin();

for my $n (1 .. 5) {
    my $id = main::made();

    $main::redis->freeze;

    my $c = client();
    $c->request('POST /api/chat', main::body($id, task_id => "left$n"));

    main::heard();
    $c->close;
    main::heard();

    $main::redis->thaw;
    main::is_free($id, "left, $n");
}



=== TEST 3: a long message, and a Redis that takes long
--- test
main::begin();

my $id = main::made();

$main::redis->freeze;

my $c = client();
$c->request('POST /api/chat', main::body($id, messages => 'x' x 200_000));

# longer than a timer that the scan of a body may have left
sleep 1.3;
$main::redis->thaw;

like($c->reply->body, qr/"saved":true/, 'it is answered');
is(main::stored($id), 'user:complete|assistant:complete', 'and stored');



=== TEST 4: a worker is killed that has a session
--- test
main::begin();

for my $n (1 .. 3) {
    my $id = main::made();

    fake_set(model => 'm1', fault => 'stall', after => 2);
    my $c = client();
    $c->request('POST /api/chat', main::body($id));
    $c->read_until(qr/"w1 "/);
    fake_set(model => 'm1', fault => undef);

    isnt(main::lock_of($id), '', 'it has the session');

    my @pids = worker_pids();
    kill KILL => @pids;
    wait_for(sub { my ($new) = worker_pids(); $new && $new != $pids[0] });

    ok(wait_for(sub { main::lock_of($id) eq '' }), 'it is free soon');
    main::is_free($id, 'killed');
}
--- error_log
exited on signal 9
[alert]



=== TEST 5: the time for a shutdown is over: what was said is saved
--- main_config
worker_shutdown_timeout 300ms;
--- test
main::begin();

my $id = main::made();

fake_set(model => 'm1', fault => 'stall', after => 2);
my $c = client();
$c->request('POST /api/chat', main::body($id));
$c->read_until(qr/"w1 "/);
fake_set(model => 'm1', fault => undef);

my @old = worker_pids();
reload();
wait_for(sub { !grep { Test::Nginx::Ollama::is_alive($_) } @old }, 10);

is(main::lock_of($id), '', 'nobody has the session');
is(main::stored($id), 'user:complete|assistant:cancelled', 'the part is there');
main::is_free($id, 'afterwards');



=== TEST 6: the session is lost while a chat waits for it
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=10s;
--- test
main::begin();

for my $case ([ 'another task', 503, qr/lost to another task/,
                sub { $main::redis->cli('SET', "ollama:{$_[0]}:task", 'x') } ],
              [ 'deleted', 404, qr/not found/,
                sub { $main::redis->cli('DEL', map { "ollama:{$_[0]}:$_" }
                                                   qw(meta msgs task)) } ])
{
    my ($title, $status, $error, $meanwhile) = @$case;
    my $id = main::made();

    # without a model what is new is stored by a command of its own
    $main::line->hold('a word');
    my $c = client();
    $c->request('POST /api/chat', main::body($id, messages => 'a word'));
    ok(wait_for(sub { $main::line->held }), "$title: it waits");

    $meanwhile->($id);
    $main::line->mend;

    my $r = $c->reply;
    is($r->status, $status, "$title: status") or diag($r->raw);
    like($r->json->{error}, $error, "$title: error");
}
--- asked
nothing
