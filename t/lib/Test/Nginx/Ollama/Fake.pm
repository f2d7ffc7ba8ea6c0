package Test::Nginx::Ollama::Fake;

# A stand-in server (t/fake) that ends with the test, and its control requests.

use strict;
use warnings;

use HTTP::Tiny;
use IPC::Open2;
use JSON::PP;


sub start {
    my ($class, $n) = @_;

    # the program ends when its standard input does
    my $pid = open2(my $out, my $in, $ENV{OLLAMA_FAKE}, '-x', '-p', 0, '-c', 0,
                    '-n', "fake$n");

    my $line = <$out>;

    defined $line
        && $line =~ /listening on [\d.]+:(\d+) control on [\d.]+:(\d+)/
        or die "server $n did not start\n";

    return bless { n => $n, pid => $pid, in => $in, out => $out, port => $1,
                   control => $2, http => HTTP::Tiny->new(timeout => 15) },
                 $class;
}


sub n    { return $_[0]{n} }
sub port { return $_[0]{port} }


sub ask {
    my ($self, $method, $path, $content) = @_;

    my $url = "http://127.0.0.1:$self->{control}$path";
    my $reply = $self->{http}->request($method, $url, { content => $content });

    $reply->{success} or die "server $self->{n}, $method $path: "
                             . "$reply->{status} $reply->{content}\n";

    return decode_json($reply->{content});
}


# set({ model => "m1", frames => 3 }), or the same as JSON

sub set {
    my ($self, $settings) = @_;

    $settings = encode_json($settings) if ref $settings;

    return $self->ask(POST => '/fake/set', $settings);
}


sub reset {
    my ($self) = @_;

    return $self->ask(POST => '/fake/reset', '');
}


# soft: gives what there is if the conditions don't come true

sub requests {
    my ($self, %args) = @_;

    my $soft = delete $args{soft};

    my $query = join '&', map {
        my $value = $args{$_};
        $value =~ s/([^A-Za-z0-9_.\/-])/sprintf '%%%02X', ord $1/ge;
        "$_=$value";
    } sort keys %args;

    my $record = $self->ask(GET => "/fake/requests?$query");

    if ($record->{timed_out} && !$soft) {
        die "server $self->{n}: waited in vain for $query, it has count="
            . "$record->{count} ended=$record->{ended} open=$record->{open}\n";
    }

    return $record;
}


sub asked {
    my ($self, %args) = @_;

    return map { ($_->{method} // '?') . ' ' . ($_->{uri} // '?') }
           @{ $self->requests(%args)->{requests} };
}


sub stop {
    my ($self) = @_;

    return if !$self->{pid};

    local $?;

    close $self->{in};
    close $self->{out};
    waitpid delete $self->{pid}, 0;
}

1;
