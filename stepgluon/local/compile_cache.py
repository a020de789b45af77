"""A cache of the compiled definition.

It is in the work folder, with the hashes of the config and of every project file that was loaded to compile it. If one
of them changes, the definition is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from stepgluon.config.source import LoadedConfig
from stepgluon.local.surroundings import write
from stepgluon.names import Names

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

ROOT = Path(__file__).resolve().parents[2]
_DATA = ("stepgluon/config/aws_facts.json",)
_PACKAGES = ("stepfunctions", "botocore")


def compiled(loaded: LoadedConfig, workflow: Workflow, work: Path) -> dict[str, str]:
    """The text of the definition and, by their names, those of the other machines."""
    file = work / "compiled" / f"{_key(loaded, workflow)}.json"
    known = _read(file)
    if known:
        return known
    from stepgluon.workflow.compile import compile_definition

    definition = compile_definition(loaded, workflow)
    texts = {"definition": definition.text, **definition.texts}
    sources = {os.fspath(path): _hash(path) for path in _loaded_sources(workflow)}
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, json.dumps({"sources": sources, "texts": texts}))
    return texts


def _key(loaded: LoadedConfig, workflow: Workflow) -> str:
    versions = [metadata.version(package) for package in _PACKAGES]
    # The jobs do not see every key of the config; what they see includes hashes of the user's scripts.
    parts = [
        repr(loaded.config),
        Names(loaded.config).config_json,
        os.fspath(_file_of(workflow)),
        sys.version,
        *versions,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _file_of(workflow: Workflow) -> Path:
    return Path(workflow.__code__.co_filename).resolve()


def _loaded_sources(workflow: Workflow) -> list[Path]:
    """The loaded modules of this project and those beside the workflow."""
    places = tuple(f"{place}{os.sep}" for place in (ROOT, _file_of(workflow).parent))
    loaded = {
        os.path.realpath(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    ours = {Path(file) for file in loaded if file.startswith(places) and "site-packages" not in file}
    return sorted(ours | {_file_of(workflow)} | {ROOT / name for name in _DATA})


def _read(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text("utf-8"))
        fresh = all(_hash(Path(source)) == digest for source, digest in known["sources"].items())
        return dict(known["texts"]) if fresh else {}
    except (OSError, ValueError, KeyError):
        return {}


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
