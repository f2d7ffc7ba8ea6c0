#!/usr/bin/perl

# Two real models talk to each other (the same weights under two names): each
# turn is what the model answers to a client that sends it what it has heard;
# the conversation is stopped in the middle, read back, and gone on with.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";

use Real;
use Test::More;
use Test::Nginx::Ollama::Redis;
use Time::HiRes qw(sleep);

plan skip_all => "OLLAMA_REAL_PLAIN: conversations are the module's" if plain();

my $redis = Test::Nginx::Ollama::Redis->start;
my $ollama = Real::ollama(OLLAMA_NUM_PARALLEL => 1);
my $nginx = Real::nginx($ollama, upstream => 'zone ollama 1m; ollama_balance;',
                        http => 'ollama_redis unix:' . $redis->path . ';');

my $json = JSON::PP->new->utf8->canonical;
my $options = { temperature => 0, seed => 1, num_predict => 16 };
my @models = ('smollm2:135m', 'other:latest');
my %prompts = ('smollm2:135m' => 'You are a poet.',
               'other:latest' => 'You are a cook.');
my $initial = 'Why is the sky blue?';

sub body {
    return $json->encode({ models => \@models, initial_message => $initial,
                           system_prompts => \%prompts, options => $options,
                           @_ });
}

sub frames { return map { decode($_) } split /\n/, $_[0]{body} }

ok(wait_for(20, sub {
    $nginx->get('/api/chat/session/0')->{status} == 404;
}), 'the gateway has its Redis');


# four turns, frame by frame

my $talk = $nginx->begin(POST => '/api/chat/multi-model',
                         body(max_turns => 4));
ok($talk->until_match(qr/^.+\n.+\n/m), 'the first frames');
unlike($talk->{body}, qr/"turn":2/, 'come before the next turn');
$talk->rest;

is($talk->{status}, 200, 'two models talk');
ok($talk->{complete}, 'to the end');

my @frames = frames($talk);
my $last = pop @frames;

is($last->{type}, 'conversation', 'the last line is the conversation\'s');
is($last->{done_reason}, 'max_turns', 'it says why it ends');
is($last->{turns}, 4, 'after how many turns');

my @said;

for my $turn (1 .. 4) {
    my @of = grep { $_->{turn} == $turn } @frames;

    cmp_ok(scalar @of, '>', 2, "turn $turn comes in frames");
    is(scalar(grep { $_->{participant} ne $models[($turn - 1) % 2] } @of), 0,
       "turn $turn: who speaks");
    is(scalar(grep { $_->{done} } @of), 1, "turn $turn: one last frame");
    ok($of[-1]{done} && $of[-1]{eval_count} > 0, "turn $turn: statistics");

    push @said, join '', map { $_->{message}{content} } @of;
}


# each heard what it was to hear: so it says to a client that tells it that

for my $turn (1 .. 4) {
    my $self = ($turn - 1) % 2;
    my @messages = ({ role => 'system', content => $prompts{$models[$self]} },
                    { role => 'user', content => $initial });

    for my $before (0 .. $turn - 2) {
        push @messages, { role => $before % 2 == $self ? 'assistant' : 'user',
                          content => $said[$before] };
    }

    my $direct = decode($ollama->post('/api/chat', $json->encode({
        model => $models[$self], messages => \@messages,
        stream => JSON::PP::false, options => $options }))->{body});

    is($said[$turn - 1], $direct->{message}{content},
       "turn $turn: as it says to a client");
}


# stopped in the middle, and read back

my $id = decode($nginx->post('/api/chat/session', '{}')->{body})
         ->{session_id};

$talk = $nginx->begin(POST => '/api/chat/multi-model',
                      body(session_id => $id, max_turns => 100,
                           options => { %$options, num_predict => 30 }));
ok($talk->until_match(qr/"turn":3.*\n.*"turn":3.*\n/), 'the third turn');
is($nginx->post("/api/chat/cancel/$id", '')->{status}, 200, 'is stopped');
$talk->rest;

@frames = frames($talk);
$last = pop @frames;

ok($talk->{complete}, 'it ends properly');
is($last->{done_reason}, 'cancelled', 'and says why');
is($last->{turns}, 2, 'after two turns');
is($last->{session_id}, $id, 'in its session');

my ($was, $now) = (-1);
ok(wait_for(20, sub {
    sleep 0.5;
    ($was, $now) = ($now // -1, $ollama->work);
    return $now == $was;
}), 'the engine stands still');

@said = map {
    my $turn = $_;
    join '', map { $_->{message}{content} }
             grep { $_->{turn} == $turn } @frames;
} 1 .. 3;

my @stored = @{ decode($nginx->get("/api/chat/session/$id")->{body})
                ->{messages} };

is(join('|', map { $_->{content} } @stored), join('|', $initial, @said),
   'what was said is read back');
is(join(' ', map { $_->{participant} // '-' } @stored),
   "- @models $models[0]", 'who said it');
is(join(' ', map { $_->{status} } @stored),
   'complete complete complete cancelled', 'and how it ended');


# and gone on with

$talk = $nginx->post('/api/chat/multi-model',
                     body(session_id => $id, max_turns => 2,
                          initial_message => 'Go on.',
                          stream => JSON::PP::false));
$last = decode($talk->{body});

is($talk->{status}, 200, 'it goes on');
is(scalar @{ $last->{replies} }, 2, 'with two replies');
ok($last->{saved}, 'which are saved');

@stored = @{ decode($nginx->get("/api/chat/session/$id")->{body})
             ->{messages} };
is(scalar @stored, 7, 'behind the others');
is($stored[6]{content}, $last->{replies}[1]{message}{content}, 'as said');

Real::end();
done_testing();
