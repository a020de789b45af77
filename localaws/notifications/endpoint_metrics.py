"""CloudWatch's metrics of endpoints, and the alarms on them, computed from the endpoints' invocations.

moto answers GetMetricStatistics, GetMetricData and ListMetrics from the metrics of each minute of the last day.

A local deployment waits a fraction of the seconds in its configuration, so an alarm's period lasts the same fraction:
an alarm over three of five minutes still fits into a bake of ten.
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from localaws.base.patches import Patches

NAMESPACE = "AWS/SageMaker"
SLOT_SECONDS = 10  # [cloudwatch] the shortest period of an alarm
MOST_SLOTS = 1440  # four hours
LOOK_SECONDS = 0.2  # how often the alarms are computed
MOST_LATENCIES = 1000  # of a slot, from which its percentiles are computed
MOST_MINUTES = 1440  # a day
_UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, limit: value > limit,
    "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
    "LessThanThreshold": lambda value, limit: value < limit,
    "LessThanOrEqualToThreshold": lambda value, limit: value <= limit,
}


@dataclass
class _Slot:
    number: int
    invocations: int = 0
    instances: int = 1
    errors: dict[str, int] = field(default_factory=lambda: {"4": 0, "5": 0})
    latencies: list[float] = field(default_factory=list)  # microseconds


@dataclass
class _Minute:
    number: int  # since 1970
    metrics: dict[str, list[float]] = field(default_factory=dict)  # minimum, maximum, count and sum

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if found := self.metrics.get(name):
                found[:] = min(found[0], value), max(found[1], value), found[2] + 1, found[3] + value
            else:
                self.metrics[name] = [value, value, 1, value]


class EndpointMetrics:
    def __init__(self, account: str, region: str, waiting: float, fired: Callable[[Any], object]) -> None:
        """`waiting` is how long a second of an alarm's period lasts; `fired` gets moto's alarms that go into ALARM."""
        from moto.cloudwatch.models import cloudwatch_backends

        self._alarms: dict[str, Any] = cloudwatch_backends[account][region].alarms
        self._slot_seconds = SLOT_SECONDS * waiting
        self._fired = fired
        self._slots: dict[tuple[str, str, str], deque[_Slot]] = {}
        self._minutes: dict[tuple[str, str], deque[_Minute]] = {}  # by endpoint and variant
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        self._closed.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self.evaluate()

    def install(self, patches: Patches) -> None:
        """Let moto know the metrics."""
        from moto.cloudwatch.models import CloudWatchBackend

        others: Any = CloudWatchBackend.aws_metric_data
        both = property(lambda backend: others.fget(backend) + self._data())
        patches.attribute(CloudWatchBackend, "aws_metric_data", both)

    def _data(self) -> list[Any]:
        from moto.cloudwatch.models import MetricAggregatedDatum

        with self._lock:
            return [
                MetricAggregatedDatum(
                    *(NAMESPACE, name, *numbers),
                    [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
                    datetime.fromtimestamp(minute.number * 60, timezone.utc).replace(tzinfo=None),
                    _UNITS.get(name, "None"),
                )
                for (endpoint, variant), minutes in self._minutes.items()
                for minute in minutes
                for name, numbers in minute.metrics.items()
            ]

    def record(
        self,
        endpoint: str,
        variant: str,
        config: str,
        status: int,
        seconds: float,
        instances: int,
        overhead: float = 0.0,
    ) -> None:
        """An invocation; without an answer its status is 500. `overhead` is the time besides the model's `seconds`."""
        number, minute = self._now(), int(time.time() // 60)
        values = {
            **{"Invocations": 1.0, "InvocationsPerInstance": 1 / instances},
            **{f"Invocation{kind}XXErrors": float(status // 100 == kind) for kind in (4, 5)},
        }
        if seconds:  # the model was asked
            values |= {"ModelLatency": seconds * 1e6, "OverheadLatency": overhead * 1e6}
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="endpoint alarms", daemon=True)
                self._thread.start()
            minutes = self._minutes.setdefault((endpoint, variant), deque(maxlen=MOST_MINUTES))
            if not minutes or minutes[-1].number != minute:
                minutes.append(_Minute(minute))
            minutes[-1].add(values)
            slots = self._slots.setdefault((endpoint, variant, config), deque(maxlen=MOST_SLOTS))
            if not slots or slots[-1].number != number:
                slots.append(_Slot(number))
            slot = slots[-1]
            slot.invocations += 1
            slot.instances = instances
            if (kind := str(status)[0]) in slot.errors:
                slot.errors[kind] += 1
            if len(slot.latencies) < MOST_LATENCIES:
                slot.latencies.append(seconds * 1e6)

    def firing(self, names: list[str]) -> list[str]:
        """Which of these alarms are in the state ALARM."""
        self.evaluate()
        return [name for name in names if name in self._alarms and self._alarms[name].state_value == "ALARM"]

    def exists(self, name: str) -> bool:
        return name in self._alarms

    def evaluate(self) -> None:
        """Bring the state of each alarm on an endpoint up to now."""
        fired = []
        with self._lock:
            for alarm in list(self._alarms.values()):
                if alarm.namespace == NAMESPACE and (found := self._state(alarm)):
                    state, reason = found
                    if state != alarm.state_value:
                        alarm.update_state(reason, "{}", state)
                        fired += [alarm] if state == "ALARM" else []
        for alarm in fired:
            self._fired(alarm)

    def _now(self) -> int:
        return int(time.monotonic() / self._slot_seconds)

    def _state(self, alarm: Any) -> tuple[str, str] | None:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html"""
        count, width = int(alarm.evaluation_periods), max(1, int(alarm.period) // SLOT_SECONDS)
        values = self._values(alarm, count, width)
        missing = alarm.treat_missing_data or "missing"
        if all(value is None for value in values) and missing in ("missing", "ignore"):
            return None if missing == "ignore" else ("INSUFFICIENT_DATA", "no datapoints were received")
        test, limit = _TESTS[alarm.comparison_operator], float(alarm.threshold)
        beyond = [value for value in values if (missing == "breaching" if value is None else test(value, limit))]
        if len(beyond) >= int(alarm.datapoints_to_alarm or count):
            shown = ", ".join("missing" if value is None else f"{value:g}" for value in beyond)
            return "ALARM", f"{alarm.comparison_operator} {limit:g}: {shown}"
        return "OK", f"not {alarm.comparison_operator} {limit:g}"

    def _values(self, alarm: Any, count: int, width: int) -> list[float | None]:
        """The metric of each of the alarm's periods, the current one first; None if it has no data."""
        of = {dimension.name: dimension.value for dimension in alarm.dimensions}
        found: list[list[_Slot]] = [[] for _ in range(count)]
        now = self._now()
        for (endpoint, variant, config), slots in self._slots.items():
            names = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}
            if of.keys() >= {"EndpointName", "VariantName"} and of.items() <= names.items():
                for slot in reversed(slots):
                    period = (now - slot.number) // width
                    if period >= count:
                        break
                    found[period].append(slot)
        statistic = alarm.extended_statistic or alarm.statistic
        return [_statistic(statistic, alarm.metric_name, slots) for slots in found]


def _statistic(statistic: str, metric: str, slots: Iterable[_Slot]) -> float | None:
    slots = list(slots)
    count = sum(slot.invocations for slot in slots)
    if not count:
        return None
    if metric == "ModelLatency":
        values = sorted(value for slot in slots for value in slot.latencies)
        if statistic.startswith("p"):
            place = math.ceil(float(statistic[1:]) / 100 * len(values)) - 1
            return values[max(0, min(place, len(values) - 1))]
        known = {"Minimum": values[0], "Maximum": values[-1], "Average": sum(values) / len(values)}
        return known.get(statistic, float(count) if statistic == "SampleCount" else sum(values))
    totals = {
        "Invocations": float(count),
        "InvocationsPerInstance": sum(slot.invocations / slot.instances for slot in slots),
        "Invocation4XXErrors": float(sum(slot.errors["4"] for slot in slots)),
        "Invocation5XXErrors": float(sum(slot.errors["5"] for slot in slots)),
    }
    if metric not in totals:
        return None
    total = totals[metric]  # each invocation is a datapoint: 1 if it is an error, or 0
    known = {"Sum": total, "SampleCount": float(count), "Average": total / count}
    return known.get(statistic, float(total > 0) if statistic == "Maximum" else float(total >= count))
