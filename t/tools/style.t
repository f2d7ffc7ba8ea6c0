# Guards the form of the sources and the structure of src/, as t/style knows it.

use strict;
use warnings;

use Test::More tests => 1;

my $wrong = `t/style 2>&1`;

is($wrong, '', 't/style has nothing to say')
    or diag("run t/style, docs/architecture.md says why");
