"""Each kind of column as numbers, and what does not change them: batches, order of equals, the way through a file."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import encoding
import job_io
import numpy as np
import pyarrow as pa
import pytest
from encoding import Encoding, Learner
from hypothesis import given, settings
from hypothesis import strategies as st


def learnt(rows: pa.Table | dict[str, Any], label: str = "y", batch: int = 1000) -> Encoding:
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    learner = Learner(table.schema, label)
    for start in range(0, len(table), batch):
        learner.add(table.slice(start, batch))
    return learner.encoding()


def numbers(values: Any, kind: pa.DataType | None = None, known: Any = None) -> list[float | None]:
    """One column encoded as training rows like `known` have it, or as it has it itself; None for missing."""
    column = pa.array(values, kind)
    made = learnt({"x": column if known is None else pa.array(known, kind)})
    found = made.matrix(pa.record_batch({"x": column}))[:, 0]
    return [None if math.isnan(value) else float(value) for value in found]


def test_numbers_stay_and_infinite_ones_are_missing() -> None:
    assert numbers([1.5, None, -2.0, math.inf, 1e300]) == [1.5, None, -2.0, None, None]
    assert numbers([3, None, 7]) == [3, None, 7]
    assert numbers([True, False, None]) == [1, 0, None]


def test_texts_are_numbered_by_how_frequent_they_are_and_equals_by_their_bytes() -> None:
    known = ["north", "south", "south", "é", "east", None]
    assert numbers(["south", "east", "north", "é", None, "west"], known=known) == [0, 1, 2, 3, None, None]


def test_days_and_seconds_count_from_the_first_training_row_and_keep_every_second() -> None:
    first = datetime.date(2026, 3, 1)
    assert numbers([first, None, datetime.date(2026, 2, 27)], known=[datetime.date(2026, 3, 8), first]) == [0, None, -2]
    moment = datetime.datetime(2026, 3, 1, 12)
    seconds = [moment + datetime.timedelta(seconds=n) for n in (0, 1, 2, 86_401)]
    for kind in (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        assert numbers(seconds, kind) == [0, 1, 2, 86_401]


def test_a_column_of_dates_may_come_as_moments_and_numbers_in_any_type() -> None:
    made = learnt({"d": [datetime.date(2026, 3, 1)], "n": [1.0]})
    rows = pa.record_batch({"d": [datetime.datetime(2026, 3, 2, 12)], "n": [True]})
    assert made.matrix(rows).tolist() == [[1.5, 1.0]]


def test_label_row_numbers_and_columns_without_a_value_are_no_features() -> None:
    rows = {
        "stepgluon_row": [0, 1],
        "y": [1.0, 2.0],
        "empty": pa.array([None, None], pa.float64()),
        "never": [math.inf, None],
        "notes": pa.array([None, None], pa.string()),
        "a": [1, None],
    }
    assert learnt(rows).types() == {"a": "int64"}


def test_too_many_texts_share_a_number_with_unseen_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MOST", 2)
    known = ["c", "c", "c", "b", "b", "a", "d"]
    assert numbers(["c", "b", "a", "d", "never seen", None], known=known) == [0, 1, 2, 2, 2, None]


def test_a_long_text_is_no_category() -> None:
    long = "x" * 300
    assert numbers(["a", long, "b" * 256, None], known=["a", "a", long, long, long, "b" * 256]) == [0, 2, 1, None]


def test_a_frequent_text_survives_any_number_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 100)
    monkeypatch.setattr(encoding, "CANDIDATES", 50)
    monkeypatch.setattr(encoding, "MOST", 5)
    texts = [f"id {n}" if n % 10 else "often" for n in range(5000)]
    (feature,) = learnt({"x": texts}, batch=77).features
    assert feature.texts is not None and feature.others
    assert (feature.texts[0].as_py(), len(feature.texts)) == ("often", 5)


def test_the_counted_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 100)
    monkeypatch.setattr(encoding, "CANDIDATES", 50)
    learner = Learner(pa.schema([("x", pa.string())]), "y")
    for start in range(0, 10_000, 50):
        learner.add(pa.table({"x": [str(n) for n in range(start, start + 50)]}))
        (column,) = learner._columns
        assert isinstance(column, encoding._Texts) and len(column._counts) <= 150
    assert column._counts.nbytes < 10_000


TEXTS = st.lists(st.none() | st.sampled_from("abcdefgh"), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, one=st.integers(1, 60), other=st.integers(1, 60))
def test_batches_do_not_matter(texts: list[str | None], one: int, other: int) -> None:
    rows = pa.table({"x": pa.array(texts, pa.string()), "n": list(range(len(texts)))})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BLOCK": 10, "CANDIDATES": 3, "MOST": 2}.items():
            patch.setattr(encoding, name, value)
        first, second = learnt(rows, batch=one), learnt(rows, batch=other)
    assert [feature.json() for feature in first.features] == [feature.json() for feature in second.features]


def test_the_file_gives_the_same_numbers_and_the_same_bytes(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": [1, None, 3],
            "t": ["a", "é\n", None],
            "d": pa.array([1, None, 5], pa.date32()),
            "m": pa.array([10, 20, None], pa.timestamp("s", "UTC")),
            "b": [True, None, False],
        }
    )
    made = learnt(table)
    made.save(tmp_path / "one.json")
    read = encoding.load(tmp_path / "one.json")
    read.save(tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert np.array_equal(made.matrix(table), read.matrix(table), equal_nan=True)
    assert read.types() == made.types() == {field.name: str(field.type) for field in table.schema}


@pytest.mark.parametrize("content", ['{"format": 0, "features": []}', "[]", "{"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "encoding.json").write_text(content)
    with pytest.raises(job_io.RetryableError, match=r"encoding\.json"):
        encoding.load(tmp_path / "encoding.json")


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    learnt({"b": ["x", "x", "y"], "a": [1, 2, 3]}).save(tmp_path / "encoding.json")
    assert json.loads((tmp_path / "encoding.json").read_text())["features"] == [
        {"name": "b", "type": "string", "texts": ["x", "y"], "others": False},
        {"name": "a", "type": "int64"},
    ]
