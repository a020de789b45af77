"""What `check` says of tables whose models a run would find in them, without writing a row."""

from __future__ import annotations

from typing import Any

import check
import partition_rows
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sandbox import Sandbox, config

from stepgluon.local.data_check import words


def checked(box: Sandbox, rows: dict[str, Any], column: str = "shop", per_job: int = 50, **given: Any) -> str:
    """What the command prints."""
    pq.write_table(pa.table(rows), box.raw / "a.parquet")
    own = {"column": column, "min_rows": 4, "otherwise": "leave_open", **given}
    box.configure({**config({"name": "shop"}), "partitioned": own, "fan_out": {"models_per_job": per_job}})
    return words(check.check(check.job_io.read_config(check.job_io.processing_input("config"))))


def test_it_sums_up_the_models(sandbox: Sandbox) -> None:
    rows = {"shop": ["a", "b"] * 50, "x": [n % 9 for n in range(100)], "y": [n or None for n in range(100)]}
    assert checked(sandbox, rows) == (
        "a.parquet: 100 rows\n\n"
        "2 models, one for each value of shop: 79 to train, 20 held out, 1 to predict\n\n"
        "A run can start: 100 rows, models for 1 of 1 gap.\n"
    )


SHOPS = ["a"] * 20 + ["b", "c"] * 2


@pytest.mark.parametrize(
    ("otherwise", "models", "said", "filled"),
    [
        ("leave_open", "3 models, one for each value of shop, 1 with enough", "no model predicts their 2 gaps.", 1),
        ("promoted", "3 models, one for each value of shop, 1 with enough", "only promoted models can predict", 1),
        ("shared", "2 models, one for each value of shop with enough rows, and one for the others, 1", "together", 1),
    ],
)
def test_it_says_what_becomes_of_small_partitions(
    sandbox: Sandbox, otherwise: str, models: str, said: str, filled: int
) -> None:
    labels = [None, *range(19), None, None, 1, 2]
    text = checked(sandbox, {"shop": SHOPS, "y": labels}, otherwise=otherwise)
    assert models in text
    assert f"\n2 partitions of 3 have fewer than 4 rows with a label ('b', 'c'); {said}" in text
    more = "; only promoted models can predict 2 of the others" if otherwise != "leave_open" else ""
    assert text.endswith(f"A run can start: 24 rows, models for {filled} of 3 gaps{more}.\n")


def test_a_shared_model_with_enough_rows_predicts_the_gaps_of_small_partitions(sandbox: Sandbox) -> None:
    rows = {"shop": [*SHOPS, "b", "c"], "y": [None, *range(23), None, None]}
    assert checked(sandbox, rows, otherwise="shared").endswith("A run can start: 26 rows, models for 3 of 3 gaps.\n")


def test_it_says_that_small_partitions_have_no_gaps(sandbox: Sandbox) -> None:
    text = checked(sandbox, {"shop": SHOPS, "y": range(24)}, otherwise="shared")
    assert "('b', 'c'); they have no gaps." in text
    assert "2 models, one for each value of shop with enough rows, and one for the others: " in text
    text = checked(sandbox, {"shop": ["a", "b", "c"], "y": range(3)}, otherwise="shared")
    assert "1 model for all values of shop, 0 with enough rows to be trained: " in text


def test_it_says_that_no_partition_has_enough_rows(sandbox: Sandbox) -> None:
    text = checked(sandbox, {"shop": ["a", "b"] * 3, "y": [1, 2, None] * 2})
    assert text.endswith("A run needs promoted models: with these rows, no model can be trained.\n")


def test_it_never_takes_the_partitions_for_an_identifier_of_rows(sandbox: Sandbox) -> None:
    text = checked(sandbox, {"shop": list(range(30)), "y": [1.5, 2.5, 4.0] * 10, "id": [f"n{n}" for n in range(30)]})
    assert "'id' is different in each row" in text and "'shop' is different" not in text


PROBLEMS = [
    ({"shop": [None] * 6, "y": [1, 2] * 3}, {}, "'shop' has no value in any row"),
    ({"shop": ["", " "] * 3, "y": [1, 2] * 3}, {}, "'shop' has no value in any row"),
    ({"shop": ["a", "b"] * 3, "y": [1, 2] * 3}, {"column": "shp"}, "does not|do not have; did you mean 'shop'?"),
    ({"shop": list(range(101)), "y": [1] * 101}, {}, "more than 100 different values in 101 rows"),
    ({"shop": ["Köln", "koln-430b4fc55e"] * 3, "y": [1, 2] * 3}, {}, "have the same name"),
]


@pytest.mark.parametrize(("rows", "given", "said"), PROBLEMS)
def test_it_refuses_what_prepare_would_refuse(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, rows: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(partition_rows, "MOST_PARTITIONS", 100)
    text = checked(sandbox, rows, **given)
    assert text.startswith("A run cannot start:\n")
    assert any(one in text for one in said.split("|"))


def test_it_refuses_more_groups_than_the_machine_has_children_for(sandbox: Sandbox) -> None:
    text = checked(sandbox, {"shop": list(range(1500)) * 2, "y": [1, 2, 3] * 1000}, per_job=1)
    assert "1,500 partitions in jobs of 1 models make more than 1,000 groups" in text
