"""Replaces parts of another package, and restores them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Patches:
    """The replaced parts; `undo` restores them in reverse order."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._overwritten: list[str] = []

    def attribute(self, owner: Any, name: str, new: Any) -> None:
        # The raw entry: a static method must be restored as a static method.
        own = vars(owner)
        there, old = name in own, own.get(name)

        def undo() -> None:
            if vars(owner).get(name) is not new:
                self._overwritten.append(f"{owner.__name__}.{name}")
            if there:
                setattr(owner, name, old)
            else:
                delattr(owner, name)

        self._undo.append(undo)
        setattr(owner, name, new)

    def everywhere(self, package: str, old: Any, new: Any) -> None:
        """Replace `old` in each loaded module of the package that has imported it, under any name."""
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
        """Raises if others patched a part after us: their undo would bring our version back."""
        while self._undo:
            self._undo.pop()()
        if self._overwritten:
            raise RuntimeError(f"also patched by others: {', '.join(self._overwritten)}")
