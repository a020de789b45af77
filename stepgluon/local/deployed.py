"""A pipeline deployed to a local AWS, for `run` and `local up`.

with deployed(loaded, definition, settings) as place:
    place.aws.client("s3"), place.names.raw_bucket
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localaws.base.environment import harmless
from localaws.base.patches import Patches
from localaws.lambda_ import functions
from localaws.lambda_.worker import Runtime
from localaws.notifications import alarms, eventbridge, s3_events, sns_mail
from localaws.sagemaker import bubblewrap
from localaws.sagemaker.job_cache import code_of, packages
from localaws.server.aws import LocalAws, Settings
from localaws.stepfunctions import parse_cache
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.apply import deploy
from stepgluon.deploy.images import SCRIPT
from stepgluon.deploy.release import Image, Release, release
from stepgluon.errors import SurroundingsError
from stepgluon.gc_control import kept, paused
from stepgluon.local.child_jobs import ChildJobs
from stepgluon.local.journal import Begun, Journal
from stepgluon.local.mail_text import fitted
from stepgluon.local.surroundings import this_computer
from stepgluon.names import Names
from stepgluon.programs import all_scripts

_DOCKER = "application/vnd.docker"
_OF_FUNCTIONS = ("boto3", "botocore.handlers", "botocore.httpsession")  # what the functions in lambda/ import
MAIL_SECONDS = 60  # to wait for failure mails when the server stops


@dataclass(frozen=True)
class Deployed:
    aws: LocalAws
    names: Names
    journal: Journal
    functions: functions.Functions
    work: Path
    child_jobs: ChildJobs = field(default_factory=ChildJobs)
    whole_logs: set[Path] = field(default_factory=set)  # of ended jobs, which are written once

    @property
    def outbox(self) -> Path:
        return self.work / "outbox"

    def go_on(self, begun: Begun) -> None:
        """Restart an interrupted execution with its name and input; an ended one stays ended."""
        if not self.journal.ended(begun.arn):
            self.aws.client("stepfunctions").start_execution(
                stateMachineArn=begun.machine, name=begun.name, input=begun.input
            )


@contextmanager
def deployed(
    loaded: LoadedConfig, definition: str, settings: Settings, others: Mapping[str, str] | None = None
) -> Iterator[Deployed]:
    """The local AWS with the pipeline deployed; everything is stopped at the end of the block."""
    with ExitStack() as ending:
        spare = ending.enter_context(closing(Runtime(*_OF_FUNCTIONS)))  # imports while moto is imported
        with paused(), ThreadPoolExecutor(1) as aside:  # importing thousands of modules creates only live objects
            wanted = aside.submit(release, loaded, definition, others)
            with this_computer():
                aws = ending.enter_context(LocalAws(settings))
            names, journal = Names(loaded.config), Journal(aws.objects)
            lambdas = _install(aws, names, journal, ending)
            place = Deployed(aws, names, journal, lambdas, settings.work)
            bring(wanted.result(), aws)
            aws.sagemaker.endpoints.resume()  # the roles that they need are there now
            lambdas.warm(names.function_arn(names.function), spare)
            aws.sagemaker.read_model()
            ending.enter_context(kept())
        ending.callback(end_executions, place)
        yield place


def bring(wanted: Release, aws: LocalAws) -> None:
    """Deploy as to an account, without the cicd stack."""
    silent, settled = (lambda text: None), (lambda seconds: None)  # local CloudFormation ends when it responds
    deploy(wanted, aws, Images(aws, wanted.names), silent, settled, only=("base", "pipeline"))


def _install(aws: LocalAws, names: Names, journal: Journal, ending: ExitStack) -> functions.Functions:
    settings = aws.settings
    account = functions.Account(
        settings.account,
        settings.region,
        harmless(settings.account, settings.region, aws.endpoint),
        aws.objects,
        settings.work / "functions",
        _scratch(settings.work),
        permissions=aws.permissions,
    )
    lambdas = functions.Functions(account, settings.waiting, aws.guard.began, aws.guard.ended)
    ending.callback(lambdas.close)

    def in_place(patches: Patches) -> None:
        ending.callback(patches.undo)

    in_place(parse_cache.install(settings.work / "compiled"))
    in_place(lambdas.install())
    in_place(s3_events.install(lambdas.send))
    fit = fitted(names, settings.work)
    in_place(sns_mail.install(sns_mail.Outbox(settings.work / "outbox", once=once(journal, names), fit=fit)))
    in_place(eventbridge.install(lambdas.send, aws.permissions, aws.client))
    in_place(alarms.install(aws.permissions))
    in_place(journal.install())
    return lambdas


def _scratch(work: Path) -> Path:
    """The folder for the functions' processes; deletes files left by a killed server."""
    folder = work / "functions" / ".processes"  # cannot be a function's name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def once(journal: Journal, names: Names) -> sns_mail.Once:
    """Identify a mail by run and kind, not by its short id, so a continued run sends nothing twice."""

    def identity(subject: str, text: str) -> str:
        found = re.search(r"\brun (\S+) of the pipeline\b", text, re.IGNORECASE)
        if not found or not journal.knows(names.execution_arn(found[1])):
            return ""
        return f"{found[1]} {subject.rpartition(': ')[2]}"

    return identity


class Images:
    """Builds manifests without layers: our images are not run locally, and buildah keeps those of the user's folders.

    The digest is part of the fingerprints of models and predictions, so it changes with the scripts, this Python and
    its packages.
    """

    def __init__(self, aws: LocalAws, names: Names) -> None:
        self._aws, self._names = aws, names

    def push(self, image: Image) -> str:
        if image.folder:
            return self._put(image, self._built(image))
        code = self._aws.settings.code
        scripts = [code_of(code / f"{name}.py") for name in all_scripts().get(image.name, ())] if code else []
        content = json.dumps([image.tag, scripts, sys.version, sorted(packages())], sort_keys=True)
        return self._put(image, hashlib.sha256(content.encode()).hexdigest())

    def _built(self, image: Image) -> str:
        """The id of the image that buildah builds of the user's folder, unless it has it."""
        if lacking := bubblewrap.missing():
            if self._address(image) in self._aws.settings.processes:
                return hashlib.sha256(image.tag.encode()).hexdigest()
            raise SurroundingsError(
                f"algorithm.build: {image.folder} needs {lacking} to be built and run locally (or commands that run as "
                "processes, in algorithm.local)"
            )
        address = f"{self._address(image)}={image.folder}"
        if not bubblewrap.has(f"{self._address(image)}:{image.tag}"):
            print(f"Building the image of {image.folder}; this may take minutes.", file=sys.stderr, flush=True)
        engine = {**os.environ, "ENGINE": "buildah", "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(["bash", str(SCRIPT), address], capture_output=True, text=True, env=engine)
        if done.returncode:
            raise SurroundingsError(f"{image.folder} cannot be built: {(done.stderr.strip() or '?').splitlines()[-1]}")
        return bubblewrap.identity(done.stdout.strip())

    def _address(self, image: Image) -> str:
        return self._names.image(image.name).partition("@")[0]

    def _put(self, image: Image, identity: str) -> str:
        digest = f"sha256:{identity}"
        config = {"mediaType": f"{_DOCKER}.container.image.v1+json", "size": 1, "digest": digest}
        media = f"{_DOCKER}.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": media, "config": config, "layers": []})
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        self._aws.client("ecr").put_image(
            repositoryName=image.repository, imageTag=image.tag, imageManifest=manifest, imageDigest=digest
        )
        if image.folder and not bubblewrap.missing():
            bubblewrap.tag(identity, f"{self._address(image)}@{digest}")
        return digest


def processes(config: PipelineConfig) -> dict[str, dict[str, list[str]]]:
    """The commands of algorithm.local, by the address of the container's image; files are those of the repository."""
    found, names = {}, Names(config)
    for model in config.models:
        if model.algorithm and (local := model.algorithm.local):
            host, _, name = names.training_image(model).partition("@")[0].partition("/")
            words = {verb: shlex.split(command) for verb, command in vars(local).items()}
            found[f"{host}/{name.partition(':')[0]}"] = {
                verb: [str(SCRIPT.parents[1] / word) if (SCRIPT.parents[1] / word).is_file() else word for word in each]
                for verb, each in words.items()
            }
    return found


def end_executions(place: Deployed) -> None:
    """Stop running executions with StopExecution, before their jobs are stopped."""
    running = place.journal.running()
    client = place.aws.client("stepfunctions")
    for arn in running:
        client.stop_execution(executionArn=arn, error="Stopped", cause="The local AWS was stopped.")
    for arn in running:
        place.journal.wait_for_end(arn, place.aws.settings.ending_seconds)
    place.functions.drain(MAIL_SECONDS, place.names.tell_function)  # later events stay on disk
