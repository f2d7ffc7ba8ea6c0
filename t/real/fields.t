#!/usr/bin/perl

# The fields that the gateway takes for itself or takes out are found however
# they are spelled: keys are read as the server reads them.  What is forbidden
# is seen to work when it is sent to the server itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Real;
use Test::More;

plan skip_all => 'OLLAMA_REAL_PLAIN: plain nginx has no such fields' if plain();

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama,
                location => 'ollama_forbid keep_alive options.num_ctx;');

my $good = '"smollm2:135m"';
my $tasks = 0;


# the gateway's own fields, spelled like this, are the gateway's own too

for my $key ('task_id', 'TASK_ID', 'ta\u017fk_id', 'tas\u212a_id',
             "ta\xc5\xbfk_id", "tas\xe2\x84\xaa_id", 'ta\u017f\u212a_ID',
             't\u0061sk_id')
{
    my $task = 'task' . ++$tasks;
    my $answer = $nginx->post('/api/chat', qq({"model":$good,"$key":"$task"}));

    is($answer->{headers}{'x-ollama-task-id'}, $task, "$key names the task");

    $answer = $nginx->post('/api/chat',
                           qq({"model":$good,"task_id":"no","$key":"$task"}));
    is($answer->{headers}{'x-ollama-task-id'}, $task, "$key after task_id");
}

for (['server_url', '"http://127.0.0.1:1"', 'SERVER_URL', '\u017ferver_url',
      "\xc5\xbferver_url", 'server_ur\u006c'],
     ['session_id', '"nope"', 'SESSION_ID', '\u017fe\u017f\u017fion_id',
      "se\xc5\xbfsion_id"])
{
    my ($plain, $value, @keys) = @$_;
    my $expected = $nginx->post('/api/chat',
                                qq({"model":$good,"$plain":$value}));

    cmp_ok($expected->{status}, '>=', 400, "$plain is looked at");

    for my $key (@keys) {
        my $answer = $nginx->post('/api/chat',
                                  qq({"model":$good,"$key":$value}));

        is("$answer->{status} $answer->{body}",
           "$expected->{status} $expected->{body}", "$key is $plain");
    }
}


# what clients may not set stays unset, however it is spelled

for ('"keep_alive":0', '"KEEP_ALIVE":0', '"\u212aeep_alive":0',
     "\"\xe2\x84\xaaeep_alive\":0", '"keep_al\u0069ve":0',
     '"keep_alive":0,"keep_alive":0', '"keep_alive":5,"Keep_Alive":0',
     '"keep_alive":"0s"', '"keep_alive":0,"x":1', '"x":1,"keep_alive":0')
{
    for my $path ('/api/chat', '/api/generate') {
        my $body = qq({"model":$good,$_});
        my $direct = $ollama->post($path, $body);
        my $answer;

        $ollama->post($path, qq({"model":$good}));
        $answer = $nginx->post($path, $body);

        is(decode($direct->{body})->{done_reason}, 'unload',
           "$path $_ would unload");
        is(eval { decode($answer->{body})->{done_reason} }, 'load',
           "$path $_ is taken out") or diag($answer->{body});
        like($answer->{headers}{'x-ollama-removed'} // '', qr/keep_alive/,
             "$path $_ is reported");
    }
}

for ('"options":{"num_ctx":512}', '"OPTIONS":{"num_ctx":512}',
     '"option\u017f":{"num_ctx":512}', '"options":{"num\u005fctx":512}',
     '"options":{"num_ctx":1024,"num_ctx":512}',
     '"options":{"seed":1},"options":{"num_ctx":512}',
     '"options":{"num_ctx":512},"options":{"seed":1}',
     '"options":{"num_ctx":512},"options":null,"options":{"num_ctx":512}',
     '"options":{"num_ctx":512},"options":{}',
     '"options":{"a":1,"num_ctx":512,"b":2}')
{
    my $body = qq({"model":$good,"messages":[],$_});
    my $context = sub {
        decode($ollama->get('/api/ps')->{body})->{models}[0]{context_length}
    };
    my ($usual, $answer);

    $ollama->post('/api/chat', $body);
    is($context->(), 512, "$_ would set it");

    $ollama->post('/api/chat', qq({"model":$good}));
    $usual = $context->();
    $answer = $nginx->post('/api/chat', $body);
    is($context->(), $usual, "$_ is taken out") or diag($answer->{body});
}

Real::end();
done_testing();
