# Guards what clients are promised of conversations between models: one reply
# with all turns, each frame as its server sent it and without delay, each turn
# routed and stopped like any chat, and a closing line however it ends.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server $steps);
use Test::Nginx::Ollama::Stop;
use Cpanel::JSON::XS ();
use JSON::PP;
use Time::HiRes qw(sleep time);

workers(2);

our $json = Cpanel::JSON::XS->new->utf8->canonical;
our $path = 'POST /api/chat/multi-model';

our $balanced = <<'END';
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=1s;
        keepalive 4;
END

our $two = $balanced
           =~ s/(?=\n *ollama_balance)/
        server 127.0.0.1:\$TEST_NGINX_FAKE2_PORT;/r;

sub body {
    return { models => [ 'm1', 'm2' ], initial_message => 'hi',
             max_turns => 2, @_ };
}

sub talk { return http($path, body(@_)) }


# The closing object, and the frames of each turn, all of which must be right.
# One line may be cut if "cut".

sub closing {
    my ($r, $what, $cut) = @_;

    is($r->status, 200, "$what - status") or diag($r->raw);
    ok($r->complete, "$what - a proper end") or diag($r->end);
    like($r->body, qr/\n\z/, "$what - whole lines");

    my @lines = $r->lines;
    my $last = eval { $json->decode(pop @lines // '') } // {};

    is($last->{type}, 'conversation', "$what - a closing line");
    is($last->{done}, JSON::PP::true, "$what - which is the end");

    my @bad = grep { !eval { $json->decode($_)->{turn} } } @lines;
    cmp_ok(scalar @bad, '<=', $cut ? 1 : 0, "$what - all are frames")
        or diag(@bad);

    return $last;
}

sub is_closed {
    my ($r, $what, $reason, $turns, $error, $cut) = @_;

    my $last = closing($r, $what, $cut);

    is($last->{done_reason}, $reason, "$what - done_reason");
    is($last->{turns}, $turns, "$what - turns");

    defined $error ? like($last->{error}, $error, "$what - error")
                   : ok(!exists $last->{error}, "$what - no error");

    return $last;
}

sub asked { return @{ fake_requests(@_)->{requests} } }


sub outcome {
    return access_log('multi-model')
           =~ /outcome=(\S+)/ ? $1 : 'none';
}

no_shuffle();
run_tests();

__DATA__

=== two models take turns
--- test
my $r = http($::path, main::body(max_turns => 3, task_id => 'one'),
             'Content-Type' => 'text/plain', 'X-Ollama-Session-Id' => '',
             'X-Mine' => 'yes');

my $last = main::is_closed($r, 'talk', 'max_turns', 3);
is($last->{task_id}, 'one', 'task');
ok(exists $last->{session_id} && !defined $last->{session_id}, 'no session');
is($r->header('Content-Type'), 'application/x-ndjson', 'type');
is($r->header('X-Ollama-Task-Id'), 'one', 'header');
is($r->header('X-Ollama-Session-Id'), undef, 'no session in the header');

my @frames = map { $::json->decode($_) } $r->lines;
pop @frames;

is(join(' ', map { $_->{turn} } @frames),
   join(' ', map { ($_) x 6 } 1 .. 3), 'turns');
is(join(' ', map { $_->{participant} } @frames),
   join(' ', map { ($_) x 6 } qw(m1 m2 m1)), 'participants');
is(join(' ', map { $_->{model} } @frames),
   join(' ', map { ($_) x 6 } qw(m1 m2 m1)), 'models');
is(scalar(grep { $_->{done} && $_->{eval_count} } @frames), 3, 'statistics');

my $said = 'w0 w1 w2 w3 w4 ';
my @asked = main::asked();

is(prompt_of($asked[0]), 'user:hi', 'first view');
is(prompt_of($asked[1]), "user:hi|user:$said", 'second view');
is(prompt_of($asked[2]), "user:hi|assistant:$said|user:$said", 'third view');

for (@asked) {
    is($_->{headers}{'content-type'}, 'application/json', 'content type');
    is($_->{headers}{'content-length'}, length $_->{body}, 'length');
    is($_->{headers}{'x-mine'}, 'yes', 'the client\'s header');
    is($_->{method}, 'POST', 'method');
}

is(main::outcome(), 'ok', 'outcome');
like(access_log('multi-model'), qr/task=one .* ttft=\d+\.\d{3} /, 'log');
is(scalar(grep { m{/api/chat } } access_log()), 0, 'one line of log');
--- asked
POST /api/chat
POST /api/chat
POST /api/chat



=== frames are the server's, however its reply is split
--- test
my $done = '{"model":"m1","message":{"role":"assistant","content":"."},'
           . '"done":true,"done_reason":"stop"}';

my %reply = (
    plain => [ '{"message":{"content":"a{b\\"}"},"done":false}', $done ],
    empty => [ '{}', '{ }', $done ],
    white => [ ' { "message" : {"content":"a"} , "done":false } ',
               "\t{\t\"done\":false}", "{\"a\":1}\r", $done ],
    unicode => [ '{"message":{"content":"\\u263a\\ud83d\\ude00 {\\"x"},'
                 . '"done":false}', $done ],
    alone => [ $done ],
    lines => [ '', '{"done":false}', '', $done ],
    unended => [ '{"done":false}', $done ],
);

for my $what (sort keys %reply) {
    my $body = join '', map { "$_\n" } @{ $reply{$what} };
    my $want = '';

    chop $body if $what eq 'unended';

    for my $turn ([ 1, 'm1' ], [ 2, 'm"2' ]) {
        my $name = $turn->[1] =~ s/"/\\"/r;
        my $front = "\"turn\":$turn->[0],\"participant\":\"$name\"";

        for (split /^/, $body) {
            s/\{(\s*)(?=\})/{$1$front/ || s/\{(\s*)/{$1$front,/;
            $want .= $_;
        }

        $want .= "\n" if $what eq 'unended';
    }

    for my $split (0, 1, 2, 3, 5, 7, 11, 64) {
        fake_set(model => '*', raw_reply => $body, split => $split,
                 content_type => 'application/x-ndjson');

        my $r = main::talk(models => [ 'm1', { model => 'm2',
                                               name => 'm"2' } ]);
        my $got = $r->body =~ s/[^\n]*\n\z//r;

        # white space may stand on either side of what is put in
        is($got, $want, "$what, split at $split") or diag($r->raw);
        main::is_closed($r, "$what, split at $split", 'max_turns', 2)
            if $what ne 'lines';
    }
}



=== each byte is sent to the client as soon as the server has sent it
--- upstream eval: $::steps
--- test
my $c = client()->request($::path, main::body());

# the header comes before any server has said anything
$c->read_until(qr/\r\n\r\n/);
like($c->{raw}, qr/X-Ollama-Task-Id/, 'header');

my $s = $::server->accept->header('application/x-ndjson');

for my $turn (1, 2) {
    for my $n (1 .. 3) {
        $s->chunk('{');
        ok($c->read_until(qr/\n1\r\n\{\r\n\z/),
           "turn $turn, frame $n - its first byte");
        $s->chunk('"message":{"role":"assistant","cont');
        ok($c->read_until(qr/\{\r\n[0-9a-f]+\r\n"turn":$turn,"participant":
                             "m$turn","message":\{"role":"assistant","cont
                             \r\n\z/x),
           "turn $turn, frame $n - a part of it");
        $s->chunk("ent\":\"x$n\"},\"done\":false}\n");
        ok($c->read_until(qr/ent":"x$n"},"done":false\}\n\r\n\z/),
           "turn $turn, frame $n");
    }

    $s->chunk("{\"message\":{\"content\":\"\"},\"done\":true}\n")->last;
    $s->next_request if $turn == 1;
    $s->header('application/x-ndjson') if $turn == 1;
}

main::is_closed($c->reply, 'talk', 'max_turns', 2);



=== three models take part, with instructions and settings of their own
--- test
my $r = main::talk(models => [ { model => 'm1', name => 'Ann', system => 'A' },
                               { model => 'm2', options => { seed => 2 } },
                               'm1' ],
                   system_prompts => { m1 => 'all', m2 => 'B', Ann => 'no' },
                   options => { seed => 1, top_k => 9 }, max_turns => 5);

main::is_closed($r, 'talk', 'max_turns', 5);

my @asked = main::asked();
my $w = 'w0 w1 w2 w3 w4 ';

is(join(' ', map { $_->{model} } @asked), 'm1 m2 m1 m1 m2', 'who was asked');

is(prompt_of($asked[0]), 'system:A|user:hi', 'first');
is(prompt_of($asked[1]), "system:B|user:hi\nAnn: $w", 'second');
is(prompt_of($asked[2]), "system:all|user:hi\nAnn: $w\nm2: $w", 'third');
is(prompt_of($asked[3]),
   "system:A|user:hi|assistant:$w|user:m2: $w\nm1: $w", 'fourth');

my @options = map { $::json->encode($::json->decode($_->{body})->{options}) }
              @asked;
is($options[0], '{"seed":1,"top_k":9}', 'options of all');
is($options[1], '{"seed":2,"top_k":9}', 'options of one');



=== a reply of newlines stays as long as it is for the next model
--- fake eval
$::json->encode({
    model => 'm1', status => 200, content_type => 'application/x-ndjson',
    body => $::json->encode({
        model => 'm1', done => JSON::PP::true, done_reason => 'stop',
        message => { role => 'assistant', content => "\n" x 200_000 },
    }) . "\n" })
--- test
my $r = main::talk(models => [ { model => 'm1', name => 'x' x 100 }, 'm2',
                               'm3' ],
                   max_turns => 2);

main::is_closed($r, 'newlines', 'max_turns', 2);

my $got = fake_requests(wait_ended => 2, last => 1)->{requests}[0];

is($got->{model}, 'm2', 'who is told');
cmp_ok($got->{body_bytes}, '>', 400_000, 'all of them');
cmp_ok($got->{body_bytes}, '<', 500_000, 'none with the name of who said it');



=== each turn goes to a server of its model, or to the server_url given
--- upstream eval: $::two
--- fake
{"server":{"models":[{"name":"m1:latest"},{"name":"both:latest"}]}}
--- fake2
{"server":{"models":[{"name":"m2:latest"},{"name":"both:latest"}]}}
--- test
wait_status(up => 1, 2);

main::is_closed(main::talk(max_turns => 4), 'by model', 'max_turns', 4);
is(scalar main::asked(), 2, 'the first server');
is(scalar main::asked(fake => 2), 2, 'the second server');

for my $n (1, 2) {
    my $url = 'http://127.0.0.1:' . fake_port($n);
    my $before = main::asked(fake => $n);
    my $r = main::talk(models => [ map { { model => 'both', name => $_,
                       server_url => $url } } qw(a b) ], max_turns => 6);

    main::is_closed($r, "pinned to $n", 'max_turns', 6);
    is(scalar main::asked(fake => $n), $before + 6,
       "pinned to $n - all turns");

    $r = http($::path, main::body(models => [ 'both', 'both' ]),
              'X-Ollama-Server-Url' => $url);
    main::is_closed($r, "pinned to $n by header", 'max_turns', 2);
    is(scalar main::asked(fake => $n), $before + 8,
       "pinned to $n by header");
}



=== a server that fails before its first byte is replaced by another
--- upstream eval: $::two
--- test
wait_status(up => 1, 2);

fake_set(model => '*', fault => 'die_before_header');

my $r = main::talk(max_turns => 6);

main::is_closed($r, 'talk', 'max_turns', 6);
is(scalar(grep { $_->{status} == 200 && $_->{end} eq 'complete' }
          main::asked(fake => 2)), 6, 'the other server');
--- no_error_log
[alert]



=== a turn that fails ends the conversation with a closing line
--- upstream eval: $::balanced
--- config eval: $::h2
--- params
proxy_read_timeout 400ms;
--- test
wait_status(up => 1);

my $closed = qr/\Aserver "127\.0\.0\.1:\d+" closed the connection before/;

# [ what the server does, the error, whether a line may be cut ]

my %fail = (
    die => [ { fault => 'die' }, $closed ],
    reset => [ { fault => 'reset' }, $closed ],
    'die at the header' => [ { fault => 'die', after => 0 }, $closed ],
    'die amid a frame' => [ { fault => 'die_mid_frame' }, $closed, 1 ],
    stall => [ { fault => 'stall' }, qr/\Aserver "\S+" stalled/ ],
    garbage => [ { fault => 'garbage' }, qr/no frame of a reply/ ],
    'garbage in a frame' => [ { fault => 'garbage_mid' },
                              qr/no frame of a reply/, 1 ],
    'no end' => [ { no_done => JSON::PP::true }, qr/without finishing it/ ],
    'bad chunk' => [ { fault => 'bad_chunk' }, qr/broken framing/ ],
    'error line' => [ { error_line_after => 2, error => 'it "broke"' },
                      qr/\Ait "broke"\z/ ],
    404 => [ { status => 404, error => "model 'm2' not found" },
             qr/\Amodel 'm2' not found\z/ ],
    500 => [ { status => 500, error => "no \x{263a}" },
             qr/\Ano \x{263a}\z/ ],
    # only its beginning is kept, which ends within a character
    '500 at length' => [ { status => 500,
                           error => 'x' x 1012 . "\x{263a}" x 9 },
                         qr/\Ax{1012}\z/ ],
    'a long error line' => [ { error_line_after => 2,
                               error => 'x' x 1013 . "\x{1f642}" x 9 },
                             qr/\Ax{1013}\z/ ],
    '500 without words' => [ { status => 500, body => 'oops' },
                             qr/answered with status 500\z/ ],
    hang => [ { fault => 'hang' }, qr/did not answer in time/ ],
    'die before the header' => [ { fault => 'die_before_header' },
                                 qr/broke off its answer/ ],
    'bad header' => [ { fault => 'bad_header' }, qr/broke off its answer/ ],
    gzip => [ { encoding => 'gzip' }, qr/no reply that can be read/ ],
);

for my $what (sort keys %fail) {
    my ($set, $error, $cut) = @{ $fail{$what} };

    for my $turn (1, 2) {
        for my $stream (JSON::PP::true, JSON::PP::false) {
            next if !$stream && $turn == 1;

            my $title = "$what in turn $turn" . ($stream ? '' : ', no stream');

            fake_reset();

            # who has said that it lacks a model is not asked again so soon
            for my $model ('m1', 'm2') {
                wait_for(sub { http('POST /api/chat', { model => $model,
                                    messages => [ { role => 'user',
                                    content => 'hi' } ] })->status == 200 },
                         10) or die "$model does not come back\n";
            }

            fake_set(model => "m$turn", %$set);

            my $r = http2($::path, main::body(max_turns => 4,
                                              stream => $stream));

            if (!$stream) {
                my $last = eval { $r->json } // {};

                is($last->{done_reason}, 'error', "$title - done_reason");
                like($last->{error}, $error, "$title - error");
                is($last->{turns}, 1, "$title - turns");
                is($last->{replies}[0]{message}{content},
                   'w0 w1 w2 w3 w4 ', "$title - what was said");
                next;
            }

            main::is_closed($r, $title, 'error', $turn - 1, $error, $cut);

            my @frames = grep { /"turn":$turn,/ } $r->lines;
            my $said = $set->{status} || $what =~ /header|hang|gzip/ ? 0 : 1;
            $said ? cmp_ok(@frames, '>', 0, "$title - what was said is kept")
                  : is(@frames, 0, "$title - nothing was said");
        }
    }
}

is(server(1)->{in_flight}, 0, 'nothing is left');
--- no_error_log
[alert]



=== replies of all forms and framings are relayed
--- test
my %form = (
    'HTTP/1.0' => { http10 => JSON::PP::true },
    'a length' => { length => JSON::PP::true },
    'closed' => { connection_close => JSON::PP::true },
    'no last chunk' => { fault => 'die_after_done' },
    'batches' => { batch => 3 },
    'thinking' => { thinking => 2 },
    'tools' => { tool_calls => JSON::PP::true },
    'characters' => { unicode => JSON::PP::true, split => 3 },
    'more behind the end' => { raw_reply => '{"message":{"content":"a"},'
        . '"done":true}' . "\n{\"more\":1}\n",
        content_type => 'application/x-ndjson' },
    'one line' => { raw_reply => '{"message":{"role":"assistant",'
        . '"content":"a"},"done":true}', content_type => 'application/json' },
);

for my $what (sort keys %form) {
    fake_reset();
    fake_set(model => '*', %{ $form{$what} });

    my $r = main::talk(max_turns => 3);
    main::is_closed($r, $what, 'max_turns', 3);
    unlike($r->body, qr/more/, "$what - the end");
}
--- error_log: sent more than its reply



=== with proxy_buffering on: turns, failures and stops
--- upstream eval: $::balanced
--- params
proxy_buffering on;
--- test
wait_status(up => 1);

fake_set(model => 'm2', ttft_ms => 60_000);

# all of a turn is sent when it is over
my $c = client()->request($::path, main::body(task_id => 'one'));
ok($c->read_until(qr/"turn":1,.*"done":true.*\n/), 'the first turn');
is(main::cancel('one')->status, 200, 'stopped');
main::is_closed($c->reply, 'stopped', 'cancelled', 1);

for my $size (0, 1000, 20_000) {
    for my $what (qw(none die die_mid_frame garbage)) {
        fake_reset();
        fake_set(model => 'm1', size => $size, frames => 40);
        fake_set(model => 'm2', size => $size, fault => $what, frames => 40);

        my $r = main::talk(max_turns => 3);
        my $cut = $what =~ /mid/;
        $what eq 'none'
            ? main::is_closed($r, "$what, $size", 'max_turns', 3)
            : main::is_closed($r, "$what, $size", 'error', 1, qr/server/,
                              $cut);
    }
}
--- no_error_log
[alert]



=== an HTTP/1.1 connection stays open after a failed conversation
--- test
fake_set(model => 'm2', fault => 'die');

my $c = client();

for (1 .. 3) {
    my $r = $c->request($::path, main::body())->reply;
    main::is_closed($r, 'talk', 'error', 1, qr/closed the connection/);
    is($r->end, 'complete', 'the connection stays');
}

like(main::outcome(), qr/\Ainterrupted\z/, 'outcome');
is($c->request('GET /api/tags')->reply->status, 200, 'and is used');
--- error_log
closed the connection before the end of its reply



=== all servers full or down: 503
--- upstream eval
$::balanced =~ s/(PORT);/$1 max_conns=1;/r
            =~ s/(ollama_balance);/$1 queue=0;/r
--- test
wait_status(up => 1);

fake_set(model => 'm1', frames => 2, gap_ms => 60_000);
my $c = client()->request('POST /api/chat', { model => 'm1', task_id => 'one',
                          messages => [ { role => 'user',
                                          content => 'hi' } ] });
$c->read_until(qr/w0/);

my $r = main::talk();
is($r->status, 503, 'full');
like($r->json->{error}, qr/\Aserver busy/, 'as any chat');
is($r->header('Retry-After'), 2, 'may be tried again');

is(main::cancel('one')->status, 200);
$c->reply;

fake_set(server => { listen => JSON::PP::false });
wait_status(down => 1);
$r = main::talk();
is($r->status, 503, 'down');
like($r->json->{error}, qr/no server that is up/);
--- no_error_log
[alert]



=== a server that is full at first may have a free slot at its turn
--- upstream eval
$::two =~ s/(PORT);/$1 max_conns=1;/gr
       =~ s/(ollama_balance);/$1 timeout=1s;/r
--- fake
{"server":{"models":[{"name":"m1:latest"}]}}
--- fake2
{"server":{"models":[{"name":"m2:latest"}]}}
--- test
wait_status(up => 1, 2);

fake_set(fake => 2, model => 'm2', frames => 2, gap_ms => 60_000);

for my $wait (0, 1) {
    my $c = client()->request('POST /api/chat', { model => 'm2',
                              task_id => 'two', messages => [ { role => 'user',
                              content => 'hi' } ] });
    $c->read_until(qr/w0/);

    fake_set(model => 'm1', frames => 5, gap_ms => $wait ? 100 : 0);
    my $talk = client()->request($::path, main::body());
    $talk->read_until(qr/"turn":1/);

    if ($wait) {
        is(main::cancel('two')->status, 200, 'a place is given free');
        fake_set(fake => 2, model => 'm2', frames => 2, gap_ms => 0);
    }

    main::is_closed($talk->reply, "wait: $wait", $wait ? ('max_turns', 2)
                    : ('error', 1, qr/\Aserver busy/));

    main::cancel('two') if !$wait;
    $c->reply;
}
--- no_error_log
[alert]



=== a stop by its id works in every state
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
wait_status(up => 1);

my %state = (
    'waiting for the header' => [ { fault => 'hang' }, 0 ],
    'loading' => [ { ttft_ms => 60_000 }, 0 ],
    'between frames' => [ { frames => 100, gap_ms => 60_000 }, 1 ],
    'streaming' => [ { frames => 1_000_000, gap_ms => 1 }, 1 ],
    'stalled' => [ { fault => 'stall', after => 2 }, 1 ],
    'amid a flood' => [ { fault => 'flood' }, 1 ],
    'amid a frame' => [ { frames => 9, size => 9000, split => 400,
                          split_delay_us => 20_000 }, 1 ],
);

for my $what (sort keys %state) {
    my ($set, $frames) = @{ $state{$what} };

    for my $turn (1, 2) {
        for my $c (client(), h2()) {
            my $title = "$what, turn $turn, " . (ref $c =~ /(HTTP2|Client)/)[0];

            fake_reset();
            fake_set(model => "m$turn", %$set);

            $c->request($::path, main::body(task_id => 'one',
                                            max_turns => 9));
            fake_requests(wait_count => $turn);
            $c->read_until(qr/"turn":$turn,.*"content":"w0/s) if $frames;

            my $r = main::cancel('one');
            is($r->status, 200, "$title - it is stopped");
            is($r->body,
               '{"cancelled":true,"task_id":"one","session_id":null}');

            $r = $c->reply;
            main::is_closed($r, $title, 'cancelled', $turn - 1, undef,
                            $what =~ /amid/);

            is(main::cancel('one')->status, 404, "$title - a second time");

            my $asked = fake_requests(wait_ended => $turn, wait_active => 0);
            is($asked->{requests}[-1]{end}, 'client_closed',
               "$title - the server is let go");
            is($asked->{count}, $turn, "$title - no other is asked");

            is($c->request('GET /api/models/servers')->reply->status, 200,
               "$title - the connection stays");
        }
    }
}

is(server(1)->{in_flight}, 0, 'nothing is left');
is(server(1)->{status}, 'up', 'no failure of the server');
ok(!(grep { !/outcome=cancelled/ } grep { /multi-model/ } access_log()),
   'outcomes');



=== a stop completes a line that has begun, if the rest comes soon
--- upstream eval: $::steps
--- test
for my $rest (1, 0) {
    my $c = client()->request($::path, main::body(task_id => 'one'));
    my $s = $::server->accept->header('application/x-ndjson');

    $s->chunk("{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"mess");
    $c->read_until(qr/\{"turn":1,"participant":"m1","mess/);

    my $stop = client()->request('POST /api/chat/cancel/one', '');

    if ($rest) {
        $stop->reply;
        $s->chunk("age\":{\"content\":\"b\"},\"done\":false}\n{\"more");
    }

    my $r = $c->reply;

    main::is_closed($r, "rest: $rest", 'cancelled', 0, undef, !$rest);
    $rest ? like($r->body, qr/"content":"b"\},"done":false\}\n\{"type"/,
                 'whole')
          : like($r->body, qr/"participant":"m1","mess\n\{"type"/, 'cut');
    unlike($r->body, qr/more/);
    $stop->reply if !$rest;
    ok($s->gone, 'the server is let go');
}



=== a stop after the last frame, but before the server's end of reply
--- upstream eval: $::steps
--- test
my $c = client()->request($::path, main::body(task_id => 'one'));
my $s = $::server->accept->header('application/x-ndjson');

$s->chunk("{\"message\":{\"content\":\"a\"},\"done\":true}\n");
$c->read_until(qr/"done":true/);

is(main::cancel('one')->status, 200, 'it is stopped');
main::is_closed($c->reply, 'talk', 'cancelled', 1);
ok($s->gone, 'the server is let go');
ok(!$::server->asked, 'no other is asked');



=== a server that does not end its reply after the last frame
--- upstream eval: $::steps
--- test
my $c = client()->request($::path, main::body());
my @open;

for my $turn (1, 2) {
    push @open, $::server->accept->header('application/x-ndjson');
    $open[-1]->chunk("{\"message\":{\"content\":\"a\"},\"done\":true}\n");
}

main::is_closed($c->reply, 'no turn is held up', 'max_turns', 2);
ok($_->gone, 'the server is let go') for @open;
--- error_log eval: qr/server ".*" did not end its reply/



=== a reply that is too long ends the conversation, and is not waited for
--- test
fake_set(model => 'm2', frames => 2000, size => 100_000);

for my $stream (JSON::PP::true, JSON::PP::false) {
    fake_reset();
    fake_set(model => 'm2', frames => 2000, size => 100_000);

    my $r = main::talk(stream => $stream);

    is($r->json->{error}, 'a reply has become longer than 16 MB', 'error')
        if !$stream;
    main::is_closed($r, 'too long', 'error', 1, qr/longer than 16 MB/, 1)
        if $stream;

    my @asked = main::asked(wait_ended => 2);
    cmp_ok($asked[1]{frames_sent}, '<', 400, 'the server is let go');
}



=== a stop after the end is answered 404
--- test
main::is_closed(main::talk(task_id => 'one'), 'talk', 'max_turns', 2);
is(main::cancel('one')->status, 404, 'it is over');

# the name is free again
main::is_closed(main::talk(task_id => 'one'), 'again', 'max_turns', 2);



=== a client that leaves ends the conversation
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
wait_status(up => 1);

for my $turn (1, 2) {
    for my $what (qw(hang stall flood none)) {
        for my $c (client(), h2()) {
            my $title = "$what in turn $turn, " . ref $c;

            fake_reset();
            fake_set(model => "m$turn", fault => $what,
                     $what eq 'none' ? (frames => 9, gap_ms => 60_000) : ());

            $c->request($::path, main::body(max_turns => 9));
            fake_requests(wait_count => $turn);
            $c->read_until(qr/"turn":$turn,/) if $what ne 'hang';

            ref $c =~ /HTTP2/ ? $c->rst : $c->close;

            my $asked = fake_requests(wait_ended => $turn, wait_active => 0);
            is($asked->{requests}[-1]{end}, 'client_closed',
               "$title - the server is let go");
            is($asked->{count}, $turn, "$title - no other is asked");
        }
    }
}

ok(wait_for(sub { 16 == grep { /multi-model.*outcome=client_closed/ }
                  access_log() }), 'outcomes');
is(server(1)->{in_flight}, 0, 'nothing is left');



=== a reload does not end the conversation
--- upstream eval: $::balanced
--- test
wait_status(up => 1);

fake_set(model => '*', frames => 3, gap_ms => 60);

my $c = client()->request($::path, main::body(max_turns => 6));
$c->read_until(qr/"turn":2,/);

reload();

main::is_closed($c->reply, 'talk', 'max_turns', 6);
ok(wait_for(sub { worker_pids(1) == 2 }, 10), 'the old workers end');



=== with "stream": false the reply is one object with all turns
--- test
fake_set(model => 'm2', thinking => 2);

my $r = main::talk(stream => JSON::PP::false, max_turns => 3,
                   task_id => 'one');

is($r->status, 200, 'status');
is($r->header('Content-Type'), 'application/json; charset=utf-8', 'type');
is($r->header('X-Ollama-Task-Id'), 'one', 'task');
ok($r->header('Content-Length'), 'length');

my $all = $r->json;

is($all->{type}, 'conversation');
is($all->{done_reason}, 'max_turns', 'reason');
is($all->{turns}, 3, 'turns');
is($all->{task_id}, 'one', 'task');

my @replies = @{ $all->{replies} };

is(join(' ', map { $_->{turn} } @replies), '1 2 3', 'turns');
is(join(' ', map { $_->{participant} } @replies), 'm1 m2 m1', 'participants');

for (@replies) {
    is($_->{message}{content}, 'w0 w1 w2 w3 w4 ', 'content');
    is($_->{message}{role}, 'assistant', 'role');
    is($_->{server}, '127.0.0.1:' . fake_port(), 'server');
    is($_->{model}, $_->{participant}, 'model');
    is($_->{done_reason}, 'stop', 'done_reason');
    like($_->{eval_count}, qr/\A\d+\z/, 'statistics');
}

is($::json->decode($_->{body})->{stream}, JSON::PP::true,
   'servers send streams, which can be stopped') for main::asked();

# stopped
fake_set(model => 'm2', thinking => 0, frames => 9, gap_ms => 60_000);
my $c = client()->request($::path, main::body(stream => JSON::PP::false,
                                              task_id => 'one'));
fake_requests(wait_count => 5);
wait_for(sub { (main::asked())[-1]{frames_sent} });
is(main::cancel('one')->status, 200, 'it is stopped');

$all = $c->reply->json;
is($all->{done_reason}, 'cancelled', 'cancelled');
is($all->{turns}, 1, 'turns');
is(scalar @{ $all->{replies} }, 2, 'what was said');
is($all->{replies}[1]{done_reason}, 'cancelled', 'the one that was stopped');
is($all->{replies}[1]{message}{content} // '', 'w0 ', 'what it had said');



=== invalid requests are refused before a server is asked
--- upstream eval: $::balanced
--- ollama
ollama_forbid options.num_ctx;
--- test
wait_status(up => 1);

my $none = '\A\{"error":"';

my @bad = (
    [ 'no body', '', 400, qr/empty/ ],
    [ 'no JSON', '{"models":[', 400, qr/JSON|models/ ],
    [ 'no object', '[]', 400, qr/./ ],
    [ 'no models', { initial_message => 'hi' }, 400, qr/models/ ],
    [ 'one model', main::body(models => [ 'm1' ]), 400, qr/models/ ],
    [ 'nine models', main::body(models => [ ('m1') x 9 ]), 400, qr/models/ ],
    [ 'a model that is none', main::body(models => [ 'm1', 7 ]), 400,
      qr/models/ ],
    [ 'an empty model', main::body(models => [ 'm1', '' ]), 400, qr/model/ ],
    [ 'no model', main::body(models => [ 'm1', { name => 'x' } ]), 400,
      qr/model/ ],
    [ 'two of a name', main::body(models => [ map { { model => 'm1',
      name => 'x' } } 1, 2 ]), 400, qr/name/ ],
    [ 'no message', { models => [ 'm1', 'm2' ] }, 400, qr/initial_message/ ],
    [ 'a message that is none', main::body(initial_message => 7), 400,
      qr/initial_message/ ],
    [ 'no turns', main::body(max_turns => 0), 400, qr/max_turns/ ],
    [ 'too many turns', main::body(max_turns => 101), 400, qr/max_turns/ ],
    [ 'half a turn', main::body(max_turns => 1.5), 400, qr/max_turns/ ],
    [ 'turns in words', main::body(max_turns => 'ten'), 400, qr/max_turns/ ],
    [ 'a stream that is none', main::body(stream => 'no'), 400, qr/stream/ ],
    [ 'options that are none', main::body(options => 1), 400, qr/options/ ],
    [ 'prompts that are none', main::body(system_prompts => []), 400,
      qr/system_prompts/ ],
    [ 'a prompt that is none', main::body(system_prompts => { m1 => 1 }), 400,
      qr/system_prompts/ ],
    [ 'a bad task', main::body(task_id => 'a b'), 400, qr/task_id/ ],
    [ 'an unknown model', main::body(models => [ 'm1', 'm3' ]), 404,
      qr/\Amodel 'm3' not found\z/ ],
    [ 'an unknown server', main::body(models => [ 'm1', { model => 'm1',
      server_url => 'http://a:1' } ]), 404, qr/not a configured server/ ],
    [ 'no session', main::body(session_id => 'none'), 503, qr/unavailable/ ],
);

for (@bad) {
    my ($what, $body, $status, $error) = @$_;

    for my $c (client()) {
        my $r = $c->request($::path, $body)->reply;

        is($r->status, $status, "$what - status") or diag($r->raw);
        like(eval { $r->json->{error} } // '', $error, "$what - error");
        is($r->end, 'complete', "$what - the connection stays");
    }
}

my $r = http($::path, main::body(), 'X-Ollama-Task-Id' => 'a b');
is($r->status, 400, 'a bad task in the header');

$r = http($::path, main::body(), 'Content-Encoding' => 'br');
is($r->status, 415, 'a body in an unknown coding');

$r = http('GET /api/chat/multi-model');
is($r->status, 405, 'method');
is($r->header('Allow'), 'POST', 'Allow');

is(http($::path, main::body(), Origin => 'http://evil')->status, 403,
   'a foreign page');
--- no_error_log
[alert]
--- asked
nothing



=== a request body of any size, framing and buffering is accepted
--- upstream eval: $::balanced
--- params
client_max_body_size 3m;
client_body_buffer_size 1k;
--- test
wait_status(up => 1);

for my $size (10, 900, 1100, 5000, 300_000, 1_048_576) {
    my $r = http($::path, main::body(initial_message => 'x' x $size));
    main::is_closed($r, $size, 'max_turns', 2);

    my @asked = main::asked(last => 2);
    ok($asked[0]{body_bytes} > $size, "$size - all of it is sent");
    ok($asked[1]{body_bytes} > $size, "$size - again");

    $r = http($::path, main::body(initial_message => 'x' x $size),
              -chunked => [ 100, 1, 7 ]);
    main::is_closed($r, "$size in chunks", 'max_turns', 2);
}

is(http($::path, main::body(initial_message => 'x' x 3_200_000))->status, 413,
   'too large');

# 1 MB of text, however long that is in JSON
my $long = '"initial_message":"' . '\\n' x 1_048_576 . '"';
my $models = '"models":["m1","m2"],"max_turns":1';

main::is_closed(http($::path, "{$models,$long}"), 'escaped', 'max_turns', 1);

for my $more (initial_message => system_prompts => 'models') {
    my $text = 'x' x 1_048_577;

    my $r = http($::path, main::body(
                     $more eq 'models'
                     ? (models => [ 'm1', { model => 'm2', system => $text } ])
                     : ($more => $more eq 'initial_message'
                                 ? $text : { m1 => $text })));

    is($r->status, 413, "$more - a longer text");
    like($r->json->{error}, qr/"$more\S* is longer than 1 MB/, "$more - error");
}
--- no_error_log
[alert]



=== task_id names the conversation; one that is in use is refused
--- test
fake_set(model => 'm1', frames => 9, gap_ms => 60_000);

my $c = client()->request($::path, main::body(), 'X-Ollama-Task-Id' => 'one');
$c->read_until(qr/w0/);

my $r = main::talk(task_id => 'one');
is($r->status, 409, 'in use');
like($r->json->{error}, qr/task_id "one" is in use/);

is(main::cancel('one')->status, 200);
my $last = main::is_closed($c->reply, 'talk', 'cancelled', 0);
is($last->{task_id}, 'one', 'by the header');



=== fields that ollama_forbid names are removed from every turn
--- ollama
ollama_forbid options.num_ctx options.a;
--- test
my $r = main::talk(options => { num_ctx => 1, seed => 2, a => { b => 1 } },
                   models => [ 'm1', { model => 'm2',
                                       options => { NUM_CTX => 3 } },
                               { model => 'm1', name => 'x' } ],
                   max_turns => 3);

main::is_closed($r, 'talk', 'max_turns', 3);
is($r->header('X-Ollama-Removed'), 'options.num_ctx, options.a', 'header');

for (main::asked()) {
    is($::json->encode($::json->decode($_->{body})->{options}), '{"seed":2}',
       'options');
}

$r = main::talk(options => { seed => 2 });
is($r->header('X-Ollama-Removed'), undef, 'nothing was taken out');

$r = main::talk(options => { num_ctx => 2 });
main::is_closed($r, 'all of them', 'max_turns', 2);
is($::json->encode($::json->decode($_->{body})->{options}), '{}', 'none left')
    for main::asked(last => 2);



=== ollama_forbid of "options" removes them as a whole
--- ollama
ollama_forbid options;
--- test
my $r = main::talk(options => { num_ctx => 1 });

main::is_closed($r, 'talk', 'max_turns', 2);
is($r->header('X-Ollama-Removed'), 'options', 'header');
ok(!exists $::json->decode($_->{body})->{options}, 'none') for main::asked();



=== works with a prefix, in exact and regex locations, and with a map
--- http_config
map $ollama_model $pool { default nobody;  m1 ollama;  m2 other; }
upstream other { server 127.0.0.1:$TEST_NGINX_FAKE2_PORT; }
--- config
location /llm/api/ {
    ollama_api ollama prefix=/llm;
    proxy_pass http://ollama;
    include ollama_params;
}

location = /api/chat/multi-model {
    set $where ollama;
    ollama_api ollama;
    proxy_pass http://$where;
    include ollama_params;
}

location /mapped/ {
    ollama_api ollama prefix=/mapped;
    proxy_pass http://$pool;
    include ollama_params;
}

location ~ ^(/re)/api/ {
    ollama_api ollama prefix=/re;
    proxy_pass http://ollama;
    proxy_set_header X-Part $1;
    include ollama_params;
}
--- test
for my $prefix ('/llm', '', '/mapped', '/re') {
    my $r = http("POST $prefix/api/chat/multi-model", main::body());

    main::is_closed($r, "\"$prefix\"", 'max_turns', 2);

    my @asked = main::asked();
    my @other = main::asked(fake => 2);

    is($_->{uri}, '/api/chat', "\"$prefix\" - what is asked")
        for @asked, @other;
    is(join(' ', map { ref ? $_->{model} : $_ } @asked, '-', @other),
       $prefix eq '/mapped' ? 'm1 - m2' : 'm1 m2 -', "\"$prefix\" - and who");

    fake_reset(fake => $_) for 1, 2;
}

main::is_closed(http('POST /re/api/chat/multi-model', main::body()), 're',
                'max_turns', 2);
is($_->{headers}{'x-part'}, '/re', 'what the location had found')
    for main::asked();



=== error_page for a failed turn does not replace the stream
--- ollama
error_page 404 /nowhere;
--- params
proxy_intercept_errors on;
--- test
fake_set(model => 'm2', status => 404, error => 'gone');
main::is_closed(main::talk(), 'error_page', 'error', 1, qr/not found/);



=== an HTTP/1.0 client and a TLS client get the whole conversation
--- config eval: $::tls
--- test
my $r = http($::path, main::body(), -version => '1.0');
like($r->body, qr/"turn":2,.*"done":true.*\n\{"type":"conversation".*\}\n\z/s,
     'HTTP/1.0');

for my $http ('--http1.1', '--http2') {
    my ($status, $out) = curl('-sk', $http, '-d',
                              $::json->encode(main::body()),
                              "https://127.0.0.1:$ENV{TEST_NGINX_TLS_PORT}"
                              . '/api/chat/multi-model');
    like($out, qr/"turn":2,.*"done":true.*\n\{"type":"conversation".*\}\n\z/s,
         "TLS, $http");
}



=== a hundred turns
--- upstream eval: $::balanced
--- test
wait_status(up => 1);

my $r = main::talk(max_turns => 100);

main::is_closed($r, 'a hundred turns', 'max_turns', 100);
is(scalar(grep { /"done":true/ } $r->lines), 101, 'all of them');

my @asked = main::asked();
is(scalar @{ $::json->decode($asked[99]{body})->{messages} }, 100,
   'the last one has heard all of it');
is(server(1)->{in_flight}, 0, 'nothing is left');



=== long replies to a slow client take little memory
--- upstream eval: $::balanced
--- http_config eval
"server { listen 127.0.0.1:\$TEST_NGINX_FREE_PORT sndbuf=32k;\n"
. "$::locations }"
--- config eval: $::h2
--- test
wait_status(up => 1);

sub memory {
    my $all = 0;

    for my $pid (worker_pids()) {
        open my $in, '<', "/proc/$pid/status" or next;
        /^VmHWM:\s+(\d+)/ and $all += $1 for <$in>;
    }

    return $all;
}

fake_set(model => '*', frames => 50, size => 20_000);

my $before = memory();
my $c = client(port => $ENV{TEST_NGINX_FREE_PORT}, rcvbuf => 32_768,
               timeout => 60);
$c->request($::path, main::body(max_turns => 7));
$c->read_until(qr/"turn":1,/);

# the client reads nothing, and the server has to wait for it; what it has sent
# is told when it has sent all
ok(!fake_requests(wait_ended => 2, timeout_ms => 500, soft => 1)
   ->{requests}[1], 'no further turn');

main::is_closed($c->reply, 'a slow client', 'max_turns', 7);
cmp_ok(length $c->{raw}, '>', 7_000_000, 'all of it');

# 7 MB were said, and are once in the last body; sanitizers keep what is freed
cmp_ok(memory() - $before, '<', 22_000, 'KB of memory')
    if ($ENV{BUILD} // '') ne 'sanitize';

# many short frames: what is put between them is used again
fake_set(model => '*', frames => 100_000, size => 0);
$before = memory();
$c = client(port => $ENV{TEST_NGINX_FREE_PORT}, timeout => 60);
my $r = $c->request($::path, main::body(max_turns => 1))->reply_to_end;
ok($r->complete, 'many frames');
is(scalar(() = $r->body =~ /^\{"turn":1,"participant":"m1","model"/mg),
   100_001, 'all of them');
cmp_ok(memory() - $before, '<', 10_000, 'KB of memory')
    if ($ENV{BUILD} // '') ne 'sanitize';

# a window that is full
fake_set(model => '*', frames => 20, size => 1000);
my $h2 = h2(window => 5000, timeout => 20);
$h2->request($::path, main::body(max_turns => 3));
ok($h2->read_until(qr/w0 /), 'HTTP/2');
$h2->grant(1 << 30);
main::is_closed($h2->reply, 'HTTP/2', 'max_turns', 3);
