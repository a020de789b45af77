"""[sm] CheckpointConfig: a training job's folder of checkpoints is kept in S3 while the job runs.

A job starts with the files of an earlier one; changed files are uploaded every few seconds and when the job ends, for
whatever reason. So the finished work of a killed job is not lost, even if the server was killed with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from localaws.s3.buckets import Buckets
from localaws.sagemaker.job_files import Refused, files_of, split
from localaws.sagemaker.job_process import ROOT, JobFailed, inside

LOCAL_PATH = f"{ROOT}/checkpoints"  # [sm] CheckpointConfig, LocalPath: the default
EVERY_SECONDS = 3.0  # between two checks for changed files; AWS does not document its interval


class Checkpoints:
    def __init__(self, request: dict[str, Any], buckets: Buckets, refused: Refused) -> None:
        config = request.get("CheckpointConfig", {})
        self._uri = config.get("S3Uri", "").rstrip("/")
        self._folder = config.get("LocalPath", LOCAL_PATH).rstrip("/")
        self._buckets, self._refused = buckets, refused
        self._known: dict[Path, tuple[int, int]] = {}  # size and modification time of each uploaded file
        self._problem: Exception | None = None

    @contextmanager
    def kept(self, roots: list[Path]) -> Iterator[None]:
        """Download before the job starts; upload while it runs and after it has ended."""
        if not self._uri:
            yield
            return
        for root in roots:
            self._download(inside(root, self._folder))
        ended = threading.Event()
        keeping = threading.Thread(target=self._keep, args=(roots, ended), name="checkpoints", daemon=True)
        keeping.start()
        try:
            yield
        finally:
            ended.set()
            keeping.join()
            self._upload(roots)
        if self._problem:
            raise self._problem

    def _download(self, folder: Path) -> None:
        bucket, prefix = split(f"{self._uri}/")
        folder.mkdir(parents=True, exist_ok=True)
        self._check("s3:ListObjectsV2", {"Bucket": bucket, "Prefix": prefix})
        for stored in self._buckets.objects.below(bucket, prefix):
            file = folder / stored.key.removeprefix(prefix)
            if stored.key.endswith("/") or ".." in file.parts:
                continue
            self._check("s3:GetObject", {"Bucket": bucket, "Key": stored.key})
            file.parent.mkdir(parents=True, exist_ok=True)
            self._buckets.objects.copy_out(stored.content, file)
            self._known[file] = _version(file)

    def _keep(self, roots: list[Path], ended: threading.Event) -> None:
        try:
            while not ended.wait(EVERY_SECONDS):
                self._upload(roots)
        except (JobFailed, OSError) as problem:
            self._problem = problem

    def _upload(self, roots: list[Path]) -> None:
        bucket, prefix = split(f"{self._uri}/")
        for root in roots:
            changed = []
            for name, file in files_of(inside(root, self._folder)):
                with suppress(FileNotFoundError):
                    if self._known.get(file) != (version := _version(file)):
                        changed.append((name, file, version))
            contents = self._buckets.objects.copy_all([file for _, file, _ in changed])
            for (name, file, version), content in zip(changed, contents, strict=True):
                if content is None:  # the job has renamed or removed it since
                    continue
                self._check("s3:PutObject", {"Bucket": bucket, "Key": prefix + name})
                self._buckets.put_content(bucket, prefix + name, content)
                self._known[file] = version

    def _check(self, operation: str, given: dict[str, Any]) -> None:
        if reason := self._refused(operation, given):
            raise JobFailed(f"ClientError: Checkpoints: AccessDenied (403): {reason}")


def refused(request: dict[str, Any]) -> str:
    """Why the request's CheckpointConfig is not accepted; empty if it is."""
    path = request.get("CheckpointConfig", {}).get("LocalPath", LOCAL_PATH)
    if not path.startswith(f"{ROOT}/") or ".." in path.split("/"):
        return f"LocalPath {path} of the checkpoints must be a path below {ROOT}."
    return ""


def _version(file: Path) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns
