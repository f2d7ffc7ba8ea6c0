# Guards stops: whoever asks for one, and whichever worker has the generation,
# its connection to the server is closed at once, in every state, and the client
# gets one proper last frame and a proper end.  A client that leaves has the
# same effect on the server.

use lib 't/lib';

use Test::Nginx::Ollama;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server $steps);
use Test::Nginx::Ollama::Stop;

use Cpanel::JSON::XS ();
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(sleep);

workers(2);
worker_connections(8192);

my $hi = '"messages":[{"role":"user","content":"hi"}]';


# [ the endpoint, a body of a stream, whether it is one by default ]

our %form = (
    chat => [ '/api/chat', $hi, 1 ],
    generate => [ '/api/generate', '"prompt":"hi"', 1 ],
    openai => [ '/v1/chat/completions', $hi ],
    completions => [ '/v1/completions', '"prompt":"hi"' ],
    responses => [ '/v1/responses', '"input":"hi"' ],
    claude => [ '/v1/messages', qq("max_tokens":9,$hi) ],
);

our @forms = sort keys %form;


# what to set in the stand-in; whether frames come

our %state = (
    'waiting for the header' => [ { fault => 'hang' } ],
    'loading' => [ { load_ms => 60_000 } ],
    'before the first token' => [ { ttft_ms => 60_000 } ],
    'between frames' => [ { frames => 100, gap_ms => 60_000 }, 1 ],
    'streaming' => [ { frames => 1_000_000, gap_ms => 1 }, 1 ],
    'stalled' => [ { fault => 'stall', after => 2 }, 1 ],
    'amid a flood' => [ { fault => 'flood' }, 1 ],
);


our $balanced = <<'END';
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        ollama_poll interval=200ms timeout=1s;
        keepalive 4;
END

# which worker it was

our $pid = "add_header X-Worker \$pid always;\n";


# a server that takes no more connections: its queue is full

our $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "can't listen: $!\n";
$ENV{TEST_NGINX_DEAF_PORT} = $deaf->sockport;

our @queue = map {
    IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                          PeerPort => $deaf->sockport, Blocking => 0)
} 1 .. 8;


# How many connections to it are being made.

sub connecting {
    my $to = sprintf '0100007F:%04X', $deaf->sockport;

    open my $in, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
    return scalar grep { / 0100007F:[0-9A-F]{4} $to 02 / } <$in>;
}


# A body; "one" is not a stream, and what more there is goes into it.

sub body {
    my ($form, $more, $one) = @_;

    my $stream = $one ? ',"stream":false'
                 : $form{$form}[2] ? '' : ',"stream":true';

    return "{\"model\":\"m1\",$form{$form}[1]$stream"
           . (defined $more ? ",$more" : '') . '}';
}

sub line { return "POST $form{$_[0]}[0]" }


# The request for a generation by this name: under /v1 a header has it.

sub named {
    my ($form, $task, $one) = @_;

    return line($form) =~ m{ /v1/}
        ? (line($form), body($form, undef, $one), 'X-Ollama-Task-Id' => $task)
        : (line($form), body($form, "\"task_id\":\"$task\"", $one));
}


# The object of the last frame, undef if that is none of a stopped generation.
# Before it one may be cut, if the server sends more than the client reads.

sub last_frame {
    my ($form, $body, $one, $flood) = @_;

    my $json = Cpanel::JSON::XS->new->utf8;
    my (@data, @good);

    if ($one) {
        @data = $body;

    } elsif ($form{$form}[2]) {
        return undef if $body !~ /\n\z/;
        @data = split /\n/, $body;

    } else {
        return undef if $body !~ /\n\n\z/;

        @data = map { /^data: (.*)$/m ? $1 : undef } split /\n\n/, $body;

        if ($form eq 'openai' || $form eq 'completions') {
            return undef if pop @data ne '[DONE]';
        }

        if ($form eq 'responses' || $form eq 'claude') {
            for my $event (split /\n\n/, $body) {
                my ($type) = $event =~ /\Aevent: (\S+)\ndata: [^\n]*\z/;
                return undef if !$type || !$flood
                                          && $event !~ /"type":"\Q$type\E"/;
            }
        }
    }

    @data = map { eval { $json->decode($_) } } @data;

    @good = grep { ref eq 'HASH' } @data;

    return undef if @good < @data - ($flood ? 1 : 0)
                    || grep { $_->{error} } @good;

    @data = @good;
    my $last = pop @data;

    if ($form{$form}[2]) {
        return undef if !$last->{done} || grep { $_->{done} } @data;
        return undef if $last->{done_reason} ne 'cancelled';
        return undef if $form eq 'chat' ? $last->{message}{content} ne ''
                                        : $last->{response} ne '';

    } elsif ($form eq 'openai' || $form eq 'completions') {
        return undef if $last->{choices}[0]{finish_reason} ne 'stop'
                        || grep { $_->{choices}[0]{finish_reason} } @data;

    } elsif ($form eq 'responses') {
        if (!$one) {
            # clients know of no response before it is created
            return undef if $last->{type} ne 'response.incomplete' || !@data
                            || $last->{sequence_number}
                               != $data[-1]{sequence_number} + 1
                            || $data[0]{type} =~ /response/
                               && ($data[0]{type} ne 'response.created'
                                   || $data[0]{response}{id}
                                      ne $last->{response}{id});
            $last = $last->{response};
        }

        return undef if $last->{status} ne 'incomplete';

    } elsif ($one) {
        return undef if $last->{stop_reason} ne 'end_turn';

    } else {
        my $delta = pop @data;
        my %open;

        return undef if $last->{type} ne 'message_stop'
                        || $delta->{type} ne 'message_delta'
                        || $delta->{delta}{stop_reason} ne 'end_turn'
                        || $data[0]{type} ne 'message_start';

        for (@data) {
            $open{$_->{index}} = 1 if $_->{type} eq 'content_block_start';
            delete $open{$_->{index}} if $_->{type} eq 'content_block_stop';
            return undef if $_->{type} =~ /^message_(?:stop|delta)$/;
        }

        # each block that was begun is ended
        return undef if %open;

        $last = $data[0]{message};
    }

    return undef if $last->{model} ne 'm1' && $last->{model} ne 'm2';

    return $last;
}

sub is_stopped {
    my ($r, $form, $title, $one) = @_;

    is($r->status, 200, "$title: status");
    ok($r->complete, "$title: a proper end") or diag($r->end);
    ok(last_frame($form, $r->body, $one, $title =~ /flood/),
       "$title: a proper last frame")
        or diag($r->body =~ s/\A.*(?=.{1500}\z)//sr);
}


# The server knows that it is let go, and had not sent much more.

sub is_let_go {
    my ($title, $n) = @_;

    my $asked = fake_requests(wait_ended => $n || 1, wait_open => 0,
                              soft => 1);

    is($asked->{requests}[-1]{end}, 'client_closed',
       "$title: the server is let go");
    is($asked->{open}, 0, "$title: and its connection closed");
    cmp_ok($asked->{requests}[-1]{frames_sent} // 0, '<', 500_000,
           "$title: it stopped");
}


# A client that has begun, and a server that has got to where it is to be.

sub begin {
    my ($c, $form, $state, $one, $more) = @_;

    my ($set, $frames) = @{ $state{$state} };

    fake_reset();
    fake_set(model => $state eq 'loading' ? 'm2' : 'm1', %$set);

    my ($line, $body, @headers) = named($form, 'one', $one);

    $body = body($form, $more, $one) if $more;
    $body =~ s/m1/m2/ if $state eq 'loading';

    $c->request($line, $body, @headers);

    fake_requests(wait_count => 1);

    if ($frames && !$one) {
        $c->read_until(qr/w0 /) or die "$form, $state: no frame came\n";
    }

    return $c;
}


# An [error] line of the log would fail the block.

sub outcomes {
    my ($n) = @_;

    wait_for(sub { (grep { !m{/cancel/|/servers} } access_log()) >= $n });

    my %n;
    $n{$_}++ for map { /outcome=(\S+)/ }
                 grep { !m{/cancel/|/servers} } access_log();

    return join ' ', map { "$_ $n{$_}" } sort keys %n;
}


run_tests();

__DATA__

=== a stream, in every state and form
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
wait_status(up => 1);

my ($n, $c) = (0);

for my $state (sort keys %::state) {
    for my $form (@::forms) {
        my $title = "$form, $state";

        # the client goes on with its connection
        $c ||= client();
        main::begin($c, $form, $state);
        main::is_cancelled(main::cancel('one'), $title, 'one');

        my $r = $c->reply;

        main::is_stopped($r, $form, $title);
        is($r->end, 'complete', "$title: the connection stays");
        is($r->header('X-Ollama-Task-Id'), 'one');
        like($r->header('X-Ollama-Server'), qr/:\d+\z/);
        main::is_let_go($title);

        # found, the same by HTTP/2
        my $h2 = h2();
        main::begin($h2, $form, $state);
        main::is_cancelled(main::cancel('one'), "$title, HTTP/2", 'one');
        $r = $h2->reply;
        main::is_stopped($r, $form, "$title, HTTP/2");
        is($r->header('X-Ollama-Task-Id'), 'one');
        main::is_let_go("$title, HTTP/2");

        main::is_unknown(main::cancel('one'), "$title, again", 'one');

        is($h2->request('GET /api/models/servers')->reply->status, 200);
        $n += 2;
    }
}

is(server(1)->{status}, 'up');
is(server(1)->{in_flight}, 0);
is(main::outcomes($n), "cancelled $n", 'the log');

fake_reset();
my $r = $c->request('POST /api/chat', main::body('chat'))->reply;
like($r->body, qr/w4 .*"done":true/s, 'the server is asked again');



=== a reply that is not a stream
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
wait_status(up => 1);

my $n = 0;

for my $state (sort grep { !$::state{$_}[1] } keys %::state) {
    for my $form (@::forms) {
        for my $c (client(), h2()) {
            my $title = "$form, $state" . (ref $c =~ /2/ ? ', HTTP/2' : '');

            main::begin($c, $form, $state, 1);
            main::is_cancelled(main::cancel('one'), $title, 'one');

            my $r = $c->reply;

            main::is_stopped($r, $form, $title, 1);
            is($r->end, 'complete');
            like($r->header('Content-Type'), qr{\Aapplication/json});
            main::is_let_go($title);
            is($c->request('GET /api/models/servers')->reply->status, 200,
               "$title: the connection stays");
            $n++;
        }
    }
}

is(main::outcomes($n), "cancelled $n", 'the log');
is(server(1)->{in_flight}, 0);



=== with proxy_buffering on
--- upstream eval: $::balanced
--- config eval: $::h2
--- params
proxy_buffering on;
--- test
wait_status(up => 1);

my $n = 0;

for my $state (sort keys %::state) {
    for my $form (@::forms) {
        for my $one (0, 1) {
            next if $one && $::state{$state}[1];

            my $title = "$form, $state" . ($one ? ', no stream' : '');
            my $c = client();

            # frames may be held back until there are more of them
            local $::state{$state} = [ $::state{$state}[0] ]
                if $state =~ /between|stall/;

            main::begin($c, $form, $state, $one);
            main::is_cancelled(main::cancel('one'), $title, 'one');
            main::is_stopped($c->reply, $form, $title, $one);
            main::is_let_go($title);
            is($c->request('GET /api/models/servers')->reply->status, 200,
               "$title: the connection stays");
            $n++;
        }
    }
}

is(main::outcomes($n), "cancelled $n", 'the log');



=== a stream by TLS
--- upstream eval: $::balanced
--- config eval: $::tls
--- test
for my $version (qw(--http1.1 --http2)) {
    fake_reset();
    fake_set(model => 'm1', frames => 1_000_000, gap_ms => 1);

    my $url = "https://127.0.0.1:$ENV{TEST_NGINX_TLS_PORT}";

    open my $curl, '-|', 'curl', '-q', '-sS', '-N', '-k', '--noproxy', '*',
         $version, '-w', '%{http_code}', '-d',
         main::body('chat', '"task_id":"one"'), "$url/api/chat"
        or die "curl: $!\n";

    my $body = '';

    1 while $body !~ /w0 / && sysread $curl, $body, 65536, length $body;
    like($body, qr/w0 /, "$version: a frame");

    my ($status, $said) = curl($version, '-k', '-d', '',
                               "$url/api/chat/cancel/one");

    is($said, '{"cancelled":true,"task_id":"one","session_id":null}');

    1 while sysread $curl, $body, 65536, length $body;
    ok(close $curl, "$version: a proper end");
    ok($body =~ s/200\z//);
    ok(main::last_frame('chat', $body), "$version: a proper last frame");
    main::is_let_go($version);
}



=== a stop on the HTTP/2 connection of the generation itself
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
for my $state (sort keys %::state) {
    my $c = main::begin(h2(), 'chat', $state);
    my $id = $c->id;

    my $r = $c->request('POST /api/chat/cancel/one', '')->reply;
    main::is_cancelled($r, $state, 'one');

    main::is_stopped($c->back($id)->reply, 'chat', $state);
    main::is_let_go($state);

    is($c->request('GET /api/models/servers')->reply->status, 200);
}



=== a stop while the connection to the server is being made
--- upstream
        server 127.0.0.1:$TEST_NGINX_DEAF_PORT max_fails=0;
--- params
proxy_connect_timeout 60s;
--- config eval: $::h2
--- test
for my $form (@::forms) {
    for my $one (0, 1) {
        for my $c (client(), h2()) {
            $c->request(main::named($form, 'one', $one));

            my $r;

            # until the request is there
            wait_for(sub { $r = main::cancel('one'); $r->status == 200 }, 5);
            main::is_cancelled($r, "$form, $one", 'one');
            main::is_stopped($c->reply, $form, "$form, $one", $one);
        }

        # gone, it can't be stopped
        my $c = client();
        my $n = main::connecting();
        my $lines = access_log();

        $c->request(main::named($form, 'two', $one));
        ok(wait_for(sub { main::connecting() > $n }),
           "$form, $one: a connection is made");
        $c->close;
        ok(wait_for(sub { my @log = access_log();
                          grep { /outcome=client_closed/ }
                               @log[$lines .. $#log] }),
           "$form, $one: gone");
        is(main::connecting(), $n, "$form, $one: and so is the connection");
        main::is_unknown(main::cancel('two'), "$form, $one: gone", 'two');
    }
}

is(main::outcomes(36), 'cancelled 24 client_closed 12');



=== a stop completes the line that has begun
--- upstream eval: $::steps
--- config eval: $::h2
--- test
my $first = "{\"message\":{\"content\":\"w0 \"},\"done\":false}\n";
my $second = "{\"message\":{\"content\":\"w1 \"},\"done\":false}\n";

for my $c (client(), client(), h2()) {
    for my $cut (1, 10, length($second) - 1) {
        $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));

        my $s = $::server->accept->header('application/x-ndjson');

        $s->chunk($first . substr $second, 0, $cut);
        ok($c->read_until(qr/w0 .*\n.{$cut}/));

        my $asked = client()->request('POST /api/chat/cancel/one', '');

        # if the rest comes too early the end is the same
        sleep 0.03;
        $s->chunk(substr($second, $cut) . $first);

        my $r = $c->reply;

        main::is_stopped($r, 'chat', "after $cut bytes");
        like($r->body, qr/\A\Q$first$second\E(?:\Q$first\E)?\{.*\n\z/,
             'no line more');
        main::is_cancelled($asked->reply, "after $cut bytes", 'one');
        ok($s->gone, 'the server is let go');
        is($r->end, 'complete', 'the connection stays');
        $s->close;
    }
}

is(main::outcomes(9), 'cancelled 9');


# an event has an empty line at its end, and a name needs its data
my @event = map {
    "event: a\ndata: {\"type\":\"a\",\"sequence_number\":$_,\"x\":\"w0 \"}\n\n"
} 0 .. 2;

for my $cut (1, 9, 12, length($event[1]) - 2,
             length($event[1]) - 1) {
    my $c = client();

    $c->request(main::named('responses', 'one'));

    my $s = $::server->accept->header('text/event-stream');

    $s->chunk($event[0] . substr $event[1], 0, $cut);
    ok($c->read_until(qr/w0 [^\r]*\n\n[^\r]{$cut}\r\n\z/));

    my $asked = client()->request('POST /api/chat/cancel/one', '');

    sleep 0.03;
    $s->chunk(substr($event[1], $cut) . $event[2]);

    my $r = $c->reply;

    main::is_stopped($r, 'responses', "event, after $cut bytes");
    like($r->body,
         qr/\A\Q$event[0]$event[1]\E(?:\Q$event[2]\E)?event: response/);
    main::is_cancelled($asked->reply, "event, after $cut bytes", 'one');
    ok($s->gone, 'the server is let go');
    is($c->request('GET /api/models/servers')->reply->status, 200,
       'the connection stays');
    $s->close;
}



=== a line that does not end soon is broken off
--- upstream eval: $::steps
--- config eval: $::h2
--- test
my $first = "{\"message\":{\"content\":\"w0 \"},\"done\":false}\n";

for my $c (client(), h2()) {
    $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));

    my $s = $::server->accept->header('application/x-ndjson');

    $s->chunk("$first\{\"message\":");
    ok($c->read_until(qr/message":(?:\r\n)?\z/));
    main::is_cancelled(main::cancel('one'), 'cut', 'one');

    my $r = $c->reply;

    like($r->body, qr/\A\Q$first\E\{"message":\n(\{.*\n)\z/);
    ok(main::last_frame('chat', $r->body =~ s/\A.*\n.*\n//r));
    ok($r->complete);
    ok($s->gone, 'the server is let go');
    $s->close;
}

my $event = "data: {\"choices\":[{\"delta\":{\"content\":\"w0 \"}}]}\n\n";

for my $rest ('data: {"choi', 'da', "data: {\"a\":1}\n", ": x\n", '') {
    my $c = client();
    $c->request(main::named('openai', 'one'));

    my $s = $::server->accept->header('text/event-stream');

    $s->chunk("$event$rest");
    ok($c->read_until(qr/w0 .*\n\n\Q$rest\E\r\n\z/));
    main::is_cancelled(main::cancel('one'), "\"$rest\"", 'one');

    my $r = $c->reply;
    my $nl = $rest eq '' ? '' : $rest =~ /\n\z/ ? "\n" : "\n\n";

    like($r->body, qr/\A\Q$event$rest$nl\Edata:[ ]\{[^\n]*\}\n\n
                      data:[ ]\[DONE\]\n\n\z/x, "after \"$rest\"");
    ok($r->complete);
    ok($s->gone);
    $s->close;
}



=== the reply, server or client ends while a stop waits for a line
--- upstream eval: $::steps
--- test
my $first = "{\"message\":{\"content\":\"w0 \"},\"done\":false}\n";
my $last = "{\"message\":{\"content\":\"\"},\"done\":true}\n";
my $task = main::body('chat', '"task_id":"one"');

# the line that was begun is the last one
{
    my $c = client();
    $c->request('POST /api/chat', $task);
    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk($first . substr $last, 0, 9);
    ok($c->read_until(qr/w0 .*\n.{9}/));

    my $asked = client()->request('POST /api/chat/cancel/one', '');
    sleep 0.03;
    $s->chunk(substr $last, 9)->last;

    my $r = $c->reply;
    is($r->body, "$first$last", 'it has come to its end');
    ok($r->complete);
    is($r->end, 'complete');
    main::is_unknown($asked->reply, 'the end was begun', 'one');

    # the server was not to be let go
    $c->request('POST /api/chat', $task);
    $s->next_request->header('application/x-ndjson')->chunk($last)->last;
    is($c->reply->body, $last);
    $s->close;
}

# a proper end of the body, without a last frame; or none
for my $how (qw(last close)) {
    my $c = client();
    $c->request('POST /api/chat', $task);
    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk($first . substr $last, 0, 9);
    ok($c->read_until(qr/w0 .*\n.{9}/));

    my $asked = client()->request('POST /api/chat/cancel/one', '');
    sleep 0.03;
    $s->$how;

    my $r = $c->reply;
    $asked = $asked->reply;

    # it says what it does
    is($asked->status, $r->complete ? 200 : 404, "$how: status");
    $r->complete
        ? like($r->body, qr/"done":true,"done_reason":"cancelled"\}\n\z/)
        : like($r->body, qr/\n\{"error":"server [^\n]*\n\z/);
    is(scalar(() = $r->body =~ /"done":true|"error"/g), 1,
       "$how: one last line");
    $s->close if $how ne 'close';
}

# the client
{
    my $c = client();
    $c->request('POST /api/chat', $task);
    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk($first . substr $last, 0, 9);
    ok($c->read_until(qr/w0 .*\n.{9}/));

    my $asked = client()->request('POST /api/chat/cancel/one', '');
    sleep 0.03;
    $c->close;
    ok($s->gone, 'the server is let go');
    like($asked->reply->status, qr/\A(?:200|404)\z/);
    $s->close;
}

# a second stop while the first one waits
{
    my $c = client();
    $c->request('POST /api/chat', $task);
    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk($first . substr $last, 0, 9);
    ok($c->read_until(qr/w0 .*\n.{9}/));

    my @asked = map { client()->request('POST /api/chat/cancel/one', '') }
                1 .. 5;

    is(join(' ', sort map { $_->reply->status } @asked),
       '200 404 404 404 404', 'one of them stops it');
    ok($s->gone);
    ok($c->reply->complete);
    $s->close;
}

# the name is free
my $c = client();
$c->request('POST /api/chat', $task);
my $s = $::server->accept->header('application/x-ndjson');
$s->chunk($last)->last;
is($c->reply->status, 200);
main::is_unknown(main::cancel('one'), 'afterwards', 'one');
$s->close;
--- no_error_log
[alert]



=== a stop of lines that arrive in pieces
--- upstream eval: $::balanced
--- fake
{"model":"m1","frames":1000000,"gap_ms":3,"split":7,"split_delay_us":500}
--- test
for (1 .. 30) {
    my $c = client();
    $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    ok($c->read_until(qr/w1 /));
    main::is_cancelled(main::cancel('one'), 'in pieces', 'one');
    main::is_stopped($c->reply, 'chat', 'in pieces');
    main::is_let_go('in pieces', $_);
}



=== a stop after the last frame is answered 404
--- upstream eval: $::steps
--- test
my $last = "{\"message\":{\"content\":\"\"},\"done\":true}\n";

for my $buffering (0) {
    my $c = client();
    $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    my $s = $::server->accept->header('application/x-ndjson');
    $s->chunk($last);
    ok($c->read_until(qr/"done":true/));
    main::is_unknown(main::cancel('one'), 'done, but for the end of the body',
                     'one');

    # and the name is free
    my $d = client();
    $d->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    my $t = $::server->accept->header('application/x-ndjson');

    $s->last;
    is($c->reply->end, 'complete');
    $t->chunk($last)->last;
    is($d->reply->body, $last);
    $_->close for $s, $t;
}

is(main::outcomes(2), 'ok 2');



=== a stop of a stream whose client does not read
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
for my $buffering (0, 1) {
    fake_reset();
    fake_set(model => 'm1', fault => 'flood');

    my $c = client(rcvbuf => 4096);
    $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    ok($c->read_until(qr/w0 /));

    # the server can send nothing more
    my $sent = -1;

    wait_for(sub {
        my $now = fake_requests()->{requests}[0]{frames_sent};
        sleep 0.1;
        ($now, $sent) = ($sent, $now);
        return $now == $sent;
    }, 10);

    main::is_cancelled(main::cancel('one'), 'nobody reads', 'one');
    main::is_let_go('nobody reads');

    my $r = $c->reply;
    ok($r->complete, 'the end, when it is read');
    like($r->body, qr/\n\{[^\n]*"done":true,"done_reason":"cancelled"\}\n\z/);

    # a stream's window that is full
    fake_reset();
    fake_set(model => 'm1', fault => 'flood');

    my $h2 = h2(window => 5000);
    $h2->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    ok($h2->read_until(qr/w0 /));
    main::is_cancelled(main::cancel('one'), 'no window', 'one');
    main::is_let_go('no window');
    $h2->grant(1 << 30);
    $r = $h2->reply;
    is($r->end, 'complete');
    like($r->body, qr/\n\{[^\n]*"done":true,"done_reason":"cancelled"\}\n\z/);
}



=== task ids: generated, by header, by body
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
my %seen;

for my $form (@::forms) {
    for my $c (client(), client(), h2()) {
        my $r = $c->request(main::line($form), main::body($form))->reply;
        my $id = $r->header('X-Ollama-Task-Id');

        like($id, qr/\A[0-9a-f]{32}\z/, "$form: made by the gateway");
        ok(!$seen{$id}++, 'and never the same');
    }
}

# under /v1 a body is the client's alone
for my $form (grep { main::line($_) =~ m{/v1/} } @::forms) {
    for my $value ('"a"', '"not a name"', '{"x":1}', '1', 'true') {
        my $more = join ',', map { "\"$_\":$value" }
                   qw(task_id session_id server_url background);
        my $body = main::body($form, $more);
        my $r = http(main::line($form), $body);

        is($r->status, 200, "$form: $value means nothing");
        like($r->header('X-Ollama-Task-Id'), qr/\A[0-9a-f]{32}\z/,
             "$form: nor does it name it");
        is($r->header('X-Ollama-Session-Id'), undef, "$form: nor a session");
        is(fake_requests(last => 1)->{requests}[0]{body}, $body,
           "$form: it is for the server");
    }
}

# the body's name wins over the header's
for my $case ([ '"task_id":"a"', 'a' ],
              [ '"task_id":"a"', 'a', 'X-Ollama-Task-Id' => 'b' ],
              [ undef, 'b', 'X-Ollama-Task-Id' => 'b' ],
              [ undef, 'b', 'x-ollama-task-id' => 'b' ],
              [ '"TASK_ID":"c"', 'c' ], [ '"task_id":"a","task_id":"d"', 'd' ],
              [ '"task_id":"' . 'x' x 64 . '"', 'x' x 64 ],
              [ '"task_id":"A_z-09"', 'A_z-09' ])
{
    my ($more, $id, @headers) = @$case;

    my $r = http('POST /api/chat', main::body('chat', $more), @headers);
    is($r->header('X-Ollama-Task-Id'), $id, $more // "@headers");

    # and is one that it can be stopped by
    fake_set(model => 'm1', fault => 'stall');
    my $c = client();
    $c->request('POST /api/chat', main::body('chat', $more), @headers);
    ok($c->read_until(qr/w0 /));
    main::is_cancelled(main::cancel($id), $id, $id);
    main::is_stopped($c->reply, 'chat', $id);
    fake_set(model => 'm1', fault => 'none');
}

# also one that was made here
fake_set(model => 'm1', fault => 'stall');
my $c = client();
$c->request('POST /api/chat', main::body('chat'));
ok($c->read_until(qr/w0 /));
my $id = $c->parsed->header('X-Ollama-Task-Id');
main::is_cancelled(main::cancel($id), 'made here', $id);
main::is_stopped($c->reply, 'chat', 'made here');

ok(access_log(qr/task=\Q$id\E .*outcome=cancelled/), 'the log has it');

# embeddings are no generation
fake_reset();
my $r = http('POST /api/embed', '{"model":"m1","input":"a","task_id":"e"}');
is($r->status, 200);
main::is_unknown(main::cancel('e'), 'embeddings', 'e');

for my $bad ('', 'x' x 65, 'a b', 'a/b', "\xc3\xa9", 'a.b') {
    $r = http('POST /api/chat', main::body('chat'), 'X-Ollama-Task-Id' => $bad);
    is($r->status, 400, "the header \"$bad\"");
}



=== a task id that is in use is refused with 409
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
for my $state (sort keys %::state) {
    my $c = main::begin(client(), 'chat', $state);

    for (1 .. 4) {
        my $r = http('POST /api/chat', main::body('chat', '"task_id":"one"'));

        is($r->status, 409, "$state: in use");
        like($r->body, qr/\A\{"error":"task_id \\"one\\" [^{}]*"\}\n?\z/);

        $r = http('POST /v1/chat/completions', main::body('openai'),
                  'X-Ollama-Task-Id' => 'one');
        is($r->status, 409);
        like($r->body, qr/\A\{"error":\{"message":"/);
    }

    is(fake_requests()->{count}, 1, 'no server was asked');

    main::is_cancelled(main::cancel('one'), $state, 'one');
    main::is_stopped($c->reply, 'chat', $state);

    # at once free again
    fake_reset();

    my $r = http('POST /api/chat', main::body('chat', '"task_id":"one"'));
    is($r->status, 200, "$state: free again");
    like($r->body, qr/"done":true/);

    # and after its end
    $r = http('POST /api/chat', main::body('chat', '"task_id":"one"'));
    is($r->status, 200);

    # and after the client has left
    $c = main::begin(client(), 'chat', $state);
    $c->close;
    is(fake_requests(wait_ended => 1)->{requests}[0]{end}, 'client_closed');
    fake_reset();
    $r = undef;
    ok(wait_for(sub {
        $r = http('POST /api/chat', main::body('chat', '"task_id":"one"'));
        $r->status != 409;
    }));
    is($r->status, 200, "$state: free again, gone");
    main::is_unknown(main::cancel('one'), $state, 'one');
}

like(main::outcomes(1), qr/\bclient_closed 7\b/);
like(main::outcomes(1), qr/\brejected 56\b/);



=== an unknown or invalid id, another method or a body stops nothing
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
my $c = main::begin(client(), 'chat', 'stalled', 0, '"task_id":"a"');

main::is_unknown(main::cancel('b'), 'unknown', 'b');
main::is_unknown(main::cancel('A'), 'other case', 'A');
main::is_unknown(main::cancel('x' x 64), 'long', 'x' x 64);

for my $bad ('x' x 65, 'x' x 3000, 'a.b', 'a%20b', '%c3%a9', 'a~', 'a:',
             'a%2Fb', '%61%2e', 'a"b', '%22', 'a%0d%0ab')
{
    my $r = http("POST /api/chat/cancel/$bad", '');
    my $text = substr $bad, 0, 20;

    like($r->status, qr/\A40[04]\z/, "\"$text\"");
    is($r->status, 400, "\"$text\"") if $bad !~ /%2f/i;
    like($r->body, qr/\A\{"error":"(?:[^"\\\x00-\x1f]|\\.)*"\}\n?\z/);
    is($r->header('Content-Type'), 'application/json; charset=utf-8');
}

for my $path ('/api/chat/cancel', '/api/chat/cancel/', '/api/chat/cancel/a/b',
              '/api/chat/cancel//')
{
    like(http("POST $path", '')->status, qr/\A40[04]\z/, $path);
}

for my $method (qw(GET HEAD PUT DELETE PATCH)) {
    my $r = http("$method /api/chat/cancel/a");

    is($r->status, 405, $method);
    is($r->header('Allow'), 'POST');
}

for my $origin ('http://evil.example', 'null') {
    my $r = main::cancel('a', Origin => $origin);

    is($r->status, 403, "of $origin");
}

# so far nothing was stopped
is(fake_requests()->{active}, 1);

# the path as it is decoded, with a body that nobody reads, of one's own page
my $r = http('POST /api/chat/../chat/cancel/%61', 'x' x 100_000,
             Origin => 'http://localhost');
main::is_cancelled($r, 'a', 'a');
main::is_stopped($c->reply, 'chat', 'a');

$c = main::begin(client(), 'chat', 'stalled', 0, '"task_id":"a"');
main::is_cancelled(http('POST /api/chat/cancel/a'), 'no body', 'a');
main::is_stopped($c->reply, 'chat', 'a');

# a body that never comes
$c = main::begin(client(), 'chat', 'stalled', 0, '"task_id":"a"');
my $d = client();
$d->send("POST /api/chat/cancel/a HTTP/1.1\r\nHost: localhost\r\n"
         . "Content-Length: 10\r\n\r\n");
main::is_cancelled($d->reply, 'half a request', 'a');
main::is_stopped($c->reply, 'chat', 'a');



=== a stop by the session's id
--- upstream eval: $::balanced
--- config eval: $::h2
--- test
for my $state (sort keys %::state) {
    my $c = main::begin(client(), 'generate', $state, 0,
                        '"task_id":"one","session_id":"talk"');

    main::is_cancelled(main::cancel('talk'), $state, 'one', 'talk');
    main::is_stopped($c->reply, 'generate', $state);
    main::is_let_go($state);
    main::is_unknown(main::cancel($_), $state, $_) for 'talk', 'one';

    $c = main::begin(client(), 'generate', $state, 0,
                     '"task_id":"one","session_id":"talk"');
    main::is_cancelled(main::cancel('one'), $state, 'one', 'talk');
    main::is_stopped($c->reply, 'generate', $state);
    main::is_unknown(main::cancel($_), $state, $_) for 'talk', 'one';
}



=== a stop that another worker receives
--- upstream eval: $::balanced
--- ollama eval: $::pid
--- fake
{"model":"m1","fault":"stall","after":2}
--- test
my ($own, $other) = (0, 0);

for my $try (1 .. 400) {
    my $c = client();
    $c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
    $c->read_until(qr/w1 /) or die "no frame\n";

    my $r = main::cancel('one');
    main::is_cancelled($r, "try $try", 'one');

    my $s = $c->reply;
    main::is_stopped($s, 'chat', "try $try");

    my @worker = map { $_->header('X-Worker') } $r, $s;
    $worker[0] == $worker[1] ? $own++ : $other++;

    last if $own >= 10 && $other >= 10;
}

cmp_ok($own, '>', 0, 'the same worker');
cmp_ok($other, '>', 0, 'another one');
is(fake_requests(wait_active => 0)->{active}, 0);



=== many stops at once
--- upstream eval: $::balanced =~ s/(?<=ollama_balance)/ queue=0/r
--- fake
{"model":"m1","frames":1000000,"gap_ms":50}
--- test
my @c = map {
    my $form = $::forms[$_ % @::forms];
    [ client(timeout => 30), $form, "t$_" ];
} 0 .. 199;

$_->[0]->request(main::named($_->[1], $_->[2])) for @c;
$_->[0]->read_until(qr/w0 /) for @c;

my @asked = map {
    client()->request("POST /api/chat/cancel/$_->[2]", '')
} reverse @c;

is(scalar(grep { $_->reply->status != 200 } @asked), 0, 'all are stopped');
main::is_stopped($_->[0]->reply, $_->[1], $_->[2]) for @c;

my $asked = fake_requests(wait_open => 0);
is(scalar(grep { $_->{end} ne 'client_closed' } @{ $asked->{requests} }), 0);
is(server(1)->{in_flight}, 0);
is(main::outcomes(200), 'cancelled 200');



=== a stop of a stream that an old worker still has after a reload
--- upstream eval: $::balanced
--- ollama eval: $::pid
--- test
for my $state (sort keys %::state) {
    my $c = main::begin(client(timeout => 30), 'chat', $state);

    my %new = map { $_ => 1 } reload();

    is(http('POST /api/chat', main::body('chat', '"task_id":"one"'))->status,
       409, "$state: the new ones know it");

    my $r = main::cancel('one');
    main::is_cancelled($r, $state, 'one');
    ok($new{$r->header('X-Worker')}, 'a new worker was asked');

    $r = $c->reply;
    ok(!$new{$r->header('X-Worker')}, 'an old one has it') if $r->body =~ /w0/;
    main::is_stopped($r, 'chat', $state);
    main::is_let_go($state);
    main::is_unknown(main::cancel('one'), $state, 'one');
}



=== a killed worker's generations are forgotten
--- upstream eval: $::balanced
--- ollama eval: $::pid
--- test
for my $state (sort keys %::state) {
    my $c = main::begin(client(), 'chat', $state);
    my @pids = worker_pids();

    my $n = @pids;

    kill KILL => @pids;
    $c->reply;
    wait_for(sub { my %old = map { $_ => 1 } @pids;
                   $n <= grep { !$old{$_} } worker_pids() }, 10);

    main::is_unknown(main::cancel('one'), $state, 'one');

    fake_reset();
    is(http('POST /api/chat', main::body('chat', '"task_id":"one"'))->status,
       200, "$state: the name is free");
}

# only the one that has it
my $c = main::begin(client(), 'chat', 'between frames');
my $pid = $c->parsed->header('X-Worker');

kill KILL => $pid;
$c->reply;
fake_reset();

# a process is dead when its parent has seen it
my $r;
wait_for(sub {
    $r = http('POST /api/chat', main::body('chat', '"task_id":"one"'));
    $r->status != 409;
});
is($r->status, 200);
main::is_unknown(main::cancel('one'), 'killed', 'one');
wait_for(sub { worker_pids() == 2 }, 10);
--- error_log
[alert]
exited on signal 9
--- no_error_log
exited on signal 11



=== a worker is killed while it is asked to stop
--- upstream eval: $::balanced
--- ollama eval: $::pid
--- test
for (1 .. 5) {
    my $c = main::begin(client(), 'chat', 'between frames');
    my $pid = $c->parsed->header('X-Worker');
    my $asked;

    kill STOP => $pid;

    # who is not the one that has it
    for (1 .. 50) {
        my $d = client(timeout => 2);

        $d->request('GET /api/models/servers');

        if ($d->reply(0.3)->status == 200) {
            $asked = $d->request('POST /api/chat/cancel/one', '');
            last;
        }
    }

    ok($asked, 'another one was asked');
    sleep 0.02;
    kill KILL => $pid;

    is($asked->reply->status, 404, 'it ended otherwise');
    wait_for(sub { worker_pids() == 2 }, 10);
    fake_reset();
}
--- error_log
[alert]
exited on signal 9
--- no_error_log
exited on signal 11



=== more generations than fit in memory still run
--- upstream eval: $::balanced =~ s/(?<=ollama_balance)/ queue=0/r
--- http_config
ollama_zone 1m;
--- fake
{"model":"m1","fault":"hang"}
--- test
my @c = map { client(timeout => 60) } 1 .. 2600;
my $n = 0;

for my $c (@c) {
    $n++;
    $c->request('POST /api/chat',
                main::body('chat', "\"task_id\":\"t$n\""));
}

is(fake_requests(wait_count => 2600, timeout_ms => 20_000)->{count}, 2600,
   'they run');

my %status;

$status{main::cancel("t$_")->status}++ for map { 13 * $_ } 1 .. 200;

is(join(' ', sort keys %status), '200 404', 'some can be stopped');

# there is room again
fake_set(model => 'm1', fault => 'stall');
my $c = client();
$c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
ok($c->read_until(qr/w0 /));
main::is_cancelled(main::cancel('one'), 'again', 'one');
main::is_stopped($c->reply, 'chat', 'again');

$_->close for @c;
fake_requests(wait_active => 0, timeout_ms => 10_000);

is(scalar(grep { /no room for another/ } Test::Nginx::Ollama::error_lines()),
   1, 'it is said once');
is(scalar(grep { /no memory/ } Test::Nginx::Ollama::error_lines()), 0);
--- error_log
[warn]



=== works without ollama_balance and in other locations
--- config
    location /llm/api/ {
        ollama_api ollama prefix=/llm;
        proxy_pass http://ollama/api/;
        include ollama_params;
    }
    location /v1/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- fake
{"model":"m1","fault":"stall"}
--- test
my $c = client();
$c->request('POST /llm/api/chat', main::body('chat', '"task_id":"one"'));
ok($c->read_until(qr/w0 /));
main::is_cancelled(http('POST /llm/api/chat/cancel/one', ''), 'prefix', 'one');
main::is_stopped($c->reply, 'chat', 'prefix');
main::is_let_go('prefix');
main::is_unknown(http('POST /llm/api/chat/cancel/one', ''), 'prefix', 'one');



=== a stop after a second server was tried
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT max_fails=0;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT backup;
        keepalive 4;
--- config eval: $::h2
--- test
for my $state (sort keys %::state) {
    for my $c (client(), h2()) {
        main::begin($c, 'chat', $state);
        main::is_cancelled(main::cancel('one'), $state, 'one');
        main::is_stopped($c->reply, 'chat', $state);
        main::is_let_go($state);
    }
}
--- error_log
Connection refused



=== a stop after error_page led to another upstream
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT max_fails=0;
--- http_config
    upstream other {
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
    }
--- ollama
        error_page 502 504 @other;
--- config eval
Test::Nginx::Ollama::location('/api/',
                              "        error_page 502 504 \@other;\n")
. '    location @other {
        ollama_api other;
        proxy_pass http://other;
        include ollama_params;
    }'
--- fake
{"model":"m1","ttft_ms":60000}
--- test
my $c = client();
$c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
fake_requests(wait_active => 1);
main::is_cancelled(http('POST /api/chat/cancel/one', ''), 'after', 'one');
main::is_stopped($c->reply, 'chat', 'after');
main::is_let_go('after');
--- error_log
Connection refused



=== an invalid session id is not in the reply to a stop
--- fake
{"model":"m1","fault":"stall"}
--- test
for my $id ('a","x":"b', "a\x01b", 'a b', 'x' x 65) {
    my $c = client();
    $c->request('POST /api/generate', main::body('generate', '"task_id":"one"'),
                'X-Ollama-Session-Id' => $id);
    ok($c->read_until(qr/w0 /));

    my $r = http('POST /api/chat/cancel/one', '');
    is($r->body, '{"cancelled":true,"task_id":"one","session_id":null}');
    $c->reply;
}



=== a reply to a stop that is sent slowly is sent once
--- config
    location /api/chat/cancel/ {
        limit_rate 20;
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
    }
--- fake
{"model":"m1","fault":"stall"}
--- test
my $c = client();
$c->request('POST /api/chat', main::body('chat', '"task_id":"one"'));
ok($c->read_until(qr/w0 /));
my $stop = client(timeout => 30);
my $r = $stop->request('POST /api/chat/cancel/one', '')->reply;
is($r->status, 200);
is($r->body, '{"cancelled":true,"task_id":"one","session_id":null}');
main::is_stopped($c->reply, 'chat', 'slowly told');
