# Guards the promise that no crash loses what was answered as saved: whatever is
# killed in the middle of replies, each message that was answered "saved":true,
# and each that a server was sent, is in its session once and whole; and slots,
# task ids and sessions are free afterwards.
#
# A round begins several chats, kills something at one of the moments below, and
# reads all their sessions back.  OLLAMA_KILL_ROUNDS says how many rounds each
# block has; in 6 of them each of the moments comes once.

use lib 't/lib';

# a binary upgrade needs to know where it is

BEGIN {
    ($ENV{TEST_NGINX_BINARY}) = grep { -x } map { "$_/nginx" }
        split /:/, "$ENV{PATH}:/usr/sbin:/usr/local/sbin:/sbin"
        if !$ENV{TEST_NGINX_BINARY};
}

# its folder is in memory, as each sync takes time

use Test::Nginx::Ollama::Session args => 'timeout=5s', redis => [
    { in => -w '/dev/shm' ? '/dev/shm' : undef },
    '--appendonly', 'yes', '--appendfsync', 'always' ];

use Test::Nginx::Ollama;
use IO::Select;
use IO::Socket::UNIX;
use Cpanel::JSON::XS ();
use JSON::PP;
use List::Util qw(shuffle);
use Test::Nginx::Ollama::Process qw(is_alive kill_all);
use Time::HiRes qw(sleep time);

workers(2);

our $json = Cpanel::JSON::XS->new->utf8->canonical;
our $rounds = $ENV{OLLAMA_KILL_ROUNDS} || 6;


# When it happens: requests have been sent, the server was asked, first frames
# have come, those before the last one, which waits for the save, it waits for a
# Redis that stands still, clients have read "saved":true.  And a bit later.

our @moments = qw(sent asked begun last held saved);


# What happens, and how all is back.  With "safe" all chats are answered and
# saved; "away": they may be told that Redis is not there.  (A Redis that comes
# and goes is asked less and less often; new workers don't know that.)

our %deed = (
    worker => { now => \&kill_worker, back => \&workers_are_back },
    nginx => { now => \&kill_nginx, back => \&start_nginx },
    redis => { now => \&kill_redis, back => \&start_redis, away => 1,
               after => \&reload },
    everysec => { now => \&kill_redis, back => \&start_redis, away => 1,
                  after => \&reload, forgets => 1 },
    both => { now => sub { $redis->kill; kill_nginx() },
              back => sub { start_redis(); start_nginx() }, away => 1 },
    reload => { now => \&send_hup, back => \&workers_are_back, safe => 1 },
    upgrade => { before => \&send_usr2, now => \&send_quit,
                 back => \&old_is_gone, safe => 1, slow => 1 },
);


# Each chat of a round has its own model, and with it a pace.

our @models = map { "k$_" } 0 .. 7;

our $upstream = <<'END';
        zone ollama 1m;
        server 127.0.0.1:$TEST_NGINX_FAKE_PORT max_conns=16 max_fails=0;
        ollama_balance;
        keepalive 8;
END

# All sessions of this file, with what is known of them: id; chats, in order;
# texts, each with its chat and place in that; "open": all has come to its end.

our @sessions;

# the chats that were begun, those that were answered, saved, and so on

our %count;

our (@struck, $old, $turns, $noted);


# With "everysec" Redis may answer a bit before it writes, while a sync goes on:
# then a kill loses what was answered.  A note that is made just before tells.

sub note_down {
    my $to = IO::Socket::UNIX->new(Peer => $redis->path)
        or die "can't connect to Redis: $!\n";

    syswrite $to, "INCR note\r\n";
    ($noted) = <$to> =~ /:(\d+)/ or die "Redis does not take a note\n";
}

sub has_forgotten {
    my $note = $redis->cli('GET', 'note');

    $note =~ /\A\d*\z/ or die "Redis says $note\n";
    return ($note || 0) < $noted;
}


# A worker may not know yet that Redis is back.

sub ask {
    my ($line, $body) = @_;
    my $reply;

    wait_for(sub {
        $reply = eval { http($line, $body) };
        return $reply && $reply->status !~ /\A(?:0|503)\z/;
    }, 20);

    $reply && $reply->status =~ /\A20/
        or die "$line: ", $reply ? $reply->raw : 'no reply', "\n";

    return $reply->json;
}


sub session_made {
    my $id = ask('POST /api/chat/session', {})->{session_id};

    push @sessions, { id => $id, chats => [], texts => {}, open => 1 };
    return $sessions[-1];
}


# As many, each with little history: those of before that can be gone on with.

sub some_sessions {
    my ($n) = @_;

    my @open = grep { $_->{open} && @{ $_->{chats} } < 12 } @sessions;

    splice @open, $n if @open > $n;
    push @open, session_made() while @open < $n;

    return @open;
}


# Random paces; the numbers of frames.  In one piece a request takes 40 ms less
# than by fake_set().

sub set_paces {
    my ($slow) = @_;
    my %frames;

    for my $model (@models) {
        $frames{$model} = 2 + int rand 7;

        my $reply = http('POST /fake/set', {
            model => $model, frames => $frames{$model}, ttft_ms => int rand 20,
            gap_ms => $slow ? 20 + int rand 80 : int rand 15,
            size => rand() < 0.2 ? 60 : 0,
            unicode => rand() < 0.2 ? JSON::PP::true : JSON::PP::false,
        }, -port => fake_port());

        $reply->status == 200 or die 'the fake server: ', $reply->raw, "\n";
    }

    return \%frames;
}


# A chat that is begun: with one new message or some, in one of the forms.

sub begun {
    my ($session, $name, $i, $frames) = @_;

    my $model = $models[$i];
    my $v1 = $i > 1 && rand() < 0.4;
    my $stream = $i < 2 || rand() < 0.7;
    my @texts = map { "$name, $_" } 1 .. (rand() < 0.3 ? 2 : 1);

    my $chat = { session => $session, model => $model, texts => \@texts,
                 task => $name =~ s/\W+/-/gr, i => $i,
                 last => 'w' . ($frames->{$model} - 1) };

    push @{ $session->{chats} }, $chat;
    $session->{texts}{$texts[$_]} = [ $chat, $_ ] for 0 .. $#texts;
    $session->{open} = 0;

    # nginx may have gone
    $chat->{c} = eval { client(timeout => 20) };
    $count{begun}++;

    $chat->{c}->request($v1 ? 'POST /v1/chat/completions' : 'POST /api/chat', {
        model => $model, stream => $stream ? JSON::PP::true : JSON::PP::false,
        messages => [ map { { role => 'user', content => $_ } } @texts ],
        $v1 ? () : (session_id => $session->{id}, task_id => $chat->{task}),
    }, $v1 ? ('X-Ollama-Session-Id' => $session->{id},
              'X-Ollama-Task-Id' => $chat->{task}) : ()) if $chat->{c};

    return $chat;
}


# Reads what comes to these chats until the condition is true.

sub watch {
    my ($chats, $condition, $limit) = @_;
    my $end = time + ($limit // 10);

    until ($condition->()) {
        my %c = map { fileno $_->{socket} => $_ }
                grep { !$_->{end} } map { $_->{c} || () } @$chats;

        %c && time < $end or return 0;

        $c{fileno $_}->read($end)
            for IO::Select->new(map { $_->{socket} } values %c)->can_read(0.1);
    }

    return 1;
}

sub have {
    my ($pattern, @chats) = @_;

    return scalar grep {
        $_->{c} && $_->{c}{raw} =~ ($pattern // qr/$_->{last}\b/)
    } @chats;
}


sub wait_moment {
    my ($moment, $count, @chats) = @_;

    my $n = 1 + int rand 4;
    my $come = 1;

    if ($moment eq 'sent') {
        sleep rand 0.02;

    } elsif ($moment eq 'asked') {
        fake_requests(last => 1, wait_count => $count + $n);

    } elsif ($moment eq 'begun') {
        $come = watch(\@chats, sub { have(qr/w0 /, @chats) >= $n });

    } elsif ($moment eq 'last') {
        $come = watch(\@chats, sub { have(undef, @chats) >= $n });

    } elsif ($moment eq 'saved') {
        $come = watch(\@chats, sub { have(qr/"saved":true/, @chats) >= $n });

    } else {
        # all that comes before the save needs Redis, too
        fake_requests(last => 1, wait_count => $count + 4);
        note_down();
        $redis->freeze;
        $come = watch(\@chats, sub { have(undef, @chats) });
    }

    ok($come, "$moment: it comes to that");
    sleep rand 0.004;

    note_down() if $moment ne 'held';
}


# The deeds

# one or all, also while they shut down

sub kill_worker {
    if (rand() < 0.2) {
        kill HUP => nginx_pid();
        sleep rand 0.1;
    }

    my @pids = shuffle(worker_pids(1));

    splice @pids, 1 if rand() < 0.7;

    kill KILL => @pids;
    $redis->thaw;

    @struck = @pids;
}

sub workers_are_back {
    wait_for(sub { worker_pids() >= 2 && !grep { kill 0 => $_ } @struck }, 20)
        or die "workers are not replaced: @struck\n";

    # what a dying one was woken for is accepted with the next connection only:
    # the kernel has woken nobody else
    ask('GET /api/models/servers');
}


sub kill_nginx {
    kill_all(nginx_pid());
    $redis->thaw;
}

sub start_nginx {
    my $root = $ENV{TEST_NGINX_SERVROOT};

    system("$ENV{TEST_NGINX_BINARY} -e $root/logs/error.log -p $root/"
           . " -c $root/conf/nginx.conf >/dev/null 2>&1") == 0
        or die "nginx does not start again\n";

    wait_for(sub { worker_pids() >= 2 }, 20) or die "nginx has no workers\n";
}


sub kill_redis {
    $redis->kill;
    sleep rand 0.2 if rand() < 0.5;
}

sub start_redis { $redis->revive }

sub start_redis_anew {
    my ($sync) = @_;

    $redis->kill;
    $redis->args('--appendonly', 'yes', '--appendfsync', $sync);
    $redis->revive;
}


sub send_hup {
    @struck = worker_pids(1);

    kill HUP => nginx_pid();
    $redis->thaw;
}


sub send_usr2 {
    $old = nginx_pid();

    kill USR2 => $old;

    wait_for(sub {
        my $pid = eval { nginx_pid() };
        return $pid && $pid != $old && worker_pids() >= 2;
    }, 20) or die "no new nginx after USR2\n";
}

sub send_quit {
    kill QUIT => $old;
    $redis->thaw;
}

sub old_is_gone {
    wait_for(sub { !is_alive($old) }, 20)
        or die "the old nginx does not end after QUIT\n";
}


# What a client has got: its text, and whether it was told that it is saved.

sub listen_to {
    my ($chat) = @_;

    @$chat{qw(status text saved)} = (0, '', undef);
    $chat->{c} or return;

    # a worker that ends may have been woken for its connection: the kernel
    # wakes another one with the next connection only
    for (1 .. 10) {
        last if watch([ $chat ], sub { $chat->{c}{raw} ne '' }, 1);
        last if $chat->{c}{end};
        ask('GET /api/models/servers');
    }

    my $reply = $chat->{c}->reply;

    $chat->{status} = $reply->status;
    $chat->{end} = $reply->end;
    $chat->{c}->close;

    for my $line (map { s/^data: //r } $reply->lines) {
        my $frame = $line =~ /\A\{/ && eval { $json->decode($line) } or next;
        my $choice = $frame->{choices} && $frame->{choices}[0] // {};
        my $said = $frame->{message} || $choice->{delta} || $choice->{message};

        $chat->{text} .= $said->{content} // '' if $said;
        $chat->{saved} = $frame->{saved} if exists $frame->{saved};
        $chat->{error} = $line if $frame->{error};
    }

    $count{answered}++ if $chat->{status} == 200;
    $count{saved}++ if $chat->{saved};
}


# What is wrong with how it was answered.

sub wrong_answer {
    my ($deed, $chat) = @_;
    my $status = $chat->{status};

    # it lost against the other one in its session
    return if $status == 409 && $chat->{i} =~ /[05]/;

    return 'it hangs' if ($chat->{end} // '') eq 'timeout';

    if ($deed->{safe}) {
        return told($chat) if $status != 200;
        return "it ends by $chat->{end}" if $chat->{end} ne 'complete';
        return 'it is not saved' if !$chat->{saved};
        return;
    }

    return if $status == 200 || $status == 0
              || $status == 503 && $deed->{away};

    return told($chat);
}

sub told {
    my ($chat) = @_;
    return "it is answered $chat->{status} " . ($chat->{error} // '');
}


# The session as it can be read, by pages.

sub read_back {
    my ($session, $limit) = @_;
    my (@messages, $after);

    do {
        my $page = ask("GET /api/chat/session/$session->{id}?limit=$limit"
                       . (defined $after ? "&after=$after" : ''));

        push @messages, @{ $page->{messages} };
        $after = $page->{next};
    } while (defined $after);

    return @messages;
}


# What is wrong with it: each message has one place, behind those of the chats
# before, and a reply is behind its question.

sub wrong_order {
    my ($session, @messages) = @_;
    my ($chat, $next, $n, $turn, %reply, %had) = (undef, 0, 0, 0);

    for my $m (@messages) {
        my ($id) = $m->{id} =~ /\A(\d+)-0\z/ or return "id $m->{id}";

        return "$id comes after $n" if $id <= $n;
        $n = $id;

        if ($m->{role} eq 'assistant') {
            return "$id is a reply to nothing" if !$chat || $next
                                                  || $reply{$chat};
            $reply{$chat} = $m;
            next;
        }

        my $place = $session->{texts}{$m->{content}}
            or return "$id is nobody's: $m->{content}";

        return "$id is there twice: $m->{content}" if $had{$m->{content}}++;
        return "$id is not what comes next" if $place->[1] != $next;
        return "$id is another chat's" if $next && $place->[0] != $chat;

        $chat = $place->[0];
        $next = ($next + 1) % @{ $chat->{texts} };

        return "$id is of a chat before" if $chat->{turn} < $turn;
        $turn = $chat->{turn};
    }

    return 'the last ones are missing' if $next;

    return map { wrong_chat($_, $had{$_->{texts}[0]}, $reply{$_}) }
           @{ $session->{chats} };
}


sub wrong_chat {
    my ($chat, $had, $reply) = @_;
    my $what = "\"$chat->{texts}[0]\"";

    return "$what was asked, but is missing"
        if !$had && ($chat->{status} == 200 || $chat->{asked});
    return "$what was refused, but is there" if $had && $chat->{status} == 409;

    if (!$reply) {
        return "$what was saved, but its reply is missing" if $chat->{saved};
        return;
    }

    return "$what has a reply of $reply->{model}"
        if ($reply->{model} // '') ne $chat->{model};

    if ($chat->{saved}) {
        return "$what was answered \"$chat->{text}\", but it is "
               . "\"$reply->{content}\"" if $reply->{content} ne $chat->{text};
        return "$what was saved, but it is $reply->{status}"
            if $reply->{status} ne ($chat->{stopped} ? 'cancelled' : 'complete')
               && !($chat->{maybe} && $reply->{status} eq 'cancelled');
        return;
    }

    # what nobody was told of is at least what was said
    my $n = length $chat->{text} < length $reply->{content}
            ? length $chat->{text} : length $reply->{content};

    return "$what was answered \"$chat->{text}\", but \"$reply->{content}\" "
           . 'is stored'
        if substr($chat->{text}, 0, $n) ne substr($reply->{content}, 0, $n);

    return;
}


# Which of these the server was asked with, by the last message in its record.

sub see_asked {
    my ($count, @chats) = @_;

    my $record = fake_requests(last => 1, wait_active => 0);
    my $n = $record->{count} - $count or return;
    my %chat = map { $_->{texts}[-1] => $_ } @chats;

    for my $request (@{ fake_requests(last => $n)->{requests} }) {
        my $body = eval { JSON::PP->new->decode($request->{body}) } or next;
        my $chat = $chat{ $body->{messages}[-1]{content} } or next;

        $chat->{asked} = 1;
        $count{asked}++;
    }
}


sub ask_to_stop {
    my ($chat) = @_;

    my $c = eval { client(timeout => 20) } or return;

    $chat->{stopping} = $c->request("POST /api/chat/cancel/$chat->{task}", '');
    $chat->{maybe} = 1;
}


sub stop_told {
    my ($chat) = @_;

    my $c = $chat->{stopping} or return;
    my $reply = $c->reply;

    if ($reply->status == 200) {
        $chat->{stopped} = 1;
        $count{stopped}++;
    }

    $c->close;
}


sub round {
    my ($what, $moment, $n) = @_;

    my $deed = $deed{$what};
    my $frames = set_paces($deed->{slow});
    my $count = fake_requests(last => 1)->{count};
    my $name = "$what $n";

    @struck = ();

    # two in one session: one of them has it
    my @in = some_sessions(6);
    my @chats = map { begun($in[$_ == 5 ? 0 : $_], "$name.$_", $_, $frames) }
                0 .. 5;

    if (rand() < 0.5 && $deed->{before}) {
        $deed->{before}->();
        wait_moment($moment, $count, @chats);

    } else {
        wait_moment($moment, $count, @chats);
        $deed->{before}->() if $deed->{before};
    }

    ask_to_stop($chats[1]) if rand() < 0.5;

    $deed->{now}->();

    # and some while it happens
    push @chats, map { begun($in[5], "$name.$_", $_, $frames) } 6;

    if (!$deed->{safe}) {
        $deed->{back}->();
    }

    $turns++;
    $_->{turn} = $turns for @chats;
    listen_to($_) for @chats;
    stop_told($chats[1]);
    $deed->{back}->() if $deed->{safe};

    see_asked($count, @chats);
    come_to_its_end($deed, "$name, $what, $moment", @chats);

    $deed->{after}->() if $deed->{after};
}


sub come_to_its_end {
    my ($deed, $name, @chats) = @_;

    my @wrong = map {
        my $chat = $_;
        map { "\"$chat->{texts}[0]\": $_" } wrong_answer($deed, $chat)
    } @chats;

    my %session = map { $_->{session}{id} => $_->{session} } @chats;

    for my $session (values %session) {
        my @messages = read_back($session, 1 + int rand 4);
        my @found = wrong_order($session, @messages);

        push @wrong, map { "session $session->{id}: $_\n"
                           . $json->encode(\@messages) } @found;

        # of which all is known
        $session->{open} = !@found && !grep {
            !$_->{saved} && $_->{status} != 409
        } @{ $session->{chats} };
    }

    my @busy;
    wait_for(sub {
        @busy = grep { $_->{in_flight} } servers();
        return !@busy;
    }, 10);

    push @wrong, map { "nginx counts $_->{in_flight} requests" } @busy;

    # names of tasks are free, as soon as Redis knows of the death
    for my $chat (@chats) {
        next if $chat->{status} && $chat->{end} eq 'complete';

        my $status;

        wait_for(sub {
            $status = http('POST /api/chat', {
                model => 'k7', task_id => $chat->{task},
                messages => [ { role => 'user', content => 'a' } ],
            })->status;
            return $status != 409;
        }, 2);

        push @wrong, "task $chat->{task}: $status" if $status != 200;
        $count{broken}++;
    }

    is(join("\n", @wrong), '', "$name: all as it should be")
        or diag($json->encode([ map {
            my %chat = %$_;
            delete @chat{qw(c session stopping)};
            \%chat;
        } @chats ]));
}


sub rounds {
    my ($what) = @_;

    %count = ();

    round($what, $moments[$_ % @moments], $_) for 1 .. $rounds;

    Test::More::note("$what: ", join ', ', "$rounds rounds",
         map { "$_ $count{$_}" } sort keys %count);

    ok($count{saved}, "$what: there is something to lose");
    cmp_ok($count{forgotten} // 0, '<', $rounds, "$what: Redis remembers");
}


# All sessions that this file has had are there, whoever died meanwhile, and go
# on, as soon as nobody has them.

our $patience = 30;

sub go_on {
    my @left = @sessions;
    my @wrong;

    %count = (sessions => scalar @sessions);
    push @wrong, go_on_with(splice @left, 0, 12) while @left;

    Test::More::note(join ', ', map { "$_ $count{$_}" } sort keys %count);

    is(join("\n", @wrong), '', 'all go on');
}


sub go_on_with {
    my (@some) = @_;
    my @wrong;

    my @had = map { [ read_back($_, 1000) ] } @some;
    my $count = fake_requests(last => 1)->{count};

    for my $session (@some) {
        wait_for(sub {
            my $page = ask("GET /api/chat/session/$session->{id}?limit=1");
            return !defined $page->{active_task};
        }, $patience) or push @wrong, "session $session->{id} is still busy";

        # one is enough
        $patience = 0.1 if @wrong;
    }

    my @chats = map { begun($_, "end $_->{id}", 7, { k7 => 5 }) } @some;

    $turns++;
    $_->{turn} = $turns for @chats;
    listen_to($_) for @chats;

    my $n = fake_requests(last => 1)->{count} - $count;
    my $requests = fake_requests(last => $n)->{requests};

    $count{sent} += $n;

    my %sent = map {
        my $texts = texts(@{ JSON::PP->new->decode($_->{body})->{messages} });
        ($texts->[-1] => $texts);
    } @$requests;

    for my $i (0 .. $#chats) {
        my $chat = $chats[$i];
        my @now = read_back($some[$i], 1000);
        my $sent = $sent{ $chat->{texts}[-1] } // [];
        my @expected = (@{ texts(@{ $had[$i] }) }, @{ $chat->{texts} });

        push @wrong, map { "session $some[$i]{id}: $_" }
            wrong_answer({ safe => 1 }, $chat), wrong_order($some[$i], @now);
        push @wrong, "session $some[$i]{id}: the server is sent "
                     . $json->encode($sent) . ' instead of '
                     . $json->encode(\@expected)
            if join("\0", @$sent) ne join("\0", @expected);
    }

    return @wrong;
}

sub texts { return [ map { $_->{content} } @_ ] }


add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('upstream', $upstream);
    $block->set_value('fake', $json->encode(
        { server => { models => [ map { { name => $_ } } @models ] } }));
});

no_shuffle();
run_tests();

__DATA__

=== killed workers lose no message that was answered as saved
--- test
main::rounds('worker');
--- error_log
exited on signal 9
[alert]



=== a killed nginx loses no message that was answered as saved
--- test
main::rounds('nginx');



=== a killed Redis with appendfsync always loses no saved message
--- test
main::rounds('redis');
--- error_log
redis



=== a killed Redis with appendfsync everysec: every session stays sound
--- test
main::start_redis_anew('everysec');
main::rounds('everysec');
--- error_log
redis



=== Redis and nginx killed together lose no saved message
--- test
main::start_redis_anew('always');
main::rounds('both');
--- no_error_log
[alert]



=== a reload fails no chat and loses no message
--- test
main::rounds('reload');



=== a binary upgrade fails no chat and loses no message
--- test
main::rounds('upgrade');



=== every session of the tests above can be continued
--- test
main::go_on();
