"""The demo's workflow in a local AWS as users have it: uploads start it, mails land in a folder.

Here is what a test breaks, how a run ended, and what holds for every run however it ended.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import forks
import pytest
from configs import penguins
from faults import Faults
from local_aws import MINUTES, until
from stand_in import SCRIPTS

from localaws.server.aws import Settings
from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import SurroundingsError
from stepgluon.local.deployed import Deployed, deployed
from stepgluon.local.journal import Begun
from stepgluon.local.run_folder import collect
from stepgluon.local.surroundings import blame_the_disk
from stepgluon.workflow.compile import compile_definition

_NAME = re.compile(r"[\w-]+")  # the name of a run may begin that of another
MODELS = ("adelie", "chinstrap", "gentoo")
CONFIG = penguins(
    "fallback: {threshold: 350, if_missing: fail}",
    "retries: {throttling: 3, quota: 3, job: 1}",
    species="adelie, chinstrap, gentoo",
)


@cache
def compiled() -> tuple[LoadedConfig, str]:
    loaded = loads(CONFIG, "config.yml", None, {})
    return loaded, compile_definition(loaded, workflow).text


class OfOneStage(Faults):
    """What is refused, lost or full, for the jobs of one stage alone."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.stage = "no stage"
        self.refusals: list[tuple[str, str]] = []
        self.for_ever: tuple[str, str] | None = None
        self.losses = 0
        self.full = False
        self.refused: list[str] = []

    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        if self.stage not in name:
            return None
        found = self.for_ever or (self.refusals.pop(0) if self.refusals else None)
        if found:
            self.refused.append(name)
        return found

    def capacity(self, kind: str, name: str) -> str | None:
        if self.stage not in name or not self.losses:
            return None
        self.losses -= 1
        return "CapacityError: Unable to provision requested ML compute capacity."

    def upload(self, kind: str, name: str) -> None:
        if self.full and self.stage in name:
            raise OSError(28, "No space left on device")


@dataclass
class Ended:
    """A run that is over."""

    name: str
    told: dict[str, Any]  # as run.json has it
    mails: list[tuple[str, str]]  # kind and text
    code: int  # the exit code that `run --local` has

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.mails]

    @property
    def uses(self) -> dict[str, str]:
        return {model["name"]: model["uses"] for model in self.told["models"]}


class Whole:
    def __init__(self, place: Deployed, faults: OfOneStage) -> None:
        self.place, self.faults = place, faults
        self.s3 = place.aws.client("s3")
        self.machines = place.aws.client("stepfunctions")
        self.raw, self.bucket = place.names.raw_bucket, place.names.work_bucket
        self._count = 0
        self._mails: dict[str, tuple[str, str]] = {}  # by file name: texts, which test_many_runs.py does not count

    def upload(self, **orders: str) -> str:
        """A table whose orders say how a stage misbehaves (_ for -), and then a .run file; returns the folder."""
        self._count += 1
        folder = f"folder-{self._count}"
        told = {stage.replace("_", "-"): order for stage, order in orders.items()}
        # The number makes each run's data its own: what a job did in another test is not remembered for this one.
        body = json.dumps({**told, "": self._count}).encode()
        self.s3.put_object(Bucket=self.raw, Key=f"{folder}/orders.json", Body=body)
        self.s3.put_object(Bucket=self.raw, Key=f"{folder}/go.run", Body=b"")
        return folder

    def begun(self, folder: str) -> Begun:
        uri = f"s3://{self.raw}/{folder}/go.run"
        found: Begun = until(lambda: next((b for b in self.place.journal.begun() if b.run_file == uri), None))
        return found

    def run(self, **orders: str) -> Ended:
        return self.ended(self.upload(**orders))

    def ended(self, folder: str, holds: bool = True) -> Ended:
        """The run when it has ended; unless mails are broken it held what holds for every run."""
        begun = self.begun(folder)
        assert self.place.journal.wait_for_end(begun.arn, MINUTES)
        until(lambda: self.place.journal.ended(begun.arn))
        assert self.place.functions.drain(MINUTES, self.place.names.tell_function), "a function mails failures"
        told = collect(self.place, begun)
        try:
            blame_the_disk(told, self.place.work)
            code = 0 if told["status"] == "SUCCEEDED" else 1
        except SurroundingsError as problem:
            code = problem.exit_code
        ended = Ended(begun.name, told, self.mails(begun.name), code)
        if holds:
            self._holds(folder, ended)
        return ended

    def _holds(self, folder: str, ended: Ended) -> None:
        kinds = ended.kinds
        assert kinds.count("started") == 1
        ends = [kind for kind in kinds if kind not in ("started", "models")]
        assert len(ends) == 1, f"one of finished or failed: {kinds}"
        assert self.keys(self.raw, f"{folder}/") == [f"{folder}/go.run", f"{folder}/orders.json"]
        without = "no output" in self.text(self.raw, f"{folder}/orders.json")
        for job in ended.told["jobs"]:
            if job["status"] == "Completed" and not without:
                assert self.keys(self.bucket, self._output(job)), f"{job['name']} finished, its output is kept"
        until(lambda: not list(self.place.work.glob(".jobs-*/*")))  # jobs leave no files, or not even their folder

    def _output(self, job: dict[str, Any]) -> str:
        request = self.place.aws.sagemaker.job(job["kind"], job["name"]).request
        if job["kind"] == "training":
            uri = f"{request['OutputDataConfig']['S3OutputPath']}/{job['name']}/"
        else:
            uri = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
        return str(uri).removeprefix(f"s3://{self.bucket}/")

    def mails(self, run: str) -> list[tuple[str, str]]:
        """Kind and text of each mail of a run, in their order."""
        names = sorted(file.name for file in self.place.outbox.glob("*.eml"))
        for name in names:
            if name not in self._mails:
                content = (self.place.outbox / name).read_bytes()
                letter = email.message_from_bytes(content, policy=email.policy.default)
                self._mails[name] = str(letter["Subject"]).rpartition(": ")[2], str(letter.get_content())
        return [self._mails[name] for name in names if run in _NAME.findall(self._mails[name][1])]

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [stored.key for stored in self.place.aws.objects.below(bucket, prefix)]

    def text(self, bucket: str, key: str) -> str:
        objects = self.place.aws.objects
        stored = objects.one(bucket, key)
        assert stored, f"{bucket} has no {key}"
        return objects.file(stored.content).read_text()

    def result(self, ended: Ended) -> dict[str, str]:
        """The result's files; a result is complete or absent."""
        prefix = f"runs/{ended.name}/result/"
        return {key.removeprefix(prefix): self.text(self.bucket, key) for key in self.keys(self.bucket, prefix)}

    def promote(self, *models: str, **files: str) -> None:
        """Makes a model of each name the default, with these files (_ for .); of the others there is none."""
        entries = {}
        for model in models:
            place = f"promoted/{model}/"
            for key in self.keys(self.bucket, place):
                self.s3.delete_object(Bucket=self.bucket, Key=key)
            for name, text in (files or {"model_bin": model}).items():
                self.s3.put_object(Bucket=self.bucket, Key=f"{place}{name.replace('_', '.')}", Body=text.encode())
            uri = f"s3://{self.bucket}/{place}"
            entries[f"m_{model}"] = {"uses": "default", "model_uri": uri, "run": "old", "default_mae": 1}
        self.s3.put_object(Bucket=self.bucket, Key="promoted.json", Body=json.dumps(entries).encode())

    def hanging(self, stage: str) -> Any:
        """The job of a stage, when it has said that it hangs."""
        logs = self.place.aws.logs

        def found() -> Any:
            alive = [job for job in self.place.aws.sagemaker.jobs() if stage in job.name and not job.done.is_set()]
            return next((job for job in alive if logs.lines(job.kind, job.name)), None)

        return until(found)


@contextmanager
def whole(work: Path, definition: str = "", **changed: Any) -> Iterator[Whole]:
    faults = OfOneStage()
    loaded, definition = compiled()[0], definition or compiled()[1]
    config = loaded.config
    usual = {
        "code": SCRIPTS,
        "waiting": 0.00001,
        "grace_seconds": 0.3,
        "cores": 2,
        "cores_per_job": 1,
        "ending_seconds": MINUTES,
    }
    settings = replace(Settings(work=work, account=config.account, region=config.region), **{**usual, **changed})
    with pytest.MonkeyPatch.context() as patch, faults.active(), deployed(loaded, definition, settings) as place:
        forks.arrange(patch.setattr)
        yield Whole(place, faults)
