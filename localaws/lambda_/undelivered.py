"""Unhandled events on disk: a confirmed upload gets its run even if the server is killed.

An event is in the buckets' index before the upload is answered, until the function has succeeded or the event is in
the dead-letter queue. The next server delivers the events left by a killed one.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from localaws.s3.store import Objects

KIND = "event"


class Pending:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def keep(self, arn: str, event: Any) -> str | None:
        """Persist an event; return its name, or None if the disk is full and the event is only in memory."""
        name = str(uuid.uuid4())
        try:
            self._objects.write_document(KIND, name, json.dumps({"arn": arn, "event": event}).encode())
        except OSError:
            return None
        return name

    def left(self) -> Iterator[tuple[str, str, Any]]:
        """All events with their names and functions, oldest first."""
        for name, content in self._objects.documents(KIND):
            found = json.loads(content)
            yield name, found["arn"], found["event"]

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        for name, _, event in self.left():
            if unwanted(event):
                self.settle(name)

    def settle(self, name: str | None) -> None:
        """Remove a handled event; if that fails, the next server delivers it again."""
        if name is not None:
            with contextlib.suppress(OSError):
                self._objects.remove_document(KIND, name)
