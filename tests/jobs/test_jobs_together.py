from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import postprocess
import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_sandbox import CODE, DEMO, Sandbox, config


def hand_over(prepared: Sandbox, box: Sandbox, verdicts: list[dict[str, Any]]) -> None:
    """Lays out the inputs of post-process, but for the predictions."""
    box.put_folder(prepared.out / "rows", "processing/input/rows")
    box.put_folder(prepared.out / "numbers", "processing/input/numbers")
    box.put_json("processing/input/profile/profile.json", json.loads((prepared.out / "profile.json").read_text()))
    box.put_json("processing/input/verdicts/verdicts.json", verdicts)


def verdict(name: str, mae: float | None = 1.0) -> dict[str, Any]:
    return {"name": name, "mae": mae, "threshold": 350, "verdict": "accepted", "reason": None, "uses": "trained"} | {
        "model_uri": f"s3://bucket/models/{name}/"
    }


# Any table, any partition: the same rows in the same order with the same other columns come out

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=6).filter(
        lambda name: bool(name.strip()) and name not in ("kind", "y", "stepgluon_row")
    ),
    max_size=3,
    unique=True,
)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, list[Any]]]:
    """Files of one header: a kind to tell models apart, a label with gaps, and any other columns."""
    names = draw(NAMES)
    columns = {name: draw(st.sampled_from(["text", "number", "whole", "flag"])) for name in names}
    cells = {
        "text": st.one_of(st.none(), TEXTS.filter(bool)),
        "number": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        "whole": st.one_of(st.none(), st.integers(-(2**62), 2**62)),
        "flag": st.one_of(st.none(), st.booleans()),
    }
    files = []
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 12))
        file = {"kind": draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))}
        for name, kind in columns.items():
            file[name] = draw(st.lists(cells[kind], min_size=count, max_size=count))
        file["y"] = draw(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=count, max_size=count))
        files.append(file)
    return files


def schema_of(files: list[dict[str, list[Any]]]) -> pa.Schema:
    whole = {name: [value for file in files for value in file[name]] for name in files[0]}
    kinds = {name: pa.array(values).type for name, values in whole.items()}
    kinds["y"] = pa.float64()
    return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in kinds.items()])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=tables(), form=st.sampled_from(["parquet", "jsonl"]), instances=st.integers(1, 3))
def test_rows_come_back_as_they_went_in(files: list[dict[str, list[Any]]], form: str, instances: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        box, later = Sandbox(Path(folder) / "one"), Sandbox(Path(folder) / "two")
        schema = schema_of(files)
        for number, file in enumerate(files):
            if form == "parquet":
                pq.write_table(pa.table(file, schema), box.raw / f"{number}.parquet")
            else:
                rows = [dict(zip(file, cells, strict=True)) for cells in zip(*file.values(), strict=True)]
                box.write(f"{number}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        chosen = config(*({"name": kind, "where": {"kind": kind}} for kind in "ab"), instances=instances)
        for each in (box, later):
            each.configure(chosen)
        whole = {name: [value for file in files for value in file[name]] for name in files[0]}
        if not {"a", "b"} & set(whole["kind"]):
            return
        patch.setenv("STEPGLUON_ROOT", str(box.root))
        prepare.main()
        hand_over(box, later, [verdict("a"), verdict("b")])
        for model in "ab":
            for path in (box.out / f"predict/{model}").iterdir():
                numbers = pq.read_table(box.out / f"numbers/{model}/{path.name}")["stepgluon_row"].to_pylist()
                assert pq.read_table(path)["kind"].to_pylist() == [model] * len(numbers)
                later.put_parquet(
                    f"processing/input/predictions/predictions/{model}/{'f' * 64}/job/{path.name}",
                    {"prediction": pa.array([number * 2.0 for number in numbers], pa.float64())},
                )
        patch.setenv("STEPGLUON_ROOT", str(later.root))
        postprocess.main()
        found = pq.read_table(later.out / "predictions.parquet").to_pydict()
        added = list(found)[len(whole) :]
        predicted = [
            row * 2.0 if kind in "ab" and y is None else None
            for row, (kind, y) in enumerate(zip(whole["kind"], whole["y"], strict=True))
        ]
        assert list(found)[: len(whole)] == list(whole)
        assert {name: found[name] for name in whole} == whole
        assert found[added[0]] == predicted
        assert found[added[1]] == [
            None if value is None else kind for value, kind in zip(predicted, whole["kind"], strict=True)
        ]
        with (later.out / "predictions.csv").open(newline="", encoding="utf-8") as file:
            assert len(list(csv.reader(file))) == 1 + len(whole["y"])


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20))
def test_any_text_survives_a_csv_file(cells: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        box = Sandbox(Path(folder))
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerows([["one", "two", "y"], *((f"t{one}", f"t{two}", "1") for one, two in cells)])
        box.write("a.csv", text.getvalue())
        box.configure(config())
        patch.setenv("STEPGLUON_ROOT", str(box.root))
        prepare.main()
        rows = box.table("rows")
        assert rows["one"].to_pylist() == [f"t{one}" for one, _ in cells]
        assert rows["two"].to_pylist() == [f"t{two}" for _, two in cells]


# The demo's tables; what the jobs make of them is in tests/local/test_demo.py


def test_the_demo_tables_are_what_their_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DEMO / "make_data.py"), str(tmp_path)], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in DEMO.glob("*.csv")}


# What the scripts import


@pytest.mark.parametrize("script", ["prepare", "postprocess"])
def test_jobs_of_the_data_image_do_not_import_autogluon(script: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CODE)!r}); import {script}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"autogluon", "sklearn", "stepgluon", "boto3"} & {name.split(".")[0] for name in loaded}


def test_no_script_shadows_a_module_of_the_standard_library() -> None:
    names = {path.stem for path in CODE.iterdir() if path.name != "__pycache__"}
    assert not names & sys.stdlib_module_names
    assert "__init__" not in names
