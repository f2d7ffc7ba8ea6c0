package Test::Nginx::Ollama::Process;

# Processes, whoever's children they are.
#
#     is_alive($pid)      neither gone nor a zombie
#     children($pid)      their ids
#     kill_all($pid)      by SIGKILL, with its children, nginx's workers for
#                         example, whose ids are returned; waits until all have
#                         ended

use strict;
use warnings;

use Exporter qw(import);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(is_alive children kill_all);

my $limit = 20;


sub is_alive { return state($_[0]) !~ /[ZX]|\A\z/ }


sub children {
    my ($pid) = @_;

    return map { split ' ', slurp($_) } glob "/proc/$pid/task/*/children";
}


# It stands still first: children of a process that runs may be replaced before
# it is killed itself, and are nobody's afterwards.

sub kill_all {
    my ($pid) = @_;

    kill STOP => $pid;
    wait_for(sub { !grep { state($_) !~ /[TZX]|\A\z/ } threads($pid) })
        or die "$pid doesn't stand still\n";

    my @children = children($pid);

    kill KILL => $pid, @children;
    wait_for(sub { !grep { is_alive($_) } $pid, @children })
        or die "not all of $pid @children have ended\n";

    return @children;
}


sub threads {
    my ($pid) = @_;

    return map { m{([0-9]+/task/[0-9]+)\z} } glob "/proc/$pid/task/*";
}


# the letter of a process, or of a thread "pid/task/tid"; none: it is gone

sub state { return slurp("/proc/$_[0]/stat") =~ /.*\) (\S)/s ? $1 : '' }


sub slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}


sub wait_for {
    my ($condition) = @_;
    my $end = time + $limit;

    until ($condition->()) {
        return 0 if time > $end;
        sleep 0.005;
    }

    return 1;
}

1;
