"""Images without a Docker engine: buildah with chroot isolation, as root, on a base that debootstrap makes.

Base and images stay in the user's cache folder, so that only what changed is built again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepgluon"
BASE = "localhost/debian:bookworm"
NOBODY = 65534


def missing() -> str | None:
    """What this computer lacks for building images so, None where it has all."""
    tools = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    if tools:
        return f"{' and '.join(tools)} not installed: apt-get install buildah debootstrap"
    return None if os.geteuid() == 0 else "not root: buildah's chroot isolation and debootstrap need it"


def call(*command: str | Path, **environment: str) -> str:
    """The command's standard output; a failure shows all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, env=environ() | environment, cwd=HOUSE)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environ() -> dict[str, str]:
    """A store of our own, so that the user's images are neither seen nor touched."""
    settings = CACHE / "storage.conf"
    return os.environ | {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(settings), "ENGINE": "buildah"}


def make_store() -> None:
    """Layers on top of each other where the kernel and the disk can do that, copies elsewhere."""
    for driver in ("overlay", "vfs"):
        store = {"driver": driver, "graphroot": str(CACHE / f"images-{driver}"), "runroot": str(CACHE / "run")}
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in store.items()]
        (CACHE / "storage.conf").write_text("[storage]\n" + "".join(lines))
        if subprocess.run(["buildah", "info"], capture_output=True, env=environ()).returncode == 0:
            return


@contextmanager
def alone() -> Iterator[None]:
    """Keeps other test runs of this user from the store; what one that was killed left in it goes."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        make_store()
        call("buildah", "rm", "--all")
        yield


def make_base() -> None:
    """A plain Debian bookworm as the image BASE, unless it is there."""
    if subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, env=environ()).returncode:
        container = call("buildah", "from", "scratch").strip()
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            call("debootstrap", "--variant=minbase", "bookworm", folder)
            shutil.rmtree(Path(folder) / "var/cache/apt")
            call("buildah", "add", "--quiet", container, folder, "/")
        call("buildah", "commit", "--quiet", "--rm", container, BASE)


def built(kind: str) -> str:
    """The image's name and tag; images of the same kind that were built before go."""
    name = f"stepgluon-{kind}"
    line = call(HOUSE / "docker/build.sh", name, BASE=BASE).strip()
    for image in json.loads(call("buildah", "images", "--json", "--filter", f"reference=localhost/{name}") or "[]"):
        for old in image["names"] or []:
            if old != f"localhost/{line}":
                call("buildah", "rmi", old)
    call("buildah", "rmi", "--prune")
    return line


@dataclass(frozen=True)
class Ran:
    code: int
    said: str


class Container:
    """A working container of an image; its files can be looked at from outside."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.name = call("buildah", "from", image).strip()
        self.root = Path(call("buildah", "mount", self.name).strip())

    def run(self, *command: str, opt_ml: Path | None = None, **variables: str) -> Ran:
        """Runs as a user who may write to /opt/ml and /tmp alone."""
        mounts: list[str] = []
        if opt_ml:
            call("chown", "-R", f"{NOBODY}:{NOBODY}", opt_ml)
            mounts = ["--volume", f"{opt_ml}:/opt/ml"]
        given = [text for key, value in variables.items() for text in ("--env", f"{key}={value}")]
        line = ["buildah", "run", "--user", f"{NOBODY}:{NOBODY}", *mounts, *given, self.name, "--", *command]
        done = subprocess.run(line, capture_output=True, text=True, env=environ())
        return Ran(done.returncode, done.stdout + done.stderr)

    def config(self) -> dict[str, Any]:
        return json.loads(call("buildah", "inspect", "--type", "image", self.image))["Docker"]["config"]

    def files(self) -> set[str]:
        """Every file's place in the image."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def remove(self) -> None:
        call("buildah", "rm", self.name)
