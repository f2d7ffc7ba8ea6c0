# Guards stops that meet the natural end of a reply, thousands of times: a
# client that is told that it stopped a generation has stopped that one and no
# other, the reply has one last frame and a proper end either way, and no task
# id stays taken.

use lib 't/lib';

use Test::Nginx::Ollama;

use Errno qw(EAGAIN);
use IO::Select;
use IO::Socket::INET;

workers(2);
worker_connections(2048);

our $hi = '"prompt":"a","messages":[{"role":"user","content":"a"}]}';

our $many = "    keepalive_requests 1000000;\n";

our $balanced = <<'END';
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_fails=0;
        ollama_balance;
        ollama_poll interval=1s timeout=5s;
        keepalive 64;
END


# So many races, some at once, each of a client and one who stops it: after the
# first bytes, or some more, or at once.

sub races {
    my ($n, $path, $body, $one) = @_;

    my (%by, %pair, $select, $begun, %said);

    $select = IO::Select->new;

    for my $i (1 .. 24) {
        my $pair = { i => $i };

        for my $who (qw(client stopper)) {
            my $s = IO::Socket::INET->new(
                PeerAddr => '127.0.0.1',
                PeerPort => $ENV{TEST_NGINX_SERVER_PORT})
                or die "can't connect: $!\n";

            $pair->{$who} = { socket => $s, in => '' };
            $by{fileno $s} = [ $pair, $who ];
            $select->add($s);
        }

        $pair{$i} = $pair;
        begin($pair, ++$begun, $path, $body);
    }

    while (%pair) {
        my @ready = $select->can_read(10)
            or die map { "$_->{id}: nothing came behind\n$_->{client}{in}\n"
                         . "$_->{stopper}{in}\n" } values %pair;

        for my $s (@ready) {
            my ($pair, $who) = @{ $by{fileno $s} };

            sysread $s, $pair->{$who}{in}, 65536, length $pair->{$who}{in}
                or die "$pair->{id}: $who: the connection was closed behind\n"
                       . "$pair->{$who}{in}\n"
                       . "$pair->{$who}{last}\n";

            stop($pair) if $who eq 'client' && !$pair->{stopped}
                           && length $pair->{client}{in} > $pair->{after};

            next if !complete($pair->{client}{in});

            # it came to its end before
            stop($pair) if !$pair->{stopped};

            next if !complete($pair->{stopper}{in});

            $said{ outcome($pair, $one) }++;

            if ($begun < $n) {
                begin($pair, ++$begun, $path, $body);

            } else {
                delete $pair{$pair->{i}};
            }
        }
    }

    return \%said;
}


sub complete {
    my ($in) = @_;

    return $in =~ /\r\n0\r\n\r\n\z/
           || $in =~ /\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n(.*)\z/s
              && length $2 == $1;
}


sub begin {
    my ($pair, $n, $path, $body) = @_;

    $pair->{id} = "race$n";
    @{ $pair->{$_} }{qw(last in)} = ($pair->{$_}{in}, '')
        for qw(client stopper);
    $pair->{stopped} = 0;

    # the head of a reply is of about 250 bytes, a frame of 120
    $pair->{after} = int rand 1100;

    syswrite $pair->{client}{socket},
             "POST $path HTTP/1.1\r\nHost: localhost\r\n"
             . "X-Ollama-Task-Id: $pair->{id}\r\n"
             . "Content-Length: " . length($body) . "\r\n\r\n$body";

    stop($pair) if $pair->{after} < 100;
}


sub stop {
    my ($pair) = @_;

    $pair->{stopped} = 1;

    syswrite $pair->{stopper}{socket},
             "POST /api/chat/cancel/$pair->{id} HTTP/1.1\r\n"
             . "Host: localhost\r\nContent-Length: 0\r\n\r\n";
}


# What became of it, and what is wrong.

sub outcome {
    my ($pair, $one) = @_;

    my ($status) = $pair->{stopper}{in} =~ /\AHTTP\/1.1 (\d+) /;
    my $in = $pair->{client}{in};

    return "the stopper is told $status" if $status !~ /\A(?:200|404)\z/;
    return "the client is told " . substr $in, 0, 20
        if $in !~ /\AHTTP\/1.1 200 /;

    my $ends = () = $in =~ /"done":true|\[DONE\]/g;
    my $cancelled = $in =~ /"done_reason":"cancelled"|"id":"chatcmpl-race/;

    return "$ends last frames" if $ends != 1;
    return 'an error' if $in =~ /"error"/;

    return $cancelled ? 'not stopped, but ended so' : 'not stopped'
        if $status == 404;
    return $cancelled ? 'stopped' : 'stopped, but not ended so';
}


run_tests();

__DATA__

=== a stop against the end of a stream of /api/chat
--- upstream eval: $::balanced
--- http_config eval: $::many
--- fake
{"model":"m1","frames":6,"gap_ms":0.3}
{"server":{"record":false}}
--- test
my $said = main::races(6000, '/api/chat', '{"model":"m1",' . $::hi);
my $sum = ($said->{stopped} // 0) + ($said->{'not stopped'} // 0);

is($sum, 6000, 'all ended as they should') or diag(explain($said));
cmp_ok($said->{stopped}, '>', 100, 'some were stopped');
cmp_ok($said->{'not stopped'}, '>', 100, 'some were not');

fake_requests(wait_active => 0);
is(server(1)->{in_flight}, 0);
is(scalar(grep { m{/api/chat 200 .* outcome=cancelled } } access_log()),
   $said->{stopped}, 'as many are logged so');
is(scalar(grep { !m{/api/chat 200 .* outcome=(?:ok|cancelled) }
                 && !m{/cancel/|/servers} } access_log()), 0);



=== a stop against the end of an SSE stream
--- upstream eval: $::balanced
--- http_config eval: $::many
--- fake
{"model":"m1","frames":3,"gap_ms":0.3,"split":40,"split_delay_us":50}
{"server":{"record":false}}
--- test
my $said = main::races(2000, '/v1/chat/completions',
                       '{"model":"m1","stream":true,' . $::hi);
my $sum = ($said->{stopped} // 0) + ($said->{'not stopped'} // 0);

is($sum, 2000, 'all ended as they should') or diag(explain($said));
cmp_ok($said->{stopped}, '>', 20, 'some were stopped');
cmp_ok($said->{'not stopped'}, '>', 20, 'some were not');

fake_requests(wait_active => 0);
is(server(1)->{in_flight}, 0);



=== a stop against the end of a reply that is not a stream
--- upstream eval: $::balanced
--- http_config eval: $::many
--- fake
{"model":"m1","frames":6,"ttft_ms":1}
{"server":{"record":false}}
--- test
my $said = main::races(2000, '/api/chat',
                       '{"model":"m1","stream":false,' . $::hi, 1);
my $sum = ($said->{stopped} // 0) + ($said->{'not stopped'} // 0);

is($sum, 2000, 'all ended as they should') or diag(explain($said));
cmp_ok($said->{stopped}, '>', 20, 'some were stopped');
cmp_ok($said->{'not stopped'}, '>', 20, 'some were not');

fake_requests(wait_active => 0);
is(server(1)->{in_flight}, 0);



=== 10,000 task ids in a small zone: none stays taken
--- upstream eval: $::balanced
--- http_config eval: "ollama_zone 1m;\n$::many"
--- fake
{"model":"m1","frames":1}
{"server":{"record":false}}
--- test
my $said = main::races(10_000, '/api/chat', '{"model":"m1",' . $::hi);
my $sum = ($said->{stopped} // 0) + ($said->{'not stopped'} // 0);

is($sum, 10_000, 'all ended as they should') or diag(explain($said));
is(scalar(grep { /no room/ } Test::Nginx::Ollama::error_lines()), 0);
