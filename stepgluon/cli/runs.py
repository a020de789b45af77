"""The commands for past and present runs: runs, show, watch, redrive, promote and models.

A command goes to the place of its run: the work folder if it has the run, otherwise the account. `--work DIR` and
`--aws` force one; see docs/decisions/0061. What follows a local run loads the local AWS, so only two commands do.
"""

from __future__ import annotations

import tempfile
import time
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stepgluon.advice import WORK, pipeline_py
from stepgluon.aws import Aws, there_are_credentials
from stepgluon.cli.common import Call
from stepgluon.cli.terminal import write_file
from stepgluon.config.source import LoadedConfig
from stepgluon.cost.estimate import check_cost
from stepgluon.errors import StepgluonError, SurroundingsError, UsageError
from stepgluon.local.work_folder import (
    all_runs,
    door_of,
    endpoint,
    find_run,
    is_served,
    local_story,
    of_others,
    one_run,
)
from stepgluon.names import Names
from stepgluon.runs import report
from stepgluon.runs.child_jobs import whole_run
from stepgluon.runs.executions import (
    LATEST,
    Execution,
    last_words,
    one,
    read_usage,
    sizes,
    tuning_words,
    unknown_run,
)
from stepgluon.runs.history import Story, score_of
from stepgluon.runs.map_runs import map_words
from stepgluon.runs.model_registry import versions_of, versions_table
from stepgluon.runs.promote import named, promote
from stepgluon.runs.promote_partitions import promote_partitions, promoted_models, promoted_words, words
from stepgluon.runs.redrive import planned, redrive
from stepgluon.runs.run_list import runs_of, runs_table
from stepgluon.runs.view import details, panel
from stepgluon.runs.watch import story_of, watch

LISTED = 20  # runs of an account


def is_local(call: Call, which: str = "run") -> bool:
    """Whether the command acts on the work folder; if so, the option becomes the run's full name."""
    options = call.options
    if options.aws:
        return False
    forced, options.work = options.work is not None, options.work or Path(WORK)
    if forced and not options.work.is_dir():
        raise UsageError(f"the folder {options.work} does not exist (--work names the folder of local runs)")
    run = getattr(options, which, None)
    if run is None:
        return True
    if found := find_run(options.work, run, lambda: _names(call)):
        setattr(options, which, found["run"])
        return True
    if not forced and there_are_credentials():
        return False
    runs = all_runs(options.work)
    of = ""
    if run == LATEST and runs and (names := _names(call)):
        of = of_others(names.prefix, runs)
    raise unknown_run(run, [record["run"] for record in runs], str(options.work), "runs", of)


def _names(call: Call) -> Names | None:
    """The names of the config's pipeline; None without a valid config, because a local run is shown without one."""
    try:
        return Names(call.config().config)
    except StepgluonError:
        return None


def _address(call: Call) -> str | None:
    """Where a local AWS serves the work folder; None also while it is starting or ending."""
    work = call.options.work
    try:
        return endpoint(work) if work and is_served(work) else None
    except SurroundingsError:
        return None


def do_runs(call: Call) -> None:
    if is_local(call):
        runs, start = all_runs(call.options.work), "run --data FILE"
    else:
        with call.account() as (door, names):
            runs, start = runs_of(door, names, LISTED), "start --data FILE"
    call.result(runs_table(runs, start), runs)


def do_show(call: Call) -> None:
    if is_local(call):
        run = one_run(call.options.work, call.options.run)
        file = Path(run["report"]) if run.get("report") else None
    else:
        with call.account() as (door, names):
            execution = one(door, names, call.options.run)
            run = record_of(door, names, execution)
            file = _fetched_report(door, names, execution, run) if call.options.open else None
    call.result(details(run, _address(call)), run)
    if call.options.open:
        _open(call, run["run"], file)


def _fetched_report(door: Aws, names: Names, execution: Execution, run: dict[str, Any]) -> Path | None:
    """The report of a run in the account, in a temporary file; None before the end of the run."""
    page = report.in_account(door, names, run, story_of(door, execution.arn))
    if not page:
        return None
    file = Path(tempfile.mkdtemp(prefix="stepgluon-")) / "report.html"
    write_file(file, page)
    return file


def _open(call: Call, run: str, file: Path | None) -> None:
    if file is None or not file.is_file():
        raise UsageError(f"{run} has no report (a run has one once it has ended)")
    if not webbrowser.open(file.absolute().as_uri()):
        call.terminal.say(f"No browser was found; the report is {file}.")


def record_of(door: Aws, names: Names, execution: Execution) -> dict[str, Any]:
    record, _ = whole_run(door, names, execution)
    read_usage(door, record)
    return {**record, "said": last_words(door, record)}


def do_watch(call: Call) -> int:
    if is_local(call):
        from stepgluon.local.redrive import watched_here

        work = call.options.work
        if call.options.open and is_served(work):
            _open_live(call, f"{endpoint(work)}/#{call.options.run}")
        elif call.options.open:
            call.terminal.say(
                f"No local AWS is running in {work}, so there is no live page (start one: {pipeline_py('local up')})."
            )
        return _ended(call, watched_here(call.options.work, call.options.run, call.terminal.progress()))

    with call.account() as (door, names):
        execution = one(door, names, call.options.run)
        with ExitStack() as page, call.terminal.progress().leaving(execution.run) as progress:
            if call.options.open:
                from stepgluon.live.account import served

                _open_live(call, f"{page.enter_context(served(door, names))}#{execution.run}")
            said = tuning_words(door)
            steps = door.client("stepfunctions")

            def tell_progress(story: Story) -> None:
                progress.tell(story, said, map_words(steps, story))

            watch(door, execution.arn, tell_progress, progress.say, time.sleep)
        return _ended(call, record_of(door, names, execution))


def _open_live(call: Call, address: str) -> None:
    from stepgluon.live.browser import show

    show(address, call.terminal.say)


def _ended(call: Call, record: dict[str, Any]) -> int:
    text = panel(record, pipeline_py("redrive", record["run"]), address=_address(call))
    call.result(f"\n{text}", record)
    return 0 if record["status"] == "SUCCEEDED" else 1


def do_redrive(call: Call) -> int:
    check_cost(call.config().config)
    if is_local(call):
        from stepgluon.local.redrive import redriven

        options, loaded = call.options, call.config()
        of_this_pipeline(call, loaded)
        return _ended(call, redriven(loaded, call.workflow, options.work, options.run, call.terminal.progress()))

    with call.account() as (door, names):
        plan = planned(door, names, one(door, names, call.options.run))
        run = redrive(door, names, plan)
    call.result(f"{plan.words()}\nFollow it: {pipeline_py('watch', run)}\n", {"run": run, "of": plan.of})
    return 0


def of_this_pipeline(call: Call, loaded: LoadedConfig) -> str:
    """The run's name; a work folder may also have runs of other pipelines and environments."""
    known, names = one_run(call.options.work, call.options.run), Names(loaded.config)
    if known["arn"] != names.execution_arn(known["run"]):
        _, _, _, region, account, _, machine, run = known["arn"].split(":")
        raise UsageError(
            f"{run} is a run of {machine} in {account}, {region}, but the config is of {names.machine} in "
            f"{names.config.account}, {names.config.region} (choose its config with --config and --env)"
        )
    return str(known["run"])


def _left(door: Aws, names: Names, run: str) -> tuple[Execution | None, str]:
    """The run and its name; Step Functions deletes an execution after 90 days, and its folder may still exist."""
    try:
        found = one(door, names, run)
    except UsageError:
        judged = "groups/" if names.config.partitioned else "verdicts.json"
        if run == LATEST or not sizes(door.client("s3"), names.work_bucket, f"runs/{run}/{judged}"):
            raise
        return None, run
    return found, found.run


def do_promote(call: Call) -> None:
    if is_local(call):
        loaded, work = call.config(), call.options.work
        run = of_this_pipeline(call, loaded)
        with door_of(loaded, work) as local:
            if loaded.config.partitioned:
                return _of_partitions(call, local.client("s3"), Names(loaded.config), run)
            judged, registry = (lambda: local_story(work, run).models), (lambda: local.client("sagemaker"))
            promoted = promote(local.client("s3"), Names(loaded.config), run, judged, registry)
    else:
        with call.account() as (door, names):
            found, run = _left(door, names, call.options.run)
            if names.config.partitioned:
                return _of_partitions(call, door.client("s3"), names, run)
            judged, registry = (
                (lambda: story_of(door, found.arn).models if found else []),
                lambda: door.client("sagemaker"),
            )
            promoted = promote(door.client("s3"), names, run, judged, registry)
    scores = {name: score_of(verdict) for name, verdict in promoted.items()}
    call.result(f"Promoted from run {run}: {named(promoted)}.\n", {"run": run, "promoted": scores})


def _of_partitions(call: Call, s3: Any, names: Names, run: str) -> None:
    counts = promote_partitions(s3, names, run)
    call.result(words(run, counts), {"run": run, **counts})


def do_models(call: Call) -> None:
    if is_local(call):
        loaded = call.config()
        with door_of(loaded, call.options.work) as local:
            if loaded.config.partitioned:
                found = promoted_models(local.client("s3"), Names(loaded.config))
                return call.result(promoted_words(found), found)
            versions = versions_of(local.client("sagemaker"), local.client("s3"), Names(loaded.config))
    else:
        with call.account() as (door, names):
            if names.config.partitioned:
                found = promoted_models(door.client("s3"), names)
                return call.result(promoted_words(found), found)
            versions = versions_of(door.client("sagemaker"), door.client("s3"), names)
    call.result(versions_table(versions), versions)
