"""The report's parts about the models: a card or a row of a table for each; model_details.py has what unfolds."""

from __future__ import annotations

from typing import Any

import charts
from markup import Markup, finite, number, percent, short, tag, text
from metrics import METRICS

CARDS = 11  # with more models, a table is easier to read
_OF_CLASSES = ("accuracy", "f1", "roc_auc", "log_loss")
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
        ("best", model.evaluation.get("best_model") and short(kind(model.evaluation["best_model"]), 18)),
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


def kind(name: str) -> str:
    return "ensemble" if name.startswith("WeightedEnsemble") else name
