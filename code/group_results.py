"""Post-process with a model for each partition of the data: adds the predictions of thousands of models to their rows.

Reads, besides what postprocess.py reads,
        processing/input/numbers/<group>.json       the group's models, as prepare wrote them
        processing/input/numbers/<group>.parquet    the rows that each of them predicts, a row group for each model
        processing/input/choices/<group>/           choices.json: verdicts, and what predicts; failure.json if the
                                                    group's child execution caught a failure
        .../predictions/groups/<group>/<hash>/<job>/predictions.parquet, with a row group for each model that
                                                    predicted, and result.json
Writes  predictions.csv  predictions.parquet, and what group_summary.py writes

A group that failed, or whose files are damaged, costs only its own models. Predictions are kept by row in files that
are mapped into memory, so memory does not grow with the rows; each takes 12 bytes of disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import job_io
import numpy as np
import part_files
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from job_io import ROW, JobError, RetryableError, counted, log
from mapped_answers import CHUNK, Damaged, MappedAnswers
from result_files import Addition, additions, predicted_kinds, write_result

NAME = "stepgluon_model"  # the column of predictions.parquet with the model's name
FRESH = "start a fresh run"


@dataclass
class Member:
    """A model of a group."""

    name: str
    value: str  # of its partition
    group: str
    entry: dict[str, Any]  # of prepare
    choice: dict[str, Any] = field(default_factory=dict)  # its verdict, and what predicts; empty if the group failed
    rows: int = 0  # predicted
    failure: str | None = None

    @property
    def to_predict(self) -> int:
        return int(self.entry.get("rows_predict") or 0)

    @property
    def predicts(self) -> bool:
        """Whether a model predicts, its own or a promoted one."""
        return bool(self.choice.get("uses", "nothing") != "nothing")

    @property
    def is_trained(self) -> bool:
        """Whether it has enough rows to be trained, in this run or an earlier one."""
        return self.entry.get("train") is not None

    @property
    def is_accepted(self) -> bool:
        return bool(self.choice.get("verdict") == "accepted")

    @property
    def training_failure(self) -> str:
        """Why it has no score, if the training said so."""
        failure = self.choice.get("failure")
        return self.said_of_it(failure.get("Cause")) if isinstance(failure, dict) else ""

    def said_of_it(self, cause: Any) -> str:
        """A job's sentence without the model's name, which is beside it wherever it is shown."""
        said = str(cause or "").removeprefix(job_io.NOT_RETRIED).removeprefix(f"Model {self.name}: ")
        return said[:1].upper() + said[1:]

    @property
    def was_replaced(self) -> bool:
        """Whether it does not predict because another model was rejected (`when: any`)."""
        return self.is_accepted and not self.predicts

    @property
    def outcome(self) -> str:
        """`open` if no model predicts the partition because it has too few rows."""
        if self.failure:
            return "failed"
        return "no gaps" if not self.to_predict else "predicted" if self.predicts else "open"


def results(
    config: dict[str, Any], profile: dict[str, Any], out: Path
) -> tuple[dict[str, Any], list[Member], list[Addition]]:
    """Write both files of the result to `out`, and return the counts of rows, and the models by name."""
    rows, numbers = job_io.processing_input("rows"), job_io.processing_input("numbers")
    groups = members_of(numbers)
    members = [member for group in groups.values() for member in group]
    files = files_by_group(job_io.processing_input("predictions"))
    paths = part_files.part_paths(rows)
    columns = {each.name: each.type for each in part_files.read_schema(paths[0]) if each.name != ROW}
    added = additions(config, columns, profile)
    kinds = predicted_kinds(config["models"][0], profile)
    with job_io.scratch() as folder:
        answers = MappedAnswers(folder, profile["rows"], kinds)
        before = 0
        for group, these in groups.items():
            choose(group, these, job_io.processing_input("choices") / group)
            read_group(group, these, before, numbers / f"{group}.parquet", files.get(group, []), answers)
            before += len(these)
        if answers.count() != sum(member.rows for member in members):
            raise JobError("Some rows of the data have predictions from several models; run the pipeline again.")
        merged = merged_batches(paths, added[0], answers, members)
        decimals = profile.get("decimals", {}).get(added[0].label)
        is_number = added[0].kinds["prediction"] == pa.float64()
        shown = {added[0].names["prediction"]: decimals} if is_number else {}
        write_result(merged, out, shown, profile.get("csv", {}))
    predicted = sum(member.rows for member in members)
    log.info("%s, %s", counted(profile["rows"], "row"), counted(predicted, "prediction"))
    return {"rows": profile["rows"], "predictions": predicted}, sorted(members, key=lambda one: one.name), added


def members_of(numbers: Path) -> dict[str, list[Member]]:
    """The models of each group, in the order of its files' row groups."""
    groups: dict[str, list[Member]] = {}
    taken: set[str] = set()
    for path in sorted(numbers.glob("g*.json")):
        models = job_io.read_json(path)["models"]
        groups[path.stem] = [
            Member(one["name"], str(one.get("value") or one["name"]), path.stem, one) for one in models
        ]
        twice = taken.intersection(names := [one["name"] for one in models])
        if twice or len(set(names)) != len(names):
            raise JobError(f"Two groups have a model {min(twice, default=names[0])}; run the pipeline again.")
        taken.update(names)
    if not groups:
        raise RetryableError(f"No group of models was found in {numbers}; the job's inputs are not complete.")
    return groups


def files_by_group(folder: Path) -> dict[str, list[Path]]:
    """The predictions of each group."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("predictions/groups/*/*/*/predictions.parquet")):
        files.setdefault(path.parts[-4], []).append(path)
    return files


def choose(group: str, members: list[Member], folder: Path) -> None:
    """Give each model its verdict, or the reason why it has none."""
    cause = _cause(folder)
    try:
        choices = {one["name"]: one for one in job_io.read_json(folder / "choices.json")["models"]}
    except (RetryableError, KeyError, TypeError):
        choices, cause = {}, cause or f"Group {group} ended before its models were judged."
    for member in members:
        member.choice = dict(choices.get(member.name, {}))
        if not member.choice:
            member.failure = cause or f"Group {group} ended without a verdict on this model."
        elif not member.to_predict:
            continue
        elif member.predicts:
            member.failure = cause or f"The prediction job of group {group} failed."  # until its predictions are read
        elif member.is_trained:
            member.failure = member.training_failure or str(member.choice.get("reason") or "No model predicts for it.")
            if member.was_replaced:
                member.failure = "Another model was rejected, and none is promoted for this partition."


def _cause(folder: Path) -> str:
    """Why the group's child execution failed, if it caught that."""
    try:
        failure = job_io.read_json(folder / "failure.json")
    except RetryableError:
        return ""
    return str(failure.get("Cause") or failure.get("Error") or "") if isinstance(failure, dict) else ""


def read_group(
    group: str, members: list[Member], before: int, numbers: Path, files: list[Path], answers: MappedAnswers
) -> None:
    """Read the group's predictions. `before` is the number of models in the earlier groups."""
    waiting = {member.name: place for place, member in enumerate(members, before) if member.failure and member.predicts}
    if not waiting or not files:
        return
    try:
        if len(files) > 1:
            raise Damaged(
                f"Group {group} has predictions from two jobs, {files[0].parent.name} and {files[1].parent.name}."
            )
        outcomes = {one["name"]: one for one in job_io.read_json(files[0].with_name("result.json"))["models"]}
        with pq.ParquetFile(numbers) as rows, pq.ParquetFile(files[0], read_dictionary=[NAME]) as table:
            chunk: list[tuple[Member, int, int, int]] = []
            size = 0
            for name, place in waiting.items():
                member = members[place - before]
                if pair := _row_groups(member, outcomes.get(name, {}), rows, table):
                    chunk.append((member, place, *pair))
                    size += member.to_predict
                if size >= CHUNK:
                    _read(chunk, rows, table, answers)
                    chunk, size = [], 0
            if chunk:
                _read(chunk, rows, table, answers)
    except (Damaged, RetryableError, OSError, pa.ArrowException, KeyError, TypeError) as problem:
        said = (
            str(problem) if isinstance(problem, Damaged) else f"The predictions of group {group} are damaged: {problem}"
        )
        log.info("%s", said)
        for member in members:
            if member.failure and member.predicts:
                member.failure = f"{said.rstrip('.')}; {FRESH}."


def _row_groups(
    member: Member, outcome: dict[str, Any], rows: pq.ParquetFile, table: pq.ParquetFile
) -> tuple[int, int] | None:
    """The model's row groups in both files; None, with the reason, if it did not predict."""
    if outcome.get("row_group") is None:
        cause = outcome.get("Cause") or outcome.get("Error")
        member.failure = member.said_of_it(cause) or "Its prediction failed without giving a reason."
        return None
    pair = int(member.entry["row_groups"]["predict"]), int(outcome["row_group"])
    if not (pair[0] < rows.num_row_groups and pair[1] < table.num_row_groups):
        raise Damaged(f"The predictions of group {member.group} lack those of the model {member.name}.")
    expected, there = (f.metadata.row_group(n).num_rows for f, n in zip((rows, table), pair, strict=True))
    if expected != member.to_predict:
        raise Damaged(f"The rows of group {member.group} are not those of its models.")
    if there != expected:
        member.failure = f"It has {counted(there, 'prediction')} for its {counted(expected, 'row')}; {FRESH}."
        return None
    return pair


def _read(
    chunk: list[tuple[Member, int, int, int]], rows: pq.ParquetFile, table: pq.ParquetFile, answers: MappedAnswers
) -> None:
    """Keep the predictions of some models, except those with a prediction that is not a number or class."""
    places = rows.read_row_groups([row_group for _, _, row_group, _ in chunk], [ROW], use_threads=False)[ROW].to_numpy()
    wanted = [NAME, *(name for name in answers.kinds if name in table.schema_arrow.names)]
    read = table.read_row_groups([row_group for _, _, _, row_group in chunk], wanted, use_threads=False)
    counts = np.array([member.to_predict for member, *_ in chunk])
    ends = np.cumsum(counts)
    if not 0 <= int(places.min()) <= int(places.max()) < answers.rows:
        raise JobError(f"Group {chunk[0][0].group} predicted rows that the data does not have; run the pipeline again.")
    named = read[NAME].take(pa.array(np.concatenate([ends - counts, ends - 1]))).to_pylist()
    if named != 2 * [member.name for member, *_ in chunk]:
        raise Damaged(f"The predictions of group {chunk[0][0].group} are not in the order of its models.")
    good = answers.usable(read)
    owners = np.repeat(np.arange(len(chunk)), counts)
    bad = set(owners[~good].tolist())
    for number, (member, *_) in enumerate(chunk):
        member.failure = f"A prediction is not a {answers.noun}; {FRESH}." if number in bad else None
        member.rows = 0 if number in bad else member.to_predict
    if bad:
        kept = ~np.isin(owners, list(bad))
        places, owners, read = places[kept], owners[kept], read.filter(pa.array(kept))
    answers.keep(places, np.array([place for _, place, _, _ in chunk], np.int32)[owners], read)


def merged_batches(
    paths: list[Path], added: Addition, answers: MappedAnswers, members: list[Member]
) -> Iterator[pa.RecordBatch]:
    """The rows with their predictions; also an empty batch, to define the columns."""
    names = pa.array([member.name for member in members], pa.string())
    said = pa.array([member.choice.get("verdict") for member in members], pa.string())
    schema = part_files.read_schema(paths[0])
    kept = [name for name in schema.names if name != ROW]
    full = pa.schema([*map(schema.field, kept), *((added.names[name], kind) for name, kind in added.kinds.items())])
    yield pa.RecordBatch.from_pydict({f.name: pa.array([], f.type) for f in full}, schema=full)
    done = 0
    for path in paths:
        for batch in part_files.read_batches(path):
            if not np.array_equal(batch.column(ROW).to_numpy(), np.arange(done, done + batch.num_rows)):
                raise AssertionError(f"the rows of {path.name} are not numbered one after the other")
            more = answers.columns(done, done + batch.num_rows, added, names, said)
            wrong = np.flatnonzero(pc.and_(batch.column(added.label).is_valid(), more[-2].is_valid()).to_numpy(False))
            if len(wrong):
                raise JobError(
                    f"Row {done + int(wrong[0]) + 1} of the data has a {job_io.shown(added.label)} and a prediction; "
                    "the predictions belong to other data, run the pipeline again."
                )
            done += batch.num_rows
            yield pa.RecordBatch.from_arrays([*(batch.column(name) for name in kept), *more], schema=full)
    if done != answers.rows:
        raise RetryableError(
            f"The result has {counted(done, 'row')}, the input had {answers.rows}; the job's inputs are not complete."
        )
