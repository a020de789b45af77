"""The keys of an accepted model's further life: its version in the registry, its endpoint, and the watch for drift."""

from __future__ import annotations

import math

from stepgluon import limits
from stepgluon.config.alarms import AlarmKind, RollBack
from stepgluon.config.durations import Days, Duration, Interval
from stepgluon.config.kinds import TEXT, Choice, Flag, Number, Whole
from stepgluon.config.percentages import Share
from stepgluon.config.sections import List, Section, Shorthand, entry

APPROVAL = {"manual": "PendingManualApproval", "automatic": "Approved"}  # the status of a new version


class Register(Section):
    """A version in SageMaker's model registry for each accepted model."""

    approval: str = entry(
        "manual: each version waits for an approval, which promote gives too; automatic: it is approved at once",
        Choice(*APPROVAL),
        "manual",
    )


class Hosting(Section):
    type: str = entry("SageMaker instance type", TEXT, "ml.m5.large")
    count: int = entry("how many instances; with scale, only until the first scaling", Whole(1, 100), 1)


class Serverless(Section):
    """No instances: the endpoint scales to zero by itself."""

    memory_gb: int = entry("memory of one worker", Whole(1, limits.SERVERLESS_GB), 2)
    concurrency: int = entry("the most requests at once", Whole(1, limits.SERVERLESS_CONCURRENCY), 5)


class Scale(Section):
    """Target tracking on the invocations per instance."""

    min: int | None = entry("the fewest instances; instance.count by default", Whole(1, 100), None)
    max: int = entry("the most instances", Whole(1, 100))
    invocations: int = entry("how many invocations a minute one instance should get", Whole(1, 10**6))


class Release(Section):
    """A blue/green update: the new instances take the traffic step by step; an alarm rolls it back."""

    canary: int | None = entry(
        "share of the capacity that gets traffic first, at most 50%", Share(1, limits.CANARY), None
    )
    linear: int | None = entry("or the size of each step, from 10% to 50%", Share(*limits.LINEAR), None)
    bake: int = entry("how long the alarms are watched after each step", Duration(limits.BAKE_SECONDS), 600)
    roll_back_on: list[RollBack] = entry(
        "what rolls the update back: errors, and latency > 500ms", List(AlarmKind(), most=limits.ALARMS), [RollBack()]
    )

    @property
    def seconds(self) -> int:
        """How long an update watches its alarms: after each step, also after the last."""
        steps = 2 if self.canary else math.ceil(100 / self.linear) if self.linear else 1
        return steps * self.bake


class Capture(Section):
    """Requests and answers that the endpoint writes to the work bucket."""

    share: int = entry("share of the requests that is captured", Share(1, 100))
    keep: int = entry("how long captured rows are kept", Days(3650), 30)


class Serve(Section):
    """An endpoint that answers with the model that a run accepted."""

    instance: Hosting | None = entry("the machines that answer; one ml.m5.large by default", Hosting, None)
    serverless: Serverless | None = entry(
        "instead of instance: an endpoint without machines of its own", Serverless, None
    )
    scale: Scale | None = entry("scale the instances with the traffic", Scale, None)
    release: Release | None = entry("how traffic moves to a new model; without, all at once", Release, None)
    capture: Capture | None = entry(
        "capture requests and answers: 20%, or {share: 20%, keep: 30d}", Shorthand(Capture, "share"), None
    )
    shared: bool = entry(
        "one endpoint for the models of all values found in the data; each request names one", Flag(), False
    )

    @property
    def machines(self) -> Hosting:
        """The machines of an endpoint that is not serverless."""
        return self.instance or Hosting()


class Monitor(Section):
    """A machine that regularly compares the rows that the endpoint gets with those that trained its model."""

    every: int = entry("how often, like 6h or 1d", Interval(), 24 * 3600)
    drift: float = entry("the highest accepted difference of a column: population stability index", Number(0), 0.2)
    then: str = entry(
        "above it: mail, or retrain, which also starts the pipeline, once", Choice("mail", "retrain"), "mail"
    )
