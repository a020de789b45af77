"""Parsed definitions, cached in DIR/compiled/ and in memory: parsing takes longer than a small run.

Unpickling only creates objects of moto's interpreter, so a manipulated file does no harm.
"""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from localaws.base.patches import Patches

_ALLOWED = ("moto.stepfunctions.parser.", "localaws.sagemaker.sync_task", "localaws.codebuild.sync_task")
_LOCALAWS = Path(__file__).parents[1]
_MOST = 64  # definitions in memory; older ones are read again
_made: dict[str, Any] = {}
_making = threading.Lock()  # uploads start runs in parallel: one parses, the others wait


def install(folder: Path) -> Patches:
    """Install after all fixes, because they change the result of parsing."""
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    plain: Callable[[str], Any] = AmazonStateLanguageParser.parse
    surroundings = _surroundings()

    def parse(definition: str) -> Any:
        key = hashlib.sha256(f"{surroundings}{definition}".encode()).hexdigest()[:32]
        with _making:
            made = _made.get(key)
            if made is None:
                file = folder / f"{key}.parsed"
                made = _made[key] = _read(file) or _written(file, _parsed(plain, definition))
                for old in list(_made)[:-_MOST]:
                    del _made[old]
        return made, None  # the second is the parse tree, which is unused

    patches = Patches()
    patches.attribute(AmazonStateLanguageParser, "parse", staticmethod(parse))
    return patches


def _parsed(plain: Callable[[str], Any], definition: str) -> Any:
    collecting = gc.isenabled()
    gc.disable()  # it would repeatedly walk a million live objects
    try:
        return plain(definition)[0]
    finally:
        if collecting:
            gc.enable()


def _surroundings() -> str:
    """Everything the result depends on, except the definition."""
    import moto

    ours = [hashlib.sha256(file.read_bytes()).hexdigest() for file in _deciding()]
    return f"{moto.__version__} {sys.version} {ours}"


def _deciding() -> list[Path]:
    """The files that affect the result."""
    tasks = [*_LOCALAWS.glob("*/sync_task.py"), _LOCALAWS / "stepfunctions" / "waiting_task.py"]
    return sorted([*_LOCALAWS.glob("moto_fixes/*.py"), *tasks])


class _OfTheInterpreter(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(_ALLOWED) else None
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong to a definition")
        return found


def _read(file: Path) -> Any:
    try:
        return _OfTheInterpreter(BytesIO(file.read_bytes())).load()
    except Exception:  # a corrupt file can raise anything; parse again
        return None


def _written(file: Path, made: Any) -> Any:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    file.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(pickle.dumps(made, 5))
    part.replace(file)
    return made
