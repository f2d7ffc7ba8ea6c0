package Test::Nginx::Ollama::Probe;

# Has nginx load a module of t/probe, which gives a test's requests to a part of
# the module under test that has no endpoint of its own.
#
#     use Test::Nginx::Ollama::Probe 'redis';     # before Test::Nginx::Ollama

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);


sub import {
    my ($class, $name) = @_;

    my $build = $ENV{BUILD} || 'release';
    my $root = abs_path(dirname(__FILE__) . '/../../../../..');
    my $file = ($ENV{BUILD_DIR} || "$root/build/$build")
               . "/probe/ngx_http_ollama_${name}_probe_module.so";

    -f $file or die "there is no $file, \"make probe\" builds it\n";

    $ENV{TEST_NGINX_LOAD_MODULES} = $file;
}

1;
