"""A container that trains and serves, in Perl, because the plain Debian that the tests build on has no Python.

It fits a straight line through the label and the column that the hyperparameter `column` names. The hyperparameter
`train`, and `serve` for the server, is a piece of Perl that misbehaves first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.containers import BASE, CACHE, alone, call, make_base

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
FILES = {
    "train": r"""#!/usr/bin/perl
use strict;
my $ml = '/opt/ml';
open(my $given, '<', "$ml/input/config/hyperparameters.json") or die; my $set = join('', <$given>);
sub set { return $set =~ /"$_[0]": *"([^"]*)"/ ? $1 : '' }
my $first = set('train'); eval $first; die $@ if $@;
open(my $kept, '>', "$ml/model/serve.pl") or die; print $kept set('serve'); close $kept;
my ($at, $n, $x, $y, $xx, $xy) = (-1, 0, 0, 0, 0, 0);
for my $file (glob("$ml/input/data/train/*.csv")) {
    open(my $rows, '<', $file) or die;
    my @names = map { s/"//gr } split(/,/, <$rows> =~ s/[\r\n]//gr);
    for my $place (1 .. $#names) { $at = $place if $names[$place] eq set('column') }
    while (my $row = <$rows>) {
        my @cells = split(/,/, $row);
        next if $cells[$at] eq '';
        $n++; $x += $cells[$at]; $y += $cells[0]; $xx += $cells[$at] ** 2; $xy += $cells[$at] * $cells[0];
    }
}
die "no column" if $at < 0;
my $slope = ($n * $xy - $x * $y) / ($n * $xx - $x * $x);
open(my $model, '>', "$ml/model/line") or die;
print $model join(' ', $at - 1, $slope, ($y - $slope * $x) / $n, $y / $n), "\n";
print "fitted $n rows\n";
""",
    "serve": r"""#!/usr/bin/perl
use strict; use IO::Socket::INET;
open(my $model, '<', '/opt/ml/model/line') or die "no model"; my ($at, $slope, $start, $mean) = split(' ', <$model>);
my $answer = sub {
    my @cells = split(/,/, $_[0]);
    return $cells[$at] =~ /\d/ ? $start + $slope * $cells[$at] : $mean;
};
my $reply = sub { join('', map { $answer->($_) . "\n" } @_) };
open(my $code, '<', '/opt/ml/model/serve.pl'); my $first = join('', <$code>); eval $first; die $@ if $@;
$SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalPort => $ENV{SAGEMAKER_BIND_TO_PORT} || 8080, Listen => 64, ReuseAddr => 1)
    or die "no port: $!";
while (my $client = $server->accept()) {
    while (defined(my $line = <$client>)) {
        my $size = 0;
        while (defined(my $header = <$client>)) {
            last if $header =~ /^\r?\n$/;
            $size = $1 if $header =~ /^Content-Length: (\d+)/i;
        }
        my $body = ''; read($client, $body, $size) if $size;
        my $said = $line =~ /^POST/ ? $reply->(split(/\n/, $body)) : '';
        my $status = $line =~ /parameters/ ? '404 No' : '200 OK';
        print $client "HTTP/1.1 $status\r\nContent-Length: " . length($said) . "\r\n\r\n$said";
        $client->flush();
    }
}
""",
}


@contextmanager
def image(name: str) -> Iterator[str]:
    """Its address; the store has it while the block runs."""
    with alone():
        make_base()
        container = call("buildah", "from", BASE).strip()
        root = Path(call("buildah", "mount", container).strip())
        for file, text in FILES.items():
            (root / "usr/local/bin" / file).write_text(text)
            (root / "usr/local/bin" / file).chmod(0o755)
        call("buildah", "commit", "--quiet", "--rm", container, f"localhost/{name}:1")
        before = os.environ.get("CONTAINERS_STORAGE_CONF")
        os.environ["CONTAINERS_STORAGE_CONF"] = os.fspath(CACHE / "storage.conf")
        try:
            yield f"{REGISTRY}/{name}:1"
        finally:
            os.environ.pop("CONTAINERS_STORAGE_CONF")
            if before:
                os.environ["CONTAINERS_STORAGE_CONF"] = before
            call("buildah", "rmi", f"localhost/{name}:1")
