"""Endpoints for tests: models whose servers do what a text of Python says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, REGION, ROLE, Jobs, until
from test_transform import SERVER, pack

from localaws.base.environment import harmless
from localaws.sagemaker import images
from localaws.sagemaker.job_process import Script

Cli = Callable[..., Any]
SAYS = "def respond(body): return 200, b'{name}:' + body"
# Ends the server when it has sent its answer.
ENDS = """
plain = Handler.answer
def answer(self, status, body):
    plain(self, status, body)
    if self.command == 'POST': os._exit(5)
Handler.answer = answer
"""


class Served:
    """Makes models, configurations and endpoints; each has a name of its own."""

    def __init__(self, jobs: Jobs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs, self.aws, self.api = jobs, jobs.aws, jobs.api
        self.runtime = jobs.aws.client("sagemaker-runtime")
        self._folder = folder
        self._made: list[str] = []

        def program(image: str, *given: Any) -> Script:
            return Script((sys.executable, str(folder / f"{image}.py")), image)

        monkeypatch.setattr(images, "program", program)

    def model(self, do: str = "", whole: str = "", **container: Any) -> str:
        """A model's name; its image has the same one."""
        name = self.jobs.name()
        (self._folder / f"{name}.py").write_text(whole or SERVER.replace("DO", do))
        key = f"archives/{name}.tar.gz"
        self.jobs.s3.put_object(Bucket="data", Key=key, Body=pack({"weights": b"7"}))
        given = {"Image": name, "ModelDataUrl": f"s3://data/{key}", **container}
        self.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=given)
        return name

    def saying(self, word: str) -> str:
        """A model that puts a word before each body."""
        return self.model(SAYS.format(name=word))

    def config(self, *models: str, **more: Any) -> str:
        """The variants of a configuration are called a, b, ..."""
        name = self.jobs.name()
        variants = [
            {"VariantName": chr(97 + n), "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            for n, model in enumerate(models)
        ]
        for variant, changed in zip(variants, more.pop("variants", []), strict=False):
            variant.update(changed)
        self.api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
        return name

    def endpoint(self, config: str, wanted: str = "InService") -> str:
        name = self.jobs.name()
        self.api.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self._made.append(name)
        assert self.settled(name)["EndpointStatus"] == wanted, (self.described(name), self.log(name))
        return name

    def described(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.describe_endpoint(EndpointName=name)
        return found

    def settled(self, name: str) -> dict[str, Any]:
        """The description when no change but a deletion is in progress."""
        changing = ("Creating", "Updating", "RollingBack", "SystemUpdating")
        until(lambda: self.described(name)["EndpointStatus"] not in changing)
        return self.described(name)

    def updated(self, name: str, config: str, **deployment: Any) -> dict[str, Any]:
        given = {"DeploymentConfig": deployment} if deployment else {}
        self.api.update_endpoint(EndpointName=name, EndpointConfigName=config, **given)
        return self.settled(name)

    def ask(self, name: str, body: bytes = b"1", **more: Any) -> bytes:
        answer = self.runtime.invoke_endpoint(EndpointName=name, Body=body, **more)
        return bytes(answer["Body"].read())

    def log(self, name: str) -> list[str]:
        from moto.logs.models import logs_backends

        settings = self.aws.settings
        group = logs_backends[settings.account][settings.region].groups.get(f"/aws/sagemaker/Endpoints/{name}")
        return [event.message for stream in group.streams.values() for event in stream.events] if group else []

    def remove(self) -> None:
        for name in self._made:
            if endpoint := self.aws.sagemaker.endpoints.endpoints.get(name):
                if self.settled(name)["EndpointStatus"] != "Deleting":
                    self.api.delete_endpoint(EndpointName=name)
                until(lambda endpoint=endpoint: endpoint.name not in self.aws.sagemaker.endpoints.endpoints)


def canary(wait: int, *alarms: str, percent: int = 50) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    return routed({"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size}, *alarms)


def routed(routing: dict[str, Any], *alarms: str) -> dict[str, Any]:
    watched = {"Alarms": [{"AlarmName": name} for name in alarms]}
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    return {**policy, "AutoRollbackConfiguration": watched} if alarms else policy


@pytest.fixture
def served(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    made = Served(jobs, tmp_path, monkeypatch)
    yield made
    made.remove()


@pytest.fixture
def cli(served: Served) -> Cli:
    """The aws command line; gives its JSON, or its error."""

    def run(*words: str, credentials: dict[str, str] | None = None) -> Any:
        aws = str(Path(sys.executable).with_name("aws"))
        command = [sys.executable, aws, *words, "--endpoint-url", served.aws.endpoint]
        place = harmless(ACCOUNT, REGION, "http://127.0.0.1:1") | (credentials or {})
        done = forks.run(command, env=place, capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else json.loads(done.stdout or "null")

    return run


def refused(call: Callable[..., Any], **given: Any) -> str:
    with pytest.raises(ClientError) as problem:
        call(**given)
    error = problem.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"
