# Guards the way of a request's body: the server gets what the client sent but
# for the gateway's own fields, with the right length, however the body arrived
# and wherever nginx buffers it.  A bad body is refused with what is wrong and
# where, no server is asked, and the connection stays usable.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::HTTP2;

use Digest::SHA qw(sha256_hex);


# sizes of the buffer for bodies, each behind its own prefix

our $buffers = '$TEST_NGINX_H2_LISTEN'
               . "    location / {\n        include ollama_params;\n"
               . join('', map { <<"END" } qw(16 1k 8k 1m)) . "    }\n";
        location /$_/api/ {
            ollama_api ollama prefix=/$_;
            proxy_pass http://ollama;
            client_body_buffer_size $_;
        }
END


# the n-th request that the server has got

sub got {
    my ($n) = @_;

    $n ||= 1;

    my $got = fake_requests(wait_count => $n, wait_ended => $n, last => 1)
              ->{requests}[0];

    # bytes, as they came
    utf8::encode($_) for grep { defined } @$got{qw(body model)};

    return $got;
}


our $url = "http://127.0.0.1:$ENV{TEST_NGINX_FAKE_PORT}";


# sends each body, and tells what of it the server got

sub sent_and_got {
    my ($pairs, @headers) = @_;

    my $c = client();
    my $n = 0;

    while (my ($body, $expected) = splice @$pairs, 0, 2) {
        is($c->request('POST /api/chat', $body, @headers)->reply->status, 200,
           $body);

        my $got = got(++$n);

        is($got->{body}, $expected, 'the body');
        is($got->{headers}{'content-length'}, length $expected, 'its length');
    }
}


# a body of about n bytes, what is left of it when our fields are cut, and both
# again with the fields at other places

sub bodies {
    my ($n) = @_;

    my $text = join '', map { chr(97 + $_ % 26) } 1 .. $n / 2;
    my $a = '"messages":[{"role":"user","content":"' . $text . '"}]';
    my $b = '"x":"' . reverse($text) . '"';
    my $own = '"task_id":"t"';

    return ("{\"model\":\"m1\",$a,$b}", "{\"model\":\"m1\",$a,$b}",
            "{$own,\"model\":\"m1\",$a,$own,$b,$own}",
            "{\"model\":\"m1\",$a,$b}",
            "{\"model\":\"m1\",\"session_\\u0069d\":\"\",$b,$a}",
            "{\"model\":\"m1\",$b,$a}");
}


# sends a bad body; the error's text, if all is as it must be

sub refused {
    my ($c, $body, @headers) = @_;

    my $r = $c->request('POST /api/chat', $body, @headers)->reply;

    return "status " . $r->status if $r->status != 400;
    return "not ended: " . $r->end if $r->end ne 'complete';
    return "type " . $r->header('Content-Type')
        if $r->header('Content-Type') ne 'application/json; charset=utf-8';

    my $json = eval { $r->json };

    return 'not JSON: ' . $r->body
        if ref $json ne 'HASH' || keys %$json != 1 || ref $json->{error};

    return $json->{error};
}


run_tests();

__DATA__

=== a body without the gateway's own fields arrives byte for byte
--- test
my $odd = " {\n\t\"model\" :\r\n\"m1\",\"messages\":[ ],\"x\":1.0e+5,"
          . "\"x\":-0 ,\"\":{\"a\":[1, 2 ,{}]},\"\\u0066\":\"\\/\\u00e9"
          . "\xc3\xa9\xf0\x9f\x98\x80\\ud83d\\ude00\\u2028\",\"b\":null}\r\n ";

my $c = client();
is($c->request('POST /api/chat', $odd)->reply->status, 200);

my $got = got();

is($got->{body_sha256}, sha256_hex($odd));
is($got->{headers}{'content-length'}, length $odd);
ok(!exists $got->{headers}{'transfer-encoding'});



=== the gateway's own fields are removed, wherever they stand
--- test
sent_and_got([
    # first, in the middle, last, alone with the model
    '{"task_id":"a","model":"m1","messages":[]}',
    '{"model":"m1","messages":[]}',
    '{"model":"m1","task_id":"a","messages":[]}',
    '{"model":"m1","messages":[]}',
    '{"model":"m1","messages":[],"task_id":"a"}',
    '{"model":"m1","messages":[]}',
    '{"task_id":"a","model":"m1"}',
    '{"model":"m1"}',

    # all three, neighbours, twice, at both ends
    qq({"task_id":"a","server_url":"$main::url","session_id":"",)
        . '"model":"m1","messages":[]}',
    '{"model":"m1","messages":[]}',
    '{"model":"m1","task_id":"a","task_id":"b","messages":[],"task_id":"c"}',
    '{"model":"m1","messages":[]}',
    '{"task_id":"a","task_id":"b","model":"m1","session_id":"",'
        . '"messages":[],"session_id":"","task_id":"c"}',
    '{"model":"m1","messages":[]}',

    # null is none
    '{"task_id":null,"model":"m1","session_id":null,"server_url":null}',
    '{"model":"m1"}',
]);



=== field names are matched as the server would match them
--- test
sent_and_got([
    '{"TASK_ID":"a","model":"m1","Session_Id":"","messages":[]}',
    '{"model":"m1","messages":[]}',

    # escapes, and the two letters that fold to one of ASCII
    '{"model":"m1","\u0074ask\u005fid":"a","server\u005Furl":"'
        . $main::url . '"}',
    '{"model":"m1"}',
    '{"model":"m1",' . "\"ta\xc5\xbfk_id\":\"a\",\"tas\xe2\x84\xaa_id\":\"b\"}",
    '{"model":"m1"}',
    '{"model":"m1","ta\u017fk_id":"a","se\u017f\u017fion_id":""}',
    '{"model":"m1"}',

    # no names of ours: prefixes, longer ones, blanks, a nil byte
    '{"model":"m1","task":"a","task_ids":"b"," task_id":"c","task-id":"d",'
        . '"task_id\u0000":"e","":"f"}',
    '{"model":"m1","task":"a","task_ids":"b"," task_id":"c","task-id":"d",'
        . '"task_id\u0000":"e","":"f"}',

    # nor inside of others, nor as values
    '{"model":"m1","messages":[{"role":"user","content":"task_id",'
        . '"task_id":"a"}],"options":{"session_id":"b"},"x":"task_id"}',
    '{"model":"m1","messages":[{"role":"user","content":"task_id",'
        . '"task_id":"a"}],"options":{"session_id":"b"},"x":"task_id"}',
]);



=== blanks around removed fields do no harm
--- test
sent_and_got([
    "{ \"task_id\" : \"a\" , \"model\" : \"m1\" }",
    "{\"model\" : \"m1\" }",
    "{\n  \"model\": \"m1\",\n  \"task_id\": \"a\",\n  \"messages\": []\n}\n",
    "{\n  \"model\": \"m1\",\n  \"messages\": []\n}\n",
    "{\n  \"model\": \"m1\",\n  \"task_id\": \"a\"\n}\n",
    "{\n  \"model\": \"m1\"\n}\n",
    "{\"model\":\"m1\" , \"task_id\"\t:\r\n\"a\"\t, \"session_id\" : \"\" }",
    "{\"model\":\"m1\" }",
    "\t{\t\"task_id\":\"a\"\t,\t\"task_id\":\"b\"\t,\t\"model\":\"m1\"\t}\t",
    "\t{\"model\":\"m1\"\t}\t",
]);



=== fields are removed at any buffer size and by any framing
--- http_config
    client_header_timeout 10s;
--- config eval: $::buffers
--- test
my $n = 0;

for my $buffer (qw(16 1k 8k 1m)) {
    my $uri = "/$buffer/api/chat";

    for my $size (200, 3000, 20_000) {
        my @bodies = bodies($size);

        while (my ($body, $left) = splice @bodies, 0, 2) {

            for my $framing ('length', 'chunks', 'byte by byte', 'expect',
                             'h2', 'h2 without length')
            {
                next if $framing eq 'byte by byte' && $size > 200;

                my $c = $framing =~ /h2/ ? h2() : client();

                if ($framing eq 'length') {
                    $c->request("POST $uri", $body);

                } elsif ($framing eq 'chunks') {
                    $c->request("POST $uri", $body,
                                -chunked => [1, 10, 500, 4096]);

                } elsif ($framing eq 'byte by byte') {
                    $c->send("POST $uri HTTP/1.1\r\nHost: localhost\r\n"
                             . 'Content-Length: ' . length($body)
                             . "\r\n\r\n");
                    $c->send($_) for split //, $body;

                } elsif ($framing eq 'expect') {
                    $c->request("POST $uri", '', Expect => '100-continue',
                                'Content-Length' => length $body);
                    $c->read_until(qr/ 100 Continue\r\n\r\n/);
                    $c->{raw} = '';
                    $c->send($_) for $body =~ /.{1,700}/gs;

                } elsif ($framing eq 'h2') {
                    $c->open("POST $uri", 'content-length' => length $body);
                    $c->data($_) for $body =~ /.{1,700}/gs;
                    $c->data('', 1);

                } else {
                    $c->open("POST $uri");
                    $c->data($_) for $body =~ /.{1,700}/gs;
                    $c->data('', 1);
                }

                my $status = $c->reply->status;
                my $got = got(++$n);

                is("$status $got->{body_sha256} "
                   . $got->{headers}{'content-length'},
                   '200 ' . sha256_hex($left) . ' ' . length $left,
                   "buffer $buffer, body $size, $framing") or return;
                $c->close;
            }
        }
    }
}



=== fields are removed from a body in a file, whatever its size
--- ollama
        client_body_in_file_only clean;
--- test
my ($n, $c) = (0, client());

for my $size (10, 70_000, 3_000_000) {
    my @bodies = bodies($size);

    while (my ($body, $left) = splice @bodies, 0, 2) {
        is($c->request('POST /api/chat', $body)->reply->status, 200);

        my $got = got(++$n);

        is($got->{body_sha256}, sha256_hex($left), "a body of $size");
        is($got->{headers}{'content-length'}, length $left);
    }
}



=== the Content-Type of the body makes no difference, as with Ollama
--- test
my ($n, $c) = (0, client());

for my $type (undef, 'application/json', 'text/plain',
              'application/x-www-form-urlencoded', 'multipart/form-data')
{
    is($c->request('POST /api/chat', '{"task_id":"a","model":"m1"}',
                   'Content-Type' => $type)->reply->status, 200);
    is(got(++$n)->{body}, '{"model":"m1"}');
    is(got($n)->{headers}{'content-type'}, $type);
}



=== 300 MB of images: no copy in memory, and other clients are served
--- params
client_max_body_size 400m;
proxy_read_timeout 60s;
--- config eval
Test::Nginx::Ollama::location('/api/')
. 'location = /ping { keepalive_requests 1000000; return 200 "pong"; }'
--- timeout: 60
--- test
my $read = \&Test::Nginx::Ollama::read_file;

my $ping = client();
my $pongs = sub {
    $ping->request('GET /ping')->reply->body eq 'pong' or die "no pong\n";
    return 1;
};

# the port is open before there is a worker

$pongs->();

my ($master) = $read->(conf_dir() . '/../logs/nginx.pid') =~ /(\d+)/;
my ($worker) = $read->("/proc/$master/task/$master/children") =~ /(\d+)/;

my $anonymous = sub {
    $read->("/proc/$worker/status")
        =~ /^RssAnon:\s+(\d+)/m or die "no RssAnon\n";
    return $1;
};

my ($before, $most) = ($anonymous->()) x 2;
my ($during, $after) = (0, 0);

my $note = sub {
    my $now = $anonymous->();
    $most = $now if $now > $most;
};

my $image = '"' . ('iVBORw0KGgo' x 95_325) . '"';       # 1 MB
my $head = '{"task_id":"a","model":"m1","messages":[{"role":"user",'
           . '"content":"look","images":[';
my $tail = ']}],"session_id":""}';
my $length = length($head) + 300 * length($image) + 299 + length $tail;

my $digest = Digest::SHA->new(256);
my $c = client(timeout => 60);

$c->send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
         . "Content-Length: $length\r\n\r\n$head");
$digest->add('{' . substr $head, length '{"task_id":"a",');

for my $i (1 .. 300) {
    my $piece = ($i > 1 ? ',' : '') . $image;

    $c->send($piece);
    $digest->add($piece);
    $during += $pongs->();
    $note->();
}

$c->send($tail);
$digest->add(']}]}');

# until the scan is over and the server asked

until (fake_requests()->{count}) {
    $after += $pongs->();
    $note->();
}

is($c->reply->status, 200);
is(got()->{body_sha256}, $digest->hexdigest);
is(got()->{headers}{'content-length'},
   $length - length '"task_id":"a",,"session_id":""');

$note->();

cmp_ok($most - $before, '<', 32 * 1024, 'KB more in memory, at most');
is($during, 300, 'answered during the upload');
# one that holds others up until its end answers a single one
cmp_ok($after, '>', 2, 'answered during the scan');



=== a body that is not JSON: 400 that says where, and no server is asked
--- asked
nothing
--- test
my $c = client();

my @bad = (
    '',                        0, qr/empty/,
    ' ',                       1, qr/unexpected end/,
    '{',                       1, qr/unexpected end/,
    '{"model":"m1"',          13, qr/unexpected end/,
    '{"model":"m1","x":"',    19, qr/unexpected end/,
    'x',                       0, qr/invalid/,
    '{"model":"m1",}',        14, qr/./,
    '{"model":"m1" "x":1}',   14, qr/./,
    '{"model":"m1","x":01}',  18, qr/./,
    '{"model":"m1","x":+1}',  18, qr/./,
    '{"model":"m1","x":NaN}', 18, qr/./,
    '{"model":"m1","x":nul}', 21, qr/./,
    "{'model':'m1'}",          1, qr/./,
    '{model:"m1"}',            1, qr/./,
    "{\"model\":\"m1\",\0}",  14, qr/./,
    "\xef\xbb\xbf{\"model\":\"m1\"}", 0, qr/./,

    # strings
    "{\"model\":\"m1\",\"x\":\"a\nb\"}",   20, qr/control character/,
    '{"model":"m1","x":"\q"}',             20, qr/escape/,
    '{"model":"m1","x":"\u12G4"}',         23, qr/escape/,
);

while (my ($body, $at, $text) = splice @bad, 0, 3) {
    my $error = refused($c, $body);

    like($error, qr/\Ainvalid request body at byte \d+: .*$text/, "\"$body\"");
    is(($error =~ /byte (\d+)/)[0], $at, 'the byte');
}



=== not an object, no model, or a field of the wrong type: 400
--- asked
nothing
--- test
my $c = client();
my $long = 'x' x 1025;

my @bad = (
    'null',                    0, qr/must be an object, not null/,
    '[]',                      0, qr/must be an object, not an array/,
    '[{"model":"m1"}]',        0, qr/must be an object, not an array/,
    '"m1"',                    0, qr/must be an object, not a string/,
    ' 12',                     1, qr/must be an object, not a number/,
    'true',                    0, qr/must be an object, not a boolean/,

    '{}',                      2, qr/"model" is required/,
    '{"messages":[]}',        15, qr/"model" is required/,
    '{"model":""}',           12, qr/"model" is required/,
    '{"model":null}',         14, qr/"model" is required/,
    '{"model":"m1","model":""}', 25, qr/"model" is required/,
    '{"x":{"model":"m1"}}',   20, qr/"model" is required/,
    '{"model":1}',             9, qr/"model" must be a string, not a number/,
    '{"model":["m1"]}',        9, qr/"model" must be a string, not an array/,
    '{"model":{},"model":"m1"}', 9,
        qr/"model" must be a string, not an object/,
    '{"MODEL":1,"model":"m1"}', 9,
        qr/"model" must be a string, not a number/,
    "{\"model\":\"$long\"}",   9, qr/"model" is longer than 1024 bytes/,

    '{"model":"\ud83d"}',      9, qr/"model" has half of a surrogate pair/,
    '{"model":"a\ude00b"}',    9, qr/"model" has half of a surrogate pair/,

    '{"model":"m1","stream":"false"}', 23,
        qr/"stream" must be a boolean, not a string/,
    '{"model":"m1","stream":0}',       23,
        qr/"stream" must be a boolean, not a number/,
    '{"model":"m1","messages":{}}',    25,
        qr/"messages" must be an array, not an object/,
    '{"model":"m1","messages":"hi"}',  25,
        qr/"messages" must be an array, not a string/,
    '{"model":"m1","messages":["hi"]}', 26,
        qr/must be an object, not a string/,
    '{"model":"m1","messages":[{"role":1}]}', 34,
        qr/"role" must be a string, not a number/,
    '{"model":"m1","messages":[{"content":[]}]}', 37,
        qr/"content" must be a string, not an array/,
    '{"model":"m1","messages":[{"images":"x"}]}', 36,
        qr/"images" must be an array, not a string/,
    '{"model":"m1","options":[]}',     24,
        qr/"options" must be an object, not an array/,
    '{"model":"m1","options":"x"}',    24,
        qr/"options" must be an object, not a string/,
    '{"model":"m1","options":false}',  24,
        qr/"options" must be an object, not a boolean/,

    '{"model":"m1","server_url":1}',   27,
        qr/"server_url" must be a string, not a number/,
    '{"model":"m1","session_id":[]}',  27,
        qr/"session_id" must be a string, not an array/,
    '{"model":"m1","task_id":{}}',     24,
        qr/"task_id" must be a string, not an object/,
);

while (my ($body, $at, $text) = splice @bad, 0, 3) {
    my $error = refused($c, $body);

    like($error, qr/\Ainvalid request body at byte \d+: .*$text/,
         '"' . substr($body, 0, 60) . '"');
    is(($error =~ /byte (\d+)/)[0], $at, 'the byte');
}



=== the connection is still usable after refused bodies
--- config eval: $::h2
--- test
my $c = client();

like(refused($c, '{'), qr/end/);
is($c->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);
like(refused($c, 'x' x 500_000), qr/byte 0/);
is($c->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);
like(refused($c, '{"model":"m1"' . ' ' x 500_000), qr/byte 500013/);
is($c->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);
like(refused($c, '[' x 100, -chunked => [1, 20]), qr/not an array/);
is($c->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);

my $h2 = h2();

is($h2->request('POST /api/chat', '[]')->reply->status, 400);
like($h2->{body}, qr/^\{"error":"invalid request body at byte 0: .*"\}$/);
is($h2->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);
is($h2->request('POST /v1/chat/completions', '[]')->reply->status, 400);
is($h2->request('POST /api/chat', '{"model":"m1"}')->reply->status, 200);



=== 10,000 nested levels are accepted, as by Go, one more is refused
--- asked
POST /api/chat
POST /api/chat
--- test
my $c = client();

for my $pair (['[', ']'], ['{"a":', '}']) {
    my ($open, $close) = @$pair;
    my $inner = $open eq '[' ? '' : '1';
    my $deep = sub {
        return '{"model":"m1","x":' . ($open x $_[0]) . $inner
               . ($close x $_[0]) . '}';
    };

    is($c->request('POST /api/chat', $deep->(9999))->reply->status, 200,
       '10,000 levels');
    is(refused($c, $deep->(10_000)),
       'invalid request body at byte ' . (18 + 9999 * length $open)
       . ': nested deeper than 10000 levels', '10,001 levels');

    like(refused($c, $open x 100_000), qr/nested deeper|must be an object/);
}



=== what is behind the object is of nobody's interest
--- test
my $n = 0;

for my $rest (' x', '{}', '}', ']', "\0", "\n\0\0", '{"model":"m2"}',
              ',"model":2', "\xff", '"', 'x' x 100_000, '"task_id":"b"',
              '[' x 20_000)
{
    for my $own ('', '"task_id":"a",') {
        for my $framing ([], [ -chunked => [ 1, 10, 4096 ] ]) {
            my $c = client();

            is($c->request('POST /api/chat', "{$own\"model\":\"m1\"}$rest",
                           @$framing)->reply->status, 200,
               substr $rest, 0, 20);
            is(got(++$n)->{body_sha256}, sha256_hex("{\"model\":\"m1\"}$rest"),
               'goes on as it is');
            is(got($n)->{model}, 'm1', 'and the server takes the same model');
            $c->close;
        }
    }
}



=== strings need not be UTF-8, where they are only passed on
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m\ufffd"}]}}
--- test
my $c = client();
my $n = 0;

for my $bytes ("caf\xe9", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82",
               "\xf0\x9f\x98", "\xf8\x88\x80\x80\x80", "\x80" x 10_000)
{
    for my $body ("{\"model\":\"m1\",\"x\":\"$bytes\"}",
                  "{\"model\":\"m1\",\"$bytes\":1}",
                  "{\"x\":[\"$bytes\"],\"model\":\"m1\"}")
    {
        is($c->request('POST /api/chat', $body)->reply->status, 200);
        is(got(++$n)->{body_sha256}, sha256_hex($body), 'as it is');
    }
}

# a name is read as Go reads it
$c->request('POST /api/chat', "{\"model\":\"m\xff\"}")->reply;
ok(access_log(qr/ model=m(?:\xef\xbf\xbd|\\xEF\\xBF\\xBD) /),
   'each such byte is U+FFFD');

like(refused($c, "{\"model\":\"m1\",\"task_id\":\"a\xff\"}"),
     qr/"task_id" must be/, 'no id');
like(refused($c, "{\"model\":\"" . "\xff" x 342 . '"}'), qr/longer than 1024/,
     'the length is that of what it becomes');



=== /v1 errors have OpenAI's form and types
--- asked
POST /v1/chat/completions
--- test
my $c = client();

for my $uri (qw(/v1/chat/completions /v1/completions /v1/embeddings
                /v1/responses))
{
    my $r = $c->request("POST $uri", '{"model":1}')->reply;

    is($r->status, 400);
    is_deeply($r->json,
              { error => {
                    message => 'invalid request body at byte 9: "model" must'
                               . ' be a string, not a number',
                    type => 'invalid_request_error', param => undef,
                    code => undef } }, $uri);
}

# what is wrong under /api
is($c->request('POST /v1/chat/completions',
               '{"model":"m1","options":"x","messages":[{"role":"user",'
               . '"content":[{"type":"text","text":"hi"}]}]}')->reply->status,
   200);



=== task_id must be 1 to 64 of A-Z a-z 0-9 _ -
--- test
my $c = client();

for my $id ('', 'a b', 'a.b', 'a/b', "\xc3\xa9", '\u0000', 'a\n', 'a' x 65,
            '../x', '%41')
{
    like(refused($c, "{\"model\":\"m1\",\"task_id\":\"$id\"}"),
         qr/\Ainvalid request body at byte 24: "task_id" must be 1 to 64/,
         $id);

    next if $id =~ /\\|^$/;

    like(refused($c, '{"model":"m1"}', 'X-Ollama-Task-Id' => $id),
         qr/\Aheader X-Ollama-Task-Id must be 1 to 64/, "header $id");
}

is(fake_requests()->{count}, 0, 'nobody was asked so far');

for my $id ('a', 'Z', '0', '_', '-', 'aA0_-' x 12 . 'abcd', '\u0061b') {
    is($c->request('POST /api/chat', "{\"model\":\"m1\",\"task_id\":\"$id\"}")
         ->reply->status, 200);
    (my $plain = $id) =~ s/\\u0061/a/;
    ok(access_log(qr/ task=\Q$plain\E /), $id);
}



=== background is taken out, and must be a boolean
--- test
main::sent_and_got([
    map { ("{\"model\":\"m1\",\"background\":$_}", '{"model":"m1"}') }
    qw(false true null)
]);

my $c = client();

for my $value ('"true"', '1', '{}', '[]') {
    like(main::refused($c, "{\"model\":\"m1\",\"background\":$value}"),
         qr/\Ainvalid request body at byte 27: "background" must be a boolean/,
         $value);
}



=== headers may name task, session and server; the body's fields win
--- test
my $c = client();

is($c->request('POST /api/generate', '{"model":"m1"}',
               'X-Ollama-Task-Id' => 'head-1',
               'X-Ollama-Session-Id' => 'session-1',
               'X-Ollama-Background' => 'true',
               'X-Ollama-Server-Url' => $main::url)->reply->status, 200);
ok(access_log(qr/ task=head-1 session=session-1 /));

is($c->request('POST /api/generate',
               '{"model":"m1","task_id":"body-2","session_id":"session-2"}',
               'x-ollama-task-id' => 'head-2', 'x-ollama-session-id' => 'not-2')
     ->reply->status, 200);
ok(access_log(qr/ task=body-2 session=session-2 /));

# one that would be wrong isn't looked at then
is($c->request('POST /api/generate', '{"model":"m1","task_id":"body-3"}',
               'X-Ollama-Task-Id' => 'not a name')->reply->status, 200);
ok(access_log(qr/ task=body-3 /));

for my $got (@{ fake_requests(wait_ended => 3)->{requests} }) {
    is($got->{body}, '{"model":"m1"}');
    is(join(' ', grep { /^x-/i } keys %{ $got->{headers} }), '',
       'nothing of it goes to the server');
}



=== the model the gateway routes by is the one the server reads
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m2"},{"name":"é"}]}}
--- test
my ($n, $c) = (0, client());

my @bodies = (
    # the last one wins, also over none
    '{"model":"m2","model":"m1"}',                            'm1',
    '{"model":"m1","model":"m2"}',                            'm2',
    '{"model":"m1","model":null}',                            'm1',
    '{"model":null,"model":"m2"}',                            'm2',
    '{"model":"","model":"m2"}',                              'm2',

    # in any case, and so do the fold's two odd letters
    '{"MODEL":"m2"}',                                         'm2',
    '{"model":"m1","Model":"m2"}',                            'm2',
    '{"Model":"m1","model":"m2","mODEL":"m1"}',               'm1',
    '{"m\u006fdel":"m2"}',                                    'm2',
    '{"model":"m1","\u006d\u006F\u0064\u0065\u006c":"m2"}',   'm2',

    # no such names
    '{"model":"m1"," model":"m2","model ":"m2","models":"m2"}', 'm1',
    '{"model":"m1","model\u0000":"m2","mod\u0435l":"m2"}',    'm1',
    '{"x":{"model":"m2"},"model":"m1","y":{"model":"m2"}}',   'm1',
    '{"messages":[{"model":"m2"}],"model":"m1"}',             'm1',

    # escapes in the value
    '{"model":"\u006d2"}',                                    'm2',
    '{"model":"m\u0032"}',                                    'm2',
    '{"model":"M2:Latest"}',                                  'M2:Latest',
);

while (my ($body, $model) = splice @bodies, 0, 2) {
    is($c->request('POST /api/chat', $body)->reply->status, 200, $body);

    my $got = got(++$n);
    my $log = wait_for(sub { (access_log())[$n - 1] });

    is($got->{model}, $model, 'the server');
    is(($log =~ / model=(\S*) /)[0], $model, 'the gateway');
}

# and what neither would take as a name goes on as it is

for my $model ("\xc3\xa9", 'a/b/c/d:e:f', 'm1 x', 'm\\"2', '\ud83d\ude00',
               'm1\u0000')
{
    my $r = $c->request('POST /api/chat', "{\"model\":\"$model\"}")->reply;

    ok($r->status == 400 || $r->status == 404, 'a model of nobody');
    is(got(++$n)->{body}, "{\"model\":\"$model\"}", "\"$model\"");
}

# blanks around a name don't count

is($c->request('POST /api/chat', "{\"model\":\"$_\"}")->reply->status, 400,
   'blanks alone are no name') for '\t', ' ';



=== "stream" is read as the server reads it
--- fake
{"model":"m1","frames":2}
--- test
my $c = client();

for my $body ('"stream":true,"stream":false', '"STREAM":false',
              '"str\u0065am":false', '"stream":null,"Stream":false')
{
    my $r = $c->request('POST /api/chat',
                        "{\"model\":\"m1\",\"messages\":[{}],$body}")->reply;

    is(scalar $r->lines, 1, $body);
    is($r->end, 'complete');
    unlike($r->body, qr/error/);
}

for my $body ('"stream":false,"stream":true', '"stream":false,"stream":null',
              '"x":{"stream":false}')
{
    my $r = $c->request('POST /api/chat',
                        "{\"model\":\"m1\",\"messages\":[{}],$body}")->reply;

    is(scalar(my @lines = $r->lines), 3, $body);
    is($r->end, 'complete');
    unlike($r->body, qr/error/);
}

ok(access_log(qr/outcome=ok/));
is(scalar(grep { !/outcome=ok/ } access_log()), 0, 'all were taken as whole');



=== a client that leaves while it sends its body: no server is asked
--- config eval: $::h2
--- params
client_body_buffer_size 1k;
--- asked
nothing
--- test
my $body = '{"model":"m1","x":"' . 'x' x 5000;

for my $framing ("Content-Length: 10000\r\n\r\n$body",
                 "Transfer-Encoding: chunked\r\n\r\n1388\r\n"
                 . substr($body, 0, 5000) . "\r\n",
                 "Transfer-Encoding: chunked\r\n\r\n2000\r\n$body",
                 "Content-Length: 100\r\n\r\n",
                 "Content-Length: 100\r\n\r\n{\"model\":\"m1\"}")
{
    for my $how (qw(close reset half_close)) {
        my $c = client();
        $c->send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\n$framing");
        $c->$how;
        $c->reply_to_end if $how eq 'half_close';
        $c->close;
    }
}

my $c = h2();
$c->open('POST /api/chat', 'content-length' => 10_000)->data($body);
$c->rst;
$c->request('GET /api/models/servers')->reply;
$c->close;

$c = h2();
$c->open('POST /api/chat')->data($body);
$c->reset;

# 15 and one are logged as gone
ok(wait_for(sub { 16 <= grep { m{POST /api/chat} } access_log() }),
   'all are over');



=== a client that leaves while its body is scanned
--- params
client_max_body_size 400m;
--- asked
nothing
--- test
my $body = '{"model":"m1","x":"' . ('x' x 60_000_000) . '"}';

my $c = client();
$c->send("POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
         . 'Content-Length: ' . length($body) . "\r\n\r\n");
$c->send($body);
$c->reset;

ok(wait_for(sub { grep { m{POST /api/chat} } access_log() }, 10));



=== pipelined requests are answered in order
--- test
my $one = '{"model":"m1","task_id":"a","messages":[],"x":"1"}';
my $two = '{"model":"m2","messages":[],"session_id":"","x":"22"}';

my @requests = map {
    "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . length($_) . "\r\n\r\n$_"
} $one, '{', $two, '[]', $one;

push @requests, "POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
                . "Transfer-Encoding: chunked\r\n\r\n"
                . "10\r\n" . substr($two, 0, 16) . "\r\n"
                . sprintf("%x\r\n", length($two) - 16) . substr($two, 16)
                . "\r\n0\r\n\r\n";

push @requests, "GET /api/version HTTP/1.1\r\nHost: localhost\r\n"
                . "Connection: close\r\n\r\n";

my $c = client();
$c->send(join '', @requests);

my $raw = $c->reply_to_end->raw;

is(join(' ', $raw =~ m{HTTP/1\.1 (\d+) }g), '200 400 200 400 200 200 200');
is(join(' ', map { $_->{body} // '' } @{ fake_requests()->{requests} }),
   join(' ', '{"model":"m1","messages":[],"x":"1"}',
             '{"model":"m2","messages":[],"x":"22"}',
             '{"model":"m1","messages":[],"x":"1"}',
             '{"model":"m2","messages":[],"x":"22"}', ''));



=== list endpoints need no body
--- test
for my $uri (qw(/api/tags /api/version /api/ps /v1/models)) {
    is(http("GET $uri")->status, 200, $uri);
}
