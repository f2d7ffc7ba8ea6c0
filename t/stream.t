# Guards streams: frames reach the client when the server sends them, unchanged
# however they are split, by any version of HTTP; connections are reused; and
# when the client leaves, the server's connection is closed at once, in every
# state.
#
# That a frame arrived before the next one was sent is shown by a server that
# sends no further one, or only when the test says so.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Bodies;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server $steps);


# [ what it is, the endpoint, a body ] of all forms of streams

our @streams = ([ 'chat', '/api/chat', $chat ],
                [ 'generate', '/api/generate', $prompt ],
                [ 'OpenAI', '/v1/chat/completions', $openai ],
                [ 'completions', '/v1/completions', $prompt ],
                [ 'Responses', '/v1/responses', $prompt ],
                [ 'Anthropic', '/v1/messages', $claude ]);


# has the next reply cut there, by a connection that is kept for it: fake_set()
# is too slow for hundreds

our $control;

sub cut_at {
    my ($at) = @_;

    $control ||= client(port => fake_port());
    $control->request('POST /fake/set',
                      { model => 'm1', split_at => [ $at + 0 ] })
            ->reply->status == 200 or die "no cut at $at\n";
}


# a reply without what is never the same

sub bare {
    my ($text) = @_;

    for ($text) {
        s/"(created_at|completed_at)":"[^"]*"/"$1":""/g;
        s/"(created|created_at|completed_at|\w+_duration)":\d+/"$1":0/g;
        s/"((?:\w+_)?id)":"([a-z]+)[-_][0-9a-f]+(?:_\d+)?"/"$1":"$2"/g;
        s/\b(resp|msg|chatcmpl|cmpl)[-_][0-9a-f]+/$1/g;
    }

    return $text;
}


# what comes through the gateway is what the server says to others

sub same {
    my ($title, $uri, $body, @headers) = @_;

    my $direct = http("POST $uri", $body, -port => fake_port(), @headers);
    my $r = http("POST $uri", $body, @headers);

    is($r->status, $direct->status, "$title: status");
    is($r->header('Content-Type'), $direct->header('Content-Type'),
       "$title: type");
    is(bare($r->body), bare($direct->body), "$title: body");
    is($r->end, 'eof', "$title: all was read");
    ok($r->complete, "$title: the end is one");

    return $r;
}


run_tests();

__DATA__

=== a frame arrives before the next one is sent
--- config eval: $::h2
--- test
fake_set(model => 'm1', frames => 5, fault => 'stall', after => 2);

my $n = 0;

for my $stream (@::streams) {
    my ($title, $uri, $body) = @$stream;

    for my $c (client(), h2()) {
        $c->request("POST $uri", $body);

        ok($c->read_until(qr/w0 .*w1 /s), "$title: two came");
        unlike($c->{raw} . ($c->{body} // ''), qr/w2 /, 'and no third');

        my $asked = fake_requests(wait_count => ++$n)->{requests}[-1];
        is($asked->{frames_sent}, 2, 'no more were sent');

        $c->close;
    }
}



=== each of many frames arrives before the server sends the next
--- upstream eval: $::steps
--- config eval: $::h2
--- test
for my $c (client(), h2()) {
    $c->request('POST /api/chat', $::chat);

    my $s = $::server->accept;
    $s->header('application/x-ndjson');

    for my $i (0 .. 20) {
        $s->chunk("{\"message\":{\"content\":\"f$i\"},\"done\":false}\n");
        ok($c->read_until(qr/"f$i"/), "frame $i");
    }

    # a piece of a line, too
    $s->chunk('{"message":{"content":"half');
    ok($c->read_until(qr/"half/));
    $s->chunk("\"},\"done\":false}\n{\"done\":true}\n");
    ok($c->read_until(qr/"done":true/));

    $s->last;
    is($c->reply->end, 'complete');
    $c->close;
    $s->close;
}



=== the header arrives before the first frame
--- upstream eval: $::steps
--- test
my $c = client();
$c->request('POST /api/chat', $::chat);

my $s = $::server->accept;
$s->header('application/x-ndjson');

ok($c->read_until(qr/\r\n\r\n/), 'before there is a frame');
like($c->{raw}, qr/^X-Ollama-Server: 127\.0\.0\.1:\d+\r$/m);
is($c->parsed->body, '');

$s->chunk("{\"done\":true}\n")->last;
is($c->reply->end, 'complete');
$s->close;



=== NDJSON arrives byte for byte, however the reply is split
--- test
my @lines = ("{\"model\":\"m1\",\"message\":{\"content\":\"\\u00e9\xc3\xa9 "
             . "\xf0\x9f\x98\x80\\\"\\\\\"},\"done\":false}\n",
             "{\"a\":\"\\ud83d\\ude00{\\\"done\\\":true}\",\"done\":false}\r\n",
             "{\"message\":{\"content\":\"\"},\"done\":true,"
             . "\"eval_count\":2}\n");
my $reply = join '', @lines;

for my $split (1 .. 3, 7, 64) {
    fake_set(model => 'm1', raw_reply => Encode::decode('UTF-8', $reply),
             split => $split, split_delay_us => 1);

    my $r = http('POST /api/chat', $::chat);
    is($r->body, $reply, "in pieces of $split");
    ok($r->complete);
}

fake_set(model => 'm1', split => undef);

my $c = client();

for my $at (1 .. length($reply) - 1) {
    cut_at($at);

    my $r = $c->request('POST /api/chat', $::chat)->reply;
    is($r->end . $r->body, 'complete' . $reply, "cut at $at") or last;
}

is(scalar(grep { !/outcome=ok .* generated=2 / } access_log()), 0,
   'all were read right');



=== SSE arrives byte for byte, however the reply is split
--- test
my $reply = join '', map { "data: $_\n\n" }
    '{"choices":[{"delta":{"content":"[DONE]"}}]}',
    "{\"choices\":[{\"delta\":{\"content\":\"\xc3\xa9\\n\"}}]}",
    '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}',
    '[DONE]';

$reply = ": a comment\n\n" . $reply;

fake_set(model => 'm1', raw_reply => Encode::decode('UTF-8', $reply),
         split_delay_us => 1);

my $c = client();

for my $at (1 .. length($reply) - 1) {
    cut_at($at);

    my $r = $c->request('POST /v1/chat/completions', $::openai)->reply;
    is($r->end . $r->body, 'complete' . $reply, "cut at $at") or last;
}

is(scalar(grep { !/outcome=ok .* prompt=3 generated=4 / } access_log()), 0,
   'all were read right');



=== replies of all kinds equal those of the server
--- fake
{"model":"m1","frames":5,"thinking":3,"tool_calls":true,"unicode":true}
--- test
same(@$_) for @::streams;

for my $stream (@::streams) {
    my ($title, $uri, $body) = @$stream;
    $body =~ s/\{/{"stream":false,/;
    $body =~ s/"stream":true,//;
    same("$title at once", $uri, $body);
}

same('load', '/api/chat', '{"model":"m1","messages":[]}');
same('unload', '/api/generate', '{"model":"m1","keep_alive":0}');
same('embed', '/api/embed', '{"model":"m1","input":["a","b"]}');
same('embeddings', '/api/embeddings', '{"model":"m1","prompt":"a"}');
same('OpenAI embeddings', '/v1/embeddings', '{"model":"m1","input":"a"}');
same('show', '/api/show', '{"model":"m1"}');
same('show by name', '/api/show', '{"name":"m1"}');

# refusals of the server's
same('no such model', '/api/chat', '{"model":"nope"}');
same('none for OpenAI', '/v1/chat/completions',
     '{"model":"nope","messages":[{"role":"user","content":"hi"}]}');

is(scalar(grep { !/outcome=(ok|error)/ } access_log()), 0);



=== large frames, several in a packet, and a fast server
--- params
client_max_body_size 10m;
--- config eval: $::h2
--- test
for my $set ({ frames => 3, size => 1_000_000 },
             { frames => 500, size => 1000, batch => 50, gap_ms => 1 },
             { frames => 2000, size => 10 })
{
    fake_set(model => 'm1', batch => 1, gap_ms => 0, %$set);

    my $r = http('POST /api/chat', $::chat);
    my $words = join '', $r->body =~ /"content":"(w\d+ )/g;

    is($words, join('', map { "w$_ " } 0 .. $set->{frames} - 1),
       'nothing is lost, all in order');
    cmp_ok(length $r->body, '>', $set->{frames} * $set->{size});
    ok($r->complete);

    my $h2 = h2()->request('POST /api/chat', $::chat)->reply;
    is(join('', $h2->body =~ /"content":"(w\d+ )/g), $words);
    is($h2->end, 'complete');
}

is(scalar(grep { !/outcome=ok/ } access_log()), 0);



=== streams by HTTP/2, also with curl
--- config eval: $::h2
--- fake
{"model":"m1","frames":3}
--- test
my $r = http2('POST /api/chat', $::chat);

is($r->status, 200);
is($r->header('Content-Type'), 'application/x-ndjson');
is($r->end, 'complete');
is(scalar(my @lines = $r->lines), 4);

$r = http2('POST /v1/chat/completions', $::openai);

is($r->end, 'complete');
like($r->body, qr/data: \[DONE\]\n\n\z/);



=== gzip in the location does not delay frames
--- http_config
    gzip on;
    gzip_min_length 1;
    gzip_types *;
    gzip_proxied any;
--- fake
{"model":"m1","frames":3}
--- test
my ($status, $out) = curl('--compressed', '-d', $::chat, '-i',
                          'http://127.0.0.1:' . $ENV{TEST_NGINX_SERVER_PORT}
                          . '/api/chat');

is($status, 0);
like($out, qr/^Content-Encoding: gzip/m);
like($out, qr/"w2 ".*"done":true[^\n]*\n\z/s);

# what it packs it must also let out, before the server goes on

fake_set(model => 'm1', fault => 'stall', after => 2);

my $c = client();
$c->request('POST /api/chat', $::chat, 'Accept-Encoding' => 'gzip');

require Compress::Zlib;

my $frames = wait_for(sub {
    $c->read(Time::HiRes::time() + 1);

    my $body = $c->parsed->body;
    my ($inflate) = Compress::Zlib::inflateInit(-WindowBits => 31);
    my ($text) = $inflate->inflate($body);

    return ($text // '') =~ /w0 .*w1 /s;
});

ok($frames, 'two frames before the third was sent');
$c->close;



=== a reply that the server compressed is passed on as it is
--- fake
{"model":"m1","frames":3,"encoding":"gzip"}
--- test
require Compress::Zlib;

my $c = client();

for my $stream (@::streams) {
    my ($title, $uri, $body) = @$stream;

    my $r = $c->request("POST $uri", $body,
                        'Accept-Encoding' => 'gzip')->reply;

    is($r->header('Content-Encoding'), 'gzip', $title);
    like(Compress::Zlib::memGunzip($r->body), qr/w0 .*w1 .*w2 /s);
    is($r->end, 'complete');
}

is(scalar(grep { !/outcome=ok ttft=- .* prompt=- generated=- / }
          access_log()), 0, 'nothing was made up about it');



=== connections are reused on both sides
--- config eval: $::h2
--- fake
{"model":"m1","frames":2}
--- test
my $c = client();

is($c->request("POST $_->[1]", $_->[2])->reply->end, 'complete', $_->[0])
    for @::streams;
is($c->request('POST /api/chat', $::one)->reply->end, 'complete');
is($c->request('POST /api/chat', '{"model":"m1"}')->reply->end, 'complete');
is($c->request('POST /api/embed', '{"model":"m1","input":"a"}')->reply->end,
   'complete');
is($c->request('GET /api/tags')->reply->end, 'complete');

my $h2 = h2();

is($h2->request("POST $_->[1]", $_->[2])->reply->end, 'complete', $_->[0])
    for @::streams;

my $record = fake_requests();

is($record->{count}, 16);
is(scalar @{ $record->{connections} }, 1, 'one connection to the server');



=== a reply whose end is the end of the connection
--- config eval: $::h2
--- test
for my $keys ([qw(http10)], [qw(connection_close)], [qw(length)],
              [qw(length connection_close)])
{
    fake_reset();
    fake_set(model => 'm1', frames => 3,
             map { $_ => JSON::PP::true() } @$keys);

    my $title = join ', ', @$keys;

    for my $stream (@::streams) {
        my $r = http("POST $stream->[1]", $stream->[2]);

        ok($r->complete, "$title, $stream->[0]");
        like($r->body, qr/w0 .*w1 .*w2 /s);
        unlike($r->body, qr/"error":[{"]/);

        is(h2()->request("POST $stream->[1]", $stream->[2])->reply->end,
           'complete', 'HTTP/2');
    }
}

is(scalar(grep { !/outcome=ok/ } access_log()), 0);



=== the client leaves: the server's connection is closed
--- config eval: $::h2
--- test
my %state = (
    'waiting for the header' => { fault => 'hang' },
    'loading' => { load_ms => 60_000 },
    'before the first token' => { ttft_ms => 60_000 },
    'between frames' => { frames => 100, gap_ms => 60_000 },
    'streaming' => { frames => 1_000_000, gap_ms => 1 },
    'stalled' => { fault => 'stall', after => 2 },
    'amid a flood' => { fault => 'flood' },
);

for my $state (sort keys %state) {
    for my $body ($::chat, $::one) {
        next if $body eq $::one && $state !~ /header|token|stall/;

        for my $how (qw(close reset rst h2-close)) {
            fake_reset();
            fake_set(model => $state eq 'loading' ? 'm2' : 'm1',
                     %{ $state{$state} });

            (my $sent = $body) =~ s/m1/m2/ if $state eq 'loading';
            $sent ||= $body;

            my $c = $how =~ /rst|h2/ ? h2() : client();
            $c->request('POST /api/chat', $sent);

            fake_requests(wait_count => 1);

            if ($state =~ /between|streaming|stalled|flood/
                && $body eq $::chat)
            {
                ok($c->read_until(qr/w0 /), "$state: a frame");
            }

            $how eq 'rst' ? $c->rst : $how eq 'reset' ? $c->reset : $c->close;

            my $asked = fake_requests(wait_ended => 1, wait_open => 0,
                                      soft => 1);

            is($asked->{requests}[0]{end}, 'client_closed',
               "$state, $how: the server knows") or return;
            is($asked->{open}, 0, 'no connection');
            $c->close if $how eq 'rst';
        }
    }
}

my $n = my @log = grep { m{/api/chat} } access_log();

is(scalar(grep { !/outcome=client_closed/ } @log), 0, "all $n were logged so");



=== the client leaves, with proxy_buffering on
--- params
proxy_buffering on;
--- test
fake_set(model => 'm1', fault => 'stall', after => 2);

my $c = client();
$c->request('POST /api/chat', $::chat);
fake_requests(wait_count => 1);
$c->close;

is(fake_requests(wait_ended => 1, wait_open => 0)->{requests}[0]{end},
   'client_closed');

fake_set(model => 'm1', fault => 'none', frames => 5);
same(@$_) for @::streams;



=== HEAD has a header and no body
--- fake
{"model":"m1","frames":5}
--- test
for my $uri (qw(/api/tags /api/version)) {
    my $r = http("HEAD $uri");

    is($r->status, 200);
    is($r->body, '');
}

my $c = client();

is($c->request('HEAD /api/chat', $::chat)->reply->status, 405);
is($c->request('POST /api/chat', $::chat)->reply->end, 'complete');



=== an HTTP/1.0 client gets a stream
--- fake
{"model":"m1","frames":5}
--- test
for my $stream (@::streams) {
    my ($title, $uri, $body) = @$stream;

    my $r = http("POST $uri", $body, -version => '1.0');

    is($r->status, 200);
    is($r->header('Transfer-Encoding'), undef);
    is($r->end, 'eof');
    like($r->body, qr/w0 .*w4 /s, $title);
    unlike($r->body, qr/"error":[{"]/);
}

fake_set(model => 'm1', fault => 'stall', after => 2);

my $c = client();
$c->request('POST /api/chat', $::chat, -version => '1.0');
ok($c->read_until(qr/w0 .*w1 /s), 'and frame by frame');
$c->close;

is(fake_requests(wait_ended => 7)->{requests}[-1]{end}, 'client_closed');



=== a slow client gets megabytes, whole and in order
--- config eval: "listen 127.0.0.1:\$TEST_NGINX_FREE_PORT sndbuf=16k; $::h2"
--- test
my $words = join '', map { "w$_ " } 0 .. 399;

# more than the kernel takes from a server whose client reads nothing
my ($most) = Test::Nginx::Ollama::read_file('/proc/sys/net/ipv4/tcp_wmem')
             =~ /(\d+)\s*\z/;
fake_set(model => 'm1', frames => 400, size => int(($most + 5e6) / 400));

my $c = client(port => $ENV{TEST_NGINX_FREE_PORT}, rcvbuf => 4096,
               timeout => 20);
$c->request('POST /api/chat', $::chat, Connection => 'close');

# it reads when all stands still: the server waits for it
my $sent = 0;

ok(wait_for(sub {
    my $before = $sent;
    sleep 0.05;
    $sent = fake_requests(wait_count => 1)->{requests}[0]{frames_sent};
    return $sent && $sent == $before;
}), 'all stands still');

is(fake_requests()->{active}, 1);
ok($c->read_until(qr/w0 /));

my $r = $c->reply_to_end;

is(join('', $r->body =~ /"content":"(w\d+ )/g), $words);
ok($r->complete);

$c = h2(window => 1000, rcvbuf => 4096, timeout => 20);
$c->request('POST /api/chat', $::chat);
ok($c->read_until(qr/w0 /));
$c->grant(0x7fff0000);

$r = $c->reply;

is(join('', $r->body =~ /"content":"(w\d+ )/g), $words);
is($r->end, 'complete');

is(scalar(grep { !/outcome=ok/ } access_log()), 0);



=== two streams at once, frame by frame
--- upstream eval: $::steps
--- test
my ($a, $b) = (client(), client());

$a->request('POST /api/chat', $::chat);
my $s = $::server->accept->header('application/x-ndjson');
$b->request('POST /v1/chat/completions', $::openai);
my $t = $::server->accept->header('text/event-stream');

for my $i (1 .. 5) {
    $s->chunk("{\"a\":$i}\n");
    ok($a->read_until(qr/"a":$i/));
    $t->chunk("data: {\"b\":$i}\n\n");
    ok($b->read_until(qr/"b":$i/));
}

$t->chunk("data: [DONE]\n\n")->last;
is($b->reply->end, 'complete');
$s->chunk("{\"done\":true}\n")->last;
is($a->reply->end, 'complete');

unlike($a->{raw}, qr/"b"/);
unlike($b->{raw}, qr/"a"/);
$_->close for $s, $t;
