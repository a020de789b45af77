"""Excel workbooks: the first visible sheet, each cell as the text that Excel would save in a CSV file.

python-calamine reads a sheet at once, with room for every cell between the first and the last, and reads errors and
formulas without a value as empty cells. So the sheet's XML is scanned first.
"""

from __future__ import annotations

import datetime
import errno
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import column_types
import pyarrow as pa
import python_calamine
import raw_file
from job_io import JobError, counted, listed, shown

UNPACKED = 1 << 30  # bytes; about as many as 1,048,576 rows (Excel's limit) of 20 columns
CELLS = 40_000_000  # of 32 bytes in memory; two cells in opposite corners would take 550 GB
CHUNK = 1 << 22  # bytes of XML
BATCH_CELLS = 1 << 20
_PLACE = re.compile(rb'\sr="([A-Z]{0,9})([0-9]{1,9})"')
_CELL = re.compile(rb"<(?:\w+:)?c\s[^>]*>")
_FORMULA = re.compile(rb"(<c\s[^>]*>)<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?</c>")
# zipfile raises RuntimeError for an encrypted zip, and its subclass NotImplementedError for an unknown compression.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, OSError),
    *(ElementTree.ParseError, python_calamine.CalamineError),
)
_WHOLE = 1e15  # Excel's numbers have 15 digits


@dataclass
class Scan:
    """What a sheet's XML shows."""

    columns: set[bytes] = field(default_factory=set)  # A, B, AA
    last_row: int = 0
    errors: int = 0
    first_error: str = ""  # its cell, like B2
    not_calculated: str = ""

    def add(self, xml: bytes) -> None:
        places = _PLACE.findall(xml)
        self.columns |= {column for column, _ in places}
        self.last_row = max(self.last_row, *(int(row) for _, row in places[-1:]), 0)
        if errors := xml.count(b' t="e"'):
            self.errors += errors
            wrong = (each for each in _CELL.findall(xml) if b' t="e"' in each)
            self.first_error = self.first_error or next(map(_cell, wrong), "")
        if b"<f" in xml and not self.not_calculated:
            empty = (each for each in _FORMULA.findall(xml) if b' t="str"' not in each)  # such a value may be empty
            self.not_calculated = next(map(_cell, empty), "")

    def cells(self) -> int:
        return self.last_row * max(map(_number, self.columns), default=0)


@dataclass(frozen=True)
class Sheet:
    name: str
    others: list[str]  # visible sheets that are not read
    scan: Scan
    content: Any  # python-calamine's
    header: dict[int, str]  # by position in the rows
    has_index: bool

    def rows(self) -> Iterator[tuple[int, list[Any]]]:
        """The rows that are not empty below the header, with their numbers in the sheet."""
        return islice(_rows(self.content), 1, None)


@dataclass(eq=False)
class Workbook(raw_file.RawTable):
    format = "xlsx"
    line = "sheet row"
    ladder = column_types.LADDER
    _sheet: Sheet | None = field(default=None, init=False)

    def read_columns(self) -> list[str]:
        return list(self.sheet().header.values())

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        sheet = self.sheet()
        rows = (row for _, row in sheet.rows())
        while some := list(islice(rows, max(1, BATCH_CELLS // sheet.content.width))):
            columns = list(zip(*some, strict=True))
            texts = [pa.array(map(text_of, columns[index]), pa.string()) for index in sheet.header]
            yield pa.RecordBatch.from_arrays(texts, self.read_columns())

    def lines(self) -> Iterator[int]:
        yield from (number for number, _ in self.sheet().rows())

    def assumed(self) -> list[str]:
        sheet, found = self.sheet(), []
        if sheet.others:
            are = "is" if len(sheet.others) == 1 else "are"
            found.append(f"read the first sheet, {shown(sheet.name)}; {listed(sheet.others)} {are} not read")
        if sheet.scan.errors:
            errors = counted(sheet.scan.errors, "cell")
            found.append(f"read {errors} with an error, like #N/A, as empty (the first is {sheet.scan.first_error})")
        return [*found, raw_file.INDEX_IGNORED] if sheet.has_index else found

    def sheet(self) -> Sheet:
        if self._sheet is None:
            try:
                with self.seekable() as file:
                    self._sheet = self._read(file)
            except BROKEN as problem:
                if isinstance(problem, OSError) and problem.errno != errno.EINVAL:  # of a seek to before the start
                    raise
                raise JobError(
                    f"{self.name} cannot be read as a workbook ({problem}); save it again as .xlsx without a password, "
                    "or as CSV."
                ) from None
        return self._sheet

    def _read(self, file: Path | IO[bytes]) -> Sheet:
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > UNPACKED:
                raise JobError(f"{self.name} unpacks to more than {UNPACKED >> 30} GB; save its sheet as CSV.")
            if broken := archive.testzip():  # it also proves the sizes
                raise zipfile.BadZipFile(f"{broken} is damaged")
            sheets = visible_sheets(archive)
            (name, part), others = sheets[0], [other for other, _ in sheets[1:]]
            scan = scanned(archive, part)
        if scan.cells() > CELLS:
            raise JobError(
                f"{self.name}: the sheet {shown(name)} extends to row {scan.last_row:,} and column "
                f"{max(scan.columns, key=_number).decode()}, which is too large; delete stray cells there, "
                "or save the sheet as CSV."
            )
        if scan.not_calculated:
            raise JobError(
                f"{self.name}: the formula in cell {scan.not_calculated} has no saved value; open the workbook in "
                "Excel or LibreOffice and save it."
            )
        if not isinstance(file, Path):
            file.seek(0)
        content = python_calamine.load_workbook(file).get_sheet_by_name(name)
        header, has_index = self._header(name, content)
        return Sheet(name, others, scan, content, header, has_index)

    def _header(self, name: str, content: Any) -> tuple[dict[int, str], bool]:
        """The names of the columns, and whether the first column is pandas' index, which is left out."""
        rows = _rows(content)
        line, cells = next(rows, (0, []))
        if not line:
            raise JobError(f"{self.name}: the first sheet, {shown(name)}, is empty; move the table there.")
        header = {index: text_of(cell) or "" for index, cell in enumerate(cells)}
        nameless = {index for index, text in header.items() if not text.strip()}
        has_index = 0 in nameless and len(header) > 1
        filled: set[int] = set()
        for _, row in rows if nameless else ():
            filled |= {index for index in nameless if row[index] != ""}
            has_index = has_index and isinstance(row[0], float) and row[0].is_integer()
        has_index = has_index and 0 in filled
        for index in sorted(filled)[has_index:]:
            column = _letters(content.start[1] + index)
            raise JobError(
                f"{self.name}: column {column} of the sheet {shown(name)} has values, but no name in row {line}; give "
                "it one (merged cells name only their first column)."
            )
        return {index: text for index, text in header.items() if index not in nameless}, has_index


def visible_sheets(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """The names of the sheets that users see, and their parts of the archive."""
    links = _parsed(archive, "xl/_rels/workbook.xml.rels")
    targets = {link.get("Id"): link for link in links if link.get("Type", "").endswith("/worksheet")}
    found = []
    for sheet in _parsed(archive, "xl/workbook.xml").iterfind("{*}sheets/{*}sheet"):
        link = targets.get(next((value for key, value in sheet.items() if key.endswith("}id")), None))
        if link is not None and sheet.get("state", "visible") == "visible":
            found.append((sheet.get("name", ""), posixpath.join("/xl", link.get("Target", "")).lstrip("/")))
    if not found:
        raise RuntimeError("it has no visible sheet")
    return found


def _parsed(archive: zipfile.ZipFile, part: str) -> ElementTree.Element:
    text = archive.read(part)
    if b"<!DOCTYPE" in text or b"\0" in text:  # Excel writes neither entities nor UTF-16
        raise RuntimeError(f"{part} is not as Excel writes it")
    return ElementTree.fromstring(text)


def scanned(archive: zipfile.ZipFile, part: str) -> Scan:
    scan, rest = Scan(), b""
    with archive.open(part) as file:
        while chunk := file.read(CHUNK):
            whole, end, rest = (rest + chunk).rpartition(b"row>")
            scan.add(whole + end)
    scan.add(rest)
    return scan


def text_of(cell: Any) -> str | None:
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _WHOLE else f"{cell:.15g}"
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell)


def _rows(content: Any) -> Iterator[tuple[int, list[Any]]]:
    return ((number, row) for number, row in enumerate(content.iter_rows(), 1) if any(cell != "" for cell in row))


def _cell(tag: bytes) -> str:
    place = _PLACE.search(tag)
    return b"".join(place.groups()).decode() if place else "?"


def _number(column: bytes) -> int:
    number = 0
    for letter in column:
        number = number * 26 + letter - 64
    return number


def _letters(index: int) -> str:
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(65 + index % 26)
