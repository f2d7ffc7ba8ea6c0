#!/usr/bin/perl

# OpenAI's and Anthropic's forms: /v1

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Real;
use Test::More;

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama);

my $messages = '"messages":[{"role":"user","content":"Why is the sky blue?"}]';
my $few = '"temperature":0,"seed":1,"max_tokens":16';

# body(model, members...)
sub body { my $model = shift; '{' . join(',', qq("model":"$model"), @_) . '}' }

for my $model ('smollm2:135m', 'Other', 'nope') {
    my $streamed = '"stream":true';
    my $usage = '"stream_options":{"include_usage":true}';
    my $through;

    same("chat, $model", POST => '/v1/chat/completions',
         body($model, $messages, $few));
    (undef, $through) = same("chat as a stream, $model",
                             POST => '/v1/chat/completions',
                             body($model, $messages, $few, $streamed));
    like($through->{body}, qr/^data: \[DONE\]\n\n\z/m, 'done')
        if $model ne 'nope';
    same("chat as a stream with usage, $model",
         POST => '/v1/chat/completions',
         body($model, $messages, $few, $streamed, $usage));

    same("completion, $model", POST => '/v1/completions',
         body($model, '"prompt":"Once upon a time"', $few));
    same("completion as a stream, $model", POST => '/v1/completions',
         body($model, '"prompt":"Once upon a time"', $few, $streamed));

    $few =~ s/max_tokens/max_output_tokens/;
    same("response, $model", POST => '/v1/responses',
         body($model, '"input":"Why is the sky blue?"', $few));
    same("response as a stream, $model", POST => '/v1/responses',
         body($model, '"input":"Why is the sky blue?"', $few, $streamed));
    $few =~ s/max_output_tokens/max_tokens/;

    same("message, $model", POST => '/v1/messages',
         body($model, $messages, $few));
    same("message as a stream, $model", POST => '/v1/messages',
         body($model, $messages, $few, $streamed));

    same("embedding, $model", POST => '/v1/embeddings',
         body($model, '"input":["sky","sea"]'));
}

same('no messages', POST => '/v1/chat/completions',
     '{"model":"smollm2:135m","messages":[]}');

Real::end();
done_testing();
