"""plan in words that a person reads: each case's words stand in a file of tests/deploy/plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from golden import same_as
from local_account import WRITES, Door, deployed, no_wait, release_of

from stepgluon.deploy.changes import Change
from stepgluon.deploy.definition_diff import Difference, Field, difference
from stepgluon.deploy.plan import Plan, StackPlan, plan
from stepgluon.deploy.release import Release

PLANS = Path(__file__).parent / "plans"
TWO = """
name: houses
account: "123456789012"
region: eu-central-1
notify: [ml-team@example.com, {second}]
models: [{{name: price, label: price, where: {{kind: house}}}}, {{name: {model}, label: rent, where: {{kind: flat}}}}]
fallback: {{threshold: {threshold}}}
train: {{instance: {{type: {instance}}}}}
"""
BEFORE = TWO.format(second="jo@example.com", model="rent", threshold=25000, instance="ml.m5.xlarge")
AFTER = TWO.format(second="kim@example.com", model="lease", threshold=26000, instance="ml.m5.2xlarge")


@pytest.fixture(scope="module")
def first() -> Release:
    return release_of(BEFORE)


def words(what: Release, door: Door) -> str:
    text = plan(what, door, no_wait).words()
    for index, name in enumerate([image.tag for image in what.images] + [stored.key for stored in what.objects]):
        text = text.replace(name, f"<hash {index}>")  # they change with every file of code/ and lambda/
    return text


def reads_as(case: str, text: str) -> None:
    file = PLANS / f"{case}.txt"
    assert same_as(file, text), f"{text}\nand not\n{file.read_text(encoding='utf-8') if file.is_file() else ''}"


def test_before_the_first_deploy_everything_is_new_and_nothing_is_touched(door: Door, first: Release) -> None:
    reads_as("new", words(first, door))
    assert not [call for call in door.calls if call.startswith(WRITES)]


def test_after_a_deploy_nothing_is_to_do(door: Door, first: Release) -> None:
    deployed(first, door)
    assert words(first, door) == "houses in account 123456789012, eu-central-1: nothing to do.\n"
    assert plan(first, door, no_wait).as_json()["nothing"]


def test_a_changed_config_is_told_stack_by_stack_and_state_by_state(door: Door, first: Release) -> None:
    deployed(first, door)
    door.calls.clear()
    changed = release_of(AFTER)
    sets: list[str] = []
    client = door.client("cloudformation")
    client.meta.events.register(
        "after-call.cloudformation.CreateChangeSet", lambda parsed, **_: sets.append(parsed["Id"])
    )
    reads_as("changed", words(changed, door))
    written = [call for call in door.calls if call.startswith(WRITES)]
    assert written == ["CreateChangeSet", "DeleteChangeSet"] * 2, "one of each for the two stacks"
    assert len(sets) == 2
    for made in sets:
        with pytest.raises(ClientError, match="ChangeSetNotFound"):
            client.describe_change_set(ChangeSetName=made)
    told = plan(changed, door, no_wait).as_json()
    json.dumps(told, allow_nan=False)
    assert told["workflow"]["added"] and not told["nothing"]


def test_an_image_that_is_not_built_is_told_and_changes_nothing_yet(door: Door, first: Release) -> None:
    deployed(first, door)
    images = (replace(first.images[0], tag="0" * 32), first.images[1])
    reads_as("image", words(replace(first, images=images), door))


def test_only_the_parts_that_are_asked_for_are_told(door: Door, first: Release) -> None:
    deployed(first, door)
    found = plan(release_of(AFTER), door, no_wait, only=("base",))
    assert found.words() == "houses in account 123456789012, eu-central-1: nothing to do.\n"


def test_what_would_be_lost_is_warned_of() -> None:
    changes = (
        Change("replaced", "Topic", "AWS::SNS::Topic", "arn", ("TopicName",)),
        Change("perhaps replaced", "Queue", "AWS::SQS::Queue", "url", ("QueueName",)),
        Change("removed", "RawBucket", "AWS::S3::Bucket", "raw"),
        Change("let go", "WorkBucket", "AWS::S3::Bucket", "work"),
        Change("removed", "Subscription2", "AWS::SNS::Subscription", "arn"),
        Change("replaced", "MachineVersion", "AWS::StepFunctions::StateMachineVersion", "arn", ("Description",)),
        Change("found again", "DataRepository", "AWS::ECR::Repository", "r"),
        Change("changed", "Trigger", "AWS::Lambda::Function", "f", ("Code", "Environment")),
    )
    stack = StackPlan("houses-pipeline", True, changes)
    reads_as("losses", Plan("houses", "123456789012", "eu-central-1", (stack,), Difference(), (), ()).words())
    told = Plan("houses", "123456789012", "eu-central-1", (stack,), None, (), ()).as_json()
    assert [change["loses"] != "" for change in told["stacks"][0]["changes"]] == [True] * 3 + [False] * 5


def machine(**states: object) -> dict[str, object]:
    return {"StartAt": "A", "States": states}


def test_states_in_branches_are_compared_by_their_names_and_a_branch_is_no_difference_of_its_parallel() -> None:
    def parallel(*branches: dict[str, object]) -> dict[str, object]:
        return machine(A={"Type": "Parallel", "Branches": list(branches), "End": True})

    one = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Result": {"n": 1, "gone": True}, "End": True}}}
    two = {"StartAt": "C", "States": {"C": {"Type": "Pass", "End": True}}}
    new = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Result": {"n": 1.0, "new": "x" * 99}, "End": True}}}
    assert difference(parallel(one), parallel(one)) == Difference()
    found = difference(parallel(one, two), parallel(new))
    assert (found.added, found.removed) == ((), ("C",))
    assert dict(found.changed) == {
        "A": (Field("Branches.C", '"branch"', ""),),
        "B": (
            Field("Result.n", "1", "1.0"),
            Field("Result.gone", "true", ""),
            Field("Result.new", "", '"' + "x" * 58 + "…"),
        ),
    }


def test_long_values_are_shown_where_they_differ() -> None:
    def said(text: str) -> dict[str, object]:
        return machine(A={"Type": "Pass", "Result": text})

    ((_, (field,)),) = difference(said("x" * 90 + "the threshold is 1"), said("x" * 90 + "the threshold is 2")).changed
    assert (field.before, field.after) == ('…e threshold is 1"', '…e threshold is 2"')


def test_a_map_and_the_machine_itself_are_compared_too() -> None:
    def mapped(seconds: int, kind: str) -> dict[str, object]:
        processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "B", "States": {"B": {"Type": kind}}}
        return {"TimeoutSeconds": seconds, **machine(A={"Type": "Map", "ItemProcessor": processor})}

    assert difference(mapped(1, "Pass"), mapped(2, "Wait")).changed == (
        ("(the machine)", (Field("TimeoutSeconds", "1", "2"),)),
        ("B", (Field("Type", '"Pass"', '"Wait"'),)),
    )
