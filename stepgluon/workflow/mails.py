"""What the mails say. Each is a subject and a message, as intrinsic functions that fill in the run's data.

A subject is printable ASCII of at most 99 characters: so it has the pipeline's name and the run's short id, never the
execution's name, which may be long.
"""

from __future__ import annotations

from collections.abc import Callable

from stepgluon.config.schema import PipelineConfig
from stepgluon.names import Names
from stepgluon.workflow.intrinsics import as_json, text

Mail = tuple[str, str]


def announce_start(config: PipelineConfig, names: Names) -> Mail:
    message = f"""Run {{}} of the pipeline {names.prefix} has started.

Data:   {{}}
Models: {", ".join(model.name for model in config.models)}
Note:   {{}}
Stages: from {{}} on, in s3://{names.work_bucket}/runs/{{}}/

{_follow(names)}"""
    told = ("$.run", "$.input.data", "$.input.note", "$.input.resume.from", "$.home")
    return _subject(names, "started"), text(message, *told, *_FOLLOW)


def announce_models(config: PipelineConfig, names: Names) -> Mail:
    lines, paths = _verdicts(config)
    message = f"""The models of run {{}} of the pipeline {names.prefix} have been judged.

{lines}

{_follow(names)}"""
    return _subject(names, "models"), text(message, "$.run", *paths, *_FOLLOW)


def announce_results(config: PipelineConfig, names: Names) -> Mail:
    folder = f"s3://{names.work_bucket}/runs/{{}}/result/"
    message = f"""Run {{}} of the pipeline {names.prefix} has finished.

Results: {folder}
         predictions.csv, predictions.parquet, summary.json

Fetch them:
  aws s3 cp --recursive --region {config.region} {folder} results/

Use its models whenever a later one is not good enough:
  {names.pipeline_py("promote {}")}
"""
    return _subject(names, "finished"), text(message, "$.run", "$.home", "$.home", "$.home")


def announce_failure(config: PipelineConfig, names: Names) -> Mail:
    message = f"""Run {{}} of the pipeline {names.prefix} failed in the state {{}}.

{{}}: {{}}
{{}}
The raw data is untouched. What was finished is kept in s3://{names.work_bucket}/runs/{{}}/

{_follow(names)}
When the reason is gone, go on with what is not finished:
  {names.pipeline_py("redrive {}")}
Or upload the .run file again: that starts a new run, from the beginning."""
    failed = ("$.failed.state", "$.failed.failure.Error", "$.failed.failure.Cause", "$.failed.details")
    return _subject(names, "failed"), text(message, "$.run", *failed, "$.home", *_FOLLOW, "$.run")


MAILS: dict[str, Callable[[PipelineConfig, Names], Mail]] = {
    "Announce start": announce_start,
    "Announce models": announce_models,
    "Announce results": announce_results,
    "Announce failure": announce_failure,
}


def outcomes(config: PipelineConfig) -> str:
    """What became of each model's prediction."""
    lines, paths = [], []
    for index, model in enumerate(config.models):
        lines.append(f"- {model.name}: {{}}. {{}} {{}}")
        of = f"$.predictions[{index}]"
        paths += [f"{of}.outcome", f"{of}.failure.Error", f"{of}.failure.Cause"]
    return text("\n" + "\n".join(lines) + "\n", *paths)


def _verdicts(config: PipelineConfig) -> tuple[str, list[str]]:
    lines, paths = [], []
    for index, model in enumerate(config.models):
        lines.append(f"- {model.name}: {{}}, {{}} ({{}}, at most {{}}), uses {{}}. {{}} {{}}")
        of = f"$.models[{index}]"
        paths += [f"{of}.verdict", f"{of}.reason", as_json(f"{of}.mae"), f"{of}.threshold", f"{of}.uses"]
        paths += [f"{of}.failure.Error", f"{of}.failure.Cause"]
    return "\n".join(lines), paths


_FOLLOW = ("$.run", "$$.Execution.Id")


def _follow(names: Names) -> str:
    """Where to look; its two gaps are filled from _FOLLOW."""
    command = f"Look closer: {names.pipeline_py('show {}')}"
    return f"{command}\n             {names.console}{{}}" if names.console else f"{command}\n             {{}}"


def _subject(names: Names, what: str) -> str:
    return text(f"{names.prefix} {{}}: {what}", "$.id")
