"""The commands for what runs leave: logs, fetch, monitor, rehearse, compare and clean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Aws
from stepgluon.cli.common import Call
from stepgluon.cli.runs import is_local
from stepgluon.config.schema import Model
from stepgluon.errors import UsageError
from stepgluon.local.work_folder import buckets_of, local_story, one_run
from stepgluon.names import PROMOTED, Names
from stepgluon.runs.child_jobs import Child, whole_run
from stepgluon.runs.compare import compared, config_of, words
from stepgluon.runs.executions import one, read_json, sizes, tell
from stepgluon.runs.fetch import NothingToFetch, archive, copied, download, model_address, of_partition, only_predicted
from stepgluon.runs.logs import CloudWatchLog, FileLog, follow_logs
from stepgluon.runs.start import check_files
from stepgluon.runs.view import shown
from stepgluon.runs.watch import story_of

CAPTURED_BYTES = 256 * 1024 * 1024  # of the newest captured rows, for a rehearsal


def do_logs(call: Call) -> None:
    options = call.options
    collected: list[str] = []
    say = collected.append if options.json else call.terminal.result
    wait = time.sleep if options.follow and not options.json else None
    if is_local(call):
        work, run = options.work, options.run
        whose = _group_of(None, lambda: one_run(work, run), options.model)
        count = follow_logs(
            lambda: one_run(work, run),
            lambda job: FileLog(work / "runs" / run / "logs" / f"{job['name']}.log"),
            whose,
            say,
            wait,
        )
    else:
        with call.account() as (door, names):
            execution, logs = one(door, names, options.run), door.client("logs")
            groups: dict[str, Child] = {}
            unread = ""

            def look() -> dict[str, Any]:
                nonlocal unread
                record, _ = whole_run(door, names, execution, known=groups)
                if record.get("unread", unread) != unread:
                    unread = record["unread"]
                    call.terminal.say(unread)
                return record

            whose = _group_of(door.client("s3"), look, options.model)
            count = follow_logs(look, lambda job: CloudWatchLog(logs, job["kind"], job["name"]), whose, say, wait)
    if options.json:
        call.result("", {"run": options.run, "lines": "".join(collected).splitlines()})
    elif not count:
        job = f"job of {options.model}" if options.model else "job"
        call.terminal.say(f"No {job} of this run has a log: none ran, or its result was cached.")


def _group_of(s3: Any, look: Callable[[], dict[str, Any]], model: str | None) -> str | None:
    """A model found in the data has the log of its group."""
    if not model:
        return None
    record = look()
    if "headline" not in record or any(job["state"].endswith(f" group {model}") for job in record["jobs"]):
        return model
    return str(of_partition(s3, record, model)["group"])


def do_fetch(call: Call) -> None:
    options = call.options
    with _record_of(call) as (record, s3):
        to = options.to or Path(record["run"])
        if options.model and "headline" in record:
            files = archive(s3, record, options.model, to)
        elif options.model:
            files = download(s3, model_address(record, options.model), to / options.model)
        elif record["results"]:
            files = download(s3, record["results"], to) if s3 else copied(Path(record["folder"]), to)
        else:
            files = []
    if not files:
        gone = f"the files of {options.model} are gone" if options.model else f"{record['run']} has no result"
        raise NothingToFetch(f"{gone} (`{pipeline_py('show', record['run'])}` shows the run)")
    if options.only_predicted and not options.model:
        files.append(only_predicted(to))
    listing = [shown(str(file.resolve())) for file in files]
    text = "".join(f"{file}\n" for file in listing[:8])
    text += f"and {len(listing) - 8} more in {shown(str(to.resolve()))}\n" if len(listing) > 8 else ""
    call.result(text, {"run": record["run"], "files": listing})


def do_monitor(call: Call) -> None:
    from stepgluon.local.drift_check import drift_of, words

    options = call.options
    check_files(options.data)
    names, model = _model_of(call)
    limit = options.drift or (model.monitor.drift if model.monitor else 0.2)
    to = options.to or Path(f"drift-{options.model}")
    with _record_of(call) as (record, s3):
        address = model_address(record, options.model)
        found = drift_of(
            *(names, model.name, options.data, limit),
            lambda inputs: download(s3, address, inputs / "model"),
            to,
        )
    call.result(words(found, shown(str((to / "drift.html").resolve()))), found)


def do_rehearse(call: Call) -> None:
    """The run's own model and the one that serves, or else the promoted one, predict the same rows."""
    from stepgluon.local.drift_check import rehearsal_of, rehearsed_words

    options = call.options
    check_files(options.data or [])
    names, model = _model_of(call)
    if names.config.partitioned:
        raise UsageError("models for values found in the data are not rehearsed (compare two runs: compare RUN RUN)")
    to = options.to or Path(f"rehearse-{model.name}")
    with _record_of(call) as (record, s3):
        new = model_address(record, model.name)
        if next(one for one in record["models"] if one["name"] == model.name)["uses"] != "trained":
            raise NothingToFetch(f"{record['run']} has no accepted model {model.name} (rehearse another run)")
        bucket = names.work_bucket
        pointer = read_json(s3, bucket, names.pointer(model)) or {}
        promoted = (read_json(s3, bucket, PROMOTED) or {}).get(names.key(model), {})
        old = pointer.get("folder") or promoted.get("model_uri")
        if not old:
            raise NothingToFetch(f"no model {model.name} serves or is promoted (`{pipeline_py('promote RUN')}`)")
        if old.rstrip("/") == new.rstrip("/"):
            raise NothingToFetch(
                f"the model {model.name} of {record['run']} is the one that serves (rehearse another run)"
            )
        rows = {"captured": names.captured(model)}
        if not sizes(s3, bucket, rows["captured"]):
            rows = {"test": f"runs/{record['run']}/prepared/models/{model.name}/test/"}

        def fetch(inputs: Path) -> None:
            for side, address in (("old", old), ("new", new)):
                download(s3, address, inputs / side)
            for kind, folder in () if options.data else rows.items():
                most = CAPTURED_BYTES if kind == "captured" else inf
                if not download(s3, f"s3://{bucket}/{folder}", inputs / kind, most):
                    raise NothingToFetch(f"the rows of {record['run']} are gone (name some with --data)")

        found = rehearsal_of(names, model.name, options.data or [], fetch, to)
    call.result(rehearsed_words(found, shown(str((to / "rehearse.html").resolve()))), found)


def _model_of(call: Call) -> tuple[Names, Model]:
    """The config's names, and the model that the command is for."""
    config, options = call.config().config, call.options
    known = {model.name: model for model in config.models if not model.score}
    if options.model not in known:
        listed = ", ".join(known) or "none"
        raise UsageError(f"{options.model} is not a model of tables in {options.config} (they are: {listed})")
    return Names(config), known[options.model]


@contextmanager
def _record_of(call: Call) -> Iterator[tuple[dict[str, Any], Any]]:
    """The run and an S3 client, which the result of a local run does not need."""
    options = call.options
    if is_local(call):
        record = one_run(options.work, options.run)
        with buckets_of(call.config(), options.work) if options.model else nullcontext() as s3:
            yield record, s3
        return
    with call.account() as (door, names):
        execution = one(door, names, options.run)
        yield tell(door, names, execution, story_of(door, execution.arn)), door.client("s3")


def do_compare(call: Call) -> None:
    options = call.options
    if is_local(call):
        names = [options.run]
        is_local(call, "other")
        names.append(options.other)
        runs = [one_run(options.work, run) for run in names]
        places = [local_story(options.work, run).config for run in names]
        with buckets_of(call.config(), options.work) as s3:
            configs = [config_of(s3, place) for place in places]
    else:
        with call.account() as (door, pipeline):
            found = [_in_account(door, pipeline, run) for run in (options.run, options.other)]
            runs = [record for record, _ in found]
            configs = [config_of(door.client("s3"), place) for _, place in found]
    result = compared((runs[0], runs[1]), (configs[0], configs[1]))
    call.result(words(result), result)


def _in_account(door: Aws, names: Names, run: str) -> tuple[dict[str, Any], str]:
    execution = one(door, names, run)
    story = story_of(door, execution.arn)
    return tell(door, names, execution, story), story.config


def do_clean(call: Call) -> None:
    from stepgluon.local.clean import clean, planned

    options, loaded = call.options, call.config()
    if not options.work.is_dir():
        raise UsageError(f"the folder {options.work} does not exist (--work names the folder of local runs)")
    names = Names(loaded.config)
    with buckets_of(loaded, options.work) as s3:
        plan = planned(options.work, names, options.keep, s3)
        if options.yes:
            clean(options.work, names, plan, s3)
    again = (
        "" if options.yes or not plan.runs else f"Delete them: {pipeline_py(f'clean --keep {options.keep} --yes')}\n"
    )
    call.result(plan.words(options.yes) + again, asdict(plan) | {"deleted": options.yes})
