"""Parquet parts: writes batches of rows to files of a suitable size, and reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from job_io import RetryableError

GROUP_BYTES = 16 * 1024 * 1024  # approximate size of a row group in memory, the smallest unit for reading
GROUP_ROWS = 131_072
SAMPLE = 10_000  # rows to inspect before a file is started
FILE_BYTES = 128 * 1024 * 1024
FILE_ROWS = 524_288

Seen = Callable[[pa.Table], None]


class PartWriter:
    """Writes rows to files whose names sort in the rows' order; at least `files` of them, and at least one.

    Each folder gets the columns of its schema; files with the same name hold the same rows in every folder. `seen` is
    called with all rows, some at a time.
    """

    def __init__(self, folders: Mapping[Path, pa.Schema], files: int = 1, seen: Seen | None = None) -> None:
        for folder in folders:
            folder.mkdir(parents=True)
        self.folders, self.files, self._seen = folders, files, seen
        self.rows = 0
        self.written: dict[str, int] = {}  # number of rows per file
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = self._waiting_rows = 0
        self._writers: list[pq.ParquetWriter] = []
        self._file_bytes = self._file_rows = 0
        self._repeating: list[str] = []

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= GROUP_BYTES or self._waiting_rows >= GROUP_ROWS:
            self.flush()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def flush(self) -> None:
        """Write the waiting rows as one row group."""
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        if self._seen is not None:
            self._seen(table)
        if not self._writers:
            self._repeating = repeating(table)
            self._writers = self._open(len(self.written))
        for each in self._writers:
            each.write_table(table.select(each.schema.names), row_group_size=GROUP_ROWS)
        self._file_bytes += self._waiting_bytes
        self._file_rows += self._waiting_rows
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0
        if self._is_full():
            self._close_file()

    def close(self) -> None:
        self.flush()
        self._close_file()
        if not self.written:
            self._writers = self._open(0)
            self._close_file()
        if len(self.written) < self.files:
            self._cut()

    def _is_full(self) -> bool:
        return self._file_bytes >= FILE_BYTES or self._file_rows >= FILE_ROWS

    def _open(self, number: int) -> list[pq.ParquetWriter]:
        return [writer(folder / part_name(number), schema, self._repeating) for folder, schema in self.folders.items()]

    def _close_file(self) -> None:
        if self._writers:
            for each in self._writers:
                each.close()
            self.written[part_name(len(self.written))] = self._file_rows
        self._writers, self._file_bytes, self._file_rows = [], 0, 0

    def _cut(self) -> None:
        """Cut each file into equal pieces, so that every instance of a job gets a share of the files."""
        whole, self.written = self.written, {}
        pieces = -(-self.files // len(whole))
        for rows in whole.values():
            for piece in range(pieces):
                self.written[part_name(len(self.written))] = rows * (piece + 1) // pieces - rows * piece // pieces
        for folder, schema in self.folders.items():
            for name in whole:
                (folder / name).rename((folder / name).with_suffix(".whole"))
            names = iter(self.written.items())
            for name in whole:
                path, start = (folder / name).with_suffix(".whole"), 0
                table = pq.read_table(path)
                for new, rows in islice(names, pieces):
                    with writer(folder / new, schema, self._repeating) as target:
                        target.write_table(table.slice(start, rows), GROUP_ROWS)
                    start += rows
                path.unlink()


class SteadyWriter(PartWriter):
    """Ends files depending only on their own rows, not on batches or other writers.

    So the same rows are always in the same files, and a file's predictions from one run can be used in another.
    """

    _steady_bytes = _steady_rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        ends = np.cumsum(row_bytes(batch))
        start = begin = 0
        while start < len(ends):
            filled = int(np.searchsorted(ends, begin + FILE_BYTES - self._steady_bytes)) + 1
            stop = min(filled, start + FILE_ROWS - self._steady_rows, len(ends))
            super().write(batch.slice(start, stop - start))
            self._steady_rows += stop - start
            self._steady_bytes += int(ends[stop - 1]) - begin
            if self._steady_rows >= FILE_ROWS or self._steady_bytes >= FILE_BYTES:
                self.flush()
                self._close_file()
                self._steady_rows = self._steady_bytes = 0
            start, begin = stop, int(ends[stop - 1])

    def _is_full(self) -> bool:
        return False


def writer(where: Path | pa.NativeFile, schema: pa.Schema, repeating: list[str]) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        where,
        schema,
        # After dictionary encoding, compression saves little, and takes as long as writing.
        use_dictionary=[name for name in schema.names if name in repeating] or False,
        compression={field.name: "snappy" if pa.types.is_string(field.type) else "none" for field in schema},
        write_statistics=False,
    )


def row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """The approximate size of each row in memory; depends only on its values."""
    sizes = np.full(batch.num_rows, 8 * batch.num_columns, dtype=np.int64)
    for values in batch.columns:
        if pa.types.is_string(values.type):
            sizes += pc.fill_null(pc.binary_length(values), 0).to_numpy()
    return sizes


def part_name(number: int) -> str:
    return f"part-{number:05}.parquet"


def repeating(table: pa.Table) -> list[str]:
    """The columns whose values mostly repeat: only for these a dictionary saves space."""
    head = table.slice(0, SAMPLE)
    return [name for name in head.column_names if pc.count_distinct(head[name]).as_py() * 2 < len(head)]


def part_paths(folder: Path) -> list[Path]:
    """The part files in the rows' order."""
    paths = sorted(path for path in folder.rglob("*.parquet") if path.is_file())
    if not paths:
        raise RetryableError(f"There are no Parquet files in {folder}; the job's inputs are not complete.")
    return paths


def read_batches(path: Path, columns: list[str] | None = None, rows: int = GROUP_ROWS) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(rows, columns=columns)


def read_schema(path: Path) -> pa.Schema:
    return pq.read_schema(path)
