"""deploy on the local AWS: what it makes, that it can be repeated, and that it can be broken off anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from local_account import CONFIG, WRITES, Door, Registry, deployed, no_wait, outcome, release_of

from localaws.server.aws import LocalAws
from stepgluon.aws import one_sentence
from stepgluon.deploy.account_checks import WrongAccount
from stepgluon.deploy.apply import BaseOutdated, deploy
from stepgluon.deploy.destroy import Order, destroy
from stepgluon.deploy.plan import plan
from stepgluon.deploy.release import Release
from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.names import Names


@pytest.fixture(scope="module")
def wanted() -> Release:
    return release_of()


@pytest.fixture
def door(door: Door, wanted: Release) -> Iterator[Door]:
    yield door
    cleared(door.aws, wanted)


def cleared(aws: LocalAws, what: Release) -> None:
    destroy(what.names, aws, Order(delete_data=True, stop_runs=True), lambda text: None, no_wait)


def test_it_brings_stacks_images_and_objects_and_the_second_time_finds_all_of_them(door: Door, wanted: Release) -> None:
    said: list[str] = []
    first = deployed(wanted, door, said)
    assert first.changed == ("houses-base", "houses-pipeline")
    assert [line for line in said if not line.startswith("  ")] == [
        "creating houses-base",
        *(f"building and pushing the image {image.repository}:{image.tag}" for image in wanted.images),
        *(f"uploading s3://{wanted.names.work_bucket}/{stored.key}" for stored in wanted.objects),
        "creating houses-pipeline",
    ]
    before = outcome(wanted, door.aws)
    said.clear()
    second = deployed(wanted, door, said)
    assert second == replace(first, changed=())
    assert said == [
        "houses-base is up to date",
        *(f"image {image.repository}:{image.tag} is there" for image in wanted.images),
        "houses-pipeline is up to date",
    ]
    assert outcome(wanted, door.aws) == before


def test_the_machine_that_runs_is_the_definition_with_the_images_digests(door: Door, wanted: Release) -> None:
    done = deployed(wanted, door)
    live = door.aws.client("stepfunctions").describe_state_machine_alias(stateMachineAliasArn=wanted.names.live)
    version = live["routingConfiguration"][0]["stateMachineVersionArn"]
    machine = door.aws.client("stepfunctions").describe_state_machine(stateMachineArn=version)
    text = wanted.definition
    for name, digest in done.digests.items():
        text = text.replace(f"${{{name}}}", digest)
    assert machine["definition"] == text


def test_a_changed_config_builds_no_image_and_publishes_one_version_more(door: Door, wanted: Release) -> None:
    deployed(wanted, door)
    changed = release_of(CONFIG.read_text(encoding="utf-8").replace("25000", "26000"))
    registry = Registry(door)
    done = deploy(changed, door, registry, lambda text: None, no_wait)
    assert (done.changed, registry.pushed) == (("houses-pipeline",), [])
    after = outcome(changed, door.aws)
    assert after["versions"] == 2
    assert after["live"][0]["stateMachineVersionArn"].endswith(":2")


def test_a_part_can_be_deployed_alone(door: Door, wanted: Release) -> None:
    with pytest.raises(SurroundingsError) as caught:
        deployed(wanted, door, only=("pipeline",))
    assert str(caught.value) == "houses-base is not there yet (`python pipeline.py deploy --only base` first)"
    assert deployed(wanted, door, only=("base",)).changed == ("houses-base",)
    assert deployed(wanted, door, only=("pipeline",)).changed == ("houses-pipeline",)


def test_the_account_of_the_credentials_must_be_the_configs(door: Door, wanted: Release) -> None:
    config = wanted.names.config.changed(account="999999999999")
    with pytest.raises(WrongAccount) as caught:
        deployed(replace(wanted, names=Names(config)), door)
    assert str(caught.value) == (
        "these credentials are of the account 123456789012, and the config's is 999999999999 (set AWS_PROFILE to one "
        "of that account, or correct `account` in the config)"
    )
    assert door.calls == ["GetCallerIdentity"], "and nothing else was asked or done"


def test_a_pipeline_that_was_destroyed_finds_its_data_again(door: Door, wanted: Release) -> None:
    deployed(wanted, door)
    bucket = wanted.names.raw_bucket
    door.aws.client("s3").put_object(Bucket=bucket, Key="june/houses.csv", Body=b"x")
    gone = destroy(wanted.names, door, Order(), lambda text: None, no_wait)
    assert gone.stacks == ("houses-pipeline", "houses-base")
    assert gone.kept == (f"s3://{wanted.names.work_bucket}", f"s3://{bucket}", "houses-data", "houses-autogluon")
    said: list[str] = []
    deployed(wanted, door, said)
    assert {"  found again WorkBucket", "  found again RawBucket", "  found again DataRepository"} <= set(said)
    assert f"image houses-data:{wanted.images[0].tag} is there" in said
    assert door.aws.client("s3").get_object(Bucket=bucket, Key="june/houses.csv")["Body"].read() == b"x"


def test_two_environments_live_side_by_side(door: Door, wanted: Release) -> None:
    text = CONFIG.read_text(encoding="utf-8") + "environments: {dev: {fallback: {threshold: 9}}}\n"
    dev = release_of(text, "dev")
    deployed(wanted, door)
    before = outcome(wanted, door.aws)
    try:
        deployed(dev, door)
        assert outcome(wanted, door.aws) == before
    finally:
        cleared(door.aws, dev)
    assert outcome(wanted, door.aws) == before


def test_an_alias_that_was_moved_back_is_said(door: Door, wanted: Release) -> None:
    deployed(wanted, door)
    changed = release_of(CONFIG.read_text(encoding="utf-8").replace("25000", "26000"))
    deployed(changed, door)
    route = [{"stateMachineVersionArn": f"{wanted.names.machine_arn}:1", "weight": 100}]
    door.aws.client("stepfunctions").update_state_machine_alias(
        stateMachineAliasArn=wanted.names.live, routingConfiguration=route
    )
    assert deployed(changed, door).remarks == (
        "version 1 is live, to which `rollback` went, and not version 2, which was deployed last (`python pipeline.py "
        "rollback --to 2` makes that one live; so does a deploy that changes the workflow)",
    )
    planned = plan(changed, door, no_wait)
    assert planned.nothing
    assert "\nNote: version 1 is live, to which `rollback` went" in planned.words()


@pytest.mark.parametrize("lost", ["lost_before", "lost_after"])
def test_a_connection_lost_at_any_call_is_made_good_by_the_same_command(
    aws: LocalAws, wanted: Release, lost: str
) -> None:
    """Before every call that changes something, and after the last: a read that is lost leaves the account as the write
    before it did, and so does the lost answer of a write.
    """
    door = Door(aws)
    try:
        deployed(wanted, door)
        right, calls = outcome(wanted, aws), list(door.calls)
        cleared(aws, wanted)
        writes = [number for number, call in enumerate(calls) if call.startswith(WRITES)]
        for number in writes if lost == "lost_before" else writes[-1:]:
            door.calls.clear()
            setattr(door, lost, number)
            with pytest.raises(StepgluonError, match=r"was lost \(run the command again"), one_sentence():
                deployed(wanted, door)
            setattr(door, lost, -1)
            deployed(wanted, door)
            assert outcome(wanted, aws) == right, (lost, number, calls[number])
            cleared(aws, wanted)
    finally:
        door.close()
        cleared(aws, wanted)


def test_each_image_of_the_machine_has_its_own_digest(door: Door, wanted: Release) -> None:
    digests = deployed(wanted, door).digests
    assert len(set(digests.values())) == len(wanted.images) == 2
    machine = door.aws.client("stepfunctions").describe_state_machine(stateMachineArn=wanted.names.machine_arn)
    used = set(re.findall(r"/houses-(\w+)@(sha256:[0-9a-f]{64})", machine["definition"]))
    assert used == {(image.name, digests[image.parameter]) for image in wanted.images}


def test_a_pipeline_is_not_deployed_onto_the_base_of_another_version(door: Door, wanted: Release) -> None:
    """A push after an upgrade: the build may not change the base, in which the boundary of all roles is."""
    deployed(wanted, door)
    before = outcome(wanted, door.aws)
    text = CONFIG.read_text(encoding="utf-8")
    newer = release_of(f"{text}network: {{subnets: [subnet-0123abcd], security_groups: [sg-0123abcd]}}\n")
    for _ in range(2):
        with pytest.raises(BaseOutdated) as error:
            deployed(newer, door, only=("pipeline",))
        assert "houses-base is not as this config and this version of stepgluon need it: Boundary (a person" in str(
            error.value
        )
        assert "`python pipeline.py deploy --only base`" in str(error.value)
        assert outcome(wanted, door.aws) == before
    assert plan(newer, door, no_wait, ("pipeline",)).remarks == (str(error.value),)
    assert plan(newer, door, no_wait).remarks == ()
    assert deployed(newer, door, only=("base",)).changed == ("houses-base",)
    assert deployed(newer, door, only=("pipeline",)).changed == ("houses-pipeline",)


def test_a_stack_of_cicd_that_the_config_has_no_more_is_told(door: Door, wanted: Release) -> None:
    text = CONFIG.read_text(encoding="utf-8")
    assert deployed(release_of(f"{text}cicd: {{source: {{codecommit: {{name: houses}}}}}}\n"), door).remarks == ()
    away = "python pipeline.py destroy --only cicd"
    told = f"houses-cicd still deploys each push, and the config has no `cicd` (`{away}` takes it away)"
    left = plan(wanted, door, no_wait)
    assert left.nothing
    assert left.remarks == (told,)
    assert f"nothing to do.\nNote: {told}.\n" in left.words()
    assert deployed(wanted, door).remarks == (told,)
    destroy(wanted.names, door, Order(only=("cicd",)), lambda text: None, no_wait)
    assert deployed(wanted, door).remarks == ()
