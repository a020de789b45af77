"""Events that no function has dealt with yet, on disk: whoever was told that an upload succeeded can rely on its run.

One file for each event, from before the upload's answer until the function has succeeded or the event is in the
dead-letter queue. What a killed server leaves there, the next one delivers.
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
        """Writes an event down; where it stands, or None where the disk takes no more and memory has to do."""
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
        """All that stands there, the oldest first; what cannot be read is put aside."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                told = json.loads(file.read_text("utf-8"))
                arn, event = str(told["arn"]), told["event"]
            except FileNotFoundError:
                continue  # a function has dealt with it meanwhile
            except (OSError, ValueError, TypeError, LookupError):  # what a power cut or a bad disk leaves
                with contextlib.suppress(OSError):
                    file.replace(file.with_suffix(".damaged"))
                print(f"{file} is damaged: the upload that it tells of has no run, upload it again.", file=sys.stderr)
            else:
                yield file, arn, event

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        for file, _, event in self.left():
            if unwanted(event):
                self.settle(file)

    def settle(self, file: Path | None) -> None:
        """The event is dealt with; where the disk lets no file be removed, the next server delivers it once more."""
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink()
