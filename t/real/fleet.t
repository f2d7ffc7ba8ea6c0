#!/usr/bin/perl

# Two real servers, each with a model of its own: chats go where their model
# lives, the lists and the diagnostics show it, and one server may be stopped,
# frozen and started again under load.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX ();
use Real;
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'OLLAMA_REAL_PLAIN: plain nginx knows no models' if plain();

my @dir = map { Real::models($_) } 'smollm2:135m', 'other:latest';
my @ollama = map { Real::ollama(OLLAMA_MODELS => $_) } @dir;
my $nginx = Real::nginx($ollama[0], upstream => <<"EOF");
        server 127.0.0.1:$ollama[1]{port};
        zone ollama 1m;
        ollama_balance;
        ollama_poll interval=500ms timeout=2s;
EOF

my @url = map { "http://127.0.0.1:$_->{port}" } @ollama;


sub chat {
    my ($model, $more) = @_;

    return qq({"model":"$model","messages":[{"role":"user",)
           . qq("content":"Why is the sky blue?"}],"options":{"temperature":0,)
           . qq("seed":1,"num_predict":8}) . ($more // '') . '}';
}

sub ask { $nginx->post('/api/chat', chat(@_)) }
sub get { decode($nginx->get($_[0])->{body}) }
sub servers { @{ get('/api/models/servers')->{servers} } }

sub become {
    my ($n, $status) = @_;

    ok(wait_for(30, sub { (servers())[$n]{status} eq $status }),
       "server $n is $status");
}

sub is_answered {
    my ($answer, $title) = @_;

    ok($answer->{status} == 200 && $answer->{complete}
       && $answer->{body} =~ /"done":true/, $title)
        or diag("$answer->{status} $answer->{body}");
}

# how many chats the server was asked

sub asked {
    my $n = () = slurp($_[0]{log}) =~ m{POST +"/api/chat"}g;
    return $n;
}


become($_, 'up') for 0, 1;


# where they live

{
    my @before = map { asked($_) } @ollama;

    for my $model ('smollm2:135m', 'SmolLM2:135M', 'other', 'other:latest',
                   'registry.ollama.ai/library/Other')
    {
        my $n = $model =~ /other/i ? 1 : 0;

        for (1 .. 3) {
            my $answer = ask($model);
            is_answered($answer, $model);
            is($answer->{headers}{'x-ollama-server'},
               "127.0.0.1:$ollama[$n]{port}", 'from its server');
        }
    }

    is(asked($ollama[0]) - $before[0], 6, 'six chats here');
    is(asked($ollama[1]) - $before[1], 9, 'nine there');
    is(ask('nope')->{status}, 404, 'a model of nobody');
    is(ask('smollm2')->{status}, 404, 'nor another tag');
}


# the lists and the diagnostics

{
    my @names = map { join ' ', sort map { $_->{name} } @{ $_->{models} } }
                servers();
    is("@names", 'smollm2:135m other:latest', 'who has what');

    is(join(' ', sort map { $_->{name} } @{ get('/api/tags')->{models} }),
       'other:latest smollm2:135m', 'all of them');

    ok(wait_for(20, sub {
        'other:latest smollm2:135m'
            eq join ' ', sort map { $_->{name} } @{ get('/api/ps')->{models} };
    }), 'both are loaded');

    is($nginx->get('/api/version')->{body},
       $ollama[0]->get('/api/version')->{body}, 'the version');

    for my $url (@url) {
        my $check = get("/api/models/server/check?server_url=$url");

        ok($check->{ok}, "$url is fine");
        is(join(' ', map { $_->{step} } @{ $check->{steps} }),
           'connect version tags ps', 'by these steps');
    }
}


# a server is named

is_answered(ask('other', qq(,"server_url":"$url[1]/v1")), 'the right server');
is(ask('other', qq(,"server_url":"$url[0]"))->{status}, 404, 'the wrong one');
is(ask('other', ',"server_url":"http://127.0.0.1:9"')->{status}, 404,
   'one that is none');


# "ollama cp" gives the other server the first one's model

{
    my $copy = $ollama[1]->post('/api/copy',
                   '{"source":"other:latest","destination":"smollm2:135m"}');
    is($copy->{status}, 200, 'copied');
    ok(wait_for(20, sub { @{ (servers())[1]{models} } == 2 }), 'it is seen');
}


# so many chats, a few at a time, and something in the middle of them

sub load {
    my ($n, $middle) = @_;
    my (@open, @done);

    for (1 .. $n) {
        push @open, $nginx->begin(POST => '/api/chat', chat('smollm2:135m'));
        push @done, (shift @open)->rest if @open > 3;
        $middle->() if $middle && $_ == int($n / 2);
    }

    return (@done, map { $_->rest } @open);
}

# all, but for those whose answer had begun; how many these are

sub are_answered {
    my ($title, @answers) = @_;

    my @cut = grep { !$_->{complete} } @answers;
    my @bad = grep { ($_->{status} // 0) != 200 } @answers;
    my @mute = grep { $_->{body} !~ /"content":.*\n\{"error":"[^\n]*"\}\n\z/s }
               @cut;

    is(scalar @bad, 0, "$title: all are answered")
        or diag(map { ($_->{status} // 'no status') . " $_->{body}\n" } @bad);
    is(scalar @mute, 0, 'what was cut had begun, and says so');

    return scalar @cut;
}


# one is killed, and started again

{
    my $port = $ollama[0]{port};

    are_answered('killed', load(12, sub { Real::killed($ollama[0]) }));
    become(0, 'down');
    is((servers())[0]{error}, 'connection refused', 'why');
    is(are_answered('without it', load(4)), 0, 'none is cut');

    $ollama[0] = Real::ollama(OLLAMA_MODELS => $dir[0], port => $port);
    become(0, 'up');
    is_answered(ask('smollm2:135m', qq(,"server_url":"$url[0]")), 'it is back');
}


# one is frozen: who waits there for a first byte is answered by the other

for my $round (1, 2) {
    are_answered("frozen $round", load(10, sub {
        kill STOP => $ollama[0]{pid};
        sleep 0.1;

        # who has its first byte waits for the rest
        my $pid = fork // die "fork: $!";

        if ($pid == 0) {
            sleep 6;
            kill CONT => $ollama[0]{pid};
            POSIX::_exit(0);
        }
    }));

    become(0, 'up');
}


# both are gone and come back: never "not found"

{
    my @port = map { $_->{port} } @ollama;
    my @statuses;

    Real::killed($_) for @ollama;
    push @statuses, ask('other')->{status} for 1 .. 10;
    @ollama = map { Real::ollama(OLLAMA_MODELS => $dir[$_],
                                 port => $port[$_]) } 0, 1;

    ok(wait_for(30, sub {
        my $answer = ask('other');
        push @statuses, $answer->{status};
        return $answer->{status} == 200;
    }), 'answered again');

    is(join(' ', grep { !/\A(?:200|50[23])\z/ } @statuses), '',
       'nothing else meanwhile');
}

is(join(' ', map { $_->{in_flight} } servers()), '0 0', 'all places are free');

Real::end(join '|', 'Connection refused', 'prematurely closed',
                    'reset by peer', 'no live upstreams', 'broke off',
                    'timed out', 'ollama server');
done_testing();
