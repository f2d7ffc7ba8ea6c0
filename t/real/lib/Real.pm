package Real;

# A real Ollama, an nginx in front of it, and a client that notes how an answer
# arrives.
#
#     my $ollama = Real::ollama();
#     my $nginx = Real::nginx($ollama);
#
#     my $answer = $nginx->post('/api/chat', '{...}');
#     same('a title', POST => '/api/chat', '{...}');
#
# Both end with the test.  At that moment nginx's error log must be clean.
#
# The environment's variables are in README.md.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib dirname(__FILE__) . '/../../lib';
use Test::Nginx::Ollama::Process qw(kill_all);

our @EXPORT = qw(same bare decode wait_for slurp plain);

my $here = abs_path(dirname(__FILE__) . '/..');
my $project = abs_path("$here/../..");

# what stands for conf/ollama_params where nginx is tried without the module
my $plain_params = <<'EOF';
proxy_http_version  1.1;
proxy_set_header    Connection "";
proxy_set_header    Host localhost;
proxy_set_header    Origin "";
proxy_buffering     off;
proxy_read_timeout  600s;
EOF

my @running;


# plain(): is this the control experiment, nginx without the module?

sub plain { ($ENV{OLLAMA_REAL_PLAIN} || '') eq 'yes' }


# ollama(NAME => VALUE...): starts a server; the pairs are Ollama's variables,
# and "port", of a server that has ended

sub ollama {
    my %env = @_;
    my $port = delete $env{port} // 0;
    my $dir = File::Temp->newdir('real-ollama-XXXXXX', TMPDIR => 1);
    my $log = "$dir/log";

    my $pid = open my $out, '-|', "$here/serve", $port, $log,
                   map { "$_=$env{$_}" } sort keys %env
        or BAIL_OUT("cannot run $here/serve: $!");
    my $self = bless {
        what => 'ollama', pid => $pid, dir => $dir, log => $log, out => $out
    }, 'Real::Server';
    my $url;

    push @running, $self;       # from here on it is ended, whatever happens

    $url = <$out>;

    if (!defined $url) {
        diag(slurp($log));
        BAIL_OUT('the real Ollama does not start');
    }

    ($self->{port}) = $url =~ /:(\d+)$/;
    return $self;
}


# nginx($ollama, key => text...): starts nginx in front of it; "upstream" is
# more for that block, "http" for that one, "location" for each location

sub nginx {
    my ($ollama, %more) = @_;
    my $dir = File::Temp->newdir('real-nginx-XXXXXX', TMPDIR => 1);
    my $binary = $ENV{TEST_NGINX_BINARY}
        || (grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}),
            '/usr/sbin')[0]
        || BAIL_OUT('no nginx: set TEST_NGINX_BINARY');
    my $port = free_port();
    my $params = "$project/conf/ollama_params";
    my ($load, $api) = ('', '');

    $more{upstream} //= $ENV{OLLAMA_REAL_UPSTREAM};
    $more{$_} //= '' for qw(upstream http location);

    if (plain()) {
        $params = "$dir/params";
        spew($params, $plain_params);
        spew("$dir/variables", map { "set \$ollama_$_ -;\n" }
                                   qw(model outcome));

    } else {
        -f ($ENV{OLLAMA_MODULE} || '')
            or BAIL_OUT('set OLLAMA_MODULE to ngx_http_ollama_module.so');
        -f $params or BAIL_OUT("$params is missing");

        $load = "load_module $ENV{OLLAMA_MODULE};";
        $api = 'ollama_api ollama;';
        spew("$dir/variables", '');
    }

    my $location = "{ $api proxy_pass http://ollama; include $params;"
                   . " $more{location} }";

    # workers of a root's nginx are nobody, and spool bodies here
    chmod 0755, $dir;
    mkdir "$dir/logs";
    spew("$dir/nginx.conf", <<"EOF");
daemon off;
pid logs/pid;
error_log logs/error.log info;
worker_processes 2;
$load

events { worker_connections 256; }

http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    log_format real escape=json '{"row":"\$http_x_row","status":"\$status",'
        '"upstream":"\$upstream_addr","model":"\$ollama_model",'
        '"outcome":"\$ollama_outcome"}';
    access_log logs/access.log real;

    $more{http}

    upstream ollama {
        server 127.0.0.1:$ollama->{port};
        $more{upstream}
        keepalive 8;
    }

    server {
        listen 127.0.0.1:$port;
        include variables;

        location /api/ $location
        location /v1/ $location
        location = / $location
    }
}
EOF

    my $log = "$dir/logs/error.log";
    my $pid = fork() // BAIL_OUT("fork: $!");

    if ($pid == 0) {
        open STDERR, '>', "$dir/stderr";
        exec('setpriv', '--pdeathsig', 'TERM', $binary, '-p', "$dir/",
             '-c', "$dir/nginx.conf", '-e', $log)
            or POSIX::_exit(127);
    }

    my $self = bless {
        what => 'nginx', pid => $pid, dir => $dir, log => $log, port => $port
    }, 'Real::Server';

    push @running, $self;

    # it writes this file when it has its port
    my $ended;
    wait_for(20, sub {
        $ended = waitpid($pid, POSIX::WNOHANG()) == $pid;
        return $ended || -s "$dir/logs/pid";
    });

    if ($ended || !-s "$dir/logs/pid") {
        diag(slurp("$dir/stderr"), slurp($log));
        BAIL_OUT('nginx does not start');
    }

    return $self;
}


# same(title, method, path, body): what comes through nginx is what comes from
# the server, but for times and random names; returns both answers

sub same {
    my ($title, $method, $path, $body) = @_;
    my ($ollama) = grep { $_->{what} eq 'ollama' } @running;
    my ($nginx) = grep { $_->{what} eq 'nginx' } @running;
    my ($direct, $through);

    # The first one loads the model and fills the prompt's cache: a prompt that
    # is evaluated may end in other last digits than one that is remembered.
    $ollama->ask($method, $path, $body);
    $direct = $ollama->ask($method, $path, $body);
    $through = $nginx->ask($method, $path, $body);

    subtest $title => sub {
        is($through->{status}, $direct->{status}, 'status');
        is($through->{headers}{'content-type'},
           $direct->{headers}{'content-type'}, 'content type');
        same_text(bare($through->{body}), bare($direct->{body}), 'body');
        ok($through->{complete}, 'properly ended') or diag($through->{error});
    };

    return ($direct, $through);
}


# same_text(got, expected, title): as is(), but shows only where they differ

sub same_text {
    my ($got, $expected, $title) = @_;
    my $common = ($got ^ $expected) =~ /^(\0+)/ ? length $1 : 0;
    my $from = $common < 60 ? 0 : $common - 60;

    ok($got eq $expected, $title)
        or diag("at $common\n     got: ", substr($got, $from, 300),
                "\nexpected: ", substr($expected, $from, 300));
}


# bare(text): an answer's text without what differs from one to the next

sub bare {
    my ($text) = @_;

    for ($text) {
        s/"(created_at|expires_at)":"[^"]*"/"$1":"…"/g;
        s/"(created|created_at|completed_at|\w+_duration)":\d+/"$1":…/g;
        s/"(\w*id)":"(chatcmpl|cmpl|resp|msg|req)[-_][0-9a-f]+"/"$1":"…"/g;

        # Ollama shows a model's parameters in any order
        s/(?:PARAMETER )?num_thread +1\\n|\\nnum_thread +1(?=")//g;
    }

    return $text;
}


sub decode { JSON::PP->new->utf8->decode($_[0]) }


# wait_for(seconds, condition): its value, as soon as it is true

sub wait_for {
    my ($seconds, $condition) = @_;
    my $end = time() + $seconds;
    my $value;

    until ($value = $condition->()) {
        return undef if time() > $end;
        sleep(0.02);
    }

    return $value;
}


# below those that connections go out from

sub free_port {
    for (1 .. 50) {
        my $port = 10_000 + int rand 22_000;

        IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                              LocalPort => $port)
            and return $port;
    }

    BAIL_OUT('no free port');
}


sub slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}


sub spew {
    my ($file, @text) = @_;

    open my $out, '>', $file or BAIL_OUT("$file: $!");
    print $out @text;
    close $out;
}


# models(name...): a folder for OLLAMA_MODELS that has only these

sub models {
    my $all = `$here/setup` =~ s/\s+\z//r . '/models';
    my $dir = File::Temp->newdir('real-models-XXXXXX', TMPDIR => 1);
    my $library = 'manifests/registry.ollama.ai/library';

    system('mkdir', '-p', "$dir/$library") == 0
        && symlink("$all/blobs", "$dir/blobs") or BAIL_OUT("$dir: $!");

    for (@_) {
        my ($name, $tag) = split /:/;

        mkdir "$dir/$library/$name";
        spew("$dir/$library/$name/$tag", slurp("$all/$library/$name/$tag"));
    }

    return $dir;
}


# killed($server): by KILL, with nginx's workers or Ollama's engines, whose ids
# are returned

sub killed {
    my ($server) = @_;
    my @children = kill_all($server->{pid});

    waitpid $server->{pid}, 0;
    @running = grep { $_ != $server } @running;

    return @children;
}


# end(pattern): stops what was started, and reads nginx's log, where only lines
# that match may be errors; called by a test as its last step

sub end {
    my ($expected) = @_;

    while (my $server = pop @running) {
        my $pid = $server->{pid};

        kill TERM => $pid;
        ok(wait_for(20, sub { waitpid($pid, POSIX::WNOHANG()) != 0 }),
           "$server->{what} ends") or kill_all($pid);

        next if $server->{what} ne 'nginx';

        my @bad = grep { !defined $expected || !/$expected/ }
                  grep { /\[(error|crit|alert|emerg)\]|exited on signal/
                         || /Sanitizer|runtime error/ }
                  split /^/, slurp($server->{log})
                             . slurp("$server->{dir}/stderr");
        is(join('', @bad), '', 'a clean error log');
    }
}


END {
    local $?;

    for my $server (reverse @running) {
        my $pid = $server->{pid};

        # one may stand still
        kill $_ => $pid for qw(TERM CONT);
        wait_for(20, sub { waitpid($pid, POSIX::WNOHANG()) != 0 })
            or kill_all($pid);
    }
}


package Real::Server;

use Test::More;
use Time::HiRes ();


sub get { $_[0]->ask(GET => $_[1]) }
sub post { $_[0]->ask(POST => @_[1 .. $#_]) }


# ask(method, path, body, option => ...): sends, and reads the whole answer

sub ask { shift->begin(@_)->rest }


# begin(method, path, body, option => ...): sends; "headers" are more of those

sub begin {
    my ($self, $method, $path, $body, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}")
        or BAIL_OUT("no connection to $self->{what}: $!");
    my @headers = ('Host: localhost', 'Connection: close',
                   @{ $option{headers} || [] });

    if (defined $body) {
        push @headers, 'Content-Type: application/json',
                       'Content-Length: ' . length $body;
    }

    $socket->syswrite(join("\r\n", "$method $path HTTP/1.1", @headers, '', '')
                      . ($body // ''));

    return bless {
        socket => $socket, method => $method, raw => '', body => '',
        complete => 0, reads => 0, error => ''
    }, 'Real::Answer';
}


# work(): the processor time that the server's engine has used, in ticks.  Tells
# how much was generated without looking at a clock.

sub work {
    my ($self) = @_;
    my $ticks = 0;

    for my $file (glob '/proc/[0-9]*/stat') {
        my @field = split ' ', Real::slurp($file) =~ s/^.*\)//sr;

        $ticks += $field[11] + $field[12]
            if @field && $field[1] == $self->{pid};
    }

    return $ticks;
}


# log_of(row): the line that nginx logged for the request with that X-Row

sub log_of {
    my ($self, $row) = @_;

    # a line that is being written has no end yet
    return Real::wait_for(10, sub {
        my ($line) = grep { /"row":"\Q$row\E".*\n/ }
                     split /^/, Real::slurp("$self->{dir}/logs/access.log");
        $line && (eval { Real::decode($line) }
                  || JSON::PP->new->latin1->decode($line));
    });
}


package Real::Answer;

# An answer as it arrives.  "body" is what has come of it, without the transfer
# coding; "complete", that it ended as HTTP says it must.


# rest(): reads to the end, and closes: nginx would wait for that before it logs

sub rest {
    my ($self) = @_;

    while ($self->more) { }

    close $self->{socket};
    return $self;
}


# until_match(pattern): reads until the body matches

sub until_match {
    my ($self, $pattern) = @_;

    while ($self->{body} !~ $pattern) {
        return 0 unless $self->more;
    }

    return 1;
}


# more(): one read; false at the end

sub more {
    my ($self) = @_;
    my $n;

    return 0 if $self->{complete};

    if (!IO::Select->new($self->{socket})->can_read(120)) {
        $self->{error} = 'timed out';
        return 0;
    }

    $n = sysread $self->{socket}, $self->{raw}, 65536, length $self->{raw};

    if (!$n) {
        $self->{complete} = 1 if $self->{until_close};
        $self->{error} = 'closed early' unless $self->{complete};
        return 0;
    }

    $self->{reads}++;
    $self->parse;

    return !$self->{complete};
}


sub parse {
    my ($self) = @_;
    my $head;

    if (!$self->{status}) {
        $self->{raw} =~ s/^(.*?)\r\n\r\n//s or return;
        $head = $1;
        $head =~ s{^HTTP/1\.1 (\d+).*?(?:\r\n|$)}{} or die "no HTTP: $head";
        $self->{status} = $1;
        $self->{headers}{lc $1} = $2 while $head =~ /^([^:]+): *(.*?)\r?$/mg;

        if ($self->{method} eq 'HEAD' || $self->{status} == 204) {
            $self->{complete} = 1;
        }
    }

    if (($self->{headers}{'transfer-encoding'} || '') eq 'chunked') {
        while ($self->{raw} =~ /^([0-9a-fA-F]+)\r\n/) {
            my ($size, $skip) = (hex $1, length $&);

            last if length $self->{raw} < $skip + $size + 2;
            $self->{body} .= substr $self->{raw}, $skip, $size;
            substr $self->{raw}, 0, $skip + $size + 2, '';
            $self->{complete} = 1 if $size == 0;
        }

    } else {
        $self->{body} .= $self->{raw};
        $self->{raw} = '';

        if (!defined $self->{headers}{'content-length'}) {
            $self->{until_close} = 1;

        } elsif (length $self->{body} >= $self->{headers}{'content-length'}) {
            $self->{complete} = 1;
        }
    }
}


# go(): the client goes away

sub go { close $_[0]{socket} }


1;
