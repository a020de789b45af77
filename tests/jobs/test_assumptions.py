"""How tables are read whose separator, decimal sign or encoding nobody has named, and what is said about it."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import number_styles
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from csv_table import separators_in
from job_sandbox import Sandbox, config
from test_prepare import prepared, sentence

SEMICOLON = "read with ; as separator (data.separator)"
PRICES = "stadt;preis;y\nKöln;12,5;1,5\nMünchen;1.234,75;2\nBonn;7;\n"


def rows(box: Sandbox) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = box.table("rows").drop_columns("stepgluon_row").to_pydict()
    return found


def assumed(profile: dict[str, Any]) -> list[str]:
    """What was said about all files."""
    return [sentence for file in profile["files"] for sentence in file["assumed"]]


# Separators


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a\tb\n1\t2,5\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("stadt;preis, EUR;y\nKöln;1,5;2\n", ";"),
        ("id,notes|tags,y\n1,2|3,4\n", ","),
        ('a,b\n"x;y;z",1\n"u;v;w",2\n', ","),
        ('"a,b";c\n"1,2";3\n', ";"),
        ('a;b\n"x\n,,,y";1\n', ";"),
        ("alone\n1\n", ","),
        ("", ","),
        ("a;b,c\n1;2,3\n", ",;"),
    ],
)
def test_the_separator_is_what_stands_in_each_line_as_often_as_in_the_header(sample: str, found: str) -> None:
    assert separators_in(sample) == list(found)


@pytest.mark.parametrize(("sign", "called"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_another_separator_is_read_and_said(sandbox: Sandbox, sign: str, called: str) -> None:
    sandbox.write("a.csv", "x,y\na,1\n".replace(",", sign))
    sandbox.write("b.csv", "x,y\nb,2\n")
    profile = prepared(sandbox)
    assert rows(sandbox) == {"x": ["a", "b"], "y": [1, 2]}
    assert [file["assumed"] for file in profile["files"]] == [[f"read with {called} as separator (data.separator)"], []]


@pytest.mark.parametrize("packing", ["", ".gz", ".zip"])
def test_a_tsv_is_separated_by_tabs(sandbox: Sandbox, packing: str) -> None:
    content = b"x\ty\na,b;c\t1\n"
    packed = {"": content, ".gz": gzip.compress(content), ".zip": zipped({"inner.tsv": content})}[packing]
    sandbox.write(f"a.tsv{packing}", packed)
    assert assumed(prepared(sandbox)) == []
    assert rows(sandbox) == {"x": ["a,b;c"], "y": [1]}


def test_a_separator_that_is_not_clear_must_be_set(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "a;y,c\n1;2,3\n4;5,6\n")
    assert sentence(sandbox, {"label": "c"}) == (
        "a.csv: the columns may be separated by comma or semicolon; set data.separator to one."
    )
    assert assumed(prepared(sandbox, {"label": "c"}, separator="comma")) == []
    assert rows(sandbox) == {"a;y": ["1;2", "4;5"], "c": [3, 6]}


def test_mixed_files_of_one_folder_are_one_table(sandbox: Sandbox) -> None:
    sandbox.write("a b/ü 1.csv", "x;y\n1,5;1\n")
    sandbox.write("b.tsv", "x\ty\n2.5\t2\n")
    sandbox.write("c.jsonl", '{"x": 3.5, "y": 3}\n')
    sandbox.write("d.csv.zip", zipped({"d.csv": b"y,x\n4,4.5\n"}))
    prepared(sandbox)
    assert rows(sandbox) == {"x": [1.5, 2.5, 3.5, 4.5], "y": [1, 2, 3, 4]}


# Numbers


def test_a_decimal_comma_is_read_where_the_column_proves_it(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", PRICES)
    assert assumed(prepared(sandbox)) == [SEMICOLON, "read , as decimal sign in 'preis', 'y' (data.decimal)"]
    assert rows(sandbox) == {
        "stadt": ["Köln", "München", "Bonn"],
        "preis": [12.5, 1234.75, 7.0],
        "y": [1.5, 2.0, None],
    }


UNCLEAR = "'x' holds numbers like '1,234', which may be decimals or thousands, and is read as text (set data.decimal"


@pytest.mark.parametrize(
    ("content", "data", "values", "said"),
    [
        ("1,234;{}", {}, ["1,234", "5"], UNCLEAR),
        ("1,234;{}", {"decimal": "comma"}, [1.234, 5.0], None),
        ("1,234;{}", {"decimal": "point"}, [1234, 5], None),
        ("1,234;{},5", {}, [1.234, 5.0], "read , as decimal sign in 'x', 'z' (data.decimal)"),
        ("1,234;{}.5", {}, [1234, 5], "read , as thousands separator in 'x' (data.decimal)"),
        ("1,234,567;{}", {}, [1234567, 5], "read , as thousands separator in 'x' (data.decimal)"),
        ("1.234.567;{}", {}, [1234567, 5], "read , as decimal sign in 'x' (data.decimal)"),
        ("1.234;{}", {}, [1.234, 5.0], "'x' holds numbers like '1.234', read as decimals (if the point"),
        ("1.234;{},5", {}, [1234, 5], "read , as decimal sign in 'x', 'z' (data.decimal)"),
        ("1.234;{}", {"decimal": "comma"}, [1234, 5], None),
        ("1.234;{}", {"decimal": "point"}, [1.234, 5.0], None),
        ("-0,5;{}", {}, [-0.5, 5.0], "read , as decimal sign in 'x' (data.decimal)"),
        ("1,5e-05;{}", {}, [1.5e-05, 5.0], "read , as decimal sign in 'x' (data.decimal)"),
        ("1,2,3;{}", {}, ["1,2,3", "5"], None),
        ("01,5;{}", {}, ["01,5", "5"], None),
        ('"1,234",{}', {}, ["1,234", "5"], UNCLEAR),
        ('"1,5",{}', {}, ["1,5", "5"], "'x' holds numbers like '1,5', which may be"),
        ('"1,5",{}', {"decimal": "comma"}, [1.5, 5.0], None),
        ('"1,234.5",{}', {}, [1234.5, 5.0], "read , as thousands separator in 'x' (data.decimal)"),
        ("1.234,{}", {}, [1.234, 5.0], None),
    ],
)
def test_a_comma_in_a_number_is_never_guessed(
    sandbox: Sandbox, content: str, data: dict[str, str], values: list[Any], said: str | None
) -> None:
    sign = ";" if ";" in content else ","
    first, _, last = content.rpartition(sign)
    text = f"x{sign}z{sign}y\n{first}{sign}{last.format(3)}{sign}1\n5{sign}{last.format(4)}{sign}2\n"
    sandbox.write("a.csv", text)
    found = [sentence for sentence in assumed(prepared(sandbox, **data)) if sentence != SEMICOLON]
    assert rows(sandbox)["x"] == values
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(said)


@pytest.mark.parametrize(
    ("late", "values"),
    [
        ("1,5", [1.234, 5.0]),
        ("1,234,567", [1234, 5]),
        ("2,345", ["1,234", "5"]),
        ("6 km", ["1,234", "5"]),
        ("007", ["1,234", "5"]),
    ],
)
def test_a_late_value_decides_as_an_early_one(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, late: str, values: list[Any]
) -> None:
    sandbox.write("a.csv", "x;y\n1,234;1\n5;2\n" + "5;2\n" * 200 + f"{late};3\n")
    for block in (1 << 20, 64):
        monkeypatch.setattr("raw_file.BLOCK", block)
        prepared(sandbox)
        assert rows(sandbox)["x"][:2] == values


def test_a_late_value_of_another_column_decides_too(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.write("a.csv", "x;z;w;y\n1,234;1.234;;1\n" + "5;2;;2\n" * 200 + "5;1.5;9,5;3\n6;;;4\n")
    found = []
    for block in (1 << 20, 64):
        monkeypatch.setattr("raw_file.BLOCK", block)
        found.append((prepared(sandbox)["columns"], assumed(prepared(sandbox)), rows(sandbox)))
    assert found[0] == found[1]
    assert [column["type"] for column in found[0][0]] == ["string", "double", "double", "int64"]


def test_a_column_without_a_value_in_the_first_batch_gets_its_type_later(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.write("a.csv", "x,y\n" + ",1\n" * 200 + "2.5,1\n")
    monkeypatch.setattr("raw_file.BLOCK", 64)
    assert prepared(sandbox)["columns"][0]["type"] == "double"


def test_a_label_with_an_unclear_comma_names_the_key_to_set(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x;y\na;1,234\nb;5\n")
    assert sentence(sandbox) == (
        "a.csv: column 'y' is the label of model all, and its numbers like '1,234' may be decimals or thousands; "
        "set data.decimal to comma or point."
    )


@pytest.mark.parametrize(
    ("files", "separator", "decimal"),
    [
        ({"a.csv": "x;y\n1,5;2\n"}, ";", ","),
        ({"a.csv": "x;y\n1,5;2\n", "b.csv": "x;y\n1;2,5\n"}, ";", ","),
        ({"a.csv": "x;y\n1.5;2\n"}, ";", "."),
        ({"a.csv": "x;y\n1,5;2\n", "b.csv": "x,y\n1.5,2\n"}, ",", "."),
        ({"a.csv": 'x,y\n"1,5",2\n'}, ",", "."),
        ({"a.tsv": "x\ty\n1,5\t2\n"}, ",", "."),
        ({"a.csv": "x;y\n1,5;2\n", "b.jsonl": '{"x": 1.5, "y": 2}\n'}, ",", "."),
    ],
)
def test_the_result_has_semicolons_if_all_tables_have_them(
    sandbox: Sandbox, files: dict[str, str], separator: str, decimal: str
) -> None:
    for name, text in files.items():
        sandbox.write(name, text)
    assert prepared(sandbox)["csv"] == {"separator": separator, "decimal": decimal}


def test_a_number_that_is_unclear_in_one_file_names_the_key_to_set(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x;y\n1,5;1\n")
    sandbox.write("b.csv", "x;y\n1,234;1\n")
    assert sentence(sandbox) == (
        "Column 'x' holds numbers in a.csv but text in b.csv (b.csv, row 1 (line 2): '1,234'); "
        "set data.decimal to comma or point."
    )


def test_a_text_among_labels_with_a_decimal_comma_is_named_alone(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x;y\n" + "a;1,5\n" * 50 + "b;n/k\n")
    assert "but 1 row holds text: row 51 (line 52): 'n/k'; correct" in sentence(sandbox)


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["31.12.2024", "1.1.2025"], True),
        (["12/31/2024 10:30", None], True),
        (["31 Dec 2024", "1. Mai 2024"], True),
        (["2024年1月2日"], True),
        (["1.5.3", "10.0.0.1"], False),
        (["Dec", "2024"], False),
        ([None], False),
    ],
)
def test_texts_like_dates_are_recognized(texts: list[str | None], dates: bool) -> None:
    batch = pa.RecordBatch.from_pydict({"d": pa.array(texts, pa.string())})
    assert number_styles.like_dates(batch, {"d": pa.string()}) == (["d"] if dates else [])


def test_dates_that_stay_text_are_said(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "d,y\n31.12.2024,1\n1.1.2025,2\n")
    (said,) = assumed(prepared(sandbox))
    assert said == "'d' looks like a date, but is read as text (dates are written 2024-12-31)"


# Encodings


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", ["read as UTF-16 (data.encoding)"]),
        ("latin-1", ["read as Windows-1252, as it is not UTF-8 (data.encoding)"]),
        ("cp1252", ["read as Windows-1252, as it is not UTF-8 (data.encoding)"]),
    ],
)
def test_an_encoding_is_found_and_said(sandbox: Sandbox, name: str, encoding: str, said: list[str]) -> None:
    text = "x,y\n" + "a,1\n" * 300 + "Größe,2\n"
    if name == "a.jsonl":
        text = '{"x": "a", "y": 1}\n' * 300 + '{"x": "Größe", "y": 2}\n'
    content = text.encode(encoding)
    sandbox.write(name, gzip.compress(content) if name.endswith(".gz") else content)
    assert assumed(prepared(sandbox)) == said
    assert rows(sandbox)["x"][299:] == ["a", "Größe"]


def test_a_byte_far_down_changes_how_the_whole_file_is_read(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raw_file.BLOCK", 256)
    sandbox.write("a.csv", ("x,y\n" + "a,1\n" * 9000 + "Köln,2\n").encode("cp1252"))
    assert prepared(sandbox)["rows"] == 9001
    assert rows(sandbox)["x"][-1] == "Köln"


def test_a_file_in_two_encodings_is_refused(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\nBonn,1\nKöln,2\n".encode() + "Köln,3\n".encode("cp1252"))
    assert sentence(sandbox) == (
        "a.csv, line 4: byte 0xf6 is not UTF-8, but line 3 is; save the whole file in one encoding."
    )


def test_another_script_must_be_named(sandbox: Sandbox) -> None:
    text = "x,y\n東京,1\n大阪府,2\n"
    for encoding, byte in (("shift_jis", 0x93), ("gb18030", 0x96), ("euc_jp", 0xC5)):
        sandbox.write("a.csv", text.encode(encoding))
        assert sentence(sandbox) == (
            f"a.csv, line 2: byte 0x{byte:02x} is not UTF-8, and the text looks neither English nor Western European; "
            "set data.encoding, like shift_jis, gb18030, big5, euc-kr or windows-1251."
        )
    sandbox.write("a.csv", text.encode("shift_jis"))
    assert assumed(prepared(sandbox, encoding="shift_jis")) == []
    assert rows(sandbox)["x"] == ["東京", "大阪府"]


def test_bytes_in_no_known_encoding_are_named(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", b"x,y\n\xe9t\xe9,1\n\x81,2\n")
    assert sentence(sandbox).startswith("a.csv, line 3: byte 0x81 is not UTF-8, nor Windows-1252; set data.encoding")
    sandbox.write("a.csv", "x,y\nä,1\n".encode("cp1252"))
    assert sentence(sandbox, encoding="utf-8").startswith("a.csv, line 2: byte 0xe4 is not utf-8; set data.encoding")
    sandbox.write("a.csv", "x,y\nä,1\n".encode("utf-16")[:-1])
    assert "a.csv is not UTF-16; set data.encoding." in sentence(sandbox)
    sandbox.write("a.csv", "x,y\nä,1\n".encode("utf-16-le"))
    assert "its header has zero bytes. If it is UTF-16, set data.encoding: utf-16." in sentence(sandbox)


# Files


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def test_pandas_index_is_ignored(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", ",x,y\n0,a,1\n1,b,2\n")
    assert assumed(prepared(sandbox)) == ["ignored column 1: it has no name and looks like pandas' index"]
    assert rows(sandbox) == {"x": ["a", "b"], "y": [1, 2]}
    sandbox.write("a.csv", ",x,y\n0,a,1\n1,b\n")
    assert "row 2 (line 3) has 2 cells, the header has 3" in sentence(sandbox)
    sandbox.write("a.csv", ",x,y\nMazda,a,1\n")
    assert "a.csv: column 1 has no name; give it one in the header." in sentence(sandbox)


def test_a_zip_with_one_table_is_read(sandbox: Sandbox) -> None:
    target = io.BytesIO()
    pq.write_table(pa.table({"x": ["b"], "y": [2]}), target)
    more = {"__MACOSX/._a.csv": b"", "folder/": b""}
    sandbox.write("a.zip", zipped({"folder/a.csv": b"x,y\na,1\n", **more}))
    sandbox.write("b.zip", zipped({"b.parquet": target.getvalue()}))
    sandbox.write("c.zip", zipped({"c.jsonl": b'{"x": "c", "y": 3}'}))
    prepared(sandbox)
    assert rows(sandbox) == {"x": ["a", "b", "c"], "y": [1, 2, 3]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped({"a.csv": b"x,y\n1,2\n", "b.csv": b"x,y\n1,2\n"}), "a.zip has 2 files, like 'a.csv'; a zip must have"),
        (zipped({}), "a.zip has no file; a zip must have exactly one table."),
        (zipped({"a.zip": zipped({"a.csv": b"x,y\n1,2\n"})}), "'a.zip' is not a table"),
        (zipped({"a.csv": b"x,y\n" + b"1,2\n" * 9000})[:120], "a.zip is not a whole zip file"),
        (b"no zip", "a.zip is not a whole zip file"),
        (zipped({"a.csv": bytes(1 << 20)}), "a.zip is not a CSV file: its header has zero bytes"),
        (zipped({"a.csv": b'x,y\n"' + b"1" * (17 << 20)}), "a.zip: the row that starts near line"),
    ],
)
def test_a_zip_that_cannot_be_read_is_named(sandbox: Sandbox, content: bytes, said: str) -> None:
    sandbox.write("a.zip", content)
    assert said in sentence(sandbox)


def test_a_zip_with_a_wrong_checksum_is_named(sandbox: Sandbox) -> None:
    content = bytearray(zipped({"a.csv": b"x,y\n" + b"1,2\n" * 9000}))
    place = content.index(b"PK\x01\x02") + 16
    content[14:18] = content[place : place + 4] = b"\0\0\0\0"
    sandbox.write("a.zip", bytes(content))
    assert "a.zip is not a whole zip file (Bad CRC-32" in sentence(sandbox)


def test_an_old_workbook_is_named_with_the_way_to_save_it(sandbox: Sandbox) -> None:
    sandbox.write("a.xls", b"\xd0\xcf\x11\xe0")
    assert sentence(sandbox) == (
        "a.xls is a workbook; save it as .xlsx, or its sheet as CSV (in Excel: CSV UTF-8), and upload that."
    )


def test_a_name_with_control_characters_is_refused(sandbox: Sandbox) -> None:
    sandbox.write("a\x1b[2J.csv", "x,y\n1,2\n")
    assert sentence(sandbox) == (r"The table's name 'a\x1b[2J.csv' has control characters; rename the file.")


def test_mistakes_of_several_files_are_said_at_once(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n1,2\n1\n")
    sandbox.write("b.csv", "x,y\n1,oops\n")
    sandbox.write("c.csv", "x,y\n1,inf\n")
    said = sentence(sandbox)
    assert "a.csv, row 2 (line 3) has 1 cell" in said
    assert "b.csv: column 'y' is the label of model all and must hold numbers, but 1 row holds text" in said


def test_a_table_of_2000_columns_is_read(sandbox: Sandbox) -> None:
    names = [f"column {number}" for number in range(1999)]
    sandbox.write("a.csv", ";".join([*names, "y"]) + "\n" + ";".join(["0,5"] * 2000) + "\n")
    assert {column["type"] for column in prepared(sandbox)["columns"]} == {"double"}


# What the rows say


def test_a_label_with_two_values_is_said(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x,y\n" + "1,0\n2,1\n" * 5 + "3,\n")
    assert prepared(sandbox)["assumed"] == [
        "The label 'y' has only two values (0, 1) and is predicted as a number; set metric: roc_auc or accuracy "
        "to learn classes."
    ]
    sandbox.write("b.csv", "x,y\n1,2\n")
    assert prepared(sandbox)["assumed"] == []


def test_gaps_that_no_model_fills_are_counted_by_the_columns_of_the_models(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "Stadt,x,y\n" + "Bonn,1,1\nBonn,1,2\nBonn,1,3\nKöln,2,\n,2,\n" * 10)
    profile = prepared(sandbox, {"name": "bonn", "where": {"Stadt": "Bonn"}}, {"name": "b", "where": {"Stadt": "Bon"}})
    assert profile["assumed"] == [
        "Model b: no row has Stadt = 'Bon'; did you mean 'Bonn'?",
        "Stadt = Köln: 10 gaps, no model.",
        "Stadt = (empty): 10 gaps, no model.",
    ]


def test_a_value_of_a_where_without_rows_is_said(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "k,n,y\n" + "a,1,1\nb,2,2\n" * 10)
    profile = prepared(sandbox, {"where": {"k": ["a", "c", "b"], "n": [1, "2.0", 3]}})
    assert profile["assumed"] == [
        "The label 'y' has only two values (1, 2) and is predicted as a number; set metric: roc_auc or accuracy "
        "to learn classes.",
        "Model all: no row has k = 'c'; 'k' has 'a', 'b'.",
        "Model all: no row has n = 3; 'n' has '1', '2'.",
    ]


def test_control_characters_of_the_data_never_reach_the_log(sandbox: Sandbox) -> None:
    text = "k\x1b[2J;d\x1b[2J;y\n" + "a\x1b[2J;1.1.2024;0\nb;31.12.2024;1\nc\x1b[2J;1.1.2024;\n" * 9
    sandbox.write("a.csv", text)
    sandbox.configure(config({"where": {"k\x1b[2J": ["b", "\x1b[2J"]}}))
    outcome = sandbox.run("prepare.py")
    assert outcome.code == 0
    assert r"'k\x1b[2J' = 'c\x1b[2J': 9 gaps, no model." in outcome.log
    assert "looks like a date" in outcome.log
    assert "\x1b" not in outcome.log


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,1\n2,5\n3,9\n", "2 rows to learn from besides the held-out ones"),
        ("1,\n2,\n3,\n", "no row with a value in 'y' to learn from"),
    ],
)
def test_a_model_with_too_few_rows_is_said(sandbox: Sandbox, rows: str, said: str) -> None:
    sandbox.write("a.csv", f"x,y\n{rows}")
    assert prepared(sandbox)["assumed"] == [
        f"Model all has {said}, and needs 4; only a promoted model can predict for it."
    ]


def test_the_log_says_what_was_assumed(sandbox: Sandbox) -> None:
    sandbox.write("a.csv", "x;y\n" + "1;0\n2;1\n" * 5)
    prepared(sandbox)
    outcome = sandbox.run("prepare.py")
    assert outcome.code == 0, outcome.log
    assert f"a.csv: {SEMICOLON}" in outcome.log
    assert "The label 'y' has only two values (0, 1)" in outcome.log


def test_the_files_of_a_folder_with_spaces_keep_their_names(sandbox: Sandbox) -> None:
    sandbox.write("my data/a b.csv", "x,y\n1,2\n")
    assert prepared(sandbox)["files"][0]["name"] == "my data/a b.csv"
    assert Path(sandbox.raw / "my data").is_dir()
