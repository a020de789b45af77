"""Canned files of a run with groups of models: what prepare, the jobs and the machine write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

DIGEST = "0123456789abcdef" * 4
MOST = 256  # models of a group
WRITTEN = object()  # what the machine itself has written to this key in an earlier rehearsal
NAMES = ["north", "south", "few"]
LONG = [f"{number:03}-{'x' * 47}" for number in range(MOST)]  # a name has at most 51 characters
_CAUSE = "Not retried: " + "x" * 487  # a job's file has at most 500 characters for each model
KINDS = {
    "groups": re.compile(r"runs/[^/]+/prepared/groups\.json"),
    "group": re.compile(r"runs/[^/]+/prepared/groups/g[0-9]{4}/group\.json"),
    "group marker": re.compile(r"markers/(fresh/)?groups/g[0-9]{4}\.json"),
    "predictions marker": re.compile(r"markers/(fresh/)?predictions/groups/g[0-9]{4}\.json"),
    "results": re.compile(r"models/groups/g[0-9]{4}/[0-9a-f]+/[^/]+/output/model/group\.json"),
    "choices": re.compile(r"runs/[^/]+/groups/g[0-9]{4}/choices\.json"),
    "predictions": re.compile(r"predictions/groups/g[0-9]{4}/[0-9a-f]+/[^/]+/result\.json"),
    "headline": re.compile(r"runs/[^/]+/result/headline\.json"),
}
_PROMOTED = {
    "run": "may",
    "job": "may-train-0",
    "key": f"promoted/partitions/north/{DIGEST}.tar.gz",
    "manifest": DIGEST,
    "mae": 0.5,
}
SMALL: dict[str, Any] = {"train": None, "reason": "1 row with a label, fewer than min_rows: 50"}


def group(names: list[str] = NAMES, promoted: Any = True, **changes: Any) -> dict[str, Any]:
    """A group as prepare writes it: the last model has too few rows, the one before it no rows to predict."""
    rows = {"rows_train": 9, "rows_test": 2, "rows_predict": 3, "row_groups": {"train": 0, "test": 0, "predict": 0}}
    own = {"value": "Nord", "train": DIGEST, "predict": DIGEST, **rows, **({"promoted": _PROMOTED} if promoted else {})}
    models = [{"name": name, **own, **changes} for name in names]
    models[-1] |= SMALL
    models[-2] |= {"rows_predict": 0}
    return {"group": "g0000", "models": models}


def results(number: Any = 0.5, failed: int = 0, names: list[str] = NAMES) -> dict[str, Any]:
    """What a training job writes; the first `failed` models failed."""
    score = {"mae": number, "mae_of_median": 2.5, "score": number, "baseline": 0.25, "manifest": DIGEST, "seconds": 1}
    good = [{"name": name, **score} for name in names[:-1]]
    bad = [{"name": one["name"], "Error": "UserError", "Cause": _CAUSE} for one in good[:failed]]
    return {"group": "g0000", "seconds": 9, "failed": failed, "models": [*bad, *good[failed:]]}


def predictions(failed: int = 0, names: list[str] = NAMES) -> dict[str, Any]:
    """What a prediction job writes: the model before the last has no rows to predict."""
    good = [{"name": name, "row_group": place} for place, name in enumerate([*names[:-2], names[-1]])]
    bad = [{"name": one["name"], "Error": "Killed", "Cause": _CAUSE} for one in good[:failed]]
    return {"models": [*bad, *good[failed:]]}


def headline(missing: int = 0) -> dict[str, Any]:
    bad = [
        {"name": "north", "value": "Nord", "score": 0.5, "limit": 1, "verdict": "accepted", "reason": "MAE 0.5"}
    ] * 20
    named = [{"name": "south", "value": "south", "reason": "The prediction job failed."}] * min(missing, 20)
    counts = {
        "models": 9,
        "trained": 5,
        "cached": 3,
        "accepted": 7,
        "rejected": 1,
        "default": 1,
        "open": 1,
        "anyway": 1,
    }
    more = {"missing": missing, "failed_groups": ["g0000"] * (missing > 0), "gaps": 9, "filled": 8, "predicting": 6}
    served = {"models": 8, "example": "north", "target": "models/groups/g0000/x/y/output/model/north.tar.gz"}
    return {
        **counts,
        **more,
        "worst": bad,
        "missing_models": named,
        "served": served,
        "repeatable": missing > 1,
        "others": True,
    }


def usual(kind: str) -> Any:
    """The content if all is well; None if there is no file."""
    usual = {"groups": [{"group": "g0000", "models": 3}], "group": group(), "results": results()}
    return {**usual, "predictions": predictions(), "headline": headline(), "choices": WRITTEN}.get(kind)


def scenarios() -> Iterator[tuple[str, dict[str, Any]]]:
    """Further contents of files, by their kinds."""
    rejected, none = results(1e300), group(promoted=False)
    yield "all models of a group are rejected", {"results": rejected}
    yield "all models of a group are rejected, and none is promoted", {"results": rejected, "group": none}
    yield "a model of a group is rejected", {"results": {"models": [rejected["models"][0], results()["models"][1]]}}
    for what, number in (("null", None), ("text", "NaN"), ("true", True), ("a list", [1])):
        yield f"a model's score is {what}", {"results": results(number)}
    yield "a model failed in its group, and none is promoted", {"results": results(failed=1), "group": none}
    yield "all models failed in their group", {"results": results(failed=2)}
    yield "a training job lacks a model", {"results": {"models": results()["models"][:1]}}
    yield "a training job says nothing", {"results": {}}
    yield "a training job's results are damaged", {"results": '{"models": [{"name": '}
    yield "a training job's results are a text", {"results": '"x"'}
    yield "a model has an odd promoted one", {"group": group(promoted=5), "results": rejected}
    yield "nothing is to be trained", {"group": group(**SMALL)}
    yield "nothing is to be predicted", {"group": group([*NAMES[:2], "more"], promoted=False, rows_predict=0)}
    yield "a group has no models", {"group": {"group": "g0000", "models": []}}
    yield "there are no groups", {"groups": []}
    yield "a model did not predict", {"predictions": predictions(failed=1)}
    yield "no model predicted", {"predictions": {"models": []}}
    yield "a prediction job's results are damaged", {"predictions": "<html>"}
    yield "everything was done before", {"group marker": WRITTEN, "predictions marker": WRITTEN}
    more = {"group": group([*NAMES, "new", "more", "small"]), "predictions marker": WRITTEN}
    yield "some models were trained and predicted before", {**more, "group marker": WRITTEN}
    yield "a group's marker is damaged", {"group marker": "<html>", "predictions marker": "<html>"}
    yield "a group's marker is of an earlier version", {"group marker": {"models": ["north"]}, "predictions marker": {}}
    yield "a group's marker is a text", {"group marker": '"x"', "predictions marker": '"x"'}
    yield "a model is missing", {"headline": headline(1)}
    yield "many models are missing", {"headline": headline(700)}
    whole = {"group": group(LONG), "results": results(names=LONG), "predictions": predictions(names=LONG)}
    yield "a group is as large as it may be", whole
    changed = {"group": group(LONG, train="f" * 64), "results": results(failed=MOST, names=LONG)}
    yield "all models of such a group have changed and fail", {**whole, **changed, "group marker": WRITTEN}
