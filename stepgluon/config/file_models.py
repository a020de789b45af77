"""Rules for files in place of tables (`data.files`): which keys are not allowed, and which are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from stepgluon import limits
from stepgluon import scripts as of_the_user
from stepgluon.config.algorithm_schema import Score
from stepgluon.config.findings import Finding, models_of
from stepgluon.config.kinds import Name
from stepgluon.config.nodes import BROKEN, Node, join
from stepgluon.config.schema import Data, Model, PipelineConfig
from stepgluon.errors import Problem, found
from stepgluon.programs import AUTOGLUON, CONTAINER, programs_of

_OF_FILES = ("files", "prepare")
_OF_COLUMNS = ("label", "where", "drop", "better_than_median")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.:/@-]{0,99}")


def of_files(tree: Node) -> tuple[Node, list[Problem]]:
    """The tree with each model's name as its label too, because the rest of the pipeline needs a label."""
    data, models = tree.value.get("data"), tree.value.get("models")
    files = data.value.get("files") if data is not None and isinstance(data.value, dict) else None
    if data is None or models is None or files is None or files.value is not True:
        return tree, []
    problems = [_unsuited(data.value[name], "your script prepares the files") for name in Data.entries
                if name in data.value and name not in _OF_FILES]  # fmt: skip
    changed = {**tree.value, "data": replace(data, value={k: v for k, v in data.value.items() if k in _OF_FILES})}
    if isinstance(models.value, dict):
        for name in ("partition_by", "values"):
            if name in models.value:
                problems.append(_unsuited(models.value[name], "write the models as a list"))
        changed["models"] = replace(models, value=[replace(models, value=BROKEN)])
    elif isinstance(models.value, list):
        changed["models"] = replace(models, value=[_model(model, problems) for model in models.value])
    return replace(tree, value=changed), problems


def _model(model: Node, problems: list[Problem]) -> Node:
    if not isinstance(model.value, dict):
        return model
    problems += [_unsuited(model.value[name]) for name in _OF_COLUMNS if name in model.value]
    value = {name: child for name, child in model.value.items() if name not in _OF_COLUMNS}
    metric = value.get("metric")
    if metric is None:
        message = "this key is missing (name the metric that judges the model, like accuracy)"
        problems.append(Problem(model.place, join(model.key, "metric"), message))
    elif isinstance(metric.value, str):
        value["metric"] = replace(metric, value=Name(metric.value))
        if not _METRIC.fullmatch(metric.value):
            message = f"{metric.shown} is not allowed (expected: a letter, and letters, digits and _ . : / @ -)"
            problems.append(Problem(metric.place, metric.key, message))
    if "name" in value:
        value["label"] = value["name"]
    return replace(model, value=value)


def _unsuited(node: Node, way_out: str = "") -> Problem:
    message = f"this applies to tables only, not with data.files ({way_out or 'remove it'})"
    return Problem(node.name_place, node.key, message)


def files_are_complete(config: PipelineConfig) -> Iterator[Finding]:
    data, scripts = config.data, {}
    if data.files and data.prepare is None:
        yield Finding("data.prepare", "this key is missing (your script that makes the folders train, test, …)")
    elif data.prepare is not None and not data.files:
        yield Finding("data.prepare", "this applies to files only (add files: true, or remove it)")
    elif data.prepare is not None:
        scripts["data.prepare"] = data.prepare
    if data.files and config.predict.payload is not None:
        message = "with data.files, each request is one file of at most 100 MB (remove it)"
        yield Finding("predict.payload", message, ("data.files",))
    if data.files and len(config.models) > limits.FILE_MODELS:
        message = (
            f"{len(config.models)} models are too many with data.files (at most {limits.FILE_MODELS}: their answers"
        )
        yield Finding("models", f"{message} are inputs of one job, which may have 10)", ("data.files",))
    for key, model in models_of(config):
        score = model.score
        if model.algorithm is not None and model.algorithm.script is not None:
            scripts[f"{key}.algorithm.script"] = model.algorithm.script
        if not data.files:
            if score is not None:
                message = "this applies to files only; with tables, metric says how a model is measured (remove it)"
                yield Finding(f"{key}.score", message, ("data.files",))
            continue
        yield from _container(key, model)
        if model.tune is not None and score is not None and score.log is not None:
            message = "the score of a tuned model needs a script (write with: evaluate.py; or remove tune)"
            yield Finding(f"{key}.score.log", message, (f"{key}.tune", "data.files"))
        if score is None or (score.script is None) == (score.log is None):
            message = (
                "with data.files, either a script or the training log must measure the model "
                "(write score: {with: evaluate.py} or {log: REGEX})"
            )
            yield Finding(f"{key}.score", message, (f"{key}.score.with", f"{key}.score.log"))
        elif score.script is not None:
            scripts[f"{key}.score.with"] = score.script
        else:
            yield from _log(f"{key}.score.log", score)
    yield from _scripts(scripts)


def _container(key: str, model: Model) -> Iterator[Finding]:
    algorithm = model.algorithm
    program = AUTOGLUON if algorithm is None else next(iter(programs_of(algorithm)), CONTAINER)
    if algorithm is not None and algorithm.local is not None:
        message = "with data.files, your scripts need the container itself (remove it, and install buildah)"
        yield Finding(f"{key}.algorithm.local", message, ("data.files",))
    if program.keys != CONTAINER.keys:
        message = (
            f"{program.title} learns from tables (give the model a container: algorithm: {{image: …}} or {{build: …}})"
        )
        yield Finding(f"{key}.algorithm", message, (f"{key}.algorithm.image", f"{key}.algorithm.build"))


def _log(key: str, score: Score) -> Iterator[Finding]:
    try:
        groups = re.compile(score.log or "").groups
    except re.error as problem:
        yield Finding(key, f"invalid regular expression: {problem} (write one like 'accuracy: ([0-9.]+)')")
        return
    if groups != 1:
        yield Finding(key, f"{groups} groups (write one group around the number, like 'accuracy: ([0-9.]+)')")


def _scripts(scripts: dict[str, str]) -> Iterator[Finding]:
    first_key, first = next(iter(scripts.items()), ("", ""))
    for key, script in scripts.items():
        folder = PurePosixPath(script).parent
        if not (of_the_user.REPOSITORY / script).is_file():
            yield Finding(key, f"the repository has no file {found(script)} (give its path from the repository's root)")
        elif folder != PurePosixPath(first).parent:
            message = f"all scripts of a pipeline must be in one folder, but {found(first)} is in another (move one)"
            yield Finding(key, message, (first_key,))
