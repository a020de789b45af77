"""Train's evaluation of its model for the report: evaluation.json beside metrics.json.

    held_out     up to PAIRS rows of the held-out part: {"actual": [...], "predicted": [...], "of": all its rows}
    worst        the rows with the largest errors: {"columns": [...], "rows": [{"values", "actual", "predicted"}]}
    importance   how much the error grows if a column is shuffled: [{"column", "importance", "stddev"}]
    leaderboard  one object per tried model, best first
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

Numbers = npt.NDArray[np.float64]

PAIRS = 5000
WORST_ROWS = 10
WORST_COLUMNS = 20
IMPORTANT = 30
TRIED = 60
TEXT = 80  # characters of a value
NEARLY = 0.8  # of the time limit: a fit that took less was not cut short by it
_KINDS = ("LightGBM", "RandomForest", "ExtraTrees", "KNeighbors")  # each has models with a suffix, like LightGBMXT


Cells = Callable[[list[str], list[int]], list[list[Any]]]  # the values of these columns in each of these rows
Records = list[dict[str, Any]]


def evaluation(held_out: Any, label: str, answers: Numbers, board: Any, importance: Any) -> dict[str, Any]:
    """Everything but the settings and the seconds; `held_out` is the frame, `answers` its predictions."""

    def cells(names: list[str], rows: list[int]) -> list[list[Any]]:
        frame = held_out.iloc[rows]
        return [[frame[name].iloc[row] for name in names] for row in range(len(rows))]

    features = [name for name in held_out if name != label]
    tables = board.to_dict("records"), importance.to_dict("records")
    return evaluation_of(held_out[label].to_numpy(), answers, features, cells, *tables)


def evaluation_of(
    actual: Numbers, answers: Numbers, features: list[str], cells: Cells, board: Records, importance: Records
) -> dict[str, Any]:
    """The same without a frame."""
    known = set(features)
    columns = [each["column"] for each in importance if each["column"] in known]
    columns += [name for name in features if name not in set(columns)]
    kept = np.sort(np.random.default_rng(0).permutation(len(actual))[:PAIRS])
    return {
        "held_out": {"actual": _numbers(actual[kept]), "predicted": _numbers(answers[kept]), "of": len(actual)},
        "worst": _worst(columns[:WORST_COLUMNS], cells, actual, answers),
        "importance": _records(importance[:IMPORTANT], ["column", "importance", "stddev"]),
        "leaderboard": _records(board[:TRIED], _OF_A_MODEL),
    }


_OF_A_MODEL = ["model", "mae_test", "mae_val", "fit_time", "pred_time_val"]


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


def _worst(columns: list[str], cells: Cells, actual: Numbers, answers: Numbers) -> dict[str, Any]:
    errors = np.abs(actual - answers)
    places = np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable")[:WORST_ROWS].tolist()
    rows = [
        {"values": [_text(value) for value in values], "actual": _number(actual[n]), "predicted": _number(answers[n])}
        for n, values in zip(places, cells(columns, places), strict=True)
    ]
    return {"columns": columns, "rows": rows}


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
