#!/usr/bin/perl

# What the gateway routes by is what the server sees.  A body that the two read
# differently gets past every rule that goes by the model, so that each of these
# is sent to the server itself, which tells what it reads, and through nginx,
# which logs what the gateway believed.
#
# The gateway may refuse what it doesn't understand, if the server does too; in
# a few cases (marked "strict") also if not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Real;
use Test::More;

plan skip_all => 'OLLAMA_REAL_PLAIN: plain nginx believes nothing' if plain();

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama);

my $good = '"smollm2:135m"';
my $row = 0;


# name(text): a model's name as Ollama compares it

sub name {
    my ($name) = @_;

    return '' if !defined $name || $name eq '-' || $name eq '';
    return lc($name =~ /:[^\/]*\z/ ? $name : "$name:latest");
}


# seen($answer): the model that the server saw; undef if its answer doesn't tell

sub seen {
    my ($answer) = @_;
    my ($line) = grep { /^\{/ } map { s/^data: //r }
                 split /\n/, $answer->{body};
    my $data = eval { decode($line) } || return undef;
    my $error = ref $data->{error} ? $data->{error}{message} : $data->{error};

    if (defined $error) {
        return name($1) if $error =~ /^model ['"](.*)['"] not found/s;
        return name($1)
            if $error =~ m{^unqualified name: registry.ollama.ai/library/(.*)}s;
        return undef;
    }

    return name($1) if ($data->{modelfile} // '') =~ /^# FROM (.*)$/m;
    return name($data->{model} // return undef);
}


# Members of the body; "more" (messages, a limit) follows them.

my @members = (
    ['as usual',                qq("model":$good)],
    ['another name',            '"model":"other"'],
    ['in capitals',             '"model":"SmolLM2:135M"'],
    ['nowhere to be found',     '"model":"nope"'],
    ['none'],

    ['twice',                   qq("model":"nope","model":$good)],
    ['twice, turned',           qq("model":$good,"model":"nope")],
    ['three times',             qq("model":"a","model":"nope","model":$good)],
    ['twice, far apart',        qq("model":"nope","x":[{"y":2}],"model":$good)],

    ['MODEL after',             qq("model":$good,"MODEL":"nope")],
    ['MODEL before',            qq("MODEL":"nope","model":$good)],
    ['MODEL alone',             qq("MODEL":$good)],
    ['Model after',             qq("model":"nope","Model":$good)],
    ['mOdEl twice',             qq("mOdEl":"nope","MoDeL":$good)],

    ['escaped key',             qq("m\\u006fdel":$good)],
    ['escaped key after',       qq("model":"nope","m\\u006fdel":$good)],
    ['escaped key before',      qq("m\\u006Fdel":$good,"model":"nope")],
    ['escaped capital key',     qq("model":"nope","\\u004dodel":$good)],
    ['whole key escaped',       qq("model":$good,)
                                . '"\u006d\u006f\u0064\u0065\u006c":"nope"'],
    ['escaped name',            '"model":"sm\u006fllm2\u003a135m"'],
    ['escaped nope',            '"model":"n\u006fpe"'],
    ['escaped slash',           '"model":"a\/nope"'],

    ['null after',              qq("model":$good,"model":null)],
    ['null before',             qq("model":null,"model":$good)],
    ['null alone',              '"model":null'],
    ['null MODEL after',        qq("model":"nope","MODEL":null)],
    ['null between',            qq("model":$good,"model":null,"model":"nope")],
    ['empty after',             qq("model":$good,"model":"")],
    ['empty before',            qq("model":"","model":$good)],
    ['empty alone',             '"model":""'],

    ['a number after',          qq("model":$good,"model":5)],
    ['a number before',         qq("model":5,"model":$good)],
    ['an object after',         qq("model":$good,"model":{"model":"nope"})],
    ['a list after',            qq("model":$good,"model":["nope"])],
    ['true after',              qq("model":$good,"model":true)],

    # from here on only where the server tells what it saw and does little
    [],
    ['deeper',                  qq("x":{"model":"nope"},"model":$good)],
    ['deeper after',            qq("model":$good,"x":{"model":"nope"})],
    ['in a list after',         qq("model":$good,"x":[{"model":"nope"}])],
    ['in options',              qq("model":$good,"options":{"model":"nope"})],
    ['in a string',             qq("x":"\\",\\"model\\":\\"no","model":$good)],
    ['in a string after',       qq("model":$good,"x":"\\",\\"model\\":\\"no")],
    ['after a backslash',       qq("model":$good,"x":"\\\\","model":"nope")],
    ['as a value',              qq("x":"model","y":"nope","model":$good)],

    ['key and a space',         qq("model":$good,"model ":"nope")],
    ['a space and the key',     qq("model":$good," model":"nope")],
    ['longer key',              qq("model":$good,"models":"nope")],
    ['shorter key',             qq("model":$good,"mode":"nope")],
    ['key with an accent',      qq("model":$good,"m\xc3\xb3del":"nope")],
    ['key with NUL',            qq("model":$good,"model\\u0000":"nope")],
    ['empty key',               qq("model":$good,"":"nope")],
    ['fullwidth key',           qq("model":$good,"\xef\xbd\x8dodel":"nope")],

    ['NUL in the name',         '"model":"nope\u0000"'],
    ['line end in the name',    '"model":"no\npe"'],
    ['quote in the name',       '"model":"no\"pe"'],
    ["apostrophe in the name",  q("model":"no'pe")],
    ['accent in the name',      qq("model":"nop\xc3\xa9")],
    ['accent escaped',          '"model":"nop\u00e9"'],
    ['surrogates in the name',  '"model":"nope\ud83d\ude00"'],
    ['half a surrogate',        '"model":"nope\ud83d"'],
    ['halves turned',           '"model":"nope\ude00\ud83d"'],
    ['half a surrogate, twice', qq("model":"nope\\ud83d","model":$good),
                                'strict'],
    ['no UTF-8 in the name',    qq("model":"nope\xff"), 'strict'],
    ['no UTF-8 elsewhere',      qq("model":$good,"x":"\xff"), 'strict'],
    ['no UTF-8 in a key',       qq("model":$good,"model\xff":"nope"), 'strict'],
    ['overlong UTF-8 key',      qq("model":$good,"\xc1\xadodel":"nope"),
                                'strict'],
    ['surrogate as UTF-8',      qq("model":"nope\xed\xa0\x80"), 'strict'],
    ['a long name',             '"model":"' . 'n' x 70 . '"'],
    ['a very long name',        '"model":"' . 'n' x 3000 . '"', 'strict'],
    ['only a tag',              '"model":":135m"'],
    ['host and namespace',      '"model":"registry.ollama.ai/library/other"'],
    ['namespace',               '"model":"library/other:latest"'],
    ['someone else\'s',         '"model":"someone/other"'],
    ['path',                    '"model":"../other"'],
    ['digest',                  '"model":"other@sha256:00"'],
    ['scheme',                  '"model":"https://localhost/library/other"'],

    ['white space',             qq("model"\t:\r\n $good)],
    ['numbers',                 qq("x":[0,-0,1e5,1.5E-3,12345678901234567890],)
                                . qq("model":$good)],
    ['a huge number',           qq("x":1e999,"model":$good), 'strict'],
    ['64 KB before',            '"x":"' . 'y' x 65536 . qq(","model":$good)],
    ['1 MB before',             '"model":"nope","x":"' . 'y' x 1048576
                                . qq(","model":$good)],
    ['1 MB after',              qq("model":$good,"x":") . 'y' x 1048576
                                . '","MODEL":"nope"'],
    ['60 levels',               '"x":' . '[' x 58 . ']' x 58
                                . qq(,"model":$good)],
    ['200 levels',              '"x":' . '[' x 200 . ']' x 200
                                . qq(,"model":$good), 'strict'],
    ['20000 levels',            '"x":' . '[' x 20000 . ']' x 20000
                                . qq(,"model":$good)],
    ['a thousand keys',         join(',', map { qq("x$_":"nope") } 1 .. 1000)
                                . qq(,"model":$good)],
    ['a hundred models',        join(',', map { qq("model":"m$_") } 1 .. 100)
                                . qq(,"model":$good)],
);

# Bodies as a whole; not all are JSON.

my @bodies = (
    ['nothing',                 ''],
    ['white space',             ' '],
    ['null',                    'null'],
    ['a list',                  qq([{"model":$good}])],
    ['a string',                $good],
    ['a number',                '5'],
    ['one key',                 '{"model"}'],
    ['cut',                     qq({"model":$good)],
    ['cut in the name',         '{"model":"smollm2'],
    ['a comma too many',        qq({"model":$good,})],
    ['a comma too few',         qq({"model":"nope" "model":$good})],
    ['a comma first',           qq({,"model":$good})],
    ['two colons',              qq({"model"::$good})],
    ['apostrophes',             "{'model':'smollm2:135m'}"],
    ['no quotes',               qq({model:$good})],
    ['a comment',               qq({/* "model":"nope", */ "model":$good})],
    ['a comment to the end',    qq({"model":$good} // "model":"nope"),
                                'strict'],
    ['a hash comment',          qq({"model":$good\n# no\n})],
    ['byte order mark',         qq(\xef\xbb\xbf{"model":$good})],
    ['form feed',               qq({"model":\f$good})],
    ['no-break space',          qq({\xc2\xa0"model":$good})],
    ['a control character',     qq({"model":$good,"x":"\x01"})],
    ['a tab in a string',       qq({"model":$good,"x":"\t"})],
    ['a line end in a string',  qq({"model":$good,"x":"\n"})],
    ['NUL in a string',         qq({"model":$good,"x":"\0"})],
    ['NUL after',               qq({"model":$good}\0), 'strict'],
    ['a bad escape',            qq({"model":$good,"x":"\\q"})],
    ['a bad \u',                qq({"model":$good,"x":"\\u00g0"})],
    ['a short \u',              qq({"model":$good,"x":"\\u00"})],
    ['a capital \U',            qq({"model":$good,"x":"\\U0041"})],
    ['01',                      qq({"model":$good,"x":01})],
    ['+1',                      qq({"model":$good,"x":+1})],
    ['.5',                      qq({"model":$good,"x":.5})],
    ['5.',                      qq({"model":$good,"x":5.})],
    ['0x10',                    qq({"model":$good,"x":0x10})],
    ['NaN',                     qq({"model":$good,"x":NaN})],
    ['True',                    qq({"model":$good,"x":True})],
    ['tru',                     qq({"model":$good,"x":tru})],
    ['a bracket too many',      qq({"model":$good,"x":[1]]})],
    ['brackets crossed',        qq({"model":$good,"x":[{]}})],
    ['UTF-16',                  join('', map { "$_\0" }
                                             split //, qq({"model":$good}))],
    ['white space around',      qq(\r\n\t {"model":$good}\r\n\t )],
    ['a second object',         qq({"model":$good}{"model":"nope"}), 'strict'],
    ['a second line',           qq({"model":$good}\n{"model":"nope"}),
                                'strict'],
    ['words after',             qq({"model":$good} nope), 'strict'],
    ['a bracket after',         qq({"model":$good}}), 'strict'],
);

my $say = '"messages":[{"role":"user","content":"a"}]';
my $one = '"options":{"num_predict":2,"temperature":0}';

my %more = (
    '/api/chat' => '',
    '/api/generate' => '',
    '/api/show' => '',
    '/api/embed' => '"input":"a"',
    '/api/embeddings' => '"prompt":"a"',
    '/v1/chat/completions' => "$say,\"max_tokens\":1",
    '/v1/completions' => '"prompt":"a","max_tokens":1',
    '/v1/embeddings' => '"input":"a"',
    '/v1/responses' => '"input":"a","max_output_tokens":1',
    '/v1/messages' => "$say,\"max_tokens\":1",
);


# agree(title, path, body, strict, headers): sends it both ways

sub agree {
    my ($title, $path, $body, $may_refuse, @headers) = @_;
    my $id = 'row' . ++$row;
    my $direct = $ollama->post($path, $body, headers => \@headers);
    my $through = $nginx->post($path, $body,
                               headers => ["X-Row: $id", @headers]);
    my $log = $nginx->log_of($id) || {};
    my ($saw, $got, $believed) = (seen($direct), seen($through),
                                  name($log->{model}));
    my @trouble;

    # an empty name is filled in by some endpoints
    $_ = ($_ // '') =~ /^!missing!:/ ? '' : $_ for $saw, $got;

    if (!%$log) {
        push @trouble, 'nothing is logged';

    } elsif ($log->{upstream} =~ /^-?$/) {
        push @trouble, 'the gateway refuses what the server takes'
            if $direct->{status} < 400 && !$may_refuse;
        push @trouble, 'the gateway answers in the place of the server'
            if $through->{status} < 400;

    } else {
        push @trouble, "the gateway believed '$believed', the server saw '$saw'"
            if defined $saw && $believed ne $saw;
        push @trouble, 'the server saw something else through nginx'
            if ($got // '') ne ($saw // '')
               || $through->{status} != $direct->{status};
        push @trouble, "the outcome \"$log->{outcome}\" is logged"
            if ($log->{outcome} eq 'ok') != ($direct->{status} == 200);
    }

    push @trouble, 'the answer does not end properly' if !$through->{complete};

    is(join('; ', @trouble), '', "$path, $title")
        or diag('sent:    ', substr($body, 0, 300), "\n",
                "server:  $direct->{status} ",
                substr($direct->{body}, 0, 300), "\n",
                "gateway: $through->{status} ",
                substr($through->{body}, 0, 300), "\n",
                'logged:  ', JSON::PP->new->canonical->ascii->encode($log));
}


my @paths = sort keys %more;

for (@members) {
    my ($title, $members, $may_refuse) = @$_;

    if (!defined $title) {
        @paths = ('/api/chat', '/api/generate');
        next;
    }

    for my $path (@paths) {

        agree($title, $path,
              '{' . join(',', grep { defined && length }
                              $members, $more{$path}) . '}', $may_refuse);
    }
}

for (@bodies) {
    my ($title, $body, $may_refuse) = @$_;

    for my $path ('/api/chat', '/v1/chat/completions') {
        agree($title, $path, $body, $may_refuse);
    }
}

# /api/show knows "name" too

for (['name', qq("name":$good)],
     ['NAME', qq("NAME":$good)],
     ['name and model', qq("name":"nope","model":$good)],
     ['model and name', qq("model":$good,"name":"nope")],
     ['name and an empty model', qq("name":$good,"model":"")],
     ['name and null', qq("name":$good,"model":null)],
     ['name, unknown', '"name":"nope"'])
{
    agree($_->[0], '/api/show', "{$_->[1]}");
    agree("$_->[0] elsewhere", '/api/chat', "{$_->[1]}");
}

# a coding that the server undoes would hide the body

agree('Content-Encoding', $_, '{' . join(',', qq("model":$good),
      grep { length } $more{$_}) . '}', 'strict', 'Content-Encoding: zstd')
    for '/v1/responses', '/api/chat';


# "stream" decides how the answer looks, and the gateway must know

for (['false', '"stream":false'], ['true', '"stream":true'],
     ['null', '"stream":null'], ['null after', '"stream":false,"stream":null'],
     ['twice', '"stream":true,"stream":false'],
     ['twice, turned', '"stream":false,"stream":true'],
     ['STREAM', '"STREAM":false'],
     ['STREAM after', '"stream":true,"STREAM":false'],
     ['long s', "\"\xc5\xbftream\":false"],
     ['long s, escaped', '"\u017ftream":false'],
     ['long s, after', '"stream":true,"\u017fTREAM":false'],
     ['long s, before', '"\u017ftream":true,"stream":false'],
     ['escaped', '"\u0073tream":false'],
     ['sharp s', "\"\xc3\x9ftream\":false"],
     ['a string', '"stream":"false"'], ['a number', '"stream":0'])
{
    my ($title, $member) = @$_;

    for my $path ('/api/chat', '/v1/chat/completions') {
        my $limit = $path =~ /^.api/ ? $one
                                     : '"max_tokens":2,"temperature":0';
        my $body = qq({"model":$good,$say,$limit,$member});

        # the gateway has its own words for what it refuses
        same("$path, stream: $title", POST => $path, $body)
            if $title !~ /^a /;
        agree("stream: $title", $path, $body);
    }
}

Real::end();
done_testing();
