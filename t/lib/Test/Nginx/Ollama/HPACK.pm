package Test::Nginx::Ollama::HPACK;

# Reads a block of HTTP/2 header lines (RFC 7541), as nginx writes them for a
# client that asked for no table of its own: names of the static table or
# spelled out, values plain or in Huffman's code.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(headers_of);

my @static = (undef, qw(
    :authority :method :method :path :path :scheme :scheme :status :status
    :status :status :status :status :status accept-charset accept-encoding
    accept-language accept-ranges accept access-control-allow-origin age allow
    authorization cache-control content-disposition content-encoding
    content-language content-length content-location content-range content-type
    cookie date etag expect expires from host if-match if-modified-since
    if-none-match if-range if-unmodified-since last-modified link location
    max-forwards proxy-authenticate proxy-authorization range referer refresh
    retry-after server set-cookie strict-transport-security transfer-encoding
    user-agent vary via www-authenticate));

my %static_value = (8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400,
                    13 => 404, 14 => 500);

# How many bits each byte has, as digits of base 36.  Codes of one length follow
# one another in the order of the bytes, so the lengths tell all.
my $lengths =
    'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca'
  . 'd67777777777777777777777878djde6f56565666577666567655677777fbeds'
  . 'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn'
  . 'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq';

my %byte_of = do {
    my ($code, $length, %codes) = (0, 0);

    my @bytes = map { [ $_, index '0123456789abcdefghijklmnopqrstuvwxyz',
                                  substr $lengths, $_, 1 ] } 0 .. 255;

    for (sort { $a->[1] <=> $b->[1] || $a->[0] <=> $b->[0] } @bytes) {
        $code <<= $_->[1] - $length;
        $length = $_->[1];
        $codes{sprintf '%0*b', $length, $code++} = chr $_->[0];
    }

    %codes;
};


# A list of [ name, value ].

sub headers_of {
    my ($block) = @_;

    my @list;

    while (length $block) {
        my $first = ord $block;

        if ($first & 0x80) {
            my $index = number(\$block, 7);
            push @list, [ $static[$index], $static_value{$index} // '' ];
            next;
        }

        if (($first & 0xe0) == 0x20) {
            number(\$block, 5);             # the size of the table
            next;
        }

        my $index = number(\$block, $first & 0x40 ? 6 : 4);
        my $name = $index ? $static[$index] : text(\$block);
        push @list, [ $name, text(\$block) ];
    }

    return @list;
}


# Both take what they read off the block.

sub number {
    my ($block, $bits) = @_;

    my $n = ord(substr $$block, 0, 1, '') & (1 << $bits) - 1;
    return $n if $n < (1 << $bits) - 1;

    for (my $shift = 0; ; $shift += 7) {
        my $byte = ord substr $$block, 0, 1, '';
        $n += ($byte & 0x7f) << $shift;
        return $n if !($byte & 0x80);
    }
}


sub text {
    my ($block) = @_;

    my $coded = ord($$block) & 0x80;
    my $length = number($block, 7);
    my $bytes = substr $$block, 0, $length, '';

    return $bytes if !$coded;

    my ($text, $code) = ('', '');

    for my $bit (split //, unpack 'B*', $bytes) {
        $code .= $bit;

        if (exists $byte_of{$code}) {
            $text .= $byte_of{$code};
            $code = '';
        }
    }

    return $text;
}

1;
