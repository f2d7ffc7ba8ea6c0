# Guards the promise that a compressed body is the same as a plain one: for
# every endpoint that reads a body, of any size, wherever the network cuts it.
# Damaged or enormous ones are refused, what isn't understood is too, with what
# is; and no other client waits meanwhile.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(empty_redis made);
use Test::Nginx::Ollama;

use Digest::SHA qw(sha256_hex);
use IO::Compress::Gzip qw(gzip);


our $chat = '{"model":"m1","messages":[{"role":"user","content":"hi"}]}';
our $text = '{"model":"m1","prompt":"a","input":"a"}';


sub zip {
    my ($text) = @_;

    gzip(\$text => \my $out) or die 'gzip';

    return $out;
}


# A zstd frame of blocks that are as they are, and of repeated bytes: lists of a
# byte and how often (RFC 8878, 3.1.1)

sub zstd {
    my ($text, @repeated) = @_;

    my @blocks = map { [ 0, $_, length ] } $text =~ /.{1,1000}/gs;

    while (my ($byte, $n) = splice @repeated, 0, 2) {
        for (; $n > 0; $n -= 100_000) {
            push @blocks, [ 1, $byte, $n > 100_000 ? 100_000 : $n ];
        }
    }

    push @blocks, [ 0, '', 0 ];

    # a window of 128 KB
    return "\x28\xb5\x2f\xfd\0\x38" . join '', map {
        my ($type, $data, $n) = @{ $blocks[$_] };

        my $head = ($n << 3) + ($type << 1) + ($_ == $#blocks ? 1 : 0);

        substr(pack('V', $head), 0, 3) . $data
    } 0 .. $#blocks;
}


our %pack = (gzip => \&zip, 'x-gzip' => \&zip, zstd => \&zstd);


run_tests();

__DATA__

=== a compressed body is sent on plain
--- test
my $n = 0;

for my $coding (sort(keys %main::pack), 'GZip', 'ZSTD') {
    my $packed = $main::pack{lc $coding}->($main::chat);

    for my $framing ([], [ -chunked => [ 1, 10 ] ]) {
        my $c = client();
        my $r = $c->request('POST /api/chat', $packed, @$framing,
                            'Content-Encoding' => $coding)->reply;

        is($r->status, 200, $coding);

        my $got = fake_requests(last => 1)->{requests}[0];
        is($got->{body}, $main::chat, 'the body');
        is($got->{headers}{'content-length'}, length $main::chat,
           'its length');
        ok(!exists $got->{headers}{'content-encoding'}, 'no coding');
        ok(!exists $got->{headers}{'transfer-encoding'}, 'and no framing');
        is($c->request('POST /api/chat', $main::chat)->reply->status, 200,
           'the connection is fine');
    }
}

# made by zstd 1.5
my $packed = pack 'H*', '28b52ffd6000006d020012c51012903d0690821c240f756d664a93'
    . 'aaec6e0e01dbec03511bb3202987ce04f8bda32848b6e693dba86c94e8e154d57b72f524'
    . 'bd2ee455ad53ab820f1ff0e44f2509af0301000d8ba91905';
my $text = '{"model":"m1","messages":[{"role":"user","content":"'
           . 'zstd really packed this. ' x 8 . '"}]}';

is(http('POST /api/chat', $packed, 'Content-Encoding' => 'zstd')->status, 200,
   'really packed');
is(fake_requests(last => 1)->{requests}[0]{body}, $text, 'the body');



=== fields are removed from a compressed body, however large and cut it is
--- http_config
    client_body_buffer_size 16k;
--- params
client_body_buffer_size 16k;
--- test
for my $coding (qw(gzip zstd)) {
    for my $size (10, 5_000, 20_000, 100_000, 3_000_000) {
        my $text = join '', map { chr(97 + $_ * $_ % 25) } 1 .. $size;
        my $rest = '"model":"m1","x":"' . $text . '","messages":[]';

        for my $own ('', '"task_id":"a",') {
            my $packed = $main::pack{$coding}->("{$own$rest}");
            my $cut = $size > 20_000 ? 4096 : 7;

            is(http('POST /api/chat', $packed, -chunked => [ 1, $cut ],
                    'Content-Encoding' => $coding)->status, 200,
               "$coding, $size bytes, cut");
            my $got = fake_requests(last => 1)->{requests}[0];
            is($got->{body_sha256}, sha256_hex("{$rest}"), 'the body');
            is($got->{headers}{'content-length'}, 2 + length $rest, 'length');
        }
    }
}



=== several members are one body
--- test
for my $coding (qw(gzip zstd)) {
    my $pack = $main::pack{$coding};
    my $packed = join '', map { $pack->($_) } $main::chat =~ /.{1,20}/gs, '';

    is(http('POST /api/chat', $packed, 'Content-Encoding' => $coding)->status,
       200, $coding);
    is(fake_requests(last => 1)->{requests}[0]{body}, $main::chat, 'the body');
}



=== another server is sent the same
--- upstream
        server 127.0.0.1:$TEST_NGINX_FREE_PORT;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
--- params
client_body_buffer_size 16k;
--- test
for my $size (10, 1_000_000) {
    my $body = '{"model":"m1","task_id":"a","x":"' . 'x' x $size . '"}';

    is(http('POST /api/chat', zip($body), 'Content-Encoding' => 'gzip')
           ->status, 200, "$size bytes") for 1 .. 2;

    $body =~ s/"task_id":"a",//;

    my @got = @{ fake_requests(last => 2)->{requests} };
    is($_->{body_sha256}, sha256_hex($body), 'the body') for @got;
}
--- error_log
connect() failed



=== every endpoint that reads a body
--- config
    location / {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_pass /api/new;
    }
--- test
empty_redis();

for my $coding (qw(gzip zstd)) {
    my $pack = $main::pack{$coding};
    my @coding = ('Content-Encoding' => $coding);
    for my $path (qw(/api/generate /api/embed /api/embeddings /api/show
                     /v1/completions /v1/embeddings /v1/responses))
    {
        is(http("POST $path", $pack->($main::text), @coding)->status, 200,
           "$path, $coding");
    }

    is(http("POST $_", $pack->('{"model":"m1","max_tokens":9,'
                               . substr $main::chat, 14), @coding)->status,
       200, "$_, $coding") for qw(/v1/chat/completions /v1/messages);

    like(http('POST /api/chat/multi-model',
              $pack->('{"models":["m1","m1"],"initial_message":"a",'
                      . '"max_turns":2}'), @coding)->body,
         qr/"done_reason":"max_turns"/, "multi-model, $coding");
    ok(!(grep { exists $_->{headers}{'content-encoding'} }
         @{ fake_requests()->{requests} }), 'nor has a turn a coding');

    my $r = http('POST /api/chat/session', $pack->('{"title":"a"}'), @coding);
    is($r->status, 201, "a session, $coding");

    my $id = $r->json->{session_id};
    is($r->json->{title}, 'a', 'its title');
    is(http("PATCH /api/chat/session/$id", $pack->('{"title":"b"}'), @coding)
           ->json->{title}, 'b', 'changed');
    is(http("PATCH /api/chat/session/$id", 'x', @coding)->status, 400,
       'damaged');
    is(http("PATCH /api/chat/session/$id",
            $pack->('{"title":"' . 'x' x 65_530 . '"}'), @coding)->status, 413,
       'too large');
    $r = http("PATCH /api/chat/session/$id", '{}', 'Content-Encoding' => 'br');
    is($r->status, 415, 'another coding');
    is($r->header('Accept-Encoding'), 'gzip, zstd', 'what is understood');

    is(http('POST /api/chat',
            $pack->("{\"session_id\":\"$id\"," . substr $main::chat, 1),
            @coding)->status, 200, 'a chat in it');
    is(http("GET /api/chat/session/$id")->json->{messages}[0]{content}, 'hi',
       'is stored');

    http('POST /api/new', $pack->("\0\xff"), @coding);
    is(fake_requests(last => 1)->{requests}[0]{body_bytes}, 2,
       'a path of ollama_pass');
    is(http('POST /api/new', 'x', @coding)->status, 400, 'and damaged');
}



=== damaged data are refused
--- test
my $c = client();

for my $coding (qw(gzip zstd)) {
    my $packed = $main::pack{$coding}->($main::chat);
    my $at = $coding eq 'gzip' ? 15 : 6;

    for my $bad ($main::chat, substr($packed, 0, -1), substr($packed, 0, 3),
                 "$packed ", $packed . substr($packed, 0, 7), "x$packed",
                 substr($packed, 0, $at) . "\xff" . substr($packed, $at + 1))
    {
        my $r = $c->request('POST /api/chat', $bad,
                            'Content-Encoding' => $coding)->reply;

        is($r->status, 400, $coding);
        like($r->json->{error}, qr/\Ainvalid request body/, 'the text');
    }

    my $r = $c->request('POST /api/chat', '', 'Content-Encoding' => $coding)
              ->reply;
    is($r->status, 400, "$coding, empty");
    like($r->json->{error}, qr/the body is empty/, 'is no body');
}

# places are those in the plain text
my $r = $c->request('POST /api/chat', zip('{"model":1}'),
                    'Content-Encoding' => 'gzip')->reply;
like($r->json->{error}, qr/at byte 9: "model" must be a string/, 'what is in');

# a window of 16 MB is more than anybody should need
is($c->request('POST /api/chat', "\x28\xb5\x2f\xfd\0\x70\x01\0\0",
               'Content-Encoding' => 'zstd')->reply->status, 400, 'window');

is($c->request('POST /api/chat', $main::chat)->reply->status, 200,
   'the connection is fine');
--- asked
POST /api/chat



=== a body that is too large when it is unpacked: 413, and others are served
--- params
client_max_body_size 64m;
--- config eval
Test::Nginx::Ollama::location('/api/')
. 'location = /ping { keepalive_requests 1000000; return 200 "pong"; }'
--- test
my $read = \&Test::Nginx::Ollama::read_file;
my $start = '{"model":"m1","x":"';
my $ping = client();

# the port is open before there is a worker
is($ping->request('GET /ping')->reply->body, 'pong');
my ($worker) = worker_pids();

for my $large (zip($start . 'x' x (64 << 20)), zstd($start, x => 64 << 20)) {
    my $coding = $large =~ /^\x1f/ ? 'gzip' : 'zstd';

    cmp_ok(length $large, '<', 100_000, "$coding: a short one");

    my $c = client(timeout => 60);
    my ($n, $most) = (0, 0);

    $c->request('POST /api/chat', $large, 'Content-Encoding' => $coding);

    until (IO::Select->new($c->{socket})->can_read(0)) {
        $ping->request('GET /ping')->reply->body eq 'pong' or die "no pong\n";
        $n++;

        my ($now) = $read->("/proc/$worker/status") =~ /^RssAnon:\s+(\d+)/m;
        $most = $now if $now > $most;
    }

    my $r = $c->reply;
    is($r->status, 413, 'status');
    like($r->json->{error}, qr/larger than 67108864 bytes/, 'the text');
    cmp_ok($n, '>', 2, 'pings meanwhile');
    cmp_ok($most, '<', 24 * 1024, 'KB of memory');
}
--- asked
nothing



=== what says nothing about a coding is ignored
--- test
my $c = client();

for my $coding ('', 'identity', 'Identity', 'utf-8', 'UTF-8', 'utf8',
                'us-ascii', 'ISO-8859-1', 'latin1', 'windows-1252')
{
    is($c->request('POST /api/chat', $main::chat,
                   'Content-Encoding' => $coding)->reply->status, 200, $coding);
    is(fake_requests(last => 1)->{requests}[0]{body}, $main::chat, 'the body');
}



=== other codings are refused, with those that are understood
--- test
my $c = client();

for my $coding ('br', 'deflate', 'compress', 'x', 'gzip, zstd',
                'identity, gzip', 'gzip, gzip', 'utf-8, gzip', 'gzip;q=1')
{
    my $r = $c->request('POST /api/chat', $main::chat,
                        'Content-Encoding' => $coding)->reply;

    is($r->status, 415, $coding);
    is($r->header('Accept-Encoding'), 'gzip, zstd', 'what is understood');
    like($r->json->{error}, qr/"\Q$coding\E" is not supported/, 'the text');
}

is($c->request('POST /api/chat', $main::chat, 'Content-Encoding' => 'gzip',
               'content-encoding' => 'gzip')->reply->status, 415, 'two lines');
like($c->request('POST /v1/chat/completions', $main::chat,
                 'Content-Encoding' => 'br')->reply->json->{error}{message},
     qr/"br" is not supported/, 'in the form of /v1');
--- asked
nothing
