package Test::Nginx::Ollama::Session;

# For tests of chats in sessions: a Redis of the test's own, a configuration
# that uses it, and what such tests ask of a session.
#
#     use Test::Nginx::Ollama::Session qw(made is_saved);
#     use Test::Nginx::Ollama::Session line => 1, qw(:all);
#     use Test::Nginx::Ollama;
#
# Names are functions to import, ":all" is all of them.  Options:
#
#     line => 1         nginx may also reach Redis by a line that can be cut,
#                       see Test::Nginx::Ollama::Line
#     redis => [...]    how Redis is started, see Test::Nginx::Ollama::Redis
#     args => '...'     further parameters of ollama_redis
#     balanced => 1     "upstream" has ollama_balance, too
#
# In configurations: $TEST_NGINX_REDIS_PATH, and of the line
# $TEST_NGINX_LINE_PATH.  A block without http_config has "ollama_redis" with
# the first of them.
#
#     $redis, $line           are always there
#
#     empty_redis()           Redis is there, empty, and the line mended
#     block_begins()          ... and nginx, with the location /api/, has found
#                             it: what each block begins with
#     made(fields, header...) the id of a new session, with these fields
#     session(id, header...)  what GET says of it, with all of its messages
#     stored(id, header...)   its messages, as "user:hi:complete|m1:...", each
#                             with its role, or who takes part in a conversation
#     lock_of(id)             the task that has it, '' for none
#     is_free(id, title, seconds)
#                             checks that soon none has it; by default sooner
#                             than a lock ends by itself
#     user(text)              a message
#     body(id, fields, message ...)
#                             of a chat, with messages or what a user says
#     chat(path, id, fields, message ...)
#                             the same as a request, with line, body and, under
#                             /v1, headers for the fields of the gateway
#     say(id, message ...)    sends it: the reply
#     marked(reply)           the frames that tell of the session
#     mark_of(reply, title)   checks that there is one of them: that
#     is_saved(reply, id, title, saved)
#                             checks a whole reply in a session: the last frame,
#                             and no other, says that it is saved (or, if
#                             "saved" is 0, that it is not); returns that frame

use strict;
use warnings;

use Carp ();
use JSON::PP ();
use Test::More;

use Test::Nginx::Ollama::Line;
use Test::Nginx::Ollama::Redis;

our @FUNCTIONS = qw(empty_redis block_begins made session stored lock_of is_free
                    user body chat say marked mark_of is_saved);
our ($redis, $line);

my $json = JSON::PP->new->utf8;
my %header = (session_id => 'X-Ollama-Session-Id',
              task_id => 'X-Ollama-Task-Id');
my %option = (line => 0, redis => [], args => '', balanced => 0);

my $balanced = <<'END';
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT;
        ollama_balance;
        keepalive 4;
END


sub import {
    my ($class, @args) = @_;
    my %wanted;

    while (@args) {
        my $name = shift @args;

        if (exists $option{$name}) {
            $option{$name} = shift @args;
            next;
        }

        my @names = $name eq ':all' ? @FUNCTIONS
                                    : grep { $_ eq $name } @FUNCTIONS;

        @names or Carp::croak("\"$name\" is neither a function nor an option");
        @wanted{@names} = ();
    }

    $redis = Test::Nginx::Ollama::Redis->start(@{ $option{redis} });
    $ENV{TEST_NGINX_REDIS_PATH} = $redis->path;

    if ($option{line}) {
        $line = Test::Nginx::Ollama::Line->start($redis);
        $ENV{TEST_NGINX_LINE_PATH} = $line->path;
    }

    # only now: the process of the line must not have its END blocks and
    # handlers of signals
    require Test::Nginx::Ollama;
    Test::Nginx::Util::add_block_preprocessor(\&prepare_block);

    my $caller = caller;

    no strict 'refs';
    *{"${caller}::redis"} = \$redis;
    *{"${caller}::line"} = \$line;
    *{"${caller}::$_"} = \&$_ for keys %wanted;
}


# It runs before that of Test::Nginx::Ollama.

sub prepare_block {
    my ($block) = @_;

    my $args = $option{args} && " $option{args}";

    $block->set_value('http_config',
                      "    ollama_redis unix:\$TEST_NGINX_REDIS_PATH$args;\n")
        if !defined $block->http_config;

    $block->set_value('upstream', $balanced)
        if $option{balanced} && !defined $block->upstream;
}


sub http     { return Test::Nginx::Ollama::http(@_) }
sub wait_for { return Test::Nginx::Ollama::wait_for(@_) }


sub empty_redis {
    $line->mend if $line;
    $redis->revive;
    $redis->cli('FLUSHALL');
}


# nginx may have come before Redis

sub block_begins {
    empty_redis();

    wait_for(sub { http('GET /api/chat/session/0')->status != 503 }, 15)
        or die "nginx does not find Redis\n";
}


sub made {
    my ($fields, @headers) = @_;

    my $reply = http('POST /api/chat/session', $fields // {}, @headers);

    is($reply->status, 201, 'made');
    return $reply->json->{session_id};
}


sub session {
    my ($id, @headers) = @_;
    return http("GET /api/chat/session/$id?limit=1000", undef, @headers)->json;
}


sub stored {
    my ($id, @headers) = @_;

    return join '|', map { ($_->{participant} // $_->{role})
                           . ":$_->{content}:$_->{status}" }
                     @{ session($id, @headers)->{messages} };
}


sub lock_of { return $redis->cli('GET', "ollama:{$_[0]}:task") }


# NGX_HTTP_OLLAMA_LOCK_TIME is 6 s

sub is_free {
    my ($id, $title, $seconds) = @_;

    ok(wait_for(sub { lock_of($id) eq '' }, $seconds || 5),
       "$title - the session is free");
}


sub user { return { role => 'user', content => "$_[0]" } }


sub body {
    my ($id, $fields, @messages) = @_;

    return { model => 'm1', session_id => $id, %{ $fields // {} },
             messages => [ map { ref ? $_ : user($_) } @messages ] };
}


sub chat {
    my ($path, @args) = @_;
    my $body = body(@args);
    my @headers;

    if ($path =~ m{\A/v1/}) {
        for (grep { exists $body->{$_} } sort keys %header) {
            push @headers, $header{$_}, delete $body->{$_};
        }
    }

    return ("POST $path", $body, @headers);
}


sub say {
    my ($id, @messages) = @_;
    return http('POST /api/chat', body($id, {}, @messages));
}


sub marked {
    my ($reply) = @_;

    return map { $json->decode($_) } grep { /"session_id"/ }
           map { s/^data: //r } $reply->lines;
}


sub mark_of {
    my ($reply, $title) = @_;

    my @frames = marked($reply);

    is(scalar @frames, 1, "$title - one frame tells of the session")
        or diag($reply->raw);

    return $frames[0] // {};
}


sub is_saved {
    my ($reply, $id, $title, $saved) = @_;

    $saved //= 1;

    my $frame = mark_of($reply, $title);

    is($reply->status, 200, "$title - status");
    ok($reply->complete, "$title - a proper end");
    is($frame->{session_id}, $id, "$title - whose");
    is($frame->{saved}, $saved ? JSON::PP::true : JSON::PP::false,
       "$title - saved: $saved");
    ok($frame->{done} || ($frame->{choices}
                          && $frame->{choices}[0]{finish_reason}),
       "$title - in the last frame");

    return $frame;
}

1;
