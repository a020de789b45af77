"""Replacing parts of somebody else's package, and putting all of them back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Patches:
    """What was replaced; `undo` puts it back in the opposite order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def attribute(self, owner: Any, name: str, new: Any) -> None:
        # The raw entry, so that a static method is put back as one.
        own = vars(owner)
        if name in own:
            old = own[name]
            self._undo.append(lambda: setattr(owner, name, old))
        else:
            self._undo.append(lambda: delattr(owner, name))
        setattr(owner, name, new)

    def everywhere(self, package: str, old: Any, new: Any) -> None:
        """In each loaded module of the package that has `old` under some name: `from x import y` makes copies."""
        for name, module in list(sys.modules.items()):
            if name == package or name.startswith(f"{package}."):
                for key, value in list(vars(module).items()):
                    if value is old:
                        self.attribute(module, key, new)

    def entry(self, mapping: dict[Any, Any], key: Any, new: Any) -> None:
        if key in mapping:
            old = mapping[key]
            self._undo.append(lambda: mapping.__setitem__(key, old))
        else:
            self._undo.append(lambda: mapping.pop(key, None))
        mapping[key] = new

    def later(self, undo: Callable[[], None]) -> None:
        self._undo.append(undo)

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()
