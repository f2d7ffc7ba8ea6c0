# Guards the promise that a request which unloads a model reaches every server
# that has it loaded, and is answered once, as by one of them.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;

use JSON::PP ();

our $m1 = '{"server":{"models":[{"name":"m1","loaded":true},{"name":"m2"}]}}';

sub url { return 'http://127.0.0.1:' . fake_port($_[0]) }

sub counts {
    return join ' ', map { fake_requests(fake => $_)->{count} } 1 .. 3;
}

sub unload {
    my ($uri, @more) = @_;
    return http("POST $uri", { model => 'm1', keep_alive => 0, @more });
}

# loads it at these servers, so that nginx knows of it

sub load {
    for my $n (@_) {
        my $r = http('POST /api/generate',
                     { model => 'm1', server_url => url($n) });
        $r->status == 200 or die 'not loaded: ' . $r->body . "\n";
    }
}

run_tests();

__DATA__

=== an unload reaches each server that has the model loaded
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2, 3);

for my $uri ('/api/generate', '/api/chat') {
    main::load(1, 2);

    my $r = main::unload($uri);

    is($r->status, 200, $uri);
    like($r->header('Content-Type'), qr{^application/json});
    is(scalar $r->lines, 1, 'one reply');
    is($r->json->{done_reason}, 'unload');
    is($r->json->{model}, 'm1');
    like(servers_of($r), qr/\A[12]\z/);
    ok(access_log(qr{POST $uri 200 model=m1 .*outcome=ok}));
}

is(main::counts(), '4 4 0', 'and no other');

for my $n (1, 2) {
    is($_->{body} =~ s/\s//gr, '{"keep_alive":0,"model":"m1"}')
        for @{ fake_requests(fake => $n)->{requests} }[1, 3];
}



=== what is an unload, and what isn't
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3 eval: $::m1
--- test
wait_status(up => 1, 2, 3);

my $before;

sub count {
    my $count = 0;
    $count += fake_requests(fake => $_)->{count} for 1 .. 3;
    return $count;
}

sub all_loaded {
    main::load(1, 2, 3);
    $before = count();
}

sub sent { return count() - $before }

for my $more ('"keep_alive":0', '"keep_alive":"0"', '"keep_alive":"0s"',
              '"keep_alive":0.0', '"keep_alive":"0h0m"', '"Keep_Alive":0',
              '"keep_alive":5,"keep_alive":0', '"keep_alive":0,"prompt":""',
              '"prompt":"x","prompt":"","keep_alive":0',
              '"prompt":null,"keep_alive":0', '"keep_alive":0,"stream":false',
              '"keep_alive":0,"options":{"keep_alive":5},"messages":[1]',
              '"keep_alive":0,"task_id":"t"')
{
    all_loaded();
    my $r = http('POST /api/generate', "{\"model\":\"m1\",$more}");
    is($r->status, 200, $more);
    is(sent(), 3, 'all three');
}

for my $more ('"messages":[],"keep_alive":0', '"keep_alive":0',
              '"keep_alive":0,"prompt":"x"', '"messages":null,"keep_alive":0')
{
    all_loaded();
    is(http('POST /api/chat', "{\"model\":\"m1\",$more}")->status, 200, $more);
    is(sent(), 3, 'all three');
}

for my $more ('"keep_alive":1', '"keep_alive":"5m"', '"keep_alive":-1',
              '"keep_alive":0,"prompt":"x"', '"keep_alive":0,"keep_alive":5',
              '"keep_alive":0,"keep_alive":null', '"x":0',
              '"options":{"keep_alive":0}', '"keep_alive":"0.5s"')
{
    all_loaded();
    my $r = http('POST /api/generate', "{\"model\":\"m1\",$more}");
    is($r->status, 200, $more);
    is(sent(), 1, 'one');
}

all_loaded();
is(http('POST /api/chat', { model => 'm1', keep_alive => 0, @say })->status,
   200);
is(sent(), 1, 'one');

all_loaded();
is(http('POST /v1/completions', '{"model":"m1","keep_alive":0,"prompt":""}')
   ->status, 200);
is(sent(), 1, 'one');



=== where a map chooses the upstream
--- http_config eval
"map \$ollama_model \$pool { default ollama; }
upstream single { server 127.0.0.1:\$TEST_NGINX_FAKE3_PORT max_fails=0; }
map \$ollama_model \$other { default single; }"
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }

    location /other/ {
        ollama_api ollama prefix=/other;
        proxy_pass http://$other;
        include ollama_params;
    }
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2, 3);

my $r = main::unload('/api/generate');
is($r->status, 200);
is($r->json->{done_reason}, 'unload');
like(servers_of($r), qr/\A[12]\z/);
is(main::counts(), '1 1 0', 'each server that has it loaded');
is_deeply(http('GET /api/ps')->json->{models}, [], 'and was probed');

$r = http('POST /api/generate', { model => 'm9', keep_alive => 0 });
is($r->status, 404, 'as any request');
like($r->json->{error}, qr/'m9' not found/);
is(main::counts(), '1 1 0');

$r = main::unload('/other/api/generate');
is($r->status, 200, 'an upstream without ollama_balance');
is($r->json->{done_reason}, 'unload');
is(main::counts(), '1 1 1');

fake_set(fake => 3, model => '*', status => 503, error => 'busy');
$r = main::unload('/other/api/generate');
is($r->status, 503, 'its error');
is($r->json->{error}, 'busy');



=== a named server alone
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- test
wait_status(up => 1, 2, 3);
is(servers_of(main::unload('/api/generate', server_url => main::url(2))), 2);
is(main::counts(), '0 1 0');



=== loaded on one server, on none
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m2"}]}}
--- fake2 eval: $::m1
--- fake3
{"server":{"models":[{"name":"m1"},{"name":"m2"}]}}
--- test
wait_status(up => 1, 2, 3);

# however many requests it has
my @held = map {
    fake_set(fake => 2, model => 'm1', fault => 'stall', after => 1);
    my $c = client(timeout => 20);
    $c->request('POST /api/chat', { model => 'm1', @say,
                                    server_url => main::url(2) });
    $c->read_until(qr/"w0 "/);
    $c
} 1 .. 10;
fake_set(fake => 2, model => 'm1', fault => undef);

is(servers_of(main::unload('/api/generate')), 2, 'where it is loaded');
$_->close for @held;

my $r = http('POST /api/generate', { model => 'm2', keep_alive => 0 });
is($r->status, 200, 'nowhere');
is($r->json->{done_reason}, 'unload');

is(http('POST /api/generate', { model => 'm9', keep_alive => 0 })->status, 404);



=== a full server is told, too
--- upstream eval: main::servers_with($::once, 'max_conns=1', 'max_conns=1', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3
{"server":{"models":[]}}
--- test
wait_status(up => 1, 2, 3);
my @held = hold(2, 'm1');
is(main::unload('/api/generate')->status, 200);
is(main::counts(), '2 2 0');
is(in_flight(), '1 1 0');
$_->close for @held;



=== a server that fails does not matter for the others
--- upstream eval: main::servers_with($::often, '', '', '')
--- test
sub loaded {
    set_models($_, m1 => 1) for 1 .. 3;
    wait_models($_, 'm1+') for 1 .. 3;
}

my @faults = ({ status => 500 }, { status => 503 }, { fault => 'die' },
              { fault => 'die_before_header' }, { fault => 'bad_header' },
              { fault => 'hang' });

for my $fault (@faults) {
    loaded();
    fake_set(fake => $_, model => '*', %$fault) for 1, 2;

    my $what = JSON::PP->new->encode($fault);
    my $c = client(timeout => 30);
    $c->request('POST /api/chat', { model => 'm1', keep_alive => 0 });
    my $r = $c->reply;

    is($r->status, 200, $what);
    is($r->json->{done_reason}, 'unload');
    is(servers_of($r), 3);

    is($c->request('GET /api/version')->reply->status, 200,
       'the connection can be used again');
    fake_requests(fake => $_, wait_active => 0) for 1, 2;

    fake_set(fake => $_, model => '*', map { $_ => undef } keys %$fault)
        for 1, 2;
}

loaded();
fake_set(fake => $_, model => '*', status => 503) for 1 .. 3;
my $r = main::unload('/api/generate');
is($r->status, 502, 'none works');
like($r->json->{error}, qr/none of the 3 servers .* 'm1' loaded could unload/);
ok(access_log(qr{ 502 .*outcome=error}));

fake_set(fake => $_, model => '*', status => 400, error => 'bad "x"')
    for 1 .. 3;
$r = main::unload('/api/generate');
is($r->status, 400, 'what is wrong with the request');
is($r->json->{error}, 'bad "x"');
--- error_log
upstream prematurely closed
--- no_error_log
[alert]



=== a client that leaves
--- upstream eval: main::servers_with($::once, '', '', '')
--- fake eval: $::m1
--- fake2 eval: $::m1
--- test
wait_status(up => 1, 2, 3);
fake_set(fake => $_, model => 'm1', fault => 'hang') for 1, 2;
my $c = client();
$c->request('POST /api/chat', { model => 'm1', keep_alive => 0 });
fake_requests(fake => $_, wait_active => 1) for 1, 2;
$c->close;
fake_requests(fake => $_, wait_active => 0) for 1, 2;
ok(access_log(qr{ 499 .*outcome=client_closed}));



=== by HTTP/2, and by an alias
--- upstream eval: main::servers_with($::once, '', '', '')
--- config eval: "ollama_alias a m1; $::h2"
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3
{"server":{"models":[]}}
--- test
wait_status(up => 1, 2, 3);
my $r = http2('POST /api/generate', { model => 'a', keep_alive => 0 });
is($r->status, 200);
is($r->json->{done_reason}, 'unload');
is($r->header('X-Ollama-Model'), 'm1');
is(main::counts(), '1 1 0');



=== a forbidden keep_alive is no unload
--- upstream eval: main::servers_with($::once, '', '', '')
--- ollama
        ollama_forbid keep_alive;
--- fake eval: $::m1
--- fake2 eval: $::m1
--- fake3 eval: $::m1
--- test
wait_status(up => 1, 2, 3);
my $r = main::unload('/api/generate');
is($r->status, 200);
is($r->json->{done_reason}, 'load');
