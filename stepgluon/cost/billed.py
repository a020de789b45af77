"""What a run cost on AWS, or a local one would have cost: an estimate from the seconds that its jobs used machines."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.cost.prices import by_model, prices_of, unpriced, usd

KINDS = {
    "training": "Training",
    "hyperparametertuning": "Training",
    "processing": "Processing",
    "transform": "Transform",
}
_MODEL = re.compile(
    r"(?:Train|Tune|Test|Score|Predict|Check answers of) (\S+)"
)  # states; those of a group are for many models


def cost_of(jobs: list[dict[str, Any]], arn: str) -> dict[str, Any] | None:
    """The cost by model of these jobs of run.json; None if none had a machine. `arn` is the execution's."""
    billed = [job for job in jobs if job["billed"] and job["instance"]]
    region = arn.split(":")[3] if arn.count(":") > 3 else ""
    prices, sums, missing = prices_of(region), dict[str, float](), set[str]()
    for job in billed:
        hour = prices.of(KINDS[job["kind"]], job["instance"])
        model = found[1] if (found := _MODEL.fullmatch(job["state"])) else ""
        if hour is None:
            missing.add(job["instance"])
        else:
            sums[model] = sums.get(model, 0.0) + hour * job["instances"] * job["billed"] / 3600
    about = {"region": region, "published": prices.published, "models": sums, "unpriced": sorted(missing)}
    return {"usd": sum(sums.values()), **about} if billed else None


def cost_words(record: dict[str, Any]) -> str:
    """What a run of run.json cost; nothing without a price if it cost nothing, because it was local."""
    cost = record.get("cost")
    if not cost or (not cost["models"] and not str(record["folder"]).startswith("s3://")):
        return ""
    gaps = unpriced(cost["unpriced"], cost["region"]) if cost["unpriced"] else ""
    if not cost["models"]:
        return f"Cost on AWS: unknown, {gaps}."
    models = f" ({by_model(cost['models'])})" if len(cost["models"]) > 1 else ""
    known = f"Cost on AWS: about {usd(cost['usd'])} USD{models}, by the prices of {cost['published']}"
    return f"{known}; {gaps}." if gaps else f"{known}."
