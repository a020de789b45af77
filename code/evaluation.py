"""Train's evaluation of its model for the report: evaluation.json beside metrics.json.

    held_out     up to PAIRS rows of the held-out part: {"actual": [...], "predicted": [...], "of": all its rows}
    confusion    in its place, for classes: {"classes": [...], "rows": [[...]]}, a row for each actual class; those
                 beyond CLASSES, the rarest, are one class of name null
    worst        the rows with the largest errors: {"columns": [...], "rows": [{"values", "actual", "predicted"}]}; for
                 classes those whose own class has the lowest probability, with that "probability"
    importance   how much the error grows if a column is shuffled: [{"column", "importance", "stddev"}]
    leaderboard  one object per tried model, best first
    trials       of a tuned model: the content of trials.json, best first; see job_model.tried
    notes        sentences about what the time limit allowed

All of it is small: a report has the evaluations of all models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from metrics import in_order, of_own_class

Numbers = npt.NDArray[np.float64]

PAIRS = 5000
WORST_ROWS = 10
CLASSES = 12
WORST_COLUMNS = 20
IMPORTANT = 30
TRIED = 60
TEXT = 80  # characters of a value
NEARLY = 0.8  # of the time limit: a fit that took less was not cut short by it
_KINDS = ("LightGBM", "RandomForest", "ExtraTrees", "KNeighbors")  # each has models with a suffix, like LightGBMXT


Cells = Callable[[list[str], list[int]], list[list[Any]]]  # the values of these columns in each of these rows
Records = list[dict[str, Any]]


def evaluation(
    held_out: Any, label: str, answers: dict[str, Any], board: Any, importance: Any, metric: str = "mae"
) -> dict[str, Any]:
    """Everything but the settings and the seconds; `held_out` is the frame, `answers` what train measured with."""

    def cells(names: list[str], rows: list[int]) -> list[list[Any]]:
        frame = held_out.iloc[rows]
        return [[frame[name].iloc[row] for name in names] for row in range(len(rows))]

    features = [name for name in held_out if name != label]
    tables = board.to_dict("records"), importance.to_dict("records")
    actual = held_out[label].to_numpy()
    own: Any = None
    if "classes" in answers:
        own = of_own_class(actual, answers["chances"], answers["classes"] if len(actual) else ())
    return evaluation_of(actual, answers["predicted"], features, cells, *tables, metric, own)


def evaluation_of(
    actual: Any,
    predicted: Any,
    features: list[str],
    cells: Cells,
    board: Records,
    importance: Records,
    metric: str = "mae",
    own: Numbers | None = None,
) -> dict[str, Any]:
    """The same without a frame; `own` has the probability of each row's own class, if classes were predicted."""
    known = set(features)
    columns = [each["column"] for each in importance if each["column"] in known]
    columns += [name for name in features if name not in set(columns)]
    if own is None:
        kept = np.sort(np.random.default_rng(0).permutation(len(actual))[:PAIRS])
        pairs = {"actual": _numbers(actual[kept]), "predicted": _numbers(predicted[kept]), "of": len(actual)}
        found = {"held_out": pairs}
    else:
        found = {"confusion": confusion(actual, predicted)}
    return {
        **found,
        "worst": _worst(columns[:WORST_COLUMNS], cells, actual, predicted, own),
        "importance": _records(importance[:IMPORTANT], ["column", "importance", "stddev"]),
        "leaderboard": _records(board[:TRIED], ["model", f"{metric}_test", f"{metric}_val", *_SECONDS]),
    }


_SECONDS = ["fit_time", "pred_time_val"]


def confusion(actual: Any, predicted: Any) -> dict[str, Any]:
    """How many rows of each class were predicted as each."""
    names, counts = np.unique(np.concatenate([actual, predicted]).astype(str), return_counts=True)
    kept = in_order(names[np.argsort(-counts, kind="stable")][:CLASSES].tolist())
    places = {name: place for place, name in enumerate(kept)}
    size = len(kept) + (len(names) > len(kept))
    table = np.zeros((size, size), int)
    for one, other in zip(actual, predicted, strict=True):
        table[places.get(one, len(kept)), places.get(other, len(kept))] += 1
    return {"classes": [*kept, *[None] * (size - len(kept))], "rows": table.tolist()}


def notes(board: Any, fitted: float, time_limit: float, leaderboard: bool, importance: bool) -> list[str]:
    """What the time limit did not allow: other kinds of models, scores of all models, the columns' importance."""
    kinds = {kind(name) for name in board["model"] if not name.startswith("WeightedEnsemble")}
    found = []
    if len(kinds) == 1 and fitted >= NEARLY * time_limit:
        found.append(
            f"In {time_limit:g} s AutoGluon could fit only one kind of model, {kinds.pop()}; a higher time_limit lets "
            "it try others."
        )
    if not leaderboard:
        found.append(
            "No time was left to score the other models on the held-out rows; only their validation errors are known."
        )
    if not importance:
        found.append("No time was left to measure the importance of all columns.")
    return found


def kind(model: str) -> str:
    found = re.match(r"[A-Za-z]*", model)
    return next((one for one in _KINDS if model.startswith(one)), found[0] if found else model)


def _worst(columns: list[str], cells: Cells, actual: Any, predicted: Any, own: Numbers | None) -> dict[str, Any]:
    order = -np.nan_to_num(np.abs(actual - predicted), nan=-1.0) if own is None else own
    places = np.argsort(order, kind="stable")[:WORST_ROWS].tolist()
    rows = [
        {
            "values": [_text(value) for value in values],
            "actual": _shown(actual[n]),
            "predicted": _shown(predicted[n]),
            **({} if own is None else {"probability": _number(own[n])}),
        }
        for n, values in zip(places, cells(columns, places), strict=True)
    ]
    return {"columns": columns, "rows": rows}


def _shown(value: Any) -> Any:
    """A label: a class as text, or a number."""
    return _text(value) if isinstance(value, str) else _number(value)


def _records(table: Records, keys: list[str]) -> Records:
    return [
        {key: row[key] if isinstance(row[key], str) else _number(row[key]) for key in keys if key in row}
        for row in table
    ]


def _numbers(values: Numbers) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    """Six significant digits; None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    """A cell as people write it; frames hold integers as floats."""
    if value is None or value != value:  # NaN, and pandas' missing time
        return None
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:.6g}"
    if isinstance(value, datetime):  # pandas' timestamps, too
        return str(value).removesuffix(" 00:00:00")
    text = str(value)
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"
