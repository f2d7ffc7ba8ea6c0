# Guards the promise that Redis never blocks nginx: a command is answered, or
# fails when Redis has been silent for the timeout, whatever it does, and not
# because the command is large.  The connection is restored by itself, each
# change between down and up is logged once, and no reply of a server, valid or
# not, crashes a worker or keeps it from exiting.
#
# t/probe has a module that passes requests to Redis.

use lib 't/lib';

use Test::Nginx::Ollama::Line;
use Test::Nginx::Ollama::Probe 'redis';
use Test::Nginx::Ollama::Redis;

our ($redis, $other, $line);

BEGIN {
    $redis = Test::Nginx::Ollama::Redis->start;
    $other = Test::Nginx::Ollama::Redis->start;

    $line = Test::Nginx::Ollama::Line->start($redis);

    $ENV{TEST_NGINX_REDIS_PATH} = $redis->path;
    $ENV{TEST_NGINX_REDIS_PORT} = $redis->port;
    $ENV{TEST_NGINX_LINE_PATH} = $line->path;
}

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Config;
use Test::Nginx::Ollama::Server;
use Time::HiRes qw(sleep time);

our $fake;

BEGIN {
    $fake = Test::Nginx::Ollama::Server->new;
    $ENV{TEST_NGINX_GARBAGE_PORT} = $fake->port;
}


# What is said of a command, its arguments in a list; first may come a query.

sub ask {
    my $query = $_[0] =~ /^\?/ ? shift : '';

    my $body = http("POST /redis$query", join("\n", @_))->body;
    chomp $body;

    return $body;
}


sub state_of { return ask('?state=1') }

sub wait_up {
    wait_for(sub { state_of() =~ /^available/ && ask('PING') =~ /PONG/ }, 15)
        or die "Redis stays unavailable\n";
}


# A connection to the server that isn't one, greeted as by Redis.

sub greeted {
    my $c = $fake->accept_half(14);

    $c->{in} = '';

    return $c->send("+PONG\r\n");
}


# its next command has come

sub command {
    my ($c, $pattern) = @_;

    $c->take while $c->{in} !~ /$pattern/;
    $c->{in} = '';
}


sub down_lines {
    return scalar grep { / is down: / } Test::Nginx::Ollama::error_lines();
}


# A server that answers the first command so, each of these in turn, is none.
# Not more of them than a few: nginx waits longer each time.  A worker that dies
# is seen in the log.

sub no_redis {
    my @answers = @_;

    for my $answer (@answers) {
        my $c = $fake->accept_half(14);

        $c->send($answer);
        $c->close if $answer =~ /\A(?:\+|\*2\r)/;

        wait_for(sub { state_of() =~ /^un/ });
        is(ask('PING'), 'unavailable', 'no Redis');
    }
}


# Sends it so slowly that it takes long, but is never silent for long.

sub send_slowly {
    my ($c, $bytes, $pause) = @_;

    for my $byte (split //, $bytes) {
        sleep $pause;
        $c->send($byte);
    }
}


# A command that is to take so many seconds, at least, and succeeds; another one
# behind it does, too, and Redis is never taken for down.

sub takes_long {
    my ($seconds, $expected, @command) = @_;

    my $began = time;
    my $client = client()->request('POST /redis', join "\n", @command);
    sleep 0.1;
    my $behind = client()->request('POST /redis', 'PING');

    is($client->reply->body, "$expected\n", 'it succeeds');
    cmp_ok(time - $began, '>', $seconds, 'but takes long');
    is($behind->reply->body, "status PONG\n", 'so does the one behind it');
    like(state_of(), qr/^available/, 'Redis is there');
    is(down_lines(), 0, 'and was');
}


# what nginx says to this line of http, and more in a location

sub check_redis { return check_config($_[1], undef, $_[0]) }


add_block_preprocessor(sub {
    my ($block) = @_;

    $_->revive for $redis, $other;
    $line->mend;
    $redis->cli('CONFIG', 'SET', 'requirepass', '');
    $redis->cli('REPLICAOF', 'NO', 'ONE');
    $redis->cli('FLUSHALL');
    $other->cli('FLUSHALL');

    # an earlier block's connections
    $fake->{socket}->accept while $fake->asked;

    $block->set_value('config', "location = /redis {\n"
                                . "    redis_probe;\n"
                                . "    client_max_body_size 16m;\n"
                                . "    client_body_buffer_size 16m;\n}\n")
        if !defined $block->config;
});

run_tests();

__DATA__

=== commands are answered, with replies of all kinds
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- test
is(ask('SET', 'a', 'one'), 'status OK', 'status');
is(ask('GET', 'a'), 'string one', 'string');
is(ask('GET', 'none'), 'nil', 'nil');
is(ask('INCR', 'n'), 'integer 1', 'integer');
ask('RPUSH', 'l', 1, '', 3);
is(ask('LRANGE', 'l', 0, -1), "array 3\nstring 1\nstring \nstring 3", 'array');
like(ask('HGET', 'a', 'b'), qr/\Arefused: WRONGTYPE /, 'error');
like(ask('NOSUCH'), qr/\Arefused: ERR unknown command/, 'unknown');
is(ask('?count=500', 'INCR', 'm'), join("\n", map { "integer $_" } 1 .. 500),
   'in order');
like(state_of(), qr/\Aavailable prefix=ollama: /, 'state');
--- error_log eval
qr/\[notice\] .* redis "unix:.*" is up$/



=== Redis by TCP and IPv6, with a prefix and a database
--- http_config
    ollama_redis [::1]:$TEST_NGINX_REDIS_PORT prefix=x: db=3;
--- test
is(ask('SET', 'a', 'one'), 'status OK', 'set');
is($main::redis->cli('-n', 3, 'GET', 'a'), 'one', 'database');
like(state_of(), qr/\Aavailable prefix=x: /, 'prefix');



=== Redis by a host name of which one address answers
--- http_config
    ollama_redis localhost:$TEST_NGINX_REDIS_PORT;
--- test
is(ask('PING'), 'status PONG', 'ping');



=== a database that does not exist: unavailable, and logged
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_REDIS_PORT db=99;
--- test
like(ask('PING'), qr/\A(?:error: SELECT failed: ERR |unavailable)/, 'ping');
is(ask('PING'), 'unavailable', 'and at once');
sleep 1;
is(down_lines(), 1, 'said once');
--- error_log eval
qr/\[error\] .* redis "127.0.0.1:\d+" is down: SELECT failed: ERR DB index/



=== login with a user and a password
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH user=super password=super;
--- test
is(ask('ACL', 'WHOAMI'), 'string super', 'who');



=== login with a password that Redis gets later
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH "password=a secret";
--- test
wait_for(sub { state_of() =~ /^un/ });
is(ask('PING'), 'unavailable', 'there is none');
$main::redis->cli('CONFIG', 'SET', 'requirepass', 'a secret');
wait_up();
is(ask('ACL', 'WHOAMI'), 'string default', 'who');
--- error_log eval
[qr/\[error\] .* is down: AUTH failed: ERR AUTH <password> called without/,
 qr/\[notice\] .* is up$/]
--- no_error_log
secret



=== a wrong password is logged without showing it
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH user=super password=scrt;
--- test
like(ask('PING'), qr/\A(?:error: AUTH failed: WRONGPASS |unavailable)/, 'ping');
is(ask('PING'), 'unavailable', 'and at once');
--- error_log eval
qr/\[error\] .* is down: AUTH failed: WRONGPASS/
--- no_error_log
scrt



=== a missing password is logged
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- init
$main::redis->cli('CONFIG', 'SET', 'requirepass', 'pw');
--- test
wait_up() if state_of() =~ /^available/ && ask('PING') =~ /PONG/;
$main::redis->cli('CONFIG', 'SET', 'requirepass', 'pw');
$main::redis->cli('CLIENT', 'KILL', 'TYPE', 'normal');
wait_for(sub { state_of() =~ /^un/ });
ok(error_log_has(qr/is down: NOAUTH/), 'said');
$main::redis->cli('CONFIG', 'SET', 'requirepass', '');
wait_up();
pass('and it comes back');
--- error_log eval
qr/is down: NOAUTH Authentication required/



=== Redis is down: commands fail at once, one log line; then it comes up
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- test
wait_up();
$main::redis->kill;
wait_for(sub { state_of() =~ /^un/ });

my $began = time;
is(ask('?count=50', 'PING'), 'unavailable (50)', 'unavailable');
cmp_ok(time - $began, '<', 0.5, 'at once');

sleep 2;
is(down_lines(), 2, 'two reasons: gone, not there');

$main::redis->revive;
wait_up();
is(ask('SET', 'a', 1), 'status OK', 'back');
--- error_log eval
[qr/is down: it closed the connection/, qr/is down: connection refused/]



=== commands in progress fail when Redis is killed
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=10s;
--- test
wait_up();
$main::redis->freeze;

my @clients = map { client()->request('POST /redis?count=3', 'PING') } 1 .. 3;
sleep 0.3;
$main::redis->kill;

for my $client (@clients) {
    like($client->reply->body,
         qr/\Aerror: (?:it closed the connection|connection reset.*) \(3\)$/,
         'fails');
}

$main::redis->revive;
wait_up();
--- error_log eval
qr/is down: (?:it closed|connection reset)/



=== a stalled Redis costs one timeout, later commands fail at once
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=400ms;
--- test
wait_up();
$main::redis->freeze;

my $began = time;
is(ask('?count=2', 'PING'), 'error: timed out (2)', 'time limit');
my $took = time - $began;
cmp_ok($took, '>=', 0.39, 'not before');
cmp_ok($took, '<', 2, 'nor much later');

$began = time;
is(ask('PING'), 'unavailable', 'the next one does not wait');
cmp_ok(time - $began, '<', 0.3, 'at once');

sleep 1;
$main::redis->thaw;
wait_up();
is(down_lines(), 1, 'said once');
--- error_log eval
qr/is down: timed out/



=== a large reply that comes slowly is waited for
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- test
wait_up();
$main::redis->cli('SETRANGE', 'a', 2_999_999, 'x');
$main::line->trickle(50_000, 0.05);
takes_long(2.5, 'string of 3000000', 'GET', 'a');



=== a large command that goes out slowly is waited for
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- test
wait_up();
$main::line->trickle(50_000, 0.05);
takes_long(2.5, 'status OK', 'SET', 'a', 'x' x 3_000_000);
is($main::redis->cli('STRLEN', 'a'), 3_000_000, 'all of it');



=== a reply that stops halfway ends with the time limit
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- test
wait_up();
$main::redis->cli('SETRANGE', 'a', 2_999_999, 'x');
$main::line->trickle(50_000, 0.05, 1_000_000);

my $began = time;
my $client = client()->request('POST /redis', "GET\na");
sleep 0.1;
my $behind = client()->request('POST /redis', 'PING');

is($client->reply->body, "error: timed out\n", 'no more came');
cmp_ok(time - $began, '>', 1.9, 'while some came it was waited for');
is($behind->reply->body, "error: timed out\n", 'the same for others');
is(ask('PING'), 'unavailable', 'and Redis is down');
$main::line->mend;
wait_up();
--- error_log eval
qr/is down: timed out/



=== a command that stops halfway ends with the time limit
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- test
wait_up();
$main::line->trickle(50_000, 0.05, 1_000_000);

my $began = time;
is(ask('SET', 'a', 'x' x 3_000_000), 'error: timed out', 'no more went out');
cmp_ok(time - $began, '>', 1.9, 'while some did it was waited for');
is(ask('PING'), 'unavailable', 'and Redis is down');
$main::line->mend;
wait_up();
is($main::redis->cli('EXISTS', 'a'), 0, 'half a command is none');
--- error_log eval
qr/is down: timed out/



=== commands that go out do not hide that no reply comes
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_REDIS_PORT timeout=1s;
--- test
wait_up();
$main::redis->freeze;

my $began = time;
my @clients = client()->request('POST /redis', 'PING');

while (time - $began < 5 && state_of() =~ /^available/) {
    push @clients, client()->request('POST /redis', 'PING');
    sleep 0.1;
}

cmp_ok(time - $began, '<', 4, 'it is known');
cmp_ok(@clients, '>', 3, 'while others were sent');
like($_->reply->body, qr/\A(?:error: timed out|unavailable)$/, 'fails')
    for @clients;
$main::redis->thaw;
wait_up();
--- error_log eval
qr/is down: timed out/



=== a greeting must come within the limit
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=1s;
--- test
my $c = $main::fake->accept_half(14);
# the connection is closed meanwhile
eval { send_slowly($c, '+PON', 0.5) };
ok(wait_for(sub { state_of() =~ /^un/ }), 'it has not');
is(ask('PING'), 'unavailable', 'unavailable');
--- error_log eval
qr/is down: timed out/



=== a command that waited for the connection has the whole limit afterwards
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
my $c = $main::fake->accept_half(14);
my $client = client()->request('POST /redis', "GET\na");
sleep 0.4;
$c->{in} = '';
$c->send("+PONG\r\n");
command($c, 'GET\r\n');
send_slowly($c, ":7777\r\n", 0.4);
is($client->reply->body, "integer 7777\n", 'answered');
$c->close;
ok(error_log_has(qr/is down: it closed the connection/), 'and gone');
--- error_log
is down: it closed the connection



=== an idle Redis may take long to answer PING
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
my $c = greeted();
command($c, 'PING\r\n');
send_slowly($c, "+PONG\r\n", 0.4);
like(state_of(), qr/^available/, 'it is there');
is(down_lines(), 0, 'and was');
$c->close;
ok(error_log_has(qr/is down: it closed the connection/), 'and gone');
--- error_log
is down: it closed the connection



=== a subscription may be confirmed slowly
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
    redis_probe_subscribe news;
--- test
my ($commands, $messages) = map { greeted() } 1 .. 2;

# which is which is known by what it sends
my $sockets = IO::Select->new(map { $_->{socket} } $commands, $messages);
my ($first) = $sockets->can_read(10);
($commands, $messages) = ($messages, $commands)
    if $first == $commands->{socket};

command($messages, 'SUBSCRIBE\r\n');
send_slowly($messages, "*3\r\n\$9\r\nsubscribe\r\n\$4\r\nnews\r\n:1\r\n", 0.1);
ok(wait_for(sub { state_of() =~ / began=1$/ }), 'subscribed');
is(down_lines(), 0, 'it was there all the time');
$_->close for $commands, $messages;
ok(error_log_has(qr/redis "\S+" is down: it closed/), 'and gone');
--- error_log eval
qr/is down: it closed the connection/



=== a long command only delays others, within the limit
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;
--- test
wait_up();
my $slow = client()->request('POST /redis', "DEBUG\nSLEEP\n0.5");
sleep 0.1;
is(ask('PING'), 'status PONG', 'second');
is($slow->reply->body, "status OK\n", 'first');



=== an idle Redis that stalls is detected before it is needed
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=300ms;
--- test
wait_up();
$main::redis->freeze;
wait_for(sub { state_of() =~ /^un/ }, 12);
like(state_of(), qr/^unavailable/, 'known');
$main::redis->thaw;
wait_up();
--- error_log eval
qr/is down: timed out/



=== a server that accepts and never answers is unavailable
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=500ms;
--- test
my $c = $main::fake->accept_half(14);
like(ask('PING'), qr/\A(?:error: timed out|unavailable)\z/, 'the first');
is(ask('PING'), 'unavailable', 'the next');
--- error_log eval
qr/is down: timed out/



=== a server that does not speak the Redis protocol does no harm
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
no_redis("HTTP/1.1 400 Bad Request\r\n\r\n", "\0\1\2\3\r\n",
         ":1\r\n", ":x\r\n", "*2\r\n+a\r\n");
--- error_log eval
[qr/invalid reply: Protocol error, got "H"/,
 qr/is down: invalid reply: it doesn't fit/]



=== numbers out of range in replies do no harm
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
no_redis("*2147483647\r\n", "\$99999999999999999999\r\n", "*1\r\n" x 20,
         "*-1\r\n", "\$-1\r\n");
--- error_log
is down: invalid reply: 



=== errors at the greeting are logged in Redis's words
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
no_redis("-ERR max number of clients reached\r\n", "+",
         "-LOADING Redis is loading\x1b the dataset in memory\r\n");
--- error_log eval
[qr/is down: ERR max number/, qr/is down: LOADING Redis is loading\? the/]
--- no_error_log eval
"\x1b"



=== invalid replies later in a connection do no harm
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
for my $garbage ("+OK\r\n", "+OK\r\n" x 100, "-ERR bye\r\n", "*0\r\n", "x",
                 "*3\r\n\$7\r\nmessage\r\n\$1\r\na\r\n\$1\r\nb\r\n")
{
    my $c = greeted();
    wait_for(sub { state_of() =~ /^available/ });
    $c->send($garbage);
    ok(wait_for(sub { state_of() =~ /^un/ }), 'not used any more');
}
--- timeout: 60
--- error_log eval
[qr/is down: ERR bye/, qr/is down: invalid reply: it doesn't fit/]



=== errors of Redis go to the caller, and the connection stays
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=2s;
--- test
my $c = greeted();

for my $error ('LOADING Redis is loading', 'NOAUTH Authentication required.',
               'MOVED 3999 127.0.0.1:6381', 'OOM command not allowed',
               'NOSCRIPT No matching script', '')
{
    my $client = client()->request('POST /redis', 'PING');
    command($c, 'PING\r\n');
    $c->send("-$error\r\n");
    is($client->reply->body, "refused: $error\n", $error);
}

is(down_lines(), 0, 'it stays');
$c->close;
ok(error_log_has(qr/is down: it closed the connection/), 'and is gone');
--- error_log
is down: it closed the connection



=== a replica refuses writes
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- test
wait_up();
$main::redis->cli('REPLICAOF', '127.0.0.1', 1);
like(ask('SET', 'a', 1), qr/\Arefused: READONLY /, 'write');
is(ask('PING'), 'status PONG', 'read');



=== the number of waiting commands is limited
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- test
wait_up();
$main::redis->freeze;
my $client = client()->request('POST /redis?count=1500', "SET\na\n1");
sleep 0.5;
$main::redis->thaw;
is($client->reply->body, "unavailable (476)\nstatus OK (1024)\n", 'bounded');
is(ask('?count=1000', 'PING'), 'status PONG (1000)', 'and free again');



=== commands before the first connection wait for it
--- http_config
    ollama_redis 127.0.0.1:$TEST_NGINX_GARBAGE_PORT timeout=5s;
--- test
my $c = $main::fake->accept_half(14);
like(state_of(), qr/^available/, 'hoped for');
my $client = client()->request('POST /redis?count=1100', "GET\na");
sleep 0.2;
ok(!$main::fake->asked && $c->{in} !~ /GET/, 'not sent yet');
$c->send("+PONG\r\n");
$c->take while 1024 > (() = $c->{in} =~ /GET\r\n\$1\r\na\r\n/g);
$c->send(":7\r\n" x 1024);
is($client->reply->body, "unavailable (76)\ninteger 7 (1024)\n", 'answered');

$c->close;
ok(error_log_has(qr/is down: it closed the connection/), 'and gone');
--- error_log
is down: it closed the connection



=== large commands and replies
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=20s;
--- test
is(ask('SET', 'a', 'x' x 10_000_000), 'status OK', 'set');
is(ask('GET', 'a'), 'string of 10000000', 'get');
is($main::redis->cli('STRLEN', 'a'), 10_000_000, 'length');
is(ask('?count=20', 'GET', 'a'), 'string of 10000000 (20)', 'many');
like(ask('?count=20', 'APPEND', 'b', 'y' x 10_000_000),
     qr/\Aunavailable \(7\)\n/, 'only so many bytes wait');



=== a command whose caller has gone is carried out
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- test
wait_up();
is(ask('?forget=1&count=3', 'INCR', 'a'), 'forgotten (3)', 'forgotten');
ok(wait_for(sub { $main::redis->cli('GET', 'a') == 3 }), 'done');
is(ask('?forget=1&script=1', 'b', 'x'), 'forgotten', 'script');
ok(wait_for(sub { $main::redis->cli('GET', 'b') eq 1 }), 'done');



=== a client that leaves while Redis is waited for
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=10s;
--- test
wait_up();
$main::redis->freeze;

for (1 .. 5) {
    my $client = client()->request('POST /redis?count=10', "INCR\na");
    sleep 0.05;
    $client->close;
}

ok(access_log(qr/ 499 /), 'it left');
$main::redis->thaw;
is(ask('INCR', 'a'), 'integer 51', 'done');



=== a script is sent when Redis does not have it cached
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
--- test
my $reply = "array 4\nstring k\nstring v\ninteger 1\ninteger 2";
is(ask('?script=1', 'k', 'v', 'w'), $reply, 'first');
is(ask('?script=1', 'k', 'v', 'w'), $reply, 'second');
$main::redis->cli('SCRIPT', 'FLUSH');
is(ask('?script=1&count=3', 'k', 'v', 'w'), join("\n", ($reply) x 3),
   'forgotten by Redis, three at once');
is($main::redis->cli('GET', 'k'), 5, 'each was done once');
$main::redis->cli('SET', 'k', 'x');
like(ask('?script=1', 'k', 'v'), qr/\Arefused: ERR /, 'its error');



=== messages arrive, and a reconnect is reported to the subscriber
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
    redis_probe_subscribe news;
--- test
ok(wait_for(sub { state_of() =~ / began=1$/ }), 'began');
$main::redis->cli('PUBLISH', 'news', 'a');
$main::redis->cli('PUBLISH', 'other', 'b');
ok(wait_for(sub { state_of() =~ / began=1 a$/ }), 'message');

$main::redis->cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
ok(wait_for(sub { state_of() =~ / began=2 a$/ }), 'began again');
$main::redis->cli('PUBLISH', 'news', 'c');
ok(wait_for(sub { state_of() =~ / began=2 a c$/ }), 'message');

$main::redis->cli('CLIENT', 'KILL', 'TYPE', 'normal');
ok(wait_for(sub { state_of() =~ / began=3 a c$/ }),
   'commands can be sent again');

$main::redis->kill;
$main::redis->revive;

# commands may be sent again before there is a subscription
ok(wait_for(sub { $main::redis->cli('PUBSUB', 'NUMSUB', 'news') =~ /^1$/m
                  && state_of() =~ / began=[4-9] a c$/ }, 15), 'all anew');
$main::redis->cli('PUBLISH', 'news', 'd' x 900);
ok(wait_for(sub { state_of() =~ / a c d{900}$/ }), 'message');
--- error_log eval
[qr/redis "\S+" for messages is down: /, qr/redis "\S+" is down: /,
 qr/redis "\S+" for messages is up$/]



=== a subscription on a dead connection is renewed
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=500ms;
    redis_probe_subscribe news;
--- test
ok(wait_for(sub { state_of() =~ / began=1$/ }), 'began');
sleep 5.5;
like(state_of(), qr/ began=1$/, 'it may be idle');
$main::redis->freeze;
ok(error_log_has(qr/for messages is down: timed out/), 'known');
$main::redis->thaw;
ok(wait_for(sub { state_of() =~ / began=[23]$/ }, 8), 'began again');
--- error_log eval
qr/for messages is down: timed out/



=== a user without permission to subscribe
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH user=mute password=pw;
    redis_probe_subscribe news;
--- test
$main::redis->cli(qw(ACL SETUSER mute on >pw ~* +@all resetchannels));
wait_up();
ok(error_log_has(qr/for messages is down: SUBSCRIBE failed: NOPERM/), 'said');
is(ask('PING'), 'status PONG', 'but commands are taken');
like(state_of(), qr/ began=0/, 'no subscription');
--- error_log eval
qr/for messages is down: SUBSCRIBE failed: NOPERM/



=== a reload changes the address of Redis
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH;
    redis_probe_subscribe news;
--- test
wait_up();
ask('SET', 'a', 'old');

my $file = conf_dir() . '/nginx.conf';
my $text = Test::Nginx::Ollama::read_file($file);
my ($from, $to) = ($main::redis->path, $main::other->path);

$text =~ s/\Q$from\E/$to/;
Test::Nginx::Ollama::write_file($file, $text);

reload();
wait_up();
is(ask('GET', 'a'), 'nil', 'the other one');
is(ask('SET', 'a', 'new'), 'status OK', 'is used');
is($main::redis->cli('GET', 'a'), 'old', 'and not the first');
ok(wait_for(sub { $main::redis->cli('CLIENT', 'LIST') !~ /subscribe/ }),
   'left');
$main::other->cli('PUBLISH', 'news', 'x');
ok(wait_for(sub { state_of() =~ / began=1 x$/ }), 'messages');
--- error_log
is up



=== a worker that shuts down waits for its commands, no longer
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=5s;
--- test
wait_up();
$main::redis->freeze;

my $client = client()->request('POST /redis', "SET\na\n1");
my $forgotten = ask('?forget=1', 'SET', 'b', 1);

kill QUIT => nginx_pid();
sleep 0.5;
$main::redis->thaw;

is($client->reply->body, "status OK\n", 'answered');
$client->close;
ok(wait_for(sub { $main::redis->cli('GET', 'b') eq 1 }), 'the other done');
ok(wait_for(sub { !-f "$ENV{TEST_NGINX_SERVROOT}/logs/nginx.pid" }),
   'ended');



=== a worker that is terminated does not wait
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=60s;
    redis_probe_subscribe news;
--- test
wait_up();
$main::redis->freeze;

my $client = client()->request('POST /redis?count=10', "SET\na\n1");
sleep 0.2;
kill TERM => nginx_pid();
ok(wait_for(sub { !-f "$ENV{TEST_NGINX_SERVROOT}/logs/nginx.pid" }, 10),
   'ended');
$main::redis->thaw;



=== worker_shutdown_timeout ends the wait for Redis
--- main_config
    worker_shutdown_timeout 300ms;
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=60s;
    redis_probe_subscribe news;
--- test
wait_up();
$main::redis->freeze;

my $client = client()->request('POST /redis?count=10', "SET\na\n1");
sleep 0.2;
kill QUIT => nginx_pid();
ok(wait_for(sub { !-f "$ENV{TEST_NGINX_SERVROOT}/logs/nginx.pid" }, 10),
   'ended');
$main::redis->thaw;



=== without ollama_redis commands are unavailable
--- config
    location = /redis { redis_probe; }
--- test
is(ask('PING'), 'unavailable', 'unavailable');
like(state_of(), qr/\Aunavailable prefix=- /, 'state');



=== invalid parameters of ollama_redis are refused
--- test
my @wrong = (
    ['', qr/invalid number of arguments in "ollama_redis"/],
    ['unix:/x db=x', qr/invalid parameter "db=x", expected "db=number"/],
    ['unix:/x db=-1', qr/invalid parameter "db=-1"/],
    ['unix:/x "prefix={a}"', qr/invalid parameter "prefix=\{a\}"/],
    ['unix:/x "prefix=a b"', qr/invalid parameter "prefix=a b"/],
    ['unix:/x prefix=' . 'a' x 129, qr/invalid parameter/],
    ['unix:/x timeout=1ms', qr/no less than 10ms/],
    ['unix:/x timeout=0', qr/invalid parameter "timeout=0"/],
    ['unix:/x timeout=x', qr/invalid parameter "timeout=x"/],
    ['unix:/x user=a', qr/has "user=" without "password="/],
    ['unix:/x password=', qr/has an empty "password="/],
    ['unix:/x nope', qr/invalid parameter "nope"/],
    ['unix:/' . 'x' x 200, qr/too long path .* expected "host\[:port\]"/],
    ['unix:', qr/no path in the unix domain socket/],
    ['redis://127.0.0.1', qr/no address in "redis:.* expected "host\[:port\]"/],
    ['db=1', qr/no address in "db=1" of the "ollama_redis" directive/],
    ['127.0.0.1:99999', qr/invalid port in "127.0.0.1:99999"/],
    ['no.such.host.invalid', qr/host not found in "no.such.host.invalid"/],
    ['unix:/x timeout=60s', qr/"timeout=60000ms" of "ollama_redis" must be (?x:
                               )less than "send_timeout" of location "\/api\/"/]
);

like(check_redis("ollama_redis $_->[0];"), $_->[1], $_->[0]) for @wrong;

like(check_redis('ollama_redis unix:/x; ollama_redis unix:/y;'),
     qr/"ollama_redis" directive is duplicate/, 'twice');
like(check_redis('ollama_redis unix:/x;', 'send_timeout 1s;'),
     qr/must be less than "send_timeout" .* which is 1000ms/, 'send_timeout');

is(check_redis("ollama_redis $_;"), '', $_)
    for 'off', 'unix:/x', '127.0.0.1', '[::1]:1 db=0 prefix= timeout=59s',
        'localhost user=a "password=a b=c" prefix=a:b';
