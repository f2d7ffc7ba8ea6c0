# Guards ollama_alias: another name for the first of several models that is
# there, which hides no model, and of which servers never hear.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(made stored is_saved body);
use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Config;
use Test::Nginx::Ollama::Fleet;

use JSON::PP ();

our $http = "ollama_redis unix:\$TEST_NGINX_REDIS_PATH;";

our $alias = <<'END';
        ollama_alias gpt-4o-mini a b:7b;
        ollama_alias Fast:Small c;
END

our $b = JSON::PP->new->encode({ server => { models => [
    { name => 'b:7b', size => 7, modified_at => '2025-01-02T00:00:00Z',
      details => { name => 'a,"b"', x => [1, { model => 2 }] } } ] } });

sub url { return 'http://127.0.0.1:' . fake_port($_[0]) }

# the server, the model it was asked for, and the one that the reply tells

sub served {
    my ($name, @rest) = @_;

    my (undef, $body) = chat($name);
    my $r = http('POST /api/chat', { %$body, @rest });

    return $r->status . ' ' . $r->body if $r->status != 200;

    my $n = servers_of($r);
    my $asked = fake_requests(fake => $n, last => 1)->{requests}[0];

    return "$n $asked->{model} " . ($r->header('X-Ollama-Model') // '-');
}

sub listed {
    return map { $_->{name} // $_->{id} }
               @{ $_[0]->json->{models} // $_[0]->json->{data} };
}

run_tests();

__DATA__

=== an alias is the first of its models that is there
--- upstream eval: main::servers_with($::often, '', '', '')
--- ollama eval: $::alias
--- fake
{"server":{"models":[{"name":"c"}]}}
--- fake2
{"server":{"models":[{"name":"b:7b"}]}}
--- fake3
{"server":{"models":[{"name":"d"}]}}
--- test
wait_status(up => 1, 2, 3);

is(main::served('gpt-4o-mini'), '2 b:7b b:7b', 'the second');
is(main::served($_), '1 c c', $_)
    for 'fast:small', 'FAST:Small', ' Fast:Small ', 'library/fast:small',
        'fast:small:local';
is(main::served($_), '2 b:7b b:7b', $_) for 'GPT-4o-Mini:latest';
is(main::served('d'), '3 d -', 'no alias');

for my $uri (sort keys %main::bodies) {
    my $r = http("POST $uri", { model => 'gpt-4o-mini',
                                %{ $main::bodies{$uri} } });
    is($r->status, 200, $uri);
    is($r->header('X-Ollama-Model'), 'b:7b');
    is(servers_of($r), 2);
    my $asked = fake_requests(fake => 2, last => 1)->{requests}[0];
    is($asked->{model}, 'b:7b');
    unlike($asked->{body}, qr/gpt/);
}

# the model that the reply names is the server's word
like(http(chat('gpt-4o-mini'))->body, qr/"model":"b:7b"/);
ok(access_log(qr{POST /api/chat 200 model=b:7b }), 'the real name in the log');

set_models(3, a => 0);
wait_models(3, 'a');
is(main::served('gpt-4o-mini'), '3 a a', 'the first came');

set_models(3, d => 0);
wait_models(3, 'd');
is(main::served('gpt-4o-mini'), '2 b:7b b:7b', 'and went');
is(http('POST /api/chat', '{"model":"x","MODEL":"gpt-4o-mini","messages":[]}')
   ->status, 200, 'the last key');



=== of a form, and of its arguments, only the name is replaced
--- ollama
        ollama_alias gpt m1;
        ollama_alias "a+b" m1;
        ollama_pass /v1/files;
--- test
my $type = 'multipart/form-data; boundary=xx';

sub form {
    my ($name, $size) = @_;
    return join "\r\n", '--xx', 'Content-Disposition: form-data; name="file"; '
                . 'filename="gpt"', '', 'gpt' . 'x' x ($size // 0), '--xx',
                'Content-Disposition: form-data; name="model"', '', $name,
                '--xx--', '';
}

for my $uri ('/v1/images/edits', '/v1/audio/transcriptions', '/v1/files') {
    for my $name ('gpt', 'GPT:latest', 'a+b', ' m1 ', 'm1:local') {
        for my $size (0, 300_000) {
            my $body = form($name, $size);
            my $want = form('m1', $size);

            my $r = http("POST $uri", $body, 'Content-Type' => $type);
            unlike($r->body, qr/not found: it is an alias|model '/,
                   "$uri $name");
            my $sent = fake_requests(last => 1)->{requests}[0];
            is($sent->{body_bytes}, length $want);
            is($sent->{body}, $want) if !$size;
        }
    }

    for (['model=gpt', 'model=m1'], ['a=gpt&model=a%2Bb&b=%20gpt',
                                     'a=gpt&model=m1&b=%20gpt'],
         ['model=m1', 'model=m1'], ['model=+m1:local', 'model=m1'])
    {
        my ($args, $want) = @$_;
        my $body = form('zz');
        http("POST $uri?$args", $body, 'Content-Type' => $type);
        my $sent = fake_requests(last => 1)->{requests}[0];
        is((fake_asked())[-1], "POST $uri?$want", $args);
        is($sent->{body}, $body);
    }
}



=== only the model's value of the body is replaced
--- ollama
        ollama_alias "a" m1;
--- test
for my $body ('{"model":"a","messages":[]}', '{"messages":[],"model":"a"}',
              '{ "task_id":"t", "model" : "A:latest" , "session":"a" }',
              '{"model":null,"model":"a","server_url":"' . main::url(1) . '"}',
              '{"model":"x","x":"\"model\":\"a\"","Model":"\u0061"}')
{
    my $r = http('POST /api/chat', $body);
    is($r->status, 200, $body);

    my $sent = fake_requests(wait_ended => 1, last => 1)->{requests}[0]{body};
    my $want = $body =~ s/,?"server_url":"[^"]*"//r =~ s/ "task_id":"t", //r;
    $want =~ s/(.*)("[Mm]odel" ?: ?)"(?:a|A:latest|\\u0061)"/$1$2"m1"/s;
    is($sent, $want);
}

is(http('POST /api/show', '{"name":"a"}')->status, 200);
is(fake_requests(last => 1)->{requests}[0]{body}, '{"name":"m1"}');

is(http('POST /api/chat', '{"model":"a","messages":[{"role":"user","content":"'
        . 'x' x 500_000 . '"}]}')->status, 200, 'in a file');
is(fake_requests(last => 1)->{requests}[0]{body_bytes}, 500_056);



=== an alias hides no model, not even that of a server that is down
--- upstream eval: main::servers_with($::often, '', '')
--- ollama
        ollama_alias m2 m1;
        ollama_alias m3 m1;
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m2"}]}}
--- fake2
{"server":{"models":[{"name":"m1"},{"name":"M3:latest"}]}}
--- test
wait_status(up => 1, 2);
is(main::served('m2'), '1 m2 -');
is(main::served('m3'), '2 m3 -');
is(join(' ', sort(main::listed(http('GET /api/tags')))),
   'M3:latest m1:latest m2:latest');

fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);
like(main::served('m2'), qr/\A503 .*model 'm2' is on no server that is up/);
is(join(' ', sort(main::listed(http('GET /v1/models')))),
   'M3:latest m1:latest');



=== none of its models: 404, or 503 if a server is down
--- upstream eval: main::servers_with($::often, '', '')
--- ollama eval: $::alias
--- fake
{"server":{"models":[{"name":"b:7b"}]}}
--- test
wait_status(up => 1, 2);

my $r = http(chat('fast:small'));
is($r->status, 404);
is($r->json->{error},
   "model 'Fast:Small' not found: it is an alias of 'c'");

$r = http('POST /v1/chat/completions', { model => 'fast:small', @say });
is($r->status, 404);
like($r->json->{error}{message}, qr/model 'Fast:Small' not found/);

fake_set(fake => 1, server => { listen => JSON::PP::false });
wait_status(down => 1);

$r = http(chat('gpt-4o-mini'));
is($r->status, 503);
like($r->body, qr/model 'b:7b' is on no server that is up/);
ok($r->header('Retry-After'));
is(http(chat('fast:small'))->status, 404, 'known to be nowhere');

is(join(' ', sort(main::listed(http('GET /api/tags')))),
   'm1:latest m2:latest', 'not listed');
is(scalar fake_asked(), 0);



=== a named server takes the first that it has
--- upstream eval: main::servers_with($::often, '', '', '')
--- ollama eval: $::alias
--- fake
{"server":{"models":[{"name":"a"}]}}
--- fake2
{"server":{"models":[{"name":"b:7b"}]}}
--- fake3
{"server":{"models":[{"name":"d"}]}}
--- test
wait_status(up => 1, 2, 3);

is(main::served('gpt-4o-mini', server_url => main::url(1)), '1 a a');
is(main::served('gpt-4o-mini', server_url => main::url(2) . '/v1'),
   '2 b:7b b:7b');
like(main::served('gpt-4o-mini', server_url => main::url(3)),
     qr/\A404 .*'gpt-4o-mini' not found: it is an alias of 'a', 'b:7b'/);
like(main::served('gpt-4o-mini', server_url => $_), qr/\A404 .*not a config/)
    for 'http://127.0.0.1:1', 'ftp://x', 'a b';

is(http(chat('gpt-4o-mini'), 'X-Ollama-Server-Url' => main::url(2))
   ->header('X-Ollama-Model'), 'b:7b', 'by a header');

fake_set(fake => 2, server => { listen => JSON::PP::false });
wait_status(down => 2);
like(main::served('gpt-4o-mini', server_url => main::url(2)), qr/\A503 /);



=== lists have aliases with a tag, and the entries of their models
--- upstream eval: main::servers_with($::often, '', '')
--- ollama
        ollama_alias gpt-4o-mini a b:7b;
        ollama_alias fast:small c:cloud;
        ollama_alias me/x b:7b;
        ollama_alias none d;
--- fake eval: $::b
--- fake2
{"server":{"models":[]}}
--- test
wait_status(up => 1, 2);

my $r = http('GET /api/tags');
my %entry = map { $_->{name} => $_ } @{ $r->json->{models} };
is(join(' ', sort keys %entry),
   'b:7b fast:small gpt-4o-mini:latest me/x:latest');

my %real = %{ $entry{'b:7b'} };
my %shown = %{ $entry{'gpt-4o-mini:latest'} };
is($shown{model}, 'gpt-4o-mini:latest');
delete @$_{qw(name model)} for \%real, \%shown;
is_deeply(\%shown, \%real, 'all else');
is($entry{'fast:small'}{size}, 0, 'no server lists it');

my $etag = $r->header('ETag');
is(http('GET /api/tags', undef, 'If-None-Match' => $etag)->status, 304);
is(http('HEAD /api/tags')->header('Content-Length'), length $r->body);

$r = http('GET /v1/models');
%entry = map { $_->{id} => $_ } @{ $r->json->{data} };
is(join(' ', sort keys %entry),
   'b:7b fast:small gpt-4o-mini:latest me/x:latest');
is($entry{'gpt-4o-mini:latest'}{created}, $entry{'b:7b'}{created});
is($entry{'me/x:latest'}{owned_by}, 'me');

for my $id ('gpt-4o-mini', 'GPT-4o-mini:latest', 'me/x', 'fast:small') {
    $r = http("GET /v1/models/$id");
    is($r->status, 200, $id);
    is($r->json->{id}, $id);
}

is(http("GET /v1/models/none")->status, 404);
is(join(' ', main::listed(http('GET /api/ps'))), '', 'nothing is loaded');

set_models(1, z => 0);
wait_models(1, 'z');
isnt(http('GET /api/tags')->header('ETag'), $etag);
is(join(' ', sort(main::listed(http('GET /api/tags')))),
   'fast:small z:latest');

set_models(1);
wait_models(1, '');
is(join(' ', main::listed(http('GET /api/tags'))), 'fast:small',
   'a list without a model');



=== an alias of a cloud model
--- upstream eval: main::servers_with($::often, '', '')
--- ollama
        ollama_alias big x:120b-cloud m1;
        ollama_alias other m9 x:120b-cloud;
--- test
wait_status(up => 1, 2);
set_models($_, m1 => 1, 'x:120b-cloud' => 0) for 1, 2;
like(main::served('big'), qr/\A[12] x:120b-cloud x:120b-cloud\z/);
like(main::served('other'), qr/\A[12] x:120b-cloud x:120b-cloud\z/);



=== levels: inherited by those that have none
--- config
    ollama_alias one m1;
    ollama_alias two m2;

    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /own/api/ {
        ollama_api ollama prefix=/own;
        ollama_alias three m1;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- upstream eval: main::servers_with($::often, '')
--- test
wait_status(up => 1);
is(http(chat($_))->status, 200, $_) for 'one', 'two';
is(http(chat('three'))->status, 404);
is(http('POST /own/api/chat', { model => 'three', @say })->status, 200);
is(http('POST /own/api/chat', { model => 'one', @say })->status, 404);
is(join(' ', sort(main::listed(http('GET /own/api/tags')))),
   'm1:latest m2:latest three:latest');



=== what nginx -t refuses
--- test
sub refused {
    my ($lines, $why) = @_;
    like(check_config($lines), $why, $lines);
}

is(check_config('ollama_alias a b; ollama_alias c b d;'), '');
refused('ollama_alias a;', qr/invalid number of arguments/);
refused('ollama_alias a a;', qr/"a" is an alias of an alias/);
refused('ollama_alias a A:latest;', qr/"a" is an alias of an alias/);
refused('ollama_alias a b; ollama_alias c a;', qr/"c" is an alias of an alias/);
refused('ollama_alias c d a:latest; ollama_alias A b;',
        qr/"c" is an alias of an alias/);
refused('ollama_alias a b; ollama_alias a:latest c;', qr/duplicate alias/);
refused('ollama_alias $host b;',
        qr/"\$host" has a variable, .* expected the name/);
refused('ollama_alias a b$host;', qr/"b\$host" has a variable/);
refused('ollama_alias a ' . 'b' x 321 . ';',
        qr/"b{321}" is longer than 320 bytes, .* expected the name/);
is(check_config('ollama_alias a ' . 'b' x 320 . ';'), '');
refused('ollama_alias "" b;', qr/invalid parameter "", expected the name/);
refused('ollama_alias a "b c";', qr/invalid parameter "b c"/);
refused('ollama_alias a b:;', qr/invalid parameter "b:"/);
refused('ollama_alias a a/b/c/d;', qr/invalid parameter "a.b.c.d"/);



=== a map sees the real name; before a server was probed the first is taken
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=1h;
--- http_config
    upstream second {
        zone second 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
    }

    map $ollama_model $pool { default ollama; m1 second; }
--- config
    location /api/ {
        ollama_api ollama;
        ollama_alias a m1 m2;
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
my $r = http(chat('a'));
is($r->status, 200);
is($r->header('X-Ollama-Model'), 'm1');



=== in a session the stored reply has the real name
--- upstream eval: main::servers_with($::often, '')
--- http_config eval: $::http
--- ollama
        ollama_alias mine m1;
--- test
wait_status(up => 1);

my $id = main::made({ model => 'mine' });
my $r = http('POST /api/chat', { session_id => $id, @say });
is($r->status, 200, "the session's model is an alias");
is($r->header('X-Ollama-Model'), 'm1');
is(fake_requests(wait_ended => 1, last => 1)->{requests}[0]{model}, 'm1');

$r = http('POST /api/chat', { session_id => $id, model => 'Mine', @say });
is($r->status, 200);
is(fake_requests(wait_ended => 2, last => 1)->{requests}[0]{model}, 'm1');

$r = http("GET /api/chat/session/$id");
is($r->json->{model}, 'mine');
is(join(' ', map { $_->{model} // '-' } @{ $r->json->{messages} }),
   '- m1 - m1');



=== in a conversation participants have their aliases as names
--- upstream eval: main::servers_with($::often, '', '')
--- ollama
        ollama_alias ann m1;
        ollama_alias bob none m2;
        ollama_alias nobody none;
--- test
wait_status(up => 1, 2);

my $r = http('POST /api/chat/multi-model',
             { models => [ 'ann', { model => ' bob ', name => 'Bob' },
                           'ann' ],
               initial_message => 'hi', max_turns => 3,
               system_prompts => { ann => 'You' },
               stream => JSON::PP::false });
is($r->status, 200) or diag($r->body);
my $replies = $r->json->{replies};
is(join(' ', map { "$_->{participant}=$_->{model}" } @$replies),
   'ann=m1 Bob=m2 ann#2=m1');

$r = http('POST /api/chat/multi-model',
          { models => [ 'ann', 'nobody' ], initial_message => 'hi' });
is($r->status, 404);
like($r->body, qr/model 'nobody' not found: it is an alias of 'none'/);
