"""The models' versions in SageMaker's model registry, and their approval (docs/decisions/0026)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from stepgluon.aws import answer
from stepgluon.config.schema import Model
from stepgluon.errors import StepgluonError, UsageError
from stepgluon.figures import aligned
from stepgluon.names import PROMOTED, Names
from stepgluon.runs.executions import read_json
from stepgluon.runs.history import number

LISTED = 10  # versions of each model
APPROVALS = {"PendingManualApproval": "waiting", "Approved": "approved", "Rejected": "rejected"}
REFUSED = "AccessDeniedException"
UNKNOWN = "ValidationException"  # SageMaker's code if a group or a version does not exist


class NotApproved(StepgluonError):
    """A model of the run may not be promoted."""


def approve(sagemaker: Any, names: Names, run: str, verdicts: Mapping[str, dict[str, Any]]) -> None:
    """Approve the versions of the run's registered models; raise, and approve none, if one may not be promoted."""
    waiting = []
    for model in registered(names):
        if model.name not in verdicts:
            continue
        version = verdicts[model.name].get("version") or 0
        arn = names.model_version_arn(model, version)
        found = answer(partial(sagemaker.describe_model_package, ModelPackageName=arn), UNKNOWN) if version else None
        if found is None:
            way_out = "run the pipeline again: it registers the model, and does not retrain it if nothing has changed"
            raise NotApproved(f"{model.name} of {run} is not in the model registry ({way_out})")
        if found["ModelApprovalStatus"] == "Rejected":
            raise NotApproved(f"version {version} of {model.name} was rejected in the registry (promote another run)")
        if found["ModelApprovalStatus"] != "Approved":
            waiting.append(arn)
    for arn in waiting:
        said = {"ModelApprovalStatus": "Approved", "ApprovalDescription": f"promoted from run {run}"}
        sagemaker.update_model_package(ModelPackageArn=arn, **said)


def of_run(sagemaker: Callable[[], Any], names: Names, models: Iterable[dict[str, Any]]) -> list[list[str]]:
    """The name, version, current approval and ARN of each registered model of a run; `sagemaker` makes the client."""
    versions = {one["name"]: one["version"] for one in models if one.get("version")}
    rows = []
    for model in (one for one in names.config.models if one.name in versions):
        arn = names.model_version_arn(model, versions[model.name])
        found = answer(partial(sagemaker().describe_model_package, ModelPackageName=arn), UNKNOWN, REFUSED)
        approval = APPROVALS[found["ModelApprovalStatus"]] if found else "unknown"
        rows.append([model.name, str(versions[model.name]), approval, arn])
    return rows


def registered(names: Names) -> list[Model]:
    return [model for model in names.config.models if model.register]


def versions_of(sagemaker: Any, s3: Any, names: Names) -> list[dict[str, Any]]:
    """The last versions of each model, the latest first; `default` is whether it is the promoted one."""
    if not names.config.registers:
        raise UsageError("no model of the config is registered (add register: {approval: manual} to a model)")
    read = read_json(s3, names.work_bucket, PROMOTED)
    promoted = read if isinstance(read, dict) else {}
    return [
        _version(model, promoted.get(names.key(model)), found)
        for model in registered(names)
        for found in _described(sagemaker, names.model_group(model))
    ]


def _described(sagemaker: Any, group: str) -> Iterator[dict[str, Any]]:
    asked = {"ModelPackageGroupName": group, "MaxResults": LISTED, "SortOrder": "Descending"}
    listed = answer(lambda: sagemaker.list_model_packages(**asked, SortBy="CreationTime"), UNKNOWN)
    for one in listed["ModelPackageSummaryList"] if listed else ():
        yield sagemaker.describe_model_package(ModelPackageName=one["ModelPackageArn"])


def _version(model: Model, promoted: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The metadata was written by a run, but anybody may have registered a version by hand."""
    said = found.get("CustomerMetadataProperties", {})
    place = str(promoted.get("model_uri")) if isinstance(promoted, dict) else ""
    return {
        "model": model.name,
        "version": found["ModelPackageVersion"],
        "approval": APPROVALS[found["ModelApprovalStatus"]],
        **{key: said.get(key, "") for key in ("metric", "score", "run", "job", "data", "program")},
        "registered": found["CreationTime"].timestamp(),
        "default": bool(said.get("job")) and f"/{said['job']}/" in place,
        "arn": found["ModelPackageArn"],
    }


def versions_table(versions: list[dict[str, Any]]) -> str:
    """A line for each version; below, the defaults that were rejected after they had been promoted."""
    if not versions:
        return "No versions yet: a run registers each model that it accepts.\n"
    rows = [("model", "version", "approval", "score", "run", "registered", "")]
    for one in versions:
        default = "default" if one["default"] else ""
        registered = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["registered"]))
        rows.append((one["model"], str(one["version"]), one["approval"], _score(one), one["run"], registered, default))
    return "\n".join([*aligned(rows), *_disagreements(versions)]) + "\n"


def _score(version: dict[str, Any]) -> str:
    try:
        score = number(float(version["score"]))
    except ValueError:
        return ""
    return f"{version['metric'].replace('mae', 'MAE')} {score}"


def _disagreements(versions: Iterable[dict[str, Any]]) -> Iterator[str]:
    for one in versions:
        if one["default"] and one["approval"] == "rejected":
            yield f"{one['model']}: version {one['version']} is rejected, but still the default (promote another run)"
