from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from typing import Any

import column_types
import job_io
import model_parts
import numpy as np
import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import raw_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sandbox import Sandbox, config

from stepgluon.runs.run_record import log_tail, wrong_cells
from stepgluon.selfcheck import answers


def prepared(box: Sandbox, *models: dict[str, Any], **data: Any) -> dict[str, Any]:
    """Runs the job in this process and returns the profile."""
    box.configure(config(*models, **data))
    prepare.main()
    profile: dict[str, Any] = json.loads((box.out / "profile.json").read_text())
    return profile


def sentence(box: Sandbox, *models: dict[str, Any], **data: Any) -> str:
    """Runs the job, which must refuse its input, and returns what it says."""
    with pytest.raises(job_io.JobError) as refused:
        prepared(box, *models, **data)
    assert box.written() == [], "a refused input leaves no output"
    return str(refused.value)


def part(box: Sandbox, name: str, model: str = "all") -> list[int]:
    place = f"numbers/{model}" if name == "predict" else f"models/{model}/{name}"
    rows: list[int] = box.table(place)["stepgluon_row"].to_pylist()
    return rows


def files_to_predict(box: Sandbox, model: str) -> dict[str, tuple[list[int], dict[str, list[Any]]]]:
    """Each file's numbers and rows, by its name; the profile names them all."""
    folders = [{path.name: path for path in (box.out / name / model).iterdir()} for name in ("numbers", "predict")]
    profile = json.loads((box.out / "profile.json").read_text())
    names = next(each["predict_files"] for each in profile["models"] if each["name"] == model)
    assert all(sorted(folder) == names for folder in folders)
    return {
        name: (
            pq.read_table(folders[0][name])["stepgluon_row"].to_pylist(),
            pq.read_table(folders[1][name]).to_pydict(),
        )
        for name in names
    }


def parquet(columns: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


# Rows and parts


def test_rows_with_a_label_train_or_test_and_rows_without_one_are_predicted(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n" + "".join(f"{n},{'' if n % 4 == 3 else n * 2}\n" for n in range(40)))
    profile = prepared(sandbox)
    assert part(sandbox, "predict") == [n for n in range(40) if n % 4 == 3]
    assert sorted(part(sandbox, "train") + part(sandbox, "test")) == [n for n in range(40) if n % 4 != 3]
    assert len(part(sandbox, "test")) == 6
    assert profile["gaps"] == 10
    model = profile["models"][0]
    assert {key: value for key, value in model.items() if not key.endswith("_fingerprint")} == {
        **{"name": "all", "label": "y", "rows_train": 24, "rows_test": 6, "rows_predict": 10},
        "predict_files": ["part-00000.parquet"],
        "can_train": True,
    }
    found = json.loads((sandbox.out / "fingerprints.json").read_text())
    (written,) = found["models"]
    assert (found["gaps"], written["rows"]) == (10, 10)
    of_tables = answers.fingerprint("all").keys() - {"channels", "set", "objective"}  # those of XGBoost with classes
    assert written.keys() == of_tables, "as the self-check rehearses it"


@pytest.mark.parametrize(
    ("labels", "decimals"),
    [
        (["3750", "3800"], 0),
        (["3750.0", "3800.0"], 0),
        (["12.5", "0.29", "1000000.07"], 2),
        (["0.123456", "1.1"], 6),
        (["0.1234567", "1.1"], None),
        (["1e22", "0.5"], 1),
    ],
)
def test_the_profile_has_the_decimals_of_the_label(sandbox: Sandbox, labels: list[str], decimals: int | None) -> None:
    sandbox.write("a.csv", "x,y\n1,\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels * 4)))
    assert prepared(sandbox)["decimals"] == {"y": decimals}


def test_rows_are_numbered_over_all_files_in_the_order_of_their_names(sandbox: Sandbox) -> None:
    sandbox.write("b.csv", "y,x\n3,c\n")
    sandbox.write("a.csv", "x,y\na,1\nb,2\n")
    sandbox.write("sub/c.csv", "x,y\nd,4\n")
    prepared(sandbox)
    rows = sandbox.table("rows")
    assert rows.column_names == ["stepgluon_row", "x", "y"]
    assert rows["stepgluon_row"].to_pylist() == [0, 1, 2, 3]
    assert rows["x"].to_pylist() == ["a", "b", "c", "d"]


def test_a_model_gets_the_rows_of_its_where_and_not_its_dropped_columns(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "kind,x,y\n" + "k1,1,1\nk2,2,2\n" * 5 + "k3,3,\n")
    profile = prepared(sandbox, {"name": "one", "where": {"kind": ["k1", "k3"]}, "drop": ["x"]})
    assert sorted(part(sandbox, "train", "one") + part(sandbox, "test", "one")) == [0, 2, 4, 6, 8]
    assert part(sandbox, "predict", "one") == [10]
    assert sandbox.table("models/one/train").column_names == ["stepgluon_row", "kind", "y"]
    assert sandbox.table("predict/one").column_names == ["kind", "x"]
    assert sandbox.table("numbers/one").column_names == ["stepgluon_row"]
    assert profile["rows_no_model_selects"] == 5


def test_no_row_is_lost_between_models(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "kind,y\n" + "".join(f"{n % 3},{'' if n % 5 == 0 else n}\n" for n in range(90)))
    models = [{"name": f"m{kind}", "where": {"kind": kind}} for kind in (0, 1)]
    profile = prepared(sandbox, *models)
    found = [row for m in models for p in model_parts.PARTS for row in part(sandbox, p, m["name"])]
    assert sorted(found) == [n for n in range(90) if n % 3 != 2]
    assert profile["rows"] == 90
    assert profile["rows_no_model_selects"] == 30


def test_a_row_may_train_two_models_but_only_one_may_predict_it(sandbox: Sandbox) -> None:
    models = [{"name": "narrow", "where": {"k": 1}}, {"name": "wide"}]
    sandbox.write("a.csv", "k,y\n1,5\n2,6\n1,7\n2,\n")
    prepared(sandbox, *models)
    assert 0 in part(sandbox, "train", "narrow") + part(sandbox, "test", "narrow")
    assert 0 in part(sandbox, "train", "wide") + part(sandbox, "test", "wide")
    sandbox.write("b.csv", "k,y\n2,1\n1,\n")
    assert sentence(sandbox, *models) == (
        "b.csv, row 2 (line 3): the models narrow and wide both predict its 'y'; "
        "make their where conditions exclude each other."
    )


def test_a_part_without_rows_is_one_file_with_the_columns(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,1\n2,2\n")
    prepared(sandbox)
    assert sandbox.table("predict/all").schema.names == ["x"]
    assert sandbox.table("numbers/all").schema.names == ["stepgluon_row"]
    assert part(sandbox, "predict") == []


def test_every_instance_gets_a_file_of_rows_to_predict(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,1\n2,2\n" + "3,\n" * 5)
    sandbox.configure(config(instances=3))
    prepare.main()
    files = files_to_predict(sandbox, "all")
    assert list(files) == [f"part-0000{n}.parquet" for n in range(3)]
    assert [number for numbers, _ in files.values() for number in numbers] == [2, 3, 4, 5, 6]


def test_many_files_are_cut_without_losing_rows_or_their_order(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("part_files.FILE_ROWS", 4)
    monkeypatch.setattr("part_files.GROUP_ROWS", 2)
    monkeypatch.setattr("raw_file.BLOCK", 16)
    sandbox.write("a.csv", "x,y\n1,1\n2,2\n" + "".join(f"{n},\n" for n in range(2, 22)))
    sandbox.configure(config(instances=12))
    prepare.main()
    files = files_to_predict(sandbox, "all")
    assert len(files) >= 12
    assert all(numbers == rows["x"] for numbers, rows in files.values())
    assert part(sandbox, "predict") == list(range(2, 22))


# The split


def test_the_split_depends_on_seed_and_rows_alone(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.write("a.csv", "x,y\n" + "".join(f"{n},{n}\n" for n in range(3000)))
    prepared(sandbox)
    first = part(sandbox, "test")
    monkeypatch.setattr("raw_file.BLOCK", 1000)
    prepared(sandbox)
    assert part(sandbox, "test") == first
    prepared(sandbox, seed=8)
    assert part(sandbox, "test") != first


@pytest.mark.parametrize("share", [0.01, 0.2, 0.3, 0.5, 0.75, 0.99])
def test_the_held_out_share_is_exact_for_any_batches(share: float) -> None:
    whole = model_parts.held_out_places(0, 10_000, share, 7)
    pieces = [model_parts.held_out_places(start, 17, share, 7) for start in range(0, 10_000, 17)]
    assert np.array_equal(np.concatenate(pieces)[:10_000], whole)
    assert abs(whole.sum() - share * 10_000) <= 1


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_two_labelled_rows_give_one_to_each_side(share: float, seed: int) -> None:
    assert model_parts.held_out_places(0, 2, share, seed).sum() == 1


def test_held_out_rows_stand_in_no_fixed_distance() -> None:
    places = np.flatnonzero(model_parts.held_out_places(0, 5000, 0.2, 7))
    assert len(set(np.diff(places).tolist())) > 5


# where


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        *[("1,1.0,2", 1), ("1,1.0,2", 1.0), ("1,1.0,2", "1"), ("x,1,1.0", 1), ("true,True,false", True)],
        *[("true,True,false", "true"), ("x,True,TRUE", True), ("2024-01-02,2024-01-02,2024-01-03", "2024-01-02")],
    ],
)
def test_where_compares_by_value(sandbox: Sandbox, cells: str, value: object) -> None:
    sandbox.write("a.csv", "k,y\n" + "".join(f"{cell},1\n" for cell in cells.split(",")))
    profile = prepared(sandbox, {"where": {"k": value}})
    assert profile["rows_no_model_selects"] == 1


def test_a_where_of_another_kind_than_the_column_is_named(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "k,y\n1,1\n2,2\n")
    assert sentence(sandbox, {"where": {"k": "../../etc/passwd"}}) == (
        "Model all: where compares column 'k', which holds numbers, with '../../etc/passwd'; no row can ever match."
    )


def test_a_where_that_no_row_matches_anywhere_is_refused(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "k,y\na,1\nb,2\n")
    assert sentence(sandbox, {"where": {"k": "c"}}) == "Model all: no row has k = 'c'; 'k' has 'a', 'b'."


@pytest.mark.parametrize("header", [" y ", "Y"])
def test_a_column_with_other_spaces_or_capitals_is_named(sandbox: Sandbox, header: str) -> None:
    sandbox.write("a.csv", f"a long name,{header}\na,1\nb,2\n")
    assert sentence(sandbox) == (
        f"Model all: label names the column 'y', which the tables do not have; did you mean {header!r}?"
    )


@pytest.mark.parametrize("key", ["label", "where", "drop"])
def test_a_column_that_does_not_exist_is_named_with_the_nearest_one(sandbox: Sandbox, key: str) -> None:
    sandbox.write("a.csv", "species,y\na,1\nb,2\n")
    value: Any = {"label": "specis", "where": {"specis": "a"}, "drop": ["specis"]}[key]
    assert sentence(sandbox, {key: value}) == (
        f"Model all: {key} names the column 'specis', which the tables do not have; did you mean 'species'?"
    )


# Formats


def test_csv_parquet_and_json_lines_gzipped_or_not_are_one_table(sandbox: Sandbox) -> None:
    csv, jsonl = ("x,t,y\n1,a,2\n", '{"x": 1, "t": "a", "y": 2.0}\n\n{"y": null, "x": 3}\n')
    table = parquet({"t": ["a"], "x": pa.array([1], pa.int16()), "y": [2.0]})
    for name, content in {"a.csv": csv.encode(), "b.parquet": table, "c.jsonl": jsonl.encode()}.items():
        sandbox.write(name, content)
        sandbox.write(f"{name}.gz", gzip.compress(content))
    profile = prepared(sandbox)
    assert [file["rows"] for file in profile["files"]] == [1, 1, 1, 1, 2, 2]
    assert sandbox.table("rows")["x"].to_pylist() == [1, 1, 1, 1, 1, 3, 1, 3]
    assert [(column["name"], column["type"]) for column in profile["columns"]] == [
        ("x", "int64"),
        ("t", "string"),
        ("y", "double"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", b"\xef\xbb\xbfx,y\n1,2\n3,4\n")
    assert [column["name"] for column in prepared(sandbox)["columns"]] == ["x", "y"]


def test_run_files_and_hidden_files_are_ignored_and_listed(sandbox: Sandbox) -> None:
    for name in ("go.run", ".hidden", "_SUCCESS", "_temporary/0.csv"):
        sandbox.write(name, "")
    sandbox.write("a.csv", "x,y\n1,2\n3,4\n")
    assert prepared(sandbox)["files_ignored"] == [".hidden", "_SUCCESS", "_temporary/0.csv", "go.run"]


def test_a_run_file_in_capitals_is_no_table_and_the_notes_say_that_it_started_nothing(sandbox: Sandbox) -> None:
    sandbox.write("Go.RUN", "note: hi")
    sandbox.write("go.run", "")
    sandbox.write("a.csv", "x,y\n" + "1,2\n3,4\n5,6\n" * 9)
    profile = prepared(sandbox)
    assert profile["files_ignored"] == ["Go.RUN", "go.run"]
    assert profile["assumed"] == [
        "'Go.RUN' started no run: upload it again with a name that ends in .run, in lower case."
    ]


def test_the_datas_hash_is_what_sha256sum_prints(sandbox: Sandbox) -> None:
    content = {"a.csv": b"x,y\n1,2\n3,4\n", "b.csv": b"x,y\n5,6\n"}
    sandbox.write("a.csv", content["a.csv"])
    assert prepared(sandbox)["sha256"] == hashlib.sha256(content["a.csv"]).hexdigest()
    sandbox.write("b.csv", content["b.csv"])
    listing = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())
    assert prepared(sandbox)["sha256"] == hashlib.sha256(listing.encode()).hexdigest()


def test_the_format_can_be_given_for_files_of_any_name(sandbox: Sandbox) -> None:
    sandbox.write("data.txt", "x,y\n1,2\n3,4\n")
    assert "'data.txt' is not a table" in sentence(sandbox)
    assert prepared(sandbox, format="csv")["rows"] == 2


# Types


@pytest.mark.parametrize(
    ("cells", "type", "values"),
    [
        (["1", " 2", ""], "int64", [1, 2, None]),
        (["1", "2.5", "NA"], "double", [1.0, 2.5, None]),
        (["1e3", "nan", "-inf"], "double", [1000.0, None, float("-inf")]),
        (["007", "12", "1"], "string", ["007", "12", "1"]),
        (["12345678901234567890", "1", "2"], "string", ["12345678901234567890", "1", "2"]),
        (["-007", "12", "1"], "string", ["-007", "12", "1"]),
        (["0x1F", "12", "1"], "string", ["0x1F", "12", "1"]),
        (["0", "0.5", "-0.5"], "double", [0.0, 0.5, -0.5]),
        (["true", "False", ""], "bool", [True, False, None]),
        (["0", "1", "1"], "int64", [0, 1, 1]),
        (["NA", "DE", ""], "string", ["NA", "DE", None]),
        (["1", "2", "x"], "string", ["1", "2", "x"]),
        (["", "", ""], "string", [None, None, None]),
        (["+4912", "+1", "2"], "string", ["+4912", "+1", "2"]),
    ],
)
def test_a_column_has_the_first_type_that_keeps_all_its_values(
    sandbox: Sandbox, cells: list[str], type: str, values: list[object]
) -> None:
    sandbox.write("a.csv", "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    assert prepared(sandbox)["columns"][0]["type"] == type
    assert sandbox.table("rows")["x"].to_pylist() == values


@pytest.mark.parametrize(
    ("cells", "type"),
    [
        (["2024-01-31", "2024-02-01"], "date32[day]"),
        (["2024-01-31", "2024-02-01 12:30:00"], "timestamp[s]"),
        (["2024-01-31 10:00:00.5", "2024-02-01"], "timestamp[us]"),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+02:00"], "timestamp[s, tz=UTC]"),
    ],
)
def test_dates_are_recognized(sandbox: Sandbox, cells: list[str], type: str) -> None:
    sandbox.write("a.csv", "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    assert prepared(sandbox)["columns"][0]["type"] == type


def test_a_value_far_down_that_does_not_fit_changes_the_type_of_the_whole_column(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raw_file.BLOCK", 256)
    sandbox.write("a.csv", "x,z,y\n" + "1,1,1\n" * 1000 + "late,2.5,1\n")
    profile = prepared(sandbox)
    assert [column["type"] for column in profile["columns"]] == ["string", "double", "int64"]
    assert sandbox.table("rows")["x"].to_pylist() == ["1"] * 1000 + ["late"]


# Bad tables


LATE = "x,y\n" + "1,2\n" * 5


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": ""}, "a.csv is empty; a header line and rows are expected."),
        ({"a.csv": "x,y\n"}, "'a.csv' has a header but no rows; upload rows to work with."),
        ({"a.csv": "x,y\n", "b.csv": "x,y\n"}, "'a.csv', 'b.csv' have a header but no rows; upload rows"),
        ({"a.csv": "x,y,x\n1,2,3\n"}, "a.csv: column 'x' is in the header twice (columns 1 and 3); rename one"),
        ({"a.csv": "x,,y\n1,2,3\n"}, "a.csv: column 2 has no name"),
        ({"a.csv": LATE + "1\n1,2\n"}, "a.csv, row 6 (line 7) has 1 cell, the header has 2"),
        ({"a.csv": LATE + "\n1,2,3\n"}, "a.csv, row 6 (line 8) has 3 cells, the header has 2"),
        ({"a.csv": 'x,y\n"a\nb",2\n1\n'}, "a.csv, row 2 (line 4) has 1 cell, the header has 2"),
        ({"a.csv": "y\n1\n2\n"}, "Model all: the tables have no column but its label 'y'; add columns to learn from."),
        ({"a.csv": "x;y\n1;2\n1;2;3\n"}, "row 2 (line 3) has 3 cells, the header has 2; look for a missing or an unq"),
        ({"a.csv": "stepgluon_row,y\n1,2\n"}, "a.csv: the column name stepgluon_row is taken by stepgluon"),
        ({"a.csv": LATE + "é,2\n".encode("latin-1").decode("latin-1")}, None),
        ({"a.csv": LATE, "b.csv": "x\n1\n"}, "b.csv lacks the column 'y' that a.csv has"),
        ({"a.csv": LATE, "b.csv": "x,y,z\n1,2,3\n"}, "a.csv lacks the column 'z' that b.csv has"),
        (
            {"a.csv": LATE, "b.csv": "x,y\n1,2\noops,2\n"},
            "numbers in a.csv but text in b.csv (b.csv, row 2 (line 3): 'oops')",
        ),
        (
            {"a.csv": "x,y\na,2\n", "b.csv": LATE},
            "Column 'x' holds text in a.csv but numbers in b.csv (a.csv, row 1 (line 2): 'a')",
        ),
        ({"a.csv": "x,y\ntrue,2\n", "b.csv": LATE}, "Column 'x' holds true/false in a.csv but numbers in b.csv"),
        ({"a.jsonl": '{"y": 1}\n[1]\n'}, "a.jsonl, row 2 (line 2) is not a JSON object"),
        ({"a.jsonl": '{"y": 1}\n{"y": \n'}, "a.jsonl, row 2 (line 2) is not JSON"),
        (
            {"a.jsonl": '{"y": 1}\n\n{"y": [1]}\n'},
            "a.jsonl, row 2 (line 3): column 'y' holds [1], which is not a single value",
        ),
        (
            {"a.jsonl": '{"x": 1, "y": 1}\n{"x": "a", "y": 1}\n'},
            "a.jsonl, row 2 (line 2): column 'x' holds 'a', the rows before hold numbers",
        ),
        ({"a.jsonl": '{"y": 1, "y": 2}\n'}, "a.jsonl, row 1 (line 1) is not JSON: it has a key twice"),
        ({"a.jsonl": ""}, "a.jsonl is empty"),
        ({"a.jsonl": '{"y": 1}\n{"y": 1, "x": "\\ud800"}\n'}, "a.jsonl, row 2 (line 2): column 'x' holds half of a"),
        (
            {"a.jsonl": '{"y": 1, "x": ' + "9" * 400 + "}"},
            "a.jsonl, row 1 (line 1): column 'x' holds a whole number of",
        ),
        ({"a.parquet": "no parquet"}, "a.parquet cannot be read as parquet"),
        ({"a.csv.gz": "no gzip"}, "a.csv.gz is not a whole gzip file"),
        ({"a.txt": "x,y\n1,2\n"}, "'a.txt' is not a table (.csv, .tsv, .parquet, .jsonl or .xlsx, each also"),
        ({}, "There is no table beside the .run file"),
        ({"a.csv": "x,y\n1,inf\n2,3\n"}, "a.csv, row 1 (line 2): the label 'y' is infinite"),
        ({"a.csv": "x,y\n1,true\n2,\n"}, "Model all: its label 'y' holds true/false, not numbers"),
    ],
)
def test_a_bad_table_is_named_with_its_file_row_and_column(
    sandbox: Sandbox, files: dict[str, str], words: str | None
) -> None:
    for name, content in files.items():
        sandbox.write(name, content)
    if words is None:
        prepared(sandbox)
    else:
        assert words in sentence(sandbox)


@pytest.mark.parametrize(
    ("start", "words"), [(b"PK\3\4", "an Excel workbook or zip"), (b"PAR1", "a Parquet"), (b"\x1f\x8b\x08", "a gzip")]
)
def test_a_file_with_the_wrong_name_is_named(sandbox: Sandbox, start: bytes, words: str) -> None:
    sandbox.write("a.csv", start + bytes(range(256)))
    assert sentence(sandbox) == f"a.csv is {words} file, not csv; give it the right name or save it as text."


def test_a_number_too_large_for_a_column_of_numbers_is_named(sandbox: Sandbox) -> None:
    sandbox.write("a.parquet", parquet({"u": pa.array([1, 2**63], pa.uint64()), "y": [1, 2]}))
    assert "a.parquet, row 2: column 'u' holds 9223372036854775808, which is too large" in sentence(sandbox)


def test_text_in_a_label_is_named_row_by_row(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raw_file.BLOCK", 4096)
    cells = [str(n) for n in range(20_000)]
    for row in (5_000, 12_345, 19_999):
        cells[row - 1] = "n/k"
    sandbox.write("big.csv", "x,y\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells)))
    assert sentence(sandbox) == (
        "big.csv: column 'y' is the label of model all and must hold numbers, but 3 rows hold text: "
        "row 5000 (line 5001): 'n/k', row 12345 (line 12346): 'n/k', row 19999 (line 20000): 'n/k'; "
        "correct them, or leave them empty to have them predicted. To learn classes, set metric: accuracy."
    )


@pytest.mark.parametrize(
    ("content", "models", "cells"),
    [
        (
            "x,y\n" + '1,"n ""k"" \u00e4|"\n2,3\n' + "4,n/k\n" * 20,
            (),
            [["1 (line 2)", "y", 'n "k" \u00e4|'], *([f"{n} (line {n + 1})", "y", "n/k"] for n in range(3, 12))],
        ),
        ("x,y\n1,2\n2,inf\n3,-inf\n4,5\n", (), [["2 (line 3)", "y", "inf"], ["3 (line 4)", "y", "-inf"]]),
        (
            "x,y\n1,2\n2,3\n3,\n4,5\n",
            ({"name": "a", "label": "y"}, {"name": "b", "label": "y"}),
            [["3 (line 4)", "y", "empty, and predicted by several models"]],
        ),
    ],
)
def test_the_first_wrong_cells_are_in_the_log_for_the_report(
    sandbox: Sandbox, content: str, models: tuple[dict[str, Any], ...], cells: list[list[str]]
) -> None:
    sandbox.write("a.csv", content)
    sandbox.configure(config(*models))
    outcome = sandbox.run("prepare.py")
    assert outcome.code == 1
    told = {"failure": {"sentence": outcome.message}, "models": [], "jobs": [], "said": outcome.log.splitlines()}
    assert wrong_cells(told) == [["a.csv", f"row {row}", column, value] for row, column, value in cells]
    assert not any("cell: " in line for line in log_tail(told))


def test_a_label_of_nothing_but_text_names_its_first_rows(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n" + "1,n/k\n" * 5)
    assert sentence(sandbox) == (
        "a.csv: column 'y' is the label of model all and must hold numbers, but 5 rows hold text: "
        "row 1 (line 2): 'n/k', row 2 (line 3): 'n/k', row 3 (line 4): 'n/k' and 2 more; "
        "correct them, or leave them empty to have them predicted. To learn classes, set metric: accuracy."
    )


NUMBERS_AND_NOT = st.one_of(
    st.text("0123456789+-.eEinfaNxX ()_\t,", max_size=7),
    st.integers(-(2**60), 2**60).map(str),
    st.floats().map(str),
    st.sampled_from(column_types.MISSING.to_pylist()),
)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.one_of(st.none(), NUMBERS_AND_NOT), max_size=5))
def test_the_texts_that_are_not_numbers_are_those_that_the_cast_refuses(texts: list[str | None]) -> None:
    each = [pa.array([text], pa.string()) for text in texts]
    refused = [n for n, one in enumerate(each) if column_types.first_misfit(one, pa.float64()) is not None]
    assert column_types.not_numbers(pa.array(texts, pa.string())).tolist() == refused


def test_a_column_of_lists_in_parquet_is_named(sandbox: Sandbox) -> None:
    sandbox.write("a.parquet", parquet({"x": [[1], [2]], "y": [1, 2]}))
    assert "a.parquet: column 'x' holds list<" in sentence(sandbox)


def test_a_truncated_gzip_file_is_named(sandbox: Sandbox) -> None:
    whole = gzip.compress(("x,y\n" + "".join(f"{n},{n * n}\n" for n in range(5000))).encode())
    sandbox.write("a.csv.gz", whole[: len(whole) // 2])
    assert "a.csv.gz is not a whole gzip file" in sentence(sandbox)


def test_a_quote_that_is_never_closed_is_named(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raw_file.BLOCK", 4096)
    sandbox.write("a.csv", 'x,y\n1,2\n"1,2\n' + "1,2\n" * 5000)
    assert re.search(r"a.csv: the row that starts near line \d+ is longer", sentence(sandbox))


# Hostile content


def test_hostile_names_and_values_stay_data(sandbox: Sandbox) -> None:
    long = "é" * 500_000
    sandbox.write("a.csv", f'__class__,../x,y\n"{long}",=1+1,1\n{{}},"a\n""b""",2\n')
    prepared(sandbox)
    rows = sandbox.table("rows")
    assert rows["__class__"].to_pylist() == [long, "{}"]
    assert rows["../x"].to_pylist() == ["=1+1", 'a\n"b"']


# As a process


def test_the_job_runs_as_a_process(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,1\n2,2\n3,\n")
    sandbox.configure(config())
    outcome = sandbox.run("prepare.py")
    assert (outcome.code, outcome.message) == (0, None), outcome.log
    assert "profile.json" in sandbox.written()


def test_a_refused_input_is_one_sentence_and_no_traceback(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,1\n2\n")
    sandbox.configure(config())
    outcome = sandbox.run("prepare.py")
    assert outcome.code == 1
    assert outcome.message is not None
    assert outcome.final
    assert outcome.message.startswith("a.csv, row 2 (line 3) has 1 cell,")
    assert "Traceback" not in outcome.log
    assert sandbox.written() == []


def test_the_sentence_is_one_line_of_at_most_1024_characters(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,1\n")
    sandbox.configure(config({"label": "é\n" * 5000}))
    outcome = sandbox.run("prepare.py")
    assert outcome.message is not None
    assert len(outcome.message) <= 1024
    assert "\n" not in outcome.message


def test_tables_are_found_by_their_names(sandbox: Sandbox) -> None:
    for name in ("B.CSV", "a.ndjson", "c.Parquet.gz"):
        sandbox.write(name, "")
    tables, _ = raw_tables.find(sandbox.raw, {"format": "auto"})
    assert [(table.name, table.format, table.packing) for table in tables] == [
        ("B.CSV", "csv", ""),
        ("a.ndjson", "jsonl", ""),
        ("c.Parquet.gz", "parquet", "gzip"),
    ]
