"""The models of a multi-model endpoint's server: loaded when they are first invoked, unloaded when memory is short.

SageMaker's part of the contract. An archive is the object at ModelDataUrl + TargetModel; it is unpacked to
/opt/ml/models/NAME/model, and POST /models gives this folder to the container. If the container answers 507, the least
recently used model without a running request is unloaded, and the load is tried again. On AWS its files stay on the
instance's disk; locally they are removed, since the archive is on this computer anyway.

https://docs.aws.amazon.com/sagemaker/latest/dg/multi-model-endpoints.html
https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from localaws.sagemaker import job_files
from localaws.sagemaker.archives import unpack
from localaws.sagemaker.job import Workshop
from localaws.sagemaker.job_process import ROOT, Instance
from localaws.sagemaker.models import Model
from localaws.sagemaker.serving import Answer, Server

LOAD_SECONDS = 360.0  # [sm] for the download and the load of a model
_NOT_FOUND, _NO_MEMORY = 404, 507  # [sm] the container's answers
_DOWNLOAD = (
    "Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object located at the "
    "URL and that the role passed to CreateModel has permissions to download the model."
)
_UNPACK = (
    "Failed to extract model data archive(bucket: {bucket}, key: {key}): {problem}. Please ensure that the object "
    "located at the URL is a valid tar.gz archive."
)


class NoTarget(Exception):
    """The request names no model, or one without a usable archive; the message is for the client."""


class NotReady(Exception):
    """The model is still being loaded."""


@dataclass
class _Target:
    name: str  # opaque to the container, and never reused
    ready: Future[Answer] = field(default_factory=Future)  # the container's answer to the load
    running: int = 0  # requests


class TargetModels:
    def __init__(self, shop: Workshop, model: Model, root: Path, log: Callable[[str], None]) -> None:
        """`root` is the server's folder, which replaces /opt/ml."""
        self._shop, self._model, self._root, self._log = shop, model, root, log
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Target] = OrderedDict()  # by TargetModel, the least recently used first
        self._numbers = count(1)

    def forget(self) -> None:
        """The server has ended, and its models with it."""
        with self._lock:
            self._known.clear()
        shutil.rmtree(self._root / "models", ignore_errors=True)

    def invoke(self, instance: Instance, target: str, seconds: float, send: Callable[[str], Answer]) -> Answer:
        """The answer of `send`, which gets the path of the loaded model; raises NoTarget or NotReady."""
        for _ in range(2):
            model = self._admitted(instance, target)
            try:
                loaded = model.ready.result(seconds)
                answer = send(f"/models/{model.name}/invoke") if loaded.status == 200 else loaded
            except TimeoutError:
                raise NotReady from None
            finally:
                with self._lock:
                    model.running -= 1
            if loaded.status == 200 and answer.status != _NOT_FOUND:
                return answer
            self._drop(target, model)  # it could not be loaded, or the container has lost it
            if loaded.status != 200:
                break
        return answer

    def _admitted(self, instance: Instance, target: str) -> _Target:
        """The model, being loaded if it is new, with a running request."""
        with self._lock:
            model = self._known.get(target)
            if model is None:
                digest = hashlib.sha256(target.encode()).hexdigest()[:32]
                model = self._known[target] = _Target(f"{digest}-{next(self._numbers)}")
                threading.Thread(target=self._load, args=(instance, target, model), daemon=True).start()
            self._known.move_to_end(target)
            model.running += 1
            return model

    def _load(self, instance: Instance, target: str, model: _Target) -> None:
        try:
            self._download(target, model)
            url = f"{ROOT}/models/{model.name}/model"
            body = json.dumps({"model_name": model.name, "url": url}).encode()
            headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Target-Model": target}
            answer = self._sent(instance, "POST", "/models", body, headers)
            while answer.status == _NO_MEMORY and self._unload_one(instance):
                answer = self._sent(instance, "POST", "/models", body, headers)
            model.ready.set_result(answer)
        except BaseException as problem:  # for all requests that wait for it
            model.ready.set_exception(problem)
            self._drop(target, model)

    def _download(self, target: str, model: _Target) -> None:
        bucket, prefix = job_files.split(self._model.data)
        key = "/".join(part for part in (prefix.strip("/"), target.lstrip("/")) if part)
        stored = self._shop.buckets.objects.one(bucket, key)
        permissions = self._shop.permissions
        reader, wanted = permissions.user(self._model.role, "SageMaker"), {"Bucket": bucket, "Key": key}
        if stored is None or permissions.why_not(reader, "s3:GetObject", wanted):
            raise NoTarget(_DOWNLOAD.format(bucket=bucket, key=key))
        folder = self._root / "models" / model.name / "model"
        folder.mkdir(parents=True)
        if problem := unpack(self._shop.buckets.objects.file(stored.content), folder):
            raise NoTarget(_UNPACK.format(bucket=bucket, key=key, problem=problem))

    def _unload_one(self, instance: Instance) -> bool:
        """Unload the least recently used model without a request; False if there is none."""
        with self._lock:
            idle = (target for target, model in self._known.items() if model.ready.done() and not model.running)
            target = next(idle, None)
            if target is None:
                return False
            model = self._known.pop(target)
        self._sent(instance, "DELETE", f"/models/{model.name}")
        self._log(f"[local] {target} was unloaded to free memory.")
        self._remove(model)
        return True

    def _drop(self, target: str, model: _Target) -> None:
        with self._lock:
            if self._known.get(target) is model:
                del self._known[target]
        self._remove(model)

    def _remove(self, model: _Target) -> None:
        shutil.rmtree(self._root / "models" / model.name, ignore_errors=True)

    @staticmethod
    def _sent(
        instance: Instance, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        server = Server(instance, LOAD_SECONDS)
        try:
            return server.send(method, path, body, headers)
        finally:
            server.close()
