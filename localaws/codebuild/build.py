"""A build of an image: `docker build` and `docker push` of a buildspec, done by buildah.

No other command of a buildspec runs, because it would run on this computer, not in a container. `docker push IMAGE ||
docker manifest inspect IMAGE` succeeds if the push does, or if ECR has the tag already.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from localaws.iam.required_rights import Right
from localaws.sagemaker.job import Workshop

PHASES = ("install", "pre_build", "build", "post_build")
MEDIA = "application/vnd.docker"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LOGIN = re.compile(r"\bdocker login\b")
_TAKES_VALUE = {"--tag", "-t", "--file", "-f", "--build-arg", "--platform", "--target"}


class BuildFailed(Exception):
    """The build ends as FAILED with this message."""


class Build:
    def __init__(
        self, project: dict[str, Any], request: dict[str, Any], shop: Workshop, ecr: Callable[[], Any]
    ) -> None:
        self.project, self._shop, self._ecr = project, shop, ecr
        name, self._stream = project["name"], str(uuid.uuid4())
        self.id = f"{name}:{self._stream}"
        self.status, self.message, self.phase = "IN_PROGRESS", "", "SUBMITTED"
        self.started, self.ended = time.time(), 0.0
        self.done = threading.Event()
        source = dict(project["source"])
        for key, override in (("type", "sourceTypeOverride"), ("location", "sourceLocationOverride")):
            source[key] = request.get(override, source.get(key, ""))
        self.source = {**source, "buildspec": request.get("buildspecOverride", source.get("buildspec", ""))}
        declared = [*project["environment"].get("environmentVariables", ())]
        declared += request.get("environmentVariablesOverride", ())
        self.variables = {one["name"]: one["value"] for one in declared}
        self.group = (
            project.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName") or f"/aws/codebuild/{name}"
        )
        self._log = shop.logs.of_build(self.group, self._stream)
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name=self.id, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if not self.done.is_set():
            self.status = "STOPPED"
            if process := self._process:
                _kill(process)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def role(self) -> str:
        return str(self.project["serviceRole"])

    def described(self) -> dict[str, Any]:
        arn = self._shop.permissions.arn("codebuild", f"build/{self.id}")
        phases = [{"phaseType": self.phase, "phaseStatus": self.status, "startTime": self.started}]
        if self.message:
            phases[0]["contexts"] = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": self.message}]
        times = {"startTime": self.started, **({"endTime": self.ended} if self.done.is_set() else {})}
        return {
            **{"id": self.id, "arn": arn, "projectName": self.project["name"], "buildStatus": self.status, **times},
            **{"currentPhase": "COMPLETED" if self.done.is_set() else self.phase, "phases": phases},
            **{"buildComplete": self.done.is_set(), "source": self.source, "serviceRole": self.role},
            "logs": {"groupName": self.group, "streamName": self._stream},
        }

    def _run(self) -> None:
        folder = self._shop.folder / f"build-{self._stream}"
        try:
            self._unpack(folder)
            for phase, command in self._commands(folder):
                self.phase = phase
                self._do(command, folder)
            if self.status == "IN_PROGRESS":
                self.status = "SUCCEEDED"
        except BuildFailed as failure:
            self._fail(str(failure))
        except OSError as problem:
            self._fail(f"{problem.strerror}: {problem.filename}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.ended = time.time()
            self.done.set()

    def _fail(self, message: str) -> None:
        if self.status == "IN_PROGRESS":
            self.status, self.message = "FAILED", message
            self._log(message)

    def _unpack(self, folder: Path) -> None:
        self.phase = "DOWNLOAD_SOURCE"
        if lacking := missing():
            raise BuildFailed(f"building an image locally needs {lacking}")
        if self.source["type"] != "S3":
            raise BuildFailed(f"a source of type {self.source['type']} needs AWS; locally it is a zip in S3")
        bucket, _, key = self.source["location"].removeprefix("arn:aws:s3:::").partition("/")
        permissions = self._shop.permissions
        user = permissions.user(self.role, "CodeBuild")
        if refused := permissions.why_not(user, "s3:GetObject", {"Bucket": bucket, "Key": key}):
            raise BuildFailed(refused)
        found = self._shop.buckets.objects.one(bucket, key)
        if found is None:
            raise BuildFailed(f"NoSuchKey: s3://{bucket}/{key} does not exist")
        folder.mkdir(parents=True)
        try:
            with zipfile.ZipFile(self._shop.buckets.objects.file(found.content)) as archive:
                for entry in archive.infolist():
                    path = Path(archive.extract(entry, folder))  # without .. and the root, whatever its name
                    if mode := entry.external_attr >> 16 & 0o777:
                        path.chmod(mode)
        except zipfile.BadZipFile:
            raise BuildFailed(f"s3://{bucket}/{key} is not a zip") from None

    def _commands(self, folder: Path) -> Iterator[tuple[str, str]]:
        text = self.source["buildspec"] or "buildspec.yml"
        if "\n" not in text:
            file = folder / text
            text = file.read_text("utf-8") if file.is_file() else ""
        try:
            found = yaml.safe_load(text)
            phases = {phase: list(found["phases"][phase]["commands"]) for phase in PHASES if phase in found["phases"]}
        except (KeyError, TypeError, yaml.YAMLError):
            raise BuildFailed("YAML_FILE_ERROR: the buildspec has no phases with commands") from None
        for phase, commands in phases.items():
            yield from ((phase.upper(), str(command)) for command in commands)

    def _do(self, command: str, folder: Path) -> None:
        if self.status != "IN_PROGRESS":
            return
        self._log(f"Running command {command}")
        words = shlex.split(_VARIABLE.sub(lambda found: self.variables.get(found[1] or found[2], ""), command))
        match words:
            case _ if _LOGIN.search(command):
                self._log("The local ECR needs no login.")
            case ["docker", "build", *options] if _are_known(options):
                self._buildah("build", "--format", "docker", "--layers", *options, folder=folder)
            case ["docker", "push", image]:
                self._push(image)
            case ["docker", "push", image, "||", "docker", "manifest", "inspect", other] if other == image:
                try:
                    self._push(image)
                except BuildFailed as failure:
                    self._log(str(failure))
                    if not self._is_in_ecr(image):
                        raise
            case _:
                raise BuildFailed(f"this command needs AWS (locally, only docker build and docker push run): {command}")

    def _buildah(self, *words: str, folder: Path | None = None) -> None:
        place = {"BUILDAH_ISOLATION": "chroot", **_kept("HOME", "PATH", "CONTAINERS_STORAGE_CONF", "TMPDIR")}
        with subprocess.Popen(
            ["buildah", *words],
            cwd=folder,
            env=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            self._process = process
            if self.status != "IN_PROGRESS":  # stopped while it started
                _kill(process)
            self._shop.guard.began(process.pid)
            last = ""
            for line in process.stdout or ():
                last = line.rstrip() or last
                self._log(line.rstrip())
            code = process.wait()
            self._process = None
            self._shop.guard.ended(process.pid)
        if code and self.status == "IN_PROGRESS":
            raise BuildFailed(f"docker {words[0]} failed: {last}")

    def _push(self, image: str) -> None:
        """Put a manifest into ECR; the image's files stay with buildah, where jobs find them by this name."""
        repository, _, tag = image.partition("/")[2].rpartition(":")
        self._check("ecr:PutImage", repository)
        known = subprocess.run(
            ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", image],
            capture_output=True,
            text=True,
        )
        if known.returncode:
            raise BuildFailed(f"docker push failed: there is no image {image}")
        config = {
            "mediaType": f"{MEDIA}.container.image.v1+json",
            "size": 1,
            "digest": f"sha256:{known.stdout.strip()}",
        }
        kind = f"{MEDIA}.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []})
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        try:
            self._ecr().put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest, imageDigest=digest)
        except ClientError as refused:
            raise BuildFailed(f"docker push failed: {refused.response['Error']['Message']}") from None
        self._log(f"{tag}: digest: {digest}")

    def _is_in_ecr(self, image: str) -> bool:
        repository, _, tag = image.partition("/")[2].rpartition(":")
        self._check("ecr:BatchGetImage", repository)
        found = self._ecr().batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])
        return bool(found["images"])

    def _check(self, action: str, repository: str) -> None:
        permissions = self._shop.permissions
        right = Right(action, permissions.arn("ecr", f"repository/{repository}"))
        if refused := permissions.refused(permissions.user(self.role, "CodeBuild"), [right]):
            raise BuildFailed(refused)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def missing() -> str:
    """What this computer lacks to build images, with the way to get it; empty if it has all."""
    if not shutil.which("buildah"):
        return "buildah (apt-get install buildah)"
    return "" if os.geteuid() == 0 else "root (sudo)"


def _are_known(options: list[str]) -> bool:
    """Whether these are options that mean the same to docker and buildah, and one context within the source."""
    contexts = []
    words = iter(options)
    for word in words:
        if word.partition("=")[0] in _TAKES_VALUE:
            if "=" not in word:
                next(words, "")
        else:
            contexts.append(word)
    return len(contexts) == 1 and not contexts[0].startswith(("-", "/")) and ".." not in contexts[0].split("/")


def _kept(*names: str) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
