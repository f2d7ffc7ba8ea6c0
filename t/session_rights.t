# Guards the Redis user that README names: it has the rights for all that the
# gateway does, and none that it does not use.

use lib 't/lib';

our @user;

BEGIN {
    open my $in, '<', 'README.md' or die "README.md: $!\n";
    my $readme = do { local $/; <$in> };

    $readme =~ /^    user (gateway on >secret (?:.+\n)+)/m
        or die "README.md has no user\n";
    @user = split ' ', $1;
}

use Test::Nginx::Ollama::Session redis => [ '--user', @user ],
    args => 'db=1 user=gateway password=secret', balanced => 1, qw(:all);
use Test::Nginx::Ollama;
use Test::Nginx::Ollama::Gateway;
use Test::Nginx::Ollama::Stop;
use JSON::PP;
use Time::HiRes qw(sleep time);

sub is_ok {
    my ($reply, $title) = @_;

    like($reply->status, qr/\A2/, $title) or diag($reply->raw);
    return $reply;
}

# How often a command was executed; the tests ask for nothing that is granted.

sub used {
    my ($command) = @_;

    return $main::redis->cli('INFO', 'commandstats')
           =~ /^cmdstat_\Q$command\E:calls=(\d+)/m ? $1 : 0;
}


add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', <<'END') if !defined $block->config;
    location /api/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
    }
    location /v1/ {
        ollama_api ollama;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
        ollama_session_ttl 0;
    }
    location /ever/api/ {
        ollama_api ollama prefix=/ever;
        proxy_pass http://ollama;
        include ollama_params;
        ollama_session_owner $http_x_owner;
        ollama_session_ttl 0;
    }
END
});

no_shuffle();
run_tests();

__DATA__

=== the rights in README are those that are needed
--- test
my @ann = ('X-Owner' => 'ann');

empty_redis();

wait_for(sub { http('GET /api/chat/session/0', undef, @ann)->status == 404 },
         15) or die "nginx does not find Redis\n";

my $other = Test::Nginx::Ollama::Gateway->start(
    redis => 'unix:' . $main::redis->path
             . ' db=1 user=gateway password=secret',
    location => 'ollama_session_owner $http_x_owner;');

wait_for(sub { http('GET /api/chat/session/0', undef, @ann,
                    -port => $other->port)->status == 404 }, 15)
    or die "the other gateway does not find Redis\n";

for my $at ('', '/ever') {
    my $create = "POST $at/api/chat/session";
    my $id = is_ok(http($create, { title => 'T', model => 'm1' }, @ann),
                   "$at - created")->json->{session_id};
    my $path = "$at/api/chat/session/$id";

    is_ok(http("PATCH $path", { title => undef, system => 's' }, @ann),
          'changed');
    like(http("POST $at/api/chat", body($id, {}, 'a'), @ann)->body,
         qr/"saved":true/, 'a chat');
    like(http("POST $at/api/chat", body($id, {}, 'x' x 70_000), @ann)->body,
         qr/"saved":true/, 'a large one');
    is_ok(http("GET $path", undef, @ann), 'read');
    is_ok(http("GET $path?before=end", undef, @ann), 'read backwards');
    is_ok(http("GET $at/api/chat/sessions", undef, @ann), 'listed');
    is_ok(http("GET $at/api/chat/sessions?id=$id", undef, @ann), 'named');

    my $copy = is_ok(http($create, { copy_of => $id, before => '2-0' }, @ann),
                     'copied')->json->{session_id};
    is_ok(http($create, { messages => [ user('a') ] }, @ann), 'imported');

    my $reply = http("POST $at/api/chat/multi-model",
                     { models => [ 'm1', 'm1' ], initial_message => 'hi',
                       max_turns => 2, session_id => $copy }, @ann);
    like($reply->body, qr/"done_reason":"max_turns".*"saved":true/,
         'a conversation');

    # what a server refuses is withdrawn
    fake_set(model => 'm1', status => 400, error => 'no');
    is(http("POST $at/api/chat", body($id, {}, 'b'), @ann)->status, 400,
       'refused');
    fake_set(model => 'm1', status => undef, error => undef);
    ok(wait_for(sub { @{ http("GET $path", undef, @ann)
                         ->json->{messages} } == 4 }), 'withdrawn');

    # a stop at the other gateway, while the lock is renewed
    fake_set(model => 'm1', fault => 'stall', after => 2);
    my $c = client(timeout => 20);
    $c->request("POST $at/api/chat", body($id, {}, 'c'), @ann);
    $c->read_until(qr/"w1 "/);
    fake_set(model => 'm1', fault => undef);
    sleep 2.5;
    is_ok(http("POST /api/chat/cancel/$id", '', @ann,
               -port => $other->port), 'stopped');
    like($c->reply->body, qr/"cancelled"/, 'it is stopped');

    is_ok(http("DELETE $path/messages?from=3-0", undef, @ann), 'deleted');

    # one that has expired is removed from the list
    $main::redis->cli('-n', 1, 'UNLINK', "ollama:{$copy}:meta");
    is_ok(http("GET $at/api/chat/sessions", undef, @ann), 'listed');
    is_ok(http("DELETE $path", undef, @ann), 'all deleted');
}

is($main::redis->cli('ACL', 'LOG'), '', 'nothing was denied');

for my $right (map { /^\+(\w+)\z/ } @main::user) {
    cmp_ok(used($right), '>', 0, "$right is used");
}

is(join(' ', grep { /^\+/ && !/^\+\w+\z/ } @main::user), '',
   'no group of commands is granted');
is(join('', $other->quit), '', 'the other gateway ended well');
