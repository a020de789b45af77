"""Containers: an image that buildah has, run by bubblewrap on its mounted root.

Each has its own processes, network without a way out, and copy of the image's files; /opt/ml is the job's folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from localaws.sagemaker.job_process import ROOT, Instance, JobFailed, Surroundings

PORT = 8080
# Docker's, but those for networks, devices and other processes' files.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
_NEWNET = 0x40000000  # CLONE_NEWNET
_INSTALL = "apt-get install buildah bubblewrap"


@dataclass(frozen=True)
class Image:
    """An image with the command of a job: a Program."""

    identity: Any
    command: tuple[str, ...]
    variables: tuple[str, ...]  # of the image, as NAME=value
    folder: str
    note: str = ""

    def start(self, surroundings: Surroundings, log: Callable[[str], None], ended: Callable[[], None]) -> Instance:
        return Container(self, surroundings, log, ended)


def image(name: str, entrypoint: list[str], arguments: list[str], verb: str) -> Image:
    """The image with the command that SageMaker would run; raises JobFailed with what is missing."""
    if lacking := missing():
        raise JobFailed(f"ClientError: the image {name} is a container, and running it locally needs {lacking}.")
    found = _inspected(name)
    if found is None:
        raise JobFailed(f"ClientError: the image {name} is not on this computer; build it with buildah, or pull it.")
    config = found["Docker"]["config"]
    before = entrypoint or config.get("Entrypoint") or []
    after = arguments or ([verb] if verb and not entrypoint else []) or ([] if entrypoint else config.get("Cmd") or [])
    return Image(
        {"image": found["FromImageID"], "arguments": [*before, *after]},
        (*before, *after),
        tuple(config.get("Env") or ()),
        config.get("WorkingDir") or "/",
    )


def missing() -> str:
    """What this computer lacks to run containers, with the way to get it; empty if it has all."""
    lacks = [package for package, tool in (("buildah", "buildah"), ("bubblewrap", "bwrap")) if not shutil.which(tool)]
    if lacks:
        return f"{' and '.join(lacks)} ({_INSTALL})"
    return "" if os.geteuid() == 0 else "root (sudo)"


def has(name: str) -> bool:
    """Whether this computer can run the image in a container."""
    return not missing() and _inspected(name) is not None


def _inspected(name: str) -> Any:
    """An image by its own name, or by that of a local build, which has no registry; None if it is not there.

    A digest names one image exactly, and a local build has another one, unless `tag` has said so.
    """
    names = (name, _as_tag(name)) if "@" in name else (name, f"localhost/{name.rpartition('/')[2]}")
    for known in dict.fromkeys(names):
        done = _buildah("inspect", "--type", "image", known)
        if done.returncode == 0:
            return json.loads(done.stdout)
    return None


def identity(name: str) -> str:
    """The id of an image that buildah has."""
    return str(_inspected(name)["FromImageID"])


def labels(name: str) -> dict[str, str]:
    """The labels of an image that buildah has."""
    return dict(_inspected(name)["Docker"]["config"].get("Labels") or {})


def tag(identity: str, name: str) -> None:
    """Give a local build the name, with the digest, that a registry would have for it."""
    _buildah("tag", identity, _as_tag(name))


def _as_tag(name: str) -> str:
    return name.replace("@sha256:", ":sha256-")


def _buildah(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["buildah", *words], capture_output=True, text=True)


class Container(Instance):
    def __init__(
        self, image: Image, given: Surroundings, log: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._name = f"stepgluon-job-{secrets.token_hex(6)}"
        made = _buildah("from", "--pull=never", "--name", self._name, image.identity["image"])
        mounted = _buildah("mount", self._name)
        if made.returncode or mounted.returncode:
            _buildah("rm", self._name)
            raise JobFailed(f"ClientError: the image cannot be mounted: {(made.stderr or mounted.stderr).strip()}")
        info, write = os.pipe()
        with os.fdopen(write, "wb"):
            process = subprocess.Popen(
                ["bwrap", "--info-fd", str(write), *_boxed(image, given, mounted.stdout.strip())],
                env={"PATH": os.environ.get("PATH", os.defpath)},
                pass_fds=(write,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with os.fdopen(info, "rb") as started:  # empty if bwrap fails
            self._first = json.loads(started.read() or b"{}").get("child-pid", 0)
        super().__init__(process, log, ended)

    @property
    def cleaning(self) -> Sequence[str]:
        kept = [
            f"{name}={os.environ[name]}" for name in ("HOME", "PATH", "CONTAINERS_STORAGE_CONF") if name in os.environ
        ]
        return ("/usr/bin/env", *kept, "buildah", "rm", self._name)

    def connect(self) -> socket.socket:
        """A connection made in the container's network; a thread can enter that alone, and the socket stays in it."""
        made: list[socket.socket] = []

        def inside() -> None:
            with suppress(OSError), open(f"/proc/{self._first}/ns/net", "rb") as namespace:
                if ctypes.CDLL(None).setns(namespace.fileno(), _NEWNET) == 0:
                    made.append(socket.create_connection(("127.0.0.1", PORT)))

        thread = threading.Thread(target=inside, daemon=True)
        thread.start()
        thread.join()
        if not made:
            raise ConnectionRefusedError(f"no server on port {PORT} of the container")
        return made[0]

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process; bwrap passes none on."""
        with suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGTERM) if self._first else super().terminate()

    def close(self) -> None:
        super().close()
        _buildah("rm", self._name)


def _boxed(image: Image, given: Surroundings, root: str) -> list[str]:
    """bwrap's arguments."""
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        **dict(text.partition("=")[::2] for text in image.variables),
        **given.declared,
        **given.service,
        **({"SAGEMAKER_BIND_TO_PORT": str(PORT)} if given.port else {}),
    }
    words = ["--bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--bind", os.fspath(given.root), ROOT]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--hostname", given.root.name]
    words += ["--die-with-parent", "--as-pid-1", "--clearenv", "--chdir", image.folder, "--cap-drop", "ALL"]
    words += [word for name in _CAPABILITIES for word in ("--cap-add", f"CAP_{name}")]
    words += [word for name, value in variables.items() for word in ("--setenv", name, value)]
    return [*words, "--", *image.command]
