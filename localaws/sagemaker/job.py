"""A training or processing job from its creation to its end: queue, download, run, upload.

A job is a thread that goes through these stages; `JobState` holds what the API reports. To stop the job, an event is
set that every stage checks.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws.base.guard import Guard
from localaws.base.logs import JobLogs
from localaws.iam.permissions import Permissions
from localaws.s3.buckets import Buckets
from localaws.sagemaker import images, job_files
from localaws.sagemaker.built_in import built_in
from localaws.sagemaker.checkpoints import Checkpoints
from localaws.sagemaker.job_cache import JobCache
from localaws.sagemaker.job_process import Instance, JobFailed, Program, Surroundings
from localaws.sagemaker.metrics import Metrics
from localaws.sagemaker.scheduler import Scheduler, Stopped

DAY = 24 * 3600
_WITH_GPU = re.compile(r"ml\.(g|p)[0-9]")
OUT_OF_MEMORY = (
    "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on an "
    "instance."
)
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."

_OVER = threading.Event()  # shared by all ended jobs: a server may see thousands
_OVER.set()


@dataclass
class Workshop:
    """Shared by all jobs."""

    folder: Path  # of the jobs' files; empty while no job runs
    code: Path | None
    processes: images.Commands
    region: str
    buckets: Buckets
    scheduler: Scheduler
    cache: JobCache
    logs: JobLogs
    permissions: Permissions
    guard: Guard
    grace_seconds: float


@dataclass
class JobState:
    """What the API reports; times are seconds since 1970."""

    created: float
    status: str = "InProgress"
    secondary: str = "Starting"
    failure: str = ""
    message: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    changed: float = 0.0
    cached: bool = False  # taken from the cache, not run


class Job:
    def __init__(self, kind: str, name: str, arn: str, request: dict[str, Any], workshop: Workshop) -> None:
        self.kind = kind
        self.name = name
        self.arn = arn
        self.request = request
        self.state = JobState(time.time())
        self.note = ""  # how the job differs from AWS's, for the user
        self.outputs = job_files.outputs_of(kind, name, request)
        algorithm = request.get("AlgorithmSpecification", {})
        known = built_in(algorithm.get("TrainingImage", ""))
        self._metrics = Metrics(algorithm.get("MetricDefinitions", []), known.metric if known else None)
        self.done = threading.Event()
        self._shop = workshop
        self._stop = threading.Event()
        self._woken = threading.Condition()
        self._instances: list[Instance] = []
        self._turn("Starting")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._live, name=f"job {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the job to end; `done` is set when it has."""
        with self._woken:
            if self.state.ended is not None or self._stop.is_set():
                return
            self.state.status = "Stopping"
            self._turn("Stopping")
            self._stop.set()
        self._shop.scheduler.wake()
        self._wake()

    def join(self, seconds: float) -> None:
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    @property
    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.request.get("Tags", [])}

    @property
    def role(self) -> str:
        return str(self.request["RoleArn"])

    @property
    def instance_count(self) -> int:
        return int(self._resources.get("InstanceCount", 1))

    @property
    def _resources(self) -> dict[str, Any]:
        given = self.request
        found: dict[str, Any] = given.get("ResourceConfig") or given["ProcessingResources"]["ClusterConfig"]
        return found

    @property
    def max_seconds(self) -> float:
        return float(self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY))

    # The thread

    def _live(self) -> None:
        end = ("Failed", "Failed", INTERNAL)  # after a bug of ours: do not let callers wait forever
        try:
            end = self._run()
        except Stopped:
            end = ("Stopped", "Stopped", "")
        except JobFailed as problem:
            end = ("Failed", "Failed", str(problem))
        except OSError as problem:  # usually a full disk: the job fails and reports it
            end = ("Failed", "Failed", f"InternalServerError: {problem.strerror or problem}")
        finally:
            self._end(*end)

    def _run(self) -> tuple[str, str, str]:
        """The status, the secondary status and the reason at the end."""
        shop = self._shop
        program = self._program()
        self.note = program.note
        found = [
            job_files.find(given, shop.buckets.objects, self.role, shop.region, self._refused)
            for given in job_files.inputs_of(self.kind, self.request)
        ]
        fingerprint = shop.cache.fingerprint(self.kind, self.request, program, found, self.instance_count)
        if self._cached(fingerprint):
            return "Completed", "Completed", ""
        with shop.scheduler.turn(self._stop.is_set) as cores, ExitStack() as cleaning:
            folder = shop.folder / self.name
            cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
            roots = [folder / f"algo-{number + 1}" for number in range(self.instance_count)]
            self._turn("Downloading")
            for number, root in enumerate(roots):
                root.mkdir(parents=True)
                job_files.write_settings(self.kind, self.request, root, number, len(roots))
                job_files.lay_out(found, shop.buckets.objects, root, number, len(roots))
            self.state.started = time.time()
            with Checkpoints(self.request, shop.buckets, self._refused).kept(roots):
                timed_out = self._work(program, roots, max(1, cores // len(roots)))
            return self._finish(roots, timed_out, fingerprint)

    def _cached(self, fingerprint: str) -> bool:
        """Publish the outputs of an equal job, if one has completed."""
        if not (known := self._shop.cache.get(fingerprint)):
            return False
        uploaded, self.state.message, self.state.metrics = known
        self.state.cached = True
        self.state.started = time.time()
        job_files.publish(self.outputs, uploaded, self._shop.buckets, self._refused)
        return True

    def _program(self) -> Program:
        given = self.request["AlgorithmSpecification" if self.kind == "training" else "AppSpecification"]
        image = given["TrainingImage" if self.kind == "training" else "ImageUri"]
        entrypoint, arguments = given.get("ContainerEntrypoint", []), given.get("ContainerArguments", [])
        verb = "train" if self.kind == "training" else ""
        return images.program(image, entrypoint, arguments, verb, self._shop.code, self._shop.processes)

    def _work(self, program: Program, roots: list[Path], cores: int) -> bool:
        """Run all instances to their end; True if the time limit ended them."""
        self._turn("Training")
        declared, service = self.request.get("Environment", {}), {"AWS_REGION": self._shop.region}
        if self.kind == "training":
            service |= {"TRAINING_JOB_NAME": self.name, "TRAINING_JOB_ARN": self.arn}
        with ExitStack() as ending:
            for number, root in enumerate(roots):
                log = self._metrics.reading(self._shop.logs.stream(self.kind, self.name, number))
                if _WITH_GPU.match(self._resources.get("InstanceType", "")):
                    log(f"[local] {self._resources['InstanceType']} has GPUs; locally this runs on processors alone.")
                instance = program.start(Surroundings(root, declared, service, cores), log, self._wake)
                ending.callback(self._watched(instance))
            self._wait(self.max_seconds, until=lambda: self._stop.is_set() or any(self._codes))
            running = None in self._codes
            timed_out = running and not self._stop.is_set() and not any(self._codes)
            if running:
                for instance in self._instances:
                    instance.terminate()
                self._wait(self._shop.grace_seconds)
            return timed_out

    def _watched(self, instance: Instance) -> Callable[[], None]:
        """Let the guard end the instance if we are killed; return what ends it otherwise."""
        self._shop.guard.began(instance.group, instance.cleaning)
        self._instances.append(instance)

        def end() -> None:
            instance.close()
            self._shop.guard.ended(instance.group)

        return end

    def _finish(self, roots: list[Path], timed_out: bool, fingerprint: str) -> tuple[str, str, str]:
        self.state.metrics = self._metrics.final()
        if self.kind == "processing":
            self.state.message = job_files.sentence(roots, "message")
        if self._stop.is_set() or timed_out:
            if self.kind == "training":  # a training uploads its model so far
                self._upload(roots)
            return "Stopped", "MaxRuntimeExceeded" if timed_out else "Stopped", ""
        if code := next((code for code in self._codes if code != 0), 0):
            return "Failed", "Failed", self._reason(code, job_files.sentence(roots, "failure"))
        self._turn("Uploading")
        self._shop.cache.put(fingerprint, self._upload(roots), self.state.message, self.state.metrics)
        return "Completed", "Completed", ""

    def _upload(self, roots: list[Path]) -> list[job_files.Uploaded]:
        return job_files.upload(self.outputs, roots, self._shop.buckets, self._refused)

    def _refused(self, operation: str, given: dict[str, Any]) -> str:
        """Why the job's role may not perform the operation; empty if it may."""
        permissions = self._shop.permissions
        return permissions.why_not(permissions.user(self.role, "SageMaker"), operation, given)

    def _reason(self, code: int | None, failure: str) -> str:
        if self.kind == "training":
            return f"{OUT_OF_MEMORY if code == 137 else f'AlgorithmError: {failure}'}, exit code: {code}"
        return OUT_OF_MEMORY if code == 137 else f"AlgorithmError: See job logs for more information, exit code: {code}"

    # Waiting

    @property
    def _codes(self) -> list[int | None]:
        """The instances' exit codes; None while one runs."""
        return [instance.code for instance in self._instances]

    def _wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until all instances have ended."""
        with self._woken:
            self._woken.wait_for(lambda: None not in self._codes or until(), seconds)

    def _wake(self) -> None:
        with self._woken:
            self._woken.notify_all()

    # State

    def _turn(self, secondary: str) -> None:
        self.state.secondary = secondary
        self.state.changed = time.time()

    def _end(self, status: str, secondary: str, reason: str) -> None:
        with self._woken:
            self._turn(secondary)
            self.state.failure = reason[: job_files.SENTENCE]
            self.state.ended = self.state.changed
            self.state.status = status
        self._instances, self._thread = [], None
        self.done.set()
        self.done = self._stop = _OVER
