#!/usr/bin/perl

# Chat through nginx is chat with the server: same frames, same bytes, and each
# as soon as it is there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Real;
use Test::More;

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama);

sub chat {
    my ($more, $model) = @_;

    $model //= 'smollm2:135m';
    return qq({"model":"$model","messages":[{"role":"user",)
           . qq("content":"Why is the sky blue?"}],"options":{"temperature":0,)
           . qq("seed":1,"num_predict":24}$more});
}

my ($direct, $through);


($direct, $through) = same('a stream', POST => '/api/chat', chat(''));
like($through->{body}, qr/"done":true.*\n\z/, 'a last frame');
cmp_ok($through->{body} =~ tr/\n//, '>', 10, 'many frames');

same('without a stream', POST => '/api/chat', chat(',"stream":false'));
same('with a stream asked for', POST => '/api/chat', chat(',"stream":true'));
same('JSON', POST => '/api/chat', chat(',"format":"json"'));


# a system prompt reaches the model

{
    my $messages = '"messages":[{"role":"user","content":"Who are you?"}]';
    my $system = '{"role":"system","content":"You are a pirate. Say arr!"},';
    my $options = '"stream":false,"options":{"temperature":0,"num_predict":24}';
    my $model = '"model":"smollm2:135m"';
    my ($without, $with);

    (undef, $without) = same('no system prompt', POST => '/api/chat',
                             "{$model,$options,$messages}");
    $messages =~ s/\[/[$system/;
    (undef, $with) = same('a system prompt', POST => '/api/chat',
                          "{$model,$options,$messages}");
    isnt(decode($with->{body})->{message}{content},
         decode($without->{body})->{message}{content},
         'the system prompt changes the answer');
}


# frames arrive while the engine works: most of its work comes after the first

{
    my ($answer, $before, $first, $last);

    $before = $ollama->work;
    $answer = $nginx->begin(POST => '/api/chat',
                            chat('') =~ s/"num_predict":24/"num_predict":100/r);

    ok($answer->until_match(qr/^\{.*\}$/m), 'the first frame');
    $first = $ollama->work;
    unlike($answer->{body}, qr/"done":true/, 'it comes before the last');

    $answer->rest;
    $last = $ollama->work;
    ok($answer->{complete}, 'the stream ends properly');

    cmp_ok($last - $first, '>', ($last - $before) / 2,
           'the engine works on after the first frame');
    cmp_ok($answer->{reads}, '>', ($answer->{body} =~ tr/\n//) / 4,
           'frames come one by one');
}


# names

same("a model's name in capitals", POST => '/api/chat',
     chat('', 'SmolLM2:135M'));
same("a model's name without its tag", POST => '/api/chat', chat('', 'other'));
same('both', POST => '/api/chat', chat('', 'Other'));

(undef, $through) = same('an unknown model', POST => '/api/chat',
                         chat('', 'nope'));
is($through->{status}, 404, 'not found');

(undef, $through) = same("a tag that isn't there", POST => '/api/chat',
                         chat('', 'smollm2'));
is($through->{status}, 404, 'not found');


# loading

(undef, $through) = same('no messages: load', POST => '/api/chat',
                         '{"model":"smollm2:135m","messages":[]}');
like($through->{body}, qr/"done_reason":"load"/, 'loaded');
same('no list of messages: load', POST => '/api/chat',
     '{"model":"smollm2:135m"}');

Real::end();
done_testing();
