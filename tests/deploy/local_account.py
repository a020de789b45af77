"""The local AWS as an account to deploy to: its calls are counted, and broken off where a test wants it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import moto_shared
from botocore.exceptions import ConnectionClosedError
from golden import HERE

from localaws.base.clients import Clients
from localaws.server.aws import LocalAws
from pipeline import workflow
from stepgluon.config.load import load, loads
from stepgluon.deploy.apply import Deployed, deploy
from stepgluon.deploy.release import Image, Release, release
from stepgluon.workflow.compile import compile_definition

moto_shared.share()
CONFIG = HERE / "golden" / "one-model" / "config.yml"
WRITES = ("Put", "Execute", "Update", "Delete", "Create", "Subscribe", "Publish", "Tag")


def release_of(text: str = "", environment: str | None = None) -> Release:
    loaded = loads(text, "config.yml", environment, {}) if text else load(CONFIG, environment, {})
    return release(loaded, compile_definition(loaded, workflow).text)


class Door:
    """The door to a local AWS."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.calls: list[str] = []
        self.lost_before = -1  # the number of a call that never arrives
        self.lost_after = -1  # ... whose answer is lost
        self._clients = Clients(aws.endpoint)  # the local AWS's own are used inside it, too

    def client(self, service: str) -> Any:
        client = self._clients.get(service, self.aws.settings.region)
        client.meta.events.register_first("before-send.*.*", self._send(client), unique_id="door")
        return client

    def close(self) -> None:
        self._clients.close()

    def _send(self, client: Any) -> Callable[..., Any]:
        def send(request: Any, event_name: str, **rest: Any) -> Any:
            number = len(self.calls)
            self.calls.append(event_name.rpartition(".")[2])
            if number == self.lost_before:
                raise ConnectionClosedError(endpoint_url=request.url)
            answer = client._endpoint.http_session.send(request)
            if number == self.lost_after:
                raise ConnectionClosedError(endpoint_url=request.url)
            return answer

        return send


class Registry:
    """A builder that pushes a manifest without an image."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.pushed: list[str] = []

    def push(self, image: Image) -> str:
        config = {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1,
            "digest": "sha256:" + "1" * 64,
        }
        layer = f"sha256:{hashlib.sha256(image.tag.encode()).hexdigest()}"  # moto reckons the image's digest from it
        layers = [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": layer}]
        media = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {"schemaVersion": 2, "mediaType": media, "config": config, "layers": layers}
        put = self._door.client("ecr").put_image(
            repositoryName=image.repository, imageManifest=json.dumps(manifest), imageTag=image.tag
        )
        self.pushed.append(image.name)
        return str(put["image"]["imageId"]["imageDigest"])


def no_wait(seconds: float) -> None:
    pass


def deployed(what: Release, door: Door, said: list[str] | None = None, **more: Any) -> Deployed:
    return deploy(what, door, Registry(door), (said if said is not None else []).append, no_wait, **more)


def outcome(what: Release, aws: LocalAws) -> dict[str, Any]:
    """All of the account that a deploy is answerable for."""
    names = what.names
    cloudformation, s3 = aws.client("cloudformation"), aws.client("s3")
    stacks = {}
    for template in (what.base, what.pipeline):
        stack = cloudformation.describe_stacks(StackName=template.stack)["Stacks"][0]
        text = cloudformation.get_template(StackName=template.stack)["TemplateBody"]
        resources = {
            name: cloudformation.describe_stack_resource(StackName=template.stack, LogicalResourceId=name)
            for name in (text if isinstance(text, dict) else json.loads(text))["Resources"]
        }
        stacks[template.stack] = {
            "status": stack["StackStatus"].removeprefix("CREATE_").removeprefix("UPDATE_"),
            "parameters": sorted((p["ParameterKey"], p["ParameterValue"]) for p in stack.get("Parameters", [])),
            "template": text,
            "resources": {name: found["StackResourceDetail"]["ResourceType"] for name, found in resources.items()},
        }
    objects = s3.list_objects_v2(Bucket=names.work_bucket).get("Contents", [])
    versions = aws.client("stepfunctions").list_state_machine_versions(stateMachineArn=names.machine_arn)
    live = aws.client("stepfunctions").describe_state_machine_alias(stateMachineAliasArn=names.live)
    return {
        "stacks": stacks,
        "objects": sorted(found["Key"] for found in objects),
        "versions": len(versions["stateMachineVersions"]),
        "live": live["routingConfiguration"],
        "images": {image.repository: [i["imageTag"] for i in _images(aws, image)] for image in what.images},
    }


def _images(aws: LocalAws, image: Image) -> list[dict[str, str]]:
    return list(aws.client("ecr").list_images(repositoryName=image.repository)["imageIds"])
