# Guards /api/models/*, which report what is known of each server and its
# models, whatever the servers send and wherever they are.

use lib 't/lib';

use Test::Nginx::Ollama fakes => [ {}, {}, { address => '::1' },
                                   { unix => 'ollama.sock' },
                                   { address => '0.0.0.0' } ];
use Test::Nginx::Ollama::Fleet;

use JSON::PP ();
use Time::HiRes qw(sleep);

workers(2);

our $date = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

our $quick = "        ollama_poll interval=200ms timeout=700ms;\n";


# all lists, which must be JSON without control characters whatever happens

sub lists_are_sound {
    my ($title) = @_;

    for my $path (qw(/api/models/servers /api/tags /api/ps /api/version
                     /v1/models))
    {
        my $r = http("GET $path");
        my $data = eval { $r->json };

        ok(ref $data && $r->complete, "$title: $path is sound: $@");
        like($r->status, qr/\A(?:200|503)\z/);
        unlike($r->body =~ s/\n\z//r, qr/[\x00-\x1f\x7f]/,
               'without control characters');
    }
}


sub check {
    my ($url) = @_;

    my $r = http("GET /api/models/server/check?server_url=$url");

    is($r->status, 200, "check of $url");
    return $r->json;
}


sub steps {
    my ($check) = @_;

    return join ' ', map { $_->{step} . ($_->{ok} ? '+' : '-') }
                     @{ $check->{steps} };
}


# that the first server is down for such a reason when its stand-in does so, and
# up again afterwards

sub is_down_because {
    my ($reason, %set) = @_;
    my $title = join ' ', map { substr "$_ " . ($set{$_} // 'null'), 0, 60 }
                          keys %set;

    fake_set(fake => 1, server => \%set);
    wait_status(down => 1);

    my $one = server(1);
    like($one->{error}, $reason, $title);
    cmp_ok(length $one->{error}, '<', 200);
    like($one->{checked_at}, qr/\A$::date\z/);

    fake_set(fake => 1, server => { map { $_ => undef } keys %set })
        if !exists $set{listen};
    fake_set(fake => 1, server => { listen => JSON::PP::true });
    wait_status(up => 1);
    is(server(1)->{error}, undef, 'and up again');
}


# that it stays up when its stand-in does so, says such an error, and keeps what
# is known of it

sub is_up_with {
    my ($error, %set) = @_;
    my $title = join ' ', map { substr "$_ " . ($set{$_} // 'null'), 0, 60 }
                          keys %set;
    my $models = server(1)->{models};
    my %seen;

    fake_set(fake => 1, server => \%set);
    wait_for(sub { $seen{server(1)->{status}} = 1; server(1)->{error} }, 10);

    my $one = server(1);
    like($one->{error}, $error, $title);
    is(join(' ', %seen), 'up 1');
    is(join(' ', map { $_->{name} } @{ $one->{models} }),
       join(' ', map { $_->{name} } @$models), 'with its models');
    is(http(chat('m1'))->status, 200);

    fake_set(fake => 1, server => { map { $_ => undef } keys %set });
    ok(wait_for(sub { !server(1)->{error} }, 10), 'and good again');
}


run_tests();

__DATA__

=== /api/models/servers reports each server and its models
--- upstream eval: main::servers_with($::often, 'max_conns=4', '')
--- fake
{"server":{"version":"0.9.1"}}
--- test
fake_set(fake => 1, server => { models => [
    { name => 'm1', size => 2019393189, size_vram => 3137000000,
      loaded => JSON::PP::true, context_length => 2048,
      expires_at => '2030-01-02T03:04:05.5+02:00' }, { name => 'm2' }
] });
# a probe may ask for one list before, and for the other one after this
wait_for(sub { grep { ($_->{size_vram} // 0) > 1e9 && $_->{size} > 1e9 }
                    @{ server(1)->{models} } }, 10);
wait_status(up => 1, 2);

my $r = http('GET /api/models/servers');

is($r->header('Content-Type'), 'application/json; charset=utf-8');
is(join(' ', sort keys %{ $r->json }), 'queued servers');
is($r->json->{queued}, 0);

my ($one, $two) = @{ $r->json->{servers} };

is($one->{url}, 'http://127.0.0.1:' . fake_port(1));
is($two->{url}, 'http://127.0.0.1:' . fake_port(2), 'in the lines\' order');
is(join(' ', sort keys %$one), 'checked_at error in_flight latency_ms max_conns'
   . ' models status url version');
is($one->{status}, 'up');
like($one->{checked_at}, qr/\A$::date\z/);
like($one->{latency_ms}, qr/\A\d+(?:\.\d+)?\z/);
is($one->{version}, '0.9.1');
is($one->{error}, undef);
is($one->{in_flight}, 0);
is($one->{max_conns}, 4);
is($two->{max_conns}, 0, 'no limit');

my %model = map { $_->{name} => $_ } @{ $one->{models} };

is(join(' ', sort keys %model), 'm1:latest m2:latest');

my $m1 = $model{'m1:latest'};
is(join(' ', sort keys %$m1), 'context_length details expires_at loaded name '
   . 'size size_vram');
is($m1->{size}, 2019393189);
is($m1->{size_vram}, 3137000000);
is($m1->{loaded}, JSON::PP::true);
like($m1->{expires_at}, qr/\A2030-01-02T0[13]:04:05/);
is($m1->{context_length}, 2048);
is($m1->{details}{quantization_level}, 'Q4_1', 'as the server said');

my $m2 = $model{'m2:latest'};
is($m2->{loaded}, JSON::PP::false);
ok(!$m2->{expires_at});

# time goes on
my $at = $one->{checked_at};
ok(wait_for(sub { server(1)->{checked_at} gt $at }, 10), 'a look again');

# what is not GET
is(http('HEAD /api/models/servers')->status, 200);
$r = http('POST /api/models/servers', '{}');
is($r->status, 405);
like($r->header('Allow'), qr/GET/);



=== a server that was not probed yet is "checking"
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"lists_hang":true}}
--- test
wait_status(up => 2);

my $one = server(1);
is($one->{status}, 'checking');
ok(exists $one->{checked_at});
is($one->{checked_at}, undef);
is($one->{error}, undef);
is_deeply($one->{models}, []);



=== a server that is down is reported with the reason
--- upstream eval: main::servers_with($::often, '', '')
--- test
wait_status(up => 1, 2);

is_down_because(qr/\Aconnection refused\z/, listen => JSON::PP::false);
is_down_because(qr{\AGET /api/version: status $_\z}, version_status => $_)
    for 500, 502, 503, 307, 400, 204;

# what has no version may be no Ollama
is_down_because(qr{\AGET /api/tags: status $_\z}, version_status => 404,
                lists_status => $_) for 404, 500;
is_down_because(qr{\AGET /api/tags: }, version_body => '<html>',
                lists_body => '<html>');

# nothing of that was anybody's trouble
is(server(2)->{status}, 'up');
is(http(chat('m1'))->status, 200);
--- no_error_log
[alert]
[crit]



=== a list that fails is reported, and what was known stays
--- upstream eval: main::servers_with($::often, '')
--- test
wait_status(up => 1);

main::is_up_with(qr{\AGET /api/tags: status $_\z}, lists_status => $_)
    for 500, 503, 404, 204, 307, 429;
main::is_up_with(qr{\AGET /api/tags: \S}, tags_body => $_)
    for '', '{', '{"models":[', 'hello', '<html>', '[]', 'null', '"x"', '1',
        '{"models":{}}', '{"models":1}', '{"models":[]}}', '{"models":[]} x',
        '{}',
        '{"models":[]' . ' ' x 200_000, "{\"models\":[\"\x01\"]}",
        '{"models":' . '[' x 5000 . ']' x 5000 . '}';

main::is_up_with(qr{\AGET /api/tags: .*big}, chunked_json => $_,
                 tags_body => '{"models":[' . ' ' x 5_000_000 . ']}')
    for JSON::PP::true, JSON::PP::false;

main::is_up_with(qr{\AGET /api/ps: status $_\z}, ps_status => $_)
    for 500, 401, 403;
main::is_up_with(qr{\AGET /api/ps: \S}, ps_body => $_)
    for '{', '[]', '{"models":1}', 'x' x 5e6;
main::is_up_with(qr{\AGET /api/version: \S}, version_body => $_)
    for '{', 'x', '[]', '{"version":1}';
main::is_up_with(qr{\AGET /api/version: status 429\z}, version_status => 429);
--- no_error_log
[alert]
[crit]



=== a list that is late is reported, and what was known stays
--- upstream eval: main::servers_with($::quick, '')
--- test
wait_status(up => 1);

main::is_up_with(qr{\AGET /api/ps: timed out\z}, ps_delay_ms => 1500);
main::is_up_with(qr{\AGET /api/tags: timed out\z}, tags_delay_ms => 1500);
main::is_up_with(qr{\AGET /api/tags: timed out\z},
                 lists_hang => JSON::PP::true);

my $check = sub {
    http('GET /api/models/server/check?server_url=http://127.0.0.1:'
         . fake_port(1))->json
};

fake_set(fake => 1, server => { ps_delay_ms => 1500 });
my $found = $check->();
is($found->{ok}, JSON::PP::false);
is(main::steps($found), 'connect+ version+ tags+ ps-');
is($found->{steps}[3]{error}, 'GET /api/ps: timed out');

# the other list is kept current, and so is what is loaded
set_models(1, m2 => 0, m3 => 1);
wait_models(1, 'm2 m3');

fake_set(fake => 1, server => { ps_delay_ms => 0, tags_delay_ms => 1500 });
wait_models(1, 'm2 m3+');

set_models(1, m2 => 1, m3 => 0, m4 => 0);
wait_models(1, 'm2+ m3');
is(http(chat('m4'))->status, 404);

fake_set(fake => 1, server => { tags_delay_ms => 0 });
wait_models(1, 'm2+ m3 m4');
is(server(1)->{error}, undef);
--- no_error_log
[alert]
[crit]



=== a server that wants a key or another name is probed with these
--- http_config
    map "$http_host $http_authorization" $allowed {
        "ollama.example Bearer s3cr3t"  1;
    }

    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location / {
            if ($allowed != 1) {
                return 401;
            }

            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE_PORT;
            proxy_set_header Host localhost;
            proxy_set_header User-Agent $http_user_agent;
            proxy_pass_request_headers on;
            proxy_buffering off;
        }
    }

    upstream keyless {
        zone keyless 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_poll_header Authorization "Bearer s3cr3t";
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
        ollama_poll_header host ollama.example;
        ollama_poll_header X-More "a b";
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /keyless/api/ {
        ollama_api keyless prefix=/keyless;
        proxy_pass http://keyless;
        include ollama_params;
    }
--- test
my $one = sub { http("GET $_[0]/api/models/servers")->json->{servers}[0] };

ok(wait_for(sub { @{ $one->('')->{models} } == 2 }, 20), 'its models');
is($one->('')->{status}, 'up');
is($one->('')->{error}, undef);

my $check = main::check("http://127.0.0.1:$ENV{TEST_NGINX_FREE_PORT}");
is($check->{ok}, JSON::PP::true);
is(main::steps($check), 'connect+ version+ tags+ ps+');

my @polls = @{ fake_requests(polls => 1)->{requests} };
my %seen;
$seen{join ' ', map { $_ // '' } @{ $_->{headers} }
      {qw(authorization x-more user-agent accept)}} = 1 for @polls;
is(join('|', keys %seen),
   'Bearer s3cr3t a b nginx-ollama application/json', 'each request has them');

# without them
ok(wait_for(sub { $one->('/keyless')->{status} eq 'up' }, 20), 'up');
is($one->('/keyless')->{error}, 'GET /api/version: status 401');
is_deeply($one->('/keyless')->{models}, []);
is(http('POST /keyless/api/chat', { model => 'm1', messages => [] })->status,
   401, 'it is asked');
--- no_error_log
[alert]
[crit]



=== a server whose lists were never known may have any model
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"server":{"lists_hang":true,"models":[{"name":"m1"},{"name":"m3"}]}}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2);

my $one = server(1);
is($one->{error}, 'GET /api/tags: timed out');
is($one->{version}, '0.17.4');
is_deeply($one->{models}, []);

is(servers_of(http(chat('m3'))), 1, 'it is tried');
is(servers_of(map { http(chat('m1')) } 1 .. 4), '2 2 2 2',
   'not before those that surely have it');
is(join(' ', map { $_->{name} } @{ http('GET /api/tags')->json->{models} }),
   'm1:latest', 'lists are of what is known');

# if that is nothing, a server is asked
fake_set(fake => 1, server => { lists_hang => JSON::PP::false,
                                lists_status => 500 });
fake_set(fake => 2, server => { listen => JSON::PP::false });
wait_status(down => 2);
ok(wait_for(sub { server(1)->{error} =~ /500/ }, 10));

my $r = http('GET /api/tags');
is($r->status, 500);
is($r->header('X-Ollama-Server'), '127.0.0.1:' . fake_port(1));

fake_set(fake => 1, server => { lists_status => undef });
wait_models(1, 'm1 m3+');
is(http(chat('zz'))->status, 404, 'now it is known');
--- no_error_log
[alert]
[crit]



=== a server that refuses probes without a key is up, with any model
--- upstream eval: main::servers_with($::quick, '')
--- test
wait_status(up => 1);

for my $status (401, 403) {
    for my $set ({ version_status => $status, lists_status => $status },
                 { lists_status => $status })
    {
        fake_set(fake => 1, server => $set);

        my $path = $set->{version_status} ? 'version' : 'tags';
        ok(wait_for(sub { !@{ server(1)->{models} } }, 10),
           join ' ', %$set);

        my $one = server(1);
        is($one->{status}, 'up');
        is($one->{error}, "GET /api/$path: status $status");
        is(http(chat($_))->status, 200, $_) for 'm1', 'm2';

        # what the server itself says of others
        is(http(chat('zz'))->status, 404) for 1 .. 2;
        is(http('GET /api/tags')->status, $status);
        is(http('GET /api/models/servers')->status, 200);

        my $found = main::check('http://127.0.0.1:' . fake_port(1));
        is($found->{ok}, JSON::PP::false);
        is($found->{steps}[-1]{error}, $one->{error});
        is($found->{steps}[-1]{step}, $path);

        fake_set(fake => 1, server => { map { $_ => undef } keys %$set });
        wait_models(1, 'm1+ m2+');
        is(server(1)->{error}, undef);
        is(http(chat('zz'))->status, 404);
    }
}
--- no_error_log
[alert]
[crit]



=== a server that does not answer in time is down: timed out
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);

is_down_because(qr/\Atimed out\z/, hang => JSON::PP::true);
is_down_because(qr/\Atimed out\z/, version_delay_ms => 5000);

# a list that is still late when it is back isn't waited for
fake_set(fake => 1, server => { hang => JSON::PP::true });
wait_status(down => 1);
fake_set(fake => 1, server => { hang => JSON::PP::false,
                                lists_hang => JSON::PP::true });
wait_status(up => 1);
is(scalar @{ server(1)->{models} }, 2, 'as it was known');
is(server(2)->{status}, 'up');
--- no_error_log
[alert]
[crit]



=== invalid names and numbers from a server are left out
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);

my $model = sub {
    my %more = (name => '"a"', @_);
    return '{' . join(',', map { "\"$_\":$more{$_}" } sort keys %more) . '}';
};

my @models = (
    (map { $model->(name => $_) }
         '"a\u0000b"', '"a\u0001\u001f\u007f"', '"a\r\nX-Evil: 1"', '""',
         '"\ud800"', '"\udc00\ud800"', '"' . 'n' x 5000 . '"', '1', 'null',
         '[]', '"</script><b>"', '"../../etc/passwd"',
         "\"\xc3\xa9\"", '"%0d%0a"', '"\"\\\\"', '":"', '"/"', '"a:b:c"'),
    (map { $model->(size => $_) }
         '-1', '1e400', '-1e400', '1e-400', '99999999999999999999999999',
         '1.5', '"1"', 'null', '[]', '{}', '9223372036854775808', '01',
         '0x10', '1' . '0' x 10000),
    (map { $model->(modified_at => $_) }
         '""', '"x"', '"0000-00-00T00:00:00Z"', '"9999-99-99T99:99:99Z"',
         '"2026-01-01T00:00:00+99:99"', '1', 'null', '"' . '9' x 3000 . '"',
         '"2026-02-30T00:00:00Z"', '"-2026-01-01T00:00:00Z"',
         '"2026-01-01T00:00:00.' . '9' x 1000 . 'Z"'),
    (map { $model->(details => $_) }
         '1', 'null', '[]', '"x"', '{"a":' . '[' x 200 . ']' x 200 . '}',
         '{"a":"' . 'x' x 100_000 . '"}', "{\"a\":\"\x01\"}"),
    $model->(name => '"a"', Name => '"b"'), '{}', $model->(digest => 'null'),
    join(',', ($model->()) x 3),
    '{"name":"a","name":"b"}', '{"model":"only"}', '1', '"x"', 'null', '[]',
    '[[]]', 'true',
);

for my $list (@models) {
    my $what = substr $list =~ s/[^ -~]/./gr, 0, 70;

    # it is taken for what it is, or the server is down: no other harm
    my $text = "{\"models\":[$list,{\"name\":\"good\",\"size\":1}]}";
    my $bytes = JSON::PP->new->latin1->allow_nonref->encode($text);

    $bytes =~ s/([\x80-\xff])/sprintf '\\u%04x', ord $1/ge;
    my $at = server(1)->{checked_at};

    Test::Nginx::Ollama::fake_set("{\"server\":{\"tags_body\":$bytes,"
                                  . "\"ps_body\":$bytes}}");

    ok(wait_for(sub { server(1)->{checked_at} gt $at
                      && fake_requests(fake => 1, polls => 1)->{count} }, 10),
       $what);
    ok(wait_for(sub { my $s = server(1);
                      $s->{status} eq 'down'
                      || grep { $_->{name} =~ /good/ } @{ $s->{models} } }, 10),
       'down, or good is known');
}

lists_are_sound('in the end');
is(http(chat('m1'))->status, 200);
--- no_error_log
[alert]
[crit]



=== many invalid models are left out and logged once
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);

my @names = ('a\u0000b', 'a\u0001\u001f\u007f', 'a\r\nX-Evil: 1', 'b\u007f',
             'good', 'M1', 'x/y:z');
my $list = join ',', map { "{\"name\":\"$_\",\"model\":\"$_\",\"size\":-1e99,"
                           . '"size_vram":1e999,"context_length":-7}' } @names;
my $bytes = JSON::PP->new->allow_nonref->encode("{\"models\":[$list]}");

fake_set("{\"server\":{\"tags_body\":$bytes,\"ps_body\":$bytes}}");

ok(wait_for(sub { my $s = server(1);
                  $s->{status} eq 'down'
                  || grep { $_->{name} =~ /good/ } @{ $s->{models} } }, 10));
main::lists_are_sound('then');

for (map { @{ $_->{models} } } servers()) {
    unlike($_->{name}, qr/[\x00-\x1f\x7f]/, 'a name');
    like($_->{size}, qr/\A\d+\z/, 'a size');
}
--- no_error_log
[alert]
[crit]



=== more models than fit in memory: those known before are kept
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);

fake_set(fake => 1, server => { models => [
    map { { name => sprintf 'model%04d', $_ } } 1 .. 1500
] });

ok(wait_for(sub { @{ server(1)->{models} } > 2 }, 20));

my $one = server(1);
is(scalar @{ $one->{models} }, 1000, 'the first thousand');
is($one->{status}, 'up');

my $lists = http('GET /api/tags');
is($lists->status, 200);
cmp_ok(scalar @{ $lists->json->{models} }, '>=', 1000);

# some looks later it isn't said again
my $n = fake_requests(fake => 1, polls => 1)->{count};
fake_requests(fake => 1, polls => 1, wait_ended => $n + 12,
              timeout_ms => 10_000);
my @said = grep { /\[(?:notice|warn|error)\].*models?\b/ }
           Test::Nginx::Ollama::error_lines();
is(scalar @said, 1, "it is said, once: @said");

is(http(chat($one->{models}[0]{name}))->status, 200);

# a model that did not fit may be there
my %known = map { $_->{name} => 1 } @{ $one->{models} };
my ($left_out) = grep { !$known{"$_:latest"} }
                 map { sprintf 'model%04d', $_ } 1 .. 1500;
is(http(chat($left_out))->status, 200, "one that was left out, $left_out");
--- no_error_log
[alert]
[crit]



=== more servers than fit in memory: the rest still gets requests
--- upstream eval
"        zone ollama 1m;\n"
. CORE::join('', map {
    my $n = $_;
    '        server 127.1.' . int($n / 100) . '.' . (1 + $n % 100)
    . ":\$TEST_NGINX_FAKE5_PORT;\n"
} 1 .. 300)
. "        ollama_balance;\n        ollama_poll interval=1s timeout=10s;\n"
--- test
ok(wait_for(sub {
    my @known = servers();
    return @known >= 250 && !grep { $_->{status} ne 'up' } @known[0 .. 249];
}, 60), 'those that fit are up');

my @known = servers();
cmp_ok(scalar @known, '<=', 300);

my @replies = map { http(chat('m1')) } 1 .. 20;
are_good('chats', @replies);

main::lists_are_sound('of many');

my @said = grep { /\b256\b|too many servers|no room/ }
           Test::Nginx::Ollama::error_lines();
cmp_ok(scalar @said, '<=', 2, "said once a process: @said");
cmp_ok(scalar @said, '>=', 1, 'but said');
--- no_error_log
[alert]
[crit]



=== servers by IPv6, by a unix socket, by a name with two addresses
--- upstream
        zone ollama 1m;
        server [::1]:$TEST_NGINX_FAKE3_PORT;
        server unix:$TEST_NGINX_FAKE4_PATH;
        server localhost:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
--- fake
{"server":{"models":[{"name":"four"}]}}
--- fake3
{"server":{"models":[{"name":"six"}]}}
--- fake4
{"server":{"models":[{"name":"path"}]}}
--- test
my $up = sub {
    my ($pattern) = @_;
    return grep { $_->{url} =~ $pattern && $_->{status} eq 'up' } servers();
};

my @known;

ok(wait_for(sub { (@known = $up->(qr/\[::1\]/)) == 1 }, 20), 'IPv6');
is($known[0]{url}, 'http://[::1]:' . fake_port(3));
is($known[0]{models}[0]{name}, 'six:latest');

ok(wait_for(sub { (@known = $up->(qr/unix:/)) == 1 }, 20), 'unix');
is($known[0]{url}, "http://unix:$ENV{TEST_NGINX_FAKE4_PATH}");
is($known[0]{models}[0]{name}, 'path:latest');

ok(wait_for(sub { (@known = $up->(qr/localhost:/)) >= 1 }, 20), 'a name');
like($known[0]{url}, qr{\Ahttp://localhost:\d+\z});
is($known[0]{models}[0]{name}, 'four:latest');

for my $model (qw(six path four)) {
    my $r = http(chat($model));
    is($r->status, 200, $model);
    like($r->header('X-Ollama-Server'),
         { six => qr/\A\[::1\]:\d+\z/, path => qr/\Aunix:/,
           four => qr/\Alocalhost:\d+\z/ }->{$model});
}
--- no_error_log
[alert]
[crit]
[error]



=== a server line with two addresses: each is probed
--- upstream
        zone ollama 1m;
        server localhost:$TEST_NGINX_FAKE5_PORT;
        server 127.9.9.9:$TEST_NGINX_FAKE5_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
--- test
ok(wait_for(sub { !grep { $_->{status} ne 'up' } servers() }, 20));
is(scalar(servers()), 2);
are_good('chats', map { http(chat('m1')) } 1 .. 4);



=== servers are probed by https
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT ssl;
        ssl_certificate test.crt;
        ssl_certificate_key test.key;

        location / {
            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE_PORT;
            proxy_set_header Host localhost;
            proxy_set_header User-Agent $http_user_agent;
            proxy_buffering off;
        }
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s tls;
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass https://ollama;
        include ollama_params;
    }
--- test
my $url = "https://127.0.0.1:$ENV{TEST_NGINX_FREE_PORT}";

ok(wait_for(sub { (servers())[0]{status} eq 'up' }, 20), 'up');
is((servers())[0]{url}, $url);
is(scalar @{ (servers())[0]{models} }, 2);
is(http(chat('m1'))->status, 200);
is(http(chat('zz'))->status, 404);

my $r = http("GET /api/models/server/models?server_url=$url");
is($r->status, 200);
is($r->json->{server_url}, $url);

my $check = main::check($url);
is($check->{ok}, JSON::PP::true);
is(main::steps($check), 'connect+ version+ tags+ ps+');

# "http" is another server
is(http('GET /api/models/server/models?server_url=' . $url =~ s/https/http/r)
   ->status, 404);



=== a server with an unexpected certificate is down
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT ssl;
        ssl_certificate test.crt;
        ssl_certificate_key test.key;

        location / {
            proxy_pass http://127.0.0.1:$TEST_NGINX_FAKE_PORT;
            proxy_set_header Host localhost;
        }
    }

    upstream right {
        zone right 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s tls tls_name=localhost
                    tls_verify=test.crt;
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s tls tls_name=other.example
                    tls_verify=test.crt;
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass https://ollama;
        include ollama_params;
    }

    location /right/api/ {
        ollama_api right prefix=/right;
        proxy_pass https://right;
        include ollama_params;
    }
--- test
my $status = sub { http("GET $_[0]/api/models/servers")->json->{servers}[0] };

ok(wait_for(sub { $status->('/right')->{status} eq 'up' }, 20), 'the name fits')
    or diag($status->('/right')->{error});
ok(wait_for(sub { $status->('')->{status} eq 'down' }, 20), 'it does not');
like($status->('')->{error}, qr/certificate|TLS|SSL/i);
--- no_error_log
[alert]



=== a probe by TLS to a plain server, and the reverse, finds it down
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT ssl;
        ssl_certificate test.crt;
        ssl_certificate_key test.key;
    }

    upstream plain {
        zone plain 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=1s;
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=1s tls;
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass https://ollama;
        include ollama_params;
    }

    location /plain/api/ {
        ollama_api plain prefix=/plain;
        proxy_pass http://plain;
        include ollama_params;
    }
--- test
for my $prefix ('', '/plain') {
    my $one;
    ok(wait_for(sub {
        $one = http("GET $prefix/api/models/servers")->json->{servers}[0];
        return $one->{status} eq 'down';
    }, 20), "down: $prefix") or diag($one->{status});
    like($one->{error}, qr/\S/, $one->{error});
}
--- no_error_log
[alert]



=== a reload keeps what is known of the servers
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

my @before = map { $_->{checked_at} } servers();

# nobody can look at them now
fake_set(fake => $_, server => { lists_hang => JSON::PP::true }) for 1, 2;
reload();

my @after = servers();
is(join(' ', map { $_->{status} } @after), 'up up');
is(join(' ', map { scalar @{ $_->{models} } } @after), '2 2');
is(http('GET /api/tags')->status, 200);
is(http('GET /api/tags')->json->{models}[0]{name} =~ /m\d:latest/, 1);
is(http(chat('zz'))->status, 404, 'what nobody has is known');

fake_set(fake => $_, server => { lists_hang => JSON::PP::false }) for 1, 2;
are_good('chats', at_once(4, chat('m1')));



=== a reload that changes a server keeps what is known of the others
--- upstream eval: main::servers_with($::often, '', '')
--- fake5
{"server":{"models":[{"name":"five"}]}}
--- test
wait_status(up => 1, 2);
fake_set(fake => 1, server => { lists_hang => JSON::PP::true });

my $file = conf_dir() . '/nginx.conf';
my $conf = Test::Nginx::Ollama::read_file($file);
my ($two, $five) = map { fake_port($_) } 2, 5;

$conf =~ s/server 127\.0\.0\.1:$two ;/server 127.0.0.1:$five;/
    or die "no line of the second server\n";
Test::Nginx::Ollama::write_file($file, $conf);
reload();

my @known = servers();
is(join(' ', map { $_->{url} =~ /(\d+)$/ } @known),
   fake_port(1) . " $five", 'the new lines');
is($known[0]{status}, 'up', 'kept');
is(scalar @{ $known[0]{models} }, 2);
wait_status(up => 5);
is(http(chat('five'))->status, 200);

# nobody asks the one that has gone, soon
my $n = fake_requests(fake => 2, polls => 1)->{count};
fake_requests(fake => 5, polls => 1, wait_ended =>
              9 + fake_requests(fake => 5, polls => 1)->{ended},
              timeout_ms => 10000);
cmp_ok(fake_requests(fake => 2, polls => 1)->{count} - $n, '<=', 3);
--- no_error_log
[alert]
[crit]



=== repeated reloads do not accumulate servers
--- upstream eval: main::servers_with($::often, '', '')
--- test
wait_status(up => 1, 2);

for my $round (1 .. 8) {
    reload();
    is(join(' ', map { $_->{status} } servers()), 'up up', "reload $round");
}

is(scalar(servers()), 2);
set_models(1, new => 1);
wait_models(1, 'new+');



=== one worker probes, and never a server twice at the same time
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"server":{"lists_delay_ms":150}}
--- test
wait_status(up => 1, 2);

reload();
reload();

# they may be in the middle of a probe
ok(wait_for(sub { worker_pids(1) == 2 }, 20), 'the old workers end');

my $polls = fake_requests(fake => 1, polls => 1, timeout_ms => 20000,
                          wait_ended => 15 + fake_requests(fake => 1,
                                                           polls => 1)->{ended})
            ->{requests};

# whole probes: each asks for the next one when it has the answer
my @requests = @$polls[-14 .. -1];
shift @requests while $requests[0]{uri} ne '/api/version';
my @probes;
push @probes, [ splice @requests, 0, 3 ] while @requests >= 3;

is(join(' ', map { $_->{uri} } map { @$_ } @probes),
   join(' ', ('/api/version /api/tags /api/ps') x @probes),
   'one after the other');

my $overlaps = 0;

# the stand-in notes that it has begun to send a reply before it sends it, and
# that it has ended when its buffer is empty: nginx may have asked again by then
for my $i (1 .. $#probes) {
    my $sent = $probes[$i - 1][2]{header_ms};
    $overlaps++ if !defined $sent || $probes[$i][0]{started_ms} < $sent;
}

is($overlaps, 0, 'and no two at the same time');
is(join(' ', sort { $a cmp $b } keys %{ { map { $_->{uri} => 1 } @$polls } }),
   '/api/ps /api/tags /api/version', 'what is asked');
is((grep { $_->{method} ne 'GET' } @$polls) + 0, 0);
is($probes[0][0]{headers}{'user-agent'}, 'nginx-ollama');
like($probes[0][0]{headers}{host}, qr/\Alocalhost/, 'as Ollama wants it');



=== a probe does not follow redirects
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;

        location / {
            return 307 http://127.0.0.1:$TEST_NGINX_FAKE2_PORT$request_uri;
        }
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
--- asked2
nothing
--- test
wait_status(up => 1);
ok(wait_for(sub { (servers())[0]{status} eq 'down' }, 20));
like((servers())[0]{error}, qr/307/);

my $check = main::check("http://127.0.0.1:$ENV{TEST_NGINX_FREE_PORT}");
is($check->{ok}, JSON::PP::false);
is(fake_requests(fake => 2, polls => 1)->{count}, 0);
--- no_error_log
[alert]
[crit]



=== /api/models/server/check reports each step
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);

my $url = 'http://127.0.0.1:' . fake_port(1);
my $check = main::check($url);

is(join(' ', sort keys %$check), 'ok server_url steps');
is($check->{server_url}, $url);
is($check->{ok}, JSON::PP::true);
is(main::steps($check), 'connect+ version+ tags+ ps+');
like($_->{ms}, qr/\A\d+(?:\.\d+)?\z/, $_->{step}) for @{ $check->{steps} };
is($check->{steps}[2]{models}, 2);
is($check->{steps}[1]{error}, undef);

# done now: the server was asked for it
my $n = fake_requests(fake => 1, polls => 1)->{count};
main::check($url);
cmp_ok(fake_requests(fake => 1, polls => 1)->{count}, '>=', $n + 3);

# never from a cache: a header with a condition changes nothing
for my $header ([ 'If-None-Match' => '*' ], [ 'If-Match' => '"a"' ],
                [ 'If-Modified-Since' => 'Tue, 01 Jan 2030 00:00:00 GMT' ],
                [ 'If-Unmodified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT' ])
{
    my $r = http("GET /api/models/server/check?server_url=$url", undef,
                 @$header);

    is($r->status, 200, $header->[0]);
    is($r->header('ETag'), undef, 'without an ETag');
    is($r->header('Cache-Control'), 'no-store');
}

# other spellings
for my $other (map({ "$url$_" } '/', '/v1', '/v1/', '/api', '/api/'),
               $url =~ s/http/HTTP/r, $url =~ s/http:\/\///r,
               $url =~ s{[:/]}{sprintf '%%%02X', ord $&}ger)
{
    is(main::check($other)->{server_url}, $url, $other);
}

my $failed = sub {
    my ($steps, $error, %set) = @_;

    fake_set(fake => 1, server => \%set);

    my $check = main::check($url);

    is($check->{ok}, JSON::PP::false);
    is(main::steps($check), $steps);
    like($check->{steps}[-1]{error}, $error);
    is(scalar(grep { $_->{error} } @{ $check->{steps} }), 1, 'one failed');

    fake_set(fake => 1, server => { listen => JSON::PP::true,
                                    map { $_ => undef }
                                        grep { $_ ne 'listen' } keys %set });
};

$failed->('connect-', qr/refused/, listen => JSON::PP::false);
$failed->('connect+ version-', qr/timed out/, hang => JSON::PP::true);
$failed->('connect+ version+ tags-', qr/timed out/,
          lists_hang => JSON::PP::true);
$failed->('connect+ version+ tags-', qr/500/, lists_status => 500);
$failed->('connect+ version+ tags-', qr/\S/, tags_body => '{');
$failed->('connect+ version+ tags+ ps-', qr/\S/, ps_body => '{');
$failed->('connect+ version-', qr/\S/, version_body => '{');

is(http("GET /api/models/server/check$_")->status, 400, $_)
    for '', '?', '?server_url=', '?server_ur=x', '?a=b';
is(http("GET /api/models/server/check?server_url=$_")->status, 404, $_)
    for 'http://127.0.0.1:1', 'x', 'http://127.0.0.2:' . fake_port(1),
        "http://user:pass\@127.0.0.1:" . fake_port(1), "$url/x", "https" . $url;
is(http("POST /api/models/server/check?server_url=$url", '')->status, 405);
--- no_error_log
[alert]
[crit]



=== a client that leaves during /api/models/server/check
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);
fake_set(fake => 1, server => { hang => JSON::PP::true });

my $n = fake_requests(fake => 1, polls => 1)->{count};
my $url = 'http://127.0.0.1:' . fake_port(1);
my @c = map {
    client()->request("GET /api/models/server/check?server_url=$url")
} 1 .. 3;

fake_requests(fake => 1, polls => 1, wait_count => $n + 3);
$_->close for @c;
ok(!fake_requests(fake => 1, polls => 1, wait_active => 0)->{timed_out},
   'they are given up');



=== /api/models/server/models lists the models of one server
--- upstream eval: main::servers_with($::quick, '', '')
--- fake2
{"server":{"models":[{"name":"b","loaded":true}]}}
--- test
wait_status(up => 1, 2);

my $url = 'http://127.0.0.1:' . fake_port(2);
my $get = sub { http("GET /api/models/server/models?server_url=$_[0]") };

my $r = $get->($url);
is($r->status, 200);
is(join(' ', sort keys %{ $r->json }), 'checked_at models server_url status');
is($r->json->{server_url}, $url);
is($r->json->{status}, 'up');
like($r->json->{checked_at}, qr/\A$::date\z/);
is_deeply($r->json->{models}, server(2)->{models});
is($r->json->{models}[0]{name}, 'b:latest');

is($get->($_)->json->{server_url}, $url, $_)
    for "$url/", "$url/v1", "$url/api/", $url =~ s/http:\/\///r;

is(http("GET /api/models/server/models$_")->status, 400)
    for '', '?', '?server_url=', '?x=y';
is($get->($_)->status, 404, $_)
    for 'http://127.0.0.1:1', 'http://[::1]:' . fake_port(2), 'https://x';
is($get->('http://127.0.0.1:1')->json->{error} =~ /./, 1);

fake_set(fake => 2, server => { listen => JSON::PP::false });
wait_status(down => 2);
is($get->($url)->json->{status}, 'down');
--- no_error_log
[alert]
[crit]



=== an upstream without ollama_poll is not probed
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
--- test
is(join(' ', map { $_->{status} } servers()), 'checking checking');
is(http('GET /api/tags')->status, 200, 'passed on');
is(http('GET /api/version')->status, 200);
is(join(' ', sort(fake_asked(), fake_asked(fake => 2))),
   'GET /api/tags GET /api/version', 'each to one server');
is(fake_requests(fake => $_, polls => 1)->{count}, 0) for 1, 2;



=== an upstream with ollama_poll and nginx's own balancing is probed
--- upstream
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT max_fails=0;
        least_conn;
        ollama_poll interval=200ms timeout=10s;
--- fake2
{"server":{"models":[{"name":"b"}]}}
--- test
wait_status(up => 1, 2);
is(join(' ', sort map { $_->{name} }
                  @{ http('GET /api/tags')->json->{models} }),
   'b:latest m1:latest m2:latest', 'lists of all');

# the model is not looked for
ok(wait_for(sub { http(chat('m1')); fake_requests(fake => 2)->{count} }, 10),
   'as it goes to any server');



=== lists are passed on until a probe ended; with no server up: 503
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"server":{"lists_delay_ms":0,"listen":true}}
--- test
wait_status(up => 1, 2);
is(http('GET /api/tags')->status, 200);
is(fake_requests(fake => $_)->{count}, 0, 'from memory') for 1, 2;

fake_set(fake => $_, server => { listen => JSON::PP::false }) for 1, 2;
wait_status(down => 1, 2);

for my $path (qw(/api/tags /api/ps /api/version)) {
    my $r = http("GET $path");
    is($r->status, 503, $path);
    is($r->body, '{"error":"no server is up"}');
    like($r->header('Retry-After'), qr/\A\d+\z/);
}

my $r = http('GET /v1/models');
is($r->status, 503);
is($r->json->{error}{message}, 'no server is up');

# what was known is still told
is(join(' ', map { $_->{status} } servers()), 'down down');
--- no_error_log
[alert]
[crit]



=== chats and lists are passed on before the first probe
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"hang":false,"lists_delay_ms":600}}
--- fake2
{"server":{"lists_delay_ms":600}}
--- test
is(join(' ', map { $_->{status} } servers()), 'checking checking');
is(http('GET /api/tags')->status, 200, 'passed on');
is(http(chat('m1'))->status, 200);
is(fake_requests(fake => 1)->{count} + fake_requests(fake => 2)->{count}, 2);



=== two upstreams: each knows its own servers only
--- http_config
    upstream other {
        zone other 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
    }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }

    location /other/api/ {
        ollama_api other prefix=/other;
        proxy_pass http://other;
        include ollama_params;
    }
--- upstream eval: main::servers_with($::often, '')
--- fake2
{"server":{"models":[{"name":"b"}]}}
--- test
wait_status(up => 1);

my $tags = sub {
    join ' ', sort map { $_->{name} }
                   @{ http("GET $_[0]/api/tags")->json->{models} }
};

ok(wait_for(sub { $tags->('/other') eq 'b:latest' }, 10));
is($tags->(''), 'm1:latest m2:latest');
is(http('GET /other/api/models/server/models?server_url=127.0.0.1:'
        . fake_port(1))->status, 404, 'a server of another upstream');



=== invalid UTF-8 and an endless reply from a server
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_FREE_PORT;
        root html;
        default_type application/json;
    }
--- upstream
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=10s;
--- user_files
>>> api/version
{"version":"1.0.0"}
>>> api/ps
{"models":[]}
--- test
my $html = conf_dir() . '/../html/api';
my $one = sub { (servers())[0] };

wait_status(up => 1);

for my $name ("\xff\xfe", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "a\x80b", "\x00",
              "\x1b[31m", "\xf4\x90\x80\x80")
{
    my $at = $one->()->{checked_at};

    Test::Nginx::Ollama::write_file("$html/tags.new",
        "{\"models\":[{\"name\":\"$name\",\"details\":{\"a\":\"$name\"}},"
        . '{"name":"good"}]}');
    rename "$html/tags.new", "$html/tags";

    ok(wait_for(sub { $one->()->{checked_at} gt $at }, 10));
    sleep 0.5;
    lists_are_sound(join ' ', map { sprintf '%02x', ord } split //, $name);

    my $body = http('GET /api/models/servers')->body . http('GET /api/tags')
                                                       ->body;
    ok(utf8::decode($body), 'UTF-8');
}
--- no_error_log
[alert]
[crit]
