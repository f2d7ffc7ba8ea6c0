# Guards the promise that fields which ollama_forbid names are removed from the
# body, wherever and however often they stand, and that X-Ollama-Removed names
# them; all other bytes stay as they were.

use lib 't/lib';

use Test::Nginx::Ollama;


# [body, what the server gets, what X-Ollama-Removed says] each

sub removed {
    my ($uri, @rows) = @_;

    my ($n, $c) = (0, client());

    for my $row (@rows) {
        my ($body, $expected, $said) = @$row;

        my $r = $c->request("POST $uri", $body)->reply;
        my $got = fake_requests(wait_count => ++$n, wait_ended => $n,
                                last => 1)->{requests}[0];

        is($r->status, 200, $body);
        is($got->{body}, $expected, 'what the server gets');
        is($got->{headers}{'content-length'}, length $expected, 'its length');
        is($r->header('X-Ollama-Removed'), $said, 'what the client is told');
    }
}


run_tests();

__DATA__

=== a forbidden field is removed wherever it stands in the body
--- ollama
        ollama_forbid keep_alive;
--- test
removed('/api/chat',
    [ '{"model":"m1","keep_alive":0}', '{"model":"m1"}', 'keep_alive' ],
    [ '{"keep_alive":"5m","model":"m1"}', '{"model":"m1"}', 'keep_alive' ],
    [ '{"model":"m1","keep_alive":-1,"messages":[]}',
      '{"model":"m1","messages":[]}', 'keep_alive' ],
    [ '{"keep_alive":{"a":[1,{"b":2}]},"model":"m1"}',
      '{"model":"m1"}', 'keep_alive' ],
    [ '{"keep_alive":null,"model":"m1"}', '{"model":"m1"}', 'keep_alive' ],

    # often, and in other letters
    [ '{"keep_alive":1,"keep_alive":2,"model":"m1","keep_alive":3}',
      '{"model":"m1"}', 'keep_alive' ],
    [ '{"Keep_Alive":0,"model":"m1","KEEP_ALIVE":1}', '{"model":"m1"}',
      'keep_alive' ],
    [ '{"\u006beep_alive":0,"model":"m1","\u212aeep_alive":1}',
      '{"model":"m1"}', 'keep_alive' ],

    # not this field
    [ '{"model":"m1","messages":[]}', '{"model":"m1","messages":[]}',
      undef ],
    [ '{"model":"m1","keep_alive2":0,"keep":1,"":2}',
      '{"model":"m1","keep_alive2":0,"keep":1,"":2}', undef ],
    [ '{"model":"m1","options":{"keep_alive":0},"x":[{"keep_alive":0}]}',
      '{"model":"m1","options":{"keep_alive":0},"x":[{"keep_alive":0}]}',
      undef ],
    [ '{"model":"m1","messages":[{"role":"keep_alive","keep_alive":0}]}',
      '{"model":"m1","messages":[{"role":"keep_alive","keep_alive":0}]}',
      undef ]);



=== a forbidden field inside an object is removed, the rest is kept
--- ollama
        ollama_forbid options.num_ctx options.num_gpu;
--- test
removed('/api/chat',
    [ '{"model":"m1","options":{"num_ctx":1}}', '{"model":"m1","options":{}}',
      'options.num_ctx' ],
    [ '{"options":{"seed":1,"num_ctx":2,"num_gpu":3,"top_k":4},"model":"m1"}',
      '{"options":{"seed":1,"top_k":4},"model":"m1"}',
      'options.num_ctx, options.num_gpu' ],
    [ '{"options":{"num_gpu":3,"num_ctx":2,"seed":1},"model":"m1"}',
      '{"options":{"seed":1},"model":"m1"}',
      'options.num_ctx, options.num_gpu' ],
    [ '{ "options" : { "num_gpu" : 3 , "seed" : 1 } , "model":"m1" }',
      '{ "options" : {"seed" : 1 } , "model":"m1" }', 'options.num_gpu' ],

    # of each of several
    [ '{"options":{"num_ctx":1},"model":"m1","options":{"num_ctx":2,"a":1}}',
      '{"options":{},"model":"m1","options":{"a":1}}', 'options.num_ctx' ],
    [ '{"Options":{"NUM_CTX":1},"model":"m1","\u006fptions":{"num_\u0063tx":2,'
      . '"num_Gpu":1}}',
      '{"Options":{},"model":"m1","\u006fptions":{}}',
      'options.num_ctx, options.num_gpu' ],

    # not this field
    [ '{"model":"m1","num_ctx":1,"options":{"seed":1}}',
      '{"model":"m1","num_ctx":1,"options":{"seed":1}}', undef ],
    [ '{"model":"m1","options":{"x":{"num_ctx":1},"num_ctxs":2}}',
      '{"model":"m1","options":{"x":{"num_ctx":1},"num_ctxs":2}}', undef ],
    [ '{"model":"m1","x":{"options":{"num_ctx":1}},"options.num_ctx":2}',
      '{"model":"m1","x":{"options":{"num_ctx":1}},"options.num_ctx":2}',
      undef ],
    [ '{"model":"m1","options":null}', '{"model":"m1","options":null}',
      undef ]);



=== an object is removed as a whole; names may be four levels deep
--- ollama
        ollama_forbid format a.b.c.d think options;
--- test
removed('/api/generate',
    [ '{"model":"m1","options":{"num_ctx":1,"seed":{"x":[]}},"prompt":""}',
      '{"model":"m1","prompt":""}', 'options' ],
    [ '{"model":"m1","a":{"b":{"c":{"d":{"e":1},"x":2}}},"prompt":""}',
      '{"model":"m1","a":{"b":{"c":{"x":2}}},"prompt":""}', 'a.b.c.d' ],
    [ '{"model":"m1","a":{"b":{"d":1,"c":{"c":{"d":1}}}},"b":{"c":{"d":1}}}',
      '{"model":"m1","a":{"b":{"d":1,"c":{"c":{"d":1}}}},"b":{"c":{"d":1}}}',
      undef ],
    [ '{"model":"m1","a":[{"b":{"c":{"d":1}}}]}',
      '{"model":"m1","a":[{"b":{"c":{"d":1}}}]}', undef ],

    # told in the order of the directive, each once
    [ '{"think":true,"options":{},"a":{"b":{"c":{"d":1,"D":2}}},'
      . '"format":"json","model":"m1","think":false}',
      '{"a":{"b":{"c":{}}},"model":"m1"}',
      'format, a.b.c.d, think, options' ]);



=== the gateway's own fields are removed, too, but not reported
--- ollama
        ollama_forbid keep_alive options.num_ctx;
--- test
removed('/api/chat',
    [ '{"task_id":"a","keep_alive":0,"session_id":"","model":"m1"}',
      '{"model":"m1"}', 'keep_alive' ],
    [ '{"model":"m1","keep_alive":0,"task_id":"a","options":{"num_ctx":1,'
      . '"task_id":"b"},"task_id":"c"}',
      '{"model":"m1","options":{"task_id":"b"}}',
      'keep_alive, options.num_ctx' ],
    [ '{"model":"m1","task_id":"a"}', '{"model":"m1"}', undef ]);



=== a task_id is not reported as removed, as it is never passed on
--- ollama
        ollama_forbid keep_alive;
--- test
removed('/api/chat',
    [ '{"model":"m1","task_id":"one","keep_alive":0}', '{"model":"m1"}',
      'keep_alive' ],
    [ '{"model":"m1","keep_alive":0}', '{"model":"m1"}', 'keep_alive' ]);



=== fields are removed from requests to /v1, too
--- ollama
        ollama_forbid temperature stream_options.include_usage;
--- test
my $messages = '"messages":[{"role":"user","content":"hi"}]';

removed('/v1/chat/completions',
    [ "{\"temperature\":1.0e2,\"model\":\"m1\",$messages}",
      "{\"model\":\"m1\",$messages}", 'temperature' ],
    [ "{\"model\":\"m1\",$messages,\"stream\":true,"
      . '"stream_options":{"include_usage":true}}',
      "{\"model\":\"m1\",$messages,\"stream\":true,\"stream_options\":{}}",
      'stream_options.include_usage' ],
    [ "{\"model\":\"m1\",$messages}", "{\"model\":\"m1\",$messages}",
      undef ]);



=== a form with a forbidden field is refused
--- ollama
        ollama_forbid language options.num_ctx;
        ollama_pass /v1/new;
--- test
my @type = ('Content-Type' => 'multipart/form-data; boundary=xx');

# field, value ...

sub form {
    my $body = '';

    while (my ($name, $value) = splice @_, 0, 2) {
        $body .= "--xx\r\nContent-Disposition: form-data; name=\"$name\""
                 . "\r\n\r\n$value\r\n";
    }

    return "$body--xx--\r\n";
}

for my $path (qw(/v1/audio/transcriptions /v1/images/edits /v1/new)) {
    for ([ '', form(model => 'm1', language => 'de') ],
         [ '', form(Language => 'de', model => 'm1') ],
         [ '', form(model => 'm1', file => 'x' x 100_000, language => '') ],
         [ '?language=de', form(model => 'm1') ],
         [ '?model=m1', form(language => 'de') ])
    {
        my ($args, $body) = @$_;
        my $r = http("POST $path$args", $body, @type);

        is($r->status, 400, "$path$args " . substr $body, 0, 200);
        is($r->json->{error}{message},
           'field "language" is not allowed here, send the form without it');
    }

    my $r = http("POST $path",
                 form(model => 'm1', options => 'language', model => 'm9',
                      file => 'x' x 100_000), @type);
    is($r->body, '404 page not found',
       "$path: others are fine, and the first model counts");
    is($r->header('X-Ollama-Removed'), undef);
}

my $r = http('POST /v1/audio/transcriptions',
             form(model => 'm1') =~ s/--\r\n\z//r, @type);
is($r->status, 400, 'all of it must be read');
is(fake_requests()->{count}, 3, 'nobody was asked for these');



=== a location inherits the fields unless it has its own
--- http_config
    ollama_forbid keep_alive;
--- config
    location / {
        include ollama_params;

        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
        }

        location /own/api/ {
            ollama_api ollama prefix=/own;
            proxy_pass http://ollama;
            ollama_forbid format;
        }

        location /outer/ {
            ollama_forbid think;

            location /outer/api/ {
                ollama_api ollama prefix=/outer;
                proxy_pass http://ollama;
            }
        }

        location /twice/api/ {
            ollama_api ollama prefix=/twice;
            proxy_pass http://ollama;
            ollama_forbid keep_alive think;
            ollama_forbid format;
        }
    }
--- test
my $body = '{"model":"m1","format":"json","think":true,"keep_alive":0}';

for my $row ([ '', '{"model":"m1","format":"json","think":true}',
               'keep_alive' ],
             [ '/own', '{"model":"m1","think":true,"keep_alive":0}',
               'format' ],
             [ '/outer', '{"model":"m1","format":"json","keep_alive":0}',
               'think' ],
             [ '/twice', '{"model":"m1"}', 'keep_alive, think, format' ])
{
    my ($prefix, $expected, $said) = @$row;

    fake_reset();
    removed("$prefix/api/chat", [ $body, $expected, $said ]);
}



=== hundreds of removed fields in a body that is in a file
--- params
client_body_buffer_size 1k;
--- ollama
        ollama_forbid x options.y;
--- test
my ($sent, $kept) = ('', '');

for my $i (1 .. 300) {
    $sent .= '"x":"' . 'a' x $i . "\",\"b$i\":\"" . 'c' x (300 - $i) . '",';
    $kept .= "\"b$i\":\"" . 'c' x (300 - $i) . '",';

    if ($i % 3 == 0) {
        $sent .= "\"options\":{\"y\":$i,\"z\":$i,\"y\":{\"y\":1}},";
        $kept .= "\"options\":{\"z\":$i},";
    }
}

# more than the record keeps is compared by its digest
my $c = client();
my $r = $c->request('POST /api/chat', "{$sent\"model\":\"m1\"}")->reply;
my $got = fake_requests(wait_ended => 1)->{requests}[0];

is($r->status, 200);
is($got->{body_sha256}, Digest::SHA::sha256_hex("{$kept\"model\":\"m1\"}"));
is($got->{headers}{'content-length'}, length "{$kept\"model\":\"m1\"}");
is($r->header('X-Ollama-Removed'), 'x, options.y');



=== a body with too many fields to remove is refused with 400
--- ollama
        ollama_forbid x;
--- asked
nothing
--- test
my $body = '{"model":"m1"' . ',"x":1,"y":2' x 1025 . '}';
my $r = http('POST /api/chat', $body);

is($r->status, 400);
like($r->json->{error}, qr/at byte \d+: too many/);
is($r->header('X-Ollama-Removed'), undef);



=== X-Ollama-Removed is also in a server's error reply
--- fake
{"model":"m1","status":500,"error":"no memory"}
--- ollama
        ollama_forbid keep_alive;
--- test
my $r = http('POST /api/chat', '{"model":"m1","keep_alive":0}');

is($r->status, 500);
is($r->body, '{"error":"no memory"}');
is($r->header('X-Ollama-Removed'), 'keep_alive');
