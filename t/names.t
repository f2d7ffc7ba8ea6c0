# Guards the promises on names of models: the spellings that are one name to
# Ollama, its suffixes ":local" and ":cloud", and blanks around a name.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::Fleet;

run_tests();

__DATA__

=== ":local" and blanks around a name are not for the server
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"models":[{"name":"m1"}]}}
--- fake2
{"server":{"models":[{"name":"m2:7b"}]}}
--- test
wait_status(up => 1, 2);

for my $uri (sort keys %main::bodies) {
    for my $name ('m2:7b:local', 'M2:7b:Local', " m2:7b ", "\tm2:7b:local\r\n")
    {
        my $r = http("POST $uri", { %{ $main::bodies{$uri} },
                                    model => $name });
        is($r->status, 200, "$uri, '$name'");
        is(servers_of($r), 2);
    }
}

for my $name ('m1:local', ' m1', 'm1:latest:local', 'm1:latest ') {
    my $r = http(chat($name));
    is($r->status, 200, $name);

    my ($m) = fake_requests(wait_ended => 1, last => 1)->{requests}[0]{body}
              =~ /"model":("[^"]*")/;
    like($m, qr/\A"m1(?::latest)?"\z/, 'what the server sees');
}

# all else is as the client sent it
my $body = '{ "Model" : "x", "messages":[{"role":"user","content":" m1:local"}]'
           . ',"model": "\u0020m1:local" ,"keep_alive": 5, "task_id":"a" }';
is(http('POST /api/chat', $body)->status, 200);
is(fake_requests(last => 1)->{requests}[0]{body},
   $body =~ s/"\\u0020m1:local"/"m1"/r =~ s/, "task_id":"a"//r);

is(http('POST /api/show', { name => ' m1:local ' })->status, 200, 'a name');
is(http('POST /api/chat', '{"model":" m2:7b ","messages":[{"role":"user",'
                          . '"content":"' . 'x' x 300_000 . '"}]}')->status,
   200, 'in a file');
ok(access_log(qr{ model=m1 }), 'the log has its name');

for my $name (' ', "\n\t") {
    my $r = http(chat($name));
    is($r->status, 400);
    like($r->body, qr/"model\\" is required/);
}

for my $name ('m1:cloud:local', 'm3:local', ':local', 'm1:7b:local') {
    is(http(chat($name))->status, 404, $name);
}



=== cloud models need not be in a list, and take no slot
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::once, 'max_conns=1', 'max_conns=1'))
--- test
wait_status(up => 1, 2);

# they have them, but the gateway doesn't know
set_models($_, m1 => 1, 'x:cloud' => 0, 'x-cloud' => 0, 'x:7b-cloud' => 0)
    for 1, 2;

for my $name ('x:cloud', 'x-cloud', 'x:7b-cloud', ' X:Cloud ') {
    my @replies = map { http(chat($name)) } 1 .. 4;
    is(join(' ', map { $_->status } @replies), '200 200 200 200', $name);
    is(count_of(1, @replies), 2, 'servers take turns');
    is(fake_requests(last => 1)->{requests}[0]{model}, $name =~ s/ //gr);
}

# this spelling is new
is(http(chat('x:7b:cloud'))->status, 400, "a server's answer");

is(http(chat('x:cloudy'))->status, 404);
my $count = fake_requests(fake => 1)->{count}
            + fake_requests(fake => 2)->{count};
is($count, 17, 'asked');

# all slots are in use
my @held = hold(2, 'm1');
is(in_flight(), '1 1');
is(http(chat('m1'))->status, 503);
is(http(chat('x:cloud'))->status, 200, 'a cloud model');

fake_set(fake => $_, model => '*', fault => 'hang') for 1, 2;
my @cloud = map { my $c = client(); $c->request(chat('x:cloud')); $c } 1 .. 4;
fake_requests(fake => $_, wait_active => 3) for 1, 2;
is(in_flight(), '1 1', 'they are not counted');
$_->close for @held, @cloud;
ok(wait_for(sub { in_flight() eq '0 0' }, 10));



=== a server that lists a cloud model is preferred
--- upstream eval: main::servers_with($::often, '', '')
--- fake2
{"server":{"models":[{"name":"x:7b-cloud"},{"name":"y:cloud"}]}}
--- test
wait_status(up => 1, 2);

is(servers_of(map { http(chat($_)) } ('x:7b-cloud', 'X:7b:cloud', 'y:Cloud')
              x 2),
   '2 2 2 2 2 2');

# another one may have it nevertheless: it is asked, too
set_models(2, m1 => 1);
wait_models(2, 'm1+');
my $r = http(chat('y:cloud'));
is($r->status, 404, "a server's answer");
is(fake_requests(fake => $_, path => '/api/chat', last => 1)->{requests}[0]
   {model}, 'y:cloud') for 1, 2;



=== a cloud model while no server is up
--- upstream eval: main::servers_with($::often, '', '')
--- test
fake_set(fake => $_, server => { listen => JSON::PP::false }) for 1, 2;
wait_status(down => 1, 2);
my $r = http(chat('x:cloud'));
is($r->status, 503);
like($r->body, qr/model 'x:cloud' is on no server that is up/);
