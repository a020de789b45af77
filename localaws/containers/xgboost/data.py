"""Reads CSV without a header into numbers; an empty field is a missing value, as in the container."""

from __future__ import annotations

import csv
from typing import Any

import numpy
import pyarrow
import pyarrow.csv

from localaws.containers.xgboost.errors import UserError, unknown_locally

_OTHERS = {
    "libsvm": ("libsvm", "text/libsvm", "text/x-libsvm"),
    "parquet": ("parquet", "application/x-parquet"),
    "recordio-protobuf": ("recordio-protobuf", "application/x-recordio-protobuf"),
}
SNIFFED = 512  # characters of the first line, as in the container's server
_ACCEPTED = "csv, libsvm, parquet, recordio-protobuf, text/csv, text/libsvm, text/x-libsvm, application/x-parquet, "
_ACCEPTED += "application/x-recordio-protobuf"


def check_content_type(given: str | None) -> None:
    """Raises UserError unless it is CSV with at most one label; without a content type, the container reads libsvm."""
    kind, *parameters = [part.strip() for part in (given or "libsvm").lower().split(";")]
    if kind in ("csv", "text/csv"):
        if any(one.startswith("label_size") and one.partition("=")[2].strip() != "1" for one in parameters):
            raise UserError(
                f"{given} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
            )
        return
    for name, kinds in _OTHERS.items():
        if kind in kinds:
            raise unknown_locally(
                f"the content type {given or 'libsvm (the default)'}" if kind == "libsvm" else name, "use text/csv"
            )
    raise UserError(f"{given} is not an accepted ContentType: {_ACCEPTED}.")


def delimiter_of(line: str) -> str:
    """Found as the container finds it; raises csv.Error."""
    return csv.Sniffer().sniff(line[:SNIFFED]).delimiter


def columns(source: Any, first_line: str) -> list[Any]:
    """The columns as 32-bit floats, XGBoost's own type; raises csv.Error and pyarrow.ArrowInvalid."""
    delimiter = delimiter_of(first_line)
    names = [str(number) for number in range(len(next(csv.reader([first_line], delimiter=delimiter))))]
    read = pyarrow.csv.read_csv(
        source,
        pyarrow.csv.ReadOptions(column_names=names),
        pyarrow.csv.ParseOptions(delimiter=delimiter),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.float32()), null_values=["", "nan", "NaN", "NA"]
        ),
    )
    return [column.to_numpy() for column in read.columns]


def matrix(columns: list[Any]) -> Any:
    """The columns side by side, row by row."""
    rows = numpy.empty((len(columns[0]), len(columns)), numpy.float32)
    for number, column in enumerate(columns):
        rows[:, number] = column
    return rows
