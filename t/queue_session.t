# Guards the promise that a chat in a session waits for a place like any other:
# the session is its own meanwhile, however long that takes, and it is saved.

use lib 't/lib';

use Test::Nginx::Ollama::Session qw(:all);
use Test::Nginx::Ollama fakes => 1;
use Test::Nginx::Ollama::Fleet qw($once servers_with hold in_flight queued
                                  wait_queued);
use Test::Nginx::Ollama::Stop;
use Time::HiRes qw(time);

workers(3);

our $one = servers_with($once, 'max_conns=1');


# begins a chat of a session that has to wait

sub waiting {
    my ($id) = @_;

    my $c = client(timeout => 40)->request(chat('/api/chat', $id, {}, 'hi'));
    wait_queued(1);

    return $c;
}


run_tests();

__DATA__

=== a chat in a session keeps its lock while it waits, and is saved
--- upstream eval: $::one
--- test
block_begins();
wait_status(up => 1);

my $id = made();
my ($held) = hold(1, 'm1');
my $c = main::waiting($id);
my $task = lock_of($id);

isnt($task, '', 'it has the session');

# longer than a lock that nobody renews lasts
my $began = time;
my $kept = 1;

wait_for(sub {
    $kept = 0 if lock_of($id) ne $task;
    return time - $began > 8;
}, 20);

is($kept, 1, 'all the time');
is(queued(), 1);

my $r = say($id, 'me, too');
is($r->status, 409, 'no other chat can have it');

$held->close;
is_saved($c->reply, $id, 'then');
is(stored($id), 'user:hi:complete|assistant:w0 w1 w2 w3 w4 :complete');
is_free($id, 'afterwards');



=== a chat in a session is stopped by the session's id while it waits
--- upstream eval: $::one
--- test
block_begins();
wait_status(up => 1);

my $id = made();
my ($held) = hold(1, 'm1');
my $c = main::waiting($id);
my $task = lock_of($id);

is_cancelled(cancel($id), 'the session', $task, $id);

my $r = $c->reply;
ok($r->complete, 'a proper end');
like($r->body, qr/"done_reason":"cancelled"/);

wait_queued(0);
is_free($id, 'afterwards');
is(fake_requests()->{count}, 1, 'the server is not asked');
$held->close;

is_saved(say($id, 'again'), $id, 'the next one');



=== a client that leaves while its chat waits gives the session free
--- upstream eval: $::one
--- test
block_begins();
wait_status(up => 1);

my $id = made();
my ($held) = hold(1, 'm1');
my $c = main::waiting($id);

$c->close;
wait_queued(0);
is_free($id, 'afterwards');
$held->close;

is_saved(say($id, 'again'), $id, 'the next one');
