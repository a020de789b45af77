"""Events that no function has dealt with yet, on disk: whoever was told that an upload succeeded can rely on its run.

One file for each event, from before the upload's answer until the function has succeeded or the event is in the
dead-letter queue. What a killed server leaves there, the next one delivers.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Callable
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
            part.write_text(json.dumps({"arn": arn, "event": event}), encoding="utf-8")
            return part.replace(self._folder / f"{name}.json")
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return None

    def left(self) -> list[tuple[Path, str, Any]]:
        """All that stands there, the oldest first."""
        found = []
        for file in sorted(self._folder.glob("*.json")):
            told = json.loads(file.read_text("utf-8"))
            found.append((file, str(told["arn"]), told["event"]))
        return found

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        for file, _, event in self.left():
            if unwanted(event):
                file.unlink(missing_ok=True)
