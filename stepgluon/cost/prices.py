"""The price of an hour of each instance type, by region and kind of job.

prices.json has what AWS's public list said on the day that it names; `python pipeline.py prices` reads the list again.
A type that the file lacks has no price: it is never guessed.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stepgluon.advice import pipeline_py
from stepgluon.errors import SurroundingsError, listed

FILE = Path(__file__).with_name("prices.json")
# Public, without credentials: docs.aws.amazon.com/awsaccountbilling, "Using the AWS Price List Bulk API".
LIST = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/{}/index.csv"
ABOUT_LINES = 5  # before the column names: FormatVersion, Disclaimer, Publication Date, Version, OfferCode
KINDS = ("Training", "Processing", "Transform", "Hosting")  # the list's column Component
SECONDS = 60  # without a byte


@dataclass(frozen=True)
class Prices:
    region: str
    published: str  # the list's day; empty if it was never read for the region
    hours: dict[str, dict[str, float]]  # USD for an hour, by kind and instance type

    def of(self, kind: str, instance: str) -> float | None:
        return self.hours.get(kind, {}).get(instance)


def prices_of(region: str) -> Prices:
    known = dict(_stored().get(region, {}))
    return Prices(region, known.pop("published", ""), known)


def refresh(region: str) -> tuple[Prices, str]:
    """The region's prices of today's list, and the file's text with them."""
    url = LIST.format(region)
    place = urlsplit(url)
    if place.scheme != "https" and (place.scheme, place.hostname) != ("http", "127.0.0.1"):  # a test's server
        raise SurroundingsError(f"the price list can only be read over https ({url})")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # nosec B310 - the scheme was checked
            found = parsed(region, io.TextIOWrapper(answer, "utf-8"))
    except (OSError, http.client.HTTPException, UnicodeDecodeError, csv.Error) as problem:
        raise SurroundingsError(f"the price list cannot be read: {problem} ({url})") from None
    if not found.published or not found.hours:
        raise SurroundingsError(f"the price list of {region} has no prices in USD for SageMaker ({url})")
    stored = _stored() | {region: {"published": found.published, **found.hours}}
    return found, json.dumps(stored, indent=1, sort_keys=True) + "\n"


def parsed(region: str, lines: Iterable[str]) -> Prices:
    """AWS's list as CSV: the prices on demand of whole hours. Of two for the same type, the higher is kept."""
    lines = iter(lines)
    about = dict(row[:2] for row in csv.reader(islice(lines, ABOUT_LINES)) if len(row) > 1)
    hours: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(lines):
        kind, instance = row.get("Component"), row.get("Instance Name")
        if (row.get("TermType"), row.get("Unit"), row.get("Currency")) != ("OnDemand", "Hrs", "USD"):
            continue
        if kind in KINDS and instance and (price := _number(row.get("PricePerUnit"))):
            of_kind = hours.setdefault(kind, {})
            of_kind[instance] = max(price, of_kind.get(instance, 0.0))
    return Prices(region, about.get("Publication Date", "")[:10], hours)


def _number(text: str | None) -> float:
    try:
        return float(text or "0")
    except ValueError:
        return 0.0


def _stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


# Words


def usd(amount: float | None) -> str:
    """`1.38`, `0.0042`; two digits of less than a dollar."""
    if amount is None:
        return "no price"
    if amount >= 1 or amount == 0:
        return f"{amount:,.2f}"
    return "less than 0.0001" if amount < 0.0001 else f"{amount:.2g}"


def by_model(sums: dict[str, float]) -> str:
    """`adelie 0.46, gentoo 0.46, all models 0.23`; the sum of the jobs for all models has an empty name."""
    named = sorted(sums.items(), key=lambda each: not each[0])
    return ", ".join(f"{name or 'all models'} {usd(amount)}" for name, amount in named)


def unpriced(types: list[str], region: str) -> str:
    return f"no price for {listed(types, 'and')} in {region} (`{pipeline_py('prices')}` reads AWS's list)"
