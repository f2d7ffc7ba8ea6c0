# Guards the promise that each request goes to a server that has its model, if
# possible to one that has it loaded and a place for it; and that no request
# fails because one server refuses it.  Requests that wait: queue.t.
#
# Which server answered is told by X-Ollama-Server, what it had to do by the
# stand-in's record: nothing here is measured by a clock.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;

run_tests();

__DATA__

=== a request goes to a server that has its model
--- upstream eval: main::servers_with($::often, '', '', '')
--- fake
{"server":{"models":[{"name":"a"},{"name":"d","loaded":true}]}}
--- fake2
{"server":{"models":[{"name":"b"},{"name":"d","loaded":true}]}}
--- fake3
{"server":{"models":[{"name":"c:7b"}]}}
--- test
wait_status(up => 1, 2, 3);

my %server = (a => 1, b => 2, 'c:7b' => 3);

for my $uri (sort keys %bodies) {
    for my $model (sort keys %server) {
        my @replies = map { http("POST $uri", { model => $model,
                                                %{ $bodies{$uri} } }) } 1 .. 3;

        is(servers_of(@replies), join(' ', ($server{$model}) x 3),
           "$uri with $model");
        is(join(' ', map { $_->status } @replies), '200 200 200');
    }
}

my @replies = map { http(chat('d')) } 1 .. 6;
are_good('on two', @replies);
is(count_of(1, @replies), 3, 'and those on two to both');
is(count_of(2, @replies), 3);
is(fake_requests(fake => 3, path => '/api/chat')->{count}, 3);



=== two servers with a loaded model each: no load in 208 requests
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m2"}]}}
--- fake2
{"server":{"models":[{"name":"m1"},{"name":"m2","loaded":true}]}}
--- test
wait_status(up => 1, 2);

# both are in use: a burst for one is no reason to unload the other
are_good('at first', map { http(chat($_)) } qw(m1 m2));

for my $round (1 .. 13) {
    for my $model (qw(m1 m2)) {
        my @replies = at_once(8, chat($model));
        are_good("$model, round $round", @replies);
        is(count_of(substr($model, 1), @replies), 8, 'where it is warm');
    }
}

is(fake_requests(fake => $_)->{loads}, 0, "no load at server $_") for 1, 2;
is(fake_requests(fake => $_)->{count}, 105) for 1, 2;



=== another name of weights that are loaded is a loaded model
--- upstream eval: main::servers_with($::often, '', '')
--- test
my @same = map { { name => $_, digest => '1' } } qw(a b);

fake_set(fake => 1, server => { models => [
    $same[0], { %{ $same[1] }, loaded => JSON::PP::true } ] });
fake_set(fake => 2, server => { models => \@same });
wait_models(1, 'a b+');
wait_models(2, 'a b');

is(servers_of(map { http(chat('a')) } 1 .. 5), '1 1 1 1 1');
--- no_error_log
[alert]



=== another name of weights that a request loads is a model that is loading
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"ps_body":"{\"models\":[]}"}}
--- fake2
{"server":{"ps_body":"{\"models\":[]}"}}
--- test
fake_set(fake => $_, server => { models => [
    map({ { name => $_, digest => '1' } } qw(a b)),
    { name => 'c', digest => '2' } ] }) for 1, 2;
wait_models($_, 'a b c') for 1, 2;

my @held = hold(1, 'a');
my $there = held_by(@held);

is(servers_of(map { http(chat('b')) } 1 .. 4), "$there $there $there $there");
isnt(servers_of(http(chat('c'))), $there, 'other weights: the idle server');
$_->close for @held;
--- no_error_log
[alert]



=== no model is loaded when requests for two loaded models come at once
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m2"}]}}
{"model":"*","ttft_ms":50}
--- fake2
{"server":{"models":[{"name":"m1"},{"name":"m2","loaded":true}]}}
{"model":"*","ttft_ms":50}
--- test
wait_status(up => 1, 2);

my @both = map { client(timeout => 30)->request(chat('m' . (1 + $_ % 2))) }
               1 .. 16;

are_good('at once', map { $_->reply } @both);
are_good('one by one', map { http(chat('m' . (1 + $_ % 2))) }
                             1 .. 40);

is(fake_requests(fake => $_)->{loads}, 0, "no load at server $_") for 1, 2;



=== without a queue requests go where the model is loaded, but not any number
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::once, '', '', 'max_conns=1'))
--- fake
{"model":"m1","fault":"hang"}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
{"model":"m1","fault":"hang"}
--- fake3
{"server":{"models":[{"name":"m3"}]}}
--- test
wait_status(up => 1, 2, 3);

my @held;

# nothing is known of their speeds: a load takes longer than to wait for some
for my $n (1 .. 10) {
    push @held, client(timeout => 20)->request(chat('m1'));
    ok(wait_for(sub { eval(join '+', split / /, in_flight()) == $n }, 10),
       'at a server: ' . in_flight());
}

my @n = split / /, in_flight();
cmp_ok($n[0], '>=', 2, 'more than one where it is loaded');
cmp_ok($n[1], '>=', 2, 'then where it must be loaded');
is($n[2], 0, 'never at one without it');

$_->close for @held;



=== a burst for a model that is not loaded loads it once a server
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"model":"m2","load_ms":700}
--- fake2
{"model":"m2","load_ms":700}
--- test
wait_status(up => 1, 2);

my @replies = at_once(8, chat('m2'));

are_good('the burst', @replies);

# it may pay to load it twice, but not twice at one server
my @loads = map { fake_requests(fake => $_)->{loads} } 1, 2;
like("@loads", qr/\A(?:1 1|1 0|0 1)\z/, 'once a server');

are_good('those after it', map { http(chat('m2')) } 1 .. 6);
is(join(' ', map { fake_requests(fake => $_)->{loads} } 1, 2), "@loads",
   'no load for those after it');



=== a model that is loading keeps its server though probes don't show it
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"models":[{"name":"m2"}]}}
{"model":"m2","load_ms":2000}
--- fake2
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m2"}]}}
--- test
wait_status(up => 1, 2);

# a model that is in use is not unloaded for another
my @held = hold(1, 'm1');

my $c = client(timeout => 30)->request(chat('m2'));

# looks at both that began after the load has
wait_for(sub { fake_requests(fake => 1)->{loads} }, 10);

for my $n (1, 2) {
    my $looks = fake_requests(fake => $n, polls => 1, path => '/api/ps')
                ->{count};
    fake_requests(fake => $n, polls => 1, path => '/api/ps',
                  wait_ended => $looks + 2, timeout_ms => 10_000);
}

my @replies = (at_once(7, chat('m2')), $c->reply);

are_good('all', @replies);
is(servers_of(@replies), join(' ', (1) x 8), 'all where it is loaded');
is(fake_requests(fake => 1)->{loads}, 1, 'one load');
$_->close for @held;



=== a model counts as loaded when a probe finds it, until one doesn't
--- upstream eval: main::servers_with($::often, '', '')
--- test
set_models(1, m1 => 0);
set_models(2, m1 => 0);
wait_models($_, 'm1') for 1, 2;

set_models(2, m1 => 1);
wait_models(2, 'm1+');
my @replies = map { http(chat('m1')) } 1 .. 6;
is(servers_of(@replies), '2 2 2 2 2 2', 'loaded there');

set_models(2, m1 => 0);
set_models(1, m1 => 1);
wait_models(2, 'm1');
wait_models(1, 'm1+');
@replies = map { http(chat('m1')) } 1 .. 6;
is(servers_of(@replies), '1 1 1 1 1 1', 'loaded here');



=== of servers that have the model loaded, the one with fewest requests
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake3
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2, 3);

my @held = hold(6, 'm1');

is(held_by(@held) =~ tr/1//, 3, 'half of them');
is(held_by(@held) =~ tr/2//, 3, 'and half');
is(in_flight(), '3 3 0', 'as it counts');

# two leave one server: the next ones go there
my ($first, $second) = grep { servers_of($_->parsed) eq 2 } @held;
$_->close for $first, $second;
ok(wait_for(sub { in_flight() eq '3 1 0' }, 10), 'clients leave');

my @more = hold(2, 'm1');
is(held_by(@more), '2 2', 'the least busy one');

$_->close for @held, @more;
ok(wait_for(sub { in_flight() eq '0 0 0' }, 10), 'all have left');



=== equal servers take turns
--- upstream eval: main::servers_with($::once, '', '', '')
--- test
wait_status(up => 1, 2, 3);

my $who = servers_of(map { http(chat('m1')) } 1 .. 9);
like($who, qr/\A(\d) (\d) (\d) \1 \2 \3 \1 \2 \3\z/, 'the same turn');
is(join(' ', sort split / /, $who), '1 1 1 2 2 2 3 3 3');



=== weight counts among idle and among busy servers
--- upstream eval: main::servers_with($::once, 'weight=3', '')
--- test
wait_status(up => 1, 2);

my @replies = map { http(chat('m1')) } 1 .. 16;
is(count_of(1, @replies), 12);
is(count_of(2, @replies), 4);

my @held = hold(8, 'm1');
cmp_ok(held_by(@held) =~ tr/1//, '>=', 5, 'more there');
$_->close for @held;



=== max_conns limits a server; when all are full and none waits it is 503
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::once, 'max_conns=1', 'max_conns=2'))
--- test
wait_status(up => 1, 2);

my @held = hold(3, 'm1');
is(held_by(@held) =~ tr/1//, 1);
is(held_by(@held) =~ tr/2//, 2);
is(in_flight(), '1 2');
is(join(' ', map { $_->{max_conns} } servers()), '1 2');

my $r = http(chat('m1'));
is($r->status, 503, 'the fourth');
like($r->header('Retry-After'), qr/\A\d+\z/);
like($r->body, qr/\A\{"error":"server busy[^"]*"\}\z/);

$r = http('POST /v1/chat/completions', { model => 'm1', @say });
is($r->status, 503);
like($r->header('Retry-After'), qr/\A\d+\z/);
like($r->json->{error}{message}, qr/^server busy/);

is(fake_requests(fake => 1)->{count} + fake_requests(fake => 2)->{count}, 3,
   'no server was asked more');
ok(access_log(qr/ 503 .* outcome=rejected /));

# a place that is free is used again
my ($one) = grep { servers_of($_->parsed) eq 1 } @held;
$one->close;
ok(wait_for(sub { in_flight() eq '0 2' }, 10));
is(servers_of(http(chat('m1'))), 1);

$_->close for @held;



=== a full server with the model loaded yields to one that must load it
--- upstream eval
main::queue_of('queue=0', main::servers_with($::once, 'max_conns=1', '', ''))
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- fake3
{"server":{"models":[{"name":"m3"}]}}
--- test
wait_status(up => 1, 2, 3);

# warm in the first, and it is full: rather a load than no answer
my @held = hold(2, 'm1');
is(held_by(@held), '1 2');
is(fake_requests(fake => 3)->{count}, 0);
$_->close for @held;



=== a backup server gets what no other server can take
--- upstream eval
main::queue_of('queue=0', main::servers_with($::once, 'max_conns=2', 'backup'))
--- fake
{"server":{"models":[{"name":"m1"}]}}
--- fake2
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m3"}]}}
--- test
wait_status(up => 1, 2);

my @replies = map { http(chat('m1')) } 1 .. 4;
is(servers_of(@replies), '1 1 1 1', 'not asked while another can');

@replies = map { http(chat('m3')) } 1 .. 2;
is(servers_of(@replies), '2 2', 'asked for what only it has');

my @held = hold(3, 'm1');
is(held_by(@held), '1 1 2', 'asked when the others are full');
$_->close for @held;

fake_set(fake => 1, server => { listen => JSON::PP::false });
@replies = map { http(chat('m1')) } 1 .. 3;
are_good('with the first gone', @replies);
like(servers_of(@replies), qr/2 2\z/, 'asked when the others are down');
--- error_log
Connection refused



=== a server marked "down" gets nothing
--- upstream eval: main::servers_with($::often, 'down', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m3"}]}}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 2);

my @replies = map { http(chat('m1')) } 1 .. 6;
is(servers_of(@replies), '2 2 2 2 2 2');

my $r = http(chat('m3'));
like($r->status, qr/\A(?:404|503)\z/, 'not asked for what only it has');
is(fake_requests(fake => 1)->{count}, 0);



=== a server marked "drain" gets nothing, and is shown so
--- skip_nginx: 5: < 1.29.6
--- upstream eval: main::servers_with($::often, 'drain', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m3"}]}}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- asked
nothing
--- test
wait_status(up => 2);
is(server(1)->{status}, 'down');

is(servers_of(map { http(chat('m1')) } 1 .. 4), '2 2 2 2');
like(http(chat('m3'))->status, qr/\A(?:404|503)\z/);



=== a model that no server has is answered 404
--- upstream eval: main::servers_with($::often, '', '')
--- asked
nothing
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my $r = http(chat('zz'));
is($r->status, 404);
is($r->body, '{"error":"model \'zz\' not found"}');

$r = http('POST /v1/chat/completions', { model => "zz\"\\\x{e9}", @say });
is($r->status, 404);
is($r->json->{error}{message}, "model 'zz\"\\\x{e9}' not found");

for my $model ('m1:7b', 'm', 'm11', 'm1:latest2', 'x/m1', 'other.host/x/m1') {
    is(http(chat($model))->status, 404, $model);
}

ok(access_log(qr/ 404 .* outcome=rejected /));



=== a model that appears is routed, one that disappears is answered 404
--- upstream eval: main::servers_with($::often, '', '')
--- test
wait_status(up => 1, 2);
is(http(chat('new'))->status, 404);

set_models(2, m1 => 1, new => 0);
ok(wait_for(sub { http(chat('new'))->status == 200 }, 20), 'it came');
is(servers_of(http(chat('new'))), 2);

set_models(2, m1 => 1);
ok(wait_for(sub { http(chat('new'))->status == 404 }, 20), 'it went');
is(fake_requests(fake => 1)->{count}, 0);



=== a model removed since the last probe is found on another server
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1","loaded":true},{"name":"m3"}]}}
--- fake2
{"server":{"models":[{"name":"m1"},{"name":"m3"}]}}
--- test
wait_status(up => 1, 2);

# it was there when the server was looked at
set_models(1, m3 => 0);

my @replies = map { http(chat('m1')) } 1 .. 5;
are_good('asked elsewhere', @replies);
is(servers_of(@replies), '2 2 2 2 2');

is(fake_requests(fake => 1)->{count}, 1, 'and here only once');
wait_models(1, 'm3');

# and on nobody: then it is the truth
set_models(2, m3 => 0);
is(http(chat('m1'))->status, 404);
is(http(chat('m1'))->body, '{"error":"model \'m1\' not found"}');
is(fake_requests(fake => 2)->{count}, 6, 'nobody is asked twice');



=== a 404 of a path of ollama_pass does not take the model away
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location / {
            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE_PORT;
            proxy_set_header Host localhost;
            proxy_set_header User-Agent $http_user_agent;
        }

        location = /api/new {
            default_type application/json;
            return 404 '{"error":"not found"}';
        }
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=1h timeout=10s;
--- ollama
        ollama_pass /api/new;
--- test
ok(wait_for(sub { (servers())[0]{status} eq 'up' }), 'up');

my $n = fake_requests(polls => 1)->{count};

is(http('POST /api/new', '{"model":"m1"}')->body, '{"error":"not found"}');
is(http(chat('m1'))->status, 200, 'it is there');
is(fake_requests(polls => 1)->{count}, $n, 'and was not looked for');



=== model names that are equal to Ollama are equal to the balancer
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"M1","loaded":true},{"name":"hf.co/Some/One:Q4"}]}}
--- fake2
{"server":{"models":[{"name":"m1"},{"name":"x/Y"}]}}
--- test
wait_status(up => 1, 2);

for my $name ('m1', 'M1', 'm1:latest', 'M1:LATEST', 'library/m1',
              'registry.ollama.ai/library/m1',
              'Registry.Ollama.AI/Library/M1:Latest',
              'https://registry.ollama.ai/library/m1')
{
    my $r = http(chat($name));
    is($r->status, 200, $name);
    is(servers_of($r), 1, 'where it is loaded');
}

for my $name ('hf.co/Some/One:Q4', 'HF.co/some/one:q4') {
    is(servers_of(http(chat($name))), 1, $name);
}

for my $name ('x/y', 'X/Y:latest', 'registry.ollama.ai/x/y') {
    is(servers_of(http(chat($name))), 2, $name);
}

is(http(chat($_))->status, 404, $_) for 'hf.co/Some/One', 'y';



=== a server that was not probed yet may have every model
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m3"}],"lists_hang":true}}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 2);
is(server(1)->{status}, 'checking');

is(servers_of(http(chat('m3'))), 1, 'it is tried');
is(http(chat('m3'))->status, 200);

# not before those that surely have it
is(servers_of(map { http(chat('m1')) } 1 .. 4), '2 2 2 2');

# and what it answers holds
my $r = http(chat('zz'));
is($r->status, 404);
like($r->body, qr/model 'zz' not found/);



=== a server that answers 503 at once does not attract requests
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"model":"m1","status":503}
--- fake2
{"model":"m1","ttft_ms":20}
--- test
wait_status(up => 1, 2);

my @replies = map { at_once(4, chat('m1')) } 1 .. 10;

are_good('40', @replies);
is(count_of(2, @replies), 40);

my $tries = fake_requests(fake => 1)->{count};
cmp_ok($tries, '<', 12, "$tries tries of 40 at the one that refuses");
is(server(1)->{status}, 'up', 'it is busy, not down');

# it is used again when it answers
fake_set(fake => 1, model => 'm1', status => undef);
ok(wait_for(sub { servers_of(http(chat('m1'))) eq 1 }, 30), 'used again');
ok(wait_for(sub { servers_of(map { http(chat('m1')) } 1 .. 4)
                  =~ /1 2 1 2|2 1 2 1/ }, 5), 'as before');



=== a server that answers 500 at once does not attract requests
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"model":"m1","status":500}
--- fake2
{"model":"m1","ttft_ms":20}
--- test
wait_status(up => 1, 2);

my @replies = map { at_once(4, chat('m1')) } 1 .. 10;

my @failed = grep { $_->status != 200 } @replies;
cmp_ok(scalar @failed, '<', 12, @failed . ' of 40 at the one that fails');
is(join('', grep { $_->status != 500 } @failed), '', 'a 500 is an answer');



=== a server that refuses is asked if no other is left
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"model":"m1","status":503}
--- fake2
{"server":{"models":[{"name":"m2"}]}}
--- test
wait_status(up => 1, 2);

for (1 .. 4) {
    my $r = http(chat('m1'));
    is($r->status, 503);
    like($r->body, qr/maximum pending requests exceeded/, 'its own words');
}

fake_set(fake => 1, model => 'm1', status => undef);
is(http(chat('m1'))->status, 200, 'at once when it answers');
is(fake_requests(fake => 2)->{count}, 0, 'never one without the model');



=== a slow server gets fewer requests
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"model":"m1","ttft_ms":600}
--- test
wait_status(up => 1, 2);

# a chat goes out when one has ended
my (@replies, @open);

for (1 .. 40) {
    push @open, client(timeout => 20)->request(chat('m1'));
    next if @open < 3;

    my $i;

    while (!defined $i) {
        ($i) = grep { $open[$_]->read_until(qr/"done":true/, 0.01) }
                    0 .. $#open;
    }

    my ($done) = splice @open, $i, 1;
    push @replies, $done->reply;
    $done->close;
}

push @replies, map { $_->reply } @open;
are_good('all', @replies);
cmp_ok(count_of(1, @replies), '<', count_of(2, @replies),
       'the fast one had more: ' . servers_of(@replies));



=== 502, 503, 504, no first byte: another server with the model gets it
--- upstream eval: main::servers_with($::once, ('max_fails=0') x 3)
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- fake3
{"server":{"models":[{"name":"m3","loaded":true}]}}
--- test
wait_status(up => 1, 2, 3);

for my $set ({ status => 502 }, { status => 503 }, { status => 504 },
             { status => undef, fault => 'die_before_header' })
{
    fake_set(fake => 1, model => 'm1', %$set);

    for my $uri (qw(/api/chat /v1/chat/completions)) {
        my $r = http("POST $uri", { model => 'm1', @say });
        is($r->status, 200);
        is(servers_of($r), 2);
    }
}

is(fake_requests(fake => 3)->{count}, 0, 'never to one without');

# each refuses
fake_set(fake => 2, model => 'm1', fault => 'die_before_header');
my $r = http(chat('m1'));
is($r->status, 502);
like($r->body, qr/\A\{"error":"[^"]+"\}\z/);
is(fake_requests(fake => 3)->{count}, 0);
--- error_log
upstream prematurely closed connection



=== no other server is asked after the first byte
--- upstream eval: main::servers_with($::once, '', 'backup')
--- asked2
nothing
--- test
wait_status(up => 1, 2);

for my $fault (qw(die reset die_mid_frame garbage bad_chunk)) {
    fake_set(fake => 1, model => 'm1', fault => $fault, after => 1);

    my $r = http(chat('m1'));

    is($r->status, 200, $fault);
    ok(!$r->complete);
    like($r->body, qr/\{"error":"[^\n]*"\}\n\z/);
}
--- error_log
ollama server



=== a map sends each model to its own upstream
--- http_config
    map $ollama_model $pool {
        default      ollama;
        ~*^(m3|m4)   big;
    }

    upstream big {
        zone big 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE3_PORT;
        ollama_balance;
        ollama_poll interval=1h timeout=10s;
    }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }

    location /big/api/ {
        ollama_api big prefix=/big;
        proxy_pass http://big;
        include ollama_params;
    }
--- upstream eval: main::servers_with($::once, '')
--- fake2
{"server":{"models":[{"name":"m3"},{"name":"m4"},{"name":"m1","loaded":true}]}}
--- fake3
{"server":{"models":[{"name":"m4","loaded":true}]}}
--- test
ok(wait_for(sub {
    !grep { $_->{status} ne 'up' }
          servers(),
          @{ http('GET /big/api/models/servers')->json->{servers} }
}, 20));

is(servers_of(map { http(chat('m1')) } 1 .. 4), '1 1 1 1');
is(servers_of(map { http(chat('m3')) } 1 .. 4), '2 2 2 2');
is(servers_of(map { http(chat('M4')) } 1 .. 4), '3 3 3 3');
is(http(chat('zz'))->status, 404);
is(http(chat('m3:7b'))->status, 404);



=== connections to a server are used again by keepalive
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);
are_good('20', map { http(chat('m1')) } 1 .. 20);

for my $n (1, 2) {
    my $record = fake_requests(fake => $n);
    is($record->{count}, 10);
    is(scalar @{ $record->{connections} }, 1, "one connection to server $n");
}



=== a location without ollama_api uses any server that is up
--- upstream eval: main::servers_with($::often, '', '')
--- config eval
Test::Nginx::Ollama::location('/api/')
. '    location /plain/ {
           proxy_pass http://ollama/;
           proxy_http_version 1.1;
           proxy_set_header Connection "";
           proxy_set_header Host localhost;
       }'
--- test
wait_status(up => 1, 2);

my $counts = sub { join ' ', map { fake_requests(fake => $_)->{count} } 1, 2 };

is(http('GET /plain/api/tags')->status, 200) for 1 .. 6;
is($counts->(), '3 3', 'in turn');

fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);
is(http('GET /plain/api/tags')->status, 200) for 1 .. 4;
is($counts->(), '3 7');
--- no_error_log
[alert]



=== a management request goes to one server
--- upstream eval: main::servers_with($::often, '', '')
--- ollama
        ollama_management on;
--- test
wait_status(up => 1, 2);

is(http('POST /api/pull', { model => 'm9' })->status, 200);
ok(wait_for(sub { http(chat('m9'))->status == 200 }, 20),
   'what is pulled is found');



=== two requests on one HTTP/2 connection go to different servers
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"a"}]}}
--- fake2
{"server":{"models":[{"name":"b"}]}}
--- config eval
'$TEST_NGINX_H2_LISTEN ' . Test::Nginx::Ollama::location('/api/')
--- test
wait_status(up => 1, 2);

for my $model (qw(a b b a)) {
    my $r = http2(chat($model));
    is($r->status, 200);
    is(servers_of($r), $model eq 'a' ? 1 : 2, $model);
}



=== a server that answers 429 or breaks off does not attract requests
--- upstream eval: main::servers_with($::once, '', '')
--- fake2
{"model":"m1","ttft_ms":20}
--- test
for my $set ({ status => 429 }, { status => undef, fault => 'die', after => 0 },
             { fault => 'die_before_header' })
{
    fake_reset(fake => 1);
    wait_status(up => 1, 2);

    # a good answer, and all is forgotten
    is(http('POST /api/chat', '{"model":"m1","messages":[],"server_url":'
            . "\"http://127.0.0.1:$ENV{TEST_NGINX_FAKE_PORT}\"}")->status, 200);

    fake_set(fake => 1, model => 'm1', %$set);

    http(chat('m1')) for 1 .. 15;

    # it is found out, and tried again after a second, and two
    my $n = fake_requests(fake => 1)->{count} - 1;
    cmp_ok($n, '>=', 1);
    cmp_ok($n, '<=', 4);
}
--- error_log
upstream prematurely closed connection



=== a request that needs no loaded model does not count as loading it
--- upstream eval: main::servers_with($::once, '', '')
--- fake2
{"server":{"models":[{"name":"m1","loaded":false}]}}
--- test
wait_status(up => 1, 2);

is(http('POST /api/show', '{"model":"m1","server_url":"http://127.0.0.1:'
                          . $ENV{TEST_NGINX_FAKE2_PORT} . '"}')->status, 200)
    for 1 .. 3;

is(servers_of(map { http(chat('m1')) } 1 .. 6), '1 1 1 1 1 1');



=== a failed connect is not taken for the previous server's 404
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        server unix:$TEST_NGINX_CONF_DIR/nobody.sock backup;
        ollama_balance;
        ollama_poll interval=1h;
--- fake
{"model":"m1","status":404,"error":"model 'm1' not found"}
--- test
wait_status(up => 1);

# it may have any model, for all that is known
http(chat('m1')) for 1 .. 2;
is(http(chat('nope'))->status, 503);
is(http(chat('m1'))->status, 503);
--- no_error_log
[alert]
[crit]
