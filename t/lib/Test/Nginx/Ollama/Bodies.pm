package Test::Nginx::Ollama::Bodies;

# Bodies of requests for the model "m1", as text.
#
#     $chat       for /api/chat: a stream
#     $one        likewise: a reply in one piece
#     $openai     for /v1/chat/completions: a stream
#     $claude     for /v1/messages: a stream
#     $prompt     for /api/generate, /v1/completions and /v1/responses: a stream

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw($chat $one $openai $claude $prompt);

my $hi = '"messages":[{"role":"user","content":"hi"}]';

our $chat = "{\"model\":\"m1\",$hi}";
our $one = '{"model":"m1","stream":false,"messages":[{"role":"user"}]}';
our $openai = "{\"model\":\"m1\",\"stream\":true,$hi}";
our $claude = "{\"model\":\"m1\",\"stream\":true,\"max_tokens\":9,$hi}";
our $prompt = '{"model":"m1","stream":true,"prompt":"hi","input":"hi"}';

1;
