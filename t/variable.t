# Guards the variables in the access log, for every way that a request can end;
# and that no name that a client chooses can break or forge a line of the log.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 2;
use Test::Nginx::Ollama::Bodies;
use Test::Nginx::Ollama::HTTP2;
use Test::Nginx::Ollama::Server qw($server);
use Time::HiRes qw(sleep);


our $time = qr/\d+\.\d\d\d/;


# the n-th line of the log, its end left out

our $lines = 0;

sub next_line {
    my $line = wait_for(sub { (access_log())[$lines] });

    $lines++;
    return '' if !defined $line;

    $line =~ s/ upstream=.*//;
    return $line;
}


# sends, reads the reply, and looks at what the log says of it; a generation
# that the client gave no name, "task=-" here, has one of the gateway's

sub logged {
    my ($request, $body, $expected, @headers) = @_;

    $expected =~ s/ task=- / task=[0-9a-f]{32} /
        if $request =~ m{/(?:chat|generate|completions|responses|messages)\z}
           && $expected !~ /outcome=rejected/;

    http($request, $body, @headers);
    like(next_line(), qr/\A\Q$request\E \d+ $expected\z/, $request);
}


run_tests();

__DATA__

=== a good reply, in all forms
--- fake
{"model":"m1","frames":5,"prompt_eval_count":7}
--- test
$::lines = 0;

my $ok = "model=m1 task=- session=- outcome=ok";
my $counts = "queue=0\\.000 prompt=7 generated=5";

logged('POST /api/chat', $::chat, "$ok ttft=$::time $counts");
logged('POST /api/generate', $::prompt, "$ok ttft=$::time $counts");

# at once: there is no first token
logged('POST /api/chat', $::one, "$ok ttft=- $counts");
logged('POST /v1/chat/completions',
       '{"model":"m1","messages":[{"role":"user","content":"hi"}]}',
       "$ok ttft=- $counts");
logged('POST /v1/completions', '{"model":"m1","prompt":"hi"}',
       "$ok ttft=- $counts");
logged('POST /v1/responses', '{"model":"m1","input":"hi"}',
       "$ok ttft=- $counts");
logged('POST /v1/messages',
       '{"model":"m1","max_tokens":9,"messages":[{"role":"user",'
       . '"content":"hi"}]}', "$ok ttft=- $counts");

# nothing is generated
logged('POST /api/embed', '{"model":"m1","input":"a"}',
       "$ok ttft=- queue=0\\.000 prompt=7 generated=-");
logged('POST /v1/embeddings', '{"model":"m1","input":"a"}',
       "$ok ttft=- queue=0\\.000 prompt=7 generated=-");
logged('POST /api/embeddings', '{"model":"m1","prompt":"a"}',
       "$ok ttft=- queue=0\\.000 prompt=- generated=-");
logged('POST /api/show', '{"model":"m1"}',
       "$ok ttft=- queue=0\\.000 prompt=- generated=-");
logged('POST /api/chat', '{"model":"m1","messages":[]}',
       "$ok ttft=$::time queue=0\\.000 prompt=- generated=\\S+");



=== tokens of /v1 streams: reported by the server, or frames counted
--- fake
{"model":"m1","frames":5,"prompt_eval_count":7}
--- test
$::lines = 0;

my $ok = "model=m1 task=- session=- outcome=ok ttft=$::time queue=0\\.000";
my $usage = '"stream_options":{"include_usage":true}';

(my $told = $::openai) =~ s/\{/{$usage,/;
logged('POST /v1/chat/completions', $told, "$ok prompt=7 generated=5");

($told = $::prompt) =~ s/\{/{$usage,/;
logged('POST /v1/completions', $told, "$ok prompt=7 generated=5");

# the event forms always tell
logged('POST /v1/responses', $::prompt, "$ok prompt=7 generated=5");
logged('POST /v1/messages', $::claude, "$ok prompt=7 generated=5");

logged('POST /v1/chat/completions', $::openai, "$ok prompt=- generated=~5");
logged('POST /v1/completions', $::prompt, "$ok prompt=- generated=~5");

($told = $::openai) =~ s/\{/{"stream_options":{"include_usage":false},/;
logged('POST /v1/chat/completions', $told, "$ok prompt=- generated=~5");

# thoughts are tokens
fake_set(model => 'm1', thinking => 3);
logged('POST /v1/chat/completions', $::openai, "$ok prompt=- generated=~8");
logged('POST /api/chat', $::chat, "$ok prompt=7 generated=8");

# the request isn't changed for it
is((grep { $_->{uri} eq '/v1/chat/completions' }
    @{ fake_requests()->{requests} })[-1]{body}, $::openai);



=== $ollama_ttft is the time to the first token
--- http_config
    log_format times 'ttft=$ollama_ttft all=$request_time '
                     'header=$upstream_header_time';
    access_log logs/times.log times;
--- upstream
        server 127.0.0.1:$TEST_NGINX_STEPS_PORT max_fails=0;
--- test
my $line = sub {
    my ($n) = @_;
    my $file = conf_dir() . '/../logs/times.log';
    my $text = wait_for(sub {
        (split /\n/, Test::Nginx::Ollama::read_file($file))[$n]
    });
    return $text =~ /^ttft=([\d.]+) all=([\d.]+) header=([\d.]+)/
        ? ($1, $2, $3) : die "times: $text\n";
};

my $n = 0;

for (['POST /api/chat', $::chat, 'application/x-ndjson',
      qq({"message":{"content":"a"},"done":false}\n), qq({"done":true}\n)],
     ['POST /v1/chat/completions', $::openai, 'text/event-stream',
      qq(data: {"choices":[{"delta":{"content":"a"}}]}\n\n),
      "data: [DONE]\n\n"])
{
    my ($request, $body, $type, $first, $last) = @$_;

    # it waits here for each to have come through, so that no pause is lost
    my $c = client();
    $c->request($request, $body, Connection => 'close');

    my $s = $::server->accept;
    sleep 0.1;

    $s->header($type, 'Transfer-Encoding' => 'chunked', Connection => 'close');
    ok($c->read_until(qr/\r\n\r\n/), 'the header');
    sleep 0.1;

    $s->chunk($first);
    ok($c->read_until(qr/content/), 'the first token');
    sleep 0.2;

    $s->chunk($last)->last->close;
    ok($c->reply_to_end->complete, 'all');
    $c->close;

    my ($ttft, $all, $header) = $line->($n++);
    cmp_ok($ttft, '>=', 0.19, 'not before it was sent');
    cmp_ok($ttft, '>=', $header + 0.09, 'the header is no token');
    cmp_ok($all, '>=', $ttft + 0.19, 'nor is the end');
}



=== a failure before the first byte is "error"
--- fake
{"model":"m1","status":500}
{"model":"m2","fault":"die_before_header"}
--- params
proxy_read_timeout 100ms;
--- test
$::lines = 0;

my $rest = 'ttft=- queue=0\.000 prompt=- generated=-';

logged('POST /api/chat', $::chat,
       "model=m1 task=- session=- outcome=error $rest");
logged('POST /v1/chat/completions', $::openai,
       "model=m1 task=- session=- outcome=error $rest");
logged('POST /api/chat', '{"model":"nope"}',
       "model=nope task=- session=- outcome=error $rest");
logged('POST /api/chat', '{"model":"m2"}',
       "model=m2 task=- session=- outcome=error $rest");

fake_set(model => 'm2', fault => 'hang');
logged('POST /api/chat', '{"model":"m2"}',
       "model=m2 task=- session=- outcome=error $rest");

fake_set(model => 'm2', fault => 'refuse');
logged('POST /api/chat', '{"model":"m2"}',
       "model=m2 task=- session=- outcome=error $rest");

like(join(' ', map { /upstream_status=(.*) bytes/ } access_log()),
     qr/^500 500 404 502(?:, 502)? 504 502$/, 'and so says nginx');
--- error_log
upstream prematurely closed
upstream timed out
connect() failed



=== a truncated reply is "interrupted"
--- fake
{"model":"m1","frames":5,"fault":"die","after":3}
--- test
$::lines = 0;

my $cut = "model=m1 task=- session=- outcome=interrupted";

logged('POST /api/chat', $::chat,
       "$cut ttft=$::time queue=0\\.000 prompt=- generated=~3");
logged('POST /v1/chat/completions', $::openai,
       "$cut ttft=$::time queue=0\\.000 prompt=- generated=~3");
logged('POST /api/chat', $::one,
       "$cut ttft=- queue=0\\.000 prompt=- generated=-");

fake_set(model => 'm1', after => 0);
logged('POST /api/chat', $::chat,
       "$cut ttft=- queue=0\\.000 prompt=- generated=~0");

fake_set(model => 'm1', after => 1, fault => 'die_after_done');
logged('POST /api/chat', $::chat,
       "model=m1 task=- session=- outcome=ok ttft=$::time queue=0\\.000 "
       . "prompt=10 generated=5");
--- error_log
upstream prematurely closed



=== a client that has left is "client_closed"
--- config eval: $::h2
--- fake
{"model":"m1","frames":5,"fault":"stall","after":2}
--- test
$::lines = 0;

my $gone = "model=m1 task=[0-9a-f]{32} session=- outcome=client_closed";
my $chat = qr{\APOST /api/chat \d+};

for my $c (client(), h2()) {
    $c->request('POST /api/chat', $::chat);
    ok($c->read_until(qr/w1 /));
    $c->close;
    like(next_line(),
         qr/$chat $gone ttft=$::time queue=0\.000 prompt=- generated=~2\z/);
}

fake_set(model => 'm1', fault => 'hang');

my $n = 2;

for my $c (client(), h2()) {
    $c->request('POST /api/chat', $::chat);
    fake_requests(wait_count => ++$n);
    $c->close;
    like(next_line(),
         qr/$chat $gone ttft=- queue=0\.000 prompt=- generated=-\z/);
}

# all was said before it went: complete
fake_set(model => 'm1', fault => 'none', frames => 2, gap_ms => 1);

my $c = client();
$c->request('POST /api/chat', $::chat, Connection => 'close');
ok($c->read_until(qr/"done":true/));
$c->close;
like(next_line(), qr/ outcome=ok .* generated=2\z/);



=== what the gateway refuses is "rejected"
--- params
client_max_body_size 1k;
--- test
$::lines = 0;

my $rest = 'ttft=- queue=- prompt=- generated=-';
my $no = "task=- session=- outcome=rejected $rest";

logged('POST /api/chat', '{', "model=- $no");
logged('POST /api/chat', '{"model":1}', "model=- $no");
logged('POST /v1/chat/completions', '[]', "model=- $no");
logged('GET /api/chat', undef, "model=- $no");
logged('GET /api/nothing', undef, "model=- $no");
logged('POST /api/pull', '{"model":"m1"}', "model=- $no");
logged('POST /api/chat', '{"model":"m1"}', "model=- $no",
       'Content-Encoding' => 'gzip');
logged('POST /api/chat', '{"model":"' . 'm' x 1025 . '"}', "model=- $no");
logged('POST /api/chat', '{"model":"m1"}', "model=- $no",
       Origin => 'http://evil.example');

is(fake_requests()->{count}, 0, 'nobody was asked');
--- error_log
client intended to send too large body



=== requests without a model
--- test
$::lines = 0;

my $rest = 'model=- task=- session=- outcome=ok ttft=- queue=- '
           . 'prompt=- generated=-';

logged("GET $_", undef, $rest)
    for qw(/api/tags /api/ps /api/version /v1/models);
logged('HEAD /api/tags', undef, $rest);



=== a model's or task's name can't break or forge a line of the log
--- http_config
    log_format json escape=json '{"model":"$ollama_model",'
                                '"session":"$ollama_session_id"}';
    access_log logs/json.log json;
--- test
my @names = ('a"b', 'a\\\\b', 'a\nb', 'a\r\nPOST /api/chat 200', 'a\u0000b',
             'a\u001bb', 'a\u007fb', "\xc3\xa9", "\xf0\x9f\x98\x80",
             '\ud83d\ude00',
             'a b=c outcome=ok', '$ollama_model', '%0a', '-', "<b>&amp;",
             '\u2028', '\u0022,\u0022x\u0022:\u0022');

$names[0] =~ s/"/\\"/;

my $c = client();

for my $name (@names) {
    $c->request('POST /api/chat', "{\"model\":\"$name\"}")->reply;
    $c->request('POST /api/generate',
                "{\"model\":\"m1\",\"session_id\":\"$name\"}")->reply;
}

ok(wait_for(sub { access_log() >= 2 * @names }));

my @lines = access_log();
is(scalar @lines, 2 * @names, 'a line a request');
is(join("\n", grep { !m{\APOST[ ]/api/(?:chat|generate)[ ]\d+[ ]model=.*[ ]
                        task=[0-9a-f]{32}[ ]session=.*[ ]
                        outcome=(ok|error)[ ]ttft=\S+[ ]queue=0\.000[ ]
                        prompt=\S+[ ]generated=\S+[ ]
                        upstream=\S+[ ]upstream_status=\d+[ ]bytes=\d+\z}x
                     || /[\x00-\x1f\x7f-\xff"]/ } @lines),
   '', 'all in one form, without a byte that could do harm');

my @json = split /\n/, Test::Nginx::Ollama::read_file(
               conf_dir() . '/../logs/json.log');

is(scalar @json, 2 * @names);

for my $i (0 .. $#names) {
    my $meant = JSON::PP->new->utf8->decode("[\"$names[$i]\"]")->[0];
    my $model = eval { JSON::PP->new->utf8->decode($json[2 * $i]) };
    my $session = eval { JSON::PP->new->utf8->decode($json[2 * $i + 1]) };

    is($model->{model}, $meant, "model $names[$i]");
    is($session->{session}, $meant, "session $names[$i]");
}



=== a map of $ollama_model chooses the upstream
--- http_config
    upstream second {
        server 127.0.0.1:$TEST_NGINX_FAKE2_PORT;
    }

    map $ollama_model $pool {
        default    ollama;
        m2         second;
        ~*^m2:     second;
    }
--- config
    location /api/ {
        ollama_api ollama;
        proxy_pass http://$pool;
        include ollama_params;
    }
--- test
my $c = client();

is($c->request('POST /api/chat', "{\"model\":\"$_\"}")->reply->status, 200)
    for qw(m1 m2 m2:latest M1);

# as the server sees it
is($c->request('POST /api/chat', $_)->reply->status, 200)
    for '{"model":"m1","MODEL":"m2"}', '{"model":"m2","m\u006fdel":"m1"}';

is($c->request('GET /api/tags')->reply->status, 200);

is(join(' ', map { $_->{model} // '-' } @{ fake_requests()->{requests} }),
   'm1 M1 m1 -');
is(join(' ', map { $_->{model} // '-' }
             @{ fake_requests(fake => 2)->{requests} }),
   'm2 m2:latest m2');



=== variables are empty in locations without ollama_api
--- config
    location = /plain {
        return 200 "[$ollama_model$ollama_task_id$ollama_session_id]";
    }

    location = /more {
        return 200 "[$ollama_outcome$ollama_ttft$ollama_queue_time]";
    }
--- test
is(http('GET /plain')->body, '[]');
like(access_log(qr{/plain}),
     qr/ model=- task=- session=- outcome=- ttft=- queue=- prompt=- /);



=== task and session are those the client names
--- config eval: $::h2
--- test
my $c = h2();
$c->request('POST /api/generate',
            '{"task_id":"t-1","model":"m1","session_id":"s 1"}')->reply;
ok(access_log(qr/ model=m1 task=t-1 session=s 1 outcome=ok /));
