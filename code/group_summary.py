"""The results of thousands of models: summary.json, models.csv with a line for each, and headline.json for the mail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import job_io
import pyarrow as pa
import pyarrow.csv
from group_results import Member
from markup import finite, short
from metrics import METRICS, metric_of
from partitions import OTHERS
from result_files import Addition
from spreadsheet import defused, defused_names

MODELS = "models.csv"
TARGETS = "targets.json"  # for a shared endpoint
NAMED = 20  # models in the headline
WORDS = 200  # characters of a reason in the headline
HEADLINE = 32_000  # bytes of headline.json, most of which is in a state's variable
_KEPT = (
    "mae",
    "threshold",
    "metric",
    "score",
    "baseline",
    "at_most",
    "at_least",
    "verdict",
    "reason",
    "uses",
    "key",
)


def write(
    out: Path,
    config: dict[str, Any],
    profile: dict[str, Any],
    counts: dict[str, int],
    members: list[Member],
    added: list[Addition],
    started: float,
) -> dict[str, Any]:
    """Write all three; return the summary."""
    summary = summary_of(counts, members, added, config, profile)
    summary["seconds"] = {"prepare": profile.get("seconds"), "postprocess": round(time.monotonic() - started, 1)}
    headline = summary["headline"] = headline_of(summary, members, config)
    if config.get("shared"):
        targets = targets_of(members)
        job_io.write_json(out / TARGETS, {"models": targets})
        headline["served"] = {"models": len(targets), "example": next(iter(targets), "")}
        headline["served"]["target"] = targets.get(headline["served"]["example"], "")
    # Without indentation, which the C encoder does not know.
    (out / "summary.json").write_text(json.dumps(summary, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    write_models(members, out)
    job_io.write_json(out / "headline.json", headline)
    return summary


def targets_of(members: list[Member]) -> dict[str, str]:
    """Each model's TargetModel: its archive below the endpoint's prefix. Rejected models are not served."""
    return {
        one.name: one.choice["key"]
        for one in members
        if one.choice.get("uses") == "default" or (one.choice.get("uses") == "trained" and one.is_accepted)
    }


def score_of(member: Member) -> float | None:
    return finite(member.choice.get("mae" if metric_of(member.choice) == "mae" else "score"))


def baseline_of(member: Member) -> float | None:
    return finite(member.choice.get("mae_of_median" if metric_of(member.choice) == "mae" else "baseline"))


def limit_of(member: Member) -> float | None:
    limits = (finite(member.choice.get(key)) for key in ("threshold", "at_least", "at_most"))
    return next((limit for limit in limits if limit is not None), None)


def ratio_of(member: Member) -> float | None:
    """The error divided by the baseline's, so 1 is as bad as the baseline. For accuracy, the error is 1 - accuracy."""
    score, baseline = score_of(member), baseline_of(member)
    metric = METRICS.get(metric_of(member.choice), METRICS["mae"])
    if score is None or baseline is None:
        return None
    error, least = (1 - score, 1 - baseline) if metric.higher else (score, baseline)
    return error / least if least > 0 else None


def reason_of(member: Member) -> str:
    """Why the model failed, or the verdict in words."""
    cause = member.training_failure if score_of(member) is None else ""
    return member.failure or str(cause or member.choice.get("reason") or "")


def worst(members: Iterable[Member]) -> list[Member]:
    """The models that were scored, the worst first: those without a baseline by their scores, after the others."""

    def key(member: Member) -> tuple[bool, float, str]:
        ratio, score = ratio_of(member), score_of(member) or 0.0
        higher = METRICS.get(metric_of(member.choice), METRICS["mae"]).higher
        return ratio is None, -ratio if ratio is not None else score if higher else -score, member.name

    return sorted((one for one in members if score_of(one) is not None), key=key)


def counts_of(members: list[Member]) -> dict[str, int]:
    scored = [one for one in members if one.choice and score_of(one) is not None]
    return {
        "models": len(members),
        "trained": sum(one.choice.get("cached") is not True for one in scored),
        "cached": sum(one.choice.get("cached") is True for one in scored),
        "accepted": sum(one.is_accepted for one in members),
        "rejected": sum(one.choice.get("verdict") == "rejected" and one.is_trained for one in members),
        "default": sum(one.choice.get("uses") == "default" and one.rows > 0 for one in members),
        "anyway": sum(one.rows > 0 and one.choice["uses"] == "trained" and not one.is_accepted for one in members),
        "predicting": sum(one.rows > 0 for one in members),
        "open": sum(one.outcome == "open" for one in members),
        "missing": sum(one.outcome == "failed" for one in members),
    }


def summary_of(
    counts: dict[str, int],
    members: list[Member],
    added: list[Addition],
    config: dict[str, Any],
    profile: dict[str, Any],
) -> dict[str, Any]:
    """`counts` has the rows and the predictions."""
    label = added[0].label
    missing = [
        {"name": one.name, "rows": one.to_predict, "reason": one.failure} for one in members if one.outcome == "failed"
    ]
    return {
        **counts,
        "gaps": profile.get("gaps"),
        "data_sha256": profile.get("sha256"),
        "rows_no_model_selects": profile.get("rows_no_model_selects", 0),
        "partition_by": config["partitioned"]["column"],
        "counts": counts_of(members),
        "failed_groups": failed_groups(members),
        "models": [_entry(one, label) for one in members],
        "missing": missing,
        "separator": profile.get("csv", {}).get("separator", ","),
        "columns": [{"label": label, **added[0].names}],
        "files": ["predictions.csv", "predictions.parquet", MODELS],
    }


def failed_groups(members: Iterable[Member]) -> list[str]:
    """The groups without a verdict on any model."""
    judged, all_groups = set(), set()
    for one in members:
        all_groups.add(one.group)
        if one.choice:
            judged.add(one.group)
    return sorted(all_groups - judged)


def is_repeatable(members: list[Member]) -> bool:
    """Whether a run with the same input may predict what is missing: not if all of it was scored and rejected."""
    missing = [one for one in members if one.outcome == "failed"]
    trained = members if any(one.was_replaced for one in missing) else missing
    return any(not one.choice or one.predicts for one in missing) or any(
        one.is_trained and one.training_failure for one in trained
    )


def _entry(one: Member, label: str) -> dict[str, Any]:
    rows = {key: one.entry.get(key) for key in ("rows_train", "rows_test", "rows_predict")}
    known = {key: one.choice[key] for key in _KEPT if one.choice.get(key) is not None}
    ending = {"outcome": one.outcome, **({"failure": one.failure} if one.failure else {})}
    named = {"name": one.name, "value": one.value, "group": one.group, "label": label, "rows": one.rows}
    return {**named, **rows, "verdict": None, **known, **ending}


def headline_of(summary: dict[str, Any], members: list[Member], config: dict[str, Any]) -> dict[str, Any]:
    """For the mail: counts, the worst models, and some of those without predictions; less than 32 KB."""
    bad = [
        {
            "name": one.name,
            "value": short(one.value),
            "score": score_of(one),
            "baseline": baseline_of(one),
            "limit": limit_of(one),
            "verdict": one.choice.get("verdict"),
            "reason": short(reason_of(one), WORDS),
        }
        for one in worst(members)[:NAMED]
    ]
    missing = [
        {"name": one.name, "value": short(one.value), "reason": short(one.failure, WORDS)}
        for one in members
        if one.outcome == "failed"
    ][:NAMED]
    template = config["models"][0]
    headline = {
        **summary["counts"],
        "column": summary["partition_by"],
        "others": any(one.name == OTHERS for one in members),
        "label": template["label"],
        "metric": metric_of(template),
        "groups": len({one.group for one in members}),
        "failed_groups": summary["failed_groups"],
        "gaps": summary["gaps"],
        "filled": summary["predictions"],
        "worst": bad,
        "missing_models": missing,
        "repeatable": is_repeatable(members),
    }
    while len(json.dumps(headline, ensure_ascii=False).encode()) > HEADLINE:  # reasons in other scripts
        longest = max(("worst", "missing_models", "failed_groups"), key=lambda key: len(headline[key]))
        headline[longest] = headline[longest][: len(headline[longest]) // 2]
    return headline


def write_models(members: list[Member], out: Path) -> None:
    """models.csv: a line for each model."""
    columns: dict[str, pa.Array] = {
        "model": pa.array([one.name for one in members], pa.string()),
        "partition": pa.array([one.value for one in members], pa.string()),
        "group": pa.array([one.group for one in members], pa.string()),
        **{
            key: pa.array([one.entry.get(key) for one in members], pa.int64())
            for key in ("rows_train", "rows_test", "rows_predict")
        },
        "predicted": pa.array([one.rows for one in members], pa.int64()),
        "verdict": pa.array([one.choice.get("verdict") for one in members], pa.string()),
        "metric": pa.array([metric_of(one.choice) for one in members], pa.string()),
        "score": pa.array([score_of(one) for one in members], pa.float64()),
        "baseline": pa.array([baseline_of(one) for one in members], pa.float64()),
        "limit": pa.array([limit_of(one) for one in members], pa.float64()),
        "outcome": pa.array([one.outcome for one in members], pa.string()),
        "uses": pa.array([one.choice.get("uses") for one in members], pa.string()),
        "cached": pa.array([one.choice.get("cached") is True for one in members], pa.bool_()),
        "reason": pa.array([reason_of(one) for one in members], pa.string()),
    }
    cells = [defused(values) for values in columns.values()]
    pyarrow.csv.write_csv(pa.table(cells, defused_names(list(columns))), out / MODELS)
