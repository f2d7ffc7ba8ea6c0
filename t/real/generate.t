#!/usr/bin/perl

# /api/generate and the embeddings of Ollama's own API

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Real;
use Test::More;

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama);

sub generate {
    my ($more, $model) = @_;

    $model //= 'smollm2:135m';
    return qq({"model":"$model","prompt":"Once upon a time",)
           . qq("options":{"temperature":0,"seed":1,"num_predict":16}$more});
}

my ($direct, $through);


(undef, $through) = same('a stream', POST => '/api/generate', generate(''));
like($through->{body}, qr/"done":true.*"context":\[.*\n\z/, 'a last frame');

same('without a stream', POST => '/api/generate', generate(',"stream":false'));
same('a system prompt', POST => '/api/generate',
     generate(',"system":"You are a pirate."'));
same('raw', POST => '/api/generate', generate(',"raw":true'));
same('with probabilities', POST => '/api/generate',
     generate(',"logprobs":true,"top_logprobs":2'));
same('an unknown model', POST => '/api/generate', generate('', 'nope'));
same('a name in capitals, without its tag', POST => '/api/generate',
     generate('', 'OTHER'));
same('no prompt: load', POST => '/api/generate', '{"model":"smollm2:135m"}');

same('one embedding', POST => '/api/embed',
     '{"model":"smollm2:135m","input":"sky"}');
same('two embeddings', POST => '/api/embed',
     '{"model":"smollm2:135m","input":["sky","sea"]}');
same('an embedding, the old way', POST => '/api/embeddings',
     '{"model":"smollm2:135m","prompt":"sky"}');
same('embedding by an unknown model', POST => '/api/embed',
     '{"model":"nope","input":"sky"}');
same('the old way, by an unknown model', POST => '/api/embeddings',
     '{"model":"nope","prompt":"sky"}');

Real::end();
done_testing();
