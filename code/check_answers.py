"""Check a container's answers to the rows to predict, and write them as predictions, as predict does.

Reads   processing/input/answers/               the answers; see answers.py
        processing/input/numbers/               prepared/numbers of the model: files with as many rows
        processing/input/manifest/manifest.json of the model that answered; see model_folder.py
        environment variables STEPGLUON_MODEL, and STEPGLUON_MANIFEST, the sha256 of the manifest
Writes  processing/output/                      for each file of numbers, one with the same name; see predict.py
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

from pathlib import Path
from typing import Any

import answers
import job_io
import job_model
import part_files
import pyarrow as pa
import pyarrow.parquet as pq
from job_io import counted, log
from model_folder import program_of, read_manifest
from predict import predicted, schema_of
from programs import PROGRAMS


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        model = job_model.prediction_model()
        manifest = read_manifest(job_io.processing_input("manifest"), model, job_model.prediction_manifest())
        check(job_io.processing_input("answers"), job_io.processing_input("numbers"), manifest, model, out)


def check(answered: Path, numbers: Path, manifest: dict[str, Any], model: str, out: Path) -> None:
    classes: list[str] = manifest.get("classes") or []
    ours = not PROGRAMS[program_of(manifest)].answers  # our server answers with the columns that predict.py writes
    for path in part_files.part_paths(numbers):
        count = pq.read_metadata(path).num_rows
        schema = schema_of(classes)
        after = schema.names[1:] if ours else ()
        given = answers.read(answered, path.stem, count, model, classes or None, after, only_known=True)
        columns = {"prediction": given.predicted}
        if ours and given.chances is not None:
            columns |= dict(zip(schema.names[1:], given.chances.T, strict=True))
        elif given.chances is not None:
            columns["probability"] = given.chances[range(count), [classes.index(one) for one in given.predicted]]
            columns |= dict.fromkeys(schema.names[2:], given.chances[:, -1])
        schema = pa.schema([field for field in schema if field.name in columns])
        batch = predicted(range(count), columns, f"{path.stem}.csv", model, schema)
        pq.write_table(pa.Table.from_batches([batch], schema), out / path.name)
        log.info("%s: %s", path.name, counted(count, "row"))


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
