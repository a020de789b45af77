"""The buckets' data on disk: contents named by their hash, and an index that maps keys to contents.

A content is written to a temporary file, flushed and renamed, so a file named by a hash is complete. The index is an
SQLite database: after kill -9 it is in the state after the last put. Identical contents are stored once, no matter how
many keys or cached jobs have them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.errors import ComputerError

_CHUNK = 1 << 20
_THREADS = 16
_OBJECT = "select key, sha256, size, etag, headers, modified from objects where bucket = ? and "
_FORGET_AFTER = 30 * 24 * 3600  # seconds that a job's unused outputs stay in the cache
_TABLES = """
create table if not exists buckets (name text primary key, region text not null);
create table if not exists objects (
    bucket text, key text, sha256 text not null, size integer not null, etag text not null,
    headers text not null, modified real not null, primary key (bucket, key)) without rowid;
create table if not exists jobs (fingerprint text primary key, remembered text not null, used real not null);
create table if not exists documents (kind text, name text, content blob not null, at real not null,
    primary key (kind, name));
"""


@dataclass(frozen=True)
class Content:
    sha256: str
    size: int
    etag: str


@dataclass(frozen=True)
class Stored:
    """An object in a bucket."""

    key: str
    content: Content
    headers: dict[str, str]
    modified: float


class Objects:
    def __init__(self, folder: Path, sweep: bool = True) -> None:
        self._contents = folder / "contents"
        self._lock = threading.RLock()
        try:
            self._contents.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(folder / "index.sqlite", check_same_thread=False, isolation_level=None)
            self._base.executescript("pragma journal_mode=wal; pragma synchronous=normal;" + _TABLES)
        except sqlite3.DatabaseError as problem:
            way_out = "make room on its disk" if isinstance(problem, sqlite3.OperationalError) else "move it away"
            raise ComputerError(
                f"{folder} cannot be used: {problem} ({way_out}, or name another folder with --work)"
            ) from None
        try:
            if sweep:
                self._sweep()
        except BaseException:  # whatever it is, the database must be closed before the server ends
            self._base.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._base.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._base
            except sqlite3.OperationalError as problem:
                # A full or read-only disk: raise the same error as for files.
                full, locked = "full" in str(problem), "readonly" in str(problem)
                kind = errno.ENOSPC if full else errno.EROFS if locked else errno.EIO
                raise OSError(kind, os.strerror(kind)) from problem
            except sqlite3.ProgrammingError as problem:  # a thread outlived the server
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED)) from problem

    # Contents

    def add(self, data: bytes) -> Content:
        content = Content(hashlib.sha256(data).hexdigest(), len(data), _md5(data).hexdigest())
        return content if self._place(content).exists() else self._write([data])

    def copy_in(self, source: Path) -> Content:
        """Store the content of a file, which stays in place and may be changed afterwards."""
        small = source.stat().st_size <= _CHUNK  # read at once, so that a known content is not written again
        return self.add(b"".join(pieces(source))) if small else self.join([source])

    def copy_all(self, sources: list[Path]) -> list[Content | None]:
        """Store the contents of many files; None for a file that does not exist anymore.

        Each waits for the disk, about 2 ms; with 16 threads it writes them together, four times as fast.
        """
        with ThreadPoolExecutor(min(_THREADS, len(sources) or 1), "copies") as threads:
            return list(threads.map(self._copied, sources))

    def _copied(self, source: Path) -> Content | None:
        try:
            return self.copy_in(source)
        except FileNotFoundError:
            return None

    def join(self, sources: list[Path]) -> Content:
        """Store the concatenated contents, never all of them in memory."""
        return self._write(piece for source in sources for piece in pieces(source))

    def _write(self, content: Iterable[bytes]) -> Content:
        sha, md5, size = hashlib.sha256(), _md5(), 0
        with self._part() as part:
            with part.open("wb") as target:
                for piece in content:
                    sha.update(piece)
                    md5.update(piece)
                    size += target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            made = Content(sha.hexdigest(), size, md5.hexdigest())
            place = self._place(made)
            place.parent.mkdir(exist_ok=True)
            part.replace(place)
        return made

    def _place(self, content: Content) -> Path:
        return self._contents / content.sha256[:2] / content.sha256

    def file(self, content: Content) -> Path:
        """The content's path; OSError if it was removed or truncated."""
        place = self._place(content)
        with suppress(FileNotFoundError):
            if place.stat().st_size == content.size:
                return place
        raise _damaged(place)

    def copy_out(self, content: Content, target: Path) -> None:
        """Copy the content; OSError if it was changed."""
        with target.open("wb") as copy:
            self._checked(content, copy.write)

    def whole(self, content: Content) -> bool:
        """Whether the file still matches the hash in its name."""
        try:
            self._checked(content, len)
        except OSError:
            return False
        return True

    def _checked(self, content: Content, take: Callable[[bytes], object]) -> None:
        sha = hashlib.sha256()
        for piece in pieces(self.file(content)):
            sha.update(piece)
            take(piece)
        if sha.hexdigest() != content.sha256:
            raise _damaged(self._place(content))

    @contextmanager
    def _part(self) -> Iterator[Path]:
        part = self._contents / f".{os.getpid()}.{threading.get_ident()}.part"
        try:
            yield part
        except FileNotFoundError:
            if self._contents.is_dir():
                raise
            raise _damaged(self._contents) from None
        finally:
            part.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove unreferenced contents and partial files left by a crash; check that the objects' contents exist."""
        with self._using() as base:
            base.execute("delete from jobs where used < ?", (time.time() - _FORGET_AFTER,))
            sizes: dict[str, int] = dict(base.execute("select sha256, size from objects"))
            outputs = base.execute("select remembered from jobs").fetchall()
        remembered = {entry[1] for (text,) in outputs for entry in json.loads(text)["outputs"]}
        # Not with pathlib: a run of 10,000 models leaves 20,000 contents.
        files = {name: os.path.join(place, name) for place, _, names in os.walk(self._contents) for name in names}
        for name in files.keys() - sizes.keys() - remembered:
            with suppress(FileNotFoundError):
                os.unlink(files[name])
        damaged = [name for name, size in sizes.items() if name not in files or os.stat(files[name]).st_size != size]
        if damaged:
            raise ComputerError(
                f"{self._contents} is damaged: of {len(sizes):,} contents {len(damaged):,} are missing or have another "
                "length (put them back, or name another folder with --work)"
            )

    # Buckets and keys

    def buckets(self) -> list[tuple[str, str]]:
        with self._using():
            return list(self._base.execute("select name, region from buckets order by name"))

    def add_bucket(self, name: str, region: str) -> None:
        with self._using() as base:
            base.execute("insert or replace into buckets values (?, ?)", (name, region))

    def remove_bucket(self, name: str) -> None:
        with self._using() as base:
            base.execute("delete from objects where bucket = ?", (name,))
            base.execute("delete from buckets where name = ?", (name,))

    def put(self, bucket: str, stored: Stored) -> None:
        content = stored.content
        row = (bucket, stored.key, content.sha256, content.size, content.etag, json.dumps(stored.headers))
        with self._using() as base:
            base.execute("insert or replace into objects values (?, ?, ?, ?, ?, ?, ?)", (*row, stored.modified))

    def remove(self, bucket: str, key: str) -> None:
        with self._using() as base:
            base.execute("delete from objects where bucket = ? and key = ?", (bucket, key))

    def below(self, bucket: str, prefix: str = "") -> list[Stored]:
        """The objects whose keys start with the prefix, in S3's order: by the keys' bytes."""
        with self._using():
            among = (bucket, prefix, prefix + chr(0x10FFFF))
            rows = self._base.execute(f"{_OBJECT} key >= ? and key < ? order by key", among).fetchall()
        return [_stored(*row) for row in rows]

    def one(self, bucket: str, key: str) -> Stored | None:
        with self._using():
            row = self._base.execute(f"{_OBJECT} key = ?", (bucket, key)).fetchone()
        return _stored(*row) if row else None

    # Finished jobs

    def remembered(self, fingerprint: str) -> str | None:
        with self._using() as base:
            base.execute("update jobs set used = ? where fingerprint = ?", (time.time(), fingerprint))
            row = base.execute("select remembered from jobs where fingerprint = ?", (fingerprint,)).fetchone()
        return row[0] if row else None

    def remember(self, fingerprint: str, remembered: str) -> None:
        with self._using() as base:
            base.execute("insert or replace into jobs values (?, ?, ?)", (fingerprint, remembered, time.time()))

    def forget(self, fingerprint: str) -> None:
        with self._using() as base:
            base.execute("delete from jobs where fingerprint = ?", (fingerprint,))

    # Documents: named and written atomically, like an execution's history

    def write_document(self, kind: str, name: str, content: bytes) -> None:
        self.write_documents(name, {kind: content})

    def write_documents(self, name: str, contents: dict[str, bytes]) -> None:
        """Write all of them or, after a crash, none."""
        now, rows = time.time(), ", ".join(["(?, ?, ?, ?)"] * len(contents))
        values = [value for kind, content in contents.items() for value in (kind, name, content, now)]
        with self._using() as base:
            base.execute(f"insert or replace into documents values {rows}", values)  # nosec B608 - question marks

    def remove_document(self, kind: str, name: str) -> None:
        with self._using() as base:
            base.execute("delete from documents where kind = ? and name = ?", (kind, name))

    def document(self, kind: str, name: str) -> bytes | None:
        with self._using():
            row = self._base.execute(
                "select content from documents where kind = ? and name = ?", (kind, name)
            ).fetchone()
        return row[0] if row else None

    def documents(self, kind: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """In the order of their writing."""
        among = (kind, prefix, prefix + chr(0x10FFFF))
        query = "select name, content from documents where kind = ? and name >= ? and name < ? order by rowid"
        with self._using():
            return list(self._base.execute(query, among))


def _stored(key: str, sha256: str, size: int, etag: str, headers: str, modified: float) -> Stored:
    return Stored(key, Content(sha256, size, etag), json.loads(headers), modified)


def _damaged(place: Path) -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(place))


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def pieces(source: Path) -> Iterator[bytes]:
    with source.open("rb", buffering=0) as file:  # a buffer costs two more system calls
        while piece := file.read(_CHUNK):
            yield piece
