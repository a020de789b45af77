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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from job_io import JobError, RetryableError, shown


@dataclass(frozen=True)
class Limits:
    """The defaults are for XGBoost, whose largest models are one file of some hundred megabytes."""

    entries: int = 1000
    size: int = 4 * 1024**3  # in bytes, unpacked
    way_out: str = "it is not unpacked"


_PIECE = 1024 * 1024  # the most that a header may take


def limits_of_disk(folder: Path) -> Limits:
    """For an archive that a user's script reads: a folder of checkpoints may have thousands of files and fill any
    disk that the config asks for. More than a million entries are a mistake.
    """
    free = shutil.disk_usage(folder).free
    return Limits(1_000_000, free, "give the job a larger disk (predict.instance.volume_gb) or save fewer files")


def unpack(archive: Path, target: Path, model: str, limits: Limits | None = None) -> None:
    """Unpack into the new folder `target`; raises JobError for anything but files and folders, or too many."""
    if not archive.is_file():
        raise RetryableError(f"{archive.name} is missing in {archive.parent}; the job's inputs are not complete.")
    refused = f"Model {model}: its training's {archive.name}"
    target.mkdir()
    try:
        with _Limited(archive, "rb") as packed:
            packed.refused, packed.limits = refused, limits or Limits()
            with tarfile.open(fileobj=packed, mode="r:") as tar:
                _unpack(tar, target, refused, packed.limits)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as problem:
        raise JobError(f"{refused} is not a complete gzipped tar archive ({problem}); train it again.") from None


class _Limited(gzip.GzipFile):
    """Reads no more than its limits allow, and at most _PIECE at a time."""

    refused = ""
    limits = Limits()

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _PIECE:
            raise JobError(f"{self.refused} has a header of {size} bytes; it is not unpacked.")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset > self.limits.size + self.limits.entries * 10 * tarfile.BLOCKSIZE:
            raise _too_large(self.refused, self.limits)
        return super().seek(offset, whence)


def _too_large(refused: str, limits: Limits) -> JobError:
    return JobError(f"{refused} unpacks to more than {limits.size / 1024**3:.3g} GiB; {limits.way_out}.")


def _unpack(tar: tarfile.TarFile, target: Path, refused: str, limits: Limits) -> None:
    files = size = 0
    for number, entry in enumerate(tar, 1):
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.name or not entry.name.isprintable():
            raise JobError(f"{refused} has the path {shown(entry.name)}, which leads outside; it is not unpacked.")
        if not (entry.isdir() or entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
            raise JobError(f"{refused} has the link or special file {shown(entry.name)}; it is not unpacked.")
        files, size = files + entry.isfile(), size + entry.size
        if number > limits.entries:
            raise JobError(f"{refused} has more than {limits.entries:,} entries; {limits.way_out}.")
        if not 0 <= entry.size <= size <= limits.size:
            raise _too_large(refused, limits)
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
