package Test::Nginx::Ollama::Fake;

# A stand-in server (t/fake) that ends with the test, and its control requests.
#
#     my $fake = Test::Nginx::Ollama::Fake->start(1);
#     ... ->start(2, address => '::1');       # listens there
#     ... ->start(3, unix => '/path');        # there, too
#
#     $fake->freeze;      # the process stands still, the kernel goes on
#     $fake->thaw;
#     $fake->kill;        # gone, with its connections
#     $fake->revive;      # thawed, or started anew at the same ports

use strict;
use warnings;

use Cpanel::JSON::XS qw(decode_json encode_json);
use HTTP::Tiny;
use IPC::Open2;


sub start {
    my ($class, $n, %option) = @_;

    my $self = bless { n => $n, port => 0, control => 0,
                       address => '127.0.0.1', %option,
                       http => HTTP::Tiny->new(timeout => 60) }, $class;

    $self->run or die "server $n did not start\n";

    return $self;
}


sub run {
    my ($self) = @_;

    # the program ends when its standard input does
    my $pid = open2(my $out, my $in, $ENV{OLLAMA_FAKE}, '-x',
                    '-a', $self->{address}, '-p', $self->{port},
                    '-c', $self->{control}, '-n', "fake$self->{n}",
                    $self->{unix} ? ('-u', $self->{unix}) : ());

    @$self{qw(pid in out frozen)} = ($pid, $in, $out, 0);

    my $line = <$out> // '';

    $line =~ /listening on \S+:(\d+) control on \S+:(\d+)/ or return 0;
    @$self{qw(port control)} = ($1, $2);

    return 1;
}


sub n    { return $_[0]{n} }
sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }


sub ask {
    my ($self, $method, $path, $content) = @_;

    my $host = $self->{address} =~ /:/ ? "[$self->{address}]"
               : $self->{address} eq '0.0.0.0' ? '127.0.0.1'
               : $self->{address};

    my $url = "http://$host:$self->{control}$path";
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

    # it comes at once, if the machine is not very busy
    $args{timeout_ms} //= 10_000;

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


sub freeze {
    my ($self) = @_;

    CORE::kill STOP => $self->{pid};
    $self->{frozen} = 1;
}


sub thaw {
    my ($self) = @_;

    CORE::kill CONT => $self->{pid} if $self->{frozen};
    $self->{frozen} = 0;
}


sub kill {
    my ($self) = @_;

    return if !$self->{pid};

    CORE::kill KILL => $self->{pid};
    $self->stop;
}


# the port may be in use by a connection that goes out

sub revive {
    my ($self) = @_;

    return $self->thaw if $self->{pid};

    for my $try (1 .. 50) {
        return if $self->run;
        $self->stop;
        select undef, undef, undef, 0.1;
    }

    die "server $self->{n} can't start again\n";
}


sub stop {
    my ($self) = @_;

    return if !$self->{pid};

    $self->thaw;

    local $?;

    close $self->{in};
    close $self->{out};
    waitpid delete $self->{pid}, 0;
}

1;
