"""The headline of a run with a model for each partition: counts, the worst models, and why some did not predict.

Post-process writes the headline to headline.json, for the mail, and into summary.json. `show` and others print
it instead of 10,000 lines; models.csv has a line for each model.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.found_models import OTHERS
from stepgluon.errors import counted
from stepgluon.figures import aligned
from stepgluon.runs.history import number

FILE = "headline.json"
COUNTS = ("models", "groups", "trained", "cached", "accepted", "rejected", "default", "open", "missing", "filled")
_LISTS = ("worst", "missing_models", "failed_groups")
WORST = 10  # models to print; the report has twice as many
GROUPS = 5


def checked(headline: Any) -> dict[str, Any] | None:
    """The headline; None if it is malformed, because the user may have changed postprocess.py."""
    if not isinstance(headline, dict) or any(type(headline.get(key)) is not int for key in COUNTS):
        return None
    if any(not isinstance(headline.get(key), list) for key in _LISTS):
        return None
    rows = all(isinstance(one, dict) and "name" in one for key in _LISTS[:2] for one in headline[key])
    return headline if rows else None


def words(headline: dict[str, Any]) -> list[str]:
    """For the terminal: about 40 lines at most."""
    column = str(headline.get("column") or "partition") + (OTHERS if headline.get("others") else "")
    lines = [
        f"  {counted(headline['models'], 'model')}, one for each {column}, in {counted(headline['groups'], 'group')}",
        f"  {headline['trained']:,} trained, {headline['cached']:,} cached; {headline['accepted']:,} accepted, "
        f"{headline['rejected']:,} rejected",
    ]
    more = {"default": "predicted by a promoted model", "anyway": "predicted by a rejected model: none is promoted"}
    more |= {"open": "left open: too few rows", "missing": "not predicted"}
    lines += [f"  {headline[key]:,} {said}" for key, said in more.items() if headline.get(key)]
    if groups := headline["failed_groups"]:
        rest = f" and {len(groups) - GROUPS} more" if len(groups) > GROUPS else ""
        lines.append(f"  {counted(len(groups), 'group')} failed: {', '.join(map(str, groups[:GROUPS]))}{rest}")
    if headline["missing_models"]:
        lines += ["", "Not predicted:", *_missing(headline)]
    if headline["worst"]:
        lines += ["", "The worst models:", *_worst(headline)]
    return lines


def _missing(headline: dict[str, Any]) -> list[str]:
    lines = [f"  {_named(one)}: {one.get('reason')}" for one in headline["missing_models"]]
    more = headline["missing"] - len(lines)
    return [*lines, f"  and {more:,} more (models.csv has all)"] if more > 0 else lines


def _worst(headline: dict[str, Any]) -> list[str]:
    metric = str(headline.get("metric") or "mae").replace("mae", "MAE")
    baseline = "of the median" if metric == "MAE" else "baseline"
    rows: list[tuple[str, ...]] = [("model", metric, baseline, "limit", "result")]
    for one in headline["worst"][:WORST]:
        scores = (number(one.get(key)) for key in ("score", "baseline", "limit"))
        rows.append((_named(one), *scores, str(one.get("verdict") or "-")))
    return aligned(rows, right=(1, 2, 3), indent="  ")


def _named(one: dict[str, Any]) -> str:
    """The name, and the partition's value if the name does not show it."""
    name, value = str(one["name"]), " ".join(str(one.get("value") or "").split())
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in value)
    return f"{name} ({shown})" if shown and shown != name else name


def compared(pair: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> list[tuple[str, str, str]]:
    """The counts of two runs, for `compare`."""
    said = {"models": "models", "trained": "trained", "cached": "cached", "accepted": "accepted"}
    said |= {"rejected": "rejected", "default": "with promoted", "open": "left open", "missing": "not predicted"}
    first, second = ({key: f"{one[key]:,}" for key in said} if one else {} for one in pair)
    return [(name, first.get(key, ""), second.get(key, "")) for key, name in said.items() if first or second]
