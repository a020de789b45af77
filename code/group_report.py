"""report.html about thousands of models: counts, the distribution of errors, the worst models, and a table of all."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import charts
import group_page
import numpy as np
from group_results import Member
from group_summary import MODELS, baseline_of, limit_of, ratio_of, reason_of, score_of, worst
from markup import INVISIBLE, Markup, counted, number, percent, short, tag
from metrics import metric_of
from report import FOOTER, RUN, TIMELINE, data, document, figures_of, filled, header, without_model
from report_models import called

SHOWN = 20  # of the worst models, and of the reasons why some could not predict
NAMED = 5  # partitions in a sentence
WORDS = 300  # characters of a reason
ROW, FEW = 44, 12  # pixels of the table's row; fewer models need no pane to scroll
ACCEPTED, TOO_SMALL, OPEN, NO_GAPS, PROMOTED = "accepted", "too few rows", "left open", "no gaps", "promoted model"
RESULTS = (ACCEPTED, "rejected", "not trained", TOO_SMALL, "missing")
USES = ("own model", "own model, cached", PROMOTED, OPEN, NO_GAPS, "nothing")


def page(config: dict[str, Any], profile: dict[str, Any], summary: dict[str, Any], members: list[Member]) -> str:
    name, headline = str(config.get("name", "stepgluon")), filled(summary)
    template, column = config["models"][0], str(summary["partition_by"])
    guess = "always guessing the median" if metric_of(template) == "mae" else "the baseline"
    others = " with enough rows, and one for the others" if summary["headline"]["others"] else ""
    body = [
        header(name, headline, _lead(summary, profile)),
        _figures(summary, members, guess),
        RUN,
        tag("h2", "Models"),
        tag("p", f"One model for each {short(column)}{others}, measured on held-out rows, which it has not seen."),
        _failed_groups(summary["failed_groups"]),
        tag("div", _errors(members, guess), _outcomes(members), class_="pair panel"),
        _missing(members, column),
        _worst(members, template, column, guess),
        tag("h2", "All models"),
        tag("p", f"{MODELS}, next to this page, has a line for each model."),
        _table(members, template, column, guess),
        TIMELINE,
        data(profile),
        FOOTER,
    ]
    return document(f"{name}: {headline}", body, group_page.SCRIPT, group_page.STYLE)


def result_of(one: Member) -> str:
    if one.outcome == "failed":
        return "missing"
    if one.choice.get("verdict") == ACCEPTED:
        return ACCEPTED
    return TOO_SMALL if not one.is_trained else "not trained" if score_of(one) is None else "rejected"


def uses_of(one: Member) -> str:
    """What predicts."""
    if one.outcome == "failed":
        return "nothing"
    if one.outcome == NO_GAPS:
        return NO_GAPS
    own = "own model, cached" if one.choice.get("cached") is True else "own model"
    return {"trained": own, "default": PROMOTED}.get(str(one.choice.get("uses")), OPEN)


def _lead(summary: dict[str, Any], profile: dict[str, Any]) -> Markup:
    counts = summary["counts"]
    sentences = without_model(profile)
    if counts["open"]:
        sentences.append(f"The gaps of {counted(counts['open'], 'partition')} stay open.")
    if counts["missing"]:
        sentences.append(f"{counted(counts['missing'], 'model')} could not predict.")
    accepted = f"{counts['accepted']:,} of {counted(counts['models'], 'model')} accepted."
    return tag("p", tag("b", accepted), " ", " ".join(sentences), class_="lead")


def _figures(summary: dict[str, Any], members: list[Member], guess: str) -> Markup:
    counts, gaps = summary["counts"], summary["gaps"]
    ratios = [ratio for one in members if one.choice.get("uses") != "default" and (ratio := ratio_of(one)) is not None]
    figures = [
        ("Gaps filled", f"{summary['predictions']:,}", f"of {gaps:,}" if gaps is not None else ""),
        ("Models accepted", f"{counts['accepted']:,}", f"of {counts['models']:,}"),
        ("Trained in this run", f"{counts['trained']:,}", f"{counts['cached']:,} cached"),
    ]
    if ratios:
        middle = 1 - float(np.median(ratios))
        change = f"{percent(abs(middle), 1)} {'lower' if middle >= 0 else 'higher'}"
        figures.append(("Typical error", change, f"than {guess}"))
    return figures_of(figures)


def _failed_groups(groups: list[str]) -> Markup | None:
    return tag("p", f"{counted(len(groups), 'group')} failed: {_named(groups)}.", class_="note") if groups else None


def _named(values: list[str]) -> str:
    """The first names, and the number of others."""
    more = len(values) - NAMED
    return ", ".join(map(short, values[:NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _errors(members: list[Member], guess: str) -> Markup | None:
    ratios = [ratio for one in members if (ratio := ratio_of(one)) is not None]
    if not ratios:
        return None
    title = tag("h4", f"Error of {counted(len(ratios), 'model')}")
    return tag("div", title, charts.ratios(np.array(ratios), f"error relative to {guess}"))


def _outcomes(members: list[Member]) -> Markup:
    """How many models had which result, and what predicts."""
    parts = []
    for title, words, of in (("Result", RESULTS, result_of), ("What predicts", USES, uses_of)):
        counts = Counter(map(of, members))
        lines = [
            tag(
                "tr",
                tag("td", word),
                tag("td", _bar(counts[word], len(members))),
                tag("td", f"{counts[word]:,}", class_="n"),
            )
            for word in words
            if counts[word]
        ]
        parts.append([tag("h4", title), tag("table", tag("tbody", lines), class_="outcomes")])
    return tag("div", parts)


def _bar(count: int, whole: int) -> Markup:
    track = tag("rect", class_="lane", width=100, height=10)
    filled = tag("rect", class_="ran", width=f"{100 * count / whole:.2f}", height=10)
    return tag("svg", track, filled, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")


def _missing(members: list[Member], column: str) -> list[Markup]:
    missing = [one for one in members if one.outcome == "failed"]
    if not missing:
        return []
    by_reason: dict[str, list[Member]] = {}
    for one in missing:
        by_reason.setdefault(str(one.failure), []).append(one)
    reasons = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    rows = [
        tag("tr", tag("td", short(reason, WORDS)), _number(len(these)), tag("td", _named([one.value for one in these])))
        for reason, these in reasons[:SHOWN]
    ]
    heads = tag("tr", tag("th", "reason"), tag("th", "models", class_="n"), tag("th", short(column)))
    rest = len(reasons) - SHOWN
    more = tag("p", f"and {rest:,} more reasons; see {MODELS}", class_="said") if rest > 0 else None
    table = tag("div", tag("table", tag("thead", heads), tag("tbody", rows)), more, class_="panel")
    return [tag("h2", "Without predictions"), tag("p", f"{counted(len(missing), 'model')} could not predict."), table]


def _worst(members: list[Member], template: dict[str, Any], column: str, guess: str) -> list[Markup]:
    bad = worst(members)[:SHOWN]
    if not bad:
        return []
    heads = [(short(column), None), ("result", None), (called(metric_of(template)), "n")]
    heads += [("baseline", "n more"), (_share(guess), "n"), ("limit", "n more"), ("predicts", "more")]
    rows = [
        tag(
            "tr",
            tag("td", tag("b", short(one.value))),
            tag("td", _pill(result_of(one))),
            _number(score_of(one)),
            _number(baseline_of(one), "n more"),
            tag("td", "–" if (ratio := ratio_of(one)) is None else f"{number(round(100 * ratio, 1))} %", class_="n"),
            _number(limit_of(one), "n more"),
            tag("td", uses_of(one), class_="more"),
        )
        for one in bad
    ]
    head = tag("tr", [tag("th", name, class_=side) for name, side in heads])
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="worst")
    about = f"The largest errors, compared with {guess} for the same {short(column)}."
    return [tag("h2", f"The {counted(len(bad), 'worst model')}"), tag("p", about), tag("div", table, class_="panel")]


def _share(guess: str) -> str:
    """The header of the column with the error as a share of the baseline's."""
    return "of median" if "median" in guess else "of baseline"


def _number(value: Any, side: str = "n") -> Markup:
    return tag("td", f"{value:,}" if isinstance(value, int) else number(value), class_=side)


def _pill(result: str) -> Markup:
    return tag("span", result, class_="pill" if result == ACCEPTED else "pill bad")


def _table(members: list[Member], template: dict[str, Any], column: str, guess: str) -> list[Markup]:
    """The frame of the table; the script fills it from JSON."""
    heads = [("value", short(column), None), ("result", "result", None), ("score", called(metric_of(template)), "n")]
    heads += [("ratio", _share(guess), "n"), ("limit", "limit", "n more")]
    heads += [("rows", "rows", "n more"), ("filled", "filled", "n more"), ("uses", "predicts", "more")]
    head = tag(
        "tr", [tag("th", tag("button", words, type="button"), class_=side, data_key=key) for key, words, side in heads]
    )
    counts = Counter(map(result_of, members)) + Counter(map(uses_of, members))
    words = [*RESULTS, *USES]
    choices = [
        tag("option", f"{word} ({counts[word]:,})", value=place)
        for place, word in enumerate(words)
        if counts[word] and word != "nothing"
    ]
    tools = tag(
        "div",
        tag(
            "label", "Search", tag("input", type="search", placeholder=f"{short(column)} or reason", autocomplete="off")
        ),
        tag("label", "Show", tag("select", tag("option", "all models", value=""), choices)),
        tag("output", aria_live="polite"),
        class_="tools",
    )
    table = tag("table", tag("thead", head), tag("tbody"))
    few = f"height:{ROW * (len(members) + 1) + 1}px" if len(members) < FEW else None
    pane = tag(
        "div",
        table,
        class_="pane",
        style=few,
        tabindex=0,
        role="region",
        aria_label="All models; arrow keys select one",
    )
    said = tag("p", class_="chosen said", aria_live="polite")
    without = tag("noscript", tag("p", f"This table needs JavaScript. {MODELS} has the same content.", class_="note"))
    json_ = tag("script", Markup(_json(members, words)), type="application/json", id="models")
    return [tag("section", tools, pane, said, class_="panel all", hidden=""), without, json_]


def _json(members: list[Member], words: list[str]) -> str:
    """The models for the script, a list for each column; `<` and others are escaped, so no text ends the element."""
    reasons: dict[str, int] = {"": 0}
    ratios = [ratio_of(one) for one in members]
    found = {
        "words": words,
        "good": [RESULTS.index(ACCEPTED)],
        "value": [_visible(one.value) for one in members],
        "name": [one.name for one in members],
        "group": [one.group for one in members],
        "result": [words.index(result_of(one)) for one in members],
        "uses": [len(RESULTS) + USES.index(uses_of(one)) for one in members],
        "score": [score_of(one) for one in members],
        "ratio": [None if ratio is None else round(ratio, 3) for ratio in ratios],  # as the page shows it
        "limit": [limit_of(one) for one in members],
        "rows": [(one.entry.get("rows_train") or 0) + (one.entry.get("rows_test") or 0) for one in members],
        "filled": [one.rows for one in members],
        "reason": [
            reasons.setdefault(
                "" if result_of(one) == ACCEPTED else _visible(short(reason_of(one), WORDS)), len(reasons)
            )
            for one in members
        ],
    }
    text = json.dumps(found | {"reasons": list(reasons)}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _visible(text: str) -> str:
    return INVISIBLE.sub("\ufffd", text)
