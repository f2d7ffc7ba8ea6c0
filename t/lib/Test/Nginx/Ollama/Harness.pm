package Test::Nginx::Ollama::Harness;

# What "prove" runs with in t/run (by HARNESS_SUBCLASS): adds its counts, as
# "PASSED FAILED SKIPPED", to the file OLLAMA_COUNTS.

use strict;
use warnings;

use parent qw(TAP::Harness);


sub summary {
    my ($self, $aggregate, @rest) = @_;

    my $failed = $aggregate->failed;
    my $skipped = $aggregate->skipped;
    my $passed = $aggregate->passed - $skipped;

    for my $parser ($aggregate->parsers) {
        # a file may end badly, or early, without a test that failed
        $failed++ if $parser->has_problems && !$parser->failed;

        # a whole file
        $skipped++ if $parser->skip_all;
    }

    open my $to, '>>', $ENV{OLLAMA_COUNTS} or die "$ENV{OLLAMA_COUNTS}: $!\n";
    print $to "$passed $failed $skipped\n";
    close $to;

    return $self->SUPER::summary($aggregate, @rest);
}

1;
