"""Releases of an endpoint: traffic moves in steps, and alarms on real invocations roll it back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import until
from served import ENDS, SAYS, Served, canary, refused, routed, served
from test_cloudformation import Account

from localaws.notifications.endpoint_metrics import EndpointMetrics
from localaws.sagemaker.endpoint import steps
from localaws.sagemaker.traffic import Member, Traffic

__all__ = ["served"]  # a fixture
FAILS_SOMETIMES = """
import itertools
count = itertools.count(1)
def respond(body):
    return (500, b'sorry') if next(count) % 20 == 0 else (200, b'new:' + body)
"""
SLOW = "import time\ndef respond(body):\n    time.sleep(0.3)\n    return 200, b'new:' + body"
DIES = """
import os, threading
def respond(body):
    threading.Timer(0.05, os._exit, (1,)).start()
    return 200, b'new:' + body
"""
ERRORS = {"MetricName": "Invocation5XXErrors", "Statistic": "Average", "Threshold": 0.01}
LATENCY = {"MetricName": "ModelLatency", "ExtendedStatistic": "p90", "Threshold": 200_000}


def alarm(name: str, metric: dict[str, Any]) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "a"}]
    return {
        "AlarmName": f"{name}-alarm",
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "TreatMissingData": "notBreaching",
        **metric,
    }


@contextmanager
def asked(served: Served, name: str, clients: int = 3) -> Iterator[Counter[bytes]]:
    """Clients ask all the time; counts the first words of the answers, and errors by their code."""
    answers: Counter[bytes] = Counter()
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            try:
                answers[served.ask(name).partition(b":")[0]] += 1
            except ClientError as problem:
                answers[problem.response["Error"]["Code"].encode()] += 1

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: sum(answers.values()) > 20)
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(("model", "metric"), [(FAILS_SOMETIMES, ERRORS), (SLOW, LATENCY), (DIES, ERRORS)])
def test_a_bad_model_is_rolled_back_by_its_alarm(served: Served, model: str, metric: dict[str, Any]) -> None:
    old, new = served.config(served.saying("old")), served.config(served.model(model))
    name = served.endpoint(old)
    given = alarm(name, metric)
    served.aws.client("cloudwatch").put_metric_alarm(**given)
    with asked(served, name) as answers:
        described = served.updated(name, new, **canary(3600, given["AlarmName"]))
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", old)
    assert described["FailureReason"] == f"The deployment was rolled back: in ALARM: {given['AlarmName']}."
    assert answers[b"new"] or answers[b"ModelError"]
    assert answers.keys() <= {b"old", b"new", b"ModelError", b"ServiceUnavailable"}
    assert {served.ask(name) for _ in range(10)} == {b"old:1"}
    assert any("gets 50% of the traffic for 3600 s, which last 36 s locally" in line for line in served.log(name))


def test_a_good_model_gets_all_traffic_after_its_steps_and_an_alarm_of_a_stack(served: Served) -> None:
    old, new = served.config(served.saying("old")), served.config(served.saying("new"))
    name = served.endpoint(old)
    resource = {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm(name, ERRORS)}
    assert Account(served.aws).created({"Alarm": resource}) == "CREATE_COMPLETE"
    size = {"Type": "CAPACITY_PERCENT", "Value": 40}
    linear = routed({"Type": "LINEAR", "WaitIntervalInSeconds": 30, "LinearStepSize": size}, f"{name}-alarm")
    with asked(served, name) as answers:
        described = served.updated(name, new, **linear)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", new)
    assert "FailureReason" not in described
    assert described["LastDeploymentConfig"] == linear
    assert answers.keys() == {b"old", b"new"}
    shares = [line.split(" gets ")[1].split(" of ")[0] for line in served.log(name) if " gets " in line]
    assert shares == ["40%", "80%", "100%"]


def test_deployments_that_aws_refuses_are_refused(served: Served) -> None:
    config = served.config(served.saying("x"))
    update = {"EndpointName": served.endpoint(config), "EndpointConfigName": config}
    for deployment, reason in (
        (canary(0, percent=51), "CanarySize must be between 1 and 50 percent"),
        (canary(0, "missing"), "The alarm missing does not exist"),
        (routed({"Type": "LINEAR", "WaitIntervalInSeconds": 0}), "LINEAR needs LinearStepSize"),
        (canary(3601), "less than or equal to 3600"),
        (canary(0, *map(str, range(11))), "less than or equal to 10"),
    ):
        assert reason in refused(served.api.update_endpoint, **update, DeploymentConfig=deployment)


def test_a_rollback_without_the_old_server_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localaws.sagemaker.endpoint.HEALTHY_SECONDS", 0.2)
    once = "mark = root / 'tmp' / 'began'\nif mark.exists(): os._exit(4)\nmark.touch()\n"
    old = served.config(served.model(once + SAYS.format(name="old") + ENDS))
    name = served.endpoint(old)
    assert served.ask(name) == b"old:1"
    until(lambda: any("exit code 5" in line for line in served.log(name)))
    described = served.updated(name, served.config(served.model(whole="raise SystemExit(1)")))
    assert described["EndpointStatus"] == "UpdateRollbackFailed"


# Parts


class Idle:
    def admit(self, most: int) -> None:
        """Count nothing."""


def members(**weights: float) -> list[Member]:
    return [Member("config", {"VariantName": name}, Idle(), weight) for name, weight in weights.items()]  # type: ignore[arg-type]


def test_shares_and_weights_are_exact() -> None:
    traffic, old, new = Traffic(), members(a=1.0), members(b=1.0, c=3.0)
    traffic.set([(old, 0.9), (new, 0.1)])
    assert Counter(traffic.admitted().name for _ in range(1000)) == {"a": 900, "b": 25, "c": 75}
    traffic.set([(old, 0.0), (new, 1.0)])
    assert Counter(traffic.admitted().name for _ in range(100)) == {"b": 25, "c": 75}


def test_steps_follow_the_sizes() -> None:
    percent, count = {"Type": "CAPACITY_PERCENT", "Value": 30}, {"Type": "INSTANCE_COUNT", "Value": 1}
    assert steps({"Type": "ALL_AT_ONCE"}, 4) == [1.0]
    assert steps({"Type": "CANARY", "CanarySize": count}, 4) == [0.25, 1.0]
    assert steps({"Type": "LINEAR", "LinearStepSize": percent}, 4) == [0.3, 0.6, pytest.approx(0.9), 1.0]


class Stored:
    """An alarm as moto keeps it."""

    def __init__(self, **changed: Any) -> None:
        self.namespace, self.metric_name, self.statistic = "AWS/SageMaker", "Invocation5XXErrors", "Sum"
        self.extended_statistic = self.datapoints_to_alarm = self.treat_missing_data = None
        self.comparison_operator, self.threshold, self.period = "GreaterThanThreshold", 0.0, 60
        self.evaluation_periods, self.dimensions = 1, []
        for name, value in changed.items():
            setattr(self, name, value)


class Dimension:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value


def of(alarm: Stored, *invocations: tuple[int, int, float]) -> str:
    """The alarm's state after invocations: minute, status, seconds."""
    metrics = EndpointMetrics("123456789012", "eu-west-1", 1.0, lambda alarm: None)
    minute = 0
    metrics._now = lambda: minute * 6  # type: ignore[method-assign]
    metrics._thread = threading.current_thread()  # starts none
    for minute, status, seconds in invocations:  # noqa: B007 - _now reads it
        metrics.record("e", "a", "c", status, seconds, 2)
    alarm.dimensions = [Dimension("EndpointName", "e"), Dimension("VariantName", "a")]
    found = metrics._state(alarm)
    return found[0] if found else "unchanged"


def test_an_alarm_counts_its_datapoints() -> None:
    errors = [(minute, status, 0.1) for minute, status in ((1, 500), (2, 200), (3, 500), (3, 200))]
    assert of(Stored(), *errors) == "ALARM"
    assert of(Stored(evaluation_periods=3), *errors) == "OK"
    assert of(Stored(evaluation_periods=3, datapoints_to_alarm=2), *errors) == "ALARM"
    assert of(Stored(threshold=0.5, statistic="Average"), *errors) == "OK"
    assert of(Stored(threshold=0.4, statistic="Average"), *errors) == "ALARM"
    assert of(Stored(metric_name="InvocationsPerInstance", threshold=0.9), *errors) == "ALARM"
    assert of(Stored(metric_name="InvocationsPerInstance", threshold=1.0), *errors) == "OK"
    slow = Stored(metric_name="ModelLatency", extended_statistic="p50", threshold=150_000)
    assert of(slow, (1, 200, 0.1), (1, 200, 0.2), (1, 200, 0.3)) == "ALARM"
    assert of(slow, (1, 200, 0.1), (1, 200, 0.1), (1, 200, 0.3)) == "OK"


@pytest.mark.parametrize(
    ("missing", "state"),
    [(None, "INSUFFICIENT_DATA"), ("ignore", "unchanged"), ("breaching", "ALARM"), ("notBreaching", "OK")],
)
def test_missing_data_are_treated_as_the_alarm_says(missing: str | None, state: str) -> None:
    assert of(Stored(treat_missing_data=missing)) == state
