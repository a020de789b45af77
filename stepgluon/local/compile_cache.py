"""The definition, compiled once for a config and the files that make it, however often the run is repeated.

What was compiled is kept under the work folder with the hashes of the config and of every file of this project that was
loaded for it. When one of them changes, it is compiled anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from stepgluon.config.source import LoadedConfig
from stepgluon.names import Names

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

ROOT = Path(__file__).parent.parent.parent
_DATA = ("stepgluon/config/aws_facts.json",)
_PACKAGES = ("stepfunctions", "botocore")


def compiled(loaded: LoadedConfig, workflow: Workflow, work: Path, compile_: Callable[[], str]) -> str:
    """The definition's text."""
    file = work / "compiled" / f"{_key(loaded, workflow)}.json"
    known = _read(file)
    if known:
        return known
    text = compile_()
    sources = {os.fspath(path): _hash(path) for path in _loaded_sources(workflow)}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.write_text(json.dumps({"sources": sources, "definition": text}), encoding="utf-8")
    part.replace(file)
    return text


def _key(loaded: LoadedConfig, workflow: Workflow) -> str:
    versions = [metadata.version(package) for package in _PACKAGES]
    told = [Names(loaded.config).config_json, os.fspath(_file_of(workflow)), sys.version, *versions]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _file_of(workflow: Workflow) -> Path:
    return Path(workflow.__code__.co_filename).resolve()


def _loaded_sources(workflow: Workflow) -> list[Path]:
    """The files of this project, and those beside the workflow, that are loaded now."""
    places = (ROOT, _file_of(workflow).parent)
    files = {
        Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    ours = {file for file in files if any(place in file.parents for place in places) and not _installed(file)}
    return sorted(ours | {_file_of(workflow)} | {ROOT / name for name in _DATA})


def _installed(file: Path) -> bool:
    return "site-packages" in file.parts


def _read(file: Path) -> str:
    try:
        known = json.loads(file.read_text("utf-8"))
        fresh = all(_hash(Path(source)) == digest for source, digest in known["sources"].items())
        return str(known["definition"]) if fresh else ""
    except (OSError, ValueError, KeyError):
        return ""


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
