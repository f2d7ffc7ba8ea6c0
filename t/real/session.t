#!/usr/bin/perl

# A conversation with a real model, by its session alone: the model knows what
# was said two turns ago, though nginx and Redis were killed meanwhile and
# another gateway goes on with it; and it is stopped from a third one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Real;
use Test::More;
use Test::Nginx::Ollama::Redis;
use Time::HiRes qw(sleep);

plan skip_all => 'OLLAMA_REAL_PLAIN: sessions are the module\'s' if plain();

my $redis = Test::Nginx::Ollama::Redis->start('--appendonly', 'yes',
                                              '--appendfsync', 'always');
my $ollama = Real::ollama(OLLAMA_NUM_PARALLEL => 1);

my $json = JSON::PP->new->utf8->canonical;
my $options = { temperature => 0, seed => 1, num_predict => 24 };

sub gateway {
    my $nginx = Real::nginx($ollama, upstream => 'zone ollama 1m;'
                                                 . ' ollama_balance;',
                            http => 'ollama_redis unix:' . $redis->path . ';');

    ok(wait_for(20, sub {
        $nginx->get('/api/chat/session/0')->{status} == 404;
    }), 'a gateway has its Redis');

    return $nginx;
}

# kill -9 of all of it

sub killed {
    my ($nginx) = @_;

    cmp_ok(scalar Real::killed($nginx), '>', 1, 'it had workers');
}

sub user { return { role => 'user', content => $_[0] } }

my $id;

sub say_to {
    my ($nginx, $text, %more) = @_;

    return $nginx->begin(POST => '/api/chat', $json->encode({
        session_id => $id, messages => [ user($text) ],
        options => $options, %more,
    }));
}

# what was said, once it is all there

sub said {
    my ($answer, $title) = @_;

    $answer->rest;

    is($answer->{status}, 200, "$title: is answered");
    ok($answer->{complete}, "$title: to the end");

    my @frames = map { decode($_) } split /\n/, $answer->{body};
    ok($frames[-1]{saved}, "$title: it is saved");
    is($frames[-1]{session_id}, $id, "$title: in the session");

    return join '', map { $_->{message}{content} } @frames;
}


# two turns, each at a gateway that is killed afterwards

my $one = gateway();
my $two = gateway();

$id = decode($one->post('/api/chat/session', '{"model":"smollm2:135m"}')
             ->{body})->{session_id};

my @texts = ('The name of my cat is Berta.', 'Say hello.',
             'What is the name of my cat?');
my @replies = said(say_to($one, $texts[0]), 'first turn');

killed($one);

push @replies, said(say_to($two, $texts[1]), 'second turn, elsewhere');

$redis->kill;
$redis->revive;

my $three = gateway();

push @replies, said(say_to($three, $texts[2]), 'third turn, elsewhere');
like($replies[2], qr/Berta/, 'it knows what was said two turns ago');


# the model was sent what it would have been sent by a client that knows it all

{
    my @messages = map { (user($texts[$_]),
                          { role => 'assistant', content => $replies[$_] }) }
                   0, 1;

    my $direct = decode($ollama->post('/api/chat', $json->encode({
        model => 'smollm2:135m', stream => JSON::PP::false,
        messages => [ @messages, user($texts[2]) ], options => $options,
    }))->{body});

    is($replies[2], $direct->{message}{content}, 'as without a session');

    my $alone = decode($ollama->post('/api/chat', $json->encode({
        model => 'smollm2:135m', stream => JSON::PP::false,
        messages => [ user($texts[2]) ], options => $options,
    }))->{body});

    unlike($alone->{message}{content}, qr/Berta/, 'else it does not know');
}


# stopped from another gateway

ok(wait_for(20, sub { $two->get('/api/chat/session/0')->{status} == 404 }),
   'the second gateway is back at Redis');

my $story = say_to($two, 'Tell me a very long story.',
                   options => { %$options, num_predict => 2000 });
ok($story->until_match(qr/^.+\n.+\n.+\n/m), 'a long story');

my $stop = $three->post("/api/chat/cancel/$id", '');
is($stop->{status}, 200, 'is stopped from another gateway, by its session');

my $part = said($story, 'the story');
my $last = decode((split /\n/, $story->{body})[-1]);
is($last->{done_reason}, 'cancelled', 'the story says why it ends');

my ($was, $now) = (-1);
ok(wait_for(20, sub {
    sleep 0.5;
    ($was, $now) = ($now // -1, $ollama->work);
    return $now == $was;
}), 'the engine stands still');


# all of it can be read

my $session = decode($three->get("/api/chat/session/$id")->{body});
my @messages = @{ $session->{messages} };

is(join(' ', map { $_->{role} } @messages),
   join(' ', ('user assistant') x 4), 'who spoke');
is(join(' ', map { $_->{status} } @messages),
   join(' ', ('complete') x 7, 'cancelled'), 'and how that ended');
is(join('|', map { $_->{content} } @messages[1, 3, 5]), join('|', @replies),
   'what was said');
is($messages[7]{content}, $part, 'up to where it was stopped');
is($session->{active_task}, undef, 'nothing runs');
is($session->{title}, $texts[0], 'its title');

Real::end(qr/redis .* is down: /);
done_testing();
