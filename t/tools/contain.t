# Guards the promise of tools/contain: a test file leaves no process behind,
# takes no longer than its limit, and is not changed by being watched.

use strict;
use warnings;

use FindBin;
use File::Temp qw(tempdir);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $contain = "$FindBin::Bin/../../tools/contain";
my $dir = tempdir(CLEANUP => 1);

# "daemon FILE": has left its parent, its session and its group, and holds the
# pipe that it inherits; its id is in the file
my $daemon = "$dir/daemon";

spew($daemon, <<'END');
use POSIX ();

fork and exit;
POSIX::setsid();
fork and exit;
$SIG{HUP} = 'IGNORE';
$SIG{TERM} = 'IGNORE' if $ARGV[1];

open my $to, '>', "$ARGV[0].new";
print $to $$;
close $to;
rename "$ARGV[0].new", $ARGV[0];
sleep 600;
END

# what waits for the file, as a test does for what it starts
my $until = 'until [ -s "$0" ]; do sleep 0.02; done';


sub spew {
    my ($file, $text) = @_;

    open my $to, '>', $file or die "$file: $!\n";
    print $to $text;
    close $to;
}


sub slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}


sub wait_for {
    my ($condition) = @_;
    my $end = time + 60;

    until ($condition->()) {
        return 0 if time > $end;
        sleep 0.02;
    }

    return 1;
}


# begin(arguments): runs it, its output goes to $dir/out and to a pipe

sub begin {
    my (@args) = @_;

    my $pid = open my $pipe, '-|';
    defined $pid or die "fork: $!\n";

    if ($pid == 0) {
        open STDERR, '>', "$dir/err";
        exec $contain, @args or POSIX::_exit(127);
    }

    return ($pid, $pipe);
}


# contain(arguments): its status, standard output to its end, and errors

sub contain {
    my ($pid, $pipe) = begin(@_);

    my $said = do { local $/; <$pipe> } // '';

    close $pipe;

    return ($? >> 8, $said, slurp("$dir/err"));
}


sub runs { return $_[0] =~ /^\d+$/ && kill 0, $_[0] }


{
    is_deeply([contain('echo', 'a  b')], [0, "a  b\n", ''], 'nothing is added');
    is_deeply([contain('sh', '-c', 'exit 7')], [7, '', ''],
              'the status is that of the command');
    is_deeply([contain('sh', '-c', 'kill -9 $$')], [128 + 9, '', ''],
              'or of its signal');
    is((contain("$dir/none"))[0], 127, 'a command that is not there');

    my ($status, undef, $err)
        = contain('sh', '-c', '(sleep 0.5 & ) ; exit 0');
    is("$status$err", '0', 'what ends by itself a moment later is no leftover');

    ($status) = contain('perl', '-e', 'pipe my $r, my $w; close $r;'
                                      . ' syswrite $w, "x"; exit 0');
    is($status, 128 + POSIX::SIGPIPE(), 'signals are as they are without it');
}


# TMPDIR

{
    my ($status, $said)
        = contain('sh', '-c', 'touch "$TMPDIR/a"; echo $TMPDIR');
    chomp $said;
    like($said, qr{contain-}, 'a folder for what is temporary');
    ok(!-e $said, 'is removed');
}


# one that got away from its parent, its session and its group

for my $deaf (0, 1) {
    my $file = "$dir/left$deaf";
    my ($status, $said, $err) = contain('sh', '-c',
        "perl $daemon \$0 $deaf; $until; echo done", $file);
    my $pid = slurp($file);

    is($status, 1, 'what left a process behind fails');
    is($said, "done\n", 'its output ends');
    like($err, qr/left these processes behind:\n# +$pid perl .*daemon/,
         'the process is named');
    ok(!runs($pid), 'and has ended' . ($deaf ? ', though deaf to TERM' : ''));
}

{
    my ($status) = contain('sh', '-c',
                           "perl $daemon \$0; $until; exit 3", "$dir/three");
    is($status, 3, 'one that failed anyway keeps its status');
}


# the limit

{
    my $file = "$dir/late";
    my ($status, $said, $err) = contain('--limit', 3, '--logs',
        "$dir/logs.{pid}/*", 'sh', '-c',
        "perl $daemon \$0; $until; mkdir $dir/logs.\$\$;"
        . " echo its error >$dir/logs.\$\$/error;"
        . ' mkdir $TMPDIR/redis; seq 100 >$TMPDIR/redis/log; sleep 600', $file);
    my $pid = slurp($file);

    is($status, 124, 'what takes too long fails');
    like($err, qr/did not end in 3 seconds/, 'it says so');
    like($err, qr/$pid perl .*daemon/, 'with the processes');
    like($err, qr/logs\.\d+\/error:\n# +its error\n/, 'with its logs');
    like($err, qr/redis\/log:\n# +81\n(?:# +\d+\n)+# +100\n/,
         'with the last lines of those in TMPDIR');
    ok(!runs($pid), 'nothing is left');
}


# it is ended itself, or its parent is

for my $signal (qw(TERM INT HUP)) {
    my $file = "$dir/ended$signal";
    my ($pid, $pipe) = begin('sh', '-c', "perl $daemon \$0; sleep 600", $file);

    ok(wait_for(sub { -s $file }), "$signal: it runs");
    kill $signal => $pid;
    close $pipe;
    is($? >> 8, 128 + POSIX->can("SIG$signal")->(), 'ends it');
    ok(!runs(slurp($file)), 'and all the others');
}

{
    my $file = "$dir/orphan";
    my $parent = fork // die "fork: $!\n";

    if ($parent == 0) {
        my ($pid, $pipe) = begin('sh', '-c', "perl $daemon \$0; sleep 600",
                                 $file);
        spew("$file.contain", $pid);
        sleep 600;
        POSIX::_exit(0);
    }

    ok(wait_for(sub { -s $file && -s "$file.contain" }), 'a parent: it runs');
    kill KILL => $parent;
    waitpid $parent, 0;
    ok(wait_for(sub { !runs(slurp($file)) }), 'when it ends, all ends');
    ok(wait_for(sub { !runs(slurp("$file.contain")) }), 'and it, too');
}

done_testing();
