"""Small charts as inline SVG; colours come from the page's classes, so they work in light and dark, and in print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from markup import Markup, number, short, tag

Numbers = npt.NDArray[np.float64]

WIDE, HIGH = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 44
FEW = 500  # points that are drawn one by one; more are counted in cells
CELLS = 44  # along each axis
SHADES = 5
BINS = 41


def scatter(actual: Numbers, predicted: Numbers, label: str, axes: tuple[str, str] | None = None) -> Markup:
    """Predicted against actual values, or as `axes` says; on the line, both are the same."""
    across, up = axes or (f"actual {short(label, 30)}", "predicted")
    low, high = _span(np.concatenate([actual, predicted]))
    x, y = _scale(low, high, LEFT, WIDE - RIGHT), _scale(low, high, HIGH - BOTTOM, TOP)
    ends = {"x1": _n(x(low)), "y1": _n(y(low)), "x2": _n(x(high)), "y2": _n(y(high))}
    marks = _dots(x(actual), y(predicted)) if len(actual) <= FEW else _cells(actual, predicted, low, high)
    return _chart(
        f"{up} against {across}".capitalize() if axes else f"Predicted against actual {label}",
        [
            _axes(low, high, low, high, x, y, across, up),
            marks,
            tag("line", class_="same", **ends),
        ],
    )


def _dots(x: Numbers, y: Numbers) -> Markup:
    """All points as one path of dots: zero-length lines with round ends."""
    return tag("path", class_="dots", d="".join(f"M{_n(a)} {_n(b)}h0" for a, b in zip(x, y, strict=True)))


def _cells(actual: Numbers, predicted: Numbers, low: float, high: float) -> list[Markup]:
    counts, _, _ = np.histogram2d(actual, predicted, CELLS, ((low, high), (low, high)))
    width, height = (WIDE - LEFT - RIGHT) / CELLS, (HIGH - TOP - BOTTOM) / CELLS
    cell = f"h{_n(width)}v{_n(height)}h-{_n(width)}z"
    shade = np.ceil(SHADES * np.log1p(counts) / max(np.log1p(counts.max()), 1e-9)).astype(int)
    marks = []
    for level in range(1, SHADES + 1):
        path = "".join(
            f"M{_n(LEFT + column * width)} {_n(HIGH - BOTTOM - (row + 1) * height)}{cell}"
            for column, row in np.argwhere(shade == level)
        )
        if path:
            marks.append(tag("path", class_="cells", d=path, fill_opacity=_n(level / SHADES)))
    return marks


def residuals(errors: Numbers, label: str) -> Markup:
    """A histogram of the errors; the farthest few are counted in the outermost bars."""
    bins = int(min(BINS, max(7, 2 * len(errors) ** 0.5))) | 1  # odd, so that one is around zero
    reach = float(np.quantile(np.abs(errors), 0.99)) or float(np.abs(errors).max()) or 1.0
    counts, edges = np.histogram(np.clip(errors, -reach, reach), bins, (-reach, reach))
    x, y = _scale(-reach, reach, LEFT, WIDE - RIGHT), _scale(0, max(int(counts.max()), 1), HIGH - BOTTOM, TOP)
    zero = tag("line", class_="same", x1=_n(x(0)), x2=_n(x(0)), y1=TOP, y2=HIGH - BOTTOM)
    axes = _axes(-reach, reach, 0, max(int(counts.max()), 1), x, y, "predicted − actual", "rows")
    return _chart(f"Errors of the predicted {label}", [axes, _bars(counts, edges, x, y), zero])


def _bars(counts: npt.NDArray[np.int64], edges: Numbers, x: Any, y: Any) -> list[Markup]:
    return [
        tag(
            "rect",
            class_="bar",
            x=_n(x(start) + 0.5),
            y=_n(y(count)),
            width=_n(x(end) - x(start) - 1),
            height=_n(y(0) - y(count)),
        )
        for count, (start, end) in zip(counts, pairwise(edges), strict=True)
        if count
    ]


def ratios(values: Numbers, across: str) -> Markup:
    """A histogram of errors relative to the baseline's, with a line at 1; the last bar has all that are above 2."""
    counts, edges = np.histogram(np.clip(values, 0, 2), 20, (0, 2))
    x, y = _scale(0, 2, LEFT, WIDE - RIGHT), _scale(0, max(int(counts.max()), 1), HIGH - BOTTOM, TOP)
    line = tag("line", class_="same", x1=_n(x(1)), x2=_n(x(1)), y1=TOP, y2=HIGH - BOTTOM)
    axes = _axes(0, 2, 0, max(int(counts.max()), 1), x, y, across, "models")
    return _chart("Errors of the models", [axes, _bars(counts, edges, x, y), line])


def importance(columns: Sequence[dict[str, Any]]) -> Markup:
    """How much the error grows without a column, with a line of one standard deviation on both sides."""
    row, left, wide = 24, 128, 380
    ends = [abs(each["importance"]) + (each["stddev"] or 0) for each in columns]
    x = _scale(min(0.0, *(each["importance"] for each in columns)), max(*ends, 1e-12), left, wide - 56)
    parts = []
    for place, each in enumerate(columns):
        value, spread, middle = each["importance"], each["stddev"] or 0.0, place * row + row / 2
        start, end = sorted((x(0), x(value)))
        low, high = max(left, x(value - spread)), x(value + spread)
        parts += [
            tag(
                "text",
                short(each["column"], 18),
                tag("title", each["column"]),
                class_="name",
                x=left - 8,
                y=_n(middle + 4),
            ),
            tag("rect", class_="bar", x=_n(start), y=_n(middle - 6), width=_n(max(end - start, 1)), height=12, rx=2),
            tag("line", class_="spread", x1=_n(low), x2=_n(high), y1=_n(middle), y2=_n(middle)) if spread else None,
            tag("text", number(value), class_="value", x=_n(max(high, end) + 6), y=_n(middle + 4)),
        ]
    return _chart("Importance of the columns", parts, wide, max(1, len(columns)) * row)


def bullet(
    error: float, threshold: float | None, median: float | None, promoted: float | None = None, good: bool = True
) -> Markup:
    """The error as a bar; marks for the limit, for always guessing the median, and for the promoted model."""
    whole = max(1e-300, *(value for value in (error, threshold, median, promoted) if value is not None)) * 1.06
    marks = [("limit", threshold), ("median", median), ("promoted", promoted)]
    return tag(
        "svg",
        tag("rect", class_="track", width=100, height=10),
        tag("rect", class_="bar" if good else "bar bad", width=_n(100 * error / whole), height=10),
        [
            tag("line", class_=kind, x1=_n(100 * value / whole), x2=_n(100 * value / whole), y1=-3, y2=13)
            for kind, value in marks
            if value is not None
        ],
        class_="bullet",
        viewBox="0 -3 100 16",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def columns_histogram(known: Sequence[int], predict: Sequence[int]) -> Markup:
    """The share of rows in each bin: bars for the known rows, a line for those to predict."""
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in (known, predict)]
    most = max(*shares[0], *shares[1], 1e-12)
    width = 160 / len(known)
    bars = [
        tag(
            "rect",
            class_="bar",
            x=_n(place * width + 0.5),
            y=_n(32 - 30 * share / most),
            width=_n(width - 1),
            height=_n(30 * share / most),
        )
        for place, share in enumerate(shares[0])
        if share
    ]
    steps = "".join(
        f"H{_n(n * width)}V{_n(32 - 30 * share / most)}H{_n((n + 1) * width)}" for n, share in enumerate(shares[1])
    )
    line = tag("path", class_="asked", d=f"M0 32{steps}V32") if sum(predict) else None
    return _chart("Histogram", [bars, line], 160, 34)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About this many round numbers from low to high."""
    raw = (high - low) / count
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _axes(low: float, high: float, bottom: float, top: float, x: Any, y: Any, across: str, up: str) -> list[Markup]:
    floor, middle = HIGH - BOTTOM, (TOP + HIGH - BOTTOM) / 2
    lines = [
        [
            tag("line", class_="grid", x1=LEFT, x2=WIDE - RIGHT, y1=_n(y(value)), y2=_n(y(value))),
            tag("text", number(value), class_="up", x=LEFT - 8, y=_n(y(value) + 4)),
        ]
        for value in ticks(bottom, top)
    ]
    lines += [
        [tag("text", number(value), class_="across", x=_n(x(value)), y=floor + 18)] for value in ticks(low, high, 4)
    ]
    return [
        *(part for line in lines for part in line),
        tag("text", across, class_="title", x=(LEFT + WIDE - RIGHT) / 2, y=HIGH - 6),
        tag("text", up, class_="title", transform=f"translate(10 {_n(middle)}) rotate(-90)"),
    ]


def _span(values: Numbers) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = (high - low) * 0.03 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _scale(low: float, high: float, start: float, end: float) -> Any:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _chart(name: str, content: Any, wide: int = WIDE, high: int = HIGH) -> Markup:
    return tag("svg", content, class_="chart", viewBox=f"0 0 {wide} {high}", role="img", aria_label=name)
