"""The details of a model that unfold in the report: what train found out about it."""

from __future__ import annotations

from typing import Any

import charts
import numpy as np
from markup import Markup, counted, finite, number, short, tag
from programs import AUTOGLUON, PROGRAMS, Program
from report_models import Model, called

SHOWN_COLUMNS = 7  # of the worst rows
BARS = 12  # of the importance
BEST = 12  # of the leaderboard, and of a tuning's trainings


def details(model: Model, unfolded: bool = False) -> Markup | None:
    """The rest of train's evaluation of a model; None if there is none."""
    evaluation = model.evaluation
    if not evaluation:
        return None
    about = f"{called(model.metric)} {model.error}" + (f", R² {model.fit}" if model.r2 is not None else "")
    content = [
        *(tag("p", note, class_="note") for note in evaluation.get("notes", [])),
        _confusion(evaluation["confusion"]) if "confusion" in evaluation else _held_out(evaluation, model.label),
        tag("div", _importance(evaluation), _leaderboard(evaluation), trials(evaluation), class_="pair"),
        _worst(evaluation, model.label),
        tag("p", _took(evaluation), class_="said"),
    ]
    state = {"open": ""} if unfolded else {}
    return tag("details", tag("summary", model.name, tag("small", about)), tag("div", content), **state)


def _confusion(evaluation: dict[str, Any]) -> Markup | None:
    """How many held-out rows of each class, in its row, were predicted as each."""
    if not evaluation["classes"]:
        return None
    names = ["others" if name is None else short(name, 24) for name in evaluation["classes"]]
    rows = [
        tag(
            "tr",
            tag("th", name),
            [tag("td", tag("b", n) if i == k else f"{n:,}", class_="n") for k, n in enumerate(row)],
        )
        for i, (name, row) in enumerate(zip(names, evaluation["rows"], strict=True))
    ]
    head = tag("thead", tag("tr", tag("th", "actual"), [tag("th", name, class_="n") for name in names]))
    table = tag("div", tag("table", head, tag("tbody", rows)), class_="wide")
    return tag("div", tag("h4", "Held-out rows by actual class (rows) and predicted class (columns)"), table)


def _held_out(evaluation: dict[str, Any], label: str) -> Markup | None:
    pairs = zip(evaluation["held_out"]["actual"], evaluation["held_out"]["predicted"], strict=True)
    kept = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    if not len(kept):
        return None
    of = evaluation["held_out"]["of"]
    some = f"{len(kept):,} of {of:,} held-out rows" if len(kept) < of else counted(of, "held-out row")
    return tag(
        "div",
        tag("div", tag("h4", f"Predicted against actual: {some}"), charts.scatter(kept[:, 0], kept[:, 1], label)),
        tag("div", tag("h4", "How far predictions are off"), charts.residuals(kept[:, 1] - kept[:, 0], label)),
        class_="pair",
    )


def _importance(evaluation: dict[str, Any]) -> Markup | None:
    bars = [each for each in evaluation.get("importance", []) if finite(each["importance"]) is not None][:BARS]
    if not bars:
        return None
    return tag("div", tag("h4", _program(evaluation).importance), charts.importance(bars))


def _leaderboard(evaluation: dict[str, Any]) -> Markup | None:
    board = evaluation.get("leaderboard", [])
    if not board:
        return None
    metric = str(evaluation.get("metric") or "mae")
    name = called(metric)
    columns = {"model": "model", f"{metric}_test": f"held-out {name}", f"{metric}_val": f"validation {name}"}
    columns |= {"fit_time": "fit, s"}
    kept = {key: words for key, words in columns.items() if key in board[0]}
    rows = [
        tag("tr", [tag("td", _of_board(key, each.get(key)), class_=_side(key)) for key in kept])
        for each in board[:BEST]
    ]
    head = tag("thead", tag("tr", [tag("th", words, class_=_side(key)) for key, words in kept.items()]))
    more = len(board) - BEST
    left = tag("p", f"and {counted(more, 'model')} more", class_="said") if more > 0 else None
    return tag("div", tag("h4", "Leaderboard"), tag("div", tag("table", head, tag("tbody", rows)), left, class_="wide"))


def trials(evaluation: dict[str, Any]) -> Markup | None:
    """What the trainings of a tuning tried, best first."""
    tuning = evaluation.get("trials", {})
    listed = tuning.get("trials", [])
    names = sorted({name for one in listed for name in one["set"]})
    if not names:
        return None
    rows = [
        tag(
            "tr",
            [tag("td", _of_set(one["set"].get(name)), class_="n") for name in names],
            tag("td", _outcome(one, one["job"] == tuning["chosen"]), class_="n"),
        )
        for one in listed[:BEST]
    ]
    heads = [*names, tuning["metric"].replace(":", " ").replace("_", " ")]
    head = tag("thead", tag("tr", [tag("th", words, class_="n") for words in heads]))
    more = tuning["of"] - BEST  # trials.json lists at most 100
    left = tag("p", f"and {counted(more, 'training')} more", class_="said") if more > 0 else None
    title = tag("h4", f"Tuning: {counted(tuning['of'], 'training')} with other hyperparameters, best first")
    return tag("div", title, tag("div", tag("table", head, tag("tbody", rows)), left, class_="wide"))


def _of_set(value: str | None) -> str:
    """A hyperparameter's value, as a number with four digits."""
    try:
        return f"{float(value or ''):.4g}"
    except ValueError:
        return short(value or "–", 24)


def _outcome(trial: dict[str, Any], chosen: bool) -> Any:
    if "score" not in trial:
        return tag("span", str(trial["status"]).lower(), title=short(trial.get("reason", ""), 300))
    return tag("b", number(trial["score"])) if chosen else number(trial["score"])


def _of_board(key: str, value: Any) -> Any:
    return value if key == "model" else f"{value:.1f}" if key == "fit_time" and finite(value) else number(value)


def _side(key: str) -> str | None:
    return None if key == "model" else "n"


def _worst(evaluation: dict[str, Any], label: str) -> Markup | None:
    worst = evaluation.get("worst", {})
    if not worst.get("rows"):
        return None
    columns = worst["columns"][:SHOWN_COLUMNS]
    last = "probability of actual" if "confusion" in evaluation else "off by"
    heads = [
        *(tag("th", short(name, 24)) for name in columns),
        *(tag("th", w, class_="n") for w in ("actual", "predicted", last)),
    ]
    rows = [
        tag(
            "tr",
            [tag("td", "–" if value is None else short(value)) for value in each["values"][:SHOWN_COLUMNS]],
            *(tag("td", _label(each[key]), class_="n") for key in ("actual", "predicted")),
            tag("td", tag("b", _off(each)), class_="n"),
        )
        for each in worst["rows"]
    ]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows))
    return tag(
        "div",
        tag("h4", f"The {counted(len(rows), 'held-out row')} with the largest errors"),
        tag("div", table, class_="wide"),
    )


def _label(value: Any) -> str:
    return short(value) if isinstance(value, str) else number(value)


def _off(row: dict[str, Any]) -> str:
    if "probability" in row:  # of the actual class
        return number(row["probability"])
    if row["actual"] is None or row["predicted"] is None:
        return "–"
    error = row["predicted"] - row["actual"]
    return f"{'+' if error > 0 else ''}{number(error)}"


def _program(evaluation: dict[str, Any]) -> Program:
    return PROGRAMS[evaluation.get("program", AUTOGLUON)]


def _took(evaluation: dict[str, Any]) -> str:
    program = _program(evaluation)
    if program.answers:
        return f"The container {short(evaluation.get('best_model'))} trained the model."
    if "time_limit" not in evaluation:
        what = counted(evaluation["trees"], "tree") if "trees" in evaluation else "the model"
        best = ", with the best hyperparameters of its tuning" if evaluation.get("trials") else ""
        return f"{program.title} trained {what}{best}."
    seconds, limit = evaluation.get("seconds", {}), evaluation.get("time_limit")
    fit = f"{program.title} fitted for {number(seconds.get('fit'))} s of at most {number(limit)} s"
    tried = len(evaluation.get("leaderboard", []))
    chosen = f"tried {counted(tried, 'model')} and chose {evaluation.get('best_model')}"
    return f"{fit} (presets {short(evaluation.get('presets'))}), {chosen}."
