"""destroy on the local AWS: what goes, what stays, and what stands in its way."""

from __future__ import annotations

import json

import pytest
from local_account import Door, deployed, no_wait, release_of

from stepgluon.aws import Refused
from stepgluon.deploy.destroy import Destroyed, Order, RunsGoOn, delete_bucket, destroy, found
from stepgluon.deploy.release import Release


@pytest.fixture(scope="module")
def what() -> Release:
    return release_of()


def gone(what: Release, door: Door, order: Order, said: list[str] | None = None) -> Destroyed:
    return destroy(what.names, door, order, (said if said is not None else []).append, no_wait)


def test_with_delete_data_nothing_is_left_however_many_versions_there_are(door: Door, what: Release) -> None:
    deployed(what, door)
    names, s3 = what.names, door.client("s3")
    for number in range(3):
        s3.put_object(Bucket=names.raw_bucket, Key="june/houses.csv", Body=str(number).encode())
    s3.delete_object(Bucket=names.raw_bucket, Key="june/houses.csv")
    said: list[str] = []
    done = gone(what, door, Order(delete_data=True), said)
    buckets = (f"s3://{names.work_bucket}", f"s3://{names.raw_bucket}")
    assert done == Destroyed(("houses-pipeline", "houses-base"), (), (*buckets, "houses-data", "houses-autogluon"))
    assert [line for line in said if not line.startswith("  ")] == [
        "deleting houses-pipeline",
        "deleting houses-base",
        *(f"emptying and deleting {bucket}" for bucket in buckets),
        "deleting the images of houses-data",
        "deleting the images of houses-autogluon",
    ]
    assert not s3.list_buckets()["Buckets"]
    assert not door.client("ecr").describe_repositories()["repositories"]
    assert gone(what, door, Order(delete_data=True)) == Destroyed((), (), ()), "the second time there is nothing to do"


def test_more_versions_than_one_page_holds_are_all_deleted(what: Release) -> None:
    class S3:
        """2,500 versions, a thousand a page, which only goes when it was deleted."""

        def __init__(self) -> None:
            self.left = [f"key-{number}" for number in range(2500)]
            self.deleted = False

        def list_object_versions(self, **asked: str) -> dict[str, object]:
            return {"Versions": [{"Key": key, "VersionId": "1"} for key in self.left[:1000]]}

        def delete_objects(self, Delete: dict[str, list[dict[str, str]]], **asked: str) -> dict[str, object]:
            assert len(Delete["Objects"]) <= 1000, "S3 takes no more"
            going = {found["Key"] for found in Delete["Objects"]}
            self.left = [key for key in self.left if key not in going]
            return {}

        def delete_bucket(self, **asked: str) -> None:
            assert not self.left, "S3 deletes no bucket with something in it"
            self.deleted = True

    s3 = S3()
    delete_bucket(what.names, s3, "b")
    assert s3.deleted


def test_an_object_that_cannot_be_deleted_is_named_and_ends_it(what: Release) -> None:
    class S3:
        def list_object_versions(self, **asked: str) -> dict[str, object]:
            return {"DeleteMarkers": [{"Key": "a", "VersionId": "1"}]}

        def delete_objects(self, **asked: object) -> dict[str, object]:
            return {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "Access Denied"}]}

    with pytest.raises(Refused) as caught:
        delete_bucket(what.names, S3(), "b")
    assert str(caught.value) == (
        "s3://b/a cannot be deleted: Access Denied (and 0 more; the rest of the data is still there)"
    )


def test_runs_that_go_on_are_stopped_only_when_that_is_said(door: Door, what: Release) -> None:
    deployed(what, door)
    names, states = what.names, door.client("stepfunctions")
    waiting = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86400, "End": True}}}
    states.update_state_machine(stateMachineArn=names.machine_arn, definition=json.dumps(waiting))
    for name in ("a", "b", "c", "d"):
        states.start_execution(stateMachineArn=names.machine_arn, name=name, input="{}")
    try:
        with pytest.raises(RunsGoOn) as caught:
            gone(what, door, Order())
        told = str(caught.value)
        assert told.startswith("runs are in progress: ") and told.endswith(
            " and 1 more (wait for their end, or add --stop-runs)"
        )
        assert door.client("cloudformation").describe_stacks(StackName="houses-pipeline"), "nothing has been deleted"
        said: list[str] = []
        assert gone(what, door, Order(stop_runs=True), said).stacks == ("houses-pipeline", "houses-base")
        assert sorted(said[:4]) == [f"stopping the run {name}" for name in ("a", "b", "c", "d")]
    finally:
        gone(what, door, Order(delete_data=True, stop_runs=True))


def test_a_part_can_be_destroyed_alone_and_takes_only_its_own_data(door: Door, what: Release) -> None:
    deployed(what, door)
    try:
        done = gone(what, door, Order(only=("pipeline",), delete_data=True))
        assert done == Destroyed(("houses-pipeline",), (), ())
        assert gone(what, door, Order(only=("base",))).stacks == ("houses-base",)
    finally:
        gone(what, door, Order(delete_data=True))


def test_the_base_of_a_pipeline_that_is_there_is_not_destroyed_alone(door: Door, what: Release) -> None:
    deployed(what, door)
    try:
        with pytest.raises(Refused, match=r"houses-pipeline uses houses-base \(destroy both: --only base pipeline\)"):
            gone(what, door, Order(only=("base",)))
        assert door.client("cloudformation").describe_stacks(StackName="houses-base")
    finally:
        gone(what, door, Order(delete_data=True))


REGISTERED = """
name: houses
account: "123456789012"
region: eu-central-1
notify: [ml-team@example.com]
models:
  - {name: price, label: price, register: {}}
  - {name: rent, label: rent}
"""


def test_groups_of_models_are_kept_adopted_by_the_next_deploy_and_deleted_with_the_data(door: Door) -> None:
    what, api = release_of(REGISTERED), door.client("sagemaker")
    deployed(what, door)
    for _ in range(3):
        api.create_model_package(ModelPackageGroupName="houses-model-price")
    assert "model group houses-model-price" in gone(what, door, Order()).kept
    deployed(what, door)
    assert len(api.list_model_packages(ModelPackageGroupName="houses-model-price")["ModelPackageSummaryList"]) == 3
    assert "the model group houses-model-price with all its versions" in found(
        what.names, door, Order(delete_data=True)
    )
    assert "model group houses-model-price" in gone(what, door, Order(delete_data=True)).deleted
    assert not api.list_model_package_groups()["ModelPackageGroupSummaryList"]
