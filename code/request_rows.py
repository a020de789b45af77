"""Reads the rows in a request's body as batches of the model's columns, with the types that predict.py gives it.

    text/csv              a header with the columns in any order, or none and the columns in the model's order; a first
                          line with the name of a column is a header, unless `; header=absent` says otherwise
    application/json      [{"a": 1, "b": "x"}], one such object, [[1, "x"]], or any of these lists as {"instances": ...}
    application/jsonlines a row on each line, as an object or a list
    application/x-parquet

Columns that the model did not learn from are ignored. Empty cells and null are missing values.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

import column_types
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from job_io import counted, listed, shown
from model_folder import check_columns, family
from predict import rows_at_once

CSV, JSON, JSON_LINES, PARQUET = "text/csv", "application/json", "application/jsonlines", "application/x-parquet"
READABLE = (CSV, JSON, JSON_LINES, PARQUET)
_OTHER_NAMES = {
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/vnd.apache.parquet": PARQUET,
}
JSON_BYTES = 16 * 1024 * 1024  # a document is parsed as a whole, to about ten times its size
PARQUET_ROWS = 1_000_000  # a small file can hold any number of equal values
PARQUET_BYTES = 256 * 1024 * 1024  # unpacked
_CSV_BLOCK = 16 * 1024 * 1024  # the longest row
_LADDERS = {  # what a text of a column may be; predict.py takes a number for true/false, and a time for a date
    "number": (pa.float64(), pa.bool_()),
    "date": (*column_types.MOMENTS, *column_types.ZONED),
}
_WORDS = {"number": "numbers", "date": "dates"}

Features = Mapping[str, str]


class Refused(Exception):
    """The status and the sentence of an answer that has no predictions."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """The type in a Content-Type or Accept, by its main name, and the parameters."""
    name, *parameters = (part.strip().lower() for part in value.split(";"))
    return _OTHER_NAMES.get(name, name), dict(part.partition("=")[::2] for part in parameters)


def rows_of(body: bytes, content_type: str, features: Features, model: str) -> Iterator[pa.RecordBatch]:
    """The batches; raises Refused or JobError if the rows do not fit the model."""
    kind, parameters = media_type(content_type)
    if kind not in READABLE or parameters.get("charset", "utf-8").strip('"') not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(
            415, f"The content type {shown(content_type)} is not supported; send {', '.join(READABLE)} in UTF-8."
        )
    if not body:
        raise Refused(400, "The body is empty; send at least one row.")
    try:
        if kind == CSV:
            yield from _csv(body, parameters.get("header", ""), features)
        elif kind == PARQUET:
            yield from _parquet(body, features, model)
        else:
            yield from (_json if kind == JSON else _json_lines)(body, features)
    except UnicodeError:
        raise Refused(400, "The body is not UTF-8.") from None
    except RecursionError:
        raise Refused(400, "The body is nested too deeply.") from None


def _csv(body: bytes, header: str, features: Features) -> Iterator[pa.RecordBatch]:
    names, lines = _names(body, header, features)
    block = min(_CSV_BLOCK, len(body))  # it is allocated as a whole
    read = pyarrow.csv.ReadOptions(column_names=names, skip_rows=lines, block_size=block, use_threads=False)
    # In a table with one column, an empty line is a missing value.
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(names) > 1)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=list(features),
        strings_can_be_null=True,
        null_values=[""],
    )
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(body), read, parse, convert)
    except pa.ArrowInvalid as problem:
        if "Empty CSV file" in str(problem):  # only a header
            return
        if "UTF8" in str(problem):
            raise UnicodeError from None
        _refuse(f"The body is not CSV: {problem}")
    yield from _typed_batches(table.to_batches(rows_at_once(len(features))), features)


def _names(body: bytes, header: str, features: Features) -> tuple[list[str], int]:
    """The columns of the body, and how many lines its header takes."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline=""))
    try:
        first = next(reader, [])
        while not first and len(features) > 1:
            first = next(reader)
    except StopIteration:
        _refuse("The body has only empty lines; send at least one row.")
    except csv.Error as problem:
        _refuse(f"The first line is not CSV: {problem}")
    if header == "absent" or (header != "present" and not any(cell in features for cell in first)):
        if len(first or [""]) != len(features):
            _refuse(
                f"The rows have {counted(len(first), 'column')}, but the model learnt from {len(features)}: "
                f"{listed(list(features), 20)}. Send these in this order, or a header with their names."
            )
        return list(features), 0
    for name in features:
        if first.count(name) != 1:
            lacks = "lacks the" if name not in first else "must have only one"
            _refuse(
                f"The header {lacks} column {shown(name)}; if the first line is a row, set the content type to "
                "text/csv; header=absent."
            )
    # Other columns may have any names, even the same.
    return [name if name in features else f"\0{place}" for place, name in enumerate(first)], reader.line_num


def _json(body: bytes, features: Features) -> Iterator[pa.RecordBatch]:
    if len(body) > JSON_BYTES:
        raise Refused(413, f"A JSON document may have {JSON_BYTES // 2**20} MB; send more rows as {JSON_LINES}.")
    rows = _loads(body, "The body")
    if isinstance(rows, dict):
        rows = rows["instances"] if rows.keys() == {"instances"} and "instances" not in features else [rows]
    if not isinstance(rows, list):
        _refuse("The JSON must be a list of rows, or one row as an object.")
    yield from _from_python(iter(rows), features)


def _json_lines(body: bytes, features: Features) -> Iterator[pa.RecordBatch]:
    lines = enumerate(io.BytesIO(body), 1)
    yield from _from_python((_loads(line, f"Line {number}") for number, line in lines if line.strip()), features)


def _loads(text: bytes, what: str) -> Any:
    def constant(name: str) -> NoReturn:
        _refuse(f"{what} holds {name}, which JSON does not have; send null for a missing value.")

    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=constant)
    except UnicodeError:
        raise
    except ValueError as problem:  # also an integer of thousands of digits
        _refuse(f"{what} is not JSON: {problem}")


def _from_python(rows: Iterator[Any], features: Features) -> Iterator[pa.RecordBatch]:
    start = 0
    while piece := list(islice(rows, rows_at_once(len(features)))):
        cells = [_cells(row, start + place, features) for place, row in enumerate(piece, 1)]
        columns = zip(features, zip(*cells, strict=True), strict=True)
        yield pa.RecordBatch.from_pydict(
            {name: _column(name, features[name], values, start) for name, values in columns}
        )
        start += len(piece)


def _cells(row: Any, number: int, features: Features) -> Iterable[Any]:
    if isinstance(row, dict):
        try:
            return [row[name] for name in features]
        except KeyError as missing:
            _refuse(f"Row {number} lacks the column {shown(missing.args[0])}; send null for a missing value.")
    if not isinstance(row, list):
        _refuse(f"Row {number} is {shown(row)}; it must be an object, or a list of values.")
    if len(row) != len(features):
        _refuse(
            f"Row {number} has {counted(len(row), 'value')}, but the model learnt from {len(features)} columns: "
            f"{listed(list(features), 20)}."
        )
    return row


def _column(name: str, learnt: str, values: Iterable[Any], start: int) -> pa.Array:
    """JSON's values of a column; true and false are the numbers that predict.py makes of them."""
    numbers = family(learnt) == "number"
    fitting = (int, float) if numbers else str
    for number, value in enumerate(values, start + 1):
        if value is not None and not isinstance(value, fitting):
            _misfit(number, name, value, learnt)
    if not numbers:
        return _typed(name, learnt, pa.array(values, pa.string()), start)
    try:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    except OverflowError:
        _refuse(f"Column {shown(name)} holds a number of more than 308 digits.")


def _parquet(body: bytes, features: Features, model: str) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
            if file.metadata.num_rows > PARQUET_ROWS or size > PARQUET_BYTES:
                most = f"{PARQUET_ROWS:,} rows and {PARQUET_BYTES // 2**20} MB unpacked"
                raise Refused(413, f"A Parquet file may have {most}; send several.")
            kinds = {field.name: column_types.plain(field.type) or field.type for field in file.schema_arrow}
            if len(kinds) < len(file.schema_arrow):
                _refuse("The Parquet file has two columns of one name.")
            check_columns(features, pa.schema(kinds), model)
            for batch in file.iter_batches(rows_at_once(len(features)), columns=list(features), use_threads=False):
                columns = {name: column_types.cast(name, batch.column(name), kinds[name]) for name in features}
                yield pa.RecordBatch.from_pydict(columns)
    except column_types.Misfit as problem:
        _refuse(f"Column {shown(problem.column)} holds {shown(problem.value)}, which has no exact number.")
    except (pa.ArrowException, OSError) as problem:
        _refuse(f"The body is not Parquet: {problem}")


def _typed_batches(batches: Iterable[pa.RecordBatch], features: Features) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        columns = [_typed(name, learnt, batch.column(name), start) for name, learnt in features.items()]
        yield pa.RecordBatch.from_arrays(columns, names=list(features))
        start += batch.num_rows


def _typed(name: str, learnt: str, values: pa.Array, start: int) -> pa.Array:
    """A column of texts as the type that the model learnt from."""
    ladder = _LADDERS.get(family(learnt))
    if ladder is None:
        return values
    wrong = 0
    for kind in reversed(ladder) if learnt == "bool" else ladder:
        try:
            return column_types.cast(name, values, kind)
        except column_types.Misfit as problem:
            wrong = max(wrong, problem.index)
    _misfit(start + wrong + 1, name, values[wrong].as_py(), learnt)


def _misfit(number: int, name: str, value: Any, learnt: str) -> NoReturn:
    kind = _WORDS.get(family(learnt), "text")
    _refuse(f"Row {number}: column {shown(name)} holds {shown(value)}, but the model learnt from {kind} there.")


def _refuse(sentence: str) -> NoReturn:
    raise Refused(400, " ".join(sentence.split())[:1000])
