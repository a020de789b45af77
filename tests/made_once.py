"""Values that take long to make and depend on their key alone, made once for all of pytest's workers."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import forks

_made: dict[str, Any] = {}


def made_once(kind: str, text: str, make: Callable[[], Any]) -> Any:
    """What `make` returns, which is JSON, for this text. Do not change it: others get the same object."""
    key = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    if key not in _made:
        _made[key] = _shared(key, make) if _folder() else make()
    return _made[key]


@cache
def _folder() -> str:
    return forks.folder()  # it ends with the session


def _shared(key: str, make: Callable[[], Any]) -> Any:
    with Path(_folder(), key).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (known := file.read()):
            known = json.dumps(make())
            file.write(known)
    return json.loads(known)
