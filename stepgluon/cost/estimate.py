"""What a run would cost: the config's jobs, each with its duration in an earlier run, or else its time limit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stepgluon.config.job_schema import Job
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.cost.known import Known
from stepgluon.cost.prices import Prices, by_model, prices_of, unpriced, usd
from stepgluon.cost.serving import all_a_day, serving
from stepgluon.errors import StepgluonError, listed
from stepgluon.figures import aligned, took
from stepgluon.programs import program_of, transforms

LIMIT = "its limit"  # the source of a duration that no run has


@dataclass(frozen=True)
class Planned:
    """A job of a run, or the trainings of a tuning."""

    state: str
    model: str  # empty if the job is for all models
    kind: str  # in the words of the price list
    instance: str
    count: int
    limit: int  # seconds


@dataclass(frozen=True)
class Line:
    state: str
    model: str
    instance: str
    count: int
    seconds: float
    source: str  # LIMIT, or the run that took this long
    usd: float | None  # None if the list has no price


@dataclass(frozen=True)
class Estimate:
    pipeline: str
    region: str
    published: str
    lines: tuple[Line, ...]
    note: str = ""  # what the sum does not include
    endpoints: str = ""  # what they cost a day, if that is known

    @property
    def usd(self) -> float:
        """The sum of the known prices."""
        return sum(line.usd or 0.0 for line in self.lines)

    @property
    def unpriced(self) -> list[str]:
        return sorted({line.instance for line in self.lines if line.usd is None})

    @property
    def bound(self) -> str:
        return "at most" if any(line.source == LIMIT for line in self.lines) else "about"

    def as_json(self) -> dict[str, Any]:
        known = {"usd": self.usd, "bound": self.bound, "unpriced": self.unpriced, "models": self.models()}
        return {**asdict(self), **known}

    def models(self) -> dict[str, float]:
        """The sum for each model; that of the jobs for all models has an empty name."""
        sums: dict[str, float] = {}
        for line in self.lines:
            if line.usd is not None:
                sums[line.model] = sums.get(line.model, 0.0) + line.usd
        return sums


def jobs_of(config: PipelineConfig, without_gaps: Collection[str] = ()) -> Iterator[Planned]:
    """The jobs of a run that finds nothing cached, in the states of pipeline.py.

    `without_gaps` are the models that have nothing to predict.
    """
    yield _processing("Prepare data", "", config.prepare)
    if config.partitioned:  # those of one group: only a run knows how many there are
        train = config.models[0].train
        yield Planned("Train group", "", "Training", train.instance.type, 1, train.max_runtime)
        yield _processing("Predict group", "", config.predict)
    for model in config.models if not config.partitioned else ():
        yield from _training(config, model)
    for model in config.models if not config.partitioned else ():
        if model.name not in without_gaps:
            yield from _prediction(config, model)
    yield _processing("Post-process", "", config.postprocess)


def _training(config: PipelineConfig, model: Model) -> Iterator[Planned]:
    name, train, program = model.name, model.train, program_of(model)
    state, count = (f"Tune {name}", model.tune.jobs) if model.tune else (f"Train {name}", 1)
    yield Planned(state, name, "Training", train.instance.type, count, train.max_runtime)
    answers = not program.predicting_image
    if answers and not program.files:
        yield _transform(f"Test {name}", name, config)
    if program.scoring_image:
        yield _processing(f"Score {name}", name, config.postprocess if answers else config.predict)


def _prediction(config: PipelineConfig, model: Model) -> Iterator[Planned]:
    name = model.name
    if not transforms(config, model):
        yield _processing(f"Predict {name}", name, config.predict, config.predict.instance.count)
        return
    yield _transform(f"Predict {name}", name, config)
    if not program_of(model).files:
        yield _processing(f"Check answers of {name}", name, config.postprocess)


def _processing(state: str, model: str, job: Job, count: int = 1) -> Planned:
    return Planned(state, model, "Processing", job.instance.type, count, job.max_runtime)


def _transform(state: str, model: str, config: PipelineConfig) -> Planned:
    machine = config.predict.instance
    return Planned(state, model, "Transform", machine.type, machine.count, config.predict.max_runtime)


def estimate(
    config: PipelineConfig, prices: Prices, known: Mapping[str, Known] | None = None, without_gaps: Collection[str] = ()
) -> Estimate:
    lines = tuple(_line(job, prices, (known or {}).get(job.state)) for job in jobs_of(config, without_gaps))
    guessed = any(line.state.endswith(" group") and line.source == LIMIT for line in lines)
    note = _ONE_GROUP.format(config.fan_out.models_per_job) if guessed else ""
    return Estimate(config.name, prices.region, prices.published, lines, note, all_a_day(serving(config, prices)))


def _line(job: Planned, prices: Prices, known: Known | None) -> Line:
    hour = prices.of(job.kind, job.instance)
    last = known or Known(job.limit, job.count, LIMIT)
    cost = None if hour is None else hour * last.instances * last.seconds / 3600
    return Line(job.state, job.model, job.instance, last.instances, last.seconds, last.run, cost)


# max_cost


def refusal(config: PipelineConfig) -> str:
    """Why a run may not start: its limits allow it to cost more than max_cost; empty if it may.

    It depends on the config and on prices.json alone, so a deployed trigger says the same as the commands.
    """
    if config.max_cost is None:
        return ""
    found = estimate(config, prices_of(config.region))
    if found.unpriced:
        return f"max_cost cannot be checked: {unpriced(found.unpriced, config.region)}"
    if found.usd <= config.max_cost:
        return ""
    return (
        f"a run may cost {usd(found.usd)} USD by the time limits of its jobs, and max_cost is {usd(config.max_cost)} "
        "USD (shorten max_runtime, choose cheaper instances, or raise max_cost)"
    )


class TooExpensive(StepgluonError):
    """A run may cost more than max_cost."""


def check_cost(config: PipelineConfig) -> None:
    if reason := refusal(config):
        raise TooExpensive(reason)


# Words


def words(found: Estimate) -> str:
    rows = [("state", "instance", "duration", "USD", "from")]
    for line in found.lines:
        machines = f"{line.count} × {line.instance}" if line.count > 1 else line.instance
        rows.append((line.state, machines, took(line.seconds), usd(line.usd), line.source))
    lines = aligned(rows, right=(2, 3), indent="  ")
    lines += ["", f"By model: {by_model(sums)}."] if (sums := found.models()) else []
    notes = [found.note, ""] if found.note else []
    return "\n".join([f"{summary(found)}.", "", *lines, "", *notes, f"{_NOT_INCLUDED}\n"])


_ONE_GROUP = (
    "Train group and Predict group are counted for one group of about {} models; only a run's data show how many "
    "groups it has."
)
_NOT_INCLUDED = "Retries, disks, storage, logs, image builds and endpoints are not included."


def in_a_mail(found: Estimate) -> str:
    """For the mail of a run's start; empty if no price is known, or not how many groups of models there are."""
    if found.note or all(line.usd is None for line in found.lines):
        return ""
    known, limits = (any((line.source == LIMIT) == limit for line in found.lines) for limit in (False, True))
    source = " and ".join(
        words for words, used in (("earlier runs", known), ("the time limits of its jobs", limits)) if used
    )
    gaps = f", without {listed(found.unpriced, 'and')}" if found.unpriced else ""
    more = f"; then {found.endpoints} a day for its endpoints" if found.endpoints else ""
    return f"{found.bound} {usd(found.usd)} USD on AWS{gaps}, by {source} and the prices of {found.published}{more}"


def summary(found: Estimate) -> str:
    """`A run of rents costs at most 1.38 USD by the prices of 2026-09-21 in us-east-1`, or what has no price."""
    known = any(line.usd is not None for line in found.lines)
    cost = f"costs {found.bound} {usd(found.usd)} USD by the prices of {found.published} in {found.region}"
    gaps = unpriced(found.unpriced, found.region) if found.unpriced else ""
    if not known:
        return f"The cost of a run of {found.pipeline} is unknown: {gaps}"
    return f"A run of {found.pipeline} {cost}" + (f", without some jobs: {gaps}" if gaps else "")
