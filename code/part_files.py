"""Parquet parts: rows go in batch by batch, files of a sensible size come out; and the reading of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from job_io import JobError

GROUP_BYTES = 16 * 1024 * 1024  # a row group is about this big in memory, the least that can be read at once
GROUP_ROWS = 131_072
SAMPLE = 10_000  # rows that are looked at before a file is begun
FILE_BYTES = 128 * 1024 * 1024
FILE_ROWS = 524_288


class PartWriter:
    """Writes one folder of files, named in the rows' order, at least `files` of them and so at least one."""

    def __init__(self, folder: Path, schema: pa.Schema, files: int = 1) -> None:
        folder.mkdir(parents=True)
        self.folder, self.schema, self.files = folder, schema, files
        self.rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = self._waiting_rows = 0
        self._paths: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
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
        """Writes the waiting rows as one row group."""
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting, self.schema)
        if self._writer is None:
            self._repeating = repeating(table)
            self._writer = self._open(len(self._paths))
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._file_bytes += self._waiting_bytes
        self._file_rows += self._waiting_rows
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0
        if self._file_bytes >= FILE_BYTES or self._file_rows >= FILE_ROWS:
            self._close_file()

    def close(self) -> None:
        self.flush()
        self._close_file()
        if not self._paths:
            self._open(0).close()
        if len(self._paths) < self.files:
            self._cut()

    def _open(self, number: int) -> pq.ParquetWriter:
        path = self.folder / f"part-{number:05}.parquet"
        self._paths.append(path)
        texts = {field.name: "snappy" for field in self.schema if pa.types.is_string(field.type)}
        return pq.ParquetWriter(
            path,
            self.schema,
            # What a dictionary has made small, compression makes hardly smaller, for as much time as writing takes.
            use_dictionary=self._repeating or False,
            compression={name: texts.get(name, "none") for name in self.schema.names},
            write_statistics=False,
        )

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._file_bytes, self._file_rows = None, 0, 0

    def _cut(self) -> None:
        """Cuts each file into equal pieces, so that every instance of a job gets a share of the files."""
        whole, self._paths = self._paths, []
        pieces = -(-self.files // len(whole))
        for path in whole:
            path.rename(path.with_suffix(".whole"))
        for number, path in enumerate(whole):
            table = pq.read_table(path.with_suffix(".whole"))
            edges = [table.num_rows * piece // pieces for piece in range(pieces + 1)]
            for piece in range(pieces):
                with self._open(number * pieces + piece) as writer:
                    writer.write_table(table.slice(edges[piece], edges[piece + 1] - edges[piece]), GROUP_ROWS)
            path.with_suffix(".whole").unlink()


def repeating(table: pa.Table) -> list[str]:
    """The columns whose values mostly repeat: these are small with a dictionary, for others it is lost time."""
    head = table.slice(0, SAMPLE)
    return [name for name in head.column_names if pc.count_distinct(head[name]).as_py() * 2 < len(head)]


def part_paths(folder: Path) -> list[Path]:
    """The part files in the rows' order."""
    paths = sorted(path for path in folder.rglob("*.parquet") if path.is_file())
    if not paths:
        raise JobError(f"There are no Parquet files in {folder}; the job's inputs are not complete.")
    return paths


def read_batches(path: Path, columns: list[str] | None = None, rows: int = GROUP_ROWS) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(rows, columns=columns)


def read_schema(path: Path) -> pa.Schema:
    return pq.read_schema(path)
