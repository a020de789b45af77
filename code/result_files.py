"""The columns that predictions add to the rows, and the result's files: predictions.csv and predictions.parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from column_types import NUMBERS
from job_io import JobError
from metrics import has_classes
from spreadsheet import defused, defused_names

NAMES = {"model": pa.string(), "verdict": pa.string()}  # after the predictions


@dataclass(frozen=True)
class Addition:
    """The columns that one label's predictions add to the result, with their names."""

    label: str
    models: tuple[str, ...]
    names: dict[str, str]  # prediction, model, verdict, ... -> the column's name
    kinds: dict[str, pa.DataType]


def predicted_kinds(model: dict[str, Any], profile: dict[str, Any]) -> dict[str, pa.DataType]:
    """The columns that a prediction job writes for the model: for classes, also probabilities.

    That of the positive class of two may be missing, if a promoted model knows other classes than the data.
    """
    if not has_classes(model):
        return {"prediction": pa.float64()}
    classes = profile.get("classes", {}).get(model["label"], [])
    positive = [f"probability_{classes[-1]}"] if len(classes) == 2 else []
    return {"prediction": pa.string(), **dict.fromkeys(["probability", *positive], pa.float64())}


def additions(config: dict[str, Any], columns: dict[str, pa.DataType], profile: dict[str, Any]) -> list[Addition]:
    """`prediction`, `model` and `verdict`, or with several labels `<label>_prediction` and so on; for classes also
    `probability`, and for two of them `probability_<positive class>`.

    A predicted class has the label's type. The user's columns keep their names; if an added column would clash, it is
    prefixed with `stepgluon_`.
    """
    models: dict[str, list[dict[str, Any]]] = {}
    for model in config["models"]:
        models.setdefault(model["label"], []).append(model)
    found = []
    taken = set(columns)
    for label, these in models.items():
        names, kinds = {}, predicted_kinds(these[0], profile) | NAMES
        if profile.get("classes", {}).get(label) and columns[label] in (*NUMBERS, pa.bool_()):
            kinds["prediction"] = columns[label]
        for name in kinds:
            wanted = name if len(models) == 1 else f"{label}_{name}"
            names[name] = f"stepgluon_{wanted}" if wanted in taken else wanted
            if names[name] in taken:
                raise JobError(f"The tables already have a column {names[name]}, which the result needs; rename it.")
            taken.add(names[name])
        found.append(Addition(label, tuple(model["name"] for model in these), names, kinds))
    return found


def write_result(
    merged: Iterator[pa.RecordBatch], out: Path, decimals: dict[str, int | None], style: dict[str, str]
) -> None:
    """`decimals` has those of the prediction columns in the CSV file; the Parquet file has the full numbers.

    `style` has the CSV file's separator and decimal sign; numbers with a comma are written as text.
    """
    comma = style.get("decimal") == ","
    first = next(merged)
    names = first.schema.names
    headers = defused_names(names)
    spreadsheet = pa.schema(
        [
            pa.field(name, pa.string() if comma and pa.types.is_floating(f.type) else f.type)
            for f, name in zip(first.schema, headers, strict=True)
        ]
    )
    written = pyarrow.csv.WriteOptions(delimiter=style.get("separator", ","))
    with (
        pq.ParquetWriter(out / "predictions.parquet", first.schema) as table,
        pyarrow.csv.CSVWriter(out / "predictions.csv", spreadsheet, write_options=written) as text,
    ):
        for batch in merged:
            table.write_batch(batch)
            cells = [defused(rounded(v, decimals.get(n))) for n, v in zip(names, batch.columns, strict=True)]
            cells = [with_comma(cell) for cell in cells] if comma else cells
            text.write_batch(pa.RecordBatch.from_arrays(cells, schema=spreadsheet))


def with_comma(values: pa.Array) -> pa.Array:
    return pc.replace_substring(values.cast(pa.string()), ".", ",") if pa.types.is_floating(values.type) else values


def rounded(values: pa.Array, decimals: int | None) -> pa.Array:
    return values if decimals is None else pc.round(values, ndigits=decimals)
