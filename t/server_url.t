# Guards server_url: a request goes to the server that it names if that is
# configured, and no connection is made to anything else, however it is spelled.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;
use Test::Nginx::Ollama::Server;

use JSON::PP ();

sub url { return 'http://127.0.0.1:' . fake_port($_[0]) }

sub pinned {
    my ($url, $model, @headers) = @_;
    my (undef, $body) = chat($model // 'm1');

    return http('POST /api/chat', { %$body, server_url => $url }, @headers);
}


# named(uri, body, url): under /v1 a server is named by the header only

sub named {
    my ($uri, $body, $url) = @_;

    return $uri =~ m{\A/v1/}
           ? http("POST $uri", $body, 'X-Ollama-Server-Url' => $url)
           : http("POST $uri", { %$body, server_url => $url });
}


# listens on all addresses, and must never be asked

our $trap = Test::Nginx::Ollama::Server->new;
our $trap_port = $trap->port;

run_tests();

__DATA__

=== a request goes to the server that it names
--- upstream eval: main::servers_with($::once, '', '', '')
--- test
wait_status(up => 1, 2, 3);

for my $n (1 .. 3, 3, 2, 1) {
    my $r = main::pinned(main::url($n));
    is($r->status, 200);
    is(servers_of($r), $n, 'said by its header');

    my $got = fake_requests(fake => $n, wait_ended => 1)->{requests}[-1];
    unlike($got->{body}, qr/server_url/, 'it is taken out');
}

for my $uri (sort keys %bodies) {
    my @replies = map {
        main::named($uri, { model => 'm1', %{ $bodies{$uri} } }, main::url(2))
    } 1 .. 3;

    is(servers_of(@replies), '2 2 2', $uri);
    is(join(' ', map { $_->status } @replies), '200 200 200');

    @replies = map {
        http("POST $uri", { model => 'm1', %{ $bodies{$uri} } },
             'X-Ollama-Server-Url' => main::url(3))
    } 1 .. 3;
    is(servers_of(@replies), '3 3 3', "$uri, by a header");
}

ok(!grep { exists $_->{headers}{'x-ollama-server-url'} }
         @{ fake_requests(fake => 3)->{requests} });



=== a request without a body goes to the server that its header names
--- upstream eval: main::servers_with($::once, '', '', '')
--- test
wait_status(up => 1, 2, 3);

my @replies = map {
    http('GET /api/status', undef, 'X-Ollama-Server-Url' => main::url(2))
} 1 .. 4;

is(servers_of(@replies), '2 2 2 2');
is(http('GET /api/status', undef, 'X-Ollama-Server-Url' => 'http://127.0.0.1:1')
   ->status, 404, 'one that is not configured');



=== a server may be named with or without scheme, slash and /v1
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

my $port = fake_port(2);

for my $url (main::url(2), map({ main::url(2) . $_ } qw(/ /v1 /v1/ /api /api/)),
             "127.0.0.1:$port", "127.0.0.1:$port/", "127.0.0.1:$port/v1",
             "HTTP://127.0.0.1:$port", "Http://127.0.0.1:$port/V1")
{
    my @replies = map { main::pinned($url) } 1 .. 2;

    # "V1" isn't promised
    next if $url =~ /V1/ && $replies[0]->status == 404;

    is(servers_of(@replies), '2 2', $url);
    is(servers_of(map { http(chat('m1'), 'X-Ollama-Server-Url' => $url) }
                  1 .. 2),
       '2 2', 'as a header');
}



=== a host name of the configuration is matched in any case
--- upstream
        zone ollama 1m;
        server LocalHost:$TEST_NGINX_FAKE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
        ollama_balance;
        ollama_poll interval=1h timeout=10s;
--- test
wait_status(up => 1, 2);

my $port = fake_port(1);

for my $url ("http://localhost:$port", "LOCALHOST:$port/api") {
    is(main::pinned($url)->status, 200, $url) for 1, 2;
}

is(fake_requests(fake => 1)->{count}, 4);

# the address that the name has is not what the configuration says
is(main::pinned("http://127.0.0.1:$port")->status, 404);



=== a server that is not configured: 404, and no connection is made
--- upstream eval: main::servers_with($::once, '', '')
--- asked
nothing
--- asked2
nothing
--- asked3
nothing
--- test
wait_status(up => 1, 2);

my ($one, $three, $trap) = (fake_port(1), fake_port(3), $::trap_port);

my @urls = (
    "http://127.0.0.1:$trap", "http://localhost:$trap", "127.0.0.1:$trap",
    "http://127.0.0.1:$three",
    'http://127.0.0.1', 'http://127.0.0.1:11434', 'http://example.com',
    "http://user:pass\@127.0.0.1:$one", "http://user\@127.0.0.1:$one",
    "http://127.0.0.1:$one\@127.0.0.1:$trap", "http://127.0.0.1:$one\@evil",
    "http://127.0.0.1:$trap#\@127.0.0.1:$one",
    "http://127.0.0.1:$trap?127.0.0.1:$one",
    "http://127.0.0.1:$one#", "http://127.0.0.1:$one?",
    "http://127.0.0.1:$one#a",
    "http://127.0.0.1:$one/x", "http://127.0.0.1:$one/v2",
    "http://127.0.0.1:$one/v1/x", "http://127.0.0.1:$one//",
    "http://127.0.0.1:$one/../", "http://127.0.0.1:$one/api/v1",
    "https://127.0.0.1:$one", "ftp://127.0.0.1:$one", "unix:/tmp/x",
    "http:/127.0.0.1:$one", "http:127.0.0.1:$one", "//127.0.0.1:$one",
    "http:///127.0.0.1:$one", "http://http://127.0.0.1:$one",
    "http://localhost:$one", "http://[::1]:$one",
    "http://[::ffff:127.0.0.1]:$one",
    "http://[::ffff:7f00:1]:$one", "http://[127.0.0.1]:$one",
    "http://127.1:$one", "http://2130706433:$one", "http://0x7f000001:$one",
    "http://0177.0.0.1:$one", "http://127.0.0.01:$one",
    "http://127.0.0.1.:$one",
    "http://0:$one", "http://0.0.0.0:$one", "http://127.0.0.2:$one",
    "http://127.0.0.1:0$one", "http://127.0.0.1:+$one",
    "http://127.0.0.1: $one",
    "http://127.0.0.1:${one}0", "http://127.0.0.1:" . ($one + 65536),
    "http://127.0.0.1:", "http://127.0.0.1:$one:$one", "http://127.0.0.1:$one,",
    "http://127.0.0.1:$one http://127.0.0.1:$trap",
    " http://127.0.0.1:$one", "http://127.0.0.1:$one ",
    "http://127.0.0.1:$one\\", "http:\\\\127.0.0.1:$one",
    "http://127.0.0.1:$one\n", "http://127.0.0.1:$one\r\nHost: a",
    "http://127.0.0.1:$one\t", "http://127.0.0.1%3a$one",
    "http://127.0.0.1:$one\x00", "http://127.0.0.1:$one\x00.evil",
    "http://%31%32%37.0.0.1:$one", "http://\x{ff11}27.0.0.1:$one",
    'ollama', 'http://ollama', 'http://ollama/', "http://ollama:$one",
    'http://', 'http', ':', '/', '.', 'x' x 5000, 'http://' . 'x' x 100_000,
);

for my $url (@urls) {
    my $title = substr $url =~ s/[^ -~]/./gr, 0, 70;
    my $r = main::pinned($url);

    is($r->status, length $url < 1000 ? 404 : 400, $title);
    is(ref eval { $r->json }, 'HASH', 'as JSON');
    unlike($r->body =~ s/\n\z//r, qr/[\x00-\x1f]/);

    # a header has no such bytes, and blanks around it are none of its
    next if $url =~ /[\r\n\x00]|\A\s|\s\z|[^\x00-\x7f]/ || length $url > 6000;

    is(http(chat('m1'), 'X-Ollama-Server-Url' => $url)->status, 404,
       'as a header');
}

# all in the form of /v1
my $r = http('POST /v1/chat/completions', { model => 'm1', @say },
             'X-Ollama-Server-Url' => 'http://evil');
is($r->status, 404);
like($r->json->{error}{message}, qr/./);

ok(!$::trap->asked, 'nobody was asked');
ok(access_log(qr/ 404 .* outcome=rejected /));



=== a value that is no string is refused; null and "" name no server
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

for my $value ('1', 'true', '[]', '{}', '["http://127.0.0.1"]') {
    is(http('POST /api/chat', "{\"model\":\"m1\",\"server_url\":$value,"
                              . '"messages":[]}')->status, 400, $value);
}

# nothing is named: the server is chosen
for my $value ('null', '""') {
    my $r = http('POST /api/chat', "{\"model\":\"m1\",\"server_url\":$value}");
    like($r->status, qr/\A(?:200|404)\z/, $value);
}

is(http('POST /api/chat', '{"model":"m1","server_url":null}')->status, 200);



=== server_url is read as Go reads JSON; the body's wins
--- upstream eval: main::servers_with($::once, '', '', '')
--- test
wait_status(up => 1, 2, 3);

my ($one, $two, $three) = map { main::url($_) } 1 .. 3;
(my $escaped = $two) =~ s/\//\\\//g;
(my $codes = $two) =~ s/([:1])/sprintf '\\u%04x', ord $1/ge;

for my $body ("{\"server_url\":\"$one\",\"model\":\"m1\","
              . "\"server_url\":\"$two\"}",
              "{\"model\":\"m1\",\"SERVER_URL\":\"$two\"}",
              "{\"model\":\"m1\",\"server_url\":\"$one\","
              . "\"Server_Url\":\"$two\"}",
              "{\"model\":\"m1\",\"server_url\":\"$escaped\"}",
              "{\"model\":\"m1\",\"server_url\":\"$codes\"}",
              "{\"server_url\":\"$two\",\"model\":\"m1\","
              . "\"messages\":[{\"server_url\":\"$one\"}]}")
{
    my @replies = map { http('POST /api/chat', $body) } 1 .. 3;
    is(servers_of(@replies), '2 2 2', $body);
}

is(servers_of(map { main::pinned($two, 'm1', 'X-Ollama-Server-Url' => $three) }
                  1 .. 3), '2 2 2', 'the body wins');



=== the named server is down: 503
--- upstream eval: main::servers_with($::often, '', '')
--- test
wait_status(up => 1, 2);
fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);

for (1 .. 3) {
    my $r = main::pinned(main::url(1));
    is($r->status, 503);
    like($r->header('Retry-After'), qr/\A\d+\z/);
    like($r->json->{error}, qr/is down/);
}

is(fake_requests(fake => 2)->{count}, 0, 'no other is asked');
is(servers_of(http(chat('m1'))), 2);

fake_set(fake => 1, server => { listen => JSON::PP::true });
wait_status(up => 1);
is(servers_of(main::pinned(main::url(1))), 1);
--- no_error_log
[alert]
[crit]



=== the named server fails: no other is asked
--- upstream eval: main::servers_with($::once, 'max_fails=0', 'max_fails=0')
--- asked2
nothing
--- test
wait_status(up => 1, 2);

for my $status (500, 502, 503, 504) {
    fake_set(fake => 1, model => 'm1', status => $status);
    is(main::pinned(main::url(1))->status, $status, "its own $status")
        for 1 .. 3;
}

fake_set(fake => 1, model => 'm1', status => undef,
         fault => 'die_before_header');
is(main::pinned(main::url(1))->status, 502);

# a look may have found out before
fake_set(fake => 1, model => 'm1', fault => 'refuse');
like(main::pinned(main::url(1))->status, qr/\A50[23]\z/, 'refused');
--- no_error_log
[alert]
[crit]



=== the named server is full: 503
--- upstream eval
main::queue_of('queue=0', main::servers_with($::once, 'max_conns=1', ''))
--- test
wait_status(up => 1, 2);

my ($held) = hold(1, 'm1');
($held, my $other) = ($held, hold(1, 'm1')) if held_by($held) ne 1;

my $r = main::pinned(main::url(1));
is($r->status, 503);
like($r->header('Retry-After'), qr/\A\d+\z/);
like($r->body, qr/\A\{"error":"server busy[^"]*"\}\z/);
is(servers_of(main::pinned(main::url(2))), 2);

$_->close for grep { $_ } $held, $other;



=== the named server lacks the model: 404
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"models":[{"name":"a"}]}}
--- fake2
{"server":{"models":[{"name":"b"}]}}
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my $r = main::pinned(main::url(1), 'b');
is($r->status, 404);
like($r->body, qr/model 'b' not found/);
is(main::pinned(main::url(1), 'a')->status, 200);



=== a named backup server is used, one marked "down" is not
--- upstream eval: main::servers_with($::once, '', 'backup', 'down')
--- test
wait_status(up => 1, 2);

is(servers_of(map { main::pinned(main::url(2)) } 1 .. 3), '2 2 2', 'a backup');

my $r = main::pinned(main::url(3));
is($r->status, 503, 'down');
is(fake_requests(fake => 3)->{count}, 0);



=== an upstream of two servers without ollama_balance: 501
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
--- asked
nothing
--- asked2
nothing
--- test
is(main::pinned(main::url(1))->status, 501);
is(main::pinned(main::url(2))->status, 501);
is(main::pinned(main::url(3))->status, 404, 'not configured');



=== an upstream of one server may be named without ollama_balance
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
--- asked
POST /api/chat
--- test
is(main::pinned(main::url(1))->status, 200);
is(main::pinned(main::url(2))->status, 404, 'not configured');



=== a frozen server that was named: its requests are not moved
--- upstream eval
main::servers_with("        ollama_poll interval=200ms timeout=500ms;\n",
                   '', '')
--- fake
{"model":"m1","ttft_ms":300}
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my (undef, $body) = chat('m1');
my $c = client(timeout => 30)->request('POST /api/chat',
                                       { %$body, server_url => main::url(1) });

fake_requests(fake => 1, wait_count => 1);
fake_freeze(fake => 1);
wait_status(down => 1);
fake_thaw(fake => 1);

are_good('it waits', $c->reply);
--- no_error_log
[alert]
[crit]
