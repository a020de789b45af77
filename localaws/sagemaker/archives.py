"""Packs and unpacks `model.tar.gz`: the same files give the same bytes, so that the cache and reuse hold."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path


def pack(files: Iterable[tuple[str, Path]], archive: Path) -> bool:
    """Write the files, given by name and in order; without any, write no archive and return False."""
    named = dict(reversed(list(files)))  # of two instances' files with the same name, the first one counts
    if not named:
        return False
    with (
        archive.open("wb") as raw,
        # Level 1: the archive stays on this computer, and level 9 takes ten times as long.
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, file in sorted(named.items()):
            entry = tarfile.TarInfo(name)
            with file.open("rb") as content:
                entry.size = os.fstat(content.fileno()).st_size
                entry.mode = 0o755 if os.access(file, os.X_OK) else 0o644
                tar.addfile(entry, content)
    return True
