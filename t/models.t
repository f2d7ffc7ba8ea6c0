# Guards the lists of models for clients that know of one server only: they are
# those of all servers together, answered from memory, in the servers' own
# words.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;

use JSON::PP ();

workers(2);

our $json = JSON::PP->new->canonical;


# for "fake": it has these models

sub has { return $json->encode({ server => { models => [@_] } }) }


# the entries of a list by name

sub entries {
    my ($path, $key, $name) = @_;
    my $list = http("GET $path")->json->{$key};

    my %entry = map { $_->{$name} => $_ } @$list;
    is(scalar keys %entry, scalar @$list, "$path: an entry a model");

    return \%entry;
}


# what the stand-in itself says

sub said_by {
    my ($fake, $path) = @_;
    return http("GET $path", undef, -port => fake_port($fake))->json;
}


# waits until nginx has seen what was set

sub settle {
    for my $n (@_) {
        my $looks = fake_requests(fake => $n, polls => 1, path => '/api/ps')
                    ->{count};
        fake_requests(fake => $n, polls => 1, path => '/api/ps',
                      wait_ended => $looks + 2, timeout_ms => 20_000);
    }
}

run_tests();

__DATA__

=== /api/tags lists each model once, the newest
--- upstream eval: main::servers_with($::often, '', '', '')
--- fake eval
main::has({ name => 'a', size => 1, modified_at => '2026-03-01T00:00:00Z' },
          { name => 'b', size => 2 })
--- fake2 eval
main::has({ name => 'A:latest', size => 3,
            modified_at => '2026-03-01T00:00:00.5+00:00' })
--- fake3 eval
main::has({ name => 'a', size => 4,
            modified_at => '2026-03-01T01:00:00+02:00' },
          { name => 'c:7b', capabilities => [ 'completion' ] })
--- test
wait_status(up => 1, 2, 3);

my $r = http('GET /api/tags');
is($r->status, 200);
is($r->header('Content-Type'), 'application/json; charset=utf-8');

my $tags = main::entries('/api/tags', 'models', 'name');

is(join(' ', sort keys %$tags), 'A:latest b:latest c:7b');
is($tags->{'A:latest'}{size}, 3, 'of three the newest');

# as the servers say it
my ($c) = grep { $_->{name} eq 'c:7b' }
               @{ main::said_by(3, '/api/tags')->{models} };
is_deeply($tags->{'c:7b'}, $c, 'whole');
is($r->body =~ /"capabilities": *\["completion"\]/, 1);

is(fake_requests(fake => $_)->{count} - ($_ == 3), 0, 'from memory') for 1 .. 3;



=== /api/ps lists what is loaded on any server
--- upstream eval: main::servers_with($::often, '', '', '')
--- fake
{"server":{"models":[{"name":"a","loaded":true,"size_vram":7},{"name":"b"}]}}
--- fake2
{"server":{"models":[{"name":"b","loaded":true},{"name":"a"}]}}
--- fake3
{"server":{"models":[{"name":"c"}]}}
--- test
wait_status(up => 1, 2, 3);

my $ps = main::entries('/api/ps', 'models', 'name');
is(join(' ', sort keys %$ps), 'a:latest b:latest');
is($ps->{'a:latest'}{size_vram}, 7);

my ($a) = @{ main::said_by(1, '/api/ps')->{models} };
is(join(' ', sort keys %{ $ps->{'a:latest'} }), join(' ', sort keys %$a));

set_models(1, a => 0);
set_models(2, b => 0);
ok(wait_for(sub { !@{ http('GET /api/ps')->json->{models} } }, 10), 'none');
is(http('GET /api/ps')->body, '{"models":[]}');



=== /v1/models lists each model once in OpenAI's form
--- upstream eval: main::servers_with($::often, '', '')
--- fake eval
main::has({ name => 'a', modified_at => '2026-03-01T00:00:00Z' },
          { name => 'ns/b:7b' })
--- fake2 eval
main::has({ name => 'a', modified_at => '2026-03-02T00:00:00Z' },
          { name => 'c' })
--- test
wait_status(up => 1, 2);

my $r = http('GET /v1/models');
is($r->status, 200);
is($r->json->{object}, 'list');

my $models = main::entries('/v1/models', 'data', 'id');
is(join(' ', sort keys %$models), 'a:latest c:latest ns/b:7b');

is_deeply($models->{'a:latest'}, { id => 'a:latest', object => 'model',
                                   created => 1772409600,
                                   owned_by => 'library' });
is_deeply($models->{'ns/b:7b'}, main::said_by(1, '/v1/models')->{data}[1],
          'as a server says it');

# one of them, in the name's forms
for my $id ('a', 'a:latest', 'A', 'library/a', 'registry.ollama.ai/library/a') {
    my $r = http("GET /v1/models/$id");

    # the stand-in, like Ollama's router, takes no "/" there
    next if $id =~ /\// && $r->status == 404;

    is($r->status, 200, $id);
    is($r->json->{object}, 'model');
    is($r->json->{created}, 1772409600);
}

is(http('GET /v1/models/a')->json->{id}, 'a', 'named as it was asked for');
is(http('GET /v1/models/%61')->status, 200);

for my $id ('zz', 'a:7b', 'b:7b') {
    $r = http("GET /v1/models/$id");
    is($r->status, 404, $id);
    like($r->json->{error}{message}, qr/model '$id' not found/);
}

is(fake_requests(fake => 2)->{count}, 0, 'from memory');



=== /api/version is the lowest version of the servers that are up
--- upstream eval: main::servers_with($::often, '', '', '')
--- fake
{"server":{"version":"0.17.4"}}
--- fake2
{"server":{"version":"0.9.12"}}
--- fake3
{"server":{"version":"0.10.0-rc1"}}
--- test
wait_status(up => 1, 2, 3);
is(http('GET /api/version')->body, '{"version":"0.9.12"}');

fake_set(fake => 2, server => { version => '0.17.10' });
ok(wait_for(sub { http('GET /api/version')->json->{version} =~ /0\.10\.0/ },
            10), 'another');

fake_set(fake => 3, server => { listen => JSON::PP::false });
ok(wait_for(sub { http('GET /api/version')->json->{version} eq '0.17.4' }, 10),
   'without the one that is down');

fake_set(fake => 1, server => { version => '0.17.10' });
ok(wait_for(sub { http('GET /api/version')->json->{version} eq '0.17.10' },
            10));

# what is no version of Ollama's form
for my $version ('', 'x', '1', '999999999999999999999.1', '0.0.0', "a\"b") {
    fake_set(fake => 1, server => { version => $version });
    main::settle(1);
    my $r = http('GET /api/version');
    is($r->status, 200);
    ok(defined eval { $r->json->{version} }, "version \"$version\"");
}
--- no_error_log
[alert]
[crit]



=== models of a server that is down are not listed
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"models":[{"name":"a","loaded":true}]}}
--- fake2
{"server":{"models":[{"name":"b"}]}}
--- test
wait_status(up => 1, 2);
fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);

is(join(' ', keys %{ main::entries('/api/tags', 'models', 'name') }),
   'b:latest');
is(join(' ', keys %{ main::entries('/v1/models', 'data', 'id') }), 'b:latest');
is(http('GET /api/ps')->body, '{"models":[]}');
isnt(http('GET /v1/models/a')->status, 200);

fake_set(fake => 1, server => { listen => JSON::PP::true });
wait_status(up => 1);
is(scalar keys %{ main::entries('/api/tags', 'models', 'name') }, 2);
--- no_error_log
[alert]
[crit]



=== ETag and 304
--- upstream eval: main::servers_with($::often, '', '')
--- fake eval
main::has({ name => 'm1', loaded => JSON::PP::true,
            expires_at => '2030-01-01T00:00:00Z' })
--- fake2
{"server":{"models":[{"name":"m2"}]}}
--- test
wait_status(up => 1, 2);

for my $path (qw(/api/tags /api/ps /v1/models)) {
    my $r = http("GET $path");
    my $tag = $r->header('ETag') // '';

    like($tag, qr/\A(?:W\/)?"[^"]+"\z/, "$path: $tag");

    main::settle(1, 2);
    is(http("GET $path")->header('ETag'), $tag, 'the same for the same');

    for my $match ($tag, "\"a\", $tag", "$tag, \"b\"", '*', "W/$tag",
                   $tag =~ s/^W\///r)
    {
        next if $match =~ /W\/W/;

        my $same = http("GET $path", undef, 'If-None-Match' => $match);

        is($same->status, 304, "If-None-Match: $match");
        is($same->raw =~ s/.*?\r\n\r\n//sr, '', 'without a body');
        is($same->header('ETag'), $tag);
    }

    for my $match ('"a"', 'x', '', '"', $tag . 'x') {
        $r = http("GET $path", undef, 'If-None-Match' => $match);
        is($r->status, 200, "If-None-Match: $match");
        ok(length $r->body);
    }

    is(http("HEAD $path")->header('ETag'), $tag, 'HEAD')
        if $path eq '/api/tags';
}

my ($tags, $ps) = map { http("GET $_")->header('ETag') } '/api/tags', '/api/ps';

# another model: another list
set_models(2, m2 => 0, m3 => 0);
ok(wait_for(sub { http('GET /api/tags')->header('ETag') ne $tags }, 10),
   'a new model');
is(http('GET /api/tags', undef, 'If-None-Match' => $tags)->status, 200);

set_models(2, m2 => 1, m3 => 0);
ok(wait_for(sub { http('GET /api/ps')->header('ETag') ne $ps }, 10),
   'one is loaded');



=== all workers give the same lists
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

for my $path (qw(/api/tags /api/ps /v1/models /api/version)) {
    my %body;
    my %tag;

    for (1 .. 12) {
        my $r = http("GET $path");
        $body{$r->body}++;
        $tag{$r->header('ETag') // ''}++;
    }

    is(scalar keys %body, 1, "$path: one answer");
    is(scalar keys %tag, 1);
}



=== HEAD is answered, other methods get 405, longer paths 404
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

for my $path (qw(/api/tags /api/version)) {
    my $r = http("HEAD $path");
    is($r->status, 200, "HEAD $path");
    is($r->body, '');
    is($r->header('Content-Length'), length http("GET $path")->body);
}

for my $path (qw(/api/tags /api/ps /api/version /v1/models /v1/models/m1)) {
    my $r = http("POST $path", '{}');
    is($r->status, 405, "POST $path");
    like($r->header('Allow'), qr/GET/);

    is(http("GET $path?a=b")->status, 200, 'with an argument');
}

is(http('GET /api/tags', '{"x":1}')->status, 200, 'with a body');
is(fake_requests(fake => $_)->{count}, 0) for 1, 2;



=== lists by HTTP/2 and on a kept connection
--- upstream eval: main::servers_with($::once, '', '')
--- config eval
'$TEST_NGINX_H2_LISTEN ' . Test::Nginx::Ollama::location('/api/')
--- test
wait_status(up => 1, 2);

my $body = http('GET /api/tags')->body;
my $c = client();

for (1 .. 5) {
    my $r = $c->request('GET /api/tags')->reply;
    is($r->body, $body);
    is($c->request('GET /api/tags', undef,
                   'If-None-Match' => $r->header('ETag'))->reply->status, 304);
    is(http2('GET /api/tags')->body, $body, 'HTTP/2');
}



=== a long list arrives whole
--- upstream eval: main::servers_with($::often, '', '')
--- test
my @models = map { { name => sprintf('model%03d:7b', $_),
                     details => { family => 'x' x 300 } } } 1 .. 800;

fake_set(fake => 1, server => { models => \@models });
ok(wait_for(sub { keys %{ main::entries('/api/tags', 'models', 'name') }
                  == 802 }, 20));

my $r = http('GET /api/tags');
ok($r->complete);
is(http('GET /api/tags', undef, -version => '1.0')->body, $r->body);

my $slow = client(rcvbuf => 4096)->request('GET /api/tags')->reply;
is($slow->body, $r->body, 'to a slow client');

my $servers = http('GET /api/models/servers');
ok($servers->complete);
is(scalar @{ $servers->json->{servers}[0]{models} }, 800);



=== a page whose origin is not allowed gets no list
--- upstream eval: main::servers_with($::once, '', '')
--- ollama
        ollama_origins https://one.example;
--- test
wait_status(up => 1, 2);

for my $path (qw(/api/tags /api/ps /v1/models /api/version /api/models/servers),
              '/api/models/server/models?server_url=x',
              '/api/models/server/check?server_url=x')
{
    is(http("GET $path", undef, Origin => 'https://evil.example')->status, 403,
       $path);
}

for my $path (qw(/api/tags /api/models/servers)) {
    my $r = http("GET $path", undef, Origin => 'https://one.example');

    is($r->status, 200);
    is($r->header('Access-Control-Allow-Origin'), 'https://one.example',
       "$path for a page that may");
}
