"""The report's parts about files in place of tables: what each model's script measured, and what it answered."""

from __future__ import annotations

from typing import Any

from markup import Markup, finite, number, short, tag
from model_details import trials

MOST = 40  # metrics of a model


def parts(summary: dict[str, Any], evaluations: dict[str, dict[str, Any]]) -> list[Markup]:
    """Nothing for tables."""
    if summary.get("unit") != "file":
        return []
    found = [tag("h2", "Each model in detail")]
    for model in summary["models"]:
        evaluation = evaluations.get(model["name"], {})
        measured = dict(evaluation.get("metrics") or {})
        metrics = [(short(name), number(finite(value))) for name, value in list(measured.items())[:MOST]]
        answers = [(short(text), f"{count:,}") for text, count in model["answers"]]
        tables = [_table(*one) for one in (("metric", "value", metrics), ("answer", "files", answers)) if one[2]]
        counts = ", ".join(f"{model[f'rows_{part}']:,} to {part}" for part in ("train", "test", "predict"))
        found.append(
            tag(
                "div",
                tag("h3", model["name"]),
                tag("p", f"Files: {counts}."),
                tables,
                trials(evaluation),
                class_="panel",
            )
        )
    return found


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> Markup:
    head = tag("thead", tag("tr", tag("th", left), tag("th", right, class_="n")))
    return tag("table", head, tag("tbody", [tag("tr", tag("td", a), tag("td", b, class_="n")) for a, b in rows]))
