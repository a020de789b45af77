"""What endpoints need of the stacks; runs make the endpoints themselves, each with its first accepted model."""

from __future__ import annotations

import hashlib
from typing import Any

from stepgluon.config.alarms import RollBack
from stepgluon.config.schema import Model
from stepgluon.deploy.templates.parts import Resource, lifecycle, tagged
from stepgluon.names import VARIANT, Names


def alarms(names: Names) -> dict[str, Resource]:
    """What rolls a release back. SageMaker refuses an update with an alarm that does not exist."""
    return {
        f"{alarm.on.title()}Alarm{_digest(model)}": _alarm(names, model, alarm)
        for model in names.config.models
        for alarm in roll_backs(model)
    }


def roll_backs(model: Model) -> list[RollBack]:
    return model.serve.release.roll_back_on if model.serve and model.serve.release else []


def _alarm(names: Names, model: Model, alarm: RollBack) -> Resource:
    errors = {"MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 0}
    # [sm] in microseconds
    latency = {"MetricName": "ModelLatency", "Statistic": "Average", "Threshold": 1000 * alarm.milliseconds}
    limit = "errors" if alarm.on == "errors" else f"a mean latency above {alarm.milliseconds} ms"
    dimensions = {"EndpointName": names.endpoint(model), "VariantName": VARIANT}
    return tagged(
        names,
        "CloudWatch::Alarm",
        AlarmName=names.alarm_of(model, alarm.on),
        AlarmDescription=f"Rolls back a release of {model.name} with {limit} in a minute",
        Namespace="AWS/SageMaker",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        **(errors if alarm.on == "errors" else latency),
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",  # an endpoint that nobody calls
    )


def _digest(model: Model) -> str:
    return hashlib.sha256(model.name.encode()).hexdigest()[:8]


def captured(names: Names) -> list[dict[str, Any]]:
    """The rules that expire captured requests and answers."""
    captures = [(model, model.serve.capture) for model in names.config.models if model.serve]
    folders = {names.captured(model): capture.keep for model, capture in captures if capture}
    if len(set(folders.values())) == 1:
        folders = {"captured/": next(iter(folders.values()))}
    return [
        lifecycle(folder.rstrip("/").replace("/", "-"), Prefix=folder, ExpirationInDays=days)
        for folder, days in folders.items()
    ]
