#!/usr/bin/perl

# What there is: lists of models, versions, one model's data.  The gateway
# answers the lists from its memory of all servers; with one server they say
# what that one says, a poll later at most, in any order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Real;
use Test::More;

my $ollama = Real::ollama();
my $nginx = Real::nginx($ollama);

# an answer's data in one order, without what each look changes
sub data {
    my ($answer) = @_;
    my $data = eval { decode($answer->{body}) };
    my ($list) = grep { ref eq 'ARRAY' } map { $data->{$_} } qw(models data)
        if ref $data eq 'HASH';

    if ($list) {
        @$list = sort { ($a->{name} // $a->{id}) cmp ($b->{name} // $b->{id}) }
                 @$list;
        delete $_->{expires_at} for @$list;
    }

    return $data // $answer->{body};
}

# the same data, now or after a poll
sub same_data {
    my ($path) = @_;
    my $json = JSON::PP->new->canonical->allow_nonref;
    my ($direct, $through, @text);

    wait_for(20, sub {
        ($direct, $through) = map { $_->get($path) } $ollama, $nginx;
        @text = map { $json->encode([$_->{status}, data($_)]) }
                    $direct, $through;
        $text[0] eq $text[1];
    });

    subtest "GET $path" => sub {
        is($through->{status}, $direct->{status}, 'status');
        is($through->{headers}{'content-type'} =~ s/; charset=utf-8//ir,
           $direct->{headers}{'content-type'} =~ s/; charset=utf-8//ir,
           'content type');
        is_deeply(data($through), data($direct), 'data')
            or diag("expected: $text[0]\ngot: $text[1]");
        ok($through->{complete}, 'properly ended');
    };

    return $through;
}

my $answer;


$answer = same_data('/api/ps');
is_deeply(decode($answer->{body}), { models => [] }, 'nothing is loaded');

$ollama->post('/api/chat', '{"model":"smollm2:135m"}');
$answer = same_data('/api/ps');
is(decode($answer->{body})->{models}[0]{name}, 'smollm2:135m', 'one is loaded');
like($answer->{body}, qr/"expires_at":"\d{4}-\d\d-\d\dT/, 'until a time');

$answer = same_data('/api/tags');
is(@{ decode($answer->{body})->{models} }, 2, 'two models');

same_data('/api/version');
same_data('/v1/models');
same_data('/v1/models/smollm2:135m');
same_data('/v1/models/other');
same_data('/v1/models/nope');

same('GET /', GET => '/');
same('HEAD /', HEAD => '/');


# one model

same('show', POST => '/api/show', '{"model":"smollm2:135m"}');
same('show in full', POST => '/api/show',
     '{"model":"Other","verbose":true}');
same('show, as old clients ask', POST => '/api/show',
     '{"name":"smollm2:135m"}');
same('show an unknown one', POST => '/api/show', '{"model":"nope"}');


# what the gateway says in its own words has the server's status

for (['GET', '/api/chat'], ['GET', '/api/generate'], ['GET', '/api/nothing'],
     ['GET', '/v1/chat/completions'], ['POST', '/api/tags', '{}'],
     ['POST', '/api/chat', '{'], ['POST', '/api/chat', '{}'],
     ['POST', '/api/chat', '[]'], ['POST', '/api/chat', ''],
     ['POST', '/api/chat', '{"model":5}'],
     ['POST', '/v1/chat/completions', '{}'],
     ['POST', '/v1/chat/completions', '{'])
{
    my @request = @$_;
    my ($direct, $through) = map { $_->ask(@request) } $ollama, $nginx;
    is($through->{status}, $direct->{status}, "@request: $direct->{status}");
    is_deeply(map({ [sort split /, */, $_->{headers}{allow} // ''] }
                  $through, $direct), "@request: Allow")
        if $direct->{status} == 405;
}

Real::end();
done_testing();
