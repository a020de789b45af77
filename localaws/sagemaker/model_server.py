"""The server of an endpoint's variant: a container with the model, started again when it ends, and drained before it
is stopped.

A variant has one server, whatever its number of instances: this computer has its cores once. The server's workers use
all of them.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from heapq import heappop, heappush
from itertools import count
from typing import Any

from localaws.sagemaker import images, job_files
from localaws.sagemaker.archives import unpack
from localaws.sagemaker.job import Workshop
from localaws.sagemaker.job_process import ROOT, Instance, JobFailed, Program, Surroundings
from localaws.sagemaker.models import Model
from localaws.sagemaker.serving import PING_SECONDS, Answer, NotServing, Server, free_port
from localaws.sagemaker.target_models import NoTarget, TargetModels

INVOKE_SECONDS = 60.0  # [sm] within which a container must answer
DRAIN_SECONDS = 70.0  # longer than any request may take
LONGEST_PAUSE = 30.0  # between two starts of a server that ends again and again
JOIN_SECONDS = 5.0
_DOWNLOAD = (
    'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there is an '
    "object located at the URL and that the role passed to CreateModel has permissions to download the object."
)
_MEMORY = "STEPGLUON_MODELS_MB"  # for the models in our images' servers; locally, others need memory too
_LOST = ("RemoteDisconnected", "BrokenPipeError", "ConnectionResetError")  # by a server that had closed a connection


class Unavailable(Exception):
    """No server can take the request now; an argument is the member of traffic.py whose turn it was."""


class Overloaded(Exception):
    """A serverless variant runs as many requests as it may."""


class ModelServer:
    def __init__(self, shop: Workshop, name: str, model: Model, seconds: float, log: Callable[[str], None]) -> None:
        """`name` is that of the server's folder; `seconds` limits the time until /ping answers, if not 0."""
        self._shop, self._model, self._seconds, self._log = shop, model, seconds, log
        self._folder = shop.folder / name
        self._root = self._folder / "model-server"
        self._targets = TargetModels(shop, model, self._root, log) if model.multi else None
        # By age: the server of the model gives each of the first connections to another worker.
        self._idle: list[tuple[int, Server]] = []
        self._ages = count()
        self._changed = threading.Condition()
        self._running = 0  # requests
        self._instance: Instance | None = None  # None until it is healthy, and after its end
        self._ended = threading.Event()  # the process
        self._stopped = self._hurried = False
        self._watcher: list[threading.Thread] = []  # at most one

    # Life

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Return when the server is healthy; raises JobFailed or NotServing."""
        for made in ("model", "output", "tmp", "home"):
            (self._root / made).mkdir(parents=True)
        self._download()
        program = images.program(self._model.image, [], [], "serve", self._shop.code, self._shop.processes)
        if program.note:
            self._log(f"[local] {program.note}")
        begun = Future[None]()
        watch = (program, lambda: stopped() or self._stopped, begun)
        self._watcher.append(threading.Thread(target=self._watch, args=watch, name=self._folder.name, daemon=True))
        self._watcher[0].start()
        begun.result()

    def hurry(self) -> None:
        """Let `close` wait for no request."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def close(self) -> None:
        """Finish the running requests, then end the server and remove its files."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._hurried or not self._running, DRAIN_SECONDS)
        self._end(self._instance, self._shop.grace_seconds)
        for thread in self._watcher:  # it may be starting the server again
            thread.join(self._shop.grace_seconds + JOIN_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def healthy(self) -> bool:
        return self._instance is not None and not self._stopped

    def _begin(self, program: Program, stopped: Callable[[], bool]) -> None:
        shop = self._shop
        service = {"AWS_REGION": shop.region, "SAGEMAKER_REGION": shop.region}
        if self._targets:
            self._targets.forget()  # those of a server that has ended
            service |= {"SAGEMAKER_MULTI_MODEL": "true"} | images.variables(self._model.image, shop.code)
            if _MEMORY not in self._model.environment:
                service[_MEMORY] = str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 // 2**20)
        given = Surroundings(self._root, self._model.environment, service, shop.scheduler.cores, free_port())
        ended = self._ended = threading.Event()
        try:
            instance = program.start(given, self._log, ended.set)
        except JobFailed:
            ended.set()
            raise
        shop.guard.began(instance.group, instance.cleaning)
        try:
            Server(instance, PING_SECONDS).wait(stopped, self._seconds)
            if stopped():
                raise NotServing("The endpoint was stopped before its server answered /ping.")
        except NotServing:
            self._end(instance, shop.grace_seconds)
            raise
        with self._changed:
            self._instance = instance
            self._changed.notify_all()

    def _end(self, instance: Instance | None, seconds: float) -> None:
        with self._changed:
            self._instance = None
            while self._idle:
                self._idle.pop()[1].close()
        if instance is not None:
            instance.terminate()
            self._ended.wait(seconds)
            instance.close()
            self._shop.guard.ended(instance.group)

    def _watch(self, program: Program, stopped: Callable[[], bool], begun: Future[None]) -> None:
        """Start the server, and start it again whenever it ends.

        One thread starts it each time, and lives as long: bubblewrap's --die-with-parent means the thread.
        """
        try:
            self._begin(program, stopped)
        except BaseException as problem:  # whatever it is, `start` raises it
            begun.set_exception(problem)
            return
        begun.set_result(None)
        pause = 0.1
        while True:
            self._ended.wait()
            if self._stopped:
                return
            if instance := self._instance:
                pause = 0.1
                self._log(f"[local] The server ended with exit code {instance.code}; it is started again.")
                self._end(instance, 0)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            if self._stopped:
                return
            try:
                self._begin(program, lambda: self._stopped)
            except (NotServing, JobFailed) as problem:
                self._log(f"[local] {problem}")

    # The model

    def _download(self) -> None:
        model, buckets = self._model, self._shop.buckets
        if model.prefix:
            given = job_files.Input(model.prefix, f"{ROOT}/model", sharded=False, is_manifest=False)
            try:
                found = job_files.find(given, buckets.objects, model.role, self._shop.region, self._refused)
            except JobFailed:
                raise JobFailed(_DOWNLOAD.format(uri=model.prefix)) from None
            job_files.lay_out([found], buckets.objects, self._root, 0, 1)
        elif model.data and not model.multi:
            bucket, key = job_files.split(model.data)
            stored = buckets.objects.one(bucket, key)
            if stored is None or self._refused("s3:GetObject", {"Bucket": bucket, "Key": key}):
                raise JobFailed(_DOWNLOAD.format(uri=model.data))
            if problem := unpack(buckets.objects.file(stored.content), self._root / "model"):
                raise JobFailed(f"{model.data} cannot be unpacked: {problem}.")

    def _refused(self, operation: str, given: dict[str, Any]) -> str:
        permissions = self._shop.permissions
        return permissions.why_not(permissions.user(self._model.role, "SageMaker"), operation, given)

    # Requests

    def admit(self, most: int) -> None:
        """Count a request that `invoke` will send; raises Unavailable if it cannot, or `most` are running already."""
        with self._changed:
            if self._instance is None or self._stopped:
                raise Unavailable
            if self._running >= most:
                raise Overloaded
            self._running += 1

    def invoke(self, body: bytes, headers: Mapping[str, str], target: str = "") -> tuple[Answer, float]:
        """The answer and its time in seconds; `admit` came before it. Raises NoTarget or NotReady of TargetModels."""
        try:
            began = time.perf_counter()
            if self._targets is None:
                answer = self._sent(body, dict(headers))
            else:
                answer = self._of_target(body, dict(headers), target, self._targets)
            return answer, time.perf_counter() - began
        finally:
            with self._changed:
                self._running -= 1
                if not self._running:
                    self._changed.notify_all()

    def _of_target(self, body: bytes, headers: dict[str, str], target: str, targets: TargetModels) -> Answer:
        if not target:
            raise NoTarget
        if (instance := self._instance) is None:
            return Answer(0, b"The container ended.")
        headers["X-Amzn-SageMaker-Target-Model"] = target
        return targets.invoke(instance, target, INVOKE_SECONDS, lambda path: self._sent(body, headers, path))

    def _sent(self, body: bytes, headers: dict[str, str], path: str = "/invocations") -> Answer:
        instance = self._instance
        if instance is None:
            return Answer(0, b"The container ended.")
        try:
            age, server = heappop(self._idle)
        except IndexError:
            age, server = next(self._ages), Server(instance, INVOKE_SECONDS)
        kept = server.connected
        answer = server.invoke(body, headers, 1, path)
        if kept and not answer.status and answer.body.decode().startswith(_LOST):
            answer = server.invoke(body, headers, 1, path)  # on a new connection
        if self._instance is instance:
            heappush(self._idle, (age, server))
        else:
            server.close()
        return answer


def folder_of(endpoint: str, variant: str) -> str:
    """A name for a server's folder; two servers of a variant may run at the same time."""
    return f"endpoint-{endpoint}-{variant}-{time.time_ns()}"
