"""How much new values differ from a profile's shape (row_profile.py), and whether chance explains it.

Three measures, each of which is 0 for equal distributions, and about 0.2 for numbers whose mean has moved by 0.45
standard deviations:

    psi  population stability index of numbers, in at most 10 bins with about the same number of training rows; also of
         missing values, as two bins
    ks   the Kolmogorov-Smirnov distance of numbers: the largest difference of the two distribution functions at the
         profile's edges
    js   the Jensen-Shannon distance of categories, with base 2: 1 if the two have no value in common

Samples of one distribution differ, too. What PSI and the divergence behind JS have for that reason, (bins - 1) times
1 / rows of both sides, is subtracted. A difference counts only if it also is significant: chi-square, or Smirnov's
asymptotic distribution, at ALPHA divided by the number of tests. NumPy has neither, and SciPy is not in the image.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from row_profile import LEAST, TEXT, as_numbers, as_texts, in_bins

ALPHA = 0.01  # how often a check without drift may find some, all its tests together
PSI_BINS = 10
EXPECTED = 5.0  # rows of a category: chi-square needs them; rarer ones are one category
NAMED = 5  # new values
MEASURES = {"psi": "PSI", "ks": "KS", "js": "JS", "missing": "PSI of missing values"}
TESTS = 3  # of a column, at most

Counts = npt.NDArray[Any]


def compared(before: Mapping[str, Any], values: pa.ChunkedArray, limit: float, tests: int) -> dict[str, Any]:
    """The measures of one column, with `p` of each, its worst one as `measure` and `score`, and whether it `drifted`.

    `before` and `now` are the counts in the profile's bins, or of its `values` and, for None, the others; `middles` are
    the medians.
    """
    found: dict[str, Any] = {"type": before["type"]}
    if "values" in before:
        old, now, new_values = _categories(before, values)
        names = [*before["values"], None]
        found |= {"before": old.tolist(), "now": now.tolist(), "values": names, "new_values": new_values}
        measured = {"js": jensen_shannon(old, now)}
    else:
        numbers = as_numbers(values)
        known = numbers[np.isfinite(numbers)]
        old, now = np.array(before["counts"]), in_bins(known, before["edges"])
        middles = (
            [before["edges"][len(before["edges"]) // 2], float(np.median(known))] if len(old) > 1 < len(known) else []
        )
        found |= {"before": old.tolist(), "now": now.tolist(), "middles": middles}
        measured = {"psi": psi(*_merged(old, now)), "ks": kolmogorov_smirnov(old, now)}
    gaps = before["missing"], len(values) - int(now.sum())
    found["missing_before"], found["missing_now"] = (
        _share(missing, int(side.sum()) + missing) for missing, side in zip(gaps, (old, now), strict=True)
    )
    if not old.sum():  # training had no value, or the profile's sample: whatever comes now is new
        measured = {}
    measured["missing"] = psi(
        *(np.array([missing, side.sum()]) for missing, side in zip(gaps, (old, now), strict=True))
    )
    return found | verdict(measured, limit, tests)


def verdict(measured: Mapping[str, tuple[float, float]], limit: float, tests: int) -> dict[str, Any]:
    over = {name for name, (score, p) in measured.items() if score >= limit and p < ALPHA / tests}
    name = max(measured, key=lambda one: (one in over, measured[one][0]))
    return {
        **{each: round(score, 4) for each, (score, _) in measured.items()},
        "p": float(f"{measured[name][1]:.3g}"),
        "measure": name,
        "score": round(measured[name][0], 4),
        "drifted": bool(over),
    }


def psi(old: Counts, now: Counts) -> tuple[float, float]:
    """The index without its bias, and its p."""
    rows = _rows(old, now)
    if rows is None:
        return 0.0, 1.0
    one, other = ((side + 0.5) / (side.sum() + 0.5 * len(side)) for side in (old, now))  # an empty bin is not infinite
    index = float(((other - one) * np.log(other / one)).sum())
    return max(0.0, index - (len(old) - 1) * rows), chi_square(old, now)


def jensen_shannon(old: Counts, now: Counts) -> tuple[float, float]:
    """The distance without its bias, and its p. The last bin has the other values."""
    old, now = _without_rare(old, now)
    rows = _rows(old, now)
    if rows is None:
        return 0.0, 1.0
    one, other = old / old.sum(), now / now.sum()
    middle = (one + other) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log(side / middle), 0.0).sum() for side in (one, other)]
    divergence = max(0.0, float(sum(parts)) / 2 - (len(old) - 1) * rows / 8)
    return math.sqrt(divergence / math.log(2)), chi_square(old, now)


def kolmogorov_smirnov(old: Counts, now: Counts) -> tuple[float, float]:
    rows = _rows(old, now)
    if rows is None:
        return 0.0, 1.0
    distance = float(np.abs(np.cumsum(old) / old.sum() - np.cumsum(now) / now.sum()).max())
    scaled = distance**2 / rows
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * scaled) for k in range(1, 101)) if scaled > 0.04 else 1.0
    return distance, min(1.0, max(0.0, p))


def chi_square(old: Counts, now: Counts) -> float:
    """The probability that two samples of one distribution differ as much; with two bins, Yates's correction."""
    both = old + now
    seen = both > 0
    old, now, both = old[seen], now[seen], both[seen]
    if len(both) < 2:
        return 1.0
    expected = both * (now.sum() / both.sum())
    apart = np.abs(now - expected)
    if len(both) == 2:
        apart = np.maximum(0.0, apart - 0.5)
    share = old.sum() / both.sum()  # of the variance of a bin's rows; what is left of the total is the other sample's
    return upper_tail(float((apart**2 / (expected * share)).sum()), len(both) - 1)


def upper_tail(x: float, degrees: int) -> float:
    """Of chi-square, whose recurrence in the degrees of freedom ends at a closed form."""
    half, start = x / 2, 2 - degrees % 2
    found = math.exp(-half) if start == 2 else math.erfc(math.sqrt(half))
    if half > 0:
        for k in range(start, degrees, 2):
            found += math.exp(k / 2 * math.log(half) - half - math.lgamma(k / 2 + 1))
    return min(1.0, found)


def grown(before: Mapping[str, Any], losses: npt.NDArray[np.float64], limit: float, tests: int) -> dict[str, Any]:
    """The error of the new rows beside that of the held-out ones; it has drifted if it is larger by `limit` of it."""
    found = {"rows": len(losses), "before": before["loss"], "now": float(losses.mean())}
    if before["loss"] is None or before["rows"] < 2 or len(losses) < 2:
        return {**found, "score": 0.0, "p": 1.0, "drifted": False}
    # A model without any error on the held-out rows is not sure to make none: as if one more row had been wrong.
    usual = before["deviation"] or float(losses.max()) / math.sqrt(before["rows"] + 1)
    variance = usual**2 / before["rows"] + float(losses.var(ddof=1)) / len(losses)
    more = found["now"] - before["loss"]
    p = 0.5 * math.erfc(more / math.sqrt(2 * variance)) if variance else float(more <= 0)
    score = more / before["loss"] if before["loss"] else math.copysign(1.0, more) if more else 0.0
    return {**found, "score": round(score, 4), "p": float(f"{p:.3g}"), "drifted": score >= limit and p < ALPHA / tests}


def _rows(old: Counts, now: Counts) -> float | None:
    """1 / rows of both sides, summed; None if one has none, or if there is only one bin."""
    if len(old) < 2 or not old.sum() or not now.sum():
        return None
    return float(1 / old.sum() + 1 / now.sum())


def _merged(old: Counts, now: Counts) -> list[Counts]:
    """Neighbouring bins together, so that there are at most PSI_BINS."""
    together = -(-len(old) // PSI_BINS)
    starts = np.arange(0, len(old), together)
    return [np.add.reduceat(side, starts) for side in (old, now)]


def _without_rare(old: Counts, now: Counts) -> tuple[Counts, Counts]:
    """Rare values together with the others."""
    both = old + now
    often = both * min(old.sum(), now.sum()) / max(1, both.sum()) >= EXPECTED
    often[-1] = False
    old, now = (np.append(side[often], side[~often].sum()) for side in (old, now))
    return (old, now) if old[-1] + now[-1] else (old[:-1], now[:-1])


def _categories(before: Mapping[str, Any], values: pa.ChunkedArray) -> tuple[Counts, Counts, list[list[Any]]]:
    """The counts of the profile's values and of all others, before and now; and the most frequent others."""
    counts = Counter(
        {one["values"]: one["counts"] for one in pc.value_counts(as_texts(values).drop_null()).to_pylist()}
    )
    old = np.array([*before["values"].values(), before["others"]])
    now = [counts.pop(value, 0) for value in before["values"]]
    new_values = [[value, rows] for value, rows in counts.most_common(NAMED) if rows >= LEAST and len(value) <= TEXT]
    return old, np.array([*now, sum(counts.values())]), new_values


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
