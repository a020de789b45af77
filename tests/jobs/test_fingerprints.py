"""The same rows and settings give the same fingerprint, whatever else a run has; any difference gives another."""

from __future__ import annotations

import datetime
import json
from typing import Any

import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fingerprints import RowSum
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sandbox import Sandbox, config


def summed(*pieces: pa.Table) -> dict[str, Any]:
    total = RowSum(pieces[0].schema)
    for piece in pieces:
        total.add(piece)
    return total.digest()


def column(values: Any, kind: pa.DataType | None = None) -> dict[str, Any]:
    return summed(pa.table({"x": pa.array(values, kind)}))


# Sums of rows

DATE, MOMENT = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30)
KINDS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.datetimes(),
}


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(0, 40))
def test_the_sum_is_the_same_however_the_rows_come(data: st.DataObject, count: int) -> None:
    values = {
        f"c{n}": pa.array(data.draw(st.lists(st.none() | cells, min_size=count, max_size=count)), kind)
        for n, (kind, cells) in enumerate(KINDS.items())
    }
    table = pa.table(values)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=5)))
    pieces = [table.slice(start, stop - start) for start, stop in zip([0, *cuts], [*cuts, count], strict=True)]
    assert summed(*pieces) == summed(pa.concat_tables(pieces)) == summed(table)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ([1, 0], [1, None]),
        ([None, 0], [0, None]),
        ([1], [1.0]),
        ([1], [1, 1]),
        ([0.1], [0.1 + 2**-55]),
        ([True, False], [True, None]),
        ([True], [1]),
        (["ab", "c"], ["a", "bc"]),
        (["", None], [None, ""]),
        (["a", ""], ["a"]),
        ([DATE], [DATE + datetime.timedelta(days=1)]),
        ([MOMENT], [MOMENT + datetime.timedelta(microseconds=1)]),
    ],
)
def test_any_difference_gives_another_sum(one: list[Any], other: list[Any]) -> None:
    assert column(one) != column(other)


def test_names_and_the_order_of_columns_count_and_the_numbers_of_rows_do_not() -> None:
    table = pa.table({"a": [1], "b": [1]})
    assert summed(table) != summed(table.rename_columns(["a", "c"]))
    assert summed(table) != summed(table.select(["b", "a"]))
    assert summed(table) == summed(table.append_column("stepgluon_row", [[7]]))


def test_zero_has_no_sign() -> None:
    assert column([0.0]) == column([-0.0])


def test_what_is_in_memory_below_a_missing_value_makes_no_difference() -> None:
    numbers, texts = pa.array([1, 2, 3]), pa.array(["a", "bc", "d"])
    present = pa.array([True, False, True]).buffers()[1]
    hidden = [pa.Array.from_buffers(each.type, 3, [present, *each.buffers()[1:]]) for each in (numbers, texts)]
    assert column(hidden[0]) == column([1, None, 3])
    assert column(hidden[1]) == column(["a", None, "d"])


# Fingerprints of models

MODELS = [{"name": name, "where": {"k": name}} for name in ("a", "b")]
OF_A = [("a", n, "" if n % 3 == 0 else n) for n in range(12)]
OF_B = [("b", n * 7, "" if n % 2 == 0 else n) for n in range(8)]


def csv(rows: list[tuple[Any, ...]]) -> str:
    return "k,x,y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def fingerprints(box: Sandbox, files: dict[str, str], *models: dict[str, Any], **data: Any) -> dict[str, Any]:
    """What the profile says of each model's fingerprints and files, when these are the tables."""
    for path in box.raw.iterdir():
        path.unlink()
    for name, content in files.items():
        box.write(name, content)
    box.configure(config(*(models or MODELS), **data))
    prepare.main()
    profile = json.loads((box.out / "profile.json").read_text())
    return {
        model["name"]: tuple(model[f"{job}_fingerprint"] for job in ("train", "predict")) for model in profile["models"]
    }


def test_where_the_rows_of_a_model_stand_and_what_others_have_makes_no_difference(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprints(sandbox, {"a.csv": csv(OF_A + OF_B)})
    assert len({print for pair in first.values() for print in pair}) == 4
    assert all(len(print) == 64 and int(print, 16) for pair in first.values() for print in pair)
    mixed = [row for pair in zip(OF_A, OF_B + OF_B, strict=False) for row in reversed(pair)]
    assert fingerprints(sandbox, {"a.csv": csv(OF_B + OF_A)}) == first
    assert fingerprints(sandbox, {"a.csv": csv(OF_A[:5]), "b.csv": csv(OF_A[5:] + OF_B)}) == first
    assert fingerprints(sandbox, {"a.csv": csv(mixed)})["a"] == first["a"]
    monkeypatch.setattr("raw_file.BLOCK", 32)
    monkeypatch.setattr("prepared_folders.WAITING_BYTES", 64)
    assert fingerprints(sandbox, {"a.csv": csv(OF_A + OF_B)}) == first


def test_a_changed_row_changes_the_fingerprint_of_its_model_and_part_alone(sandbox: Sandbox) -> None:
    first = fingerprints(sandbox, {"a.csv": csv(OF_A + OF_B)})
    labelled = [(k, x + 100 if x == 1 else x, y) for k, x, y in OF_A]
    found = fingerprints(sandbox, {"a.csv": csv(labelled + OF_B)})
    assert found["a"][0] != first["a"][0]
    assert (found["a"][1], found["b"]) == (first["a"][1], first["b"])
    open_rows = [(k, x + 100 if x == 3 else x, y) for k, x, y in OF_A]
    found = fingerprints(sandbox, {"a.csv": csv(open_rows + OF_B)})
    assert found["a"][1] != first["a"][1]
    assert (found["a"][0], found["b"]) == (first["a"][0], first["b"])


@pytest.mark.parametrize(
    ("train", "changes"),
    [
        ({"presets": "best_quality"}, True),
        ({"time_limit": 21}, True),
        ({"environment": {"A": "1"}}, True),
        ({"instance": {"type": "ml.m5.large", "count": 1, "volume_gb": 30}}, True),
        ({"spot": True}, False),
        ({"max_runtime": 7200}, False),
        ({"a_setting_of_tomorrow": 1}, True),
    ],
)
def test_settings_that_may_change_the_model_change_its_fingerprint(
    sandbox: Sandbox, train: dict[str, Any], changes: bool
) -> None:
    files = {"a.csv": csv(OF_A)}
    usual: dict[str, Any] = {"presets": "medium_quality", "time_limit": 20, "environment": {}}
    usual |= {"spot": False, "max_runtime": 3600, "instance": {"type": "ml.m5.xlarge", "count": 1, "volume_gb": 30}}
    one, other = (fingerprints(sandbox, files, {"train": chosen}) for chosen in (usual, usual | train))
    assert (one["all"][0] != other["all"][0]) is changes
    assert one["all"][1] == other["all"][1]


@pytest.mark.parametrize(
    ("model", "changes"),
    [({"threshold": 9}, False), ({"default_model": "s3://b/m/"}, False), ({"metric": "rmse"}, True)],
)
def test_a_new_key_of_a_model_counts_until_it_is_listed_as_harmless(
    sandbox: Sandbox, model: dict[str, Any], changes: bool
) -> None:
    one, other = (fingerprints(sandbox, {"a.csv": csv(OF_A)}, chosen) for chosen in ({}, model))
    assert (one["all"][0] != other["all"][0]) is changes


def test_another_split_is_another_training_of_the_same_rows(sandbox: Sandbox) -> None:
    files = {"a.csv": csv(OF_A)}
    one, other = (fingerprints(sandbox, files, {}, test_fraction=share) for share in (0.2, 0.4))
    assert one["all"][0] != other["all"][0]
    assert one["all"][1] == other["all"][1]


# Files of rows to predict: predictions are found by their place in a file, so the files must be the same too


def contents(box: Sandbox, model: str) -> dict[str, list[Any]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((box.out / "predict" / model).iterdir())}


@pytest.mark.parametrize("limit", ["FILE_ROWS", "FILE_BYTES"])
def test_the_same_rows_are_in_the_same_files_however_they_come(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    rows = [("a", "t" * (n % 5), "") for n in range(50)]
    monkeypatch.setattr(f"part_files.{limit}", {"FILE_ROWS": 7, "FILE_BYTES": 250}[limit])
    first = fingerprints(sandbox, {"a.csv": csv([*rows, ("b", "t", "1"), ("b", "t", "")])})
    files = contents(sandbox, "a")
    assert len(files) > 3
    assert [row["x"] for file in files.values() for row in file] == [x or None for _, x, _ in rows]
    monkeypatch.setattr("raw_file.BLOCK", 40)
    monkeypatch.setattr("part_files.GROUP_ROWS", 3)
    monkeypatch.setattr("prepared_folders.WAITING_BYTES", 64)
    mixed = [row for each in rows for row in (each, ("b", "t" * 9, "1"))]
    assert fingerprints(sandbox, {"a.csv": csv(mixed)})["a"][1] == first["a"][1]
    assert contents(sandbox, "a") == files


def test_more_instances_cut_the_rows_into_other_files_and_so_are_another_prediction(sandbox: Sandbox) -> None:
    first = fingerprints(sandbox, {"a.csv": csv(OF_A)}, {})
    sandbox.configure(config(instances=2))
    prepare.main()
    profile = json.loads((sandbox.out / "profile.json").read_text())["models"][0]
    assert profile["train_fingerprint"] == first["all"][0]
    assert profile["predict_fingerprint"] != first["all"][1]
