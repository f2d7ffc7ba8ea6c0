package Test::Nginx::Ollama::Stop;

# For tests that stop generations.
#
#     cancel(id, header...)       asks for it: the reply
#     is_cancelled(reply, title, task, session)
#                                 checks that it is told to have been stopped
#     is_unknown(reply, title, id)
#                                 checks that it is told that nothing runs

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use Test::Nginx::Ollama ();

our @EXPORT = qw(cancel is_cancelled is_unknown);


sub cancel {
    my ($id, @headers) = @_;
    return Test::Nginx::Ollama::http("POST /api/chat/cancel/$id", '', @headers);
}


sub is_cancelled {
    my ($reply, $title, $task, $session) = @_;

    is($reply->status, 200, "$title: it is stopped") or diag($reply->raw);
    is($reply->header('Content-Type'), 'application/json; charset=utf-8',
       "$title: type");
    is($reply->body, '{"cancelled":true,"task_id":"' . $task
                     . '","session_id":'
                     . (defined $session ? "\"$session\"" : 'null') . '}',
       "$title: the answer");
}


sub is_unknown {
    my ($reply, $title, $id) = @_;

    is($reply->status, 404, "$title: nothing is running")
        or diag($reply->raw);
    like($reply->body, qr/\A\{"error":"[^{}]*\Q$id\E[^{}]*"\}\n?\z/,
         "$title: the error");
}

1;
