"""A batch transform job: a container that serves, to which the service sends the content of objects."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from localaws.sagemaker import images, job_files
from localaws.sagemaker.archives import unpack
from localaws.sagemaker.job import DAY, Job, Workshop
from localaws.sagemaker.job_process import Instance, JobFailed, Program, Surroundings
from localaws.sagemaker.models import Model
from localaws.sagemaker.serving import PING_SECONDS, Answer, NotServing, Server, free_port
from localaws.sagemaker.transform_data import MEGABYTE, TooLong, assembled, requests_of

MOST_MEGABYTES = 100  # [sm] of MaxPayloadInMB, and of its product with MaxConcurrentTransforms
LONGEST_MESSAGE = 1000  # of an answer, in the log


def refused(request: dict[str, Any]) -> str:
    """Why the service, or the local AWS, cannot take the request; empty if it can."""
    payload, at_once = request.get("MaxPayloadInMB", 6), request.get("MaxConcurrentTransforms", 1)
    if payload > MOST_MEGABYTES or payload * at_once > MOST_MEGABYTES:
        return f"MaxPayloadInMB * MaxConcurrentTransforms must not exceed {MOST_MEGABYTES} MB."
    given, processing = request["TransformInput"], request.get("DataProcessing", {})
    if given.get("SplitType", "None") not in ("None", "Line"):
        return f"SplitType {given['SplitType']} is not available locally; use Line or None."
    if "BatchStrategy" in request and given.get("SplitType", "None") == "None":
        return "BatchStrategy needs a SplitType."
    if given.get("CompressionType", "None") != "None":
        return "CompressionType Gzip of the input is not available locally; use None."
    filters = {processing.get(name, "$") for name in ("InputFilter", "OutputFilter")}
    if filters != {"$"} or processing.get("JoinSource", "None") != "None":
        return "DataProcessing (InputFilter, OutputFilter, JoinSource) is not available locally; leave it out."
    return ""


@dataclass(frozen=True)
class _Limits:
    at_once: int
    most: int  # bytes of a request; 0 for no limit
    strategy: str


class TransformJob(Job):
    def __init__(self, name: str, arn: str, request: dict[str, Any], workshop: Workshop, model: Model) -> None:
        super().__init__("transform", name, arn, request, workshop)
        self._model = model
        self._failures: list[str] = []  # of objects

    @property
    def role(self) -> str:
        return self._model.role

    @property
    def max_seconds(self) -> float:
        return float(5 * DAY)  # [sm]

    def stop(self) -> None:
        super().stop()
        for instance in self._instances:
            if instance.code is None:
                instance.terminate()  # its answer may take an hour

    def _program(self) -> Program:
        return images.program(self._model.image, [], [], "serve", self._shop.code, self._shop.processes)

    def _run(self) -> tuple[str, str, str]:
        shop, program = self._shop, self._program()
        self.note = program.note
        source = self.request["TransformInput"]["DataSource"]["S3DataSource"]
        given = job_files.Input(source["S3Uri"], "", sharded=False, is_manifest=source["S3DataType"] == "ManifestFile")
        found = job_files.find(given, shop.buckets.objects, self.role, shop.region, self._refused)
        archive = self._archive()
        settings = {name: self.request.get(name) for name in ("BatchStrategy", "MaxPayloadInMB")}
        settings |= {"input": {**self.request["TransformInput"], "DataSource": None}, "model": archive}
        settings |= {"output": {**self.request["TransformOutput"], "S3OutputPath": None}}
        identity = {"Environment": self._declared(), "AppSpecification": settings}
        fingerprint = shop.cache.fingerprint("transform", {**self.request, **identity}, program, [found], 1)
        if self._cached(fingerprint):
            return "Completed", "Completed", ""
        with shop.scheduler.turn(self._stop.is_set) as cores, ExitStack() as cleaning:
            folder = shop.folder / self.name
            cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
            root = folder / "algo-1"
            for made in (root / "model", root / "output", root / "tmp", root / "home", folder / "out"):
                made.mkdir(parents=True)
            self._unpack(archive, root / "model")
            self.state.started = time.time()
            uploaded = self._serve(program, root, cores, found, folder)
            if self._stop.is_set():
                return "Stopped", "Stopped", ""
            if self._failures:
                return "Failed", "Failed", self._failures[0]
            shop.cache.put(fingerprint, uploaded, "", [])
            return "Completed", "Completed", ""

    # The model

    def _archive(self) -> str:
        """The hash of the model's archive; empty if the model has none."""
        if not self._model.data:
            return ""
        bucket, key = job_files.split(self._model.data)
        stored = self._shop.buckets.objects.one(bucket, key)
        if stored is None or self._refused("s3:GetObject", {"Bucket": bucket, "Key": key}):
            raise JobFailed(f"ClientError: Failed to download model data from {self._model.data}")
        self._content = stored.content
        return stored.content.sha256

    def _unpack(self, archive: str, folder: Path) -> None:
        if archive and (problem := unpack(self._shop.buckets.objects.file(self._content), folder)):
            raise JobFailed(f"ClientError: {self._model.data} cannot be unpacked: {problem}.")

    # The container

    def _declared(self) -> dict[str, str]:
        return {**self._model.environment, **self.request.get("Environment", {})}

    def _service(self) -> dict[str, str]:
        strategy = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}
        given = {
            "SAGEMAKER_BATCH_STRATEGY": strategy.get(self.request.get("BatchStrategy", "")),
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": self.request.get("MaxPayloadInMB"),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": self.request.get("MaxConcurrentTransforms"),
        }
        known = {name: str(value) for name, value in given.items() if value is not None}
        return {"AWS_REGION": self._shop.region, "SAGEMAKER_BATCH": "true", **known}

    def _serve(
        self, program: Program, root: Path, cores: int, found: job_files.Found, folder: Path
    ) -> list[job_files.Uploaded]:
        self._turn("Transforming")
        log = self._shop.logs.stream(self.kind, self.name, 0)
        said = self._shop.logs.stream(self.kind, self.name, 0, "/data-log")

        def say(text: str) -> None:
            now = time.time()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            said(f"{stamp}.{int(now % 1 * 1000):03}:[sagemaker logs]: {text}")

        surroundings = Surroundings(root, self._declared(), self._service(), cores, free_port())
        with ExitStack() as ending:
            instance = program.start(surroundings, log, self._wake)
            ending.callback(self._watched(instance))
            try:
                Server(instance, PING_SECONDS).wait(self._stop.is_set)
            except NotServing as problem:
                say(str(problem))
                raise JobFailed(f"AlgorithmError: {problem} See job logs for more information") from None
            if not self._stop.is_set():
                self._transform(instance, found, folder / "out", say)
            instance.terminate()
            # While the server ends. The service keeps the results of the other objects, if one failed.
            uploaded = [] if self._stop.is_set() else self._upload([folder])
            self._wait(self._shop.grace_seconds)
            return uploaded

    def _limits(self, instance: Instance) -> _Limits:
        with closing(Server(instance, PING_SECONDS)) as server:
            proposed = server.parameters()
        at_once = self.request.get("MaxConcurrentTransforms") or proposed.get("MaxConcurrentTransforms", 1)
        payload = self.request.get("MaxPayloadInMB", proposed.get("MaxPayloadInMB", 6))
        multi = proposed.get("BatchStrategy", "MULTI_RECORD") == "MULTI_RECORD"
        strategy = self.request.get("BatchStrategy", "MultiRecord" if multi else "SingleRecord")
        return _Limits(max(1, int(at_once)), int(payload) * MEGABYTE, strategy)

    # The data

    def _transform(self, instance: Instance, found: job_files.Found, out: Path, say: Callable[[str], None]) -> None:
        limits = self._limits(instance)
        upper = "SINGLE_RECORD" if limits.strategy == "SingleRecord" else "MULTI_RECORD"
        say(
            f"MaxConcurrentTransforms={limits.at_once}, MaxPayloadInMB={limits.most // MEGABYTE}, BatchStrategy={upper}"
        )
        client = self.request.get("ModelClientConfig", {})
        seconds, tries = client.get("InvocationsTimeoutInSeconds", 600), 1 + client.get("InvocationsMaxRetries", 3)
        headers = {"Content-Type": self.request["TransformInput"].get("ContentType", "")}
        headers |= {"Accept": self.request["TransformOutput"].get("Accept", "")}
        headers = {name: value for name, value in headers.items() if value}
        idle: deque[Server] = deque()

        def invoke(body: bytes) -> Answer:
            try:
                server = idle.pop()
            except IndexError:  # all are in use; another thread may take the last one after a look at idle
                server = Server(instance, seconds)
            try:
                return server.invoke(body, headers, tries)
            finally:
                idle.append(server)

        with ThreadPoolExecutor(limits.at_once) as pool:
            for name, stored in found.files:
                if self._stop.is_set():
                    break
                file, result = self._shop.buckets.objects.file(stored.content), out / f"{name}.out"
                result.parent.mkdir(parents=True, exist_ok=True)
                with result.open("wb") as written:
                    problem = self._object(file, written, limits, pool, invoke)
                if problem:
                    result.unlink()
                    self._report(f"{job_files.split(found.input.uri)[0]}/{stored.key}", problem, say)
        for server in idle:
            server.close()

    def _object(
        self,
        file: Path,
        result: BinaryIO,
        limits: _Limits,
        pool: ThreadPoolExecutor,
        invoke: Callable[[bytes], Answer],
    ) -> Answer | None:
        """Write the answers in order; return the first that is not one."""
        assemble = self.request["TransformOutput"].get("AssembleWith", "None")
        split = self.request["TransformInput"].get("SplitType", "None")
        sent: deque[Future[Answer]] = deque()

        def received(most: int) -> Iterator[Answer]:
            while len(sent) > most:
                yield sent.popleft().result()

        def answers() -> Iterator[Answer]:
            for body in requests_of(file, split, limits.strategy, limits.most):
                sent.append(pool.submit(invoke, body))
                yield from received(limits.at_once)  # one more than runs, so that no worker waits for us
            yield from received(0)

        try:
            for answer in answers():
                if not 200 <= answer.status < 300:
                    return answer
                result.write(assembled(answer.body, assemble))
                if self._stop.is_set():
                    return None
        except TooLong as problem:
            return Answer(413, str(problem).encode())
        finally:
            for future in sent:
                future.cancel()
        return None

    def _report(self, place: str, answer: Answer, say: Callable[[str], None]) -> None:
        of_the_client = 400 <= answer.status < 500
        if not answer.status:
            say(f"{place}: Unable to get response from algorithm")
        elif of_the_client:
            say(f"{place}: ClientError: {answer.status}")
        else:
            say(f"{place}: Bad HTTP status received from algorithm: {answer.status}")
        for line in ("", "Message:", answer.body.decode("utf-8", "replace")[:LONGEST_MESSAGE]):
            say(f"{place}: {line}")
        kind = "ClientError" if of_the_client else "AlgorithmError"
        self._failures.append(f"{kind}: See job logs for more information")
