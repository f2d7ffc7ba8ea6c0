# Guards the lock of a session: it is released, or expires, whatever happens to
# the task that has it or to one that requests it.  And what happens to a chat
# that waits for Redis: a stop, a client that leaves, a killed worker.

use lib 't/lib';

use Test::Nginx::Ollama::Session line => 1, args => 'timeout=5s', balanced => 1,
    qw(block_begins made lock_of);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Stop;
use JSON::PP;
use Time::HiRes qw(sleep time);


sub body {
    my ($id, %more) = @_;

    return { session_id => $id, %more,
             messages => [ { role => 'user',
                             content => $more{messages} // 'hi' } ] };
}

sub say { return http('POST /api/chat', body(@_)) }

sub statuses {
    my ($id) = @_;

    return join '|', map { "$_->{role}:$_->{status}" }
           @{ http("GET /api/chat/session/$id")->json->{messages} };
}


# nginx has one worker: what was said to it before this, it has heard.

sub heard { is(http('GET /api/models/servers')->status, 200, 'nginx is awake') }


# The next chat has it: whoever had it isn't waited for.

sub can_chat {
    my ($id, $title) = @_;

    my $r;
    wait_for(sub { $r = say($id); $r->status != 409 });
    like($r->body, qr/"saved":true/, "$title: the session is free")
        or diag($r->raw);
}

run_tests();

__DATA__

=== a stop while the chat waits for its history
--- test
main::block_begins();

for my $by ('task', 'session') {
    for my $more ({}, { stream => JSON::PP::false }) {
        my $id = main::made({ model => 'm1' });
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

        main::can_chat($id, $title);
        is(main::statuses($id), 'user:complete|assistant:complete|'
           . 'user:complete|assistant:complete', "$title: it left nothing");
    }
}

is(scalar(grep { m{POST /api/chat} } fake_asked()), 8,
   'no server was asked for what was stopped');



=== a client that leaves while the lock is requested
--- test
main::block_begins();

for my $n (1 .. 5) {
    my $id = main::made({ model => 'm1' });

    $main::redis->freeze;

    my $c = client();
    $c->request('POST /api/chat', main::body($id, task_id => "left$n"));

    main::heard();
    $c->close;
    main::heard();

    $main::redis->thaw;
    main::can_chat($id, "left, $n");
}



=== a large message while Redis is slow
--- test
main::block_begins();

my $id = main::made({ model => 'm1' });

$main::redis->freeze;

my $c = client();
$c->request('POST /api/chat', main::body($id, messages => 'x' x 200_000));

# longer than a timer that the scan of a body may have left
sleep 1.3;
$main::redis->thaw;

like($c->reply->body, qr/"saved":true/, 'it is answered');
is(main::statuses($id), 'user:complete|assistant:complete', 'and stored');



=== a worker that has a session is killed: its lock expires
--- test
main::block_begins();

for my $n (1 .. 3) {
    my $id = main::made({ model => 'm1' });

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
    main::can_chat($id, 'killed');
}
--- error_log
exited on signal 9
[alert]



=== worker_shutdown_timeout ends a chat: the partial reply is saved
--- main_config
worker_shutdown_timeout 300ms;
--- test
main::block_begins();

my $id = main::made({ model => 'm1' });

fake_set(model => 'm1', fault => 'stall', after => 2);
my $c = client();
$c->request('POST /api/chat', main::body($id));
$c->read_until(qr/"w1 "/);
fake_set(model => 'm1', fault => undef);

my @old = worker_pids();
reload();
wait_for(sub { !grep { Test::Nginx::Ollama::is_alive($_) } @old }, 10);

is(main::lock_of($id), '', 'nobody has the session');
is(main::statuses($id), 'user:complete|assistant:cancelled',
   'the part is there');
main::can_chat($id, 'afterwards');



=== the lock is lost while a chat waits for Redis
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=10s;
--- test
main::block_begins();

for my $case ([ 'another task', 503, qr/lost to another task/,
                sub { $main::redis->cli('SET', "ollama:{$_[0]}:task", 'x') } ],
              [ 'deleted', 404, qr/not found/,
                sub { $main::redis->cli('DEL', map { "ollama:{$_[0]}:$_" }
                                                   qw(meta msgs task)) } ])
{
    my ($title, $status, $error, $meanwhile) = @$case;
    my $id = main::made({ model => 'm1' });

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



=== a reader whose reply stands still holds up nobody else
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=3s;
--- test
main::block_begins();

my $big = main::made({ model => 'm1' });
my $id = main::made({ model => 'm1' });

main::say($big);
$main::line->catch("{$big}:meta");

my @readers = map { client()->request("GET /api/chat/session/$big") } 1 .. 10;
ok(wait_for(sub { $main::line->held }), 'the reply is on its way');

like(main::say($id)->body, qr/"saved":true/, 'a chat in another session');
is(http("PATCH /api/chat/session/$id", { title => 'T' })->status, 200,
   'a change');
like(main::say($id)->body, qr/"saved":true/, 'one more chat');

$main::line->mend;
is($_->reply->status, 200, 'it is read') for @readers;

# one that never comes is a failure of readers only
$main::line->catch("{$big}:meta");
my $reader = client()->request("GET /api/chat/session/$big");
ok(wait_for(sub { $main::line->held }), 'another reply is on its way');
is($reader->reply->status, 503, 'it does not come');
like(main::say($id)->body, qr/"saved":true/, 'chats go on');

$main::line->mend;
ok(wait_for(sub { http("GET /api/chat/session/$big")->status == 200 }),
   'sessions can be read again');
--- error_log eval
qr/redis \S+ for large replies is down: timed out/



=== a stop of a session is for the generation that has it
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=5s;
--- test
main::block_begins();

my $id = main::made({ model => 'm1' });

fake_set(model => 'm1', fault => 'stall', after => 2);
my $c = client();
$c->request('POST /api/chat', main::body($id, task_id => 'one'));
$c->read_until(qr/"w1 "/);
fake_set(model => 'm1', fault => undef);

$main::line->catch('the second');
my $second = client();
$second->request('POST /api/chat', main::body($id, task_id => 'two',
                                              model => 'm1',
                                              messages => 'the second'));
ok(wait_for(sub { $main::line->held }), 'another chat waits for the session');

my $r = main::cancel($id);
is($r->status, 200, 'stopped');
is($r->json->{task_id}, 'one', 'the one that has it');

$main::line->mend;
like($c->reply->body, qr/"done_reason":"cancelled"/, 'its reply');
is($second->reply->status, 409, 'the other one is refused');
main::can_chat($id, 'afterwards');
