"""The rows that a model gets after its training, for the monitor: of uploaded tables, and captured by its endpoint.

A sample of them is kept: every n-th row, at most SAMPLE, fewer if there are very many columns. Its columns have the
types that the model learnt from; PREDICTION and LABEL are what the endpoint or a run has predicted, and the truth.
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import column_types
import common_schema
import model_parts
import numpy as np
import prepare
import pyarrow as pa
import pyarrow.compute as pc
import raw_tables
from job_io import ROW, JobError, log, shown
from model_folder import family
from raw_file import Reread
from request_rows import JSON, JSON_LINES, Refused, media_type, rows_of
from row_profile import SAMPLE, TEXT

PREDICTION, LABEL = "\0prediction", "\0label"
CELLS = 20_000_000
REQUESTS = 20_000  # each is parsed like a request of its own
_LINE = 64 * 1024 * 1024  # bytes of a captured request: 6 MB each way, and encoded
_RESULTS = ("prediction", "probability", "model", "verdict")  # columns of predictions.csv


@dataclass
class NewRows:
    features: Mapping[str, str]
    classes: bool
    whole_texts: bool = False  # for a model that predicts them
    rows: int = 0
    requests: int = 0  # captured ones
    refused: int = 0  # of them those whose rows do not fit the model
    missing: set[str] = field(default_factory=set)  # columns that tables lack
    other_type: dict[str, str] = field(default_factory=dict)
    new: dict[str, None] = field(default_factory=dict)  # columns that the config does not know
    assumed: list[str] = field(default_factory=list)
    _step: int = 1
    _kept: list[pa.Table] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        answer = pa.string() if self.classes else pa.float64()
        kinds = [(name, kind_of(learnt)) for name, learnt in self.features.items()]
        return pa.schema([*kinds, (PREDICTION, answer), (LABEL, answer)])

    @property
    def sample(self) -> pa.Table:
        return pa.concat_tables([self.schema.empty_table(), *self._kept])

    def add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        """Columns that are not there are missing values."""
        schema = self.schema
        most = min(SAMPLE, max(1, CELLS // len(schema)))
        arrays = [columns[each.name] if each.name in columns else pa.nulls(rows, each.type) for each in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
        self._kept.append(table.take(pa.array(np.arange(-self.rows % self._step, rows, self._step))))
        self.rows += rows
        while sum(map(len, self._kept)) > most:
            whole = self.sample
            self._kept = [whole.take(pa.array(np.arange(0, len(whole), 2)))]
            self._step *= 2


def kind_of(learnt: str) -> pa.DataType:
    """Like in the profile, numbers are floats; but true/false are categories there."""
    if learnt == "bool":
        return pa.bool_()
    return {"number": pa.float64(), "date": pa.timestamp("us")}.get(family(learnt), pa.string())


def as_learnt(values: pa.Array, learnt: str, whole_texts: bool) -> pa.Array:
    if learnt == "bool" and not pa.types.is_boolean(values.type):
        return pc.not_equal(values, 0)
    if family(learnt) == "string" and not whole_texts:  # the profile has no longer ones
        return pc.utf8_slice_codeunits(pc.cast(values, pa.string()), 0, TEXT + 1)
    return pc.cast(values, kind_of(learnt), safe=False)


# Uploaded tables


def read_tables(folder: Path, config: Mapping[str, Any], model: Mapping[str, Any], into: NewRows) -> None:
    if not any(path.is_file() for path in folder.rglob("*")):
        return
    tables, _ = raw_tables.find(folder, config["data"])
    while True:
        try:
            names = common_schema.one_header(tables)
            kinds, _ = common_schema.one_schema(tables, names, {"models": []}, every_row=True)
            break
        except Reread:
            log.info("a table is not UTF-8; starting over")
    schema = pa.schema([(ROW, pa.int64()), *kinds.items()])
    learnt = into.features
    into.missing |= {name for name in learnt if name not in kinds}
    wrong = {name: str(kinds[name]) for name in learnt if name in kinds and not _alike(kinds[name], learnt[name])}
    known = {*learnt, model["label"], *model["drop"], *model["where"], *_RESULTS, f"{model['label']}_prediction"}
    into.new |= {name: None for name in names if name not in known and not name.startswith("probability_")}
    for table in tables:
        for batch in prepare.typed_batches(table, kinds, schema, 0, set()):
            chosen = _selected(batch, model["where"])
            # A column without any value has no type of its own.
            valued = [name for name in wrong if chosen.column(name).null_count < chosen.num_rows]
            into.other_type |= {name: wrong[name] for name in valued}
            into.add(columns_of(chosen, into, model["label"]), chosen.num_rows)
        into.assumed += [f"{table.name}: {sentence}" for sentence in table.assumed()]


def _alike(kind: pa.DataType, learnt: str) -> bool:
    return family(str(kind)) == family(learnt)


def _selected(batch: pa.RecordBatch, where: Mapping[str, Any]) -> pa.RecordBatch:
    """The model's rows; a table without a column of `where` has no others."""
    for column, values in where.items():
        if column in batch.schema.names:
            kind = batch.schema.field(column).type
            wanted = [
                one for v in (values if isinstance(values, list) else [values]) for one in model_parts.as_kind(v, kind)
            ]
            batch = batch.filter(pc.fill_null(pc.is_in(batch.column(column), pa.array(wanted, kind)), False))
    return batch


def columns_of(batch: pa.RecordBatch, into: NewRows, label: str) -> dict[str, pa.Array]:
    there = set(batch.schema.names)
    found = {
        name: as_learnt(batch.column(name), learnt, into.whole_texts)
        for name, learnt in into.features.items()
        if name in there and _alike(batch.schema.field(name).type, learnt)
    }
    answers = [name for name in (f"{label}_prediction", "prediction") if name in there and name not in into.features]
    for target, name in ((PREDICTION, next(iter(answers), None)), (LABEL, label if label in there else None)):
        if name is not None:
            values = batch.column(name)
            if into.classes:
                found[target] = column_types.class_names(values)
            elif values.type in column_types.NUMBERS:
                found[target] = pc.cast(values, pa.float64(), safe=False)
            elif values.null_count < len(values):
                raise JobError(f"The column {shown(name)} holds {column_types.words(values.type)}, not numbers.")
    return found


# Captured requests: lines of JSON, as SageMaker's data capture writes them


def read_captured(folder: Path, model: str, into: NewRows) -> None:
    files = sorted(path for path in folder.rglob("*.jsonl") if path.is_file()) if folder.is_dir() else []
    count = sum(1 for file in files for _ in _lines(file))
    step = -(-count // REQUESTS) or 1
    for number, line in enumerate(line for file in files for line in _lines(file)):
        if number % step:
            continue
        try:
            captured = json.loads(line)
            given, said = (captured["captureData"].get(name) for name in ("endpointInput", "endpointOutput"))
            into.requests += 1
            for columns, rows in _request(given, said, model, into):
                into.add(columns, rows)
        except (Refused, JobError, ValueError, KeyError, TypeError, AttributeError):
            into.refused += 1  # the endpoint answered with a sentence, or the line is damaged


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while line := opened.readline(_LINE):
            if line.strip():
                yield line


def _request(
    given: Mapping[str, Any], said: Mapping[str, Any] | None, model: str, into: NewRows
) -> Iterable[tuple[dict[str, pa.Array], int]]:
    body = _body(given)
    batches = [each for each in rows_of(body, given["observedContentType"], into.features, model) if each.num_rows]
    answers = _answers(_body(said), said["observedContentType"], into.classes) if said else None
    whole, done = sum(each.num_rows for each in batches), 0
    for batch in batches:
        columns = {
            name: as_learnt(batch.column(name), learnt, into.whole_texts) for name, learnt in into.features.items()
        }
        if answers is not None and len(answers) == whole:
            columns[PREDICTION] = answers.slice(done, batch.num_rows)
        done += batch.num_rows
        yield columns, batch.num_rows


def _body(side: Mapping[str, Any]) -> bytes:
    data = str(side["data"])
    return b64decode(data, validate=True) if side["encoding"] == "BASE64" else data.encode()


def _answers(body: bytes, content_type: str, classes: bool) -> pa.Array:
    """The predictions: of our own server, or the first value of each line of a container of the user's."""
    kind = media_type(content_type)[0]
    if kind in (JSON, JSON_LINES):
        lines = body.decode().splitlines() if kind == JSON_LINES else [body.decode()]
        rows = [json.loads(line) for line in lines if line.strip()]
        if kind == JSON and isinstance(rows[0], (dict, list)):
            rows = rows[0].get("predictions", rows) if isinstance(rows[0], dict) else rows[0]
    else:
        rows = [row for row in csv.reader(io.StringIO(body.decode())) if row]
        rows = rows[1:] if rows and rows[0][0] == "prediction" else rows
    values = [_first(row) for row in rows]
    return pa.array([str(one) for one in values] if classes else [float(one) for one in values])


def _first(row: Any) -> Any:
    if isinstance(row, dict):
        return row["prediction"]
    return row[0] if isinstance(row, list) else row
