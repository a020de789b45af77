"""rollback, status and the list of runs, in an account of its own for each test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account import Account, Picky, deployed_for, until


@pytest.fixture
def account(
    tmp_path: Path, faults: Picky, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    with deployed_for(tmp_path, faults) as place:
        yield Account(place, tmp_path, capsys)


# A command goes where its run is


def test_a_run_that_the_work_folder_does_not_know_is_looked_for_in_the_account(account: Account) -> None:
    run = account.starts()
    assert account.ended(run) == "SUCCEEDED"
    assert account.calls("show", run)[0] == 0
    code, _, err = account.calls("show", run, "--work", "here")
    assert (code, err) == (2, "error: the folder here does not exist (--work names the folder of local runs)\n")
    (account.folder / "here").mkdir()
    code, _, err = account.calls("show", run, "--work", "here")
    assert (code, err) == (2, f"error: here has no run {run} (`python pipeline.py runs --work here` lists them)\n")
    assert account.told("runs") == []
    assert [told["run"] for told in account.told("runs", "--aws")] == [run]
    assert account.told("show", run[:-3])["run"] == run
    code, _, err = account.calls("show", run[1:])
    assert (code, f"did you mean {run}?" in err) == (2, True)
    again = account.starts()
    code, _, err = account.calls("show", run[:4])
    assert (code, err) == (
        2,
        f"error: {run[:4]} fits 2 runs of the pipeline penguins in the account 123456789012: {again} or {run} "
        "(give more of the name)\n",
    )


# rollback


def longer(definition: dict[str, Any]) -> None:
    definition["TimeoutSeconds"] = 77777


def test_rollback_makes_the_version_before_live_and_tells_the_difference(account: Account) -> None:
    account.changed(longer)
    code, out, err = account.calls("rollback")
    assert code == 0, err
    assert out.startswith("Version 1 is live in place of version 2.\nThe workflow:\n")
    assert "TimeoutSeconds: 77777 -> " in out
    assert "python pipeline.py rollback --to 2\n" in out
    assert account.told("status")["live"]["version"] == 1
    run = account.starts()
    told = account.machines.describe_execution(executionArn=account.names.execution_arn(run))
    assert told["stateMachineVersionArn"].endswith(":1")
    assert account.calls("rollback")[2].endswith("(`python pipeline.py rollback --to 2` goes forward to the newest)\n")
    assert "python pipeline.py rollback --to 2   (version 1 is live, and 2 is newer)" in account.calls("status")[1]
    assert account.calls("rollback", "--to", "2")[0] == 0
    assert account.told("status")["live"]["version"] == 2


def test_rollback_refuses_what_is_not_there(account: Account) -> None:
    code, out, err = account.calls("rollback")
    assert (code, out) == (1, "")
    assert err == (
        "error: the live version, 1, is the earliest version (a deploy that changes the workflow makes the next: "
        "`python pipeline.py deploy`)\n"
    )
    account.changed(longer)
    assert "unknown version (known: 2, 1)" in account.calls("rollback", "--to", "9")[2]
    assert "this version is live already" in account.calls("rollback", "--to", "2")[2]


def test_rollback_refuses_a_version_whose_image_is_gone(account: Account) -> None:
    account.changed(longer)
    ecr, repository = account.place.aws.client("ecr"), account.names.repository("data")
    digests = [
        {"imageDigest": image["imageDigest"]} for image in ecr.list_images(repositoryName=repository)["imageIds"]
    ]
    ecr.batch_delete_image(repositoryName=repository, imageIds=digests)
    code, _, err = account.calls("rollback")
    assert (code, err.startswith("error: version 1 needs the image penguins-data@sha256:")) == (1, True)
    assert account.told("status")["live"]["version"] == 2


def test_rollback_refuses_a_version_whose_config_is_gone(account: Account) -> None:
    account.changed(longer)
    (key,) = [
        entry["Key"]
        for entry in account.s3.list_objects_v2(Bucket=account.names.work_bucket, Prefix="config/")["Contents"]
    ]
    account.s3.delete_object(Bucket=account.names.work_bucket, Key=key)
    code, _, err = account.calls("rollback")
    assert code == 1
    assert f"{key}, which is gone" in err
    assert account.told("status")["live"]["version"] == 2


# status


def test_status_tells_the_pipeline_on_one_screen(account: Account, faults: Picky) -> None:
    faults.unwanted = "-prepare-"
    run = account.starts()
    assert account.ended(run) == "FAILED"
    code, out, err = account.calls("status")
    assert code == 0, err
    assert out.startswith("penguins in the account 123456789012, eu-west-1\n")
    assert re.search(r"live +version 1, published", out)
    assert re.search(rf"{run}  penguins  .* failed", out)
    assert re.search(r"dead letters +none", out)
    assert len(out.splitlines()) < 24


def test_status_tells_why_uploads_started_no_run_and_how_to_empty_the_queue(account: Account) -> None:
    for key in ("june/go.run", "july/go.run"):
        account.s3.put_object(Bucket=account.names.raw_bucket, Key=key, Body=b"hurry: please")
    assert until(lambda: account.told("status")["queue"] == 2)
    june, july = account.told("status")["refusals"]
    assert june.startswith("june/go.run: ") and july.startswith("july/go.run: ")
    assert "hurry" in june, "each is told once, although it was tried three times"
    out = account.calls("status")[1]
    assert re.search(rf"dead letters +2 events\n +{re.escape(june)}\n +{re.escape(july)}\n", out)
    queue = f"https://sqs.eu-west-1.amazonaws.com/123456789012/{account.names.queue}"
    assert f"aws sqs purge-queue --queue-url {queue} --region eu-west-1" in out


def test_a_stack_that_never_came_to_be_is_to_be_deployed_and_not_started(account: Account) -> None:
    config = account.folder / "pipeline-config.yml"
    config.write_text(config.read_text().replace("name: penguins", "name: seals"))
    body = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {}}}})
    cloudformation = account.place.aws.client("cloudformation")
    for stack in ("seals-base", "seals-pipeline"):
        cloudformation.create_change_set(StackName=stack, ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=body)
    assert account.told("status")["next"] == [
        f"python pipeline.py deploy   (the stack {stack} is REVIEW_IN_PROGRESS)"
        for stack in ("seals-base", "seals-pipeline")
    ]
