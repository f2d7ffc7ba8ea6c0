package Test::Nginx::Ollama::Line;

# The line between nginx and a Redis (Test::Nginx::Ollama::Redis), which may be
# slow, or cut, while Redis itself can be asked.
#
#     my $line = Test::Nginx::Ollama::Line->start($redis);
#
#     $line->path                 # a unix socket, in place of Redis's own
#     $line->hold('text')         # when that is sent all stand still, and from
#                                 # there on: what is sent arrives later, even
#                                 # if its sender has gone
#     $line->catch('text')        # only the connection on which it was
#     $line->held                 # whether the text has come
#     $line->trickle(1000, 0.05)  # each way 1000 bytes at most pass every
#                                 # 0.05 s
#     $line->trickle(1000, 0.05, 50_000)
#                                 # and nothing more when as many have passed
#     $line->cut                  # all connections end, what is held is lost,
#                                 # and nobody gets another one
#     $line->mend                 # all goes on
#
# A text is found only where it comes in one piece with what is around it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep time);


sub start {
    my ($class, $redis) = @_;

    my $dir = tempdir('line-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, to => $redis->path, owner => $$ }, $class;

    my $listen = IO::Socket::UNIX->new(Local => $self->path, Listen => 64)
        or die "can't listen: $!\n";
    chmod 0777, $self->path;

    defined(my $pid = fork) or die "fork: $!\n";

    if ($pid == 0) {
        $SIG{PIPE} = 'IGNORE';
        $self->run($listen) while getppid == $self->{owner};
        POSIX::_exit(0);
    }

    $self->{pid} = $pid;

    return $self;
}


sub path { return "$_[0]{dir}/sock" }

sub held { return -e "$_[0]{dir}/held" }

sub hold  { $_[0]->stop_at("all $_[1]") }
sub catch { $_[0]->stop_at("one $_[1]") }

sub stop_at {
    my ($self, $text) = @_;

    $self->mend;
    $self->tell(hold => $text);
}

sub trickle {
    my ($self, @numbers) = @_;

    $self->mend;
    $self->tell(trickle => "@numbers");
    $self->wait_for(sub { -e "$self->{dir}/trickles" });
}

sub tell {
    my ($self, $name, $text) = @_;

    open my $to, '>', "$self->{dir}/new" or die "$self->{dir}: $!\n";
    print $to $text;
    close $to;
    rename "$self->{dir}/new", "$self->{dir}/$name" or die "$!\n";
}

sub cut {
    my ($self) = @_;

    open my $to, '>', "$self->{dir}/cut" or die "$self->{dir}: $!\n";
    close $to;
    $self->wait_for(sub { !-e "$self->{dir}/open" });
}

sub mend {
    my ($self) = @_;

    unlink map { "$self->{dir}/$_" } 'hold', 'cut', 'trickle';
    $self->wait_for(sub { !$self->held && !-e "$self->{dir}/trickles" });
}

sub wait_for {
    my ($self, $condition) = @_;

    my $end = time + 10;

    until ($condition->()) {
        die "the line doesn't do what it is told\n" if time > $end;
        sleep 0.005;
    }
}


# Of the process that is the line: a turn of its loop.  A pair is a client and
# its connection to Redis.

sub run {
    my ($self, $listen) = @_;

    my $pairs = $self->{pairs} //= [];
    my $cut = -e "$self->{dir}/cut";
    my ($who, $text);

    if (open my $in, '<', "$self->{dir}/hold") {
        local $/;
        ($who, $text) = split / /, <$in>, 2;
    }

    @$pairs = () if $cut;
    $self->{held} = undef if !defined $text || $cut;

    # size, pause, and how much at all
    my @trickle;

    if (open my $in, '<', "$self->{dir}/trickle") {
        @trickle = split / /, <$in>;
    }

    for my $pair (@$pairs) {

        if (@trickle) {
            $self->pass_some($pair, @trickle);
            next;
        }

        delete @$pair{qw(due redis_passed client_passed)};

        $self->{held} //= $pair
            if defined $text && index($pair->{in}, $text) >= 0;

        $self->pass($pair)
            if !$self->{held} || ($who eq 'one' && $self->{held} != $pair);
    }

    @$pairs = grep { !$_->{done} } @$pairs;

    mark("$self->{dir}/held", defined $self->{held});
    mark("$self->{dir}/open", scalar @$pairs);
    mark("$self->{dir}/trickles", scalar @trickle);

    my $select = IO::Select->new($listen);

    for my $pair (@trickle ? () : @$pairs) {
        $select->add($pair->{redis});
        $select->add($pair->{client}) if !$pair->{gone};
    }

    for my $socket ($select->can_read(0.005)) {

        if ($socket == $listen) {
            my $client = $listen->accept or next;
            my $redis = IO::Socket::UNIX->new(Peer => $self->{to});
            push @$pairs, { client => $client, redis => $redis, in => '' }
                if $redis && !$cut;
            next;
        }

        my ($pair) = grep { $_->{client} == $socket
                            || $_->{redis} == $socket } @$pairs;

        if ($socket == $pair->{redis}) {
            sysread $socket, my $said, 1 << 16 or $pair->{done} = 1;
            write_all($pair->{client}, $said) if !$pair->{gone};
            next;
        }

        sysread $socket, $pair->{in}, 1 << 16, length $pair->{in}
            or $pair->{gone} = 1;
    }
}


sub pass {
    my ($self, $pair) = @_;

    write_all($pair->{redis}, $pair->{in});
    $pair->{in} = '';

    # Redis answers the last command, and sees that nobody is there
    shutdown $pair->{redis}, 1 if $pair->{gone};
}


# The rest waits in the sockets, so who sends it has to wait, too.

sub pass_some {
    my ($self, $pair, $size, $pause, $most) = @_;

    return if time < ($pair->{due} // 0);
    $pair->{due} = time + $pause;

    $self->pass($pair) if length $pair->{in};

    for my $from ('client', 'redis') {
        next if $from eq 'client' && $pair->{gone};

        my $passed = \$pair->{"${from}_passed"};
        my $n = $size;

        $$passed //= 0;
        $n = $most - $$passed if defined $most && $n > $most - $$passed;

        next if $n <= 0 || !IO::Select->new($pair->{$from})->can_read(0);

        if (!sysread $pair->{$from}, my $bytes, $n) {
            $pair->{$from eq 'client' ? 'gone' : 'done'} = 1;
            shutdown $pair->{redis}, 1 if $from eq 'client';

        } else {
            $$passed += length $bytes;
            write_all($pair->{$from eq 'client' ? 'redis' : 'client'}, $bytes)
                if $from eq 'client' || !$pair->{gone};
        }
    }
}


sub write_all {
    my ($socket, $bytes) = @_;
    my $at = 0;

    while ($at < length $bytes) {
        my $n = syswrite $socket, $bytes, 1 << 16, $at;
        $at += $n // return;
    }
}


sub mark {
    my ($file, $is) = @_;

    return unlink $file if !$is;

    open my $to, '>', $file or die "$file: $!\n";
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    local $?;

    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
