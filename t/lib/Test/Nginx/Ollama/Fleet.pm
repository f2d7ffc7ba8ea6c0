package Test::Nginx::Ollama::Fleet;

# For tests of several servers behind ollama_balance.
#
#     $often, $once       lines for "upstream": probes so often that a test sees
#                         what changes, or so seldom that it doesn't
#     @say                messages, for a body
#     %bodies             a body without its model, by the endpoint it is for
#
#     chat(model)         the request, for http()
#     servers_with(lines, more, more2 ...)
#                         "upstream" of these stand-ins, each with "more" after
#                         its address
#     queue_of(args, upstream)
#                         the same with these arguments of ollama_balance
#     set_models(1, m1 => 1, m2 => 0)
#                         what a stand-in has; 1: it is loaded
#     wait_models(1, "m1+ m2")
#                         until the gateway has seen this; "+": it is loaded
#     count_of(1, replies)
#                         how many came from it
#     are_good(title, replies)
#                         each is a whole chat
#     hold(n, model)      so many chats that stay where they are, as a list of
#                         clients: each has its first frame, and no more comes
#     held_by(clients)    where, as "1 2"
#     in_flight()         how many nginx counts at each server, as "1 1"
#     queued()            how many wait for a place
#     wait_queued(n)      until so many do; dies if they don't

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();
use Test::More;

use Test::Nginx::Ollama ();

our @EXPORT = qw($often $once @say %bodies chat servers_with queue_of
                 set_models wait_models count_of are_good hold held_by
                 in_flight queued wait_queued);

BEGIN {
    no strict 'refs';
    *$_ = \&{"Test::Nginx::Ollama::$_"}
        for qw(client fake_count fake_set http server servers wait_for
               servers_of);
}

our $often = "        ollama_poll interval=200ms timeout=10s;\n";
our $once = "        ollama_poll interval=1h timeout=10s;\n";

our @say = (messages => [ { role => 'user', content => 'hi' } ]);

our %bodies = (
    '/api/chat' => { @say },
    '/api/generate' => { prompt => 'hi' },
    '/api/embed' => { input => 'hi' },
    '/api/embeddings' => { prompt => 'hi' },
    '/api/show' => {},
    '/v1/chat/completions' => { @say },
    '/v1/completions' => { prompt => 'hi' },
    '/v1/embeddings' => { input => 'hi' },
    '/v1/responses' => { input => 'hi' },
    '/v1/messages' => { @say, max_tokens => 9 },
);


sub chat { return ('POST /api/chat', { model => $_[0], @say }) }


sub servers_with {
    my ($more, @lines) = @_;
    my $n = 0;

    my $upstream = join '', map {
        my $name = 'TEST_NGINX_FAKE' . (++$n > 1 ? $n : '') . '_PORT';
        "        server 127.0.0.1:\$$name $_;\n";
    } @lines;

    return "        zone ollama 1m;\n$upstream        ollama_balance;\n$more"
           . "        keepalive 8;\n";
}


sub queue_of {
    my ($args, $upstream) = @_;

    $upstream =~ s/ollama_balance;/ollama_balance $args;/;

    return $upstream;
}


sub set_models {
    my ($fake, @models) = @_;
    my @list;

    while (my ($name, $loaded) = splice @models, 0, 2) {
        push @list, { name => $name,
                      loaded => $loaded ? JSON::PP::true : JSON::PP::false };
    }

    fake_set(fake => $fake, server => { models => \@list });
}


sub wait_models {
    my ($fake, $expected) = @_;
    my $seen = '';

    wait_for(sub {
        $seen = join ' ', sort map {
            (my $name = $_->{name}) =~ s/:latest\z//;
            $name . ($_->{loaded} ? '+' : '')
        } @{ server($fake)->{models} };
        return $seen eq $expected;
    }, 20);

    is($seen, $expected, "what is known of server $fake");
}


sub count_of {
    my ($fake, @replies) = @_;
    return scalar grep { servers_of($_) eq $fake } @replies;
}


sub are_good {
    my ($title, @replies) = @_;

    my @bad = grep { $_->status != 200 || !$_->complete
                     || $_->body !~ /"done":true/ } @replies;

    is(scalar @bad, 0, "$title: all are answered")
        or diag(map { $_->status . ' ' . $_->body . "\n" } @bad);
}


sub hold {
    my ($n, $model) = @_;
    my @held;

    fake_set(fake => $_, model => "*", fault => "stall", after => 1)
        for 1 .. fake_count();

    # one after the other, so that nginx knows of each before the next
    for (1 .. $n) {
        my $c = client(timeout => 20);
        $c->request(chat($model));
        $c->read_until(qr/"w0 "/) or die "nothing came: $c->{raw}\n";
        push @held, $c;
    }

    fake_set(fake => $_, model => '*', fault => undef) for 1 .. fake_count();

    return @held;
}


sub held_by {
    my (@held) = @_;
    return servers_of(map { $_->parsed } @held);
}


sub in_flight {
    return join ' ', map { $_->{in_flight} } servers();
}


sub queued { return http('GET /api/models/servers')->json->{queued} }


sub wait_queued {
    my ($n) = @_;
    my $queued;

    wait_for(sub { ($queued = queued()) == $n }, 20)
        or die "$queued requests wait, not $n\n";
}

1;
