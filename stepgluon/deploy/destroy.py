"""Removes a pipeline from its account: runs, endpoints, stacks in the reverse order of deploy, and data on request.

Buckets and repositories outlive their stacks, so a later deploy can adopt them. Safe to repeat.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepgluon.aws import Door, Refused, answer
from stepgluon.deploy.account_checks import check_identity
from stepgluon.deploy.apply import PARTS, Tell, Wait
from stepgluon.deploy.stacks import Stacks
from stepgluon.errors import StepgluonError
from stepgluon.programs import all_scripts, builds_of
from stepgluon.runs.endpoints import delete_endpoints, endpoints

if TYPE_CHECKING:
    from stepgluon.names import Names


class RunsGoOn(StepgluonError):
    """A run is still in progress."""


@dataclass(frozen=True)
class Order:
    only: Collection[str] = PARTS
    stop_runs: bool = False
    delete_data: bool = False


@dataclass(frozen=True)
class Destroyed:
    stacks: tuple[str, ...]  # that existed
    kept: tuple[str, ...]  # remaining buckets, repositories and groups of models
    deleted: tuple[str, ...]  # the same, if they are deleted; and the endpoints, which always are


def destroy(names: Names, door: Door, order: Order, tell: Tell, wait: Wait) -> Destroyed:
    check_identity(names, door)
    stacks = Stacks(door, tell, wait)
    _refuse_base_in_use(names, stacks, order)
    if "pipeline" in order.only:
        end_runs(names, door, order.stop_runs, tell)
    served = delete_endpoints(names, door, tell, wait) if "pipeline" in order.only else []
    gone = []
    for part in reversed(PARTS):
        if part in order.only and stacks.find(names.stack(part)):
            tell(f"deleting {names.stack(part)}")
            stacks.delete(names.stack(part))
            gone.append(names.stack(part))
    buckets, repositories = _data(names, door, order.only)
    groups = _groups(names, door, order.only)
    if order.delete_data:
        for group in groups:
            tell(f"deleting the model group {group} with its versions")
            _delete_group(door.client("sagemaker"), group)
        for bucket in buckets:
            tell(f"emptying and deleting s3://{bucket}")
            delete_bucket(names, door.client("s3"), bucket)
        for repository in repositories:
            tell(f"deleting the images of {repository}")
            door.client("ecr").delete_repository(repositoryName=repository, force=True)
    data = (*(f"s3://{bucket}" for bucket in buckets), *repositories, *(f"model group {group}" for group in groups))
    deleted = (*(f"endpoint {name}" for name in served), *(data if order.delete_data else ()))
    return Destroyed(tuple(gone), () if order.delete_data else data, deleted)


def found(names: Names, door: Door, order: Order) -> list[str]:
    """What there is to delete, in words; empty if nothing exists."""
    check_identity(names, door)
    stacks = Stacks(door, lambda text: None, lambda seconds: None)
    _refuse_base_in_use(names, stacks, order)
    there = [
        f"the stack {names.stack(part)}" for part in PARTS if part in order.only and stacks.find(names.stack(part))
    ]
    if "pipeline" in order.only:
        there += [f"the endpoint {one.endpoint}, with its models" for one in endpoints(door, names)]
    if order.delete_data:
        buckets, repositories = _data(names, door, order.only)
        there += [f"s3://{bucket} with ALL DATA in it" for bucket in buckets]
        there += [f"the images of {repository}" for repository in repositories]
        there += [f"the model group {group} with all its versions" for group in _groups(names, door, order.only)]
    return there


def _refuse_base_in_use(names: Names, stacks: Stacks, order: Order) -> None:
    if "base" not in order.only:
        return
    left = [part for part in PARTS if part not in order.only and stacks.find(names.stack(part))]
    if left:
        every = " ".join(part for part in PARTS if part in (*order.only, *left))
        raise Refused(f"{names.stack(left[0])} uses {names.stack('base')} (destroy both: --only {every})")


def end_runs(names: Names, door: Door, stop: bool, tell: Tell) -> None:
    """Stop the runs in progress, or raise RunsGoOn."""
    running = _running(names, door)
    if running and not stop:
        some = ", ".join(running[:3]) + (f" and {len(running) - 3} more" if len(running) > 3 else "")
        raise RunsGoOn(f"runs are in progress: {some} (wait for their end, or add --stop-runs)")
    for run in running:
        tell(f"stopping the run {run}")
        door.client("stepfunctions").stop_execution(
            executionArn=names.execution_arn(run),
            error="Stopped",
            cause="The pipeline was destroyed.",
        )


def _running(names: Names, door: Door) -> list[str]:
    pages = door.client("stepfunctions").get_paginator("list_executions")
    found = pages.paginate(stateMachineArn=names.machine_arn, statusFilter="RUNNING")
    running = answer(lambda: [one["name"] for page in found for one in page["executions"]], "StateMachineDoesNotExist")
    return running or []


def _data(names: Names, door: Door, only: Collection[str]) -> tuple[list[str], list[str]]:
    """The existing buckets and repositories of these parts."""
    if "base" not in only:
        return [], []
    head, describe = door.client("s3").head_bucket, door.client("ecr").describe_repositories
    ours = {"ExpectedBucketOwner": names.config.account}
    buckets = [bucket for bucket in (names.work_bucket, names.raw_bucket) if _is_there(head, Bucket=bucket, **ours)]
    images = [*all_scripts(), *builds_of(names.config)]  # also those of programs that the config no longer uses
    repositories = map(names.repository, images)
    return buckets, [name for name in repositories if _is_there(describe, repositoryNames=[name])]


def _groups(names: Names, door: Door, only: Collection[str]) -> list[str]:
    """The existing groups of the config's registered models."""
    models = [model for model in names.config.models if model.register] if "base" in only else []
    describe = door.client("sagemaker").describe_model_package_group if models else None
    groups = map(names.model_group, models)
    return [group for group in groups if _is_there(describe, ModelPackageGroupName=group)]


def _delete_group(sagemaker: Any, group: str) -> None:
    """A group with versions cannot be deleted."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for version in [one for page in pages for one in page["ModelPackageSummaryList"]]:
        sagemaker.delete_model_package(ModelPackageName=version["ModelPackageArn"])
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)


def _is_there(ask: Any, **request: Any) -> bool:
    return (
        answer(lambda: ask(**request), "404", "NoSuchBucket", "RepositoryNotFoundException", "ValidationException")
        is not None
    )


def delete_bucket(names: Names, s3: Any, bucket: str) -> None:
    """Delete every version of every object, a thousand at a time, then the bucket."""
    ours = {"Bucket": bucket, "ExpectedBucketOwner": names.config.account}
    while True:
        # Always the first page: its objects are gone at the next request.
        page = s3.list_object_versions(**ours)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            break
        objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
        errors = s3.delete_objects(**ours, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
        if errors:
            first = errors[0]
            raise Refused(
                f"s3://{bucket}/{first['Key']} cannot be deleted: {first.get('Message') or first.get('Code')} (and "
                f"{len(errors) - 1} more; the rest of the data is still there)"
            )
    s3.delete_bucket(**ours)
