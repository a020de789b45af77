"""Unpacks model.tar.gz from a training in a container that is not ours: it may contain anything.

Only plain files and folders with relative paths inside the target are extracted, without modes and owners. Their number
and size are checked before each is written. Headers are limited too, because tarfile reads a header in one piece.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from job_io import JobError, RetryableError, shown

FILES = 1000
BYTES = 4 * 1024**3  # unpacked; XGBoost's largest models have some hundred megabytes
_PIECE = 1024 * 1024  # the most that a header may take


def unpack(archive: Path, target: Path, model: str) -> None:
    """Unpack into the new folder `target`; raises JobError for anything but files and folders, or too many."""
    if not archive.is_file():
        raise RetryableError(f"{archive.name} is missing in {archive.parent}; the job's inputs are not complete.")
    refused = f"Model {model}: its training's {archive.name}"
    target.mkdir()
    try:
        with _Limited(archive, "rb") as packed:
            packed.refused = refused
            with tarfile.open(fileobj=packed, mode="r:") as tar:
                _unpack(tar, target, refused)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as problem:
        raise JobError(f"{refused} is not a complete gzipped tar archive ({problem}); train it again.") from None


class _Limited(gzip.GzipFile):
    """Reads at most BYTES in total, and at most _PIECE at a time."""

    refused = ""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _PIECE:
            raise JobError(f"{self.refused} has a header of {size} bytes; it is not unpacked.")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset > BYTES + FILES * 10 * tarfile.BLOCKSIZE:
            raise JobError(f"{self.refused} unpacks to more than {BYTES / 1024**3:g} GiB; it is not unpacked.")
        return super().seek(offset, whence)


def _unpack(tar: tarfile.TarFile, target: Path, refused: str) -> None:
    files = size = 0
    for number, entry in enumerate(tar, 1):
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.name or not entry.name.isprintable():
            raise JobError(f"{refused} has the path {shown(entry.name)}, which leads outside; it is not unpacked.")
        if not (entry.isdir() or entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
            raise JobError(f"{refused} has the link or special file {shown(entry.name)}; it is not unpacked.")
        files, size = files + entry.isfile(), size + entry.size
        if number > FILES:
            raise JobError(f"{refused} has more than {FILES} entries; it is not unpacked.")
        if not 0 <= entry.size <= size <= BYTES:
            raise JobError(f"{refused} unpacks to more than {BYTES / 1024**3:g} GiB; it is not unpacked.")
        if entry.isfile():
            _write(tar, entry, target.joinpath(*path.parts), refused)
    if not files:
        raise JobError(f"{refused} is empty: the training saved no model in /opt/ml/model; look at its log.")


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path, refused: str) -> None:
    content = tar.extractfile(entry)
    assert content is not None, "it is a file"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, 64 * 1024)
    except (FileExistsError, NotADirectoryError):
        raise JobError(f"{refused} has {shown(entry.name)} twice; it is not unpacked.") from None
    if path.stat().st_size != entry.size:
        raise JobError(f"{refused} ends within {shown(entry.name)}; train it again.")
