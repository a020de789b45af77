"""Python's garbage collector, paused where it only costs time."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def left_at_exit() -> None:
    """The process ends without taking apart what it leaves: of moto, that takes a second."""
    atexit.register(gc.freeze)


@contextmanager
def paused() -> Iterator[None]:
    """A large definition is a million objects that all live on: the collector would walk them again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def kept() -> Iterator[None]:
    """What was made up to now is not looked at by the collector until the end of the block, which it all outlives."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
