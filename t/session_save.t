# Guards the end of a reply in a session: however it ends, the last frame says
# whether the reply was saved, what is stored says how it ended, and a failure
# is logged once.

use lib 't/lib';

use Test::Nginx::Ollama::Session line => 1, qw(:all);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server);
use Test::Nginx::Ollama::Stop;
use Cpanel::JSON::XS ();
use JSON::PP;
use Time::HiRes qw(sleep time);

our $json = Cpanel::JSON::XS->new->utf8->canonical;


# of the server that is told each step

our $steps = 'server 127.0.0.1:$TEST_NGINX_STEPS_PORT max_fails=0;';


# what it says, for each of the forms a stream has: path, more of the body, type

our @streams = (
    [ 'chat', '/api/chat', {}, 'application/x-ndjson' ],
    [ 'v1', '/v1/chat/completions', { stream => JSON::PP::true },
      'text/event-stream' ],
);

sub frame {
    my ($text, $end) = @_;

    return $json->encode({ model => 'm1', done => $end ? JSON::PP::true
                                                       : JSON::PP::false,
                           message => { role => 'assistant',
                                        content => $text } }) . "\n";
}

sub event {
    my ($text, $end) = @_;

    return 'data: ' . $json->encode({ id => 'c', model => 'm1', choices => [ {
        index => 0, delta => { content => $text },
        finish_reason => $end ? 'stop' : undef } ] }) . "\n\n";
}

sub said { return $_[0] =~ /v1/ ? event(@_[1 .. $#_]) : frame(@_[1 .. $#_]) }


sub field {
    my ($id, $n, $name) = @_;

    return $main::redis->cli('EVAL', 'local m = redis.call("XRANGE", KEYS[1], '
        . 'ARGV[1], ARGV[1])[1][2] for i = 1, #m, 2 do if m[i] == ARGV[2] then '
        . 'return m[i + 1] end end', 1, "ollama:{$id}:msgs", "$n-0", $name);
}

sub errors {
    my ($pattern) = @_;
    return grep { /\[error\]/ && $_ =~ $pattern }
           Test::Nginx::Ollama::error_lines();
}


no_shuffle();
run_tests();

__DATA__

=== data after the end of a reply does not change what is saved
--- upstream eval: $::steps
--- test
block_begins();

for my $form (@::streams) {
    my ($what, $path, $more, $type) = @$form;
    my $id = made();
    my $c = client();
    my $end = $path =~ /v1/ ? "data: [DONE]\n\n" : '';

    $c->request(chat($path, $id, $more, 'a'));

    my $s = $main::server->accept->header($type);
    $s->chunk(said($path, 'one'));
    $c->read_until(qr/one/);
    $s->chunk(said($path, 'two', 1) . "${end}GARBAGE\n");
    is_saved($c->reply, $id, $what);
    is(stored($id), 'user:a:complete|assistant:onetwo:complete',
       "$what - stored");
    is_free($id, $what);
}
--- error_log eval: qr/sent more than its reply/



=== SSE that is legal, though no Ollama sends it, is saved
--- upstream eval: $::steps
--- test
block_begins();

my ($what, $path, $more, $type) = @{ $::streams[1] };
my $text = "\xef\xbb\xbf: x\n" . event('one') . "data:\n\nping\n\n"
           . event('two') =~ s/,/\ndata: ,/gr
           . event('', 1) =~ s/,/\ndata: ,/gr . "data: [DONE]\n\n";

for my $eol ("\n", "\r\n", "\r") {
    my $id = made();
    my $c = client();

    $c->request(chat($path, $id, $more, 'a'));

    my $s = $main::server->accept->header($type);
    $s->chunk($text =~ s/\n/$eol/gr);
    $s->last;

    my $r = $c->reply;
    ok($r->complete, 'complete');
    like($r->body, qr/"session_id":"$id","saved":true\}/, 'the mark');
    is(stored($id), 'user:a:complete|assistant:onetwo:complete', 'stored');
    is_free($id, $what);
}



=== a stop in the middle of a line saves what was read
--- upstream eval: $::steps
--- test
block_begins();

my $left = sub {
    my ($path, $half) = @_;
    return substr said($path, 'half'), 0, $half;
};

for my $form (@::streams) {
    my ($what, $path, $more, $type) = @$form;

    for my $half (3, 30, -9, -5) {
        my $id = made();
        my $c = client();

        $c->request(chat($path, $id, $more, 'a'));

        my $s = $main::server->accept->header($type);
        my $piece = $left->($path, $half);
        $s->chunk(said($path, 'one') . $piece);
        $c->read_until(qr/\Q$piece\E/);

        is(cancel($id)->status, 200, "$what, $half - stopped");

        my $frame = is_saved($c->reply, $id, "$what, $half");
        is($frame->{done_reason} // $frame->{choices}[0]{finish_reason},
           $path =~ /v1/ ? 'stop' : 'cancelled', "$what, $half - the last one");
        like($c->{raw}, qr/\Q$piece\E/, "$what, $half - the line, cut");
        is(stored($id), 'user:a:complete|assistant:one:cancelled',
           "$what, $half - stored");
        is_free($id, "$what, $half");
        ok($s->gone, "$what, $half - the server is left");
    }
}

# what the line had told of numbers goes with it
my $id = made();
my $c = client();
$c->request('POST /api/chat', body($id, {}, 'a'));
my $s = $main::server->accept->header('application/x-ndjson');
$s->chunk(frame('one') . '{"eval_count":7,"message":{"content":"');
$c->read_until(qr/eval_count/);
is(cancel($id)->status, 200, 'stopped');
is_saved($c->reply, $id, 'numbers');
is(session($id)->{messages}[1]{stats}{eval_count}, undef, 'none are stored');



=== a delayed renewal does not take a released lock
--- upstream eval: $::steps
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=30s;
--- test
block_begins();

my $says = sub {
    my ($id, $held) = @_;
    my $c = client(timeout => 30);

    $c->request('POST /api/chat', body($id, { task_id => 'held' }, 'a'));

    my $s = $main::server->accept->header('application/x-ndjson');
    $s->chunk(frame('one'));
    $c->read_until(qr/one/);

    if ($held) {
        # the renewal is the next that is told of the task
        $main::line->hold('held');
        ok(wait_for(sub { $main::line->held }, 15), 'it is renewed');
    }

    $s->chunk(frame('two', 1));

    if ($held) {
        $c->read_until(qr/"two"/);
        $main::line->mend;
    }

    $s->last;
    is_saved($c->reply, $id, $held ? 'held' : 'before');
};

# Redis knows how to save, and not how to renew
$main::redis->cli('SCRIPT', 'FLUSH');
$says->(made(), 0);
my $id = made();
$says->($id, 1);

# commands are done in their order
is(session($id)->{active_task}, undef, 'nothing runs');
is(lock_of($id), '', 'the session is free');



=== an error of Redis is logged once, not for each command
--- test
block_begins();
my @ids = map { made() } 1 .. 5;

$main::redis->cli('CONFIG', 'SET', 'maxmemory', 1);
is(http('POST /api/chat', body($_, {}, 'a'))->status, 503, 'refused') for @ids;
is(http("PATCH /api/chat/session/$_", { title => 't' })->status, 503, 'refused')
    for @ids;
is(scalar errors(qr/redis refused a session's command: .*OOM/), 1, 'once');
$main::redis->cli('CONFIG', 'SET', 'maxmemory', 0);

# another reason is told
$main::redis->cli('CONFIG', 'SET', 'min-replicas-to-write', 1);
is(http("PATCH /api/chat/session/$_", { title => 't' })->status, 503, 'refused')
    for @ids;
is(scalar errors(qr/redis refused a session's command: .*NOREPLICAS/), 1,
   'once');
$main::redis->cli('CONFIG', 'SET', 'min-replicas-to-write', 0);
--- error_log eval: qr/redis refused/



=== Redis is down: it is logged once, even if the reason changes
--- test
block_begins();

$main::redis->kill;
ok(error_log_has(qr/is down: it closed the connection/), 'down');
ok(error_log_has(qr/\[info\].* is down: (?:no such file|connection refused)/),
   'tried again');
is(scalar errors(qr/redis "\S+" is down/), 1, 'once');

$main::redis->revive;
ok(wait_for(sub { http('GET /api/chat/session/0')->status != 503 }, 15), 'up');
$main::redis->kill;
ok(wait_for(sub { errors(qr/redis "\S+" is down/) == 2 }), 'and told anew');
--- error_log eval: qr/is down/



=== a reply over the size limit is saved as interrupted
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=30s;
--- fake
{"model":"m1","frames":18,"size":1000000}
--- test
block_begins();

for my $form (@::streams) {
    my ($what, $path, $more) = @$form;
    my $id = made();
    my $reply = http(chat($path, $id, $more, 'a'), -timeout => 60);

    is_saved($reply, $id, $what, 0);
    is(field($id, 2, 's'), 'interrupted', "$what - status");
    cmp_ok(length field($id, 2, 'm'), '>', 16_000_000, "$what - what fits");
    is(scalar errors(qr/saved in its session only in part: it is too/), 1,
       "$what - said") if $what eq 'chat';
    is_free($id, $what);
}
--- error_log eval: qr/only in part/



=== a client that stops reading counts as one that left
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=500ms;
--- params
send_timeout 1s;
proxy_max_temp_file_size 0;
--- fake
{"model":"m1","fault":"flood"}
--- test
block_begins();

for my $form (@::streams) {
    my ($what, $path, $more) = @$form;
    my $id = made();
    my $c = client(rcvbuf => 4096);

    $c->request(chat($path, $id, $more, 'a'));
    is_free($id, $what);
    is(field($id, 2, 's'), 'cancelled', "$what - stored");
    $c->close;
}



=== a client that stops reading, with proxy_buffering on
--- http_config
    ollama_redis unix:$TEST_NGINX_REDIS_PATH timeout=500ms;
--- params
send_timeout 1s;
proxy_buffering on;
proxy_max_temp_file_size 0;
--- fake
{"model":"m1","fault":"flood"}
--- test
block_begins();
my $id = made();
my $c = client(rcvbuf => 4096);

$c->request('POST /api/chat', body($id, {}, 'a'));
is_free($id, 'buffering');
is(field($id, 2, 's'), 'cancelled', 'stored');
$c->close;



=== a reply of an unknown format is saved as interrupted
--- upstream eval: $::steps
--- test
block_begins();
my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$main::server->accept->header('text/event-stream')
    ->chunk('data: ' . frame('one', 1) . "\n")->last;

my $reply = $c->reply;
ok($reply->complete, 'it passes');
is(scalar(marked($reply)), 0, 'no word of it');
is_free($id, 'odd');
is(stored($id), 'user:a:complete|assistant::interrupted', 'stored');
--- error_log eval: qr/only in part: it could not be read/



=== a request that only loads a model stores no message
--- test
block_begins();

for my $more ({}, { stream => JSON::PP::false }, { keep_alive => 0 }) {
    my $id = made();
    my $reply = http('POST /api/chat', body($id, $more));
    my $frame = is_saved($reply, $id, 'load');

    like($frame->{done_reason}, qr/load/, 'done');
    is(stored($id), '', 'nothing is stored');
    is_free($id, 'load');

    is_saved(http('POST /api/chat', body($id, {}, 'a')), $id, 'next');
    is(stored($id), 'user:a:complete|assistant:w0 w1 w2 w3 w4 :complete',
       'what is said is stored');

    # what there is may be gone on with
    is_saved(http('POST /api/chat', body($id, {})), $id, 'on');
    is(@{ session($id)->{messages} }, 3, 'what is said then, too');
}



=== an empty reply to a question is stored
--- upstream eval: $::steps
--- test
block_begins();
my $id = made();
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$main::server->accept->header('application/x-ndjson')->chunk(frame('', 1))
    ->last;
is_saved($c->reply, $id, 'empty');
is(stored($id), 'user:a:complete|assistant::complete', 'stored');
ok(!exists session($id)->{messages}[1]{stats}, 'no statistics, no stats');



=== a session id that is given twice is listed once
--- test
block_begins();
my ($one, $two) = (made(), made());

is(join(' ', map { $_->{session_id} } @{ http('GET /api/chat/sessions?'
   . join '&', map { "id=$_" } $one, $two, $one, $one, $two)
   ->json->{sessions} }), "$one $two", 'once each, in their order');



=== a stop at the end of a stream or after it
--- upstream eval: $::steps
--- test
block_begins();
my ($what, $path, $more, $type) = @{ $::streams[1] };

# behind finish_reason
my $id = made();
my $c = client();
$c->request(chat($path, $id, $more, 'a'));
my $s = $main::server->accept->header($type);
$s->chunk(said($path, 'one') . said($path, '', 1));
$c->read_until(qr/"stop"/);
is(cancel($id)->status, 200, 'what follows is not waited for');
my $reply = $c->reply;
is_saved($reply, $id, 'after');
like($reply->body, qr/\}\n\ndata: \[DONE\]\n\n\z/, 'after - its end');
is(cancel($id)->status, 404, 'after - nothing is running');
is(stored($id), 'user:a:complete|assistant:one:complete', 'after - stored');
is_free($id, 'after');
$s->close;

# in the middle of the line that has it, which is waited for a short while
my $stop = client();
my $end = said($path, ' two', 1);

for my $try (1 .. 20) {
    $id = made();
    $c = client();
    $c->request(chat($path, $id, $more, 'a'));
    $s = $main::server->accept->header($type);
    $s->chunk(said($path, 'one') . substr $end, 0, 20);
    $c->read_until(qr/one.*data: .{10}/s);

    # the worker meets the stop first
    $stop->request('GET /api/chat/session/0')->reply;
    $stop->request("POST /api/chat/cancel/$id", '');
    http('GET /api/chat/session/0');
    $s->chunk(substr $end, 20);

    is($stop->reply->status, 200, 'in it - stopped');
    is_saved($c->reply, $id, 'in it');
    is_free($id, 'in it');

    last if $c->{raw} =~ / two/;
}

is(stored($id), 'user:a:complete|assistant:one two:complete',
   'in it - stored');
$stop->close;



=== a server that does not end an SSE stream does not keep the session
--- upstream eval: $::steps
--- test
block_begins();
my ($what, $path, $more, $type) = @{ $::streams[1] };
my $usage = 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,'
            . '"completion_tokens":4}}' . "\n\n";

# what the server sends behind finish_reason; what the client gets of it
for my $case (
    [ 'nothing', '', '' ],
    [ 'statistics', $usage, $usage ],
    [ 'half an event', $usage . 'data: {"id"', $usage ],
    [ 'half a line', 'data: {"id":"c","cho', '' ],
    [ 'a flood', ": x\n\n" x 40_000, undef ],
) {
    my ($title, $sent, $got) = @$case;
    my $id = made();
    my $c = client();

    $c->request("POST $path", body($id, $more, 'a'),
                'X-Ollama-Session-Id' => $id);
    my $s = $main::server->accept->header($type);
    my $began = time;
    $s->chunk(said($path, 'one') . said($path, '', 1) . $sent);

    my $reply = $c->reply;
    is_saved($reply, $id, $title);
    cmp_ok(time - $began, '<', 15, "$title - soon");
    like($reply->body, qr/\n\ndata: \[DONE\]\n\n\z/, "$title - its end");
    like($reply->body, qr/"saved":true\}\n\n\Q$got\Edata: \[DONE\]/,
         "$title - what came whole") if defined $got;
    cmp_ok(length $reply->raw, '<', 150_000, "$title - no more");
    is(stored($id), 'user:a:complete|assistant:one:complete',
       "$title - stored");
    is_free($id, $title);
    is(session($id)->{messages}[1]{stats}{eval_count}, $got ? 4 : undef,
       "$title - statistics") if defined $got;
    $s->close;
}

# one that is only late
my $id = made();
my $c = client();
$c->request("POST $path", body($id, $more, 'a'), 'X-Ollama-Session-Id' => $id);
my $s = $main::server->accept->header($type);
$s->chunk(said($path, 'one') . said($path, '', 1));
sleep 0.5;
$s->chunk($usage . "data: [DONE]\n\n")->last;
my $reply = $c->reply;
is_saved($reply, $id, 'late');
is(scalar(() = $reply->body =~ /\[DONE\]/g), 1, 'late - one end');
is(session($id)->{messages}[1]{stats}{eval_count}, 4, 'late - statistics');
--- error_log eval: qr/server ".*" did not end its reply/



=== a slow client does not cut what follows the last frame of SSE
--- upstream eval: $::steps
--- config eval: $::h2
--- params
proxy_buffer_size 32k;
proxy_buffers 4 32k;
--- test
block_begins();
my ($what, $path, $more, $type) = @{ $::streams[1] };

# what follows: nginx has no place for all of it before the client takes more
my $rest = ': ' . 'x' x 30_000 . "\n\n"
           . 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,'
           . '"completion_tokens":4}}' . "\n\n" . "data: [DONE]\n\n";

# the server sends it at once, or a second after the client has all else
for my $late (0, 1) {
    my $title = $late ? 'sent late' : 'sent at once';
    my $id = made();
    my $c = h2(window => 1000);

    $c->request("POST $path", body($id, $more, 'a'),
                'X-Ollama-Session-Id' => $id);
    my $s = $main::server->accept->header($type);
    $s->chunk(said($path, 'y' x 31_000));
    $c->read_until(qr/y{500}/);
    $s->chunk(said($path, '', 1));
    $s->chunk($rest)->last if !$late;

    # for longer than a server that is silent is waited for
    sleep 3.5;
    $c->grant(0x7fff0000);
    $c->read_until(qr/"stop"/);

    if ($late) {
        sleep 1;
        $s->chunk($rest)->last;
    }

    my $reply = $c->reply;
    is($reply->end, 'complete', "$title - the end");
    is(mark_of($reply, $title)->{saved}, JSON::PP::true, "$title - saved");
    like($reply->body, qr/x{30000}\n\n.*"completion_tokens":4.*\[DONE\]\n\n\z/s,
         "$title - nothing is lost");
    is(session($id)->{messages}[1]{stats}{eval_count}, 4,
       "$title - statistics");
    $s->close;
    $c->close;
}



=== clients that leave while Redis is away: saved when it is back
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- fake
{"model":"m1","frames":100000,"gap_ms":20}
--- test
block_begins();
my @ids = map { made() } 1 .. 7;
my @clients = map { client() } @ids;

for my $i (0 .. $#ids) {
    $clients[$i]->request('POST /api/chat', body($ids[$i], {}, 'a'));
    $clients[$i]->read_until(qr/w1 /);
}

# nginx tries again and again, at last every five seconds
$main::line->cut;

for my $c (@clients) {
    $c->close;
    sleep 1 if $c != $clients[-1];
}

fake_requests(wait_active => 0);
$main::line->mend;

for my $id (@ids) {
    ok(wait_for(sub { stored($id) =~ /assistant/ }, 15), 'left - saved late');
    is_free($id, 'left');
    like(stored($id), qr/\Auser:a:complete\|assistant:w0 w1 .*:cancelled\z/,
         'left - stored');
}
--- error_log eval: qr/is down/



=== what can't be saved before nginx exits is logged
--- http_config
    ollama_redis unix:$TEST_NGINX_LINE_PATH timeout=1s;
--- fake
{"model":"m1","frames":100000,"gap_ms":20}
--- test
block_begins();
my ($id, $other) = (made(), made());
my $c = client();

$c->request('POST /api/chat', body($id, {}, 'a'));
$c->read_until(qr/w1 /);
$main::line->cut;
$c->close;
fake_requests(wait_active => 0);

reload();
ok(error_log_has(qr/a reply in session "$id" is lost: nginx ends/), 'told');
ok(!errors(qr/in session "$other"/), 'only that');
$main::line->mend;
--- error_log eval: qr/is lost/



=== messages that a server rejects for good are not stored
--- test
block_begins();

for my $form ([ 'chat', '/api/chat', {} ], [ 'v1', '/v1/chat/completions',
                                             { stream => JSON::PP::true } ])
{
    my ($what, $path, $more) = @$form;
    my $id = made();

    is_saved(http(chat($path, $id, $more, 'a')), $id, $what);

    for my $status (400, 413, 422) {
        fake_set(model => 'm1', status => $status, error => 'no');
        is(http(chat($path, $id, $more, 'b', 'c'))->status, $status,
           "$what, $status - refused");
        fake_set(model => 'm1', status => undef, error => undef);

        is_free($id, "$what, $status");
        like(stored($id), qr/\Auser:a:complete\|assistant:[^|]*\z/,
             "$what, $status - not kept");
    }

    # stored by a chat that failed, and sent again
    my @header = ('X-Ollama-Session-Id' => $id);

    fake_set(model => 'm1', status => 503, error => 'no');
    is(http("POST $path", body($id, $more, 'b'), @header)->status, 503,
       "$what - stored");
    fake_set(model => 'm1', status => 400);
    is(http("POST $path", body($id, $more, 'b'), @header)->status, 400,
       "$what - refused when it is sent again");
    fake_set(model => 'm1', status => undef, error => undef);
    is_free($id, "$what, sent twice");
    like(stored($id), qr/\Auser:a:complete\|assistant:[^|]*\z/,
         "$what, sent twice - not kept");

    # the next one does not take it for one without a reply
    is_saved(http("POST $path", body($id, $more, 'a'), @header), $id,
             "$what - the message before it, again");
    is(stored($id) =~ s/assistant:[^|]*/assistant/gr,
       'user:a:complete|assistant|user:a:complete|assistant',
       "$what - both are kept");
    http("DELETE /api/chat/session/$id/messages?from="
         . session($id)->{messages}[2]{id});

    for my $status (408, 429, 500, 503) {
        fake_set(model => 'm1', status => $status, error => 'no');
        is(http(chat($path, $id, $more, 'd'))->status, $status,
           "$what, $status - failed");
        fake_set(model => 'm1', status => undef, error => undef);

        is_free($id, "$what, $status");
        like(stored($id),
             qr/\Auser:a:complete\|assistant:[^|]*\|user:d:complete\z/,
             "$what, $status - kept");
    }

    is_saved(http(chat($path, $id, $more, 'd')), $id,
             "$what - it goes on");
    is(scalar @{ session($id)->{messages} }, 4, "$what - said once");
}
