"""Packs and unpacks `model.tar.gz`: the same files give the same bytes, so that the cache and reuse hold."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
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


def unpack(archive: Path, folder: Path) -> str:
    """Unpack a model's archive; return why that failed, or an empty text.

    Links and special files are refused, and so are paths that lead out of the folder.
    """
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            for entry in tar:
                place = os.path.normpath(entry.name)
                if os.path.isabs(place) or place.split(os.sep)[0] == "..":
                    return f"{entry.name!r} is outside of it"
                target = folder / place
                if entry.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                elif (content := tar.extractfile(entry) if entry.isreg() else None) is None:
                    return f"{entry.name!r} is a link or a device"
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content, target.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
                    target.chmod(0o700 if entry.mode & 0o100 else 0o600)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as problem:
        return f"it is not a tar.gz archive ({str(problem) or type(problem).__name__})"
    return ""
