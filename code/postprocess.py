"""Post-process: adds the predictions to their rows, in the input's order.

Reads   processing/input/rows/                      prepared/rows: all rows, all columns; of files nothing, see
                                                    file_results.py
        processing/input/numbers/<model>/           prepared/numbers: the rows that the model predicts
        processing/input/predictions/               the prediction jobs' output, each file by its key in S3:
                                                    .../predictions/<model>/<fingerprint>/<job>/<file>
                                                    and the models' evaluation.json, for the report
        processing/input/verdicts/verdicts.json     processing/input/profile/profile.json
        processing/input/config/config.json
        With a model for each partition of the data, see group_results.py
Writes  processing/output/predictions.csv  predictions.parquet  summary.json  report.html  and, last, _SUCCESS

Rows and predictions are both sorted by `stepgluon_row`, so they are merged in one pass, batch by batch. If a model's
prediction failed, its rows have none, and the summary names the model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import file_results
import group_report
import group_results
import group_summary
import job_io
import numpy as np
import part_files
import pyarrow as pa
import pyarrow.compute as pc
import report
from column_types import words
from job_io import ROW, JobError, RetryableError, counted, log
from markup import finite
from predictions import Predictions, files_by_model, paired
from result_files import Addition, additions, predicted_kinds, write_result


@dataclass
class Result:
    """Counts taken while the result is written."""

    rows: int = 0
    predicted: dict[str, int] = field(default_factory=dict)


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        profile = job_io.read_json(job_io.processing_input("profile") / "profile.json")
        if config.get("partitioned"):
            counts, members, added = group_results.results(config, profile, out)
            summary = group_summary.write(out, config, profile, counts, members, added, started)
            report.write(out, config, profile, summary, members, made=group_report.page)
        else:
            write_results(config, profile, out, started)
        (out / job_io.SUCCESS).touch()


def write_results(config: dict[str, Any], profile: dict[str, Any], out: Path, started: float) -> None:
    """Write the result, the summary and the report of the config's own models."""
    by_name = verdicts_of(job_io.read_json(job_io.processing_input("verdicts") / "verdicts.json"), config)
    numbers, predictions = job_io.processing_input("numbers"), job_io.processing_input("predictions")
    if config["data"].get("files"):
        failures = {name: failure_of(verdict) for name, verdict in by_name.items()}
        summary = file_results.results(by_name, profile, job_io.processing_input("answers"), failures, out)
    else:
        cursors = cursors_of(config, profile, by_name, numbers, predictions)
        summary = postprocess(job_io.processing_input("rows"), cursors, by_name, profile, config, out)
    summary["seconds"] = {"prepare": profile.get("seconds"), "postprocess": round(time.monotonic() - started, 1)}
    evaluations = report.evaluations_in(predictions)
    for model in summary["models"]:
        evaluation = evaluations.get(model["name"], {})
        model |= {"r2": finite(evaluation.get("r2")), "learner": str(evaluation.get("best_model") or "") or None}
    job_io.write_json(out / "summary.json", summary)
    report.write(out, config, by_name, profile, summary, evaluations)


def postprocess(
    rows: Path,
    cursors: dict[str, Predictions],
    verdicts: dict[str, dict[str, Any]],
    profile: dict[str, Any],
    config: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write both files of the result to `out` and return the summary."""
    paths = part_files.part_paths(rows)
    columns = {field.name: field.type for field in part_files.read_schema(paths[0]) if field.name != ROW}
    added = additions(config, columns, profile)
    result = Result(predicted=dict.fromkeys(cursors, 0))
    merged = merged_batches(paths, added, cursors, {name: each["verdict"] for name, each in verdicts.items()}, result)
    numbers = [each for each in added if each.kinds["prediction"] == pa.float64()]
    decimals = {each.names["prediction"]: profile.get("decimals", {}).get(each.label) for each in numbers}
    write_result(merged, out, decimals, profile.get("csv", {}))
    check_counts(result, cursors, verdicts, profile)
    return summary_of(result, verdicts, profile, added)


def verdicts_of(verdicts: Any, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each model's verdict by name, in the verdicts' order."""
    try:
        if isinstance(verdicts, str):  # Step Functions may write the list as a JSON string
            verdicts = json.loads(verdicts)
        by_name = {each["name"]: {**each, "verdict": each["verdict"]} for each in verdicts}
    except (TypeError, KeyError, ValueError):
        raise JobError("verdicts.json is not a list of models with name and verdict; run the pipeline again.") from None
    for model in config["models"]:
        if model["name"] not in by_name:
            raise JobError(f"verdicts.json has no verdict of model {model['name']}; run the pipeline again.")
    return by_name


def failure_of(verdict: dict[str, Any]) -> str | None:
    """Why the model did not predict; None if it did."""
    if verdict.get("outcome") != "failed":
        return None
    cause: str = (verdict.get("outcome_failure") or {}).get("Cause") or ""
    return cause or "Its prediction job failed."


def cursors_of(
    config: dict[str, Any],
    profile: dict[str, Any],
    verdicts: dict[str, dict[str, Any]],
    numbers: Path,
    predictions: Path,
) -> dict[str, Predictions]:
    files = files_by_model(predictions)
    cursors = {}
    for model in profile["models"]:
        name, pairs = model["name"], {}
        if failure_of(verdicts[name]) is None and model["rows_predict"]:  # else there was no prediction job
            pairs = paired(name, numbers / name, files.get(name, []), model["predict_files"])
        kinds = predicted_kinds(job_io.model_of(config, name), profile)
        cursors[name] = Predictions(name, pairs, pa.schema(list(kinds.items())))
    return cursors


def merged_batches(
    paths: list[Path], added: list[Addition], cursors: dict[str, Predictions], verdicts: dict[str, str], result: Result
) -> Iterator[pa.RecordBatch]:
    """The rows with their predictions; also an empty batch, to define the columns."""
    yield from ()
    schema = part_files.read_schema(paths[0])
    kept = [name for name in schema.names if name != ROW]
    more = [(each.names[name], kind) for each in added for name, kind in each.kinds.items()]
    full = pa.schema([*(schema.field(name) for name in kept), *more])
    yield pa.RecordBatch.from_pydict({f.name: pa.array([], f.type) for f in full}, schema=full)
    for path in paths:
        for batch in part_files.read_batches(path):
            numbers = batch.column(ROW).to_numpy()
            if not np.array_equal(numbers, np.arange(result.rows, result.rows + len(numbers))):
                raise AssertionError(f"the rows of {path.name} are not numbered one after the other")
            columns = [batch.column(name) for name in kept]
            for each in added:
                columns += predicted_columns(batch, each, cursors, verdicts, result)
            result.rows += len(numbers)
            yield pa.RecordBatch.from_arrays(columns, schema=full)


def predicted_columns(
    batch: pa.RecordBatch, added: Addition, cursors: dict[str, Predictions], verdicts: dict[str, str], result: Result
) -> list[pa.Array]:
    """The columns of one label for the batch's rows; empty for rows without a prediction."""
    count, before, tables = batch.num_rows, 0, []
    chosen = np.full(count, -1, dtype=np.int32)
    source = np.full(count, -1, dtype=np.int64)  # the place of each row's prediction in the tables
    for index, name in enumerate(added.models):
        numbers, answers = cursors[name].below(result.rows + count)
        places = numbers - result.rows
        twice = places[chosen[places] >= 0]
        if len(twice):
            other = added.models[chosen[twice[0]]]
            raise JobError(
                f"Row {result.rows + int(twice[0]) + 1} of the data has predictions of the models {other} and {name}; "
                "run the pipeline again."
            )
        chosen[places], source[places] = index, np.arange(before, before + len(places))
        before += len(places)
        tables.append(answers)
        result.predicted[name] += len(places)
    labelled = pc.is_valid(batch.column(added.label)).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(labelled & (chosen >= 0))
    if len(wrong):
        raise JobError(
            f"Row {result.rows + int(wrong[0]) + 1} of the data has a {job_io.shown(added.label)} and a prediction; "
            "the predictions belong to other data, run the pipeline again."
        )
    indices = pa.array(chosen, mask=chosen < 0)
    names = pa.array(added.models)
    said = pa.array([verdicts[name] for name in added.models])
    # Empty columns of a table that was concatenated have no chunk.
    answers = pa.concat_tables(tables).combine_chunks().take(pa.array(source, mask=source < 0))
    values = [pa.concat_arrays(c.chunks) if c.num_chunks else pa.array([], c.type) for c in answers.columns]
    try:
        values[0] = values[0].cast(added.kinds["prediction"])
    except pa.ArrowInvalid:
        known = ", ".join(map(job_io.shown, pc.unique(values[0].drop_null()).to_pylist()[:3]))
        raise JobError(
            f"The promoted models of {added.label} predict classes such as {known}, but the column holds "
            f"{words(added.kinds['prediction'])}; promote a model that was trained with such a column."
        ) from None
    return [*values, names.take(indices), said.take(indices)]


def check_counts(
    result: Result, cursors: dict[str, Predictions], verdicts: dict[str, dict[str, Any]], profile: dict[str, Any]
) -> None:
    """Check that the row count is unchanged, and that each model predicted all its rows."""
    if result.rows != profile["rows"]:
        raise RetryableError(
            f"The result has {counted(result.rows, 'row')}, the input had {profile['rows']}; "
            "the job's inputs are not complete."
        )
    for model in profile["models"]:
        name, expected = model["name"], model["rows_predict"]
        cursors[name].finished()
        if failure_of(verdicts[name]) is None and result.predicted[name] != expected:
            raise RetryableError(
                f"Model {name} predicted {result.predicted[name]} of its {counted(expected, 'row')}; "
                "the job's inputs are not complete."
            )


def summary_of(
    result: Result, verdicts: dict[str, dict[str, Any]], profile: dict[str, Any], added: list[Addition]
) -> dict[str, Any]:
    parts = {model["name"]: model for model in profile["models"]}
    models, missing = [], []
    for name, verdict in verdicts.items():
        known = {key: verdict.get(key) for key in ("mae", "threshold", "verdict", "reason", "uses", "model_uri")}
        known |= {key: verdict[key] for key in ("metric", "score", "baseline", "at_most", "at_least") if key in verdict}
        rows = {key: parts[name][key] for key in ("rows_train", "rows_test", "rows_predict")}
        failure = failure_of(verdict)
        ending = {"outcome": "failed" if failure else "predicted", "failure": failure}
        models.append(
            {"name": name, "label": parts[name]["label"], "rows": result.predicted[name], **rows, **known, **ending}
        )
        if failure:
            missing.append({"name": name, "rows": parts[name]["rows_predict"], "reason": failure})
            log.info("model %s: %s without prediction", name, counted(parts[name]["rows_predict"], "row"))
    predicted = sum(result.predicted.values())
    log.info("%s, %s", counted(result.rows, "row"), counted(predicted, "prediction"))
    return {
        "rows": result.rows,
        "predictions": predicted,
        "gaps": profile.get("gaps"),
        "data_sha256": profile.get("sha256"),
        "rows_no_model_selects": profile["rows_no_model_selects"],
        "models": models,
        "missing": missing,
        "separator": profile.get("csv", {}).get("separator", ","),
        "columns": [{"label": each.label, **each.names} for each in added],
        "files": ["predictions.csv", "predictions.parquet"],
    }


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
