"""Unhandled events on disk: a confirmed upload gets its run even if the server is killed.

One file per event: written before the upload is answered, removed when the function has succeeded or the event is in
the dead-letter queue. The next server delivers the events left by a killed one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Pending:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def keep(self, arn: str, event: Any) -> Path | None:
        """Persist an event; return its path, or None if the disk is full and the event is only in memory."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}"
        part = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"arn": arn, "event": event}))
                file.flush()
                os.fsync(file.fileno())
            return part.replace(self._folder / f"{name}.json")
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return None

    def left(self) -> Iterator[tuple[Path, str, Any]]:
        """All events, oldest first; unreadable files are renamed to .damaged."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                content = json.loads(file.read_text("utf-8"))
                arn, event = str(content["arn"]), content["event"]
            except FileNotFoundError:
                continue  # handled in the meantime
            except (OSError, ValueError, TypeError, LookupError):  # corrupt, after a power cut or on a bad disk
                with contextlib.suppress(OSError):
                    file.replace(file.with_suffix(".damaged"))
                print(f"{file} is damaged, so its upload has no run: upload the file again.", file=sys.stderr)
            else:
                yield file, arn, event

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        for file, _, event in self.left():
            if unwanted(event):
                self.settle(file)

    def settle(self, file: Path | None) -> None:
        """Remove the file of a handled event; if that fails, the next server delivers it again."""
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink()
