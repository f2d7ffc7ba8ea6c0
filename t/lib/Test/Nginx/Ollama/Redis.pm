package Test::Nginx::Ollama::Redis;

# A Redis (or Valkey) of a test's own, that ends with it and keeps nothing,
# unless it is told to.
#
#     my $redis = Test::Nginx::Ollama::Redis->start('--requirepass', 'secret');
#     ... ->start({ in => '/dev/shm' }, '--appendonly', 'yes');
#                                         # has its folder there
#
#     $redis->path, $redis->port          # its unix socket; 127.0.0.1 and ::1
#     $redis->cli('SET', 'a', 1)          # what redis-cli prints; as the
#                                         # superuser, whatever the password
#     $redis->freeze; $redis->thaw        # the process stands still
#     $redis->kill                        # by SIGKILL
#     $redis->revive                      # thawed, or started anew: empty, or
#                                         # with what was appended
#     $redis->args('--appendfsync', ...)  # instead of those it was started
#                                         # with, from its next start on

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);


# the port is below those that connections go out from

sub start {
    my ($class, @args) = @_;

    my $option = ref $args[0] ? shift @args : {};
    my $dir = tempdir('redis-XXXXXX', CLEANUP => 1,
                      $option->{in} ? (DIR => $option->{in}) : (TMPDIR => 1));
    chmod 0755, $dir;

    my $self = bless { dir => $dir, args => \@args, owner => $$ }, $class;

    for my $try (1 .. 50) {
        $self->{port} = 10_000 + int rand 20_000;

        IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                              LocalPort => $self->{port})
            or next;

        return $self if $self->run;
        $self->stop;
    }

    die "Redis did not start, see $dir/log\n";
}


sub run {
    my ($self) = @_;

    my ($server) = grep { -x } map { ("$_/redis-server", "$_/valkey-server") }
                   split /:/, $ENV{PATH};

    $server or die "there is no redis-server and no valkey-server\n";

    defined(my $pid = fork) or die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;

        exec $server, '--dir', $self->{dir}, '--save', '', '--appendonly',
             'no', '--bind', '127.0.0.1', '-::1', '--port', $self->{port},
             '--unixsocket', $self->path, '--unixsocketperm', '777',
             '--enable-debug-command', 'local',
             '--user', qw(super on +@all ~* &* >super), @{ $self->{args} }
            or POSIX::_exit(127);
    }

    $self->{pid} = $pid;

    my $end = time + 10;

    while (time < $end && waitpid($pid, POSIX::WNOHANG()) == 0) {
        return 1 if $self->cli('PING') =~ /PONG/;
        sleep 0.02;
    }

    return 0;
}


sub args {
    my ($self, @args) = @_;
    $self->{args} = \@args;
}


sub path { return "$_[0]{dir}/sock" }
sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }


sub cli {
    my ($self, @command) = @_;

    my ($cli) = grep { -x } map { ("$_/redis-cli", "$_/valkey-cli") }
                split /:/, $ENV{PATH};

    $cli or die "there is no redis-cli and no valkey-cli\n";

    defined(my $pid = open my $pipe, '-|') or die "fork: $!\n";

    if ($pid == 0) {
        # it may be that there is no server
        open STDERR, '>', '/dev/null';

        exec $cli, '-s', $self->path, '--no-auth-warning', '--user', 'super',
             '--pass', 'super', @command
            or POSIX::_exit(127);
    }

    my $said = do { local $/; <$pipe> } // '';

    local $?;
    close $pipe;
    chomp $said;

    return $said;
}


sub freeze { CORE::kill STOP => $_[0]{pid} }
sub thaw   { CORE::kill CONT => $_[0]{pid} if $_[0]{pid} }


sub kill {
    my ($self) = @_;

    $self->{pid} or return;

    local $?;

    CORE::kill KILL => $self->{pid};
    waitpid delete $self->{pid}, 0;
}


# the port may be in use by a connection that goes out

sub revive {
    my ($self) = @_;

    return $self->thaw if $self->{pid};

    for my $try (1 .. 50) {
        return if $self->run;
        $self->stop;
        sleep 0.1;
    }

    die "Redis can't start again\n";
}


sub stop { $_[0]->kill }

sub DESTROY { $_[0]->stop if $_[0]{owner} == $$ }

1;
