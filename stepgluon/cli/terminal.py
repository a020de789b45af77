"""A command's output: results to stdout or a file, progress and errors to stderr."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from stepgluon.errors import ConfigError, StepgluonError, SurroundingsError, UsageError, visible

if TYPE_CHECKING:
    from stepgluon.runs.progress import Progress


class Terminal:
    def __init__(self, results: TextIO | None, progress: TextIO | None, colour: bool) -> None:
        """Drop output to a stream that the shell has closed, which is None in Python."""
        for stream in (results, progress):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # for terminals that are not UTF-8
        self.results = results or io.StringIO()
        self._progress: io.TextIOBase = Unheard(progress) if progress else io.StringIO()
        self._colour = colour and self._progress.isatty()

    def result(self, text: str) -> None:
        """Write a whole result or raise SurroundingsError; BrokenPipeError means that the reader has left."""
        try:
            self.results.write(visible(text))
            self.results.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            forget(self.results)
            raise SurroundingsError(f"the output cannot be written: {_reason(error)} (send it elsewhere)") from None

    def say(self, text: str) -> None:
        print(visible(text), file=self._progress)

    def error(self, error: StepgluonError) -> None:
        # A config's problems are printed in the format of compilers, for editors and tools.
        text = visible(str(error))
        if not isinstance(error, ConfigError):
            text = f"\033[1;31merror:\033[0m {text}" if self._colour else f"error: {text}"
        print(text, file=self._progress)

    def progress(self) -> Progress:
        from stepgluon.runs.progress import Progress

        return Progress(self._progress, self._colour, self._progress.isatty())


class Unheard(io.TextIOBase):
    """A stream for progress and errors that ignores a full disk or a closed pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def forget(stream: TextIO) -> None:
    """Keep Python from reporting the failed write again when it closes the stream."""
    if stream is sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_file(file: Path, content: str | bytes, source: Path | None = None) -> None:
    """Write the file atomically. `source` is a file that must not be overwritten."""
    if source is not None and file.exists() and source.exists() and file.samefile(source):
        raise UsageError(f"{file} is the config itself (name another file)")
    body = content.encode() if isinstance(content, str) else content
    try:
        target = file.resolve()  # keeps a link a link
        if target.exists() and not target.is_file():
            target.write_bytes(body)  # a device or a pipe; a folder raises
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            message = f"{file.parent} cannot be a folder: a file is in its place (name another place)"
            raise SurroundingsError(message) from None
        part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
        try:
            part.write_bytes(body)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SurroundingsError(f"{file} cannot be written: {_reason(error)} (name another place)") from None


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()
