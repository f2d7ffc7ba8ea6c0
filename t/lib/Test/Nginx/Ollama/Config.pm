package Test::Nginx::Ollama::Config;

# For tests of what "nginx -t" says to a configuration.
#
#     check_config("ollama_forbid a;")    to this line in a location with all
#                                         that is needed
#     check_config($line, $upstream, $http)
#                                         and with these lines in "upstream
#                                         ollama", and more of http; '' if
#                                         nginx says nothing
#     check_upstream($lines, $http)       to an upstream of a server and these
#                                         lines

use strict;
use warnings;

use Exporter qw(import);

use Test::Nginx::Ollama ();

our @EXPORT = qw(check_config check_upstream);


sub check_config {
    my ($line, $upstream, $http) = @_;

    $line //= '';
    $upstream //= 'server 127.0.0.1:1;';
    $http //= '';

    my $file = Test::Nginx::Ollama::conf_dir() . '/check.conf';

    Test::Nginx::Ollama::write_file($file, <<"END");
load_module $ENV{OLLAMA_MODULE};
error_log stderr;
pid logs/check.pid;
events { }
http {
    access_log off;
    client_body_temp_path client_body_temp;
    proxy_temp_path proxy_temp;
    fastcgi_temp_path fastcgi_temp;
    uwsgi_temp_path uwsgi_temp;
    scgi_temp_path scgi_temp;
    $http
    upstream ollama {
        $upstream
    }
    server {
        listen 127.0.0.1:$ENV{TEST_NGINX_FREE_PORT};
        location /api/ {
            ollama_api ollama;
            proxy_pass http://ollama;
            include ollama_params;
            $line
        }
    }
}
END

    my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
    my $root = $ENV{TEST_NGINX_SERVER_ROOT};

    return `$nginx -t -q -p $root -e stderr -c $file 2>&1`;
}


sub check_upstream {
    my ($lines, $http) = @_;

    return check_config('', "server 127.0.0.1:1; $lines", $http);
}

1;
