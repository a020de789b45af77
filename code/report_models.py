"""The report's parts about the models: a card or a row of a table for each, and its details to unfold."""

from __future__ import annotations

from typing import Any

import charts
import numpy as np
from markup import Markup, counted, finite, number, percent, short, tag, text
from metrics import METRICS
from programs import AUTOGLUON, PROGRAMS, Program

CARDS = 11  # with more models, a table is easier to read
SHOWN_COLUMNS = 7  # of the worst rows
BARS = 12  # of the importance
_OF_CLASSES = ("accuracy", "f1", "roc_auc", "log_loss")
BEST = 12  # of the leaderboard
_CALLED = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "mape": "MAPE", "f1": "F1", "roc_auc": "ROC AUC"}


class Model:
    """What is known of a model; each part may be missing."""

    def __init__(
        self, verdict: dict[str, Any], summary: dict[str, Any], evaluation: dict[str, Any], where: Any = None
    ) -> None:
        self.verdict, self.evaluation = verdict, evaluation
        self.name, self.label = str(verdict.get("name")), str(summary.get("label", ""))
        self.where = _conditions(where, self.name)
        self.metric = str(verdict.get("metric") or "mae")
        keys = ["mae", "mae_of_median", "threshold"]
        if self.metric != "mae":
            keys = ["score", "baseline", "at_least" if "at_least" in verdict else "at_most"]
        self.mae, self.median, self.threshold = (finite(verdict.get(key)) for key in keys)
        self.unit = str(verdict.get("unit") or "") if self.metric == "mae" else ""
        self.accepted = verdict.get("verdict") == "accepted"
        uses = verdict.get("uses") == "default"
        self.promoted = finite(verdict.get("default_mae")) if uses else None
        self.rows = {
            key: int(finite(summary.get(key)) or 0) for key in ("rows", "rows_train", "rows_test", "rows_predict")
        }
        self.r2, self.rmse = (finite(evaluation.get(key)) for key in ("r2", "rmse"))
        self.failure = summary.get("failure")
        self.unit_of_data = "file" if "answers" in summary else "row"

    @property
    def error(self) -> str:
        return f"{number(self.mae)} {self.unit}" if self.mae is not None and self.unit else number(self.mae)

    @property
    def measure(self) -> str:
        return "mean absolute error" if self.metric == "mae" else called(self.metric)

    @property
    def guess(self) -> str:
        return "guessing the median" if self.metric == "mae" else "baseline"

    @property
    def better(self) -> str:
        """The error compared with always guessing the median; or the metric's direction, as text."""
        if self.metric in METRICS and self.metric != "mae":
            return f"{'higher' if METRICS[self.metric].higher else 'lower'} is better"
        if self.mae is None or not self.median:
            return ""
        share = self.mae / self.median
        word = f"{percent(1 - share, 1)} better than" if share < 1 else f"{percent(share - 1, 1)} worse than"
        return f"{word if abs(1 - share) >= 0.005 else 'as good as'} always guessing the median"

    @property
    def fit(self) -> str:
        """R², as text."""
        return "–" if self.r2 is None else f"{self.r2:.3f}".replace("-", "−")

    @property
    def pill(self) -> Markup:
        words = "accepted" if self.accepted else "rejected" if self.mae is not None else "not trained"
        return tag("span", words, class_="pill" if self.accepted else "pill bad")

    @property
    def bullet(self) -> Markup | None:
        return (
            None
            if self.mae is None or self.mae < 0
            else charts.bullet(self.mae, self.threshold, self.median, self.promoted, self.accepted)
        )

    @property
    def earlier(self) -> Markup:
        """The place of its errors in the last runs."""
        return Markup(f"<!--stepgluon:errors {text(self.name)}-->")

    @property
    def why(self) -> str:
        """Why its training or its prediction failed."""
        trained = (self.verdict.get("failure") or {}).get("Cause") if self.mae is None else None
        return " ".join(str(each) for each in (trained, self.failure) if each)

    @property
    def said(self) -> str:
        """What predicts, if it is not this model, and why a prediction or training failed."""
        uses, run = self.verdict.get("uses"), self.verdict.get("run")
        sentences = [self.why]
        if uses == "default":
            sentences.append(f"The model promoted from run {run} predicts." if run else "The default model predicts.")
        elif uses == "trained" and not self.accepted:
            sentences.append("It predicts anyway: no model is promoted.")
        return " ".join(str(each) for each in sentences if each)


def marks() -> Markup:
    """What the marks on all bars mean."""
    known = {"limit": "limit", "median": "guessing the median", "promoted": "promoted model"}
    return tag("span", [tag("span", words, class_=kind) for kind, words in known.items()], class_="marks")


def models(all_models: list[Model]) -> Markup:
    return tag("div", map(_card, all_models), class_="cards") if len(all_models) <= CARDS else _table(all_models)


def _card(model: Model) -> Markup:
    known = [
        ("limit", "limit", model.threshold),
        ("median", model.guess, model.median),
        ("promoted", "promoted model", model.promoted),
    ]
    facts = [
        ("R²", None if model.r2 is None else model.fit),
        ("RMSE", None if model.rmse is None else number(model.rmse)),
        *((called(name), number(model.evaluation[name])) for name in _OF_CLASSES if name in model.evaluation),
        (f"training {model.unit_of_data}s", f"{model.rows['rows_train']:,}"),
        (f"held-out {model.unit_of_data}s", f"{model.rows['rows_test']:,}"),
        ("gaps filled" if model.unit_of_data == "row" else "files predicted", f"{model.rows['rows']:,}"),
        ("best", model.evaluation.get("best_model") and short(_kind(model.evaluation["best_model"]), 18)),
    ]
    return tag(
        "section",
        tag("div", tag("h3", model.name), model.pill, class_="head"),
        tag("p", model.error, tag("small", f"{model.measure} of {short(model.label)}{model.where}"), class_="big"),
        model.bullet,
        tag(
            "div",
            [tag("span", f"{words} {number(value)}", class_=kind) for kind, words, value in known if value is not None],
            class_="marks",
        ),
        model.earlier,
        tag("p", f"{model.better[0].upper()}{model.better[1:]}.", class_="said") if model.better else None,
        tag("p", model.said, class_="said") if model.said else None,
        tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in facts if value], class_="facts"),
        class_="card",
    )


def _table(all_models: list[Model]) -> Markup:
    heads = [("model", None), ("result", None), ("error", "n"), ("", None), ("limit", "n more"), ("median", "n more")]
    heads += [("R²", "n"), ("rows", "n more"), ("predicted", "n")]
    rows = [
        tag(
            "tr",
            tag("td", tag("b", model.name), model.where, tag("div", model.why, class_="values") if model.why else None),
            tag("td", model.pill),
            _cell(model.mae),
            tag("td", model.bullet, model.earlier, data_value=(model.mae or 0) / (model.median or 1)),
            _cell(model.threshold, "n more"),
            _cell(model.median, "n more"),
            tag("td", model.fit, class_="n", data_value=model.r2),
            _cell(model.rows["rows_train"] + model.rows["rows_test"], "n more"),
            _cell(model.rows["rows"]),
        )
        for model in all_models
    ]
    head = tag("thead", tag("tr", [tag("th", name, class_=side) for name, side in heads]))
    return tag("div", tag("table", head, tag("tbody", rows), class_="sortable"), class_="panel")


def _cell(value: Any, side: str = "n") -> Markup:
    shown = f"{value:,}" if isinstance(value, int) else number(value)
    return tag("td", shown, class_=side, data_value="" if value is None else value)


def _conditions(where: Any, name: str) -> str:
    """`, Stadt = Köln`, unless the model's name says so; a name is ASCII, so that of 東京 is value-6df977."""
    if not isinstance(where, dict) or [str(value).lower() for value in where.values()] == [name.lower()]:
        return ""
    values = (value if isinstance(value, list) else [value] for value in where.values())
    return "".join(
        f", {short(column)} = {short(' or '.join(map(str, any_of)))}"
        for column, any_of in zip(where, values, strict=True)
    )


def called(metric: str) -> str:
    return _CALLED.get(metric, metric.replace("_", " "))


def details(model: Model, unfolded: bool = False) -> Markup | None:
    """The rest of train's evaluation of a model; None if there is none."""
    found = model.evaluation
    if not found:
        return None
    about = f"{called(model.metric)} {model.error}" + (f", R² {model.fit}" if model.r2 is not None else "")
    content = [
        *(tag("p", note, class_="note") for note in found.get("notes", [])),
        _confusion(found["confusion"]) if "confusion" in found else _held_out(found, model.label),
        tag("div", _importance(found), _leaderboard(found), trials(found), class_="pair"),
        _worst(found, model.label),
        tag("p", _took(found), class_="said"),
    ]
    state = {"open": ""} if unfolded else {}
    return tag("details", tag("summary", model.name, tag("small", about)), tag("div", content), **state)


def _confusion(found: dict[str, Any]) -> Markup | None:
    """How many held-out rows of each class, in its row, were predicted as each."""
    if not found["classes"]:
        return None
    names = ["others" if name is None else short(name, 24) for name in found["classes"]]
    rows = [
        tag(
            "tr",
            tag("th", name),
            [tag("td", tag("b", n) if i == k else f"{n:,}", class_="n") for k, n in enumerate(row)],
        )
        for i, (name, row) in enumerate(zip(names, found["rows"], strict=True))
    ]
    head = tag("thead", tag("tr", tag("th", "actual"), [tag("th", name, class_="n") for name in names]))
    table = tag("div", tag("table", head, tag("tbody", rows)), class_="wide")
    return tag("div", tag("h4", "Held-out rows by actual class (rows) and predicted class (columns)"), table)


def _held_out(found: dict[str, Any], label: str) -> Markup | None:
    pairs = zip(found["held_out"]["actual"], found["held_out"]["predicted"], strict=True)
    kept = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    if not len(kept):
        return None
    of = found["held_out"]["of"]
    some = f"{len(kept):,} of {of:,} held-out rows" if len(kept) < of else counted(of, "held-out row")
    return tag(
        "div",
        tag("div", tag("h4", f"Predicted against actual: {some}"), charts.scatter(kept[:, 0], kept[:, 1], label)),
        tag("div", tag("h4", "How far predictions are off"), charts.residuals(kept[:, 1] - kept[:, 0], label)),
        class_="pair",
    )


def _importance(found: dict[str, Any]) -> Markup | None:
    bars = [each for each in found.get("importance", []) if finite(each["importance"]) is not None][:BARS]
    if not bars:
        return None
    return tag("div", tag("h4", _program(found).importance), charts.importance(bars))


def _leaderboard(found: dict[str, Any]) -> Markup | None:
    board = found.get("leaderboard", [])
    if not board:
        return None
    metric = str(found.get("metric") or "mae")
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


def trials(found: dict[str, Any]) -> Markup | None:
    """What the trainings of a tuning tried, best first."""
    tuning = found.get("trials", {})
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


def _worst(found: dict[str, Any], label: str) -> Markup | None:
    worst = found.get("worst", {})
    if not worst.get("rows"):
        return None
    columns = worst["columns"][:SHOWN_COLUMNS]
    last = "probability of actual" if "confusion" in found else "off by"
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


def _program(found: dict[str, Any]) -> Program:
    return PROGRAMS[found.get("program", AUTOGLUON)]


def _took(found: dict[str, Any]) -> str:
    program = _program(found)
    if program.answers:
        return f"The container {short(found.get('best_model'))} trained the model."
    if "time_limit" not in found:
        what = counted(found["trees"], "tree") if "trees" in found else "the model"
        best = ", with the best hyperparameters of its tuning" if found.get("trials") else ""
        return f"{program.title} trained {what}{best}."
    seconds, limit = found.get("seconds", {}), found.get("time_limit")
    fit = f"{program.title} fitted for {number(seconds.get('fit'))} s of at most {number(limit)} s"
    tried = len(found.get("leaderboard", []))
    chosen = f"tried {counted(tried, 'model')} and chose {found.get('best_model')}"
    return f"{fit} (presets {short(found.get('presets'))}), {chosen}."


def _kind(name: str) -> str:
    return "ensemble" if name.startswith("WeightedEnsemble") else name
