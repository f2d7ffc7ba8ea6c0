# Guards the promise that requests wait for a place here, not inside a server:
# in turn, fairly between owners, no longer than they may, and never lost; that
# each can be stopped while it waits; and that what it had is free then.
#
# Whether requests wait is told by "queued" in /api/models/servers, what servers
# were asked by the stand-in's record.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::Fleet;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Stop;
use JSON::PP;
use Time::HiRes qw(time);

# requests that wait are seldom in the worker of the one that has the place
workers(3);

our $one = servers_with($once, 'max_conns=1');
our $both = servers_with($often, ('max_conns=1') x 2);


# begins a chat that has to wait

sub waiting {
    my ($n, @request) = @_;

    my $c = client(timeout => 30)->request(@request ? @request : chat('m1'));
    wait_queued($n);

    return $c;
}


# a chat that says who sends it

sub said {
    my ($text, @headers) = @_;

    return ('POST /api/chat',
            { model => 'm1',
              messages => [ { role => 'user', content => "$text" } ] },
            @headers);
}

sub heard {
    return map { prompt_of($_) =~ s/^user://r }
           @{ fake_requests(@_)->{requests} };
}


# the order in which eight requests of one owner and a later one of another get
# their places

sub order {
    wait_status(up => 1);

    my ($held) = hold(1, 'm1');
    my @c = map { waiting($_, said($_, 'X-Owner', 'many')) } 1 .. 8;

    push @c, waiting(9, said('few', 'X-Owner', 'few'));

    $held->close;
    are_good('all', map { $_->reply } @c);

    my ($first, @heard) = heard();

    return join ' ', @heard;
}

sub is_fair {
    my ($title) = @_;

    my $order = order();

    like($order, qr/\A(?:1 )?(?:2 )?few /, "$title: it comes soon");
    is($order =~ s/few //r, '1 2 3 4 5 6 7 8', "$title: others in turn");
}


# those whose connection has ended

sub ended {
    return grep {
        $_->read(time + 0.001);
        ($_->{end} // '') =~ /eof|reset/;
    } @_;
}


run_tests();

__DATA__

=== a request waits while the only place is taken, and goes on when it is free
--- upstream eval: $::one
--- test
wait_status(up => 1);

my $r = http(chat('m1'));
is($r->header('X-Ollama-Queued'), undef, 'one that does not wait');

my ($held) = hold(1, 'm1');
my $c = main::waiting(1);

is(fake_requests()->{count}, 2, 'the server is not asked');
is(in_flight(), '1');

$held->close;
$r = $c->reply;

are_good('then', $r);
like($r->header('X-Ollama-Queued'), qr/\A\d+\.\d{3}\z/, 'it tells how long');
cmp_ok($r->header('X-Ollama-Queued'), '>', 0);

my $queue = $r->header('X-Ollama-Queued');
ok(access_log(qr/ 200 .* outcome=ok .* queue=\Q$queue\E /), 'so does the log');
ok(access_log(qr/ 200 .* outcome=ok .* queue=0\.000 /));
is(queued(), 0);



=== those that wait get places in turn
--- upstream eval: $::one
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my @c = map { main::waiting($_, main::said("number $_")) } 1 .. 7;

$held->close;
are_good('all', map { $_->reply } @c);

my @heard = main::heard();
is(join(', ', @heard[1 .. $#heard]), join(', ', map { "number $_" } 1 .. 7));



=== a queue that is full is told in the form of each API
--- upstream eval: main::queue_of('queue=1', $::one)
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my $c = main::waiting(1);

my %form = ('/api/chat' => sub { $_[0]{error} },
            '/api/generate' => sub { $_[0]{error} },
            '/api/embed' => sub { $_[0]{error} },
            '/v1/chat/completions' => sub { $_[0]{error}{message} },
            '/v1/messages' => sub {
                is($_[0]{type}, 'error');
                is($_[0]{error}{type}, 'overloaded_error');
                return $_[0]{error}{message};
            });

for my $uri (sort keys %form) {
    my $r = http("POST $uri", { model => 'm1', %{ $bodies{$uri} } });

    is($r->status, 503, $uri);
    like($r->header('Retry-After'), qr/\A[1-9]\d*\z/, 'when to come again');
    like($form{$uri}->($r->json), qr/^server busy/);
}

ok(access_log(qr/ 503 .* outcome=rejected /));
is(queued(), 1, 'the one that waits goes on');

$held->close;
are_good('it', $c->reply);
is(fake_requests()->{count}, 2, 'no other was sent');



=== a request that waits too long is answered 503
--- upstream eval: main::queue_of('timeout=300ms', $::one)
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my $r = http(chat('m1'));

is($r->status, 503);
like($r->header('Retry-After'), qr/\A[1-9]\d*\z/);
like($r->body, qr/\A\{"error":"server busy[^"]*"\}\z/);

my ($s) = access_log(qr/ 503 .* outcome=rejected /) =~ / queue=(\S+) /;
like($s, qr/\A\d+\.\d{3}\z/, 'the log tells how long');
cmp_ok($s, '>=', 0.3, 'and not before');

is(queued(), 0);
is(fake_requests()->{count}, 1, 'the server is not asked');

$held->close;
are_good('the next one', http(chat('m1')));



=== a request that waits too long takes any server that is free
--- upstream eval
main::queue_of('timeout=1s', main::servers_with($::once, 'max_conns=1', ''))
--- fake2
{"server":{"models":[{"name":"m1","size":40000000000}]}}
--- test
wait_status(up => 1, 2);

# to wait for this one seems better than a load, but it never ends
my ($held) = hold(1, 'm1');
my $r = http(chat('m1'));

are_good('it', $r);
is(servers_of($r), 2, 'by the one that loads it');
cmp_ok($r->header('X-Ollama-Queued'), '>=', 1, 'but not before');
$held->close;



=== with queue=0 none waits
--- upstream eval: main::queue_of('queue=0', $::one)
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my $r = http(chat('m1'));

is($r->status, 503);
like($r->body, qr/server busy/);
ok(access_log(qr/ 503 .* queue=0\.000 /));
$held->close;



=== a client that leaves gives its place in the queue up
--- upstream eval: $::one
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');

for my $way (qw(close reset half_close)) {
    my $c = main::waiting(1);
    my $next = main::waiting(2, main::said($way));

    $c->$way;
    wait_queued(1);

    $next->close;
    wait_queued(0);
}

ok(access_log(qr/ 499 .* outcome=client_closed .* queue=(?!0\.000)\d/));
is(fake_requests()->{count}, 1, 'the server is not asked');

$held->close;
are_good('the next one', http(chat('m1')));



=== a client that leaves by HTTP/2 does so, too
--- upstream eval: $::one
--- config eval: $::h2
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my $c = h2(port => $ENV{TEST_NGINX_H2_PORT}, timeout => 20);

$c->request(chat('m1'));
wait_queued(1);
$c->rst;
wait_queued(0);

$c->request(chat('m1'));
wait_queued(1);
$held->close;

my $r = $c->reply;
is($r->status, 200, 'and is answered if it stays');
like($r->header('X-Ollama-Queued'), qr/\A\d+\.\d{3}\z/);
$c->close;



=== clients leave while places are granted by other workers: none is lost
--- upstream eval: $::one
--- fake
{"model":"m1","frames":1}
--- test
wait_status(up => 1);

# at random times, as there is no moment that could be waited for
for my $round (1 .. 400) {
    my @c = map { client()->request(chat('m1')) } 1 .. 12;

    sleep rand 0.006;
    $_->close for @c;
}

ok(wait_for(sub {
    my $said = http('GET /api/models/servers')->json;
    !$said->{queued} && !grep { $_->{in_flight} } @{ $said->{servers} };
}), 'all places are free');
is(http(chat('m1'))->status, 200);
--- no_error_log
[alert]
[crit]



=== a backup server is used if no other is up
--- upstream eval: main::servers_with($::often, 'max_conns=1', 'backup')
--- test
wait_status(up => 1, 2);

my ($held) = hold(1, 'm1');
my $c = main::waiting(1);
is(servers_of($held->parsed), 1);
is(fake_requests(fake => 2)->{count}, 0, 'not if they are busy');

fake_kill(fake => 1);
is(servers_of($c->reply), 2);
$held->close;
--- no_error_log
[alert]
[crit]



=== a request is stopped while it waits, with a proper end
--- upstream eval: $::one
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my @say = (messages => [ { role => 'user', content => 'hi' } ]);
my $ndjson = qr/\A\{[^\n]*"done":true[^\n]*\}\n\z/;
my $sse = qr/"finish_reason":"stop".*\ndata: \[DONE\]\n\n\z/s;

for ([ '/api/chat', { @say }, $ndjson ],
     [ '/api/generate', { prompt => 'hi' }, $ndjson ],
     [ '/api/chat', { @say, stream => JSON::PP::false },
       qr/\A\{.*"done":true.*\}\n?\z/ ],
     [ '/v1/chat/completions', { @say, stream => JSON::PP::true }, $sse ])
{
    my ($uri, $body, $end) = @$_;

    my $c = main::waiting(1, "POST $uri", { model => 'm1', %$body },
                          'X-Ollama-Task-Id', 'waits');

    is_cancelled(cancel('waits'), $uri, 'waits');

    my $r = $c->reply;
    is($r->status, 200, $uri);
    ok($r->complete, 'a proper end');
    like($r->body, $end);
    like($r->body, qr/"done_reason":"cancelled"/) if $uri =~ /api/;

    wait_queued(0);
    is_unknown(cancel('waits'), $uri, 'waits');
    ok(access_log(qr/POST \Q$uri\E .* outcome=cancelled /));
}

is(fake_requests()->{count}, 1, 'the server is not asked');
$held->close;



=== a place is free at once when its request is stopped or its client leaves
--- upstream eval: $::one
--- test
wait_status(up => 1);

fake_set(model => 'm1', fault => 'stall', after => 1);
my $c = client(timeout => 30)->request(main::said('first'),
                                       'X-Ollama-Task-Id', 'first');
$c->read_until(qr/"w0 "/);
fake_set(model => 'm1', fault => undef);

my $next = main::waiting(1);

is_cancelled(cancel('first'), 'the first', 'first');
are_good('the next', $next->reply);
like($c->reply->body, qr/"done_reason":"cancelled"/);



=== a model that is loading is waited for here
--- upstream eval: main::servers_with($::once, '')
--- fake
{"model":"m2","load_ms":1500}
--- test
wait_status(up => 1);

my $c = client(timeout => 30)->request(chat('m2'));
fake_requests(wait_count => 1);

my @c = map { main::waiting($_, chat('m2')) } 1 .. 4;
is(fake_requests()->{count}, 1, 'only the one that loads it is there');

are_good('all', map { $_->reply } $c, @c);
is(fake_requests()->{loads}, 1);



=== a short wait is better than a load
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1","size":40000000000,"loaded":true}]}}
{"model":"m1","frames":50,"gap_ms":5}
--- fake2
{"server":{"models":[{"name":"m1","size":40000000000}]}}
--- asked2
nothing
--- test
wait_status(up => 1, 2);

# how fast it is there gets known
are_good('the first', http(chat('m1')));

fake_set(fake => 1, model => 'm1', ttft_ms => 2000);

my $c = client(timeout => 30)->request(chat('m1'));
fake_requests(wait_count => 2);

my @c = map { main::waiting($_) } 1 .. 2;
my @replies = map { $_->reply } $c, @c;

are_good('all', @replies);
is(servers_of(@replies), '1 1 1');
is(fake_requests(fake => 2)->{loads}, 0, 'no load');



=== a model in use is not unloaded for another
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my $c = main::waiting(1, chat('m2'));

is(fake_requests()->{count}, 1, 'it waits');

$held->close;
are_good('then', $c->reply);
is(fake_requests()->{loads}, 1);



=== places are learned from streams that run together
--- upstream eval: main::servers_with($::once, '')
--- fake
{"model":"m1","frames":200,"gap_ms":20}
--- test
wait_status(up => 1);

my @c = map { client(timeout => 30)->request(chat('m1')) } 1 .. 6;

ok(wait_for(sub { fake_requests()->{active} == 6 }, 15), 'all at once');
are_good('all', map { $_->reply } @c);



=== a server that sends no first token gets one request at a time
--- upstream eval: main::servers_with($::once, '')
--- fake
{"model":"m1","ttft_ms":300}
--- test
wait_status(up => 1);

my @c = map { client(timeout => 30)->request(chat('m1')) } 1 .. 4;
wait_queued(3);
is(fake_requests(wait_count => 1)->{active}, 1);
is(in_flight(), '1');

are_good('all', map { $_->reply } @c);



=== max_conns is a ceiling
--- upstream eval: main::servers_with($::once, 'max_conns=2')
--- fake
{"model":"m1","frames":20,"gap_ms":20}
--- test
wait_status(up => 1);

my @c = map { client(timeout => 30)->request(chat('m1')) } 1 .. 8;
my %active;

wait_for(sub {
    my $record = fake_requests();
    $active{ $record->{active} }++;
    return $record->{ended} == 8;
}, 20);

are_good('all', map { $_->reply } @c);
is(join(' ', grep { $_ > 2 } keys %active), '', 'never more than two');
ok($active{2}, 'but two');



=== an owner with few requests is not behind one with many
--- upstream eval: $::one
--- ollama
        ollama_fair $http_x_owner;
--- test
main::is_fair('by ollama_fair');



=== who owns sessions is an owner here, too
--- upstream eval: $::one
--- http_config
    ollama_session_owner $http_x_owner;
--- test
main::is_fair('by ollama_session_owner');



=== requests of one owner are not told apart by others
--- upstream eval: $::one
--- http_config
    ollama_session_owner $http_x_owner;
    ollama_fair all;
--- test
is(main::order(), '1 2 3 4 5 6 7 8 few', 'first come, first served');



=== a server that is stuck costs one request
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true}]}}
{"model":"m1","fault":"hang"}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2);

my @c = map { client(timeout => 40)->request(chat('m1')) } 1 .. 6;

# the one that is stuck is none that waits, nor is it answered
ok(wait_for(sub { fake_requests(fake => 2)->{ended} == 5 }, 40),
   'five are answered by the other one');
is(fake_requests(fake => 1)->{count}, 1);
is(in_flight(), '1 0');
is(queued(), 0);

$_->close for @c;



=== a request that names a server waits for that one
--- upstream eval: main::servers_with($::once, 'max_conns=1', '')
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my $url = 'http://127.0.0.1:' . fake_port(1);
my @pin = ('POST /api/chat', { model => 'm1', server_url => $url, @say });

fake_set(model => 'm1', fault => 'stall', after => 1);
my $held = client(timeout => 20)->request(@pin);
$held->read_until(qr/"w0 "/);
fake_set(model => 'm1', fault => undef);

my $c = main::waiting(1, @pin);
$held->close;

is(servers_of($c->reply), 1);



=== a request that needs no place doesn't wait
--- upstream eval: main::servers_with($::once, '')
--- fake
{"model":"m1","ttft_ms":60000}
--- test
wait_status(up => 1);

my $c = client(timeout => 30)->request(chat('m1'));
fake_requests(wait_count => 1);
my $next = main::waiting(1);

for (['POST /api/show', { model => 'm1' }], ['GET /api/tags'], ['GET /api/ps'],
     ['GET /v1/models'], ['POST /api/chat', { model => 'x:cloud', @say }],
     ['POST /api/generate', { model => 'm1', keep_alive => 0 }])
{
    my $r = http(@$_);
    isnt($r->status, 503, $_->[0] . ': ' . $r->status);
    isnt($r->status, 0, 'is answered');
    is($r->header('X-Ollama-Queued'), undef);
}

is(queued(), 1);
$_->close for $c, $next;



=== a server dies: those that wait get places at another one
--- upstream eval: main::servers_with($::often, 'max_conns=1', 'max_conns=1')
--- test
wait_status(up => 1, 2);

my @held = hold(2, 'm1');
my @c = map { main::waiting($_) } 1 .. 4;

my ($there) = grep { servers_of($_->parsed) eq 2 } @held;

fake_kill(fake => 1);
wait_status(down => 1);
$there->close;

my @replies = map { $_->reply } @c;
are_good('all', @replies);
is(servers_of(@replies), '2 2 2 2');
$_->close for @held;
--- no_error_log
[alert]
[crit]



=== the only server dies: those that wait are answered
--- upstream eval: main::servers_with($::often, 'max_conns=1')
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my @c = map { main::waiting($_) } 1 .. 4;

fake_kill(fake => 1);

like(join(' ', map { $_->reply->status } @c), qr/\A50[23]( 50[23]){3}\z/);
ok(wait_for(sub { in_flight() eq '0' }, 10));
is(queued(), 0);
$held->close;
--- no_error_log
[alert]
[crit]



=== a server that refuses all: each that waits gets its answer
--- upstream eval: $::one
--- test
wait_status(up => 1);

my ($held) = hold(1, 'm1');
my @c = map { main::waiting($_) } 1 .. 4;

fake_set(model => 'm1', status => 503);
$held->close;

my @replies = map { $_->reply } @c;
is(join(' ', map { $_->status } @replies), '503 503 503 503');
is(queued(), 0);



=== a conversation's turns wait like chats
--- upstream eval: $::one
--- test
wait_status(up => 1);

my $body = { models => [ 'm1', 'm1' ], initial_message => 'hi',
             max_turns => 2 };

my ($held) = hold(1, 'm1');
my $c = main::waiting(1, 'POST /api/chat/multi-model', $body);

$held->close;
my $r = $c->reply;
is($r->status, 200);
like($r->body, qr/"done_reason":"max_turns","turns":2/);

# and is stopped while a turn waits
($held) = hold(1, 'm1');
my $asked = fake_requests()->{count};

$c = main::waiting(1, 'POST /api/chat/multi-model',
                   { %$body, task_id => 'talk' });
is_cancelled(cancel('talk'), 'the conversation', 'talk');

$r = $c->reply;
ok($r->complete, 'a proper end');
like($r->body, qr/"done_reason":"cancelled","turns":0/);
wait_queued(0);
is(fake_requests()->{count}, $asked, 'no server is asked');

# or its client leaves
$c = main::waiting(1, 'POST /api/chat/multi-model', $body);
$c->close;
wait_queued(0);

$held->close;



=== workers are killed: what they had is free, those of others go on
--- upstream eval: main::servers_with($::often, 'max_conns=2')
--- test
wait_status(up => 1);

for my $round (0 .. 2) {
    my @held = hold(2, 'm1');
    my @c = map { main::waiting($_) } 1 .. 6;

    my @pids = worker_pids();
    is(scalar @pids, 3);
    kill KILL => $pids[$round];

    ok(wait_for(sub { scalar(worker_pids()) == 3 }, 20), 'it is replaced');

    my %gone = map { $_ => 1 } main::ended(@held, @c);
    my @left = grep { !$gone{$_} } @c;

    # a place that it had is free now
    $_->close for @held;
    are_good(@left . ' of 6 are left', map { $_->reply } @left);

    ok(wait_for(sub { in_flight() eq '0' && queued() == 0 }, 20), 'none left');
    are_good('new ones', at_once(4, chat('m1')));
}
--- error_log
exited on signal 9
[alert]



=== a reload while requests wait: all are answered
--- upstream eval: main::servers_with($::often, 'max_conns=2')
--- test
wait_status(up => 1);

for my $round (1 .. 2) {
    my @held = hold(2, 'm1');
    my @c = map { main::waiting($_) } 1 .. 4;

    reload();
    is(queued(), 4, 'they still wait');

    # those of the new workers wait behind them
    push @c, map { main::waiting($_) } 5 .. 6;

    $_->close for @held;
    are_good('all', map { $_->reply } @c);

    ok(wait_for(sub { in_flight() eq '0' && queued() == 0 }, 20), 'none left');
    is(http(chat('m1'))->header('X-Ollama-Queued'), undef, 'served at once');
}



=== nginx is to quit while requests wait: all are answered
--- upstream eval: main::servers_with($::often, '')
--- fake
{"model":"*","frames":8,"gap_ms":30}
--- test
set_models(1, m1 => 1, m2 => 1, m3 => 0);
wait_models(1, 'm1+ m2+ m3');

# a model that is loaded beside others for the first time may have taken the
# place of one of these: that is known by the next probe
my @c = map { client(timeout => 20)->request(chat($_)) } 'm3', 'm1', 'm2';

$c[0]->read_until(qr/"w0 "/);
kill QUIT => nginx_pid();

are_good('all', map { $_->reply } @c);
--- error_log eval: qr/gracefully shutting down/



=== a load goes on without its client for those that wait for the model
--- upstream eval: $::one
--- test
wait_status(up => 1);
fake_set(model => 'm2', load_ms => 1500, gap_ms => 100);

my $first = client(timeout => 30)->request(chat('m2'));
fake_requests(wait_active => 1);
my $c = main::waiting(1, chat('m2'));

$first->close;
are_good('the other one', $c->reply);

my $asked = fake_requests(wait_active => 0);
is($asked->{loads}, 1, 'the model was loaded once');
is($asked->{aborted_loads}, 0);
is($asked->{count}, 2);
is($asked->{requests}[0]{end}, 'client_closed', 'and nothing said to nobody');
ok(access_log(qr/ 499 model=m2 .* outcome=client_closed /));
ok(wait_for(sub { in_flight() eq '0' && queued() == 0 }), 'none left');
--- error_log
the load goes on



=== a load that nobody waits for ends with its client
--- upstream eval: $::one
--- test
wait_status(up => 1);
fake_set(model => 'm2', load_ms => 60000);

my $first = client(timeout => 30)->request(chat('m2'));
fake_requests(wait_active => 1);
$first->close;

my $asked = fake_requests(wait_active => 0);
is($asked->{aborted_loads}, 1, 'at once');

# those that waited for it leave, too

$first = client(timeout => 30)->request(chat('m2'));
fake_requests(wait_active => 1);
my $c = main::waiting(1, chat('m2'));

$first->close;
error_log_has(qr/the load goes on/);
is(fake_requests()->{aborted_loads}, 1);

$c->close;
$asked = fake_requests(wait_active => 0);
is($asked->{aborted_loads}, 2, 'then, too');
ok(wait_for(sub { in_flight() eq '0' && queued() == 0 }), 'none left');
--- error_log
the load goes on



=== a full queue keeps nobody from a server that is free
--- upstream eval: main::queue_of('queue=1', $::both)
--- test
wait_status(up => 2);

my @named = map { [ 'X-Ollama-Server-Url' =>
                    'http://127.0.0.1:' . fake_port($_) ] } 1, 2;

my ($held) = hold(1, 'm1', fake => 1);
my $c = main::waiting(1, chat('m1'), @{ $named[0] });

# the queue is full, the second server idle
are_good('there', http(chat('m1'), @{ $named[1] }));
is(http(chat('m1'), @{ $named[0] })->status, 503, 'not at the first');
is(queued(), 1);

$held->close;
are_good('the one that waits', $c->reply);
