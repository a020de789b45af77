"""The pipeline as it is deployed here, by the templates."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from golden import HERE
from local_aws import MINUTES, settings, until
from stand_in import SCRIPTS

from pipeline import workflow
from stepgluon.config.load import load
from stepgluon.deploy.release import Image, images
from stepgluon.errors import StepgluonError
from stepgluon.local import run_folder
from stepgluon.local.deployed import Deployed, Images, deployed
from stepgluon.local.journal import Begun
from stepgluon.local.run import followed
from stepgluon.names import Names
from stepgluon.runs.progress import Progress
from stepgluon.workflow.compile import compile_definition


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    loaded = load(HERE / "golden" / "one-model" / "config.yml", None, {})
    account: dict[str, Any] = {"account": loaded.config.account, "region": loaded.config.region}
    there = settings(tmp_path_factory.mktemp("work"), **account)
    (there.work / "functions" / ".processes" / "stepgluon-function-left").mkdir(parents=True)
    with deployed(loaded, compile_definition(loaded, workflow).text, there) as made:
        yield made


def test_two_quick_uploads_of_one_key_start_a_run_each_with_its_own_content(place: Deployed) -> None:
    s3, bucket = place.aws.client("s3"), place.names.raw_bucket
    for note in ("first", "second"):
        s3.put_object(Bucket=bucket, Key="june/go.run", Body=f"note: {note}".encode())
    until(lambda: len(place.journal.begun()) == 2)
    assert {json.loads(begun.input)["note"] for begun in place.journal.begun()} == {"first", "second"}


def test_an_upload_starts_the_version_that_the_alias_leads_to(place: Deployed) -> None:
    until(place.journal.begun)
    told = place.aws.client("stepfunctions").describe_execution(executionArn=place.journal.begun()[0].arn)
    assert told["stateMachineAliasArn"] == place.names.live
    assert told["stateMachineVersionArn"] == f"{place.names.machine_arn}:1"


def test_an_execution_is_told_of_when_it_can_be_asked_for_and_written_down_before(
    place: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.stepfunctions.parser.backend.execution import Execution

    plain, told = Execution.__init__, []

    def begins(execution: Any, *given: Any, **named: Any) -> None:
        arn = named["exec_arn"]
        told.append((arn in [begun.arn for begun in place.journal.begun()], place.journal.knows(arn)))
        plain(execution, *given, **named)

    monkeypatch.setattr(Execution, "__init__", begins)
    arn = started(place, "slow")
    assert told == [(False, True)]
    assert arn in [begun.arn for begun in place.journal.begun()]


def test_an_execution_that_was_refused_leaves_nothing(place: Deployed) -> None:
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        started(place, "refused", "no JSON")
    arn = place.names.execution_arn("refused")
    assert not place.journal.knows(arn)
    assert arn not in dict(place.aws.objects.documents("begun"))


def test_an_execution_that_is_stopped_as_soon_as_it_has_begun_has_an_end_that_is_told(place: Deployed) -> None:
    steps = place.aws.client("stepfunctions")
    for number in range(20):
        arn = started(place, f"stopped-{number}")
        steps.stop_execution(executionArn=arn, error="Stopped", cause="at once")
        assert place.journal.wait_for_end(arn, MINUTES)
        assert steps.describe_execution(executionArn=arn)["status"] == "ABORTED"
        types = [event["type"] for event in place.aws.history(arn)]
        assert (types[0], types[-1]) == ("ExecutionStarted", "ExecutionAborted")


def test_a_run_that_ended_without_an_end_is_not_waited_for(place: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = started(place, "endless")
    assert place.journal.wait_for_end(arn, MINUTES)
    begun = next(begun for begun in place.journal.begun() if begun.arn == arn)
    events = place.aws.history(arn)[:-1]
    monkeypatch.setattr(place.aws, "history", lambda arn: events)
    with pytest.raises(StepgluonError, match="the run endless ended without an end"):
        followed(place, begun, Progress(TextIOWrapper(BytesIO()), False, False))


def test_one_run_that_cannot_be_kept_does_not_hide_the_others(place: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, said = run_folder.collect, []

    def collect(place: Deployed, begun: Begun) -> dict[str, Any]:
        if begun.name == "bad":
            raise KeyError("mistake")
        return plain(place, begun)

    monkeypatch.setattr(run_folder, "collect", collect)
    with run_folder.refreshed(place, said.append):
        for name in ("bad", "good"):
            place.journal.wait_for_end(started(place, name, '{"odd": 1}'), MINUTES)
        until(lambda: any(line.startswith("Run good: ") for line in said))
    (ended,) = (line for line in said if line.startswith("Run good: "))
    assert re.fullmatch(r"Run good: FAILED after [\d.]+ s in the state Begin: .+ odd is not a key .+", ended), ended
    assert said.count("Run bad cannot be saved now: KeyError: 'mistake'") == 1


def started(place: Deployed, name: str, given: str = "{}") -> str:
    client = place.aws.client("stepfunctions")
    return str(client.start_execution(stateMachineArn=place.names.live, name=name, input=given)["executionArn"])


def test_a_functions_process_has_its_files_below_the_work_folder_and_a_killed_servers_are_gone(
    place: Deployed,
) -> None:
    until(place.journal.begun)
    there = [folder.name for folder in (place.aws.settings.work / "functions" / ".processes").iterdir()]
    assert 1 <= len(there) <= 2, "of the function that starts runs, and of the one that mails failures"
    assert "stepgluon-function-left" not in there


def test_what_was_deleted_in_a_versioned_bucket_is_hidden_and_not_lost(place: Deployed) -> None:
    s3, bucket = place.aws.client("s3"), place.names.raw_bucket
    version = s3.put_object(Bucket=bucket, Key="hidden/a.csv", Body=b"x")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="hidden/a.csv")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="hidden/")["KeyCount"] == 0
    found = s3.get_object(Bucket=bucket, Key="hidden/a.csv", VersionId=version)
    assert found["Body"].read() == b"x"


def test_the_digest_of_an_image_changes_with_the_scripts_that_run_in_it_and_with_the_packages(
    place: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    shutil.copytree(SCRIPTS, code)
    ecr = SimpleNamespace(put_image=lambda **given: None)
    aws = SimpleNamespace(settings=SimpleNamespace(code=code), client=lambda service: ecr)
    image = images(place.names)[1]
    assert image.name == "autogluon"
    builder = Images(aws, place.names)  # type: ignore[arg-type] # what it uses of a LocalAws
    first = builder.push(image)
    assert builder.push(image) == first
    (code / "postprocess.py").write_text("# runs in the other image")
    assert builder.push(image) == first
    (code / "stage.py").write_text("# which train imports")
    second = builder.push(image)
    monkeypatch.setattr("stepgluon.local.deployed.packages", lambda: ["autogluon-99.dist-info"])
    assert len({first, second, builder.push(image)}) == 3


def test_a_build_that_may_take_minutes_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = Names(load(HERE / "golden" / "built" / "config.yml", None, {}).config)
    image = Image("digits", "built-digits", "0123", "", folder="docker/digits")
    known = set[str]()

    def build(command: list[str], **given: Any) -> SimpleNamespace:
        known.add(f"{command[-1].partition('=')[0]}:{image.tag}")
        return SimpleNamespace(returncode=0, stdout=image.tag)

    monkeypatch.setattr("localaws.sagemaker.bubblewrap.missing", lambda: "")
    monkeypatch.setattr("localaws.sagemaker.bubblewrap.has", known.__contains__)
    monkeypatch.setattr("localaws.sagemaker.bubblewrap.identity", lambda name: "5" * 64)
    monkeypatch.setattr("subprocess.run", build)
    built = Images(None, names)._built  # type: ignore[arg-type]  # buildah needs no AWS
    assert built(image) == "5" * 64
    assert capsys.readouterr().err == f"Building the image of {image.folder}; this may take minutes.\n"
    built(image)
    assert capsys.readouterr().err == ""
