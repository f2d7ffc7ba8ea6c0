package Test::Nginx::Ollama::Gateway;

# Another nginx with the module, beside the one of a test's block: a gateway
# that shares servers and Redis with it.
#
#     my $other = Test::Nginx::Ollama::Gateway->start(
#         redis => "unix:$path", location => "ollama_session_owner ...;");
#
#     http("POST /api/chat", {...}, -port => $other->port);
#     $other->quit                 # gracefully; what is wrong in its log
#     $other->kill                 # all of its processes, by SIGKILL
#
# "workers" is 1 if it isn't given, "servers" those of the fakes.

use strict;
use warnings;

use File::Path ();
use File::Temp qw(tempdir);
use POSIX ();

use Test::Nginx::Ollama ();
use Test::Nginx::Ollama::Process qw(kill_all);


sub start {
    my ($class, %args) = @_;

    my $dir = tempdir('gateway-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, owner => $$, %args }, $class;

    $self->{servers} //= join ' ', map {
        'server 127.0.0.1:' . Test::Nginx::Ollama::fake_port($_) . ';'
    } 1 .. Test::Nginx::Ollama::fake_count();

    $self->{workers} //= 1;

    for my $try (1 .. 50) {
        $self->{port} = 10_000 + int rand 20_000;
        $self->write;

        return $self if $self->run;
    }

    die "the other gateway does not start:\n", $self->error_lines;
}


sub write {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $user = $> == 0 ? 'user nobody nogroup;' : '';

    my $locations = join '', map {
        Test::Nginx::Ollama::location($_, $self->{location})
    } '/api/', '/v1/';

    Test::Nginx::Ollama::write_file("$dir/nginx.conf", <<"END");
load_module $ENV{OLLAMA_MODULE};
$user
worker_processes $self->{workers};
pid $dir/nginx.pid;
error_log $dir/error.log info;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    ollama_redis $self->{redis};
    upstream ollama { zone ollama 1m; $self->{servers} ollama_balance; }
    server { listen 127.0.0.1:$self->{port}; $locations }
}
END

    my $params = Test::Nginx::Ollama::read_file(
                     Test::Nginx::Ollama::conf_dir() . '/ollama_params');
    Test::Nginx::Ollama::write_file("$dir/ollama_params", $params);
}


# Whether it listens: the port may be taken.

sub run {
    my ($self) = @_;

    unlink "$self->{dir}/nginx.pid";

    defined(my $pid = fork) or die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$self->{dir}/out";
        open STDERR, '>&', \*STDOUT;
        exec $ENV{TEST_NGINX_BINARY} || 'nginx', '-p', "$self->{dir}/",
             '-e', "$self->{dir}/error.log", '-g', 'daemon off;',
             '-c', "$self->{dir}/nginx.conf" or POSIX::_exit(127);
    }

    $self->{pid} = $pid;

    # it writes this file when it has its port
    Test::Nginx::Ollama::wait_for(sub {
        waitpid($pid, POSIX::WNOHANG()) || -s "$self->{dir}/nginx.pid"
    }, 10);

    return 1 if Test::Nginx::Ollama::is_alive($pid);

    delete $self->{pid};
    return 0;
}


sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }


sub worker_pids {
    my ($self) = @_;

    return Test::Nginx::Ollama::Process::children($self->{pid});
}


sub error_lines {
    my ($self) = @_;

    open my $in, '<', "$self->{dir}/error.log" or return ();
    return <$in>;
}


sub quit {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;
    my @wrong;

    CORE::kill QUIT => $pid;

    if (!Test::Nginx::Ollama::wait_for(
            sub { waitpid($pid, POSIX::WNOHANG()) }, 10))
    {
        push @wrong, "the other gateway did not end when asked to\n";
        kill_all($pid);
        waitpid $pid, 0;
    }

    return @wrong, grep { /\[(?:alert|crit|emerg)\]|Sanitizer|on signal/ }
                   $self->error_lines;
}


sub kill {
    my ($self) = @_;

    $self->{pid} or return;

    my $pid = delete $self->{pid};

    local $?;

    kill_all($pid);
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    $self->{owner} == $$ or return;

    local $?;
    $self->kill;
    File::Path::remove_tree($self->{dir});
}

1;
