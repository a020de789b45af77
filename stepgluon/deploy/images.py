"""The jobs' images in ECR: finds existing ones by their content tag, and builds and pushes the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer
from stepgluon.errors import StepgluonError, SurroundingsError

if TYPE_CHECKING:
    from stepgluon.deploy.release import Image
    from stepgluon.names import Names

SCRIPT = Path(__file__).parent.parent.parent / "docker" / "build.sh"


_SHORT = 100  # characters of a repeated reason


class NotBuilt(StepgluonError):
    """An image could not be built or pushed."""


class Builder(Protocol):
    def push(self, image: Image) -> str:
        """Build the image if necessary, and push it; return its digest."""


def digest_in_ecr(door: Door, image: Image) -> str:
    """The digest of the image's tag in ECR; empty if the tag or the repository is missing.

    Of an image that runs build, the tag itself, whether it is there or not.
    """
    if image.in_runs:
        return image.tag
    ecr, tag = door.client("ecr"), {"imageTag": image.tag}
    found = answer(
        lambda: ecr.describe_images(repositoryName=image.repository, imageIds=[tag]),
        *("ImageNotFoundException", "RepositoryNotFoundException"),
    )
    return str(found["imageDetails"][0]["imageDigest"]) if found else ""


class Docker:
    """Builds with docker/build.sh, which uses docker, podman or buildah, and the aws command line for ECR."""

    def __init__(self, names: Names, tell: Callable[[str], None]) -> None:
        self._names = names
        self._tell = tell

    def push(self, image: Image) -> str:
        address = self._names.image(image.name).partition("@")[0]
        # If installed from the lock, the aws command line is in the same folder as this Python.
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
        said: list[str] = []
        with subprocess.Popen(
            ["bash", str(SCRIPT), "--push", f"{address}={image.folder}" if image.folder else address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PATH": path},
        ) as build:
            assert build.stdout and build.stderr
            for line in build.stderr:
                said.append(line.rstrip())
                self._tell(f"  {said[-1]}")
            result = build.stdout.read().split()
        if build.returncode:
            raise self._failed(image, next((line for line in reversed(said) if line), "it says nothing"))
        tag, digest = result[0].rpartition(":")[2], result[-1]
        if tag != image.tag or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise NotBuilt(f"docker/build.sh has pushed {' '.join(result)} and not {image.tag}: a file was changed "
                           f"meanwhile, or BASE or PLATFORM is set (run the command again)")  # fmt: skip
        return digest

    def _failed(self, image: Image, last: str) -> StepgluonError:
        reason = last.removeprefix("docker/build.sh: ")
        if re.search(r"none is here|not installed here", reason):
            return SurroundingsError(
                f"the image {image.name} is not in ECR yet and cannot be built here: {reason} (install it, or let "
                f"CodeBuild build: give the config a `cicd`, and `{pipeline_py('deploy --only base cicd')}`)"
            )
        if len(reason) > _SHORT:
            reason = "its last words are above"  # the engine already prints everything; do not repeat it
        return NotBuilt(
            f"the image {image.name} could not be built and pushed: {reason} (`docker/build.sh {image.name}` builds "
            f"it alone; then run the command again)"
        )
