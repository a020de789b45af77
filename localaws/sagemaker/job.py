"""A training or processing job from its creation to its end: queue, download, run, upload.

A job is a thread that goes through these stages; `JobState` holds what the API reports. To stop the job, an event is
set that every stage checks.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws.base.guard import Guard
from localaws.iam.permissions import Permissions
from localaws.s3.buckets import Buckets
from localaws.sagemaker import inputs, outputs
from localaws.sagemaker.fault_injection import Faults
from localaws.sagemaker.inputs import Found, InputError
from localaws.sagemaker.job_cache import Memory
from localaws.sagemaker.job_logs import Logs
from localaws.sagemaker.job_process import Instance, Program, dropped, environment
from localaws.sagemaker.scheduler import Scheduler, Stopped

DAY = 24 * 3600
OUT_OF_MEMORY = (
    "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on an "
    "instance."
)


_OVER = threading.Event()  # shared by all ended jobs: a server may see thousands
_OVER.set()


@dataclass
class Workshop:
    """Shared by all jobs."""

    folder: Path  # of the jobs' files; empty while no job runs
    code: Path | None
    region: str
    buckets: Buckets
    scheduler: Scheduler
    memory: Memory
    logs: Logs
    permissions: Permissions
    guard: Guard
    faults: Faults
    grace_seconds: float


@dataclass
class JobState:
    """What the API reports; times are seconds since 1970."""

    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""
    message: str = ""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    changed: float = 0.0
    remembered: bool = False  # taken from the cache, not run


class Job:
    def __init__(self, kind: str, name: str, arn: str, request: dict[str, Any], workshop: Workshop) -> None:
        self.kind = kind
        self.name = name
        self.arn = arn
        self.request = request
        self.state = JobState(created=time.time())
        self.done = threading.Event()
        self._shop = workshop
        self._stop = threading.Event()
        self._woken = threading.Condition()
        self._instances: list[Instance] = []
        self._outputs = outputs.outputs_of(kind, name, request)
        self._turn("Starting", "Launching requested ML instances" if kind == "training" else "")
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
            self._turn("Stopping", "Stopping the training job")
            self._stop.set()
        self._shop.scheduler.wake()
        self._wake()

    def join(self, seconds: float) -> None:
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    # The thread

    def _live(self) -> None:
        try:
            self._end(*self._run())
        except Stopped:
            self._end("Stopped", "Stopped", "")
        except InputError as problem:
            self._end("Failed", "Failed", str(problem))
        except OSError as problem:
            # usually a full disk: the job fails and reports it
            self._end("Failed", "Failed", f"InternalServerError: {problem.strerror or problem}")
        finally:
            if not self.done.is_set():  # a bug of ours: do not let callers wait forever
                self._end(
                    "Failed", "Failed", "InternalServerError: We encountered an internal error. Please try again."
                )

    def _run(self) -> tuple[str, str, str]:
        """The status, the secondary status and the reason at the end."""
        lost = self._shop.faults.capacity(self.kind, self.name)
        if lost:
            return "Failed", "Failed", lost
        program = self._program()
        found = [
            inputs.find(given, self._shop.buckets.objects, self.request["RoleArn"], self._shop.region, self._refused)
            for given in inputs.inputs_of(self.kind, self.request)
        ]
        fingerprint = self._shop.memory.fingerprint(self.kind, self.request, program, found, self.instance_count)
        recalled = self._shop.memory.recall(fingerprint)
        if recalled:
            uploaded, self.state.message = recalled
            self.state.remembered = True
            self.state.started = time.time()
            outputs.publish(self._outputs, uploaded, self._shop.buckets, self._refused)
            return "Completed", "Completed", ""
        with self._shop.scheduler.turn(self._stop.is_set) as cores, ExitStack() as cleaning:
            folder = self._shop.folder / self.name
            cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
            roots = [folder / f"algo-{number + 1}" for number in range(self.instance_count)]
            self._prepare(roots, found)
            self.state.started = time.time()
            reached_limit = self._work(program, roots, max(1, cores // len(roots)))
            return self._finish(roots, reached_limit, fingerprint)

    def _program(self) -> Program:
        given = self.request["AlgorithmSpecification" if self.kind == "training" else "AppSpecification"]
        entrypoint, arguments = given.get("ContainerEntrypoint", []), given.get("ContainerArguments", [])
        program = Program.of(entrypoint, arguments, self._shop.code)
        if program is None:
            raise InputError(
                f"ClientError: local jobs run `python3 /opt/program/NAME.py`, not containers: {entrypoint}."
            )
        return program

    @property
    def instance_count(self) -> int:
        request = self.request
        cluster = (
            request["ResourceConfig"] if self.kind == "training" else request["ProcessingResources"]["ClusterConfig"]
        )
        return int(cluster.get("InstanceCount", 1))

    @property
    def max_seconds(self) -> float:
        return float(self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY))

    def _prepare(self, roots: list[Path], found: list[Found]) -> None:
        self._turn("Downloading", "Downloading input data")
        for number, root in enumerate(roots):
            root.mkdir(parents=True)
            inputs.write_settings(self.kind, self.request, root, number, len(roots))
            inputs.lay_out(found, self._shop.buckets.objects, root, number, len(roots))

    def _work(self, program: Program, roots: list[Path], cores: int) -> bool:
        """Run all instances to their end; True if the time limit ended them."""
        self._turn("Training", "Training image download completed. Training in progress.")
        with ExitStack() as ending:
            for number, root in enumerate(roots):
                log = self._shop.logs.stream(self.kind, self.name, number)
                declared = self.request.get("Environment", {})
                if refused := dropped(declared):
                    log(f"The local AWS does not set {', '.join(refused)}.")
                variables = environment(declared, self._variables(), root, cores)
                instance = Instance(program, root, variables, log, self._wake)
                self._shop.guard.began(instance.group)
                self._instances.append(instance)
                ending.callback(self._shop.guard.ended, instance.group)
                ending.callback(instance.close)
            self._wait(self.max_seconds, until=lambda: self._stop.is_set() or self._any_failed())
            over = not self._stop.is_set() and not self._all_ended() and not self._any_failed()
            if not self._all_ended():
                for instance in self._instances:
                    instance.terminate()
                self._wait(self._shop.grace_seconds, until=lambda: False)
            return over

    def _variables(self) -> dict[str, str]:
        if self.kind == "training":
            return {"TRAINING_JOB_NAME": self.name, "TRAINING_JOB_ARN": self.arn, "AWS_REGION": self._shop.region}
        return {"AWS_REGION": self._shop.region}

    def _finish(self, roots: list[Path], over: bool, fingerprint: str) -> tuple[str, str, str]:
        codes = [instance.code for instance in self._instances]
        if self.kind == "processing":
            self.state.message = outputs.sentence(roots, "message")
        if self._stop.is_set() or over:
            # A training uploads its model so far.
            if self.kind == "training":
                self._upload(roots)
            return "Stopped", "MaxRuntimeExceeded" if over else "Stopped", ""
        bad = next((code for code in codes if code != 0), 0)
        if bad:
            return "Failed", "Failed", self._reason(bad, outputs.sentence(roots, "failure"))
        self._turn("Uploading", "Uploading generated training model")
        uploaded = self._upload(roots)
        self._shop.memory.remember(fingerprint, uploaded, self.state.message)
        return "Completed", "Completed", ""

    def _upload(self, roots: list[Path]) -> list[outputs.Uploaded]:
        shop = self._shop
        return outputs.upload(self._outputs, roots, shop.buckets, shop.faults, self.kind, self.name, self._refused)

    def _refused(self, operation: str, given: dict[str, Any]) -> str:
        """Why the job's role may not perform the operation; empty if it may."""
        permissions = self._shop.permissions
        return permissions.why_not(permissions.user(self.request["RoleArn"], "SageMaker"), operation, given)

    def _reason(self, code: int | None, told: str) -> str:
        if code == 137:
            return f"{OUT_OF_MEMORY}, exit code: 137" if self.kind == "training" else OUT_OF_MEMORY
        if self.kind == "training":
            return f"AlgorithmError: {told}, exit code: {code}"
        return f"AlgorithmError: See job logs for more information, exit code: {code}"

    # Waiting

    def _all_ended(self) -> bool:
        return all(instance.code is not None for instance in self._instances)

    def _any_failed(self) -> bool:
        return any(instance.code for instance in self._instances)

    def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        with self._woken:
            self._woken.wait_for(lambda: self._all_ended() or until(), seconds)

    def _wake(self) -> None:
        with self._woken:
            self._woken.notify_all()

    # State

    def _turn(self, secondary: str, message: str) -> None:
        now = time.time()
        state = self.state
        if state.transitions and "EndTime" not in state.transitions[-1]:
            state.transitions[-1]["EndTime"] = now
        state.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        state.secondary = secondary
        state.changed = now

    def _end(self, status: str, secondary: str, reason: str) -> None:
        with self._woken:
            self._turn(secondary, reason or f"Training job {secondary.lower()}")
            self.state.transitions[-1]["EndTime"] = self.state.changed
            self.state.failure = reason[: outputs.SENTENCE]
            self.state.ended = self.state.changed
            self.state.status = status
        self._instances, self._thread = [], None
        self.done.set()
        self.done = self._stop = _OVER
