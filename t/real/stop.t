#!/usr/bin/perl

# Who goes away, or says stop, stops the engine, whatever the moment.
#
# No clocks: the engine's processor time tells how much it has generated, and it
# does one thing at a time, so that the next answer comes when it is free.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Real;
use Test::More;
use Time::HiRes qw(sleep);

my $ollama = Real::ollama(OLLAMA_NUM_PARALLEL => 1);
my $nginx = Real::nginx($ollama);

my $prompt = 'Write a very long story about a whale.';
my $few = 300;

sub chat {
    my ($n, $more) = @_;

    return qq({"model":"smollm2:135m","messages":[{"role":"user",)
           . qq("content":"$prompt"}],"options":{"temperature":0,"seed":1,)
           . qq("num_predict":$n} $more});
}

# connections of nginx to the server, as the kernel knows them
sub connections {
    my $port = sprintf '%04X', $ollama->{port};

    return scalar grep { / 0100007F:\w{4} 0100007F:$port 01 / }
                  split /\n/, Real::slurp('/proc/net/tcp');
}


# what the whole would cost

my ($whole, $answer, $before);

$ollama->post('/api/chat', chat(1, ''));
$before = $ollama->work;
$answer = $ollama->post('/api/chat', chat($few, ',"stream":false'));
$whole = $ollama->work - $before;
is(decode($answer->{body})->{eval_count}, $few, 'the story is long');

# idle(title): it uses no processor any more, and its log says that the answer
# has ended, while the client has only said stop

sub idle {
    my ($title, $ended) = @_;
    my ($was, $now) = (-1);

    ok(wait_for(20, sub {
        sleep 0.5;
        ($was, $now) = ($now // -1, $ollama->work);
        return $now == $was;
    }), "$title: its processor time stands still");
    cmp_ok($ollama->work - $before, '<', $whole / 3,
           "$title: and is far from that of the whole");
    ok(wait_for(20, sub { answers() > $ended }),
       "$title: its log has the end of the answer");
}

# how many chats the server's log has
sub answers {
    return scalar grep { /POST\s+"\/(?:api|v1)\/chat/ }
                  split /\n/, Real::slurp($ollama->{log});
}

# stopped(title): the engine is free, and has spent little since "before"
sub stopped {
    my ($title) = @_;

    $ollama->post('/api/chat', chat(1, ''));
    cmp_ok($ollama->work - $before, '<', $whole / 3,
           "$title: the engine stops (of $whole ticks)");
    ok(wait_for(10, sub { connections() == 0 }),
       "$title: the server's connection is closed");
}


# the client goes away

for (['/api/chat', chat($few, '')],
     ['/api/generate', qq({"model":"smollm2:135m","prompt":"$prompt",)
                       . qq("options":{"num_predict":$few}})],
     ['/v1/chat/completions', qq({"model":"smollm2:135m","stream":true,)
                              . qq("max_tokens":$few,"messages":[)
                              . qq({"role":"user","content":"$prompt"}]})])
{
    my ($path, $body) = @$_;

    $before = $ollama->work;
    $answer = $nginx->begin(POST => $path, $body);
    ok($answer->until_match(qr/^.+\n+.+\n+.+\n/m), "$path: some frames");
    $answer->go;
    stopped("$path, gone");
}

{
    # nothing has been sent yet when there is no stream: the engine tells that
    # it is at work
    $before = $ollama->work;
    $answer = $nginx->begin(POST => '/api/chat', chat($few, ',"stream":false'));
    ok(wait_for(60, sub { $ollama->work > $before + $whole / 20 }),
       'no stream: the engine works');
    $answer->go;
    stopped('no stream, gone');
}


# the client says stop

SKIP: {
    skip 'OLLAMA_REAL_PLAIN: stop is the module\'s', 1 if plain();

    my ($line, $cancel, $ended);

    $before = $ollama->work;
    $answer = $nginx->begin(POST => '/api/chat',
                            chat($few, ',"task_id":"whale"'));
    ok($answer->until_match(qr/^.+\n.+\n.+\n/m), 'some frames');
    is($answer->{headers}{'x-ollama-task-id'}, 'whale', 'the task is named');

    $ended = answers();
    $cancel = $nginx->post('/api/chat/cancel/whale', '');
    is($cancel->{status}, 200, 'stop is accepted');
    like($cancel->{body}, qr/"cancelled": *true/, 'and said');
    idle('stop', $ended);

    $answer->rest;
    ok($answer->{complete}, 'the stream ends properly')
        or diag($answer->{error});
    $line = decode((split /\n/, $answer->{body})[-1]);
    ok($line->{done}, 'with a last frame');
    is($line->{done_reason}, 'cancelled', 'that says why');
    stopped('stop');

    $cancel = $nginx->post('/api/chat/cancel/whale', '');
    is($cancel->{status}, 404, 'a second stop finds nothing');

    $before = $ollama->work;
    $answer = $nginx->begin(POST => '/api/chat',
                            chat($few, ',"stream":false,"task_id":"whale"'));
    ok(wait_for(60, sub { $ollama->work > $before + $whole / 20 }),
       'no stream: the engine works');
    $ended = answers();
    $cancel = $nginx->post('/api/chat/cancel/whale', '');
    is($cancel->{status}, 200, 'no stream: stop is accepted');
    idle('no stream, stop', $ended);
    $answer->rest;
    is(decode($answer->{body})->{done_reason}, 'cancelled',
       'no stream: the answer says why');
    stopped('no stream, stop');

    $before = $ollama->work;
    $answer = $nginx->begin(POST => '/v1/chat/completions',
        qq({"model":"smollm2:135m","stream":true,"max_tokens":$few,)
        . qq("messages":[{"role":"user","content":"$prompt"}]}),
        headers => ['X-Ollama-Task-Id: whale']);
    ok($answer->until_match(qr/^.+\n\n.+\n\n/m), '/v1: some frames');
    $cancel = $nginx->post('/api/chat/cancel/whale', '');
    is($cancel->{status}, 200, '/v1: stop is accepted');
    $answer->rest;
    ok($answer->{complete}, '/v1: the stream ends properly');
    like($answer->{body}, qr/"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n\z/,
         '/v1: with a last frame');
    stopped('/v1, stop');
}


# the server is none the worse for it

same('afterwards', POST => '/api/chat', chat(8, ''));

Real::end();
done_testing();
