"""What a job runs for an image, in this order:

1. `python3 /opt/program/NAME.py`: that script of the code folder, as a process
2. sagemaker-xgboost: an equivalent of AWS's image (localaws/containers), as a process
3. an image that buildah has, in a container (bubblewrap.py)
4. the commands that the settings have for the image, as processes
5. `train` and `serve` of an image that docker/build.sh makes: that script of the code folder, as a process
6. else the job fails with a sentence about what is missing
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from localaws import containers
from localaws.sagemaker import bubblewrap
from localaws.sagemaker.built_in import BuiltIn, built_in, named
from localaws.sagemaker.job_cache import code_of, packages
from localaws.sagemaker.job_process import JobFailed, Program, Script

PROGRAM = "/opt/program/"
_SCRIPT = re.compile(f"{PROGRAM}[^/]*\\.py")
_TRAINERS = ("autogluon",)  # our images with the command `train`
_FOLDER = Path(containers.__file__).parent


Commands = Mapping[str, Mapping[str, Sequence[str]]]  # by the image's address without digest and tag, and the verb


def program(
    image: str,
    entrypoint: list[str],
    arguments: list[str],
    verb: str,
    code: Path | None,
    processes: Commands | None = None,
) -> Program:
    """`verb` is the argument that SageMaker gives to an image without an entrypoint: train or serve."""
    match [*entrypoint, *arguments]:
        case [python, script, *rest] if code and python.startswith("python") and _SCRIPT.fullmatch(script):
            return _script(code / script.removeprefix(PROGRAM), rest)
    if verb and not entrypoint and (known := built_in(image)):
        return _equivalent(image, known, verb)
    own = (processes or {}).get(_address(image), {}).get(verb)
    if own and not (entrypoint or arguments) and not bubblewrap.has(image):
        return _process(image, verb, own)
    if code and not (entrypoint or arguments) and _is_ours(image, verb, code) and not bubblewrap.has(image):
        return _script(code / f"{verb}.py", [])
    return bubblewrap.image(image, entrypoint, arguments, verb)


def _address(image: str) -> str:
    host, slash, name = image.partition("@")[0].partition("/")
    return host + slash + name.partition(":")[0]


def _process(image: str, verb: str, command: Sequence[str]) -> Script:
    files = {word: code_of(Path(word)) for word in command if os.path.isfile(word)}
    note = f"{named(image)[0]} is a container; locally its {verb} runs as a process: {shlex.join(command)}"
    return Script(tuple(command), {"command": [*command], "files": files, "python": _python()}, note)


def variables(image: str, code: Path | None) -> dict[str, str]:
    """What an image of docker/build.sh sets with ENV, for its server as a process."""
    return {"STEPGLUON_PROGRAM": _last(image)} if code and _is_ours(image, "serve", code) else {}


def _last(image: str) -> str:
    return named(image)[0].rpartition("-")[2]


def _is_ours(image: str, verb: str, code: Path) -> bool:
    """Whether an image of docker/build.sh, named after the last dash, has the command."""
    name = _last(image)
    return name in _TRAINERS if verb == "train" else verb == "serve" and (code / f"{name}_model.py").is_file()


def _script(place: Path, arguments: list[str]) -> Script:
    identity = {"arguments": arguments, "code": code_of(place), "python": _python()}
    return Script((sys.executable, os.fspath(place), *arguments), identity)


def _equivalent(image: str, known: BuiltIn, verb: str) -> Script:
    (repository, tag), name = named(image), known.package
    found = _version(name)
    if not found:
        raise JobFailed(f"ClientError: {repository} needs the Python package {name} locally: pip install {name}-cpu.")
    does = "trains" if verb == "train" else "predicts"
    return Script(
        (sys.executable, os.fspath(_FOLDER / "command.py"), name, verb),
        {"code": _code(_FOLDER / name), "python": _python()},
        f"{repository}:{tag} is AWS's image; locally an equivalent {does} with {name} {found}.",
    )


def _version(name: str) -> str:
    """The version of an installed package or of its variant for CPUs; empty if there is none."""
    places = (re.fullmatch(rf"{name}(?:_cpu)?-(\d+\.\d+).*\.dist-info", entry) for entry in packages())
    return next((found[1] for found in places if found), "")


def _python() -> list[Any]:
    return [sys.version, sorted(packages())]


@cache
def _code(folder: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        whole.update(file.name.encode() + file.read_bytes())
    return whole.hexdigest()
