# Guards what clients see when a server dies, freezes or comes back, when a
# worker is killed or the whole machine pauses: another server answers if one
# can, and streams that have begun go on.
#
# After every block the harness checks nginx's counts of requests: all are zero.

use lib 't/lib';

use Test::Nginx::Ollama fakes => 3;
use Test::Nginx::Ollama::Fleet;

use JSON::PP ();
use Time::HiRes qw(sleep time);

workers(2);

our $patient = "        ollama_poll interval=200ms timeout=2s;\n";
our $quick = "        ollama_poll interval=200ms timeout=700ms;\n";


# all answers while the condition is false, as "200 503 503"

sub statuses_until {
    my ($condition, $seconds, @request) = @_;
    my @statuses;

    wait_for(sub {
        my $r = http(@request);
        push @statuses, $r->status;
        return $condition->($r);
    }, $seconds) or fail('it does not come to an end: '
                         . join ' ', @statuses[-5 .. -1]);

    return @statuses;
}


sub listen_to {
    my ($fake, $on) = @_;

    fake_set(fake => $fake, server => { listen => $on ? JSON::PP::true
                                                      : JSON::PP::false });
}


# begins chats, one after the other, until so many wait at that stand-in

sub chats_until {
    my ($fake, $n) = @_;
    my @c;

    until (fake_requests(fake => $fake)->{active} >= $n) {
        push @c, client(timeout => 30)->request(chat('m1'));
        @c <= 10 * $n or die "the chats all go elsewhere\n";

        my $sent = @c;
        wait_for(sub {
            my $seen = 0;
            $seen += fake_requests(fake => $_)->{count} for 1, 2;
            return $seen == $sent;
        }, 10);
    }

    return @c;
}


# Stops nginx for seconds, or the whole machine in the midst of its looks; then
# nginx goes on first, so that its timers fire before a server can answer.

sub pause {
    my ($seconds, @fakes) = @_;
    my @pids = (nginx_pid(), worker_pids());

    if (@fakes) {
        fake_freeze(fake => $_) for @fakes;
        sleep 0.4;
    }

    kill STOP => @pids;
    sleep $seconds;
    kill CONT => @pids;

    if (@fakes) {
        sleep 0.05;
        fake_thaw(fake => $_) for @fakes;
    }
}


# how many of these clients have lost their connection

sub ended {
    return scalar grep {
        $_->read(time + 0.001);
        ($_->{end} // '') =~ /eof|reset/;
    } @_;
}


# those lines of the error log

sub logged {
    my ($pattern) = @_;
    return grep { /$pattern/ } Test::Nginx::Ollama::error_lines();
}

run_tests();

__DATA__

=== a server is killed under load: requests not yet begun are answered
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"model":"m1","ttft_ms":40,"gap_ms":20,"frames":10}
--- fake2
{"model":"m1","ttft_ms":40,"gap_ms":20,"frames":10}
--- test
wait_status(up => 1, 2);

my (@waiting, @replies);

for my $n (1 .. 30) {
    push @waiting, client(timeout => 30)->request(chat('m1'));

    if ($n == 15) {
        fake_requests(fake => 1, wait_count => 4);
        fake_kill(fake => 1);
    }

    push @replies, (shift @waiting)->reply if @waiting > 12;
}

push @replies, map { $_->reply } @waiting;

my @good = grep { $_->complete && $_->body =~ /"done":true/ } @replies;
my @cut = grep { !$_->complete } @replies;

is(scalar(grep { $_->status != 200 } @replies), 0, 'no error status');
is(@good + @cut, 30, 'each is whole, or was cut: ' . @cut);
is(scalar(grep { $_->body !~ /"w0 ".*\n\{"error":"[^\n]*"\}\n\z/s } @cut), 0,
   'and each of those had begun, and says so');
is(scalar(grep { servers_of($_) ne 1 } @cut), 0);

# nobody else is sent there
@replies = at_once(10, chat('m1'));
are_good('after it', @replies);
is(count_of(2, @replies), 10);
is(server(1)->{status}, 'down');
is(server(1)->{error}, 'connection refused');

# it comes back
fake_revive(fake => 1);
wait_status(up => 1);
is(server(1)->{error}, undef);
ok(wait_for(sub { servers_of(http(chat('m1'))) eq 1 }, 10), 'and is used');
--- no_error_log
[alert]
[crit]



=== all servers down: 502 or 503 until one is back
--- upstream eval: main::servers_with('', '', '')
--- test
wait_status(up => 1, 2);

fake_kill(fake => $_) for 1, 2;

my $end = time + 5;
my @statuses = statuses_until(sub { time > $end }, 20, chat('m1'));

is(join(' ', grep { !/\A50[23]\z/ } @statuses), '',
   'never "not found", nor a success');

my $r = http(chat('m1'));
is($r->status, 503, 'as both are known to be down');
like($r->header('Retry-After'), qr/\A\d+\z/);
like($r->body, qr/\A\{"error":"[^"]+"\}\z/);

$r = http('GET /api/tags');
is($r->status, 503, 'the list');
is($r->body, '{"error":"no server is up"}');
like($r->header('Retry-After'), qr/\A\d+\z/);

# a machine as busy as that of a test may need a little more than the 2 s
fake_revive(fake => $_) for 1, 2;
sleep 2.3;

is(http(chat('m1'))->status, 200, 'the first request');
is(http('GET /api/tags')->status, 200);
are_good('and more', at_once(6, chat('m1')));
--- no_error_log
[alert]
[crit]



=== once one request succeeds, all that follow do
--- upstream eval: main::servers_with($::quick, '', '')
--- test
wait_status(up => 1, 2);
listen_to($_, 0) for 1, 2;
wait_status(down => 1, 2);
listen_to($_, 1) for 1, 2;

my @statuses = statuses_until(sub { $_[0]->status == 200 }, 20, chat('m1'));
is(join(' ', grep { !/\A(?:200|50[23])\z/ } @statuses), '');
are_good('from then on', map { http(chat('m1')) } 1 .. 10);
--- no_error_log
[alert]
[crit]



=== a model whose only server is down: 503, not 404
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"server":{"models":[{"name":"m1"},{"name":"m3"}]}}
--- fake2
{"server":{"models":[{"name":"m1"}]}}
--- test
wait_status(up => 1, 2);
listen_to(1, 0);
wait_status(down => 1);

my $r = http(chat('m3'));
is($r->status, 503);
like($r->header('Retry-After'), qr/\A\d+\z/);
is(http(chat('m1'))->status, 200);

# one that nobody is known to have may be on it
like(http(chat('zz'))->status, qr/\A(?:404|503)\z/);
is(fake_requests(fake => 2)->{count}, 1, 'no other is asked for it');
--- no_error_log
[alert]
[crit]



=== a refused connection marks the server down at once, in all workers
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);
listen_to(1, 0);

my @replies = map { http(chat('m1')) } 1 .. 20;
are_good('20', @replies);
is(count_of(2, @replies), 20);

is(server(1)->{status}, 'down', 'before it was looked at again');
like(server(1)->{error}, qr/\Aconnection (?:refused|failed)\z/);

my @tries = logged('connect\(\) failed .* request:');
cmp_ok(scalar @tries, '<=', 2, 'few tries: ' . @tries);

# a server that is down is looked at sooner than in an hour
listen_to(1, 1);
wait_status(up => 1);
--- error_log
Connection refused



=== max_fails=0: failed requests don't mark a server down, probes do
--- upstream eval: main::servers_with($::once, 'max_fails=0', 'max_fails=0')
--- fake
{"model":"m1","fault":"die_before_header"}
--- test
wait_status(up => 1, 2);

for my $n (1 .. 8) {
    are_good("chat $n", http(chat('m1')));
    is(server(1)->{status}, 'up', 'as it answers probes');
}

# though it is spared for a second
my $tries = fake_requests(fake => 1)->{count};
cmp_ok($tries, '>=', 1, "it was tried: $tries");

# probes do, and a request that fails brings the next one forward from an hour
listen_to(1, 0);
ok(wait_for(sub {
    http(chat('m1'));
    return server(1)->{status} eq 'down';
}, 20), 'a probe finds it closed');
--- error_log
upstream prematurely closed connection



=== max_fails=3: a server is down after three failures to connect
--- upstream eval: main::servers_with($::once, 'max_fails=3', '')
--- test
wait_status(up => 1, 2);
listen_to(1, 0);

my $n = 0;

wait_for(sub {
    are_good('a chat', http(chat('m1')));
    $n++;
    return server(1)->{status} eq 'down';
}, 10);

is(server(1)->{status}, 'down');

# a look, after the first try, may have found out before the third
my @tries = logged('connect\(\) failed .* request:');
cmp_ok(scalar @tries, '<=', 3, 'tries: ' . @tries);
--- error_log
Connection refused



=== an HTTP status never marks a server down
--- upstream eval: main::servers_with($::once, '', '')
--- test
wait_status(up => 1, 2);

for my $status (400, 404, 429, 500, 502, 503, 504) {
    fake_set(fake => 1, model => 'm1', status => $status);
    fake_set(fake => 2, model => 'm1', status => $status);

    http(chat('m1')) for 1 .. 6;

    is(server($_)->{status}, 'up', "$status: server $_") for 1, 2;
}



=== a server answers no probe: requests without a first byte are moved
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::quick, '', ''))
--- fake
{"model":"m1","ttft_ms":60000}
--- fake2
{"model":"m1","ttft_ms":1500}
--- test
wait_status(up => 1, 2);

my @c = main::chats_until(1, 3);

# three wait at the first one, which now answers nothing any more
fake_set(fake => 1, server => { hang => JSON::PP::true });

my @replies = map { $_->reply } @c;
are_good('all', @replies);
is(count_of(2, @replies), scalar @c, 'by the other one');

is(server(1)->{status}, 'down');
is(server(1)->{error}, 'timed out');
is(join(' ', map { $_->{end} } @{ fake_requests(fake => 1,
                                                wait_ended => 3)
                                  ->{requests} }),
   'client_closed client_closed client_closed', 'its requests are ended');
is(fake_requests(fake => 2)->{count}, scalar @c, 'each was moved once');
is(in_flight(), '0 0');
--- no_error_log
[alert]
[crit]



=== a server process is stopped: waiting requests are moved
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::quick, '', ''))
--- fake
{"model":"m1","ttft_ms":3000}
--- fake2
{"model":"m1","ttft_ms":1000}
--- test
wait_status(up => 1, 2);

my @c = main::chats_until(1, 2);
fake_freeze(fake => 1);

my @replies = map { $_->reply } @c;
are_good('all', @replies);
is(count_of(2, @replies), scalar @c);
is(server(1)->{status}, 'down');

fake_thaw(fake => 1);
wait_status(up => 1);
--- no_error_log
[alert]
[crit]



=== a stream that has begun stays with its frozen server and goes on
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"model":"m1","frames":6,"gap_ms":300}
--- fake2
{"server":{"models":[{"name":"m2"}]}}
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my $c = client(timeout => 30)->request(chat('m1'));
$c->read_until(qr/"w0 "/);
fake_freeze(fake => 1);
wait_status(down => 1);
fake_thaw(fake => 1);

my $r = $c->reply;
are_good('it is whole', $r);
is(join('', $r->body =~ /"content":"(w\d )"/g), 'w0 w1 w2 w3 w4 w5 ');
wait_status(up => 1);
--- no_error_log
[alert]
[crit]



=== a request stays at its frozen server if no other has the model
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"model":"m1","ttft_ms":300}
--- fake2
{"server":{"models":[{"name":"m2"}]}}
--- asked
POST /api/chat
--- asked2
nothing
--- test
wait_status(up => 1, 2);

my $c = client(timeout => 30)->request(chat('m1'));
fake_requests(fake => 1, wait_count => 1);
fake_freeze(fake => 1);
wait_status(down => 1);
fake_thaw(fake => 1);

are_good('it is answered', $c->reply);
wait_status(up => 1);
--- no_error_log
[alert]
[crit]



=== a request is moved once
--- upstream eval: main::servers_with($::quick, '', '', '')
--- fake
{"model":"m1","ttft_ms":60000}
--- fake2
{"model":"m1","ttft_ms":1500}
--- fake3
{"server":{"models":[{"name":"m1"}]}}
--- asked3
nothing
--- test
wait_status(up => 1, 2, 3);

# the third has it, but not loaded; the second is taken as it is free
my @held = (client(timeout => 30)->request(chat('m1')),
            client(timeout => 30)->request(chat('m1')));
fake_requests(fake => $_, wait_count => 1) for 1, 2;
fake_requests(fake => 2, wait_ended => 1, timeout_ms => 10_000);

fake_set(fake => 1, server => { hang => JSON::PP::true });
fake_requests(fake => 2, wait_count => 2, timeout_ms => 10_000);
fake_freeze(fake => 2);
wait_status(down => 1, 2);
sleep 1;
fake_thaw(fake => 2);

are_good('both', map { $_->reply } @held);
--- no_error_log
[alert]
[crit]



=== a request stays at a server that loads slowly but answers probes
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"model":"m2","load_ms":3500}
--- fake2
{"model":"m2","load_ms":3500}
--- test
wait_status(up => 1, 2);

are_good('it', http(chat('m2')));
is(fake_requests(fake => 1)->{count} + fake_requests(fake => 2)->{count}, 1,
   'on the server where it began');



=== a request stays at a server that loads its model and holds its lists
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"model":"m2","load_ms":4000}
--- fake2
{"model":"m2","load_ms":4000}
--- test
wait_status(up => 1, 2);

my $c = client(timeout => 30)->request(chat('m2'));
wait_for(sub { grep { fake_requests(fake => $_)->{active} } 1, 2 });
my ($there) = grep { fake_requests(fake => $_)->{active} } 1, 2;

fake_set(fake => $there, server => { ps_delay_ms => 60000 });
ok(wait_for(sub { server($there)->{error} }, 10));
is(server($there)->{error}, 'GET /api/ps: timed out');

# one more comes meanwhile, and another model is used
are_good('m1', http(chat('m1')));
are_good('both', at_once(1, chat('m2')), $c->reply);

is(server($there)->{status}, 'up');
is(fake_requests(fake => $there)->{loads}, 1, 'it was loaded there');
is(fake_requests(fake => 3 - $there)->{loads}, 0, 'and only there');
is(scalar(main::logged(qr/is down/)), 0, 'it was never down');
--- no_error_log
[alert]
[crit]
[error]



=== a server that is only slow to answer probes is tried if no other is left
--- upstream eval: main::servers_with($::quick, '', '', 'backup')
--- test
wait_status(up => 1, 2, 3);

# all of them, and then one of them is not even there
fake_set(fake => $_, server => { version_delay_ms => 1500 }) for 1 .. 3;
wait_status(down => 1, 2, 3);
is(server($_)->{error}, 'timed out') for 1 .. 3;

my @replies = map { http(chat('m1')) } 1 .. 4;
are_good('chats', @replies);
is(count_of(3, @replies), 0, 'the backup server is the last one');
is(http('GET /api/tags')->status, 503, 'lists are of servers that are up');
is(http(chat('zz'))->status, 404, 'what no server has, is known');

main::listen_to(2, 0);
ok(wait_for(sub { server(2)->{error} =~ /refused/ }, 10));

@replies = map { http(chat('m1')) } 1 .. 4;
are_good('chats', @replies);
is(servers_of(@replies), '1 1 1 1');

# one that is up is better
fake_set(fake => 3, server => { version_delay_ms => 0 });
wait_status(up => 3);
is(servers_of(map { http(chat('m1')) } 1 .. 4), '3 3 3 3');

# and those that refuse connections are not tried
main::listen_to($_, 0) for 1, 3;
wait_status(down => 3);
ok(wait_for(sub { server(1)->{error} =~ /refused/ }, 10));
is(http(chat('m1'))->status, 503);
--- no_error_log
[alert]
[crit]



=== a request at a slow server moves when another one is up
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"model":"m1","ttft_ms":60000}
{"server":{"version_delay_ms":5000}}
--- fake2
{"model":"m1","ttft_ms":100}
{"server":{"listen":false}}
--- test
wait_status(down => 1, 2);

my $c = client(timeout => 30)->request(chat('m1'));
fake_requests(fake => 1, wait_count => 1);

main::listen_to(2, 1);
my $r = $c->reply;
are_good('it', $r);
is(servers_of($r), 2);
--- no_error_log
[alert]
[crit]



=== nginx or the whole machine pauses: servers are up after one probe
--- upstream eval: main::servers_with($::patient, '', '', '')
--- fake
{"server":{"lists_delay_ms":100}}
--- fake2
{"server":{"lists_delay_ms":100}}
--- test
wait_status(up => 1, 2, 3);

for my $round (1 .. 4) {
    main::pause(4, $round % 2 ? () : (1 .. 3));
    are_good('at once', http(chat('m1')));

    # who is down, and by which look
    my (%looks, %down);

    wait_for(sub {
        my @now = servers();

        for (@now) {
            $looks{ $_->{url} }{ $_->{checked_at} }++;
            $down{ $_->{url} }{ $_->{checked_at} }++ if $_->{status} ne 'up';
        }

        # until there were some looks at each
        return !grep { keys %{ $looks{ $_->{url} } } < 4 } @now;
    }, 20) or fail('the looks have ended');

    is(scalar(grep { keys %$_ > 1 } values %down), 0,
       'nobody is down for more than one look');
    is(join(' ', map { $_->{status} } servers()), 'up up up');
    are_good('all', at_once(6, chat('m1')));
}
--- no_error_log
[alert]
[crit]



=== streams go on after the whole machine has paused
--- upstream eval: main::servers_with($::patient, '', '')
--- fake
{"model":"m1","gap_ms":100,"frames":20}
--- fake2
{"model":"m1","gap_ms":100,"frames":20}
--- test
wait_status(up => 1, 2);

my @c = map { client(timeout => 30)->request(chat('m1')) } 1 .. 4;
$_->read_until(qr/"w0 "/) for @c;

main::pause(4, 1, 2);

are_good('all', map { $_->reply } @c);
is(fake_requests(fake => 1)->{count} + fake_requests(fake => 2)->{count}, 4);



=== waiting requests are not moved after the whole machine has paused
--- upstream eval: main::servers_with($::patient, '', '')
--- fake
{"model":"m1","ttft_ms":8000}
--- fake2
{"model":"m1","ttft_ms":8000}
--- test
wait_status(up => 1, 2);

my @c = map { client(timeout => 30)->request(chat('m1')) } 1 .. 4;
fake_requests(fake => $_, wait_count => 2) for 1, 2;

main::pause(4, 1, 2);

are_good('all', map { $_->reply } @c);
is(fake_requests(fake => $_)->{count}, 2) for 1, 2;



=== a killed worker's slots are released, those of others are kept
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::often, 'max_conns=6', 'max_conns=6'))
--- test
wait_status(up => 1, 2);

for my $round (1 .. 3) {
    my @held = hold(8, 'm1');
    is(in_flight(), '4 4', 'all are counted');

    my @pids = worker_pids();
    is(scalar @pids, 2);

    # the poller is one of them, sometimes
    kill KILL => $pids[$round % 2];

    my $left;
    ok(wait_for(sub {
        $left = 8 - ended(@held);
        my $counted = 0;
        $counted += $_->{in_flight} for servers();
        return scalar(worker_pids()) == 2 && $counted == $left;
    }, 20), "only those that are left are counted: $left");

    # their places can be had
    my @more = hold(12 - $left, 'm1');
    is(http(chat('m1'))->status, 503, 'all are taken now');

    $_->close for @held, @more;
    ok(wait_for(sub { in_flight() eq '0 0' }, 20), 'and none in the end');
}
--- error_log
exited on signal 9
[alert]



=== all workers are killed: no slot stays taken
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"model":"m2","load_ms":60000}
--- fake2
{"model":"m2","load_ms":60000}
--- test
wait_status(up => 1, 2);

my @c = (hold(4, 'm1'),
         map { client(timeout => 30)->request(chat('m2')) } 1 .. 4);

# those for the model that is not loaded wait until it is
ok(wait_for(sub {
    my $n = queued();
    $n += $_->{in_flight} for servers();
    return $n == 8;
}, 10));

kill KILL => worker_pids();

ok(wait_for(sub { eval { in_flight() } // '' eq '0 0' }, 20), 'none');
is(queued(), 0, 'and none waits');
are_good('new ones', at_once(6, chat('m1')));
is(in_flight(), '0 0');

# and somebody looks at the servers
set_models(1, new => 0);
wait_models(1, 'new');
--- error_log
exited on signal 9
[alert]



=== whichever worker is killed, the servers are still probed
--- upstream eval: main::servers_with($::often, '', '')
--- test
wait_status(up => 1, 2);

for my $round (1 .. 4) {
    my @pids = worker_pids();
    kill KILL => $pids[$_ % @pids] for $round;
    wait_for(sub { worker_pids() == 2 }, 10);

    set_models(1, "new$round" => 0);
    wait_models(1, "new$round");
}
--- error_log
exited on signal 9
[alert]



=== reload keeps counts of running streams and the servers' status
--- upstream eval
main::queue_of('queue=0',
               main::servers_with($::often, 'max_conns=3', 'max_conns=3'))
--- test
wait_status(up => 1, 2);

my @held = hold(4, 'm1');
my (%seen, @more);

for my $round (1 .. 3) {
    my %old = map { $_ => 1 } worker_pids();

    kill HUP => nginx_pid();

    # who answers meanwhile, old or new, knows it all
    wait_for(sub {
        for (servers()) {
            $seen{ $_->{status} }++;
            $seen{in_flight}{ $_->{in_flight} }++;
            $seen{models}{ scalar @{ $_->{models} } }++;
        }

        my @now = worker_pids();
        return @now == 2 && !grep { $old{$_} } @now;
    }, 20) or fail('no new workers');

    for (1 .. 20) {
        for (servers()) {
            $seen{ $_->{status} }++;
            $seen{in_flight}{ $_->{in_flight} }++;
            $seen{models}{ scalar @{ $_->{models} } }++;
        }
    }
}

is(join(' ', sort grep { !ref $seen{$_} } keys %seen), 'up',
   'always up');
is(join(' ', sort keys %{ $seen{in_flight} }), '2', 'always counted');
is(join(' ', sort keys %{ $seen{models} }), '2', 'always known');

# the new workers know of the old ones' places
@more = hold(2, 'm1');
is(http(chat('m1'))->status, 503, 'all are taken');

$_->close for @held, @more;
ok(wait_for(sub { in_flight() eq '0 0' }, 20));



=== every way a request can end releases its slot
--- upstream eval: main::servers_with($::often, 'max_fails=0', 'max_fails=0')
--- params
proxy_read_timeout 300ms;
--- test
wait_status(up => 1, 2);

for my $set ({ fault => 'die_before_header' }, { fault => 'die' },
             { fault => 'reset', after => 0 }, { fault => 'reset' },
             { fault => 'die_mid_frame' }, { fault => 'die_after_done' },
             { fault => 'garbage' }, { fault => 'bad_chunk' },
             { fault => 'bad_header' }, { fault => 'stall' },
             { fault => 'hang' }, { fault => 'short_length' },
             map { { status => $_ } } 400, 404, 429, 500, 502, 503, 504)
{
    my %set = (fault => undef, after => undef, status => undef, %$set);

    fake_set(fake => $_, model => 'm1', %set) for 1, 2;

    at_once(3, chat('m1'));
    http('POST /v1/chat/completions', { model => 'm1', @say });

    ok(wait_for(sub { in_flight() eq '0 0' }, 10), join ' ', %$set)
        or diag(in_flight());
}

# a 404 has told that it is gone, until the next look
fake_set(fake => $_, model => 'm1', status => undef) for 1, 2;
ok(wait_for(sub { http(chat('m1'))->status == 200 }, 10));
--- no_error_log
[alert]
[crit]



=== clients that leave in every state release their slots
--- upstream eval: main::servers_with($::often, '', '')
--- fake
{"model":"m1","ttft_ms":200,"gap_ms":100}
{"model":"m2","load_ms":60000}
--- fake2
{"model":"m1","ttft_ms":200,"gap_ms":100}
{"model":"m2","load_ms":60000}
--- test
wait_status(up => 1, 2);

for my $model (qw(m1 m2)) {
    for my $way (qw(close reset half_close)) {
        my @c = map { client()->request(chat($model)) } 1 .. 4;

        # some wait for a place, or for the load
        wait_for(sub {
            my $n = queued();
            $n += fake_requests(fake => $_)->{active} for 1, 2;
            return $n == 4;
        }, 10) or fail('they are not there');

        $_->$way for @c;
        $_->close for @c;

        ok(wait_for(sub { in_flight() eq '0 0' }, 10), "$model: $way");
        fake_requests(fake => $_, wait_active => 0) for 1, 2;
    }
}

is(server($_)->{status}, 'up', 'nobody was marked for that') for 1, 2;



=== one of two servers hangs: lists answer, chats go to the other
--- upstream eval: main::servers_with($::once, '', '')
--- fake
{"server":{"hang":true}}
--- test
wait_status(up => 2);
is(server(1)->{status}, 'checking');

# nothing of this waits for that server: it never answers
for my $path (qw(/api/tags /api/ps /api/version /v1/models /v1/models/m1
                 /api/models/servers))
{
    is(http("GET $path", undef, -timeout => 8)->status, 200, $path);
}

are_good('chats', map { http(chat('m1')) } 1 .. 6);
is(fake_requests(fake => 1)->{count}, 0);



=== a server that hangs from the start is down after a probe's timeout
--- upstream eval: main::servers_with($::quick, '', '')
--- fake
{"server":{"hang":true}}
--- test
wait_status(up => 2);
wait_status(down => 1);
is(server(1)->{error}, 'timed out');
isnt(server(1)->{checked_at}, undef);

fake_set(fake => 1, server => { hang => JSON::PP::false });
wait_status(up => 1);
--- no_error_log
[alert]
[crit]
