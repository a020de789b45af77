"""A cache of completed jobs: the same code, settings and inputs give the same outputs.

The fingerprint excludes what differs in each run without an effect: names, tags, roles, S3 locations. Cached contents
are checked against their hashes before use.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

from localaws.s3.store import Content, Objects
from localaws.sagemaker.job_files import Found, Uploaded, outputs_of
from localaws.sagemaker.job_process import Program

# The fields of a request that determine the outputs: not location, time limit or name.
_FIELDS = ("HyperParameters", "Environment", "AlgorithmSpecification", "AppSpecification")
_IMPORTS = re.compile(rb"^[ \t]*(?:from|import)[ \t](.*)", re.MULTILINE)


class JobCache:
    def __init__(self, objects: Objects, fresh: bool) -> None:
        self._objects = objects
        self._fresh = fresh

    def fingerprint(self, kind: str, request: dict[str, Any], program: Program, found: list[Found], count: int) -> str:
        known = {
            "kind": kind,
            "request": {field: request.get(field) for field in _FIELDS},
            "instances": count,
            "program": program.identity,
            "content_types": [channel.get("ContentType") for channel in request.get("InputDataConfig", [])],
            "inputs": [
                [one.input.folder, one.input.sharded, [[name, stored.content.sha256] for name, stored in one.files]]
                for one in found
            ],
            "outputs": [[output.folder, output.archive] for output in outputs_of(kind, "", request)],
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def get(self, fingerprint: str) -> tuple[list[Uploaded], str, list[Any]] | None:
        """A completed job's outputs, exit message and metrics, if all outputs are intact."""
        text = None if self._fresh else self._objects.remembered(fingerprint)
        if text is None:
            return None
        known = json.loads(text)
        outputs = [(number, name, Content(sha, size, etag)) for number, sha, name, size, etag in known["outputs"]]
        if not all(self._objects.whole(content) for _, _, content in outputs):
            self._objects.forget(fingerprint)
            return None
        return outputs, known["message"], known.get("metrics", [])

    def put(self, fingerprint: str, outputs: list[Uploaded], message: str, metrics: list[Any]) -> None:
        entries = [[number, content.sha256, name, content.size, content.etag] for number, name, content in outputs]
        known = {"outputs": entries, "message": message, "metrics": metrics}
        self._objects.remember(fingerprint, json.dumps(known))


def code_of(script: Path) -> dict[str, str]:
    """The hashes of the script and of everything it imports from its folder, directly or indirectly.

    A module that is imported by a name made up at run time is one of those that load a program's model.
    """
    hashes: dict[str, str] = {}
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file.name in hashes or not file.is_file():
            continue
        source = file.read_bytes()
        hashes[file.name] = hashlib.sha256(source).hexdigest()
        words = {
            word for line in _IMPORTS.findall(source) for word in re.findall(r"\w+", line.decode("utf-8", "replace"))
        }
        waiting += [script.parent / f"{word}.py" for word in words]  # most are not files
        waiting += script.parent.glob("*_model.py") if b"import_module(" in source else []
    return hashes


@cache
def packages() -> list[str]:
    """The installed packages with versions, from the names of their folders."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return [name for place in places for name in os.listdir(place) if name.endswith(".dist-info")]
