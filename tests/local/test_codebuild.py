"""Builds of images by the local CodeBuild: real ones, with buildah, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, MINUTES, REGION, ROLE
from test_moto_fixes import Interpreter, task

from localaws.codebuild import build as building
from localaws.server.aws import LocalAws

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
SPEC = """version: 0.2
phases:
  pre_build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin $HOST
  build:
    commands:
      - docker build --tag "$IMAGE" --build-arg WHO=you .
      - docker push "$IMAGE" || docker manifest inspect "$IMAGE"
"""
DOCKERFILE = "FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY hello /hello\n"
Started = Callable[..., dict[str, Any]]


def with_buildah() -> None:
    if lacking := building.missing():
        pytest.skip(f"no {lacking}")


@pytest.fixture(scope="module")
def project(aws: LocalAws) -> str:
    environment = {"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"}
    environment["environmentVariables"] = [{"name": "HOST", "value": HOST}]  # type: ignore[assignment] # a list
    source = {"type": "S3", "location": "data/sources/none.zip", "buildspec": SPEC}
    aws.client("codebuild").create_project(
        name="images", source=source, artifacts={"type": "NO_ARTIFACTS"}, environment=environment, serviceRole=ROLE
    )
    aws.client("ecr").create_repository(repositoryName="mine", imageTagMutability="IMMUTABLE")
    return "images"


@pytest.fixture
def image(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new tag, in a store of buildah of its own."""
    store = tmp_path / "storage.conf"
    store.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(store))
    yield f"{HOST}/mine:{tmp_path.name.lower()}"


def packed(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def request(aws: LocalAws, image: str, dockerfile: str = DOCKERFILE, **more: Any) -> dict[str, Any]:
    source = packed({"Dockerfile": dockerfile, "hello": "hello"})
    aws.client("s3").put_object(Bucket="data", Key="sources/mine.zip", Body=source)
    variables = [{"name": "IMAGE", "value": image}]
    place = {"sourceTypeOverride": "S3", "sourceLocationOverride": "data/sources/mine.zip"}
    return {"projectName": "images", **place, "environmentVariablesOverride": variables, **more}


def ended(aws: LocalAws, **given: Any) -> dict[str, Any]:
    id = aws.client("codebuild").start_build(**given)["build"]["id"]
    assert aws.codebuild.build(id).done.wait(MINUTES)
    (build,) = aws.client("codebuild").batch_get_builds(ids=[id])["builds"]
    return dict(build)


def said(aws: LocalAws, build: dict[str, Any]) -> str:
    place = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
    return "\n".join(event["message"] for event in aws.client("logs").get_log_events(**place)["events"])


def test_a_build_makes_an_image_and_ecr_knows_its_tag(aws: LocalAws, project: str, image: str) -> None:
    with_buildah()
    build = ended(aws, **request(aws, image))
    assert build["buildStatus"] == "SUCCEEDED", said(aws, build)
    inspected = subprocess.run(["buildah", "inspect", "--type", "image", image], capture_output=True, text=True)
    assert json.loads(inspected.stdout)["Docker"]["config"]["Labels"]["who"] == "you"
    tag = image.rpartition(":")[2]
    (found,) = aws.client("ecr").describe_images(repositoryName="mine", imageIds=[{"imageTag": tag}])["imageDetails"]
    assert found["imageDigest"] in said(aws, build)


def test_a_build_whose_image_another_run_pushed_first_succeeds(aws: LocalAws, project: str, image: str) -> None:
    with_buildah()
    assert ended(aws, **request(aws, image))["buildStatus"] == "SUCCEEDED"
    second = request(aws, image, DOCKERFILE + "LABEL second=build\n")
    build = ended(aws, **second)
    assert build["buildStatus"] == "SUCCEEDED", said(aws, build)
    assert "docker push failed: " in said(aws, build) and "already exists in the repository" in said(aws, build)
    build = ended(aws, **second, buildspecOverride=SPEC.replace(' || docker manifest inspect "$IMAGE"', ""))
    assert build["buildStatus"] == "FAILED", "without the second command"


def test_a_failed_build_tells_the_last_line_of_its_log(aws: LocalAws, project: str, image: str) -> None:
    with_buildah()
    build = ended(aws, **request(aws, image, "FROM scratch\nCOPY nothing /nothing\n"))
    assert build["buildStatus"] == "FAILED"
    (context,) = build["phases"][-1]["contexts"]
    assert context["message"].startswith("docker build failed: ")
    assert "nothing" in context["message"]


@pytest.mark.parametrize("command", ["make all", "docker run image", "docker build /etc", "docker build -v /:/x ."])
def test_no_other_command_runs(aws: LocalAws, project: str, image: str, command: str) -> None:
    with_buildah()
    spec = f"version: 0.2\nphases:\n  build:\n    commands:\n      - {command}\n"
    build = ended(aws, **request(aws, image, buildspecOverride=spec))
    message = f"this command needs AWS (locally, only docker build and docker push run): {command}"
    assert build["phases"][-1]["contexts"][0]["message"] == message


def test_without_buildah_a_build_says_what_to_install(
    aws: LocalAws, project: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    build = ended(aws, **request(aws, image))
    assert said(aws, build) == "building an image locally needs buildah (apt-get install buildah)"


def test_a_state_machine_waits_for_its_build(aws: LocalAws, project: str, image: str) -> None:
    with_buildah()
    given = request(aws, image)
    variables = [{"Name": "IMAGE", "Value": image}]
    place = {"SourceTypeOverride": "S3", "SourceLocationOverride": given["sourceLocationOverride"]}
    arguments = {"ProjectName": project, "EnvironmentVariablesOverride": variables, **place}
    state = task("codebuild:startBuild.sync", Arguments=arguments)
    assert Interpreter(aws).output({"Build": state})["Build"]["BuildStatus"] == "SUCCEEDED"

    request(aws, image, "FROM scratch\nCOPY nothing /nothing\n")
    failing = Interpreter(aws)
    failing._count = 100
    told = failing.run({"Build": state})
    assert told["error"] == "States.TaskFailed"
    assert "docker build failed" in json.loads(told["cause"])["Build"]["Phases"][-1]["Contexts"][0]["Message"]

    failing = Interpreter(aws)
    failing._count = 200
    state["Arguments"] = {"ProjectName": "nowhere"}
    assert failing.run({"Build": state})["error"] == "CodeBuild.ResourceNotFoundException"


def test_a_build_that_is_stopped_while_buildah_starts_leaves_no_process(
    aws: LocalAws, project: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def popen(words: list[str], **more: Any) -> Any:
        started.append(plain(["sleep", "3600"], **more))
        (build,) = (one for one in aws.codebuild._builds.values() if not one.done.is_set())
        build.stop()  # before anything knows the process
        return started[0]

    plain = subprocess.Popen
    monkeypatch.setattr(building, "missing", lambda: "")
    monkeypatch.setattr(building.subprocess, "Popen", popen)
    assert ended(aws, **request(aws, image))["buildStatus"] == "STOPPED"
    assert started[0].returncode == -9


def test_a_token_starts_one_build_and_unknown_parameters_are_refused(aws: LocalAws, project: str, image: str) -> None:
    api, given = aws.client("codebuild"), request(aws, image, idempotencyToken="once")
    first, second = (api.start_build(**given)["build"]["id"] for _ in range(2))
    assert first == second
    assert api.list_builds_for_project(projectName=project)["ids"][0] == first
    api.stop_build(id=first)
    assert aws.codebuild.build(first).done.wait(MINUTES)
    with pytest.raises(ClientError, match="privilegedModeOverride is not available locally"):
        api.start_build(projectName=project, privilegedModeOverride=True)
