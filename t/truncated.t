# Guards the promise that a stream which looks finished is finished.  Every
# other end is reported in a last line, and nothing follows it that a client
# could take for the end of a reply: no terminating chunk, and with HTTP/2 the
# stream is reset.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Bodies;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server $steps);


# the last line in Ollama's form, and the event that each of the others has

our $any = qr/[^"\\]*(?:\\.[^"\\]*)*/;
our $line = qr/\{"error":"server \\"127\.0\.0\.1:\d+\\" $any"\}\n\z/;
our $event = qr/data:[ ]\{"error":\{"message":"server[ ]\\"127\.0\.0\.1:\d+\\"
                [ ]$any","type":"api_error","param":null,"code":null\}\}
                \n\n\z/x;
our $text = qr/"message":"server \\"127\.0\.0\.1:\d+\\" $any"/;
our $response = qr/event:[ ]error\n
                   data:[ ]\{"type":"error","sequence_number":\d+,
                   "code":"server_error",$text,"param":null,
                   "error":\{"type":"server_error","code":"server_error",
                   $text,"param":null\}\}\n\n\z/x;
our $message = qr/event:[ ]error\n
                  data:[ ]\{"type":"error",
                  "error":\{"type":"api_error",$text\},
                  "request_id":"req_[0-9a-f]{32}"\}\n\n\z/x;


# What came before it, if it is there, and the reply doesn't look finished.

sub before {
    my ($r, $last, $title) = @_;

    like($r->body, $last, "$title: the last line");
    ok(!$r->complete, "$title: not complete");
    is($r->status, 200, "$title: the status stands");
    is(scalar(() = $r->body =~ /"error":[{"]/g), 1, "$title: said once");

    (my $before = $r->body) =~ s/$last//;
    return $before;
}


# The same by HTTP/1.1, 1.0 and 2: what came before.

sub before_all {
    my ($uri, $body, $last, $title) = @_;

    # a client that would go on with the connection
    my $c = client();
    my $r = $c->request("POST $uri", $body)->reply;
    my $before = before($r, $last, $title);

    is($r->end, 'eof', "$title: the connection is closed");
    $c->close;
    unlike($r->raw, qr/\r\n0\r\n/, "$title: without the end of chunks");
    is($r->header('Content-Length'), undef, "$title: no length");

    my $h2 = h2();
    $r = $h2->request("POST $uri", $body)->reply;
    before($r, $last, "$title, HTTP/2");
    is($r->end, 'stream reset', "$title: the stream is reset");
    $h2->close;

    $r = http("POST $uri", $body, -version => '1.0');
    like($r->body, $last, "$title, HTTP/1.0: the last line");

    return $before;
}


# No header came from the server.

sub refused_502 {
    my $r = http('POST /api/chat', $chat);

    is($r->status, 502);
    is($r->header('Content-Type'), 'application/json; charset=utf-8');
    like($r->body, qr/\A\{"error":"[^"]+"\}\z/);
    ok($r->complete);

    $r = http('POST /v1/chat/completions', $openai);

    is($r->status, 502);
    like($r->body, qr/\A\{"error":\{"message":"[^"]+","type":"api_error",/);

    $r = h2()->request('POST /api/chat', $chat)->reply;

    is($r->status, 502);
    is($r->end, 'complete');
    is(outcomes(), 'error');
}


# A block may log these, of level error, and no others.

sub only_errors {
    my (@expected) = @_;

    my @other = grep {
        my $line = $_;
        $line =~ /\[error\]/ && !grep { $line =~ $_ } @expected;
    } Test::Nginx::Ollama::error_lines();

    is(join('', @other), '', 'nothing else is wrong');
}


# The outcomes in the log, each once, when it has as many lines as there were
# requests.

sub outcomes {
    my ($n) = @_;

    $n ||= fake_requests()->{count} || 1;
    wait_for(sub { access_log() >= $n });

    return join ' ', sort keys %{{ map { /outcome=(\S+)/; $1 => 1 }
                                   access_log() }};
}


run_tests();

__DATA__

=== the server closes the connection between two frames
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"die","after":2}
--- test
my $before = before_all('/api/chat', $::chat, $::line, 'chat');
is(scalar(() = $before =~ /\n/g), 2);
like($before, qr/\A\{[^\n]*"w0 "[^\n]*\n\{[^\n]*"w1 "[^\n]*false\}\n\z/);

like(before_all('/api/generate', $::prompt, $::line, 'generate'),
     qr/\A\{[^\n]*"w0 "[^\n]*\n\{[^\n]*"w1 "[^\n]*false\}\n\z/);

like(before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI'),
     qr/\Adata: [^\n]*"w0 "[^\n]*\n\ndata: [^\n]*"w1 "[^\n]*\}\n\n\z/);

like(before_all('/v1/completions', $::prompt, $::event, 'completions'),
     qr/"w1 "[^\n]*\}\n\n\z/);

like(before_all('/v1/responses', $::prompt, $::response, 'Responses'),
     qr/\}\n\n\z/);

like(before_all('/v1/messages', $::claude, $::message, 'Anthropic'),
     qr/\}\n\n\z/);

is(outcomes(), 'interrupted');
only_errors(qr/upstream prematurely closed/,
            qr/ollama server "127[^"]*" closed the connection before the end/);
--- error_log
upstream prematurely closed connection
closed the connection before the end of its reply



=== the server resets the connection
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"reset","after":2,"gap_ms":5}
--- test
like(before_all('/api/chat', $::chat, $::line, 'chat'), qr/"w1 "[^\n]*\n\z/);
like(before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI'),
     qr/"w1 "[^\n]*\n\n\z/);

is(outcomes(), 'interrupted');
only_errors(qr/recv\(\) failed \(104/, qr/ollama server /,
            qr/readv\(\) failed \(104/);
--- error_log
closed the connection before the end of its reply



=== closed within a frame: a newline precedes the error line
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"die_mid_frame","after":2}
--- test
my $before = before_all('/api/chat', $::chat, $::line, 'chat');
like($before, qr/"w1 "[^\n]*\n\{"model":"m1"[^\n]*[^}\n]\n\z/);

# an event of its own
$before = before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI');
like($before, qr/"w1 "[^\n]*\n\ndata: \{[^\n]*[^}\n]\n\n\z/);

is(outcomes(), 'interrupted');
only_errors(qr/upstream prematurely closed/, qr/ollama server /);
--- error_log
closed the connection before the end of its reply



=== a newline precedes the error only after an incomplete line
--- upstream eval: $::steps
--- test
my $frames = "{\"a\":1}\n{\"b\":\"\\n\"}\r\n";

for my $n (0 .. length $frames) {
    my $c = client();
    $c->request('POST /api/chat', $::chat);

    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk(substr $frames, 0, $n) if $n;
    $s->close;

    my $r = $c->reply;
    my $sent = substr $frames, 0, $n;
    my $nl = $n && substr($sent, -1) ne "\n" ? "\n" : '';

    like($r->body, qr/\A\Q$sent\E$nl$::line/, "after $n bytes");
    ok(!$r->complete);
}

# and with an event
my $events = "data: {\"a\":1}\n\nevent: x\ndata: {\"b\":2}\n\n";

for my $n (0 .. length $events) {
    my $c = client();
    $c->request('POST /v1/chat/completions', $::openai);

    my $s = $::server->accept->header('text/event-stream');
    $s->chunk(substr $events, 0, $n) if $n;
    $s->close;

    my $r = $c->reply;
    my $sent = substr $events, 0, $n;
    my $nl = $sent =~ /(\A|\n)\n\z|\A\z/ ? ''
             : $sent =~ /\n\z/ ? "\n" : "\n\n";

    like($r->body, qr/\A\Q$sent\E$nl$::event/, "after $n bytes");
    ok(!$r->complete);
}
--- error_log
closed the connection before the end of its reply



=== the server stalls: the error line comes after proxy_read_timeout
--- params
proxy_read_timeout 200ms;
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"stall","after":2}
--- test
like(before_all('/api/chat', $::chat, $::line, 'chat'), qr/"w1 "[^\n]*\n\z/);
like(before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI'),
     qr/"w1 "[^\n]*\n\n\z/);
before_all('/api/chat', $::one, $::line, 'at once');

is(fake_requests(wait_open => 0, wait_active => 0)->{requests}[-1]{end},
   'client_closed', 'the server is let go');
is(outcomes(), 'interrupted');
only_errors(qr/upstream timed out \(110/, qr/ollama server "[^"]*" stalled/);
--- error_log
upstream timed out
stalled



=== a line that is not a frame ends the stream and is not passed on
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"garbage","after":2}
--- test
for my $fault (qw(garbage garbage_mid)) {
    fake_set(model => 'm1', fault => $fault);

    my $before = before_all('/api/chat', $::chat, $::line, "$fault, chat");
    like($before, qr/"w1 "[^\n]*\n\z/);
    unlike($before, qr/garbage|#!/, 'nothing of it is passed on');

    $before = before_all('/v1/chat/completions', $::openai, $::event,
                         "$fault, OpenAI");
    like($before, qr/"w1 "[^\n]*\n\n\z/);
    unlike($before, qr/garbage|#!/);

    is(before_all('/api/chat', $::one, $::line, "$fault at once"), '');
}

is(outcomes(), 'interrupted');
only_errors(qr/ollama server "[^"]*" sent something that is no frame/);
--- error_log
sent something that is no frame of a reply



=== all kinds of lines that are not a frame
--- upstream eval: $::steps
--- test
my $good = "{\"message\":{\"content\":\"x\"},\"done\":false}\n";

for my $bad ("[]\n", "1\n", "\"x\"\n", "null\n", "{}{}\n", "{} x\n",
             "{\"a\":1,}\n", "{\"a\":\n1}\n", "\0\n", "<html>\n", "}\n",
             "{\"a\":\"\xff\"}\n", 'x' x 100_000, "data: {}\n\n",
             '{"a":' . '[' x 5000)
{
    my $c = client();
    $c->request('POST /api/chat', $::chat);

    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk("$good$bad$good");

    my $r = $c->reply;

    like($r->body, qr/\A\Q$good\E(?:\Q$bad\E)?$::line/,
         'after ' . substr(JSON::PP->new->allow_nonref->encode($bad), 0, 20));
    ok(!$r->complete);
    ok($s->gone, 'the server is let go');
    $s->close;
}

only_errors(qr/ollama server "[^"]*" sent something that is no frame/);
--- error_log
sent something that is no frame of a reply



=== invalid chunked encoding
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"bad_chunk","after":2,"gap_ms":5}
--- test
like(before_all('/api/chat', $::chat, $::line, 'chat'), qr/"w1 "[^\n]*\n\z/);
like(before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI'),
     qr/"w1 "[^\n]*\n\n\z/);
before_all('/api/chat', $::one, $::line, 'at once');

# together with good frames
fake_set(model => 'm1', gap_ms => 0);
like(before_all('/api/chat', $::chat, $::line, 'in one piece'),
     qr/"w1 "[^\n]*\n\z/);

is(outcomes(), 'interrupted');
only_errors(qr/upstream sent invalid chunked response/,
            qr/ollama server "[^"]*" sent a reply with broken framing/);
--- error_log
upstream sent invalid chunked response
broken framing



=== a properly framed end without the last frame is an error
--- config eval: $::h2
--- fake
{"model":"m1","frames":3,"no_done":true}
--- test
my $true = JSON::PP::true();
my $false = JSON::PP::false();

for my $set ({ length => $false }, { length => $true },
             { length => $false, http10 => $true })
{
    fake_set(model => 'm1', %$set);
    my $title = join ' ', map { "$_ $set->{$_}" } keys %$set;

    like(before_all('/api/chat', $::chat, $::line, "$title, chat"),
         qr/"w2 "[^\n]*\n\z/);
    like(before_all('/v1/chat/completions', $::openai, $::event,
                    "$title, OpenAI"), qr/"w2 "[^\n]*\n\n\z/);
    before_all('/v1/responses', $::prompt, $::response, "$title, Responses");
    before_all('/v1/messages', $::claude, $::message, "$title, Anthropic");
}

is(outcomes(), 'interrupted');
only_errors(qr/ollama server "[^"]*" ended its reply without finishing it/);
--- error_log
ended its reply without finishing it



=== SSE that is legal, though no Ollama sends it, is followed to its end
--- upstream eval: $::steps
--- test
my $chunk = '{"choices":[{"delta":{"content":"w0"}}]}';
my ($one, $two) = ('{"choices":[{"delta":', '{"content":"w0"}}]}');

my @starts = (
    "data: $chunk\n\n", "\xef\xbb\xbfdata: $chunk\n\n", "data:$chunk\n\n",
    ": a comment\ndata: $chunk\n\n", ":\n\n: ping\n\ndata: $chunk\n\n",
    "data:\n\ndata: \n\ndata: $chunk\n\n", "data\n\ndata: $chunk\n\n",
    "x-note: 1\nid: 7\nretry: 9\ndata: $chunk\nid\nevent\n\n",
    "ping\n\nmessageId: {\n\ndata: $chunk\nDATA: {\n\n",
    "data: $one\ndata: $two\n\n", "data: $one\n: x\ndata\ndata:$two\n\n",
    "event: message\ndata: $chunk\n\n", "data: $chunk\nevent: message\n\n",
);

# all of it with each of the line ends, whole and byte by byte

for my $eol ("\n", "\r\n", "\r") {
    for my $start (@starts) {
        my $text = "${start}data: [DONE]\n\n" =~ s/\n/$eol/gr;

        for my $size (length $text, 1) {
            my $c = client();
            $c->request('POST /v1/chat/completions', $::openai);

            my $s = $::server->accept->header('text/event-stream');
            $s->chunk($_) for unpack "(a$size)*", $text;
            $s->last;

            my $r = $c->reply;
            ok($r->complete, "$text: complete");
            is($r->body, $text, 'as it was');
            $c->close;
            $s->close;
        }
    }
}

# where the end is an event's name, it may come behind its data

for my $eol ("\n", "\r\n", "\r") {
    for ([ '/v1/messages', $::claude,
           "data: {\"type\":\"message_stop\"}\nevent: message_stop\n\n" ],
         [ '/v1/responses', $::prompt,
           "data: {}\nevent: response.completed\n\n" ],
         [ '/v1/responses', $::prompt,
           "data: {\"type\":\ndata: \"response.completed\"}\n\n" ])
    {
        my ($uri, $body, $end) = @$_;
        my $text = "data: {\"type\":\"x\"}\n\n$end" =~ s/\n/$eol/gr;

        my $c = client();
        $c->request("POST $uri", $body);

        my $s = $::server->accept->header('text/event-stream');
        $s->chunk($text);
        $s->last;

        my $r = $c->reply;
        ok($r->complete, "$text: complete");
        is($r->body, $text, 'as it was');
        $c->close;
        $s->close;
    }
}



=== the last event stands alone, wherever lines end with CR
--- upstream eval: $::steps
--- test
# what a client reads, which takes each kind of line end

my $events = sub {
    my (@events, @data, $name);

    for (split /\r\n|\n|\r/, $_[0], -1) {
        push @data, $1 if /\Adata: ?(.*)/s;
        $name = $1 if /\Aevent: ?(.*)/s;
        next if length;
        push @events, [ $name // '', join "\n", @data ] if @data;
        @data = ();
        $name = undef;
    }

    return @events;
};

my $text = "event: x\rdata: {\"type\":\"x\"}\r\r"
           . "event: y\r\ndata: {\"type\":\rdata:\"y\"}\r\n\r\n"
           . "event: z\ndata: {\"type\":\"z\"}\r\r\n";

for my $at (0 .. length $text) {
    my $c = client();
    $c->request('POST /v1/messages', $::claude);

    my $s = $::server->accept->header('text/event-stream');
    $s->chunk(substr $text, 0, $at) if $at;
    $s->close;

    my $r = $c->reply;
    my @events = $events->($r->body);

    ok(!$r->complete, "$at bytes: not complete");
    is($events[-1][0], 'error', "$at bytes: an event for the error");
    like($events[-1][1], qr/\A\{"type":"error","error":\{/, 'all of its data')
        or diag($r->body);
    is(scalar(grep { $_->[0] eq 'error' } @events), 1, 'only one');
    $c->close;
}
--- error_log
closed the connection before the end of its reply



=== an empty body is an error
--- upstream eval: $::steps
--- test
for my $header ([ 'application/x-ndjson', 'Content-Length' => 0 ],
                [ 'application/x-ndjson', Connection => 'close' ],
                [ 'text/event-stream', Connection => 'close' ])
{
    my $c = client();
    my $v1 = $header->[0] =~ /event/;
    $c->request($v1 ? ('POST /v1/chat/completions', $::openai)
                    : ('POST /api/chat', $::chat));

    my $s = $::server->accept->header(@$header);
    $s->close;

    my $r = $c->reply;
    is(before($r, $v1 ? $::event : $::line, "@$header"), '');
}
--- error_log
ended its reply without finishing it



=== a reply with Content-Length that is too short
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"length":true,"fault":"die","after":2}
--- test
like(before_all('/api/chat', $::chat, $::line, 'chat'), qr/"w1 "[^\n]*\n\z/);
before_all('/api/chat', $::one, $::line, 'at once');
before_all('/api/embed', '{"model":"m1","input":"a"}', $::line, 'embed');
before_all('/v1/embeddings', '{"model":"m1","input":"a"}',
           qr/\n\{"error":\{.*\}\}\n\z/, '/v1 embed');

is(outcomes(), 'interrupted');
--- error_log
closed the connection before the end of its reply



=== the last frame came, only the framing is incomplete: complete
--- config eval: $::h2
--- test
for my $fault (qw(die_after_done short_length)) {
    for my $body ($::chat, $::openai, $::one) {
        fake_set(model => 'm1', frames => 3, fault => $fault);

        my $uri = $body eq $::openai ? '/v1/chat/completions' : '/api/chat';
        my $r = http("POST $uri", $body);

        like($r->body, qr/w0 .*w1 .*w2 /s);
        unlike($r->body, qr/"error":[{"]/, "$fault: no error");
        ok($r->complete, 'an end as of a good reply');

        my $h2 = h2();
        $r = $h2->request("POST $uri", $body)->reply;
        unlike($r->body, qr/"error":[{"]/);
        is($r->end, 'complete', "$fault, HTTP/2");
        $h2->close;
    }
}

is(outcomes(), 'ok');
only_errors(qr/upstream prematurely closed connection/);
--- error_log
upstream prematurely closed connection



=== a server that does not end its reply after the last frame
--- upstream eval: $::steps
--- config eval: $::h2
--- test
my $ndjson = 'application/x-ndjson';
my $sse = 'text/event-stream';
my $json = 'application/json';
my $line = '{"model":"m1","message":{"content":"a"},"response":"a","done":true}'
           . "\n";
my $done = "data: {\"id\":\"c\",\"choices\":[]}\n\ndata: [DONE]\n\n";

for my $case ([ '/api/chat', $::chat, $ndjson, $line ],
              [ '/api/generate', $::prompt, $ndjson, $line ],
              [ '/api/chat', $::one, $json, $line ],
              [ '/api/embed', { model => 'm1', input => 'a' }, $json,
                '{"embeddings":[[1]]}' ],
              [ '/v1/chat/completions', $::openai, $sse, $done ],
              [ '/v1/completions', $::prompt, $sse, $done ],
              [ '/v1/responses', $::prompt, $sse,
                "event: response.completed\n"
                . "data: {\"type\":\"response.completed\"}\n\n" ],
              [ '/v1/messages', $::claude, $sse,
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n" ])
{
    my ($uri, $body, $type, $last) = @$case;

    for my $c (client(), h2()) {
        my $r = $c->request("POST $uri", $body);
        my $s = $::server->accept->header($type);

        $s->chunk($last);
        $r = $c->reply;
        is($r->body, $last, "$uri, $type: nothing is added");
        is($r->end, 'complete', "$uri: a good end");
        ok($s->gone, 'the server is let go');
        $s->close;
        $c->close;
    }
}

is(outcomes(16), 'ok');
--- error_log eval: qr/server ".*" did not end its reply/



=== a server that does not end its reply, with proxy_buffering on
--- upstream eval: $::steps
--- params
proxy_buffering on;
--- test
my $last = '{"model":"m1","message":{"content":"a"},"done":true}' . "\n";
my $c = client()->request('POST /api/chat', $::chat);
my $s = $::server->accept->header('application/x-ndjson');

$s->chunk($last);
my $r = $c->reply;
is($r->body, $last, 'nothing is added');
ok($r->complete, 'a good end');
ok($s->gone, 'the server is let go');
--- error_log eval: qr/server ".*" did not end its reply/



=== a slow client gets a complete reply whole
--- upstream eval: $::steps
--- config eval: $::h2
--- params
proxy_buffer_size 32k;
proxy_buffers 4 32k;
--- test
my $line = '{"message":{"content":"' . 'y' x 20_000 . '"},"done":false}' . "\n";
my $last = '{"message":{"content":""},"done":true}' . "\n";
my $c = h2(window => 1000);

$c->request('POST /api/chat', $::chat);
my $s = $::server->accept->header('application/x-ndjson');
$s->chunk($line);
$c->read_until(qr/y{500}/);
$s->chunk($last)->last;

# nginx doesn't see the server's end before the client takes more
sleep 2.5;
$c->grant(0x7fff0000);

my $r = $c->reply;
is($r->body, $line . $last);
is($r->end, 'complete');
$s->close;
$c->close;



=== a server's own error line is passed on, none is added
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"error_line_after":2,"error":"out of memory"}
--- test
for my $request ([ '/api/chat', $::chat ], [ '/api/generate', $::prompt ]) {
    my $r = http("POST $request->[0]", $request->[1]);

    like($r->body, qr/"w1 "[^\n]*\n\{"error":"out of memory"\}\n\z/);
    is(scalar(() = $r->body =~ /"error"/g), 1);
}

is(h2()->request('POST /api/chat', $::chat)->reply->status, 200);
is(outcomes(), 'interrupted');



=== a server's own error line, then a closed connection: none is added
--- upstream eval: $::steps
--- test
my $c = client();
$c->request('POST /api/chat', $::chat);

my $s = $::server->accept->header('application/x-ndjson');
$s->chunk("{\"a\":1}\n{\"error\":\"out of memory\"}\n");
$s->close;

my $r = $c->reply;
is($r->body, "{\"a\":1}\n{\"error\":\"out of memory\"}\n");
ok(!$r->complete);
$c->close;
is(outcomes(), 'interrupted');
--- error_log
upstream prematurely closed



=== a /v1 stream that ends without [DONE] is truncated
--- fake
{"model":"m1","frames":5,"error_line_after":2}
--- test
my $r = http('POST /v1/chat/completions', $::openai);

before($r, $::event, 'OpenAI');
unlike($r->body, qr/\[DONE\]/);
is(outcomes(), 'interrupted');
--- error_log
ended its reply without finishing it



=== data after the last frame is not passed on
--- upstream eval: $::steps
--- test
my $last = "{\"done\":true}\n";

for my $after ("\n", " \r\n\n") {
    my $c = client();
    $c->request('POST /api/chat', $::chat);

    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk("$last$after")->last;

    my $r = $c->reply;

    is($r->end, 'complete');
    is($r->body, "$last$after", 'white space is');
    $s->close;
}

only_errors();

for my $after ("x\n", "{\"error\":\"x\"}\n", $last, 'y' x 50_000) {
    for my $together (1, 0) {
        my $c = client();
        $c->request('POST /api/chat', $::chat);

        my $s = $::server->accept->header('application/x-ndjson');
        $together ? $s->chunk("$last$after")
                  : $s->chunk($last)->chunk($after);

        my $r = $c->reply;

        is($r->end, 'complete');
        is($r->body, $last, 'not ' . substr $after, 0, 20);
        ok($s->gone, 'the server is let go');
        $s->close;
        $c->close;
    }
}

is(outcomes(10), 'ok');
only_errors(qr/ollama server "[^"]*" sent more than its reply/);
--- error_log
sent more than its reply



=== a slow client gets all that came, then the error line
--- config eval: $::h2
--- test
for my $fault (qw(die garbage die_mid_frame)) {
    fake_set(model => 'm1', frames => 1000, size => 10_000, fault => $fault,
             after => 400);

    my $c = client(rcvbuf => 4096, timeout => 20);
    $c->request('POST /api/chat', $::chat, Connection => 'close');
    ok($c->read_until(qr/w0 /));

    my $r = $c->reply_to_end;
    my $before = before($r, $::line, $fault);

    is(join('', $before =~ /"content":"(w\d+ )x/g),
       join('', map { "w$_ " } 0 .. 399
                                + ($fault eq 'die_mid_frame')), 'all came');

    $c = h2(window => 1000, rcvbuf => 4096, timeout => 20);
    $c->request('POST /api/chat', $::chat);
    ok($c->read_until(qr/w0 /));
    $c->grant(0x7fff0000);

    $r = $c->reply;
    before($r, $::line, "$fault, HTTP/2");
    is($r->end, 'stream reset');
    $c->close;
}

is(outcomes(), 'interrupted');
--- error_log
closed the connection before the end of its reply



=== with proxy_buffering on, in memory and in a file
--- params
proxy_buffering on;
proxy_buffers 4 4k;
proxy_buffer_size 4k;
proxy_busy_buffers_size 8k;
--- config eval: $::h2
--- test
for my $fault (qw(die garbage garbage_mid die_mid_frame reset)) {
    fake_set(model => 'm1', frames => 5, size => 0, fault => $fault,
             after => 2, gap_ms => $fault eq 'reset' ? 5 : 0);

    before_all('/api/chat', $::chat, $::line, "$fault, chat");
    before_all('/v1/chat/completions', $::openai, $::event,
               "$fault, OpenAI");

    next if $fault eq 'reset';

    fake_set(model => 'm1', frames => 1000, size => 10_000, after => 400);

    my $c = client(rcvbuf => 4096, timeout => 20);
    $c->request('POST /api/chat', $::chat, Connection => 'close');
    ok($c->read_until(qr/w0 /));
    fake_requests(wait_active => 0);

    my $r = $c->reply_to_end;
    my $before = before($r, $::line, "$fault, a slow client");

    like($before, qr/"w399 x/);
}

is(outcomes(), 'interrupted');

--- error_log
closed the connection before the end of its reply



=== a complete reply that is read late, out of a file, stays complete
--- params
proxy_buffering on;
proxy_buffers 4 4k;
proxy_buffer_size 4k;
proxy_busy_buffers_size 8k;
--- fake
{"model":"m1","frames":400,"size":10000}
--- test
my $c = client(rcvbuf => 4096, timeout => 20);
$c->request('POST /api/chat', $::chat, Connection => 'close');
fake_requests(wait_ended => 1);

my $r = $c->reply_to_end;

ok($r->complete);
ok($r->body !~ /"error"/);
is(join('', $r->body =~ /"content":"(w\d+ )x/g),
   join('', map { "w$_ " } 0 .. 399));
$c->close;
is(outcomes(), 'ok');



=== the server stalls, with proxy_buffering on
--- params
proxy_buffering on;
proxy_read_timeout 200ms;
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"stall","after":2}
--- test
like(before_all('/api/chat', $::chat, $::line, 'chat'), qr/"w1 "[^\n]*\n\z/);
like(before_all('/v1/chat/completions', $::openai, $::event, 'OpenAI'),
     qr/"w1 "[^\n]*\n\n\z/);

is(outcomes(), 'interrupted');
--- error_log
upstream timed out
stalled



=== invalid chunked encoding, with proxy_buffering on
--- params
proxy_buffering on;
--- fake
{"model":"m1","frames":5,"fault":"bad_chunk","after":2,"gap_ms":5}
--- test
before(http('POST /api/chat', $::chat), $::line, 'chat');
before(http('POST /v1/chat/completions', $::openai), $::event, 'OpenAI');
--- error_log
upstream sent invalid chunked response



=== a broken connection to a server is not reused, others are
--- params
proxy_read_timeout 200ms;
--- test
my $n = 0;

# a connection that is kept
is(http('POST /api/chat', $::chat)->complete, 1);
my $kept = fake_requests(wait_count => ++$n)->{requests}[-1]{conn};

for my $fault (qw(die stall garbage garbage_mid bad_chunk die_mid_frame)) {
    fake_set(model => 'm1', frames => 5, fault => $fault, after => 1);
    ok(!http('POST /api/chat', $::chat)->complete, $fault);
    my $broken = fake_requests(wait_count => ++$n)->{requests}[-1]{conn};

    fake_set(model => 'm1', fault => 'none');
    ok(http('POST /api/chat', $::chat)->complete, 'the next one');
    my $next = fake_requests(wait_count => ++$n)->{requests}[-1]{conn};

    isnt($next, $broken, 'on another connection');
}
--- error_log
ollama server



=== a client that leaves while a server sends without pause
--- fake
{"model":"m1","fault":"flood"}
--- test
my $c = client();
$c->request('POST /api/chat', $::chat);
ok($c->read_until(qr/w100 /));
$c->reset;

fake_requests(wait_active => 0, wait_open => 0);
ok(access_log(qr/outcome=client_closed/));



=== an error before the first byte keeps its status and body
--- config eval: $::h2
--- test
my $n = 0;

for my $status (400, 404, 429, 500, 503) {
    fake_set(model => 'm1', status => $status, error => "fake $status",
             body => undef);

    my $r = http('POST /api/chat', $::chat);

    is($r->status, $status);
    is($r->body, "{\"error\":\"fake $status\"}");
    ok($r->complete);

    $r = http('POST /v1/chat/completions', $::openai);

    is($r->status, $status);
    like($r->body, qr/\A\{"error":\{"message":"fake $status"[^\n]*\n\z/);
    ok($r->complete);

    is(h2()->request('POST /api/chat', $::chat)->reply->end, 'complete');

    # not JSON at all
    fake_set(model => 'm1', body => "<h1>$status</h1>",
             content_type => 'text/html');

    $r = http('POST /api/chat', $::chat);
    is($r->body, "<h1>$status</h1>");
    is($r->header('Content-Type'), 'text/html');
    fake_set(model => 'm1', content_type => undef);
}

is(outcomes(), 'error');



=== the connection is closed before the header: 502
--- config eval: $::h2
--- fake
{"model":"m1","fault":"die_before_header"}
--- test
refused_502();
only_errors(qr/upstream prematurely closed connection while reading response/);
--- error_log
upstream prematurely closed connection



=== an invalid header: 502
--- config eval: $::h2
--- fake
{"model":"m1","fault":"bad_header"}
--- test
refused_502();
--- error_log
upstream sent no valid HTTP/1.0 header



=== no header within proxy_read_timeout: 504
--- params
proxy_read_timeout 100ms;
--- fake
{"model":"m1","fault":"hang"}
--- test
my $r = http('POST /api/chat', $::chat);

is($r->status, 504);
is(ref \$r->json->{error}, 'SCALAR');

$r = http('POST /v1/chat/completions', $::openai);

is($r->status, 504);
is($r->json->{error}{type}, 'api_error');
is(outcomes(), 'error');

fake_requests(wait_open => 0, wait_active => 0);
--- error_log
upstream timed out
