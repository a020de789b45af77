"""What the config's endpoints would cost per day, with or without requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stepgluon.config.schema import PipelineConfig
from stepgluon.cost.prices import Prices, usd


@dataclass(frozen=True)
class Serving:
    model: str
    machines: str
    usd_a_day: float | None  # with the fewest instances; None without a price, or if it costs by request
    most_a_day: float | None  # with the most instances

    def words(self) -> str:
        if self.machines.startswith("serverless"):
            return f"{self.model}: {self.machines}, billed by request"
        if self.usd_a_day is None or self.most_a_day is None:
            return f"{self.model}: {self.machines}, no price"
        more = f" to {usd(self.most_a_day)}" if self.most_a_day > self.usd_a_day else ""
        return f"{self.model}: {self.machines}, {usd(self.usd_a_day)}{more} USD a day"


def serving(config: PipelineConfig, prices: Prices) -> Iterator[Serving]:
    for model in config.models:
        if model.serve is None:
            continue
        if model.serve.serverless:
            yield Serving(model.name, f"serverless, {model.serve.serverless.memory_gb} GB", None, None)
            continue
        machine, scale = model.serve.machines, model.serve.scale
        least, most = (scale.min or machine.count, scale.max) if scale else (machine.count, machine.count)
        count = f"{least} to {most}" if most > least else str(least)
        hour = prices.of("Hosting", machine.type)
        day = None if hour is None else 24 * hour
        costs = (None, None) if day is None else (day * least, day * most)
        yield Serving(model.name, machine.type if count == "1" else f"{count} × {machine.type}", *costs)


def all_a_day(found: Iterator[Serving]) -> str:
    """`4.80 to 9.60 USD` for all endpoints; empty if there are none that cost by the day, or one has no price."""
    billed = [one for one in found if not one.machines.startswith("serverless")]
    known = [(one.usd_a_day, one.most_a_day) for one in billed if one.usd_a_day and one.most_a_day]
    if not billed or len(known) < len(billed):
        return ""
    least, most = map(sum, zip(*known, strict=True))
    return f"{usd(least)} USD" if most == least else f"{usd(least)} to {usd(most)} USD"


def serving_words(found: list[Serving]) -> str:
    """A line for each endpoint; empty without any."""
    return (
        "".join(["Endpoints, once a run has created them:\n", *(f"  {one.words()}\n" for one in found)])
        if found
        else ""
    )
