"""Pauses Python's garbage collector where it only costs time."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def left_at_exit() -> None:
    """Skip the cleanup at exit: for moto it takes a second."""
    atexit.register(gc.freeze)


@contextmanager
def paused() -> Iterator[None]:
    """Pause: a large definition is a million live objects, which the collector would walk again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def kept() -> Iterator[None]:
    """Exclude existing objects from collection until the end of the block, which they all outlive."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
