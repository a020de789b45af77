"""Models found in the data: each value of a column gets the rows that a model with that `where` would get."""

from __future__ import annotations

import json
from typing import Any

import group_writer
import job_io
import model_parts
import numpy as np
import partition_rows
import partitions
import prepare
import prepared_groups
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sandbox import Sandbox, config


def partitioned(column: str = "shop", per_job: int = 3, *, template: Any = None, **given: Any) -> dict[str, Any]:
    return {
        **config({"name": "shop", **(template or {})}),
        "partitioned": {"column": column, "min_rows": 4, "otherwise": "leave_open", **given},
        "fan_out": {"models_per_job": per_job},
    }


def prepared(box: Sandbox, resolved: dict[str, Any]) -> dict[str, Any]:
    """Runs the job in this process and returns the profile."""
    box.configure(resolved)
    prepare.main()
    assert not (box.out / "spill").exists()
    profile: dict[str, Any] = json.loads((box.out / "profile.json").read_text())
    return profile


def refused(box: Sandbox, resolved: dict[str, Any]) -> str:
    with pytest.raises(job_io.JobError) as problem:
        prepared(box, resolved)
    assert box.written() == [], "a refused input leaves no output"
    return str(problem.value)


def in_groups(box: Sandbox) -> dict[str, dict[str, Any]]:
    """Each model's entry, with its rows in `rows` and their numbers; the files must fit together."""
    found = {}
    for item in json.loads((box.out / "groups.json").read_text()):
        folder = box.out / "groups" / item["group"]
        text = (folder / "group.json").read_text("utf-8")
        assert (box.out / "numbers" / f"{item['group']}.json").read_text("utf-8") == text
        group = json.loads(text)
        assert (group["group"], len(group["models"])) == (item["group"], item["models"])
        names = [model["name"] for model in group["models"]]
        assert names == sorted(names)
        assert json.loads((folder / "config.json").read_text())["models"][0]["name"] == "shop"
        files = {part: pq.ParquetFile(folder / f"{part}.parquet") for part in model_parts.PARTS}
        files["numbers"] = pq.ParquetFile(box.out / "numbers" / f"{item['group']}.parquet")
        for part in model_parts.PARTS:
            used = [each for model in group["models"] if (each := model["row_groups"][part]) is not None]
            assert used == list(range(files[part].num_row_groups)), "one row group per model, in their order"
        for model in group["models"]:
            places = {**model["row_groups"], "numbers": model["row_groups"]["predict"]}
            rows = {
                part: files[part].schema_arrow.empty_table() if place is None else files[part].read_row_group(place)
                for part, place in places.items()
            }
            assert {part: len(rows[part]) for part in model_parts.PARTS} == {
                part: model[f"rows_{part}"] for part in model_parts.PARTS
            }
            found[model["name"]] = {**model, "rows": rows}
    return found


def shops(rows: int, names: list[str], gap: int = 4) -> pa.Table:
    places = range(rows)
    return pa.table(
        {
            "shop": pa.array([names[n * 7919 // 13 % len(names)] for n in places], pa.string()),
            "x": pa.array([None if n % 7 == 0 else n / 8 for n in places], pa.float64()),
            "word": pa.array([None if n % 5 == 0 else "é" * (n % 4) for n in places], pa.string()),
            "day": pa.array(places, pa.int32()).cast(pa.date32()),
            "odd": pa.array([n % 2 == 1 for n in places]),
            "y": pa.array([None if n % gap == 0 else float(n % 9) for n in places], pa.float64()),
        }
    )


def put(box: Sandbox, rows: pa.Table) -> None:
    pq.write_table(rows, box.raw / "a.parquet")


@pytest.mark.parametrize("bucket", [prepared_groups.BUCKET_BYTES, 200])
@pytest.mark.parametrize("options", [{}, {"drop": ["word"], "metric": "rmse"}], ids=["all", "drop"])
def test_a_partition_has_the_rows_and_fingerprints_of_a_model_with_its_where(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, bucket: int, options: dict[str, Any]
) -> None:
    names = ["a", "B", "東京", "c c", "d", "e"]
    put(sandbox, shops(400, names))
    template = {"drop": [], **options}
    models = [{**template, "name": partitions.name_of(name), "where": {"shop": name}} for name in names]
    sandbox.configure(config(*models))
    prepare.main()
    before = {model["name"]: model for model in json.loads((sandbox.out / "profile.json").read_text())["models"]}
    parts = {"train": "models/{}/train", "test": "models/{}/test", "predict": "predict/{}", "numbers": "numbers/{}"}
    rows = {name: {part: sandbox.table(place.format(name)) for part, place in parts.items()} for name in sorted(before)}
    monkeypatch.setattr(prepared_groups, "BUCKET_BYTES", bucket)
    profile = prepared(sandbox, partitioned(template=template))
    found = in_groups(sandbox)
    assert found.keys() == before.keys()
    for name, model in found.items():
        assert model["rows"] == rows[name]
        assert model["train"] == before[name]["train_fingerprint"]
        assert model["predict"] == before[name]["predict_fingerprint"]
        assert {f"rows_{part}": before[name][f"rows_{part}"] for part in model_parts.PARTS}.items() <= model.items()
    summary = profile["models"]
    assert (summary["count"], summary["to_train"], summary["rows_predict"]) == (6, 6, 100)
    assert json.loads((sandbox.out / "fingerprints.json").read_text()) == {
        "gaps": 100,
        "partitioned": {"groups": summary["groups"], "models": 6, "to_train": 6, "small": 0},
    }


@pytest.mark.parametrize("per_job", [1, 7, 200])
def test_a_fingerprint_depends_neither_on_the_group_nor_on_other_partitions(sandbox: Sandbox, per_job: int) -> None:
    rows = shops(300, [f"s{n}" for n in range(20)])
    put(sandbox, rows)
    prepared(sandbox, partitioned(per_job=3))
    before = in_groups(sandbox)
    kept = rows.filter(pa.array([name not in ("s1", "s4") for name in rows["shop"].to_pylist()]))
    put(sandbox, kept)
    prepared(sandbox, partitioned(per_job=per_job))
    after = in_groups(sandbox)
    assert after and after.keys() == before.keys() - {"s1", "s4"}
    for name, model in after.items():
        assert (model["train"], model["predict"]) == (before[name]["train"], before[name]["predict"])


@settings(max_examples=100, deadline=None)
@given(start=st.integers(0, 10_000), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_rows_of_many_models_are_held_out_as_those_of_one(start: int, share: float, seed: int) -> None:
    ranks = np.arange(start, start + 200)
    expected = model_parts.held_out_places(start, 200, share, seed)
    assert model_parts.held_out_ranks(ranks[::-1], share, seed)[::-1].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2, 30], {"1", "2", "30"}),
        ([1.0, 2.5, None], {"1", partitions.name_of("2.5")}),
        (["2024-01-31", "2024-02-29"], {"2024-01-31", "2024-02-29"}),
        (["true", "false"], {"true", "false"}),
        (["007", "7"], {"007", "7"}),
        (["東京", "🍣", "Z" * 3000], {partitions.name_of(value) for value in ("東京", "🍣", "Z" * 3000)}),
        (["A", "a", " a"], {"a", partitions.name_of("A"), partitions.name_of(" a")}),
    ],
)
def test_values_of_every_type_make_models(sandbox: Sandbox, values: list[Any], names: set[str]) -> None:
    lines = "".join(f"{'' if value is None else value},{n}\n" for n in range(6) for value in values)
    sandbox.write("a.csv", "shop,y\n" + lines)
    prepared(sandbox, partitioned())
    found = in_groups(sandbox)
    assert found.keys() == names
    assert all(len(model["value"]) <= partition_rows.VALUE for model in found.values())


def test_rows_without_a_partition_are_counted_and_said(sandbox: Sandbox) -> None:
    put(sandbox, pa.table({"shop": ["a", None, "", "  ", "a"] * 6, "y": [1.0, None, 2.0, 3.0, 4.0] * 6}))
    profile = prepared(sandbox, partitioned())
    assert in_groups(sandbox)["a"]["rows_train"] == 9
    assert (profile["gaps"], profile["rows_no_model_selects"]) == (6, 18)
    assert "18 rows have an empty 'shop'; no model learns from or predicts them." in profile["assumed"]
    assert profile["open_gaps"] == [{"label": "y", "rows": 6, "where": {}}]


def test_values_that_differ_in_case_or_blanks_are_said(sandbox: Sandbox) -> None:
    put(sandbox, pa.table({"shop": ["ab", "Ab", " a b", "c", "d", "D"] * 8, "y": [1.0, 2.0, 3.0, 4.0] * 12}))
    assert (
        "Some values of 'shop' differ only in case or blanks, and get different models: ' a b' and 'Ab' and 'ab', "
        "'D' and 'd'."
    ) in prepared(sandbox, partitioned())["assumed"]


SMALL = {"leave_open": "no model predicts their 2 gaps", "promoted": "only promoted models can predict their 2 gaps"}


def with_small(box: Sandbox) -> None:
    """Two partitions with three rows with a label and a gap, and one with more."""
    rows = [(shop, n) for n in range(4) for shop in ("small", "Petit")] + [("large", n) for n in range(20)]
    put(box, pa.table({"shop": [s for s, _ in rows], "n": [n for _, n in rows], "y": [n or None for _, n in rows]}))


@pytest.mark.parametrize("otherwise", SMALL)
def test_a_partition_with_too_few_rows_is_not_trained(sandbox: Sandbox, otherwise: str) -> None:
    with_small(sandbox)
    promoted = {name: {"run": "r1"} for name in ("large", "small", "gone")}
    sandbox.put_json("processing/input/promoted/promoted-partitions.json", {"models": promoted})
    profile = prepared(sandbox, partitioned(min_rows=10, otherwise=otherwise))
    found = in_groups(sandbox)
    assert found["large"]["train"] and "reason" not in found["large"]
    assert found["small"]["train"] is None and found["small"]["rows_predict"] == 1
    assert found["small"]["reason"] == "3 rows with a label, fewer than min_rows: 10"
    kept = {name for name, model in found.items() if "promoted" in model}
    assert kept == ({"large", "small"} if otherwise == "promoted" else {"large"})
    few = {"count": 2, "otherwise": otherwise, "rows_predict": 2, "examples": ["small", "Petit"]}
    assert profile["models"]["small"] == few | {"promoted_only": otherwise == "promoted"}
    assert profile["models"]["vanished"] == {"count": 1, "examples": ["gone"]}
    said = f"2 partitions of 3 have fewer than 10 rows with a label ('small', 'Petit'); {SMALL[otherwise]}."
    assert said in profile["assumed"]
    assert "1 promoted model belongs to a partition without rows in these tables: gone." in profile["assumed"]


def test_partitions_with_too_few_rows_share_a_model(sandbox: Sandbox) -> None:
    with_small(sandbox)
    prepared(sandbox, partitioned(min_rows=10, otherwise="shared"))
    found = in_groups(sandbox)
    assert found.keys() == {"large", "others"}
    others = found["others"]
    numbers = [number for part in ("train", "test") for number in others["rows"][part]["stepgluon_row"].to_pylist()]
    assert sorted(numbers) == [2, 3, 4, 5, 6, 7]
    assert others["rows"]["numbers"]["stepgluon_row"].to_pylist() == [0, 1]
    assert others["rows"]["predict"]["shop"].to_pylist() == ["small", "Petit"]
    assert others["train"]


def test_a_shared_model_needs_rows_too(sandbox: Sandbox) -> None:
    rows = [("large", n) for n in range(20)] + [("b", None), ("b", 3), ("c", 4)]
    put(sandbox, pa.table({"shop": [s for s, _ in rows], "n": range(23), "y": [n for _, n in rows]}))
    profile = prepared(sandbox, partitioned(min_rows=10, otherwise="shared"))
    others = in_groups(sandbox)["others"]
    assert others["train"] is None
    assert others["reason"] == "2 rows with a label, and the model of all small partitions needs 4"
    assert (
        "2 partitions of 3 have fewer than 10 rows with a label ('b', 'c'); together, they have fewer than the "
        "4 that the model others needs, so only a promoted one can predict their 1 gap."
    ) in profile["assumed"]


def test_a_partition_called_others_is_not_the_shared_model(sandbox: Sandbox) -> None:
    rows = [("others", n) for n in range(20)] + [("b", 1), ("c", 2), ("d", 3), ("e", 4)]
    put(sandbox, pa.table({"shop": [s for s, _ in rows], "y": [float(n) for _, n in rows]}))
    prepared(sandbox, partitioned(otherwise="shared"))
    found = in_groups(sandbox)
    assert found.keys() == {"others", partitions.name_of("others")}
    assert found["others"]["rows_train"] + found["others"]["rows_test"] == 4


def test_a_giant_partition_is_said(sandbox: Sandbox) -> None:
    put(sandbox, pa.table({"shop": ["a"] * 80 + ["b"] * 10 + ["c"] * 10, "y": [float(n) for n in range(100)]}))
    said = "a has 80 of 100 rows; the jobs of its group take as long as its model."
    assert said in prepared(sandbox, partitioned())["assumed"]


def test_a_partition_with_more_text_than_an_array_holds_is_refused(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_writer, "TEXT_BYTES", 1000)
    put(sandbox, pa.table({"shop": ["a"] * 90, "word": ["long words"] * 90, "y": [float(n) for n in range(90)]}))
    said = "One partition has more than 2 GB of text in column 'word', too much for a model in a group"
    assert refused(sandbox, partitioned()).startswith(said)


def test_a_column_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    put(sandbox, pa.table({"shop": ["a"] * 8, "y": [1.0] * 8}))
    assert refused(sandbox, partitioned("Shopp")) == (
        "Model shop: partition_by names the column 'Shopp', which the tables do not have; did you mean 'shop'?"
    )


def test_an_empty_column_is_refused(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "shop,y\n" + ",1\n" * 8)
    assert refused(sandbox, partitioned()) == ("partition_by: 'shop' has no value in any row; choose another column.")


def test_too_many_partitions_are_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_rows, "MOST_PARTITIONS", 100)
    put(sandbox, pa.table({"shop": list(range(1000)), "y": [1.0, None] * 500}))
    assert refused(sandbox, partitioned()) == (
        "partition_by: 'shop' has more than 100 different values in 1,000 rows, and each would be a model; choose a "
        "column with fewer values."
    )


def test_too_many_groups_are_refused_before_anything_is_written(sandbox: Sandbox) -> None:
    put(sandbox, pa.table({"shop": list(range(1500)), "y": [1.0, None, 2.0] * 500}))
    assert "1,500 partitions in jobs of 1 models make more than 1,000 groups" in refused(
        sandbox, partitioned(per_job=1)
    )


def test_a_wrong_label_is_named_as_without_partitions(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "shop,y\n" + "a,1\n" * 5 + "a,many\n")
    said = refused(sandbox, partitioned())
    assert "a.csv: column 'y' is the label of model shop and must hold numbers, but 1 row holds text: row 6" in said


def test_a_value_of_another_type_further_on_begins_again(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raw_file.BLOCK", 256)
    sandbox.write("a.csv", "shop,y\n" + "".join(f"{n % 3},{n}\n" for n in range(300)) + "x,1\n" * 8)
    profile = prepared(sandbox, partitioned())
    found = in_groups(sandbox)
    assert found.keys() == {"0", "1", "2", "x"}
    assert (profile["models"]["rows_train"] + profile["models"]["rows_test"], found["1"]["value"]) == (308, "1")


def test_many_tables_and_batches_are_one_table(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shops(400, ["a", "B", "c c"])
    put(sandbox, rows)
    prepared(sandbox, partitioned())
    whole = in_groups(sandbox)
    (sandbox.raw / "a.parquet").unlink()
    monkeypatch.setattr("raw_tables.ROWS", 13)
    for number, start in enumerate(range(0, 400, 90)):
        pq.write_table(rows.slice(start, 90), sandbox.raw / f"{number}.parquet")
    prepared(sandbox, partitioned())
    assert in_groups(sandbox) == whole


def test_a_group_is_small_enough_for_the_state_machine(sandbox: Sandbox) -> None:
    values = [f"🍣{n:>080}" for n in range(400)]
    put(sandbox, pa.table({"shop": values * 5, "y": [float(n) for n in range(2000)]}))
    promoted = {partitions.name_of(value): {"key": "k" * 400, "image": "i" * 300} for value in values}
    sandbox.put_json("processing/input/promoted/promoted-partitions.json", {"models": promoted})
    prepared(sandbox, partitioned(per_job=200))
    found = in_groups(sandbox)
    assert len(found) == 400 and all("promoted" in model for model in found.values())
    sizes = [path.stat().st_size for path in (sandbox.out / "groups").glob("*/group.json")]
    assert len(sizes) > 2 and max(sizes) <= partitions.GROUP_BYTES + 100
    assert group_writer.compact({"é": 1}) == '{"é":1}'
