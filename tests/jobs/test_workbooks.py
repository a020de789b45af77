"""Excel workbooks: the types are those of the same table saved as CSV, and what is not read is said."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import date, datetime
from typing import Any

import pytest
import workbook as reader
from job_io import JobError
from job_sandbox import Sandbox
from test_assumptions import assumed, rows, zipped
from test_prepare import prepared, sentence
from workbooks import Raw, workbook

DAY, MOMENT = date(2024, 12, 31), datetime(2024, 12, 31, 10, 30)
TABLE = [
    ["n", "f", "flag", "day", "when", "code", "name", "mixed", "y"],
    [1, 0.1, True, DAY, MOMENT, "007", "Köln & Bonn", 1, 2],
    [-2, 1e300, False, date(1900, 3, 1), datetime(2024, 1, 1), "08", "NA", "x", 12.300000000000001],
    [3, None, None, None, None, None, None, None, None],
]
AS_CSV = (
    "n,f,flag,day,when,code,name,mixed,y\n1,0.1,true,2024-12-31,2024-12-31T10:30:00,007,Köln & Bonn,1,2\n"
    "-2,1e300,false,1900-03-01,2024-01-01,08,NA,x,12.3\n3,,,,,,,,\n"
)


def columns(profile: dict[str, Any]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in profile["columns"]}


@pytest.mark.parametrize("packing", ["", ".zip"])
def test_the_cells_have_the_types_and_values_of_the_same_table_in_csv(sandbox: Sandbox, packing: str) -> None:
    sandbox.write("a.csv", AS_CSV)
    wanted = columns(prepared(sandbox)), rows(sandbox)
    (sandbox.root / "processing/input/raw/a.csv").unlink()
    made = workbook({"Sheet1": TABLE})
    sandbox.write(f"a{packing or '.xlsx'}", zipped({"a.xlsx": made}) if packing else made)
    profile = prepared(sandbox)
    assert (columns(profile), rows(sandbox)) == wanted
    assert list(columns(profile).values()) == [
        *("int64", "double", "bool", "date32[day]", "timestamp[s]", "string", "string", "string", "double")
    ]
    assert assumed(profile) == []


def test_empty_rows_and_columns_around_the_table_are_no_part_of_it(sandbox: Sandbox) -> None:
    empty = Raw(' s="1">')
    table = [
        [],
        [None, "x", "y", empty],
        [],
        [None, "a", 1, empty],
        [None, None, None],
        [None, "b", 2],
        [empty],
        [empty],
    ]
    sandbox.write("a.xlsx", workbook({"S": table}))
    assert prepared(sandbox)["rows"] == 2
    assert rows(sandbox) == {"x": ["a", "b"], "y": [1, 2]}


def test_a_mistake_is_named_by_the_row_that_excel_shows(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [[], ["x", "y"], ["a", 1], [], ["b", "oops"]]}))
    assert "but 1 row holds text: row 2 (sheet row 5): 'oops'" in sentence(sandbox)


def test_the_first_visible_sheet_is_read_and_the_others_are_named(sandbox: Sandbox) -> None:
    sheets = {"Old": [["z"], [1]], "Data": [["x", "y"], [1, 2]], "Notes": [["hi"]], "Sheet3": []}
    sandbox.write("a.xlsx", workbook(sheets, hidden=["Old"]))
    assert assumed(prepared(sandbox)) == ["read the first sheet, 'Data'; 'Notes', 'Sheet3' are not read"]
    assert rows(sandbox) == {"x": [1], "y": [2]}
    sandbox.write("a.xlsx", workbook({"Cover": [["x", "y"]], "Data": [["x", "y"], [1, 2]]}))
    assert sentence(sandbox) == (
        "'a.xlsx' has a header but no rows (read the first sheet, 'Cover'; 'Data' is not read); "
        "upload rows to work with."
    )
    sandbox.write("a.xlsx", workbook({"Cover": [], "Data": [["x", "y"], [1, 2]]}))
    assert sentence(sandbox) == "a.xlsx: the first sheet, 'Cover', is empty; move the table there."


def test_errors_are_read_as_empty_and_counted(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [["x", "y"], ["#DIV/0!", 1], [2, "#N/A"], [3, 4]]}))
    assert assumed(prepared(sandbox)) == ["read 2 cells with an error, like #N/A, as empty (the first is A2)"]
    assert rows(sandbox) == {"x": [None, 2, 3], "y": [1, None, 4]}


def test_a_formula_gives_the_value_that_was_saved_with_it(sandbox: Sandbox) -> None:
    sums, nothing = Raw("><f>1+1</f><v>2</v>"), Raw(' t="str"><f>""</f><v></v>')
    sandbox.write("a.xlsx", workbook({"S": [["x", "y"], [nothing, sums], ["b", 3]]}))
    prepared(sandbox)
    assert rows(sandbox) == {"x": [None, "b"], "y": [2, 3]}


@pytest.mark.parametrize("formula", ["><f>1+1</f><v/>", "><f>1+1</f><v></v>", "><f>1+1</f>", ' s="1"><f t="shared"/>'])
def test_a_formula_that_was_never_calculated_is_no_gap(sandbox: Sandbox, formula: str) -> None:
    sandbox.write("a.xlsx", workbook({"S": [["x", "y"], ["a", Raw(formula)], ["b", 3]]}))
    assert "a.xlsx: the formula in cell B2 has no saved value; open the workbook in Excel or" in sentence(sandbox)


def test_pandas_index_in_a_workbook_is_ignored(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [[None, "x", "y"], [0, "a", 1], [1, "b", 2]]}))
    assert assumed(prepared(sandbox)) == ["ignored column 1: it has no name and looks like pandas' index"]
    assert rows(sandbox) == {"x": ["a", "b"], "y": [1, 2]}


def test_values_below_merged_header_cells_are_named(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [["x", "size", None, "y"], ["a", 1, 2, 3]]}))
    assert sentence(sandbox) == (
        "a.xlsx: column C of the sheet 'S' has values, but no name in row 1; give it one (merged cells name only their "
        "first column)."
    )


def test_a_column_in_the_header_twice_is_named(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [["x", "x", "y"], ["a", 1, 2]]}))
    assert "a.xlsx: column 'x' is in the header twice (columns 1 and 2)" in sentence(sandbox)


def test_a_header_without_rows_is_named(sandbox: Sandbox) -> None:
    sandbox.write("a.xlsx", workbook({"S": [["x", "y"]]}))
    assert sentence(sandbox) == "'a.xlsx' has a header but no rows; upload rows to work with."


def test_a_cell_far_away_is_refused_before_room_is_made_for_it(sandbox: Sandbox) -> None:
    corner = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    sandbox.write("a.xlsx", workbook({"S": corner}))
    assert "the sheet 'S' extends to row 1,048,576 and column XFD, which is too large" in sentence(sandbox)


def test_a_place_across_two_chunks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [["x", "y"], *([n, "#N/A"] for n in range(50)), [Raw("><f>1</f><v/>")]]
    with zipfile.ZipFile(io.BytesIO(workbook({"S": table}))) as archive:
        whole = reader.scanned(archive, "xl/worksheets/sheet1.xml")
        monkeypatch.setattr(reader, "CHUNK", 7)
        assert reader.scanned(archive, "xl/worksheets/sheet1.xml") == whole
    assert (whole.errors, whole.first_error, whole.not_calculated, whole.cells()) == (50, "B2", "A52", 104)


def test_a_bomb_is_refused_by_its_size(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "UNPACKED", 1 << 20)
    with zipfile.ZipFile(sandbox.root / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(2 << 20))
    sandbox.write("a.xlsx", (sandbox.root / "a.xlsx").read_bytes())
    assert "a.xlsx unpacks to more than" in sentence(sandbox)


def test_a_bomb_that_lies_about_its_size_is_refused(sandbox: Sandbox) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(2 << 20))
        size = archive.infolist()[0].file_size.to_bytes(4, "little")
    sandbox.write("a.xlsx", made.getvalue().replace(size, b"\1\0\0\0"))
    assert "a.xlsx cannot be read as a workbook (xl/sharedStrings.xml is damaged)" in sentence(sandbox)


@pytest.mark.parametrize(
    "content", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), b"", zipped({"a.csv": b"x,y\n1,2\n"}), workbook({})]
)
def test_what_is_not_a_workbook_is_named(sandbox: Sandbox, content: bytes) -> None:
    sandbox.write("a.xlsx", content)
    said = sentence(sandbox)
    assert said.startswith("a.xlsx cannot be read as a workbook (")
    assert said.endswith("; save it again as .xlsx without a password, or as CSV.")


def test_damaged_bytes_are_read_or_named(sandbox: Sandbox) -> None:
    content = workbook({"S": [["x", "y"], ["a", 1], ["#N/A", 2.5]]})
    generator = random.Random(5)
    for _ in range(400):
        damaged = bytearray(content)
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        table = reader.Workbook(sandbox.write("a.xlsx", bytes(damaged)), "a.xlsx")
        try:
            assert table.columns() and table.types(every_row=True) and list(table.batches())
        except JobError as problem:
            assert str(problem).startswith("a.xlsx")


def test_entities_in_a_workbook_are_refused(sandbox: Sandbox) -> None:
    content, written = io.BytesIO(workbook({"S": [["x", "y"], ["a", 1]]})), io.BytesIO()
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    with zipfile.ZipFile(content) as given, zipfile.ZipFile(written, "w") as evil:
        for name in given.namelist():
            text = given.read(name).decode()
            evil.writestr(name, text.replace("<workbook", laughs + "<workbook") if name == "xl/workbook.xml" else text)
    sandbox.write("a.xlsx", written.getvalue())
    assert "a.xlsx cannot be read as a workbook (xl/workbook.xml is not as Excel writes it" in sentence(sandbox)


@pytest.mark.parametrize("flag", [b"\x01\0", b"\x20\0", b"\x40\0"])
def test_an_encrypted_or_unusual_zip_is_named(sandbox: Sandbox, flag: bytes) -> None:
    content = bytearray(workbook({"S": [["x", "y"], ["a", 1]]}))
    for start, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(start) + place
        content[at : at + 2] = flag
    sandbox.write("a.xlsx", bytes(content))
    assert "a.xlsx cannot be read as a workbook (" in sentence(sandbox)
