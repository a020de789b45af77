"""What a job runs for an image, in this order:

1. `python3 /opt/program/NAME.py`: that script of the code folder, as a process
2. sagemaker-xgboost: an equivalent of AWS's image (localaws/containers), as a process
3. an image that buildah has, in a container (bubblewrap.py)
4. `train` and `serve` of an image that docker/build.sh makes: that script of the code folder, as a process
5. else the job fails with a sentence about what is missing
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from localaws import containers
from localaws.sagemaker import bubblewrap
from localaws.sagemaker.job_cache import code_of, packages
from localaws.sagemaker.job_process import JobFailed, Program, Script

PROGRAM = "/opt/program/"
_SCRIPT = re.compile(f"{PROGRAM}[^/]*\\.py")
EQUIVALENTS = {"sagemaker-xgboost": "xgboost"}  # the image's repository, and the folder in localaws/containers
# By the image's repository, or what follows its last dash, as docker/build.sh names images.
_COMMANDS = {"autogluon": ("train", "serve"), "xgboost": ("serve",)}
# https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html; CloudWatch shows a tab as #011
_METRICS = {"sagemaker-xgboost": re.compile(r"#011(train|validation)-([^\s:#]+):([-+.\deinfa]+)")}
_FOLDER = Path(containers.__file__).parent


def program(image: str, entrypoint: list[str], arguments: list[str], verb: str, code: Path | None) -> Program:
    """`verb` is the argument that SageMaker gives to an image without an entrypoint: train or serve."""
    match [*entrypoint, *arguments]:
        case [python, script, *rest] if code and python.startswith("python") and _SCRIPT.fullmatch(script):
            return _script(code / script.removeprefix(PROGRAM), rest)
    repository, tag = _named(image)
    if repository in EQUIVALENTS and verb and not entrypoint:
        return _equivalent(repository, tag, verb)
    ours = not (entrypoint or arguments) and verb in _COMMANDS.get(repository.rpartition("-")[2], ())
    if ours and code and not bubblewrap.has(image):
        return _script(code / f"{verb}.py", [])
    return bubblewrap.image(image, entrypoint, arguments, verb)


def _script(place: Path, arguments: list[str]) -> Script:
    identity = {"arguments": arguments, "code": code_of(place), "python": _python()}
    return Script((sys.executable, os.fspath(place), *arguments), identity)


def built_in_metrics(image: str) -> re.Pattern[str] | None:
    """Finds the metrics that AWS defines for an image of its own; None for other images."""
    return _METRICS.get(_named(image)[0])


def _named(image: str) -> tuple[str, str]:
    """An image's repository and tag, without registry and digest."""
    repository, _, tag = image.rpartition("/")[2].partition("@")[0].partition(":")
    return repository, tag


def _equivalent(repository: str, tag: str, verb: str) -> Script:
    name = EQUIVALENTS[repository]
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
