# Guards that what a request has changed at a server is known when it has ended,
# in every worker, and that a model which nobody is known to have is looked for.
# The interval of probes is an hour: nothing is known by chance.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(made stored);
use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::Fleet;
use Test::Nginx::Ollama::Server qw($server $steps);
use Test::Nginx::Ollama::Stop;

use JSON::PP ();
use Time::HiRes qw(sleep time);

workers(2);

our $http = "ollama_redis unix:\$TEST_NGINX_REDIS_PATH;";

our $managed = <<'END';
    ollama_management on;
END


# what /api/tags or /api/ps lists, each worker asked several times

sub listed {
    my ($path) = @_;
    my %lists;

    for (1 .. 8) {
        my $models = http("GET $path")->json->{models};
        $lists{join ' ', sort map { s/:latest\z//r }
                              map { $_->{name} } @$models} = 1;
    }

    return join ' | ', sort keys %lists;
}


# what chats with it are answered, each worker asked several times

sub answers {
    my ($model) = @_;
    my %statuses = map { http(chat($model))->status => 1 } 1 .. 8;

    return join ' ', sort keys %statuses;
}


sub url { return 'http://127.0.0.1:' . fake_port($_[0]) }

sub probes { return fake_requests(fake => $_[0], polls => 1, @_[1 .. $#_]) }


run_tests();

__DATA__

=== models are known in all workers when pull, create, copy, delete have ended
--- upstream eval: main::servers_with($::once, '')
--- ollama eval: $::managed
--- test
wait_status(up => 1);

for my $try (1 .. 3) {
    for my $stream (JSON::PP::true, JSON::PP::false) {

        my $name = "p$try" . ($stream ? 's' : '');

        my $r = http('POST /api/pull', { model => $name, stream => $stream });
        is($r->status, 200, "pull $name");
        ok($r->complete);
        like($r->body, qr/"status":"success"\}\n?\z/);
        is(http(chat($name))->status, 200, 'is used at once');
        is(main::answers($name), '200');
        like(main::listed('/api/tags'), qr/\A[^|]*\b$name\b[^|]*\z/);

        $r = http('POST /api/copy', { source => $name,
                                      destination => "c$name" });
        is($r->status, 200, 'copy');
        ok($r->complete);
        is($r->body, '');
        is(http(chat("c$name"))->status, 200);

        $r = http('POST /api/create', { model => "n$name", from => $name,
                                        stream => $stream });
        is($r->status, 200, 'create');
        is(main::answers("n$name"), '200');

        for my $gone ($name, "c$name", "n$name") {
            is(http('DELETE /api/delete', { model => $gone })->status, 200,
               "delete $gone");
            is(http(chat($gone))->status, 404);
        }

        is(main::listed('/api/tags'), 'm1 m2');
    }
}

# what fails passes as it is
my $r = http('DELETE /api/delete', { model => 'zz' });
is($r->status, 404);
ok($r->complete);
like($r->body, qr/not found/);
is(http('POST /api/pull', '{')->status, 400);
--- no_error_log
[alert]
[crit]



=== the line of success is held until the server was probed, others are not
--- upstream eval: main::servers_with($::once, '')
--- ollama eval: $::managed
--- test
wait_status(up => 1);

my $before = main::probes(1)->{count};
my $c = client(timeout => 20)->request('POST /api/pull', { model => 'p' });
$c->read_until(qr/success/) or die "nothing came: $c->{raw}\n";
cmp_ok(main::probes(1)->{ended}, '>=', $before + 3, 'it was probed before');
ok($c->reply->complete);

# and on a kept connection, and by HTTP/1.0
my $kept = client();
for my $name ('q', 'r') {
    my $r = $kept->request('POST /api/copy', { source => 'm1',
                                               destination => $name })->reply;
    is($r->status, 200);
    is(main::answers($name), '200', $name);
}

$kept->close;

my $body = '{"source":"m1","destination":"s"}';
my $raw = raw("POST /api/copy HTTP/1.0\r\nHost: localhost\r\n"
              . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
is($raw->status, 200, 'HTTP/1.0');
is(main::answers('s'), '200');
--- no_error_log
[alert]
[crit]



=== a reply with very many lines takes no memory
--- upstream eval: "$::steps zone u 256k; $::once"
--- ollama eval: $::managed
--- test
my $rss = sub {
    my $kb = 0;

    for my $worker (worker_pids()) {
        Test::Nginx::Ollama::read_file("/proc/$worker/status")
            =~ /^RssAnon:\s+(\d+)/m and $kb += $1;
    }

    return $kb;
};

my $c = client(timeout => 20)->request('POST /api/pull', { model => 'p' });
my ($s, $before, $end);

# probes come, too
do { $s = $server->accept } until $s->{line} =~ /pull/;
$s->header('application/x-ndjson');

my $lines = "f\r\n{\"status\":\"x\"}\n\r\n" x 4_000;

for my $n (1 .. 100) {
    $s->send($lines)->chunk("{\"status\":\"$n\"}\n");
    $c->{raw} = '';
    $c->read_until(qr/"$n"/);
    $before = $rss->() if $n == 5;
}

cmp_ok($rss->() - $before, '<', 2048, 'KB');

$s->chunk("{\"status\":\"success\"}\n")->last;
$c->read_until(qr/"success"\}\n\r\n0\r\n\r\n\z/);
pass('its end');
--- no_error_log
[alert]
[crit]



=== a server that is slow to list its models holds a reply for a second at most
--- upstream eval: main::servers_with($::once, '')
--- ollama eval: $::managed
--- test
wait_status(up => 1);

# with one list late, the other one is had
fake_set(fake => 1, server => { ps_delay_ms => 5000 });
my $r = http('POST /api/pull', { model => 'p' });
is($r->status, 200);
is(main::answers('p'), '200');

fake_set(fake => 1, server => { version_delay_ms => 8000 });
my $start = time;
$r = http('POST /api/pull', { model => 'q' });
is($r->status, 200);
ok($r->complete);
cmp_ok(time - $start, '<', 4, 'not longer');
cmp_ok(time - $start, '>', 0.9);

$start = time;
$r = http('POST /api/generate', { model => 'm2' });
is($r->status, 200);
ok($r->complete);
like($r->body, qr/"done_reason":"load"/);
cmp_ok(time - $start, '<', 4);
--- no_error_log
[alert]
[crit]



=== /api/ps is current when a load or an unload has ended
--- upstream eval: main::servers_with($::once, '')
--- fake
{"model":"m2","load_ms":50}
--- test
wait_status(up => 1);
is(main::listed('/api/ps'), 'm1');

for my $try (1 .. 2) {
    for my $request ([ '/api/generate' ], [ '/api/generate', prompt => '' ],
                     [ '/api/chat' ], [ '/api/chat', messages => [] ],
                     [ '/api/generate', stream => JSON::PP::false ])
    {
        my ($path, @more) = @$request;

        my $r = http("POST $path", { model => 'm2', @more });
        is($r->status, 200, join ' ', 'load', map { ref $_ ? '' : $_ }
                                              @$request);
        like($r->body, qr/"done_reason":"load"/);
        is(main::listed('/api/ps'), 'm1 m2');

        $r = http("POST $path", { model => 'm2', @more, keep_alive => 0 });
        is($r->status, 200, 'unload');
        like($r->body, qr/"done_reason":"unload"/);
        is(main::listed('/api/ps'), 'm1');
    }
}
--- no_error_log
[alert]
[crit]



=== /api/ps is current when an unload of several servers has ended
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

my $load = sub {
    for my $n (1, 2) {
        is(http('POST /api/generate',
                { model => 'm1', server_url => main::url($n) })->status, 200);
    }

    is(main::listed('/api/ps'), 'm1');
};

for my $path ('/api/generate', '/api/chat') {
    $load->();

    my $r = http("POST $path", { model => 'm1', keep_alive => 0 });
    is($r->status, 200, $path);
    is(main::listed('/api/ps'), '', 'is loaded nowhere');
}

# servers that are slow to tell hold the reply for a second at most
$load->();
fake_set(fake => $_, server => { version_delay_ms => 8000 }) for 1, 2;

my $start = time;
is(http('POST /api/chat', { model => 'm1', keep_alive => 0 })->status, 200);
cmp_ok(time - $start, '<', 4);
cmp_ok(time - $start, '>', 0.9);
--- no_error_log
[alert]
[crit]



=== /api/ps shows soon what an ordinary request has loaded
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);
is(main::listed('/api/ps'), 'm1');

my $n = main::probes(1)->{count};
is(http(chat('m1'))->status, 200);
is(http(chat('m2'))->status, 200);
ok(wait_for(sub { main::listed('/api/ps') eq 'm1 m2' }, 5));
is(http(chat('m2'))->status, 200) for 1 .. 5;

# one that is loaded has no server probed
fake_requests(fake => 1, polls => 1, wait_count => $n + 7, timeout_ms => 2500,
              soft => 1);
cmp_ok(main::probes(1)->{count}, '<=', $n + 6);
--- no_error_log
[alert]
[crit]



=== a model that no server is known to have is looked for before the 404
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

set_models(2, m1 => 0, new => 0);

my $r = http(chat('new'));
is($r->status, 200, 'found');
is(servers_of($r), 2);
is(main::answers('new'), '200');
is(http('POST /api/show', { model => 'new' })->status, 200);

# once a second at most, however many ask
my $start = time;
my $n = main::probes(1)->{count};
my @replies;
push @replies, at_once(10, chat('zz')) while time - $start < 2.5;
is(scalar(grep { $_->status != 404 } @replies), 0, 'and else 404');
like($replies[0]->body, qr/model 'zz' not found/);

my $seconds = time - $start;
cmp_ok(main::probes(1)->{count} - $n, '<=', 3 * (2 + $seconds), 'probes');
cmp_ok(main::probes(1)->{count} - $n, '>=', 1);

# a model that a server has is not looked for
$n = main::probes(1)->{count};
are_good('m1', at_once(4, chat('m1')));
is(main::probes(1)->{count}, $n);
--- no_error_log
[alert]
[crit]



=== a search ends after a second, and with the client
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);
fake_set(fake => 1, server => { hang => JSON::PP::true });

my $start = time;
my @c = map { client(timeout => 10)->request(chat('zz')) } 1 .. 6;
$_->close for splice @c, 0, 3;

is(join(' ', map { $_->reply->status } @c), '404 404 404');
cmp_ok(time - $start, '<', 4);
cmp_ok(time - $start, '>', 0.9);
--- no_error_log
[alert]
[crit]



=== what waits for a search can be stopped
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);
fake_set(fake => 1, server => { version_delay_ms => 8000 });

my %last = ('/api/chat' => qr/"done":true,"done_reason":"cancelled"/,
            '/api/generate' => qr/"done":true,"done_reason":"cancelled"/,
            '/v1/chat/completions' => qr/data: \[DONE\]\n\n\z/,
            '/api/chat/multi-model' => qr/"done_reason":"cancelled"/);

for my $path (sort keys %last) {
    my %body = $path =~ /multi/
               ? (models => [ 'm1', 'zz' ], initial_message => 'hi')
               : (model => 'zz', prompt => 'hi', stream => JSON::PP::true,
                  messages => [ { role => 'user', content => 'hi' } ]);

    my $c = client(timeout => 10)->request("POST $path", \%body,
                                           'X-Ollama-Task-Id' => 'one');

    my ($r, $start) = (undef, time);
    wait_for(sub { $r = main::cancel('one'); $r->status == 200 }, 0.9);
    main::is_cancelled($r, $path, 'one');

    $r = $c->reply;
    is($r->status, 200, 'it ends properly');
    ok($r->complete);
    like($r->body, $last{$path});
    cmp_ok(time - $start, '<', 0.95, 'at once');
    main::is_unknown(main::cancel('one'), $path, 'one');
    sleep 1.1;
}

# the id of one that waits is taken
my $c = client(timeout => 10)->request(chat('zz'),
                                       'X-Ollama-Task-Id' => 'two');
my $r;
ok(wait_for(sub { $r = http(chat('m1'), 'X-Ollama-Task-Id' => 'two');
                  $r->status == 409 }, 0.9));
is($c->reply->status, 404);
is(http(chat('m1'), 'X-Ollama-Task-Id' => 'two')->status, 200);
--- no_error_log
[alert]
[crit]



=== the models of an alias are looked for
--- upstream eval: main::servers_with($::once, '', '')
--- ollama
        ollama_alias mine none new;
--- test
wait_status(up => 1, 2);
is(http(chat('mine'))->json->{error},
   "model 'mine' not found: it is an alias of 'none', 'new'");
sleep 1.1;
set_models(2, m1 => 0, new => 0);

my $r = http(chat('Mine'));
is($r->status, 200, 'found');
is($r->header('X-Ollama-Model'), 'new');
is(servers_of($r), 2);
is(fake_requests(fake => 2, last => 1)->{requests}[0]{model}, 'new');
--- no_error_log
[alert]
[crit]



=== the model of a session is looked for
--- upstream eval: main::servers_with($::once, '')
--- http_config eval: $::http
--- ollama
        ollama_alias mine none new2;
--- test
wait_status(up => 1);

for (['new', 'new'], ['mine', 'new2']) {
    my ($name, $model) = @$_;
    my $id = main::made({ model => $name, system => 'You' });

    my $r = http('POST /api/chat', { session_id => $id, @say });
    is($r->status, 404, 'nowhere');
    like($r->json->{error}, qr/\Amodel '$name' not found/);
    is(main::stored($id), '', 'nothing is stored');
    sleep 1.1;

    set_models(1, m1 => 0, map { $_ => 0 } $model);
    $r = http('POST /api/chat', { session_id => $id, @say });
    is($r->status, 200, 'found') or diag($r->raw);
    my $asked = fake_requests(wait_ended => 1, last => 1)->{requests}[0];
    is($asked->{model}, $model);
    like($asked->{body}, qr/"role":"system","content":"You"/);
    like(main::stored($id), qr/\Auser:hi:complete\|assistant:.*:complete\z/s);
}
--- no_error_log
[alert]
[crit]



=== one model that is asked for is looked for
--- upstream eval: main::servers_with($::once, '')
--- ollama
        ollama_alias mine none new2;
--- test
wait_status(up => 1);
is(http('GET /v1/models/new')->json->{error}{message},
   "model 'new' not found");
sleep 1.1;
set_models(1, m1 => 0, new => 0);

my $kept = client();
my $r = $kept->request('GET /v1/models/new')->reply;
is($r->status, 200, 'found');
is($r->json->{id}, 'new');
is($kept->request('GET /v1/models/m1')->reply->status, 200, 'kept');

sleep 1.1;
set_models(1, m1 => 0, new2 => 0);
is(http('GET /v1/models/mine')->status, 200, 'an alias');

# a client that leaves, a server that is silent
sleep 1.1;
fake_set(fake => 1, server => { hang => JSON::PP::true });
client()->request('GET /v1/models/zz')->close;
my $start = time;
is(http('GET /v1/models/zz')->status, 404);
cmp_ok(time - $start, '<', 4);
--- no_error_log
[alert]
[crit]



=== models of a conversation are looked for
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);
set_models(1, m1 => 0, new => 0);

my $r = http('POST /api/chat/multi-model',
             { models => [ 'm1', 'new' ], initial_message => 'hi',
               max_turns => 2 });
is($r->status, 200);
like($r->body, qr/"done_reason":"max_turns"/);

$r = http('POST /api/chat/multi-model',
          { models => [ 'm1', 'zz' ], initial_message => 'hi' });
is($r->status, 404);
like($r->body, qr/zz/);
--- no_error_log
[alert]
[crit]



=== a conversation has no server probed for an alias
--- upstream eval: main::servers_with($::once, '')
--- ollama
        ollama_alias mine none m1;
--- test
wait_status(up => 1);

my $n = main::probes(1)->{count};

for (1 .. 3) {
    my $r = http('POST /api/chat/multi-model',
                 { models => [ 'mine', { model => ' m1 ', name => 'b' } ],
                   initial_message => 'hi', max_turns => 2 });
    like($r->body, qr/"done_reason":"max_turns"/);
}

is(main::probes(1)->{count}, $n);

# but for one whose models are nowhere
set_models(1, none => 0);
my $r = http('POST /api/chat/multi-model',
             { models => [ 'mine', 'none' ], initial_message => 'hi',
               max_turns => 2 });
is($r->status, 200);



=== a model is found after a moment where a map chooses the upstream
--- http_config
    map $ollama_model $pool { default ollama; }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }
--- upstream eval: main::servers_with($::once, '')
--- test
wait_status(up => 1);
set_models(1, m1 => 0, new => 0);

my $r = http(chat('new'));
like($r->status, qr/\A(?:200|404)\z/);
ok(wait_for(sub { http(chat('new'))->status == 200 }, 5));
--- no_error_log
[alert]
[crit]
