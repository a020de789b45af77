"""The local AWS: one process, one folder, one port on 127.0.0.1.

    with LocalAws(Settings(work=Path(".local"), account="123456789012", region="eu-west-1")) as aws:
        aws.endpoint, aws.client("s3")

Parts are always stopped in reverse order. A guard (guard.py) cleans up after a killed server. A process can have only
one local AWS, because moto's state is global.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws import moto_fixes
from localaws.base.clients import Clients
from localaws.base.environment import clean_environment, harmless, private_files
from localaws.base.guard import Guard
from localaws.base.patches import Patches
from localaws.base.requests import Application
from localaws.errors import ComputerError
from localaws.s3.store import Objects
from localaws.server.web import HOST, Web, bind, no_web_pages
from localaws.stepfunctions import child_executions, execution_archive, queue, redrive, versions

_ONE = threading.Lock()


@dataclass(frozen=True)
class Settings:
    work: Path
    account: str
    region: str
    port: int = 0  # any free one
    code: Path | None = None  # mounted as each container's /opt/program; without it, jobs fail
    processes: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)  # see images.py
    fresh: bool = False  # run every job, even if its outputs are cached
    cores: int = field(
        default_factory=lambda: (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
    )
    waiting: float = 0.01  # how long one second of a retry's delay lasts locally
    deploying: float = 0.01  # how long one second of an endpoint's deployment lasts: bakes, and periods of its alarms
    cores_per_job: int | None = None  # at most; if None, a job that is alone gets all of them
    grace_seconds: float = 10.0  # between SIGTERM and SIGKILL; 120 on AWS
    ending_seconds: float = 5.0  # how long to wait for a stopped execution to end


class LocalAws:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._ending = ExitStack()
        self._closing = False
        self.page: Application | None = None  # what a browser gets at /

    def __enter__(self) -> LocalAws:
        self._closing = False
        with ExitStack() as starting:
            self._start(starting)
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing = True
        self._ending.close()

    def client(self, service: str, role: str = "") -> Any:
        """The administrator's client, or a role's, given its ARN."""
        return self._clients.get(service, self.settings.region, role)

    def history(self, arn: str) -> list[dict[str, Any]]:
        """The events of an execution."""
        return execution_archive.history(self.settings.account, self.settings.region, arn)

    def children(self, map_run: str) -> list[Any]:
        """The child executions of a Map Run."""
        return child_executions.children(self.objects, map_run)

    def _execution_ended(self, execution: Any) -> None:
        if not self._closing:  # otherwise it has not ended but was abandoned: its name can be used again
            execution_archive.keep(execution, self.objects)

    def _may_not_start(self, role: str, machine: str) -> str:
        given = {"stateMachineArn": machine}
        return self.permissions.why_not(self.permissions.user(role), "states:StartExecution", given)

    def _start(self, ending: ExitStack) -> None:
        settings = self.settings
        if not _ONE.acquire(blocking=False):
            raise RuntimeError("there is a local AWS in this process already, and moto's state is global")
        ending.callback(_ONE.release)
        ending.enter_context(private_files())
        work = Path(os.path.abspath(settings.work))  # the jobs run in other working directories
        try:
            _lock(work, ending)
            self.objects = Objects(work / "buckets")
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            raise ComputerError(f"{settings.work} cannot be used: {reason} (name another folder with --work)") from None
        ending.callback(self.objects.close)
        listener = bind(settings.port)
        ending.callback(listener.close)
        self.port = listener.getsockname()[1]
        self.endpoint = f"http://{HOST}:{self.port}"
        for left in work.glob(".jobs-*"):  # left by a server whose guard was killed too
            shutil.rmtree(left, ignore_errors=True)
        jobs = work / f".jobs-{secrets.token_hex(4)}"  # the guard of a killed server may still be removing its own
        self.guard = Guard(jobs)
        ending.callback(self.guard.close)
        server = {"MOTO_ACCOUNT_ID": settings.account, "MOTO_PORT": str(self.port)}
        aws = harmless(settings.account, settings.region, self.endpoint)
        ending.enter_context(clean_environment({**aws, **server}))
        self._clients = Clients(
            self.endpoint,
            lambda *request: self._application(*request),
            lambda role: self.permissions.credentials(role),
        )
        ending.callback(self._clients.close)
        patches = self._moto(ending)
        self._workshop(ending, patches, jobs)
        self._application = self._doors(patches)
        web = Web(listener, no_web_pages(self.port, self._application, lambda: self.page))
        ending.callback(web.close)

    def _moto(self, ending: ExitStack) -> Patches:
        """Start with an empty moto, with all fixes and extensions installed until the end.

        Wrappers of the same function are installed in this order, each around the earlier ones: versions of machines,
        fixes, histories on disk, the queue; then those of the caller.
        """
        moto_fixes.load_without_batch()
        from moto.core.config import default_user_config
        from moto.moto_api._internal.models import moto_api_backend
        from moto.s3 import responses  # noqa: F401 - only loaded modules can be patched

        from localaws.s3.buckets import keep_on_disk

        patches = Patches()
        ending.callback(patches.undo)
        moto_api_backend.reset()
        ending.callback(moto_api_backend.reset)
        patches.entry(default_user_config, "stepfunctions", {"execute_state_machine": True})
        versions.install(patches)
        here = moto_fixes.Here(
            self._clients.get,
            self.settings.waiting,
            self._execution_ended,
            self.objects,
            lambda *call: self._direct_s3.call(*call),
            self._may_not_start,
        )
        moto_fixes.apply(patches, here)
        execution_archive.bring_back(patches, self.objects)
        redrive.install(patches)
        keep_on_disk(patches, self.objects)
        return patches

    def _workshop(self, ending: ExitStack, patches: Patches, jobs: Path) -> None:
        """Set up the jobs, and the Tasks that wait for them."""
        from moto.utilities.utils import get_partition

        from localaws.base.logs import JobLogs
        from localaws.codebuild import sync_task as codebuild_task
        from localaws.codebuild.api import CodeBuild
        from localaws.iam.permissions import Permissions
        from localaws.notifications import alarms
        from localaws.notifications.endpoint_metrics import EndpointMetrics
        from localaws.s3.buckets import Buckets
        from localaws.s3.direct import DirectS3
        from localaws.sagemaker import sync_task
        from localaws.sagemaker.api import SageMaker
        from localaws.sagemaker.data_capture import DataCapture
        from localaws.sagemaker.job import Workshop
        from localaws.sagemaker.job_cache import JobCache
        from localaws.sagemaker.scheduler import Scheduler

        settings = self.settings
        self.partition = get_partition(settings.region)
        self.buckets = Buckets(self.objects, settings.account, self.partition)
        self.logs = JobLogs(settings.account, settings.region)
        self.permissions = Permissions(settings.account, self.partition, settings.region)
        self._direct_s3 = DirectS3(self.buckets, self.permissions)
        workshop = Workshop(
            folder=jobs,
            code=settings.code,
            processes=settings.processes,
            region=settings.region,
            buckets=self.buckets,
            scheduler=Scheduler(settings.cores, settings.cores_per_job),
            cache=JobCache(self.objects, settings.fresh),
            logs=self.logs,
            permissions=self.permissions,
            guard=self.guard,
            grace_seconds=settings.grace_seconds,
        )
        self.metrics = EndpointMetrics(
            settings.account,
            settings.region,
            settings.deploying,
            lambda alarm: alarms.mail(alarm, settings.account, self.permissions),
        )
        ending.callback(self.metrics.close)
        self.metrics.install(patches)
        self.capture = DataCapture(workshop)
        ending.callback(self.capture.close)
        self.sagemaker = SageMaker(workshop, self.metrics, settings.deploying)
        self.permissions.tags_of = self.sagemaker.tags
        ending.callback(queue.install(patches), settings.ending_seconds)
        ending.callback(self.sagemaker.close, settings.grace_seconds + settings.ending_seconds)
        sync_task.install(patches, self.sagemaker)
        self.codebuild = CodeBuild(workshop, lambda: self.client("ecr"))
        ending.callback(self.codebuild.close, settings.grace_seconds + settings.ending_seconds)
        codebuild_task.install(patches, self.codebuild)

    def _doors(self, patches: Patches) -> Application:
        """Request chain: IAM, invocations, their scaling, CloudFormation, SageMaker, CodeBuild, then moto."""
        from moto.moto_server import werkzeug_app

        from localaws.cloudformation.service import CloudFormation
        from localaws.cloudformation.web import cloudformation_door
        from localaws.codebuild.api import codebuild_door
        from localaws.iam.enforce import gate
        from localaws.sagemaker.api import sagemaker_door
        from localaws.sagemaker.invocations import Invocations

        stacks = CloudFormation(self.settings.account, self.partition, self._clients.get)
        patches.attribute(werkzeug_app, "DISABLE_GLOBAL_CORS", True)  # otherwise any page may read moto's responses
        moto = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
        doors = cloudformation_door(stacks, sagemaker_door(self.sagemaker, codebuild_door(self.codebuild, moto)))
        invocations = Invocations(self.sagemaker.endpoints, self.metrics, self.capture, self.settings.region)
        doors = invocations.door(self.sagemaker.endpoints.scaling.door(doors))
        return gate(
            self.permissions,
            lambda bucket, key: self.objects.one(bucket, key) is not None,
            self.sagemaker.endpoints.scaling.knows,
            doors,
        )


def _lock(work: Path, ending: ExitStack) -> None:
    """Allow one server per folder; the lock is released when the process ends, in any way."""
    work.mkdir(parents=True, exist_ok=True)
    for name in ("buckets", "compiled", "functions", "outbox", "runs"):
        if (work / name).is_dir():
            (work / name).chmod(0o700)  # created by a version that let everyone read its files
    file = ending.enter_context((work / "lock").open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ComputerError(
            f"{work} is in use by another local AWS (stop it, or name another folder with --work)"
        ) from None
